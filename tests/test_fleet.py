# SPDX-License-Identifier: MIT
"""What many nodes recorded: in how many a call was seen, what is too rare to be allowed, what all allow."""

from __future__ import annotations

import base64
import collections
import itertools
import json
import os
import random
import re
import shutil
import struct
import subprocess
import sys
import unittest
from typing import Any, Dict, Iterator, List, Sequence

import jsonschema
import yaml

import spoc
import support
from cases import UnitCase, crd_schemas, strict, yaml_documents
from engines import ONE, TWO, Engines
from registries import Registry
from rules import AUDIT, GETPPID, Source
from support import ALLOW, ERRNO, MAX_64, ON_X86_64, answer, build

TIER = "pure"
COVERAGE = "spo.x-k8s.io/syscall-coverage"
ONLY_X86_64 = ("SCMP_ARCH_X86_64",)
LENIENT = {ALLOW, "SCMP_ACT_LOG"}


def allowing(*names: str, **fields: Any) -> spoc.Profile:
    given: Dict[str, Any] = {"default_action": ERRNO, "architectures": ONLY_X86_64,
                             "rules": (spoc.Rule(ALLOW, names),), **fields}
    return spoc.Profile(**given)


class Intersection(unittest.TestCase):
    """What all allow is what passes the filters of all, loaded one after the other."""

    def filters_answer(self, profiles: Sequence[spoc.Profile], calls: Sequence[Sequence[int]]) -> list[bool]:
        """Does the kernel let these calls of getppid pass under all of these profiles?"""
        given = b""
        for number, profile in enumerate(profiles, 1):
            code = spoc.FilterBuilder(profile, spoc.X86_64).build().program
            is_last = number == len(profiles)
            given += struct.pack("=I", len(code) // 8) + code + struct.pack("=I", is_last * len(calls))
        for arguments in calls:
            given += struct.pack("=2I6Q", GETPPID[spoc.X86_64], 0, *arguments, 0)
        result = subprocess.run([build("filters.c")], input=given, stdout=subprocess.PIPE, check=True, timeout=60)
        return [each > 0 for each, in struct.iter_unpack("=q", result.stdout)]

    @unittest.skipUnless(ON_X86_64, "needs x86_64, whose syscall numbers are here")
    @support.kernel_tier
    def test_the_kernel_agrees(self) -> None:
        """With profiles that allow by default as well as such that deny, and all 64 bits of arguments."""
        passed = collections.Counter[bool]()
        for seed in range(100):
            source = Source(seed)
            profiles = []
            for _ in range(source.random.choice((2, 2, 3))):
                rules = source.rules(list(spoc.OPERATORS), (40,), 2)
                if source.random.random() < 0.6:
                    rules = [rule._replace(action=ALLOW) for rule in rules]
                    rules.append(spoc.Rule(ALLOW, ("exit_group", "prctl")))
                    profiles.append(spoc.Profile(ERRNO, ONLY_X86_64, tuple(rules)))
                else:
                    profiles.append(spoc.Profile(ALLOW, ONLY_X86_64, tuple(rules)))
            try:
                whole = spoc.intersect_profiles([(str(each), profile) for each, profile in enumerate(profiles)])
            except spoc.SpocError as error:
                self.assertIn("has more than 1000 rules", str(error))
                continue
            rules = [rule for profile in profiles for rule in profile.rules]
            calls = [arguments for _, arguments in source.calls(rules, 40)]
            calls += [tuple(source.random.choice((0, 1, MAX_64)) for _ in range(5)) for _ in range(8)]
            try:
                found = self.filters_answer([whole], calls)
            except spoc.SpocError as error:
                self.assertIn("4096", str(error))  # instructions
                continue
            self.assertEqual(found, self.filters_answer(profiles, calls), f"seed {seed}: {profiles} {whole}")
            passed.update(found)
        self.assertGreater(min(passed[True], passed[False]), 300)

    @unittest.skipUnless(ON_X86_64, "needs x86_64, whose syscall numbers are here")
    @support.kernel_tier
    def test_a_condition_that_compares_no_bit(self) -> None:
        """It is none: the first of two such rules decides, in the kernel and in all that is said of the profile."""
        always = (spoc.Condition(1, "SCMP_CMP_MASKED_EQ", 0, 5),)
        others = spoc.Profile(ALLOW, ONLY_X86_64, (spoc.Rule(ERRNO, ("mount",)),))
        for actions, conditions in itertools.product(((ALLOW, ERRNO), (ERRNO, ALLOW), (ALLOW, ALLOW)),
                                                     ((always, ()), ((), always))):
            rules = [spoc.Rule(action, ("getppid",), 2, each) for action, each in zip(actions, conditions)]
            profile = spoc.Profile(ERRNO, ONLY_X86_64, (*rules, spoc.Rule(ALLOW, ("exit_group", "prctl"))))
            whole = spoc.intersect_profiles([("a", profile), ("b", others)])
            for each in (profile, whole):
                passes, = self.filters_answer([each], [(0,) * 5])
                self.assertEqual((passes, [verdict.lets_pass for verdict in each.verdicts("getppid")]),
                                 (actions[0] == ALLOW, [passes]), each)

    @unittest.skipUnless(ON_X86_64, "needs x86_64, whose syscall numbers are here")
    def test_multiplexed_calls(self) -> None:
        """i386 has connect as a part of socketcall, too: what one of the inputs stops there passes nowhere."""
        numbers = {"socketcall": 102, "connect": 362, "socket": 359, "getppid": 64}  # asm/unistd_32.h
        seen = collections.Counter[str]()
        for seed in range(300):
            source = random.Random(seed)
            profiles = []
            for default in source.choices((ALLOW, ERRNO), k=2):
                rules = tuple(spoc.Rule(
                    ALLOW if default == ERRNO and source.random() < 0.8 else ERRNO,
                    tuple(source.sample(list(numbers), source.choice((1, 2)))), source.choice((1, 2)),
                    tuple(spoc.Condition(argument, source.choice(("SCMP_CMP_EQ", "SCMP_CMP_GE")), source.choice((2, 3)))
                          for argument in source.sample((0, 1), source.choice((0, 0, 0, 1, 2)))))
                    for _ in range(source.randint(1, 4)))
                profiles.append(spoc.Profile(default, ("SCMP_ARCH_X86",), rules))
            try:
                judges = [self.simulated(profile) for profile in profiles]
                judge = self.simulated(spoc.intersect_profiles(list(zip("ab", profiles))))
            except spoc.SpocError:
                continue
            for (name, number), code, other in itertools.product(numbers.items(), range(5), (1, 2, 3)):
                data = spoc.SeccompData(nr=number, arch=AUDIT[spoc.X86])
                data.args[:2] = code, other
                passes = judge(data).action in LENIENT
                wanted = all(each(data).action in LENIENT for each in judges)
                self.assertLessEqual(passes, wanted, (seed, name, code, other, profiles))
                if name != "socketcall":  # of which arguments no filter sees, and so less may pass
                    self.assertEqual(passes, wanted, (seed, name, code, other, profiles))
                seen[f"{name} {passes}"] += 1
        self.assertGreater(min(seen[f"{name} {passes}"] for name in numbers for passes in (True, False)), 50, seen)

    @staticmethod
    def simulated(profile: spoc.Profile) -> spoc.SimulatedFilter:
        return spoc.SimulatedFilter(spoc.FilterBuilder(profile, spoc.X86_64).build().program)

    def test_conditions_that_32_bits_cannot_say(self) -> None:
        """Joined, they would let pass what one of the inputs stops: refused, but only if such a machine is listed."""
        rules = [spoc.Rule(ALLOW, ("ioctl",), conditions=(each,)) for each in (
            spoc.Condition(1, "SCMP_CMP_MASKED_EQ", 0xF0F, 0x101), spoc.Condition(1, "SCMP_CMP_GE", 5))]
        profiles = [allowing(rules=(rule,)) for rule in rules]
        whole = spoc.intersect_profiles(list(zip("ab", profiles)))
        self.assertTrue(whole.rules)
        narrow = [each._replace(architectures=(*ONLY_X86_64, "SCMP_ARCH_X86")) for each in profiles]
        with self.assertRaisesRegex(spoc.SpocError, "ioctl: .* on SCMP_ARCH_X86, whose arguments have 32 bits"):
            spoc.intersect_profiles(list(zip("ab", narrow)))
        spoc.intersect_profiles(list(zip("ab", (profiles[0], narrow[1]))))

    def test_flags(self) -> None:
        """Speculation is let loose only where all do that; runtimes do it where none are listed."""
        loose, log = spoc.SPEC_ALLOW, "SECCOMP_FILTER_FLAG_LOG"
        cases: List[Any] = [([None, None], None), ([None, (log,)], (log,)), ([(loose, log), (loose,)], (log, loose)),
                            ([(loose, log), None], (log, loose)), ([(), None], ())]
        for given, wanted in cases:
            profiles = [("x", allowing("read", flags=flags)) for flags in given]
            self.assertEqual(spoc.intersect_profiles(profiles).flags, wanted, given)


class Commands(support.Case):
    """merge and show as they are typed."""

    def setUp(self) -> None:
        super().setUp()
        self.copies = 0
        nodes = ("read write", "read write", "read write ptrace", "read mount socket", "read")
        self.nodes = [self.write(f"node-{number}.yaml", allowing(*names.split()))
                      for number, names in enumerate(nodes, 1)]

    def write(self, file: str, profile: spoc.Profile, **fields: Any) -> str:
        path = self.folder / file
        kind = "raw-seccomp" if file.endswith(".json") else "seccomp"
        path.write_text(spoc.format_profile(profile, kind, "app", **fields))
        return str(path)

    def copy(self, path: str) -> str:
        """Another file that says the same."""
        self.copies += 1
        return shutil.copy(path, f"{path}.{self.copies}")

    def merged(self, *arguments: str) -> tuple[dict[str, Any], str]:
        result = support.spoc("merge", *arguments)
        self.assertEqual(result.returncode, 0, result.stderr)
        document, = yaml_documents(result.stdout)
        return document, result.stderr

    def write_merged(self, file: str, *paths: str) -> str:
        path = str(self.folder / file)
        result = support.spoc("merge", "-o", path, *paths)
        self.assertEqual((result.returncode, result.stdout), (0, ""), result.stderr)
        return path

    def refused(self, *arguments: str, code: int = 2) -> str:
        result = support.spoc("merge", "-o", str(self.folder / "out.yaml"), *arguments)
        self.assertEqual(result.returncode, code, result.stderr)
        self.assertRegex(result.stderr, r"\A\S+ Error: [^\n]+\n\Z")
        self.assertFalse((self.folder / "out.yaml").exists())
        return str(result.stderr)

    @staticmethod
    def names(document: dict[str, Any]) -> set[str]:
        return {name for rule in document.get("spec", document)["syscalls"] for name in rule["names"]}

    def test_what_few_recorded_is_left_out(self) -> None:
        everything, rare = "read write ptrace mount socket", "mount (1), ptrace (1), socket (1)"
        for least, wanted, left in (
                ("1", everything, "nothing"), ("2", "read write", rare), ("20%", everything, "nothing"),
                ("20.1%", "read write", rare), ("60%", "read write", rare), ("4", "read", f"{rare}, write (3)"),
                ("100%", "read", f"{rare}, write (3)")):
            document, log = self.merged("--at-least", least, *self.nodes)
            self.assertEqual(self.names(document), set(wanted.split()), least)
            self.assertRegex(log, rf"Left out what fewer than \d of 5 recordings have: {re.escape(left)}\n")
            coverage = json.loads(document["metadata"]["annotations"][COVERAGE])
            self.assertEqual((coverage["total"], set(coverage["syscalls"])), (5, self.names(document)))
            for schema in crd_schemas().values():
                jsonschema.validate(document, strict(schema))
            # It is the same, whether all are merged at once, or some of them before.
            parts = [self.write_merged("some.yaml", *self.nodes[:2]), self.write_merged("rest.yaml", *self.nodes[2:])]
            self.assertEqual(self.merged("--at-least", least, *parts)[0], document)

    def test_a_file_given_twice_counts_once(self) -> None:
        """By whatever name; a copy is another recording, and so is another document of the file."""
        path = self.write("app.yaml", allowing("read"))
        copy = self.copy(path)
        link = self.folder / "link.yaml"
        link.symlink_to("app.yaml")
        os.link(path, self.folder / "name.yaml")
        same = (f"{self.folder}/./app.yaml", str(link), str(self.folder / "name.yaml"), "-")
        with open(path, encoding="utf-8") as file:
            result = support.spoc("merge", path, *same, copy, stdin=file)
        document, = yaml_documents(result.stdout)
        coverage = json.loads(document["metadata"]["annotations"][COVERAGE])
        self.assertEqual((coverage["total"], coverage["syscalls"]), (2, {"read": 2}), result.stderr)
        for name in same:
            self.assertIn(f" {name}: given before, and counts once\n", result.stderr)
        self.assertIn(" Merged 2 profiles into: ", result.stderr)
        several = self.folder / "several.yaml"
        with open(path, encoding="utf-8") as file:
            text = file.read()
        several.write_text("".join(text.replace("name: app", f"name: {name}") + "---\n" for name in "ab"))
        _, log = self.merged(f"{several}#a", f"{several}#b", f"{several}#a")
        self.assertIn(" Merged 2 profiles into: ", log)

    def test_what_a_rule_denies_stays_denied(self) -> None:
        """And what the kernel makes by itself stays allowed."""
        rules = (spoc.Rule("SCMP_ACT_KILL_PROCESS", ("ptrace",)), spoc.Rule(ALLOW, ("read", "restart_syscall")),
                 spoc.Rule(ALLOW, ("socket",), conditions=(spoc.Condition(0, "SCMP_CMP_EQ", 2),)))
        denying = self.write("denying.yaml", allowing(rules=rules))
        others = [self.nodes[0], self.nodes[4]]
        document, log = self.merged("--at-least", "3", denying, *others)
        self.assertEqual([(rule["action"], rule["names"]) for rule in document["spec"]["syscalls"]],
                         [("SCMP_ACT_ALLOW", ["read", "restart_syscall"]), ("SCMP_ACT_KILL_PROCESS", ["ptrace"])])
        self.assertIn("socket (1), write (1)\n", log)

    def test_what_a_profile_denies_was_not_seen(self) -> None:
        """As clone3, which --portable answers with ENOSYS where a recording has clone alone."""
        portable = self.write("portable.json", allowing(rules=(
            spoc.Rule(ALLOW, ("clone",)), spoc.Rule(ERRNO, ("clone3",), 38))))
        again = self.copy(portable)
        document, _ = self.merged("-t", "seccomp", portable, again)
        self.assertEqual(json.loads(document["metadata"]["annotations"][COVERAGE])["syscalls"], {"clone": 2})
        other = self.write("other.yaml", allowing("clone", "clone3"))
        document, log = self.merged("-t", "seccomp", "--at-least", "2", portable, again, other)
        self.assertEqual(self.names(document), {"clone"})
        self.assertIn(": clone3 (1)\n", log)

    def test_what_cannot_be_left_out_is_said(self) -> None:
        self.assertIn("--at-least 6: there are 5 recordings only; a share", self.refused(
            "--at-least", "6", *self.nodes, code=125))
        for wrong in ("0", "-1", "x", "0%", "101%", "100.1%", "1.5", "%", "1%%", "", "1e3", "٣", "9" * 40):
            self.assertIn("--at-least", self.refused(f"--at-least={wrong}", *self.nodes))
        lenient = self.write("lenient.yaml", allowing(default_action="SCMP_ACT_LOG"))
        self.assertIn("the default, SCMP_ACT_LOG, lets pass", self.refused("--at-least", "1", lenient, code=125))
        for options, reason in ((("--at-least", "2"), "what all allow was seen in all"),
                                (("--default-action", "SCMP_ACT_LOG"), "the most restrictive default holds")):
            self.assertIn(reason, self.refused("--intersect", *options, *self.nodes))
        for option in (("--intersect",), ("--at-least", "2")):
            self.assertIn("does not go with it", self.refused("--check", *option, *self.nodes))

    def test_json_says_that_it_does_not_count(self) -> None:
        """Where a recording of many becomes one of one; where it was one before there is nothing to say."""
        self.write_merged("all.yaml", *self.nodes)
        out = str(self.folder / "all.json")
        for inputs, is_said in ((["all.yaml"], True), (["all.yaml", "node-1.yaml"], True), (["node-1.yaml"], False)):
            result = support.spoc("merge", "-o", out, *(str(self.folder / name) for name in inputs))
            self.assertEqual("no place for the coverage: merged again, this is one recording" in result.stderr, is_said)
        document, _ = self.merged("-t", "seccomp", out, self.copy(out))
        self.assertEqual(json.loads(document["metadata"]["annotations"][COVERAGE])["total"], 2)

    def test_intersect(self) -> None:
        document, log = self.merged("--intersect", *self.nodes)
        self.assertEqual(self.names(document), {"read"})
        self.assertIn("Intersected 5 profiles into: standard output\n", log)
        self.assertEqual(json.loads(document["metadata"]["annotations"][COVERAGE]),
                         {"version": "v1", "total": 5, "syscalls": {"read": 5}})
        stricter = self.write("stricter.json", spoc.Profile("SCMP_ACT_KILL_PROCESS", ONLY_X86_64, (
            spoc.Rule(ALLOW, ("read",), conditions=(spoc.Condition(0, "SCMP_CMP_EQ", 0),)),)))
        for order in itertools.permutations((self.nodes[0], stricter)):
            document, _ = self.merged("--intersect", "-t", "raw-seccomp", *order)
            self.assertEqual(document["defaultAction"], "SCMP_ACT_KILL_PROCESS")
            self.assertEqual(answer(document, "read", [0]), (ALLOW, 0))
            for name, argument in (("read", 1), ("write", 0), ("mount", 0)):
                self.assertEqual(answer(document, name, [argument])[0], "SCMP_ACT_KILL_PROCESS", name)

    @unittest.skipUnless(ON_X86_64, "needs a filter for i386")
    def test_no_filter_of_it_can_be_built(self) -> None:
        """The one lets socketcall make what the other allows under a condition, and denies it by its own number."""
        rules = ((spoc.Rule(ALLOW, ("socketcall",)), spoc.Rule(ERRNO, ("connect",), 2)),
                 (spoc.Rule(ALLOW, ("socket",)),
                  spoc.Rule(ALLOW, ("connect",), conditions=(spoc.Condition(1, "SCMP_CMP_EQ", 1),))))
        for architectures in ((*ONLY_X86_64, "SCMP_ARCH_X86"), ONLY_X86_64):
            paths = [self.write(f"{number}.json", spoc.Profile(ERRNO, architectures, each))
                     for number, each in enumerate(rules)]
            if architectures == ONLY_X86_64:
                document, _ = self.merged("--intersect", "-t", "raw-seccomp", *paths)
                self.assertEqual(answer(document, "connect", [0, 1]), (ERRNO, 2))
            else:
                refusal = self.refused("--intersect", *paths, code=125)
                self.assertIn("intersect: connect: on SCMP_ARCH_X86, within socketcall or ipc, it would have two "
                              "answers; take that out of the architectures", refusal)

    def test_bases_that_differ_are_not_intersected(self) -> None:
        based = self.write("based.yaml", allowing("read"), extra={"baseProfileName": "runc-v1"})
        self.assertRegex(self.refused("--intersect", based, self.nodes[0], code=125),
                         "baseProfileName: .*node-1.yaml has none")
        document, _ = self.merged("--intersect", based, based)
        self.assertEqual(document["spec"]["baseProfileName"], "runc-v1")

    def show(self, path: str) -> str:
        result = support.spoc("show", "--html", str(self.folder / "page.html"), path)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        return result.stdout

    def test_bars_say_in_which_share_it_was_seen(self) -> None:
        path = self.write_merged("all.yaml", *self.nodes)
        text = self.show(path)
        self.assertTrue(text.endswith("\n".join((
            "", "Seen in how many recordings",
            "  1 of 5  █████░░░░░░░░░░░░░░░░░░░ mount ptrace socket",
            "  3 of 5  ██████████████░░░░░░░░░░ write",
            "  5 of 5  ████████████████████████ read", ""))), text)
        page = (self.folder / "page.html").read_text()
        words = " ".join(re.sub("<[^>]*>", " ", page).split())
        self.assertIn("Seen in how many recordings 1 of 5 3 mount ptrace socket 3 of 5 1 write 5 of 5 1 read", words)
        self.assertEqual(re.findall('<i style="width: ([^"]*)"', page)[-3:], ["20.0%", "60.0%", "100.0%"])
        # What is allowed, and was seen in none.
        document = json.loads(json.dumps(yaml_documents((self.folder / "all.yaml").read_text())[0]))
        document["spec"]["syscalls"].append({"action": ALLOW, "names": ["pread64"]})
        (self.folder / "more.json").write_text(json.dumps(document))
        self.assertIn("\n  0 of 5  ░░░░░░░░░░░░░░░░░░░░░░░░ pread64\n  1 of 5  ", self.show(
            str(self.folder / "more.json")))

    def test_no_bars_without_several_recordings(self) -> None:
        self.assertNotIn("recordings", self.show(self.nodes[0]))
        self.assertNotIn("recordings", self.show(self.write_merged("one.yaml", self.nodes[0])))

    def test_many_names_fit_the_width(self) -> None:
        names = sorted(spoc.architecture_syscalls(spoc.X86_64.token))[:100]
        paths = [self.write(f"many-{number}.yaml", allowing(*names[number:])) for number in range(30)]
        text = self.show(self.write_merged("many.yaml", *paths))
        section = text[text.index("Seen in"):].splitlines()[1:]
        self.assertLessEqual(max(map(len, text.splitlines())), 80)
        self.assertEqual(sorted(" ".join(line[11:] for line in section).translate({
            ord("█"): " ", ord("░"): " "}).split()), names)
        self.assertRegex(section[0], r"^   1 of 30  █░{23} ")

    def test_many_nodes_take_little_memory(self) -> None:
        """Of nodes with the same profile one is kept."""
        files = spoc.ProfileFiles([*self.nodes, *map(self.copy, self.nodes * 2)])
        self.assertEqual((len(files.profiles), files.total), (4, 15))


class Labels(support.Case):
    """Partial recordings, as the operator merges them."""

    def setUp(self) -> None:
        super().setUp()
        self.profile = self.folder / "node.yaml"
        self.profile.write_text(spoc.format_profile(allowing("read"), "seccomp", "web", metadata={
            "namespace": "prod", "labels": {"app": "web"}}))

    def convert(self, *options: str) -> subprocess.CompletedProcess[str]:
        return support.spoc("convert", *options, str(self.profile))

    def test_partial_recording(self) -> None:
        """Each version as its CRD has it; v1 has objects of the whole cluster only."""
        labels = {"spo.x-k8s.io/partial": "true", "spo.x-k8s.io/recording-id": "web",
                  "spo.x-k8s.io/container-id": "nginx", "app": "other", "empty": ""}
        given = [word for key, value in labels.items() for word in ("--label", f"{key}={value}")]
        for version, schema in crd_schemas().items():
            result = self.convert("-t", "seccomp", "--api-version", version, *given)
            document, = yaml_documents(result.stdout)
            jsonschema.validate(document, strict(schema))
            self.assertEqual(document["apiVersion"], f"security-profiles-operator.x-k8s.io/{version}")
            self.assertEqual(document["metadata"]["labels"], labels)
            self.assertEqual(document["metadata"].get("namespace"), None if version == "v1" else "prod")
            self.assertEqual("Leaving the namespace prod out" in result.stderr, version == "v1")
            self.assertEqual(spoc.parse_profile(result.stdout, "-", spoc.container_host()).profile, allowing("read"))

    def test_a_union_is_no_part(self) -> None:
        """It has the labels that all have, but not the one for which the operator does not install it."""
        paths = []
        for number in (1, 2):
            path = str(self.folder / f"part-{number}.yaml")
            self.convert("-o", path, "--label", "spo.x-k8s.io/partial=true", "--label", f"part={number}",
                         "--label", "spo.x-k8s.io/recording-id=web")
            paths.append(path)
        for inputs, wanted in ((paths, {"app": "web", "spo.x-k8s.io/recording-id": "web"}), (
                [*paths, str(self.profile)], {"app": "web"})):
            document, = yaml_documents(support.spoc("merge", *inputs).stdout)
            self.assertEqual(document["metadata"]["labels"], wanted)

    def test_labels_that_kubernetes_would_refuse(self) -> None:
        """By the grammar in its documentation, "Labels and Selectors"."""
        name = "a" * 63
        for label in (f"{name}={name}", "a=", "A.b_c-d=1.x_Y-2", f"{'x.' * 126}y/a=b", "1/2=3", "x=%s" % ("a" * 63)):
            result = self.convert("-t", "seccomp", "--label", label)
            self.assertEqual(result.returncode, 0, result.stderr)
        for label in ("a", "=b", "/a=b", "a/=b", "a/b/c=d", "Up/a=b", "a..b/c=d", "-a=b", "a-=b", f"{name}a=b",
                      f"a={name}b", "a=b c", "a=b=c", "a=-b", "a=ü", "ü=a", f"{'x.' * 127}y/a=b", "a_b/c=d", "a\n=b",
                      "a=b\n"):
            result = self.convert("-t", "seccomp", "--label", label)
            self.assertEqual((result.returncode, result.stdout), (2, ""), label)
            self.assertRegex(result.stderr, r"\A\S+ Error: usage: --label [^\n]+\n\Z")

    def test_only_for_the_kubernetes_object(self) -> None:
        for option in ("--label=a=b", "--api-version=v1"):
            for kind in ("raw-seccomp", "docker", "systemd"):
                result = self.convert("-t", kind, option)
                self.assertEqual((result.returncode, result.stdout), (2, ""))
                self.assertIn(f"means nothing with -t {kind}", result.stderr)
        self.assertEqual(self.convert("-t", "seccomp", "--api-version", "v1alpha1").returncode, 2)

    def test_labels_that_are_none(self) -> None:
        """Of an object that no cluster would take."""
        self.profile.write_text(self.profile.read_text().replace("labels:\n    app: web", "labels: [web]"))
        document, = yaml_documents(self.convert("-t", "seccomp", "--label", "a=b").stdout)
        self.assertEqual(document["metadata"]["labels"], {"a": "b"})
        other = self.folder / "other.yaml"
        other.write_text(self.profile.read_text())
        self.assertEqual(support.spoc("merge", str(self.profile), str(other)).returncode, 0)


EXAMPLES = support.ROOT / "examples" / "fleet"
PLACE = "oci://registry.example.com/profiles"  # in the examples
USER, PASSWORD = "nobody", "secret-of-the-test"
NODE_IMAGE = "spoc-node:1"


@support.kernel_tier
class NodeCase(UnitCase):
    """A node: an engine, and a registry that asks for a login."""

    def setUp(self) -> None:
        super().setUp()
        support.require_command("htpasswd")
        self.engines = Engines()
        self.addCleanup(self.engines.close)
        self.podman = self.engines.podman("crun")
        line = subprocess.run(["htpasswd", "-niB", USER], input=PASSWORD, stdout=subprocess.PIPE, text=True, check=True)
        (self.folder / "htpasswd").write_text(line.stdout)
        self.registry = Registry(self, self.folder / "registry", "127.0.0.1", 0, {}, {
            "htpasswd": {"realm": "x", "path": str(self.folder / "htpasswd")}})
        self.place = f"oci://{self.registry.host}/profiles"
        self.login = json.dumps({"auths": {self.registry.host: {
            "auth": base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()}}})
        (self.folder / "auth.json").write_text(self.login)

    def tags(self) -> set[str]:
        """Of the profiles in the registry, those of this test's containers."""
        result = subprocess.run(
            ["skopeo", "list-tags", "--tls-verify=false", "--authfile", str(self.folder / "auth.json"),
             f"docker://{self.registry.host}/profiles"], stdout=subprocess.PIPE, text=True)
        tags = json.loads(result.stdout or "{}").get("Tags", ())
        return {tag for tag in tags if tag.startswith(f"spoc-{os.getpid()}-")}

    def names_at(self, tag: str) -> set[str]:
        """What the profile of this tag allows."""
        environment = {**os.environ, "REGISTRY_AUTH_FILE": str(self.folder / "auth.json")}
        result = support.spoc("pull", "-o", "-", f"{self.registry.host}/profiles:{tag}", env=environment)
        document, = yaml_documents(result.stdout)
        return set(document["spec"]["syscalls"][0]["names"])


class Service(NodeCase):
    """The unit in examples/fleet, with a systemd of its own."""

    def test_systemd_takes_it(self) -> None:
        support.require_command("systemd-analyze")
        unit = self.folder / "spoc-fleet.service"
        unit.write_text((EXAMPLES / unit.name).read_text().replace("/usr/local/bin/spoc", str(support.SPOC)))
        result = subprocess.run(["systemd-analyze", "verify", "--man=no", str(unit)], stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True)
        self.assertEqual((result.returncode, result.stdout), (0, ""))

    def test_what_starts_goes_to_the_registry(self) -> None:
        """With the login of its credentials' file, which nobody else may read, and with nothing in its environment."""
        text, log = (EXAMPLES / "spoc-fleet.service").read_text(), self.folder / "log"
        for old, new in (("/usr/local/bin/spoc", f"{sys.executable} {support.SPOC}"),
                         (f"-o {PLACE}", f"-o {self.place}"), ("--checkpoint 600", "--checkpoint 1"),
                         ("auth.json:/etc/spoc/auth.json", f"auth.json:{self.folder}/auth.json"),
                         # A user's manager may load no BPF where it protects the file system: see test_hook.Unit.
                         ("ProtectSystem=strict\n", ""),
                         ("[Service]", f"[Service]\nStandardError=append:{log}\n"
                                       f"ExecStartPost=/bin/cp /proc/self/status {self.folder}/status\n")):
            self.assertEqual(text.count(old), 1, old)
            text = text.replace(old, new)
        systemd = self.systemd("spoc-fleet.service", text)
        self.assertTrue(support.wait_until(lambda: (self.folder / "status").exists()),
                        log.read_text() if log.exists() else "it was not started")
        self.podman.run(ONE, "/three")
        self.podman.start(TWO, "/bin/sleep", "1000")
        self.addCleanup(self.podman.remove, TWO)
        node = os.uname().nodename
        self.assertTrue(support.wait_until(lambda: self.tags() == {f"{ONE}-{node}", f"{TWO}-{node}"}), log.read_text())
        systemd.terminate()
        self.assertEqual(systemd.wait(support.WAIT_S), 0)
        self.assertLessEqual({"getppid", "getuid", "exit"}, self.names_at(f"{ONE}-{node}"))
        self.assertIn("nanosleep", str(self.names_at(f"{TWO}-{node}")))
        self.assertNotIn(PASSWORD, log.read_text() + text)
        self.assertEqual(list((self.folder / "spoc").iterdir()), [])


class Cluster(NodeCase):
    """The DaemonSet in examples/fleet, without a cluster: its container, started by Podman as it says."""

    def setUp(self) -> None:
        super().setUp()
        tree = self.engines.folder / "node"
        (tree / "etc" / "ssl").mkdir(parents=True)
        (tree / "run" / "registry").mkdir(parents=True)
        (tree / "var" / "lib" / "spoc").mkdir(parents=True)
        for name in ("bin", "lib", "lib64", "sbin"):
            (tree / name).symlink_to(f"usr/{name}")
        archive = tree.with_suffix(".tar")
        subprocess.run(["tar", "-C", str(tree), "-cf", str(archive), "."], check=True)
        self.podman("import", str(archive), NODE_IMAGE)
        self.places = {"/usr": "/usr", "/etc/ssl": "/etc/ssl"}
        for path, name in (("/opt/spoc", "opt"), ("/var/lib/spoc", "state"), ("registry", "login")):
            (self.engines.folder / name).mkdir()
            self.places[path] = str(self.engines.folder / name)
        subprocess.run(["make", "-s", "-C", str(support.ROOT), "dist"], check=True, stdout=subprocess.DEVNULL)
        shutil.copy(support.ROOT / "dist" / "spoc.pyz", self.places["/opt/spoc"])
        (self.engines.folder / "login" / ".dockerconfigjson").write_text(self.login)
        _, daemon_set = yaml.safe_load_all((EXAMPLES / "daemonset.yaml").read_text())
        self.pod = daemon_set["spec"]["template"]["spec"]
        self.container, = self.pod["containers"]
        self.recorder = f"spoc-{os.getpid()}-recorder"
        self.addCleanup(self.podman.remove, self.recorder)

    def options(self, capabilities: Sequence[str]) -> Iterator[str]:
        """What the manifest says, in Podman's words. The network of this machine stands for that of the cluster."""
        context = self.container["securityContext"]
        yield from ("--pid", "host") if self.pod["hostPID"] else ()
        yield from ("--network", "host", "--user", str(context["runAsUser"]))
        yield from ("--read-only", "--read-only-tmpfs=false") if context["readOnlyRootFilesystem"] else ()
        yield from ("--security-opt", "seccomp=unconfined") if context["seccompProfile"]["type"] == "Unconfined" else ()
        yield from () if context["allowPrivilegeEscalation"] else ("--security-opt", "no-new-privileges")
        for name in context["capabilities"]["drop"]:
            yield f"--cap-drop={name}"
        for name in capabilities:
            yield f"--cap-add={name}"
        for variable in self.container["env"]:
            yield f"--env={variable['name']}={variable.get('value', 'node-7')}"
        places = {each["name"]: self.places[each["hostPath"]["path"] if "hostPath" in each else
                                            each["secret"]["secretName"]] for each in self.pod["volumes"]}
        for mount in self.container["volumeMounts"]:
            mode = ":ro" if mount.get("readOnly") else ""
            yield f"--volume={places[mount['name']]}:{mount['mountPath']}{mode}"

    def start(self, capabilities: Sequence[str]) -> None:
        arguments = [self.place if word == PLACE else word for word in self.container["args"]]
        self.assertIn(self.place, arguments)
        self.podman("run", "--detach", "--name", self.recorder, *self.options(capabilities), "--entrypoint",
                    json.dumps(self.container["command"]), NODE_IMAGE, *arguments)

    def logged(self) -> str:
        return self.podman("logs", self.recorder).stderr

    def recorded(self, capabilities: Sequence[str]) -> set[str]:
        """The profiles that are new in the registry: of root's container and a user's, and of one in the pid namespace
        of another, as all of a pod are with shareProcessNamespace.
        """
        self.start(capabilities)
        one, two = f"{ONE}-of-{len(capabilities)}", f"{TWO}-of-{len(capabilities)}"
        try:
            self.assertTrue(support.wait_until(lambda: "Processing events" in self.logged()), self.logged())
            for user in (0, 1000):
                self.podman.run(f"{one}-{user}", "/three", options=("--user", str(user)))
            self.podman.start(two, "/bin/sleep", "1000", options=("--user", "1000"))
            self.assertTrue(support.wait_until(lambda: f"Recording container {two}" in self.logged()), self.logged())
            self.podman.run(f"{two}-inside", "/three", options=("--pid", f"container:{two}"))
            self.podman("stop", "--time", str(self.pod["terminationGracePeriodSeconds"]), self.recorder)
            self.assertEqual(self.podman("wait", self.recorder).stdout, "0\n", self.logged())
        finally:
            for name in (two, self.recorder):
                self.podman.remove(name)
        self.assertLessEqual({"getppid", "getuid", "exit"}, self.names_at(f"{one}-1000-node-7"))
        self.assertEqual(os.listdir(self.places["/var/lib/spoc"]), [])
        return {tag for tag in self.tags() if tag.startswith((one, two))}

    def test_each_capability_is_needed_and_no_other(self) -> None:
        given = self.container["securityContext"]["capabilities"]["add"]
        self.assertEqual(self.recorded(given), {f"{name}-node-7" for name in (
            f"{ONE}-of-3-0", f"{ONE}-of-3-1000", f"{TWO}-of-3", f"{TWO}-of-3-inside")})
        for name in given:
            others = [other for other in given if other != name]
            if name == "SYS_PTRACE":  # no pid namespace is told from another
                self.assertEqual(self.recorded(others), {f"{name}-node-7" for name in (
                    f"{ONE}-of-2-0", f"{ONE}-of-2-1000", f"{TWO}-of-2")})
                continue
            self.start(others)
            self.assertEqual(self.podman("wait", self.recorder).stdout, "125\n")
            self.assertIn("run it as root, or with CAP_BPF and CAP_PERFMON", self.logged())
            self.podman.remove(self.recorder)

    def test_kubernetes_takes_it(self) -> None:
        """By the API's own schema, with nothing in it that the schema does not know."""
        validate = support.ROOT / "build" / "kubernetes-validate"
        if not validate.is_dir():
            self.skipTest("optional: needs PyPI's kubernetes-validate, which tests/install.sh gets")

        def check(text: str) -> subprocess.CompletedProcess[str]:
            path = self.folder / "manifest.yaml"
            path.write_text(text)
            return subprocess.run([sys.executable, "-m", "kubernetes_validate", "--strict", str(path)], cwd=validate,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

        text = (EXAMPLES / "daemonset.yaml").read_text()
        result = check(text)
        self.assertEqual(result.returncode, 0, result.stdout)
        self.assertEqual(check(text.replace("hostPID", "hostPid")).returncode, 1)


if __name__ == "__main__":
    unittest.main()
