# SPDX-License-Identifier: MIT
"""Profiles that `run` reads, in every dialect: what they mean, and where an error in them is said to be."""

import copy
import datetime
import errno
import itertools
import json
import os
import pathlib
import random
import re
import resource
import subprocess
import sys
import threading
import time
import unittest
import unittest.mock
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple, Union

import yaml

import fuzz
import spoc
import support
from support import ALLOW, COMPARISONS, ERRNO, X86_64

TIER = "pure"
NOTIFY = "SCMP_ACT_NOTIFY"
HOST = spoc.Host(X86_64, "6.1.0-13-amd64", ("CAP_SYS_ADMIN",))
MAX_U64 = (1 << 64) - 1
# The names that the CRD's schema lists.
ACTIONS = [f"SCMP_ACT_{name}" for name in "KILL KILL_PROCESS KILL_THREAD TRAP ERRNO TRACE ALLOW LOG NOTIFY".split()]
ARCHITECTURES = [f"SCMP_ARCH_{name}" for name in """NATIVE X86 X86_64 X32 ARM AARCH64 MIPS MIPS64 MIPS64N32 MIPSEL
                 MIPSEL64 MIPSEL64N32 PPC PPC64 PPC64LE S390 S390X PARISC PARISC64 RISCV64""".split()]
FLAGS = [f"SECCOMP_FILTER_FLAG_{name}" for name in "TSYNC LOG SPEC_ALLOW WAIT_KILLABLE_RECV".split()]

