# SPDX-License-Identifier: MIT
"""What the tests share: where things are, how spoc.py is started, and when a test may be skipped."""

import atexit
import contextlib
import glob
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from typing import (AbstractSet, Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple)

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCE = ROOT / "spoc.py"
# What the tests start: run.py compiles the source once, which takes longer than most of what is then tested.
SPOC = pathlib.Path(os.environ.pop("SPOC_COMPILED", SOURCE))
OBJECT = SPOC.parent / "bpf" / "recorder.bpf.o"
PROGRAMS = ROOT / "tests" / "programs"
DATA = ROOT / "tests" / "data"

KILL_S = 10.0  # what was killed may take that long to end, on a busy machine
WAIT_S = 60  # what is waited for may take that long, on a busy machine

ON_X86_64 = platform.machine() == "x86_64"
X86_64, X86 = "SCMP_ARCH_X86_64", "SCMP_ARCH_X86"
NATIVE = {X86_64 if ON_X86_64 else "SCMP_ARCH_AARCH64"}
WITH_X86 = NATIVE | {X86}
AUDIT_ARCH_X86_64, AUDIT_ARCH_I386 = 0xC000003E, 0x40000003  # linux/audit.h
NETLINK_AUDIT, AUDIT_SECCOMP = 9, 1326  # linux/netlink.h, linux/audit.h
SYS_SCHED_YIELD, SYS_UNAME = 24, 63  # asm/unistd_64.h
SIGSYS = int(signal.SIGSYS)
MAX_32, MAX_64 = (1 << 32) - 1, (1 << 64) - 1
ALLOW, ERRNO = "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"

NOTIFY = ("--backend", "notify")
NOBODY = 65534
AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
CLOCK = r"\d\d:\d\d:\d\d\.\d{6}"  # what a log line begins with

_build_dir: Optional[str] = None


# What the kernel makes by itself, and every profile that is recorded allows: by architecture, of libseccomp 2.5.
KERNEL_CALLS = {
    "SCMP_ARCH_X86_64": {"clock_getres", "clock_gettime", "exit", "exit_group", "getcpu", "getrandom", "gettimeofday",
                         "restart_syscall", "rt_sigreturn", "time"},
    "SCMP_ARCH_X86": {"clock_getres", "clock_getres_time64", "clock_gettime", "clock_gettime64", "exit", "exit_group",
                      "getcpu", "getrandom", "gettimeofday", "restart_syscall", "rt_sigreturn", "sigreturn", "time"},
    "SCMP_ARCH_AARCH64": {"clock_getres", "clock_gettime", "exit", "exit_group", "getcpu", "getrandom", "gettimeofday",
                          "restart_syscall", "rt_sigreturn"},
    "SCMP_ARCH_ARM": {"clock_getres", "clock_getres_time64", "clock_gettime", "clock_gettime64", "exit", "exit_group",
                      "getcpu", "getrandom", "gettimeofday", "restart_syscall", "rt_sigreturn", "sigreturn"},
}
KERNEL_CALLS["SCMP_ARCH_X32"] = KERNEL_CALLS["SCMP_ARCH_X86_64"]
NEWER_KERNEL_CALLS = {"riscv_hwprobe", "uretprobe"}  # of libseccomp 2.6
# seccomp_rule_add(3): given, value, second value. test_container asks runc and crun about this and about answer().
COMPARISONS: Dict[str, Callable[[int, int, int], bool]] = {
    "SCMP_CMP_NE": lambda given, value, _: given != value,
    "SCMP_CMP_LT": lambda given, value, _: given < value,
    "SCMP_CMP_LE": lambda given, value, _: given <= value,
    "SCMP_CMP_EQ": lambda given, value, _: given == value,
    "SCMP_CMP_GE": lambda given, value, _: given >= value,
    "SCMP_CMP_GT": lambda given, value, _: given > value,
    "SCMP_CMP_MASKED_EQ": lambda given, mask, wanted: given & mask == wanted & mask,
}


def holds(condition: Dict[str, Any], arguments: Sequence[int]) -> bool:
    """Does a condition of a profile's JSON hold for a call with these arguments?"""
    return COMPARISONS[condition["op"]](arguments[condition["index"]], condition.get("value", 0),
                                        condition.get("valueTwo", 0))


