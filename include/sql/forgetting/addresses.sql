-- One row per version of the customer with an address or a number, as they are compared, and as they were written.
select distinct
    c.email as written_email,
    c.phone as written_phone,
    {% include "orders/erased/_email.sql" %} as email,
    {% include "orders/erased/_phone.sql" %} as phone
from shop.customer_versions as c
where c.customer_id = :customer_id and num_nonnulls(c.email, c.phone) > 0
