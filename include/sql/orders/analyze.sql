-- Tell the planner what the table holds now.
analyze {{ table }}
