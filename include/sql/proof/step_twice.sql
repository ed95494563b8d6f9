-- Nobody gets the same step of a campaign twice. One row per customer, campaign, entry and step with more than one
-- message that the provider took.
select
    m.customer_id,
    m.campaign,
    m.entry_no,
    m.step
from delivery.messages as m
where m.state in ('accepted', 'delivered', 'bounced')
group by m.customer_id, m.campaign, m.entry_no, m.step
having count(*) > 1
