# SPDX-License-Identifier: MIT
"""record --append as a gentle editor: what is there stays, byte for byte, and what it keeps blocked is named."""

import contextlib
import itertools
import json
import os
import random
import re
import sys
import tempfile
import unittest
import unittest.mock
from typing import Any, Dict, Iterator, List

import yaml

import spoc
import support
from cases import append_names
from support import ALLOW, ERRNO, X86, X86_64

TIER = "pure"
LOG, KILL = "SCMP_ACT_LOG", "SCMP_ACT_KILL_PROCESS"
MASKED_EQ = "SCMP_CMP_MASKED_EQ"
WORD, WHOLE = (1 << 32) - 1, (1 << 64) - 1
POOL = ["access", "brk", "clone", "clone3", "execve", "fork", "getpid", "getppid", "ioctl", "open", "prctl", "socket"]
NARROWED = ["ioctl", "prctl", "socket"]


@contextlib.contextmanager
def standard_error() -> Iterator[List[str]]:
    """What goes to descriptor 2 meanwhile: it is in the list afterwards."""
    told: List[str] = []
    with tempfile.TemporaryFile() as file:
        kept = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield told
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            told.append(file.read().decode())


def profile_text(document: Dict[str, Any], chance: random.Random) -> str:
    """The document in one of the layouts that people and tools write."""
    if chance.random() < 0.4:
        indent = chance.choice([None, 2, 4, "\t"])
        text = json.dumps(document, indent=indent, separators=(",", ":") if chance.random() < 0.3 else None)
    else:
        text = yaml.safe_dump(document, sort_keys=False, width=chance.choice([80, 1000]),
                              default_flow_style=chance.choice([False, False, None])).rstrip("\n")
        lines = text.split("\n")
        text = "\n".join(line + ("  # why" if chance.random() < 0.2 and line[-1:] in "]}:" else "") for line in lines)
        text = chance.choice(["", "# mine\n", "---\n"]) + text
    text += chance.choice(["\n", "\n", ""])
    return chance.choice(["", "", "\ufeff"]) + text.replace("\n", chance.choice(["\n", "\n", "\r\n"]))


def random_condition(chance: random.Random) -> Dict[str, Any]:
    value = chance.choice([0, 0, 1, 2, 40])
    condition: Dict[str, Any] = chance.choice([
        {"index": 0, "value": WORD, "valueTwo": value, "op": MASKED_EQ},
        {"index": 0, "value": value, "op": "SCMP_CMP_EQ"}, {"index": 0, "value": value, "op": "SCMP_CMP_LE"}])
    if not condition.get("valueTwo") and chance.random() < 0.5:
        condition["valueTwo"] = 0
        if chance.random() < 0.5:
            del condition["valueTwo"]
    return condition


def random_document(chance: random.Random, profile_type: str) -> Dict[str, Any]:
    rules: List[Dict[str, Any]] = []
    for _ in range(chance.randrange(5)):
        rule: Dict[str, Any] = {"names": chance.sample(POOL, chance.randrange(1, 4)),
                                "action": chance.choice([ALLOW, ALLOW, ALLOW, ERRNO, LOG, KILL])}
        if chance.random() < 0.4:
            rule.update(names=chance.sample(NARROWED, 1), args=[random_condition(chance)])
        rules.append(rule)
    spec: Dict[str, Any] = {"defaultAction": chance.choice([ERRNO, ERRNO, ERRNO, LOG, ALLOW, KILL])}
    if chance.random() < 0.5:
        spec["architectures"] = chance.choice([[X86_64], [X86_64, X86], [], None, ["SCMP_ARCH_AARCH64"]])
    if rules or chance.random() < 0.7:
        spec["syscalls"] = rules or (None if chance.random() < 0.5 else [])
    if profile_type == "raw-seccomp":
        return spec
    return {"apiVersion": "security-profiles-operator.x-k8s.io/v1beta1", "kind": "SeccompProfile",
            "metadata": {"name": "mine"}, "spec": spec}


def random_recorded(chance: random.Random) -> spoc.Profile:
    """What record makes of a recording: see make_profile() there."""
    narrowed = chance.sample(NARROWED, chance.randrange(3))
    names = set(chance.sample(POOL, chance.randrange(1, 6))) - set(narrowed)
    rules = [spoc.Rule(ALLOW, tuple(sorted(names)))] if names else []
    for name in narrowed:
        for value in chance.sample([0, 1, 2, 40, WORD], chance.randrange(1, 4)):
            rules.append(spoc.Rule(ALLOW, (name,), conditions=(spoc.Condition(0, MASKED_EQ, WORD, value),)))
    return spoc.Profile(ERRNO, chance.choice([(X86_64,), (X86_64, X86)]), tuple(rules))


