# SPDX-License-Identifier: MIT
"""Profiles in other formats: their consumers judge them, and what a format cannot say is refused."""

import ctypes
import errno
import itertools
import json
import os
import pathlib
import pty
import random
import re
import stat
import subprocess
import sys
import unittest
import unittest.mock
from typing import Any, Dict, List, Sequence, Tuple

import yaml

import spoc
import support
from cases import RUNC, ContainerCase, SchemaCase, crd_schemas
from rules import HOST
from support import SYS_SCHED_YIELD, SYS_UNAME, X86, X86_64

TIER = "pure"
JSON_TYPES = ("raw-seccomp", "docker")
ALL_TYPES = ("seccomp", "raw-seccomp", "docker", "systemd", "bpf", "pfc")
GETPID, GETPPID, GETUID = 39, 110, 102  # asm/unistd_64.h
# What the program call and the loader of a static program need.
NEEDED = """access arch_prctl brk clone clone3 close dup2 execve exit exit_group fcntl fstat futex getrandom ioctl lseek
            madvise mmap mprotect munmap newfstatat open openat pread64 prlimit64 read readlink rseq rt_sigaction
            rt_sigprocmask rt_sigreturn set_robust_list set_tid_address sigaltstack wait4 write""".split()


def require_x86_64() -> None:
    support.require(os.uname().machine == "x86_64", "an x86-64 machine")


def read(text: "str | bytes", host: spoc.Host = HOST) -> spoc.Profile:
    """What a profile means to `run`."""
    document, reader = spoc.parse_document(text if isinstance(text, str) else text.decode(), "converted")
    return spoc.ProfileDecoder(reader, host).decode(document)


def source_of(document: Dict[str, Any], host: spoc.Host = HOST) -> spoc.LoadedProfile:
    return spoc.parse_profile(json.dumps(document), "the/file.json", host)


def convert(document: Dict[str, Any], to_type: str) -> str:
    source = source_of(document)
    converted = spoc.Conversion(source, source.profile, spoc.X86_64).convert(to_type)
    return converted if isinstance(converted, str) else converted.decode("latin-1")


def meaning(profile: spoc.Profile) -> Tuple[Any, ...]:
    """All that a profile says, in one form: NATIVE goes without saying in JSON."""
    return (profile.default_action, profile.default_errno, profile.flags,
            [name for name in profile.architectures if name != "SCMP_ARCH_NATIVE"],
            [(rule.verdict, sorted(set(rule.names)), rule.conditions) for rule in profile.rules])


def random_document(chance: random.Random, crd: bool) -> Dict[str, Any]:
    """A profile in OCI JSON; `crd` keeps to what the CRD can say."""
    def action(key: str, errno_key: str) -> Dict[str, Any]:
        name = chance.choice([name for name in spoc.ACTIONS if name != "SCMP_ACT_NOTIFY"])
        numbers = {errno_key: chance.choice([int(crd), 1, 13, 38, 4094])} if chance.random() < 0.5 and not (
            crd and key == "defaultAction") and name in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE") else {}
        return {key: name, **numbers}

    def rule() -> Dict[str, Any]:
        most = (1 << 63) - 1 if crd else (1 << 64) - 1
        values = [0, 1, 17, 1 << 31, 1 << 32, most]
        indexes = chance.sample(range(6), chance.choice([0, 0, 1, 3]))
        args = [{"index": index, "value": chance.choice(values), "valueTwo": chance.choice(values),
                 "op": chance.choice(list(spoc.OPERATORS))} for index in indexes]
        return {"names": chance.sample(names, chance.randint(1, 9)), **action("action", "errnoRet"),
                **({"args": args} if args else {})}
    names = [*spoc.BASE_SYSCALLS, "no", "true", "null", "1e3", "<script>", "é", "-"]
    listed = chance.choice([[], [X86_64], [X86_64, X86], [X86_64, X86, "SCMP_ARCH_X32"], ["SCMP_ARCH_NATIVE"]])
    flags = chance.sample(sorted(spoc.FILTER_FLAGS), chance.choice([0, 0, 1, 3])) or None
    return {**action("defaultAction", "defaultErrnoRet"), "architectures": listed, "flags": flags,
            "syscalls": [rule() for _ in range(chance.randint(0, 8))]}


