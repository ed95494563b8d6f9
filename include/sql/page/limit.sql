-- Side effect: statements of this transaction end after 15 seconds. A page that does not come is worse than one that says so.
select set_config('statement_timeout', '15s', true)
