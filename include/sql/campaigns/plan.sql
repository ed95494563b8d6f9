-- Plans one step of one version: a message for each open treated enrolment whose day for it is day, or one after
-- done_until that was never published. Who cannot be written to gets the row too, skipped with the reason. A message that
-- is there stays as it is: its key refuses a second. One row per reason (none means planned), how many.
-- Due at the window's start on the customer's local date after the step's day, expired grace_days local dates after
-- that, at the window's end; in the shop's zone for who has none that PostgreSQL knows.
with written as (
    insert into delivery.messages (
        customer_id, message_key, campaign, version, entry_no, step, channel, day, state, reason, offer,
        due_at, expires_at, window_start, window_end, settled_at
    )
    select
        due.customer_id,
        substring(encode(sha256(convert_to(concat_ws(
            chr(31), due.customer_id, due.campaign, due.entry_no, cast(:step as text), cast(:channel as text)
        ), 'UTF8')), 'hex') from 1 for 32),
        due.campaign,
        due.version,
        due.entry_no,
        :step,
        :channel,
        :day,
        case when due.reason is null then 'planned' else 'skipped' end,
        due.reason,
        :offer,
        (due.local_date + cast(:window_start as time)) at time zone due.zone,
        (due.local_date + cast(:grace_days as integer) + cast(:window_end as time)) at time zone due.zone,
        cast(:window_start as time),
        cast(:window_end as time),
        case when due.reason is not null then cast(:known_by as timestamptz) end
    from (
        select
            e.customer_id,
            e.campaign,
            e.version,
            e.entry_no,
            e.entered_on + cast(:step_day as integer) + 1 as local_date,
            coalesce(zones.name, :shop_zone) as zone,
            case
                when exists (
                    select from shop.suppressions as s
                    where s.customer_id = e.customer_id
                        and s.channel in (:channel, 'all')
                        and s.known_at <= :known_by
                        and (s.lifted_at is null or s.lifted_at > :known_by)
                ) then 'suppressed'
                when not exists (
                    select from shop.consent_versions as consent
                    where consent.customer_id = e.customer_id
                        and consent.purpose = 'marketing'
                        and consent.channel = :channel
                        and consent.is_granted
                        and consent.known_at <= :known_by
                        and consent.superseded_at > :known_by
                ) then 'no_consent'
                when (case :channel when 'email' then c.email else c.phone end) is null then 'no_address'
            end as reason
        from campaigns.enrolments as e
        left join shop.customer_versions as c
            on c.customer_id = e.customer_id and c.known_at <= :known_by and c.superseded_at > :known_by
        left join pg_catalog.pg_timezone_names as zones on zones.name = c.time_zone
        where e.campaign = :campaign
            and e.version = :version
            and e.arm = 'treated'
            and e.exited_on is null
            and e.entered_on <= :day - cast(:step_day as integer)
            and e.entered_on > coalesce(cast(:done_until as date), '-infinity') - cast(:step_day as integer)
    ) as due
    on conflict do nothing
    returning reason
)

select reason, count(*) as messages
from written
group by reason
order by reason