class Laws(unittest.TestCase):
    """There and back again is where one was, on generated profiles."""

    @support.kernel_tier
    def test_there_and_back(self) -> None:
        chance = random.Random(61)
        for _ in range(120):
            document = random_document(chance, crd=True)
            first = read(json.dumps(document))
            for to_type in ("seccomp", *JSON_TYPES):
                with self.subTest(type=to_type, document=document):
                    text = convert(document, to_type)
                    self.assertEqual(meaning(read(text)), meaning(first))
                    self.assertEqual(convert(yaml.safe_load(text), to_type).replace("name: file", ""),
                                     text.replace("name: file", ""))

    @support.kernel_tier
    def test_json_holds_all(self) -> None:
        chance = random.Random(62)
        for _ in range(400):
            document = random_document(chance, crd=False)
            for to_type in JSON_TYPES:
                with self.subTest(type=to_type, document=document):
                    self.assertEqual(meaning(read(convert(document, to_type))), meaning(read(json.dumps(document))))

    @support.kernel_tier
    def test_filters_are_the_same_to_the_kernel(self) -> None:
        support.require_command("runc")
        require_x86_64()
        chance = random.Random(63)
        compared = 0
        while compared < 50:
            document = random_document(chance, crd=True)
            try:
                spoc.FilterBuilder(read(json.dumps(document)), spoc.X86_64).build()
            except spoc.SpocError as error:
                self.assertIn("the same conditions", str(error))
                continue
            compared += 1
            compiled = [spoc.FilterBuilder(read(text), spoc.X86_64).build().program for text in (
                json.dumps(document), *(convert(document, to_type) for to_type in ("seccomp", *JSON_TYPES)))]
            self.assertEqual(len(set(compiled)), 1, document)

    def test_every_architecture(self) -> None:
        """archMap names each list so that its own machine reads it back."""
        for name in spoc.ARCHITECTURES[1:]:
            document = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": [name]}
            entry, = json.loads(convert(document, "docker"))["archMap"]
            self.assertIn(name, [entry["architecture"], *entry["subArchitectures"]])
            self.assertEqual(json.loads(convert(document, "raw-seccomp"))["architectures"], [name])

    def test_docker_s_own_families(self) -> None:
        """Docker's default profile puts an architecture under the same main one."""
        document = json.loads((support.DATA / "docker-default.json").read_text())
        for entry in document["archMap"]:
            for name in entry["subArchitectures"] or ():
                one = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": [name]}
                found, = json.loads(convert(one, "docker"))["archMap"]
                families = [each["architecture"] for each in document["archMap"]
                            if name in (each["subArchitectures"] or ())]
                self.assertIn(found["architecture"], [*families, name])


