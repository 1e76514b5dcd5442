# SPDX-License-Identifier: MIT
"""Profiles as OCI registries hold them: both layouts, written and read, and what neither may hold."""

import hashlib
import itertools
import json
import random
import subprocess
import unittest
from typing import Any, Dict, List, Optional, Sequence, Tuple

import spoc
import support
from rules import HOST
from support import ALLOW, DATA, ERRNO, X86, X86_64

TIER = "pure"
AMD64, ARM64, ARM = spoc.Platform("linux", "amd64"), spoc.Platform("linux", "arm64"), spoc.Platform("linux", "arm")
ARTIFACT = "registry.example/profiles/web:v1"
NO_ANNOTATIONS = {"org.opencontainers.image.created": "1970-01-01T00:00:00Z"}
YAML = b"""apiVersion: security-profiles-operator.x-k8s.io/v1beta1
kind: SeccompProfile
metadata:
  name: web
spec:
  defaultAction: SCMP_ACT_ERRNO
"""
JSON = b"""{
  "defaultAction": "SCMP_ACT_ERRNO",
  "architectures": [
    "SCMP_ARCH_X86_64"
  ],
  "syscalls": [
    {
      "names": [
        "read",
        "write"
      ],
      "action": "SCMP_ACT_ALLOW"
    }
  ]
}
"""
# What SPO's spoc push makes of the two, by way of oras-go: PackManifest, ocispec.Manifest and encoding/json of Go.
RUNTIME_MANIFEST = (
    b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",'
    b'"artifactType":"application/vnd.cncf.seccomp-profile.config.v1+json",'
    b'"config":{"mediaType":"application/vnd.cncf.seccomp-profile.config.v1+json",'
    b'"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},'
    b'"layers":[{"mediaType":"application/json","digest":"sha256:%s","size":%d,'
    b'"annotations":{"org.opencontainers.image.title":"profile.json"}}],'
    b'"annotations":{"org.opencontainers.image.created":"1970-01-01T00:00:00Z"}}')
CRD_MANIFEST = (
    b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",'
    b'"artifactType":"application/vnd.unknown.config.v1+json",'
    b'"config":{"mediaType":"application/vnd.oci.empty.v1+json",'
    b'"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2,"data":"e30="},'
    b'"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:%s","size":%d,'
    b'"annotations":{"org.opencontainers.image.title":"profile-linux-amd64.yaml"},'
    b'"platform":{"architecture":"amd64","os":"linux"}},'
    b'{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:%s","size":%d,'
    b'"annotations":{"org.opencontainers.image.title":"profile-linux-arm-v7-6.1.yaml"},'
    b'"platform":{"architecture":"arm","os":"linux","os.version":"6.1","variant":"v7"}},'
    b'{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:%s","size":%d,'
    b'"annotations":{"org.opencontainers.image.title":"profile.yaml"}}],'
    b'"annotations":{"about":"a \\u003cb\\u003e \\u0026 c","org.opencontainers.image.created":"1970-01-01T00:00:00Z"}}')


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode()


def source_of(document: Dict[str, Any], **more: Any) -> spoc.LoadedProfile:
    return spoc.parse_profile(json.dumps({"defaultAction": ERRNO, **document, **more}), "the/file.json", HOST)


def rule(*names: str, action: str = ALLOW, **more: Any) -> Dict[str, Any]:
    return {"names": list(names), "action": action, **more}


def when(index: int, op: str, value: int, value_two: int = 0) -> Dict[str, Any]:
    return {"index": index, "op": f"SCMP_CMP_{op}", "value": value, "valueTwo": value_two}


def layer(title: str = "", platform: Optional[spoc.Platform] = None, data: bytes = YAML,
          media_type: str = "application/vnd.oci.image.layer.v1.tar") -> Dict[str, Any]:
    """A descriptor as a manifest has it."""
    made: Dict[str, Any] = {"mediaType": media_type, "digest": f"sha256:{sha256(data).decode()}", "size": len(data)}
    if title:
        made["annotations"] = {"org.opencontainers.image.title": title}
    if platform:
        made["platform"] = {"os": platform.os, "architecture": platform.architecture, "variant": platform.variant,
                            "os.version": platform.os_version}
    return made


