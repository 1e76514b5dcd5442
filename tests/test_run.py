# SPDX-License-Identifier: MIT
"""`run`, with the kernel as the judge: what calls get under a profile, and what is said about those that it stops.

Expected values come from the OCI runtime specification (config-linux.md, seccomp) and seccomp_rule_add(3).
"""

import contextlib
import errno
import itertools
import json
import os
import pathlib
import platform
import pty
import random
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
import unittest
import urllib.request
from typing import Any, Callable, Dict, Iterator, List, Sequence, Set, Tuple

import spoc as module
import test_servers
from support import DATA, OBJECT, PROGRAMS, SPOC, Case, build, require, require_command, require_root, spoc

X86_64 = platform.machine() == "x86_64"
WAIT_S = 60
SIGSYS = int(signal.SIGSYS)
MAX_64 = (1 << 64) - 1

# linux/audit.h
AUDIT_ARCH_X86_64, AUDIT_ARCH_I386 = 0xC000003E, 0x40000003
NETLINK_AUDIT, AUDIT_NLGRP_READLOG, AUDIT_SECCOMP = 9, 1, 1326

# Calls that take no arguments, so that a filter sees six of them and the kernel cares for none: name -> number.
FREE = {"getppid": 110, "getuid": 102, "getgid": 104, "geteuid": 107, "getegid": 108, "gettid": 186, "getpgrp": 111,
        "sched_yield": 24}
# The same for i386; those whose names it has for calls of the same kind.
FREE_32 = {"getppid": 64, "getuid": 24, "getgid": 47, "geteuid": 49, "getegid": 50, "gettid": 224, "getpgrp": 65,
           "sched_yield": 158}

# All that tests/programs/call.c may call of its own accord, on either architecture. None of FREE.
OWN_CALLS = """
    access arch_prctl brk clone clone3 execve exit exit_group fstat fstat64 futex futex_time64 getpid getrandom
    kill madvise mmap mmap2 mprotect munmap newfstatat prlimit64 ptrace read readlink readlinkat rseq rt_sigaction
    rt_sigprocmask rt_sigreturn set_robust_list set_thread_area set_tid_address sigreturn statx tgkill ugetrlimit uname
    wait4 waitpid write
""".split()

OPERATORS: Dict[str, Callable[[int, int, int], bool]] = {
    "SCMP_CMP_NE": lambda given, value, _: given != value,
    "SCMP_CMP_LT": lambda given, value, _: given < value,
    "SCMP_CMP_LE": lambda given, value, _: given <= value,
    "SCMP_CMP_EQ": lambda given, value, _: given == value,
    "SCMP_CMP_GE": lambda given, value, _: given >= value,
    "SCMP_CMP_GT": lambda given, value, _: given > value,
    "SCMP_CMP_MASKED_EQ": lambda given, mask, value: given & mask == value,
}


def call_line(how: str, number: int, arguments: Sequence[int] = ()) -> str:
    return " ".join([how, str(number), *map(str, (*arguments, *[0] * 6)[:6])])


class RunCase(Case):
    """Runs programs under profiles."""

    def setUp(self) -> None:
        super().setUp()
        require_root()
        self.profile = self.folder / "profile.json"

    def write(self, action: str = "SCMP_ACT_ALLOW", rules: Sequence[Dict[str, Any]] = (), **keys: Any) -> None:
        """The profile: this default action and these rules, and all else as given."""
        self.profile.write_text(json.dumps({"defaultAction": action, "syscalls": list(rules), **keys}))

    def block(self, *names: str, action: str = "SCMP_ACT_ERRNO", architectures: Sequence[str] = (),
              flags: Sequence[str] = (), **keys: Any) -> None:
        """A profile that allows all but these."""
        self.write(rules=[{"names": list(names), "action": action, **keys}], architectures=list(architectures),
                   flags=list(flags))

    def arguments(self, *command: str, options: Sequence[str] = ()) -> List[str]:
        return [sys.executable, str(SPOC), "run", "-p", str(self.profile), *options, "--", *command]

    def run_it(self, *command: str, options: Sequence[str] = (), code: int = 0,
               **run: Any) -> "subprocess.CompletedProcess[str]":
        """Run the command under the profile; it has to end with this exit code."""
        result = spoc("run", "-p", str(self.profile), *options, "--", *command, **run)
        self.assertEqual(result.returncode, code, result.stdout + result.stderr)
        self.assertNotIn("Traceback", result.stderr)
        return result

    def call(self, *lines: str, enricher: str = "none", program: str = "", code: int = 0) -> List[str]:
        """What these calls of tests/programs/call.c get."""
        with open(self.folder / "calls", "w+") as calls:
            calls.write("".join(line + "\n" for line in lines))
            calls.flush()
            calls.seek(0)
            result = self.run_it(program or build("call.c", "-static"), options=("-q", "--enricher", enricher),
                                 code=code, stdin=calls)
        answers = result.stdout.splitlines()
        if not code:
            self.assertEqual(len(answers), len(lines), result.stderr)
        return answers

    def denials(self, stderr: str) -> List[str]:
        """What follows the time on each line about a call."""
        return re.findall(r"^[0-9:.]{15} Seccomp: (.*)$", stderr, re.MULTILINE)

    def summary(self, stderr: str) -> List[str]:
        return re.findall(r"^[0-9:.]{15} Seccomp summary: (.*)$", stderr, re.MULTILINE)


