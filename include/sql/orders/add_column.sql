-- One more text column in a landing table.
alter table {{ table }} add column {{ column }} text
