"""Partitions on disk: segments, indexes, producer state, recovery, fsync. No sockets and no protocol requests."""
