-- One row per person whom the export :number of an audience puts in or takes out.
select
    case when m.removed_in = :number then 'remove' else 'add' end as action,
    m.email_meta,
    m.email_google,
    m.phone_meta,
    m.phone_google
from delivery.audience_members as m
where m.campaign = :campaign and m.step = :step and :number in (m.added_in, m.removed_in)
