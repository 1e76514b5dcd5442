# SPDX-License-Identifier: MIT
"""Random rules with conditions, and what the kernel answers under the filters that are compiled of them."""

import errno
import itertools
import os
import random
import struct
import subprocess
import time
import unittest
import unittest.mock
from typing import Iterator, List, Sequence, Set, Tuple

import spoc
from support import COMPARISONS, MAX_32, MAX_64, X86_64, build

HOST = spoc.Host(X86_64, "6.1.0-13-amd64", ())
ARCHITECTURES = ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32")
GETPPID = {spoc.X86_64: 110, spoc.X86: 64, spoc.X32: 0x40000000 | 110}  # takes no arguments: the kernel cares for none
AUDIT = {spoc.X86_64: 0xC000003E, spoc.X86: 0x40000003, spoc.X32: 0xC000003E}
ALLOWED = 0  # among errnos
EQUALITIES = ("SCMP_CMP_EQ", "SCMP_CMP_MASKED_EQ")
Call = Tuple[spoc.Architecture, Tuple[int, ...]]


def holds(condition: spoc.Condition, given: int, most: int) -> bool:
    """seccomp_rule_add(3); of a 32-bit architecture both sides have 32 bits."""
    return COMPARISONS[condition.op](given & most, condition.value & most, condition.value_two & most)


def right_answers(rules: Sequence[spoc.Rule], call: Call) -> Set[int]:
    """The errnos of all rules that hold; the first rule without conditions stands for all."""
    architecture, arguments = call
    most = MAX_64 if architecture is spoc.X86_64 else MAX_32
    for rule in rules:
        if all(each.op == "SCMP_CMP_MASKED_EQ" and not each.value & most for each in rule.conditions):
            return {rule.errno}
    return {rule.errno for rule in rules
            if all(holds(each, arguments[each.argument], most) for each in rule.conditions)} or {ALLOWED}


class Source:
    """Rules and calls around few values, whose halves meet."""

    def __init__(self, seed: int):
        self.random = random.Random(seed)

    def value(self) -> int:
        low = self.random.choice((0, 1, 2, 5, 7, 38, 0x7FFFFFFF, 1 << 31, MAX_32, self.random.getrandbits(32)))
        return low | self.random.choice((0, 0, 0, 1, 2, 7, 1 << 31, MAX_32)) << 32

    def rules(self, operators: Sequence[str], errnos: Sequence[int], most: int = 5) -> List[spoc.Rule]:
        return [spoc.Rule("SCMP_ACT_ERRNO", ("getppid",), self.random.choice(errnos), tuple(
            spoc.Condition(argument, self.random.choice(operators), self.value(), self.value())
            for argument in self.random.sample(range(5), self.random.choice((1, 1, 2, 2, 3)))))
            for _ in range(self.random.randint(1, most))]

    def calls(self, rules: Sequence[spoc.Rule], count: int) -> Iterator[Call]:
        """Each argument around any value of the rules, or with a half of one and a half of another."""
        given = [value for rule in rules for each in rule.conditions for value in (each.value, each.value_two)] or [0]

        def near() -> int:
            return (self.random.choice(given) + self.random.choice((-1, 0, 0, 0, 1))) & MAX_64

        for _ in range(count):
            arguments = tuple(near() if self.random.random() < 0.6 else
                              near() >> self.random.choice((0, 32)) & MAX_32 |
                              (near() >> self.random.choice((0, 32)) & MAX_32) << 32 for _ in range(5))
            for architecture in GETPPID:
                yield architecture, arguments


def compile_rules(rules: Sequence[spoc.Rule], names: Sequence[str] = ARCHITECTURES) -> bytes:
    return spoc.FilterBuilder(spoc.Profile("SCMP_ACT_ALLOW", tuple(names), tuple(rules)), spoc.X86_64).build().program


class RulesCase(unittest.TestCase):
    """Random sets of rules, and calls around their values: the same again with SEED."""

    SEED = int(os.environ.get("SEED", time.time_ns()))
    CALLS, BATCH = 16, 250
    OPERATORS = list(spoc.OPERATORS)

    def answers(self, program: str, filters: Sequence[Tuple[bytes, List[Call]]]) -> List[List[int]]:
        """What the kernel answers to the calls under each filter, as errnos."""
        given = b""
        for code, calls in filters:
            given += struct.pack("=I", len(code) // 8) + code + struct.pack("=I", len(calls))
            for architecture, arguments in calls:
                given += struct.pack("=2I6Q", GETPPID[architecture], architecture is spoc.X86, *arguments, 0)
        result = subprocess.run([build("filters.c", *program.split())], input=given, stdout=subprocess.PIPE,
                                check=True, timeout=300)
        found = [ALLOWED if each >= 0 or each == -errno.ENOSYS else -each
                 for each, in struct.iter_unpack("=q", result.stdout)]
        rest = iter(found)
        taken = [list(itertools.islice(rest, len(calls))) for _, calls in filters]
        self.assertEqual((sum(map(len, taken)), len(found)), (sum(len(calls) for _, calls in filters),) * 2)
        return taken

    def check(self, program: str, sets: int, architectures: Set[spoc.Architecture]) -> None:
        source = Source(self.SEED)
        refused = done = 0
        while done < sets:
            cases: List[Tuple[List[spoc.Rule], bytes, List[Call]]] = []
            while len(cases) < min(self.BATCH, sets):
                long = source.random.random() < 0.01  # beyond what a conditional jump reaches
                errnos = (40, 41, 42) if source.random.random() < 0.4 and not long else (40,)
                operators = EQUALITIES if source.random.random() < 0.2 else self.OPERATORS
                rules = source.rules(operators, errnos, 200 if long else 5)
                if source.random.random() < 0.03:
                    rules.insert(source.random.randrange(len(rules) + 1), rules[0]._replace(conditions=()))
                try:
                    code = compile_rules(rules)
                except spoc.SpocError as error:
                    self.assertIn("two rules have the same conditions", str(error))
                    self.assertGreater(len({rule.errno for rule in rules}), 1)
                    refused += 1
                    continue
                cases.append((rules, code, [call for call in source.calls(rules, self.CALLS)
                                            if call[0] in architectures]))
            found = self.answers(program, [(code, calls) for _, code, calls in cases])
            for (rules, code, calls), answers in zip(cases, found):
                simulated = spoc.SimulatedFilter(code)
                for call, answer in zip(calls, answers):
                    right = right_answers(rules, call)
                    if answer not in right:
                        self.fail(f"SEED={self.SEED}: {call} got {answer}, not {right}, by {rules}")
                data = spoc.SeccompData(nr=GETPPID[calls[0][0]], arch=AUDIT[calls[0][0]])
                data.args[:] = [each & (MAX_32 if calls[0][0] is spoc.X86 else MAX_64) for each in (*calls[0][1], 0)]
                self.assertEqual(simulated(data)[1], answers[0], f"SEED={self.SEED}: {rules}")
            done += len(cases)
        self.assertLess(refused, 5 + done / 20, f"SEED={self.SEED}")
