# SPDX-License-Identifier: MIT
"""Documents and rules that nobody meant to write, made by chance for a given time: does spoc.py read the documents as
PyYAML, libyaml, ruamel and json do, and does the kernel answer calls as the rules say? See `make fuzz`.

    make fuzz SECONDS=600          from a seed that it prints
    make fuzz SECONDS=0 SEED=1234  the one round that begins with this seed
"""

import json
import os
import pathlib
import random
import re
import sys
import time
import warnings
from typing import Any, Callable, List, Optional, Sequence

import ruamel.yaml
import yaml

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import spoc  # noqa: E402
import support  # noqa: E402
from rules import GETPPID, RulesCase  # noqa: E402

DOCUMENTS, RULE_SETS = 100, 10  # of a round

# Plain scalars at the edge of what is a string, a number, a date or nothing to some reader.
WORDS = """a b-c read SCMP_ACT_ALLOW ~ null Null nULL true True false yes No on off y n Y N yep = << - ? . .. --- ...
    0 -0 +0 7 -1 +12 007 08 0o7 0O7 0b11 0x1F 0X1f -0x1f 0x 0b 1_000 _1 1__0 12345678901234567890123 1.5 1.
    .5 -.5 +1.5e3
    1e3 1E-3 1e 1.e+3 ._1 .1.2 0.8.4 1.2.3-4 10.0.0.1/8 1..2 0.1. 1,2 1,000 1,5e3 1:30 1:99 190:20:30 1:30.5 1.2:3 12:a
    .inf -.Inf .nan +.nan NaN Infinity -Infinity 2001-01-01 2001-1-1 2001-01-01T12:00:00Z 2001-01-01x a:b
    a::b :a a#b #a -a
    ?a -#a a? a- é \U0001f600 %a @a `a &a *a !a |a >a a'b a"b [a {a a] a} ,a a, a,b""".split()
ESCAPES = ['\\\\', '\\"', "\\n", "\\t", "\\ ", "\\\t", "\\/", "\\0", "\\x41", "\\u00e9", "\\U0001F600", "\\e", "\\_",
           "\\\n", "\\\n\n  ", "\\q", "\\x4"]
# What a change by chance puts in, with what stands in nearly every document the more often.
FRAGMENTS = [" ", " ", "\n", "\n", "  ", "\n  ", "\n\n", ":", ": ", " :", "- ", "-", "-\t", "\t", "? ", "?\t", "?", ",",
             "[", "]", "{", "}", "#", " #", "'", '"', "\\", "\\ \n", "|", ">", "|\n", ">-\n", "|2\n", "&a ", "*a",
             "!x ", "!!str ", "---\n", "...\n", "--- ", "\r\n", "null", "NaN", "y", "1:30", "0.8.4", "%", "@", "`", "é",
             "\ufeff", "\x85"]

# What spoc.py refuses whoever reads it, see docs/manual.md.
STATED = re.compile(
    "complex keys|directives are|appears twice|is no scalar|leading [@`,]|a leading comma|no such anchor|is no JSON"
    r"|not allowed|a leading : is|a tab|half a surrogate|nested deeper|expected|unexpected|a comment within a scalar"
    "|a leading blank line"
    "|in another line|bad block scalar header|without a name|within a plain scalar|a tag here is not supported")
# Words of YAML 1.1, and what Go alone takes for a date.
UNCLEAR_ALONE = re.compile(r"[yYnN]\Z|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt ][0-9:.]+)?Z?\Z|[-+]?0[OX0-9]")


class AnyTag(yaml.SafeLoader):
    """PyYAML, with a word for what has a tag that it does not know."""


class AnyTagOfC(yaml.CSafeLoader):
    """The same of libyaml."""


class AnyTagOfRuamel(ruamel.yaml.constructor.SafeConstructor):
    """The same of ruamel, which reads YAML 1.2."""


for constructor in (AnyTag, AnyTagOfC, AnyTagOfRuamel):  # type: Any
    constructor.add_multi_constructor("!", lambda loader, _, node: "tagged")


warnings.simplefilter("ignore", ruamel.yaml.error.ReusedAnchorWarning)


def read_ruamel(text: str) -> List[Any]:
    reader = ruamel.yaml.YAML(typ="safe", pure=True)
    reader.Constructor = AnyTagOfRuamel
    return list(reader.load_all(text))


def no_constant(text: str) -> None:
    raise ValueError(f"{text} is no JSON")


# A tag with nothing behind it: an empty string to some, nothing to others.
LONE_TAG = re.compile(r"(?:---)?\s*!\s*(?:#.*)?\Z")
READERS: Sequence[Callable[[str], List[Any]]] = (
    lambda text: list(yaml.load_all(text, Loader=AnyTag)), lambda text: list(yaml.load_all(text, Loader=AnyTagOfC)),
    read_ruamel)


