# SPDX-License-Identifier: MIT
"""`record` of containers that are yet to start: of one that is waited for, and of all, with the engines that people
use."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
from typing import Any, Callable, Iterator, List, Sequence, Set
from unittest import mock

import spoc as module
from cases import AttachCase
from engines import IMAGE, OF_RUNTIMES, ONE, SHELL_LOOP, TWO, Engine, Engines
from support import (NEWER_KERNEL_CALLS, SOURCE, WAIT_S, has_recorded, kernel_calls, seen_syscalls, spoc,
                     wait_until)

TIER = "kernel"

THREE_CALLS = {"getppid", "getuid", "exit"}  # of three.c
READY = "Recording every container that starts from now on"


class StartsCase(AttachCase):
    """Records what starts meanwhile."""

    def setUp(self) -> None:
        super().setUp()
        self.profiles = self.folder / "profiles"

    @contextlib.contextmanager
    def recorded(self, *options: str, signum: int = signal.SIGINT,
                 code: int = 0) -> Iterator["subprocess.Popen[Any]"]:
        """All that starts meanwhile is recorded, into raw-seccomp profiles without base syscalls, by this process."""
        with self.attached("record", "--containers", "-n", "-t", "raw-seccomp", "-o", str(self.profiles), *options,
                           ready=READY) as process:
            try:
                yield process
            finally:
                process.send_signal(signum)
        if code:
            self.assertEqual(process.returncode, code, self.log)
        else:
            self.assertTrue(has_recorded(process.returncode, self.log), self.log)

    def log_so_far(self) -> str:
        return (self.folder / "log").read_text()

    def wait_logged(self, pattern: str, times: int = 1) -> None:
        self.assertTrue(wait_until(lambda: len(re.findall(pattern, self.log_so_far())) >= times), self.log_so_far())

    def wait_written(self, path: pathlib.Path, times: int = 1) -> None:
        """Wait until this profile has been written so often, or needed nothing more."""
        self.wait_logged(f"(?:Wrote seccomp profile|Added nothing) to: {path}\n", times)

    def profile(self, name: str) -> pathlib.Path:
        return self.profiles / f"{name}.json"

    def names_in(self, path: pathlib.Path) -> Set[str]:
        """What a profile allows but for what the kernel makes by itself."""
        document = json.loads(path.read_text())
        names = {name for rule in document["syscalls"] for name in rule["names"]}
        return names - kernel_calls(document) - NEWER_KERNEL_CALLS


class EnginesCase(StartsCase):
    """The same with engines."""

    def setUp(self) -> None:
        super().setUp()
        self.engines = Engines()
        self.addCleanup(self.engines.close)

    def every_engine(self) -> Iterator[Engine]:
        """Each engine, and without root."""
        for runtime in ("crun", "runc"):
            yield self.engines.podman(runtime)
        yield self.engines.podman("crun", rootless=True)
        yield from self.engines.docker_and_containerd()


class Everything(EnginesCase):
    """--containers."""

    def test_engines(self) -> None:
        """A profile for each container, named after it, with all that is done in it and nothing of the runtime."""
        engines = list(self.every_engine())
        with mock.patch.dict(os.environ, {"DOCKER_HOST": f"unix://{self.engines.docker_socket}"}), self.recorded():
            for number, engine in enumerate(engines):
                name = f"{ONE}-{number}"
                engine.start(name, *SHELL_LOOP)
                self.addCleanup(engine.remove, name)
                identifier = engine.identifier(name)
                short = "" if identifier == name else rf" \({identifier[:12]}\)"
                self.wait_logged(rf"Recording container {engine.called(name)}{short}, PID {engine.pid(name)}\n")
                engine.execute(name, "/three")
                engine.execute(name, "/bin/id")
                engine.remove(name)
                self.wait_written(self.profile(engine.called(name)))
        paths = [self.profile(engine.called(f"{ONE}-{number}")) for number, engine in enumerate(engines)]
        self.assertEqual({path for path in self.profiles.iterdir() if ONE in path.name}, set(paths))
        for path, engine in zip(paths, engines):
            with self.subTest(engine=engine.name):
                names = self.names_in(path)
                self.assertLessEqual({"getdents64", "wait4", "getgroups", "execve", "getppid", "getuid"}, names)
                self.assertEqual(names & OF_RUNTIMES, set())

    def test_forged_monitor(self) -> None:
        """Another user's program that calls itself the monitor of a container adds nothing to its profile."""
        engine = self.engines.podman("crun")
        script = self.folder / "conmon"
        self.folder.chmod(0o755)
        script.write_text('#!/bin/sh\nunshare --user --pid --fork nice -n 1 sleep 0.3\n')
        script.chmod(0o755)
        with self.recorded():
            engine.start(ONE, *SHELL_LOOP)
            self.addCleanup(engine.remove, ONE)
            identifier = engine.identifier(ONE)
            self.wait_logged(rf"Recording container {ONE} ")
            for _ in range(2):
                subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", str(script), "-c",
                                identifier, "-n", ONE], check=True)
                if engine("ps", "--quiet", check=False).stdout:
                    engine.remove(ONE)
            self.wait_written(self.profile(ONE))
        self.assertNotIn("setpriority", self.names_in(self.profile(ONE)))
        self.assertIn("setpriority", self.names_in(self.profile(f"uid-65534-{ONE}")))

    def test_below_what_runs(self) -> None:
        """What a container that runs already starts in a namespace of its own is not taken for the container."""
        engine = self.engines.podman("crun")
        for number, options in enumerate(((), ("--pid", "host"))):
            with self.subTest(options):
                name = f"{ONE}-{number}"
                engine.start(name, *SHELL_LOOP, options=(*options, "--cap-add", "SYS_ADMIN", "--security-opt",
                                                         "seccomp=unconfined"))
                self.addCleanup(engine.remove, name)
                with self.recorded():
                    engine.execute(name, "/bin/unshare", "-pf", "/bin/sleep", "1")  # long enough to be looked at
                    self.wait_not_taken(engine, name)

    def test_gone_below_what_runs(self) -> None:
        """Nor is it where it has gone before it is looked at: its parent is looked at then."""
        engine = self.engines.podman("crun")
        engine.start(ONE, *SHELL_LOOP, options=("--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined"))
        self.addCleanup(engine.remove, ONE)
        root = pathlib.Path(f"/proc/{engine.pid(ONE)}/root")
        with self.recorded() as recorder:
            recorder.send_signal(signal.SIGSTOP)
            engine("exec", "--detach", ONE, "/bin/unshare", "-p", "/bin/sh", "-c",
                   "/bin/true; : >/gone; exec /bin/sleep 1000")
            self.assertTrue(wait_until((root / "gone").exists))
            recorder.send_signal(signal.SIGCONT)
            self.wait_not_taken(engine, ONE)

    def wait_not_taken(self, engine: Engine, name: str) -> None:
        """Wait until all that has started by now has been dealt with: nothing of it is this container's."""
        engine.run(TWO, "/bin/id")
        self.wait_written(self.profile(TWO))
        self.assertFalse(self.profile(name).exists(), self.log_so_far())
        self.assertNotIn(f"container {name}", self.log_so_far())


