#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measure what spoc.py costs, side by side with its peers, and compare it with the limits it promises.

The peers are the bare run, an empty raw tracepoint program on sys_enter (the least that any recorder can add) and
strace -f. All ways of running a load take turns, in changing order; a figure is the median of its rounds, a ratio the
median of the ratios within each round. Prints a table, writes it as JSON and, beside that, as Markdown.

Exit codes: 0 every limit is kept, 1 one is exceeded, 2 the benchmark could not run.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import platform
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from statistics import median
from typing import IO, Any, Callable, Dict, Iterator, List, Optional, Sequence

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(ROOT / "tests" / "vm"), str(ROOT / "tests")]
import build as machine_build  # noqa: E402
import check  # noqa: E402
import gaps_recall  # noqa: E402
import registries  # noqa: E402

SPOC = ROOT / "spoc.py"
OBJECT = ROOT / "bpf" / "recorder.bpf.o"
ARCHIVE = ROOT / "dist" / "spoc.pyz"

RECORD_OPTIONS = ("record", "-n", "-o", "/dev/null", "--")
RECORD = (sys.executable, str(SPOC), *RECORD_OPTIONS)
NOTIFY = (*RECORD[:-1], "--backend", "notify", "--")
STRACE = ("strace", "-f", "-o", "/dev/null")
# A background command: it says when it runs, sleeps until its standard input ends, and needs no signal for that.
SLEEPER = ("sh", "-c", "echo ready; exec cat")
DECIMALS = {"ns": 0, "µs": 1, "ms": 1, "x": 2, "%": 1, "MiB": 1, "KB": 1, "": 0}
QUIET_TIMEOUT_S = 120


class BenchError(Exception):
    """The benchmark cannot run here."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table; a figure without a limit is there for comparison."""

    name: str
    value: float
    unit: str
    limit: Optional[float] = None
    is_least: bool = False

    @property
    def kept(self) -> bool:
        return self.limit is None or (self.value >= self.limit if self.is_least else self.value <= self.limit)

    def cells(self) -> List[str]:
        """What the table shows: name, figure, limit, verdict."""
        figure = f"{self.value:,.{DECIMALS[self.unit]}f} {self.unit}".rstrip()
        if self.limit is None:
            return [self.name, figure, "", ""]
        kind, missed = ("at least", "under") if self.is_least else ("at most", "over")
        return [self.name, figure, f"{kind} {self.limit} {self.unit}".rstrip(), "ok" if self.kept else missed]


class Bench:
    """The built programs, and the ways of running them."""

    def __init__(self, folder: str) -> None:
        self.cpu = str(max(os.sched_getaffinity(0)))
        self.load = f"{folder}/load"
        self.exit = f"{folder}/exit"
        self.rawtp = f"{folder}/rawtp"
        self.empty = f"{folder}/empty.bpf.o"
        gcc = ("gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE")
        run(*gcc, "-static", "-o", self.load, str(HERE / "load.c"))
        run(*gcc, "-static", "-nostartfiles", "-o", self.exit, str(HERE / "exit.c"))
        run(*gcc, "-o", self.rawtp, str(HERE / "rawtp.c"), "-lbpf")
        run("clang-14", "-O2", "-target", "bpf", "-c", "-o", self.empty, str(HERE / "empty.bpf.c"))
        self.pair = f"{folder}/pair.bpf.o"
        run("clang-14", "-O2", "-target", "bpf", "-DEXIT", "-c", "-o", self.pair, str(HERE / "empty.bpf.c"))
        self.filter = f"{folder}/filter"
        run(*gcc, "-o", self.filter, str(HERE / "filter.c"), "-lseccomp")
        self.profile = f"{folder}/profile.json"

    def calls(self, *under: str, blocks: int = 200, count: int = 5000) -> float:
        """Nanoseconds of one getppid, made under that command."""
        return float(run(*under, self.load, "calls", self.cpu, str(blocks), str(count)).split()[0])

    def calls_beside(self, *background: str) -> float:
        """Nanoseconds of one getppid while that command runs beside it."""
        with running(*background):
            return self.calls()

    def spawns(self, *under: str, blocks: int = 200) -> float:
        """Nanoseconds of one fork, exec and exit, made under that command."""
        return float(run(*under, self.load, "spawn", self.cpu, str(blocks), "10", self.exit).split()[0])

    def start(self, *command: str) -> "tuple[float, float]":
        """Nanoseconds from start to end of that command, and its peak memory in KiB."""
        wall_ns, peak_kib = run(self.load, "spawn", "-1", "1", "1", *command).split()[-2:]
        return float(wall_ns), float(peak_kib)

    def wait_until_quiet(self) -> None:
        """Wait until no raw tracepoint program, ours or another's, is attached: each slows every syscall down."""
        deadline = time.monotonic() + QUIET_TIMEOUT_S
        while run(self.rawtp, "count") != "0":
            if time.monotonic() > deadline:
                raise BenchError("raw tracepoint programs of others stay attached (bpftool link shows them): end them")
            time.sleep(0.1)

    def alternate(self, rounds: int, **ways: Callable[[], Any]) -> Dict[str, List[Any]]:
        """Run every way once a round, every second round backwards; the results of each way in order of the rounds."""
        results: Dict[str, List[Any]] = {name: [0] * rounds for name in ways}
        for number in range(rounds):
            for name in list(ways)[::1 if number % 2 else -1]:
                self.wait_until_quiet()
                results[name][number] = ways[name]()
        self.wait_until_quiet()
        return results


