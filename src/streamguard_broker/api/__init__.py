"""The handlers, a module for each family of API keys.

Importing this package imports all of its modules, each of which registers its handlers with `registry.handles`: a new
API key is a function in one of them, or a new module.
"""

from __future__ import annotations

import importlib
import pkgutil

from streamguard_broker.registry import HANDLERS

__all__ = ["HANDLERS"]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
