"""Comparisons with other products, which they download. Not part of the wheel."""
