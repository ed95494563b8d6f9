{% from "orders/macros.sql" import is_erased, reject %}

-- name: erased_order_refs
-- One row per order in landed rows of a customer who was erased.
select distinct ({{ order_ref }}) as order_ref
from {{ table }} as landed
where {{ is_erased("landed", customer_ref) }};

-- name: quarantine_erased
-- One row per landed row of a customer who was erased: it goes, and a rejection takes its place.
with gone as (
    delete from {{ table }} as landed
    where {{ is_erased("landed", customer_ref) }}
    returning landed.load_key, landed.file_no, landed.row_no
)

{{ reject("gone") }};

-- name: quarantine_erased_lines
-- One row per landed line of the orders given, whose customer was erased: it goes, and a rejection takes its place.
with gone as (
    delete from {{ table }} as landed
    where ({{ order_ref }}) = any(cast(:order_refs as text[]))
        and (cast(:load_key as text) is null or landed.load_key = :load_key)
    returning landed.load_key, landed.file_no, landed.row_no
)

{{ reject("gone") }};

-- name: count_quarantined
-- How many rows of this load are quarantined since their customer was erased.
select count(*)
from landing.rejections
where load_id = :load_id and rule = 'erased';

-- name: forget_other_rejections
-- What else was said of rows that were quarantined would quote them.
delete from landing.rejections as x
using landing.rejections as e
where e.load_id = any(cast(:load_ids as bigint[]))
    and e.rule = 'erased'
    and x.load_id = e.load_id
    and x.file_no = e.file_no
    and x.row_no = e.row_no
    and x.rule <> 'erased';

-- name: recount
-- Of published loads with rows quarantined since: what is accepted and what is rejected, which still make up what
-- landed.
update landing.loads as l
set rejected = r.rejected, accepted = l.landed - r.rejected
from (
    select load_id, count(*) as rejected
    from (
        select distinct load_id, file_no, row_no
        from landing.rejections
        where load_id = any(cast(:load_ids as bigint[]))
    ) as x
    group by load_id
) as r
where l.load_id = r.load_id and l.accepted is not null;
