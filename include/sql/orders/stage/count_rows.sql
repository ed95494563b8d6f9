-- How many landed rows are in a stage.
select coalesce(sum(row_count), 0) from {{ table }}
