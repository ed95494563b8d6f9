-- Sorting and hashing a whole history in memory, for this transaction.
set local work_mem = '128MB'
