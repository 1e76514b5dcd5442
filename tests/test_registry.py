# SPDX-License-Identifier: MIT
"""push and pull, against Debian's docker-registry, skopeo, and a registry that does everything wrong."""

import base64
import concurrent.futures
import contextlib
import functools
import gzip
import hashlib
import http.client
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import time
import unittest
import unittest.mock
import urllib.parse
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import registries
import spoc
import support

TIER = "kernel"
JSON_PROFILE = (support.DATA / "docker-default.json").read_text(encoding="utf-8")
YAML_PROFILE = (support.DATA / "spo-baseprofile-runc.yaml").read_text(encoding="utf-8")


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


# Runs commands one after the other, with other limits of time; writes how each ended, and what this took.
HURRIED = """
import importlib.machinery, importlib.util, json, os, resource, sys, tempfile, time
with open(sys.argv[1], "rb") as file:
    is_compiled = file.read(4) == importlib.util.MAGIC_NUMBER
make_loader = importlib.machinery.SourcelessFileLoader if is_compiled else importlib.machinery.SourceFileLoader
loader = make_loader("spoc", sys.argv[1])
spoc = importlib.util.module_from_spec(importlib.util.spec_from_loader("spoc", loader))
sys.modules["spoc"] = spoc
loader.exec_module(spoc)
spoc.CONNECT_S, spoc.IDLE_S, spoc.REQUEST_S, spoc.OPERATION_S, spoc.FIRST_PAUSE_S = map(float, sys.argv[2:7])
results = []
standard = os.dup(1)
for arguments in json.load(sys.stdin):
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        start_s = time.monotonic()
        code = spoc.main(arguments)
        took_s = time.monotonic() - start_s
        texts = [os.pread(file.fileno(), 1 << 20, 0).decode() for file in (out, err)]
    results.append((code, *texts, took_s, len(os.listdir("/proc/self/fd"))))
os.write(standard, json.dumps((results, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)).encode())
"""


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    stdout: str
    stderr: str
    took_s: float
    descriptors: int