def manifest(*layers: Dict[str, Any], config_type: str = "application/vnd.oci.empty.v1+json",
             **more: Any) -> spoc.Manifest:
    return spoc.parse_manifest(json.dumps({
        "schemaVersion": 2, "mediaType": spoc.MANIFEST_TYPE, "config": layer(media_type=config_type),
        "layers": layers, **more}).encode(), ARTIFACT)


def index(*parts: Tuple[str, Optional[spoc.Platform]], **more: Any) -> spoc.Manifest:
    """An index of manifests whose bytes are these."""
    return spoc.parse_manifest(json.dumps({"schemaVersion": 2, "mediaType": spoc.INDEX_TYPE, "manifests": [
        layer("", platform, data.encode(), spoc.MANIFEST_TYPE) for data, platform in parts], **more}).encode(),
                               ARTIFACT)


class Platforms(unittest.TestCase):
    """What a profile is for."""

    def test_parsed(self) -> None:
        for text, expected in (("linux/amd64", AMD64), ("linux/arm64/v8", spoc.Platform("linux", "arm64", "v8")),
                               ("linux/arm/v7:6.1", spoc.Platform("linux", "arm", "v7", "6.1"))):
            self.assertEqual(spoc.parse_platform(text), expected)
            self.assertEqual(str(expected), text)
        for text in ("", "linux", "linux/", "/amd64", "linux/arm/v7/x", "linux//v7", "linux/arm64:"):
            with self.subTest(text=text), self.assertRaisesRegex(spoc.UsageError, "is no platform; give OS/ARCH"):
                spoc.parse_platform(text)

    def test_equal_ones(self) -> None:
        same = (("linux/arm64", "linux/arm64/v8"), ("linux/arm", "linux/arm/v7"), ("linux/amd64", "linux/amd64/v1"))
        for one, other in same:
            self.assertEqual(spoc.parse_platform(one).normal, spoc.parse_platform(other).normal)
        for one, other in (("linux/arm", "linux/arm/v6"), ("linux/amd64", "linux/amd64/v2"),
                           ("linux/arm64", "linux/arm64:6.1")):
            self.assertNotEqual(spoc.parse_platform(one).normal, spoc.parse_platform(other).normal)

    def test_of_a_machine(self) -> None:
        for architecture, expected in ((X86_64, "amd64"), (X86, "386"), ("SCMP_ARCH_AARCH64", "arm64"),
                                       ("SCMP_ARCH_PPC64", "ppc64")):
            self.assertEqual(spoc.platform_of(spoc.Host(architecture, "6.1", ())).architecture, expected)


class Annotations(unittest.TestCase):
    """Those of the manifest."""

    def test_parsed(self) -> None:
        self.assertEqual(spoc.parse_annotations(["a:b:c", "empty:"]), {"a": "b:c", "empty": "", **NO_ANNOTATIONS})

    def test_time(self) -> None:
        created = "org.opencontainers.image.created"
        self.assertEqual(spoc.parse_annotations([], "86400")[created], "1970-01-02T00:00:00Z")
        given = "2026-01-02T03:04:05.5+01:00"
        self.assertEqual(spoc.parse_annotations([f"{created}:{given}"], "86400")[created], given)

    def test_refused(self) -> None:
        table: List[Tuple[List[str], str, str]] = [
            (["a"], "", "is no annotation"), ([":b"], "", "is no annotation"),
            (["a:b", "a:c"], "", "a is given another value"),
            (["org.opencontainers.image.created:now"], "", "no time as RFC 3339"),
            ([], "now", "SOURCE_DATE_EPOCH=now: is no number"), ([], str(1 << 70), "is no number"),
            ([], str(1 << 40), "no time as RFC 3339")]
        for given, epoch, reason in table:
            with self.subTest(given=given, epoch=epoch), self.assertRaisesRegex(spoc.UsageError, reason):
                spoc.parse_annotations(given, epoch)


