-- One order per invoice of a file: an invoice beginning with C cancels goods; one can span two minutes, the first
-- counts.
select
    file_no,
    min(row_no) as row_no,
    count(*) as row_count,
    "CustomerID" as customer_ref,
    "Invoice" as order_ref,
    min(cast("InvoiceDate" as timestamp)) at time zone :zone as ordered_at,
    case when "Invoice" like 'C%' then 'cancelled' else 'complete' end as status,
    sum(cast("Quantity" as numeric) * cast("Price" as numeric)) as total,
    'GBP' as currency
from {{ landed }} as landed
group by file_no, "CustomerID", "Invoice"
