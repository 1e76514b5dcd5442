# SPDX-License-Identifier: MIT
"""Registries for the tests, on loopback: Debian's docker-registry, plain or with TLS, with logins of one kind or
another; a token service, a proxy, and a server that answers whatever a test wants.
"""

import base64
import contextlib
import http.client
import json
import os
import pathlib
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.parse
import urllib.request
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Sequence, Union

import support

RUNTIME_TYPE = "application/vnd.cncf.seccomp-profile.config.v1+json"
# What no login of this machine's is mixed up with, nor a proxy.
VARIABLES = ("SPOC_USERNAME", "SPOC_PASSWORD", "REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_RUNTIME_DIR",
             "XDG_CONFIG_HOME", "SUDO_UID", "SUDO_GID", "SUDO_USER", "SOURCE_DATE_EPOCH",
             *(name for proxy in ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
               for name in (proxy, proxy.upper())))


def environment(home: pathlib.Path, **more: str) -> Dict[str, str]:
    """The variables of a user who has never logged in anywhere."""
    return {**{name: value for name, value in os.environ.items() if name not in VARIABLES}, "HOME": str(home), **more}


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens at."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        listener.bind((host, 0))
        return int(listener.getsockname()[1])


def has_listener(host: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port), 5):
        return True
    return False


def skopeo(*arguments: str, **options: Any) -> str:
    """What skopeo prints: another program that knows registries."""
    support.require_command("skopeo")
    result = subprocess.run(["skopeo", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            timeout=support.WAIT_S, **options)
    if result.returncode:
        raise AssertionError(f"skopeo {' '.join(arguments)}: {result.stderr}")
    return result.stdout


class Case(support.Case):
    """Tests that start registries, and spoc.py with a home of its own."""

    def setUp(self) -> None:
        super().setUp()
        self.home = self.folder / "home"
        self.home.mkdir()

    def registry(self, port: int = 0, http: Optional[Dict[str, Any]] = None, auth: Optional[Dict[str, Any]] = None,
                 host: str = "127.0.0.1") -> "Registry":
        """A registry that ends with the test."""
        return Registry(self, self.folder / "registry", host, port, http or {}, auth or {})

    def spoc(self, *arguments: str, code: int = 0, **options: Any) -> "subprocess.CompletedProcess[str]":
        """Run spoc.py as somebody without a login, and expect this exit code."""
        options.setdefault("env", environment(self.home))
        result = support.spoc(*arguments, cwd=self.folder, **options)
        self.assertEqual(result.returncode, code, result.stderr)
        return result

    def refused(self, *arguments: str, **options: Any) -> str:
        """The one line that a command fails with, without the time."""
        result = self.spoc(*arguments, code=125, **options)
        self.assertEqual(result.stdout, "")
        self.assertRegex(result.stderr, rf"\A{support.CLOCK} Error: [^\n]*\n\Z")
        return result.stderr.rstrip("\n").partition(" Error: ")[2]


class Registry:
    """A docker-registry of its own folder."""

    def __init__(self, case: support.Case, folder: pathlib.Path, host: str, port: int, http: Dict[str, Any],
                 auth: Dict[str, Any]):
        support.require_command("docker-registry")
        self._case, self.folder, self._bind = case, folder, host
        self.port = port or free_port(host)
        self.host = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"
        folder.mkdir(exist_ok=True)
        # JSON is YAML. Debian's own configuration asks for a login.
        self._config = folder / "config.json"
        self._config.write_text(json.dumps({
            "version": "0.1", "log": {"level": "warn", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}},
            "http": {"addr": self.host, "secret": "not one", **http}, **({"auth": auth} if auth else {})}))
        self.start()

    def start(self) -> None:
        with open(self.folder / "log", "ab") as log:
            self.process = self._case.launch("docker-registry", "serve", str(self._config), stdout=log, stderr=log,
                                             stdin=subprocess.DEVNULL)
        if not support.wait_until(lambda: has_listener(self._bind, self.port) or self.process.poll() is not None):
            raise AssertionError("docker-registry does not listen")
        if self.process.poll() is not None:
            raise AssertionError((self.folder / "log").read_text())

    def stop(self) -> None:
        support.end(self.process)

    def skopeo(self, command: str, *arguments: str) -> str:
        return skopeo(command, *([] if command == "copy" else ["--tls-verify=false"]), *arguments)

    def manifest(self, reference: str) -> bytes:
        """The bytes of a manifest, as skopeo reads them."""
        return skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{self.host}/{reference}").encode()

    def blobs(self, reference: str) -> List[bytes]:
        """The layers behind a reference, as skopeo reads them."""
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.folder))
        skopeo("copy", "--src-tls-verify=false", f"docker://{self.host}/{reference}", f"dir:{folder}")
        document = json.loads((folder / "manifest.json").read_bytes())
        return [(folder / layer["digest"].partition(":")[2]).read_bytes() for layer in document["layers"]]

    def store(self, reference: str, folder: pathlib.Path, *options: str) -> None:
        """Have skopeo copy an OCI layout, or whatever a folder holds, to the registry."""
        skopeo("copy", *options, "--dest-tls-verify=false", f"oci:{folder}", f"docker://{self.host}/{reference}")

    def litter(self) -> Sequence[str]:
        """What uploads have begun and not ended."""
        return sorted(str(path) for path in self.folder.glob("data/docker/registry/v2/repositories/**/_uploads/*"))