class Law(support.Case):
    """Appending what is there changes no byte, and appending what is not changes no byte that is there."""

    def test_each_text_is_read_once(self) -> None:
        """That of the file, and the new one to see that it says what it should."""
        path = self.folder / "profile"
        rule = {"names": ["dup"], "action": ALLOW}
        before = "# mine\n" + yaml.safe_dump({"defaultAction": ERRNO, "syscalls": [rule]})
        path.write_text(before, encoding="utf-8")
        command = spoc.RecordCommand(spoc.RecordOptions(type="raw-seccomp", output_file=str(path), append=True,
                                                        portable=True), ("true",))
        recorded = spoc.Profile(ERRNO, (X86_64, X86), (spoc.Rule(ALLOW, ("brk",)), spoc.Rule(
            ALLOW, ("ioctl",), conditions=(spoc.Condition(0, MASKED_EQ, WORD, 1),))))
        with unittest.mock.patch("spoc.YamlReader", wraps=spoc.YamlReader) as reader:
            after = command.output._text(recorded)
        self.assertEqual([call[0][0] for call in reader.call_args_list], [before, after])

    def test_random_profiles(self) -> None:
        chance = random.Random(17)
        path = self.folder / "profile"
        for number in range(200):
            profile_type = chance.choice(["seccomp", "raw-seccomp"])
            text = profile_text(random_document(chance, profile_type), chance)
            recorded = random_recorded(chance)
            options = spoc.RecordOptions(type=profile_type, output_file=str(path), append=True,
                                         portable=chance.random() < 0.4)
            with self.subTest(number=number, text=text, recorded=recorded, portable=options.portable):
                path.write_bytes(text.encode())
                command = spoc.RecordCommand(options, ("true",))
                with standard_error() as told:
                    once = command.output._text(recorded)
                    path.write_bytes(once.encode())
                    self.assertEqual(command.output._text(recorded), once)
                self.assertNotIn("are lost", told[0])
                rest = iter(once)
                kept = re.sub(r"((?:syscalls|architectures)\"?:) ?(?:null|\[\])", r"\1", text)
                self.assertTrue(all(character in rest for character in kept), f"{text}\n{once}")
                self.assertEqual(once.startswith("\ufeff"), text.startswith("\ufeff"))
                self.assertEqual(re.findall("(?<!\r)\n", once) != [], re.findall("(?<!\r)\n", text) != [])
                self.assertEqual(once[-1] == "\n", text[-1] == "\n")


