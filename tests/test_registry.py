# SPDX-License-Identifier: MIT
"""push and pull, against Debian's docker-registry, skopeo, and a registry that does everything wrong."""

import hashlib
import json
import subprocess
import sys

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