class Waited(EnginesCase):
    """--container with the name of one that does not run yet."""

    def test_three_calls(self) -> None:
        """It is recorded from its program's first call on, with each engine: exactly what that makes."""
        engines = list(self.every_engine())
        path = self.folder / "waited.json"
        with mock.patch.dict(os.environ, {"DOCKER_HOST": f"unix://{self.engines.docker_socket}"}):
            for engine in engines:
                with self.subTest(engine=engine.name):
                    with self.attached("record", "-n", "-t", "raw-seccomp", "-o", str(path), "--container",
                                       engine.called(TWO),
                                       ready=f"Waiting for container {engine.called(TWO)}; ") as process:
                        engine.run(ONE, "/bin/id")  # another
                        self.addCleanup(engine.remove, TWO)
                        for _ in range(4):  # while the machine is busy, its name may be gone before it is looked for
                            if engine.name == "docker":  # which forgets its name soon, if it is asked to remove it
                                engine("create", "--network", "none", "--name", TWO, IMAGE, "/three")
                                engine("start", TWO)
                            else:
                                engine.run(TWO, "/three")
                            with contextlib.suppress(subprocess.TimeoutExpired):
                                process.wait(15)
                                break
                            engine.remove(TWO)
                    self.assertEqual(seen_syscalls(json.loads(path.read_text()), self.log), THREE_CALLS)
                    self.assertRegex(self.log, rf"Recording container {engine.called(TWO)}\b")
                    path.unlink()

    def test_typed_wrongly(self) -> None:
        """It says what runs, goes on waiting, and leaves everything as it was when it is asked to stop."""
        engine = self.engines.podman("crun")
        engine.start(ONE, "/bin/sleep", "1000")
        self.addCleanup(engine.remove, ONE)
        path = self.folder / "waited.json"
        for signum in (signal.SIGINT, signal.SIGTERM):
            with self.attached("record", "-o", str(path), "--container", TWO,
                               ready=f"Waiting for container {TWO}; ") as process:
                engine.run(f"{TWO}-not", "/bin/id")
                process.send_signal(signum)
            self.assertEqual(process.returncode, 125, self.log)
            self.assertRegex(self.log, rf"those that run: .*\b{ONE}\b")
            self.assertIn(f"record: container {TWO}: it has not started; no profile is written", self.log)
            self.assertFalse(path.exists())
        with self.attached("record", "-o", str(path), "--container", ONE[:3],
                           ready="Waiting for container ") as process:
            process.terminate()
        self.assertRegex(self.log, r"(?m); did you mean spoc-\d+-[^ ]*\?$")
        self.assertRegex(spoc("watch", "--container", ONE[:3]).stderr, r"; did you mean spoc-\d+-[^ ]*\?\n\Z")

    def test_shares_a_pid_namespace(self) -> None:
        """Where no start is seen: that is said as it is waited for and, if it runs, in the end; what was said to do
        records it.
        """
        engine = self.engines.podman("crun")
        self.addCleanup(engine.remove, ONE)
        self.addCleanup(engine.remove, TWO)
        engine.start(ONE, "/bin/sleep", "1000")
        unseen = "; a start with --pid host, or another container's, is not seen; "
        command = ("record", "-o", str(self.folder / "waited.json"), "--container", TWO)
        for namespace in ("host", f"container:{ONE}"):
            for name in (f"{TWO}-not", TWO):
                with self.attached(*command, ready=f"Waiting for container {TWO}{unseen}") as process:
                    engine.start(name, *SHELL_LOOP, options=("--pid", namespace))
                    process.terminate()
                self.assertEqual(process.returncode, 125, self.log)
                if name == TWO:
                    self.assertIn(
                        f"record: container {TWO}: it runs, but its start was not seen; no profile is written{unseen}"
                        "type the same again to record it as it runs\n", self.log)
                else:
                    engine.remove(name)
                    self.assertIn(f": it has not started; no profile is written{unseen[:-2]}\n", self.log)
            with self.attached(*command, ready="Processing events") as process:
                time.sleep(0.5)
                process.terminate()
            self.assertEqual(process.returncode, 0, self.log)
            (self.folder / "waited.json").unlink()
            engine.remove(TWO)

    def test_ends_with_the_container_or_a_signal(self) -> None:
        """What is started in it counts as well; neighbours do not."""
        engine = self.engines.podman("runc")
        path = self.folder / "waited.json"
        for signum in (None, signal.SIGTERM):
            with self.attached("record", "-n", "-t", "raw-seccomp", "-o", str(path), "--checkpoint", "1", "--container",
                               TWO, ready=f"Waiting for container {TWO}; ") as process:
                engine.start(TWO, "/bin/sleep", "1000")
                self.addCleanup(engine.remove, TWO)
                engine.execute(TWO, "/three")
                engine.run(ONE, "/bin/id")
                self.assertTrue(wait_until(lambda: path.exists() and "getppid" in path.read_text()))
                if signum:
                    process.send_signal(signum)
                else:
                    engine.remove(TWO)
            self.assertEqual(process.returncode, 0, self.log)
            self.assertEqual(bool(signum), f"1 task of container {TWO} runs on" in self.log)
            names = seen_syscalls(json.loads(path.read_text()), self.log)
            self.assertLessEqual({*THREE_CALLS, "clock_nanosleep"}, names)
            self.assertEqual(names & {*OF_RUNTIMES, "getgroups"}, set())
            engine.remove(TWO)
            path.unlink()

    def test_made_and_not_started(self) -> None:
        """What its runtime does until then is none of the container's."""
        for runtime in ("crun", "runc"):
            engine = self.engines.podman(runtime)
            for options in (("--container", TWO), ("--containers",)):
                with self.subTest(runtime, options=options):
                    engine("create", "--network", "none", "--name", TWO, IMAGE, "/three")
                    self.addCleanup(engine.remove, TWO)
                    engine("init", TWO)
                    is_one = options[0] == "--container"
                    path = self.folder / "waited.json" if is_one else self.profile(TWO)
                    output = path if is_one else self.profiles
                    with self.attached("record", "-n", "-t", "raw-seccomp", "-o", str(output), *options,
                                       ready="Waiting for" if is_one else READY) as process:
                        engine("start", TWO)
                        if not is_one:
                            self.wait_written(path)
                            process.terminate()
                    engine.remove(TWO)
                    self.assertEqual(seen_syscalls(json.loads(path.read_text()), self.log) if is_one else
                                     self.names_in(path) | {"exit"}, THREE_CALLS)
                    path.unlink()

    def test_id(self) -> None:
        """The id that an engine gives is known before the container starts."""
        engine = self.engines.podman("crun")
        created = engine("create", "--network", "none", "--name", TWO, IMAGE, "/three")
        self.addCleanup(engine.remove, TWO)
        identifier = created.stdout.strip()
        for name in (identifier, identifier[:12]):
            with self.attached("record", "-n", "-o", "-", "--container", name, ready="Waiting for") as process:
                engine("start", TWO)
            self.assertTrue(wait_until(lambda: not any(container.identifier == identifier
                                                       for container in module.running_containers())))
            self.assertEqual(process.returncode, 0, self.log)
            self.assertIn("Got syscalls: exit, getppid, getuid\n", self.log)
            self.assertIn("kind: SeccompProfile", self.output)


