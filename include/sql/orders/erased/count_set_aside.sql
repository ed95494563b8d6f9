-- How many rows of this load were set aside since their customer was erased.
select count(*)
from landing.rejections
where load_id = :load_id and rule = 'erased'
