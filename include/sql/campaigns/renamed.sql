-- name: is_rename_needed
-- Whether anything stands under the old name, whether a worker is handing over a message of it right now, and whether
-- both names have exported lists, which cannot become one.
select
    exists (select from campaigns.versions as v where v.campaign = :old)
    or exists (select from shop.days as d where d.stage = 'campaigns' and split_part(d.part, ':', 1) = :old)
    or exists (select from delivery.halts as h where h.kind = 'campaign' and h.name = :old) as is_needed,
    exists (select from delivery.messages as m where m.campaign = :old and m.state = 'attempting') as is_attempting,
    exists (select from delivery.exports as x where x.campaign = :old)
    and exists (select from delivery.exports as x where x.campaign = :new) as has_two_lists;

-- name: keep_first_name
-- One row: the first name of what is called :new from now on, unless it has exported lists of its own under its name.
insert into campaigns.first_names as f (campaign, first_name)
select cast(:new as text), coalesce((select o.first_name from campaigns.first_names as o where o.campaign = :old), :old)
where not exists (select from delivery.exports as x where x.campaign = :new)
on conflict (campaign) do nothing
returning f.campaign;

-- name: forget_first_name
-- One row if the old name had a first name: nothing is called so any more.
delete from campaigns.first_names as f
where f.campaign = :old
returning f.campaign;

-- name: end_second
-- Where both names had a customer inside, the entry under the new name ends; the one under the old name goes on where
-- it was. Returns how many ended.
with written as (
    update campaigns.enrolments as e
    set exited_on = greatest(e.entered_on, cast(:day as date)), exit_reason = 'campaign_removed'
    where e.campaign = :new
        and e.exited_on is null
        and exists (
            select from campaigns.enrolments as o
            where o.customer_id = e.customer_id and o.campaign = :old and o.exited_on is null
        )
    returning e.customer_id
)

select count(*) from written;

-- name: forget_same_versions
-- One row per version of the old name that the new one has as well.
delete from campaigns.versions as v
where v.campaign = :old
    and exists (select from campaigns.versions as n where n.campaign = :new and n.version = v.version)
returning v.version;

-- name: forget_same_decisions
-- One row per decision under the old name on a day that has one under the new name: a customer has one a day.
delete from campaigns.decisions as d
where d.campaign = :old
    and exists (
        select from campaigns.decisions as n
        where n.customer_id = d.customer_id and n.campaign = :new and n.decided_on = d.decided_on
    )
returning d.customer_id;

-- name: tables_to_rename
-- One row per table that names the campaign of each row, and whether the row belongs to one entry of a customer; who
-- was enrolled comes last, since the others are numbered by it. What needs more than another name has statements of its
-- own.
select
    c.table_schema || '.' || c.table_name as name,
    bool_or(c.column_name = 'entry_no') as has_entries
from information_schema.columns as c
inner join information_schema.tables as t on t.table_schema = c.table_schema and t.table_name = c.table_name
where t.table_type = 'BASE TABLE'
    and c.table_schema in ('offers', 'campaigns', 'delivery', 'events', 'results')
    and c.table_name not in ('paused', 'versions', 'first_names')
group by c.table_schema, c.table_name
having bool_or(c.column_name = 'campaign')
order by c.table_schema || '.' || c.table_name = 'campaigns.enrolments', name;

-- name: number_on
-- One row per row of a customer whom both names had enrolled: the entries under the new name come after those under the
-- old one. They are set aside as :aside until the old ones have the name, so that no two have one number meanwhile.
update {{ table }} as t
set campaign = :aside, entry_no = t.entry_no + o.last_entry_no
from (
    select e.customer_id, max(e.entry_no) as last_entry_no
    from campaigns.enrolments as e
    where e.campaign = :old
    group by e.customer_id
) as o
where t.campaign = :new and o.customer_id = t.customer_id
returning t.customer_id;

-- name: rename
-- One row per row that has the new name from now on.
update {{ table }} as t
set campaign = :new
where t.campaign in (:old, :aside)
returning t.campaign;

-- name: rename_versions
-- One row per version that has the new name from now on, in what it says too.
update campaigns.versions as v
set campaign = :new, definition = jsonb_set(v.definition, '{campaign}', to_jsonb(cast(:new as text)))
where v.campaign = :old
returning v.version;

-- name: forget_pause
-- One row if the old name was paused: nothing has this name any more.
delete from campaigns.paused as p
where p.campaign = :old
returning p.campaign;
