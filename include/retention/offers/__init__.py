"""Offers: the whole life of a coupon."""
