"""The Python rules. Importing this package registers every rule file in it; there is no list to keep by hand."""

from importlib import import_module
from pkgutil import iter_modules

from streamguard.consumer.rules.base import REGISTRY, Alert, Context, Listed, Payment, Registered, Verdict
from streamguard.consumer.rules.decide import Decision, decide
from streamguard.consumer.rules.limits import RuleLimits

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

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
