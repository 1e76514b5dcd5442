# SPDX-License-Identifier: MIT
"""What `record -n` finds is what strace sees: nothing is missing, and nothing is there that the command did not do."""

import json
import os
import shutil
import subprocess
import sys
import unittest
from typing import Any, Dict, List, Set, Tuple

from cases import TracedCase, calls_after_exec
from support import (NATIVE, NEWER_KERNEL_CALLS, ON_X86_64, PROGRAMS, SPOC, WITH_X86, build, kernel_calls, require,
                     require_command, seen_syscalls, spoc)

TIER = "kernel"
CROWD = 500  # as in storm.c
# Names that strace reports and a recording need not hold: test -> name -> why. All else must be equal. The programs
# are written so that chance does not change what they call, and strace 6.1 names syscalls as libseccomp does.
ALLOWED: Dict[str, Dict[str, str]] = {
    "test_own_filter": {"tee": "the program's own seccomp filter refuses it before the recorder could see it, "
                               "so that a profile has nothing to allow"},
}


class Parser(unittest.TestCase):
    """Logs as strace writes them, with what may stand in them beside whole calls."""

    TIER = "pure"

    LOG = "\n".join([
        '10 execve("/usr/bin/python3", ["python3"], 0x7ffd /* 9 vars */) = 0',
        "10 bpf(BPF_MAP_CREATE, {}, 80) = 3",
        "10 clone(child_stack=NULL, flags=SIGCHLD <unfinished ...>",
        "11 read(3,  <unfinished ...>",
        "10 <... clone resumed>) = 11",
        "11 <... read resumed>\"\", 1) = 0",
        '11 execve("/nowhere/a", ["a"], 0x7ffd /* 9 vars */) = -1 ENOENT (No such file or directory)',
        '11 execve("/usr/bin/a", ["a"], 0x7ffd /* 9 vars */ <unfinished ...>',
        "10 wait4(11,  <unfinished ...>",
        "11 <... execve resumed>)              = 0",
        "11 brk(NULL)                          = 0x55",
        "11 [ Process PID=11 runs in 32 bit mode. ]",
        "11 _llseek(0, 0, [0], SEEK_CUR) = 0",
        "11 clone3({flags=CLONE_VM}, 88 <unfinished ...>",
        "12 set_robust_list(0x7f, 24) = 0",
        "12 ????( <unfinished ...>",
        "11 <... clone3 resumed>) = 12",
        "12 <... ???? resumed>) = ?",
        "13 syscall_0xffffffffffffffea(0x4b01, 0x9, 0, 0, 0, 0xffffffffffffffff <unfinished ...>",
        '12 execve("/usr/bin/b", ["b"], 0x7ffd /* 9 vars */ <unfinished ...>',
        "11 futex(0x7f, FUTEX_WAIT <unfinished ...>",
        "11 <... futex resumed>)               = ?",
        "11 +++ superseded by execve in pid 12 +++",
        "11 <... execve resumed>)              = 0",
        "11 restart_syscall(<... resuming interrupted nanosleep ...>) = 0",
        "11 --- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED, si_pid=12} ---",
        '11 write(1, "getpid() = 1\\n11 getppid(", 4) = 4',
        "11 exit_group(0)                      = ?",
        "11 +++ exited with 0 +++",
        "10 <... wait4 resumed>NULL, 0, NULL) = 11",
        "10 rename(\"a\", \"b\")               = 0",
        ""])

    def test_a_command_started_by_another_process(self) -> None:
        self.assertEqual(calls_after_exec(self.LOG, 11), {
            "brk", "_llseek", "clone3", "set_robust_list", "execve", "futex", "restart_syscall", "write", "exit_group"})

    def test_a_command_started_by_strace(self) -> None:
        log = self.LOG[self.LOG.index("11 execve(\"/usr"):].replace("10 ", "13 ")
        self.assertEqual(calls_after_exec(log), {
            "brk", "_llseek", "clone3", "set_robust_list", "execve", "futex", "restart_syscall", "write", "exit_group",
            "rename"})

    def test_spared(self) -> None:
        """The calls of 12 alone are those of another process."""
        self.assertEqual(calls_after_exec(self.LOG, 11) - calls_after_exec(self.LOG, 11, {12}),
                         {"set_robust_list", "execve"})

    def test_what_is_not_understood_is_an_error(self) -> None:
        with self.assertRaises(AssertionError):
            calls_after_exec(self.LOG.replace("11 brk(NULL)", "11 BRK: NULL"), 11)
        with self.assertRaises(AssertionError):
            calls_after_exec(self.LOG, 14)


