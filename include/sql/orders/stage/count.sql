-- How many rows a stage has.
select count(*) from {{ table }}
