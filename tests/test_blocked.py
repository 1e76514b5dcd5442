# SPDX-License-Identifier: MIT
"""`record` of what runs names what the filter that is in force stops, and allows it with --with-blocked."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time
import unittest
from typing import Dict, Iterable, Iterator, List, Sequence, Set
from unittest import mock

import spoc as module
from cases import AttachCase, WatchCase, call_line, cgroup_mount
from engines import Engine, Engines
from support import ON_X86_64, ROOT, SPOC, WAIT_S, build, has_recorded, has_watched, require, spoc, wait_until

TIER = "kernel"
BLOCKED = r"(?m)^\S+ Blocked meanwhile by the filter that is in force: (.*)$"
# Of x86-64, each with arguments that the kernel refuses by another errno than a filter does.
CALLS = {"mount": (165, [0] * 6), "keyctl": (250, [99999, 0, 0, 0, 0, 0]), "unshare": (272, [1, 0, 0, 0, 0, 0]),
         "io_uring_setup": (425, [0] * 6), "clone3": (435, [0] * 6),
         "perf_event_open": (298, [0] * 6), "get_mempolicy": (239, [0] * 6), "getppid": (110, [0] * 6)}
# A process that makes calls of these numbers all the time, which a filter of its own refuses (seccomp(2)).
NUMBERS_LOOP = """
import ctypes, struct, time
libc = ctypes.CDLL(None)
numbers = {numbers}
steps = [(0x20, 0, 0, 0)]
for number in numbers:
    steps += [(0x15, 0, 1, number), (0x06, 0, 0, 0x50001)]
steps.append((0x06, 0, 0, 0x7fff0000))
text = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
program = struct.pack("HP", len(steps), ctypes.addressof(text))
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, program) == 0
while True:
    for number in numbers:
        libc.syscall(number)
    time.sleep(0.02)
