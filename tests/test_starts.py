# SPDX-License-Identifier: MIT
"""`record` of containers that are yet to start: of one that is waited for, and of all, with the engines that people
use."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import signal
from typing import Iterator, Set
from unittest import mock

from cases import AttachCase
from engines import OF_RUNTIMES, ONE, SHELL_LOOP, TWO, Engine, Engines
from support import kernel_calls, seen_syscalls, wait_until

TIER = "kernel"

THREE_CALLS = {"getppid", "getuid", "exit"}  # of three.c
READY = "Recording every container that starts from now on"


class StartsCase(AttachCase):
    """Records what starts meanwhile."""

    def setUp(self) -> None:
        super().setUp()
        self.profiles = self.folder / "profiles"

    @contextlib.contextmanager
    def recorded(self, *options: str, signum: int = signal.SIGINT, code: int = 0) -> Iterator[None]:
        """All that starts meanwhile is recorded, into raw-seccomp profiles without base syscalls."""
        with self.attached("record", "--containers", "-n", "-t", "raw-seccomp", "-o", str(self.profiles), *options,
                           ready=READY) as process:
            try:
                yield
            finally:
                process.send_signal(signum)
        self.assertEqual(process.returncode, code, self.log)

    def log_so_far(self) -> str:
        return (self.folder / "log").read_text()

    def wait_logged(self, pattern: str, times: int = 1) -> None:
        self.assertTrue(wait_until(lambda: len(re.findall(pattern, self.log_so_far())) >= times), self.log_so_far())

    def wait_written(self, path: pathlib.Path, times: int = 1) -> None:
        """Wait until this profile has been written so often."""
        self.wait_logged(f"Wrote seccomp profile to: {path}\n", times)

    def profile(self, name: str) -> pathlib.Path:
        return self.profiles / f"{name}.json"

    def names_in(self, path: pathlib.Path) -> Set[str]:
        """What a profile allows but for what the kernel makes by itself."""
        document = json.loads(path.read_text())
        return {name for rule in document["syscalls"] for name in rule["names"]} - kernel_calls(document)


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
                self.wait_logged(rf"Recording container {name}{short}, PID {engine.pid(name)}\n")
                engine.execute(name, "/three")
                engine.execute(name, "/bin/id")
                engine.remove(name)
                self.wait_written(self.profile(name))
        self.assertEqual(sorted(path.name for path in self.profiles.glob(f"{ONE}*")),
                         [f"{ONE}-{number}.json" for number in range(len(engines))])
        for number, engine in enumerate(engines):
            with self.subTest(engine=engine.name):
                names = self.names_in(self.profile(f"{ONE}-{number}"))
                self.assertLessEqual({"getdents64", "wait4", "getgroups", "execve", "getppid", "getuid"}, names)
                self.assertEqual(names & OF_RUNTIMES, set())


class Waited(EnginesCase):
    """--container with the name of one that does not run yet."""

    def test_three_calls(self) -> None:
        """It is recorded from its program's first call on, with each engine: exactly what that makes."""
        engines = list(self.every_engine())
        path = self.folder / "waited.json"
        with mock.patch.dict(os.environ, {"DOCKER_HOST": f"unix://{self.engines.docker_socket}"}):
            for engine in engines:
                with self.subTest(engine=engine.name):
                    with self.attached("record", "-n", "-t", "raw-seccomp", "-o", str(path), "--container", TWO,
                                       ready=f"Waiting for container {TWO}; "):
                        engine.run(ONE, "/bin/id")  # another
                        self.addCleanup(engine.remove, TWO)
                        engine.run(TWO, "/three")
                    self.assertEqual(seen_syscalls(json.loads(path.read_text()), self.log), THREE_CALLS)
                    self.assertRegex(self.log, rf"Recording container {TWO}\b")
                    path.unlink()
