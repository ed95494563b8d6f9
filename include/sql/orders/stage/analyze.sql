-- Tell the planner what the stage holds; its own daemon cannot see temporary tables.
analyze {{ table }}
