# SPDX-License-Identifier: MIT
"""Real servers under real load, recorded whole, on loopback and with their data in the scratch folder."""

import contextlib
import glob
import json
import os
import pathlib
import platform
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import unittest
import urllib.request
from typing import Any, Callable, Iterator, List, Set

from cases import calls_after_exec
from support import SPOC, WAIT_S, Case, require, require_command, require_root, seen_syscalls

TIER = "kernel"
TIMEOUT_S = 240
EPOLL_WAIT = "epoll_wait" if platform.machine() == "x86_64" else "epoll_pwait"
COMMAND_LINE = re.compile(r"Running command with PID: (\d+)$", re.MULTILINE)
# What one run of a server calls and another may not: name -> why. In one and the same run there is no such difference.
CHANCE = {
    "mremap": "a buffer grows beyond what realloc can serve from the heap, or does not",
    "restart_syscall": "a wait with a timeout was stopped by the tracer, or was not",
}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def answers(port: int) -> bool:
    """Does anyone listen there?"""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


class Server:
    """A server that is being recorded, perhaps under strace."""

    def __init__(self, process: "subprocess.Popen[bytes]", messages: pathlib.Path, profile: pathlib.Path):
        self.process, self.messages, self.profile = process, messages, profile

    @property
    def pid(self) -> int:
        """The pid of the command, which strace shows in its log."""
        match = COMMAND_LINE.search(self.messages.read_text("utf-8", "replace"))
        assert match, self.messages.read_text("utf-8", "replace")
        return int(match[1])

    def names(self) -> Set[str]:
        return seen_syscalls(json.loads(self.profile.read_text()), self.messages.read_text("utf-8", "replace"))


class ServerCase(Case):
    """A case that records a server."""

    backend = "bpf"

    def setUp(self) -> None:
        super().setUp()
        require_root()
        require_command("strace")

    @contextlib.contextmanager
    def recorded(self, ready: Callable[[], bool], *command: str, traced: bool = False) -> Iterator[Server]:
        """A server that is ready for its load; on exit it must have ended without an error, its own or spoc.py's."""
        stem = "traced" if traced else "loaded"
        messages, profile, log = (self.folder / f"{stem}.{kind}" for kind in ("messages", "json", "strace"))
        tracer = ["strace", "-f", "-qq", "-o", str(log)] if traced else []
        with open(messages, "wb") as stream:
            process = subprocess.Popen([*tracer, sys.executable, str(SPOC), "record", "--backend", self.backend, "-n",
                                        "-t", "raw-seccomp", "-o", str(profile), "--", *command],
                                       stdin=subprocess.DEVNULL, stdout=stream, stderr=stream)
        server = Server(process, messages, profile)
        try:
            deadline_s = time.monotonic() + TIMEOUT_S
            while not ready():
                self.assertIsNone(process.poll(), messages.read_text("utf-8", "replace"))
                self.assertLess(time.monotonic(), deadline_s, messages.read_text("utf-8", "replace"))
                time.sleep(0.1)
            yield server
            self.assertEqual(process.wait(TIMEOUT_S), 0, messages.read_text("utf-8", "replace"))
            self.assertNotIn(" Error: ", messages.read_text("utf-8", "replace"))
            self.assertFalse(ready())
        finally:
            if process.poll() is None:
                with contextlib.suppress(AssertionError, ProcessLookupError):
                    os.kill(server.pid, signal.SIGKILL)
                process.terminate()
                process.wait(TIMEOUT_S)

    def run_load(self, *command: str) -> str:
        """What a load tool prints that has met no error."""
        result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                text=True, timeout=TIMEOUT_S)
        self.assertEqual(result.returncode, 0, result.stdout)
        return result.stdout

    def assert_records(self, command: Callable[[str, int], List[str]], load: Callable[[int, bool], None],
                       must_hold: Set[str], ready: Callable[[int], bool] = answers) -> None:
        """Under load the recording holds these; and in one and the same run it holds just what strace reports.

        command: where its data goes and port -> the command line; load: port and whether it is a light one.
        """
        port = free_port()
        with self.recorded(lambda: ready(port), *command("loaded", port)) as server:
            load(port, False)
            server.process.terminate()  # spoc.py, which passes it on
        self.assertEqual(must_hold - server.names(), set())

        with self.recorded(lambda: ready(port), *command("traced", port), traced=True) as traced:
            load(port, True)
            os.kill(traced.pid, signal.SIGTERM)
        log = (self.folder / "traced.strace").read_text("utf-8", "replace")
        self.assertEqual(traced.names(), calls_after_exec(log, traced.pid))
        self.assertEqual(traced.names() - server.names() - set(CHANCE), set())


