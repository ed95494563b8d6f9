-- The fresh table becomes the load's partition; its check on load_key saves the scan.
alter table {{ parent }} attach partition {{ part }} for values in ({{ load_key }})
