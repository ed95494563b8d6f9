"""Who enters, who leaves, which steps are due."""
