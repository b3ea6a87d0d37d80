"""Which rung of the ladder holds on this machine: found out by attacking it, never by asking for versions.

A rung works when the attack ran and got nothing: not a file of the host, not a connection to it.
`choose_sandbox` remembers its answer for the life of the process.
"""

import json
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bottega.core.errors import AppError
from bottega.sandbox.bubblewrap import Bubblewrap
from bottega.sandbox.kit import SEARCH_PATH, Kit, find_kit
from bottega.sandbox.landlock import Landlock
from bottega.sandbox.nothing import NoSandbox
from bottega.sandbox.seccomp import NoSeccomp
from bottega.sandbox.types import Isolation, Limits, Sandbox

_ATTACK = """
import json, os, socket
target = json.load(open("target.json"))

def reached(attempt):
    try:
        attempt()
    except OSError:
        return False
    return True

print(json.dumps({
    "a file of the host": reached(lambda: open(target["file"]).close()),
    "a socket of the host": reached(lambda: socket.create_connection(("127.0.0.1", target["port"]), 1).close()),
    "a vsock socket": reached(lambda: socket.socket(40, socket.SOCK_STREAM).close()),
}))
"""
_LIMITS = Limits(wall_seconds=10, memory_bytes=256 * 1024**2, work_bytes=16 * 1024**2, work_files=100)
_REMEDY: Final = {
    Isolation.BUBBLEWRAP: (
        "Install bubblewrap and allow unprivileged user namespaces (in containers: a seccomp profile that lets bwrap "
        "call clone, unshare and mount; on Ubuntu 24.04 also an AppArmor profile for bwrap)"
    ),
    Isolation.LANDLOCK: "Use Linux 5.13 or newer with Landlock enabled, and install libseccomp2",
}


class SandboxUnavailable(AppError):
    code = "sandbox_unavailable"
    http_status = 503

    def __init__(self, *, rung: Isolation, why: str) -> None:
        super().__init__(
            f"SANDBOX={rung} does not hold on this machine: {why} {_REMEDY[rung]}, or set SANDBOX=auto to use the "
            "strongest rung that does."
        )
        self.rung = rung
        self.why = why


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One rung, attacked. `layers` are what held, `why` is what blocked it or what the attack reached."""

    sandbox: Bubblewrap | Landlock
    works: bool
    layers: tuple[str, ...]
    why: str


_chosen: dict[tuple[str, str], Sandbox] = {}


async def choose_sandbox(*, preference: str, search_path: str = SEARCH_PATH) -> Sandbox:
    """Return the strongest rung that holds, or the one asked for: auto, bubblewrap, landlock or none.

    Raises SandboxUnavailable when the one asked for does not hold.
    """
    known = _chosen.get((preference, search_path))
    if known is None:
        known = _chosen[preference, search_path] = await _choose(preference, search_path)
    return known


async def _choose(preference: str, search_path: str) -> Sandbox:
    if preference == Isolation.NONE:
        return NoSandbox(reason="Not executed: SANDBOX=none.")
    kit, complaints = find_kit(search_path=search_path), []
    for candidate in candidates(kit=kit, search_path=search_path):
        if preference in {"auto", candidate.isolation}:
            finding = await probe(candidate)
            if finding.works:
                return candidate
            complaints.append(finding.why)
    why = " ".join(complaints) or "The program bwrap is not installed."
    if preference != "auto":
        raise SandboxUnavailable(rung=Isolation(preference), why=why)
    return NoSandbox(reason=f"Not executed: no sandbox holds on this machine. {why}")


def candidates(*, kit: Kit, search_path: str = SEARCH_PATH) -> Iterator[Bubblewrap | Landlock]:
    """Yield every rung that could work here, strongest first."""
    if program := shutil.which("bwrap", path=search_path):
        yield Bubblewrap(program=program, kit=kit)
        yield Bubblewrap(program=program, kit=kit, lock_namespaces=False)
        yield Bubblewrap(program=program, kit=kit, lock_namespaces=False, procfs=False)
    yield Landlock(kit=kit)
    yield Landlock(kit=kit, own_room=False)


async def probe(sandbox: Bubblewrap | Landlock) -> Finding:
    with (
        tempfile.NamedTemporaryFile(prefix="bottega-probe-") as secret,
        socket.create_server(("127.0.0.1", 0)) as server,
    ):
        os.fchmod(secret.fileno(), 0o644)  # a fair target: only the sandbox stands in the way
        target = json.dumps({"file": secret.name, "port": server.getsockname()[1]})
        files = {"attack.py": _ATTACK.encode(), "target.json": target.encode()}
        try:
            result, report = await sandbox.attempt(files=files, command="python -S attack.py", limits=_LIMITS)
        except (NoSeccomp, OSError) as error:
            return Finding(sandbox=sandbox, works=False, layers=(), why=str(error))
    if not result.executed or result.exit_code != 0:
        return Finding(sandbox=sandbox, works=False, layers=report.layers, why=result.reason or result.output[:300])
    reached = [name for name, got in json.loads(result.output).items() if got]
    why = f"It could reach {', '.join(reached)}." if reached else ""
    return Finding(sandbox=sandbox, works=not reached, layers=report.layers, why=why)
