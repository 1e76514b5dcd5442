#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Record seccomp profiles with eBPF, run programs under them, and carry them on: SeccompProfile objects of Kubernetes'
Security Profiles Operator (YAML), and the JSON that OCI runtimes take.

Each section uses only those above it. What goes in and what comes out:

    Constants              exit codes, the kernel's and libseccomp's names for actions
    Messages               errors of a line each, and the log on standard error
    Policy                 Profile: what it answers to a call; the union, difference and portable form of profiles
    Formats                YAML or JSON -> document -> Profile -> text; a text that is added to in place
    Files                  a path -> text, which others may have written; text -> a file, replaced whole
    Registry               a profile <-> what an OCI registry holds of it
    Libraries              libbpf, libseccomp and libc: their functions as tables
    Machine                numbers of syscalls <-> names; capabilities, namespaces, what /proc tells
    Filters                Profile -> the BPF program that seccomp(2) takes; what that answers to a call
    Commands under watch   a command's process, from fork to its end; what was seen of it
    BPF                    recorder.bpf.o -> the calls of the command, and those that its filter stops
    Notification           the same without BPF: the kernel asks about each call
    Audit                  audit records -> the calls that the filter stops
    record, run, watch     options and a command, or what runs -> a profile; a profile and a command, or what runs ->
                           what is blocked
    Profile commands       merge, diff, convert, show: profiles -> text
    Gaps                   what a program imports -> the syscalls that it may make
    doctor                 what this machine can do
    Command line           options, help, main()

Needed: Python 3.9, libseccomp 2.5; Linux 5.8, libbpf 0.3, recorder.bpf.o beside this file, and root or CAP_BPF with
CAP_PERFMON; or, for what works without BPF, Linux 5.5.

Exit codes: the command's own, 128+N if signal N ended it; 125 if spoc.py itself failed or the profile may be
incomplete, 126 if the command is not executable, 127 if it was not found, 2 for wrong usage.
"""
from __future__ import annotations

import sys

if sys.version_info < (3, 9):
    sys.stderr.write("spoc: start: Python %d.%d: too old; run it with Python 3.9 or newer\n" % sys.version_info[:2])
    sys.exit(125)
if sys.implementation.name == "cpython":
    _signal = __import__("_signal")  # signal without its enumerations, which take as long to make as all of ctypes
else:
    sys.stderr.write("spoc: start: %s: has not all of CPython's functions for Linux, such as os.waitid; run it with "
                     "CPython 3.9 or newer (/usr/bin/python3)\n" % sys.implementation.name)
    sys.exit(125)
if __name__ == "__main__" and not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
    # Run as root from a folder that others may write to (/tmp, say), this file must not import what lies beside it.
    del sys.path[0]

import os

if __name__ == "__main__" and _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
    # That would show a traceback of imports. What must be tidied up holds signals: signals_held(), Supervisor.
    _signal.signal(_signal.SIGINT, lambda number, _: os._exit(128 + number))

import collections
import contextlib
import errno
import functools
import io
import itertools
import operator
import stat
import time

try:
    import ctypes
    import fcntl
    import mmap
    import select
    from ctypes import (c_bool, c_char, c_char_p, c_int, c_int64, c_long, c_size_t, c_uint8, c_uint16, c_uint32,
                        c_uint64, c_ulong, c_void_p)
except ModuleNotFoundError as missing:
    sys.stderr.write(f"spoc: start: Python module {missing.name}: not installed; "
                     "install the full python3 package (Debian's python3-minimal is not enough)\n")
    sys.exit(125)
except (ImportError, OSError, MemoryError) as failure:
    sys.stderr.write(f"spoc: start: Python modules: {failure}; raise the limits on memory and open files (ulimit -v, "
                     "-n), or install the python3 package anew\n")
    sys.exit(125)

# A short recording is mostly start-up, and what is imported for it: what few commands need is imported by the functions
# that use it, and typing takes 4 ms.
IMPORTED_LATER = ("_socket _thread array binascii bisect difflib email.utils fnmatch glob hashlib html http.client "
                  "ipaddress json pwd re resource shlex shutil socket ssl struct subprocess syslog termios "
                  "textwrap threading urllib.parse zipfile").split()
TYPE_CHECKING = False
if TYPE_CHECKING:
    import array
    import email.message
    import http.client
    import re
    import signal
    import socket
    import ssl
    from typing import (Any, BinaryIO, Callable, Container, Iterable, Iterator, Mapping, NamedTuple, NoReturn, Protocol,
                        Sequence, TypeVar)
else:
    signal = _signal

    class NamedTupleType(type):
        """Makes a class with annotated fields a collections.namedtuple, as typing.NamedTuple does."""

        def __new__(mcs, name, bases, namespace):
            fields = namespace.get("__annotations__")
            if not fields:
                return super().__new__(mcs, name, bases, namespace)
            defaults = [namespace.pop(field) for field in fields if field in namespace]
            base = collections.namedtuple(name, fields, defaults=defaults)
            return type(name, (base,), {"__slots__": (), **namespace})

    class NamedTuple(metaclass=NamedTupleType):
        """The base of such classes."""

    class Protocol:
        """What several classes have in common; only the type checker looks."""

__all__ = ["BpfRecorder", "Call", "Identity", "Profile", "ProfileError", "Recording", "Rule", "SpocError",
           "append_profile", "format_changed", "format_json", "format_profile", "format_yaml", "main", "parse_profile",
           "parse_yaml"]

# --- Constants ---------------------------------------------------------------


VERSION = "0.1.0"
# What users call this program: as `make install` puts it into place, as one file, or as it is.
PROGRAM = next((name for name in ("spoc", "spoc.pyz") if name == os.path.basename(sys.argv[0])), "spoc.py")

EXIT_BLOCKED = 1
EXIT_USAGE = 2
EXIT_FAILURE = 125
EXIT_NOT_EXECUTABLE = 126
EXIT_NOT_FOUND = 127
EXIT_SIGNAL = 128

# The types of -t that every command writes: an object of the Security Profiles Operator (its CRD), and OCI's JSON.
TYPE_CRD = "seccomp"
TYPE_JSON = "raw-seccomp"
TYPE_SYSTEMD = "systemd"  # of record as well: a drop-in for a service
DEFAULT_OUTPUT = {TYPE_CRD: "/tmp/profile.yaml", TYPE_JSON: "/tmp/profile.json"}
TYPE_OF_EXTENSION = {".yaml": TYPE_CRD, ".yml": TYPE_CRD, ".json": TYPE_JSON}
DROP_IN_EXTENSION = ".conf"  # without which systemd takes no file for a drop-in (systemd.unit(5))

SCMP_ACT_ALLOW = "SCMP_ACT_ALLOW"
SCMP_ACT_ERRNO = "SCMP_ACT_ERRNO"
SCMP_ACT_TRAP = "SCMP_ACT_TRAP"
SCMP_ACT_TRACE = "SCMP_ACT_TRACE"
SCMP_ACT_LOG = "SCMP_ACT_LOG"
SCMP_ACT_NOTIFY = "SCMP_ACT_NOTIFY"
SCMP_ACT_KILL_THREAD = "SCMP_ACT_KILL_THREAD"
SCMP_ACT_KILL_PROCESS = "SCMP_ACT_KILL_PROCESS"
SIGNALS_TO_END = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)

# seccomp.h; an errno goes into the lowest 16 bits. KILL is the older name of KILL_THREAD.
ACTIONS = {
    "SCMP_ACT_KILL": 0, SCMP_ACT_KILL_THREAD: 0, SCMP_ACT_KILL_PROCESS: 0x80000000, SCMP_ACT_TRAP: 0x00030000,
    SCMP_ACT_ERRNO: 0x00050000, SCMP_ACT_NOTIFY: 0x7FC00000, SCMP_ACT_TRACE: 0x7FF00000, SCMP_ACT_LOG: 0x7FFC0000,
    SCMP_ACT_ALLOW: 0x7FFF0000}
ACTION_NAMES = {value: name for name, value in ACTIONS.items()}
NUMBERED_ACTIONS = (SCMP_ACT_ERRNO, SCMP_ACT_TRACE)  # those that carry an errno
PERMISSIVE = (SCMP_ACT_ALLOW, SCMP_ACT_LOG)
# enum scmp_compare in seccomp.h, which begins with 1.
OPERATORS = {
    "SCMP_CMP_NE": ("!=", operator.ne),
    "SCMP_CMP_LT": ("<", operator.lt),
    "SCMP_CMP_LE": ("<=", operator.le),
    "SCMP_CMP_EQ": ("==", operator.eq),
    "SCMP_CMP_GE": (">=", operator.ge),
    "SCMP_CMP_GT": (">", operator.gt),
    "SCMP_CMP_MASKED_EQ": ("==", operator.eq)}  # of the bits that a mask chooses
MASK_32, MASK_64 = (1 << 32) - 1, (1 << 64) - 1
MAX_SECCOMP_ERRNO = 4094  # libseccomp refuses more (MAX_ERRNO in its src/db.h)
# linux/seccomp.h. Two mean nothing here: the filter is loaded by a process of one thread, and without a listener, for
# which the kernel refuses the last; with one, the child tries it.
SPEC_ALLOW = "SECCOMP_FILTER_FLAG_SPEC_ALLOW"
FILTER_FLAGS = {"SECCOMP_FILTER_FLAG_TSYNC": 0, "SECCOMP_FILTER_FLAG_LOG": 2, SPEC_ALLOW: 4,
                "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": 0}

# Syscalls that a container runtime makes between applying the profile and starting the container's program: the union
# of the base profiles runc-v1.4.2 and crun of kubernetes-sigs/security-profiles-operator, commit a2e4c4b.
BASE_SYSCALLS = """
    access arch_prctl brk capget capset chdir chmod chown close close_range dup2 epoll_ctl epoll_pwait execve
    exit_group faccessat2 fchdir fchown fcntl fstat fstatfs futex getcwd getdents64 getegid geteuid getgid getpid
    getppid getuid ioctl lseek mkdirat mknodat mmap mount mprotect nanosleep newfstatat openat openat2 pivot_root
    prctl pselect6 read readlink recvfrom rt_sigaction rt_sigprocmask rt_sigreturn sched_yield set_tid_address
    setgid setgroups sethostname setns setresgid setresuid setsid setuid sigaltstack statfs statx symlinkat tgkill
    umask umount2 unshare write
""".split()

# --- Messages ----------------------------------------------------------------


class SpocError(Exception):
    """A foreseeable failure: what was done, to what, why it failed, and what the user can do about it."""

    def __init__(self, operation: str, subject: str, reason: str | OSError, hint: str = "",
                 exit_code: int = EXIT_FAILURE):
        if isinstance(reason, OSError):
            reason = reason.strerror or str(reason)
        super().__init__(operation, subject, reason, hint)
        self.operation, self.subject, self.reason, self.hint = operation, subject, reason, hint
        self.exit_code = exit_code

    def __str__(self) -> str:
        message = ": ".join(part for part in (self.operation, self.subject, self.reason) if part)
        return printable(f"{message}; {self.hint}" if self.hint else message)


class UsageError(SpocError):
    """Wrong options or operands: exit code 2."""

    def __init__(self, subject: str, reason: str, hint: str = ""):
        """Without a hint main() names the help of the command that was given."""
        super().__init__("usage", subject, reason, hint, EXIT_USAGE)


class ProfileError(SpocError):
    """A profile that cannot be read: the message names file, line and column, both counted from 1."""

    def __init__(self, file: str, line: int, column: int, reason: str | OSError, hint: str = ""):
        super().__init__("read profile", f"{file}:{line}:{column}" if line else file, reason, hint)
        self.file, self.line, self.column = file, line, column


class ConflictError(SpocError):
    """Rules that give one call two answers, so that no filter can be built of them."""


class ReplaceError(SpocError):
    """A file that a profile must not replace: it holds something else."""


class LibraryError(SpocError):
    """A C library that is missing, or too old."""


class KernelError(SpocError):
    """A refusal of the kernel."""


class ChildError(SpocError):
    """A command that could not be started: exit code 126 or 127, or 125 where the command is not to blame."""


def decode_name(name: bytes) -> str:
    """A name that may not be UTF-8, as text that every reader of JSON takes: its other bytes become \\xNN."""
    return name.decode(errors="backslashreplace")


def spell_name(name: str) -> str:
    """The same of what Python has decoded. JSON may hold surrogates that stand for no byte: these become \\uNNNN."""
    try:
        return decode_name(name.encode(errors="surrogateescape"))
    except UnicodeEncodeError:
        return name.encode(errors="backslashreplace").decode()


# What this process, or the machine, has no more of, and what to do then.
LIMITS = {errno.EMFILE: "raise the limit on open files (ulimit -n)",
          errno.ENFILE: "raise the machine's limit on open files (sysctl fs.file-max)",
          errno.EAGAIN: "raise the limit on processes (ulimit -u, pids.max of the cgroup)",
          errno.ENOMEM: "free some memory, or raise the limit (ulimit -v)"}
REINSTALL = "install the full python3 package, or raise the limits on memory and open files (ulimit)"


MAX_WORD = 60  # characters of an unknown word that are compared with known ones
LIKENESS = 0.75  # of two words, see difflib.get_close_matches()


def remedy_of(error: Exception) -> str:
    """What to do about an error that is a limit's; "" if it is not. The dynamic loader gives no number."""
    number = getattr(error, "errno", None)
    return next((remedy for limit, remedy in LIMITS.items()
                 if number == limit or number is None and os.strerror(limit) in str(error)), "")


def printable(text: str) -> str:
    """One line, and nothing in it that a terminal would obey."""
    text = spell_name(text)
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def for_terminal(text: bytes) -> bytes:
    """The same of a text of several lines."""
    return "\n".join(map(printable, text.decode(errors="backslashreplace").split("\n"))).encode()


def quoted(name: str) -> str:
    """A name that others have chosen, between fields of a line: in quotes if it could be taken for more than a name."""
    if name and name == name.strip() and not any(mark in name for mark in (",", '"', ": ", " (")):
        return name
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def nearest(word: object, known: Iterable[str], likeness: float) -> str:
    """The known word that is like an unknown one, less what all known ones begin with; "" if none is."""
    import difflib
    if not isinstance(word, str):
        return ""
    names = list(known)
    start = os.path.commonprefix(names) if len(names) > 1 else ""
    by_end = {name[len(start):].lower(): name for name in names}
    end = word[:MAX_WORD].lower()
    end = end[len(start):] if end.startswith(start.lower()) else end
    exchanged = [end[:at] + end[at:at + 2][::-1] + end[at + 2:] for at in range(len(end) - 1)]
    found = [each for each in (end, *exchanged) if each in by_end] or difflib.get_close_matches(
        end, by_end, 1, likeness)
    return by_end[found[0]] if found else ""


def suggestion(word: object, known: Iterable[str]) -> str:
    """What to say of an unknown word."""
    name = nearest(word, known, LIKENESS)
    return f"; did you mean {name}?" if name else ""


MAX_NAMES_LISTED = 30  # in a message


def list_names(names: Iterable[str], lister: str) -> str:
    """The first of these names, with commas between them, and what lists all where that is not all of them."""
    ordered = sorted(names)
    text = ", ".join(map(quoted, ordered[:MAX_NAMES_LISTED]))
    more = len(ordered) - MAX_NAMES_LISTED
    return f"{text} and {more} more, which {lister} lists" if more > 0 else text


def count_of(number: int, one: str, several: str) -> str:
    return f"{number} {one if number == 1 else several}"


def list_of(words: Sequence[str]) -> str:
    """One, two and three."""
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last


def close(descriptor: int) -> None:
    """Close what was not written to: an error means nothing, and the descriptor is free (close(2))."""
    with contextlib.suppress(OSError):
        os.close(descriptor)


def refusal_text(error: OSError) -> str:
    """What was refused and, if known, for which file or C function."""
    return ": ".join(str(part) for part in (error.strerror or error, error.filename) if part)


UNREAD_MS = 200  # after which signals have their turn


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of it: what a file object holds back would fail once more, with a traceback, when it goes away."""
    while data:
        try:
            data = data[os.write(descriptor, data):]
        except BlockingIOError:  # whoever shares it may have made it so
            poll = select.poll()
            poll.register(descriptor, select.POLLOUT)
            poll.poll()


def write_stderr(text: str) -> bool:
    """Say whether it was written: no message is worth ending a recording for. Where nobody reads, as in a pipe to a
    pager, it waits until a signal asks to end, which is blocked while a command is waited for.
    """
    data = text.encode(errors="backslashreplace")
    poll = select.poll()
    poll.register(2, select.POLLOUT)
    try:
        while data:
            while not poll.poll(0 if Log.unread else UNREAD_MS):
                Log.unread |= not signal.sigpending().isdisjoint(SIGNALS_TO_END)
                if Log.unread:
                    return False
            with contextlib.suppress(BlockingIOError):
                data = data[os.write(2, data[:select.PIPE_BUF]):]  # for which a pipe that can be written to has room
        return True
    except OSError:
        return False


def write_stdout(text: str) -> None:
    """Write all of it, or raise SpocError."""
    try:
        write_all(1, text.encode())
    except OSError as error:
        raise SpocError("write", "standard output", error, "redirect it elsewhere") from None


def import_now(*names: str) -> None:
    """Import modules that functions import later: then it could fail in mid-recording. Raises ImportError."""
    for name in names:
        try:
            module = __import__(name)
        except Exception as error:  # importlib takes some errors of the kernel for something else
            raise ImportError(f"{type(error).__name__}: {error}", name=name) from None
        if is_hollow(module):
            del sys.modules[name]
            raise ImportError("its folder is no package", name=name)


def is_hollow(module: Any) -> bool:
    """Was only a package's folder found, since the file in it could not be looked at?"""
    specification = getattr(module, "__spec__", None)
    return specification is not None and not specification.origin


def terminal_columns(descriptor: int) -> int:
    """The width of a terminal; 0 where there is none, or it does not tell."""
    try:
        return os.get_terminal_size(descriptor).columns
    except OSError:
        return 0


def stdout_columns() -> int:
    return terminal_columns(1) or 80


RED, GREEN, YELLOW, CYAN, BOLD, FAINT = "31", "32", "33", "36", "1", "2"  # Select Graphic Rendition, ECMA-48 8.3.117


def has_colour(descriptor: int) -> bool:
    """Is there a terminal that has colour, for a user who wants it? NO_COLOR: see no-color.org."""
    return os.isatty(descriptor) and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"


def paint(text: str, code: str) -> str:
    return f"\x1b[{code}m{text}\x1b[m" if text and code else text


def fold_line(text: str, columns: int, indent: int) -> list[str]:
    """Lines of at most so many columns, broken at blanks only; all but the first are indented.

    Not textwrap, whose import takes memory, and could fail in mid-recording.
    """
    lines = [""]
    for word in text.split(" "):
        if lines[-1].strip() and len(lines[-1]) + len(word) >= columns:
            lines.append(" " * indent + word)
        else:
            lines[-1] += word if len(lines) == 1 and not lines[0] else f" {word}"
    return lines


def beside(label: str, text: str, columns: int, code: str = "") -> list[str]:
    """Lines with a text beside a label of this colour."""
    import textwrap
    first, *more = textwrap.wrap(text, max(columns - len(label), 20), break_on_hyphens=False) or [""]
    return [paint(label, code) + first, *(" " * len(label) + line for line in more)]


def write_syslog(text: str) -> None:
    """Give a line to the system's log (syslog(3)), if there is one."""
    import syslog
    syslog.openlog("spoc", syslog.LOG_PID, syslog.LOG_DAEMON)
    syslog.syslog(syslog.LOG_ERR if text.startswith("Error:") else syslog.LOG_INFO, text)


def notify_service_manager(state: str) -> None:
    """Tell systemd how far this is, if that waits to be told (sd_notify(3))."""
    import socket
    path = os.environ.get("NOTIFY_SOCKET", "")
    if path.startswith(("/", "@")):
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notification:
            notification.sendto(state.encode(), "\0" + path[1:] if path.startswith("@") else path)


class Log:
    """Messages on standard error, as `HH:MM:SS.ffffff message`.

    Not `logging`, whose import takes a third of the time of recording `true`.
    """

    quiet = False
    verbose = False
    could_be_verbose = False  # does -v mean something that was not given?
    to_syslog = False  # nobody reads standard error
    unsaid = False  # what could not be written the exit code has to tell
    unread = False  # nobody reads standard error, and a signal has asked to end

    CLOCK_COLUMNS = 16

    @classmethod
    def _line(cls, message: str, colour: str = "") -> bool:
        """Write a line, folded to the width of a terminal."""
        if cls.to_syslog:
            write_syslog(printable(message))
            return True
        seconds, fraction_ns = divmod(time.time_ns(), 10 ** 9)
        clock = f"{time.strftime('%H:%M:%S', time.localtime(seconds))}.{fraction_ns // 1000:06d} "
        text = printable(message)
        columns = terminal_columns(2)
        if columns > 2 * cls.CLOCK_COLUMNS and len(clock + text) > columns:
            text = ("\n" + " " * cls.CLOCK_COLUMNS).join(fold_line(text, columns - cls.CLOCK_COLUMNS, 0))
        return write_stderr(clock + (paint(text, colour) if colour and has_colour(2) else text) + "\n")

    @classmethod
    def info(cls, message: str, colour: str = "") -> None:
        if not cls.quiet:
            cls._line(message, colour)

    @classmethod
    def debug(cls, message: str) -> None:
        if cls.verbose:
            cls._line(message)

    @classmethod
    def result(cls, message: str, colour: str = "") -> None:
        """What the user asked for: not even -q takes it away."""
        cls.unsaid |= not cls._line(message, colour)

    @classmethod
    def table(cls, text: str) -> None:
        """A result of several lines."""
        cls.unsaid |= not write_stderr(text)

    @classmethod
    def warning(cls, message: str) -> None:
        """What may surprise later, though nothing has failed: -q leaves it."""
        cls._line(f"Warning: {message}", YELLOW)

    @classmethod
    def error(cls, error: object) -> None:
        cls.unsaid |= not cls._line(f"Error: {error}", RED)


def with_v(advice: str, otherwise: str = "") -> str:
    """The first, for a command that takes -v and has not got it; else the other."""
    return advice if Log.could_be_verbose else otherwise


def report_it() -> str:
    return "report it" + with_v(", with what -v adds")

# --- Policy ------------------------------------------------------------------


# What some architectures, as i386, do within one syscall, chosen by its first argument: libseccomp enforces the rules
# for these names there, too (linux/net.h, linux/ipc.h).
MULTIPLEXED = {
    "socketcall": dict(enumerate("""
        socket bind connect listen accept getsockname getpeername socketpair send recv sendto recvfrom shutdown
        setsockopt getsockopt sendmsg recvmsg accept4 recvmmsg sendmmsg""".split(), 1)),
    "ipc": {1: "semop", 2: "semget", 3: "semctl", 4: "semtimedop", 11: "msgsnd", 12: "msgrcv", 13: "msgget",
            14: "msgctl", 21: "shmat", 22: "shmdt", 23: "shmget", 24: "shmctl"}}


class Condition(NamedTuple):
    """A comparison of one argument of a syscall, as in seccomp_rule_add(3). For MASKED_EQ `value` is the mask."""

    argument: int
    op: str
    value: int
    value_two: int = 0

    @property
    def compared(self) -> tuple[int, int]:
        """The bits of the argument that are compared, as a mask, and with what."""
        if self.op == "SCMP_CMP_MASKED_EQ":
            return self.value, self.value & self.value_two
        return MASK_64, self.value

    def is_met_by(self, value: int) -> bool:
        mask, wanted = self.compared
        _, compare = OPERATORS[self.op]
        return bool(compare(value & mask, wanted))

    def text(self, argument: str) -> str:
        mask, wanted = self.compared
        sign, _ = OPERATORS[self.op]
        if self.op == "SCMP_CMP_MASKED_EQ":
            return f"{argument} & {mask:#x} {sign} {wanted:#x}"
        return f"{argument} {sign} {wanted}"

    @property
    def normal(self) -> Condition:
        """The form in which equal conditions are equal."""
        if self.op == "SCMP_CMP_MASKED_EQ":
            return bits_equal(self.argument, *self.compared)
        return self._replace(value_two=0)

    @property
    def fixed_bits(self) -> tuple[int, int]:
        """The bits that can have one value only, and that value."""
        return self.compared if self.op in ("SCMP_CMP_EQ", "SCMP_CMP_MASKED_EQ") else (0, 0)

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """Lowest and highest values that meet it; of MASKED_EQ, some between may not."""
        mask, value = self.compared
        below, above = (0, value - 1), (value + 1, MASK_64)
        ranges = {"SCMP_CMP_NE": [below, above], "SCMP_CMP_LT": [below], "SCMP_CMP_LE": [(0, value)],
                  "SCMP_CMP_EQ": [(value, value)], "SCMP_CMP_GE": [(value, MASK_64)], "SCMP_CMP_GT": [above],
                  "SCMP_CMP_MASKED_EQ": [(value, value | ~mask & MASK_64)]}[self.op]
        return [(low, high) for low, high in ranges if low <= high]


def bits_equal(argument: int, mask: int, value: int) -> Condition:
    """The condition that these bits of an argument have this value."""
    if mask == MASK_64:
        return Condition(argument, "SCMP_CMP_EQ", value)
    return Condition(argument, "SCMP_CMP_MASKED_EQ", mask, value)


def errno_of(name: str) -> int:
    """An errno by any of its names; -1 if it is none."""
    number = vars(errno).get(name)
    return number if isinstance(number, int) else -1


class Verdict(NamedTuple):
    """What a filter answers to a call: an action, and the errno that it carries or 0."""

    action: str
    errno: int

    def __str__(self) -> str:
        if self.action not in NUMBERED_ACTIONS:
            return self.action
        return f"{self.action} ({errno.errorcode.get(self.errno, self.errno)})"

    @property
    def lets_pass(self) -> bool:
        return self.action in PERMISSIVE

    @property
    def leniency(self) -> tuple[int, int]:
        """A key that sorts from the most to the least restrictive: of actions the lowest as a signed number
        (linux/seccomp.h), of errnos here the highest.
        """
        return ACTIONS[self.action] ^ 0x80000000, -self.errno


ALLOW = Verdict(SCMP_ACT_ALLOW, 0)


def make_verdict(action: str, number: int) -> Verdict:
    """The action with this errno if it carries one."""
    return Verdict(action, number if action in NUMBERED_ACTIONS else 0)


class Answer(NamedTuple):
    """What a profile answers to a syscall where all conditions hold, in normal form."""

    conditions: tuple[Condition, ...]
    verdict: Verdict

    def __str__(self) -> str:
        """For a person; "" if it allows the syscall whatever its arguments are."""
        return self.described(lambda condition: condition.text(f"args[{condition.argument}]"))

    def described(self, describe: Callable[[Condition], str]) -> str:
        """The same with conditions in other words."""
        parts = [] if self.verdict == ALLOW else [str(self.verdict)]
        if self.conditions:
            parts.append("if " + " and ".join(map(describe, self.conditions)))
        return " ".join(parts)

    def text_for(self, name: str) -> str:
        """The same, said of a syscall."""
        return f"{name} {self}".rstrip() if self.verdict == ALLOW else f"{name}: {self}"


Answers = tuple[Answer, ...]


class Rule(NamedTuple):
    """An action for some syscalls, if all conditions hold."""

    action: str
    names: tuple[str, ...]
    errno: int = errno.EPERM
    conditions: tuple[Condition, ...] = ()

    @property
    def verdict(self) -> Verdict:
        return make_verdict(self.action, self.errno)

    @property
    def answer(self) -> Answer:
        return Answer(tuple(sorted(each.normal for each in self.effective_conditions)), self.verdict)

    @property
    def effective_conditions(self) -> list[Condition]:
        """Those that compare any bit."""
        return [each for each in self.conditions if each.compared[0]]

    def narrowed(self, mask: int) -> Rule:
        """The rule where arguments have these bits."""
        return self._replace(conditions=tuple(
            each._replace(value=each.value & mask, value_two=each.value_two & mask) for each in self.conditions))

    def multiplexed(self, code: int) -> Rule:
        """The rule within a multiplexed call, whose first argument is this code. The others are in memory then, but
        libseccomp compares its registers all the same.
        """
        others = [each for each in self.conditions if each.argument]
        return self._replace(conditions=(Condition(0, "SCMP_CMP_EQ", code), *others))


def deciding_rules(rules: Iterable[Rule], default: Verdict | None) -> list[Rule]:
    """Of the rules for one syscall those that decide its answer.

    libseccomp's precedence: rules that say what the default says are none, and of the others the first without
    conditions stands before all that have some. One that compares no bit is no condition.
    """
    deciding = [rule for rule in rules if rule.verdict != default]
    for rule in deciding:
        if not rule.effective_conditions:
            return [rule]
    return deciding


def possible_verdicts(deciding: Iterable[Rule], default: Verdict, arguments: dict[int, int]) -> Iterator[Verdict]:
    """The verdicts that a call may meet if only these arguments are known; the default last, unless a rule surely
    applies.
    """
    is_decided = False
    for rule in deciding:
        conditions = rule.effective_conditions
        known = [each for each in conditions if each.argument in arguments]
        if all(each.is_met_by(arguments[each.argument]) for each in known):
            is_decided |= len(known) == len(conditions)
            yield rule.verdict
    if not is_decided:
        yield default


class Profile(NamedTuple):
    """What a seccomp filter answers: what a rule says that names the syscall, else the default."""

    default_action: str
    architectures: tuple[str, ...]
    rules: tuple[Rule, ...]
    default_errno: int = errno.EPERM
    flags: tuple[str, ...] | None = None

    @property
    def loaded_flags(self) -> set[str]:
        """The flags that a runtime loads the filter with: runc and crun take SPEC_ALLOW where there is no list of them,
        not even an empty one.
        """
        return set((SPEC_ALLOW,) if self.flags is None else self.flags)

    @property
    def default(self) -> Verdict:
        return make_verdict(self.default_action, self.default_errno)

    def deciding_rules(self, name: str) -> list[Rule]:
        """The rules that decide calls of this name, which may be multiplexed."""
        rules = []
        for rule in self.rules:
            if name in rule.names:
                rules.append(rule)
            for code, inner in MULTIPLEXED.get(name, {}).items():
                if inner in rule.names:
                    rules.append(rule.multiplexed(code))
        return deciding_rules(rules, self.default)

    def verdicts(self, name: str, arguments: dict[int, int] | None = None) -> list[Verdict]:
        """Each verdict that a call of this name, with these arguments, may meet; the default last."""
        return list(possible_verdicts(self.deciding_rules(name), self.default, arguments or {}))


def deciding_by_name(profile: Profile) -> dict[str, list[Rule]]:
    """Syscall -> the rules that decide it by its own name."""
    found: dict[str, list[Rule]] = {}
    for names, rules in names_by_rules(profile):
        found.update(dict.fromkeys(names, deciding_rules(rules, profile.default)))
    return found


def names_by_rules(profile: Profile) -> Iterator[tuple[Sequence[str], list[Rule]]]:
    """Syscalls that the same rules name, and these rules. Nearly all syscalls stand in one rule only."""
    named: set[str] = set()
    repeated: set[str] = set()
    for rule in profile.rules:
        repeated.update(named.intersection(rule.names))
        named.update(rule.names)
    numbers: dict[str, list[int]] = {}
    for number, rule in enumerate(profile.rules):
        if repeated.isdisjoint(rule.names):
            yield rule.names, [rule]
            continue
        yield [name for name in rule.names if name not in repeated], [rule]
        for name in rule.names:
            if name in repeated:
                numbers.setdefault(name, []).append(number)
    groups: dict[tuple[int, ...], list[str]] = {}
    for name, each in numbers.items():
        groups.setdefault(tuple(each), []).append(name)
    for group, names in groups.items():
        yield names, [profile.rules[number] for number in group]


def unite_base(profile: Profile, base: Profile, file: str) -> tuple[Profile, list[str]]:
    """The profile with the rules of the one (in this file) that it builds on, and what was settled between the two.

    As UnionSyscalls of SPO (internal/pkg/util): of two unconditional answers to a syscall the less restrictive holds.
    Where conditions or errnos differ as well, its versions install different filters.
    """
    own_rules, base_rules = decisive_rules(profile), decisive_rules(base)
    settled: list[str] = []
    own_lost: set[str] = set()
    base_lost: set[str] = set()
    for name in sorted(own_rules.keys() & base_rules.keys()):
        own, others = own_rules[name], base_rules[name]
        if {rule.answer for rule in own} == {rule.answer for rule in others}:
            continue
        if len({rule.verdict for rule in own + others}) == 1:
            continue
        mine, other = own[0].verdict, others[0].verdict
        if mine.action == other.action or any(rule.conditions for rule in own + others):
            raise SpocError("add base profile", file, f"{name}: the profile that builds on it gives another answer",
                            "change one of them")
        taken = max(mine, other, key=lambda verdict: verdict.leniency)
        (base_lost if taken == mine else own_lost).add(name)
        settled.append(f"{name}: {mine} in the profile, {other} in its base {file}: {taken} holds")
    # What decides nothing under the base's own default must not under that of the profile.
    effective = [rule._replace(names=tuple(name for name in rule.names if rule in base_rules[name]))
                 for rule in base.rules]
    rules = [*without_names(profile.rules, own_lost), *without_names(effective, base_lost)]
    return profile._replace(rules=tuple(rules)), settled


def decisive_rules(profile: Profile) -> dict[str, list[Rule]]:
    """Syscall -> the rules that decide it; where all say what the default says, the first of them counts."""
    found: dict[str, list[Rule]] = {}
    for names, rules in names_by_rules(profile):
        found.update(dict.fromkeys(names, deciding_rules(rules, profile.default) or deciding_rules(rules, None)))
    return found


def without_names(rules: Iterable[Rule], names: set[str]) -> Iterator[Rule]:
    """The rules as far as they are about other syscalls."""
    for rule in rules:
        others = tuple(name for name in rule.names if name not in names)
        if others:
            yield rule._replace(names=others)


def not_allowed(profile: Profile, needs: Profile) -> set[str]:
    """The names that `needs` allows, if under conditions of --args only, and that the profile may deny."""
    return {name for rule in needs.rules if rule.action == SCMP_ACT_ALLOW for name in rule.names
            if any(verdict != ALLOW for verdict in profile.verdicts(
                name, {each.argument: each.value_two for each in rule.conditions}))}


# The answer to clone3 after which libc calls clone, whose flags a filter sees. Merging treats it as a default denial.
CLONE3_FALLBACK = Verdict(SCMP_ACT_ERRNO, errno.ENOSYS)


def profile_actions(profile: Profile) -> set[str]:
    return {profile.default_action, *(rule.action for rule in profile.rules)}


CONDITIONS = "its conditions"
OTHER_RULES = "the other rules for it"


def denying_text(rules: Iterable[Rule]) -> str:
    """What these rules answer; of many, the first four."""
    answers = list(dict.fromkeys(str(rule.answer) for rule in rules))
    more = f" and {len(answers) - 4} more" if len(answers) > 4 else ""
    start = "the rule that answers" if len(answers) == 1 else "the rules that answer"
    return f"{start} {', '.join(answers[:4])}{more}"


def describe_lifted(profile: Profile, name: str) -> str:
    """What allowing a syscall by its bare name lifts of the profile; "" if nothing."""
    if set(profile.verdicts(name)) == {ALLOW}:
        return ""
    within = {name, *MULTIPLEXED.get(name, {}).values()}
    rules = [rule for rule in profile.rules if not within.isdisjoint(rule.names)]
    denying = [rule for rule in rules if not rule.verdict.lets_pass]
    if denying:
        return denying_text(denying)
    return CONDITIONS if any(rule.conditions for rule in rules) else ""


MAX_CONDITIONAL = 1000  # rules of one syscall; a filter has at most 4096 instructions, of which each takes some


def conditions_exclude(one: Condition, other: Condition) -> bool:
    """Do two conditions on one argument exclude each other, as far as bits and ranges tell?"""
    mask, value = one.fixed_bits
    other_mask, other_value = other.fixed_bits
    if mask and other_mask:
        return bool((value ^ other_value) & mask & other_mask)
    return not any(low <= other_high and other_low <= high
                   for low, high in one.ranges for other_low, other_high in other.ranges)


def answers_exclude(one: Answer, other: Answer) -> bool:
    """Can the conditions of both never hold at once, as far as one argument tells?"""
    return any(each.argument == another.argument and conditions_exclude(each, another)
               for each in one.conditions for another in other.conditions)


def range_conditions(argument: int, low: int, high: int) -> Iterator[Condition]:
    """Conditions, one of which holds for each value from `low` to `high`, and none for another."""
    if low == 0 < high:
        yield Condition(argument, "SCMP_CMP_LE", high)
    elif low < high == MASK_64:
        yield Condition(argument, "SCMP_CMP_GE", low)
    else:
        yield from block_conditions(argument, low, high)


def block_conditions(argument: int, low: int, high: int) -> Iterator[Condition]:
    """The same, each that some bits are equal: for a block of a power of 2, which starts at a multiple of it."""
    while low <= high:
        size = 1
        while low % (2 * size) == 0 and low + 2 * size - 1 <= high:
            size *= 2
        yield bits_equal(argument, MASK_64 - (size - 1), low)
        low += size


def intersect_conditions(one: Condition, other: Condition) -> list[Condition]:
    """Conditions, one of which holds where both do: a rule cannot have two on one argument.

    A 32-bit architecture sees too little of values from 2**32 on, and of bits beside a range: there it may be more.
    """
    always = [(0, MASK_64)]
    if one == other:
        return [one]
    if conditions_exclude(one, other):
        return []
    if always in (one.ranges, other.ranges):
        return [other if one.ranges == always else one]
    (mask, value), (other_mask, other_value) = one.fixed_bits, other.fixed_bits
    if mask and other_mask:
        return [bits_equal(one.argument, mask | other_mask, value | other_value)]
    free = ~(mask | other_mask) & MASK_64
    found = []
    if free & free + 1:  # not all values between the lowest and the highest meet the mask
        masked, ranged = (one, other) if mask else (other, one)
        for low, high in ranged.ranges:
            for block in block_conditions(one.argument, low, high):
                found += intersect_conditions(masked, block)
        return found
    for low, high in one.ranges:
        for other_low, other_high in other.ranges:
            found += range_conditions(one.argument, max(low, other_low), min(high, other_high))
    return found


def intersect_answers(one: Answer, other: Answer, name: str, is_strict: bool = False) -> list[Answer]:
    """The less restrictive answer, or the more restrictive one, where the conditions of both hold."""
    found = [{each.argument: each for each in one.conditions}]
    for condition in other.conditions:
        argument, wider = condition.argument, found
        found = []
        for each in wider:
            both = intersect_conditions(each[argument], condition) if argument in each else [condition]
            found += [{**each, argument: narrower} for narrower in both]
        check_number(name, len(found))
    choose = min if is_strict else max
    verdict = choose(one.verdict, other.verdict, key=lambda verdict: verdict.leniency)
    return [Answer(tuple(sorted(each.values())), verdict) for each in found]


OPPOSITES = {"SCMP_CMP_EQ": "SCMP_CMP_NE", "SCMP_CMP_NE": "SCMP_CMP_EQ", "SCMP_CMP_LT": "SCMP_CMP_GE",
             "SCMP_CMP_GE": "SCMP_CMP_LT", "SCMP_CMP_GT": "SCMP_CMP_LE", "SCMP_CMP_LE": "SCMP_CMP_GT"}


def negate_condition(condition: Condition) -> list[Condition]:
    """Conditions, one of which holds for each value that does not meet this one, and none for another."""
    if condition.op in OPPOSITES:
        return [condition._replace(op=OPPOSITES[condition.op])]
    mask, value = condition.compared
    free = ~mask & MASK_64
    if free & free + 1:
        bits = (1 << shift for shift in range(64))
        return [bits_equal(condition.argument, bit, ~value & bit) for bit in bits if mask & bit]
    outside = (Condition(condition.argument, "SCMP_CMP_LT", value),  # a block of values, which is a range
               Condition(condition.argument, "SCMP_CMP_GT", value | free))
    return [each for each in outside if each.ranges]


def condition_implies(one: Condition, other: Condition) -> bool:
    return one == other or (one.argument == other.argument and one.op == "SCMP_CMP_EQ" and other.is_met_by(one.value))


def answer_implies(one: Answer, other: Answer) -> bool:
    """Do the conditions of `other` hold wherever those of `one` do, as far as one argument tells?"""
    return all(any(condition_implies(each, wanted) for each in one.conditions) for wanted in other.conditions)


def simplify_answers(answers: Iterable[Answer], is_consistent: bool = False) -> Answers:
    """The answers in normal form, without those that follow from another of the same verdict with fewer conditions: if
    no two of different verdicts can hold at once, as where there is one verdict, or the caller knows it.
    """
    found = set(answers)
    if len(found) > 1 and (is_consistent or len({each.verdict for each in found}) == 1):
        found = {each for each in found if not any(
            Answer(some, each.verdict) in found for count in range(len(each.conditions))
            for some in itertools.combinations(each.conditions, count))}
    return tuple(sorted(found))


def check_number(name: str, number: int) -> None:
    """Refuse more rules of a syscall than can be compared with each other in little time."""
    if number > MAX_CONDITIONAL:
        raise SpocError("compare rules", name, f"has more than {MAX_CONDITIONAL} rules", "join them")


def grouped_answers(profile: Profile, default: Verdict | None) -> Iterator[tuple[Sequence[str], Answers]]:
    """Syscalls, and what the profile answers to them other than this default.

    Rules that all say what the profile's own default says matter where that is replaced.
    """
    for names, rules in names_by_rules(profile):
        check_number(min(names, default=""), len(rules))
        deciding = deciding_rules(rules, profile.default) or deciding_rules(rules, None)
        answers = tuple(rule.answer for rule in deciding if rule.verdict != default)
        if answers:
            yield names, simplify_answers(answers)


def answers_by_name(profile: Profile, default: Verdict | None) -> dict[str, Answers]:
    return {name: answers for names, answers in grouped_answers(profile, default) for name in names}


def build_profile(default: Verdict, answers: dict[str, Answers], architectures: Iterable[str],
                  flags: Iterable[str] | None = None) -> Profile:
    """The profile in normal form that says this."""
    names: dict[Answer, list[str]] = {}
    for name in sorted(answers):
        for answer in answers[name]:
            names.setdefault(answer, []).append(name)

    def number(verdict: Verdict) -> int:
        return verdict.errno if verdict.action in NUMBERED_ACTIONS else errno.EPERM

    rules = [Rule(answer.verdict.action, tuple(names[answer]), number(answer.verdict), answer.conditions)
             for answer in sorted(names)]
    return Profile(default.action, tuple(sorted(architectures)), tuple(rules), number(default),
                   None if flags is None else tuple(sorted(flags)))


def check_consistent(name: str, files: dict[Answer, str]) -> None:
    """Refuse different answers to one call: of rules that overlap, their values would tell which counts."""
    check_number(name, len(files))
    for one in files:
        for other in files:
            if one.verdict < other.verdict and not answers_exclude(one, other):
                raise SpocError("merge", name, f"{files[one]} says {str(one) or SCMP_ACT_ALLOW}, "
                                f"but {files[other]} {str(other) or SCMP_ACT_ALLOW}", "change one of them")


def merge_answers(name: str, files: dict[Answers, str], default: Verdict) -> Answers:
    """What allows the syscall just where one of the answers (with the file that each is from) does."""
    if not default.lets_pass:
        first_files = {answer: file for answers, file in reversed(list(files.items())) for answer in answers}
        check_consistent(name, first_files)
        return simplify_answers(first_files, True)
    for answers, file in files.items():
        check_consistent(name, dict.fromkeys(answers, file))
    denials = []
    # In an order of their own, so that that of the inputs does not matter; few rules leave few combinations.
    for answers in sorted(files, key=lambda answers: (len(answers), answers)):
        denials.append(simplify_answers((each for each in answers if not each.verdict.lets_pass), True))
    denied = denials[0]
    for others in denials[1:]:
        both: set[Answer] = set()
        for one in denied:
            for other in others:
                if not answers_exclude(one, other):
                    both.update(intersect_answers(one, other, name))
            check_number(name, len(both))
        denied = simplify_answers(both, True)
    passed = (each for answers in files for each in answers if each.verdict.lets_pass)
    return simplify_answers([*denied, *passed], True)


def merge_profiles(inputs: Sequence[tuple[str, Profile]], default: Verdict | None = None) -> Profile:
    """The union of profiles, each with its file's name: it allows what one of them allows, and nothing else.

    Raises SpocError if they contradict each other: by their defaults, unless `default` settles that, or by different
    verdicts, other than the default, on one call. The order of the inputs does not matter.
    """
    defaults = {profile.default: file for file, profile in inputs}
    if len(defaults) > 1 and not default:
        (one, first), (other, second), *_ = sorted(defaults.items())
        raise SpocError("merge", "defaultAction", f"{one} in {first}, but {other} in {second}",
                        "choose with --default-action")
    chosen = default or next(iter(defaults))
    files: dict[str, dict[Answers, str]] = {}  # syscall -> answers to it -> the first file that has these
    answered: list[set[str]] = []
    seen: dict[Answers, set[str]] = {}
    for file, profile in inputs:
        if chosen.lets_pass:
            answered.append(set())
        for names, answers in grouped_answers(profile, chosen):
            if chosen.lets_pass:
                answered[-1].update(names)
            if not seen.setdefault(answers, set()).issuperset(names):
                seen[answers].update(names)
                for name in names:
                    files.setdefault(name, {}).setdefault(answers, file)
    if chosen.lets_pass:  # where one profile lets a call pass by default, the denials of the others no longer count
        for (file, profile), others in zip(inputs, answered):
            deciding = deciding_by_name(profile)
            for name in files.keys() - others:
                verdicts = possible_verdicts(deciding.get(name, ()), profile.default, {})
                if all(verdict.lets_pass for verdict in verdicts):
                    files[name].setdefault((), file)
    elif len(files.get("clone3", ())) > 1:
        files["clone3"].pop((Answer((), CLONE3_FALLBACK),), None)
    merged = {name: merge_answers(name, each, chosen) for name, each in sorted(files.items())}
    architectures = {name for _, profile in inputs for name in profile.architectures}
    if all(profile.flags is None for _, profile in inputs):
        return build_profile(chosen, merged, architectures)
    return build_profile(chosen, merged, architectures, {
        flag for _, profile in inputs for flag in profile.loaded_flags})


def default_answers(answers: Answers, default: Verdict, name: str) -> list[Answer]:
    """That the default is answered where none of these answers is."""
    found = [Answer((), default)]
    for answer in answers:
        outside = [Answer((each,), default) for condition in answer.conditions for each in negate_condition(condition)]
        found = [both for one in found for other in outside for both in intersect_answers(one, other, name)]
        check_number(name, len(found))
        found = list(simplify_answers(found))
    return found


def strictest_answers(name: str, given: set[tuple[Answers, Verdict]], default: Verdict) -> Answers:
    """The most restrictive of what several profiles answer to a call of this name, as far as that is not this default,
    the most restrictive one of theirs. Each is given by its answers and its own default.
    """
    needs_all = any(answer.verdict.leniency < default.leniency for answers, _ in given for answer in answers)
    found: Answers = (Answer((), ALLOW),)
    for answers, own_default in sorted(given, key=lambda each: (len(each[0]), each)):
        others = list(answers)
        if needs_all or own_default != default:  # where none of them holds more counts than the default
            others += default_answers(answers, own_default, name)
        met = {both for one in found for other in others for both in intersect_answers(one, other, name, True)}
        check_number(name, len(met))
        found = simplify_answers(met, True)
    return tuple(answer for answer in found if answer.verdict != default)


# All others that a profile may list have arguments of 32 bits.
WIDE_ARCHITECTURES = frozenset(f"SCMP_ARCH_{name}" for name in """NATIVE X86_64 AARCH64 LOONGARCH64 MIPS64 MIPSEL64
                               PARISC64 PPC64 PPC64LE RISCV64 S390X""".split())


def check_narrow(name: str, answers: Iterable[Answer], architectures: Iterable[str]) -> None:
    """Refuse to join conditions that mean something else where arguments have 32 bits."""
    narrow = sorted(set(architectures) - WIDE_ARCHITECTURES)
    for condition in (each for answer in answers for each in answer.conditions) if narrow else ():
        if condition.compared[1] > MASK_32:
            raise SpocError("intersect", name, f"{condition.text(f'args[{condition.argument}]')} means something else "
                            f"on {narrow[0]}, whose arguments have 32 bits", "take that out of the architectures")


def consistent_answers(profile: Profile, file: str, multiplexed: Iterable[str]) -> dict[str, Answers]:
    """Syscall -> what a profile answers to it other than its default; answers that contradict each other are refused.
    Multiplexed calls have what is answered to those within them as well.
    """
    found = {}
    for name, rules in {**deciding_by_name(profile),
                        **{name: profile.deciding_rules(name) for name in multiplexed}}.items():
        check_number(name, len(rules))
        answers = tuple(rule.answer for rule in rules)
        check_consistent(name, dict.fromkeys(answers, file))
        found[name] = simplify_answers(answers)
    return found


def check_multiplexed(result: Profile, profile: Profile, file: str) -> None:
    """Refuse a result that lets a call pass which this profile stops under conditions, where it is made within a
    multiplexed one: of its arguments no filter sees any there, and what libseccomp enforces in their place differs.
    """
    if set(result.architectures) <= WIDE_ARCHITECTURES:
        return
    stopped = {name for rule in profile.rules if not rule.verdict.lets_pass for name in rule.names
               if rule.conditions or name in MULTIPLEXED}
    for outer, codes in MULTIPLEXED.items():
        for name in sorted(stopped.intersection((outer, *codes.values()))):
            if any(verdict.lets_pass for each in (name, outer) for verdict in result.verdicts(each)):
                raise SpocError("intersect", name, f"{file} stops some of it, and in {outer} no filter sees what of it "
                                "is called with which arguments", "take the 32-bit architectures out")


def intersect_profiles(inputs: Sequence[tuple[str, Profile]]) -> Profile:
    """What all of these profiles, each with the name of its file, allow, and nothing else.

    Each call gets the most restrictive of their answers, of errnos the highest, as if the filters of all were loaded
    one after the other. Raises SpocError if rules of one contradict each other. Their order does not matter.
    """
    default = min((profile.default for _, profile in inputs), key=lambda verdict: verdict.leniency)
    architectures = set.intersection(*(set(profile.architectures) for _, profile in inputs))
    distinct: dict[Profile, str] = {}
    for file, profile in inputs:
        distinct.setdefault(profile, file)
    named = {name for profile in distinct for rule in profile.rules for name in rule.names}
    multiplexed = MULTIPLEXED.keys() & named
    found = {profile: consistent_answers(profile, file, multiplexed) for profile, file in distinct.items()}
    met: dict[str, Answers] = {}
    for name in sorted(named):
        given = {(answers.get(name, ()), profile.default) for profile, answers in found.items()}
        met[name] = strictest_answers(name, given, default)
        if len(given) > 1:
            check_narrow(name, [*met[name], *(each for answers, _ in given for each in answers)], architectures)
    flags = [profile.loaded_flags for _, profile in inputs]
    is_listed = any(profile.flags is not None for _, profile in inputs)
    united = set().union(*flags) - {SPEC_ALLOW} | set.intersection(*flags)  # only SPEC_ALLOW lets a program do more
    result = build_profile(default, met, architectures, united if is_listed else None)
    for profile, file in distinct.items():
        check_multiplexed(result, profile, file)
    return result


def additions(profile: Profile, recorded: Profile, kept: set[str]) -> Profile:
    """The rules that a profile lacks of what was recorded, but for the names in `kept`, which hold all that its rules
    answer otherwise.
    """
    own = profile._replace(rules=tuple(without_names(profile.rules, kept)))
    allowed = recorded._replace(rules=tuple(without_names(
        (rule for rule in recorded.rules if rule.action == SCMP_ACT_ALLOW), kept)))
    new = {(name, rule.answer)
           for rule in diff_profiles(merge_profiles([("", own), ("", allowed)], profile.default), own, "").rules
           for name in rule.names}
    return recorded._replace(rules=tuple(
        rule._replace(names=tuple(name for name in rule.names if (name, rule.answer) in new))
        for rule in allowed.rules))


def added_architectures(profile: Profile, other: Profile, native: str) -> set[str]:
    """What a profile lists and the other does not, but for the native architecture, which every filter holds."""
    return set(profile.architectures) - {*other.architectures, "SCMP_ARCH_NATIVE", native}


def native_to_add(profile: Profile, native: str) -> set[str]:
    """The native architecture, if a profile lists others alone."""
    names = {"SCMP_ARCH_NATIVE", native}
    return {native} if profile.architectures and names.isdisjoint(profile.architectures) else set()


def diff_profiles(profile: Profile, other: Profile, native: str) -> Profile:
    """What a profile says and the other does not, by meaning; with its own default."""
    other_answers, only = answers_by_name(other, other.default), {}
    for name, answers in answers_by_name(profile, profile.default).items():
        others = set(other_answers.get(name, ()))
        if all(answer.conditions for answer in others):
            others.add(Answer((), other.default))
        only[name] = tuple(answer for answer in answers if answer not in others)
    return build_profile(profile.default, only, added_architectures(profile, other, native),
                         profile.loaded_flags - other.loaded_flags or None)


def is_covered(answer: Answer, answers: Answers, default: Verdict) -> bool:
    """Do these answers and this default surely let pass what the one answer is about?"""
    if any(not each.verdict.lets_pass and not answers_exclude(answer, each) for each in answers):
        return False
    return default.lets_pass or any(each.verdict.lets_pass and answer_implies(answer, each) for each in answers)


def missing_from(profile: Profile, needs: Profile, native: str) -> Profile:
    """What `needs` allows by its rules and architectures, and a profile may not."""
    given, missing = answers_by_name(profile, profile.default), {}
    for name, answers in answers_by_name(needs, None).items():
        missing[name] = tuple(answer for answer in answers if answer.verdict.lets_pass
                              and not is_covered(answer, given.get(name, ()), profile.default))
    return build_profile(needs.default, missing, added_architectures(needs, profile, native))


def format_statements(profile: Profile, extra: dict[str, Any]) -> list[str]:
    """What a profile says beside its default, one thing a line."""
    return [*(f"{key}: {value}" for key, value in extra.items()),
            *(f"architecture {name}" for name in profile.architectures),
            *(f"flag {flag}" for flag in profile.flags or ()),
            *sorted(rule.answer.text_for(name) for rule in profile.rules for name in rule.names)]


# What the kernel has a program call, which a recording may lack, and the program needs all the same. None of it has any
# authority.
KERNEL_CALLS = frozenset((
    # Goes on with a call that a stop, a freeze or a debugger's attachment interrupted, as nanosleep, poll and futex
    # with the time that is left: kernel/signal.c and each architecture's (ERESTART_RESTARTBLOCK).
    "restart_syscall",
    # Return from a signal's handler (arch/*/kernel/signal.c, vDSO, ARM's sigpage), the latter on 32-bit x86 and ARM
    # from one without SA_SIGINFO.
    "rt_sigreturn", "sigreturn",
    # Not seen where a signal ended the thread or the program.
    "exit", "exit_group",
    # The vDSO takes these from memory, or calls the kernel: once the clock source has become another (after a suspend,
    # on another machine), for some clocks, early after boot. x86-64's vsyscall page calls them under a filter alone.
    "clock_gettime", "clock_gettime64", "clock_getres", "clock_getres_time64", "gettimeofday", "time", "getcpu",
    "getrandom", "riscv_hwprobe",
    # Returns from a function that perf, bpftrace or the like traces: x86-64 from Linux 6.11; from 6.14 on no filter is
    # asked about it.
    "uretprobe"))

# What a program seldom needs, and an attacker likes; those with a ? above only if they are allowed unconditionally.
HIGH_RISK = """
acct: has the kernel write to a file at each exit of a process
add_key keyctl request_key: keys of the kernel, which containers share
bpf: loads programs into the kernel
clone: its flags make namespaces, in which the caller has all capabilities
clone3: makes namespaces by flags that no filter can see
delete_module finit_module init_module: changes the code of the kernel
fanotify_init: sees, and can hold up, what others do with files
fsconfig fsmount fsopen fspick mount mount_setattr move_mount open_tree: changes what the file system looks like
io_uring_enter io_uring_register io_uring_setup: does I/O past the filter, and has had many bugs
ioperm iopl: gives access to the ports of devices
kcmp: tells how processes share what the kernel holds for them, and so where
kexec_file_load kexec_load reboot: puts another kernel in place, or stops the machine
lookup_dcookie perf_event_open: watches the kernel and other processes, and has had many bugs
mbind migrate_pages move_pages set_mempolicy: moves memory, of other processes too
modify_ldt vm86 vm86old: rarely used memory models with many bugs
open_by_handle_at: opens files by number, past the folders above them
personality: turns the randomisation of addresses off
pidfd_getfd: takes the open files of other processes
pivot_root chroot: changes which folder is the root
process_madvise process_vm_readv process_vm_writev ptrace: reads and changes other processes
quotactl quotactl_fd swapoff swapon: administers disks
setdomainname sethostname: changes the name of the machine
setns unshare: enters and makes namespaces, in which the caller may have all capabilities
clock_settime clock_settime64 settimeofday stime: sets the clock of the whole machine
syslog: reads the messages of the kernel, addresses in them
userfaultfd: holds the kernel up in the middle of a copy, which makes bugs usable
umount umount2: uncovers what a mount hides
vhangup: hangs up the terminal of others
"""


def high_risk() -> dict[str, str]:
    """What is dangerous about each syscall of HIGH_RISK."""
    found: dict[str, str] = {}
    for line in HIGH_RISK.strip().split("\n"):
        names, _, why = line.partition(": ")
        found.update(dict.fromkeys(names.split(), why))
    return found


def without_rare(profile: Profile, counts: dict[str, int], least: int) -> tuple[Profile, list[str]]:
    """The profile without the syscalls that it lets pass and fewer than `least` recordings had, and their names. What
    the kernel makes by itself is needed wherever it was not seen, too.
    """
    rare = {name for rule in profile.rules if rule.verdict.lets_pass for name in rule.names
            if counts.get(name, 0) < least and name not in KERNEL_CALLS}
    rules = [each for rule in profile.rules for each in (
        without_names([rule], rare) if rule.verdict.lets_pass else [rule])]
    return profile._replace(rules=tuple(rules)), sorted(rare)


# Calls that other libcs, kernels and architectures make for the same work, and why they have no more authority. With
# --portable, whoever may make one of the names left of > (of all, if there is no >) may make all of the group; where
# none is left of it, every program may: it acts on the caller alone, or reads what all may know. Commas part groups.
# Of the first group that names a call, gaps takes the first that an architecture has, where that lacks the call.
SIBLINGS = """
> set_tid_address set_robust_list rseq arch_prctl set_thread_area get_thread_area set_tls cacheflush membarrier \
    riscv_flush_icache sched_getaffinity sched_yield futex futex_time64 gettid getpid rt_sigprocmask \
    rt_sigaction sigaltstack uname getrlimit ugetrlimit: some libc's start, threads and signals
brk mmap mmap2 > brk mmap mmap2 munmap mremap mprotect madvise: how malloc gets and returns memory; mmap2 is of 32 bits
newfstatat stat lstat fstat statx stat64 lstat64 fstat64 fstatat64 oldstat oldlstat oldfstat: read what a file is
access faccessat faccessat2: ask for permissions
rmdir unlink unlinkat: unlinkat does the work of both
mkdir mkdirat, rename renameat renameat2, link linkat, symlink symlinkat, readlink readlinkat, mknod mknodat, \
    chmod fchmodat fchmodat2: arm64 has only the form with a folder's descriptor; CAP_MKNOD decides about devices
chown lchown fchownat chown32 lchown32, fchown fchown32: *32 take ids of 32 bits
utime utimes futimesat utimensat utimensat_time64: finer or wider times
getdents getdents64 readdir: list a folder
read readv pread64 preadv preadv2, write writev pwrite64 pwritev pwritev2: musl's stdio takes readv and writev
lseek _llseek, fcntl fcntl64, truncate truncate64, ftruncate ftruncate64, sendfile sendfile64, statfs statfs64, \
    fstatfs fstatfs64, fadvise64 fadvise64_64 arm_fadvise64_64, \
    sync_file_range sync_file_range2 arm_sync_file_range: take wider offsets, or in another order
open openat openat2 > open openat openat2 creat fcntl fcntl64: arm64 has no open, openat2 only limits more, creat is \
    an open with fixed flags, musl sets FD_CLOEXEC by fcntl
mlock mlock2, dup2 dup3, pipe pipe2, eventfd eventfd2, signalfd signalfd4, inotify_init inotify_init1, \
    epoll_create epoll_create1, accept accept4, tgkill tkill: one work, with flags or less exact
umount umount2: one work, and no mount
close close_range: let descriptors of one's own go
dup2 dup3 fcntl fcntl64 > dup: all duplicate descriptors
epoll_wait epoll_pwait epoll_pwait2, poll ppoll ppoll_time64, select _newselect pselect6 pselect6_time64: wait; signal \
    masks are rt_sigprocmask's
pause > ppoll ppoll_time64: arm64 pauses by ppoll
nanosleep clock_nanosleep clock_nanosleep_time64: sleep
alarm setitimer: arm64 has no alarm, and musl never takes it
send sendto, recv recvfrom: without an address, which x86-64 lacks
socketcall > socket bind connect listen accept accept4 getsockname getpeername socketpair send sendto recv recvfrom \
    shutdown setsockopt getsockopt sendmsg recvmsg sendmmsg recvmmsg, \
    ipc > semop semtimedop semget semctl msgsnd msgrcv msgget msgctl shmat shmdt shmget shmctl: i386's one call for \
    them all, which libseccomp adds by itself for each of these
sendmsg sendmmsg > sendmsg sendmmsg sendto send, recvmsg recvmmsg recvmmsg_time64 > recvmsg recvmmsg recvmmsg_time64 \
    recvfrom recv: several at once, or without control messages
clone clone3 > clone clone3 fork vfork: make processes and threads, with all flags; fork and vfork have none
fork vfork: make processes
wait4 waitid waitpid: wait for children
kill > tgkill tkill: signals to one thread of those that kill may signal
getpgrp getpgid: arm64 asks getpgid for itself
nice > getpriority setpriority: arm64 has no nice
getrlimit ugetrlimit > getrlimit ugetrlimit prlimit64, setrlimit > getrlimit ugetrlimit prlimit64: libc asks prlimit64
semop semtimedop semtimedop_time64, signal sigaction rt_sigaction, sigprocmask sgetmask ssetmask rt_sigprocmask, \
    sigpending rt_sigpending, sigsuspend rt_sigsuspend, uname olduname oldolduname, \
    io_getevents io_pgetevents io_pgetevents_time64: one work, older and newer
stime settimeofday clock_settime clock_settime64: set the clock, for which CAP_SYS_TIME is needed
adjtimex clock_adjtime clock_adjtime64: adjust the clock, for which CAP_SYS_TIME is needed
timer_gettime timer_gettime64, timer_settime timer_settime64, timerfd_gettime timerfd_gettime64, \
    timerfd_settime timerfd_settime64, rt_sigtimedwait rt_sigtimedwait_time64, \
    sched_rr_get_interval sched_rr_get_interval_time64, mq_timedsend mq_timedsend_time64, \
    mq_timedreceive mq_timedreceive_time64: *64 take times of 64 bits
getuid getuid32, geteuid geteuid32, getgid getgid32, getegid getegid32, getresuid getresuid32, getresgid getresgid32, \
    getgroups getgroups32, setuid setuid32, setgid setgid32, setreuid setreuid32, setregid setregid32, \
    setresuid setresuid32, setresgid setresgid32, setgroups setgroups32, setfsuid setfsuid32, setfsgid setfsgid32: \
    *32 take or give ids of 32 bits
"""
# The flags of clone that make namespaces; fork has none of them. (The first argument, but on s390 the second.)
CLONE_NAMESPACES = Condition(0, "SCMP_CMP_MASKED_EQ", 0x7E020000)


@functools.lru_cache(None)
def sibling_groups() -> list[tuple[list[str], list[str]]]:
    """SIBLINGS: whoever may make one of the first, or all if there are none, may make all of the second."""
    groups = [group.partition(">") for line in SIBLINGS.strip().splitlines()
              for group in line.partition(":")[0].split(",")]
    return [(left.split(), (right if arrow else left).split()) for left, arrow, right in groups]


def portable_names(names: Iterable[str], kept: set[str]) -> set[str]:
    """These names, all their siblings, and what the kernel makes, but for the kept ones."""
    found, before = {*names, *KERNEL_CALLS - kept}, -1
    while len(found) > before:
        before = len(found)
        for left, right in sibling_groups():
            if not left or not found.isdisjoint(left):
                found.update(set(right) - kept)
    return found


def added_names(before: Profile, after: Profile) -> list[str]:
    """The syscalls for which a profile has rules and the one before had none."""
    return sorted({name for rule in after.rules for name in rule.names}
                  - {name for rule in before.rules for name in rule.names})


def without_idle_names(rules: Iterable[Rule], default: Verdict) -> list[Rule]:
    """The rules with only those names for which they decide something."""
    deciding = deciding_by_name(Profile(default.action, (), tuple(rules), default.errno))

    def decides(rule: Rule, name: str) -> bool:
        first = deciding[name][0]
        return first is rule or bool(first.conditions)

    return [rule._replace(names=tuple(name for name in rule.names if decides(rule, name)))
            for rule in rules if rule.verdict != default]


def portable_profile(profile: Profile, says_errno: bool, others: Iterable[str] = ()) -> Profile:
    """Allow the siblings of what is allowed unconditionally, too. What a rule decides already stays, and so do the
    names in `others`. Rules that say what the default says count for nothing, as for libseccomp and merge.

    clone3, whose flags no filter sees, is no sibling of a clone whose flags are restricted: it is answered with ENOSYS,
    so that libc calls clone. If the format can state a default errno (`says_errno`), ENOSYS takes the place of a plain
    EPERM there as well, so that libc falls back from other new calls.
    """
    if profile.default_action == SCMP_ACT_ALLOW:
        return profile
    rules = without_idle_names(profile.rules, profile.default)
    if says_errno and profile.default == Verdict(SCMP_ACT_ERRNO, errno.EPERM):
        profile = profile._replace(default_errno=errno.ENOSYS)
        rules = without_idle_names(rules, profile.default)
    unconditional = {name: rule.verdict for rule in rules for name in rule.names if not rule.conditions}
    allowed = {name for name, verdict in unconditional.items() if verdict == ALLOW}
    kept = {name for rule in rules for name in rule.names}.union(others)
    is_narrowed = {rule.verdict for rule in rules if "clone" in rule.names} == {ALLOW}
    if is_narrowed and "clone3" in allowed:  # which then may do what any clone does
        kept -= {"clone"}.difference(others)
    if unconditional.get("clone3") == CLONE3_FALLBACK:
        kept -= {"clone3"}.difference(others)
    added = portable_names(allowed, kept) - kept
    allowed |= added
    first = next((rule for rule in rules if rule.action == SCMP_ACT_ALLOW and not rule.conditions), None)
    rules = [Rule(SCMP_ACT_ALLOW, tuple(sorted(added.union(first.names if first else ())))),
             *without_names((rule for rule in rules if rule is not first), added)]
    by_clone = [rule for rule in rules if "clone" in rule.names]
    forking = Rule(SCMP_ACT_ALLOW, ("clone",), conditions=(CLONE_NAMESPACES,))
    if "fork" in allowed and "clone" not in {*others, *unconditional, *added} and (is_narrowed or not by_clone):
        by_clone.append(forking)
        if forking not in rules:
            rules.append(forking)
    answered = {name for rule in rules for name in rule.names}.union(others)
    if profile.default_action != SCMP_ACT_LOG and by_clone and "clone" not in allowed and "clone3" not in answered:
        rules.append(Rule(SCMP_ACT_ERRNO, ("clone3",), errno.ENOSYS))
    return profile._replace(rules=tuple(rule for rule in rules if rule.names))

# --- Formats -----------------------------------------------------------------


API_GROUP = "security-profiles-operator.x-k8s.io"
API_V1BETA1, API_V1 = API_WRITTEN = "v1beta1", "v1"  # those that its CRD serves
API_VERSION = f"{API_GROUP}/{API_V1BETA1}"
KIND = "SeccompProfile"
NAME_MAX_LENGTH, LABEL_MAX_LENGTH = 253, 63
MAX_DEPTH = 64
MAX_UNREAD = 1000  # documents in a file that cannot be read: an error takes time
MAX_PROFILE_BYTES = 4 << 20  # etcd takes objects of 1.5 MiB; reading takes up to 170 times as much memory

LETTERS, DIGITS = "abcdefghijklmnopqrstuvwxyz", "0123456789"
# What consists of these, begins with a letter or underscore, and is none of the words that YAML 1.1 (yaml.org/type)
# takes for a boolean or null, is a string to every YAML reader; any other is quoted.
YAML_PLAIN = LETTERS + LETTERS.upper() + DIGITS + "_./-"
YAML_NOT_FIRST = ("", *DIGITS, *"./-")
YAML_WORDS = frozenset("y n yes no on off true false null".split())
YAML_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t"}


class Unclear:
    """What YAML readers take differently, or no profile needs: an error where it decides anything."""

    __slots__ = ("text", "reason")

    def __init__(self, text: str, reason: str):
        self.text, self.reason = text, reason

    def __repr__(self) -> str:
        return self.text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Unclear) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


def format_scalar(value: object) -> str:
    """A scalar, or an empty collection, that YAML 1.1 and 1.2 readers read alike."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Unclear) and "\n" in value.text:
        raise SpocError("write profile", f"{value.text:.40}", "a tag cannot be laid out anew", "take it out")
    if not isinstance(value, str):
        return repr(value)
    if is_plain(value):
        return value
    return '"' + "".join(YAML_ESCAPES.get(c) or (c if " " <= c <= "~" else f"\\U{ord(c):08X}") for c in value) + '"'


def is_plain(text: str) -> bool:
    """Is this, without quotes, a string to every YAML reader?"""
    return not text.strip(YAML_PLAIN) and text[:1] not in YAML_NOT_FIRST and text.lower() not in YAML_WORDS


def _yaml_lines(value: Any, indent: str) -> Iterator[str]:
    is_list = isinstance(value, list)
    for label, item in (("-", item) for item in value) if is_list else value.items():
        label = "-" if is_list else format_scalar(label) + ":"
        if not item or not isinstance(item, (dict, list)):
            yield f"{indent}{label} {format_scalar(item)}"
            continue
        lines = _yaml_lines(item, indent + "  ")
        yield f"{indent}- {next(lines).lstrip()}" if is_list else indent + label
        yield from lines


def format_yaml(document: dict[str, Any]) -> str:
    """A mapping of mappings, lists and scalars as block-style YAML."""
    return "".join(line + "\n" for line in _yaml_lines(document, "")) if document else "{}\n"


def format_json(document: dict[str, Any]) -> str:
    """The same as JSON."""
    import json
    return json.dumps(document, indent=2, default=repr) + "\n"


def rules_document(profile: Profile) -> list[dict[str, Any]]:
    """The rules as the CRD and the OCI specification both have them, names sorted."""
    documents = []
    for rule in profile.rules:
        if not rule.names:
            continue
        document: dict[str, Any] = {"names": sorted(set(rule.names)), "action": rule.action,
                                    **_errno_key("errnoRet", rule.verdict)}
        if rule.conditions:
            document["args"] = [_condition_document(each) for each in rule.conditions]
        documents.append(document)
    return documents


def _condition_document(condition: Condition) -> dict[str, Any]:
    value_two = {"valueTwo": condition.value_two} if condition.value_two else {}
    return {"index": condition.argument, "value": condition.value, **value_two, "op": condition.op}


def _errno_key(key: str, verdict: Verdict) -> dict[str, int]:
    return {key: verdict.errno} if verdict.action in NUMBERED_ACTIONS and verdict.errno != errno.EPERM else {}


def profile_document(profile: Profile) -> dict[str, Any]:
    """A profile as the OCI runtime specification has it. SCMP_ARCH_NATIVE, which every filter holds, is the CRD's."""
    return {"defaultAction": profile.default_action, **_errno_key("defaultErrnoRet", profile.default),
            "architectures": [name for name in profile.architectures if name != "SCMP_ARCH_NATIVE"],
            **({} if profile.flags is None else {"flags": list(profile.flags)}), "syscalls": rules_document(profile)}


# Go programs leave an empty list out of what a runtime reads (flags,omitempty).
NO_FLAGS = f"an empty list means none given there, and so {SPEC_ALLOW}; SECCOMP_FILTER_FLAG_TSYNC alone changes nothing"
# What the CRD's schema has no word for.
CRD_LACKS = "SCMP_ARCH_LOONGARCH64 SCMP_ARCH_M68K SCMP_ARCH_SH SCMP_ARCH_SHEB".split()


def crd_lacks(profile: Profile) -> Iterator[tuple[str, str, str, str]]:
    """What the CRD cannot say: the key, what stands there, why not and, if it is a rule's, a syscall."""
    if _errno_key("defaultErrnoRet", profile.default):
        yield "defaultErrnoRet", "defaultErrnoRet", "it has no place there, and means EPERM", ""
    if profile.flags == ():
        yield "flags", "an empty list of flags", NO_FLAGS, ""
    for name in profile.architectures:
        if name in CRD_LACKS:
            yield "architectures", name, f"{name} is not among those of the CRD", ""
    for rule in profile.rules:
        if rule.names and rule.action in NUMBERED_ACTIONS and not rule.errno:
            yield "errnoRet", "errnoRet 0", "0 means none given there, and so EPERM", rule.names[0]
        for each in rule.conditions if rule.names else ():
            for key, value in (("value", each.value), ("valueTwo", each.value_two)):
                if value >> 63:
                    yield "args", f"{value} as {key}", "the CRD takes values below 2^63 only", rule.names[0]


def format_profile(profile: Profile, profile_type: str, name: str, extra: dict[str, Any] | None = None,
                   metadata: dict[str, Any] | None = None, api_version: str = API_V1BETA1) -> str:
    """The text of a profile, with `extra` keys of the specification and `metadata` of the object: equal profiles give
    equal bytes. The CRD has its keys in alphabetical order.
    """
    document = {**profile_document(profile), **(extra or {})}
    if profile_type == TYPE_JSON:
        return format_json(document)
    lacking = next(crd_lacks(profile), None)
    if lacking:
        raise SpocError("write profile", lacking[1], f"the type {TYPE_CRD} cannot say it", f"use -t {TYPE_JSON}")
    document["architectures"] = list(profile.architectures)
    document["syscalls"] = [dict(sorted(rule.items())) for rule in document["syscalls"]]
    return format_yaml({
        "apiVersion": f"{API_GROUP}/{api_version}",
        "kind": KIND,
        "metadata": dict(sorted({"creationTimestamp": None, "name": name, **(metadata or {})}.items())),
        "spec": dict(sorted(document.items())),
        "status": {},
    })


def kubernetes_name(command: str) -> str:
    """A command's base name as an RFC 1123 subdomain, which metadata.name of Kubernetes is."""
    name = "".join(c if c in LETTERS + DIGITS + "." else "-" for c in os.path.basename(command).lower())
    labels = (label.strip("-") for label in name.split("."))
    return ".".join(label for label in labels if label)[:NAME_MAX_LENGTH].strip("-.") or "command"


# Numbers in brackets are the productions of YAML 1.2.2 (yaml.org/spec/1.2.2) that a pattern stands for, each with an
# example. Where readers of YAML 1.1 and 1.2 differ (yes, 017, 1:30, 1e3, dates), this one does not guess.
YAML_INTEGER = (r"[-+]?(0|[1-9][0-9]{0,30})\Z"  # int of the core schema (10.3.2), and of YAML 1.1: -12
                r"|0x[0-9a-fA-F]{1,16}\Z")  # 0x7E020000
YAML_CONSTANTS: dict[str, bool | None] = {  # null and bool of the core schema
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
YAML_UNCLEAR_WORDS = frozenset("y n yes no on off".split())  # bool of YAML 1.1
YAML_ENDS = (".yaml", ".yml")
JSON_LAST_COMMA = r",\s*[\]}]"
# A string, or what is no JSON outside of strings.
JSON_FAULT = rf'"[^"\\\n]*(?:\\.[^"\\\n]*)*"|(?P<comment>#|//|/\*)|(?P<comma>{JSON_LAST_COMMA})'
JSON_CONSTANTS = frozenset("NaN Infinity -Infinity".split())  # which Python's json reads and writes
# A number or a date to PyYAML, ruamel or Go; not 0.8.4, 1,2 or 2001-01-01-a: timestamp, int and float of YAML 1.1
# (yaml.org/type), and the core schema of 1.2.
YAML_DATE = "[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"  # 2001-12-14
YAML_TIME = r"(t|[ \t]+)[0-9]{1,2}(:[0-9]{1,2}){2}(\.[0-9]*)?([ \t]*(z|[-+][0-9:]+))?"  # t21:59:43.10-05:00
YAML_NUMBER = "|".join((
    "0o[0-7_]+",  # 0o17
    "0b[01_]+",  # 0b1010_0111
    "0x[0-9a-f_]+",  # 0x_0A, and those with more than 16 digits
    r"[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?",  # 190:20:30.15, to the base 60
    r"([0-9][0-9_]*(\.[0-9_]*)?|\.[0-9_]+)(e[-+]?[0-9_]+)?",  # 017, 1_000, .5, 6.8523e+5
    r"\.inf"))
YAML_AMBIGUOUS = rf"(?i)([=~]|<<)\Z|{YAML_DATE}({YAML_TIME})?\Z|[-+]?({YAML_NUMBER})\Z|\.nan\Z"
# What [1] c-printable leaves out, and ends of lines that readers disagree about: CR alone, \x85, \u2028, \u2029.
YAML_FORBIDDEN = "\r(?!\n)|[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
YAML_ESCAPE = "|".join((  # [62] c-ns-esc-char, and [112] s-double-escaped
    r"\\(x[0-9a-fA-F]{2}",  # [59] \x41
    "u[0-9a-fA-F]{4}",  # [60] \u00e9
    "U[0-9a-fA-F]{8}",  # [61] \U0001F40D
    r"\r?\n[ \t\r\n]*",  # [112] the end of a line, which it takes away
    r"[^\r\n])"))  # [42] to [58], see YAML_ESCAPED: \n
YAML_ESCAPED = {  # [42] ns-esc-null to [58] ns-esc-paragraph-separator, in their order
    "0": "\0", "a": "\a", "b": "\b", "t": "\t", "\t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r", "e": "\x1b",
    " ": " ", '"': '"', "/": "/", "\\": "\\", "N": "\x85", "_": "\xa0", "L": "\u2028", "P": "\u2029"}
# Python's re keeps some 100 bytes for each time that a group repeats: what may be long repeats a class of characters.
# [74] s-flow-folded: the end of a line with the blanks about it, but for an escaped one, and the empty lines behind.
YAML_FOLD = r"(?:(?<![ \t])|(?<=\\[ \t]))[ \t]*\r?\n([ \t\r\n]*)"
YAML_SEPARATION = r"(?:[ \t\r\n]+(?:#[^\n]*)?)*"  # [80] s-separate: spaces, ends of lines, and comments behind them
YAML_ANCHOR_NAME = r"([0-9A-Za-z_-]+)(?=[\s,\[\]{}]|\Z)"  # [103] ns-anchor-name, as far as all readers take it: a
# [97] c-ns-tag-property: !!str. Directly behind it a comma or bracket ends it to some readers, and is part of it to
# others.
YAML_TAG = r"(![^\s,\[\]{}]*)(?=\s|\Z)"
YAML_PROPERTIES = (rf"(?:&{YAML_ANCHOR_NAME}(?:[ \t]+{YAML_TAG})?"  # [96] c-ns-properties: &a or &a !t
                   rf"|{YAML_TAG}(?:[ \t]+&{YAML_ANCHOR_NAME})?)[ \t]*")  # !t or !t &a
YAML_ALIAS = rf"\*{YAML_ANCHOR_NAME}"  # [104] c-ns-alias-node: *a
YAML_DOUBLE_QUOTED = r'"[^"\\]*(?:\\[\s\S][^"\\]*)*"'  # [109] c-double-quoted: "a\"b"
YAML_SINGLE_QUOTED = "'[^']*(?:''[^']*)*'"  # [120] c-single-quoted: 'it''s'
YAML_QUOTED = f"{YAML_DOUBLE_QUOTED}|{YAML_SINGLE_QUOTED}"
YAML_PLAIN_FIRST = r"(?:[^\s,\[\]{}:#'\"]|:(?=[^\s,\[\]{}]))"  # [126] ns-plain-first in flow style: a, or : as in :a
YAML_PLAIN_MORE = "|".join((  # [135] ns-plain-multi-line without its first character
    r"[^,\[\]{}\s:#]+",  # [130] ns-plain-char: abc
    r":(?=[^,\[\]{}\s])",  # [130] : in a:b
    r"(?<=\S)#",  # [130] # in a#b
    r"[ \t\r\n]+(?=[^,\[\]{}\s:#]|:(?=[^,\[\]{}\s]))"))  # [134] the space in a b, which may be on two lines
# [158] ns-flow-content as far as it is one token: a scalar, one of ,[]{}: or nothing.
YAML_FLOW = rf"{YAML_SEPARATION}({YAML_QUOTED}|{YAML_PLAIN_FIRST}(?:{YAML_PLAIN_MORE})*|[,\[\]{{}}:]|)"
# [154] ns-s-implicit-yaml-key without spaces and [155] c-s-implicit-json-key, and the colon: names: or "names" :
YAML_KEY = rf"({YAML_QUOTED}|[^\s\[\]{{}}#&*!|>'\"%@`,]\S*?)[ \t]*:(?=[ \t]|\Z)"
YAML_PLAIN_END = r":(?=[ \t]|\Z)|(?<=[ \t])#"  # what no plain scalar holds (7.3.3): the colon of a: and the # of a #
YAML_LINE_END = r"[ \t\r]*(?:\Z|(?<=[ \t])#)"  # [77] s-b-comment: nothing, or a comment behind a blank
# [162] c-b-block-header behind | or >: digit and sign in either order, and a comment: |2- or >+ # why
YAML_BLOCK_HEADER = r"([|>])(?:([1-9])?([-+])?|([-+])([1-9]))(?:[ \t]+#.*)?\Z"
# [176] l-nb-folded-lines: the end of a line that does not begin with a blank, before another such line.
YAML_FOLDED_LINE = r"(?m)(^[^ \t\n].*)\n(\n*)(?=[^ \t\n])"
# [183] l+block-sequence of items that are plain text on a line each, as nearly all of a profile is. It stops at the
# first of YAML's words, or what is behind would be read again with each of them.
YAML_PLAIN_ITEM = rf"(?!(?i:{'|'.join(sorted(YAML_WORDS))})\n)[A-Za-z_][A-Za-z0-9_./-]*\n"
YAML_PLAIN_ITEMS = rf"( *- ){YAML_PLAIN_ITEM}(?:\1{YAML_PLAIN_ITEM})*"  # - read
YAML_MARKER = r"(?m)^(?:---|\.\.\.)(?=[ \t\r\n]|\Z)"  # [206] c-forbidden: --- or ... at the start of a line
# c-indicator, [22], at the start of a plain scalar.
YAML_REFUSED = {"&": "an anchor here is", "*": "an alias here is", "!": "a tag here is", "%": "directives are",
                "@": "a leading @ is", "`": "a leading ` is", "?": "complex keys are", ",": "a leading comma is"}
UNCLEAR = "is no string and no whole number that YAML 1.1 and YAML 1.2 agree on; quote it"
REPEATED_KEYS = ("comment", "_comment")  # that mean nothing


@functools.lru_cache()
def compiled(pattern: str) -> re.Pattern[str]:
    """A pattern, compiled when first used: most recordings need neither re nor any of them."""
    import re
    return re.compile(pattern)


def fold(match: re.Match[str]) -> str:
    """What the end of a line within a scalar means, see YAML_FOLD."""
    return "\n" * match.group(match.lastindex or 0).count("\n") or " "


def line_starts(text: str) -> array.array[int]:
    """The offset of each line, and of one behind the last: strings would take 60 bytes more each."""
    import array
    lines = io.StringIO(text + "\n", newline="\n")
    return array.array("I", itertools.accumulate(map(len, lines), initial=0))


class MappingNode(dict["Any", "Any"]):
    """A mapping that was read, with offsets in the text: its own, its keys' and, in flow style, of each entry's end."""

    __slots__ = ("offset", "starts", "ends")

    def __init__(self, offset: int, is_flow: bool):
        import array
        self.offset, self.starts = offset, array.array("I")
        self.ends = array.array("I") if is_flow else None


class ListNode(list["Any"]):
    """The same of a list; in block style an item begins with its dash."""

    __slots__ = ("offset", "starts", "ends")

    def __init__(self, offset: int, is_flow: bool):
        import array
        self.offset, self.starts = offset, array.array("I")
        self.ends = array.array("I") if is_flow else None


def entry_offset(collection: object, key: object) -> int:
    """Where this key or index stands; or, if it is missing, the first one; or the collection, if it has none."""
    if not isinstance(collection, (MappingNode, ListNode)):
        return 0  # it was not read
    if not collection:
        return collection.offset
    keys: Iterable[Any] = collection if isinstance(collection, MappingNode) else range(len(collection))
    return collection.starts[next((index for index, each in enumerate(keys) if each == key), 0)]


class YamlText:
    """A text of YAML: where in it things stand, what its scalars mean, and its anchors."""

    def __init__(self, text: str, file: str):
        self.file, self.text = file, text.lstrip("\ufeff")
        self.bom = text[:len(text) - len(self.text)]  # the byte order mark
        self.starts = line_starts(self.text)
        # The line in hand: its number, the column from which it is still to be read, and what is there.
        self.row, self.indent, self.rest = -1, 0, ""
        self.limit = len(self.text)  # where the document ends
        self.is_json = is_json(self.text)
        # An anchor's name -> its value, how many characters make it, and how deep it is nested.
        self.anchors: dict[str, tuple[Any, int, int]] = {}
        # How deep the node in hand is nested, and the deepest since the last anchor; how many characters aliases stand
        # for; how many documents could not be read.
        self.depth, self.deepest, self.aliased, self.unread = 0, 0, 0, 0
        # What is printable to Python is allowed, and told faster.
        forbidden = not self.text.replace("\n", "").isprintable() and compiled(YAML_FORBIDDEN).search(self.text)
        if forbidden:
            self.fail_at(forbidden.start(), f"character U+{ord(forbidden.group()):04X} is not allowed")

    def line(self, row: int) -> str:
        return self.text[self.starts[row]:self.starts[row + 1] - 1]

    def fail(self, reason: str) -> NoReturn:
        raise ProfileError(self.file, self.row + 1, max(self.indent, 0) + 1, reason)

    def fail_at(self, offset: int, reason: str) -> NoReturn:
        self.seek(offset)
        self.fail(reason)

    def seek(self, offset: int) -> None:
        import bisect
        self.row = bisect.bisect_right(self.starts, offset) - 1
        self.indent = offset - self.starts[self.row]

    def fail_in(self, collection: object, key: object, reason: str) -> NoReturn:
        """Fail at this key or index of a collection, see entry_offset()."""
        self.fail_at(entry_offset(collection, key), reason)

    def check_depth(self, depth: int) -> None:
        self.deepest = max(self.deepest, depth)
        if depth > MAX_DEPTH:
            self.fail(f"nested deeper than {MAX_DEPTH} levels")

    def add_key(self, pairs: MappingNode, key: Any, offset: int) -> None:
        if isinstance(key, (list, dict)):
            self.fail(f"key {key!r:.60} is no scalar")
        if key in pairs and key not in REPEATED_KEYS:
            self.fail(f"key {key!r:.60} appears twice")
        if key not in pairs:
            pairs.starts.append(offset)
        pairs[key] = None

    def with_properties(self, properties: re.Match[str], value: Any, start: int, end: int,
                        before: tuple[int, int]) -> Any:
        """The value, unclear if it has a tag; note its anchor."""
        if properties.group(2) or properties.group(3):
            value = Unclear(self.text[start:end].strip(), "has a tag, which is not supported in a profile")
        aliased, deepest = before
        for name in filter(None, (properties.group(1), properties.group(4))):
            self.anchors[name] = value, end - start + self.aliased - aliased, self.deepest - self.depth
        self.deepest = max(self.deepest, deepest)
        return value

    def alias(self, name: str) -> Any:
        if name not in self.anchors:
            self.fail(f"alias *{name:.60}: no such anchor before it")
        value, size, height = self.anchors[name]
        self.aliased += size
        if self.aliased > MAX_PROFILE_BYTES:
            self.fail(f"its aliases stand for more than {MAX_PROFILE_BYTES >> 20} MiB")
        self.check_depth(self.depth + height)
        return value

    def scalar(self, text: str) -> Any:
        """The value of a scalar: a plain one that is folded already, or a quoted one."""
        if text[:1] in ("'", '"'):
            return self.unquote(text)
        if text in YAML_CONSTANTS:
            return YAML_CONSTANTS[text]
        if "\t" in text or "\ufeff" in text:  # libyaml skips a byte order mark at the start of any line
            self.fail("a tab within a plain scalar, or a byte order mark; quote it")
        if text in JSON_CONSTANTS and self.is_json:
            self.fail(f"{text} is no JSON; quote it if it is a string")
        if text[0].isalpha():
            return Unclear(text, UNCLEAR) if text.lower() in YAML_UNCLEAR_WORDS else text
        if text[0] in YAML_REFUSED and (text[0] != "?" or text[1:2] in ("", " ")):
            self.fail(f"{YAML_REFUSED[text[0]]} not supported in a profile")
        if text[:2] in ("-", "- ") or text[0] in "[]{}":
            self.fail(f"unexpected {text[0]!r}")
        if compiled(YAML_INTEGER).match(text):
            return int(text, 0)
        if compiled(YAML_AMBIGUOUS).match(text):
            return Unclear(text, UNCLEAR)
        return text

    def unquote(self, text: str) -> str:

        def unescape(match: re.Match[str]) -> str:
            code = match.group(1)
            if code is None:
                return fold(match)
            if code[0] in "\r\n":
                return "\n" * (code.count("\n") - 1)
            if len(code) == 1 and code in YAML_ESCAPED:
                return YAML_ESCAPED[code]
            if len(code) == 1 or int(code[1:], 16) > sys.maxunicode:
                self.fail(f"unknown escape \\{code}")
            return chr(int(code[1:], 16))

        quote, text = text[0], text[1:-1]
        if quote == "'":
            return compiled(YAML_FOLD).sub(fold, text.replace("''", "'"))
        text = compiled(f"{YAML_ESCAPE}|{YAML_FOLD}").sub(unescape, text)
        try:
            return text.encode("utf-16", "surrogatepass").decode("utf-16")  # JSON writes some characters as two
        except UnicodeDecodeError:
            self.fail("half a surrogate pair")


class YamlFlow(YamlText):
    """What is in flow style, as JSON: each method takes an offset, and gives the one behind what it read."""

    def flow(self, offset: int) -> tuple[Any, int]:
        """A value in flow style, which may run over several lines."""
        token, start, end = self.flow_token(offset)
        if token in ("[", "{"):
            return self.flow_collection(token, start, end)
        if token in ("", ",", "]", "}", ":"):
            self.fail_at(end, "expected a value")
        self.seek(start)
        if token[0] in "&*!":
            return self.flow_decorated(start)
        if token[0] == ":":  # a key's colon to PyYAML and libyaml
            self.fail("a leading : is not supported within brackets; quote it")
        if token[0] == "?":  # with nothing behind it some readers take it for a complex key's as well
            self.fail(f"{YAML_REFUSED['?']} not supported in a profile")
        return self.scalar(compiled(YAML_FOLD).sub(fold, token) if token[0] not in "\"'" else token), end

    def flow_collection(self, opening: str, offset: int, end: int) -> tuple[Any, int]:
        """What stands behind this bracket, which ends there."""
        self.depth += 1
        if self.depth > self.deepest:
            self.seek(offset)
            self.check_depth(self.depth)
        collection: ListNode | MappingNode = ListNode(offset, True) if opening == "[" else MappingNode(offset, True)
        closing = "]" if opening == "[" else "}"
        separator = ","
        while True:
            token, start, token_end = self.flow_token(end)
            if token == closing:
                self.depth -= 1
                return collection, token_end
            if separator != ",":
                self.fail_at(start, f"expected ',' or {closing!r}")
            if isinstance(collection, ListNode):
                collection.starts.append(start)
                value, end = self.flow(end)
                collection.append(value)
            else:
                end = self.flow_pair(collection, end)
            if collection.ends is not None and len(collection.ends) < len(collection):  # no key stood twice
                collection.ends.append(end)
            separator, _, token_end = self.flow_token(end)
            if separator == ",":
                end = token_end

    def flow_decorated(self, offset: int) -> tuple[Any, int]:
        """The same for an alias, or what has an anchor or a tag."""
        alias = compiled(YAML_ALIAS).match(self.text, offset, self.limit)
        if alias:
            return self.alias(alias.group(1)), alias.end()
        before = self.aliased, self.deepest
        properties = compiled(YAML_PROPERTIES).match(self.text, offset, self.limit)
        if not properties:
            self.fail("an anchor, an alias or a tag without a name, or a tag without a space behind it")
        end = properties.end()
        token, start, _ = self.flow_token(end)
        if token[:1] in ("&", "*", "!"):
            self.fail_at(start, f"unexpected {token[0]!r}, or a tag without a space behind it")
        self.deepest = self.depth
        value = None
        if token not in ("", ",", "]", "}"):
            value, end = self.flow(end)
        return self.with_properties(properties, value, offset, end, before), end

    def flow_pair(self, pairs: MappingNode, offset: int) -> int:
        """Read a key and its value; the offset behind them."""
        token, start, _ = self.flow_token(offset)
        key, key_end = self.flow(offset)
        self.add_key(pairs, key, start)
        colon, colon_start, _ = self.flow_token(key_end)
        if colon[:1] != ":":
            self.fail_at(key_end, f"expected ':' behind key {key!r:.60}")
        # Readers of YAML want a key and its colon on one line; in JSON the colon may follow on another.
        if "\n" in self.text[start:key_end if token[:1] == '"' else colon_start]:
            self.fail("a key that goes on in another line; write it in one")
        end = colon_start + 1  # "key":value, as in JSON
        if self.flow_token(end)[0] not in (",", "}"):
            pairs[key], end = self.flow(end)
        return end

    def flow_token(self, offset: int) -> tuple[str, int, int]:
        """What comes next, and the offsets of its start and end."""
        match = compiled(YAML_FLOW).match(self.text, offset, self.limit)
        return (match.group(1), match.start(1), match.end()) if match else ("", offset, offset)


class YamlReader(YamlFlow):
    """The YAML that profiles are written in: block and flow collections, all scalar styles, comments, documents.

    JSON is read as the YAML in flow style that it is. An alias is the very object that its anchor names; what all
    stand for is bounded as the text is. What has a tag, fractions, and plain scalars that YAML 1.1 and 1.2 readers
    disagree about become Unclear. Directives and complex keys are refused. Errors are ProfileError.

    A node's method is entered with the node's first character in hand and leaves the next line in hand; indent is -1
    at the end of a document.
    """

    def documents(self) -> list[Any]:
        """All documents but empty ones; for one that cannot be read, nor be a profile of the CRD, its ProfileError."""
        found = []
        self.advance()
        while self.rest:
            if self.indent >= 0 or self.rest[3:].lstrip()[:1] not in ("", "#"):
                found.append(self.document())
            else:
                self.advance()
        return found

    def document(self) -> Any:
        self.anchors, self.depth, self.aliased, self.deepest = {}, 0, 0, 0
        start = self.starts[self.row]
        marker = compiled(YAML_MARKER).search(self.text, start + 3)
        self.limit = marker.start() if marker else len(self.text)
        try:
            value = self.block(-1) if self.indent >= 0 else self.beside_marker()
            if self.indent >= 0:
                self.fail("unexpected text")
        except ProfileError as error:
            self.unread += 1
            if KIND in self.text[start:self.limit] or self.unread > MAX_UNREAD:
                raise
            self.seek(self.limit)
            self.row, self.depth = self.row - 1 if marker else self.row, 0
            self.advance()
            value = error
        return value

    def beside_marker(self) -> Any:
        """A document that begins beside its '---': no collection in block style can."""
        text = self.rest[3:].lstrip("\t ")
        if self.rest[0] == ".":
            self.fail("unexpected text")
        self.indent, self.rest, self.depth = len(self.rest) - len(text), text, 1
        return self.decorated(-1, False) if text[0] in "&!" else self.value(-1)

    def advance(self) -> None:
        """Take the next line that holds more than a comment."""
        while self.row < len(self.starts) - 2:
            self.row += 1
            line = self.line(self.row)
            content = line.strip("\t\r ")
            if content[:1] in ("", "#"):
                continue
            self.indent = len(line) - len(line.lstrip(" "))
            self.rest = line[self.indent:].rstrip("\t\r ")
            if self.rest[0] == "\t" and self.depth:
                self.fail("a tab cannot indent")
            if content[0] in "[{":  # which may begin anywhere if it is all of a document
                self.indent, self.rest = line.index(content[0]), content
            if not self.indent and compiled(YAML_MARKER).match(line):
                self.indent = -1
            return
        self.indent, self.rest = -1, ""

    def block(self, parent: int) -> Any:
        """The node that begins here, in a collection indented by `parent` columns."""
        self.depth += 1
        self.check_depth(self.depth)
        if self.rest[0] == "\t":
            self.fail("a tab cannot indent")
        if self.rest[:2] in ("-", "- "):
            value: Any = self.sequence()
        elif self.rest[0] in "&!":
            value = self.decorated(parent, False)
        elif self.key():
            value = self.mapping()
        else:
            value = self.value(parent)
        self.depth -= 1
        return value

    def key(self) -> tuple[str, int] | None:
        """The key that the line begins with, as written, and the column behind its colon."""
        key = compiled(YAML_KEY).match(self.rest)
        if key:
            return key.group(1), key.end()
        end = compiled(YAML_PLAIN_END).search(self.rest)  # of a key that holds spaces
        if end and end.group() == ":" and self.rest[0] not in "[]{}#&*!|>'\"%@`,:":
            return self.rest[:end.start()].rstrip("\t "), end.end()
        return None

    def decorated(self, parent: int, of_key: bool) -> Any:
        """The node behind an anchor, a tag or both, which begin here."""
        start, before = self.starts[self.row] + self.indent, (self.aliased, self.deepest)
        properties = compiled(YAML_PROPERTIES).match(self.rest)
        if not properties:
            self.fail("an anchor or a tag without a name, or a tag without a space behind it")
        text = self.rest[properties.end():]
        self.deepest = self.depth
        if text and text[0] != "#":
            self.indent += len(self.rest) - len(text)
            self.rest = text
            value = self.value(parent)
        else:
            value = self.child(parent, text, of_key)
        end = self.starts[self.row] if self.rest else len(self.text)
        return self.with_properties(properties, value, start, end, before)

    def sequence(self) -> ListNode:
        indent = self.indent
        items = ListNode(self.starts[self.row] + indent, False)
        while self.indent == indent and self.rest[:2] in ("-", "- "):
            plain = compiled(YAML_PLAIN_ITEMS).match(self.text, self.starts[self.row])
            if plain:  # the last of them may go on in the next line
                *texts, self.rest = plain.group()[indent:-1].split("\n" + " " * indent)
                items.extend(text[2:] for text in texts)
                items.starts.extend(start + indent for start in self.starts[self.row:self.row + len(texts)])
                self.row += len(texts)
            items.starts.append(self.starts[self.row] + indent)
            items.append(self.child(indent, self.rest[1:], False))
        if self.indent > indent:
            self.fail("unexpected indentation")
        return items

    def mapping(self) -> MappingNode:
        indent = self.indent
        items = MappingNode(self.starts[self.row] + indent, False)
        while self.indent == indent:
            key = self.key()
            if not key or self.rest[:2] == "- ":
                self.fail("expected 'key: value'")
            name = self.scalar(key[0])
            self.add_key(items, name, self.starts[self.row] + indent)
            items[name] = self.child(indent, self.rest[key[1]:], True)
        if self.indent > indent:
            self.fail("unexpected indentation")
        return items

    def child(self, indent: int, text: str, of_key: bool) -> Any:
        """The node behind '-' or 'key:', on that line or indented deeper on those that follow; or null."""
        blanks = text[:len(text) - len(text.lstrip("\t "))]
        if not of_key and "\t" in blanks:
            self.fail("a tab behind '-'; write a space")
        text = text[len(blanks):]
        if is_plain(text):  # what nearly all of a profile is
            return self.plain(indent, text, False)
        if text and text[0] != "#":
            self.indent += len(self.rest) - len(text)
            self.rest = text
            if of_key:
                return self.decorated(indent, True) if text[0] in "&!" else self.value(indent)
            return self.block(indent)
        self.advance()
        if self.indent > indent or (of_key and self.indent == indent and self.rest[:2] in ("-", "- ")):
            return self.block(indent)
        return None

    def value(self, parent: int) -> Any:
        """A scalar or flow collection that begins here."""
        if self.rest[0] in "|>":
            return self.block_scalar(parent)
        if self.rest[0] not in "\"'[{*":
            line, ended = self.uncommented()
            value = self.scalar(line)
            text = self.plain(parent, line, ended)
            return value if text == line else self.scalar(text)
        offset = self.starts[self.row] + self.indent
        value, end = self.flow_decorated(offset) if self.rest[0] == "*" else self.flow(offset)
        self.seek(end)
        if not compiled(YAML_LINE_END).match(self.line(self.row)[self.indent:]):
            self.fail("unexpected text behind the value")
        self.advance()
        if self.indent > parent:
            self.fail("unexpected text behind the value, or wrong indentation")
        return value

    def uncommented(self) -> tuple[str, bool]:
        """What of a plain scalar is on this line, and whether a comment ends it."""
        end = compiled(YAML_PLAIN_END).search(self.rest)
        text = self.rest[:end.start()].rstrip("\t ") if end else self.rest
        if end and end.group() == ":" or "\t" in text:
            self.fail("': ' or a tab within a plain scalar; quote it")
        return text, bool(end)

    def plain(self, parent: int, line: str, ended: bool) -> str:
        """A plain scalar that begins with this, and goes on where lines are indented deeper."""
        parts, row = [line], self.row
        self.advance()
        while self.indent > parent:
            between = self.text[self.starts[row + 1]:self.starts[self.row]]
            if ended or between.strip():
                self.fail("a comment within a scalar, or wrong indentation; quote it")
            line, ended = self.uncommented()
            parts += ["\n" * between.count("\n") or " ", line]
            row = self.row
            self.advance()
        return "".join(parts)

    def block_scalar(self, parent: int) -> str:
        header = compiled(YAML_BLOCK_HEADER).match(self.rest)
        if not header:
            self.fail("bad block scalar header")
        digit, chomp = header.group(2) or header.group(5), header.group(3) or header.group(4)
        indent = max(parent, 0) + int(digit) if digit else 0
        lines: list[str] = []
        for row in range(self.row + 1, len(self.starts) - 1):
            line = self.line(row).rstrip("\r")
            width = len(line) - len(line.lstrip(" "))
            if width < len(line):
                if width <= parent or width < indent:
                    break
                if not indent and (not width or any(len(blank) > width for blank in lines)):
                    self.fail("a leading blank line is indented deeper than the text")
                indent = indent or width
            lines.append(line)
        self.row += len(lines)
        text = "".join(line[indent:] + "\n" if indent else "\n" for line in lines)
        if self.row == len(self.starts) - 2:
            text = text[:-1]  # the last line of the text has no end
        content = text.rstrip("\n")
        trailing = text[len(content):]
        if header.group(1) == ">":
            content = compiled(YAML_FOLDED_LINE).sub(lambda match: match.group(1) + (match.group(2) or " "), content)
        self.advance()
        return content + {"+": trailing, "-": "", None: trailing[:1] if content else ""}[chomp]


def parse_yaml(text: str, file: str = "-") -> list[Any]:
    """The documents of a YAML stream. Raises ProfileError, also for what no profile is written in."""
    documents = YamlReader(text, file).documents()
    for document in documents:
        if isinstance(document, ProfileError):
            raise document
    return documents


def _metadata_name(document: Any) -> Any:
    metadata = document.get("metadata") if isinstance(document, dict) else None
    return metadata.get("name") if isinstance(metadata, dict) else None


def spec_of(document: dict[str, Any]) -> Any:
    """What of a document the OCI specification describes: of the CRD's its spec, else all."""
    return document.get("spec") if document.get("kind") == KIND else document


def with_spec(document: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
    return {**document, "spec": spec} if document.get("kind") == KIND else spec


def describe_unknown(key: object, keys: Iterable[str]) -> str:
    return "unknown key" + suggestion(key, keys)


def list_objects(reader: YamlReader) -> list[Any]:
    """Every document of a text, and each in a list of Kubernetes' (kubectl get)."""
    found: list[Any] = []
    for document in reader.documents():
        items = document.get("items") if isinstance(document, dict) else None
        if isinstance(items, list) and str(document.get("kind")).endswith("List"):
            found.extend(items)
        else:
            found.append(document)
    return found


CHOOSE_ONE = "choose one as FILE#NAME"


def choice_hint(documents: Iterable[Any], name: str) -> str:
    """What to do where no one document of the text is named."""
    found = [each for each in documents if isinstance(each, dict)]
    names = [printable(_metadata_name(each)) for each in found
             if each.get("kind") == KIND and isinstance(_metadata_name(each), str)]
    if name in names:
        return "give each a metadata.name of its own"
    if not names or len(found) < 2 and not name:
        return CHOOSE_ONE if len(found) > 1 and not name else ""
    return f"{CHOOSE_ONE}: {', '.join(names[:8])}" + (", ..." if names[8:] else "")


def skip_remarks(text: str, offset: int) -> int:
    """The offset behind blanks and comments, of whatever language."""
    while offset < len(text):
        if text[offset].isspace():
            offset += 1
        elif text[offset] == "#" or text.startswith("//", offset):
            offset = (text.find("\n", offset) + 1) or len(text)
        elif text.startswith("/*", offset):
            end = text.find("*/", offset + 2)
            offset = end + 2 if end >= 0 else len(text)
        else:
            break
    return offset


def refuse_no_json(reader: YamlReader) -> None:
    """Refuse a comment, or a comma behind the last of several, in what is JSON otherwise: YAML, as which it is read,
    has both, and no runtime takes them. Keys in quotes tell JSON from YAML in flow style.
    """
    text = reader.text
    if not ("#" in text or "/" in text or compiled(JSON_LAST_COMMA).search(text)) or reader.file.endswith(YAML_ENDS):
        return
    start = skip_remarks(text, 0)
    if text[start:start + 1] != "{" or text[skip_remarks(text, start + 1):][:1] != '"':
        return
    for match in compiled(JSON_FAULT).finditer(text):
        if match.lastgroup:
            reader.fail_at(match.start(), "JSON has no comments" if match.lastgroup == "comment" else
                           f"a comma before {match.group()[-1]!r} is no JSON")


CONVERT_OTHER = "record YAML or JSON, and convert that"
DROP_IN = r"\s*([#;].*\n\s*)*\[(Service|Unit|Install|Socket|Mount|Swap)\][ \t]*(\n|$)"


def parse_document(text: str, file: str, name: str = "") -> tuple[dict[str, Any], YamlReader]:
    """A profile's document, a mapping, and the reader that knows where in the text it stands.

    Of several documents `name` chooses the one with this metadata.name. Whether the others can be read does not matter.
    """
    if "[" in text[:4096] and compiled(DROP_IN).match(text):
        raise ProfileError(file, 0, 0, "is a systemd drop-in, which is not read", CONVERT_OTHER)
    reader = YamlReader(text, file)
    refuse_no_json(reader)
    documents = objects = list_objects(reader)
    if name:
        documents = [each for each in objects if _metadata_name(each) == name and each.get("kind") == KIND]
    for document in documents:
        if isinstance(document, ProfileError):
            raise document
    if len(documents) != 1 or not isinstance(documents[0], dict):
        plural = "s" if documents else ""
        what = f"profile{plural} named {name}" if name else f"document{plural}"
        several = f"holds {len(documents)} {what}, but only one can be read" if documents else f"holds no {what}"
        raise ProfileError(file, 0, 0, several if len(documents) != 1 else "is no profile", choice_hint(objects, name))
    document = documents[0]
    spec = spec_of(document)
    if spec is document and "defaultAction" not in spec:
        for key in spec:
            if suggestion(key, ["defaultAction"]):
                reader.fail_in(spec, key, f"{key}: {describe_unknown(key, ['defaultAction'])}")
        reader.fail_in(document, "", f"is no profile: there is no defaultAction, nor kind {KIND} with a spec")
    if not isinstance(spec, dict):
        reader.fail_in(document, "spec", f"spec: expected a mapping, found {spec!r:.60}")
    return document, reader


class Host(NamedTuple):
    """What the rules of Docker's dialect can depend on."""

    architecture: str
    release: str
    capabilities: Sequence[str]


API_VERSIONS = [f"{API_GROUP}/{version}" for version in ("v1alpha1", *API_WRITTEN)]
SPEC_KEYS = "defaultAction defaultErrnoRet architectures flags listenerPath listenerMetadata syscalls".split()
# SPO 0.8.1 to 0.10.1 has `disabled` for `state`; targetWorkload, of the oldest versions, moves the file only.
CRD_KEYS = ["baseProfileName", "state", "disabled", "targetWorkload", *SPEC_KEYS]
JSON_KEYS = ["archMap", "defaultErrno", *SPEC_KEYS]
RULE_KEYS = "names action errnoRet args".split()
JSON_RULE_KEYS = "name errno includes excludes".split() + RULE_KEYS
# What people write into JSON for people; a rule's name is a syscall, though.
REMARK_KEYS = "$schema _comment comment description name version".split()
# How Docker's rules call architectures: goToNative in moby/profiles, seccomp/seccomp_linux.go.
DOCKER_ARCHITECTURES = {"SCMP_ARCH_X86_64": "amd64", "SCMP_ARCH_X86": "x86", "SCMP_ARCH_AARCH64": "arm64",
                        "SCMP_ARCH_ARM": "arm", "SCMP_ARCH_RISCV64": "riscv64", "SCMP_ARCH_PPC64LE": "ppc64le"}

ARCHITECTURES = [f"SCMP_ARCH_{name}" for name in """NATIVE X86 X86_64 X32 ARM AARCH64 LOONGARCH64 M68K MIPS MIPS64
                 MIPS64N32 MIPSEL MIPSEL64 MIPSEL64N32 PPC PPC64 PPC64LE S390 S390X PARISC PARISC64 RISCV64 SH SHEB
                 """.split()]  # config-linux.md, seccomp; NATIVE is the CRD's

BPF_MAXINSNS = 4096  # linux/filter.h
TOO_LARGE = f"so many conditions take more than the {BPF_MAXINSNS} instructions of a filter"


TYPE_NAMES = {str: "a string", int: "a whole number", list: "a list", dict: "a mapping", bool: "true or false"}


class ProfileDecoder:
    """What a profile's document means: the OCI runtime specification (config-linux.md, seccomp), in SPO's CRD or as
    JSON, with the extensions of Docker (moby/profiles) and Podman (containers/common). All else is an error at its
    place in the text.
    """

    def __init__(self, reader: YamlReader, host: Host):
        self.reader, self.host = reader, host
        self.is_crd = False

    def fail(self, where: dict[str, Any], key: Any, reason: str, index: int | None = None) -> NoReturn:
        """Fail at a key or, with `index`, at an item of its list."""
        collection, entry = (where, key) if index is None else (where[key], index)
        self.reader.fail_in(collection, entry, f"{key!s:.60}: {reason}")

    def check_type(self, where: dict[str, Any], key: str, value: object, kind: type, index: int | None = None) -> None:
        if isinstance(value, Unclear):
            self.fail(where, key, f"{value!r:.60} {value.reason}", index)
        if not isinstance(value, kind) or isinstance(value, bool) and kind is not bool:
            self.fail(where, key, f"expected {TYPE_NAMES[kind]}, found {value!r:.60}", index)

    def get(self, where: dict[str, Any], key: str, kind: type, default: Any = None) -> Any:
        """The value of a key, of this type; null is as good as no key."""
        value = where.get(key)
        if value is None:
            return default
        self.check_type(where, key, value, kind)
        return value

    def items(self, where: dict[str, Any], key: str, kind: type) -> list[Any]:
        values: list[Any] = self.get(where, key, list, [])
        if {kind}.issuperset(map(type, values)):
            return values
        for index, value in enumerate(values):
            self.check_type(where, key, value, kind, index)
        return values

    def number(self, where: dict[str, Any], key: str, limit: int) -> int:
        text = where.get(key)
        if self.is_crd and key == "errnoRet" and isinstance(text, str) and compiled("[1-9][0-9]{0,3}").fullmatch(text):
            value = int(text)  # SPO has it as a string in v1alpha1, and had in v1beta1
        else:
            value = self.get(where, key, int, 0)
        if not 0 <= value <= limit:
            self.fail(where, key, f"{value} is not within 0 and {limit}")
        return value

    def check_keys(self, where: dict[str, Any], keys: Sequence[str]) -> None:
        for key in where:
            if key not in keys and (self.is_crd or key not in REMARK_KEYS):
                self.fail(where, key, describe_unknown(key, keys))

    def decode(self, document: dict[str, Any]) -> Profile:
        spec, self.is_crd = spec_of(document), document.get("kind") == KIND
        if self.is_crd:
            self.check_keys(document, ("apiVersion", "kind", "metadata", "spec", "status"))
            if document.get("apiVersion") not in API_VERSIONS:
                self.fail(document, "apiVersion", f"expected {' or '.join(API_VERSIONS)}")
            self.get(document, "metadata", dict)
            self.get(document, "status", dict)
        for key in ("listenerPath", "listenerMetadata", "targetWorkload"):
            self.get(spec, key, str)
        self.get(spec, "disabled", bool)
        state = self.get(spec, "state", str, "Enabled")
        if state not in ("Enabled", "Disabled"):
            self.fail(spec, "state", "unknown" + suggestion(state, ("Enabled", "Disabled")))
        self.check_keys(spec, CRD_KEYS if self.is_crd else JSON_KEYS)
        self.get(spec, "baseProfileName", str)
        if self.is_crd and spec.get("defaultErrnoRet") is not None:
            self.fail(spec, "defaultErrnoRet", f"a {KIND} has no such key: its default errno is EPERM")
        action, default_errno = self.action(spec, "defaultAction", "defaultErrnoRet", "defaultErrno")
        flags: tuple[str, ...] | None = tuple(self.known_names(spec, "flags", FILTER_FLAGS, "flag"))
        # The operator and Docker (archMap) leave an empty list out.
        if not flags and (self.is_crd or spec.get("archMap") or spec.get("flags") is None):
            flags = None
        rules = tuple(dict.fromkeys(rule for item in self.items(spec, "syscalls", dict) for rule in self.rules(item)))
        if sum(len(rule.names) for rule in rules if rule.conditions) > 16 * BPF_MAXINSNS:  # other machines' among them
            self.fail(spec, "syscalls", TOO_LARGE)
        return Profile(action, self.architectures(spec), rules, default_errno, flags)

    def action(self, where: dict[str, Any], key: str, errno_key: str, name_key: str) -> tuple[str, int]:
        """An action and its errno, as a number or by name."""
        action = self.get(where, key, str, "")
        if action not in ACTIONS:
            self.fail(where, key, f"unknown action {action:.60}" + suggestion(action, ACTIONS) if action else "missing")
        absent = (None, "") if self.is_crd else (None,)
        number = -1 if where.get(errno_key) in absent else self.number(where, errno_key, MAX_SECCOMP_ERRNO)
        if self.is_crd and number == 0:  # errnoRet,omitempty in SPO's Go: none given, in what it installs
            number = -1
        name = self.get(where, name_key, str, "")
        named = errno_number(name) if name else number
        if name and named < 0:
            self.fail(where, name_key, f"unknown errno {name:.60}")
        if number not in (-1, named):
            self.fail(where, name_key, f"{name} is another errno than {errno_key} says")
        if named >= 0 and action not in NUMBERED_ACTIONS:
            self.fail(where, errno_key if number >= 0 else name_key, f"{action} returns no errno")
        if action == "SCMP_ACT_KILL":
            action = SCMP_ACT_KILL_THREAD
        return action, errno.EPERM if named < 0 else named

    def known_names(self, where: dict[str, Any], key: str, known: Iterable[str], what: str) -> list[str]:
        names = self.items(where, key, str)
        for index, name in enumerate(names):
            if name not in known:
                self.fail(where, key, f"unknown {what} {name:.60}" + suggestion(name, known), index)
        return list(dict.fromkeys(names))

    def architectures(self, spec: dict[str, Any]) -> tuple[str, ...]:
        listed = self.known_names(spec, "architectures", ARCHITECTURES, "architecture")
        mapped: tuple[str, ...] = ()
        for entry in self.items(spec, "archMap", dict):
            if listed:
                self.fail(spec, "archMap", "stands beside architectures")
            self.check_keys(entry, ("architecture", "subArchitectures"))
            architecture = self.get(entry, "architecture", str, "")
            if not architecture:
                self.fail(entry, "architecture", "missing")
            others = self.items(entry, "subArchitectures", str)
            if architecture == self.host.architecture:  # what is for other machines may be newer than this list
                self.known_names(entry, "subArchitectures", ARCHITECTURES, "architecture")
                mapped = mapped or (architecture, *others)
        return mapped or tuple(listed)

    def rules(self, where: dict[str, Any]) -> list[Rule]:
        """The rules that an item of syscalls stands for: none if it names none, as runtimes have it."""
        self.check_keys(where, RULE_KEYS if self.is_crd else JSON_RULE_KEYS)
        name, names = self.get(where, "name", str, ""), self.items(where, "names", str)
        if name and names or "name" not in where and "names" not in where:
            self.fail(where, "names", "stands beside name" if name else "missing")
        if " ".join(names).split() != names:  # a list that is indented wrongly is one name over several lines
            for index, each in enumerate(names):
                if any(map(str.isspace, each)):
                    self.fail(where, "names", f"{each!r:.60} is not the name of a syscall", index)
        if name:
            names = [name]
        action, number = self.action(where, "action", "errnoRet", "errno")
        listed = [self.condition(item) for item in self.items(where, "args", dict)]
        conditions = list(dict.fromkeys(listed))
        if len(conditions) > BPF_MAXINSNS:
            self.fail(where, "args", TOO_LARGE)
        excluded = list(self.matches(self.get(where, "excludes", dict, {})))
        included = list(self.matches(self.get(where, "includes", dict, {})))
        if any(excluded) or not all(included) or not names:
            return []
        syscalls = tuple(dict.fromkeys(names))
        if len({condition.argument for condition in conditions}) < len(listed):
            # As runc has it: of an item with several conditions on one argument each is a rule of its own.
            return [Rule(action, syscalls, number, (condition,)) for condition in conditions]
        return [Rule(action, syscalls, number, tuple(conditions))]

    def matches(self, where: dict[str, Any]) -> Iterator[bool]:
        """Whether each condition of Docker's includes or excludes holds."""
        self.check_keys(where, ("caps", "arches", "minKernel"))
        for capability in self.items(where, "caps", str):
            yield capability in self.host.capabilities
        arches = self.items(where, "arches", str)
        if arches:
            yield DOCKER_ARCHITECTURES.get(self.host.architecture) in arches
        kernel = self.get(where, "minKernel", str)
        if kernel is not None:  # as KernelVersion in moby/profiles, seccomp/seccomp.go: two bytes; "" is any kernel
            numbers = compiled(r"0*([0-9]{1,3})\.0*([0-9]{1,3})").fullmatch(kernel or "0.1")
            oldest = tuple(map(int, numbers.groups())) if numbers else (0, 0)
            if oldest == (0, 0) or max(oldest) > 255:
                self.fail(where, "minKernel", f"{kernel:.60} is no kernel version")
            yield release_numbers(self.host.release) >= oldest

    def condition(self, where: dict[str, Any]) -> Condition:
        self.check_keys(where, ("index", "value", "valueTwo", "op"))
        for key in ("index", "op"):
            if where.get(key) is None:
                self.fail(where, key, "missing")
        op = self.get(where, "op", str)
        if op not in OPERATORS:
            self.fail(where, "op", f"unknown operator {op:.60}" + suggestion(op, OPERATORS))
        value, value_two = self.number(where, "value", MASK_64), self.number(where, "valueTwo", MASK_64)
        if op == "SCMP_CMP_MASKED_EQ":
            value_two &= value  # as libseccomp has it
        return Condition(self.number(where, "index", 5), op, value, value_two)


def errno_number(text: str) -> int:
    """The errno of this name or, as Podman has it, number; -1 if there is none."""
    number = int(text) if compiled("[0-9]{1,4}").fullmatch(text) else errno_of(text)
    return number if number <= MAX_SECCOMP_ERRNO else -1


def release_numbers(release: str) -> tuple[int, int]:
    """The first two numbers of a kernel's release (uname(2))."""
    major, minor = (release.split("-")[0].split(".") + ["0"])[:2]
    return int(major), int(minor)


def depends_on_machine(rule: dict[str, Any]) -> bool:
    """Is a rule, in Docker's dialect, for some kernels, architectures or capabilities only?"""
    return bool(rule.get("includes") or rule.get("excludes"))


def names_in(rule: dict[str, Any]) -> list[str]:
    return [*(rule.get("names") or []), *([rule["name"]] if rule.get("name") else [])]


def extend_map(entries: Sequence[dict[str, Any]], own: str = "", *others: str) -> list[dict[str, Any]]:
    """An archMap under which machines of an architecture take calls of these others, too."""
    if others and not any(entry.get("architecture") == own for entry in entries):
        entries = [*entries, {"architecture": own}]
    extended = []
    for entry in entries:
        listed = entry.get("subArchitectures") or []
        missing = [name for name in others if name not in listed] if entry.get("architecture") == own else []
        extended.append({**entry, "subArchitectures": [*listed, *missing]} if missing else entry)
    return extended


def edit_document(document: dict[str, Any], added: Profile, lifted: Container[str] = ()) -> dict[str, Any]:
    """The document of a profile with the rules and architectures of another, which only allows, and whose first
    architecture is this machine's own. What rules deny of the names in `lifted` goes.

    Names go into the first rule that allows names unconditionally, or into a new one; what is new stands first.
    """
    import bisect
    spec = spec_of(document)
    rules = []
    for rule in spec.get("syscalls") or []:
        others = [name for name in names_in(rule) if name not in lifted]
        if rule["action"] in PERMISSIVE or others == names_in(rule):
            rules.append(rule)
        elif others:
            rules.append({**rule, "names": others})
    plain = [index for index, rule in enumerate(rules) if rule["action"] == SCMP_ACT_ALLOW
             and not rule.get("args") and not depends_on_machine(rule)]
    names = {name for rule in added.rules if not rule.conditions for name in rule.names}.difference(
        *(names_in(rules[index]) for index in plain))
    target = next((index for index in plain if rules[index].get("names")), None)
    if names and target is not None:
        listed = list(rules[target]["names"])
        for name in sorted(names):
            bisect.insort(listed, name)
        rules[target] = {**rules[target], "names": listed}
    elif names:
        rules.insert(0, {"action": SCMP_ACT_ALLOW, "names": sorted(names)})
    conditional = added._replace(rules=tuple(rule for rule in added.rules if rule.conditions))
    rules[:0] = [dict(sorted(rule.items())) for rule in rules_document(conditional)]
    new = {**spec, "syscalls": rules} if rules != (spec.get("syscalls") or []) else dict(spec)
    architectures, listed = added.architectures, spec.get("architectures") or []
    if spec.get("archMap"):
        new["archMap"] = extend_map(spec["archMap"], *architectures)
    elif listed or len(architectures) > 1:
        present = {*listed, *(architectures[:1] if "SCMP_ARCH_NATIVE" in listed else ())}
        missing = [name for name in architectures if name not in present]
        if missing:
            new["architectures"] = [*listed, *missing]
    return with_spec(document, new)


class Edits:
    """What has to change in the text of a document, so that it reads as a new one, which only adds to it.

    Raises KeyError where nothing can be put between.
    """

    def __init__(self, reader: YamlReader):
        import re
        self.reader, self.text = reader, reader.text
        self.newline = "\r\n" if reader.line(0).endswith("\r") else "\n"
        indented = re.search(r"\n([ \t]+)\S", self.text)
        self.unit = indented.group(1) if indented else "  "
        self.separators = (",", ":") if '":' in self.text and '": ' not in self.text else (", ", ": ")
        self.found: list[tuple[int, int, str]] = []  # from, to, and what stands there instead

    def apply(self) -> str:
        parts, position = [], 0
        for start, end, text in sorted(self.found, key=lambda edit: edit[:2]):
            parts += [self.text[position:start], text]
            position = end
        return "".join([*parts, self.text[position:]])

    def rewritten(self, document: dict[str, Any]) -> str:
        """All of a document anew, in the language of the old text; JSON with its indentation."""
        if is_json(self.text):
            return self._dump(document, "" if "\n" in self.text.strip() else None) + self.newline
        return format_yaml(document).replace("\n", self.newline)

    def compare(self, old: Any, new: Any) -> None:
        """Note what makes one mapping or list the other. A list's item that differs is a changed one if as many follow
        it in both, else an added one.
        """
        if isinstance(old, dict):
            self._add_entries(old, 0, [key for key in new if key not in old], new)
            for key in old:
                if isinstance(new[key], (dict, list)) and new[key] and not old[key]:
                    self._fill_empty(old, key, new[key])
                else:
                    self.compare(old[key], new[key])
        elif isinstance(old, list) and old != new:
            at = 0
            for index, item in enumerate(new):
                if at < len(old) and (item == old[at] or len(new) - index == len(old) - at):
                    self.compare(old[at], item)
                    at += 1
                else:
                    self._add_entries(old, at, [index], new)

    def _entry_place(self, where: Any, key: Any) -> tuple[int, int, bool]:
        """Line and offset of an entry, and whether it is in flow style."""
        import bisect
        start = entry_offset(where, key)
        return bisect.bisect_right(self.reader.starts, start) - 1, start, where.ends is not None

    def _entry_end(self, where: Any, key: Any) -> int:
        """The offset behind an entry in flow style."""
        keys = list(where) if isinstance(where, dict) else range(len(where))
        end: int = where.ends[keys.index(key)]
        return end

    def _add_entries(self, where: Any, at: int, keys: list[Any], new: Any) -> None:
        """Put entries of the new collection before entry `at` of the old one, in flow style those of a mapping last."""
        if not keys:
            return
        entries = list(where) if isinstance(where, dict) else list(range(len(where)))
        row, first, is_flow = self._entry_place(where, entries[0])
        if is_flow:
            gap = self._gap(where, entries)
            sibling = self.text[first:self._entry_end(where, entries[0])]
            texts = [self._flow_entry(new, key, gap, sibling) for key in keys]
            if isinstance(where, dict) or at == len(entries):
                self._put(self._entry_end(where, entries[-1]), "".join(gap + text for text in texts))
            else:
                self._put(self._entry_place(where, entries[at])[1], "".join(text + gap for text in texts))
            return
        if at:
            behind = at == len(entries)
            row = self._entry_place(where, entries[-1 if behind else at])[0] + behind
        indent = " " * (first - self.reader.starts[self._entry_place(where, entries[0])[0]])
        for key in keys:
            self._put_lines(row, _yaml_lines({key: new[key]} if isinstance(where, dict) else [new[key]], indent))

    def _put(self, offset: int, text: str, end: int = -1) -> None:
        self.found.append((offset, max(offset, end), text))

    def _put_lines(self, row: int, lines: Iterable[str]) -> None:
        offset = self.reader.starts[row]
        for line in lines:
            is_behind = offset > len(self.text)  # whose last line has no end
            self._put(offset, self.newline + line if is_behind else line + self.newline)

    def _gap(self, where: Any, entries: list[Any]) -> str:
        """What stands between entries of a collection in flow style."""
        first = self._entry_place(where, entries[0])[1]
        if len(entries) > 1:
            gap = self.text[self._entry_end(where, entries[0]):self._entry_place(where, entries[1])[1]]
            return gap if "#" not in gap else ", "
        start = first
        while start and self.text[start - 1] in " \t\r\n":
            start -= 1
        before = self.text[start:first]
        return "," + before[before.rindex(self.newline):] if self.newline in before else self.separators[0]

    def _flow_entry(self, new: Any, key: Any, gap: str, sibling: str) -> str:
        """An entry in flow style, laid out as a sibling of its kind."""
        import json
        value = new[key]
        if isinstance(value, str) and isinstance(new, list) and sibling[:1] not in ('"', "'") and is_plain(value):
            return value
        in_lines = "\n" in gap and (isinstance(new, dict) or "\n" in sibling or sibling[:1] not in "[{")
        text = self._dump(value, gap.rpartition("\n")[2] if in_lines else None)
        return f"{json.dumps(key)}{self.separators[1]}{text}" if isinstance(new, dict) else text

    def _dump(self, value: Any, indent: str | None) -> str:
        """A value in flow style: on one line, or on several that are indented so."""
        import json
        if indent is None:
            return json.dumps(value, separators=self.separators, default=repr)
        text = json.dumps(value, indent=self.unit, separators=(",", self.separators[1]), default=repr)
        return text.replace("\n", self.newline + indent)

    def _fill_empty(self, where: Any, key: Any, value: Any) -> None:
        """Put a value in the place of null or an empty collection."""
        import bisect
        import re
        row, start, is_flow = self._entry_place(where, key)
        before = self.text[self.reader.starts[row]:start]
        empty = re.compile(r"""(?:"[^"\\\n]*"|'[^'\n]*'|[\w.-]+)\s*:(\s*(?:null|~|\[\s*\]|\{\s*\})|)"""
                           + (r"(?=\s*[,}])" if is_flow else r"(?=[ \t]*(?:\r?\n|\Z|[ \t]#))")).match(self.text, start)
        if not empty or not is_flow and before.strip(" -"):
            raise KeyError(key)
        if is_flow:
            found = empty.group(1) or " "
            gap = found[:len(found) - len(found.lstrip())]
            self._put(empty.start(1), gap + self._dump(value, None if before.strip() else before), empty.end(1))
        else:
            self._put(empty.start(1), "", empty.end(1))
            self._put_lines(bisect.bisect(self.reader.starts, empty.end(1)),
                            _yaml_lines(value, " " * (len(before) + 2)))


def is_json(text: str) -> bool:
    """Is this, if it is a profile, one in JSON?"""
    return text.lstrip("\ufeff \t\r\n").startswith("{")


class LoadedProfile(NamedTuple):
    """A profile that was read: its file, meaning, and text."""

    file: str
    profile: Profile
    document: dict[str, Any]
    reader: YamlReader

    @property
    def spec(self) -> dict[str, Any]:
        spec: dict[str, Any] = spec_of(self.document)
        return spec

    @property
    def base_profile_name(self) -> str:
        """The name of the profile that it builds on, or ""."""
        return str(self.spec.get("baseProfileName") or "")

    @property
    def type(self) -> str:
        return TYPE_CRD if self.document.get("kind") == KIND else TYPE_JSON

    @property
    def name(self) -> str:
        """The object's name, or ""."""
        name = _metadata_name(self.document)
        return name if isinstance(name, str) else ""

    @property
    def rules(self) -> list[dict[str, Any]]:
        """The rules as the document has them."""
        return self.spec.get("syscalls") or []

    @property
    def depends_on_machine(self) -> bool:
        return any(map(depends_on_machine, self.rules))

    def check_enabled(self) -> None:
        """Raise ProfileError unless it is."""
        for key, disabled in (("state", "Disabled"), ("disabled", True)):
            if self.spec.get(key) == disabled:
                self.reader.fail_in(self.spec, key, f"{key}: the profile is not enabled")

    def place_of(self, key: str, name: str = "") -> tuple[str, int, int]:
        """File, line and column of a key of the profile or, with a syscall's name, of its rule."""
        where = self.spec
        for rule in self.rules if name else ():
            if name in names_in(rule):
                where = rule if where is self.spec or key not in where else where
        self.reader.seek(entry_offset(where, key))
        return self.file, self.reader.row + 1, self.reader.indent + 1


def parse_profile(text: str, file: str, host: Host, name: str = "") -> LoadedProfile:
    """A profile from its text, see parse_document()."""
    document, reader = parse_document(text, file, name)
    return LoadedProfile(file, ProfileDecoder(reader, host).decode(document), document, reader)


def format_changed(source: LoadedProfile, new: dict[str, Any]) -> str:
    """The text that was read, changed to say what edit_document() made of it: with its comments and layout if that can
    be, else anew. Raises ProfileError if nobody could read that.
    """
    import json
    reader = source.reader
    edits = Edits(reader)
    with contextlib.suppress(KeyError, ValueError, ProfileError):
        edits.compare(source.document, new)
        text = edits.apply()
        if parse_document(text, reader.file)[0] == new:
            return reader.bom + text
    if "#" in reader.text:
        try:
            json.loads(reader.text)  # which has no comments
        except ValueError:
            Log.result(f"Comments in {reader.file} are lost: nothing can be added to its layout, so the whole text "
                       "is new")
    text = reader.bom + edits.rewritten(new)
    parse_document(text, reader.file)  # what has a tag stands there as it was written, whatever it refers to
    return text


def append_profile(source: LoadedProfile, recorded: Profile, host: Host) -> tuple[dict[str, Any], set[str], Profile]:
    """The document of a profile with what was recorded allowed as well, the names that it may deny all the same, and
    what was added: whoever wrote a rule with another action meant it, also one that is for other machines.
    """
    everywhere = source.profile
    if source.depends_on_machine:
        everywhere = ProfileDecoder(source.reader, host).decode(with_spec(source.document, {
            **source.spec, "syscalls": [each for each in source.rules if not depends_on_machine(each)]}))
    added = additions(everywhere, recorded, {
        name for rule in source.rules if rule["action"] != SCMP_ACT_ALLOW for name in names_in(rule)})
    after = source.profile._replace(rules=(*added.rules, *source.profile.rules))
    return edit_document(source.document, added), not_allowed(after, recorded), added


COVERAGE = "spo.x-k8s.io/syscall-coverage"
PARTIAL_LABEL = "spo.x-k8s.io/partial"  # the operator merges, and does not install, what has it; a union is no part
EXTRA_KEYS = ("baseProfileName", "listenerPath", "listenerMetadata")


def extra_keys(source: LoadedProfile) -> dict[str, Any]:
    """What a document holds beside what Profile does."""
    return {key: source.spec[key] for key in EXTRA_KEYS if source.spec.get(key)}


def labels_of(metadata: dict[str, Any]) -> dict[str, Any]:
    """An object's labels; none where what stands there cannot be any."""
    labels = metadata.get("labels")
    return labels if isinstance(labels, dict) else {}


def coverage_of(source: LoadedProfile) -> tuple[int, dict[str, int]]:
    """Of how many profiles this is the union, and in how many each syscall stood: what the annotation says, else one.

    The annotation (addSyscallCoverage in internal/pkg/manager/recordingmerger/coverage.go of SPO) is information only:
    one that makes no sense counts for nothing.
    """
    import_now("json")
    import json
    profile = source.profile  # what repeats its default says nothing, and what it denies like that was not seen
    names = {name for rule in profile.rules for name in rule.names
             if rule.verdict != profile.default and (rule.verdict.lets_pass or profile.default.lets_pass)}
    annotations = (source.document.get("metadata") or {}).get("annotations")
    text = annotations.get(COVERAGE) if isinstance(annotations, dict) else None
    if isinstance(text, str):
        with contextlib.suppress(ValueError, RecursionError, KeyError, TypeError, AttributeError):
            coverage = json.loads(text)
            total, counts = coverage["total"], coverage["syscalls"].items()
            if coverage["version"] == "v1" and type(total) is int and 0 < total < 1 << 63 and all(
                    type(count) is int and 0 < count <= total for _, count in counts):
                return total, {name: count for name, count in counts if name in names}
    return 1, dict.fromkeys(names, 1)

# --- Files -------------------------------------------------------------------


def read_text(path: str, follow: bool = False, owner: tuple[int, int] | None = None, folder: int | None = None,
              other: str = "name another") -> str:
    """The text of a profile, whose size is not to be trusted. Raises ProfileError, FileNotFoundError if there is none.

    With `folder`, a descriptor, it is the file of the path's last name in there.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
    name = path if folder is None else os.path.basename(path)
    try:
        with (open(0, "rb", closefd=False) if path == "-" else
              open(os.open(name, flags, dir_fd=folder), "rb")) as file:
            status = os.fstat(file.fileno())
            os.set_blocking(file.fileno(), True)  # or only what is there by now is read
            if path != "-" and not stat.S_ISREG(status.st_mode):
                raise ProfileError(path, 0, 0, "is not a regular file", "pass what is no file to standard input: -")
            if not follow and status.st_uid not in (0, os.geteuid(), (owner or (0,))[0]):
                raise ProfileError(path, 0, 0, f"belongs to another user ({status.st_uid})", f"chown it, or {other}")
            if not follow and path in DEFAULT_OUTPUT.values() and status.st_mode & 0o022:
                raise ProfileError(path, 0, 0, "others may write to it", f"chmod it, or {other}")
            data = file.read(MAX_PROFILE_BYTES + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ProfileError(path, 0, 0, "is a symbolic link", "name the file that it points to") from None
        raise ProfileError(path, 0, 0, error) from None
    if len(data) > MAX_PROFILE_BYTES:
        raise ProfileError(path, 0, 0, f"is larger than {MAX_PROFILE_BYTES >> 20} MiB")
    if data.startswith(FILTER_START) and len(data) % 8 == 0:
        raise ProfileError(path, 0, 0, "is a compiled filter, which is not read", CONVERT_OTHER)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        before = data[:error.start]
        raise ProfileError(path, before.count(b"\n") + 1, error.start - before.rfind(b"\n"), "is not UTF-8") from None


OCI_SCHEME = "oci://"


def is_reference(path: str) -> bool:
    """Does this name a profile in a registry, and no file?"""
    return path.startswith(OCI_SCHEME)


def reference_hint(path: str) -> str:
    """What to say of a missing file named as push takes it."""
    host, slash, name = path.partition("/")
    is_like = ":" in path or "." in host.strip(".") and "." not in name
    return f"{OCI_SCHEME}{path} is in a registry; " if host and slash and is_like else ""


def split_name(path: str) -> tuple[str, str]:
    """FILE#NAME, which is the document of that name in FILE, as file and name; the name of any other path is ""."""
    if "#" in path and not os.path.lexists(path):
        file, _, name = path.rpartition("#")
        return file, name
    return path, ""


def read_profile(path: str, host: Host, follow: bool = True, owner: tuple[int, int] | None = None,
                 other: str = "name another with -p FILE") -> LoadedProfile:
    """Read a profile in any format: FILE, FILE#NAME, or - for standard input. Raises ProfileError.

    Without `follow` it has to be a trusted user's, or this owner's; see read_text().
    """
    file, name = split_name(path)
    try:
        text = read_text(file, follow, owner, other=other)
    except FileNotFoundError:
        raise ProfileError(file, 0, 0, "no such file", reference_hint(path) + (
            "check the path, or record one" if follow else f"record one, or {other}")) from None
    source = parse_profile(text, file, host, name)
    source.check_enabled()
    return source


MAX_LINKS = 40  # MAXSYMLINKS in linux/namei.h


class OthersDecide(Exception):
    """Another user than those trusted may decide what a path leads to: `uid`, or -1 for all who may write there."""

    def __init__(self, uid: int):
        super().__init__(uid)
        self.uid = uid


class Trust(NamedTuple):
    """The user and the group who, beside root's, may decide what a path leads to."""

    uid: int
    gid: int

    def check(self, descriptor: int) -> None:
        """Raise OthersDecide if, by its owner or mode, another user may change this link or file, or what has a name
        in this folder.
        """
        status = os.fstat(descriptor)
        if status.st_uid not in (0, self.uid):
            raise OthersDecide(status.st_uid)
        writable = stat.S_IWOTH | (stat.S_IWGRP if status.st_gid not in (0, self.gid) else 0)
        is_sticky = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX
        if status.st_mode & writable and not is_sticky and not stat.S_ISLNK(status.st_mode):
            raise OthersDecide(-1)


def open_folder(path: str) -> int:
    """A descriptor (O_PATH) of this folder, unless another user's link leads to it.

    A link that another user but root has made, or may swap because it stands in that user's folder, may lead only to
    what is that user's: else whoever owns a folder on the way decides where root writes. The path is walked one name at
    a time, and each name is held while it is looked at, so that nothing can be exchanged between. Raises OSError.
    """
    return _walk(os.open("/" if path.startswith("/") else ".", os.O_PATH | os.O_DIRECTORY), path, [])


def open_trusted(path: str, trust: Trust) -> int:
    """A descriptor of this file, to read, as none but the trusted users may have put it there: each folder, each link
    and the file are looked at as open_folder() does. Raises OthersDecide, OSError.
    """
    folder = os.open(".", os.O_PATH | os.O_DIRECTORY)
    try:
        return _open_trusted(folder, path, [], trust)
    finally:
        close(folder)


def _open_trusted(start: int, path: str, links: list[str], trust: Trust) -> int:
    """The file that this path leads to from the folder `start`, see open_trusted()."""
    parent, name = os.path.split(path)
    folder = _walk(_first_folder(start, path), parent, links, trust)
    try:
        try:
            file = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW, dir_fd=folder)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            return _open_trusted(folder, _read_link(folder, name, links, trust), links, trust)
    finally:
        close(folder)
    try:
        trust.check(file)
    except OthersDecide:
        close(file)
        raise
    return file


def _read_link(folder: int, name: str, links: list[str], trust: Trust) -> str:
    """What a link in this folder says."""
    _count_link(name, links)
    link = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=folder)
    try:
        trust.check(link)
        return os.readlink("", dir_fd=link)
    finally:
        close(link)


def _first_folder(start: int, path: str) -> int:
    """A new descriptor of the folder that a path which is named in the folder `start` goes out from."""
    return os.open("/", os.O_PATH | os.O_DIRECTORY) if path.startswith("/") else os.dup(start)


def _count_link(name: str, links: list[str]) -> None:
    links.append(name)
    if len(links) > MAX_LINKS:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _walk(folder: int, path: str, links: list[str], trust: Trust | None = None) -> int:
    """The folder that this path leads to from `folder`, a descriptor, which it takes over."""
    try:
        if trust:
            trust.check(folder)
        for name in path.split("/"):
            if name in ("", "."):
                continue
            step = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=folder)
            if stat.S_ISLNK(os.fstat(step).st_mode):
                try:
                    reached = _follow(folder, name, step, links, trust)
                finally:
                    close(step)
                step = reached
            close(folder)
            folder = step
            if trust:
                trust.check(folder)
        if not stat.S_ISDIR(os.fstat(folder).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        return folder
    except BaseException:
        close(folder)
        raise


def _follow(folder: int, name: str, link: int, links: list[str], trust: Trust | None) -> int:
    """The folder that a link leads to; `link` is a descriptor of the link itself."""
    _count_link(name, links)
    if trust:
        trust.check(link)
    strangers = {os.fstat(each).st_uid for each in (link, folder)} - {0, os.geteuid()}
    target = os.readlink("", dir_fd=link)
    if not strangers and _is_in_proc(link):  # such a link is more than its text: /proc/PID/root, say
        return os.open(name, os.O_PATH | os.O_DIRECTORY, dir_fd=folder)
    reached = _walk(_first_folder(folder, target), target, links, trust)
    if strangers - {os.fstat(reached).st_uid}:
        close(reached)
        raise PermissionError(errno.EACCES, f"{name} is a link of user {min(strangers)} to what is not that user's")
    return reached


def _is_in_proc(descriptor: int) -> bool:
    with contextlib.suppress(OSError):
        return os.fstat(descriptor).st_dev == os.stat("/proc").st_dev
    return False


def make_folder(path: str, owner: tuple[int, int] | None) -> None:
    """Make a folder, if it is not there, as give_to() says. Raises OSError."""
    path = path.rstrip("/") or "/"
    parent = open_folder(os.path.dirname(path) or ".")
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(os.path.basename(path), 0o777, dir_fd=parent)
            folder = os.open(os.path.basename(path), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
            try:
                give_to(folder, parent, owner)
            finally:
                close(folder)
    finally:
        close(parent)


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """Hold all signals back, for the moments in which a file has a name that must not stay."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def give_to(descriptor: int, folder: int, owner: tuple[int, int] | None) -> None:
    """Give a new file to the owner (uid, gid), if there is one, where the folder is that user's, or for all as /tmp is.

    A file system may know no owners, as vfat does not.
    """
    status = os.fstat(folder)
    if owner and (status.st_uid == owner[0] or status.st_mode & 0o1002 == 0o1002):
        with contextlib.suppress(PermissionError):
            os.fchown(descriptor, *owner)


def mount_of(path: str, folder: int) -> str:
    """The line of fdinfo for the mount that a file is on, or that is on the file; empty without /proc."""
    descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW, dir_fd=folder)
    try:
        with open(f"/proc/self/fdinfo/{descriptor}", encoding="utf-8") as file:
            return next((line for line in file if line.startswith("mnt_id:")), "")
    except FileNotFoundError:
        return ""
    finally:
        close(descriptor)


def named_descriptor(path: str) -> int | None:
    """The open descriptor that this path names, None if it names a file."""
    names = {"-": 1, "/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}
    folder, name = os.path.split(os.path.normpath(path))
    if folder in ("/dev/fd", "/proc/self/fd") and name.isdecimal() and len(name) < 9:
        return int(name)
    return names.get(os.path.normpath(path))


# What our texts begin with; the last is libseccomp's (src/gen_pfc.c).
OWN_JSON = b'{\n  "defaultAction": "SCMP_ACT_'
OWN_STARTS = f"apiVersion: {API_VERSION}\nkind: {KIND}\n".encode(), b"#\n# pseudo filter code start\n#\n"
# A compiled filter first loads the architecture (BPF_LD | BPF_W | BPF_ABS; struct sock_filter in linux/filter.h).
FILTER_START = (0x20).to_bytes(2, sys.byteorder) + bytes(2) + (4).to_bytes(4, sys.byteorder)
PAGE_TITLE_END = b": seccomp profile</title>\n"
EVENT_START = b'{"time": '


def is_own(data: bytes) -> bool:
    """Does it look like what these commands write, and nothing more?"""
    if data.startswith(OWN_JSON):
        return data.count(b"\n}") == 1 and data.endswith(b"\n}\n")
    if data.startswith(OWN_STARTS):
        return b"\n---" not in data and b"\n..." not in data
    if data.startswith(b"[Service]\n"):
        return all(line.startswith(b"SystemCall") for line in data.splitlines()[1:])
    return data.startswith(FILTER_START) and len(data) % 8 == 0 or data.startswith(
        b"<!DOCTYPE html>\n") and PAGE_TITLE_END in data


def reason_to_keep(data: bytes, path: str) -> str:
    """Why what a file holds is not to be replaced; "" if it may be."""
    if len(data) > MAX_PROFILE_BYTES:
        return f"it is no profile, being larger than {MAX_PROFILE_BYTES >> 20} MiB"
    if not data.strip() or is_own(data):
        return ""
    if b"defaultAction" not in data and KIND.encode() not in data:
        return "it is no profile"
    try:
        text = data.decode()
        parse_document(text, path)
    except UnicodeDecodeError:
        return "it is no profile"
    except ProfileError as error:
        if error.line:
            return f"it is no profile: {error.line}:{error.column}: {error.reason}"
        if len(list_objects(YamlReader(text, path))) > 1:
            return "it holds several documents, which would be lost"
        return "it is no profile"
    return ""


def open_for_reader(name: str, folder: int, path: str, limit_s: int = 10) -> int:
    """Open what stands there, and wait a while for who reads a fifo only once it is written to. Raises OSError."""
    due_s = 0.0
    while True:
        try:
            return os.open(name, os.O_WRONLY | os.O_NOFOLLOW | os.O_NOCTTY | os.O_NONBLOCK, dir_fd=folder)
        except OSError as error:
            if error.errno != errno.ENXIO or not stat.S_ISFIFO(os.lstat(name, dir_fd=folder).st_mode):
                raise
        if not due_s:
            Log.info(f"Waiting {limit_s} s for a reader of {path}")
            due_s = time.monotonic() + limit_s
        elif time.monotonic() >= due_s:
            raise OSError(errno.ENXIO, "it is a fifo that nobody reads")
        time.sleep(0.1)


class Target:
    """The file that a profile goes to: replaced whole or not at all, never through a symbolic link.

    Its folder is opened at once and held, so that everything happens in there, whatever becomes of the path. A fifo or
    a device is written to directly, and so are standard output and the other names of open descriptors.
    """

    PROBE_BYTES = 16 << 10
    LOCK_S = 3
    is_remote = False  # in a registry, see RegistryTarget

    def __init__(self, path: str, owner: tuple[int, int] | None = None, is_default: bool = False,
                 option: str = "-o", any_content: bool = False):
        """With `is_default` nobody has named this path: in /tmp it may be a trap that another user has laid. `option`
        names another. What holds something else than a profile is refused without `any_content`.
        """
        if is_reference(path):
            raise SpocError("write profile", path, f"{option} takes a file", f"name one, and {PROGRAM} push it")
        self.path, self.owner, self._option, self._any_content = path, owner, option, any_content
        self.name = os.path.basename(path)
        self.descriptor = named_descriptor(path)
        self.is_file = self.descriptor is None
        self.folder = -1
        if self.is_file:
            file, document = split_name(path)
            if document and os.path.isfile(file):
                raise SpocError("write profile", path, f"that is a document in {file}, and files are written whole",
                                f"choose another file with {option}")
            try:
                self.folder = open_folder(os.path.dirname(path) or ".")
                self._examine(is_default)
            except SpocError:
                self.close()
                raise
            except OSError as error:
                self.close()
                raise self._error(error) from None

    def _examine(self, is_default: bool) -> None:
        """See what stands at the path, and whether it is what may be replaced or written to."""
        folder = os.fstat(self.folder)
        if os.path.samestat(folder, os.stat(".")):
            os.getcwd()  # fails where it was removed, as O_TMPFILE does not on tmpfs and overlayfs
        if not folder.st_nlink:
            raise FileNotFoundError(errno.ENOENT, "the folder has been removed")
        try:
            status = os.lstat(self.name or ".", dir_fd=self.folder)
        except FileNotFoundError:
            return
        is_regular = stat.S_ISREG(status.st_mode)
        if is_default and not is_regular:
            raise FileExistsError(errno.EEXIST, "it is not a regular file")
        if is_default and status.st_uid not in (os.geteuid(), self.owner and self.owner[0]):
            raise FileExistsError(errno.EEXIST, f"it belongs to another user ({status.st_uid})")
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        # os.path.ismount() knows folders only.
        if is_regular and mount_of(self.name, self.folder) != mount_of(".", self.folder):
            raise OSError(errno.EBUSY, "it is mounted, and cannot be replaced")
        self.is_file = is_regular or stat.S_ISLNK(status.st_mode)
        self._check_content(status)

    def _check_content(self, status: os.stat_result) -> None:
        """Raise ReplaceError if the file holds something else than a profile; or OSError."""
        if stat.S_ISREG(status.st_mode) and status.st_size and not self._any_content:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
            with open(os.open(self.name, flags, dir_fd=self.folder), "rb", buffering=0) as file:
                reason = reason_to_keep(file.read(MAX_PROFILE_BYTES + 1), self.path)  # no more than makes it too large
            if reason:
                raise ReplaceError("write profile", self.path, reason,
                                   f"choose another file with {self._option}, or remove it first")

    def __enter__(self) -> Target:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self.folder >= 0:
            close(self.folder)
            self.folder = -1

    def _error(self, error: OSError) -> SpocError:
        hints = {**dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "free some space, or "), errno.EEXIST: "remove it, or ",
                 errno.ENOENT: reference_hint(self.path) + ("make the folder, or " if self.folder < 0 else "")}
        try:
            os.path.abspath(self.path)
        except FileNotFoundError:
            return SpocError("write profile", self.path, "the working folder has been removed", "give an absolute path")
        return SpocError("write profile", self.path, error,
                         hints.get(error.errno or 0, "") + f"choose another file with {self._option}")

    def require_file(self) -> None:
        """Raise SpocError where something else than a regular file stands at the path: a fifo has writers wait."""
        if not self.is_file:
            raise SpocError("write profile", self.path, "it is not a regular file", "name another")

    def check(self) -> None:
        """Raise what write() would raise, as far as that can be known before."""
        try:
            if self.is_file:
                self._probe()
            elif self.descriptor is not None or not stat.S_ISFIFO(os.lstat(self.name, dir_fd=self.folder).st_mode):
                with self._opened() as file:
                    os.write(file.fileno(), b"")  # EBADF where it cannot be written to
            elif not os.access(self.name, os.W_OK, dir_fd=self.folder):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except OSError as error:
            raise self._error(error) from None

    def exists(self) -> bool:
        """Does anything stand at the path?"""
        with contextlib.suppress(FileNotFoundError):
            os.lstat(self.name, dir_fd=self.folder)
            return True
        return False

    def untouched(self) -> str:
        """What to say of it where nothing was written."""
        return f"{self.path} is left as it was" if self.is_file and self.exists() else "no profile is written"

    def read(self) -> str:
        """The text of the file; "" if there is none yet. Raises ProfileError."""
        with contextlib.suppress(FileNotFoundError):
            return read_text(self.path, owner=self.owner, folder=self.folder,
                             other=f"choose another file with {self._option}")
        return ""

    def write(self, text: str | bytes) -> None:
        """Write the whole text; a failure leaves a regular file as it was."""
        data = text.encode() if isinstance(text, str) else text
        try:
            if self.is_file:
                self._replace(data)
            else:
                with self._opened() as file:
                    file.write(for_terminal(data) if self.is_terminal() else data)
        except OSError as error:
            raise self._error(error) from None

    def location(self) -> str:
        """The path or, if its folder was moved meanwhile, where the file is now."""
        moved = False
        if self.folder >= 0:
            try:
                moved = not os.path.samestat(os.stat(os.path.dirname(self.path) or "."), os.fstat(self.folder))
            except OSError:
                moved = True
        if moved:
            with contextlib.suppress(OSError):
                return os.path.join(os.readlink(f"/proc/self/fd/{self.folder}"), self.name)
        return self.path

    def is_terminal(self) -> bool:
        """Would a person see what is written?"""
        if self.descriptor is not None or self.is_file:
            return self.descriptor is not None and os.isatty(self.descriptor)
        status = os.stat(self.name, dir_fd=self.folder)
        return stat.S_ISCHR(status.st_mode) and status.st_rdev != os.makedev(1, 3)

    @contextlib.contextmanager
    def locked(self, wait: bool) -> Iterator[bool]:
        """Keep other recordings from appending in this folder; with a time limit, since any user can hold the lock.

        Yields whether the lock was taken. Where another process holds it, only with `wait` is there time for that.
        """
        try:
            folder = os.open(".", os.O_RDONLY, dir_fd=self.folder)
        except OSError as error:
            raise self._error(error) from None
        try:
            yield self._locks(folder, time.monotonic() + (self.LOCK_S if wait else 0))
        finally:
            close(folder)

    def _locks(self, folder: int, due_s: float) -> bool:
        while True:
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                if time.monotonic() >= due_s:
                    return False
            except OSError as error:
                raise SpocError("lock the folder of", self.path, error,
                                "choose a file on another file system with -o") from None
            time.sleep(0.1)

    def _opened(self) -> BinaryIO:
        if self.descriptor is not None:
            os.set_blocking(self.descriptor, True)  # a command may have left it otherwise
            return open(self.descriptor, "wb", closefd=False)
        file = open(open_for_reader(self.name, self.folder, self.path), "wb")
        os.set_blocking(file.fileno(), True)
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            file.close()
            raise OSError(errno.EEXIST, "it has become a regular file meanwhile")
        return file

    def _probe(self) -> None:
        """Write and drop a file of a profile's size beside the target, and see that the target may be replaced."""
        with contextlib.suppress(FileNotFoundError):
            folder, target = os.fstat(self.folder), os.lstat(self.name, dir_fd=self.folder)
            if folder.st_mode & stat.S_ISVTX and os.geteuid() not in (0, folder.st_uid, target.st_uid):
                raise PermissionError(errno.EPERM, "it is another user's, in a folder with the sticky bit")
            if stat.S_ISREG(target.st_mode):
                try:
                    close(os.open(self.name, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=self.folder))
                except OSError as error:  # no other error prevents that it is replaced
                    if error.errno == errno.EPERM:
                        raise PermissionError(errno.EPERM, "it is immutable or append-only (chattr)") from None
        with signals_held(), open(self._create_unnamed() or self._create_unlinked(), "wb") as file:
            file.write(bytes(self.PROBE_BYTES))

    def _create_unnamed(self) -> int:
        """A new file without a name; 0 where there is none: that takes the file system and, to name it later, /proc."""
        if not os.path.exists("/proc/self/fd"):
            return 0
        try:
            return os.open(".", os.O_TMPFILE | os.O_WRONLY, 0o600, dir_fd=self.folder)
        except OSError as error:
            if error.errno in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
                return 0
            raise

    def _create(self) -> tuple[str, int]:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        while True:
            name = self._new_name()
            with contextlib.suppress(FileExistsError):
                return name, os.open(name, flags, 0o600, dir_fd=self.folder)

    def _create_unlinked(self) -> int:
        name, descriptor = self._create()
        os.unlink(name, dir_fd=self.folder)
        return descriptor

    @staticmethod
    def _new_name() -> str:
        return f".spoc.{os.urandom(6).hex()}"

    def _set_owner_and_mode(self, descriptor: int) -> None:
        """As the file of our own that is replaced has them; else as a new file gets them."""
        with contextlib.suppress(FileNotFoundError):
            status = os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)
            if stat.S_ISREG(status.st_mode) and status.st_uid in (os.geteuid(), self.owner and self.owner[0]):
                with contextlib.suppress(PermissionError):
                    os.fchown(descriptor, status.st_uid, status.st_gid)
                os.fchmod(descriptor, status.st_mode & 0o777)
                return
        give_to(descriptor, self.folder, self.owner)
        os.fchmod(descriptor, 0o644 & ~current_umask())  # `run` takes none that others may write to

    def _fill(self, file: BinaryIO, data: bytes) -> None:
        file.write(data)
        file.flush()
        self._set_owner_and_mode(file.fileno())
        os.fsync(file.fileno())

    def _replace(self, data: bytes) -> None:
        """Write a file beside the target and put it in the target's place.

        It gets its name last, so that not even SIGKILL leaves it behind. Where it must have one from the start, other
        signals wait.
        """
        unnamed = self._create_unnamed()
        if unnamed:
            with open(unnamed, "wb") as file:
                self._fill(file, data)
                with signals_held():
                    name = self._new_name()
                    os.link(f"/proc/self/fd/{unnamed}", name, dst_dir_fd=self.folder)  # it never replaces a file
                    with self._renamed(name):
                        pass
        else:
            with signals_held():
                name, named = self._create()
                with self._renamed(name), open(named, "wb") as file:
                    self._fill(file, data)
        with contextlib.suppress(OSError):  # some file systems cannot fsync a folder, and the profile is there
            readable = os.open(".", os.O_RDONLY, dir_fd=self.folder)
            try:
                os.fsync(readable)
            finally:
                close(readable)

    @contextlib.contextmanager
    def _renamed(self, name: str) -> Iterator[None]:
        """Give the file of this name the target's at the end; remove it if that fails."""
        try:
            yield
            with contextlib.suppress(FileNotFoundError):  # the command, or an editor, may have written there meanwhile
                self._check_content(os.lstat(self.name, dir_fd=self.folder))
            os.rename(name, self.name, src_dir_fd=self.folder, dst_dir_fd=self.folder)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=self.folder)
            raise


class EventsFile:
    """Where events go while a command runs, a line of JSON each.

    It is opened at once. An old file is emptied only with the first event or when the command begins, and a new one is
    removed if neither comes. A slow reader of a pipe delays neither the command nor signals: lines wait here.
    """

    MAX_WAITING_BYTES = 1 << 20

    def __init__(self, path: str, owner: tuple[int, int] | None = None):
        self.path, self._begun, self._created = path, False, False
        self._folder, self._descriptor, self._waiting = -1, -1, b""
        self._poll = select.poll()
        try:
            named = named_descriptor(path)
            if named is not None:
                self._descriptor = os.dup(named)
            else:
                self._folder = open_folder(os.path.dirname(path) or ".")
                self._descriptor = self._open(os.path.basename(path), owner)
        except OSError as error:
            self.close()
            reason = "is a symbolic link" if error.errno == errno.ELOOP else error.strerror or str(error)
            hints = {errno.ENOENT: "make the folder, or ", errno.EEXIST: "remove it first, or "}
            hint = hints.get(error.errno or 0, "")
            raise SpocError("write events", path, reason, f"{hint}choose another file with --events") from None
        self._poll.register(self._descriptor, select.POLLOUT)

    def _open(self, name: str, owner: tuple[int, int] | None) -> int:
        flags = os.O_WRONLY | os.O_NOFOLLOW | os.O_NOCTTY
        try:
            descriptor = os.open(name, flags | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=self._folder)
            self._created = True
            give_to(descriptor, self._folder, owner)
            return descriptor
        except FileExistsError:
            descriptor = os.open(name, flags | os.O_NONBLOCK, dir_fd=self._folder)  # a fifo without a reader fails
        os.set_blocking(descriptor, True)
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode) and (
                status.st_nlink > 1 or status.st_uid not in (os.geteuid(), (owner or (0,))[0])):
            close(descriptor)
            raise PermissionError(errno.EPERM, "it is another user's, or has several names")
        if stat.S_ISREG(status.st_mode) and status.st_size and not self._holds_events(name):
            close(descriptor)
            raise FileExistsError(errno.EEXIST, "it holds something else than events")
        return descriptor

    def _holds_events(self, name: str) -> bool:
        """Does the file begin with one?"""
        reading = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=self._folder)
        try:
            return os.read(reading, len(EVENT_START)) == EVENT_START
        finally:
            close(reading)

    def begin(self) -> None:
        """The command has begun: empty the file of what it held before."""
        if not self._begun:
            self._begun = True
            if self._folder >= 0 and stat.S_ISREG(os.fstat(self._descriptor).st_mode):
                os.ftruncate(self._descriptor, 0)

    def write(self, line: bytes) -> None:
        """Write the line, or keep it until there is room. Raises OSError."""
        self.begin()
        self._waiting += line
        self._flush(0)
        if len(self._waiting) > self.MAX_WAITING_BYTES:
            raise OSError(errno.EAGAIN, "nobody reads them")

    def finish(self, limit_ms: int | None) -> None:
        """Write what waits, with a limit only as long as somebody reads, and close the file. Raises OSError, which NFS
        may have kept for the end (close(2)).
        """
        self._flush(limit_ms)
        if self._waiting:
            raise OSError(errno.EAGAIN, "nobody reads them")
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)

    def _flush(self, timeout_ms: int | None) -> None:
        while self._waiting and self._poll.poll(timeout_ms):
            # A pipe that can be written to has room for that much (pipe(7)).
            written = os.write(self._descriptor, self._waiting[:select.PIPE_BUF])
            self._waiting = self._waiting[written:]

    def close(self) -> None:
        if self._created and not self._begun:
            with contextlib.suppress(OSError):
                os.unlink(os.path.basename(self.path), dir_fd=self._folder)
        for descriptor in {self._descriptor, self._folder} - {-1}:
            close(descriptor)
        self._descriptor = self._folder = -1


def type_of_name(path: str) -> str:
    """The type of a profile that is to be written there, by the name's extension; "" if that says nothing."""
    return "" if is_reference(path) else TYPE_OF_EXTENSION.get(os.path.splitext(path)[1].lower(), "")


def written_type(path: str) -> str:
    """The same for what can write a drop-in as well."""
    is_drop_in = not is_reference(path) and path.lower().endswith(DROP_IN_EXTENSION)
    return TYPE_SYSTEMD if is_drop_in else type_of_name(path)


def warn_of_name(path: str, content_type: str) -> None:
    """Say where the name of an output file promises another format than it gets."""
    formats = {TYPE_CRD: "YAML", TYPE_JSON: "JSON", TYPE_SYSTEMD: "a drop-in"}
    is_page = not is_reference(path) and path.lower().endswith((".html", ".htm"))
    promised = "HTML" if is_page else formats.get(written_type(path), "")
    content = formats.get(content_type, content_type)
    if promised and promised != content:
        Log.warning(f"{path} is named like {promised}, but gets {content}"
                    + (f"; {PROGRAM} show --html makes a page of a profile" if is_page else ""))


def is_foreign(path: str, owner: tuple[int, int] | None) -> bool:
    """Is the file another user's than this one, or the one that the command runs as?"""
    with contextlib.suppress(OSError):
        return os.lstat(path).st_uid not in (os.geteuid(), owner and owner[0])
    return False


def default_target(path: str, owner: tuple[int, int] | None, adds: bool = False) -> Target:
    """The file for a profile without -o: this one in /tmp or, where that is another user's, the working folder's."""
    if is_foreign(path, owner):
        here = os.path.basename(path)
        Log.warning(f"{path} belongs to another user ({os.lstat(path).st_uid}): writing to {here} instead")
        path = here
    return Target(path, owner, is_default=True, any_content=adds)


def default_profile(owner: tuple[int, int] | None) -> str:
    """The profile of run without -p, which is where record writes without -o."""
    for path in filter(os.path.lexists, DEFAULT_OUTPUT.values()):
        here = os.path.basename(path)
        if not is_foreign(path, owner):
            return path
        if os.path.lexists(here):
            Log.warning(f"{path} belongs to another user ({os.lstat(path).st_uid}): reading {here} instead")
            return here
    return next(filter(os.path.lexists, DEFAULT_OUTPUT.values()), DEFAULT_OUTPUT[TYPE_CRD])


def file_identity(path: str, descriptor: int) -> tuple[object, ...] | None:
    """What is equal for all paths of one file; None for what may be read and written at once, a terminal say. The path
    - stands for `descriptor`.
    """
    try:
        status = os.fstat(descriptor) if path == "-" else os.stat(path)
    except OSError:
        folder, name = os.path.split(path)
        try:
            status = os.stat(folder or ".")
        except OSError:
            return None
        return status.st_dev, status.st_ino, name
    shared = stat.S_ISREG(status.st_mode) or stat.S_ISFIFO(status.st_mode)
    return (status.st_dev, status.st_ino) if shared else None


def check_written(option: str, path: str, read: Iterable[tuple[str, str]] = (),
                  written: Iterable[tuple[str, str]] = ()) -> None:
    """Raise UsageError if what an option names for output is one of these other files (what names it, path) as well."""
    identity = file_identity(path, 1)
    for descriptor, others in ((0, read), (1, written)):  # what - stands for
        for other, its_path in others:
            if identity and identity == file_identity(split_name(its_path)[0], descriptor):
                raise UsageError(f"{option} {path}", f"it is the file that {other} names", "choose another file")


def current_umask() -> int:
    """The process's umask, which can only be read by setting it."""
    umask = os.umask(0o077)
    os.umask(umask)
    return umask

# --- Registry ----------------------------------------------------------------


MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
MANIFEST_TYPES = (MANIFEST_TYPE, "application/vnd.docker.distribution.manifest.v2+json")
INDEX_TYPES = (INDEX_TYPE, "application/vnd.docker.distribution.manifest.list.v2+json")
ACCEPTED = {"Accept": ", ".join((*MANIFEST_TYPES, *INDEX_TYPES))}
IMAGE_CONFIG_TYPES = ("application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json")
# The runtime format, which container runtimes read (Kubernetes' KEP-6061), is known by its config's media type.
RUNTIME_TYPE = "application/vnd.cncf.seccomp-profile.config.v1+json"
RUNTIME_LAYER_TYPE, RUNTIME_TITLE = "application/json", "profile.json"
# The CRD format is what oras makes of plain files (internal/pkg/artifact of SPO; pack.go and content/file of oras-go).
CRD_ARTIFACT_TYPE = "application/vnd.unknown.config.v1+json"
CRD_LAYER_TYPE, CRD_TITLE = "application/vnd.oci.image.layer.v1.tar", "profile.yaml"
ARTIFACT_RUNTIME, ARTIFACT_CRD = "runtime", "crd"  # the values of push -t
EMPTY_TYPE, EMPTY_CONFIG = "application/vnd.oci.empty.v1+json", b"{}"
TITLE, CREATED = "org.opencontainers.image.title", "org.opencontainers.image.created"
EPOCH = "1970-01-01T00:00:00Z"
RFC_3339 = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[-+][0-9]{2}:[0-9]{2})"
SHA256 = r"sha256:[0-9a-f]{64}"

MAX_LAYERS = 128  # maxArtifactLayers of SPO, for the manifests of an index as well
# ValidateArtifact of kubernetes-sigs/security-profiles-merger (seccomp/validate.go), which runtimes and SPO call. Each
# entry that is written here loads one rule, so that its limit of 256 rules for a syscall is never reached.
MAX_RUNTIME_ENTRIES = 128  # that name one syscall
MAX_RUNTIME_NAMES = 1024  # in one entry
MAX_RUNTIME_RULES = 16384
RUNTIME_FLAGS = ("SECCOMP_FILTER_FLAG_LOG", SPEC_ALLOW)
# Operators of two conditions on one value, of which always exactly one holds.
COMPLEMENTS = ({"SCMP_CMP_EQ", "SCMP_CMP_NE"}, {"SCMP_CMP_LT", "SCMP_CMP_GE"}, {"SCMP_CMP_LE", "SCMP_CMP_GT"})
# How the Go language, and so OCI, calls architectures (go/src/internal/syslist).
OCI_ARCHITECTURES = {
    "SCMP_ARCH_X86_64": "amd64", "SCMP_ARCH_X86": "386", "SCMP_ARCH_AARCH64": "arm64", "SCMP_ARCH_ARM": "arm",
    "SCMP_ARCH_RISCV64": "riscv64", "SCMP_ARCH_PPC64LE": "ppc64le", "SCMP_ARCH_S390X": "s390x",
    "SCMP_ARCH_LOONGARCH64": "loong64", "SCMP_ARCH_MIPSEL64": "mips64le"}
# A variant that goes without saying, and the one that is meant where none is given, as containerd has it.
DEFAULT_VARIANTS = {("arm64", "v8"): "", ("amd64", "v1"): "", ("arm", ""): "v7"}


class Platform(NamedTuple):
    """What a profile in a registry is for."""

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""

    def __str__(self) -> str:
        """As parse_platform() takes it."""
        name = "/".join(part for part in (self.os, self.architecture, self.variant) if part)
        return f"{name}:{self.os_version}" if self.os_version else name

    @property
    def normal(self) -> Platform:
        """The form in which equal platforms are equal."""
        variant = DEFAULT_VARIANTS.get((self.architecture, self.variant), self.variant)
        return self._replace(variant=variant)

    @property
    def title(self) -> str:
        """The name of the layer that holds a profile for it in the CRD format."""
        return "-".join(("profile", *(part for part in self if part))) + ".yaml"


def parse_platform(text: str) -> Platform:
    """OS/ARCH[/VARIANT][:OS_VERSION], as oras and SPO's spoc have it. Raises UsageError."""
    name, colon, os_version = text.partition(":")
    parts = name.split("/")
    if len(parts) not in (2, 3) or not all(parts) or bool(colon) != bool(os_version):
        raise UsageError(f"-p {text}", "is no platform", "give OS/ARCH[/VARIANT], linux/arm64 for example")
    return Platform(parts[0], parts[1], parts[2] if len(parts) == 3 else "", os_version)


def platform_of(host: Host) -> Platform:
    """The platform whose profiles a machine takes."""
    name = host.architecture.replace("SCMP_ARCH_", "").lower()
    return Platform("linux", OCI_ARCHITECTURES.get(host.architecture, name))


def sha256_of(data: bytes) -> str:
    """The digest by which a registry knows these bytes."""
    import hashlib
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Descriptor(NamedTuple):
    """What a manifest says of a blob, or an index of a manifest (descriptor.md of the image specification)."""

    media_type: str
    size_bytes: int
    digest: str
    title: str = ""
    platform: Platform | None = None

    def document(self) -> dict[str, Any]:
        """Its keys in the order in which Go programs write them, for digests depend on it."""
        document: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size_bytes}
        if self.title:
            document["annotations"] = {TITLE: self.title}
        if self.media_type == EMPTY_TYPE:
            document["data"] = "e30="  # EMPTY_CONFIG in base64, which oras repeats there
        if self.platform:
            document["platform"] = {"architecture": self.platform.architecture, "os": self.platform.os}
            if self.platform.os_version:
                document["platform"]["os.version"] = self.platform.os_version
            if self.platform.variant:
                document["platform"]["variant"] = self.platform.variant
        return document


class Blob(NamedTuple):
    """Bytes in a registry."""

    media_type: str
    data: bytes
    title: str = ""
    platform: Platform | None = None

    @property
    def digest(self) -> str:
        return sha256_of(self.data)

    @property
    def descriptor(self) -> Descriptor:
        return Descriptor(self.media_type, len(self.data), self.digest, self.title, self.platform)


class Artifact(NamedTuple):
    """A profile as a registry holds it: its manifest (MANIFEST_TYPE), and the blobs that have to be there before."""

    manifest: bytes
    blobs: tuple[Blob, ...]

    @property
    def digest(self) -> str:
        return sha256_of(self.manifest)


def parse_annotations(given: Iterable[str], epoch: str = "") -> dict[str, str]:
    """The annotations of a manifest: KEY:VALUE each, and when it was made: `epoch` (SOURCE_DATE_EPOCH, in seconds), or
    no time in particular, so that a profile has the same digest whenever it is pushed. Raises UsageError.
    """
    annotations: dict[str, str] = {}
    for text in map(spell_name, given):
        key, colon, value = text.partition(":")
        if not key.strip() or not colon:
            raise UsageError(f"-a {text}", "is no annotation", "give KEY:VALUE")
        if annotations.setdefault(key, value) != value:
            raise UsageError(f"-a {text}", f"{key} is given another value as well", "leave one of them out")
    if CREATED not in annotations:
        try:
            annotations[CREATED] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(int(epoch))) if epoch else EPOCH
        except (ValueError, OverflowError, OSError):
            raise UsageError(f"SOURCE_DATE_EPOCH={epoch}", "is no number of seconds", "unset it") from None
    if not compiled(RFC_3339).fullmatch(annotations[CREATED]):
        raise UsageError(f"{CREATED}: {annotations[CREATED]}", "is no time as RFC 3339 has it", f"give {EPOCH}, say")
    return annotations


def make_artifact(artifact_type: str, config: Blob, layers: Sequence[Blob], annotations: dict[str, str]) -> Artifact:
    """The manifest of these layers: byte for byte what oras, and so SPO, writes for the same."""
    import json
    text = json.dumps({
        "schemaVersion": 2, "mediaType": MANIFEST_TYPE, "artifactType": artifact_type,
        "config": config.descriptor.document(), "layers": [layer.descriptor.document() for layer in layers],
        "annotations": dict(sorted(annotations.items()))}, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":  # as encoding/json of Go escapes them
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Artifact(text.encode(), (config, *layers))


def are_exclusive(rules: Iterable[Rule], default: Verdict) -> bool:
    """Is no call met by two rules for one syscall that answer differently, in what libseccomp makes of them?

    As safeShape of the merger has it: sure are only values that differ in their lower 32 bits, for some architectures
    compare no more, and a condition with its opposite.
    """
    answers = {(rule.verdict, tuple(each for each in rule.conditions if each.op != "SCMP_CMP_MASKED_EQ" or each.value))
               for rule in rules if rule.verdict != default}
    if len({verdict for verdict, _ in answers}) < 2:
        return True
    conditions = [each for _, listed in answers for each in listed]
    if {len(listed) for _, listed in answers} != {1} or len({each.argument for each in conditions}) > 1:
        return False
    operators = {each.op for each in conditions}
    if operators == {"SCMP_CMP_EQ"}:
        return len({each.value & MASK_32 for each in conditions}) == len(conditions)
    return len(conditions) == 2 and operators in COMPLEMENTS and conditions[0].value == conditions[1].value


def runtime_lacks(source: LoadedProfile) -> Iterator[tuple[str, str, str]]:
    """What the runtime format does not take of a profile: the key, why not and, if it is a rule's, a syscall."""
    profile = source.profile
    for key in EXTRA_KEYS:
        if source.spec.get(key):
            yield key, ("the profile that it names has to be united with this one before" if key == "baseProfileName"
                        else "a listener belongs to a node, and not to what all nodes get"), ""
    if profile.default_action == SCMP_ACT_NOTIFY:
        yield "defaultAction", f"{SCMP_ACT_NOTIFY} needs a listener on the node", ""
    for flag in profile.flags or ():
        if flag not in RUNTIME_FLAGS:
            yield "flags", f"{flag} is none of {', '.join(RUNTIME_FLAGS)}", ""
    counts: collections.Counter[str] = collections.Counter()
    total = 0
    for rule in profile.rules:
        counts.update(rule.names)
        total += len(rule.names) if rule.verdict != profile.default else 0
        if rule.names and rule.action == SCMP_ACT_NOTIFY:
            yield "action", f"{SCMP_ACT_NOTIFY} needs a listener on the node", rule.names[0]
        if "" in rule.names:
            yield "names", "an empty name is no syscall's", ""
        if len(rule.names) > MAX_RUNTIME_NAMES:
            yield "names", f"{len(rule.names)} in one rule are more than {MAX_RUNTIME_NAMES}", rule.names[0]
    for name, count in sorted(counts.items()):
        if count > MAX_RUNTIME_ENTRIES:
            yield "names", f"{count} rules for one syscall are more than {MAX_RUNTIME_ENTRIES}", name
    if total > MAX_RUNTIME_RULES:
        yield "syscalls", f"{total} rules are more than {MAX_RUNTIME_RULES}", ""
    for names, rules in names_by_rules(profile):
        if names and not are_exclusive(rules, profile.default):
            yield "action", "its rules contradict each other where both apply", min(names)


def runtime_artifact(source: LoadedProfile, annotations: dict[str, str]) -> Artifact:
    """A profile in the runtime format: OCI JSON in one normal form, whatever dialect it was written in. Raises
    ProfileError for what that may not hold.
    """
    for key, reason, name in runtime_lacks(source):
        raise ProfileError(*source.place_of(key, name), f"{name and name + ': '}{key}: not in the runtime format: "
                           f"{reason}", "change the profile, or push it as YAML with -t crd")
    text = format_profile(source.profile, TYPE_JSON, "")
    return make_artifact(RUNTIME_TYPE, Blob(RUNTIME_TYPE, EMPTY_CONFIG),
                         [Blob(RUNTIME_LAYER_TYPE, text.encode(), RUNTIME_TITLE)], annotations)


def crd_artifact(profiles: Sequence[tuple[Platform | None, bytes]], annotations: dict[str, str]) -> Artifact:
    """Profiles in the CRD format: YAML as it is, a layer for each platform; None stands for all others."""
    platforms = [platform and platform.normal for platform, _ in profiles]
    for platform in platforms:
        if platforms.count(platform) > 1:
            raise UsageError(f"-p {platform}" if platform else "-f", "two profiles are for that platform" if platform
                             else "two profiles are for no platform in particular", "give each -f another -p")
    layers = [Blob(CRD_LAYER_TYPE, text, platform.title if platform else CRD_TITLE, platform)
              for platform, text in profiles]
    layers.sort(key=lambda layer: layer.title)
    return make_artifact(CRD_ARTIFACT_TYPE, Blob(EMPTY_TYPE, EMPTY_CONFIG), layers, annotations)


class Manifest(NamedTuple):
    """What a registry says of an artifact, or of those for several platforms: then it is an index."""

    reference: str  # what errors name
    media_type: str
    artifact_type: str
    config_type: str
    parts: tuple[Descriptor, ...]  # layers, or the manifests of an index

    @property
    def is_index(self) -> bool:
        return self.media_type in INDEX_TYPES

    def fail(self, reason: str, hint: str = "check the reference") -> NoReturn:
        raise SpocError("read profile", self.reference, reason, hint)

    def fail_for(self, platform: Platform) -> NoReturn:
        """Raise SpocError: none of the parts is for this platform."""
        names = {str(part.platform or part.title or part.digest)[:80] for part in self.parts}
        others = sorted(names)
        more = f" and {len(others) - 8} more" if len(others) > 8 else ""
        self.fail(f"holds no profile for {platform}, but {', '.join(others[:8]) or 'nothing'}{more}",
                  "choose one with -p")

    def checked(self, part: Descriptor, limit_bytes: int) -> Descriptor:
        """A part that was chosen, unless it can be no profile."""
        name = f"{part.title or part.digest:.100}"
        if part.size_bytes > limit_bytes:
            self.fail(f"{name} has {part.size_bytes} bytes, more than {limit_bytes}", "is this a profile?")
        if part.media_type.endswith(("gzip", "zstd")):
            self.fail(f"{name} is packed ({part.media_type:.100}), and so no profile")
        return part


def parse_manifest(data: bytes, reference: str, content_type: str = "") -> Manifest:
    """A manifest or an index, which a stranger may have made, and the type that came with it. Raises SpocError."""
    import json
    given = content_type.partition(";")[0].strip()
    empty = Manifest(reference, given, "", "", ())
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        empty.fail(f"its manifest is no JSON: {error}")
    if not isinstance(document, dict) or document.get("schemaVersion") != 2:
        empty.fail(f"its manifest is no profile's, but of type {given or 'unknown'}")
    key, other, kinds = ("layers", "manifests", MANIFEST_TYPES)
    if "manifests" in document:
        key, other, kinds = ("manifests", "layers", INDEX_TYPES)
    kind = document.get("mediaType") or kinds[0]
    if kind not in kinds:
        empty.fail(f"its manifest is no profile's, but of type {kind!s:.100}")
    if other in document or given not in (kind, "", "application/json"):  # readers would differ about it
        empty.fail("its manifest is of two types at once")
    parts, config = document.get(key), document.get("config")
    if not isinstance(parts, list):
        empty.fail(f"its manifest has no list of {key}")
    if len(parts) > MAX_LAYERS:
        empty.fail(f"its manifest has {len(parts)} {key}, more than {MAX_LAYERS}")
    try:
        return Manifest(reference, kind, string_of(document, "artifactType"),
                        "" if config is None else parse_descriptor(config).media_type,
                        tuple(map(parse_descriptor, parts)))
    except ValueError as error:
        empty.fail(f"its manifest makes no sense: {error}")


def string_of(document: Any, key: str) -> str:
    """The string at a key; "" if there is none. Raises ValueError."""
    if document is None:
        return ""
    if not isinstance(document, dict):
        raise ValueError(f"{document!r:.60} stands for a mapping")
    value = document.get(key)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{key}: {value!r:.60} stands for a string")
    return value or ""


def parse_descriptor(document: Any) -> Descriptor:
    """A descriptor in a manifest. Raises ValueError."""
    media_type, digest = string_of(document, "mediaType"), string_of(document, "digest")
    if not compiled(SHA256).fullmatch(digest):
        raise ValueError(f"digest: {digest!r:.60} is no sha256:...")
    size = document.get("size")
    if type(size) is not int or not 0 <= size <= MASK_64:
        raise ValueError(f"size: {size!r:.60} is no number of bytes")
    given = document.get("platform")
    platform = None if given is None else Platform(*(
        string_of(given, key) for key in ("os", "architecture", "variant", "os.version")))
    return Descriptor(media_type, size, digest, string_of(document.get("annotations"), TITLE), platform)


def choose_manifest(index: Manifest, platform: Platform) -> Descriptor:
    """The manifest for a platform in an index; one without a platform is for all, if it is the only one. Raises
    SpocError.
    """
    fitting = [part for part in index.parts if part.platform and part.platform.normal == platform.normal]
    if len(index.parts) == 1 and not index.parts[0].platform:
        fitting = list(index.parts)
    if not fitting:
        index.fail_for(platform)
    if fitting[0].media_type not in MANIFEST_TYPES:
        index.fail(f"its index leads to no manifest, but to what is of type {fitting[0].media_type:.100}")
    return index.checked(fitting[0], MAX_MANIFEST_BYTES)


def choose_layer(manifest: Manifest, platform: Platform, limit_bytes: int = MAX_PROFILE_BYTES) -> Descriptor:
    """The layer of a manifest with the profile for a platform, by the rules of selectLayer (internal/pkg/artifact of
    SPO). Raises SpocError.
    """
    layers = manifest.parts
    if RUNTIME_TYPE in (manifest.config_type, manifest.artifact_type):
        if len(layers) != 1:
            manifest.fail(f"has {len(layers)} layers, but a profile in the runtime format has one")
        return manifest.checked(layers[0], limit_bytes)
    if manifest.config_type in IMAGE_CONFIG_TYPES:
        manifest.fail("is a container image, and no profile")
    fitting = [layer for layer in layers if (
        layer.platform.normal == platform.normal if layer.platform else layer.title == platform.title)]
    for title in (CRD_TITLE, RUNTIME_TITLE):
        fitting += [layer for layer in layers if not layer.platform and layer.title == title]
    is_bound = len(layers) != 1 or layers[0].platform or (
        layers[0].title.startswith("profile-") and layers[0].title.endswith(".yaml"))
    if not fitting and not is_bound:
        fitting = list(layers)
    if not fitting:
        manifest.fail_for(platform)
    return manifest.checked(fitting[0], limit_bytes)


def check_blob(descriptor: Descriptor, data: bytes, reference: str) -> None:
    """Raise SpocError unless these bytes are what the descriptor says."""
    if len(data) != descriptor.size_bytes:
        raise SpocError("read profile", reference, f"{descriptor.digest} came with {len(data)} bytes, and has "
                        f"{descriptor.size_bytes}", "try again")
    if sha256_of(data) != descriptor.digest:
        raise SpocError("read profile", reference, f"what came for {descriptor.digest} is {sha256_of(data)}",
                        "tell whoever runs the registry")


DEFAULT_TAG = "latest"
# The grammar of github.com/distribution/reference, and of distribution-spec's spec.md ("Pulling manifests").
HOST_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
HOST_PATTERN = rf"(?:\[[0-9A-Fa-f:.]+\]|{HOST_LABEL}(?:\.{HOST_LABEL})*)(?::[0-9]{{1,5}})?"
NAME_PATTERN = "[a-z0-9]+(?:(?:[.]|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[.]|_|__|-+)[a-z0-9]+)*)*"
TAG_PATTERN = "[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
TAG_WILDCARDS = "[A-Za-z0-9_*?][A-Za-z0-9._*?-]{0,127}"
DISTRUST = "do not trust the registry, or what is between"
MAX_NAME = 255  # characters of host and name: many registries take no more

MAX_MANIFEST_BYTES = 4 << 20  # distribution-spec: what a registry should take at least
MAX_TOKEN_BYTES = 1 << 20  # of a token service's answer, of a password, of a file with logins
MAX_HEADER_BYTES = 1 << 20  # beside what is asked for: headers, framing of chunks
MAX_REFUSAL_BYTES = 8 << 10  # of an answer that is an error: no more is read
TOKEN = "[A-Za-z0-9._~+/=-]{1,65536}"  # b64token of RFC 6750
MAX_REDIRECTS, MAX_PAGES, MAX_TAGS = 5, 1000, 100_000

CONNECT_S = 10.0  # for each address of a host
IDLE_S = 30.0  # without a byte
REQUEST_S = 60.0  # for a request and its answer, beside what it transfers at SLOWEST_BYTES_S
SLOWEST_BYTES_S = 64 << 10
OPERATION_S = 600.0  # for one push, pull or list of tags: all its requests, and the pauses between them
HELPER_S = 30.0
ATTEMPTS = 5
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 60.0
RETRIED = (429, 500, 502, 503, 504)


class Reference(NamedTuple):
    """HOST[:PORT]/NAME[:TAG][@DIGEST]: what names a profile in a registry."""

    host: str  # with :PORT where one is given
    repository: str
    tag: str  # "" if only the digest says which
    digest: str

    @property
    def place(self) -> str:
        return f"{self.host}/{self.repository}"

    def __str__(self) -> str:
        return self.place + (self.tag and f":{self.tag}") + (self.digest and f"@{self.digest}")


def parse_reference(text: str, is_pattern: bool = False) -> Reference:
    """Parse HOST[:PORT]/NAME[:TAG][@sha256:DIGEST], with or without oci:// before it. Raises UsageError.

    The tag of a pattern may hold * and ?.
    """
    rest, at, digest = (text[len(OCI_SCHEME):] if text.startswith(OCI_SCHEME) else text).partition("@")
    host, slash, rest = rest.partition("/")
    repository, colon, tag = rest.partition(":")
    port = host.rpartition("]")[2].partition(":")[2]
    hint = "REF is HOST[:PORT]/NAME[:TAG][@sha256:DIGEST]"
    if "@" in text.partition("/")[0]:  # and the text is not repeated
        raise UsageError("REF", "it begins with a login", "give that with -u USER --password-stdin")
    if not slash or not repository:
        raise UsageError(text, "HOST or NAME is missing", hint)
    if not compiled(HOST_PATTERN).fullmatch(host) or port and not 0 < int(port) < 1 << 16:
        raise UsageError(text, f"{quoted(host)}: no host of a registry", hint)
    if not compiled(NAME_PATTERN).fullmatch(repository) or len(host) + len(repository) > MAX_NAME:
        raise UsageError(text, f"{quoted(repository)}: no name of a repository",
                         f"lower-case letters and digits with '.', '_', '-' or '/' between them, {MAX_NAME} at most")
    if colon and not compiled(TAG_WILDCARDS if is_pattern else TAG_PATTERN).fullmatch(tag):
        raise UsageError(text, f"{quoted(tag)}: no tag", "letters, digits, '_', '.' and '-', 128 at most")
    if at and not compiled(SHA256).fullmatch(digest):
        raise UsageError(text, f"{quoted(digest)}: no digest", "sha256: and 64 hexadecimal digits in lower case")
    return Reference(host.lower(), repository, tag or ("" if digest else DEFAULT_TAG), digest)


class TransferFailure(Exception):
    """Why a request came to nothing; RegistryClient makes a SpocError of it, which says what the request was for."""

    def __init__(self, reason: str, hint: str = "", is_transient: bool = False, pause_s: float = 0):
        """What is transient may be tried again, after a pause if the registry asks for one."""
        super().__init__(reason)
        self.reason, self.hint, self.is_transient, self.pause_s = reason, hint, is_transient, pause_s


class Origin(NamedTuple):
    """Whom a connection leads to (RFC 6454)."""

    scheme: str
    host: str  # without the brackets of an IPv6 address
    port: int

    @property
    def address(self) -> str:
        """Always with the port."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def netloc(self) -> str:
        """As a URL and the header Host have it."""
        is_default = (self.scheme, self.port) in (("http", 80), ("https", 443))
        return self.address.rpartition(":")[0] if is_default else self.address


def parse_url(url: str) -> tuple[Origin, str]:
    """The origin of a URL, and its path and query. Raises TransferFailure."""
    import urllib.parse
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        host = parts.hostname or ""
    except (KeyError, ValueError):
        host = ""
    if not host or parts.username is not None or not url.isascii() or not url.isprintable() or " " in url:
        scheme, mark, rest = url.partition("?")[0].rpartition("://")
        raise TransferFailure(f"{quoted((scheme + mark + rest.rpartition('@')[2])[:100])}: no address for HTTP",
                              "tell who runs the registry")
    return Origin(parts.scheme, host, port), (parts.path or "/") + (parts.query and f"?{parts.query}")


def join_url(base: str, url: str) -> str:
    """Where a URL leads that an answer from another holds. Raises TransferFailure."""
    import urllib.parse
    try:
        return urllib.parse.urldefrag(urllib.parse.urljoin(base, url)).url
    except ValueError:
        parse_url(url)  # which says so
        raise


def is_loopback(host: str) -> bool:
    """Is this a name or an address of this machine, which needs no TLS?"""
    import ipaddress
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Deadline:
    """When a request must have ended, whatever its peer does."""

    def __init__(self, seconds: float):
        self._end_s = time.monotonic() + seconds

    def wait_s(self, most_s: float) -> float:
        """How long the next step may last. Raises TimeoutError."""
        left_s = self._end_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
        return min(left_s, most_s)


class TimedSocket:
    """What http.client uses of a socket, so that a request ends in time and its answer is not endless."""

    def __init__(self, peer: socket.socket):
        self.peer = peer
        self.begin(Deadline(REQUEST_S), 0)

    def begin(self, deadline: Deadline, most_bytes: int) -> None:
        """Limit the next request."""
        self._deadline, self._left_bytes = deadline, most_bytes + MAX_HEADER_BYTES
        self.has_headers = False  # of the answer, all of them

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(TimedReader(self))

    def sendall(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            self.peer.settimeout(self._deadline.wait_s(IDLE_S))
            rest = rest[self.peer.send(rest[:1 << 16]):]

    def receive(self, buffer: Any) -> int:
        self.peer.settimeout(self._deadline.wait_s(IDLE_S))
        count = self.peer.recv_into(buffer)
        self._left_bytes -= count
        if self._left_bytes < 0:
            raise TransferFailure("the answer does not end", "tell who runs the registry")
        if not count and not self.has_headers:  # which http.client takes for their end
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        return count

    def close(self) -> None:
        """Nothing: http.client calls it before the answer has been read. Transport closes the peer."""


class TimedReader(io.RawIOBase):
    """The bytes that come from such a socket."""

    def __init__(self, source: TimedSocket):
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._source.receive(buffer)


class Reply(NamedTuple):
    """What a server has answered."""

    status: int
    headers: email.message.Message
    body: bytes
    origin: Origin
    url: str


def read_body(response: http.client.HTTPResponse, most_bytes: int) -> bytes:
    """The whole body of an answer; of one that is an error no more than helps. Raises TransferFailure."""
    if not 200 <= response.status < 300:
        return response.read(MAX_REFUSAL_BYTES)
    size = response.length
    body = bytearray()
    part = b"more"
    while part and max(size or 0, len(body)) <= most_bytes:
        part = response.read(1 << 16)
        body += part
    if part:
        raise TransferFailure(f"the answer is larger than {most_bytes} bytes", "is this a profile?")
    if size is not None and len(body) < size:
        raise TransferFailure(f"the answer ends after {len(body)} of {size} bytes", "try again later", True)
    return bytes(body)


CERTIFICATE_HINTS = {  # by number (X509_V_ERR_ in openssl/x509_vfy.h)
    9: "set this machine's clock", 10: "have it renewed, or set this machine's clock",
    18: "give it with --ca FILE if you trust it", 19: "give the certificate of its issuer with --ca FILE",
    20: "give the certificate of its issuer with --ca FILE", 21: "give the certificate of its issuer with --ca FILE",
    62: "use a name that the certificate is for", 64: "use a name that the certificate is for"}
CLOSED = {"IncompleteRead": "the answer is not whole", "RemoteDisconnected": "the connection was closed",
          "BrokenPipeError": "the connection was closed", "ConnectionResetError": "the connection was closed",
          "SSLEOFError": "the connection was closed", "SSLZeroReturnError": "the connection was closed"}


def explain_transfer(error: Exception, peer: str) -> TransferFailure:
    """What went wrong between this machine and a peer."""
    import socket
    import ssl
    kind = type(error).__name__
    if isinstance(error, TransferFailure):
        return error
    if kind in CLOSED:
        return TransferFailure(f"{peer}: {CLOSED[kind]}", "try again later", is_transient=True)
    if isinstance(error, (socket.gaierror, UnicodeError)):
        return TransferFailure(f"{peer}: unknown host", "check the name, and this machine's network")
    if isinstance(error, (TimeoutError, socket.timeout)):
        return TransferFailure(f"{peer}: time-out", "check the network, and whether it takes a proxy (https_proxy)")
    if isinstance(error, ConnectionRefusedError):
        return TransferFailure(f"{peer}: connection refused", "check the port, and that the registry runs")
    if isinstance(error, ssl.SSLCertVerificationError):
        return TransferFailure(f"{peer}: its certificate is not trusted: {error.verify_message.rstrip('.')}",
                               CERTIFICATE_HINTS.get(error.verify_code, "tell who runs the registry"))
    if isinstance(error, ssl.SSLError):
        return TransferFailure(f"{peer}: no TLS: {error.reason or error}",
                               "give --plain-http if the registry speaks HTTP alone")
    if isinstance(error, OSError):
        return TransferFailure(f"{peer}: {error.strerror or error}", "check the network")
    return TransferFailure(f"{peer}: it does not speak HTTP", "check the port")


class Proxy(NamedTuple):
    """What connects to hosts that this machine cannot reach."""

    origin: Origin
    headers: dict[str, str]  # with the login, if it wants one


def is_reached_without(entry: str, origin: Origin) -> bool:
    """Is this the host that an entry of no_proxy names: a host, what a domain ends with, an address, a network or *?"""
    import ipaddress
    name, _, port = entry.partition(":") if entry.count(":") == 1 else (entry, "", "")
    if port and port != str(origin.port):
        return False
    name = name.lstrip("*.") or name
    if name == "*" or origin.host == name or name and origin.host.endswith(f".{name}"):
        return True
    try:
        return ipaddress.ip_address(origin.host) in ipaddress.ip_network(name.strip("[]"), strict=False)
    except ValueError:
        return False


def proxy_of(origin: Origin) -> Proxy | None:
    """The proxy that the usual variables name for this origin. Raises TransferFailure."""
    import urllib.parse
    variables = os.environ
    direct = variables.get("no_proxy") or variables.get("NO_PROXY") or ""
    if is_loopback(origin.host) or any(is_reached_without(entry.strip().lower(), origin)
                                       for entry in direct.split(",")):
        return None
    names = [f"{origin.scheme}_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]
    if origin.scheme == "http":
        names[1] = "HTTP_PROXY"
    name = next((name for name in names if variables.get(name)), "")
    if not name:
        return None
    url = variables[name] if "://" in variables[name] else f"http://{variables[name]}"
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError:
        raise TransferFailure(f"{name}: no address of a proxy", "name one as http://HOST:PORT") from None
    if parts.scheme != "http":
        raise TransferFailure(f"{name}: a proxy that is reached by {quoted(parts.scheme)}", "name one of http://")
    found, _ = parse_url(f"http://{parts.netloc.rpartition('@')[2]}")
    if parts.username is None:
        return Proxy(found, {})
    login = [urllib.parse.unquote(part or "") for part in (parts.username, parts.password)]
    return Proxy(found, {"Proxy-Authorization": basic_authorization(*login)})


def basic_authorization(user: str, password: str) -> str:
    """The value of the header (RFC 7617)."""
    import binascii
    text = f"{user}:{password}"  # of a variable, perhaps, which may hold any bytes
    return "Basic " + binascii.b2a_base64(text.encode(errors="surrogateescape"), newline=False).decode()


def look_up(host: str, port: int, limit_s: float) -> list[tuple[Any, ...]]:
    """What getaddrinfo(3) says of a host. It has no limit of its own, so a thread waits for it. Raises OSError."""
    import _thread
    import socket
    answers: list[list[tuple[Any, ...]] | Exception] = []
    ended = _thread.allocate_lock()

    def ask() -> None:
        try:
            answers.append(list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
        except Exception as error:
            answers.append(error)
        ended.release()

    ended.acquire()
    try:
        _thread.start_new_thread(ask, ())
    except RuntimeError:  # a limit on tasks
        ask()
    if not ended.acquire(timeout=limit_s):
        raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
    answer = answers[0]
    if isinstance(answer, Exception):
        raise answer
    return answer


def dial(host: str, port: int, deadline: Deadline) -> socket.socket:
    """Connect to the first address of a host that answers. Raises OSError."""
    import socket
    failure: OSError = socket.gaierror(socket.EAI_NONAME, "unknown host")
    for family, kind, protocol, _, address in look_up(host, port, deadline.wait_s(IDLE_S)):
        peer = socket.socket(family, kind, protocol)
        try:
            peer.settimeout(deadline.wait_s(CONNECT_S))
            peer.connect(address)
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return peer
        except OSError as error:
            peer.close()
            failure = error
    raise failure


class Transport:
    """HTTP over TCP and TLS, through a proxy where there is one. A connection serves one request after the other."""

    def __init__(self, ca: str, plain_http: bool):
        """Without plain_http a name of this machine has to lead to it where there is no TLS."""
        self._ca, self._plain_http = ca, plain_http
        self._context: ssl.SSLContext | None = None
        self._idle: dict[Origin, http.client.HTTPConnection] = {}

    def close(self) -> None:
        while self._idle:
            self._hang_up(self._idle.popitem()[1].sock)

    def request(self, method: str, url: str, headers: dict[str, str], body: bytes, most_bytes: int,
                deadline: Deadline) -> Reply:
        """The answer to a request, with a body of at most so many bytes. Raises TransferFailure."""
        origin, target = parse_url(url)
        if origin in self._idle:
            try:
                return self._exchange(origin, method, target, headers, body, most_bytes, deadline)
            except TransferFailure as failure:
                if not failure.is_transient:  # the server may have closed the connection meanwhile
                    raise
        self.connect(origin, deadline)
        return self._exchange(origin, method, target, headers, body, most_bytes, deadline)

    def _exchange(self, origin: Origin, method: str, target: str, headers: dict[str, str], body: bytes,
                  most_bytes: int, deadline: Deadline) -> Reply:
        import http.client
        connection = self._idle.pop(origin)
        timed: Any = connection.sock
        timed.begin(deadline, most_bytes)
        is_whole = False
        try:
            proxy = proxy_of(origin) if origin.scheme == "http" else None
            url = f"{origin.scheme}://{origin.netloc}{target}"
            headers = {"Host": origin.netloc, "User-Agent": f"spoc.py/{VERSION}", **headers,
                       **(proxy.headers if proxy else {})}
            with contextlib.suppress(ConnectionError):  # before it closes the connection, a server may say why
                connection.request(method, url if proxy else target, body or None, headers)
                is_whole = True
            response = connection.getresponse()
            timed.has_headers = True
            reply = Reply(response.status, response.headers, read_body(response, most_bytes), origin, url)
            is_whole = is_whole and connection.sock is not None and response.isclosed()
            return reply
        except Exception as error:
            is_whole = False
            if isinstance(error, (OSError, http.client.HTTPException, ValueError, TransferFailure)):
                raise explain_transfer(error, origin.netloc) from None
            raise
        finally:
            if is_whole:
                self._idle[origin] = connection
            else:
                self._hang_up(timed)

    @staticmethod
    def _hang_up(timed: Any) -> None:
        with contextlib.suppress(OSError):
            timed.peer.close()

    def connect(self, origin: Origin, deadline: Deadline) -> None:
        """Have a new connection at hand for the next request. Raises TransferFailure."""
        import http.client
        proxy = proxy_of(origin)
        context = self._tls() if origin.scheme == "https" else None
        peer: socket.socket | None = None
        title = origin.netloc
        try:
            if proxy:
                title = f"proxy {proxy.origin.netloc}"
                peer = dial(proxy.origin.host, proxy.origin.port, deadline)
                if context:
                    self._open_tunnel(peer, origin, proxy, deadline)
                    title = origin.netloc
            else:
                peer = dial(origin.host, origin.port, deadline)
                address = peer.getpeername()[0]
                if is_loopback(origin.host) and not (context or self._plain_http or is_loopback(address)):
                    raise TransferFailure(f"{title} leads to {address}, which is not this machine, and does without "
                                          "TLS", "give --plain-http if you trust the network")
            if context:
                peer.settimeout(deadline.wait_s(IDLE_S))
                peer = context.wrap_socket(peer, server_hostname=origin.host)
        except Exception as error:
            if peer:
                peer.close()
            if isinstance(error, (OSError, http.client.HTTPException, ValueError, TransferFailure)):
                raise explain_transfer(error, title) from None
            raise
        connection = http.client.HTTPConnection(origin.host, origin.port)
        connection.auto_open = 0
        timed: Any = TimedSocket(peer)
        connection.sock = timed
        self._idle[origin] = connection

    @staticmethod
    def _open_tunnel(peer: socket.socket, origin: Origin, proxy: Proxy, deadline: Deadline) -> None:
        """Have the proxy connect to a host (RFC 9110, 9.3.6)."""
        import http.client
        timed: Any = TimedSocket(peer)
        timed.begin(deadline, 0)
        headers = "".join(f"{name}: {value}\r\n" for name, value in {"Host": origin.address, **proxy.headers}.items())
        timed.sendall(f"CONNECT {origin.address} HTTP/1.1\r\n{headers}\r\n".encode())
        response = http.client.HTTPResponse(timed, method="CONNECT")
        response.begin()
        if response.status == 407:
            raise TransferFailure(f"proxy {proxy.origin.netloc}: it wants a login",
                                  "give it as http://USER:PASSWORD@HOST:PORT in https_proxy")
        if response.status != 200:
            raise TransferFailure(f"proxy {proxy.origin.netloc}: it does not connect to {origin.address} (HTTP "
                                  f"{response.status})", "name the host in no_proxy if it is reached without",
                                  response.status in RETRIED)

    def _tls(self) -> ssl.SSLContext:
        import ssl
        if not self._context:
            self._context = ssl.create_default_context()
            # Python 3.13 refuses the authorities that openssl makes by default, which all others take.
            self._context.verify_flags &= ~ssl.VERIFY_X509_STRICT
            if self._ca:
                try:
                    self._context.load_verify_locations(self._ca)
                except OSError as error:
                    reason = "no certificate is in it" if isinstance(error, ssl.SSLError) else error.strerror
                    raise TransferFailure(f"--ca {self._ca}: {reason}", "give a file of certificates (PEM)") from None
        return self._context


class Login(NamedTuple):
    """Who asks a registry, and what proves it."""

    user: str
    secret: str
    is_token: bool = False  # the secret is one of OAuth 2, for a token service alone


class Account(NamedTuple):
    """A user of this machine whose logins may be used."""

    uid: int
    gid: int
    environment: Mapping[str, str]


def login_files(account: Account) -> list[str]:
    """Where Podman and Docker leave logins: containers-auth.json(5), and docker login's manual."""
    variables = account.environment
    if variables.get("REGISTRY_AUTH_FILE"):
        return [variables["REGISTRY_AUTH_FILE"]]
    home = variables.get("HOME") or "/"
    return [os.path.join(variables.get("XDG_RUNTIME_DIR") or f"/run/user/{account.uid}", "containers/auth.json"),
            f"/run/containers/{account.uid}/auth.json",
            os.path.join(variables.get("XDG_CONFIG_HOME") or f"{home}/.config", "containers/auth.json"),
            os.path.join(variables.get("DOCKER_CONFIG") or f"{home}/.docker", "config.json")]


def open_login_file(path: str, account: Account) -> int:
    """A descriptor of such a file, which nobody but root and that user may have written. Raises OthersDecide, OSError.

    Root reads it as root, for to become that user for the moment would change all threads: what it opens has to be that
    user's.
    """
    trust = Trust(account.uid, account.gid)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK) if os.geteuid() else open_trusted(path, trust)
    try:
        trust.check(descriptor)
        if os.geteuid() != account.uid != os.fstat(descriptor).st_uid:
            raise PermissionError(errno.EPERM, "it is not that user's")
    except BaseException:
        close(descriptor)
        raise
    return descriptor


def read_logins(path: str, account: Account) -> dict[str, Any]:
    """The document of such a file; {} if there is none, or if another user may have written it."""
    import json
    try:
        with open(open_login_file(path, account), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                Log.warning(f"{path} is not used: no regular file")
                return {}
            data = file.read(MAX_TOKEN_BYTES)
        document = json.loads(data)
        if isinstance(document, dict):
            return document
        Log.warning(f"{path} is not used: no object of JSON")
    except OthersDecide as error:
        is_caller = str(error.uid) == os.environ.get("SUDO_UID")  # who is asked as that user
        if not is_caller and os.path.lexists(path):
            Log.warning(f"{path} is not used: another user may have written it")
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        Log.debug(f"{path} is not used: {error.strerror}")
    except (ValueError, RecursionError):
        Log.warning(f"{path} is not used: no JSON")
    return {}


def section_of(document: dict[str, Any], key: str) -> dict[str, Any]:
    """What a file with logins holds under a key, which ought to be an object."""
    value = document.get(key)
    return value if isinstance(value, dict) else {}


DOCKER_HUB, DOCKER_HUB_HOST, DOCKER_HUB_KEY = "docker.io", "registry-1.docker.io", "https://index.docker.io/v1/"


def find_login(reference: Reference, accounts: Sequence[Account]) -> Login | None:
    """The login that Podman or Docker has left for this registry."""
    for account in accounts:
        for path in login_files(account):
            document = read_logins(path, account)
            login = login_in(document, reference, account, path) if document else None
            if login:
                Log.debug(f"login of {path}")
                return login
    return None


def login_in(document: dict[str, Any], reference: Reference, account: Account, path: str) -> Login | None:
    """What such a document says of a registry: of the repository or what it is in, or of the host."""
    server = DOCKER_HUB_KEY if reference.host == DOCKER_HUB else reference.host
    helpers = section_of(document, "credHelpers")
    helper = next((helpers[key] for key in (reference.host, server) if key in helpers), None)
    if helper:
        return ask_helper(helper, server, account, path)
    auths = {}
    for key, entry in section_of(document, "auths").items():
        name = key.partition("://")[2].partition("/")[0] if "://" in key else key
        auths[DOCKER_HUB if name == "index.docker.io" else name] = entry
    names = reference.place.split("/")
    for count in range(len(names), 0, -1):
        entry = auths.get("/".join(names[:count]))
        login = parse_login(entry, path) if isinstance(entry, dict) else None
        if login:
            return login
    store = document.get("credsStore")
    return ask_helper(store, server, account, path) if store else None


def parse_login(entry: dict[str, Any], path: str) -> Login | None:
    """The login in an entry of auths; it is empty where a helper keeps the login."""
    import binascii
    token, encoded = entry.get("identitytoken"), entry.get("auth")
    try:
        user, _, password = binascii.a2b_base64(encoded or "").decode().partition(":")
    except (ValueError, TypeError, AttributeError):
        Log.warning(f"{path}: an entry that is no login is not used")
        return None
    if isinstance(token, str) and token:
        return Login(user, token, True)
    return Login(user, password.rstrip("\0")) if user else None


def ask_helper(name: object, server: str, account: Account, path: str) -> Login | None:
    """The login that docker-credential-NAME has (github.com/docker/docker-credential-helpers); None if it has none.

    It runs as the user whose file names it.
    """
    import json
    import shutil
    import subprocess
    program = f"docker-credential-{name}"
    found = isinstance(name, str) and compiled(r"[A-Za-z0-9._-]+").fullmatch(name) and shutil.which(program)
    if not found or os.stat(found).st_uid not in (0, account.uid):
        Log.warning(f"{path}: {quoted(program)} is not used: "
                    + ("it belongs to another user" if found else "no such program on PATH"))
        return None
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SPOC_")}
    user: dict[str, Any] = {}
    if account.uid != os.geteuid():
        user = {"user": account.uid, "group": account.gid, "extra_groups": []}
        environment.update(account.environment)
    try:
        done = subprocess.run([found, "get"], input=server.encode(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              timeout=HELPER_S, env=environment, **user)
        answer = json.loads(done.stdout) if done.returncode == 0 else {}
        if done.returncode == 0:
            return Login(answer["Username"], answer["Secret"], answer["Username"] == "<token>")
        Log.debug(f"{program} has no login for {server}")
    except subprocess.TimeoutExpired:
        Log.warning(f"{program} is not used: no answer within {HELPER_S:g} s")
    except (OSError, ValueError, RecursionError, KeyError, TypeError) as error:
        Log.warning(f"{program} is not used: {getattr(error, 'strerror', '') or 'its answer is no login'}")
    return None


# A scheme, or a parameter of the last one: token = token or "string".
CHALLENGE = r"""([\w!#$%&'*+.^`|~-]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*)))?"""


def parse_challenges(headers: Sequence[str]) -> dict[str, dict[str, str]]:
    """The schemes that WWW-Authenticate offers (RFC 9110, 11.6.1), in lower case, with their parameters."""
    challenges: dict[str, dict[str, str]] = {}
    parameters: dict[str, str] = {}
    for match in compiled(CHALLENGE).finditer(", ".join(headers)):
        if "=" in match[0]:
            parameters[match[1].lower()] = compiled(r"\\(.)").sub(r"\1", match[2] or match[3] or "")
        else:
            parameters = challenges.setdefault(match[1].lower(), {})
    return challenges


def retry_after_s(headers: email.message.Message) -> float:
    """How long a server asks to wait (RFC 9110, 10.2.3); 0 if it does not say."""
    import email.utils
    value = str(headers.get("Retry-After") or "").strip()
    if value.isdecimal():
        return float(value[:9])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0.0


def refusal_of(reply: Reply) -> str:
    """What a registry says of an error: its code and message (distribution-spec, "Error Codes")."""
    import json
    with contextlib.suppress(ValueError, RecursionError, KeyError, TypeError, IndexError):
        error = json.loads(reply.body)["errors"][0]
        words = [error[key] for key in ("code", "message") if isinstance(error.get(key), str) and error[key]]
        return f"HTTP {reply.status}: {': '.join(words)[:200]}"
    return f"HTTP {reply.status}"


def told_digest(reply: Reply) -> str:
    """The digest that a registry gives for a manifest; "" if none, or by another algorithm than ours."""
    told = str(reply.headers.get("Docker-Content-Digest") or "")
    return told if told.startswith("sha256:") else ""


def parse_tags(data: bytes) -> list[str]:
    """The tags in a page of their list; some registries write null for none. Raises TransferFailure."""
    import json
    with contextlib.suppress(ValueError, RecursionError, KeyError, TypeError):
        tags = json.loads(data)["tags"] or []
        if isinstance(tags, list) and all(compiled(TAG_PATTERN).fullmatch(tag) for tag in tags):
            return tags
    raise TransferFailure("its list of tags is none", "is this a registry?")


class Settings(NamedTuple):
    """How registries are reached."""

    plain_http: bool = False
    ca: str = ""  # a file of certificates that are trusted beside the system's
    logins: Mapping[str, Login] = {}  # that the user has given, by host: nobody else gets them
    accounts: Sequence[Account] = ()


class RegistryClient:
    """Registries by the OCI distribution specification: https://github.com/opencontainers/distribution-spec.

    Methods raise SpocError. What they return has been verified.
    """

    def __init__(self, settings: Settings):
        self._settings = settings
        self._transport = Transport(settings.ca, settings.plain_http)
        self._origins: dict[str, Origin] = {}  # of hosts
        self._authorizations: dict[str, str] = {}  # the header for a place
        self._logins: dict[str, Login | None] = {}  # for a place; a helper may ask a person
        self._deadline = Deadline(OPERATION_S)

    def __enter__(self) -> RegistryClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._transport.close()

    @contextlib.contextmanager
    def _operation(self, name: str, reference: Reference, limit_s: float = 0) -> Iterator[None]:
        limit_s = limit_s or OPERATION_S
        self._deadline = Deadline(limit_s)
        try:
            yield
        except TransferFailure as failure:
            raise SpocError(name, str(reference), failure.reason, failure.hint) from None
        except TimeoutError:
            raise SpocError(name, str(reference), f"time-out: not done within {limit_s:.0f} s",
                            "try again later") from None

    def manifest(self, reference: Reference) -> tuple[bytes, Manifest]:
        """The manifest or index that a reference names: its bytes, which have the reference's digest, and parsed."""
        with self._operation("pull", reference):
            reply = self._retry(lambda: self._call(reference, "GET", f"manifests/{reference.digest or reference.tag}",
                                                   ACCEPTED, most_bytes=MAX_MANIFEST_BYTES))
            if reply.status == 404:
                raise self._missing(reference)
            self._expect(reply, reference, 200)
            digest = sha256_of(reply.body)
            expected = reference.digest or told_digest(reply) or digest
            if digest != expected:
                raise TransferFailure(f"the manifest has the digest {digest}, not {expected}", DISTRUST)
            return reply.body, parse_manifest(reply.body, str(reference), reply.headers.get("Content-Type") or "")

    def blob(self, reference: Reference, descriptor: Descriptor) -> bytes:
        """A blob of the repository."""
        with self._operation("pull", reference):
            reply = self._retry(lambda: self._call(reference, "GET", f"blobs/{descriptor.digest}", {},
                                                   most_bytes=descriptor.size_bytes))
            self._expect(reply, reference, 200)
            check_blob(descriptor, reply.body, str(reference))
            return reply.body

    def has(self, reference: Reference) -> bool:
        """Is there anything that this reference names?"""
        with self._operation("pull", reference):
            reply = self._retry(lambda: self._call(
                reference, "HEAD", f"manifests/{reference.digest or reference.tag}", ACCEPTED))
            if reply.status != 404:
                self._expect(reply, reference, 200)
            return reply.status == 200

    def check_push(self, reference: Reference) -> None:
        """Raise SpocError unless the registry takes something for this repository: what every profile needs there."""
        with self._operation("push", reference):
            self._retry(lambda: self._send(reference, sha256_of(EMPTY_CONFIG), EMPTY_CONFIG, ""))

    def tags(self, reference: Reference) -> list[str]:
        """All tags of the repository, as the registry sorts them."""
        with self._operation("list tags", reference):
            return self._tags(reference)

    def _tags(self, reference: Reference) -> list[str]:
        url = "tags/list?n=1000"
        tags: list[str] = []
        for _ in range(MAX_PAGES):
            reply = self._retry(functools.partial(self._call, reference, "GET", url, {}, b"", MAX_MANIFEST_BYTES))
            self._expect(reply, reference, 200)
            tags += parse_tags(reply.body)
            link = compiled(r'\s*<([^>]*)>\s*;\s*rel="?next"?').match(reply.headers.get("Link") or "")
            if not link:
                return tags
            if len(tags) > MAX_TAGS:
                break
            url = join_url(reply.url, link[1])
        raise TransferFailure("its list of tags does not end", f"at most {MAX_TAGS} tags are read")

    def push(self, reference: Reference, artifact: Artifact, mount_from: str = "", limit_s: float = 0) -> str:
        """Store an artifact, and give its digest. Its blobs may be in the registry's repository mount_from."""
        with self._operation("push", reference, limit_s):
            digest = artifact.digest
            if reference.digest not in ("", digest):
                raise TransferFailure(f"what is pushed has the digest {digest}", "leave out the digest, or push what "
                                      "it was taken from")
            for digest_of_blob, data in {blob.digest: blob.data for blob in artifact.blobs}.items():
                self._retry(functools.partial(self._upload, reference, digest_of_blob, data, mount_from))
            reply = self._retry(lambda: self._call(
                reference, "PUT", f"manifests/{reference.tag or digest}",
                {"Content-Type": MANIFEST_TYPE}, artifact.manifest))
            self._expect(reply, reference, 201)
            told = told_digest(reply) or digest
            if told != digest:
                raise TransferFailure(f"the registry has stored it as {told}, not {digest}",
                                      "it changes what it stores: use another")
            return digest

    def _upload(self, reference: Reference, digest: str, data: bytes, mount_from: str) -> Reply:
        """Store a blob that is not there yet."""
        reply = self._call(reference, "HEAD", f"blobs/{digest}", {})
        return reply if reply.status == 200 else self._send(reference, digest, data, mount_from)

    def _send(self, reference: Reference, digest: str, data: bytes, mount_from: str) -> Reply:
        """Store a blob, as the specification has it: "Mounting a blob from another repository", or else monolithically.
        """
        import urllib.parse
        mount = f"?mount={digest}&from={mount_from}" if mount_from else ""
        try:
            reply = self._call(reference, "POST", f"blobs/uploads/{mount}", {})
            if reply.status == 201 and mount:
                return reply
            self._expect(reply, reference, 202)
        except TransferFailure as failure:
            if failure.is_transient or not mount:
                raise
            return self._send(reference, digest, data, "")
        if not reply.headers.get("Location"):
            raise TransferFailure(f"{reply.origin.netloc} does not say where to upload", "is this a registry?")
        place = join_url(reply.url, reply.headers["Location"])
        place += ("&" if "?" in place else "?") + urllib.parse.urlencode({"digest": digest})
        reply = self._call(reference, "PUT", place, {"Content-Type": "application/octet-stream"}, data)
        self._expect(reply, reference, 201)
        return reply

    def _retry(self, action: Callable[[], Reply]) -> Reply:
        """Do it again where that may help, and wait between as the registry asks, or longer each time."""
        for attempt in range(1, ATTEMPTS):
            try:
                return action()
            except TransferFailure as failure:
                chance = int.from_bytes(os.urandom(2), "big") / (1 << 16)  # a fleet must not come back all at once
                pause_s = (failure.pause_s or FIRST_PAUSE_S * 2 ** attempt) * (1 + chance / 4)
                if not failure.is_transient or failure.pause_s > LONGEST_PAUSE_S:
                    raise
                try:
                    has_time = self._deadline.wait_s(pause_s) == pause_s
                except TimeoutError:
                    has_time = False
                if not has_time:
                    raise
                Log.info(f"{failure.reason}: again in {pause_s:.1f} s")
                time.sleep(pause_s)
        return action()

    def _origin(self, reference: Reference) -> Origin:
        """Where the registry of a reference is, and whether it speaks TLS: on loopback it may do without."""
        if reference.host not in self._origins:
            host = DOCKER_HUB_HOST if reference.host == DOCKER_HUB else reference.host
            plain, _ = parse_url(f"http://{host}")
            origin, _ = parse_url(f"https://{host}")
            if self._settings.plain_http:
                origin = plain
            elif is_loopback(origin.host) and not self._settings.ca:
                try:
                    self._transport.connect(origin, Deadline(self._deadline.wait_s(CONNECT_S)))
                except TransferFailure as failure:
                    if "certificate" in failure.reason:
                        raise
                    origin = plain
            self._origins[reference.host] = origin
        return self._origins[reference.host]

    def _call(self, reference: Reference, method: str, path: str, headers: dict[str, str], body: bytes = b"",
              most_bytes: int = MAX_REFUSAL_BYTES) -> Reply:
        """The answer to a request about a repository, once the registry knows who asks."""
        origin = self._origin(reference)
        base = f"{origin.scheme}://{origin.netloc}/v2/{reference.repository}/"
        url = path if "://" in path.partition("?")[0] else join_url(base, path)
        deadline = Deadline(self._deadline.wait_s(REQUEST_S + (len(body) + most_bytes) / SLOWEST_BYTES_S))
        authorization = self._authorizations.get(reference.place, "")
        reply = self._follow(origin, method, url, headers, body, most_bytes, deadline, authorization)
        if reply.status == 401 and reply.origin == origin:
            authorization = self._authorize(reference, reply, deadline)
            self._authorizations[reference.place] = authorization
            reply = self._follow(origin, method, url, headers, body, most_bytes, deadline, authorization)
        if reply.status in RETRIED:
            raise TransferFailure(f"{reply.origin.netloc}: {refusal_of(reply)}", "try again later", True,
                                  retry_after_s(reply.headers))
        return reply

    def _follow(self, home: Origin, method: str, url: str, headers: dict[str, str], body: bytes, most_bytes: int,
                deadline: Deadline, authorization: str) -> Reply:
        """The answer to a request, wherever the registry sends it; only at home anybody learns who asks."""
        for _ in range(MAX_REDIRECTS + 1):
            origin, _path = parse_url(url)
            if origin.scheme == "http" != home.scheme:
                raise TransferFailure(f"{home.netloc} leads to {origin.netloc} without TLS",
                                      "tell who runs the registry")
            if body and method == "POST" and origin != home:  # it is a login, see _token()
                raise TransferFailure(f"{home.netloc} sends the login on to {origin.netloc}",
                                      "tell who runs the registry")
            own = {"Authorization": authorization} if authorization and origin == home else {}
            reply = self._transport.request(method, url, {**headers, **own}, body, most_bytes, deadline)
            Log.debug(f"{method} {url.partition('?')[0]}: {reply.status}")
            is_redirect = reply.status in (307, 308) or reply.status in (301, 302, 303) and method in ("GET", "HEAD")
            if not is_redirect or not reply.headers.get("Location"):
                return reply
            url = join_url(url, reply.headers["Location"])
        raise TransferFailure(f"{home.netloc} redirects more than {MAX_REDIRECTS} times", "tell who runs the registry")

    def _login(self, reference: Reference) -> Login | None:
        if reference.place not in self._logins:
            self._logins[reference.place] = self._settings.logins.get(reference.host) or find_login(
                reference, self._settings.accounts)
        return self._logins[reference.place]

    def _authorize(self, reference: Reference, reply: Reply, deadline: Deadline) -> str:
        """The header that answers a registry which asks who this is."""
        challenges = parse_challenges(reply.headers.get_all("WWW-Authenticate") or [])
        login = self._login(reference)
        if challenges.get("bearer", {}).get("realm"):
            return "Bearer " + self._token(reference, reply.origin, challenges["bearer"], login, deadline)
        if not login or login.is_token or "basic" not in challenges:
            raise self._unauthorized(reference, reply)
        return basic_authorization(login.user, login.secret)

    def _token(self, reference: Reference, home: Origin, challenge: dict[str, str], login: Login | None,
               deadline: Deadline) -> str:
        """Ask a token service: https://distribution.github.io/distribution/spec/auth/token/ and .../auth/oauth/."""
        import json
        import urllib.parse
        fields = [("service", challenge.get("service", "")), ("client_id", "spoc.py")]
        scopes = challenge.get("scope", "").split()
        url, headers, body, authorization = challenge.get("realm", "").partition("#")[0], {}, b"", ""
        origin, _ = parse_url(url)
        if login and login.is_token:
            fields += [("grant_type", "refresh_token"), ("refresh_token", login.secret), ("scope", " ".join(scopes))]
            body = urllib.parse.urlencode(fields).encode()
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
        else:
            fields += [("scope", scope) for scope in scopes]
            url += ("&" if "?" in url else "?") + urllib.parse.urlencode(fields)
            authorization = basic_authorization(login.user, login.secret) if login else ""
        is_plain_expected = self._settings.plain_http or is_loopback(origin.host)
        if origin.scheme == "http" and not (home.scheme == "http" and is_plain_expected):
            raise TransferFailure(f"{home.netloc} wants a login without TLS, at {origin.netloc}",
                                  "tell who runs the registry")
        reply = self._follow(origin, "POST" if body else "GET", url, headers, body, MAX_TOKEN_BYTES, deadline,
                             authorization)
        if reply.status in (400, 401, 403):
            raise self._unauthorized(reference, reply)
        if reply.status in RETRIED:
            raise TransferFailure(f"{origin.netloc}: {refusal_of(reply)}", "try again later", True,
                                  retry_after_s(reply.headers))
        with contextlib.suppress(ValueError, RecursionError, AttributeError, TypeError):
            answer = json.loads(reply.body)
            token = answer.get("token") or answer.get("access_token")
            if reply.status == 200 and compiled(TOKEN).fullmatch(token):
                return str(token)
        raise TransferFailure(f"{origin.netloc}: it has answered without a token", "tell who runs the registry")

    def _unauthorized(self, reference: Reference, reply: Reply) -> TransferFailure:
        login = self._login(reference)
        if login:
            is_given = reference.host in self._settings.logins
            return TransferFailure(f"{reply.origin.netloc} does not take the login of {quoted(login.user)} "
                                   f"({refusal_of(reply)})", "check the user and the password that you give"
                                   if is_given else f"log in anew: podman login {reference.host}")
        return TransferFailure(f"{reply.origin.netloc} wants a login ({refusal_of(reply)})",
                               f"podman login {reference.host}, or -u USER --password-stdin")

    def _missing(self, reference: Reference) -> TransferFailure:
        """Why there is no such manifest: registries do not tell a tag that is missing from a repository that is."""
        what = "holds nothing of this digest" if reference.digest else "has no such tag"
        try:
            reply = self._call(reference, "GET", "tags/list", {}, most_bytes=MAX_MANIFEST_BYTES)
            if reply.status == 404:
                return TransferFailure("no such repository", "check the name")
            if not reference.digest:
                what += suggestion(reference.tag, parse_tags(reply.body))
        except TransferFailure:
            pass
        return TransferFailure(f"the repository {what}", "check the reference")

    def _expect(self, reply: Reply, reference: Reference, status: int) -> None:
        """Raise TransferFailure unless the registry has answered so."""
        if reply.status == status:
            return
        if reply.status == 401:
            raise self._unauthorized(reference, reply)
        if reply.status == 403:
            raise TransferFailure(f"{reply.origin.netloc} does not allow it ({refusal_of(reply)})",
                                  "ask who runs the registry for the right, or log in as somebody who has it")
        if reply.status == 404:
            raise TransferFailure(f"no such repository, or it lacks what it lists ({refusal_of(reply)})",
                                  "check the name")
        raise TransferFailure(f"{reply.origin.netloc}: {refusal_of(reply)}", "is this a registry?")


class PulledProfile(NamedTuple):
    """What a reference leads to."""

    data: bytes  # of the layer
    reference: Reference  # with the digest of the manifest or index that it named

    def text(self, name: str) -> str:
        """The text of what errors call by this name. Raises ProfileError."""
        try:
            return self.data.decode()
        except UnicodeDecodeError:
            raise ProfileError(name, 0, 0, "is not UTF-8") from None


def pull_profile(client: RegistryClient, reference: Reference, platform: Platform,
                 limit_bytes: int = MAX_PROFILE_BYTES) -> PulledProfile:
    """Read the profile for a platform; what the reference names is looked up once. Raises SpocError."""
    data, manifest = client.manifest(reference)
    resolved = reference._replace(digest=sha256_of(data))
    if manifest.is_index:
        part = choose_manifest(manifest, platform)
        inner, manifest = client.manifest(reference._replace(tag="", digest=part.digest))
        check_blob(part, inner, str(reference))
        if manifest.is_index:
            manifest.fail("its index leads to another index")
    return PulledProfile(client.blob(reference, choose_layer(manifest, platform, limit_bytes)), resolved)


MAX_BASE_BYTES = 1 << 20  # MaxRuntimeProfileSize of SPO
MAX_BASE_DEPTH = 15  # MaxBaseProfileDepth of SPO, with the profile that builds on the others
# What cosign leaves in a repository beside what it signs.
SIGNATURE_TAG = r"sha256-[0-9a-f]{64}(\.[a-z]+)?"


def profile_identity(path: str) -> object:
    """What is equal for all names of one profile; None if that may be another each time."""
    if is_reference(path):
        reference = parse_reference(path)
        return reference.place, reference.digest or reference.tag
    file, name = split_name(path)
    identity = file_identity(file, 0)
    return identity and (identity, name)


def is_pattern(path: str) -> bool:
    """Does this stand for the tags that fit, where a command takes several profiles?"""
    return is_reference(path) and not {"*", "?"}.isdisjoint(path)


class ProfileReader:
    """Reads profiles where a command takes them: from files, and from registries, all over the same connections."""

    def __init__(self, host: Host, settings: Settings = Settings()):
        self.host = host
        self._client = RegistryClient(settings)

    def __enter__(self) -> ProfileReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.__exit__()

    def read(self, path: str, follow: bool = True, owner: tuple[int, int] | None = None,
             limit_bytes: int = MAX_PROFILE_BYTES) -> LoadedProfile:
        """Read oci://REF, or what read_profile() reads. Raises SpocError."""
        if not is_reference(path):
            return read_profile(path, self.host, follow, owner)
        pulled = pull_profile(self._client, parse_reference(path), platform_of(self.host), limit_bytes)
        Log.info(f"Pulled {pulled.reference}")
        source = parse_profile(pulled.text(path), path, self.host)
        source.check_enabled()
        return source

    def expand(self, paths: Iterable[str], output: str = "") -> Iterator[str]:
        """These paths, and for oci://HOST/NAME:PATTERN the tags that fit, but for the one that is written to.

        Nothing comes twice, be it that patterns overlap: a recording counts once.
        """
        seen: set[object] = set()
        for path in paths:
            for each in self._fitting(path, output) if is_pattern(path) else [path]:
                identity = profile_identity(each)
                if identity not in seen:
                    yield each
                elif not is_pattern(path):
                    Log.info(f"{path}: given before, and counts once")
                if identity:
                    seen.add(identity)

    def _fitting(self, path: str, output: str) -> Iterator[str]:
        import fnmatch
        wanted = parse_reference(path, True)
        if wanted.digest:
            raise UsageError(path, "a digest names one profile, and a pattern several", "leave one of them out")
        tags = self._client.tags(wanted)
        fitting = [tag for tag in sorted(tags) if fnmatch.fnmatchcase(tag, wanted.tag)
                   and not compiled(SIGNATURE_TAG).fullmatch(tag)]
        found = [f"{OCI_SCHEME}{wanted._replace(tag=tag)}" for tag in fitting]
        if is_reference(output) and f"{OCI_SCHEME}{parse_reference(output)}" in found:
            found.remove(f"{OCI_SCHEME}{parse_reference(output)}")
            Log.info(f"{path}: {output} is left out, for it is written to")
        if not found:
            raise SpocError("list tags", path, f"none of {count_of(len(tags), 'tag', 'tags')} fits",
                            "check the pattern, in which * stands for anything and ? for a character")
        yield from found

    def bases(self, source: LoadedProfile) -> list[LoadedProfile]:
        """The profiles in registries that this one builds on, the nearest first."""
        chain = [source]
        while is_reference(chain[-1].base_profile_name):
            if len(chain) == MAX_BASE_DEPTH:
                raise ProfileError(source.file, 0, 0, f"it builds on more than {MAX_BASE_DEPTH - 1} profiles",
                                   "look for a circle: each names the next as baseProfileName")
            chain.append(self.read(chain[-1].base_profile_name, limit_bytes=MAX_BASE_BYTES))
        return chain[1:]

    def united(self, source: LoadedProfile) -> LoadedProfile:
        """The profile with the rules of those in registries that it builds on, and no longer building on them."""
        profile, bases = source.profile, self.bases(source)
        for base in bases:
            profile, settled = unite_base(profile, base.profile, base.file)
            for line in settled:
                Log.info(line)
        if not bases:
            return source
        spec = {key: value for key, value in source.spec.items() if key != "baseProfileName"}
        if bases[-1].base_profile_name:
            spec["baseProfileName"] = bases[-1].base_profile_name
        return source._replace(profile=profile, document=with_spec(source.document, spec))


class RegistryTarget(Target):
    """A tag in a registry as what a profile goes to."""

    is_remote = True

    def __init__(self, path: str, owner: tuple[int, int] | None, host: Host, settings: Settings):
        """What cannot be pushed goes to a file of this owner."""
        self.reference = parse_reference(path)
        if self.reference.digest:
            raise UsageError(f"-o {path}", "what is not there yet has no digest", "give a tag")
        self.path, self.owner, self.name, self.descriptor = path, owner, self.reference.tag, None
        self.is_file, self.folder = True, -1
        self._host, self._settings = host, settings
        self._client = RegistryClient(settings)
        self._annotations = parse_annotations((), os.environ.get("SOURCE_DATE_EPOCH", ""))
        self._pusher: BackgroundPusher | None = None

    def close(self) -> None:
        self._client.__exit__()

    def write_later(self, text: str) -> None:
        """Push the whole text while the command goes on, unless something newer comes before."""
        self._pusher = self._pusher or BackgroundPusher(self._host, self._settings)
        self._pusher.submit(self.reference, text)

    def untouched(self) -> str:
        return f"{self.path} is left as it was"

    def require_file(self) -> None:
        """It is as good as one."""

    def check(self) -> None:
        """Raise SpocError unless the registry would take a profile."""
        self._client.check_push(self.reference)

    def exists(self) -> bool:
        return self._client.has(self.reference)

    def read(self) -> str:
        if not self.exists():
            return ""
        pulled = pull_profile(self._client, self.reference, platform_of(self._host))
        Log.debug(f"Pulled {pulled.reference}")
        return pulled.text(str(pulled.reference))

    def write(self, text: str | bytes) -> None:
        """Push the whole text; a failure leaves what was there."""
        self._write(text, OPERATION_S)

    def write_in_time(self, text: str) -> None:
        """The same before a service manager, which has asked this process to end, ends it."""
        self._write(text, BackgroundPusher.FINISH_S)

    def _write(self, text: str | bytes, limit_s: float) -> None:
        data = text.encode() if isinstance(text, str) else text
        end_s = time.monotonic() + limit_s
        if self._pusher:
            self._pusher.finish(0)
            if self._pusher.is_busy():  # and might push what is older, after this
                raise SpocError("push", str(self.reference), "it still takes an earlier profile", "try again later")
        artifact = artifact_of(data, self.path, self._host, self._annotations)
        digest = self._client.push(self.reference, artifact, limit_s=end_s - time.monotonic())
        Log.info(f"Pushed {self.reference._replace(digest=digest)}")

    def location(self) -> str:
        return self.path

    def is_terminal(self) -> bool:
        return False

    @contextlib.contextmanager
    def locked(self, wait: bool) -> Iterator[bool]:
        """There is no lock: where several write to one tag, the last one wins."""
        yield True


def push_command(path: str, reference: Reference, settings: Settings) -> str:
    """What pushes a file, as the user types it."""
    import shlex
    options = [*(["--plain-http"] if settings.plain_http else []), *(["--ca", settings.ca] if settings.ca else [])]
    return shlex.join([PROGRAM, "push", *options, "-f", path, str(reference)])


class BackgroundPusher:
    """Pushes profiles in a thread of its own, so that nothing waits for a network: of each tag the newest profile, and
    again until the registry takes it.
    """

    FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 300.0  # before the same is tried again
    FINISH_S = 60.0  # a service manager waits little longer

    def __init__(self, host: Host, settings: Settings):
        import threading
        self._host, self._settings = host, settings
        self._annotations = parse_annotations((), os.environ.get("SOURCE_DATE_EPOCH", ""))
        self._condition = threading.Condition()
        self._waiting: dict[Reference, bytes] = {}  # what has not been pushed
        self._due_s: dict[Reference, float] = {}  # of what failed: when it is tried again, and the pause before that
        self._pause_s: dict[Reference, float] = {}
        self._end: float | None = None  # when it must have ended
        self._thread = threading.Thread(target=self._work, daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # and no more is said
            raise SpocError("start", "a thread that pushes", os.strerror(errno.EAGAIN), LIMITS[errno.EAGAIN]) from None

    def submit(self, reference: Reference, text: str) -> None:
        with self._condition:
            self._waiting[reference] = text.encode()
            self._condition.notify()

    def finish(self, limit_s: float = FINISH_S) -> None:
        """Push what is left, again and again where that fails, as long as there is time to begin with it."""
        with self._condition:
            self._end = time.monotonic() + limit_s
            self._due_s.clear()
            self._pause_s = dict.fromkeys(self._pause_s, self.FIRST_PAUSE_S / 2)
            self._condition.notify()
        self._thread.join(self.FINISH_S)

    def left(self) -> list[Reference]:
        """What has not been pushed."""
        with self._condition:
            return list(self._waiting)

    def is_busy(self) -> bool:
        """Is it still at work after finish()?"""
        return self._thread.is_alive()

    def _next(self) -> Reference | None:
        """What is to be pushed now: waits for it. None if the end has come."""
        while True:
            now_s = time.monotonic()
            due = sorted((self._due_s.get(reference, 0), reference) for reference in self._waiting)
            if self._end is not None and not (due and max(due[0][0], now_s) < self._end):
                return None
            if due and due[0][0] <= now_s:
                return due[0][1]
            self._condition.wait(due[0][0] - now_s if due else None)

    def _work(self) -> None:
        with RegistryClient(self._settings) as client:
            while True:
                with self._condition:
                    reference = self._next()
                    if reference is None:
                        return
                    data = self._waiting[reference]
                failure = self._push(client, reference, data)
                with self._condition:
                    self._note(reference, data, failure)

    def _push(self, client: RegistryClient, reference: Reference, data: bytes) -> Exception | None:
        try:
            digest = client.push(reference, artifact_of(data, str(reference), self._host, self._annotations))
            Log.info(f"Pushed {reference._replace(digest=digest)}")
            return None
        except Exception as error:  # nobody else would hear of it
            return error

    def _note(self, reference: Reference, data: bytes, failure: Exception | None) -> None:
        """Forget what was pushed, unless there is something newer; say once what was not."""
        if not failure:
            if self._waiting[reference] is data:
                del self._waiting[reference]
            self._due_s.pop(reference, None)
            self._pause_s.pop(reference, None)
            return
        if reference not in self._pause_s:
            Log.error(failure)
        pause_s = self._pause_s[reference] = min(2 * self._pause_s.get(reference, self.FIRST_PAUSE_S / 2),
                                                 self.LONGEST_PAUSE_S)
        self._due_s[reference] = time.monotonic() + pause_s


def artifact_of(data: bytes, path: str, host: Host, annotations: dict[str, str]) -> Artifact:
    """A profile that this program has written, in the format for its type."""
    text = data.decode()
    if is_json(text):
        return runtime_artifact(parse_profile(text, path, host), annotations)
    return crd_artifact([(None, data)], annotations)


def open_target(path: str, owner: tuple[int, int] | None, host: Host, settings: Settings, option: str = "-o",
                any_content: bool = False) -> Target:
    """The file or, by -o, the tag in a registry that a profile goes to."""
    if is_reference(path) and option == "-o":
        return RegistryTarget(path, owner, host, settings)
    return Target(path, owner, option=option, any_content=any_content)

# --- Libraries ---------------------------------------------------------------


class BpfObject(c_void_p):
    """struct bpf_object *"""


class BpfProgram(c_void_p):
    """struct bpf_program *"""


class BpfMap(c_void_p):
    """struct bpf_map *"""


class BpfLink(c_void_p):
    """struct bpf_link *"""


class BpfRing(c_void_p):
    """struct ring_buffer *"""


class Btf(c_void_p):
    """struct btf *"""


class BtfType(ctypes.Structure):
    """struct btf_type (linux/btf.h); of a struct its members follow."""

    _fields_ = [("name_off", c_uint32), ("info", c_uint32), ("size", c_uint32)]


class ScmpContext(c_void_p):
    """scmp_filter_ctx"""


class SockFprog(ctypes.Structure):
    """struct sock_fprog (linux/filter.h); its filter are instructions, see SockFilter."""

    _fields_ = [("len", c_uint16), ("filter", c_char_p)]


class ScmpVersion(ctypes.Structure):
    """struct scmp_version (seccomp.h)"""

    _fields_ = [("major", c_uint32), ("minor", c_uint32), ("micro", c_uint32)]


MAX_ERRNO = 4095  # include/linux/err.h
LIBBPF_ERRNO__VERIFY = 4007  # bpf/libbpf.h: before libbpf 1.0, whatever the verifier refuses a program with


def _os_error(number: int, function: Any) -> OSError:
    if number == LIBBPF_ERRNO__VERIFY:
        number = errno.EINVAL
    return OSError(number, os.strerror(number), function.__name__)


def check_pointer(result: Any, function: Any, _arguments: Any) -> Any:
    """libbpf 1.0 and later: NULL with errno; before: an address within the last 4095 holds the negative errno."""
    address = result.value or 0
    limit = 1 << 8 * ctypes.sizeof(c_void_p)
    if address > limit - MAX_ERRNO:
        raise _os_error(limit - address, function)
    if not address:
        raise _os_error(ctypes.get_errno() or errno.ENOENT, function)
    return result


def check_negative(result: int, function: Any, _arguments: Any) -> int:
    """A negative errno or, from libbpf's bpf_map_ calls before 1.0, -1 with errno (-1 is -EPERM otherwise)."""
    if result < 0:
        raise _os_error(-result if result < -1 else ctypes.get_errno() or errno.EPERM, function)
    return result


def check_errno(result: int, function: Any, _arguments: Any) -> int:
    """libc: -1 with errno."""
    if result == -1:
        raise _os_error(ctypes.get_errno(), function)
    return result


# ring_buffer_sample_fn and libbpf_print_fn_t
RING_CALLBACK = ctypes.CFUNCTYPE(c_int, c_void_p, c_void_p, c_size_t)
PRINT_CALLBACK = ctypes.CFUNCTYPE(c_int, c_int, c_char_p, c_void_p)

if TYPE_CHECKING:
    # Name, how it reports a failure, type of the result, types of the arguments.
    Functions = Sequence[tuple[str, Any, Any, Sequence[Any]]]

# bpf/libbpf.h, bpf/bpf.h and bpf/btf.h; all of it is in libbpf 0.3.
LIBBPF: Functions = (
    ("btf__parse_raw", check_pointer, Btf, (c_char_p,)),
    ("btf__free", None, None, (Btf,)),
    ("btf__find_by_name_kind", check_negative, c_int, (Btf, c_char_p, c_uint32)),
    ("btf__type_by_id", None, ctypes.POINTER(BtfType), (Btf, c_uint32)),
    ("btf__name_by_offset", None, c_char_p, (Btf, c_uint32)),
    ("bpf_object__open_mem", check_pointer, BpfObject, (c_char_p, c_size_t, c_void_p)),
    ("bpf_object__close", None, None, (BpfObject,)),
    ("bpf_object__load", check_negative, c_int, (BpfObject,)),
    ("bpf_object__find_program_by_name", check_pointer, BpfProgram, (BpfObject, c_char_p)),
    ("bpf_object__find_map_by_name", check_pointer, BpfMap, (BpfObject, c_char_p)),
    ("bpf_program__set_autoload", check_negative, c_int, (BpfProgram, c_bool)),
    ("bpf_program__attach_raw_tracepoint", check_pointer, BpfLink, (BpfProgram, c_char_p)),
    ("bpf_program__fd", check_negative, c_int, (BpfProgram,)),
    ("bpf_link__destroy", None, c_int, (BpfLink,)),
    ("bpf_map__fd", check_negative, c_int, (BpfMap,)),
    ("bpf_map__set_max_entries", check_negative, c_int, (BpfMap, c_uint32)),
    ("bpf_map__set_type", check_negative, c_int, (BpfMap, c_uint32)),
    ("bpf_map_get_next_key", check_negative, c_int, (c_int, c_void_p, c_void_p)),
    ("bpf_map_delete_elem", check_negative, c_int, (c_int, c_void_p)),
    ("bpf_map_lookup_and_delete_elem", check_negative, c_int, (c_int, c_void_p, c_void_p)),
    ("bpf_map_lookup_elem", check_negative, c_int, (c_int, c_void_p, c_void_p)),
    ("bpf_map_update_elem", check_negative, c_int, (c_int, c_void_p, c_void_p, c_uint64)),
    ("bpf_obj_get_info_by_fd", check_negative, c_int, (c_int, c_void_p, c_void_p)),
    ("libbpf_set_print", None, c_void_p, (PRINT_CALLBACK,)),
    ("ring_buffer__new", check_pointer, BpfRing, (c_int, RING_CALLBACK, c_void_p, c_void_p)),
    ("ring_buffer__consume", check_negative, c_int, (BpfRing,)),
    ("ring_buffer__free", None, None, (BpfRing,)))
# seccomp.h; the caller frees the name of a number.
LIBSECCOMP: Functions = (
    ("seccomp_version", None, ctypes.POINTER(ScmpVersion), ()),
    ("seccomp_syscall_resolve_num_arch", None, c_void_p, (c_uint32, c_int)),
    ("seccomp_syscall_resolve_name_arch", None, c_int, (c_uint32, c_char_p)),
    ("seccomp_arch_resolve_name", None, c_uint32, (c_char_p,)),
    ("seccomp_init", check_pointer, ScmpContext, (c_uint32,)),
    ("seccomp_release", None, None, (ScmpContext,)),
    ("seccomp_arch_add", check_negative, c_int, (ScmpContext, c_uint32)),
    ("seccomp_attr_set", check_negative, c_int, (ScmpContext, c_int, c_uint32)),
    ("seccomp_rule_add_array", check_negative, c_int, (ScmpContext, c_uint32, c_int, c_int, c_void_p)),
    ("seccomp_syscall_priority", check_negative, c_int, (ScmpContext, c_int, c_uint8)),
    ("seccomp_export_bpf", check_negative, c_int, (ScmpContext, c_int)),
    ("seccomp_export_pfc", check_negative, c_int, (ScmpContext, c_int)))
# stdlib.h, stdio.h, sys/prctl.h, sys/signalfd.h, unistd.h, capset(2). A va_list argument is a pointer, or passed as
# one, in every ABI that is supported.
LIBC: Functions = (
    ("free", None, None, (c_void_p,)),
    ("vasprintf", None, c_int, (ctypes.POINTER(c_char_p), c_char_p, c_void_p)),
    ("prctl", check_errno, c_int, (c_int, c_ulong, c_ulong, c_ulong, c_ulong)),
    ("personality", check_errno, c_int, (c_ulong,)),
    ("signalfd", check_errno, c_int, (c_int, c_char_p, c_int)),
    ("capset", check_errno, c_int, (c_void_p, c_void_p)),
    ("capget", check_errno, c_int, (c_void_p, c_void_p)),
    ("syscall", check_errno, c_long, (c_ulong, c_ulong, c_ulong, c_void_p)),
    ("execve", check_errno, c_int, (c_char_p, c_void_p, c_void_p)),
    ("inotify_init1", check_errno, c_int, (c_int,)),
    ("inotify_add_watch", check_errno, c_int, (c_int, c_char_p, c_uint32)))
SCMP_ARCH_NATIVE = 0
NR_SCMP_ERROR = -1  # __NR_SCMP_ERROR; other negative numbers stand for syscalls of other architectures
# linux/prctl.h, linux/seccomp.h, seccomp.h
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_KEEPCAPS, PR_GET_SECCOMP = 1, 4, 8, 21
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 36, 38
SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_LOG, SECCOMP_FILTER_FLAG_NEW_LISTENER = 1, 2, 8
SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV = 32
SCMP_FLTATR_CTL_OPTIMIZE = 8


class Library:
    """A C library, loaded when first used; its functions are attributes, and only those of its table can be called."""

    def __init__(self, sonames: Sequence[str | None], functions: Functions, hint: str = ""):
        self._sonames, self._functions, self.hint = sonames, functions, hint

    def load(self) -> ctypes.CDLL:
        """Load the library, and see that it has every function of its table, before anything depends on it."""
        errors = []
        for soname in self._sonames:
            try:
                handle = ctypes.CDLL(soname, use_errno=True)
                break
            except OSError as error:
                errors.append(error)
        else:
            raise LibraryError("load library", str(self._sonames[0]), str(errors[0]), remedy_of(errors[0]) or self.hint)
        for name, check, result, arguments in self._functions:
            function = getattr(handle, name, None)
            if function is None:
                raise LibraryError("load library", handle._name, f"has no {name}, too old", self.hint)
            function.restype, function.argtypes = result, arguments
            if check:
                function.errcheck = check
            setattr(self, name, function)
        return handle

    def __getattr__(self, name: str) -> Any:
        return getattr(self.load(), name)


libbpf = Library(("libbpf.so.1", "libbpf.so.0"), LIBBPF, "install libbpf 0.3 or newer (Debian: libbpf1 or libbpf0)")
libseccomp = Library(("libseccomp.so.2",), LIBSECCOMP, "install libseccomp 2.5 or newer (Debian: libseccomp2)")
libc = Library((None,), LIBC)


def libbpf_version() -> str:
    """Version, which it tells from 0.6 on, and soname of libbpf. Raises LibraryError if it cannot be used."""
    library = libbpf.load()
    try:
        version = f"{library.libbpf_major_version()}.{library.libbpf_minor_version()}"
    except AttributeError:
        version = "before 0.6"
    return f"{version} ({library._name})"


def libseccomp_version() -> tuple[int, int, int]:
    """Raises LibraryError if it cannot be used."""
    version = libseccomp.seccomp_version().contents
    return version.major, version.minor, version.micro


def format_libseccomp_version() -> str:
    """The same as a person writes it."""
    return ".".join(map(str, libseccomp_version()))

# --- Machine -----------------------------------------------------------------


class Architecture(NamedTuple):
    """A machine's name and AUDIT_ARCH_ token (linux/audit.h), by which libseccomp knows it."""

    name: str
    token: int

    @property
    def short_name(self) -> str:
        """As libseccomp and people write it: x86_64."""
        return self.name.replace("SCMP_ARCH_", "").lower()

    @property
    def kernel_token(self) -> int:
        """The token in struct seccomp_data: for the kernel x32 is x86-64."""
        return X86_64.token if self == X32 else self.token


X86_64 = Architecture("SCMP_ARCH_X86_64", 0xC000003E)
X86 = Architecture("SCMP_ARCH_X86", 0x40000003)
X32 = Architecture("SCMP_ARCH_X32", 0x4000003E)
AARCH64 = Architecture("SCMP_ARCH_AARCH64", 0xC00000B7)
ARM = Architecture("SCMP_ARCH_ARM", 0x40000028)
RISCV64 = Architecture("SCMP_ARCH_RISCV64", 0xC00000F3)
PPC64LE = Architecture("SCMP_ARCH_PPC64LE", 0xC0000015)
UNKNOWN_ARCHITECTURE = Architecture("unknown", 0xFFFFFFFF)  # none of this machine's; libseccomp has no such token

X32_SYSCALL_BIT = 0x40000000  # arch/x86/include/uapi/asm/unistd.h
NO_SYSCALL = 0xFFFFFFFF  # -1: how a tracer has a call skipped (ptrace(2)); no kernel ever gives it a meaning

ARM_PRIVATE_START = 0xF0000  # __ARM_NR_BASE in arch/arm/include/uapi/asm/unistd.h
# Where the numbers of an architecture begin; 4000, 5000 and 6000 are MIPS o32, n64 and n32 (asm/unistd.h).
MAX_SYSCALLS = 600  # from each of these numbers on; the kernel is at 470
NUMBER_STARTS = (0, 4000, 5000, 6000, ARM_PRIVATE_START, X32_SYSCALL_BIT)


class CompatTest(NamedTuple):
    """Where the kernel tells a 32-bit call from one of its own: the bits of `mask` are set in the word at `offset`."""

    source: int  # enum compat_source of recorder.bpf.c: of what that is the offset, in bytes
    offset: int
    mask: int


COMPAT_NONE = CompatTest(0, 0, 0)
# TS_COMPAT in thread_info.status, with which task_struct begins (arch/x86/include/asm/thread_info.h; Linux 5.11 put
# syscall_work before it). It is set for int 0x80 from 64-bit code as well, which pt_regs.cs does not show.
COMPAT_X86 = CompatTest(1, 16, 0x2)
COMPAT_X86_BEFORE_5_11 = CompatTest(1, 8, 0x2)
# PSR_MODE32_BIT in pt_regs.pstate (arch/arm64/include/uapi/asm/ptrace.h).
COMPAT_ARM64 = CompatTest(2, 264, 0x10)


class Machine(NamedTuple):
    """What a kernel runs: calls of its own convention, of its 32-bit one if it has one, and how to tell them apart."""

    native: Architecture
    number_offset: int  # of the syscall's number in pt_regs, in bytes
    original_offset: int  # of what syscall_rollback() has a call return (asm/syscall.h), in pt_regs
    arguments: tuple[tuple[int, ...], ...]  # where pt_regs holds the first three: of native, then of compat calls
    compat: Architecture | None = None
    compat_test: CompatTest = COMPAT_NONE
    # Where task_struct, which begins with thread_info, says that a tracer makes the calls itself: offset and mask of
    # TIF_SYSCALL_EMU (asm/thread_info.h), or SYSCALL_WORK_SYSCALL_EMU (linux/thread_info.h), on x86 since Linux 5.11.
    emulated: tuple[int, int] = (0, 0)
    # The same of a seccomp filter: TIF_SECCOMP or SYSCALL_WORK_SECCOMP. Mask 0: not known, thread_info is elsewhere.
    filtered: tuple[int, int] = (0, 0)

    @property
    def own(self) -> Architecture:
        """What this very process is, and with it libseccomp: a 64-bit kernel may have a 32-bit userland."""
        return self.compat if self.compat and ctypes.sizeof(c_void_p) == 4 else self.native

    def architecture(self, abi: int, number: int) -> Architecture:
        """Whose call this is, of ABI 0 (native) or 1 (compat)."""
        if abi and self.compat:
            return self.compat
        return X32 if self.native is X86_64 and X32_SYSCALL_BIT <= number < 2 * X32_SYSCALL_BIT else self.native


def machine_of(name: str, release: str) -> Machine:
    """The machine that uname(2) calls `name`, under a kernel of this release.

    Offsets in pt_regs: asm/ptrace.h of each, and which of them seccomp looks at, too: asm/syscall.h.
    """
    has_work = release_numbers(release) >= (5, 11)  # thread_info.syscall_work
    if name == "x86_64":
        return Machine(
            X86_64, number_offset=120, original_offset=120,  # orig_ax
            arguments=((112, 104, 96), (40, 88, 96)),  # di, si, dx; bx, cx, dx
            compat=X86, compat_test=COMPAT_X86 if has_work else COMPAT_X86_BEFORE_5_11,
            emulated=(8, 1 << 3) if has_work else (0, 1 << 6),
            filtered=(8, 1 << 0) if has_work else (0, 1 << 8))
    if name == "aarch64":
        return Machine(
            AARCH64, number_offset=280, original_offset=272,  # syscallno; orig_x0
            arguments=((272, 8, 16), (272, 8, 16)),  # orig_x0, regs[1], regs[2]
            compat=ARM, compat_test=COMPAT_ARM64,
            emulated=(0, 1 << 12),
            filtered=(0, 1 << 11))
    if name.startswith("arm") and not name.endswith("b"):  # as armv7b, which is big-endian
        return Machine(ARM, number_offset=28, original_offset=68,  # ARM_r7; ARM_ORIG_r0
                       arguments=((68, 4, 8),))  # ARM_ORIG_r0, ARM_r1, ARM_r2
    if name in ("i386", "i486", "i586", "i686"):
        return Machine(X86, number_offset=44, original_offset=44,  # orig_ax
                       arguments=((0, 4, 8),),  # bx, cx, dx
                       emulated=(4, 1 << 3) if has_work else (0, 1 << 6),
                       filtered=(4, 1 << 0) if has_work else (0, 1 << 8))
    if name == "riscv64":
        return Machine(RISCV64, number_offset=136, original_offset=280,  # a7; orig_a0
                       arguments=((280, 88, 96),))  # orig_a0, a1, a2
    if name == "ppc64le":
        return Machine(PPC64LE, number_offset=0, original_offset=272,  # gpr[0]; orig_gpr3
                       arguments=((272, 32, 40),))  # orig_gpr3, gpr[4], gpr[5]
    raise SpocError("start", f"machine {name}", "not supported", "x86, ARM, RISC-V 64 and POWER LE are")


CONTAINER_ID_LENGTH = 64


def parse_container_id(cgroups: str) -> str | None:
    """The container ID in the text of /proc/PID/cgroup, if there is one.

    Docker, containerd, CRI-O and Podman, under cgroup v1 and v2, name the group by it, between marks of their own:
    /docker/ID, /docker-ID.scope, /kubepods/.../ID, cri-containerd-ID.scope, slice:cri-containerd:ID, crio-ID.scope,
    libpod-ID.scope.
    """
    for line in cgroups.splitlines():
        for part in reversed(line.replace(":", "/").replace(".", "/").replace("-", "/").split("/")):
            if len(part) == CONTAINER_ID_LENGTH and not part.strip(DIGITS + "abcdef"):
                return part
    return None


def kernel_uname() -> os.uname_result:
    """What the kernel is, whatever setarch(8) has it say to this process (personality(2))."""
    try:
        personality = libc.personality(0xFFFFFFFF)
        libc.personality(0)
        try:
            return os.uname()
        finally:
            libc.personality(personality)
    except OSError:  # a filter refuses it
        return os.uname()


def this_machine() -> Machine:
    """The machine and kernel that this runs on."""
    uname = kernel_uname()
    return machine_of(uname.machine, uname.release)


# Docker's, for what its dialect makes depend on them: moby/moby, daemon/pkg/oci/caps/defaults.go.
CONTAINER_CAPABILITIES = ["CAP_" + name for name in """CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID
                          SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE""".split()]


def container_host() -> Host:
    """This machine, as a container sees it that was given no capabilities of its own."""
    return Host(this_machine().native.name, kernel_uname().release, CONTAINER_CAPABILITIES)


def architecture_token(name: str) -> int:
    """The token of an SCMP_ARCH_ name; 0 for SCMP_ARCH_NATIVE, and if the installed libseccomp does not know it."""
    return int(libseccomp.seccomp_arch_resolve_name(name.replace("SCMP_ARCH_", "").lower().encode()))


AUDIT_ARCH_64BIT, AUDIT_ARCH_CONVENTION_MIPS64_N32 = 0x80000000, 0x20000000  # linux/audit.h


def argument_mask(token: int) -> int:
    """The bits of an argument that libseccomp compares on an architecture (arch->size in its src/arch.c)."""
    is_wide = token & AUDIT_ARCH_64BIT and not token & AUDIT_ARCH_CONVENTION_MIPS64_N32
    return MASK_64 if is_wide else MASK_32


def syscall_name(architecture: Architecture, number: int) -> str | None:
    """The syscall's name for that architecture, None if the installed libseccomp knows none."""
    if number >> 31:  # libseccomp has names for negative numbers that are no syscalls
        return None
    pointer = libseccomp.seccomp_syscall_resolve_num_arch(architecture.token, number)
    if not pointer:
        return None
    try:
        return ctypes.string_at(pointer).decode()
    finally:
        libc.free(pointer)


@functools.lru_cache(1 << 14)  # of names that files may make up
def syscall_number(name: str, token: int = SCMP_ARCH_NATIVE) -> int:
    """The syscall's number on an architecture; a negative one where that has no such syscall."""
    if "\0" in name:
        return NR_SCMP_ERROR
    return int(libseccomp.seccomp_syscall_resolve_name_arch(token, name.encode(errors="replace")))


def kernel_calls(architectures: Iterable[Architecture]) -> set[str]:
    """Those of KERNEL_CALLS that one of these architectures has."""
    return {name for architecture in architectures for name in KERNEL_CALLS
            if syscall_number(name, architecture.token) >= 0}


def is_syscall_name(name: str) -> bool:
    """Does the installed libseccomp know this name, of whatever architecture?"""
    return syscall_number(name) != NR_SCMP_ERROR


def architecture_syscalls(token: int) -> set[str]:
    """The names of all syscalls of an architecture that libseccomp knows."""
    architecture = Architecture("", token)
    names = (syscall_name(architecture, start + number) for start in NUMBER_STARTS for number in range(MAX_SYSCALLS))
    return {name for name in names if name}


TYPING_LIKENESS = 0.85  # of an unknown name, which may also be that of a newer kernel's call
MAX_COMPARED = 20  # names that are unknown: to find like ones takes time


def list_unknown(unknown: Iterable[str], names: Container[str]) -> str:
    """These unknown syscalls of a profile that has such names, each with what is like it, and no older one."""
    listed = sorted(set(unknown))
    if len(listed) > MAX_COMPARED:
        return ", ".join(listed)
    alike = sorted(architecture_syscalls(this_machine().native.token))
    texts = []
    for name in listed:
        near = "" if is_syscall_name(name) else nearest(name, alike, TYPING_LIKENESS)
        is_newer = name.startswith(near)  # as getxattrat
        texts.append(name if is_newer or near in names else f"{name} (did you mean {near}?)")
    return ", ".join(texts)


def check_syscall_name(name: str) -> str:
    """All that -b names has to be known."""
    if not is_syscall_name(name):
        near = suggestion(name, sorted(architecture_syscalls(this_machine().native.token)))
        raise UsageError(f"-b {name}", f"libseccomp {format_libseccomp_version()} knows no such syscall{near}",
                         ("" if near else "check the spelling; ") + "a newer libseccomp knows more")
    return name


# linux/capability.h, by number.
CAPABILITIES = ["CAP_" + name for name in """
    CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
    NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN
    SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE
    MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE
""".split()]
# capget(2), linux/capability.h: version 3, and this process; then the effective, the permitted and the inheritable set,
# each with its low bits first.
CAPABILITY_HEADER = (c_uint32 * 2)(0x20080522, 0)
CapabilitySets = c_uint32 * 6
CAP_SYS_ADMIN, CAP_PERFMON, CAP_BPF = map(CAPABILITIES.index, ("CAP_SYS_ADMIN", "CAP_PERFMON", "CAP_BPF"))
READS_CALLS = ("CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH")  # of what opens /proc/TID/syscall of another user's task


def read_kernel_file(path: str) -> str:
    """The text of a file of /proc or /sys; "" if it cannot be read."""
    with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()
    return ""


@contextlib.contextmanager
def unless_unseen() -> Iterator[None]:
    """Suppress how /proc says that a process is gone, or another user's. What else fails, as for want of memory, must
    not be taken for that: it would leave out what is to be recorded.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ESRCH, errno.EACCES, errno.EPERM):
            raise


def read_proc(pid: int | str, name: str) -> str:
    """A file of a process in /proc; "" if that is gone, or another user's. Raises OSError if it cannot be read."""
    with unless_unseen(), open(f"/proc/{pid}/{name}", encoding="utf-8", errors="surrogateescape") as file:
        return file.read()
    return ""


def proc_status(pid: int | str) -> dict[str, str]:
    """The fields of /proc/PID/status; none if it cannot be read."""
    pairs = [line.partition(":") for line in read_proc(pid, "status").splitlines()]
    return {name: value.strip() for name, _, value in pairs}


def effective_capabilities() -> int:
    """Bits of the capabilities in effect; 0 where a seccomp filter keeps the kernel from telling."""
    sets = CapabilitySets()
    with contextlib.suppress(OSError):
        libc.capget(CAPABILITY_HEADER, sets)
    return sets[0] | sets[3] << 32


def may_administer() -> bool:
    return bool(effective_capabilities() >> CAP_SYS_ADMIN & 1)


def may_load_bpf() -> bool:
    """Has this process what bpf(2) asks of who loads a tracepoint's program (capabilities(7))?"""
    bits = effective_capabilities()
    return bool(bits >> CAP_SYS_ADMIN & 1 or bits >> CAP_BPF & bits >> CAP_PERFMON & 1)


SECCOMP_MODE_FILTER = "2"  # of the field Seccomp of /proc/TID/status (proc_pid_status(5))


def is_filtered() -> bool:
    """Is this process under a seccomp filter?"""
    try:
        return bool(libc.prctl(PR_GET_SECCOMP, 0, 0, 0, 0))
    except OSError as error:
        return error.errno != errno.EINVAL  # which means that the kernel has no seccomp


def in_user_namespace() -> bool:
    """Is this another than the initial one, which maps every id to itself (user_namespaces(7))?"""
    return read_kernel_file("/proc/self/uid_map").split() not in ([], ["0", "0", "4294967295"])


def check_pid_namespace() -> None:
    """Raise KernelError if the next child would be the init of a pid namespace, which cannot be the command."""
    if not os.path.exists("/proc/self/ns/pid"):
        return  # that cannot be known
    with contextlib.suppress(FileNotFoundError):  # as long as it has none (pidns_for_children_get() in Linux)
        if os.path.samestat(os.stat("/proc/self/ns/pid"), os.stat("/proc/self/ns/pid_for_children")):
            return
    raise KernelError("start command", "in another pid namespace", "it would be its init", "unshare needs --fork")


def lockdown_mode() -> str:
    """none, integrity or confidentiality (kernel_lockdown(7)); "" if it is not known."""
    return read_kernel_file("/sys/kernel/security/lockdown").partition("[")[2].partition("]")[0]


def audit_architecture(machine: Machine, token: int, number: int) -> Architecture:
    """Whose call has this AUDIT_ARCH_ token."""
    for abi, candidate in enumerate((machine.native, machine.compat)):
        if candidate and candidate.token == token:
            return machine.architecture(abi, number)
    return UNKNOWN_ARCHITECTURE


def in_initial_pid_namespace() -> bool:
    """Audit records give the ids of that one (PROC_PID_INIT_INO in linux/proc_ns.h)."""
    with contextlib.suppress(OSError):
        return os.stat("/proc/self/ns/pid").st_ino == 0xEFFFFFFC
    return False


def check_machine_pids(subject: str, otherwise: str = "") -> None:
    """Raise KernelError where the kernel side would not know what tasks user space means; `otherwise`: what to do else.
    """
    if not os.path.exists("/proc/self"):
        raise KernelError("attach to", subject, "/proc is not mounted", "mount -t proc proc /proc")
    if not in_initial_pid_namespace():
        raise KernelError("attach to", subject, "this pid namespace is not the machine's, by which the kernel counts",
                          f"run it outside of the container{otherwise}")


NS_GET_PARENT, NS_GET_OWNER_UID = 2, 4  # linux/nsfs.h: _IO(0xb7, 2) and so on


def namespace_ioctl(number: int, machine: str) -> int:
    """The request of ioctl_ns(2) with this number, on the machine that uname(2) calls so."""
    no_data = 1 << 29 if machine.startswith("ppc") else 0  # arch/powerpc/include/uapi/asm/ioctl.h; asm-generic/ioctl.h
    return no_data | 0xB700 | number


def pid_namespace_of(pid: int | str) -> tuple[int, int] | None:
    """Device and inode of the pid namespace that a process (or "self") is in; None if it is gone, or another user's."""
    with unless_unseen():
        status = os.stat(f"/proc/{pid}/ns/pid")
        return status.st_dev, status.st_ino
    return None


def open_pid_namespace(pid: int) -> int:
    """A descriptor of the pid namespace that a process is in; -1 if it is gone, or another user's."""
    with unless_unseen():
        return os.open(f"/proc/{pid}/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    return -1


def namespace_owner(pid: int) -> int:
    """The uid of the user who has made the user namespace that a process is in; the machine's is root's (ioctl_ns(2)).

    Raises OSError.
    """
    uid = bytearray(ctypes.sizeof(c_uint32))
    with open(f"/proc/{pid}/ns/user", "rb") as namespace:
        fcntl.ioctl(namespace, namespace_ioctl(NS_GET_OWNER_UID, kernel_uname().machine), uid)
    return int.from_bytes(uid, sys.byteorder)


def count_filters(tid: int) -> int:
    """How many seccomp filters a task is under; 0 if it is gone, or Linux is older than 5.9, which does not tell."""
    return int(proc_status(tid).get("Seccomp_filters", 0))


class TaskStat(NamedTuple):
    """Of what /proc/PID/stat tells of a task: its fields 2 to 4, 9 and 22 (proc_pid_stat(5))."""

    command: str  # its name (comm)
    state: str
    parent: int
    flags: int  # PF_
    start: int  # in clock ticks since the machine started


def read_stat(tid: int) -> TaskStat | None:
    """None if it is gone. The name, in parentheses, may hold anything."""
    before, _, after = read_proc(tid, "stat").rpartition(")")
    fields = after.split()  # from the third on
    if not fields:
        return None
    return TaskStat(before.partition("(")[2], fields[0], int(fields[1]), int(fields[6]), int(fields[19]))


PF_EXITING, PF_FORKNOEXEC, PF_KTHREAD = 0x4, 0x40, 0x00200000  # include/linux/sched.h


def is_gone(tid: int) -> bool:
    """Does no task have this id any more? Mounted with hidepid, /proc does not tell (proc(5)): kill(2) does."""
    try:
        os.kill(tid, 0)
    except OSError as error:
        return error.errno == errno.ESRCH
    return False


def task_flags(tid: int) -> int:
    """Its flags (PF_); all of them if it is gone, none if /proc does not show it."""
    stat = read_stat(tid)
    if stat:
        return stat.flags
    return -1 if is_gone(tid) else 0


def has_ended(tid: int) -> bool:
    """Is it gone, a zombie, or about to be one, so that it makes no more calls?"""
    return bool(task_flags(tid) & PF_EXITING)


def start_time(pid: int) -> int:
    """When it began, which tells it from another that has its id later; -1 if it is gone."""
    status = read_stat(pid)
    return status.start if status else -1


def boot_time_s() -> float:
    """Seconds since the machine has started, from which start_time() counts."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def process_name(pid: int) -> str:
    """Its comm; "" if it is gone."""
    return read_proc(pid, "comm").rstrip("\n")


def command_line(pid: int) -> list[str]:
    """The words that have started a process; none if it is gone, or has put something else in their place.

    What programs write there for people (setproctitle(3)) begins with no program's path.
    """
    words = read_proc(pid, "cmdline").rstrip("\0").split("\0")
    folders = [""] if "/" in words[0] else os.get_exec_path()
    for folder in folders:
        with contextlib.suppress(OSError):
            if os.path.samestat(os.stat(os.path.join(folder, words[0])), os.stat(f"/proc/{pid}/exe")):
                return words
    return []


def all_processes() -> list[int]:
    """The pids that /proc shows."""
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]


def program_names() -> set[str]:
    """What the processes that run are called, but for the kernel's."""
    return {process_name(pid) for pid in all_processes() if not task_flags(pid) & PF_KTHREAD} - {""}


def child_processes() -> dict[int, list[int]]:
    """pid -> its children, of all processes that /proc shows."""
    children: dict[int, list[int]] = {}
    for pid in all_processes():
        stat = read_stat(pid)
        if stat:
            children.setdefault(stat.parent, []).append(pid)
    return children


def threads_of(pid: int) -> list[int]:
    """The tids of a process; none if it is gone."""
    try:
        return list(map(int, os.listdir(f"/proc/{pid}/task")))
    except OSError:
        return []


def filesystem_type(path: str) -> str:
    """Of this file's mount, by its device; "" if /proc does not tell (proc_pid_mountinfo(5))."""
    device = os.stat(path).st_dev
    for line in read_proc("self", "mountinfo").splitlines():
        fields = line.split()
        if fields[2] == f"{os.major(device)}:{os.minor(device)}":
            return fields[fields.index("-") + 1]
    return ""


def has_systemd() -> bool:
    return os.path.isdir("/run/systemd/system")  # sd_booted(3)


def is_unit(name: str) -> bool:
    """Does a control group of this name hold the processes of a unit (systemd.unit(5))?"""
    return name.endswith((".service", ".scope"))


def container_depth(parts: Sequence[str]) -> int | None:
    """Which part of a control group's path is a container's: the outermost with an id, but that of a pod of Podman, as
    in libpod_parent/POD/libpod-ID.
    """
    for depth, part in enumerate(parts):
        below = parts[depth + 1] if depth + 1 < len(parts) else ""
        is_pod = parse_container_id(part) == part and parts[depth - 1] != "docker" and (
            below.startswith("libpod-") and bool(parse_container_id(below)))
        if parse_container_id(part) and not is_pod:
            return depth
    return None


def owner_of(cgroups: str) -> tuple[str, str]:
    """What the text of a /proc/PID/cgroup belongs to: ("container", its short id), ("unit", its name) or ("", "").

    The outermost container and unit count: what is in one may make groups below its own (Delegate= in
    systemd.resource-control(5)), and call them what it likes. In a user's service manager, user@UID.service, that is
    the unit of the user.
    """
    lines = [line.split(":", 2)[-1].split("/") for line in cgroups.splitlines()]
    for parts in lines:
        depth = container_depth(parts)
        if depth is not None:
            return "container", (parse_container_id(parts[depth]) or "")[:12]
    for parts in lines:
        units = [part for part in parts if is_unit(part)]
        if units:
            return "unit", units[1] if len(units) > 1 and units[0].startswith("user@") else units[0]
    return "", ""


# What stays with a container as long as it runs: the monitor of Podman and CRI-O, the shim of containerd and Docker.
MONITORS = {"conmon": "-c", "containerd-shim": "-id"}  # comm has 15 characters; the option before the container's id


class Monitor(NamedTuple):
    """What the command line of a container's monitor tells. Any user may run what calls itself so."""

    container: str  # its id
    name: str  # "" where only its engine tells
    is_dockers: bool  # Docker knows its name
    uid: int  # of who runs the monitor

    def watches_over(self, maker: int) -> bool:
        """May a container be its, that this user has made?"""
        return self.uid in (0, maker)


def option_value(arguments: Sequence[str], option: str) -> str:
    """What follows an option at its first place; "" if it is not there."""
    return next((value for word, value in zip(arguments, arguments[1:]) if word == option), "")


def read_monitor(pid: int) -> Monitor | None:
    """None if this process is none: also not if it is in a container itself."""
    option = MONITORS.get(process_name(pid))
    if not option or is_in_other_pid_namespace(pid):  # as most processes are none, no more is read of them
        return None
    uids = proc_status(pid).get("Uid", "").split()
    arguments = read_proc(pid, "cmdline").split("\0")
    container = option_value(arguments, option)
    if not uids or not container:
        return None
    return Monitor(container, option_value(arguments, "-n"), option_value(arguments, "-namespace") == "moby",
                   int(uids[0]))


def is_in_other_pid_namespace(pid: int) -> bool:
    """False if it is gone, or another user's."""
    return pid_namespace_of(pid) not in (None, pid_namespace_of("self"))


def is_first_in_pid_namespace(pid: int) -> bool:
    """Is it process 1 of a namespace that is not the machine's?"""
    return proc_status(pid).get("NSpid", "").split()[1:][-1:] == ["1"]


class RunningProcess(NamedTuple):
    """A process that runs, as this one sees it in /proc."""

    pid: int
    parent: int
    start: int  # in clock ticks since the machine started
    command: str  # its name (comm)
    monitor: Monitor | None
    maker: int  # the uid of who has made its container, if it is in one
    container: str | None  # the id in its control groups
    is_inside: bool  # its pid namespace is not that of this process


def container_maker(pid: int) -> int | None:
    """The uid of who has made the user namespace of a process; None if it is gone, root where that may not be read."""
    try:
        return namespace_owner(pid)
    except (FileNotFoundError, ProcessLookupError):
        return None
    except OSError:
        return 0


def container_in_groups(pid: int) -> tuple[str, int] | None:
    """The id of the container that a process is in by its control groups, and the uid of who has made that one; None if
    there is none.

    Users may make groups below those that are theirs (Delegate= in systemd.resource-control(5)), and call them what
    they like: whose the folder is in which it has been made tells who has.
    """
    if not parse_container_id(read_proc(pid, "cgroup")):
        return None
    for group in control_groups_of(pid):
        parts = group.split("/")
        depth = container_depth(parts)
        with unless_unseen():
            if depth:
                return parse_container_id(parts[depth]) or "", os.stat("/".join(parts[:depth])).st_uid
    return None


def parent_of(pid: int) -> int:
    """0 if it is gone, or its parent cannot be seen."""
    status = read_stat(pid)
    return status.parent if status else 0


def shares_pid_namespace(pid: int, other: int) -> bool:
    """Are these two in one? False if either is gone, or another user's."""
    namespace = pid_namespace_of(pid)
    return namespace is not None and namespace == pid_namespace_of(other)


def is_entering(pid: int) -> bool:
    """Is it a container runtime's, which has entered a pid namespace and is yet to execute what it starts there?"""
    stat = read_stat(pid)
    return bool(stat and stat.flags & PF_FORKNOEXEC) and not shares_pid_namespace(pid, parent_of(pid))


def running_processes() -> Iterator[RunningProcess]:
    """Every process that runs. One that ends meanwhile is not among them."""
    for pid in all_processes():
        stat = read_stat(pid)
        if not stat or stat.state in "ZX":
            continue
        identifier, maker = container_in_groups(pid) or (None, container_maker(pid) or 0)
        yield RunningProcess(pid, stat.parent, stat.start, stat.command, read_monitor(pid), maker, identifier,
                             is_in_other_pid_namespace(pid))


class RunningContainer(NamedTuple):
    """A container that runs, found without its engine."""

    identifier: str  # 64 hexadecimal digits, or what its creator chose (containerd)
    name: str  # see container_name()
    pid: int  # of its first process, as this process sees it
    maker: int = 0  # the uid of who has made it


def trusted_users() -> set[int]:
    """The uids of those whose containers are called what they call them: root, and who calls this."""
    caller = os.environ.get("SUDO_UID", "")
    return {0, os.geteuid(), int(caller) if caller.isdecimal() else 0}


def container_name(name: str, maker: int) -> str:
    """What a container is called here that is called `name` by its engine: one of another user could have any name."""
    return name if maker in trusted_users() else f"uid-{maker}-{name}"


SHORT_ID_LENGTH = 12  # of what engines print


def has_id(name: str, identifier: str, maker: int) -> bool:
    """Is this container meant by its id, or one that is cut? One of another user could have any id."""
    is_meant = name == identifier or len(name) >= SHORT_ID_LENGTH and identifier.startswith(name)
    return is_meant and maker in trusted_users()


def containers_among(processes: Iterable[RunningProcess], names: dict[str, str]) -> list[RunningContainer]:
    """The containers that these processes are, by name. `names` are what Docker calls its ids.

    A container's processes are those whose control groups hold its id, and the children of its monitor where these do
    not, as with containerd by itself and Podman without root; but not what the monitor starts to clean up after it.
    Those of another maker are none of it.
    """
    processes = list(processes)
    monitors = {process.pid: process.monitor for process in processes if process.monitor}
    names_by_maker = {(monitor.container, monitor.uid): names.get(monitor.container, "") if monitor.is_dockers
                      else monitor.name for monitor in monitors.values()}
    first: dict[tuple[str, int], RunningProcess] = {}
    for process in processes:
        monitor = monitors.get(process.parent)
        cleans_up = process.command == "podman" and not process.is_inside  # conmon's --exit-command
        watched = monitor.container if monitor and monitor.watches_over(process.maker) and not cleans_up else ""
        identifier = process.container or watched
        if identifier and process.pid not in monitors:
            earlier = first.setdefault((identifier, process.maker), process)
            if (process.start, process.pid) < (earlier.start, earlier.pid):
                first[identifier, process.maker] = process
    found = []
    for (identifier, maker), process in first.items():
        name = names_by_maker.get((identifier, maker)) or names_by_maker.get((identifier, 0)) or identifier
        found.append(RunningContainer(identifier, container_name(name, maker), process.pid, maker))
    return sorted(found, key=lambda container: (container.name, container.pid))


class ContainerIdentity(NamedTuple):
    """What the machine tells of the container that a process is in, without its engine."""

    identifier: str = ""  # as RunningContainer has it; "" if nothing tells
    name: str = ""  # as its engine calls it; "" where only that tells
    is_dockers: bool = False  # Docker knows its name
    maker: int = 0  # as RunningContainer has it


MAX_ANCESTORS = 4  # up to the monitor, from what crun or runc has just started


def identify_container(pid: int, parent: int) -> ContainerIdentity:
    """The container of a process that has just started in it from outside, or of its parent's if it is gone."""
    stat = read_stat(pid)
    identifier, maker = container_in_groups(pid) or ("", container_maker(pid))
    ancestor = stat.parent if stat else parent
    for _ in range(MAX_ANCESTORS):
        monitor = read_monitor(ancestor)
        if monitor and (maker is None or monitor.watches_over(maker)):
            maker = monitor.uid if maker is None else maker
            return ContainerIdentity(identifier or monitor.container, monitor.name, monitor.is_dockers, maker)
        ancestor = parent_of(ancestor)
        if ancestor <= 1:
            break
    return ContainerIdentity(identifier, maker=maker or 0)


class DockerSocket:
    """Where Docker tells what it calls its containers: GET /containers/json of the Docker Engine API."""

    PATH = "/var/run/docker.sock"
    TIMEOUT_S = 5.0
    # For which it is not asked again when it has not answered in that time: each time twice as long.
    FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
    ANSWER_LIMIT_BYTES = 16 << 20

    def __init__(self) -> None:
        self._silent_until_s = 0.0
        self._pause_s = self.FIRST_PAUSE_S

    def names(self, identifier: str = "") -> dict[str, str]:
        """What it calls the containers that it runs, by id, or this one that may still be starting; {} if it does not
        say. The socket is that of DOCKER_HOST, or at its usual place.
        """
        import json
        scheme, _, path = os.environ.get("DOCKER_HOST", f"unix://{self.PATH}").partition("://")
        if scheme != "unix" or time.monotonic() < self._silent_until_s or (
                identifier and parse_container_id(identifier) != identifier):
            return {}
        # Not /containers/ID/json, which waits until the container has started.
        query = f"?all=1&filters=%7B%22id%22%3A%5B%22{identifier}%22%5D%7D" if identifier else ""
        names = {}
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError, RecursionError):
            for container in json.loads(self._get(path, "/containers/json" + query)):
                names[str(container["Id"])] = str(container["Names"][0]).lstrip("/")
        return names

    def _get(self, path: str, target: str) -> bytes:
        """The body of the answer, all of which has to come within TIMEOUT_S. Raises OSError."""
        import socket
        end_s = time.monotonic() + self.TIMEOUT_S
        answer = b""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(self.TIMEOUT_S)
            try:
                connection.connect(path)
                # HTTP/1.0: the end of the answer is that of the connection (RFC 9112, section 6.3).
                connection.sendall(f"GET {target} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
                while len(answer) <= self.ANSWER_LIMIT_BYTES:
                    connection.settimeout(max(0.001, end_s - time.monotonic()))
                    part = connection.recv(1 << 16)
                    if not part:
                        break
                    answer += part
            except socket.timeout:
                self._silent_until_s = time.monotonic() + self._pause_s
                self._pause_s = min(2 * self._pause_s, self.LONGEST_PAUSE_S)
                raise
        self._pause_s = self.FIRST_PAUSE_S
        return answer.partition(b"\r\n\r\n")[2]


docker_socket = DockerSocket()


def running_containers() -> list[RunningContainer]:
    """Every container that runs on this machine, whatever engine started it."""
    processes = list(running_processes())
    is_docker = any(process.monitor.is_dockers and process.monitor.uid in trusted_users()
                    for process in processes if process.monitor)
    return containers_among(processes, docker_socket.names() if is_docker else {})


def is_prepared(container: RunningContainer) -> bool:
    """Has a runtime made this container, and not started its program yet, as after `podman init`? Then its only process
    is the runtime's. What has come from a checkpoint (criu) has executed nothing either, but its program is in there.
    """
    process = f"/proc/{container.pid}"
    if not (is_first_in_pid_namespace(container.pid) and is_entering(container.pid)):
        return False
    with contextlib.suppress(OSError):
        program = os.readlink(f"{process}/exe")
        return not os.path.samestat(os.stat(f"{process}/exe"), os.stat(f"{process}/root{program}"))
    return True


def begun_containers() -> list[RunningContainer]:
    """The containers that run, without those that are yet to start."""
    return [container for container in running_containers() if not is_prepared(container)]


def describe_running(name: str, containers: Iterable[RunningContainer], others: str = "--pid or --cgroup") -> str:
    """What to say of a name that none has."""
    names = [container.name for container in containers]
    longer = [each for each in names if each.startswith(name)]
    return ((f"those that run: {list_names(names, 'the engine')}" if names else "none runs that is known by name")
            + f"; of other engines than Podman, Docker, containerd and CRI-O: {others}"
            + (f"; did you mean {quoted(longer[0])}?" if longer else suggestion(name, names)))


def find_container(name: str, containers: Iterable[RunningContainer]) -> RunningContainer | None:
    """The one with this name or id, or whose id begins so; None if there is none. Raises SpocError for several."""
    containers = list(containers)
    for matches in ([container for container in containers if name == container.name],
                    [container for container in containers if has_id(name, container.identifier, container.maker)],
                    [container for container in containers if container.maker in trusted_users()
                     and container.identifier.startswith(name)]):
        if len(matches) > 1:
            raise SpocError("find container", name, "several are called so",
                            "name one by its id: " + ", ".join(container.identifier for container in matches))
        if matches:
            return matches[0]
    return None


class ControlGroupMount(NamedTuple):
    """Where a hierarchy of control groups is mounted."""

    is_v2: bool
    path: str
    options: list[str]  # of version 1 the controllers, or its name


def control_group_mounts() -> list[ControlGroupMount]:
    """Those that /proc tells of (proc_pid_mountinfo(5)), of version 2 first."""
    mounts = []
    for line in read_proc("self", "mountinfo").splitlines():
        before, after = line.split(" - ")
        kind, _, options = after.split(" ", 2)
        if kind in ("cgroup", "cgroup2"):
            mounts.append(ControlGroupMount(kind == "cgroup2", before.split()[4], options.split(",")))
    return sorted(mounts, key=lambda mount: not mount.is_v2)


def control_group_roots() -> Iterator[str]:
    """Where systemd's tree of control groups is mounted: version 2 first, then that of version 1 that has its name."""
    for mount in control_group_mounts():
        if mount.is_v2 or "name=systemd" in mount.options:
            yield mount.path


def control_groups_of(pid: int) -> Iterator[str]:
    """The folders of the control groups that a process is in, that of version 2 first."""
    mounts = control_group_mounts()
    for line in sorted(read_proc(pid, "cgroup").splitlines()):  # that of version 2 has the number 0
        _, controllers, path = line.split(":", 2)
        for mount in mounts:
            if mount.is_v2 != bool(controllers) and set(controllers.split(",")).issubset([*mount.options, ""]):
                yield mount.path + path


def unit_control_group(unit: str) -> str:
    """The control group of a systemd unit that runs, a user's too; of a service, if the name does not say what it is.

    Raises SpocError if none is called so, or several are.
    """
    name = unit if "." in unit else unit + ".service"
    running: set[str] = set()
    for root in control_group_roots():
        folders = [folder for folder, _, _ in os.walk(root)]
        running.update(name for name in (os.path.basename(folder) for folder in folders) if is_unit(name))
        found = sorted(folder for folder in folders if os.path.basename(folder) == name)
        if len(found) > 1:
            raise SpocError("find unit", unit, "several are called so", "--cgroup takes one of " + ", ".join(found))
        if found:
            return found[0]
    hint = "no unit runs" if has_systemd() else (
        "systemd does not run here: --pid, --cgroup or record --no-proc-start takes what runs")
    if running:
        hint = f"those that run: {list_names(running, 'systemd-cgls')}"
    raise SpocError("find unit", unit, "no running unit has this name", hint)

# --- Filters -----------------------------------------------------------------


# linux/seccomp.h, field by field.
class SeccompData(ctypes.Structure):
    """struct seccomp_data: what a filter is given, and a notification is about."""

    _fields_ = [("nr", c_int), ("arch", c_uint32), ("instruction_pointer", c_uint64), ("args", c_uint64 * 6)]


class SockFilter(ctypes.Structure):
    """struct sock_filter (linux/filter.h): an instruction."""

    _fields_ = [("code", c_uint16), ("jt", c_uint8), ("jf", c_uint8), ("k", c_uint32)]


SOCK_FILTER_BYTES = ctypes.sizeof(SockFilter)
# The instructions that libseccomp and this file use (linux/bpf_common.h), of an accumulator, the value, and of k.
LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS: the value becomes the 32 bits at offset k of struct seccomp_data
AND = 0x54  # BPF_ALU | BPF_AND | BPF_K: value &= k
JUMP = 0x05  # BPF_JMP | BPF_JA: over k instructions
JUMP_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K; this and the next jump over jt instructions if it is true, else over jf
JUMP_GREATER = 0x25  # BPF_JGT
JUMP_GREATER_EQUAL = 0x35  # BPF_JGE
JUMP_SET = 0x45  # BPF_JSET
RETURN = 0x06  # BPF_RET | BPF_K: answer k
COMPARISONS: dict[int, Callable[[int, int], int]] = {
    JUMP_EQUAL: operator.eq, JUMP_GREATER: operator.gt, JUMP_GREATER_EQUAL: operator.ge, JUMP_SET: operator.and_}
MAX_JUMP = 255  # a conditional jump's offset has 8 bits


def bpf_step(code: int, k: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return bytes(SockFilter(code, if_true, if_false, k))


def return_value(action: str, number: int = 0) -> int:
    """What a filter returns for an action and its errno (seccomp(2)); libseccomp takes the same."""
    return ACTIONS[action] | number


def constant_program(action: str, number: int = 0) -> bytes:
    """The program of a filter that answers this to every call of every architecture."""
    return bpf_step(RETURN, return_value(action, number))


ASK_ALL = constant_program(SCMP_ACT_NOTIFY)


def parse_program(program: bytes) -> ctypes.Array[SockFilter]:
    """The instructions of a program."""
    return (SockFilter * (len(program) // SOCK_FILTER_BYTES)).from_buffer_copy(program)


def is_return(step: bytes) -> bool:
    return step[:2] == ASK_ALL[:2]


class Filter(NamedTuple):
    """A compiled seccomp filter: what seccomp(2) takes. `skipped` are syscalls that libseccomp knows no number for."""

    program: bytes
    flags: int
    no_new_privs: bool
    skipped: tuple[str, ...] = ()

    @property
    def listens(self) -> bool:
        return bool(self.flags & SECCOMP_FILTER_FLAG_NEW_LISTENER)

    def with_listener(self, default_action: str) -> Filter:
        """The same, but a listener is asked about each call that it would not simply allow.

        Not about those that it logs by default, which may be all: a process that outlives the listener can make none
        of the calls that are asked about. The answers are exchanged in the program, not in the profile: with other
        actions libseccomp might put the rules in another order.
        """
        not_asked = [ACTIONS[action] for action in PERMISSIVE if action in (SCMP_ACT_ALLOW, default_action)]
        steps = parse_program(self.program)
        for step in steps:
            if step.code == RETURN and step.k not in not_asked:
                step.k = ACTIONS[SCMP_ACT_NOTIFY]
        return self._replace(program=bytes(steps), flags=self.flags | SECCOMP_FILTER_FLAG_NEW_LISTENER)


MAX_KNOWN_CALLS = 4096  # numbers that a hostile command makes up must not fill the memory


class SimulatedFilter:
    """Answers as the kernel would under a filter, without loading it."""

    def __init__(self, program: bytes):
        self._steps = [(step.code, step.jt, step.jf, step.k) for step in parse_program(program)]
        self._verdicts: dict[tuple[int, int], Verdict] = {}  # that depend on no argument

    def __call__(self, data: SeccompData) -> Verdict:
        """The verdict that this call meets."""
        return self.answer(data)[0]

    def answer(self, data: SeccompData) -> tuple[Verdict, bool]:
        """The same, and whether it depends on more than architecture and number."""
        call = data.arch, data.nr
        if call in self._verdicts:
            return self._verdicts[call], False
        result, depends = self._run(bytes(data))
        number = result & 0xFFFF  # SECCOMP_RET_DATA
        verdict = Verdict(ACTION_NAMES[result - number], min(number, MAX_SECCOMP_ERRNO))
        if not depends and len(self._verdicts) < MAX_KNOWN_CALLS:
            self._verdicts[call] = verdict
        return verdict, depends

    def _run(self, data: bytes) -> tuple[int, bool]:
        """What the program returns, and whether it looked at more than architecture and number."""
        at, value, depends = 0, 0, False
        while True:
            code, if_true, if_false, k = self._steps[at]
            at += 1
            if code == LOAD:
                value = int.from_bytes(data[k:k + 4], sys.byteorder)
                depends |= k >= SeccompData.instruction_pointer.offset
            elif code == RETURN:
                return k, depends
            elif code == JUMP:
                at += k
            elif code == AND:
                value &= k
            else:
                at += if_true if COMPARISONS[code](value, k) else if_false


def longest_path(program: bytes) -> int:
    """How many instructions a filter runs at most for one call: its jumps only go forward."""
    longest: list[int] = []  # from each instruction on, the last one first
    for step in reversed(parse_program(program)):
        jumps = {RETURN: [], JUMP: [step.k]}.get(step.code, [step.jt, step.jf])
        longest.append(1 + max((longest[-1 - jump] for jump in jumps), default=0))
    return longest[-1]


NEXT, HOLDS, FAILS = range(3)


class Comparison(NamedTuple):
    """A part of a test: compare the bits of `mask` in the word at `offset` of struct seccomp_data with `value`."""

    offset: int
    mask: int
    jump: int  # how: one of COMPARISONS
    value: int
    if_true: int  # NEXT: go on with the test; HOLDS or FAILS: that is its result
    if_false: int


if TYPE_CHECKING:
    Test = tuple[Comparison, ...]
    Tested = list[tuple[tuple[Test, ...], bytes]]  # what must all hold, for this to be returned


def equals(offset: int, value: int) -> Test:
    """The test that the word at this offset has this value."""
    return (Comparison(offset, MASK_32, JUMP_EQUAL, value, HOLDS, FAILS),)


def condition_tests(condition: Condition, wide: bool) -> list[Test]:
    """What must hold for a condition to hold, by words of 32 bits; the upper one of each argument only if `wide`."""
    op, value, offset = condition.op, condition.value, SeccompData.args.offset + 8 * condition.argument
    low, high = (offset, offset + 4) if sys.byteorder == "little" else (offset + 4, offset)
    if op in ("SCMP_CMP_EQ", "SCMP_CMP_MASKED_EQ"):
        mask, wanted = condition.compared
        words = [(low, mask & MASK_32, wanted & MASK_32)]
        if wide:
            words.insert(0, (high, mask >> 32, wanted >> 32))
        return [(Comparison(at, bits, JUMP_EQUAL, wanted_bits, HOLDS, FAILS),)
                for at, bits, wanted_bits in words if bits]
    jump, if_true, if_false = {
        "SCMP_CMP_NE": (JUMP_EQUAL, FAILS, HOLDS),
        "SCMP_CMP_LT": (JUMP_GREATER_EQUAL, FAILS, HOLDS), "SCMP_CMP_LE": (JUMP_GREATER, FAILS, HOLDS),
        "SCMP_CMP_GE": (JUMP_GREATER_EQUAL, HOLDS, FAILS), "SCMP_CMP_GT": (JUMP_GREATER, HOLDS, FAILS)}[op]
    test = [Comparison(low, MASK_32, jump, value & MASK_32, if_true, if_false)]
    if wide:  # the lower words decide where the upper ones are equal
        test.insert(0, Comparison(high, MASK_32, JUMP_EQUAL, value >> 32, NEXT, if_false))
        if jump != JUMP_EQUAL:
            test.insert(0, Comparison(high, MASK_32, JUMP_GREATER, value >> 32, if_true, NEXT))
    return [tuple(test)]


def assemble_test(test: Test, loaded: int, inner: list[bytes], following: list[bytes]) -> list[bytes]:
    """A test in front of what is done if it holds; if it fails, that is jumped over.

    `loaded` is the offset of the word that the accumulator holds, -1 if that is not known.
    """
    codes: list[tuple[int, int, int, int]] = []
    for offset, mask, jump, value, if_true, if_false in test:
        if offset != loaded:
            codes.append((LOAD, offset, NEXT, NEXT))
        if mask != MASK_32:
            codes.append((AND, mask, NEXT, NEXT))
        codes.append((jump, value, if_true, if_false))
        loaded = offset if mask == MASK_32 else -1
    holds, fails = len(codes), len(codes) + len(inner)
    if is_return(inner[0]) and inner[0] in following[:MAX_JUMP - len(codes)]:  # the answer is there already
        holds, fails, inner = len(codes) + following.index(inner[0]), len(codes), []
    elif fails > MAX_JUMP:
        holds, fails, inner = holds + 1, holds, [bpf_step(JUMP, len(inner)), *inner]
    assembled = []
    for following_at, (code, k, if_true, if_false) in enumerate(codes, 1):  # from which jumps are counted
        targets = {NEXT: following_at, HOLDS: holds, FAILS: fails}
        assembled.append(bpf_step(code, k, targets[if_true] - following_at, targets[if_false] - following_at))
    return assembled + inner


def runc_prefix(profile: Profile, native: Architecture) -> bytes:
    """What runc puts before the program of a filter (its libcontainer/seccomp/patchbpf/enosys_linux.go): ENOSYS for a
    call whose number is above all that the rules name for its architecture, so that libcs take an older call. Nothing
    where the default lets calls pass, or asks a tracer.
    """
    program = b""
    if profile.default_action in (*PERMISSIVE, SCMP_ACT_TRACE):
        return program
    names = {name for rule in profile.rules for name in rule.names}
    for listed in sorted({native.name, *profile.architectures} - {"SCMP_ARCH_NATIVE"}):
        token = architecture_token(listed)
        last = max((syscall_number(name, token) for name in names), default=0)
        if last <= 0:
            continue
        kernel_token = Architecture(listed, token).kernel_token
        test = [Comparison(SeccompData.arch.offset, MASK_32, JUMP_EQUAL, kernel_token, NEXT, FAILS)]
        if kernel_token == X86_64.token:  # of x32 as well, whose calls the kernel tells apart by this bit alone
            ways = (FAILS, NEXT) if token == kernel_token else (NEXT, FAILS)
            test.append(Comparison(SeccompData.nr.offset, MASK_32, JUMP_SET, X32_SYSCALL_BIT, *ways))
        test.append(Comparison(SeccompData.nr.offset, MASK_32, JUMP_GREATER, last, HOLDS, FAILS))
        no_such_call = constant_program(SCMP_ACT_ERRNO, errno.ENOSYS)
        program += b"".join(assemble_test(tuple(test), -1, [no_such_call], []))
    return program


def whole_word(test: Test) -> int:
    """The offset of the word that a test of one comparison leaves in the accumulator; -1 if it leaves none."""
    return test[0].offset if len(test) == 1 and test[0].mask == MASK_32 else -1


def assemble_rules(rules: Tested, loaded: int, following: list[bytes]) -> list[bytes]:
    """The first rule whose tests all hold gives the answer; if there is none, it goes on with what is `following`.

    Neighbours share the tests with which they begin.
    """
    groups: list[tuple[Test, int, Tested]] = []
    for tests, answer in rules:
        if not tests:
            groups.append(((), -1, [((), answer)]))
            break
        if not groups or groups[-1][0] != tests[0]:
            if groups:  # only a plain comparison that either answers or goes on leaves the word there
                test, _, inner = groups[-1]
                loaded = whole_word(test) if not inner[0][0] else -1
            groups.append((tests[0], loaded, []))
        groups[-1][2].append((tests[1:], answer))
    code: list[bytes] = []
    for test, loaded, inner in reversed(groups):
        after = [*code[:MAX_JUMP], *following][:MAX_JUMP]
        if not test:
            code = [inner[0][1]]
            continue
        code = assemble_test(test, loaded, assemble_rules(inner, whole_word(test), after), after) + code
    return code


def fulfilled(condition: Condition) -> int:
    """A value for which the condition holds, if there is one."""
    if condition.op == "SCMP_CMP_MASKED_EQ":
        return condition.value_two
    step = {"SCMP_CMP_NE": 1, "SCMP_CMP_GT": 1, "SCMP_CMP_LT": -1}.get(condition.op, 0)
    return condition.value + step & MASK_64


TRIED_CALLS, MIXED_VALUES = 50, 8


def tried_arguments(rules: Sequence[Rule]) -> Iterator[list[int]]:
    """Arguments at which code for these rules may err: such as meet one of the rules, and the same with one of them
    replaced by a value that any rule compares with, by a neighbour of that, by one whose upper half is a neighbour's
    and whose lower half leads the other way, or by the halves of two such values.
    """
    named = sorted({value for rule in rules for each in rule.conditions for value in (each.value, each.value_two)})
    candidates = [value + step & MASK_64 for value in named for step in (-1, 0, 1, MASK_32, -MASK_32)]
    candidates += [high & ~MASK_32 | low & MASK_32 for high in named[:MIXED_VALUES] for low in named[:MIXED_VALUES]]
    some = rules[::len(rules) // TRIED_CALLS + 1]
    stride, offset = max(1, len(some) * len(candidates) // TRIED_CALLS), 0
    for rule in some:
        arguments = [0] * 6
        for each in rule.conditions:
            arguments[each.argument] = fulfilled(each)
        yield arguments
        for each in rule.conditions:
            for value in candidates[offset % stride::stride]:
                yield [*arguments[:each.argument], value, *arguments[each.argument + 1:]]
            offset += 1


class Node(NamedTuple):
    """How libseccomp holds a word that a rule compares, in the tree of the rules for a syscall (its src/db.c)."""

    rank: tuple[int, int, int]  # among those that follow the same nodes: the lowest is asked first
    identity: tuple[int, str, int, int]  # rules that begin with the same nodes share them


class Branch:
    """The rules of a syscall that begin with the same nodes; the rank is that of the first to come here."""

    def __init__(self, rank: tuple[int, int, int]):
        self.rank = rank
        self.rule: Rule | None = None  # if nothing more is asked
        self.branches: dict[tuple[int, str, int, int], Branch] = {}

    def rules(self) -> Iterator[Rule]:
        """In the order in which they are asked."""
        if self.rule:
            yield self.rule
        for branch in sorted(self.branches.values(), key=lambda each: each.rank):
            yield from branch.rules()

    def add(self, nodes: list[Node], rule: Rule) -> None:
        """Of rules that begin alike the shortest counts. Raises OSError where libseccomp does."""
        if nodes:
            if not self.rule:
                first, *others = nodes
                self.branches.setdefault(first.identity, Branch(first.rank)).add(others, rule)
        elif any(each.verdict != rule.verdict for each in self.rules()):
            raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))
        else:
            self.rule, self.branches = rule, {}


def condition_nodes(conditions: Iterable[Condition], wide: bool) -> list[Node]:
    """The way through the tree to a rule with these conditions."""
    nodes = []
    for each in sorted(conditions):
        mask, value = each.compared
        priority = {"SCMP_CMP_LT": 2, "SCMP_CMP_LE": 2, "SCMP_CMP_GT": 1, "SCMP_CMP_GE": 1}.get(each.op, 3)
        for shift in (32, 0) if wide else (0,):
            word = value >> shift & MASK_32
            place = 2 * each.argument + shift // 32
            kind = each.op
            if shift and kind != "SCMP_CMP_MASKED_EQ":  # of the upper word only this is asked
                kind = "ordered" if priority < 3 else "equal"
            nodes.append(Node((-place, -priority, word if priority == 2 else -word),
                              (place, kind, word, mask >> shift & MASK_32)))
    return nodes


@functools.lru_cache(None)
def direct_numbers(token: int, multiplexed: int) -> dict[str | None, int]:
    """Name -> number of what was added later for what a multiplexed syscall of this number does: none is far below."""
    return {syscall_name(Architecture("", token), number): number
            for number in range(multiplexed - 20, multiplexed + 400)}


def numbers_for(name: str, token: int) -> list[tuple[int, int]]:
    """The numbers by which an architecture can do this, each with the first argument of a multiplexed call, or 0."""
    number = syscall_number(name, token)
    if number >= 0:
        return [(number, 0)]
    # For what is multiplexed libseccomp has -100 or -200, less that argument, and not the number of its own.
    multiplexed = syscall_number({1: "socketcall", 2: "ipc"}.get(-number // 100, ""), token)
    if multiplexed < 0:
        return []
    direct = direct_numbers(token, multiplexed).get(name)
    return [(multiplexed, -number % 100)] + ([(direct, 0)] if direct else [])


class FilterBuilder:
    """Compiles a profile: by libseccomp the rules that depend on a syscall's number alone, by itself all others.

    From several rules with conditions for one syscall libseccomp 2.5 makes programs that compare what the accumulator
    held before, or it never returns. The program of libseccomp comes last, and answers what the others have not.
    """

    def __init__(self, profile: Profile, native: Architecture):
        self.profile = profile
        self._architectures = {native.token: native}
        for name in profile.architectures:
            token = architecture_token(name)
            if token:
                self._architectures.setdefault(token, Architecture(name, token))
            elif name != "SCMP_ARCH_NATIVE":
                raise SpocError("build filter", name,
                                f"libseccomp {format_libseccomp_version()} does not know this architecture",
                                "a newer one may; or take it out of the profile")

    def build(self, no_new_privs: bool = False, prefix: bytes = b"") -> Filter:
        """The filter, to be loaded with the flags of the profile. Its program begins with `prefix`."""
        flags = sum(FILTER_FLAGS[flag] for flag in self.profile.loaded_flags)
        program, skipped = self.export()
        program = prefix + program
        self._check_size(len(program) // SOCK_FILTER_BYTES)
        return Filter(program, flags, no_new_privs, skipped)

    def export(self, text: bool = False, optimize: int = 1) -> tuple[bytes, tuple[str, ...]]:
        """The compiled program or, as text, a listing (libseccomp's PFC); and the syscalls that it knows no number for.

        `optimize` 2 makes it a binary tree.
        """
        main, skipped = self._compile(text, optimize)
        conditional = [(architecture, self._conditional(architecture.token))
                       for architecture in self._architectures.values()]
        # Each takes at least an instruction: this bounds the time, too.
        self._check_size(sum(len(rules) for _, calls in conditional for rules in calls.values()))
        translate = self._list if text else self._assemble
        parts = [translate(architecture, calls) for architecture, calls in conditional if calls]
        return b"".join([*parts, main]), skipped

    @contextlib.contextmanager
    def _building(self, subject: str) -> Iterator[None]:
        """Make an OSError meanwhile a SpocError about this subject."""
        try:
            yield
        except OSError as error:
            reason, hint = error.strerror or str(error), "this libseccomp or kernel cannot do that"
            if error.errno == errno.EDOM and subject in self.profile.architectures:
                reason = "has the other byte order, which libseccomp does not take into this machine's filter"
                hint = "take it out of the profile"
            elif error.errno == errno.EEXIST:
                hint = "two rules have the same conditions, if only within socketcall or ipc, but other actions"
                raise ConflictError("build filter", subject, reason, hint) from None
            raise SpocError("build filter", subject, reason, hint) from None

    @staticmethod
    def _check_size(instructions: int) -> None:
        if instructions > BPF_MAXINSNS:
            raise SpocError("build filter", "the whole filter", f"has more than {BPF_MAXINSNS} instructions",
                            "shorten it")

    def _conditional(self, token: int) -> dict[int, list[Rule]]:
        """The numbers for which rules have conditions, each with the rules that decide it, in the order in which
        libseccomp would ask them. Each rule has the name and the conditions that it has there.
        """
        found: dict[int, dict[Rule, None]] = {}
        if not any(rule.conditions for rule in self.profile.rules):
            return {}
        conditional: set[int] = set()
        for rule in self.profile.rules:
            for name in rule.names:
                for number, code in numbers_for(name, token):
                    each = rule._replace(names=(name,))
                    found.setdefault(number, {})[each.multiplexed(code) if code else each] = None
                    if rule.conditions:
                        conditional.add(number)
        ordered = {number: self._ordered(found[number], token) for number in sorted(conditional)}
        return {number: rules for number, rules in ordered.items() if rules and rules[0].conditions}

    def _ordered(self, rules: Iterable[Rule], token: int) -> list[Rule]:
        """The rules that decide one number. Conditions that any argument meets are none."""
        mask = argument_mask(token)
        effective = {rule._replace(conditions=tuple(each for each in rule.conditions if each.compared[0] & mask)): rule
                     for rule in rules}
        deciding = deciding_rules(effective, self.profile.default)
        self._check_size(len(deciding))  # before work: each takes at least an instruction
        root = Branch((0, 0, 0))
        for rule in deciding:
            with self._building(rule.names[0]):
                root.add(condition_nodes(rule.conditions, mask == MASK_64), effective[rule])
        return list(root.rules())

    def _assemble(self, architecture: Architecture, calls: dict[int, list[Rule]]) -> bytes:
        """The program that answers these calls of an architecture, and passes all others on."""
        mask, default = argument_mask(architecture.token), constant_program(*self.profile.default)
        code = [bpf_step(LOAD, SeccompData.nr.offset)]
        for number, rules in calls.items():
            tested: Tested = []
            for rule in rules:
                tests = [condition_tests(each, mask == MASK_64) for each in sorted(rule.conditions)]
                tested.append((tuple(itertools.chain(*tests)), constant_program(*rule.verdict)))
            inner = [*assemble_rules(tested, -1, [default]), default]
            self._check(number, rules, inner, mask)
            code += assemble_test(equals(SeccompData.nr.offset, number), SeccompData.nr.offset, inner, [])
        return b"".join(assemble_test(equals(SeccompData.arch.offset, architecture.kernel_token), -1, code, []))

    def _check(self, number: int, rules: list[Rule], code: list[bytes], mask: int) -> None:
        """Hold the code for a number against its rules: no mistake in how it is made may let a call pass."""
        simulated, narrowed = SimulatedFilter(b"".join(code)), [rule.narrowed(mask) for rule in rules]
        for arguments in tried_arguments(rules):
            call = SeccompData(number, 0, 0, (c_uint64 * 6)(*arguments))
            seen = {index: value & mask for index, value in enumerate(arguments)}
            right = next(possible_verdicts(narrowed, self.profile.default, seen))
            if simulated(call) != right:
                raise SpocError("build filter", rules[0].names[0], f"with the arguments {arguments} its rules say "
                                f"{right}, but their code {simulated(call)}", "report it")

    def _list(self, architecture: Architecture, calls: dict[int, list[Rule]]) -> bytes:
        """What _assemble() makes, in the manner of libseccomp's listing."""
        lines = ["# rules with conditions: the first that holds", f"if ($arch == {architecture.kernel_token})"]
        for number, rules in calls.items():
            lines += [f"  # filter for syscall {number} of {architecture.short_name}", f"  if ($syscall == {number})"]
            for rule in rules:
                narrowed = rule.narrowed(argument_mask(architecture.token))
                terms = [each.text(f"$a{each.argument}") for each in narrowed.conditions]
                lines += [f"    if ({' and '.join(terms)})", f"      action {self._listed(rule.verdict)};"]
            lines.append(f"    action {self._listed(self.profile.default)};")
        return "".join(f"{line}\n" for line in lines).encode()

    @staticmethod
    def _listed(verdict: Verdict) -> str:
        action = verdict.action.replace("SCMP_ACT_", "")
        return f"{action}({verdict.errno})" if verdict.action in NUMBERED_ACTIONS else action

    def _compile(self, text: bool, optimize: int) -> tuple[bytes, tuple[str, ...]]:
        """What libseccomp makes of the rules without conditions; and the syscalls that it knows no number for."""
        with contextlib.ExitStack() as resources:
            with self._building(self.profile.default_action):
                context = libseccomp.seccomp_init(return_value(*self.profile.default))
            resources.callback(libseccomp.seccomp_release, context)
            for architecture in list(self._architectures.values())[1:]:
                with self._building(architecture.name):
                    libseccomp.seccomp_arch_add(context, architecture.token)
            skipped = []
            added = set()
            for name, deciding in deciding_by_name(self.profile).items():
                if not any(numbers_for(name, token) for token in self._architectures):
                    skipped.append(name)
                elif deciding and not deciding[0].effective_conditions:
                    added.add(name)
                    with self._building(name):
                        libseccomp.seccomp_rule_add_array(context, return_value(*deciding[0].verdict),
                                                          syscall_number(name), 0, None)
            with self._building("the whole filter"):
                if optimize > 1:
                    libseccomp.seccomp_attr_set(context, SCMP_FLTATR_CTL_OPTIMIZE, optimize)
                self._prefer_real(context, added)
                descriptor = os.memfd_create("filter")
                resources.callback(os.close, descriptor)
                (libseccomp.seccomp_export_pfc if text else libseccomp.seccomp_export_bpf)(context, descriptor)
                program = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
                if text and b"\n# pseudo filter code end\n" not in program:
                    # It looks at no error of fprintf(3).
                    raise OSError(errno.EIO, "libseccomp has cut its listing off")
        return program, tuple(skipped)

    def _prefer_real(self, context: ScmpContext, names: set[str]) -> None:
        """Have each architecture begin with a syscall that it has: for others libseccomp makes no instructions, and
        where one comes first, 2.5.4 does not load the number.
        """
        multiplexed = [name for name, inner in MULTIPLEXED.items() if not names.isdisjoint(inner.values())]
        for token in self._architectures:
            numbers = {syscall_number(name, token): name for name in names.union(multiplexed)}
            if min(numbers, default=0) < 0 <= max(numbers):
                libseccomp.seccomp_syscall_priority(
                    context, syscall_number(numbers[max(numbers)]), 255)


def check_intersection(profile: Profile, native: Architecture) -> None:
    """Refuse an intersection of which no filter can be built: a call by its own number and the same call within
    socketcall or ipc can be answered differently by the profiles, but not by the rules of one.
    """
    for name in profile.architectures:
        try:
            FilterBuilder(profile._replace(architectures=(name,)), native).build()
        except ConflictError as error:
            raise SpocError("intersect", error.subject, f"on {name}, within socketcall or ipc, it would have two "
                            "answers", "take that out of the architectures") from None
        except SpocError:  # it is for another machine, which may build it
            continue


# --- Commands under watch ----------------------------------------------------


class Identity(NamedTuple):
    """A user that the command runs as instead of root."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    environment: dict[str, str]

    @property
    def title(self) -> str:
        """Who that is, why, and what to do about it."""
        return f"{self.environment.get('USER', f'user {self.uid}')} (called sudo); --privileged runs it as root"


NO_ID = (1 << 32) - 1  # -1, which leaves an id as it is (setresuid(2))


def sudo_identity(environment: os._Environ[str]) -> Identity | None:
    """Who called sudo, with that user's groups and home; None if it was not sudo that made us root."""
    if os.geteuid() != 0 or environment.get("SUDO_UID", "0") == "0":
        return None
    try:
        uid, gid = int(environment["SUDO_UID"]), int(environment["SUDO_GID"])
        if not 0 < uid < NO_ID or not 0 <= gid < NO_ID:
            raise ValueError
    except (KeyError, ValueError):
        raise ChildError("start command", f"SUDO_UID={environment.get('SUDO_UID')} SUDO_GID="
                         f"{environment.get('SUDO_GID')}", "no user",
                         "set both as sudo does, or neither") from None
    return identity_of(uid, gid)


NO_GROUP = 65534  # of whom the machine does not know: what the kernel shows for an unknown id (overflowgid)


def identity_of(uid: int, gid: int | None = None) -> Identity:
    """A user with all groups; without `gid` the main group is that of the user database."""
    import pwd
    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        gid = NO_GROUP if gid is None else gid
        return Identity(uid, gid, (gid,), {"HOME": "/"})
    gid = user.pw_gid if gid is None else gid
    return Identity(uid, gid, tuple(os.getgrouplist(user.pw_name, gid)),
                    {"HOME": user.pw_dir, "USER": user.pw_name, "LOGNAME": user.pw_name})


def find_program(name: str) -> str:
    """The file that a command's name stands for; "" if there is none."""
    for path in [name] if "/" in name else [os.path.join(folder, name) for folder in os.get_exec_path()]:
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return ""


def poll_readable(descriptors: Iterable[int]) -> select.poll:
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return poll


def select_readable(descriptors: Iterable[int], timeout_ms: float | None) -> list[int]:
    """Those of the descriptors that have input, or are at their end; after a time none."""
    return [descriptor for descriptor, _ in poll_readable(descriptors).poll(timeout_ms)]


# Meant for a program that knows them: would they end the recorder instead, the recording would be lost.
SIGNALS_RELAYED = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGPWR, signal.SIGIO, signal.SIGVTALRM,
                   signal.SIGPROF, 16, *range(signal.SIGRTMIN, signal.SIGRTMAX + 1))  # 16: SIGSTKFLT, asm/signal.h
SI_KERNEL = 0x80  # asm-generic/siginfo.h: a terminal's signals have it


if TYPE_CHECKING:
    InputHandlers = dict[int, Callable[[], None]]  # a descriptor, and what reads from it when it is readable


class Timer:
    """Something to do every so many seconds."""

    def __init__(self, interval_s: float, action: Callable[[], None]):
        self.interval_s, self.action = interval_s, action
        self.due_s = time.monotonic() + interval_s

    def run_if_due(self) -> None:
        now_s = time.monotonic()
        if now_s >= self.due_s:
            self.due_s = now_s + self.interval_s
            self.action()


class Supervisor:
    """Waits for a command without polling: every signal of interest is blocked, and read from a descriptor."""

    SAME_REQUEST_S = 0.1
    MAX_TIMEOUT_S = 86400.0  # poll(2) takes an int of milliseconds
    SIGINFO_BYTES = 128  # struct signalfd_siginfo, signalfd(2)

    def __init__(self, has_command: bool = True) -> None:
        # A signal that is ignored, as under nohup, would be taken all the same if it were blocked. Without a command
        # SIGINT is: a script's shell lets what it starts with & ignore that, and kill -INT shall end a recording.
        taken = () if has_command else (signal.SIGINT,)
        self.signals = [signum for signum in (*SIGNALS_TO_END, *SIGNALS_RELAYED, signal.SIGTSTP, signal.SIGXCPU)
                        if signum in taken or signal.getsignal(signum) is not signal.SIG_IGN]
        self.before_stop: Callable[[], None] = lambda: None
        self.before_kill: Callable[[], None] = lambda: None  # this process nears its limit of CPU time (setrlimit(2))
        self.requests = 0
        self._last_request = 0  # its signal
        self._last_request_s = 0.0
        self.mask: set[int] = set()
        self._resources = contextlib.ExitStack()

    def __enter__(self) -> Supervisor:
        self.sigchld = signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, it would take the status away
        blocked = [*self.signals, signal.SIGCHLD]
        self.mask = set(signal.pthread_sigmask(signal.SIG_BLOCK, blocked))
        bits = sum(1 << signum - 1 for signum in blocked).to_bytes(self.SIGINFO_BYTES, sys.byteorder)
        self._descriptor = libc.signalfd(-1, bits, os.O_NONBLOCK | os.O_CLOEXEC)
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()
        self.restore()

    def check(self) -> None:
        """Raise KeyboardInterrupt, with its number, if a signal asks to stop before the command has been let go.

        What has arrived stays for wait(): a SIGCHLD would be missed there.
        """
        for signum in signal.sigpending().intersection(self.signals, SIGNALS_TO_END):
            raise KeyboardInterrupt(signum)

    def restore(self) -> None:
        """Let signals act on this process again; what arrived so far was meant for a command that is gone."""
        if self._descriptor >= 0:
            list(self._received())
            close(self._descriptor)
            self._descriptor = -1
            signal.pthread_sigmask(signal.SIG_SETMASK, self.mask)
            signal.signal(signal.SIGCHLD, self.sigchld)

    @contextlib.contextmanager
    def interrupting(self) -> Iterator[None]:
        """Have the first signal to end that comes now end what is done here: by KeyboardInterrupt with its number."""
        list(self._received())  # what arrived so far was meant for a command that is gone
        taken = [signum for signum in self.signals if signum in SIGNALS_TO_END]

        def interrupt(signum: int, _: object) -> NoReturn:
            signal.pthread_sigmask(signal.SIG_BLOCK, taken)
            raise KeyboardInterrupt(signum)
        before = {signum: signal.signal(signum, interrupt) for signum in taken}
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, taken)
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_BLOCK, taken)
            for signum, handler in before.items():
                signal.signal(signum, handler)

    def wait(self, pid: int, timers: Sequence[Timer], alive: Callable[[], bool] | None, inputs: InputHandlers) -> int:
        """Wait for the command and give its status, as waitpid(2) does.

        Meanwhile run timers, pass signals on, and serve `inputs` (see Child.wait_started). With `alive`, then wait as
        well until that says no or a signal asks to stop: the caller has to be the reaper of all descendants, so that
        the end of each shows as SIGCHLD.
        """
        status: int | None = None
        end_descriptor = -1
        poll = poll_readable([self._descriptor, *inputs])
        while True:
            if self._serve(poll, inputs, timers):
                continue
            self._handle_signals(pid if status is None else None)
            status = self._reap(pid, status)
            if status is None and self.requests > 1:
                if end_descriptor < 0:
                    end_descriptor = self._watch_end(pid, poll)
                status = self._zombie_status(pid, end_descriptor)
            if status is not None and (alive is None or self.requests or not alive()):
                return status

    def wait_until(self, is_over: Callable[[], bool], timers: Sequence[Timer], inputs: InputHandlers) -> None:
        """Wait where there is no command until that is over, which an input tells, or a signal asks to stop."""
        poll = poll_readable([self._descriptor, *inputs])
        while not self.requests and not is_over():
            self._serve(poll, inputs, timers)
            self._handle_signals(None)

    def _serve(self, poll: select.poll, handlers: InputHandlers, timers: Sequence[Timer]) -> bool:
        """Wait for events, serve inputs, run timers. True if there were inputs alone, as nearly always while a listener
        is served, where time counts.
        """
        timeout_ms = None
        if timers:
            remaining_s = min(timer.due_s for timer in timers) - time.monotonic()
            timeout_ms = min(max(0.0, remaining_s), self.MAX_TIMEOUT_S) * 1000
        events = poll.poll(timeout_ms)
        only_inputs = bool(events)
        for descriptor, event in events:
            if descriptor in handlers and event != select.POLLHUP:
                handlers[descriptor]()
                continue
            only_inputs = False
            if descriptor in handlers:  # nothing will ever come again
                poll.unregister(descriptor)
        for timer in timers:
            timer.run_if_due()
        return only_inputs

    def _handle_signals(self, pid: int | None) -> None:
        """Do what the signals that have arrived ask for; the command, if it lives, gets those that are meant for it."""
        for signum, from_kernel in self._received():
            if signum == signal.SIGTSTP:  # the command gets its own, if it is the terminal's
                self.before_stop()
                os.kill(os.getpid(), signum)
                signal.pthread_sigmask(signal.SIG_UNBLOCK, [signum])  # stops here, unless nobody could continue it
                signal.pthread_sigmask(signal.SIG_BLOCK, [signum])
            elif signum == signal.SIGXCPU:  # the command has a time of its own
                self.before_kill()
            elif signum != signal.SIGCHLD:
                self._pass_on(signum, from_kernel, pid)

    def _watch_end(self, pid: int, poll: select.poll) -> int:
        """A descriptor that is readable once the process has ended, whether or not it can be reaped; -1 if none."""
        with contextlib.suppress(OSError, AttributeError):  # Linux 5.3; Python may have been built without it
            descriptor = os.pidfd_open(pid)
            self._resources.callback(os.close, descriptor)
            poll.register(descriptor, select.POLLIN)
            return descriptor
        return -1

    @staticmethod
    def _zombie_status(pid: int, end_descriptor: int) -> int | None:
        """The status of a process that has ended, but that its tracer, such as a crash handler that hangs, has not
        reaped: until then no parent can (wait_consider_task() in kernel/exit.c).
        """
        if end_descriptor < 0 or not select_readable([end_descriptor], 0):
            return None
        tracer = proc_status(pid).get("TracerPid", "0")
        fields = read_proc(pid, "stat").split()
        if tracer == "0" or not fields:
            return None
        Log.result(f"The command has ended; process {tracer}, which traces it, keeps it as a zombie")
        return int(fields[-1])  # exit_code, proc_pid_stat(5)

    def _received(self) -> Iterator[tuple[int, bool]]:
        """The signals that have arrived, each with whether the kernel itself sent it."""
        with contextlib.suppress(BlockingIOError):
            while True:
                info = os.read(self._descriptor, self.SIGINFO_BYTES)
                yield info[0], int.from_bytes(info[8:12], sys.byteorder) == SI_KERNEL

    @staticmethod
    def _reap(pid: int, status: int | None) -> int | None:
        """The status of the command, if it has ended. Orphans as well are waited for: they may have come to us."""
        try:
            while True:
                ended, its_status = os.waitpid(-1, os.WNOHANG)
                if not ended:
                    return status
                status = its_status if ended == pid else status
        except ChildProcessError:
            if status is None:  # and it never will be known: no SIGCHLD comes any more
                raise
            return status

    def _pass_on(self, signum: int, from_kernel: bool, pid: int | None) -> None:
        now_s = time.monotonic()
        if signum in SIGNALS_TO_END:
            if signum == self._last_request and now_s - self._last_request_s < self.SAME_REQUEST_S:
                return  # timeout(1) signals its child, and then the group that it is in
            self._last_request = signum
            self._last_request_s = now_s
            self.requests += 1
        if pid is None:
            return
        # A terminal signals its whole foreground process group: the command has the signal if it is in ours.
        reached = from_kernel and os.getpgid(pid) == os.getpgrp() and not (
            signum == signal.SIGHUP and os.getsid(0) == os.getpid())  # a hang-up reaches the session's leader only
        if self.requests > 1 and signum in SIGNALS_TO_END:
            signum, reached = signal.SIGKILL, False
        if not reached:
            try:
                os.kill(pid, signum)
            except OSError as error:  # it may have become another user's
                Log.error(SpocError("pass on signal", str(signum), error, "send it yourself"))


def initial_environment() -> list[bytes]:
    """The environment as it was before Python, which adds LC_CTYPE to that of the C locale (PEP 538).

    A name may be there twice, or be empty or without a value: neither a dictionary nor os.execve() takes that.
    """
    try:
        with open("/proc/self/environ", "rb") as file:
            return file.read().split(b"\0")[:-1]
    except OSError:
        return [os.fsencode(f"{name}={value}") for name, value in os.environ.items()]


def c_strings(values: Sequence[bytes]) -> ctypes.Array[c_char_p]:
    return (c_char_p * (len(values) + 1))(*values, None)


def start_audit_session(uid: int) -> None:
    """Become an audit session of its own, as a login does: every write of loginuid starts one (kernel/auditsc.c).

    A login id that is set stays the same. It may be refused: that is no error.
    """
    with contextlib.suppress(OSError, ValueError):
        with open("/proc/self/loginuid", "r+", encoding="utf-8") as file:
            login_id = int(file.read())
            file.seek(0)
            file.write(str(uid if login_id == NO_ID else login_id))


def exit_code(status: int) -> int:
    """A wait status as a shell's $?."""
    return EXIT_SIGNAL + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def signal_name(number: int) -> str:
    """SIGTERM, or SIGRTMIN+2 for what has no name of its own."""
    names = sorted(name for name, value in vars(signal).items()
                   if name.startswith("SIG") and not name.startswith("SIG_") and value == number)
    if not names and signal.SIGRTMIN < number < signal.SIGRTMAX:
        return f"SIGRTMIN+{number - signal.SIGRTMIN}"
    return names[0] if names else f"signal {number}"


def describe_status(status: int) -> str:
    """What a wait status says, as the end of a sentence."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return f"was killed by {signal_name(number)} ({signal.strsignal(number) or 'unknown'})"
    return f"ended with exit status {os.WEXITSTATUS(status)}"


def search_path(command: str, environment: Sequence[bytes], attempt: Callable[[bytes], object]) -> bytes:
    """As execvp(3): the first in PATH of which the attempt succeeds; of the failures the one that tells most."""
    name = os.fsencode(command)
    paths = [entry[5:] for entry in environment if entry.startswith(b"PATH=")] or [os.fsencode(os.defpath)]
    folders = [b""] if b"/" in name else paths[0].split(b":")
    failure = OSError(errno.ENOENT, "")
    for folder in folders if name else ():
        path = os.path.join(folder, name)
        try:
            attempt(path)
            return path
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                failure = error
    raise failure


def check_executable(path: bytes) -> None:
    if stat.S_ISDIR(os.stat(path).st_mode) or not os.access(path, os.X_OK):
        raise PermissionError(errno.EACCES, "")


def set_death_signal(signum: int) -> None:
    """Have the kernel send this signal to this process when its parent ends; 0: none."""
    with contextlib.suppress(OSError):
        libc.prctl(PR_SET_PDEATHSIG, signum, 0, 0, 0)


# How far the start has come, in this order.
STAGE_USER = 0  # the child becomes the user
STAGE_COMMAND = 1  # it waits for its release, and finds the command
STAGE_FILTER = 2  # it loads the filter
STAGE_LISTENER = 3  # it waits until its helper has passed the listener on
STAGE_EXEC = 4
CLONE_FILES, CLONE_PARENT = 0x400, 0x8000  # linux/sched.h


class StartReport(ctypes.Structure):
    """How far the start has come, in memory that child, helper and parent map: a filter may leave the child no syscall
    to tell it by.
    """

    _fields_ = [("stage", c_int),  # STAGE_
                ("errno", c_int),  # why that failed, or 0
                ("helper", c_int),  # its pid, or 0
                ("listener", c_int),  # the child's descriptor of its filter's listener, or 0
                ("taken", c_int),  # set by the parent once it has the listener
                ("bug", c_char * 200)]  # the exception, if it was one that nobody foresaw


class CommandStart:
    """How a forked process becomes the command. It is made before the fork; run() is the child's part of it, Child the
    parent's.
    """

    MAX_SPINS = 200_000_000  # some ten seconds; the helper sees earlier that the parent is gone
    WAIT_S, MAX_WAITS = 0.0005, 20_000

    def __init__(self, command: Sequence[str], identity: Identity | None, supervisor: Supervisor,
                 applied: Filter | None, audited: bool):
        """Raises OSError."""
        self._command, self._identity, self._filter, self._audited = command, identity, applied, audited
        self._supervisor = supervisor
        self._exit_group = syscall_number("exit_group") if applied else 0
        # A registry's password is not for the command, which may be somebody else's.
        self._environment = [entry for entry in initial_environment() if not entry.startswith(b"SPOC_PASSWORD=")]
        if identity:
            self._environment = [entry for entry in self._environment
                                 if os.fsdecode(entry.partition(b"=")[0]) not in identity.environment]
            self._environment += [os.fsencode(f"{name}={value}") for name, value in identity.environment.items()]
        self._parent = os.getpid()
        self.report = StartReport.from_buffer(mmap.mmap(-1, mmap.PAGESIZE))
        self.release_read, self.release_write = os.pipe()  # a byte lets the child go on
        self.exec_read, self.exec_write = os.pipe()  # closed by its exec
        if applied and applied.listens:
            import _socket
            self.listener_read, self.listener_write = _socket.socketpair()

    def run(self) -> NoReturn:
        """All that happens in the child, in this order, until the command's first instruction. If it cannot come to
        that, report why, and end.
        """
        report, applied = self.report, self._filter
        try:
            self._close_parents_ends()
            self._become_user()
            set_death_signal(signal.SIGKILL)  # after the change of user, which resets it (commit_creds())
            report.stage = STAGE_COMMAND
            if os.read(self.release_read, 1) and self._has_parent():
                self._restore_signals()
                execute = self._prepare_exec()
                if applied:
                    report.stage = STAGE_FILTER
                    if applied.listens:
                        self._start_helper()
                    if applied.no_new_privs:
                        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
                set_death_signal(0)  # exec would leave it to the command
                if applied:
                    self._load_filter_and(applied, execute)
                else:
                    report.stage = STAGE_EXEC
                    execute()
        except OSError as error:
            report.errno = error.errno or errno.EIO
        except MemoryError:
            report.errno = errno.ENOMEM
        except BaseException as error:
            report.bug = f"{type(error).__name__}: {error}".encode(errors="replace")[:StartReport.bug.size - 1]
            report.errno = errno.EIO
        finally:
            self._end()

    def _close_parents_ends(self) -> None:
        close(self.release_write)
        if self._filter and self._filter.listens:
            self.listener_read.close()  # or what is on its way in it outlives the parent

    def _become_user(self) -> None:
        if self._audited:
            start_audit_session(self._identity.uid if self._identity else os.getuid())
        if self._identity:
            drop_privileges(self._identity, self._filter is not None and not self._filter.no_new_privs)

    def _has_parent(self) -> bool:
        return os.getppid() in (self._parent, 0)  # 0: it is in another pid namespace

    def _restore_signals(self) -> None:
        for signum in (signal.SIGPIPE, signal.SIGXFSZ):  # ignored by Python, at its start
            signal.signal(signum, signal.SIG_DFL)
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGCHLD, self._supervisor.sigchld)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._supervisor.mask)

    def _prepare_exec(self) -> Callable[[], object]:
        """What execs the command. All that it needs is at hand, so that no other syscall comes after the filter."""
        name, environment, execve = self._command[0], self._environment, libc.execve
        argv, envp = c_strings([os.fsencode(argument) for argument in self._command]), c_strings(environment)
        if self._filter is None or self._filter.program == ASK_ALL:  # under which every call succeeds as without it
            return lambda: search_path(name, environment, lambda path: execve(path, argv, envp))
        found = search_path(name, environment, check_executable)
        return lambda: execve(found, argv, envp)

    def _start_helper(self) -> None:
        """Start a process that shares the descriptors but not the filter, to pass the listener on to the parent.

        pidfd_getfd(2) would be the short way, but Docker's filter and Yama refuse it, and Linux before 5.6 has none.
        """
        child, clone = os.getpid(), syscall_number("clone")
        helper = libc.syscall(clone, CLONE_FILES | CLONE_PARENT | int(signal.SIGCHLD), 0, None)
        if helper:  # not looked up in what both write to: each might take itself for the other
            self.report.helper = helper
            return
        self.report.helper = os.getpid()
        try:
            self._pass_listener()
        except OSError as error:
            self.report.stage, self.report.errno = STAGE_LISTENER, error.errno or errno.EIO
        finally:
            if not self.report.taken:
                with contextlib.suppress(ProcessLookupError):  # the parent saw it fail, and has reaped it
                    os.kill(child, signal.SIGKILL)
            os._exit(0)

    def _pass_listener(self) -> None:
        """Send the listener, once it is there, and wait until it has arrived."""
        import _socket
        report, passed = self.report, False
        for _ in range(self.MAX_WAITS):
            if report.taken or report.errno or not self._has_parent():
                break
            if report.listener and not passed:
                rights = _socket.SOL_SOCKET, _socket.SCM_RIGHTS, bytes(c_int(report.listener))
                self.listener_write.sendmsg([b"x"], [rights], _socket.MSG_NOSIGNAL)  # the parent may be gone
                os.close(report.listener)  # the child's too: held by itself, it would wait for ever
                passed = True
            time.sleep(self.WAIT_S)

    def _load_filter_and(self, applied: Filter, execute: Callable[[], object]) -> None:
        """Load the filter, and exec. Not even a return comes between, which might free memory."""
        report, syscall = self.report, libc.syscall
        program = SockFprog(len(applied.program) // SOCK_FILTER_BYTES, applied.program)
        seccomp, flags = syscall_number("seccomp"), [applied.flags]
        if applied.listens:
            flags.insert(0, applied.flags | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV)
        for attempt in flags:  # WAIT_KILLABLE_RECV is there from Linux 5.19 on
            try:
                report.listener = syscall(seccomp, SECCOMP_SET_MODE_FILTER, attempt, ctypes.byref(program))
                break
            except OSError as error:
                if error.errno != errno.EINVAL or attempt is flags[-1]:
                    raise
        if applied.listens:
            report.stage = STAGE_LISTENER
            for _ in range(self.MAX_SPINS):  # to sleep meanwhile would take a syscall
                if report.taken:
                    break
            else:
                raise OSError(errno.ETIMEDOUT, "")
        report.stage = STAGE_EXEC
        execute()

    def _end(self) -> NoReturn:
        """End, even under a filter that stops every call: there musl's _exit() goes on for ever, and so does a call
        about which a listener is asked that nobody has taken.
        """
        if self._filter:
            with contextlib.suppress(OSError):
                if self.report.taken or not self.report.listener:
                    libc.syscall(self._exit_group, EXIT_FAILURE, 0, None)
            ctypes.string_at(0)  # to read address 0 is SIGSEGV, which no filter can refuse
        os._exit(EXIT_FAILURE)


class Child:
    """The command's process: forked at once, it execs when released, and reports if it cannot.

    An exception within its context ends it. It ends by itself if its parent ends before it has exec'ed.
    """

    EXEC_POLL_MS = 50

    def __init__(self, command: Sequence[str], identity: Identity | None, supervisor: Supervisor,
                 applied: Filter | None = None, audited: bool = False):
        """Fork. The command gets the signal mask and dispositions that the supervisor found, and no Python's."""
        self.command, self.identity, self.filter = command, identity, applied
        self._supervisor = supervisor
        if applied and applied.listens:
            check_pid_namespace()  # an init cannot start a helper: EINVAL for CLONE_PARENT (kernel/fork.c)
        try:
            self._start = CommandStart(command, identity, supervisor, applied, audited)
            self._report = self._start.report
            self.pid = os.fork()
        except OSError as error:
            raise ChildError("start command", command[0], error, remedy_of(error)) from None
        if not self.pid:
            self._start.run()

    def __enter__(self) -> Child:
        os.close(self._start.exec_write)  # were it left open, nobody would see the exec
        close(self._start.release_read)
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind:
            self.kill()

    def kill(self) -> None:
        """End it and its helper, where that is still to be done."""
        for pid in (self.pid, self._report.helper):
            with contextlib.suppress(OSError):  # ECHILD: it was reaped; EINVAL: there is none
                os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                os.kill(pid, signal.SIGKILL)
                for _ in range(CommandStart.MAX_WAITS):  # a tracer may keep it for ever
                    if os.waitpid(pid, os.WNOHANG)[0]:
                        break
                    time.sleep(CommandStart.WAIT_S)

    def release(self) -> None:
        """Let it go on to its exec. Raises KeyboardInterrupt instead if a signal asks to stop."""
        self._supervisor.check()
        with contextlib.suppress(BrokenPipeError):  # a child that has failed is gone: see wait_started
            os.write(self._start.release_write, b"r")
        close(self._start.release_write)

    def audit_session(self) -> str:
        """The number of the audit session that it has begun, if it could: it does so before it waits for release()."""
        while not self._report.stage and not self._report.errno and not self.has_left():
            time.sleep(CommandStart.WAIT_S)
        return read_proc(self.pid, "sessionid")

    def release_listening(self) -> int:
        """Let it load its filter, and go on to its exec after acknowledge(); give the descriptor of the listener.

        Raises ChildError, the process being gone, if there is none.
        """
        import _socket
        self.release()
        start, message = self._start, b""
        ancillary: list[tuple[int, int, bytes]] = []
        while not message and not self._report.errno and not os.waitid(
                os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            time.sleep(CommandStart.WAIT_S)
            with contextlib.suppress(BlockingIOError):
                message, ancillary, _, _ = start.listener_read.recvmsg(
                    1, 64, _socket.MSG_DONTWAIT | _socket.MSG_CMSG_CLOEXEC)
        start.listener_read.close()
        start.listener_write.close()
        if not message:  # it has ended, or could not load the filter
            self._check_started()
        if not ancillary:  # unix(7): what there is no room for is closed
            raise self._failure(STAGE_LISTENER, errno.EMFILE)
        _, _, descriptor = ancillary[0]
        return int.from_bytes(descriptor, sys.byteorder)

    def acknowledge(self) -> None:
        """The listener is held: what it is asked about will be answered."""
        self._report.taken = 1
        os.waitpid(self._report.helper, 0)  # it has the child's end of the pipe that has_left() looks at

    def has_left(self) -> bool:
        """Has it left this program, by exec or by its end?"""
        return self._start.exec_read < 0 or select_readable([self._start.exec_read], 0) != []

    def _has_execed(self) -> bool:
        """Has it left by exec, and not by its end? A parent may set the process group of a child, if that has not
        exec'ed (setpgid(2)).
        """
        group = os.getpgrp()
        try:
            if group:  # 0: one of another pid namespace
                os.setpgid(self.pid, group)
            return not group
        except OSError:
            return True

    def wait_started(self, inputs: InputHandlers) -> None:
        """Return when it has exec'ed. Raises ChildError, the process being gone, if it cannot.

        `inputs`, descriptors to read from and what reads them, are served meanwhile.
        """
        exec_read = self._start.exec_read
        while self._report.errno == 0:
            ready = select_readable([exec_read, *inputs], self.EXEC_POLL_MS)
            if exec_read in ready or self._report.errno:  # what its program has done is for later
                break
            for descriptor in ready:
                inputs[descriptor]()
        close(exec_read)
        self._start.exec_read = -1
        self._check_started()

    def _check_started(self) -> None:
        """Raise ChildError, the process being gone, if it has failed or ended."""
        if self._report.errno:
            self.kill()  # a filter may keep it from ending itself
            if self._report.bug:
                raise ChildError("start command", self.command[0], self._report.bug.decode(errors="replace"),
                                 report_it())
            raise self._failure(self._report.stage, self._report.errno)
        if not self._has_execed():
            status = os.waitpid(self.pid, 0)[1]
            self.kill()
            raise ChildError("start command", self.command[0] or "''", f"{describe_status(status)} before it began",
                             "start it again", exit_code(status) if os.WIFSIGNALED(status) else EXIT_FAILURE)

    def wait(self, inputs: InputHandlers, timers: Sequence[Timer] = (),
             alive: Callable[[], bool] | None = None) -> tuple[int, Exception | None]:
        """Its status, see Supervisor.wait(); and what made waiting fail, so that it was killed."""
        try:
            return self._supervisor.wait(self.pid, timers, alive, inputs), None
        except Exception as error:
            self.kill()
            return 0, error

    def _failure(self, stage: int, number: int) -> ChildError:
        """What to say of an errno at a stage of the start."""
        name, reason = self.command[0], os.strerror(number)
        if stage == STAGE_LISTENER:
            return ChildError("start command", name, f"the listener of its filter did not arrive: {reason}",
                              LIMITS.get(number, f"a seccomp filter that {PROGRAM} is under may refuse sendmsg(2)"))
        if number in LIMITS and stage in (STAGE_USER, STAGE_FILTER):
            return ChildError("start command", name, reason, LIMITS[number])
        if stage == STAGE_USER and self.identity:
            return ChildError("start command", f"as user {self.identity.uid}", reason, "--privileged runs it as root")
        if stage == STAGE_FILTER:
            hint = FILTER_HINTS.get(number, "a newer kernel may have that feature")
            if number in (errno.EPERM, errno.EACCES) and self.filter and (
                    self.filter.no_new_privs or self.filter.program == ASK_ALL):
                hint = f"a filter or security module that {PROGRAM} is under may refuse seccomp(2)"
            return ChildError("load filter", name, reason, hint)
        failure = command_failure(self.command, number, self.filter is not None and self.filter.program != ASK_ALL)
        if self.identity and number == errno.EACCES:
            failure.hint += f": {self.identity.title}"
        return failure


FILTER_HINTS = {
    errno.ENOSYS: "boot a kernel with CONFIG_SECCOMP_FILTER",
    errno.EBUSY: f"a filter that {PROGRAM} is under has a listener, and the kernel allows only one: run it outside "
                 "of that",
    errno.EPERM: "--no-new-privs loads it without CAP_SYS_ADMIN",
    errno.EACCES: "--no-new-privs loads it without CAP_SYS_ADMIN"}
EXEC_HINTS = {
    errno.ENOENT: "check the spelling and PATH", errno.EACCES: "it is not executable for the user that it runs as",
    errno.ENOEXEC: "it is neither a program for this machine nor a script that begins with #!"}
# For these the command is not to blame.
EXEC_REFUSED = (errno.EAGAIN, errno.EINVAL, errno.EMFILE, errno.ENFILE, errno.ENOMEM)


# Of POSIX shells and bash, without those that are programs as well: it may have meant a shell's.
SHELL_BUILTINS = """
    . alias bg bind break builtin caller cd command compgen complete compopt continue declare dirs disown enable eval
    exec exit export fc fg getopts hash help history jobs let local logout mapfile popd pushd read readarray readonly
    return set shift shopt source suspend times trap type typeset ulimit umask unalias unset wait
    """.split()


def missing_hint(command: Sequence[str]) -> str:
    """What the user may have meant by a command that is not there; "" if nothing comes to mind."""
    import shlex
    name = command[0]
    if name in SHELL_BUILTINS:
        return f"it is part of the shell: sh -c {shlex.quote(shlex.join(command))}"
    words = name.split()
    if len(words) > 1 and len(command) == 1:
        apart = "write its words without quotes" if find_program(words[0]) else "it is one word, with blanks in it"
        return f"{apart}; or have a shell read it: sh -c {shlex.quote(name)}"
    if "=" in name.lstrip("="):
        return f"set a variable by env: env {shlex.join(command)}"
    programs: set[str] = set()
    for folder in os.get_exec_path():
        with contextlib.suppress(OSError):
            programs.update(os.listdir(folder))
    near = suggestion(name, sorted(programs))
    return f"check the spelling and PATH{near}" if near else ""


def check_command(command: Sequence[str]) -> None:
    """Raise ChildError for a command that is not there, before anything is made ready for it."""
    try:
        search_path(command[0], initial_environment(), os.stat)
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise command_failure(command, errno.ENOENT, False) from None


def command_failure(command: Sequence[str], number: int, filtered: bool) -> ChildError:
    """exec_failure(), with what the user may have meant."""
    failure = exec_failure(command[0], number, filtered)
    if number == errno.ENOENT and "/" not in command[0]:
        failure.hint = missing_hint(command) or failure.hint
    return failure


def exec_failure(name: str, number: int, filtered: bool) -> ChildError:
    """What to say of an errno of execve(2), which may be the filter's answer."""
    hint = EXEC_HINTS.get(number, "")
    if number == errno.EACCES and os.path.isdir(name):
        hint = "it is a folder"
    elif number == errno.ENOENT and "/" in name and os.path.exists(name):
        hint = "it is there, but not the interpreter or dynamic loader that it names"
    elif filtered and not hint:
        hint = "if the profile blocks execve, -b execve allows it"
    elif not filtered:
        hint = LIMITS.get(number, hint)
    code = EXIT_NOT_FOUND if number == errno.ENOENT else EXIT_NOT_EXECUTABLE
    if number in EXEC_REFUSED and not filtered:
        code = EXIT_FAILURE
    return ChildError("start command", name or "''", os.strerror(number), hint, code)


def drop_privileges(identity: Identity, keep_admin: bool) -> None:
    """Become that user for good: groups first, then all three ids; and make sure that there is no way back.

    With `keep_admin` CAP_SYS_ADMIN stays until the exec, which drops it, for the sake of seccomp(2).
    """
    if keep_admin:
        libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups(identity.groups)
    os.setresgid(identity.gid, identity.gid, identity.gid)
    os.setresuid(identity.uid, identity.uid, identity.uid)
    # The inheritable ones outlive setresuid(2), and with SECBIT_NO_SETUID_FIXUP all do.
    kept = 1 << CAP_SYS_ADMIN if keep_admin else 0
    libc.capset(CAPABILITY_HEADER, CapabilitySets(kept, kept))
    try:
        os.setresuid(0, 0, 0)
    except PermissionError:
        return
    raise OSError(errno.EPERM, "")


def run_as(identity: Identity | None, action: Callable[[], None]) -> None:
    """Run what may raise SpocError in a process that has become that user; here if there is none."""
    if not identity:
        action()
        return
    answers, errors = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            drop_privileges(identity, False)
            action()
        except BaseException as error:
            write_all(errors, str(error).encode(errors="backslashreplace") or b"failed")
        finally:
            os._exit(0)
    close(errors)
    with open(answers, "rb") as file:
        answer = file.read()
    os.waitpid(pid, 0)
    if answer:
        raise ChildError("act as user", str(identity.uid), answer.decode())


class Call(NamedTuple):
    """A syscall that was made; name is None if libseccomp knows none, times 0 where nobody counted."""

    architecture: Architecture
    number: int
    name: str | None
    first_ns: int
    times: int = 0
    tgid: int = 0
    comm: str = ""
    values: frozenset[int] = frozenset()  # of the argument that --args tells apart; empty: not told, or too many


class Recording(NamedTuple):
    """What a command and its descendants did. A non-empty `losses` says why it may not be all."""

    calls: tuple[Call, ...]
    tasks: int
    losses: tuple[str, ...]

    @property
    def names(self) -> set[str]:
        return {call.name for call in self.calls if call.name}


FILTER_PROFILE, FILTER_OWN, FILTER_UNKNOWN = "profile", "own", "unknown"  # in --events; own: the command's


class Denial(NamedTuple):
    """A syscall that a filter did not let pass, or logged; so often, if it is known what the calls have in common.

    Whether it counts as blocked is decided in DenialReport.add, and for `watch` in outcome_of.
    """

    architecture: Architecture
    number: int
    verdicts: tuple[Verdict, ...]  # each that it may have met, the likeliest first; errno -1: any
    tgid: int
    tid: int
    comm: str
    exe: str = ""
    times: int = 1
    inner: str = ""  # what socketcall(2) or ipc(2) was to do, see MULTIPLEXED
    arguments: tuple[int, ...] = ()  # all six, where they are to be learned
    other_owner: str = FILTER_OWN  # whose filter it was if the profile cannot have answered so; "": it does not show
    fact: str = ""  # what is known of it where the verdict is not
    origin: int = 0  # tgid of the process that it descends from, of those that ran when they were first watched
    since: int = 0  # when that was, which tells it from another of that tgid


START_UNSEEN = "the start of the command was not seen"


class RecordedCall(NamedTuple):
    """What a recorder knows of the calls of one syscall; what it does not look at is 0 or empty."""

    first_ns: int = 0  # CLOCK_MONOTONIC
    times: int = 0
    tgid: int = 0  # of who made the first
    comm: str = ""
    values: frozenset[int] = frozenset()  # see Call


def make_recording(machine: Machine, recorded: dict[tuple[int, int], RecordedCall], tasks: int,
                   losses: Iterable[str]) -> Recording:
    """Name what was recorded by (abi, number), and put it in the order in which the calls were first made."""
    calls = []
    for (abi, number), detail in recorded.items():
        if number != NO_SYSCALL:
            architecture = machine.architecture(abi, number)
            calls.append(Call(architecture, number, syscall_name(architecture, number), *detail))
    return Recording(tuple(sorted(calls, key=lambda call: (call.first_ns, call.number))), tasks, tuple(losses))


def describe_calls_lost(number: int) -> str:
    return (f"{count_of(number, 'call of an unusual number was', 'calls of unusual numbers were')} not recorded: too "
            "many different ones; the command tries out syscall numbers")


class Recorder(Protocol):
    """Records the syscalls of a command and of all its descendants, from the command's exec on."""

    filter: Filter | None
    """The filter that the command has to get, if its calls are recorded by one."""

    close_message: str
    """A line of the log for when close() is next; "" for none."""

    def begin(self, child: Child) -> None:
        """Release the command's process, and record from its exec on. Raises ChildError, the process being gone."""

    def inputs(self) -> InputHandlers:
        """What has to be served from begin() on, for as long as anything of the command lives."""

    def first_calls(self) -> dict[tuple[int, int], int]:
        """The syscalls so far, by (abi, number), and when each was first made: ns of CLOCK_MONOTONIC."""

    def processes(self) -> int:
        """How many processes of the command live; 0 if that is not known."""

    def has_live_tasks(self) -> bool:
        """Does any process or thread of the command live?"""

    def release_survivors(self, advice: str = "") -> None:
        """The command has ended: let those of its descendants that live run on unrecorded, and say so, with advice."""

    def recording(self) -> Recording:
        """All that was recorded so far, and why it may not be all."""

    def summary(self) -> str:
        """A line of the log about what was recorded."""

    def close(self) -> None:
        """Give up what recording took; nothing can be read any more."""


class DenialWatcher(Protocol):
    """Reports the calls of a command that its filter stops or logs. It is ready for begin() when it is made."""

    title: str
    """Its name, in the log."""

    reads: str
    """What it reads from, in the log."""

    needs_audit_session: bool
    """Must the command be an audit session of its own, see Child?"""

    descriptor: int
    """Readable when there is something to read(); from begin() on."""

    def adapt_filter(self, applied: Filter, default_action: str) -> Filter:
        """The command's filter with what it takes to hear of the calls."""

    def begin(self, child: Child) -> None:
        """Release the command's process. Raises ChildError, the process being gone."""

    def read(self) -> list[Denial]:
        """What has been stopped since the last time; never waits."""

    def finish(self) -> list[Denial]:
        """The rest, now that the command has ended."""

    def release_survivors(self) -> str:
        """The command has ended: let those of its descendants that live run on unwatched. Gives what that means for
        them, as a sentence; "" if nothing.
        """
        return ""

    def losses(self) -> list[str]:
        """Why what was read may not be all."""

    def close(self) -> None:
        """Give up what watching took."""

# --- BPF ---------------------------------------------------------------------


# struct config, counters, call_key and call of bpf/recorder.bpf.c, field by field.
class Config(ctypes.Structure):
    """What user space tells the kernel side."""

    _fields_ = [("ns_dev", c_uint64), ("ns_ino", c_uint64), ("armed_tgid", c_uint32), ("compat_source", c_uint32),
                ("compat_offset", c_uint32), ("compat_mask", c_uint32), ("statistics", c_uint32),
                ("number_offset", c_uint32), ("original_offset", c_uint32), ("emulated_offset", c_uint32),
                ("emulated_mask", c_uint32), ("ptrace_nr", c_uint32), ("returned", c_uint32), ("marked", c_uint32),
                ("scope_dev", c_uint64), ("scope_ino", c_uint64), ("scope_comm", c_uint64 * 2),
                ("own_tgid", c_uint32), ("joining", c_uint32), ("everyone", c_uint32), ("filter_offset", c_uint32),
                ("filter_mask", c_uint32), ("namespaces", c_uint32), ("foreign", c_uint32),
                ("parent_offset", c_uint32), ("tgid_offset", c_uint32), ("nsproxy_offset", c_uint32),
                ("mounts_offset", c_uint32), ("inode_offset", c_uint32), ("pid_offset", c_uint32),
                ("level_offset", c_uint32), ("numbers_offset", c_uint32), ("leader_offset", c_uint32),
                ("flags_offset", c_uint32), ("cred_offset", c_uint32), ("user_offset", c_uint32),
                ("owner_offset", c_uint32), ("others_taken", c_uint32), ("others_returned", c_uint32),
                ("others_most", c_uint32), ("unused", c_uint32)]


class Counters(ctypes.Structure):
    """What the kernel side counts; it may change at any time."""

    _fields_ = [("followed", c_uint64), ("processes", c_uint64), ("tasks_lost", c_uint64),
                ("reads_lost", c_uint64), ("denials_lost", c_uint64), ("groups_lost", c_uint64)]


class Group(ctypes.Structure):
    """Element of the map `groups`."""

    _fields_ = [("alive", c_uint64), ("dropped", c_uint32), ("calls_lost", c_uint32)]


class Namespace(ctypes.Structure):
    """Element of the map `namespaces`."""

    _fields_ = [("dev", c_uint64), ("ino", c_uint64), ("serial", c_uint32), ("unused", c_uint32)]


class CallKey(ctypes.Structure):
    """Key of the map `calls`."""

    _fields_ = [("table", c_uint32), ("nr", c_uint32)]


class CallValue(ctypes.Structure):
    """Value of the map `calls`."""

    _fields_ = [("first_ns", c_uint64), ("count", c_uint64), ("tgid", c_uint32), ("comm", c_char * 16),
                ("unused", c_uint32)]


class Watch(ctypes.Structure):
    """Element of the map `watched`."""

    _fields_ = [("place", c_uint32), ("count", c_uint32)]


class ValueKey(ctypes.Structure):
    """Key of the map `values`."""

    _fields_ = [("table", c_uint32), ("nr", c_uint32), ("value", c_uint32)]


class DenialValue(ctypes.Structure):
    """Value of the map `denials`, its key first; comes through `events`."""

    _fields_ = [("abi", c_uint32), ("nr", c_uint32), ("result", c_int), ("kind", c_uint32), ("comm", c_char * 16),
                ("origin", c_uint32), ("group", c_uint32), ("since", c_uint32), ("tgid", c_uint32), ("tid", c_uint32),
                ("unused", c_uint32), ("count", c_uint64)]


class StartValue(ctypes.Structure):
    """A program that has started in another pid namespace; comes through `events`."""

    _fields_ = [("tgid", c_uint32), ("group", c_uint32), ("index", c_uint32), ("serial", c_uint32),
                ("inner_pid", c_uint32), ("parent", c_uint32), ("mounts", c_uint32), ("is_others", c_uint32),
                ("comm", c_char * 16)]


class TaskValue(ctypes.Structure):
    """Value of the map `tasks`, and part of `slots`: repeats of its last denial that are not in `denials` yet."""

    _fields_ = [("flags", c_uint32), ("entered", c_uint32), ("last", c_uint32 * 11), ("unused", c_uint32),
                ("repeats", c_uint64), ("instruction", c_uint64), ("regs", c_uint64), ("held", c_uint32 * 4)]


class SlotValue(ctypes.Structure):
    """Value of the map `slots`."""

    _fields_ = [("count", c_uint64), ("owner", c_uint64), ("state", TaskValue)]


class BpfProgInfo(ctypes.Structure):
    """The first fields of struct bpf_prog_info (linux/bpf.h)."""

    _fields_ = [("type", c_uint32), ("id", c_uint32), ("tag", c_uint8 * 8), ("jited_prog_len", c_uint32),
                ("xlated_prog_len", c_uint32)]


DENIAL_KEY_BYTES = DenialValue.tgid.offset
OBJECT_CRC32 = 0x371CC3C1  # `make bpf` writes it
MAX_OBJECT_BYTES = 1 << 20
ABIS, NUMBERS, SLOTS = 2, 1024, 4096
MAX_VALUES = 64  # of one argument of one syscall
# The object's programs, and the tracepoint of each; those whose names begin with join_ serve others as well.
PROGRAMS = {
    "task_fork": "sched_process_fork", "task_exec": "sched_process_exec", "task_exit": "sched_process_exit",
    "enter_direct": "sys_enter", "enter_abis": "sys_enter", "enter_plain": "sys_enter", "run_enter": "sys_enter",
    "run_exit": "sys_exit", "run_signal": "signal_deliver", "run_task_exit": "sched_process_exit",
    "watch_enter": "sys_enter", "watch_enter_direct": "sys_enter", "watch_exit": "sys_exit",
    "watch_exit_direct": "sys_exit", "join_scope": "sys_exit", "join_inside": "sys_exit", "join_group": "sys_exit",
    "list_named": "sched_process_exec", "note_return": "sys_exit", "join_enter": "sys_enter",
    "begin_foreign": "sched_process_exec"}
WATCHING_PROGRAMS = ("task_fork", "task_exec", "run_exit", "run_signal", "run_task_exit")
VSYSCALLS = "emulate_vsyscall"  # of x86-64; what serves sched_process_exit takes these as well
KERNEL_BTF = "/sys/kernel/btf/vmlinux"
# enum denial_kind and task_flag of recorder.bpf.c
(DENIAL_RETURNED, DENIAL_TRACED, DENIAL_VSYSCALL, DENIAL_LOGGED, DENIAL_ENDED, DENIAL_KILLED, DENIAL_TRAPPED,
 DENIAL_UNANSWERED, NEWS_JOINED, NEWS_GONE) = range(10)
TASK_HELD = 8
FOREIGN_KNOWN, FOREIGN_ALL = 1, 2  # enum foreign
MAX_NAMESPACES = 512  # NAMESPACES
if TYPE_CHECKING:
    Data = TypeVar("Data", bound=ctypes._CData)
    Value = TypeVar("Value", bound=ctypes._CData)
    Message = TypeVar("Message")


def find_object() -> str:
    """The recorder's object: bpf/recorder.bpf.o beside this file or in spoc.pyz; copied to a node, recorder.bpf.o."""
    here = os.path.dirname(os.path.realpath(__file__))
    candidates = [os.path.join(here, "bpf", "recorder.bpf.o"), os.path.join(here, "recorder.bpf.o")]
    return next((path for path in candidates if os.path.lexists(path)), candidates[0])


def _read_trusted(path: str, operation: str, copy_again: str) -> bytes:
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        status = os.fstat(file.fileno())
        data = file.read(MAX_OBJECT_BYTES + 1)
    if not stat.S_ISREG(status.st_mode):
        raise KernelError(operation, path, "it is no regular file", copy_again)
    trusted = {0, os.geteuid(), os.stat(__file__).st_uid}
    if status.st_uid not in trusted or status.st_mode & (stat.S_IWOTH | stat.S_IWGRP):
        raise KernelError(operation, path, "someone other than root, you or spoc.py's owner may write it",
                          "whoever does runs code in the kernel; chown and chmod it")
    return data


def read_object(path: str) -> bytes:
    """The object's bytes, if they are of this version and come from someone who could as well have changed spoc.py."""
    import binascii
    operation = "read BPF object"
    copy_again = "copy spoc.py and recorder.bpf.o to this machine again, both of the same version"
    try:
        if os.path.isfile(os.path.dirname(__file__)):  # spoc.pyz: whoever may write it may change the program as well
            # By its name within: of paths zipimport takes only that by which the archive was started, however spelled.
            data = bytes(globals()["__loader__"].get_data("bpf/recorder.bpf.o"))
        else:
            data = _read_trusted(path, operation, copy_again)
    except OSError as error:
        reason = error.strerror or "the archive does not hold it"  # zipimport gives none
        raise KernelError(operation, path, reason, copy_again) from None
    if binascii.crc32(data) != OBJECT_CRC32:
        raise KernelError(operation, path, "it is damaged, or belongs to another version of spoc.py", copy_again)
    return data


ENOTSUPP = 524  # include/linux/errno.h

# From which release on the interpreter cannot make the call of bpf_get_current_task(), and crashes the kernel. On the
# first three the verifier leaves it to the JIT (bpf_jit_inlines_helper_call() in arch/*/net), even if that is off:
# Linux commits 2bb138cb20a6, 20ab1d112653, 6d13ddb1d465; Linux 7.2 refuses such a program (f1c27922576e). On x86-64 it
# puts in what only the JIT understands, if that is on (eaedea154eb9); it may still fail.
INLINING = {AARCH64: (6, 11), PPC64LE: (7, 0), RISCV64: (7, 2), X86_64: (7, 0)}
JIT_SETTING, JIT_REMEDY = "/proc/sys/net/core/bpf_jit_enable", "sysctl net.core.bpf_jit_enable=1"


def inlines_helpers(native: Architecture, release: str) -> bool:
    return native in INLINING and release_numbers(release) >= INLINING[native]


def jit_setting() -> str:
    """net.core.bpf_jit_enable, 1 for ever with CONFIG_BPF_JIT_ALWAYS_ON; "none": the kernel has no JIT; "": not known.

    Like netdev_max_backlog it is there in the first network namespace only (net/core/sysctl_net_core.c).
    """
    if not os.path.exists(JIT_SETTING) and os.path.exists("/proc/sys/net/core/netdev_max_backlog"):
        return "none"
    return read_kernel_file(JIT_SETTING).strip()


def lacks_jit(native: Architecture) -> bool:
    """Is the JIT off, and would the recorder crash the kernel without it?"""
    return jit_setting() == "0" and native is not X86_64 and inlines_helpers(native, kernel_uname().release)


def bpf_error(operation: str, subject: str, error: OSError) -> KernelError:
    """A refusal of bpf(2) with what is known to cause it."""
    if error.errno in (errno.EPERM, errno.EACCES) and not may_load_bpf():
        hint = "run it as root, or with CAP_BPF and CAP_PERFMON"
    elif lockdown_mode() == "confidentiality" and error.errno in (errno.EPERM, errno.EACCES, errno.EINVAL):
        hint = "kernel lockdown refuses it: boot without lockdown=confidentiality"
    elif error.errno == errno.EPERM and in_user_namespace():
        hint = "run it as root outside of the user namespace"
    elif error.errno == errno.EPERM:
        hint = ("a seccomp filter, kernel lockdown or (before Linux 5.11) the limit on locked memory refuses it: "
                "try it outside of the container, or after `ulimit -l unlimited`")
    else:
        # lockdown=confidentiality hides helpers that read kernel memory: to the verifier, unknown functions.
        unfit = ("Linux 5.8 or newer with CONFIG_BPF_EVENTS is needed, and no kernel lockdown in mode confidentiality"
                 + with_v("; -v tells more"))
        if error.errno == errno.EINVAL and jit_setting() in ("0", ""):
            unfit = f"{JIT_REMEDY}, without which Linux from 7.2 on may refuse it; otherwise, {unfit}"
        hint = {**LIMITS, errno.EAGAIN: "try again", errno.EINVAL: unfit, errno.ENOENT: unfit,
                errno.ENOSYS: "the kernel was built without CONFIG_BPF_SYSCALL",
                ENOTSUPP: "the kernel has no interpreter (CONFIG_BPF_JIT_ALWAYS_ON), and its JIT cannot compile it: "
                          "notify (record --backend, run --enricher) needs none"
                }.get(error.errno or 0, with_v("-v tells more"))
    return KernelError(operation, subject, error, hint)


@contextlib.contextmanager
def locked_memory() -> Iterator[None]:
    """RLIMIT_MEMLOCK raised, if that is allowed: before Linux 5.11 it counts what BPF maps take."""
    if release_numbers(kernel_uname().release) >= (5, 11):
        yield
        return
    import resource
    limits = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_MEMLOCK, limits)


def _print_libbpf(_level: int, message_format: bytes, arguments: int) -> int:
    """Pass on libbpf's messages when -v asks for them. An exception could go nowhere from here.

    One of them holds the verifier's whole log, of up to 16 MiB, and what was wrong is at its end.
    """
    text = c_char_p()
    if Log.verbose and libc.vasprintf(ctypes.byref(text), message_format, arguments) >= 0:
        for line in (text.value or b"").decode(errors="replace").splitlines():
            Log.debug(line)
        libc.free(text)
    return 0


PRINT_LIBBPF = PRINT_CALLBACK(_print_libbpf)


def kernel_device(device: int) -> int:
    """A device number as the kernel holds it: MKDEV in include/linux/kdev_t.h."""
    return os.major(device) << 20 | os.minor(device)


class BpfSkeleton:
    """The programs and maps of recorder.bpf.o in the kernel, from load_programs() to close().

    Nothing is seen before begin(). BpfRecorder and TracepointWatcher are made of it.
    """

    def __init__(self, machine: Machine, programs: Sequence[str], arguments: int = 0):
        """`programs`: what to load beside a program for sys_enter; `arguments`: of how many to note the values."""
        self.machine, self._arguments = machine, arguments
        self._other_programs = programs
        self.enter_program = ""  # the one for sys_enter, once it is loaded
        self.group_count = 1
        self._resources = contextlib.ExitStack()

    def close(self) -> None:
        """Detach and unload; the recorded data is gone with it."""
        self._resources.close()

    def load_programs(self, enter_programs: Sequence[str]) -> None:
        """Load programs and maps into the kernel, and map those that user space reads.

        `enter_programs`: for sys_enter; the first that the kernel does not refuse is taken.
        """
        try:
            self._namespace = os.stat("/proc/self/ns/pid")  # where the ids of this process and its children count
        except OSError as error:
            raise KernelError("use BPF", "/proc/self/ns/pid", error, "mount -t proc proc /proc") from None
        check_pid_namespace()
        if lacks_jit(self.machine.native):
            raise KernelError("load BPF programs", "net.core.bpf_jit_enable", "is 0, and without the JIT they would "
                              "crash this kernel", JIT_REMEDY)
        path = find_object()
        data = read_object(path)
        libbpf.libbpf_set_print(PRINT_LIBBPF)
        refusals: list[OSError] = []
        with locked_memory():
            for self.enter_program in enter_programs:
                try:
                    self._load_object(data)
                    break
                except OSError as error:
                    if error.errno not in (errno.EPERM, errno.EACCES, errno.EINVAL):
                        raise bpf_error("load BPF programs", path, error) from None
                    refusals.append(error)
            else:
                purpose = " for --args, which kernel lockdown may refuse" if self._arguments else ""
                raise bpf_error(f"load BPF programs{purpose}", path, refusals[0])
        self._check_compiled()
        self._map_arrays(path)

    @property
    def _programs(self) -> list[str]:
        """What is loaded."""
        return [*self._other_programs, self.enter_program]

    @property
    def _attached(self) -> list[str]:
        """What of that is attached by attach_programs()."""
        return self._programs

    def _program(self, name: str) -> BpfProgram:
        program: BpfProgram = libbpf.bpf_object__find_program_by_name(self._object, name.encode())
        return program

    def _map(self, name: str) -> BpfMap:
        found: BpfMap = libbpf.bpf_object__find_map_by_name(self._object, name.encode())
        return found

    def map_descriptor(self, name: str) -> int:
        return int(libbpf.bpf_map__fd(self._map(name)))

    def _check_compiled(self) -> None:
        """Before a program runs: the JIT may have failed, or be off where its setting is not known."""
        setting = jit_setting()
        if setting in ("0", "none") or not inlines_helpers(self.machine.native, kernel_uname().release):
            return
        for name in self._programs:
            info = BpfProgInfo()
            try:
                libbpf.bpf_obj_get_info_by_fd(libbpf.bpf_program__fd(self._program(name)), ctypes.byref(info),
                                              ctypes.byref(c_uint32(ctypes.sizeof(info))))
            except OSError as error:
                raise bpf_error("ask about a BPF program", name, error) from None
            if not info.jited_prog_len:
                raise KernelError("load BPF programs", name, "the JIT has not compiled it: it would crash this kernel",
                                  "free some memory" if setting else f"outside of the container: {JIT_REMEDY}")

    def _load_object(self, data: bytes) -> None:
        """Raises OSError; what it has made by then is given up by close()."""
        self._object: BpfObject = libbpf.bpf_object__open_mem(data, len(data), None)
        self._resources.callback(libbpf.bpf_object__close, self._object)
        for name in PROGRAMS.keys() - set(self._programs):
            libbpf.bpf_program__set_autoload(self._program(name), False)
        self._prepare_maps()
        libbpf.bpf_object__load(self._object)

    def _prepare_maps(self) -> None:
        """Give maps the sizes that they need this time, before they are made."""
        if self._arguments:  # each may be exceeded by as many as there are CPUs
            libbpf.bpf_map__set_max_entries(self._map("values"),
                                            self._arguments * (MAX_VALUES + 1 + (os.cpu_count() or 1)))

    def _memory(self, name: str, c_type: type[ctypes._CData]) -> mmap.mmap:
        """What a map holds, in place. Raises OSError."""
        return mmap.mmap(self.map_descriptor(name), ctypes.sizeof(c_type))

    def _map_arrays(self, path: str) -> None:
        """Map the arrays; those of a slot for each call have call_index() as index."""
        calls, count = ABIS * NUMBERS, self.group_count
        times, seen, groups, slots = c_uint64 * calls, c_uint64 * (calls * count), Group * count, SlotValue * SLOTS
        watches = Watch * (calls * (count if self._arguments else 1))
        try:
            self.config = Config.from_buffer(self._memory("config", Config))
            self._counters = Counters.from_buffer(self._memory("counters", Counters))
            self.groups = groups.from_buffer(self._memory("groups", groups))
            self.seen = seen.from_buffer(self._memory("seen", seen))
            self.logged = times.from_buffer(self._memory("logged", times))
            self.watches = watches.from_buffer(self._memory("watched", watches))
            self.slots = slots.from_buffer(self._memory("slots", slots))
        except OSError as error:
            raise bpf_error("map BPF arrays", path, error) from None

    def attach_programs(self) -> None:
        """What the kernel side is told in `config` has to be there before."""
        machine, config = self.machine, self.config
        if self.tells_abis:
            config.compat_source, config.compat_offset, config.compat_mask = machine.compat_test
        config.number_offset = machine.number_offset
        config.original_offset = machine.original_offset
        config.emulated_offset, config.emulated_mask = machine.emulated
        for name in self._attached:
            self._attach(name, PROGRAMS[name])
            if machine.native is X86_64 and PROGRAMS[name] == "sched_process_exit":
                self._attach(name, VSYSCALLS)

    def _attach(self, name: str, tracepoint: str, resources: contextlib.ExitStack | None = None) -> None:
        """Attach it until these resources are given up, or all are."""
        try:
            link = libbpf.bpf_program__attach_raw_tracepoint(self._program(name), tracepoint.encode())
        except OSError as error:
            if tracepoint == VSYSCALLS and error.errno == errno.ENOENT:  # no CONFIG_X86_VSYSCALL_EMULATION
                return
            raise bpf_error("attach to tracepoint", tracepoint, error) from None
        (resources or self._resources).callback(libbpf.bpf_link__destroy, link)

    @property
    def tells_abis(self) -> bool:
        """Are 32-bit calls told apart, on a machine that has them?"""
        return self.machine.compat is not None and self.enter_program not in ("", "enter_plain")

    def open_ring(self, on_event: Callable[[int, int, int], int]) -> None:
        """Have this called for all that comes through the map `events`, when its ring is consumed."""
        self._callback = RING_CALLBACK(on_event)  # referenced as long as libbpf may call it
        try:
            self._ring = libbpf.ring_buffer__new(self.map_descriptor("events"), self._callback, None, None)
        except OSError as error:
            raise bpf_error("wait for events", "ring buffer", error) from None
        self._resources.callback(libbpf.ring_buffer__free, self._ring)

    def arm(self, tgid: int) -> None:
        """The next exec of this process starts the recording; its tgid counts in the caller's pid namespace."""
        self.tell_namespace()
        self.config.armed_tgid = tgid

    def tell_namespace(self) -> None:
        """Tell the kernel side which pid namespace the caller is in."""
        self.config.ns_dev, self.config.ns_ino = kernel_device(self._namespace.st_dev), self._namespace.st_ino

    def begin(self, child: Child) -> None:
        """Arm the command's process, and let it go on to its exec."""
        self.arm(child.pid)
        child.release()

    def counters(self) -> Counters:
        """The counters as they stand."""
        return Counters.from_buffer_copy(self._counters)

    def live_tasks(self) -> int:
        """How many tasks are recorded that have not ended."""
        return sum(group.alive for group in self.groups)

    def read_items(self, name: str, key_type: type[Data], value_type: type[Value],
                   losses: list[str]) -> list[tuple[Data, Value]]:
        """The items of this hash map, as far as they can be read; if that is not all, `losses` is told why.

        Where some are deleted meanwhile the walk may begin anew: it ends all the same.
        """
        descriptor, previous = self.map_descriptor(name), None
        items: list[tuple[Data, Value]] = []
        try:
            while len(items) < (MAX_VALUE_ITEMS if name == "values" else MAX_MAP_ITEMS):
                key, value = key_type(), value_type()
                libbpf.bpf_map_get_next_key(descriptor, previous, ctypes.byref(key))
                libbpf.bpf_map_lookup_elem(descriptor, ctypes.byref(key), ctypes.byref(value))
                items.append((key, value))
                previous = ctypes.byref(key)
        except OSError as error:
            if error.errno != errno.ENOENT:  # which ends the walk
                losses.append(f"the recorder's map of {name} could not be read: {error.strerror}")
        return items


def call_index(table: int, number: int) -> int:
    """The index in arrays of a slot for each call. A table is an abi; of a group, group * ABIS + abi."""
    return table * NUMBERS + number


MAX_MAP_ITEMS = 16384  # no map here has more, but for one that is not read and that of values
MAX_VALUE_ITEMS = 1 << 20  # of --args, where many containers are recorded: what each of them may have
GROUPS = 512  # how many containers, and programs that are started in them from outside, are told apart at a time
MAX_OTHERS = GROUPS // 4  # of them for what other users make, which could take all


def describe_losses(counters: Counters, too_many_tasks: str, unreadable_calls: str) -> list[str]:
    """Why not all may have been seen, with what to do about two of the causes."""
    losses = []
    if not counters.followed:
        losses.append(START_UNSEEN)
    if counters.tasks_lost:
        tasks = count_of(counters.tasks_lost, "process or thread was", "processes or threads were")
        losses.append(f"{tasks} not followed: too many at a time; {too_many_tasks}")
    if counters.denials_lost:
        calls = count_of(counters.denials_lost, "blocked call was", "blocked calls were")
        losses.append(f"{calls} not named: too many different ones at a time")
    if counters.groups_lost:
        losses.append(f"{count_of(counters.groups_lost, 'program', 'programs')} started in containers unrecorded: more "
                      f"than {GROUPS} at a time")
    if counters.reads_lost:
        losses.append(f"{count_of(counters.reads_lost, 'call', 'calls')} {unreadable_calls}")
    return losses


class BpfRecorder(BpfSkeleton, Recorder):
    """Records by the tracepoint sys_enter."""

    TOO_MANY_TASKS = "record parts of the work on their own and join them with --append"
    UNREADABLE_CALLS = "could not be told to be 32-bit or not; record again"

    filter = None
    close_message = "Unloading bpf module"

    def __init__(self, machine: Machine, statistics: bool = False, watched: dict[tuple[int, int], int] | None = None):
        """`watched`: (abi, number) -> index of the argument whose values are to be noted."""
        self._statistics, self._watched = statistics, watched or {}
        super().__init__(machine, ("task_fork", "task_exec", "task_exit"), len(self._watched))

    def __enter__(self) -> BpfRecorder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def load(self) -> None:
        """Load programs and maps into the kernel."""
        self.load_programs(self._enter_programs())

    def _enter_programs(self) -> list[str]:
        """The programs for sys_enter in the order to try them: lockdown=confidentiality refuses what reads kernel
        memory. See enum abi_source of recorder.bpf.c.
        """
        if self._watched:
            return ["enter_abis"]
        if self.machine.compat is None:
            return ["enter_plain"]
        has_direct = self.machine.native is X86_64 and os.path.exists(KERNEL_BTF)
        return [*(["enter_direct"] if has_direct else []), "enter_abis", "enter_plain"]

    def attach(self) -> None:
        """Attach all programs: nothing is recorded before begin()."""
        self.config.statistics = self._statistics
        self.config.marked = bool(self._watched)
        for (abi, number), argument in self._watched.items():
            for group in range(self.group_count):
                watch = self.watches[call_index(group * ABIS + abi, number)]
                watch.place = 1 + self.machine.arguments[abi][argument]
        self.attach_programs()

    def open_news(self) -> None:
        """Have the map `events` wake who waits, when perhaps nothing that is recorded lives any more."""
        self.open_ring(self._on_news)

    def _on_news(self, _context: int, _address: int, _size: int) -> int:
        return 0

    def drop_news(self) -> None:
        """What came has woken whoever waits, and that is all that it is for."""
        libbpf.ring_buffer__consume(self._ring)

    def inputs(self) -> InputHandlers:
        return {}

    def first_calls(self, group: int = 0) -> dict[tuple[int, int], int]:
        """Of numbers below NUMBERS."""
        start = call_index(group * ABIS, 0)
        times = self.seen[start:start + ABIS * NUMBERS]
        return {divmod(index, NUMBERS): first_ns for index, first_ns in enumerate(times) if first_ns}

    def processes(self) -> int:
        return int(self.counters().processes)

    def has_live_tasks(self) -> bool:
        return bool(self.live_tasks())

    def release_survivors(self, advice: str = "") -> None:
        alive = self.live_tasks()
        if alive:
            tasks = count_of(alive, "task of the command runs on and is", "tasks of the command run on and are")
            Log.warning(f"{tasks} not recorded any more{advice}")

    def summary(self) -> str:
        return f"Found {count_of(self.counters().followed, 'task', 'tasks')} in bpf map"

    def recording(self) -> Recording:
        unreadable: list[str] = []
        calls = self.calls_of(0, unreadable)
        counters = self.counters()
        return make_recording(self.machine, calls, counters.followed, [*describe_losses(
            counters, self.TOO_MANY_TASKS, self.UNREADABLE_CALLS), *unreadable])

    def calls_of(self, group: int, losses: list[str]) -> dict[tuple[int, int], RecordedCall]:
        """What the tasks of a group did, by (abi, number); `losses` is told why that may not be all.

        The map `calls` has numbers from NUMBERS on and, if statistics were asked for, all others.
        """
        calls = {key: RecordedCall(first_ns) for key, first_ns in self.first_calls(group).items()}
        for item, value in self.read_items("calls", CallKey, CallValue, losses):
            its_group, abi = divmod(item.table, ABIS)
            if its_group == group:
                key = abi, item.nr
                first_ns = value.first_ns
                if key in calls:
                    first_ns = min(first_ns or calls[key].first_ns, calls[key].first_ns)
                calls[key] = RecordedCall(first_ns, value.count, value.tgid, decode_name(value.comm))
        for key, values in self._values(group, losses).items():
            if key in calls:
                calls[key] = calls[key]._replace(values=values)
        if self.groups[group].calls_lost:
            losses.append(describe_calls_lost(self.groups[group].calls_lost))
        return calls

    def _values(self, group: int, unreadable: list[str]) -> dict[tuple[int, int], frozenset[int]]:
        """(abi, number) -> the values that the watched argument had; where they were too many nothing."""
        found: dict[tuple[int, int], set[int]] = {}
        if self._watched:
            for key, _ in self.read_items("values", ValueKey, c_uint32, unreadable):
                its_group, abi = divmod(key.table, ABIS)
                if its_group == group:
                    found.setdefault((abi, key.nr), set()).add(key.value)
        if unreadable:
            return {}
        return {(abi, number): frozenset(values) for (abi, number), values in found.items()
                if self.watches[call_index(group * ABIS + abi, number)].count <= MAX_VALUES}


class DenialReader(BpfSkeleton):
    """Sees a call that a filter stops as a return from a syscall that was never entered; counts repeats exactly."""

    def start_reading(self) -> None:
        """Load and attach the programs, and make `descriptor` readable when there is something to read()."""
        self._denials: list[Denial] = []  # that read() has not given yet
        self._unreadable: list[str] = []
        try:
            self.load_programs(["run_enter"])
            self._configure()
            self.attach_programs()
            self.descriptor = self.map_descriptor("events")
            self.open_ring(self._on_event)
        except SpocError:
            self.close()
            raise
        except OSError as error:
            self.close()
            raise bpf_error("wait for events", "ring buffer", error) from None

    def _configure(self) -> None:
        """Tell the programs what they have to know, before they are attached."""
        self.config.ptrace_nr = syscall_number("ptrace")

    def _denial(self, value: DenialValue, times: int) -> Denial:
        verdicts, fact = self._verdicts(value)
        other_owner = {DENIAL_UNANSWERED: "", DENIAL_VSYSCALL: "", DENIAL_TRACED: FILTER_UNKNOWN}
        return Denial(self.machine.architecture(value.abi, value.nr), value.nr, verdicts, value.tgid, value.tid,
                      decode_name(value.comm), times=times, fact=fact, origin=value.origin, since=value.since,
                      other_owner=other_owner.get(value.kind, FILTER_OWN))

    def _verdicts(self, value: DenialValue) -> tuple[tuple[Verdict, ...], str]:
        """What a filter may have answered, the likeliest first; and what is known of it."""
        return denial_verdicts(value.kind, value.result)

    def _on_event(self, _context: int, address: int, _size: int) -> int:
        self._denials.append(self._denial(DenialValue.from_address(address), 1))
        return 0

    def read(self) -> list[Denial]:
        """What has been stopped since the last time; never waits."""
        libbpf.ring_buffer__consume(self._ring)
        denials, self._denials = self._denials, []
        return denials

    def _live_tasks(self) -> list[TaskValue]:
        """The states of the tasks that live."""
        owners = self.read_items("owners", c_uint32, c_uint64, self._unreadable)
        tasks = self.read_items("tasks", c_uint64, TaskValue, self._unreadable)
        return [self.slots[index.value].state for index, _ in owners] + [task for _, task in tasks]

    def finish(self) -> list[Denial]:
        """The repeats, and the calls that have not ended, since their tasks live on."""
        counted = {key.raw: value for key, value in self.read_items(
            "denials", c_char * DENIAL_KEY_BYTES, DenialValue, self._unreadable)}
        unanswered = []
        for task in self._live_tasks():  # some repeats are still with the task itself
            value = counted.get(bytes(task.last))
            if value:
                value.count += task.repeats
            if task.flags & TASK_HELD:
                unanswered.append(self._denial(DenialValue(*task.held, b"(running)", task.last[8]), 1))
        repeats = [self._denial(value, value.count - 1) for value in counted.values() if value.count > 1]
        return self.read() + unanswered + repeats

    def losses(self) -> list[str]:
        """Why what was read may not be all."""
        return sorted(self._unreadable) + describe_losses(
            self.counters(), "run parts of the work on their own", "could not be read; run it again")


class TracepointWatcher(DenialReader, DenialWatcher):
    """Sees what the filter of a command stops."""

    title = "tracepoint"
    reads = "the tracepoints sys_enter and sys_exit"
    needs_audit_session = False

    def __init__(self, machine: Machine, profile: Profile):
        super().__init__(machine, WATCHING_PROGRAMS)
        self._profile = profile
        self._named_unsure: set[str] = set()  # calls of the vsyscall page of which a message has told
        self.start_reading()

    def _configure(self) -> None:
        super()._configure()
        if SCMP_ACT_LOG in profile_actions(self._profile):
            self._mark_logged()

    def _mark_logged(self) -> None:
        """Have the kernel side report calls that are let pass but logged. It does not see whether conditions hold."""
        listed = {self.machine.own.name, *self._profile.architectures}  # all calls of others are stopped
        unsure = set()
        for index in range(ABIS * NUMBERS):
            abi, number = divmod(index, NUMBERS)
            architecture = self.machine.architecture(abi, number)
            if architecture.name not in listed:
                continue
            name = syscall_name(architecture, number) or ""
            actions = {verdict.action for verdict in self._profile.verdicts(name)}
            self.logged[index] = actions == {SCMP_ACT_LOG}
            if SCMP_ACT_LOG in actions and len(actions) > 1:
                unsure.add(name)
        self.config.marked = any(self.logged)
        if unsure:
            Log.result(f"Not named where they are logged, since rules for them have conditions: "
                       f"{', '.join(sorted(unsure))}; --enricher netlink names them")

    def adapt_filter(self, applied: Filter, default_action: str) -> Filter:
        return applied

    def _verdicts(self, value: DenialValue) -> tuple[tuple[Verdict, ...], str]:
        if value.kind != DENIAL_VSYSCALL:
            return super()._verdicts(value)
        name = syscall_name(self.machine.architecture(value.abi, value.nr), value.nr) or ""
        return self._vsyscall_verdicts(name), ""

    def _vsyscall_verdicts(self, name: str) -> tuple[Verdict, ...]:
        """What the profile may have answered to a call through the vsyscall page, of which nothing else is seen:
        whatever it says, unless it lets the call pass or that depends.
        """
        if len(set(self._profile.verdicts(name))) == 1:
            return tuple(Verdict(action, -1) for action in ACTIONS if action != SCMP_ACT_ALLOW)
        if name not in self._named_unsure:
            self._named_unsure.add(name)
            Log.result(f"Not named where the vsyscall page makes it, since rules for it have conditions: {name}; "
                       "--enricher notify names it")
        return (Verdict("", -1),)


def denial_verdicts(kind: int, result: int) -> tuple[tuple[Verdict, ...], str]:
    """What a filter may have answered to a call, by what became of it (enum denial_kind) and what it returned; and what
    is known of that.
    """
    kill_process, kill_thread, trap, trace, notify, logged = (Verdict(action, -1) for action in (
        SCMP_ACT_KILL_PROCESS, SCMP_ACT_KILL_THREAD, SCMP_ACT_TRAP, SCMP_ACT_TRACE, SCMP_ACT_NOTIFY, SCMP_ACT_LOG))
    refusal = Verdict(SCMP_ACT_ERRNO, -result)
    refusals = (refusal, trace) if result == -errno.ENOSYS else (refusal,)  # of a tracer that is not there (seccomp(2))
    if kind in (DENIAL_RETURNED, DENIAL_TRACED):
        if -4096 < result < 0:
            return refusals, f"returned {errno.errorcode.get(-result, -result)}"
        # 0 is what few filters answer; any other value is a listener's. Or a tracer has suppressed SIGSYS.
        return (notify, trap if result else refusal), f"returned {result}"
    if kind == DENIAL_ENDED:
        kills_process = release_numbers(kernel_uname().release) < (5, 16)
        return (kill_thread, kill_process) if kills_process else (kill_thread,), "ended by it"
    return {DENIAL_LOGGED: ((logged,), ""), DENIAL_TRAPPED: ((trap,), ""),
            DENIAL_KILLED: ((kill_process, kill_thread, trap), "killed by SIGSYS"),
            DENIAL_UNANSWERED: ((kill_process, kill_thread, trap, *refusals), ""),
            DENIAL_VSYSCALL: ((Verdict("", -1),), "")}[kind]


class BtfMember(ctypes.Structure):
    """struct btf_member (linux/btf.h)."""

    _fields_ = [("name_off", c_uint32), ("type", c_uint32), ("offset", c_uint32)]


BTF_KIND_STRUCT, BTF_KIND_UNION = 4, 5  # linux/btf.h


def find_member(btf: Btf, type_id: int, name: bytes) -> int | None:
    """How many bytes into a struct the member of this name is, also in a nameless one within; None if it has none."""
    btf_type = libbpf.btf__type_by_id(btf, type_id).contents
    kind, count, has_bit_fields = btf_type.info >> 24 & 0x1F, btf_type.info & 0xFFFF, btf_type.info >> 31
    if kind not in (BTF_KIND_STRUCT, BTF_KIND_UNION):
        return None
    members = (BtfMember * count).from_address(ctypes.addressof(btf_type) + ctypes.sizeof(BtfType))
    for member in members:
        offset = int(member.offset & 0xFFFFFF if has_bit_fields else member.offset) // 8
        member_name = libbpf.btf__name_by_offset(btf, member.name_off)
        if member_name == name:
            return offset
        below = find_member(btf, member.type, name) if not member_name else None
        if below is not None:
            return offset + below
    return None


# Fields of Config, and what of the kernel's structs each tells of: a struct, its member. Offsets of one field add up.
MEMBERS = (
    ("parent_offset", b"task_struct", b"real_parent"), ("tgid_offset", b"task_struct", b"tgid"),
    ("nsproxy_offset", b"task_struct", b"nsproxy"), ("mounts_offset", b"nsproxy", b"mnt_ns"),
    ("inode_offset", b"mnt_namespace", b"ns"), ("inode_offset", b"ns_common", b"inum"),
    ("pid_offset", b"task_struct", b"thread_pid"), ("level_offset", b"pid", b"level"),
    ("numbers_offset", b"pid", b"numbers"), ("leader_offset", b"task_struct", b"group_leader"),
    ("flags_offset", b"task_struct", b"flags"), ("cred_offset", b"task_struct", b"cred"),
    ("user_offset", b"cred", b"user_ns"), ("owner_offset", b"user_namespace", b"owner"))


def member_offsets() -> list[int]:
    """The offsets of MEMBERS in bytes; none where the kernel does not tell of its types, has others, or is 32-bit."""
    offsets: list[int] = []
    if ctypes.sizeof(c_void_p) < ctypes.sizeof(c_uint64):
        return offsets
    try:
        btf = libbpf.btf__parse_raw(KERNEL_BTF.encode())
    except OSError:
        return []
    try:
        for _, struct, member in MEMBERS:
            offset = find_member(btf, libbpf.btf__find_by_name_kind(btf, struct, BTF_KIND_STRUCT), member)
            if offset is None:
                return []
            offsets.append(offset)
        return offsets
    except OSError:
        return []
    finally:
        libbpf.btf__free(btf)


def set_member_offsets(config: Config, offsets: Sequence[int]) -> None:
    for (field, _, _), offset in zip(MEMBERS, offsets):
        setattr(config, field, getattr(config, field) + offset)


class Scope(Protocol):
    """What is recorded or watched that runs already."""

    title: str
    """What it is, for a person."""

    name: str
    """What a profile of it may be called."""

    join_program: str
    """Which program of the object tells who belongs to it; "" if all do."""

    exec_program: str
    """Which one lets in what execs from outside; "" if nothing comes in so."""

    is_open_ended: bool
    """Is it there though no task is in it, so that only a signal ends it?"""

    command: Sequence[str]
    """The command line that has started it; none if that is not known."""

    def tasks(self) -> Iterable[int]:
        """The tids of those that are in it now."""

    def prepare(self, bpf: ScopedPrograms) -> None:
        """Tell that program what it has to know. Raises OSError."""


class ProcessTree:
    """Processes with their threads and descendants."""

    join_program, exec_program = "join_scope", ""
    is_open_ended = False
    command: Sequence[str] = ()

    def __init__(self, pids: Sequence[int]):
        """Raises KernelError if one is not there."""
        self._roots = list(dict.fromkeys(self._leader(pid) for pid in pids))
        self._start_times = [start_time(pid) for pid in self._roots]
        if len(self._roots) == 1:
            self.command = command_line(self._roots[0])
        self.name = process_name(self._roots[0]) or str(pids[0])
        named = ", ".join(f"{pid} ({process_name(pid)})" for pid in self._roots)
        self.title = (f"process {named} and its descendants" if len(self._roots) == 1 else
                      f"processes {named} and descendants")

    @staticmethod
    def _leader(pid: int) -> int:
        """The process that a thread belongs to."""
        tgid = proc_status(pid).get("Tgid")
        if tgid is None and not is_gone(pid):
            raise KernelError("attach to", f"process {pid}", "/proc does not show it to this user (hidepid)",
                              "run it as root, or with CAP_SYS_PTRACE")
        if tgid is None:
            raise KernelError("attach to", f"process {pid}", "it is gone, or was never there", "ps -e lists what runs")
        if task_flags(pid) & PF_KTHREAD:
            raise KernelError("attach to", f"process {pid}", "a thread of the kernel makes no syscalls",
                              "name another process")
        if int(tgid) == os.getpid():
            raise KernelError("attach to", f"process {pid}", f"that is {PROGRAM} itself", "name another process")
        return int(tgid)

    def tasks(self) -> set[int]:
        return self.tasks_below([pid for pid, start in zip(self._roots, self._start_times) if start_time(pid) == start])

    @staticmethod
    def tasks_below(roots: Sequence[int]) -> set[int]:
        """The tids of these processes and their descendants, but for those of spoc.py itself."""
        children = child_processes()
        found: set[int] = set()
        todo = list(roots)
        while todo:
            pid = todo.pop()
            if pid != os.getpid():
                found.update(threads_of(pid))
                todo += children.pop(pid, ())
        return found

    def prepare(self, bpf: ScopedPrograms) -> None:
        pass


class NamedProcesses:
    """What is called so, or is from an exec on, with its threads and descendants."""

    join_program, exec_program = "join_scope", "list_named"
    is_open_ended = True
    command: Sequence[str] = ()
    MAX_BYTES = 15  # of a task's name (TASK_COMM_LEN, include/linux/sched.h)

    def __init__(self, program: str):
        """The name is that of the program's file, as far as the kernel keeps it."""
        self.name = os.path.basename(program)
        if not self.name:
            raise UsageError(f"--no-proc-start {program}", "that is no program's name")
        self._comm = self.name.encode("utf-8", "surrogateescape")[:self.MAX_BYTES]
        self._process_name = self._comm.decode("utf-8", "surrogateescape")
        self.title = f"processes called {printable(self._process_name)} and their descendants"

    def tasks(self) -> set[int]:
        return ProcessTree.tasks_below([pid for pid in all_processes() if process_name(pid) == self._process_name])

    def describe_others(self) -> str:
        """What is called otherwise, for who has typed the name wrongly."""
        others = program_names()
        return (f"No process is called {quoted(self._process_name)} yet; "
                f"those that run: {list_names(others, 'ps -e')}{suggestion(self._process_name, others)}")

    def prepare(self, bpf: ScopedPrograms) -> None:
        ctypes.memmove(bpf.config.scope_comm, self._comm, len(self._comm))


class ControlGroup:
    """A control group with all below it. Of version 1 the kernel tells nothing: what enters it later is not seen."""

    container = ""  # the name of that whose it is, where it was named by that
    is_open_ended = False
    command: Sequence[str] = ()

    def __init__(self, path: str):
        """Raises KernelError if it is none, or that of the whole machine."""
        self.path = os.path.realpath(path)
        self.name = os.path.basename(self.path)
        self.title = f"control group {self.path}"
        try:
            self._is_v2 = {"cgroup2": True, "cgroup": False}[filesystem_type(self.path)]
            os.stat(self.path + "/cgroup.procs")
        except (KeyError, OSError):
            raise KernelError("attach to", path, "it is no control group", self._example()) from None
        # What only the root has, and what only it has not (cgroups(7), the kernel's cgroup-v2.rst).
        if not os.path.exists(self.path + "/cgroup.events") if self._is_v2 else os.path.exists(
                self.path + "/release_agent"):
            raise KernelError("attach to", path, "the root of the control groups is the whole machine",
                              "name one below it")
        self.join_program = "join_group" if self._is_v2 else "join_scope"
        self.exec_program = "join_group" if self._is_v2 else ""
        if not self._is_v2:
            self.title += " (version 1: what is moved into it later is not seen)"

    @staticmethod
    def _example() -> str:
        """What a control group's folder looks like here: the tree that systemd uses is not mounted alike everywhere."""
        root = next(control_group_roots(), None) or next((mount.path for mount in control_group_mounts()), None)
        if not root:
            return "none are mounted: mount -t cgroup2 none /sys/fs/cgroup"
        return f"name its folder, as in {root}/system.slice/nginx.service"

    def tasks(self) -> set[int]:
        found: set[int] = set()
        for folder, _, _ in os.walk(self.path):
            found.update(map(int, read_kernel_file(f"{folder}/{'cgroup.threads' if self._is_v2 else 'tasks'}").split()))
        own = threads_of(os.getpid())
        return found.difference(own, [0])

    def prepare(self, bpf: ScopedPrograms) -> None:
        if self._is_v2:
            bpf.set_group(self.path)


class PidNamespace:
    """A container with a pid namespace of its own: all that is in it, also what is started in it from outside."""

    join_program = exec_program = "join_scope"
    is_open_ended = False
    command: Sequence[str] = ()

    def __init__(self, container: RunningContainer):
        """Raises OSError if it is gone."""
        self.name, self._pid = container.name, container.pid
        self.title = f"container {container.name}"
        namespace = os.stat(f"/proc/{container.pid}/ns/pid")
        self._namespace = namespace.st_dev, namespace.st_ino
        self.owner = owner_of(read_proc(container.pid, "cgroup"))

    def tasks(self) -> set[int]:
        """Those in the namespace, and the descendants of its first process, which may be in others below it."""
        found = ProcessTree.tasks_below([self._pid])
        for pid in all_processes():
            if pid_namespace_of(pid) == self._namespace and not is_entering(pid):
                found.update(threads_of(pid))
        return found

    def prepare(self, bpf: ScopedPrograms) -> None:
        device, bpf.config.scope_ino = self._namespace
        bpf.config.scope_dev = kernel_device(device)


def container_scope(name: str, others: str = "--pid or --cgroup") -> Scope:
    """The container of this name or id: its pid namespace or, where that is not its own, its control group."""
    containers = running_containers()
    container = find_container(name, containers)
    if container is None:
        raise SpocError("find container", name, "no running container has this name or id",
                        describe_running(name, containers, others))
    try:
        scope = PidNamespace(container)
        is_machines = shares_pid_namespace(container.pid, os.getpid())
    except OSError as error:
        raise KernelError("attach to", f"container {name}", error, "run it as root, or with CAP_SYS_PTRACE"
                          if error.errno in (errno.EACCES, errno.EPERM) else "start it again") from None
    if not is_machines and is_first_in_pid_namespace(container.pid):
        return scope
    for path in control_groups_of(container.pid):
        if container.identifier in path:
            group = ControlGroup(path)
            group.name = group.container = container.name
            group.title = f"container {container.name}, by its {group.title}"
            return group
    raise SpocError("attach to", f"container {name}", "neither a pid namespace nor a control group is its own",
                    f"--pid {container.pid} is for its first process and the descendants of that")


class WholeMachine:
    """Every task that is under a seccomp filter."""

    title = "every task of this machine that is under a seccomp filter"
    name = "machine"
    join_program = exec_program = ""
    is_open_ended = True
    command: Sequence[str] = ()

    def tasks(self) -> set[int]:
        return set()

    def prepare(self, bpf: ScopedPrograms) -> None:
        bpf.config.everyone = True
        bpf.tell_namespace()


BPF_MAP_TYPE_CGROUP_ARRAY, BPF_NOEXIST = 8, 1  # linux/bpf.h
# enum mark and LISTED of recorder.bpf.c
MARK_LISTED, LISTED = 1, 64


class NoTasksError(KernelError):
    """What was to be attached to has ended."""


class ScopedPrograms(BpfSkeleton):
    """The same for tasks that run already: nothing is seen before join_all()."""

    # What the kernel side has room for, whatever the addresses (TASKS in recorder.bpf.c).
    MAX_TASKS = 12288
    # Where a task is that does anything: it joins there while all are being listed.
    TEMPORARY = ("sys_enter", "sys_exit", "sched_process_fork")
    MAX_PASSES = 20  # where tasks come and go all the time there are always new ones, which their parents bring

    scope: Scope
    gates: Sequence[str] = ()
    """What is attached in the place of run_enter and run_exit, and hands on to them; see go_on()."""

    def _begin_scope(self, scope: Scope, gates: Sequence[str] = ()) -> None:
        self.scope, self.gates = scope, gates
        self.tids: set[int] = set()  # of all that were listed
        self._joining = contextlib.ExitStack()
        self._resources.enter_context(self._joining)
        reads_kernel = lockdown_mode() != "confidentiality"
        self._notes_returns = "task_exit" in self._other_programs and reads_kernel
        is_entered = scope.join_program == scope.exec_program == "join_scope"
        self._members = member_offsets() if is_entered and reads_kernel else []
        self._joiner = "join_inside" if self._members else scope.join_program

    @property
    def _programs(self) -> list[str]:
        joiners = ["join_enter", *{self._joiner, self.scope.join_program, self.scope.exec_program}.difference([""])]
        notes = ["note_return"] if self._notes_returns else []
        return [*super()._programs, *self.gates, *joiners, *notes]

    @property
    def _attached(self) -> list[str]:
        if self.gates:
            return [name for name in (*self._other_programs, *self.gates) if name != "run_exit"]
        return super()._programs

    def _prepare_maps(self) -> None:
        super()._prepare_maps()
        last_pid = int(read_kernel_file("/proc/sys/kernel/pid_max") or 1 << 22)
        self._listed_elements = last_pid // LISTED + 1
        libbpf.bpf_map__set_max_entries(self._map("listed"), self._listed_elements)
        if "run_exit" in self._other_programs:
            libbpf.bpf_map__set_max_entries(self._map("denials"), MAX_MAP_ITEMS)
        if self.scope.join_program == "join_group":
            libbpf.bpf_map__set_type(self._map("control_group"), BPF_MAP_TYPE_CGROUP_ARRAY)

    def _map_arrays(self, path: str) -> None:
        super()._map_arrays(path)
        listed = c_uint8 * (LISTED * self._listed_elements)
        try:
            self._listed = listed.from_buffer(self._memory("listed", listed))
        except OSError as error:
            raise bpf_error("map BPF arrays", path, error) from None

    def set_item(self, name: str, index: int, descriptor: int) -> None:
        """Put what a descriptor stands for into an array map. Raises OSError."""
        libbpf.bpf_map_update_elem(self.map_descriptor(name), ctypes.byref(c_uint32(index)),
                                   ctypes.byref(c_int(descriptor)), 0)

    def set_group(self, path: str) -> None:
        """Have join_group let in what is in the control group of that folder. Raises OSError."""
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self.set_item("control_group", 0, folder)
        finally:
            close(folder)

    def attach_programs(self) -> None:
        """A program that lets tasks join at a tracepoint has to be there before what else is attached to it."""
        self.config.own_tgid = os.getpid()
        self.config.filter_offset, self.config.filter_mask = self.machine.filtered
        set_member_offsets(self.config, self._members)
        try:
            self.scope.prepare(self)
            for index, name in enumerate((self.enter_program, "run_exit", "join_enter", "join_scope")):
                if name in self._programs:
                    self.set_item("programs", index, libbpf.bpf_program__fd(self._program(name)))
        except OSError as error:
            raise bpf_error("attach to", self.scope.title, error) from None
        for tracepoint in self.TEMPORARY if self._joiner else ():
            # Behind gates a task without a filter does not join by a call: by its forks its children are known.
            is_lasting = bool(self.gates) and tracepoint == "sched_process_fork"
            self._attach(self._joiner, tracepoint, None if is_lasting else self._joining)
        super().attach_programs()
        if self._notes_returns:
            self._attach("note_return", PROGRAMS["note_return"], self._joining)
        if self.scope.exec_program:
            self._attach(self.scope.exec_program, "sched_process_exec")

    def join_all(self) -> None:
        """Have all that runs in the scope join, which each does with what it does next. Raises KernelError.

        One pass finds all that wait for something. What a task starts before it is listed is found by the next.
        """
        self.config.joining = True
        for _ in range(self.MAX_PASSES):
            new = set(self.scope.tasks()) - self.tids
            self.tids |= new
            if len(self.tids) > self.MAX_TASKS:
                raise KernelError("attach to", self.scope.title, f"{len(self.tids)} tasks are in it",
                                  f"{self.MAX_TASKS} can be followed at a time: name a part of it")
            if max(new, default=0) >= len(self._listed):
                raise KernelError("attach to", self.scope.title, "kernel.pid_max was raised meanwhile", "try again")
            for tid in new:
                self._listed[tid] = self._listed[tid] or MARK_LISTED
            if not new:
                break
        if not self.scope.is_open_ended and not self.tids:
            raise NoTasksError("attach to", self.scope.title, "no task is in it", "start it, or name another")
        for tid in self.tids:  # what ended before it was listed would leave its mark to the next task of that tid
            if self._listed[tid] and has_ended(tid):
                self._listed[tid] = 0

    def end_joining(self) -> None:
        """All are listed: from now on only what is listed joins, or execs in a scope that the kernel knows."""
        self._joining.close()

    def has_joined(self, tid: int) -> bool:
        return self._listed[tid] != MARK_LISTED

    def idle_tasks(self) -> int:
        """How many of the tasks that were listed live and have done nothing since, so that the kernel counts none."""
        return sum(not self.has_joined(tid) for tid in self.tids)

    def has_live_tasks(self) -> bool:
        """Does any task of the scope live, whether or not it has done anything?"""
        return bool(self.live_tasks()) or any(self._listed[tid] for tid in self.tids)


class ScopeRecorder(ScopedPrograms, BpfRecorder):
    """Records tasks that run already. Call join(), and then serve inputs() until has_live_tasks() denies."""

    PATIENCE_S, PAUSE_S = 1.0, 0.01

    def __init__(self, machine: Machine, scope: Scope, statistics: bool = False,
                 watched: dict[tuple[int, int], int] | None = None):
        BpfRecorder.__init__(self, machine, statistics, watched)
        self._begin_scope(scope)
        self._in_progress: dict[tuple[int, int], int] = {}  # (abi, number) -> when that was read
        self._values_in_progress: dict[tuple[int, int], set[int]] = {}
        self._losses: list[str] = []

    def __enter__(self) -> ScopeRecorder:
        return self

    def attach(self) -> None:
        super().attach()
        self.open_news()

    def inputs(self) -> InputHandlers:
        return {self.map_descriptor("events"): self.drop_news}

    def join(self) -> int:
        """Record all that runs in the scope from now on, with the calls that it is in; give the number of tasks."""
        self.join_all()
        pending, unreadable = set(self.tids), 0
        end_s = time.monotonic() + self.PATIENCE_S
        while pending:
            for tid in sorted(pending):
                words = read_proc(tid, "syscall").split()
                if not words and not has_ended(tid):
                    unreadable += 1
                if words != ["running"]:
                    pending.discard(tid)
                    self._note_in_progress(tid, words)
            if time.monotonic() > end_s or signal.sigpending():
                break
            if pending:
                time.sleep(self.PAUSE_S)
        self.end_joining()
        busy = sum(not self.has_joined(tid) and not has_ended(tid) for tid in pending)
        if busy:
            Log.warning(f"{count_of(busy, 'task has', 'tasks have')} been running without a new call: if that is "
                        "within one, it is not in the recording")
        if unreadable:
            self._losses.append(f"the calls that {count_of(unreadable, 'task was', 'tasks were')} in could not be "
                                f"read; {' and '.join(READS_CALLS)} allow it")
        return len(self.tids)

    def _note_in_progress(self, tid: int, words: Sequence[str]) -> None:
        """What /proc/TID/syscall says of a task that waits: the call that it is in, if any, and its arguments."""
        if len(words) < 7 or not 0 <= int(words[0]) < NO_SYSCALL:
            return
        number, abi = int(words[0]), 0
        if self.machine.compat:
            with contextlib.suppress(OSError), open(f"/proc/{tid}/exe", "rb") as file:
                abi = int(file.read(5)[4:] == b"\1")  # ELFCLASS32 in e_ident, elf(5)
        self._in_progress[abi, number] = time.monotonic_ns()
        if (abi, number) in self._watched:
            value = int(words[1 + self._watched[abi, number]], 16) & MASK_32
            self._values_in_progress.setdefault((abi, number), set()).add(value)

    def first_calls(self, group: int = 0) -> dict[tuple[int, int], int]:
        return {**self._in_progress, **super().first_calls(group)}

    def _values(self, group: int, unreadable: list[str]) -> dict[tuple[int, int], frozenset[int]]:
        found = super()._values(group, unreadable)
        for call, values in self._values_in_progress.items():
            if call in found or not self.seen[call_index(*call)]:
                found[call] = found.get(call, frozenset()) | values
        return found

    def release_survivors(self, advice: str = "") -> None:
        alive = self.live_tasks() + self.idle_tasks()
        if alive:
            Log.warning(f"{count_of(alive, 'task runs on and is', 'tasks run on and are')} not recorded any more")

    def summary(self) -> str:
        """All that were recorded, as join() has counted them: also those that waited until they were ended."""
        tasks = max(self.counters().followed + self.idle_tasks(), len(self.tids))
        return f"Found {count_of(tasks, 'task', 'tasks')} in bpf map"

    def recording(self) -> Recording:
        recording = super().recording()
        losses = [loss for loss in recording.losses if loss != START_UNSEEN]
        return recording._replace(losses=(*losses, *self._losses))


class ContainerRecorder(BpfRecorder):
    """Records a container whose runtime has made it and waits: from its program's exec on.

    Where it has a pid namespace of its own that is all that is in there, also what is started in it from outside; else
    it is its program with the descendants. attach() arms it.
    """

    def __init__(self, machine: Machine, pid: int):
        """`pid`: of its first process, as this pid namespace counts."""
        super().__init__(machine)
        self._pid = pid
        try:
            self.end = os.pidfd_open(pid)  # readable when that process has ended, and all in its own pid namespace
            self._resources.callback(close, self.end)
            self._scope = os.stat(f"/proc/{pid}/ns/pid")
            self._inner_pid = int(proc_status(pid)["NSpid"].split()[-1])
        except (OSError, KeyError) as error:
            self.close()
            raise KernelError("attach to", f"process {pid}", error if isinstance(error, OSError) else "it is gone",
                              "the state of a container names its first process") from None
        self.has_namespace = self._inner_pid == 1 and not shares_pid_namespace(pid, os.getpid())
        if self.has_namespace:
            self._other_programs = (*self._other_programs, "join_scope")

    def __enter__(self) -> ContainerRecorder:
        return self

    @property
    def _attached(self) -> list[str]:
        return [name for name in self._programs if name != "join_scope"]

    def attach(self) -> None:
        super().attach()
        self._namespace = self._scope
        self.config.scope_dev, self.config.scope_ino = kernel_device(self._scope.st_dev), self._scope.st_ino
        if self.has_namespace:
            self._attach("join_scope", "sched_process_exec")
        else:
            self.open_news()
        self.arm(self._inner_pid)
        if self.has_ended():
            raise KernelError("attach to", f"process {self._pid}", "it has ended", "start the container again")

    def has_ended(self) -> bool:
        """Has its first process ended?"""
        return bool(select_readable([self.end], 0))

    def wait(self, supervisor: Supervisor) -> None:
        """Until nothing that is recorded lives any more, or a signal asks to stop.

        What other hooks start in the container before its program is none of it: task_exec sets `joining`.
        """
        supervisor.wait_until(self.has_ended, [], {self.end: lambda: None})
        if not self.has_namespace:
            supervisor.wait_until(lambda: not self.has_live_tasks(), [],
                                  {self.map_descriptor("events"): self.drop_news})


class HeldNamespace(NamedTuple):
    """A pid namespace that the kernel side is told of. The descriptor keeps its inode from being another's."""

    descriptor: int
    pid: int  # of its first process, and when that started
    start: int
    container: StartedContainer | None  # the first that started in it; None: what starts in it is not recorded


class Start(NamedTuple):
    """A program that has started in a container, and what /proc tells of it."""

    pid: int
    group: int
    comm: str
    namespace_index: int | None  # in `namespaces`; None where the kernel side did not know the namespace
    mount_namespace: int  # its inode; 0: not known
    descriptor: int  # of its pid namespace; -1: it is gone
    parent_descriptor: int  # of its parent's, where it is gone itself; -1: that as well
    is_first: bool  # in its pid namespace; also if that is not known
    is_runtimes: bool  # another program has started it in there which is not recorded
    identity: ContainerIdentity
    is_gone: bool


class StartedContainer(Recorder):
    """One container's part of what a StartRecorder records."""

    filter = None
    close_message = ""

    def __init__(self, programs: StartRecorder, identifier: str, name: str, pid: int):
        """`pid` is that of its first program; `identifier` and `name` may be empty."""
        self._programs = programs
        self.identifier, self.pid = identifier, pid
        self.name = name or identifier or f"pid-{pid}"
        self.is_nameless = not (name or identifier)
        self.maker = 0  # the uid of who has made it
        self.comm = ""
        self.mount_namespace = 0  # its inode, where nothing else tells what container this is
        self.groups: set[int] = set()
        self.namespaces: set[int] = set()  # indices in `namespaces`
        # Group that has not ended -> the program that has started it, and a time before that, see StartRecorder.quiet_s
        self.entered: dict[int, tuple[int, float]] = {}
        self.on_leave: Callable[[int, float], None] = lambda pid, since_s: None  # with the same, when a group has ended
        self._ended: dict[tuple[int, int], RecordedCall] = {}  # the calls of groups that have ended
        self._losses_of_groups: list[str] = []
        self._counters = programs.counters()
        self.is_only = False  # nothing else is recorded any more

    def begin(self, child: Child) -> None:
        pass

    def close(self) -> None:
        pass

    def inputs(self) -> InputHandlers:
        return {}

    def processes(self) -> int:
        return 0

    def live_tasks(self) -> int:
        return sum(self._programs.groups[group].alive for group in self.groups)

    def has_live_tasks(self) -> bool:
        return bool(self.groups)

    def end_groups(self) -> None:
        """Take over what groups without tasks did, and give these back."""
        for group in [group for group in self.groups if not self._programs.groups[group].alive]:
            losses: list[str] = []
            self._ended = merge_calls(self._ended, self._programs.calls_of(group, losses))
            self._losses_of_groups += losses
            self.groups.remove(group)
            self.on_leave(*self.entered[group])
            del self.entered[group]
            self._programs.free(group)

    def first_calls(self) -> dict[tuple[int, int], int]:
        calls = {key: call.first_ns for key, call in self._ended.items()}
        for group in self.groups:
            for key, first_ns in self._programs.first_calls(group).items():
                calls[key] = min(calls.get(key, first_ns), first_ns)
        return calls

    def recording(self) -> Recording:
        calls, losses = self._ended, [*self._losses(), *self._losses_of_groups]
        for group in self.groups:
            lost: list[str] = []
            calls = merge_calls(calls, self._programs.calls_of(group, lost))
            losses += lost
        return make_recording(self._programs.machine, calls, 0, dict.fromkeys(losses))

    def _losses(self) -> list[str]:
        """What has been lost since it started, whichever container's that was."""
        now = self._programs.counters()
        lost = Counters(*(getattr(now, name) - getattr(self._counters, name) for name, *_ in Counters._fields_))
        lost.followed = 1
        if not self.is_only:
            lost.groups_lost = 0
        return describe_losses(lost, "record fewer containers at a time", BpfRecorder.UNREADABLE_CALLS)

    def summary(self) -> str:
        return f"Found {count_of(len(self.first_calls()), 'syscall', 'syscalls')} of container {self.name} in bpf map"

    def release_survivors(self, advice: str = "") -> None:
        alive = self.live_tasks()
        if alive:
            tasks, fate = count_of(alive, "task", "tasks"), "runs on and is" if alive == 1 else "run on and are"
            Log.info(f"{tasks} of container {self.name} {fate} not recorded any more")


def merge_calls(some: dict[tuple[int, int], RecordedCall],
                others: dict[tuple[int, int], RecordedCall]) -> dict[tuple[int, int], RecordedCall]:
    """What two groups did, as if they were one."""
    merged = {**some, **others}
    for key in some.keys() & others.keys():
        first, second = sorted((some[key], others[key]), key=lambda call: call.first_ns)
        values = first.values | second.values if first.values and second.values else frozenset()
        merged[key] = first._replace(times=first.times + second.times, values=values)
    return merged


class HeldNamespaces:
    """The pid namespaces that the kernel side of a StartRecorder is told of."""

    def __init__(self) -> None:
        self.by_index: dict[int, HeldNamespace] = {}  # by index in the map `namespaces`
        self._serials = itertools.count(1)

    def map(self, elements: ctypes.Array[Namespace], config: Config) -> None:
        """Take these, which the kernel side reads, as the map's."""
        self._elements, self._config = elements, config

    def close(self) -> None:
        for hold in self.by_index.values():
            close(hold.descriptor)
        self.by_index.clear()

    def inodes(self) -> set[int]:
        return {self._elements[index].ino for index in self.by_index}

    def has(self, index: int, serial: int) -> bool:
        """Is the one at this index still that which had this serial number?"""
        return index in self.by_index and self._elements[index].serial == serial

    def index_of(self, descriptor: int) -> int | None:
        """The index of the one that this descriptor is of."""
        status = os.fstat(descriptor)
        device = kernel_device(status.st_dev)
        return next((index for index in self.by_index
                     if (self._elements[index].dev, self._elements[index].ino) == (device, status.st_ino)), None)

    def around(self, descriptor: int) -> HeldNamespace | None:
        """The innermost which a namespace is in (NS_GET_PARENT of ioctl_ns(2))."""
        with contextlib.ExitStack() as resources, contextlib.suppress(OSError):
            while True:  # until that of this process, whose parent may not be seen
                descriptor = fcntl.ioctl(descriptor, namespace_ioctl(NS_GET_PARENT, kernel_uname().machine))
                resources.callback(close, descriptor)
                index = self.index_of(descriptor)
                if index is not None:
                    return self.by_index[index]
        return None

    def add(self, descriptor: int, pid: int, container: StartedContainer | None) -> int | None:
        """Tell the kernel side of one, if there is room: else each start in it is announced. Give its index."""
        index = next((index for index in range(MAX_NAMESPACES) if index not in self.by_index), None)
        if index is None:
            close(descriptor)
            return None
        status = os.fstat(descriptor)
        self.by_index[index] = HeldNamespace(descriptor, pid, start_time(pid), container)
        serial = next(self._serials) if container else 0
        self._elements[index] = Namespace(kernel_device(status.st_dev), status.st_ino, serial)
        self._config.namespaces = max(self.by_index) + 1
        return index

    def ignore(self, pid: int) -> None:
        """Record nothing that starts in the pid namespace of this process, unless that is recorded already."""
        descriptor = open_pid_namespace(pid)
        if descriptor >= 0 and self.index_of(descriptor) is None:
            self.add(descriptor, pid, None)
        elif descriptor >= 0:
            close(descriptor)

    def keep_only(self, indices: set[int]) -> None:
        """Let go of the others."""
        self._forget(self.by_index.keys() - indices)

    def forget_ended(self) -> None:
        """Let go of those whose containers have ended."""
        self._forget({index for index, hold in self.by_index.items()
                      if (start_time(hold.pid) != hold.start if hold.container is None else not hold.container.groups)})

    def _forget(self, indices: set[int]) -> None:
        for index in indices:
            self._elements[index] = Namespace()
            close(self.by_index.pop(index).descriptor)
        self._config.namespaces = max(self.by_index, default=-1) + 1


class StartRecorder(BpfRecorder):
    """Records programs that start in pid namespaces other than the machine's: those of each container, apart.

    Call begin_all(), then serve inputs(), which calls `on_start` and `on_end` with each container that does so.
    """

    EXEC_S = 0.05  # within which an exec that shows in /proc has been announced

    def __init__(self, machine: Machine, statistics: bool = False,
                 watched: dict[tuple[int, int], int] | None = None):
        super().__init__(machine, statistics, watched)
        self._other_programs = (*self._other_programs, "begin_foreign")
        self.group_count = 1 + GROUPS
        self.containers: list[StartedContainer] = []  # that have not ended
        self.on_start: Callable[[StartedContainer], None] = lambda container: None
        self.on_end: Callable[[StartedContainer], None] = lambda container: None
        self._started: list[StartValue] = []
        self._dropped: set[int] = set()  # groups of what is in no container
        self._others: set[int] = set()  # groups that count in Config.others_taken
        self.quiet_s = boot_time_s()  # what has started and is not known yet has done so after that
        self._holds = HeldNamespaces()
        self._running: dict[tuple[str, int], tuple[int, int]] = {}  # id, maker -> first process, when that started

    def __enter__(self) -> StartRecorder:
        return self

    def close(self) -> None:
        super().close()
        self._holds.close()

    def _prepare_maps(self) -> None:
        super()._prepare_maps()
        calls, per_group = ABIS * NUMBERS, MAX_VALUES + 1 + (os.cpu_count() or 1)
        sizes = {"groups": self.group_count, "free_groups": GROUPS, "namespaces": MAX_NAMESPACES,
                 "seen": calls * self.group_count}
        if self._statistics:
            sizes["calls"] = MAX_MAP_ITEMS
        if self._arguments:
            sizes["watched"] = calls * self.group_count
            sizes["values"] = min(MAX_VALUE_ITEMS, self._arguments * per_group * GROUPS)
        for name, size in sizes.items():
            libbpf.bpf_map__set_max_entries(self._map(name), size)

    def _map_arrays(self, path: str) -> None:
        super()._map_arrays(path)
        namespaces = Namespace * MAX_NAMESPACES
        try:
            self._holds.map(namespaces.from_buffer(self._memory("namespaces", namespaces)), self.config)
        except OSError as error:
            raise bpf_error("map BPF arrays", path, error) from None

    def attach(self) -> None:
        self.tell_namespace()
        set_member_offsets(self.config, member_offsets())
        self.config.others_most = MAX_OTHERS
        super().attach()
        self.open_news()
        try:
            for group in range(GROUPS, 0, -1):
                self._push(group)
        except OSError as error:
            raise bpf_error("fill map", "free_groups", error) from None

    def _push(self, group: int) -> None:
        libbpf.bpf_map_update_elem(self.map_descriptor("free_groups"), None, ctypes.byref(c_uint32(group)), 0)

    def free(self, group: int) -> None:
        """Have another container take a group that has no tasks."""
        if group in self._others:
            self._release_other(group)
        start = call_index(group * ABIS, 0)
        ctypes.memset(ctypes.addressof(self.seen) + start * ctypes.sizeof(c_uint64), 0,
                      ABIS * NUMBERS * ctypes.sizeof(c_uint64))
        for abi, number in self._watched:
            self.watches[call_index(group * ABIS + abi, number)].count = 0
        with contextlib.suppress(OSError):
            keys: list[tuple[str, CallKey | ValueKey]] = [
                *(("calls", key) for key, _ in self.read_items("calls", CallKey, CallValue, [])),
                *(("values", key) for key, _ in self.read_items("values", ValueKey, c_uint32, []))]
            for name, key in keys:
                if key.table // ABIS == group:
                    libbpf.bpf_map_delete_elem(self.map_descriptor(name), ctypes.byref(key))
            self.groups[group] = Group()
            self._push(group)

    def _release_other(self, group: int) -> None:
        """Do not count it any more among what other users have started."""
        self._others.remove(group)
        self.config.others_returned = self.config.others_returned + 1 & MASK_32

    def begin_all(self, running: Iterable[RunningContainer] = ()) -> None:
        """Record what starts from now on, and nothing of what is in a pid namespace in which programs run already, or
        that these containers start in one.
        """
        import resource
        self._running = {(each.identifier, each.maker): (each.pid, start_time(each.pid)) for each in running}
        with contextlib.suppress(OSError, ValueError):  # each namespace takes a descriptor
            _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        for pid in self._first_processes():
            self._holds.ignore(pid)
        self.config.foreign = FOREIGN_ALL
        started_meanwhile = self._first_processes()  # before that or, which will have been announced, after it
        if started_meanwhile:
            time.sleep(self.EXEC_S)
            self.serve()
            for pid in started_meanwhile:
                self._holds.ignore(pid)

    def _first_processes(self) -> list[int]:
        """The first processes of the foreign pid namespaces in which a program runs, of those that are not held."""
        first: dict[int, int] = {}  # inode of a namespace -> its first process
        begun = set()
        held = self._holds.inodes()
        for pid in sorted(all_processes()):
            flags = task_flags(pid)
            if flags & (PF_EXITING | PF_KTHREAD) or not is_in_other_pid_namespace(pid):
                continue
            with contextlib.suppress(OSError):
                inode = os.stat(f"/proc/{pid}/ns/pid").st_ino
                if inode not in first or is_first_in_pid_namespace(pid):
                    first[inode] = pid
                if not flags & PF_FORKNOEXEC:
                    begun.add(inode)
        return [first[inode] for inode in begun - held]

    def _outer_namespace(self, start: Start) -> HeldNamespace | None:
        """The innermost of those that are held which a program's namespace is in; where that is gone, its parent is."""
        if start.descriptor >= 0:
            return self._holds.around(start.descriptor)
        if start.parent_descriptor < 0:
            return None
        index = self._holds.index_of(start.parent_descriptor)
        return self._holds.around(start.parent_descriptor) if index is None else self._holds.by_index[index]

    def inputs(self) -> InputHandlers:
        return {self.map_descriptor("events"): self.serve}

    def _on_news(self, _context: int, address: int, size: int) -> int:
        if size == ctypes.sizeof(StartValue):
            value = StartValue.from_address(address)
            if value.group:  # else there was none left, which the kernel side has counted
                self._started.append(StartValue.from_buffer_copy(value))
        return 0

    def note_quiet(self) -> None:
        """Bring quiet_s up to date, if nothing is to be dealt with."""
        now_s = boot_time_s()
        if not select_readable([self.map_descriptor("events")], 0):
            self.quiet_s = now_s

    def serve(self) -> None:
        """Deal with all that has started and ended."""
        since_s, self.quiet_s = self.quiet_s, boot_time_s()
        libbpf.ring_buffer__consume(self._ring)
        news, self._started = self._started, []
        self._others.update(each.group for each in news if each.is_others)
        for start in [self._examine(each) for each in news]:  # all of them first: they may be gone soon
            self._start(start, since_s)
        for group in [group for group in self._dropped if not self.groups[group].alive]:
            self._dropped.remove(group)
            self.free(group)
        for container in list(self.containers):
            container.end_groups()
            if not container.groups:
                self.containers.remove(container)
                self.on_end(container)
        if self._holds.by_index:
            self._holds.forget_ended()

    def _examine(self, news: StartValue) -> Start:
        pid, index, is_gone = news.tgid, None, start_time(news.tgid) < 0
        descriptor = open_pid_namespace(pid)
        parent_descriptor = open_pid_namespace(parent_of(pid) or news.parent) if descriptor < 0 else -1
        if self._holds.has(news.index, news.serial):
            index = news.index  # which no other namespace has meanwhile
        if news.inner_pid:  # the kernel side tells of no program whose parent is in there, too
            is_first, is_runtimes = news.inner_pid == 1, False
        else:
            is_first = is_gone or is_first_in_pid_namespace(pid)
            is_runtimes = not is_first and shares_pid_namespace(pid, parent_of(pid))
        identity = identify_container(pid, news.parent)
        return Start(pid, news.group, decode_name(news.comm), index, news.mounts, descriptor, parent_descriptor,
                     is_first, is_runtimes, identity, is_gone)

    def _start(self, start: Start, since_s: float) -> None:
        """Put what a program does to the container that it has started in, which may be a new one."""
        index = self._holds.index_of(start.descriptor) if start.descriptor >= 0 else start.namespace_index
        container = self._container_of(start, None if index is None else self._holds.by_index.get(index))
        if start.parent_descriptor >= 0:
            close(start.parent_descriptor)
        if not container:
            self.groups[start.group].dropped = True
            self._dropped.add(start.group)
            if start.descriptor >= 0:
                close(start.descriptor)
            return
        container.groups.add(start.group)
        container.entered[start.group] = start.pid, since_s
        if start.group in self._others and start.identity.maker in trusted_users():
            self._release_other(start.group)
        if start.descriptor >= 0 and index is None:
            index = self._holds.add(start.descriptor, start.pid, container)
        elif start.descriptor >= 0:
            close(start.descriptor)
        if index is not None:
            container.namespaces.add(index)
        if container not in self.containers:
            self.containers.append(container)
            self.on_start(container)

    def _container_of(self, start: Start, hold: HeldNamespace | None) -> StartedContainer | None:
        """That which a program has started in. None for what a runtime starts in there before the container's program,
        as it does hooks, for what has entered a namespace whose first program is not recorded, and for what a container
        that is not recorded starts.
        """
        identifier = start.identity.identifier
        if start.is_runtimes:
            return None
        outer = None if hold else self._outer_namespace(start)
        if outer:
            return outer.container
        if self._is_running(start.identity):
            return None
        container = hold.container if hold else None
        if identifier:
            key = identifier, start.identity.maker
            container = next((each for each in self.containers if (each.identifier, each.maker) == key), None)
        if not container and (start.is_first or hold and identifier):
            container = self._add(start)
        return container

    def _is_running(self, identity: ContainerIdentity) -> bool:
        """Does the container run that ran when this began, so that this is no start of it?"""
        pid, start = self._running.get((identity.identifier, identity.maker), (0, -1))
        return start >= 0 and start_time(pid) == start

    def _add(self, start: Start) -> StartedContainer:
        identifier, name, is_dockers, maker = start.identity
        if not name and is_dockers and maker in trusted_users():
            name = docker_socket.names(identifier).get(identifier, "")
        if identifier:
            name = container_name(name or identifier, maker)
        container = StartedContainer(self, identifier, name, start.pid)
        container.maker = maker
        container.comm = start.comm
        container.mount_namespace = start.mount_namespace if start.is_gone else 0
        return container

    def keep_only(self, container: StartedContainer) -> None:
        """Record nothing but this container, which has just started, from now on: of others, what they start."""
        self.config.foreign = FOREIGN_KNOWN
        self._holds.keep_only(container.namespaces)
        if not container.is_only and not container.namespaces:  # there was no room for it
            descriptor = open_pid_namespace(container.pid)
            index = self._holds.add(descriptor, container.pid, container) if descriptor >= 0 else None
            container.namespaces.update([] if index is None else [index])
        container.is_only = True
        for other in self.containers:
            if other is not container and not other.namespaces & container.namespaces:
                for group in other.groups:
                    self.groups[group].dropped = True


class ScopeWatcher(ScopedPrograms, DenialReader):
    """Sees what filters stop of what runs already. Call join() once it is read from."""

    def __init__(self, machine: Machine, scope: Scope, gates: Sequence[str] = ()):
        super().__init__(machine, WATCHING_PROGRAMS)
        self.joined: list[int] = []  # processes that have joined by themselves, since the last time that it was emptied
        self._kept, self._take_at = 0, self.FULL  # entries in the map of denials, and with how many it is emptied
        self._begin_scope(scope, gates)
        self.start_reading()

    def _on_event(self, context: int, address: int, size: int) -> int:
        value = DenialValue.from_address(address)
        if value.kind == NEWS_JOINED:
            self.joined.append(value.origin)
        if value.kind in (NEWS_JOINED, NEWS_GONE):
            return 0
        return super()._on_event(context, address, size)

    # The kernel side keeps each different denial. When so many are there, those are taken out that were told of.
    FULL = MAX_MAP_ITEMS // 2

    def read(self) -> list[Denial]:
        denials = super().read()
        self._kept += len(denials)
        if self._kept < self._take_at:
            return denials
        return denials + self._take()

    def _take(self) -> list[Denial]:
        """Make room in the map of denials; give the repeats of those that are taken out.

        That which a live task was denied last stays: the kernel side may have more repeats of it to add, and would
        count them as lost. If one has become that meanwhile, it is put back.
        """
        descriptor, taken, repeats = self.map_descriptor("denials"), set(), []
        last = {bytes(task.last) for task in self._live_tasks()}
        items = self.read_items("denials", c_char * DENIAL_KEY_BYTES, DenialValue, self._unreadable)
        for key, _ in items:
            if key.raw not in last:
                value = self._take_item(descriptor, key)
                taken.add(key.raw)
                if value.count > 1:
                    repeats.append(self._denial(value, value.count - 1))
        for raw in {bytes(task.last) for task in self._live_tasks()} & taken:
            value = DenialValue.from_buffer_copy(raw.ljust(ctypes.sizeof(DenialValue), b"\0"))
            value.count = 1  # it was told of
            with contextlib.suppress(OSError):  # where the kernel side has been faster
                libbpf.bpf_map_update_elem(descriptor, raw, ctypes.byref(value), BPF_NOEXIST)
        self._kept = len(items) - len(taken)
        self._take_at = max(self.FULL, self._kept + self.FULL // 4)
        return repeats

    def _take_item(self, descriptor: int, key: ctypes.Array[c_char]) -> DenialValue:
        value = DenialValue()
        try:
            libbpf.bpf_map_lookup_and_delete_elem(descriptor, ctypes.byref(key), ctypes.byref(value))
        except OSError:  # of hash maps Linux can do that since 5.14
            libbpf.bpf_map_lookup_elem(descriptor, ctypes.byref(key), ctypes.byref(value))
            libbpf.bpf_map_delete_elem(descriptor, ctypes.byref(key))
        return value

    def join(self) -> set[int]:
        """Watch all that runs in the scope from now on; give its tids."""
        self.join_all()
        self.end_joining()
        return self.tids

    def losses(self) -> list[str]:
        return [loss for loss in super().losses() if loss != START_UNSEEN]


def open_scope_watcher(machine: Machine, scope: Scope) -> ScopeWatcher:
    """A watcher that costs tasks without a filter as little as this kernel permits, see go_on() in recorder.bpf.c."""
    if not machine.filtered[1]:
        return ScopeWatcher(machine, scope)
    if machine.native is X86_64 and os.path.exists(KERNEL_BTF) and release_numbers(kernel_uname().release) >= (5, 11):
        with contextlib.suppress(KernelError):
            return ScopeWatcher(machine, scope, ("watch_enter_direct", "watch_exit_direct"))
    return ScopeWatcher(machine, scope, ("watch_enter", "watch_exit"))

# --- Notification ------------------------------------------------------------


class SeccompNotifSizes(ctypes.Structure):
    """struct seccomp_notif_sizes"""

    _fields_ = [("seccomp_notif", c_uint16), ("seccomp_notif_resp", c_uint16), ("seccomp_data", c_uint16)]


class SeccompNotif(ctypes.Structure):
    """struct seccomp_notif"""

    _fields_ = [("id", c_uint64), ("pid", c_uint32), ("flags", c_uint32), ("data", SeccompData)]


class SeccompNotifResp(ctypes.Structure):
    """struct seccomp_notif_resp"""

    _fields_ = [("id", c_uint64), ("val", c_int64), ("error", c_int), ("flags", c_uint32)]


class SigsysInfo(ctypes.Structure):
    """siginfo_t as SIGSYS fills it (asm-generic/siginfo.h)"""

    _fields_ = [("si_signo", c_int), ("si_errno", c_int), ("si_code", c_int), ("si_call_addr", c_void_p),
                ("si_syscall", c_int), ("si_arch", c_uint32),
                ("unused", c_char * (112 - 2 * ctypes.sizeof(c_void_p)))]


SECCOMP_GET_NOTIF_SIZES, SECCOMP_USER_NOTIF_FLAG_CONTINUE, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP = 3, 1, 1
SI_QUEUE = -1  # asm-generic/siginfo.h


def seccomp_ioctls(machine: str) -> tuple[int, int, int, int]:
    """SECCOMP_IOCTL_NOTIF_RECV, _SEND, _ID_VALID and _SET_FLAGS on the machine that uname(2) calls so."""
    # asm-generic/ioctl.h; arch/powerpc/include/uapi/asm/ioctl.h (the size takes 13 bits there, and write is 4).
    write, read_write = (4 << 29, 6 << 29) if machine.startswith("ppc") else (1 << 30, 3 << 30)
    magic = ord("!") << 8
    return (read_write | ctypes.sizeof(SeccompNotif) << 16 | magic,
            read_write | ctypes.sizeof(SeccompNotifResp) << 16 | magic | 1,
            write | ctypes.sizeof(c_uint64) << 16 | magic | 2,
            write | ctypes.sizeof(c_uint64) << 16 | magic | 4)


# What a signal interrupts also where nobody is asked: signal(7), EINTR in section 2 of the manual pages and in the
# kernel, but for what network file systems alone interrupt. The last lines are what 32-bit programs alone have.
INTERRUPTIBLE = frozenset("""
    accept accept4 bpf clock_nanosleep connect copy_file_range creat epoll_pwait epoll_pwait2 epoll_wait fallocate
    fcntl finit_module flock ftruncate futex futex_wait futex_waitv getrandom init_module io_getevents io_pgetevents
    io_uring_enter io_uring_register ioctl keyctl mq_timedreceive mq_timedsend msgrcv msgsnd nanosleep open openat
    openat2 pause perf_event_open poll ppoll pread64 preadv preadv2 pselect6 ptrace pwrite64 pwritev pwritev2 read
    readv recvfrom recvmmsg recvmsg request_key restart_syscall rt_sigsuspend rt_sigtimedwait select semop semtimedop
    sendfile sendmmsg sendmsg sendto splice swapoff syslog tee truncate vmsplice wait4 waitid write writev
    _newselect clock_nanosleep_time64 fcntl64 ftruncate64 futex_time64 io_pgetevents_time64 ipc mq_timedreceive_time64
    mq_timedsend_time64 ppoll_time64 pselect6_time64 recvmmsg_time64 rt_sigtimedwait_time64 semtimedop_time64
    sendfile64 sigsuspend socketcall truncate64 waitpid""".split())


class SignalFrame(NamedTuple):
    """What the kernel saves when it runs a signal's handler, as the handler's return finds it at the stack pointer:
    offsets in bytes.
    """

    register_bytes: int
    syscall_instructions: tuple[bytes, ...]
    result: int  # EAX, RAX, R0, X0 or a0; on POWER, where r3 is the error's number, pt_regs.result
    address: int  # the program counter: the instruction behind the call
    number: int  # R7, X8, a7 or r0, where a call has its number in another register than its result
    others: tuple[int, ...] = ()  # of x86-64, by the register's number in an instruction; 0: the call changes it


SVC, SVC_OF_ARM = b"\x01\x00\x00\xd4", (b"\x00\x00\x00\xef", b"\x00\xdf")  # the latter in A32 and T32
ECALL, SC, SCV = b"\x73\x00\x00\x00", b"\x02\x00\x00\x44", b"\x01\x00\x00\x44"  # of RISC-V; of POWER
# arch/*/include/uapi/asm/sigcontext.h, behind the beginning of struct ucontext. arch/x86/include/asm/sigframe.h: by
# then the address and, in 32-bit programs, the signal's number are off the stack. signal.c of arch/arm64/kernel and
# arch/riscv/kernel, arch/arm/kernel/signal.h: first comes siginfo_t, but for sigreturn(2). signal_64.c of
# arch/powerpc/kernel: none does.
SIGNAL_FRAMES = {
    # EDX, EBX, EBP, ESI, EDI, R8 to R10, R12 to R15
    (X86_64.token, "rt_sigreturn"): SignalFrame(8, (b"\x0f\x05",), 144, 168, 0, (
        0, 0, 136, 128, 0, 120, 112, 104, 40, 48, 56, 0, 72, 80, 88, 96)),
    (X86.token, "rt_sigreturn"): SignalFrame(4, (b"\xcd\x80",), 204, 216, 0),
    (X86.token, "sigreturn"): SignalFrame(4, (b"\xcd\x80",), 44, 56, 0),
    (AARCH64.token, "rt_sigreturn"): SignalFrame(8, (SVC,), 312, 568, 376),
    (ARM.token, "rt_sigreturn"): SignalFrame(4, SVC_OF_ARM, 160, 220, 188),
    (ARM.token, "sigreturn"): SignalFrame(4, SVC_OF_ARM, 32, 92, 60),
    (RISCV64.token, "rt_sigreturn"): SignalFrame(8, (ECALL,), 384, 304, 440),
    (PPC64LE.token, "rt_sigreturn"): SignalFrame(8, (SC, SCV), 576, 488, 232)}


# In front of what looks like MOV number, EAX they have its first byte name operands: EDI and what R8 points to.
OPERANDS_FOLLOW = b"\x63\x89\x8b\x8d"  # MOVSXD, MOV, MOV, LEA


def is_of_r8(prefix: int) -> bool:
    """Does an instruction that changes RAX change R8 behind this byte (REX.B)?"""
    return prefix & 0xF1 == 0x41


def decode_syscall_number(code: bytes, frame: SignalFrame, saved: bytes) -> int | None:
    """The number of a call on x86, from the instructions that end with it, if the last but one loads it; else None.

    What is before that one is not known: a byte that may be its prefix is taken for that.
    """
    is_loaded = code[-7] == 0xB8 and code[-8] not in OPERANDS_FOLLOW and not is_of_r8(code[-8])
    if is_loaded or code[-8:-6] == b"\xc7\xc0" and not is_of_r8(code[-9]):  # MOV number, EAX or RAX
        return int.from_bytes(code[-6:-2], sys.byteorder)
    if code[-4] == 0x89 and code[-3] & 0xC7 == 0xC0 and not is_of_r8(code[-5]):  # MOV register, EAX or RAX
        number = code[-3] >> 3 & 7 | (code[-5] & 0xF4 == 0x44) << 3  # behind REX.R one of R8 to R15
        start = frame.others[number] if number < len(frame.others) else 0
        if start:
            return int.from_bytes(saved[start:start + 4], sys.byteorder)
    return None


def may_be_redone(name: str, frame: SignalFrame) -> bool:
    """Can this call be made that should have failed with EINTR, and does no program expect that it fails so?"""
    if frame.number:  # its result has taken the place of its first argument
        return name in ("rt_sigreturn", "sigreturn")
    return name not in INTERRUPTIBLE


@functools.lru_cache(maxsize=64)  # which takes 30 us in the place of 900, while signals may go on to interrupt
def is_jumped_to(code: bytes, at: int) -> bool:
    """Does what may be a jump of x86 lead to this place in the code? Then what loads a number in front of it may not
    have been run: gcc -Os lets several calls share one instruction (-fcrossjumping).
    """
    for place in range(max(0, at - 129), min(len(code) - 1, at + 127)):
        if (code[place] == 0xEB or code[place] & 0xF0 == 0x70) and (at - place - 2) & 0xFF == code[place + 1]:
            return True  # JMP and Jcc to within 128 bytes
    for opcode in (b"\xe9", *(bytes([0x0F, 0x80 | condition]) for condition in range(16))):
        place = code.find(opcode)
        while place >= 0:
            end = place + len(opcode) + 4
            if end + int.from_bytes(code[end - 4:end], "little", signed=True) == at:
                return True
            place = code.find(opcode, place + 1)
    return False


class Listener:
    """Where the kernel asks about the calls that a filter leaves to it (seccomp_unotify(2)): one at a time, each waits
    for its answer. Needs no privilege.

    Until a call is received, a signal interrupts it, also one that nothing interrupts otherwise; before Linux 5.19
    until it is answered, before 6.18 rarely in between (seccomp_do_user_notification() in kernel/seccomp.c). No flag
    prevents that. If the signal's handler has no SA_RESTART, the call fails with EINTR and is not made: close(2)
    leaves a pipe open, getpid(2) gives -4, rt_sigreturn(2) goes on with what happens to stand behind it.
    _redo_interrupted() has such a call made when the handler returns.
    """

    KEY = slice(SeccompNotif.data.offset, SeccompNotif.data.offset + SeccompData.instruction_pointer.offset)
    MAX_LOOKS, LOOK_S = 100, 0.0001
    CODE_BYTES = 9
    REACH_BYTES = 8192  # on either side, where a jump within the function may be
    MAX_DESCRIPTORS = 4096

    def __init__(self) -> None:
        """Raises KernelError if it is foreseeable that no filter can have a listener."""
        uname = kernel_uname()
        self._recv, self._send, self._id_valid, self._set_flags = seccomp_ioctls(uname.machine)
        # WAIT_KILLABLE_RECV, from which on a signal does not interrupt a call that is being answered.
        self.killable = release_numbers(uname.release) >= (5, 19)
        # hung_up: nothing is left that has the filter. Before Linux 6.11 a zombie still has it.
        self.descriptor, self.hung_up, self._poll = -1, True, select.poll()
        sizes = SeccompNotifSizes()
        number = syscall_number("seccomp")
        try:
            if release_numbers(uname.release) < (5, 5):  # SECCOMP_USER_NOTIF_FLAG_CONTINUE
                raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
            libc.syscall(number, SECCOMP_GET_NOTIF_SIZES, 0, ctypes.byref(sizes))
        except OSError as error:
            raise KernelError("use user notification", "seccomp(2)", error,
                              "Linux 5.5 or newer with CONFIG_SECCOMP_FILTER is needed") from None
        self.buffer = bytearray(max(sizes.seccomp_notif, ctypes.sizeof(SeccompNotif)))
        self.request = SeccompNotif.from_buffer(self.buffer)
        self._zeros = bytes(self.buffer)
        self._response_buffer = bytearray(max(sizes.seccomp_notif_resp, ctypes.sizeof(SeccompNotifResp)))
        self._response = SeccompNotifResp.from_buffer(self._response_buffer)
        self.key = 0  # of the call in `request`: its number and, in the upper half, its architecture's token
        # Another pid namespace's /proc would tell of other processes.
        self.has_proc = os.path.exists("/proc/self") and os.readlink("/proc/self") == str(os.getpid())
        self._frames: dict[int, tuple[Architecture, SignalFrame]] = {}
        for architecture in (X86_64, X86, AARCH64, ARM, RISCV64, PPC64LE):
            for name in ("rt_sigreturn", "sigreturn"):
                frame = SIGNAL_FRAMES.get((architecture.token, name))
                if frame and self.has_proc:
                    key = architecture.token << 32 | syscall_number(name, architecture.token)
                    self._frames[key] = architecture, frame

    def ask_about_returns(self) -> bytes:
        """What has a filter ask about each return of a handler, for the sake of _redo_interrupted()."""
        return b"".join(
            bpf_step(LOAD, SeccompData.arch.offset) + bpf_step(JUMP_EQUAL, key >> 32, 0, 3)
            + bpf_step(LOAD, SeccompData.nr.offset) + bpf_step(JUMP_EQUAL, key & MASK_32, 0, 1) + ASK_ALL
            for key in self._frames)

    def begin(self, child: Child) -> None:
        """Release the child, and take over the listener of its filter. Raises ChildError, the process being gone."""
        self.descriptor, self.hung_up = child.release_listening(), False
        self._poll.register(self.descriptor, select.POLLIN)
        # From Linux 6.6 on: the kernel goes to and fro on one CPU, which takes a tenth of the time.
        with contextlib.suppress(OSError):
            fcntl.ioctl(self.descriptor, self._set_flags, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP)
        child.acknowledge()

    def close(self) -> None:
        if self.descriptor >= 0:
            close(self.descriptor)

    def pending(self, timeout_ms: int | None = 0) -> bool:
        """Does a call wait? Without one receive() might never return, O_NONBLOCK or not."""
        for _, event in self._poll.poll(timeout_ms):
            self.hung_up = not event & select.POLLIN
            return not self.hung_up
        return False

    def receive(self) -> bool:
        """Take the next call into `request`. False if it is gone again."""
        self.buffer[:] = self._zeros  # or it is EINVAL
        try:
            fcntl.ioctl(self.descriptor, self._recv, self.buffer)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EINTR):
                return False
            raise KernelError("receive a notification", "of the filter", error) from None
        self.key = int.from_bytes(self.buffer[self.KEY], "little")
        if self.key in self._frames:
            with contextlib.suppress(OSError, ValueError, OverflowError, IndexError):  # it has ended or is hidden
                self._redo_interrupted(*self._frames[self.key])
        return True

    def _redo_interrupted(self, architecture: Architecture, frame: SignalFrame) -> None:
        """A handler returns: if the call that it has interrupted would fail with EINTR, and no program expects that of
        it, let it be made, as with SA_RESTART.
        """
        tid, width = self.request.pid, frame.register_bytes
        with open(f"/proc/{tid}/mem", "r+b", buffering=0) as memory:
            stack = self._stack_pointer(tid)
            if not self.is_waiting():
                return
            saved = os.pread(memory.fileno(), max(frame[2:5]) + width, stack)
            result = int.from_bytes(saved[frame.result:frame.result + width], sys.byteorder, signed=True)
            if result != -errno.EINTR:
                return
            address = int.from_bytes(saved[frame.address:frame.address + width], sys.byteorder)
            code = os.pread(memory.fileno(), self.CODE_BYTES, address - self.CODE_BYTES)
            lengths = [len(each) for each in frame.syscall_instructions if code.endswith(each)]
            number = decode_syscall_number(code, frame, saved)
            if frame.number:
                number = int.from_bytes(saved[frame.number:frame.number + 4], sys.byteorder)
            name = number is not None and syscall_name(architecture, number)
            if lengths and number is not None and name and may_be_redone(name, frame):
                address -= lengths[0]
                if not frame.number and is_jumped_to(*self._code_around(memory.fileno(), address)):
                    return
                os.pwrite(memory.fileno(), number.to_bytes(width, sys.byteorder), stack + frame.result)
                os.pwrite(memory.fileno(), address.to_bytes(width, sys.byteorder), stack + frame.address)

    def _code_around(self, memory: int, address: int) -> tuple[bytes, int]:
        """What is within reach of an address, with zeros where nothing is; and where the address is in there."""
        code = b""
        first = max(0, address - self.REACH_BYTES) // mmap.PAGESIZE * mmap.PAGESIZE
        for page in range(first, address + self.REACH_BYTES, mmap.PAGESIZE):
            part = b""
            with contextlib.suppress(OSError, OverflowError):
                part = os.pread(memory, mmap.PAGESIZE, page)
            code += part.ljust(mmap.PAGESIZE, b"\0")
        return code, address - first

    def _stack_pointer(self, tid: int) -> int:
        """Of a task that waits, or is about to. Raises ValueError, IndexError."""
        for _ in range(self.MAX_LOOKS):
            fields = read_proc(tid, "syscall").split()
            if fields != ["running"]:
                return int(fields[-2], 16)
            time.sleep(self.LOOK_S)  # it has not gone to sleep yet
        raise ValueError

    def wait_until_killable(self) -> None:
        """The call has been received and a signal sent: return when that interrupts the call no more.

        The task notices that itself, when the signal wakes it: before Linux 6.18 an answer that comes first finds the
        call interrupted, so that it fails with EINTR or is made once more.
        """
        for _ in range(self.MAX_LOOKS if self.has_proc else 0):
            status = read_stat(self.request.pid)
            if status is None or status.state not in "RS":  # but D, as proc_pid_stat(5) has TASK_KILLABLE
                break
            time.sleep(self.LOOK_S)

    def is_waiting(self) -> bool:
        """Does the call still wait? If not, its tid may be another task's."""
        try:
            fcntl.ioctl(self.descriptor, self._id_valid, bytes(self.buffer[:8]))
        except FileNotFoundError:
            return False
        return True

    def respond(self, value: int, error: int, flags: int = 0) -> bool:
        """Give the call this result. False if nobody waits for it any more."""
        response = self._response
        response.id, response.val, response.error, response.flags = self.request.id, value, error, flags
        try:
            fcntl.ioctl(self.descriptor, self._send, self._response_buffer)
        except OSError as failure:
            if failure.errno not in (errno.ENOENT, errno.EINPROGRESS):
                raise KernelError("answer a notification", "of the filter", failure) from None
            return False
        return True

    def proceed(self) -> bool:
        """Let the call happen."""
        return self.respond(0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE)

    def has_live_tasks(self) -> bool:
        """Does anything live that has the filter?"""
        with contextlib.suppress(OSError):  # then some are taken to live
            self.pending()
        return not self.hung_up

    def leave_to_process(self, serve: Callable[[], object]) -> int:
        """Have a process of its own serve, call by call, what lives on until all has ended, or those calls would fail
        with ENOSYS. Gives its pid. Raises OSError.
        """
        pid = os.fork()
        if pid:
            return pid
        try:
            os.setsid()
            os.chdir("/")
            os.closerange(0, self.descriptor)
            os.closerange(self.descriptor + 1, self.MAX_DESCRIPTORS)
            while self.pending(None) or not self.hung_up:
                serve()
        finally:
            os._exit(0)


class NotifyRecorder(Recorder):
    """Records without BPF and any privilege, by a filter that asks about every call. Each is let happen.

    A call's key is what the kernel gives, number and architecture as they begin struct seccomp_data: as one number,
    little-endian as every machine here is, the architecture is in its upper half.
    """

    MAX_PATH_BYTES = 4096  # PATH_MAX
    MAX_MESSAGES = 100
    close_message = ""

    def __init__(self, machine: Machine, statistics: bool = False,
                 watched: dict[tuple[int, int], int] | None = None):
        """Raises KernelError if it is foreseeable that it cannot work."""
        self._machine, self._statistics = machine, statistics
        # SPEC_ALLOW: before Linux 5.16 a filter slows a program down by mitigations that it may not want.
        self.filter = Filter(ASK_ALL, SECCOMP_FILTER_FLAG_NEW_LISTENER | FILTER_FLAGS[SPEC_ALLOW],
                             not may_administer())
        self._listener = Listener()
        self._child: Child | None = None
        self._running = False
        self._calls: dict[int, RecordedCall] = {}
        self._times: dict[int, int] = {}
        self._lost = 0
        self._messages: set[str] = set()  # that have been written
        self._tokens = {each.token: abi for abi, each in enumerate((machine.native, machine.compat)) if each}
        self._watched = watched or {}
        self._values: dict[int, set[int]] = {}
        self._special = dict(self._find_special())
        self._proc = self._listener.has_proc

    def _find_special(self) -> Iterator[tuple[int, str]]:
        """Keys and names of the calls that go otherwise than without the filter."""
        for architecture in filter(None, (self._machine.native, self._machine.compat, X32)):
            token = architecture.kernel_token
            for name in ("seccomp", "execve", "execveat") if self.filter.no_new_privs else ("seccomp",):
                number = syscall_number(name, architecture.token)
                yield token << 32 | number & 0xFFFFFFFF, name

    def close(self) -> None:
        self._listener.close()

    def begin(self, child: Child) -> None:
        self._child = child
        self._listener.begin(child)

    def inputs(self) -> InputHandlers:
        return {} if self._listener.hung_up else {self._listener.descriptor: self._serve}

    def _serve(self) -> None:
        """Answer the call that waits, and note it if the command's program has begun."""
        listener = self._listener
        if not self._running:
            # exec closes the child's end of a pipe before its program can call anything.
            self._running = bool(self._child and self._child.has_left())
            if not listener.pending():
                return
        if not listener.receive():
            return
        key = listener.key
        if key in self._special:
            self._explain(self._special[key], listener.request)
        if not self._running:
            listener.proceed()
            return
        call = self._calls.get(key) or self._describe_call(key, listener.request.pid)
        # If it cannot proceed the task has ended, or a signal has interrupted it: the call was not made.
        if listener.proceed() and call:
            self._calls[key] = call
            self._times[key] = self._times.get(key, 0) + 1
            if self._watched:
                self._note_value(key, listener.request)

    def _describe_call(self, key: int, tid: int) -> RecordedCall | None:
        """What there is to note of the first call of its kind; None, and counted as lost, if there is no room."""
        now_ns = time.monotonic_ns()
        if len(self._calls) >= MAX_KNOWN_CALLS or key >> 32 not in self._tokens:
            self._lost += 1
            return None
        if not (self._statistics and self._proc):
            return RecordedCall(now_ns)
        comm = read_proc(tid, "comm").encode(errors="surrogateescape")[:15].rstrip(b"\n")
        return RecordedCall(now_ns, tgid=int(proc_status(tid).get("Tgid", "0")), comm=decode_name(comm))

    def _note_value(self, key: int, request: SeccompNotif) -> None:
        argument = self._watched.get(self._call_of(key))
        if argument is not None:
            values = self._values.setdefault(key, set())
            if len(values) <= MAX_VALUES:
                values.add(request.data.args[argument] & 0xFFFFFFFF)

    def _call_of(self, key: int) -> tuple[int, int]:
        """(abi, number); of an architecture that this machine has not abi -1."""
        return self._tokens.get(key >> 32, -1), key & 0xFFFFFFFF

    def _explain(self, name: str, request: SeccompNotif) -> None:
        """Say what this call does otherwise than without the filter."""
        arguments, message = list(request.data.args), ""
        if name == "seccomp":
            if self._wants_listener(request):
                message = (f"seccomp of process {request.pid} fails with EBUSY: the kernel allows one listener, and "
                           f"that is {PROGRAM}'s; record with BPF, for which `doctor` tells what is missing")
        elif self._proc:
            with contextlib.suppress(OSError, OverflowError):
                path, name = self._executed(request.pid, arguments, name == "execveat")
                mode = os.stat(path).st_mode
                changes = mode & stat.S_ISUID or mode & stat.S_ISGID and mode & stat.S_IXGRP
                if changes or "security.capability" in os.listxattr(path):
                    message = f"{name} gets no other user, group or capabilities: no_new_privs is set; record as root"
        if message and message not in self._messages and len(self._messages) < self.MAX_MESSAGES:
            self._messages.add(message)
            Log.error(message)

    def _wants_listener(self, request: SeccompNotif) -> bool:
        """Is it for ours alone that the kernel refuses this seccomp(2) a listener?

        It looks at flags, privilege and filter first (seccomp_set_mode_filter() in kernel/seccomp.c). libseccomp asks
        with a null pointer what the kernel can do, and wants EFAULT.
        """
        operation, flags, address = (request.data.args[index] for index in range(3))
        flags &= 0xFFFFFFFF
        if operation & 0xFFFFFFFF != SECCOMP_SET_MODE_FILTER or not flags & SECCOMP_FILTER_FLAG_NEW_LISTENER:
            return False
        try:
            libc.syscall(syscall_number("seccomp"), operation, flags, None)
        except OSError as error:
            if error.errno == errno.EINVAL:  # not these flags
                return False
        status = proc_status(request.pid) if self._proc else {}
        if status.get("NoNewPrivs") == "0" and not int(status["CapEff"], 16) >> CAPABILITIES.index("CAP_SYS_ADMIN") & 1:
            return False
        wide = request.data.arch & AUDIT_ARCH_64BIT and not request.data.nr & X32_SYSCALL_BIT
        width = 8 if wide else 4  # of a pointer: struct sock_fprog holds a length of 16 bits and, aligned, a pointer
        try:
            with open(f"/proc/{request.pid}/mem", "rb", buffering=0) as memory:
                program = os.pread(memory.fileno(), 2 * width, address & (1 << 8 * width) - 1)
                length = int.from_bytes(program[:2], sys.byteorder)
                start = int.from_bytes(program[width:], sys.byteorder)
                filled = len(os.pread(memory.fileno(), SOCK_FILTER_BYTES * length, start))
        except (PermissionError, FileNotFoundError):
            return bool(address)  # it cannot be seen
        except (OSError, OverflowError):
            return False  # it is not there
        return 0 < length <= BPF_MAXINSNS and filled == SOCK_FILTER_BYTES * length

    def _executed(self, pid: int, arguments: list[int], is_at: bool) -> tuple[str, str]:
        """Where the file stands that execve(2) or execveat(2) names, and its name. In a moment it may be another."""
        folder = f"/proc/{pid}/cwd"
        if is_at:
            descriptor = arguments.pop(0) & 0xFFFFFFFF
            if descriptor < 1 << 31:  # not AT_FDCWD
                folder = f"/proc/{pid}/fd/{descriptor}"
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            path = os.fsdecode(os.pread(memory.fileno(), self.MAX_PATH_BYTES, arguments[0]).split(b"\0")[0])
        if path.startswith("/"):
            return f"/proc/{pid}/root{path}", path
        return (f"{folder}/{path}" if path else folder), os.path.normpath(os.path.join(os.readlink(folder), path))

    def release_survivors(self, advice: str = "") -> None:
        """A process of its own answers what lives on until all has ended, or every call would fail with ENOSYS."""
        if not self.has_live_tasks():
            return
        try:
            pid = self._listener.leave_to_process(self._let_pass)
        except OSError as error:
            Log.error(SpocError("leave tasks of the command", "to another process", error,
                                "all their calls will fail"))
            return
        Log.warning(f"tasks of the command run on and are not recorded any more{advice}. Process {pid} answers "
                    "their calls until they have ended")

    def _let_pass(self) -> None:
        if self._listener.receive():
            self._listener.proceed()

    def processes(self) -> int:
        return 0

    def has_live_tasks(self) -> bool:
        return self._listener.has_live_tasks()

    def summary(self) -> str:
        return f"Answered {count_of(sum(self._times.values()), 'notification', 'notifications')}"

    def first_calls(self) -> dict[tuple[int, int], int]:
        return {self._call_of(key): call.first_ns for key, call in self._calls.items()}

    def recording(self) -> Recording:
        recorded = {}
        for key, call in self._calls.items():
            values = self._values.get(key, set())
            recorded[self._call_of(key)] = call._replace(
                times=self._times[key], values=frozenset(values if len(values) <= MAX_VALUES else ()))
        return make_recording(self._machine, recorded, 1, [describe_calls_lost(self._lost)] if self._lost else [])


class NotifyWatcher(DenialWatcher):
    """Is asked by the kernel about each call that the filter would stop or log, and gives the profile's answer itself.

    Needs no privilege. A handler for SIGSYS finds si_code SI_QUEUE, as only the kernel may send SYS_SECCOMP; a process
    that handles, blocks or ignores SIGSYS is killed by SIGKILL instead; KILL_THREAD ends the whole process.
    """

    title = "notify"
    reads = "seccomp user notification"
    needs_audit_session = False
    MAX_CALLS = 256  # in one read(): signals and timers must have their turn
    MAX_TASKS = 64

    def __init__(self, machine: Machine, answer: Callable[[SeccompData], Verdict], learn: bool = False):
        """`answer` gives a call's action and errno; with `learn` the call is let pass all the same."""
        self._machine, self._answer, self._learn = machine, answer, learn
        self._tasks: dict[int, tuple[int, int]] = {}  # tid -> descriptor of its /proc/TID/comm, tgid
        self._listener = Listener()
        self.descriptor = -1

    def adapt_filter(self, applied: Filter, default_action: str) -> Filter:
        if is_filtered():
            Log.info(f"{PROGRAM} itself is under a seccomp filter: calls of the command that it stops are not named")
        if default_action == SCMP_ACT_LOG:
            Log.result("Not named under notify: what the profile logs by default")
        asking = applied.with_listener(default_action)
        program = self._listener.ask_about_returns() + asking.program
        # Not where calls are blocked: there the listener's end must not be that of handlers, too.
        asks = self._learn and default_action != SCMP_ACT_LOG and len(program) <= BPF_MAXINSNS * SOCK_FILTER_BYTES
        return asking._replace(program=program) if asks else asking

    def begin(self, child: Child) -> None:
        if not self._learn:  # or a command of the same user could take the listener, and answer itself (ptrace(2))
            libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
        self._listener.begin(child)
        self.descriptor = self._listener.descriptor

    def read(self) -> list[Denial]:
        """Answer what is there; a rest has the descriptor readable again."""
        times: dict[Denial, int] = {}
        for _ in range(self.MAX_CALLS):
            try:
                if not self._listener.pending():
                    break
                denial = self._serve()
            except (SpocError, OSError):
                if not times:  # what there is comes first
                    raise
                break
            if denial:
                times[denial] = times.get(denial, 0) + 1
        return [denial._replace(times=number) for denial, number in times.items()]

    def finish(self) -> list[Denial]:
        denials: list[Denial] = []
        for _ in range(self.MAX_TASKS):
            more = self.read()
            denials += more
            if not more:
                break
        return denials

    def release_survivors(self) -> str:
        """A process of its own gives the answers until all has ended."""
        if not self._listener.has_live_tasks():
            return ""
        self._forget(list(self._tasks))  # that process closes what it does not need
        try:
            pid = self._listener.leave_to_process(self._serve)
        except OSError as error:
            calls = "calls that the profile does not allow" if self._learn else "calls that it blocks or logs"
            return f"No process could be left to answer them ({error.strerror}): {calls} fail with ENOSYS from now on"
        answers = "lets all their calls pass" if self._learn else "answers their calls as the profile says"
        return f"Process {pid} {answers} until they have ended"

    def losses(self) -> list[str]:
        return []

    def close(self) -> None:
        self._forget(list(self._tasks))
        self._listener.close()

    def _serve(self) -> Denial | None:
        """Answer one call; give what there is to tell of it."""
        listener = self._listener
        if not listener.receive():
            return None
        call, tid = listener.request.data, listener.request.pid
        machine, number = self._machine, call.nr & 0xFFFFFFFF
        architecture = audit_architecture(machine, call.arch, number)
        verdict = self._answer(call)
        action, error_number = verdict
        if action == SCMP_ACT_ALLOW:  # a handler returns
            listener.proceed()
            return None
        tgid, comm, exe = self._describe(tid)
        if self._learn or action in PERMISSIVE:
            done = listener.proceed()
        elif action == SCMP_ACT_ERRNO:
            done = listener.respond(0, -error_number)
        elif action == SCMP_ACT_TRACE:
            done = listener.respond(0, -errno.ENOSYS)
        else:
            done = self._signal(action, tgid, tid, architecture is machine.own)
        if not done:
            return None  # what was read of /proc may belong to another process by now
        name = syscall_name(architecture, number) or ""
        return Denial(architecture, number, (verdict,), tgid, tid, comm, exe,
                      inner=MULTIPLEXED.get(name, {}).get(call.args[0], ""),
                      arguments=tuple(call.args) if self._learn else (), other_owner=FILTER_PROFILE)

    def _signal(self, action: str, tgid: int, tid: int, native: bool) -> bool:
        """End the process as SECCOMP_RET_KILL_PROCESS does, or have its handler run as under SECCOMP_RET_TRAP."""
        status = proc_status(tid)
        caught, blocked, ignored = (int(status.get(name, "0"), 16) >> signal.SIGSYS - 1 & 1
                                    for name in ("SigCgt", "SigBlk", "SigIgn"))
        handled = action == SCMP_ACT_TRAP and caught and not blocked
        pids = status.get("NSpid", "").split()  # in each pid namespace, from ours inwards
        is_init = len(pids) > 1 and pids[-1] == "1"
        # Neither an init of a pid namespace nor a process that is traced is sure to die of SIGSYS.
        dies = (status and not caught and not blocked and not ignored and status.get("TracerPid") == "0"
                and not is_init)
        # The result that a handler finds: what is there before the call (syscall_rollback() in the kernel).
        call = self._listener.request.data
        value = call.nr if self._machine.native in (X86_64, X86) else call.args[0]
        error = 0
        try:
            if handled and not self._listener.killable:
                # A signal sent first would have the call made again after the handler, and so on for ever.
                return self._listener.respond(value, 0) and self._send_sigsys(tgid, tid, native)
            if not self._listener.is_waiting():
                return False
            if not ((handled or dies) and self._send_sigsys(tgid, tid, native)):
                os.kill(tgid, signal.SIGKILL)
            elif handled:
                self._listener.wait_until_killable()
        except ProcessLookupError:
            return False
        except PermissionError:
            error = -errno.EPERM  # it has become another user's process
        self._listener.respond(0 if error else value, error)
        return True

    def _send_sigsys(self, tgid: int, tid: int, native: bool) -> bool:
        """Send SIGSYS to the thread, with what it tells when it comes from a filter, but for si_code."""
        call = self._listener.request.data
        info = SigsysInfo(signal.SIGSYS, 0, SI_QUEUE, call.instruction_pointer, call.nr, call.arch)
        if not native:
            # The kernel makes it a 32-bit siginfo_t: fields of 32 bits, one behind the other.
            info.si_call_addr, info.si_syscall = call.instruction_pointer | (call.nr & 0xFFFFFFFF) << 32, call.arch
        number = syscall_number("rt_tgsigqueueinfo")
        try:
            libc.syscall(number, tgid, tid, int(signal.SIGSYS), ctypes.byref(info))
        except OSError:
            return False
        return True

    def _describe(self, tid: int) -> tuple[int, str, str]:
        """Process, name and program of a thread. An open file of /proc is never another thread's of the same tid."""
        comm, exe = b"", ""
        try:
            if tid in self._tasks:
                with contextlib.suppress(ProcessLookupError):
                    comm = os.pread(self._tasks[tid][0], 64, 0)
            if not comm:
                if tid in self._tasks:
                    self._forget([tid])
                self._forget(list(self._tasks)[:-(self.MAX_TASKS - 1)])  # all but the latest
                descriptor = os.open(f"/proc/{tid}/comm", os.O_RDONLY)
                self._tasks[tid] = descriptor, int(proc_status(tid).get("Tgid", tid))
                comm = os.pread(descriptor, 64, 0)
            exe = os.readlink(f"/proc/{tid}/exe")
        except OSError:
            pass
        return self._tasks.get(tid, (-1, tid))[1], decode_name(comm[:-1]), spell_name(exe)

    def _forget(self, tids: Iterable[int]) -> None:
        for tid in tids:
            close(self._tasks.pop(tid)[0])

# --- Audit -------------------------------------------------------------------


# audit_log_task() and audit_seccomp() in kernel/auditsc.c. A security module may have put anything into subj=, but what
# stands on either side of it cannot be mistaken. A string is in quotes or, if it holds something that could be, in
# hexadecimal (audit_log_untrustedstring()). Behind \x1d auditd repeats some fields, translated.
AUDIT_STRING = r'"[!#-~]*"|(?:[0-9A-F]{2})*|\(null\)'
AUDIT_RECORD = (
    r"(?s)[^(]*audit\([0-9.]+:\d+\): +auid=\d+ uid=\d+ gid=\d+ ses=(?P<ses>\d+)(?: subj=.*)? pid=(?P<pid>\d+) "
    rf"comm=(?P<comm>{AUDIT_STRING}) exe=(?P<exe>{AUDIT_STRING}) sig=\d+ arch=(?P<arch>[0-9a-f]{{1,8}}) "
    r"syscall=(?P<syscall>-?\d{1,10}) compat=\d ip=0x[0-9a-f]+ code=(?P<code>0x[0-9a-f]{1,8})\s*(?:\x1d.*)?\Z")


def parse_audit_record(text: str) -> dict[str, str]:
    """The fields of a SECCOMP record, as auditd, netlink or the kernel's log has it; none if it is no such record."""
    import re
    match = re.match(AUDIT_RECORD, text)
    return match.groupdict() if match else {}


def decode_audit_string(value: str) -> str:
    """The value of a string field."""
    if value[:1] in ('"', "("):
        return value.strip('"') if value != "(null)" else ""
    return decode_name(bytes.fromhex(value))


DEFAULT_AUDIT_LOG = "/var/log/audit/audit.log"
MAX_RECORDS = 10000  # in one read()
AUDIT_GET, AUDIT_SECCOMP = 1000, 1326  # linux/audit.h
NETLINK_AUDIT, NETLINK_HEADER_BYTES, MAX_AUDIT_BYTES = 9, 16, 16384  # linux/netlink.h
NO_SESSION = str(NO_ID)


class AuditStatus(ctypes.Structure):
    """struct audit_status (linux/audit.h), its beginning. pid is auditd's; 0: none runs."""

    _fields_ = [("mask", c_uint32), ("enabled", c_uint32), ("failure", c_uint32), ("pid", c_uint32),
                ("rate_limit", c_uint32), ("backlog_limit", c_uint32), ("lost", c_uint32), ("backlog", c_uint32)]


def audit_status() -> AuditStatus | None:
    """What the kernel's audit system says of itself; None where it may not be asked: it takes CAP_AUDIT_CONTROL."""
    import socket
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_AUDIT) as kernel:
            # struct nlmsghdr: length, type and flags (NLM_F_REQUEST), sequence, port
            kernel.sendto(bytes((c_uint32 * 4)(NETLINK_HEADER_BYTES, 1 << 16 | AUDIT_GET)), (0, 0))
            kernel.settimeout(1)
            reply = kernel.recv(MAX_AUDIT_BYTES)
        if reply[4] | reply[5] << 8 == AUDIT_GET:
            return AuditStatus.from_buffer_copy(reply, NETLINK_HEADER_BYTES)
    except (OSError, ValueError):
        pass
    return None


class AuditWatcher(DenialWatcher):
    """What the kernel's audit system says of calls that a filter stopped; its subclasses read it from somewhere.

    The command gets an audit session of its own, by which all its descendants are known. Where that is refused they are
    known by their parents, as long as these can be asked for.
    """

    needs_audit_session = True
    auditd_matters = True
    QUIET_S, MAX_S = 0.3, 5  # the kernel and auditd hand records over at their leisure

    def __init__(self, machine: Machine, profile: Profile):
        self._machine = machine
        self._losses: list[str] = []
        self._sessions: set[str] = set()
        self._parents: set[str] = set()
        self._own = self._outer = ""
        self._strangers = 0
        logged = read_kernel_file("/proc/sys/kernel/seccomp/actions_logged").split()
        used = profile_actions(profile) - {SCMP_ACT_ALLOW}
        missing = sorted({name.replace("SCMP_ACT_", "").lower() for name in used}.difference(logged))
        if logged and missing:
            raise KernelError("read audit records", ", ".join(missing),
                              f"the kernel does not audit {'this action' if len(missing) == 1 else 'these actions'}", (
                f"sysctl -w kernel.seccomp.actions_logged='{' '.join(logged + missing)}'"))
        self._status = audit_status()
        self._open()

    def _open(self) -> None:
        """Open what is read from, and set `descriptor`."""

    def _records(self) -> Iterator[str]:
        """The texts of the SECCOMP records that are there."""
        return iter(())

    def _messages(self, receive: Callable[[], Message], what: str) -> Iterator[Message]:
        """What is received until there is nothing, but let signals have their turn."""
        for _ in range(MAX_RECORDS):
            try:
                yield receive()
            except BlockingIOError:
                return
            except OSError as error:
                self._lose(f"{what} were lost: {error.strerror}")

    def adapt_filter(self, applied: Filter, default_action: str) -> Filter:
        return applied._replace(flags=applied.flags | SECCOMP_FILTER_FLAG_LOG)

    def begin(self, child: Child) -> None:
        self._outer, self._own = read_proc("self", "sessionid"), child.audit_session()
        if self._own in ("", NO_SESSION, self._outer):
            self._own = ""
            if not in_initial_pid_namespace():
                raise KernelError("follow the command", "/proc/self/loginuid", "the kernel refuses a new audit session",
                                  "CAP_AUDIT_CONTROL is needed, or the initial pid namespace")
            libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
            self._parents.add(str(os.getpid()))  # of orphans
        self._sessions.add(self._own)
        self._parents.add(str(child.pid))
        child.release()

    def _belongs(self, fields: dict[str, str]) -> bool:
        """Is it the command's? What begins a session of its own there (a login, cron) still shows by its parents."""
        session, pid = fields["ses"], fields["pid"]
        if session in self._sessions:
            return True
        if self._own:  # sessions are numbered in turn: those before the command's cannot be of it
            could_belong = int(self._own) < int(session) < NO_ID
        else:
            could_belong = session == self._outer
        if not could_belong or not in_initial_pid_namespace():
            return False
        while pid not in self._parents:
            status = read_proc(pid, "stat").rpartition(")")[2].split()  # field 4 of proc_pid_stat(5) is the parent
            if not status:  # it or an ancestor has ended, unless the walk is beyond the first process
                if pid != "0":
                    self._strangers += 1
                return False
            pid = status[1]
        self._sessions |= {session} - {NO_SESSION, self._outer}
        return True

    def _lose(self, reason: str) -> None:
        if reason not in self._losses:
            self._losses.append(reason)

    def losses(self) -> list[str]:
        return self._losses

    def read(self) -> list[Denial]:
        found = []
        for text in self._records():
            fields = parse_audit_record(text)
            if not fields:
                self._lose(f"an audit record is not understood: {text[:400]}")
            elif self._belongs(fields):
                found.append(self._denial(fields))
        return found

    def _denial(self, fields: dict[str, str]) -> Denial:
        number, pid = int(fields["syscall"]) & 0xFFFFFFFF, int(fields["pid"])
        action = ACTION_NAMES.get(int(fields["code"], 16) & ~0xFFFF, SCMP_ACT_KILL_PROCESS)
        return Denial(audit_architecture(self._machine, int(fields["arch"], 16), number), number,
                      (Verdict(action, -1),), pid, pid, decode_audit_string(fields["comm"]),
                      decode_audit_string(fields["exe"]))

    def finish(self) -> list[Denial]:
        """What comes until there was nothing of the command for a while: others may go on producing records."""
        found: list[Denial] = []
        start_s = last_s = time.monotonic()
        while time.monotonic() < min(start_s + self.MAX_S, last_s + self.QUIET_S):
            select_readable([self.descriptor], self.QUIET_S * 1000)
            new = self.read()
            found += new
            last_s = time.monotonic() if new else last_s
        self._conclude()
        return found

    def _conclude(self) -> None:
        before, after = self._status, audit_status()
        if before and after:
            if self.auditd_matters and before.pid != after.pid:
                self._lose("auditd was started or stopped meanwhile")
            lost = (after.lost - before.lost) & 0xFFFFFFFF
            # Booted with audit=1 the kernel counts as lost what only an auditd that is not there would have got.
            if lost and (after.pid or "audit=1" not in read_kernel_file("/proc/cmdline")):
                records = count_of(lost, "audit record", "audit records")
                self._lose(f"the kernel dropped {records}: backlog_limit is {after.backlog_limit}, "
                           f"rate_limit {after.rate_limit} (auditctl -s)")
        records = count_of(self._strangers, "record was of a process", "records were of processes")
        text = f"{records} that had ended and may be the command's"
        if self._strangers and self._own:  # only if it has begun a session itself
            Log.result(f"Not named: {text}, if it logs somebody in")
        elif self._strangers:
            self._lose(f"{text}; CAP_AUDIT_CONTROL helps")

    def close(self) -> None:
        close(self.descriptor)


class NetlinkWatcher(AuditWatcher):
    """The audit records that the kernel multicasts, auditd or not (netlink(7), linux/audit.h)."""

    title, reads = "netlink", "the kernel's audit multicast (NETLINK_AUDIT)"
    auditd_matters = False
    AUDIT_NLGRP_READLOG, SO_RCVBUFFORCE = 1, 33  # asm-generic/socket.h

    def _open(self) -> None:
        import socket
        with contextlib.suppress(OSError):  # process 2, kthreadd, is in the initial network namespace
            own, initial = os.stat("/proc/self/ns/net"), os.stat("/proc/2/ns/net")
            if in_initial_pid_namespace() and not os.path.samestat(own, initial):
                raise KernelError("read audit records", "NETLINK_AUDIT", "this network namespace gets none",
                                  f"run {PROGRAM} in the initial one, or choose another --enricher")
        try:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_AUDIT)
            self._socket.setblocking(False)
            for option in (socket.SO_RCVBUF, self.SO_RCVBUFFORCE):  # the latter takes CAP_NET_ADMIN
                with contextlib.suppress(OSError):
                    self._socket.setsockopt(socket.SOL_SOCKET, option, 1 << 24)
            self._socket.bind((0, self.AUDIT_NLGRP_READLOG))
        except OSError as error:
            hint = "it takes CAP_AUDIT_READ in the initial namespace" if error.errno == errno.EPERM else (
                "the kernel was built without CONFIG_AUDIT")
            raise KernelError("read audit records", "NETLINK_AUDIT", error, hint) from None
        self.descriptor = self._socket.fileno()

    def _records(self) -> Iterator[str]:
        for data, (sender, _) in self._messages(lambda: self._socket.recvfrom(MAX_AUDIT_BYTES), "audit records"):
            if sender == 0 and int.from_bytes(data[4:6], sys.byteorder) == AUDIT_SECCOMP:
                yield data[NETLINK_HEADER_BYTES:].decode(errors="replace").rstrip("\0\n")

    def close(self) -> None:
        self._socket.close()


class KmsgWatcher(AuditWatcher):
    """The kernel's log, to which it writes audit records that no auditd takes (Linux: ABI/testing/dev-kmsg)."""

    title, reads = "kmsg", "/dev/kmsg"

    def _open(self) -> None:
        if self._status and self._status.pid:
            raise KernelError("read audit records", "/dev/kmsg", "a running auditd takes them away",
                              "choose --enricher audit-log or netlink")
        # printk_ratelimit() in kernel/printk/printk.c: so many in so many seconds; what is there already counts. A
        # record may have waited for up to a second before it was written.
        interval_s = int(read_kernel_file("/proc/sys/kernel/printk_ratelimit") or 0)
        self._burst = int(read_kernel_file("/proc/sys/kernel/printk_ratelimit_burst") or 0)
        self._window_s = interval_s + 1.0 if interval_s else 0.0
        size = max(self._burst, 1)
        self._times_s = collections.deque([0.0] * size, size)  # of the latest records
        try:
            self.descriptor = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            raise KernelError("read audit records", "/dev/kmsg", error,
                              "it takes root or, where kernel.dmesg_restrict is set, CAP_SYSLOG") from None
        while select_readable([self.descriptor], 0):
            for _ in self._records():
                pass
        self._losses.clear()
        self._check(time.time())

    def _records(self) -> Iterator[str]:
        import re
        for line in self._messages(lambda: os.read(self.descriptor, 8192), "messages of the kernel"):
            prefix, _, message = line.decode(errors="replace").partition(";")
            priority = prefix.split(",")[0]
            if not priority.isdecimal() or int(priority) >> 3:
                continue  # not of the kernel itself
            text = re.sub(r"\\x([0-9a-f]{2})", lambda code: chr(int(code[1], 16)), message.split("\n")[0])
            if text.startswith("audit: "):
                time_s = re.search(r" audit\((\d+\.\d+):", text)
                self._times_s.append(float(time_s[1]) if time_s else self._times_s[-1])
                self._check(self._times_s[-1])
                if text.startswith(f"audit: type={AUDIT_SECCOMP} "):
                    yield text
            elif text.startswith("kauditd_printk_skb:"):  # so many were suppressed
                self._check(0)

    def _check(self, now_s: float) -> None:
        """Report a loss if by then the limit may have been reached."""
        if self._window_s and now_s - self._times_s[0] < self._window_s:
            self._lose(f"the kernel's log takes {self._burst} audit records in {self._window_s - 1:.0f} s; choose "
                       "--enricher netlink, or: sysctl -w kernel.printk_ratelimit=0")


class AuditLogWatcher(AuditWatcher):
    """The log file that auditd writes; it may be rotated, by auditd or logrotate, or cut off while it is read."""

    title = "audit log"
    IN_EVENTS = 0x2 | 0x80 | 0x100 | 0x40  # IN_MODIFY, IN_MOVED_TO, IN_CREATE, IN_MOVED_FROM (sys/inotify.h)
    CHUNK_BYTES = 1 << 16
    MAX_LOGS = 1000  # num_logs in auditd.conf(5)
    LINE = rb"(?:node=\S+ )?type=(\S+) msg=audit\([0-9.]+:(\d{1,20})\)"

    def __init__(self, machine: Machine, profile: Profile, path: str = DEFAULT_AUDIT_LOG):
        self.reads, self._path = f"file {path}", os.path.realpath(path)
        self._offset = 0  # of the last line that has been read
        self._last_line = b""
        self._last_serial = 0  # the highest number so far
        self._may_have_gap = False  # between that and what is read next
        super().__init__(machine, profile)

    def _open(self) -> None:
        hint = "start auditd, name its log with --audit-log, or choose another --enricher"
        if self._status and not self._status.pid:
            raise KernelError("read audit records", self._path, "auditd, which writes it, does not run", hint)
        try:
            self._file = self._open_log(self._path)
            if not stat.S_ISREG(os.fstat(self._file.fileno()).st_mode):
                raise OSError(errno.EINVAL, "it is no regular file")
            self.descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
            libc.inotify_add_watch(self.descriptor, os.fsencode(os.path.dirname(self._path)), self.IN_EVENTS)
            self._offset = max(0, os.fstat(self._file.fileno()).st_size - self.CHUNK_BYTES)
            for _ in self._lines():
                pass
        except OSError as error:
            raise KernelError("read audit records", self._path, error, hint) from None

    @staticmethod
    def _open_log(path: str) -> BinaryIO:
        return open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0)

    def _records(self) -> Iterator[str]:
        with contextlib.suppress(BlockingIOError):
            while os.read(self.descriptor, 65536):
                pass  # that something happened is all that they tell
        try:
            yield from self._lines()
            for newer, is_sure in iter(self._newer, None):
                yield from self._lines()  # what was written before that
                self._file.close()
                self._file = newer
                self._restart(not is_sure)
                yield from self._lines()
        except OSError as error:
            self._lose(f"{self._path} could not be followed: {error.strerror}")

    def _newer(self) -> tuple[BinaryIO, bool] | None:
        """The log that came after the one that is open, once there is something in it; and whether it is sure that none
        came between, since one of the log's names leads to the file that is open.

        While it is empty, as logrotate has made it, auditd may still write to the old one. Logs only move from FILE to
        FILE.1 and on, and so does the search: none is missed.
        """
        newest = newer = None
        is_sure = False
        for number in range(self.MAX_LOGS):
            with contextlib.suppress(FileNotFoundError):
                file = self._open_log(f"{self._path}.{number}" if number else self._path)
                is_sure = os.path.sameopenfile(file.fileno(), self._file.fileno())
                if is_sure:
                    break
                newest, newer = newest or file, file
        newer = newer if is_sure else newest
        if newer is None or newer is newest and not os.fstat(newer.fileno()).st_size:
            return None
        return newer, is_sure

    def _restart(self, may_have_gap: bool) -> None:
        """Read from the beginning; some records may not have been read before."""
        self._offset = 0
        self._last_line = b""
        self._may_have_gap = may_have_gap

    def _lines(self) -> Iterator[str]:
        """The SECCOMP records of the lines that are new."""
        import re
        while True:
            data = os.pread(self._file.fileno(), self.CHUNK_BYTES, self._offset)
            if not data.startswith(self._last_line):  # cut off, and maybe written anew
                self._restart(True)
                continue
            end = data.rfind(b"\n") + 1
            if end <= len(self._last_line):
                if len(data) < self.CHUNK_BYTES:
                    return
                end = len(data)  # no record is as long
            lines = data[len(self._last_line):end].split(b"\n")
            start = max(data.rfind(b"\n", 0, end - 1) + 1, end - MAX_AUDIT_BYTES)
            self._offset += start
            self._last_line = data[start:end]
            for line in lines:
                match = re.match(self.LINE, line)
                if match and not match[1].startswith(b"DAEMON_"):  # auditd's own have other numbers
                    if self._may_have_gap and int(match[2]) > self._last_serial + 1:
                        self._lose(f"{self._path} was cut off or replaced, perhaps before all of it was read")
                    self._may_have_gap = False
                    self._last_serial = max(self._last_serial, int(match[2]))
                    if match[1] == b"SECCOMP":
                        yield line.decode(errors="replace")

    def close(self) -> None:
        self._file.close()
        super().close()

# --- record, run, watch ------------------------------------------------------


# The index of the argument that --args tells apart: it says what a syscall is to do (a command, a domain, flags). The
# kernel takes each as an int (include/linux/syscalls.h; of clone, mprotect, ptrace and unshare, which take a long, it
# refuses or ignores the upper half).
ARGUMENTS = {
    **dict.fromkeys("arch_prctl bpf clone keyctl membarrier personality prctl ptrace quotactl seccomp socket "
                    "socketpair syslog unshare".split(), 0),
    **dict.fromkeys("epoll_ctl fcntl fcntl64 futex io_uring_register ioctl msgctl prlimit64 setns shmctl".split(), 1),
    **dict.fromkeys("getsockopt lseek madvise mprotect reboot semctl setsockopt".split(), 2)}
# What does the same work as these, and takes the argument from memory, which no filter sees.
UNSEEN_ARGUMENTS = {"clone": "clone3", **dict.fromkeys("getsockopt setsockopt socket socketpair".split(), "socketcall"),
                    **dict.fromkeys("msgctl semctl shmctl".split(), "ipc")}


# What the values of arguments are called, by syscall:argument, and in which header of Linux or libc: * stands for the
# names that follow. Of flags several may be set in one value. The architectures in COMMON_VALUES have these; of structs
# that are in a request's number, the sizes are those of 64-bit programs. O_DIRECTORY, O_NOFOLLOW, O_DIRECT and
# O_LARGEFILE have others on ARM.
VALUE_NAMES = """
ioctl:1 values asm/ioctls.h *: TCGETS=0x5401 TCSETS=0x5402 TCSETSW=0x5403 TCSETSF=0x5404 TCGETA=0x5405 TCSETA=0x5406
    TCSETAW=0x5407 TCSETAF=0x5408 TCSBRK=0x5409 TCXONC=0x540a TCFLSH=0x540b TIOCEXCL=0x540c TIOCNXCL=0x540d
    TIOCSCTTY=0x540e TIOCGPGRP=0x540f TIOCSPGRP=0x5410 TIOCOUTQ=0x5411 TIOCSTI=0x5412 TIOCGWINSZ=0x5413
    TIOCSWINSZ=0x5414 TIOCMGET=0x5415 TIOCMBIS=0x5416 TIOCMBIC=0x5417 TIOCMSET=0x5418 TIOCGSOFTCAR=0x5419
    TIOCSSOFTCAR=0x541a FIONREAD=0x541b TIOCLINUX=0x541c TIOCCONS=0x541d TIOCGSERIAL=0x541e TIOCSSERIAL=0x541f
    TIOCPKT=0x5420 FIONBIO=0x5421 TIOCNOTTY=0x5422 TIOCSETD=0x5423 TIOCGETD=0x5424 TCSBRKP=0x5425 TIOCSBRK=0x5427
    TIOCCBRK=0x5428 TIOCGSID=0x5429 TCGETS2=0x802c542a TCSETS2=0x402c542b TCSETSW2=0x402c542c TCSETSF2=0x402c542d
    TIOCGPTN=0x80045430 TIOCSPTLCK=0x40045431 TIOCGPTPEER=0x5441 FIONCLEX=0x5450 FIOCLEX=0x5451 FIOASYNC=0x5452
    FIOQSIZE=0x5460 TIOCMIWAIT=0x545c TIOCGICOUNT=0x545d
ioctl:1 values linux/sockios.h SIOC*: ATMARK=0x8905 GSTAMP_OLD=0x8906 ADDRT=0x890b DELRT=0x890c GIFNAME=0x8910
    GIFCONF=0x8912 GIFFLAGS=0x8913 SIFFLAGS=0x8914 GIFADDR=0x8915 SIFADDR=0x8916 GIFDSTADDR=0x8917 GIFBRDADDR=0x8919
    GIFNETMASK=0x891b SIFNETMASK=0x891c GIFMETRIC=0x891d GIFMTU=0x8921 SIFMTU=0x8922 GIFHWADDR=0x8927 SIFHWADDR=0x8924
    GIFINDEX=0x8933 GIFTXQLEN=0x8942 ETHTOOL=0x8946 GMIIPHY=0x8947 GARP=0x8954 BRADDBR=0x89a0 BRADDIF=0x89a2
ioctl:1 values linux/fs.h *: BLKROSET=0x125d BLKROGET=0x125e BLKRRPART=0x125f BLKGETSIZE=0x1260 BLKFLSBUF=0x1261
    BLKSSZGET=0x1268 BLKGETSIZE64=0x80081272 BLKDISCARD=0x1277 BLKIOMIN=0x1278 BLKIOOPT=0x1279 BLKPBSZGET=0x127b
    FIBMAP=1 FIGETBSZ=2 FIFREEZE=0xc0045877 FITHAW=0xc0045878 FITRIM=0xc0185879 FICLONE=0x40049409
    FICLONERANGE=0x4020940d FIDEDUPERANGE=0xc0189436 FS_IOC_GETFLAGS=0x80086601 FS_IOC_SETFLAGS=0x40086602
    FS_IOC_FIEMAP=0xc020660b FS_IOC_FSGETXATTR=0x801c581f FS_IOC_FSSETXATTR=0x401c5820
ioctl:1 values linux/if_tun.h *: TUNSETIFF=0x400454ca TUNGETIFF=0x800454d2 TUNSETPERSIST=0x400454cb
ioctl:1 values linux/random.h *: RNDGETENTCNT=0x80045200 RNDADDENTROPY=0x40085203
ioctl:1 values linux/kd.h *: KDSKBMODE=0x4b45 KDGKBMODE=0x4b44 KDSETMODE=0x4b3a KDGETMODE=0x4b3b
ioctl:1 values linux/vt.h VT_*: OPENQRY=0x5600 GETSTATE=0x5603 ACTIVATE=0x5606
ioctl:1 values linux/loop.h LOOP_*: SET_FD=0x4c00 CLR_FD=0x4c01 CTL_GET_FREE=0x4c82
ioctl:1 values linux/kvm.h KVM_*: GET_API_VERSION=0xae00 CREATE_VM=0xae01 CHECK_EXTENSION=0xae03 CREATE_VCPU=0xae41
    RUN=0xae80
ioctl:1 values linux/perf_event.h PERF_EVENT_IOC_*: ENABLE=0x2400 DISABLE=0x2401
socket:0 socketpair:0 values sys/socket.h AF_*: UNSPEC=0 UNIX=1 INET=2 AX25=3 IPX=4 APPLETALK=5 X25=9 INET6=10
    NETLINK=16 PACKET=17 RDS=21 PPPOX=24 CAN=29 TIPC=30 BLUETOOTH=31 ALG=38 NFC=39 VSOCK=40 KCM=41 QIPCRTR=42 SMC=43
    XDP=44
socket:1 socketpair:1 flags sys/socket.h SOCK_*: STREAM=1 DGRAM=2 RAW=3 RDM=4 SEQPACKET=5 PACKET=0xa NONBLOCK=0x800
    CLOEXEC=0x80000
clone:0 unshare:0 setns:1 flags linux/sched.h CLONE_*: NEWTIME=0x80 VM=0x100 FS=0x200 FILES=0x400 SIGHAND=0x800
    PIDFD=0x1000 PTRACE=0x2000 VFORK=0x4000 PARENT=0x8000 THREAD=0x10000 NEWNS=0x20000 SYSVSEM=0x40000 SETTLS=0x80000
    PARENT_SETTID=0x100000 CHILD_CLEARTID=0x200000 UNTRACED=0x800000 CHILD_SETTID=0x1000000 NEWCGROUP=0x2000000
    NEWUTS=0x4000000 NEWIPC=0x8000000 NEWUSER=0x10000000 NEWPID=0x20000000 NEWNET=0x40000000 IO=0x80000000
prctl:0 values linux/prctl.h PR_*: SET_PDEATHSIG=1 GET_PDEATHSIG=2 GET_DUMPABLE=3 SET_DUMPABLE=4 GET_KEEPCAPS=7
    SET_KEEPCAPS=8 SET_NAME=15 GET_NAME=16 GET_SECCOMP=21 SET_SECCOMP=22 CAPBSET_READ=23 CAPBSET_DROP=24
    GET_SECUREBITS=27 SET_SECUREBITS=28 SET_TIMERSLACK=29 GET_TIMERSLACK=30 SET_MM=35 SET_PTRACER=0x59616d61
    SET_CHILD_SUBREAPER=36 GET_CHILD_SUBREAPER=37 SET_NO_NEW_PRIVS=38 GET_NO_NEW_PRIVS=39 GET_TID_ADDRESS=40
    SET_THP_DISABLE=41 GET_THP_DISABLE=42 CAP_AMBIENT=47 GET_SPECULATION_CTRL=52 SET_SPECULATION_CTRL=53
    SET_TAGGED_ADDR_CTRL=55 SET_SYSCALL_USER_DISPATCH=59 SCHED_CORE=62 SET_VMA=0x53564d41
fcntl:1 fcntl64:1 values linux/fcntl.h F_*: DUPFD=0 GETFD=1 SETFD=2 GETFL=3 SETFL=4 GETLK=5 SETLK=6 SETLKW=7 SETOWN=8
    GETOWN=9 SETSIG=10 GETSIG=11 SETOWN_EX=15 GETOWN_EX=16 OFD_GETLK=36 OFD_SETLK=37 OFD_SETLKW=38 SETLEASE=0x400
    GETLEASE=0x401 NOTIFY=0x402 DUPFD_CLOEXEC=0x406 SETPIPE_SZ=0x407 GETPIPE_SZ=0x408 ADD_SEALS=0x409 GET_SEALS=0x40a
madvise:2 values linux/mman.h MADV_*: NORMAL=0 RANDOM=1 SEQUENTIAL=2 WILLNEED=3 DONTNEED=4 FREE=8 REMOVE=9 DONTFORK=10
    DOFORK=11 MERGEABLE=12 UNMERGEABLE=13 HUGEPAGE=14 NOHUGEPAGE=15 DONTDUMP=16 DODUMP=17 WIPEONFORK=18 KEEPONFORK=19
    COLD=20 PAGEOUT=21 POPULATE_READ=22 POPULATE_WRITE=23 COLLAPSE=25
mprotect:2 mmap:2 mmap2:2 flags linux/mman.h PROT_*: READ=1 WRITE=2 EXEC=4
lseek:2 values linux/fs.h SEEK_*: SET=0 CUR=1 END=2 DATA=3 HOLE=4
epoll_ctl:1 values linux/eventpoll.h EPOLL_CTL_*: ADD=1 DEL=2 MOD=3
arch_prctl:0 values asm/prctl.h ARCH_*: SET_GS=0x1001 SET_FS=0x1002 GET_FS=0x1003 GET_GS=0x1004 GET_CPUID=0x1011
    SET_CPUID=0x1012
futex:1 futex_time64:1 flags linux/futex.h FUTEX_*: WAIT=0 WAKE=1 REQUEUE=3 CMP_REQUEUE=4 WAKE_OP=5 LOCK_PI=6
    UNLOCK_PI=7 TRYLOCK_PI=8 WAIT_BITSET=9 WAKE_BITSET=0xa WAIT_REQUEUE_PI=0xb CMP_REQUEUE_PI=0xc LOCK_PI2=0xd
    WAIT_PRIVATE=0x80 PRIVATE_FLAG=0x80 CLOCK_REALTIME=0x100
personality:0 flags linux/personality.h *: PER_LINUX=0 PER_LINUX32=8 UNAME26=0x20000 ADDR_NO_RANDOMIZE=0x40000
ptrace:0 values linux/ptrace.h PTRACE_*: TRACEME=0 PEEKTEXT=1 PEEKDATA=2 PEEKUSR=3 POKETEXT=4 POKEDATA=5 CONT=7 KILL=8
    SINGLESTEP=9 ATTACH=16 DETACH=17 SYSCALL=24 SETOPTIONS=0x4200 GETEVENTMSG=0x4201 GETSIGINFO=0x4202 GETREGSET=0x4204
    SETREGSET=0x4205 SEIZE=0x4206 INTERRUPT=0x4207 LISTEN=0x4208
bpf:0 values linux/bpf.h BPF_*: MAP_CREATE=0 MAP_LOOKUP_ELEM=1 MAP_UPDATE_ELEM=2 MAP_DELETE_ELEM=3 MAP_GET_NEXT_KEY=4
    PROG_LOAD=5 OBJ_PIN=6 OBJ_GET=7 PROG_ATTACH=8 PROG_DETACH=9 RAW_TRACEPOINT_OPEN=17 BTF_LOAD=18 LINK_CREATE=28
seccomp:0 values linux/seccomp.h SECCOMP_*: SET_MODE_STRICT=0 SET_MODE_FILTER=1 GET_ACTION_AVAIL=2 GET_NOTIF_SIZES=3
prlimit64:1 values sys/resource.h RLIMIT_*: CPU=0 FSIZE=1 DATA=2 STACK=3 CORE=4 RSS=5 NPROC=6 NOFILE=7 MEMLOCK=8 AS=9
    LOCKS=10 SIGPENDING=11 MSGQUEUE=12 NICE=13 RTPRIO=14 RTTIME=15
keyctl:0 values linux/keyctl.h KEYCTL_*: GET_KEYRING_ID=0 JOIN_SESSION_KEYRING=1 UPDATE=2 REVOKE=3 CHOWN=4 SETPERM=5
    DESCRIBE=6 CLEAR=7 LINK=8 UNLINK=9 SEARCH=10 READ=11
reboot:2 values linux/reboot.h LINUX_REBOOT_CMD_*: RESTART=0x1234567 HALT=0xcdef0123 CAD_ON=0x89abcdef CAD_OFF=0
    POWER_OFF=0x4321fedc KEXEC=0x45584543
membarrier:0 values linux/membarrier.h MEMBARRIER_CMD_*: QUERY=0 GLOBAL=1 PRIVATE_EXPEDITED=8
    REGISTER_PRIVATE_EXPEDITED=16
msgctl:1 shmctl:1 semctl:2 values linux/ipc.h IPC_*: RMID=0 SET=1 STAT=2 INFO=3
io_uring_register:1 values linux/io_uring.h IORING_REGISTER_*: BUFFERS=0 FILES=2 EVENTFD=4 PROBE=8
open:1 openat:2 flags fcntl.h O_*: RDONLY=0 WRONLY=1 RDWR=2 CREAT=0x40 EXCL=0x80 NOCTTY=0x100 TRUNC=0x200 APPEND=0x400
    NONBLOCK=0x800 DSYNC=0x1000 ASYNC=0x2000 NOATIME=0x40000 CLOEXEC=0x80000 SYNC=0x101000 PATH=0x200000
getsockopt:1 setsockopt:1 values sys/socket.h SOL_*: SOCKET=1 RAW=255 PACKET=263 NETLINK=270 ALG=279 XDP=283
getsockopt:1 setsockopt:1 values netinet/in.h *: SOL_IP=0 IPPROTO_TCP=6 IPPROTO_UDP=17 SOL_IPV6=41 SOL_ICMPV6=58
"""
COMMON_VALUES = {"X86_64", "X86", "X32", "AARCH64", "ARM", "RISCV64", "LOONGARCH64", "S390X", "S390"}


class ValueNames(NamedTuple):
    """The names of an argument's values."""

    are_flags: bool
    header: str
    values: dict[str, int]

    def name_of(self, value: int) -> str:
        """The name of a value, or those of the flags in it, the lowest first; "" if it has none."""
        for name, each in self.values.items():
            if each == value:
                return name
        found: list[str] = []
        pairs = reversed(list(self.values.items()))
        for name, each in sorted(pairs, key=lambda pair: -pair[1]) if self.are_flags else ():
            if each and value & each == each:
                found.insert(0, name)
                value &= ~each
        return "|".join([*([f"{value:#x}"] if value and found else []), *found])


@functools.lru_cache()
def value_names() -> dict[tuple[str, int], list[ValueNames]]:
    """VALUE_NAMES by syscall and argument."""
    found: dict[tuple[str, int], list[ValueNames]] = {}
    for line in VALUE_NAMES.strip().replace("\n    ", " ").split("\n"):
        head, _, pairs = line.partition(": ")
        *calls, kind, header, pattern = head.split()
        values = {pattern.replace("*", name): int(value, 0) for name, value in (
            pair.split("=") for pair in pairs.split())}
        for call in calls:
            name, _, argument = call.partition(":")
            found.setdefault((name, int(argument)), []).append(ValueNames(kind == "flags", header, values))
    return found


def names_are_common(architectures: Iterable[str]) -> bool:
    """Have the values these names on all of them?"""
    return {name[10:] for name in architectures} <= COMMON_VALUES | {"NATIVE"}


def name_value(syscall: str, argument: int, value: int) -> str:
    """What a value of an argument is called, "" if it has no name."""
    found = (names.name_of(value) for names in value_names().get((syscall, argument), ()))
    return next(filter(None, found), "")


ABIS_UNTOLD = ("the kernel (lockdown) does not let 32-bit calls be told apart: the profile is right for 64-bit "
               "programs only")


def lacks_abis(recorder: BpfRecorder) -> bool:
    """Has the machine 32-bit calls that are not told apart?"""
    return recorder.machine.compat is not None and not recorder.tells_abis


def describe_nameless(calls: Iterable[tuple[Architecture, int]]) -> list[str]:
    """What to say of syscalls without a name."""
    absent: list[str] = []
    newer: list[str] = []
    for architecture, number in sorted(calls):
        starts = {ARM: (0, ARM_PRIVATE_START), X32: (X32_SYSCALL_BIT,)}.get(architecture, (0,))
        may_exist = any(0 <= number - start < NUMBERS for start in starts)
        (newer if may_exist else absent).append(f"{number} ({architecture.name})")
    texts = []
    if newer:
        texts.append(f"libseccomp knows no name for {count_of(len(newer), 'syscall', 'syscalls')}: {', '.join(newer)}; "
                     "a newer libseccomp may")
    if absent:
        texts.append(f"{count_of(len(absent), 'syscall exists', 'syscalls exist')} in no kernel: {', '.join(absent)}; "
                     "no rule can allow that")
    return texts


def narrowed_values(recording: Recording, base: Iterable[str]) -> dict[str, list[int]]:
    """The values that --args found, by name; of all architectures, since a rule is for all that a profile lists.

    Not of base syscalls: the container runtime that needs them was not recorded.
    """
    found: dict[str, set[int]] = {}
    for call in recording.calls:
        if call.values and call.name and call.name not in base:
            found.setdefault(call.name, set()).update(call.values)
    whole = {call.name for call in recording.calls if not call.values}
    return {name: sorted(values) for name, values in sorted(found.items()) if name not in whole}


def profile_architectures(machine: Machine, recording: Recording) -> set[Architecture]:
    """That of this process, which libseccomp adds anyway, and those of the calls."""
    return {machine.own, *(call.architecture for call in recording.calls)}


def make_profile(machine: Machine, recording: Recording, base: Iterable[str]) -> Profile:
    """Allow what was recorded, the base syscalls, and what the kernel makes; answer an errno to all else.

    Values are compared as the kernel takes them, by their lower 32 bits: what a compiler or libc leaves in the upper
    half of the register, as some extend the sign, is neither a need nor a risk.
    """
    architectures = profile_architectures(machine, recording)
    others = sorted(each.name for each in architectures - {machine.own})
    narrowed = narrowed_values(recording, base)
    names = recording.names.union(base, kernel_calls(architectures)) - narrowed.keys()
    return Profile(SCMP_ACT_ERRNO, (machine.own.name, *others), (
        Rule(SCMP_ACT_ALLOW, tuple(sorted(names))),
        *(Rule(SCMP_ACT_ALLOW, (name,), conditions=(
            Condition(ARGUMENTS[name], "SCMP_CMP_MASKED_EQ", 0xFFFFFFFF, value),))
          for name, values in narrowed.items() for value in values)))


BAR_COLUMNS = 20
CURVE_COLUMNS = 60


def format_statistics(recording: Recording, duration_ns: int, blocks: str, columns: int = 0,
                      colour: bool = False) -> str:
    """A table of the calls, most frequent first, and how the number of distinct ones grew, drawn in `blocks`.

    It folds to so many columns (0: to none): bars become shorter, and who made a call first gets a line.
    """
    calls = sorted(recording.calls, key=lambda call: (-call.times, call.first_ns))
    firsts_ns = sorted(call.first_ns for call in calls)
    start_ns, last_ns = firsts_ns[0], firsts_ns[-1]
    rows = [("SYSCALL", "CALLS", "FIRST", "FIRST MADE BY", "")]
    for call in calls:
        suffix = "" if call.architecture is calls[0].architecture else f" ({call.architecture.short_name})"
        rows.append(((call.name or f"number {call.number}") + suffix, str(call.times),
                     f"{(call.first_ns - start_ns) / 1e9:.3f} s",
                     printable(f"{call.comm} ({call.tgid})") if call.times else "in it at the start",
                     blocks[-1] * bool(call.times) * max(1, round(BAR_COLUMNS * call.times / max(1, calls[0].times)))))
    lines = fold_rows(rows, columns or sys.maxsize, CYAN if colour else "")
    if colour:
        lines[0] = paint(lines[0], BOLD)
    width = min(CURVE_COLUMNS, columns or CURVE_COLUMNS)
    curve = ""
    for column in range(1, width + 1):
        so_far = sum(call.first_ns - start_ns <= duration_ns / width * column for call in calls)
        curve += blocks[(len(blocks) - 1) * so_far // len(calls)]
    lines += fold_line(f"distinct syscalls over {duration_ns / 1e9:.1f} s: {curve} {len(calls)}, the last new one at "
                       f"{(last_ns - start_ns) / 1e9:.1f} s", columns or sys.maxsize, 0)
    return "\n".join([*lines, ""])


def fold_rows(rows: Sequence[tuple[str, str, str, str, str]], columns: int, colour: str) -> list[str]:
    """Lines of no more than the columns: of syscall, calls, first time, who made it, and a bar, which is painted."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    room = columns - sum(widths[:4]) - 8  # for the bar
    lines = []
    for name, times, first, maker, bar in rows:
        start = f"{name:{widths[0]}}  {times:>{widths[1]}}  {first:>{widths[2]}}"
        bar = bar[:max(1, len(bar) * room // BAR_COLUMNS)] if 0 < room < BAR_COLUMNS else bar
        if room > 0:
            lines.append(f"{start}  {maker:{widths[3]}}  {paint(bar, colour)}".rstrip())
        elif room > -2:
            lines.append(f"{start}  {maker}")
        else:
            lines += [start, f"    {maker}"]
    return lines


def log_statistics(recording: Recording, duration_ns: int) -> None:
    encoding = (sys.stderr and sys.stderr.encoding or "").lower()
    blocks = " ▁▂▃▄▅▆▇█" if encoding == "utf-8" else " .:-=+*#"
    Log.table(format_statistics(recording, duration_ns, blocks, terminal_columns(2), has_colour(2)))


def report_gaps(recording: Recording, calls: Iterable[Call], whose: str = "") -> bool:
    """Say what is missing of these calls, and whether nothing is. `whose`: of several profiles, which."""
    nameless = {(call.architecture, call.number) for call in calls if not call.name}
    reasons = [*recording.losses, *describe_nameless(nameless)]
    for reason in reasons:
        Log.error(f"the profile{whose} is incomplete: {reason}")
    return not reasons


def tell_losses(losses: Iterable[str], prefix: str = "") -> None:
    """Say why there may have been calls, though none was recorded."""
    for loss in losses:
        if loss != START_UNSEEN:
            Log.warning(f"{prefix}calls may have been made all the same: {loss}")


class Client(NamedTuple):
    """Programs that have a process do the work that is none of their descendants."""

    names: str
    advice: str  # who does the work, and how to record that
    words: str = ""  # one of these asks for it; none: any word does
    groups: str = ""  # words that stand before it; *: any one
    alone: str = ""  # options with which the program does the work itself, or nobody does


ENGINE = ("the engine's daemon starts the container; before it starts, type on that machine: "
          f"{PROGRAM} record --container NAME")
MANAGER = (f"the service manager starts the program; when it runs, type: {PROGRAM} record --unit NAME; to have its "
           f"start as well, have its ExecStart= call {PROGRAM} record, see examples/systemd")
ENGINE_TOO = ("podman and what it starts the container with are recorded, too; for the container alone, type before it "
              f"starts: {PROGRAM} record --container NAME")
SUPERVISOR = f"the supervisor starts the program; have it start {PROGRAM} with that"
REMOTE = f"the other machine runs the program; run {PROGRAM} there"
CLIENTS = [
    Client("docker docker-compose nerdctl balena balena-engine podman-remote", ENGINE,
           "run create start restart exec up build unpause update deploy bake",
           "container compose image builder buildx service stack"),
    Client("ctr crictl", ENGINE, "run runp create start exec resume", "container containers c task tasks t"),
    Client("lxc incus", ENGINE, "launch init create start restart exec"),
    Client("kubectl oc", ENGINE, "run create apply exec debug replace scale rollout"),
    Client("virsh", "libvirt's daemon starts the machine; record the program itself, in the machine",
           "create start restore resume reboot"),
    Client("systemctl", MANAGER, "start restart try-restart reload reload-or-restart enable isolate"),
    Client("service", MANAGER, "start restart reload force-reload try-restart", "*"),
    Client("machinectl", MANAGER, "start shell login"),
    Client("systemd-run run0", MANAGER, alone="--scope"),
    Client("supervisorctl initctl sv", SUPERVISOR, "start restart up once"),
    Client("s6-svc", SUPERVISOR),
    Client("ssh slogin dbclient mosh rsh", REMOTE, alone="-V -Q -G"),
    Client("adb", REMOTE, "shell"),
    Client("at batch", "the at daemon runs the program later; record that itself", alone="-l -c -d -r"),
    Client("dbus-send", "the service that is called does the work; record that"),
    Client("busctl gdbus", "the service that is called does the work; record that", "call set-property"),
]
# What starts the command that it is given: letters of options with a value, and how many words come before.
WRAPPERS = {"sudo": ("CDghpRrTtUu", 0), "doas": ("Cu", 0), "env": ("CSu", 0), "nice": ("n", 0), "ionice": ("cn", 0),
            "nohup": ("", 0), "setsid": ("", 0), "stdbuf": ("ioe", 0), "time": ("fo", 0), "timeout": ("ks", 1),
            "exec": ("a", 0), "k3s": ("", 0), "microk8s": ("", 0)}
SHELLS = "sh bash dash ash ksh zsh".split()


def unwrap(command: Sequence[str]) -> Sequence[str]:
    """The command that one of WRAPPERS is to start."""
    valued, words = WRAPPERS[os.path.basename(command[0])]
    rest = list(command[1:])
    while rest:
        word = rest[0]
        if word.startswith("-") and word not in ("-", "--"):  # the first is env's -i
            first = next((letter for letter in word if letter in valued), "")
            if first and not word.startswith("--") and word.index(first) == len(word) - 1:
                del rest[:1]  # the value; else it follows in the word itself
        elif word not in ("-", "--") and "=" not in word:
            if not words:
                break
            words -= 1
        del rest[:1]
    return rest


def is_podman_script(program: str) -> bool:
    """Is `docker` the script of the package podman-docker?"""
    for folder in os.get_exec_path():
        with contextlib.suppress(OSError), open(os.path.join(folder, program), "rb") as file:
            start = file.read(1024)
            return start.startswith(b"#!") and b"podman" in start
    return False


def shell_script(arguments: Sequence[str]) -> str:
    """What follows a shell's -c, or letters that end in it; "" if there is none."""
    for word, following in zip(arguments, arguments[1:]):
        if word.startswith("-") and not word.startswith("--") and word.endswith("c"):
            return following
    return ""


def asks_for_background(option: str) -> bool:
    """Is it sudo's -b, if behind other letters then such as take no value?"""
    before, letter, _ = option.partition("b")
    return option == "--background" or bool(letter) and before[:1] == "-" and not before[1:].strip("ABEeHiKklNnPSsVv")


def find_client(command: Sequence[str], environment: Container[str], follow: bool) -> str:
    """What to say if the command, or what it is to start, has the work done by others; "" if it does it."""
    name = os.path.basename(command[0]) if command else ""
    arguments = command[1:]
    if name in SHELLS:
        return find_client(shell_script(arguments).split(), environment, follow)
    if name in WRAPPERS:
        inner = unwrap(command)
        options = command[1:len(command) - len(inner)]
        if name == "sudo" and not follow and any(map(asks_for_background, options)):
            return "only its start is recorded: sudo -b ends at once, and the program goes on; add --follow"
        return find_client(inner, environment, follow)
    if name == "docker" and is_podman_script(command[0]):
        name = "podman"
    if name == "podman" and is_podman_remote(arguments, environment):
        name = "podman-remote"
    if name == "podman" and asks_for_work(CLIENTS[0], arguments):
        return ENGINE_TOO
    for client in CLIENTS:
        if name in client.names.split() and asks_for_work(client, arguments):
            return f"only {name} itself is recorded: {client.advice}"
    return ""


def is_podman_remote(arguments: Sequence[str], environment: Container[str]) -> bool:
    """Does podman ask a service? Else the container is its descendant."""
    words = CLIENTS[0].words.split()
    options = itertools.takewhile(lambda word: word not in words, arguments)
    return ("CONTAINER_HOST" in environment or "CONTAINER_CONNECTION" in environment
            or not {"-r", "--remote", "-c", "--connection", "--url"}.isdisjoint(
                word.partition("=")[0] for word in options))


def asks_for_work(client: Client, arguments: Sequence[str]) -> bool:
    """Do these arguments have another process do the work?"""
    before = ""
    skip = client.groups == "*"
    if not set(client.alone.split()).isdisjoint(arguments):
        return False
    for word in arguments:
        if not word.startswith("-"):
            if not client.words or word in client.words.split():
                return True
            if not (skip or word in client.groups.split() or before.startswith("-")):  # which may be its value
                return False
            skip = False
        before = word
    return False


FOR_CONTAINER, FOR_SERVICE = "container", "service"


def choose_base(options: RecordOptions) -> Sequence[str]:
    """The syscalls that a profile allows, recorded or not, beside what the kernel makes."""
    if options.purpose == FOR_SERVICE or options.type == TYPE_SYSTEMD and not options.purpose:
        # What starts a service makes no other call between loading the filter and its program's start.
        return ("execve", *(name for name in options.base_syscalls if name != "execve"))
    if options.base_syscalls or options.no_base_syscalls:
        return options.base_syscalls
    return BASE_SYSCALLS


def tell_base(added: Sequence[str], is_wanted: bool) -> None:
    """Say what is allowed for a container's start, which may be wanted."""
    Log.info(f"{count_of(len(added), 'base syscall is', 'base syscalls are')} allowed that the program did not make")
    risky = sorted(high_risk().keys() & set(added))
    if risky:
        Log.warning(f"base syscalls of high risk that the program did not make are allowed: {', '.join(risky)}; they "
                    "start a container" + ("" if is_wanted else f", and --for {FOR_SERVICE} leaves them out"))


def tell_portable(before: Profile, after: Profile) -> None:
    """List what --portable adds."""
    names = added_names(before, after)
    Log.info(f"Adding what does the same work elsewhere (--portable): {', '.join(names) or 'nothing'}")


def tell_misplaced(options: Sequence[str], command: Sequence[str], example: Sequence[str]) -> None:
    """Say of a command that has failed that one of these options, with a profile's name, went to it."""
    for index, (word, value) in enumerate(zip(command[1:], command[2:]), 1):
        if word in options and type_of_name(value):
            import shlex
            rest = [*command[:index], *command[index + 2:]]
            Log.info(f"{word} {value} behind {command[0]} went to {command[0]}; for {PROGRAM}: "
                     + shlex.join([PROGRAM, *example, word, value, "--", *rest]))
            return


def tell_status(status: int, identity: Identity | None, consequence: str = "", requests: int = 1) -> None:
    """Say how a command has failed, and as whom; without a warning if it was asked to end."""
    message = f"command {describe_status(status)}{consequence}"
    if requests:
        Log.info(f"The {message}")
    else:
        Log.warning(f"the {message}")
    if identity:
        Log.warning(f"the command ran as {identity.title}")


class RecordOptions(NamedTuple):
    """The options of `record`."""

    type: str = ""  # by the name of the output file, see type_of_name()
    output_file: str = ""
    base_syscalls: tuple[str, ...] = ()
    no_base_syscalls: bool = False
    purpose: str = ""
    name: str = ""
    args: tuple[str, ...] = ()
    append: bool = False
    follow: bool = False
    checkpoint: float = 0
    stats: bool = False
    backend: str = "auto"
    portable: bool = False
    privileged: bool = False
    pid: tuple[int, ...] = ()
    container: str = ""
    unit: str = ""
    cgroup: str = ""
    no_proc_start: bool = False
    with_blocked: bool = False
    containers: bool = False
    registries: Settings = Settings()
    drop_in: Callable[[Profile], str] | None = None  # what writes TYPE_SYSTEMD
    count_gaps: Callable[[str, str], str] | None = None  # what --stats says of a profile and a program


class StatusLine:
    """A line about the recording in a terminal's last row, which is kept out of the scrolled region meanwhile.

    Drawn only while the terminal echoes and edits lines and this process group is in the foreground: never over a
    program that has taken the screen. Sequences: DEC VT100 (DECSTBM, DECSC, DECRC), see console_codes(4).
    """

    MIN_ROWS = 5

    def __init__(self) -> None:
        self._size: os.terminal_size | None = None

    def _usable_size(self) -> os.terminal_size | None:
        import termios
        try:
            local_modes = termios.tcgetattr(2)[3]
            size = os.get_terminal_size(2)
            foreground = os.tcgetpgrp(2) == os.getpgrp()
        except (OSError, termios.error):
            return None
        edits = local_modes & termios.ICANON and local_modes & termios.ECHO
        return size if edits and foreground and size.lines >= self.MIN_ROWS and size.columns > 1 else None

    def draw(self, text: str) -> None:
        size = self._usable_size()
        if size is None:
            self._size = None  # whoever took the terminal has set it up anew
            return
        setup = ""
        if size != self._size:
            # Index and cursor up make room below the cursor without moving it; DECSTBM moves it home.
            setup = f"\x1bD\x1b[A\x1b7\x1b[1;{size.lines - 1}r\x1b8"
        self._size = size
        write_stderr(f"{setup}\x1b7\x1b[{size.lines};1H\x1b[2K{printable(text)[:size.columns - 1]}\x1b8")

    def clear(self) -> None:
        """Take the line away and give the row back."""
        if self._size and self._usable_size() == self._size:
            write_stderr(f"\x1b7\x1b[{self._size.lines};1H\x1b[2K\x1b[r\x1b8")
        self._size = None


BACKENDS = ("auto", "bpf", "notify")
FOLLOW = "; --follow records until all have ended or it is stopped"


def log_container(pid: int, cgroups: str) -> None:
    """The command is in the mount namespace and the control groups that it was forked in."""
    try:
        mount_namespace = str(os.stat("/proc/self/ns/mnt").st_ino)
    except OSError:
        mount_namespace = "unknown"
    Log.info(f"Received event: pid: {pid}, mntns: {mount_namespace}")
    container = parse_container_id(cgroups)
    if container:
        Log.info(f"Found container ID {container} for PID {pid}")
    else:
        reason = "no container in its cgroups" if cgroups else "/proc/self/cgroup cannot be read"
        Log.info(f"No container ID found for PID (pid={pid}, mntns={mount_namespace}, {reason})")


def check_name(name: str, profile_type: str) -> None:
    if name and profile_type == TYPE_JSON:
        raise UsageError(f"--name {name}", "a profile in JSON has no name",
                         f"leave it out, or write YAML with -t {TYPE_CRD}")


class RecordOutput:
    """Where a profile that is recorded goes, and as what."""

    def __init__(self, options: RecordOptions, command: str, owner: tuple[int, int] | None):
        """Check all that can be known to fail before the command is started."""
        self.options = options
        self.name = options.name or kubernetes_name(command)
        self.adds = False  # is there a profile to add to?
        self._before: Profile | None = None  # that one, as it was at the beginning
        self._added: set[tuple[str, str]] = set()  # syscalls that it lacked, and as what rule each was added
        self._added_architectures: set[str] = set()
        self._kept = ""  # the file in which a profile is that is to be pushed
        self.target = self._open(command, owner)
        try:
            self._check()
        except BaseException:
            self.target.close()
            raise

    def _check(self) -> None:
        options = self.options
        if not self.target.is_file and (options.append or options.checkpoint):
            raise UsageError(f"-o {self.target.path}", "--append and --checkpoint need a regular file")
        if self.target.is_remote and options.append and options.checkpoint:
            raise UsageError("--checkpoint", f"does not go with --append to {self.target.path}",
                             "record without one of them")
        if options.append or options.drop_in:
            import_now("array", "bisect", "json", "re", "textwrap")
        if options.stats and options.count_gaps:
            import_now("array", "bisect", "glob", "json", "re", "shlex", "struct", "textwrap")
        self.target.check()
        self.type = self._choose_type()
        if self.type == TYPE_JSON:
            import_now("json")
        check_name(options.name, self.type)
        if options.append:
            self._text(Profile(SCMP_ACT_ERRNO, (this_machine().own.name,), ()))

    def _open(self, command: str, owner: tuple[int, int] | None) -> Target:
        """The file that the profile goes to, but not the program that is recorded."""
        path = self.options.output_file
        if not path:
            return default_target(DEFAULT_OUTPUT[self.options.type or TYPE_CRD], owner, self.options.append)
        program = find_program(command)
        if program:
            check_written("-o", path, [("the command", program)])
        return open_target(path, owner, container_host(), self.options.registries, any_content=self.options.append)

    def _choose_type(self) -> str:
        """That of -t, of the file that is added to, of the output file's name, or the default."""
        options, text = self.options, self.target.read() if self.options.append else ""
        chosen = options.type or type_of_name(options.output_file) or TYPE_CRD
        if text.strip():
            self.adds = True
            source = self._parse(text)
            self._before = source.profile
            chosen = options.type or source.type
            if options.name not in ("", source.name):
                name = f"the name {source.name}" if source.name else "no name"
                raise UsageError(f"--name {options.name}", f"{self.target.path} has {name}",
                                 "leave it out, or change that there")
        warn_of_name(options.output_file, chosen)
        return chosen

    def _parse(self, text: str) -> LoadedProfile:
        """What is in the file that is added to, which holds one profile."""
        try:
            return parse_profile(text, self.target.path, container_host())
        except ProfileError as error:
            if error.hint.startswith(CHOOSE_ONE):
                error.hint = "append to a file that holds one profile"
            raise

    def _text(self, profile: Profile) -> str:
        """The profile's text, joined with what is in the file if that was asked for."""
        text = self.target.read() if self.options.append else ""
        return self._appended(profile, text) if text.strip() else self.new_text(profile)

    def new_text(self, profile: Profile) -> str:
        profile = self._portable(profile)
        if self.options.drop_in and self.type == TYPE_SYSTEMD:
            return self.options.drop_in(profile)
        return format_profile(profile, self.type, self.name)

    def rescued_text(self, profile: Profile) -> str:
        """The text of a profile that could not be written: as YAML if a drop-in cannot say it."""
        try:
            return self.new_text(profile)
        except SpocError:
            return format_profile(portable_profile(profile, False) if self.options.portable else profile, TYPE_CRD,
                                  self.name)

    def allowed_before(self, name: str, when: Callable[[Iterable[bool]], bool] = any) -> bool:
        """Does the profile that is added to let this call pass?"""
        return self._before is not None and when(verdict.lets_pass for verdict in self._before.verdicts(name))

    def lets_start(self, profile: Profile) -> bool:
        """Does what is written let run start a program under it?"""
        return self.allowed_before("execve") or any(
            verdict.lets_pass for verdict in self._portable(profile).verdicts("execve"))

    def tell_portable(self, profile: Profile) -> None:
        text = self.target.read() if self.options.append else ""
        others = [name for rule in self._source(text).rules for name in names_in(rule)] if text.strip() else []
        tell_portable(profile, self._portable(profile, others))

    def _portable(self, profile: Profile, others: Iterable[str] = ()) -> Profile:
        return portable_profile(profile, self.type != TYPE_CRD, others) if self.options.portable else profile

    def _appended(self, profile: Profile, text: str) -> str:
        source = self._source(text)  # what it says of a sibling stands
        profile = self._portable(profile, [name for rule in source.rules for name in names_in(rule)])
        new, kept, added = append_profile(source, profile, container_host())
        text = format_changed(source, new)
        if kept:
            Log.warning(f"kept the other action that {self.target.path} has for: {', '.join(sorted(kept))}")
        self._added.update((name, rule.answer.text_for(name)) for rule in added.rules for name in rule.names)
        native = added.architectures[0]
        self._added_architectures |= added_architectures(added, source.profile, native) | native_to_add(
            source.profile, native)
        return text

    def tell_gaps(self, program: str, supervisor: Supervisor) -> None:
        """What the code of a program asks for that the profile lacks, where both are files; until a signal comes."""
        count = self.options.count_gaps if self.target.is_file and self.type != TYPE_SYSTEMD else None
        if count:
            with contextlib.suppress(KeyboardInterrupt), supervisor.interrupting():
                text = count(self.target.path, program)
                if text:
                    Log.info(text)

    def tell_added(self) -> bool:
        """List what was added to a profile that was there already; is any new?"""
        parts = [f"the architecture {name}" for name in sorted(self._added_architectures)]
        if self._added:
            count = count_of(len({name for name, _ in self._added}), "syscall", "syscalls")
            parts.insert(0, f"{count}: {', '.join(sorted(text for _, text in self._added))}")
        if self.adds:
            Log.info(f"Added {'; '.join(parts) or f'nothing to: {self.target.location()}'}")
        return bool(parts) or not self.adds

    def _source(self, text: str) -> LoadedProfile:
        """The profile in the file, which has to be of the right type."""
        source = self._parse(text)
        if self.type != source.type:
            raise ProfileError(self.target.path, 0, 0, f"is not of type {self.type}",
                               f"it is of type {source.type}: leave -t out")
        return source

    def write(self, profile: Profile, wait: bool = True) -> str:
        """Give the reason if it was not written: another is appending, for as long as there is time to `wait`."""
        with self.target.locked(wait) if self.options.append else contextlib.nullcontext(True) as free:
            if isinstance(self.target, RegistryTarget):
                push = self.target.write_in_time if wait else self.target.write_later
                push(self._text(profile))
            elif free:
                self.target.write(self._text(profile))
            return "" if free else "another process has its folder locked"

    def write_beside(self, profile: Profile, reason: str) -> None:
        """Write the profile beside what it cannot be added to, or must not replace."""
        path = self.target.path
        written = self._write_new(path, profile)
        import shlex  # which may fail, now that the profile is safe
        target, other = shlex.quote(path), shlex.quote(written)
        remedy = f"{PROGRAM} merge -o {target} {target} {other} adds it" if self.options.append else (
            f"mv {other} {target} replaces it")
        Log.error(SpocError("append to" if self.options.append else "write profile", path,
                            f"{reason}, so the profile went to {written}", remedy))

    def _write_new(self, path: str, profile: Profile, is_default: bool = False) -> str:
        """Write the profile to a file beside what stands at a path; give its path."""
        numbers = itertools.count(1)
        beside = path if is_default else f"{path}.{next(numbers)}"
        while os.path.lexists(beside):
            beside = f"{path}.{next(numbers)}"
        with Target(beside, self.target.owner, is_default) as target:
            target.write(self.new_text(profile))
        return beside

    def keep(self, profile: Profile) -> bool:
        """Have a profile that is to be pushed in a file until it is, whatever ends this process meanwhile; say whether
        it is there.
        """
        if not isinstance(self.target, RegistryTarget):
            return False
        place = self.target.reference
        stem = safe_file_name(f"{os.path.basename(place.repository)}-{place.tag}")
        name = stem + os.path.splitext(DEFAULT_OUTPUT[self.type])[1]
        failure: Exception | None = None
        for path in (self._kept,) if self._kept else (name, os.path.join("/tmp", name)):
            try:
                if self._kept:
                    with Target(path, self.target.owner, True) as target:
                        target.write(self.new_text(profile))
                else:
                    self._kept = self._write_new(path, profile, True)
                    Log.info(f"The profile is in {self._kept} until the registry has it")
                return True
            except (SpocError, OSError) as error:
                failure = failure or error
        Log.error(failure)
        return False

    def drop_kept(self) -> None:
        """The registry has the profile: remove the file."""
        if self._kept:
            with contextlib.suppress(OSError):
                os.unlink(self._kept)

    def tell_kept(self) -> None:
        """Say where the profile is, which could not be pushed, and how to push it."""
        import shlex
        assert isinstance(self.target, RegistryTarget)
        command = push_command(self._kept, self.target.reference, self.options.registries)
        if self.options.append:  # what is there stays
            command = shlex.join([PROGRAM, "merge", "-o", self.target.path, self.target.path, self._kept])
        Log.result(f"The profile is in {self._kept}; when the registry can be reached: {command}")


NO_RUNTIME = "no runtime can start a container under it: without -n and -b it allows what that takes"


def tell_no_start(options: RecordOptions, where: str) -> None:
    """Say that -n or -b leave out execve."""
    remedy = "add execve to -b" if options.base_syscalls else "-b execve allows it"
    effect = NO_RUNTIME if options.container or options.containers else (
        f"run cannot start a program under it: {remedy}")
    text = f"profile{where} does not allow execve, so {effect}"
    if options.base_syscalls:
        Log.warning(f"the {text}")
    else:
        Log.info(f"The {text}")


class RecordCommand:
    """One run of `record`."""

    STATUS_INTERVAL_S = 1.0
    where = ""  # in what is said of calls: in which container, where there are several

    def __init__(self, options: RecordOptions, command: Sequence[str]):
        """Check all that can be known to fail before the command is started."""
        self.options, self.command = options, command
        self.machine = this_machine()
        self.identity = None if options.privileged else sudo_identity(os.environ)
        self.base = choose_base(options)
        self.start_ns = 0  # differs from BPF's times in a time namespace: only differences are used
        self.written: Profile | None = None
        libseccomp.load()
        owner = (self.identity.uid, self.identity.gid) if self.identity else None
        self.output = RecordOutput(options, command[0], owner)
        self.target = self.output.target
        if self.output.adds and self.base is BASE_SYSCALLS and not options.purpose:
            self.base = [name for name in BASE_SYSCALLS if self.output.allowed_before(name, all)]

    def run(self) -> int:
        """Record; give the exit code."""
        if is_filtered():
            Log.info(f"{PROGRAM} itself is under a seccomp filter: calls of the command that it stops are not recorded")
        client = find_client(self.command, os.environ, self.options.follow)
        if client:
            Log.warning(client)
        self._announce_args()
        if self.identity:
            Log.info(f"Running as {self.identity.title}")
        with contextlib.ExitStack() as resources, Supervisor() as supervisor:
            resources.callback(self.target.close)
            check_command(self.command)
            recorder = self._open_recorder()
            resources.callback(recorder.close)
            if self.options.follow:
                libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
            supervisor.check()
            if recorder.filter and recorder.filter.no_new_privs:
                Log.info("Setting no_new_privs: set-uid programs will not change the user")
            child = resources.enter_context(Child(self.command, self.identity, supervisor, recorder.filter))
            status, failure = self._run_command(recorder, supervisor, child)
            complete = self._conclude(recorder, supervisor, status, failure)
        return exit_code(status) if complete else EXIT_FAILURE

    def _conclude(self, recorder: Recorder, supervisor: Supervisor, status: int, failure: Exception | None) -> bool:
        """Write what was recorded; say whether that is all. Raises SpocError if it is nothing, or the failure."""
        recorder.release_survivors("" if self.options.follow else FOLLOW)
        duration_ns = time.monotonic_ns() - self.start_ns
        recording = recorder.recording()
        if failure:
            recording = recording._replace(losses=(*recording.losses, "the recording was cut short"))
        if not recording.calls:
            tell_losses(() if failure else self._losses(recording))
            self._conclude_nothing(recording, status, failure)
        Log.info("Processing recorded data")
        Log.info(recorder.summary())
        complete = self._report(recording)
        if status:
            tell_status(status, self.identity, ": the profile lacks what would have come after", supervisor.requests)
            if not self.options.output_file:
                tell_misplaced(("-o", "--output-file"), self.command, ["record"])
        if not self.target.is_file:
            supervisor.restore()  # nobody may read the fifo that is waited for
        complete &= self._write(recording, supervisor)
        if self.options.stats:
            log_statistics(recording, duration_ns)
            self.output.tell_gaps(self.command[0], supervisor)
        if failure:
            raise failure
        if recorder.close_message:
            Log.info(recorder.close_message)
        return complete

    def _losses(self, recording: Recording) -> Sequence[str]:
        """Why the profile may lack something."""
        return recording.losses

    def _conclude_nothing(self, recording: Recording, status: int, failure: Exception | None) -> NoReturn:
        """Write nothing over what may be a good profile."""
        if failure:
            raise failure
        reason = START_UNSEEN
        if START_UNSEEN not in recording.losses or os.WIFSIGNALED(status):
            reason = f"it {describe_status(status)} before its first call was seen"
        raise SpocError("record", self.command[0], reason, self.target.untouched(),
                        exit_code(status) if os.WIFSIGNALED(status) else EXIT_FAILURE)

    def _open_recorder(self) -> Recorder:
        """A recorder that is ready for the command: BPF's or, where that does not work, the other."""
        options, watched, reason = self.options, self._watched(), ""
        if options.backend != "notify":
            recorder = BpfRecorder(self.machine, options.stats, watched=watched)
            try:
                return self._attach(recorder)
            except (SpocError, OSError) as error:
                recorder.close()
                if options.backend == "bpf":
                    raise
                reason = str(error)
        Log.info("Recording with user notification" + (reason and f": {reason}"))
        try:
            return NotifyRecorder(self.machine, options.stats, watched)
        except SpocError as error:
            if reason:
                raise SpocError("record", "this machine can do neither", f"--backend bpf: {reason}",
                                f"--backend notify: {error}") from None
            raise

    def _attach(self, recorder: BpfRecorder) -> BpfRecorder:
        Log.info("Loading bpf module")
        recorder.load()
        Log.info("Attaching bpf tracepoints")
        recorder.attach()
        Log.info("Module successfully loaded")
        if lacks_abis(recorder):
            Log.error(ABIS_UNTOLD)
        return recorder

    def _run_command(self, recorder: Recorder, supervisor: Supervisor,
                     child: Child) -> tuple[int, Exception | None]:
        """As Child.wait()."""
        cgroups = read_proc("self", "cgroup")
        self.start_ns = time.monotonic_ns()
        Log.info("Processing events")
        recorder.begin(child)
        child.wait_started(recorder.inputs())
        Log.info(f"Running command with PID: {child.pid}")
        log_container(child.pid, cgroups)
        alive = recorder.has_live_tasks if self.options.follow else None
        with self._shown(recorder, supervisor) as timers:
            return child.wait(recorder.inputs(), timers, alive)

    @contextlib.contextmanager
    def _shown(self, recorder: Recorder, supervisor: Supervisor) -> Iterator[list[Timer]]:
        """What to call while a recording is waited for. Its status is drawn, and cleared in the end; what there is is
        written before a signal that leaves no time.
        """
        status_line = StatusLine()
        supervisor.before_stop = status_line.clear
        if self.target.is_file:
            supervisor.before_kill = lambda: self._checkpoint(recorder)
        try:
            yield self._timers(recorder, status_line)
        finally:
            status_line.clear()

    def _timers(self, recorder: Recorder, status_line: StatusLine) -> list[Timer]:
        timers = []
        if self.options.follow:  # the end of a descendant in another pid namespace shows as no signal here
            timers.append(Timer(self.STATUS_INTERVAL_S, lambda: None))
        if os.isatty(2) and not Log.quiet:
            timers.append(Timer(self.STATUS_INTERVAL_S, lambda: status_line.draw(self._status(recorder))))
        if self.options.checkpoint:
            timers.append(Timer(self.options.checkpoint, lambda: self._checkpoint(recorder)))
        return timers

    def _watched(self) -> dict[tuple[int, int], int]:
        """(abi, number) -> index of the argument, for the names of --args."""
        watched = {}
        if self.options.args:
            for abi, architecture in enumerate((self.machine.native, self.machine.compat)):
                for number in range(NUMBERS):
                    name = syscall_name(architecture, number) if architecture else None
                    if name in self.options.args:
                        watched[abi, number] = ARGUMENTS[name]
        return watched

    def _announce_args(self) -> None:
        """Say before anything is recorded what --args will not narrow."""
        for name in sorted(set(self.base).intersection(self.options.args)):
            Log.warning(f"--args {name} will narrow nothing: it is one of the base syscalls; -n, or -b without it, "
                        "changes that")

    def _to_allow(self, recording: Recording) -> Recording:
        """What the profile is made of."""
        return recording

    def _make_profile(self, recording: Recording) -> Profile:
        return make_profile(self.machine, self._to_allow(recording), self.base)

    def _report_values(self, recording: Recording) -> None:
        """Say which syscalls were narrowed and, of the others that --args names, why not."""
        recording = self._to_allow(recording)
        narrowed = narrowed_values(recording, self.base)
        is_named = names_are_common(each.name for each in profile_architectures(self.machine, recording))
        for name, values in narrowed.items():
            texts = []
            for value in values:
                called = name_value(name, ARGUMENTS[name], value) if is_named else ""
                texts.append(f"{value:#x} ({called})" if called else f"{value:#x}")
            Log.info(f"Narrowed {name}{self.where} by argument {ARGUMENTS[name]}: {', '.join(texts)}")
        for name in sorted(recording.names.intersection(self.options.args) - narrowed.keys()):
            reason = ("it is one of the base syscalls: -n, or -b without it, narrows it" if name in self.base else
                      self._reason_not_narrowed(name))
            Log.warning(f"{name} is allowed{self.where} whatever its arguments: {reason}")
        unseen = sorted(set(self.options.args) - recording.names.union(self.base))
        if unseen:
            Log.warning(f"--args has narrowed nothing of what was not called{self.where}: {', '.join(unseen)}")
        for name in sorted({UNSEEN_ARGUMENTS.get(name, "") for name in self.options.args} & recording.names):
            Log.warning(f"{name} is allowed{self.where} whatever its arguments: they are in memory, where no filter "
                        "sees them")

    def _reason_not_narrowed(self, name: str) -> str:
        """Why a call that is no base syscall is not, though --args names it."""
        return f"more than {MAX_VALUES} values of argument {ARGUMENTS[name]}, or calls in another ABI"

    def _status(self, recorder: Recorder) -> str:
        seen = recorder.first_calls()
        now_ns = time.monotonic_ns()
        minutes, seconds = divmod((now_ns - self.start_ns) // 10 ** 9, 60)
        processes = recorder.processes()
        text = f"{minutes:d}:{seconds:02d}  " + (f"processes: {processes}  " if processes else "")
        text += f"syscalls: {len(seen)}"
        if seen:
            abi, number = newest = max(seen, key=seen.__getitem__)
            name = syscall_name(self.machine.architecture(abi, number), number) or f"number {number}"
            age_ns = now_ns - self.start_ns - seen[newest] + min(seen.values())
            text += f"  newest: {name}, {max(0, age_ns) // 10 ** 9} s ago"
        return text

    def _checkpoint(self, recorder: Recorder) -> None:
        """Write what there is, if there is more than at the last time: flash wears out."""
        recording = recorder.recording()
        profile = self._make_profile(recording)
        if profile == self.written or not recording.calls:
            return
        self.output.keep(profile)
        try:
            if not self.output.write(profile, wait=False):
                self.written = profile
        except SpocError as error:
            Log.error(error)

    def _report(self, recording: Recording) -> bool:
        """Say what was recorded, and whether it is all."""
        Log.info(f"Got syscalls: {', '.join(sorted(recording.names))}")
        added = sorted(name for name in set(self.base) - recording.names if not self.output.allowed_before(name))
        if added:
            Log.info(f"Adding base syscalls: {', '.join(added)}")
            if self.base is BASE_SYSCALLS:  # else the user has chosen them
                tell_base(added, bool(self.options.purpose or self.options.container))
        architectures = profile_architectures(self.machine, self._to_allow(recording))
        made = kernel_calls(architectures) - recording.names.union(self.base)
        if made:
            Log.info(f"Adding what the kernel makes by itself: {', '.join(sorted(made))}")
        self._report_start(recording)
        self._report_values(recording)
        return report_gaps(recording, self._to_allow(recording).calls)

    def _report_start(self, recording: Recording) -> None:
        """Say what the profile lacks for a start under it."""
        options, profile = self.options, self._make_profile(recording)
        left_out = sorted(set(choose_base(options)).difference(*(rule.names for rule in profile.rules)))
        if left_out:
            Log.info(f"Left out base syscalls that the profile{self.where} lacks: {', '.join(left_out)}; --for "
                     f"{FOR_CONTAINER} adds them")
        if (options.no_base_syscalls or options.base_syscalls) and not self.output.lets_start(profile):
            tell_no_start(options, self.where)

    def _write(self, recording: Recording, supervisor: Supervisor | None = None) -> bool:
        """Write the profile; if that fails it goes to standard error rather than being lost. A signal may end that
        where a registry is waited for.
        """
        profile = self._make_profile(recording)
        kept = self.output.keep(profile)
        try:
            try:
                with supervisor.interrupting() if supervisor and self.target.is_remote else contextlib.nullcontext():
                    if self.options.portable:
                        self.output.tell_portable(profile)
                    reason = self.output.write(profile)
            except ReplaceError as error:  # it has come there during the recording
                reason = error.reason
            if not reason:
                if self.output.tell_added():
                    Log.info(f"Wrote seccomp profile to: {self.target.location()}")
                self.output.drop_kept()
                return True
            self.output.write_beside(profile, reason)
        except KeyboardInterrupt as interrupt:
            Log.error(SpocError("push", self.target.path, f"ended by {signal_name(*interrupt.args)}"))
            self._save(profile, kept)
        except (SpocError, OSError) as error:
            Log.error(error)
            self._save(profile, kept)
        except Exception:  # whatever it is, what was recorded is not lost
            self._save(profile, kept)
            raise
        return False

    def _save(self, profile: Profile, kept: bool) -> None:
        """Show where the profile is that could not be written, or what is in it."""
        if kept:
            self.output.tell_kept()
        else:
            Log.table(self.output.rescued_text(profile))


class BlockedCalls:
    """The calls that filters stop of what is recorded: they reach no sys_enter, and so are in no recording.

    What a supervisor or a tracer answered is none of them. Where a task is under more filters than were in force at the
    beginning, a program has loaded one itself, as sandboxes do: what is stopped only there is told apart.
    """

    def __init__(self, watcher: ScopeWatcher, filters: int):
        """`filters`: how many are in force; 0 if that is not known, and nothing is told apart."""
        self._watcher, self._filters = watcher, filters
        self._told: dict[tuple[Architecture, int, int], float] = {}  # see blocked_call_of()

    def join(self) -> None:
        self._watcher.join()

    def inputs(self) -> InputHandlers:
        """What has to be served from join() on."""
        return {self._watcher.descriptor: self.read}

    def read(self) -> None:
        self._note(self._watcher.read())

    def finish(self) -> list[str]:
        """Take what is not read yet; say why that may not be all."""
        self._note(self._watcher.finish())
        return self._watcher.losses()

    def _note(self, denials: Iterable[Denial]) -> None:
        for denial in denials:
            self._told.update(blocked_call_of(denial))

    def _calls(self) -> tuple[set[tuple[Architecture, int]], set[tuple[Architecture, int]]]:
        """What the filters that are in force stop, and what is only known to be stopped where there are more."""
        calls: set[tuple[Architecture, int]] = set()
        others: set[tuple[Architecture, int]] = set()
        for architecture, number, filters in self._told:
            (others if 0 < self._filters < filters else calls).add((architecture, number))
        return calls, others - calls

    def calls(self) -> list[Call]:
        """Those so far; their arguments are not known."""
        return [Call(architecture, number, syscall_name(architecture, number), 0)
                for architecture, number in sorted(self._calls()[0])]

    def names(self) -> set[str]:
        return {call.name for call in self.calls() if call.name}

    def names_of_others(self) -> set[str]:
        """Those which a filter may have stopped that a program has loaded itself."""
        return {syscall_name(architecture, number) or "" for architecture, number in self._calls()[1]} - {""}


def blocked_call_of(denial: Denial) -> dict[tuple[Architecture, int, int], float]:
    """The call, and how many filters the task is under; when that is told, in seconds since the machine started.

    Nothing of what no filter has stopped.
    """
    if not denial.other_owner or not outcome_of(denial).is_blocked:
        return {}
    return {(denial.architecture, denial.number, count_filters(denial.tid)): boot_time_s()}


def place_of(pid: int) -> tuple[int, int, str] | None:
    """Device and inode of the pid namespace that a process is in, and the short id of its container, "" if it is in
    none by its control groups; None if it has ended.
    """
    namespace = pid_namespace_of(pid)
    kind, owner = owner_of(read_proc(pid, "cgroup"))
    if namespace is None or has_ended(pid):  # looked at last: of a task that ends, cgroup says / (proc_cgroup_show())
        return None
    return (*namespace, owner if kind == "container" else "")


class BlockedInContainers:
    """The same of all containers, apart by the pid namespace that a process is in, and by its control groups where
    containers share one: for those that are yet to start.
    """

    MAX_PROCESSES = 65536
    KEPT_S = 60  # for which calls are kept whose container may be named yet

    def __init__(self, watcher: ScopeWatcher, note_quiet: Callable[[], None]):
        """The watcher has to be of the whole machine; `note_quiet` is that of the recorder of these containers."""
        self._watcher, self._note_quiet = watcher, note_quiet
        self._places: dict[int, tuple[int, int, str]] = {}  # of processes that have joined
        # By place, if that is still known, and by the process that all who made them descend from: the calls, see
        # blocked_call_of().
        self._calls: dict[tuple[int, int, str] | int, dict[tuple[Architecture, int, int], float]] = {}
        self._containers: list[BlockedInContainer] = []  # that have not ended
        self._machine = pid_namespace_of("self")
        self._has_lost = False

    def join(self) -> None:
        self._watcher.join()

    def inputs(self) -> InputHandlers:
        """What has to be served from join() on."""
        return {self._watcher.descriptor: self.read}

    def read(self) -> None:
        denials = self._watcher.read()
        if max(len(self._places), len(self._calls)) > self.MAX_PROCESSES:
            self._make_room()
        for pid in self._watcher.joined:
            place = place_of(pid)
            self._places.pop(pid, None)  # of another, which had the id before
            if place:
                self._places[pid] = place
        self._watcher.joined.clear()
        for denial in denials:
            call = blocked_call_of(denial)
            if call:
                self._calls.setdefault(denial.origin, {}).update(call)
                place = self._place_of_denial(denial)
                if place:
                    self._calls.setdefault(place, {}).update(call)
        self._note_quiet()

    def _place_of_denial(self, denial: Denial) -> tuple[int, int, str] | None:
        """None if it is not known, or is none of a container's: what descends from a process of the machine has not
        executed the container's program yet, whose origin is its own (TASK_OUTSIDE in recorder.bpf.c).
        """
        place, home = place_of(denial.tgid), self._places.get(denial.origin)
        if place and place[:2] != self._machine and (home and home[:2] == self._machine or is_entering(denial.tgid)):
            return None
        return place or home

    def _make_room(self) -> None:
        """Let go of what no container needs, as most processes have ended; of one that has not /proc tells."""
        self._places.clear()
        needed = {place for container in self._containers for place in container.places()}
        since_s = boot_time_s() - self.KEPT_S
        recent = {place for place, calls in self._calls.items() if max(calls.values()) > since_s} - needed
        if len(recent) > self.MAX_PROCESSES // 2:
            self._has_lost = True
            recent.clear()
        self._calls = {place: calls for place, calls in self._calls.items() if place in needed or place in recent}

    def of_container(self, container: StartedContainer) -> BlockedInContainer:
        """What is stopped in one that has started.

        Its namespace may have the inode of an earlier one's: what was told of before its first process was there is
        not its.
        """
        pid = container.pid
        start = start_time(pid)
        start_s = start / os.sysconf("SC_CLK_TCK") if start >= 0 else max(since_s for _, since_s
                                                                          in container.entered.values())
        place = place_of(pid) or self._places.get(pid)
        places = [place, (place[0], place[1], "")] if place else []  # without an id it is not known to be another's
        found = BlockedInContainer(self, container, places, start_s, count_filters(pid))
        self._containers.append(found)
        return found

    def calls_in(self, place: tuple[int, int, str] | int,
                 start_s: float) -> dict[tuple[Architecture, int, int], float]:
        """What was told of since then."""
        return {call: told_s for call, told_s in self._calls.get(place, {}).items() if told_s >= start_s}

    def take(self, pid: int, since_s: float) -> dict[tuple[Architecture, int, int], float]:
        """What was told since then of what descends from a process, all of which has ended: another may get its id."""
        self.read()
        calls = self.calls_in(pid, since_s)
        self._calls.pop(pid, None)
        return calls

    def forget(self, container: BlockedInContainer) -> None:
        """It has ended: another's namespace may have this inode later."""
        self._containers.remove(container)
        for place in container.places():
            self._calls.pop(place, None)

    def losses(self) -> list[str]:
        lost = ["blocked calls of more processes than there is room for"] if self._has_lost else []
        return self._watcher.losses() + lost


class BlockedInContainer(BlockedCalls):
    """What is stopped in one of these."""

    def __init__(self, containers: BlockedInContainers, container: StartedContainer,
                 places: Iterable[tuple[int, int, str]], start_s: float, filters: int):
        self._containers, self._container, self._filters = containers, container, filters
        self._start_s: dict[tuple[int, int, str] | int, float] = dict.fromkeys(places, start_s)
        self._of_ended: dict[tuple[Architecture, int, int], float] = {}  # programs
        container.on_leave = self._leave

    def _leave(self, pid: int, since_s: float) -> None:
        self._of_ended.update(self._containers.take(pid, since_s))

    def places(self) -> dict[tuple[int, int, str] | int, float]:
        """Where it is, and since when: what enters it from outside, as `exec` of an engine does, may have ended before
        its own place could be looked at.
        """
        places: dict[tuple[int, int, str] | int, float] = dict(self._container.entered.values())
        places.update(self._start_s)
        return places

    def read(self) -> None:
        self._containers.read()

    def finish(self) -> list[str]:
        self.read()
        return self._containers.losses()

    def _calls(self) -> tuple[set[tuple[Architecture, int]], set[tuple[Architecture, int]]]:
        self._told = dict(self._of_ended)
        for place, start_s in self.places().items():
            self._told.update(self._containers.calls_in(place, start_s))
        return super()._calls()

    def forget(self) -> None:
        self._containers.forget(self)


class FilteredCommand(RecordCommand):
    """One run of `record` of what may be under a filter."""

    blocked: BlockedCalls | None = None

    def _open_watcher(self, scope: Scope, resources: contextlib.ExitStack) -> ScopeWatcher | None:
        """None where it cannot be watched, which is said."""
        try:
            watcher = open_scope_watcher(self.machine, scope)
        except KernelError as error:
            Log.warning(f"what the filter that is in force stops is not named: {error.operation}: {error.reason}")
            return None
        resources.callback(watcher.close)
        return watcher

    def _watch_containers(self, recorder: StartRecorder,
                          resources: contextlib.ExitStack) -> BlockedInContainers | None:
        watcher = self._open_watcher(WholeMachine(), resources)
        if watcher is None:
            return None
        containers = BlockedInContainers(watcher, recorder.note_quiet)
        containers.join()
        return containers

    def _to_allow(self, recording: Recording) -> Recording:
        if not (self.blocked and self.options.with_blocked):
            return recording
        return recording._replace(calls=(*recording.calls, *self.blocked.calls()))

    def _reason_not_narrowed(self, name: str) -> str:
        if self.blocked and self.options.with_blocked and name in self.blocked.names():
            return "with what arguments a filter blocked it is not known"
        return super()._reason_not_narrowed(name)

    def _losses(self, recording: Recording) -> Sequence[str]:
        return (*recording.losses, *self._finish_blocked(recording))

    def _report(self, recording: Recording) -> bool:
        return super()._report(recording._replace(losses=tuple(self._losses(recording))))

    def _finish_blocked(self, recording: Recording) -> list[str]:
        """Say what the filter stopped; give why the profile lacks some of it, if it was to have all."""
        if not self.blocked:
            return []
        losses = self.blocked.finish()
        self._report_blocked(recording, self.blocked)
        if self.options.with_blocked:
            return losses
        for loss in losses:
            Log.warning(f"not all that the filter stopped may be named: {loss}")
        return []

    def _report_blocked(self, recording: Recording, blocked: BlockedCalls) -> None:
        """Say what it stopped, and whether the profile allows that."""
        names = sorted(blocked.names())
        allowed = make_profile(self.machine, recording, self.base).rules[0].names  # whatever their arguments
        added = [name for name in names if name not in allowed]
        if not recording.calls:
            end = ""  # there will be no profile
        elif not added:
            end = "; the profile allows all of that"
        elif self.options.with_blocked:
            end = "; added to the profile"
        else:
            pronoun = "it" if len(names) == 1 else "them"
            end = f"; --with-blocked adds {pronoun if added == names else ', '.join(added)}"
        if names:
            Log.info(f"Blocked meanwhile{self.where} by the filter that is in force: {', '.join(names)}{end}")
        others = sorted(blocked.names_of_others() - set(allowed))
        if others:
            Log.info(f"Blocked{self.where} where a program has loaded a filter of its own, and perhaps by that: "
                     f"{', '.join(others)}; not added: -b {','.join(others)} does that")
        if not self.options.with_blocked:  # else they make the profile incomplete
            for reason in describe_nameless({(call.architecture, call.number)
                                             for call in blocked.calls() if not call.name}):
                Log.info(f"Blocked as well{self.where}: {reason}")


class AttachCommand(FilteredCommand):
    """One run of `record` of what runs already."""

    MAX_COMMAND = 200  # characters of a command line that is repeated in a message

    def __init__(self, options: RecordOptions, scope: Scope):
        self.scope = scope
        super().__init__(options, [scope.name])

    def _completion(self) -> str:
        """How to add the start to the profile."""
        import shlex
        options = self.options
        if self.output.type == TYPE_SYSTEMD:
            return "record YAML, add the start with --append, and convert -t systemd"
        if not self.target.is_file:
            return f"record it into another file, and {PROGRAM} merge both"
        words = [PROGRAM, "record", *self._repeated_options(), "--append", "-o", self.target.path]
        if options.container:
            end = f" without --pid: else only {PROGRAM} hook sees it" if isinstance(self.scope, ControlGroup) else ""
            return f"stop the container, type {shlex.join([*words, '--container', self.scope.name])}, and start it{end}"
        if options.no_proc_start:
            return f"stop the program, type {shlex.join([*words, '--no-proc-start', self.scope.name])}, and start it"
        if options.unit:
            return f"have the unit's ExecStart= call {shlex.join(words)}, see examples/systemd, and restart the unit"
        command = shlex.join(self.scope.command)
        if not command or len(command) > self.MAX_COMMAND:
            return "record it and add it with --append"
        return f"stop it, and type {shlex.join(words)} -- {command}"

    def _repeated_options(self) -> list[str]:
        """Those that say what the profile allows."""
        options = self.options
        words = ["-n"] if options.no_base_syscalls else []
        words += ["-b", ",".join(options.base_syscalls)] if options.base_syscalls else []
        words += ["--for", options.purpose] if options.purpose else []
        words += ["--args", ",".join(options.args)] if options.args else []
        words += ["--portable"] if options.portable else []
        return words + (["-t", options.type] if options.type else [])

    def _watch_filters(self, resources: contextlib.ExitStack) -> None:
        """Hear of what filters stop, where there is a filter."""
        tasks = [tid for tid in self.scope.tasks() if proc_status(tid).get("Seccomp") == SECCOMP_MODE_FILTER]
        watcher = self._open_watcher(self.scope, resources) if tasks else None
        if watcher:
            self.blocked = BlockedCalls(watcher, min(filter(None, map(count_filters, tasks)), default=0))

    def run(self) -> int:
        """Record until the last task has ended, or a signal asks to stop; give the exit code."""
        self._announce_args()
        with contextlib.ExitStack() as resources, Supervisor(has_command=False) as supervisor:
            resources.callback(self.target.close)
            recorder = ScopeRecorder(self.machine, self.scope, self.options.stats, self._watched())
            resources.callback(recorder.close)
            self._attach(recorder)
            self._watch_filters(resources)
            supervisor.check()
            self.start_ns = time.monotonic_ns()
            if self.blocked:
                self.blocked.join()
            tasks = recorder.join()
            Log.info(f"Recording {count_of(tasks, 'task', 'tasks')}: {self.scope.title}")
            if isinstance(self.scope, NamedProcesses) and not tasks:
                Log.info(self.scope.describe_others())
            if self.scope.is_open_ended:
                Log.info("Those that start from now on are recorded as well, until SIGINT or SIGTERM")
            failure = self._wait(recorder, supervisor)
            if tasks and not self.output.adds:  # else it may be there already
                Log.info(f"The start was not seen: to have it in the profile as well, {self._completion()}")
            complete = self._conclude(recorder, supervisor, 0, failure)
        return 0 if complete else EXIT_FAILURE

    def _wait(self, recorder: ScopeRecorder, supervisor: Supervisor) -> Exception | None:
        """Give what has made waiting fail."""
        Log.info("Processing events")
        is_over = (lambda: False) if self.scope.is_open_ended else lambda: not recorder.has_live_tasks()
        inputs = {**recorder.inputs(), **(self.blocked.inputs() if self.blocked else {})}
        try:
            with self._shown(recorder, supervisor) as timers:
                supervisor.wait_until(is_over, timers, inputs)
            return None
        except Exception as error:
            return error

    def _conclude_nothing(self, recording: Recording, status: int, failure: Exception | None) -> NoReturn:
        if failure:
            raise failure
        raise SpocError("record", self.scope.title, "no call was made meanwhile",
                        self.target.untouched())


MAX_STATE_BYTES = 4 << 20  # Kubernetes permits 256 KiB of annotations
HOOK_STAGES = "have an OCI runtime call this as its hook for createRuntime or prestart"
RECORD_ANNOTATION, TRACE_ANNOTATION = "io.spoc.record", "io.containers.trace-syscall"


class ContainerState(NamedTuple):
    """What a runtime tells a hook of a container (runtime.md#state of the OCI runtime specification)."""

    identifier: str
    pid: int
    annotations: dict[str, str]


def read_state() -> ContainerState:
    """The state on standard input, of which nothing is trusted."""
    import json
    import re
    try:
        with open(0, "rb", closefd=False) as file:
            data = file.read(MAX_STATE_BYTES + 1)
        if len(data) > MAX_STATE_BYTES:
            raise ValueError
        document = json.loads(data)
        identifier, pid, annotations = document["id"], document["pid"], document.get("annotations") or {}
        for text in annotations.values():
            str.encode(text)  # which lone surrogates of JSON cannot be
        is_name = re.fullmatch(r"[A-Za-z0-9_+.-]{1,200}", identifier) and identifier.strip(".")
        if type(pid) is not int or not 0 < pid < 1 << 31 or not is_name:
            raise ValueError
        status = document.get("status")
    except (OSError, ValueError, RecursionError, LookupError, TypeError, AttributeError):
        raise SpocError("read state", "standard input", "is not the state of a container, with id and pid",
                        HOOK_STAGES) from None
    if status in ("running", "stopped"):
        raise SpocError("record", f"container {identifier}", f"it is {status}: its start is over", HOOK_STAGES)
    return ContainerState(identifier, pid, annotations)


class HookOptions(NamedTuple):
    """The options of `hook`."""

    type: str = ""
    output_file: str = ""
    base_syscalls: tuple[str, ...] = ()
    no_base_syscalls: bool = False


class HookRequest(NamedTuple):
    """What is to be recorded of a container: absolute paths."""

    source: str  # what says so
    output: str
    input: str = ""  # a profile that is added to; "" for none
    type: str = ""
    is_new: bool = False  # what is there already is another's, and must not be replaced


def parse_trace(text: str) -> tuple[str, str]:
    """OUT and IN of the annotation of oci-seccomp-bpf-hook: of:OUT and if:IN, in any order, IN may be missing."""
    paths: dict[str, str] = {}
    for part in text.split(";"):
        key, _, path = part.partition(":")
        if key not in ("of", "if") or key in paths:
            raise SpocError("read annotation", TRACE_ANNOTATION, f"{text}: is not of:OUT or of:OUT;if:IN")
        paths[key] = path.strip()
    return paths.get("of", ""), paths.get("if", "")


def is_absolute(path: str) -> bool:
    """Is it a path that is the same in every working folder, and that a message can show?"""
    return path.startswith("/") and path.isprintable()


def request_of(state: ContainerState, options: HookOptions) -> HookRequest | None:
    """What annotations ask for, else the options; None where that is nothing."""
    if RECORD_ANNOTATION in state.annotations and TRACE_ANNOTATION in state.annotations:
        raise SpocError("read annotation", TRACE_ANNOTATION, f"{RECORD_ANNOTATION} names a file, too", "remove one")
    if TRACE_ANNOTATION in state.annotations:
        output, source = parse_trace(state.annotations[TRACE_ANNOTATION])
        return confine(HookRequest(TRACE_ANNOTATION, output, source, options.type or TYPE_JSON), state, options)
    if RECORD_ANNOTATION in state.annotations:
        request = HookRequest(RECORD_ANNOTATION, state.annotations[RECORD_ANNOTATION].replace("%i", state.identifier))
    elif options.output_file:
        request = HookRequest("-o", options.output_file.replace("%i", state.identifier))
    else:
        return None
    file_type = options.type or type_of_name(request.output) or TYPE_CRD
    return confine(request._replace(type=file_type), state, options)


def folder_of(path: str) -> str:
    """The folder that the file of an absolute path is in; of two paths the same, however each is spelled."""
    return os.path.dirname("/" + os.path.normpath(path).lstrip("/"))


def confine(request: HookRequest, state: ContainerState, options: HookOptions) -> HookRequest:
    """Raise SpocError for paths that are not absolute and, with -o, for those of an annotation outside its folder.

    There may be subfolders for others, as that of `record --containers --append`.
    """
    for path in (request.output, request.input or request.output):
        if not is_absolute(path):
            raise SpocError("read annotation", request.source, f"{path or 'nothing'}: is not an absolute path",
                            "give one")
    if request.source == "-o" or not options.output_file:
        return request
    folder = folder_of(options.output_file.replace("%i", state.identifier))
    for path in (request.output, request.input or request.output):
        if ".." in path.split("/") or folder_of(path) != folder:
            raise SpocError("read annotation", request.source, f"{path}: is not in {folder}, where -o has profiles go",
                            "name a file there")
    return request._replace(is_new=state.identifier not in os.path.basename(request.output))


class HookCommand:
    """One run of `hook`, for a container that is to be recorded."""

    ARMED = b"armed"  # what the recorder's process says; anything else is why it cannot

    def __init__(self, options: HookOptions, state: ContainerState, request: HookRequest):
        self.state, self.request = state, request
        self.base = options.base_syscalls or (() if options.no_base_syscalls else BASE_SYSCALLS)
        self.title = f"container {state.identifier}"
        self._answers = -1  # where the recorder's process says that it is armed, until it is

    def run(self) -> int:
        """Return when the recorder is armed. Raises SpocError if it cannot be."""
        answers, self._answers = os.pipe()
        if not os.fork():
            try:
                self._record()
            except BaseException as error:
                self._fail(error)
            finally:
                os._exit(0)
        close(self._answers)
        with open(answers, "rb") as file:
            answer = file.read()
        if answer != self.ARMED:
            raise SpocError("record", self.title, answer.decode(errors="replace") or "its recorder has ended")
        return 0

    def _fail(self, error: BaseException) -> None:
        """Tell who started the recorder or, if that has gone on already, the system's log."""
        text = refusal_text(error) if isinstance(error, OSError) else str(error)
        if not isinstance(error, (SpocError, OSError)):
            text = f"{type(error).__name__}: {error}"
        try:
            write_all(self._answers, text.encode(errors="backslashreplace"))
        except OSError:
            Log.error(text)

    def _say_armed(self) -> None:
        """Let the runtime go on. Raises OSError if it has given up waiting."""
        write_all(self._answers, self.ARMED)
        close(self._answers)
        self._answers = -1

    def _record(self) -> None:
        """The recorder's process, from its fork to its end."""
        self._detach()
        if in_user_namespace() or not may_load_bpf():
            raise KernelError("record", "without root", "its hooks cannot use BPF",
                              f"let root record it: {PROGRAM} record --containers -o FOLDER")
        import_now("array", "bisect", "json", "re", "syslog")
        libseccomp.load()
        machine = this_machine()
        try:
            owner = namespace_owner(self.state.pid)
        except OSError as error:
            raise KernelError("attach to", f"process {self.state.pid}", error) from None
        identity = None if owner == os.geteuid() else identity_of(owner)
        run_as(identity, self._check)
        with ContainerRecorder(machine, self.state.pid) as recorder, Supervisor(has_command=False) as supervisor:
            recorder.load()
            recorder.attach()
            self._say_armed()
            if lacks_abis(recorder):
                Log.error(f"{self.title}: {ABIS_UNTOLD}")
            cut: tuple[str, ...] = ()
            try:
                recorder.wait(supervisor)
            except OSError as error:
                cut = (f"the recording was cut short: {refusal_text(error)}",)
            recording = recorder.recording()
        if identity:
            drop_privileges(identity, False)
        self._conclude(machine, recording._replace(losses=(*recording.losses, *cut)))

    def _detach(self) -> None:
        """Hold nothing of who called: a runtime waits for the end of its hooks' standard output and error."""
        os.setsid()
        os.chdir("/")
        null = os.open("/dev/null", os.O_RDWR)
        for descriptor in range(3):
            os.dup2(null, descriptor)
        for name in os.listdir("/proc/self/fd"):
            if int(name) > 2 and int(name) != self._answers:
                close(int(name))
        Log.to_syslog = True

    @contextlib.contextmanager
    def _target(self) -> Iterator[Target]:
        """Where the profile goes. Raises SpocError if what stands there must not be replaced."""
        request = self.request
        with Target(request.output, option=request.source, any_content=request.is_new) as target:
            target.require_file()
            if request.is_new and target.exists():
                raise SpocError("write profile", target.path, "it is there already, and may be another container's",
                                "remove it, or name one with %i, the container's id")
            yield target

    def _check(self) -> None:
        """Raise what writing would raise, as far as that can be known. Only a profile is replaced."""
        with self._target() as target:
            target.check()
            target.read()  # refuses a link, and what is another user's
        self._text(Profile(SCMP_ACT_ERRNO, (), ()))

    def _text(self, profile: Profile) -> str:
        """The profile's text, joined with that of the input."""
        request, name = self.request, kubernetes_name(self.state.identifier)
        if not request.input:
            return format_profile(profile, request.type, name)
        source = read_profile(request.input, container_host(), follow=False, other=f"name another in {request.source}")
        new, kept, _ = append_profile(source, profile, container_host())
        if kept:
            Log.info(f"{self.title}: kept the other action that {request.input} has for: {', '.join(sorted(kept))}")
        text = format_changed(source, new)
        if source.type == request.type:
            return text
        return format_profile(parse_profile(text, request.input, container_host()).profile, request.type, name)

    def _conclude(self, machine: Machine, recording: Recording) -> None:
        """Write what was recorded."""
        path = self.request.output
        if not recording.calls:
            tell_losses(recording.losses, f"{self.title}: ")
            with self._target() as target:
                raise SpocError("record", self.title, "it has ended before its program made a call", target.untouched())
        nameless = {(call.architecture, call.number) for call in recording.calls if not call.name}
        for reason in [*recording.losses, *describe_nameless(nameless)]:
            Log.error(f"{self.title}: the profile is incomplete: {reason}")
        try:
            with self._target() as target:
                text = self._text(make_profile(machine, recording, self.base))
                target.write(text)
        except SpocError:
            Log.error(f"{self.title}: got syscalls: {', '.join(sorted(recording.names))}")
            raise
        written = parse_profile(text, path, container_host()).profile
        if not any(verdict.lets_pass for verdict in written.verdicts("execve")):
            Log.info(f"{self.title}: the profile does not allow execve, so {NO_RUNTIME}")
        Log.info(f"{self.title}: wrote seccomp profile to: {path}")


FILE_NAME_LENGTH = 200  # of 255 that most file systems take


def safe_file_name(name: str) -> str:
    """A container's name as that of a file: nothing in it leads elsewhere, hides the file, or looks like an option."""
    safe = "".join(character if character in LETTERS + LETTERS.upper() + DIGITS + "_.-" else "-" for character in name)
    return safe.lstrip(".-")[:FILE_NAME_LENGTH] or "container"


def describe_unrecorded(programs: int) -> str:
    return (f"{count_of(programs, 'program has', 'programs have')} started in containers unrecorded so far: more than "
            f"{GROUPS} containers and programs started in them from outside at a time, or more than {MAX_OTHERS} that "
            "belong to other users")


def describe_container(container: StartedContainer) -> str:
    """Name, short id and pid of a container that has started; what there is instead where it has no id."""
    if container.identifier:
        short = container.identifier[:12]
        name = quoted(container.name)
        text = name if container.name == container.identifier else f"{name} ({short})"
        return f"{text}, PID {container.pid}"
    text = f"{quoted(container.name)} ({container.comm})"
    if container.mount_namespace:
        return f"{text}, which ended before it could be named, in mount namespace {container.mount_namespace}"
    return text


OTHER_PIDS = "a start with --pid host, or another container's, is not seen"


class AwaitCommand(FilteredCommand):
    """One run of `record` of a container that does not run yet, from its program's first call on."""

    def __init__(self, options: RecordOptions):
        super().__init__(options, [options.container])
        self.found: StartedContainer | None = None
        self._lost = 0  # programs that have started unrecorded, as far as that was said
        self._all_blocked: BlockedInContainers | None = None

    def run(self) -> int:
        """Wait for it, record it until it ends, or a signal asks to stop; give the exit code."""
        with contextlib.ExitStack() as resources, Supervisor(has_command=False) as supervisor:
            resources.callback(self.target.close)
            recorder = StartRecorder(self.machine, self.options.stats, self._watched())
            resources.callback(recorder.close)
            self._attach(recorder)
            self._all_blocked = self._watch_containers(recorder, resources)
            supervisor.check()
            recorder.on_start = lambda container: self._examine(recorder, container)
            recorder.begin_all()
            running = begun_containers()
            recorder.serve()
            scope = self._started_before(recorder, running)
            if scope:
                supervisor.check()
            else:
                failure = self._wait(recorder, supervisor, running)
                complete = self._conclude_waiting(recorder, supervisor, failure)
        if not scope:
            return 0 if complete else EXIT_FAILURE
        try:
            return AttachCommand(self.options, scope).run()
        except NoTasksError:  # it has ended meanwhile
            return AwaitCommand(self.options).run()

    def _started_before(self, recorder: StartRecorder, running: Sequence[RunningContainer]) -> Scope | None:
        """Where it is, if it has started before all was recorded, and has not ended again."""
        name = self.options.container
        container = find_container(name, running)
        if self.found or not container:
            return None
        time.sleep(recorder.EXEC_S)  # /proc shows an exec before it is announced
        recorder.serve()
        if self.found:
            return None
        try:
            return container_scope(name)
        except SpocError:
            if find_container(name, begun_containers()) == container:
                raise
            return None  # another has started since, which is recorded

    def _conclude_waiting(self, recorder: StartRecorder, supervisor: Supervisor, failure: Exception | None) -> bool:
        """As _conclude()."""
        if self.found:
            return self._conclude(self.found, supervisor, 0, failure)
        if failure:
            raise failure
        name, lost, hint = self.options.container, recorder.counters().groups_lost, OTHER_PIDS
        reason = "it has not started" + (f", as far as was seen: {describe_unrecorded(lost)}" if lost else "")
        if find_container(name, begun_containers()):
            reason, hint = "it runs, but its start was not seen", f"{hint}; type the same again to record it as it runs"
        raise SpocError("record", f"container {name}", reason, f"{self.target.untouched()}; {hint}")

    def _examine(self, recorder: StartRecorder, container: StartedContainer) -> None:
        """Is a container that has started the one?"""
        wanted = self.options.container
        if not self.found and (wanted == container.name or has_id(wanted, container.identifier, container.maker)):
            self.found = container
            if self._all_blocked:
                self._all_blocked.read()
                self.blocked = self._all_blocked.of_container(container)
            self.start_ns = time.monotonic_ns()
            Log.info(f"Recording container {describe_container(container)}")
        if self.found:
            recorder.keep_only(self.found)

    def _wait(self, recorder: StartRecorder, supervisor: Supervisor,
              running: Sequence[RunningContainer]) -> Exception | None:
        """Give what has made waiting fail."""
        Log.info("Processing events")
        if not self.found:
            name = self.options.container
            is_short = len(name) < SHORT_ID_LENGTH and not name.strip(DIGITS + "abcdef")
            hint = f"if that is an id, type {SHORT_ID_LENGTH} of its digits; " if is_short else ""
            Log.info(f"Waiting for container {name}; {hint}{OTHER_PIDS}; {describe_running(name, running)}")
        try:
            supervisor.wait_until(lambda: bool(self.found), (), self._inputs(recorder))
            if self.found:
                self._wait_for_end(recorder, supervisor, self.found)
            return None
        except Exception as error:
            return error

    def _wait_for_end(self, recorder: StartRecorder, supervisor: Supervisor, found: StartedContainer) -> None:
        with self._shown(found, supervisor) as timers:
            supervisor.wait_until(lambda: not found.has_live_tasks(), timers, self._inputs(recorder))

    def _inputs(self, recorder: StartRecorder) -> InputHandlers:
        def serve() -> None:
            recorder.serve()
            lost = recorder.counters().groups_lost
            if not self.found and lost >= 2 * self._lost + 1:
                self._lost = lost
                Log.warning(f"The container may have started unseen: {describe_unrecorded(lost)}")
        return {**dict.fromkeys(recorder.inputs(), serve), **(self._all_blocked.inputs() if self._all_blocked else {})}

    def _conclude_nothing(self, recording: Recording, status: int, failure: Exception | None) -> NoReturn:
        if failure:
            raise failure
        raise SpocError("record", f"container {self.options.container}", "it made no call",
                        self.target.untouched())


class ContainerCommand(FilteredCommand):
    """The part of a `record --containers` that is about one container."""

    def __init__(self, options: RecordOptions, container: str):
        super().__init__(options, [container])
        self.where, self._whose = f" in container {quoted(container)}", f" of container {quoted(container)}"

    def conclude(self, recorder: StartedContainer) -> bool:
        """Write its profile, if it did anything; say whether that is all."""
        recorder.release_survivors()
        recording = recorder.recording()
        complete = report_gaps(recording._replace(losses=tuple(self._losses(recording))),
                               self._to_allow(recording).calls, self._whose)
        if recording.calls:
            self._report_start(recording)
            self._report_values(recording)
            complete &= self._write(recording)
            if self.options.stats:
                log_statistics(recording, time.monotonic_ns() - self.start_ns)
        return complete


MAX_TAG = 128  # characters, distribution-spec


def container_tag(name: str, node: str) -> str:
    """The tag of a container's profile: CONTAINER-NODE, as a registry takes it."""
    tag = "".join(character if character in LETTERS + LETTERS.upper() + DIGITS + "_.-" else "-"
                  for character in f"{name}-{node}")
    if len(tag) > MAX_TAG:
        tag = f"{tag[:MAX_TAG - 17]}-{sha256_of(tag.encode())[-16:]}"
    return tag if tag[0] not in ".-" else "_" + tag[1:]


class ContainerPushes:
    """The way of the profiles of `record --containers` to a registry: by files, so that nothing is lost on it."""

    def __init__(self, options: RecordOptions):
        """Make a folder for them. Raises SpocError, also if the registry cannot be reached."""
        reference = parse_reference(options.output_file)
        if options.output_file != OCI_SCHEME + reference.place:
            raise UsageError(f"-o {options.output_file}", "the tag of each profile is CONTAINER-NODE",
                             f"-o {OCI_SCHEME}{reference.place}")
        if options.append:
            raise UsageError("--append", "does not go with --containers and a registry: each tag is written anew",
                             "leave it out, and merge the tags")
        with RegistryTarget(options.output_file, None, container_host(), options.registries) as target:
            target.check()
        self.place, self._reference, self._settings = options.output_file, reference, options.registries
        self._node = os.environ.get("SPOC_NODE") or kernel_uname().nodename
        parent = os.environ.get("STATE_DIRECTORY", "").partition(":")[0] or "/var/tmp"  # see systemd.exec(5)
        self.folder = os.path.join(parent, f"spoc.{os.urandom(6).hex()}")
        self._files: dict[Reference, str] = {}
        try:
            os.mkdir(self.folder, 0o700)
        except OSError as error:
            raise SpocError("make folder", self.folder, error, "set STATE_DIRECTORY to a folder that can be "
                            "written to: profiles wait there until the registry has them") from None

    def start(self) -> None:
        """Only now: signals are blocked, so that the thread gets none."""
        self._pusher = BackgroundPusher(container_host(), self._settings)

    def submit(self, target: Target) -> None:
        """Push what was written to a file, if it was."""
        text = target.read()
        if text:
            name, _ = os.path.splitext(os.path.basename(target.path))
            reference = self._reference._replace(tag=container_tag(name, self._node))
            self._files[reference] = target.path
            self._pusher.submit(reference, text)

    def finish(self, supervisor: Supervisor) -> bool:
        """Push the rest, unless another signal comes; say whether all was pushed, else which file was not, and how to
        push it.
        """
        try:
            with supervisor.interrupting():
                self._pusher.finish()
        except KeyboardInterrupt:
            pass
        left = self._pusher.left()
        for reference in left:
            path = self._files.pop(reference)
            Log.error(SpocError("push", str(reference), f"it was not pushed, and is in {path}",
                                push_command(path, reference, self._settings)))
        for path in self._files.values():
            with contextlib.suppress(OSError):
                os.unlink(path)
        return not left

    def discard(self) -> None:
        """Remove the folder, if nothing is in it."""
        with contextlib.suppress(OSError):
            os.rmdir(self.folder)


class ContainersCommand:
    """One run of `record --containers`."""

    # Any user can start what nothing gives a name to, or calls itself a container, as often as there is time for.
    MAX_NAMELESS = 256
    MAX_OF_ONE_USER = 1024  # containers of one who is not trusted
    MAX_REFUSALS = 3  # of paths for one profile

    def __init__(self, options: RecordOptions):
        """Check all that can be known to fail before anything is recorded."""
        self.pushes: ContainerPushes | None = None
        if is_reference(options.output_file):
            self.pushes = ContainerPushes(options)
            options = options._replace(output_file=self.pushes.folder)
        self.options = options
        self.folder = options.output_file
        try:
            self._prepare(sudo_identity(os.environ))
        except BaseException:
            if self.pushes:
                self.pushes.discard()
            raise
        self._commands: dict[StartedContainer, ContainerCommand] = {}  # of containers that have not ended
        self._paths: dict[str, str] = {}  # path -> whose profile it is, of this run: an id, a name, or "" for none
        self._started: dict[tuple[int, bool], int] = {}  # maker, nameless or not -> how many containers
        self._blocked: BlockedInContainers | None = None
        self._written = 0
        self._complete = True

    def _prepare(self, identity: Identity | None) -> None:
        options = self.options
        try:
            make_folder(self.folder, (identity.uid, identity.gid) if identity else None)
            self._check_folder({0, os.geteuid(), identity.uid if identity else 0})
            self.probe = ContainerCommand(options._replace(
                output_file=os.path.join(self.folder, f".spoc.{os.urandom(6).hex()}")), "probe")
        except OSError as error:
            raise SpocError("make folder", self.folder, error, "choose another folder with -o") from None
        except SpocError as error:
            raise SpocError("write profiles to", self.folder, error.reason, "choose another folder with -o") from None
        self.probe.target.close()

    def _check_folder(self, owners: set[int]) -> None:
        """Refuse one in which others may put something in a profile's place."""
        status = os.stat(self.folder)
        if not stat.S_ISDIR(status.st_mode):
            raise SpocError("", "", os.strerror(errno.ENOTDIR))
        if status.st_uid not in owners:
            raise SpocError("", "", f"it belongs to another user ({status.st_uid})")
        if status.st_mode & stat.S_IWOTH:
            raise SpocError("", "", "every user may write to it")

    def run(self) -> int:
        """Record until a signal asks to stop; give the exit code."""
        with contextlib.ExitStack() as resources, Supervisor(has_command=False) as supervisor:
            if self.pushes:
                resources.callback(self.pushes.discard)
            recorder = StartRecorder(self.probe.machine, self.options.stats, self.probe._watched())
            resources.callback(recorder.close)
            self.probe._attach(recorder)
            if self.options.with_blocked:  # else every task of the machine would pay for it
                self._blocked = self.probe._watch_containers(recorder, resources)
            supervisor.check()
            recorder.on_start, recorder.on_end = self._start, self._end
            self._lost = 0
            running = begun_containers()
            recorder.begin_all(running)
            place = f"{self.pushes.place}; they wait in {self.folder}" if self.pushes else self.folder
            Log.info(f"Recording every container that starts from now on, each into a profile in {place}")
            if self.pushes:
                self.pushes.start()
            if running:
                Log.info(count_of(len(running), "container that runs already is", "containers that run already are")
                         + " not recorded; `record --container NAME` is for these")
            notify_service_manager("READY=1")
            failure = self._wait(recorder, supervisor)
            with contextlib.suppress(OSError):
                recorder.serve()
            for container in list(self._commands):
                self._end(container)
            if self.pushes:
                self._complete &= self.pushes.finish(supervisor)
            self._report_lost(recorder, True)
        if failure:
            raise failure
        if not self._written and self._complete:
            Log.info(f"No container has started; nothing was written to {self.folder}")
        return 0 if self._complete else EXIT_FAILURE

    def _wait(self, recorder: StartRecorder, supervisor: Supervisor) -> Exception | None:
        """Give what has made waiting fail."""
        Log.info("Processing events")
        timers = [Timer(self.options.checkpoint, self._checkpoint)] if self.options.checkpoint else []
        supervisor.before_kill = self._checkpoint

        def serve() -> None:
            recorder.serve()
            self._report_lost(recorder)
        try:
            inputs: InputHandlers = {descriptor: serve for descriptor in recorder.inputs()}
            inputs.update(self._blocked.inputs() if self._blocked else {})
            supervisor.wait_until(lambda: False, timers, inputs)
            return None
        except Exception as error:
            return error

    def _report_lost(self, recorder: StartRecorder, is_last: bool = False) -> None:
        """Say so when programs have started that nothing is recorded of, and again when they are twice as many."""
        lost = recorder.counters().groups_lost
        if lost >= 2 * self._lost + 1 or is_last and lost != self._lost:
            self._lost, self._complete = lost, False
            Log.error(describe_unrecorded(lost))

    def _checkpoint(self) -> None:
        for container, command in self._commands.items():
            if command.target.is_file:
                before = command.written
                command._checkpoint(container)
                if self.pushes and command.written is not before:
                    self.pushes.submit(command.target)

    def _is_too_much(self, container: StartedContainer) -> bool:
        """Is this one more than what its maker can have profiles of? Says so once."""
        is_trusted = container.maker in trusted_users()
        if is_trusted and not container.is_nameless:
            return False
        limit = self.MAX_NAMELESS if container.is_nameless else self.MAX_OF_ONE_USER
        kind = container.maker, container.is_nameless
        self._started[kind] = self._started.get(kind, 0) + 1
        if self._started[kind] == limit + 1:
            self._complete = False
            what = "what has neither an id nor a name" if container.is_nameless else "containers"
            whose = "" if is_trusted else f" of the user {container.maker}"
            Log.error(f"No further profile is written of {what}{whose}: {limit} were recorded")
        return self._started[kind] > limit

    def _start(self, container: StartedContainer) -> None:
        if self._is_too_much(container):
            return
        Log.info(f"Recording container {describe_container(container)}")
        try:
            command = self._commands[container] = self._command(container)
            if self._blocked:
                self._blocked.read()
                command.blocked = self._blocked.of_container(container)
        except (SpocError, OSError) as error:
            self._complete = False
            Log.error(error)

    def _end(self, container: StartedContainer) -> None:
        command = self._commands.pop(container, None)
        if command:
            with command.target:
                self._complete &= command.conclude(container)
                if self.pushes and command.target.is_file:
                    self.pushes.submit(command.target)
                if isinstance(command.blocked, BlockedInContainer):
                    command.blocked.forget()
                self._written += 1

    def _command(self, container: StartedContainer) -> ContainerCommand:
        """What writes its profile: to a file that no other container of this run has, unless it is to grow, or to
        standard error where no file can be written.
        """
        refusals = 0
        for path in self._candidates(container):
            append = self._appends(container, path)
            if append is None:
                continue
            try:
                command = self._open(container, path, append)
            except (SpocError, OSError) as error:
                Log.error(error)
                refusals += 1
                if refusals == self.MAX_REFUSALS:
                    break
                continue
            self._paths[path] = self._owner_of(container)
            if path != next(self._candidates(container)):
                reason = "" if refusals else ": another container of that name has the other"
                Log.info(f"Its profile will be {path}{reason}")
            return command
        self._complete = False
        return self._open(container, "/dev/stderr", False)

    @staticmethod
    def _owner_of(container: StartedContainer) -> str:
        """What a later container has to be to share its profile; "" for one that has neither an id nor a name."""
        return "" if container.is_nameless else f"{container.maker} {container.identifier or container.name}"

    def _appends(self, container: StartedContainer, path: str) -> bool | None:
        """Does its profile at this path add to what is there? None if that is another's."""
        owner, its_own = self._paths.get(path), self._owner_of(container)
        if owner is None:
            return self.options.append and bool(its_own)
        if not its_own or not owner:
            return None
        return self.options.append or owner == its_own or None

    def _open(self, container: StartedContainer, path: str, append: bool) -> ContainerCommand:
        """Raises SpocError or OSError if no profile can be written there."""
        is_file = path != "/dev/stderr"
        options = self.options._replace(output_file=path, append=append,
                                        checkpoint=self.options.checkpoint if is_file else 0)
        command = ContainerCommand(options, container.name)
        try:
            if is_file:
                command.target.require_file()
        except SpocError:
            command.target.close()
            raise
        command.start_ns = time.monotonic_ns()
        return command

    def _candidates(self, container: StartedContainer) -> Iterator[str]:
        """Paths for its profile, the best first."""
        extension = os.path.splitext(DEFAULT_OUTPUT[self.options.type or TYPE_CRD])[1]
        name = safe_file_name(container.name)
        yield os.path.join(self.folder, name + extension)
        short = safe_file_name(container.identifier[:12] or str(container.pid))
        yield os.path.join(self.folder, f"{name}-{short}{extension}")
        for number in itertools.count(2):
            yield os.path.join(self.folder, f"{name}-{short}-{number}{extension}")


RUNTIMES = ("spoc", "runc")  # whose answers the filter gives; see runc_prefix()


class RunOptions(NamedTuple):
    """The options of `run`."""

    profile: str = ""
    base_profile: Sequence[str] = ()
    base_syscalls: Sequence[str] = ()
    runtime: str = RUNTIMES[0]
    privileged: bool = False
    no_new_privs: bool = False
    enricher: str = "auto"
    audit_log: str = DEFAULT_AUDIT_LOG
    learn: str = ""
    force: bool = False
    follow: bool = False
    events: str = ""
    strict: bool = False
    registries: Settings = Settings()


ENRICHERS = "auto tracepoint notify audit-log netlink kmsg none".split()  # auto takes the first that works


NO_FILTER = "no filter can be made with its architecture"


class SeenCall(NamedTuple):
    """A call that the profile stopped. Arguments that no rule is about are 0."""

    architecture: Architecture
    number: int
    name: str
    inner: str  # see Denial
    arguments: tuple[int, ...]

    @property
    def wanted(self) -> str:
        """The name that would have to be allowed."""
        return self.inner or self.name

    @property
    def text(self) -> str:
        return f"{self.inner} by {self.name}" if self.inner else self.name

    @property
    def data(self) -> SeccompData:
        return SeccompData(self.number, self.architecture.kernel_token, 0, (c_uint64 * 6)(*self.arguments))

    def meets(self, rule: Rule, mask: int) -> bool:
        """Is the rule about this call, where arguments have these bits? What socketcall(2) and ipc(2) do has its
        arguments where no filter sees them.
        """
        if self.inner and self.inner in rule.names:
            return True
        return self.name in rule.names and all(each.is_met_by(self.arguments[each.argument] & mask)
                                               for each in rule.narrowed(mask).conditions)


class Learner:
    """Adds to a profile what the calls that it stopped need: the bare name where no rule has conditions for it, else a
    rule that allows just what was seen of the arguments that these are about. What a rule denies stays denied.
    """

    MAX_CALLS = 64  # of a name, as for --args

    def __init__(self, source: LoadedProfile, host: Host, bases: Sequence[LoadedProfile], native: Architecture,
                 force: bool, build: Callable[[Profile], Filter]):
        """With `force` what was seen is to be allowed whatever the rules say."""
        self._force = force
        self._source, self._bases, self._native, self._build = source, bases, native, build
        self._decoder = ProfileDecoder(source.reader, host)
        self._profile = self._decoded(source.document)
        # The file is for other machines as well: so are the rules of Docker's dialect that do not apply here.
        self._elsewhere = tuple(
            rule for item in source.rules if depends_on_machine(item)
            for rule in self._decoder.rules({**item, "includes": None, "excludes": None}))
        self._compared: dict[str, set[int]] = {}  # syscall -> arguments that some rule for it compares
        self._calls: dict[str, set[SeenCall]] = {}  # syscall that would have to be allowed -> calls that were stopped
        self._learned: dict[SeenCall, Rule | None] = {}  # what allows the call; None: its bare name
        self._replaced: set[str] = set()  # names to be allowed whatever the rules say of them
        self._left_out: dict[SeenCall, str] = {}  # why it is not to be allowed

    def note_call(self, denial: Denial, name: str) -> None:
        """Note a call that would be stopped."""
        if not name:
            return
        compared = {0} if denial.inner else set()
        for each in {name, denial.inner}:
            if each not in self._compared:
                self._compared[each] = self._compared_arguments(each, (*self._profile.rules, *self._elsewhere))
            compared |= self._compared[each]
        call = SeenCall(denial.architecture, denial.number, name, denial.inner, tuple(
            value if index in compared else 0 for index, value in enumerate(denial.arguments)))
        calls = self._calls.setdefault(call.wanted, set())
        if len(calls) <= self.MAX_CALLS:
            calls.add(call)

    @staticmethod
    def _compared_arguments(name: str, rules: Iterable[Rule]) -> set[int]:
        """The arguments that the rules for a name compare."""
        inner = MULTIPLEXED.get(name, {}).values()
        found = {each.argument for rule in rules if name in rule.names for each in rule.conditions}
        if inner and any(not {name, *inner}.isdisjoint(rule.names) for rule in rules):
            found.add(0)  # which chooses what is done
        return found

    def learn(self, names: Iterable[str]) -> None:
        """Find what to add; these names are to be allowed whatever the rules say."""
        self._replaced.update(names)
        stopped = set().union(*self._calls.values())
        try:
            simulated = self._simulated()
        except SpocError as error:  # the rules are none for the architectures that are missing
            reason = f"{NO_FILTER}: {error.subject}: {error.reason}"
            missing = self._added_architectures
            self._left_out = {call: reason for call in stopped if call.architecture.name in missing}
            simulated = self._simulated()
        for call in stopped - self._left_out.keys():
            if not simulated(call.data).lets_pass:  # else its architecture was all that was missing
                self._choose_rule(call, simulated)
        self._leave_out_stopped()
        if self._force:
            for call in self._left_out:
                self._replaced.add(call.wanted)
                if any(call.name in rule.names for rule in self._profile.rules):
                    self._replaced.add(call.name)
            self._learned.update(dict.fromkeys(self._left_out))
            self._learned.update({call: None for call in self._learned if call.wanted in self._replaced})
            self._left_out.clear()
            self._leave_out_stopped()

    @property
    def _added_architectures(self) -> set[str]:
        return {call.architecture.name for calls in self._calls.values() for call in calls
                if call not in self._left_out} - {self._native.name, *self._profile.architectures}

    def _choose_rule(self, call: SeenCall, simulated: SimulatedFilter) -> None:
        """Choose what would allow the call, or leave it out."""
        rules, name = self._profile.rules, call.wanted
        masks = set(map(argument_mask, self._tokens))
        denying = [rule for rule in (*rules, *self._elsewhere) if rule.action not in PERMISSIVE and any(
            call.meets(rule, mask) for mask in masks)]
        compared = self._compared_arguments(name, rules) or self._compared_arguments(name, self._elsewhere)
        rule = Rule(SCMP_ACT_ALLOW, (name,), conditions=tuple(
            self._condition(name, index, call.arguments[index]) for index in sorted(compared)))
        if denying:
            self._left_out[call] = f"{denying_text(denying)} would have to go"
        elif not compared and any(name in rule.names and rule.action == SCMP_ACT_LOG for rule in self._elsewhere):
            self._left_out[call] = f"{OTHER_RULES} would have to go"
        elif not compared:
            self._learned[call] = None
        elif (call.inner or len(self._calls[name]) > self.MAX_CALLS or self._opens_more(call, simulated)
              or self._source.type == TYPE_CRD and any(crd_lacks(Profile("", (), (rule,))))
              or MASK_32 in masks and any(MASK_32 < each.value < MASK_64 - (MASK_32 >> 1)
                                          for each in rule.conditions)):  # no number of 32 bits
            self._left_out[call] = f"{CONDITIONS} would have to go"
        else:
            self._learned[call] = rule

    def _opens_more(self, call: SeenCall, simulated: SimulatedFilter) -> bool:
        """Would conditions open socketcall(2) or ipc(2)? Their registers hold a pointer and what means nothing."""
        for outer, inner in MULTIPLEXED.items():
            for code, name in inner.items():
                if name == call.wanted:
                    arguments = (c_uint64 * 6)(code, *call.arguments[1:])
                    for token in self._tokens:
                        number = syscall_number(outer, token)
                        if number >= 0 and not simulated(SeccompData(number, token, 0, arguments)).lets_pass:
                            return True
        return False

    @property
    def _tokens(self) -> set[int]:
        """The architectures of the profile."""
        names = self._added_architectures.union(self._profile.architectures)
        return {self._native.token, *map(architecture_token, names)} - {0}

    def _condition(self, name: str, index: int, value: int) -> Condition:
        """Compare as --args does what the kernel takes as 32 bits, and all else, or where a rule that denies might hold
        for some other upper half, as a whole.
        """
        denies = any(rule.action not in PERMISSIVE and name in rule.names for rule in self._profile.rules)
        if ARGUMENTS.get(name) == index and not denies:
            return Condition(index, "SCMP_CMP_MASKED_EQ", MASK_32, value & MASK_32)
        return Condition(index, "SCMP_CMP_EQ", value)

    def _leave_out_stopped(self) -> None:
        """Leave out what the filter would stop all the same, as of overlapping rules libseccomp takes one."""
        stopped = set(self._learned)
        while stopped:
            try:
                simulated = self._simulated()
                stopped = {call for call in self._learned if not simulated(call.data).lets_pass}
            except SpocError:
                stopped = self._without_filter()
            for call in stopped:
                rules = CONDITIONS if self._learned.pop(call) else OTHER_RULES
                self._left_out[call] = f"{rules} would have to go"

    def _without_filter(self) -> set[SeenCall]:
        """The calls whose rules do not compile, each name tried alone; all if it is their number."""
        learned = self._learned
        found: set[SeenCall] = set()
        for name in {call.wanted for call, rule in learned.items() if rule}:
            self._learned = {call: rule for call, rule in learned.items() if call.wanted == name}
            try:
                self._simulated()
            except SpocError:
                found.update(self._learned)
        self._learned = learned
        return found or set(learned)

    def _simulated(self) -> SimulatedFilter:
        """The filter of the profile with what was learned so far. Raises SpocError if there can be none."""
        return SimulatedFilter(self._build(self._decoded(self._extended())).program)

    def _decoded(self, document: dict[str, Any]) -> Profile:
        profile = self._decoder.decode(document)
        for base in self._bases:
            profile, _ = unite_base(profile, base.profile, base.file)
        return profile

    def _extended(self) -> dict[str, Any]:
        """The profile's document with what was learned."""
        others = self._added_architectures.union(self._profile.architectures) - {self._native.name}
        architectures = (self._native.name, *sorted(others))
        names = {call.wanted for call, rule in self._learned.items() if not rule} | self._replaced
        rules = sorted(set(filter(None, self._learned.values())),
                       key=lambda rule: rule.answer.text_for(rule.names[0]))
        if self._profile.default != ALLOW:
            rules.append(Rule(SCMP_ACT_ALLOW, tuple(names)))
        return edit_document(self._source.document, Profile("", architectures, tuple(rules)), self._replaced)

    def text(self) -> str:
        """The profile with what was learned, laid out as it was read."""
        return format_changed(self._source, self._extended())

    @property
    def learned(self) -> list[str]:
        """What was added, for a person."""
        texts = {rule.answer.text_for(call.wanted) if rule else call.wanted for call, rule in self._learned.items()}
        added = self._added_architectures | native_to_add(self._profile, self._native.name)
        return sorted({*self._replaced, *texts, *(f"architecture {name}" for name in added)})

    @property
    def left_out(self) -> list[SpocError]:
        """What was left out, and why."""
        hint = "" if self._force else "--force takes that away"
        return [SpocError("learn", text, reason, "" if reason.startswith(NO_FILTER) else hint)
                for text, reason in sorted({(call.text, reason) for call, reason in self._left_out.items()})]


def errno_of_refusal(verdict: Verdict) -> str:
    """The name of the errno that a call got; "" if it got none, or it is not known which."""
    if verdict.action != SCMP_ACT_ERRNO or verdict.errno < 0:
        return ""
    return errno.errorcode.get(verdict.errno, str(verdict.errno))


class EventReport:
    """What reports that write events as JSON for scripts have in common."""

    def __init__(self, events: EventsFile | None):
        self.events = events
        self.losses: list[str] = []

    def _use_events(self, use: Callable[[EventsFile], None]) -> None:
        """Have this done with the events, until it fails once."""
        if self.events:
            try:
                use(self.events)
            except OSError as error:
                self.losses.append(f"events could not be written: {error.strerror}")
                self.events = None

    def _count_text(self, number: int, one: str, several: str) -> str:
        """How many syscalls were blocked, in a sentence with these verbs."""
        complete = not self.losses
        if not number:
            return f"Nothing {one} blocked" if complete else "Nothing is known to have been blocked"
        return f"{'' if complete else 'At least '}{count_of(number, f'syscall {one}', f'syscalls {several}')} blocked"

    def finish_events(self, limit_ms: int | None) -> None:
        """Write the events that wait, see EventsFile.finish()."""
        self._use_events(lambda events: events.finish(limit_ms))


class DenialReport(EventReport):
    """Names what was stopped: a line at the first time, a summary at the end, and JSON for scripts."""

    MAX_PROGRAMS, MAX_KINDS = 1000, 4096

    def __init__(self, profile: Profile, native: Architecture, events: EventsFile | None, program: bytes,
                 learner: Learner | None = None):
        """`program` is the filter's, before any call is asked about."""
        super().__init__(events)
        self.profile, self.native, self.learner = profile, native, learner
        self._filter, self._is_filtered = SimulatedFilter(program), is_filtered()
        self._newer: SimulatedFilter | None = None
        self.counts: dict[tuple[str, str], dict[str, int]] = {}  # (call, what happened to it) -> program -> times
        self.missing: set[str] = set()  # syscalls
        self.foreign: set[Architecture] = set()  # that the profile does not list
        self.missing_from_foreign: set[str] = set()  # syscalls of these
        self.nameless: set[tuple[Architecture, int]] = set()
        self.stopped: set[str] = set()  # what was blocked or, with a learner, would have been: each syscall once

    def has_blocked(self) -> bool:
        """Has the profile blocked anything, or, with --learn, would it have?"""
        return bool(self.stopped)

    def count_text(self) -> str:
        """How many syscalls the profile has blocked, in a sentence."""
        one, several = ("would be", "would be") if self.learner else ("was", "were")
        return self._count_text(len(self.stopped), one, several)

    def _attribute(self, denial: Denial, name: str) -> tuple[Verdict, str]:
        """The verdict that met a call, and whose it is: a command may filter itself, or trace."""
        answer, depends_on_arguments = self._filter.answer(SeccompData(denial.number, denial.architecture.kernel_token))
        for verdict in self.profile.verdicts(name) if depends_on_arguments else [answer]:
            if verdict in denial.verdicts or (verdict.action, -1) in denial.verdicts:
                return verdict, FILTER_PROFILE
        return denial.verdicts[0], denial.other_owner

    def _describe(self, denial: Denial, verdict: Verdict, whose: str) -> str:
        """What happened, with whatever is a guess said to be one."""
        text = str(verdict) if errno_of_refusal(verdict) else verdict.action
        if whose == FILTER_PROFILE:
            is_other = verdict != (SCMP_ACT_ERRNO, errno.ENOSYS) and self._is_newer(denial)
            if self.learner and verdict.action != SCMP_ACT_LOG:
                answer = errno_of_refusal(verdict) or verdict.action
                return f"would be blocked ({answer}{'; runc answers ENOSYS' if is_other else ''})"
            return f"action: {text}" + (" (runc answers ENOSYS)" if is_other else "")
        if len(denial.verdicts) > 1:
            text = f"{denial.fact}, probably {text}"
        others = f", or of one that {PROGRAM} is under" if self._is_filtered else ""
        if whose == FILTER_UNKNOWN:
            others += ", or of its tracer"
        return f"action: {text} of the command's own filter{others}"

    def _is_newer(self, denial: Denial) -> bool:
        """Does runc answer ENOSYS to this call, since it is newer than all that the profile names?"""
        self._newer = self._newer or SimulatedFilter(
            runc_prefix(self.profile, self.native) + constant_program(SCMP_ACT_ALLOW))
        return not self._newer(SeccompData(denial.number, denial.architecture.kernel_token)).lets_pass

    def add(self, denials: Iterable[Denial]) -> None:
        for denial in denials:
            name = syscall_name(denial.architecture, denial.number) or ""
            verdict, whose = self._attribute(denial, name)
            if not whose:
                continue  # a signal ended the task, or what became of it does not show
            self._count(denial, name, self._describe(denial, verdict, whose))
            is_blocked = (whose == FILTER_PROFILE or self.learner is not None) and verdict.action != SCMP_ACT_LOG
            if is_blocked:
                self._note_missing(denial, name)
            self._write_event(denial, name, verdict, whose)

    def _count(self, denial: Denial, name: str, what: str) -> None:
        call = f"{name or 'number'} ({denial.number})"
        if denial.inner:
            call = f"{denial.inner} by {call}"
        if denial.architecture != self.native:
            call += f", arch: {denial.architecture.name}"
        # A command that makes numbers up, or gives itself a new name at each call, must not fill the memory.
        if (call, what) not in self.counts and len(self.counts) >= self.MAX_KINDS:
            call, what = "others", "action: various"
        programs = self.counts.setdefault((call, what), {})
        comm = denial.comm if denial.comm in programs or len(programs) < self.MAX_PROGRAMS else "(others)"
        if comm not in programs:
            Log.result(f"Seccomp: {call}, {what}, pid: {denial.tgid}, comm: {quoted(comm)}",
                       self._colour(what))
        programs[comm] = programs.get(comm, 0) + denial.times

    def _note_missing(self, denial: Denial, name: str) -> None:
        """Note what would have to be allowed."""
        architecture, names = denial.architecture, {denial.inner or name}
        self.stopped.add(denial.inner or name or f"{denial.number} {architecture.name}")
        if not name:
            self.nameless.add((architecture, denial.number))
        elif architecture.name not in {self.native.name, *self.profile.architectures}:
            self.foreign.add(architecture)
            self.missing_from_foreign |= {*names, name}
        else:
            if any(name in rule.names for rule in self.profile.deciding_rules(name)):
                names.add(name)
            self.missing |= names
        if self.learner:
            self.learner.note_call(denial, name)

    def _write_event(self, denial: Denial, name: str, verdict: Verdict, whose: str) -> None:
        import json
        self._use_events(lambda events: events.write(json.dumps({
            "time": round(time.time(), 6), "pid": denial.tid, "tgid": denial.tgid, "comm": denial.comm,
            "exe": denial.exe, "arch": denial.architecture.name, "number": denial.number, "name": name,
            "action": verdict.action, "errno": errno_of_refusal(verdict), "filter": whose,
            "guess": whose == FILTER_UNKNOWN or whose == FILTER_OWN and len(denial.verdicts) > 1,
            "count": denial.times}).encode() + b"\n"))

    @staticmethod
    def _colour(what: str) -> str:
        """That of what has let the call pass, or has not."""
        return YELLOW if SCMP_ACT_LOG in what or "would be" in what else RED

    def summarize(self) -> None:
        for (call, what), programs in sorted(self.counts.items()):
            by = ", ".join(f"{quoted(comm)} ({times})" for comm, times in sorted(programs.items()))
            times = count_of(sum(programs.values()), "time", "times")
            Log.result(f"Seccomp summary: {call}, {what}, {times}, by: {by}", self._colour(what))
        if not self.learner:
            self._advise()

    def _advise(self) -> None:
        """Say what would allow what was blocked."""
        lifted = {name: describe_lifted(self.profile, name) for name in self.missing | self.missing_from_foreign}
        is_denied = any(rules not in ("", CONDITIONS) for rules in lifted.values())
        force = ", and with --force what a rule denies" if is_denied else ""
        names = sorted(self.missing)
        if names:
            warnings = "; ".join(f"-b {name} lifts {lifted[name]}" for name in names if lifted[name])
            Log.result(f"To allow what was blocked: run -b {','.join(names)}{warnings and f' ({warnings})'}; "
                       f"to add it to a profile: run --learn FILE{force}")
        if self.foreign:
            architectures = ", ".join(sorted(each.name for each in self.foreign))
            Log.result(f"To add calls of {architectures} to a profile, which this one does not list: "
                       f"run --learn FILE{force}")
        for text in describe_nameless(self.nameless):
            Log.result(f"Cannot be allowed: {text}")


class Survivors:
    """What the command leaves behind, when its own process has ended.

    This process is made the reaper of all descendants before the command is started: none can leave it.
    """

    MAX_NAMED = 4
    MAX_LOOKS, LOOK_S = 20, 0.005  # at what makes no more calls, until it can be reaped

    def __init__(self) -> None:
        libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._has_proc = os.path.exists("/proc/self") and os.readlink("/proc/self") == str(os.getpid())
        self._others = set(self._children())  # that whoever has become this process by exec had

    def _children(self) -> list[int]:
        return child_processes().get(os.getpid(), []) if self._has_proc else []

    def is_alive(self) -> bool:
        """Has anything not ended that has come of the command? Its own process has, and its status has been taken."""
        for _ in range(self.MAX_LOOKS):
            try:
                while os.waitpid(-1, os.WNOHANG)[0]:  # an orphan that has ended is none that runs on
                    pass
            except ChildProcessError:
                return False
            if self.roots() or not self._has_proc:
                return True
            if self._others and self._others.issuperset(self._children()):
                return False
            time.sleep(self.LOOK_S)  # what ends may leave children
        return True  # of whom /proc does not tell

    def roots(self) -> list[int]:
        """The processes that all others of the command descend from, as far as /proc shows them."""
        return [pid for pid in self._children() if pid not in self._others
                and not all(map(has_ended, threads_of(pid)))]  # the first thread of one may end before the others

    def count(self) -> int:
        """How many tasks, that is threads of all its processes, /proc shows."""
        return sum(not has_ended(tid) for tid in ProcessTree.tasks_below(self.roots()))

    def title(self, one: str, several: str) -> str:
        """"1 task runs", with these verbs in the place of `runs`."""
        number = self.count()
        return count_of(number, f"task of the command {one}", f"tasks of the command {several}") if number else (
            f"tasks of the command {several}")

    def advice(self) -> str:
        """What names what is blocked there from now on."""
        roots = self.roots()
        pids = "".join(f" --pid {pid}" for pid in roots) if len(roots) <= self.MAX_NAMED else ""
        return f"{PROGRAM} watch{pids} names it"


def tell_skipped(skipped: Iterable[str], profile: Profile) -> None:
    names = {name for rule in profile.rules for name in rule.names}
    text = f"Skipping syscalls that are not known here: {list_unknown(skipped, names)}"
    if "did you mean" in text:
        Log.warning(text)
    else:
        Log.info(text)


class RunCommand:
    """One run of `run`."""

    READER_LIMIT_MS = 1000  # that a reader of events has when a signal has asked to stop

    def __init__(self, options: RunOptions, command: Sequence[str]):
        """Read the profile, and check all that can be known to fail before the command is started."""
        self.options, self.command = options, command
        self.machine = this_machine()
        self.identity = None if options.privileged else sudo_identity(os.environ)
        libseccomp.load()
        capabilities = 0 if self.identity else effective_capabilities()
        self.host = Host(self.machine.own.name, kernel_uname().release, [
            name for number, name in enumerate(CAPABILITIES) if capabilities >> number & 1])
        self.no_new_privs = options.no_new_privs or not may_administer()
        owner = (self.identity.uid, self.identity.gid) if self.identity else None
        with ProfileReader(self.host, options.registries) as reader:
            self.profile = self._read_profile(reader, owner)
        import_now("array", "bisect", "json", "re")
        self._check_files()
        self.learned = Target(options.learn, owner, option="--learn") if options.learn else None
        if self.learned:
            self.learned.check()
            identity = file_identity(options.learn, 1)
            self._replaces_source = bool(identity) and self.source.file != "-" and (
                identity == file_identity(self.source.file, 0))
            warn_of_name(options.learn, TYPE_JSON if is_json(self.source.reader.text) else TYPE_CRD)
        self.events = EventsFile(options.events, owner) if options.events else None

    def _check_files(self) -> None:
        """What is written must not be what is read, nor twice the same; --learn may replace the profile itself."""
        options = self.options
        read = [("--base-profile", path) for path in options.base_profile] + [("--audit-log", options.audit_log)]
        program = find_program(self.command[0])
        if program:
            read.append(("the command", program))
        if options.learn:
            check_written("--learn", options.learn, read)
        if options.events:
            check_written("--events", options.events, [("-p", self.source.file), *read],
                          [("--learn", options.learn)] if options.learn else ())

    def _read_profile(self, reader: ProfileReader, owner: tuple[int, int] | None) -> Profile:
        options = self.options
        path = options.profile or default_profile(owner)
        self.source = self._read_one(reader, path, bool(options.profile), owner)  # anybody may put a file into /tmp
        profile = self._with_bases(reader, path, options.base_profile)
        if SCMP_ACT_NOTIFY in profile_actions(profile):
            raise ProfileError(path, 0, 0, f"{SCMP_ACT_NOTIFY} needs a listener, and there is none",
                               "use another action")
        for name in options.base_syscalls:
            lifted = describe_lifted(profile, name)
            if lifted:
                Log.warning(f"-b {name} lifts {lifted}")
        if options.base_syscalls:
            others = without_names(profile.rules, set(options.base_syscalls))
            profile = profile._replace(rules=(Rule(SCMP_ACT_ALLOW, tuple(options.base_syscalls)), *others))
        verdicts = profile.verdicts("execve")
        if not options.learn and not any(verdict.lets_pass for verdict in verdicts):
            raise ChildError("start command", self.command[0], f"the profile answers {verdicts[0].action} to execve",
                             "if record -n or -b has written it, run -b execve is all that it takes",
                             EXIT_NOT_EXECUTABLE)
        return profile

    def _with_bases(self, reader: ProfileReader, path: str, base_paths: Sequence[str]) -> Profile:
        """The profile of this path with those that it builds on: the base profiles, which have to be all of them, or
        what registries have.
        """
        self.bases = [self._read_one(reader, base_path) for base_path in base_paths] or reader.bases(self.source)
        profile = self.source.profile
        needed_names = {self.source.base_profile_name}
        given_names = {""}
        for base in self.bases:
            given_names.add(base.name)
            needed_names.add(base.base_profile_name)
            profile, settled = unite_base(profile, base.profile, base.file)
            for line in settled:
                Log.info(line)
        for name in needed_names - given_names:
            if not is_reference(name):  # a profile in a registry goes by no object's name
                raise self._missing_base(path, name)
        return profile

    def _missing_base(self, path: str, name: str) -> ProfileError:
        """What to say where the profile of this name is not among the base profiles."""
        needing = [path, *(base.file for base in self.bases if base.base_profile_name == name)][-1]
        given = ", ".join(f"{base.file} is {base.name or 'without a name'}" for base in self.bases
                          if self.options.base_profile)
        return ProfileError(needing, 0, 0, f"it builds on the profile {name}{given and f', but {given}'}",
                            "give that as --base-profile FILE")

    @staticmethod
    def _read_one(reader: ProfileReader, path: str, follow: bool = True,
                  owner: tuple[int, int] | None = None) -> LoadedProfile:
        if not is_reference(path):
            Log.info(f"Reading file {split_name(path)[0]}")
        source = reader.read(path, follow, owner)
        if not is_json(source.reader.text):
            Log.info("Assuming YAML profile")
        if source.depends_on_machine:
            Log.info(f"{path}: rules that depend on the machine are taken as for the command, with its capabilities: a "
                     "container may have others")
        return source

    def _build(self, profile: Profile) -> Filter:
        prefix = runc_prefix(profile, self.machine.own) if self.options.runtime == "runc" else b""
        return FilterBuilder(profile, self.machine.own).build(self.no_new_privs, prefix)

    def run(self) -> int:
        """Run the command under the profile; give the exit code."""
        if self.identity:
            Log.info(f"Running as {self.identity.title}")
        Log.info("Setting up seccomp")
        with contextlib.ExitStack() as resources:
            if self.learned:
                resources.callback(self.learned.close)
            if self.events:
                resources.callback(self.events.close)
            check_command(self.command)
            learner = Learner(self.source, self.host, self.bases, self.machine.own, self.options.force,
                              self._build) if self.learned else None
            applied = self._build(self.profile)
            report = DenialReport(self.profile, self.machine.own, self.events, applied.program, learner)
            watcher = self._open_watcher(applied.program)
            if watcher:
                resources.callback(watcher.close)
                applied = watcher.adapt_filter(applied, self.profile.default_action)
            if applied.skipped:
                tell_skipped(applied.skipped, self.profile)
            if applied.no_new_privs:
                Log.info("Setting no_new_privs: set-uid programs will not change the user")
            Log.info("Load seccomp profile")
            if watcher:
                Log.info(f"Starting {watcher.title} enricher")
                Log.info(f"Enricher reading from {watcher.reads}")
            supervisor = resources.enter_context(Supervisor())
            supervisor.check()
            survivors = Survivors() if watcher or self.options.follow else None
            child = resources.enter_context(Child(self.command, self.identity, supervisor, applied,
                                                  watcher is not None and watcher.needs_audit_session))
            status, failure = self._run_command(child, watcher, report, survivors)
            if failure:
                report.losses.append("the watch was cut short")
            complete = self._conclude(watcher, report, supervisor, survivors)
            if failure:
                raise failure
        code = self._exit_code(status, complete, report)
        return EXIT_BLOCKED if self.options.strict and complete and report.has_blocked() else code

    def _run_command(self, child: Child, watcher: DenialWatcher | None, report: DenialReport,
                     survivors: Survivors | None) -> tuple[int, Exception | None]:
        """As Child.wait()."""
        inputs: InputHandlers = {}
        if watcher:
            watcher.begin(child)
            read = watcher.read
            inputs[watcher.descriptor] = lambda: report.add(read())
        else:
            child.release()
        child.wait_started(inputs)
        Log.info(f"Running command with PID: {child.pid}")
        if self.events:
            self.events.begin()
        if not survivors or not (self.options.follow or self.options.learn):
            return child.wait(inputs)
        doing = "learning" if self.options.learn else "naming what is blocked"
        return child.wait(inputs, alive=self._announcing(survivors, doing if watcher else "waiting"))

    @staticmethod
    def _announcing(survivors: Survivors, doing: str) -> Callable[[], bool]:
        """What tells whether anything of the command lives; the first time, a line says what is waited for."""
        is_announced = False

        def is_alive() -> bool:
            nonlocal is_announced
            if not survivors.is_alive():
                return False
            if not is_announced:
                is_announced = True
                Log.result(f"{survivors.title('runs', 'run')} on; {doing} until the last has ended or this is stopped")
            return True

        return is_alive

    def _release(self, watcher: DenialWatcher, survivors: Survivors) -> None:
        """Let what outlives the command run on, and say so."""
        advice = survivors.advice()
        title = survivors.title("runs", "run")
        consequence = watcher.release_survivors()
        if self.options.learn:
            what, advice = "what the profile would block there is not learned any more", ""
        else:
            what = "what is blocked there is not named any more"
            advice = f"; {advice}" if self.options.follow else (
                f"; --follow names it until all have ended or it is stopped, or {advice}")
        Log.warning(f"{title} on under the filter; {what}{advice}{consequence and f'. {consequence}'}")

    def _conclude(self, watcher: DenialWatcher | None, report: DenialReport, supervisor: Supervisor,
                  survivors: Survivors | None) -> bool:
        """Report what is left, and learn; say whether that is all."""
        if watcher:
            outlive = survivors is not None and survivors.is_alive()  # before all that they have done is read
            try:
                report.add(watcher.finish())
                if outlive and not (survivors and survivors.is_alive()):
                    report.add(watcher.read())  # the rest
                    outlive = False
            except (SpocError, OSError) as error:
                report.losses.append(str(error))
            report.losses += watcher.losses()
            if survivors and outlive:
                self._release(watcher, survivors)
        if self.events or self.learned and not self.learned.is_file:
            supervisor.restore()  # nobody may read the fifo that is waited for
        report.finish_events(self.READER_LIMIT_MS if supervisor.requests else None)
        report.summarize()
        for loss in report.losses:
            Log.error(f"not all blocked calls may be known: {loss}")
        complete = not report.losses
        if self.learned and report.learner:
            complete &= self._learn(report, report.learner, self.learned)
        return complete

    def _learn(self, report: DenialReport, learner: Learner, target: Target) -> bool:
        """Write the profile with what was learned; say whether that is all."""
        nameless = describe_nameless(report.nameless)
        for text in nameless:
            Log.error(f"the profile is incomplete: {text}")
        learner.learn(self.options.base_syscalls)
        for error in learner.left_out:
            Log.error(error)
        text = learner.text()
        Log.info(f"Learned syscalls: {', '.join(learner.learned) or 'none'}")
        try:
            self._check_source(target)
            target.write(text)
        except SpocError as error:  # it goes to standard error rather than being lost
            Log.error(error)
            write_stderr(text)
            return False
        Log.info(f"Wrote seccomp profile to: {target.location()}")
        return not nameless and not learner.left_out

    def _check_source(self, target: Target) -> None:
        """Raise SpocError if what was learned would replace the profile, and somebody has edited that meanwhile."""
        with contextlib.suppress(FileNotFoundError):
            if self._replaces_source and read_text(self.source.file, True).lstrip("\ufeff") != self.source.reader.text:
                raise SpocError("write profile", target.path, "it has been edited since it was read",
                                "merge into it what follows")

    def _exit_code(self, status: int, complete: bool, report: DenialReport) -> int:
        """Say how the command has ended, and what the profile has done; give the exit code."""
        code = exit_code(status)
        if code:
            tell_status(status, self.identity)
            if not self.options.profile:
                tell_misplaced(("-p", "--profile"), self.command, ["run"])
        if self.options.enricher == "none":
            Log.info("The profile was applied; what it blocked was not watched")
        else:
            Log.info(report.count_text(), RED if report.has_blocked() else GREEN)
        if code and report.has_blocked() and not self.options.learn:
            reason = (f"signal: {(signal.strsignal(os.WTERMSIG(status)) or '').lower()}" if os.WIFSIGNALED(status)
                      else f"exit status {code}")
            Log.info(f"Unable to run: launch runner: wait for command: {reason}")
        return code if complete else EXIT_FAILURE

    def _open_watcher(self, program: bytes) -> DenialWatcher | None:
        """The watcher that was asked for or, for auto, the first that works."""
        if self.options.enricher == "none":
            return None
        makers: dict[str, Callable[[], DenialWatcher]] = {
            "tracepoint": lambda: TracepointWatcher(self.machine, self.profile),
            "notify": lambda: NotifyWatcher(self.machine, SimulatedFilter(program), bool(self.options.learn)),
            "audit-log": lambda: AuditLogWatcher(self.machine, self.profile, self.options.audit_log),
            "netlink": lambda: NetlinkWatcher(self.machine, self.profile),
            "kmsg": lambda: KmsgWatcher(self.machine, self.profile),
        }
        if self.options.learn or self.options.enricher != "auto":
            return makers["notify" if self.options.learn else self.options.enricher]()
        reasons = []
        for name, make in makers.items():
            try:
                watcher = make()
            except (SpocError, OSError) as error:
                reasons.append(f"{name}: {error}")
                continue
            if self.options.audit_log != DEFAULT_AUDIT_LOG and name != "audit-log":
                Log.warning(f"--audit-log is not read, since {name} works: --enricher audit-log reads it")
            if reasons:
                Log.info(f"Naming blocked calls by {name}: {'; '.join(reasons)}")
            return watcher
        if self.options.strict:
            raise SpocError("run", "--strict", "no enricher works, so nobody could tell what is blocked",
                            "; ".join(reasons))
        Log.warning(f"blocked calls will not be named, since no enricher works: {'; '.join(reasons)}")
        return None


class WatchOptions(NamedTuple):
    """The options of `watch`."""

    pid: tuple[int, ...] = ()
    container: str = ""
    unit: str = ""
    cgroup: str = ""
    events: str = ""
    duration: float = 0
    strict: bool = False


class Outcome(NamedTuple):
    """What became of a call, as far as it shows without the filter's text."""

    action: str
    errno_name: str
    text: str
    is_guess: bool
    is_blocked: bool


def outcome_of(denial: Denial) -> Outcome:
    """The likeliest of the answers that a filter may have given. What supervisors or tracers answer is none of its."""
    action, number = denial.verdicts[0]
    if action == SCMP_ACT_NOTIFY:
        other = ", or SCMP_ACT_ERRNO (0)" if len(denial.verdicts) > 1 and denial.verdicts[1].errno == 0 else ""
        return Outcome(action, "", f"{denial.fact}, as a supervisor answered ({SCMP_ACT_NOTIFY}){other}",
                       is_guess=True, is_blocked=False)
    errno_name = errno.errorcode.get(number, str(number)) if action == SCMP_ACT_ERRNO else ""
    text = f"{action} ({errno_name})" if errno_name else action
    is_guess = len(denial.verdicts) > 1
    if is_guess and not errno_name:
        text = f"{denial.fact}, probably {text}"
    tracer = proc_status(denial.tid).get("TracerPid", "0")
    if tracer != "0":
        text += f", or what its tracer {tracer} has put there"
    return Outcome(action, errno_name, text, is_guess or tracer != "0", is_blocked=True)


class WatchReport(EventReport):
    """Names what filters stop, whosever they are: a line at the first time, and a summary at the end."""

    MAX_PROGRAMS, MAX_KINDS, MAX_PROCESSES = DenialReport.MAX_PROGRAMS, 16384, 65536

    def __init__(self, native: Architecture, events: EventsFile | None):
        super().__init__(events)
        self._native = native
        self.owner_of_all = "", ""  # what all belong to of which /proc does not tell any more, see owner_of_scope()
        self.names: dict[tuple[str, str], tuple[str, str]] = {}  # what owners are called, see names_of_owners()
        self._owners: dict[int, tuple[str, str]] = {}  # process that has joined -> what it belongs to, see owner_of()
        # origin, since, tgid and comm of a denial -> what it belongs to
        self._owner_of_kind: dict[tuple[int, int, int, str], tuple[str, str]] = {}
        # (syscall, what happened to it, owner) -> program -> times
        self._counts: dict[tuple[str, str, tuple[str, str]], dict[str, int]] = {}
        self._blocked: dict[tuple[str, str], set[str]] = {}  # owner -> syscalls

    def note_process(self, pid: int) -> None:
        """Find what a process belongs to, before it can be gone."""
        if len(self._owners) >= self.MAX_PROCESSES:  # most have ended; of one that has not /proc tells
            self._owners.clear()
        self._owners[pid] = owner_of(read_proc(pid, "cgroup"))

    def _find_owner(self, denial: Denial) -> tuple[str, str]:
        kind = denial.origin, denial.since, denial.tgid, denial.comm
        if kind not in self._owner_of_kind:
            owner = owner_of(read_proc(denial.tgid, "cgroup"))
            # Of a task that ends, it says / for each group of version 1 (proc_cgroup_show() in kernel/cgroup/cgroup.c).
            if not owner[0] and has_ended(denial.tgid):
                owner = self._owners.get(denial.origin, self.owner_of_all)
            if len(self._owner_of_kind) >= self.MAX_KINDS:
                self._owner_of_kind.clear()
            self._owner_of_kind[kind] = owner
        return self._owner_of_kind[kind]

    def add(self, denials: Iterable[Denial]) -> None:
        for denial in denials:
            if denial.other_owner:  # else a signal ended the task, or what became of it does not show
                self._add(denial)

    def _add(self, denial: Denial) -> None:
        architecture = denial.architecture
        name = syscall_name(architecture, denial.number) or ""
        label = f"{name or 'number'} ({denial.number})"
        if architecture != self._native:
            label += f", arch: {architecture.name}"
        outcome, owner = outcome_of(denial), self._find_owner(denial)
        kind = label, outcome.text, owner
        if kind not in self._counts and len(self._counts) >= self.MAX_KINDS:
            label, outcome, owner = "others", outcome._replace(text="various"), ("", "")
            kind = label, outcome.text, owner
        programs = self._counts.setdefault(kind, {})
        # One that gives itself a new name at each call must not fill the memory, or the log.
        comm = denial.comm if denial.comm in programs or len(programs) < self.MAX_PROGRAMS else "(others)"
        if comm not in programs:
            Log.result(f"Seccomp: {label}, action: {outcome.text}, pid: {denial.tgid}, comm: {quoted(comm)}"
                       + self._describe(owner), RED)
        programs[comm] = programs.get(comm, 0) + denial.times
        if outcome.is_blocked:
            self._blocked.setdefault(owner, set()).add(name)
        self._write_event(denial, name, outcome, owner)

    def _write_event(self, denial: Denial, name: str, outcome: Outcome, owner: tuple[str, str]) -> None:
        import json
        self._use_events(lambda events: events.write(json.dumps({
            "time": round(time.time(), 6), "pid": denial.tid, "tgid": denial.tgid, "comm": denial.comm,
            "arch": denial.architecture.name, "number": denial.number, "name": name, "action": outcome.action,
            "errno": outcome.errno_name, "guess": outcome.is_guess, "count": denial.times,
            **{kind: owner[1] if kind == owner[0] else "" for kind in ("container", "unit")}}).encode() + b"\n"))

    def _describe(self, owner: tuple[str, str]) -> str:
        kind, name = self.names.get(owner, owner)
        return f", {kind}: {quoted(name)}" if kind else ""

    def has_blocked(self) -> bool:
        return bool(self._blocked)

    def count_text(self) -> str:
        """How many syscalls filters have blocked, in a sentence."""
        return self._count_text(len(set().union(*self._blocked.values())), "was", "were")

    def summarize(self) -> None:
        for (label, text, owner), programs in sorted(self._counts.items()):
            by = ", ".join(f"{quoted(comm)} ({times})" for comm, times in sorted(programs.items()))
            Log.result(f"Seccomp summary: {label}, action: {text}, "
                       f"{count_of(sum(programs.values()), 'time', 'times')}, by: {by}{self._describe(owner)}", RED)
        for owner, names in sorted(self._blocked.items()):
            kind, name = self.names.get(owner, owner)
            where = f" in {kind} {quoted(name)}" if kind else ""
            if names - {""}:
                Log.result(f"To allow what was blocked{where}: {PROGRAM} merge -b {','.join(sorted(names - {''}))} "
                           "-o PROFILE PROFILE")


def owner_of_scope(scope: Scope, tids: Iterable[int]) -> tuple[str, str]:
    """What everything in a scope belongs to, also what comes into it later, as owner_of() has it; ("", "") if that may
    differ. `tids` are in it.
    """
    if isinstance(scope, ControlGroup):
        return owner_of(scope.path)
    owners = {owner_of(read_proc(tid, "cgroup")) for tid in tids} if isinstance(scope, PidNamespace) else set()
    owners.discard(("", ""))  # of what has ended meanwhile
    return owners.pop() if len(owners) == 1 else ("", "")


def names_of_owners(scope: Scope) -> dict[tuple[str, str], tuple[str, str]]:
    """What owner_of() gives for a container that was named -> that name."""
    if isinstance(scope, PidNamespace):
        return {scope.owner: ("container", scope.name)}
    if isinstance(scope, ControlGroup) and scope.container:
        return {owner_of(scope.path): ("container", scope.container)}
    return {}


class WatchCommand:
    """One run of `watch`."""

    READER_LIMIT_MS = RunCommand.READER_LIMIT_MS

    def __init__(self, options: WatchOptions, scope: Scope):
        self.options, self.scope, self.machine = options, scope, this_machine()
        libseccomp.load()
        import_now("json")
        identity = sudo_identity(os.environ)
        owner = (identity.uid, identity.gid) if identity else None
        self.events = EventsFile(options.events, owner) if options.events else None

    def run(self) -> int:
        """Watch until a signal, the time or the end of the last task; give the exit code."""
        with contextlib.ExitStack() as resources:
            if self.events:
                resources.callback(self.events.close)
            report = WatchReport(self.machine.own, self.events)
            Log.info("Loading bpf module")
            supervisor = resources.enter_context(Supervisor(has_command=False))
            watcher = open_scope_watcher(self.machine, self.scope)
            resources.callback(watcher.close)
            supervisor.check()
            if self.events:
                self.events.begin()
            tids = watcher.join()
            report.owner_of_all, report.names = owner_of_scope(self.scope, tids), names_of_owners(self.scope)
            self._announce(tids)
            failure = self._wait(watcher, report, supervisor)
            if self.events:
                supervisor.restore()  # nobody may read the fifo that is waited for
            report.finish_events(self.READER_LIMIT_MS if supervisor.requests else None)
            report.summarize()
            for loss in report.losses:
                Log.error(f"not all blocked calls may be known: {loss}")
            if failure:
                raise failure
            Log.info(report.count_text(), RED if report.has_blocked() else GREEN)
        if report.losses:
            return EXIT_FAILURE
        return EXIT_BLOCKED if self.options.strict and report.has_blocked() else 0

    def _announce(self, tids: Iterable[int]) -> None:
        if not self.scope.join_program:
            Log.info(f"Watching {self.scope.title}")
        else:
            modes = [proc_status(tid).get("Seccomp") for tid in tids]
            filtered = modes.count(SECCOMP_MODE_FILTER)
            until = "" if filtered else ", so that nothing is blocked until one loads a filter"
            Log.info(f"Watching {count_of(len(modes), 'task', 'tasks')}, {filtered} under a seccomp filter{until}: "
                     f"{self.scope.title}")
        Log.info("Calls that a filter lets pass and logs (SCMP_ACT_LOG) are not told from others")

    def _wait(self, watcher: ScopeWatcher, report: WatchReport, supervisor: Supervisor) -> Exception | None:
        """Report what comes; give what has made that fail."""
        end_s = time.monotonic() + self.options.duration
        timers = [Timer(self.options.duration, lambda: None)] if self.options.duration else []

        def read() -> None:
            denials = watcher.read()
            for pid in watcher.joined:
                report.note_process(pid)
            watcher.joined.clear()
            report.add(denials)

        def is_over() -> bool:
            return bool(self.options.duration and time.monotonic() >= end_s
                        or self.scope.join_program and not watcher.has_live_tasks())

        try:
            supervisor.wait_until(is_over, timers, {watcher.descriptor: read})
            read()
            report.add(watcher.finish())
            report.losses += watcher.losses()
            return None
        except Exception as error:
            return error

# --- Profile commands --------------------------------------------------------


def profile_target(path: str, option: str = "-o", registries: Settings = Settings()) -> Target:
    """The file, or tag in a registry, that a profile goes to: under sudo a file belongs to the calling user."""
    identity = sudo_identity(os.environ)
    return open_target(path, (identity.uid, identity.gid) if identity else None, container_host(), registries, option)


def read_profiles(paths: Sequence[str], registries: Settings) -> Iterator[LoadedProfile]:
    """These profiles, one after the other; standard input can be only one of them."""
    check_readable(paths)
    with ProfileReader(container_host(), registries) as reader:
        for path in paths:
            yield reader.read(path)


def read_united(paths: Sequence[str], registries: Settings, output: str = "") -> Iterator[tuple[str, LoadedProfile]]:
    """The same, each with its path and united with those in registries that it builds on; a path may be a pattern of
    tags, without what is written to.
    """
    check_readable(paths)
    with ProfileReader(container_host(), registries) as reader:
        for path in reader.expand(paths, output):
            yield path, reader.united(reader.read(path))


def check_readable(paths: Sequence[str]) -> None:
    """Raise UsageError for paths that cannot be read together."""
    if sum(split_name(path)[0] == "-" for path in paths) > 1:
        raise UsageError("-", "standard input can be read only once")
    if "" in paths:
        raise UsageError("''", "no file has an empty name")


def read_password() -> str:
    """The password on standard input, without the end of its line."""
    try:
        with open(0, "rb", closefd=False) as file:
            data = file.read(MAX_TOKEN_BYTES)
        password = data.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise SpocError("read password", "standard input", getattr(error, "strerror", "") or "is not UTF-8",
                        "echo PASSWORD | spoc.py ... --password-stdin") from None
    return password[:-1].rstrip("\r") if password.endswith("\n") else password


def given_login(values: dict[str, Any]) -> Login | None:
    """The login that the options, or else the variables of SPO's spoc, give."""
    user = values.get("username") or os.environ.get("SPOC_USERNAME", "")
    source = f"-u {user}" if "username" in values else f"SPOC_USERNAME={user}"
    if not user:
        if "password_stdin" in values:
            raise UsageError("--password-stdin", "whose password?", "give -u USER as well")
        return None
    if ":" in user or not user.isprintable():
        raise UsageError(source, "no name of a user: ':' ends it")
    password = read_password() if "password_stdin" in values else os.environ.get("SPOC_PASSWORD", "")
    if not password:
        raise UsageError(source, "no password", "give it with --password-stdin or in SPOC_PASSWORD")
    return Login(user, password)


def registry_settings(values: dict[str, Any], references: Iterable[Reference]) -> Settings:
    """How to reach the registries that the user has named: nobody else gets a login that was given for them."""
    hosts = {reference.host for reference in references}
    login = given_login(values) if hosts or "username" in values or "password_stdin" in values else None
    if login and len(hosts) != 1:
        where = f"{' and '.join(sorted(hosts))} are named" if hosts else "no registry is named"
        raise UsageError(f"-u {login.user}", f"a login is for one registry, and {where}",
                         "podman login HOST for each, and leave -u and SPOC_USERNAME out")
    accounts = [Account(os.geteuid(), os.getegid(), os.environ)]
    caller = sudo_identity(os.environ)
    if caller:
        accounts.append(Account(caller.uid, caller.gid, caller.environment))
    return Settings("plain_http" in values, values.get("ca", ""),
                    dict.fromkeys(hosts, login) if login else {}, accounts)


def make_artifact_of(paths: Sequence[str], artifact_type: str, platforms: Sequence[Platform],
                     annotations: dict[str, str], registries: Settings = Settings()) -> Artifact:
    """What is pushed of these files: each with its platform in the CRD format, one for all in the runtime format."""
    sources = list(read_profiles(paths, registries))
    kind = artifact_type or (ARTIFACT_RUNTIME if not platforms and {each.type for each in sources} == {TYPE_JSON} else
                             ARTIFACT_CRD)
    if kind == ARTIFACT_RUNTIME:
        if platforms or len(sources) > 1:
            raise UsageError(f"push -t {kind}", "it holds one profile for all platforms",
                             f"give one -f and no -p, or -t {ARTIFACT_CRD}")
        return runtime_artifact(sources[0], annotations)
    if len(sources) != len(platforms) and (platforms or len(sources) > 1):
        raise UsageError("push", f"{count_of(len(sources), 'profile', 'profiles')} for "
                         f"{count_of(len(platforms), 'platform', 'platforms')}", "give each -f a -p")
    for source in sources:
        if source.type != TYPE_CRD:
            raise ProfileError(source.file, 0, 0, "is JSON, and the CRD format holds YAML",
                               f"{PROGRAM} convert -t {TYPE_CRD} it, or push it with -t {ARTIFACT_RUNTIME}")
    texts = [(format_yaml(source.document) if split_name(path)[1] else source.reader.text).encode()
             for source, path in zip(sources, paths)]
    return crd_artifact(list(zip(platforms or (None,), texts)), annotations)


def push_files(values: dict[str, Any], reference: Reference) -> int:
    """Put profiles into a registry; give the exit code."""
    identity = sudo_identity(os.environ)
    paths = values.get("profiles") or (default_profile((identity.uid, identity.gid) if identity else None),)
    if "password_stdin" in values and "-" in paths:
        raise UsageError("--password-stdin", "standard input cannot be the profile as well", "name a file with -f")
    annotations = parse_annotations(values.get("annotations", ()), os.environ.get("SOURCE_DATE_EPOCH", ""))
    copied = [parse_reference(path) for path in paths if is_reference(path)]
    settings = registry_settings(values, [reference, *copied])
    artifact = make_artifact_of(paths, values.get("type", ""), values.get("platforms", ()), annotations, settings)
    others = [each.repository for each in copied if each.host == reference.host and each.place != reference.place]
    if "profiles" not in values:
        Log.info(f"Pushing {paths[0]}")
    with RegistryClient(settings) as client:
        digest = client.push(reference, artifact, "".join(others[:1]))
    write_stdout(f"Pushed {reference._replace(digest=digest)}\n")
    return 0


def pull_to_file(values: dict[str, Any], reference: Reference) -> int:
    """Get a profile from a registry; give the exit code."""
    host = container_host()
    path = values.get("output_file", "")
    with contextlib.ExitStack() as resources:
        target = resources.enter_context(profile_target(path)) if path else None
        if target:
            target.check()
        client = resources.enter_context(RegistryClient(registry_settings(values, [reference])))
        pulled = pull_profile(client, reference, values.get("platform") or platform_of(host))
        source = parse_profile(pulled.text(str(pulled.reference)), str(pulled.reference), host)
        if not target:
            identity = sudo_identity(os.environ)
            target = resources.enter_context(default_target(
                DEFAULT_OUTPUT[source.type], (identity.uid, identity.gid) if identity else None))
        warn_of_name(target.path, source.type)
        target.write(pulled.data)
        Log.info(f"Pulled {pulled.reference} into: {target.path}")
    return 0


def only_in(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """The keys of the one that the other does not have, or with another value."""
    return {key: value for key, value in one.items() if other.get(key) != value}


class ProfileFiles:
    """Profiles that become one, or are looked at as one: only what is needed of each stays in memory."""

    def __init__(self, paths: Sequence[str], registries: Settings = Settings(), output: str = ""):
        """What is written to is no input, though a pattern of tags may fit it."""
        self.number = 0
        self.files: dict[Profile, str] = {}  # the first file of each profile: on many nodes they are the same
        self.types: set[str] = set()
        self.extra: dict[str, Any] = {}
        self.extras: dict[str, dict[str, Any]] = {}
        self.metadata: dict[str, Any] | None = None  # what all objects have in common
        self.total = 0
        self.counts: collections.Counter[str] = collections.Counter()
        self._names: set[str] = set()
        merged: list[str] = []
        for path, source in read_united(paths, registries, output):
            before = self.total
            self._add(path, source)
            if self.total > before + 1:
                merged.append(path)
        if any(map(is_pattern, paths)):
            self._warn_of_patterns(merged)

    def _warn_of_patterns(self, merged: Sequence[str]) -> None:
        """Say what a pattern may fit besides what was meant: `web-*` is also of what is called web-api."""
        if len(self._names) > 1:
            Log.warning(f"profiles of {list_of(sorted(self._names))} become one: if these are different programs, "
                        "narrow the pattern")
        for path in merged if self.number > 1 else ():
            Log.warning(f"{path} is of several recordings: if they are among the others, they count twice; narrow the "
                        "pattern")

    def _add(self, path: str, source: LoadedProfile) -> None:
        self.number += 1
        rules = [rule._replace(names=tuple(map(sys.intern, rule.names))) for rule in source.profile.rules]
        self.files.setdefault(source.profile._replace(rules=tuple(rules)), path)
        self.types.add(source.type)
        self.extras[path] = extra_keys(source)
        for key, value in self.extras[path].items():
            if self.extra.setdefault(key, value) != value:
                raise SpocError("merge", key, f"{self.extra[key]} elsewhere, but {value} in {path}",
                                "have them say the same")
        if source.type == TYPE_CRD:
            metadata = source.document.get("metadata") or {}
            self._names.add(str(metadata.get("name", "")))
            common = self.metadata if self.metadata is not None else metadata
            self.metadata = {key: common[key] for key in ("name", "namespace")
                             if common.get(key) and common[key] == metadata.get(key)}
            labels, others = labels_of(common), labels_of(metadata)
            shared = {key: value for key, value in labels.items() if others.get(key) == value and key != PARTIAL_LABEL}
            self.metadata.update({"labels": shared} if shared else {})
        if source.depends_on_machine:
            Log.info(f"{path}: rules that depend on the machine are taken as for a container on this one")
        total, counts = coverage_of(source)
        self.total += total
        self.counts.update(counts)

    @property
    def profiles(self) -> list[tuple[str, Profile]]:
        return [(file, profile) for profile, file in self.files.items()]

    def check_bases(self) -> None:
        """Refuse to intersect profiles of which some add what another allows, or ask another process."""
        for path, extra in self.extras.items():
            for key in only_in(self.extra, extra):
                raise SpocError("intersect", key, f"{path} has none, and others have", "have all say the same")

    def text(self, profile: Profile, profile_type: str, name: str) -> str:
        """The text of what the profiles were merged to; the object's name only if they do not agree on one."""
        import json
        if profile_type == TYPE_JSON and "baseProfileName" in self.extra:
            raise SpocError("write profile", "baseProfileName", f"the type {TYPE_JSON} cannot say it",
                            f"use -t {TYPE_CRD}")
        metadata = dict(self.metadata or {})
        names = {name for rule in profile.rules for name in rule.names}
        counts = {name: count for name, count in sorted(self.counts.items()) if name in names}
        metadata["annotations"] = {COVERAGE: json.dumps(
            {"version": "v1", "total": self.total, "syscalls": counts}, separators=(",", ":"))}
        return format_profile(profile, profile_type, name, self.extra, metadata)


def tell_unknown(names: Iterable[str]) -> None:
    """List those that the installed libseccomp does not know: spelled wrongly, or newer; runtimes skip them, too. What
    the kernel makes by itself is no mistake.
    """
    names = set(names)
    unknown: set[str] = set()
    with contextlib.suppress(LibraryError):  # merge works without it
        unknown.update(name for name in names if name not in KERNEL_CALLS and not is_syscall_name(name))
    if unknown:
        Log.warning("libseccomp does not know these syscalls, and skips their rules: "
                    + list_unknown(unknown, names))


class Least(NamedTuple):
    """A number of recordings, or a share of them."""

    text: str  # as it was given
    number: int
    of_number: int  # of how many, if it is a share; else 0

    def of(self, total: int) -> int:
        """How many of so many recordings this is, at least."""
        return -(-total * self.number // self.of_number) if self.of_number else self.number


class MergeOptions(NamedTuple):
    type: str = ""
    output_file: str = "-"
    name: str = ""
    default_action: Verdict | None = None
    base_syscalls: tuple[str, ...] = ()
    portable: bool = False
    check: bool = False
    intersect: bool = False
    at_least: Least | None = None
    registries: Settings = Settings()

    @property
    def object_name(self) -> str:
        """A name for the object by what the profile is written to."""
        if is_reference(self.output_file):
            return kubernetes_name(parse_reference(self.output_file).repository)
        stem = os.path.basename(self.output_file).rpartition(".")[0]
        return kubernetes_name("merged" if named_descriptor(self.output_file) is not None else
                               stem or self.output_file)


def leave_out_rare(profile: Profile, files: ProfileFiles, least: Least) -> Profile:
    """The profile without what was seen in fewer recordings, which is listed."""
    subject, number = f"--at-least {least.text}", least.of(files.total)
    if profile.default.lets_pass:
        raise SpocError("merge", subject, f"the default, {profile.default}, lets pass what is left out")
    if number > files.total:
        raise SpocError("merge", subject, f"there are {count_of(files.total, 'recording', 'recordings')} only",
                        "a share of them ends in %: 50%")
    profile, rare = without_rare(profile, files.counts, number)
    Log.info(f"Left out what fewer than {number} of {count_of(files.total, 'recording', 'recordings')} have: "
             f"{', '.join(f'{name} ({files.counts[name]})' for name in rare) or 'nothing'}")
    return profile


def add_base(profile: Profile, names: Sequence[str], file: str) -> Profile:
    """The profile of this file with these syscalls allowed, and nothing else; says what that changes."""
    added = profile._replace(rules=(Rule(SCMP_ACT_ALLOW, tuple(names)),))
    new = sorted(name for rule in missing_from(profile, added, "").rules for name in rule.names)
    if profile.default.lets_pass:  # a union with what lets all else pass would lift each of its denials
        added = profile._replace(rules=(*without_names(profile.rules, set(names)), *added.rules))
        united = merge_profiles([("-b", added)])
    else:
        united = merge_profiles([(file, profile), ("-b", added)])
    Log.info(f"Added {', '.join(new) or 'nothing: -b names what was allowed'}")
    for name in names:
        lifted = describe_lifted(profile, name)
        if lifted:
            Log.warning(f"-b {name} lifts {lifted}")
    return united


def merge_files(options: MergeOptions, paths: Sequence[str]) -> int:
    """The union of these files into one, or what all of them allow; give the exit code."""
    with profile_target(options.output_file, registries=options.registries) as target:
        target.check()
        files = ProfileFiles(paths, options.registries, options.output_file)
        # Where they differ: the type that record has by default, too.
        profile_type = options.type or type_of_name(options.output_file) or (
            TYPE_JSON if files.types == {TYPE_JSON} else TYPE_CRD)
        check_name(options.name, profile_type)
        warn_of_name(options.output_file, profile_type)
        if options.intersect:
            files.check_bases()
            profile = intersect_profiles(files.profiles)
        else:
            profile = merge_profiles(files.profiles, options.default_action)
        if options.at_least:
            profile = leave_out_rare(profile, files, options.at_least)
        if options.base_syscalls:
            profile = add_base(profile, options.base_syscalls, ", ".join(paths))
        tell_unknown(name for rule in profile.rules for name in rule.names)
        if options.portable:
            before, profile = profile, portable_profile(profile, profile_type == TYPE_JSON)
            tell_portable(before, profile)
        if options.intersect:
            with contextlib.suppress(LibraryError):  # merge works without it
                check_intersection(profile, this_machine().native)
        if options.name and files.metadata:
            files.metadata["name"] = options.name
        target.write(files.text(profile, profile_type, options.name or options.object_name))
        if profile_type == TYPE_JSON and files.total > files.number:
            Log.info(f"{TYPE_JSON} has no place for the coverage: merged again, this is one recording of "
                     f"{files.total}; -t {TYPE_CRD} keeps it")
        verb = "Intersected" if options.intersect else "Merged"
        place = "standard output" if options.output_file == "-" else target.path
        Log.info(f"{verb} {count_of(files.number, 'profile', 'profiles')} into: {place}")
    return 0


def check_file(path: str, paths: Sequence[str], registries: Settings) -> int:
    """Print what a profile would have to allow as well to allow what others do; 0 if that is nothing, 1 otherwise."""
    given, needed = ProfileFiles([path], registries), ProfileFiles(paths, registries, path)
    native = this_machine().native.name
    extra = only_in(needed.extra, given.extra)
    (_, profile), = given.profiles
    lines: set[str] = set()
    for _, each in needed.profiles:
        lines.update(format_statements(missing_from(profile, each, native), extra))
    if lines:
        write_difference(path, ", ".join(paths), [(1, line) for line in sorted(lines)])
    return 1 if lines else 0


def write_difference(one: str, other: str, lines: Sequence[tuple[int, str]]) -> None:
    """Print what only the one says (0) and what only the other does (1), as diff -u marks it."""
    signs, end = ("-", "+"), ""
    if has_colour(1):
        signs, end = (f"\x1b[{RED}m-", f"\x1b[{GREEN}m+"), "\x1b[m"
    shown = [f"--- {printable(one)}", f"+++ {printable(other)}"]
    shown += [signs[side] + printable(line) + end for side, line in lines]
    write_stdout("".join(f"{line}\n" for line in shown))


def diff_files(one: str, other: str, as_json: bool, registries: Settings) -> int:
    """Print what only the one says and what only the other; 0 if they mean the same, 1 otherwise."""
    first, second = read_profiles((one, other), registries)
    native = this_machine().native.name
    documents, lines = [], []
    for side, (mine, its) in enumerate(((first, second), (second, first))):
        only = diff_profiles(mine.profile, its.profile, native)
        extra = only_in(extra_keys(mine), extra_keys(its))
        documents.append({**profile_document(only), **extra})
        # What is about the same syscall stands together, the default first.
        lines += [(line.partition(" ")[0], side, line) for line in format_statements(only, extra)]
        if mine.profile.default != its.profile.default:
            lines.append(("", side, f"default: {mine.profile.default}"))
    if as_json:
        write_stdout(format_json({"same": not lines, "a": documents[0], "b": documents[1]}))
    elif lines:
        write_difference(one, other, [(side, line) for _, side, line in sorted(lines)])
    return 1 if lines else 0


TYPE_DOCKER, TYPE_BPF, TYPE_PFC = "docker", "bpf", "pfc"
DOCUMENT_TYPES = (TYPE_CRD, TYPE_JSON, TYPE_DOCKER)
CONVERT_TYPES = (*DOCUMENT_TYPES, TYPE_SYSTEMD, TYPE_BPF, TYPE_PFC)
CRD_LISTENER_PATH = r"/var/run/security-profiles-operator/[a-zA-Z0-9_\-.]+"
# The architectures whose kernels take calls of another as well: archMap in moby/profiles, seccomp/default.json.
DOCKER_MAIN = dict(pair.split(":") for pair in (
    "X86:X86_64 X32:X86_64 ARM:AARCH64 MIPS:MIPS64 MIPS64N32:MIPS64 MIPSEL:MIPSEL64 MIPSEL64N32:MIPSEL64 S390:S390X"
).split())
# SystemCallArchitectures= and ConditionArchitecture= in systemd.exec(5) and systemd.unit(5).
SYSTEMD_ARCHITECTURES = dict(pair.split(":") for pair in """
    NATIVE:native X86:x86 X86_64:x86-64 X32:x32 ARM:arm AARCH64:arm64 LOONGARCH64:loongarch64 MIPS:mips MIPS64:mips64
    MIPS64N32:mips64-n32 MIPSEL:mips-le MIPSEL64:mips64-le MIPSEL64N32:mips64-le-n32 PARISC:parisc PARISC64:parisc64
    PPC:ppc PPC64:ppc64 PPC64LE:ppc64-le RISCV64:riscv64 S390:s390 S390X:s390x
    """.split())
SYSTEMD_COLUMNS = 119  # of a line; there is no limit that matters
EHWPOISON = 133  # errno.h; what is newer a systemd knows by its number only, unless it was built with a newer libc


def systemd_errno(number: int) -> str:
    """What every version of systemd takes for an errno."""
    return errno.errorcode.get(number, str(number)) if number <= EHWPOISON else str(number)


class Conversion:
    """A profile on its way to another format. What that cannot say is an error, which names the rule and the key."""

    def __init__(self, source: LoadedProfile, profile: Profile, native: Architecture,
                 labels: dict[str, str] | None = None, api_version: str = API_V1BETA1):
        """With `labels` beside those that the object has, in this version of its API."""
        self.source, self.native, self.type = source, native, source.type
        self.labels, self.api_version = labels or {}, api_version
        self.profile = profile._replace(architectures=tuple(dict.fromkeys(profile.architectures)),
                                        flags=profile.flags and tuple(dict.fromkeys(profile.flags)))
        self.spec = spec_of(source.document)

    def refuse(self, key: str, reason: str, name: str = "") -> NoReturn:
        """Fail at this key of the profile or, with a syscall's name, of its rule."""
        file, line, column = self.source.place_of(key, name)
        raise SpocError(f"convert to {self.type}", f"{file}:{line}:{column}", f"{name and name + ': '}{key}: {reason}",
                        "change the profile, or choose another type with -t")

    def convert(self, to_type: str) -> str | bytes:
        """The profile in a format of CONVERT_TYPES."""
        self.type = to_type
        for key in ("flags", *EXTRA_KEYS):
            types = (TYPE_CRD,) if key == "baseProfileName" else DOCUMENT_TYPES
            if self.spec.get(key) and to_type not in types:
                self.refuse(key, "it has no place there")
        if len(self.spec.get("archMap") or ()) > 1:
            Log.info(f"{self.source.file}: of archMap, what is for this machine is kept")
        writers: dict[str, Callable[[], str | bytes]] = {
            TYPE_CRD: self._crd, TYPE_JSON: self._oci, TYPE_DOCKER: self._docker, TYPE_SYSTEMD: self._systemd,
            TYPE_BPF: lambda: self._compiled(text=False), TYPE_PFC: lambda: self._compiled(text=True)}
        return writers[to_type]()

    def _oci(self) -> str:
        return format_profile(self.profile, TYPE_JSON, "", extra_keys(self.source))

    def _compiled(self, text: bool) -> bytes:
        for key, action, names in (("defaultAction", self.profile.default_action, ("",)),
                                   *(("action", rule.action, rule.names[:1]) for rule in self.profile.rules)):
            if action == SCMP_ACT_NOTIFY and names:
                self.refuse(key, "a listener has no place there", names[0])
        builder = FilterBuilder(self.profile, self.native)
        if text:
            data, skipped = builder.export(text=True)
        else:
            compiled = builder.build()
            data, skipped = compiled.program, compiled.skipped
        tell_unknown(skipped)
        return data

    def _docker(self) -> str:
        """As in OCI JSON, but with the architectures by the machine that they are for."""
        if self.profile.flags == ():
            self.refuse("flags", NO_FLAGS)
        document = profile_document(self.profile)
        families: dict[str, list[str]] = {}
        for name in document["architectures"]:
            main = "SCMP_ARCH_" + DOCKER_MAIN.get(name[10:], name[10:])
            families.setdefault(main, []).extend([name] if name != main else [])
        document["architectures"] = [{"architecture": main, "subArchitectures": others}
                                     for main, others in families.items()]
        return format_json({"archMap" if key == "architectures" else key: value
                            for key, value in {**document, **extra_keys(self.source)}.items()})

    def _crd(self) -> str:
        import re
        for key, _, reason, name in crd_lacks(self.profile):
            self.refuse(key, reason, name)
        if not re.fullmatch(CRD_LISTENER_PATH, self.spec.get("listenerPath") or "") and self.spec.get("listenerPath"):
            self.refuse("listenerPath", f"the CRD takes {CRD_LISTENER_PATH} only")
        given = self.source.document.get("metadata") if self.source.type == TYPE_CRD else None
        file, _ = os.path.splitext(self.source.file)
        if is_reference(file):
            file = parse_reference(self.source.file).repository
        metadata = {key: given[key] for key in ("annotations", "labels", "namespace") if given and given.get(key)}
        if self.labels:
            metadata["labels"] = dict(sorted({**labels_of(metadata), **self.labels}.items(), key=str))
        if self.api_version == API_V1 and "namespace" in metadata:
            Log.info(f"Leaving the namespace {metadata.pop('namespace')} out: objects of {API_V1} belong to none")
        return format_profile(
            self.profile, TYPE_CRD, kubernetes_name(self.source.name or ("profile" if file == "-" else file)),
            extra_keys(self.source), metadata, self.api_version)

    def _systemd(self) -> str:
        """A drop-in. Each setting is reset first: they add to what the unit has otherwise."""
        import textwrap
        verdicts = self._systemd_verdicts()
        default, number = self.profile.default
        names = {action: [name for name, verdict in verdicts.items() if verdict.action == action] for action in ACTIONS}
        if default == SCMP_ACT_LOG and not names[SCMP_ACT_ALLOW]:
            self.refuse("defaultAction", f"systemd cannot answer {SCMP_ACT_LOG} to every syscall")
        for name in self.profile.architectures:
            if name[10:] not in SYSTEMD_ARCHITECTURES:
                self.refuse("architectures", f"systemd has no name for {name}")
        self._tell_kernel_calls({*names[SCMP_ACT_ALLOW], *names[SCMP_ACT_LOG]})

        def lines(setting: str, words: Iterable[str]) -> list[str]:
            return textwrap.wrap(" ".join(words), SYSTEMD_COLUMNS, initial_indent=setting, subsequent_indent=setting,
                                 break_long_words=False, break_on_hyphens=False)

        if default in PERMISSIVE:
            filtered = lines("SystemCallFilter=~", (
                name + (f":{systemd_errno(answer)}" if action == SCMP_ACT_ERRNO else "")
                for name, (action, answer) in verdicts.items() if action not in PERMISSIVE))
        else:
            # An allow list holds, from its first line on, @default as well, which differs between versions.
            filtered = ["SystemCallFilter=execve", "SystemCallFilter=~@default", *lines("SystemCallFilter=", verdicts)]
        return "\n".join((
            "[Service]", "SystemCallArchitectures=",
            *lines("SystemCallArchitectures=", (SYSTEMD_ARCHITECTURES[name[10:]]
                                                for name in self.profile.architectures or ("SCMP_ARCH_NATIVE",))),
            "SystemCallFilter=", *filtered,
            f"SystemCallErrorNumber={systemd_errno(number) if number else ''}",
            "SystemCallLog=", *lines("SystemCallLog=", names[SCMP_ACT_LOG]),
            *lines("SystemCallLog=~", names[SCMP_ACT_ALLOW] if default == SCMP_ACT_LOG else ()), ""))

    def _tell_kernel_calls(self, allowed: set[str]) -> None:
        """systemd's @default would allow most of them."""
        architectures = [Architecture(name, architecture_token(name))
                         for name in self.profile.architectures] or [self.native]
        missing = kernel_calls(architectures) - allowed
        if missing and self.profile.default_action not in PERMISSIVE:
            Log.warning(f"the profile does not allow what the kernel makes by itself: {', '.join(sorted(missing))}")

    def _systemd_verdicts(self) -> dict[str, Verdict]:
        """The answer to each syscall that is not answered as by default."""
        default, number = self.profile.default
        names = sorted({name for rule in self.profile.rules for name in rule.names})
        tell_unknown(names)
        if default not in (*PERMISSIVE, SCMP_ACT_ERRNO, SCMP_ACT_KILL_PROCESS):
            self.refuse("defaultAction", f"systemd does not answer {default}; it has {SCMP_ACT_ERRNO}, "
                                         f"{SCMP_ACT_KILL_PROCESS}, {SCMP_ACT_ALLOW} and {SCMP_ACT_LOG}")
        if default == SCMP_ACT_ERRNO and not number:
            self.refuse("defaultErrnoRet", "systemd does not answer errno 0")
        answered = {*PERMISSIVE, *((SCMP_ACT_ERRNO, SCMP_ACT_KILL_PROCESS) if default in PERMISSIVE else ())}
        verdicts = {}
        for name, deciding in sorted(deciding_by_name(self.profile).items()):
            if deciding and deciding[0].conditions:
                self.refuse("args", "systemd has no conditions", name)
            if not name or name.strip(LETTERS + DIGITS + "_"):
                self.refuse("names", "systemd takes no such name", name)
            if deciding:
                verdicts[name] = deciding[0].verdict
                if verdicts[name].action not in answered:
                    self.refuse("action", f"systemd does not answer {verdicts[name].action} to some where it answers "
                                          f"{default} to others", name)
        return verdicts


def drop_in_of(profile: Profile) -> str:
    """What was recorded, as a drop-in of systemd."""
    source = parse_profile(format_profile(profile, TYPE_JSON, ""), "recording", container_host())
    return str(Conversion(source, profile, this_machine().native).convert(TYPE_SYSTEMD))


# Groups of syscalls: those of systemd 257 (src/shared/seccomp-util.c), each in one of them, and the rest. What
# Docker's default profile (moby/profiles, seccomp/default.json, as in tests/data) denies without further capabilities
# has a -, what it allows under conditions a ?, and what is not listed it denies.
SYSCALL_GROUPS = """
@default: arch_prctl brk cacheflush clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep
clock_nanosleep_time64 execve exit exit_group futex futex_time64 futex_waitv get_robust_list get_thread_area getegid
getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getpgid getpgrp getpid getppid getrandom getresgid
getresgid32 getresuid getresuid32 getrlimit getsid gettid gettimeofday getuid getuid32 -lsm_get_self_attr
-lsm_list_modules membarrier mmap mmap2 mprotect mseal munmap nanosleep pause prlimit64 restart_syscall
riscv_flush_icache riscv_hwprobe rseq rt_sigreturn sched_getaffinity sched_yield set_robust_list set_thread_area
set_tid_address set_tls sigreturn time ugetrlimit uretprobe
@aio: io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit -io_uring_enter
-io_uring_register -io_uring_setup
@basic-io: _llseek close close_range dup dup2 dup3 lseek pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readv
write writev
@chown: chown chown32 fchown fchown32 fchownat lchown lchown32
@clock: adjtimex clock_adjtime clock_adjtime64 -clock_settime -clock_settime64 -settimeofday
@cpu-emulation: modify_ldt -subpage_prot -switch_endian -vm86 -vm86old
@debug: -lookup_dcookie -perf_event_open -pidfd_getfd ptrace -rtas s390_runtime_instr -sys_debug_setcontext
@file-system: access chdir chmod creat faccessat faccessat2 fallocate fchdir fchmod fchmodat fchmodat2 fcntl fcntl64
fgetxattr flistxattr fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 ftruncate ftruncate64 futimesat
getcwd getdents getdents64 getxattr getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch lgetxattr
link linkat listmount listxattr listxattrat llistxattr lremovexattr lsetxattr lstat lstat64 mkdir mkdirat mknod mknodat
newfstatat -oldfstat -oldlstat -oldstat open openat openat2 readlink readlinkat removexattr removexattrat rename
renameat renameat2 rmdir setxattr setxattrat stat stat64 statfs statfs64 statmount statx symlink symlinkat truncate
truncate64 unlink unlinkat utime utimensat utimensat_time64 utimes
@io-event: _newselect epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait
epoll_wait_old eventfd eventfd2 poll ppoll ppoll_time64 pselect6 pselect6_time64 select
@ipc: ipc memfd_create mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend
mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd pipe pipe2 -process_madvise process_vm_readv
process_vm_writev semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt shmget
@keyring: -add_key -keyctl -request_key
@memlock: mlock mlock2 mlockall munlock munlockall
@module: -delete_module -finit_module -init_module
@mount: chroot -fsconfig -fsmount -fsopen -fspick -mount -mount_setattr -move_mount -open_tree -pivot_root -umount
-umount2
@network-io: accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg
recvmmsg_time64 recvmsg send sendmmsg sendmsg sendto setsockopt shutdown ?socket socketcall socketpair
@obsolete: -_sysctl -afs_syscall -bdflush -create_module -get_kernel_syms -getpmsg -putpmsg -query_module -security
-sgetmask -ssetmask -stime -sysfs -tuxcall -uselib -ustat -vserver
@pkey: pkey_alloc pkey_free pkey_mprotect
@process: capget ?clone -clone3 execveat fork getrusage kill pidfd_open pidfd_send_signal prctl rt_sigqueueinfo
rt_tgsigqueueinfo -setns swapcontext tgkill times tkill -unshare vfork wait4 waitid waitpid
@raw-io: -ioperm -iopl -pciconfig_iobase -pciconfig_read -pciconfig_write s390_pci_mmio_read s390_pci_mmio_write
@reboot: -kexec_file_load -kexec_load -reboot
@resources: ioprio_set -mbind -migrate_pages -move_pages -nice sched_setaffinity sched_setattr sched_setparam
sched_setscheduler -set_mempolicy -set_mempolicy_home_node setpriority setrlimit
@sandbox: landlock_add_rule landlock_create_ruleset landlock_restrict_self seccomp
@setuid: setgid setgid32 setgroups setgroups32 setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid
setreuid32 setuid setuid32
@signal: rt_sigaction rt_sigpending rt_sigprocmask rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 -sigaction
sigaltstack -signal signalfd signalfd4 -sigpending sigprocmask -sigsuspend
@swap: -swapoff -swapon
@sync: fdatasync fsync msync sync sync_file_range sync_file_range2 syncfs
@timer: alarm getitimer setitimer timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64
timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64
@system-service: arm_fadvise64_64 capset copy_file_range fadvise64 fadvise64_64 flock -get_mempolicy getcpu getpriority
ioctl ioprio_get -kcmp madvise mremap name_to_handle_at -oldolduname -olduname ?personality readahead -readdir
remap_file_pages sched_get_priority_max sched_get_priority_min sched_getattr sched_getparam sched_getscheduler
sched_rr_get_interval sched_rr_get_interval_time64 sendfile sendfile64 setfsgid setfsgid32 setfsuid setfsuid32 setpgid
setsid splice sysinfo tee umask uname -userfaultfd vmsplice
@privileged: -acct -bpf -fanotify_init fanotify_mark -nfsservctl -open_by_handle_at -quotactl -quotactl_fd
-setdomainname -sethostname -vhangup
other: arm_sync_file_range breakpoint cachestat futex_requeue futex_wait futex_wake map_shadow_stack memfd_secret
mincore process_mrelease
"""


MAX_SHOWN = 200  # names that are no syscalls: a hostile profile may hold any number


def to_ascii(name: str) -> str:
    """A name in ASCII, since a hostile profile may hold any."""
    return printable(name).encode("ascii", "backslashreplace").decode()


def name_condition(syscall: str, condition: Condition) -> str:
    """A condition for a person, with what the values in it are called."""
    text = condition.text(f"args[{condition.argument}]")
    mask, wanted = condition.compared
    is_whole = mask in (MASK_32, MASK_64)
    for names in value_names().get((syscall, condition.argument), []):
        name = names.name_of(wanted)
        if is_whole and name:
            return f"{text} ({name})"
        masked = names.name_of(mask) if names.are_flags and not is_whole else ""
        if masked and wanted in (0, mask):
            return f"{text} ({'all of' if wanted else 'none of'} {masked.replace('|', ', ')})"
    return text


NOT_ALLOWED, UNDER_CONDITIONS, ALLOWED = range(3)  # logged calls are allowed


class Portrait:
    """A profile as a person is to see it: facts, and sections of rows (what, how many, which or why)."""

    def __init__(self, title: str, profile: Profile, native: Architecture, base: str = "",
                 coverage: tuple[int, dict[str, int]] = (1, {})):
        """`base` is the name of the profile that this one builds on, whose rules are not looked at; `coverage` says of
        how many recordings it is made, and in how many of them each syscall was seen.
        """
        self.title, self.flags, self.default, self.base = title, profile.flags, profile.default, base
        self.recordings, self.counts = coverage
        self.has_common_values = names_are_common(profile.architectures)
        listed = [name[10:].lower() for name in profile.architectures if name != "SCMP_ARCH_NATIVE"]
        self.syscalls = {name: architecture_syscalls(architecture_token(name))
                         for name in listed or [native.short_name]}
        names = sorted(set().union(*self.syscalls.values()))
        deciding = deciding_by_name(profile)
        self.unknown = deciding.keys() - names
        rules = tuple(without_names(profile.rules, self.unknown))
        self.instructions = self._instructions(profile._replace(rules=rules), native)
        self.verdicts = {name: list(possible_verdicts(deciding.get(name, ()), self.default, {})) for name in names}
        self.conditions = {name: deciding[name] for name in names if len(self.verdicts[name]) > 1}
        self.groups: dict[str, list[str]] = {}
        self.docker: dict[str, int] = {}
        for word in SYSCALL_GROUPS.split():
            if word.endswith(":"):
                group = word[:-1]
                continue
            name = word.lstrip("-?")
            self.docker[name] = {"-": NOT_ALLOWED, "?": UNDER_CONDITIONS}.get(word[0], ALLOWED)
            if name in self.verdicts:
                self.groups.setdefault(group, []).append(name)
        others = [name for name in names if name not in self.docker]
        if others:
            self.groups.setdefault("other", []).extend(others)
        self.risks = {name: why for name, why in high_risk().items() if name in self.verdicts}
        # Of high risk, and allowed: what Docker allows under conditions, without any.
        self.risky = {name for name in self.risks if self.level(name) > (
            UNDER_CONDITIONS if self.docker.get(name) == UNDER_CONDITIONS else NOT_ALLOWED)}

    def level(self, name: str) -> int:
        """NOT_ALLOWED, UNDER_CONDITIONS or ALLOWED."""
        allowed = [verdict.lets_pass for verdict in self.verdicts[name]]
        if all(allowed):
            return ALLOWED
        return UNDER_CONDITIONS if any(allowed) else NOT_ALLOWED

    @staticmethod
    def _instructions(profile: Profile, native: Architecture) -> str:
        try:
            plain, tree = (FilterBuilder(profile, native).export(optimize=level)[0] for level in (1, 2))
        except SpocError as error:  # other architectures may be beyond libseccomp on this machine
            return f"cannot be built here: {error.subject}: {error.reason}"
        return (f"{len(plain) // SOCK_FILTER_BYTES} BPF instructions, at most {longest_path(plain)} of them per call; "
                f"as a binary tree {len(tree) // SOCK_FILTER_BYTES}, at most {longest_path(tree)}")

    def facts(self) -> list[tuple[str, str, float]]:
        """Label, text, and the share that a bar is to show, negative if there is none."""
        facts = [("default", str(self.default), -1.0)]
        if self.base:
            facts.append(("builds on", f"{to_ascii(self.base)}, whose rules come in addition and are not shown", -1.0))
        for name, syscalls in self.syscalls.items():
            count = sum(self.level(each) > 0 for each in syscalls)
            share = count / max(1, len(syscalls))
            facts.append((name, f"{count} of {len(syscalls)} syscalls allowed, {100 * share:.0f} %", share))
        if self.flags is not None:
            facts.append(("flags", ", ".join(self.flags or ("none",)), -1.0))
        docker = [row[1] for row in self.against_docker()]
        return [*facts, ("filter", self.instructions, -1.0),
                ("Docker", f"tighter than its default profile by {docker[0]} syscalls, wider by {docker[1]}", -1.0)]

    def sections(self) -> list[tuple[str, list[tuple[str, str, str]]]]:
        """Headings, each with its rows, which may be none."""
        def describe(name: str) -> Callable[[Condition], str]:
            if self.has_common_values:
                return functools.partial(name_condition, name)
            return lambda condition: condition.text(f"args[{condition.argument}]")

        risks = [(name, "", self.risks[name]) for name in sorted(self.risky)]
        groups = []
        for group, names in self.groups.items():
            allowed = [name for name in names if self.level(name)]
            text = " ".join(allowed)
            if self.default.lets_pass:  # what is missing tells more
                others = [name for name in names if name not in allowed]
                text = f"all but {' '.join(others)}" if others else "all"
            if allowed:
                groups.append((group, f"{len(allowed)}/{len(names)}", text))
        answers: dict[str, list[str]] = {}
        for name, verdicts in self.verdicts.items():
            if len(verdicts) == 1 and verdicts[0] not in (self.default, ALLOW):
                answers.setdefault(str(verdicts[0]), []).append(name)
        unknown = [to_ascii(name) for name in sorted(self.unknown)[:MAX_SHOWN]]
        if len(self.unknown) > MAX_SHOWN:
            unknown.append(f"and {len(self.unknown) - MAX_SHOWN} more")
        return [
            (f"High risk: {len(risks)} allowed", risks),
            ("Allowed, by group", groups),
            (f"Under conditions: {len(self.conditions)}",
             [(name, "", "; ".join(rule.answer.described(describe(name)) for rule in rules))
              for name, rules in self.conditions.items()]),
            (f"Answered otherwise: {sum(map(len, answers.values()))}",
             [(verdict, str(len(names)), " ".join(names)) for verdict, names in sorted(answers.items())]),
            ("Against Docker's default profile", self.against_docker()),
            (f"No syscalls of these architectures: {len(self.unknown)}",
             [("skipped", str(len(self.unknown)), " ".join(unknown))] if unknown else [])]

    def shares(self) -> list[tuple[str, float, str]]:
        """Which syscalls were seen in how many recordings, and which share of all these are; the fewest first."""
        names: dict[int, list[str]] = {}
        for name, verdicts in self.verdicts.items() if self.recordings > 1 else ():
            if name in self.counts or any(verdict.lets_pass for verdict in verdicts) and not self.default.lets_pass:
                names.setdefault(self.counts.get(name, 0), []).append(name)
        return [(f"{count} of {self.recordings}", count / self.recordings, " ".join(names[count]))
                for count in sorted(names)]

    def against_docker(self) -> list[tuple[str, str, str]]:
        """In how many syscalls the profile is tighter and wider than Docker's default, and which."""
        groups, tighter, wider, both = [], [], [], []
        tighter_count = 0
        for group, names in self.groups.items():
            lost = [name for name in names if self.level(name) < self.docker.get(name, NOT_ALLOWED)]
            tighter_count += len(lost)
            if len(lost) > 2 and len(lost) == sum(self.docker.get(name, NOT_ALLOWED) > 0 for name in names):
                groups.append(f"all {len(lost)} of {group}")
            else:
                tighter += lost
            wider += [name for name in names if self.level(name) > self.docker.get(name, NOT_ALLOWED)]
            both += [name for name in names if self.level(name) == self.docker.get(name) == UNDER_CONDITIONS]
        rows = [("tighter by", str(tighter_count), ", ".join(groups + sorted(tighter))),
                ("wider by", str(len(wider)), ", ".join(wider))]
        if both:
            rows.append(("not compared", str(len(both)), ", ".join(both) + ", which both allow under conditions"))
        return rows


def portrait_of(path: str, registries: Settings) -> Portrait:
    """The portrait of a profile or, of all tags that a pattern stands for, of their union."""
    native = this_machine().native
    check_readable([path])
    with ProfileReader(container_host(), registries) as reader:
        paths = list(reader.expand([path]))
        if paths == [path]:
            source = reader.read(path)
            return Portrait(source.file + (source.name and f": {source.name}"), source.profile, native,
                            source.base_profile_name, coverage_of(source))
    files = ProfileFiles(paths, registries)
    return Portrait(path, merge_profiles(files.profiles), native, str(files.extra.get("baseProfileName", "")),
                    (files.total, files.counts))


BAR_CELLS = 24
SHARES = "Seen in how many recordings"


def format_portrait(portrait: Portrait, columns: int, colour: bool) -> str:
    """The text of show, no line of which is wider than the columns."""
    import textwrap

    def painted(code: str, text: str) -> str:
        return paint(text, code) if colour else text

    def bar(share: float) -> str:
        cells = round(BAR_CELLS * share)
        return painted(GREEN, "█" * cells) + painted(FAINT, "░" * (BAR_CELLS - cells)) + " " if columns > 70 else ""

    columns = max(columns, 40)
    lines = textwrap.wrap(to_ascii(portrait.title), columns) + [""]
    for label, text, share in portrait.facts():
        if share >= 0:
            lines.append(f"{label:12} {bar(share)}{text}")
        else:
            lines += textwrap.wrap(text, columns, initial_indent=f"{label:12} ", subsequent_indent=" " * 13)
    for title, rows in portrait.sections():
        if not rows:
            continue
        lines += ["", painted(f"{BOLD};{RED}" if title.startswith("High") else BOLD, title)]
        widths = [min(28, max(len(row[column]) for row in rows)) for column in (0, 1)]
        for what, count, text in rows:
            start = f"  {what:{widths[0]}}  " + (f"{count:>{widths[1]}}  " if widths[1] else "")
            code = RED if title.startswith("High") else CYAN
            lines += beside(start, text, columns, code if colour else "")
    shares = portrait.shares()
    if shares:
        lines += ["", painted(BOLD, SHARES)]
    for label, share, text in shares:
        start = f"  {label:>{len(shares[-1][0])}}  "
        width = len(start) + (BAR_CELLS + 1 if columns > 70 else 0)
        wrapped = textwrap.wrap(text, max(columns - width, 20), break_on_hyphens=False)
        lines.append(painted(CYAN, start) + bar(share) + wrapped[0])
        lines += [" " * width + line for line in wrapped[1:]]
    return "".join(line.rstrip() + "\n" for line in lines)


# One page that loads nothing and runs nothing; each %(name)s is escaped text or made below.
PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>%(title)s: seccomp profile</title>
<style>
:root { color-scheme: light dark; --page: #f6f7f9; --card: #fff; --line: #dfe3e8; --text: #1b2430; --soft: #5a6676;
  --yes: #2f9e6e; --if: #d98e04; --risk: #d6285a; --no: #d9dee5 }
@media (prefers-color-scheme: dark) { :root { --page: #11161d; --card: #1a212b; --line: #2d3744; --text: #e6ebf2;
  --soft: #9aa7b8; --yes: #3fbf89; --if: #f0b429; --risk: #ff5c8a; --no: #364252 } }
body { margin: 0; padding: 2.5rem 1rem; background: var(--page); color: var(--text);
  font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif }
main { max-width: 60rem; margin: auto }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3rem; overflow-wrap: anywhere }
h2, caption { font-size: 1.05rem; font-weight: 600; text-align: left; margin: 0; padding: 0 0 .6rem }
.risk, .risk caption { color: var(--risk) }
section, dl { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 1.1rem 1.3rem;
  margin: 1.1rem 0 }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .5rem 1.5rem }
dt { color: var(--soft) }
dd { margin: 0 }
.bar { height: 8px; border-radius: 4px; background: var(--no); margin-top: .3rem; overflow: hidden }
.bar i { display: block; height: 100%%; background: var(--yes) }
table { border-collapse: collapse; width: 100%% }
th, td { text-align: left; vertical-align: top; padding: .35rem 1rem .35rem 0; border-top: 1px solid var(--line);
  font-weight: normal; overflow-wrap: anywhere }
th { white-space: nowrap; font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: .9em }
td:nth-child(2) { text-align: right; white-space: nowrap; color: var(--soft); font-variant-numeric: tabular-nums }
td:last-child { width: 75%%; color: var(--soft); font-size: .93em }
svg { display: block; width: 100%%; max-width: 24rem; height: auto }
svg text { font: 11px ui-monospace, "DejaVu Sans Mono", monospace; fill: var(--text) }
svg .no-name { fill: var(--soft) }
.groups { columns: 17rem; column-gap: 1.5rem }
figure { margin: 0; padding-top: 1.1rem; break-inside: avoid }
figcaption { color: var(--soft); font-size: .93em; padding-bottom: .3rem }
.yes { fill: var(--yes) } .if { fill: var(--if) } .risky { fill: var(--risk) } .no { fill: var(--no) }
.ring { fill: none; stroke: var(--soft); stroke-width: 1.5 }
@media (max-width: 34rem) { body { padding: .6rem } section, dl { padding: .7rem .8rem }
  dl { grid-template-columns: 1fr; gap: .2rem } table, caption, tbody, tr, th, td { display: block }
  th, td:nth-child(2), td:last-child { width: auto; text-align: left; white-space: normal; border: 0; padding: .1rem 0 }
  tr { border-top: 1px solid var(--line); padding: .3rem 0 } }
</style>
</head>
<body>
<main>
<h1>%(title)s</h1>
<dl>%(facts)s</dl>
<section>
<h2>Every syscall, by group</h2>
%(drawing)s
</section>
%(tables)s
</main>
</body>
</html>
"""


DRAWING_COLUMNS, LINE_ROWS, LETTER_COLUMNS = 320, 18, 6.6  # of SVG's units: of a group, and of its text


def format_mark(x: float, y: int, kind: str, risk: bool) -> str:
    """A mark of 10 units: a circle is of high risk, and has a ring where it is not allowed."""
    radius = 5 if risk else 2
    ring = f'<rect class="ring" x="{x + .75:g}" y="{y + .75}" width="8.5" height="8.5" rx="{radius}"/>' \
        if risk and kind == "no" else ""
    return f'<rect class="{kind}" x="{x:g}" y="{y}" width="10" height="10" rx="{radius}"/>{ring}'


def format_marks(title: str, marks: Iterable[tuple[str, str, bool]]) -> str:
    """Names behind their marks, which tell a kind and a risk, as SVG: in lines as wide as a telephone shows."""
    parts, x, y = [], 0.0, 0
    for name, kind, risk in marks:
        width = LETTER_COLUMNS * len(name)
        if x and x + 14 + width > DRAWING_COLUMNS:
            x, y = 0.0, y + LINE_ROWS
        parts.append(f'{format_mark(x, y + 3, kind, risk)}<text class="{kind}-name" x="{x + 14:g}" y="{y + 12}" '
                     f'textLength="{width:g}">{name}</text>')
        x += 14 + width + 12
    box = f"0 0 {DRAWING_COLUMNS} {y + LINE_ROWS}"
    return f'<svg viewBox="{box}" role="img" aria-label="{title}">{"".join(parts)}</svg>'


def format_drawing(portrait: Portrait) -> str:
    """Every syscall by its name, with a mark that says whether it is allowed: a drawing for each group."""
    legend = [("allowed", "yes", False), ("under conditions", "if", False), ("high risk, allowed", "risky", True),
              ("not allowed", "no", False), ("high risk, not allowed", "no", True)]
    figures = []
    for group, names in portrait.groups.items():
        count = sum(portrait.level(name) > 0 for name in names)
        marks = [(name, "risky" if name in portrait.risky else ("no", "if", "yes")[portrait.level(name)],
                  name in portrait.risks) for name in names]
        title = f"{group}: {count} of {len(names)} allowed"
        figures.append(f"<figure><figcaption>{title}</figcaption>{format_marks(title, marks)}</figure>")
    return f'{format_marks("What the marks mean", legend)}<div class="groups">{"".join(figures)}</div>'


def format_page(portrait: Portrait) -> str:
    """The page of show --html: all that the text says, and a drawing."""
    import html

    def escape(text: str) -> str:
        return html.escape(to_ascii(text))

    def bar(share: float) -> str:
        return f'<div class="bar"><i style="width: {100 * share:.1f}%"></i></div>' if share >= 0 else ""

    facts = "".join(f"<dt>{escape(label)}</dt><dd>{escape(text)}{bar(share)}</dd>"
                    for label, text, share in portrait.facts())
    tables = []
    for title, rows in portrait.sections():
        lines = "".join(f'<tr><th scope="row">{escape(what)}</th><td>{escape(count)}</td><td>{escape(text)}</td></tr>'
                        for what, count, text in rows)
        if rows:
            kind = ' class="risk"' if title.startswith("High") else ""
            tables.append(f"<section{kind}><table><caption>{escape(title)}</caption>{lines}</table></section>")
    shares = "".join(f'<tr><th scope="row">{label}</th><td>{len(text.split())}</td><td>{bar(share)}{text}</td></tr>'
                     for label, share, text in portrait.shares())
    if shares:
        tables.append(f"<section><table><caption>{SHARES}</caption>{shares}</table></section>")
    return PAGE % {"title": escape(portrait.title), "facts": facts,
                   "drawing": format_drawing(portrait), "tables": "\n".join(tables)}

# --- Gaps --------------------------------------------------------------------


# What functions of libc call under other names than their own, traced with glibc 2.31, 2.36, 2.41 and musl 1.2 on
# x86-64, and glibc 2.36 on i386 (tests/functions.py). A row has a family of functions, as regular expressions, and what
# these call: of a|b glibc's a, musl's and Go's b; of a/b either will do. A word in capitals stands for its row; what
# begins with go_ is for Go alone. Left out are functions that next to no program imports, what every program calls as
# it starts, and abort, free, malloc and realloc: who aborts ends; any recording has what memory takes.
LIBC_CALLS = r"""
FILE|dlm?open|catopen: |close |fcntl |fstat |munmap |open |read; FORK|fork: clone|fork |gettid rt_sigprocmask;
NAMES|get(gr|pw|sp)(ent|[gu]id|nam)|getgrouplist|get(proto|serv)(ent|by.*)|(get|in)netgr(ent)?: FILE connect lseek
    newfstatat| socket;
SPAWN|popen|pclose|posix_spawnp?|system: FILE clone clone3| dup2 execve fcntl |ioctl pipe2 prlimit64| rt_sigaction
    rt_sigprocmask wait4;
STDIO|fopen|(set|end|get|add)mntent|f(read|write|close|closeall|flush|seeko?|tello?|[gs]etpos)|rewind|overflow|uflow|
    f?(get|put)w?[cs]|(get|put)w(char)?|(get|put)char|v?[df]?w?(print|scan)f|getdelim|getline|getpass|v?(err|warn)x?|
    error(_at_line)?: FILE ioctl lseek read |readv write|writev;
THREAD|(pthread|thrd)_(create|\w*join\w*): clone clone3| futex madvise |membarrier |munmap rt_sigaction|
    rt_sigprocmask;
(clock_|ntp_)?adjtimex?: clock_adjtime|adjtimex; (close|open|read)dir|scandir(at)?: FILE getdents64; creat: creat|open;
(close|open|v?sys)log: |close connect lseek| send| sendto socket; (new|set)locale|backtrace|gettext|iconv_open: futex|;
(get|set|put)utx?(ent|id|line)|log(in|out|wtmp)|updwtmpx?: access| alarm| dup2| fcntl| ftruncate64| getpid| ioctl|
    lseek| pread64| rt_sigaction| write|; (sem|shm)_(open|unlink): FILE link newfstatat| rt_sigprocmask| unlink write;
(pthread_)?sig(hold|longjmp|mask|relse|setjmp)|[gs]etcontext|swapcontext: rt_sigprocmask; alarm: alarm|setitimer;
(sysv_)?signal|siginterrupt: rt_sigaction; f?utimens|[fl]utimes: utimensat; utimes?: utimensat/utimes/utime|utimensat;
(go_)?eventfd: eventfd2; arc4random.*|getentropy|go_get_random: getrandom; exit: exit_group; exec([lv]p?e?)?: execve;
canonicalize_file_name|realpath: faccessat2| getcwd readlink; daemon: FORK FILE chdir dup2 setsid; fxstat: fstat;
e(uid)?access: access| |faccessat2 getegid| geteuid| getgid| getuid| newfstatat|; epoll_wait: epoll_wait|epoll_pwait;
epoll_create: epoll_create|epoll_create1; f?(pathconf|statvfs): access| fstatfs newfstatat| readlink| statfs;
faccessat: faccessat2/faccessat|faccessat |faccessat2; fexecve: execveat; fdopen(dir)?: FILE fcntl |ioctl lseek|;
forkpty|login_tty: FORK FILE dup2 ioctl |pipe2 setsid; fx?statat: newfstatat; fstat: newfstatat/fstat|fstat;
freopen: STDIO dup3|dup2; get_current_dir_name|getwd: getcwd; getloadavg: sysinfo; getdomainname|gethostname: uname;
getaddrinfo|gethost(by.*|ent|id)|getnameinfo|getnet(by.*|ent)|res_n?(query|search): NAMES bind futex getsockname|
    ioctl| poll recvfrom recvmsg send| sendmmsg| sendto setsockopt| uname|; getdtablesize|[gs]etrlimit: prlimit64;
getpgrp: getpgrp|getpgid; glob: FILE getdents64 newfstatat|stat; killpg: kill; inotify_init: inotify_init|inotify_init1;
getifaddrs|if_nameindex: bind| close getsockname| recvfrom recvmsg| sendto socket; klogctl: syslog; lockf: fcntl;
grantpt|unlockpt|ptsname|isatty|sockatmark|tc[dfgs]\w+|getlogin: ioctl; initgroups: NAMES rt_sigprocmask setgroups;
if_indextoname|if_nametoindex: close ioctl socket; lstat: newfstatat|lstat; mk.?stemps?: FILE rt_sigprocmask|; syscall:;
lckpwdf: alarm fcntl rt_sigaction rt_sigprocmask; localtime|ctime|mktime|strftime|tzset: FILE lseek|; lxstat: lstat;
mkdtemp: mkdir rt_sigprocmask|; mkfifoat: mknodat; mkfifo|x?mknod: mknodat/mknod|mknod; nice: getpriority setpriority;
n?ftw|fts_(close|open|read): FILE chdir fchdir fcntl getdents64 |lstat newfstatat|stat; open: openat|open; xstat: stat;
nanosleep|u?sleep: clock_nanosleep|nanosleep; openpty|posix_openpt: ioctl |open; pselect: pselect6; setpgrp: setpgid;
perror: STDIO dup fcntl; pipe: pipe2/pipe|pipe; pthread_[gs]etname_np: FILE prctl write; remove: rmdir unlink;
pthread_(barrier|cond|mutex|rwlock)_.*|(cnd|mtx)_.*|sem_(post|.*wait): futex; rewinddir|seekdir: lseek;
pthread_[gs]etschedparam: |rt_sigprocmask sched_getparam sched_getscheduler sched_setscheduler; semop: semtimedop|semop;
pthread_getattr_np: FILE |mremap prlimit64| sched_getaffinity; select: pselect6/select|select; signalfd: signalfd4;
pthread_(cancel|kill)|raise: getpid gettid rt_sigaction rt_sigprocmask tgkill|tkill; settimeofday: clock_settime;
sete[gu]id: |rt_sigprocmask setresgid setresuid; sigwait(info)?: rt_sigtimedwait; stat|ftok: newfstatat|stat;
sysconf: getdents64| newfstatat| prlimit64 |sched_getaffinity sysinfo; tmpfile: STDIO fcntl |unlink;
timer_create: THREAD rt_sigaction rt_sigtimedwait timer_create; wait3?|waitpid: wait4;
go_accept: accept4/accept; go_epollcreate1: epoll_create1; go_epollctl: epoll_ctl; go_fcntl: fcntl fcntl64;
go_epoll_?wait: epoll_pwait epoll_wait; go_fork_exec: clone dup3 execve waitid; go_getdents: getdents64; go_seek: lseek;
go_getpgrp: getpgid; go_l?stat: newfstatat; go_osyield: sched_yield; go_prlimit1: prlimit64; go_raise: tgkill;
go_getrlimit: getrlimit/prlimit64; go_setrlimit: setrlimit/prlimit64; go_rmdir: unlinkat;
go_utimes: utimes/utimensat; (go_un|u)mount: umount2; ttyname: |fstat ioctl newfstatat|stat readlink
"""
# What headers put around a function's name: for large files, long times, checks, standards.
DECORATED = (r"(?a)\A(?:__libc_|__isoc\d+_|__xpg_|_*posix_|p?thr(?:ea)?d_|_IO_|_+)|"
             r"(?:_unlocked|_nocancel|_chk|_np|_2|_time64|64|_r)+\Z")
MAX_NAME_BYTES = 64  # of what stands for a call


@functools.lru_cache(None)
def libc_rows() -> tuple[re.Pattern[str], list[list[str]]]:
    """What matches a function of LIBC_CALLS, each row in a group of its own; and what each row calls."""
    import re
    rows = [row.partition(":") for row in LIBC_CALLS.split(";")]
    names = "|".join(f"(?P<row{number}>{''.join(names.split())})" for number, (names, _, _) in enumerate(rows))
    return re.compile(names, re.ASCII), [calls.split() for _, _, calls in rows]


@functools.lru_cache(1 << 12)  # of names that may be anything
def calls_of_function(name: str, is_musl: bool = False) -> tuple[str, ...]:
    """The syscalls that a function of libc may make, by LIBC_CALLS or else its name; () if that tells of none."""
    import re
    if not re.fullmatch(rf"(?a)\w{{1,{MAX_NAME_BYTES}}}", name):
        return ()
    plain = re.sub(DECORATED, "", name)
    pattern, rows = libc_rows()
    row = pattern.fullmatch(name) or pattern.fullmatch(plain)
    if not row or not row.lastgroup:
        forms = (f"rt_{plain}", name, plain, f"{plain}64", f"sched_{plain}")
        return next(((each,) for each in forms if is_syscall_name(each)), ())
    words = [word.split("|")[-1 if is_musl else 0] for word in rows[int(row.lastgroup[3:])]]
    parts = [calls_of_function(word, is_musl) if word.isupper() else (word,) for word in words if word]
    return tuple(dict.fromkeys(itertools.chain(*parts)))


def calls_of_go(function: str) -> tuple[str, ...]:
    """The same of Go's packages, which rather take a folder's descriptor than call what has that name."""
    import re
    name = function.rpartition(".")[2].replace("FD", "fd")
    name = re.sub("(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
    name = re.sub(r"\A(ptrace|ioctl|keyctl|fcntl|prctl|[gs]etsockopt|sendmsg|recvmsg).*", r"\1", name)
    # fchmod has no other; getxattrat is newer.
    forms = [name] if re.match("f|.*xattr", name) else [f"{name}at", f"f{name}at", name]
    by_name = next(((each,) for each in forms if is_syscall_name(each)), ())
    return calls_of_function(f"go_{name}") or by_name or calls_of_function(name, True)


# Of elf.h, by EI_CLASS: e_machine, e_phoff, e_phentsize, e_phnum; p_type, p_offset, p_vaddr, p_filesz; Dyn; st_name,
# st_shndx. An x is a byte that is not needed.
ELF_STRUCTS = {1: ("18xH8xI10xHH", "III4xI12x", "II", "I10xH"),
               2: ("18xH12xQ14xHH", "I4xQQ8xQ16x", "QQ", "I2xH16x")}
PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_NOTE = 1, 2, 3, 4
DT_NEEDED, DT_HASH, DT_STRTAB, DT_SYMTAB, DT_STRSZ, DT_RPATH, DT_RUNPATH = 1, 4, 5, 6, 10, 15, 29
DT_GNU_HASH, DT_VERSYM = 0x6FFFFEF5, 0x6FFFFFF0
AUDIT_ARCH_LE, RESOLVE_IN_ROOT = 0x40000000, 0x10  # linux/audit.h, linux/openat2.h
# Of a program and its libraries, where a name counts 2 KiB, and what is kept 64 times; at once.
MAX_READ_BYTES, NAME_COST, KEPT_COST, CHUNK_BYTES, MAX_STRING_BYTES = 512 << 20, 2048, 64, 96 << 10, 4096
MAX_MAPS_BYTES, MAX_CACHE_BYTES, MAX_LIBRARIES = 16 << 20, 1 << 20, 256
# What Go's linker has left in of the packages for syscalls, and of its runtime.
GO_FUNCTION = (rb"\0(?!\0)((?:[\w./-]+/)?(?:sys/unix|syscall(?:/unix|/linux)?)\.[A-Za-z]\w*|"
               rb"runtime\.(?!send\0|recv\0|settls\0|sig)[a-z]\w*)(?=\0)")
# Functions that do not tell what they call, and what is said of files that import them.
UNTELLING = {"syscall": "the numbers that {} may give to syscall(2)",
             "dlopen": "what is loaded while it runs (dlopen), by {}; give plug-ins as further PROGRAMs"}


class ElfFile:
    """What an ELF file (elf(5)) says of itself, which may be a lie. Raises OSError.

    It is read, not mapped: access to what is cut off meanwhile would end this process. Where a thing is there twice,
    the last counts, as for ld.so.
    """

    def __init__(self, descriptor: int, path: str, parent: ElfFile | None = None, name: str = ""):
        """`parent` needs it first, and is for the same machine; `name` is what it was called by."""
        self._descriptor, self.path, self.name = descriptor, path, os.path.basename(name or path)
        self.program: ElfFile = parent.program if parent else self
        self._left = MAX_READ_BYTES
        ident = self._read(0, 16)
        if len(ident) < 16 or ident[:4] != b"\x7fELF" or ident[4] not in ELF_STRUCTS or ident[5] not in (1, 2):
            raise OSError(errno.ENOEXEC, "it is neither an ELF file nor a script")
        self._order = "<>"[ident[5] - 1]
        header, segment, entry, symbol = ELF_STRUCTS[ident[4]]
        machine, start, row_bytes, count = next(self._rows(header, 0, 64))
        self.token = machine | AUDIT_ARCH_64BIT * (ident[4] == 2) | AUDIT_ARCH_LE * (ident[5] == 1)
        if self.token != self.program.token:
            raise OSError(errno.ENOEXEC, "it is for another machine")
        self._segments = collections.defaultdict[int, list[list[int]]](list)  # p_type -> offset, address, size of each
        for kind, *where in self._rows(segment, start, row_bytes * count):
            self._segments[kind].append(where)
        if any(start + size > os.fstat(descriptor).st_size for start, _, size in self._segments[PT_LOAD]):
            raise OSError(errno.ENOEXEC, "it is cut off, or damaged")
        self.is_musl: bool = parent.is_musl if parent else self._holds(PT_INTERP, b"/ld-musl-")
        dynamic: list[tuple[int, ...]] = []
        for _, address, size in self._segments[PT_DYNAMIC][-1:]:
            dynamic += itertools.takewhile(operator.itemgetter(0), self._rows(entry, self._offset(address), size))
        values = {tag: value for tag, value in dynamic}
        self._strings = self._offset(values[DT_STRTAB]) if DT_STRTAB in values else 0
        texts = collections.defaultdict[int, list[str]](list)
        for tag, value in dynamic:
            if tag in (DT_NEEDED, DT_RPATH, DT_RUNPATH):
                text = self._string(value).replace("${ORIGIN}", "$ORIGIN").replace("$ORIGIN", os.path.dirname(path))
                self._spend(KEPT_COST * (MAX_NAME_BYTES + len(text)))
                texts[tag].append(text)
        self.needed, rpath, runpath = texts[DT_NEEDED], texts[DT_RPATH][-1:], texts[DT_RUNPATH][-1:]
        alone = [] if self.is_musl else runpath  # for what it needs, but not for what that needs
        self.inherited: list[str] = ([] if alone else runpath or rpath) + (parent.inherited if parent else [])
        self.run_paths = alone or self.inherited
        self.functions: dict[str, tuple[str, ...]] = {}  # those that make syscalls, known by their names or unknown
        for name in itertools.chain(self._imported(symbol, values), self._go_functions()):
            self._spend(NAME_COST)
            calls = calls_of_go(name) if "." in name else calls_of_function(name, self.is_musl)
            if calls or name in UNTELLING:
                self._spend(KEPT_COST * MAX_NAME_BYTES)
                self.functions.setdefault(name, calls)
        self._segments.clear()

    def _read(self, start: int, size: int) -> bytes:
        self._spend(size)
        return os.pread(self._descriptor, size, min(start, sys.maxsize))

    def _spend(self, size: int) -> None:
        """Of what one program and its libraries may take of time and memory."""
        self.program._left -= size
        if self.program._left < 0:
            raise OSError(errno.ENOEXEC, "it is too large, or its libraries are")

    def _rows(self, layout: str, start: int, size: int) -> Iterator[tuple[int, ...]]:
        """The structs in so many bytes."""
        import struct
        rows = struct.Struct(self._order + layout)
        size -= size % rows.size
        data = self._read(start, size) if size <= CHUNK_BYTES else b""
        if len(data) < size:
            raise OSError(errno.ENOEXEC, "it is cut off, or damaged")
        return rows.iter_unpack(data)

    def _holds(self, kind: int, text: bytes) -> bool:
        return any(text in self._read(start, min(size, MAX_STRING_BYTES)) for start, _, size in self._segments[kind])

    def _offset(self, wanted: int) -> int:
        """Of what has this address."""
        for start, address, size in self._segments[PT_LOAD]:
            if address <= wanted < address + size:
                return wanted - address + start
        raise OSError(errno.ENOEXEC, "it is damaged: a table is not in it")

    def _string(self, start: int, most: int = MAX_STRING_BYTES) -> str:
        """The string there; "" if it is too long."""
        text, end, _ = self._read(self._strings + start, most).partition(b"\0")
        return os.fsdecode(text) if end else ""

    def _imported(self, layout: str, values: dict[int, int]) -> Iterator[str]:
        """The undefined symbols. Nothing tells how many symbols there are, but what linkers put behind them."""
        if DT_SYMTAB not in values:
            return
        first = values[DT_SYMTAB]
        behind = [values.get(tag, 0) for tag in (DT_HASH, DT_STRTAB, DT_GNU_HASH, DT_VERSYM)]
        behind += [address + size for _, address, size in self._segments[PT_LOAD]]
        start = self._offset(first)
        end = start - first + min(address for address in behind if address > first)
        for place in range(start, end, CHUNK_BYTES):
            for name, section in self._rows(layout, place, min(end - place, CHUNK_BYTES)):
                if name >= values.get(DT_STRSZ, 0):  # behind Go's symbols may be what no tag tells of
                    return
                if name and not section:
                    yield self._string(name, MAX_NAME_BYTES + 1)

    def _go_functions(self) -> Iterator[str]:
        """If a note says that it is Go's; .gopclntab is in what is loaded."""
        import re
        for start, _, size in self._segments[PT_LOAD] if self._holds(PT_NOTE, b"Go\0\0") else ():
            for place in range(start, start + size, CHUNK_BYTES):
                for match in re.finditer(GO_FUNCTION, self._read(place, CHUNK_BYTES + MAX_STRING_BYTES)):
                    yield match[1].decode()


@contextlib.contextmanager
def open_regular(path: str | bytes, root: str = "") -> Iterator[int]:
    """A descriptor of a regular file: to open another may act. No link leads out of a root. Raises OSError."""
    with contextlib.ExitStack() as resources:
        if root:
            folder = os.open(root, os.O_PATH | os.O_DIRECTORY)
            resources.callback(close, folder)
            how = (c_uint64 * 3)(os.O_PATH | os.O_CLOEXEC, 0, RESOLVE_IN_ROOT)
            name = ctypes.create_string_buffer(os.fsencode(path))
            place = int(libc.syscall(syscall_number("openat2"), folder, ctypes.addressof(name), how, c_size_t(24)))
        else:
            place = os.open(path, os.O_PATH)
        resources.callback(close, place)
        if not stat.S_ISREG(os.fstat(place).st_mode):
            raise PermissionError(errno.EACCES, "it is no regular file")
        descriptor = os.open(f"/proc/self/fd/{place}", os.O_RDONLY | os.O_NONBLOCK)
        resources.callback(close, descriptor)
        yield descriptor


def unread(library: str, parent: ElfFile) -> str:
    return f"{library}, a library of {parent.program.name},"


class Loader:
    """Finds programs and libraries as the kernel and ld.so(8) do, in a folder that stands for / ("": / itself)."""

    def __init__(self, root: str = ""):
        import glob
        self.root, self._cached = root, list[str]()
        with contextlib.suppress(OSError), open_regular("/etc/ld.so.cache", root) as descriptor:
            texts = os.fsdecode(os.pread(descriptor, MAX_CACHE_BYTES, 0)).split("\0")
            self._cached = [text for text in texts if text.startswith("/")]  # the rest is numbers and names
        debian = {f"lib/{os.path.basename(each)}" for place in ("lib", "usr/lib")
                  for each in glob.glob(f"{glob.escape(root)}/{place}/*-linux-*")}
        self._folders = [f"/{prefix}{folder}" for folder in (*sorted(debian), "lib64", "lib", "lib64/lp64d")
                         for prefix in ("", "usr/local/", "usr/")]

    def find(self, name: str) -> str:
        """The path of what a shell calls so. Raises SpocError."""
        def attempt(path: bytes) -> None:
            with open_regular(path, self.root):
                pass
        folders = "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" if self.root else ":".join(os.get_exec_path())
        try:
            return os.fsdecode(search_path(name, [os.fsencode(f"PATH={folders}")], attempt))
        except OSError as error:
            missing = "there is none" if "/" in name else f"not in {folders}"
            missing += f" of {self.root}" if self.root else ""
            raise SpocError("find program", name, missing if error.errno == errno.ENOENT else error) from None

    def read(self, name: str) -> ElfFile:
        """A program or, for a script, its interpreter. Raises SpocError."""
        path = whose = self.find(name)
        for _ in range(5):  # scripts that run scripts: fs/exec.c
            try:
                with open_regular(path, self.root) as descriptor:
                    line = os.pread(descriptor, 256, 0).partition(b"\n")[0]  # BINPRM_BUF_SIZE of linux/binfmts.h
                    words = os.fsdecode(line[2:]).split() if line.startswith(b"#!") else []
                    if not words:
                        real = os.readlink(f"/proc/self/fd/{descriptor}")
                        inside = os.path.relpath(real, os.path.realpath(self.root or "/"))
                        return ElfFile(descriptor, f"/{inside}", None, path)
            except OSError as error:
                raise SpocError("read program", whose, error) from None
            named = [word for word in words[1:] if word[0] != "-" and "=" not in word]
            path = self.find(named[0]) if os.path.basename(words[0]) == "env" and named else words[0]
            whose = f"{name}: its interpreter {path}"
        raise SpocError("read program", name, "its interpreters are scripts, too")

    def load(self, name: str) -> list[ElfFile | str]:
        """A program with its libraries, missing ones by name. Raises SpocError."""
        files: list[ElfFile | str] = [self.read(name)]
        names: set[str] = set()
        for file in (each for each in files if isinstance(each, ElfFile)):  # which grows
            for name in file.needed:
                if name not in names and len(names) <= MAX_LIBRARIES:
                    names.add(name)
                    files.append(self._library(name, file) if len(names) <= MAX_LIBRARIES else unread(name, file))
        return files

    def _library(self, name: str, parent: ElfFile) -> ElfFile | str:
        for path in [name] if "/" in name else itertools.islice(self._places(name, parent), MAX_LIBRARIES):
            with contextlib.suppress(OSError), open_regular(path, self.root) as descriptor:
                return ElfFile(descriptor, path, parent)
        return unread(name, parent)

    def _places(self, name: str, parent: ElfFile) -> Iterator[str]:
        """Where ld.so looks for what a file needs; in its cache the default folders are the last."""
        given = "" if self.root else os.environ.get("LD_LIBRARY_PATH", "")
        for path in [given, *parent.run_paths]:
            yield from (os.path.join(folder, name) for folder in path.split(":") if folder)
        yield from sorted((path for path in self._cached if path.endswith(f"/{name}")),
                          key=lambda path: path.startswith(("/lib", "/usr/lib")))
        yield from (os.path.join(folder, name) for folder in self._folders)


def mapped_library(process: str, place: str, path: str, program: ElfFile) -> ElfFile | str:
    """A file that a process has mapped at a place, or its name. The first way finds what is removed."""
    for root, each in (("", f"{process}/map_files/{place}"), (f"{process}/root", path)):
        with contextlib.suppress(OSError), open_regular(each, root) as descriptor:
            return ElfFile(descriptor, path, program)
    return unread(path, program)


def mapped_files(whose: str, pids: Iterable[int]) -> Iterator[ElfFile | str]:
    """What processes that have not ended have mapped to execute, each file once, programs first.

    Raises SpocError if none of them can be read; one that cannot be is named at the end.
    """
    import re
    seen, failed, failure = set[str](), list[str](), OSError(errno.ESRCH, "it has ended")
    for pid in pids:
        process = f"/proc/{pid}"
        try:
            path = os.readlink(f"{process}/exe")
            with open(f"{process}/maps", "rb") as maps:
                text = os.fsdecode(maps.read(MAX_MAPS_BYTES))
            new = {key: (f"{start}-{end}", name) for start, end, key, name in re.findall(  # by device and inode
                r"^0*(\w+)-0*(\w+) ..x. \S+ (\S+ \S+) +(/.*)", text, re.MULTILINE) if key not in seen}
            if path in seen and not new:
                continue
            with open_regular(f"{process}/exe") as descriptor:
                program = ElfFile(descriptor, path)
        except (FileNotFoundError, ProcessLookupError):
            continue
        except OSError as error:
            failed, failure = [*failed, f"process {pid}"], error
            continue
        seen.update(new, [path])
        yield program
        yield from (mapped_library(process, *where, program) for where in new.values() if where[1] != path)
    if not seen:
        raise SpocError("read", whose, failure, "run it as root" if isinstance(failure, PermissionError) else "")
    yield from failed


# What libc and Go call as it is on 32 bits too, not what has larger numbers.
NARROW = "f?truncate|sendfile|timerfd_settime", "fcntl|.*time.*"


@functools.lru_cache(1 << 12)
def calls_of_machine(call: str, token: int, is_go: bool = False) -> list[str]:
    """What an architecture has for a call, each of which will do: on 32 bits the wide ones; else its first sibling."""
    import re
    token = token if syscall_number("read", token) >= 0 else SCMP_ARCH_NATIVE  # libseccomp may not know it
    wide = [f"{call}64", f"{call}32", f"_l{call}", f"_new{call}"]
    wide += ["statx", "fstatat64"] if call in ("stat", "lstat", "fstat", "newfstatat") else []
    wide += ["mmap2"] if call == "mmap" else []
    is_wide = not token & AUDIT_ARCH_64BIT and not re.fullmatch(NARROW[is_go], call)
    pairs = [pair for left, right in sibling_groups() for pair in ((left, right), (right, left))]
    alike = [each for some, others in pairs if call in some for each in others]
    found, itself, siblings = ([each for each in names if syscall_number(each, token) >= 0]
                               for names in (wide if is_wide else (), [call], alike))
    return found or itself or siblings[:1]


PARTS_OF_LIBC = tuple(name + end for name in "ld ld64 libc libdl libm libpthread librt".split() for end in ".-")
# Programs, without their versions, that do what they are told to.
INTERPRETERS = [*SHELLS, *"python perl ruby node php lua tclsh java awk gawk mawk busybox toybox coreutils".split()]


def lacking(profile: Profile, file: ElfFile) -> dict[str, list[str]]:
    """The syscalls that code asks for and a profile never allows, and by which functions."""
    found = collections.defaultdict[str, list[str]](list)
    for name, calls in sorted(file.functions.items()):
        for call in calls:
            choices = [calls_of_machine(each, file.token, "." in name) for each in call.split("/")]
            if not any(verdict.lets_pass for each in itertools.chain(*choices) for verdict in profile.verdicts(each)):
                for each in next(filter(None, choices), []):
                    found[each].append(name)
    return found


def find_gaps(path: str, registries: Settings, files: Iterable[ElfFile | str]) -> dict[str, Any]:
    """What gaps says of a profile and files, each program before its libraries, as --json has it."""
    import shlex
    (_, source), = read_united([path], registries)
    own, libraries = collections.defaultdict[str, list[str]](list), collections.defaultdict[str, list[str]](list)
    programs, askers = dict[str, bool](), dict[str, str]()  # those that are static; of each call the first
    unreadable, unknown, users = [], [], collections.defaultdict[str, set[str]](set)
    for file in files:
        if isinstance(file, str):
            unreadable.append(f"what {file} asks for: it is missing, or cannot be read")
            continue
        missing = lacking(source.profile, file)
        if file.program is file:
            programs[file.name] = programs.get(file.name, False) or not (file.needed or file.functions)
            for call, functions in missing.items():
                verb = "has" if any("." in name for name in functions) else "imports"
                own[call].append(f"{file.name} {verb} {', '.join(dict.fromkeys(functions))}")
            if os.path.basename(file.path).rstrip(DIGITS + ".-") in INTERPRETERS:
                unknown.append(f"which of this is for what: {file.name} does what it is told to")
        if not file.name.startswith(PARTS_OF_LIBC):
            for call in missing:
                askers.setdefault(call, file.name)
            for name in file.functions.keys() & UNTELLING:
                users[name].add(file.name)
    for call in (each for each in askers if each not in own):
        libraries[askers[call]].append(call)
    static = [name for name, is_static in programs.items() if is_static]
    unknown += unreadable
    unknown += [f"what {name} asks for: static, and not Go's; run --learn and watch tell what it calls"
                for name in static]
    unknown += [text.format(list_of(sorted(users[name]))) for name, text in UNTELLING.items() if users[name]]
    if any(verdict.lets_pass for verdict in source.profile.verdicts("execve")):
        unknown.append("what is executed, as execve is allowed; give that as further PROGRAMs")
    if source.base_profile_name and not is_reference(source.base_profile_name):
        unknown.append(f"what {source.base_profile_name} allows, on which the profile builds")
    unknown.append("calls that code makes by itself (syscall instructions, Go's RawSyscall), code that is made while "
                   "it runs, and the arguments of calls")
    risks = high_risk()
    rows = [{"syscall": call, "high_risk": risks.get(call, ""), "reasons": list(dict.fromkeys(own[call]))}
            for call in sorted(own)]
    file, decided = source.file, {name for rule in source.profile.rules for name in rule.names}
    harmless = ",".join(sorted(own.keys() - risks - decided))  # rules are decisions
    is_typed = harmless and os.path.isfile(file) and printable(file) == file and file[0] != "-"
    remedy = shlex.join([PROGRAM, "merge", "-b", harmless, "-o", file, file]) if is_typed else ""
    return {"profile": file, "remedy": remedy, "programs": list(programs), "own": rows,
            "libraries": {name: sorted(calls) for name, calls in libraries.items()}, "static": static,
            "complete": not static and not unreadable and users["syscall"].isdisjoint(programs),
            "unknown": list(dict.fromkeys(unknown))}


def format_gaps(gaps: dict[str, Any], columns: int, colour: bool) -> str:
    """The same for a person."""
    own = [(row["syscall"], "; ".join(row["reasons"]) + (row["high_risk"] and f"; high risk: {row['high_risk']}"),
            RED if row["high_risk"] else CYAN) for row in gaps["own"]]
    others = [(name, " ".join(calls), CYAN) for name, calls in gaps["libraries"].items()]
    programs = [name for name in gaps["programs"] if name not in gaps["static"]]
    told, verb = ", ".join(programs), "asks" if len(programs) == 1 else "ask"
    lacks = (f"does not allow {count_of(len(own), 'syscall', 'syscalls')} that {told} {verb} for" if own else
             f"allows all that the names in {told} tell of")
    lines: list[str] = []
    for title, rows in (
            (f"{gaps['profile']} {lacks}" if told else "The files do not tell", own),
            (f"{sum(map(len, gaps['libraries'].values()))} more that its libraries ask for", others),
            ("Not told by this", [("-", text, "") for text in gaps["unknown"]])):
        width = max((len(printable(label)) for label, _, _ in rows), default=0) + 4
        lines += ["", paint(printable(title) + ":" * bool(rows), BOLD if colour else "")] if rows or not lines else []
        for label, text, code in rows:
            lines += beside(f"  {printable(label)}".ljust(width), printable(text), columns, code if colour else "")
    return "\n".join([*lines[1:], gaps["remedy"] and f"\nTo allow those of no high risk: {gaps['remedy']}\n"])


def count_gaps(path: str, program: str) -> str:
    """What record --stats says of the profile that it has written; "" where the program's file does not tell."""
    import shlex
    with contextlib.suppress(SpocError):
        gaps = find_gaps(path, Settings(), Loader().load(program))
        if not gaps["static"]:
            return (f"The profile lacks {count_of(len(gaps['own']), 'syscall', 'syscalls')} that {program} asks for: "
                    f"{shlex.join([PROGRAM, 'gaps', '-p', path, program])}")
    return ""

# --- doctor ------------------------------------------------------------------


class Finding(NamedTuple):
    """What a check found: a short fact; the remedy, where all is not well; and the backends of record and enrichers of
    run that `auto` would choose because of it. What is missing may be chosen all the same, and then fails.
    """

    fact: str
    remedy: str = ""
    offers: Sequence[str] = ()
    missing: bool = False

    @property
    def state(self) -> str:
        return "missing" if self.missing else "degraded" if self.remedy else "ok"


def examine_kernel() -> Finding:
    release = kernel_uname().release
    return Finding(f"Linux {release}", "" if release_numbers(release) >= (5, 8) else
                   "upgrade it: record with BPF needs Linux 5.8 or newer")


def examine_architecture() -> Finding:
    return Finding(f"{kernel_uname().machine}, {8 * ctypes.sizeof(c_void_p)}-bit userland")


def examine_python() -> Finding:
    lacking = []
    for name in IMPORTED_LATER:
        try:
            __import__(name)
        except ImportError:
            lacking.append(name)
    without = f" without {', '.join(lacking)}" if lacking else ""
    if lacking == ["ssl"]:
        return Finding(f"{sys.version.split()[0]} ({sys.executable}){without}, which registries need")
    return Finding(f"{sys.version.split()[0]} ({sys.executable}){without}",
                   "install the full python3 package" if lacking else "")


def held_bytecode() -> list[str]:
    """The Pythons whose bytecode spoc.pyz holds, such as 3.11; spoc.py holds none."""
    import re
    import zipfile
    archive = getattr(globals().get("__loader__"), "archive", "")
    if not archive:
        return []
    with zipfile.ZipFile(archive) as whole:
        minors = re.findall(r"(?m)^cpython-3(\d+)\.pyc$", "\n".join(whole.namelist()))
    return [f"3.{minor}" for minor in sorted(minors, key=int)]


def examine_bytecode() -> Finding:
    held = held_bytecode()
    if not held:
        return Finding("none: each start compiles the source")
    fact = f"for Python {list_of(held)}"
    try:  # as its __main__.py does
        globals()["__loader__"].get_code(sys.implementation.cache_tag)
    except ImportError:
        pythons = " ".join(f"python{version}" for version in dict.fromkeys([*held, f"3.{sys.version_info.minor}"]))
        return Finding(f"{fact}, not for this one: each start compiles the source", f"make dist PYTHONS='{pythons}'")
    return Finding(fact)


def describe_capabilities(bits: int) -> str:
    """The capabilities of these bits, or all but the missing ones if these are fewer."""
    last = read_kernel_file("/proc/sys/kernel/cap_last_cap") or len(CAPABILITIES) - 1
    names = [name.lower() for name in CAPABILITIES[:int(last) + 1]]
    held = [name for number, name in enumerate(names) if bits >> number & 1]
    lacking = ", ".join(name for name in names if name not in held)
    if 2 * len(held) > len(names):
        return f"all capabilities but {lacking}" if lacking else "all capabilities"
    return ", ".join(held) or "no capabilities"


def examine_privileges() -> Finding:
    user = f"uid {os.geteuid()}" if os.geteuid() else "root"
    fact = f"{user}, {describe_capabilities(effective_capabilities())}"
    if "SUDO_UID" in os.environ:
        fact += f"; through sudo, by uid {os.environ['SUDO_UID']}"
    if in_user_namespace():
        return Finding(f"{fact}; in a user namespace", "run it as root outside of the user namespace")
    has_sudo = any(os.access(os.path.join(folder, "sudo"), os.X_OK) for folder in os.get_exec_path())
    remedy = f"run it {'with sudo' if has_sudo else 'as root'}, or with CAP_BPF and CAP_PERFMON"
    return Finding(fact, "" if may_load_bpf() else remedy)


def examine_libseccomp() -> Finding:
    libseccomp.load()
    return Finding(f"{format_libseccomp_version()} (libseccomp.so.2)",
                   "" if libseccomp_version() >= (2, 5) else libseccomp.hint)


# Of bpf(2) and seccomp(2) (arch/*/.../syscall.tbl, asm-generic/unistd.h in Linux): the absence of libseccomp shall hide
# nothing else.
CALL_NUMBERS = {X86_64: (321, 317), X86: (357, 354), AARCH64: (280, 277), RISCV64: (280, 277), ARM: (386, 383),
                PPC64LE: (361, 358)}
BPF_PROG_LOAD, BPF_RAW_TRACEPOINT_OPEN, BPF_PROG_TYPE_RAW_TRACEPOINT = 5, 17, 17  # linux/bpf.h
SECCOMP_GET_ACTION_AVAIL = 2  # linux/seccomp.h


def call_bpf(command: int, *fields: int) -> int:
    """bpf(2) with a union bpf_attr of these 64-bit fields (linux/bpf.h; little-endian, as every machine here is)."""
    attribute = (c_uint64 * 9)(*fields)
    return int(libc.syscall(CALL_NUMBERS[this_machine().own][0], command, ctypes.addressof(attribute),
                            ctypes.sizeof(attribute)))


def load_probe() -> int:
    """The descriptor of a raw tracepoint program that does nothing."""
    program = ctypes.create_string_buffer(b"\xb7\0\0\0\0\0\0\0\x95\0\0\0\0\0\0\0")  # r0 = 0; exit
    licence = ctypes.create_string_buffer(b"GPL")
    try:
        return call_bpf(BPF_PROG_LOAD, BPF_PROG_TYPE_RAW_TRACEPOINT | 2 << 32, ctypes.addressof(program),
                        ctypes.addressof(licence))
    except OSError as error:
        raise bpf_error("load a program", "bpf(2)", error) from None


def examine_bpf() -> Finding:
    load_probe()
    return Finding("loads a program")


def examine_jit() -> Finding:
    setting = jit_setting()
    if lacks_jit(this_machine().native):
        return Finding("off, and without it the recorder's programs would crash this kernel", JIT_REMEDY)
    return Finding({"0": "off: programs are interpreted", "none": "the kernel has none: programs are interpreted",
                    "": "not known: net.core.bpf_jit_enable is not there"}.get(setting, "on"))


def examine_tracepoints() -> Finding:
    program = load_probe()
    # Each once: the second time is EEXIST on Linux 6.1, and not on 6.18.
    for tracepoint in set(PROGRAMS.values()):
        name = ctypes.create_string_buffer(tracepoint.encode())
        try:
            call_bpf(BPF_RAW_TRACEPOINT_OPEN, ctypes.addressof(name), program)
        except OSError as error:
            raise bpf_error("attach to tracepoint", tracepoint, error) from None
    return Finding("programs attach to those of syscalls and tasks")


def examine_memlock() -> Finding:
    import resource
    limit = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    fact = "unlimited" if limit == resource.RLIM_INFINITY else f"{limit >> 10} KiB"
    if release_numbers(kernel_uname().release) >= (5, 11):
        return Finding(f"{fact}; BPF does not count from Linux 5.11 on")
    try:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    except (OSError, ValueError):
        return Finding(f"{fact}, and may not be raised",
                       "as root: ulimit -l unlimited; in a systemd unit: LimitMEMLOCK=infinity")
    return Finding(f"{fact}, and may be raised")


def examine_unprivileged_bpf() -> Finding:
    value = read_kernel_file("/proc/sys/kernel/unprivileged_bpf_disabled").strip()
    return Finding({"": "kernel.unprivileged_bpf_disabled is not there", "0": "0: tracepoints take CAP_BPF all the same"
                    }.get(value, f"{value}: bpf(2) takes CAP_BPF"))


def examine_lockdown() -> Finding:
    mode = lockdown_mode()
    return Finding(mode or "not known: /sys/kernel/security/lockdown is not there",
                   "boot without lockdown=confidentiality" if mode == "confidentiality" else "")


def examine_seccomp() -> Finding:
    """This loads a filter that allows everything into the process of the check."""
    number = CALL_NUMBERS[this_machine().own][1]
    lacking = []
    try:
        for name, value in ACTIONS.items():
            try:
                libc.syscall(number, SECCOMP_GET_ACTION_AVAIL, 0, ctypes.byref(c_uint32(value)))
            except OSError as error:
                if error.errno != errno.EOPNOTSUPP:
                    raise
                lacking.append(name)
        if not may_administer():
            libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        allow = SockFprog(1, constant_program(SCMP_ACT_ALLOW))
        libc.syscall(number, SECCOMP_SET_MODE_FILTER, 0, ctypes.byref(allow))
    except OSError as error:
        raise KernelError("load a filter", "seccomp(2)", error, "boot a kernel with "
                          "CONFIG_SECCOMP_FILTER or, in a container, have its own filter allow seccomp(2)") from None
    known = f"no {', '.join(lacking)}" if lacking else "all actions"
    return Finding(f"loads a filter, knows {known}", "upgrade the kernel" if lacking else "", ("none",))


def examine_actions_logged() -> Finding:
    path = "/proc/sys/kernel/seccomp/actions_"
    logged = read_kernel_file(path + "logged").replace("allow", "").split()
    available = read_kernel_file(path + "avail").replace("allow", "").split()
    if not available:
        return Finding("kernel.seccomp.actions_logged is not there", "mount -t proc proc /proc", missing=True)
    lacking = sorted(set(available).difference(logged, ["user_notif"]))
    if lacking:
        return Finding(f"does not log {', '.join(lacking)}", f"as root: echo {' '.join(available)} > {path}logged")
    return Finding(" ".join(logged))


def examine_notification() -> Finding:
    """Have a child load a filter that asks about execve, and refuse that: nothing is started."""
    machine = this_machine()
    profile = Profile(SCMP_ACT_ALLOW, (), (Rule(SCMP_ACT_ERRNO, ("execve",), errno.EPERM),))
    watcher = NotifyWatcher(machine, lambda _: Verdict(SCMP_ACT_ERRNO, errno.EPERM))
    seen: list[Denial] = []
    reason = "the answer had no effect"
    try:
        with Supervisor() as supervisor:
            with Child((sys.executable,), None, supervisor, FilterBuilder(profile, machine.own).build(
                    not may_administer()).with_listener(SCMP_ACT_ALLOW)) as child:
                watcher.begin(child)
                child.wait_started({watcher.descriptor: lambda: seen.extend(watcher.read())})
    except SpocError as error:
        reason = error.reason
    if seen:
        return Finding("asks about a call, and takes the answer", "", ("notify",))
    return Finding(f"seccomp(2): {reason}", "run it outside of the container", ("notify",), True)


def examine_audit() -> Finding:
    """Which of the enrichers that read audit records can be opened."""
    watchers: dict[str, type[AuditWatcher]] = {
        "audit-log": AuditLogWatcher, "netlink": NetlinkWatcher, "kmsg": KmsgWatcher}
    status = audit_status()
    facts = []
    if status:
        facts.append("auditd runs" if status.pid else "no auditd runs")
    readable, remedy = [], ""
    for name, watcher in watchers.items():
        try:
            watcher(this_machine(), Profile(SCMP_ACT_ALLOW, (), ())).close()
            readable.append(name)
        except SpocError as error:
            facts.append(f"{name}: {error.reason}")
            remedy = error.hint
    fact = "; ".join([f"{', '.join(readable) or 'nothing'} can be read", *facts])
    return Finding(fact, "" if readable else remedy, readable, not readable)


def examine_filter() -> Finding:
    if not is_filtered():
        return Finding(f"none on {PROGRAM} itself")
    return Finding(f"on {PROGRAM} itself: record does not see what it refuses", "run it outside of the container, or "
                   "start that with --security-opt seccomp=unconfined")


CONTAINER_MARKS = {"/.dockerenv": "Docker", "/run/.containerenv": "Podman", "/run/systemd/container": "systemd-nspawn"}
INITIAL_NAMESPACES = "ipc uts user pid cgroup time".split()  # inodes from 0xEFFFFFFF downwards (linux/proc_ns.h)


def examine_container() -> Finding:
    marks = [name for path, name in CONTAINER_MARKS.items() if os.path.exists(path)]
    container = parse_container_id(read_proc("self", "cgroup"))
    if container:
        marks.append(f"ID {container[:12]}")
    own = []
    for index, name in enumerate(INITIAL_NAMESPACES):
        with contextlib.suppress(OSError):
            if os.stat(f"/proc/self/ns/{name}").st_ino != 0xEFFFFFFF - index:
                own.append(name)
    namespaces = f"its own {', '.join(own)} {'namespace' if len(own) == 1 else 'namespaces'}" if own else (
        "the initial namespaces" if os.path.exists("/proc/self/ns") else "namespaces are not known without /proc")
    return Finding(f"{' '.join(marks) or 'none'}; {namespaces}")


def examine_object() -> Finding:
    path = find_object()
    size = len(read_object(path))
    holder = path if os.path.exists(path) else os.path.dirname(__file__)  # spoc.pyz
    return Finding(f"intact, {size} bytes, of uid {os.stat(holder).st_uid}: {path}")


def examine_recorder() -> Finding:
    """Record a program that does nothing, and set up for naming what is blocked."""
    machine = this_machine()
    with BpfRecorder(machine) as recorder, Supervisor() as supervisor:
        recorder.load()
        recorder.attach()
        with Child((sys.executable, "-ISc", ""), None, supervisor) as child:
            recorder.begin(child)
            child.wait_started({})
            child.wait({})
        calls, tells_abis = len(recorder.first_calls()), recorder.tells_abis
    offers = ["bpf", "tracepoint"]
    try:
        TracepointWatcher(machine, Profile(SCMP_ACT_ALLOW, (), ())).close()
    except SpocError as error:
        return Finding(f"blocked calls cannot be named by tracepoints: {error.reason}", error.hint, offers[:1])
    if not calls:
        return Finding("sees nothing of its command", "report it", offers, True)
    if machine.compat and not tells_abis:
        return Finding("cannot tell 32-bit calls apart", "boot without lockdown=confidentiality", offers)
    return Finding(f"saw {calls} different calls of {sys.executable}", "", offers)


class EmptyScope:
    """What doctor attaches to: nothing that runs is in it."""

    name = ""
    is_open_ended = True
    command: Sequence[str] = ()

    def __init__(self, option: str, join_program: str, exec_program: str, group: str = ""):
        self.title, self._group = option, group
        self.join_program, self.exec_program = join_program, exec_program

    def tasks(self) -> list[int]:
        return []

    def prepare(self, bpf: ScopedPrograms) -> None:
        if self._group:
            bpf.set_group(self._group)


def try_scopes(scopes: Sequence[Scope]) -> tuple[list[str], dict[str, SpocError]]:
    """The titles of those that the kernel lets attach to, and why the others fail."""
    machine, failures = this_machine(), {}
    working: list[str] = []
    for scope in scopes:
        try:
            if scope.title == "--containers":
                with StartRecorder(machine) as starts:
                    starts.load()
                    starts.attach()
            elif scope.join_program:
                with ScopeRecorder(machine, scope) as recorder:
                    recorder.load()
                    recorder.attach()
            else:
                open_scope_watcher(machine, scope).close()
            working.append(scope.title)
        except SpocError as error:
            failures[scope.title] = error
    return working, failures


# The names of processes. Podman has no daemon, but one for each container.
CONTAINER_ENGINES = {"conmon", "containerd", "crio", "dockerd"}


def describe_containers() -> str:
    engines = {process.command for process in running_processes() if not process.is_inside} & CONTAINER_ENGINES
    if not engines:
        return "no container engine runs"
    return f"{count_of(len(running_containers()), 'container', 'containers')}, by {', '.join(sorted(engines))}"


def examine_attach() -> Finding:
    """Attach to nothing in each of the ways in which record and watch attach to what runs."""
    if not os.path.exists("/proc/self/ns/pid"):
        return Finding("no process can be looked up", "mount -t proc proc /proc", (), True)
    libseccomp.load()
    check_machine_pids("what runs")
    mounts = [mount for mount in control_group_mounts() if os.path.exists(mount.path + "/cgroup.procs")]
    versions = sorted({2 if mount.is_v2 else 1 for mount in mounts})
    scopes: list[Scope] = [EmptyScope("--pid", "join_scope", ""), EmptyScope("--container", "join_scope", "join_scope"),
                           EmptyScope("--containers", "begin_foreign", "begin_foreign")]
    if mounts and mounts[0].is_v2:
        scopes.append(EmptyScope("--cgroup", "join_group", "join_group", mounts[0].path))
    elif mounts:
        scopes.append(EmptyScope("--cgroup", "join_scope", ""))
    working, failures = try_scopes([*scopes, WholeMachine()])
    if not working:
        raise failures["--pid"]
    if "--cgroup" in working and has_systemd():
        working.append("--unit")
    facts = [", ".join(working).replace(WholeMachine.title, "the whole machine"), describe_containers()]
    facts += [f"{title}: {error.reason}" for title, error in failures.items()]
    remedy = next((error.hint or "upgrade the kernel" for error in failures.values()), "")
    if not mounts:
        facts.append("no --cgroup, --unit: no control groups are mounted")
        remedy = remedy or "mount -t cgroup2 none /sys/fs/cgroup"
    else:
        facts += [] if has_systemd() else ["no --unit without systemd"]
        facts.append(f"control groups of version {' and '.join(map(str, versions))}")
    if versions == [1]:
        facts[-1] += ", where what is moved into one later is not seen"
        remedy = remedy or "boot with control groups of version 2 (systemd.unified_cgroup_hierarchy=1)"
    if not all(effective_capabilities() >> CAPABILITIES.index(name) & 1 for name in READS_CALLS):
        facts.append("the calls that other users' tasks are in cannot be read")
        remedy = remedy or f"run it with {' and '.join(READS_CALLS)} as well"
    return Finding("; ".join(facts), remedy)


def examine_proc() -> Finding:
    return Finding("mounted") if read_proc("self", "status") else Finding(
        "not mounted: containers and programs cannot be named", "mount -t proc proc /proc")


def examine_tmp() -> Finding:
    try:
        for path in DEFAULT_OUTPUT.values():
            with Target(path, is_default=True) as target:
                target.check()
    except SpocError as error:
        return Finding(f"cannot write {error.subject}: {error.reason}", error.hint)
    return Finding("takes a profile")


EXAMINATIONS: dict[str, Callable[[], Finding]] = {
    "kernel": examine_kernel, "architecture": examine_architecture, "python": examine_python,
    "privileges": examine_privileges, "libbpf": lambda: Finding(libbpf_version()), "libseccomp": examine_libseccomp,
    "bpf": examine_bpf, "jit": examine_jit, "tracepoints": examine_tracepoints, "memlock": examine_memlock,
    "unprivileged_bpf": examine_unprivileged_bpf, "lockdown": examine_lockdown, "seccomp": examine_seccomp,
    "actions_logged": examine_actions_logged, "notification": examine_notification, "audit": examine_audit,
    "filter": examine_filter, "container": examine_container, "object": examine_object, "bytecode": examine_bytecode,
    "recorder": examine_recorder, "attach": examine_attach, "proc": examine_proc, "tmp": examine_tmp}
# What these find matters only to who asks for it: an enricher by name, a scope, a short start.
NEEDED_BY_NAME = ("actions_logged", "audit", "attach", "bytecode")
EXAMINATION_LIMIT_MS = 20000


def isolated(examine: Callable[[], Finding]) -> Finding:
    """What a check finds in a process of its own, with which goes whatever it opens, loads, starts or breaks."""
    import json
    parent = os.getpid()
    try:
        reading, writing = os.pipe()
        pid = os.fork()
    except OSError as error:
        return Finding(f"not tried: {error.strerror}", remedy_of(error) or "look for what refuses that", (), True)
    if not pid:
        try:
            os.setpgid(0, 0)
            set_death_signal(signal.SIGKILL)
            if os.getppid() in (parent, 0):  # 0: this is in another pid namespace
                os.write(writing, json.dumps(guarded(examine)._asdict()).encode())
        finally:
            os._exit(0)
    try:
        os.close(writing)
        data = os.read(reading, 1 << 16) if select_readable([reading], EXAMINATION_LIMIT_MS) else None
    finally:
        os.close(reading)
        for kill in os.kill, os.killpg:
            with contextlib.suppress(OSError):
                kill(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)[1]
    if data:
        return Finding(**json.loads(data))
    end = "did not end" if data is None else f"was ended by signal {status & 0x7F}"
    return Finding(f"the check {end}", "look for a seccomp filter or a broken library that does that", (), True)


def guarded(examine: Callable[[], Finding]) -> Finding:
    """What a check finds, or why it failed; it leaves no dump."""
    Log.quiet = True
    with contextlib.suppress(OSError, ValueError, ImportError):
        import resource
        resource.setrlimit(resource.RLIMIT_CORE, (1, 1))  # 0 would not hold for a program that takes dumps (core(5))
    try:
        return examine()
    except SpocError as error:
        return Finding(f"{error.operation}: {error.subject}: {error.reason}",
                       error.hint or "upgrade the kernel", (), True)
    except OSError as error:
        remedy = remedy_of(error) or "look for what refuses that"
        return Finding(f"the check failed: {refusal_text(error)}", remedy, (), True)
    except ImportError as error:
        return Finding(f"Python module {error.name}: {error}", "as for python", (), True)
    except Exception as error:
        return Finding(f"the check failed: {type(error).__name__}: {error}", report_it(), (), True)


def diagnose() -> dict[str, Any]:
    """Run all checks; what --json prints, as its help says."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, it would take the status away
    findings = {item: isolated(examine) for item, examine in EXAMINATIONS.items()}
    offered = {name for finding in findings.values() for name in finding.offers}
    # In the order in which auto tries them, what a check offers; nothing works without these.
    works = not (findings["architecture"].missing or findings["libseccomp"].missing)
    record = next((name for name in BACKENDS if works and name in offered), None)
    works &= not findings["seccomp"].missing
    run = next((name for name in ENRICHERS if works and name in offered), None)
    broken = any(finding.missing and not {record, run}.isdisjoint(finding.offers) for finding in findings.values())
    if record is None or run is None or broken:
        code = 2
    elif any(finding.remedy for item, finding in findings.items() if item not in NEEDED_BY_NAME):
        code = 1
    else:
        code = 0
    return {"version": VERSION, "record": record, "run": run, "exit_code": code, "checks": [
        {"item": item, "state": finding.state, "fact": spell_name(finding.fact), "remedy": spell_name(finding.remedy)}
        for item, finding in findings.items()]}


STATE_COLOURS = {"ok": GREEN, "degraded": YELLOW, "missing": RED}


def format_diagnosis(diagnosis: dict[str, Any], columns: int = 80, colour: bool = False) -> str:
    """A table for so many columns, at least 50, and what it comes to."""
    import textwrap
    lines = []
    item_of: dict[str, str] = {}  # remedy -> the first check that has it
    for check in diagnosis["checks"]:
        item, remedy = check["item"], check["remedy"]
        texts = {f"{item:16} {check['state']:8} ": check["fact"]}
        if remedy:
            first = item_of.setdefault(remedy, item)
            texts[" " * 26] = f"remedy: {remedy}" if first == item else f"remedy: as for {first}"
        for start, text in texts.items():
            first, *more = textwrap.wrap(printable(text), max(columns, 50), initial_indent=start,
                                         subsequent_indent=" " * 26, break_on_hyphens=False)
            if colour:
                state = start[17:].rstrip()
                first = start[:17] + paint(state, STATE_COLOURS.get(state, "")) + first[17 + len(state):]
            lines += [first, *more]
    record, run = (diagnosis[name] or "nothing that works" for name in ("record", "run"))
    strength = ("full strength", "degraded", "not usable")[diagnosis["exit_code"]]
    lines += fold_line(f"auto: record uses {record}, run uses {run}: {strength}", columns, 4)
    return "\n".join([*lines, ""])

# --- Command line ------------------------------------------------------------


def parse_seconds(option: str, text: str, least: float) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not least <= seconds <= 10 ** 9:
        raise UsageError(f"{option} {text}", f"not a number of seconds, at least {least:g}")
    return seconds


def parse_pid(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 1 << 31:
        raise UsageError(f"--pid {text}", "no process id", "ps -e lists them; record --no-proc-start goes by name")
    return int(text)


def check_absolute(path: str) -> str:
    if not is_absolute(path):
        raise UsageError(f"-o {path}", "it is not an absolute path, which a hook needs")
    return path


def check_kubernetes_name(name: str) -> str:
    if name != kubernetes_name(name):
        raise UsageError(f"--name {name}", "not a Kubernetes name",
                         "lower-case letters, digits, '-' and '.', a letter or digit at both ends")
    return name


def is_label_name(text: str) -> bool:
    """Is this what Kubernetes takes behind the slash of a label's key and, if not empty, as its value?"""
    return len(text) <= LABEL_MAX_LENGTH and text.isascii() and text.replace("_", "").replace(".", "").replace(
        "-", "").isalnum() and text[0].isalnum() and text[-1].isalnum()


def parse_label(text: str) -> tuple[str, str]:
    """KEY=VALUE as IsQualifiedName and IsValidLabelValue of Kubernetes (apimachinery, util/validation) take it."""
    key, sign, value = text.partition("=")
    prefix, slash, name = key.rpartition("/")
    if not sign:
        raise UsageError(f"--label {text}", "no label", "KEY=VALUE, as in spo.x-k8s.io/partial=true")
    if slash and prefix != kubernetes_name(prefix):
        raise UsageError(f"--label {text}", f"{prefix or 'nothing'} in front of the / is no domain",
                         "lower-case letters, digits, '-' and '.', a letter or digit at both ends")
    for part, what in ((name, "name"), (value, "value")):
        if not is_label_name(part) and (part or what == "name"):
            raise UsageError(f"--label {text}", f"{part or 'nothing'} is no {what} of a label", "at most 63 letters, "
                             "digits, '-', '_' and '.', a letter or digit at both ends")
    return key, value


DEFAULT_ACTIONS = [action for action in ACTIONS if action != SCMP_ACT_NOTIFY]  # which run refuses


def parse_verdict(text: str) -> Verdict:
    """ACTION, or ACTION:ERRNO by number or name."""
    action, colon, named = text.partition(":")
    number = next((code for code in errno.errorcode if named == str(code)), errno_of(named))
    if action not in DEFAULT_ACTIONS:
        raise UsageError(f"--default-action {text}", "no such action" + suggestion(action, DEFAULT_ACTIONS),
                         f"one of {', '.join(DEFAULT_ACTIONS)}")
    if colon and (number < 0 or action not in NUMBERED_ACTIONS):
        raise UsageError(f"--default-action {text}", f"no errno of {action}", "SCMP_ACT_ERRNO:ENOSYS is one")
    return make_verdict(SCMP_ACT_KILL_THREAD if action == "SCMP_ACT_KILL" else action, number if colon else errno.EPERM)


def parse_least(text: str) -> Least:
    """A number of recordings or, before a %, their share in percent."""
    number, sign, rest = text.partition("%")
    whole, dot, decimals = number.partition(".")
    digits = whole + decimals
    if rest or not digits.isascii() or not digits.isdecimal() or len(digits) > 9 or dot and not sign or not (
            0 < int(digits) <= (100 * 10 ** len(decimals) if sign else int(digits))):
        raise UsageError(f"--at-least {text}", "neither a number of recordings, from 1 on, nor a share of them up to "
                         "100%")
    return Least(text, int(digits), 100 * 10 ** len(decimals) if sign else 0)


SCOPES = ("pid", "container", "unit", "cgroup", "containers")  # the options that say of what there is no command
NO_START = "no_proc_start"  # the option that makes one of the command
# What of `record` means nothing without a command, and why.
NEEDS_COMMAND = {
    "follow": "it always lasts until the last task has ended or a signal asks to stop",
    "privileged": "no command is started",
    "backend": "only BPF sees what runs already"}


OR_COMMAND = ", or record the command itself"


def spell_option(field: str) -> str:
    return "--" + field.replace("_", "-")


def scope_option(command: str, values: dict[str, Any], operands: Sequence[str]) -> str:
    """The field of the option that says what is to be recorded or watched without a command; "" if there is none."""
    given = [name for name in (*SCOPES, NO_START) if name in values]
    if not given:
        return ""
    option = spell_option(given[0])
    if len(given) > 1:
        raise UsageError(command, f"{' and '.join(map(spell_option, given))} do not go together",
                         "give one of them")
    if operands and NO_START not in values:
        raise UsageError(f"{command} {option}", "it takes no command: what runs already is recorded"
                         if given[0] != "containers" else "it takes no command: what engines start is recorded")
    for name, reason in NEEDS_COMMAND.items():
        if values.get(name, "bpf") not in ("auto", "bpf"):
            raise UsageError(f"--{name}", f"means nothing with {option}: {reason}")
    return given[0]


def make_scope(option: str, value: Any) -> Scope:
    """What such an option names, which has to be there."""
    check_machine_pids(spell_option(option))
    makers: dict[str, Callable[[Any], Scope]] = {
        "pid": ProcessTree, "container": container_scope, "unit": lambda name: ControlGroup(unit_control_group(name)),
        "cgroup": ControlGroup, NO_START: NamedProcesses}
    return makers[option](value)


def check_containers_options(values: dict[str, Any]) -> None:
    if values.get("output_file", "-") == "-":
        raise UsageError("record --containers", "each container has a profile of its own",
                         "name a folder for them with -o FOLDER")
    if written_type(values["output_file"]) and not os.path.lexists(values["output_file"]):
        raise UsageError(f"record --containers -o {values['output_file']}", "it is named like a file, and each "
                         "container has a profile of its own", "name a folder for them with -o FOLDER")
    if values.get("type") == TYPE_SYSTEMD:
        raise UsageError("-t systemd", "means nothing with --containers: a drop-in is for a service")
    if "name" in values:
        raise UsageError("--name", "means nothing with --containers: each profile has the name of its container")


def warn_of_purpose(options: RecordOptions) -> None:
    """Of a container that may be recorded to become a service."""
    if options.purpose == FOR_SERVICE and options.type != TYPE_SYSTEMD:
        Log.warning(f"--for {FOR_SERVICE}: no runtime can start a container with such a profile; for that leave "
                    f"--for {FOR_SERVICE} out")


def run_record(values: dict[str, Any], operands: list[str]) -> int:
    values = {"purpose" if name == "for" else name: value for name, value in values.items()}  # which is a keyword
    if "no_base_syscalls" in values and "purpose" in values:
        raise UsageError("record", "-n and --for contradict each other", "-n allows nothing but what was recorded")
    is_drop_in = written_type(values.get("output_file", "")) == TYPE_SYSTEMD
    if is_drop_in and not {"type", "append", "containers"}.intersection(values):
        values["type"] = TYPE_SYSTEMD
    if values.get("type") == TYPE_SYSTEMD:
        check_for_systemd(values)
        values["drop_in"] = drop_in_of
    option, options = scope_option("record", values, operands), RecordOptions(**values)
    if not option:
        if options.with_blocked:
            raise UsageError("--with-blocked", "a command is recorded under no filter", "give it with --pid, "
                             "--container, --unit or --cgroup; run --learn FILE allows what a profile blocks")
        check_no_profile("record", "-o", operands, "output_file" in values)
        return RecordCommand(options._replace(count_gaps=count_gaps), operands).run()
    if option == "containers":
        check_containers_options(values)
        warn_of_purpose(options)
        check_machine_pids(spell_option(option), OR_COMMAND)
        return ContainersCommand(options).run()
    check_machine_pids(spell_option(option), OR_COMMAND)
    if option == "container":
        warn_of_purpose(options)
    if option == "container" and not find_container(options.container, begun_containers()):
        return AwaitCommand(options).run()
    try:
        return AttachCommand(options, make_scope(option, operands[0] if option == NO_START else values[option])).run()
    except NoTasksError:
        if option != "container":
            raise
    return AwaitCommand(options).run()  # it has ended


def run_hook(values: dict[str, Any], _operands: list[str]) -> int:
    try:
        options, state = HookOptions(**values), read_state()
        request = request_of(state, options)
        return HookCommand(options, state, request).run() if request else 0
    except SpocError as error:
        write_syslog(f"Error: {error}")  # crun hides what its hooks write to standard error
        raise


def check_for_systemd(values: dict[str, Any]) -> None:
    """Refuse, before anything is recorded, what a drop-in cannot say."""
    if not values.get("output_file"):
        raise UsageError("record -t systemd", "no file for the drop-in",
                         "-o /etc/systemd/system/NAME.service.d/seccomp.conf, or -o - for standard output")
    if is_reference(values["output_file"]):
        raise UsageError("record -t systemd", "a drop-in has no format in registries", "name a file with -o")
    convert = "record YAML, and then convert -t systemd"
    reasons = {"append": ("a drop-in is not read", convert), "name": ("a drop-in has no name", "leave --name out"),
               "args": ("systemd has no conditions", "leave --args out")}
    for field, (reason, remedy) in reasons.items():
        if field in values:
            raise UsageError(f"--{field}", f"does not go with -t systemd: {reason}", remedy)


def check_no_profile(command: str, option: str, operands: Sequence[str], given: bool) -> None:
    """Refuse what is a profile, by its name, where the command should be; the option takes it, if not another."""
    word, *rest = operands
    if type_of_name(split_name(word)[0]) and not find_program(word):
        import shlex  # and re, which each recording would pay for
        rest = rest[rest[:1] == ["--"]:]
        example = shlex.join([command, *([] if given else [option, word]), "--", *rest] if rest else
                             [command, option, word, "--"]) + ("" if rest else " CMD")
        raise UsageError(f"{command} {word}", "it is no command, but named like a profile", f"{PROGRAM} {example}")


def run_run(values: dict[str, Any], operands: list[str]) -> int:
    check_no_profile("run", "-p", operands, "profile" in values)
    if "as" in values:  # which is a keyword
        values["runtime"] = values.pop("as")
    values.pop("type", None)
    options = RunOptions(**values)
    if options.force and not options.learn:
        raise UsageError("--force", "needs --learn")
    if options.learn and options.enricher not in ("auto", "notify"):
        raise UsageError(f"--enricher {options.enricher}", "--learn needs notify")
    if "audit_log" in values and (options.learn or options.enricher not in ("auto", "audit-log")):
        raise UsageError("--audit-log", "means nothing with " + (
            "--learn, which takes notify" if options.learn else f"--enricher {options.enricher}"))
    if options.strict and (options.learn or options.enricher == "none"):
        raise UsageError("--strict", "means nothing with " + (
            "--learn, which blocks nothing" if options.learn else "--enricher none, which sees nothing"))
    return RunCommand(options, operands).run()


def run_watch(values: dict[str, Any], operands: list[str]) -> int:
    option = scope_option("watch", values, operands)
    scope = make_scope(option, values[option]) if option else None
    if not scope:
        check_machine_pids("the whole machine")
    values["duration"] = values.pop("for", 0)  # which is a keyword
    return WatchCommand(WatchOptions(**values), scope or WholeMachine()).run()


def run_merge(values: dict[str, Any], operands: list[str]) -> int:
    options = MergeOptions(**values)
    if options.intersect and (options.default_action or options.at_least):
        raise UsageError("merge --intersect", "it does not go with " + (
            "--default-action: the most restrictive default holds" if options.default_action else
            "--at-least: what all allow was seen in all"))
    if not options.check:
        return merge_files(options, operands)
    if "output_file" not in values and len(operands) < 2:
        raise UsageError("merge --check", "no profile to check", "give that as -o FILE alone")
    for field in values:
        if field not in ("check", "output_file", "registries"):
            raise UsageError("merge --check", f"{spell_option(field)} does not go with it",
                             "leave it out")
    if "output_file" in values:
        return check_file(options.output_file, operands, options.registries)
    return check_file(operands[0], operands[1:], options.registries)


def run_diff(values: dict[str, Any], operands: list[str]) -> int:
    try:
        return diff_files(operands[0], operands[1], "json" in values, values["registries"])
    except SpocError as error:
        error.exit_code = EXIT_USAGE
        raise


def run_convert(values: dict[str, Any], operands: list[str]) -> int:
    to_type = values.get("type") or written_type(values.get("output_file", ""))
    if not to_type:
        raise UsageError("convert", f"give -t, one of {', '.join(CONVERT_TYPES)}")
    for field in ("label", "api_version"):
        if field in values and to_type != TYPE_CRD:
            raise UsageError(spell_option(field), f"means nothing with -t {to_type}: only the Kubernetes object has it")
    output, registries = values.get("output_file", "-"), values["registries"]
    if to_type not in DOCUMENT_TYPES:  # it would replace the profile by what cannot be read again
        check_written("-o", output, [(f"convert -t {to_type}", path) for path in operands])
    warn_of_name(output, TYPE_JSON if to_type == TYPE_DOCKER else to_type)
    if is_reference(output) and to_type not in DEFAULT_OUTPUT:
        raise UsageError(f"convert -t {to_type}", "it has no format in registries",
                         f"-t is {' or '.join(DEFAULT_OUTPUT)} for these")
    with profile_target(output, registries=registries) as target:
        if to_type == TYPE_BPF and target.is_terminal():
            raise UsageError("convert -t bpf", "a terminal cannot show it", "name a file with -o, or redirect it")
        if target.is_remote:
            target.check()
        check_readable(operands)
        with ProfileReader(container_host(), registries) as reader:
            source = reader.read(operands[0])
            if to_type != TYPE_CRD:
                source = reader.united(source)
        profile = source.profile
        if to_type in DOCUMENT_TYPES:
            tell_unknown(name for rule in profile.rules for name in rule.names)
        if to_type != TYPE_DOCKER and source.depends_on_machine:
            Log.info(f"{operands[0]}: rules that depend on the machine are taken as for a container on this one")
        if "portable" in values:
            before, profile = profile, portable_profile(profile, to_type != TYPE_CRD)
            tell_portable(before, profile)
        target.write(Conversion(source, profile, this_machine().native, dict(values.get("label", ())),
                                values.get("api_version", API_V1BETA1)).convert(to_type))
        if to_type == TYPE_SYSTEMD:
            tell_risky(profile)
    return 0


def tell_risky(profile: Profile) -> None:
    """Name the calls of high risk that a drop-in allows: a recording may have them for a container alone."""
    risky = Portrait("", profile, this_machine().native).risky
    if risky:
        Log.warning(f"the drop-in allows calls of high risk: {', '.join(sorted(risky))}; what only starts a container "
                    f"record --for {FOR_SERVICE} leaves out")


def run_show(values: dict[str, Any], operands: list[str]) -> int:
    if "html" in values:
        check_written("--html", values["html"], [("show", operands[0])])
    portrait = portrait_of(operands[0], values["registries"])
    if "html" in values:
        with profile_target(values["html"], "--html") as target:
            target.write(format_page(portrait))
    if values.get("html") != "-":
        write_stdout(format_portrait(portrait, stdout_columns(), has_colour(1)))
    return 0


def run_gaps(values: dict[str, Any], operands: list[str]) -> int:
    """The subcommand `gaps`."""
    given = [spell_option(name) for name in ("pid", "container", "root") if name in values]
    if len(given) > 1 or given not in ([], ["--root"]) and operands:
        raise UsageError("gaps", f"{list_of(given)} goes with no PROGRAM" if operands and len(given) == 1 else
                         f"{' and '.join(given)} do not go together", "give one of them")
    identity = sudo_identity(os.environ)
    path = values.get("profile") or default_profile((identity.uid, identity.gid) if identity else None)
    scope = (ProcessTree(values["pid"]) if "pid" in values else
             container_scope(values["container"], "--pid") if "container" in values else None)
    root = values.get("root", "")
    if root and not os.path.isdir(root):
        raise SpocError("look in", root, "there is no such folder")
    files: Iterable[ElfFile | str] = itertools.chain.from_iterable(map(Loader(root).load, operands))
    if scope:
        whose = f"container {values['container']}" if "container" in values else f"process {values['pid'][0]}"
        pids = [pid for pid in sorted(scope.tasks()) if proc_status(pid).get("Tgid") == str(pid)]
        files = mapped_files(whose, pids)
    gaps = find_gaps(path, values["registries"], files)
    write_stdout(format_json(gaps) if "json" in values else format_gaps(gaps, stdout_columns(), has_colour(1)))
    return EXIT_BLOCKED if "check" in values and (gaps["own"] or not gaps["complete"]) else 0


def run_doctor(values: dict[str, Any], _operands: list[str]) -> int:
    diagnosis = diagnose()
    write_stdout(format_json(diagnosis) if "json" in values else
                 format_diagnosis(diagnosis, stdout_columns(), has_colour(1)))
    return int(diagnosis["exit_code"])


def run_version(_values: dict[str, Any], _operands: list[str]) -> int:
    """A library that is missing is a fact like any other."""
    lines = [f"{PROGRAM} {VERSION}"]
    for name, version in (("libbpf", libbpf_version), ("libseccomp", format_libseccomp_version)):
        try:
            lines.append(f"{name} {version()}")
        except LibraryError as error:
            lines.append(f"{name} not usable: {error}")
    lines.append(f"Python {sys.version.split()[0]}")
    if held_bytecode():
        lines.append(f"bytecode {examine_bytecode().fact}")
    write_stdout("\n".join([*lines, ""]))
    return 0


def run_push(values: dict[str, Any], operands: list[str]) -> int:
    """The subcommand `push`."""
    return push_files(values, parse_reference(operands[0]))


def run_pull(values: dict[str, Any], operands: list[str]) -> int:
    """The subcommand `pull`."""
    return pull_to_file(values, parse_reference(operands[0]))


class Option(NamedTuple):
    """An option of some commands, which reads the same and means the same in all of them."""

    names: str  # the short one, if there is one, and the long one
    metavar: str  # of its value; "" if it takes none, NAMES for several with commas between them
    commands: str
    help: str  # {words} stands for these
    words: Sequence[str] = ()  # the values to choose from
    check: Callable[[str], Any] | None = None  # gives what the command gets for a value; words are not compared then
    repeated: bool = False  # the command gets all values in a list, not the last one

    @property
    def field(self) -> str:
        """The key of its value in what a command gets."""
        return self.names.split()[-1][2:].replace("-", "_")


OPTIONS = (
    Option("--pid", "PID", "record watch gaps",
           "this process, which runs already, with its threads and descendants", check=parse_pid,
           repeated=True),
    Option("--container", "NAME", "record",
           "all that is in this container, or is started in it: its whole name, or its id or how the id begins; one "
           "that does not run yet is waited for (by 12 digits of its id at least), and all of it recorded"),
    Option("--container", "NAME", "watch",
           "all that is in this container, which runs already, or is started in it: its whole name, or its id "
           "or how the id begins"),
    Option("--container", "NAME", "gaps",
           "what is in this container, which runs already: its whole name, or its id or how the id begins"),
    Option("--containers", "", "record",
           "every container that starts from now on, each into a profile of its own in the folder that -o names"),
    Option("--unit", "NAME", "record watch",
           "all that is in this systemd unit, which runs already, or is started in it"),
    Option("--cgroup", "PATH", "record watch",
           "all that is in this control group, a folder below /sys/fs/cgroup; what comes into it later is seen from "
           "its exec on, if that is of version 2"),
    Option("--no-proc-start", "", "record",
           "do not start CMD: record all that runs under its file's name, and starts under it until a signal asks to "
           "stop; its arguments do not count"),
    Option("-t --type", "TYPE", "record",
           "seccomp (Kubernetes YAML), raw-seccomp (OCI JSON) or systemd (a drop-in for a service); the default is "
           "raw-seccomp for a FILE that ends in .json, systemd for .conf, else seccomp",
           (*DEFAULT_OUTPUT, TYPE_SYSTEMD)),
    Option("-t --type", "TYPE", "hook",
           "seccomp (Kubernetes YAML) or raw-seccomp (OCI JSON); the default is raw-seccomp for a FILE that ends in "
           ".json, else seccomp", tuple(DEFAULT_OUTPUT)),
    Option("--for", "NAME", "record",
           "container: allow what runc and crun need to start one, too (the default); service: execve instead, with "
           "which systemd starts a service (the default of -t systemd)", (FOR_CONTAINER, FOR_SERVICE)),
    Option("-t --type", "TYPE", "merge",
           "seccomp (Kubernetes YAML) or raw-seccomp (OCI JSON); the default is that of the output's name (.yaml, "
           ".json), that of all inputs if they have the same, or seccomp", tuple(DEFAULT_OUTPUT)),
    Option("-t --type", "TYPE", "convert",
           "seccomp (Kubernetes YAML), raw-seccomp (OCI JSON), docker (Docker and Podman), systemd (a drop-in), bpf "
           "(the compiled filter) or pfc (libseccomp's listing of it); not needed if the output's name ends in .yaml "
           "(seccomp), .json (raw-seccomp) or .conf (systemd)", CONVERT_TYPES),
    Option("-o --output-file", "FILE", "record",
           "write the profile to FILE or oci://REF, - for standard output (default /tmp/profile.yaml or "
           "/tmp/profile.json); with --containers, the profiles to this folder or oci://HOST/NAME"),
    Option("-o --output-file", "FILE", "hook",
           "record containers without an annotation as well, to FILE, an absolute path; %i in it stands for the "
           "container's id; annotations may then only name files in the folder of FILE", check=check_absolute),
    Option("-o --output-file", "FILE", "merge",
           "write the profile to FILE or oci://REF (default -, standard output); with --check, the profile to check "
           "(default the first of several)"),
    Option("-f --profiles", "FILE", "push",
           "the profile (default /tmp/profile.yaml or /tmp/profile.json), - for standard input", repeated=True),
    Option("-t --type", "TYPE", "push",
           "runtime: JSON for container runtimes, which takes one -f and no -p; crd: YAML as the Security Profiles "
           "Operator has it, for each -p another -f; the default is runtime if the profile is JSON, else crd",
           (ARTIFACT_RUNTIME, ARTIFACT_CRD)),
    Option("-o --output-file", "FILE", "pull",
           "write the profile to FILE, - for standard output (default /tmp/profile.yaml or /tmp/profile.json)"),
    Option("-p --platforms", "PLATFORM", "push",
           "OS/ARCH[/VARIANT], what the profile of the -f in the same place is for",
           check=parse_platform, repeated=True),
    Option("-p --platform", "PLATFORM", "pull",
           "take the profile for OS/ARCH[/VARIANT] (default this machine)",
           check=parse_platform),
    Option("-a --annotations", "KEY:VALUE", "push", "what the manifest says beside", repeated=True),
    Option("-u --username", "USER", "push pull merge diff convert show gaps",
           "log in to the registry as USER (default SPOC_USERNAME, or what podman login or docker login left)"),
    Option("--password-stdin", "", "push pull merge diff convert show gaps",
           "read the password from standard input (default: SPOC_PASSWORD)"),
    Option("--plain-http", "", "push pull record run merge diff convert show gaps",
           "reach the registry without TLS; on the host localhost this is found out"),
    Option("--ca", "FILE", "push pull record run merge diff convert show gaps",
           "trust the certificates in FILE (PEM) beside the system's"),
    Option("-o --output-file", "FILE", "convert", "write it to FILE or oci://REF (default -, standard output)"),
    Option("-t --type", "TYPE", "run", "of the profile: seccomp, the only one", ("seccomp",)),
    Option("-p --profile", "FILE", "run",
           "the profile: YAML or JSON, - for standard input, FILE#NAME for one of several documents, or oci://REF "
           "(default /tmp/profile.yaml or /tmp/profile.json)"),
    Option("-p --profile", "FILE", "gaps",
           "the profile: YAML or JSON, - for standard input, FILE#NAME for one of several documents, or oci://REF "
           "(default /tmp/profile.yaml or /tmp/profile.json)"),
    Option("--root", "FOLDER", "gaps",
           "look for PROGRAM and its libraries in this folder, an unpacked image or the files of another machine"),
    Option("--base-profile", "FILE", "run",
           "add the rules of this profile; where both answer a syscall, the less restrictive answer holds",
           repeated=True),
    Option("-b --base-syscalls", "NAMES", "record hook",
           "allow these as well; NAMES replaces the base syscalls, those that runc and crun need to start a container: "
           "name execve, too, for run to start a program under the profile",
           check=check_syscall_name, repeated=True),
    Option("-b --base-syscalls", "NAMES", "merge", "allow these as well, as another profile would",
           check=check_syscall_name, repeated=True),
    Option("-b --base-syscalls", "NAMES", "run", "allow these, whatever the profile says of them",
           check=check_syscall_name, repeated=True),
    Option("-n --no-base-syscalls", "", "record hook",
           "allow nothing but what was recorded, and what the kernel makes by itself"),
    Option("--args", "NAMES", "record",
           "of these syscalls, allow only what is seen of the argument that says what they do: domain of socket, "
           "request of ioctl, ...", tuple(sorted(ARGUMENTS)), repeated=True),
    Option("--name", "NAME", "record",
           "metadata.name of the Kubernetes object (default from CMD); not with JSON, which has none",
           check=check_kubernetes_name),
    Option("--name", "NAME", "merge",
           "metadata.name of the Kubernetes object (default the inputs' or, if they differ, from -o); not with JSON, "
           "which has none", check=check_kubernetes_name),
    Option("--default-action", "ACTION", "merge",
           "settle different defaults: SCMP_ACT_ERRNO, SCMP_ACT_ERRNO:ENOSYS, SCMP_ACT_LOG, ...",
           DEFAULT_ACTIONS, parse_verdict),
    Option("--append", "", "record", "add to the profile that is in FILE, if there is one"),
    Option("--follow", "", "record",
           "record until the last descendant has ended or a signal asks to stop, not only until CMD has"),
    Option("--follow", "", "run",
           "go on until the last descendant has ended or a signal asks to stop, not only until CMD has"),
    Option("--checkpoint", "SECONDS", "record", "write the profile at this interval while CMD runs, too",
           check=lambda text: parse_seconds("--checkpoint", text, 1)),
    Option("--stats", "", "record", "count the calls, and print a table of them at the end"),
    Option("--backend", "NAME", "record",
           "bpf: with BPF (root, or CAP_BPF and CAP_PERFMON); notify: with seccomp user notification, which needs no "
           "privilege but slows CMD down; auto, the default: bpf where it works", BACKENDS),
    Option("--with-blocked", "", "record",
           "allow also what the filter that is in force blocks of what runs already"),
    Option("--label", "KEY=VALUE", "convert", "give the Kubernetes object this label as well, as partial recordings of "
           "the Security Profiles Operator have some", check=parse_label, repeated=True),
    Option("--api-version", "VERSION", "convert", "of the Kubernetes object: v1beta1 (the default) or v1, whose "
           "objects are in no namespace", API_WRITTEN),
    Option("--intersect", "", "merge", "write what all profiles allow, in place of what one of them does"),
    Option("--at-least", "N|P%", "merge",
           "leave out, and list, what was seen in fewer than N recordings, or P percent of them; a profile that was "
           "merged from some counts for as many", check=parse_least),
    Option("--portable", "", "record merge convert",
           "allow what other libcs, kernels and architectures call for the same work, too"),
    Option("-c --check", "", "merge",
           "write nothing; print what the profile to check does not allow of what the inputs do, as diff does (+), and "
           "exit with 1 if there is anything"),
    Option("-c --check", "", "gaps", "exit with 1 if the profile lacks anything that a program itself asks for, or if "
           "that cannot be told"),
    Option("--as", "NAME", "run",
           "spoc: what the profile says, as crun does (the default); runc: ENOSYS for calls that are newer than all "
           "that it names", RUNTIMES),
    Option("--privileged", "", "record run", "under sudo, run CMD as root and not as the calling user"),
    Option("--no-new-privs", "", "run", "set no_new_privs, which is always set without CAP_SYS_ADMIN"),
    Option("--enricher", "NAME", "run", "where to learn of blocked calls: {words}", ENRICHERS),
    Option("--audit-log", "FILE", "run",
           "the log that the enricher audit-log reads (default /var/log/audit/audit.log)"),
    Option("--learn", "FILE", "run",
           "block nothing; write the profile with what it would have blocked allowed: where it has conditions, with "
           "the arguments seen; what a rule denies stays denied; goes on as with --follow"),
    Option("--force", "", "run", "with --learn, remove the rules and conditions that deny what was seen"),
    Option("--events", "FILE", "run", "write each blocked or logged call as a line of JSON"),
    Option("--events", "FILE", "watch", "write each blocked call as a line of JSON"),
    Option("--for", "SECONDS", "watch", "end after that time",
           check=lambda text: parse_seconds("--for", text, 0.1)),
    Option("--strict", "", "run", "exit with 1 if anything was blocked, whatever the exit code of CMD"),
    Option("--strict", "", "watch", "exit with 1 if anything was blocked"),
    Option("--html", "FILE", "show", "write it as a page, too; - for standard output, instead of the text"),
    Option("--json", "", "diff gaps doctor", "print JSON"),
    Option("-q --quiet", "", "record merge push pull", "print errors and warnings only"),
    Option("-q --quiet", "", "run watch", "print errors, warnings and blocked calls only"),
    Option("-v --verbose", "", "record run watch", "print libbpf's messages as well"),
    Option("-v --verbose", "", "push pull", "print each request as well"))

# What stands behind the options: how many at least and at most, and what is wrong with another number.
OPERANDS = {
    "": (0, 0, "it takes no operands"),
    "FILE": (1, 1, "it takes one profile, not {count}"),
    "A B": (2, 2, "it takes two profiles"),
    "FILE...": (1, sys.maxsize, "no profiles to {command}"),
    "PROGRAM...": (1, sys.maxsize, "no program to look at"),
    "REF": (1, 1, "it takes one reference, HOST[:PORT]/NAME[:TAG], not {count}; options name files"),
    "CMD [ARG...]": (1, sys.maxsize, "no command to {command}")}


class Command(NamedTuple):
    """A subcommand."""

    run: Callable[[dict[str, Any], list[str]], int]  # gets the options' values, by field, and the operands
    operands: str
    summary: str
    description: str  # a line for each paragraph
    example: str
    required: str = ""  # the field of an option that nearly always has to be given


COMMANDS = {
    "record": Command(
        run_record, "CMD [ARG...]", "run a command and write a seccomp profile of the syscalls that it makes",
        "Run CMD and write a seccomp profile of the syscalls that it and all its descendants make.\n"
        "Without CMD, with --pid, --container, --unit or --cgroup: the same of what runs already, until it has ended "
        "or SIGINT or SIGTERM comes. With --containers: of each container that starts, until then.",
        "record -o nginx.yaml -- nginx -g 'daemon off;'"),
    "run": Command(
        run_run, "CMD [ARG...]", "run a command under a seccomp profile and name the syscalls that it blocks",
        "Run CMD under a seccomp profile, and name every syscall that the profile blocks or logs.",
        "run -p nginx.yaml -- nginx -g 'daemon off;'"),
    "watch": Command(
        run_watch, "", "name the syscalls that seccomp filters block of what runs already",
        "Name every syscall that a seccomp filter blocks, whosever it is: of all tasks of this machine, or of some. It "
        "lasts until SIGINT or SIGTERM, or until all of these tasks have ended.",
        "watch --for 60 --strict"),
    "hook": Command(
        run_hook, "", "as an OCI hook, record a container that a runtime is about to start",
        "For createRuntime or prestart of an OCI runtime, which gives the container's state on standard input. Leave a "
        "recorder running and exit with 0 as soon as that is armed; it writes the profile when the container has "
        "ended. Exit with another code if it cannot be armed, and the runtime does not start the container.\n"
        "What is recorded is a container with the annotation io.spoc.record=FILE or io.containers.trace-syscall="
        "of:FILE;if:FILE.",
        "hook -o /var/lib/spoc/%i.json < state.json"),
    "merge": Command(
        run_merge, "FILE...", "unite profiles, or check that one allows what others do",
        "Write the union of profiles: what one of them allows is allowed. FILE is what run -p takes; "
        "oci://HOST/NAME:PATTERN with * or ? is all tags that fit.",
        "merge -o app.yaml node-1.yaml node-2.yaml"),
    "diff": Command(
        run_diff, "A B", "show what two profiles allow differently",
        "Print what only profile A says (-) and what only B does (+), by meaning: a bare name is allowed.\n"
        "Exit with 0 if they mean the same, 1 if not, 2 if one cannot be read.",
        "diff old.yaml new.json"),
    "convert": Command(
        run_convert, "FILE", "write a profile in another format: Kubernetes, OCI, Docker, systemd, compiled",
        "Write the profile FILE (YAML or JSON, - for standard input, FILE#NAME for one of several documents, or "
        "oci://REF) in another format. What that format cannot say is an error.",
        "convert -t systemd -o /etc/systemd/system/nginx.service.d/seccomp.conf nginx.yaml", "type"),
    "show": Command(
        run_show, "FILE", "print what a profile allows, for a person, or write it as a page",
        "Print what the profile FILE (YAML or JSON, - for standard input, FILE#NAME for one of several documents, or "
        "oci://REF) allows: how many syscalls and which, those of high risk, how it compares with Docker's default, "
        "what the filter costs.",
        "show --html nginx.html nginx.yaml"),
    "gaps": Command(
        run_gaps, "PROGRAM...", "name what the code of a program asks for and a profile does not allow",
        "Name the syscalls that a recording may have missed: what PROGRAM, its path or name, imports of libc or has of "
        "Go's packages, and the profile does not allow; then what its libraries ask for, and what cannot be told, such "
        "as the numbers that it gives to syscall(2). Nothing is changed: merge -b adds what should be allowed.\n"
        "With --pid or --container: the same of what runs, by the files that it has mapped.\n"
        "With --json: an object with profile, programs, own (a list of objects with syscall, high_risk and reasons), "
        "libraries (lists of syscalls by name), static (programs that do not tell), complete (false: see --check) and "
        "unknown.",
        "gaps -p nginx.yaml nginx"),
    "push": Command(
        run_push, "REF", "put a profile into an OCI registry",
        "Put profiles into an OCI registry, where container runtimes and the Security Profiles Operator find them, and "
        "print the reference that names just these for ever.\n"
        "REF is HOST[:PORT]/NAME[:TAG][@sha256:DIGEST].",
        "push -f nginx.json registry.example.com/profiles/nginx:1.27"),
    "pull": Command(
        run_pull, "REF", "get a profile from an OCI registry",
        "Get a profile from an OCI registry, verified: the runtime format's, else the one for this platform.\n"
        "REF is HOST[:PORT]/NAME[:TAG][@sha256:DIGEST].",
        "pull -o nginx.json registry.example.com/profiles/nginx:1.27"),
    "doctor": Command(
        run_doctor, "", "tell what this machine can do, and how it could do more",
        "Try what record and run need, and tell what works, what does not, and the remedy. Nothing is changed, and "
        "nothing is left behind.\n"
        "With --json: an object with checks (a list of objects with item, state, fact and remedy), record and run "
        "(what auto would choose, or null), exit_code and version.\n"
        "Exit with 0 if record and run work with full strength, 1 if something is missing but both work, 2 if one does "
        "not.",
        "doctor"),
    "version": Command(
        run_version, "", "print the versions of this program and of what it uses",
        "Print the versions of this program and of what it uses.",
        "version")}
# Those of the Go tool.
ALIASES = {"r": "record", "x": "run", "m": "merge", "c": "convert", "p": "push", "l": "pull", "v": "version"}
# What else the Go tool takes, and why there is no such command here.
NOT_HERE = {
    **dict.fromkeys(("install", "i", "remove", "rm"),
                    "the operator's spoc does that with AppArmor profiles, and spoc.py knows seccomp alone")}


def options_of(command: str) -> list[Option]:
    return [option for option in OPTIONS if command in option.commands.split()]


def option_help(option: Option) -> str:
    """What help says of an option."""
    text = option.help.replace("{words}", ", ".join(option.words))
    if option.metavar == "NAMES":
        text += " (separated by commas)"
    return f"{text}; may be given several times" if option.repeated else text


def usage_of(name: str) -> str:
    """How a command is called."""
    command = COMMANDS[name]
    parts = [PROGRAM, name]
    for option in options_of(name):
        if option.field == command.required:
            parts += [option.names.split()[0], option.metavar]
    if options_of(name):
        parts.append("[OPTION...]")
    if command.operands:
        parts += ["[--]", command.operands]
    return " ".join(parts)


def format_table(rows: Sequence[tuple[str, str]], columns: int) -> list[str]:
    """Lines of a label each, and the text to it beside it."""
    import textwrap
    width = max(len(label) for label, _ in rows) + 4
    lines: list[str] = []
    for label, text in rows:
        lines += textwrap.wrap(text, max(columns, width + 20), initial_indent=f"  {label}".ljust(width),
                               subsequent_indent=" " * width, break_on_hyphens=False, break_long_words=False)
    return lines


def format_help(name: str, columns: int) -> str:
    """What COMMAND --help prints in so many columns."""
    import textwrap
    command = COMMANDS[name]
    lines = fold_line(f"usage: {usage_of(name)}", max(columns, 40), 4)
    for paragraph in command.description.split("\n"):
        lines += ["", *textwrap.wrap(paragraph, max(columns, 40), break_on_hyphens=False)]
    if options_of(name):
        rows = [(f"{option.names.replace(' ', ', ')} {option.metavar}".rstrip(), option_help(option))
                for option in options_of(name)]
        lines += ["", *format_table(rows, columns)]
    return "\n".join([*lines, "", f"example: {PROGRAM} {command.example}", ""])


def format_overview(columns: int) -> str:
    """What --help prints."""
    short = {name: letter for letter, name in ALIASES.items()}
    rows = [(f"{name}, {short[name]}" if name in short else name, command.summary)
            for name, command in COMMANDS.items()]
    return "\n".join([f"usage: {PROGRAM} COMMAND [OPTION...] ...", "", *format_table(rows, columns), "",
                      f"{PROGRAM} help COMMAND tells more.", ""])


def find_option(command: str, name: str, options: Container[str]) -> str:
    """The option that this is, or the only long one that begins so. Raises UsageError."""
    if name in options or name in ("-h", "--help"):
        return name
    names = sorted({each for option in options_of(command) for each in option.names.split() if each[1] == "-"}
                   | {"--help"})
    found = [each for each in names if each.startswith(name) and len(name) > 2]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"{command} {name}", f"it may be {' or '.join(found)}", "write more of it")
    others = [other for other in COMMANDS if name in {each for option in options_of(other)
                                                      for each in option.names.split()}]
    raise UsageError(f"{command} {name}", f"no such option; it is an option of {list_of(others)}" if others else
                     "no such option" + (suggestion("--unit" if name == "--service" else name, names)
                                         if name.startswith("--") else ""))


def parse_options(command: str, arguments: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Options by field, flags as True and values in lists; and operands, with a command's own options."""
    options = {name: option for option in options_of(command) for name in option.names.split()}
    values: dict[str, Any] = {}
    operands: list[str] = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word == "--":
            return values, operands + rest
        if not word.startswith("-") or word == "-":
            operands.append(word)
            if COMMANDS[command].operands.startswith("CMD"):
                return values, operands + rest
            continue
        name, joined, value = word[:2], word[2:], word[2:]
        if word.startswith("--") or joined.startswith("="):  # -o=FILE is how Go's flags are written
            name, joined, value = word.partition("=")
        if f"-{word}".partition("=")[0] in options and name not in options:
            raise UsageError(f"{command} {word}", f"no such option; did you mean -{word}?")
        name = find_option(command, name, options)
        if name in ("-h", "--help"):
            return {"help": True}, []
        option = options[name]
        if option.metavar:
            if not joined and not rest:
                raise UsageError(f"{command} {name}", "it needs a value")
            values.setdefault(option.field, []).append(value if joined else rest.pop(0))
        elif joined == "=":
            raise UsageError(f"{command} {name}", "it takes no value")
        else:
            values[option.field] = True
            if joined:  # -qn is -q -n
                rest.insert(0, "-" + value)
    return values, operands


def check_operands(command: str, operands: Sequence[str], arguments: Sequence[str]) -> None:
    least, most, reason = OPERANDS[COMMANDS[command].operands]
    if not least <= len(operands) <= most:
        subject = f"{command} {operands[0]}" if most == 0 else command
        hint = ""
        if least and len(arguments) > 1 and arguments[-2][:1] == "-" != arguments[-1][:1]:  # the value of an option
            hint = f"{arguments[-2]} has taken {arguments[-1]}"
        raise UsageError(subject, reason.format(command=command, count=len(operands)), hint)


OTHER_TYPES = ("apparmor", "raw-apparmor", "all")  # of the Go tool
TYPE_WORDS = {"json": TYPE_JSON, "oci": TYPE_JSON, "yaml": TYPE_CRD, "yml": TYPE_CRD, "crd": TYPE_CRD}


def check_value(option: Option, command: str, given: Sequence[str]) -> Any:
    """What a command gets for these values of an option."""
    names = option.names.split()
    values = given
    if option.metavar == "NAMES":
        values = [name.strip() for value in given for name in value.split(",")]
        if not all(values):
            raise UsageError(f"{names[0]} {','.join(given)}", "an empty name in the list")
    elif not option.repeated:
        if option.field in (*SCOPES, "profile") and len(set(given)) > 1:
            raise UsageError(f"{command} {names[-1]}", f"given more than once: {', '.join(given)}", "give one")
        values = given[-1:]
        if not values[0]:
            raise UsageError(f"{command} {names[-1]}", "an empty value")
    if option.check:
        values = [option.check(value) for value in values]
    elif option.words:
        for value in values:
            if "--type" in names and value in OTHER_TYPES:
                raise UsageError(f"{names[0]} {value}", "AppArmor is for the operator's spoc; this knows seccomp alone",
                                 f"one of {', '.join(option.words)}")
            if value not in option.words:
                raise UsageError(f"{names[0]} {value}", f"not one of {', '.join(option.words)}"
                                 + suggestion(TYPE_WORDS.get(value, value) if "-t" in names else value, option.words))
    return tuple(values) if option.repeated else values[0]


# The commands that take oci://REF where they take a file.
TAKE_REFERENCES = ("record", "run", "merge", "diff", "convert", "show", "gaps")


def take_settings(name: str, values: dict[str, Any], operands: Sequence[str]) -> Settings:
    """How a command reaches registries: takes the options away that say so. A login is for what is named here."""
    paths = [values.get("output_file", ""), values.get("profile", ""), *values.get("base_profile", ())]
    if not COMMANDS[name].operands.startswith("CMD"):
        paths += operands
    settings = registry_settings(values, [parse_reference(path, True) for path in paths if is_reference(path)])
    for field in ("username", "password_stdin", "plain_http", "ca"):
        values.pop(field, None)
    return settings


def run_command(name: str, arguments: Sequence[str]) -> int:
    """Run a subcommand; give the exit code."""
    command = COMMANDS[name]
    values, operands = parse_options(name, arguments)
    if "help" in values:
        write_stdout(format_help(name, stdout_columns()))
        return 0
    if not values.keys() & set(SCOPES):
        check_operands(name, operands, arguments)
    for option in options_of(name):
        if option.field in values and option.metavar:
            values[option.field] = check_value(option, name, values[option.field])
    Log.quiet, Log.verbose = values.pop("quiet", False), values.pop("verbose", False)
    Log.could_be_verbose = not Log.verbose and any(option.field == "verbose" for option in options_of(name))
    Log.unsaid = Log.unread = False
    if name in TAKE_REFERENCES:
        values["registries"] = take_settings(name, values, operands)
    code = command.run(values, operands)
    return EXIT_FAILURE if Log.unsaid else code


def hold_standard_descriptors() -> None:
    """Occupy closed ones of 0 to 2, so that no file gets their numbers; the command finds them closed again."""
    with contextlib.suppress(OSError):
        while True:
            descriptor = os.open("/dev/null", os.O_RDONLY)
            if descriptor > 2:
                close(descriptor)
                return


def explain_failure(error: Exception) -> SpocError:
    """What to tell of an exception that nothing has dealt with."""
    if isinstance(error, SpocError):
        return error
    if isinstance(error, MemoryError):
        return SpocError("run", PROGRAM, "out of memory", LIMITS[errno.ENOMEM])
    for name in IMPORTED_LATER:
        if is_hollow(sys.modules.get(name)):  # whatever failed, it is for want of that
            error = ImportError("its folder is no package", name=name)
    if isinstance(error, ImportError):
        return SpocError("import", f"Python module {error.name}", str(error), REINSTALL)
    if Log.verbose:
        sys.excepthook(*sys.exc_info())
    if isinstance(error, OSError):  # nothing that a caller could do about it
        return SpocError("run", PROGRAM, refusal_text(error),
                         remedy_of(error) or with_v("-v shows where", "try again"))
    return SpocError("run", PROGRAM, f"{type(error).__name__}: {error}", report_it())


def main(argv: Sequence[str] | None = None) -> int:
    """Run spoc.py with these arguments (sys.argv's by default); give the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    name = ""
    hold_standard_descriptors()
    try:
        if arguments[:1] == ["help"] and len(arguments) > 1:
            arguments = [*arguments[1:2], "--help"]
        if not arguments or arguments[0] in ("-h", "--help", "help"):
            write_stdout(format_overview(stdout_columns()))
            return 0 if arguments else EXIT_USAGE
        name = "version" if arguments[0] == "--version" else ALIASES.get(arguments[0], arguments[0])
        if name not in COMMANDS:
            raise UsageError(name, NOT_HERE.get(name, "no such command" + suggestion(name, [*COMMANDS, "help"])))
        return run_command(name, arguments[1:])
    except KeyboardInterrupt as interrupt:
        return EXIT_SIGNAL + int(*interrupt.args or (signal.SIGINT,))
    except Exception as error:
        failure = explain_failure(error)
        if isinstance(failure, UsageError) and not failure.hint:
            failure.hint = f"see {' '.join([PROGRAM, *(each for each in [name] if each in COMMANDS), '--help'])}"
        Log.error(failure)
        return failure.exit_code


if __name__ == "__main__":
    os._exit(main())  # to tear the interpreter down takes longer than a whole short recording
