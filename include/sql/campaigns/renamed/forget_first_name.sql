-- One row if the old name had a first name: nothing is called so any more.
delete from campaigns.first_names as f
where f.campaign = :old
returning f.campaign
