"""Claim what is due, hand it over, settle the outcome. The only sender."""
