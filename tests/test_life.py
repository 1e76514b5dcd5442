# SPDX-License-Identifier: MIT
"""The life of the command's process where something fails: nothing good is lost, and nothing is left running."""

import json
import os
import pathlib
import re
import signal
import struct
import subprocess
import sys
import time
import unittest
from typing import Any, List, Tuple

from support import CLOCK, KILL_S, ROOT, SPOC, Case, build, require_command, require_root, running, spoc

TIER = "kernel"
BACKENDS = ("bpf", "notify")
ENRICHERS = ("tracepoint", "notify", "none")
OLD = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]}
OLD_EVENT = '{"time": "2026-01-01T00:00:00.000000Z", "syscall": "mount"}\n'
# Says which signal its parent's end would bring it. PR_GET_PDEATHSIG is 2 (linux/prctl.h).
PARENT_END = ("import ctypes; number = ctypes.c_int(99); ctypes.CDLL(None).prctl(2, ctypes.byref(number)); "
              "print(number.value)")


class LifeCase(Case):
    def setUp(self) -> None:
        super().setUp()
        require_root()
        require_command("strace")
        self.profile = self.folder / "profile.json"
        self.policy = self.folder / "policy.json"
        self.marker = self.folder / "marker"
        self.log = self.folder / "strace.log"
        self.policy.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["getpriority"], "action": "SCMP_ACT_ERRNO"}]}))

    def record(self, *options: str) -> Tuple[str, ...]:  # type: ignore[override]
        return ("record", "-q", "-n", "-t", "raw-seccomp", "-o", str(self.profile), *options)

    def under(self, enricher: str, *options: str) -> Tuple[str, ...]:
        return ("run", "-q", "-p", str(self.policy), "--enricher", enricher, *options)

    def traced(self, *arguments: str, strace: "Tuple[str, ...]" = ()) -> "subprocess.CompletedProcess[str]":
        """spoc.py under strace, until nothing of its session runs any more."""
        process = self.launch("strace", "-qq", "-o", str(self.log), *strace, sys.executable, str(SPOC), *arguments,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        stdout, stderr = process.communicate(timeout=100)
        self.assert_session_ends(process.pid)
        return subprocess.CompletedProcess(arguments, process.returncode, stdout, stderr)

    def assert_session_ends(self, session: int) -> None:
        end_s = time.monotonic() + KILL_S / 2  # well before a child gives up by itself
        while True:
            left = [process.pid for process, _, of in running() if of == session]
            if not left:
                return
            if time.monotonic() > end_s:
                told = [pathlib.Path(f"/proc/{pid}/cmdline").read_bytes() for pid in left]
                for pid in left:
                    os.kill(pid, signal.SIGKILL)
                self.fail(f"still runs: {told}")
            time.sleep(0.02)

    def names(self) -> "set[str]":
        return {name for rule in json.loads(self.profile.read_text())["syscalls"] for name in rule["names"]}

    def calls_of(self, name: str) -> int:
        """How often the traced process made it, by the log."""
        return len(re.findall(rf"(?m)^{name}\(", self.log.read_text("utf-8", "replace")))


class NeverRan(LifeCase):
    """What the command did not do replaces nothing."""

    def assert_left(self, result: "subprocess.CompletedProcess[str]", code: int, line: str) -> None:
        self.assertRegex(result.stderr, rf"\A{CLOCK} Error: {line}\n\Z")
        self.assertEqual(result.returncode, code)
        self.assertFalse(self.marker.exists())
        for path, content in ((self.profile, self.old), (self.folder / "events", OLD_EVENT)):
            if path.exists():
                self.assertEqual(path.read_text(), content)

    def setUp(self) -> None:
        super().setUp()
        self.old = json.dumps(OLD)
        self.profile.write_text(self.old)

    def test_ended_before_exec(self) -> None:
        """Only the child asks for its parent."""
        events = self.folder / "events"
        events.write_text(OLD_EVENT)
        arguments = [self.record("--backend", backend) for backend in BACKENDS]
        arguments += [self.record("--append"), self.record("--checkpoint", "1")]
        arguments += [self.under(enricher, "--events", str(events)) for enricher in ENRICHERS]
        arguments.append(("run", "-q", "-p", str(self.policy), "--learn", str(self.profile)))
        for each in arguments:
            with self.subTest(each):
                result = self.traced(*each, "touch", str(self.marker),
                                     strace=("-f", "-e", "inject=getppid:signal=TERM:when=1"))
                self.assert_left(result, 128 + signal.SIGTERM, r"start command: touch: was killed by SIGTERM "
                                 r"\(Terminated\) before it began; start it again")

    def test_ended_before_its_first_call(self) -> None:
        program = build("nothing.c", "-static", "-nostdlib")
        for options in (*(("--backend", backend) for backend in BACKENDS), ("--append",), ("--checkpoint", "1")):
            with self.subTest(options):
                self.assert_left(spoc(*self.record(*options), program), 128 + signal.SIGILL,
                                 rf"record: {program}: it was killed by SIGILL \(Illegal instruction\) before its "
                                 rf"first call was seen; {self.profile} is left as it was")

    def test_exec_that_fails_late(self) -> None:
        """Once the kernel has let the old program go, it cannot load the new one: its segment is no address."""
        program = self.folder / "late"
        header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 2, 62, 1, 1 << 50, 64, 0, 0, 64, 56, 1, 0, 0, 0)
        program.write_bytes(header + struct.pack("<IIQQQQQQ", 1, 5, 0, 1 << 50, 1 << 50, 120, 120, 4096))
        program.chmod(0o755)
        plain = subprocess.run([str(program)], check=False).returncode
        self.assertLess(plain, 0)
        for backend in BACKENDS:
            with self.subTest(backend):
                self.assert_left(spoc(*self.record("--backend", backend), str(program)), 128 - plain,
                                 rf"record: {program}: it was killed by {signal.Signals(-plain).name} \([^)]*\) before "
                                 rf"its first call was seen; {self.profile} is left as it was")


