# SPDX-License-Identifier: MIT
"""`run`: what is said about the calls that a profile stops, and what to do about them."""

import errno
import itertools
import json
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
import unittest
from typing import Any, Dict, List, Sequence, Tuple

from cases import FREE, FREE_32, OWN_CALLS, RunCase, call_line
from support import (AUDIT_SECCOMP, NETLINK_AUDIT, OBJECT, ON_X86_64, ROOT, SIGSYS, SPOC, WAIT_S, build, require,
                     require_command, spoc)

TIER = "kernel"

# linux/audit.h
AUDIT_NLGRP_READLOG = 1


class Audit:
    """The kernel's own records of what seccomp did, from the multicast group that is there beside any auditd."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_AUDIT)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.bind((0, 1 << AUDIT_NLGRP_READLOG - 1))

    def close(self) -> None:
        self.socket.close()

    def syscalls(self, pid: str) -> List[int]:
        """Numbers of the calls on record of a process that has ended: a message of ours comes behind them."""
        found = []
        last = f"spoc-test-{time.monotonic_ns()}"
        subprocess.run(["auditctl", "-m", last], check=True, timeout=WAIT_S)
        data = b""
        while last.encode() not in data:
            assert select.select([self.socket], [], [], WAIT_S)[0]
            data = self.socket.recv(9000)
            match = re.search(rf" pid={pid} .* syscall=(\d+) ", data.decode(errors="replace"))
            if int.from_bytes(data[4:6], sys.byteorder) == AUDIT_SECCOMP and match:
                found.append(int(match[1]))
        return found


@unittest.skipUnless(ON_X86_64, "needs x86_64, whose syscall numbers are here")
class Flags(RunCase):
    def seccomp_call(self, flags: Sequence[str]) -> str:
        """How the filter is loaded, as strace sees it."""
        self.block("getppid", flags=flags)
        log = self.folder / "strace"
        subprocess.run(["strace", "-f", "-e", "trace=seccomp", "-o", str(log), *self.arguments(
            "true", options=("-q", "--enricher", "none"))], check=True, timeout=WAIT_S)
        match = re.findall(r"seccomp\(SECCOMP_SET_MODE_FILTER, ([^,]*), [^)]*\) = 0", log.read_text())
        self.assertEqual(len(match), 1, log.read_text())
        self.assertEqual(self.call(call_line("n", FREE["getppid"])), ["! 1"])
        return str(match[0])

    def test_flags(self) -> None:
        require_command("strace")
        for given in ("", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
                      "SECCOMP_FILTER_FLAG_LOG|SECCOMP_FILTER_FLAG_SPEC_ALLOW"):
            with self.subTest(flags=given):
                self.assertEqual(self.seccomp_call(given.split("|") if given else ()), given or "0")

    def test_flags_without_a_meaning_here(self) -> None:
        """Of one thread there is nobody to synchronize with; without a listener there is nothing to wait for."""
        require_command("strace")
        self.assertIn(self.seccomp_call(["SECCOMP_FILTER_FLAG_TSYNC"]), ("0", "SECCOMP_FILTER_FLAG_TSYNC"))
        self.assertEqual(self.seccomp_call(["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]), "0")

    def test_unknown(self) -> None:
        self.block("getppid", flags=["SECCOMP_FILTER_FLAG_NEW_LISTENER", "SECCOMP_FILTER_FLAG_X"])
        self.assertRegex(self.run_it("true", code=125).stderr, "flags: unknown flag SECCOMP_FILTER_FLAG_")

    def test_what_is_audited(self) -> None:
        """LOG the action is, ERRNO is with the flag only."""
        with open("/proc/sys/kernel/seccomp/actions_logged") as file:
            require({"errno", "log"} <= set(file.read().split()), "seccomp's errno and log in actions_logged")
        require_command("auditctl")
        audit = Audit()
        self.addCleanup(audit.close)
        program = build("deny.c", "-static")
        for action, flags, recorded in (("SCMP_ACT_LOG", [], True), ("SCMP_ACT_ERRNO", [], False),
                                        ("SCMP_ACT_ERRNO", ["SECCOMP_FILTER_FLAG_LOG"], True)):
            with self.subTest(action=action, flags=flags):
                self.write(rules=[{"names": ["uname"], "action": action}], flags=flags)
                stdout = self.run_it(program, options=("--enricher", "none"),
                                     code=0 if action == "SCMP_ACT_LOG" else 2).stdout
                self.assertEqual(audit.syscalls(stdout.split()[1]), [63] * recorded)


ACTIONS = {"SCMP_ACT_ERRNO": "SCMP_ACT_ERRNO (EPERM)", "SCMP_ACT_TRAP": "SCMP_ACT_TRAP",
           "SCMP_ACT_KILL": "SCMP_ACT_KILL_THREAD", "SCMP_ACT_KILL_THREAD": "SCMP_ACT_KILL_THREAD",
           "SCMP_ACT_KILL_PROCESS": "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRACE": "SCMP_ACT_TRACE",
           "SCMP_ACT_LOG": "SCMP_ACT_LOG"}


@unittest.skipUnless(ON_X86_64, "needs x86_64, whose syscall numbers are here")
class Denials(RunCase):
    """What is said of calls that do not pass, or are logged: seen by tracepoints."""

    TRACEPOINT = ("--enricher", "tracepoint")
    KINDS = ("self", "child", "grandchild", "thread", "vfork", "exec", "daemon", "pidns")

    def setUp(self) -> None:
        super().setUp()
        self.deny = build("deny.c", "-static")

    def test_everywhere(self) -> None:
        """Every action in every kind of task: named once, with who it was, and counted."""
        for action, kind in itertools.product(ACTIONS, self.KINDS):
            with self.subTest(action=action, kind=kind):
                self.block("uname", action=action)
                ends = "KILL" in action or action == "SCMP_ACT_TRAP"
                code = 2 if action in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE") else 0
                if kind == "self":
                    code = 128 + SIGSYS if ends else code
                elif kind == "thread" and action in ("SCMP_ACT_TRAP", "SCMP_ACT_KILL_PROCESS"):
                    code = 128 + SIGSYS
                else:
                    code = 0
                result = self.run_it(self.deny, kind, options=self.TRACEPOINT, code=code)
                lines = self.denials(result.stderr)
                self.assertEqual(len(lines), 1, result.stderr)
                match = re.fullmatch(rf"uname \(63\), action: {re.escape(ACTIONS[action])}, pid: (\d+), "
                                     r"comm: deny\.c-static", lines[0])
                self.assertTrue(match, lines)
                if result.stdout and kind != "pidns":
                    self.assertEqual(f"{kind} {match and match[1]}", result.stdout.splitlines()[-1])
                self.assertEqual(self.summary(result.stderr), [
                    f"uname (63), action: {ACTIONS[action]}, 1 time, by: deny.c-static (1)"])
                self.assertEqual("To allow what was blocked: run -b uname" in result.stderr, action != "SCMP_ACT_LOG")

    def test_errno_names(self) -> None:
        for number, name in ((0, "0"), (errno.ENOSYS, "ENOSYS"), (errno.EACCES, "EACCES"), (4094, "4094")):
            with self.subTest(errno=number):
                self.block("uname", errnoRet=number)
                result = self.run_it(self.deny, options=self.TRACEPOINT, code=2 if number else 0)
                self.assertIn(f"uname (63), action: SCMP_ACT_ERRNO ({name}), pid:", self.denials(result.stderr)[0])

    def test_default_action(self) -> None:
        """Names that no rule holds meet the default."""
        for action in ("SCMP_ACT_ERRNO", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRAP", "SCMP_ACT_TRACE"):
            with self.subTest(action=action):
                allowed = [name for name in OWN_CALLS if name != "uname"]
                self.write(action, [{"names": allowed, "action": "SCMP_ACT_ALLOW"}])
                result = self.run_it(self.deny, "self", options=self.TRACEPOINT,
                                     code=2 if action in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE") else 128 + SIGSYS)
                self.assertRegex(self.denials(result.stderr)[0],
                                 rf"^uname \(63\), action: {re.escape(ACTIONS[action])}, pid: \d+, "
                                 r"comm: deny\.c-static$")

    def test_logged_by_default(self) -> None:
        self.write("SCMP_ACT_LOG", [{"names": OWN_CALLS, "action": "SCMP_ACT_ALLOW"},
                                    {"names": ["getuid"], "action": "SCMP_ACT_ERRNO"}])
        calls = self.folder / "calls"
        calls.write_text("".join(call_line("n", FREE[name]) + "\n" for name in ("getppid", "getuid", "getppid")))
        with open(calls) as stream:
            result = self.run_it(build("call.c", "-static"), stdin=stream, options=self.TRACEPOINT)
        self.assertEqual([re.sub("pid: [0-9]+", "pid: N", line) for line in self.denials(result.stderr)], [
            "getppid (110), action: SCMP_ACT_LOG, pid: N, comm: call.c-static",
            "getuid (102), action: SCMP_ACT_ERRNO (EPERM), pid: N, comm: call.c-static"])
        self.assertIn("getppid (110), action: SCMP_ACT_LOG, 2 times, by: call.c-static (2)",
                      self.summary(result.stderr))

    def test_logged_under_conditions_by_notification(self) -> None:
        self.block("getppid", action="SCMP_ACT_LOG", args=[{"index": 0, "value": 7, "op": "SCMP_CMP_EQ"}])
        calls = self.folder / "calls"
        calls.write_text("".join(call_line("n", FREE["getppid"], [given]) + "\n" for given in (7, 8, 7)))
        with open(calls) as stream:
            result = self.run_it(build("call.c", "-static"), stdin=stream, options=("--enricher", "notify"))
        self.assertEqual(self.summary(result.stderr), [
            "getppid (110), action: SCMP_ACT_LOG, 2 times, by: call.c-static (2)"])

    def test_logged_under_conditions(self) -> None:
        """Tracepoints cannot tell whether conditions hold, and name none, which they say."""
        self.block("getppid", action="SCMP_ACT_LOG", args=[{"index": 0, "value": 7, "op": "SCMP_CMP_EQ"}])
        calls = self.folder / "calls"
        for arguments, times in (((7,), 0), ((8,), 0)):
            calls.write_text(call_line("n", FREE["getppid"], arguments) + "\n")
            with open(calls) as stream:
                result = self.run_it(build("call.c", "-static"), stdin=stream, options=self.TRACEPOINT)
            self.assertEqual(len(self.denials(result.stderr)), times, result.stderr)
            self.assertIn("Not named where they are logged, since rules for them have conditions: getppid; --enricher "
                          "netlink names them", result.stderr)
        self.block("getppid", action="SCMP_ACT_LOG")
        self.assertNotIn("Not named", self.run_it("true", options=self.TRACEPOINT).stderr)

    def test_logged_whatever_else_a_rule_says(self) -> None:
        """A rule without conditions stands before all that have some, as in libseccomp: its calls can be told."""
        for others in (["SCMP_ACT_ERRNO"], ["SCMP_ACT_ALLOW", "SCMP_ACT_KILL_PROCESS"]):
            self.write(rules=[*({"names": ["getppid"], "action": action,
                                 "args": [{"index": 0, "value": 7, "op": "SCMP_CMP_EQ"}]} for action in others),
                              {"names": ["getppid"], "action": "SCMP_ACT_LOG"}])
            calls = self.folder / "calls"
            calls.write_text("".join(call_line("n", FREE["getppid"], [given]) + "\n" for given in (7, 8)))
            with open(calls) as stream:
                result = self.run_it(build("call.c", "-static"), stdin=stream, options=self.TRACEPOINT)
            self.assertRegex(result.stdout, r"\A(= [1-9][0-9]*\n){2}\Z")
            self.assertEqual(self.summary(result.stderr), [
                "getppid (110), action: SCMP_ACT_LOG, 2 times, by: call.c-static (2)"])
            self.assertNotIn("Not named", result.stderr)

    def test_one_number_of_two_architectures(self) -> None:
        """24 is sched_yield for one and getuid for the other: what repeats is not told by the number alone."""
        self.write(rules=[{"names": ["sched_yield", "getuid"], "action": "SCMP_ACT_ERRNO"}],
                   architectures=["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"])
        calls = self.folder / "calls"
        calls.write_text((call_line("n", 24) + "\n" + call_line("i", 24) + "\n") * 3)
        with open(calls) as stream:
            result = self.run_it(build("call.c", "-static"), stdin=stream, options=self.TRACEPOINT)
        self.assertEqual(result.stdout, "! 1\n" * 6)
        self.assertEqual(self.summary(result.stderr), [
            f"{label}, action: SCMP_ACT_ERRNO (EPERM), 3 times, by: call.c-static (3)"
            for label in ("getuid (24), arch: SCMP_ARCH_X86", "sched_yield (24)")])

    def test_the_same_before_and_after_exec(self) -> None:
        """Each is counted for the program that made it."""
        self.block("uname")
        code = f"import os\ntry:\n    os.uname()\nexcept PermissionError:\n    os.execv({self.deny!r}, ['x'])\n"
        program = self.folder / "before"
        program.symlink_to(os.path.realpath(sys.executable))
        result = self.run_it(str(program), "-I", "-S", "-c", code, options=self.TRACEPOINT, code=2)
        self.assertEqual(self.summary(result.stderr), [
            "uname (63), action: SCMP_ACT_ERRNO (EPERM), 2 times, by: before (1), deny.c-static (1)"])

    def test_more_kinds_than_the_map_holds(self) -> None:
        """What is lost is counted, repeats as well, and the run fails."""
        room, lost, times = 1024, 100, 3
        self.write("SCMP_ACT_ERRNO", [{"names": OWN_CALLS, "action": "SCMP_ACT_ALLOW"}])
        calls = self.folder / "calls"
        calls.write_text("".join((call_line("n", 5000 + number) + "\n") * times for number in range(room + lost)))
        with open(calls) as stream:
            result = self.run_it(build("call.c", "-static"), stdin=stream, options=("-q", *self.TRACEPOINT), code=125)
        self.assertEqual(result.stdout, "! 1\n" * (room + lost) * times)
        self.assertIn(f"Error: not all blocked calls may be known: {lost * times} blocked calls were not named: ",
                      result.stderr)
        self.assertEqual([int(number) for number in re.findall(r", (\d+) times, by: ", result.stderr)], [times] * room)

    def test_what_cannot_be_read(self) -> None:
        """As where a kernel has its registers elsewhere: calls that may have been stopped are counted as lost."""
        self.block("uname")
        program = (f"import sys; sys.path.insert(0, {str(ROOT)!r}); import spoc\nmachine = spoc.machine_of\n"
                   "spoc.machine_of = lambda *what: machine(*what)._replace(number_offset=0xFFFF0000)\n"
                   "sys.exit(spoc.main(sys.argv[1:]))")
        result = subprocess.run([sys.executable, "-c", program, *self.arguments(
            self.deny, "self", "5", options=("-q", *self.TRACEPOINT))[2:]], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=WAIT_S)
        self.assertRegex(result.stderr, r"Error: not all blocked calls may be known: \d+ calls? could not be read;")
        self.assertEqual(result.returncode, 125, result.stderr)

    def test_32_bit_calls(self) -> None:
        for action, code in (("SCMP_ACT_ERRNO", 2), ("SCMP_ACT_KILL_PROCESS", 128 + SIGSYS), ("SCMP_ACT_LOG", 0)):
            with self.subTest(action=action):
                self.write(rules=[{"names": ["uname"], "action": action}],
                           architectures=["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"])
                result = self.run_it(build("deny.c", "-m32", "-static"), options=self.TRACEPOINT, code=code)
                self.assertRegex(
                    "\n".join(self.denials(result.stderr)), rf"^uname \(122\), arch: SCMP_ARCH_X86, action: "
                    rf"{re.escape(ACTIONS[action])}, pid: \d+, comm: deny\.c-m32-stat$")

    def test_numbers_that_nobody_knows(self) -> None:
        self.write("SCMP_ACT_ERRNO", [{"names": OWN_CALLS, "action": "SCMP_ACT_ALLOW"}])
        calls = self.folder / "calls"
        numbers = (999, 70000, 0x3FFFFFFF)
        calls.write_text("".join(call_line("n", number) + "\n" for number in numbers))
        with open(calls) as stream:
            result = self.run_it(build("call.c", "-static"), stdin=stream, options=self.TRACEPOINT)
        self.assertEqual(result.stdout, "! 1\n" * 3)
        self.assertEqual([re.sub("pid: [0-9]+", "pid: N", line) for line in self.denials(result.stderr)], [
            f"number ({number}), action: SCMP_ACT_ERRNO (EPERM) (runc answers ENOSYS), pid: N, comm: call.c-static"
            for number in numbers])

    def test_own_filter_of_the_command(self) -> None:
        """It is named too, but nothing in the profile would change it."""
        for rules, code in (((), 2), ([{"names": ["uname"], "action": "SCMP_ACT_ERRNO"}], 2)):
            self.write(rules=rules)
            result = self.run_it(self.deny, "nested", options=self.TRACEPOINT, code=code)
            self.assertRegex("\n".join(self.denials(result.stderr)),
                             r"^uname \(63\), action: SCMP_ACT_ERRNO \(EXDEV\) of the command's own filter, pid: \d+, "
                             r"comm: deny\.c-static$")
            self.assertNotIn("To allow", result.stderr)
        self.block("uname", action="SCMP_ACT_TRAP")
        result = self.run_it(self.deny, "nested", options=self.TRACEPOINT, code=128 + SIGSYS)
        self.assertRegex("\n".join(self.denials(result.stderr)), r"^uname \(63\), action: SCMP_ACT_TRAP, pid: \d+, ")

    def test_only_descendants(self) -> None:
        """Another run of the same program at the same time is none of its business."""
        self.block("uname")
        with subprocess.Popen(self.arguments(self.deny, "pause", "3", options=("-q", *self.TRACEPOINT)), text=True,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stderr is not None
            self.assertIn("Seccomp: ", process.stderr.readline())
            result = self.run_it(self.deny, "self", "5", options=self.TRACEPOINT, code=2)
            self.assertEqual(self.summary(result.stderr), [
                "uname (63), action: SCMP_ACT_ERRNO (EPERM), 5 times, by: deny.c-static (5)"])
            _, stderr = process.communicate("x", timeout=WAIT_S)
        self.assertEqual(self.summary(stderr), [
            "uname (63), action: SCMP_ACT_ERRNO (EPERM), 3 times, by: deny.c-static (3)"])

    def test_at_once(self) -> None:
        """The line is there while the program goes on; within 100 ms of the call, if the machine is not too busy."""
        self.block("uname")
        delays_s = []
        for _ in range(5):
            program = ("import os, sys, time\nsys.stdout.write(repr(time.time()) + chr(10)); sys.stdout.flush()\n"
                       "try: os.uname()\nexcept PermissionError: pass\nsys.stdin.read()")
            with subprocess.Popen(self.arguments(sys.executable, "-I", "-S", "-c", program,
                                                 options=("-q", *self.TRACEPOINT)), text=True,
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
                assert process.stdout is not None and process.stderr is not None
                called_s = float(process.stdout.readline())
                line = process.stderr.readline()
                delays_s.append(time.time() - called_s)
                self.assertIn("Seccomp: uname (63)", line)
                self.assertIsNone(process.poll())
                process.communicate("", timeout=WAIT_S)
        self.assertLess(min(delays_s), 0.1, delays_s)

    def test_one_line_per_kind(self) -> None:
        """Per syscall, architecture, action and program: repeats are counted."""
        self.write(rules=[{"names": ["uname"], "action": "SCMP_ACT_ERRNO"},
                          {"names": ["sched_yield"], "action": "SCMP_ACT_LOG"}],
                   architectures=["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"])
        native, compat = self.deny, build("deny.c", "-m32", "-static")
        script = f"for i in 1 2 3; do {native} self 10; {native} child; {compat} grandchild 2; uname; done 2>&-; exit 0"
        result = self.run_it("sh", "-c", script, options=self.TRACEPOINT)
        self.assertEqual(sorted(re.sub("pid: [0-9]+", "pid: N", line) for line in self.denials(result.stderr)), [
            "uname (122), arch: SCMP_ARCH_X86, action: SCMP_ACT_ERRNO (EPERM), pid: N, comm: deny.c-m32-stat",
            "uname (63), action: SCMP_ACT_ERRNO (EPERM), pid: N, comm: deny.c-static",
            "uname (63), action: SCMP_ACT_ERRNO (EPERM), pid: N, comm: uname"])
        self.assertEqual(self.summary(result.stderr), [
            "uname (122), arch: SCMP_ARCH_X86, action: SCMP_ACT_ERRNO (EPERM), 6 times, by: deny.c-m32-stat (6)",
            "uname (63), action: SCMP_ACT_ERRNO (EPERM), 36 times, by: deny.c-static (33), uname (3)"])

    def test_exact_counts(self) -> None:
        """A hundred thousand in a row; and as many from sixteen threads of four processes at a time."""
        for action in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE", "SCMP_ACT_LOG"):
            for kind, count in (("self", 100000), ("crowd", 6250)):
                with self.subTest(action=action, kind=kind):
                    self.block("uname", action=action)
                    denied = kind == "self" and action != "SCMP_ACT_LOG"
                    result = self.run_it(self.deny, kind, str(count), options=self.TRACEPOINT, code=2 if denied else 0)
                    self.assertEqual(len(self.denials(result.stderr)), 1, result.stderr)
                    self.assertEqual(self.summary(result.stderr), [
                        f"uname (63), action: {ACTIONS[action]}, 100000 times, by: deny.c-static (100000)"])
                    self.assertNotIn("Error", result.stderr)

    def test_two_in_turn(self) -> None:
        """Denials that alternate are no repeats of one another, and counted all the same."""
        self.block("getuid", "getppid")
        calls = self.folder / "calls"
        runs = [(1, 1)] * 200 + [(3, 1), (1, 3), (2, 5), (7, 2)] * 30  # of the one, and then of the other
        calls.write_text("".join((call_line("n", FREE["getuid"]) + "\n") * ones + (
            call_line("n", FREE["getppid"]) + "\n") * others for ones, others in runs))
        with open(calls) as stream:
            result = self.run_it(build("call.c", "-static"), stdin=stream, options=self.TRACEPOINT)
        times = {"getppid": sum(others for _, others in runs), "getuid": sum(ones for ones, _ in runs)}
        self.assertEqual(self.summary(result.stderr), [
            f"{name} ({FREE[name]}), action: SCMP_ACT_ERRNO (EPERM), {count} times, by: call.c-static ({count})"
            for name, count in times.items()])

    def test_ended_by_a_signal_at_the_end_of_a_syscall(self) -> None:
        """No filter has to do with it, though the task is outside of any syscall by then. One that was blocked when it
        came is delivered as itself, any other as SIGKILL (complete_signal() in kernel/signal.c).
        """
        for signum, is_blocked in itertools.product((signal.SIGTERM, signal.SIGRTMIN, signal.SIGRTMAX), (False, True)):
            code = (f"import os, signal\npid, them = os.fork(), [{int(signum)}] * {is_blocked}\nif not pid:\n"
                    "    signal.pthread_sigmask(signal.SIG_BLOCK, them)\n"
                    f"    os.kill(os.getpid(), {int(signum)})\n    signal.pthread_sigmask(signal.SIG_UNBLOCK, them)\n"
                    "os._exit(os.WTERMSIG(os.wait()[1]))\n")
            self.block("uname")
            result = self.run_it(sys.executable, "-I", "-S", "-c", code, options=self.TRACEPOINT, code=signum)
            self.assertEqual(self.summary(result.stderr), [])

    def test_another_answer_by_the_same_instruction(self) -> None:
        """It is no repeat of the last denial."""
        self.write(rules=[{"names": ["getpgrp"], "action": "SCMP_ACT_ERRNO", "errnoRet": number,
                           "args": [{"index": 0, "op": "SCMP_CMP_EQ", "value": value}]}
                          for value, number in ((1001, errno.EDOM), (1002, errno.ERANGE))])
        code = ("import ctypes\ncall = ctypes.CDLL(None).syscall\n"
                "for value in 1001, 1001, 1002, 1002, 1002, 1002, 1001:\n    call(111, value)\n")
        result = self.run_it(sys.executable, "-I", "-S", "-c", code, options=self.TRACEPOINT)
        self.assertEqual([line.partition(", by: ")[0] for line in self.summary(result.stderr)], [
            "getpgrp (111), action: SCMP_ACT_ERRNO (EDOM), 3 times",
            "getpgrp (111), action: SCMP_ACT_ERRNO (ERANGE), 4 times"])

    def test_killed_after_a_signal_that_did_not_end_it(self) -> None:
        """The first process of a pid namespace survives signals that end others (pid_namespaces(7))."""
        code = ("import ctypes, os, signal\nassert not ctypes.CDLL(None).unshare(0x20000000)\n"  # CLONE_NEWPID
                "if os.fork():\n    os.wait()\n    os._exit(0)\n"
                "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])\nos.kill(os.getpid(), signal.SIGTERM)\n"
                "signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])\nos.getppid()\nos.uname()\n")
        for action in ("SCMP_ACT_KILL_THREAD", "SCMP_ACT_KILL_PROCESS"):
            self.block("uname", action=action)
            result = self.run_it(sys.executable, "-I", "-S", "-c", code, options=self.TRACEPOINT)
            self.assertRegex("\n".join(self.summary(result.stderr)),
                             rf"^uname \(63\), action: {action}, 1 time, by: \S+ \(1\)$")
            # Whose default is to be ignored, but it was blocked when it came; and no other call in between.
            ignored = ("import os, signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGWINCH])\n"
                       "os.kill(os.getpid(), signal.SIGWINCH)\n"
                       "signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGWINCH])\nos.uname()\n")
            result = self.run_it(sys.executable, "-I", "-S", "-c", ignored, options=self.TRACEPOINT, code=128 + SIGSYS)
            self.assertRegex("\n".join(self.summary(result.stderr)),
                             rf"^uname \(63\), action: {action}, 1 time, by: \S+ \(1\)$")

    def test_thread_killed_after_a_signal_that_did_not_end_it(self) -> None:
        """A thread that others outlive ends on the spot, without SIGSYS, and so as a signal might have ended it."""
        self.block("uname", action="SCMP_ACT_KILL_THREAD")
        for signum, between in (("SIGTERM", "os.getppid()"), ("SIGWINCH", "")):
            # Not the module threading, which gives names to threads from Python 3.14 on.
            code = (f"import _thread, ctypes, os, signal, time\nlibc, them = ctypes.CDLL(None), [signal.{signum}]\n"
                    "assert not libc.unshare(0x20000000)\n"  # CLONE_NEWPID
                    "if os.fork():\n    os._exit(os.waitstatus_to_exitcode(os.wait()[1]))\n"
                    "def stopped():\n    signal.pthread_sigmask(signal.SIG_BLOCK, them)\n"
                    "    signal.pthread_kill(_thread.get_ident(), *them)\n"
                    f"    signal.pthread_sigmask(signal.SIG_UNBLOCK, them)\n    {between}\n    libc.syscall(63, 0)\n"
                    "_thread.start_new_thread(stopped, ())\n"
                    "while len(os.listdir('/proc/self/task')) > 1:\n    time.sleep(0.01)\nos._exit(7)\n")
            result = self.run_it(sys.executable, "-I", "-S", "-c", code, options=self.TRACEPOINT, code=7)
            self.assertRegex("\n".join(self.summary(result.stderr)),
                             r"^uname \(63\), action: SCMP_ACT_KILL_THREAD, 1 time, by: \S+ \(1\)$", signum)

    def test_killed_at_the_first_call(self) -> None:
        """A thread that has made no call since it was cloned, and that the filter ends on the spot."""
        self.block("uname", action="SCMP_ACT_KILL_THREAD")
        result = self.run_it(self.deny, "newborn", options=self.TRACEPOINT)
        self.assertEqual(self.summary(result.stderr), [
            "uname (63), action: SCMP_ACT_KILL_THREAD, 1 time, by: deny.c-static (1)"])

    def test_those_who_live_on(self) -> None:
        """What a process that the command leaves behind was denied until then is in the summary."""
        self.block("uname")
        fifo = self.folder / "fifo"
        os.mkfifo(fifo)
        with open(fifo, "r+b", 0):  # its end lets the program go
            script = (f"{self.deny} pause 7 <{fifo} >/dev/null 2>&1 & "
                      "until grep -q '^0 ' /proc/$!/syscall; do sleep 0.05; done; echo $!")
            result = self.run_it("sh", "-c", script, options=self.TRACEPOINT)
            os.kill(int(result.stdout), 0)
        self.assertEqual(self.summary(result.stderr), [
            "uname (63), action: SCMP_ACT_ERRNO (EPERM), 7 times, by: deny.c-static (7)"])


class Own(RunCase):
    """Calls that the profile lets pass, and a filter of the command's own or a tracer stops."""

    # HOW of tests/programs/own.c -> what is said of the call: action, errno, whose filter it was, whether that is a
    # guess; and the text on the line.
    OWN = " of the command's own filter"
    KILLED = "killed by SIGSYS, probably SCMP_ACT_KILL_PROCESS" + OWN
    NAMED: Dict[str, Tuple[str, str, str, bool, str]] = {
        "kill_process": ("SCMP_ACT_KILL_PROCESS", "", "own", True, KILLED),
        "kill_thread": ("SCMP_ACT_KILL_PROCESS", "", "own", True, KILLED),
        "trap_unhandled": ("SCMP_ACT_KILL_PROCESS", "", "own", True, KILLED),
        "thread": ("SCMP_ACT_KILL_THREAD", "", "own", False, "SCMP_ACT_KILL_THREAD" + OWN),
        "trap": ("SCMP_ACT_TRAP", "", "own", False, "SCMP_ACT_TRAP" + OWN),
        "errno_0": ("SCMP_ACT_NOTIFY", "", "own", True, "returned 0, probably SCMP_ACT_NOTIFY" + OWN),
        "errno_18": ("SCMP_ACT_ERRNO", "EXDEV", "own", False, "SCMP_ACT_ERRNO (EXDEV)" + OWN),
        "errno_38": ("SCMP_ACT_ERRNO", "ENOSYS", "own", True,
                     "returned ENOSYS, probably SCMP_ACT_ERRNO (ENOSYS)" + OWN),
        "trace": ("SCMP_ACT_ERRNO", "ENOSYS", "own", True, "returned ENOSYS, probably SCMP_ACT_ERRNO (ENOSYS)" + OWN),
        "notify": ("SCMP_ACT_NOTIFY", "", "own", True, "returned 7, probably SCMP_ACT_NOTIFY" + OWN)}
    TRACED = ("emulate", "skip", "skip_asked", "die", "lose_tracer")
    TRACEPOINT = ("--enricher", "tracepoint")

    def setUp(self) -> None:
        super().setUp()
        self.write()
        self.own = build("own.c", "-static", "-pthread")
        self.events = self.folder / "events"

    def found(self, *command: str, options: Sequence[str] = TRACEPOINT,
              **run: Any) -> Tuple[Dict[str, Tuple[Any, ...]], str]:
        """comm -> what its event and its line say of getppid; and all that is printed."""
        result = self.run_it(*command, options=(*options, "--events", str(self.events)), **run)
        lines = {comm: what for what, comm in re.findall(
            r"Seccomp: getppid \(110\), action: (.*), pid: \d+, comm: (.*)$", result.stderr, re.MULTILINE)}
        events = [json.loads(line) for line in self.events.read_text().splitlines()]
        return {event["comm"]: (*(event[key] for key in ("action", "errno", "filter", "guess")), lines[event["comm"]])
                for event in events if event["name"] == "getppid"}, result.stdout + result.stderr

    def test_answers(self) -> None:
        """What is known is named, what is not is said to be a guess, and none counts against the profile."""
        for rules in ((), ([{"names": ["getppid"], "action": "SCMP_ACT_LOG"}])):
            self.write(rules=rules)
            found, output = self.found(self.own, *self.NAMED, "log", "dispatch", "dispatch_unhandled")
            logged = found.pop("log", None)
            self.assertEqual(found, self.NAMED)
            self.assertNotIn("To allow", output)
            self.assertEqual(logged, ("SCMP_ACT_LOG", "", "profile", False, "SCMP_ACT_LOG") if rules else None)

    def test_the_same_answers_of_the_profile(self) -> None:
        """What the profile answers itself is its own."""
        for action in ("SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRAP", "SCMP_ACT_ERRNO"):
            number = {"errnoRet": errno.ENOSYS} if action == "SCMP_ACT_ERRNO" else {}
            self.write(rules=[{"names": ["getppid"], "action": action, **number}])
            found, output = self.found(self.own, "log")
            self.assertEqual([each[:4] for each in found.values()], [
                (action, "ENOSYS" if action == "SCMP_ACT_ERRNO" else "", "profile", False)], output)
            self.assertIn("To allow what was blocked: run -b getppid", output)

    def test_stricter_than_the_profile(self) -> None:
        """The stricter answer counts (seccomp(2)): that the call is killed is not for the profile to change."""
        self.block("getppid")
        found, output = self.found(self.own, "kill_process", "thread", "trap")
        self.assertEqual(found, {name: self.NAMED[name] for name in ("kill_process", "thread", "trap")})
        self.assertNotIn("To allow", output)

    def test_tracer(self) -> None:
        """Where the tracer makes or skips a call, or a task ends before any filter was asked, nothing is named."""
        found, output = self.found(self.own, *self.TRACED)
        self.assertNotIn("Seccomp: ", output)
        self.assertIn("skip 1\nskip_asked 1\n", output)
        found, output = self.found(self.own, "emulate_once", "errno_18")
        self.assertEqual({name: each[2:4] for name, each in found.items()}, {
            "emulate_once": ("unknown", True), "errno_18": ("unknown", True)})
        self.assertIn("returned 5, probably SCMP_ACT_NOTIFY of the command's own filter, or of its tracer", output)
        self.assertNotIn("To allow", output)

    def test_under_strace(self) -> None:
        """A thread that execs ends the others, which die where strace has stopped them."""
        require_command("strace")
        self.events.write_text("")
        for options in ((), ("--seccomp-bpf", "-e", "trace=getppid"), ("-e", "inject=getppid:retval=5"),
                        ("-e", "inject=getppid:error=EPERM")):
            for _ in range(4):
                _, output = self.found("strace", "-f", *options, "-o", "/dev/null", self.own, "exec")
                self.assertNotIn("Seccomp: ", output)

    def test_denied_under_strace(self) -> None:
        """What strace sees the filter answer is named, and so is what its thread is denied last of all."""
        for number in (errno.ENOSYS, errno.EPERM):
            self.block("getppid", errnoRet=number)
            found, _ = self.found("strace", "-f", "-o", str(self.folder / "log"), self.own, "log")
            self.assertEqual([each[2] for each in found.values()], ["profile"])
            self.assertRegex((self.folder / "log").read_text(), rf"getppid\(\) += -1 {errno.errorcode[number]} ")

    def test_under_gdb(self) -> None:
        """Killed by gdb at the entry to the call, and told by gdb to take no SIGSYS."""
        require_command("gdb")
        gdb = ("gdb", "-nx", "-batch", "-ex", "set follow-fork-mode child", "-ex", "set startup-with-shell off")
        _, output = self.found(*gdb, "-ex", "catch syscall getppid", "-ex", "run", "-ex", "kill", "--args", self.own,
                               "log", env={**os.environ, "DEBUGINFOD_URLS": ""})
        self.assertIn("call to syscall getppid", output)
        self.assertNotIn("Seccomp: ", output)
        self.block("getppid", action="SCMP_ACT_TRAP")
        found, output = self.found(*gdb, "-ex", "handle SIGSYS nostop nopass", "-ex", "run", "--args", self.own, "log",
                                   env={**os.environ, "DEBUGINFOD_URLS": ""})
        self.assertEqual([each[:3] for each in found.values()], [("SCMP_ACT_TRAP", "", "profile")], output)

    def test_browser(self) -> None:
        """Its sandbox refuses what its own programs and libraries try."""
        require_command("chromium", "setpriv")
        os.chown(self.folder, 65534, 65534)
        result = self.run_it("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "chromium",
                             "--headless", "--disable-gpu", "--dump-dom", "data:text/html,hello", options=(
                                 *self.TRACEPOINT, "--events", str(self.events)),
                             env={**os.environ, "HOME": str(self.folder)}, cwd=self.folder)
        self.assertIn("hello", result.stdout)
        events = [json.loads(line) for line in self.events.read_text().splitlines()]
        self.assertIn(("clone3", "SCMP_ACT_ERRNO", "ENOSYS", "own", True), [
            tuple(event[key] for key in ("name", "action", "errno", "filter", "guess")) for event in events])
        self.assertEqual({event["filter"] for event in events}, {"own"})
        self.assertNotIn("0", [event["errno"] for event in events])
        self.assertNotIn("To allow", result.stderr)

    def test_audit(self) -> None:
        """The kernel's records say which action it was, but not of what filter, nor with which errno."""
        with open("/proc/sys/kernel/seccomp/actions_logged") as file:
            require({"kill_process", "kill_thread", "log"} <= set(file.read().split()), "actions_logged")
        names = ("kill_process", "kill_thread", "thread", "log")
        found, output = self.found(self.own, *names, options=("--enricher", "netlink"))
        self.assertEqual(found, {name: (action, "", "own", False, action + self.OWN) for name, action in zip(names, (
            "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_LOG"))}, output)
        self.block("getppid", action="SCMP_ACT_LOG")
        found, output = self.found(self.own, "log", options=("--enricher", "netlink"))
        self.assertEqual(found, {"log": ("SCMP_ACT_LOG", "", "profile", False, "SCMP_ACT_LOG")})

    def test_notification(self) -> None:
        """Only what the profile stops is asked about."""
        self.block("getppid", errnoRet=errno.EXDEV)
        found, _ = self.found(self.own, "kill_process", "errno_18", "log", options=("--enricher", "notify"))
        self.assertEqual({name: each[:4] for name, each in found.items()}, {
            "log": ("SCMP_ACT_ERRNO", "EXDEV", "profile", False)})


