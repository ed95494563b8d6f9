-- Empties the work table of one selection.
delete from selections.work where selection = :selection
