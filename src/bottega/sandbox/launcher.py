"""The doorkeeper: builds the walls that need no program installed, starts the command behind them, and ends it.

It stands alone: started as `python -I -S launcher.py PAYLOAD_FD STATUS_FD GATE_FD` with an empty environment, it
imports the standard library only. One line of JSON in the payload says what to do, and the project's files follow it.

- It answers on STATUS_FD, one JSON object per line: `blocked` (a wall could not be built; nothing ran), `ready` (with
  the layers that hold), `exit` (with `limit` when a limit ended the run).
- Whatever the command leaves running is gone before `exit` is said.
- A wall that was asked for and cannot be built ends the run; none is left out silently.
"""

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import resource
import signal
import stat
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

_LIBC = ctypes.CDLL(None, use_errno=True)
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR, _PIVOT_ROOT = 428, 429, 442, {"x86_64": 155, "aarch64": 41, "riscv64": 41}
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_AT_FDCWD, _AT_EMPTY_PATH, _AT_RECURSIVE, _OPEN_TREE_CLONE, _MOVE_EMPTY_PATH = -100, 0x1000, 0x8000, 1, 4
_RDONLY, _NOSUID, _NODEV, _NOEXEC = 1, 2, 4, 8
_MS_REC_PRIVATE, _MNT_DETACH = 0x4000 | 0x40000, 2
_NEW_MOUNTS, _NEW_USER = 0x20000, 0x10000000
_NEW_EVERYTHING = 0x6E020000  # mounts, cgroup, host name, IPC, processes and network; the user namespace is extra
SET_PDEATHSIG, _SET_DUMPABLE, _SET_SECCOMP, _SET_SUBREAPER, NO_NEW_PRIVS = 1, 4, 22, 36, 38
_POLL_SECONDS = 0.05

Spec = dict[str, Any]


def main() -> NoReturn:
    payload_fd, status_fd, gate_fd = (int(word) for word in sys.argv[1:4])
    if gate_fd >= 0:
        os.read(gate_fd, 1)  # the worker has put this process where it wants it, for instance into a cgroup
    payload = os.fdopen(payload_fd, "rb")
    payload.seek(0)
    spec: Spec = json.loads(payload.readline())
    layer = "start"
    try:
        if "veil" in spec:
            layer = "veil"
            exec_behind_veil(spec)
        layers: list[str] = []
        if spec["room"] is not None:
            layer = "namespaces"
            enter_namespaces(spec["room"])
            layer = "mounts"
            layers = ["namespaces", *build_root(spec["room"])]
            drop_privileges(spec["room"]["user"])
    except OSError as error:
        tell(status_fd, blocked=layer, why=str(error))
        os._exit(125)
    prctl(_SET_DUMPABLE, 0)  # what runs as the same user must not reach this process through procfs
    prctl(_SET_SUBREAPER, 1)
    supervise(spec, payload, status_fd, layers)


def tell(status_fd: int, **facts: object) -> None:
    os.write(status_fd, json.dumps(facts).encode() + b"\n")


# -- the command's life ------------------------------------------------------------------------------------------------


def supervise(spec: Spec, payload: BinaryIO, status_fd: int, layers: list[str]) -> NoReturn:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, signal.SIGTERM})
    command = os.fork()
    if command == 0:
        become_command(spec, payload, status_fd, layers)
    payload.close()
    deadline, limit, code = time.monotonic() + spec["seconds"], "", None
    while code is None and not limit:
        caught = signal.sigtimedwait({signal.SIGCHLD, signal.SIGTERM}, _POLL_SECONDS)
        code = reap(command)
        if caught and caught.si_signo == signal.SIGTERM:
            limit = "stopped"
        elif time.monotonic() >= deadline:
            limit = "time"
        else:
            limit = exceeded(spec)
    if os.getpid() != 1:  # the end of a PID namespace's first process ends everything in it
        kill_descendants()
    tell(status_fd, exit=137 if code is None else code, limit=limit)
    os._exit(137 if code is None else code)


