-- Everybody who is written to has entered the campaign. One row per message without the enrolment it names, whatever its
-- state: planning should not have written it.
select
    m.customer_id,
    m.message_key
from delivery.messages as m
where not exists (
    select from campaigns.enrolments as e
    where e.customer_id = m.customer_id and e.campaign = m.campaign and e.entry_no = m.entry_no
)
