# SPDX-License-Identifier: MIT
"""From a recording to a profile that one can ship: merge, diff and --portable."""

import itertools
import json
import os
import pathlib
import pty
import random
import re
import subprocess
import sys
import tempfile
import unittest
import unittest.mock
from typing import Any, Dict, List, Optional, Tuple

import jsonschema

import spoc
import support
from cases import crd_schemas, strict, yaml_documents
from support import COMPARISONS, answer, holds

TIER = "pure"
HOST = spoc.Host("SCMP_ARCH_X86_64", "6.1", [])
NATIVE = HOST.architecture
NAMES = ["read", "socket", "clone", "ioctl", "mount"]
VALUES = range(4)
ARGUMENTS = [*VALUES, 4, 7]
OPERATORS = ["SCMP_CMP_EQ", "SCMP_CMP_NE", *sorted({*COMPARISONS} - {"SCMP_CMP_EQ", "SCMP_CMP_NE"})]
ALLOWING = ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG")
CRD = {"apiVersion": "security-profiles-operator.x-k8s.io/v1beta1", "kind": "SeccompProfile"}
# Calls that give authority over the system, other processes or the kernel's attack surface, as the comments of Docker's
# default profile documentation and systemd's groups @mount, @module, @raw-io, @reboot, @swap, @debug, @privileged tell.
HIGH_RISK = set("""
    acct add_key bpf chroot create_module delete_module fanotify_init finit_module fsconfig fsmount fsopen fspick
    init_module io_uring_enter io_uring_register io_uring_setup ioperm iopl kcmp kexec_file_load kexec_load keyctl
    lookup_dcookie mbind migrate_pages modify_ldt mount mount_setattr move_mount move_pages name_to_handle_at
    nfsservctl open_by_handle_at open_tree perf_event_open personality pidfd_getfd pivot_root pkey_alloc pkey_mprotect
    process_madvise process_vm_readv process_vm_writev ptrace quotactl quotactl_fd reboot remap_file_pages request_key
    seccomp set_mempolicy setdomainname sethostname setns settimeofday swapoff swapon syslog umount umount2 unshare
    uselib userfaultfd vhangup vm86 vm86old vmsplice clock_settime clock_settime64 clock_adjtime clock_adjtime64
    adjtimex stime setuid setuid32 setgid setgid32 setreuid setreuid32 setregid setregid32
    setresuid setresuid32 setresgid setresgid32 setgroups setgroups32 capset execveat
    process_mrelease landlock_restrict_self memfd_create memfd_secret ioctl prctl kill mknod mknodat socket connect
""".split())


def calls() -> "itertools.product[Any]":
    return itertools.product(NAMES, ARGUMENTS, ARGUMENTS)


def answers(profile: spoc.Profile) -> "List[Tuple[str, int]]":
    document = encode(profile)
    return [answer(document, name, arguments) for name, *arguments in calls()]


def decode(document: Dict[str, Any]) -> spoc.Profile:
    decoded, reader = spoc.parse_document(json.dumps(document), "test")
    return spoc.ProfileDecoder(reader, HOST).decode(decoded)


def encode(profile: spoc.Profile) -> Dict[str, Any]:
    document = json.loads(spoc.format_profile(profile, "raw-seccomp", ""))
    assert isinstance(document, dict)
    return document


def random_rule(source: random.Random, default: str) -> Dict[str, Any]:
    rule: Dict[str, Any] = {"names": source.sample(NAMES, source.choice([1, 1, 2, 3]))}
    rule["action"] = source.choice(["SCMP_ACT_ALLOW"] * 9 + ["SCMP_ACT_ERRNO", default])
    if default in ALLOWING:
        rule["action"] = source.choice(["SCMP_ACT_ERRNO"] * 6 + [default])
    if rule["action"] == "SCMP_ACT_ERRNO":
        rule["errnoRet"] = source.choice([38, 38, 38, 13])
    if source.random() < 0.6:
        rule["args"] = []
        for index in source.sample([0, 1], source.choice([1, 1, 2])):
            operator = source.choice(OPERATORS[:2] if source.random() < 0.7 else OPERATORS)
            condition: Dict[str, Any] = {"index": index, "value": source.choice(VALUES), "op": operator}
            if operator == "SCMP_CMP_MASKED_EQ":
                condition["valueTwo"] = source.choice(VALUES) & condition["value"]
            rule["args"].append(condition)
    return rule


