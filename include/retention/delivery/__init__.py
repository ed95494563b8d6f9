"""Room 4: claim what is due, hand it over, settle the outcome. The only sender."""
