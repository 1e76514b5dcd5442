# SPDX-License-Identifier: MIT
"""Container runtimes take a recorded profile as it is, and a container under it can do what was recorded, no more."""

import errno
import json
import random
import re
import shutil
import subprocess
import sys
import unittest
from typing import Any, Dict, List, Sequence, Tuple

import spoc as module
from cases import CRUN, FREE, RUNC, ContainerCase, call_line
from support import (COMPARISONS, MAX_32, MAX_64, ON_X86_64, SPOC, Case, answer, build, require_command, require_root,
                     spoc)

TIER = "kernel"


class Container(ContainerCase):
    """A recorded profile, and a container under it."""

    def assert_profile_is_applied(self, runtime: Sequence[str]) -> None:
        document = self.recorded_document()
        for no_new_privileges in (True, False):
            with self.subTest(noNewPrivileges=no_new_privileges):
                result = self.run_container(runtime, document, no_new_privileges)
                self.assertEqual(result.returncode, 0, result.stdout)
                # The container starts and gets as far as that call.
                result = self.run_container(runtime, self.without(document, "uname"), no_new_privileges)
                self.assertEqual(result.returncode, 10, result.stdout)

    def test_runc(self) -> None:
        require_command("runc")
        self.assert_profile_is_applied(RUNC)

    def test_crun(self) -> None:
        require_command("crun")
        self.assert_profile_is_applied(CRUN)

    def loaded_flags(self, *command: str) -> str:
        """What the last filter that the command loads is loaded with, as strace sees it."""
        log = self.folder / "strace"
        log.unlink(missing_ok=True)
        result = subprocess.run(["strace", "-f", "-qq", "-e", "trace=seccomp", "-o", str(log), *command],
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                timeout=60)
        found = re.findall(r"seccomp\(SECCOMP_SET_MODE_FILTER, ([^,]*), {[^)]*\) = 0", log.read_text())
        self.assertTrue(found, result.stdout)
        return str(found[-1])

    def test_flags_are_those_of_a_runtime(self) -> None:
        """Without a list of them there is a default; an empty list has none. What is converted or merged says so too.
        """
        require_command("crun", "strace")
        path = self.folder / "profile.json"
        cases: "list[Dict[str, Any]]" = [{}, {"flags": None}, *({"flags": list(names)} for names in (
            (), ("SECCOMP_FILTER_FLAG_LOG",), ("SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW")))]
        for case in cases:
            with self.subTest(case=case):
                document = {"defaultAction": "SCMP_ACT_ALLOW", **case, "syscalls": [
                    {"names": ["getppid"], "action": "SCMP_ACT_ERRNO"}]}
                self.run_container(CRUN, document, False)  # which writes config.json
                name, runtime = self.folder.name, (*CRUN, "--root", str(self.folder / "state"))
                try:
                    expected = self.loaded_flags(*runtime, "run", "--bundle", str(self.folder), name)
                finally:
                    subprocess.run([*runtime, "delete", "--force", name], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
                path.write_text(json.dumps(document))
                for command in (("convert", "-t", "raw-seccomp", str(path)), ("merge", str(path), str(path)), ()):
                    result = spoc(*command)
                    if command:
                        self.assertEqual(result.returncode, 0, result.stderr)
                        (self.folder / "written.json").write_text(result.stdout)
                    profile = str(self.folder / "written.json" if command else path)
                    self.assertEqual(expected, self.loaded_flags(sys.executable, str(SPOC), "run", "--enricher", "none",
                                                                 "-p", profile, "true"))

    def test_base_syscalls_are_needed(self) -> None:
        """What the command itself calls does not let a runtime start it."""
        require_command("runc")
        result = self.run_container(RUNC, self.recorded_document("-n"), True)
        self.assertNotIn(result.returncode, (0, 10, 11, 12, 13), result.stdout)


def allowing(architecture: Any, last: int, *rules: Dict[str, Any], action: str = "SCMP_ACT_ERRNO",
             architectures: Sequence[str] = ("X86_64",), **keys: Any) -> Dict[str, Any]:
    """A profile that names every call of an architecture up to this number, but for getppid, which it denies."""
    names = {name for name in (module.syscall_name(architecture, number) for number in range(last + 1)) if name}
    return {"defaultAction": action, "architectures": [f"SCMP_ARCH_{name}" for name in architectures], "syscalls": [
        {"names": sorted(names - {"getppid"}), "action": "SCMP_ACT_ALLOW"},
        {"names": ["getppid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 133}, *rules], **keys}


class CallsCase(Case):
    """Has a runtime answer what tests/programs/call.c calls in a container."""

    def setUp(self) -> None:
        super().setUp()
        require_root()
        root = self.folder / "rootfs"
        for name in ("dev", "proc"):
            (root / name).mkdir(parents=True)
        self.program = root / "call"
        shutil.copy(build("call.c", "-static"), self.program)
        self.calls = self.folder / "calls"

    def answers(self, result: "subprocess.CompletedProcess[str]") -> List[str]:
        self.assertEqual(result.returncode, 0, result)
        return re.sub(r"(?m)^= \d+$", "=", result.stdout).splitlines()

    def in_container(self, runtime: Sequence[str], document: Dict[str, Any]) -> List[str]:
        (self.folder / "config.json").write_text(json.dumps({
            "ociVersion": "1.0.2", "root": {"path": "rootfs"},
            "process": {"user": {"uid": 0, "gid": 0}, "args": ["/call"], "cwd": "/", "noNewPrivileges": True},
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
            "linux": {"namespaces": [{"type": name} for name in ("pid", "mount", "ipc", "uts")],
                      "seccomp": document}}))
        command = [*runtime, "--root", str(self.folder / "state")]
        try:
            with open(self.calls, encoding="utf-8") as stdin:
                return self.answers(subprocess.run([*command, "run", "--bundle", str(self.folder), self.folder.name],
                                                   stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                                   text=True, timeout=60))
        finally:
            subprocess.run([*command, "delete", "--force", self.folder.name], stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)


@unittest.skipUnless(ON_X86_64, "needs x86_64, whose syscall numbers are here")
class Oracle(CallsCase):
    """What the other tests' evaluation of a profile says is what the runtimes and the kernel do."""

    DEFAULTS = ("SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRAP", "SCMP_ACT_TRACE")
    ROUNDS, CALLS = 5, 8
    VALUES = (0, 1, 2, 3, 4, 7, MAX_32, 1 << 32, 1 << 32 | 5, 1 << 63, MAX_64)

    def random_rules(self, chance: random.Random, name: str) -> List[Dict[str, Any]]:
        """One rule with conditions at most: libseccomp 2.5.4 makes mistakes with several (test_filters, Order)."""
        rules: List[Dict[str, Any]] = []
        for conditions in chance.choice(((), (0,), (1,), (2,), (3,), (1, 0), (0, 1), (0, 0))):
            action = chance.choice(("ALLOW", "ERRNO", "ERRNO", "TRACE", "TRAP", "KILL_PROCESS"))
            rule: Dict[str, Any] = {"names": [name], "action": f"SCMP_ACT_{action}"}
            if action == "ERRNO" and chance.random() < 0.8:
                rule["errnoRet"] = chance.choice((1, 13, 38))
            indexes = chance.sample(range(6), conditions)
            if conditions == 2 and chance.random() < 0.5:
                indexes[1] = indexes[0]
            rule["args"] = [{"index": index, "op": chance.choice(list(COMPARISONS)),
                             "value": chance.choice(self.VALUES), "valueTwo": chance.choice(self.VALUES)}
                            for index in indexes]
            rules.append(rule)
        return rules

    def word(self, verdict: Tuple[str, int]) -> str:
        action, number = verdict
        return {"SCMP_ACT_ALLOW": "=", "SCMP_ACT_ERRNO": f"! {number}", "SCMP_ACT_TRACE": "! 38",
                "SCMP_ACT_TRAP": "trap"}.get(action, "killed 31")

    def assert_agrees(self, runtime: Sequence[str]) -> None:
        chance = random.Random(20240818)
        names = {name for name in map(lambda number: module.syscall_name(module.X86_64, number), range(450)) if name}
        seen = set()
        for default in self.DEFAULTS * self.ROUNDS:
            document: Dict[str, Any] = {"defaultAction": default, "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [
                {"names": sorted(names - set(FREE)), "action": "SCMP_ACT_ALLOW"}]}
            for name in FREE:
                document["syscalls"] += self.random_rules(chance, name)
            given = [(name, [chance.choice(self.VALUES) for _ in range(6)]) for name in FREE for _ in range(self.CALLS)]
            self.calls.write_text("".join(call_line("nf", FREE[name], arguments) + "\n" for name, arguments in given))
            found = self.in_container(runtime, document)
            self.assertEqual(len(found), len(given))
            for (name, arguments), answered in zip(given, found):
                expected = self.word(answer(document, name, arguments))
                seen.add(expected)
                self.assertEqual(answered.partition(" 1 ")[0], expected, (default, name, arguments, [
                    rule for rule in document["syscalls"] if rule["names"] == [name]]))
        self.assertEqual(len(seen), 6)

    def test_runc(self) -> None:
        require_command("runc")
        self.assert_agrees(RUNC)

    def test_crun(self) -> None:
        require_command("crun")
        self.assert_agrees(CRUN)


@unittest.skipUnless(ON_X86_64, "needs x86_64, whose syscall numbers are here")
class NewerCalls(CallsCase):
    """Calls that are newer than all that a profile names get the same answers from a runtime and from run --as."""

    PIDFD_OPEN, CLONE3, FUTEX_WAITV = 434, 435, 449
    NUMBERS = (110, 434, 435, 437, 439, 440, 448, 449, 450, 600, 0x3FFFFFFF, 0x4000006E, 0x40000258, 0x7FFFFFFF,
               0x80000000, 0xBFFFFFFF, 0xC0000000, 0xFFFFFFFF)
    NUMBERS_32 = (64, 434, 435, 437, 449, 600, 0x40000258, 0x80000000)
    FUTEX = {"names": ["futex_waitv"], "action": "SCMP_ACT_ERRNO", "errnoRet": 99}
    NATIVE = module.X86_64

    def setUp(self) -> None:
        super().setUp()
        self.calls.write_text("".join(f"{how} {number}{' 2147483647' * 6}\n" for how, numbers in (
            ("nf", self.NUMBERS), ("if", self.NUMBERS_32)) for number in numbers))

    def run_as(self, runtime: str, document: Dict[str, Any], *options: str) -> "subprocess.CompletedProcess[str]":
        profile = self.folder / "profile.json"
        profile.write_text(json.dumps(document))
        with open(self.calls, encoding="utf-8") as stdin:
            return spoc("run", "--as", runtime, "-p", str(profile), *options, "--", str(self.program), stdin=stdin)

    def assert_same(self, runtime: Sequence[str], name: str, *rules: Dict[str, Any]) -> None:
        both, all_three = ("X86_64", "X86"), ("X86_64", "X86", "X32")
        for document in (allowing(self.NATIVE, self.CLONE3, *rules),
                         allowing(self.NATIVE, self.CLONE3, self.FUTEX, *rules, architectures=both,
                                  defaultErrnoRet=77),
                         allowing(self.NATIVE, self.PIDFD_OPEN, *rules, architectures=all_three),
                         allowing(self.NATIVE, self.CLONE3, *rules, architectures=both, defaultErrnoRet=38),
                         *(allowing(self.NATIVE, self.CLONE3, *rules, action=f"SCMP_ACT_{action}", architectures=both)
                           for action in ("KILL_PROCESS", "TRAP", "TRACE", "LOG", "ALLOW"))):
            with self.subTest(**{key: value for key, value in document.items() if key != "syscalls"}):
                answers = self.in_container(runtime, document)
                self.assertEqual(len(answers), len(self.NUMBERS + self.NUMBERS_32))
                self.assertEqual(self.answers(self.run_as(name, document, "-q", "--enricher", "none")), answers)

    def test_runc(self) -> None:
        require_command("runc")
        self.assert_same(RUNC, "runc")

    def test_crun(self) -> None:
        require_command("crun")
        # From 1.21 on crun closes what it has open under the filter already.
        self.assert_same(CRUN, "spoc", {"names": ["close_range"], "action": "SCMP_ACT_ALLOW"})

    def test_denials_say_so(self) -> None:
        ehwpoison = errno.errorcode.get(133, "133")  # Python has its name from 3.14 on
        document = allowing(self.NATIVE, self.CLONE3)
        self.calls.write_text("n 110 0 0 0 0 0 0\nn 449 0 0 0 0 0 0\n")
        for enricher in ("tracepoint", "notify"):
            for runtime, action in (("spoc", "SCMP_ACT_ERRNO (EPERM) (runc answers ENOSYS)"),
                                    ("runc", "SCMP_ACT_ERRNO (ENOSYS)")):
                result = self.run_as(runtime, document, "--enricher", enricher)
                self.assertEqual(self.answers(result)[1], "! 1" if runtime == "spoc" else "! 38")
                self.assertIn(f" Seccomp: futex_waitv (449), action: {action}, pid: ", result.stderr)
                self.assertIn(f" Seccomp: getppid (110), action: SCMP_ACT_ERRNO ({ehwpoison}), pid: ", result.stderr)
                self.assertNotIn("own filter", result.stderr)
        result = self.run_as("runc", document, "--force", "--learn", str(self.folder / "learned.json"))
        self.assertIn("Learned syscalls: futex_waitv, getppid\n", result.stderr)
        learned = json.loads((self.folder / "learned.json").read_text())
        self.assertNotIn("Seccomp: ", self.run_as("runc", learned).stderr)

    def test_usage(self) -> None:
        self.assertEqual(self.run_as("crun", allowing(self.NATIVE, 1)).returncode, 2)


if __name__ == "__main__":
    unittest.main()
