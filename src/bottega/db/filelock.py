"""Locks that the kernel releases when their holders die, however they die.

A lock is an open file: closing it lets go, and a child process that inherits it keeps holding after its parent is gone.
Taking a lock never blocks the event loop.
"""

import fcntl
import os
from pathlib import Path

from bottega.core.clock import Clock

_POLL_SECONDS = 0.01


def try_lock(*, fd: int, exclusive: bool) -> bool:
    """Take the lock, or turn one kind into the other; a failed turn leaves the file unlocked."""
    try:
        fcntl.flock(fd, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def hold_lock(*, path: Path, exclusive: bool, clock: Clock, timeout_seconds: float) -> int:
    """Return the file descriptor of a lock that is held until it is closed; raise TimeoutError when others keep it."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        await _wait_for_lock(fd, exclusive=exclusive, clock=clock, timeout_seconds=timeout_seconds)
    except BaseException:
        os.close(fd)
        raise
    return fd


def is_held(*, path: Path) -> bool:
    """Tell whether any process holds the lock, of either kind."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not try_lock(fd=fd, exclusive=True)
    finally:
        os.close(fd)


async def _wait_for_lock(fd: int, *, exclusive: bool, clock: Clock, timeout_seconds: float) -> None:
    deadline = clock.monotonic() + timeout_seconds
    while not try_lock(fd=fd, exclusive=exclusive):
        if clock.monotonic() >= deadline:
            raise TimeoutError
        await clock.sleep(_POLL_SECONDS)
