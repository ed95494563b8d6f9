-- One row per version of the old name that the new one has as well.
delete from campaigns.versions as v
where v.campaign = :old
    and exists (select from campaigns.versions as n where n.campaign = :new and n.version = v.version)
returning v.version
