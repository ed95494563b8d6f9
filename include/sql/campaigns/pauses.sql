-- name: pause
-- One row per campaign given: it is paused for the reason given, and whether its time is over. That is so when its file
-- was missing on an earlier published day already, or it was removed before. Another reason begins the count again.
insert into campaigns.paused as p (campaign, reason, message, since_day)
select u.campaign, u.reason, u.message, cast(:day as date)
from
    unnest(
        cast(:campaigns as text[]), cast(:reasons as text[]), cast(:messages as text[])
    ) as u (campaign, reason, message)
on conflict (campaign) do update
    set reason = excluded.reason,
        message = excluded.message,
        since_day = case
            when p.reason = excluded.reason then coalesce(p.since_day, excluded.since_day)
            else excluded.since_day
        end,
        removed_on = case when p.reason = excluded.reason then p.removed_on end
returning
    p.campaign,
    p.reason,
    p.message,
    p.reason = 'file_missing'
    and (p.removed_on is not null or coalesce(p.since_day < cast(:day as date), false)) as is_over;

-- name: unpause
-- One row per campaign that goes on: its file is there and can be read, or nothing of it is left. One that was removed
-- stays closed until it has a file again.
delete from campaigns.paused as p
where p.campaign = any(cast(:sound as text[]))
    or (p.removed_on is null and not p.campaign = any(cast(:paused as text[])))
returning p.campaign;

-- name: close
-- One row: the campaign was removed on :day, and stays closed until it has a file again.
insert into campaigns.paused as p (campaign, reason, message, since_day, removed_on)
values (:campaign, 'file_missing', :message, :day, :day)
on conflict (campaign) do update
    set reason = excluded.reason,
        message = excluded.message,
        removed_on = excluded.removed_on
returning p.campaign;