class Truth(TracedCase):
    """One program after the other: recorded alone, traced alone, and both at the same time."""

    def assert_recorded(self, *command: str, architectures: Set[str] = NATIVE) -> Set[str]:
        allowed = set(ALLOWED.get(self._testMethodName, ()))
        recorded = self.record(*command)
        traced = self.traced(*command)
        self.assertEqual(recorded, traced - allowed)
        self.assertLessEqual(allowed, traced, "no such difference any more")
        self.assertEqual(self.architectures(), architectures)
        # Here even chance is the same for both.
        recorded, traced = self.recorded_and_traced(*command)
        self.assertEqual(recorded, traced - allowed)
        return recorded

    def test_true(self) -> None:
        self.assertNotIn("execve", self.assert_recorded("true"))

    def test_shell_pipeline(self) -> None:
        self.assert_recorded("sh", "-c", "printf 'b\\na\\nb\\n' | sort | uniq -c | (read n rest; cat; test $n = 1)")

    def test_shell_script(self) -> None:
        script = self.folder / "script with a blank"
        script.write_text("#!/bin/sh -e\nuname\nmkfifo \"$1\"\nrm \"$1\"\n")
        script.chmod(0o755)
        self.assertLessEqual({"uname", "unlinkat"}, self.assert_recorded(str(script), str(self.folder / "fifo")))

    def test_python(self) -> None:
        code = ("import os, select, socket, subprocess, sys, threading\n"
                "thread = threading.Thread(target=os.getpgid, args=(0,)); thread.start(); thread.join()\n"
                "a, b = socket.socketpair(); a.send(b'x'); select.select([b], [], []); b.recv(1)\n"
                "subprocess.run([sys.executable, '-I', '-c', 'import os; os.getsid(0)'], check=True)\n")
        self.assertLessEqual({"getpgid", "getsid", "socketpair"},
                             self.assert_recorded("/usr/bin/python3", "-I", "-B", "-c", code))

    def test_go(self) -> None:
        require_command("go")
        program = str(self.folder / "goroutines")
        subprocess.run(["go", "build", "-o", program, str(PROGRAMS / "goroutines.go")], check=True, env={
            **os.environ, "CGO_ENABLED": "0", "GO111MODULE": "off", "GOFLAGS": "", "HOME": str(self.folder),
            "GOCACHE": str(self.folder / "cache")})
        self.assertLessEqual({"tee", "vmsplice", "mq_unlink", "flock", "splice"}, self.assert_recorded(program))

    def check_kind(self, kind: str, *arguments: str, marks: Tuple[str, ...] = ("tee",), **more: Any) -> None:
        self.assertLessEqual(set(marks), self.assert_recorded(build("truth.c"), kind, *arguments, **more))

    def test_dynamic(self) -> None:
        self.check_kind("leaf")

    def test_static(self) -> None:
        self.assertNotIn("mmap", self.assert_recorded(build("truth.c", "-static"), "leaf"))

    def test_threads(self) -> None:
        self.check_kind("threads", marks=("tee", "vmsplice", "kcmp", "mq_unlink"))

    def test_fork(self) -> None:
        self.check_kind("fork", marks=("tee", "vmsplice", "kcmp"))

    def test_vfork(self) -> None:
        self.check_kind("vfork", marks=("tee", "vmsplice"))

    def test_posix_spawn(self) -> None:
        self.check_kind("spawn")

    def test_clone3(self) -> None:
        self.check_kind("clone3")

    def test_exec_from_a_thread_that_does_not_lead(self) -> None:
        self.check_kind("exec-in-thread", marks=("tee", "vmsplice"))

    def test_double_fork(self) -> None:
        self.check_kind("double-fork", marks=("tee", "vmsplice"))

    def test_signal_handler(self) -> None:
        self.check_kind("signal", marks=("tee", "rt_sigreturn"))

    def test_restarted_call(self) -> None:
        self.check_kind("restart", marks=("tee", "restart_syscall"))

    def test_sudden_ends(self) -> None:
        self.check_kind("ends", marks=("tee", "vmsplice"))

    def test_own_filter(self) -> None:
        self.check_kind("own-filter", marks=("seccomp", "vmsplice"))

    def test_set_uid(self) -> None:
        program = self.folder / "set-uid"
        shutil.copy(build("truth.c"), program)
        os.chown(program, 65534, 65534)
        program.chmod(0o4755)
        self.assertIn("tee", self.assert_recorded(str(program), "set-uid"))

    def test_namespaces(self) -> None:
        self.check_kind("namespaces", str(self.folder), marks=("tee", "mount", "umount2"))

    def test_chroot(self) -> None:
        root = self.folder / "root"
        root.mkdir()
        shutil.copy(build("truth.c", "-static"), root / "truth")
        self.check_kind("chroot", str(root), marks=("tee", "chroot"))

    def test_nearly_every_syscall(self) -> None:
        self.assertGreater(len(self.assert_recorded(build("sweep.c"))), 250)

    def test_32_bit_program(self) -> None:
        require(ON_X86_64, "an x86_64 machine")
        for kind in ("leaf", "threads", "fork", "vfork", "spawn", "clone3", "exec-in-thread", "restart"):
            with self.subTest(kind):
                self.assertIn("tee", self.assert_recorded(build("truth.c", "-m32"), kind, architectures=WITH_X86))

    def test_32_bit_program_makes_nearly_every_syscall(self) -> None:
        require(ON_X86_64, "an x86_64 machine")
        names = self.assert_recorded(build("sweep.c", "-m32"), architectures=WITH_X86)
        self.assertLessEqual({"_llseek", "socketcall", "ipc", "getuid32", "clock_gettime64", "_newselect"}, names)
        self.assertGreater(len(names), 400)

    def test_32_bit_program_started_by_a_64_bit_program(self) -> None:
        require(ON_X86_64, "an x86_64 machine")
        names = self.assert_recorded("sh", "-c", '"$1" leaf; "$0" leaf; "$1" leaf', build("truth.c", "-m32"),
                                     build("truth.c"), architectures=WITH_X86)
        self.assertLessEqual({"set_thread_area", "arch_prctl"}, names)

    def test_32_bit_calls_of_64_bit_code(self) -> None:
        require(ON_X86_64, "an x86_64 machine")
        self.check_kind("int80", marks=("tee", "ugetrlimit", "getuid32"), architectures=WITH_X86)

    def test_x32_calls(self) -> None:
        require(ON_X86_64, "an x86_64 machine")
        self.check_kind("x32", marks=("tee", "preadv", "io_submit"), architectures=NATIVE | {"SCMP_ARCH_X32"})