class Schema(SchemaCase):
    """The cluster takes the Kubernetes object, and drops nothing of it."""

    def assert_kept(self, value: Any, schema: Dict[str, Any], path: str) -> None:
        """The API server prunes keys that the schema does not have."""
        if isinstance(value, dict) and "properties" in schema:
            for key, item in value.items():
                self.assertIn(key, schema["properties"], path)
                self.assert_kept(item, schema["properties"][key], f"{path}.{key}")
        elif isinstance(value, list):
            for item in value:
                self.assert_kept(item, schema["items"], f"{path}[]")

    def assert_sets(self, value: Any, schema: Dict[str, Any], path: str = "") -> None:
        """The API server refuses a list of type set that holds an item twice; jsonschema does not know that type."""
        kind = schema.get("x-kubernetes-list-type")
        self.assertIn(kind, (None, "set", "atomic"), path)
        if kind == "set":
            self.assertEqual(len(value), len(set(value)), f"{path}: {value}")
        for key, item in value.items() if isinstance(value, dict) else ():
            self.assert_sets(item, schema.get("properties", {}).get(key, {}), f"{path}.{key}")
        for item in value if isinstance(value, list) else ():
            self.assert_sets(item, schema["items"], f"{path}[]")

    def test_nothing_twice_where_the_cluster_takes_a_set(self) -> None:
        document = {"defaultAction": "SCMP_ACT_ERRNO", "architectures": [X86_64, X86, X86_64],
                    "flags": ["SECCOMP_FILTER_FLAG_LOG"] * 2, "syscalls": [
                        {"names": ["read", "write", "read"], "action": "SCMP_ACT_ALLOW"},
                        {"names": ["read", "write", "read"], "action": "SCMP_ACT_ALLOW"},
                        {"names": ["read", "read"], "action": "SCMP_ACT_LOG", "args": [
                            {"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}] * 2}]}
        converted = convert(document, "seccomp")
        merged = spoc.merge_profiles([("a", read(json.dumps(document))), ("b", read(json.dumps(document)))])
        for text in (converted, spoc.format_profile(merged, "seccomp", "merged")):
            for schema in crd_schemas().values():
                self.assert_sets(yaml.safe_load(text), schema)
        self.assertEqual(yaml.safe_load(converted)["spec"]["syscalls"][0]["names"], ["read", "write"])

    @support.kernel_tier
    def test_generated_profiles(self) -> None:
        chance = random.Random(64)
        for _ in range(30):
            document = yaml.safe_load(convert(random_document(chance, crd=True), "seccomp"))
            self.assert_valid(document)
            for schema in crd_schemas().values():
                self.assert_kept({key: document[key] for key in ("apiVersion", "kind", "spec")}, schema, "")

    def test_metadata(self) -> None:
        metadata: Dict[str, Any] = {"name": "kept", "namespace": "there", "labels": {"a": "yes", "b": "1"},
                                    "annotations": {"c": "d\n\"e"}}
        spec: Dict[str, Any] = {"defaultAction": "SCMP_ACT_LOG", "baseProfileName": "base", "listenerMetadata": "m",
                                "listenerPath": "/var/run/security-profiles-operator/agent.sock"}
        converted = yaml.safe_load(convert({"apiVersion": spoc.API_VERSION, "kind": "SeccompProfile",
                                            "metadata": {**metadata, "uid": "the cluster's"}, "spec": spec}, "seccomp"))
        self.assert_valid(converted)
        self.assertEqual(converted["metadata"], {"creationTimestamp": None, **metadata})
        self.assertEqual({**converted["spec"], "syscalls": [], "architectures": []},
                         {**spec, "syscalls": [], "architectures": []})
        unnamed = yaml.safe_load(convert({"defaultAction": "SCMP_ACT_LOG"}, "seccomp"))
        self.assertEqual(unnamed["metadata"]["name"], "file")


class Refusals(unittest.TestCase):
    """What a format cannot say is an error, which names the place, the rule and the key."""

    def refusal(self, document: Dict[str, Any], to_type: str) -> spoc.SpocError:
        with self.assertRaises(spoc.SpocError, msg=f"{to_type}: {document}") as caught:
            convert({"defaultAction": "SCMP_ACT_ERRNO", **document}, to_type)
        return caught.exception

    def test_all(self) -> None:
        args = [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]
        big = [{"index": 0, "value": 1 << 63, "op": "SCMP_CMP_EQ"}]
        read_rule: Dict[str, Any] = {"names": ["write", "read"], "action": "SCMP_ACT_ALLOW"}
        allow = {"defaultAction": "SCMP_ACT_ALLOW"}
        cases: List[Tuple[Sequence[str], str, Dict[str, Any]]] = [
            (["seccomp"], "defaultErrnoRet", {"defaultErrnoRet": 38}),
            (["seccomp"], "write: errnoRet", {"syscalls": [{**read_rule, "action": "SCMP_ACT_ERRNO", "errnoRet": 0}]}),
            (["seccomp"], "write: errnoRet", {"syscalls": [{**read_rule, "action": "SCMP_ACT_TRACE", "errnoRet": 0}]}),
            (["seccomp", "docker"], "flags", {"flags": []}),
            (["seccomp"], "architectures", {"architectures": [X86_64, "SCMP_ARCH_LOONGARCH64"]}),
            (["seccomp"], "listenerPath", {"listenerPath": "/run/agent.sock"}),
            (["seccomp"], "write: args", {"syscalls": [read_rule, {**read_rule, "args": big}]}),
            (["systemd", "bpf", "pfc"], "listenerPath", {"listenerPath": "/run/agent.sock"}),
            (["systemd", "bpf", "pfc"], "listenerMetadata", {"listenerMetadata": "x"}),
            (["systemd", "bpf", "pfc"], "flags", {"flags": ["SECCOMP_FILTER_FLAG_LOG"]}),
            (["bpf", "pfc"], "write: action", {"syscalls": [{**read_rule, "action": "SCMP_ACT_NOTIFY"}]}),
            (["bpf", "pfc"], "defaultAction", {"defaultAction": "SCMP_ACT_NOTIFY"}),
            (["systemd"], "read: args", {"syscalls": [{**read_rule, "args": args}]}),
            (["systemd"], "read: action", {"syscalls": [{**read_rule, "action": "SCMP_ACT_TRAP"}]}),
            (["systemd"], "read: action", {"syscalls": [{**read_rule, "action": "SCMP_ACT_ERRNO", "errnoRet": 2}]}),
            (["systemd"], "read: action", {**allow, "syscalls": [{**read_rule, "action": "SCMP_ACT_KILL_THREAD"}]}),
            (["systemd"], "read: action", {**allow, "syscalls": [{**read_rule, "action": "SCMP_ACT_NOTIFY"}]}),
            (["systemd"], "a;b: names", {"syscalls": [{**read_rule, "names": ["a;b"]}]}),
            (["systemd"], "@clock: names", {"syscalls": [{**read_rule, "names": ["@clock"]}]}),
            (["systemd"], "defaultAction", {"defaultAction": "SCMP_ACT_TRAP"}),
            (["systemd"], "defaultAction", {"defaultAction": "SCMP_ACT_KILL"}),
            (["systemd"], "defaultAction", {"defaultAction": "SCMP_ACT_LOG"}),
            (["systemd"], "defaultErrnoRet", {"defaultErrnoRet": 0}),
            (["systemd"], "architectures", {"architectures": ["SCMP_ARCH_SH"]}),
        ]
        for types, key, document in cases:
            for to_type in types:
                with self.subTest(type=to_type, key=key):
                    error = str(self.refusal(document, to_type))
                    self.assertRegex(error, rf"\Aconvert to {to_type}: the/file\.json:1:\d+: {re.escape(key)}: .*; \S")
                    text = json.dumps({"defaultAction": "SCMP_ACT_ERRNO", **document})
                    column = int(error.split(":")[3])
                    self.assertEqual(text[column:].partition('"')[0], key.split()[-1])

    def test_each_further_rule_takes_no_longer(self) -> None:
        searches = []

        class Names(Tuple[str, ...]):
            def __contains__(self, name: object) -> bool:
                searches.append(name)
                return super().__contains__(name)

        rules = tuple(spoc.Rule("SCMP_ACT_ALLOW", Names([f"name{index}"])) for index in range(100))
        source = source_of({"defaultAction": "SCMP_ACT_ERRNO"})
        profile = spoc.Profile("SCMP_ACT_ERRNO", (), rules)
        self.assertIn("name99", spoc.Conversion(source, profile, spoc.X86_64).convert("systemd"))
        self.assertLessEqual(len(searches), len(rules))

    def test_base_profile(self) -> None:
        document = {"apiVersion": spoc.API_VERSION, "kind": "SeccompProfile", "metadata": {"name": "a"},
                    "spec": {"defaultAction": "SCMP_ACT_ERRNO", "baseProfileName": "base"}}
        for to_type in ALL_TYPES[1:]:
            with self.assertRaisesRegex(spoc.SpocError, "baseProfileName: "):
                convert(document, to_type)

    def test_hostile_names_reach_no_drop_in(self) -> None:
        for name in ("read\nExecStart=/bin/sh", "read ~@mount", "a:EPERM", "%n", "é", "read\\", "#"):
            document = {"syscalls": [{"names": [name], "action": "SCMP_ACT_ALLOW"}]}
            # The reader takes none that holds white space.
            self.assertRegex(str(self.refusal(document, "systemd")), "takes no such name|is not the name of a syscall")


class Command(support.Case):
    """The subcommand itself."""

    def setUp(self) -> None:
        super().setUp()
        self.profile = support.DATA / "spo-baseprofile-runc.yaml"

    def test_every_format_is_read(self) -> None:
        texts: Dict[str, Any] = {}
        for kind in ("raw-seccomp", "docker"):
            given = self.folder / kind
            self.assertEqual(support.spoc("convert", "-t", kind, "-o", str(given), str(self.profile)).returncode, 0)
            for to_type in ALL_TYPES[1:]:
                result = support.spoc("convert", "-t", to_type, str(given), text=False)
                said = os.fsdecode(result.stderr).partition(" Warning: ")[2].partition(": ")[0]
                expected = "the profile does not allow what the kernel makes by itself" if to_type == "systemd" else ""
                self.assertEqual((result.returncode, said), (0, expected))
                self.assertEqual(texts.setdefault(to_type, result.stdout), result.stdout)
        with self.profile.open() as stream:
            result = support.spoc("convert", "--type=docker", "-", stdin=stream)
        self.assertEqual((result.returncode, result.stdout.encode()), (0, texts["docker"]))
        several = support.DATA / "spo-seccompprofile.yaml"
        result = support.spoc("convert", "-t", "raw-seccomp", f"{several}#profile-allow-unsafe")
        self.assertEqual(json.loads(result.stdout),
                         {"defaultAction": "SCMP_ACT_ALLOW", "architectures": [], "syscalls": []})

    def test_usage(self) -> None:
        cases: List[Tuple[List[str], str]] = [
                ([], "it takes one profile, not 0"), (["a", "b"], "it takes one profile, not 2"),
                (["-t", "yaml", "a"], "-t yaml"), ([str(self.profile)], "give -t"),
                (["-t", "pfc", "-o", "", str(self.profile)], "an empty value"), (["--no", "a"], "no such option")]
        for arguments, message in cases:
            result = support.spoc("convert", *arguments)
            self.assertEqual((result.returncode, result.stdout), (2, ""))
            self.assertIn(message, result.stderr)

    def test_bad_input(self) -> None:
        bad = {"none": None, "empty": b"", "binary": b"\xff\xfe", "text": b"hello", "deep": b"[" * 10000,
               "unknown": b'{"defaultAction": "SCMP_ACT_ERRNO", "x": 1}', "large": b"#" * (17 << 20),
               "two": b"defaultAction: SCMP_ACT_LOG\n---\ndefaultAction: SCMP_ACT_LOG\n"}
        for name, data in bad.items():
            path = self.folder / name
            if data is not None:
                path.write_bytes(data)
            result = support.spoc("convert", "-t", "raw-seccomp", str(path))
            with self.subTest(name):
                self.assertEqual((result.returncode, result.stdout), (125, ""))
                self.assertRegex(result.stderr, rf"\A\S+ Error: read profile: {path}(:\d+:\d+)?: [^\n]+\n\Z")

    def test_file_is_replaced_whole(self) -> None:
        other, link = self.folder / "other", self.folder / "link"
        other.write_text("mine")
        link.symlink_to(other)
        for to_type in ALL_TYPES:
            self.assertEqual(support.spoc("convert", "-t", to_type, "-o", str(link), str(self.profile)).returncode, 0)
            self.assertTrue(stat.S_ISREG(link.lstat().st_mode))
            printed = support.spoc("convert", "-t", to_type, str(self.profile), text=False).stdout
            self.assertEqual(link.read_bytes(), printed)
        self.assertEqual(other.read_text(), "mine")
        self.assertEqual(sorted(path.name for path in self.folder.iterdir()), ["link", "other"])
        result = support.spoc("convert", "-t", "docker", "-o", str(self.folder / "no/file"), str(self.profile))
        self.assertEqual(result.returncode, 125)
        self.assertIn("make the folder", result.stderr)

    def test_terminal_gets_no_program(self) -> None:
        for option, operand in ((None, None), ("-o", "-"), ("-o", "/dev/stdout"), ("-o", "/dev/tty")):
            master, slave = pty.openpty()
            try:
                arguments = [part for part in (option, operand) if part]
                script = 'import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(1, termios.TIOCSCTTY, 0); ' \
                         'os.execv(sys.argv[1], sys.argv[1:])'
                result = subprocess.run(
                    [sys.executable, "-c", script, sys.executable, str(support.SPOC), "convert", "-t", "bpf",
                     *arguments, str(self.profile)],
                    stdin=subprocess.DEVNULL, stdout=slave, stderr=subprocess.PIPE, text=True)
                self.assertEqual(result.returncode, 2)
                self.assertIn("a terminal cannot show it", result.stderr)
            finally:
                os.close(slave)
                os.close(master)
        result = support.spoc("convert", "-t", "bpf", "-o", "/dev/null", str(self.profile))
        self.assertEqual((result.returncode, result.stderr), (0, ""))

    def test_portable(self) -> None:
        """A libc that calls openat2 or fstatat64 gets on; a no to unknown calls has it try others."""
        path = self.folder / "a.json"
        path.write_text(json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
            {"names": ["open", "stat"], "action": "SCMP_ACT_ALLOW"}]}))
        for to_type in ("seccomp", *JSON_TYPES):
            plain, portable = (read(support.spoc("convert", "-t", to_type, *options, str(path)).stdout)
                               for options in ((), ("--portable",)))
            self.assertEqual(portable.verdicts("openat"), [("SCMP_ACT_ALLOW", 0)])
            self.assertEqual(portable.default_errno, errno.EPERM if to_type == "seccomp" else errno.ENOSYS)
            self.assertEqual(plain.verdicts("openat"), [("SCMP_ACT_ERRNO", errno.EPERM)])
        drop_in = support.spoc("convert", "-t", "systemd", "--portable", str(path)).stdout
        self.assertIn("\nSystemCallErrorNumber=ENOSYS\n", drop_in)
        self.assertRegex(drop_in, r"\bopenat2?\b")

    def test_commands_of_one_letter(self) -> None:
        """Those of the Go tool."""
        for letter, name in (("r", "record"), ("x", "run"), ("m", "merge"), ("c", "convert")):
            short, whole = support.spoc(letter, "--help"), support.spoc(name, "--help")
            self.assertEqual((short.returncode, short.stdout), (0, whole.stdout))
            self.assertIn(f"usage: spoc.py {name} ", short.stdout)

    def test_value_after_an_equals_sign(self) -> None:
        """-o=FILE, as Go's flags are written, is no file named =FILE."""
        for command, option in itertools.product(spoc.COMMANDS, spoc.OPTIONS):
            if command not in option.commands.split():
                continue
            for flag in option.names.split():
                if option.metavar:
                    for value in ("a", "a=b", "=a"):
                        self.assertEqual(spoc.parse_options(command, [f"{flag}={value}"]),
                                         ({option.field: [value]}, []))
                else:
                    with self.assertRaisesRegex(spoc.UsageError, f"{command} {flag}: it takes no value"):
                        spoc.parse_options(command, [f"{flag}=yes"])
        self.assertEqual(spoc.parse_options("record", ["-qno=a", "-o", "=b", "-ob=c", "true"]),
                         ({"quiet": True, "no_base_syscalls": True, "output_file": ["a", "=b", "b=c"]}, ["true"]))

    def test_last_value_counts(self) -> None:
        first, last = self.folder / "first", self.folder / "last"
        result = support.spoc("convert", "-t", "docker", "--type=pfc", "-o", str(first), "--output-file", str(last),
                              str(self.profile))
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertFalse(first.exists())
        self.assertIn("# pseudo filter code start", last.read_text())

    def test_options_may_follow(self) -> None:
        for arguments in (["-t", "pfc", "-"], ["-", "-tpfc"], ["--type=pfc", "--", "-"], ["-", "--type", "pfc"]):
            with self.profile.open() as stream:
                result = support.spoc("convert", *arguments, stdin=stream)
            self.assertEqual((result.returncode, result.stderr), (0, ""))

    def test_what_is_left_of_an_architecture_map_is_told(self) -> None:
        result = support.spoc("convert", "-t", "docker", str(support.DATA / "docker-default.json"))
        self.assertEqual(result.returncode, 0)
        self.assertRegex(result.stderr, r"(?m)^\S+ \S+docker-default\.json: of archMap, [^\n]+$")

    def test_unknown_names_are_told(self) -> None:
        path = self.folder / "a.json"
        path.write_text(json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
            {"names": ["red"], "action": "SCMP_ACT_ALLOW"}]}))
        for to_type in ("bpf", "pfc", "systemd"):
            result = support.spoc("convert", "-t", to_type, str(path), text=False)
            self.assertEqual(result.returncode, 0)
            self.assertIn(b"skips their rules: red (did you mean read?)\n", result.stderr)


