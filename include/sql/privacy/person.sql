{% from "contact/macros.sql" import compared_email, compared_phone %}

-- name: find
-- One row per customer with this reference, in one namespace or in any.
select distinct c.customer_id, c.namespace
from shop.customer_versions as c
where c.customer_ref = :ref and (cast(:namespace as text) is null or c.namespace = :namespace)
order by c.namespace;

-- name: customer_id
-- The number that a customer has, or had.
select shop.customer_id(:namespace, :ref) as customer_id;

-- name: addresses
-- One row per version of the customer with an address or a number, as they are compared, and as they were written.
select distinct
    c.email as written_email,
    c.phone as written_phone,
    {{ compared_email("c") }} as email,
    {{ compared_phone("c") }} as phone
from shop.customer_versions as c
where c.customer_id = :customer_id and num_nonnulls(c.email, c.phone) > 0;

-- name: attempting
-- How many messages of the customer a worker is handing over.
select count(*)
from delivery.messages
where customer_id = :customer_id and state = 'attempting';

-- name: order_refs
-- One row per order of the customer from one source.
select distinct order_ref
from shop.order_versions
where customer_id = :customer_id and source = :source;

-- name: message_keys
-- One row per message of the customer.
select message_key
from delivery.messages
where customer_id = :customer_id;
