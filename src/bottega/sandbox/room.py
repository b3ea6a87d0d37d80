"""What the rungs have in common: the folders inside, the environment, the doorkeeper and the user a run gets."""

import os
import random
from functools import cache
from pathlib import Path

from bottega.sandbox.kit import Kit

BOX = "/box"
WORK = f"{BOX}/work"
SHARED_MEMORY_BYTES = 64 * 1024**2
_FIRST_USER, _LAST_USER, _NOBODY = 200_000, 265_000, 65534


def environment(kit: Kit, *, binaries: str, temporary: str, libraries: str = "") -> dict[str, str]:
    """Return the whole environment of a command: nothing of the worker's own is in it."""
    values = {
        "PATH": f"{binaries}:/usr/local/bin:/usr/bin:/bin",
        "HOME": temporary,
        "TMPDIR": temporary,
        "LANG": "C.UTF-8",
        "NO_COLOR": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONNOUSERSITE": "1",
    }
    path = libraries or (kit.library_folder if kit.libraries and not kit.masked else "")
    return values | ({"PYTHONPATH": path} if path else {})


def unprivileged_user() -> int | None:
    """Return a user number for one run when the worker is root, so that runs cannot signal or count each other."""
    if os.geteuid() != 0:
        return None
    return random.randint(_FIRST_USER, _LAST_USER) if _maps(_LAST_USER) else _NOBODY  # noqa: S311 - not a secret


@cache
def launcher_source() -> str:
    return Path(__file__).with_name("launcher.py").read_text()


@cache
def _maps(user: int) -> bool:
    """Say whether this user namespace knows `user`; in rootless containers few numbers exist."""
    ranges = (line.split() for line in Path("/proc/self/uid_map").read_text().splitlines())
    return any(int(first) <= user < int(first) + int(count) for first, _, count in ranges)
