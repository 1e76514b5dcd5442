# SPDX-License-Identifier: MIT
"""`record` and `watch` of containers that run, with the engines that people use."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from typing import Any, Dict, List, Tuple
from unittest import mock

import spoc as module
from cases import AttachCase
from engines import IMAGE, OF_RUNTIMES, ONE, SHELL_LOOP, TWO, Engine, Engines
from support import Case, has_watched, require, spoc, wait_until

TIER = "kernel"


def process_of(engine: Engine) -> str:
    """The name of the process by which doctor knows that engine."""
    return {"docker": "dockerd", "containerd": "containerd"}.get(engine.name, "conmon")


class Containers(AttachCase):
    """Found by their names."""

    def setUp(self) -> None:
        super().setUp()
        self.engines = Engines()
        self.addCleanup(self.engines.close)

    def check(self, engine: Engine, blocked: str, command: str, *options: str) -> None:
        """Recorded is what is in the container, and what is started in it; watched is what its filter stops: this call
        of that command, if anything.
        """
        with self.subTest(engine=engine.name):
            engine.start(ONE, *SHELL_LOOP, options=options)
            try:
                found = json.loads(spoc("doctor", "--json").stdout)["checks"]
                fact = next(check["fact"] for check in found if check["item"] == "attach")
                self.assertRegex(fact, rf"; [1-9]\d* containers?, by [^;]*\b{process_of(engine)}\b")
                name = engine.called(ONE)
                names = self.names_of("--container", name, meanwhile=lambda: [
                    engine.execute(ONE, "/three"), wait_until(lambda: False, 0.5)])
                self.assertLessEqual({"getppid", "execve", "wait4"}, names)
                self.assertEqual(names & OF_RUNTIMES, set())
                self.assertRegex(self.log, rf"Recording \d+ tasks?: container {name}\n")
                self.check_watch(engine, blocked, command)
                names = self.names_of("--container", name, meanwhile=lambda: engine.remove(ONE), signum=None)
                self.assertNotIn("not recorded any more", self.log)
            finally:
                engine.remove(ONE)

    def check_watch(self, engine: Engine, blocked: str, command: str) -> None:
        with self.attached("watch", "--container", engine.called(ONE),
                           ready="Calls that a filter lets pass and logs") as process:
            engine.execute(ONE, command, "true", check=False)
            process.terminate()
        self.assertEqual(process.returncode, 0, self.log)
        found = re.findall(r"Seccomp: (.*)", self.log)
        if not blocked:
            self.assertEqual(found, [])
            return
        comm = command.rpartition("/")[2]
        name = engine.called(ONE)
        self.assertTrue(any(re.match(rf"{blocked} .*, comm: {comm}, container: {name}$", line) for line in found),
                        self.log)
        self.assertRegex(self.log, rf"Seccomp summary: {blocked} .*, container: {name}\n")
        self.assertRegex(self.log, rf"To allow what was blocked in container {name}: spoc.py merge -b \S*{blocked}")

    def refusing_getuid(self) -> Tuple[str, str]:
        profile = self.folder / "seccomp.json"
        profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["getuid"], "action": "SCMP_ACT_ERRNO"}]}))
        return "--security-opt", f"seccomp={profile}"

    def check_profile(self, engine: Engine) -> None:
        """A profile of the program's start, to which a recording of its container is added, starts it and blocks
        nothing; without one of its calls that one is blocked.
        """
        profile, smaller = self.folder / "start.json", self.folder / "smaller.json"
        programs = f"{self.engines.tree}/bin"
        result = spoc("record", "-t", "raw-seccomp", "-o", str(profile), f"{programs}/sh", "-c", f"{programs}/true; :")
        self.assertEqual(result.returncode, 0, result.stderr)
        engine.start(ONE, *SHELL_LOOP)
        try:
            with self.attached("record", "-t", "raw-seccomp", "-o", str(profile), "--append", "--container",
                               ONE) as recorder:
                engine.execute(ONE, "/bin/id")
                recorder.terminate()
            self.assertEqual(recorder.returncode, 0, self.log)
        finally:
            engine.remove(ONE)
        document = json.loads(profile.read_text())
        for rule in document["syscalls"]:
            rule["names"] = [name for name in rule["names"] if name != "getgroups"]
        smaller.write_text(json.dumps(document))
        outputs, identifiers = [], []
        with self.attached("watch", ready="Calls that a filter lets pass and logs") as watch:
            for path in (profile, smaller):
                identifiers.append(engine(
                    "create", "--network", "none", "--name", TWO, "--security-opt", f"seccomp={path}", IMAGE,
                    "/bin/sh", "-c", "/bin/ls /; /bin/id; /bin/sleep 0.1; echo done").stdout[:12])
                try:
                    outputs.append(engine("start", "--attach", TWO).stdout)
                finally:
                    engine.remove(TWO)
            watch.terminate()
        blocked = [set(re.findall(rf"Seccomp: (\w+) .*, container: {identifier}", self.log))
                   for identifier in identifiers]
        self.assertEqual(blocked, [set(), {"getgroups"}], self.log)
        self.assertRegex(outputs[0], r"(?s)three\n.*uid=0.*done\n")

    # Starts programs in the container of that process all the time, as runtimes do: what it calls before their exec are
    # sched_get_priority_max and, in a thread, sched_yield.
    RUNTIME = """
