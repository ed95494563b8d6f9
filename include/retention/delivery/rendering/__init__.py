"""Rendering: from a template and a person to a text."""
