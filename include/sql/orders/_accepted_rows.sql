-- The landed rows of a load that no rule rejects. Offset 0: no cast of a mapping may run before the bad rows are gone.
(
    select r.*
    from {{ part }} as r
    where not exists (
        select from landing.rejections as x
        where x.load_id = {{ load_id }} and x.file_no = r.file_no and x.row_no = r.row_no
    )
    offset 0
)
