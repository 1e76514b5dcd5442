#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the tests: each module in a process of its own, a few at a time.

Classes with EXCLUSIVE = True, which change what there is one of on a machine, run in another process than the rest of
their module, and beside the modules of the pure tier only.

usage: run.py [--pure] [NAME...]   only the tests whose full name (module.Class.test) holds one of the NAMEs

There are three tiers. The pure tests (--pure, `make test-fast`) need no root, no compiler and no kernel to load
anything into: any user runs them. The kernel's tests (with the pure ones: `make test`) need all of that. The machines
(`make check-vm`) are booted by tests/vm. Each module says its TIER; a class or a test that differs has one of its own.

The last line is `N passed, N failed, N skipped`. A test with a failing subTest has failed; one that could not run
(its module does not import, its worker died, its class could not be set up) has failed as well, and so has one that
reached the time-out, whatever it made of that, or that left a process running. What was left running is killed.
"""

import contextlib
import ctypes
import faulthandler
import json
import os
import pathlib
import py_compile
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from typing import Any, Dict, Iterator, List, NoReturn, Optional, Sequence, Set, TextIO

from support import ROOT, SOURCE, Process, kill_left, running_below

HERE = pathlib.Path(__file__).resolve().parent
JOBS = 3  # on two cores: many tests wait
# What takes longest begins first, so that no long module is left to run alone in the end.
LONGEST_FIRST = ("test_formats", "test_profile", "test_shipping", "test_servers", "test_doctor", "test_errors",
                 "test_answers", "test_truth", "test_files", "test_denials", "test_child", "test_terminal",
                 "test_backend", "test_learn", "test_sources", "test_container", "test_golden")
TEST_TIMEOUT_S = 600
SLOWEST = 25
AUDIT_BACKLOG = 8192
END_S = 10.0  # what a test has told to end may take that long, on a busy machine
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


class Recorder(unittest.TestResult):
    """Writes what happens to each test, one JSON object per line, so that it survives the death of its process."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self.stream = stream
        self.timed_out = False
        self.running_before: Set[Process] = set()

    def note(self, test: unittest.TestCase, outcome: str, detail: str = "", **more: Any) -> None:
        # What unittest reports about the set-up of a class or module carries "setUpClass (module.Class)" as its name.
        print(json.dumps({"test": test.id(), "outcome": outcome, "detail": detail, **more}),
              file=self.stream, flush=True)

    def startTest(self, test: unittest.TestCase) -> None:
        self.started_s, self.started_cpu_s = time.monotonic(), cpu_time_s()
        self.note(test, "started")
        self.timed_out = False
        self.running_before = running_below(os.getppid())
        signal.setitimer(signal.ITIMER_REAL, TEST_TIMEOUT_S)
        # For a test that hangs where no Python signal handler gets to run. Until its thread blocks signals itself it
        # could take a SIGCHLD that the test has blocked, and that spoc.Supervisor then waits for in vain.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        faulthandler.dump_traceback_later(TEST_TIMEOUT_S + 30, exit=True)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def stopTest(self, test: unittest.TestCase) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()
        # A test may also have the signal blocked, and a Supervisor of its own read it.
        if self.timed_out or time.monotonic() - self.started_s >= TEST_TIMEOUT_S:
            self.note(test, "failed", f"reached the time-out of {TEST_TIMEOUT_S} s")
        left = kill_left(os.getppid(), END_S, self.running_before)
        if left:
            self.note(test, "failed", left)
        self.note(test, "ended", took_s=time.monotonic() - self.started_s, cpu_s=cpu_time_s() - self.started_cpu_s)

    def addSuccess(self, test: unittest.TestCase) -> None:
        self.note(test, "passed")

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        super().addFailure(test, err)
        self.note(test, "failed", self.failures[-1][1])

    addError = addFailure

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        self.note(getattr(test, "test_case", test), "skipped", reason)

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any) -> None:
        if err is not None:
            super().addFailure(subtest, err)
            self.note(test, "failed", f"{subtest}\n{self.failures[-1][1]}")

    def addExpectedFailure(self, test: unittest.TestCase, err: Any) -> None:
        self.note(test, "failed", "expected failures have no place here: assert what should be")

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        self.note(test, "failed", "passed, though marked as an expected failure")

    def on_alarm(self, signum: int, frame: Any) -> NoReturn:
        # The test, or what it tests, may take this for an error that it expects.
        self.timed_out = True
        raise TimeoutError(f"the test took longer than {TEST_TIMEOUT_S} s")


