# SPDX-License-Identifier: MIT
"""Profiles as text: what PyYAML, the cluster's own schema and a JSON reader make of them, and what is read back."""

import copy
import itertools
import json
import pathlib
import random
import re
import resource
import signal
import string
import subprocess
import sys
import unittest
import unittest.mock
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import jsonschema
import yaml

import spoc
import support
from cases import SchemaCase, append_names, yaml_documents
from support import ALLOW, ERRNO, X86, X86_64

TIER = "pure"

# Plain, each of these is something other than a string, or an error, to a YAML 1.1 or 1.2 reader.
NOT_PLAIN = [
    "true", "True", "TRUE", "false", "no", "No", "NO", "yes", "on", "off", "y", "Y", "n", "N", "null", "Null", "NULL",
    "~", "", "-", "=", "<<", "?", ":", "1e3", "1E3", "0x1f", "0o17", "017", "0b11", "1:30", "190:20:30", "2001-01-01",
    "2001-12-14t21:59:43.10-05:00", "12", "-12", "+12", "1_000", "1.5", ".5", "1.", "1.5e+3", ".inf", "-.inf", ".nan",
    "---", "...", "--- a", "- a", "-a: b", "a: b", "a:", ": a", "a #b", "# a", "#a", "&a", "*a", "!a", "!!str a", "|",
    ">", "|-", "%a", "@a", "`a", ",", "[", "]", "{", "}", "[a]", "{a: b}", "'", '"', "'a'", '"a"', "it's", 'say "a"',
    "a\\b", "\\", "\\n", " ", " a", "a ", "\t", "a\tb", "\ta", "\n", "a\nb", "\na", "a\n", "a\n\n b", "\r", "a\r\nb",
    "\x00", "\x01", "\x07", "\x1b[31m", "\x7f", "\x80", "\x85", "\xa0", "\u2028", "\u2029", "\ufeff", "a\ufeff",
    "\ufffe",
]
FOREIGN = ["naïve", "ß", "日本語", "עברית", "\u202eevil", "e\u0301", "🐍", "👩‍👩‍👧", "\U0010ffff"]
HOSTILE = [*NOT_PLAIN, *FOREIGN, "a" * 200, "Null-", "trueish", "nope", "_", "a-", "a.b", "a/b"]
# All scalar styles, collections and separators that a person might use in a profile.
RICH = r"""# a comment
---
plain: word
"quoted": "tab \t, quote \", \x41\u00e9\U0001F40D, fold
  ed

  twice, joined \
     here"
'single': 'it''s'  # another
number: -12
hex: 0x1f
yes-and: true
no-and: ~
empty:
url: http://host:80/#anchor
literal: |
  one
    two

  three
kept: |+
  one

stripped: >-
  one
  two

  three
   four
indented: |2
    one
flow: [a, 'b c', "d", {e: f, "g":h, i: }, [], {},
       -1, null]
sequence:
- a
- - b
  -
    - c
- d: e
  f:
    - g
-
  h: i
nested:
    deep:
        deeper: [
          x, z ]
...
--- # second
- 1
- two
"""
FRAGMENTS = [
    *"-:#[]{}\"'|>\n \t,&*!%@`~0123abc?=<\\", "\n  ", ": ", "- ", " #", "---\n", "...\n", "|\n", ">+\n", "|-\n", ">2\n",
    "null", "true", "yes", "1.5", "0x1f", "1:30", "\r\n", "\r", '""', "''", "\\x41", "<<: ", "\xa0", "é", "\ufeff",
]
MUTATIONS = 4000
PARSE_LIMIT_S = 30  # of CPU time; what is quadratic takes longer, be the machine ever so fast
REPETITION_BYTES, REPETITION_LIMIT_S = 1 << 18, 8


def exact(value: object) -> str:
    """Values that differ in type (1, 1.0, True) or in order differ here."""
    return repr(value)


def own_documents(text: str, file: str = "file") -> List[Any]:
    return [document for document in spoc.parse_yaml(text, file) if document is not None]


def data_texts() -> Dict[str, str]:
    texts = {path.name: path.read_text(encoding="utf-8") for path in sorted(support.DATA.glob("*.yaml"))}
    assert len(texts) >= 4
    return texts


def profile_texts() -> Dict[str, str]:
    return {name: text for name, text in data_texts().items() if name.startswith("spo-")}


def is_subdomain(name: str) -> bool:
    """RFC 1123, as https://kubernetes.io/docs/concepts/overview/working-with-objects/names/ words it."""
    characters = set(string.ascii_lowercase + string.digits)
    return 0 < len(name) <= 253 and all(
        label and set(label) <= characters | {"-"} and {label[0], label[-1]} <= characters for label in name.split("."))


def make_profile(*names: str, architectures: Tuple[str, ...] = (X86_64,), action: str = ALLOW) -> spoc.Profile:
    return spoc.Profile(ERRNO, architectures, (spoc.Rule(action, names),))


def appended(text: str, names: List[str], architectures: List[str]) -> str:
    """The text as --append would write it."""
    source = spoc.parse_profile(text, "file", spoc.Host("", "6.1", ()))
    changed: str = spoc.format_changed(source, append_names(source, names, architectures))
    return changed


def random_text(chance: random.Random) -> str:
    if chance.random() < 0.5:
        return chance.choice(HOSTILE)
    return "".join(chance.choice("aZ0_-.:# \n\t\"'\\[]{},&*!|>%@`?=~\r\x00\x85é🐍") for _ in range(chance.randrange(12)))


def random_document(chance: random.Random, depth: int = 0) -> Dict[str, Any]:
    def value() -> Any:
        kind = chance.randrange(8 if depth < 5 else 5)
        return [lambda: random_text(chance), lambda: chance.choice([None, True, False]),
                lambda: chance.choice([0, -1, 12, 2 ** 63 - 1, -2 ** 63]),
                lambda: {}, lambda: [], lambda: random_document(chance, depth + 1),
                lambda: [value() for _ in range(chance.randrange(4))],
                lambda: [random_document(chance, depth + 1)]][kind]()

    return {random_text(chance): value() for _ in range(chance.randrange(1, 5))}


class Values(unittest.TestCase):
    """The file's own NamedTuple is a tuple, and takes and refuses what typing's does."""

    def test_is_a_tuple(self) -> None:
        condition = spoc.Condition(1, "SCMP_CMP_EQ", 5)
        argument, *rest = condition
        self.assertEqual((argument, rest, condition), (1, ["SCMP_CMP_EQ", 5, 0], (1, "SCMP_CMP_EQ", 5, 0)))
        self.assertLess(condition, spoc.Condition(1, "SCMP_CMP_EQ", 6))
        self.assertEqual(repr(condition), "Condition(argument=1, op='SCMP_CMP_EQ', value=5, value_two=0)")
        with self.assertRaises(AttributeError):
            setattr(condition, "surplus", 1)

    def test_arguments(self) -> None:
        self.assertEqual(spoc.Rule(ALLOW, ("a",)), spoc.Rule(names=("a",), action=ALLOW))
        cases: List[Tuple[Tuple[Any, ...], Dict[str, Any]]] = [
            ((), {}), ((ALLOW, (), 1, (), "surplus"), {}), ((ALLOW, ()), {"action": ALLOW}), ((ALLOW,), {"name": ()}),
            ((ALLOW, ()), {"surplus": 1})]
        for values, named in cases:
            with self.subTest(values=values, named=named):
                self.assertRaises((TypeError, AttributeError), spoc.Rule, *values, **named)


