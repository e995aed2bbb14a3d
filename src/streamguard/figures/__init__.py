"""Live figures: what `ksqldb/analytics.sql` counts, on its way into Postgres and onto the desk.

The life of a figure:

1. A query of the file adds a valid transaction to its window, and writes the window as it is now to a topic, `figures_by_...`.
2. The sink `figures` (`streamguard.sinks.figures`) puts the newest state of each window into the table `live_figures`, in one
   database transaction with the offsets (`store`).
3. `reading` adds windows up, for the pages of the desk.
"""
