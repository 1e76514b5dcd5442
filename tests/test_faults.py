# SPDX-License-Identifier: MIT
"""Single syscalls of spoc.py that fail, and the judge of `make faults`, which lets all of them fail."""

import dataclasses
import importlib.machinery
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import types
import unittest.mock
from typing import Any, ClassVar, Dict, List, Tuple

import faults
from support import SPOC, Case, build, require_command, require_root

import spoc

# What is imported once spoc.py has forked, by the audit events of Python itself.
IMPORTS = """
import runpy, sys
forked = []
def note(event, arguments):
    if event == "os.fork":
        forked.append(True)
    if event == "import" and forked:
        print("imported", arguments[0], file=sys.stderr)
sys.addaudithook(note)
sys.argv = sys.argv[1:]
sys.path.insert(0, "")
runpy.run_path(sys.argv[0], run_name="__main__")
"""

TIER = "kernel"


class Imports(Case):
    """Modules that are imported when first used."""

    def test_none_is_left_for_later(self) -> None:
        """What has to be imported for writing a profile is there before the command starts: afterwards it may fail."""
        require_root()
        victim = build("victim.c", "-static")
        profile = self.folder / "profile.yaml"
        profile.write_text("defaultAction: SCMP_ACT_ALLOW\n")
        for arguments in ("record -o out.yaml", "record -t raw-seccomp -o out.json --stats", "record --backend notify",
                          "record --append -o out.yaml", "record --checkpoint 1 -t raw-seccomp",
                          "run", "run --events ev", "run --learn learned.json",
                          "run --learn learned.yaml --events ev", "run --enricher notify",
                          "run --enricher netlink --events ev"):
            command = arguments.split()
            command[1:1] = ["-p", str(profile)] if command[0] == "run" else ["-n"]
            with self.subTest(arguments):
                result = subprocess.run([sys.executable, "-c", IMPORTS, str(SPOC), *command, "--", victim, "7"],
                                        cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
                self.assertEqual(result.returncode, 7, result.stderr)
                self.assertNotIn("imported", result.stderr)

    def test_one_that_fails(self) -> None:
        """Also where importlib makes an empty package of what it could not read."""
        (self.folder / "hollow").mkdir()
        (self.folder / "broken.py").write_text("raise OSError(24, 'Too many open files')\n")
        sys.path.insert(0, str(self.folder))
        self.addCleanup(sys.path.remove, str(self.folder))
        for name, reason in (("hollow", "its folder is no package"), ("broken", "Too many open files"),
                             ("missing", "No module named 'missing'")):
            with self.subTest(name), self.assertRaisesRegex(ImportError, reason) as caught:
                spoc.import_now(name)
            self.assertEqual(caught.exception.name, name)

    def test_hollow_json(self) -> None:
        """Where importlib found only its folder, the coverage that an annotation tells is not taken for none."""
        coverage = '{"version": "v1", "total": 7, "syscalls": {"read": 3}}'
        source = spoc.parse_profile(json.dumps({
            "apiVersion": spoc.API_VERSION, "kind": spoc.KIND, "metadata": {"annotations": {spoc.COVERAGE: coverage}},
            "spec": {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"action": "SCMP_ACT_ALLOW", "names": ["read"]}]},
        }), "profile", spoc.Host("SCMP_ARCH_X86_64", "6.1", []))
        self.assertEqual(spoc.coverage_of(source), (7, {"read": 3}))
        hollow = types.ModuleType("json")
        hollow.__spec__ = importlib.machinery.ModuleSpec("json", None)
        with unittest.mock.patch.dict(sys.modules, json=hollow), self.assertRaisesRegex(ImportError, "no package"):
            spoc.coverage_of(source)


