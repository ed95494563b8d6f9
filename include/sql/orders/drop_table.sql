-- The load's earlier landing goes.
drop table if exists {{ table }} cascade
