-- How many rows of this load are rejected, by whatever rules.
select count(*)
from (select distinct file_no, row_no from landing.rejections where load_id = :load_id) as rejected
