-- One order line per row; its place among the invoice's lines in the file is its number.
select
    file_no,
    row_no,
    "CustomerID" as customer_ref,
    "Invoice" as order_ref,
    "StockCode" as product_ref,
    nullif(trim("Description"), '') as description,
    cast("Quantity" as numeric) as quantity,
    cast("Price" as numeric) as unit_price
from {{ landed }} as landed
