-- One row per membership deleted: of people who were erased, once no platform has to be told any more.
delete from delivery.audience_members as m
where m.left_reason = 'erased'
    and (
        m.added_in is null
        or exists (
            select from delivery.exports as x
            where x.campaign = m.campaign and x.step = m.step and x.number = m.removed_in and x.written_at is not null
        )
    )
returning m.customer_id
