-- The entries of the campaign before a rehearsal, and whether each was open.
create temporary table rehearsal_before on commit drop as
select e.customer_id, e.entry_no, e.exited_on is null as was_open
from campaigns.enrolments as e
where e.campaign = :campaign
