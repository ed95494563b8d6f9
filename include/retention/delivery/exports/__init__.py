"""Exports: files of audiences and cards."""
