-- The number that a customer has, or had.
select shop.customer_id(:namespace, :ref) as customer_id