@unittest.skipUnless(X86_64, "needs x86_64, whose syscall numbers are here")
class Answers(RunCase):
    """What a call gets, by each action, under either of: nobody watches, tracepoints watch."""

    # A rule -> what its call gets in the process itself, in a thread, in a child, in a traced child. %: the number, the
    # architecture. errnoRet is EPERM by default; TRACE without a tracer is ENOSYS (seccomp(2)).
    ALLOWED = r"= [1-9]\d*"
    RULES: List[Tuple[Any, ...]] = [
        ({"action": "SCMP_ACT_ERRNO"}, *["! 1"] * 4),
        ({"action": "SCMP_ACT_ERRNO", "errnoRet": 0}, *["= 0"] * 4),
        *(({"action": "SCMP_ACT_ERRNO", "errnoRet": number}, *[f"! {number}"] * 4) for number in (1, 38, 133, 4094)),
        ({"action": "SCMP_ACT_TRAP"}, *["trap 1 %d 0 %#x"] * 4),
        ({"action": "SCMP_ACT_KILL"}, "", "thread killed", "killed 31", "killed 31"),
        ({"action": "SCMP_ACT_KILL_THREAD"}, "", "thread killed", "killed 31", "killed 31"),
        ({"action": "SCMP_ACT_KILL_PROCESS"}, "", "", "killed 31", "killed 31"),
        ({"action": "SCMP_ACT_TRACE"}, "! 38", "! 38", "! 38", "traced 1"),
        ({"action": "SCMP_ACT_TRACE", "errnoRet": 77}, "! 38", "! 38", "! 38", "traced 77"),
        ({"action": "SCMP_ACT_LOG"}, *[ALLOWED] * 4),
        ({"action": "SCMP_ACT_ALLOW"}, *[ALLOWED] * 4),
    ]

    def check(self, rule: Dict[str, Any], answers: Sequence[str], enricher: str) -> None:
        for compat, number, arch, program in (
                ("n", FREE["getppid"], AUDIT_ARCH_X86_64, build("call.c", "-static")),
                ("i", FREE_32["getppid"], AUDIT_ARCH_I386, build("call.c", "-static")),
                ("n", FREE_32["getppid"], AUDIT_ARCH_I386, build("call.c", "-m32", "-static"))):
            with self.subTest(rule=rule, enricher=enricher, compat=compat, arch=arch):
                expected = [(kind, answer % (number, arch) if "%" in answer else answer)
                            for kind, answer in zip(("", "t", "f", "p"), answers) if answer]
                found = self.call(*(call_line(compat + kind, number) for kind, _ in expected), enricher=enricher,
                                  program=program)
                for (_, answer), one in zip(expected, found):
                    self.assertRegex(one, f"^{answer}$")
                for kind, answer in zip(("", "t"), answers):
                    if not answer:  # it ends the whole program
                        self.assertEqual(self.call(call_line(compat + kind, number), enricher=enricher,
                                                   code=128 + SIGSYS, program=program), [])

    def test_rules(self) -> None:
        for enricher in ("none", "tracepoint"):
            for rule, *answers in self.RULES:
                default = "SCMP_ACT_KILL_PROCESS" if rule["action"] == "SCMP_ACT_ALLOW" else "SCMP_ACT_ALLOW"
                self.write(default, [{"names": ["getppid"], **rule}, {"names": OWN_CALLS, "action": "SCMP_ACT_ALLOW"}],
                           architectures=["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"])
                self.check(rule, answers, enricher)

    def test_defaults(self) -> None:
        for enricher in ("none", "tracepoint"):
            for rule, *answers in self.RULES:
                keys = {"defaultErrnoRet": rule["errnoRet"]} if "errnoRet" in rule else {}
                self.write(rule["action"], [{"names": OWN_CALLS, "action": "SCMP_ACT_ALLOW"}],
                           architectures=["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"], **keys)
                self.check(rule, answers, enricher)

    def test_errno_where_an_action_has_none(self) -> None:
        """The runtime MUST print an error and fail."""
        for action in ("KILL", "KILL_THREAD", "KILL_PROCESS", "TRAP", "LOG", "ALLOW"):
            with self.subTest(action=action):
                self.block("getppid", action=f"SCMP_ACT_{action}", errnoRet=1)
                result = self.run_it("touch", str(self.folder / "started"), code=125)
                self.assertRegex(result.stderr, r"Error: read profile: [^\n]*errnoRet: [^\n]*no errno\n$")
                self.write(f"SCMP_ACT_{action}", defaultErrnoRet=1)
                result = self.run_it("touch", str(self.folder / "started"), code=125)
                self.assertRegex(result.stderr, r"Error: read profile: [^\n]*defaultErrnoRet: [^\n]*no errno\n$")
                self.assertFalse((self.folder / "started").exists())

    def test_notify_has_no_listener(self) -> None:
        for name, default in (("getppid", "SCMP_ACT_ALLOW"), ("execve", "SCMP_ACT_NOTIFY")):
            self.write(default, [{"names": [name], "action": "SCMP_ACT_NOTIFY" if name == "getppid" else
                                  "SCMP_ACT_ALLOW"}])
            self.assertRegex(self.run_it("true", code=125).stderr, "Error: [^\n]*SCMP_ACT_NOTIFY needs a listener")

    def test_errno_beyond_libseccomp_is_refused(self) -> None:
        """seccomp_rule_add(3) takes those below 4095, the kernel's MAX_ERRNO."""
        for number in (4095, 4096, 1 << 16, (1 << 32) + 1, -1):
            self.block("getppid", errnoRet=number)
            expected = f"rrnoRet: {number} is not within 0 and 4094\n$"
            self.assertRegex(self.run_it("true", code=125).stderr, f" e{expected}")
            self.write("SCMP_ACT_ERRNO", defaultErrnoRet=number)
            self.assertRegex(self.run_it("true", code=125).stderr, f" defaultE{expected}")

    def test_zero_errno_of_a_resource(self) -> None:
        """None given, to the operator: a call that must fail does not succeed."""
        spec = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["getppid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 0},
            {"names": ["getpid"], "action": "SCMP_ACT_ALLOW", "errnoRet": 0}]}
        for version in ("v1beta1", "v1"):
            self.profile.write_text(json.dumps({
                "apiVersion": f"security-profiles-operator.x-k8s.io/{version}", "kind": "SeccompProfile",
                "metadata": {"name": "zero"}, "spec": spec}))
            self.assertEqual(self.call(call_line("n", FREE["getppid"])), ["! 1"])

    def test_rule_that_equals_the_default(self) -> None:
        self.write("SCMP_ACT_ERRNO", [{"names": OWN_CALLS, "action": "SCMP_ACT_ALLOW"},
                                      {"names": ["getppid"], "action": "SCMP_ACT_ERRNO"},
                                      {"names": ["getuid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 9}])
        self.assertEqual(self.call(*(call_line("n", FREE[name]) for name in ("getppid", "getuid", "getgid"))),
                         ["! 1", "! 9", "! 1"])

    def test_contradicting_rules_get_the_same_answer_everywhere(self) -> None:
        """Which of them counts is libseccomp's affair, but it is one, whoever gives the answer."""
        self.write("SCMP_ACT_ERRNO", [{"names": OWN_CALLS, "action": "SCMP_ACT_ALLOW"},
                                      {"names": ["getppid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
                                      {"names": ["getppid"], "action": "SCMP_ACT_ALLOW"}])
        for enricher in ("none", "notify", "tracepoint"):
            self.assertEqual(self.call(call_line("n", FREE["getppid"]), enricher=enricher), ["! 38"], enricher)

    def test_names_unknown_or_of_other_machines(self) -> None:
        self.block("getppid", "no_such_call", "riscv_flush_icache", "arm_fadvise64_64")
        result = self.run_it("true", options=("--enricher", "none"))
        warnings = [line for line in result.stderr.splitlines() if "no_such_call" in line]
        self.assertEqual(len(warnings), 1, result.stderr)
        self.assertIn("no_such_call", warnings[0])
        self.assertNotIn("getppid", warnings[0])
        self.assertEqual(self.call(call_line("n", FREE["getppid"])), ["! 1"])

    def test_base_syscalls_win(self) -> None:
        """-b allows a call whatever the profile says of it."""
        condition = [{"index": 0, "value": 0, "op": "SCMP_CMP_EQ"}]
        conditions: Tuple[Dict[str, Any], ...] = ({}, {"args": condition})
        for default, keys in itertools.product(("SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL_PROCESS"),
                                               conditions):
            for action in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRAP", "SCMP_ACT_KILL"):
                with self.subTest(default=default, action=action, **keys):
                    self.write(default, [{"names": ["uname"], "action": action, **keys},
                                         {"names": [name for name in OWN_CALLS if name != "uname"],
                                          "action": "SCMP_ACT_ALLOW"}])
                    result = self.run_it(build("deny.c", "-static"),
                                         options=("-b", "uname", "--enricher", "tracepoint"))
                    self.assertEqual(self.denials(result.stderr), [])


@unittest.skipUnless(X86_64, "needs x86_64, whose syscall numbers are here")
class Conditions(RunCase):
    """Operators, and how conditions go together."""

    VALUES = (0, 1, 5, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, (1 << 32) + 5, 1 << 63, MAX_64 - 1, MAX_64)

    def test_operators(self) -> None:
        """Each operator with values about which 64 bits, their halves, and signs matter; on each argument."""
        given = sorted({value + step & MAX_64 for value in self.VALUES for step in (-1, 0, 1)})
        for index, value in zip(itertools.cycle(range(6)), self.VALUES):
            two = value & 0xFFFFFFFF00000005
            rules = [{"names": [name], "action": "SCMP_ACT_ERRNO", "errnoRet": 7, "args": [
                {"index": index, "op": op, "value": value, **({"valueTwo": two} if "MASKED" in op else {})}]}
                for name, op in zip(FREE, OPERATORS)]
            self.write(rules=rules)
            cases = [(name, op, number) for name, op in zip(FREE, OPERATORS) for number in given]
            found = self.call(*(call_line("n", FREE[name], [0] * index + [number]) for name, _, number in cases))
            for (name, op, number), answer in zip(cases, found):
                expected = OPERATORS[op](number, value, two)
                self.assertEqual(answer == "! 7", expected, f"argument {index}: {number:#x} {op} {value:#x}: {answer}")

    def test_masks(self) -> None:
        masks = [(mask, value) for mask in (0, 1, 0xFF, 1 << 31, 0xFFFFFFFF, 0xFF00000000, 1 << 63, MAX_64)
                 for value in {0, mask, mask & 0x5500000055, mask & ~0xF}]
        for start in range(0, len(masks), len(FREE)):
            part = list(zip(FREE, masks[start:start + len(FREE)]))
            self.write(rules=[{"names": [name], "action": "SCMP_ACT_ERRNO", "args": [
                {"index": 2, "op": "SCMP_CMP_MASKED_EQ", "value": mask, "valueTwo": value}]}
                for name, (mask, value) in part])
            cases = [(name, mask, value, given) for name, (mask, value) in part
                     for given in {0, value, value ^ 1, value | ~mask & MAX_64, mask, 0x5500000055, MAX_64}]
            found = self.call(*(call_line("n", FREE[name], [9, 9, given]) for name, _, _, given in cases))
            for (name, mask, value, given), answer in zip(cases, found):
                self.assertEqual(answer == "! 1", given & mask == value, f"{given:#x} & {mask:#x} == {value:#x}")

    def test_value_outside_its_mask(self) -> None:
        """Its bits outside the mask do not count, as for libseccomp and runc."""
        for mask, value in ((0xFF, 0x1FF), (6, 7), (1 << 63, (1 << 63) + 1)):
            with self.subTest(mask=mask, value=value):
                self.block("getppid", args=[{"index": 0, "op": "SCMP_CMP_MASKED_EQ", "value": mask, "valueTwo": value}])
                self.assertEqual(["! 1" == each for each in self.call(*(
                    call_line("n", FREE["getppid"], [given]) for given in (0, mask, value)))], [False, True, True])

    @staticmethod
    def condition(index: int, value: int, op: str = "SCMP_CMP_EQ") -> Dict[str, Any]:
        return {"index": index, "value": value, "op": op}

    def assert_denied(self, args: List[Dict[str, Any]], denied: List[Tuple[int, ...]],
                      passed: List[Tuple[int, ...]]) -> None:
        self.block("getppid", args=args)
        found = self.call(*(call_line("n", FREE["getppid"], arguments) for arguments in denied + passed))
        self.assertEqual([answer == "! 1" for answer in found], [True] * len(denied) + [False] * len(passed), found)

    def test_one_argument_means_or(self) -> None:
        self.assert_denied([self.condition(0, 1), self.condition(0, 2), self.condition(0, 9, "SCMP_CMP_GE")],
                           [(1,), (2,), (9,), (10,), (MAX_64,)], [(0,), (3,), (8,)])

    def test_several_arguments_mean_and(self) -> None:
        self.assert_denied([self.condition(0, 1), self.condition(1, 2), self.condition(5, 4, "SCMP_CMP_LT")],
                           [(1, 2, 0, 0, 0, 0), (1, 2, 9, 9, 9, 3)],
                           [(1, 2, 0, 0, 0, 4), (1, 3, 0, 0, 0, 0), (2, 2, 0, 0, 0, 0), (0,)])

    def test_one_argument_twice_and_another(self) -> None:
        """As runc reads it: each condition stands alone as soon as one argument is named twice."""
        self.assert_denied([self.condition(0, 1), self.condition(0, 2), self.condition(1, 5)],
                           [(1, 0), (2, 0), (7, 5), (1, 5)], [(3, 4), (0, 0)])

    def test_several_rules_mean_or(self) -> None:
        self.write(rules=[{"names": ["getppid", "getuid"], "action": "SCMP_ACT_ERRNO", "args": [self.condition(0, 1)]},
                          {"names": ["getppid"], "action": "SCMP_ACT_ERRNO", "args": [self.condition(1, 1)]}])
        found = self.call(*(call_line("n", FREE[name], arguments) for name in ("getppid", "getuid")
                            for arguments in ((1, 0), (0, 1), (0, 0))))
        self.assertEqual([answer == "! 1" for answer in found], [True, True, False, True, False, False])

    def test_rules_that_libseccomp_gets_wrong(self) -> None:
        """2.5.4 has the first allow getppid(0, 3) as well, never comes to an end with the second, and has the third let
        (0, 5) pass.
        """
        cases: List[Any] = [
            ([[(1, 2, "LE")], [(1, 1 << 32 | 1, "GT")]], [(0, 2), (9, 1 << 32 | 2)], [(0, 3), (0, 1 << 32 | 1)]),
            ([[(1, 1 << 32 | 1, "GE"), (0, 1, "GE")], [(0, 1, "GE"), (1, 1 << 32 | 1, "EQ")]],
             [(1, 1 << 32 | 1), (MAX_64, 1 << 33)], [(0, 1 << 33), (1, 1 << 32), (1 << 32, 1)]),
            ([[(0, 5, "GE")], [(0, 38, "NE"), (1, 38, "GT")], [(0, 5, "NE")]], [(0, 5), (5, 0), (38, 38), (0, 0)], []),
            ([[(index, 1000 * part + 7, "GE") for index in range(6)] for part in range(2)], [(7,) * 6],
             [(7, 7, 7, 7, 7, 6), (6, 7, 7, 7, 7, 7), (1007, 0, 1007)])]
        for rules, named, others in cases:
            rules = [{"names": ["getppid"], "args": [
                self.condition(index, value, f"SCMP_CMP_{op}") for index, value, op in rule]} for rule in rules]
            lines = [call_line("n", FREE["getppid"], arguments) for arguments in named + others]
            for enricher in ("none", "notify"):
                # What repeats the default decides nothing.
                self.write("SCMP_ACT_ERRNO", [
                    {"names": OWN_CALLS, "action": "SCMP_ACT_ALLOW"},
                    {"names": ["getppid"], "action": "SCMP_ACT_ERRNO"},
                    *({**rule, "action": "SCMP_ACT_ALLOW"} for rule in rules)])
                found = self.call(*lines, enricher=enricher)
                self.assertEqual([answer != "! 1" for answer in found], [True] * len(named) + [False] * len(others))
                self.write(rules=[{**rule, "action": "SCMP_ACT_ERRNO"} for rule in rules])
                found = self.call(*lines, enricher=enricher)
                self.assertEqual([answer == "! 1" for answer in found], [True] * len(named) + [False] * len(others))

    def test_narrow_arguments(self) -> None:
        """Calls of 32-bit programs have arguments of 32 bits."""
        self.write(rules=[{"names": [name], "action": "SCMP_ACT_ERRNO", "args": [self.condition(index, value, op)]}
                          for index, (name, op, value) in enumerate((
                              ("getppid", "SCMP_CMP_EQ", 0xFFFFFFFF), ("getuid", "SCMP_CMP_GT", 0x7FFFFFFF),
                              ("gettid", "SCMP_CMP_LE", 0x80000000)))],
                   architectures=["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"])
        given = (0, 0x7FFFFFFF, 0x80000000, 0x80000001, 0xFFFFFFFF)
        expected = [value == 0xFFFFFFFF for value in given] + [value > 0x7FFFFFFF for value in given] + [
            value <= 0x80000000 for value in given]
        for program, how in (("-static", "i"), ("-m32", "n")):
            found = self.call(*(call_line(how, FREE_32[name], [0] * index + [value]) for index, name in enumerate(
                ("getppid", "getuid", "gettid")) for value in given), program=build("call.c", program))
            self.assertEqual([answer == "! 1" for answer in found], expected)


@unittest.skipUnless(X86_64, "needs x86_64, whose syscall numbers are here")
class Random(RunCase):
    """Generated profiles, each with rules for eight calls that have nothing to do with one another, against an
    evaluation of the same rules that is not ours. (Conditions alone, many more of them: test_filters.)

    Where several rules with different actions hold for a call, the specification does not say which one counts: any of
    them is right.
    """

    SEED, PROFILES, CALLS = 20240817, 80, 12
    # Those that the kernel writes to its log, slowly, are few.
    ACTIONS = (*["ALLOW", "ERRNO", "ERRNO", "TRAP", "TRACE"] * 4, "LOG", "KILL_PROCESS", "KILL_THREAD")

    def value(self, bits: int) -> int:
        value = self.random.choice((self.random.getrandbits(bits), self.random.getrandbits(4), 1 << bits - 1,
                                    (1 << bits) - 1, self.random.choice((0, 1 << 31, 1 << 32, 0xFFFFFFFF))))
        return value + self.random.choice((0, 0, 1, -1)) & (1 << bits) - 1

    def rules(self, name: str, bits: int) -> List[Dict[str, Any]]:
        """Up to three rules."""
        rules: List[Dict[str, Any]] = []
        action = self.random.choice(self.ACTIONS)
        for _ in range(self.random.randint(0, 3)):
            if self.random.random() < 0.3:
                action = self.random.choice(self.ACTIONS)
            rule: Dict[str, Any] = {"names": [name], "action": "SCMP_ACT_" + action}
            if action == "ERRNO" and self.random.random() < 0.8:
                rule["errnoRet"] = self.random.randint(2, 4094)
            chosen = self.random.sample(range(6), self.random.randint(0, 3))
            if chosen and self.random.random() < 0.2:
                chosen.append(chosen[0])
            rule["args"] = [self.condition(index, bits) for index in chosen]
            rules.append(rule)
        return rules

    def condition(self, index: int, bits: int) -> Dict[str, Any]:
        op, value, two = self.random.choice(list(OPERATORS)), self.value(bits), self.value(bits)
        # A value outside its mask has a test of its own.
        return {"index": index, "op": op, "value": value, "valueTwo": two & value if "MASKED" in op else two}

    @staticmethod
    def holds(rule: Dict[str, Any], arguments: Sequence[int]) -> bool:
        results = [OPERATORS[each["op"]](arguments[each["index"]], each["value"], each["valueTwo"])
                   for each in rule["args"]]
        indexes = [each["index"] for each in rule["args"]]
        return any(results) if len(set(indexes)) < len(indexes) else all(results)

    @staticmethod
    def answer(rule: Dict[str, Any], number: int, arch: int) -> str:
        return {"ALLOW": "=", "LOG": "=", "ERRNO": f"! {rule.get('errnoRet', 1)}", "TRACE": "! 38",
                "TRAP": f"trap 1 {number} 0 {arch:#x}"}.get(rule["action"][9:], "killed 31")

    def arguments_for(self, rules: List[Dict[str, Any]], bits: int) -> List[int]:
        """Six arguments, some of them just what a condition is about."""
        arguments = [self.value(bits) for _ in range(6)]
        conditions = [each for rule in rules for each in rule["args"]]
        for each in self.random.sample(conditions, len(conditions) // 2):
            arguments[each["index"]] = self.random.choice((each["value"], each["valueTwo"]))
        return arguments

    def load(self, by_name: Dict[str, List[Dict[str, Any]]], default: str) -> None:
        """Write a profile that can be loaded: the same conditions cannot have different actions."""
        while True:
            rules = [rule for each in by_name.values() for rule in each]
            self.random.shuffle(rules)
            self.write("SCMP_ACT_" + default, [*rules, {"names": OWN_CALLS, "action": "SCMP_ACT_ALLOW"}],
                       architectures=["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"])
            mixed = {name for name in by_name
                     if len({(rule["action"], rule.get("errnoRet")) for rule in by_name[name]}) > 1}
            if not mixed:
                return
            profile = module.parse_profile(self.profile.read_text(), "-", module.container_host()).profile
            try:
                module.FilterBuilder(profile, module.X86_64).build()
                return
            except module.SpocError as error:
                self.assertIn("two rules have the same conditions", str(error))
                self.assertIn(error.subject, mixed)
                del by_name[error.subject][1:]

    def test_profiles(self) -> None:
        self.random = random.Random(self.SEED)
        total = decided = 0
        for serial in range(self.PROFILES):
            compat = serial % 4 == 3
            bits, numbers, arch = (32, FREE_32, AUDIT_ARCH_I386) if compat else (64, FREE, AUDIT_ARCH_X86_64)
            by_name = {name: self.rules(name, bits) for name in numbers}
            default = "ALLOW" if serial % 3 else self.random.choice(self.ACTIONS)
            self.load(by_name, default)
            lines, expected = [], []
            for name, number in numbers.items():
                logged = re.search("KILL|LOG", json.dumps([default, *by_name[name]]))
                for _ in range(4 if logged else self.CALLS):
                    arguments = self.arguments_for(by_name[name], bits)
                    holding = [rule for rule in by_name[name] if self.holds(rule, arguments)]
                    right = {self.answer(rule, number, arch)
                             for rule in holding or [{"action": "SCMP_ACT_" + default}]}
                    total, decided = total + 1, decided + (len(right) == 1)
                    lines.append(call_line(("i" if compat else "n") + ("f" if logged else ""), number, arguments))
                    expected.append((name, arguments, right))
            found = self.call(*lines)
            for (name, arguments, right), answer in zip(expected, found):
                self.assertIn("=" if answer.startswith("=") else answer, right, "\n".join([
                    f"profile {serial}, default {default}, {name}({', '.join(map(hex, arguments))})",
                    *map(json.dumps, by_name[name])]))
        self.assertGreater(total, self.PROFILES * len(FREE) * 8)
        self.assertGreater(decided, total * 0.75)


@unittest.skipUnless(X86_64, "needs x86_64, whose syscall numbers are here")
class Architectures(RunCase):
    """Rules hold for the architectures that are listed and for the machine's own; calls of others are killed."""

    KILLED, DENIED, PASSED = "killed 31", "! 1", r"= \d+"
    X32_BIT = 0x40000000

    def check(self, architectures: "List[str] | None", native: str, compat: str, x32: str) -> None:
        keys: Dict[str, Any] = {} if architectures is None else {"architectures": architectures}
        self.write(rules=[{"names": ["getppid"], "action": "SCMP_ACT_ERRNO"}], **keys)
        with self.subTest(architectures=architectures):
            found = self.call(call_line("nf", FREE["getppid"]), call_line("if", FREE_32["getppid"]),
                              call_line("nf", self.X32_BIT | FREE["getppid"]))
            for answer, expected in zip(found, (native, compat, x32)):
                self.assertRegex(answer, f"^{expected}$")

    def test_native(self) -> None:
        lists: Tuple[Any, ...] = (None, [], ["SCMP_ARCH_X86_64"], ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"])
        for architectures in lists:
            self.check(architectures, self.DENIED, self.KILLED, self.KILLED)

    def test_all_of_the_machine(self) -> None:
        self.check(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"], self.DENIED, self.DENIED, self.KILLED)
        self.check(["SCMP_ARCH_X86"], self.DENIED, self.DENIED, self.KILLED)
        self.check(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"], self.DENIED, self.DENIED, self.DENIED)

    def test_program_of_an_unlisted_one(self) -> None:
        self.block("getppid", architectures=["SCMP_ARCH_X86_64"])
        result = self.run_it(build("deny.c", "-m32", "-static"), code=128 + SIGSYS,
                             options=("--enricher", "tracepoint"))
        self.assertRegex(self.denials(result.stderr)[0],
                         r"^brk \(45\), arch: SCMP_ARCH_X86, action: SCMP_ACT_KILL_THREAD, pid: \d+, "
                         r"comm: deny\.c-m32-stat$")

    def test_call_that_has_its_own_number_on_one(self) -> None:
        """uname is 63 on x86_64, and 122 on i386. The same numbers mean dup2 and setfsuid on the other."""
        self.block("uname", architectures=["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"])
        self.assertEqual(self.call(call_line("n", 63), call_line("i", 122), call_line("i", 63, [999, 999]),
                                   call_line("n", 122)), ["! 1", "! 1", "! 9", "= 0"])

    def test_i386_multiplexed_calls(self) -> None:
        """socket(2) is there twice on i386: by itself, and as the first of socketcall(2)."""
        self.block("socket", errnoRet=97, architectures=["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"])
        self.assertEqual(self.call(call_line("i", 102, [1]), call_line("i", 359, [1, 1]), call_line("i", 102, [2]),
                                   call_line("n", 41, [1, 1])), ["! 97", "! 97", "! 14", "! 97"])
        program = build("call.c", "-static")
        calls = self.folder / "calls"
        calls.write_text(call_line("i", 102, [1]) + "\n")
        with open(calls) as stream:
            result = self.run_it(program, stdin=stream, options=("--enricher", "tracepoint"))
        self.assertEqual(result.stdout, "! 97\n")
        self.assertRegex(self.denials(result.stderr)[0],
                         r"^socketcall \(102\), arch: SCMP_ARCH_X86, action: SCMP_ACT_ERRNO \(EAFNOSUPPORT\), "
                         r"pid: \d+, comm: call\.c-static$")

    SEND, RECV, SEMOP = (102, [9]), (102, [10]), (117, [1])

    def test_calls_that_are_only_multiplexed(self) -> None:
        """send(2) has no number of its own on either machine."""
        both = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
        lines = [call_line("i", *call) for call in (self.SEND, self.RECV, self.SEMOP)]
        self.block("send", "semop", errnoRet=97, architectures=both)
        for enricher in ("none", "notify"):
            self.assertEqual(self.call(*lines, enricher=enricher), ["! 97", "! 14", "! 97"])
        self.block("send", architectures=both[:1])
        self.assertIn("not known here: send", self.run_it("true", options=("--enricher", "none")).stderr)

    def test_multiplexed_calls_are_learned_alone(self) -> None:
        """Whether nothing names them, a rule does, or one names socketcall(2)."""
        allowed = {"names": [*OWN_CALLS, "recv"], "action": "SCMP_ACT_ALLOW"}
        denied = {"names": ["send"], "action": "SCMP_ACT_ERRNO", "errnoRet": 97}
        whole = {"names": ["socketcall"], "action": "SCMP_ACT_ERRNO", "errnoRet": 96}
        with open(self.folder / "calls", "w+") as calls:
            calls.write(call_line("i", *self.SEND) + "\n")
        cases: List[Any] = [("SCMP_ACT_ERRNO", [allowed], "send", []),
                            ("SCMP_ACT_ALLOW", [denied], "send", ["--force"]),
                            ("SCMP_ACT_ALLOW", [denied, whole], "send, socketcall", ["--force"])]
        for default, rules, learned, options in cases:
            with self.subTest(default=default, learned=learned):
                self.write(default, rules, architectures=["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"])
                with open(self.folder / "calls") as stream:
                    result = self.run_it(build("call.c", "-static"), stdin=stream,
                                         options=("--learn", str(self.profile), *options))
                self.assertIn(f"Learned syscalls: {learned}\n", result.stderr)
                self.assertRegex(self.denials(result.stderr)[0], r"^send by socketcall \(102\), arch: SCMP_ARCH_X86, ")
                self.assertNotIn("own filter", result.stderr)
                self.assertEqual(self.call(call_line("i", *self.SEND)), ["! 14"])

    def test_unknown(self) -> None:
        self.block("getppid", architectures=["SCMP_ARCH_VAX"])
        self.assertIn("SCMP_ARCH_VAX", self.run_it("true", code=125).stderr)


class Audit:
    """The kernel's own records of what seccomp did, from the multicast group that is there beside any auditd."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_AUDIT)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.bind((0, 1 << AUDIT_NLGRP_READLOG - 1))

    def close(self) -> None:
        self.socket.close()

    def syscalls(self, pid: str, wait_s: float) -> List[int]:
        """Numbers of the calls on record of a process; none of them comes later than that."""
        found = []
        while select.select([self.socket], [], [], wait_s)[0]:
            data = self.socket.recv(9000)
            match = re.search(rf" pid={pid} .* syscall=(\d+) ", data.decode(errors="replace"))
            if int.from_bytes(data[4:6], sys.byteorder) == AUDIT_SECCOMP and match:
                found.append(int(match[1]))
        return found


@unittest.skipUnless(X86_64, "needs x86_64, whose syscall numbers are here")
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
        audit = Audit()
        self.addCleanup(audit.close)
        program = build("deny.c", "-static")
        for action, flags, recorded in (("SCMP_ACT_LOG", [], True), ("SCMP_ACT_ERRNO", [], False),
                                        ("SCMP_ACT_ERRNO", ["SECCOMP_FILTER_FLAG_LOG"], True)):
            with self.subTest(action=action, flags=flags):
                self.write(rules=[{"names": ["uname"], "action": action}], flags=flags)
                stdout = self.run_it(program, options=("--enricher", "none"),
                                     code=0 if action == "SCMP_ACT_LOG" else 2).stdout
                self.assertEqual(audit.syscalls(stdout.split()[1], 0.5), [63] * recorded)


ACTIONS = {"SCMP_ACT_ERRNO": "SCMP_ACT_ERRNO (EPERM)", "SCMP_ACT_TRAP": "SCMP_ACT_TRAP",
           "SCMP_ACT_KILL": "SCMP_ACT_KILL_THREAD", "SCMP_ACT_KILL_THREAD": "SCMP_ACT_KILL_THREAD",
           "SCMP_ACT_KILL_PROCESS": "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRACE": "SCMP_ACT_TRACE",
           "SCMP_ACT_LOG": "SCMP_ACT_LOG"}


@unittest.skipUnless(X86_64, "needs x86_64, whose syscall numbers are here")
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
        program = (f"import sys; sys.path.insert(0, {str(SPOC.parent)!r}); import spoc\nmachine = spoc.machine_of\n"
                   "spoc.machine_of = lambda *what: machine(*what)._replace(number_offset=0xFFFF0000)\n"
                   "sys.exit(spoc.main(sys.argv[1:]))")
        result = subprocess.run([sys.executable, "-c", program, *self.arguments(
            self.deny, "self", "5", options=("-q", *self.TRACEPOINT))[2:]], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=WAIT_S)
        self.assertRegex(result.stderr, r"Error: not all blocked calls may be known: \d+ calls could not be read; run ")
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
        calls.write_text((call_line("n", FREE["getuid"]) + "\n" + call_line("n", FREE["getppid"]) + "\n") * 500)
        with open(calls) as stream:
            result = self.run_it(build("call.c", "-static"), stdin=stream, options=self.TRACEPOINT)
        self.assertEqual(self.summary(result.stderr), [
            f"{name} ({FREE[name]}), action: SCMP_ACT_ERRNO (EPERM), 500 times, by: call.c-static (500)"
            for name in ("getppid", "getuid")])

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


@unittest.skipUnless(X86_64, "needs x86_64, which has the page")
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


@unittest.skipUnless(X86_64, "needs x86_64, whose syscall numbers are here")
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
                self.assertIn("Not to be allowed: no kernel has the syscalls 4294967195 (SCMP_ARCH_X86_64): no rule "
                              "can allow them\n", result.stderr)
                self.assertNotIn("To allow", result.stderr)
            learned = self.calls([line], ["--learn", str(self.folder / "new.json")], code=125)
            self.assertIn("Error: the profile is incomplete: no kernel has the syscalls 4294967195", learned.stderr)
            self.assertNotIn("newer libseccomp", learned.stderr)
        self.write("SCMP_ACT_ERRNO", [{"names": OWN_CALLS, "action": "SCMP_ACT_ALLOW"}])
        result = self.calls([call_line("nf", 900)], ["--enricher", "tracepoint"])
        self.assertIn("Not to be allowed: libseccomp knows no name for the syscalls 900 (SCMP_ARCH_X86_64); a newer "
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
        option, name = re.findall(r"; (-b) (execve) allows it\n", result.stderr)[0]
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
            self.assertIn("Narrowed ioctl by argument 1: 0x5401\n", told)

    def test_type(self) -> None:
        """What record says where --append finds a profile of the other type."""
        for types in (("seccomp", "raw-seccomp"), ("raw-seccomp", "seccomp")):
            output = str(self.folder / types[0])
            spoc("record", "-t", types[0], "-o", output, "true")
            result = spoc("record", "--append", "-t", types[1], "-o", output, "true")
            self.assertEqual(result.returncode, 125)
            self.assertRegex(result.stderr, r"is not of type [a-z-]+; give the other -t\n")
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


@unittest.skipUnless(X86_64, "needs x86_64, whose syscall numbers are here")
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


@unittest.skipUnless(X86_64, "needs x86_64, whose syscall numbers are here")
class LogLines(RunCase):
    """In order, and each true when it is printed."""

    def messages(self, *command: str, options: Sequence[str] = (), code: int = 0, **run: Any) -> List[str]:
        result = self.run_it(*command, options=options, code=code, **run)
        lines = result.stderr.splitlines()
        self.assertTrue(all(re.match(r"\d\d:\d\d:\d\d\.\d{6} ", line) for line in lines), lines)
        return [re.sub(r"(PID|pid): \d+", r"\1: N", line[16:]) for line in lines]

    BLOCKED = "uname (63), action: SCMP_ACT_ERRNO (EPERM)"
    END = [f"Seccomp: {BLOCKED}, pid: N, comm: deny.c-static",
           f"Seccomp summary: {BLOCKED}, 1 time, by: deny.c-static (1)",
           "To allow what was blocked: run -b uname (-b uname lifts the rule that answers SCMP_ACT_ERRNO (EPERM)); "
           "to add it to a profile: run --learn FILE, and with --force what a rule denies",
           "Unable to run: launch runner: wait for command: exit status 2"]

    def test_in_order(self) -> None:
        self.block("uname")
        self.assertEqual(self.messages(build("deny.c", "-static"), options=("--enricher", "tracepoint"), code=2), [
            f"Reading file {self.profile}", "Setting up seccomp", "Load seccomp profile",
            "Starting tracepoint enricher", "Enricher reading from the tracepoints sys_enter and sys_exit",
            "Running command with PID: N", *self.END])

    def test_auto_takes_tracepoints(self) -> None:
        self.block("uname")
        self.assertIn("Starting tracepoint enricher", self.messages(build("deny.c", "-static"), code=2))

    def test_yaml(self) -> None:
        self.profile.write_text("defaultAction: SCMP_ACT_ALLOW\n")
        self.assertEqual(self.messages("true", options=("--enricher", "none")), [
            f"Reading file {self.profile}", "Assuming YAML profile", "Setting up seccomp", "Load seccomp profile",
            "Running command with PID: N"])

    def test_quiet(self) -> None:
        self.block("uname")
        self.assertEqual(self.messages(build("deny.c", "-static"), options=("-q", "--enricher", "tracepoint"), code=2),
                         self.END)
        self.assertEqual(self.messages("true", options=("-q", "--enricher", "tracepoint")), [])

    def test_signal(self) -> None:
        self.block("uname", action="SCMP_ACT_KILL_PROCESS")
        self.assertEqual(self.messages(build("deny.c", "-static"), options=("-q",), code=128 + SIGSYS)[-1],
                         "Unable to run: launch runner: wait for command: signal: bad system call")

    def test_pid(self) -> None:
        self.write()
        result = self.run_it("sh", "-c", "echo $$", options=("--enricher", "none"))
        self.assertIn(f" Running command with PID: {result.stdout}", result.stderr)


class ExitCodes(RunCase):
    def test_own(self) -> None:
        self.write()
        for enricher, code in itertools.product(("none", "tracepoint"), (0, 1, 2, 125, 255)):
            with self.subTest(enricher=enricher, code=code):
                stderr = self.run_it("sh", "-c", f"exit {code}", options=("--enricher", enricher), code=code).stderr
                last = f" Unable to run: launch runner: wait for command: exit status {code}\n"
                self.assertEqual(stderr.endswith(last), code != 0, stderr)

    def test_signal(self) -> None:
        self.write()
        for signum, name in ((signal.SIGKILL, "killed"), (signal.SIGTERM, "terminated"),
                             (signal.SIGSYS, "bad system call")):
            stderr = self.run_it("sh", "-c", f"kill -{int(signum)} $$", code=128 + signum).stderr
            self.assertRegex(stderr, f" Unable to run: launch runner: wait for command: signal: {name}\n$")

    # A crash handler that hangs, and what it does first.
    HANGS = """
import ctypes, os, signal
def handle(number, frame):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = ATTACH and os.fork()
    if ATTACH and not child:
        assert not ctypes.CDLL(None).ptrace(16, os.getppid(), None, None)  # PTRACE_ATTACH
        os.close(2)
    os.write(1, b"%d\\n" % os.getpid())
    os.close(1)
    while True:
        signal.pause() if child == 0 else None
signal.signal(signal.SIGSYS, handle)
os.getpriority(0, 0)
"""

    def test_second_signal_ends_a_crash_handler_that_hangs(self) -> None:
        """Also where it has a process trace the one that has crashed: that one alone could reap what is killed."""
        self.block("getpriority", action="SCMP_ACT_TRAP")
        for attach, enricher in itertools.product((0, 1), ("tracepoint", "none")):
            with self.subTest(attach=attach, enricher=enricher), contextlib.ExitStack() as cleanup:
                process = cleanup.enter_context(subprocess.Popen(self.arguments(
                    sys.executable, "-I", "-S", "-c", f"ATTACH = {attach}" + self.HANGS, options=(
                        "--enricher", enricher)), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                    start_new_session=True))
                cleanup.callback(self.end_group, process.pid)
                status = pathlib.Path(f"/proc/{process.pid}/status")
                assert process.stdout is not None
                self.assertRegex(process.stdout.readline(), r"^\d+\n$")
                process.send_signal(signal.SIGTERM)
                while not re.search(r"^ShdPnd:\t0+$", status.read_text(), re.MULTILINE):
                    time.sleep(0.01)
                time.sleep(0.3)  # two at once are one request
                process.send_signal(signal.SIGTERM)
                self.assertEqual(process.wait(WAIT_S), 128 + signal.SIGKILL)

    @staticmethod
    def end_group(group: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)

    def test_not_started(self) -> None:
        self.write()
        script = self.folder / "script"
        script.write_text("echo no interpreter\n")
        for command, code in (("no-such-command", 127), (str(self.folder / "nothing"), 127), ("", 127),
                              (str(self.profile), 126), (str(self.folder), 126), (str(script), 126)):
            for mode in (0o644, 0o755) if command == str(script) else (0,):
                if mode:
                    script.chmod(mode)
                for enricher in ("none", "tracepoint"):
                    with self.subTest(command=command, enricher=enricher, mode=mode):
                        stderr = self.run_it(command, options=("--enricher", enricher), code=code).stderr
                        self.assertRegex(stderr, r"Error: start command: [^\n]+\n$")
                        self.assertNotIn("Running command", stderr)

    def test_spoc_fails(self) -> None:
        for text in ("", "{", "- a\n", '{"defaultAction": "SCMP_ACT_NONSENSE"}',
                     '{"defaultAction": "SCMP_ACT_ALLOW", "x": 1}'):
            self.profile.write_text(text)
            self.assertRegex(self.run_it("touch", str(self.folder / "started"), code=125).stderr,
                             rf"Error: read profile: {self.profile}[^\n]*\n$")
        self.profile.unlink()
        self.assertIn("no such file", self.run_it("touch", str(self.folder / "started"), code=125).stderr)
        self.assertFalse((self.folder / "started").exists())

    def test_profile_that_forbids_execve(self) -> None:
        """With whatever errno it says so."""
        for number in (errno.ENOMEM, errno.EINVAL, errno.EPERM):
            self.write(rules=[{"names": ["execve"], "action": "SCMP_ACT_ERRNO", "errnoRet": number}])
            self.assertIn("-b execve allows it", self.run_it("true", code=126).stderr)

    def test_usage(self) -> None:
        self.write()
        for options, named in ((("-x",), "-x"), (("--enricher", "guess"), "guess"), (("-b", "no_such"), "no_such"),
                               (("-b", "read,,write"), "-b"), (("--events",), "--events")):
            with self.subTest(options=options):
                result = spoc("run", *options)
                self.assertEqual(result.returncode, 2, result.stderr)
                result = spoc("run", *options, "true") if options != ("--events",) else result
                self.assertEqual(result.returncode, 2, result.stderr)
                self.assertIn(named, result.stderr)
        self.assertEqual(spoc("run").returncode, 2)
        same = str(self.folder / "same.json")
        result = spoc("run", "-p", str(self.profile), "--events", same, "--learn", same, "true")
        self.assertEqual(result.returncode, 2, result.stderr)
        self.assertIn("it is the file that --learn names", result.stderr)


class Start(RunCase):
    """The filter is loaded last of all, and the command gets what it would have had without it."""

    def test_nothing_runs_under_the_filter(self) -> None:
        require_command("strace")
        self.block("uname")
        for enricher, options in itertools.product(("none", "tracepoint"), ((), ("--no-new-privs",))):
            with self.subTest(enricher=enricher, options=options):
                log = self.folder / "strace"
                subprocess.run(["strace", "-f", "-o", str(log), *self.arguments(
                    "true", options=("-q", "--enricher", enricher, *options))], check=True, timeout=WAIT_S)
                lines = log.read_text().splitlines()
                loads = [index for index, line in enumerate(lines) if
                         re.search(r"\d+ +seccomp\(SECCOMP_SET_MODE_FILTER, .* = 0$", line)]
                self.assertEqual(len(loads), 1)
                pid = lines[loads[0]].split()[0]
                after = [line for line in lines[loads[0]:] if line.split()[0] == pid]
                after = [line for line in after if "resumed>" not in line]
                self.assertRegex(after[1], rf'^{pid} +execve\("[^"]*/true", ')

    @unittest.skipUnless(X86_64, "needs x86_64, for whose programs the list is")
    def test_smallest_profile(self) -> None:
        """What tests/programs/call.c needs is enough, and all else deadly."""
        for enricher in ("none", "tracepoint"):
            self.write("SCMP_ACT_KILL_PROCESS", [{"names": OWN_CALLS, "action": "SCMP_ACT_ALLOW"}])
            self.assertEqual(self.call(call_line("n", 39), enricher=enricher)[0][:2], "= ")

    def test_execve_is_blocked(self) -> None:
        for default, rules in (("SCMP_ACT_ALLOW", ["execve"]), ("SCMP_ACT_ERRNO", []), ("SCMP_ACT_KILL_PROCESS", [])):
            for enricher in ("none", "tracepoint"):
                with self.subTest(default=default, enricher=enricher):
                    self.write(default, [{"names": rules, "action": "SCMP_ACT_ERRNO"}] if rules else [])
                    stderr = self.run_it("true", options=("--enricher", enricher), code=126).stderr
                    self.assertRegex(stderr, r"Error: start command: true: [^\n]*execve; -b execve [^\n]*\n$")

    def test_execve_is_blocked_for_its_arguments(self) -> None:
        """That shows only when it is tried, whatever the answer; a filter that kills leaves no more than the signal."""
        for number in (errno.EPERM, errno.EXDEV, errno.EAGAIN, errno.EINVAL, errno.ENOMEM, errno.EMFILE, errno.ENFILE):
            with self.subTest(number):
                self.block("execve", args=[{"index": 3, "value": 77, "op": "SCMP_CMP_NE"}], errnoRet=number)
                stderr = self.run_it("true", options=("--enricher", "none"), code=126).stderr
                self.assertRegex(stderr, rf"Error: start command: true: {os.strerror(number)}; if the profile blocks "
                                         r"execve, -b execve allows it\n$")

    def test_execve_is_allowed_for_its_arguments(self) -> None:
        """A rule that may stop it, or that alone lets it pass, is no reason not to try."""
        for value, code in ((0, 126), (77, 0)):
            self.block("execve", args=[{"index": 3, "value": value, "op": "SCMP_CMP_EQ"}])
            self.run_it("true", options=("--enricher", "none"), code=code)
            others = [{"names": [name for name in OWN_CALLS if name != "execve"], "action": "SCMP_ACT_ALLOW"}]
            self.write("SCMP_ACT_ERRNO", [*others, {"names": ["execve"], "action": "SCMP_ACT_ALLOW", "args": [
                {"index": 3, "value": value, "op": "SCMP_CMP_EQ"}]}])
            stderr = self.run_it(build("call.c", "-static"), options=("--enricher", "none"), code=126 - code).stderr
            self.assertNotIn("the profile answers", stderr)

    def test_base_syscalls_allow_execve(self) -> None:
        self.write("SCMP_ACT_ERRNO", [{"names": [name for name in OWN_CALLS if name != "execve"],
                                       "action": "SCMP_ACT_ALLOW"}])
        self.run_it(build("deny.c", "-static"), options=("-b", "execve"))

    def status(self, *options: str, before: Sequence[str] = (), env: "Dict[str, str] | None" = None) -> Dict[str, str]:
        """/proc/self/status of the command, and its ids."""
        folder = self.folder / "copy"  # that any user may read
        folder.mkdir(exist_ok=True)
        shutil.copy(SPOC, folder)
        shutil.copy(SPOC.parent / "bpf" / "recorder.bpf.o", folder)
        self.block("uname")
        self.profile.chmod(0o644)
        result = subprocess.run([*before, sys.executable, str(folder / "spoc.py"), "run", "-q", "-p", str(self.profile),
                                 *options, "--", "cat", "/proc/self/status"], stdin=subprocess.DEVNULL, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=WAIT_S, cwd="/", env=env)
        self.assertEqual(result.returncode, 0, result.stderr)
        return dict(line.split(":\t", 1) for line in result.stdout.splitlines() if ":\t" in line)

    def test_no_new_privs(self) -> None:
        """Only where the caller could not load the filter without it, or asks."""
        require_command("setpriv")
        nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
        for options, before, expected in (((), (), "0"), (("--no-new-privs",), (), "1"), ((), nobody, "1")):
            with self.subTest(options=options, before=before):
                status = self.status("--enricher", "none", *options, before=before)
                self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), (expected, "2"))

    def test_sudo(self) -> None:
        """As who called sudo: no capability is left, and the filter needed no no_new_privs."""
        for enricher in ("none", "tracepoint"):
            for options, expected in (((), "0"), (("--no-new-privs",), "1")):
                with self.subTest(enricher=enricher, options=options):
                    status = self.status("--enricher", enricher, *options,
                                         env={**os.environ, "SUDO_UID": "65534", "SUDO_GID": "65534"})
                    self.assertEqual((status["Uid"].split(), status["Gid"].split(), status["Groups"].split()),
                                     (["65534"] * 4, ["65534"] * 4, ["65534"]))
                    self.assertEqual({status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")}, {"0" * 16})
                    self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), (expected, "2"))
        status = self.status("--privileged", env={**os.environ, "SUDO_UID": "65534", "SUDO_GID": "65534"})
        self.assertEqual((status["Uid"].split(), status["Seccomp"]), (["0"] * 4, "2"))
        self.assertNotEqual(status["CapEff"], "0" * 16)

    def test_rules_for_capabilities_are_for_those_of_the_command(self) -> None:
        """Under sudo it has none, whatever spoc.py has."""
        unprivileged: Dict[str, Any] = {"names": ["uname"], "action": "SCMP_ACT_ERRNO",
                                        "excludes": {"caps": ["CAP_SYS_ADMIN"]}}
        privileged = {**unprivileged, "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}}
        del privileged["excludes"]
        other: Dict[str, str] = {"SUDO_UID": "65534", "SUDO_GID": "65534"}
        needed: Dict[str, Any] = {"names": [name for name in OWN_CALLS if name != "uname"], "action": "SCMP_ACT_ALLOW"}
        for default, rules in (("SCMP_ACT_ALLOW", [unprivileged]), ("SCMP_ACT_ERRNO", [needed, privileged])):
            self.write(default, rules)
            self.profile.chmod(0o644)
            for is_other, options, code in ((False, (), 0), (True, (), 2), (True, ("--privileged",), 0)):
                with self.subTest(default=default, is_other=is_other, options=options):
                    self.run_it(build("deny.c", "-static"), options=("--enricher", "none", *options), code=code,
                                env={**os.environ, **(other if is_other else {})}, cwd="/")

    def both(self, *command: str, **run: Any) -> List[str]:
        """What the command prints on its own, and under a profile that stops nothing, seen by tracepoints or not."""
        self.block("kcmp")
        outputs = []
        run.setdefault("stdin", subprocess.DEVNULL)
        for arguments in (command, *(self.arguments(*command, options=("-q", "--enricher", enricher))
                                     for enricher in ("none", "tracepoint"))):
            result = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                    timeout=WAIT_S, **run)
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            outputs.append(result.stdout)
        self.assertTrue(outputs[0])
        return outputs

    def assert_same(self, *command: str, **run: Any) -> None:
        first, *others = self.both(*command, **run)
        for other in others:
            self.assertEqual(other, first)

    def test_environment(self) -> None:
        self.assert_same("env", "-0", env={"A": "1", "B": "two\nlines", "PATH": os.environ["PATH"], "LC_ALL": "C"})
        self.assert_same("/usr/bin/env", "-0", env={"ONLY": "this"})

    def test_descriptors(self) -> None:
        with open(self.folder / "inherited", "w+") as file:
            file.write("what the file holds")
            file.flush()
            script = (f"ls -l /proc/self/fd | grep -v /proc | sed 's/.* \\([0-9]* -> \\)/\\1/; s/pipe:.*/pipe/'; "
                      f"cat <&{file.fileno()}; exec sed -n 1p /proc/self/fd/{file.fileno()}")
            self.assert_same("sh", "-c", script, pass_fds=[file.fileno()])

    def test_signals(self) -> None:
        """Masks and dispositions; and those that arrive are passed on."""
        def prepare() -> None:
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2, signal.SIGWINCH])

        # SigQ counts what is pending for all processes of the user.
        self.assert_same("grep", "^Sig[^Q]", "/proc/self/status", preexec_fn=prepare)
        self.write()
        program = "trap 'echo stopped; exit 7' TERM; echo ready; while :; do sleep 0.1; done"
        for enricher in ("none", "tracepoint"):
            with subprocess.Popen(self.arguments("sh", "-c", program, options=("-q", "--enricher", enricher)),
                                  text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE) as process:
                assert process.stdout is not None
                self.assertEqual(process.stdout.readline(), "ready\n")
                process.terminate()
                stdout, stderr = process.communicate(timeout=WAIT_S)
            self.assertEqual((process.returncode, stdout), (7, "stopped\n"), stderr)

    def test_arguments_folder_limits(self) -> None:
        self.assert_same("printf", "%s\\n", "-x", "--", "", "a b", "\u00e9", "'\"\\")
        self.assert_same("sh", "-c", "pwd; umask; ulimit -a; cat /proc/self/cgroup", cwd=self.folder, umask=0o137)

    def test_profile_from_standard_input(self) -> None:
        """Which the command then finds at its end."""
        result = spoc("run", "-q", "-p", "-", "--", build("deny.c", "-static"), stdin=None, input=json.dumps(
            {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["uname"], "action": "SCMP_ACT_ERRNO"}]}))
        self.assertEqual(result.returncode, 2, result.stderr)
        self.assertEqual(len(self.denials(result.stderr)), 1)

    def test_terminal(self) -> None:
        """The command has it: its size, its foreground, its interrupt key."""
        self.write()
        pid, master = pty.fork()
        if not pid:
            try:
                arguments = self.arguments("sh", "-c", "tty -s && stty size && echo ready && cat", options=("-q",))
                os.execv(arguments[0], arguments)
            finally:
                os._exit(1)
        data = b""
        try:
            while b"ready" not in data:
                self.assertTrue(select.select([master], [], [], WAIT_S)[0], data)
                data += os.read(master, 4096)
            os.write(master, b"hello\n")
            while data.count(b"hello\r\n") < 2:
                self.assertTrue(select.select([master], [], [], WAIT_S)[0], data)
                data += os.read(master, 4096)
            os.write(master, b"\x03")
            with contextlib.suppress(OSError):
                while select.select([master], [], [], WAIT_S)[0]:
                    data += os.read(master, 4096)
        finally:
            os.close(master)
            _, status = os.waitpid(pid, 0)
        self.assertEqual(os.WEXITSTATUS(status), 128 + signal.SIGINT, data)


@unittest.skipUnless(X86_64, "needs x86_64, whose syscall numbers are here")
class Events(RunCase):
    """--events: JSON, a line for each."""

    KEYS: Dict[str, Any] = {"time": (int, float), "pid": int, "tgid": int, "comm": str, "exe": str, "arch": str,
                            "number": int, "name": str, "action": str, "errno": str, "filter": str, "guess": bool,
                            "count": int}

    def setUp(self) -> None:
        super().setUp()
        self.block("uname")
        self.file = self.folder / "events"
        self.program = build("deny.c", "-static")

    def events(self, text: str) -> List[Dict[str, Any]]:
        events = [json.loads(line) for line in text.splitlines()]
        for event in events:
            self.assertEqual(list(event), list(self.KEYS))
            for key, kind in self.KEYS.items():
                self.assertIsInstance(event[key], kind, key)
        return events

    def test_each(self) -> None:
        started_s = time.time()
        result = self.run_it(self.program, "child", "1000", options=("--events", str(self.file)))
        events = self.events(self.file.read_text())
        self.assertEqual(sum(event["count"] for event in events), 1000)
        for event in events:
            self.assertEqual({key: event[key] for key in self.KEYS if key not in (
                "time", "pid", "tgid", "exe", "count")}, {
                "comm": "deny.c-static", "arch": "SCMP_ARCH_X86_64", "number": 63, "name": "uname",
                "action": "SCMP_ACT_ERRNO", "errno": "EPERM", "filter": "profile", "guess": False})
            self.assertEqual(f"child {event['tgid']}\n", result.stdout)
            self.assertEqual(event["pid"], event["tgid"])
            self.assertTrue(started_s <= event["time"] <= time.time())

    def test_sums_equal_counts(self) -> None:
        self.write(rules=[{"names": ["uname"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
                          {"names": ["wait4"], "action": "SCMP_ACT_LOG"}],
                   architectures=["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"])
        compat = build("deny.c", "-m32", "-static")
        script = f"for i in 1 2 3; do {self.program} child 20; {compat} crowd 5; {self.program} thread 4; done; uname"
        result = self.run_it("sh", "-c", script, options=("--events", str(self.file)), code=1)
        counts: Dict[Tuple[str, str, str, str], int] = {}
        for event in self.events(self.file.read_text()):
            key = (event["name"], event["arch"], event["action"], event["errno"])
            counts[key] = counts.get(key, 0) + event["count"]
        self.assertEqual(counts["uname", "SCMP_ARCH_X86_64", "SCMP_ACT_ERRNO", "ENOSYS"], 3 * 24 + 1)
        self.assertEqual(counts["uname", "SCMP_ARCH_X86", "SCMP_ACT_ERRNO", "ENOSYS"], 3 * 80)
        summed = [int(times) for times in re.findall(r", (\d+) times?, by: ", result.stderr)]
        self.assertEqual(sorted(summed), sorted(counts.values()))

    def test_thread(self) -> None:
        result = self.run_it(self.program, "thread", options=("--events", str(self.file)))
        event = self.events(self.file.read_text())[0]
        self.assertEqual(f"thread {event['tgid']}\n", result.stdout)
        self.assertNotEqual(event["pid"], event["tgid"])

    def test_standard_output(self) -> None:
        result = self.run_it(self.program, options=("-q", "--events", "-"), code=2)
        own = [line for line in result.stdout.splitlines() if not line.startswith("{")]
        self.assertEqual(len(own), 1)
        self.assertEqual(len(self.events("\n".join(line for line in result.stdout.splitlines() if line not in own))), 1)

    def test_nothing_blocked(self) -> None:
        self.file.write_text("old")
        self.run_it("true", options=("--events", str(self.file)))
        self.assertEqual(self.file.read_text(), "")

    def test_at_once(self) -> None:
        """The line is in the file while the program goes on."""
        with subprocess.Popen(self.arguments(self.program, "pause", options=("--events", str(self.file))), text=True,
                              stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            deadline_s = time.monotonic() + WAIT_S
            while not self.file.exists() or not self.file.read_text().endswith("\n"):
                self.assertLess(time.monotonic(), deadline_s)
                time.sleep(0.02)
            self.assertIsNone(process.poll())
            process.communicate("x", timeout=WAIT_S)

    def test_fifo(self) -> None:
        os.mkfifo(self.file)
        reader = os.open(self.file, os.O_RDONLY | os.O_NONBLOCK)
        try:
            self.run_it(self.program, options=("--events", str(self.file)), code=2)
            self.assertEqual(len(self.events(os.read(reader, 1 << 16).decode())), 1)
        finally:
            os.close(reader)
        self.assertRegex(self.run_it(self.program, options=("--events", str(self.file)), code=125).stderr,
                         r"Error: write events: [^\n]*\n$")

    def test_fifo_whose_reader_goes(self) -> None:
        os.mkfifo(self.file)
        reader = os.open(self.file, os.O_RDONLY | os.O_NONBLOCK)
        with subprocess.Popen(self.arguments("sh", "-c", f"echo; read x; {self.program}", options=(
                "--events", str(self.file))), text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            os.close(reader)
            _, stderr = process.communicate("x\n", timeout=WAIT_S)
        self.assertEqual(process.returncode, 125, stderr)
        self.assertIn("events could not be written", stderr)
        self.assertEqual(len(self.denials(stderr)), 1)

    def test_full_disk(self) -> None:
        """Python 3.13 shows what fails when a file object goes away, and others do in development mode."""
        result = self.run_it(self.program, options=("--events", "/dev/full"), code=125,
                             env={**os.environ, "PYTHONDEVMODE": "1"})
        self.assertIn("Error: ", result.stderr)
        self.assertEqual([line for line in result.stderr.splitlines() if "Exception" in line or "Warning" in line], [])
        self.assertIn("events could not be written: No space left on device", result.stderr)
        self.assertEqual(len(self.denials(result.stderr)), 1)

    def test_symlink(self) -> None:
        """Someone else's link in /tmp must not have root write to its target."""
        target = self.folder / "target"
        target.write_text("untouched")
        self.file.symlink_to(target)
        self.assertRegex(self.run_it(self.program, options=("--events", str(self.file)), code=125).stderr,
                         r"Error: write events: [^\n]*\n$")
        self.assertEqual(target.read_text(), "untouched")

    def test_file_that_is_not_ours_alone(self) -> None:
        """One that has another name as well, or another owner, is not emptied: somebody may have laid it there."""
        def refused(**variables: str) -> None:
            result = self.run_it("true", options=("--events", str(self.file)), code=125,
                                 env={**os.environ, **variables})
            self.assertIn("it is another user's, or has several names", result.stderr)
            self.assertEqual(self.file.read_text(), "precious\n")

        self.file.write_text("precious\n")
        os.link(self.file, self.folder / "another name")
        refused()
        (self.folder / "another name").unlink()
        os.chown(self.file, 1234, -1)
        refused()
        refused(SUDO_UID="65534", SUDO_GID="65534")
        for owner in (0, 65534):
            os.chown(self.file, owner, -1)
            self.file.write_text("old\n")
            self.run_it("true", options=("--events", str(self.file)),
                        env={**os.environ, "SUDO_UID": str(owner), "SUDO_GID": str(owner)})
            self.assertEqual(self.file.read_text(), "")

    def test_no_place_for_it(self) -> None:
        for path in (self.folder, self.folder / "nowhere" / "events"):
            self.assertRegex(self.run_it("touch", str(self.folder / "started"), options=("--events", str(path)),
                                         code=125).stderr, r"Error: write events: [^\n]*\n$")
        self.assertFalse((self.folder / "started").exists())

    def test_belongs_to_who_called_sudo(self) -> None:
        """Where that user can have files, not in another's folder."""
        for owner, mode, given in ((65534, 0o755, 65534), (0, 0o1777, 65534), (0, 0o755, 0)):
            folder = self.file.parent
            os.chown(folder, owner, -1)
            folder.chmod(mode)
            self.run_it("true", options=("--events", str(self.file)),
                        env={**os.environ, "SUDO_UID": "65534", "SUDO_GID": "65534"})
            status = self.file.stat()
            self.assertEqual((status.st_uid, status.st_gid, status.st_mode & 0o777), (given, given, 0o644))
            self.file.unlink()


@unittest.skipUnless(X86_64, "needs x86_64, whose syscall numbers are here")
class Story(RunCase):
    """A program is recorded, and one call taken out of its profile."""

    LINE = r"uname \(63\), action: %s, pid: \d+, comm: deny\.c-static"

    def recorded(self, kind: str) -> str:
        self.profile = self.folder / ("profile.json" if kind == "raw-seccomp" else "profile.yaml")
        result = spoc("record", "-t", kind, "-o", str(self.profile), build("deny.c", "-static"))
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("uname", self.profile.read_text())
        self.assertEqual(self.denials(self.run_it(build("deny.c", "-static")).stderr), [])
        return self.profile.read_text()

    def assert_blocked(self) -> None:
        result = self.run_it(build("deny.c", "-static"), code=2)
        self.assertRegex("\n".join(self.denials(result.stderr)), "^" + self.LINE % r"SCMP_ACT_ERRNO \(EPERM\)" + "$")
        self.assertRegex(result.stderr, "Unable to run: launch runner: wait for command: exit status 2\n$")

    def remove_with_jq(self) -> None:
        self.edit_with_jq('del(.syscalls[].names[] | select(. == "uname"))')

    def edit_with_jq(self, expression: str) -> None:
        self.profile.write_text(subprocess.run(["jq", expression, str(self.profile)], stdout=subprocess.PIPE, text=True,
                                               check=True).stdout)

    def test_json(self) -> None:
        require_command("jq")
        self.recorded("raw-seccomp")
        self.remove_with_jq()
        self.assert_blocked()
        self.run_it(build("deny.c", "-static"), options=("-b", "uname"))

    def test_yaml(self) -> None:
        self.recorded("seccomp")
        subprocess.run(["sed", "-i", "/^ *- uname$/d", str(self.profile)], check=True)
        self.assert_blocked()
        self.run_it(build("deny.c", "-static"), options=("-b", "uname"))

    def test_log(self) -> None:
        require_command("jq")
        self.recorded("raw-seccomp")
        self.remove_with_jq()
        self.edit_with_jq('.syscalls += [{"names": ["uname"], "action": "SCMP_ACT_LOG"}]')
        result = self.run_it(build("deny.c", "-static"))
        self.assertRegex("\n".join(self.denials(result.stderr)), "^" + self.LINE % "SCMP_ACT_LOG" + "$")

    def test_learn(self) -> None:
        """The profile is whole again, and nothing was blocked meanwhile."""
        for kind in ("seccomp", "raw-seccomp"):
            with self.subTest(kind=kind):
                whole = self.recorded(kind)
                if kind == "seccomp":
                    subprocess.run(["sed", "-i", "/^ *- uname$/d", str(self.profile)], check=True)
                else:
                    self.remove_with_jq()
                learned = self.folder / "learned"
                result = self.run_it(build("deny.c", "-static"), options=("--learn", str(learned)))
                self.assertIn("Learned syscalls: uname", result.stderr)
                self.assertEqual(learned.read_text(), whole)
                self.profile = learned
                self.assertEqual(self.denials(self.run_it(build("deny.c", "-static")).stderr), [])
                learned.unlink()


class Learned(RunCase):
    """What --learn makes of profiles that are not those of record."""

    def learn(self, *command: str, code: int = 0) -> str:
        return str(self.run_it(*command, options=("--learn", str(self.profile)), code=code).stderr)

    def test_another_architecture(self) -> None:
        """Every call of a 32-bit program, wherever the profile lists architectures."""
        rules = [{"names": OWN_CALLS, "action": "SCMP_ACT_ALLOW"}]
        program = build("deny.c", "-static", "-m32")
        listed: List[Any] = [{"architectures": ["SCMP_ARCH_X86_64"]},
                             {"archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": []}]},
                             {"archMap": [{"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": []}]},
                             {"archMap": [], "architectures": ["SCMP_ARCH_X86_64"]}]
        for keys in listed:
            with self.subTest(keys=keys):
                self.write("SCMP_ACT_ERRNO", rules, **keys)
                self.assertNotIn("own filter", self.learn(program))
                self.assertEqual(self.denials(self.run_it(program, options=("--enricher", "notify")).stderr), [])

    def test_every_process_of_another_architecture_is_named_so(self) -> None:
        self.write(architectures=["SCMP_ARCH_X86_64"])
        program = build("deny.c", "-static", "-m32")
        stderr = self.run_it("sh", "-c", '"$0"; "$0"; true', program, options=("--enricher", "tracepoint")).stderr
        self.assertTrue(self.denials(stderr))
        self.assertNotIn("own filter", stderr)

    def test_target_is_a_link_to_nowhere(self) -> None:
        self.write(rules=[{"names": ["uname"], "action": "SCMP_ACT_ERRNO"}])
        target = self.folder / "link.json"
        target.symlink_to("/nonexistent/profile.json")
        self.run_it("uname", options=("--force", "--learn", str(target)))
        self.assertFalse(target.is_symlink())
        self.assertEqual(json.loads(target.read_text())["syscalls"], [])

    def test_what_is_logged_by_default_outlives_spoc(self) -> None:
        self.write("SCMP_ACT_LOG")
        late = self.folder / "late"
        stderr = self.run_it("sh", "-c", '(exec >/dev/null 2>&1; sleep 1; date > "$0") & exit 0', str(late),
                             options=("--enricher", "notify")).stderr
        self.assertIn("Not named under notify", stderr)
        deadline_s = time.monotonic() + WAIT_S
        while not (late.exists() and late.read_text()) and time.monotonic() < deadline_s:
            time.sleep(0.1)
        self.assertTrue(late.read_text())

    def test_numbers_that_have_no_name(self) -> None:
        """They cannot be learned: the profile is not all, and the run fails."""
        self.write("SCMP_ACT_ERRNO", [{"names": OWN_CALLS, "action": "SCMP_ACT_ALLOW"}])
        stderr = self.learn(build("numbers.c", "-static"), "1000", "1", code=125)
        self.assertRegex(stderr, r"Error: the profile is incomplete: libseccomp knows no name for the syscalls 1000 ")
        stderr = self.learn(build("numbers.c", "-static"), "5000", "1", code=125)
        self.assertRegex(stderr, r"Error: the profile is incomplete: no kernel has the syscalls 5000 ")

    def test_place_that_the_command_takes_away(self) -> None:
        """What was learned goes to standard error, and the run fails."""
        self.write(rules=[{"names": ["uname"], "action": "SCMP_ACT_ERRNO"}])
        folder = self.folder / "away"
        folder.mkdir()
        stderr = self.run_it("sh", "-c", f"uname; rmdir {folder}", code=125,
                             options=("--force", "--learn", str(folder / "learned"))).stderr
        self.assertRegex(stderr, rf"Error: write profile: {folder}/learned: ")
        self.assertNotIn("Wrote seccomp profile", stderr)
        self.assertEqual(json.loads(stderr[stderr.index("{"):])["syscalls"], [])

    def test_several_documents_stay(self) -> None:
        text = "".join("---\napiVersion: security-profiles-operator.x-k8s.io/v1beta1\nkind: SeccompProfile\nmetadata:\n"
                       f"  name: {name}\nspec:\n  defaultAction: SCMP_ACT_ALLOW\n" for name in ("one", "two"))
        self.profile.write_text(text)
        result = spoc("run", "-p", f"{self.profile}#one", "--learn", str(self.profile), "true")
        self.assertEqual(result.returncode, 2, result.stderr)
        self.assertIn("several documents", result.stderr)
        self.assertEqual(self.profile.read_text(), text)


@unittest.skipUnless(X86_64, "needs x86_64, whose syscall numbers are here")
class LearnedArguments(RunCase):
    """--learn allows what was seen and no more, and names what it leaves out: under what it wrote nothing else of the
    same calls is stopped, and calls that it has not seen are answered as before. The kernel is the judge.
    """

    SOCKET, SOCKETCALL = 41, 102
    AF_ALG, AF_VSOCK = 38, 40
    STOPPED = "! 133"  # EHWPOISON, which no call here gives by itself

    def write_rules(self, default: str, *rules: Tuple[str, str, Sequence[Tuple[Any, ...]]], **keys: Any) -> None:
        """Rules as (action without its prefix, name, conditions (index, operator, value, value two))."""
        documents: List[Dict[str, Any]] = []
        if default != "ALLOW":
            documents.append({"names": OWN_CALLS, "action": "SCMP_ACT_ALLOW"})
        for action, name, conditions in rules:
            documents.append({"names": [name], "action": f"SCMP_ACT_{action}"})
            if action == "ERRNO":
                documents[-1]["errnoRet"] = 133
            if conditions:
                documents[-1]["args"] = [
                    {"index": index, "op": f"SCMP_CMP_{op}", "value": value, "valueTwo": more[0] if more else 0}
                    for index, op, value, *more in conditions]
        if default == "ERRNO":
            keys["defaultErrnoRet"] = 133
        self.write(f"SCMP_ACT_{default}", documents, **keys)

    def learn(self, *lines: str, options: Sequence[str] = (), code: int = 0) -> str:
        """Learn these calls of tests/programs/call.c; what was said, without times. Old rules are still there."""
        before = json.loads(self.profile.read_text())
        calls = self.folder / "seen"
        calls.write_text("".join(line + "\n" for line in lines))
        with open(calls) as stream:
            result = self.run_it(build("call.c", "-static"), stdin=stream, code=code,
                                 options=("--learn", str(self.profile), *options))
        self.assertNotIn(self.STOPPED, result.stdout)
        after = json.loads(self.profile.read_text())
        if "--force" not in options:
            left = iter(after["syscalls"])
            for rule in before["syscalls"]:  # each in its place, at most with more names
                self.assertTrue(any({**other, "names": rule["names"]} == rule and set(rule["names"]) <= set(
                    other["names"]) for other in left), (rule, after))
        return re.sub(r"(?m)^[0-9:.]{15} ", "", result.stderr)

    def left(self, stderr: str) -> List[str]:
        return re.findall(r"^Error: learn: (.*); --force takes that away$", stderr, re.MULTILINE)

    def check(self, seen: Sequence[str], others: Sequence[str], left: Sequence[str] = (), options: Sequence[str] = (),
              ) -> None:
        """Learn what was seen: of it only the calls behind those that are left out are stopped, named so and counted;
        others are answered as they were before.
        """
        before = self.call(*others)
        stderr = self.learn(*seen, options=options, code=125 if left else 0)
        self.assertEqual(self.left(stderr), list(left))
        stopped = self.call(*seen).count(self.STOPPED)
        self.assertEqual(stopped, len(left), stderr)
        self.assertEqual(self.call(*others), before)

    def test_one_call_against_dockers_default(self) -> None:
        document = json.loads((DATA / "docker-default.json").read_text())
        self.profile.write_text(json.dumps({**document, "defaultErrnoRet": 133}))
        socket_line = [call_line("n", self.SOCKET, [family, 5]) for family in range(50)]
        self.assertEqual([index for index, answer in enumerate(self.call(*socket_line)) if answer == self.STOPPED],
                         [self.AF_ALG, self.AF_VSOCK])
        self.check([socket_line[self.AF_ALG]], [line for line in socket_line if line != socket_line[self.AF_ALG]])
        written = json.loads(self.profile.read_text())["syscalls"]
        self.assertEqual([rule for rule in written if rule not in document["syscalls"]], [
            {"names": ["socket"], "action": "SCMP_ACT_ALLOW",
             "args": [{"index": 0, "op": "SCMP_CMP_MASKED_EQ", "value": 0xFFFFFFFF, "valueTwo": self.AF_ALG}]}])

    def test_denied_by_a_rule(self) -> None:
        for action in ("ALLOW", "LOG"):
            self.write_rules(action, ("ERRNO", "socket", [(0, "EQ", self.AF_ALG)]), ("ERRNO", "getuid", []))
            seen = [call_line("n", self.SOCKET, [self.AF_ALG]), call_line("n", FREE["getuid"])]
            others = [call_line("n", self.SOCKET, [family, 1 << 20]) for family in (1, 37, 39)]
            self.check(seen, others, [
                "getuid: the rule that answers SCMP_ACT_ERRNO (133) would have to go",
                "socket: the rule that answers SCMP_ACT_ERRNO (133) if args[0] == 38 would have to go"])
            stderr = self.learn(*seen, options=["--force"])
            self.assertIn("Learned syscalls: getuid, socket\n", stderr)
            self.assertNotIn(self.STOPPED, self.call(*seen, *others))

    def test_what_the_default_denies_is_denied_by_a_rule_that_says_so_too(self) -> None:
        self.write_rules("ERRNO", ("ERRNO", "getuid", []), ("ERRNO", "getgid", [(1, "EQ", 5)]))
        self.check([call_line("n", FREE["getuid"]), call_line("n", FREE["getgid"], [0, 5]),
                    call_line("n", FREE["getgid"], [0, 6])], [call_line("n", FREE["getgid"], [0, 4])], [
            "getgid: the rule that answers SCMP_ACT_ERRNO (133) if args[1] == 5 would have to go",
            "getuid: the rule that answers SCMP_ACT_ERRNO (133) would have to go"])

    def test_conditions(self) -> None:
        """Of several arguments, masked, for inequality, of 64 bits, beside a rule that denies, or one that logs."""
        high = 1 << 63 | 5
        self.write_rules(
            "ERRNO",
            ("ALLOW", "sched_yield", [(0, "EQ", 1), (3, "EQ", 2)]), ("ALLOW", "sched_yield", [(5, "EQ", 3)]),
            ("ALLOW", "getuid", [(1, "MASKED_EQ", 0xF0, 0x10)]), ("ALLOW", "getgid", [(2, "NE", high)]),
            ("ALLOW", "geteuid", [(0, "LT", 10)]), ("KILL_PROCESS", "geteuid", [(0, "EQ", 1 << 32)]),
            ("LOG", "getegid", [(1, "EQ", 5)]), ("ALLOW", "lseek", [(2, "EQ", 0)]),
            ("ALLOW", "socket", [(0, "EQ", 2)]), ("KILL_PROCESS", "socket", [(0, "EQ", MAX_64)]))
        seen = [call_line("n", FREE["sched_yield"], [1, 9, 9, 4, 9, 4]),
                call_line("n", FREE["sched_yield"], [7, 0, 0, 2, 0, 8]),
                call_line("n", FREE["getuid"], [9, 0x25]), call_line("n", FREE["getgid"], [9, 9, high]),
                call_line("n", FREE["geteuid"], [1 << 31]), call_line("n", FREE["getegid"], [0, 1 << 32 | 5]),
                call_line("n", FREE["gettid"], [3]), call_line("n", 8, [99, 0, 77]),
                call_line("n", self.SOCKET, [self.AF_ALG, 1 << 20])]
        others = [call_line("n", FREE["sched_yield"], arguments) for arguments in (
            [1, 0, 0, 4, 0, 8], [7, 0, 0, 4, 0, 4], [7, 0, 0, 2, 0, 4], [1 << 32 | 1, 0, 0, 4, 0, 4], [1, 0, 0, 2],
            [0, 0, 0, 0, 0, 3])] + [
            call_line("n", FREE["getuid"], [0, value]) for value in (0x24, 0x26, 0x10, 0x20, 1 << 32 | 0x25)] + [
            call_line("n", FREE["getgid"], [0, 0, 5])] + [
            call_line("n", FREE["geteuid"], [value]) for value in (9, 10, (1 << 31) - 1, (1 << 31) + 1)] + [
            call_line("n", FREE["getegid"], [0, value]) for value in (5, 6, 1 << 33 | 5)] + [
            call_line("n", 8, [99, 0, value]) for value in (0, 1, 76, 1 << 32 | 1)] + [
            call_line("n", self.SOCKET, [family, 1 << 20]) for family in (2, 37, 39, 1 << 32 | 38)]
        killed = [call_line("nf", FREE["geteuid"], [1 << 32]), call_line("nf", self.SOCKET, [MAX_64])]
        self.check(seen, others + killed)
        self.assertEqual(self.call(*killed), ["killed 31"] * 2)
        # The kernel takes lseek's as 32 bits; libcs differ in what they leave in the upper half.
        self.assertEqual(self.call(call_line("n", 8, [99, 0, 1 << 32 | 77])), ["! 9"])
        again = self.profile.read_text()
        self.assertIn("Learned syscalls: none\n", self.learn(*seen))
        self.assertEqual(self.profile.read_text(), again)

    def test_too_many_values(self) -> None:
        self.write_rules("ERRNO", ("ALLOW", "getuid", [(0, "EQ", 0)]), ("ALLOW", "getgid", [(0, "EQ", 0)]))
        of_64 = [call_line("n", FREE["getgid"], [value]) for value in range(1, 65)]
        of_65 = [call_line("n", FREE["getuid"], [value]) for value in range(1, 66)]
        stderr = self.learn(*of_64, *of_65, code=125)
        self.assertEqual(self.left(stderr), ["getuid: its conditions would have to go"])
        self.assertEqual(self.call(*of_64, *of_65).count(self.STOPPED), 65)
        self.learn(*of_65, options=["--force"])
        self.assertNotIn(self.STOPPED, self.call(*of_64, *of_65, call_line("n", FREE["getuid"], [1000])))

    def test_32_bit_calls(self) -> None:
        """socketcall(2) does what rules for other names say, and has its arguments in memory."""
        both = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
        called = {inner: call_line("i", self.SOCKETCALL, [inner]) for inner in (1, 2, 4, 9, 98, 99)}
        self.write_rules("ERRNO", ("ALLOW", "bind", []), ("ALLOW", "socketcall", [(0, "EQ", 4)]),
                         ("ALLOW", "getuid", [(0, "EQ", 1 << 32 | 1)]), architectures=both)
        self.check([called[1], called[2], called[4], called[99], call_line("i", FREE_32["getuid"], [7])],
                   [called[9], call_line("i", FREE_32["getuid"], [8]), call_line("n", FREE["getuid"], [8]),
                    called[98]])
        self.write_rules("ERRNO", architectures=both)
        self.check([called[4]], [called[1], called[99]])
        self.write_rules("ALLOW", ("ERRNO", "socket", [(0, "EQ", self.AF_ALG)]), architectures=both)
        self.check([called[1]], [called[2]], ["socket by socketcall: the rule that answers SCMP_ACT_ERRNO (133) "
                                              "if args[0] == 38 would have to go"])

    def test_conditions_that_socketcall_does_not_keep(self) -> None:
        """There libseccomp drops that on the first argument, and the others are not those of the call."""
        self.write_rules("ERRNO", ("KILL_PROCESS", "connect", [(0, "GE", 200), (2, "GE", 500)]),
                         architectures=["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"])
        connect = [call_line("n", 42, [99, 0, length]) for length in (7, 8)]
        by_socketcall = [call_line("i", self.SOCKETCALL, [3, 0, length]) for length in (7, 8)]
        self.check(connect[:1], [connect[1], *by_socketcall], ["connect: its conditions would have to go"])
        self.write_rules("ERRNO", ("KILL_PROCESS", "connect", [(0, "GE", 200), (2, "GE", 500)]))
        self.check(connect[:1], [connect[1]])

    def test_64_bits_beside_32(self) -> None:
        """For calls of 32 bits a filter compares the lower half alone: what they cannot hold is left out."""
        self.write_rules("ERRNO", ("ALLOW", "getuid", [(1, "EQ", 9)]), ("KILL_PROCESS", "getgid", [(1, "LT", 5)]),
                         architectures=["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"])
        seen = [call_line("n", FREE["getuid"], [0, 1 << 32]), call_line("n", FREE["getgid"], [0, 1 << 32])]
        minus = [call_line("n", FREE["getuid"], [0, MAX_64])]
        others = [call_line("i", FREE_32["getuid"], [0, value]) for value in (0, 9)] + [
            call_line("if", FREE_32["getgid"], [0, 0])]
        self.check(seen + minus, others, [
            "getgid: the rule that answers SCMP_ACT_KILL_PROCESS if args[1] < 5 would have to go",
            "getuid: its conditions would have to go"])

    def test_an_architecture_without_a_filter(self) -> None:
        """Rules that contradict each other within socketcall(2): nothing else is lost for that."""
        self.write_rules("ERRNO", ("ALLOW", "send", []), ("KILL_PROCESS", "socketcall", [(0, "EQ", 9)]),
                         architectures=["SCMP_ARCH_X86_64"])
        stderr = self.learn(call_line("n", FREE["getuid"]), call_line("i", FREE_32["getgid"]), code=125)
        self.assertIn("Learned syscalls: getuid\n", stderr)
        self.assertRegex(stderr, r"Error: learn: getgid: what has no filter \(\w+: .*\) would have to go")

    def test_an_architecture_is_all_that_is_missing(self) -> None:
        self.write_rules("ERRNO", ("ALLOW", "getuid", [(0, "EQ", 1)]), ("ERRNO", "getgid", []),
                         architectures=["SCMP_ARCH_X86_64"])
        seen = [call_line("i", FREE_32["getuid"], [1])]
        self.assertIn("Learned syscalls: architecture SCMP_ARCH_X86\n", self.learn(*seen))
        self.assertNotIn(self.STOPPED, self.call(*seen))
        self.assertEqual(self.call(call_line("i", FREE_32["getuid"], [2])), [self.STOPPED])

    def test_clone3_and_ioctl(self) -> None:
        """A clone3 that gets ENOSYS stays so; it is named as well."""
        clone3, ioctl = 435, 16
        self.write_rules("ERRNO", ("ALLOW", "ioctl", [(1, "EQ", 0x5401)]))
        document = json.loads(self.profile.read_text())
        document["syscalls"][0]["names"] = [name for name in OWN_CALLS if name != "clone3"]
        document["syscalls"].append({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38})
        self.profile.write_text(json.dumps(document))
        seen = [call_line("n", ioctl, [99, 0xFFFFFFFF80045430])]
        stderr = self.learn(*seen, call_line("n", clone3, [0, 0]), code=125)
        self.assertEqual(self.left(stderr), ["clone3: the rule that answers SCMP_ACT_ERRNO (ENOSYS) would have to go"])
        self.assertEqual(self.call(*seen, call_line("n", ioctl, [99, 0x80045430]), call_line("n", clone3, [0, 0]),
                                   call_line("n", ioctl, [99, 0x80045431])), ["! 9", "! 9", "! 38", self.STOPPED])

    def test_rules_for_other_machines(self) -> None:
        """What Docker's dialect denies, or binds to conditions, on another machine is not lifted for this one."""
        self.write_rules("ERRNO")
        document = json.loads(self.profile.read_text())
        elsewhere: Dict[str, Any] = {"includes": {"arches": ["s390x"]}}
        document["syscalls"] += [
            {"names": ["getuid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 99, **elsewhere},
            {"names": ["getgid"], "action": "SCMP_ACT_ALLOW", **elsewhere,
             "args": [{"index": 1, "op": "SCMP_CMP_EQ", "value": 4}]}]
        self.profile.write_text(json.dumps(document))
        self.check([call_line("n", FREE["getuid"]), call_line("n", FREE["getgid"], [0, 5])],
                   [call_line("n", FREE["getgid"], [0, 6])],
                   ["getuid: the rule that answers SCMP_ACT_ERRNO (EADDRNOTAVAIL) would have to go"])

    def test_base_profile(self) -> None:
        """Its rules are as good as the file's own."""
        base = self.folder / "base.json"
        base.write_text(json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
            {"names": ["getuid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 99},
            {"names": ["getgid"], "action": "SCMP_ACT_ALLOW",
             "args": [{"index": 0, "op": "SCMP_CMP_EQ", "value": 1}]}]}))
        self.write_rules("ERRNO")
        seen = [call_line("n", FREE["getuid"]), call_line("n", FREE["getgid"], [2])]
        stderr = self.learn(*seen, options=["--base-profile", str(base)], code=125)
        self.assertIn("Learned syscalls: getgid if args[0] == 2\n", stderr)
        self.assertEqual(self.left(stderr), [
            "getuid: the rule that answers SCMP_ACT_ERRNO (EADDRNOTAVAIL) would have to go"])

    def test_comments_stay(self) -> None:
        """In the Kubernetes object, which has no word for values from 2^63 on."""
        self.profile = self.folder / "profile.yaml"
        names = "".join(f"  - {name}\n" for name in OWN_CALLS)
        text = f"""\
apiVersion: security-profiles-operator.x-k8s.io/v1beta1
kind: SeccompProfile
metadata:
  name: commented   # by hand
spec:
  defaultAction: SCMP_ACT_ERRNO
  syscalls:
  # what it needs
  - action: SCMP_ACT_ALLOW
    names:
{names.replace("  - ", "    - ")}
  - action: SCMP_ACT_ALLOW   # carefully
    names:
    - getuid
    - getgid
    args:
    - {{index: 0, value: 1, op: SCMP_CMP_EQ}}
"""
        self.profile.write_text(text)
        calls = self.folder / "seen"
        calls.write_text("\n".join([call_line("n", FREE["getuid"], [2]), call_line("n", FREE["getgid"], [MAX_64]),
                                    call_line("n", FREE["gettid"])]) + "\n")
        with open(calls) as stream:
            result = self.run_it(build("call.c", "-static"), stdin=stream, code=125,
                                 options=("--learn", str(self.profile)))
        self.assertIn("Learned syscalls: gettid, getuid if args[0] == 2\n", result.stderr)
        self.assertIn("learn: getgid: its conditions would have to go;", result.stderr)
        after = self.profile.read_text()
        added = [line for line in after.splitlines() if line not in text.splitlines()]
        lines = iter(after.splitlines())
        self.assertTrue(all(line in lines for line in text.splitlines()), after)
        self.assertEqual(sorted(line.strip() for line in added), [
            "- gettid", "- getuid", "- index: 0", "op: SCMP_CMP_EQ", "value: 2"])
        self.assertEqual(self.call(call_line("n", FREE["getuid"], [2]), call_line("n", FREE["getgid"], [MAX_64])),
                         ["= 0", "! 1"])

    def test_hints_name_all_that_denies(self) -> None:
        self.write_rules("ALLOW", *(("ERRNO", "getuid", [(0, "EQ", value)]) for value in (1, 2)))
        answers = ", ".join(f"SCMP_ACT_ERRNO (133) if args[0] == {value}" for value in (1, 2))
        stderr = self.run_it("true", options=["-b", "getuid"]).stderr
        self.assertIn(f"-b getuid lifts the rules that answer {answers}\n", stderr)
        self.write_rules("ALLOW", *(("ERRNO", "getuid", [(0, "EQ", value)]) for value in range(7)))
        self.assertRegex(self.run_it("true", options=["-b", "getuid"]).stderr, r"== 3 and 3 more\n")

    def test_under_a_filter_of_others(self) -> None:
        """What that stops is not seen by notify, and --learn would call the profile complete."""
        self.write_rules("ALLOW", ("ERRNO", "getuid", [(0, "EQ", 1)]))
        started = [sys.executable, str(SPOC), "run", "-p", str(self.profile), "--enricher"]
        for command, told in (([*started, "notify", "--", "true"], False),
                              ([*started, "none", "--", *started, "notify", "--", "true"], True)):
            result = subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                    timeout=WAIT_S)
            self.assertEqual(result.stderr.count("spoc.py itself is under a seccomp filter"), told, result.stderr)

    def test_hints_say_what_they_lift(self) -> None:
        self.write_rules("ERRNO", ("ALLOW", "getuid", [(0, "EQ", 1)]), ("ERRNO", "getgid", []))
        (self.folder / "seen").write_text("\n".join(call_line("n", FREE[name]) for name in (
            "getuid", "getgid", "gettid")) + "\n")
        lifted = ("getgid lifts the rule that answers SCMP_ACT_ERRNO (133)", "getuid lifts its conditions")
        with open(self.folder / "seen") as stream:
            stderr = self.run_it(build("call.c", "-static"), stdin=stream).stderr
        self.assertIn(f"To allow what was blocked: run -b getgid,gettid,getuid (-b {lifted[0]}; -b {lifted[1]}); "
                      "to add it to a profile: run --learn FILE, and with --force what a rule denies\n", stderr)
        with open(self.folder / "seen") as stream:
            result = self.run_it(build("call.c", "-static"), stdin=stream, options=["-b", "getgid,gettid,getuid"])
        self.assertNotIn(self.STOPPED, result.stdout)
        self.assertEqual(re.findall("-b (.*lifts.*)", result.stderr), list(lifted))

    def test_force_alone(self) -> None:
        self.write()
        self.assertIn("--force", self.run_it("true", options=["--force"], code=2).stderr)


class Whole(RunCase):
    """Record, then run under what was recorded: nothing is blocked, and nothing changes in what is printed."""

    def assert_same(self, *command: str, before: Callable[[], None] = lambda: None, **run: Any) -> None:
        run.setdefault("stdin", subprocess.DEVNULL)
        outputs = []
        before()
        bare = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=WAIT_S, **run)
        outputs.append((bare.returncode, bare.stdout))
        before()
        recorded = spoc("record", "-n", "-t", "raw-seccomp", "-o", str(self.profile), "--", *command, **run)
        outputs.append((recorded.returncode, recorded.stdout))
        for enricher in ("tracepoint", "none"):
            before()
            result = spoc("run", "-p", str(self.profile), "-b", "execve", "--enricher", enricher, "--", *command, **run)
            self.assertNotIn("Seccomp", result.stderr)
            self.assertNotIn("Error", result.stderr)
            outputs.append((result.returncode, result.stdout))
        self.assertEqual(bare.returncode, 0, bare.stderr)
        for output in outputs[1:]:
            self.assertEqual(output, outputs[0])

    def test_pipes(self) -> None:
        self.assert_same("sh", "-c", "ls /usr/share | grep -v x | sort -r | head -n 20 | tr a-z A-Z; echo $(echo done)")

    def test_git(self) -> None:
        require_command("git")
        work = self.folder / "work"

        def before() -> None:
            shutil.rmtree(work, True)
            work.mkdir()

        script = """
            set -e
            cd work
            git init -q -b trunk one; cd one; echo text >file; git add file; git commit -q -m first; echo more >>file
            git commit -q -a -m second; git log --oneline --stat; git gc -q; git clone -q . ../two; git -C ../two log -p
            git -C ../two fsck
        """
        environment = {"PATH": os.environ["PATH"], "HOME": str(work), "LC_ALL": "C"}
        for who in ("AUTHOR", "COMMITTER"):
            environment.update({f"GIT_{who}_NAME": "n", f"GIT_{who}_EMAIL": "e",
                                f"GIT_{who}_DATE": "2001-01-01T00:00:00Z"})
        self.assert_same("sh", "-c", script, before=before, cwd=self.folder, env={**environment, "GIT_PAGER": "cat"})

    def test_go(self) -> None:
        require_command("go")
        program = str(self.folder / "goroutines")
        subprocess.run(["go", "build", "-o", program, str(PROGRAMS / "goroutines.go")], check=True, env={
            **os.environ, "GOCACHE": str(self.folder / "cache"), "GO111MODULE": "off", "GOFLAGS": ""})
        self.assert_same(program)


class Served(test_servers.ServerCase):
    """Servers that are recorded under load, then run under that profile and the same load."""

    # Whether a call is made is chance; it must not decide a test.
    CHANCE = ",".join(sorted({"execve", *test_servers.CHANCE}))

    @contextlib.contextmanager
    def running(self, port: int, ready: Callable[[int], bool], profile: str, *command: str) -> Iterator[Any]:
        """A server under the profile that is ready for its load; in the end it must have been stopped in nothing."""
        messages = self.folder / "run.messages"
        with open(messages, "wb") as stream:
            process = subprocess.Popen([sys.executable, str(SPOC), "run", "-p", profile, "-b", self.CHANCE,
                                        "--enricher", "tracepoint", "--", *command],
                                       stdin=subprocess.DEVNULL, stdout=stream, stderr=stream)
        try:
            deadline_s = time.monotonic() + WAIT_S
            while not ready(port):
                self.assertIsNone(process.poll(), messages.read_text("utf-8", "replace"))
                self.assertLess(time.monotonic(), deadline_s, messages.read_text("utf-8", "replace"))
                time.sleep(0.1)
            yield process
            self.assertEqual(process.wait(WAIT_S), 0, messages.read_text("utf-8", "replace"))
            self.assertNotRegex(messages.read_text("utf-8", "replace"), r"Seccomp|\bError: ")
            self.assertIn("Running command with PID", messages.read_text("utf-8", "replace"))
        finally:
            if process.poll() is None:
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(5)
                process.terminate()
                process.wait(WAIT_S)

    def assert_runs(self, command: Callable[[str, int], List[str]], load: Callable[[int, bool], None],
                    ready: Callable[[int], bool], stop: int = signal.SIGTERM) -> None:
        port = test_servers.free_port()
        with self.recorded(lambda: ready(port), *command("loaded", port)) as server:
            load(port, False)
            server.process.send_signal(stop)
        port = test_servers.free_port()
        with self.running(port, ready, str(server.profile), *command("run", port)) as process:
            load(port, True)
            process.send_signal(stop)


class ServedLoad(Served):
    """Takes a test of test_servers, with its command and its load, and runs what it records."""

    def assert_records(self, command: Callable[[str, int], List[str]], load: Callable[[int, bool], None],
                       must_hold: Set[str], ready: Callable[[int], bool] = test_servers.answers) -> None:
        self.assert_runs(command, load, ready)


class ServedRedis(ServedLoad, test_servers.Redis):
    pass


class ServedNginx(ServedLoad, test_servers.Nginx):
    pass


class ServedPostgres(ServedLoad, test_servers.Postgres):
    pass


class ServedPython(Served):
    def test_web_server(self) -> None:
        site = self.folder / "site"
        site.mkdir()
        for number in range(5):
            (site / f"page{number}").write_text(f"page {number}\n" * 10000)

        def command(_run: str, port: int) -> List[str]:
            return [sys.executable, "-I", "-m", "http.server", "-b", "127.0.0.1", "-d", str(site), str(port)]

        def load(port: int, _light: bool) -> None:
            for number in range(50):
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/page{number % 5}", timeout=WAIT_S) as response:
                    self.assertEqual(response.read().decode(), f"page {number % 5}\n" * 10000)
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=WAIT_S) as response:
                self.assertIn(b"page4", response.read())

        self.assert_runs(command, load, test_servers.answers, signal.SIGINT)


if __name__ == "__main__":
    unittest.main()