def rule_holds(rule: Dict[str, Any], arguments: Sequence[int]) -> bool:
    """runc: all conditions must hold; any, where two are on one argument."""
    true = [holds(condition, arguments) for condition in rule.get("args") or []]
    return any(true) if len({each["index"] for each in rule.get("args") or []}) < len(true) else all(true)


def always_holds(rule: Dict[str, Any]) -> bool:
    """libseccomp takes a condition that compares no bit for none: is the rule, or one of those that runc makes of it,
    without any?
    """
    indices = [each["index"] for each in rule.get("args") or []]
    compares = [each["op"] != "SCMP_CMP_MASKED_EQ" or bool(each["value"]) for each in rule.get("args") or []]
    return not all(compares) if len(set(indices)) < len(indices) else not any(compares)


def answer(document: Dict[str, Any], name: str, arguments: Sequence[int]) -> Tuple[str, int]:
    """What runc and libseccomp make of a call under a profile of the OCI specification, without spoc.py."""
    spec = document.get("spec", document)

    def verdict(where: Dict[str, Any], action: str, number: str) -> Tuple[str, int]:
        if where[action] in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"):
            return where[action], where.get(number, 1)
        return where[action], 0

    default = verdict(spec, "defaultAction", "defaultErrnoRet")
    rules = [rule for rule in spec["syscalls"]
             if name in rule["names"] and verdict(rule, "action", "errnoRet") != default]  # runc leaves others out
    for rule in [rule for rule in rules if always_holds(rule)] + rules:
        if rule_holds(rule, arguments):
            return verdict(rule, "action", "errnoRet")
    return default


def kernel_calls(document: "Dict[str, Any]") -> "Set[str]":
    """What the kernel makes by itself on the architectures of a profile."""
    return set().union(*(KERNEL_CALLS[name] for name in document["architectures"]))


def seen_syscalls(document: "Dict[str, Any]", log: str) -> "Set[str]":
    """What `record -n` says that it saw. The profile allows just that, and what the kernel makes by itself."""
    # The last of such lines: what is recorded may be a recording.
    got, made = (set("".join(re.findall(rf"(?m)^\S+ {said}: (.*)$", log)[-1:]).replace(",", "").split())
                 for said in ("Got syscalls", "Adding what the kernel makes by itself"))
    names = {name for rule in document["syscalls"] for name in rule["names"]}
    assert names == got | made, (names ^ (got | made), log)
    assert made - NEWER_KERNEL_CALLS == kernel_calls(document) - got, (made, log)
    return got


def kernel_tier(test: Any) -> Any:
    """Mark a test or a class in a pure module: it needs root, a compiler or a program, or takes many seconds."""
    test.TIER = "kernel"
    return test


def require(available: object, what: str) -> None:
    """Skip the running test because `what` is missing; where CI=true, which must have everything, fail it."""
    if available:
        return
    if os.environ.get("CI") == "true":
        raise AssertionError(f"CI must have {what}")
    raise unittest.SkipTest(f"needs {what}")