class Authority:
    """Who issues certificates in a folder, with openssl."""

    def __init__(self, folder: pathlib.Path):
        support.require_command("openssl")
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self._openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-subj",
                      "/CN=an authority of the tests", "-days", "2")
        self.certificate = str(folder / "ca.pem")

    def _openssl(self, *arguments: str, data: bytes = b"") -> bytes:
        return subprocess.run(["openssl", *arguments], cwd=self.folder, input=data, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, check=True).stdout

    def issue(self, names: str = "IP:127.0.0.1,DNS:localhost,DNS:registry.test", days: int = 1) -> Dict[str, str]:
        """A certificate for these names, and its key; less than a day makes one that has expired."""
        stem = f"server-{len(list(self.folder.iterdir()))}"
        (self.folder / f"{stem}.ext").write_text(f"subjectAltName={names}\n")
        self._openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{stem}.key", "-out", f"{stem}.csr", "-subj",
                      "/CN=registry")
        validity = ["-days", str(days)]
        usage = subprocess.run(["openssl", "x509", "-help"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout
        if days < 0 and b"-not_after" in usage:  # OpenSSL 3.4 and newer, which takes no negative number
            validity = ["-not_before", "20200101000000Z", "-not_after", "20200102000000Z"]
        self._openssl("x509", "-req", "-in", f"{stem}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                      *validity, "-out", f"{stem}.pem", "-extfile", f"{stem}.ext")
        return {"certificate": str(self.folder / f"{stem}.pem"), "key": str(self.folder / f"{stem}.key")}

    def token(self, audience: str, user: str, access: List[Dict[str, Any]]) -> str:
        """A token that a registry takes which trusts this authority (distribution's spec/auth/jwt.md)."""
        now = int(time.time())
        lines = pathlib.Path(self.certificate).read_text().split("-----")[2].split()
        header = {"typ": "JWT", "alg": "RS256", "x5c": ["".join(lines)]}
        claims = {"iss": "tests", "sub": user, "aud": audience, "exp": now + 60, "nbf": now - 60, "iat": now,
                  "jti": str(time.monotonic_ns()), "access": access}
        text = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
                        for part in (header, claims))
        signature = self._openssl("dgst", "-sha256", "-sign", "ca.key", data=text.encode())
        return f"{text}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


class Request(NamedTuple):
    """What came to a server."""

    method: str
    target: str
    headers: Any
    body: bytes


Answer = Union[bytes, Iterable[bytes], None]  # None: nothing at all, until the peer hangs up


def answer(status: int, body: bytes = b"", **headers: str) -> bytes:
    """An answer as a server should write it; _ in the names of headers stands for -."""
    lines = [f"HTTP/1.1 {status} {http.client.responses.get(status, 'Unknown')}", f"Content-Length: {len(body)}",
             *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Server:
    """A server that answers as a function says, and remembers what it was asked."""

    def __init__(self, case: unittest.TestCase, respond: Callable[[Request], Answer],
                 certificate: Optional[Dict[str, str]] = None, keeps_open: bool = True):
        self._respond, self._keeps_open = respond, keeps_open
        self.requests: List[Request] = []
        self.connections = 0
        self._context = None
        if certificate:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificate["certificate"], certificate["key"])
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = int(self._listener.getsockname()[1])
        self.host = f"127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        case.addCleanup(self.close)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(support.WAIT_S)

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._talk, args=(peer,), daemon=True).start()

    def _talk(self, peer: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError), peer:
            peer.settimeout(support.WAIT_S)
            if self._context:
                peer = self._context.wrap_socket(peer, server_side=True)
            with peer, peer.makefile("rb") as file:
                while self._answer(peer, file):
                    pass

    def _read(self, file: Any) -> Optional[Request]:
        """The next request, which is kept as well; None if the peer has hung up."""
        line = file.readline(1 << 16).decode("latin-1").split()
        if len(line) != 3 or not line[2].startswith("HTTP/"):  # TLS, say
            return None
        headers = http.client.parse_headers(file)
        self.requests.append(Request(line[0], line[1], headers, file.read(int(headers.get("Content-Length") or 0))))
        return self.requests[-1]

    def _answer(self, peer: socket.socket, file: Any) -> bool:
        request = self._read(file)
        if not request:
            return False
        given = self._respond(request)
        if given is None:
            file.read(1)  # the peer hangs up
            return False
        for part in [given] if isinstance(given, bytes) else given:
            peer.sendall(part)
        return isinstance(given, bytes) and self._keeps_open


def in_pages(upstream: str, size: int) -> Callable[[Request], Answer]:
    """The answers of a registry that lists tags in pages, as docker-registry 2.8 does not, and leads to that
    (`upstream`, HOST:PORT) for the rest, as a registry does whose blobs are in a store.
    """
    def respond(request: Request) -> Answer:
        path, _, query = request.target.partition("?")
        if not path.endswith("/tags/list"):
            return answer(307, Location=f"http://{upstream}{request.target}")
        with urllib.request.urlopen(f"http://{upstream}{path}") as reply:
            tags = sorted(json.load(reply)["tags"])
        last = urllib.parse.parse_qs(query).get("last", [""])[0]
        left = [tag for tag in tags if tag > last]
        more = {"Link": f'<{path}?n={size}&last={left[size - 1]}>; rel="next"'} if len(left) > size else {}
        return answer(200, json.dumps({"tags": left[:size]}).encode(), **more)
    return respond


class TokenService(Server):
    """Gives a token for what a user may do: `rights` are actions by user, of whom "" is anybody."""

    def __init__(self, case: support.Case, authority: Authority, passwords: Dict[str, str], rights: Dict[str, str]):
        self._authority, self._passwords, self._rights = authority, passwords, rights
        super().__init__(case, self._give)

    def auth(self) -> Dict[str, Any]:
        """What a registry's configuration says of it."""
        return {"token": {"realm": f"http://{self.host}/token?of=tests", "service": "registry of the tests",
                          "issuer": "tests", "rootcertbundle": self._authority.certificate}}

    def _give(self, request: Request) -> bytes:
        fields = urllib.parse.parse_qs(urllib.parse.urlsplit(request.target).query or request.body.decode())
        if request.method == "POST":
            fields = urllib.parse.parse_qs(request.body.decode())
            user = next((user for user, password in self._passwords.items()
                         if fields.get("refresh_token") == [f"token of {password}"]), None)
        elif request.headers.get("Authorization"):
            login = base64.b64decode(request.headers["Authorization"].partition(" ")[2]).decode()
            user = next((user for user, password in self._passwords.items() if f"{user}:{password}" == login), None)
        else:
            user = ""
        if user is None:
            return answer(401, b'{"errors": [{"code": "UNAUTHORIZED", "message": "who is that?"}]}')
        access = []
        for scope in " ".join(fields.get("scope", [])).split():
            kind, name, actions = scope.split(":")
            access.append({"type": kind, "name": name, "actions": [
                action for action in actions.split(",") if action in self._rights.get(user, "").split()]})
        token = self._authority.token(fields["service"][0], user, access)
        return answer(200, json.dumps({"access_token" if request.method == "POST" else "token": token}).encode())


class Proxy(Server):
    """A proxy that takes every name for this machine; with a login it wants that."""

    def __init__(self, case: support.Case, login: str = ""):
        self._login = login
        super().__init__(case, lambda request: None)

    def _answer(self, peer: socket.socket, file: Any) -> bool:
        request = self._read(file)
        if not request:
            return False
        headers = request.headers
        wanted = "Basic " + base64.b64encode(self._login.encode()).decode() if self._login else None
        if headers.get("Proxy-Authorization") != wanted:
            peer.sendall(answer(407, Proxy_Authenticate="Basic realm=x"))
            return True
        if request.method == "CONNECT":
            with socket.create_connection(("127.0.0.1", int(request.target.rpartition(":")[2]))) as other:
                peer.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                back = threading.Thread(target=self._copy, args=(other, peer), daemon=True)
                back.start()
                self._copy(peer, other)
                back.join(support.WAIT_S)
            return False
        url = urllib.parse.urlsplit(request.target)
        connection = http.client.HTTPConnection("127.0.0.1", url.port or 80)
        connection.request(request.method, f"{url.path}?{url.query}", request.body, dict(headers.items()))
        reply = connection.getresponse()
        kept = {name.replace("-", "_"): value for name, value in reply.getheaders()
                if name.lower() not in ("content-length", "transfer-encoding", "connection")}
        peer.sendall(answer(reply.status, reply.read(), **kept))
        return True

    @staticmethod
    def _copy(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
