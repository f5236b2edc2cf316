"""Runs a command in a network namespace that holds nothing but a loopback device.

A program of its own, run as `python -IS no_network.py COMMAND...`. It takes the network away from itself, which the
kernel lets root do, and everybody else in a user namespace where that is allowed; then it makes way for the command.
Sockets in the file system, such as the jobserver's, work as before. It ends with 125 where the kernel refuses.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import socket
import struct
import sys

REFUSED = 125
_NOT_FOUND = 127

# Of unshare(2).
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
# Of netdevice(7): the flags of a device, in a structure of 40 bytes that starts with its name.
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1
_IFREQ = struct.Struct("16sH22x")


def main(command: list[str]) -> int:
    """Run a command without a network; comes back only if that is not possible."""
    try:
        _leave()
    except OSError as error:
        sys.stderr.write(f"no network namespace of its own: {error}\n")
        return REFUSED
    # Test suites and build tools talk to themselves; without this even 127.0.0.1 cannot be reached.
    with contextlib.suppress(OSError):
        _raise_loopback()
    try:
        os.execvp(command[0], command)  # noqa: S606 - the command is the caller's, word by word
    except OSError as error:
        sys.stderr.write(f"{error}\n")
    return _NOT_FOUND


def _leave() -> None:
    user, group = os.getuid(), os.getgid()
    if not _unshare(_CLONE_NEWNET):
        return
    if error := _unshare(_CLONE_NEWUSER | _CLONE_NEWNET):
        raise OSError(error, os.strerror(error))
    # The command stays who it was, so that what it writes has the same owner.
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{user} {user} 1")
    _write("/proc/self/gid_map", f"{group} {group} 1")


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:  # noqa: PTH123 - pathlib takes as long to import as Python to start
        file.write(text)


def _unshare(flags: int) -> int:
    """Enter new namespaces; gives 0 or the number of the error."""
    return 0 if ctypes.CDLL(None, use_errno=True).unshare(flags) == 0 else ctypes.get_errno()


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as device:
        answer = fcntl.ioctl(device, _SIOCGIFFLAGS, _IFREQ.pack(b"lo", 0))
        name, flags = _IFREQ.unpack(answer)
        fcntl.ioctl(device, _SIOCSIFFLAGS, _IFREQ.pack(name, flags | _IFF_UP))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