class Written(support.Case):
    """Both layouts, byte for byte."""

    def runtime(self) -> spoc.Artifact:
        return spoc.runtime_artifact(source_of({"architectures": [X86_64], "syscalls": [rule("write", "read")]}),
                                     NO_ANNOTATIONS)

    def crd(self) -> spoc.Artifact:
        profiles = [(None, YAML + b"# any\n"), (spoc.Platform("linux", "arm", "v7", "6.1"), YAML), (AMD64, YAML)]
        return spoc.crd_artifact(profiles, {**NO_ANNOTATIONS, "about": "a <b> & c"})

    def test_runtime(self) -> None:
        artifact = self.runtime()
        self.assertEqual([blob.data for blob in artifact.blobs], [b"{}", JSON])
        self.assertEqual(artifact.manifest, RUNTIME_MANIFEST % (sha256(JSON), len(JSON)))

    def test_crd(self) -> None:
        artifact, other = self.crd(), YAML + b"# any\n"
        self.assertEqual([blob.data for blob in artifact.blobs], [b"{}", YAML, YAML, other])
        self.assertEqual(artifact.manifest, CRD_MANIFEST % (
            sha256(YAML), len(YAML), sha256(YAML), len(YAML), sha256(other), len(other)))

    def test_digests_are_those_of_skopeo(self) -> None:
        support.require_command("skopeo")
        for artifact in (self.runtime(), self.crd()):
            path = self.folder / "manifest.json"
            path.write_bytes(artifact.manifest)
            found = subprocess.run(["skopeo", "manifest-digest", str(path)], check=True, stdout=subprocess.PIPE)
            self.assertEqual(found.stdout.decode().strip(), artifact.digest)

    def test_same_input_same_digest(self) -> None:
        """Whatever dialect, order of platforms or time it has."""
        dialects = (
            '{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrno": "EPERM", "architectures": ["SCMP_ARCH_X86_64"],'
            ' "comment": "x", "syscalls": [{"names": ["read", "write", "read"], "action": "SCMP_ACT_ALLOW"}]}',
            '{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "archMap": [{"architecture": "SCMP_ARCH_X86_64",'
            ' "subArchitectures": []}], "syscalls": [{"names": ["write", "read"], "action": "SCMP_ACT_ALLOW"},'
            ' {"names": ["bpf"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_BPF"]}}]}',
            YAML.decode() + "  architectures: [SCMP_ARCH_X86_64]\n"
            "  syscalls: [{action: SCMP_ACT_ALLOW, names: [read, write]}]\n")
        digests = {spoc.runtime_artifact(spoc.parse_profile(text, "-", HOST), spoc.parse_annotations([])).digest
                   for text in dialects}
        self.assertEqual(digests, {self.runtime().digest})
        profiles = [(AMD64, YAML), (ARM64, YAML), (None, YAML)]
        self.assertEqual(len({spoc.crd_artifact(order, NO_ANNOTATIONS).digest
                              for order in itertools.permutations(profiles)}), 1)

    def test_docker_default_reads_as_the_same(self) -> None:
        source = spoc.parse_profile((DATA / "docker-default.json").read_text(), "docker-default.json", HOST)
        artifact = spoc.runtime_artifact(source, NO_ANNOTATIONS)
        text = artifact.blobs[1].data.decode()
        self.assertEqual(spoc.parse_profile(text, "-", HOST).profile.rules, tuple(
            each._replace(names=tuple(sorted(each.names))) for each in source.profile.rules))
        keys = {key for each in json.loads(text)["syscalls"] for key in each}
        self.assertLessEqual(keys, {"names", "action", "errnoRet", "args"})  # specs-go of the runtime specification
        self.assertEqual(list(json.loads(text)), ["defaultAction", "architectures", "syscalls"])

    def test_two_for_one_platform(self) -> None:
        table: List[Tuple[List[Tuple[Optional[spoc.Platform], bytes]], str]] = [
            ([(AMD64, YAML), (AMD64, b"")], "-p linux/amd64: two profiles"),
            ([(ARM64, YAML), (spoc.Platform("linux", "arm64", "v8"), b"")], "two profiles"),
            ([(None, YAML), (None, YAML)], "-f: two profiles are for no platform")]
        for profiles, reason in table:
            with self.assertRaisesRegex(spoc.UsageError, reason):
                spoc.crd_artifact(profiles, NO_ANNOTATIONS)


