"""Libraries of the extras, imported when they are needed."""

from importlib import import_module
from types import ModuleType

from streamguard.config.errors import UserError


def need(extra: str, module: str) -> ModuleType:
    """The module, imported. Raises UserError, naming how to install it, where its extra is missing."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise UserError(
            f"this needs the package {error.name}, of the extra {extra}: ./start.sh --with {extra},"
            f" or pip install 'streamguard[{extra}]'"
        ) from None
