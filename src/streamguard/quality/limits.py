"""Where quality becomes an alarm. `ops/prometheus/alerts.yml` has the same numbers; a test holds the two together."""

from __future__ import annotations

DEAD_LETTER_SHARE = 0.01
"""Of the records read: the alarm DeadLetters."""
P95_AGE_S = 10.0
"""From event to row: the alarm StaleRows."""
LATE_SHARE = 0.05
"""Of the records stored: the alarm LateRecords."""
DUPLICATE_SHARE = 0.01
"""Of the records read: the alarm RepeatedRecords."""
FILLED_OF_USUAL = 0.8
"""A field is filled at least so often as this part of what is usual: the alarm FieldMissing."""
VOLUME_FACTOR = 2.0
"""An hour has no more than so many times what is usual, and no less than that part of it: the alarm UnusualVolume."""

FEWEST = 100
"""Records. Of fewer no share is told."""
USUAL_DAYS = 7
"""What is usual of a field: its share in so many days before."""
WEEKS = 4
"""What is usual of an hour: the median of the same hour so many weeks back, where two of them had records at least."""
