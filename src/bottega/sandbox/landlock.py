"""The rung that needs nothing installed: namespaces and mounts where the kernel allows, then Landlock and seccomp.

With `own_room` the run has its own root, network (loopback only) and processes. Without it, in containers that refuse
namespaces, Landlock alone keeps files out of reach and seccomp refuses every socket; then the metadata of any path can
be seen, and without a control group memory is bounded per process only. Either way nothing is left on the host.
"""

import asyncio
import contextlib
import os
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bottega.sandbox.kit import BIN, Kit
from bottega.sandbox.payload import Descriptors, packed, resource_limits
from bottega.sandbox.process import Launch, Report, run_launch
from bottega.sandbox.room import BOX, SHARED_MEMORY_BYTES, WORK, environment, launcher_source, unprivileged_user
from bottega.sandbox.seccomp import compiled_filter
from bottega.sandbox.types import LIMITS, Isolation, Limits, RunResult

_DEVICES = ("/dev/null", "/dev/zero", "/dev/full")
_RANDOM = ("/dev/random", "/dev/urandom")


@dataclass(frozen=True, slots=True, kw_only=True)
class Landlock:
    kit: Kit
    own_room: bool = True

    @property
    def isolation(self) -> Isolation:
        return Isolation.LANDLOCK

    async def run(self, *, files: Mapping[str, bytes], command: str, limits: Limits = LIMITS) -> RunResult:
        return (await self.attempt(files=files, command=command, limits=limits))[0]

    async def attempt(self, *, files: Mapping[str, bytes], command: str, limits: Limits) -> tuple[RunResult, Report]:
        user = unprivileged_user()
        if self.own_room:
            return await self._launched(self._room_spec(command, limits, user), files, limits)
        async with _scratch_box(self.kit, user) as box:
            return await self._launched(self._shared_spec(command, limits, user, box), files, limits)

    async def _launched(
        self, spec: Mapping[str, object], files: Mapping[str, bytes], limits: Limits
    ) -> tuple[RunResult, Report]:
        with Descriptors() as descriptors:
            payload = descriptors.memory(packed(spec, files))
            source = descriptors.memory(launcher_source().encode())
            reader, status = descriptors.pipe()
            waiting, gate = descriptors.pipe()
            doorkeeper = [self.kit.python, "-I", "-S", f"/proc/self/fd/{source}"]
            launch = Launch(
                argv=[*doorkeeper, str(payload), str(status), str(waiting)],
                inherited=(payload, source, waiting),
                status_fd=status,
                reader_fd=reader,
                gate_fd=gate,
                gate=b"!",
                user=None,
            )
            return await run_launch(launch, descriptors=descriptors, limits=limits, isolation=self.isolation)

    def _room_spec(self, command: str, limits: Limits, user: int | None) -> dict[str, object]:
        kit = self.kit
        size = f"size={limits.work_bytes},nr_inodes={limits.work_files + 64},mode=755"
        room = {
            "user": user,
            "binds": [(path, path) for path in kit.folders],
            "libraries": [(folder, f"{kit.library_folder}/{name}") for name, folder in kit.libraries.items()],
            "texts": dict(kit.texts),
            "links": [
                *kit.links,
                *((program, f"{BIN}/{name}") for name, program in kit.programs.items()),
                (f"{BOX}/tmp", "/tmp"),
                ("/proc/self/fd", "/dev/fd"),
            ],
            "masked": list(kit.masked),
            "writable": {BOX: size, "/dev/shm": f"size={SHARED_MEMORY_BYTES},nr_inodes=1024,mode=755"},
            "folders": [WORK, f"{BOX}/tmp"],
        }
        return {
            **_common(command, limits, processes=limits.processes),
            "room": room,
            "user": None,
            "work": WORK,
            "environment": environment(kit, binaries=BIN, temporary="/tmp"),
            "watched": [BOX, "/dev/shm"],
            "walked": None,
            "landlock": {"read": ["/"], "write": [BOX, "/dev/shm", *_DEVICES], "tcp": True},
            "seccomp": compiled_filter(sockets=True).hex(),
        }

    def _shared_spec(self, command: str, limits: Limits, user: int | None, box: Path) -> dict[str, object]:
        kit = self.kit
        readable = [*kit.folders, *kit.libraries.values(), f"{box}/bin", f"{box}/lib", *_RANDOM]
        return {
            **_common(command, limits, processes=limits.processes + (0 if user else _own_processes())),
            "room": None,
            "user": user,
            "work": f"{box}/work",
            "environment": environment(
                kit, binaries=f"{box}/bin", temporary=f"{box}/tmp", libraries=f"{box}/lib" if kit.libraries else ""
            ),
            "watched": [],
            "walked": str(box),
            "landlock": {"read": readable, "write": [f"{box}/work", f"{box}/tmp", *_DEVICES], "tcp": False},
            "seccomp": compiled_filter(sockets=False).hex(),
        }


def _common(command: str, limits: Limits, *, processes: int) -> dict[str, object]:
    return {
        "command": command,
        "seconds": limits.wall_seconds,
        "work_files": limits.work_files,
        "work_bytes": limits.work_bytes,
        "rlimits": resource_limits(limits, processes=processes),
    }


def _own_processes() -> int:
    """Count what this user already runs: without a user namespace the kernel counts all of it against the limit."""
    count = 0
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and entry.stat().st_uid == os.getuid():
                count += len(list((entry / "task").iterdir()))
    return count


@contextlib.asynccontextmanager
async def _scratch_box(kit: Kit, user: int | None) -> AsyncIterator[Path]:
    box = Path(tempfile.mkdtemp(prefix="bottega-box-"))
    try:
        _furnish(box, kit, user)
        yield box
    finally:
        await _remove(box)


def _furnish(box: Path, kit: Kit, user: int | None) -> None:
    for name in ("work", "tmp", "bin", "lib"):
        (box / name).mkdir()
    for name, program in kit.programs.items():
        (box / "bin" / name).symlink_to(program)
    for path, text in kit.texts.items():
        if path.startswith(f"{BIN}/"):
            script = box / "bin" / Path(path).name
            script.write_text(text)
            script.chmod(0o755)
    for name, folder in kit.libraries.items():
        (box / "lib" / name).symlink_to(folder)
    if user is not None:
        box.chmod(0o711)
        for owned in (box / "work", box / "tmp"):
            os.chown(owned, user, user)


async def _remove(box: Path) -> None:
    # rm, not shutil.rmtree: it survives folders thousands deep, and chmod first because a run may lock its own folders
    for words in (("/bin/chmod", "-R", "u+rwX", "--", str(box)), ("/bin/rm", "-rf", "--", str(box))):
        process = await asyncio.create_subprocess_exec(*words, stderr=asyncio.subprocess.DEVNULL, env={})
        await asyncio.shield(process.wait())
