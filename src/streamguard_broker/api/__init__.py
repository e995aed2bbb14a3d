"""The handlers, one file for each family of API keys. Importing this package loads all of them and fills the registry."""

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
