# SPDX-License-Identifier: MIT
"""Rules with conditions, as the kernel answers calls under the filters that are compiled of them."""

import ctypes
import errno
import itertools
import json
import os
import resource
import struct
import subprocess
import unittest
import unittest.mock
from typing import List, Optional, Sequence, Tuple

import spoc
from rules import ALLOWED, ARCHITECTURES, AUDIT, GETPPID, Call, RulesCase, Source, compile_rules, right_answers
from support import MAX_32, MAX_64, ON_X86_64, Case, build, spoc as run_spoc

TIER = "kernel"


@unittest.skipUnless(ON_X86_64, "needs x86_64, whose syscall numbers are here")
class Kernel(RulesCase):
    """Random sets of rules: more with SETS=20000, the same again with SEED."""

    SETS = int(os.environ.get("SETS", 1000))

    def test_64_bits(self) -> None:
        self.check("-static", self.SETS, set(GETPPID))

    def test_32_bits(self) -> None:
        self.check("-m32 -static", self.SETS // 5, {spoc.X86})

    def test_long_list_of_values(self) -> None:
        """Each value takes an instruction, and each jump stays within its 8 bits."""
        rules = [spoc.Rule("SCMP_ACT_ERRNO", ("getppid",), 40, (spoc.Condition(1, "SCMP_CMP_EQ", 3 * value),))
                 for value in range(1200)]
        code = compile_rules(rules)
        self.assertLess(len(code) // 8, 3700)
        calls: List[Call] = [(spoc.X86_64, (0, value, 0, 0, 0)) for value in range(3700)]
        answers, = self.answers("-static", [(code, calls)])
        self.assertEqual(answers, [ALLOWED if value % 3 or value >= 3600 else 40 for value in range(3700)])

    def test_every_length_of_a_jump(self) -> None:
        """What is jumped over if the first of two conditions fails, in steps of one instruction around 255."""
        filters: List[Tuple[bytes, List[Call]]] = []
        cases = list(itertools.product((*range(120, 132), *range(246, 258)), (0, 1)))
        for count, step in cases:
            rules = [spoc.Rule("SCMP_ACT_ERRNO", ("getppid",), 41 + value * step, (
                spoc.Condition(0, "SCMP_CMP_EQ", 1), spoc.Condition(1, "SCMP_CMP_EQ", value)))
                for value in range(count)]
            rules.append(spoc.Rule("SCMP_ACT_ERRNO", ("getppid",), 40, (spoc.Condition(0, "SCMP_CMP_EQ", 0),)))
            filters.append((compile_rules(rules), [(spoc.X86_64, (*pair, 0, 0, 0)) for pair in (
                (0, 0), (1, 0), (1, count - 1), (1, count), (2, 0), (1 << 32, 0), (1 << 32 | 1, 1))]))
        for (count, step), answers in zip(cases, self.answers("-static", filters)):
            self.assertEqual(answers, [40, 41, 41 + (count - 1) * step, 0, 0, 0, 0], (count, step))

    def test_every_length_of_a_jump_of_an_order(self) -> None:
        """The first jumps of a test that compares both words of an argument are the longest."""
        border = 5 << 32 | 3
        filters: List[Tuple[bytes, List[Call]]] = []
        expected = []
        for count in range(244, 254):
            listed = [spoc.Rule("SCMP_ACT_ERRNO", ("getppid",), 42 if value else 41, (
                spoc.Condition(1, "SCMP_CMP_EQ", value),)) for value in range(count)]
            # What the test jumps over if it fails; and what it jumps to if it holds, which stands there already.
            over = [rule._replace(conditions=(spoc.Condition(0, "SCMP_CMP_LE", border), *rule.conditions))
                    for rule in listed]
            to = [*listed, spoc.Rule("SCMP_ACT_ERRNO", ("getppid",), 41, (spoc.Condition(2, "SCMP_CMP_GT", border),))]
            calls = list(itertools.product((0, border, border + 1, 4 << 32 | 9, 6 << 32, MAX_64), (0, 1, count)))
            filters.append((compile_rules(over), [(spoc.X86_64, (first, second, 0, 0, 0)) for first, second in calls]))
            filters.append((compile_rules(to), [(spoc.X86_64, (0, second, first, 0, 0)) for first, second in calls]))
            named = {0: 41, 1: 42, count: ALLOWED}
            expected.append([named[second] if first <= border else ALLOWED for first, second in calls])
            expected.append([named[second] if first <= border else 41 for first, second in calls])
        self.assertEqual(self.answers("-static", filters), expected)


def parse_rules(*texts: str) -> List[spoc.Rule]:
    """Each as `ERRNO INDEX OPERATOR VALUE ...`; for MASKED_EQ the value is MASK/VALUE."""
    rules = []
    for text in texts:
        number, *words = text.split()
        conditions = []
        for index, operator, value in zip(words[::3], words[1::3], words[2::3]):
            first, _, second = value.partition("/")
            conditions.append(spoc.Condition(int(index), f"SCMP_CMP_{operator}", int(first, 0), int(second or "0", 0)))
        rules.append(spoc.Rule("SCMP_ACT_ERRNO", ("getppid",), int(number), tuple(conditions)))
    return rules


class ScmpArgument(ctypes.Structure):
    """struct scmp_arg_cmp (seccomp.h)"""

    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("datum_a", ctypes.c_uint64),
                ("datum_b", ctypes.c_uint64)]


@unittest.skipUnless(ON_X86_64, "needs x86_64, whose syscall numbers are here")
class Order(unittest.TestCase):
    """Where rules with different answers hold at once, the one counts that counts in libseccomp's own filter, and so in
    those of runc and crun, where that filter answers as rules say at all.
    """

    TOKENS = {"SCMP_ARCH_X86": 0x40000003, "SCMP_ARCH_X32": 0x4000003E}

    def libseccomp_program(self, rules: Sequence[spoc.Rule]) -> Optional[bytes]:
        """What libseccomp makes of the conditions, "" if it refuses them; None if it comes to no end."""
        library = ctypes.CDLL("libseccomp.so.2")
        library.seccomp_init.restype = ctypes.c_void_p
        descriptor = os.memfd_create("program")
        self.addCleanup(os.close, descriptor)
        pid = os.fork()
        if not pid:
            try:
                resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
                resource.setrlimit(resource.RLIMIT_CPU, (1, 1))
                context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(0x7FFF0000)))
                for token in self.TOKENS.values():
                    library.seccomp_arch_add(context, ctypes.c_uint32(token))
                for rule in rules:
                    arguments = (ScmpArgument * len(rule.conditions))(*(
                        ScmpArgument(each.argument, list(spoc.OPERATORS).index(each.op) + 1, each.value, each.value_two)
                        for each in rule.conditions))
                    if library.seccomp_rule_add_array(context, ctypes.c_uint32(0x50000 | rule.errno), 110,
                                                      len(rule.conditions), arguments):
                        os._exit(0)
                library.seccomp_export_bpf(context, descriptor)
            finally:
                os._exit(0)
        if os.waitpid(pid, 0)[1]:
            return None
        return os.pread(descriptor, 1 << 20, 0)

    def compare(self, rules: Sequence[spoc.Rule], calls: Sequence[Call]) -> str:
        """How the two filters stand to one another."""
        theirs = self.libseccomp_program(rules)
        if theirs is None:
            return "endless"
        try:
            ours = compile_rules(rules)
        except spoc.SpocError as error:
            self.assertIn("two rules have the same conditions", str(error))
            ours = b""
        if not ours:
            self.assertFalse(theirs, rules)
            return "refused"
        if not theirs:  # because it takes halves for the whole
            return "refused by libseccomp alone"
        filters = spoc.SimulatedFilter(theirs), spoc.SimulatedFilter(ours)
        answers: List[Tuple[Call, int, int]] = []
        for call in calls:
            architecture, arguments = call
            data = spoc.SeccompData(nr=GETPPID[architecture], arch=AUDIT[architecture])
            data.args[:] = [each & (MAX_32 if architecture is spoc.X86 else MAX_64) for each in (*arguments, 0)]
            answers.append((call, filters[0](data)[1], filters[1](data)[1]))
        if any(one not in right_answers(rules, call) for call, one, _ in answers):
            return "wrong"
        for call, one, other in answers:
            self.assertEqual(other, one, f"{call} by {rules}")
        return "same"

    def test_precedence(self) -> None:
        """By argument, operator and value, whatever the order in the file."""
        for one, other, arguments, expected in (
                ("2 0 GT 5", "3 0 GT 10", (11,), 3), ("2 0 LE 5", "3 0 LT 3", (1,), 3),
                ("2 0 EQ 1", "3 1 EQ 2", (1, 2), 3), ("2 0 EQ 7", "3 0 GT 5", (7,), 2),
                ("2 0 LT 9", "3 0 GT 5", (7,), 2), ("2 0 NE 9", "3 0 EQ 7", (7,), 2),
                ("2 1 EQ 1 0 EQ 1", "3 1 EQ 1", (1, 1), 3)):
            for rules in (parse_rules(one, other), parse_rules(other, one)):
                call = spoc.X86_64, (*arguments, 0, 0, 0, 0, 0)[:5]
                self.assertEqual(self.compare(rules, [call]), "same")
                data = spoc.SeccompData(nr=110, arch=AUDIT[spoc.X86_64])
                data.args[:] = (*call[1], 0)
                self.assertEqual(spoc.SimulatedFilter(compile_rules(rules))(data)[1], expected, rules)

    def test_same_conditions(self) -> None:
        for texts in (("2 0 EQ 5", "3 0 EQ 5"), ("2 0 EQ 1 1 GE 2", "3 0 EQ 1"), ("2 0 LT 1", "3 0 LT 1"),
                      ("2 0 EQ 5", "3 0 EQ 0x100000005")):  # for x86
            self.assertEqual(self.compare(parse_rules(*texts), []), "refused")
        self.assertEqual(self.compare(parse_rules("2 0 EQ 1", "3 0 EQ 1 1 GE 2"),
                                      [(spoc.X86_64, (1, 2, 0, 0, 0))]), "same")

    def test_random(self) -> None:
        source = Source(1)
        found = [self.compare(rules, list(source.calls(rules, 10))) for rules in (
            source.rules(list(spoc.OPERATORS), (40, 41, 42), 2) for _ in range(300))]
        self.assertGreater(found.count("same"), 200, found)