class Layout(support.Case):
    """The file keeps its language, its ends of lines and its kind."""

    CRD: Dict[str, Any] = {"apiVersion": "security-profiles-operator.x-k8s.io/v1beta1", "kind": "SeccompProfile",
                           "metadata": {"name": "mine"}, "spec": {"defaultAction": ERRNO}}
    RULE = "\n  - action: SCMP_ACT_ALLOW\n    names:\n      - brk"

    def append(self, text: str, profile_type: str, *names: str) -> str:
        """What becomes of the text, without a word about it."""
        path = self.folder / "profile"
        path.write_bytes(text.encode())
        options = spoc.RecordOptions(type=profile_type, output_file=str(path), append=True)
        with standard_error() as told:
            after: str = spoc.RecordCommand(options, ("true",)).output._text(spoc.Profile(
                ERRNO, (X86_64,), (spoc.Rule(ALLOW, names),)))
        self.assertEqual(told, [""])
        return after

    def test_ends_of_lines(self) -> None:
        head = "# mine\ndefaultAction: SCMP_ACT_ERRNO\n"
        for mark, newline, end in itertools.product(("", "\ufeff"), ("\n", "\r\n"), ("\n", "")):
            for syscalls, after in (("syscalls: []", "syscalls:" + self.RULE),
                                    ("syscalls: null", "syscalls:" + self.RULE),
                                    ("syscalls:", "syscalls:" + self.RULE),
                                    ("'syscalls' : [ ]", "'syscalls' :" + self.RULE),
                                    ("syscalls:\n  []", "syscalls:" + self.RULE),
                                    ("syscalls: ~  # none", "syscalls:  # none" + self.RULE),
                                    ("syscalls:\n- names:\n  - brk\n  - dup\n  action: SCMP_ACT_ALLOW",) * 2):
                before, expected = (mark + (head + each + end).replace("\n", newline) for each in (syscalls, after))
                with self.subTest(before=before):
                    self.assertEqual(self.append(before, "raw-seccomp", "brk"), expected)

    def test_one_line_of_yaml(self) -> None:
        for syscalls, after in (
            ("syscalls: []", 'syscalls: [{"action": "SCMP_ACT_ALLOW", "names": ["brk"]}]'),
            ("syscalls: null ", 'syscalls: [{"action": "SCMP_ACT_ALLOW", "names": ["brk"]}] '),
            ("syscalls: ", 'syscalls: [{"action": "SCMP_ACT_ALLOW", "names": ["brk"]}] '),
            ("syscalls: [{action: SCMP_ACT_ALLOW, names: [dup]}]",
             "syscalls: [{action: SCMP_ACT_ALLOW, names: [brk, dup]}]"),
        ):
            text = f"# mine\nspec: {{defaultAction: SCMP_ACT_ERRNO, {syscalls}}}  # here\nkind: SeccompProfile\n" \
                   "apiVersion: security-profiles-operator.x-k8s.io/v1\n"
            with self.subTest(text=text):
                written = self.append(text, "seccomp", "brk")
                self.assertEqual(written, text.replace(syscalls, after))
                self.assertIn("brk", yaml.safe_load(written)["spec"]["syscalls"][0]["names"])

    def test_custom_resource_in_json(self) -> None:
        """As kubectl get -o json writes it, and a list of one as well."""
        rules = [{"action": ALLOW, "names": ["dup"]}]
        for syscalls in (rules, [], None):
            names = ["brk", "dup"] if syscalls else ["brk"]
            one, added = (dict(self.CRD, spec={"defaultAction": ERRNO, "syscalls": each})
                          for each in (syscalls, [{"action": ALLOW, "names": names}]))
            for indent in (None, 2, 4, "\t"):
                for before, after in ((one, added), ({"items": [one], "kind": "List"},
                                                     {"items": [added], "kind": "List"})):
                    with self.subTest(before=before, indent=indent):
                        self.assertEqual(self.append(json.dumps(before, indent=indent) + "\n", "seccomp", "brk"),
                                         json.dumps(after, indent=indent) + "\n")

    def test_what_takes_new_text(self) -> None:
        """It stays in its language, and with its ends of lines."""
        text = "\ufeffdefaultAction: SCMP_ACT_ERRNO\r\nsyscalls:\r\n  # none\r\n  []\r\n"
        source = spoc.parse_profile(text, "FILE", spoc.Host("", "6.1", ()))
        with standard_error() as told:
            after = spoc.format_changed(source, append_names(source, ["brk"], [X86_64]))
        expected = f"\ufeffdefaultAction: SCMP_ACT_ERRNO\nsyscalls:{self.RULE}\n"
        self.assertEqual(after, expected.replace("\n", "\r\n"))
        self.assertRegex(told[0], r"^\S+ Comments in FILE are lost: [^\n]*\n$")

    def test_text_that_nobody_could_read(self) -> None:
        """What has a tag is kept as it was written, with an alias whose anchor goes: nothing is written then."""
        text = """\
apiVersion: security-profiles-operator.x-k8s.io/v1beta1
kind: SeccompProfile
metadata:
  name: x
  q: &q {a: 1}
  labels: !foo [1, *q]
spec:
  defaultAction: SCMP_ACT_ERRNO
  syscalls:
  - action: SCMP_ACT_ALLOW
    names: &n [read, write]
  - action: SCMP_ACT_LOG
    names: *n
"""
        with self.assertRaisesRegex(spoc.ProfileError, r"alias \*q: no such anchor"):
            self.append(text, spoc.TYPE_CRD, "exit")

    def test_comments_in_braces(self) -> None:
        """Nor are they lost without a word where two rules share the list that has to grow."""
        text = ("{defaultAction: SCMP_ACT_ERRNO, syscalls: [  # mine\n  {action: SCMP_ACT_ALLOW, names: &names [dup]},"
                "\n  {action: SCMP_ACT_LOG, names: *names}]}\n")
        source = spoc.parse_profile(text, "FILE", spoc.Host("", "6.1", ()))
        new = append_names(source, ["brk"], [X86_64])
        with standard_error() as told:
            self.assertEqual(yaml.safe_load(spoc.format_changed(source, new)), new)
        self.assertRegex(told[0], r"^\S+ Comments in FILE are lost: [^\n]*\n$")

    def test_profile_beside_comes_before_the_advice(self) -> None:
        """Were shlex, which the advice needs, not to be had, the profile would be there all the same."""
        path = self.folder / "profile"
        options = spoc.RecordOptions(output_file=str(path), append=True)
        command = spoc.RecordCommand(options, ("true",))
        with unittest.mock.patch.dict(sys.modules, shlex=None), self.assertRaises(ImportError):
            command.output.write_beside(spoc.Profile(ERRNO, (X86_64,), (spoc.Rule(ALLOW, ("brk",)),)), "why")
        self.assertIn("- brk", path.with_name("profile.1").read_text())

    def test_type_against_the_file(self) -> None:
        texts = {"raw-seccomp": ["# mine\ndefaultAction: SCMP_ACT_ERRNO\n", json.dumps({"defaultAction": ERRNO})],
                 "seccomp": [json.dumps(self.CRD), yaml.safe_dump(self.CRD)]}
        for profile_type, each in texts.items():
            for text in each:
                for asked in texts.keys() - {profile_type}:
                    with self.subTest(text=text), self.assertRaises(spoc.ProfileError) as caught:
                        self.append(text, asked, "brk")
                    self.assertIn(f"is not of type {asked}", str(caught.exception))
                    self.assertEqual((self.folder / "profile").read_text(encoding="utf-8"), text)


