-- What an earlier publication of this load refused is looked at again.
delete from landing.rejections
where load_id = :load_id and rule = any(:rules)
