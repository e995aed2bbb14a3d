"""The Python rules. Importing this package registers every file of `rules.checks`; there is no list to keep by hand."""

from importlib import import_module
from pkgutil import iter_modules

from streamguard.rules import checks
from streamguard.rules.base import REGISTRY, Alert, Context, Listed, Registered, StoredTransaction, Verdict
from streamguard.rules.catalogue import Rule, catalogue
from streamguard.rules.decide import Decision, decide
from streamguard.rules.limits import RuleLimits

for _module in iter_modules(checks.__path__):
    import_module(f"{checks.__name__}.{_module.name}")

__all__ = [
    "REGISTRY",
    "Alert",
    "Context",
    "Decision",
    "Listed",
    "Registered",
    "Rule",
    "RuleLimits",
    "StoredTransaction",
    "Verdict",
    "catalogue",
    "decide",
]