class Redis(ServerCase):
    def test_redis_benchmark(self) -> None:
        require_command("redis-server", "redis-benchmark")

        def command(run: str, port: int) -> List[str]:
            folder = self.folder / run
            folder.mkdir()
            return ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), "--appendonly",
                    "yes", "--appendfsync", "always", "--daemonize", "no", "--io-threads", "2", "--save", ""]

        def load(port: int, light: bool) -> None:
            requests = 400 if light else 4000
            printed = self.run_load("redis-benchmark", "-h", "127.0.0.1", "-p", str(port), "-n", str(requests), "-c",
                                    "10", "-q", "-t", "ping,set,get,incr,lpush,rpop,mset", "-P", "4")
            self.assertEqual(len(re.findall(r"requests per second", printed)), 8, printed)
            self.assertNotIn("ERR", printed)
            # An RDB snapshot is written by a forked child.
            self.assertIn("Background saving started", self.run_load("redis-cli", "-p", str(port), "bgsave"))

            # Until its end, which the server sees when it next looks.
            while "rdb_bgsave_in_progress:0" not in self.run_load("redis-cli", "-p", str(port), "info", "persistence"):
                time.sleep(0.1)

        self.assert_records(command, load, {
            EPOLL_WAIT, "accept4", "bind", "clone", "epoll_ctl", "exit_group", "fdatasync", "fsync", "listen", "openat",
            "read", "rt_sigaction", "setsockopt", "socket", "wait4", "write"})