def random_document(source: random.Random, default: str) -> Dict[str, Any]:
    return {"defaultAction": default,
            "architectures": source.sample(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_ARM"], source.randrange(3)),
            "flags": source.sample(["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC"], source.randrange(2)),
            "syscalls": [random_rule(source, default) for _ in range(source.randrange(5))]}


def merge(*profiles: spoc.Profile) -> Optional[spoc.Profile]:
    """The union, or None where the profiles contradict each other."""
    try:
        return spoc.merge_profiles([(f"file{index}", profile) for index, profile in enumerate(profiles)])
    except spoc.SpocError as error:
        assert error.subject in [*NAMES, "defaultAction"], error
        return None


def restrictiveness(verdict: Tuple[str, int]) -> Tuple[int, int]:
    """seccomp(2): of the answers of several filters the lowest action, as a signed number, holds."""
    value = spoc.ACTIONS[verdict[0]]
    return value - (1 << 32 if value >> 31 else 0), -verdict[1]


class Laws(unittest.TestCase):
    """What holds for all profiles, on generated ones."""

    ROUNDS = 400
    DEFAULTS = ["SCMP_ACT_ERRNO", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_LOG", "SCMP_ACT_ALLOW"]

    def rounds(self) -> "List[Tuple[random.Random, str]]":
        return [(random.Random(seed), default) for default in self.DEFAULTS for seed in range(self.ROUNDS)]

    @support.kernel_tier
    def test_merge_allows_exactly_the_union(self) -> None:
        merged_rounds: Dict[str, int] = dict.fromkeys(self.DEFAULTS, 0)
        for source, default in self.rounds():
            documents = [random_document(source, default) for _ in range(source.choice([1, 2, 2, 3]))]
            merged = merge(*map(decode, documents))
            if merged is None:
                continue
            merged_rounds[default] += 1
            result = encode(merged)
            for name, *arguments in calls():
                answers = [answer(document, name, arguments) for document in documents]
                allowed = [one for one in answers if one[0] in ALLOWING]
                found = answer(result, name, arguments)
                self.assertEqual(found[0] in ALLOWING, bool(allowed), (name, arguments, documents, result))
                self.assertIn(found, answers, (name, arguments, documents, result))
            self.assertEqual(set(result["architectures"]),
                             {name for each in documents for name in each["architectures"]})
            self.assertEqual(set(result.get("flags", [])), {name for each in documents for name in each["flags"]})
        self.assertGreater(min(merged_rounds.values()), self.ROUNDS // 4, merged_rounds)

    @support.kernel_tier
    def test_merge_is_commutative_associative_and_idempotent(self) -> None:
        merged_rounds: Dict[str, int] = dict.fromkeys(self.DEFAULTS, 0)
        for source, default in self.rounds():
            defaults = [default] * 3 if source.random() < 0.9 else [source.choice(self.DEFAULTS) for _ in range(3)]
            one, two, three = (decode(random_document(source, each)) for each in defaults)
            whole = merge(one, two, three)
            for order in itertools.permutations([one, two, three]):
                self.assertEqual(merge(*order), whole)
            for first, second, last in ((one, two, three), (two, three, one), (three, one, two)):
                pair = merge(first, second)
                nested = merge(last, pair) if pair else None
                self.assertEqual(nested is None, whole is None, (first, second, last, pair))
                if nested and whole and nested != whole:
                    # What takes two conditions on one argument can be said in several ways.
                    self.assertIn(default, ALLOWING)
                    self.assertEqual(nested._replace(rules=()), whole._replace(rules=()))
                    self.assertEqual(answers(nested), answers(whole), (first, second, last, pair))
            merged_rounds[default] += whole is not None
            self.assertEqual(merge(one, one), merge(one))
            normal = merge(one)
            if normal is not None:
                self.assertEqual(merge(normal), normal)
                self.assertEqual(merge(one, normal), normal)
        self.assertGreater(min(merged_rounds.values()), self.ROUNDS // 8, merged_rounds)

    def test_where_the_default_allows_any_two_denials_unite(self) -> None:
        def profile(rules: Any, default: str = "SCMP_ACT_ALLOW") -> Dict[str, Any]:
            return {"defaultAction": default, "syscalls": [
                {"names": ["write"], "action": action, **({"errnoRet": number} if number else {}),
                 "args": [{"index": 0, "op": f"SCMP_CMP_{op}", "value": value, "valueTwo": second}
                          for op, value, second in conditions]} for action, number, conditions in rules]}

        eperm, enoent = (profile([("SCMP_ACT_ERRNO", number, [])]) for number in (1, 2))
        kill, trap = (profile([(action, 0, [])]) for action in ("SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRAP"))
        for inputs, wanted in (
                ([eperm, enoent], ("SCMP_ACT_ERRNO", 1)), ([enoent, kill], ("SCMP_ACT_ERRNO", 2)),
                ([kill, trap], ("SCMP_ACT_TRAP", 0)), ([eperm, enoent, profile([])], ("SCMP_ACT_ALLOW", 0))):
            for order in itertools.permutations(inputs):
                merged = merge(*map(decode, order))
                assert merged is not None
                self.assertEqual(answer(encode(merged), "write", [0]), wanted)
        most = (1 << 64) - 1
        values = [0, 1, 2, 5, 17, 6000, 1 << 31, (1 << 32) - 1, 1 << 32, (1 << 40) + 6, most - 1, most]
        probes = sorted({(value + more) & most for value in values for more in (-1, 0, 1)} | {0x7E020000, 0x10000011})
        conditions = [(op, value, 0) for op in ("EQ", "NE", "LT", "LE", "GE", "GT") for value in values[1:9:3]]
        conditions += [("MASKED_EQ", mask, value & mask) for mask in (0x7E020000, 6, most ^ 1, 0)
                       for value in (0, 17, 6000)]
        for pair in itertools.combinations(conditions, 2):
            one, two = (profile([("SCMP_ACT_ERRNO", 1, [each])]) for each in pair)
            merged = merge(decode(one), decode(two))
            assert merged is not None
            result = encode(merged)
            for value in probes:
                stopped = {answer(each, "write", [value])[0] for each in (one, two)} == {"SCMP_ACT_ERRNO"}
                self.assertEqual(answer(result, "write", [value])[0] == "SCMP_ACT_ERRNO", stopped, (pair, value))

    @support.kernel_tier
    def test_each_call_gets_the_most_restrictive_answer(self) -> None:
        """In an intersection, with the actions and errnos of all inputs."""
        done, refused = 0, 0
        for default, seed in itertools.product((*self.DEFAULTS, ""), range(100)):
            source = random.Random(seed)
            documents = [random_document(source, default or source.choice(self.DEFAULTS))
                         for _ in range(source.choice((1, 2, 2, 3)))]
            inputs = [(str(number), decode(document)) for number, document in enumerate(documents)]
            try:
                whole = spoc.intersect_profiles(inputs)
            except spoc.SpocError as error:
                self.assertIn(error.subject, NAMES)
                refused += 1
                continue
            done += 1
            self.assertEqual(spoc.intersect_profiles(inputs[::-1]), whole)
            result = encode(whole)
            for name, *arguments in calls():
                wanted = min((answer(document, name, arguments) for document in documents), key=restrictiveness)
                self.assertEqual(answer(result, name, arguments), wanted, (name, arguments, documents, result))
            self.assertEqual(set(result["architectures"]),
                             set.intersection(*(set(each["architectures"]) for each in documents)))
        self.assertGreater(done, 4 * refused)

    @support.kernel_tier
    def test_files_unite_in_any_order(self) -> None:
        """With what else a file says: base profiles, metadata, and in how many recordings a call stood."""
        refused = 0
        with tempfile.TemporaryDirectory() as folder, unittest.mock.patch.object(spoc.Log, "info"):
            for seed in range(60):
                source = random.Random(seed)
                for name in "abc":
                    profile = decode(random_document(source, "SCMP_ACT_ERRNO"))
                    extra: Dict[str, Any] = source.choice([{}, {}, {"baseProfileName": source.choice("xxy")}])
                    metadata = {"labels": {"app": source.choice("xxy")}} if source.random() < 0.8 else {}
                    text = spoc.format_profile(profile._replace(flags=profile.flags or None), "seccomp",
                                               source.choice(["app", "app", "other"]), extra, metadata)
                    pathlib.Path(folder, name).write_text(text)

                def merged(*names: str) -> str:
                    path = os.path.join(folder, "".join(names))
                    paths = [os.path.join(folder, name) for name in names]
                    try:
                        spoc.merge_files(spoc.MergeOptions(output_file=path, name="app"), paths)
                    except spoc.SpocError:
                        return ""
                    return pathlib.Path(path).read_text()

                whole = merged("a", "b", "c")
                refused += not whole
                self.assertEqual(merged("c", "b", "a"), whole)
                for one, two, last in (("a", "b", "c"), ("b", "c", "a"), ("c", "a", "b")):
                    nested = merged(last, one + two) if merged(one, two) else ""
                    self.assertEqual(nested, whole, (seed, one, two, last))
        self.assertIn(refused, range(10, 50))

    def test_only_what_contradicts_is_refused(self) -> None:
        refused = 0
        for source, default in self.rounds():
            documents = [random_document(source, default) for _ in range(2)]
            try:
                spoc.merge_profiles([("one.json", decode(documents[0])), ("two.json", decode(documents[1]))])
            except spoc.SpocError as error:
                refused += 1
                rules = [rule for document in documents for rule in document["syscalls"]
                         if error.subject in rule["names"]]
                self.assertGreater(len({(rule["action"], rule.get("errnoRet")) for rule in rules}), 1, rules)
                self.assertRegex(str(error), r"(one|two)\.json")
        self.assertGreater(refused, 50)

    @support.kernel_tier
    def test_diff_sees_what_differs_and_nothing_else(self) -> None:
        same = different = 0
        for source, default in self.rounds():
            document = random_document(source, default)
            document["syscalls"] = document["syscalls"][:2]
            other = json.loads(json.dumps(document))
            other["syscalls"] = [dict(rule, names=rule["names"][::-1]) for rule in other["syscalls"]]
            if source.random() < 0.5:
                rule: Dict[str, Any] = {"names": source.sample(NAMES, 2), "action": default}
                other["syscalls"].append(dict(rule, errnoRet=1) if default == "SCMP_ACT_ERRNO" else rule)
            else:
                other["syscalls"].append(random_rule(source, default))
            one, two = decode(document), decode(other)
            only = spoc.diff_profiles(one, two, NATIVE), spoc.diff_profiles(two, one, NATIVE)
            differs = any(answer(document, name, arguments) != answer(other, name, arguments)
                          for name, *arguments in calls())
            if differs:
                different += 1
                self.assertTrue(only[0].rules or only[1].rules, (document, other))
            else:
                same += 1
                if not any(rule.get("args") for rule in other["syscalls"]):  # x < 1 is x == 0: conditions are compared
                    self.assertFalse(only[0].rules or only[1].rules, (document, other))
        self.assertGreater(min(same, different), 100)

    def test_diff_takes_what_a_default_answers_for_said(self) -> None:
        """Where no condition holds the default answers, and a rule that says the same says nothing more."""
        rule = {"names": ["socket"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13,
                "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]}
        one = decode({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
            {"names": ["socket"], "action": "SCMP_ACT_ALLOW"}]})
        other = decode({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]})
        self.assertEqual(spoc.diff_profiles(one, other, NATIVE).rules, ())
        self.assertEqual(spoc.diff_profiles(other, one, NATIVE).rules, other.rules)
        # A rule without conditions leaves the default nothing to answer.
        firm = decode({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["socket"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13}]})
        self.assertEqual(spoc.diff_profiles(one, firm, NATIVE).rules, one.rules)

    def test_nothing_is_lost(self) -> None:
        for source, default in self.rounds():
            one, two = (decode(random_document(source, default)) for _ in range(2))
            none = spoc.diff_profiles(one, one, NATIVE)
            self.assertFalse(none.rules or none.architectures or none.flags)
            whole = merge(one, two)
            if whole is None:
                continue
            for part in (one, two):
                missing = spoc.missing_from(whole, part, NATIVE)
                self.assertEqual((missing.rules, missing.architectures), ((), ()), (part, whole))
            if default not in ALLOWING and merge(one) is not None:
                lost = spoc.diff_profiles(one, whole, NATIVE)
                self.assertFalse([rule for rule in lost.rules if not rule.conditions], (one, whole))

    def test_check_promises_nothing_that_is_not_allowed(self) -> None:
        enough = 0
        for source, default in self.rounds():
            held, needed = (random_document(source, default) for _ in range(2))
            missing = spoc.missing_from(decode(held), decode(needed), NATIVE)
            names = {name for rule in missing.rules for name in rule.names}
            wants = {name for rule in needed["syscalls"] for name in rule["names"] if rule["action"] in ALLOWING}
            if default in ALLOWING or not merge(decode(held)):
                continue
            for name, *arguments in calls():
                if name in wants - names and answer(needed, name, arguments)[0] in ALLOWING:
                    enough += 1
                    self.assertIn(answer(held, name, arguments)[0], ALLOWING, (name, arguments, held, needed))
        self.assertGreater(enough, 100)

    def test_check_names_nothing_that_is_allowed(self) -> None:
        """Where no rule for a name has conditions nothing is in doubt: named is just what is missing."""
        seen = [0, 0]
        for source, default in self.rounds():
            held, needed = (random_document(source, default) for _ in range(2))
            rules = [rule for document in (held, needed) for rule in document["syscalls"]]
            missing = spoc.missing_from(decode(held), decode(needed), NATIVE)
            names = {name for rule in missing.rules for name in rule.names}
            plain = set(NAMES).difference(*(rule["names"] for rule in rules if "args" in rule))
            for name in plain if default not in ALLOWING else ():
                is_needed = answer(needed, name, (0, 0))[0] in ALLOWING
                is_missing = is_needed and answer(held, name, (0, 0))[0] not in ALLOWING
                seen[is_missing] += 1
                self.assertEqual(name in names, is_missing, (name, held, needed))
        self.assertGreater(min(seen), 100)

    def test_what_is_said_of_two_conditions_is_so(self) -> None:
        conditions = [spoc.Condition(0, operator, value, second) for operator in OPERATORS for value in VALUES
                      for second in (VALUES if operator == "SCMP_CMP_MASKED_EQ" else [0]) if not second & ~value]
        said = 0
        for one, other in itertools.product(conditions, repeat=2):
            documents = [{"index": 0, "op": each.op, "value": each.value, "valueTwo": each.value_two}
                         for each in (one, other)]
            true = [[holds(document, [value]) for value in range(16)] for document in documents]
            keys = [spoc.Rule("SCMP_ACT_ALLOW", (), conditions=(each,)).answer for each in (one, other)]
            if spoc.answers_exclude(*keys):
                said += 1
                self.assertFalse(any(map(min, *true)), (one, other))
            if one.op == "SCMP_CMP_EQ":  # then there is no doubt
                self.assertEqual(spoc.answer_implies(*keys), holds(documents[1], [one.value]), (one, other))
            if spoc.answer_implies(*keys):
                said += 1
                self.assertTrue(all(after or not before for before, after in zip(*true)), (one, other))
        self.assertGreater(said, 100)

    def test_a_rule_that_may_stop_it_is_not_enough(self) -> None:
        def rule(action: str, index: int) -> Dict[str, Any]:
            return {"names": ["socket"], "action": action, "args": [{"index": index, "value": 1, "op": "SCMP_CMP_EQ"}]}

        needed = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule("SCMP_ACT_ALLOW", 0)]}
        held = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
            rule("SCMP_ACT_ALLOW", 0), rule("SCMP_ACT_KILL_PROCESS", 1)]}
        self.assertFalse(spoc.missing_from(decode(needed), decode(needed), NATIVE).rules)
        self.assertTrue(spoc.missing_from(decode(held), decode(needed), NATIVE).rules)

    def test_denials_that_never_meet_leave_nothing_denied(self) -> None:
        documents = [{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["socket"], "action": "SCMP_ACT_ERRNO", "args": [
                {"index": 0, "value": value, "op": "SCMP_CMP_EQ"}]}]} for value in (1, 2)]
        merged = merge(*map(decode, documents))
        self.assertEqual(merged and merged.rules, ())

    def test_what_a_rule_allows_stays_allowed_under_a_chosen_default(self) -> None:
        denying = decode({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_ALLOW"}]})
        allowing = decode({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["read", "mount"], "action": "SCMP_ACT_ERRNO"}]})
        for inputs in itertools.permutations([("one", denying), ("two", allowing)]):
            merged = encode(spoc.merge_profiles(inputs, spoc.ALLOW))
            self.assertEqual(answer(merged, "read", [])[0], "SCMP_ACT_ALLOW")
            self.assertEqual(answer(merged, "mount", [])[0], "SCMP_ACT_ERRNO")

    def test_libseccomp_agrees(self) -> None:
        """The answers of the filters that libseccomp compiles of inputs and union."""
        machine = spoc.X86_64
        numbers = {name: spoc.libseccomp.seccomp_syscall_resolve_name_arch(machine.token, name.encode())
                   for name in NAMES}

        def judge(profile: spoc.Profile) -> "Dict[Any, spoc.Verdict]":
            program = spoc.FilterBuilder(profile, machine).build().program
            answered = {}
            for name, *arguments in calls():
                data = spoc.SeccompData(nr=numbers[name], arch=machine.token)
                data.args[0], data.args[1] = arguments
                answered[name, arguments[0], arguments[1]] = spoc.SimulatedFilter(program)(data)
            return answered

        compared = 0
        for seed in range(60):
            source = random.Random(seed)
            profiles = [decode(random_document(source, self.DEFAULTS[seed % 4])) for _ in range(2)]
            whole = merge(*profiles)
            if whole is None:
                continue
            try:
                parts, union = [judge(profile) for profile in profiles], judge(whole)
            except spoc.SpocError as error:  # i386's socketcall has the first argument in memory
                self.assertIn("socketcall", str(error))
                continue
            compared += 1
            for call, (action, _) in union.items():
                self.assertEqual(action in ALLOWING, any(part[call][0] in ALLOWING for part in parts),
                                 (call, profiles, whole))
        self.assertGreater(compared, 15)


