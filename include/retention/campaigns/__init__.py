"""Room 3: who enters, who leaves, which steps are due."""
