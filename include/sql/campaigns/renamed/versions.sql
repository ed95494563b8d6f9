-- One row per version that has the new name from now on, in what it says too.
update campaigns.versions as v
set campaign = :new, definition = jsonb_set(v.definition, '{campaign}', to_jsonb(cast(:new as text)))
where v.campaign = :old
returning v.version