def readings(text: str) -> List[List[Any]]:
    """What other readers make of a text, as documents; not those that refuse it. Of JSON, what json does, for all."""
    found = []
    try:
        return [[each for each in [json.loads(text, parse_constant=no_constant)] if each is not None]] * len(READERS)
    except (ValueError, RecursionError):
        pass
    if re.search(r"(?i)\\ud[89a-f]", text):  # JSON alone says what two of these make
        return []
    for read in READERS:
        try:
            found.append([each for each in read(text) if each is not None])
        except Exception:  # their errors are of many kinds
            continue
    return found


def needless(own: Any, others: Sequence[Any]) -> Optional[str]:
    """A scalar within that is refused as unclear, though all others read the same string."""
    if isinstance(own, spoc.Unclear):
        same = all(isinstance(each, str) and each == own.text for each in others)
        return own.text if same and not UNCLEAR_ALONE.match(own.text) else None
    if isinstance(own, dict) and not any(isinstance(key, spoc.Unclear) for key in own):
        return next(filter(None, (needless(own[key], [each[key] for each in others]) for key in own)), None)
    if isinstance(own, list):
        return next(filter(None, (needless(each, [other[index] for other in others])
                                  for index, each in enumerate(own))), None)
    return None


def judge(text: str) -> str:
    """What is wrong with how spoc.py reads a text: "" if nothing is."""
    others = readings(text)
    if LONE_TAG.match(text):
        return ""
    try:
        own = [each for each in spoc.parse_yaml(text, "fuzz") if each is not None]
    except spoc.ProfileError as error:
        if not re.match(r"read profile: fuzz:[0-9]+:[0-9]+: .+\Z", str(error)):
            return f"no place in {error}"
        if STATED.search(str(error)):
            return ""
        # What only some of them read may be refused: ruamel alone names an anchor by a backslash.
        alike = len(others) == len(READERS) and all(support.agree(each, others[0]) for each in others)
        return f"refused without need: {error}: {others[0]}" if alike else ""
    except Exception as error:
        return f"{error!r}"
    for other in others:
        if not support.agree(own, other):
            return f"read as {own}, by others as {others}"
    word = needless(own, others) if len(others) == len(READERS) else None
    return f"unclear without need: {word}" if word else ""