@unittest.skipUnless(ON_X86_64, "needs x86_64, whose syscall numbers are here")
class Multiplexed(Case):
    """What socketcall(2) and ipc(2) do falls under the rules for what they do."""

    def test_like_libseccomp(self) -> None:
        """Where libseccomp has a rule without conditions answer, a rule with a condition does if that holds."""
        names = [name for inner in spoc.MULTIPLEXED.values() for name in inner.values()]
        for name, token, first in (("X86", 0x40000003, 0), ("MIPSEL", 0x40000008, 4000), ("PPC64LE", 0xC0000015, 0),
                                   ("ARM", 0x40000028, 0), ("X86_64", 0xC000003E, 0)):
            answered = 0
            for syscall in names:
                plain = spoc.Rule("SCMP_ACT_ERRNO", (syscall,), 40)
                filters = [spoc.SimulatedFilter(compile_rules([rule], [f"SCMP_ARCH_{name}"])) for rule in (
                    plain, plain._replace(conditions=(spoc.Condition(5, "SCMP_CMP_GE", 3),)))]
                for number, code in itertools.product(range(first, first + 450), (0, 1)):
                    for inner in range(1, 26) if code and number - first in (102, 117) else (0,):
                        data = spoc.SeccompData(nr=number, arch=token)
                        data.args[0], data.args[5] = inner, 3
                        answers = [simulated(data)[1] for simulated in filters]
                        self.assertEqual(answers[1], answers[0], (name, syscall, number, inner))
                        answered += answers[0] == 40
                        data.args[5] = 2
                        self.assertEqual(filters[1](data)[1], ALLOWED, (name, syscall, number, inner))
            self.assertGreater(answered, 20, name)

    def test_rules_for_both(self) -> None:
        """As Docker's default profile has them since it denies AF_ALG and AF_VSOCK, on a machine that lists x86."""
        document = {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 40, "architectures": ARCHITECTURES[:2],
                    "syscalls": [
                        {"names": ["exit_group", "uname"], "action": "SCMP_ACT_ALLOW"},
                        {"names": ["socket"], "action": "SCMP_ACT_ALLOW",
                         "args": [{"index": 0, "value": 2, "op": "SCMP_CMP_EQ"}]},
                        {"names": ["semop"], "action": "SCMP_ACT_ERRNO", "errnoRet": 41},
                        {"names": ["ipc"], "action": "SCMP_ACT_ERRNO", "errnoRet": 42,
                         "args": [{"index": 0, "value": 3, "op": "SCMP_CMP_GE"}]},
                        {"names": ["socketcall"], "action": "SCMP_ACT_ALLOW",
                         "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_GT"}]},
                        {"names": ["socketcall"], "action": "SCMP_ACT_ALLOW", "args": [
                            {"index": 0, "value": 1, "op": "SCMP_CMP_EQ"},
                            {"index": 1, "value": 2, "op": "SCMP_CMP_EQ"}]}]}
        path = self.folder / "profile.json"
        path.write_text(json.dumps(document))
        target = self.folder / "program"
        result = run_spoc("convert", "-t", "bpf", "-o", str(target), str(path))
        self.assertEqual(result.returncode, 0, result.stderr)
        code = target.read_bytes()
        expected = {(102, 0): 40, (102, 1): errno.EFAULT, (102, 2): errno.EFAULT, (359, 2): None, (359, 3): 40,
                    (117, 1): 41, (117, 2): 40, (117, 3): 42, (117, 24): 42}
        given = struct.pack("=I", len(code) // 8) + code + struct.pack("=I", len(expected))
        for number, first in expected:
            given += struct.pack("=2I6Q", number, 1, first, *[0] * 5)
        answers = subprocess.run([build("filters.c", "-static")], input=given, stdout=subprocess.PIPE, check=True,
                                 timeout=60).stdout
        for (call, right), (answer,) in zip(expected.items(), struct.iter_unpack("=q", answers)):
            self.assertNotIn(-answer, (41, 42) if right in (None, 40) else (40,), call)
            self.assertEqual(-answer == 40, right == 40, (call, answer))
            self.assertTrue(right is None or answer == -right, (call, answer))


class Limits(Case):
    def test_more_rules_than_instructions(self) -> None:
        rules = [{"names": ["ioctl"], "action": "SCMP_ACT_ALLOW", "args": [
            {"index": 0, "value": value % 7, "op": "SCMP_CMP_NE"}, {"index": 1, "value": value, "op": "SCMP_CMP_GE"}]}
            for value in range(5600)]
        path = self.folder / "profile.json"
        path.write_text(json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules}))
        for to_type in ("bpf", "pfc"):
            result = run_spoc("convert", "-t", to_type, str(path))
            self.assertEqual(result.returncode, 125)
            self.assertIn("the whole filter: has more than 4096 instructions; shorten it", result.stderr)


