# SPDX-License-Identifier: MIT
"""Containers and units are found by their names and ids, without the engines that started them."""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from typing import Iterator
from unittest import mock

import spoc as module
from engines import Engine, Engines
from support import ROOT, Case, end, in_mounts, kernel_tier, require_root, spoc

TIER = "pure"
NAME = f"names-{os.getpid()}"  # which no other container of this machine has
SLEEP = ("/bin/sleep", "1000")
ID, OTHER = "0123456789abcdef" * 4, "0123456789abcdee" * 4


USER = 65534


def process(pid: int, parent: int, start: int = 0, container: str | None = None,
            monitor: module.Monitor | None = None, maker: int = 0, command: str = "sleep") -> module.RunningProcess:
    return module.RunningProcess(pid, parent, start, command, monitor, maker, container, False)


def monitor(container: str, name: str = "", is_dockers: bool = False, uid: int = 0) -> module.Monitor:
    return module.Monitor(container, name, is_dockers, uid)


class Containers(Case):
    """Which containers the processes of a machine are."""

    def names(self, *processes: module.RunningProcess, **names: str) -> list[module.RunningContainer]:
        return module.containers_among(processes, names)

    def test_first_process(self) -> None:
        """The one that started first, not the one with the lowest pid; its monitor is not in it."""
        self.assertEqual(self.names(
            process(9, 8, 50, ID), process(3, 9, 51, ID), process(7, 9, 50, ID),
            process(2, 1, 40, ID, monitor(ID, "web"))), [(ID, "web", 7, 0)])

    def test_monitor_alone(self) -> None:
        self.assertEqual(self.names(process(2, 1, 1, None, monitor("web")), process(5, 2, 3), process(6, 5, 4)),
                         [("web", "web", 5, 0)])

    def test_cgroup_comes_before_the_monitor(self) -> None:
        """One shim watches over all containers of a pod."""
        self.assertEqual(self.names(
            process(2, 1, 1, None, monitor(ID)), process(5, 2, 3, ID), process(6, 2, 4, OTHER)),
            [(OTHER, OTHER, 6, 0), (ID, ID, 5, 0)])

    def test_what_cleans_up(self) -> None:
        """conmon starts it when the container has ended."""
        self.assertEqual(self.names(process(2, 1, 1, None, monitor(ID, "web")), process(5, 2, 3, command="podman")), [])

    def test_docker(self) -> None:
        self.assertEqual(self.names(process(2, 1, 1, None, monitor(ID, is_dockers=True)), process(5, 2, 3, ID),
                                    **{ID: "web", OTHER: "x"}), [(ID, "web", 5, 0)])

    def test_monitor_of_another_user(self) -> None:
        """It names no container of root, and has no process of one."""
        self.assertEqual(self.names(
            process(2, 1, 1, None, monitor(ID, "web", uid=USER)), process(3, 2, 2), process(4, 2, 3, maker=USER),
            process(5, 1, 4, ID)), [(ID, ID, 5, 0), (ID, f"uid-{USER}-web", 4, USER)])

    def test_whose_container_is_meant(self) -> None:
        containers = [module.RunningContainer(ID, f"uid-{USER}-web", 5, USER), module.RunningContainer(ID, "web", 6),
                      module.RunningContainer("app", f"uid-{USER}-app", 7, USER)]
        self.assertEqual(module.find_container("web", containers), containers[1])
        self.assertEqual(module.find_container(f"uid-{USER}-web", containers), containers[0])
        for name in ("app", ID[:8]):
            self.assertIsNone(module.find_container(name, containers[:1] + containers[2:]))
        for name in (ID, ID[:12]):  # nobody else may pass for root's by its id
            self.assertIsNone(module.find_container(name, containers[:1]))
            self.assertEqual(module.find_container(name, containers), containers[1])
        with mock.patch.dict(os.environ, {"SUDO_UID": str(USER)}):
            self.assertEqual(module.container_name("web", USER), "web")

    def test_ambiguous(self) -> None:
        containers = [module.RunningContainer(ID, "web", 5), module.RunningContainer(OTHER, "web", 6),
                      module.RunningContainer("fff", "ID", 7)]
        self.assertEqual(module.find_container(ID, containers), containers[0])
        self.assertEqual(module.find_container("ff", containers), containers[2])
        self.assertIsNone(module.find_container("other", containers))
        for name in ("web", ID[:8]):
            with self.assertRaisesRegex(module.SpocError, f"several are called so; name one by its id: {ID}, {OTHER}"):
                module.find_container(name, containers)


