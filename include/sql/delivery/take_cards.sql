-- How many cards of one step the export :number prints: those kept before :now, unless the step is halted.
with written as (
    update delivery.cards as k
    set exported_in = :number
    where k.campaign = :campaign
        and k.step = :step
        and k.kept_at < :now
        and k.exported_in is null
        and not {% with channel = "'postal'" %}{% include "delivery/_is_halted.sql" %}{% endwith %}
    returning k.customer_id
)

select count(*) from written
