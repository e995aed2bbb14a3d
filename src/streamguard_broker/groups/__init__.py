"""Consumer groups: membership as a state machine without I/O, committed offsets in a state log."""
