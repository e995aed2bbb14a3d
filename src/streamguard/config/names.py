"""Settings that accept only names they know: a misspelt variable is an error that names the nearest one."""

from __future__ import annotations

import os
import re
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar

from dotenv import dotenv_values
from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableSource

from streamguard.config.errors import SettingsError

ENV_FILE = ".env"
"""Read in the current folder only."""


class CheckedSettings(BaseSettings):
    """A settings class whose constructor raises SettingsError, one sentence, for unknown names and wrong values.

    A name of the environment or of `.env` that begins with the class's prefix has to be one of its fields, unless it
    begins with one of `elsewhere`, the prefixes that belong to other classes (or to the tests).
    """

    model_config = SettingsConfigDict(env_file=ENV_FILE, env_file_encoding="utf-8", extra="ignore")
    elsewhere: ClassVar[tuple[str, ...]] = ()

    def __init__(self, **values: Any) -> None:
        _check_current_folder()
        try:
            super().__init__(**values)
        except UnicodeDecodeError as error:
            raise SettingsError(
                f"{Path(ENV_FILE).absolute()} is not UTF-8 text ({error.reason}): save it as that"
            ) from None
        except OSError as error:
            file = Path(error.filename or ENV_FILE).absolute()
            raise SettingsError(
                f"{file} cannot be read ({error.strerror}): make it yours to read, or remove it"
            ) from None
        except UnreadableSource as error:
            field = re.search(r'field "(\w+)"', str(error))
            name = self.variable_of(field[1]) if field else "settings"
            raise SettingsError(f'{name}: JSON is expected, such as {{"name": "value"}}') from None
        except ValidationError as error:
            raise SettingsError("; ".join(map(self._sentence, error.errors(include_url=False)))) from None
        self._refuse_unknown_names(values.get("_env_file", ENV_FILE))

    @classmethod
    def variable_of(cls, field: str) -> str:
        """The environment variable that sets a field."""
        alias = cls.model_fields[field].validation_alias
        return alias if isinstance(alias, str) else cls.model_config["env_prefix"] + field.upper()

    @classmethod
    def _sentence(cls, problem: Any) -> str:
        message = str(problem["msg"]).removeprefix("Value error, ")
        if not problem["loc"]:
            return message  # of several settings, which it names
        name = str(problem["loc"][0])
        variable = cls.variable_of(name) if name in cls.model_fields else name
        return f"{variable}: {message}"

    @classmethod
    def _refuse_unknown_names(cls, env_file: str | None) -> None:
        known = [cls.variable_of(field) for field in cls.model_fields]
        sources = {"": set(os.environ)}
        if env_file is not None:
            sources[f" in {Path(env_file).absolute()}"] = set(dotenv_values(env_file))
        for where, names in sources.items():
            for name in sorted(map(str.upper, names)):
                if name not in known and cls._is_ours(name):
                    nearest = get_close_matches(name, known, n=1, cutoff=0)
                    raise SettingsError(f"{name}{where} is not a setting; the nearest one is {nearest[0]}")

    @classmethod
    def _is_ours(cls, name: str) -> bool:
        return name.startswith(cls.model_config["env_prefix"]) and not name.startswith(cls.elsewhere)


def _check_current_folder() -> None:
    """Raises SettingsError where it is gone: `.env` and the state folder are looked for in it."""
    try:
        os.getcwd()
    except FileNotFoundError:
        raise SettingsError("the current folder was removed: go to another one") from None
