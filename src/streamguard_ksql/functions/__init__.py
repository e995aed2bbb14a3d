"""SQL functions: one module per family, each registering what it defines (see `registry`).

Importing this package registers all of them: every module beside this one is loaded, none has to be listed.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):
    if _module.name != "docs":
        import_module(f"{__name__}.{_module.name}")
