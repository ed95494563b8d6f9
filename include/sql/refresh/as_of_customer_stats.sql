-- One row per customer with an order known by then: the statistics as a sync would have left them.
create view {{ schema }}.customer_stats as
{% include "orders/_customer_statistics.sql" %}