def cpu_time_s() -> float:
    """Of this process, and of those that it has waited for."""
    return sum(os.times()[:4])


def cases(suite: unittest.TestSuite) -> List[unittest.TestCase]:
    found: List[unittest.TestCase] = []
    for item in suite:
        found += cases(item) if isinstance(item, unittest.TestSuite) else [item]
    return found


def tier_of(case: unittest.TestCase) -> str:
    """Of the test itself, or else its class, or else its module; where none says, what needs the most."""
    test, group = getattr(case, case._testMethodName), type(case)
    module = sys.modules[group.__module__]
    return str(getattr(test, "TIER", getattr(group, "TIER", getattr(module, "TIER", "kernel"))))


def work(module: str, part: str, report: str, names: Sequence[str]) -> None:
    """Run one module's tests, the exclusive or the others, and write what happened to the file `report`."""
    pure = names[:1] == ["--pure"]
    names = names[pure:]
    sys.path[:0] = [str(HERE), str(HERE.parent)]
    faulthandler.enable()
    chosen = [case for case in cases(unittest.defaultTestLoader.loadTestsFromName(module))
              if (part == "exclusive") == getattr(case, "EXCLUSIVE", False)
              and (not names or any(name in case.id() for name in names))
              and (not pure or tier_of(case) == "pure" or type(case).__module__ == "unittest.loader")]
    with open(report, "w", encoding="utf-8") as stream:
        recorder = Recorder(stream)
        signal.signal(signal.SIGALRM, recorder.on_alarm)
        for case in chosen:
            recorder.note(case, "found")
        unittest.TestSuite(chosen).run(recorder)
    left = kill_left(os.getppid(), END_S)
    if left:
        sys.exit(f"{module} {left}")


