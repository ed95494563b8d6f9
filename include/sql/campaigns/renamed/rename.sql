-- One row per row that has the new name from now on.
update {{ table }} as t
set campaign = :new
where t.campaign in (:old, :aside)
returning t.campaign