class Format(support.Case):
    """Profile -> text."""

    CRD = """\
apiVersion: security-profiles-operator.x-k8s.io/v1beta1
kind: SeccompProfile
metadata:
  creationTimestamp: null
  name: main
spec:
  architectures:
    - SCMP_ARCH_X86_64
  defaultAction: SCMP_ACT_ERRNO
  syscalls:
    - action: SCMP_ACT_ALLOW
      names:
        - access
        - brk
        - write
status: {}
"""
    OCI = """\
{
  "defaultAction": "SCMP_ACT_ERRNO",
  "architectures": [
    "SCMP_ARCH_X86_64",
    "SCMP_ARCH_X86"
  ],
  "syscalls": [
    {
      "names": [
        "access",
        "brk",
        "write"
      ],
      "action": "SCMP_ACT_ALLOW"
    }
  ]
}
"""

    def test_crd_layout(self) -> None:
        self.assertEqual(spoc.format_profile(make_profile("write", "access", "brk"), "seccomp", "main"), self.CRD)

    def test_json_layout(self) -> None:
        profile = make_profile("write", "access", "brk", architectures=(X86_64, X86))
        text = spoc.format_profile(profile, "raw-seccomp", "ignored")
        self.assertEqual(text, self.OCI)
        pairs = json.loads(text, object_pairs_hook=list)
        self.assertEqual([key for key, _ in pairs], ["defaultAction", "architectures", "syscalls"])
        self.assertEqual([key for key, _ in pairs[2][1][0]], ["names", "action"])

    def test_same_set_same_bytes(self) -> None:
        names = ["write", "access", "brk", "_sysctl", "x" * 40, "true"]
        for profile_type in ("seccomp", "raw-seccomp"):
            texts = {spoc.format_profile(make_profile(*order), profile_type, "a")
                     for order in itertools.permutations(names)}
            self.assertEqual(len(texts), 1)

    def test_text_is_ascii_and_ends_in_one_newline(self) -> None:
        for profile_type in ("seccomp", "raw-seccomp"):
            text = spoc.format_profile(make_profile(*HOSTILE), profile_type, "a")
            self.assertTrue(text.isascii() and text.endswith("\n") and not text.endswith("\n\n"))
            self.assertEqual([line for line in text.split("\n") if line != line.rstrip()], [])

    def test_yaml_is_what_pyyaml_reads(self) -> None:
        text = spoc.format_profile(make_profile(*HOSTILE, architectures=(X86_64, X86)), "seccomp", "a.b")
        self.assertEqual(yaml.safe_load(text), {
            "apiVersion": "security-profiles-operator.x-k8s.io/v1beta1",
            "kind": "SeccompProfile",
            "metadata": {"creationTimestamp": None, "name": "a.b"},
            "spec": {"architectures": [X86_64, X86], "defaultAction": ERRNO,
                     "syscalls": [{"action": ALLOW, "names": sorted(HOSTILE)}]},
            "status": {},
        })

    def test_rules_keep_their_order(self) -> None:
        profile = spoc.Profile("SCMP_ACT_KILL", (X86_64,), (
            spoc.Rule("SCMP_ACT_LOG", ("b", "a")), spoc.Rule(ALLOW, ("d", "c")), spoc.Rule(ERRNO, ())))
        expected = [("SCMP_ACT_LOG", ["a", "b"]), (ALLOW, ["c", "d"])]
        for text in (spoc.format_profile(profile, "seccomp", "a"), spoc.format_profile(profile, "raw-seccomp", "a")):
            document = yaml.safe_load(text)
            rules = document.get("spec", document)["syscalls"]
            self.assertEqual([(rule["action"], rule["names"]) for rule in rules], expected)

    def test_hostile_scalars(self) -> None:
        for text in HOSTILE:
            documents: List[Dict[str, Any]] = [
                {"key": text}, {text: "value"}, {"key": [text]}, {"key": [{text: [text, {text: text}]}]}]
            for document in documents:
                with self.subTest(document=document):
                    formatted = spoc.format_yaml(document)
                    self.assertEqual(yaml.safe_load(formatted), document)
                    self.assertEqual(spoc.parse_yaml(formatted), [document])

    def test_not_plain_is_quoted(self) -> None:
        """PyYAML reads YAML 1.1 only, so that it cannot tell what a 1.2 reader would make of these."""
        for text in NOT_PLAIN:
            with self.subTest(text=text):
                self.assertRegex(spoc.format_yaml({"key": text}), r'\Akey: "[ -~]*"\n\Z')

    @support.kernel_tier
    def test_random_documents(self) -> None:
        chance = random.Random(1)
        for _ in range(1500):
            document = random_document(chance)
            formatted = spoc.format_yaml(document)
            self.assertEqual(exact(yaml.safe_load(formatted)), exact(document), formatted)
            self.assertEqual(exact(spoc.parse_yaml(formatted)), exact([document]), formatted)

    def test_real_documents(self) -> None:
        for name, text in data_texts().items():
            for document in yaml_documents(text):
                with self.subTest(file=name):
                    self.assertEqual(exact(yaml.safe_load(spoc.format_yaml(document))), exact(document))


class Schema(SchemaCase):
    """The CRD of the Security Profiles Operator takes what is written."""

    def test_recorded_profile(self) -> None:
        profile = make_profile(*spoc.BASE_SYSCALLS, "true", "no")
        self.assert_valid(yaml.safe_load(spoc.format_profile(profile, "seccomp", "true")))

    def test_empty_profile(self) -> None:
        self.assert_valid(yaml.safe_load(spoc.format_profile(make_profile(), "seccomp", "a")))

    def test_every_architecture(self) -> None:
        names = {value.name for value in vars(spoc).values()
                 if isinstance(value, spoc.Architecture) and value is not spoc.UNKNOWN_ARCHITECTURE}
        self.assertGreaterEqual(names, {X86_64, X86, "SCMP_ARCH_X32", "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"})
        profile = make_profile("a", architectures=tuple(names))
        self.assert_valid(yaml.safe_load(spoc.format_profile(profile, "seccomp", "a")))

    def test_appended_profiles(self) -> None:
        for path in sorted(support.DATA.glob("spo-*.yaml")):
            for document in yaml_documents(path.read_text(encoding="utf-8")):
                with self.subTest(file=path.name, name=document["metadata"]["name"]):
                    appended = append_names(document, ["uname", "true"], [X86_64, X86])
                    self.assert_valid(yaml.safe_load(spoc.format_yaml(appended)))

    def test_schema_refuses_what_is_wrong(self) -> None:
        good = yaml.safe_load(spoc.format_profile(make_profile("access"), "seccomp", "a"))
        for spoil in (lambda spec: spec.update(defaultAction="SCMP_ACT_NONE"), lambda spec: spec.update(unknown=1),
                      lambda spec: spec.update(architectures=["SCMP_ARCH_PDP11"]),
                      lambda spec: spec.pop("defaultAction"),
                      lambda spec: spec["syscalls"][0].update(names=[True]),
                      lambda spec: spec["syscalls"][0].update(action="allow")):
            bad = copy.deepcopy(good)
            spoil(bad["spec"])
            with self.assertRaises(jsonschema.ValidationError):
                self.assert_valid(bad)


class Names(support.Case):
    """metadata.name"""

    COMMANDS = {"true": "true", "/usr/sbin/nginx": "nginx", "./run.sh": "run.sh", "Redis-Server": "redis-server",
                "a_b": "a-b", "my program": "my-program", "python3.11": "python3.11", "_x_": "x", "..": "command",
                "a..b": "a.b", "-.-": "command", "日本": "command", "[": "command", "/": "command", "a-.b": "a.b",
                "x" * 300: "x" * 253, "x" * 252 + ".y": "x" * 252}

    def test_commands(self) -> None:
        for command, name in self.COMMANDS.items():
            with self.subTest(command=command):
                self.assertEqual(spoc.kubernetes_name(command), name)

    def test_always_valid(self) -> None:
        chance = random.Random(2)
        commands = [*HOSTILE, *self.COMMANDS]
        commands += ["".join(chance.choice("aB9-._/ \né") for _ in range(chance.randrange(600))) for _ in range(3000)]
        for command in commands:
            name = spoc.kubernetes_name(command)
            self.assertTrue(is_subdomain(name), (command, name))

    def test_valid_names_stay_and_no_others(self) -> None:
        chance = random.Random(3)
        names = [*HOSTILE, "a\n", "x" * 253, "x" * 254, "a.", ".a", "a.-b", "a-.b", "A"]
        names += ["".join(chance.choice("ab9-.") for _ in range(chance.randrange(7))) for _ in range(3000)]
        valid = 0
        for name in names:
            self.assertEqual(spoc.kubernetes_name(name) == name, is_subdomain(name), name)
            valid += is_subdomain(name)
        self.assertGreater(valid, 500)


