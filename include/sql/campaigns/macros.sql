{% from "contact/macros.sql" import is_known %}

-- Over the enrolment e, as known at as_of.

-- True of an enrolment that an order ends. That is an order not cancelled, placed on a day after the entry, or one that
-- became known only after the entry: under a later number than the entry has, or, for a day that was done late, after
-- the midnight (in :shop_zone) that ended the day of entry. A complete order is known from its first complete version.
-- The exit of a day and the claim of a message both ask it, so that no message follows an order we know of.
{% macro has_ordered_since_entry(e, as_of=":known_by") -%}
    exists (
        select from shop.order_versions as o
        where o.customer_id = {{ e }}.customer_id
            and o.status <> 'cancelled'
            and {{ is_known("o", as_of) }}
            and (
                o.ordered_on > {{ e }}.entered_on
                or exists (
                    select from shop.orders as present
                    where present.customer_id = o.customer_id
                        and present.source = o.source
                        and present.order_ref = o.order_ref
                        and present.change_no > {{ e }}.entered_change
                )
                or not exists (
                    select from shop.order_versions as earlier
                    where earlier.customer_id = o.customer_id
                        and earlier.source = o.source
                        and earlier.order_ref = o.order_ref
                        and earlier.known_at <= cast({{ e }}.entered_on + 1 as timestamp) at time zone :shop_zone
                        and (earlier.status = 'complete' or o.status <> 'complete')
                )
            )
    )
{%- endmacro %}

-- True of an enrolment whose customer has unsubscribed from e-mail or from everything, by link, by a text that says
-- STOP, or by a complaint.
{% macro has_unsubscribed(e, as_of=":known_by") -%}
    exists (
        select from shop.suppressions as s
        where s.customer_id = {{ e }}.customer_id
            and s.channel in ('email', 'all')
            and s.reason in ('unsubscribed', 'stopped', 'complaint')
            and s.known_at <= {{ as_of }}
            and (s.lifted_at is null or s.lifted_at > {{ as_of }})
    )
{%- endmacro %}

-- The number from 0 to 2^32 - 1 that a household, or a customer without one, draws in :campaign, by its first name: the
-- same at every entry. It decides the arm.
{% macro number_drawn(household, customer_id) -%}
    cast(cast('x' || substring(encode(sha256(convert_to(
        coalesce((select f.first_name from campaigns.first_names as f where f.campaign = :campaign), :campaign)
        || chr(31) || coalesce({{ household }}, cast({{ customer_id }} as text)), 'UTF8'
    )), 'hex') from 1 for 8) as bit(32)) as bigint)
{%- endmacro %}