def reap(command: int) -> int | None:
    """Collect every child that has ended; return the command's exit code as a shell says it, if it is among them."""
    code = None
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == command:
                code = os.waitstatus_to_exitcode(ended[1])
                code = 128 - code if code < 0 else code
    return code


def exceeded(spec: Spec) -> str:
    if sum(used_inodes(path) for path in spec["watched"]) > spec["work_files"]:
        return "files"
    if spec["walked"] is not None:
        files, size = measured(spec["walked"], stop_at=spec["work_files"])
        if files > spec["work_files"]:
            return "files"
        if size > spec["work_bytes"]:
            return "disk"
    return ""


def used_inodes(path: str) -> int:
    room = os.statvfs(path)
    return room.f_files - room.f_ffree


def measured(folder: str, *, stop_at: int) -> tuple[int, int]:
    """Count entries and bytes on disk below `folder`, following nothing, until there are more than `stop_at`."""
    files, size, waiting = 0, 0, [folder]
    while waiting and files <= stop_at:
        with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                files += 1
                with contextlib.suppress(OSError):
                    found = entry.stat(follow_symlinks=False)
                    size += found.st_blocks * 512
                    if stat.S_ISDIR(found.st_mode):
                        waiting.append(entry.path)
    return files, size


def kill_descendants() -> None:
    """Freeze every descendant before killing any: a fork bomb refills faster than it can be killed one by one."""
    frozen: set[int] = set()
    while found := set(descendants(os.getpid())) - frozen:
        for pid in found:
            signal_if_there(pid, signal.SIGSTOP)
        frozen |= found
    for pid in frozen:
        signal_if_there(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):  # as a subreaper this process inherits every orphan
        while True:
            os.waitpid(-1, 0)


def descendants(pid: int) -> Iterator[int]:
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                yield int(child)
                yield from descendants(int(child))


def signal_if_there(pid: int, number: int) -> None:
    with contextlib.suppress(OSError):
        os.kill(pid, number)


def become_command(spec: Spec, payload: BinaryIO, status_fd: int, layers: list[str]) -> NoReturn:
    layer = "user"
    try:
        os.setsid()
        if spec["room"] is None:
            drop_privileges(spec["user"])
        layer = "files"
        unpack(spec, payload)
        layer = "limits"
        for name, value in spec["rlimits"]:
            limit_resource(getattr(resource, name), value)
        prctl(NO_NEW_PRIVS, 1)
        if spec["landlock"] is not None:
            layer = "landlock"
            layers.append(restrict_paths(spec["landlock"]))
        if spec["seccomp"] is not None:
            layer = "seccomp"
            load_filter(bytes.fromhex(spec["seccomp"]))
            layers.append("seccomp")
    except OSError as error:
        tell(status_fd, blocked=layer, why=str(error))
        os._exit(125)
    tell(status_fd, ready=layers)
    os.set_inheritable(status_fd, False)  # noqa: FBT003 - a shell that could not start is told through it
    listen_to_signals()
    os.closerange(3, status_fd)
    os.closerange(status_fd + 1, 1024)
    try:
        os.execve("/bin/sh", ["sh", "-c", spec["command"]], spec["environment"])
    except OSError as error:
        tell(status_fd, blocked="shell", why=str(error))
        os._exit(125)


def listen_to_signals() -> None:
    """Give every signal its default: what is ignored is inherited, from Python, nohup and a shell's background jobs.

    A server that is tested by stopping it with SIGINT would otherwise never end.
    """
    for number in signal.valid_signals():
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def unpack(spec: Spec, payload: BinaryIO) -> None:
    os.umask(0o022)
    os.chdir(spec["work"])
    for path, size, executable in spec["files"]:
        if folder := os.path.dirname(path):
            os.makedirs(folder, exist_ok=True)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o755 if executable else 0o644)
        with os.fdopen(fd, "wb") as file:
            file.write(payload.read(size))


def limit_resource(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))


def drop_privileges(user: int | None) -> None:
    if user is not None:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
        prctl(SET_PDEATHSIG, signal.SIGKILL)


# -- namespaces and mounts ---------------------------------------------------------------------------------------------


