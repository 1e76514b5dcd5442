# SPDX-License-Identifier: MIT
"""`record` and `watch` of containers that run, with the engines that people use."""

from __future__ import annotations

import json
import os
import re
from unittest import mock

from cases import AttachCase
from engines import Engine, Engines
from support import wait_until

TIER = "kernel"

LOOP = ("/bin/sh", "-c", "while :; do /bin/ls / >/dev/null; /bin/sleep 0.1; done")
# Of what no program in these containers makes, but runc and crun do before its first call.
OF_RUNTIMES = {"setns", "unshare", "mount", "pivot_root", "capset", "seccomp", "sethostname", "setgroups"}


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
            engine.start("web-1", *LOOP, options=options)
            try:
                names = self.names_of("--container", "web-1", meanwhile=lambda: engine.execute("web-1", "/three"))
                self.assertLessEqual({"getppid", "execve", "wait4"}, names)
                self.assertEqual(names & OF_RUNTIMES, set())
                self.assertRegex(self.log, r"Recording \d+ tasks?: container web-1\n")
                self.check_watch(engine, blocked, command)
                names = self.names_of("--container", "web-1", meanwhile=lambda: engine.remove("web-1"), signum=None)
                self.assertNotIn("not recorded any more", self.log)
            finally:
                engine.remove("web-1")

    def check_watch(self, engine: Engine, blocked: str, command: str) -> None:
        with self.attached("watch", "--container", "web-1", ready="Calls that a filter lets pass and logs") as process:
            engine.execute("web-1", command, "true", check=False)
            process.terminate()
        self.assertEqual(process.returncode, 0, self.log)
        found = re.findall(r"Seccomp: (.*)", self.log)
        if not blocked:
            self.assertEqual(found, [])
            return
        comm = command.rpartition("/")[2]
        self.assertTrue(any(re.match(rf"{blocked} .*, comm: {comm}\b", line) for line in found), self.log)
        self.assertRegex(self.log, rf"To allow what was blocked.*: -b \S*{blocked}")

    def test_podman(self) -> None:
        profile = self.folder / "seccomp.json"
        profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["getuid"], "action": "SCMP_ACT_ERRNO"}]}))
        for runtime in ("crun", "runc"):
            self.check(self.engines.podman(runtime), "getuid", "/three", "--security-opt", f"seccomp={profile}")

    def test_docker_and_containerd(self) -> None:
        docker, containerd = self.engines.docker_and_containerd()
        with mock.patch.dict(os.environ, {"DOCKER_HOST": f"unix://{self.engines.docker_socket}"}):
            self.check(docker, "unshare", "/bin/unshare")  # by Docker's default profile
        self.check(containerd, "", "/bin/unshare")  # ctr asks for no filter

    def test_pid_namespace_of_the_machine(self) -> None:
        """Such a container is known by its control group."""
        engine = self.engines.podman("crun")
        engine.start("web-1", *LOOP, options=("--pid", "host"))
        self.addCleanup(engine.remove, "web-1")

        def meanwhile() -> None:
            self.assertTrue(wait_until(lambda: "Processing events" in (self.folder / "log").read_text()))
            wait_until(lambda: False, 0.5)
        names = self.names_of("--container", "web-1", meanwhile=meanwhile)
        self.assertIn("container web-1, by its control group /sys/fs/cgroup/", self.log)
        self.assertLessEqual({"execve", "wait4", "getdents64"}, names)
