"""Core: what every room stands on: settings, errors, the database, the clock, days, documents."""
