# SPDX-License-Identifier: MIT
"""The audit sources of `run`, and each source by itself in every kind of task: what they name, and what they leave."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import unittest
from typing import Dict, List, Optional, Sequence

import spoc
from support import SPOC, Case, build, require, require_command, require_root
from support import spoc as run_spoc

# There is one auditd on a machine, and one audit system that all records go through.
EXCLUSIVE = True
WAIT_S = 30
X86_64 = os.uname().machine == "x86_64"


class Records(unittest.TestCase):
    """The text of records."""

    LOG = ('type=SECCOMP msg=audit(1700000000.123:45): auid=0 uid=0 gid=0 ses=7 subj=unconfined pid=812 comm="uname" '
           'exe="/usr/bin/uname" sig=0 arch=c000003e syscall=63 compat=0 ip=0x7f code=0x50000')

    def test_fields(self) -> None:
        for text in (self.LOG, self.LOG.partition("msg=")[2], self.LOG + '\x1dARCH=x86_64 SYSCALL=uname AUID="root" '
                     "pid=1 syscall=1"):
            fields = spoc.parse_audit_record(text)
            self.assertEqual({name: fields[name] for name in ("ses", "pid", "arch", "syscall", "code")},
                             {"ses": "7", "pid": "812", "arch": "c000003e", "syscall": "63", "code": "0x50000"})
            self.assertEqual(spoc.decode_audit_string(fields["comm"]), "uname")

    def test_strings(self) -> None:
        for name in ("a b", 'quo"te', "x pid=1 syscall=2", "tab\there", "\u00e4\u00f6"):
            self.assertEqual(spoc.decode_audit_string(name.encode().hex().upper()), name)
            fields = spoc.parse_audit_record(self.LOG.replace('"uname"', name.encode().hex().upper()))
            self.assertEqual((fields["pid"], fields["syscall"]), ("812", "63"))
        for text in ("", "zz", '"', "61zz", "(null)"):
            self.assertIsInstance(spoc.decode_audit_string(text), str)

    def test_hostile(self) -> None:
        for text in ("", " ", "=", "a=b=c", "\x1d", "pid", "pid= pid=2", "\0" * 100, "x" * 100000):
            self.assertIsInstance(spoc.parse_audit_record(text), dict)


class SourceCase(Case):
    """Programs that make uname(2) under a profile that does not allow it."""

    def setUp(self) -> None:
        super().setUp()
        require_root()
        self.deny = build("deny.c", "-static", "-pthread")
        self.profile = self.folder / "profile.json"
        self.events = self.folder / "events"

    def run_source(self, enricher: str, *command: str, action: str = "SCMP_ACT_ERRNO",
                   options: Sequence[str] = ()) -> "subprocess.CompletedProcess[str]":
        self.profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["uname"], "action": action}]}))
        result = run_spoc("run", "-q", "-p", str(self.profile), "--enricher", enricher, "--events", str(self.events),
                          *options, "--", *command)
        self.assertNotIn("Traceback", result.stderr)
        return result

    def read_events(self) -> List[Dict[str, object]]:
        return [json.loads(line) for line in self.events.read_text().splitlines()]

    KINDS = ("self", "child", "grandchild", "thread", "vfork", "exec", "daemon")

    def check(self, enricher: str, options: Sequence[str] = (), kinds: Sequence[str] = KINDS) -> None:
        """One call in each kind of task is named once, with what is known of it."""
        for kind in kinds:
            with self.subTest(enricher=enricher, kind=kind):
                result = self.run_source(enricher, self.deny, kind, options=options)
                self.assertRegex(result.stderr, r"Seccomp: uname \(63\), action: SCMP_ACT_ERRNO \(EPERM\), pid: \d+, "
                                                r"comm: ", result.stdout)
                events = [event for event in self.read_events() if event["name"] == "uname"]
                self.assertEqual(sum(int(str(event["count"])) for event in events), 1, events)
                self.assertEqual({(event["arch"], event["number"], event["action"], event["errno"])
                                  for event in events}, {("SCMP_ARCH_X86_64", 63, "SCMP_ACT_ERRNO", "EPERM")})
                caller = [line.split()[1] for line in result.stdout.splitlines() if line.startswith(kind)]
                self.assertTrue({str(events[0]["pid"]), str(events[0]["tgid"])}.intersection(caller), result.stdout)

    def check_actions(self, enricher: str, options: Sequence[str] = ()) -> None:
        for action, code in (("SCMP_ACT_TRAP", 128 + signal.SIGSYS), ("SCMP_ACT_KILL_PROCESS", 128 + signal.SIGSYS),
                             ("SCMP_ACT_LOG", 0), ("SCMP_ACT_TRACE", 2)):
            with self.subTest(enricher=enricher, action=action):
                result = self.run_source(enricher, self.deny, "self", action=action, options=options)
                self.assertEqual(result.returncode, code, result.stderr)
                if (enricher, action) != ("notify", "SCMP_ACT_LOG"):  # which asks only of what is stopped
                    self.assertRegex(result.stderr, rf"Seccomp: uname \(63\), action: {action}, pid: ")


@unittest.skipUnless(X86_64, "the numbers are those of x86_64")
class Sources(SourceCase):
    """Every source without an auditd."""

    def setUp(self) -> None:
        super().setUp()
        require(not os.path.exists("/run/auditd.pid"), "no auditd that runs already")

    def test_tracepoint(self) -> None:
        self.check("tracepoint")
        self.check_actions("tracepoint")

    def test_notify(self) -> None:
        self.check("notify")
        self.check_actions("notify")

    def test_netlink(self) -> None:
        self.check("netlink")
        self.check_actions("netlink")

    def test_kmsg(self) -> None:
        """The kernel writes no more than ten records in five seconds there, whosever they are (printk_ratelimit)."""
        for kind in ("self", "grandchild", "daemon"):
            for attempt in range(5):
                result = self.run_source("kmsg", self.deny, kind)
                if "Seccomp: " in result.stderr or "did not log all" in result.stderr:
                    break
                time.sleep(6)
            self.assertRegex(result.stderr, r"Seccomp: uname \(63\), action: SCMP_ACT_ERRNO \(EPERM\)|did not log all")

    def test_no_audit_log(self) -> None:
        result = self.run_source("audit-log", "true", options=("--audit-log", str(self.folder / "none")))
        self.assertEqual(result.returncode, 125)
        self.assertRegex(result.stderr, r"Error: read audit records: \S+: No such file or directory; start auditd")

    def test_others_are_left_out(self) -> None:
        """A process that is none of the command's, under a filter of its own, while each source listens."""
        self.profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["getppid"], "action": "SCMP_ACT_ERRNO"}], "flags": ["SECCOMP_FILTER_FLAG_LOG"]}))
        other = self.folder / "other.json"
        self.profile.rename(other)
        script = "for i in 1 2 3 4 5 6 7 8; do sh -c : ; sleep 0.1; done"  # dash calls getppid at its start
        for enricher in ("tracepoint", "notify", "netlink"):
            with subprocess.Popen([sys.executable, str(SPOC), "run", "-q", "-p", str(other), "--enricher", "none", "--",
                                   "sh", "-c", script], stderr=subprocess.DEVNULL) as foreign:
                result = self.run_source(enricher, "sh", "-c", f"sleep 0.4; {self.deny} self; sleep 0.2")
                foreign.wait(WAIT_S)
            self.assertEqual({event["name"] for event in self.read_events()}, {"uname"}, result.stderr)

    def test_without_privileges(self) -> None:
        """As nobody: notification works, the others say why they cannot."""
        require_command("setpriv")
        self.folder.chmod(0o777)
        for name in ("spoc.py", "bpf/recorder.bpf.o"):
            copy = self.folder / pathlib.Path(name).name
            copy.write_bytes((SPOC.parent / name).read_bytes())
            copy.chmod(0o644)
        self.profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["uname"], "action": "SCMP_ACT_ERRNO"}]}))
        for enricher, code in (("auto", 2), ("notify", 2), ("tracepoint", 125), ("netlink", 125)):
            result = subprocess.run(
                ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable,
                 str(self.folder / "spoc.py"), "run", "-p", str(self.profile), "--enricher", enricher, "--", self.deny],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=WAIT_S)
            with self.subTest(enricher):
                self.assertEqual(result.returncode, code, result.stderr)
                if code == 2:
                    self.assertIn("Starting notify enricher", result.stderr)
                    self.assertIn("Setting no_new_privs", result.stderr)
                    self.assertIn("Seccomp: uname (63), action: SCMP_ACT_ERRNO (EPERM)", result.stderr)
                else:
                    self.assertRegex(result.stderr, r"Error: [^\n]*(CAP_BPF|CAP_AUDIT_READ)[^\n]*\n\Z")


