-- What bare table names mean until this transaction ends.
select set_config('search_path', :search_path, true)