class Unknown(unittest.TestCase):
    """What is said of a name that none has."""

    ENGINES = "; of other engines than Podman, Docker, containerd and CRI-O: --pid"

    def test_what_else_there_is(self) -> None:
        """Whose names are known, and what is for others; whether or not there are any. What may be meant comes last."""
        some = [module.RunningContainer(ID, "web-server", 5)]
        for containers, name, text in (
                (some[:0], "web", f"none runs that is known by name{self.ENGINES} or --cgroup"),
                (some, "db", f"those that run: web-server{self.ENGINES} or --cgroup"),
                (some, "web", f"those that run: web-server{self.ENGINES} or --cgroup; did you mean web-server?"),
                (some, "wbe-server",
                 f"those that run: web-server{self.ENGINES} or --cgroup; did you mean web-server?")):
            self.assertEqual(module.describe_running(name, containers), text)

    @kernel_tier
    def test_each_command_names_options_that_it_has(self) -> None:
        require_root()
        for command, ending in (("gaps", ""), ("watch", " or --cgroup")):
            result = spoc(command, "--container", NAME)
            self.assertRegex(result.stderr, f"no running container has this name or id; .*{self.ENGINES}{ending}"
                             r"(; did you mean .*\?)?\n\Z")


@kernel_tier
class Unseen(unittest.TestCase):
    """A process of which nothing can be read."""

    def test_gone(self) -> None:
        with subprocess.Popen(["true"]) as ended:
            pass
        self.assertEqual(module.read_proc(ended.pid, "stat"), "")
        self.assertIsNone(module.pid_namespace_of(ended.pid))

    def test_no_descriptor_is_left(self) -> None:
        """That is not taken for the end of the process, whose container would be left out."""
        script = ("import resource, spoc\nresource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))\n"
                  "try: spoc.read_proc('self', 'stat')\nexcept OSError as error: print(error.errno)")
        result = subprocess.run([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        self.assertEqual(result.stdout, f"{errno.EMFILE}\n")


class Running(Case):
    """Each engine's containers, as they run."""

    def assert_found(self, engine: Engine, pid: int) -> None:
        containers = module.running_containers()
        name, identifier = engine.called(NAME), engine.identifier(NAME)
        for text in {name} if engine.maker else {name, identifier, identifier[:12]}:
            self.assertEqual(module.find_container(text, containers),
                             module.RunningContainer(identifier, name, pid, engine.maker))

    def check(self, engine: Engine) -> None:
        with self.subTest(engine=engine.name):
            engine.start(NAME, *SLEEP)
            self.addCleanup(engine.remove, NAME)
            pid = engine.pid(NAME)
            self.assert_found(engine, pid)
            other = subprocess.Popen([*engine.prefix, "exec", NAME, *SLEEP]) if engine.name != "containerd" else None
            try:
                self.assert_found(engine, pid)
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

    def started(self, *command: str, uid: int = 0) -> int:
        """The pid of what calls itself conmon, with a child, and is run by that user."""
        script = self.folder / "conmon"
        if not script.exists():
            self.folder.chmod(0o755)
            script.write_text('#!/bin/sh\nsleep 1000 & echo ready; wait\n')
            script.chmod(0o755)
        process = subprocess.Popen(["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", str(script),
                                    *command], stdout=subprocess.PIPE, text=True, start_new_session=True)
        self.addCleanup(end, process)
        assert process.stdout
        self.assertEqual(process.stdout.readline(), "ready\n")
        return process.pid

    def test_forged_monitor(self) -> None:
        """What another user calls a monitor takes over no container of root, and no name."""
        require_root()
        self.started("-c", ID, "-n", NAME, uid=USER)
        self.assertIsNone(module.find_container(NAME, module.running_containers()))
        real = self.started("-c", ID, "-n", NAME, "-c", OTHER, "-n", "other")
        self.started("-c", ID, "-n", "another", uid=USER)
        found = module.find_container(NAME, module.running_containers())
        assert found
        self.assertEqual((found.identifier, found.maker, module.proc_status(found.pid)["PPid"]), (ID, 0, str(real)))
        self.assertEqual(module.identify_container(found.pid, 0), (ID, NAME, False, 0))

    def test_forged_control_group(self) -> None:
        """A user who has groups below one's own calls them what they like."""
        require_root()
        pid = self.started("-c", OTHER, uid=USER)
        mount = next(mount.path for mount in module.control_group_mounts()
                     if mount.is_v2 or "name=systemd" in mount.options or "pids" in mount.options)
        folders = [pathlib.Path(mount, NAME), pathlib.Path(mount, NAME, f"libpod-{ID}.scope"),
                   pathlib.Path(mount, NAME, f"libpod-{ID}.scope", f"libpod-{OTHER}.scope")]
        for folder in folders:
            folder.mkdir()
            self.addCleanup(folder.rmdir)
        self.addCleanup(pathlib.Path(mount, "cgroup.procs").write_text, str(pid))
        (folders[2] / "cgroup.procs").write_text(str(pid))
        self.assertEqual(module.container_in_groups(pid), (ID, 0))  # the outermost
        os.chown(folders[0], USER, USER)
        self.assertEqual(module.container_in_groups(pid), (ID, USER))

    @contextlib.contextmanager
    def docker(self, answer: bytes, part: int, pause_s: float = 0) -> Iterator[module.DockerSocket]:
        """What asks a socket that answers so, a part at a time."""
        path = self.folder / "docker.sock"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen(8)

            def serve() -> None:
                with contextlib.suppress(OSError):
                    while True:
                        connection, _ = listener.accept()
                        self.requests.append(connection.recv(4096))
                        with contextlib.suppress(OSError), connection:
                            for start in range(0, len(answer), part):
                                connection.sendall(answer[start:start + part])
                                time.sleep(pause_s)
            self.requests: list[bytes] = []
            thread = threading.Thread(target=serve, daemon=True)
            thread.start()
            with mock.patch.dict(os.environ, {"DOCKER_HOST": f"unix://{path}"}):
                yield module.DockerSocket()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
        path.unlink()

    def test_docker_that_does_not_answer(self) -> None:
        with mock.patch.dict(os.environ, {"DOCKER_HOST": f"unix://{self.folder}/none"}):
            self.assertEqual(module.DockerSocket().names(), {})

    def test_docker_that_is_slow(self) -> None:
        """The whole answer has its time; who took longer is left alone, each time for twice as long."""
        answer = b'HTTP/1.0 200 OK\r\n\r\n[{"Id": "' + ID.encode() + b'", "Names": ["/web"]}]'
        with self.docker(answer, 10) as docker:
            self.assertEqual(docker.names(), {ID: "web"})
            self.assertEqual(docker.names(ID), {ID: "web"})
            self.assertEqual(docker.names("x%22&limit=1"), {})
        self.assertEqual(len(self.requests), 2)
        with mock.patch.object(module.DockerSocket, "TIMEOUT_S", 0.3), self.docker(answer, 1, 0.1) as docker:
            self.assertEqual(docker.names(), {})
            self.assertEqual(docker.names(), {})
            self.assertEqual(len(self.requests), 1)
            time.sleep(module.DockerSocket.FIRST_PAUSE_S)
            self.assertEqual(docker.names(), {})
            time.sleep(module.DockerSocket.FIRST_PAUSE_S)
            self.assertEqual(docker.names(), {})
        self.assertEqual(len(self.requests), 2)


class NoSystemd(unittest.TestCase):
    """--unit where no systemd runs."""

    def test_what_to_use(self) -> None:
        """That is the reason, unless there is something that is called like a unit."""
        for roots, has_systemd, hint in (
                ((), False, "systemd does not run here: --pid, --cgroup or record --no-proc-start takes what runs"),
                ((), True, "no unit runs"), (("web.service",), False, "those that run: web.service")):
            with tempfile.TemporaryDirectory() as folder:
                for name in roots:
                    os.mkdir(f"{folder}/{name}")
                with mock.patch.object(module, "control_group_roots", lambda: [folder]), \
                        mock.patch.object(module, "has_systemd", lambda: has_systemd), \
                        self.assertRaises(module.SpocError) as raised:
                    module.unit_control_group("nginx")
            self.assertEqual(str(raised.exception), f"find unit: nginx: no running unit has this name; {hint}")


@kernel_tier
class Units(Case):
    """The cgroup of a unit, in whichever hierarchy systemd keeps it."""

    def found(self, mounts: str, unit: str, most: int = 1000) -> str:
        script = f"import sys; sys.path.insert(0, {str(module.__file__)!r}.rpartition('/')[0]); import spoc\n" \
                 f"spoc.MAX_NAMES_LISTED = {most}\n" \
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
