#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Lets each syscall that spoc.py makes fail, one a run, and judges what came of that.

usage: faults.py [--seconds N] [--seed N]
       faults.py SCENARIO ROLE CALL NTH ERRNO    one injection, as a failure's repro command names it

For each scenario, a command of spoc.py, the calls of a run without faults are counted: of spoc.py itself (role 0) from
the begin of its main() on, and of the processes that it forks (roles 1, 2, ...) until they exec; see
tests/programs/inject.c. Then, in an order drawn from the seed, run after run has one of these calls return an error.
Over time each call meets each error. The last line is `N passed, N failed, N skipped`: skipped is what was not reached,
since a run may take another way.
"""

import argparse
import ctypes
import dataclasses
import errno
import json
import os
import pathlib
import py_compile
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Set, Tuple

import yaml

from companions import COMPANIONS
from support import OBJECT, SOURCE, build

ERRORS = ("EPERM ENOENT EINTR EIO EBADF EAGAIN ENOMEM EACCES EFAULT EBUSY EEXIST ENODEV EINVAL ENFILE EMFILE ENOSPC "
          "EROFS ENOSYS EOPNOTSUPP EDQUOT").split()
# What the kernel never answers otherwise, and libc takes for granted: most of these make it end the process.
NEVER_FAIL = set("exit exit_group futex getegid geteuid getgid getpgrp getpid getppid getsid gettid getuid munmap "
                 "restart_syscall rt_sigaction rt_sigprocmask rt_sigreturn sched_yield umask".split())
# What the manual pages name, where all else would only be a lie of this tracer. EAGAIN is for what does not block.
ONLY = {
    "brk": ["ENOMEM"],
    "clock_nanosleep": ["EINTR"],
    "close": ["EINTR", "EIO", "ENOSPC", "EDQUOT"],
    "getrandom": ["EINTR", "ENOSYS", "EAGAIN"],
    "ioctl": [name for name in ERRORS if name != "ENOENT"],  # of a listener: nobody waits for the answer any more
    "mmap": ["ENOMEM", "EAGAIN", "ENODEV", "EPERM", "EACCES", "ENFILE"],
    "mprotect": ["ENOMEM", "EACCES"],
    "mremap": ["ENOMEM", "EAGAIN"],
    "poll": ["EINTR", "ENOMEM"],
    "read": [name for name in ERRORS if name != "EAGAIN"],
    "wait4": ["EINTR", "ECHILD"],
    "waitid": ["EINTR", "ECHILD"],
}
# By which /proc says that a process is gone, or another user's: what is said of that cannot be done.
GONE = {"ENOENT", "EPERM", "EACCES"}
LOOKS = {"openat", "newfstatat", "readlink", "read"}
SECONDS = 600
LIMIT_S = 60  # a machine may be busy
DENIED = re.compile(r"(?m)^\S+ Seccomp: getppid \(")
TIMED = re.compile(r"\d\d:\d\d:\d\d\.\d{6} ")
LACKING = re.compile("not usable: |cannot be built here: ")  # how version and show say that a part is not there
RECORDED = re.compile(r" Recording (container NAME|[0-9]+ task)")
VICTIM = re.compile(r"ran uid=(\d+) seccomp=(\d) getppid=(\w+)\n")


class Place(NamedTuple):
    """A call of a scenario: the NTH of its name that a process of this role makes."""

    role: int
    call: str
    nth: int


@dataclasses.dataclass(frozen=True)
class Scenario:
    """A command of spoc.py, and what its runs are judged by."""

    arguments: str
    starts: bool = False  # a command, the victim
    names: bool = False  # the victim's blocked call
    target: str = ""  # the profile that it writes
    appends: bool = False
    outputs: Tuple[str, ...] = ()  # other files
    user: int = 0  # that the command is to run as
    beside: str = ""  # which of COMPANIONS runs beside it


RECORD = "record -n -t raw-seccomp -o out.json"
RUN = "run -p tight.json"
RECORDS: Dict[str, Any] = {"starts": True, "target": "out.json"}
RUNS: Dict[str, Any] = {"starts": True, "names": True}
SCENARIOS = {
    "record": Scenario(f"{RECORD} -- VICTIM 7", **RECORDS),
    "record-bpf": Scenario(f"{RECORD} --backend bpf -- VICTIM 7", **RECORDS),
    "record-notify": Scenario(f"{RECORD} --backend notify -- VICTIM 7", **RECORDS),
    "record-sudo": Scenario(f"{RECORD} --args prctl -- VICTIM 7", user=65534, **RECORDS),
    "append": Scenario("record -n --append --follow -o old.yaml -- VICTIM 7", True, target="old.yaml", appends=True),
    "checkpoint": Scenario(f"{RECORD} --checkpoint 1 -- VICTIM 7 1100", **RECORDS),
    "run-tracepoint": Scenario(f"{RUN} --enricher tracepoint -- VICTIM 7", **RUNS),
    "run-notify": Scenario(f"{RUN} --enricher notify -- VICTIM 7", **RUNS),
    "run-none": Scenario(f"{RUN} --enricher none -- VICTIM 7", True),
    "run-sudo": Scenario(f"{RUN} -- VICTIM 7", user=65534, **RUNS),
    "events": Scenario(f"{RUN} --events events -- VICTIM 7", outputs=("events",), **RUNS),
    "learn": Scenario(f"{RUN} --learn out.json -- VICTIM 7", target="out.json", **RUNS),
    "watch": Scenario("watch --for 0.2"),
    "record-pid": Scenario(f"{RECORD} --pid PID", target="out.json", beside="process"),
    "record-container": Scenario(f"{RECORD} --container NAME", target="out.json", beside="container"),
    "record-containers": Scenario("record -n -t raw-seccomp --containers -o all", target="all/NAME.json",
                                  beside="all"),
    "hook": Scenario("hook", target="out.json", beside="hooked"),
    "merge": Scenario("merge -o out.json tight.json other.json", target="out.json"),
    "check": Scenario("merge --check -o tight.json other.json"),
    "diff": Scenario("diff tight.json other.json"),
    **{f"convert-{kind}": Scenario(f"convert -t {kind} -o converted other.json", outputs=("converted",))
       for kind in ("seccomp", "raw-seccomp", "docker", "systemd", "bpf", "pfc")},
    "show": Scenario("show other.json"),
    "show-html": Scenario("show --html page other.json", outputs=("page",)),
    "doctor": Scenario("doctor --json"),
    "version": Scenario("version"),
}
OLD_YAML = """\
# Kept by hand.
apiVersion: security-profiles-operator.x-k8s.io/v1beta1
kind: SeccompProfile
metadata:
  name: old