CRD: Dict[str, Any] = {
    "apiVersion": "security-profiles-operator.x-k8s.io/v1beta1",
    "kind": "SeccompProfile",
    "metadata": {"name": "whole"},
    "spec": {
        "architectures": [X86_64, "SCMP_ARCH_X86"],
        "baseProfileName": "base",
        "defaultAction": ERRNO,
        "flags": ["SECCOMP_FILTER_FLAG_LOG"],
        "listenerPath": "/var/run/security-profiles-operator/agent.sock",
        "listenerMetadata": "none",
        "state": "Enabled",
        "syscalls": [
            {"names": ["read", "write"], "action": ALLOW},
            {"names": ["socket"], "action": ERRNO, "errnoRet": 97,
             "args": [{"index": 0, "value": 16, "valueTwo": 0, "op": "SCMP_CMP_EQ"}]},
        ],
    },
    "status": {},
}
DOCKER: Dict[str, Any] = {
    "defaultAction": ERRNO,
    "defaultErrnoRet": 1,
    "defaultErrno": "EPERM",
    "archMap": [{"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
                {"architecture": X86_64, "subArchitectures": ["SCMP_ARCH_X86"]},
                {"architecture": "SCMP_ARCH_S390X", "subArchitectures": ["SCMP_ARCH_S390"]}],
    "flags": ["SECCOMP_FILTER_FLAG_SPEC_ALLOW"],
    "listenerPath": "/run/agent.sock",
    "listenerMetadata": "none",
    "syscalls": [
        {"names": ["read"], "action": ALLOW, "args": [], "comment": "", "includes": {}, "excludes": {}},
        {"names": ["socket", "socketpair"], "action": ERRNO, "errnoRet": 22, "errno": "EINVAL", "comment": "no netlink",
         "args": [{"index": 2, "value": 9, "valueTwo": 0, "op": "SCMP_CMP_EQ"}],
         "includes": {"caps": ["CAP_SYS_ADMIN"], "arches": ["amd64"], "minKernel": "4.8"},
         "excludes": {"caps": ["CAP_AUDIT_WRITE"], "arches": ["s390x"], "minKernel": "250.0"}},
        {"name": "write", "action": ALLOW},
    ],
}
# As a cluster gives a profile back.
KUBECTL = """\
apiVersion: security-profiles-operator.x-k8s.io/VERSION
kind: SeccompProfile
metadata:
  annotations:
    description: |-
      Allows: just reading & writing.
        - not a list
      # not a comment

      defaultAction: SCMP_ACT_ALLOW
    folded: >
      many words
      on lines
    kubectl.kubernetes.io/last-applied-configuration: |
      {"apiVersion":"security-profiles-operator.x-k8s.io/v1","kind":"SeccompProfile",\
"metadata":{"name":"web"},"spec":{"defaultAction":"SCMP_ACT_ALLOW"}}
  creationTimestamp: "2024-05-17T09:31:12Z"
  finalizers:
  - node-1-deleted
  generation: 3
  labels:
    app.kubernetes.io/name: web
    spo.x-k8s.io/profile-id: SeccompProfile-web
  managedFields:
  - apiVersion: security-profiles-operator.x-k8s.io/VERSION
    fieldsType: FieldsV1
    fieldsV1:
      f:metadata:
        f:annotations:
          .: {}
          f:kubectl.kubernetes.io/last-applied-configuration: {}
        f:finalizers:
          .: {}
          v:"node-1-deleted": {}
      f:spec:
        .: {}
        f:architectures: {}
        f:defaultAction: {}
        f:syscalls: {}
    manager: kubectl-client-side-apply
    operation: Update
    time: "2024-05-17T09:31:12Z"
  - apiVersion: security-profiles-operator.x-k8s.io/VERSION
    fieldsType: FieldsV1
    fieldsV1:
      f:status:
        .: {}
        f:conditions:
          .: {}
          k:{"type":"Ready"}:
            .: {}
            f:lastTransitionTime: {}
            f:status: {}
            f:type: {}
    manager: security-profiles-operator
    operation: Update
    subresource: status
    time: "2024-05-17T09:31:13Z"
  name: web
  resourceVersion: "81234"
  uid: 4e1f9d1c-96e4-4d25-b4a2-5a4d55d3a5fb
spec:
  architectures:
  - SCMP_ARCH_X86_64
  defaultAction: SCMP_ACT_ERRNO
  state: Enabled
  syscalls:
  - action: SCMP_ACT_ALLOW
    names:
    - read
    - write
  - action: SCMP_ACT_ERRNO
    args:
    - index: 1
      op: SCMP_CMP_MASKED_EQ
      value: 255
      valueTwo: 7
    errnoRet: 95
    names:
    - ioctl
status:
  conditions:
  - lastTransitionTime: "2024-05-17T09:31:13Z"
    reason: Available
    status: "True"
    type: Ready
  localhostProfile: operator/web.json
  path: /var/lib/kubelet/seccomp/operator/web.json
  status: Installed
"""
BY_HAND = """\
# What a person types.
apiVersion: 'security-profiles-operator.x-k8s.io/v1'   # the newer one
kind:   "SeccompProfile"
metadata: {name: web, labels: {app: web}}
spec:
    syscalls:
    # flow lists, over several lines
    -   names: [read, 'write',   # quoted
                "ioctl"]
        action: "SCMP_ACT_ALLOW"

    - {action: SCMP_ACT_ERRNO, errnoRet: 0x5f, names: [socket],
       args: [{index: 0, op: SCMP_CMP_EQ, value: 0xffffffffffffffff}, ]}
    defaultAction: SCMP_ACT_ERRNO
    architectures: [ ]
"""

Path = Tuple[Union[str, int], ...]


def decode(text: str, host: spoc.Host = HOST, name: str = "") -> spoc.Profile:
    """What a text means on this host."""
    document, reader = spoc.parse_document(text, "the/file", name)
    return spoc.ProfileDecoder(reader, host).decode(document)


def rule(action: str, *names: str, number: int = errno.EPERM, conditions: Sequence[spoc.Condition] = ()) -> spoc.Rule:
    return spoc.Rule(action, names, number, tuple(conditions))


def oci(*rules: Dict[str, Any], **spec: Any) -> Dict[str, Any]:
    """A profile that refuses all but these rules."""
    return {"defaultAction": ERRNO, "syscalls": list(rules), **spec}


def item(document: Any, path: Path) -> Any:
    for step in path:
        document = document[step]
    return document


def changed(document: Any, path: Path, value: Any) -> Any:
    document = copy.deepcopy(document)
    item(document, path[:-1])[path[-1]] = value
    return document


def paths(value: Any, path: Path = ()) -> Iterator[Path]:
    """Every key and every index in a document."""
    steps: List[Any] = list(value) if isinstance(value, dict) else list(range(len(value)))
    for step in steps:
        yield (*path, step)
        if isinstance(value[step], (dict, list)):
            yield from paths(value[step], (*path, step))


def layouts(document: Any) -> Dict[str, str]:
    """The same document in block and in flow style, on one line and on many."""
    return {"block": yaml.safe_dump(document, sort_keys=False, default_flow_style=False, width=10 ** 6),
            "indented": json.dumps(document, indent=2), "one line": json.dumps(document)}


def marks(text: str, path: Path) -> Tuple[Any, Any]:
    """Where PyYAML sees a key or an item, and the value there."""
    node = place = yaml.compose(text, Loader=yaml.SafeLoader)
    for step in path:
        if isinstance(step, int):
            place = node = node.value[step]
        else:
            place, node = next(pair for pair in node.value if pair[0].value == step)
    return place, node


class FormatCase(support.Case):
    def refused(self, text: str, host: spoc.Host = HOST, name: str = "") -> spoc.ProfileError:
        """Must be refused, in one line that names the file and a place in it."""
        with self.assertRaises(spoc.ProfileError) as caught:
            decode(text, host, name)
        error = caught.exception
        self.assertRegex(str(error), rf"\Aread profile: the/file:{error.line}:{error.column}: \S")
        lines = text.split("\n")
        self.assertIn(error.line, range(1, len(lines) + 1), str(error))
        self.assertIn(error.column, range(1, len(lines[error.line - 1]) + 3), str(error))
        return error

    def assert_refused_at(self, document: Any, path: Path, *keys: str) -> None:
        """Must be refused in every layout, at this key or item and with the name of the key."""
        key = next(step for step in reversed(path) if isinstance(step, str))
        for layout, text in layouts(document).items():
            with self.subTest(path=path, value=item(document, path), layout=layout):
                error = self.refused(text)
                mark = marks(text, path)[0].start_mark
                columns = [mark.column + 1]
                if isinstance(path[-1], int) and layout == "block":
                    columns.append(mark.column - 1)  # of the dash
                self.assertEqual(error.line, mark.line + 1, str(error))
                self.assertIn(error.column, columns, str(error))
                self.assertRegex(str(error), rf"\b({'|'.join([key, *keys])})\b")

    def missing(self, document: Any, path: Path) -> None:
        """Without this key a document must be refused, somewhere in what lacks it and with the key's name."""
        document = copy.deepcopy(document)
        del item(document, path[:-1])[path[-1]]
        for layout, text in layouts(document).items():
            with self.subTest(missing=path, layout=layout):
                error = self.refused(text)
                place, node = marks(text, path[:-1])
                self.assertGreaterEqual(error.line, place.start_mark.line + 1)
                self.assertLessEqual(error.line, node.end_mark.line + 1)
                self.assertIn(str(path[-1]), str(error))

    def write(self, content: "Union[str, bytes, Dict[str, Any]]", name: str = "profile") -> str:
        path = self.folder / name
        if isinstance(content, dict):
            content = json.dumps(content)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    def run_profile(self, path: str, *options: str, command: Sequence[str] = ("true",), **run: Any
                    ) -> "subprocess.CompletedProcess[str]":
        support.require_root()
        return support.spoc("run", "--enricher", "none", "-p", path, *options, "--", *command, **run)

    def assert_fails(self, path: str, *texts: str, options: Sequence[str] = (), **run: Any) -> str:
        """`run` must fail, in one line of error with these texts in it; the command is not started."""
        result = self.run_profile(path, *options, command=("echo", "started"), **run)
        self.assertEqual((result.returncode, result.stdout), (spoc.EXIT_FAILURE, ""), result.stderr)
        self.assertNotIn("Traceback", result.stderr)
        last = result.stderr.splitlines()[-1]
        self.assertIn(" Error: ", last)
        for text in texts:
            self.assertIn(text, last)
        return last

    def assert_succeeds(self, path: str, *options: str, **run: Any) -> str:
        result = self.run_profile(path, *options, **run)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stderr


class Operator(FormatCase):
    """The Security Profiles Operator's custom resource."""

    def test_as_recorded(self) -> None:
        profile = spoc.Profile(ERRNO, (X86_64, "SCMP_ARCH_X86"), (rule(ALLOW, "execve", "read"), rule(ALLOW, "brk")))
        for profile_type in (spoc.TYPE_CRD, spoc.TYPE_JSON):
            text = spoc.format_profile(profile, profile_type, "web")
            self.assertEqual(decode(text), profile)
        text = spoc.format_profile(profile, spoc.TYPE_CRD, "web")
        self.assertIn("/v1beta1\n", text)
        self.assertEqual(decode(text.replace("/v1beta1\n", "/v1\n")), profile)

    @support.kernel_tier
    def test_as_recorded_runs(self) -> None:
        support.require_root()
        for name, profile_type in (("a.yaml", spoc.TYPE_CRD), ("a.json", spoc.TYPE_JSON)):
            path = str(self.folder / name)
            self.assertEqual(support.spoc("record", "-t", profile_type, "-o", path, "true").returncode, 0)
            self.assertEqual("Assuming YAML profile" in self.assert_succeeds(path), profile_type == spoc.TYPE_CRD)

    def test_as_kubectl_gives_it(self) -> None:
        for version in ("v1", "v1beta1"):
            text = KUBECTL.replace("VERSION", version)
            for text in (text, "---\n" + text, text.replace("\n", "\r\n"), "\ufeff" + text, text + "---\n"):
                self.assertEqual(decode(text), spoc.Profile(ERRNO, (X86_64,), (
                    rule(ALLOW, "read", "write"),
                    rule(ERRNO, "ioctl", number=95, conditions=[spoc.Condition(1, "SCMP_CMP_MASKED_EQ", 255, 7)]))))
                self.assertEqual(spoc.parse_yaml(text), [each for each in yaml.safe_load_all(text) if each])

    def test_by_hand(self) -> None:
        self.assertEqual(decode(BY_HAND), spoc.Profile(ERRNO, (), (
            rule(ALLOW, "read", "write", "ioctl"),
            rule(ERRNO, "socket", number=95, conditions=[spoc.Condition(0, "SCMP_CMP_EQ", MAX_U64)]))))

    def test_all_keys(self) -> None:
        expected = spoc.Profile(ERRNO, (X86_64, "SCMP_ARCH_X86"), (
            rule(ALLOW, "read", "write"),
            rule(ERRNO, "socket", number=97, conditions=[spoc.Condition(0, "SCMP_CMP_EQ", 16)])), 1, (
                "SECCOMP_FILTER_FLAG_LOG",))
        for text in layouts(CRD).values():
            self.assertEqual(decode(text), expected)
            self.assertEqual(spoc.parse_profile(text, "the/file", HOST).base_profile_name, "base")

    def test_null_is_no_key(self) -> None:
        whole = {**CRD, "spec": {**CRD["spec"], "syscalls": CRD["spec"]["syscalls"][:1]}}
        for key in CRD["spec"]:
            if key not in ("defaultAction", "syscalls"):
                without = copy.deepcopy(whole)
                del without["spec"][key]
                with self.subTest(key=key):
                    null = decode(json.dumps(changed(whole, ("spec", key), None)))
                    self.assertEqual(null, decode(json.dumps(without)))

    def test_real_profiles(self) -> None:
        for path in support.DATA.glob("spo-*.yaml"):
            text = path.read_text(encoding="utf-8")
            for document in yaml.safe_load_all(text):
                if not document or document.get("kind") != "SeccompProfile":
                    continue
                spec, name = document["spec"], document["metadata"]["name"]
                with self.subTest(file=path.name, name=name):
                    profile = decode(text, name=name)
                    self.assertEqual(profile.default_action, spec["defaultAction"])
                    self.assertEqual(profile.architectures, tuple(spec.get("architectures", ())))
                    self.assertEqual([(each.action, each.names) for each in profile.rules],
                                     [(each["action"], tuple(each["names"])) for each in spec.get("syscalls", [])])

    def test_names_that_the_schema_lists(self) -> None:
        for action in ACTIONS:
            profile = decode(json.dumps(oci(defaultAction=action)))
            self.assertEqual(profile.default_action, action.replace("KILL", "KILL_THREAD") if action[-1] == "L"
                             and action.endswith("_KILL") else action)
        spec = {**CRD["spec"], "architectures": ARCHITECTURES, "flags": FLAGS}
        profile = decode(json.dumps({**CRD, "spec": spec}))
        self.assertEqual((profile.architectures, profile.flags), (tuple(ARCHITECTURES), tuple(FLAGS)))

    @support.kernel_tier
    def test_disabled(self) -> None:
        path = ("spec", "state")
        for text in layouts(changed(CRD, path, "Disabled")).values():
            mark = marks(text, path)[0].start_mark
            self.assert_fails(self.write(text), f":{mark.line + 1}:{mark.column + 1}: state: ", "is not enabled")

    @support.kernel_tier
    def test_lists(self) -> None:
        """What kubectl gives when no name was asked for."""
        other = {**CRD, "metadata": {"name": "other"}, "spec": {"defaultAction": ALLOW}}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "whole"}, "spec": {"defaultAction": "none"}}
        for kind in ("List", "SeccompProfileList"):
            for text in layouts({"apiVersion": "v1", "items": [CRD], "kind": kind, "metadata": {}}).values():
                self.assertEqual(decode(text), decode(json.dumps(CRD)))
            for text in layouts({"apiVersion": "v1", "items": [pod, CRD, other], "kind": kind}).values():
                self.assertEqual(decode(text, name="whole"), decode(json.dumps(CRD)))
                self.assertEqual(decode(text, name="other"), spoc.Profile(ALLOW, (), ()))
                self.assertIn("3 documents", self.assert_fails(self.write(text), "FILE#NAME"))
        wrong = {"kind": "List", "items": [{**CRD, "spec": {"defaultAction": "none"}}]}
        for text in layouts(wrong).values():
            mark = marks(text, ("items", 0, "spec", "defaultAction"))[0].start_mark
            error = self.refused(text)
            self.assertEqual((error.line, error.column), (mark.line + 1, mark.column + 1))

    @support.kernel_tier
    def test_older_versions(self) -> None:
        """v1alpha1, the errno as a string, and `disabled`, which was `state` for some releases."""
        document = copy.deepcopy(CRD)
        document["apiVersion"] = "security-profiles-operator.x-k8s.io/v1alpha1"
        document["spec"].update(targetWorkload="web", disabled=False)
        document["spec"]["syscalls"][1]["errnoRet"] = "97"
        for text in layouts(document).values():
            self.assertEqual(decode(text), decode(json.dumps(CRD)))
        document["spec"]["syscalls"][1]["errnoRet"] = ""
        self.assertEqual(decode(json.dumps(document)).rules[1].errno, errno.EPERM)
        for value in ("4095", "x", "-1", "0x1", " 1", "1\n", "99999999999"):
            path = ("spec", "syscalls", 1, "errnoRet")
            self.assert_refused_at(changed(document, path, value), path)
        wrong: List[Any] = ["true", "yes", 1, 0, []]
        for each in wrong:
            self.assert_refused_at(changed(CRD, ("spec", "disabled"), each), ("spec", "disabled"))
        self.refused(json.dumps({"defaultAction": ALLOW, "disabled": False}))
        for text in layouts(changed(CRD, ("spec", "disabled"), True)).values():
            mark = marks(text, ("spec", "disabled"))[0].start_mark
            self.assert_fails(self.write(text), f":{mark.line + 1}:{mark.column + 1}: disabled: ", "is not enabled")

    @support.kernel_tier
    def test_several_documents(self) -> None:
        path = str(support.DATA / "spo-seccompprofile.yaml")
        names = [document["metadata"]["name"] for document in yaml.safe_load_all(pathlib.Path(path).read_text())
                 if document]
        self.assert_fails(path, path, "documents", f"choose one as FILE#NAME: {', '.join(names)}")
        self.assert_succeeds(path + "#profile-allow-unsafe")
        self.assert_succeeds(path + "#profile-complain-unsafe")
        self.assert_fails(path + "#absent", path, "holds no profile named absent; choose one as FILE#NAME: "
                                                  f"{', '.join(names)}")
        # A file that has such a name is meant itself.
        self.assert_succeeds(self.write({"defaultAction": ALLOW}, "a#b"))
        self.assert_fails(self.write({"defaultAction": ALLOW}, "c") + "#b", "holds no profile named b")
        self.assert_fails(str(self.folder / "absent#b"), f"{self.folder}/absent: no such file")
        text = pathlib.Path(path).read_text(encoding="utf-8")
        self.assert_succeeds("-#profile-allow-unsafe", input=text, stdin=None)

    @support.kernel_tier
    def test_same_name_twice(self) -> None:
        path = self.write(yaml.safe_dump_all([CRD, CRD]))
        self.assert_fails(path + "#whole", path, "holds 2 profiles named whole, but only one can be read; give each a "
                          "metadata.name of its own")

    @support.kernel_tier
    def test_base_profile(self) -> None:
        def crd(name: str, *names: str, **spec: Any) -> str:
            rules = [{"action": ALLOW, "names": list(names)}] if names else []
            return self.write({**CRD, "metadata": {"name": name}, "spec": oci(*rules, **spec)}, name)

        own = spoc.BASE_SYSCALLS + ["mmap", "access", "pread64", "newfstatat", "prlimit64", "getrandom", "rseq",
                                    "set_robust_list", "arch_prctl", "write", "munmap"]
        main = crd("main", "exit_group", baseProfileName="base")
        base = crd("base", *own)
        other = crd("other", *own)
        self.assert_fails(main, main, "base", "--base-profile")
        self.assert_succeeds(main, "--base-profile", base)
        self.assert_fails(main, "base", "--base-profile", options=("--base-profile", other))
        self.assert_fails(main, f"builds on the profile base, but {other} is other; give that as --base-profile FILE",
                          options=("--base-profile", other))
        self.assert_succeeds(main, "--base-profile", other, "--base-profile", base)
        plain = crd("plain", "exit_group")
        self.assertNotEqual(self.run_profile(plain).returncode, 0)
        self.assert_succeeds(plain, "--base-profile", base)
        self.assert_fails(main, "absent", "no such file", options=("--base-profile", str(self.folder / "absent")))
        wrong = self.write({"defaultAction": ALLOW, "x": 1}, "x")
        self.assert_fails(main, "unknown key", options=("--base-profile", wrong))

    def unite(self, default: str, one: List[spoc.Rule], other: List[spoc.Rule]) -> Tuple[spoc.Profile, List[str]]:
        profile, base = spoc.Profile(default, (), tuple(one)), spoc.Profile(ERRNO, (), tuple(other))
        return spoc.unite_base(profile, base, "base.yaml")

    def test_base_profile_that_disagrees(self) -> None:
        """The operator installs the less restrictive of two answers, whatever the default is."""
        order = ["SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP", ERRNO, "SCMP_ACT_TRACE",
                 "SCMP_ACT_LOG", ALLOW]
        for first, second, default in itertools.product(order, order, (ERRNO, ALLOW, "SCMP_ACT_LOG")):
            united, settled = self.unite(default, [rule(first, "uname", "read")], [rule(second, "uname", "write")])
            self.assertEqual([united.verdicts(name)[0][0] for name in ("uname", "read", "write")],
                             [max(first, second, key=order.index), first, second])
            self.assertEqual(len(settled), int(first != second))
            for part in ("uname", first, second) if settled else ():
                self.assertIn(part, settled[0])

    def test_base_profile_whose_conditions_differ(self) -> None:
        """What is installed depends on the operator's version."""
        held = rule(ALLOW, "uname", conditions=[spoc.Condition(0, "SCMP_CMP_EQ", 1)])
        denied = rule(ERRNO, "uname", number=38)
        for one, other in ((held, denied), (denied, held), (denied, rule(ERRNO, "uname"))):
            with self.assertRaisesRegex(spoc.SpocError, "base.yaml: uname: "):
                self.unite("SCMP_ACT_LOG", [one], [other])
        for rules, others in (([held], [rule(ALLOW, "uname")]), ([held, denied], [denied, held])):
            united, settled = self.unite("SCMP_ACT_LOG", rules, others)
            joined = spoc.Profile("SCMP_ACT_LOG", (), (*rules, *others))
            self.assertEqual((united.verdicts("uname"), settled), (joined.verdicts("uname"), []))

    def test_base_profile_whose_conditions_decide_nothing(self) -> None:
        """Behind a rule without conditions, or where they lead to the default."""
        allowed = rule(ALLOW, "uname")
        for idle in (rule(ERRNO, "uname", conditions=[spoc.Condition(0, "SCMP_CMP_EQ", 1)]),
                     rule("SCMP_ACT_LOG", "uname", conditions=[spoc.Condition(0, "SCMP_CMP_EQ", 1)])):
            for base in ([allowed, idle], [idle, allowed]):
                united, settled = self.unite("SCMP_ACT_LOG", [allowed], base)
                self.assertEqual((united.verdicts("uname"), settled), ([spoc.ALLOW], []))

    def test_base_profile_is_read_under_its_own_default(self) -> None:
        """What decides nothing there must not come to decide under the default of the profile."""
        kill = "SCMP_ACT_KILL_PROCESS"
        base = spoc.Profile(ERRNO, (), (rule(kill, "read", "write"), rule(ALLOW, "read", "write")))
        self.assertEqual(base.verdicts("read"), [spoc.Verdict(kill, 0)])
        owns: List[Tuple[spoc.Rule, ...]] = [(), (rule(ERRNO, "read"),), (rule(kill, "read"),)]
        for own in owns:
            united, _ = spoc.unite_base(spoc.Profile(kill, (), own), base, "base")
            for name in ("read", "write"):
                self.assertNotIn(spoc.ALLOW, united.verdicts(name), own)

    @support.kernel_tier
    def test_base_profile_that_disagrees_runs(self) -> None:
        denies, allows = (self.write({**CRD, "metadata": {"name": name}, "spec": oci(
            {"names": ["uname"], "action": action}, defaultAction=ALLOW)}, name)
            for name, action in (("denies", ERRNO), ("allows", ALLOW)))
        self.assertNotEqual(self.run_profile(denies, command=("uname",)).returncode, 0)
        for path, base in ((denies, allows), (allows, denies)):
            stderr = self.assert_succeeds(path, "--base-profile", base, command=("uname",))
            self.assertIn(f" in its base {base}: {ALLOW} holds\n", stderr)

    @support.kernel_tier
    def test_base_profile_of_a_base_profile(self) -> None:
        """What the base profile builds on is needed as well."""
        def crd(name: str, **spec: Any) -> str:
            return self.write({**CRD, "metadata": {"name": name}, "spec": {"defaultAction": ALLOW, **spec}}, name)

        main, middle, last = crd("main", baseProfileName="middle"), crd("middle", baseProfileName="last"), crd("last")
        self.assert_fails(main, "last", "--base-profile", options=("--base-profile", middle))
        self.assert_succeeds(main, "--base-profile", middle, "--base-profile", last)


