{% from "delivery/macros.sql" import why_not_in_audience %}
{% from "ledger/macros.sql" import is_open %}

-- name: leave_audiences
-- One row per member who belongs in an audience no longer, as known by then, with the reason; in a file or not.
update delivery.audience_members as m
set
    left_at = :known_by,
    left_reason = d.reason
from (
    select
        a.customer_id,
        a.message_key,
        {{ why_not_in_audience("a", "e", "c") }} as reason
    from delivery.audience_members as a
    left join campaigns.enrolments as e
        on e.customer_id = a.customer_id and e.campaign = a.campaign and e.entry_no = a.entry_no
    left join shop.customer_versions as c
        on c.customer_id = a.customer_id and c.known_at <= :known_by and c.superseded_at > :known_by
    where a.left_at is null and a.kept_at <= :known_by
) as d
where d.customer_id = m.customer_id and d.message_key = m.message_key and d.reason is not null
returning m.customer_id;

-- name: leave_audiences_of_campaign
-- Everybody leaves the audiences of a campaign that was removed, those too whose enrolment is finished: the next export
-- takes them out. Returns how many.
with written as (
    update delivery.audience_members as a
    set left_at = greatest(a.kept_at, cast(:known_by as timestamptz)), left_reason = 'campaign_removed'
    where a.campaign = :campaign and a.left_at is null
    returning a.customer_id
)

select count(*) from written;

-- name: queue_removal
-- One row per membership of a customer who was erased: out of every audience with the next export, which then deletes
-- it.
update delivery.audience_members
set
    left_at = coalesce(left_at, :now),
    left_reason = 'erased'
where customer_id = :customer_id
returning customer_id;

-- name: changed_audiences
-- One row per audience with somebody to put in or take out at :now, and the number of its next export.
select
    m.campaign,
    m.step,
    coalesce((select max(x.number) from delivery.exports as x where x.campaign = m.campaign and x.step = m.step), 0) + 1
        as number
from delivery.audience_members as m
where m.removed_in is null
    and (
        (m.added_in is null and m.left_at is null and m.kept_at < :now)
        or (m.added_in is not null and m.left_at is not null)
    )
group by m.campaign, m.step
order by m.campaign, m.step;

-- name: export_additions
-- How many members of one audience the export :number puts in: kept before :now, unless it is halted. Who is still in
-- from an earlier entry, or is taken out by this very export, is put in by a later one: no file contradicts another.
with written as (
    update delivery.audience_members as m
    set added_in = :number
    where m.campaign = :campaign
        and m.step = :step
        and m.kept_at < :now
        and m.added_in is null
        and m.left_at is null
        and {{ is_open(":campaign", "'audience'") }}
        and not exists (
            select from delivery.audience_members as o
            where o.customer_id = m.customer_id
                and o.campaign = m.campaign
                and o.step = m.step
                and (
                    (o.added_in is not null and (o.removed_in is null or o.removed_in = :number))
                    or (o.added_in is null and o.left_at is null and o.entry_no < m.entry_no)
                )
        )
    returning m.customer_id
)

select count(*) from written;

-- name: export_removals
-- How many members of one audience the export :number takes out: in a file, and no longer to be in. Halts do not
-- matter.
with written as (
    update delivery.audience_members as m
    set removed_in = :number
    where m.campaign = :campaign
        and m.step = :step
        and m.added_in is not null
        and m.left_at is not null
        and m.removed_in is null
    returning m.customer_id
)

select count(*) from written;

-- name: audience_lines
-- One row per person whom the export :number of an audience puts in or takes out.
select
    case when m.removed_in = :number then 'remove' else 'add' end as action,
    m.email_meta,
    m.email_google,
    m.phone_meta,
    m.phone_google
from delivery.audience_members as m
where m.campaign = :campaign and m.step = :step and :number in (m.added_in, m.removed_in);

-- name: empty_audience
-- One row per member whom the export :number took out: who it was for the platforms is not needed any more.
update delivery.audience_members
set
    email_meta = null,
    email_google = null,
    phone_meta = null,
    phone_google = null
where campaign = :campaign and step = :step and removed_in = :number
returning customer_id;

-- name: forget_members
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
returning m.customer_id;
