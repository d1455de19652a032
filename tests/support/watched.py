"""Runs a program that may only read: `watched.py [--writes] PROGRAM ARGUMENT…`.

The kernel kills it (SIGSYS) as soon as it, or a thread of it, starts a process, replaces itself,
makes a socket, or opens a file to write it, which `--writes` alone allows. Only the very call that
starts it is let through, by the address of its path.
"""

import ctypes
import os
import platform
import struct
import sys

# linux/audit.h and the tables of system calls.
MACHINES = {
    "x86_64": (0xC000003E, dict(socket=41, socketpair=53, connect=42, clone=56, fork=57, vfork=58,
                                execve=59, execveat=322, open=2, creat=85, openat=257, openat2=437,
                                io_uring_setup=425, clone3=435)),
    "aarch64": (0xC00000B7, dict(socket=198, socketpair=199, connect=203, clone=220, execve=221,
                                 execveat=281, openat=56, openat2=437, io_uring_setup=425,
                                 clone3=435)),
}
LOAD, EQUAL, ANY, RETURN = 0x20, 0x15, 0x45, 0x06
ALLOW, KILL, NO_SUCH_CALL = 0x7FFF0000, 0x80000000, 0x00050000 | 38
CLONE_THREAD = 0x10000
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


def argument(number):
    """Where the lower half of an argument stands in `struct seccomp_data`."""
    return 16 + 8 * number


def program(path, writes):
    """The filter, as instructions of BPF; jumps count from the next one."""
    machine, calls = MACHINES[platform.machine()]
    code = [(LOAD, 0, 0, 4), (EQUAL, 1, 0, machine), (RETURN, 0, 0, KILL), (LOAD, 0, 0, 0)]

    def on(name, body):
        if name in calls:
            code.append((EQUAL, 0, len(body), calls[name]))
            code.extend(body)

    kill, allow = (RETURN, 0, 0, KILL), (RETURN, 0, 0, ALLOW)
    for name in ("socket", "socketpair", "connect", "fork", "vfork", "execveat", "io_uring_setup"):
        on(name, [kill])
    for name in () if writes else ("creat", "openat2"):
        on(name, [kill])
    # glibc turns to clone then, whose flags a filter can read.
    on("clone3", [(RETURN, 0, 0, NO_SUCH_CALL)])
    on("clone", [(LOAD, 0, 0, argument(0)), (ANY, 0, 1, CLONE_THREAD), allow, kill])
    for name, flags in () if writes else (("open", 1), ("openat", 2)):
        on(name, [(LOAD, 0, 0, argument(flags)), (ANY, 1, 0, WRITES), allow, kill])
    low, high = path & 0xFFFFFFFF, path >> 32
    on("execve", [(LOAD, 0, 0, argument(0)), (EQUAL, 0, 3, low), (LOAD, 0, 0, argument(0) + 4),
                  (EQUAL, 0, 1, high), allow, kill])
    code.append(allow)
    return b"".join(struct.pack("HBBI", *instruction) for instruction in code), len(code)


def main():
    libc = ctypes.CDLL(None, use_errno=True)
    writes = sys.argv[1] == "--writes"
    started = sys.argv[2:] if writes else sys.argv[1:]
    path = ctypes.create_string_buffer(os.fsencode(started[0]))
    words = [os.fsencode(word) for word in started]
    arguments = (ctypes.c_char_p * (len(words) + 1))(*words, None)
    settings = [os.fsencode(f"{name}={value}") for name, value in os.environ.items()]
    environment = (ctypes.c_char_p * (len(settings) + 1))(*settings, None)
    code, length = program(ctypes.addressof(path), writes)
    code = ctypes.create_string_buffer(code)
    filtered = ctypes.create_string_buffer(struct.pack("HxxxxxxP", length, ctypes.addressof(code)))
    prctl = libc.prctl
    prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
    # PR_SET_NO_NEW_PRIVS, then PR_SET_SECCOMP with SECCOMP_MODE_FILTER.
    if prctl(38, 1, 0, 0, 0) or prctl(22, 2, ctypes.addressof(filtered), 0, 0):
        sys.exit(f"this kernel takes no filter: {os.strerror(ctypes.get_errno())}")
    libc.execve(path, arguments, environment)
    sys.exit(f"{started[0]}: {os.strerror(ctypes.get_errno())}")


main()
