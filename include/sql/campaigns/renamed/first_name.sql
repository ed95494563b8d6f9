-- One row: the first name of what is called :new from now on, unless it has exported lists of its own under its name.
insert into campaigns.first_names as f (campaign, first_name)
select cast(:new as text), coalesce((select o.first_name from campaigns.first_names as o where o.campaign = :old), :old)
where not exists (select from delivery.exports as x where x.campaign = :new)
on conflict (campaign) do nothing
returning f.campaign