class RuntimeRules(unittest.TestCase):
    """What the runtime format may not hold is an error that names the place, the key and the rule."""

    def refused(self, document: Dict[str, Any], reason: str) -> str:
        with self.assertRaisesRegex(spoc.ProfileError, reason) as raised:
            spoc.runtime_artifact(source_of(document), NO_ANNOTATIONS)
        return str(raised.exception)

    def test_refused(self) -> None:
        notify = "SCMP_ACT_NOTIFY needs a listener"
        table: List[Tuple[Dict[str, Any], str]] = [
            ({"unknown": 1}, "unknown: unknown key"),
            ({"defaultAction": "SCMP_ACT_NOTIFY"}, f"defaultAction: not in the runtime format: {notify}"),
            ({"syscalls": [rule("read"), rule("mknod", action="SCMP_ACT_NOTIFY")]}, f"mknod: action: .*{notify}"),
            ({"listenerPath": "/run/x"}, "listenerPath: .* a listener belongs to a node"),
            ({"listenerMetadata": "x"}, "listenerMetadata: .* a listener belongs to a node"),
            ({"flags": ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]}, "flags: .*WAIT_KILLABLE_RECV is none of"),
            ({"syscalls": [rule("read", action=ERRNO, errnoRet=4096)]}, "errnoRet: 4096 is not within 0 and"),
            ({"defaultErrnoRet": 4096}, "defaultErrnoRet: 4096 is not within 0 and"),
            ({"syscalls": [rule("read", errnoRet=1)]}, "errnoRet: SCMP_ACT_ALLOW returns no errno"),
            ({"defaultAction": "SCMP_ACT_KILL", "defaultErrnoRet": 1}, "SCMP_ACT_KILL returns no errno"),
            ({"syscalls": [rule("")]}, "names: .* an empty name"),
            ({"syscalls": [rule(*map("call{}".format, range(1025)))]}, "names: .* 1025 in one rule are more"),
            ({"syscalls": [rule("read", args=[when(0, "EQ", value)]) for value in range(129)]},
             "read: names: .* 129 rules for one syscall are more than 128"),
            ({"syscalls": [rule(*map("call{}".format, range(1000)), args=[when(0, "EQ", value)])
                           for value in range(17)]}, "syscalls: .* 17000 rules are more than 16384")]
        for document, reason in table:
            with self.subTest(reason=reason):
                self.refused(document, reason)

    def test_place(self) -> None:
        text = '{\n"defaultAction": "SCMP_ACT_ERRNO",\n"syscalls": [\n{"names": ["read"],\n ' \
               '"action": "SCMP_ACT_NOTIFY"}]}'
        with self.assertRaisesRegex(spoc.ProfileError, r"^read profile: a\.json:5:2: read: action: "):
            spoc.runtime_artifact(spoc.parse_profile(text, "a.json", HOST), NO_ANNOTATIONS)

    def test_base_profile(self) -> None:
        source = spoc.parse_profile(YAML.decode() + "  baseProfileName: runc\n", "a.yaml", HOST)
        with self.assertRaisesRegex(spoc.ProfileError, "a.yaml:7:3: baseProfileName: .* united"):
            spoc.runtime_artifact(source, NO_ANNOTATIONS)

    def test_limits_are_taken(self) -> None:
        documents: List[Dict[str, Any]] = [
            {"syscalls": [rule("read", args=[when(0, "EQ", value)]) for value in range(128)]},
            {"syscalls": [rule(*map("call{}".format, range(1024)), args=[when(0, "EQ", value)])
                          for value in range(16)]},
            {"syscalls": [rule("read", action="SCMP_ACT_TRACE", errnoRet=4094)]},
            {"flags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"]}, {"flags": []}]
        for document in documents:
            spoc.runtime_artifact(source_of(document), NO_ANNOTATIONS)

    def test_contradictions(self) -> None:
        """Each as the merger's tests have it (seccomp/validate_test.go): entries that yield different results."""
        kill = {"action": "SCMP_ACT_KILL_PROCESS"}
        for rules in ((rule("read"), rule("read", **kill)),
                      (rule("read", args=[when(0, "EQ", 1)]), rule("read", **kill)),
                      (rule("read", args=[when(0, "EQ", 1)]), rule("read", args=[when(0, "EQ", 1)], **kill)),
                      (rule("read", args=[when(0, "EQ", 1)]), rule("read", args=[when(1, "EQ", 2)], **kill)),
                      (rule("read", args=[when(0, "EQ", 1)]),
                       rule("read", args=[when(0, "EQ", 1 + (1 << 32))], **kill)),
                      (rule("read", args=[when(0, "EQ", 1), when(1, "EQ", 1)]),
                       rule("read", args=[when(0, "EQ", 2)], **kill)),
                      (rule("read", args=[when(0, "LT", 1)]), rule("read", args=[when(0, "GE", 2)], **kill)),
                      (rule("read", args=[when(0, "MASKED_EQ", 0)]), rule("read", args=[when(0, "EQ", 1)], **kill)),
                      (rule("read", action=ERRNO, errnoRet=2), rule("read", action=ERRNO, errnoRet=3))):
            with self.subTest(rules=rules):
                message = self.refused({"syscalls": [rule("open"), *rules]}, "read: action: .* contradict each other")
                self.assertIn("change the profile, or push it as YAML with -t crd", message)

    def test_no_contradictions(self) -> None:
        kill = {"action": "SCMP_ACT_KILL_PROCESS"}
        for rules in ((rule("read"), rule("read", args=[when(0, "EQ", 1)])), (rule("read"), rule("read", action=ERRNO)),
                      (rule("read", args=[when(0, "EQ", 1)]), rule("read", args=[when(0, "EQ", 2)], **kill)),
                      (rule("read", args=[when(0, "LE", 1)]), rule("read", args=[when(0, "GT", 1)], **kill)),
                      (rule("read", args=[when(0, "NE", 1)]), rule("read", args=[when(0, "EQ", 1)], **kill))):
            with self.subTest(rules=rules):
                spoc.runtime_artifact(source_of({"syscalls": rules}), NO_ANNOTATIONS)

    def test_order_does_not_matter_to_libseccomp(self) -> None:
        """Of what is taken, libseccomp makes filters that answer alike, in whatever order the rules are added."""
        taken = mixed = 0
        for seed in range(1500):
            source = random.Random(seed)
            rules = [spoc.Rule(source.choice((ALLOW, "SCMP_ACT_LOG")), ("getppid",), 1, (spoc.Condition(
                source.choice((0, 0, 0, 1)), f"SCMP_CMP_{source.choice(('EQ', 'EQ', 'NE', 'LT', 'GE'))}",
                source.choice((1, 2, 3))),)) for _ in range(source.randint(1, 3))]
            if not spoc.are_exclusive(rules, spoc.Verdict(ERRNO, 1)):
                continue
            taken += 1
            mixed += len({each.action for each in rules}) > 1
            answers: List[List[spoc.Verdict]] = []
            for order in itertools.permutations(rules):
                profile = spoc.Profile(ERRNO, (X86_64,), order)
                filtered = spoc.SimulatedFilter(spoc.FilterBuilder(profile, spoc.X86_64).build().program)
                answers.append([])
                for arguments in itertools.product(range(5), repeat=2):
                    data = spoc.SeccompData(nr=110, arch=spoc.X86_64.token)  # getppid in asm/unistd_64.h
                    data.args[:2] = arguments
                    answers[-1].append(filtered(data))
            for other in answers[1:]:
                self.assertEqual(other, answers[0], rules)
        self.assertGreater(taken, 200)
        self.assertGreater(mixed, 30)


