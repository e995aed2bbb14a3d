"""Look again and again: redrawn in place at a terminal, a block for each time elsewhere."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable
from typing import TextIO

from streamguard.config import Settings
from streamguard.config.visible import drawn_on
from streamguard.stack.status.collect import look
from streamguard.stack.status.model import Status, as_json
from streamguard.stack.status.show import lines, paint

_ENTER, _LEAVE, _HOME, _REST, _END_OF_LINE = (
    "\x1b[?1049h\x1b[?25l",
    "\x1b[?25h\x1b[?1049l",
    "\x1b[H",
    "\x1b[J",
    "\x1b[K",
)
"""The alternate screen without a cursor, and back; the first place; what is below is cleared (xterm's control sequences)."""

Show = Callable[[Status], None]


def at_terminal(stream: TextIO) -> bool:
    """Whether the output is a terminal that takes control sequences."""
    return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def show(status: Status, *, as_document: bool) -> None:
    """Write a picture once: for people, or as JSON."""
    if as_document:
        print(as_json(status), flush=True)
        return
    out = drawn_on(sys.stdout)
    terminal = at_terminal(out)
    out.write("".join(f"{line}\n" for line in _text(status, _columns() if terminal else None)))
    out.flush()


def watch(settings: Settings, every_s: float, *, as_document: bool) -> None:
    """Look every so many seconds, until Ctrl-C ends it quietly."""
    out = drawn_on(sys.stdout)
    in_place = at_terminal(out) and not as_document
    status: Status | None = None
    if in_place:
        out.write(_ENTER)
    try:
        while True:
            began = time.monotonic()
            status = look(settings)
            if in_place:
                _draw(out, status)
            elif as_document:
                print(as_json(status, indent=False), flush=True)
            else:
                show(status, as_document=False)
                print(flush=True)
            time.sleep(max(0.0, every_s - (time.monotonic() - began)))
    except KeyboardInterrupt:
        pass
    finally:
        if in_place:
            out.write(_LEAVE)
            out.flush()
    if in_place and status is not None:
        # What was seen last stays on the screen.
        show(status, as_document=False)


def _draw(out: TextIO, status: Status) -> None:
    """Over what was there, line by line, so that nothing flickers; what does not fit below is left out, and said."""
    height = shutil.get_terminal_size().lines
    text = _text(status, _columns())
    if len(text) > height:
        text = [*text[: height - 1], f"… {len(text) - height + 1} more lines: make the window higher"]
    out.write(_HOME + f"{_END_OF_LINE}\n".join(text) + _END_OF_LINE + _REST)
    out.flush()


def _columns() -> int:
    return shutil.get_terminal_size().columns


def _text(status: Status, width: int | None) -> list[str]:
    colour = width is not None and not os.environ.get("NO_COLOR")
    return [paint(line, colour=colour) for line in lines(status, width)]
