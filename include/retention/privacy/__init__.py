"""Privacy: forgetting a person, in all rooms."""
