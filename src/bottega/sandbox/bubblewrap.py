"""The strongest rung: bubblewrap with every namespace, a seccomp filter, per-process limits and a control group.

- bwrap starts with an empty environment and takes its arguments from a pipe: neither is readable through procfs inside.
- As root, bwrap itself starts as an unprivileged user; folders that only root may enter are veiled, so that
  what is lent from them can be reached.
- The project is copied to a capped tmpfs inside; nothing of the host is writable and nothing is left on it.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bottega.sandbox.kit import BIN, Kit
from bottega.sandbox.payload import Descriptors, packed, resource_limits
from bottega.sandbox.process import Launch, Report, run_launch
from bottega.sandbox.room import BOX, SHARED_MEMORY_BYTES, WORK, environment, launcher_source, unprivileged_user
from bottega.sandbox.seccomp import compiled_filter
from bottega.sandbox.types import LIMITS, Isolation, Limits, RunResult

_DOORKEEPER = "/opt/bottega/doorkeeper.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bubblewrap:
    """`lock_namespaces` and `procfs` say what this bwrap and this kernel allow; the probe finds out."""

    program: str
    kit: Kit
    lock_namespaces: bool = True
    procfs: bool = True

    @property
    def isolation(self) -> Isolation:
        return Isolation.BUBBLEWRAP

    async def run(self, *, files: Mapping[str, bytes], command: str, limits: Limits = LIMITS) -> RunResult:
        return (await self.attempt(files=files, command=command, limits=limits))[0]

    async def attempt(self, *, files: Mapping[str, bytes], command: str, limits: Limits) -> tuple[RunResult, Report]:
        with Descriptors() as descriptors:
            payload = descriptors.memory(packed(self._spec(command, limits), files))
            bpf = descriptors.memory(compiled_filter(sockets=True))
            reader, status = descriptors.pipe()
            arguments, gate = descriptors.pipe()
            texts = {
                path: descriptors.memory(text.encode())
                for path, text in {**self.kit.texts, _DOORKEEPER: launcher_source()}.items()
            }
            inside = [self.kit.python, "-I", "-S", _DOORKEEPER, str(payload), str(status), "-1"]
            argv = [self.program, "--args", str(arguments), "--", *inside]
            argv, user, more = self._behind_veil(argv, status, descriptors)
            walls = [*self._walls(limits, texts), "--seccomp", str(bpf)]
            launch = Launch(
                argv=argv,
                inherited=(payload, bpf, arguments, *texts.values(), *more),
                status_fd=status,
                reader_fd=reader,
                gate_fd=gate,
                gate=b"".join(word.encode() + b"\0" for word in walls),
                user=user,
            )
            result, report = await run_launch(launch, descriptors=descriptors, limits=limits, isolation=self.isolation)
        if report.ready:
            report.layers = ("namespaces", "mounts", *(("procfs",) if self.procfs else ()), "seccomp", *report.layers)
        return result, report

    def _behind_veil(
        self, argv: list[str], status: int, descriptors: Descriptors
    ) -> tuple[list[str], int | None, tuple[int, ...]]:
        """Return how to start bwrap, as whom, and what more it inherits; a veil has the doorkeeper first."""
        user = unprivileged_user()
        veil = _veil(self.kit, user)
        if not veil:
            return argv, user, ()
        spec = descriptors.memory(packed({"veil": veil, "user": user, "argv": argv}, {}))
        source = descriptors.memory(launcher_source().encode())
        doorkeeper = [self.kit.python, "-I", "-S", f"/proc/self/fd/{source}", str(spec), str(status), "-1"]
        return doorkeeper, None, (spec, source)

    def _spec(self, command: str, limits: Limits) -> dict[str, object]:
        return {
            "room": None,
            "user": None,
            "work": WORK,
            "command": command,
            "environment": environment(self.kit, binaries=BIN, temporary="/tmp"),
            "seconds": limits.wall_seconds,
            "watched": [BOX, "/dev/shm"],
            "walked": None,
            "work_files": limits.work_files,
            "work_bytes": limits.work_bytes,
            "rlimits": resource_limits(limits, processes=limits.processes),
            "landlock": None,
            "seccomp": None,
        }

    def _walls(self, limits: Limits, texts: Mapping[str, int]) -> Iterator[str]:
        yield from ("--unshare-all", "--unshare-user", "--die-with-parent", "--new-session", "--as-pid-1")
        yield from ("--cap-drop", "ALL", "--hostname", "sandbox", "--chdir", "/")
        yield from ("--disable-userns",) if self.lock_namespaces else ()
        yield from self._lent()
        for path, fd in texts.items():
            yield from ("--perms", "0755" if path.startswith(f"{BIN}/") else "0644", "--file", str(fd), path)
        for name, program in self.kit.programs.items():
            yield from ("--symlink", program, f"{BIN}/{name}")
        yield from ("--proc", "/proc") if self.procfs else ()
        yield from ("--dev", "/dev", "--size", str(SHARED_MEMORY_BYTES), "--tmpfs", "/dev/shm")
        yield from ("--size", str(limits.work_bytes), "--tmpfs", BOX, "--dir", WORK, "--dir", f"{BOX}/tmp")
        yield from ("--symlink", f"{BOX}/tmp", "/tmp", "--remount-ro", "/dev", "--remount-ro", "/")

    def _lent(self) -> Iterator[str]:
        for path in self.kit.folders:
            yield from ("--ro-bind", path, path)
        for target, path in self.kit.links:
            yield from ("--symlink", target, path)
        for path in self.kit.masked:
            yield from ("--tmpfs", path)
        for name, folder in self.kit.libraries.items():
            yield from ("--ro-bind", folder, f"{self.kit.library_folder}/{name}")
        for path in self.kit.masked:
            yield from ("--remount-ro", path)


def _veil(kit: Kit, user: int | None) -> dict[str, list[str]]:
    """Return the folders `user` cannot enter, each with what is lent from below it."""
    hidden: dict[str, list[str]] = {}
    if user is None:
        return hidden
    for path in (*kit.folders, *kit.libraries.values()):
        for folder in reversed(Path(path).parents):
            if not os.stat(folder).st_mode & 0o001:  # noqa: PTH116
                hidden.setdefault(str(folder), []).append(path)
                break
    return hidden
