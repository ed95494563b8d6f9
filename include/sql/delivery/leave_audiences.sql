-- One row per member who belongs in an audience no longer, as known at :now, with the reason; in a file or not.
update delivery.audience_members as m
set left_at = :now,
    left_reason = d.reason
from (
    select
        a.customer_id,
        a.message_key,
        case
            when e.customer_id is null then 'no_enrolment'
            when e.arm <> 'treated' then 'control'
            when e.exit_reason <> 'finished' then e.exit_reason
            when {% include "campaigns/_ordered_since_entry.sql" %} then 'order'
            when a.until_on < cast(cast(:now as timestamptz) at time zone cast(:shop_zone as text) as date) then 'until_over'
            else {% with channel = "'audience'" %}{% include "campaigns/_not_allowed.sql" %}{% endwith %}
        end as reason
    from delivery.audience_members as a
    left join campaigns.enrolments as e
        on e.customer_id = a.customer_id and e.campaign = a.campaign and e.entry_no = a.entry_no
    left join shop.customer_versions as c
        on c.customer_id = a.customer_id and c.known_at <= :known_by and c.superseded_at > :known_by
    where a.left_at is null and a.kept_at <= :now
) as d
where d.customer_id = m.customer_id and d.message_key = m.message_key and d.reason is not null
returning m.customer_id
