# SPDX-License-Identifier: MIT
"""Containers and units are found by their names and ids, without the engines that started them."""

from __future__ import annotations

import os
import subprocess
import sys
from unittest import mock

import spoc as module
from engines import Engine, Engines
from support import Case, in_mounts, kernel_tier, require_root

TIER = "pure"
NAME = f"names-{os.getpid()}"  # which no other container of this machine has
SLEEP = ("/bin/sleep", "1000")
ID, OTHER = "0123456789abcdef" * 4, "0123456789abcdee" * 4


def process(pid: int, parent: int, start: int = 0, command: str = "sleep", arguments: str = "",
            container: str | None = None, is_inside: bool = False) -> module.RunningProcess:
    return module.RunningProcess(pid, parent, start, command, tuple(arguments.split()), container, is_inside)


class Containers(Case):
    """Which containers the processes of a machine are."""

    def names(self, *processes: module.RunningProcess, **names: str) -> list[module.RunningContainer]:
        return module.containers_among(processes, names)

    def test_first_process(self) -> None:
        """The one that started first, not the one with the lowest pid; its monitor is not in it."""
        self.assertEqual(self.names(
            process(9, 8, 50, container=ID), process(3, 9, 51, container=ID), process(7, 9, 50, container=ID),
            process(2, 1, 40, "conmon", f"conmon -c {ID} -n web", container=ID)), [(ID, "web", 7)])

    def test_monitor_alone(self) -> None:
        self.assertEqual(self.names(
            process(2, 1, 1, "containerd-shim", "shim -namespace default -id web"), process(5, 2, 3), process(6, 5, 4)),
            [("web", "web", 5)])

    def test_cgroup_comes_before_the_monitor(self) -> None:
        """One shim watches over all containers of a pod."""
        self.assertEqual(self.names(
            process(2, 1, 1, "containerd-shim", f"shim -id {ID}"), process(5, 2, 3, container=ID),
            process(6, 2, 4, container=OTHER)), [(OTHER, OTHER, 6), (ID, ID, 5)])

    def test_false_monitor(self) -> None:
        """What runs in a container names no other."""
        self.assertEqual(self.names(
            process(5, 1, 3, container=ID), process(6, 5, 4, "conmon", f"conmon -c {ID} -n web", ID, True),
            process(7, 6, 5)), [(ID, ID, 5)])

    def test_ambiguous(self) -> None:
        containers = [module.RunningContainer(ID, "web", 5), module.RunningContainer(OTHER, "web", 6),
                      module.RunningContainer("fff", "ID", 7)]
        self.assertEqual(module.find_container(ID, containers), containers[0])
        self.assertEqual(module.find_container("ff", containers), containers[2])
        self.assertIsNone(module.find_container("other", containers))
        for name in ("web", ID[:8]):
            with self.assertRaisesRegex(module.SpocError, f"several are called so; name one by its id: {ID}, {OTHER}"):
                module.find_container(name, containers)


@kernel_tier
class Running(Case):
    """Each engine's containers, as they run."""

    def assert_found(self, engine: Engine, pid: int, expected_name: str) -> None:
        containers = module.running_containers()
        identifier = engine.identifier(NAME)
        for name in {expected_name, identifier, identifier[:12]}:
            self.assertEqual(module.find_container(name, containers),
                             module.RunningContainer(identifier, expected_name, pid))

    def check(self, engine: Engine, expected_name: str = NAME) -> None:
        with self.subTest(engine=engine.name):
            engine.start(NAME, *SLEEP)
            self.addCleanup(engine.remove, NAME)
            pid = engine.pid(NAME)
            self.assert_found(engine, pid, expected_name)
            other = subprocess.Popen([*engine.prefix, "exec", NAME, *SLEEP]) if engine.name != "containerd" else None
            try:
                self.assert_found(engine, pid, expected_name)
            finally:
                engine.remove(NAME)
                if other:
                    other.wait(60)

    def test_engines(self) -> None:
        engines = Engines()
        self.addCleanup(engines.close)
        self.check(engines.podman("crun"))
        self.check(engines.podman("runc"))
        self.check(engines.podman("crun", rootless=True))
        docker, containerd = engines.docker_and_containerd()
        with mock.patch.dict(os.environ, {"DOCKER_HOST": f"unix://{engines.docker_socket}"}):
            self.check(docker)
        self.check(containerd)

    def test_docker_that_does_not_answer(self) -> None:
        with mock.patch.dict(os.environ, {"DOCKER_HOST": f"unix://{self.folder}/none"}):
            self.assertEqual(module.docker_names(), {})


@kernel_tier
class Units(Case):
    """The cgroup of a unit, in whichever hierarchy systemd keeps it."""

    def found(self, mounts: str, unit: str, most: int = 1000) -> str:
        script = f"import sys; sys.path.insert(0, {str(module.__file__)!r}.rpartition('/')[0]); import spoc\n" \
                 f"spoc.MAX_UNITS_LISTED = {most}\n" \
                 f"try: print(spoc.unit_control_group({unit!r}))\nexcept spoc.SpocError as error: print(error)"
        return subprocess.run(in_mounts(mounts, sys.executable, "-c", script), stdout=subprocess.PIPE, text=True,
                              check=True, timeout=60).stdout.strip()

    def test_hierarchies(self) -> None:
        require_root()
        one, two, web, app = (f"spoc-{os.getpid()}-{name}" for name in ("one", "two", "web", "app"))
        for options, is_v2 in (("-t cgroup -o none,name=systemd", False), ("-t cgroup2", True)):
            with self.subTest(options):
                root = self.folder / f"v{1 + is_v2}"
                root.mkdir()
                mounts = f"umount -R /sys/fs/cgroup; mount {options} none {root}"
                folders = [str(root / path) for path in (
                    one, f"{one}/{web}.service", f"{one}/user@1.service", f"{one}/user@1.service/{app}.service",
                    two, f"{two}/{app}.service", f"{two}/{web}.socket")]
                subprocess.run(in_mounts(mounts, "mkdir", *folders), check=True)
                self.addCleanup(subprocess.check_call, in_mounts(mounts, "rmdir", *reversed(folders)))
                self.assertEqual(self.found(mounts, web), f"{root}/{one}/{web}.service")
                self.assertEqual(self.found(mounts, f"{web}.socket"), f"{root}/{two}/{web}.socket")
                self.assertRegex(self.found(mounts, app), f"several.*{one}.*{two}/{app}.service")
                unknown, _, listed = self.found(mounts, one).partition("; those that run: ")
                self.assertRegex(unknown, "no running unit has this name$")
                self.assertLessEqual({f"{web}.service", f"{app}.service", "user@1.service"}, set(listed.split(", ")))
                self.assertRegex(self.found(mounts, one, 1), r"run: [^,]* and \d+ more, which systemd-cgls lists$")
