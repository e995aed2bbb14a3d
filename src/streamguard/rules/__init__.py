"""The Python rules. Importing this package registers every file of `rules.checks`; there is no list to keep by hand."""

from importlib import import_module
from pkgutil import iter_modules

from streamguard.rules import checks
from streamguard.rules.base import REGISTRY, Alert, Context, Listed, Payment, Registered, Verdict
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
    "Payment",
    "Registered",
    "RuleLimits",
    "Verdict",
    "decide",
]