class Architectures(support.Case):
    """An architecture that is there is not added under another name, nor are twins taken away."""

    def test_native(self) -> None:
        for listed, after in ((["SCMP_ARCH_NATIVE"], ["SCMP_ARCH_NATIVE"]), ([X86, X86], [X86, X86, X86_64]),
                              (["SCMP_ARCH_NATIVE", X86_64], ["SCMP_ARCH_NATIVE", X86_64])):
            document = {"defaultAction": ERRNO, "architectures": listed}
            self.assertEqual(append_names(document, [], [X86_64])["architectures"], after)
        both = append_names({"defaultAction": ERRNO, "architectures": ["SCMP_ARCH_NATIVE"]}, [], [X86_64, X86])
        self.assertEqual(both["architectures"], ["SCMP_ARCH_NATIVE", X86])

    def test_none_is_listed(self) -> None:
        """Then a filter is for this machine's own alone, which needs no list (seccomp_arch_add(3))."""
        choices: List[Dict[str, Any]] = [{}, {"architectures": []}, {"architectures": None}]
        for listed in choices:
            document = {"defaultAction": ERRNO, **listed}
            self.assertEqual(append_names(document, [], [X86_64]), document)
            self.assertEqual(append_names(document, [], [X86_64, X86])["architectures"], [X86_64, X86])

    def test_map(self) -> None:
        document = {"defaultAction": ERRNO, "archMap": [{"architecture": X86_64, "subArchitectures": [X86, X86]}]}
        self.assertEqual(append_names(document, [], [X86_64, X86]), document)
        arm = {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]}  # another machine's
        entries: List[List[Dict[str, Any]]] = [[], [{"architecture": X86_64}],
                                               [{"architecture": X86_64, "subArchitectures": None}]]
        for own in entries:
            document = {"defaultAction": ERRNO, "archMap": [arm, *own]}
            self.assertEqual(append_names(document, [], [X86_64, X86])["archMap"],
                             [arm, {"architecture": X86_64, "subArchitectures": [X86]}])


