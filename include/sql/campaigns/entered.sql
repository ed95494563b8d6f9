-- How many entered the campaign on :day.
select count(*)
from campaigns.enrolments as e
where e.campaign = :campaign and e.entered_on = :day
