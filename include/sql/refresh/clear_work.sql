-- Empties a work table. After a delete the pages would stay, and once they are analyzed as empty the planner expects one
-- row where a hundred thousand come: the comparison may then become a loop over both sides.
truncate {{ work }}