class Read(unittest.TestCase):
    """Manifests that others have written: what is in them, and which part of it is chosen."""

    def test_own_and_those_of_others(self) -> None:
        """What is written here is byte for byte what SPO writes, see Written."""
        text = RUNTIME_MANIFEST % (sha256(JSON), len(JSON))
        found = spoc.choose_layer(spoc.parse_manifest(text, ARTIFACT, spoc.MANIFEST_TYPE), ARM64)
        self.assertEqual(found, spoc.Descriptor("application/json", len(JSON), f"sha256:{sha256(JSON).decode()}",
                                                "profile.json"))
        spoc.check_blob(found, JSON, ARTIFACT)
        artifact = spoc.crd_artifact([(AMD64, b"1"), (ARM, b"2"), (None, b"3")], NO_ANNOTATIONS)
        parsed = spoc.parse_manifest(artifact.manifest, ARTIFACT)
        blobs = {blob.digest: blob.data for blob in artifact.blobs}
        for platform, expected in ((AMD64, b"1"), (spoc.Platform("linux", "arm", "v7"), b"2"), (ARM64, b"3"),
                                   (spoc.Platform("linux", "arm", "v6"), b"3")):
            self.assertEqual(blobs[spoc.choose_layer(parsed, platform).digest], expected, platform)

    def test_layer_by_the_rules(self) -> None:
        """Those of selectLayer in SPO's internal/pkg/artifact, in their order."""
        bound, named = layer("x.yaml", ARM64, b"bound"), layer("profile-linux-arm64.yaml", None, b"named")
        plain, raw, other = (layer("profile.yaml", None, b"yaml"), layer("profile.json", None, b"json"),
                             layer("seccomp", None, b"other"))
        for layers, expected in (([other, raw, plain, bound], "bound"), ([other, raw, plain, named], "named"),
                                 ([named, bound], "named"), ([bound, named], "bound"), ([other, raw, plain], "yaml"),
                                 ([other, raw], "json"), ([other], "other"), ([layer("", None, b"")], ""),
                                 ([layer("x", spoc.Platform("linux", "arm64", "v8"), b"v8")], "v8")):
            with self.subTest(expected=expected, layers=len(layers)):
                found = spoc.choose_layer(manifest(*layers), ARM64)
                self.assertEqual(found.digest, f"sha256:{sha256(expected.encode()).decode()}")

    def test_no_layer(self) -> None:
        table: List[Tuple[List[Dict[str, Any]], str]] = [
            ([layer("x", ARM64)], "holds no profile for linux/amd64, but linux/arm64; choose one"),
            ([layer("profile-linux-arm64.yaml")], "but profile-linux-arm64.yaml; choose"),
            ([layer("a"), layer("b")], "but a, b; choose"), ([], "but nothing; choose"),
            ([layer(f"x{number:03}") for number in range(20)], "x007 and 12 more; choose")]
        for layers, reason in table:
            with self.assertRaisesRegex(spoc.SpocError, f"^read profile: {ARTIFACT}: .*{reason}"):
                spoc.choose_layer(manifest(*layers), AMD64)

    def test_runtime_layer(self) -> None:
        """Whatever its name and its platform are, and by either of two keys."""
        for more in ({"config_type": spoc.RUNTIME_TYPE}, {"artifactType": spoc.RUNTIME_TYPE}):
            found = spoc.choose_layer(manifest(layer("any", ARM64, JSON), **more), AMD64)
            self.assertEqual(found.size_bytes, len(JSON))
            for layers in ((), (layer(), layer())):
                with self.assertRaisesRegex(spoc.SpocError, f"has {len(layers)} layers, but a profile in the runtime"):
                    spoc.choose_layer(manifest(*layers, **more), AMD64)

    def test_image(self) -> None:
        for config in ("application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"):
            with self.assertRaisesRegex(spoc.SpocError, "is a container image, and no profile"):
                spoc.choose_layer(manifest(layer(media_type="application/vnd.oci.image.layer.v1.tar+gzip"),
                                           config_type=config), AMD64)
        with self.assertRaisesRegex(spoc.SpocError, "is packed"):
            spoc.choose_layer(manifest(layer(media_type="application/vnd.oci.image.layer.v1.tar+gzip")), AMD64)

    def test_index(self) -> None:
        both = index(("one", AMD64), ("two", ARM64))
        self.assertTrue(both.is_index)
        for platform, expected in ((AMD64, b"one"), (spoc.Platform("linux", "arm64", "v8"), b"two")):
            self.assertEqual(spoc.choose_manifest(both, platform).digest, f"sha256:{sha256(expected).decode()}")
        self.assertEqual(spoc.choose_manifest(index(("all", None)), AMD64).size_bytes, 3)
        for listed in (both, index(("all", None), ("two", ARM64)), index()):
            with self.assertRaisesRegex(spoc.SpocError, "holds no profile for linux/arm/v7"):
                spoc.choose_manifest(listed, spoc.parse_platform("linux/arm/v7"))

    def test_index_of_an_index(self) -> None:
        parts = [{**layer("", AMD64), "mediaType": spoc.INDEX_TYPE}]
        with self.assertRaisesRegex(spoc.SpocError, "leads to no manifest, but to what is of type .*index"):
            spoc.choose_manifest(index(manifests=parts), AMD64)

    def test_limits(self) -> None:
        big = {**layer("profile.yaml"), "size": (4 << 20) + 1}  # which could not be read as a file either
        with self.assertRaisesRegex(spoc.SpocError, "profile.yaml has 4194305 bytes, more than 4194304"):
            spoc.choose_layer(manifest(big), AMD64)
        with self.assertRaisesRegex(spoc.SpocError, "more than 10"):
            spoc.choose_layer(manifest(layer("profile.yaml")), AMD64, 10)
        manifest(*[layer()] * 128)
        with self.assertRaisesRegex(spoc.SpocError, "has 129 layers, more than 128"):
            manifest(*[layer()] * 129)
        with self.assertRaisesRegex(spoc.SpocError, "has 129 manifests, more than 128"):
            index(*[("x", AMD64)] * 129)

    def test_manifests_that_are_none(self) -> None:
        good = json.loads(RUNTIME_MANIFEST % (sha256(JSON), len(JSON)))
        texts: List[Tuple[bytes, str]] = [
            (b"", "no JSON"), (b"{", "no JSON"), (b"[" * 100_000, "no JSON"), (b"\xff", "no JSON"),
            (b"[]", "no profile's"),
            (b"1" * 5000, "no JSON|no profile's"),
            (RUNTIME_MANIFEST[:300], "no JSON")]
        changed: List[Tuple[Dict[str, Any], str]] = [
            ({"schemaVersion": 1}, "no profile's"), ({"mediaType": "text/plain"}, "of type text/plain"),
            ({"mediaType": ["x"]}, "of type"), ({"mediaType": spoc.INDEX_TYPE}, "of type"),
            ({"manifests": []}, "of type"), ({"manifests": [], "mediaType": ""}, "of two types at once"),
            ({"layers": None}, "no list of layers"), ({"layers": {}}, "no list of layers"),
            ({"layers": [1]}, "1 stands for a mapping"), ({"config": []}, r"\[\] stands for a mapping"),
            ({"artifactType": 1}, "artifactType: 1 stands for a string"), ({"layers": [{}]}, "digest: ''"),
            ({"layers": [{**layer(), "size": -1}]}, "size: -1"),
            ({"layers": [{**layer(), "size": True}]}, "size: T"),
            ({"layers": [{**layer(), "size": 1 << 80}]}, "size"), ({"layers": [{**layer(), "size": "1"}]}, "size"),
            ({"layers": [{**layer(), "digest": "sha256:00"}]}, "digest: 'sha256:00' is no"),
            ({"layers": [{**layer(), "digest": "sha256:" + 64 * "A"}]}, "digest"),
            ({"layers": [{**layer(), "platform": "x"}]}, "'x' stands for a mapping"),
            ({"layers": [{**layer(), "platform": {"os": 1}}]}, "os: 1"),
            ({"layers": [{**layer(), "annotations": [1]}]}, "stands for a mapping")]
        for changes, reason in changed:
            texts.append((json.dumps({**good, **changes}).encode(), reason))
        for text, reason in texts:
            with self.subTest(text=text[:100], reason=reason), \
                    self.assertRaisesRegex(spoc.SpocError, f"^read profile: {ARTIFACT}: .*({reason})") as raised:
                spoc.parse_manifest(text, ARTIFACT)
            self.assertLess(len(str(raised.exception)), 400)

    def test_type_that_came_with_it(self) -> None:
        text = RUNTIME_MANIFEST % (sha256(JSON), len(JSON))
        for given in ("", spoc.MANIFEST_TYPE, f"{spoc.MANIFEST_TYPE}; charset=utf-8", "application/json"):
            self.assertEqual(spoc.parse_manifest(text, ARTIFACT, given).media_type, spoc.MANIFEST_TYPE)
        with self.assertRaisesRegex(spoc.SpocError, "of two types at once"):
            spoc.parse_manifest(text, ARTIFACT, spoc.INDEX_TYPE)

    def test_bytes_that_do_not_fit(self) -> None:
        descriptor = spoc.Blob("text/plain", b"right").descriptor
        for data, reason in ((b"righ", "came with 4 bytes, and has 5"), (b"wrong", "what came for .* is sha256:")):
            with self.assertRaisesRegex(spoc.SpocError, reason):
                spoc.check_blob(descriptor, data, ARTIFACT)

    def test_nothing_else_is_raised(self) -> None:
        """Manifests damaged by chance are read, or are a SpocError."""
        texts: Sequence[bytes] = (RUNTIME_MANIFEST % (sha256(JSON), len(JSON)),
                                  spoc.crd_artifact([(AMD64, b"1"), (ARM64, b"2")], NO_ANNOTATIONS).manifest)
        errors = 0
        for seed in range(4000):
            source = random.Random(seed)
            text = bytearray(source.choice(texts))
            for _ in range(source.randint(1, 4)):
                start = source.randrange(len(text))
                text[start:start + source.randint(0, 12)] = source.choice(
                    (b"", b"1", b'"', b"{}", b"[]", b"null", b"\xff"))
            try:
                spoc.choose_layer(spoc.parse_manifest(bytes(text), ARTIFACT), AMD64)
            except spoc.SpocError:
                errors += 1
        self.assertGreater(errors, 2000)


if __name__ == "__main__":
    unittest.main()
