-- What else was said of rows that were set aside would quote them.
delete from landing.rejections as x
using landing.rejections as e
where e.load_id = any(cast(:load_ids as bigint[]))
    and e.rule = 'erased'
    and x.load_id = e.load_id
    and x.file_no = e.file_no
    and x.row_no = e.row_no
    and x.rule <> 'erased'