@support.kernel_tier
class Libseccomp(unittest.TestCase):
    """The same rules, given to libseccomp by other code, make the same program and the same listing."""

    def test_same_program_and_listing(self) -> None:
        require_x86_64()
        library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
        library.seccomp_init.restype = ctypes.c_void_p
        context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(0x00050000 | errno.ENOSYS)))
        self.addCleanup(library.seccomp_release, context)
        self.assertEqual(library.seccomp_arch_add(context, 0x40000003), 0)
        for action, number in ((0x7FFF0000, GETPID), (0x7FFF0000, SYS_UNAME), (0x80000000, GETPPID)):
            self.assertEqual(library.seccomp_rule_add(context, ctypes.c_uint32(action), number, 0), 0)
        document = {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": errno.ENOSYS, "architectures": [X86_64, X86],
                    "syscalls": [{"names": ["getpid", "uname"], "action": "SCMP_ACT_ALLOW"},
                                 {"names": ["getppid"], "action": "SCMP_ACT_KILL_PROCESS"}]}
        for to_type, export in ("bpf", library.seccomp_export_bpf), ("pfc", library.seccomp_export_pfc):
            descriptor = os.memfd_create("expected")
            with open(descriptor, "rb") as file:
                self.assertEqual(export(context, descriptor), 0)
                file.seek(0)
                self.assertEqual(convert(document, to_type), file.read().decode("latin-1"))


