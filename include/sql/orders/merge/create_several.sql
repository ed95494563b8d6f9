-- Keys that need a look at all their versions: several in the load, or one that differs from what the shop has.
create temporary table merge_several as
select {{ keys }} from {{ table }}
with no data