@unittest.skipUnless(ON_X86_64, "needs x86_64, which has the page")
class Vsyscalls(RunCase):
    """Calls through the vsyscall page, which the kernel makes in a page fault: they pass the filter, but no tracepoint
    of syscalls (arch/x86/entry/vsyscall/vsyscall_64.c).
    """

    TRACEPOINT = ("--enricher", "tracepoint")
    NUMBERS = {"gettimeofday": 96, "time": 201, "getcpu": 309}

    def setUp(self) -> None:
        super().setUp()
        if "[vsyscall]" not in pathlib.Path("/proc/self/maps").read_text():
            self.skipTest("the kernel has no vsyscall page, or was booted with vsyscall=none")
        self.program = build("vsyscall.c", "-static", "-pthread")

    def found(self, *how: str, options: Sequence[str] = TRACEPOINT, code: int = 0) -> Tuple[List[str], str]:
        """What the summary says of each call, and what the program says."""
        result = self.run_it(self.program, *how, options=options, code=code)
        lines = [line.replace(", by: vsyscall.c-stat", "") for line in self.summary(result.stderr)]
        self.output = result.stderr
        return [re.sub(r" \(\d+\)$", "", line) for line in lines], result.stdout

    def test_record(self) -> None:
        """Both backends find the three, and count them; an address between them is none, and ends no recording."""
        for backend in ("bpf", "notify"):
            for odd in ((), ("odd",)):
                names = self.record(self.program, "time", "gettimeofday", "time", "getcpu", *odd,
                                    options=("--stats", "--backend", backend))
                self.assertLessEqual({*self.NUMBERS, "exit_group"}, names)
                for name, times in ("time", 2), ("gettimeofday", 1), ("getcpu", 1):
                    self.assertRegex(self.record_log, rf"(?m)^{name} +{times} +\d\.\d+ s  vsyscall.c-stat \(\d+\) ")
            names = self.record(self.program, "odd", options=("--backend", backend))
            self.assertEqual(names & self.NUMBERS.keys(), set())
            names = self.record(self.program, "thread", "getcpu", options=("--backend", backend))
            self.assertEqual(names & self.NUMBERS.keys(), {"getcpu"})

    def test_run(self) -> None:
        """Whoever tells: each of them names what the kernel did."""
        cases: List[Tuple[Dict[str, Any], int, str]] = [
            ({"action": "SCMP_ACT_ERRNO"}, -1, "SCMP_ACT_ERRNO (EPERM)"),
            ({"action": "SCMP_ACT_ERRNO", "errnoRet": 0}, 0, "SCMP_ACT_ERRNO (0)"),
            ({"action": "SCMP_ACT_TRACE"}, -errno.ENOSYS, "SCMP_ACT_TRACE"),
            ({"action": "SCMP_ACT_LOG"}, 0, "SCMP_ACT_LOG")]
        for rule, answer, label in cases:
            for enricher in ("tracepoint", "notify", "netlink"):
                with self.subTest(enricher=enricher, **rule):
                    self.write(rules=[{"names": ["time", "getcpu"], **rule}])
                    found, said = self.found("time", "getcpu", "time", options=("--enricher", enricher))
                    self.assertEqual(found, [f"getcpu (309), action: {label}, 1 time",
                                             f"time (201), action: {label}, 2 times"])
                    self.assertEqual(said, f"time {answer}\ngetcpu {answer}\ntime {answer}\n")

    def test_sigsys(self) -> None:
        self.block("time", action="SCMP_ACT_TRAP")
        found, said = self.found("trap", "time", "getcpu", "time")
        self.assertEqual(found, ["time (201), action: SCMP_ACT_TRAP, 2 times"])
        self.assertEqual(said, "getcpu 0\n".join(["SIGSYS 201 ffffffffff600400\ntime 0\n"] * 2))
        for action in ("TRAP", "KILL_PROCESS", "KILL_THREAD"):
            self.block("time", action=f"SCMP_ACT_{action}")
            found, said = self.found("getcpu", "time", code=128 + SIGSYS)
            self.assertEqual(found, [f"time (201), action: SCMP_ACT_{action}, 1 time"])
            self.assertEqual(said, "getcpu 0\n")
        found, said = self.found("thread", "getcpu", "time")
        self.assertEqual(found, ["time (201), action: SCMP_ACT_KILL_THREAD, 1 time"])

    def test_what_passes_is_not_named(self) -> None:
        """Also not where something else ends the task, or what the command's own filter makes of it cannot be known."""
        self.block("getppid")
        for how, code in (("time", 0), ("odd", 0), ("time", 128 + signal.SIGKILL), ("own-errno", 0)):
            found, said = self.found("time", *[how] * (how != "time"), *["die"] * (code > 0), "time", code=code)
            self.assertEqual(found, [], how)
            self.assertNotIn("To allow", self.output)
        found, _ = self.found("own-kill", "getcpu", "time", code=128 + SIGSYS)
        self.assertEqual(found, [f"time (201), action: {Own.KILLED}, 1 time"])

    def test_last_of_all(self) -> None:
        self.block("time")
        found, _ = self.found("time", "die", code=128 + signal.SIGKILL)
        self.assertEqual(found, ["time (201), action: SCMP_ACT_ERRNO (EPERM), 1 time"])

    def test_conditions(self) -> None:
        """The tracepoint tells no arguments: what then was answered is not guessed, and the remedy works."""
        self.block("time", args=[{"index": 1, "value": 7, "op": "SCMP_CMP_NE"}])
        found, said = self.found("time", "time")
        self.assertEqual((found, said), ([], "time -1\n" * 2))
        self.assertEqual(re.findall(r"Not named [^\n]*", self.output), [
            "Not named where the vsyscall page makes it, since rules for it have conditions: time; "
            "--enricher notify names it"])
        found, said = self.found("time", "time", options=("--enricher", "notify"))
        self.assertEqual((found, said), (["time (201), action: SCMP_ACT_ERRNO (EPERM), 2 times"], "time -1\n" * 2))

    def test_as_runc(self) -> None:
        """All that is above what the profile names is answered ENOSYS, as runc does (test_runc_and_crun_answers)."""
        newer = "clone3 getrandom newfstatat prlimit64 readlinkat rseq set_robust_list statx".split()
        names = [name for name in OWN_CALLS if name not in newer]
        self.write("SCMP_ACT_ERRNO", [{"names": names, "action": "SCMP_ACT_ALLOW"}])
        found, said = self.found("getcpu", "time", options=(*self.TRACEPOINT, "--as", "runc"))
        self.assertIn("getcpu (309), action: SCMP_ACT_ERRNO (ENOSYS), 1 time", found)
        self.assertEqual(said.splitlines()[0], "getcpu -38")


