"""Sets of customers, one SQL file each, refreshed by difference."""
