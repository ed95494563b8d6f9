-- name: keep_version
-- Keeps what somebody was enrolled with: YAML, templates and selection, so that people inside go on with theirs.
insert into campaigns.versions (campaign, version, definition, rules, templates, selection_sql, first_used_on)
values (
    :campaign, :version, cast(:definition as jsonb), cast(:rules as jsonb), cast(:templates as jsonb), :selection_sql,
    :day
)
on conflict (campaign, version) do nothing;

-- name: open_versions
-- One row per version of the campaign that has somebody inside, the oldest first.
select v.version, v.definition
from campaigns.versions as v
where v.campaign = :campaign
    and v.version in (
        select e.version
        from campaigns.enrolments as e
        where e.campaign = :campaign and e.exited_on is null
    )
order by v.first_used_on, v.version;

-- name: without_file
-- One row per campaign that somebody was ever enrolled with and that has no file: it is none of :names.
select distinct v.campaign
from campaigns.versions as v
where not v.campaign = any(cast(:names as text[]))
order by v.campaign;
