-- The next feed has files of its own.
delete from stage_files