"""


def allowed_by(path: pathlib.Path) -> Set[str]:
    """The names of a profile in JSON that is whole, whatever their arguments."""
    return {name for rule in json.loads(path.read_text())["syscalls"] if not rule.get("args") for name in rule["names"]}


class Blocked(WatchCase):
    """Of processes and control groups, under filters that are made here."""

    def setUp(self) -> None:
        super().setUp()
        self.path = self.folder / "recorded.json"

    def record_blocked(self, *options: str, code: int = 0, wait_s: float = 0.3) -> List[str]:
        """What it says of blocked calls; self.log has all."""
        with self.attached("record", "-n", "-t", "raw-seccomp", "-o", str(self.path), *options) as process:
            time.sleep(wait_s)
            self.watched = self.programs(process.pid)
            process.send_signal(signal.SIGINT)
        self.assertEqual(process.returncode, code, self.log)
        self.assertNotIn("Traceback", self.log)
        return re.findall(BLOCKED, self.log)

    @staticmethod
    def programs(pid: int) -> int:
        """How many BPF programs a process has loaded."""
        links = []
        for path in pathlib.Path(f"/proc/{pid}/fd").iterdir():
            links.append(os.readlink(path))
        return links.count("anon_inode:bpf-prog")

    def test_named(self) -> None:
        """By pid, control group and unit; and not in the profile."""
        pid = self.filtered_loop()
        group = cgroup_mount(2) / f"{self.folder.name}.service"
        group.mkdir()
        self.addCleanup(self.remove_cgroup, group)
        self.move(pid, group)
        version_1 = self.cgroup(1)
        self.move(pid, version_1)
        for options in (("--pid", str(pid)), ("--cgroup", str(group)), ("--unit", group.name),
                        ("--cgroup", str(version_1))):
            with self.subTest(options):
                self.assertEqual(self.record_blocked(*options), ["uname; --with-blocked adds it"])
                self.assertIn("clock_nanosleep", allowed_by(self.path))
                self.assertNotIn("uname", allowed_by(self.path))

    def test_added(self) -> None:
        """Under the profile the process makes the call that was blocked."""
        pid = self.filtered_loop()
        self.assertEqual(self.record_blocked("--with-blocked", "--pid", str(pid)), ["uname; added to the profile"])
        self.assertIn("uname", allowed_by(self.path))
        self.assertNotIn("uname", re.findall("Got syscalls: (.*)", self.log)[0])
        self.path.unlink()
        self.assertEqual(self.record_blocked("--with-blocked", "--stats", "--pid", str(pid)),
                         ["uname; added to the profile"])
        self.assertIn("uname", allowed_by(self.path))

    def test_appended(self) -> None:
        """To a profile that is there, whichever form it has."""
        pid = self.filtered_loop()
        for kind in ("raw-seccomp", "seccomp"):
            path = self.folder / f"profile-of-{kind}"
            self.assertEqual(spoc("record", "-t", kind, "-o", str(path), "--", "true").returncode, 0)
            self.assertNotIn("uname", path.read_text())
            with self.attached("record", "--append", "--with-blocked", "-t", kind, "-o", str(path), "--pid",
                               str(pid)) as process:
                time.sleep(0.3)
                process.terminate()
            self.assertEqual(process.returncode, 0, self.log)
            self.assertIn("uname", path.read_text())
            self.assertIn("Blocked meanwhile by the filter that is in force: uname; added to the profile", self.log)

    def test_checkpoint(self) -> None:
        """What was blocked by then is in it."""
        pid = self.filtered_loop()
        with self.attached("record", "--with-blocked", "--checkpoint", "1", "-t", "raw-seccomp", "-o", str(self.path),
                           "--pid", str(pid)) as process:
            self.assertTrue(wait_until(lambda: self.path.exists() and "uname" in allowed_by(self.path)))
            process.terminate()

    def test_arguments(self) -> None:
        """A blocked call's are not known: it is allowed whatever they are."""
        self.profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["socket"], "action": "SCMP_ACT_ERRNO", "args": [
                {"index": 0, "value": int(socket.AF_NETLINK), "op": "SCMP_CMP_EQ"}]}]}))
        ready = self.folder / "ready"
        script = (f"import socket, time\nopen({str(ready)!r}, 'w').close()\nwhile True:\n"
                  "    for family in socket.AF_UNIX, socket.AF_NETLINK:\n        try: socket.socket(family).close()\n"
                  "        except OSError: pass\n    time.sleep(0.02)")
        process = self.launch(sys.executable, str(SPOC), "run", "-q", "-p", str(self.profile), "--enricher", "none",
                              "--", sys.executable, "-c", script, stderr=subprocess.DEVNULL)
        self.assertTrue(wait_until(ready.exists))
        pid = max(module.ProcessTree([process.pid]).tasks())
        self.assertEqual(self.record_blocked("--args", "socket", "--pid", str(pid)), ["socket; --with-blocked adds it"])
        self.assertNotIn("socket", allowed_by(self.path))
        self.assertIn("Narrowed socket by argument 0: 0x1 (AF_UNIX)\n", self.log)
        self.assertEqual(self.record_blocked("--args", "socket", "--with-blocked", "--pid", str(pid)),
                         ["socket; added to the profile"])
        self.assertIn("socket", allowed_by(self.path))
        self.assertIn("socket is allowed whatever its arguments: with what arguments a filter blocked it is not known",
                      self.log)
        self.assertEqual(self.record_blocked("--pid", str(pid)), ["socket; the profile allows all of that"])

    def test_nameless(self) -> None:
        """What has no name is named by its number; where it was to be added, the profile is incomplete."""
        pid = self.loop(NUMBERS_LOOP.format(numbers=[900, 5000]))
        texts = ["libseccomp knows no name for 1 syscall: 900 (SCMP_ARCH_X86_64); a newer libseccomp may",
                 "1 syscall exists in no kernel: 5000 (SCMP_ARCH_X86_64); no rule can allow that"]
        self.assertEqual(self.record_blocked("--pid", str(pid)), [])
        self.assertEqual(re.findall(r"(?m)^\S+ Blocked as well: (.*)$", self.log), texts)
        self.assertEqual(self.record_blocked("--with-blocked", "--pid", str(pid), code=125), [])
        self.assertEqual(re.findall(r"(?m)^\S+ Error: the profile is incomplete: (.*)$", self.log), texts)

    def test_supervised(self) -> None:
        """What a listener answers is not blocked."""
        self.profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["uname"], "action": "SCMP_ACT_ERRNO", "errnoRet": 0}]}))
        ready = self.folder / "ready"
        script = (f"import ctypes, time\nopen('/proc/self/comm', 'w').write({self.comm!r})\n"
                  f"open({str(ready)!r}, 'w').close()\nwhile True: ctypes.CDLL(None).syscall(63, 0); time.sleep(0.02)")
        process = self.launch(sys.executable, str(SPOC), "run", "-q", "-p", str(self.profile), "--enricher", "notify",
                              "--", sys.executable, "-c", script, stderr=subprocess.DEVNULL)
        self.assertTrue(wait_until(ready.exists))
        pid = next(tid for tid in module.ProcessTree([process.pid]).tasks() if module.process_name(tid) == self.comm)
        self.assertEqual(self.record_blocked("--with-blocked", "--pid", str(pid)), [])
        # A task that waits for the listener as it is attached to is in the call, and so is that in the recording.
        if "uname" not in re.findall("Got syscalls: (.*)", self.log)[0].split(", "):
            self.assertNotIn("uname", allowed_by(self.path))

    def test_no_filter(self) -> None:
        """Without one no other programs are loaded, and nothing is said."""
        self.record_blocked("--pid", str(self.filtered_loop()))
        with_filter = self.watched
        self.assertEqual(self.record_blocked("--with-blocked", "--pid", str(self.loop())), [])
        self.assertLess(self.watched, with_filter)
        self.assertNotIn("Blocked", self.log)

    def test_cannot_be_watched(self) -> None:
        """The recording goes on where the kernel side cannot tell what is stopped, which is said."""
        pid, script = self.filtered_loop(), self.folder / "spoc-elsewhere.py"
        script.write_text(f"import sys\nsys.path.insert(0, {str(ROOT)!r})\nimport spoc\n"
                          "spoc.PROGRAMS['run_signal'] = 'no_tracepoint'\nsys.exit(spoc.main())\n")
        log = self.folder / "log"
        with open(log, "w") as stderr:
            process = self.launch(sys.executable, str(script), "record", "-t", "raw-seccomp", "-o", str(self.path),
                                  "--pid", str(pid), stderr=stderr)
        self.assertTrue(wait_until(lambda: "Processing events" in log.read_text() or process.poll() is not None))
        self.assertIsNone(process.poll(), log.read_text())
        time.sleep(0.3)
        process.terminate()
        self.assertEqual(process.wait(WAIT_S), 0, log.read_text())
        self.assertIn("Warning: what the filter that is in force stops is not named: attach to tracepoint",
                      log.read_text())
        self.assertIn("clock_nanosleep", allowed_by(self.path))

    # Starts a process which loads a filter of its own, that refuses getppid, and then calls uname all the time.
    SANDBOX = f"""
import os, time
if not os.fork():
    exec({NUMBERS_LOOP.format(numbers=[110])!r})
while True:
    try: os.uname()
    except OSError: pass
    time.sleep(0.02)
"""
    OF_SANDBOX = (r"(?m)^\S+ Blocked(.*) where a program has loaded a filter of its own, and perhaps by that: getppid; "
                  r"not added: -b getppid does that$")

    def start_sandbox(self, *prefix: str) -> int:
        """Its pid, under a filter that refuses uname."""
        process = self.launch(*self.filtered(*prefix, sys.executable, "-c", self.SANDBOX), stderr=subprocess.DEVNULL)

        def found() -> List[int]:
            return [pid for pid in module.ProcessTree([process.pid]).tasks() if module.count_filters(pid) == 2]
        self.assertTrue(wait_until(lambda: bool(found())))
        return module.parent_of(found()[0])

    @unittest.skipUnless(ON_X86_64, "the numbers are those of x86-64")
    def test_filter_of_its_own(self) -> None:
        """What a filter stops that a program has loaded itself is said, and not added."""
        require(bool(module.proc_status(os.getpid()).get("Seccomp_filters")), "the number of filters (Linux 5.9)")
        pid = self.start_sandbox()
        self.assertEqual(self.record_blocked("--with-blocked", "--pid", str(pid)), ["uname; added to the profile"])
        self.assertEqual(re.findall(self.OF_SANDBOX, self.log), [""])
        self.assertIn("uname", allowed_by(self.path))
        self.assertNotIn("getppid", allowed_by(self.path))

    @unittest.skipUnless(ON_X86_64, "the numbers are those of x86-64")
    def test_filter_of_its_own_in_a_container(self) -> None:
        """The same of one that is recorded from its start."""
        require(bool(module.proc_status(os.getpid()).get("Seccomp_filters")), "the number of filters (Linux 5.9)")
        profiles = self.folder / "profiles"
        with self.attached("record", "--containers", "--with-blocked", "-n", "-t", "raw-seccomp", "-o", str(profiles),
                           ready="Recording every container") as process:
            pid = self.start_sandbox("unshare", "-pf", "--kill-child")
            time.sleep(0.3)
            process.terminate()
        self.assertIn(f" in container pid-{pid}", re.findall(self.OF_SANDBOX, self.log), self.log)
        self.assertIn(f"Blocked meanwhile in container pid-{pid} by the filter that is in force: uname; ", self.log)
        self.assertNotIn("getppid", allowed_by(profiles / f"pid-{pid}.json"))

    # In a pid namespace of its own: fails 50 times by one name, and starts a program, from a thread if asked for that.
    STARTER = """
import ctypes, os, sys, threading
libc = ctypes.CDLL(None)
assert libc.unshare(0x20000000) == 0
if os.fork():
    sys.exit(os.waitpid(-1, 0)[1])
open("/proc/self/comm", "w").write("starter")
for _ in range(50):
    libc.uname(ctypes.create_string_buffer(1000))
def start():
    os.execv(sys.argv[1], [sys.argv[1], *sys.argv[3:]])
if sys.argv[2] == "thread":
    threading.Thread(target=start).start()
    threading.Event().wait()
start()
"""

    def starter(self, how: str) -> List[str]:
        """A command line for that, under a filter."""
        return self.filtered(sys.executable, "-c", self.STARTER, "/bin/sh", how, "-c", "uname; sleep 0.5")

    def test_program_of_a_container(self) -> None:
        """By whatever thread it is started: what is told of it is its own, and no denial before that is lost."""
        for how in ("leader", "thread"):
            profiles = self.folder / how
            with self.subTest(how):
                with self.attached("record", "--containers", "--with-blocked", "-n", "-t", "raw-seccomp", "-o",
                                   str(profiles), ready="Recording every container") as process:
                    process.send_signal(signal.SIGSTOP)
                    starter = self.launch(*self.starter(how), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                    time.sleep(0.8)
                    process.send_signal(signal.SIGCONT)
                    starter.wait(WAIT_S)
                    self.assertTrue(wait_until(lambda: any(profiles.glob("pid-*.json"))))
                    process.terminate()
                self.assertTrue(has_recorded(process.returncode, self.log), self.log)
                self.assertEqual([line.partition(" by ")[2] for line in re.findall(
                    r"Blocked meanwhile (in container pid-\d+ by .*)", self.log)],
                    ["the filter that is in force: uname; added to the profile"])

    # In a pid namespace of its own: is refused a call, and starts a program which is not.
    BEFORE = """
import ctypes, os, sys, time
libc = ctypes.CDLL(None)
assert libc.unshare(0x20000000) == 0
child = os.fork()
if child:
    print(child)
    sys.exit(os.waitpid(-1, 0)[1])
libc.uname(ctypes.create_string_buffer(1000))
time.sleep(0.3)
os.execv("/bin/sleep", ["sleep", "0.3"])
"""

    def test_before_the_program_of_a_container(self) -> None:
        """What a filter of the engine's stops before the container's program is in none of its profiles."""
        profiles = self.folder / "profiles"
        with self.attached("record", "--containers", "--with-blocked", "-n", "-t", "raw-seccomp", "-o", str(profiles),
                           ready="Recording every container") as process:
            pid = int(subprocess.run(self.filtered(sys.executable, "-c", self.BEFORE), stdout=subprocess.PIPE,
                                     stderr=subprocess.DEVNULL, check=True).stdout)
            self.assertTrue(wait_until((profiles / f"pid-{pid}.json").exists))
            process.terminate()
        self.assertNotIn(f"in container pid-{pid} by", self.log)
        self.assertNotIn("uname", allowed_by(profiles / f"pid-{pid}.json"))

    LAST_PID = pathlib.Path("/proc/sys/kernel/ns_last_pid")  # what comes after that is the next process's

    def launch_as(self, pid: int, *command: str) -> bool:
        """Launch a command in a process of this id, if no other takes it meanwhile."""
        self.LAST_PID.write_text(str(pid - 1))
        return self.launch(*command, stderr=subprocess.DEVNULL).pid == pid

    def test_pid_of_another(self) -> None:
        """What has the id of a program that was started in a container, and has ended, is none of the container."""
        require(os.access(self.LAST_PID, os.W_OK), "a kernel that lets the next process's id be chosen")
        profiles = self.folder / "profiles"
        with self.attached("record", "--containers", "--with-blocked", "-n", "-t", "raw-seccomp", "-o", str(profiles),
                           ready="Recording every container") as process:
            unshare = self.launch("unshare", "-pf", "--kill-child", "sleep", "1000")
            self.assertTrue(wait_until(lambda: re.search(
                r"Recording container pid-\d+ \(sleep\)", (self.folder / "log").read_text()) is not None))
            child, = module.child_processes()[unshare.pid]
            entered = int(subprocess.run(["nsenter", "-p", "-t", str(child), "readlink", "/proc/self"],
                                         stdout=subprocess.PIPE, check=True).stdout)
            time.sleep(0.3)  # so that its end has been dealt with
            loop = sys.executable, "-c", NUMBERS_LOOP.format(numbers=[63])
            self.assertTrue(wait_until(lambda: self.launch_as(entered, *loop)))
            time.sleep(0.5)
            process.terminate()
        self.assertTrue(has_recorded(process.returncode, self.log), self.log)
        self.assertIn("readlink", allowed_by(profiles / f"pid-{child}.json"))
        self.assertNotIn(f"in container pid-{child} by", self.log)

    # Starts a program in a pid namespace, under a filter: its first process gets this pid, if that is not 0.
    NUMBERED = NUMBERS_LOOP.format(numbers=[63]).partition("while")[0] + """
import os, sys
libc.unshare(0x20000000)
if sys.argv[1] != "0":
    open("/proc/sys/kernel/ns_last_pid", "w").write(str(int(sys.argv[1]) - 1))
child = os.fork()
if child:
    print(child, flush=True)
    os.wait()
    sys.exit()
os.execv(sys.argv[2], sys.argv[2:])
"""

    def run_numbered(self, pid: int, *command: str, prefix: Sequence[str] = ()) -> int:
        return int(subprocess.run([*prefix, sys.executable, "-c", self.NUMBERED, str(pid), *command],
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout.split()[0])

    def test_pid_of_another_container(self) -> None:
        """A container whose first process has the pid of an earlier one's is told of all the same."""
        require(os.access(self.LAST_PID, os.W_OK), "a kernel that lets the next process's id be chosen")
        profiles, command = self.folder / "profiles", ("/bin/sh", "-c", "uname; sleep 0.2")
        with self.attached("record", "--containers", "--with-blocked", "-n", "-t", "raw-seccomp", "-o", str(profiles),
                           ready="Recording every container") as process:
            pid = self.run_numbered(0, *command)
            self.assertTrue(wait_until((profiles / f"pid-{pid}.json").exists))
            self.assertTrue(wait_until(lambda: self.run_numbered(pid, *command) == pid))
            again = profiles / f"pid-{pid}-{pid}.json"
            self.assertTrue(wait_until(again.exists))
            process.terminate()
        self.assertTrue(has_recorded(process.returncode, self.log), self.log)
        self.assertEqual(self.log.count(f"in container pid-{pid} by the filter that is in force: uname; added"), 2)
        self.assertIn("uname", allowed_by(again))

    def test_pid_of_another_container_watched(self) -> None:
        """What is blocked there is named as its own."""
        require(os.access(self.LAST_PID, os.W_OK), "a kernel that lets the next process's id be chosen")
        command = sys.executable, "-c", ("import ctypes, time\nopen('/proc/self/comm', 'w').write('numbered')\n"
                                         "ctypes.CDLL(None).syscall(63, 0); time.sleep(0.3)")
        one, two = (self.in_group(f"{number}{os.getpid():063x}") for number in (1, 2))
        events = self.folder / "events"
        with self.attached("watch", "--events", str(events), ready="Calls that a filter lets pass") as process:
            pid = self.run_numbered(0, *command, prefix=one)
            self.assertTrue(wait_until(lambda: self.run_numbered(pid, *command, prefix=two) == pid))
            process.send_signal(signal.SIGINT)
        self.assertTrue(has_watched(process.returncode, self.log), self.log)
        calls = map(json.loads, events.read_text().splitlines())
        self.assertEqual([call["container"] for call in calls if (call["tgid"], call["comm"]) == (pid, "numbered")],
                         ["100000000000", "200000000000"])

    def in_group(self, identifier: str) -> List[str]:
        """What starts a program in a container that is one by its control group."""
        group = self.cgroup(2) / identifier
        group.mkdir()
        self.addCleanup(self.remove_cgroup, group)
        return ["sh", "-c", f"echo $$ > {group}/cgroup.procs; exec \"$@\"", "sh"]

    @contextlib.contextmanager
    def await_group(self, identifier: str, *options: str) -> Iterator[List[str]]:
        """Wait for such a container: gives what starts a program in that."""
        prefix = self.in_group(identifier)
        with self.attached("record", "-n", "-t", "raw-seccomp", "-o", str(self.path), *options, "--container",
                           identifier, ready="Waiting for container"):
            yield prefix

    @unittest.skipUnless(ON_X86_64, "the numbers are those of x86-64")
    def test_nothing_but_blocked(self) -> None:
        """What a filter has stopped is said where it has let nothing pass, so that there is no profile."""
        three = build("three.c", "-static", "-nostdlib")
        program = NUMBERS_LOOP.format(numbers=[60, 102, 110]).partition("while")[0] + (
            "import os\nlibc.unshare(0x20000000)\nif os.fork(): os.wait(); os._exit(0)\n"
            f"os.execv({three!r}, ['three'])")
        for options in ((), ("--with-blocked",)):
            with self.subTest(options):
                with self.await_group(f"{os.getpid():064x}", *options) as prefix:
                    process = self.launch(*prefix, sys.executable, "-c", program)
                    self.assertTrue(wait_until(lambda: "Recording container" in (self.folder / "log").read_text()))
                    time.sleep(0.1)
                    os.kill(module.child_processes()[process.pid][0], signal.SIGKILL)
                self.assertIn("Blocked meanwhile by the filter that is in force: exit, getppid, getuid\n", self.log)
                self.assertIn("it made no call; no profile is written\n", self.log)

    def test_repeats_before_a_container(self) -> None:
        with self.attached("watch", ready="Calls that a filter lets pass") as process:
            self.launch(*self.starter("leader"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).wait(WAIT_S)
            process.send_signal(signal.SIGINT)
        self.assertRegex(self.log, r"Seccomp summary: uname .*\bstarter \(50\)")
        self.assertNotIn("not all blocked calls may be known", self.log)

    def test_refused(self) -> None:
        result = spoc("record", "--with-blocked", "--", "true")
        self.assertEqual(result.returncode, 2)
        self.assertEqual(result.stderr.partition(" Error: ")[2], (
            "usage: --with-blocked: a command is recorded under no filter; give it with --pid, --container, --unit or "
            "--cgroup; run --learn FILE allows what a profile blocks\n"))


class Room(unittest.TestCase):
    """What BlockedInContainers keeps of what processes without a known place are denied."""

    TIER = "pure"

    def read(self, containers: module.BlockedInContainers, watcher: mock.Mock, origins: Iterable[int]) -> None:
        watcher.read.return_value = [mock.Mock(origin=origin, tgid=0) for origin in origins]
        watcher.joined = []
        with mock.patch.object(module, "blocked_call_of", return_value={(module.X86_64, 63, 1): self.now}), \
                mock.patch.object(module, "place_of", return_value=None), \
                mock.patch.object(module, "boot_time_s", lambda: self.now):
            containers.read()

    def test_told_long_before_it_is_known(self) -> None:
        """A container that has ended when, at last, its start is dealt with has what its program was denied."""
        watcher, pid = mock.Mock(), 1 << 29
        containers = module.BlockedInContainers(watcher, lambda: None)
        for told_s, others in ((1000.0, 0), (900.0, 1)):  # before the start it was another process's
            self.now = told_s
            self.read(containers, watcher, [pid + others])
        self.now = 1010.0
        for number, calls in ((pid, [63]), (pid + 1, [])):
            started = mock.Mock(pid=number, entered={1: (number, 999.0)})
            with mock.patch.object(module, "boot_time_s", lambda: self.now):
                container = containers.of_container(started)
            self.assertEqual([call.number for call in container.calls()], calls)

    def test_of_containers_and_of_others(self) -> None:
        watcher = mock.Mock()
        watcher.losses.return_value = []
        containers = module.BlockedInContainers(watcher, lambda: None)
        containers.MAX_PROCESSES = 100  # each takes a millisecond here
        started = mock.Mock(pid=1 << 29, entered={1: ((1 << 29) + 1, 0.0)})  # no such process
        self.now = 1000.0
        with mock.patch.object(module, "boot_time_s", lambda: self.now):
            container = containers.of_container(started)
        self.read(containers, watcher, [(1 << 29) + 1])
        self.now += 100
        most = containers.MAX_PROCESSES
        self.read(containers, watcher, range(1, most))
        self.now += 100
        self.read(containers, watcher, [most, most + 1])
        self.read(containers, watcher, [1])
        self.assertEqual([call.number for call in container.calls()], [63])
        self.assertEqual(containers.losses(), [])
        self.read(containers, watcher, range(1, most + 1))  # too many at a time
        self.read(containers, watcher, [])
        self.assertEqual([call.number for call in container.calls()], [63])
        self.assertEqual(len(containers.losses()), 1)


@unittest.skipUnless(ON_X86_64, "the numbers are those of x86-64")
class InContainers(AttachCase):
    """Under the default profiles of Docker and Podman."""

    def setUp(self) -> None:
        super().setUp()
        self.name, self.other = (f"spoc-blocked-{os.getpid()}-{number}" for number in (1, 2))
        self.engines = Engines()
        self.addCleanup(self.engines.close)
        lines = "".join(call_line("n", number, arguments) + "\\n" for number, arguments in CALLS.values())
        self.command = "/bin/sh", "-c", f"printf '{lines}' | /call"

    def answers(self, engine: Engine, *options: str) -> Dict[str, str]:
        """What each call gets in a new container."""
        return dict(zip(CALLS, engine.run(self.name, *self.command, options=options).stdout.splitlines()))

    def record_container(self, engine: Engine, path: pathlib.Path, *options: str) -> List[str]:
        """Record a container in which that command is started; give what is said of blocked calls."""
        with self.attached("record", "-t", "raw-seccomp", "-o", str(path), *options, "--container",
                           self.name) as process:
            engine.execute(self.name, *self.command)
            process.terminate()
        self.assertEqual(process.returncode, 0, self.log)
        return re.findall(BLOCKED, self.log)

    def check(self, engine: Engine, at_least: Set[str]) -> None:
        """What gets another answer than without a filter is named, and gets that under the profile with it."""
        without, by_default = self.answers(engine, "--security-opt", "seccomp=unconfined"), self.answers(engine)
        blocked = sorted(name for name in CALLS if by_default[name] != without[name])
        self.assertLessEqual(at_least, set(blocked), (without, by_default))
        path = self.folder / f"{engine.name}.json"
        engine.start(self.name, "/bin/sleep", "1000")
        try:
            said = self.record_container(engine, path)
            added = [name for name in blocked if name not in allowed_by(path)]  # the others are base syscalls
            self.assertTrue(added)
            self.assertEqual(said, [f"{', '.join(blocked)}; --with-blocked adds " + (
                ", ".join(added) if added != blocked else "it" if len(blocked) == 1 else "them")])
            self.assertEqual(self.answers_under(engine, path), {**without, **dict.fromkeys(added, "! 1")})
            self.assertEqual(self.record_container(engine, path, "--append", "--with-blocked"),
                             [f"{', '.join(blocked)}; added to the profile"])
            self.assertLessEqual(set(blocked), allowed_by(path))
            self.assertEqual(self.watched(engine), set(blocked))
            self.assertEqual(self.answers_under(engine, path), without)
        finally:
            engine.remove(self.name)

    def watched(self, engine: Engine) -> Set[str]:
        """What `watch` names of the same, as that container's."""
        where = f"container: {self.name}"
        with self.attached("watch", "--container", self.name, ready="Calls that a filter lets pass") as process:
            engine.execute(self.name, *self.command)
            process.terminate()
        self.assertEqual(process.returncode, 0, self.log)
        return set(re.findall(rf"Seccomp: (\w+) .*, action: SCMP_ACT_ERRNO .*, comm: call, {where}\n", self.log))

    def blocked_by_default(self, engine: Engine) -> List[str]:
        """What gets another answer in a container than without a filter."""
        without, by_default = self.answers(engine, "--security-opt", "seccomp=unconfined"), self.answers(engine)
        return sorted(name for name in CALLS if by_default[name] != without[name])

    def test_yet_to_start(self) -> None:
        """Of a container that is waited for, and of all with --containers, what is stopped from the first call on."""
        for runtime in ("crun", "runc"):
            engine = self.engines.podman(runtime)
            blocked = ", ".join(self.blocked_by_default(engine))
            path, folder = self.folder / f"{runtime}.json", self.folder / runtime
            with self.subTest(runtime):
                with self.attached("record", "-t", "raw-seccomp", "-o", str(path), "--with-blocked", "--container",
                                   self.name, ready="Waiting for container"):
                    engine.run(self.name, *self.command)
                self.assertEqual(re.findall(BLOCKED, self.log), [f"{blocked}; added to the profile"], self.log)
                self.assertLessEqual(set(blocked.split(", ")), allowed_by(path))
            with self.subTest(runtime, all=True):
                with self.attached("record", "-t", "raw-seccomp", "-o", str(folder), "--with-blocked", "--containers",
                                   ready="Recording every container") as process:
                    engine.run(self.name, *self.command)
                    engine.run(self.other, "/bin/true")
                    self.assertTrue(wait_until((folder / f"{self.other}.json").exists))
                    process.terminate()
                self.assertTrue(has_recorded(process.returncode, self.log), self.log)
                self.assertIn(f"Blocked meanwhile in container {self.name} by the filter that is in force: {blocked}; "
                              "added to the profile\n", self.log)
                self.assertLessEqual(set(blocked.split(", ")), allowed_by(folder / f"{self.name}.json"))
                self.assertNotIn(f"in container {self.other} by", self.log)

    def test_engine_under_a_filter(self) -> None:
        """Where the engine is under a filter itself, as a service of systemd may be, what descends from it counts for
        the container all the same, also when that has ended before it is asked for.
        """
        for runtime in ("crun", "runc"):
            engine = self.engines.podman(runtime)
            blocked = self.blocked_by_default(engine)
            policy, path = self.folder / "policy.json", self.folder / f"{runtime}.json"
            policy.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
                {"names": ["swapoff"], "action": "SCMP_ACT_ERRNO"}]}))
            engine.prefix = (sys.executable, str(SPOC), "run", "-q", "-p", str(policy), "--enricher", "none", "--",
                             *engine.prefix)
            with self.subTest(runtime, command="record"):
                with self.attached("record", "-t", "raw-seccomp", "-o", str(path), "--with-blocked", "--container",
                                   self.name, ready="Waiting for container"):
                    engine.run(self.name, *self.command)
                self.assertEqual(re.findall(BLOCKED, self.log), [f"{', '.join(blocked)}; added to the profile"])
            with self.subTest(runtime, command="watch"):
                events = self.folder / f"{runtime}.events"
                with self.attached("watch", "--events", str(events), ready="Calls that a filter lets pass") as process:
                    process.send_signal(signal.SIGSTOP)  # so that who makes the calls has ended when it is told
                    engine.start(self.name, *self.command[:-1], self.command[-1] + "; echo done; sleep 1000")
                    try:
                        self.assertTrue(wait_until(lambda: "done" in engine("logs", self.name).stdout))
                        process.send_signal(signal.SIGCONT)
                        self.assertTrue(wait_until(lambda: set(blocked) <= self.blocked_in_containers(events)))
                    finally:
                        engine.remove(self.name)
                    process.terminate()

    def blocked_in_containers(self, events: pathlib.Path) -> Set[str]:
        """What `watch` has written of /call in containers."""
        calls = map(json.loads, events.read_text().splitlines())
        return {call["name"] for call in calls if call["comm"] == "call" and call["container"]}

    def test_entered_from_outside(self) -> None:
        """What an engine starts in a container that runs, and has ended before it is told of."""
        engine = self.engines.podman("crun")
        blocked = self.blocked_by_default(engine)
        with self.attached("record", "-t", "raw-seccomp", "-o", str(self.folder / "profiles"), "--with-blocked",
                           "--containers", ready="Recording every container") as process:
            engine.start(self.name, "/bin/sleep", "1000")
            try:
                started = f"Recording container {self.name} "
                self.assertTrue(wait_until(lambda: started in (self.folder / "log").read_text()))
                process.send_signal(signal.SIGSTOP)
                engine.execute(self.name, *self.command)
                process.send_signal(signal.SIGCONT)
            finally:
                engine.remove(self.name)
            process.terminate()
        self.assertTrue(has_recorded(process.returncode, self.log), self.log)
        self.assertIn(f"Blocked meanwhile in container {self.name} by the filter that is in force: "
                      f"{', '.join(blocked)}; added to the profile\n", self.log)

    def test_shared_pid_namespace(self) -> None:
        """What is stopped in a container that has joined another's pid namespace is its own."""
        engine = self.engines.podman("crun")
        with self.attached("record", "-t", "raw-seccomp", "-o", str(self.folder / "profiles"), "--with-blocked",
                           "--containers", ready="Recording every container") as process:
            engine.start(self.other, "/bin/sleep", "1000")
            self.addCleanup(engine.remove, self.other)
            engine.start(self.name, "/bin/sh", "-c", f"{self.command[2]}; exec /bin/sleep 1000",
                         options=("--pid", f"container:{self.other}"))
            self.addCleanup(engine.remove, self.name)
            pid = engine.pid(self.name)
            self.assertTrue(wait_until(lambda: module.process_name(pid) == "sleep"))
            process.terminate()
        self.assertRegex(self.log, f"Blocked meanwhile in container {self.name} by .*perf_event_open")
        self.assertNotIn(f"in container {self.other} by", self.log)

    def test_no_false_line(self) -> None:
        """A busy container under the default profile, attached to again and again."""
        engine = self.engines.podman("crun")
        engine.start(self.name, "/bin/sh", "-c", "while :; do /bin/ls / >/dev/null; done")
        self.addCleanup(engine.remove, self.name)
        for number in range(14):
            with self.subTest(number):
                watcher = module.open_scope_watcher(module.this_machine(), module.container_scope(self.name))
                try:
                    self.assertTrue(watcher.join())
                    time.sleep(0.3)
                    self.assertEqual([*watcher.read(), *watcher.finish(), *watcher.losses()], [])
                finally:
                    watcher.close()

    def answers_under(self, engine: Engine, path: pathlib.Path) -> Dict[str, str]:
        engine.remove(self.name)
        answers = self.answers(engine, "--security-opt", f"seccomp={path}")
        engine.start(self.name, "/bin/sleep", "1000")
        return answers

    def test_podman(self) -> None:
        for runtime in ("crun", "runc"):
            with self.subTest(runtime):
                self.check(self.engines.podman(runtime), {"io_uring_setup", "perf_event_open"})

    def test_docker(self) -> None:
        docker, _ = self.engines.docker_and_containerd()
        with mock.patch.dict(os.environ, {"DOCKER_HOST": f"unix://{self.engines.docker_socket}"}):
            self.check(docker, {"clone3", "keyctl", "mount", "unshare"})

    def test_no_filter(self) -> None:
        engine = self.engines.podman("crun")
        engine.start(self.name, "/bin/sleep", "1000", options=("--security-opt", "seccomp=unconfined"))
        self.addCleanup(engine.remove, self.name)
        self.assertEqual(self.record_container(engine, self.folder / "recorded.json", "--with-blocked"), [])
        self.assertNotIn("Blocked", self.log)
