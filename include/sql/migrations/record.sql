-- This migration is done, in the transaction that did it.
insert into public.migrations (name)
values (:name)
