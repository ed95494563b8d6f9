-- One row per row of a customer whom both names had enrolled: the entries under the new name come after those under the
-- old one. They are set aside as :aside until the old ones have the name, so that no two have one number meanwhile.
update {{ table }} as t
set campaign = :aside, entry_no = t.entry_no + o.last_entry_no
from (
    select e.customer_id, max(e.entry_no) as last_entry_no
    from campaigns.enrolments as e
    where e.campaign = :old
    group by e.customer_id
) as o
where t.campaign = :new and o.customer_id = t.customer_id
returning t.customer_id
