-- One row per member of a selection on a day that it has done.
create view {{ view }} as
select m.customer_id
from selections.membership as m
where m.selection = {{ name }} and m.entered_on <= {{ day }} and (m.left_on is null or m.left_on > {{ day }})
