# SPDX-License-Identifier: MIT
"""`record --args`: the values found are those that strace sees, and under the profile the others are refused, by
spoc.py and by runc.
"""

import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time
import unittest
import zlib
from typing import Any, Dict, List, Sequence, Set, Tuple

import jsonschema
import yaml

from cases import kernel_ids
from support import DATA, OBJECT, ON_X86_64, ROOT, SOURCE, SPOC, Case, build, require_command, require_root, spoc

sys.path.insert(0, str(ROOT))
import spoc as module  # noqa: E402

TIER = "kernel"
EPERM, EINVAL = "! 1", "! 22"
UPPER = 0xFFFFFFFF00000000  # of a register
WHOLE = 0xFFFFFFFF
TIOCGPTN, TCGETS = 0x80045430, 0x5401  # asm-generic/ioctls.h
PR_GET_DUMPABLE, PR_GET_KEEPCAPS = 3, 7  # linux/prctl.h
CLONE_THREAD, CLONE_SIGHAND = 0x10000, 0x800  # linux/sched.h: without CLONE_VM both are EINVAL
CRD = yaml.safe_load((DATA / "seccompprofile-crd.yaml").read_text())


def values_of(document: Dict[str, Any]) -> Dict[str, Set[int]]:
    """The values of each narrowed syscall of a raw profile; none, an empty set, if it is allowed whatever they are."""
    found: Dict[str, Set[int]] = {}
    for rule in document["syscalls"]:
        assert rule["action"] == "SCMP_ACT_ALLOW", rule
        for name in rule["names"]:
            values = found.setdefault(name, set())
            for condition in rule.get("args", []):
                assert (condition["op"], condition["value"]) == ("SCMP_CMP_MASKED_EQ", WHOLE), rule
                assert condition["index"] == module.ARGUMENTS[name], rule
                values.add(condition["valueTwo"])
    return found


class ArgsCase(Case):
    """Records with --args, and makes calls under what was recorded."""

    def setUp(self) -> None:
        super().setUp()
        require_root()
        self.profile = self.folder / "profile.json"
        self.log = ""

    def narrowed(self, names: str, *command: str, options: Sequence[str] = ("-n",), **run: Any) -> Dict[str, Any]:
        """The raw profile of a command; self.log is what was said."""
        result = spoc("record", *options, "--args", names, "-t", "raw-seccomp", "-o", str(self.profile), "--",
                      *command, **run)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.log = result.stderr
        document: Dict[str, Any] = json.loads(self.profile.read_text())
        return document

    def calls(self, *calls: Tuple[str, Sequence[int]], how: str = "n", architecture: Any = None) -> pathlib.Path:
        """A file that has tests/programs/call.c make these calls."""
        lines = []
        for name, arguments in calls:
            number = module.syscall_number(name)
            if architecture is not None:
                number = next(each for each in range(1024) if module.syscall_name(architecture, each) == name)
            lines.append(" ".join(map(str, [how, number, *arguments, *[0] * (6 - len(arguments))])))
        path = self.folder / "calls"
        path.write_text("".join(line + "\n" for line in lines))
        return path

    def record_calls(self, program: str, names: str, *calls: Tuple[str, Sequence[int]], **how: Any) -> Dict[str, Any]:
        with open(self.calls(*calls, **how), encoding="utf-8") as stdin:
            return self.narrowed(names, program, stdin=stdin)

    def answers(self, program: str, *calls: Tuple[str, Sequence[int]], **how: Any) -> List[str]:
        """What calls under the profile get."""
        with open(self.calls(*calls, **how), encoding="utf-8") as stdin:
            result = spoc("run", "-q", "-b", "execve", "-p", str(self.profile), "--", program, stdin=stdin)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout.splitlines()


