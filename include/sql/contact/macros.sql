-- Whether, where and when a person may be contacted: the one answer to it, for selections, entry, planning, claim and
-- export. c: the alias of a customer's row; channel: an expression; as_of: the instant whose knowledge counts;
-- shop_zone: the zone of customers who have none; facts: the schema of the facts, nothing in a selection, whose world
-- has its own.

-- A predicate over the version v of a fact: it is what was known at as_of.
{% macro is_known(v, as_of=":known_by") -%}
    {{ v }}.known_at <= {{ as_of }} and {{ v }}.superseded_at > {{ as_of }}
{%- endmacro %}

-- True of a customer who must not be contacted on a channel, whatever they once agreed to.
{% macro is_suppressed(c, channel, as_of=":known_by", facts="shop.") -%}
    exists (
        select from {{ facts }}suppressions as suppression
        where suppression.customer_id = {{ c }}.customer_id
            and suppression.channel in ({{ channel }}, 'all')
            and suppression.known_at <= {{ as_of }}
            and (suppression.lifted_at is null or suppression.lifted_at > {{ as_of }})
    )
{%- endmacro %}

-- What a customer last said about marketing on a channel: at most one row of is_granted and basis.
{% macro answer(c, channel, as_of, facts) -%}
    (
        select consent.is_granted, consent.basis
        from {{ facts }}consent_versions as consent
        where consent.customer_id = {{ c }}.customer_id
            and consent.purpose = 'marketing'
            and consent.channel = {{ channel }}
            and {{ is_known("consent", as_of) }}
    )
{%- endmacro %}

-- On what ground the law lets a customer be contacted on a channel: the rule of their country, or the one of unknown
-- where it has none, that holds on their local day. Null: no rule.
{% macro legal_basis(c, channel, as_of, shop_zone, facts) -%}
    (
        select rule.basis
        from {{ facts }}rules as rule
        where rule.channel = {{ channel }}
            and rule.country in ({{ c }}.country, 'unknown')
            and rule.valid_from <= cast(
                cast({{ as_of }} as timestamptz)
                at time zone coalesce({{ c }}.time_zone, cast({{ shop_zone }} as text)) as date
            )
        order by rule.country = 'unknown', rule.valid_from desc
        limit 1
    )
{%- endmacro %}

-- True of a customer who has completed an order.
{% macro has_bought(c, as_of, facts) -%}
    exists (
        select from {{ facts }}order_versions as purchase
        where purchase.customer_id = {{ c }}.customer_id
            and purchase.status = 'complete'
            and {{ is_known("purchase", as_of) }}
    )
{%- endmacro %}

-- True where there is a ground to contact a customer on a channel. A consent that was asked for is enough everywhere;
-- an address from a sale (soft_opt_in) where the law knows it, of a customer who has completed an order; nothing at all
-- where the law asks for nothing, until they object.
{% macro has_ground(c, channel, as_of, shop_zone, facts) -%}
    case
        when exists (
            select from {{ answer(c, channel, as_of, facts) }} as answer
            where answer.is_granted and answer.basis = 'consent'
        ) then true
        else case {{ legal_basis(c, channel, as_of, shop_zone, facts) }}
        when 'soft_opt_in'
                then exists (select from {{ answer(c, channel, as_of, facts) }} as answer where answer.is_granted)
                and {{ has_bought(c, as_of, facts) }}
        when 'legitimate_interest'
                then not exists (
                    select from {{ answer(c, channel, as_of, facts) }} as answer
                    where not answer.is_granted
                )
            else false
        end
    end
{%- endmacro %}

-- True of a customer whom something sent on a channel can reach: they have the kind of address that the channel needs.
{% macro has_address(c, channel) -%}
    case {{ channel }}
    {% for name, kind in channels %}
        when '{{ name }}' then {{ has_kind_of_address(c, kind) }}
    {% endfor %}
    end
{%- endmacro %}

{% macro has_kind_of_address(c, kind) -%}
    {%- if kind == "email" -%} {{ c }}.email_ok
    {%- elif kind == "phone" -%} {{ c }}.phone_ok
    {%- elif kind == "email_or_phone" -%} {{ c }}.email_ok or {{ c }}.phone_ok
    {%- elif kind == "street" -%} num_nulls({{ c }}.street, {{ c }}.postal_code, {{ c }}.city, {{ c }}.country) = 0
    {%- endif -%}
{%- endmacro %}

-- Whom a provider of the channel is told to reach: an e-mail address or a number; empty where it is neither.
{% macro recipient(c, channel) -%}
    case {{ channel }}
    {% for name, kind in channels if kind in ("email", "phone") %}
        when '{{ name }}' then {{ c }}.{{ kind }}
    {% endfor %}
        else ''
    end
{%- endmacro %}

-- A query of everybody who has a valid address of one of the customers in `which`, a query of customer_id: the kind of
-- address, `via`, and since when they have it.
{% macro with_same_address(which) -%}
    {{ with_same("email", "lower(c.email)", which) }}
    union all
    {{ with_same("phone", "c.phone", which) }}
{%- endmacro %}

{% macro with_same(via, address, which) -%}
    select '{{ via }}' as via, {{ address }} as address, c.customer_id, c.known_at
    from shop.customers as c
    where c.{{ via }}_ok
        and {{ address }} in (
            select {{ address }}
            from shop.customers as c
            where c.{{ via }}_ok and c.customer_id in ({{ which }})
        )
{%- endmacro %}