class Nginx(ServerCase):
    def test_apache_benchmark(self) -> None:
        require_command("nginx", "ab")
        site = self.folder / "site"
        site.mkdir()
        (site / "index.html").write_text("<p>A page that is longer than a header.</p>\n" * 500)

        def command(run: str, port: int) -> List[str]:
            folder = self.folder / run
            folder.mkdir()
            temporary = "\n".join(f"    {kind}_temp_path {folder}/{kind};" for kind in (
                "client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
            (folder / "nginx.conf").write_text(f"""
daemon off;
worker_processes 2;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
    access_log {folder}/access.log;
    sendfile on;
{temporary}
    server {{ listen 127.0.0.1:{port}; root {site}; }}
}}
""")
            return [shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin") or "nginx", "-p", str(folder), "-c",
                    str(folder / "nginx.conf")]

        def load(port: int, light: bool) -> None:
            requests = 200 if light else 2000
            printed = self.run_load("ab", "-q", "-n", str(requests), "-c", "10", "-k", f"http://127.0.0.1:{port}/")
            self.assertRegex(printed, rf"Complete requests: +{requests}\n")
            self.assertRegex(printed, r"Failed requests: +0\n")
            self.assertNotIn("Non-2xx", printed)

        self.assert_records(command, load, {
            EPOLL_WAIT, "accept4", "bind", "clone", "epoll_ctl", "exit_group", "listen", "newfstatat", "openat",
            "recvfrom", "rt_sigsuspend", "sendfile", "setgid", "setuid", "socketpair", "wait4", "write", "writev"})


class Postgres(ServerCase):
    def test_initdb_and_pgbench(self) -> None:
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
        require(found, "PostgreSQL in /usr/lib/postgresql")
        programs = pathlib.Path(found[-1]).parent
        try:
            user = pwd.getpwnam("postgres")
        except KeyError:
            return require(False, "the user postgres")
        require_command("setpriv")

        def command(run: str, port: int) -> List[str]:
            folder = self.folder / run
            folder.mkdir()
            os.chown(folder, user.pw_uid, user.pw_gid)
            script = (f"{programs}/initdb -D data -A trust -U postgres >initdb.log && exec {programs}/postgres -D data "
                      f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}")
            return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--reset-env",
                    "sh", "-c", f"cd {folder} && {script}"]

        def ready(port: int) -> bool:
            return subprocess.run([f"{programs}/pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]).returncode == 0

        def load(port: int, light: bool) -> None:
            transactions = 10 if light else 100
            pgbench = [f"{programs}/pgbench", "-h", "127.0.0.1", "-p", str(port), "-U", "postgres"]
            self.run_load(*pgbench, "-i", "-q", "postgres")
            printed = self.run_load(*pgbench, "-c", "4", "-j", "2", "-t", str(transactions), "postgres")
            self.assertIn(f"transactions actually processed: {4 * transactions}/{4 * transactions}", printed)
            self.assertRegex(printed, r"number of failed transactions: 0 ")

        self.assert_records(command, load, {
            EPOLL_WAIT, "bind", "clone", "connect", "epoll_create1", "epoll_ctl", "execve", "exit_group", "fdatasync",
            "fsync", "ftruncate", "kill", "listen", "openat", "pread64", "pwrite64", "recvfrom", "sendto", "setresuid",
            "setsid", "shmat", "shmctl", "shmget", "socket", "wait4"}, ready)


class NotifyNginx(Nginx):
    """A server of several processes, under load."""

    backend = "notify"


class Served(ServerCase):
    """Servers that are recorded under load, then run under that profile and the same load."""

    # Whether a call is made is chance; it must not decide a test.
    CHANCE = ",".join(sorted({"execve", *CHANCE}))

    @contextlib.contextmanager
    def running(self, port: int, ready: Callable[[int], bool], profile: str, *command: str) -> Iterator[Any]:
        """A server under the profile that is ready for its load; in the end it must have been stopped in nothing."""
        messages = self.folder / "run.messages"
        with open(messages, "wb") as stream:
            process = subprocess.Popen([sys.executable, str(SPOC), "run", "-p", profile, "-b", self.CHANCE,
                                        "--enricher", "tracepoint", "--", *command],
                                       stdin=subprocess.DEVNULL, stdout=stream, stderr=stream)
        try:
            deadline_s = time.monotonic() + WAIT_S
            while not ready(port):
                self.assertIsNone(process.poll(), messages.read_text("utf-8", "replace"))
                self.assertLess(time.monotonic(), deadline_s, messages.read_text("utf-8", "replace"))
                time.sleep(0.1)
            yield process
            self.assertEqual(process.wait(WAIT_S), 0, messages.read_text("utf-8", "replace"))
            self.assertNotRegex(messages.read_text("utf-8", "replace"), r"Seccomp|\bError: ")
            self.assertIn("Running command with PID", messages.read_text("utf-8", "replace"))
        finally:
            if process.poll() is None:
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(5)
                process.terminate()
                process.wait(WAIT_S)

    def assert_runs(self, command: Callable[[str, int], List[str]], load: Callable[[int, bool], None],
                    ready: Callable[[int], bool], stop: int = signal.SIGTERM) -> None:
        port = free_port()
        with self.recorded(lambda: ready(port), *command("loaded", port)) as server:
            load(port, False)
            server.process.send_signal(stop)
        port = free_port()
        with self.running(port, ready, str(server.profile), *command("run", port)) as process:
            load(port, True)
            process.send_signal(stop)


class ServedLoad(Served):
    """Takes a test of test_servers, with its command and its load, and runs what it records."""

    def assert_records(self, command: Callable[[str, int], List[str]], load: Callable[[int, bool], None],
                       must_hold: Set[str], ready: Callable[[int], bool] = answers) -> None:
        self.assert_runs(command, load, ready)


class ServedRedis(ServedLoad, Redis):
    pass


class ServedNginx(ServedLoad, Nginx):
    pass


class ServedPostgres(ServedLoad, Postgres):
    pass


class ServedPython(Served):
    def test_web_server(self) -> None:
        site = self.folder / "site"
        site.mkdir()
        for number in range(5):
            (site / f"page{number}").write_text(f"page {number}\n" * 10000)

        def command(_run: str, port: int) -> List[str]:
            return [sys.executable, "-I", "-m", "http.server", "-b", "127.0.0.1", "-d", str(site), str(port)]

        def load(port: int, _light: bool) -> None:
            for number in range(50):
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/page{number % 5}", timeout=WAIT_S) as response:
                    self.assertEqual(response.read().decode(), f"page {number % 5}\n" * 10000)
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=WAIT_S) as response:
                self.assertIn(b"page4", response.read())

        self.assert_runs(command, load, answers, signal.SIGINT)


if __name__ == "__main__":
    unittest.main()
