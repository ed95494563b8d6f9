-- The control group gets no cards. One row per card in an export whose customer is in the control arm of its campaign.
select
    k.customer_id,
    k.message_key
from delivery.cards as k
where k.exported_in is not null
    and exists (
        select from campaigns.enrolments as e
        where e.customer_id = k.customer_id and e.campaign = k.campaign and e.arm = 'control'
    )
