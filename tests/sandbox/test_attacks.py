"""What hostile code tries, against every rung. Each script prints REACHED for what it got that it should not have."""

import asyncio
import os
import secrets
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.sandbox.conftest import Rung

from bottega.sandbox.types import Limits

LIMITS = Limits(
    wall_seconds=10,
    memory_bytes=256 * 1024**2,
    processes=48,
    work_bytes=24 * 1024**2,
    work_files=300,
    output_bytes=65536,
)

PRELUDE = """
import ctypes, json, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)

def attempt(what, action):
    try:
        got = action()
    except (OSError, ValueError):
        return
    if got is not False:
        print("REACHED", what, got)

def refused(result):
    return False if result < 0 else result
"""

ATTACKS = {
    "read a file of the host": "attempt('file', lambda: open(json.load(open('target.json'))['file']).read())",
    "list the home of root": "attempt('home', lambda: [n for n in os.listdir('/root') if n != '.pyenv'] or False)",
    "list temporary files of the host": "attempt('tmp', lambda: any('bottega-host' in n for n in os.listdir('/tmp')))",
    "read passwords": "attempt('shadow', lambda: open('/etc/shadow').read())",
    "read the environment of any process": """
pids = []
attempt('pids', lambda: pids.extend(filter(str.isdigit, os.listdir('/proc'))) or False)
for pid in pids:
    attempt(pid, lambda: b'PYTEST' in open(f'/proc/{pid}/environ', 'rb').read())
""",
    "learn the host's paths from the first process": """
attempt('argv', lambda: b'site-packages' in open('/proc/1/cmdline', 'rb').read()
        or json.load(open('target.json'))['file'].encode() in open('/proc/1/cmdline', 'rb').read())
""",
    "write where it may not": """
for folder in ('/', '/usr', '/etc', '/opt', '/dev', '/var/tmp', sys.prefix, os.path.dirname(os.__file__)):
    attempt(folder, lambda: open(os.path.join(folder, 'planted'), 'w').close())
""",
    "make namespaces": """
for flag in (0x20000, 0x10000000, 0x20000000, 0x40000000):
    attempt(hex(flag), lambda: refused(libc.unshare(flag)))
    attempt('clone', lambda: refused(libc.syscall(56, flag | 17, 0, 0, 0, 0)))
""",
    "use calls no project needs": """
for name, number in dict(ptrace=101, mount=165, umount=166, pivot_root=155, bpf=321, keyctl=250, io_uring_setup=425,
                         perf_event_open=298, userfaultfd=323, open_by_handle_at=304,
                         process_vm_readv=310, setns=308).items():
    attempt(name, lambda: refused(libc.syscall(number, 0, 0, 0, 0, 0)))
""",
    "open sockets that no namespace holds": """
for family in (16, 17, 40, 38, 31, 44):
    attempt(family, lambda: socket.socket(family, socket.SOCK_DGRAM))
    attempt(family, lambda: socket.socket(family, socket.SOCK_STREAM))
""",
    "reach the network": """
target = json.load(open('target.json'))
socket.setdefaulttimeout(1)
for place in (('127.0.0.1', target['port']), ('169.254.169.254', 80), ('10.0.0.1', 53), ('1.1.1.1', 53),
              ('::1', target['port'])):
    attempt(place, lambda: socket.create_connection(place))
attempt('name', lambda: socket.getaddrinfo('example.com', 80))
""",
    "reach an abstract socket of the host": """
def connect():
    client = socket.socket(socket.AF_UNIX)
    client.connect(chr(0) + json.load(open('target.json'))['abstract'])
attempt('abstract', connect)
""",
    "become somebody else": """
attempt('setuid', lambda: os.setuid(0))
attempt('setgid', lambda: os.setgid(0))
attempt('chown', lambda: os.chown('target.json', 0, 0) if os.getuid() else False)
attempt('privileges', lambda: 'NoNewPrivs:\\t1' not in open('/proc/self/status').read())
attempt('capabilities', lambda: 'CapEff:\\t0000000000000000' not in open('/proc/self/status').read())
""",
    "use what the worker had open": """
for fd in range(3, 256):
    attempt(fd, lambda: os.fstat(fd).st_ino if fd not in opened else False)
""",
    "type into the worker's terminal": """
import fcntl
attempt('tty', lambda: os.open('/dev/tty', os.O_RDWR))
attempt('TIOCSTI', lambda: fcntl.ioctl(1, 0x5412, b'x'))
""",
    "make device nodes": "attempt('node', lambda: os.mknod('disk', 0o60600, os.makedev(8, 0)))",
    "change the kernel": """
for path in ('/proc/sys/kernel/core_pattern', '/proc/sysrq-trigger', '/sys/kernel/uevent_helper',
             '/proc/sys/vm/drop_caches'):
    attempt(path, lambda: open(path, 'w').write('x'))
attempt('dmesg', lambda: refused(libc.syscall(103, 3, 0, 0)))
""",
    "import what is installed for Bottega": """
import importlib.util
for name in ('structlog', 'pydantic', 'bottega', 'sqlalchemy'):
    attempt(name, lambda: importlib.util.find_spec(name) is not None)
""",
}


