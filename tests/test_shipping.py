# SPDX-License-Identifier: MIT
"""From a recording to a profile that one can ship: merge, diff and --portable."""

import itertools
import json
import random
import unittest
from typing import Any, Dict, List, Optional, Sequence, Tuple

import spoc

HOST = spoc.Host("SCMP_ARCH_X86_64", "6.1", [])
NAMES = ["read", "socket", "clone", "ioctl", "mount"]
VALUES = range(4)
OPERATORS = ["SCMP_CMP_EQ", "SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_GE", "SCMP_CMP_GT",
             "SCMP_CMP_MASKED_EQ"]
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
    adjtimex stime setuid setuid32 setgid setgid32 setreuid setregid setresuid setresgid setgroups capset execveat
    process_mrelease landlock_restrict_self memfd_create memfd_secret ioctl prctl kill mknod mknodat socket connect
""".split())


def holds(condition: Dict[str, Any], arguments: Sequence[int]) -> bool:
    """libseccomp's comparisons (seccomp_rule_add(3)), written again."""
    value, first = arguments[condition["index"]], condition.get("value", 0)
    operator = condition["op"].replace("SCMP_CMP_", "")
    if operator == "MASKED_EQ":
        return value & first == int(condition.get("valueTwo", 0))
    return {"EQ": value == first, "NE": value != first, "LT": value < first, "LE": value <= first,
            "GE": value >= first, "GT": value > first}[operator]


def answer(document: Dict[str, Any], name: str, arguments: Sequence[int]) -> Tuple[str, int]:
    """What runc and libseccomp make of a call under a profile of the OCI specification, without spoc.py."""
    spec = document.get("spec", document)

    def verdict(where: Dict[str, Any], action: str, number: str) -> Tuple[str, int]:
        if where[action] in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"):
            return where[action], where.get(number, 1)
        return where[action], 0

    default = verdict(spec, "defaultAction", "defaultErrnoRet")
    rules = [(verdict(rule, "action", "errnoRet"), rule.get("args") or []) for rule in spec["syscalls"]
             if name in rule["names"]]
    rules = [rule for rule in rules if rule[0] != default]  # runc leaves these out
    for action, conditions in rules:
        if not conditions:
            return action
    for action, conditions in rules:
        indices = [condition["index"] for condition in conditions]
        true = [holds(condition, arguments) for condition in conditions]
        if any(true) if len(set(indices)) < len(indices) else all(true):
            return action
    return default


def calls() -> "itertools.product[Any]":
    return itertools.product(NAMES, VALUES, VALUES)


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


class Laws(unittest.TestCase):
    """What holds for all profiles, on generated ones."""

    ROUNDS = 400
    DEFAULTS = ["SCMP_ACT_ERRNO", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_LOG", "SCMP_ACT_ALLOW"]

    def rounds(self) -> "List[Tuple[random.Random, str]]":
        return [(random.Random(seed), default) for default in self.DEFAULTS for seed in range(self.ROUNDS)]

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

    def test_merge_is_commutative_associative_and_idempotent(self) -> None:
        associative = 0
        for source, default in self.rounds():
            one, two, three = (decode(random_document(source, default)) for _ in range(3))
            whole = merge(one, two, three)
            for order in itertools.permutations([one, two, three]):
                self.assertEqual(merge(*order), whole)
            for first, second, last in ((one, two, three), (two, three, one)):
                pair = merge(first, second)
                if pair is not None and whole is not None:
                    associative += 1
                    nested = merge(pair, last)
                    self.assertIn(nested, (whole, None))
                    if default not in ALLOWING:
                        self.assertEqual(nested, whole)
                elif pair is None and default not in ALLOWING:
                    self.assertIsNone(whole)
            self.assertEqual(merge(one, one), merge(one))
            normal = merge(one)
            if normal is not None:
                self.assertEqual(merge(normal), normal)
                self.assertEqual(merge(one, normal), normal)
        self.assertGreater(associative, self.ROUNDS)

    def test_only_what_contradicts_is_refused(self) -> None:
        refused = 0
        for source, default in self.rounds():
            documents = [random_document(source, default) for _ in range(2)]
            try:
                spoc.merge_profiles([("one.json", decode(documents[0])), ("two.json", decode(documents[1]))])
            except spoc.SpocError as error:
                refused += 1
                if "two conditions on one argument" in str(error):
                    continue
                rules = [rule for document in documents for rule in document["syscalls"]
                         if error.subject in rule["names"]]
                self.assertGreater(len({(rule["action"], rule.get("errnoRet")) for rule in rules}), 1, rules)
                self.assertRegex(str(error), r"(one|two)\.json")
        self.assertGreater(refused, 50)

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
            only = spoc.diff_profiles(decode(document), decode(other))
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

    def test_nothing_is_lost(self) -> None:
        for source, default in self.rounds():
            one, two = (decode(random_document(source, default)) for _ in range(2))
            self.assertFalse(any(each.rules or each.architectures or each.flags
                                 for each in spoc.diff_profiles(one, one)))
            whole = merge(one, two)
            if whole is None:
                continue
            for part in (one, two):
                missing = spoc.missing_from(whole, part)
                self.assertEqual((missing.rules, missing.architectures), ((), ()), (part, whole))
            if default not in ALLOWING and merge(one) is not None:
                lost, _ = spoc.diff_profiles(one, whole)
                self.assertFalse([rule for rule in lost.rules if not rule.conditions], (one, whole))

    def test_check_promises_nothing_that_is_not_allowed(self) -> None:
        enough = 0
        for source, default in self.rounds():
            held, needed = (random_document(source, default) for _ in range(2))
            missing = spoc.missing_from(decode(held), decode(needed))
            names = {name for rule in missing.rules for name in rule.names}
            wants = {name for rule in needed["syscalls"] for name in rule["names"] if rule["action"] in ALLOWING}
            for name, *arguments in calls():
                if name in wants - names and merge(decode(held)) and answer(needed, name, arguments)[0] in ALLOWING \
                        and needed["defaultAction"] not in ALLOWING:
                    enough += 1
                    self.assertIn(answer(held, name, arguments)[0], ALLOWING, (name, arguments, held, needed))
        self.assertGreater(enough, 100)

    def test_libseccomp_agrees(self) -> None:
        """The answers of the filters that libseccomp compiles of inputs and union."""
        machine = spoc.X86_64
        numbers = {name: spoc.libseccomp.seccomp_syscall_resolve_name_arch(machine.token, name.encode())
                   for name in NAMES}

        def judge(profile: spoc.Profile) -> "Dict[Any, Tuple[str, int]]":
            program = spoc.FilterBuilder(profile, machine, False).build(0, False).program
            judged = {}
            for name, *arguments in calls():
                data = spoc.SeccompData(nr=numbers[name], arch=machine.token)
                data.args[0], data.args[1] = arguments
                judged[name, arguments[0], arguments[1]] = spoc.FilterJudge(program)(data)
            return judged

        compared = 0
        for seed in range(60):
            source = random.Random(seed)
            profiles = [decode(random_document(source, self.DEFAULTS[seed % 4])) for _ in range(2)]
            whole = merge(*profiles)
            if whole is None:
                continue
            compared += 1
            parts = [judge(profile) for profile in profiles]
            for call, (action, _) in judge(whole).items():
                self.assertEqual(action in ALLOWING, any(part[call][0] in ALLOWING for part in parts),
                                 (call, profiles, whole))
        self.assertGreater(compared, 15)


if __name__ == "__main__":
    unittest.main()
