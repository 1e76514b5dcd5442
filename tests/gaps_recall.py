# SPDX-License-Identifier: MIT
"""What `gaps` names after a first recording of a program, against what further recordings of it newly hold."""

import collections
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
from typing import Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

from support import ROOT

WORKLOADS = ROOT / "tests" / "workloads.sh"


class Recorded(NamedTuple):
    """One program: the calls of its first recording and of all others, and what `gaps` names beside the first."""

    name: str
    first: Set[str]
    rich: Set[str]
    own: Set[str]
    libraries: Set[str]

    @property
    def newly_needed(self) -> Set[str]:
        return self.rich - self.first


class Recall(NamedTuple):
    """How many calls are newly needed, how long a list is, how many of them it has, and how many so many of the
    commonest have.
    """

    needed: int
    length: int
    found: int
    baseline: int

    @property
    def recall(self) -> float:
        return self.found / self.needed

    @property
    def baseline_recall(self) -> float:
        return self.baseline / self.needed

    @property
    def precision(self) -> float:
        return self.found / self.length


def program_files() -> "Dict[str, List[str]]":
    """The programs of workloads.sh: name -> its file, and those that it runs."""
    listed = subprocess.run(["sh", str(WORKLOADS), "list"], stdout=subprocess.PIPE, text=True, check=True).stdout
    return {line.split()[0]: line.split()[1:] for line in listed.splitlines()}


def read_names(path: pathlib.Path) -> Set[str]:
    document = json.loads(path.read_text(encoding="utf-8"))
    return {name for rule in document["syscalls"] for name in rule["names"]}


def record(spoc: pathlib.Path, name: str, files: Sequence[str], folder: pathlib.Path) -> Recorded:
    """Record one program in a new folder, and ask `gaps` about it."""
    place = folder / name
    place.mkdir()
    subprocess.run(["sh", str(WORKLOADS), name], cwd=place, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                   check=True, timeout=400, env={**os.environ, "SPOC": str(spoc), "PYTHON": sys.executable})
    first = place / "first.json"
    result = subprocess.run([sys.executable, "-B", str(spoc), "gaps", "--json", "-p", str(first), *files],
                            stdout=subprocess.PIPE, check=True)
    told = json.loads(result.stdout)
    rich = [read_names(path) for path in place.glob("rich-*.json")]
    assert rich, name
    return Recorded(name, read_names(first), set().union(*rich), {entry["syscall"] for entry in told["own"]},
                    set().union(*told["libraries"].values()))


def record_all(spoc: pathlib.Path, folder: pathlib.Path, names: "Optional[Sequence[str]]" = None) -> List[Recorded]:
    """The same for several programs, or all of them, two at a time."""
    files = program_files()
    wanted = list(names or files)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda name: record(spoc, name, files[name], folder), wanted))


def recall(each: Recorded, everything: Sequence[Recorded], wanted: Set[str]) -> Recall:
    """What a list tells of a program; the commonest calls are those of all other programs."""
    counts = collections.Counter(call for other in everything if other.name != each.name
                                 for call in other.first | other.rich)
    common = sorted((call for call in counts if call not in each.first), key=lambda call: (-counts[call], call))
    return Recall(len(each.newly_needed), len(wanted), len(wanted & each.newly_needed),
                  len(each.newly_needed.intersection(common[:len(wanted)])))


def recalls(everything: Sequence[Recorded]) -> "Dict[str, Tuple[Recall, Recall]]":
    """For each program what its own list tells, and what that with its libraries' does."""
    return {each.name: (recall(each, everything, each.own), recall(each, everything, each.own | each.libraries))
            for each in everything}


def totals(everything: Sequence[Recorded]) -> "Tuple[Recall, Recall]":
    """The same over all programs."""
    own, libraries = zip(*recalls(everything).values())
    return Recall(*map(sum, zip(*own))), Recall(*map(sum, zip(*libraries)))


def format_table(everything: Sequence[Recorded]) -> str:
    """A line for each program, for a terminal: lists as length:came true:of the commonest, and what neither has."""
    lines = [f"{'program':10} {'newly needed':>12} {'own imports':>12} {'with libraries':>14}  missing"]
    rows = {**recalls(everything), "all": totals(everything)}
    missing = {each.name: sorted(each.newly_needed - each.own - each.libraries) for each in everything}
    for name, (own, libraries) in rows.items():
        own_text, libraries_text = (":".join(map(str, each[1:])) for each in (own, libraries))
        lines.append(f"{name:10} {own.needed:12} {own_text:>12} {libraries_text:>14}  {' '.join(missing.get(name, []))}"
                     .rstrip())
    return "\n".join(lines)