class LeftBehind(LifeCase):
    """The child ends with spoc.py, and whenever that fails; once it is the command, it is on its own."""

    # Of the parent: before it lets the child go, while it waits for the listener, and when it has taken that.
    PLACES = ("rt_sigpending", "waitid:when=1", "recvmsg:when=1", "recvmsg:when=2")

    @staticmethod
    def inject(place: str, what: str) -> Tuple[str, str]:
        name, _, when = place.partition(":")
        return "-e", ":".join(["inject=" + name, what, *filter(None, [when])])

    def starts(self) -> "List[Tuple[str, ...]]":
        return [self.record("--backend", "notify"), self.under("notify")]

    def test_killed(self) -> None:
        for arguments in self.starts():
            for place in self.PLACES:
                with self.subTest(place, arguments=arguments):
                    result = self.traced(*arguments, "touch", str(self.marker),
                                         strace=self.inject(place, "signal=KILL"))
                    if result.returncode == 0:  # a quick machine has the listener the first time
                        self.marker.unlink()
                        self.profile.unlink(missing_ok=True)
                        continue
                    self.assertEqual(result.returncode, -signal.SIGKILL, result.stderr)
                    self.assertEqual((self.marker.exists(), self.profile.exists()), (False, False))

    def test_errors(self) -> None:
        places = (*self.PLACES, "signalfd4", "clone", "pipe2:when=1")
        for arguments in [*self.starts(), self.record("--backend", "bpf")]:
            for place in places[::1 if "notify" in arguments else 4]:
                with self.subTest(place, arguments=arguments):
                    result = self.traced(*arguments, "touch", str(self.marker),
                                         strace=self.inject(place, "error=ENOMEM"))
                    if result.returncode == 0:
                        self.marker.unlink()
                        continue
                    self.assertEqual(result.returncode, 125, result.stderr)
                    self.assertRegex(result.stderr, rf"\A{CLOCK} Error: [^\n]*Cannot allocate memory[^;]*; "
                                                    r"free some memory, or raise the limit \(ulimit -v\)\n\Z")
                    self.assertFalse(self.marker.exists())

    def test_the_command_inherits_none_of_it(self) -> None:
        for arguments in [*(self.record("--backend", backend) for backend in BACKENDS),
                          *(self.under(enricher) for enricher in ENRICHERS)]:
            with self.subTest(arguments):
                result = spoc(*arguments, sys.executable, "-c", PARENT_END)
                self.assertEqual((result.returncode, result.stdout), (0, "0\n"), result.stderr)

    def test_error_of_the_child(self) -> None:
        """One that nobody foresaw; it must not pass for the command's own status."""
        program = (f"import sys; sys.path.insert(0, {str(ROOT)!r}); import spoc\n"
                   "spoc.CommandStart._restore_signals = lambda *_: {}['bug']\nsys.exit(spoc.main(sys.argv[1:]))")
        for arguments in [*(self.record("--backend", backend) for backend in BACKENDS), self.under("none")]:
            with self.subTest(arguments):
                result = subprocess.run([sys.executable, "-c", program, *arguments, "touch", str(self.marker)],
                                        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=100)
                self.assertRegex(result.stderr, rf"\A{CLOCK} Error: start command: touch: KeyError: 'bug'; report it")
                self.assertEqual((result.returncode, self.marker.exists()), (125, False))


