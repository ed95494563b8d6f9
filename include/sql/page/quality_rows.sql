-- The first rejected rows of one load by one rule, in the order of the file.
select
    r.file,
    r.row_no,
    r.value,
    r.row_text,
    r.length
from landing.rejections as r
where r.load_id = :load_id
    and r.rule = :rule
order by r.file, r.row_no
limit :number
