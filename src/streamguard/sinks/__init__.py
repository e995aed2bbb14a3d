"""Sinks: where the records of the topics go besides Postgres. Importing this package registers every sink in it.

A sink is one module with one `@sink` class, and one test. `runner.run` reads the topics and hands it the records; sinks are
readers of topics, never of each other, so one that is unavailable stops no other.
"""

from importlib import import_module
from pkgutil import iter_modules

from streamguard.sinks.base import SINKS, Batch, Kind, Sink, SinkError, SinkRecord, SinkUnavailable, sink

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = ["SINKS", "Batch", "Kind", "Sink", "SinkError", "SinkRecord", "SinkUnavailable", "sink"]
