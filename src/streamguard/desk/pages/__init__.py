"""The pages, a module each. Every module is imported here by its file, so that a new page needs no line elsewhere."""

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