def require_command(*names: str) -> None:
    """Skip (in CI: fail) unless every command is on PATH, /usr/sbin and /sbin included."""
    for name in names:
        require(shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin"), f"the command {name}")


def require_pinned_clang() -> None:
    """Skip unless there is the clang that makes bpf/recorder.bpf.o; fail in CI, but where the release has none."""
    if not shutil.which("clang-14"):
        lacks = subprocess.run([str(ROOT / "tests/install.sh"), "lacks", "clang-14"], stdout=subprocess.PIPE, text=True)
        if lacks.returncode == 0:
            raise unittest.SkipTest(lacks.stdout.strip() + "; tests/clean-tree.sh bookworm check runs it on Debian 12")
    require_command("clang-14")


def require_root() -> None:
    """Skip (in CI: fail) unless the tests run as root."""
    require(os.geteuid() == 0, "root")


def build(source: str, *flags: str) -> str:
    """Compile tests/programs/SOURCE with gcc and these flags; give the program's path, kept until the run ends."""
    global _build_dir
    require_command("gcc")
    if _build_dir is None:
        _build_dir = tempfile.mkdtemp(prefix="spoc-programs-")
        os.chmod(_build_dir, 0o755)
        atexit.register(shutil.rmtree, _build_dir, True)
    name = "-".join([source.replace("/", "-"), *(flag.strip("-").replace("/", "_") for flag in flags)])
    program = os.path.join(_build_dir, name)
    if not os.path.exists(program):
        subprocess.run(["gcc", "-O1", "-Wall", "-Werror", "-D_GNU_SOURCE", "-o", program, str(PROGRAMS / source),
                        *flags], check=True)
    return program


def spoc(*args: str, timeout: float = 120, **options: Any) -> "subprocess.CompletedProcess[str]":
    """Run `python3 spoc.py ARGS` as a user would; output is captured as text unless `options` say otherwise."""
    options.setdefault("stdout", subprocess.PIPE)
    options.setdefault("stderr", subprocess.PIPE)
    options.setdefault("stdin", subprocess.DEVNULL)
    options.setdefault("text", True)
    return subprocess.run([sys.executable, str(SPOC), *args], timeout=timeout, **options)


def with_capabilities(*names: str) -> Tuple[str, ...]:
    """Run as nobody, with these capabilities and no others."""
    listed = ",".join(["-all", *(f"+{name}" for name in names)])
    return (*AS_NOBODY, f"--inh-caps={listed}", f"--ambient-caps={listed}")


def has_watched(code: int, log: str) -> bool:
    """Has a watch of the whole machine ended well? Calls of others, of other tests say, may be too many to name."""
    errors = re.findall(r"(?m)^\S+ Error: (.*)$", log)
    return code == (125 if errors else 0) and all("not named: too many different ones" in error for error in errors)


def has_recorded(code: int, log: str) -> bool:
    """Has a recording of all containers ended well? Those of other tests may try out numbers of syscalls."""
    errors = re.findall(r"(?m)^\S+ Error: (.*)$", log)
    return code == (125 if errors else 0) and all(re.match(
        r"the profile of container \S+ is incomplete: .*(of unusual numbers|exist in no kernel)", error)
        for error in errors)


def in_mounts(script: str, *arguments: str) -> Tuple[str, ...]:
    """Run in a mount namespace of its own, which this shell script has changed."""
    return ("unshare", "--mount", "--propagation", "private", "sh", "-ec", script + '\nexec "$@"', "sh", *arguments)


def wait_until(condition: Callable[[], bool], timeout_s: float = 30) -> bool:
    """Has the condition come true in time?"""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.05)
    return True


def interpreters(*versions: str) -> Dict[str, str]:
    """The Pythons of these versions on this machine, by version: those on PATH and those of pyenv."""
    found: Dict[str, str] = {}
    for version in versions:
        paths = [shutil.which(f"python{version}"),
                 *sorted(glob.glob(os.path.expanduser(f"~/.pyenv/versions/{version}.*/bin/python{version}")))]
        for path in filter(None, paths):
            # A pyenv shim is on PATH for versions that it then refuses to run.
            if subprocess.run([path, "-c", ""], stderr=subprocess.DEVNULL).returncode == 0:
                found[version] = path
                break
    return found


def library_path(module: str) -> pathlib.Path:
    """Where a library that the tests' Python can load lies."""
    script = "import ctypes, sys; ctypes.CDLL(sys.argv[1]); print(open('/proc/self/maps').read())"
    maps = subprocess.run([sys.executable, "-c", script, module], stdout=subprocess.PIPE, text=True, check=True).stdout
    stem = module.split(".so")[0]
    return pathlib.Path(next(line.split()[-1] for line in maps.splitlines() if f"/{stem}.so" in line))


class Process(NamedTuple):
    """A process that no other is taken for: its pid, and when it started."""

    pid: int
    start: str


def running() -> Iterator[Tuple[Process, int, int]]:
    """Every process but those that have ended and that nobody has waited for, with its parent and session."""
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            text = pathlib.Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
            state, parent, _, session, *fields = text.rpartition(")")[2].split()
            if state not in "ZX":
                yield Process(int(pid), fields[15]), int(parent), int(session)


