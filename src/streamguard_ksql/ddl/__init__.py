"""Statements that define sources: what their WITH clauses mean, and what is refused about them."""
