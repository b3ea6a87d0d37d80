"""A control group per run where the host lets us make one: the only bound on what many processes use together.

Version 1 and 2 are both spoken. In most containers the hierarchy is read-only; then `control_group` yields None and the
per-process limits alone hold (RLIMIT_DATA times RLIMIT_NPROC).
"""

import asyncio
import contextlib
import os
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bottega.core.ids import new_id
from bottega.sandbox.types import Limits

_ROOT = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlGroup:
    folders: tuple[Path, ...]
    memory_events: Path

    def add(self, pid: int) -> None:
        for folder in self.folders:
            with contextlib.suppress(ProcessLookupError):  # it has already ended
                (folder / "cgroup.procs").write_text(str(pid))

    def ran_out_of_memory(self) -> bool:
        killed = re.search(r"^oom_kill (\d+)", self.memory_events.read_text(), re.MULTILINE)
        return bool(killed and int(killed[1]))

    async def remove(self) -> None:
        for folder in self.folders:
            for _ in range(50):  # the last processes are dead, the kernel may still be accounting for them
                try:
                    folder.rmdir()
                except OSError:
                    await asyncio.sleep(0.02)
                else:
                    break


@contextlib.asynccontextmanager
async def control_group(limits: Limits) -> AsyncIterator[ControlGroup | None]:
    """Yield a group for one run, or None where none can be made; it is removed whatever happens."""
    group = _made(limits)
    try:
        yield group
    finally:
        if group:
            await asyncio.shield(group.remove())


def _made(limits: Limits) -> ControlGroup | None:
    parents = _parents()
    if not parents:
        return None
    name = f"bottega-{os.getpid()}-{new_id().hex}"
    unified = "" in parents
    values: Mapping[str, Mapping[str, int]] = {
        "": {"memory.max": limits.memory_bytes, "memory.swap.max": 0, "pids.max": limits.processes},
        "memory": {"memory.limit_in_bytes": limits.memory_bytes, "memory.memsw.limit_in_bytes": limits.memory_bytes},
        "pids": {"pids.max": limits.processes},
    }
    folders: list[Path] = []
    try:
        for controller, parent in parents.items():
            (parent / name).mkdir()
            folders.append(parent / name)
            for key, value in values[controller].items():
                _write(parent / name / key, value)
    except OSError:
        for folder in folders:
            folder.rmdir()
        return None
    return ControlGroup(
        folders=tuple(folders),
        memory_events=folders[0] / ("memory.events" if unified else "memory.oom_control"),
    )


def _write(path: Path, value: int) -> None:
    if path.exists():  # swap accounting may be off
        path.write_text(str(value))


@cache
def _parents() -> Mapping[str, Path]:
    """Return where this process may make groups, by controller; version 2 has one place, under the empty name."""
    own: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            own |= dict.fromkeys(controllers.split(","), path.lstrip("/"))
    if "memory" in own:
        found = {name: _ROOT / name / own[name] for name in ("memory", "pids") if name in own}
        return (
            {name: path for name, path in found.items() if path.is_dir()} if _ROOT.joinpath("memory").is_dir() else {}
        )
    unified = _ROOT / own.get("", "")
    with contextlib.suppress(OSError):
        if {"memory", "pids"} <= set((unified / "cgroup.subtree_control").read_text().split()):
            return {"": unified}
    return {}