def run(*command: str) -> str:
    """Run a command that must succeed; its standard output, stripped."""
    try:
        result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True, timeout=300)
    except FileNotFoundError:
        raise BenchError(f"needs the command {command[0]}") from None
    if result.returncode:
        raise BenchError(f"{' '.join(command)} ended with {result.returncode}:\n{result.stderr}")
    return result.stdout.strip()


@contextlib.contextmanager
def running(*command: str) -> Iterator[int]:
    """The pid of a command that runs from its first line of output until the block ends, then by end of its input.

    The end of input comes as well when the benchmark itself is killed: nothing stays attached.
    """
    with tempfile.TemporaryFile("w+") as log, subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True) as process:
        assert process.stdin and process.stdout
        try:
            if process.stdout.readline() != "ready\n":
                log.seek(0)
                raise BenchError(f"{' '.join(command)} did not start:\n{log.read()}")
            yield process.pid
        finally:
            process.stdin.close()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
        if process.wait():
            raise BenchError(f"{' '.join(command)} ended with {process.returncode}")


@contextlib.contextmanager
def attached(*arguments: str) -> Iterator[int]:
    """The pid of spoc.py with these arguments, from when it is attached until the block ends; {pid} is a process that
    waits.
    """
    with running(*SLEEPER) as pid, tempfile.TemporaryFile("w+") as log:
        command = [sys.executable, str(SPOC), *(word.replace("{pid}", str(pid)) for word in arguments)]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log) as process:
            try:
                deadline = time.monotonic() + QUIET_TIMEOUT_S
                while os.fstat(log.fileno()).st_size == 0 or not is_attached(log):
                    if process.poll() is not None or time.monotonic() > deadline:
                        raise BenchError(f"{' '.join(command)} did not attach")
                    time.sleep(0.02)
                time.sleep(0.2)  # the rest of its start
                yield process.pid
            finally:
                process.terminate()


def calls_beside_containers(bench: Bench, count: int) -> float:
    """The time that one syscall takes while so many containers are recorded, each of which waits."""
    with tempfile.TemporaryDirectory() as folder, attached("record", "--containers", "-n", "-o", folder) as pid:
        children = [subprocess.Popen(["unshare", "--pid", "--fork", "--kill-child", "sleep", "1000"],
                                     stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) for _ in range(count)]
        try:
            deadline = time.monotonic() + QUIET_TIMEOUT_S
            while len(os.listdir(f"/proc/{pid}/fd")) < count:  # one for the pid namespace of each
                if time.monotonic() > deadline:
                    raise BenchError(f"{count} containers did not start")
                time.sleep(0.02)
            time.sleep(0.2)
            return bench.calls()
        finally:
            for child in children:
                child.kill()
                child.wait()


def is_attached(log: IO[str]) -> bool:
    log.seek(0)
    text = log.read()
    return "Processing events" in text or "Calls that a filter lets pass" in text


def ratio_of_added(bare: Sequence[float], slower: Sequence[float], floor: Sequence[float]) -> float:
    """How many times what `floor` adds to `bare` is what `slower` adds."""
    return median((s - b) / (f - b) for b, s, f in zip(bare, slower, floor))


