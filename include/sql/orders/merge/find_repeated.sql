-- Keys of which the load holds several versions.
insert into merge_several
select {{ keys }} from {{ stage }}
group by {{ keys }}
having count(*) > 1
