-- The schema of one world; it is dropped in the transaction that made it.
create schema {{ schema }}
