-- One row per campaign that goes on: its file is there and can be read, or nothing of it is left. One that was removed
-- stays closed until it has a file again.
delete from campaigns.paused as p
where p.campaign = any(cast(:sound as text[]))
    or (p.removed_on is null and not p.campaign = any(cast(:paused as text[])))
returning p.campaign
