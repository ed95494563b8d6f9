{% from "campaigns/macros.sql" import is_one_of, steps_behind, why_ended %}
{% from "contact/macros.sql" import is_known, send_day %}

-- name: end_enrolments
-- Ends the open enrolments of one version whose customer ordered, unsubscribed, left the selection or joined another
-- one, as far as the campaign exits on it; what was known when day ended decides. Returns how many ended.
-- Who left is said twice, as condition and as reason: a join of enrolments with themselves is slow until their
-- statistics are there.
with written as (
    update campaigns.enrolments as e
    set
        exited_on = :day,
        exit_reason = {{ why_ended("e") }}
    where e.campaign = :campaign
        and e.version = :version
        and e.exited_on is null
        and e.entered_on <= :day
        and {{ why_ended("e") }} is not null
    returning e.customer_id
)

select count(*) from written;

-- name: join_group
-- Who was inside one of :campaigns before it was in the group is in the group from now on; who is in two of them, with
-- the first by name. One row per enrolment.
update campaigns.enrolments as e
set group_name = :group_name
where e.campaign = any(cast(:campaigns as text[]))
    and e.exited_on is null
    and e.group_name is distinct from :group_name
    and not exists (
        select from campaigns.enrolments as other
        where other.customer_id = e.customer_id
            and other.exited_on is null
            and (
                other.group_name = :group_name
                or (other.campaign = any(cast(:campaigns as text[])) and other.campaign < e.campaign)
            )
    )
returning e.customer_id;

-- name: move
-- Moves people inside from version :old to :new: where both have the same steps behind them on :day, the new one has
-- their variant and level, and none of their messages is on its way; all who entered on one day, or none of them, so
-- that the arms stay alike. Returns how many moved, and how many stay.
with inside as materialized (
    select
        e.customer_id,
        e.entry_no,
        bool_and(
            {{ steps_behind("e", ":old_steps") }} = {{ steps_behind("e", ":new_steps") }}
            and (e.arm = 'control' or {{ is_one_of("e.variant", ":variants") }})
            and {{ is_one_of("e.level", ":levels") }}
            and not exists (
                select from delivery.messages as m
                where m.customer_id = e.customer_id
                    and m.campaign = e.campaign
                    and m.entry_no = e.entry_no
                    and m.state in ('planned', 'attempting', 'unknown')
            )
        ) over (partition by e.entered_on) as may_move
    from campaigns.enrolments as e
    where e.campaign = :campaign and e.version = :old and e.exited_on is null
),

moved as (
    update campaigns.enrolments as e
    set version = :new
    from inside as i
    where e.campaign = :campaign and e.customer_id = i.customer_id and e.entry_no = i.entry_no and i.may_move
    returning e.customer_id
),

written as (
    insert into campaigns.decisions (customer_id, campaign, decided_on, decision, reason)
    select moved.customer_id, :campaign, :day, 'moved', concat('version ', :old, ' to ', :new)
    from moved
    on conflict (customer_id, campaign, decided_on) do nothing
)

select count(*) filter (where i.may_move) as moved, count(*) filter (where not i.may_move) as stay
from inside as i;

-- name: finish
-- Closes the open enrolments of one version whose last step can be sent no more: the window of its last local date is
-- over wherever the customer may be. Both arms stay as long: what an arm does would otherwise decide when its customers
-- are free for another campaign. Returns how many.
with written as (
    update campaigns.enrolments as e
    set exited_on = :day, exit_reason = 'finished'
    where e.campaign = :campaign
        and e.version = :version
        and e.exited_on is null
        and e.entered_on + e.days_later + cast(:last_day as integer) + 1 <= :day
        and (
            select bool_and((its.last_on + cast(:window_end as time)) at time zone place.zone <= :known_by)
            from (select e.customer_id) as whose
            left join shop.customer_versions as c on c.customer_id = whose.customer_id and {{ is_known("c") }}
            cross join
                lateral (
                    select
                        {{
                            send_day(
                                "c", "(e.entered_on + e.days_later + cast(:last_day as integer) + 1)",
                                "cast(:grace_days as integer)", "cast(:no_send_on as jsonb)"
                            )
                        }} as last_on
                ) as its
            cross join
                lateral unnest(
                    coalesce(
                        case when c.time_zone is not null then array[c.time_zone] end,
                        (select array_agg(p.zone) from shop.country_zones as p where p.country = c.country),
                        array[cast(:shop_zone as text)]
                    )
                ) as place (zone)
        )
    returning e.customer_id
)

select count(*) from written;

-- name: end_all
-- Ends all open enrolments of a campaign that was removed, as of day. Returns how many.
with written as (
    update campaigns.enrolments as e
    set exited_on = greatest(e.entered_on, cast(:day as date)), exit_reason = 'campaign_removed'
    where e.campaign = :campaign and e.exited_on is null
    returning e.customer_id
)

select count(*) from written;

-- name: end_erased
-- The customer's open enrolments end. Nothing is planned for them any more.
update campaigns.enrolments as e
set exited_on = greatest(e.entered_on, cast(:today as date)), exit_reason = 'erased'
where e.customer_id = :customer_id and e.exited_on is null;

-- name: is_known
-- Whether the campaign ever did, or began, anything.
select exists (
    select from shop.days as d where d.stage = 'campaigns' and split_part(d.part, ':', 1) = :campaign
) or exists (select from campaigns.versions as v where v.campaign = :campaign) as is_known;

-- name: left_behind
-- One row per campaign of :names that is not over: somebody is inside, or in its audience, or a message is planned.
select e.campaign
from campaigns.enrolments as e
where e.campaign = any(cast(:names as text[])) and e.exited_on is null
union
select m.campaign
from delivery.messages as m
where m.campaign = any(cast(:names as text[])) and m.state = 'planned'
union
select a.campaign
from delivery.audience_members as a
where a.campaign = any(cast(:names as text[])) and a.left_at is null and a.removed_in is null
order by campaign;

-- name: entered
-- How many entered the campaign on :day.
select count(*)
from campaigns.enrolments as e
where e.campaign = :campaign and e.entered_on = :day;
