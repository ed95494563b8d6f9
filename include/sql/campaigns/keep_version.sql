-- Keeps what somebody was enrolled with: YAML, templates and selection, so that people inside go on with theirs.
insert into campaigns.versions (campaign, version, definition, templates, selection_sql, first_used_on)
values (:campaign, :version, cast(:definition as jsonb), cast(:templates as jsonb), :selection_sql, :day)
on conflict (campaign, version) do nothing
