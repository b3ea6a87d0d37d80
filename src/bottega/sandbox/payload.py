"""What a run is fed: one memory file with a line of JSON and the project's files. Nothing touches the disk."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, Self

from bottega.core.errors import AppError
from bottega.sandbox.types import Limits


class RefusedFile(AppError):
    code = "refused_file"
    http_status = 422

    def __init__(self, path: str) -> None:
        super().__init__(f"The file {path[:200]!r} cannot be put into a sandbox: its path leaves the project's folder.")
        self.path = path


class Descriptors:
    """The file descriptors handed to one run; all are closed with it."""

    def __init__(self) -> None:
        self._open: set[int] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for fd in tuple(self._open):
            self.close(fd)

    def memory(self, content: bytes) -> int:
        fd = self._keep(os.memfd_create("payload"))
        view = memoryview(content)
        while view:
            view = view[os.write(fd, view) :]
        os.lseek(fd, 0, os.SEEK_SET)
        return fd

    def pipe(self) -> tuple[int, int]:
        """Return a pipe's reading and writing end."""
        reading, writing = os.pipe()
        return self._keep(reading), self._keep(writing)

    def close(self, fd: int) -> None:
        if fd in self._open:
            self._open.remove(fd)
            os.close(fd)

    def _keep(self, fd: int) -> int:
        self._open.add(fd)
        return fd


def packed(spec: Mapping[str, Any], files: Mapping[str, bytes]) -> bytes:
    """Return the payload. Files that begin with `#!` are executable. Raises RefusedFile."""
    listed = [[path, len(content), content.startswith(b"#!")] for path, content in _checked(files)]
    header = json.dumps({**spec, "files": listed}).encode()
    return b"".join((header, b"\n", *files.values()))


def resource_limits(limits: Limits, *, processes: int) -> list[tuple[str, int]]:
    # DATA rather than AS: V8 reserves far more address space than it will ever use
    return [
        ("RLIMIT_DATA", limits.memory_bytes),
        ("RLIMIT_FSIZE", limits.work_bytes),
        ("RLIMIT_NPROC", processes),
        ("RLIMIT_NOFILE", 1024),
        ("RLIMIT_CORE", 0),
    ]


def _checked(files: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    for path, content in files.items():
        parts = PurePosixPath(path).parts
        if not parts or path.startswith("/") or ".." in parts or "\0" in path:
            raise RefusedFile(path)
        yield path, content
