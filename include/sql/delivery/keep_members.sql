-- One row per message of :claim that puts somebody into an audience. In the transaction that settles it: there if and
-- only if accepted. The last day in it is the day of until_day's messages, as of a step on that day.
insert into delivery.audience_members (
    customer_id, message_key, campaign, step, entry_no, until_on, email_meta, email_google, phone_meta, phone_google,
    kept_at
)
select
    m.customer_id,
    m.message_key,
    m.campaign,
    m.step,
    m.entry_no,
    e.entered_on + 1 + cast(s.step ->> 'until_day' as integer),
    u.email_meta,
    u.email_google,
    u.phone_meta,
    u.phone_google,
    :now
from
    unnest(
        cast(:customer_ids as bigint[]), cast(:message_keys as text[]), cast(:email_meta as text[]),
        cast(:email_google as text[]), cast(:phone_meta as text[]), cast(:phone_google as text[])
    ) as u (customer_id, message_key, email_meta, email_google, phone_meta, phone_google)
join delivery.messages as m
    on m.customer_id = u.customer_id
    and m.message_key = u.message_key
    and m.claim = cast(:claim as uuid)
    and m.state = 'accepted'
join campaigns.enrolments as e
    on e.customer_id = m.customer_id and e.campaign = m.campaign and e.entry_no = m.entry_no
join campaigns.versions as v on v.campaign = m.campaign and v.version = m.version
cross join lateral jsonb_array_elements(v.definition -> 'steps') as s (step)
where s.step ->> 'step' = m.step
on conflict (customer_id, message_key) do nothing
returning customer_id