@unittest.skipUnless(ON_X86_64, "needs x86_64, whose syscall numbers are here")
class Remedies(RunCase):
    """What is printed as a remedy works."""

    SOURCES = ("tracepoint", "notify", "netlink")
    KILLED = {"tracepoint": "^killed 31$", "netlink": "^killed 31$", "notify": "^killed 9$"}  # it handles SIGSYS
    LEARN = "run (--learn) FILE(?:, and with (--force) .*)?"
    NOT_LISTED = rf"To add calls of (\w+) to a profile, which this one does not list: {LEARN}"
    BLOCKED = rf"To allow what was blocked: run -b (\S+)(?: \(.*\))?; to add it to a profile: {LEARN}"

    def calls(self, lines: Sequence[str], options: Sequence[str] = (), profile: str = "",
              code: int = 0) -> "subprocess.CompletedProcess[str]":
        """Have tests/programs/call.c make the calls, under a profile."""
        (self.folder / "calls").write_text("".join(line + "\n" for line in lines))
        with open(self.folder / "calls") as stdin:
            result = spoc("run", "-p", profile or str(self.profile), *options, build("call.c", "-static"), stdin=stdin)
        self.assertEqual(result.returncode, code, result.stderr)
        return result

    def assert_remedied(self, result: "subprocess.CompletedProcess[str]", *lines: str, answers: str) -> None:
        """Do what was said: every call is answered as without a profile, and nothing is blocked."""
        new = str(self.folder / "new.json")
        told = [line[16:] for line in result.stderr.splitlines() if line[16:].startswith("To a")]
        self.assertTrue(told, result.stderr)
        for line in told:
            match = re.fullmatch(self.NOT_LISTED, line) or re.fullmatch(self.BLOCKED, line)
            assert match, line
            names, learn, force = match.groups()
            self.calls(lines, [learn, new, *[force] * bool(force)])
            after = self.calls(lines, profile=new)
            self.assertEqual(self.denials(after.stderr), [])
            self.assertRegex(after.stdout, answers)
            if match.re.pattern == self.BLOCKED and len(told) == 1:
                after = self.calls(lines, ["-b", names])
                self.assertEqual(self.denials(after.stderr), [])
                self.assertRegex(after.stdout, answers)

    def test_architecture_that_is_not_listed(self) -> None:
        """To allow the name does not help: it is the architecture that is blocked."""
        lines = [call_line("if", FREE_32["getppid"])], [call_line("nf", 0x40000000 + FREE["getppid"])]
        for calls, name, answers in zip(lines, ("SCMP_ARCH_X86", "SCMP_ARCH_X32"), (r"= \d+\n", r"! 38\n")):
            for source in self.SOURCES:
                self.write(architectures=["SCMP_ARCH_X86_64"])
                result = self.calls(calls, ["--enricher", source])
                self.assertRegex(result.stdout, self.KILLED[source])
                self.assertIn(f"arch: {name}, action: SCMP_ACT_KILL", result.stderr)
                self.assertIn(f"To add calls of {name} to a profile, which this one does not list: run --learn FILE\n",
                              result.stderr)
                self.assertNotIn("run -b", result.stderr)
                self.assert_remedied(result, *calls, answers=answers)
        # Where there is a rule that denies it, and another call of a listed architecture.
        calls = [*lines[0], call_line("n", FREE["getuid"])]
        self.write(rules=[{"names": ["getppid", "getuid"], "action": "SCMP_ACT_ERRNO"}])
        result = self.calls(calls, ["--enricher", "tracepoint"])
        self.assertIn("run -b getuid (", result.stderr)
        self.assert_remedied(result, *calls, answers=r"= \d+\n= \d+\n")

    def test_names(self) -> None:
        """By a rule, by default, by conditions, and where one call does the work of several."""
        own: Dict[str, Any] = {"names": OWN_CALLS, "action": "SCMP_ACT_ALLOW"}
        condition: Dict[str, Any] = {"args": [{"index": 0, "value": 0, "op": "SCMP_CMP_EQ"}]}
        both = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
        rules: List[Dict[str, Any]]
        for default, rules in (
                ("SCMP_ACT_ALLOW", [{"names": ["getppid"], "action": "SCMP_ACT_TRAP"}]),
                ("SCMP_ACT_ALLOW", [{"names": ["getppid"], "action": "SCMP_ACT_ERRNO", **condition}]),
                ("SCMP_ACT_ERRNO", [own]),
                ("SCMP_ACT_ERRNO", [own, {"names": ["getppid"], "action": "SCMP_ACT_ALLOW", "args": [
                    {"index": 0, "value": 5, "op": "SCMP_CMP_EQ"}]}])):
            self.write(default, rules, architectures=both)
            lines = call_line("n", FREE["getppid"]), call_line("i", FREE_32["getppid"])
            result = self.calls(lines)
            self.assertIn("run -b getppid", result.stderr)
            self.assert_remedied(result, *lines, answers=r"= \d+\n= \d+\n")
        self.write("SCMP_ACT_ERRNO", [own], architectures=both)
        line = call_line("i", 102, [1])  # socketcall(SYS_SOCKET) without arguments
        result = self.calls([line], ["--enricher", "notify"])
        self.assertIn("run -b socket; ", result.stderr)
        self.assert_remedied(result, line, answers="! 14\n")

    def test_numbers_that_no_kernel_knows(self) -> None:
        """Above x32's bit libseccomp's filter kills, which is the profile's doing, and no rule can allow it."""
        line = call_line("nf", (1 << 64) - 101)
        for default in ("SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"):
            self.write(default, [{"names": OWN_CALLS, "action": "SCMP_ACT_ALLOW"}] * (default == "SCMP_ACT_ERRNO"))
            for source in self.SOURCES:
                result = self.calls([line], ["--enricher", source, "--events", str(self.folder / "events")])
                self.assertRegex(result.stdout, self.KILLED[source])
                self.assertRegex(self.denials(result.stderr)[0],
                                 r"^number \(4294967195\), action: SCMP_ACT_KILL(_THREAD)?, pid: \d+, comm: call.c-st")
                event = json.loads((self.folder / "events").read_text().splitlines()[0])
                self.assertEqual((event["filter"], event["guess"]), ("profile", False))
                self.assertIn("Cannot be allowed: 1 syscall exists in no kernel: 4294967195 (SCMP_ARCH_X86_64); "
                              "no rule can allow that\n", result.stderr)
                self.assertNotIn("To allow", result.stderr)
            learned = self.calls([line], ["--learn", str(self.folder / "new.json")], code=125)
            self.assertIn("Error: the profile is incomplete: 1 syscall exists in no kernel: 4294967195", learned.stderr)
            self.assertNotIn("newer libseccomp", learned.stderr)
        self.write("SCMP_ACT_ERRNO", [{"names": OWN_CALLS, "action": "SCMP_ACT_ALLOW"}])
        result = self.calls([call_line("nf", 900)], ["--enricher", "tracepoint"])
        self.assertIn("Cannot be allowed: libseccomp knows no name for 1 syscall: 900 (SCMP_ARCH_X86_64); a newer "
                      "libseccomp may\n", result.stderr)

    def test_logged_under_conditions(self) -> None:
        self.write(rules=[{"names": ["getppid"], "action": "SCMP_ACT_LOG", "args": [
            {"index": 0, "value": 0, "op": "SCMP_CMP_EQ"}]}])
        line = call_line("n", FREE["getppid"])
        result = self.calls([line], ["--enricher", "tracepoint"])
        option, name = re.findall(r"Not named where they are logged, .*: getppid; (--enricher) (\w+) names them",
                                  result.stderr)[0]
        self.assertEqual(self.denials(result.stderr), [])
        result = self.calls([line], [option, name])
        self.assertEqual(len(self.denials(result.stderr)), 1)

    def test_execve(self) -> None:
        self.write("SCMP_ACT_ERRNO", [{"names": [name for name in OWN_CALLS if name != "execve"],
                                       "action": "SCMP_ACT_ALLOW"}])
        result = self.calls([], code=126)
        option, name = re.findall(r"run (-b) (execve) is all that it takes", result.stderr)[0]
        self.calls([], [option, name])

    def test_arguments(self) -> None:
        """What record says of a base syscall that --args names."""
        output = str(self.folder / "args.json")
        command = ("record", "-t", "raw-seccomp", "--args", "ioctl", "-o", output)
        told = spoc(*command, "stty", stdin=subprocess.DEVNULL).stderr
        options = re.findall(r"ioctl is allowed whatever its arguments: it is one of the base syscalls: (-n), or (-b) "
                             r"without it, narrows it\n", told)[0]
        for option in ([options[0]], [options[1], "execve"]):
            told = spoc(*command, *option, "--", "stty", stdin=subprocess.DEVNULL).stderr
            self.assertIn("Narrowed ioctl by argument 1: 0x5401 (TCGETS)\n", told)

    def test_type(self) -> None:
        """What record says where --append finds a profile of the other type."""
        for types in (("seccomp", "raw-seccomp"), ("raw-seccomp", "seccomp")):
            output = str(self.folder / types[0])
            spoc("record", "-t", types[0], "-o", output, "true")
            result = spoc("record", "--append", "-t", types[1], "-o", output, "true")
            self.assertEqual(result.returncode, 125)
            self.assertRegex(result.stderr, rf"is not of type {types[1]}; it is of type {types[0]}: leave -t out\n")
            result = spoc("record", "--append", "-o", output, "true")
            self.assertEqual(result.returncode, 0, result.stderr)
            result = spoc("record", "--append", "-t", types[0], "-o", output, "true")
            self.assertEqual(result.returncode, 0, result.stderr)

    def test_base_profile(self) -> None:
        base, tight = self.folder / "base.yaml", self.folder / "tight.yaml"
        for path, name, more, names in (
                (base, "base", "", OWN_CALLS), (tight, "t", "  baseProfileName: base\n", ["read"])):
            path.write_text("apiVersion: security-profiles-operator.x-k8s.io/v1beta1\nkind: SeccompProfile\n"
                            f"metadata:\n  name: {name}\nspec:\n  defaultAction: SCMP_ACT_ERRNO\n{more}  syscalls:\n"
                            f"    - action: SCMP_ACT_ALLOW\n      names: [{', '.join(names)}]\n")
        result = self.calls([], profile=str(tight), code=125)
        option = re.findall(r"builds on the profile base; give that as (--base-profile) FILE\n", result.stderr)[0]
        self.calls([], [option, str(base)], str(tight))