def running_below(ancestor: int, spared: AbstractSet[Process] = frozenset()) -> Set[Process]:
    """The descendants of a process that run, but for this process, those spared, and what descends from these."""
    children: Dict[int, List[Process]] = {}
    for process, parent, _ in running():
        if process not in spared:
            children.setdefault(parent, []).append(process)
    found: Set[Process] = set()
    waiting = [ancestor]
    while waiting:
        below = children.pop(waiting.pop(), [])
        waiting += [process.pid for process in below]
        found.update(process for process in below if process.pid != os.getpid())
    return found


def kill_left(ancestor: int, patience_s: float, spared: AbstractSet[Process] = frozenset()) -> str:
    """Kill the descendants that do not end by themselves, but for those spared; say which they were."""
    end_s = time.monotonic() + patience_s
    left = running_below(ancestor, spared)
    while left and time.monotonic() < end_s:
        time.sleep(0.02)
        left = running_below(ancestor, spared)
    told = ""
    for process in left:
        with contextlib.suppress(OSError):
            command = pathlib.Path(f"/proc/{process.pid}/cmdline").read_bytes().replace(b"\0", b" ")
            told += f"left process {process.pid} running: {command.decode('utf-8', 'replace')}\n"
    while left and time.monotonic() < end_s + KILL_S:
        for process in left:
            with contextlib.suppress(OSError):
                os.kill(process.pid, signal.SIGKILL)
        time.sleep(0.02)
        left = running_below(ancestor, spared)
    return told


def end(process: "subprocess.Popen[Any]") -> None:
    """Kill a program that was started in a session of its own, with all of that session and all its descendants."""
    if process.poll() is None:  # so its number is not another's yet
        for other in [*running_below(process.pid), *(each for each, _, session in running() if session == process.pid)]:
            with contextlib.suppress(OSError):
                os.kill(other.pid, signal.SIGKILL)
        process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream:
            with contextlib.suppress(OSError):  # what could not be written
                stream.close()


def agree(own: Any, theirs: Any) -> bool:
    """Is what spoc.py read the same, types and order included, wherever it is sure of it?"""
    if type(own).__name__ == "Unclear":
        return True
    if next((kind for kind in (dict, list) if isinstance(own, kind)), type(own)) is not type(theirs):
        return False
    if isinstance(own, dict):
        keys = [type(key).__name__ for key in own]
        return "Unclear" in keys or (
            agree(list(own), list(theirs)) and agree(list(own.values()), list(theirs.values())))
    if isinstance(own, list):
        return len(own) == len(theirs) and all(map(agree, own, theirs))
    return bool(own == theirs)


def unclear(own: Any) -> bool:
    """Does what spoc.py read hold anything that it is not sure of?"""
    if isinstance(own, dict):
        return unclear([*own, *own.values()])
    return type(own).__name__ == "Unclear" or isinstance(own, list) and any(map(unclear, own))


class Case(unittest.TestCase):
    """A test case with a scratch folder of its own that goes away with the test."""

    maxDiff = None

    def setUp(self) -> None:
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="spoc-test-"))
        os.chmod(self.folder, 0o755)
        self.addCleanup(shutil.rmtree, self.folder, True)

    def launch(self, *command: str, **popen: Any) -> "subprocess.Popen[Any]":
        """Start a program in a session of its own, which ends with the test, however that ends."""
        process = subprocess.Popen(command, start_new_session=True, **popen)
        self.addCleanup(end, process)
        return process

    def record(self, *command: str, options: "tuple[str, ...]" = (), code: int = 0, **run: Any) -> "set[str]":
        """The exact set (-n) of names that `record` finds for a command that must end with exit code `code`.

        self.record_log is what it says.
        """
        profile = self.folder / "recorded.json"
        result = spoc("record", "-n", "-t", "raw-seccomp", "-o", str(profile), *options, "--", *command, **run)
        self.record_log = result.stderr
        self.assertEqual(result.returncode, code, self.record_log)
        return seen_syscalls(json.loads(profile.read_text()), self.record_log)