@pytest.fixture
def target() -> Iterator[bytes]:
    """A file, a port and an abstract socket of the host that anybody outside a sandbox can reach."""
    name = f"bottega-host-{secrets.token_hex(4)}"
    path = Path("/var/tmp") / name  # noqa: S108 - a folder every user may enter
    path.write_text("secret")
    path.chmod(0o644)
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as abstract:
        abstract.bind(f"\0{name}")
        abstract.listen()
        port = server.getsockname()[1]
        yield f'{{"file": "{path}", "port": {port}, "abstract": "{name}"}}'.encode()
    path.unlink()


@pytest.mark.enable_socket
@pytest.mark.parametrize("attack", ATTACKS)
async def test_an_attack_reaches_nothing(rung: Rung, attack: str, target: bytes) -> None:
    script = PRELUDE + "opened = set()\n" + ATTACKS[attack] + "\nprint('DONE')\n"
    files = {"attack.py": script.encode(), "target.json": target}
    result = await rung.run(files=files, command="python3 attack.py", limits=LIMITS)
    assert result.executed, result.reason
    assert result.output.splitlines()[-1:] == ["DONE"], result.output
    assert "REACHED" not in result.output, result.output


async def test_a_daemon_does_not_outlive_its_run(rung: Rung) -> None:
    seconds = f"300.{secrets.randbelow(10**9)}"
    result = await rung.run(
        files={}, command=f"setsid sleep {seconds} & setsid sleep {seconds} & echo started", limits=LIMITS
    )
    assert (result.exit_code, result.output) == (0, "started\n")
    assert _running(seconds) == []


async def test_a_cancelled_run_leaves_no_process(rung: Rung) -> None:
    seconds = f"300.{secrets.randbelow(10**9)}"
    run = asyncio.create_task(rung.run(files={}, command=f"(trap '' TERM; setsid sleep {seconds}) & sleep {seconds}"))
    while not _running(f"sleep\0{seconds}"):  # noqa: ASYNC110 - another process cannot set an Event
        await asyncio.sleep(0.01)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert _running(seconds) == []


@pytest.mark.parametrize(
    "command",
    [
        "trap '' TERM INT HUP; sleep 60",
        "while :; do :; done",
        "python3 -c 'import os, time; os.setsid() if os.fork() else 0; time.sleep(60)'",
        "kill -STOP $PPID; kill -STOP 1; sleep 60",
    ],
)
async def test_the_wall_limit_ends_a_run_whatever_it_ignores(rung: Rung, command: str) -> None:
    started = time.monotonic()
    result = await rung.run(files={}, command=command, limits=Limits(wall_seconds=0.5))
    assert time.monotonic() - started < 5
    assert result.exit_code == 137
    assert "longest a command may run" in result.reason


async def test_a_run_cannot_signal_the_worker(rung: Rung) -> None:
    result = await rung.run(
        files={}, command=f"kill -9 -1; kill -9 {os.getpid()}; kill -9 $PPID; echo unheard", limits=LIMITS
    )
    assert result.executed


