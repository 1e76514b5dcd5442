# SPDX-License-Identifier: MIT
"""oci://REF where a file may stand: what commands read from registries, and write there."""

import base64
import contextlib
import hashlib
import http.client
import json
import os
import pathlib
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest
from typing import Any, Iterator, List, Sequence, Tuple
from unittest import mock

import registries
import spoc as module
import support
from cases import AttachCase
from engines import ONE, SHELL_LOOP, TWO, Engine, Engines
from support import ALLOW, ERRNO, wait_until

TIER = "kernel"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
REFUSING = {"defaultAction": ALLOW, "syscalls": [{"names": ["getppid"], "action": ERRNO, "errnoRet": 1}]}
GETPPID = "n 110 0 0 0 0 0 0\n"  # asm/unistd_64.h, for call.c
CALLS = "access arch_prctl brk close exit_group mmap mprotect munmap newfstatat openat pread64 read write".split()


def crd(*names: str, base: str = "", more: str = "") -> str:
    """YAML of a profile that allows these."""
    return ("apiVersion: security-profiles-operator.x-k8s.io/v1beta1\nkind: SeccompProfile\nmetadata:\n  name: app\n"
            "spec:\n" + (f"  baseProfileName: {base}\n" if base else "") + f"{more}  defaultAction: SCMP_ACT_ERRNO\n"
            "  syscalls:\n  - action: SCMP_ACT_ALLOW\n    names: [" + ", ".join(names) + "]\n")


def raw(*names: str) -> str:
    return json.dumps({"defaultAction": ERRNO, "syscalls": [{"names": list(names), "action": ALLOW}]})


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def names_in(text: str) -> List[str]:
    """The syscalls that a profile in JSON names."""
    return sorted(name for rule in json.loads(text)["syscalls"] for name in rule["names"])


class ReferenceCase(registries.Case):
    """A registry, and what is pushed to it."""

    def setUp(self) -> None:
        super().setUp()
        self.server = self.registry()
        self.app = f"oci://{self.server.host}/profiles/app"

    def push(self, text: str, tag: str = "latest") -> str:
        """Push a profile's text; give its reference with the digest."""
        path = self.folder / ("pushed.json" if text.startswith("{") else "pushed.yaml")
        path.write_text(text)
        return "oci://" + self.spoc("push", "-f", str(path), f"{self.app[6:]}:{tag}").stdout.split()[1]

    def copy(self, artifact: module.Artifact, tag: str) -> None:
        """Have skopeo copy an artifact to the registry."""
        layout = self.folder / "layout"
        blobs = layout / "blobs" / "sha256"
        blobs.mkdir(parents=True, exist_ok=True)
        for data in (artifact.manifest, *(blob.data for blob in artifact.blobs)):
            (blobs / sha256(data)[7:]).write_bytes(data)
        (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [
            {"mediaType": MANIFEST_TYPE, "digest": artifact.digest, "size": len(artifact.manifest)}]}))
        self.server.store(f"profiles/app:{tag}", layout)

    def spoc_reading(self, text: str, *arguments: str, **options: Any) -> "subprocess.CompletedProcess[str]":
        """Run spoc.py with this text as standard input."""
        path = self.folder / "stdin"
        path.write_text(text)
        with open(path, encoding="utf-8") as file:
            return self.spoc(*arguments, stdin=file, **options)

    def names(self, reference: str) -> List[str]:
        """The syscalls that the profile of a reference allows."""
        return names_in(self.spoc("convert", "-t", "raw-seccomp", reference).stdout)

    def tags(self) -> List[str]:
        """Those of this test's containers, as skopeo sees them; others of this machine have some, too."""
        listed = registries.skopeo("list-tags", "--tls-verify=false", f"docker://{self.app[6:]}")
        return sorted(tag for tag in json.loads(listed)["Tags"] if tag.startswith((ONE, TWO)))