class Consumer(support.Case):
    """What a program that makes calls is answered under a converted profile."""

    def setUp(self) -> None:
        super().setUp()
        support.require_root()
        require_x86_64()
        self.call = support.build("call.c", "-pthread", "-static")

    def write(self, document: Dict[str, Any], to_type: str) -> pathlib.Path:
        given, target = self.folder / "given.json", self.folder / f"profile.{to_type}"
        given.write_text(json.dumps(document))
        result = support.spoc("convert", "-t", to_type, "-o", str(target), str(given))
        self.assertEqual(result.returncode, 0, result.stderr)
        return target

    # The number of each call, and the answer to it under the profile that follows.
    ALLOW_ANSWERS = {GETUID: "= 0", SYS_UNAME: f"! {errno.EACCES}", SYS_SCHED_YIELD: "= 0"}
    ALLOW_LIST: Dict[str, Any] = {
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": errno.EACCES, "architectures": [X86_64],
        "syscalls": [{"names": [*NEEDED, "getuid"], "action": "SCMP_ACT_ALLOW"},
                     {"names": ["sched_yield"], "action": "SCMP_ACT_LOG"}]}
    DENY_ANSWERS = {GETUID: "= 0", SYS_UNAME: f"! {errno.ENOANO}", GETPPID: "! 4094", GETPID: "= 0",
                    SYS_SCHED_YIELD: "killed 31"}
    DENY_LIST: Dict[str, Any] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["uname"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno.ENOANO},
                     {"names": ["getppid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 4094},
                     {"names": ["getpid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 0},
                     {"names": ["sched_yield"], "action": "SCMP_ACT_KILL_PROCESS"}]}

    @staticmethod
    def requests(answers: Dict[int, str]) -> str:
        """The calls as the program reads them, each to be made in a process of its own."""
        return "".join(f"nf {number} 0 0 0 0 0 0\n" for number in answers)


@support.kernel_tier
class Runtimes(Consumer):
    """Programs that start others in a container."""

    def test_bubblewrap(self) -> None:
        support.require_command("bwrap")
        for document, answers in (self.ALLOW_LIST, self.ALLOW_ANSWERS), (self.DENY_LIST, self.DENY_ANSWERS):
            with open(self.write(document, "bpf"), "rb") as program:
                result = subprocess.run(
                    ["bwrap", "--ro-bind", "/", "/", "--unshare-pid", "--seccomp", str(program.fileno()), self.call],
                    pass_fds=[program.fileno()], input=self.requests(answers), stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT, text=True, timeout=60)
            self.assertEqual((result.stdout.splitlines(), result.returncode), (list(answers.values()), 0))

    def test_runc(self) -> None:
        support.require_command("runc")
        box = ContainerCase()
        box.setUp()
        self.addCleanup(box.doCleanups)
        recorded = box.recorded_document()
        for to_type in "seccomp", "docker", "raw-seccomp":
            recorded = json.loads(self.write(recorded, "raw-seccomp").read_text())
            self.assertEqual(box.run_container(RUNC, recorded, True).returncode, 0)
        result = box.run_container(RUNC, box.without(recorded, "uname"), True)
        self.assertEqual(result.returncode, 10, result.stdout)


# A manager of its own, in namespaces and a control group of its own, runs one unit and ends with it.
MANAGER = """
mount -t tmpfs none /run
mkdir -p /run/systemd/system /run/groups /run/units/spoc-test.service.d
mount -t cgroup2 none /run/groups
cp "$1/seccomp.conf" /run/units/spoc-test.service.d
cat >/run/units/spoc-test.service <<END
[Unit]
DefaultDependencies=no
SuccessAction=exit-force
FailureAction=exit-force
[Service]
Type=oneshot
ExecStart=$2
StandardInput=file:$1/requests
StandardOutput=append:$1/answers
END
group=/run/groups/spoc-test-$$
mkdir $group
sh -c 'echo $$ >$0/cgroup.procs; exec timeout -s KILL 60 unshare --cgroup --mount --pid --fork --kill-child "$@"' \
    $group sh -c 'mount -t cgroup2 none /sys/fs/cgroup && mount -t proc none /proc &&
           env -i PATH="$PATH" XDG_RUNTIME_DIR=/run HOME=/run SYSTEMD_UNIT_PATH=/run/units \
               /lib/systemd/systemd --user --log-target=console --unit=spoc-test.service; exit 0'
for try in 1 2 3 4 5 6 7 8 9 10; do
    find $group -depth -type d -exec rmdir {} + && exit
    sleep 0.1
done
"""


@support.kernel_tier
class Systemd(Consumer):
    """systemd reads the drop-in as meant, and units under it behave so."""

    def verify(self, drop_in: str) -> Tuple[List[str], Dict[str, List[str]]]:
        """systemd's complaints about a unit with these settings, and what it has made of them."""
        support.require_command("systemd-analyze")
        unit = self.folder / "spoc-test.service"
        folder = self.folder / "spoc-test.service.d"
        folder.mkdir(exist_ok=True)
        unit.write_text("[Service]\nExecStart=/bin/true\nSystemCallFilter=~@mount\nSystemCallErrorNumber=EXDEV\n")
        (folder / "seccomp.conf").write_text(drop_in)
        result = subprocess.run(["systemd-analyze", "verify", "--man=no", str(unit)], stdout=subprocess.PIPE, text=True,
                                stderr=subprocess.PIPE, timeout=60, env={**os.environ, "SYSTEMD_LOG_LEVEL": "debug"})
        settings = {key: value.replace("~", "~ ").split() for key, value in
                    re.findall(r"^\s*(SystemCall\w+): (.*)$", result.stdout, re.MULTILINE)}
        complaints = re.findall(rf"^{folder}/.*$", result.stderr, re.MULTILINE)
        # Its own @default may hold names that are newer than its libseccomp.
        return [line for line in complaints if line.split()[-1] not in self.always_permitted()], settings

    @staticmethod
    def always_permitted() -> List[str]:
        return subprocess.run(["systemd-analyze", "syscall-filter", "@default"], stdout=subprocess.PIPE, text=True,
                              check=True).stdout.split()

    def check(self, document: Dict[str, Any], **expected: str) -> None:
        complaints, settings = self.verify(convert(document, "systemd"))
        self.assertEqual(complaints, [])
        self.assertEqual({key: sorted(words) for key, words in settings.items()},
                         {f"SystemCall{key}": sorted(words.split()) for key, words in expected.items()})

    def test_allow_list_is_exact(self) -> None:
        """Nothing is left of what the unit has, nor of what systemd adds to every allow list."""
        self.check(self.ALLOW_LIST, Filter=" ".join([*NEEDED, "getuid", "sched_yield"]), Architectures="x86-64",
                   ErrorNumber="EACCES")
        self.check({"defaultAction": "SCMP_ACT_KILL_PROCESS",
                    "architectures": [X86, "SCMP_ARCH_NATIVE", "SCMP_ARCH_X32"]},
                   Filter="", Architectures="x86 native x32", ErrorNumber="kill")

    def test_deny_list_is_exact(self) -> None:
        self.check(self.DENY_LIST, Filter="~ sched_yield uname:ENOANO getppid:4094 getpid:0", Architectures="native",
                   ErrorNumber="kill")

    def test_units_behave_so(self) -> None:
        """A call of a unit is answered as the profile says: getppid and the like are not what they are elsewhere."""
        support.require_command("unshare")
        support.require(os.path.exists("/lib/systemd/systemd"), "systemd")
        answers = {**self.ALLOW_ANSWERS, GETPPID: f"! {errno.EACCES}"}  # which systemd's @default would allow
        for document, expected in (self.ALLOW_LIST, answers), (self.DENY_LIST, self.DENY_ANSWERS):
            self.write(document, "systemd").rename(self.folder / "seccomp.conf")
            (self.folder / "requests").write_text(self.requests(expected))
            (self.folder / "answers").write_text("")
            result = subprocess.run(["unshare", "--mount", "--propagation", "private", "sh", "-ec", MANAGER, "sh",
                                     str(self.folder), self.call], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                    stderr=subprocess.STDOUT, text=True, timeout=100)
            self.assertEqual((self.folder / "answers").read_text().splitlines(), list(expected.values()), result.stdout)

    def test_every_errno(self) -> None:
        names = [name for name in (spoc.syscall_name(spoc.X86_64, number) for number in range(330)) if name]
        rules = [{"names": [name], "action": "SCMP_ACT_ERRNO", "errnoRet": number}
                 for name, number in zip(names, sorted(errno.errorcode))]
        complaints, settings = self.verify(convert({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}, "systemd"))
        self.assertEqual(complaints, [])
        # It calls some errnos by another of their names.
        found = dict(word.split(":") for word in settings["SystemCallFilter"] if word != "~")
        self.assertEqual({name: int(getattr(errno, word, word)) for name, word in found.items()},
                         {rule["names"][0]: rule["errnoRet"] for rule in rules})  # type: ignore[index]

    def test_errno_that_is_new(self) -> None:
        """Python has its name from the C library, and this systemd may have none."""
        document = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["uname"], "action": "SCMP_ACT_ERRNO", "errnoRet": 134}]}
        with unittest.mock.patch.dict(errno.errorcode, {134: "EFTYPE"}):
            self.assertIn("SystemCallFilter=~uname:134\n", convert(document, "systemd"))

    def test_architectures(self) -> None:
        """Each name is one that it knows, apart from those of newer versions."""
        for name in spoc.SYSTEMD_ARCHITECTURES:
            complaints, _ = self.verify(convert({"defaultAction": "SCMP_ACT_ALLOW",
                                                 "architectures": ["SCMP_ARCH_" + name]}, "systemd"))
            self.assertEqual(complaints and name, "LOONGARCH64" if complaints else [])

    def test_unknown_name_is_warned_of(self) -> None:
        complaints, settings = self.verify(convert({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
            {"names": ["read", "red"], "action": "SCMP_ACT_ALLOW"}]}, "systemd"))
        self.assertEqual((len(complaints), settings["SystemCallFilter"]), (1, ["read"]))
        self.assertIn("red", complaints[0])


if __name__ == "__main__":
    unittest.main()