def ratio(one: Sequence[float], other: Sequence[float]) -> float:
    return median(o / p for o, p in zip(one, other))


def measure_calls(bench: Bench) -> Iterator[Row]:
    """The time that one syscall takes."""
    ns = bench.alternate(
        11, bare=bench.calls,
        empty=lambda: bench.calls_beside(bench.rawtp, "attach", bench.empty),
        recorded=lambda: bench.calls(*RECORD),
        unrecorded=lambda: bench.calls_beside(*RECORD, *SLEEPER),
        notify=lambda: bench.calls(*NOTIFY, blocks=20, count=100),
        strace=lambda: bench.calls(*STRACE, blocks=20, count=100))
    added = {way: median(s - b for b, s in zip(ns["bare"], samples)) for way, samples in ns.items()}
    yield Row("getppid, bare", median(ns["bare"]), "ns")
    yield Row("getppid, added by an empty BPF program", added["empty"], "ns")
    yield Row("getppid, added while recorded", added["recorded"], "ns")
    yield Row("getppid, added while another process is recorded", added["unrecorded"], "ns")
    yield Row("getppid, added by strace -f", added["strace"], "ns")
    yield Row("getppid, added while recorded with user notification", added["notify"], "ns")
    yield Row("added while recorded, against the empty program",
              ratio_of_added(ns["bare"], ns["recorded"], ns["empty"]), "x", 2.0)
    yield Row("added while another is recorded, against the empty program",
              ratio_of_added(ns["bare"], ns["unrecorded"], ns["empty"]), "x", 1.4)
    yield Row("added while recorded with user notification, against strace -f",
              ratio_of_added(ns["bare"], ns["notify"], ns["strace"]), "x", 0.8)


def measure_attached(bench: Bench) -> Iterator[Row]:
    """What a process pays that nothing attached to is about."""
    def beside(*arguments: str) -> Callable[[], float]:
        def measure() -> float:
            with attached(*arguments):
                return bench.calls()
        return measure

    ns = bench.alternate(
        11, bare=bench.calls,
        empty=lambda: bench.calls_beside(bench.rawtp, "attach", bench.empty),
        pair=lambda: bench.calls_beside(bench.rawtp, "attach", bench.pair),
        record=beside("record", "-n", "-o", "/dev/null", "--pid", "{pid}"),
        one=lambda: calls_beside_containers(bench, 1), hundred=lambda: calls_beside_containers(bench, 100),
        machine=beside("watch"), watch=beside("watch", "--pid", "{pid}"))
    yield Row("getppid, added while another process is recorded that ran already",
              median(s - b for b, s in zip(ns["bare"], ns["record"])), "ns")
    yield Row("the same, against the empty program", ratio_of_added(ns["bare"], ns["record"], ns["empty"]), "x", 1.1)
    for count, way in ((1, "one"), (100, "hundred")):
        yield Row(f"the same beside {way} recorded container{'' if count == 1 else 's'}, against the empty program",
                  ratio_of_added(ns["bare"], ns[way], ns["empty"]), "x", 1.1)
    yield Row("getppid, added by watching the whole machine",
              median(s - b for b, s in zip(ns["bare"], ns["machine"])), "ns")
    yield Row("the same, against two empty programs", ratio_of_added(ns["bare"], ns["machine"], ns["pair"]), "x", 1.4)
    yield Row("getppid, added by watching another process",
              median(s - b for b, s in zip(ns["bare"], ns["watch"])), "ns")
    yield Row("the same, against two empty programs", ratio_of_added(ns["bare"], ns["watch"], ns["pair"]), "x", 1.5)


def measure_spawns(bench: Bench) -> Iterator[Row]:
    """The time that a short process takes from fork to exit."""
    ns = bench.alternate(15, bare=bench.spawns, recorded=lambda: bench.spawns(*RECORD),
                         notify=lambda: bench.spawns(*NOTIFY, blocks=5),
                         strace=lambda: bench.spawns(*STRACE, blocks=5))
    yield Row("fork, exec and exit, bare", median(ns["bare"]) / 1e3, "µs")
    yield Row("fork, exec and exit, added by strace -f", (ratio(ns["strace"], ns["bare"]) - 1) * 100, "%")
    yield Row("fork, exec and exit, added while recorded with user notification",
              (ratio(ns["notify"], ns["bare"]) - 1) * 100, "%")
    yield Row("fork, exec and exit, added while recorded", (ratio(ns["recorded"], ns["bare"]) - 1) * 100, "%", 10.0)