def profile_text(names: str, profile_type: str = "seccomp", name: str = "app", **fields: Any) -> str:
    fields = {"default_action": "SCMP_ACT_ERRNO", "architectures": ("SCMP_ARCH_X86_64",), **fields}
    rules = (spoc.Rule("SCMP_ACT_ALLOW", tuple(names.split())), *fields.pop("rules", ()))
    return spoc.format_profile(spoc.Profile(rules=rules, **fields), profile_type, name)


class Commands(support.Case):
    """merge and diff as they are typed."""

    def write(self, file: str, text: str) -> str:
        path = self.folder / file
        path.write_text(text, encoding="utf-8")
        return str(path)

    def merged(self, *args: str, **options: Any) -> str:
        result = support.spoc("merge", *args, **options)
        self.assertEqual(result.returncode, 0, result.stderr)
        return str(result.stdout)

    def refused(self, *args: str, code: int = 125, **options: Any) -> str:
        result = support.spoc(*args, **options)
        self.assertEqual((result.returncode, result.stdout), (code, ""), result.stderr)
        self.assertRegex(result.stderr, r"\A\S+ Error: [^\n]+\n\Z")
        return str(result.stderr)

    def setUp(self) -> None:
        super().setUp()
        self.one = self.write("one.yaml", profile_text("read write"))
        self.two = self.write("two.json", profile_text("write openat", "raw-seccomp"))

    def test_order_of_inputs_changes_no_byte(self) -> None:
        three = self.write("three.yaml", profile_text("mount", name="other", flags=("SECCOMP_FILTER_FLAG_LOG",)))
        texts = {self.merged("-o", "-", *order) for order in itertools.permutations([self.one, self.two, three])}
        self.assertEqual(len(texts), 1)

    def test_coverage_is_what_the_operator_writes(self) -> None:
        (document,) = yaml_documents(self.merged(self.one, self.two))
        coverage = document["metadata"]["annotations"]["spo.x-k8s.io/syscall-coverage"]
        self.assertEqual(coverage, '{"version":"v1","total":2,"syscalls":{"openat":1,"read":1,"write":2}}')
        for schema in crd_schemas().values():
            jsonschema.validate(document, strict(schema))
        self.assertEqual(document["metadata"]["name"], "app")
        again = self.write("again.yaml", self.merged(self.one, self.two))
        (document,) = yaml_documents(self.merged(again, self.one))
        self.assertEqual(json.loads(document["metadata"]["annotations"]["spo.x-k8s.io/syscall-coverage"]), {
            "version": "v1", "total": 3, "syscalls": {"openat": 1, "read": 2, "write": 3}})
        (document,) = yaml_documents(self.merged(self.one))
        self.assertEqual(document["metadata"]["annotations"]["spo.x-k8s.io/syscall-coverage"],
                         '{"version":"v1","total":1,"syscalls":{"read":1,"write":1}}')

    @support.kernel_tier
    def test_coverage_that_makes_no_sense_is_one_input(self) -> None:
        for value in ("x", "{}", "[]", '{"version":"v2","total":5,"syscalls":{}}', "[" * 100000,
                      '{"version":"v1","total":1,"syscalls":{"read":2}}', '{"version":"v1","total":"5","syscalls":{}}',
                      *(f'{{"version":"v1","total":{total},"syscalls":{{"read":1}}}}'
                        for total in ("1e999", "2.5", 1 << 63, "9" * 4300))):
            text = profile_text("read").replace("metadata:", "metadata:\n  annotations:\n    "
                                                f"spo.x-k8s.io/syscall-coverage: '{value}'")
            (document,) = yaml_documents(self.merged(self.write("odd.yaml", text), self.one))
            self.assertIn('"total":2', document["metadata"]["annotations"]["spo.x-k8s.io/syscall-coverage"])

    def test_type_and_name(self) -> None:
        self.assertTrue(self.merged(self.two, self.two).startswith("{"))
        self.assertTrue(self.merged("-t", "raw-seccomp", self.one).startswith("{"))
        self.assertIn("\n  name: chosen\n", self.merged("--name", "chosen", self.one))
        other = self.write("other.yaml", profile_text("read", name="other"))
        path = self.folder / "both.yaml"
        self.merged("-o", str(path), self.one, other)
        self.assertIn("\n  name: both\n", path.read_text())

    def test_standard_input_and_one_of_several(self) -> None:
        both = self.write("both.yaml", profile_text("read", name="a") + "---\n" + profile_text("write", name="b"))
        text = self.merged("-t", "raw-seccomp", "-", f"{both}#b", input=profile_text("close"), stdin=None)
        self.assertEqual(json.loads(text)["syscalls"][0]["names"], ["close", "write"])
        self.assertIn("only once", self.refused("merge", "-", "-", code=2))
        self.assertIn("only once", self.refused("diff", "-", "-", code=2))

    def test_rules_survive(self) -> None:
        rules = (spoc.Rule("SCMP_ACT_ALLOW", ("socket",), conditions=(spoc.Condition(0, "SCMP_CMP_EQ", 2),)),
                 spoc.Rule("SCMP_ACT_ERRNO", ("clone3",), 38))
        path = self.write("rules.yaml", profile_text("read", rules=rules))
        for profile_type in ("seccomp", "raw-seccomp"):
            text = self.merged("-t", profile_type, path, self.one)
            for call, answered in ((("socket", [2, 0]), "SCMP_ACT_ALLOW"), (("socket", [1, 0]), "SCMP_ACT_ERRNO"),
                                   (("write", [0, 0]), "SCMP_ACT_ALLOW")):
                (document,) = yaml_documents(text)
                self.assertEqual(answer(document, *call)[0], answered, text)
            self.assertEqual(answer(document, "clone3", [0, 0]), ("SCMP_ACT_ERRNO", 38))

    @support.kernel_tier
    def test_flags_that_a_runtime_adds(self) -> None:
        """Without a list of flags runc and crun load SPEC_ALLOW, with an empty one none."""
        log, spec = "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"
        lists: Dict[str, Dict[str, Any]] = {
            "none": {}, "null": {"flags": None}, "empty": {"flags": []}, "log": {"flags": [log]},
            "spec": {"flags": [spec]}, "both": {"flags": [spec, log]}}
        paths = {name: self.write(name, json.dumps({"defaultAction": "SCMP_ACT_LOG", **given}))
                 for name, given in lists.items()}
        cases: List[Tuple[str, Optional[List[str]]]] = [
            ("none", None), ("none null", None), ("empty", []), ("empty empty", []), ("log", [log]),
            ("none empty", [spec]), ("none log", [log, spec]), ("empty log", [log]), ("log both", [log, spec]),
            ("none empty log", [log, spec]), ("null spec", [spec])]
        for names, flags in cases:
            for order in (names.split(), names.split()[::-1]):
                merged = json.loads(self.merged(*(paths[name] for name in order)))
                self.assertEqual(merged.get("flags"), flags, order)
                self.assertEqual("flags" in merged, flags is not None)
        for one, other, lines in (("none", "empty", [f"-flag {spec}"]), ("none", "null", []), ("none", "spec", []),
                                  ("none", "log", [f"-flag {spec}", f"+flag {log}"]),
                                  ("empty", "log", [f"+flag {log}"])):
            result = support.spoc("diff", paths[one], paths[other])
            self.assertEqual((result.returncode, result.stdout.splitlines()[2:]), (int(bool(lines)), lines))
        document = json.loads(support.spoc("diff", "--json", paths["none"], paths["empty"]).stdout)
        self.assertEqual((document["same"], document["a"].get("flags")), (False, [spec]))
        self.assertNotIn("flags", document["b"])
        self.assertIn("flags", self.refused("merge", "-t", "seccomp", paths["empty"]))

    def test_contradictions_name_syscall_and_files(self) -> None:
        denied = self.write("denied.yaml", profile_text("close", rules=(spoc.Rule("SCMP_ACT_ERRNO", ("read",), 38),)))
        message = self.refused("merge", "-o", str(self.folder / "out"), self.one, denied)
        for part in ("read", self.one, denied):
            self.assertIn(part, message)
        logging = self.write("log.yaml", profile_text("close", default_action="SCMP_ACT_LOG"))
        message = self.refused("merge", self.one, logging)
        for part in ("defaultAction", "--default-action", self.one, logging):
            self.assertIn(part, message)
        text = self.merged("--default-action", "SCMP_ACT_ERRNO:ENOSYS", "-t", "raw-seccomp", self.one, logging)
        self.assertEqual(json.loads(text)["defaultErrnoRet"], 38)
        self.assertIn("defaultErrnoRet", self.refused("merge", "--default-action", "SCMP_ACT_ERRNO:38", self.one))
        self.assertFalse((self.folder / "out").exists())

    @support.kernel_tier
    def test_each_further_file_takes_no_longer(self) -> None:
        def denials(step: int) -> "List[str]":
            return [self.write(f"{step}-{number}.json", json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
                {"names": ["socket"], "action": "SCMP_ACT_ERRNO", "args": [{"index": index, "value": value, "op": op}]}
                for index, value, op in ((0, number * step, "SCMP_CMP_NE"), (1, 7, "SCMP_CMP_EQ"))]}))
                    for number in range(64)]

        # 2 ** 64 steps would outlast any time limit.
        merged = json.loads(self.merged(*denials(1)))
        self.assertEqual([(rule["names"], rule["args"]) for rule in merged["syscalls"]], [
            (["socket"], [{"index": 0, "value": 64, "op": "SCMP_CMP_GE"}]),
            (["socket"], [{"index": 1, "value": 7, "op": "SCMP_CMP_EQ"}])])
        self.assertIn("socket: has more than 1000 rules", self.refused("merge", *denials(0x123456789ABCDE)))

    def test_base_profiles_are_not_lost(self) -> None:
        based = [self.write(f"{name}.yaml", profile_text("read").replace("spec:", f"spec:\n  baseProfileName: {name}"))
                 for name in "ab"]
        self.assertIn("baseProfileName: a", self.merged(based[0], self.one))
        self.assertIn("baseProfileName", self.refused("merge", *based))
        self.assertIn("baseProfileName", self.refused("merge", "-t", "raw-seccomp", based[0]))
        self.assertIn("+baseProfileName: a", support.spoc("diff", self.one, based[0]).stdout)

    def test_check_writes_nothing(self) -> None:
        before = os.stat(self.one).st_ino, os.stat(self.one).st_mtime_ns
        result = support.spoc("merge", "--check", "-o", self.one, self.two)
        self.assertEqual((result.returncode, result.stdout), (1, f"--- {self.one}\n+++ {self.two}\n+openat\n"),
                         result.stderr)
        self.assertEqual(support.spoc("merge", "--check", "-o", self.one, self.one).returncode, 0)
        self.assertEqual((os.stat(self.one).st_ino, os.stat(self.one).st_mtime_ns), before)
        self.refused("merge", "--check", self.one, code=2)

    def test_diff(self) -> None:
        result = support.spoc("diff", self.one, self.two)
        self.assertEqual((result.returncode, result.stdout),
                         (1, f"--- {self.one}\n+++ {self.two}\n+openat\n-read\n"))
        result = support.spoc("diff", self.one, self.write("same.json", profile_text("write read", "raw-seccomp")))
        self.assertEqual((result.returncode, result.stdout), (0, ""))
        document = json.loads(support.spoc("diff", "--json", self.one, self.two).stdout)
        self.assertEqual(document["same"], False)
        self.assertEqual(document["a"]["syscalls"], [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}])
        self.assertEqual(document["b"]["syscalls"], [{"names": ["openat"], "action": "SCMP_ACT_ALLOW"}])
        self.refused("diff", self.one, str(self.folder / "none"), code=2)
        self.refused("diff", self.one, self.write("bad", "a: [1"), code=2)
        self.refused("diff", self.one, code=2)

    def test_diff_of_a_nameless_syscall(self) -> None:
        rule = {"names": ["", "read"], "action": "SCMP_ACT_ALLOW"}
        odd = self.write("odd.json", json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule],
                                                 "architectures": ["SCMP_ARCH_X86_64"]}))
        result = support.spoc("diff", odd, self.one)
        self.assertEqual((result.returncode, result.stderr), (1, ""))
        self.assertEqual(result.stdout.splitlines()[2:], ["-", "+write"])

    @support.kernel_tier
    def test_every_filter_holds_the_native_architecture(self) -> None:
        native = spoc.this_machine().native.name
        same = [self.write(f"{index}.json", json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "architectures": names}))
                for index, names in enumerate(([], [native]))]
        same.append(self.write("native.yaml", profile_text("", architectures=("SCMP_ARCH_NATIVE",))))
        more = self.write("more.json", json.dumps({"defaultAction": "SCMP_ACT_ERRNO",
                                                   "architectures": ["SCMP_ARCH_S390X"]}))
        for one, other in itertools.permutations(same, 2):
            self.assertEqual(support.spoc("diff", one, other).stdout, "")
            self.assertEqual(support.spoc("merge", "--check", "-o", one, other).stdout, "")
        for path in same:
            self.assertEqual(support.spoc("diff", path, more).stdout.splitlines()[2:],
                             ["+architecture SCMP_ARCH_S390X"])

    def test_diff_shows_default_architectures_and_conditions(self) -> None:
        rules = (spoc.Rule("SCMP_ACT_ALLOW", ("socket",), conditions=(spoc.Condition(0, "SCMP_CMP_NE", 16),)),)
        other = self.write("other.json", profile_text("read write", "raw-seccomp", rules=rules, default_errno=38,
                                                      architectures=("SCMP_ARCH_X86_64", "SCMP_ARCH_S390X")))
        self.assertEqual(support.spoc("diff", self.one, other).stdout.splitlines()[2:], [
            "-default: SCMP_ACT_ERRNO (EPERM)", "+default: SCMP_ACT_ERRNO (ENOSYS)", "+architecture SCMP_ARCH_S390X",
            "+socket if args[0] != 16"])

    def test_colour_on_a_terminal_only(self) -> None:
        master, slave = pty.openpty()
        with open(master, "rb", buffering=0) as terminal:
            subprocess.run([sys.executable, str(support.SPOC), "diff", self.one, self.two], stdout=slave, check=False,
                           env={**os.environ, "TERM": "xterm", "NO_COLOR": ""})
            os.close(slave)
            self.assertIn(b"\x1b[32m+openat\x1b[m", terminal.read(4096))

    def test_names_that_libseccomp_does_not_know(self) -> None:
        """They are listed, and stay: a newer runtime may know them."""
        odd = self.write("odd.yaml", profile_text("read frobnicate sys_write"))
        for words in (("merge", odd), *(("convert", "-t", kind, odd) for kind in ("docker", "seccomp", "raw-seccomp"))):
            result = support.spoc(*words)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertEqual(re.findall(r"does not know these syscalls, and skips their rules: (.*)\n", result.stderr),
                             ["frobnicate, sys_write"])
            self.assertIn("frobnicate", result.stdout)
        self.assertEqual(support.spoc("merge", "-q", self.one).stderr, "")

    def test_what_portable_adds_is_listed(self) -> None:
        """By merge and convert, and by record at its end; what was there is not among it."""
        added = r" Adding what does the same work elsewhere \(--portable\): ([^\n]*)\n"
        for words in (("merge", "--portable", self.one), ("convert", "--portable", "-t", "seccomp", self.one)):
            result = support.spoc(*words)
            listed = set(re.findall(added, result.stderr)[0].split(", "))
            document, = yaml_documents(result.stdout)
            names = {name for rule in document["spec"]["syscalls"] for name in rule["names"]}
            self.assertEqual(listed, names - {"read", "write"})
        self.assertIn("preadv2", listed)

    @support.kernel_tier
    def test_bad_inputs(self) -> None:
        for text in ("", "a: 1\n", "\0", "a: [", profile_text("read").replace("ACT_ALLOW", "ACT_X"), "x" * 99):
            self.assertIn("bad.yaml", self.refused("merge", self.one, self.write("bad.yaml", text)))
        self.refused("merge", str(self.folder))
        for command in (["merge", ""], ["diff", "", self.one]):
            self.assertIn("''", self.refused(*command, code=2))
        self.refused("merge", "/dev/zero")
        for arguments in ("", "-t x ONE", "--name A_b ONE", "--default-action x ONE", "--output-file= ONE",
                          "--check ONE"):
            self.refused("merge", *arguments.replace("ONE", self.one).split(), code=2)
        for action, wrong in (("SCMP_ACT_NOTIFY", "no such action"), ("SCMP_ACT_DENY:ENOSYS", "no such action"),
                              ("SCMP_ACT_ERRNO:", "no errno"), ("SCMP_ACT_ERRNO:ENOWHERE", "no errno"),
                              ("SCMP_ACT_LOG:ENOSYS", "no errno")):
            self.assertIn(f"{action}: {wrong}", self.refused("merge", "--default-action", action, self.one, code=2))

    def test_files_are_written_as_record_writes_them(self) -> None:
        link, target = self.folder / "link.yaml", self.folder / "target"
        target.write_text("kept")
        link.symlink_to(target)
        self.merged("-o", str(link), self.one)
        self.assertEqual((target.read_text(), link.is_symlink()), ("kept", False))
        self.merged("-o", self.one, self.one, self.two)  # an input may be the output
        self.assertIn("openat", (self.folder / "one.yaml").read_text())
        self.refused("merge", "-o", str(self.folder / "no" / "folder"), self.one)


