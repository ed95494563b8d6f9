-- One row per campaign given: it is paused for the reason given, and whether its time is over. That is so when its file
-- was missing on an earlier published day already, or it was removed before. Another reason begins the count again.
insert into campaigns.paused as p (campaign, reason, message, since_day)
select u.campaign, u.reason, u.message, cast(:day as date)
from unnest(cast(:campaigns as text[]), cast(:reasons as text[]), cast(:messages as text[])) as u (campaign, reason, message)
on conflict (campaign) do update
    set reason = excluded.reason,
        message = excluded.message,
        since_day = case when p.reason = excluded.reason then coalesce(p.since_day, excluded.since_day)
            else excluded.since_day end,
        removed_on = case when p.reason = excluded.reason then p.removed_on end
returning
    p.campaign,
    p.reason,
    p.message,
    p.reason = 'file_missing' and (p.removed_on is not null or coalesce(p.since_day < cast(:day as date), false)) as is_over
