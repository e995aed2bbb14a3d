"""The errors of reading people's own files and topics."""

from __future__ import annotations

from streamguard.config import UserError


class InputError(UserError):
    """A file, a layout, a mapping or an option that cannot be used; one sentence: what, where, what to do."""

    exit_code = 2

    def __init__(self, sentence: str) -> None:
        # What is quoted from a file may have line ends.
        super().__init__(" ".join(sentence.split()))


class Ambiguous(InputError):
    """The values can be read in two ways; the sentence names the option that says which.

    `question` asks a person at a terminal; yes sets the option of that `name` to `yes`, no to `no`.
    """

    def __init__(self, sentence: str, question: str, name: str, yes: object, no: object) -> None:
        super().__init__(sentence)
        self.question, self.name, self.yes, self.no = question, name, yes, no


class Missing(InputError):
    """No column gives a field that every transaction has; the sentence names the option that does."""

    def __init__(self, sentence: str, name: str) -> None:
        super().__init__(sentence)
        self.name = name


class BadRow(ValueError):
    """A row that is no payment. `str()` of it is the reason, `kind` the same without any value of the row."""

    def __init__(self, reason: str, kind: str | None = None) -> None:
        super().__init__(reason)
        self.kind = reason if kind is None else kind