class Kept(support.Case):
    """What an append leaves blocked is named; what the profile allows is not."""

    SOCKET = {"index": 0, "op": "SCMP_CMP_EQ"}

    def kept(self, rules: List[Dict[str, Any]], *recorded: spoc.Rule, default: str = ERRNO) -> List[str]:
        path = self.folder / "profile"
        path.write_text(json.dumps({"defaultAction": default, "syscalls": rules}), encoding="utf-8")
        options = spoc.RecordOptions(type="raw-seccomp", output_file=str(path), append=True)
        with standard_error() as told:
            spoc.RecordCommand(options, ("true",)).output._text(spoc.Profile(ERRNO, (X86_64,), recorded))
        found = re.findall(r"kept the other action that \S+ has for: (.*)\n", told[0])
        return found[0].split(", ") if found else []

    def test_a_rule_before(self) -> None:
        allow, deny = {"names": ["getppid", "execve"], "action": ALLOW}, {"names": ["getppid"], "action": ERRNO,
                                                                          "errnoRet": 38}
        recorded = spoc.Rule(ALLOW, ("execve", "getppid"))
        self.assertEqual(self.kept([deny, allow], recorded), ["getppid"])
        self.assertEqual(self.kept([allow, deny], recorded), [])  # the first counts
        self.assertEqual(self.kept([{**deny, "action": LOG, "errnoRet": None}, allow], recorded), ["getppid"])
        self.assertEqual(self.kept([{**deny, "args": [{**self.SOCKET, "value": 1}]}, allow], recorded), [])
        self.assertEqual(self.kept([deny], recorded, default=ALLOW), ["getppid"])
        self.assertEqual(self.kept([{**deny, "errnoRet": 1}, allow], recorded), [])  # says what the default says

    def test_conditions(self) -> None:
        def rule(action: str, value: int) -> Dict[str, Any]:
            return {"names": ["socket"], "action": action, "args": [{**self.SOCKET, "value": value}]}

        for value, kept in ((1, []), (2, ["socket"]), (3, ["socket"])):
            recorded = spoc.Rule(ALLOW, ("socket",), conditions=(spoc.Condition(0, MASKED_EQ, WORD, value),))
            self.assertEqual(self.kept([rule(ALLOW, 1), rule(KILL, 2)], recorded), kept)
            self.assertEqual(self.kept([rule(KILL, 2)], recorded, default=ALLOW), ["socket"] * (value == 2))
            self.assertEqual(self.kept([rule(ALLOW, 1)], recorded), [])


class Narrow(support.Case):
    """A rule that does not hold for every call allows only those for which it does."""

    def test_rules_that_depend_on_something(self) -> None:
        conditions: List[Dict[str, Any]] = [{"args": [{"index": 0, "op": "SCMP_CMP_EQ", "value": 1}]},
                                            {"includes": {"arches": ["s390"]}}, {"excludes": {"caps": ["CAP_CHOWN"]}}]
        for condition in conditions:
            with self.subTest(condition):
                rule: Dict[str, Any] = {"names": ["brk"], "action": ALLOW, **condition}
                after = append_names({"defaultAction": ERRNO, "syscalls": [rule]}, ["brk"], [X86_64])
                self.assertEqual(after["syscalls"], [{"action": ALLOW, "names": ["brk"]}, rule])

    def test_one_condition_of_several(self) -> None:
        """On one argument they are alternatives, as runc takes them; on two each has to hold."""
        one, another, second = ({"index": index, "op": MASKED_EQ, "value": WORD, "valueTwo": value}
                                for index, value in ((0, 1), (0, 2), (1, 1)))
        recorded = spoc.Profile(ERRNO, (X86_64,), (
            spoc.Rule(ALLOW, ("ioctl",), conditions=(spoc.Condition(0, MASKED_EQ, WORD, 1),)),))
        for conditions, added in (([one], 0), ([one, another], 0), ([one, second], 1), ([another], 1), ([], 0)):
            rule: Dict[str, Any] = {"names": ["ioctl"], "action": ALLOW, **({"args": conditions} if conditions else {})}
            host = spoc.Host("", "6.1", ())
            source = spoc.parse_profile(json.dumps({"defaultAction": ERRNO, "syscalls": [rule]}), "file", host)
            after, _, _ = spoc.append_profile(source, recorded, host)
            self.assertEqual(after["syscalls"], [
                {"action": ALLOW, "names": ["ioctl"], "args": [one]}] * added + [rule], conditions)

    def test_what_is_logged_stays_logged(self) -> None:
        """Also where a name is to be allowed whatever the rules say: only what denies it goes."""
        rules: List[Dict[str, Any]] = [{"names": ["brk", "dup"], "action": LOG},
                                       {"names": ["brk", "open"], "action": KILL}]
        added = spoc.Profile(ERRNO, (X86_64,), (spoc.Rule(ALLOW, ("brk",)),))
        after = spoc.edit_document({"defaultAction": ERRNO, "syscalls": rules}, added, {"brk"})
        self.assertEqual(after["syscalls"], [{"action": ALLOW, "names": ["brk"]}, rules[0],
                                             {"names": ["open"], "action": KILL}])


if __name__ == "__main__":
    unittest.main()