class Profiles(EnginesCase):
    """What --containers writes."""

    def test_starts_its_container(self) -> None:
        """A profile that was recorded starts its container again, and blocks nothing of it."""
        docker, _ = self.engines.docker_and_containerd()
        engines = [self.engines.podman("crun"), self.engines.podman("runc"), docker]
        program = ("/bin/sh", "-c", "/bin/ls / >/dev/null; /bin/id >/dev/null; /bin/sleep 0.3; echo done")
        for number, engine in enumerate(engines):
            for init in ((), ("--init",)) if shutil.which("catatonit") else ((),):
                with self.subTest(engine=engine.name, init=init):
                    name = f"{ONE}-{number}-{len(init)}"
                    with mock.patch.dict(os.environ, {"DOCKER_HOST": f"unix://{self.engines.docker_socket}"}), \
                            self.attached("record", "--containers", "-t", "raw-seccomp", "-o", str(self.profiles),
                                          ready=READY) as process:
                        engine.run(name, *program, options=init)
                        self.wait_written(self.profile(name))
                        process.terminate()
                    with self.attached("watch", ready="Calls that a filter lets pass and logs") as watch:
                        engine("create", "--network", "none", "--name", name, *init, "--security-opt",
                               f"seccomp={self.profile(name)}", IMAGE, *program)
                        self.addCleanup(engine.remove, name)
                        identifier = engine.identifier(name)
                        result = engine("start", "--attach", name)
                        watch.terminate()
                    self.assertEqual(result.stdout, "done\n")
                    self.assertNotIn(f"container: {identifier[:12]}", self.log)

    def test_names(self) -> None:
        """Nothing is lost where several containers have the same name, and --append unites them."""
        engine = self.engines.podman("crun")
        with self.recorded():
            engine.run(ONE, "/bin/sh", "-c", "/bin/id; /bin/sleep 0.2")
            self.wait_written(self.profile(ONE))
            engine.run(ONE, "/bin/sh", "-c", "/bin/ls; /bin/sleep 0.2")
            self.wait_logged(rf"Wrote seccomp profile to: {self.profiles}/{ONE}-[0-9a-f]{{12}}\.json\n")
        first, second = sorted(self.profiles.glob(f"{ONE}*"), key=lambda path: len(path.name))
        self.assertIn(f"Its profile will be {second}: another container of that name has the other", self.log)
        self.assertIn("getgroups", self.names_in(first))
        self.assertNotIn("getdents64", self.names_in(first))
        self.assertIn("getdents64", self.names_in(second))
        with self.recorded("--append"):
            for times, command in enumerate(("/bin/mkdir /new", "/bin/ls"), 1):
                engine.run(ONE, "/bin/sh", "-c", f"{command}; /bin/sleep 0.2")
                self.wait_written(self.profile(ONE), times)
        self.assertLessEqual({"mkdir", "getdents64", "getgroups"}, self.names_in(first))
        with self.recorded():  # which replaces what an earlier run has left
            engine.run(ONE, "/bin/sleep", "0.2")
            self.wait_written(self.profile(ONE))
        self.assertNotIn("getgroups", self.names_in(first))

    def test_append_and_the_start(self) -> None:
        """The first recording of a name gets the base syscalls; to a profile that has none, none are added."""
        engine = self.engines.podman("crun")
        path, base = self.profile(ONE), {"mount", "setns", "execve"}
        for content, present in (("", True), (None, True),
                                 (json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "architectures": []}), False)):
            if content is not None:
                self.profiles.mkdir(exist_ok=True)
                path.write_text(content)
            with self.attached("record", "--containers", "--append", "-t", "raw-seccomp", "-o", str(self.profiles),
                               ready=READY) as process:
                engine.run(ONE, "/bin/sleep", "0.2")
                self.wait_written(path)
                process.terminate()
            self.assertEqual(base <= self.names_in(path), present)
            self.assertEqual(f"Left out base syscalls that the profile in container {ONE} lacks: " in self.log,
                             not present)

    def test_shared_pid_namespace(self) -> None:
        """Each container of a pod has a profile of its own, and so has one that joins another's namespace."""
        engine = self.engines.podman("crun")
        with self.recorded():
            engine.start(ONE, "/bin/sleep", "1000")
            self.addCleanup(engine.remove, ONE)
            engine.run(TWO, "/bin/sh", "-c", "/bin/id; /bin/sleep 0.2", options=("--pid", f"container:{ONE}"))
            self.wait_written(self.profile(TWO))
            engine.execute(ONE, "/bin/ls")
            engine.remove(ONE)
            self.wait_written(self.profile(ONE))
        self.assertIn("getgroups", self.names_in(self.profile(TWO)))
        self.assertNotIn("getdents64", self.names_in(self.profile(TWO)))
        self.assertIn("getdents64", self.names_in(self.profile(ONE)))
        self.assertNotIn("getgroups", self.names_in(self.profile(ONE)))

    def test_twenty_at_once(self) -> None:
        """Each has what it does itself, and nothing of the others."""
        engine, own = self.engines.podman("crun"), {
            "/bin/id": "getgroups", "/bin/ls": "getdents64", "/bin/mkdir /new": "mkdir"}
        names = {f"{ONE}-{number}": list(own)[number % len(own)] for number in range(20)}
        with self.recorded():
            starting = [subprocess.Popen([*engine.prefix, "run", "--rm", "--network", "none", "--name", name, IMAGE,
                                          "/bin/sh", "-c", f"{words}; /bin/sleep 0.5"],
                                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                        for name, words in names.items()]
            for process in starting:
                process.wait(WAIT_S)
            for name in names:
                self.wait_written(self.profile(name))
        for name, words in names.items():
            found = self.names_in(self.profile(name)) & set(own.values())
            self.assertEqual(found, {own[words]}, (name, words))

    def test_hooks(self) -> None:
        """What a runtime's hooks do in the container is not in its profile, and has none of its own."""
        for runtime in ("crun", "runc"):
            engine = self.engines.podman(runtime)
            prefix = engine.prefix
            for stage, path in (("createContainer", f"{self.engines.tree}/bin/id"), ("startContainer", "/bin/id")):
                with self.subTest(runtime=runtime, stage=stage):
                    hooks = self.folder / f"{runtime}-{stage}"
                    hooks.mkdir()
                    (hooks / "hook.json").write_text(json.dumps({
                        "version": "1.0.0", "hook": {"path": path}, "when": {"always": True}, "stages": [stage]}))
                    engine.prefix = (*prefix, "--hooks-dir", str(hooks))
                    with self.recorded():
                        engine.run(TWO, "/three")
                        self.wait_written(self.profile(TWO))
                    self.assertEqual(self.names_in(self.profile(TWO)), THREE_CALLS - {"exit"})
                    self.assertNotIn(" (id)", self.log)

    def test_what_is_in_the_way(self) -> None:
        """The next name is taken; where none can be the profile is printed rather than lost."""
        engine = self.engines.podman("crun")
        with self.recorded(code=125):
            os.mkfifo(self.profile(ONE))
            engine.run(ONE, "/three")
            self.wait_logged(f"Wrote seccomp profile to: {self.profiles}/{ONE}-")
            identifier = engine("create", "--network", "none", "--name", TWO, IMAGE, "/three").stdout[:12]
            self.addCleanup(engine.remove, TWO)
            for name in (TWO, f"{TWO}-{identifier}", f"{TWO}-{identifier}-2"):
                self.profile(name).mkdir()
            engine("start", TWO)
            self.wait_logged("Wrote seccomp profile to: /dev/stderr")
        self.assertIn(f"write profile: {self.profile(ONE)}: it is not a regular file; ", self.log)
        self.assertIn(f"write profile: {self.profile(TWO)}: Is a directory; ", self.log)
        self.assertRegex(self.log, r'"getppid"')


class Namespaces(StartsCase):
    """--containers of what makes a pid namespace without an engine."""

    def test_a_container_that_was_gone_when_it_was_looked_at_may_start_again(self) -> None:
        """What is listed as running may have ended before its start is asked for."""
        with self.launch("sleep", "1000") as process:
            listed = module.RunningContainer("c", "c", process.pid)
            for is_gone in (False, True):
                with module.StartRecorder(module.this_machine()) as recorder:
                    recorder.load()
                    recorder.attach()
                    recorder.begin_all([listed])
                    self.assertEqual(recorder._is_running(module.ContainerIdentity("c")), not is_gone)
                process.kill()
                process.wait()

    def test_options(self) -> None:
        """--stats counts the calls of each, --args narrows them, and --checkpoint writes meanwhile."""
        program = "import os, sys, time\nfor _ in range(int(sys.argv[1])): os.getppid()\ntime.sleep(float(sys.argv[2]))"
        with self.recorded("--stats", "--args", "prctl", "--checkpoint", "1", signum=signal.SIGTERM):
            long = self.launch("unshare", "-pf", sys.executable, "-c", program, "300", "1000")
            self.wait_logged(r"Recording container pid-\d+ \(python3\)")
            subprocess.run(["unshare", "-pf", sys.executable, "-c", program, "70", "0.1"], check=True)
            self.wait_logged(r"(?m)^getppid +70 ")
            child, = module.child_processes()[long.pid]
            path = self.profile(f"pid-{child}")
            self.assertTrue(wait_until(path.exists))
            self.assertIn("getppid", self.names_in(path))
        self.assertRegex(self.log, r"(?m)^getppid +300 ")
        self.assertIn(f"1 task of container pid-{child} runs on and is not recorded any more", self.log)
        self.assertIn(f" The profile in container pid-{child} does not allow execve, so no runtime can start a "
                      "container under it: without -n and -b it allows what that takes\n", self.log)

    def test_more_than_there_is_room_for(self) -> None:
        """What is not recorded is counted and said, and makes the exit code."""
        script = self.folder / "few.py"
        script.write_text(f"import sys\nsys.path.insert(0, {str(SOURCE.parent)!r})\nimport spoc\nspoc.GROUPS = 2\n"
                          "sys.exit(spoc.main())")
        log = self.folder / "log"
        with open(log, "w") as stderr:
            recorder = self.launch(sys.executable, str(script), "record", "--containers", "-o", str(self.profiles),
                                   stderr=stderr)
        self.wait_logged(READY)
        for _ in range(4):
            self.launch("unshare", "-pf", "--kill-child", "sleep", "1000")
        self.wait_logged("programs? (has|have) started in containers unrecorded so far: more than 2 containers")
        recorder.terminate()
        self.assertEqual(recorder.wait(WAIT_S), 125)
        self.assertGreaterEqual(len(list(self.profiles.iterdir())), 1)

    def waited(self, *lines: str) -> "subprocess.Popen[bytes]":
        """--container of one that never starts, with some constants changed."""
        script = self.folder / "waited.py"
        script.write_text(f"import sys\nsys.path.insert(0, {str(SOURCE.parent)!r})\nimport spoc\n"
                          + "\n".join(lines) + "\nsys.exit(spoc.main())\n")
        with open(self.folder / "log", "w") as stderr:
            process = self.launch(sys.executable, str(script), "record", "-o", str(self.folder / "waited.json"),
                                  "--container", TWO, stderr=stderr)
        self.wait_logged(f"Waiting for container {TWO}; ")
        return process

    def test_waiting_for_how_an_id_begins(self) -> None:
        """It is said what it takes: 12 digits or more; of a name, or of those, it is not."""
        hint = "if that is an id, type 12 of its digits; "
        for name, expected in (("bc49a3ec012", True), ("bc49a3ec0123", False), (f"bc49-{TWO}", False)):
            with self.attached("record", "-o", str(self.folder / "waited.json"), "--container", name,
                               ready=f"Waiting for container {name}; ") as process:
                process.terminate()
            self.assertEqual(f"Waiting for container {name}; {hint}" in self.log, expected)
            self.assertEqual(hint in self.log, expected)

    def test_waiting_with_no_room(self) -> None:
        """Who waits for a container learns that it may have started unseen."""
        recorder = self.waited("spoc.GROUPS = 2")
        for _ in range(4):
            self.launch("unshare", "-pf", "--kill-child", "sleep", "1000")
        self.wait_logged("The container may have started unseen: [1-9] programs? ha(s|ve) started in containers ")
        recorder.terminate()
        self.assertEqual(recorder.wait(WAIT_S), 125)
        self.assertRegex(self.log_so_far(), f"container {TWO}: it has not started, as far as was seen: .*; no profile ")

    def check_is_waited_for(self, *lines: str) -> None:
        """Nothing has started of it in the end."""
        recorder = self.waited(*lines)
        recorder.terminate()
        self.assertEqual(recorder.wait(WAIT_S), 125)
        self.assertIn(f"container {TWO}: it has not started; no profile is written", self.log_so_far())

    def test_ended_while_the_recorder_loads(self) -> None:
        """It is waited for as if it had not run: if it has gone when it is looked for, or when it is attached to; and
        one that ran when the command was typed, too.
        """
        process = self.launch("sleep", "1000")
        container = f"spoc.RunningContainer({'0' * 64!r}, {TWO!r}, {process.pid})"
        begun = "spoc.begun_containers = lambda: lists.pop(0) if lists else []"
        gone = ("class Gone(spoc.ProcessTree):\n    def tasks(self): return set()",
                f"spoc.container_scope = lambda name: Gone([{process.pid}])")
        self.check_is_waited_for(f"lists = [[], [{container}]]", begun)
        self.check_is_waited_for(f"lists = [[], [{container}]]", begun, *gone)
        self.check_is_waited_for(f"lists = [[{container}]]", begun, *gone)

    def test_started_again_while_the_recorder_loads(self) -> None:
        """What its runtime has not made yet can be attached to by nothing: it is waited for, and recorded."""
        process = self.launch("sleep", "1000")
        first, second = (f"spoc.RunningContainer({'0' * 64!r}, {TWO!r}, {pid})" for pid in (process.pid, 1))
        refuse = "def refuse(name): raise spoc.SpocError('attach to', name, 'no pid namespace is its own')"
        recorder = self.waited(f"lists = [[], [{first}], [{second}]]",
                               "spoc.begun_containers = lambda: lists.pop(0) if lists else []",
                               refuse, "spoc.container_scope = refuse")
        recorder.terminate()
        self.assertEqual(recorder.wait(WAIT_S), 125)
        self.assertIn(f"container {TWO}: it has not started; no profile is written", self.log_so_far())

    def test_no_room_for_its_namespace(self) -> None:
        """A container is recorded with all that starts in it, also where others' namespaces take all the room."""
        program = self.folder / f"in-{os.getpid()}"
        program.symlink_to("/bin/sh")
        self.launch("unshare", "-pf", "--kill-child", "sleep", "1000")
        found: List[module.StartedContainer] = []
        with mock.patch.object(module, "MAX_NAMESPACES", 1), module.StartRecorder(module.this_machine()) as recorder:
            recorder.load()
            recorder.attach()

            def on_start(container: module.StartedContainer) -> None:
                found.extend([container] if container.comm == program.name else [])
                if found:
                    recorder.keep_only(found[0])

            def serve(is_over: Callable[[], bool]) -> None:
                def is_over_then() -> bool:
                    recorder.serve()
                    return is_over()
                self.assertTrue(wait_until(is_over_then))
            recorder.on_start = on_start
            self.assertTrue(wait_until(lambda: bool(recorder._first_processes())))
            recorder.begin_all()
            self.assertEqual(len(recorder._holds.by_index), 1)
            process = self.launch("unshare", "-pf", "--kill-child", str(program), "-c",
                                  f"read line; mkdir {self.folder}/new; read line", stdin=subprocess.PIPE)
            serve(lambda: bool(found))
            subprocess.run(["nsenter", "-p", "-t", str(found[0].pid), "id"], stdout=subprocess.DEVNULL, check=True)
            assert process.stdin
            process.stdin.write(b"\n")
            process.stdin.flush()
            self.assertTrue(wait_until((self.folder / "new").exists))
            process.communicate()
            serve(lambda: not found[0].has_live_tasks())
            self.assertLessEqual({"mkdir", "getgroups"}, found[0].recording().names)

    def test_quiet(self) -> None:
        """The recorder has a time before anything that it does not know of has started."""
        with module.StartRecorder(module.this_machine()) as recorder:
            recorder.load()
            recorder.attach()
            recorder.begin_all()
            before_s = module.boot_time_s()
            recorder.serve()
            self.assertGreaterEqual(recorder.quiet_s, before_s)
            quiet_s, now_s = recorder.quiet_s, module.boot_time_s()
            process = self.launch("unshare", "-pf", "--kill-child", "sleep", "1000")
            self.assertTrue(wait_until(lambda: bool(module.child_processes().get(process.pid))))
            child, = module.child_processes()[process.pid]
            self.assertTrue(wait_until(lambda: module.process_name(child) == "sleep"))
            time.sleep(0.1)
            recorder.note_quiet()
            self.assertLess(recorder.quiet_s, now_s + 0.1)
            self.assertGreaterEqual(recorder.quiet_s, quiet_s)
            recorder.serve()
            entered = dict(start for each in recorder.containers for start in each.entered.values())
            self.assertLess(entered[child], now_s + 0.1)

    def test_nothing_started(self) -> None:
        """What runs already in other pid namespaces is none of it, whatever it starts."""
        process = self.launch("unshare", "-pf", "--kill-child", "sh", "-c", "while :; do uname; sleep 0.05; done",
                              stdout=subprocess.DEVNULL)
        self.assertTrue(wait_until(lambda: bool(module.child_processes().get(process.pid))))
        child, = module.child_processes()[process.pid]
        self.assertTrue(wait_until(lambda: bool(module.child_processes().get(child))))
        with self.attached("record", "--containers", "-o", str(self.profiles), ready=READY) as recorder:
            time.sleep(0.5)
            recorder.terminate()
        self.assertNotIn("(uname)", self.log)
        self.assertNotIn("(sleep)", self.log)
        self.assertNotIn(f"pid-{child} ", self.log)

    def test_full_folder(self) -> None:
        """It says so, prints the profile rather than losing it, and goes on with the others."""
        self.profiles.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=755", "tmpfs", str(self.profiles)], check=True)
        self.addCleanup(subprocess.check_call, ["umount", str(self.profiles)])
        with self.recorded(code=125):
            (self.profiles / "filler").write_bytes(bytes(32 << 10))
            with contextlib.suppress(OSError), open(self.profiles / "filler", "ab", buffering=0) as file:
                while True:
                    file.write(bytes(4096))
            subprocess.run(["unshare", "-pf", "sleep", "0.2"], check=True)
            self.wait_logged("Error: write profile: .*: No space left on device")
            (self.profiles / "filler").unlink()
            subprocess.run(["unshare", "-pf", "sleep", "0.2"], check=True)
            self.wait_logged(f"Wrote seccomp profile to: {self.profiles}/pid-")

    def test_folders(self) -> None:
        """One that is not there is made, for sudo's caller in that user's folder; what is none is refused."""
        self.folder.chmod(0o755)
        home = self.folder / "home"
        home.mkdir()
        os.chown(home, 23000, 23000)
        with mock.patch.dict(os.environ, {"SUDO_UID": "23000", "SUDO_GID": "23000"}):
            with self.attached("record", "--containers", "-o", str(home / "new/"), ready=READY) as recorder:
                subprocess.run(["unshare", "-pf", "sleep", "0.2"], check=True)
                self.wait_logged(f"Wrote seccomp profile to: {home}/new/pid-")
                recorder.terminate()
        self.assertEqual({path.stat().st_uid for path in (home / "new", *(home / "new").iterdir())}, {23000})
        for folder, reason in ((home / "a" / "b", "make folder: .*: No such file or directory"),
                               (next((home / "new").iterdir()), "write profiles to: .*: Not a directory")):
            result = spoc("record", "--containers", "-o", str(folder))
            self.assertEqual(result.returncode, 125)
            self.assertRegex(result.stderr, reason)

    # Makes a pid namespace whose first process starts a hook, as runtimes do, and becomes the container's program.
    RUNTIME = """
import ctypes, os, sys, time
ctypes.CDLL(None).unshare(0x20000000)  # CLONE_NEWPID
first = os.fork()
if not first:
    hook = os.fork()
    if not hook:
        os.execvp("sh", ["hook", "-c", sys.argv[1]])
    if sys.argv[2]:
        os.waitpid(hook, 0)
    else:
        time.sleep(0.3)
    os.execvp("sh", ["program", "-c", sys.argv[3]])
print(first)
os.wait()
"""

    def run_as_runtime(self, hook: str, waits: str) -> pathlib.Path:
        """Run that hook, and a program that calls rmdir; the profile of the latter."""
        pid = subprocess.run([sys.executable, "-c", self.RUNTIME, f"mkdir {self.folder}/hook{hook}", waits,
                              f"rmdir {self.folder}/hook; sleep 0.2"], stdout=subprocess.PIPE, check=True).stdout
        path = self.profile(f"pid-{int(pid)}")
        self.wait_written(path)
        return path

    def test_hooks(self) -> None:
        """What a runtime starts inside before the container's program is none of it, quick or slow."""
        with self.recorded():
            paths = [self.run_as_runtime("", "wait"), self.run_as_runtime("; sleep 1", "")]
        self.assertEqual([self.names_in(path) & {"mkdir", "rmdir"} for path in paths], [{"rmdir"}] * 2)

    def test_hooks_without_types(self) -> None:
        """The same where the kernel does not tell where its structs have what: slow ones, which /proc still shows."""
        with self.attached_with("KERNEL_BTF = '/nonexistent'") as process:
            path = self.run_as_runtime("; sleep 1", "")
            process.terminate()
            self.assertEqual(process.wait(WAIT_S), 0, self.log_so_far())
        self.assertEqual(self.names_in(path) & {"mkdir", "rmdir"}, {"rmdir"})

    def test_only_first_processes(self) -> None:
        """A namespace whose first process executes nothing is a sandbox, however long what is in there runs."""
        program = self.folder / "inside"
        program.symlink_to("/bin/sleep")
        sandbox = ("import ctypes, os, sys\nctypes.CDLL(None).unshare(0x20000000)\nif not os.fork():\n"
                   " if not os.fork():\n  os.execvp(sys.argv[1], sys.argv[1:])\n os.wait()\n os._exit(0)\nos.wait()")
        with self.recorded():
            for seconds in ("0", "0.3"):
                subprocess.run([sys.executable, "-c", sandbox, str(program), seconds], check=True)
            subprocess.run(["unshare", "-pf", str(program), "0.2"], check=True)
            self.wait_logged(r"Recording container pid-\d+ \(inside\)")
        self.assertEqual(len(re.findall(r"Recording container .*\(inside\)", self.log)), 1, self.log)

    @contextlib.contextmanager
    def attached_with(self, *lines: str, options: Sequence[str] = ()) -> Iterator["subprocess.Popen[bytes]"]:
        """--containers, with some constants changed."""
        script = self.folder / "changed.py"
        script.write_text(f"import sys\nsys.path.insert(0, {str(SOURCE.parent)!r})\nimport spoc\n"
                          + "".join(f"spoc.{line}\n" for line in lines) + "sys.exit(spoc.main())\n")
        with open(self.folder / "log", "w") as stderr:
            recorder = self.launch(sys.executable, str(script), "record", "--containers", "-n", "-t", "raw-seccomp",
                                   "-o", str(self.profiles), *options, stderr=stderr)
        self.wait_logged(READY)
        yield recorder

    def test_values_of_others(self) -> None:
        """However many values others have, those of a container are noted, and said with its name."""
        loop = "import fcntl, sys\nfor request in range(int(sys.argv[1])):\n    try: fcntl.ioctl(0, 1000 + request)\n" \
               "    except OSError: pass"
        with self.attached_with("MAX_MAP_ITEMS = 80", options=("--args", "ioctl")) as recorder:
            for count in (60, 55, 50):
                subprocess.run(["unshare", "-pf", sys.executable, "-c", loop, str(count)], check=True)
            self.wait_logged("Wrote seccomp profile to: ", 3)
            many = self.launch("unshare", "-pf", "--kill-child", sys.executable, "-c",
                               f"{loop}\nsys.stdin.read()", "60", stdin=subprocess.PIPE)
            self.wait_logged("Recording container", 4)
            subprocess.run(["unshare", "-pf", sys.executable, "-c", loop, "40"], check=True)
            self.wait_logged("Wrote seccomp profile to: ", 4)
            many.communicate()
            self.wait_logged("Wrote seccomp profile to: ", 5)
            recorder.terminate()
            self.assertEqual(recorder.wait(WAIT_S), 0, self.log_so_far())
        found = re.findall(r"Narrowed ioctl in container pid-\d+ by argument 1: (.*)", self.log_so_far())
        self.assertEqual(sorted(len({*line.split(", ")} & {*map(hex, range(1000, 1060))}) for line in found),
                         [40, 50, 55, 60, 60])

    def test_what_is_missing(self) -> None:
        """It is said of which container that is."""
        call = "import ctypes; ctypes.CDLL(None).syscall(5000)"
        with self.recorded(code=125):
            subprocess.run(["unshare", "-pf", sys.executable, "-c", call], check=True)
            self.wait_logged("Wrote seccomp profile to: ")
        self.assertRegex(self.log, r"Error: the profile of container pid-\d+ is incomplete: 1 syscall exists in no ")

    def test_no_room(self) -> None:
        """What is started from outside where no room is left goes to nobody; what ends gives its room back."""
        inside, calls = self.folder / "inside", {"mkdir", "rmdir"}
        with self.attached_with("GROUPS = 5") as recorder:
            one, *others = (self.launch("unshare", "-pf", "--kill-child", "sleep", "1000") for _ in range(9))
            self.wait_logged("programs? ha(s|ve) started in containers unrecorded so far")
            pids = [pid for process in (one, *others) for pid in module.child_processes()[process.pid]]
            recorded = [pid for pid in pids if f"Recording container pid-{pid} " in self.log_so_far()]
            enter = ["nsenter", "-t", str(recorded[0]), "-p", "sh", "-c"]
            subprocess.run([*enter, f"mkdir {inside}"], check=True)
            os.kill(recorded[1], signal.SIGKILL)
            self.wait_written(self.profile(f"pid-{recorded[1]}"))
            subprocess.run([*enter, f"rmdir {inside}"], check=True)
            recorder.terminate()
            self.assertEqual(recorder.wait(WAIT_S), 125)
        found = [self.names_in(self.profile(f"pid-{pid}")) & calls for pid in recorded]
        self.assertIn("rmdir", found[0])
        self.assertEqual(found[1:], [set()] * len(found[1:]))

    def test_one_user(self) -> None:
        """One user cannot take all the room, also not of root's containers whose program is not root's, and what ends
        gives it back.
        """
        other = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "unshare", "-Upf", "--kill-child")
        with self.attached_with("GROUPS = 40", "MAX_OTHERS = 2") as recorder:
            others = [self.launch(*other, "sleep", "1000") for _ in range(50)]
            self.wait_logged("started in containers unrecorded so far: .* or more than 2 that belong")
            self.wait_logged("Recording container pid-")
            subprocess.run(["unshare", "-pf", "sh", "-c", f"mkdir {self.folder}/inside; sleep 0.2"], check=True)
            self.wait_logged(r"Recording container pid-\d+ \((sh|dash|mkdir)\)")
            if os.path.exists(module.KERNEL_BTF):
                of_roots = self.folder / "of-roots"
                of_roots.symlink_to("/bin/sleep")
                self.folder.chmod(0o755)
                subprocess.run(["unshare", "-pf", "--setuid", "65533", str(of_roots), "0.2"], check=True)
                self.wait_logged(r"Recording container pid-\d+ \(of-roots\)")
            for process in others:
                process.kill()
                process.wait()
            self.wait_logged("Wrote seccomp profile to: ", 2)
            program = self.folder / "late"
            program.symlink_to("/bin/sleep")
            self.folder.chmod(0o755)
            subprocess.run([*other, str(program), "0.2"], check=True)
            self.wait_logged(r"Recording container pid-\d+ \(late\)")
            recorder.terminate()
            self.assertEqual(recorder.wait(WAIT_S), 125)

    def test_more_tasks_than_there_is_room_for(self) -> None:
        """A program that cannot be followed takes no room from those that come later."""
        small = ("StartRecorder._prepare_maps = lambda self, old=spoc.StartRecorder._prepare_maps: [old(self), *("
                 "spoc.libbpf.bpf_map__set_max_entries(self._map(name), 1) for name in ('owners', 'tasks'))]")
        with self.attached_with("GROUPS = 20", small) as recorder:
            processes = [self.launch("unshare", "-pf", "--kill-child", "sleep", "1000") for _ in range(60)]
            self.wait_logged("programs? ha(s|ve) started in containers unrecorded so far")
            for process in processes:
                process.kill()
                process.wait()
            inside = self.folder / "inside"
            inside.symlink_to("/bin/sleep")
            subprocess.run(["unshare", "-pf", str(inside), "0.2"], check=True)
            self.wait_logged(r"Recording container pid-\d+ \(inside\)")
            recorder.terminate()
            self.assertEqual(recorder.wait(WAIT_S), 125)

    def test_flood(self) -> None:
        """What has no name fills neither the folder nor the log."""
        with self.attached_with("ContainersCommand.MAX_NAMELESS = 3") as recorder:
            for _ in range(10):
                subprocess.run(["unshare", "-pf", "true"], check=True)
            self.wait_logged("No further profile is written of what has neither an id nor a name: 3 were recorded")
            recorder.terminate()
            self.assertEqual(recorder.wait(WAIT_S), 125)
        self.assertEqual(len(list(self.profiles.glob("pid-*"))), 3)
        self.assertEqual(len(re.findall("Recording container pid-|No further", self.log_so_far())), 4)

    @mock.patch.object(module.Log, "info")
    def test_names_of_nothing(self, _info: object) -> None:
        """Nothing is added to what another container without a name has left."""
        with mock.patch.object(module, "this_machine"), mock.patch.object(module.libseccomp, "load"):
            command = module.ContainersCommand(module.RecordOptions(output_file=str(self.profiles), append=True))
            programs = mock.Mock()
            made = [command._command(module.StartedContainer(programs, identifier, name, 77)) for identifier, name in (
                ("", ""), ("", ""), ("id", "pid-77"), ("id", "pid-77"), ("other", "pid-77"))]
        self.assertEqual([(pathlib.Path(each.target.path).name, each.options.append) for each in made], [
            ("pid-77.yaml", False), ("pid-77-77.yaml", False), ("pid-77-id.yaml", True), ("pid-77-id.yaml", True),
            ("pid-77-other.yaml", True)])
        for each in made:
            each.target.close()

    def test_refused_folders(self) -> None:
        """One in which others may put something in a profile's place."""
        self.profiles.mkdir()
        self.profiles.chmod(0o777)
        theirs = self.folder / "theirs"
        theirs.mkdir()
        os.chown(theirs, 65534, 65534)
        for folder, reason in ((self.profiles, "every user may write to it"), ("/tmp", "every user may write to it"),
                               (theirs, r"it belongs to another user \(65534\)")):
            result = spoc("record", "--containers", "-o", str(folder))
            self.assertEqual(result.returncode, 125)
            self.assertRegex(result.stderr, f"write profiles to: {folder}: {reason}; choose another folder with -o")

    def test_no_container(self) -> None:
        """None is no failure: a service that has recorded nothing may be stopped."""
        with self.recorded(signum=signal.SIGTERM):
            pass
        self.assertIn(f"No container has started; nothing was written to {self.profiles}\n", self.log)
        self.assertEqual(list(self.profiles.iterdir()), [])

    def test_forged_name(self) -> None:
        """No name can be taken for the rest of the line."""
        container = module.StartedContainer(mock.Mock(), "0123456789abcdef", "web (98186af1bff0), PID 1", 77)
        self.assertEqual(module.describe_container(container), '"web (98186af1bff0), PID 1" (0123456789ab), PID 77')

    def test_safe_names(self) -> None:
        for name, safe in (("web", "web"), ("../../etc/passwd", "etc-passwd"), ("-rf", "rf"), (".hidden", "hidden"),
                           ("a/b c\n", "a-b-c-"), ("..", "container"), ("k8s_POD_x.y_0", "k8s_POD_x.y_0")):
            self.assertEqual(module.safe_file_name(name).replace("-..-etc", "etc"), safe)
