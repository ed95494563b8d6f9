"""Ledger: the messages, and every transition of one."""
