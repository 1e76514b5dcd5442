# SPDX-License-Identifier: MIT
"""`watch`: names what filters stop of what runs already, whoever loaded them, and nothing else; `run --strict`."""

import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import unittest
from typing import Any, List

import spoc as module
from cases import RUNC, ContainerCase, WatchCase, cgroup_mount
from support import AS_NOBODY, NOBODY, SPOC, WAIT_S, end, has_watched, require, require_command, spoc, wait_until

TIER = "kernel"
LOAD_S = float(os.environ.get("SPOC_LOAD_S", "10"))  # how long a machine without filters is watched: 60 for a release
EVENT_FIELDS = {"time", "pid", "tgid", "comm", "arch", "number", "name", "action", "errno", "guess", "count",
                "container", "unit"}


class Watch(WatchCase):
    def test_whole_machine(self) -> None:
        pid, events = self.filtered_loop(), self.folder / "events"
        lines = self.watch("--events", str(events), meanwhile=self.wait_named)
        self.assertEqual(lines, [f"uname (63), action: SCMP_ACT_ERRNO (EPERM), pid: {pid}, comm: {self.comm}"])
        self.assertRegex(self.log, "Watching every task of this machine that is under a seccomp filter\n")
        self.assertRegex(self.named("Seccomp summary")[0],
                         rf"^uname \(63\), action: SCMP_ACT_ERRNO \(EPERM\), \d+ times?, by: .*{self.comm} \(\d+\)")
        self.assertRegex(self.log, r"To allow what was blocked: spoc.py merge -b \S*uname")
        found = [json.loads(line) for line in events.read_text().splitlines()]
        for event in found:
            self.assertEqual(set(event), EVENT_FIELDS)
        own = [event for event in found if event["comm"] == self.comm]
        self.assertEqual({(event["name"], event["action"], event["errno"], event["tgid"], event["guess"])
                          for event in own}, {("uname", "SCMP_ACT_ERRNO", "EPERM", pid, False)})
        total = int(re.findall(rf"{self.comm} \((\d+)\)", self.named("Seccomp summary")[0])[0])
        self.assertEqual(sum(event["count"] for event in own), total)

    def test_scopes(self) -> None:
        pid, group = self.filtered_loop(), self.cgroup(2)
        self.move(pid, group)
        version_1 = self.cgroup(1)
        self.move(pid, version_1)
        for options in (("--pid", str(pid)), ("--cgroup", str(group)), ("--cgroup", str(version_1))):
            with self.subTest(options):
                self.assertEqual(self.watch(*options, meanwhile=self.wait_named), [
                    f"uname (63), action: SCMP_ACT_ERRNO (EPERM), pid: {pid}, comm: {self.comm}"])
                self.assertIn("Watching 1 task, 1 under a seccomp filter: ", self.log)

    def test_verdict(self) -> None:
        """Silence is not all that tells that nothing was blocked."""
        idle = self.launch("sleep", "1000").pid
        idle_text = ", so that nothing is blocked until one loads a filter"
        for pid, verdict, until in ((idle, "Nothing was blocked", idle_text),
                                    (self.filtered_loop(), "1 syscall was blocked", "")):
            stderr = spoc("watch", "--for", "0.5", "--pid", str(pid)).stderr
            self.assertRegex(stderr, rf"Watching 1 task, \d under a seccomp filter{until}: process")
            self.assertRegex(stderr, rf" {verdict}\n$")

    def test_every_answer(self) -> None:
        """Of tasks that begin while all are watched."""
        program = self.program("deny.c", "-static")
        killed = "killed by SIGSYS, probably SCMP_ACT_KILL_PROCESS"
        cases = {"SCMP_ACT_ERRNO": "SCMP_ACT_ERRNO (EPERM)", "SCMP_ACT_TRACE": "SCMP_ACT_ERRNO (ENOSYS)",
                 "SCMP_ACT_TRAP": killed, "SCMP_ACT_KILL_PROCESS": killed, "SCMP_ACT_KILL_THREAD": killed}
        for action, text in cases.items():
            for kind in ("self", "child", "thread"):
                with self.subTest(action=action, kind=kind):
                    command = self.filtered(program, kind, action=action)
                    lines = self.watch(meanwhile=lambda: subprocess.run(
                        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                        timeout=WAIT_S))
                    self.assertEqual(len(lines), 1, self.log)
                    if action == "SCMP_ACT_KILL_THREAD" and kind == "thread":
                        text = action
                    self.assertEqual(re.sub(r"pid: \d+", "pid: N", lines[0]),
                                     f"uname (63), action: {text}, pid: N, comm: {self.comm}")

    def test_logged(self) -> None:
        """What is let pass is not named, which is said."""
        program = self.program("deny.c", "-static")
        self.assertEqual(self.watch(meanwhile=lambda: subprocess.run(
            self.filtered(program, action="SCMP_ACT_LOG"), check=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL)), [])
        self.assertIn("Calls that a filter lets pass and logs (SCMP_ACT_LOG) are not told from others", self.log)

    def test_supervised(self) -> None:
        """What a listener answers is said as that, and blocks nothing."""
        program = self.program("deny.c", "-static")
        profile = self.folder / "listened.json"
        profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["uname"], "action": "SCMP_ACT_ERRNO", "errnoRet": 0}]}))
        lines = self.watch("--strict", "--pid", str(os.getpid()), meanwhile=lambda: subprocess.run(
            [sys.executable, str(SPOC), "run", "-q", "-p", str(profile), "--enricher", "notify", "--", program],
            check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            timeout=WAIT_S))
        self.assertEqual(len(lines), 1, self.log)
        self.assertIn("action: returned 0, as a supervisor answered (SCMP_ACT_NOTIFY), or SCMP_ACT_ERRNO (0), pid: ",
                      lines[0])

    def test_exact_counts(self) -> None:
        program = self.program("deny.c", "-static")
        self.watch("--pid", str(os.getpid()), meanwhile=lambda: subprocess.run(
            self.filtered(program, "self", "1000"), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL))
        self.assertEqual(self.named("Seccomp summary"), [
            f"uname (63), action: SCMP_ACT_ERRNO (EPERM), 1000 times, by: {self.comm} (1000)"])

    def test_end(self) -> None:
        """By time, and with the last task."""
        pid = self.filtered_loop()
        begin_s = time.monotonic()
        with self.attached("watch", "--for", "0.5", "--pid", str(pid), ready="Watching") as process:
            pass
        self.assertEqual(process.returncode, 0, self.log)
        self.assertGreaterEqual(time.monotonic() - begin_s, 0.5)
        self.assertEqual(len(self.named("Seccomp")), 1)
        with self.attached("watch", "--pid", str(pid), ready="Watching") as process:
            os.kill(pid, signal.SIGKILL)
        self.assertEqual(process.returncode, 0, self.log)

    def test_one_event_for_one_kind(self) -> None:
        """A read(2), whose number is 0 on x86-64, is not taken for the ptrace(2) that may make a tracer answer."""
        flag, events = self.folder / "flag", self.folder / "events"
        pid = self.filtered_loop(f"os.path.exists({str(flag)!r}) and open('/dev/zero', 'rb', 0).read(1); os.uname()")

        def some_rounds() -> None:
            self.wait_named()
            flag.touch()
            time.sleep(0.3)

        self.watch("--pid", str(pid), "--events", str(events), meanwhile=some_rounds)
        counts = [json.loads(line)["count"] for line in events.read_text().splitlines()]
        self.assertEqual((len(counts), counts[0]), (2, 1), counts)  # at once, and the others in the end

    def test_strict(self) -> None:
        pid = self.filtered_loop()
        self.watch("--strict", "--pid", str(pid), meanwhile=self.wait_named, code=1)
        self.watch("--strict", "--pid", str(self.loop()), code=0)

    def test_quiet(self) -> None:
        """-q leaves what was blocked."""
        pid = self.filtered_loop()
        with self.attached("watch", "-q", "--pid", str(pid), ready="Seccomp: ") as process:
            process.send_signal(signal.SIGTERM)
        self.assertEqual(len(self.log.splitlines()), 3, self.log)

    def test_usage(self) -> None:
        for arguments in (("true",), ("--for", "0"), ("--pid", "1", "--cgroup", "/"), ("--events", "")):
            result = spoc("watch", *arguments)
            self.assertEqual(result.returncode, 2, result.stderr)

    def test_unfit_sudo(self) -> None:
        """What is said to do works with each command."""
        environment = {**os.environ, "SUDO_UID": "1234"}
        for command in ("watch", "--for", "1"), ("record", "-o", "/dev/null", "--pid", "1"), ("record", "true"):
            result = spoc(*command, env=environment)
            self.assertEqual(result.returncode, 125)
            self.assertRegex(result.stderr, "SUDO_UID=1234 SUDO_GID=None: no user; set both as sudo does, or neither\n")

    def test_bubblewrap(self) -> None:
        """Under a filter that bubblewrap loads."""
        require_command("bwrap")
        program, compiled = self.program("deny.c", "-static"), self.folder / "filter.bpf"
        self.filtered("true")
        self.assertEqual(spoc("convert", "-t", "bpf", "-o", str(compiled), str(self.profile)).returncode, 0)

        def work() -> None:
            with open(compiled) as file:
                subprocess.run(["bwrap", "--dev-bind", "/", "/", "--seccomp", str(file.fileno()), program],
                               pass_fds=[file.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               timeout=WAIT_S)
        lines = self.watch(meanwhile=work)
        self.assertRegex(lines[0], rf"^uname \(63\), action: SCMP_ACT_ERRNO \(EPERM\), pid: \d+, comm: {self.comm}")
        self.assertEqual(len(lines), 1)


class Promptness(WatchCase):
    """What is blocked is told at once, and while nothing is nothing is done."""

    def test_an_event_is_written_at_once(self) -> None:
        events, called = self.folder / "events", self.folder / "called"
        caller = self.launch(*self.filtered(sys.executable, "-c", (
            f"import os, sys, time\nopen('/proc/self/comm', 'w').write({self.comm!r})\nsys.stdin.read(1)\n"
            f"before = time.time()\ntry: os.uname()\nexcept OSError: pass\n"
            f"open({str(called)!r}, 'w').write(str(before))\nsys.stdin.read()")),
            stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert caller.stdin
        tree = module.ProcessTree([caller.pid])
        self.assertTrue(wait_until(lambda: any(module.process_name(tid) == self.comm for tid in tree.tasks())))
        with self.attached("watch", "--events", str(events), "--pid", str(caller.pid), ready="Calls that") as watch:
            caller.stdin.write(b"x")
            caller.stdin.flush()
            self.assertTrue(wait_until(lambda: called.exists() and bool(called.read_text())))
            self.wait_named()
            self.assertTrue(wait_until(lambda: bool(events.read_bytes())))
            written_s = events.stat().st_mtime  # by the kernel's clock, which counts ticks
            watch.terminate()
        before_s, event = float(called.read_text()), json.loads(events.read_text())
        self.assertEqual((event["name"], event["comm"]), ("uname", self.comm))
        self.assertLess(before_s, event["time"])
        # Two milliseconds are usual; a busy machine may take longer.
        self.assertLess(max(written_s, event["time"]) - before_s, 1)

    def test_nothing_is_done_while_nothing_happens(self) -> None:
        """Neither of the recorder nor of the watcher: no wake-up at all."""
        pid = self.launch("sleep", "1000").pid
        cases = ((("record", "-o", "/dev/null"), "Processing events"), (("watch",), "Calls that"))
        for command, ready in cases:
            with self.subTest(command), self.attached(*command, "--pid", str(pid), ready=ready) as process:
                self.assertTrue(wait_until(lambda: self.activity(process.pid) == self.activity(process.pid, 0.3)))
                self.assertEqual(self.activity(process.pid), self.activity(process.pid, 1))
                process.terminate()

    @staticmethod
    def activity(pid: int, after_s: float = 0) -> List[str]:
        """CPU time of that process, and how often each of its threads gave up the CPU."""
        time.sleep(after_s)
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return fields[11:13] + [line for path in sorted(pathlib.Path(f"/proc/{pid}/task").glob("*/status"))
                                for line in path.read_text().splitlines() if line.startswith("voluntary_ctxt_switches")]


# What systemd as the manager of a machine is to have for itself: it is the first process, of a control group that it
# takes for all there is, and can change nothing of this machine.
ENTER = """
echo $$ > "$1/cgroup.procs"
exec unshare --cgroup --pid --fork --kill-child --mount-proc --uts --ipc --net sh -ec "$2" sh "$3" "$4"
"""
MANAGE = """
mount -t sysfs -o ro none /sys
mount -t cgroup2 none /sys/fs/cgroup
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd
cp -r "$1" /run/systemd/system
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
mount -o remount,bind,ro /
exec env -i container=test /lib/systemd/systemd --system "--unit=$2" --log-target=null --show-status=no
"""
UNIT = """
[Unit]
DefaultDependencies=no
[Service]
ExecStart=/bin/sh -c "while :; do uname; sleep 0.1; done"
SystemCallFilter=~uname
SystemCallErrorNumber=EPERM
"""


class OfOthers(WatchCase):
    """Filters that others have made."""

    def test_browser(self) -> None:
        """Chromium's own, for its sandboxed processes."""
        require_command("chromium", "setpriv")
        os.chown(self.folder, NOBODY, NOBODY)
        events = self.folder / "events"
        with self.attached("watch", "--events", str(events), "--pid", str(os.getpid()),
                           ready="Calls that a filter lets pass and logs") as process:
            result = subprocess.run([*AS_NOBODY, "chromium", "--headless", "--disable-gpu", "--dump-dom",
                                     "data:text/html,hello"], env={**os.environ, "HOME": str(self.folder)},
                                    cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                    stderr=subprocess.DEVNULL, text=True, timeout=WAIT_S)
            process.terminate()
        self.assertIn("hello", result.stdout)
        self.assertEqual(process.returncode, 0, self.log)
        self.assertIn(("clone3", "SCMP_ACT_ERRNO", "ENOSYS"), [
            (event["name"], event["action"], event["errno"])
            for event in map(json.loads, events.read_text().splitlines())])
        self.assertRegex(self.log, r"To allow what was blocked.*: spoc.py merge -b \S*clone3")

    def manage(self, unit: str, text: str) -> pathlib.Path:
        """The control group of a unit that systemd runs, as what manages a machine that has nothing else to do."""
        require(os.path.exists("/lib/systemd/systemd"), "systemd")
        group, units = self.cgroup(2), self.folder / "units"
        units.mkdir()
        (units / unit).write_text(text)
        manager = self.launch("unshare", "--mount", "--propagation", "private", "sh", "-ec", ENTER, "sh", str(group),
                              MANAGE, str(units), unit, stdin=subprocess.DEVNULL)

        def remove_groups() -> None:
            end(manager)
            for folder, _, _ in os.walk(group, topdown=False):
                self.remove_cgroup(pathlib.Path(folder))
        self.addCleanup(remove_groups)
        processes = group / "system.slice" / unit / "cgroup.procs"
        self.assertTrue(wait_until(lambda: manager.poll() is not None or bool(
            processes.exists() and processes.read_text())))
        self.assertIsNone(manager.poll())
        return processes.parent

    def test_unit(self) -> None:
        """systemd's SystemCallFilter=, which `record` names as well."""
        unit = f"{self.comm}.service"
        self.manage(unit, UNIT)
        lines = self.watch("--unit", unit, meanwhile=self.wait_named)
        self.assertRegex(lines[0], r"^uname \(63\), action: SCMP_ACT_ERRNO \(EPERM\), pid: \d+, comm: uname, unit: "
                         rf"{unit}$")
        with self.attached("record", "-o", str(self.folder / "unit.yaml"), "--unit", unit) as process:
            time.sleep(0.5)
            process.terminate()
        self.assertIn("Blocked meanwhile by the filter that is in force: uname; --with-blocked adds it", self.log)


class Names(unittest.TestCase):
    """What others may choose is not taken for what the line says of itself."""

    TIER = "pure"
    ID = "0123456789abcdef" * 4

    def test_names_in_lines(self) -> None:
        for name in ("nginx", "Web Content", "(sd-pam)", "kworker/0:1", "a=b;c", "caf\u00e9"):
            self.assertEqual(module.quoted(name), name)
        for name, text in (("x, unit: y", '"x, unit: y"'), ("a (3", '"a (3"'), ('say "x"', '"say \\"x\\""'), ("", '""'),
                           (" x", '" x"'), ("x: y", '"x: y"'), ('\\",', '"\\\\\\","')):
            self.assertEqual(module.quoted(name), text)

    def test_owners(self) -> None:
        """The outermost is what the machine's own manager has made."""
        user = "/user.slice/user-1000.slice/user@1000.service"
        container = ("container", self.ID[:12])
        cases = {
            "/system.slice/nginx.service": ("unit", "nginx.service"),
            "/system.slice/nginx.service/evil.service": ("unit", "nginx.service"),
            "/system.slice/nginx.service/user@0.service/evil.service": ("unit", "nginx.service"),
            "/user.slice/user-1000.slice/session-2.scope": ("unit", "session-2.scope"),
            f"{user}/app.slice/app-editor.scope": ("unit", "app-editor.scope"),
            f"{user}/app.slice/web.service/evil.service": ("unit", "web.service"),
            user: ("unit", "user@1000.service"), "/init.scope": ("unit", "init.scope"), "/": ("", ""), "": ("", ""),
            f"/docker/{self.ID}": container, f"/docker/{self.ID}/evil.service": container,
            f"/system.slice/docker-{self.ID}.scope/{'f' * 64}": container,
            f"/libpod_parent/{'f' * 64}/libpod-{self.ID}": container,
            f"/pods/{'f' * 64}/libpod-{self.ID}.scope/{'e' * 64}": container,
            f"/docker/{self.ID}/libpod-{'f' * 64}": container,
            f"/machine.slice/libpod-{self.ID}.scope/container": container,
            f"{user}/user.slice/libpod-{self.ID}.scope/container": container,
            f"/kubepods.slice/kubepods-pod1.slice/cri-containerd-{self.ID}.scope/evil.service": container}
        for path, owner in cases.items():
            for text in (f"0::{path}\n", f"12:pids:{path}\n1:name=systemd:{path}\n0::/\n"):
                self.assertEqual(module.owner_of(text), owner, text)


class NamesForged(WatchCase):
    """The same of processes that do so."""

    def test_comm(self) -> None:
        self.comm = "x, unit: y"
        self.filtered_loop()
        with self.attached("watch", ready=f'comm: "{self.comm}"') as process:
            process.terminate()
        self.assertNotIn("comm: x, unit: y", self.log)
        self.assertRegex(self.log, r'Seccomp summary: .*"x, unit: y" \(\d+\)')

    def test_group_below_a_unit(self) -> None:
        pid, group = self.filtered_loop(), self.cgroup(2)
        unit = cgroup_mount(2) / f"{group.name}.service"
        (unit / "evil.service").mkdir(parents=True)
        self.addCleanup(self.remove_cgroup, unit)
        self.addCleanup(self.remove_cgroup, unit / "evil.service")
        self.move(pid, unit / "evil.service")
        lines = self.watch("--pid", str(pid), meanwhile=self.wait_named)
        self.assertEqual([line.rpartition(", ")[2] for line in lines], [f"unit: {unit.name}"])


class EventsOfWatch(WatchCase):
    """--events to a reader that does not read."""

    def test_nobody_reads(self) -> None:
        """A fifo that is full does not keep a signal from ending it, which says what was not written."""
        pid, fifo = self.filtered_loop(), self.folder / "fifo"
        os.mkfifo(fifo)
        reader = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)  # which never reads
        self.addCleanup(os.close, reader)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(reader, b"x" * 4096)
        for signum in signal.SIGTERM, signal.SIGINT:
            with self.subTest(signum), self.attached("watch", "--events", str(fifo), "--pid", str(pid),
                                                     ready="Seccomp: ") as process:
                process.send_signal(signum)
            self.assertEqual(process.returncode, 125, self.log)
            self.assertIn("Error: not all blocked calls may be known: events could not be written: ", self.log)
            self.assertEqual(len(self.named("Seccomp summary")), 1)

    def test_no_reader(self) -> None:
        """Without one it does not begin."""
        fifo = self.folder / "fifo"
        os.mkfifo(fifo)
        result = spoc("watch", "--events", str(fifo))
        self.assertEqual(result.returncode, 125)
        self.assertRegex(result.stderr, f"Error: write events: {fifo}: No such device or address; choose another file "
                                        "with --events\n$")


class News(WatchCase):
    """What wakes the watcher, and is no blocked call."""

    PROCESSES = 6000  # more than have room in `events`: 256 KiB, of which each takes 64 bytes
    SCRIPT = """
import ctypes, os, struct
libc = ctypes.CDLL(None)
step = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0x7fff0000))
program = struct.pack("HP", 1, ctypes.addressof(step))
assert libc.prctl(38, 1, 0, 0, 0) == 0
for _ in range({}):
    pid = os.fork()
    if not pid:
        os._exit(libc.prctl(22, 2, program))
    assert os.waitpid(pid, 0)[1] == 0
"""

    def test_no_room_for_news(self) -> None:
        """That processes have joined, each with a filter of its own, may be lost, and counts as no loss."""
        watcher = module.open_scope_watcher(module.this_machine(), module.WholeMachine())
        self.addCleanup(watcher.close)
        watcher.join()
        subprocess.run([sys.executable, "-c", self.SCRIPT.format(self.PROCESSES)], check=True, timeout=WAIT_S)
        lost = watcher.counters().denials_lost
        watcher.read()
        unheard = self.PROCESSES - len(watcher.joined)
        self.assertGreater(unheard, 1000)
        self.assertLess(lost, unheard / 2)  # some may be other tests' calls, which were blocked meanwhile


class ManyKinds(WatchCase):
    """A task that gives itself another name all the time."""

    NAMES, TWICE = 9000, 1000  # more than the kernel side has room for; so many come again

    def watched(self, pause_s: float) -> "tuple[subprocess.Popen[Any], int]":
        """The watch of a process that takes all these names, and the process."""
        ready, go, over = (self.folder / f"{name}-{pause_s}" for name in ("ready", "go", "over"))
        script = (f"import ctypes, os, time\nlibc = ctypes.CDLL(None)\n"
                  f"open('/proc/self/comm', 'w').write({self.comm!r})\n"
                  f"open({str(ready)!r}, 'w').close()\n"
                  f"while not os.path.exists({str(go)!r}): time.sleep(0.02)\n"
                  f"for number in *range({self.NAMES}), *range({self.TWICE}):\n"
                  "    libc.prctl(15, b'name-%d' % number, 0, 0, 0)\n    libc.uname(0); libc.uname(0); libc.getsid(0)\n"
                  f"    if number % 50 == 0: time.sleep({pause_s})\n"
                  f"open({str(over)!r}, 'w').close()\ntime.sleep(1000)")
        command = self.filtered(sys.executable, "-c", script)
        self.profile.write_text(self.profile.read_text().replace('"uname"', '"uname", "getsid"'))
        program = self.launch(*command, stderr=subprocess.DEVNULL)
        self.assertTrue(wait_until(ready.exists))
        pid = next(pid for pid in module.ProcessTree([program.pid]).tasks() if module.process_name(pid) == self.comm)
        with self.attached("watch", "--pid", str(pid), ready="Calls that a filter lets pass and logs") as process:
            go.touch()
            self.assertTrue(wait_until(over.exists, WAIT_S))
            process.terminate()
        end(program)
        return process, pid

    def test_no_end_of_names(self) -> None:
        """Nothing is lost, and neither the log nor the memory is flooded."""
        for pause_s in (0.04, 0.2):  # what a busy machine has no time for counts as not named
            process, pid = self.watched(pause_s)
            if "too many different ones at a time" not in self.log:
                break
        self.assertEqual(process.returncode, 0, self.log[-2000:])
        limit, names = module.WatchReport.MAX_PROGRAMS, self.NAMES + self.TWICE
        for call, times in ("uname", 2), ("getsid", 1):
            lines = re.findall(rf"Seccomp: {call} \(\d+\), action: SCMP_ACT_ERRNO \(EPERM\), pid: {pid}, comm: (.*)",
                               self.log)
            self.assertEqual((len(lines), lines[0], lines[-1]), (limit + 1, "name-0", "(others)"))
            total, programs = re.findall(rf"Seccomp summary: {call} .*, (\d+) times, by: (.*)", self.log)[0]
            self.assertEqual(int(total), times * names)
            counts = dict(re.findall(r"(\S+) \((\d+)\)", programs))
            self.assertEqual(int(counts["name-1"]), 2 * times)
            self.assertEqual(int(counts["(others)"]), times * (names - 2 * limit))


class NoFalseLine(WatchCase):
    """What nobody blocks is not named, however it is attached to."""

    ROUNDS = 14

    def busy(self, kind: str, filtered: bool) -> "tuple[int, pathlib.Path]":
        """Tasks that come and go all the time: the first of them, and the control group that all are in."""
        group, calls = self.cgroup(2), self.folder / f"calls-{time.monotonic_ns()}"
        command = [self.program("forker.c", "-pthread"), kind, "1000", str(calls)]
        process = self.launch("sh", "-c", f'echo $$ >{group}/cgroup.procs; exec "$@"', "sh", *(
            self.filtered(*command) if filtered else command), stderr=subprocess.DEVNULL)
        self.assertTrue(wait_until(lambda: calls.exists() and any(calls.read_bytes()[:8])))
        return process.pid, group

    def denials(self, scope: Any) -> List[Any]:
        watcher = module.open_scope_watcher(module.this_machine(), scope)
        try:
            watcher.join()
            time.sleep(0.3)
            denials = [*watcher.read(), *watcher.finish()]
            if not isinstance(scope, module.WholeMachine):  # where other tests' calls may be too many to name
                self.assertEqual(watcher.losses(), [])
            return [denial for denial in denials if denial.comm == self.comm]
        finally:
            watcher.close()

    def test_of_busy_tasks(self) -> None:
        scopes: "List[Any]" = [
            lambda pid, _: module.ProcessTree([pid]), lambda _, group: module.ControlGroup(str(group)),
            lambda _, __: module.WholeMachine()]
        for kind in ("tree", "threads", "orphans"):
            for make_scope in scopes:
                pid, group = self.busy(kind, True)
                scope = make_scope(pid, group)
                for number in range(self.ROUNDS):
                    with self.subTest(kind=kind, scope=scope.title, number=number):
                        self.assertEqual(self.denials(scope), [])
                self.remove_cgroup(group)

    def test_where_nothing_is_filtered(self) -> None:
        """Of tasks without a filter nothing is ever named, however much they do and for however long."""
        group, program = self.cgroup(2), self.program("forker.c", "-pthread")
        self.launch("sh", "-c", f'echo $$ >{group}/cgroup.procs; '
                    'while :; do for kind in tree threads orphans; do "$0" $kind 1 "$1"; done; done', program,
                    str(self.folder / "calls"), stderr=subprocess.DEVNULL)
        self.assertEqual(self.watch(meanwhile=lambda: time.sleep(LOAD_S)), [])


class InContainer(ContainerCase):
    """Whose filter runc has loaded: the line says which container it was."""

    def test_container_is_named(self) -> None:
        require_command("runc")
        identity = "".join(f"{byte:02x}" for byte in os.urandom(32))
        configuration = {
            "ociVersion": "1.0.2",
            "process": {"terminal": False, "user": {"uid": 0, "gid": 0}, "env": ["PATH=/bin"], "cwd": "/",
                        "args": ["/bin/sh", "-c", "uname; uname; sleep 1"]},
            "root": {"path": "rootfs", "readonly": False},
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
            "linux": {"cgroupsPath": f"/{identity}",  # which runc removes, but not what it made above
                      "namespaces": [{"type": name} for name in ("pid", "mount", "ipc", "uts", "network")],
                      "seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
                          {"names": ["uname"], "action": "SCMP_ACT_ERRNO"}]}}}
        (self.folder / "config.json").write_text(json.dumps(configuration))
        command = [*RUNC, "--root", str(self.folder / "state")]
        log, events = self.folder / "log", self.folder / "events"
        with open(log, "w") as stderr:
            watcher = self.launch(sys.executable, str(SPOC), "watch", "--events", str(events), stderr=stderr)
        self.assertTrue(wait_until(lambda: "Calls that" in log.read_text()))
        try:
            result = subprocess.run([*command, "run", "--bundle", str(self.folder), identity], stdin=subprocess.DEVNULL,
                                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=WAIT_S)
        finally:
            subprocess.run([*command, "delete", "--force", identity], stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
        watcher.terminate()
        code, text = watcher.wait(WAIT_S), log.read_text()
        self.assertTrue(has_watched(code, text), text)
        where = f"container: {identity[:12]}"
        found = [line for line in text.splitlines() if where in line]
        self.assertGreater(len(found), 1, text + result.stdout)
        self.assertRegex(found[0], r"Seccomp: uname \(63\), action: SCMP_ACT_ERRNO \(EPERM\), pid: \d+, comm: \w+, "
                         rf"{where}$")
        self.assertRegex(found[-1], rf"Seccomp summary: uname .*, by: .*uname \(\d\), {where}$")
        self.assertIn(f"To allow what was blocked in container {identity[:12]}: spoc.py merge -b uname -o PROFILE "
                      "PROFILE\n", text)
        self.assertIn(identity[:12], {json.loads(line)["container"] for line in events.read_text().splitlines()})


class StrictRun(WatchCase):
    """`run --strict`."""

    def run_strict(self, *options: str, action: str = "SCMP_ACT_ERRNO", name: str = "uname") -> int:
        command = self.filtered(self.program("deny.c", "-static"), action=action, name=name)
        index = command.index("--enricher")
        del command[index:index + 2]
        command[index:index] = ["--strict", *options]
        return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              timeout=WAIT_S).returncode

    def test_exit_codes(self) -> None:
        """1 if the profile has blocked anything, whatever the command's own code."""
        for enricher in ("tracepoint", "notify"):
            self.assertEqual(self.run_strict("--enricher", enricher), 1)
            self.assertEqual(self.run_strict("--enricher", enricher, action="SCMP_ACT_KILL_PROCESS"), 1)
            self.assertEqual(self.run_strict("--enricher", enricher, name="getsid"), 0)
        self.assertEqual(self.run_strict(action="SCMP_ACT_LOG"), 0)

    def test_refused(self) -> None:
        self.assertEqual(self.run_strict("--enricher", "none"), 2)
        self.assertEqual(self.run_strict("--learn", str(self.folder / "learned")), 2)
