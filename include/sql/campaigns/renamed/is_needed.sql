-- Whether anything stands under the old name, whether a worker is handing over a message of it right now, and whether
-- both names have exported lists, which cannot become one.
select
    exists (select from campaigns.versions as v where v.campaign = :old)
    or exists (select from shop.days as d where d.stage = 'campaigns' and split_part(d.part, ':', 1) = :old)
    or exists (select from delivery.halts as h where h.kind = 'campaign' and h.name = :old) as is_needed,
    exists (select from delivery.messages as m where m.campaign = :old and m.state = 'attempting') as is_attempting,
    exists (select from delivery.exports as x where x.campaign = :old)
    and exists (select from delivery.exports as x where x.campaign = :new) as has_two_lists
