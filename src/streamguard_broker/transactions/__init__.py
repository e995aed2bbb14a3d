"""Transactions (KIP-98): which partitions and groups belong to one, and how it ends."""