@unittest.skipUnless(ON_X86_64, "needs x86_64, whose syscall numbers are here")
class Names(RunCase):
    """Names that are no UTF-8 are spelled alike everywhere, and so that any JSON reader takes them."""

    def test_events(self) -> None:
        program = os.fsdecode(os.fsencode(self.folder) + b"/a\xff\xe9")
        shutil.copy(build("deny.c", "-static"), program)
        self.block("uname")
        events = self.folder / "events"
        for source in ("tracepoint", "notify", "netlink"):
            result = self.run_it(program, options=("--enricher", source, "--events", str(events)), code=2)
            for line in events.read_text().splitlines():
                event = json.loads(line)
                line.encode().decode("unicode_escape").encode()  # a lone half of a pair has no encoding
                self.assertEqual(event["comm"], "a\\xff\\xe9", source)
                self.assertEqual(event["exe"], "" if source == "tracepoint" else f"{self.folder}/a\\xff\\xe9")
            self.assertIn("comm: a\\xff\\xe9\n", result.stderr)
            self.assertIn(", 1 time, by: a\\xff\\xe9 (1)\n", result.stderr)
            self.assertTrue(json.loads(events.read_text().splitlines()[0]))

    def test_statistics(self) -> None:
        program = os.fsdecode(os.fsencode(self.folder) + b"/a\xff\xe9")
        shutil.copy(build("deny.c", "-static"), program)
        for backend in ("bpf", "notify"):
            self.record(program, options=("--stats", "--backend", backend))
            self.assertRegex(self.record_log, r"(?m)^uname +1 +\S+ s  a\\xff\\xe9 \(\d+\)")

    def test_doctor(self) -> None:
        folder = os.fsencode(self.folder) + b"/\xff"
        os.mkdir(folder)
        for path in (SPOC, OBJECT):
            shutil.copy(path, os.fsdecode(folder))
        result = subprocess.run([sys.executable, os.fsdecode(folder) + "/spoc.py", "doctor", "--json"],
                                stdout=subprocess.PIPE)
        document = json.loads(result.stdout)
        json.dumps(document, ensure_ascii=False).encode()
        self.assertIn(f"{self.folder}/\\xff/recorder.bpf.o", "".join(check["fact"] for check in document["checks"]))


if __name__ == "__main__":
    unittest.main()