spec:
  defaultAction: SCMP_ACT_ERRNO
  syscalls:
    - action: SCMP_ACT_ALLOW
      names:
        - uname # for the banner
"""


def profile_text(names: Set[str]) -> str:
    return json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [
        {"names": sorted(names), "action": "SCMP_ACT_ALLOW"}]}, indent=2)


def names_in(text: bytes) -> Set[str]:
    """What a profile allows. Raises ValueError if it is none."""
    try:
        document = yaml.safe_load(text.decode())
        rules = document.get("spec", document)["syscalls"]
        return {name for rule in rules if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]}
    except (yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
        raise ValueError(str(error)) from None


@dataclasses.dataclass
class Outcome:
    """What a run came to."""

    status: Optional[int]  # None: it did not end
    left: List[str]
    failed: Optional[int]  # the first argument of the call that failed; None if there was none
    calls: List[Tuple[int, int]]  # role and number
    output: str
    log: str
    before: Dict[str, bytes]
    after: Dict[str, bytes]
    companion: List[str] = dataclasses.field(default_factory=list)  # what is wrong with what runs beside it


class Bench:
    """The built programs, and a folder for each run."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.inject, self.victim = build("inject.c"), build("victim.c", "-static")
        # Its bytecode, as in spoc.pyz: to compile it takes longer than most runs.
        self.program = str(folder / "spoc.pyc")
        py_compile.compile(str(SOURCE), self.program, "spoc.py", True)
        shutil.copy(OBJECT, folder)
        libseccomp = ctypes.CDLL("libseccomp.so.2")
        libseccomp.seccomp_syscall_resolve_num_arch.restype = ctypes.c_char_p
        self._name = libseccomp.seccomp_syscall_resolve_num_arch
        self._number = libseccomp.seccomp_syscall_resolve_name
        self.files = {"old.yaml": OLD_YAML, "out.json": profile_text({"uname"}),
                      "events": '{"time": 1}\n', "converted": profile_text({"uname"}), "bystander": "old\n",
                      "page": "<!DOCTYPE html>\n<title>old: seccomp profile</title>\n"}
        recorded = names_in(self.run(SCENARIOS["record"]).after["out.json"]) | {"execve"}
        self.files.update({"tight.json": profile_text(recorded - {"getppid"}),
                           "other.json": profile_text(recorded | {"ptrace", "fork"})})

    def name_of(self, number: int) -> str:
        return str((self._name(0, number) or b"?").decode())

    def run(self, scenario: Scenario, place: Optional[Place] = None, error: str = "") -> Outcome:
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.folder))
        try:
            return self._run(folder, scenario, place, error)
        finally:
            shutil.rmtree(folder, True)

    def _run(self, folder: pathlib.Path, scenario: Scenario, place: Optional[Place], error: str) -> Outcome:
        work = folder / "work"
        work.mkdir()
        os.chmod(folder, 0o755)
        for name, text in self.files.items():
            (work / name).write_text(text)
        before = {path.name: path.read_bytes() for path in work.iterdir()}
        fault = [str(place.role), str(self._number(place.call.encode())), str(place.nth),
                 str(getattr(errno, error))] if place else []
        environment = {"PATH": "/usr/bin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}
        if scenario.user:
            environment.update(SUDO_UID=str(scenario.user), SUDO_GID=str(scenario.user), SUDO_USER="nobody")
        companion = COMPANIONS[scenario.beside](self.victim, folder)
        words = {"VICTIM": self.victim, **companion.words}
        arguments = [words.get(word, word) for word in scenario.arguments.split()]
        (folder / "input").write_bytes(companion.stdin)
        try:
            with open(folder / "output", "wb") as output, open(folder / "log", "wb") as log, \
                    open(folder / "input", "rb") as stdin, subprocess.Popen(
                        [*companion.prefix, self.inject, str(folder / "report"), str(LIMIT_S), *fault, "--",
                         sys.executable, self.program, *arguments], cwd=work, env=environment, stdin=stdin,
                        stdout=output, stderr=log, start_new_session=True) as tracer:
                companion.meanwhile(tracer)
                assert tracer.wait(LIMIT_S * 3) == 0
        finally:
            problems, said = companion.finish()
        outcome = Outcome(None, [], None, [], (folder / "output").read_text("utf-8", "replace"),
                          companion.normal((folder / "log").read_text("utf-8", "replace")) + said, before,
                          {companion.own(str(path.relative_to(work))): path.read_bytes()
                           for path in work.rglob("*") if path.is_file()}, problems)
        outcome.after.pop("", None)
        for line in (folder / "report").read_text("utf-8", "replace").splitlines():
            word, *rest = line.split()
            if word == "call":
                outcome.calls.append((int(rest[0]), int(rest[1])))
            elif word == "failed":
                outcome.failed = int(rest[0])
            elif word == "status":
                outcome.status = int(rest[0])
            elif word == "left":
                outcome.left.append(line)
        if not outcome.status and " Error: " in said:  # as the exit code of a recorder says that goes on after a hook
            outcome.status = 125
        return outcome


class Judge:
    """What is wrong with a run, by what a run without faults (`right`) came to."""

    def __init__(self, name: str, right: Outcome, run: Outcome, call: str) -> None:
        self.name, self.scenario, self.right, self.run = name, SCENARIOS[name], right, run
        self.is_right = run.status == right.status
        self.is_mute = call == "write" and run.failed == 2  # no message can be asked for
        victim = VICTIM.search(run.output)
        self.started, self.victim = run.output.startswith("started\n"), victim.groups() if victim else None
        if self.scenario.beside:
            self.started = bool(RECORDED.search(run.log))

    def problems(self) -> Iterator[str]:
        run = self.run
        if run.status is None:
            yield f"hung for {LIMIT_S} s"
            return
        yield from run.left
        yield from run.companion
        yield from self.status()
        yield from self.message()
        yield from self.files()
        if self.scenario.starts:
            yield from self.filter()
        if self.scenario.target:
            yield from self.profile(self.scenario.target)
        yield from self.complete()

    def status(self) -> Iterator[str]:
        allowed = {self.right.status, 125}
        if self.scenario.starts and not self.started:
            allowed |= {126, 127, 128 + signal.SIGKILL}
        if self.name in ("diff", "check"):
            allowed.add(2)
        if self.name == "doctor":
            allowed |= {0, 1, 2}
        if self.run.status not in allowed:
            yield f"status {self.run.status}"

    def message(self) -> Iterator[str]:
        log = self.run.log
        if not self.is_right and " Error: " not in log and not self.is_mute and self.name != "doctor":
            yield "no message"
        yield from (f"says {word!r}" for word in ("Traceback", "report it") if word in log + self.run.output)
        other = [line for line in log.splitlines() if not TIMED.match(line)]
        if other and "SCMP_ACT_" not in "".join(other):
            yield f"a line that is none of the log's: {other[0]}"

    def files(self) -> Iterator[str]:
        before, after = self.run.before, self.run.after
        written = {self.scenario.target, *self.scenario.outputs} - {""}
        if self.scenario.starts and not self.started and "cut short" not in self.run.log:
            written = set()
        for name in sorted({*before, *after} - written):
            if name in before and before[name] != after.get(name):
                yield f"{name} has changed or gone"
            elif name not in before and (name not in self.run.log or self.is_right or name.startswith(".")):
                yield f"litter: {name}"

    def filter(self) -> Iterator[str]:
        """No command of `run` is without its filter, and none has another user."""
        if not self.victim:
            return
        uid, seccomp, answer = self.victim
        if int(uid) != self.scenario.user:
            yield f"it ran as user {uid}"
        if self.scenario.arguments.startswith("run") and (seccomp != "2" or answer == "ok" and self.name != "learn"):
            yield f"it ran unfiltered: {self.victim}"

    def profile(self, name: str) -> Iterator[str]:
        """It is the old one, or right, or the status says that it may be incomplete; no recording is lost."""
        old, new, right = (files.get(name, b"") for files in (self.run.before, self.run.after, self.right.after))
        if new == old:
            if self.is_right:
                yield f"{name} was not written"
            elif self.started and self.scenario.arguments.startswith("record") and "SCMP_ACT_" not in self.run.log \
                    and self.run.after.keys() == self.run.before.keys():
                yield "the recording is lost"
            return
        try:
            names = names_in(new)
        except ValueError as error:
            yield f"{name} is no profile: {error}"
            return
        if self.is_right and names != names_in(right):
            yield f"{name} differs in {sorted(names ^ names_in(right))}"
        if names - names_in(right):
            yield f"{name} allows {sorted(names - names_in(right))} as well"
        if self.scenario.appends and not (b"# Kept by hand." in new and b"# for the banner" in new):
            yield f"{name} has lost what it held"

    def complete(self) -> Iterator[str]:
        """What ends as without faults has done all that this did."""
        if self.name == "doctor":
            if self.run.status in (0, 1, 2) and json.loads(self.run.output)["exit_code"] != self.run.status:
                yield "the output has another exit code"
            return
        if not self.is_right:
            return
        if self.scenario.starts:
            if not self.victim:
                yield "the command has not run"
        elif self.run.output != self.right.output and not LACKING.search(self.run.output):
            yield f"the output differs: {self.run.output!r}"
        if self.scenario.names and not DENIED.search(self.run.log):
            yield "the blocked call is not named"
        for name in self.scenario.outputs:
            new, right = self.run.after.get(name, b""), self.right.after[name]
            if b'"getppid"' not in new if name == "events" else new != right and not LACKING.search(new.decode()):
                yield f"{name} is not what it was to be: {new!r}"


class Faults:
    """All that can fail, in the order in which it is to."""

    def __init__(self, bench: Bench, seed: int) -> None:
        self.bench, self.random = bench, random.Random(seed)
        self.right = {name: bench.run(scenario) for name, scenario in SCENARIOS.items()}
        self.places = {name: self.places_of(right) for name, right in self.right.items()}
        self.lock = threading.Lock()
        self.passed, self.skipped, self.failures = 0, 0, 0

    def places_of(self, right: Outcome) -> List[Place]:
        made: Dict[Tuple[int, str], int] = {}
        found = []
        for role, number in right.calls:
            call = self.bench.name_of(number)
            made[role, call] = made.get((role, call), 0) + 1
            if call not in NEVER_FAIL:
                found.append(Place(role, call, made[role, call]))
        return found

    def drawn(self) -> Iterator[Tuple[str, Place, str]]:
        """Scenario after scenario; of each, every call once before any comes again, with another error then."""
        decks = {name: self.deck(places, bool(SCENARIOS[name].beside)) for name, places in self.places.items()}
        while True:
            for name in self.random.sample(list(decks), len(decks)):
                yield (name, *next(decks[name]))

    def deck(self, places: List[Place], looks_at_processes: bool) -> Iterator[Tuple[Place, str]]:
        errors = {}
        for place in places:
            lies = GONE if looks_at_processes and place.call in LOOKS else set()
            possible = [error for error in ONLY.get(place.call, ERRORS) if error not in lies]
            errors[place] = self.random.sample(possible, len(possible))
        turn = 0
        while True:
            for place in self.random.sample(places, len(places)):
                yield place, errors[place][turn % len(errors[place])]
            turn += 1

    def inject(self, name: str, place: Place, error: str) -> None:
        run = self.bench.run(SCENARIOS[name], place, error)
        problems = list(Judge(name, self.right[name], run, place.call).problems())
        with self.lock:
            if problems:
                self.failures += 1
                print(f"\nFAILED {name}: {place.call}, role {place.role}, number {place.nth}: {error}")
                print("\n".join(f"    {problem}" for problem in problems))
                print(f"    status {run.status}; it said:\n{run.log}{run.output}".replace("\n", "\n    ").rstrip())
                print(f"    again: python3 tests/faults.py {name} {' '.join(map(str, place))} {error}", flush=True)
            elif run.failed is None:
                self.skipped += 1
            else:
                self.passed += 1

    def work(self, draws: Iterator[Tuple[str, Place, str]], end_s: float) -> None:
        while time.monotonic() < end_s:
            with self.lock:
                fault = next(draws)
            self.inject(*fault)

    def run(self, seconds: float) -> None:
        draws, end_s = self.drawn(), time.monotonic() + seconds
        count = len(os.sched_getaffinity(0)) + 1  # some of it is waiting
        workers = [threading.Thread(target=self.work, args=(draws, end_s)) for _ in range(count)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()


def main() -> int:
    parser = argparse.ArgumentParser(description="Lets each syscall that spoc.py makes fail, and judges the outcome.")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("fault", nargs="*", metavar="SCENARIO ROLE CALL NTH ERRNO")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="spoc-faults-") as folder:
        os.chmod(folder, 0o755)
        faults = Faults(Bench(pathlib.Path(folder)), options.seed)
        if options.fault:
            name, role, call, nth, error = options.fault
            faults.inject(name, Place(int(role), call, int(nth)), error)
        else:
            print(f"{sum(map(len, faults.places.values()))} calls in {len(SCENARIOS)} scenarios", flush=True)
            faults.run(options.seconds)
    print(f"{faults.passed} passed, {faults.failures} failed, {faults.skipped} skipped")
    return 1 if faults.failures or not faults.passed else 0


if __name__ == "__main__":
    sys.exit(main())
