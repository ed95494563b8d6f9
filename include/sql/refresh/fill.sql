-- Puts the members of a selection on a day into a table; how many they are. Only members of the parent come in, so a
-- child never holds another customer. The key of the table refuses a customer twice and a null; a left join lets the null
-- get that far.
with rule as (
{{ rule }}
), filled as (
    insert into {{ members }} (customer_id)
    select r.customer_id
    from rule as r
    {% if parent is defined %}
    left join {{ parent }} as p on p.customer_id = r.customer_id
    where p.customer_id is not null or r.customer_id is null
    {% endif %}
    returning customer_id
)
select count(*) from filled
