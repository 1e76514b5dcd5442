# SPDX-License-Identifier: MIT
"""What a profile answers to a call."""

import itertools
import random
import unittest

import spoc
from rules import AUDIT
from support import ON_X86_64

TIER = "pure"


@unittest.skipUnless(ON_X86_64, "needs x86_64, whose syscall numbers are here")
class Verdicts(unittest.TestCase):
    """What a profile is said to answer to a call is what the filter that is made of it answers."""

    CALLS = {"socketcall": 102, "connect": 362, "getppid": 64}  # asm/unistd_32.h; connect is code 3 of socketcall(2)
    ROUNDS = 400

    def profile(self, source: random.Random) -> spoc.Profile:
        names, rules = [*self.CALLS, "bind"], []
        for _ in range(source.randint(1, 4)):
            arguments = source.sample((0, 1), source.choice((0, 0, 1, 1, 2)))
            conditions = tuple(spoc.Condition(argument, source.choice(("SCMP_CMP_EQ", "SCMP_CMP_GE")),
                                              source.choice((2, 3))) for argument in arguments)
            rules.append(spoc.Rule("SCMP_ACT_ERRNO", tuple(source.sample(names, source.choice((1, 2)))),
                                   source.choice((1, 2, 3)), conditions))
        return spoc.Profile("SCMP_ACT_ERRNO", ("SCMP_ARCH_X86",), tuple(rules), 1)

    def test_filter_answers_so(self) -> None:
        built = decided = undecided = 0
        for seed in range(self.ROUNDS):
            profile = self.profile(random.Random(seed))
            try:
                simulated = spoc.SimulatedFilter(spoc.FilterBuilder(profile, spoc.X86_64).build().program)
            except spoc.SpocError:  # two rules with the same conditions
                continue
            built += 1
            for name, code, other in itertools.product(self.CALLS, (1, 2, 3, 4), (1, 2, 3)):
                data = spoc.SeccompData(nr=self.CALLS[name], arch=AUDIT[spoc.X86])
                data.args[:2] = code, other
                verdicts = profile.verdicts(name, {0: code, 1: other})
                self.assertIn(simulated(data), verdicts, (name, code, other, profile))
                self.assertIn(simulated(data), profile.verdicts(name), (name, code, other, profile))
                decided += len(set(verdicts)) == 1
                undecided += len(set(profile.verdicts(name))) > 1
        self.assertGreater(built, self.ROUNDS // 2)
        self.assertGreater(decided, undecided)
        self.assertGreater(undecided, built)


if __name__ == "__main__":
    unittest.main()
