"""Contact: whether, where and when a person may be contacted."""