class Read(ReferenceCase):
    """Every command that reads a profile reads both formats from a registry."""

    def test_convert(self) -> None:
        for text in (crd("read", "write"), raw("write", "read")):
            digest = self.push(text)
            for reference in (f"{self.app}:latest", self.app, digest):
                self.assertEqual(self.names(reference), ["read", "write"])
        result = self.spoc("convert", "-t", "raw-seccomp", self.app)
        self.assertIn(f" Pulled {digest[6:]}\n", result.stderr)

    def test_diff(self) -> None:
        one, other = self.push(crd("read")), self.push(crd("read", "write"))
        result = self.spoc("diff", one, other, code=1)
        self.assertEqual(result.stdout, f"--- {one}\n+++ {other}\n+write\n")
        self.spoc("diff", one, one)
        missing = self.spoc("diff", one, f"{self.app}:none", code=2)
        self.assertIn(f"pull: {self.app[6:]}:none: ", missing.stderr)

    def test_show(self) -> None:
        self.push(raw("read", "bpf"))
        result = self.spoc("show", self.app)
        self.assertTrue(result.stdout.startswith(self.app + "\n"), result.stdout)
        self.assertRegex(result.stdout, r"(?m)^  bpf\b")

    def test_run(self) -> None:
        support.require_root()
        program = support.build("call.c")
        digest = self.push(json.dumps(REFUSING))
        for reference in (self.app, digest):
            result = self.spoc_reading(GETPPID, "run", "--strict", "-p", reference, "--", program, code=1)
            self.assertEqual(result.stdout, "! 1\n")
            self.assertIn(f" Pulled {digest[6:]}\n", result.stderr)
            self.assertIn("Seccomp: getppid (", result.stderr)
        self.push(json.dumps({"defaultAction": ALLOW}))  # a reference with a digest stays what it was
        self.spoc_reading(GETPPID, "run", "--strict", "-p", self.app, "--", program)
        self.spoc_reading(GETPPID, "run", "--strict", "-p", digest, "--", program, code=1)

    def test_merge(self) -> None:
        self.push(crd("read"))
        path = self.folder / "other.json"
        path.write_text(raw("write"))
        result = self.spoc("merge", "-t", "raw-seccomp", self.app, str(path))
        self.assertEqual(names_in(result.stdout), ["read", "write"])
        missing = self.spoc("merge", "--check", self.app, str(path), code=1)
        self.assertIn("\n+write\n", missing.stdout)

    def test_index(self) -> None:
        """Of two platforms, each with a manifest of its own."""
        machines = {"x86_64": "amd64", "aarch64": "arm64"}
        own = machines.get(os.uname().machine, "")
        support.require(own, "a machine of these two architectures")
        other = "arm64" if own == "amd64" else "amd64"
        parts = []
        for architecture, text in ((other, crd("write")), (own, raw("read"))):
            manifest = self.server.manifest(f"profiles/app@{self.push(text).partition('@')[2]}")
            parts.append({"mediaType": MANIFEST_TYPE, "size": len(manifest),
                          "digest": sha256(manifest),
                          "platform": {"os": "linux", "architecture": architecture}})
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=support.WAIT_S)
        with contextlib.closing(connection):
            connection.request("PUT", "/v2/profiles/app/manifests/both", json.dumps(
                {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": parts}), {"Content-Type": INDEX_TYPE})
            self.assertEqual(connection.getresponse().status, 201)
        self.assertEqual(self.names(f"{self.app}:both"), ["read"])

    def test_what_is_refused(self) -> None:
        disabled = crd("read", more="  state: Disabled\n").encode()
        for text, reason in ((disabled, ":6:3: state: the profile is not enabled"), (b"\xff", ": is not UTF-8"),
                             (b"kind: Pod\n", ":1:1: .*is no profile")):
            self.copy(module.crd_artifact([(None, text)], module.parse_annotations(())), "bad")
            self.assertRegex(self.spoc("show", f"{self.app}:bad", code=125).stderr,
                             rf"read profile: {self.app}:bad{reason}")
        for arguments, reason in (
                (("run", "-p", f"{self.app}:*", "--", "true"), r"\*: no tag"),
                (("run", "-p", "oci://nothing", "--", "true"), "HOST or NAME is missing"),
                (("convert", "-t", "bpf", "-o", f"{self.app}:x", self.app), "convert -t bpf: it has no format"),
                (("merge", "-o", f"{self.app}@sha256:{64 * '0'}", self.app), "what is not there yet has no digest")):
            with self.subTest(arguments=arguments):
                self.assertRegex(self.spoc(*arguments, code=2).stderr, reason)
        refused = self.spoc("show", "--html", f"{self.app}:x", self.push(crd("read")), code=125)
        self.assertIn("--html takes a file; name one, and spoc.py push it", refused.stderr)


class Logins(registries.Case):
    """Who may read is asked of every command."""

    CALLER = 4321  # a user who exists in mounts of the test alone

    def setUp(self) -> None:
        super().setUp()
        passwords = self.folder / "htpasswd"
        crypt = 'print crypt($ARGV[0], q($2y$05$) . "a" x 22)'
        hashed = subprocess.run(["perl", "-e", crypt, "secret"], check=True, stdout=subprocess.PIPE, text=True).stdout
        passwords.write_text(f"ann:{hashed}\n")
        self.server = self.registry(auth={"htpasswd": {"realm": "test", "path": str(passwords)}})
        self.app = f"oci://{self.server.host}/app"
        self.login = registries.environment(self.home, SPOC_USERNAME="ann", SPOC_PASSWORD="secret")
        (self.folder / "app.json").write_text(json.dumps({"defaultAction": ALLOW}))
        self.spoc("push", "-f", "app.json", self.app[6:], env=self.login)

    def test_nobody_else_while_it_pushes(self) -> None:
        """Under sudo, with the caller's login: only what goes on to another program changes its user, since that
        changes all threads, of which one pushes and others record.
        """
        support.require_root()
        support.require_command("strace")
        (self.folder / "passwd").write_text(
            pathlib.Path("/etc/passwd").read_text() + f"caller:x:{self.CALLER}:{self.CALLER}::{self.home}:\n")
        login = self.home / ".docker/config.json"
        login.parent.mkdir()
        login.write_text(json.dumps({"auths": {self.server.host: {"auth": base64.b64encode(b"ann:secret").decode()}}}))
        for path in (login, login.parent, self.home):
            os.chown(path, self.CALLER, self.CALLER)
        log = self.folder / "strace.log"
        result = subprocess.run(
            [*support.in_mounts('mount --bind "$1" /etc/passwd; shift', str(self.folder / "passwd")), "strace", "-f",
             "-qq", "-e", "trace=%creds,execve", "-o", str(log), sys.executable, str(support.SPOC), "record", "-n",
             "--checkpoint", "1", "-o", self.app, "--", "sh", "-c", "id -u; sleep 2.5"], cwd=self.folder, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=registries.environment(
                self.folder, SUDO_UID=str(self.CALLER), SUDO_GID=str(self.CALLER), SUDO_USER="caller"))
        self.assertEqual((result.returncode, result.stdout), (0, f"{self.CALLER}\n"), result.stderr)
        self.assertGreaterEqual(result.stderr.count(" Pushed "), 2)
        calls = [line.split(maxsplit=1) for line in log.read_text().splitlines()]
        first_pid = calls[0][0]
        changed = {pid for pid, call in calls if re.match(r"set(fs|re|res)?[ug]id", call)}
        executed = {pid for pid, call in calls if call.startswith("execve(")} - {first_pid}
        self.assertTrue(changed)
        self.assertLessEqual(changed, executed)

    def test_variables(self) -> None:
        for arguments in (("convert", "-t", "raw-seccomp", self.app), ("merge", self.app, "app.json"),
                          ("diff", self.app, "app.json"), ("show", self.app),
                          ("merge", "-o", f"{self.app}:merged", "app.json")):
            with self.subTest(arguments=arguments):
                self.spoc(*arguments, env=self.login)
                refused = self.spoc(*arguments, code=2 if "diff" in arguments else 125)
                self.assertIn("wants a login", refused.stderr)
                self.assertNotIn("secret", refused.stderr)

    def test_variables_with_a_command(self) -> None:
        support.require_root()
        marker = self.folder / "marker"
        for arguments in (("run", "-p", self.app, "--", "touch", str(marker)),
                          ("record", "-o", f"{self.app}:recorded", "--", "touch", str(marker))):
            self.assertIn("wants a login", self.spoc(*arguments, code=125).stderr)
            self.assertFalse(marker.exists())
            self.spoc(*arguments, env=self.login)
            marker.unlink()

    def test_options(self) -> None:
        for password, code in (("secret", 0), ("wrong", 125)):
            path = self.folder / "password"
            path.write_text(f"{password}\n")
            with open(path, encoding="utf-8") as file:
                result = self.spoc("show", "-u", "ann", "--password-stdin", self.app, stdin=file, code=code)
        self.assertIn("does not take the login of ann", result.stderr)

    def test_login_of_another_registry(self) -> None:
        """A login that was given is for the one registry that the command line names, and for no other."""
        refused = self.spoc("merge", self.app, "oci://other.example/app", env=self.login, code=2)
        self.assertRegex(refused.stderr, r"a login is for one registry, and \S+ and other\.example are named")
        path = self.folder / "based.yaml"
        path.write_text(crd("read", base=self.app))
        self.assertIn("wants a login", self.spoc("convert", "-t", "raw-seccomp", "based.yaml", env=self.login,
                                                 code=125).stderr)
        self.assertIn("no registry is named", self.spoc("show", "-u", "ann", "app.json", env=self.login, code=2).stderr)

    def test_login_that_was_left(self) -> None:
        """By podman login, say: in the file that a variable names."""
        support.require_root()
        login = self.home / "auth.json"
        subprocess.run(["skopeo", "login", "--tls-verify=false", "--authfile", str(login), "-u", "ann", "-p", "secret",
                        self.server.host], check=True, stdout=subprocess.DEVNULL)
        self.spoc("run", "-p", self.app, "--", "true", env=registries.environment(
            self.home, REGISTRY_AUTH_FILE=str(login)))


class Patterns(ReferenceCase):
    """oci://HOST/NAME:PATTERN is all tags that fit."""

    def setUp(self) -> None:
        super().setUp()
        for tag, names in (("node-1", "read"), ("node-2", "write"), ("node-10", "openat"), ("other", "bpf")):
            self.push(crd(names), tag)

    def merged(self, *arguments: str) -> List[str]:
        return names_in(self.spoc("merge", "-t", "raw-seccomp", *arguments).stdout)

    def test_merge(self) -> None:
        self.assertEqual(self.merged(f"{self.app}:node-*"), ["openat", "read", "write"])
        self.assertEqual(self.merged(f"{self.app}:node-?"), ["read", "write"])
        self.assertEqual(self.merged(f"{self.app}:*"), ["bpf", "openat", "read", "write"])
        self.assertEqual(self.merged(f"{self.app}:*2", f"{self.app}:other"), ["bpf", "write"])

    def test_pages(self) -> None:
        """All of several pages of tags are merged, and of none twice."""
        front = registries.Server(self, registries.in_pages(self.server.host, 3))
        result = self.spoc("merge", "-t", "raw-seccomp", f"oci://{front.host}/profiles/app:*")
        self.assertEqual(names_in(result.stdout), ["bpf", "openat", "read", "write"])
        self.assertIn(" Merged 4 profiles into: ", result.stderr)
        self.assertEqual(sum("/tags/list" in request.target for request in front.requests), 2)

    def test_fits_more_than_was_meant(self) -> None:
        """Of other containers, whose names begin alike, and of what was merged before."""
        result = self.spoc("merge", "-o", f"{self.app}:node-all", f"{self.app}:node-*")
        self.assertNotIn("Warning", result.stderr)
        self.push(crd("kill").replace("name: app", "name: app-api"), "node-api")
        result = self.spoc("merge", f"{self.app}:node-*")
        self.assertIn("Warning: profiles of app and app-api become one: if these are different programs, narrow ",
                      result.stderr)
        self.assertIn(f"Warning: {self.app}:node-all is of several recordings: if they are among the others, they "
                      "count twice; ", result.stderr)
        self.assertNotIn("Warning", self.spoc("merge", f"{self.app}:node-all", f"{self.app}:node-api").stderr)

    def test_coverage(self) -> None:
        """The annotation says in how many nodes each syscall was seen."""
        self.push(crd("read", "write"), "node-3")
        result = self.spoc("merge", f"{self.app}:node-*")
        coverage = re.search(r'syscall-coverage: "(.*)"', result.stdout)
        assert coverage
        self.assertEqual(json.loads(coverage[1].replace('\\"', '"')), {
            "version": "v1", "total": 4, "syscalls": {"openat": 1, "read": 2, "write": 2}})
        self.assertIn(" Merged 4 profiles into: standard output\n", result.stderr)

    def test_show(self) -> None:
        """As what merge would write, with its coverage."""
        self.spoc("merge", "-o", "all.yaml", f"{self.app}:node-*")
        merged = self.spoc("show", "all.yaml").stdout.partition("\n")[2]
        shown = self.spoc("show", f"{self.app}:node-*").stdout
        self.assertEqual(shown, f"{self.app}:node-*\n{merged}")
        self.assertRegex(shown, r"(?m)^Seen in how many recordings\n  1 of 3 .* openat read write$")

    def test_output_is_no_input(self) -> None:
        for _ in range(2):
            result = self.spoc("merge", "-o", f"{self.app}:all", f"{self.app}:*")
            self.assertIn(f" Merged 4 profiles into: {self.app}:all\n", result.stderr)
        self.assertIn(f"{self.app}:all is left out", result.stderr)

    def test_each_counts_once(self) -> None:
        """Where patterns overlap, or a reference is given twice, that makes no second node."""
        result = self.spoc("merge", "--at-least", "2", "-t", "raw-seccomp", f"{self.app}:node-*", f"{self.app}:node-1?",
                           f"{self.app}:node-1", f"{self.app}:node-1")
        self.assertEqual(names_in(result.stdout), [])
        self.assertIn(" Left out what fewer than 2 of 3 recordings have: openat (1), read (1), write (1)\n",
                      result.stderr)
        self.assertIn(f" {self.app}:node-1: given before, and counts once\n", result.stderr)
        self.assertNotIn("node-10: given before", result.stderr)
        pinned = self.push(crd("read"), "node-1")
        result = self.spoc("merge", pinned, pinned.replace(":node-1@", "@"))
        self.assertIn(" Merged 1 profile into: ", result.stderr)
        digest = f"{self.app}:node-*@sha256:{64 * '0'}"
        self.assertIn(f"{digest}: a digest names one profile", self.spoc("merge", digest, code=2).stderr)

    def test_signatures(self) -> None:
        """What cosign leaves beside profiles are no profiles."""
        self.push(crd("mount"), f"sha256-{64 * '0'}.sig")
        self.assertEqual(self.merged(f"{self.app}:*"), ["bpf", "openat", "read", "write"])

    def test_many_stars(self) -> None:
        """To find out that a tag does not fit takes no time that grows with each of them."""
        tag = 128 * "a"  # as long as they get
        self.push(crd("getpid"), tag)
        self.assertEqual(self.merged(f"{self.app}:{20 * '*a'}*"), ["getpid"])
        self.assertIn("none of 5 tags fits", self.spoc("merge", f"{self.app}:{20 * '*a'}*b", code=125).stderr)

    def test_none_fits(self) -> None:
        self.assertIn(f"list tags: {self.app}:x*: none of 4 tags fits; check the pattern",
                      self.spoc("merge", f"{self.app}:x*", code=125).stderr)
        self.assertIn("no such repository", self.spoc("merge", f"{self.app}s:*", code=125).stderr)


class Bases(ReferenceCase):
    """baseProfileName: oci://REF is fetched and united."""

    def setUp(self) -> None:
        super().setUp()
        self.push(raw(*CALLS), "lowest")
        self.push(crd("getuid", base=f"{self.app}:lowest"), "base")
        self.path = self.folder / "based.yaml"
        self.path.write_text(crd("getppid", base=f"{self.app}:base"))
        self.expected = sorted([*CALLS, "getppid", "getuid"])

    def test_convert(self) -> None:
        for name in ("raw-seccomp", "docker"):
            result = self.spoc("convert", "-t", name, "based.yaml")
            self.assertEqual(names_in(result.stdout), self.expected)
        self.assertRegex(result.stderr, rf"Pulled {self.app[6:]}:base@sha256:\w+\n.* Pulled {self.app[6:]}:lowest@")
        kept = self.spoc("convert", "-t", "seccomp", "based.yaml").stdout
        self.assertIn(f'baseProfileName: "{self.app}:base"', kept)

    def test_merge(self) -> None:
        result = self.spoc("merge", "-t", "raw-seccomp", "based.yaml", f"{self.app}:lowest")
        self.assertEqual(names_in(result.stdout), self.expected)
        self.assertNotIn("baseProfileName", self.spoc("merge", "based.yaml").stdout)

    def test_run(self) -> None:
        support.require_root()
        program = support.build("call.c", "-static")
        path = self.folder / "needed.json"
        self.spoc_reading(GETPPID, "record", "-n", "-t", "raw-seccomp", "-o", str(path), "--", program)
        self.push(path.read_text().replace('"getppid"', '"getpgrp"'), "lowest")
        self.path.write_text(crd("execve", base=f"{self.app}:lowest"))
        result = self.spoc_reading(GETPPID, "run", "--strict", "-p", "based.yaml", "--", program, code=1)
        self.assertRegex(result.stdout, "! 1\n")
        self.assertEqual(re.findall(r"Seccomp: (\w+)", result.stderr), ["getppid"])

    def test_base_profile_overrides(self) -> None:
        """Then no registry is asked."""
        support.require_root()
        self.server.stop()
        (self.folder / "all.json").write_text(json.dumps({"defaultAction": ALLOW}))
        self.path.write_text(crd("read", base=f"{self.app}:base").replace("SCMP_ACT_ERRNO", "SCMP_ACT_LOG"))
        self.spoc("run", "-p", "based.yaml", "--base-profile", "all.json", "--", "true")
        self.assertIn("connection refused", self.spoc("run", "-p", "based.yaml", "--", "true", code=125).stderr)

    def test_base_profile_in_a_registry(self) -> None:
        support.require_root()
        self.push(json.dumps({**REFUSING, "defaultAction": ERRNO}), "refusing")
        result = self.spoc("run", "--base-profile", f"{self.app}:refusing", "-p", f"{self.app}:lowest", "-b",
                           "execve,fstat", "--", "true")
        self.assertIn(f"Pulled {self.app[6:]}:refusing@sha256:", result.stderr)

    def test_depth(self) -> None:
        self.push(crd("read"), "0")
        for number in range(1, 14):
            self.push(crd("read", base=f"{self.app}:{number - 1}"), str(number))
        self.path.write_text(crd("write", base=f"{self.app}:13"))  # with this one 15 profiles
        self.spoc("convert", "-t", "raw-seccomp", "based.yaml")
        self.push(crd("read", base=f"{self.app}:13"), "14")
        self.path.write_text(crd("write", base=f"{self.app}:14"))
        self.assertIn("it builds on more than 14 profiles", self.spoc(
            "convert", "-t", "raw-seccomp", "based.yaml", code=125).stderr)

    def test_circle(self) -> None:
        self.push(crd("read", base=f"{self.app}:self"), "self")
        self.assertIn(f"{self.app}:self: it builds on more than 14 profiles; look for a circle", self.spoc(
            "merge", f"{self.app}:self", code=125).stderr)

    def test_size(self) -> None:
        self.push(crd("read") + f"# {(1 << 20) * 'x'}\n", "large")
        self.assertEqual(self.names(f"{self.app}:large"), ["read"])
        self.path.write_text(crd("write", base=f"{self.app}:large"))
        self.assertRegex(self.spoc("convert", "-t", "raw-seccomp", "based.yaml", code=125).stderr,
                         r"profile.yaml has \d+ bytes, more than 1048576")

    def test_base_of_another_kind(self) -> None:
        """A name in a cluster, at the end of the chain, is for --base-profile, or stays in what can say it."""
        self.push(crd("getuid", base="runc"), "base")
        self.assertIn('\n  baseProfileName: runc\n', self.spoc("merge", "based.yaml").stdout)
        self.assertIn("baseProfileName: it has no place there",
                      self.spoc("convert", "-t", "raw-seccomp", "based.yaml", code=125).stderr)
        self.assertIn("builds on the profile runc; give that as --base-profile FILE",
                      self.spoc("run", "-p", "based.yaml", "--", "true", code=125).stderr)

    def test_only_rules_are_united(self) -> None:
        self.push(json.dumps({"defaultAction": ALLOW, "architectures": ["SCMP_ARCH_X86"], "syscalls": [
            {"names": ["getuid"], "action": ALLOW}]}), "base")
        document = json.loads(self.spoc("convert", "-t", "raw-seccomp", "based.yaml").stdout)
        self.assertEqual((document["defaultAction"], document["architectures"]), (ERRNO, []))


class Write(ReferenceCase):
    """record, merge and convert write to a registry."""

    def layer(self, tag: str = "latest") -> str:
        """What skopeo finds there."""
        blob, = self.server.blobs(f"profiles/app:{tag}")
        return blob.decode()

    def kind(self, tag: str = "latest") -> str:
        return str(json.loads(self.server.manifest(f"profiles/app:{tag}"))["config"]["mediaType"])

    def test_record(self) -> None:
        support.require_root()
        for options, kind in (((), "application/vnd.oci.empty.v1+json"),
                              (("-t", "raw-seccomp"), registries.RUNTIME_TYPE)):
            result = self.spoc("record", "-n", *options, "-o", self.app, "--", "true")
            self.assertEqual(self.kind(), kind)
            digest = sha256(self.server.manifest("profiles/app:latest"))
            self.assertIn(f" Pushed {self.app[6:]}:latest@{digest}\n", result.stderr)
            self.assertIn(f" Wrote seccomp profile to: {self.app}\n", result.stderr)
            names = names_in(self.layer()) if options else self.names(self.app)
            self.assertLessEqual({"openat", "mmap"}, set(names))
            self.spoc("run", "-b", "execve", "-p", self.app, "--strict", "--", "true")
        self.assertEqual(self.server.litter(), [])
        self.assertEqual(list(self.folder.glob("app-*")), [])

    def test_record_appends(self) -> None:
        support.require_root()
        self.spoc("record", "-n", "--append", "-o", self.app, "--", "true")
        before = self.names(self.app)
        self.assertNotIn("getdents64", before)
        result = self.spoc("record", "-n", "--append", "-o", self.app, "--", "ls", "/")
        self.assertEqual(sorted({*before, *self.names(self.app)}), self.names(self.app))
        self.assertIn("getdents64", self.names(self.app))
        self.assertRegex(result.stderr, r"Added \d+ syscalls: .*getdents64")

    def test_checkpoint(self) -> None:
        """The registry has what was seen while the command still runs, with either backend."""
        support.require_root()
        for number, options in enumerate(((), support.NOTIFY)):
            stop = self.folder / f"stop{number}"
            script = f"ls /; while [ ! -e {stop} ]; do sleep 0.1; done"
            process = self.launch(
                "python3", str(support.SPOC), "record", "-n", "--checkpoint", "1", *options, "-o",
                f"{self.app}:{number}", "--", "sh", "-c", script, env=registries.environment(self.home),
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            self.assertTrue(wait_until(lambda: self.has_tag(str(number)), support.WAIT_S))
            self.assertIsNone(process.poll())
            self.assertIn("getdents64", self.names(f"{self.app}:{number}"))
            stop.touch()
            log = process.communicate(timeout=support.WAIT_S)[1]
            self.assertEqual(process.returncode, 0, log)
            self.assertGreaterEqual(log.count(" Pushed "), 2)
            self.assertIn("exit_group", self.names(f"{self.app}:{number}"))
            self.assertEqual(list(self.folder.glob("app-*")), [])

    def has_tag(self, tag: str) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=support.WAIT_S)
        with contextlib.closing(connection):
            connection.request("HEAD", f"/v2/profiles/app/manifests/{tag}", headers={"Accept": MANIFEST_TYPE})
            return connection.getresponse().status == 200

    def test_merge_and_convert(self) -> None:
        (self.folder / "a.yaml").write_text(crd("read"))
        (self.folder / "b.json").write_text(raw("write"))
        self.spoc("merge", "-o", f"{self.app}:merged", "a.yaml", "b.json")
        self.assertEqual(self.names(f"{self.app}:merged"), ["read", "write"])
        self.assertIn("\n  name: app\n", self.layer("merged"))
        self.spoc("merge", "-o", f"{self.app}:json", "b.json")
        self.assertEqual(self.kind("json"), registries.RUNTIME_TYPE)
        self.spoc("convert", "-t", "raw-seccomp", "-o", f"{self.app}:converted", "a.yaml")
        self.assertEqual(self.kind("converted"), registries.RUNTIME_TYPE)
        self.assertEqual(names_in(self.layer("converted")), ["read"])
        self.assertIn("\n  name: app\n", self.spoc("convert", "-t", "seccomp", f"{self.app}:converted").stdout)
        self.spoc("convert", "-t", "seccomp", "-o", f"{self.app}:crd", "b.json")
        self.assertIn("kind: SeccompProfile\n", self.layer("crd"))

    def test_what_the_format_may_not_hold(self) -> None:
        (self.folder / "a.yaml").write_text(crd("read", more="  listenerPath: /var/run/x\n"))
        refused = self.spoc("convert", "-t", "raw-seccomp", "-o", self.app, "a.yaml", code=125)
        self.assertIn("listenerPath: not in the runtime format", refused.stderr)

    def test_record_of_what_runs(self) -> None:
        """The same, with a registry that ends meanwhile."""
        support.require_root()
        loop = self.launch("sh", "-c", "while :; do sleep 0.1; done")
        for ends in (False, True):
            process = self.launch(
                "python3", str(support.SPOC), "record", "-n", "--pid", str(loop.pid), "-o", self.app, cwd=self.folder,
                env=registries.environment(self.home), stderr=subprocess.PIPE, text=True)
            assert process.stderr
            log = ""
            while "Processing events" not in log:
                line = process.stderr.readline()
                self.assertTrue(line, log)
                log += line
            wait_until(lambda: False, 0.5)
            if ends:
                self.server.stop()
            process.send_signal(signal.SIGINT)
            log += process.communicate(timeout=support.WAIT_S)[1]
            self.assertEqual(process.returncode, 125 if ends else 0, log)
            if not ends:
                self.assertIn("wait4", self.names(self.app))
        self.assertIn("The profile is in app-latest.yaml; ", log)
        self.assertIn("wait4", (self.folder / "app-latest.yaml").read_text())

    def test_unreachable_before_the_start(self) -> None:
        """The command is not started, and nothing is merged."""
        support.require_root()
        marker = self.folder / "marker"
        self.server.stop()
        refused = self.spoc("record", "-o", self.app, "--", "touch", str(marker), code=125)
        self.assertIn("connection refused", refused.stderr)
        self.assertIn("connection refused", self.spoc(
            "record", "-o", self.app, "--containers", code=125).stderr)
        with socket.socket() as other:  # takes the connection, and says what is no HTTP
            other.bind(("127.0.0.1", 0))
            other.listen()
            answering = threading.Thread(target=self.answer_nonsense, args=(other,))
            answering.start()
            refused = self.spoc("record", "-o", f"oci://127.0.0.1:{other.getsockname()[1]}/app", "--", "touch",
                                str(marker), code=125)
            other.shutdown(socket.SHUT_RDWR)
            answering.join()
        self.assertIn("it does not speak HTTP", refused.stderr)
        self.assertFalse(marker.exists())

    @staticmethod
    def answer_nonsense(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = listener.accept()
                with peer:
                    peer.recv(1 << 16)
                    peer.sendall(b"220 mail.example ESMTP\r\n")

    def silence(self) -> None:
        """The registry goes on to take connections, and says nothing."""
        process = self.server.process
        process.send_signal(signal.SIGSTOP)
        self.addCleanup(process.send_signal, signal.SIGCONT)

    def test_silent_before_the_start(self) -> None:
        """It is given up after IDLE_S, and a signal ends the wait; the command is not started."""
        support.require_root()
        marker = self.folder / "marker"
        self.silence()
        for signum in (signal.SIGINT, signal.SIGTERM, None):
            process = self.launch("python3", str(support.SPOC), "record", "-o", self.app, "--", "touch", str(marker),
                                  cwd=self.folder, stderr=subprocess.PIPE, text=True,
                                  env=registries.environment(self.home))
            if signum:
                time.sleep(1)
                process.send_signal(signum)
            log = process.communicate(timeout=2 * support.WAIT_S)[1]
            if not signum:
                self.assertRegex(log, rf"Error: push: {self.app[6:]}:latest: .*: time-out; ")
            self.assertEqual(process.returncode, 125 if signum is None else {2: 130, 15: -15}[signum], log)
        self.assertEqual(list(self.folder.glob("*.yaml")), [])
        self.assertFalse(marker.exists())

    def recording(self, *options: str, script: str = "read line <go; exec sleep 0.1",
                  wrapper: Sequence[str] = ()) -> "Tuple[subprocess.Popen[Any], pathlib.Path]":
        """Start to record a shell that waits for a line in the fifo `go`; give its log as well."""
        os.mkfifo(self.folder / "go")
        path = self.folder / "log"
        with open(path, "w", encoding="utf-8") as log:
            process = self.launch(*wrapper, sys.executable, str(support.SPOC), "record", "-n", *options, "-o", self.app,
                                  "--", "sh", "-c", script, cwd=self.folder, env=registries.environment(self.home),
                                  stderr=log)
        self.wait_logged(path, "Running command with PID")
        return process, path

    def wait_logged(self, path: pathlib.Path, text: str) -> None:
        self.assertTrue(wait_until(lambda: text in path.read_text(), support.WAIT_S), path.read_text())

    def go(self) -> None:
        """Let that shell go on."""
        (self.folder / "go").write_text("\n")

    def check_kept(self, log: str, name: str = "app-latest.yaml") -> None:
        """What is said pushes the profile, which is in this file."""
        found = re.search(r"The profile is in (\S+); when the registry can be reached: spoc\.py (.*)\n", log)
        assert found, log
        self.assertEqual(found[1], name)
        self.spoc(*shlex.split(found[2]))
        self.assertIn("clock_nanosleep", self.names(self.app))

    def test_signal_while_it_is_pushed(self) -> None:
        """It ends that at once, and the profile is in a file; SIGKILL leaves that, too."""
        support.require_root()
        for number, signum in enumerate((signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL)):
            with self.subTest(signum=signum):
                process, path = self.recording()
                self.silence()
                self.go()
                self.wait_logged(path, "The profile is in app-latest.yaml until the registry has it")
                process.send_signal(signum)
                process.wait(timeout=support.WAIT_S / 3)  # a silent registry is given up after IDLE_S
                self.assertEqual(process.returncode, -9 if signum == signal.SIGKILL else 125, path.read_text())
                self.server.process.send_signal(signal.SIGCONT)
                if signum != signal.SIGKILL:
                    self.assertIn(f"push: {self.app}: ended by {signum.name}\n", path.read_text())
                    self.check_kept(path.read_text())
                kept = self.folder / "app-latest.yaml"
                self.assertIn("clock_nanosleep", kept.read_text())
                kept.unlink()
                (self.folder / "go").unlink()

    def test_killed_after_a_checkpoint(self) -> None:
        """What the registry did not take by then is in a file."""
        support.require_root()
        process, path = self.recording("--checkpoint", "1", script="sleep 0.1; read line <go")
        self.server.stop()
        self.wait_logged(path, "connection refused")
        process.kill()
        process.wait()
        self.go()
        self.assertIn("clock_nanosleep", (self.folder / "app-latest.yaml").read_text())

    def test_no_thread_for_a_checkpoint(self) -> None:
        """A user who may start nothing more records on, and what was recorded is pushed in the end."""
        support.require_root()
        user = 40_000 + os.getpid() % 10_000  # the limit counts what the user has anywhere
        os.chown(self.folder, user, user)
        as_user = ("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups")
        process, path = self.recording(*support.NOTIFY, "--checkpoint", "2", script="read line <go",
                                       wrapper=as_user)
        subprocess.run([*as_user, "prlimit", "--nproc=0", "--pid", str(process.pid)], check=True)
        self.wait_logged(path, "start: a thread that pushes: Resource temporarily unavailable; raise the limit on "
                         "processes (ulimit -u, pids.max of the cgroup)\n")
        self.assertIsNone(process.poll())
        self.go()
        self.assertEqual(process.wait(timeout=support.WAIT_S), 0, path.read_text())
        self.assertIn("exit_group", self.names(self.app))

    def test_silent_at_a_checkpoint(self) -> None:
        """A signal ends the command; the profile is in a file."""
        support.require_root()
        process = self.launch(
            "python3", str(support.SPOC), "record", "-n", "--checkpoint", "1", "-o", self.app, "--", "sh", "-c",
            "echo; exec sleep 1000", cwd=self.folder, env=registries.environment(self.home), stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)
        assert process.stdout
        process.stdout.readline()
        self.silence()
        time.sleep(1.5)  # and at the latest then it is pushed
        process.send_signal(signal.SIGTERM)
        log = process.communicate(timeout=2 * support.WAIT_S)[1]
        self.assertEqual(process.returncode, 125, log)
        self.assertIn("time-out", log)
        found = re.search(r"The profile is in (\S+); when the registry can be reached: spoc\.py (.*)\n", log)
        assert found, log
        self.server.process.send_signal(signal.SIGCONT)
        self.spoc(*shlex.split(found[2]))
        self.assertIn("clock_nanosleep", self.names(self.app))

    def test_unreachable_at_the_end(self) -> None:
        """Nothing that was recorded is lost: it is in a file, and what is said pushes that."""
        support.require_root()
        for number, (options, name) in enumerate((
                ((), "app-node-0.yaml"), (("-t", "raw-seccomp"), "app-node-1.json"), (("-q",), "app-node-2.yaml"))):
            tag = f"node-{number}"
            result = self.spoc("record", "-n", *options, "-o", f"{self.app}:{tag}", "--", "sh", "-c",
                               f"kill -KILL {self.server.process.pid}; sleep 0.2", code=125)
            self.assertRegex(result.stderr, rf"Error: push: {self.app[6:]}:{tag}: .*: (connection refused|the conn)")
            found = re.search(r"The profile is in (\S+); when the registry can be reached: spoc\.py (.*)\n",
                              result.stderr)
            assert found, result.stderr
            self.assertEqual(found[1], name)
            self.server.start()
            self.spoc(*shlex.split(found[2]))
            self.assertIn("clock_nanosleep", self.names(f"{self.app}:{tag}"))

    def test_unreachable_at_the_end_of_append(self) -> None:
        """What was there stays: it is merged."""
        support.require_root()
        self.push(crd("bpf"))
        result = self.spoc("record", "-n", "--append", "-o", self.app, "--", "sh", "-c",
                           f"kill -KILL {self.server.process.pid}; sleep 0.2", code=125)
        found = re.search(r"when the registry can be reached: spoc\.py (merge .*)\n", result.stderr)
        assert found, result.stderr
        self.server.start()
        self.spoc(*shlex.split(found[1]))
        self.assertLessEqual({"bpf", "clock_nanosleep"}, set(self.names(self.app)))

    def test_unreachable_at_the_end_under_sudo(self) -> None:
        """The file is the calling user's."""
        support.require_root()
        os.chown(self.folder, support.NOBODY, support.NOBODY)
        process = self.launch(
            "python3", str(support.SPOC), "record", "-n", "-o", self.app, "--", "sh", "-c",
            "touch started; while [ ! -e go ]; do sleep 0.1; done", cwd=self.folder, env=registries.environment(
                self.home, SUDO_UID=str(support.NOBODY), SUDO_GID=str(support.NOBODY)),
            stderr=subprocess.PIPE, text=True)
        self.assertTrue(wait_until((self.folder / "started").exists, support.WAIT_S))
        self.server.stop()
        (self.folder / "go").touch()
        log = process.communicate(timeout=support.WAIT_S)[1]
        self.assertEqual(process.returncode, 125, log)
        self.assertEqual((self.folder / "app-latest.yaml").stat().st_uid, support.NOBODY)

    def test_folder_that_takes_no_file(self) -> None:
        """Then the profile goes to /tmp."""
        support.require_root()
        tag = f"test-{os.getpid()}"
        path = pathlib.Path(f"/tmp/app-{tag}.yaml")
        self.addCleanup(path.unlink)
        result = support.spoc("record", "-n", "-o", f"{self.app}:{tag}", "--", "sh", "-c",
                              f"kill -KILL {self.server.process.pid}; sleep 0.2", cwd="/proc",
                              env=registries.environment(self.home))
        self.assertEqual(result.returncode, 125, result.stderr)
        self.assertIn(f"The profile is in {path}; ", result.stderr)
        self.assertIn("clock_nanosleep", path.read_text())

    def test_file_that_is_there_is_spared(self) -> None:
        support.require_root()
        (self.folder / "app-latest.yaml").write_text("precious\n")
        result = self.spoc("record", "-n", "-o", self.app, "--", "sh", "-c",
                           f"kill -KILL {self.server.process.pid}; sleep 0.2", code=125)
        self.assertIn("The profile is in app-latest.yaml.1; ", result.stderr)
        self.assertEqual((self.folder / "app-latest.yaml").read_text(), "precious\n")

    def test_usage(self) -> None:
        for arguments, reason in (
                (("record", "-t", "systemd", "-o", self.app, "--", "true"), "a drop-in"),
                (("record", "--append", "--checkpoint", "5", "-o", self.app, "--", "true"), "does not go with --app"),
                (("record", "--containers", "-o", f"{self.app}:tag"), "the tag of each profile is CONTAINER-NODE"),
                (("record", "--containers", "--append", "-o", self.app), "--append: does not go with --containers"),
                (("convert", "-o", self.app, "x.yaml"), "give -t")):
            with self.subTest(arguments=arguments):
                self.assertIn(reason, self.spoc(*arguments, code=2).stderr)


class Containers(ReferenceCase, AttachCase):
    """record --containers -o oci://HOST/NAME pushes the profile of each."""

    def setUp(self) -> None:
        super().setUp()
        self.engines = Engines()
        self.addCleanup(self.engines.close)
        self.states = self.folder / "states"
        self.states.mkdir()

    @contextlib.contextmanager
    def recorded(self, *options: str, code: int = 0) -> "Iterator[subprocess.Popen[Any]]":
        with mock.patch.dict(os.environ, {"STATE_DIRECTORY": str(self.states), "SPOC_NODE": "node 7"}), \
                self.attached("record", "--containers", "-n", "-o", self.app, *options,
                              ready="Recording every container that starts from now on") as process:
            try:
                yield process
            finally:
                process.send_signal(signal.SIGTERM)
        self.assertEqual(process.returncode, code, self.log)

    def wait_logged(self, text: str) -> None:
        log = self.folder / "log"
        self.assertTrue(wait_until(lambda: text in log.read_text(), support.WAIT_S), log.read_text())

    def start(self, engine: Engine, name: str) -> None:
        """Start a container, and have it make calls, however late a busy machine lets its own program run."""
        engine.start(name, *SHELL_LOOP)
        self.addCleanup(engine.remove, name)
        self.wait_logged(f"Recording container {name} ")
        engine.execute(name, "/three")

    def files(self) -> List[pathlib.Path]:
        return list(self.states.glob(f"*/{ONE}.*"))

    def test_each_is_pushed_when_it_ends(self) -> None:
        engine = self.engines.podman("crun")
        with self.recorded():
            for name in (ONE, TWO):
                self.start(engine, name)
            engine.remove(ONE)
            self.wait_logged(f" Pushed {self.app[6:]}:{ONE}-node-7@sha256:")
            self.assertEqual(self.tags(), [f"{ONE}-node-7"])
        self.assertEqual(self.tags(), sorted([f"{ONE}-node-7", f"{TWO}-node-7"]))
        for name in (ONE, TWO):
            self.assertLessEqual({"getppid", "getuid", "execve"}, set(self.names(f"{self.app}:{name}-node-7")))
        self.assertEqual(self.files(), [])

    def test_checkpoint(self) -> None:
        engine = self.engines.podman("crun")
        with self.recorded("--checkpoint", "1"):
            engine.start(ONE, *SHELL_LOOP)
            self.addCleanup(engine.remove, ONE)
            self.wait_logged(f" Pushed {self.app[6:]}:{ONE}-node-7@sha256:")
            self.assertIn("wait4", self.names(f"{self.app}:{ONE}-node-7"))

    def lose_the_registry(self) -> None:
        """Stop it, record a container, and wait until its profile could not be pushed."""
        engine = self.engines.podman("crun")
        self.server.stop()
        self.start(engine, ONE)
        engine.remove(ONE)
        self.wait_logged("connection refused")

    def test_registry_that_goes_away(self) -> None:
        """It is tried again, and what it does not take in the end stays in a file, which is named."""
        with self.recorded(code=125) as process:
            self.lose_the_registry()
            process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            self.assertIsNone(process.poll())  # a minute is not over; another signal ends it
        path, = self.files()
        found = re.search(rf"push: {self.app[6:]}:{ONE}-node-7: it was not pushed, and is in {path}; "
                          r"spoc\.py (push .*)\n", self.log)
        assert found, self.log
        self.server.start()
        self.spoc(*shlex.split(found[1]))
        self.assertEqual(self.tags(), [f"{ONE}-node-7"])

    def test_registry_that_comes_back_after_the_end(self) -> None:
        with self.recorded() as process:
            self.lose_the_registry()
            process.send_signal(signal.SIGTERM)
            time.sleep(1)
            self.server.start()
            process.wait(timeout=support.WAIT_S)
        self.assertEqual(self.tags(), [f"{ONE}-node-7"])

    def test_registry_that_is_silent(self) -> None:
        """It takes connections, but is not waited for beyond a minute when a signal has come."""
        engine = self.engines.podman("crun")
        with self.recorded(code=125):
            self.start(engine, ONE)
            self.server.process.send_signal(signal.SIGSTOP)
            self.addCleanup(self.server.process.send_signal, signal.SIGCONT)
            engine.remove(ONE)
            self.assertTrue(wait_until(lambda: bool(self.files()), support.WAIT_S))
        path, = self.files()
        self.assertIn(f"push: {self.app[6:]}:{ONE}-node-7: it was not pushed, and is in {path}; ", self.log)
        self.assertIn("getppid", path.read_text())
        self.assertIn(f"each into a profile in {self.app}; they wait in {path.parent}\n", self.log)

    def test_signal_while_it_is_pushed(self) -> None:
        """The second one ends that at once; what has not been pushed stays in files, which are named."""
        engine = self.engines.podman("crun")
        with self.recorded(code=125) as process:
            self.start(engine, ONE)
            self.server.process.send_signal(signal.SIGSTOP)
            self.addCleanup(self.server.process.send_signal, signal.SIGCONT)
            process.send_signal(signal.SIGTERM)
            self.assertTrue(wait_until(lambda: bool(self.files()), support.WAIT_S), (self.folder / "log").read_text())
            self.assertIsNone(process.poll())
            time.sleep(0.5)
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=support.WAIT_S / 3)  # a silent registry is given up after IDLE_S
        path, = self.files()
        self.assertIn(f"push: {self.app[6:]}:{ONE}-node-7: it was not pushed, and is in {path}; ", self.log)

    def test_registry_that_comes_back(self) -> None:
        with self.recorded():
            self.lose_the_registry()
            self.server.start()
        self.assertEqual(self.tags(), [f"{ONE}-node-7"])
        self.assertEqual(self.files(), [])


if __name__ == "__main__":
    unittest.main()
