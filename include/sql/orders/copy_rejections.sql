-- Rows that could not be landed.
copy landing.rejections (load_id, file, file_no, row_no, rule, value, row_text, length) from stdin