async def test_a_fork_bomb_is_held(rung: Rung) -> None:
    script = b"import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass\n"
    marker = f"bomb{secrets.token_hex(4)}.py"
    result = await rung.run(
        files={marker: script}, command=f"python3 {marker}", limits=Limits(wall_seconds=1, processes=32)
    )
    assert result.reason
    assert _running(marker) == []


async def test_a_memory_bomb_is_held(rung: Rung) -> None:
    result = await rung.run(files={}, command="python3 -c 'x = bytearray(2 * 1024**3)'", limits=LIMITS)
    assert result.exit_code != 0 or result.reason


async def test_memory_taken_by_many_processes_ends_in_a_failure_although_the_parent_survives(rung: Rung) -> None:
    if "cgroup" not in (await rung.attempt(files={}, command="true", limits=LIMITS))[1].layers:
        pytest.skip("this machine lets us make no control group")
    script = b"""
import os
for _ in range(4):
    if os.fork() == 0:
        x = bytearray(150 * 1024**2)
        os._exit(0)
for _ in range(4):
    os.wait()
"""
    result = await rung.run(files={"bomb.py": script}, command="python3 bomb.py; true", limits=LIMITS)
    assert "memory" in result.reason


async def test_endless_output_is_cut_at_once(rung: Rung) -> None:
    result = await rung.run(files={}, command="yes", limits=LIMITS)
    assert result.output_cut
    assert len(result.output) == LIMITS.output_bytes
    assert result.duration_ms < 5000
    assert "printing" in result.reason


async def test_the_disk_is_capped(rung: Rung) -> None:
    fill = "for n in 1 2 3 4 5 6 7 8; do head -c 8000000 /dev/zero > f$n || exit 3; sleep 0.02; done; sleep 1"
    result = await rung.run(files={}, command=fill, limits=LIMITS)
    assert result.exit_code != 0
    assert "No space" in result.output or "writing" in result.reason


async def test_too_many_files_end_the_run(rung: Rung) -> None:
    script = b"import time\nfor n in range(5000):\n    open(f'f{n}', 'w').close()\ntime.sleep(5)\n"
    result = await rung.run(files={"many.py": script}, command="python3 many.py", limits=LIMITS)
    assert result.exit_code != 0
    assert "No space" in result.output or "files" in result.reason


LEFTOVERS = """
import os, socket
for _ in range(3000):
    os.mkdir('d'); os.chdir('d')
os.chdir(os.environ['TMPDIR'])
os.mkfifo('fifo'); os.symlink('/etc/shadow', 'link'); os.symlink('/', 'root')
os.mkdir('locked'); open('locked/file', 'w').close(); os.chmod('locked', 0)
open('new\\nline \\udcff', 'w').close()
"""


@pytest.fixture
def scratch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        Path(folder).chmod(0o711)
        monkeypatch.setattr("tempfile.tempdir", folder)
        yield Path(folder)


async def test_nothing_is_left_on_the_host(rung: Rung, scratch: Path) -> None:
    before = _traces(scratch)
    result = await rung.run(
        files={"leave.py": LEFTOVERS.encode()}, command="python3 leave.py", limits=Limits(wall_seconds=10)
    )
    assert result.exit_code == 0, result.output
    assert _traces(scratch) == before


def _running(word: str) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if word.encode() in line and entry.name.isdigit() and int(entry.name) != os.getpid():
            found.append(line.decode(errors="replace"))
    return found


def _traces(scratch: Path) -> tuple[list[Path], str, list[Path]]:
    """Return what a run could leave behind: temporary files, mounts, control groups."""
    ours = f"bottega-{os.getpid()}-"  # other processes' come and go meanwhile, which a walk minds less than a glob
    groups = [Path(at) / name for at, names, _ in os.walk("/sys/fs/cgroup") for name in names if name.startswith(ours)]
    return list(scratch.iterdir()), Path("/proc/self/mounts").read_text(), groups
