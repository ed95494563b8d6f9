-- The control group is shown no ads. One row per person of the control arm who was put into an audience by an export,
-- taken out since or not.
select
    a.customer_id,
    a.message_key
from delivery.audience_members as a
inner join campaigns.enrolments as e
    on e.customer_id = a.customer_id and e.campaign = a.campaign and e.entry_no = a.entry_no
where e.arm = 'control' and a.added_in is not null
