"""Which system calls no project needs: one denylist, compiled once, for every rung.

Denied calls fail with EPERM instead of killing, so that a program sees an ordinary refusal. `clone3` hides its flags
from a filter and so says ENOSYS, upon which every C library falls back to `clone`, whose namespace flags are refused.
"""

import errno
import os
from functools import lru_cache
from types import ModuleType
from typing import cast

from bottega.core.errors import AppError

_DENIED = """
    acct add_key bpf chroot clock_adjtime clock_settime delete_module fanotify_init finit_module fsconfig
    fsmount fsopen fspick init_module io_uring_enter io_uring_register io_uring_setup ioperm iopl kcmp
    kexec_file_load kexec_load keyctl lookup_dcookie mount mount_setattr move_mount move_pages name_to_handle_at
    open_by_handle_at open_tree perf_event_open pidfd_getfd pivot_root process_madvise process_vm_readv
    process_vm_writev ptrace quotactl reboot request_key sethostname setdomainname setns settimeofday swapoff
    swapon syslog umount2 unshare userfaultfd vhangup
"""
_NEW_NAMESPACES = (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000)
_TERMINAL_INPUT = (0x5412, 0x541C)  # TIOCSTI and TIOCLINUX type into the terminal that started the worker
_ALLOWED_FAMILIES = {0, 1, 2, 10}  # unspecified, unix, inet, inet6
_LAST_KNOWN_FAMILY = 64
_LOW_WORD = 0xFFFFFFFF


class NoSeccomp(AppError):
    code = "no_seccomp"
    http_status = 503

    def __init__(self) -> None:
        super().__init__("libseccomp is missing, so system calls cannot be filtered. Install it (Debian: libseccomp2).")


@lru_cache(maxsize=2)
def compiled_filter(*, sockets: bool) -> bytes:
    """Return the BPF program. Without a network namespace of its own a run gets no `sockets`, only socket pairs."""
    lib = _library()
    refuse = lib.ERRNO(errno.EPERM)
    rules = lib.SyscallFilter(lib.ALLOW)

    def deny(name: str, action: int, *arguments: object) -> None:
        number = lib.resolve_syscall(lib.Arch.NATIVE, name)
        if number >= 0:  # negative: this processor or this libseccomp has no such call
            rules.add_rule(action, number, *arguments)

    for name in _DENIED.split():
        deny(name, refuse)
    for flag in _NEW_NAMESPACES:
        deny("clone", refuse, lib.Arg(0, lib.MASKED_EQ, flag, flag))
    deny("clone3", lib.ERRNO(errno.ENOSYS))
    for request in _TERMINAL_INPUT:
        deny("ioctl", refuse, lib.Arg(1, lib.MASKED_EQ, _LOW_WORD, request))
    if sockets:
        for family in set(range(_LAST_KNOWN_FAMILY)) - _ALLOWED_FAMILIES:
            deny("socket", refuse, lib.Arg(0, lib.MASKED_EQ, _LOW_WORD, family))
    else:
        deny("socket", refuse)
    with os.fdopen(os.memfd_create("filter", os.MFD_CLOEXEC), "w+b") as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()


def _library() -> ModuleType:
    try:
        import pyseccomp  # noqa: PLC0415 - importing it is what fails where libseccomp is missing
    except RuntimeError as error:
        raise NoSeccomp from error
    return cast(ModuleType, pyseccomp)
