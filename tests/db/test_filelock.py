import asyncio
import os
from pathlib import Path

import pytest

from bottega.core.clock import SystemClock
from bottega.db.filelock import hold_lock, is_held, try_lock


async def _hold(path: Path, *, exclusive: bool) -> int:
    return await hold_lock(path=path, exclusive=exclusive, clock=SystemClock(), timeout_seconds=0)


async def test_an_exclusive_lock_keeps_everyone_out_until_it_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    fd = await _hold(path, exclusive=True)
    for exclusive in (True, False):
        with pytest.raises(TimeoutError):
            await _hold(path, exclusive=exclusive)
    os.close(fd)
    os.close(await _hold(path, exclusive=True))


async def test_only_the_last_of_several_sharers_can_turn_exclusive(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first, second = await _hold(path, exclusive=False), await _hold(path, exclusive=False)
    assert not try_lock(fd=first, exclusive=True)
    assert try_lock(fd=second, exclusive=True)
    os.close(first)
    os.close(second)


async def test_a_child_that_inherits_a_lock_keeps_it_until_it_dies(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    fd = await _hold(path, exclusive=True)
    child = await asyncio.create_subprocess_exec("sleep", "60", pass_fds=(fd,))
    os.close(fd)
    assert is_held(path=path)
    child.kill()
    await child.wait()
    assert not is_held(path=path)


def test_a_lock_that_was_never_made_is_not_held(tmp_path: Path) -> None:
    assert not is_held(path=tmp_path / "lock")
