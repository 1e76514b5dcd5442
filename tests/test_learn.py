# SPDX-License-Identifier: MIT
"""`run --learn`: the profile that would have let pass what was stopped."""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
import unittest
from typing import Any, Callable, Dict, List, Sequence, Tuple

from cases import FREE, FREE_32, OWN_CALLS, RunCase, call_line
from support import DATA, MAX_64, ON_X86_64, PROGRAMS, SPOC, WAIT_S, build, require_command, spoc

TIER = "kernel"


class Learned(RunCase):
    """What --learn makes of profiles that are not those of record."""

    def learn(self, *command: str, code: int = 0) -> str:
        return str(self.run_it(*command, options=("--learn", str(self.profile)), code=code).stderr)

    def test_another_architecture(self) -> None:
        """Every call of a 32-bit program, wherever the profile lists architectures."""
        rules = [{"names": OWN_CALLS, "action": "SCMP_ACT_ALLOW"}]
        program = build("deny.c", "-static", "-m32")
        listed: List[Any] = [{"architectures": ["SCMP_ARCH_X86_64"]},
                             {"archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": []}]},
                             {"archMap": [{"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": []}]},
                             {"archMap": [], "architectures": ["SCMP_ARCH_X86_64"]}]
        for keys in listed:
            with self.subTest(keys=keys):
                self.write("SCMP_ACT_ERRNO", rules, **keys)
                self.assertNotIn("own filter", self.learn(program))
                self.assertEqual(self.denials(self.run_it(program, options=("--enricher", "notify")).stderr), [])

    def test_every_process_of_another_architecture_is_named_so(self) -> None:
        self.write(architectures=["SCMP_ARCH_X86_64"])
        program = build("deny.c", "-static", "-m32")
        stderr = self.run_it("sh", "-c", '"$0"; "$0"; true', program, options=("--enricher", "tracepoint")).stderr
        self.assertTrue(self.denials(stderr))
        self.assertNotIn("own filter", stderr)

    def test_handlers(self) -> None:
        """Calls that would be blocked wait to be let pass: no handler without SA_RESTART has them fail with EINTR."""
        if not ON_X86_64 or tuple(map(int, platform.libc_ver()[1].split("."))) >= (2, 41):
            self.skipTest("optional: needs x86_64 and glibc before 2.41, where the call can be made again")
        self.block("getppid", "close", "pipe", "pipe2", "clone")
        stderr = self.run_it(build("handlers.c"), "calls", options=("--force", "--learn", str(self.profile))).stderr
        self.assertIn("getppid", stderr)
        self.assertNotIn("rt_sigreturn", stderr)

    def test_handlers_where_all_is_logged(self) -> None:
        self.write("SCMP_ACT_LOG", [{"names": ["getppid"], "action": "SCMP_ACT_ERRNO"}])
        stderr = self.run_it(build("handlers.c"), "returns", options=("--force", "--learn", str(self.profile))).stderr
        self.assertIn("getppid", stderr)
        self.assertNotIn("rt_sigreturn", stderr)

    def test_target_is_a_link_to_nowhere(self) -> None:
        self.write(rules=[{"names": ["uname"], "action": "SCMP_ACT_ERRNO"}])
        target = self.folder / "link.json"
        target.symlink_to("/nonexistent/profile.json")
        self.run_it("uname", options=("--force", "--learn", str(target)))
        self.assertFalse(target.is_symlink())
        self.assertEqual(json.loads(target.read_text())["syscalls"], [])

    def test_what_is_logged_by_default_outlives_spoc(self) -> None:
        self.write("SCMP_ACT_LOG")
        late = self.folder / "late"
        stderr = self.run_it("sh", "-c", '(exec >/dev/null 2>&1; sleep 1; date > "$0") & exit 0', str(late),
                             options=("--enricher", "notify")).stderr
        self.assertIn("Not named under notify", stderr)
        deadline_s = time.monotonic() + WAIT_S
        while not (late.exists() and late.read_text()) and time.monotonic() < deadline_s:
            time.sleep(0.1)
        self.assertTrue(late.read_text())

    def test_numbers_that_have_no_name(self) -> None:
        """They cannot be learned: the profile is not all, and the run fails."""
        self.write("SCMP_ACT_ERRNO", [{"names": OWN_CALLS, "action": "SCMP_ACT_ALLOW"}])
        stderr = self.learn(build("numbers.c", "-static"), "1000", "1", code=125)
        self.assertRegex(stderr, r"Error: the profile is incomplete: libseccomp knows no name for 1 syscall: 1000 ")
        stderr = self.learn(build("numbers.c", "-static"), "5000", "1", code=125)
        self.assertRegex(stderr, r"Error: the profile is incomplete: 1 syscall exists in no kernel: 5000 ")

    def test_place_that_the_command_takes_away(self) -> None:
        """What was learned goes to standard error, and the run fails."""
        self.write(rules=[{"names": ["uname"], "action": "SCMP_ACT_ERRNO"}])
        folder = self.folder / "away"
        folder.mkdir()
        stderr = self.run_it("sh", "-c", f"uname; rmdir {folder}", code=125,
                             options=("--force", "--learn", str(folder / "learned"))).stderr
        self.assertRegex(stderr, rf"Error: write profile: {folder}/learned: ")
        self.assertNotIn("Wrote seccomp profile", stderr)
        learned, _ = json.JSONDecoder().raw_decode(stderr[stderr.index("{"):])
        self.assertEqual(learned["syscalls"], [])

    def test_several_documents_stay(self) -> None:
        text = "".join("---\napiVersion: security-profiles-operator.x-k8s.io/v1beta1\nkind: SeccompProfile\nmetadata:\n"
                       f"  name: {name}\nspec:\n  defaultAction: SCMP_ACT_ALLOW\n" for name in ("one", "two"))
        self.profile.write_text(text)
        result = spoc("run", "-p", f"{self.profile}#one", "--learn", str(self.profile), "true")
        self.assertEqual(result.returncode, 125, result.stderr)
        self.assertIn("several documents", result.stderr)
        self.assertEqual(self.profile.read_text(), text)