class Kept(LifeCase):
    """What was read before an error is written, and called incomplete."""

    def test_maps_that_cannot_be_read(self) -> None:
        self.traced(*self.record("--stats"), "touch", str(self.marker))
        whole, names = self.calls_of("bpf"), self.names()
        before = len(re.findall(r"(?m)^bpf\(", self.log.read_text().partition('"r", 1)')[0]))
        self.assertLess(before + 5, whole)
        for first in (before + 1, (before + whole) // 2):
            with self.subTest(first):
                self.profile.unlink(missing_ok=True)
                result = self.traced(*self.record("--stats"), "touch", str(self.marker),
                                     strace=("-e", f"inject=bpf:error=EPERM:when={first}+"))
                self.assertRegex(result.stderr, rf"\A{CLOCK} Error: the profile is incomplete: the recorder's map of "
                                                r"calls could not be read: Operation not permitted\n")
                self.assertEqual((result.returncode, self.names()), (125, names))

    def test_denials_that_cannot_be_read(self) -> None:
        result = self.traced(*self.under("tracepoint"), sys.executable, "-c", "import os; os.nice(0)")
        before = len(re.findall(r"(?m)^bpf\(", self.log.read_text().partition('"r", 1)')[0]))
        result = self.traced(*self.under("tracepoint"), sys.executable, "-c", "import os; os.getpriority(0, 0)",
                             strace=("-e", f"inject=bpf:error=EPERM:when={before + 1}+"))
        self.assertIn("Seccomp: getpriority (140), action: SCMP_ACT_ERRNO (EPERM)", result.stderr)
        self.assertRegex(result.stderr, r"Error: not all blocked calls may be known: the recorder's map of \w+ could "
                                        "not be read: Operation not permitted\n")
        self.assertEqual(result.returncode, 125)

    def test_error_while_the_command_runs(self) -> None:
        self.traced(*self.record("--backend", "notify"), "touch", str(self.marker))
        ioctls = self.calls_of("ioctl")
        self.marker.unlink()
        self.profile.unlink()
        result = self.traced(*self.record("--backend", "notify"), "touch", str(self.marker),
                             strace=("-e", f"inject=ioctl:error=EIO:when={ioctls * 2 // 3}"))
        self.assertRegex(result.stderr, rf"\A{CLOCK} Error: the profile is incomplete: the recording was cut short\n"
                                        rf"{CLOCK} Error: (receive|answer) a notification: of the filter: "
                                        r"Input/output error\n\Z")
        self.assertEqual(result.returncode, 125)
        self.assertIn("brk", self.names())
        self.assertFalse(self.marker.exists())


class Unsaid(LifeCase):
    """What cannot be said shows in the exit code, unless nothing is lost with it."""

    DENIED = (sys.executable, "-c", "import os\ntry: os.getpriority(0, 0)\nexcept OSError: pass")

    def test_standard_error_that_takes_nothing(self) -> None:
        for arguments, code in (((*self.under("tracepoint"), *self.DENIED), 125),
                                ((*self.under("notify"), *self.DENIED), 125),
                                ((*self.under("none"), *self.DENIED), 0),
                                ((*self.under("tracepoint"), "true"), 0),
                                ((*self.under("tracepoint"), "sh", "-c", "exit 3"), 3),
                                ((*self.under("tracepoint"), "no-such-command"), 127),
                                ((*self.record(), "true"), 0), ((*self.record("--stats"), "true"), 125),
                                (("record", "-o", str(self.profile), "sh", "-c", "exit 4"), 4)):
            with self.subTest(arguments):
                with open("/dev/full", "wb") as full:
                    self.assertEqual(spoc(*arguments, stderr=full).returncode, code)

    def test_closed_standard_error(self) -> None:
        for arguments, code in ((self.under("tracepoint"), 125), (self.under("none"), 0)):
            result = subprocess.run(["sh", "-c", 'exec "$@" 2>&-', "sh", sys.executable, str(SPOC), *arguments,
                                     *self.DENIED], stdin=subprocess.DEVNULL, timeout=100)
            self.assertEqual(result.returncode, code)


class Limits(LifeCase):
    """A limit is named, with what raises it; and where there is another way it is taken."""

    def assert_works_or_names(self, result: Any, remedy: str) -> None:
        if result.returncode == 0:
            self.assertTrue(self.marker.exists())
            self.marker.unlink()
            return
        last = result.stderr.splitlines()[-1]
        self.assertEqual(result.returncode, 125, result.stderr)
        self.assertRegex(last, rf"\A({CLOCK} Error|spoc: start): [^\n]*{remedy}[^\n]*\Z")
        self.assertNotIn("Traceback", result.stderr)
        self.assertFalse(self.marker.exists())

    def test_open_files(self) -> None:
        found = {}
        for number in (6, 8, 9, 11, 13, 18, 24):
            for arguments in (self.record(), self.under("auto")):
                with self.subTest(number, arguments=arguments):
                    result = subprocess.run(["sh", "-c", f'ulimit -n {number}; exec "$@"', "sh", sys.executable,
                                             str(SPOC), *arguments, "touch", str(self.marker)], timeout=100,
                                            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
                    self.assert_works_or_names(result, "ulimit -n")
                    found[number, arguments[0]] = result.returncode
        self.assertEqual({found[18, command] for command in ("record", "run")}, {0})  # by user notification
        self.assertEqual({found[6, command] for command in ("record", "run")}, {125})

    def test_refused(self) -> None:
        limits = {"EMFILE": "ulimit -n", "ENFILE": "fs.file-max", "ENOMEM": "ulimit -v", "EAGAIN": "ulimit -u"}
        for call, name in (("socketpair", "EMFILE"), ("pipe2", "ENFILE"), ("clone", "EAGAIN"), ("clone", "ENOMEM"),
                           ("signalfd4", "EMFILE"), ("recvmsg", "ENOMEM")):
            with self.subTest(call, name=name):
                result = self.traced(*self.under("notify"), "touch", str(self.marker),
                                     strace=("-e", f"inject={call}:error={name}:when=1"))
                self.assertNotEqual(result.returncode, 0)
                self.assert_works_or_names(result, re.escape(limits[name]))

    def test_another_way(self) -> None:
        for arguments, call, name in ((self.record(), "bpf", "EMFILE"), (self.record(), "bpf", "ENOMEM"),
                                      (self.under("auto"), "epoll_create1", "EMFILE"),
                                      (self.under("auto"), "bpf", "EAGAIN")):
            with self.subTest(arguments, call=call, name=name):
                result = self.traced(*arguments, "touch", str(self.marker),
                                     strace=("-e", f"inject={call}:error={name}"))
                self.assertEqual((result.returncode, result.stderr), (0, ""))
                self.assert_works_or_names(result, "")


if __name__ == "__main__":
    unittest.main()
