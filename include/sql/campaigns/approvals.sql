{% from "campaigns/macros.sql" import earlier_entries, enter, entrants, language_shown %}

-- name: usual_entry
-- What the size of an enrolment on :day is compared with. One row: whether the campaign ever enrolled by itself; on how
-- many of its entry days of the 28 days before, or by_occurrence at most 28 before, and the median of how many
-- customers entered on one; how many have entered on :day, and how many of them somebody approved. Sends by hand do not
-- count.
select
    exists (select from campaigns.enrolments as e where e.campaign = :campaign and e.send_id is null)
    or exists (
        select from campaigns.approvals as a
        where a.campaign = :campaign and a.state in ('approved', 'automatic')
    ) as has_launched,
    before.entry_days,
    before.median,
    (
        select count(*)
        from campaigns.enrolments as e
        where e.campaign = :campaign and e.entered_on = :day and e.send_id is null
    ) as entered,
    (
        select coalesce(sum(a.customers), 0)
        from campaigns.approvals as a
        where a.campaign = :campaign and a.day = :day and a.state in ('approved', 'automatic')
    ) as approved
from (
    select
        count(*) as entry_days,
        percentile_cont(0.5) within group (order by one_day.customers) as median
    from (
        select count(*) as customers
        from campaigns.enrolments as e
        where e.campaign = :campaign
            and e.send_id is null
            and e.entered_on < :day
            and (cast(:by_occurrence as boolean) or e.entered_on >= :day - 28)
        group by e.entered_on
        order by e.entered_on desc
        limit 28
    ) as one_day
) as before;

-- name: give_up
-- Refuses what nobody answered in time, and what waits in the campaign for an earlier day or with another version: the
-- day asks afresh. One row per approval.
update campaigns.approvals as a
set state = 'refused', decided_at = :now, decided_by = :nobody
where a.state = 'waiting'
    and (
        a.expires_at <= :now
        or (a.campaign = cast(:campaign as text) and (a.day < :day or a.version <> cast(:version as text)))
    )
returning a.approval_id;

-- name: asked_before
-- How often :day was asked about; whether that holds everybody back, since a question waits or was refused and the
-- campaign is as it was; and how many customers wait.
select
    count(*) as questions,
    coalesce(bool_or(a.state in ('waiting', 'refused') and a.version = :version), false) as is_held,
    coalesce(sum(a.customers) filter (where a.state = 'waiting'), 0) as waiting
from campaigns.approvals as a
where a.campaign = :campaign and a.day = :day;

-- name: keep_candidates
-- Keeps who would enter on day (see entrants), to wait for approval. Returns how many.
with {{ entrants(rank) }},

written as (
    insert into campaigns.candidates (customer_id, approval_id, campaign, group_name)
    select entering.customer_id, :approval_id, :campaign, :group_name
    from entering
    returning customer_id
)

select count(*) from written;

-- name: keep_approval
-- Keeps the question, or that none was asked since the state is automatic.
insert into campaigns.approvals (
    approval_id, campaign, day, version, why, customers, median, entered_change, state, asked_at, expires_at,
    decided_at, decided_by
)
values (
    :approval_id, :campaign, :day, :version, :why, :customers, :median, :entered_change, :state, :now, :expires_at,
    case when :state <> 'waiting' then cast(:now as timestamptz) end,
    case when :state <> 'waiting' then cast(:nobody as text) end
)
returning approval_id;

-- name: approvals
-- One row per approval of :campaign (null: of any) and :day (null: of any) that waits.
select
    a.approval_id,
    a.campaign,
    a.day,
    a.version,
    a.why,
    a.customers,
    a.median,
    a.entered_change,
    a.state,
    a.asked_at,
    a.expires_at
from campaigns.approvals as a
where a.state = 'waiting'
    and (cast(:campaign as text) is null or a.campaign = :campaign)
    and (cast(:day as date) is null or a.day = :day)
order by a.day, a.campaign;

-- name: approval
-- The approval of this id, if there is one.
select
    a.approval_id,
    a.campaign,
    a.day,
    a.version,
    a.why,
    a.customers,
    a.median,
    a.entered_change,
    a.state,
    a.asked_at,
    a.expires_at
from campaigns.approvals as a
where a.approval_id = :approval_id;

-- name: candidate_languages
-- One row per language of those who wait: how many customers.
select {{ language_shown("c") }} as language, count(*) as customers
from campaigns.candidates as w
left join shop.customers as c on c.customer_id = w.customer_id
where w.approval_id = :approval_id
group by {{ language_shown("c") }}
order by customers desc, language;

-- name: decide_approval
-- One row if it waited for this answer.
update campaigns.approvals as a
set state = :state, decided_at = :now, decided_by = :decided_by
where a.approval_id = :approval_id and a.state = 'waiting'
returning a.approval_id;

-- name: enrol_candidates
-- Enrols those who waited, but for customers who have entered the campaign or its group since. Returns how many
-- entered, and how many of them in the control arm.
with entering as (
    select
        w.customer_id,
        {{ earlier_entries("w") }}
    from campaigns.candidates as w
    where w.approval_id = :approval_id
        and not exists (
            select from campaigns.enrolments as e
            where e.customer_id = w.customer_id
                and e.exited_on is null
                and (e.campaign = :campaign or e.group_name = :group_name)
        )
        and not exists (
            select from campaigns.enrolments as e
            where e.customer_id = w.customer_id and e.campaign = :campaign and e.entered_on >= :day
        )
),

{{ enter("entering") }};

-- name: drop_candidates
-- Nobody waits for an approval that is decided. One row per customer.
delete from campaigns.candidates as w
where w.approval_id in (select a.approval_id from campaigns.approvals as a where a.state <> 'waiting')
returning w.customer_id;

-- name: forget_candidate
-- The customer waits for no approval any more. One row per approval.
delete from campaigns.candidates as w
where w.customer_id = :customer_id
returning w.approval_id;