@unittest.skipUnless(ON_X86_64, "needs x86_64, whose syscall numbers are here")
class LearnedArguments(RunCase):
    """--learn allows what was seen and no more, and names what it leaves out: under what it wrote nothing else of the
    same calls is stopped, and calls that it has not seen are answered as before. The kernel is the judge.
    """

    SOCKET, SOCKETCALL = 41, 102
    AF_ALG, AF_VSOCK = 38, 40
    STOPPED = "! 133"  # EHWPOISON, which no call here gives by itself

    def write_rules(self, default: str, *rules: Tuple[str, str, Sequence[Tuple[Any, ...]]], **keys: Any) -> None:
        """Rules as (action without its prefix, name, conditions (index, operator, value, value two))."""
        documents: List[Dict[str, Any]] = []
        if default != "ALLOW":
            documents.append({"names": OWN_CALLS, "action": "SCMP_ACT_ALLOW"})
        for action, name, conditions in rules:
            documents.append({"names": [name], "action": f"SCMP_ACT_{action}"})
            if action == "ERRNO":
                documents[-1]["errnoRet"] = 133
            if conditions:
                documents[-1]["args"] = [
                    {"index": index, "op": f"SCMP_CMP_{op}", "value": value, "valueTwo": more[0] if more else 0}
                    for index, op, value, *more in conditions]
        if default == "ERRNO":
            keys["defaultErrnoRet"] = 133
        self.write(f"SCMP_ACT_{default}", documents, **keys)

    def learn(self, *lines: str, options: Sequence[str] = (), code: int = 0) -> str:
        """Learn these calls of tests/programs/call.c; what was said, without times. Old rules are still there."""
        before = json.loads(self.profile.read_text())
        calls = self.folder / "seen"
        calls.write_text("".join(line + "\n" for line in lines))
        with open(calls) as stream:
            result = self.run_it(build("call.c", "-static"), stdin=stream, code=code,
                                 options=("--learn", str(self.profile), *options))
        self.assertNotIn(self.STOPPED, result.stdout)
        after = json.loads(self.profile.read_text())
        if "--force" not in options:
            left = iter(after["syscalls"])
            for rule in before["syscalls"]:  # each in its place, at most with more names
                self.assertTrue(any({**other, "names": rule["names"]} == rule and set(rule["names"]) <= set(
                    other["names"]) for other in left), (rule, after))
        return re.sub(r"(?m)^[0-9:.]{15} ", "", result.stderr)

    def left(self, stderr: str) -> List[str]:
        return re.findall(r"^Error: learn: (.*); --force takes that away$", stderr, re.MULTILINE)

    def check(self, seen: Sequence[str], others: Sequence[str], left: Sequence[str] = (), options: Sequence[str] = (),
              ) -> None:
        """Learn what was seen: of it only the calls behind those that are left out are stopped, named so and counted;
        others are answered as they were before.
        """
        before = self.call(*others)
        stderr = self.learn(*seen, options=options, code=125 if left else 0)
        self.assertEqual(self.left(stderr), list(left))
        stopped = self.call(*seen).count(self.STOPPED)
        self.assertEqual(stopped, len(left), stderr)
        self.assertEqual(self.call(*others), before)

    def test_one_call_against_dockers_default(self) -> None:
        document = json.loads((DATA / "docker-default.json").read_text())
        self.profile.write_text(json.dumps({**document, "defaultErrnoRet": 133}))
        socket_line = [call_line("n", self.SOCKET, [family, 5]) for family in range(50)]
        self.assertEqual([index for index, answer in enumerate(self.call(*socket_line)) if answer == self.STOPPED],
                         [self.AF_ALG, self.AF_VSOCK])
        self.check([socket_line[self.AF_ALG]], [line for line in socket_line if line != socket_line[self.AF_ALG]])
        written = json.loads(self.profile.read_text())["syscalls"]
        self.assertEqual([rule for rule in written if rule not in document["syscalls"]], [
            {"names": ["socket"], "action": "SCMP_ACT_ALLOW",
             "args": [{"index": 0, "op": "SCMP_CMP_MASKED_EQ", "value": 0xFFFFFFFF, "valueTwo": self.AF_ALG}]}])

    def test_denied_by_a_rule(self) -> None:
        for action in ("ALLOW", "LOG"):
            self.write_rules(action, ("ERRNO", "socket", [(0, "EQ", self.AF_ALG)]), ("ERRNO", "getuid", []))
            seen = [call_line("n", self.SOCKET, [self.AF_ALG]), call_line("n", FREE["getuid"])]
            others = [call_line("n", self.SOCKET, [family, 1 << 20]) for family in (1, 37, 39)]
            self.check(seen, others, [
                "getuid: the rule that answers SCMP_ACT_ERRNO (133) would have to go",
                "socket: the rule that answers SCMP_ACT_ERRNO (133) if args[0] == 38 would have to go"])
            stderr = self.learn(*seen, options=["--force"])
            self.assertIn("Learned syscalls: getuid, socket\n", stderr)
            self.assertNotIn(self.STOPPED, self.call(*seen, *others))

    def test_force_takes_one_name_out_of_a_rule(self) -> None:
        """Which stands first and would go on to deny it; its other names stay there."""
        self.write_rules("ERRNO")
        document = json.loads(self.profile.read_text())
        document["syscalls"].insert(0, {"names": ["getgid", "getuid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 132})
        self.profile.write_text(json.dumps(document))
        getuid, getgid = (call_line("n", FREE[name]) for name in ("getuid", "getgid"))
        self.assertIn("Learned syscalls: getuid\n", self.learn(getuid, options=["--force"]))
        self.assertEqual(self.call(getuid, getgid), ["= 0", "! 132"])

    def test_what_the_default_denies_is_denied_by_a_rule_that_says_so_too(self) -> None:
        self.write_rules("ERRNO", ("ERRNO", "getuid", []), ("ERRNO", "getgid", [(1, "EQ", 5)]))
        self.check([call_line("n", FREE["getuid"]), call_line("n", FREE["getgid"], [0, 5]),
                    call_line("n", FREE["getgid"], [0, 6])], [call_line("n", FREE["getgid"], [0, 4])], [
            "getgid: the rule that answers SCMP_ACT_ERRNO (133) if args[1] == 5 would have to go",
            "getuid: the rule that answers SCMP_ACT_ERRNO (133) would have to go"])

    def test_conditions(self) -> None:
        """Of several arguments, masked, for inequality, of 64 bits, beside a rule that denies, or one that logs."""
        high = 1 << 63 | 5
        self.write_rules(
            "ERRNO",
            ("ALLOW", "sched_yield", [(0, "EQ", 1), (3, "EQ", 2)]), ("ALLOW", "sched_yield", [(5, "EQ", 3)]),
            ("ALLOW", "getuid", [(1, "MASKED_EQ", 0xF0, 0x10)]), ("ALLOW", "getgid", [(2, "NE", high)]),
            ("ALLOW", "geteuid", [(0, "LT", 10)]), ("KILL_PROCESS", "geteuid", [(0, "EQ", 1 << 32)]),
            ("LOG", "getegid", [(1, "EQ", 5)]), ("ALLOW", "lseek", [(2, "EQ", 0)]),
            ("ALLOW", "socket", [(0, "EQ", 2)]), ("KILL_PROCESS", "socket", [(0, "EQ", MAX_64)]))
        seen = [call_line("n", FREE["sched_yield"], [1, 9, 9, 4, 9, 4]),
                call_line("n", FREE["sched_yield"], [7, 0, 0, 2, 0, 8]),
                call_line("n", FREE["getuid"], [9, 0x25]), call_line("n", FREE["getgid"], [9, 9, high]),
                call_line("n", FREE["geteuid"], [1 << 31]), call_line("n", FREE["getegid"], [0, 1 << 32 | 5]),
                call_line("n", FREE["gettid"], [3]), call_line("n", 8, [99, 0, 77]),
                call_line("n", self.SOCKET, [self.AF_ALG, 1 << 20])]
        others = [call_line("n", FREE["sched_yield"], arguments) for arguments in (
            [1, 0, 0, 4, 0, 8], [7, 0, 0, 4, 0, 4], [7, 0, 0, 2, 0, 4], [1 << 32 | 1, 0, 0, 4, 0, 4], [1, 0, 0, 2],
            [0, 0, 0, 0, 0, 3])] + [
            call_line("n", FREE["getuid"], [0, value]) for value in (0x24, 0x26, 0x10, 0x20, 1 << 32 | 0x25)] + [
            call_line("n", FREE["getgid"], [0, 0, 5])] + [
            call_line("n", FREE["geteuid"], [value]) for value in (9, 10, (1 << 31) - 1, (1 << 31) + 1)] + [
            call_line("n", FREE["getegid"], [0, value]) for value in (5, 6, 1 << 33 | 5)] + [
            call_line("n", 8, [99, 0, value]) for value in (0, 1, 76, 1 << 32 | 1)] + [
            call_line("n", self.SOCKET, [family, 1 << 20]) for family in (2, 37, 39, 1 << 32 | 38)]
        killed = [call_line("nf", FREE["geteuid"], [1 << 32]), call_line("nf", self.SOCKET, [MAX_64])]
        self.check(seen, others + killed)
        self.assertEqual(self.call(*killed), ["killed 31"] * 2)
        # The kernel takes lseek's as 32 bits; libcs differ in what they leave in the upper half.
        self.assertEqual(self.call(call_line("n", 8, [99, 0, 1 << 32 | 77])), ["! 9"])
        again = self.profile.read_text()
        self.assertIn("Learned syscalls: none\n", self.learn(*seen))
        self.assertEqual(self.profile.read_text(), again)

    def test_too_many_values(self) -> None:
        self.write_rules("ERRNO", ("ALLOW", "getuid", [(0, "EQ", 0)]), ("ALLOW", "getgid", [(0, "EQ", 0)]))
        of_64 = [call_line("n", FREE["getgid"], [value]) for value in range(1, 65)]
        of_65 = [call_line("n", FREE["getuid"], [value]) for value in range(1, 66)]
        stderr = self.learn(*of_64, *of_65, code=125)
        self.assertEqual(self.left(stderr), ["getuid: its conditions would have to go"])
        self.assertEqual(self.call(*of_64, *of_65).count(self.STOPPED), 65)
        self.learn(*of_65, options=["--force"])
        self.assertNotIn(self.STOPPED, self.call(*of_64, *of_65, call_line("n", FREE["getuid"], [1000])))

    def test_32_bit_calls(self) -> None:
        """socketcall(2) does what rules for other names say, and has its arguments in memory."""
        both = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
        called = {inner: call_line("i", self.SOCKETCALL, [inner]) for inner in (1, 2, 4, 9, 98, 99)}
        self.write_rules("ERRNO", ("ALLOW", "bind", []), ("ALLOW", "socketcall", [(0, "EQ", 4)]),
                         ("ALLOW", "getuid", [(0, "EQ", 1 << 32 | 1)]), architectures=both)
        self.check([called[1], called[2], called[4], called[99], call_line("i", FREE_32["getuid"], [7])],
                   [called[9], call_line("i", FREE_32["getuid"], [8]), call_line("n", FREE["getuid"], [8]),
                    called[98]])
        self.write_rules("ERRNO", architectures=both)
        self.check([called[4]], [called[1], called[99]])
        self.write_rules("ALLOW", ("ERRNO", "socket", [(0, "EQ", self.AF_ALG)]), architectures=both)
        self.check([called[1]], [called[2]], ["socket by socketcall: the rule that answers SCMP_ACT_ERRNO (133) "
                                              "if args[0] == 38 would have to go"])

    def test_conditions_that_socketcall_does_not_keep(self) -> None:
        """There libseccomp drops that on the first argument, and the others are not those of the call."""
        self.write_rules("ERRNO", ("KILL_PROCESS", "connect", [(0, "GE", 200), (2, "GE", 500)]),
                         architectures=["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"])
        connect = [call_line("n", 42, [99, 0, length]) for length in (7, 8)]
        by_socketcall = [call_line("i", self.SOCKETCALL, [3, 0, length]) for length in (7, 8)]
        self.check(connect[:1], [connect[1], *by_socketcall], ["connect: its conditions would have to go"])
        self.write_rules("ERRNO", ("KILL_PROCESS", "connect", [(0, "GE", 200), (2, "GE", 500)]))
        self.check(connect[:1], [connect[1]])

    def test_64_bits_beside_32(self) -> None:
        """For calls of 32 bits a filter compares the lower half alone: what they cannot hold is left out."""
        self.write_rules("ERRNO", ("ALLOW", "getuid", [(1, "EQ", 9)]), ("KILL_PROCESS", "getgid", [(1, "LT", 5)]),
                         architectures=["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"])
        seen = [call_line("n", FREE["getuid"], [0, 1 << 32]), call_line("n", FREE["getgid"], [0, 1 << 32])]
        minus = [call_line("n", FREE["getuid"], [0, MAX_64])]
        others = [call_line("i", FREE_32["getuid"], [0, value]) for value in (0, 9)] + [
            call_line("if", FREE_32["getgid"], [0, 0])]
        self.check(seen + minus, others, [
            "getgid: the rule that answers SCMP_ACT_KILL_PROCESS if args[1] < 5 would have to go",
            "getuid: its conditions would have to go"])

    def test_an_architecture_without_a_filter(self) -> None:
        """Rules that contradict each other within socketcall(2): nothing else is lost for that."""
        self.write_rules("ERRNO", ("ALLOW", "send", []), ("KILL_PROCESS", "socketcall", [(0, "EQ", 9)]),
                         architectures=["SCMP_ARCH_X86_64"])
        stderr = self.learn(call_line("n", FREE["getuid"]), call_line("i", FREE_32["getgid"]), code=125)
        self.assertIn("Learned syscalls: getuid\n", stderr)
        self.assertRegex(stderr, r"Error: learn: getgid: no filter can be made with its architecture: \w+: [^;]*\n")

    def test_an_architecture_is_all_that_is_missing(self) -> None:
        self.write_rules("ERRNO", ("ALLOW", "getuid", [(0, "EQ", 1)]), ("ERRNO", "getgid", []),
                         architectures=["SCMP_ARCH_X86_64"])
        seen = [call_line("i", FREE_32["getuid"], [1])]
        self.assertIn("Learned syscalls: architecture SCMP_ARCH_X86\n", self.learn(*seen))
        self.assertNotIn(self.STOPPED, self.call(*seen))
        self.assertEqual(self.call(call_line("i", FREE_32["getuid"], [2])), [self.STOPPED])

    def test_a_profile_of_another_machine(self) -> None:
        """That its own architecture is added is said as of any other, also where nothing else is learned."""
        seen = call_line("n", FREE["getuid"])
        listed: List[Tuple[List[str], bool]] = [
            (["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"], True), ([], False),
            (["SCMP_ARCH_AARCH64", "SCMP_ARCH_X86_64"], False), (["SCMP_ARCH_AARCH64", "SCMP_ARCH_NATIVE"], False)]
        for architectures, is_other in listed:
            self.write_rules("ERRNO", ("ALLOW", "getuid", []), architectures=architectures)
            stderr = self.learn(seen)
            self.assertEqual(json.loads(self.profile.read_text()).get("architectures", []),
                             architectures + ["SCMP_ARCH_X86_64"] * is_other)
            self.assertIn(f"Learned syscalls: {'architecture SCMP_ARCH_X86_64' if is_other else 'none'}\n", stderr)

    def test_clone3_and_ioctl(self) -> None:
        """A clone3 that gets ENOSYS stays so; it is named as well."""
        clone3, ioctl = 435, 16
        self.write_rules("ERRNO", ("ALLOW", "ioctl", [(1, "EQ", 0x5401)]))
        document = json.loads(self.profile.read_text())
        document["syscalls"][0]["names"] = [name for name in OWN_CALLS if name != "clone3"]
        document["syscalls"].append({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38})
        self.profile.write_text(json.dumps(document))
        seen = [call_line("n", ioctl, [99, 0xFFFFFFFF80045430])]
        stderr = self.learn(*seen, call_line("n", clone3, [0, 0]), code=125)
        self.assertEqual(self.left(stderr), ["clone3: the rule that answers SCMP_ACT_ERRNO (ENOSYS) would have to go"])
        self.assertEqual(self.call(*seen, call_line("n", ioctl, [99, 0x80045430]), call_line("n", clone3, [0, 0]),
                                   call_line("n", ioctl, [99, 0x80045431])), ["! 9", "! 9", "! 38", self.STOPPED])

    def test_rules_for_other_machines(self) -> None:
        """What Docker's dialect denies, or binds to conditions, on another machine is not lifted for this one."""
        self.write_rules("ERRNO")
        document = json.loads(self.profile.read_text())
        elsewhere: Dict[str, Any] = {"includes": {"arches": ["s390x"]}}
        document["syscalls"] += [
            {"names": ["getuid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 99, **elsewhere},
            {"names": ["getgid"], "action": "SCMP_ACT_ALLOW", **elsewhere,
             "args": [{"index": 1, "op": "SCMP_CMP_EQ", "value": 4}]}]
        self.profile.write_text(json.dumps(document))
        self.check([call_line("n", FREE["getuid"]), call_line("n", FREE["getgid"], [0, 5])],
                   [call_line("n", FREE["getgid"], [0, 6])],
                   ["getuid: the rule that answers SCMP_ACT_ERRNO (EADDRNOTAVAIL) would have to go"])

    def test_base_profile(self) -> None:
        """Its rules are as good as the file's own."""
        base = self.folder / "base.json"
        base.write_text(json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
            {"names": ["getuid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 99},
            {"names": ["getgid"], "action": "SCMP_ACT_ALLOW",
             "args": [{"index": 0, "op": "SCMP_CMP_EQ", "value": 1}]}]}))
        self.write_rules("ERRNO")
        seen = [call_line("n", FREE["getuid"]), call_line("n", FREE["getgid"], [2])]
        stderr = self.learn(*seen, options=["--base-profile", str(base)], code=125)
        self.assertIn("Learned syscalls: getgid if args[0] == 2\n", stderr)
        self.assertEqual(self.left(stderr), [
            "getuid: the rule that answers SCMP_ACT_ERRNO (EADDRNOTAVAIL) would have to go"])

    def test_comments_stay(self) -> None:
        """In the Kubernetes object, which has no word for values from 2^63 on."""
        self.profile = self.folder / "profile.yaml"
        names = "".join(f"  - {name}\n" for name in OWN_CALLS)
        text = f"""\
apiVersion: security-profiles-operator.x-k8s.io/v1beta1
kind: SeccompProfile
metadata:
  name: commented   # by hand
spec:
  defaultAction: SCMP_ACT_ERRNO
  syscalls:
  # what it needs
  - action: SCMP_ACT_ALLOW
    names:
{names.replace("  - ", "    - ")}
  - action: SCMP_ACT_ALLOW   # carefully
    names:
    - getuid
    - getgid
    args:
    - {{index: 0, value: 1, op: SCMP_CMP_EQ}}
"""
        self.profile.write_text(text)
        calls = self.folder / "seen"
        calls.write_text("\n".join([call_line("n", FREE["getuid"], [2]), call_line("n", FREE["getgid"], [MAX_64]),
                                    call_line("n", FREE["gettid"])]) + "\n")
        with open(calls) as stream:
            result = self.run_it(build("call.c", "-static"), stdin=stream, code=125,
                                 options=("--learn", str(self.profile)))
        self.assertIn("Learned syscalls: gettid, getuid if args[0] == 2\n", result.stderr)
        self.assertIn("learn: getgid: its conditions would have to go;", result.stderr)
        after = self.profile.read_text()
        added = [line for line in after.splitlines() if line not in text.splitlines()]
        lines = iter(after.splitlines())
        self.assertTrue(all(line in lines for line in text.splitlines()), after)
        self.assertEqual(sorted(line.strip() for line in added), [
            "- gettid", "- getuid", "- index: 0", "op: SCMP_CMP_EQ", "value: 2"])
        self.assertEqual(self.call(call_line("n", FREE["getuid"], [2]), call_line("n", FREE["getgid"], [MAX_64])),
                         ["= 0", "! 1"])

    def test_hints_name_all_that_denies(self) -> None:
        self.write_rules("ALLOW", *(("ERRNO", "getuid", [(0, "EQ", value)]) for value in (1, 2)))
        answers = ", ".join(f"SCMP_ACT_ERRNO (133) if args[0] == {value}" for value in (1, 2))
        stderr = self.run_it("true", options=["-b", "getuid"]).stderr
        self.assertIn(f"-b getuid lifts the rules that answer {answers}\n", stderr)
        self.write_rules("ALLOW", *(("ERRNO", "getuid", [(0, "EQ", value)]) for value in range(7)))
        self.assertRegex(self.run_it("true", options=["-b", "getuid"]).stderr, r"== 3 and 3 more\n")

    def test_under_a_filter_of_others(self) -> None:
        """What that stops is not seen by notify, and --learn would call the profile complete."""
        self.write_rules("ALLOW", ("ERRNO", "getuid", [(0, "EQ", 1)]))
        started = [sys.executable, str(SPOC), "run", "-p", str(self.profile), "--enricher"]
        for command, told in (([*started, "notify", "--", "true"], False),
                              ([*started, "none", "--", *started, "notify", "--", "true"], True)):
            result = subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                    timeout=WAIT_S)
            self.assertEqual(result.stderr.count("spoc.py itself is under a seccomp filter"), told, result.stderr)

    def test_hints_say_what_they_lift(self) -> None:
        self.write_rules("ERRNO", ("ALLOW", "getuid", [(0, "EQ", 1)]), ("ERRNO", "getgid", []))
        (self.folder / "seen").write_text("\n".join(call_line("n", FREE[name]) for name in (
            "getuid", "getgid", "gettid")) + "\n")
        lifted = ("getgid lifts the rule that answers SCMP_ACT_ERRNO (133)", "getuid lifts its conditions")
        with open(self.folder / "seen") as stream:
            stderr = self.run_it(build("call.c", "-static"), stdin=stream).stderr
        self.assertIn(f"To allow what was blocked: run -b getgid,gettid,getuid (-b {lifted[0]}; -b {lifted[1]}); "
                      "to add it to a profile: run --learn FILE, and with --force what a rule denies\n", stderr)
        with open(self.folder / "seen") as stream:
            result = self.run_it(build("call.c", "-static"), stdin=stream, options=["-b", "getgid,gettid,getuid"])
        self.assertNotIn(self.STOPPED, result.stdout)
        self.assertEqual(re.findall("-b (.*lifts.*)", result.stderr), list(lifted))

    def test_force_alone(self) -> None:
        self.write()
        self.assertIn("--force", self.run_it("true", options=["--force"], code=2).stderr)


class Whole(RunCase):
    """Record, then run under what was recorded: nothing is blocked, and nothing changes in what is printed."""

    def assert_same(self, *command: str, before: Callable[[], None] = lambda: None, **run: Any) -> None:
        run.setdefault("stdin", subprocess.DEVNULL)
        outputs = []
        before()
        bare = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=WAIT_S, **run)
        outputs.append((bare.returncode, bare.stdout))
        before()
        recorded = spoc("record", "-n", "-t", "raw-seccomp", "-o", str(self.profile), "--", *command, **run)
        outputs.append((recorded.returncode, recorded.stdout))
        for enricher in ("tracepoint", "none"):
            before()
            result = spoc("run", "-p", str(self.profile), "-b", "execve", "--enricher", enricher, "--", *command, **run)
            self.assertNotIn("Seccomp", result.stderr)
            self.assertNotIn("Error", result.stderr)
            outputs.append((result.returncode, result.stdout))
        self.assertEqual(bare.returncode, 0, bare.stderr)
        for output in outputs[1:]:
            self.assertEqual(output, outputs[0])

    def test_pipes(self) -> None:
        self.assert_same("sh", "-c", "ls /usr/share | grep -v x | sort -r | head -n 20 | tr a-z A-Z; echo $(echo done)")

    def test_git(self) -> None:
        require_command("git")
        work = self.folder / "work"

        def before() -> None:
            shutil.rmtree(work, True)
            work.mkdir()

        script = """
            set -e
            cd work
            git init -q -b trunk one; cd one; echo text >file; git add file; git commit -q -m first; echo more >>file
            git commit -q -a -m second; git log --oneline --stat; git gc -q; git clone -q . ../two; git -C ../two log -p
            git -C ../two fsck
        """
        environment = {"PATH": os.environ["PATH"], "HOME": str(work), "LC_ALL": "C"}
        for who in ("AUTHOR", "COMMITTER"):
            environment.update({f"GIT_{who}_NAME": "n", f"GIT_{who}_EMAIL": "e",
                                f"GIT_{who}_DATE": "2001-01-01T00:00:00Z"})
        self.assert_same("sh", "-c", script, before=before, cwd=self.folder, env={**environment, "GIT_PAGER": "cat"})

    def test_go(self) -> None:
        require_command("go")
        program = str(self.folder / "goroutines")
        subprocess.run(["go", "build", "-o", program, str(PROGRAMS / "goroutines.go")], check=True, env={
            **os.environ, "GOCACHE": str(self.folder / "cache"), "GO111MODULE": "off", "GOFLAGS": ""})
        self.assert_same(program)


if __name__ == "__main__":
    unittest.main()
