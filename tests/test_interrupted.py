# SPDX-License-Identifier: MIT
"""A recorded profile lets a program live through what the kernel does to it: stops, freezes, debuggers, signals."""

import contextlib
import json
import os
import pathlib
import platform
import re
import signal
import subprocess
import sys
import time
import unittest
from typing import Callable, Iterator

import spoc as module
from support import (DATA, KERNEL_CALLS, NEWER_KERNEL_CALLS, SPOC, WAIT_S, Case, build, kernel_calls, require,
                     require_command, require_root, spoc)

TIER = "kernel"
FREEZERS = (("/sys/fs/cgroup/freezer", "freezer.state", "FROZEN", "THAWED"),
            ("/sys/fs/cgroup", "cgroup.freeze", "1", "0"), ("/sys/fs/cgroup/unified", "cgroup.freeze", "1", "0"))
# Numbers of poll and restart_syscall: arch/x86/entry/syscalls in the kernel.
FLAGS = {"64-bit": ("-static",), "32-bit": ("-m32", "-static")}
NUMBERS = {"64-bit": ("7", "219"), "32-bit": ("168", "0")}


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline_s, f"waited in vain for {what}"
        time.sleep(0.02)


def read_proc(pid: int, name: str) -> str:
    try:
        return pathlib.Path(f"/proc/{pid}/{name}").read_text("utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def state(pid: int) -> str:
    """Its letter, see proc(5)."""
    return read_proc(pid, "stat").rpartition(") ")[2][:1]


def stop_and_continue(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: state(pid) == "T", "the stop")
    os.kill(pid, signal.SIGCONT)


def freeze_and_thaw(pid: int) -> None:
    for root, file, frozen, thawed in FREEZERS:
        group = pathlib.Path(root, f"spoc-test-{pid}")
        with contextlib.suppress(OSError):
            group.mkdir()
            break
    else:
        require(False, "a cgroup freezer")
    before = next(line.rpartition(":")[2] for line in read_proc(pid, "cgroup").splitlines()
                  if ("freezer" in line) == (file == "freezer.state") and ("freezer" in line or line[:2] == "0:"))
    try:
        require((group / file).exists(), "a cgroup freezer")
        (group / "cgroup.procs").write_text(str(pid))
        try:
            (group / file).write_text(frozen)
            events = group / ("freezer.state" if file == "freezer.state" else "cgroup.events")
            wait_for(lambda: re.search("FROZEN|frozen 1", events.read_text()), "the freeze")
        finally:
            (group / file).write_text(thawed)
        pathlib.Path(root, before.lstrip("/"), "cgroup.procs").write_text(str(pid))
    finally:
        group.rmdir()


def attach_gdb(pid: int) -> None:
    require_command("gdb")
    subprocess.run(["gdb", "-batch", "-nx", "-p", str(pid)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, timeout=WAIT_S, check=True)


def attach_strace(pid: int) -> None:
    require_command("strace")
    with subprocess.Popen(["strace", "-qq", "-o", "/dev/null", "-p", str(pid)], stderr=subprocess.PIPE) as strace:
        try:
            wait_for(lambda: "TracerPid:\t0" not in read_proc(pid, "status"), "strace")
        finally:
            strace.terminate()


@unittest.skipUnless(platform.machine() == "x86_64", "needs x86_64, whose syscall numbers are here")
class Interrupted(Case):
    """Recorded when nothing happened, run while it does: nothing is blocked, and the program goes on."""

    def setUp(self) -> None:
        super().setUp()
        require_root()
        self.profile = self.folder / "recorded.json"

    def recorded(self, bits: str = "64-bit", backend: str = "bpf") -> str:
        """The program, whose quick run the profile is of."""
        program = build("interrupted.c", *FLAGS[bits])
        seen = self.record(program, "quick", options=("--backend", backend))
        self.assertEqual(seen & {"restart_syscall", "rt_sigreturn", "sigreturn"}, set())
        return program

    @contextlib.contextmanager
    def running(self, program: str, mode: str, bits: str) -> Iterator[int]:
        """The pid of the program, which waits; on exit it gets its input, and must end well."""
        poll, restart = NUMBERS[bits]
        with open(self.folder / "log", "wb") as log, subprocess.Popen(
                [sys.executable, str(SPOC), "run", "-b", "execve", "-p", str(self.profile), program, mode],
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=log) as process:
            pid = 0
            try:
                def started() -> int:
                    self.assertIsNone(process.poll(), (self.folder / "log").read_text())
                    found = re.search(r"Running command with PID: (\d+)\n", (self.folder / "log").read_text())
                    return int(found[1]) if found else 0
                wait_for(started, "the start")
                pid = started()
                wait_for(lambda: read_proc(pid, "syscall").split(" ")[0] == poll, "poll")
                yield pid
                if mode == "wait":
                    wait_for(lambda: read_proc(pid, "syscall").split(" ")[0] in (restart, ""), "restart_syscall")
                process.communicate(b"\n", timeout=WAIT_S)
            finally:
                if process.poll() is None:
                    if pid:
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(pid, signal.SIGKILL)
                    process.kill()
            said = (self.folder / "log").read_text()
            self.assertEqual(process.returncode, 0, said)
            self.assertNotIn("Seccomp", said)

    def assert_lives_through(self, interrupt: Callable[[int], None]) -> None:
        for bits in FLAGS:
            for backend in ("bpf", "notify"):
                with self.subTest(bits=bits, backend=backend):
                    with self.running(self.recorded(bits, backend), "wait", bits) as pid:
                        interrupt(pid)

    def test_stop(self) -> None:
        self.assert_lives_through(stop_and_continue)

    def test_freeze(self) -> None:
        self.assert_lives_through(freeze_and_thaw)

    def test_gdb(self) -> None:
        self.assert_lives_through(attach_gdb)

    def test_strace(self) -> None:
        self.assert_lives_through(attach_strace)

    def test_handlers(self) -> None:
        """Without SA_SIGINFO 32-bit programs return by sigreturn."""
        for bits in FLAGS:
            with self.subTest(bits=bits), self.running(self.recorded(bits), "handlers", bits) as pid:
                for each in (signal.SIGUSR1, signal.SIGUSR2):
                    os.kill(pid, each)
                    wait_for(lambda: not int(re.findall(r"(?m)^ShdPnd:\s+(\w+)", read_proc(pid, "status"))[0], 16),
                             "the signal's delivery")

    def test_vsyscall(self) -> None:
        """sys_enter does not see what the filter is asked about; a tracepoint of its own does."""
        require("[vsyscall]" in pathlib.Path("/proc/self/maps").read_text(), "a kernel with the vsyscall page")
        program = build("interrupted.c", "-static")
        seen = self.record(program, "vsyscall")
        self.assertIn("time", seen)
        result = spoc("run", "-b", "execve", "-p", str(self.profile), program, "vsyscall")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertNotIn("Seccomp", result.stderr)

    def names(self) -> "set[str]":
        document = json.loads(self.profile.read_text())
        return {name for rule in document["syscalls"] for name in rule["names"]
                if rule["action"] == "SCMP_ACT_ALLOW"}

    def test_append_and_what_the_file_says(self) -> None:
        program = build("interrupted.c", "-static")
        self.profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["restart_syscall"], "action": "SCMP_ACT_KILL_PROCESS"}]}))
        result = spoc("record", "-n", "--append", "-t", "raw-seccomp", "-o", str(self.profile), program, "quick")
        self.assertEqual(result.returncode, 0, result.stderr)
        made = kernel_calls({"architectures": ["SCMP_ARCH_X86_64"]})
        self.assertEqual(self.names() & made, made - {"restart_syscall"})
        self.assertRegex(result.stderr, r"(?m) kept the other action that \S+ has for: restart_syscall$")

    def test_a_checkpoint_holds_it(self) -> None:
        command = [sys.executable, str(SPOC), "record", "-q", "-n", "--checkpoint", "1", "-t", "raw-seccomp", "-o",
                   str(self.profile), build("interrupted.c", "-static"), "wait"]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
            try:
                wait_for(self.profile.exists, "the checkpoint")
                self.assertLessEqual(kernel_calls({"architectures": ["SCMP_ARCH_X86_64"]}), self.names())
                process.communicate(b"\n", timeout=WAIT_S)
            finally:
                process.terminate()
        self.assertEqual(process.returncode, 0)

    def test_portable_adds_what_other_architectures_have(self) -> None:
        self.record(build("interrupted.c", "-static"), "quick")
        before = self.names()
        result = spoc("merge", "--portable", "-t", "raw-seccomp", "-o", str(self.profile), str(self.profile))
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertLessEqual({"sigreturn", "clock_gettime64"}, self.names() - before)
        self.assertLessEqual(set(module.KERNEL_CALLS), self.names())

    def test_systemd(self) -> None:
        """The drop-in takes @default out, and puts in what the profile allows."""
        self.record(build("interrupted.c", "-static"), "quick")
        result = spoc("convert", "-t", "systemd", str(self.profile))
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        lines = [line.partition("=")[2].split() for line in result.stdout.splitlines()
                 if line.startswith("SystemCallFilter=")]
        after = [name for line in lines[lines.index(["~@default"]):] for name in line]
        self.assertLessEqual(kernel_calls({"architectures": ["SCMP_ARCH_X86_64"]}), set(after))
        self.profile.write_text(json.dumps({
            "defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"], "syscalls": [
                {"names": ["read", "exit", "getcpu"], "action": "SCMP_ACT_ALLOW"},
                {"names": ["exit_group"], "action": "SCMP_ACT_LOG"}]}))
        result = spoc("convert", "-t", "systemd", str(self.profile))
        self.assertEqual(result.returncode, 0, result.stderr)
        said = re.findall(r"(?m)^\S+ Warning: the profile does not allow what the kernel makes by itself: (.*)$",
                          result.stderr)
        self.assertEqual([set(line.split(", ")) - NEWER_KERNEL_CALLS for line in said],
                         [KERNEL_CALLS["SCMP_ARCH_X86"] - {"exit", "getcpu", "exit_group"}])


class Table(unittest.TestCase):
    """The table itself."""

    def test_none_has_authority(self) -> None:
        """Docker allows every container all of it."""
        document = json.loads((DATA / "docker-default.json").read_text())
        allowed = {name for rule in document["syscalls"] for name in rule["names"]
                   if rule["action"] == "SCMP_ACT_ALLOW" and not {*rule} & {"includes", "excludes", "args"}}
        self.assertEqual(set(module.KERNEL_CALLS) - allowed, set())
        self.assertEqual(set(module.KERNEL_CALLS) & set(module.ARGUMENTS), set())


if __name__ == "__main__":
    unittest.main()
