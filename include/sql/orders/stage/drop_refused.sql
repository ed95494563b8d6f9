-- Refused rows leave their stage.
delete from {{ table }} as s
using stage_refused as r
where r.feed = :feed and r.file_no = s.file_no and r.row_no = s.row_no