class Start(TracedCase):
    """The recording begins when the command's execve has succeeded, and not before."""

    def refused(self, codes: Set[int], *command: str, **run: Any) -> None:
        profile = self.folder / "refused.json"
        result = spoc("record", "--backend", self.backend, "-n", "-t", "raw-seccomp", "-o", str(profile), "--",
                      *command, **run)
        self.assertIn(result.returncode, codes, result.stderr)
        self.assertNotIn("Traceback", result.stderr)
        if profile.exists():
            self.assertEqual(json.loads(profile.read_text())["syscalls"], [])

    def test_a_command_that_cannot_be_executed_records_nothing(self) -> None:
        plain = self.folder / "plain"
        plain.write_text("echo\n")
        self.refused({126}, str(plain))
        plain.chmod(0o755)
        self.refused({126}, str(plain))
        plain.write_text("#!/nowhere/interpreter\n")
        # Shells do not agree either on which of the two this is.
        self.refused({126, 127}, str(plain))
        self.refused({127}, str(self.folder / "missing"))
        self.refused({127}, "missing", env={**os.environ, "PATH": str(self.folder)})
        self.refused({126}, str(self.folder))

    def test_what_the_search_for_the_command_tries_is_not_recorded(self) -> None:
        places: List[str] = []
        for place, content in (("a", b""), ("b", b"not a program"), ("c", None)):
            (self.folder / place).mkdir()
            places.append(str(self.folder / place))
            program = self.folder / place / "program"
            if content is None:
                shutil.copy(build("truth.c"), program)
            else:
                program.write_bytes(content)
                program.chmod(0o644)
        recorded = self.record("program", "leaf", env={**os.environ, "PATH": ":".join(places)})
        self.assertEqual(recorded, self.traced(str(self.folder / "c" / "program"), "leaf"))
        self.assertNotIn("execve", recorded)

    def test_a_command_that_becomes_another_is_one_task(self) -> None:
        names, tasks = self.record_counted("sh", "-c", 'exec "$0" leaf', build("truth.c"))
        self.assertEqual(names, self.traced("sh", "-c", 'exec "$0" leaf', build("truth.c")))
        self.assertLessEqual({"execve", "tee"}, names)
        self.assertEqual(tasks, 1)

    def test_a_number_without_a_name_is_reported(self) -> None:
        expected = self.traced(build("truth.c"), "leaf")
        for number in (1000, 70000):
            with self.subTest(number=number):
                self.assertEqual(self.record(build("truth.c"), "unknown", str(number), code=125), expected)
                self.assertRegex(self.record_log, rf"\b{number}\b")