def measure_start(bench: Bench) -> Iterator[Row]:
    """What recording `true` takes: loading, attaching, writing."""
    runs = bench.alternate(21, python=lambda: bench.start(sys.executable, "-I", "-c", "pass"),
                           record=lambda: bench.start(sys.executable, str(ARCHIVE), *RECORD_OPTIONS, "true"),
                           source=lambda: bench.start(*RECORD, "true"),
                           strace=lambda: bench.start(*STRACE, "true"))
    wall_ns = {way: [wall for wall, _ in samples] for way, samples in runs.items()}
    yield Row("python3 -I -c pass", median(wall_ns["python"]) / 1e6, "ms")
    yield Row("strace -f true", median(wall_ns["strace"]) / 1e6, "ms")
    for way, name, limits in (("record", "spoc.pyz record true", (4.0, 16.0)),
                              ("source", "spoc.py record true, compiled at each start", (None, None))):
        yield Row(name, median(wall_ns[way]) / 1e6, "ms")
        yield Row(f"{name}, against python3 -I -c pass", ratio(wall_ns[way], wall_ns["python"]), "x", limits[0])
        yield Row(f"{name}, peak memory", median(peak for _, peak in runs[way]) / 1024, "MiB", limits[1])


def measure_idle(bench: Bench) -> Iterator[Row]:
    """What the tool itself does in two seconds in which what it records or watches does nothing."""
    ways = {"recorder": running(*RECORD, *SLEEPER),
            "recorder of what runs already": attached("record", "-n", "-o", "/dev/null", "--pid", "{pid}"),
            "watcher": attached("watch", "--pid", "{pid}")}
    for name, way in ways.items():
        bench.wait_until_quiet()
        with way as pid:
            time.sleep(0.5)
            before = activity(pid)
            time.sleep(2)
            ticks, switches = (after - first for first, after in zip(before, activity(pid)))
        yield Row(f"CPU time of the {name} in 2 s", ticks * 1e3 / os.sysconf("SC_CLK_TCK"), "ms", 0)
        yield Row(f"wake-ups of the {name} in 2 s", switches, "", 0)


def activity(pid: int) -> "tuple[int, int]":
    """CPU time (in clock ticks) of that process without its children, and how often its threads gave up the CPU."""
    stat = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    switches = 0
    for status in pathlib.Path(f"/proc/{pid}/task").glob("*/status"):
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        switches += int(lines["voluntary_ctxt_switches"])
    return int(stat[11]) + int(stat[12]), switches


def run_under(profile: str, enricher: str, program: pathlib.Path = SPOC) -> Sequence[str]:
    return (sys.executable, str(program), "run", "-q", "-p", profile, "--enricher", enricher, "--")


def allow(profile: str, names: Sequence[str]) -> None:
    """Write a profile that allows these and answers an errno to all else."""
    document = {"defaultAction": "SCMP_ACT_ERRNO", "architectures": [],
                "syscalls": [{"names": list(names), "action": "SCMP_ACT_ALLOW"}]}
    pathlib.Path(profile).write_text(json.dumps(document), encoding="utf-8")