@unittest.skipUnless(X86_64, "the numbers are those of x86_64")
class AuditLog(SourceCase):
    """The log of a real auditd, with its own configuration in the test's folder."""

    auditd: "Optional[subprocess.Popen[bytes]]" = None

    def setUp(self) -> None:
        super().setUp()
        require_command("auditd")
        require(not os.path.exists("/run/auditd.pid"), "no auditd that runs already")
        self.log = self.folder / "log" / "audit.log"
        self.log.parent.mkdir(mode=0o700)
        (self.folder / "plugins.d").mkdir()
        (self.folder / "auditd.conf").write_text("\n".join([
            f"log_file = {self.log}", "log_format = RAW", "flush = NONE", f"plugin_dir = {self.folder}/plugins.d",
            "num_logs = 5", "max_log_file = 8", "max_log_file_action = ROTATE", "space_left = 2",
            "space_left_action = IGNORE", "admin_space_left = 1", "admin_space_left_action = IGNORE",
            "disk_full_action = IGNORE", "disk_error_action = IGNORE", ""]))
        os.chmod(self.folder / "auditd.conf", 0o640)
        self.auditd = subprocess.Popen(["auditd", "-n", "-c", str(self.folder)], stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL, env={**os.environ, "PATH": "/usr/sbin:/usr/bin"})
        self.addCleanup(self.stop)
        deadline = time.monotonic() + WAIT_S
        while not self.log.exists() or not self.log.stat().st_size:
            self.assertLess(time.monotonic(), deadline, "auditd did not start")
            time.sleep(0.05)

    def stop(self) -> None:
        if self.auditd:
            self.auditd.terminate()
            self.auditd.wait(WAIT_S)

    @property
    def options(self) -> List[str]:
        return ["--audit-log", str(self.log)]

    def test_sources(self) -> None:
        self.check("audit-log", self.options)
        self.check_actions("audit-log", self.options)
        self.check("netlink")
        result = self.run_source("kmsg", "true")
        self.assertEqual(result.returncode, 125)
        self.assertIn("a running auditd takes them away", result.stderr)

    def test_rotation_and_truncation(self) -> None:
        """The log is renamed by auditd itself, and cut off as logrotate's copytruncate does, between the calls."""
        assert self.auditd
        for change in (f"kill -USR1 {self.auditd.pid}", f": > {self.log}"):
            with self.subTest(change):
                script = f"{self.deny} self; sleep 0.3; {change}; sleep 0.3; {self.deny} self; sleep 0.2"
                result = self.run_source("audit-log", "sh", "-c", script, options=self.options)
                events = [event for event in self.read_events() if event["name"] == "uname"]
                self.assertEqual(sum(int(str(event["count"])) for event in events), 2, result.stderr)


if __name__ == "__main__":
    unittest.main()