class Storm(TracedCase):
    """Many tasks, alive at once or for no time at all: each is followed, counted and forgotten."""

    def test_processes(self) -> None:
        # More than the recorder can follow at one time: who has ended must not take up room.
        names, tasks = self.record_counted(build("storm.c"), "processes", "20000")
        self.assertEqual(names, self.traced(build("storm.c"), "processes", "3"))
        self.assertIn("tee", names)
        self.assertEqual(tasks, 1 + CROWD + 20000)

    def test_threads(self) -> None:
        names, tasks = self.record_counted(build("sweep.c"), "threads", "500")
        self.assertEqual(names, self.traced(build("sweep.c"), "threads", "500"))
        self.assertGreater(len(names), 250)
        self.assertEqual(tasks, 501)

    def test_processes_killed_at_birth(self) -> None:
        names, tasks = self.record_counted(build("storm.c"), "killed", "3000")
        self.assertEqual(names, self.traced(build("storm.c"), "killed", "20"))
        self.assertEqual(tasks, 3001)

    def test_processes_killed_while_they_create_others(self) -> None:
        names, tasks = self.record_counted(build("storm.c"), "creators", "300")
        self.assertEqual(names, self.traced(build("storm.c"), "creators", "20"))
        self.assertGreater(tasks, 302)

    def test_children_of_the_parent(self) -> None:
        names, tasks = self.record_counted(build("storm.c"), "parent", "1000")
        self.assertEqual(names, self.traced(build("storm.c"), "parent", "3"))
        self.assertIn("tee", names)
        self.assertEqual(tasks, 1001)


