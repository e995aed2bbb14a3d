"""The API below `/api/v1`: what the pages do, as JSON for programs.

Each endpoint is a function with the models of what it takes and gives; `document` makes the OpenAPI document of them. Every
module is imported here by its file, so that a new endpoint needs no line elsewhere.
A request carries a personal token (`Authorization: Bearer sgt_...`); cookies do not count here.
"""

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