class Scripted(registries.Case):
    """A registry that answers well, but for what a test puts in the way, at each step of a pull and a push."""

    MAX_S = 15.0  # that a command may take under the limits below, on a busy machine
    MAX_RSS_KB = 96_000  # most of it to compile spoc.py: Python 3.13 takes more than 3.11
    interpreter: Tuple[str, ...] = (sys.executable,)
    BLOB = JSON_PROFILE.encode()
    PULL = ("GET manifests/latest", "GET manifests/sha256", "GET blobs/sha256")
    PUSH = ("HEAD blobs/sha256", "POST blobs/uploads", "PUT blobs/uploads", "PUT manifests/latest")
    STEPS = (*PULL, *PUSH)
    NOT_HEAD = (*PULL, *PUSH[1:])  # which is asked whether there is something to do, and need not answer well

    def setUp(self) -> None:
        super().setUp()
        (self.folder / "app.json").write_text(JSON_PROFILE)
        layer = {"mediaType": "application/json", "digest": sha256(self.BLOB), "size": len(self.BLOB),
                 "annotations": {"org.opencontainers.image.title": "profile.json"}}
        self.manifest = json.dumps({"schemaVersion": 2, "config": {
            "mediaType": registries.RUNTIME_TYPE, "digest": sha256(b"{}"), "size": 2}, "layers": [layer]}).encode()
        self.index = json.dumps({"schemaVersion": 2, "manifests": [
            {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": sha256(self.manifest),
             "size": len(self.manifest)}]}).encode()
        self.faults: Dict[str, Callable[[bytes], registries.Answer]] = {}
        self.server = registries.Server(self, self.respond)

    def step_of(self, request: registries.Request) -> Tuple[str, str]:
        """The repository and the step that a request is for."""
        match = re.fullmatch(r"/v2/([^/]+)/(.*)", request.target)
        assert match, request.target
        path = re.split("[:?]", match[2])[0]
        return match[1], f"{request.method} {'/'.join(path.split('/')[:2])}"

    def respond(self, request: registries.Request) -> registries.Answer:
        """The right answer; where a step and a fault are the repository's name, that with the fault."""
        repository, step = self.step_of(request)
        step_number, _, fault = repository.partition("-")
        good = {"GET manifests/latest": registries.answer(200, self.index),
                "GET manifests/sha256": registries.answer(200, self.manifest),
                "GET blobs/sha256": registries.answer(200, self.BLOB),
                "HEAD blobs/sha256": registries.answer(404),
                "POST blobs/uploads": registries.answer(202, Location=f"/v2/{repository}/blobs/uploads/here?state=1"),
                }.get(step, registries.answer(201 if request.method == "PUT" else 404))
        if fault and self.STEPS[int(step_number)] == step:
            return self.faults[fault](good)
        return good

    def hurried(self, commands: Sequence[Sequence[str]], connect_s: float = 2, idle_s: float = 2, request_s: float = 4,
                operation_s: float = 10, pause_s: float = 0.01) -> List[Ended]:
        """How these commands end. They may leave nothing open, and use little memory."""
        result = subprocess.run(
            [*self.interpreter, "-c", HURRIED, str(support.SPOC),
             *map(str, (connect_s, idle_s, request_s, operation_s, pause_s))], input=json.dumps(commands), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=self.folder, env=registries.environment(self.home))
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        results, rss_kb = json.loads(result.stdout)
        ended = [Ended(*each) for each in results]
        self.assertEqual({each.descriptors for each in ended}, {ended[0].descriptors})
        self.assertLess(rss_kb, self.MAX_RSS_KB)
        return ended

    @staticmethod
    def without_end(start: bytes, part: bytes, pause_s: float = 0) -> Iterator[bytes]:
        """It goes on for as long as anybody listens, and 2 GB at most."""
        yield start
        for _ in range((2 << 30) // len(part)):
            time.sleep(pause_s)
            yield part


class Hostile(Scripted):
    """A registry that does everything wrong."""

    def check_steps(self, faults: Dict[str, Tuple[Callable[[bytes], registries.Answer], str]],
                    steps: Sequence[str] = Scripted.STEPS) -> None:
        """Each of these faults, at each of these steps, ends a command with one line that fits a pattern."""
        self.faults = {name: fault for name, (fault, _) in faults.items()}

        def run(step: str) -> List[Ended]:
            number = self.STEPS.index(step)
            verb = ("pull", "-o", "out.json") if step in self.PULL else ("push", "-f", "app.json")
            return self.hurried([[*verb, "--plain-http", f"{self.server.host}/{number}-{name}"] for name in faults])

        with concurrent.futures.ThreadPoolExecutor(len(steps)) as pool:
            for step, results in zip(steps, pool.map(run, steps)):
                for (name, (_, pattern)), ended in zip(faults.items(), results):
                    with self.subTest(step, fault=name):
                        self.assertEqual((ended.code, ended.stdout), (125, ""), ended.stderr)
                        lines = [line for line in ended.stderr.splitlines() if " again in " not in line]
                        self.assertEqual(len(lines), 1, ended.stderr)
                        self.assertRegex(lines[0], f" Error: (pull|push|read profile): {self.server.host}/[^ ]*: .*"
                                                   f"(?:{pattern}).*; ")
                        self.assertLess(ended.took_s, self.MAX_S)
        self.assertEqual([path.name for path in self.folder.iterdir() if path.name not in ("home", "app.json")], [])

    def test_good_answers(self) -> None:
        """Without a fault both commands succeed, over one connection each."""
        pulled, pushed = self.hurried([["pull", "-o", "-", "--plain-http", f"{self.server.host}/a"],
                                       ["push", "-f", "app.json", "--plain-http", f"{self.server.host}/a"]])
        self.assertEqual((pulled.code, pulled.stdout), (0, JSON_PROFILE), pulled.stderr)
        self.assertEqual(pushed.code, 0, pushed.stderr)
        self.assertEqual(self.server.connections, 2)

    def test_digests_of_another_algorithm(self) -> None:
        """A registry may know its manifests by those (OCI image-spec, "Registered Algorithms")."""
        told = f"\r\nDocker-Content-Digest: sha512:{hashlib.sha512(b'').hexdigest()}\r\n".encode()
        self.faults = {"sha512": lambda good: good.replace(b"\r\n", told, 1)}
        pull, push = (f"{self.STEPS.index(step)}-sha512" for step in ("GET manifests/latest", "PUT manifests/latest"))
        pulled, pushed = self.hurried([["pull", "-o", "-", "--plain-http", f"{self.server.host}/{pull}"],
                                       ["push", "-f", "app.json", "--plain-http", f"{self.server.host}/{push}"]])
        self.assertEqual((pulled.code, pulled.stdout), (0, JSON_PROFILE), pulled.stderr)
        self.assertEqual(pushed.code, 0, pushed.stderr)
        self.assertRegex(pushed.stdout, f"^Pushed {self.server.host}/{push}:latest@sha256:[0-9a-f]{{64}}\n$")

    def test_broken_answers(self) -> None:
        closed = "connection was closed|not whole|ends after"
        self.check_steps({
            "nothing": (lambda good: None, "time-out"),
            "hang-up": (lambda good: [b""], closed),
            "status": (lambda good: [good[:12]], closed),
            "headers": (lambda good: [good[:30]], closed),
            "no-http": (lambda good: [b"SSH-2.0-OpenSSH_9.2\r\n"], "does not speak HTTP"),
            "slow": (lambda good: self.without_end(b"", b"H", 0.2), "time-out"),
            "slow-header": (lambda good: self.without_end(b"HTTP/1.1 200 OK\r\nX: ", b"x", 0.2), "time-out"),
            "long-header": (lambda good: self.without_end(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 8000), "not speak HTTP"),
            "headers-2gb": (lambda good: self.without_end(b"HTTP/1.1 200 OK\r\n", b"X: " + b"x" * 8000 + b"\r\n"),
                            "does not end|not speak HTTP"),
            "continue": (lambda good: self.without_end(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 99), "does not end"),
        })

    def test_refusals(self) -> None:
        """Statuses of errors; their bodies may be anything."""
        message = json.dumps({"errors": [{"code": "DENIED", "message": "no\x1b[31m way"}]}).encode()
        self.check_steps({
            "401": (lambda good: registries.answer(401), "wants a login"),
            "401-other": (lambda good: registries.answer(401, WWW_Authenticate="Negotiate"), "wants a login"),
            "401-odd": (lambda good: registries.answer(401, WWW_Authenticate='=,"Bearer"realm,,=x\\'),
                        "wants a login"),
            "403": (lambda good: registries.answer(403, message), "does not allow it|HTTP 403"),
            "418": (lambda good: registries.answer(418, b"{}"), "HTTP 418"),
            "418-surrogate": (lambda good: registries.answer(418, b'{"errors":[{"message":"\\ud800"}]}'),
                              r"HTTP 418: \\ud800"),
            "500": (lambda good: registries.answer(500, b"<html>"), "HTTP 500"),
            "503": (lambda good: registries.answer(503, b"[" * 5000, Retry_After="x"), "HTTP 503"),
            "429": (lambda good: registries.answer(429, Retry_After="3600"), "HTTP 429"),
            "2gb": (lambda good: self.without_end(b"HTTP/1.1 403 No\r\n\r\n", b"x" * 65536), "HTTP 403"),
            "999": (lambda good: registries.answer(999), "HTTP 999"),
        }, self.NOT_HEAD)
        refused, unknown = (lambda good: registries.answer(403)), (lambda good: registries.answer(418))
        self.faults = {"refused": refused, "unknown": unknown}
        place = f"{self.server.host}/{self.STEPS.index(self.PUSH[0])}"
        commands = [["push", "-f", "app.json", "--plain-http", f"{place}-{name}"] for name in self.faults]
        for ended in self.hurried(commands):
            self.assertEqual(ended.code, 0, ended.stderr)

    def test_redirects(self) -> None:
        def to(location: str) -> Callable[[bytes], bytes]:
            return lambda good: registries.answer(307, Location=location)

        self.check_steps({
            "itself": (to(""), "HTTP 307|redirects more than 5 times|where to upload"),
            "endless": (lambda good: registries.answer(308, Location=f"?{os.urandom(4).hex()}"), "more than 5 times"),
            "file": (to("file:///etc/passwd"), "file:///etc/passwd: no address for HTTP"),
            "nowhere": (to("http://:80/"), "no address for HTTP"),
            "login": (to("http://me:secret@127.0.0.1/"), r"(?<= )http://127\.0\.0\.1/: no address for HTTP"),
            "no-host": (to("http://[/"), r"http://\[/: no address for HTTP"),
            "lines": (to("/a b\tc"), "no address for HTTP"),
            "refused": (to(f"http://127.0.0.1:{registries.free_port()}/"), "connection refused"),
            "none": (lambda good: registries.answer(302), "HTTP 302"),
        }, self.NOT_HEAD)

    def test_bodies(self) -> None:
        """What pull gets: too much, too little, something else."""
        def changed(body: Callable[[bytes], bytes], **headers: Any) -> Callable[[bytes], bytes]:
            return lambda good: registries.answer(200, body(good.partition(b"\r\n\r\n")[2]), **headers)

        def head(**headers: Any) -> bytes:
            return registries.answer(200, **headers).replace(b"Content-Length: 0\r\n", b"")

        wrong = "digest|came with|came for|makes no sense|no JSON|no profile"
        large = "larger than|does not end"
        self.check_steps({
            "half": (lambda good: [good[:-40]], "ends after"),
            "half-chunk": (lambda good: [head(Transfer_Encoding="chunked") + b"ffff\r\n{"], "not whole"),
            "shorter": (changed(lambda body: body[:-1]), wrong),
            "longer": (changed(lambda body: body + b" "), f"{wrong}|larger"),
            "other": (changed(lambda body: body.replace(b"2", b"3")), wrong),
            "empty": (changed(lambda body: b""), wrong),
            "gzip": (changed(gzip.compress, Content_Encoding="gzip"), f"{wrong}|larger"),
            "told-2gb": (lambda good: self.without_end(head(Content_Length=str(2 << 30)), b"x" * 65536), large),
            "2gb": (lambda good: self.without_end(head(Connection="close"), b"x" * 65536), large),
            "chunks-2gb": (lambda good: self.without_end(head(Transfer_Encoding="chunked"),
                                                         b"10000\r\n" + b"x" * 65536 + b"\r\n"), large),
            "chunk-2gb": (lambda good: self.without_end(head(Transfer_Encoding="chunked") + b"80000000\r\n",
                                                        b"x" * 65536), large),
            "chunk-minus": (lambda good: self.without_end(head(Transfer_Encoding="chunked") + b"-1\r\n", b"x" * 65536),
                            f"{large}|not speak HTTP|not whole"),
            "slow": (lambda good: self.without_end(head(Content_Length="99"), b"x", 0.2), "time-out"),
        }, self.PULL[1:])
        told = changed(lambda body: body, Docker_Content_Digest=f"sha256:{64 * '0'}")
        self.check_steps({"told-digest": (told, f"the manifest has the digest {sha256(self.index)}, not sha256:0")},
                         self.PULL[:1])


class Bad(Scripted):
    """A network that is bad, and a registry that is busy."""

    def setUp(self) -> None:
        super().setUp()
        self.place = f"{self.server.host}/app"

    def test_busy(self) -> None:
        """What a busy registry says of when to come back holds; the command succeeds then."""
        times: List[float] = []

        def busy(request: registries.Request) -> registries.Answer:
            times.append(time.monotonic())
            if len(times) in (1, 3):
                return registries.answer(429 if len(times) == 1 else 503, Retry_After="2")
            return self.respond(request)

        server = registries.Server(self, busy)
        pulled, = self.hurried([["pull", "-o", "-", "--plain-http", f"{server.host}/app"]])
        self.assertEqual((pulled.code, pulled.stdout), (0, JSON_PROFILE), pulled.stderr)
        self.assertEqual(len(re.findall(r"HTTP (?:429|503): again in 2\.\d s\n", pulled.stderr)), 2, pulled.stderr)
        self.assertGreaterEqual(times[1] - times[0], 2)
        self.assertGreaterEqual(times[3] - times[2], 2)

    def test_pauses_grow(self) -> None:
        """A date that has passed is no pause; without one the pauses double."""
        times: List[float] = []

        def busy(request: registries.Request) -> registries.Answer:
            times.append(time.monotonic())
            return registries.answer(500, Retry_After="Sat, 01 Jan 2000 00:00:00 GMT")

        server = registries.Server(self, busy)
        ended, = self.hurried([["pull", "-o", "-", "--plain-http", f"{server.host}/app"]], pause_s=0.1)
        self.assertEqual(ended.code, 125)
        pauses = [after - before for before, after in zip(times, times[1:])]
        self.assertEqual(len(pauses), 4)
        for number, pause in enumerate(pauses):
            self.assertGreaterEqual(pause, 0.1 * 2 ** (number + 1))

    def test_connection_that_was_closed_meanwhile(self) -> None:
        """A server need not say that it closes one that waits; nothing is said of that, and nobody waits."""
        server = registries.Server(self, self.respond, keeps_open=False)
        ended = self.hurried([["pull", "-o", "-", "--plain-http", f"{server.host}/app"],
                              ["push", "-f", "app.json", "--plain-http", f"{server.host}/app"]], pause_s=5)
        self.assertEqual([each.code for each in ended], [0, 0], ended)
        self.assertNotIn("again in", ended[0].stderr + ended[1].stderr)

    def test_hang_ups(self) -> None:
        """At each step once: the command goes on."""
        for step in self.STEPS:
            with self.subTest(step):
                seen: List[str] = []

                def once(request: registries.Request) -> registries.Answer:
                    seen.append(self.step_of(request)[1])
                    if seen.count(step) == 1 and seen[-1] == step:
                        return [b"HTTP/1.1 200"]
                    return self.respond(request)

                server = registries.Server(self, once)
                command = ["pull", "-o", "-"] if step in self.PULL else ["push", "-f", "app.json"]
                ended, = self.hurried([[*command, "--plain-http", f"{server.host}/app"]])
                self.assertEqual(ended.code, 0, ended.stderr)
                self.assertGreater(seen.count(step), 1)

    def test_nobody_takes_the_connection(self) -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, contextlib.ExitStack() as waiting:
            port = listener.getsockname()[1]
            for _ in range(4):  # until the kernel drops what comes
                peer = waiting.enter_context(socket.socket())
                peer.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    peer.connect(("127.0.0.1", port))
            time.sleep(0.2)
            ended, = self.hurried([["pull", "--plain-http", f"127.0.0.1:{port}/app"]], connect_s=1)
        self.assertEqual(ended.code, 125)
        self.assertIn(f"127.0.0.1:{port}: time-out; check the network, and whether it takes a proxy", ended.stderr)
        line = self.refused("pull", f"127.0.0.1:{port}/app")
        self.assertIn(f"127.0.0.1:{port}: connection refused; check the port", line)
        self.assertIn("registry.invalid: unknown host; check the name", self.refused("pull", "registry.invalid/app"))

    def test_name_of_this_machine_that_leads_elsewhere(self) -> None:
        """Not all resolvers keep names below localhost: without TLS others would get the login."""
        support.require_root()
        hosts = self.folder / "hosts"
        hosts.write_text("192.0.2.1 team.localhost\n")
        script = 'ip link set lo up; ip address add 192.0.2.1/32 dev lo; mount --bind "$1" /etc/hosts; shift'
        listen = "import http.server as h, subprocess, sys, threading; " \
                 "s = h.HTTPServer(('192.0.2.1', 5000), h.SimpleHTTPRequestHandler); " \
                 "threading.Thread(target=s.serve_forever, daemon=True).start(); " \
                 "sys.exit(subprocess.run(sys.argv[1:]).returncode)"
        for options, reason in (((), "team.localhost:5000 leads to 192.0.2.1, which is not this machine"),
                                (("--plain-http",), "no such repository")):
            result = subprocess.run(
                ["unshare", "--net", *support.in_mounts(script, str(hosts)), sys.executable, "-c", listen,
                 sys.executable, str(support.SPOC), "pull", *options, "-o", "-", "team.localhost:5000/app"],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=registries.environment(self.home))
            self.assertEqual(result.returncode, 125, result.stderr)
            self.assertIn(reason, result.stderr)

    def test_nobody_answers_for_names(self) -> None:
        """A name server that is silent holds nothing up for longer than a registry may."""
        support.require_root()
        resolv = self.folder / "resolv.conf"
        resolv.write_text("nameserver 127.0.0.1\noptions timeout:30 attempts:5\n")
        script = ('ip link set lo up; mount --bind "$1" /etc/resolv.conf; echo hosts: dns >"$1.nss"; '
                  'mount --bind "$1.nss" /etc/nsswitch.conf; shift')
        silent = "import socket, subprocess, sys; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); " \
                 "s.bind(('127.0.0.1', 53)); sys.exit(subprocess.run(sys.argv[1:]).returncode)"
        with unittest.mock.patch.object(self, "interpreter", (
                "unshare", "--net", *support.in_mounts(script, str(resolv)), sys.executable, "-c", silent,
                sys.executable)):
            ended, = self.hurried([["pull", "registry.test/app"]])
        self.assertEqual(ended.code, 125)
        self.assertIn("registry.test: time-out", ended.stderr)
        self.assertLess(ended.took_s, self.MAX_S)

    def test_blob_store(self) -> None:
        """Where a registry sends to another host, that does not learn who asks."""
        store = registries.Server(self, lambda request: registries.answer(200, self.BLOB))

        def redirect(request: registries.Request) -> registries.Answer:
            if not request.headers.get("Authorization"):
                return registries.answer(401, WWW_Authenticate="Basic realm=x")
            if "/blobs/" in request.target:
                return registries.answer(307, Location=f"http://{store.host}/bucket?signature=x%2By")
            return self.respond(request)

        server = registries.Server(self, redirect)
        result = self.spoc("pull", "-v", "-o", "-", "--plain-http", f"{server.host}/app",
                           env=registries.environment(self.home, SPOC_USERNAME="me", SPOC_PASSWORD="secret"))
        self.assertEqual(result.stdout, JSON_PROFILE)
        request, = store.requests
        self.assertEqual((request.target, request.headers["Host"]), ("/bucket?signature=x%2By", store.host))
        self.assertNotIn("Authorization", request.headers)
        self.assertNotIn("signature", result.stderr)

    def test_upload_elsewhere(self) -> None:
        """The same of an upload, where what stands behind # in an address is for nobody's eyes."""
        store = registries.Server(self, lambda request: registries.answer(201))

        def elsewhere(request: registries.Request) -> registries.Answer:
            if not request.headers.get("Authorization"):
                return registries.answer(401, WWW_Authenticate="Basic realm=x")
            if request.method == "POST":
                return registries.answer(202, Location=f"http://{store.host}/bucket?a=b#c")
            return self.respond(request)

        server = registries.Server(self, elsewhere)
        self.spoc("push", "-f", "app.json", "--plain-http", f"{server.host}/app",
                  env=registries.environment(self.home, SPOC_USERNAME="me", SPOC_PASSWORD="secret"))
        self.assertEqual({request.method for request in store.requests}, {"PUT"})
        for request in store.requests:
            self.assertEqual(urllib.parse.parse_qs(request.target.partition("?")[2]),
                             {"a": ["b"], "digest": [sha256(request.body)]})
            self.assertNotIn("Authorization", request.headers)

    def test_mount_that_is_refused(self) -> None:
        """The blobs are sent then: who asks may not read there, or the registry mounts nothing."""
        for status in (400, 401, 403, 404, 405):
            def refuse(request: registries.Request) -> registries.Answer:
                if request.method == "POST" and "mount=" in request.target:
                    return registries.answer(status, WWW_Authenticate="Basic realm=x")
                return self.respond(request)
            server = registries.Server(self, refuse)
            self.spoc("push", "-f", f"oci://{server.host}/one", f"{server.host}/other")
            self.assertEqual([request.method for request in server.requests if request.target.startswith("/v2/other/")],
                             [*2 * ["HEAD", "POST", "POST", "PUT"], "PUT"])

    @staticmethod
    def always(reply: bytes, _request: registries.Request) -> registries.Answer:
        return reply

    def test_never_from_tls_to_none(self) -> None:
        """Neither a redirect, nor an upload, nor a token service takes TLS away."""
        authority = registries.Authority(self.folder / "authority")
        plain = registries.Server(self, lambda request: registries.answer(200, self.BLOB))
        url, certificate = f"http://{plain.host}/x", authority.issue()
        for label, reply, reason in (
                ("redirect", registries.answer(307, Location=url), f"leads to {plain.host} without TLS"),
                ("upload", registries.answer(202, Location=url), f"leads to {plain.host} without TLS"),
                ("token", registries.answer(401, WWW_Authenticate=f'Bearer realm="{url}",service="x"'),
                 f"wants a login without TLS, at {plain.host}")):
            with self.subTest(label):
                server = registries.Server(self, functools.partial(self.always, reply), certificate)
                line = self.refused("push", "-f", "app.json", "--ca", authority.certificate, f"{server.host}/app")
                self.assertIn(reason, line)
        self.assertEqual(plain.requests, [])

    def test_pages_of_tags(self) -> None:
        """Relative and absolute links, over one connection; no page without an end."""
        names = [f"node-{number:04}" for number in range(1000)]

        def page(request: registries.Request) -> registries.Answer:
            query = urllib.parse.parse_qs(urllib.parse.urlsplit(request.target).query)
            first = int(query.get("after", ["0"])[0])
            found = names[first:first + 100]
            link = f"/v2/app/tags/list?after={first + 100}"
            more = {"Link": f'<{link if first % 200 else f"http://{server.host}{link}"}>; rel="next"'}
            return registries.answer(200, json.dumps({"name": "app", "tags": found}).encode(),
                                     **(more if first + 100 < len(names) or "/endless/" in request.target else {}))

        server = registries.Server(self, page)
        settings = spoc.Settings(plain_http=True)
        with spoc.RegistryClient(settings) as client:
            self.assertEqual(client.tags(spoc.parse_reference(f"{server.host}/app")), names)
        self.assertEqual((len(server.requests), server.connections), (10, 1))
        server = registries.Server(self, lambda request: registries.answer(
            200, b'{"tags": ["a"]}', Link="<?again>; rel=next"))
        with spoc.RegistryClient(settings) as client, self.assertRaisesRegex(spoc.SpocError, "tags does not end"):
            client.tags(spoc.parse_reference(f"{server.host}/app"))
        for body in (b"", b"[]", b'{"tags": 7}', b'{"tags": [7]}', b'{"tags": ["../x"]}', b'{"tags": {"a": "b"}}',
                     b"[" * 100_000):
            server = registries.Server(self, functools.partial(self.always, registries.answer(200, body)))
            with spoc.RegistryClient(settings) as client, self.assertRaisesRegex(spoc.SpocError, "tags is none"):
                client.tags(spoc.parse_reference(f"{server.host}/app"))
        server = registries.Server(self, lambda request: registries.answer(200, b'{"tags": null}'))
        with spoc.RegistryClient(settings) as client:
            self.assertEqual(client.tags(spoc.parse_reference(f"{server.host}/app")), [])

    def test_killed(self) -> None:
        """The registry is killed at each step: nothing is left, what was there stays, and the repeat succeeds."""
        registry = self.registry()
        self.spoc("convert", "-t", "raw-seccomp", "-o", "app.json", "app.json")
        self.spoc("push", "-f", "app.json", f"{registry.host}/app")
        kept, before_it = self.folder / "kept.json", '{"defaultAction": "SCMP_ACT_LOG"}\n'
        kept.write_text(before_it)
        before = sorted(path.name for path in self.folder.iterdir())
        moments = (("GET manifests/latest", "before within"), ("GET blobs/sha256", "within after"),
                   ("HEAD blobs/sha256", "before"), ("POST blobs/uploads", "after"),
                   ("PUT blobs/uploads", "within after"), ("PUT manifests/latest", "within after"))
        for step, moment in ((step, moment) for step, listed in moments for moment in listed.split()):
            with self.subTest(step, moment=moment):
                command = ("pull", "-o", "kept.json") if step in self.PULL else ("push", "-f", "app.json")
                place = f"{registry.host}/{moment}-{re.sub('[ /]', '-', step.lower())}"
                if step in self.PULL:
                    self.spoc("push", "-f", "app.json", place)
                relay = registries.Server(self, functools.partial(self.relayed, registry, step, moment))
                ended, = self.hurried([[*command, "--plain-http", place.replace(registry.host, relay.host)]])
                self.assertEqual((ended.code, ended.stdout), (125, ""), ended.stderr)
                self.assertIn(": the connection was closed; try again later\n", ended.stderr)
                self.assertEqual(kept.read_text(), before_it)
                self.assertEqual(sorted(path.name for path in self.folder.iterdir()), before)
                self.assertFalse(registries.has_listener("127.0.0.1", registry.port))
                registry.start()
                self.spoc(*command[:2], command[2].replace("kept", "new"), place)
                self.spoc("pull", "-o", "new.json", place)
                self.spoc("diff", "app.json", "new.json")
                (self.folder / "new.json").unlink()

    def relayed(self, registry: registries.Registry, step: str, moment: str,
                request: registries.Request) -> registries.Answer:
        """What a registry answers; it is killed before the request of this step, or before its answer has come."""
        is_now = self.step_of(request)[1] == step
        if is_now and moment == "before":
            registry.stop()
        if is_now and moment == "within" and request.body:
            with socket.create_connection(("127.0.0.1", registry.port)) as peer:
                head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
                peer.sendall(f"{request.method} {request.target} HTTP/1.1\r\n{head}\r\n".encode() + request.body[:50])
                time.sleep(0.1)
                registry.stop()
            return [b""]
        try:
            with contextlib.closing(http.client.HTTPConnection("127.0.0.1", registry.port)) as connection:
                connection.request(request.method, request.target, request.body, dict(request.headers.items()))
                reply = connection.getresponse()
                headers: Dict[str, Any] = {name.replace("-", "_"): value for name, value in reply.getheaders()
                                           if name.lower() in ("location", "content-type", "docker-content-digest")}
                whole = registries.answer(reply.status, reply.read(), **headers)
        except OSError:
            return [b""]
        if is_now and moment != "before":
            registry.stop()
            return [whole[:len(whole) // 2] if moment == "within" else b""]
        return whole


class Recorded(Scripted):
    """What was recorded is not lost, whatever the registry answers at the end."""

    BLOB = b"\xff"

    def respond(self, request: registries.Request) -> registries.Answer:
        if request.method == "HEAD" and "/manifests/" in request.target:
            return registries.answer(200)
        return super().respond(request)

    def test_append_to_what_is_no_text(self) -> None:
        support.require_root()
        line = self.refused("record", "--append", "-o", f"oci://{self.server.host}/app", "true")
        self.assertIn(f"read profile: {self.server.host}/app:latest@{sha256(self.index)}: is not UTF-8", line)

    def test_answers_at_the_end(self) -> None:
        support.require_root()
        step = self.STEPS.index("PUT manifests/latest")
        for name, fault, reason in (
                ("location", registries.answer(307, Location="http://[/"), "no address for HTTP"),
                ("surrogate", registries.answer(400, b'{"errors":[{"message":"\\ud800"}]}'), r"\ud800"),
                ("later", registries.answer(503, Retry_After="60"), "HTTP 503")):  # a service manager waits less
            with self.subTest(name):
                self.faults[name] = functools.partial(lambda fault, _: fault, fault)
                result = self.spoc("record", "-n", "-o", f"oci://{self.server.host}/{step}-{name}", "true", code=125)
                self.assertIn(reason, result.stderr)
                self.assertNotIn(" again in ", result.stderr)
                self.assertIn(f"The profile is in {step}-{name}-latest.yaml; ", result.stderr)
                self.assertIn("exit_group", (self.folder / f"{step}-{name}-latest.yaml").read_text())


class Names(unittest.TestCase):
    """References, and what they lead to."""

    TIER = "pure"

    def test_references(self) -> None:
        digest = "sha256:" + 64 * "0"
        for text, wanted in (
                ("localhost/a", ("localhost", "a", "latest", "")),
                ("oci://Docker.IO:443/a/b-c__d.e:T.1", ("docker.io:443", "a/b-c__d.e", "T.1", "")),
                ("[::1]:5000/a", ("[::1]:5000", "a", "latest", "")), ("[::1]/a", ("[::1]", "a", "latest", "")),
                (f"10.0.0.1/a@{digest}", ("10.0.0.1", "a", "", digest)),
                (f"a-b.c:1/d:e@{digest}", ("a-b.c:1", "d", "e", digest))):
            reference = spoc.parse_reference(text)
            self.assertEqual(tuple(reference), wanted)
            self.assertEqual(spoc.parse_reference(str(reference)), reference)

    def test_docker_hub_has_three_names(self) -> None:
        reference = spoc.parse_reference("docker.io/team/app")
        with spoc.RegistryClient(spoc.Settings()) as client:
            self.assertEqual(client._origin(reference), ("https", "registry-1.docker.io", 443))
        entry = {"auth": base64.b64encode(b"me:1").decode()}
        account = spoc.Account(0, 0, {})
        for key in ("https://index.docker.io/v1/", "docker.io", "index.docker.io", "docker.io/team"):
            self.assertEqual(spoc.login_in({"auths": {key: entry}}, reference, account, ""), ("me", "1", False), key)

    def test_networks_without_a_proxy(self) -> None:
        origin = spoc.Origin("https", "10.1.2.3", 443)
        for entry, fits in (("10.0.0.0/8", True), ("10.1.2.3", True), ("10.1.2.3:443", True), ("10.1.2.3:80", False),
                            ("10.1.2.0/30", True), ("10.1.2.4/30", False), ("fd00::/8", False), ("", False),
                            ("0.1.2.3", False), ("*", True), (".2.3", True), ("[10.1.2.3]", True)):
            self.assertEqual(spoc.is_reached_without(entry, origin), fits, entry)
        self.assertTrue(spoc.is_reached_without("fd00::/8", spoc.Origin("https", "fd00::1", 443)))

    def test_nothing_of_it_is_imported_before(self) -> None:
        """Other commands start as fast as without it."""
        script = ("import sys; before = set(sys.modules); sys.path.insert(0, sys.argv[1]); import spoc\n"
                  "spoc.run_command('record', ['--help'])\n"
                  "print(*sorted(set(sys.modules) - before), file=sys.stderr)")
        names = subprocess.run([sys.executable, "-B", "-c", script, str(support.ROOT)], stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, text=True, check=True).stderr.split()
        self.assertIn("ctypes", names)
        self.assertEqual([name for name in names if name.partition(".")[0] in (
            "_socket", "_ssl", "email", "hashlib", "http", "ipaddress", "shutil", "socket", "ssl", "subprocess",
            "threading", "urllib")], [])


class Plain(registries.Case):
    """A registry that asks for nothing."""

    def setUp(self) -> None:
        super().setUp()
        (self.folder / "app.yaml").write_text(YAML_PROFILE)
        self.spoc("convert", "-t", "raw-seccomp", "-o", "app.json", "app.yaml")

    def pushed(self, *arguments: str) -> str:
        """Push, and give the reference that is printed."""
        words = self.spoc("push", *arguments).stdout.split()
        self.assertEqual((len(words), words[0]), (2, "Pushed"))
        return words[1]

    def test_log(self) -> None:
        """Nothing where all is well, and the file is named by who pushes it; the default is in test_default_files."""
        registry = self.registry()
        self.assertEqual(self.spoc("push", "-f", "app.json", f"{registry.host}/app:1").stderr, "")

    def test_crd_format(self) -> None:
        registry = self.registry()
        reference = self.pushed("-f", "app.yaml", f"{registry.host}/profiles/app:1")
        manifest = registry.manifest("profiles/app:1")
        self.assertEqual(reference, f"{registry.host}/profiles/app:1@{sha256(manifest)}")
        self.assertEqual(registry.blobs("profiles/app:1"), [YAML_PROFILE.encode()])
        self.spoc("pull", "-o", "back.yaml", reference)
        self.assertEqual((self.folder / "back.yaml").read_text(), YAML_PROFILE)

    def test_runtime_format(self) -> None:
        registry = self.registry()
        reference = self.pushed("-f", "app.json", f"{registry.host}/app")
        manifest = registry.manifest("app:latest")
        self.assertEqual(reference, f"{registry.host}/app:latest@{sha256(manifest)}")
        self.assertEqual(json.loads(manifest)["artifactType"], registries.RUNTIME_TYPE)
        layer, = registry.blobs("app:latest")
        result = self.spoc("pull", "-o", "back.json", f"{registry.host}/app")
        self.assertIn(f" Pulled {reference} into: back.json\n", result.stderr)
        self.assertEqual((self.folder / "back.json").read_bytes(), layer)
        self.spoc("diff", "app.json", "back.json")

    def test_same_input_same_digest(self) -> None:
        registry = self.registry()
        references = {self.pushed("-f", "app.json", f"{registry.host}/app:{tag}").partition("@")[2] for tag in "abc"}
        self.assertEqual(len(references), 1)

    def test_platforms(self) -> None:
        registry = self.registry()
        (self.folder / "arm.yaml").write_text(YAML_PROFILE.replace("write", "pwrite64"))
        self.pushed("-f", "app.yaml", "-p", "linux/amd64", "-f", "arm.yaml", "-p", "linux/arm64", f"{registry.host}/a")
        for platform, name in (("linux/amd64", "app.yaml"), ("linux/arm64/v8", "arm.yaml")):
            result = self.spoc("pull", "-o", "-", "-p", platform, f"{registry.host}/a")
            self.assertEqual(result.stdout, (self.folder / name).read_text())
        self.assertIn("holds no profile for linux/s390x",
                      self.refused("pull", "-p", "linux/s390x", f"{registry.host}/a"))

    def test_digest_is_never_satisfied_by_anything_else(self) -> None:
        registry = self.registry()
        one = self.pushed("-f", "app.json", f"{registry.host}/app")
        other = self.pushed("-f", "app.yaml", f"{registry.host}/app")
        for reference, text in ((one, "{"), (other, YAML_PROFILE[:20])):
            self.assertTrue(self.spoc("pull", "-o", "-", reference).stdout.startswith(text))
        reference = f"{registry.host}/app@{one.partition('@')[2]}"
        self.assertTrue(self.spoc("pull", "-o", "-", reference).stdout.startswith("{"))
        self.assertIn("holds nothing of this digest",
                      self.refused("pull", f"{registry.host}/app:latest@sha256:{64 * '0'}"))
        self.assertIn(f"has the digest {other.partition('@')[2]}", self.refused("push", "-f", "app.yaml", one))

    def test_ipv6(self) -> None:
        registry = self.registry(host="::1")
        reference = self.pushed("-f", "app.json", f"{registry.host}/app")
        self.assertTrue(reference.startswith(f"[::1]:{registry.port}/app:latest@"))
        self.spoc("pull", "-o", "-", reference)

    def test_missing(self) -> None:
        registry = self.registry()
        self.pushed("-f", "app.json", f"{registry.host}/app:node-1")
        self.assertEqual(self.refused("pull", f"{registry.host}/nothing"),
                         f"pull: {registry.host}/nothing:latest: no such repository; check the name")
        self.assertEqual(self.refused("pull", f"{registry.host}/app:nod-1"),
                         f"pull: {registry.host}/app:nod-1: the repository has no such tag; did you mean node-1?; "
                         "check the reference")

    def test_supported_pythons(self) -> None:
        """Each of them pushes and pulls, with TLS and without, and names what is wrong."""
        found = support.interpreters("3.9", "3.10", "3.11", "3.12", "3.13")
        support.require(found, "a Python from 3.9 to 3.13")
        registry = self.registry()
        authority = registries.Authority(self.folder / "authority")
        server = registries.Server(self, lambda request: [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"],
                                   authority.issue(), keeps_open=False)
        silent = registries.Server(self, lambda request: None)
        for version, python in found.items():
            with self.subTest(version):
                def run(*arguments: str) -> Tuple[int, str, str]:
                    result = subprocess.run(
                        [python, "-B", "-W", "error", "-c", HURRIED, str(support.SOURCE), "1", "1", "2", "5", "0.01"],
                        input=json.dumps([arguments]), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                        cwd=self.folder, env=registries.environment(self.home))
                    self.assertEqual((result.returncode, result.stderr), (0, ""))
                    (code, stdout, stderr, *_), = json.loads(result.stdout)[0]
                    return code, stdout, stderr

                code, stdout, stderr = run("push", "-f", "app.yaml", f"{registry.host}/app")
                self.assertEqual(code, 0, stderr)
                self.assertEqual(run("pull", "-o", "-", stdout.split()[1])[:2], (0, YAML_PROFILE))
                for options, host, reason in (
                        (("--ca", authority.certificate), server.host, "the answer ends after 1 of 9 bytes; try again"),
                        ((), server.host, "certificate is not trusted: "), (("--plain-http",), silent.host, "time-out"),
                        ((), f"127.0.0.1:{registries.free_port()}", "connection refused"),
                        ((), "registry.invalid", "unknown host")):
                    code, stdout, stderr = run("pull", *options, f"{host}/app")
                    self.assertEqual((code, stdout), (125, ""))
                    self.assertIn(reason, stderr)

    def test_default_files(self) -> None:
        """push takes what record wrote, and pull writes what run takes."""
        support.require_root()
        registry = self.registry()
        script = ('exec 3<"$1"; mount -t tmpfs tmpfs /tmp; cat <&3 >$2; shift 2; '
                  'set -- "$@" "$REF"; program="$1 $2"; $program push "$3"; rm /tmp/profile.*; $program pull "$3"; '
                  'set -- ls /tmp')
        for kind in ("yaml", "json"):
            with self.subTest(kind):
                result = subprocess.run(
                    support.in_mounts(script, str(self.folder / f"app.{kind}"), f"/tmp/profile.{kind}", sys.executable,
                                      str(support.SPOC)),
                    env=registries.environment(self.home, REF=f"{registry.host}/app:{kind}"), stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE, text=True)
                self.assertEqual((result.returncode, result.stdout.splitlines()[1:]), (0, [f"profile.{kind}"]), result)
                self.assertRegex(result.stderr, rf"(?m)^\S+ Pushing /tmp/profile.{kind}$")

    def layout(self, *manifests: Tuple[Dict[str, Any], List[bytes]]) -> pathlib.Path:
        """An OCI layout with these manifests, whose layers and configuration it completes, under the tag x."""
        folder = self.folder / "layout"
        (folder / "blobs/sha256").mkdir(parents=True)

        def add(data: bytes, media_type: str) -> Dict[str, Any]:
            (folder / "blobs/sha256" / sha256(data).partition(":")[2]).write_bytes(data)
            return {"mediaType": media_type, "digest": sha256(data), "size": len(data)}

        entries = []
        for document, layers in manifests:
            config = document.pop("of config", b"{}")
            platform = document.pop("platform", None)
            document = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", **document,
                        "config": add(config, document.pop("config type")),
                        "layers": [{**add(layer, document.get("layer type", "application/json")),
                                    "annotations": {"org.opencontainers.image.title": "profile.json"}}
                                   for layer in layers]}
            entry = add(json.dumps(document).encode(), "application/vnd.oci.image.manifest.v1+json")
            entries.append({**entry, "platform": platform} if platform else entry)
        index = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
                            "manifests": entries}).encode()
        top = entries[0] if len(entries) == 1 else add(index, "application/vnd.oci.image.index.v1+json")
        top["annotations"] = {"org.opencontainers.image.ref.name": "x"}
        (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [top]}))
        (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        return folder

    def test_what_skopeo_pushes(self) -> None:
        """An index of two platforms, each with the profile in the runtime format."""
        registry = self.registry()
        texts = {"amd64": JSON_PROFILE, "arm64": JSON_PROFILE.replace('"mount",', "")}
        self.assertNotEqual(*texts.values())
        layout = self.layout(*(({"config type": registries.RUNTIME_TYPE,
                                 "platform": {"os": "linux", "architecture": architecture}}, [text.encode()])
                               for architecture, text in texts.items()))
        skopeo = "copy", "--all", "--dest-tls-verify=false", f"oci:{layout}:x", f"docker://{registry.host}/both:1"
        registries.skopeo(*skopeo)
        for architecture, text in texts.items():
            result = self.spoc("pull", "-o", "-", "-p", f"linux/{architecture}", f"{registry.host}/both:1")
            self.assertEqual(result.stdout, text)
            digest = sha256(registry.manifest("both:1"))
            self.assertIn(f" Pulled {registry.host}/both:1@{digest} into: -", result.stderr)
        self.assertIn("holds no profile for linux/s390x, but linux/amd64, linux/arm64; choose one with -p",
                      self.refused("pull", "-p", "linux/s390x", f"{registry.host}/both:1"))

    def test_image(self) -> None:
        """An image is no profile, and neither is any other file."""
        registry = self.registry()
        for label, config_type, layer, reason in (
                ("image", "application/vnd.oci.image.config.v1+json", b"x" * 1024, "is a container image, and no"),
                ("text", registries.RUNTIME_TYPE, b"hello", "expected a mapping|is no profile"),
                ("bytes", registries.RUNTIME_TYPE, b"\xff\xfe", "is not UTF-8")):
            with self.subTest(label):
                config = b'{"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}'
                layout = self.layout(({"config type": config_type, "of config": config}, [layer]))
                registries.skopeo("copy", "--dest-tls-verify=false", f"oci:{layout}:x",
                                  f"docker://{registry.host}/{label}")
                shutil.rmtree(layout)
                line = self.refused("pull", "-o", "out", f"{registry.host}/{label}")
                self.assertTrue(line.startswith(f"read profile: {registry.host}/{label}:latest"), line)
                self.assertRegex(line, reason)
                self.assertFalse((self.folder / "out").exists())

    def on_terminal(self, *arguments: str) -> str:
        """What comes to a terminal on standard output."""
        master, slave = os.openpty()
        with open(master, "rb", buffering=0) as reader:
            with open(slave, "wb") as writer:
                self.launch(sys.executable, str(support.SPOC), *arguments, cwd=self.folder, stdout=writer,
                            stderr=subprocess.DEVNULL, env=registries.environment(self.home, NO_COLOR="1"))
            data = b""
            with contextlib.suppress(OSError):  # EIO: nobody has it open any more
                while part := reader.read(1 << 16):
                    data += part
        return data.decode().replace("\r\n", "\n")

    def test_what_a_terminal_would_obey(self) -> None:
        """Neither the text of a profile nor a name in it reorders or controls a terminal's lines."""
        registry = self.registry()
        marks = "\u202e\u2066\u061c\u200b\ufeff"
        text = YAML_PROFILE.replace("spec:\n", f'spec:  # {marks}\n  baseProfileName: "{marks}\\e[2J"\n', 1)
        self.assertNotEqual(text, YAML_PROFILE)
        (self.folder / "odd.yaml").write_text(text)
        place = f"{registry.host}/odd"
        self.pushed("-f", "odd.yaml", place)
        self.assertEqual(self.spoc("pull", "-o", "-", place).stdout, text)
        escaped = text.replace(marks, r"\u202e\u2066\u061c\u200b\ufeff")
        self.assertEqual(self.on_terminal("pull", "-o", "-", place), escaped)
        for command in (("show",), ("convert", "-t", "seccomp"), ("merge",), ("merge", "-o", "/dev/stdout")):
            with self.subTest(command):
                shown = self.on_terminal(*command, f"oci://{place}")
                self.assertTrue(shown.replace("\n", "").isprintable(), shown)
                self.assertRegex(shown, r"(?i)\\u(0000)?202e")

    def test_mount(self) -> None:
        """What another repository of the registry has is not sent: it answers 201, and not 202."""
        registry = self.registry()
        for name in ("app.yaml", "app.json"):
            self.pushed("-f", name, f"{registry.host}/one/app:1")
            log = self.spoc("push", "-v", "-f", f"oci://{registry.host}/one/app:1", f"{registry.host}/{name}:2").stderr
            uploads = re.findall(r"(POST|PUT) (\S+)/blobs/\S+: (\d+)", log)
            self.assertEqual(uploads, 2 * [("POST", f"http://{registry.host}/v2/{name}", "201")])
            self.assertEqual(registry.manifest(f"{name}:2"), registry.manifest("one/app:1"))
            self.assertEqual(registry.blobs(f"{name}:2"), registry.blobs("one/app:1"))

    def test_copy(self) -> None:
        """To another registry it is sent; and so are the other profiles of several."""
        one, other = self.registry(), registries.Registry(self, self.folder / "other", "127.0.0.1", 0, {}, {})
        self.pushed("-f", "app.yaml", f"{one.host}/app:1")
        self.pushed("-f", f"oci://{one.host}/app:1", f"{other.host}/app:2")
        self.assertEqual(other.manifest("app:2"), one.manifest("app:1"))
        (self.folder / "more.yaml").write_text(YAML_PROFILE + "# more\n")
        self.pushed("-f", "more.yaml", f"{one.host}/more:1")
        self.pushed("-f", f"oci://{one.host}/app:1", "-p", "linux/amd64", "-f", f"oci://{one.host}/more:1", "-p",
                    "linux/arm64", f"{one.host}/both:1")
        self.assertEqual(sorted(one.blobs("both:1")), sorted(one.blobs("app:1") + one.blobs("more:1")))


class Secured(registries.Case):
    """TLS, logins, token services, proxies."""

    USER, PASSWORD = "me", "very: secret\u20ac"

    def setUp(self) -> None:
        super().setUp()
        (self.folder / "app.json").write_text(JSON_PROFILE)
        (self.folder / "password").write_text(self.PASSWORD + "\n")
        self.spoc("convert", "-t", "raw-seccomp", "-o", "app.json", "app.json")
        self.authority = registries.Authority(self.folder / "authority")

    def secured(self, names: str = "IP:127.0.0.1,DNS:localhost,DNS:registry.test", days: int = 1,
                auth: Optional[Dict[str, Any]] = None) -> registries.Registry:
        return self.registry(http={"tls": self.authority.issue(names, days)}, auth=auth)

    def with_password(self) -> registries.Registry:
        """A registry that wants a login."""
        support.require_command("htpasswd")
        line = subprocess.run(["htpasswd", "-niB", self.USER], input=self.PASSWORD, stdout=subprocess.PIPE, text=True,
                              check=True).stdout
        (self.folder / "htpasswd").write_text(line)
        return self.secured(auth={"htpasswd": {"realm": "x", "path": str(self.folder / "htpasswd")}})

    def round_trip(self, place: str, *options: str, **more: Any) -> str:
        """Push and pull; what was said."""
        pushed = self.spoc("push", "-v", "-f", "app.json", *options, place, **more)
        if "stdin" in more:
            more["stdin"].seek(0)
        pulled = self.spoc("pull", "-v", "-o", "-", *options, pushed.stdout.split()[1], **more)
        self.assertEqual(json.loads(pulled.stdout), json.loads((self.folder / "app.json").read_text()))
        said = pushed.stderr + pulled.stderr
        for secret in (self.PASSWORD, base64.b64encode(f"{self.USER}:{self.PASSWORD}".encode()).decode()):
            self.assertNotIn(secret, said)
        return said

    def trusted(self, registry: registries.Registry) -> Tuple[str, ...]:
        return (f"{registry.host}/app", "--ca", self.authority.certificate)

    def test_own_authority(self) -> None:
        registry = self.secured()
        said = self.round_trip(*self.trusted(registry))
        self.assertIn(f"https://{registry.host}/v2/app/", said)
        self.assertNotIn("http://", said)

    def test_certificates(self) -> None:
        cases: Tuple[Tuple[str, Dict[str, Any], Tuple[str, ...], str], ...] = (
            ("unknown issuer", {}, (), "unable to get local issuer certificate; give the certificate of its issuer"),
            ("expired", {"days": -1}, ("--ca", self.authority.certificate), "certificate has expired"),
            ("another name", {"names": "DNS:else.test"}, ("--ca", self.authority.certificate),
             "IP address mismatch, certificate is not valid for '127.0.0.1'"))
        for label, issued, options, reason in cases:
            with self.subTest(label):
                registry = self.secured(**issued)
                for command in (("push", "-f", "app.json"), ("pull",)):
                    line = self.refused(*command, *options, f"{registry.host}/app")
                    self.assertIn(f"{registry.host}: its certificate is not trusted: {reason}", line)
                registry.stop()
        self.assertIn(f"--ca {self.folder}/app.json: no certificate is in it",
                      self.refused("pull", "--ca", f"{self.folder}/app.json", f"{registry.host}/app"))
        self.assertIn("--ca missing: No such file", self.refused("pull", "--ca", "missing", f"{registry.host}/app"))

    def test_plain_where_tls_was_expected(self) -> None:
        registry = self.registry()
        line = self.refused("pull", "--ca", self.authority.certificate, f"{registry.host}/app")
        self.assertIn("give --plain-http", line)
        self.round_trip(f"{registry.host}/app", "--plain-http")

    def test_tls_where_plain_was_expected(self) -> None:
        registry = self.secured()
        self.assertIn("HTTP 400", self.refused("pull", "--plain-http", f"{registry.host}/app"))

    def test_password(self) -> None:
        registry = self.with_password()
        place, *trust = self.trusted(registry)
        with open(self.folder / "password") as password:
            self.round_trip(place, *trust, "-u", self.USER, "--password-stdin", stdin=password)
        logged_in = registries.environment(self.home, SPOC_USERNAME=self.USER, SPOC_PASSWORD=self.PASSWORD)
        self.round_trip(place, *trust, env=logged_in)
        self.round_trip(place, *trust, "-u", self.USER, env={**logged_in, "SPOC_USERNAME": "another"})
        for command in (("push", "-f", "app.json"), ("pull",)):
            line = self.refused(*command, *trust, place)
            self.assertIn(f"{registry.host} wants a login (HTTP 401", line)
            self.assertIn(f"; podman login {registry.host}, or -u USER --password-stdin", line)
            line = self.refused(*command, *trust, place, env={**logged_in, "SPOC_PASSWORD": "guess7"})
            self.assertIn(f"{registry.host} does not take the login of {self.USER} (HTTP 401", line)
            self.assertNotIn("guess7", line)

    def test_token_service(self) -> None:
        service = registries.TokenService(self, self.authority, {self.USER: self.PASSWORD, "guest": "guest"},
                                          {self.USER: "pull push", "": "pull"})
        registry = self.registry(auth=service.auth())
        logged_in = registries.environment(self.home, SPOC_USERNAME=self.USER, SPOC_PASSWORD=self.PASSWORD)
        place = f"{registry.host}/team/app"
        self.round_trip(place, env=logged_in)
        count = len(service.requests)
        self.spoc("pull", "-o", "-", place)  # as anybody
        self.assertEqual(len(service.requests), count + 1)
        self.assertNotIn("Authorization", service.requests[-1].headers)
        self.assertIn("wants a login (HTTP 401: UNAUTHORIZED", self.refused("push", "-f", "app.json", place))
        log = self.spoc("push", "-v", "-f", f"oci://{place}", f"{registry.host}/other", env=logged_in).stderr
        self.assertEqual(re.findall(r"POST \S+: (\d+)", log).count("201"), 2, log)
        guest = registries.environment(self.home, SPOC_USERNAME="guest", SPOC_PASSWORD="guest")
        self.assertIn("does not take the login of guest", self.refused("pull", place, env=guest))
        guest["SPOC_PASSWORD"] = "guess7"
        self.assertIn(f"{service.host} does not take the login of guest (HTTP 401: UNAUTHORIZED: who is that?)",
                      self.refused("pull", place, env=guest))

    def test_identity_token(self) -> None:
        """What docker login leaves where the registry gives tokens that last (OAuth 2)."""
        service = registries.TokenService(self, self.authority, {self.USER: self.PASSWORD}, {self.USER: "pull push"})
        registry = self.registry(auth=service.auth())
        login = base64.b64encode(b"00000000-0000-0000-0000-000000000000:").decode()
        (self.home / ".docker").mkdir()
        (self.home / ".docker/config.json").write_text(json.dumps(
            {"auths": {registry.host: {"auth": login, "identitytoken": f"token of {self.PASSWORD}"}}}))
        self.round_trip(f"{registry.host}/app")
        self.assertEqual({request.method for request in service.requests}, {"POST"})

    def test_proxies(self) -> None:
        registry = self.secured()
        plain = registries.Server(self, lambda request: registries.answer(404))
        trust = ("--ca", self.authority.certificate)
        for login in ("", "me:p@ss"):
            proxy = registries.Proxy(self, login)
            url = f"http://{urllib.parse.quote(login, ':')}@{proxy.host}" if login else proxy.host
            with self.subTest(login):
                env = registries.environment(self.home, https_proxy=url)
                self.round_trip(f"registry.test:{registry.port}/app", *trust, env=env)
                self.assertEqual({(request.method, request.target) for request in proxy.requests},
                                 {("CONNECT", f"registry.test:{registry.port}")})
                proxy.requests.clear()
                self.spoc("pull", "-o", "-", *trust, f"{registry.host}/app", env=env)  # loopback takes none
                for direct in ("registry.test", ".test", "*", f"x, registry.test:{registry.port}"):
                    line = self.refused("pull", *trust, f"registry.test:{registry.port}/app",
                                        env={**env, "no_proxy": direct})
                    self.assertIn(f"registry.test:{registry.port}: unknown host", line)
                self.assertEqual(proxy.requests, [])
                line = self.refused("pull", "--plain-http", f"registry.test:{plain.port}/app",
                                    env=registries.environment(self.home, http_proxy=url))
                self.assertIn("no such repository", line)
                self.assertEqual({request.target.partition("/v2/")[0] for request in proxy.requests},
                                 {f"http://registry.test:{plain.port}"})
        for url, reason in ((f"http://me:guess7@{proxy.host}", f"proxy {proxy.host}: it wants a login"),
                            (proxy.host, f"proxy {proxy.host}: it wants a login"),
                            (f"socks5://me:guess7@{proxy.host}", "https_proxy: a proxy that is reached by socks5"),
                            ("http://me:guess7@[::1", "https_proxy: no address of a proxy"),
                            (f"127.0.0.1:{registries.free_port()}", "connection refused")):
            line = self.refused("pull", *trust, f"registry.test:{registry.port}/app",
                                env=registries.environment(self.home, https_proxy=url))
            self.assertIn(reason, line)
            self.assertNotIn("guess7", line)


class Logins(registries.Case):
    """What podman login and docker login have left."""

    CALLER = 4321  # a user who exists in mounts of the test alone
    STRANGER = 4322

    def setUp(self) -> None:
        super().setUp()
        self.server = registries.Server(self, lambda request: registries.answer(404) if request.headers.get(
            "Authorization") else registries.answer(401, WWW_Authenticate='Basic realm="x, y", charset="UTF-8"'))

    def auth(self, login: str) -> Dict[str, str]:
        return {"auth": base64.b64encode(login.encode()).decode()}

    def login(self, *command: str, name: str = "team/app", **options: Any) -> str:
        """Which login the registry gets from pull, that a command may run; "" if none."""
        self.server.requests.clear()
        options.setdefault("env", registries.environment(self.home))
        result = subprocess.run([*command, sys.executable, str(support.SPOC), "pull", "--plain-http", "-o", "-",
                                 f"{self.server.host}/{name}"],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
        self.assertEqual((result.returncode, result.stdout), (125, ""), result.stderr)
        self.said = result.stderr
        found = {request.headers.get("Authorization", "Basic ") for request in self.server.requests} - {"Basic "}
        self.assertLessEqual(len(found), 1)
        return "".join(base64.b64decode(each.partition(" ")[2]).decode() for each in found)

    def write(self, path: str, document: Any, owner: int = -1) -> pathlib.Path:
        """A file below the home, and its folders, of this owner."""
        file = self.home / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(document))
        for each in (file, *(parent for parent in file.parents if self.home in parent.parents), self.home):
            os.chown(each, owner, -1)
        return file

    def helper(self, name: str, login: str, owner: int = -1) -> Dict[str, str]:
        """A credential helper, and the variables with which it is found; it writes what it was asked to a file."""
        folder = self.folder / "bin"
        folder.mkdir(exist_ok=True)
        (self.folder / "asked").mkdir(mode=0o777, exist_ok=True)
        os.chmod(self.folder / "asked", 0o777)
        user, _, secret = login.partition(":")
        file = folder / f"docker-credential-{name}"
        file.write_text("#!/bin/sh\n" + f"cd {self.folder}/asked; (id -u; echo $*; cat; echo; env) >{name}\n" + (
            f"echo '{json.dumps({'ServerURL': self.server.host, 'Username': user, 'Secret': secret})}'\n" if login else
            "echo credentials not found in native keychain; exit 1\n"))
        file.chmod(0o755)
        os.chown(file, owner, -1)
        return {"PATH": f"{folder}:{os.environ['PATH']}"}

    def asked(self, name: str) -> Tuple[str, ...]:
        """Who ran a helper, its arguments and input, and its variables; nothing if it did not run."""
        file = self.folder / "asked" / name
        return tuple(file.read_text().split("\n", 3)) if file.exists() else ()

    def test_places(self) -> None:
        host = self.server.host
        self.assertEqual(self.login(), "")
        self.assertIn(f"wants a login (HTTP 401); podman login {host}", self.said)
        runtime = self.folder / "runtime"
        env = registries.environment(self.home, XDG_RUNTIME_DIR=str(runtime))
        for path, login in ((".docker/config.json", "docker:1"), (".config/containers/auth.json", "config:2"),
                            ("../runtime/containers/auth.json", "runtime:3")):  # of which the last goes first
            self.write(path, {"auths": {host: self.auth(login), "other.test": self.auth("other:4")}})
            self.assertEqual(self.login(env=env), login)
        for variable, path, login in (("REGISTRY_AUTH_FILE", "named.json", "named:5"),
                                      ("DOCKER_CONFIG", "folder/config.json", "folder:6"),
                                      ("XDG_CONFIG_HOME", "xdg/containers/auth.json", "xdg:7")):
            file = self.write(path, {"auths": {host: self.auth(login)}})
            value = {"REGISTRY_AUTH_FILE": file, "DOCKER_CONFIG": file.parent, "XDG_CONFIG_HOME": file.parent.parent}
            (self.home / ".config/containers/auth.json").unlink(missing_ok=True)
            env = registries.environment(self.home, **{variable: str(value[variable])})
            self.assertEqual(self.login(env=env), login)

    def test_keys(self) -> None:
        host = self.server.host
        for key in (host, f"https://{host}", f"https://{host}/v1/", f"http://{host}/v2/", f"{host}/team",
                    f"{host}/team/app"):
            self.write(".docker/config.json", {"auths": {key: self.auth("me:1")}})
            self.assertEqual(self.login(), "me:1", key)
        self.write(".docker/config.json", {"auths": {f"{host}/team": self.auth("team:2"), host: self.auth("all:1"),
                                                     f"{host}/team/app": self.auth("app:3:\u20ac")}})
        for name, login in (("team/app", "app:3:\u20ac"), ("team/b", "team:2"), ("teams/a", "all:1"), ("a", "all:1")):
            self.assertEqual(self.login(name=name), login)
        for key in (f"{host}/tea", "127.0.0.1", f"{host}0", f"x.{host}"):
            self.write(".docker/config.json", {"auths": {key: self.auth("me:1")}})
            self.assertEqual(self.login(), "", key)

    def test_podman_and_skopeo(self) -> None:
        """What they write where a registry takes the login."""
        self.server.close()
        self.server = registries.Server(self, lambda request: registries.answer(
            200 if request.target == "/v2/" else 404) if request.headers.get("Authorization") else registries.answer(
                401, WWW_Authenticate='Basic realm="x"'))
        for program in ("podman", "skopeo"):
            support.require_command(program)
            file = self.folder / f"{program}.json"
            subprocess.run([program, "login", "--authfile", str(file), "--tls-verify=false", "-u", "me",
                            "--password-stdin", self.server.host], input=f"of {program}", text=True, check=True,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            self.assertEqual(self.login(env=registries.environment(self.home, REGISTRY_AUTH_FILE=str(file))),
                             f"me:of {program}")

    def test_helpers(self) -> None:
        host = self.server.host
        env = registries.environment(self.home, SPOC_PASSWORD="guess7", **self.helper("one", "one:1"))
        for document in ({"credHelpers": {host: "one"}, "auths": {host: self.auth("me:1")}}, {"credsStore": "one"},
                         {"credsStore": "one", "auths": {host: {}}}):
            self.write(".docker/config.json", document)
            self.assertEqual(self.login(env=env), "one:1")
            uid, arguments, given, variables = self.asked("one")
            self.assertEqual((uid, arguments, given), (str(os.geteuid()), "get", host))
            self.assertNotIn("guess7", variables)
            (self.folder / "asked/one").unlink()
        self.write(".docker/config.json", {"credsStore": "one", "auths": {host: self.auth("file:2")}})
        self.assertEqual(self.login(env=env), "file:2")
        self.helper("none", "")
        self.write(".docker/config.json", {"credsStore": "none"})
        self.assertEqual(self.login(env=env), "")
        self.assertTrue(self.asked("none"))
        for name in ("missing", "../../bin/sh", "", 7, "x y"):
            self.write(".docker/config.json", {"credHelpers": {host: name}})
            self.assertEqual(self.login(env=env), "")
            if name:
                self.assertIn("Warning: ", self.said)

    def test_token_service_that_sends_on(self) -> None:
        """A token that gives tokens goes to the service that the registry names, and to nobody else."""
        other = registries.Server(self, lambda request: registries.answer(200, b'{"token": "x"}'))
        service = registries.Server(self, lambda request: registries.answer(307, Location=f"http://{other.host}/"))
        self.server = registries.Server(self, lambda request: registries.answer(
            401, WWW_Authenticate=f'Bearer realm="http://{service.host}/",scope="repository:team/app:pull"'))
        login = {**self.auth("me:"), "identitytoken": "s3cret"}
        self.write(".docker/config.json", {"auths": {self.server.host: login}})
        self.login()
        self.assertIn(f"{service.host} sends the login on to {other.host}; ", self.said)
        self.assertIn(b"s3cret", service.requests[0].body)
        self.assertEqual(other.requests, [])

    def test_token_service_without_tls(self) -> None:
        """That a registry of this machine does without TLS is no reason to send its login to another without."""
        service = registries.Proxy(self)  # which answers for tokens.test
        self.server = registries.Server(self, lambda request: registries.answer(
            401, WWW_Authenticate='Bearer realm="http://tokens.test/",scope="repository:team/app:pull"'))
        self.write(".docker/config.json", {"auths": {self.server.host: self.auth("me:s3cret")}})
        line = self.refused("pull", f"{self.server.host}/team/app",
                            env=registries.environment(self.home, http_proxy=service.host))
        self.assertIn(f"{self.server.host} wants a login without TLS, at tokens.test", line)
        self.assertEqual(service.requests, [])

    def test_password_of_any_bytes(self) -> None:
        """As the variable has them."""
        variables = registries.environment(self.home, SPOC_USERNAME="me", SPOC_PASSWORD="\udcffx")
        self.refused("pull", "--plain-http", f"{self.server.host}/team/app", env=variables)
        self.assertEqual(self.server.requests[-1].headers["Authorization"],
                         f"Basic {base64.b64encode(b'me:' + bytes([0xff]) + b'x').decode()}")

    def test_nonsense(self) -> None:
        for text in ("", "[]", "{", "[" * 100_000, '{"auths": []}', '{"auths": {"%s": 7}}', '{"credHelpers": 7}',
                     '{"auths": {"%s": {"auth": 7}}}', '{"auths": {"%s": {"auth": "\u20ac"}}}',
                     '{"auths": {"%s": {"auth": "////"}}}', '{"auths": {"%s": {"identitytoken": {}}}}'):
            self.write(".docker/config.json", {}).write_text(text.replace("%s", self.server.host))
            self.assertEqual(self.login(), "", text[:40])
            self.assertRegex(self.said, r"Error: pull: [^\n]* wants a login")

    def as_root(self, caller: int = CALLER) -> Tuple[str, ...]:
        """Under sudo, called by a user who exists there alone, and root has a home without logins."""
        support.require_root()
        passwd = self.folder / "passwd"
        passwd.write_text(pathlib.Path("/etc/passwd").read_text()
                          + f"caller:x:{self.CALLER}:{self.CALLER}::{self.home}:\n")
        return (*support.in_mounts('mount --bind "$1" /etc/passwd; shift', str(passwd)), "env", f"HOME={self.folder}",
                f"SUDO_UID={caller}", f"SUDO_GID={caller}", "SUDO_USER=caller")

    def test_sudo(self) -> None:
        """Root's own login goes first; then the caller's, from files of that user alone."""
        host = self.server.host
        self.write(".docker/config.json", {"auths": {host: self.auth("caller:1")}}, self.CALLER).chmod(0o600)
        self.assertEqual(self.login(*self.as_root()), "caller:1")
        self.assertEqual(self.login(*self.as_root(), f"HOME={self.home}"), "caller:1")  # as sudo -E leaves it
        mine = self.folder / ".docker/config.json"
        mine.parent.mkdir()
        mine.write_text(json.dumps({"auths": {host: self.auth("root:2")}}))
        self.assertEqual(self.login(*self.as_root()), "root:2")
        for group, mode in ((0, 0o666), (self.STRANGER, 0o660)):
            os.chown(mine, 0, group)
            mine.chmod(mode)
            self.assertEqual(self.login(*self.as_root()), "caller:1")
            self.assertIn(f"Warning: {mine} is not used: another user may have written it", self.said)
        mine.unlink()
        secret = self.folder / "secret.json"  # which root alone may read
        secret.write_text(json.dumps({"auths": {host: self.auth("secret:3")}}))
        secret.chmod(0o600)
        theirs = self.home / ".docker/config.json"
        theirs.unlink()
        theirs.symlink_to(secret)
        for home in (self.folder, self.home):  # as sudo leaves it, and as sudo -E does
            self.assertEqual(self.login(*self.as_root(), f"HOME={home}"), "")

    def test_mounted_secret(self) -> None:
        """As Kubernetes mounts it: links of root's, in folders of root's."""
        support.require_root()
        file = self.write("secret/..1/config.json", {"auths": {self.server.host: self.auth("pod:1")}})
        os.symlink("..1", file.parent.parent / "..data")
        os.symlink("..data/config.json", file.parent.parent / "config.json")
        self.assertEqual(self.login(env=registries.environment(
            self.folder, DOCKER_CONFIG=str(file.parent.parent))), "pod:1")

    def test_files_of_strangers(self) -> None:
        """Root takes nobody's file but its own and the caller's, whatever HOME says."""
        host = self.server.host
        env = registries.environment(self.home, **self.helper("one", "one:1"))
        for document in ({"auths": {host: self.auth("stranger:1")}}, {"credsStore": "one"}):
            file = self.write(".docker/config.json", document, self.STRANGER)
            for command in (self.as_root(), ("env", f"HOME={self.home}")):
                self.assertEqual(self.login(*command, env=env), "")
                self.assertEqual(self.asked("one"), ())
            self.assertIn(f"Warning: {file} is not used: another user may have written it", self.said)

    def test_paths_that_strangers_decide(self) -> None:
        """Whoever may exchange a folder or a link on the way chooses with which of root's logins root comes."""
        support.require_root()
        mine, theirs = self.folder / "mine", self.folder / "theirs"
        for folder in (mine, theirs, self.folder / "other"):
            folder.mkdir()
        file = self.folder / "other/config.json"
        file.write_text(json.dumps({"auths": {self.server.host: self.auth("root:1")}}))
        os.chown(theirs, self.STRANGER, self.STRANGER)

        def used(folder: pathlib.Path) -> str:
            return self.login(env=registries.environment(self.home, DOCKER_CONFIG=str(folder)))

        def link(path: pathlib.Path, target: pathlib.Path, owner: int) -> None:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
            path.symlink_to(target)
            os.chown(path, owner, owner, follow_symlinks=False)

        link(mine / "config.json", file, 0)
        self.assertEqual(used(mine), "root:1")
        link(mine / "config.json", file, self.STRANGER)
        self.assertEqual(used(mine), "")
        link(mine / "config.json", theirs / "config.json", 0)
        for owner in (self.STRANGER, 0):  # who has made what stands in the stranger's folder
            link(theirs / "config.json", file, owner)
            link(theirs / "folder", file.parent, owner)
            link(self.folder / "way", theirs / "folder", 0)
            for folder in (mine, self.folder / "way"):
                self.assertEqual(used(folder), "")
                self.assertIn(f"Warning: {folder}/config.json is not used: another user may have written it", self.said)
        for mode, group, login in ((0o777, 0, ""), (0o770, self.STRANGER, ""), (0o1777, 0, "root:1"),
                                   (0o770, 0, "root:1")):
            os.chown(file.parent, 0, group)
            file.parent.chmod(mode)
            self.assertEqual(used(file.parent), login, oct(mode))
        link(mine / "config.json", mine / "config.json", 0)
        self.assertEqual(used(mine), "")
        self.assertEqual(used(theirs / "none"), "")
        self.assertNotIn("is not used", self.said)

    def test_helpers_under_sudo(self) -> None:
        """A caller's helper runs as the caller, and no program of another user runs as root."""
        env = registries.environment(self.home, **self.helper("one", "one:1"))
        self.write(".docker/config.json", {"credsStore": "one"}, self.CALLER)
        self.assertEqual(self.login(*self.as_root(), env=env), "one:1")
        uid, _, _, variables = self.asked("one")
        self.assertEqual(uid, str(self.CALLER))
        self.assertIn(f"\nHOME={self.home}\n", f"\n{variables}")
        (self.folder / "asked/one").unlink()
        self.write(".docker/config.json", {"credsStore": "one"}, 0)
        for owner in (self.CALLER, self.STRANGER):
            self.helper("one", "one:1", owner)
            self.assertEqual(self.login("env", f"HOME={self.home}", env=env), "")
            self.assertIn('"docker-credential-one" is not used: it belongs to another user', self.said.replace(
                "docker-credential-one is", '"docker-credential-one" is'))
            self.assertEqual(self.asked("one"), ())
