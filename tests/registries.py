# SPDX-License-Identifier: MIT
"""Real registries for the tests, on loopback: Debian's docker-registry, plain or with TLS, with logins of one kind or
another.
"""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import tempfile
from typing import Any, Dict, List, Optional, Sequence

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

    def __init__(self, case: Case, folder: pathlib.Path, host: str, port: int, http: Dict[str, Any],
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