def work_apart(module: str, part: str, report: str, names: Sequence[str]) -> int:
    """Run one module's tests in a child; give its exit code. Whatever they leave running comes to this process."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    worker = os.fork()
    if not worker:
        # A session of its own: the tests see no terminal, as in CI, and their signals to process groups end there.
        os.setsid()
        work(module, part, report, names)
        return 0
    signal.signal(signal.SIGTERM, lambda *_: os.kill(worker, signal.SIGTERM))
    pid = 0
    while pid != worker:
        pid, status = os.wait()
    kill_left(os.getpid(), 0)
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


class Module:
    """One test module, or its exclusive classes, and what the tests came to: {test: outcome}, with details for all but
    the passed ones.
    """

    def __init__(self, name: str, exclusive: bool = False) -> None:
        self.name, self.exclusive = name, exclusive
        self.pure = bool(re.search('^TIER = "pure"$', (HERE / f"{name}.py").read_text("utf-8"), re.MULTILINE))
        self.outcomes: Dict[str, str] = {}
        self.details: Dict[str, List[str]] = {}
        self.took_s: Dict[str, float] = {}
        self.test_cpu_s: Dict[str, float] = {}
        self.cpu_s = 0.0
        self.process: Optional[subprocess.Popen[bytes]] = None

    def start(self, names: Sequence[str]) -> None:
        # Files, not pipes: a process that a test left behind must not keep the runner waiting.
        self.output = tempfile.NamedTemporaryFile(prefix="spoc-output-")
        self.report = tempfile.NamedTemporaryFile(prefix="spoc-report-")
        self.started_s = time.monotonic()
        part = "exclusive" if self.exclusive else "shared"
        self.process = subprocess.Popen([sys.executable, "-B", __file__, "--work", self.name, part, self.report.name,
                                         *names], stdin=subprocess.DEVNULL, stdout=self.output,
                                        stderr=subprocess.STDOUT, start_new_session=True)

    def finish(self, code: int) -> None:
        """Read the report of the worker that has ended with `code`."""
        with open(self.report.name, encoding="utf-8") as stream:
            for line in stream:
                self.take(**json.loads(line))
        silent = [test for test, outcome in self.outcomes.items() if outcome in ("found", "started")]
        for test in silent:
            self.settle_silent(test, code)
        if code and not silent:
            self.take(f"{self.name} (its process)", "failed", f"ended with {code}")

    def take(self, test: str, outcome: str, detail: str, took_s: float = 0.0, cpu_s: float = 0.0) -> None:
        if outcome == "ended":
            self.took_s[test] = took_s
            self.test_cpu_s[test] = cpu_s
            return
        rank = ["found", "started", "passed", "skipped", "failed"]
        if rank.index(outcome) >= rank.index(self.outcomes.get(test, "found")):
            self.outcomes[test] = outcome
        if detail:
            self.details.setdefault(test, []).append(detail)

    def settle_silent(self, test: str, code: int) -> None:
        """Decide on a test without an outcome: its class or module was skipped, or its worker died."""
        for holder, outcome in self.outcomes.items():
            group = re.fullmatch(r"setUp(?:Class|Module) \((.+)\)", holder)
            if group and test.startswith(group[1] + ".") and outcome == "skipped":
                self.take(test, "skipped", self.details[holder][0])
                return
        state = "did not end" if self.outcomes[test] == "started" else "did not run"
        self.take(test, "failed", f"{state}; the process of {self.name} ended with {code}")

    def tests(self) -> Dict[str, str]:
        """The outcomes that count: not the skip of a whole class, whose tests count one by one."""
        return {test: outcome for test, outcome in self.outcomes.items()
                if not (outcome == "skipped" and test.startswith("setUp"))}

    def show(self) -> None:
        tests = self.tests()
        if not tests:
            return
        failed = [test for test, outcome in tests.items() if outcome == "failed"]
        print(f"{'FAIL' if failed else 'ok  '} {self.name}{' (exclusive)' * self.exclusive}: {len(tests)} tests, "
              f"{time.monotonic() - self.started_s:.1f} s, {self.cpu_s:.1f} s of CPU time", flush=True)
        for test in failed:
            print(f"\n---- {test}\n" + "\n".join(self.details[test]))
        output = pathlib.Path(self.output.name).read_text("utf-8", "replace").strip()
        if failed and output:
            print(f"---- what the process of {self.name} printed\n{output}\n", flush=True)


def may_share(one: Module, other: Module) -> bool:
    """May these run at the same time?"""
    return not one.exclusive and not other.exclusive or one.pure or other.pure


def run_all(modules: List[Module], names: Sequence[str]) -> None:
    """Run the modules, at most JOBS at a time, the exclusive ones first; print each when it has ended."""
    order = {name: place for place, name in enumerate(LONGEST_FIRST)}
    waiting = sorted(modules, key=lambda module: (not module.exclusive, order.get(module.name, len(order)),
                                                  module.name))
    running: List[Module] = []
    try:
        while waiting or running:
            for module in waiting[:]:
                if len(running) < JOBS and all(may_share(module, other) for other in running):
                    module.start(names)
                    running.append(module)
                    waiting.remove(module)
            time.sleep(0.05)
            for module in running[:]:
                assert module.process
                before = os.times()
                code = module.process.poll()
                if code is not None:
                    module.cpu_s = sum(os.times()[2:4]) - sum(before[2:4])  # of all that it has waited for
                    running.remove(module)
                    module.finish(code)
                    module.show()
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        for module in running:
            assert module.process
            os.killpg(module.process.pid, signal.SIGTERM)
            module.finish(module.process.wait())
            module.show()
        for module in waiting:
            module.take(module.name, "failed", "did not run: interrupted")


def summarise(modules: Sequence[Module]) -> int:
    """Print skips, the slowest tests, the failed ones and, last, the counts; give the exit code."""
    outcomes = {test: (outcome, module) for module in modules for test, outcome in module.tests().items()}
    took_s = {test: took_s for module in modules for test, took_s in module.took_s.items()}
    cpu_s = {test: cpu_s for module in modules for test, cpu_s in module.test_cpu_s.items()}
    groups = {name: sorted(test for test, (outcome, _) in outcomes.items() if outcome == name)
              for name in ("passed", "failed", "skipped")}
    print("\nSlowest, by CPU time:")
    for test in sorted(cpu_s, key=lambda test: -cpu_s[test])[:SLOWEST]:
        print(f"  {cpu_s[test]:6.1f} s of {took_s[test]:6.1f} s  {test}")
    for test in groups["skipped"]:
        print(f"skipped {test}: {'; '.join(sorted(set(outcomes[test][1].details[test])))}")
    for test in groups["failed"]:
        print(f"FAILED  {test}")
    print(", ".join(f"{len(tests)} {name}" for name, tests in groups.items()), flush=True)
    return 0 if groups["passed"] and not groups["failed"] else 1


@contextlib.contextmanager
def compiled_program() -> Iterator[None]:
    """Have the tests start the bytecode of spoc.py: CPython takes it under any name, and for the same program."""
    try:
        (ROOT / "build").mkdir(exist_ok=True)
        folder = tempfile.mkdtemp(prefix="tests-", dir=ROOT / "build")
    except OSError:  # of somebody else: the source does as well
        yield
        return
    try:
        os.chmod(folder, 0o755)
        shutil.copytree(ROOT / "bpf", f"{folder}/bpf")
        py_compile.compile(str(SOURCE), f"{folder}/spoc.py", "spoc.py", True)
        shutil.copymode(SOURCE, f"{folder}/spoc.py")
        os.environ["SPOC_COMPILED"] = f"{folder}/spoc.py"
        yield
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def audit_backlog() -> Iterator[None]:
    """Let the kernel hold as many audit records as Debian's rules set: a lost one is an error, and tests make many."""
    limit = None
    if os.geteuid() == 0 and shutil.which("auditctl"):
        status = subprocess.run(["auditctl", "-s"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
        limit = re.search(r"^backlog_limit (\d+)$", status, re.MULTILINE)
    if limit is None or int(limit[1]) >= AUDIT_BACKLOG:
        yield
        return
    subprocess.run(["auditctl", "-b", str(AUDIT_BACKLOG)], stdout=subprocess.DEVNULL, check=True)
    try:
        yield
    finally:
        subprocess.run(["auditctl", "-b", limit[1]], stdout=subprocess.DEVNULL, check=True)


def interrupt(signum: int, frame: Any) -> NoReturn:
    raise KeyboardInterrupt


def main(args: Sequence[str]) -> int:
    # Under sudo the tests are to see what root's own shell would show them.
    for name in ("SUDO_USER", "SUDO_UID", "SUDO_GID", "SUDO_COMMAND"):
        os.environ.pop(name, None)
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    # A shell ignores these for what it starts in the background, and the tests for what they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    if args[:1] == ["--work"]:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup ignores it
        return work_apart(args[1], args[2], args[3], args[4:])
    signal.signal(signal.SIGTERM, interrupt)
    paths = {path.stem: path.read_text("utf-8") for path in sorted(HERE.glob("test_*.py"))}
    modules = [Module(name) for name, text in paths.items() if args[:1] != ["--pure"] or 'TIER = "pure"' in text]
    if args[:1] != ["--pure"]:
        modules += [Module(name, exclusive=True) for name, text in paths.items()
                    if re.search(r"^    EXCLUSIVE = True\b", text, re.MULTILINE)]
    began_s = time.monotonic()
    with compiled_program(), audit_backlog():
        run_all(modules, args)
    print(f"\n{time.monotonic() - began_s:.0f} s, {sum(os.times()[2:4]):.0f} s of CPU time")
    return summarise(modules)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