def measure_run(bench: Bench) -> Iterator[Row]:
    """What a filter costs, by itself and with what it blocks being named."""
    for command in ((bench.load, "calls", bench.cpu, "1", "10"), ("true",)):
        run(sys.executable, str(SPOC), "record", "-t", "raw-seccomp", "-b", "execve", "--append", "-o", bench.profile,
            "--", *command)
    document = json.loads(pathlib.Path(bench.profile).read_text(encoding="utf-8"))
    names = [name for rule in document["syscalls"] for name in rule["names"]]
    ns = bench.alternate(
        11, bare=bench.calls,
        pair=lambda: bench.calls_beside(bench.rawtp, "attach", bench.pair),
        library=lambda: bench.calls(bench.filter, ",".join(names)),
        filtered=lambda: bench.calls(*run_under(bench.profile, "none")),
        traced=lambda: bench.calls(*run_under(bench.profile, "tracepoint")))
    yield Row("getppid under a filter that libseccomp's C API loads", median(ns["library"]), "ns")
    yield Row("getppid under the same filter, run --enricher none", median(ns["filtered"]), "ns")
    yield Row("the same, against libseccomp's C API", ratio(ns["filtered"], ns["library"]), "x", 1.05)
    yield Row("getppid, added by empty programs on sys_enter and sys_exit",
              median(pair - bare for bare, pair in zip(ns["bare"], ns["pair"])), "ns")
    yield Row("getppid, added by the tracepoint source",
              median(traced - filtered for filtered, traced in zip(ns["filtered"], ns["traced"])), "ns")
    yield Row("the same, against the two empty programs",
              median((traced - filtered) / (pair - bare) for bare, pair, filtered, traced in
                     zip(ns["bare"], ns["pair"], ns["filtered"], ns["traced"])), "x", 2.5)
    runs = bench.alternate(21, python=lambda: bench.start(sys.executable, "-I", "-c", "pass"),
                           run=lambda: bench.start(*run_under(bench.profile, "auto", ARCHIVE), "true"),
                           source=lambda: bench.start(*run_under(bench.profile, "auto"), "true"))
    wall_ns = {way: [wall for wall, _ in samples] for way, samples in runs.items()}
    yield Row("spoc.pyz run true", median(wall_ns["run"]) / 1e6, "ms")
    yield Row("spoc.pyz run true, against python3 -I -c pass", ratio(wall_ns["run"], wall_ns["python"]), "x", 4.0)
    yield Row("spoc.py run true, against the same", ratio(wall_ns["source"], wall_ns["python"]), "x")


def measure_denials(bench: Bench) -> Iterator[Row]:
    """What 100,000 blocked calls in a row cost."""
    document = json.loads(pathlib.Path(bench.profile).read_text(encoding="utf-8"))
    allow(bench.profile, [name for rule in document["syscalls"] for name in rule["names"] if name != "getppid"])
    ns = bench.alternate(11, silent=lambda: bench.calls(*run_under(bench.profile, "none"), blocks=20),
                         named=lambda: bench.calls(*run_under(bench.profile, "tracepoint"), blocks=20))
    yield Row("100,000 blocked calls, each", median(ns["silent"]), "ns")
    yield Row("100,000 blocked calls, slowed by naming them", ratio(ns["named"], ns["silent"]), "x", 2.0)
    few, many = (bench.start(*run_under(bench.profile, "tracepoint"), bench.load, "calls", bench.cpu, "20", count)[1]
                 for count in ("5", "5000"))
    yield Row("peak memory, 100,000 blocked calls against 100", many / few, "x", 1.02)


def measure_reading(bench: Bench) -> Iterator[Row]:
    """How fast profiles are read."""
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(ROOT))
    import spoc
    import yaml

    def text(names: int) -> str:
        return spoc.format_profile(spoc.Profile("SCMP_ACT_ERRNO", ("SCMP_ARCH_X86_64",), (
            spoc.Rule("SCMP_ACT_ALLOW", tuple(f"syscall_{number}" for number in range(names))),)), "seccomp", "x")

    def seconds(read: Callable[[], object]) -> float:
        start = time.perf_counter()
        read()
        return time.perf_counter() - start

    profile = text(400)
    rules = {count: "kind: SeccompProfile\nspec:\n  defaultAction: SCMP_ACT_ERRNO\n  syscalls:\n" + "".join(
        f"  - action: SCMP_ACT_ALLOW\n    names: [name_{number}]\n    args:\n    - {{index: 0, value: {number}, "
        "op: SCMP_CMP_EQ}\n" for number in range(count)) for count in (1000, 10000)}
    spent = bench.alternate(
        11, ours=lambda: seconds(lambda: spoc.parse_yaml(profile)),
        peer=lambda: seconds(lambda: yaml.load(profile, Loader=yaml.SafeLoader)),
        thousand=lambda: seconds(lambda: spoc.parse_yaml(rules[1000])),
        ten=lambda: seconds(lambda: spoc.parse_yaml(rules[10000])))
    yield Row("reading 400 names of YAML", median(spent["ours"]) * 1e3, "ms")
    yield Row("the same, against PyYAML's SafeLoader", ratio(spent["ours"], spent["peer"]), "x", 0.1)
    yield Row("reading 10,000 rules, against ten times 1,000", ratio(spent["ten"], spent["thousand"]) / 10, "x", 1.3)


