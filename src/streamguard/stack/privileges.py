"""Leave root behind: Postgres refuses to run as root, and containers and small servers often have no other user.

The process becomes `nobody` and owns only its data folder. A folder above it (or above the programs) that only root may
enter, such as /root or `mktemp -d`, would still shut it out; on Linux one capability, and no more, is carried across
exec for that: CAP_DAC_READ_SEARCH (read and enter any folder), or CAP_DAC_OVERRIDE where a container's bounding set lacks
the former. Postgres looks for its own programs with access(2), which drops the capabilities of a process whose real user
is not root unless the securebit NO_SETUID_FIXUP is set. Numbers and structures: capabilities(7), capset(2), prctl(2).
"""

from __future__ import annotations

import ctypes
import os
import pwd
import stat
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from streamguard.config import UserError
from streamguard.stack import launcher

_CAP_DAC_OVERRIDE = 1
_CAP_DAC_READ_SEARCH = 2
_PR_CAPBSET_READ = 23
_PR_GET_SECUREBITS = 27
_PR_SET_SECUREBITS = 28
_SECBIT_NO_SETUID_FIXUP = 4
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAPABILITY_VERSION_3 = 0x20080522


class PrivilegeError(UserError):
    """Root's files cannot be reached by any other user; the text says what to do."""


def unprivileged_user() -> tuple[int, int]:
    """User and group id to become: `nobody`, by name where the system has it."""
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        return 65534, 65534
    return entry.pw_uid, entry.pw_gid


def shut_folders(paths: Iterable[Path]) -> list[Path]:
    """The folders on the way to `paths` that others may not enter."""
    folders = {parent for path in paths for parent in path.resolve().parents}
    return sorted(folder for folder in folders if not folder.stat().st_mode & stat.S_IXOTH)


def own(folder: Path, uid: int, gid: int) -> None:
    """Give `folder` and all in it to the user, where it is not theirs yet."""
    if folder.stat().st_uid == uid:
        return
    for root, _, files in os.walk(folder):
        os.chown(root, uid, gid)
        for name in files:
            os.chown(Path(root, name), uid, gid, follow_symlinks=False)


def dropper(paths: Iterable[Path]) -> Callable[[], None]:
    """A function that turns this process (or a child before exec) into `nobody` who can still reach `paths`.

    Does nothing when we are not root. Raises PrivilegeError at once where it cannot work.
    """
    if os.geteuid() != 0:
        return lambda: None
    uid, gid = unprivileged_user()
    shut = shut_folders(paths)
    capability = _usable_capability(shut) if shut else None

    def drop() -> None:
        parent, death_signal = os.getppid(), launcher.death_signal()
        if capability is not None:
            # All capabilities stay for the few lines until _carry_across_exec has given up every other one.
            _prctl(_PR_SET_SECUREBITS, _prctl(_PR_GET_SECUREBITS) | _SECBIT_NO_SETUID_FIXUP)
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
        if capability is not None:
            _carry_across_exec(capability)
        if death_signal:
            # A change of user clears it. The parent may have ended meanwhile.
            launcher.end_with_parent(death_signal)
            if os.getppid() != parent:
                os.kill(os.getpid(), death_signal)

    return drop


def can_cross_shut_folders() -> bool:
    """Whether a process that `dropper` turns into `nobody` gets through folders that are shut to it; True where we are not
    root, and nobody is turned."""
    if os.geteuid() != 0:
        return True
    try:
        _usable_capability([Path("/")])
    except PrivilegeError:
        return False
    return True


def _usable_capability(shut: list[Path]) -> int:
    if sys.platform.startswith("linux"):
        for capability in (_CAP_DAC_READ_SEARCH, _CAP_DAC_OVERRIDE):
            if _libc().prctl(_PR_CAPBSET_READ, capability, 0, 0, 0) == 1:
                return capability
    raise PrivilegeError(
        f"Postgres does not run as root, and as another user it cannot enter {shut[0]}: run as an ordinary user, "
        f"or set STREAMGUARD_STATE_DIR to a folder that everybody may enter"
    )


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _prctl(*arguments: int) -> int:
    libc = _libc()
    padded = [ctypes.c_ulong(a) for a in (*arguments, 0, 0, 0, 0)[1:5]]
    answer = int(libc.prctl(ctypes.c_int(arguments[0]), *padded))
    if answer < 0:
        raise PrivilegeError(f"prctl{arguments} failed: {os.strerror(ctypes.get_errno())}")
    return answer


def _carry_across_exec(capability: int) -> None:
    """Keep exactly one capability: permitted, inheritable and ambient, so that the next exec keeps it."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    mask = 1 << capability
    data = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)
    if _libc().capset(header, data) != 0:
        code = ctypes.get_errno()
        raise PrivilegeError(f"capset failed: {os.strerror(code)}")
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability)
