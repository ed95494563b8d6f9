-- The customer's open enrolments end. Nothing is planned for them any more.
update campaigns.enrolments as e
set exited_on = greatest(e.entered_on, cast(:today as date)), exit_reason = 'erased'
where e.customer_id = :customer_id and e.exited_on is null
