-- The fresh table takes the load's name.
alter table {{ table }} rename to {{ name }}