-- A table of one row per channel: its name and the kind of address it needs.
{% macro channel_kinds() -%}
    (values {% for name, kind in channels %}('{{ name }}', '{{ kind }}'){{ ", " if not loop.last }}{% endfor %})
{%- endmacro %}

-- Why a customer must not be contacted on a channel: suppressed, no_consent or no_address; null where they may be.
{% macro why_not_contactable(c, channel, as_of=":known_by", shop_zone=":shop_zone", facts="shop.") -%}
    case
        when {{ is_suppressed(c, channel, as_of, facts) }} then 'suppressed'
        when not {{ has_ground(c, channel, as_of, shop_zone, facts) }} then 'no_consent'
        when ({{ has_address(c, channel) }}) is not true then 'no_address'
    end
{%- endmacro %}

-- True of a customer who may be contacted on a channel.
{% macro contactable(c, channel, as_of=":known_by", shop_zone=":shop_zone", facts="shop.") -%}
    ({{ why_not_contactable(c, channel, as_of, shop_zone, facts) }}) is null
{%- endmacro %}

-- A table of one row per country: its zones.
{% macro places() -%}
    (
        select p.country, array_agg(p.zone order by p.zone) as zones
        from shop.country_zones as p
        group by p.country
    )
{%- endmacro %}

-- The zones in which a customer may be: their own, else all of their country, a row of places, else the shop's.
{% macro zones(c, place, shop_zone=":shop_zone") -%}
    case
        when {{ c }}.time_zone is not null then array[{{ c }}.time_zone]
        else coalesce({{ place }}.zones, array[cast({{ shop_zone }} as text)])
    end
{%- endmacro %}

-- True of a customer on one of the lists of subscribers, a JSON list, as known at as_of; null is everybody.
{% macro is_on_list(customer_id, lists, as_of=":known_by") -%}
    (
        {{ lists }} is null
        or exists (
            select from jsonb_array_elements_text({{ lists }}) as asked (list)
            join shop.list_member_versions as listed on listed.list = asked.list
            where listed.customer_id = {{ customer_id }}
                and {{ is_known("listed", as_of) }}
                and listed.since <= {{ as_of }}
                and coalesce(listed.until > {{ as_of }}, true)
        )
    )
{%- endmacro %}

-- True of a local date, an expression, on which the customer c gets no message: one of no_send_on, the JSON list of a
-- campaign; null is none.
{% macro is_spared(c, on_day, no_send_on) -%}
    exists (
        select from jsonb_array_elements_text({{ no_send_on }}) as spared (what)
        where spared.what = to_char({{ on_day }}, 'YYYY-MM-DD')
            or (
                spared.what like 'public holidays%'
                and exists (
                    select from shop.holidays as kept
                    where kept.country = coalesce(substring(spared.what from ' in (..)$'), {{ c }}.country)
                        and kept.holiday = {{ on_day }}
                )
            )
    )
{%- endmacro %}

-- The local date so many days after on_day, counting only days on which the customer c may get a message; with 0 the
-- first of them that is not before it.
{% macro send_day(c, on_day, later, no_send_on) -%}
    case
        when {{ no_send_on }} is null then {{ on_day }} + {{ later }}
        else (
            select max(n.local_date)
            from (
                select a.local_date
                from (
                    select {{ on_day }} + i.number as local_date from generate_series(0, 400) as i (number)
                ) as a
                where not {{ is_spared(c, "a.local_date", no_send_on) }}
                order by a.local_date
                limit {{ later }} + 1
            ) as n
        )
    end
{%- endmacro %}

-- Joins, as the alias law, the hours on a local day in which the law of a customer's country lets somebody contact them
-- on a channel: earliest and latest; of unknown where it has no rule then. Null: no limit.
{% macro join_legal_hours(law, c, channel, on_day) -%}
    left join shop.law as {{ law }}_own
        on {{ law }}_own.country = {{ c }}.country
        and {{ law }}_own.channel = {{ channel }}
        and daterange({{ law }}_own.valid_from, {{ law }}_own.valid_until) @> {{ on_day }}
    left join shop.law as {{ law }}_other
        on {{ law }}_other.country = 'unknown'
        and {{ law }}_other.channel = {{ channel }}
        and daterange({{ law }}_other.valid_from, {{ law }}_other.valid_until) @> {{ on_day }}
    cross join
        lateral (
            select
                case
                    when {{ law }}_own.country is null then {{ law }}_other.earliest
                    else {{ law }}_own.earliest
                end as earliest,
                case
                    when {{ law }}_own.country is null then {{ law }}_other.latest
                    else {{ law }}_own.latest
                end as latest
        ) as {{ law }}
{%- endmacro %}

-- The digest under which an address stands in shop.erased: HMAC-SHA256 by the secret's two pads, so that the secret
-- itself never reaches the database. `kind` is a word, `value` an expression.
{% macro digest(kind, value) -%}
    sha256(cast(:outer_pad as bytea) || sha256(cast(:inner_pad as bytea) || convert_to(
        concat_ws(chr(31), 'erased', '{{ kind }}', {{ value }}), 'UTF8'
    )))
{%- endmacro %}

-- The e-mail address of the customer `c` as it is compared.
{% macro compared_email(c) -%}
    lower(trim({{ c }}.email))
{%- endmacro %}

-- The number of the customer `c` as it is compared.
{% macro compared_phone(c) -%}
    regexp_replace({{ c }}.phone, '[^0-9+]', '', 'g')
{%- endmacro %}
