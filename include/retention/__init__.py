"""Retention campaigns for web shops: orders -> selections -> campaigns -> delivery, explained in SQL."""
