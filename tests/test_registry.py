# SPDX-License-Identifier: MIT
"""push and pull, against Debian's docker-registry, skopeo, and a registry that does everything wrong."""

import base64
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import urllib.parse
from typing import Any, Dict, Optional, Tuple

import registries
import support

TIER = "kernel"
JSON_PROFILE = (support.DATA / "docker-default.json").read_text(encoding="utf-8")
YAML_PROFILE = (support.DATA / "spo-baseprofile-runc.yaml").read_text(encoding="utf-8")


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


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
        """Root's own login goes first; then the caller's, which is read as that user."""
        host = self.server.host
        self.write(".docker/config.json", {"auths": {host: self.auth("caller:1")}}, self.CALLER).chmod(0o600)
        self.assertEqual(self.login(*self.as_root()), "caller:1")
        self.assertEqual(self.login(*self.as_root(), f"HOME={self.home}"), "caller:1")  # as sudo -E leaves it
        mine = self.folder / ".docker/config.json"
        mine.parent.mkdir()
        mine.write_text(json.dumps({"auths": {host: self.auth("root:2")}}))
        self.assertEqual(self.login(*self.as_root()), "root:2")
        mine.chmod(0o666)
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