def measure_arm64(_bench: Bench) -> Iterator[Row]:
    """Start-up and memory on another architecture; QEMU interprets it, so that only the ratios mean something."""
    machine = next(each for each in check.MACHINES if each.name == "arm64")._replace(tests=["figures"])
    base = machine_build.build(machine.suite, machine.kernel, machine.kernel_architecture, machine.architecture,
                               machine.more)
    events, text = check.boot(machine, base, check.make_job(machine, "figures", machine.tests, []))
    found = next((event["figures"] for event in events if "figures" in event), None)
    if found is None:
        raise BenchError(f"the {machine.name} machine gave no figures: {text[-2000:]}")
    seconds = {way: [run[0] for run in runs] for way, runs in found.items()}
    yield Row("emulated arm64: python3 -I -c pass", median(seconds["python"]) * 1e3, "ms")
    for name in ("spoc.pyz", "spoc.py"):
        yield Row(f"emulated arm64: {name} record true, against python3 -I -c pass",
                  ratio(seconds[name], seconds["python"]), "x")
        yield Row(f"emulated arm64: {name} record true, peak memory",
                  median(run[1] for run in found[name]) / 1024, "MiB")


def measure_merging(bench: Bench) -> Iterator[Row]:
    """What 1,000 profiles of 300 names cost to merge, and PyYAML to read."""
    import spoc
    import yaml

    folder = os.path.dirname(bench.profile)
    known = sorted(filter(None, (spoc.syscall_name(spoc.X86_64, number) for number in range(450))))
    chance = random.Random(1)
    paths = []
    for number in range(1000):
        names = tuple(sorted(chance.sample(known, 300)))
        paths.append(os.path.join(folder, f"{number}.yaml"))
        pathlib.Path(paths[-1]).write_text(spoc.format_profile(spoc.Profile(
            "SCMP_ACT_ERRNO", ("SCMP_ARCH_X86_64",), (spoc.Rule("SCMP_ACT_ALLOW", names),)), "seccomp", "x"))

    def read() -> float:
        start = time.perf_counter()
        for path in paths[:100]:
            with open(path, encoding="utf-8") as file:
                yaml.load(file, Loader=yaml.SafeLoader)
        return (time.perf_counter() - start) * 10 * 1e3

    output = os.path.join(folder, "merged")
    spent = bench.alternate(
        5, ours=lambda: bench.start(sys.executable, str(SPOC), "merge", "-q", "-o", output, *paths)[0] / 1e6, peer=read)
    yield Row("merging 1,000 profiles of 300 names", median(spent["ours"]), "ms")
    yield Row("the same, against PyYAML's SafeLoader, reading alone", ratio(spent["ours"], spent["peer"]), "x", 0.1)


NODES = 1000
PLACE = "fleet/app"  # in the registry


def fill_registry(root: pathlib.Path) -> "List[str]":
    """Write what a docker-registry stores of the profiles of a fleet, no two of which are the same: to push them would
    take a minute. Give the paths of their manifests and blobs, in turn, as a registry serves them.
    """
    import spoc

    known = sorted(filter(None, (spoc.syscall_name(spoc.X86_64, number) for number in range(450))))
    chance = random.Random(1)
    paths: List[str] = []

    def write(path: str, data: bytes) -> None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)

    for number in range(NODES):
        profile = spoc.Profile("SCMP_ACT_ERRNO", ("SCMP_ARCH_X86_64",), (
            spoc.Rule("SCMP_ACT_ALLOW", tuple(sorted({*known[:90], *chance.sample(known, 10)}))),))
        text = spoc.format_profile(profile, "seccomp", "app", metadata={"labels": {"node": f"node-{number}"}})
        artifact = spoc.crd_artifact([(None, text.encode())], {})
        held = {blob.digest: blob.data for blob in artifact.blobs}
        for digest in held:
            write(f"repositories/{PLACE}/_layers/sha256/{digest[7:]}/link", digest.encode())
        for digest, data in {**held, artifact.digest: artifact.manifest}.items():
            write(f"blobs/sha256/{digest[7:9]}/{digest[7:]}/data", data)
        for name in (f"revisions/sha256/{artifact.digest[7:]}", f"tags/node-{number}/current",
                     f"tags/node-{number}/index/sha256/{artifact.digest[7:]}"):
            write(f"repositories/{PLACE}/_manifests/{name}/link", artifact.digest.encode())
        paths += [f"manifests/node-{number}", f"blobs/{spoc.sha256_of(text.encode())}"]
    return paths