import ctypes, os, sys, threading
ctypes.CDLL(None).setns(os.open(f"/proc/{sys.argv[1]}/ns/pid", os.O_RDONLY), 0x20000000)  # CLONE_NEWPID
print(flush=True)
while True:
    child = os.fork()
    if not child:
        threading.Thread(target=lambda: [os.sched_yield() for _ in range(10 ** 5)]).start()
        for _ in range(2000):
            os.sched_get_priority_max(0)
        os.execvp("nice", ["nice", "true"])  # which calls setpriority
    os.waitpid(child, 0)
"""

    def test_runtime_at_work(self) -> None:
        """What a runtime does in the container, at the very moment of attaching, before it executes a program there."""
        require(os.path.exists(module.KERNEL_BTF), module.KERNEL_BTF)
        engine = self.engines.podman("crun")
        engine.start(ONE, "/bin/sleep", "1000")
        self.addCleanup(engine.remove, ONE)
        for _ in range(2):
            runtime = self.launch(sys.executable, "-c", self.RUNTIME, str(engine.pid(ONE)), stdout=subprocess.PIPE)
            assert runtime.stdout
            runtime.stdout.readline()
        for number in range(5):
            with self.subTest(number):
                names = self.names_of("--container", ONE, meanwhile=lambda: time.sleep(0.3))
                self.assertIn("setpriority", names)
                self.assertEqual(names & {"sched_get_priority_max", "sched_yield"}, set())

    def test_podman(self) -> None:
        for runtime in ("crun", "runc"):
            engine = self.engines.podman(runtime)
            self.check(engine, "getuid", "/three", *self.refusing_getuid())
            self.check_profile(engine)

    def test_podman_without_root(self) -> None:
        """By the user who owns it, in a user namespace; root records it."""
        engine = self.engines.podman("crun", rootless=True)
        self.check(engine, "getuid", "/three", *self.refusing_getuid())

    def test_three_calls(self) -> None:
        """What is started in a container is recorded from its first call on, and nothing of the runtime."""
        for runtime in ("crun", "runc"):
            with self.subTest(runtime):
                engine = self.engines.podman(runtime)
                engine.start(ONE, "/bin/sleep", "1000")
                self.addCleanup(engine.remove, ONE)
                waiting = self.names_of("--container", ONE)
                self.assertEqual(len(waiting), 1)  # that which sleep waits in
                names = self.names_of("--container", ONE, meanwhile=lambda: engine.execute(ONE, "/three"))
                self.assertEqual(names, waiting | {"getppid", "getuid", "exit"})
                engine.remove(ONE)

    def test_nothing_of_others(self) -> None:
        """Neither of another container that starts programs all the time, nor of the machine."""
        engine = self.engines.podman("crun")
        self.launch("sh", "-c", "while :; do uname >/dev/null; done")
        for name, command in ((ONE, ("/bin/sleep", "1000")), (TWO, SHELL_LOOP)):
            engine.start(name, *command)
            self.addCleanup(engine.remove, name)

        def meanwhile() -> None:
            for _ in range(3):
                engine.execute(TWO, "/bin/id")
        waiting = self.names_of("--container", ONE, meanwhile=meanwhile)
        self.assertEqual(len(waiting), 1)  # that which sleep waits in
        self.assertIn("Recording 1 task: ", self.log)
        self.assertIn("Found 1 task in bpf map", self.log)

    def test_advice_by_a_short_id(self) -> None:
        """How to add the start names the container so that it can be waited for: not by how its id begins."""
        engine = self.engines.podman("crun")
        engine.start(ONE, "/bin/sleep", "1000")
        self.addCleanup(engine.remove, ONE)
        identifier = engine.identifier(ONE)
        for typed in (identifier[:11], identifier, ONE):
            self.names_of("--container", typed)
            self.assertRegex(self.log, f"stop the container, type spoc.py record .* --container {ONE}, and start it")

    def test_start_left_out(self) -> None:
        """A runtime cannot start a container under such a profile, nor can it with -b execve alone: other advice helps.
        """
        engine = self.engines.podman("runc")
        engine.start(ONE, "/bin/sleep", "1000")
        self.addCleanup(engine.remove, ONE)
        text = ("he profile does not allow execve, so no runtime can start a container under it: without -n and -b it "
                "allows what that takes\n")
        path = self.folder / "attached.json"
        for options, line in ((("-n",), f" T{text}"), (("-b", "getppid"), f" Warning: t{text}"),
                              (("-b", "execve"), ""), ((), "")):
            with self.attached("record", "-o", str(path), *options, "--container", ONE) as process:
                engine.execute(ONE, "/three")
                process.terminate()
            self.assertEqual(process.returncode, 0, self.log)
            self.assertIn(line, self.log)
            self.assertEqual("not allow execve" in self.log, bool(line))
            result = engine.run(TWO, "/three", options=("--security-opt", f"seccomp={path}"), check=False)
            self.assertEqual(result.returncode == 0, not options, result.stderr)

    def test_init(self) -> None:
        """The first process is one that only reaps; what it starts is in the same container."""
        engine = self.engines.podman("crun")
        engine.start(ONE, *SHELL_LOOP, options=("--init",))
        self.addCleanup(engine.remove, ONE)
        self.assertNotEqual(module.process_name(engine.pid(ONE)), "sh")
        names = self.names_of("--container", ONE, meanwhile=lambda: engine.execute(ONE, "/three"))
        self.assertLessEqual({"getdents64", "execve", "wait4", "getppid"}, names)
        self.assertEqual(names & OF_RUNTIMES, set())

    def test_pod(self) -> None:
        """Its containers share a pid namespace, whose first process is that of none of them."""
        engine = self.engines.podman("crun")
        pod = f"{ONE}-pod"
        engine("pod", "create", "--name", pod, "--share", "pid", "--network", "none", "--infra-image", IMAGE,
               "--infra-command", "/bin/sleep 1000")
        self.addCleanup(engine, "pod", "rm", "--force", "--time", "0", pod)
        for name, program in ((ONE, "id"), (TWO, "ls /")):
            engine("run", "--detach", "--network", "none", "--pod", pod, "--name", name, IMAGE, "/bin/sh", "-c",
                   f"while :; do /bin/{program} >/dev/null; /bin/sleep 0.1; done")
        for name, present, absent in ((ONE, "getgroups", "getdents64"), (TWO, "getdents64", "getgroups")):
            names = self.names_of("--container", name, meanwhile=lambda: wait_until(lambda: False, 0.7))
            self.assertIn(f"container {name}, by its control group", self.log)
            self.assertIn(present, names)
            self.assertNotIn(absent, names)

    def test_shared_pid_namespace(self) -> None:
        """A container in another's pid namespace is recorded by itself."""
        engine = self.engines.podman("crun")
        engine.start(ONE, *SHELL_LOOP)
        self.addCleanup(engine.remove, ONE)
        engine.start(TWO, "/bin/sh", "-c", "while :; do /bin/id >/dev/null; /bin/sleep 0.1; done",
                     options=("--pid", f"container:{ONE}"))
        self.addCleanup(engine.remove, TWO)

        def meanwhile() -> None:
            for _ in range(3):
                engine.execute(ONE, "/bin/ls", "/")
        names = self.names_of("--container", TWO, meanwhile=meanwhile)
        self.assertIn(f"container {TWO}, by its control group /sys/fs/cgroup/", self.log)
        self.assertLessEqual({"execve", "wait4", "getuid"}, names)
        self.assertNotIn("getdents64", names)  # of ls, in the other

    def test_twenty_at_once(self) -> None:
        """One watch tells apart what is stopped in each, also of what starts while it watches."""
        engine, events = self.engines.podman("crun"), self.folder / "events"
        options = [*self.refusing_getuid(), "--volume", f"{self.folder}:/shared"]
        os.mkfifo(self.folder / "gate")  # which a container's shell cannot open before it is opened here
        names = [f"{ONE}-{number}" for number in range(20)]

        def found() -> List[Dict[str, Any]]:
            return [event for event in map(json.loads, events.read_text().splitlines()) if event["comm"] == "three"]
        with self.attached("watch", "--events", str(events), ready="Calls that a filter lets pass") as process:
            for name in names:
                engine.start(name, "/bin/sh", "-c", ": </shared/gate; exec /three", options=options)
                self.addCleanup(engine.remove, name)
            identifiers = {engine.identifier(name)[:12] for name in names}
            gate = os.open(self.folder / "gate", os.O_RDWR)
            try:
                self.assertTrue(wait_until(lambda: len(found()) >= len(names)))
            finally:
                os.close(gate)
            process.terminate()
        self.assertTrue(has_watched(process.returncode, self.log), self.log)
        self.assertEqual({(event["container"], event["name"], event["errno"]) for event in found()},
                         {(identifier, "getuid", "EPERM") for identifier in identifiers})
        self.assertEqual([event["count"] for event in found()], [1] * len(names))
        for identifier in identifiers:
            self.assertRegex(self.log, rf"To allow what was blocked in container {identifier}: spoc.py merge -b "
                                       r"\S*getuid")

    def test_docker_and_containerd(self) -> None:
        docker, containerd = self.engines.docker_and_containerd()
        with mock.patch.dict(os.environ, {"DOCKER_HOST": f"unix://{self.engines.docker_socket}"}):
            self.check(docker, "unshare", "/bin/unshare")  # by Docker's default profile
            self.check_profile(docker)
        self.check(containerd, "", "/bin/unshare")  # ctr asks for no filter

    def test_pid_namespace_of_the_machine(self) -> None:
        """Such a container is known by its control group."""
        engine = self.engines.podman("crun")
        engine.start(ONE, *SHELL_LOOP, options=("--pid", "host"))
        self.addCleanup(engine.remove, ONE)

        def meanwhile() -> None:
            self.assertTrue(wait_until(lambda: "Processing events" in (self.folder / "log").read_text()))
            wait_until(lambda: False, 0.5)
        names = self.names_of("--container", ONE, meanwhile=meanwhile)
        self.assertIn(f"container {ONE}, by its control group /sys/fs/cgroup/", self.log)
        self.assertLessEqual({"execve", "wait4", "getdents64"}, names)
        self.assertRegex(self.log, f"--container {ONE}, and start it without --pid: else only spoc.py hook sees "
                                   "it\n")


class Refused(Case):
    def test_nothing_of_its_own(self) -> None:
        """In the machine's pid namespace, and in no control group that has its id: nothing tells what belongs to it."""
        found = [module.RunningContainer("0123456789abcdef" * 4, "web", os.getpid())]
        with mock.patch.object(module, "running_containers", lambda: found), \
                self.assertRaisesRegex(module.SpocError, "container web: neither a pid namespace nor a control group "
                                       f"is its own; --pid {os.getpid()} is for its first process"):
            module.container_scope("web")