class Narrowed(ArgsCase):
    """What was not seen is refused."""

    def test_socket(self) -> None:
        program = build("call.c", "-pthread", "-static")
        document = self.record_calls(program, "socket", ("socket", [socket.AF_INET, 2, 0]))
        self.assertEqual({name: values for name, values in values_of(document).items() if values},
                         {"socket": {socket.AF_INET}})
        self.assertIn("Narrowed socket by argument 0: 0x2 (AF_INET)\n", self.log)
        tried = [(("socket", [family, 2, 0])) for family in (socket.AF_INET, socket.AF_UNIX, socket.AF_NETLINK,
                                                             UPPER | socket.AF_INET, UPPER | socket.AF_UNIX)]
        expected = ["=", EPERM, EPERM, "=", EPERM]
        self.assertEqual([answer.rstrip(" 3456789") for answer in self.answers(program, *tried)], expected)
        with self.subTest("runc"):
            self.assertEqual([answer.rstrip(" 3456789") for answer in self.runc(program, document, *tried)], expected)

    def runc(self, program: str, document: Dict[str, Any], *calls: Tuple[str, Sequence[int]]) -> List[str]:
        """What the calls get in a container under this profile with runc's base syscalls."""
        require_command("runc")
        root = self.folder / "rootfs"
        for name in ("proc", "dev"):
            (root / name).mkdir(parents=True)
        (root / "call").write_bytes(pathlib.Path(program).read_bytes())
        (root / "call").chmod(0o755)
        document["syscalls"].append({"names": [*module.BASE_SYSCALLS], "action": "SCMP_ACT_ALLOW"})
        configuration = {
            "ociVersion": "1.0.2", "root": {"path": "rootfs"},
            "process": {"user": {"uid": 0, "gid": 0}, "args": ["/call"], "cwd": "/", "noNewPrivileges": True},
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
            "linux": {"namespaces": [{"type": name} for name in ("pid", "mount", "ipc", "uts")], "seccomp": document}}
        (self.folder / "config.json").write_text(json.dumps(configuration))
        runc = ["runc", "--root", str(self.folder / "state")]
        try:
            with open(self.calls(*calls), encoding="utf-8") as stdin:
                result = subprocess.run([*runc, "run", "--bundle", str(self.folder), self.folder.name], stdin=stdin,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
        finally:
            subprocess.run([*runc, "delete", "--force", self.folder.name], stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
        self.assertEqual(result.returncode, 0, result.stdout)
        return result.stdout.splitlines()

    def test_others(self) -> None:
        program = build("call.c", "-pthread", "-static")
        used = [("ioctl", [0, TIOCGPTN]), ("ioctl", [0, UPPER | TCGETS]), ("prctl", [PR_GET_DUMPABLE]),
                ("personality", [WHOLE]), ("clone", [CLONE_THREAD]), ("fcntl", [0, 1]), ("madvise", [0, 0, 9])]
        document = self.record_calls(program, "ioctl,prctl,personality,clone,fcntl,madvise,keyctl", *used)
        self.assertEqual(
            {name: values for name, values in values_of(document).items() if values},
            {"ioctl": {TIOCGPTN, TCGETS}, "prctl": {PR_GET_DUMPABLE}, "personality": {WHOLE},
             "clone": {CLONE_THREAD}, "fcntl": {1}, "madvise": {9}})
        self.assertEqual(re.findall("--args (.*)", self.log), ["has narrowed nothing of what was not called: keyctl"])
        self.assertNotIn(EPERM, self.answers(program, *used, ("ioctl", [0, UPPER | TIOCGPTN])))
        refused: List[Tuple[str, Sequence[int]]] = [
            ("ioctl", [0, TCGETS + 1]), ("prctl", [PR_GET_KEEPCAPS]), ("personality", [0]), ("clone", [CLONE_SIGHAND]),
            ("fcntl", [0, 3]), ("madvise", [0, 0, 4])]
        self.assertEqual(self.answers(program, *refused), [EPERM] * len(refused))
        # It is the profile that refuses them.
        with open(self.calls(*refused), encoding="utf-8") as stdin:
            bare = subprocess.run([program], stdin=stdin, stdout=subprocess.PIPE, text=True, check=True)
        self.assertNotIn(EPERM, bare.stdout)

    def test_32_bit_program(self) -> None:
        """A rule is for all architectures of its profile: values of both."""
        if not ON_X86_64:
            raise unittest.SkipTest("needs gcc -m32")
        both, narrow = build("call.c", "-pthread", "-static"), build("call.c", "-pthread", "-static", "-m32")
        document = self.record_calls(narrow, "socket", ("socket", [socket.AF_INET, 2]), architecture=module.X86)
        self.assertEqual(values_of(document)["socket"], {socket.AF_INET})
        self.assertIn("SCMP_ARCH_X86", document["architectures"])
        answers = self.answers(narrow, ("socket", [socket.AF_INET, 2]), ("socket", [socket.AF_UNIX, 2]),
                               architecture=module.X86)
        self.assertEqual([answer[:3].rstrip() for answer in answers], ["= 3", EPERM])
        # int 0x80 from 64-bit code, and the same call by the other convention.
        calls = self.calls(("socket", [socket.AF_INET, 2]), how="i", architecture=module.X86).read_text()
        calls += self.calls(("socket", [socket.AF_UNIX, 2])).read_text()
        (self.folder / "calls").write_text(calls)
        with open(self.folder / "calls", encoding="utf-8") as stdin:
            self.assertEqual(values_of(self.narrowed("socket", both, stdin=stdin))["socket"],
                             {socket.AF_INET, socket.AF_UNIX})

    def test_x32_call(self) -> None:
        """sys_enter shows it even where the kernel has no x32; its arguments are not looked at."""
        if not ON_X86_64:
            raise unittest.SkipTest("needs x86-64")
        path = self.calls(("socket", [socket.AF_INET, 2]))
        path.write_text(path.read_text() + f"n {module.X32_SYSCALL_BIT | 41} 1 2 0 0 0 0\n")
        with open(path, encoding="utf-8") as stdin:
            document = self.narrowed("socket", build("call.c", "-pthread", "-static"), stdin=stdin)
        self.assertEqual(values_of(document)["socket"], set())
        self.assertIn("socket is allowed whatever its arguments: more than 64 values", self.log)

    def test_what_a_tracer_changes(self) -> None:
        if not ON_X86_64:
            raise unittest.SkipTest("needs the registers of x86-64")
        document = self.narrowed("socket", build("args.c"), "trace")
        self.assertEqual(values_of(document)["socket"], {socket.AF_INET})
        result = spoc("run", "-q", "-b", "execve", "-p", str(self.profile), "--", build("args.c"), "trace")
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_socketcall(self) -> None:
        """It holds its arguments in memory, and may make any socket."""
        if not ON_X86_64:
            raise unittest.SkipTest("needs gcc -m32")
        program = build("call.c", "-pthread", "-static", "-m32")
        document = self.record_calls(program, "socket", ("socketcall", [1, 0]), architecture=module.X86)
        self.assertEqual(values_of(document)["socketcall"], set())
        self.assertIn("socketcall is allowed whatever its arguments: they are in memory", self.log)


class Truth(ArgsCase):
    """No value is missing, and none is there that was not used."""

    # Not futex: whether a thread has to wait differs from run to run.
    NAMES = ("socket", "ioctl", "fcntl", "prctl", "madvise", "setsockopt", "lseek", "mprotect", "prlimit64")
    SCRIPT = ("import socket, subprocess, threading, os, fcntl, pathlib, resource\n"
              "threading.Thread(target=socket.socket, args=(socket.AF_UNIX,)).start()\n"
              "s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.set_inheritable(True)\n"
              "resource.getrlimit(resource.RLIMIT_CORE); open('/etc/passwd').seek(0, 2); os.isatty(0)\n"
              "subprocess.run(['sh', '-c', 'ls / | head -1'], stdout=subprocess.DEVNULL)\n")

    def test_strace_sees_the_same(self) -> None:
        require_command("strace")
        command = ("/usr/bin/python3", "-I", "-c", self.SCRIPT)
        log = self.folder / "strace"
        subprocess.run(["strace", "-f", "-X", "raw", "-e", "signal=none", "-o", str(log), "-e",
                        "trace=" + ",".join(self.NAMES), *command], check=True, stdin=subprocess.DEVNULL)
        traced: Dict[str, Set[int]] = {}
        for name, arguments in re.findall(r"^\d+ +(\w+)\(([^)<]*)", log.read_text(), re.MULTILINE):
            value = arguments.split(",")[module.ARGUMENTS[name]].split("}")[0]
            traced.setdefault(name, set()).add(int(value, 0) & WHOLE)
        for backend in ("bpf", "notify"):
            with self.subTest(backend=backend):
                document = self.narrowed(",".join(self.NAMES), *command, options=("-n", "--backend", backend))
                self.assertEqual({name: values for name, values in values_of(document).items() if name in self.NAMES},
                                 traced)
        self.assertGreaterEqual(traced.keys(), {"socket", "ioctl", "fcntl", "setsockopt", "lseek", "mprotect"})

    def test_up_to_64_values_at_the_same_time(self) -> None:
        number = str(module.syscall_number("fcntl"))
        document = self.narrowed("fcntl", build("args.c"), "storm", number, "1000", "64")
        self.assertEqual(values_of(document)["fcntl"], set(range(1000, 1064)))
        self.assertEqual(len(document["syscalls"]), 65)

    def test_more_are_allowed_whatever_they_are(self) -> None:
        number = str(module.syscall_number("fcntl"))
        for count, backend in (("65", "bpf"), ("1000", "bpf"), ("65", "notify")):
            document = self.narrowed("fcntl,personality", build("args.c"), "storm", number, "1000", count,
                                     options=("-n", "--backend", backend))
            self.assertEqual(values_of(document)["fcntl"], set())
            self.assertEqual(len(document["syscalls"]), 1)
            self.assertIn("fcntl is allowed whatever its arguments: more than 64 values", self.log)

    def test_stats_checkpoint_and_follow(self) -> None:
        program = build("call.c", "-pthread", "-static")
        with open(self.calls(("socket", [socket.AF_INET, 2])), encoding="utf-8") as stdin:
            document = self.narrowed("socket", program, stdin=stdin, options=("-n", "--stats", "--follow"))
        self.assertEqual(values_of(document)["socket"], {socket.AF_INET})
        self.assertRegex(self.log, r"(?m)^socket +1 ")
        self.profile.unlink()
        code = "import socket, time; socket.socket(); time.sleep(60)"
        with subprocess.Popen([sys.executable, str(SPOC), "record", "-q", "-n", "--args", "socket", "--checkpoint", "1",
                               "-t", "raw-seccomp", "-o", str(self.profile), "--", "/usr/bin/python3", "-c", code],
                              stderr=subprocess.PIPE) as process:
            try:
                while not self.profile.exists() or "socket" not in values_of(json.loads(self.profile.read_text())):
                    self.assertIsNone(process.poll())
                    time.sleep(0.1)
                self.assertEqual(values_of(json.loads(self.profile.read_text()))["socket"], {socket.AF_INET})
            finally:
                process.send_signal(signal.SIGTERM)


class Written(ArgsCase):
    """The profile's text, and what it is joined with."""

    def test_crd(self) -> None:
        path = self.folder / "profile.yaml"
        program = build("call.c", "-pthread", "-static")
        for options in ((), ("--append",), ("--append",)):
            calls = self.calls(("socket", [2 + len(options), 2]), ("personality", [WHOLE]))
            with open(calls, encoding="utf-8") as stdin:
                result = spoc("record", "-n", "--args", "socket,personality", *options, "-o", str(path), "--", program,
                              stdin=stdin)
            self.assertEqual(result.returncode, 0, result.stderr)
        document = yaml.safe_load(path.read_text())
        schema = next(version["schema"]["openAPIV3Schema"] for version in CRD["spec"]["versions"]
                      if document["apiVersion"].endswith("/" + version["name"]))
        jsonschema.validate({**document, "metadata": {"name": "call"}}, schema)
        values = values_of(document["spec"])
        self.assertEqual((values["socket"], values["personality"]), ({2, 3}, {WHOLE}))
        self.assertEqual(len(document["spec"]["syscalls"]), 4)

    def append(self, text: str, *calls: Tuple[str, Sequence[int]]) -> Tuple[str, str]:
        """What becomes of a YAML profile, and what is said."""
        path = self.folder / "profile.yaml"
        path.write_text(text)
        with open(self.calls(*calls), encoding="utf-8") as stdin:
            result = spoc("record", "-n", "--args", "socket", "--append", "-o", str(path), "--",
                          build("call.c", "-pthread", "-static"), stdin=stdin)
        self.assertEqual(result.returncode, 0, result.stderr)
        return path.read_text(), result.stderr

    HEAD = ("# mine\napiVersion: security-profiles-operator.x-k8s.io/v1\nkind: SeccompProfile\n"
            "spec:\n  defaultAction: SCMP_ACT_ERRNO\n  syscalls:\n")

    def test_append_keeps_comments_and_adds(self) -> None:
        text, _ = self.append(self.HEAD + "  - action: SCMP_ACT_ALLOW\n    names:\n    - read  # files\n    - write\n",
                              ("socket", [2, 2]))
        self.assertIn("# mine\n", text)
        self.assertIn("- read  # files\n", text)
        rules = yaml.safe_load(text)["spec"]["syscalls"]
        self.assertEqual(values_of({"syscalls": rules})["socket"], {2})
        again, _ = self.append(text, ("socket", [2, 2]))
        self.assertEqual(again, text)

    def test_append_twice_changes_no_byte(self) -> None:
        """Nor does a value of 0, for which a rule needs no valueTwo."""
        program, path = build("call.c", "-pthread", "-static"), self.folder / "profile"
        calls = self.calls(("socket", [0, 2]), ("socket", [2, 2]), ("personality", [WHOLE]))
        for profile_type, text in (("seccomp", self.HEAD.replace("syscalls:", "syscalls: null  # none")),
                                   ("raw-seccomp", '{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": '
                                                   '["socket"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, '
                                                   '"value": 4294967295, "op": "SCMP_CMP_MASKED_EQ"}]}]}')):
            for options in (("-n",), ("-n", "--portable"), ("-b", "sync,getpid"), ("-n", "--checkpoint", "1")):
                path.write_text(text, encoding="utf-8")
                texts = []
                for _ in range(2):
                    with open(calls, encoding="utf-8") as stdin:
                        result = spoc("record", *options, "-t", profile_type, "--args", "socket,personality",
                                      "--append", "-o", str(path), "--", program, stdin=stdin)
                    self.assertEqual(result.returncode, 0, result.stderr)
                    texts.append(path.read_text(encoding="utf-8"))
                with self.subTest(type=profile_type, options=options):
                    self.assertEqual(texts[0], texts[1])
                    document = yaml.safe_load(texts[0])
                    rules = [rule for rule in document.get("spec", document)["syscalls"] if "socket" in rule["names"]]
                    self.assertEqual(sorted(rule["args"][0].get("valueTwo", 0) for rule in rules), [0, 2])

    def test_checkpoints_of_one_run_add_nothing_twice(self) -> None:
        path = self.folder / "profile"
        program = self.launch(sys.executable, str(SPOC), "record", "-q", "-n", "-t", "raw-seccomp", "--args",
                              "socket", "--append", "--checkpoint", "1", "-o", str(path), "--",
                              build("call.c", "-pthread", "-static"), stdin=subprocess.PIPE)
        assert program.stdin
        for name in ("socket", "getppid"):
            program.stdin.write(self.calls((name, [0, 2])).read_bytes())
            program.stdin.flush()
            while not path.exists() or f'"{name}"' not in path.read_text(encoding="utf-8"):
                self.assertIsNone(program.poll())
                time.sleep(0.1)
        program.stdin.close()
        self.assertEqual(program.wait(), 0)
        rules = json.loads(path.read_text(encoding="utf-8"))["syscalls"]
        self.assertEqual([len(rule["names"]) for rule in rules if "socket" in rule["names"]], [1])

    def test_append_to_what_allows_all(self) -> None:
        text, _ = self.append(self.HEAD + "  - action: SCMP_ACT_ALLOW\n    names: [socket]\n", ("socket", [2, 2]))
        self.assertEqual(values_of({"syscalls": yaml.safe_load(text)["spec"]["syscalls"]})["socket"], set())

    def test_append_to_what_refuses(self) -> None:
        text, said = self.append(self.HEAD + "  - action: SCMP_ACT_KILL\n    names:\n    - socket\n",
                                 ("socket", [2, 2]))
        rules = [rule for rule in yaml.safe_load(text)["spec"]["syscalls"] if "socket" in rule["names"]]
        self.assertEqual(rules, [{"action": "SCMP_ACT_KILL", "names": ["socket"]}])
        self.assertIn("kept the other action", said)

    def test_append_names_only_what_is_refused(self) -> None:
        calls = "socket", [2, 2]
        text, _ = self.append("", calls)
        name = min(name for rule in yaml.safe_load(text)["spec"]["syscalls"] if "args" not in rule
                   for name in rule["names"])
        _, said = self.append(self.HEAD + f"  - action: SCMP_ACT_KILL\n    names:\n    - {name}\n", calls)
        self.assertRegex(said, rf"kept the other action that \S+ has for: {name}\n")

    def test_base_syscalls_stay_whole(self) -> None:
        program = build("call.c", "-pthread", "-static")
        for options, values in (((), set()), (("-b", "socket"), {PR_GET_DUMPABLE}), (("-b", "prctl"), set())):
            with open(self.calls(("prctl", [PR_GET_DUMPABLE])), encoding="utf-8") as stdin:
                document = self.narrowed("prctl", program, stdin=stdin, options=options)
            self.assertEqual(values_of(document)["prctl"], values)
            self.assertEqual("prctl is allowed whatever its arguments: it is one of the base syscalls" in self.log,
                             not values)
            self.assertEqual("--args prctl will narrow nothing: " in self.log.partition("Processing events")[0],
                             not values)


class Refused(ArgsCase):
    """Wrong names, and kernels that do not let arguments be read."""

    def test_usage(self) -> None:
        for names in ("openat", "socket,no_such", "socket,", ""):
            result = spoc("record", "--args", names, "-o", str(self.profile), "true")
            self.assertEqual(result.returncode, 2, result.stderr)
            self.assertIn("--args", result.stderr)
        self.assertIn("personality, prctl", spoc("record", "--args", "openat", "true").stderr)

    def test_lockdown(self) -> None:
        """A kernel in lockdown mode confidentiality knows no helper 113, bpf_probe_read_kernel."""
        data = OBJECT.read_bytes().replace(b"\x85\0\0\0\x71\0\0\0", b"\x85\0\0\0\xa0\x86\1\0")
        (self.folder / "recorder.bpf.o").write_bytes(data)
        (self.folder / "spoc.py").write_text(re.sub("OBJECT_CRC32 = 0x[0-9A-F]+", f"OBJECT_CRC32 = {zlib.crc32(data)}",
                                                    SOURCE.read_text()))
        command = [sys.executable, str(self.folder / "spoc.py"), "record", "-q", "-n", "-o", str(self.profile)]
        command += ["--args", "lseek", "-t", "raw-seccomp"]
        result = subprocess.run([*command, "--backend", "bpf", "true"], stderr=subprocess.PIPE, text=True)
        self.assertEqual(result.returncode, 125, result.stderr)
        self.assertRegex(result.stderr, r"^\S+ Error: [^\n]*--args[^\n]*lockdown[^\n]*\n$")
        # The other backend is given the arguments.
        subprocess.run([*command, "/usr/bin/python3", "-I", "-c", "open('/etc/passwd').seek(0, 2)"], check=True)
        self.assertIn(os.SEEK_END, values_of(json.loads(self.profile.read_text()))["lseek"])

    def test_costs_nothing_unless_asked_for(self) -> None:
        require_command("bpftool")
        uname = os.uname()
        cases: List[Dict[Tuple[int, int], int]] = [{}, {(0, 41): 0}]
        for watched in cases:
            with module.BpfRecorder(module.machine_of(uname.machine, uname.release), watched=watched) as recorder:
                recorder.load()
                shown = {kind: {each["name"]: each for number in kernel_ids(kind) for each in [json.loads(
                    subprocess.run(["bpftool", "-j", kind, "show", "id", str(number)], stdout=subprocess.PIPE,
                                   check=True).stdout)]} for kind in ("prog", "map")}
            self.assertEqual("enter_direct" in shown["prog"], os.path.exists(module.KERNEL_BTF) and not watched)
            self.assertEqual(shown["map"]["values"]["max_entries"] > 1, bool(watched))


if __name__ == "__main__":
    unittest.main()
