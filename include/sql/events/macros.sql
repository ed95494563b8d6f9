-- True if the click `e` is no person's: a program that scans mails, by its name or by what it does. It follows several
-- links within seconds of the delivery, before a person can have read a word, or three within two seconds. Or it asks
-- only where a link leads (HEAD).
{% macro is_machine(e) -%}
    (
        coalesce({{ e }}.detail = 'head', false)
        or coalesce(
            {{ e }}.agent ~* (
                '(bot|crawl|spider|scan|preview|headless|barracuda|mimecast|proofpoint|safelinks|symantec|trendmicro'
                || '|fireeye|curl|wget|python-|java/|go-http|okhttp|axios|libwww)'
            ),
            false
        )
        or exists (
            select from events.received as d
            inner join events.received as o
                on o.customer_id = d.customer_id and o.message_key = d.message_key and o.kind = 'click'
            where d.customer_id = {{ e }}.customer_id
                and d.message_key = {{ e }}.message_key
                and d.kind = 'delivered'
                and {{ e }}.occurred_at < d.occurred_at + interval '10 seconds'
                and o.occurred_at < d.occurred_at + interval '10 seconds'
                and o.link <> {{ e }}.link
        )
        or 3 <= (
            select count(distinct o.link) from events.received as o
            where o.customer_id = {{ e }}.customer_id
                and o.message_key = {{ e }}.message_key
                and o.kind = 'click'
                and o.occurred_at >= {{ e }}.occurred_at - interval '2 seconds'
                and o.occurred_at <= {{ e }}.occurred_at + interval '2 seconds'
        )
    )
{%- endmacro %}
