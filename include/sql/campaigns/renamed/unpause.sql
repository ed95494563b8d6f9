-- One row if the old name was paused: nothing has this name any more.
delete from campaigns.paused as p
where p.campaign = :old
returning p.campaign