def enter_namespaces(room: Spec) -> None:
    """Continue as the first process of new namespaces; the process that was started waits and relays the exit code."""
    user, group = os.getuid(), os.getgid()
    own_user_namespace = room["user"] is None
    checked(_LIBC.unshare(_NEW_EVERYTHING | (_NEW_USER if own_user_namespace else 0)), "unshare")
    if own_user_namespace:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    raise_loopback()
    first = os.fork()
    if first:
        os._exit(os.waitstatus_to_exitcode(os.waitpid(first, 0)[1]) % 256)
    prctl(SET_PDEATHSIG, signal.SIGKILL)


def raise_loopback() -> None:
    set_flags, up_and_running, inet_datagram = 0x8914, 0x41, (2, 2, 0)
    fd = checked(_LIBC.socket(*inet_datagram), "socket")
    fcntl.ioctl(fd, set_flags, struct.pack("16sh14x", b"lo", up_and_running))
    os.close(fd)


def build_root(room: Spec) -> list[str]:
    """Put a root of our own in place of the host's: what is lent, read-only, and one capped folder to write in."""
    base = "/tmp"  # only a place to mount on; the host's own is out of sight from here on
    mount("none", "/", "", _MS_REC_PRIVATE, "")
    lent = [(grab(source), target) for source, target in room["binds"]]
    libraries = [(grab(source), target) for source, target in room["libraries"]]
    devices = [
        (grab(f"/dev/{name}", _NOSUID), f"/dev/{name}") for name in ("null", "zero", "full", "random", "urandom")
    ]
    mount("tmpfs", base, "tmpfs", _NOSUID | _NODEV, "size=2m,mode=755")
    for tree, target in [*lent, *devices]:
        place(tree, base + target)
    furnish(base, room)
    for target in room["masked"]:
        mount("tmpfs", base + target, "tmpfs", _NOSUID | _NODEV, "size=1m,mode=755")
    for tree, target in libraries:
        place(tree, base + target)
    for target in room["masked"]:
        set_attributes(_AT_FDCWD, base + target, _RDONLY | _NOSUID | _NODEV, recursive=False)
    for target, options in room["writable"].items():
        add_writable(base + target, options, room["user"])
    layers = ["mounts"]
    os.makedirs(base + "/proc", exist_ok=True)
    with contextlib.suppress(PermissionError):  # refused where the host's own procfs is partly hidden
        mount("proc", base + "/proc", "proc", _NOSUID | _NODEV | _NOEXEC, "")
        layers.append("procfs")
    for folder in room["folders"]:
        os.makedirs(base + folder, exist_ok=True)
        if room["user"] is not None:
            os.chown(base + folder, room["user"], room["user"])
    set_attributes(_AT_FDCWD, base, _RDONLY | _NOSUID | _NODEV, recursive=False)
    os.chdir(base)
    checked(_LIBC.syscall(_PIVOT_ROOT[os.uname().machine], b".", b"."), "pivot_root")
    checked(_LIBC.umount2(b".", _MNT_DETACH), "umount2")
    os.chdir("/")
    return layers


def furnish(base: str, room: Spec) -> None:
    for target, text in room["texts"].items():
        os.makedirs(os.path.dirname(base + target), exist_ok=True)
        Path(base + target).write_text(text)
        Path(base + target).chmod(0o755 if text.startswith("#!") else 0o644)
    for source, target in room["links"]:
        os.makedirs(os.path.dirname(base + target), exist_ok=True)
        Path(base + target).symlink_to(source)


def add_writable(target: str, options: str, user: int | None) -> None:
    os.makedirs(target, exist_ok=True)
    mount("tmpfs", target, "tmpfs", _NOSUID | _NODEV, options)
    if user is not None:
        os.chown(target, user, user)