class Errors(FormatCase):
    """Every key of a whole document, made wrong: refused at that key."""

    STRING: List[Any] = [5, -1, True, ["a"], {"a": "b"}]
    NUMBER: List[Any] = ["a", "5", True, [5], {"a": 5}, -1]
    LIST: List[Any] = ["a", 5, True, {"a": "b"}]
    MAPPING: List[Any] = ["a", 5, True, ["a"]]
    VALUES: Dict[str, List[Any]] = {
        "apiVersion": ["v1", "security-profiles-operator.x-k8s.io/v1alpha2", "security-profiles-operator.x-k8s.io/v2"],
        "state": ["disabled", "enabled", "Off"],
        "defaultAction": ["SCMP_ACT_FOO", "ALLOW", "scmp_act_allow", "SCMP_ACT_ALLOW ", ""],
        "action": ["SCMP_ACT_FOO", "ALLOW", "scmp_act_allow", "SCMP_ACT_ALLOW ", ""],
        "defaultErrnoRet": [4095, 1 << 32, 1 << 64],
        "errnoRet": [4095, 1 << 32, 1 << 64],
        "index": [6, 1 << 32, 1 << 64],
        "value": [1 << 64],
        "valueTwo": [1 << 64],
        "op": ["SCMP_CMP_FOO", "==", "EQ", "scmp_cmp_eq", ""],
        "minKernel": ["4", "4.x", "4.8.1", "4..8", "v4.8", " 4.8", "4.8\n", "4.", ".8", "-4.8", "4,8", "0.0", "00.0",
                      "256.0", "4.256", "4.1000", "+4.8", "4.8abc", "0x4.8", "4_0.8", "\u0664.8", "4" * 5000 + ".8"],
    }
    ERRNOS = ["EFOO", "eperm", "EPERM ", "4095", "-1", " 1", "1\n", "0x1", "1.0", "99999999999", "errorcode",
              "__name__", "__doc__"]
    ITEMS = {"flags": ["SECCOMP_FILTER_FLAG_FOO", "LOG", "SECCOMP_FILTER_FLAG_NEW_LISTENER", ""]}

    def wrong(self, path: Path, value: Any) -> List[Any]:
        """What must not stand where this value does."""
        if isinstance(path[-1], int):
            key = str(path[-2])
            return [None, *(self.MAPPING if isinstance(value, dict) else self.STRING), *self.ITEMS.get(key, [])]
        kinds: Dict[type, List[Any]] = {str: self.STRING, int: self.NUMBER, list: self.LIST, dict: self.MAPPING}
        return kinds[type(value)] + self.VALUES.get(path[-1], [])

    @support.kernel_tier
    def test_resource(self) -> None:
        for path in paths(CRD):
            if path != ("kind",) and path[:1] != ("metadata",) or path == ("metadata",):
                for value in self.wrong(path, item(CRD, path)):
                    if (path[-1], value) != ("errnoRet", "5"):
                        self.assert_refused_at(changed(CRD, path, value), path)

    @support.kernel_tier
    def test_docker(self) -> None:
        for path in paths(DOCKER):
            for value in self.wrong(path, item(DOCKER, path)) if path[-1] != "comment" else ():
                self.assert_refused_at(changed(DOCKER, path, value), path)

    def test_errno_of_two_names(self) -> None:
        for name, other in (("EOPNOTSUPP", "ENOTSUP"), ("EWOULDBLOCK", "EAGAIN"), ("EDEADLOCK", "EDEADLK")):
            for each in (name, other):
                document = changed(changed(DOCKER, ("defaultErrno",), each), ("defaultErrnoRet",), None)
                self.assertEqual(decode(json.dumps(document)).default_errno, getattr(errno, other))

    def test_errno_names(self) -> None:
        for name in self.ERRNOS:
            self.assert_refused_at(changed(DOCKER, ("defaultErrno",), name), ("defaultErrno",))
            self.assert_refused_at(changed(DOCKER, ("syscalls", 1, "errno"), name), ("syscalls", 1, "errno"))

    def test_contradiction(self) -> None:
        profile = decode(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["getpid"], "action": f"SCMP_ACT_{action}", "args": [{"index": 0, "op": "SCMP_CMP_EQ"}]}
            for action in ("ERRNO", "TRAP")]}))
        with self.assertRaisesRegex(spoc.SpocError, "two rules have the same conditions"):
            spoc.FilterBuilder(profile, spoc.X86_64).build()

    def test_unknown_keys(self) -> None:
        for document in (CRD, DOCKER):
            for path in [(), *paths(document)]:
                inner = item(document, path)
                if isinstance(inner, dict) and inner and path[:1] != ("metadata",):
                    for key in ("unknown", "Names", "n-a", "excludeAction"):
                        self.assert_refused_at(changed(document, (*path, key), "a"), (*path, key), "unknown")

    def test_did_you_mean(self) -> None:
        """Go's JSON takes keys in any case, so that Docker and runc read these: here they are an error that helps."""
        for path in paths(DOCKER):
            key = path[-1]
            if isinstance(key, str) and key not in ("comment", "name"):
                document = changed(DOCKER, (*path[:-1], key.upper()), item(DOCKER, path))
                del item(document, path[:-1])[key]
                with self.subTest(path=path):
                    self.assertIn(f"{key.upper()}: unknown key; did you mean {key}?",
                                  str(self.refused(json.dumps(document))))
        for value in ("SCMP_ACT_ALLOW", "SCMP_CMP_EQ", "SCMP_ARCH_X86_64", "SECCOMP_FILTER_FLAG_LOG", "Enabled"):
            text = json.dumps(CRD).replace(f'"{value}"', f'"{value.swapcase()}"', 1)
            with self.subTest(value=value):
                self.assertIn(f"{value.swapcase()}; did you mean {value}?".replace("eNABLED", "unknown"),
                              str(self.refused(text)))

    def test_keys_in_the_wrong_place(self) -> None:
        places: List[Tuple[Path, str, Any]] = [
            (("errnoRet",), "errnoRet", 1), (("action",), "action", ALLOW),
            (("syscalls", 0, "syscalls"), "syscalls", []), (("syscalls", 0, "defaultErrnoRet"), "defaultErrnoRet", 1),
            (("syscalls", 1, "args", 0, "action"), "action", ALLOW), (("syscalls", 0, "flags"), "flags", []),
            (("syscalls", 1, "includes", "names"), "names", []),
            (("archMap", 0, "architectures"), "architectures", [])]
        for path, key, value in places:
            self.assert_refused_at(changed(DOCKER, path, value), path, key)

    def test_what_yaml_readers_differ_on(self) -> None:
        """It is an error wherever it decides anything, with the place of its key or item."""
        for path in paths(CRD["spec"]):
            if isinstance(item(CRD["spec"], path), (dict, list)):
                continue
            text = yaml.safe_dump(changed(CRD, ("spec", *path), "HERE"), sort_keys=False)
            line = text[:text.index("HERE")].count("\n") + 1
            for value in ("yes", "017", "1e3", "2001-01-01", "1.5", "!!str 5", "!x"):
                with self.subTest(path=path, value=value):
                    error = self.refused(text.replace("HERE", value))
                    self.assertEqual(error.line, line, str(error))
                    self.assertRegex(str(error), re.escape(value) + r".*(quote it|a tag)")

    def test_keys_of_other_dialects(self) -> None:
        for key in ("name", "comment", "errno", "includes", "excludes"):
            value = DOCKER["syscalls"][1].get(key, "read")
            self.assert_refused_at(changed(CRD, ("spec", "syscalls", 0, key), value), ("spec", "syscalls", 0, key))
        for key, value in (("archMap", []), ("defaultErrno", "EPERM")):
            self.assert_refused_at(changed(CRD, ("spec", key), value), ("spec", key))
        for key in ("baseProfileName", "state"):
            self.assert_refused_at(changed(DOCKER, (key,), CRD["spec"][key]), (key,))

    def test_missing_keys(self) -> None:
        of_crd: List[Path] = [("apiVersion",), ("spec", "defaultAction"), ("spec", "syscalls", 1, "names"),
                              ("spec", "syscalls", 1, "action"), ("spec", "syscalls", 1, "args", 0, "index"),
                              ("spec", "syscalls", 1, "args", 0, "op")]
        for path in of_crd:
            self.missing(CRD, path)
        of_docker: List[Path] = [("defaultAction",), ("syscalls", 2, "name"), ("syscalls", 1, "args", 0, "op"),
                                 ("archMap", 1, "architecture")]
        for path in of_docker:
            self.missing(DOCKER, path)

    def test_duplicate_keys(self) -> None:
        for text, line, column in (
            ("defaultAction: SCMP_ACT_LOG\ndefaultAction: SCMP_ACT_LOG\n", 2, 1),
            ('{"defaultAction": "SCMP_ACT_LOG", "defaultAction": "SCMP_ACT_LOG"}', 1, 35),
            ('{\n  "defaultAction": "SCMP_ACT_LOG",\n  "defaultAction": "SCMP_ACT_LOG"\n}\n', 3, 3),
            ("defaultAction: SCMP_ACT_LOG\nsyscalls:\n- names: [read]\n  action: SCMP_ACT_LOG\n  names: [brk]\n", 5, 3),
            ("defaultAction: SCMP_ACT_LOG\nsyscalls:\n- {names: [a], action: SCMP_ACT_LOG,\n   names: [b]}\n", 4, 4),
            ('{"defaultAction": "SCMP_ACT_LOG", "syscalls": [{"names": ["a"], "names": ["b"]}]}', 1, 65),
        ):
            with self.subTest(text=text):
                error = self.refused(text)
                self.assertIn("twice", str(error))
                self.assertEqual((error.line, error.column), (line, column))

    @support.kernel_tier
    def test_through_run(self) -> None:
        path = self.write('defaultAction: SCMP_ACT_LOG\nsyscalls:\n- names: [read]\n  action: SCMP_ACT_ALOW\n')
        self.assert_fails(path, f"{path}:4:3: action: ", "SCMP_ACT_ALOW")
        path = self.write('{"defaultAction": "SCMP_ACT_LOG",\n "sycalls": []}')
        self.assert_fails(path, f"{path}:2:2: sycalls: ")


