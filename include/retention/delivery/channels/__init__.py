"""Channels: the providers that messages are handed to."""
