"""The kinds of figures, each a topic of its own."""

from __future__ import annotations

from types import MappingProxyType

PREFIX = "figures_by_"

BY_MINUTE = ("type", "channel", "category", "city", "account", "merchant")
"""Counted in windows of a minute."""
KINDS = (*BY_MINUTE, "merchant_5m", "merchant_sliding", "account_sliding")
"""All of them; the last two are those of `analytics-sliding.sql`."""
OF_ACCOUNTS = frozenset({"account", "account_sliding"})
"""Those whose names are accounts, which are personal data."""

TOPICS = MappingProxyType({PREFIX + kind: kind for kind in KINDS})
"""The kind of each topic."""

WAYS = ("flat", "progressive", "tiered", "by_category")
"""The structures of commission, as the SQL names them."""