class Dialects(FormatCase):
    """Docker's and Podman's JSON."""

    # How Go, and with it Docker, calls the machines.
    GO = {X86_64: "amd64", "SCMP_ARCH_X86": "x86", "SCMP_ARCH_AARCH64": "arm64", "SCMP_ARCH_ARM": "arm",
          "SCMP_ARCH_RISCV64": "riscv64", "SCMP_ARCH_PPC64LE": "ppc64le"}
    RELEASES = {"4.7.10": (4, 7), "4.8.0-rc1": (4, 8), "4.8.0+": (4, 8), "4.19.0-26-amd64": (4, 19),
                "5.10.0": (5, 10), "6.18.5-0-lts": (6, 18), "10.0.1": (10, 0), "3.10.0-1160.el7.x86_64": (3, 10)}
    CAPABILITIES = """CAP_SYS_ADMIN CAP_SYS_BOOT CAP_SYS_CHROOT CAP_SYS_MODULE CAP_SYS_PACCT CAP_SYS_PTRACE CAP_SYSLOG
                      CAP_SYS_RAWIO CAP_SYS_TIME CAP_SYS_TTY_CONFIG CAP_SYS_NICE CAP_BPF CAP_PERFMON CAP_AUDIT_WRITE
                      CAP_DAC_READ_SEARCH""".split()

    def kept(self, condition: Dict[str, Any], host: spoc.Host, exclude: bool) -> bool:
        """Whether includes, or excludes, let a rule be."""
        results = [capability in host.capabilities for capability in condition.get("caps", [])]
        if condition.get("arches"):
            results.append(self.GO[host.architecture] in condition["arches"])
        if condition.get("minKernel") is not None:  # moby's parser makes 0.0 of "", which it refuses as text
            least = tuple(int(part) for part in (condition["minKernel"] or "0.0").split("."))
            release = self.RELEASES.get(host.release) or tuple(map(int, host.release.split(".")[:2]))
            results.append(release >= least)
        return not any(results) if exclude else all(results)

    def expected(self, document: Dict[str, Any], host: spoc.Host) -> spoc.Profile:
        rules: List[spoc.Rule] = []
        for each in document["syscalls"]:
            if not self.kept(each.get("excludes", {}), host, True) or not self.kept(each.get("includes", {}), host,
                                                                                    False):
                continue
            conditions = tuple(spoc.Condition(arg["index"], arg["op"], arg["value"], arg.get("valueTwo", 0))
                               for arg in each.get("args", []))
            rules.append(spoc.Rule(each["action"], tuple(each.get("names") or [each["name"]]),
                                   each.get("errnoRet", 1), conditions))
        listed = [(entry["architecture"], *(entry["subArchitectures"] or ())) for entry in document.get("archMap", [])
                  if entry["architecture"] == host.architecture]
        return spoc.Profile(document["defaultAction"], listed[0] if listed else (), tuple(rules),
                            document.get("defaultErrnoRet", 1))

    def random_host(self, chance: random.Random) -> spoc.Host:
        return spoc.Host(chance.choice(list(self.GO)), chance.choice(list(self.RELEASES)), chance.sample(
            self.CAPABILITIES, chance.choice([0, 1, 3, len(self.CAPABILITIES) - 1, len(self.CAPABILITIES)])))

    def test_docker_default_on_many_hosts(self) -> None:
        text = (support.DATA / "docker-default.json").read_text(encoding="utf-8")
        document, reader = spoc.parse_document(text, "the/file")
        chance = random.Random(11)
        seen = set()
        for _ in range(400):
            host = self.random_host(chance)
            profile = spoc.ProfileDecoder(reader, host).decode(document)
            self.assertEqual(profile, self.expected(json.loads(text), host), host)
            seen.add((profile.architectures, len(profile.rules)))
        self.assertGreater(len(seen), 25)

    def random_rules(self, chance: random.Random, count: int, kernels: Sequence[Optional[str]]) -> List[Dict[str, Any]]:
        def condition() -> Dict[str, Any]:
            choices = {"caps": chance.sample(self.CAPABILITIES, chance.randrange(3)),
                       "arches": chance.sample([*self.GO.values(), "s390x", "x32"], chance.randrange(5)),
                       "minKernel": chance.choice(kernels)}
            return {key: value for key, value in choices.items() if chance.random() < 0.6}

        rules = []
        for number in range(count):
            one: Dict[str, Any] = {"name": f"n{number}"} if chance.random() < 0.5 else {"names": [f"n{number}"]}
            for key in ("includes", "excludes"):
                if chance.random() < 0.7:
                    one[key] = condition()
            rules.append({**one, "action": ALLOW})
        return rules

    def podman_rules(self, path: str, capabilities: Sequence[str]) -> List[str]:
        """The names in the rules that Podman hands to the runtime, of the profile at this path."""
        command = ["podman", "--root", str(self.folder / "storage"), "--runroot", str(self.folder / "run"),
                   "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"]
        (self.folder / "rootfs").mkdir(exist_ok=True)
        created = subprocess.run([*command, "create", "--network", "none", "--security-opt", f"seccomp={path}",
                                  "--cap-drop", "all", *(f"--cap-add={name}" for name in capabilities),
                                  "--rootfs", str(self.folder / "rootfs"), "true"],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
        self.assertEqual(created.returncode, 0, created.stderr)
        try:  # there is no `true` to start: by then what the runtime is told is written
            subprocess.run([*command, "init", created.stdout.strip()], stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL, timeout=60)
            written, = self.folder.glob("storage/*/*/userdata/config.json")
            return [name for rule in json.loads(written.read_text())["linux"]["seccomp"]["syscalls"]
                    for name in rule["names"]]
        finally:
            subprocess.run([*command, "rm", "--force", created.stdout.strip()], stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL, timeout=60, check=True)

    @support.kernel_tier
    def test_conditions_are_podmans(self) -> None:
        """Which rules apply on this machine: spoc.py, and what judges it for other hosts, say what Podman says.

        Podman 4 does not look at minKernel.
        """
        support.require_root()
        support.require_command("podman")
        support.require(support.ON_X86_64, "x86_64")
        chance = random.Random(14)
        counts = set()
        for capabilities in ((), self.CAPABILITIES[:3], self.CAPABILITIES[2:], self.CAPABILITIES):
            document = oci(*self.random_rules(chance, 100, [None]))
            host = spoc.Host(X86_64, os.uname().release, capabilities)
            profile = decode(json.dumps(document), host)
            self.assertEqual([name for each in profile.rules for name in each.names],
                             self.podman_rules(self.write(document), capabilities), capabilities)
            self.assertEqual(profile, self.expected(document, host))
            counts.add(len(profile.rules))
        self.assertGreater(min(counts), 10)
        self.assertLess(max(counts), 90)

    def test_random_conditions_on_many_hosts(self) -> None:
        chance = random.Random(12)
        kept = total = 0
        for _ in range(300):
            rules = self.random_rules(chance, 6, ["", None, "0.1", "004.08", "255.255", "3.0", "4.8", "4.10", "5.10",
                                                  "6.18", "6.19", "9.9"])
            document, host = oci(*rules), self.random_host(chance)
            profile = decode(json.dumps(document), host)
            self.assertEqual(profile, self.expected(document, host), (document, host))
            kept, total = kept + len(profile.rules), total + len(rules)
        self.assertTrue(0.2 < kept / total < 0.8, (kept, total))

    @support.kernel_tier
    def test_docker_default_runs_a_shell(self) -> None:
        profile = str(support.DATA / "docker-default.json")
        result = self.run_profile(profile, command=("sh", "-c", "echo $((6 * 7)) | cat && ls / >/dev/null && date -u"))
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertTrue(result.stdout.startswith("42\n"), result.stdout)
        spoc.libseccomp.load()
        number = spoc.syscall_number("keyctl")
        code = (f"import ctypes; libc = ctypes.CDLL(None, use_errno=True); r = libc.syscall({number}, -1, 0, 0, 0, 0);"
                "print(r, ctypes.get_errno())")
        bare = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
        result = self.run_profile(profile, command=(sys.executable, "-c", code))
        self.assertEqual(result.stdout, f"-1 {errno.EPERM}\n", result.stderr)
        self.assertNotEqual(bare.stdout, result.stdout)

    @support.kernel_tier
    def test_capabilities_are_the_caller_s(self) -> None:
        """Docker's rules for privileged callers hold for those who have the capability."""
        support.require_command("setpriv")
        path = self.write(oci({"names": ["read"], "action": ALLOW}, {
            "names": ["mkdir"], "action": ERRNO, "errnoRet": errno.EXDEV, "excludes": {"caps": ["CAP_SYS_TIME"]}},
            defaultAction=ALLOW))
        self.assert_succeeds(path, command=("mkdir", str(self.folder / "made")))
        support.require_root()
        drop = ["setpriv", "--bounding-set=-sys_time", sys.executable, str(support.SPOC), "run", "--enricher", "none",
                "-p", path, "mkdir", str(self.folder / "unmade")]
        result = subprocess.run(drop, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertIn(os.strerror(errno.EXDEV), result.stderr)

    def test_architecture_map(self) -> None:
        for architecture, expected in ((X86_64, (X86_64, "SCMP_ARCH_X86")), ("SCMP_ARCH_RISCV64", ()),
                                       ("SCMP_ARCH_AARCH64", ("SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"))):
            profile = decode(json.dumps(DOCKER), spoc.Host(architecture, "6.1.0", ()))
            self.assertEqual(profile.architectures, expected)
        for first, second in (("architectures", "archMap"), ("archMap", "architectures")):
            both = {"architectures": [X86_64], "archMap": DOCKER["archMap"]}
            document = {"defaultAction": ALLOW, first: both[first], second: both[second]}
            self.assertIn("archMap", str(self.refused(json.dumps(document))))
        for empty in ({"architectures": [], "archMap": DOCKER["archMap"]}, {"architectures": None, "archMap": None}):
            decode(json.dumps({"defaultAction": ALLOW, **empty}))

    def test_name_and_names(self) -> None:
        self.assertEqual(decode(json.dumps(oci({"name": "read", "action": ALLOW}))).rules, (rule(ALLOW, "read"),))
        both: List[Dict[str, Any]] = [{"name": "read", "names": []}, {"name": "", "names": ["read"]},
                                      {"name": None, "names": ["read"]}]
        for one in both:
            self.assertEqual(decode(json.dumps(oci({**one, "action": ALLOW}))).rules, (rule(ALLOW, "read"),))
        self.assertIn("name", str(self.refused(json.dumps(oci({"name": "a", "names": ["b"], "action": ALLOW})))))

    def test_wrong_wherever_it_holds(self) -> None:
        """An error in a rule is one on every host, whether the rule applies there or not."""
        excluded = {"names": ["read"], "action": ALLOW, "excludes": {"caps": ["CAP_SYS_ADMIN"]}}
        changes: List[Dict[str, Any]] = [
            {"action": "SCMP_ACT_FOO"}, {"args": [{"index": 9, "op": "SCMP_CMP_EQ"}]}, {"errnoRet": 5},
            {"includes": {"a": 1}}, {"includes": {"minKernel": "x"}}, {"includes": {"arches": [5]}},
            {"excludes": {"caps": ["CAP_SYS_ADMIN"], "minKernel": "x"}},
            {"excludes": {"caps": ["CAP_SYS_ADMIN"], "arches": 5}}]
        for change in changes:
            with self.subTest(change=change):
                self.refused(json.dumps(oci({**excluded, **change})))
        self.refused(json.dumps({**DOCKER, "archMap": [*DOCKER["archMap"][1:2], {"architecture": X86_64, "x": 1}]}))

    def test_architectures_of_others(self) -> None:
        """An entry of archMap for another machine matters to none but that, and may be newer than spoc.py."""
        future = {"architecture": "SCMP_ARCH_FUTURE64", "subArchitectures": ["SCMP_ARCH_FUTURE", "SCMP_ARCH_MIPS"]}
        document = {**DOCKER, "archMap": [future, *DOCKER["archMap"]]}
        self.assertEqual(decode(json.dumps(document)), decode(json.dumps(DOCKER)))
        own = {"architecture": X86_64, "subArchitectures": ["SCMP_ARCH_FUTURE"]}
        self.assertIn("SCMP_ARCH_FUTURE", str(self.refused(json.dumps({**DOCKER, "archMap": [own]}))))

    def test_rules_without_names(self) -> None:
        """They do nothing, as with Docker, Podman, runc and crun; what else they hold has to be right."""
        kept = {"names": ["read"], "action": ALLOW}
        empty: List[Dict[str, Any]] = [{"names": []}, {"names": None}, {"name": ""}, {"name": None},
                                       {"name": "", "names": []}, {"name": None, "names": None}]
        for names in empty:
            text = json.dumps(oci({**names, "action": ERRNO, "errnoRet": 5}, kept))
            self.assertEqual(decode(text), decode(json.dumps(oci(kept))))
            self.assertEqual(decode(json.dumps({**CRD, "spec": oci({"names": [], "action": ALLOW}, kept)})).rules,
                             (rule(ALLOW, "read"),))
            self.refused(json.dumps(oci({**names, "action": "SCMP_ACT_FOO"}, kept)))
            self.refused(json.dumps(oci({**names, "action": ALLOW, "args": [{"index": 9, "op": "SCMP_CMP_EQ"}]})))
        self.refused(json.dumps(oci({"action": ALLOW})))

    def test_remarks(self) -> None:
        """Keys for people, of any value, at any level of JSON: but a rule's name is a syscall."""
        values: List[Any] = ["a", 5, 1.5, None, True, ["a", {"b": 1e3}], {"defaultAction": ALLOW}]
        expected = decode(json.dumps(DOCKER))
        for path in [(), *paths(DOCKER)]:
            if not isinstance(item(DOCKER, path), dict):
                continue
            for key in ("$schema", "_comment", "comment", "description", "name", "version"):
                if key == "name" and path[:1] == ("syscalls",) and len(path) == 2:
                    continue
                for value in values:
                    with self.subTest(path=path, key=key, value=value):
                        self.assertEqual(decode(json.dumps(changed(DOCKER, (*path, key), value))), expected)
                        if value == "a":
                            self.refused(json.dumps({**CRD, "spec": {"defaultAction": ALLOW, key: value}}))
        twice = '{"_comment": "a", "defaultAction": "SCMP_ACT_LOG", "_comment": "b"}'
        self.assertEqual(decode(twice), spoc.Profile("SCMP_ACT_LOG", (), ()))
        self.refused(twice.replace('"_comment": "b"', '"defaultAction": "SCMP_ACT_ALLOW"'))

    def test_podman(self) -> None:
        document = oci(
            {"names": ["bdflush"], "action": ERRNO, "args": [], "comment": "", "includes": {}, "excludes": {},
             "errnoRet": 1, "errno": "EPERM"},
            {"names": ["socket"], "action": ERRNO, "errno": "EINVAL", "errnoRet": 22, "args": [
                {"index": 0, "value": 16, "valueTwo": 0, "op": "SCMP_CMP_EQ"},
                {"index": 2, "value": 9, "valueTwo": 0, "op": "SCMP_CMP_EQ"}]},
            {"names": ["clone3"], "action": ERRNO, "errno": "38"}, defaultErrno="ENOSYS", defaultErrnoRet=38)
        self.assertEqual(decode(json.dumps(document)), spoc.Profile(ERRNO, (), (
            rule(ERRNO, "bdflush"),
            rule(ERRNO, "socket", number=22, conditions=[spoc.Condition(0, "SCMP_CMP_EQ", 16),
                                                         spoc.Condition(2, "SCMP_CMP_EQ", 9)]),
            rule(ERRNO, "clone3", number=38)), 38))

    def test_every_errno_name(self) -> None:
        for number, name in [*errno.errorcode.items(), *((number, str(number)) for number in (0, 1, 38, 4094))]:
            profile = decode(json.dumps(oci({"names": ["read"], "action": ERRNO, "errno": name}, defaultErrno=name)))
            self.assertEqual((profile.default_errno, profile.rules[0].errno), (number, number))

    def test_errno_contradictions(self) -> None:
        for name, number in (("EPERM", 2), ("ENOSYS", 1), ("EPERM", 0)):
            self.assertIn("errno", str(self.refused(json.dumps(oci(
                {"names": ["read"], "action": ERRNO, "errno": name, "errnoRet": number})))))
            self.assertIn("defaultErrno", str(self.refused(json.dumps(oci(
                defaultErrno=name, defaultErrnoRet=number)))))
        decode(json.dumps(oci({"names": ["read"], "action": ERRNO, "errno": "", "errnoRet": 5}, defaultErrno="")))


class Keys(FormatCase):
    """What the keys that all dialects share mean."""

    def test_errno(self) -> None:
        for action in ACTIONS:
            for number in (0, 1, 38, 4094):
                one, default = oci({"names": ["read"], "action": action, "errnoRet": number}), oci(
                    defaultAction=action, defaultErrnoRet=number)
                with self.subTest(action=action, number=number):
                    if action in (ERRNO, "SCMP_ACT_TRACE"):
                        self.assertEqual(decode(json.dumps(one)).rules[0].verdict, (action, number))
                        profile = decode(json.dumps(default))
                        self.assertEqual((profile.default_action, profile.default_errno), (action, number))
                    else:
                        self.assertIn("errnoRet", str(self.refused(json.dumps(one))))
                        self.assertIn("defaultErrnoRet", str(self.refused(json.dumps(default))))
            if action in (ERRNO, "SCMP_ACT_TRACE"):
                profile = decode(json.dumps(oci({"names": ["read"], "action": action}, defaultAction=action)))
                self.assertEqual((profile.rules[0].errno, profile.default_errno), (errno.EPERM, errno.EPERM))

    def test_zero_errno_of_a_resource(self) -> None:
        """The operator's Go types have errnoRet,omitempty: what it installs has no such key, which means EPERM."""
        for action in ACTIONS:
            for number in (0, None):
                spec = oci({"names": ["read"], "action": action, "errnoRet": number}, defaultAction=action)
                for version in ("v1beta1", "v1"):
                    resource = {**CRD, "apiVersion": f"security-profiles-operator.x-k8s.io/{version}", "spec": spec}
                    self.assertEqual(decode(json.dumps(resource)).rules[0].errno, errno.EPERM)
        for wrong in (False, "0", 0.0, [0]):
            self.assert_refused_at(changed(CRD, ("spec", "syscalls", 1, "errnoRet"), wrong),
                                   ("spec", "syscalls", 1, "errnoRet"))

    def test_default_errno_of_a_resource(self) -> None:
        """The cluster does not take the key, or drops it."""
        for number in (0, 1, 38):
            self.assert_refused_at({**CRD, "spec": {**CRD["spec"], "defaultErrnoRet": number}},
                                   ("spec", "defaultErrnoRet"))
        decode(json.dumps({**CRD, "spec": {**CRD["spec"], "defaultErrnoRet": None}}))

    def test_operators(self) -> None:
        edges = [0, 1, (1 << 31) - 1, 1 << 31, 1 << 32, (1 << 63) - 1, 1 << 63, MAX_U64]
        for op, index, value, value_two in itertools.product(COMPARISONS, range(6), edges, edges):
            arg = {"index": index, "op": op, "value": value, "valueTwo": value_two}
            profile = decode(json.dumps(oci({"names": ["read"], "action": ALLOW, "args": [arg]})))
            self.assertEqual(profile.rules, (
                rule(ALLOW, "read", conditions=[
                    spoc.Condition(index, op, value, value_two & value if "MASKED" in op else value_two)]),))

    def test_values_left_out_are_zero(self) -> None:
        profile = decode(json.dumps(oci({"names": ["read"], "action": ALLOW, "args": [
            {"index": 5, "op": "SCMP_CMP_MASKED_EQ", "value": 6}]})))
        self.assertEqual(profile.rules[0].conditions, (spoc.Condition(5, "SCMP_CMP_MASKED_EQ", 6, 0),))

    def test_several_conditions(self) -> None:
        """On one argument: any of all conditions; on different arguments: all."""
        chance = random.Random(13)
        verdicts = set()
        for _ in range(1500):
            args: List[Dict[str, Any]] = [
                {"index": chance.randrange(chance.choice([2, 6])), "op": chance.choice(list(COMPARISONS)),
                 "value": chance.randrange(4), "valueTwo": chance.randrange(4)} for _ in range(chance.randrange(7))]
            profile = decode(json.dumps(oci({"names": ["read"], "action": ALLOW, "args": args})))
            given = [chance.randrange(4) for _ in range(6)]
            twice = len({arg["index"] for arg in args}) < len(args)
            allowed = support.rule_holds({"args": args}, given)
            self.assertEqual(allowed, any(all(
                COMPARISONS[condition.op](given[condition.argument], condition.value, condition.value_two)
                for condition in each.conditions) for each in profile.rules), (args, given))
            verdicts.add((twice, allowed))
        self.assertEqual(len(verdicts), 4)

    @support.kernel_tier
    def test_architectures(self) -> None:
        lists: List[List[str]] = [[], ["SCMP_ARCH_NATIVE"], ["SCMP_ARCH_X86", "SCMP_ARCH_X86"],
                                  ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]]
        for names in lists:
            if os.uname().machine == "x86_64" or not names[1:]:
                with self.subTest(names=names):
                    self.assert_succeeds(self.write(oci(defaultAction=ALLOW, architectures=names)))

    @support.kernel_tier
    def test_unknown_architectures(self) -> None:
        for name in ("SCMP_ARCH_FOO", "SCMP_ARCH_", "", "X86_64", "x86_64", "SCMP_ARCH_x86_64", "SCMP_ARCH_X86\0",
                     "XSCMP_ARCH_86", "scmp_arch_x86", "amd64"):
            path = self.write('{"defaultAction": "SCMP_ACT_ALLOW",\n "architectures": [\n  ' + json.dumps(name) + "]}")
            with self.subTest(name=name):
                self.assert_fails(path, f"{path}:3:3: architectures: ")

    @support.kernel_tier
    def test_architectures_of_other_machines(self) -> None:
        """Known names, which this machine may be unable to filter: loaded, or refused for the reason that holds."""
        spoc.libseccomp.load()
        little_endian = 0x40000000  # __AUDIT_ARCH_LE, linux/audit.h
        version = "{0.major}.{0.minor}.{0.micro}".format(spoc.libseccomp.seccomp_version().contents)
        reasons = set()
        for name in spoc.ARCHITECTURES:
            path = self.write(oci(defaultAction=ALLOW, architectures=[name]))
            token = spoc.libseccomp.seccomp_arch_resolve_name(name[len("SCMP_ARCH_"):].lower().encode())
            reason = ""
            if not token and name != "SCMP_ARCH_NATIVE":
                reason = f"libseccomp {version} does not know this architecture"
            elif token and bool(token & little_endian) != (sys.byteorder == "little"):
                reason = "has the other byte order"
            with self.subTest(name=name):
                if reason:
                    self.assert_fails(path, f"build filter: {name}: {reason}", "take it out of the profile")
                else:
                    self.assert_succeeds(path)
            reasons.add(reason)
        self.assertGreater(len(reasons), 1)

    def test_base_syscalls_that_are_not_known(self) -> None:
        path = self.write(oci(defaultAction=ALLOW))
        for command in (["record", "-o", str(self.folder / "new")], ["run", "-p", path]):
            result = support.spoc(*command, "-b", "no_such_call", "true")
            self.assertEqual(result.returncode, spoc.EXIT_USAGE)
            self.assertRegex(result.stderr, r"-b no_such_call: libseccomp \d+\.\d+\.\d+ knows no such syscall; "
                                            "check the spelling; a newer libseccomp knows more")

    @support.kernel_tier
    def test_flags(self) -> None:
        for flag in FLAGS:
            with self.subTest(flag=flag):
                self.assert_succeeds(self.write(oci(defaultAction=ALLOW, flags=[flag])))

    def test_empty_list_of_flags(self) -> None:
        """Whose Go leaves it out of what a runtime reads (omitempty) means none given; runc and crun know both."""
        archmap = [{"architecture": X86_64, "subArchitectures": []}]
        for keys, flags in (("{}", None), ('{"flags": null}', None), ('{"flags": []}', ()),
                            (json.dumps({"flags": FLAGS}), tuple(FLAGS))):
            document = oci(defaultAction=ALLOW, **json.loads(keys))
            self.assertEqual(decode(json.dumps(document)).flags, flags)
            for indirect in ({**CRD, "spec": document}, {**document, "archMap": archmap}):
                self.assertEqual(decode(json.dumps(indirect)).flags, flags or None)

    @support.kernel_tier
    def test_notify(self) -> None:
        rule_path = self.write(oci({"names": ["uname"], "action": NOTIFY}, defaultAction=ALLOW), "rule")
        base = self.write(oci(defaultAction=ALLOW), "base")
        bare = self.write(oci(defaultAction=NOTIFY), "default")
        beside = self.write(oci({"names": ["execve"], "action": ALLOW}, defaultAction=NOTIFY), "beside")
        excluded = self.write(oci({"names": ["uname"], "action": NOTIFY, "excludes": {"minKernel": "3.0"}},
                                  defaultAction=ALLOW), "excluded")
        for path, options in ((rule_path, ()), (bare, ()), (beside, ()), (bare, ("-b", "execve")),
                              (beside, ("-b", "uname")), (base, ("--base-profile", rule_path))):
            with self.subTest(path=path, options=options):
                self.assert_fails(path, NOTIFY, "listener", options=options)
        self.assert_succeeds(excluded)

    @support.kernel_tier
    def test_unknown_syscalls(self) -> None:
        strange = ["no_such_call", "sys_read", "READ", "é", "a\0b", "\x1b[31m", "arm_sync_file_range"]
        stderr = self.assert_succeeds(self.write(oci(
            {"names": [*strange, "", "uname"], "action": ERRNO}, {"names": ["another_one"], "action": "SCMP_ACT_LOG"},
            {"names": ["no_such_call"], "action": "SCMP_ACT_LOG"}, defaultAction=ALLOW)))
        lines = [line for line in stderr.splitlines() if "no_such_call" in line]
        self.assertEqual(len(lines), 1, stderr)
        listed = lines[0].partition("known here: ")[2].split(", ")
        self.assertEqual(sorted(filter(None, listed)), sorted(
            ["no_such_call", "sys_read", "READ (did you mean read?)", "é", "a\\x00b", "\\x1b[31m",
             "arm_sync_file_range", "another_one"]))


@support.kernel_tier
class Inputs(FormatCase):
    """Where profiles come from, and files that are none."""

    LIMIT_BYTES, LIMIT_S = 2 << 30, 60

    def limited(self) -> None:
        resource.setrlimit(resource.RLIMIT_AS, (self.LIMIT_BYTES, self.LIMIT_BYTES))
        resource.setrlimit(resource.RLIMIT_CPU, (self.LIMIT_S, self.LIMIT_S))

    def test_standard_input(self) -> None:
        for text, is_yaml in ((json.dumps(oci(defaultAction=ALLOW)), False), ("defaultAction: SCMP_ACT_ALLOW\n", True),
                              ("\ufeff  {\"defaultAction\": \"SCMP_ACT_ALLOW\"}", False)):
            stderr = self.assert_succeeds("-", input=text, stdin=None)
            self.assertEqual("Assuming YAML profile" in stderr, is_yaml, stderr)
        self.assert_fails("-", "-:1:16: ", input="defaultAction: @\n", stdin=None)
        self.assert_fails("-", input="", stdin=None)
        with open(os.devnull, "wb") as file:
            self.assert_fails("-", "read profile: -: ", os.strerror(errno.EBADF), stdin=file)
        with open(self.write(oci(defaultAction=ALLOW)), encoding="utf-8") as file:
            self.assert_succeeds("-", stdin=file)
        self.assert_fails("-", preexec_fn=lambda: os.close(0))

    def test_standard_input_that_does_not_block(self) -> None:
        """All of it is read, however late the rest comes."""
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        writer = threading.Timer(1, lambda: open(writing, "wb").write(oci_text[9:]))
        oci_text = json.dumps(oci(defaultAction=ALLOW)).encode()
        os.write(writing, oci_text[:9])
        writer.start()
        with open(reading, "rb") as file:
            self.assert_succeeds("-", stdin=file)
        writer.join()

    def test_default_paths(self) -> None:
        """In a /tmp that holds nothing else."""
        support.require_root()
        support.require_command("unshare")
        script = ("mount -t tmpfs none /tmp && mkdir -m 755 /tmp/spoc && cat >/tmp/spoc/spoc.py && "
                  "for name in $2; do printf '%s' \"$3\" >/tmp/profile.$name || exit 99; done && $4 && "
                  'exec "$1" /tmp/spoc/spoc.py run --enricher none true')

        def run(names: str, text: str, then: str = "true") -> "subprocess.CompletedProcess[str]":
            return subprocess.run(
                ["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh", sys.executable, names, text,
                 then],
                input=support.SOURCE.read_text(encoding="utf-8"), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                text=True, timeout=60, cwd="/")

        for names, used in (("yaml", "yaml"), ("json", "json"), ("json yaml", "yaml")):
            result = run(names, json.dumps(oci(defaultAction=ALLOW)))
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertIn(f" Reading file /tmp/profile.{used}\n", result.stderr)
        for then, reason in (("chown 65534 /tmp/profile.yaml", r"belongs to another user \(65534\); .*-p FILE"),
                             ("chmod 666 /tmp/profile.yaml", "others may write to it; .*-p FILE"),
                             ("ln -s profile.json /tmp/profile.yaml", "is a symbolic link")):
            result = run("json" if "ln" in then else "yaml", json.dumps(oci(defaultAction=ALLOW)), then)
            self.assertEqual(result.returncode, spoc.EXIT_FAILURE, result.stderr)
            self.assertRegex(result.stderr, f"/tmp/profile.yaml: {reason}")
        result = run("", "")
        self.assertEqual(result.returncode, spoc.EXIT_FAILURE, result.stderr)
        self.assertIn("/tmp/profile.yaml: no such file", result.stderr)
        self.assertIn("-p FILE", result.stderr)

    def test_json_that_is_none(self) -> None:
        """With comments or a comma too many runtimes refuse it: so does every command, at the place."""
        plain = '{"defaultAction": "SCMP_ACT_ALLOW",\n "comment": "// # /* ,]",\n "syscalls": [{"names": ["uname"], ' \
                '"action": "SCMP_ACT_ERRNO"}]}\n'
        self.assertEqual(spoc.parse_profile(plain, "x", HOST).profile.default_action, ALLOW)
        comma = r"a comma before '\{}' is no JSON"
        for old, new, place, reason in (
                ("\n", "// why\n", "1:36", "JSON has no comments"), ("{", "/* why */ {", "1:1", "JSON has no comments"),
                ("{", "# why\n{", "1:1", "JSON has no comments"), ("}\n", "} // why\n", "3:66", "JSON has no comments"),
                ("{", "{ # why\n", "1:3", "JSON has no comments"), ('"]', '", ]', "3:33", comma.format("]")),
                ("}]", "},\n]", "3:63", comma.format("]")), ("]}\n", "],}\n", "3:64", comma.format("}"))):
            text = plain.replace(old, new, 1)
            with self.subTest(text):
                with self.assertRaises(ValueError):
                    json.loads(text)
                for name in ("given.json", "given"):
                    path = self.folder / name
                    path.write_text(text)
                    for command in (("show",), ("merge",), ("convert", "-t", "docker"), ("diff", str(path))):
                        result = support.spoc(*command, str(path))
                        self.assertEqual((result.returncode, result.stdout), (2 if "diff" in command else 125, ""))
                        self.assertRegex(result.stderr, rf" Error: read profile: {path}:{place}: {reason}\n$")
        # YAML has both, and may look so: without quotes around its keys, or under a name that says it.
        for name, text in (("a.yaml", plain.replace("{", "{ # why\n", 1).replace('"]', '",]')),
                           ("a", "{defaultAction: SCMP_ACT_ALLOW, # why\n syscalls: [],}\n"),
                           ("a", "# {\ndefaultAction: SCMP_ACT_ALLOW\n")):
            self.assertEqual(spoc.parse_profile(text, name, HOST).profile.default_action, ALLOW)

    def test_comments_that_never_end(self) -> None:
        """However they are made, they take no time that counts."""
        for text in ("/**/" * 500_000, "#\n" * 500_000 + "{", '{"' + "/*" * 500_000, '{"a": 1' + ", " * 500_000,
                     '{"' + "," + " " * 500_000 + "x"):
            started = time.process_time()
            with self.assertRaises(spoc.ProfileError):
                spoc.parse_profile(text, "x", HOST)
            self.assertLess(time.process_time() - started, 20)

    def test_no_profiles(self) -> None:
        for content in (b"", b"\n\n", b"# a comment\n", b"---\n", b"---\n...\n", b"null\n", b"a\n", b"[]", b"- a\n",
                        b"{}", b"\xef\xbb\xbf", b"\0", b"kind: Pod\n", b"5", b'"a"', b"\x7fELF\2\1\1\0\0", b"{}{}"):
            path = self.write(content)
            with self.subTest(content=content):
                self.assert_fails(path, path)

    def test_files_that_cannot_be_read(self) -> None:
        self.assert_fails(str(self.folder), str(self.folder), os.strerror(errno.EISDIR))
        self.assert_fails(str(self.folder / "absent"), f"{self.folder}/absent", "no such file")
        self.assertNotIn("FILE#NAME", self.assert_fails(self.write("no profile\n", "text"), "is no profile"))
        self.assert_fails(self.write("") + "/below", "profile/below", os.strerror(errno.ENOTDIR))
        self.assert_fails("/" + "a" * 300, os.strerror(errno.ENAMETOOLONG))
        fifo = str(self.folder / "fifo")
        os.mkfifo(fifo)
        self.assert_fails(fifo, fifo, timeout=30)
        self.assert_fails("/dev/zero", "/dev/zero", timeout=30)
        os.symlink("loop", self.folder / "loop")
        self.assert_fails(str(self.folder / "loop"), "loop")

    def test_unreadable_file(self) -> None:
        """Root without the capability to read what its mode forbids."""
        support.require_root()
        support.require_command("setpriv")
        path = self.write(oci(defaultAction=ALLOW))
        os.chmod(path, 0)
        result = subprocess.run(["setpriv", "--bounding-set=-dac_override,-dac_read_search", sys.executable,
                                 str(support.SPOC), "run", "--enricher", "none", "-p", path, "true"],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
        self.assertEqual(result.returncode, spoc.EXIT_FAILURE, result.stderr)
        self.assertIn(f"{path}: {os.strerror(errno.EACCES)}", result.stderr)

    def test_odd_bytes(self) -> None:
        good = b"defaultAction: SCMP_ACT_ALLOW\nsyscalls:\n- names: [uname]\n  action: SCMP_ACT_LOG\n"
        for content in (b"\t" + json.dumps(oci(defaultAction=ALLOW)).encode(), good.replace(b"[uname]", b"&a [uname]"),
                        good.replace(b"\n", b"\r\n"), b"\xef\xbb\xbf" + good, good.rstrip(b"\n"), good + b"\n\n",
                        good.replace(b": ", b":\t"), good.replace(b"\n", b" \t\n"), b"\t\n" + good, good + b"...\n",
                        good.replace(b"names", b"'names'"), b"# \xc3\xa9 \xf0\x9f\x90\x8d\n" + good):
            with self.subTest(content=content):
                self.assert_succeeds(self.write(content))
        for content, line, column in (
            (good + b"\xff", 5, 1), (good.replace(b"uname", b"un\xc3("), 3, 13),
            (good.replace(b"uname", b"un\0me"), 3, 13),
            (good.replace(b"- names", b"\t- names"), 3, 1), (good.replace(b"  action", b"\taction"), 4, 1),
            (good.replace(b"\n", b"\r"), 1, 30), (good.replace(b"LOG", b"LOG\x1b"), 4, 23),
            (good.decode().encode("utf-16"), 1, 1), (good.replace(b"[uname]", b"&a b"), 3, 3),
            (good.replace(b"[uname]", b"*a"), 3, 10), (good.replace(b"[uname]", b"!!set [uname]"), 3, 3),
            (good.replace(b"[uname]", b"\n  - read\n   - uname"), 4, 3),
        ):
            path = self.write(content)
            with self.subTest(content=content):
                self.assert_fails(path, f"{path}:{line}:{column}: ")

    def test_as_large_as_a_profile_may_be(self) -> None:
        size = spoc.MAX_PROFILE_BYTES - 1000
        good = 'defaultAction: SCMP_ACT_ALLOW\n'
        one_rule = '{"names": ["uname"], "action": "SCMP_ACT_ALLOW"},\n'
        crd = spoc.format_profile(spoc.Profile(ALLOW, (), ()), spoc.TYPE_CRD, "a")
        for label, text in (
            ("comment", good + "# " + "a" * size + "\n"), ("comments", good + "# a\n" * (size // 4)),
            ("blank", "\n" * size + good), ("spaces", good + " " * size),
            ("annotation", crd.replace(
                "metadata:", "metadata:\n  annotations:\n    a: |\n" + "      b c\n" * (size // 10))),
            ("rules", '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [\n' + one_rule * (size // len(one_rule))
             + one_rule.rstrip(",\n") + "]}"),
        ):
            with self.subTest(label=label):
                self.assert_succeeds(self.write(text), preexec_fn=self.limited)
        for label, text in (
            ("word", "a" * size), ("key", "a" * size + ": b\n"), ("action", "defaultAction: " + "a" * size + "\n"),
            ("unknown keys", "".join(f"k{number}: a\n" for number in range(size // 10))),
            ("open", "[" * size), ("text", '{"defaultAction": "' + "a" * size), ("zeros", "\0" * size),
            ("list key", "{[" + ("a" * 31 + ",") * (size // 32) + "]: b}"),
        ):
            path = self.write(text)
            with self.subTest(label=label):
                line = self.assert_fails(path, path, preexec_fn=self.limited)
                self.assertLess(len(line), 10_000)  # nobody reads an error of megabytes

    def test_larger_than_any_profile(self) -> None:
        path = str(self.folder / "profile")
        with open(path, "wb") as file:
            file.truncate(1 << 40)
        self.assert_fails(path, path, "larger", preexec_fn=self.limited)

    def test_nesting(self) -> None:
        depth = 10_000
        for text in ("[" * depth, "[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth, "- " * depth + "a",
                     "{a: " * depth, "\n".join(" " * level + "a:" for level in range(depth)),
                     '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": ' + "[" * depth + "]" * depth + "}"):
            path = self.write(text)
            with self.subTest(text=text[:60]):
                self.assert_fails(path, str(path), "", preexec_fn=self.limited)


def exact(value: Any) -> str:
    """Tells True from 1, and keeps the order of keys."""
    return repr(value)


class Json(FormatCase):
    """What the reader makes of JSON, against the json module."""

    # Valid JSON that no profile needs, and that YAML readers disagree about or do not take: an error, with its place.
    NOT_READ = ("1e3", "1E3", "1.5", "-0.5", "1e400", "1.0", '"\\ud83d"', '"\\ude00\\ud83d"', '"\x7f"', '"\ufffe"',
                "\r1", "1" * 40, "[" * 65 + "]" * 65)
    READ = ('"\\ud83d\\ude00"', '"a\\ud83d\\ude00b\\u00e9"', '"\U0001f600"', '"\\/\\b\\f\\n\\r\\t\\"\\\\"', '"\\u0000"',
            "0", "-0", "-1", "18446744073709551615", "true", "false", "null", '""', "[]", "{}", '{"":""}', '"# a"',
            '"a: b"', '"it\'s"', '[\n\t1\t,\n\t2\n\t]', '{\t"a"\t:\t1\t}', '"\ufeff"', '" a "', '"- a"',
            '{"a":1}', '{"a":[1,2],"b":{}}', '[[],[[]],{"a":{}}]', '"---"', '"yes"', '"1e3"', '"\\u0041"', '"\\u2028"')

    def corpus(self) -> Dict[str, Any]:
        found: Dict[str, Any] = {"docker": json.loads((support.DATA / "docker-default.json").read_text("utf-8")),
                                 "own docker": DOCKER, "resource": CRD}
        for path in support.DATA.glob("*.yaml"):
            for number, document in enumerate(yaml.safe_load_all(path.read_text(encoding="utf-8"))):
                found[f"{path.name} {number}"] = document
        return found

    def compare(self, text: str) -> Optional[bool]:
        """Was valid JSON read? Then alike; else it is refused with its place. None if it is no JSON."""
        try:
            expected = json.loads(text)
        except ValueError:
            expected = None
            invalid = True
        else:
            invalid = False
        try:
            documents = spoc.parse_yaml(text, "the/file")
        except spoc.ProfileError as error:
            self.assertRegex(str(error), rf"\Aread profile: the/file:{error.line}:{error.column}: \S")
            return None if invalid else False
        if invalid:
            return None
        if not support.agree(documents, [expected]):
            self.assertEqual(exact(documents), exact([expected]), repr(text))
        return not support.unclear(documents)

    def test_corpus(self) -> None:
        layouts: List[Dict[str, Any]] = [
            {}, {"indent": 2}, {"indent": "\t"}, {"separators": (",", ":")}, {"ensure_ascii": False},
            {"sort_keys": True}, {"indent": 0, "separators": (" , ", " : ")}]
        for name, document in self.corpus().items():
            for options in layouts:
                with self.subTest(name=name, options=options):
                    text = json.dumps(document, **options)
                    self.assertTrue(self.compare(text))
                    self.assertTrue(self.compare(text.replace("\n", "\r\n") + "\r\n"))

    def test_real_file(self) -> None:
        self.assertTrue(self.compare((support.DATA / "docker-default.json").read_text(encoding="utf-8")))

    def test_features(self) -> None:
        for text in self.READ:
            with self.subTest(text=text):
                self.assertTrue(self.compare(f'{{"a": {text}}}'))
                self.assertTrue(self.compare(f"[{text},{text}]"))
        for text in self.NOT_READ:
            with self.subTest(text=text):
                self.assertIs(self.compare(f'{{"a": {text}}}'), False)
        self.assertIs(self.compare('{"a": 1, "a": 2}'), False)

    @staticmethod
    def part(chance: random.Random, document: Dict[str, Any]) -> Dict[str, Any]:
        """A smaller profile with some of the rules, so that a change hits all kinds of places."""
        rules = [{**each, "names": chance.sample(each["names"], min(3, len(each["names"])))}
                 for each in chance.sample(document["syscalls"], 3)]
        return {**document, "archMap": chance.sample(document["archMap"], 1), "syscalls": rules}

    @staticmethod
    def mutate(chance: random.Random, text: str) -> str:
        fragments = ['"', "\\", "\\u", "\\ud83d", "\\ude00", "\\u0000", "{", "}", "[", "]", ",", ":", " ", "\n", "\t",
                     "\r\n", "0", "1e3", "-1", "1.5", "null", "true", "[]", "{}", '""', '"a":1,', "'", "#", " #", "- ",
                     "\x7f", "\0", "é", "\U0001f600", "\u2028", "\ufeff", "18446744073709551616", "/", "\\/", "\\n"]
        for _ in range(chance.choice([1, 1, 1, 2, 3])):
            place = chance.randrange(len(text) + 1)
            kind = chance.random()
            if kind < 0.5:
                text = text[:place] + chance.choice(fragments) + text[place:]
            elif kind < 0.75:
                text = text[:place] + text[place + chance.randrange(1, 6):]
            elif kind < 0.9:
                other = chance.randrange(len(text) + 1)
                text = text[:place] + text[other:other + 20] + text[place:]
            else:
                text = text[:place] + chance.choice(fragments) + text[place + 1:]
        return text

    @support.kernel_tier
    def test_mutations(self) -> None:
        chance = random.Random(14)
        document = json.loads((support.DATA / "docker-default.json").read_text(encoding="utf-8"))
        counts = {True: 0, False: 0, None: 0}
        for _ in range(6000):
            options = chance.choice([{}, {"indent": 1}, {"separators": (",", ":")}])
            text = json.dumps(self.part(chance, document), **options)  # type: ignore[arg-type]
            counts[self.compare(self.mutate(chance, text))] += 1
        self.assertGreater(counts[True], 1500, counts)
        self.assertGreater(counts[None], 1500, counts)
        self.assertLess(counts[False], counts[True] // 5, counts)


@support.kernel_tier
class Mutations(FormatCase):
    """Ten thousand documents that nobody meant to write: read, or refused in one line."""

    VALUES: List[Any] = [None, True, False, 0, -1, 5, 4096, 1 << 32, 1 << 64, 10 ** 30, "", "a", "é\U0001f600", "a\0b",
                         "SCMP_ACT_ALLOW", "SCMP_ACT_NOTIFY", "SCMP_ARCH_X86", "SCMP_ARCH_S390X", "read", "errorcode",
                         "EPERM", "__doc__", "5.10", [], {}, [[]], [{}], ["read"], {"a": 1}, [None], "A" * 500,
                         [5], "1"]

    def decoded(self, text: str) -> bool:
        """Was it read, and could it be built? Whatever is raised otherwise than as SpocError fails the test."""
        try:
            profile = decode(text)
            builder = spoc.FilterBuilder(profile, spoc.machine_of(os.uname().machine, os.uname().release).native)
            filter_bytes = builder.build().program
        except spoc.SpocError as error:
            self.assertEqual(len(str(error).splitlines()), 1)
            return False
        self.assertGreater(len(filter_bytes), 0)
        return True

    def setUp(self) -> None:
        super().setUp()
        spoc.libseccomp.load()

    def tried(self, texts: Iterator[str]) -> List[bool]:
        results = []
        for text in texts:
            try:
                results.append(self.decoded(text))
            except AssertionError:
                raise
            except Exception as error:
                raise AssertionError(f"{error!r} for {text!r}") from error
        return results

    def test_values(self) -> None:
        """Values and keys changed, layout whole."""
        chance = random.Random(15)

        def texts() -> Iterator[str]:
            for _ in range(5000):
                document = copy.deepcopy(chance.choice([CRD, DOCKER]))
                for _ in range(chance.choice([1, 1, 2])):
                    path = chance.choice(list(paths(document)))
                    inside = item(document, path[:-1])
                    kind = chance.random()
                    if kind < 0.7:
                        inside[path[-1]] = copy.deepcopy(chance.choice(self.VALUES))
                    elif kind < 0.9:
                        del inside[path[-1]]
                    elif isinstance(inside, dict):
                        inside[chance.choice(["unknown", "", "name", "a\nb", "1"])] = chance.choice(self.VALUES)
                yield chance.choice(list(layouts(document).values())) if chance.random() < 0.3 else json.dumps(document)

        results = self.tried(texts())
        self.assertTrue(0.05 < sum(results) / len(results) < 0.8, sum(results))

    def test_texts(self) -> None:
        """Texts changed anywhere."""
        chance = random.Random(16)
        sources = [*layouts(DOCKER).values(), *layouts(CRD).values(), KUBECTL.replace("VERSION", "v1"), BY_HAND]

        def texts() -> Iterator[str]:
            for _ in range(5000):
                yield Json.mutate(chance, chance.choice(sources))

        results = self.tried(texts())
        self.assertTrue(0.05 < sum(results) / len(results) < 0.8, sum(results))


class Corpus(FormatCase):
    """Shapes in which profiles are found: what they hold is what PyYAML or json reads, whatever stands around it."""

    SPEC = {"defaultAction": ERRNO, "architectures": [X86_64], "syscalls": [
        {"action": ALLOW, "names": ["read", "write"]},
        {"action": ERRNO, "errnoRet": 38, "names": ["socket"],
         "args": [{"index": 0, "op": "SCMP_CMP_EQ", "value": 16}]}]}
    WORDS = "the web team's: profile #1 [draft] {x} - yes 017 1.5 & * ! | > % @ key: v: \\ \" ' é 🐍 ok now".split()

    def test_files(self) -> None:
        """Each file of tests/data/shapes has a profile `web`, alone or among others: it allows read and write only."""
        found = sorted((support.DATA / "shapes").iterdir())
        self.assertGreater(len(found), 8)
        for path in found:
            text = path.read_text(encoding="utf-8")
            with self.subTest(file=path.name):
                name = "web" if text.count("kind:") > 1 else ""
                self.assertEqual(decode(text, name=name),
                                 spoc.Profile(ERRNO, (X86_64,), (rule(ALLOW, "read", "write"),)))
                if path.suffix == ".yaml":
                    self.assertTrue(support.agree(spoc.parse_yaml(text), [
                        each for each in yaml.load_all(text, Loader=AnyTag) if each is not None]))
                else:
                    self.assertTrue(support.agree(spoc.parse_yaml(text), [json.loads(text)]))

    def text(self, chance: random.Random) -> str:
        return " ".join(chance.choice(self.WORDS) for _ in range(chance.randrange(1, 40)))

    def anything(self, chance: random.Random, shared: List[Any], depth: int = 0) -> Any:
        """What may stand in other objects: PyYAML gives what is there twice an anchor, and folds long scalars."""
        makers: List[Callable[[], Any]] = [
            lambda: self.text(chance), lambda: chance.choice([None, True, 5, -1, 1.5, 1e300, float("inf")]),
            lambda: datetime.date(2001, chance.randrange(1, 13), 1),
            lambda: chance.choice(["yes", "017", "1:30", "", "~"]),
            lambda: chance.choice(shared) if shared else None, lambda: b"bytes", lambda: {1, 2}]
        if depth < 4:
            makers += [lambda: [self.anything(chance, shared, depth + 1) for _ in range(chance.randrange(4))],
                       lambda: {chance.choice([self.text(chance)[:100], 5, None, True, 1.5]):
                                self.anything(chance, shared, depth + 1) for _ in range(chance.randrange(4))}] * 2
        value = chance.choice(makers)()
        shared.append(value)
        return value

    @support.kernel_tier
    def test_generated(self) -> None:
        """Objects of other kinds, metadata and status with anything in them, as PyYAML writes them."""
        chance = random.Random(17)
        expected = decode(json.dumps(self.SPEC))
        unclear = 0
        for _ in range(300):
            shared: List[Any] = []
            profile = {"apiVersion": CRD["apiVersion"], "kind": "SeccompProfile", "metadata": {
                "name": "web", "annotations": {"note": self.text(chance), "any": self.anything(chance, shared)}},
                "spec": self.SPEC, "status": {"any": self.anything(chance, shared)}}
            others = [{"kind": chance.choice(["Deployment", "ConfigMap"]), "metadata": {"name": "web"},
                       "data": self.anything(chance, shared)} for _ in range(chance.randrange(3))]
            documents = chance.sample([profile, *others], 1 + len(others))
            if chance.random() < 0.3:
                documents = [{"apiVersion": "v1", "kind": "List", "items": documents}]
            text = yaml.dump_all(documents, Dumper=yaml.SafeDumper, width=chance.choice([20, 40, 80, 10 ** 6]),
                                 default_flow_style=chance.choice([False, False, None, True]),
                                 allow_unicode=chance.random() < 0.5, indent=chance.choice([2, 4]))
            if not text.startswith("{") and chance.random() < 0.5:
                text = text.replace("\n", "\r\n")
            try:
                self.assertEqual(decode(text, name="web"), expected, text)
                read = spoc.parse_yaml(text)
            except spoc.ProfileError as error:
                self.fail(f"{error}:\n{text}")
            self.assertTrue(support.agree(read, list(yaml.safe_load_all(text))), text)
            unclear += support.unclear(read)
        self.assertTrue(50 < unclear < 290, unclear)

    def test_what_decides_stays_strict(self) -> None:
        """The same objects with something in the spec that is not understood: an error that names it."""
        chance = random.Random(18)
        for _ in range(100):
            spec = copy.deepcopy(self.SPEC)
            key = chance.choice(["excludeAction", "Names", "comment", "<<", "yes"])
            chance.choice([spec, spec["syscalls"][0], spec["syscalls"][1]["args"][0]])[key] = "a"  # type: ignore
            shared: List[Any] = []
            text = yaml.safe_dump_all([{"kind": "Pod", "any": self.anything(chance, shared)}, {
                **CRD, "metadata": {"name": "web", "any": self.anything(chance, shared)}, "spec": spec}],
                width=chance.choice([20, 80]), default_flow_style=chance.choice([False, None, True]))
            with self.assertRaises(spoc.ProfileError) as caught:
                decode(text, name="web")
            self.assertIn(f"{key}: unknown key", str(caught.exception))
            self.assertIn(key, text.splitlines()[caught.exception.line - 1])


@support.kernel_tier
class Differential(unittest.TestCase):
    """Documents by chance, see fuzz.py: as other readers read them, or refused for a stated reason."""

    def test_documents(self) -> None:
        seed = int(os.environ.get("SEED") or 24)
        print(f"SEED={seed}")
        wrong = [each for each in fuzz.fuzz_documents(seed, 2000) if each]
        self.assertEqual(wrong, [], f"SEED={seed}")

    def test_mistakes(self) -> None:
        """Each is found: another value, a refusal without need, an error of Python's."""
        for text, name, mistake in (("a: null", "YAML_CONSTANTS", {"null": False}),
                                    ("a: b c", "YAML_UNCLEAR_WORDS", ["b c"]),
                                    ("a: -b", "YAML_AMBIGUOUS", "-b"), ("a: -b", "YAML_AMBIGUOUS", "(")):
            self.assertEqual(fuzz.judge(text), "")
            with self.subTest(name=name, mistake=mistake), unittest.mock.patch.object(spoc, name, mistake):
                self.assertNotEqual(fuzz.judge(text), "")


class AnyTag(yaml.SafeLoader):
    """PyYAML, with what it has no type for read as what it is without the tag."""


AnyTag.add_multi_constructor("!", lambda loader, _, node: None)
