"""Partitions on disk: segments, indexes, producer state, recovery, fsync. Knows no socket and no protocol request."""
