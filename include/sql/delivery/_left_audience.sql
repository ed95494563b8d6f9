-- Why member a of an audience belongs in it no longer, as known at known_by; null while they do. e: the enrolment that put
-- them in; c: the customer. Binds known_by and shop_zone; the includer imports why_not_contactable.
case
    when e.customer_id is null then 'no_enrolment'
    when e.arm <> 'treated' then 'control'
    when e.exit_reason <> 'finished'
        and e.exited_on < cast(cast(:known_by as timestamptz) at time zone cast(:shop_zone as text) as date)
        then e.exit_reason
    when {% include "campaigns/_ordered_since_entry.sql" %} then 'order'
    when a.until_on < cast(cast(:known_by as timestamptz) at time zone cast(:shop_zone as text) as date) then 'until_over'
    else {{ why_not_contactable("c", "'audience'") }}
end
