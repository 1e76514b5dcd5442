# SPDX-License-Identifier: MIT
"""`run`, with the kernel as the judge: what calls get under a profile.

Expected values come from the OCI runtime specification (config-linux.md, seccomp) and seccomp_rule_add(3).
"""

import itertools
import json
import random
import re
import unittest
from typing import Any, Dict, List, Sequence, Tuple

import spoc as module
from cases import FREE, FREE_32, OWN_CALLS, RunCase, call_line
from support import AUDIT_ARCH_I386, AUDIT_ARCH_X86_64, COMPARISONS, MAX_64, ON_X86_64, SIGSYS, build, rule_holds, spoc

TIER = "kernel"


@unittest.skipUnless(ON_X86_64, "needs x86_64, whose syscall numbers are here")
class Answers(RunCase):
    """What a call gets, by each action, under either of: nobody watches, tracepoints watch."""

    # A rule -> what its call gets in the process itself, in a thread, in a child, in a traced child. %: the number, the
    # architecture, and the number again (syscall_rollback() in asm/syscall.h). errnoRet is EPERM by default; TRACE
    # without a tracer is ENOSYS (seccomp(2)).
    ALLOWED = r"= [1-9]\d*"
    RULES: List[Tuple[Any, ...]] = [
        ({"action": "SCMP_ACT_ERRNO"}, *["! 1"] * 4),
        ({"action": "SCMP_ACT_ERRNO", "errnoRet": 0}, *["= 0"] * 4),
        *(({"action": "SCMP_ACT_ERRNO", "errnoRet": number}, *[f"! {number}"] * 4) for number in (1, 38, 133, 4094)),
        ({"action": "SCMP_ACT_TRAP"}, *["trap 1 %d 0 %#x %d"] * 4),
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
                expected = [(kind, answer % (number, arch, number) if "%" in answer else answer)
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

    def test_what_merge_adds(self) -> None:
        """-b allows these, whatever the default, and nothing else; what it lifts is said."""
        for default, added in itertools.product(("SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_ERRNO"),
                                                ("getuid", "getppid")):
            with self.subTest(default=default, added=added):
                self.write(default, [{"names": ["getuid", "getgid"], "action": "SCMP_ACT_ERRNO"},
                                     {"names": OWN_CALLS, "action": "SCMP_ACT_ALLOW"}])
                merged = spoc("merge", "-b", added, "-o", str(self.profile), str(self.profile))
                self.assertEqual(merged.returncode, 0, merged.stderr)
                self.assertEqual("Added nothing: -b names what was allowed\n" in merged.stderr,
                                 added == "getppid" and default != "SCMP_ACT_ERRNO", merged.stderr)
                self.assertEqual(f" Added {added}\n" in merged.stderr, "Added nothing" not in merged.stderr)
                self.assertEqual("lifts the rule that answers SCMP_ACT_ERRNO (EPERM)" in merged.stderr,
                                 added == "getuid" and default != "SCMP_ACT_ERRNO", merged.stderr)
                denied = [answer == "! 1" for answer in self.call(*(
                    call_line("n", FREE[name]) for name in ("getuid", "getgid")))]
                self.assertEqual(denied, [added != "getuid", True])

    def test_what_merge_does_not_add(self) -> None:
        """What it refuses it does not say to be added."""
        self.write("SCMP_ACT_ERRNO", [{"names": ["getuid"], "action": "SCMP_ACT_KILL_PROCESS"}])
        merged = spoc("merge", "-b", "getuid", "-o", str(self.profile), str(self.profile))
        self.assertEqual(merged.returncode, 125)
        self.assertIn("change one of them", merged.stderr)
        self.assertNotIn("Added", merged.stderr)

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


@unittest.skipUnless(ON_X86_64, "needs x86_64, whose syscall numbers are here")
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
                for name, op in zip(FREE, COMPARISONS)]
            self.write(rules=rules)
            cases = [(name, op, number) for name, op in zip(FREE, COMPARISONS) for number in given]
            found = self.call(*(call_line("n", FREE[name], [0] * index + [number]) for name, _, number in cases))
            for (name, op, number), answer in zip(cases, found):
                expected = COMPARISONS[op](number, value, two)
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


@unittest.skipUnless(ON_X86_64, "needs x86_64, whose syscall numbers are here")
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
        op, value, two = self.random.choice(list(COMPARISONS)), self.value(bits), self.value(bits)
        # A value outside its mask has a test of its own.
        return {"index": index, "op": op, "value": value, "valueTwo": two & value if "MASKED" in op else two}

    @staticmethod
    def answer(rule: Dict[str, Any], number: int, arch: int) -> str:
        return {"ALLOW": "=", "LOG": "=", "ERRNO": f"! {rule.get('errnoRet', 1)}", "TRACE": "! 38",
                "TRAP": f"trap 1 {number} 0 {arch:#x} {number}"}.get(rule["action"][9:], "killed 31")

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
                    holding = [rule for rule in by_name[name] if rule_holds(rule, arguments)]
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


@unittest.skipUnless(ON_X86_64, "needs x86_64, whose syscall numbers are here")
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


if __name__ == "__main__":
    unittest.main()
