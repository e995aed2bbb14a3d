"""The jobs. Importing this package registers every job in it; it needs the extra `batch`."""

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
