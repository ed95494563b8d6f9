-- Empties a work table. Deleted rows would stay as pages that count as empty once they are analyzed: the next comparison
-- would then be planned as if nobody came, and take hours.
truncate {{ work }}
