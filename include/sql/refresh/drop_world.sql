-- Takes the views and tables of a world along.
drop schema {{ schema }} cascade
