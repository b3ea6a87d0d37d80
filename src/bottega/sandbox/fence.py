"""A fence around a program we trust that handles text we do not: it keeps the network, and few files.

    python -I -m bottega.sandbox.fence '{"read": [...], "write": [...]}' PROGRAM ARGUMENT...

PROGRAM reads below `read` and writes below `write`; no other file exists for it. It dies with whoever started it. A
fence that cannot be built starts nothing. What projects' own commands need is the sandbox, which is far stricter.
"""

import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from bottega.sandbox import launcher

_CANNOT = 125
_SYSTEM = (
    *("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin"),
    *("/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/etc/ld.so.cache", "/etc/localtime", "/etc/mime.types"),
    *("/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf"),
    *("/etc/passwd", "/etc/group"),
    *("/dev/random", "/dev/urandom", "/dev/zero", "/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat"),
    "/sys/devices/system/cpu",
)
_DEVICES = ("/dev/null", "/dev/full")


def can_fence() -> bool:
    """Tell whether this kernel has what a fence is made of."""
    return sys.platform == "linux" and launcher.landlock_version() > 0


def fenced(argv: Sequence[str], *, read: Sequence[Path], write: Sequence[Path]) -> tuple[str, ...]:
    """Return the command that runs `argv` behind a fence."""
    rules = {
        "read": [*_SYSTEM, *(str(path) for path in read)],
        "write": [*_DEVICES, *(str(path) for path in write)],
    }
    return (sys.executable, "-I", "-m", __name__, json.dumps(rules), *argv)


def main() -> NoReturn:
    rules, argv = json.loads(sys.argv[1]), sys.argv[2:]
    try:
        launcher.prctl(launcher.SET_PDEATHSIG, signal.SIGKILL)
        launcher.prctl(launcher.NO_NEW_PRIVS, 1)
        launcher.restrict_paths({**rules, "tcp": True})
        os.execv(argv[0], argv)  # noqa: S606  # no shell: the words are ours, their text is never read as commands
    except OSError as error:
        os.write(2, f"No fence could be built: {error}\n".encode())
        os._exit(_CANNOT)


if __name__ == "__main__":
    main()
