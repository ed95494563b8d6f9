"""Room 2: sets of customers, one SQL file each, refreshed by difference."""