@contextlib.contextmanager
def registry(folder: pathlib.Path) -> Iterator[int]:
    """The port of Debian's docker-registry on loopback, with what is in this folder."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = int(listener.getsockname()[1])
    config = folder / "config.json"
    config.write_text(json.dumps({
        "version": "0.1", "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder)}}, "http": {"addr": f"127.0.0.1:{port}"}}))
    with subprocess.Popen(["docker-registry", "serve", str(config)], stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            run("curl", "-sSf", "--retry", "50", "--retry-connrefused", "--retry-delay", "1",
                f"http://127.0.0.1:{port}/v2/")
            yield port
        finally:
            server.terminate()


def measure_fleet(bench: Bench) -> Iterator[Row]:
    """What the profiles of 1,000 nodes cost to merge from a registry, and others to fetch."""
    folder = pathlib.Path(os.path.dirname(bench.profile), "registry")
    paths = fill_registry(folder / "docker" / "registry" / "v2")

    def fetch(name: str, wanted: Sequence[str], port: int) -> Callable[[], float]:
        config = folder / name
        config.write_text('header = "Accept: application/vnd.oci.image.manifest.v1+json"\n' + "".join(
            f'url = "http://127.0.0.1:{port}/v2/{PLACE}/{path}"\noutput = "/dev/null"\n' for path in wanted))
        return lambda: bench.start("curl", "-sSf", "-K", str(config))[0]

    def copy(number: int, port: int) -> float:
        return bench.start("skopeo", "copy", "-q", "--src-tls-verify=false",
                           f"docker://127.0.0.1:{port}/{PLACE}:node-{number}", f"dir:{folder}/copy")[0]

    def merge(tags: str, port: int) -> "tuple[float, float]":
        spent = bench.start(sys.executable, str(ARCHIVE), "merge", "-q", "-o", f"{folder}/all.yaml",
                            f"oci://127.0.0.1:{port}/{PLACE}:{tags}")
        if tags == "node-*" and '\\"total\\":1000,' not in (folder / "all.yaml").read_text():
            raise BenchError("not all nodes were merged")
        return spent

    with contextlib.ExitStack() as resources:
        port = resources.enter_context(registry(folder))
        case = unittest.TestCase()
        resources.callback(case.doCleanups)
        front = registries.Server(case, registries.in_pages(f"127.0.0.1:{port}", 100))
        ns = bench.alternate(
            3, merge=lambda: merge("node-*", port)[0], curl=fetch("all", paths, port),
            blobs=fetch("blobs", paths[1::2], port), paged=lambda: merge("node-*", front.port)[0],
            skopeo=lambda: sum(copy(number, port) for number in range(10)) * NODES / 10)
        few, many = (merge(tags, port)[1] for tags in ("node-?", "node-*"))
    yield Row("merging the profiles of 1,000 nodes from a registry", median(ns["merge"]) / 1e6, "ms")
    yield Row("curl, the same manifests and blobs over one connection", median(ns["curl"]) / 1e6, "ms")
    yield Row("curl, the blobs alone", median(ns["blobs"]) / 1e6, "ms")
    yield Row("merging them, against curl, manifests and blobs", ratio(ns["merge"], ns["curl"]), "x", 1.5)
    yield Row("merging them, against curl, the blobs alone", ratio(ns["merge"], ns["blobs"]), "x")
    yield Row("merging them where 100 tags are a page, and others have the blobs", median(ns["paged"]) / 1e6, "ms")
    yield Row("merging them, against skopeo, one after the other", ratio(ns["merge"], ns["skopeo"]), "x", 1.5)
    yield Row("peak memory, 1,000 nodes against 10", many / few, "x", 1.2)


def measure_gaps(bench: Bench) -> Iterator[Row]:
    """What gaps names after a first recording, against what richer ones newly need."""
    folder = pathlib.Path(os.path.dirname(bench.profile), "gaps")
    folder.mkdir()
    everything = gaps_recall.record_all(SPOC, folder)
    for name, (own, with_libraries) in gaps_recall.recalls(everything).items():
        yield Row(f"gaps, {name}: {own.found} of {own.needed} new calls in a list of {own.length}, {own.baseline} of "
                  f"the commonest; with libraries {with_libraries.found} in {with_libraries.length}, "
                  f"{with_libraries.baseline}", 100 * own.recall, "%")
    own, with_libraries = gaps_recall.totals(everything)
    for what, total, least in (("gaps, own imports", own, 70), ("gaps, with libraries", with_libraries, 95)):
        yield Row(f"{what}: newly needed calls that it names", 100 * total.recall, "%", least, True)
        yield Row("the same of lists of the commonest calls, as long", 100 * total.baseline_recall, "%")
        yield Row("the same, against those", total.recall / total.baseline_recall, "x", 1, True)
        yield Row(f"{what}: named calls that came true", 100 * total.precision, "%")


def measure_size(bench: Bench) -> Iterator[Row]:
    """What has to be copied to another machine."""
    yield Row("spoc.py and recorder.bpf.o", (SPOC.stat().st_size + OBJECT.stat().st_size) / 1e3, "KB", 300)


MEASUREMENTS: Sequence[Callable[[Bench], Iterator[Row]]] = (
    measure_calls, measure_attached, measure_spawns, measure_start, measure_idle, measure_run, measure_denials,
    measure_reading,
    measure_merging, measure_fleet, measure_gaps, measure_arm64, measure_size)


def machine() -> str:
    """The facts that the figures depend on."""
    with open("/proc/cpuinfo", encoding="utf-8") as cpuinfo:
        models = [line.partition(": ")[2].strip() for line in cpuinfo if line.startswith("model name")]
    return (f"Linux {platform.release()} {platform.machine()}, {os.cpu_count()} x {models[0] if models else 'CPU'}, "
            f"Python {platform.python_version()}")


def format_text(facts: str, rows: Sequence[Row]) -> str:
    """The table for a terminal."""
    cells = [row.cells() for row in rows]
    name, figure, limit = (max(len(row[column]) for row in cells) for column in range(3))
    lines = (f"{row[0]:{name}}  {row[1]:>{figure}}  {row[2]:{limit}}  {row[3]}".rstrip() for row in cells)
    return "\n".join([facts, "", *lines, ""])


def format_markdown(facts: str, rows: Sequence[Row]) -> str:
    """The table for docs/measured.md."""
    lines = ("| " + " | ".join(row.cells()) + " |" for row in rows)
    return "\n".join([f"{facts}:", "", "| | Measured | Limit | |", "|---|--:|---|---|", *lines, ""])


def write_results(path: pathlib.Path, facts: str, rows: Sequence[Row]) -> None:
    """Write the table as JSON, and as Markdown beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {"machine": facts, "rows": [{**dataclasses.asdict(row), "limit_text": row.cells()[2],
                                            "verdict": row.cells()[3]} for row in rows]}
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    path.with_suffix(".md").write_text(format_markdown(facts, rows), encoding="utf-8")