def exec_behind_veil(spec: Spec) -> NoReturn:
    """Hide folders only root may enter, leaving in them what is lent, so that an unprivileged bwrap can reach it."""
    checked(_LIBC.unshare(_NEW_MOUNTS), "unshare")
    mount("none", "/", "", _MS_REC_PRIVATE, "")
    for hidden, lent in spec["veil"].items():
        trees = [(grab(path), path) for path in lent]
        mount("tmpfs", hidden, "tmpfs", _NOSUID | _NODEV, "size=1m,mode=755")
        for tree, path in trees:
            place(tree, path)
    drop_privileges(spec["user"])
    os.execve(spec["argv"][0], spec["argv"], {})


def grab(source: str, attributes: int = _RDONLY | _NOSUID | _NODEV) -> int:
    flags = _OPEN_TREE_CLONE | _AT_RECURSIVE | os.O_CLOEXEC
    tree = checked(_LIBC.syscall(_OPEN_TREE, _AT_FDCWD, source.encode(), flags), f"open_tree {source}")
    set_attributes(tree, "", attributes, recursive=True)
    return tree


def place(tree: int, target: str) -> None:
    if stat.S_ISDIR(os.fstat(tree).st_mode):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        Path(target).touch()
    moved = _LIBC.syscall(_MOVE_MOUNT, tree, b"", _AT_FDCWD, target.encode(), _MOVE_EMPTY_PATH)
    checked(moved, f"move_mount {target}")
    os.close(tree)


def set_attributes(at: int, path: str, attributes: int, *, recursive: bool) -> None:
    wanted = struct.pack("=QQQQ", attributes, 0, 0, 0)
    flags = _AT_EMPTY_PATH if not path else 0
    flags |= _AT_RECURSIVE if recursive else 0
    checked(_LIBC.syscall(_MOUNT_SETATTR, at, path.encode(), flags, wanted, len(wanted)), "mount_setattr")


def mount(source: str, target: str, kind: str, flags: int, options: str) -> None:
    done = _LIBC.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), options.encode())
    checked(done, f"mount {kind or 'propagation'} on {target}")


# -- Landlock and seccomp ----------------------------------------------------------------------------------------------


def landlock_version() -> int:
    """Return the version of Landlock's interface, or something below 1 where the kernel has none."""
    return int(_LIBC.syscall(_LANDLOCK_CREATE, None, 0, 1))


def restrict_paths(rules: Spec) -> str:
    """Allow reading below `read`, writing below `write` and no other file; return the layer's name."""
    version = checked(_LIBC.syscall(_LANDLOCK_CREATE, None, 0, 1), "landlock")
    every, of_files = (1 << {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)) - 1, 0b1100000000000111
    reading, on_files = 0b1101, every & of_files
    tcp, scopes = (0b11 if version >= 4 and not rules["tcp"] else 0), (0b11 if version >= 6 else 0)  # noqa: PLR2004
    wanted = struct.pack("=QQQ", every, tcp, scopes)[: 24 if scopes else 16 if tcp else 8]
    ruleset = checked(_LIBC.syscall(_LANDLOCK_CREATE, wanted, len(wanted), 0), "landlock ruleset")
    for access, paths in ((reading, rules["read"]), (every, rules["write"])):
        for path in paths:
            with contextlib.suppress(FileNotFoundError):
                fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
                allowed = access if stat.S_ISDIR(os.fstat(fd).st_mode) else access & on_files
                rule = struct.pack("=Qi", allowed, fd)
                checked(_LIBC.syscall(_LANDLOCK_ADD, ruleset, 1, rule, 0), f"landlock {path}")
                os.close(fd)
    checked(_LIBC.syscall(_LANDLOCK_RESTRICT, ruleset, 0), "landlock restrict")
    return f"landlock {version}"


def load_filter(program: bytes) -> None:
    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))

    filter_mode, instruction_bytes = 2, 8
    code = Program(len(program) // instruction_bytes, program)
    checked(_LIBC.prctl(_SET_SECCOMP, filter_mode, ctypes.byref(code), 0, 0), "seccomp")


def prctl(option: int, value: int) -> None:
    checked(_LIBC.prctl(option, value, 0, 0, 0), f"prctl {option}")


def checked(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno() or errno.EINVAL
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


if __name__ == "__main__":
    main()