class Injected(Case):
    """Runs of which one call fails."""

    bench: ClassVar[faults.Bench]

    @classmethod
    def setUpClass(cls) -> None:
        require_root()
        folder = tempfile.mkdtemp(prefix="spoc-test-")
        cls.addClassCleanup(shutil.rmtree, folder)
        pathlib.Path(folder).chmod(0o755)
        cls.bench = faults.Bench(pathlib.Path(folder))

    def assert_right(self, scenario: str, *injected: Tuple[faults.Place, str]) -> "List[faults.Outcome]":
        right = self.bench.run(faults.SCENARIOS[scenario])
        outcomes = []
        for place, error in injected:
            with self.subTest(scenario, place=place, error=error):
                outcome = self.bench.run(faults.SCENARIOS[scenario], place, error)
                self.assertIsNotNone(outcome.failed, "not reached")
                self.assertEqual(list(faults.Judge(scenario, right, outcome, place.call).problems()), [], outcome.log)
                outcomes.append(outcome)
        return outcomes

    def test_nothing_wrong_without(self) -> None:
        for name in ("record", "run-tracepoint", "merge", "doctor"):
            self.assert_right(name)
            self.assertIn(self.bench.run(faults.SCENARIOS[name]).status, (0, 1, 7))

    def test_nothing_wrong_beside_what_runs(self) -> None:
        require_command("runc")
        for name in ("record-pid", "record-container", "record-containers", "hook"):
            self.assert_right(name)
            outcome = self.bench.run(faults.SCENARIOS[name])
            self.assertEqual(outcome.status, 0, outcome.log)
            self.assertIn("getppid", faults.names_in(outcome.after[faults.SCENARIOS[name].target]))

    def test_hook_that_cannot_record(self) -> None:
        """Neither it nor, when it has forked, the recorder: the container does not start."""
        for outcome in self.assert_right("hook", (faults.Place(0, "clone", 1), "EAGAIN"),
                                         (faults.Place(1, "setsid", 1), "EPERM")):
            self.assertEqual(outcome.status, 125)

    def test_reading_events_cannot_begin(self) -> None:
        """auto then takes the next enricher."""
        place = faults.Place(0, "epoll_create1", 1)
        self.assertEqual([outcome.status for outcome in self.assert_right("run-tracepoint", (place, "EMFILE"))], [125])
        self.assertEqual([outcome.status for outcome in self.assert_right("events", (place, "EMFILE"))], [7])

    def assert_fails(self, scenario: str, place: faults.Place, error: str, message: str) -> None:
        for outcome in self.assert_right(scenario, (place, error)):
            self.assertEqual(outcome.status, 125)
            self.assertIn(message, outcome.log)

    def test_listing_that_is_cut_off(self) -> None:
        """libseccomp says 0 though it could not write."""
        self.assert_fails("convert-pfc", faults.Place(0, "write", 1), "EDQUOT", "libseccomp has cut its listing off")

    def test_status_that_is_gone(self) -> None:
        """Nobody tells again that the command has ended."""
        self.assert_fails("run-none", faults.Place(0, "wait4", 1), "ECHILD", "No child processes")
        self.assert_fails("record-bpf", faults.Place(0, "wait4", 1), "ECHILD", "the recording was cut short")

    def test_check_that_cannot_start(self) -> None:
        outcome, = self.assert_right("doctor", (faults.Place(0, "clone", 2), "EFAULT"))
        self.assertIn("not tried: Bad address", outcome.output)

    def test_closing_a_link_fails(self) -> None:
        """All is written by then."""
        right = self.bench.run(faults.SCENARIOS["record-bpf"])
        closed = [call for call in right.calls if self.bench.name_of(call[1]) == "close" and not call[0]]
        last = [(faults.Place(0, "close", len(closed) - back), "EIO") for back in range(8)]
        self.assertEqual({outcome.status for outcome in self.assert_right("record-bpf", *last)}, {7})


class Judging(Case):
    """What the judge of `make faults` finds wrong."""

    def setUp(self) -> None:
        super().setUp()
        self.before = {"bystander": b"old", "out.json": faults.profile_text({"uname"}).encode()}
        self.written = faults.profile_text({"read", "write"}).encode()
        self.right = faults.Outcome(7, [], None, [], "started\nran uid=0 seccomp=2 getppid=EPERM\n",
                                    "12:00:00.000000 Seccomp: getppid (110)\n", self.before,
                                    {**self.before, "out.json": self.written})

    def problems(self, scenario: str, **changed: Any) -> "List[str]":
        outcome = dataclasses.replace(self.right, **changed)
        return list(faults.Judge(scenario, self.right, outcome, "read").problems())

    def test_what_is_right(self) -> None:
        self.assertEqual(self.problems("learn"), [])
        self.assertEqual(self.problems("record"), [])
        self.assertEqual(self.problems("learn", status=125, output="", after=self.before,
                                       log="12:00:00.000000 Error: it is so\n"), [])

    def test_what_is_wrong(self) -> None:
        error = "12:00:00.000000 Error: it is so\n"
        stray = {**self.right.after, ".spoc.1": b""}
        wider = {**self.before, "out.json": faults.profile_text({"read", "write", "bpf"}).encode()}
        narrower = {**self.before, "out.json": faults.profile_text({"read"}).encode()}
        wrong: List[Tuple[str, Dict[str, Any]]] = [
                ("hung for 60 s", {"status": None}), ("left 3 sleep", {"left": ["left 3 sleep"]}),
                ("what was recorded", {"companion": ["what was recorded ended"]}),
                ("status 1", {"status": 1, "log": error}), ("no message", {"status": 125, "log": ""}),
                ("says 'Traceback'", {"log": self.right.log + "Traceback"}),
                ("bystander has changed or gone", {"after": {"out.json": self.written}}),
                ("litter: .spoc.1", {"after": stray}),
                ("it ran as user 5", {"output": "started\nran uid=5 seccomp=2 getppid=EPERM\n"}),
                ("it ran unfiltered: ('0', '0', 'EPERM')", {"output": "started\nran uid=0 seccomp=0 getppid=EPERM\n"}),
                ("out.json was not written", {"after": self.before}),
                ("out.json is no profile: ", {"status": 125, "log": error, "after": {**self.before, "out.json": b"{"}}),
                ("out.json differs in ['write']", {"after": narrower}),
                ("out.json allows ['bpf'] as well", {"status": 125, "log": error, "after": wider}),
                ("the command has not run", {"output": "started\n"}),
                ("the blocked call is not named", {"log": ""})]
        for expected, changed in wrong:
            with self.subTest(expected):
                self.assertTrue(any(problem.startswith(expected) for problem in self.problems("learn", **changed)),
                                self.problems("learn", **changed))
        self.assertIn("the recording is lost", self.problems("record", status=125, log=error, after=self.before))
        self.assertIn("out.json has changed or gone", self.problems("record", status=125, log=error, output=""))
