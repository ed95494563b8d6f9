-- One row: the campaign was removed on :day, and stays closed until it has a file again.
insert into campaigns.paused as p (campaign, reason, message, since_day, removed_on)
values (:campaign, 'file_missing', :message, :day, :day)
on conflict (campaign) do update set reason = excluded.reason, message = excluded.message, removed_on = excluded.removed_on
returning p.campaign