class Company(TracedCase):
    """What others do is not recorded: neither other programs nor what other recordings record."""

    def background(self, *command: str) -> "subprocess.Popen[bytes]":
        """A program that runs until the file `stop` exists, or the test's end."""
        return self.launch(*command)

    def test_a_busy_machine(self) -> None:
        expected = self.traced(build("truth.c"), "fork")
        others = [self.background(build("sweep.c"), "loop", str(self.folder / "stop")),
                  self.background(build("storm.c"), "foreign", str(self.folder / "stop"))]
        for _ in range(5):
            self.assertEqual(self.record(build("truth.c"), "fork"), expected)
        self.assertEqual([other.poll() for other in others], [None, None])

    def test_kernel_objects_that_change_hands(self) -> None:
        expected = self.traced(build("storm.c"), "processes", "3")
        other = self.background(build("storm.c"), "foreign", str(self.folder / "stop"))
        names, tasks = self.record_counted(build("storm.c"), "processes", "5000")
        self.assertIsNone(other.poll())
        self.assertEqual(names, expected)
        self.assertEqual(tasks, 1 + CROWD + 5000)

    def test_four_recordings_at_once(self) -> None:
        program = build("truth.c")
        recordings = []
        for index in range(4):
            command = [sys.executable, str(SPOC), "record", "--backend", self.backend, "-n", "-t", "raw-seccomp",
                       "-o", str(self.folder / f"{index}.json"), "--", program, "meet", str(self.folder / str(index))]
            recordings.append(self.launch(*command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                          stderr=subprocess.PIPE, text=True))
        # The programs give up by themselves when they do not meet.
        errors = [recording.communicate(timeout=120)[1] for recording in recordings]
        found: List[Set[str]] = []
        for index, recording in enumerate(recordings):
            self.assertEqual(recording.returncode, 0, errors[index])
            document = json.loads((self.folder / f"{index}.json").read_text())
            found.append(seen_syscalls(document, errors[index]))
            self.assertEqual(found[index], self.traced(program, "meet", str(self.folder / str(index))))
        for index, pair in enumerate([{"tee", "flock"}, {"vmsplice", "fdatasync"}, {"kcmp", "readahead"},
                                      {"mq_unlink", "sched_rr_get_interval"}]):
            self.assertEqual(found[index] - found[0].intersection(*found[1:]), pair)

    def test_a_recording_of_a_recording(self) -> None:
        inner = self.folder / "inner.json"
        outer = self.record(sys.executable, str(SPOC), "record", "-q", "--backend", "bpf", "-n", "-t", "raw-seccomp",
                            "-o", str(inner), "--", build("truth.c"), "leaf")
        document = json.loads(inner.read_text())
        names = {name for rule in document["syscalls"] for name in rule["names"]}
        self.assertEqual(names - NEWER_KERNEL_CALLS, self.traced(build("truth.c"), "leaf") | kernel_calls(document))
        self.assertLessEqual(self.traced(build("truth.c"), "leaf") | {"bpf", "execve"}, outer)


class NotifyTruth(Truth):
    """The same without BPF."""

    backend = "notify"


class NotifyStart(Start):
    """The command's program begins where it does for BPF."""

    backend = "notify"

    def record_counted(self, *command: str) -> Tuple[Set[str], int]:
        """How many tasks there were is not known."""
        return self.record(*command), 1


class NotifyStorm(TracedCase):
    """Many tasks, alive at once or for no time at all."""

    backend = "notify"

    def assert_same_as_few(self, source: str, kind: str, many: int, few: int) -> None:
        expected = self.traced(build(source), kind, str(few))
        self.assertEqual(self.record(build(source), kind, str(many)), expected)

    def test_processes(self) -> None:
        self.assert_same_as_few("storm.c", "processes", 5000, 3)

    def test_threads(self) -> None:
        self.assert_same_as_few("sweep.c", "threads", 500, 500)

    def test_processes_killed_at_birth(self) -> None:
        self.assert_same_as_few("storm.c", "killed", 2000, 20)

    def test_processes_killed_while_they_create_others(self) -> None:
        self.assert_same_as_few("storm.c", "creators", 200, 20)

    def test_children_of_the_parent(self) -> None:
        self.assert_same_as_few("storm.c", "parent", 500, 3)


if __name__ == "__main__":
    unittest.main()
