{% from "campaigns/macros.sql" import is_ended_by_order %}
{% from "contact/macros.sql" import contactable, is_known %}
{% from "ledger/macros.sql" import is_open %}

-- name: withdraw_cards
-- One row per card in no export whose customer must not get it any more, as known at :known_by: they may not be
-- contacted by post, their entry has ended, or they ordered. The card is deleted; the ledger plans its message once
-- more.
delete from delivery.cards as k
using (
    select
        m.customer_id,
        m.message_key
    from delivery.cards as w
    join delivery.messages as m on m.customer_id = w.customer_id and m.message_key = w.message_key
    left join campaigns.enrolments as e
        on e.customer_id = m.customer_id and e.campaign = m.campaign and e.entry_no = m.entry_no
    left join campaigns.versions as v on v.campaign = m.campaign and v.version = m.version
    left join shop.customer_versions as c
        on c.customer_id = m.customer_id and {{ is_known("c") }}
    where w.exported_in is null
        and m.state = 'accepted'
        and (
            coalesce(e.exit_reason, 'finished') <> 'finished'
            or {{ is_ended_by_order("e", "v.definition -> 'exit_on'") }}
            or not {{ contactable("c", "'postal'") }}
        )
) as d
where d.customer_id = k.customer_id and d.message_key = k.message_key
returning k.customer_id, k.message_key;

-- name: waiting_cards
-- One row per step with cards kept before :now that are in no export, and the number of its next one.
select
    k.campaign,
    k.step,
    coalesce((select max(x.number) from delivery.exports as x where x.campaign = k.campaign and x.step = k.step), 0) + 1
        as number
from delivery.cards as k
where k.exported_in is null and k.kept_at < :now
group by k.campaign, k.step
order by k.campaign, k.step;

-- name: take_cards
-- How many cards of one step the export :number prints: those kept before :now, unless the step is halted.
with written as (
    update delivery.cards as k
    set exported_in = :number
    where k.campaign = :campaign
        and k.step = :step
        and k.kept_at < :now
        and k.exported_in is null
        and {{ is_open(":campaign", "'postal'") }}
    returning k.customer_id
)

select count(*) from written;

-- name: postal_lines
-- One row per card that the export :number prints, sorted as the post sorts.
select
    k.recipient,
    k.street,
    k.postal_code,
    k.city,
    k.country,
    k.language,
    k.card,
    k.message_key
from delivery.cards as k
where k.campaign = :campaign and k.step = :step and k.exported_in = :number
order by k.country, k.postal_code, k.street, k.message_key;

-- name: empty_postal
-- One row per card that the export :number printed: deleted, the ledger knows that it went out.
delete from delivery.cards
where campaign = :campaign and step = :step and exported_in = :number
returning customer_id;