class Parse(support.Case):
    """Text -> documents, against PyYAML."""

    def refused(self, text: str) -> spoc.ProfileError:
        """Must be refused, with a position in the text."""
        with self.assertRaises(spoc.ProfileError) as caught:
            spoc.parse_yaml(text, "the/file.yaml")
        error = caught.exception
        self.assertRegex(str(error), rf"\bthe/file\.yaml:{error.line}:{error.column}: \S")
        self.assertEqual(len(str(error).splitlines()), 1)
        lines = text.split("\n")
        self.assertIn(error.line, range(1, len(lines) + 1))
        self.assertIn(error.column, range(1, len(lines[error.line - 1]) + 3))
        return error

    def test_patterns_are_compiled_once(self) -> None:
        """The second reading of a text, with all that has a pattern, compiles nothing and looks no pattern up."""
        text = ("---\nb: &b {c: [1, 'd e', \"f\\tg\", 2001-01-01], h: !i j}\nk l: *b\nm: >2-\n   n\n   o\n"
                "p:\n- q\n- r s\n  t  # u\n...\n")
        first = spoc.parse_yaml(text)
        with unittest.mock.patch("re._compile" if hasattr(re, "_compile") else "re.compile",
                                 side_effect=AssertionError("compiled again")):
            self.assertEqual(spoc.parse_yaml(text), first)
        self.assertEqual(first[0]["k l"]["c"][1:3], ["d e", "f\tg"])

    def test_real_files(self) -> None:
        for name, text in data_texts().items():
            with self.subTest(file=name):
                self.assertEqual(exact(own_documents(text)), exact(yaml_documents(text)))

    def test_real_json(self) -> None:
        text = (support.DATA / "docker-default.json").read_text(encoding="utf-8")
        self.assertEqual(exact(spoc.parse_yaml(text)), exact([json.loads(text)]))

    def test_all_styles(self) -> None:
        documents = own_documents(RICH)
        self.assertEqual(exact(documents), exact(yaml_documents(RICH)))
        self.assertEqual(documents[1], [1, "two"])

    def test_crlf(self) -> None:
        for name, text in {**data_texts(), "rich": RICH}.items():
            with self.subTest(file=name):
                text = text.replace("\n", "\r\n")
                self.assertEqual(exact(own_documents(text)), exact(yaml_documents(text)))

    def test_byte_order_mark(self) -> None:
        self.assertEqual(spoc.parse_yaml("\ufeffa: b\n"), [{"a": "b"}])

    def test_tokens(self) -> None:
        """All texts of up to three tokens: what is accepted must be what PyYAML reads."""
        tokens = ["a", ": ", ":", "- ", "\n", " ", "#", "[", "]", "{", "}", ",", '"', "'", "| ", "1"]
        accepted = 0
        for count in (1, 2, 3):
            for parts in itertools.product(tokens, repeat=count):
                accepted += self.compare("".join(parts))
        self.assertGreater(accepted, 150)

    @support.kernel_tier
    def test_mutations(self) -> None:
        """What PyYAML accepts is read alike or refused; PyYAML's refusals (of some tabs) are not compared."""
        chance = random.Random(4)
        own = make_profile(*HOSTILE)
        texts = [*data_texts().values(), RICH, RICH, spoc.format_profile(own, "seccomp", "true"),
                 spoc.format_profile(own, "raw-seccomp", "true")]
        accepted = comparable = 0
        for _ in range(MUTATIONS):
            text = self.mutate(chance, chance.choice(texts))
            same = self.compare(text)
            accepted += same
            comparable += same or self.pyyaml_accepts(text)
        self.assertGreater(comparable, MUTATIONS // 6)
        self.assertGreater(accepted, comparable // 3)  # a reader that refused all would be no reader

    @staticmethod
    def mutate(chance: random.Random, text: str) -> str:
        start = chance.choice([match.end() for match in re.finditer("^", text, re.MULTILINE)])
        text = text[start:start + chance.randrange(10, 300)]
        for _ in range(chance.randrange(1, 5)):
            place = chance.randrange(len(text) + 1)
            kind = chance.random()
            if kind < 0.5:
                text = text[:place] + chance.choice(FRAGMENTS) + text[place:]
            elif kind < 0.7:
                text = text[:place] + text[place + chance.randrange(1, 4):]
            else:
                change = chance.choice(["\n\n", "\n ", "\r\n", "\n\t", " "])
                text = text[:place] + text[place:].replace("\n", change, 1)
        return text

    @staticmethod
    def pyyaml_accepts(text: str) -> bool:
        try:
            list(yaml.safe_load_all(text))
        except (yaml.YAMLError, ValueError, IndexError):
            return False
        return True

    def compare(self, text: str) -> bool:
        """Was it read, and alike? A refusal is checked for its form."""
        try:
            documents = own_documents(text)
        except spoc.ProfileError:
            self.refused(text)
            return False
        try:
            expected = yaml_documents(text)
        except (yaml.YAMLError, ValueError, IndexError):  # the last two: bugs of PyYAML's
            return False
        if not support.agree(documents, expected):
            self.assertEqual(exact(documents), exact(expected), repr(text))
        return True

    def test_refused(self) -> None:
        """Text -> line and column of what is wrong with it."""
        for text, line, column in (
            ("a: & b\n", 1, 4), ("a: *x\n", 1, 4), ("a: &x &y b\n", 1, 7), ("a: &x [*x]\n", 1, 8),
            ("a: [*]\n", 1, 5),
            ("&x a: b\n", 1, 4), ("&x - a\n", 1, 4), ("a: [&x &y b]\n", 1, 8), ("a: &x b\n---\na: *x\n", 3, 4),
            ("%YAML 1.2\n---\na: b\n", 1, 1), ("? a\n: b\n", 1, 1), ("a: @b\n", 1, 4), ("a: `b\n", 1, 4),
            ("a: b\na: c\n", 2, 1), ("a: {b: c, b: d}\n", 1, 11), ("a: b\n'a': c\n", 2, 1), ("{[a]: b}\n", 1, 3),
            ("a:\n\tb: c\n", 2, 1), ("a: b: c\n", 1, None), ("a:\n  b: c\n d: e\n", 3, 2), ("a: b\n  c: d\n", 2, 3),
            ("a: [b\n", 2, 1), ('a: "b\n', None, None), ("a: 'b\n", None, None), ("a: {b\n", None, None),
            ("a: b # c\n  d\n", 2, 3), ("a: b\n  # c\n  d\n", 3, 3), ("a: 'b'\n  c\n", 2, 3),
            ("a: b\n  c #d\n  e\n", 3, 3),
            ("- a\nb: c\n", 2, 1), ("a: b\nc\n", 2, 1),
            ("a: b\x00\n", 1, 5), ("a: b\n\x00", 2, 1), ("a: \x1b\n", 1, 4), ("a: \x7f\n", 1, 4),
            ("a: b\rc: d\n", 1, 5), ("a: \udc80\n", 1, 4), ("a: |3x\n", 1, 4), ('a: "\\q"\n', 1, 4),
            ('a: "\\ud800"\n', 1, 4), ('a: "\\U00110000"\n', 1, 4), ("a: [b]c\n", 1, None),
            ("--- a: b\n", 1, None),
        ):
            with self.subTest(text=text):
                error = self.refused(text)
                self.assertEqual((error.line, error.column), (line or error.line, column or error.column), str(error))

    # What YAML readers take differently, or as what no profile holds.
    UNCLEAR = ("yes", "No", "off", "On", "017",
               "0o17", "1:30", "1e3", "1E+3", "1.5", ".inf", "2001-01-01", "2001-01-01 12:00:00",
               "2001-1-1T1:2:3", "2001-01-01t12:00:00.5Z",
               "1_000", "0b1", "y", "n", "Y", "N", "08", "2001-1-1", "1:30.5", "1.e+3", "._1", ".nan", "-.inf")
    # Strings to all, which emitters write without quotes: only some letters more or less make something else of them.
    CLEAR = ("0.8.4", "1.2.3_4", "1,2", "1,000", "1,5e3", "1..2", "0.1.", "1.2:3.4", "1:99", "2001-01-01-nightly",
             "2001-01-01T12:00:000.8.4Z", "2001-01-01T12",
             "0.8.4e3", "yy", "no-and", "+.nan", "0x", "0b2x")

    def test_unclear(self) -> None:
        """It is kept as it was written, at any place, and is equal to nothing else."""
        for text in self.UNCLEAR:
            for layout in (f"a: {text}\n", f"{{a: {text}}}", f"a:\n  {text} # c\n", f"b: 1\na: &x {text}\n"):
                with self.subTest(layout=layout):
                    value = spoc.parse_yaml(layout)[0]["a"]
                    self.assertEqual((type(value), repr(value)), (spoc.Unclear, text))
                    self.assertEqual(value, spoc.Unclear(text, ""))
                    self.assertNotEqual(value, text)
                    self.assertEqual(yaml.safe_load(spoc.format_yaml({"a": value})), yaml.safe_load(f"a: {text}\n"))
        for text in ("!!str 5", "!x [a, b]", "!x &y {a: b}", "&y !x 'a b'", "! a"):
            for layout in (f"a: {text}\n", f"a: {text}", f"{{a: {text} }}", f"a:\n  {text}\n"):
                with self.subTest(layout=layout):
                    self.assertEqual(spoc.parse_yaml(layout), [{"a": spoc.Unclear(text, "")}])

    def test_leading_colon_in_brackets(self) -> None:
        """The colon of a key that is null to PyYAML and libyaml, the first letter of a string to YAML 1.2."""
        for text in ("[:a]", "{a: :b}", "[&x :a]", "- {a: [::1]}\n"):
            with self.subTest(text=text), self.assertRaisesRegex(spoc.ProfileError, "a leading : is not supported"):
                spoc.parse_yaml(text)
        self.assertEqual(spoc.parse_yaml("- :a\n- [\":a\"]\n"), [[":a", [":a"]]])

    def test_tag_before_an_indicator(self) -> None:
        """PyYAML takes a comma and brackets for a part of the tag, YAML 1.2 for what ends it."""
        for text in ("[!a,&b c]", "{a: !x}", "[&a !x]", "- !a,b c\n", "- !x[a, b]\n"):
            with self.subTest(text=text), self.assertRaisesRegex(spoc.ProfileError, "a tag without a space behind it"):
                spoc.parse_yaml(text)
        self.assertEqual(spoc.parse_yaml("[&a , !x b]"), [[None, spoc.Unclear("!x b", "")]])

    def test_clear(self) -> None:
        for text in self.CLEAR:
            for layout in (f"a: {text}\n", f"- {text}\n", f"{text}: a\n"):
                with self.subTest(layout=layout):
                    self.assertEqual(exact(spoc.parse_yaml(layout)), exact([yaml.safe_load(layout)]))

    def test_escaped_blanks(self) -> None:
        """An escaped blank before a line's end stays; what comes between the two does not."""
        for text, value in (("a\\ \n  b", "a  b"), ("a\\  \n  b", "a  b"), ("a \\ \n  b", "a   b"),
                            ("a\\\t\n  b", "a\t b"), ("a\\\\ \n  b", "a\\ b"), ("a\\ \n\n  b", "a \nb"),
                            ("\\ \n\\ \n", "    ")):
            with self.subTest(text=text):
                self.assertEqual(yaml.safe_load(f'a: "{text}"'), {"a": value})
                self.assertEqual(spoc.parse_yaml(f'a: "{text}"'), [{"a": value}])

    def test_what_others_do_not_read(self) -> None:
        """Nor take as we would: it is refused, with its place and for its own reason."""
        for text, line, column, reason in (
                ("{a\n b: 1}", 1, 2, "in another line"), ("{a\n: 1}", 1, 2, "in another line"),
                ("{'a'\n: 1}", 1, 2, "in another line"), ('{"a\n b": 1}', 1, 2, "in another line"),
                ("- a\n- {b: c,\n   d\n   e: f}", 3, 4, "in another line"),
                ("-\ta: b\n", 1, 1, "a tab"), ("- \ta: b\n", 1, 1, "a tab"), ("-\ta\n", 1, 1, "a tab"),
                ("?\ta: b\n", 1, 1, "a tab"), ("[-\ta]", 1, 2, "a tab"), ("[a\tb]", 1, 2, "a tab"),
                ("a\tb: c\n", 1, 1, "a tab"), ("{?\ta: b}", 1, 2, "complex keys"), ("{?a: b}", 1, 2, "complex keys"),
                ('{"a": NaN}', 1, 7, "NaN is no JSON"), ('\n{"a": [-Infinity]}', 2, 8, "-Infinity is no JSON"),
                ('{"a":Infinity}', 1, 6, "Infinity is no JSON")):
            with self.subTest(text=text):
                error = self.refused(text)
                self.assertEqual((error.line, error.column), (line, column), str(error))
                self.assertIn(reason, str(error))
        self.assertEqual(spoc.parse_yaml('{"a"\n : 1, "b"\n:2}'), [{"a": 1, "b": 2}])
        self.assertEqual(spoc.parse_yaml("a: NaN\nb: [Infinity]\n"), [{"a": "NaN", "b": ["Infinity"]}])

    def test_keys_of_all_kinds(self) -> None:
        for text in ("1: b\n", "true: b\n", "~: b\n", "a b: c\n", "a b c:\n  d e: f\n", "{1: b}\n",
                     "a  b : c # d: e\n", "'a b' : c\n", "- a b: c\n  d: e\n"):
            with self.subTest(text=text):
                self.assertEqual(exact(spoc.parse_yaml(text)), exact([yaml.safe_load(text)]))

    def test_a_document_that_cannot_be_read(self) -> None:
        """It does not spoil those beside it, unless it may be a profile."""
        for bad in ("a: @\n", "\ta: b\n", "[a\n", "a: 'b\n", "a: {{ .Values.a }}\n", "- a\nb\n", "%YAML 1.1\n",
                    "{{- if a }}\nb: c\n{{- end }}\n", "a: *b\n"):
            for text in (f"{bad}---\na: b\n", f"a: b\n---\n{bad}", f"{bad}---\na: b\n...\n---\n{bad}"):
                with self.subTest(text=text):
                    documents = spoc.YamlReader(text, "file").documents()
                    self.assertEqual([each for each in documents if isinstance(each, dict)], [{"a": "b"}])
                    self.assertEqual({type(each) for each in documents if not isinstance(each, dict)},
                                     {spoc.ProfileError})
                    self.assertRaises(spoc.ProfileError, spoc.parse_yaml, text)
            with self.assertRaises(spoc.ProfileError):
                spoc.YamlReader(f"{bad}# SeccompProfile\n---\na: b\n", "file").documents()


@support.kernel_tier
class Hostile(support.Case):
    """Texts that somebody made in order to hurt: each is read or refused, soon."""

    def assert_ends_soon(self, action: Callable[[], Any], limit_s: int = PARSE_LIMIT_S) -> Optional[spoc.ProfileError]:
        """Fail if it takes too long; the error that it ended with, if any."""
        def stop(_signum: int, _frame: Any) -> None:
            self.fail(f"took more than {limit_s} s of CPU time")

        previous = signal.signal(signal.SIGVTALRM, stop)
        signal.setitimer(signal.ITIMER_VIRTUAL, limit_s)
        try:
            action()
        except spoc.ProfileError as error:
            return error
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            signal.signal(signal.SIGVTALRM, previous)
        return None

    UNITS = (
        ("a", "%s"), ("a", "a: %s"), (" ", "a:%sb"), (" ", "%s"), ("\n", "%sa: b"), ("\t", "a:%sb"), ("#", "%s"),
        ("# a\n", "%s"), ("- a\n", "%s"), ("- a\n", "%s- n\n"), ("- n\n", "%s"), ("- a\n- y\n", "%s"), ("- ", "%s"),
        ("-", "%s"), ("[", "%s"), ("{", "%s"), ("[]", "%s"),
        ("{a: ", "%s"), ("a, ", "[%s]"), ("a: b, ", "{%s}"), ("[],", "[%s]"), (",", "[%s]"), (" ", "[a%s]"),
        (" ", "[a%s"), ("\n", "[a%s"), ("a ", "[%s]"), ("# a\n", "[\n%s]"), (":", "[%s]"), ("a: ", "%s"), ("a:", "%s"),
        (":", "a%s"), ("a:\n", "%s"), ('"', "%s"), ("'", "%s"), ("''", "a: '%s'"), ("a", '"%s'), ("a", "'%s"),
        ("\\", '"%s'), ("\\n", '"%s"'), ("\\x41", '"%s"'), ("a\n", '"%s"'), ("\n", '"%s"'), (" \n", "'%s'"),
        (" ", "'%s"), ("\\\n", '"%s"'), ("a \n", "a: |\n  %s"), (" a\n", "a: |\n%s"), (" a\n", "a: >\n%s"),
        ("\n", "a: |\n%s"), (" \n", "a: >\n%s"), (" ", "a: |\n%s\n  b"), ("\n", "a: >\n  b%s  c"), ("\r\n", "%s"),
        ("\r", "%s"), ("---\n", "%s"), ("...\n", "%s"), ("|", "%s"), ("\ufeff", "%s"), ("é", "a: %s"), ("1", "a: %s"),
        ("a b", "%s"), ("a ", "%s"), ("a ", "%s: b"), ("a\n", "%s"), ("a\n ", "a: %s"), ("a\n\n ", "a: %s"),
        ("a\n", "[%s]"), ("a: b\n---\n", "%s"),
        ("&a ", "%s"), ("&a ", "[%s"), ("&", "%s"), ("*a ", "%s"), ("*a,", "[&a b, %s]"), ("!a ", "%s"), ("!", "[%s"),
        ("- &a b\n", "%s"), ("- *a\n", "- &a b\n%s"), ("a: @\n---\n", "%s"), ("a: [\n---\n", "%s"), ("? ", "%s"),
        ("0x", "%s"), ("1_", "a: %s"), ("1:", "a: %s"), ("1.", "a: %s"), ("\x00", "%s"), ("a #", "%s"),
    )

    def test_repetition(self) -> None:
        for unit, frame in self.UNITS:
            with self.subTest(unit=unit, frame=frame):
                text = frame % (unit * (REPETITION_BYTES // len(unit)))
                self.assert_ends_soon(lambda: spoc.parse_yaml(text, "file"), REPETITION_LIMIT_S)

    def test_as_large_as_a_profile_may_be(self) -> None:
        for unit, frame in (("a", "a: %s"), ("[", "%s"), ("- a\n", "%s"), ("\\n", '"%s"'), (" a\n", "a: >\n%s"),
                            ("\\ ", 'a: "%s"')):
            with self.subTest(unit=unit, frame=frame):
                text = frame % (unit * (spoc.MAX_PROFILE_BYTES // len(unit)))
                self.assert_ends_soon(lambda: spoc.parse_yaml(text, "file"))

    def test_memory(self) -> None:
        """Lines, and be they empty, take a small multiple of the text's own size."""
        script = ("import resource, sys; sys.path.insert(0, sys.argv[1]); import spoc\n"
                  "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
                  "text = sys.argv[2] * (spoc.MAX_PROFILE_BYTES // len(sys.argv[2])); before = peak()\n"
                  "spoc.parse_yaml(text, 'file'); print(peak() - before)")
        for unit in ("\n", "# a\n", "\r\n"):
            result = subprocess.run([sys.executable, "-c", script, str(support.ROOT), unit], stdout=subprocess.PIPE,
                                    check=True)
            with self.subTest(unit=unit):
                self.assertLess(int(result.stdout), 6 * spoc.MAX_PROFILE_BYTES // 1024)

    def test_many_keys(self) -> None:
        text = "".join(f"key{number}: [a, b]\n" for number in range(100_000))
        documents = []
        self.assertIsNone(self.assert_ends_soon(lambda: documents.extend(spoc.parse_yaml(text, "file"))))
        self.assertEqual(len(documents[0]), 100_000)

    def test_deep_nesting(self) -> None:
        depth = 10_000
        for text in ("[" * depth, "[" * depth + "]" * depth, "{a: " * depth + "}" * depth, "- " * depth + "a",
                     '{"a":' * depth + "1" + "}" * depth, "- [" * depth, "a: " + "[{a: " * depth,
                     "\n".join(" " * level + "a:" for level in range(depth)),
                     "\n".join(" " * level + "-" for level in range(depth))):
            with self.subTest(text=text[:20]):
                error = self.assert_ends_soon(lambda: spoc.parse_yaml(text, "file"))
                assert error
                self.assertGreater(error.line, 0)

    def test_reasonable_nesting(self) -> None:
        document: Dict[str, Any] = {"kind": "SeccompProfile"}
        for _ in range(20):
            document = {"a": [document]}
        self.assertEqual(spoc.parse_yaml(spoc.format_yaml(document)), [document])

    def test_aliases_that_multiply(self) -> None:
        """Each level ten of the one before: a few are read alike, many are too much, be it in number, size or depth."""
        def text(levels: int, first: str = "[x, x]", copies: int = 10) -> str:
            return f"a0: &a0 {first}\n" + "".join(
                f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * copies)}]\n" for level in range(1, levels))

        self.assertEqual(exact(spoc.parse_yaml(text(4))), exact([yaml.safe_load(text(4))]))
        for hostile, reason in ((text(9), "4 MiB"), (text(40), "4 MiB"), (text(2, "x" * 1_000_000, 20), "4 MiB"),
                                (text(100, copies=1), "nested deeper"), (text(100_000, copies=1), "nested deeper")):
            error = self.assert_ends_soon(lambda: spoc.parse_yaml(hostile, "file"))
            self.assertIn(reason, str(error))
        for names in ("[read, write]", "*a"):  # of a rule, over and over
            rule = "- {action: SCMP_ACT_ALLOW, names: &a [%s]}\n" % ", ".join(["read"] * 10_000)
            rules = f"- {{action: SCMP_ACT_ALLOW, names: {names}}}\n" * 10_000
            self.assert_ends_soon(lambda: spoc.parse_profile(
                f"defaultAction: SCMP_ACT_ERRNO\nsyscalls:\n{rule}{rules}", "file", spoc.Host("", "6.1", ())))

    def test_time_and_memory_are_bounded(self) -> None:
        """Whatever fills a file, for each command: seconds, and a hundred times its size."""
        size = 1 << 19
        rule = '{"action":"SCMP_ACT_ALLOW","names":["read"]%s}'
        condition = '{"index":0,"op":"SCMP_CMP_NE","value":%d}'
        profile = '{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[%s]}'

        def many(unit: str, count: int) -> str:
            return ",".join(unit % number for number in range(count))

        conditions = f',"args":[{many(condition, 6_000)}]'
        shapes = {
            "blank lines in quotes": 'defaultAction: "' + "\n" * size + '"',
            "escapes": 'a: "' + "\\n" * (size // 2) + '"',
            "quotes": "a: '" + "''" * (size // 2) + "'", "words": "a: [" + "b " * (size // 2) + "]",
            "a list for a key": "{[" + "a," * (size // 2) + "]: b}",
            "a long key": "a" * size + ": b", "blank lines": "\n" * size + profile % "", "depth": "[" * size,
            "nested lists": "- " * (size // 2), "anchors": "a:\n" + "- &a x\n" * (size // 8),
            "documents": "---\na: b\n" * (size // 9), "mappings": '{"a":[' + "{}," * (size // 3) + "{}]}",
            "folded lines": "a: >\n" + "  b\n" * (size // 4),
            "one name": ("defaultAction: SCMP_ACT_ERRNO\nsyscalls:\n- action: SCMP_ACT_ALLOW\n  names:\n"
                         + "  - read\n" * 50_000),
            "one rule": profile % ",".join([rule % ""] * (size // 400)),
            "conditions of a rule": profile % rule % conditions,
            "conditions of rules": profile % ",".join(
                rule % f',"args":[{condition % number}]' for number in range(5_000)),
        }
        fit = {"one name", "one rule", "blank lines"}
        path, empty = self.folder / "profile", self.folder / "empty"
        empty.write_text(profile % "")

        def limit() -> None:
            resource.setrlimit(resource.RLIMIT_AS, (192 << 20, 192 << 20))
            resource.setrlimit(resource.RLIMIT_CPU, (20, 20))

        for name, text in shapes.items():
            commands = ["show FILE"]
            if "rule" in name or name in fit:
                commands += ["run --enricher none -p FILE -b execve true", "merge FILE EMPTY", "diff FILE EMPTY",
                             "convert -t pfc FILE", "convert -t systemd FILE"]
            path.write_text(text)
            for command in commands:
                arguments = [{"FILE": str(path), "EMPTY": str(empty)}.get(word, word) for word in command.split()]
                with self.subTest(shape=name, command=command):
                    result = support.spoc(*arguments, preexec_fn=limit)
                    self.assertGreaterEqual(result.returncode, 0, "killed")
                    self.assertNotIn("memory", result.stderr.lower())
                    if name not in fit:  # show says it in its line on the filter
                        self.assertRegex(result.stderr + result.stdout, "Error: |cannot be built here")

    def test_mutated_profiles(self) -> None:
        """Whatever the text: a mapping, appended to, or a ProfileError."""
        chance = random.Random(5)
        sources = [(support.DATA / "docker-default.json").read_text(encoding="utf-8")[:3000] + '"a"]}]}',
                   '{"defaultAction": "SCMP_ACT_LOG", "architectures": [], "syscalls": [\n'
                   '{"names": [], "action": "SCMP_ACT_TRAP"}]}\n',
                   *(text.split("---\n")[-1] for text in profile_texts().values())]
        accepted = 0
        for _ in range(3000):
            text = chance.choice(sources)
            for _ in range(chance.randrange(1, 3)):
                place = chance.randrange(len(text) + 1)
                text = text[:place] + chance.choice(FRAGMENTS) + text[place + chance.randrange(2):]
            try:
                new = appended(text, ["uname"], [X86_64])
            except spoc.ProfileError as error:
                self.assertRegex(str(error), r"\bfile(:\d+:\d+)?: (\S|.+: unknown key(; did you mean .+)?$)")
                continue
            if Parse.pyyaml_accepts(text):
                accepted += 1
                self.assertEqual(len(yaml_documents(new)), 1)
        self.assertGreater(accepted, 300)

    def test_wrong_documents(self) -> None:
        crd = "kind: SeccompProfile\nspec: {defaultAction: SCMP_ACT_ERRNO}\n"
        self.assertEqual(spoc.parse_document(crd, "file")[0]["spec"], {"defaultAction": "SCMP_ACT_ERRNO"})
        for text in ("", "\n", "# a\n", "---\n", "a", "[]", "- a", "a: b", "kind: Pod\n", "null", crd + "---\n" + crd,
                     "{", "{}", "{}{}", "\x00", "\ufeff", crd + '{"a": 1, "a": 2}', crd + 'a: "\\ud800"\n', "[1, ",
                     '{"defaultAction": "a", "defaultAction": "b"}', "kind: Pod\nspec: {defaultAction: a}\n"):
            with self.subTest(text=text):
                with self.assertRaises(spoc.ProfileError) as caught:
                    spoc.parse_document(text, "file")
                self.assertRegex(str(caught.exception), r"\bfile(:\d+:\d+)?: \S")

    def test_bad_utf8(self) -> None:
        path = str(self.folder / "profile.yaml")
        for data, line, column in ((b"\xff", 1, 1), (b"a: b\nc: \xc3(\n", 2, 4), (b"a\xed\xa0\x80", 1, 2),
                                   (b"a: b\n\xf0\x9f", 2, 1)):
            pathlib.Path(path).write_bytes(data)
            with self.subTest(data=data), self.assertRaises(spoc.ProfileError) as caught:
                spoc.read_text(path)
            self.assertIn(f"{path}:{line}:{column}: ", str(caught.exception))

    def test_huge_file(self) -> None:
        path = str(self.folder / "profile.yaml")
        with open(path, "wb") as file:
            file.truncate(1 << 40)  # a hole: takes no room
        with self.assertRaises(spoc.ProfileError):
            spoc.read_text(path)


class Append(support.Case):
    """append_profile: a union, and nothing else."""

    ACTIONS = [ALLOW, ALLOW, ALLOW, ERRNO, "SCMP_ACT_LOG", "SCMP_ACT_KILL_PROCESS"]
    POOL = ["access", "brk", "chdir", "dup", "execve", "fork", "getpid", "ioctl", "kill", "lseek"]

    def random_profile(self, chance: random.Random) -> Dict[str, Any]:
        rules: List[Dict[str, Any]] = []
        for _ in range(chance.randrange(5)):
            rule: Dict[str, Any] = {"action": chance.choice(self.ACTIONS),
                                    "names": chance.sample(self.POOL, chance.randrange(1, 5))}
            if chance.random() < 0.3:
                rule["args"] = [{"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}]
            if chance.random() < 0.2:
                rule.update(action=ERRNO, errnoRet=38)
            rules.append(rule)
        spec: Dict[str, Any] = {"defaultAction": chance.choice([ERRNO, ERRNO, "SCMP_ACT_LOG", ALLOW]),
                                "syscalls": rules}
        for key, value in (("architectures", X86_64), ("flags", "SECCOMP_FILTER_FLAG_LOG"), ("listenerPath", "/a")):
            if chance.random() < 0.5:
                spec[key] = value if value == "/a" else [value]
        if chance.random() < 0.3:
            return spec
        return {"apiVersion": "security-profiles-operator.x-k8s.io/v1", "kind": "SeccompProfile",
                "metadata": {"name": "a", "labels": {"b": "c"}, "annotations": {"d": "e"}}, "spec": spec}

    @staticmethod
    def spec(document: Dict[str, Any]) -> Dict[str, Any]:
        found: Dict[str, Any] = document.get("spec", document)
        return found

    @classmethod
    def allowed(cls, document: Dict[str, Any]) -> "set[str]":
        return {name for rule in cls.spec(document).get("syscalls") or [] for name in rule["names"]
                if rule["action"] == ALLOW and not rule.get("args")}

    @classmethod
    def contrary(cls, document: Dict[str, Any]) -> "set[str]":
        return {name for rule in cls.spec(document).get("syscalls") or [] for name in rule["names"]
                if rule["action"] != ALLOW}

    def each(self) -> Iterator[Tuple[Dict[str, Any], List[str], List[str]]]:
        chance = random.Random(6)
        for _ in range(500):
            yield (self.random_profile(chance), chance.sample(self.POOL, chance.randrange(6)),
                   chance.choice([[X86_64], [X86_64, X86]]))

    def test_union(self) -> None:
        for document, names, architectures in self.each():
            before = copy.deepcopy(document)
            after = append_names(document, names, architectures)
            self.assertEqual(document, before, "the argument was changed")
            self.assertGreaterEqual(self.allowed(after), self.allowed(before))
            added = self.allowed(after) - self.allowed(before)
            if self.spec(before)["defaultAction"] == ALLOW:
                self.assertEqual(added, set())
            else:
                self.assertEqual(added, set(names) - self.contrary(before) - self.allowed(before))

    def test_all_else_is_kept(self) -> None:
        for document, names, architectures in self.each():
            after = append_names(document, names, architectures)
            outer, inner = dict(document), dict(self.spec(document))
            outer_after, inner_after = dict(after), dict(self.spec(after))
            if "spec" in document:
                del outer["spec"], outer_after["spec"]
                self.assertEqual(outer_after, outer)
            rules, rules_after = inner.pop("syscalls"), inner_after.pop("syscalls")
            listed, listed_after = inner.pop("architectures", None), inner_after.pop("architectures", None)
            self.assertEqual(inner_after, inner)
            if listed:
                self.assertEqual(listed_after, [*listed, *(name for name in architectures if name not in listed)])
            new = [rule for rule in rules_after if rule not in rules]
            self.assertLessEqual(len(new), 1)
            if len(rules_after) > len(rules):
                self.assertEqual([rule for rule in rules_after if rule not in new], rules)
                self.assertEqual(set(new[0]), {"action", "names"})
                continue
            for rule, rule_after in zip(rules, rules_after):
                self.assertEqual({**rule_after, "names": []}, {**rule, "names": []})
                self.assertEqual([name for name in rule_after["names"] if name in rule["names"]], rule["names"])
                self.assertEqual(len(rule_after["names"]), len(set(rule_after["names"])))

    def test_idempotent_and_in_any_order(self) -> None:
        for document, names, architectures in self.each():
            once = append_names(document, names, architectures)
            self.assertEqual(append_names(once, reversed(names), architectures), once)
            first = append_names(document, names[:2], architectures)
            steps = append_names(first, names[2:], architectures)
            self.assertEqual(self.allowed(steps), self.allowed(once))

    def test_nothing_to_add(self) -> None:
        for document, _, architectures in self.each():
            listed = self.spec(document).get("architectures", [])
            self.assertEqual(append_names(document, [], listed), document)

    def test_docker_dialect(self) -> None:
        """Rules with includes or excludes do not allow a name for certain; archMap speaks of the architectures."""
        document = json.loads((support.DATA / "docker-default.json").read_text(encoding="utf-8"))
        after = append_names(document, ["read", "bpf", "clone", "new_one"], [X86_64, X86])
        self.assertEqual({key: value for key, value in after.items() if key != "syscalls"},
                         {key: value for key, value in document.items() if key != "syscalls"})
        new = [rule for rule in after["syscalls"] if rule not in document["syscalls"]]
        self.assertEqual(len(new), 1)
        self.assertEqual({key for key, value in new[0].items() if value}, {"names", "action"})
        contrary = {name for rule in document["syscalls"] if rule["action"] != ALLOW for name in rule["names"]}
        self.assertGreaterEqual(set(new[0]["names"]), {"bpf", "clone", "new_one"} - contrary)
        before = {name for rule in document["syscalls"] for name in rule["names"] if rule["action"] == ALLOW}
        self.assertEqual((set(new[0]["names"]) - before) & contrary, set())

    def test_rules_that_answer_otherwise_are_kept(self) -> None:
        document = {"defaultAction": ERRNO, "syscalls": [
            {"names": ["mount", "bpf"], "action": "SCMP_ACT_LOG"}, {"names": ["read"], "action": ALLOW}]}
        after = append_names(document, ["read", "mount", "write"], [X86_64])
        self.assertEqual(after["syscalls"], [{"names": ["mount", "bpf"], "action": "SCMP_ACT_LOG"},
                                             {"names": ["read", "write"], "action": ALLOW}])

    def test_empty_profile(self) -> None:
        empty: List[Dict[str, Any]] = [{}, {"syscalls": None}, {"syscalls": []}]
        for syscalls in empty:
            after = append_names({"defaultAction": ERRNO, **syscalls}, ["b", "a"], [X86_64])
            self.assertEqual(after["syscalls"], [{"action": ALLOW, "names": ["a", "b"]}])

    def test_malformed(self) -> None:
        documents: List[Dict[str, Any]] = [
            {}, {"kind": "SeccompProfile"}, {"kind": "SeccompProfile", "spec": []}, {"defaultAction": 1},
            {"kind": "SeccompProfile", "spec": {"syscalls": []}},
            *({"defaultAction": ERRNO, "syscalls": syscalls} for syscalls in (
                1, "a", [1], {"a": 1}, [{"names": "read", "action": ALLOW}], [{"names": [1], "action": ALLOW}],
                [{"names": [["a"]], "action": ALLOW}], [{"names": [{"a": "b"}], "action": ERRNO}],
                [{"name": ["a"], "action": ALLOW}], [{"names": {"a": "b"}, "action": ALLOW}])),
            *({"defaultAction": ERRNO, "architectures": names} for names in (1, "a", {"a": "b"}, [["a"]]))]
        for document in documents:
            with self.subTest(document=document), self.assertRaises(spoc.ProfileError):
                appended(json.dumps(document), ["write"], [X86_64, X86])


class AppendedText(support.Case):
    """The text of a profile with names appended: what a person wrote in it stays where it is."""

    TEXT = """\
# Made with care.
apiVersion: security-profiles-operator.x-k8s.io/v1
kind: SeccompProfile
metadata:
  name: main   # do not rename
  annotations: {"owner": 'the team'}

spec:
  defaultAction: "SCMP_ACT_ERRNO"
  architectures:
  - SCMP_ARCH_X86_64
  syscalls:

  # What the program needs.
  - action: SCMP_ACT_ALLOW
    names:
    - access  # for the cache
    - read
    # the end
  - names: [bpf]
    action: SCMP_ACT_KILL_PROCESS
status: {}
"""

    def test_comments_and_layout(self) -> None:
        expected = (self.TEXT.replace("    - access  # for", "    - _sysctl\n    - access  # for")
                    .replace("    - read\n", "    - chdir\n    - read\n    - write\n"))
        self.assertEqual(appended(self.TEXT, ["write", "read", "chdir", "_sysctl", "bpf"], [X86_64]), expected)

    def test_nothing_new_changes_nothing(self) -> None:
        docker = (support.DATA / "docker-default.json").read_text(encoding="utf-8")
        for text in (self.TEXT, self.TEXT.replace("\n", "\r\n"), self.TEXT.rstrip("\n"), "\ufeff" + self.TEXT, docker,
                     self.MIXED, "\ufeff\t" + self.MIXED, '{"defaultAction":"SCMP_ACT_ALLOW"}',
                     '{"syscalls": null, "defaultAction":"SCMP_ACT_ALLOW"}'):
            self.assertEqual(appended(text, ["read"], [X86_64]), text)

    # JSON as people lay it out: short lists on a line, a rule on a line, remarks.
    MIXED = """\
{
   "_comment": [ "by hand", 1.50 ],
   "defaultAction" : "SCMP_ACT_ERRNO",
   "architectures": ["SCMP_ARCH_X86_64"],
   "syscalls": [
      { "names": ["access", "read"],  "action": "SCMP_ACT_ALLOW" },
      { "names": [ "bpf" ],
        "action": "SCMP_ACT_LOG" }
   ]
}
"""

    def test_json_keeps_its_layout(self) -> None:
        self.assertEqual(appended(self.MIXED, ["write", "brk", "_sysctl"], [X86_64, X86]), self.MIXED
                         .replace('"access", ', '"_sysctl", "access", "brk", ').replace('"read"', '"read", "write"')
                         .replace('"SCMP_ARCH_X86_64"', '"SCMP_ARCH_X86_64", "SCMP_ARCH_X86"'))
        with_rule = appended(self.MIXED.replace("ALLOW", "TRAP"), ["write", "brk"], [X86_64])
        self.assertEqual(with_rule, self.MIXED.replace("ALLOW", "TRAP").replace(
            "      { ", '      {"action": "SCMP_ACT_ALLOW", "names": ["brk", "write"]},\n      { ', 1))

    def test_json_of_every_indentation(self) -> None:
        """It is as if it had been written at once, be the lists empty, null or missing."""
        rule = {"names": ["access", "read"], "action": ALLOW, "args": []}
        documents: List[Dict[str, Any]] = [
            {"defaultAction": ERRNO, "architectures": [X86_64], "syscalls": [rule]},
            {"defaultAction": ERRNO, "syscalls": [{**rule, "action": "SCMP_ACT_LOG"}, rule], "architectures": []},
            {"defaultAction": ERRNO, "architectures": None, "syscalls": []},
            {"defaultAction": ERRNO, "syscalls": None}, {"defaultAction": ERRNO},
            {"defaultAction": ERRNO, "archMap": [
                {"architecture": X86_64, "subArchitectures": None}, {"architecture": X86}],
             "syscalls": [{"names": ["mount"], "action": "SCMP_ACT_LOG"}]},
            {"defaultAction": ERRNO, "archMap": [{"architecture": X86}], "syscalls": [{**rule, "names": ["read"]}]},
        ]
        layouts: List[Dict[str, Any]] = [
            {}, {"indent": "\t"}, {"indent": 1}, {"indent": 2}, {"indent": 4}, {"indent": 8},
            {"separators": (",", ":")}]
        for document, options in itertools.product(documents, layouts):
            expected = append_names(document, ["brk", "write"], [X86_64, X86])
            for end in ("", "\n", "\r\n"):
                text = json.dumps(document, **options).replace("\n", end or "\n") + end
                with self.subTest(text=text):
                    self.assertEqual(appended(text, ["brk", "write"], [X86_64, X86]),
                                     json.dumps(expected, **options).replace("\n", end or "\n") + end)

    def test_random_json(self) -> None:
        """Whatever the white space: nothing of what was there is touched."""
        chance = random.Random(8)
        for _ in range(300):
            document = Append().random_profile(chance)
            document = {**document.get("spec", document), "_comment": ["a", {"b": []}]}
            spaces = chance.choice([["", " "], ["\n", " "], ["\t", "\n", "\r\n", "  "]])
            text = re.sub(r"(?<=[\[{,:])|(?=[\]}])", lambda _: chance.choice(spaces) * chance.randrange(3),
                          json.dumps(document, separators=(",", ":")))
            names, architectures = chance.sample(Append.POOL, 3), chance.choice([[X86_64], [X86_64, X86]])
            after = appended(text, names, architectures)
            self.assertEqual(json.loads(after), append_names(document, names, architectures), text)
            if document.get("syscalls") and document.get("architectures"):
                rest = iter(after)
                self.assertTrue(all(character in rest for character in text), f"{text}\n{after}")

    def test_flow_style_and_empty_lists(self) -> None:
        """In YAML as well: comments stay."""
        for before, after in (
            ("[access,  # for the cache\n    read]", "[access,  # for the cache\n    brk, read, write]"),
            ("[access, read]  # all", "[access, brk, read, write]  # all"),
            ("['access', 'read', ]", "['access', \"brk\", 'read', \"write\", ]"),
            ("[\n    access,\n    read\n    ]", "[\n    access,\n    brk,\n    read,\n    write\n    ]"),
            ("&names\n  - access\n  - read", "&names\n  - access\n  - brk\n  - read\n  - write"),
        ):
            text = (f"# a profile\ndefaultAction: SCMP_ACT_ERRNO\nsyscalls:\n- names: {before}\n"
                    "  action: SCMP_ACT_ALLOW\n")
            with self.subTest(text=text):
                self.assertEqual(appended(text, ["brk", "write"], [X86_64]), text.replace(before, after))
        rule = "\n  - action: SCMP_ACT_ALLOW\n    names:\n      - brk"
        for empty in ("", " []", " [ ]", " null", " ~"):
            for end in ("\n", "  # none\n", ""):
                text = f"defaultAction: SCMP_ACT_ERRNO\nsyscalls:{empty}{end}"
                with self.subTest(text=text):
                    self.assertEqual(appended(text, ["brk"], [X86_64]),
                                     f"defaultAction: SCMP_ACT_ERRNO\nsyscalls:{end.rstrip()}{rule}{end and chr(10)}")

    @support.kernel_tier
    def test_recorded_into_json_with_tabs(self) -> None:
        support.require_root()
        path = self.folder / "profile.json"
        text = json.dumps({"_comment": "ours", "defaultAction": ERRNO, "syscalls": [
            {"names": ["zz_first", "zz_last"], "action": ALLOW}]}, indent="\t") + "\n"
        path.write_text(text, encoding="utf-8")
        for _ in range(2):
            result = support.spoc("record", "--append", "--for", "container", "-t", "raw-seccomp", "-o", str(path),
                                  "true")
            self.assertEqual(result.returncode, 0, result.stderr)
            after = path.read_text(encoding="utf-8")
            self.assertEqual(after, json.dumps(json.loads(after), indent="\t") + "\n")
            self.assert_only_inserted(text, after)
        self.assertIn("execve", json.loads(after)["syscalls"][0]["names"])

    def test_own_profiles_stay_as_if_written_at_once(self) -> None:
        for profile_type in ("seccomp", "raw-seccomp"):
            text = spoc.format_profile(make_profile("read", "access"), profile_type, "a")
            expected = spoc.format_profile(make_profile("read", "access", "brk", "write"), profile_type, "a")
            self.assertEqual(appended(text, ["write", "brk", "read"], [X86_64]), expected)

    def test_real_files(self) -> None:
        for path in sorted(support.DATA.glob("spo-baseprofile-*.yaml")) + [support.DATA / "docker-default.json"]:
            text = path.read_text(encoding="utf-8")
            before, after = yaml.safe_load(text.replace("\t", " ")), appended(text, ["zz_new", "aa_new"], [X86_64])
            with self.subTest(file=path.name):
                self.assertEqual(yaml.safe_load(after.replace("\t", " ")),
                                 append_names(before, ["zz_new", "aa_new"], [X86_64]))
                if path.suffix == ".yaml":
                    self.assert_only_inserted(text, after)

    @support.kernel_tier
    def test_random_layouts(self) -> None:
        chance = random.Random(7)
        kept_layout = 0
        for _ in range(400):
            document = Append().random_profile(chance)
            text = yaml.safe_dump(document, sort_keys=chance.random() < 0.5, indent=chance.choice([2, 4]), width=1000,
                                  default_flow_style=chance.choice([False, False, False, None]))
            text = "".join(line + ("  # why\n" if chance.random() < 0.2 else "\n") +
                           (" " * chance.randrange(5) + chance.choice(["# a comment\n", "\n"])
                            if chance.random() < 0.2 else "") for line in text.splitlines())
            names, architectures = chance.sample(Append.POOL, 3), chance.choice([[X86_64], [X86_64, X86]])
            after = appended(text, names, architectures)
            self.assertEqual(yaml.safe_load(after), append_names(document, names, architectures), text)
            kept_layout += self.is_only_inserted(text, after)
        self.assertGreater(kept_layout, 100)  # a list in flow style, or one that was not there, has no lines to add to

    @staticmethod
    def is_only_inserted(before: str, after: str) -> bool:
        lines = iter(after.splitlines())
        return all(line in lines for line in before.splitlines())

    def assert_only_inserted(self, before: str, after: str) -> None:
        self.assertTrue(self.is_only_inserted(before, after), after)


if __name__ == "__main__":
    unittest.main()