@unittest.skipUnless(ON_X86_64, "needs x86_64, whose syscall numbers are here")
class Checked(unittest.TestCase):
    """The code is held against the rules before it is used: a mistake in how it is made is an error."""

    RULES = (spoc.Rule("SCMP_ACT_ERRNO", ("getppid",), 1, (
                 spoc.Condition(0, "SCMP_CMP_LE", 2), spoc.Condition(1, "SCMP_CMP_EQ", 5 << 32 | 7))),
             spoc.Rule("SCMP_ACT_ERRNO", ("getppid",), 2, (spoc.Condition(0, "SCMP_CMP_GT", (1 << 32) + 1),)),
             spoc.Rule("SCMP_ACT_ERRNO", ("getppid",), 3, (spoc.Condition(2, "SCMP_CMP_MASKED_EQ", 255, 9),)))

    def build(self, rules: Tuple[spoc.Rule, ...] = RULES) -> None:
        spoc.libseccomp.load()
        profile = spoc.Profile("SCMP_ACT_ALLOW", ("SCMP_ARCH_X86_64",), rules)
        spoc.FilterBuilder(profile, spoc.X86_64).build()

    def test_mistakes(self) -> None:
        tests, test = spoc.condition_tests, spoc.assemble_test

        def other_value(condition: spoc.Condition, wide: bool) -> "List[spoc.Test]":
            return tests(condition._replace(value=condition.value + 1), wide)

        def one_half(condition: spoc.Condition, wide: bool) -> "List[spoc.Test]":
            return tests(condition, False)

        def stale(code: "spoc.Test", loaded: int, inner: List[bytes], following: List[bytes]) -> List[bytes]:
            return test(code, code[0][0], inner, following)

        def without_last(code: "spoc.Test", loaded: int, inner: List[bytes], following: List[bytes]) -> List[bytes]:
            return inner if code[0][1] == 255 else test(code, loaded, inner, following)

        self.build()
        for name, mistake in (("condition_tests", other_value), ("condition_tests", one_half),
                              ("assemble_test", stale), ("assemble_test", without_last)):
            with self.subTest(mistake), unittest.mock.patch.object(spoc, name, mistake):
                with self.assertRaisesRegex(spoc.SpocError, "filter: getppid: with the arguments .* its rules say"):
                    self.build()

    def test_upper_words_that_do_not_decide(self) -> None:
        """Only a value with a greater upper and a lower lower word tells."""
        tests = spoc.condition_tests
        rules = (spoc.Rule("SCMP_ACT_ERRNO", ("getppid",), 1, (spoc.Condition(0, "SCMP_CMP_GT", 5 << 32 | 3),)),)
        self.build(rules)

        def lower_word_too(condition: spoc.Condition, wide: bool) -> "List[spoc.Test]":
            (greater, _, low), = tests(condition, wide)
            return [(greater._replace(jump=spoc.JUMP_GREATER_EQUAL, if_true=spoc.NEXT, if_false=spoc.FAILS), low)]

        with unittest.mock.patch.object(spoc, "condition_tests", lower_word_too), self.assertRaisesRegex(
                spoc.SpocError, "filter: getppid: with the arguments .* its rules say"):
            self.build(rules)


class Listing(Case):
    def test_listing(self) -> None:
        profile = spoc.Profile("SCMP_ACT_ERRNO", ARCHITECTURES[:2], (
            spoc.Rule("SCMP_ACT_ALLOW", ("read",)), *parse_rules("7 0 MASKED_EQ 0xff/3 2 LE 9", "8 1 NE 0x100000001")))
        listing = spoc.FilterBuilder(profile, spoc.X86_64).export(text=True)[0].decode()
        self.assertTrue(listing.startswith("""\
# rules with conditions: the first that holds
if ($arch == 3221225534)
  # filter for syscall 110 of x86_64
  if ($syscall == 110)
    if ($a1 != 4294967297)
      action ERRNO(8);
    if ($a0 & 0xff == 0x3 and $a2 <= 9)
      action ERRNO(7);
    action ERRNO(1);
# rules with conditions: the first that holds
if ($arch == 1073741827)
  # filter for syscall 64 of x86
  if ($syscall == 64)
    if ($a1 != 1)
"""), listing)
        self.assertIn('# filter for syscall "read" (0)', listing)


if __name__ == "__main__":
    unittest.main()