class Writer:
    """Texts by chance: of YAML, a letter at a time rather than by an emitter, and of JSON."""

    def __init__(self, seed: int):
        self.chance = random.Random(seed)

    def document(self) -> str:
        chance = self.chance
        if chance.random() < 0.3:
            text = json.dumps(self.value(0), indent=chance.choice([None, None, 0, 1, "\t"]),
                              ensure_ascii=chance.random() < 0.5)
        else:
            text = "\n".join(self.block(0, 0)) + chance.choice(["\n", "\n", ""])
            text = chance.choice(["", "", "", "---\n", "# a\n", "--- # a\n", "a: b\n---\n"]) + text
        for _ in range(chance.choice([0, 0, 1, 1, 2])):
            start = chance.randrange(len(text) + 1)
            end = start + chance.choice([0, 0, 0, 1, 1, 3])
            text = text[:start] + chance.choice([*FRAGMENTS, ""]) + text[end:]
        return text.replace("\r", "").replace("\n", "\r\n") if chance.random() < 0.1 else text

    def value(self, depth: int) -> Any:
        """What json can write."""
        chance = self.chance
        kind = chance.randrange(6 if depth < 3 else 4)
        if kind < 2:
            return chance.choice([*WORDS, "", " a ", "a\nb", "a\\b", '"', "\u2028", "\ud83d", "\x7f", "\t"])
        if kind < 4:
            return chance.choice([None, True, False, 0, -5, 1 << 64, 1.5, 1e300, float("nan"), float("inf")])
        items = [self.value(depth + 1) for _ in range(chance.randrange(4))]
        return items if kind == 4 else {chance.choice(WORDS): item for item in items}

    def properties(self) -> str:
        return self.chance.choice([""] * 12 + ["&a ", "&b ", "!x ", "!!str ", "&a !x "])

    def block(self, indent: int, depth: int) -> List[str]:
        """The lines of a collection in block style."""
        chance, lines = self.chance, []
        of_keys = chance.random() < 0.6
        for _ in range(chance.randrange(1, 4)):
            lines += [""] * (chance.random() < 0.05) + [" " * chance.randrange(4) + "# a"] * (chance.random() < 0.05)
            start = " " * indent + (f"{self.key()}{chance.choice(['', '', ' '])}:" if of_keys else "-")
            kind = chance.random()
            deeper = indent + chance.choice([1, 2, 2, 4])
            if kind < 0.3 and depth < 3:
                inner = self.block(deeper if chance.random() < 0.8 or not of_keys else indent, depth + 1)
                if not of_keys and chance.random() < 0.6 and inner[0].strip():
                    lines.append(start + " " * (deeper - indent - 1) + inner.pop(0).lstrip(" "))
                else:
                    lines.append(start + chance.choice(["", " # a", " &c"]))
                lines += inner
            elif kind < 0.4:
                header = chance.choice("|>") + chance.choice(["", "", "-", "+", "1", "2-", "+2"])
                lines += [f"{start} {header}", *(" " * (deeper + chance.choice([0, 0, 0, 1]))
                                                 * (chance.random() < 0.8) + text
                                                 for text in chance.choices(["a", "b: c", "", "# a", "- a"], k=3))]
            else:
                gap = chance.choice([" "] * 8 + ["  ", " \t", "\t"])
                scalar = self.scalar(False) if kind < 0.8 else self.flow(0)
                first, *rest = (self.properties() + scalar).split("\n")
                lines += [start + gap + first + chance.choice(["", "", "", " # a", " "]),
                          *(" " * deeper * (text != "") + text for text in rest)]
        return lines

    def key(self) -> str:
        text = self.scalar(True)
        return text if "\n" not in text else "k"

    def scalar(self, of_key: bool) -> str:
        chance = self.chance
        kind = chance.random()
        if kind < 0.6:
            return chance.choice(WORDS)
        if kind < 0.75:
            return chance.choice([" ", "  ", "\n", "\n\n", " \n ", "\t"][:1 if of_key else 6]).join(
                chance.choices(WORDS[:3] + ["-", "a:b", "#a", "'", "[", "1"], k=3))
        parts = chance.choices([*ESCAPES, "a", "b ", " ", "  ", "\n", " \n ", "\n\n", "'", "é", "\t", "#", ": "], k=5)
        text = "".join(parts)
        return f'"{text}"' if kind < 0.9 else "'" + text.replace("'", "''") + "'"

    def flow(self, depth: int) -> str:
        chance = self.chance

        def gap() -> str:
            return chance.choice(["", "", " ", " ", "\n", " # a\n", "  ", "\t"])

        items = []
        of_keys = chance.random() < 0.6
        for _ in range(chance.randrange(4)):
            value = self.flow(depth + 1) if chance.random() < 0.3 and depth < 3 else self.scalar(True)
            key = self.scalar(True) + chance.choice(["", "", "", " ", "\n"]) + chance.choice([": ", ": ", ":"])
            items.append(gap() + (key if of_keys else "") + self.properties() + value + gap())
        text = ",".join(items) + chance.choice(["", "", ","])
        return f"{{{text}}}" if of_keys else f"[{text}]"


class Count:
    passed = failed = skipped = 0

    def note(self, wrong: str, repeat: str) -> None:
        if wrong:
            self.failed += 1
            print(f"FAILED {wrong}\n    again: {repeat}", flush=True)
        else:
            self.passed += 1


def fuzz_documents(seed: int, count: int) -> "List[str]":
    """What is wrong with each of so many documents."""
    writer = Writer(seed)
    found = []
    for _ in range(count):
        text = writer.document()
        wrong = judge(text)
        found.append(f"{wrong}\n    text: {text!r}" if wrong else "")
    return found


def fuzz_rules(seed: int, count: int) -> "List[str]":
    """What is wrong with sets of rules, as the kernel answers in a child that loads their filters; the first error
    ends it.
    """
    kernel = RulesCase()
    kernel.SEED = seed
    try:
        kernel.check("-static", count, set(GETPPID))
    except AssertionError as error:
        return [str(error)]
    return [""] * count


def main() -> int:
    seconds, seed = float(os.environ.get("SECONDS") or 60), int(os.environ.get("SEED") or time.time_ns() % 10 ** 9)
    print(f"make fuzz SECONDS={seconds:g} SEED={seed}", flush=True)
    spoc.libseccomp.load()
    count, end = Count(), time.monotonic() + seconds
    while True:
        wrongs = fuzz_documents(seed, DOCUMENTS)
        if os.uname().machine == "x86_64":
            wrongs += fuzz_rules(seed, RULE_SETS)
        else:
            count.skipped += RULE_SETS
        for wrong in wrongs:
            count.note(wrong, f"make fuzz SECONDS=0 SEED={seed}")
        seed += 1
        if time.monotonic() >= end:
            break
    print(f"{count.passed} passed, {count.failed} failed, {count.skipped} skipped")
    return 1 if count.failed else 0


if __name__ == "__main__":
    sys.exit(main())
