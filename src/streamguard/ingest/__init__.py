"""Payments that others made: files of any kind (`files`) and foreign topics (`topics`), as rows and as SQL."""