def read_markdown(path: pathlib.Path) -> str:
    """The Markdown table of the run whose JSON this is."""
    document = json.loads(path.read_text(encoding="utf-8"))
    rows = [Row(row["name"], row["value"], row["unit"], row["limit"], row.get("is_least", False))
            for row in document["rows"]]
    return format_markdown(document["machine"], rows)


def measure_all() -> List[Row]:
    """The rows of every measurement; what is being measured goes to standard error."""
    if os.geteuid() != 0:
        raise BenchError("needs root, to attach BPF programs")
    folder = tempfile.mkdtemp(prefix="spoc-bench-")
    os.chmod(folder, 0o755)  # servers read in it as other users
    try:
        bench = Bench(folder)
        rows: List[Row] = []
        for measure in MEASUREMENTS:
            print(f"bench: {measure.__doc__}", file=sys.stderr)
            rows.extend(measure(bench))
        return rows
    finally:
        shutil.rmtree(folder)


def main(argv: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(description="Measure what spoc.py costs.")
    parser.add_argument("--json", type=pathlib.Path, default=ROOT / "build" / "bench.json", metavar="FILE",
                        help="where the results are written, and read from by --readme (default: %(default)s)")
    parser.add_argument("--readme", action="store_true", help="print the last run's table as Markdown; measure nothing")
    options = parser.parse_args(argv)
    try:
        if options.readme:
            print(read_markdown(options.json), end="")
            return 0
        rows = measure_all()
    except (BenchError, OSError, subprocess.TimeoutExpired) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    facts = machine()
    write_results(options.json, facts, rows)
    print(format_text(facts, rows), end="")
    return 0 if all(row.kept for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