# Names of kernels newer than Debian 12's libseccomp.
NEWER_NAMES = {"fchmodat2", "riscv_hwprobe"}


class Portable(support.Case):
    """The table of siblings, and what it is for: other libcs."""

    def rows(self) -> "List[Tuple[List[str], List[str]]]":
        rows = []
        for line in spoc.SIBLINGS.strip().splitlines():
            names, _, reason = line.partition(":")
            self.assertTrue(reason.strip(), line)
            for group in names.split(","):
                left, arrow, right = group.partition(">")
                rows.append((left.split(), right.split() if arrow else left.split()))
        return rows

    def test_names_are_known(self) -> None:
        names = {name for left, right in self.rows() for name in left + right}
        self.assertEqual({name for name in names if not spoc.is_syscall_name(name)} - NEWER_NAMES, set())

    def test_no_name_is_in_two_classes(self) -> None:
        seen: List[str] = []
        for left, right in self.rows():
            self.assertEqual((len(set(left)), len(set(right))), (len(left), len(right)), left)
            if left == right:
                seen += left
        self.assertEqual(sorted(set(seen)), sorted(seen))

    def test_closure_is_idempotent_and_monotone(self) -> None:
        known = sorted({name for left, right in self.rows() for name in left + right})
        for seed in range(50):
            source = random.Random(seed)
            some = set(source.sample(known, source.randrange(20)))
            more = some | set(source.sample(known, 3))
            closure = spoc.portable_names(some, set())
            self.assertEqual(spoc.portable_names(closure, set()), closure)
            self.assertLessEqual(closure, spoc.portable_names(more, set()))

    def test_no_authority_is_added(self) -> None:
        known = {name for left, right in self.rows() for name in left + right}
        always = spoc.portable_names((), set())
        risky = HIGH_RISK | {"socketcall", "ipc"}
        self.assertEqual(spoc.portable_names(known - risky, set()) & risky, set())
        meant = [{"clock_settime", "clock_settime64", "settimeofday", "stime"}, {"umount", "umount2"},
                 {"clock_adjtime", "clock_adjtime64", "adjtimex"},
                 *({name, f"{name}32"} for name in risky if f"{name}32" in risky),
                 {"mknod", "mknodat"}, {"socketcall", "socket", "connect"}]
        for name in sorted(risky):
            added = (spoc.portable_names([name], set()) - always) & risky
            self.assertTrue(added <= {name} or any(added <= group for group in meant), (name, added))

    def test_what_does_more_is_not_added(self) -> None:
        for name, more in (("dup2", "fcntl"), ("fork", "clone"), ("creat", "open"), ("sendto", "sendmsg"),
                           ("bind", "socketcall"), ("semop", "ipc"), ("tgkill", "kill"), ("getpriority", "nice"),
                           ("prlimit64", "setrlimit")):
            self.assertNotIn(more, spoc.portable_names([name], set()))

    def test_what_a_rule_of_the_file_decides_stays(self) -> None:
        """A recording of clone3 has clone as its sibling, which the file allows for some flags only."""
        for options in ((), ("-t", "raw-seccomp")):
            profile = self.folder / f"narrowed{len(options)}"
            record = ("record", "-q", "-n", "--portable", *options, "-o", str(profile))
            narrowed = support.spoc(*record, "--args", "clone", "--", "sh", "-c", "true | cat; true")
            self.assertEqual(narrowed.returncode, 0, narrowed.stderr)
            threads = support.spoc(*record, "--append", "--", sys.executable, "-I", "-c",
                                   "import threading; threading.Thread(target=int).start()")
            self.assertEqual(threads.returncode, 0, threads.stderr)
            document = spoc.parse_document(profile.read_text(), "-")[0]
            rules = [each for each in spoc.spec_of(document)["syscalls"] if "clone" in each["names"]]
            self.assertTrue(rules)
            self.assertTrue(all(each.get("args") for each in rules), rules)

    def test_what_a_rule_decides_stays(self) -> None:
        rules = (spoc.Rule("SCMP_ACT_ALLOW", ("open", "fork")), spoc.Rule("SCMP_ACT_ERRNO", ("openat",), 13),
                 spoc.Rule("SCMP_ACT_ALLOW", ("clone",), conditions=(spoc.Condition(0, "SCMP_CMP_EQ", 17),)))
        profile = spoc.Profile("SCMP_ACT_ERRNO", (), rules)
        result = encode(spoc.portable_profile(profile, True))
        self.assertEqual(answer(result, "openat", [0]), ("SCMP_ACT_ERRNO", 13))
        self.assertEqual(answer(result, "openat2", [0]), ("SCMP_ACT_ALLOW", 0))
        self.assertEqual(answer(result, "clone", [17]), ("SCMP_ACT_ALLOW", 0))
        self.assertEqual(answer(result, "clone", [0x7E020011]), ("SCMP_ACT_ERRNO", 38))
        self.assertEqual(answer(result, "clone3", [0]), ("SCMP_ACT_ERRNO", 38))
        again = spoc.portable_profile(spoc.portable_profile(profile, True), True)
        self.assertEqual(again, spoc.portable_profile(profile, True))
        allowing = spoc.Profile("SCMP_ACT_ALLOW", (), ())
        self.assertEqual(spoc.portable_profile(allowing, True), allowing)

    def test_clone_that_a_rule_denies_stays_denied(self) -> None:
        """Though clone3 may do all that it does."""
        for default in ("SCMP_ACT_ERRNO", "SCMP_ACT_KILL_PROCESS"):
            for conditions in ((), (spoc.Condition(0, "SCMP_CMP_MASKED_EQ", 0x20000, 0x20000),)):
                profile = spoc.Profile(default, (), (
                    spoc.Rule("SCMP_ACT_ALLOW", ("clone3", "fork", "read")),
                    spoc.Rule("SCMP_ACT_TRAP", ("clone",), conditions=conditions)))
                before = profile.verdicts("clone")
                self.assertEqual(spoc.portable_profile(profile, False).verdicts("clone"), before)

    def test_fork_alone_has_clone3_answered_at_once(self) -> None:
        for says_errno in (False, True):
            once = spoc.portable_profile(spoc.Profile("SCMP_ACT_ERRNO", (), (spoc.Rule("SCMP_ACT_ALLOW", ("fork",)),)),
                                         says_errno)
            self.assertEqual(answer(encode(once), "clone3", [0]), ("SCMP_ACT_ERRNO", 38))
            self.assertEqual(answer(encode(once), "clone", [17]), ("SCMP_ACT_ALLOW", 0))
            self.assertEqual(answer(encode(once), "clone", [0x10000011])[0], "SCMP_ACT_ERRNO")
            self.assertEqual(spoc.portable_profile(once, says_errno), once)

    def test_what_an_earlier_rule_denies_is_not_allowed_by_a_later_one(self) -> None:
        """Where the default becomes ENOSYS, a rule that says ENOSYS is none any more."""
        rules = (spoc.Rule("SCMP_ACT_ERRNO", ("mount",), 38), spoc.Rule("SCMP_ACT_ALLOW", ("mount", "read")))
        result = encode(spoc.portable_profile(spoc.Profile("SCMP_ACT_ERRNO", (), rules), True))
        self.assertEqual(answer(result, "mount", [0]), ("SCMP_ACT_ERRNO", 38))
        self.assertEqual(answer(result, "read", [0]), ("SCMP_ACT_ALLOW", 0))

    def random_profile(self, source: random.Random, default: str, names: "List[str]") -> spoc.Profile:
        rules = [spoc.Rule("SCMP_ACT_ALLOW", tuple(source.sample(names, source.randrange(1, 4))))]
        if source.random() < 0.5:
            rules.append(spoc.Rule("SCMP_ACT_ALLOW", (source.choice(["clone", "clone", "ioctl", "personality"]),), 1, (
                source.choice([spoc.CLONE_NAMESPACES, spoc.Condition(0, "SCMP_CMP_EQ", 17)]),)))
        if source.random() < 0.3:
            rules.append(spoc.Rule("SCMP_ACT_ERRNO", ("clone3",), 38))
        if source.random() < 0.3:  # which says what the default says
            rules.append(spoc.Rule(default, tuple(source.sample(names, 2))))
        source.shuffle(rules)
        return spoc.Profile(default, (), tuple(rules))

    @support.kernel_tier
    def test_portable_and_merge_change_places(self) -> None:
        """And to make a profile portable twice is to do it once."""
        known = sorted({name for left, right in self.rows() for name in left + right})
        flags = (0, 17, 0x11200, 0x10000011)
        for seed in range(300):
            source = random.Random(seed)
            default, says_errno = source.choice(["SCMP_ACT_ERRNO"] * 3 + ["SCMP_ACT_LOG"]), source.random() < 0.5
            some = [*source.sample(known, 3), "fork", "clone", "clone3", "vfork"]
            one, two = (self.random_profile(source, default, some) for _ in range(2))

            def portable(profile: spoc.Profile) -> spoc.Profile:
                return spoc.portable_profile(profile, says_errno)

            pair, after = merge(one, two), merge(portable(one), portable(two))
            assert pair and after, (one, two)
            for first, second in ((portable(pair), after), (portable(portable(one)), portable(one)),
                                  (portable(after), after), (portable(portable(pair)), portable(pair))):
                only = [spoc.diff_profiles(*each, NATIVE) for each in ((first, second), (second, first))]
                self.assertFalse(any(each.rules for each in only), (seed, one, two, only))
                documents = encode(first), encode(second)
                for name in {*known, "ioctl", "personality"} if seed < 20 else some:
                    for value in flags:
                        self.assertEqual(answer(documents[0], name, [value]), answer(documents[1], name, [value]),
                                         (seed, name, one, two))
                self.assertEqual(first.default, second.default)

    def test_portable_widens_no_condition_but_clones(self) -> None:
        """Not even where siblings of others would bring the call: that a merge of portable profiles does."""
        narrowed = spoc.Rule("SCMP_ACT_ALLOW", ("mprotect", "fcntl"), 1, (spoc.Condition(2, "SCMP_CMP_EQ", 1),))
        others = spoc.Rule("SCMP_ACT_ALLOW", ("brk", "open"))
        for says_errno in (False, True):
            both = [spoc.portable_profile(spoc.Profile("SCMP_ACT_ERRNO", (), rules), says_errno)
                    for rules in ((narrowed, others), (others,), (narrowed,))]
            for name, value, action in itertools.product(("mprotect", "fcntl"), (1, 2), ("ALLOW", "ERRNO")):
                self.assertEqual(answer(encode(both[0]), name, [0, 0, value])[0] == f"SCMP_ACT_{action}",
                                 (value == 1) == (action == "ALLOW"))
            merged = merge(both[1], both[2])
            assert merged is not None
            self.assertEqual(answer(encode(merged), "mprotect", [0, 0, 2]), ("SCMP_ACT_ALLOW", 0))

    def flavours(self) -> Dict[str, str]:
        """The same program with glibc and musl, dynamic and static."""
        support.require_command("musl-gcc", "gcc")
        programs = {"glibc": support.build("portable.c", "-pthread"),
                    "static glibc": support.build("portable.c", "-pthread", "-static")}
        for name, flag in (("musl", "-pthread"), ("static musl", "-static")):
            programs[name] = str(self.folder / name)
            subprocess.run(["musl-gcc", "-O1", "-D_GNU_SOURCE", "-o", programs[name], flag,
                            str(support.PROGRAMS / "portable.c")], check=True)
        return programs

    @support.kernel_tier
    def test_another_libc(self) -> None:
        support.require_root()
        programs, work = self.flavours(), self.folder / "work"
        work.mkdir()
        for recorded, mode in (("glibc", "threads"), ("musl", "fork"), ("static musl", "threads")):
            for profile_type in ("raw-seccomp", "seccomp"):
                profile = str(self.folder / "profile")
                result = support.spoc("record", "-n", "--portable", "-t", profile_type, "-o", profile,
                                      programs[recorded], str(work), mode)
                self.assertEqual(result.returncode, 0, result.stderr)
                for name, program in programs.items():
                    with self.subTest(recorded=recorded, mode=mode, run=name, type=profile_type):
                        result = support.spoc("run", "-b", "execve", "-p", profile, program, str(work), mode)
                        self.assertEqual(result.returncode, 0, result.stderr)
                if mode == "fork":  # which shall not become more
                    result = support.spoc("run", "-b", "execve", "-p", profile, programs["musl"], str(work),
                                          "namespace")
                    self.assertEqual(result.returncode, 77, result.stderr)

    @support.kernel_tier
    def test_without_portable_another_libc_fails(self) -> None:
        support.require_root()
        programs, work = self.flavours(), self.folder / "work"
        work.mkdir()
        profile = str(self.folder / "profile.json")
        for arguments in (["record", "-n", "-t", "raw-seccomp", "-o", profile], ["run", "-b", "execve", "-p", profile]):
            result = support.spoc(*arguments, programs["musl"], str(work), "fork")
            self.assertEqual(result.returncode, 0, result.stderr)
        result = support.spoc("run", "-b", "execve", "-p", profile, programs["glibc"], str(work), "fork", timeout=60)
        self.assertNotEqual(result.returncode, 0)
        merged = self.folder / "merged.json"
        self.assertEqual(support.spoc("merge", "--portable", "-o", str(merged), profile).returncode, 0)
        self.assertEqual(json.loads(merged.read_text())["defaultErrnoRet"], 38)
        for child in work.iterdir():
            child.unlink()
        result = support.spoc("run", "-b", "execve", "-p", str(merged), programs["glibc"], str(work), "fork")
        self.assertEqual(result.returncode, 0, result.stderr)


if __name__ == "__main__":
    unittest.main()
