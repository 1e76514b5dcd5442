# SPDX-License-Identifier: MIT
"""The audit sources of `run`, and each source by itself in every kind of task: what they name, and what they leave."""

import json
import os
import pathlib
import signal
import socket
import struct
import subprocess
import sys
import time
import unittest
import unittest.mock
from typing import Dict, List, Optional, Sequence

import spoc
from support import (AUDIT_SECCOMP, NETLINK_AUDIT, ON_X86_64, SPOC, Case, build, require, require_command,
                     require_root)
from support import spoc as run_spoc

TIER = "kernel"
WAIT_S = 30


def audit_daemon() -> int:
    """The pid of the auditd that the kernel sends records to."""
    return next(int(line.split()[1]) for line in audit_control("-s").splitlines() if line.startswith("pid "))


def audit_control(*arguments: str) -> str:
    return subprocess.run(["auditctl", *arguments], stdout=subprocess.PIPE, text=True, check=True).stdout


class Records(unittest.TestCase):
    """The text of records."""

    LOG = ('type=SECCOMP msg=audit(1700000000.123:45): auid=0 uid=0 gid=0 ses=7 subj=unconfined pid=812 comm="uname" '
           'exe="/usr/bin/uname" sig=0 arch=c000003e syscall=63 compat=0 ip=0x7f code=0x50000')

    def test_fields(self) -> None:
        record = self.LOG.partition("msg=")[2]
        for text in (self.LOG, record, "audit: type=1326 " + record, "node=fe80::1 " + self.LOG,
                     self.LOG + '\x1dARCH=x86_64 SYSCALL=uname AUID="root" pid=1 syscall=1',
                     self.LOG.replace(" subj=unconfined", ""),
                     # What a security module's label can hold: blanks, and all that a record can.
                     self.LOG.replace("unconfined", 'a pid=1 comm="x" exe="y" sig=0 arch=c000003e syscall=1 compat=0 '
                                                    "ip=0x1 code=0x0\x1d\n")):
            fields = spoc.parse_audit_record(text)
            self.assertEqual({name: fields[name] for name in ("ses", "pid", "arch", "syscall", "code")},
                             {"ses": "7", "pid": "812", "arch": "c000003e", "syscall": "63", "code": "0x50000"})
            self.assertEqual(spoc.decode_audit_string(fields["comm"]), "uname")

    def test_strings(self) -> None:
        for name in ("a b", 'quo"te', "x pid=1 syscall=2", "tab\there", "\u00e4\u00f6"):
            self.assertEqual(spoc.decode_audit_string(name.encode().hex().upper()), name)
            fields = spoc.parse_audit_record(self.LOG.replace('"uname"', name.encode().hex().upper()))
            self.assertEqual((fields["pid"], fields["syscall"]), ("812", "63"))
        for text in ("(null)", '""', ""):
            self.assertEqual(spoc.decode_audit_string(text), "")

    def test_hostile(self) -> None:
        record = self.LOG
        for text in ("", " ", "=", "a=b=c", "\x1d", "pid", "pid= pid=2", "\0" * 100, "x" * 100000, record[:-10] + "\n",
                     record.replace("63", "0x3f"), record.replace('"uname"', '"u name"'),
                     record.replace('"uname"', "4a4"), record.replace("pid=812 ", ""), "(" + record,
                     "audit(1.1:1): auid=1" + " pid=1 comm=" * 5000):
            self.assertEqual(spoc.parse_audit_record(text), {})


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


@unittest.skipUnless(ON_X86_64, "the numbers are those of x86_64")
class Sources(SourceCase):
    """Every source without an auditd."""

    def setUp(self) -> None:
        super().setUp()
        require(not os.path.exists("/run/auditd.pid"), "no auditd that runs already")

    def test_repeats_of_the_living(self) -> None:
        """A task that outlives the command has its repeats told as its own."""
        code = ("import os, time\nread, write = os.pipe()\nif os.fork():\n    os.read(read, 1)\n    os._exit(0)\n"
                "for _ in range(3):\n    try:\n        os.uname()\n    except PermissionError:\n        pass\n"
                "print(os.getpid(), flush=True)\nos.write(write, b'x')\ntime.sleep(1)\n")
        result = self.run_source("tracepoint", sys.executable, "-I", "-S", "-c", code)
        events = [event for event in self.read_events() if event["name"] == "uname"]
        self.assertEqual([(str(event["tgid"]), event["count"]) for event in events],
                         [(result.stdout.strip(), 1), (result.stdout.strip(), 2)], result.stderr)

    def test_tracepoint(self) -> None:
        self.check("tracepoint")
        self.check_actions("tracepoint")

    def test_notify(self) -> None:
        self.check("notify")
        self.check_actions("notify")

    def test_netlink(self) -> None:
        self.check("netlink")
        self.check_actions("netlink")

    def test_forged_records(self) -> None:
        """Who has CAP_NET_ADMIN can send to a netlink socket, too: only what the kernel sends counts (netlink(7))."""
        self.profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["uname"], "action": "SCMP_ACT_ERRNO"}]}))
        process = self.launch(
            sys.executable, str(SPOC), "run", "-q", "-p", str(self.profile), "--enricher", "netlink", "--events",
            str(self.events), "--", "sh", "-c", 'echo $$ $(cat /proc/self/sessionid); read x; exec "$0"', self.deny,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout
        pid, session = process.stdout.readline().split()
        inodes = {os.readlink(path) for path in pathlib.Path(f"/proc/{process.pid}/fd").iterdir()}
        ports = [int(fields[2]) for fields in map(str.split, pathlib.Path("/proc/net/netlink").read_text().splitlines())
                 if f"socket:[{fields[-1]}]" in inodes]
        self.assertEqual(len(ports), 1)
        text = (f"audit(1700000000.123:1): auid=0 uid=0 gid=0 ses={session} pid={pid} comm=\"forged\" exe=\"/forged\" "
                "sig=0 arch=c000003e syscall=63 compat=0 ip=0x0 code=0x50001")
        self.assertTrue(spoc.parse_audit_record(text))
        header = struct.pack("=IHHII", 16 + len(text), AUDIT_SECCOMP, 0, 0, 0)
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_AUDIT) as sender:
            sender.sendto(header + text.encode(), (ports[0], 0))
        stderr = process.communicate("x\n", timeout=WAIT_S)[1]
        self.assertEqual(process.returncode, 2, stderr)
        self.assertEqual({event["comm"] for event in self.read_events()}, {os.path.basename(self.deny)[:15]}, stderr)

    def test_login_stays(self) -> None:
        """Whoever has logged in is the same to the audit system in the session of its own that the command gets."""
        self.run_source("none", "true")
        login_id = pathlib.Path("/proc/self/loginuid").read_text()
        for before, after in (("1234", "1234"), ("4294967295", "0")):
            result = subprocess.run(
                ["sh", "-c", 'echo "$0" > /proc/self/loginuid; exec "$@"', before, sys.executable, str(SPOC), "run",
                 "-q", "-p", str(self.profile), "--enricher", "netlink", "cat", "/proc/self/loginuid"],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
            self.assertEqual((result.returncode, result.stdout), (0, after), result.stderr)
        self.assertEqual(pathlib.Path("/proc/self/loginuid").read_text(), login_id)

    def test_another_network_namespace(self) -> None:
        """The kernel sends its records in the initial one only."""
        self.run_source("none", "true")
        result = subprocess.run(["unshare", "-n", sys.executable, str(SPOC), "run", "-p", str(self.profile),
                                 "--enricher", "netlink", "true"], stderr=subprocess.PIPE, text=True, check=False)
        self.assertEqual(result.returncode, 125)
        self.assertIn("Error: read audit records: NETLINK_AUDIT: this network namespace gets none; run", result.stderr)

    def test_another_pid_namespace(self) -> None:
        """There the numbers in records mean nothing, but the audit session still does."""
        self.run_source("none", "true")
        result = subprocess.run(
            ["unshare", "-pf", "--mount-proc", sys.executable, str(SPOC), "run", "-q", "-p", str(self.profile),
             "--enricher", "netlink", self.deny, "child"], stderr=subprocess.PIPE, text=True, check=False)
        self.assertIn("Seccomp: uname (63), action: SCMP_ACT_ERRNO (EPERM)", result.stderr)
        result = subprocess.run(
            ["setpriv", "--bounding-set=-audit_control", "--inh-caps=-audit_control", "sh", "-c",
             'echo 0 > /proc/self/loginuid; exec unshare -pf --mount-proc "$0" "$@"', sys.executable, str(SPOC), "run",
             "-q", "-p", str(self.profile), "--enricher", "netlink", self.deny], stderr=subprocess.PIPE, text=True,
            check=False)
        self.assertEqual(result.returncode, 125)
        self.assertIn("/proc/self/loginuid: the kernel refuses a new audit session", result.stderr)

    def test_ancestor_that_has_ended(self) -> None:
        """Then nobody knows whose the record is; of a process that is there up to the first it is known."""
        ended = subprocess.Popen(["true"])
        ended.wait()
        stats = {"7": f"7 (a) S {ended.pid} 7", "8": f"8 (b) S {os.getpid()} 8"}
        source = object.__new__(spoc.NetlinkWatcher)
        source._sessions, source._parents, source._own, source._outer = {"5"}, {str(ended.pid + 1)}, "5", "1"
        read_proc = spoc.read_proc
        with unittest.mock.patch.object(spoc, "read_proc", lambda pid, name: stats.get(pid) or read_proc(pid, name)):
            for session, pid, strangers in (
                    ("6", str(ended.pid), 1), ("6", "7", 1), ("6", "8", 0), ("6", str(os.getpid()), 0),
                    ("4", str(ended.pid), 0), (spoc.NO_SESSION, str(ended.pid), 0)):  # before the command's; in none
                source._strangers = 0
                self.assertFalse(source._belongs({"ses": session, "pid": pid}))
                self.assertEqual(source._strangers, strangers, (session, pid))

    def test_by_parents(self) -> None:
        """Where a new session is refused, and where the command itself begins one, as a login does."""
        self.profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["uname"], "action": "SCMP_ACT_ERRNO"}]}))
        with self.subTest("refused"):
            result = subprocess.run(
                ["setpriv", "--bounding-set=-audit_control", "--inh-caps=-audit_control", "sh", "-c",
                 'echo 0 > /proc/self/loginuid; exec "$0" "$@"', sys.executable, str(SPOC), "run", "-q", "-p",
                 str(self.profile), "--enricher", "netlink", "sh", "-c", f"({self.deny} child; sleep 2) & wait"],
                stderr=subprocess.PIPE, text=True, check=False)
            self.assertRegex(result.stderr, r"Seccomp: uname|\d+ records? w\w+ of [^\n]* that had ended")
        with self.subTest("an orphan"):
            orphan = "import os, time\ntime.sleep(0.3)\ntry: os.uname()\nexcept OSError: time.sleep(2)"
            result = subprocess.run(
                ["setpriv", "--bounding-set=-audit_control", "--inh-caps=-audit_control", "sh", "-c",
                 'echo 0 > /proc/self/loginuid; exec "$0" "$@"', sys.executable, str(SPOC), "run", "-q", "-p",
                 str(self.profile), "--enricher", "netlink", "sh", "-c",
                 f'({sys.executable} -c "{orphan}" &); sleep 2'],
                stderr=subprocess.PIPE, text=True, check=False)
            self.assertRegex(result.stderr, r"Seccomp summary: uname \(63\)")
        lasting = "import os, time\ntry: os.uname()\nexcept OSError: time.sleep(2)"
        for command, pattern in ((f"{sys.executable} -c '{lasting}'", r"Seccomp summary: uname \(63\)"),
                                 (f"{self.deny} child", r"Seccomp summary|records? w\w+ of [^\n]* that had ended")):
            with self.subTest(command=command):
                result = self.run_source("netlink", "sh", "-c", f"echo 0 > /proc/self/loginuid; {command} & wait")
                self.assertRegex(result.stderr, pattern)
                self.assertEqual(result.returncode, 0, result.stderr)  # another's login must not make it fail

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


@unittest.skipUnless(ON_X86_64, "the numbers are those of x86_64")
class Settings(SourceCase):
    """What the audit system, and the kernel's log, are set to, or that auditd does not run."""

    EXCLUSIVE = True

    def setUp(self) -> None:
        super().setUp()
        require(not os.path.exists("/run/auditd.pid"), "no auditd that runs already")
        require_command("auditctl")

    def test_kmsg(self) -> None:
        """The kernel writes no more than ten records in some time there, whosever they are (printk_ratelimit)."""
        # Not five seconds, which on a busy machine are over before the next run.
        self.set_sysctl("printk_ratelimit", "60")

        def named(kind: str, count: int) -> int:
            result = self.run_source("kmsg", self.deny, kind, str(count))
            found = sum(int(str(event["count"])) for event in self.read_events())
            if found < count:
                self.assertIn("the kernel's log takes 10 audit records in 60 s", result.stderr)
                self.assertEqual(result.returncode, 125)
            return found

        for kind in ("self", "grandchild", "daemon"):
            named(kind, 1)
        # What comes right behind so many is lost, unless the five seconds happen to be over just then.
        for _ in range(5):
            named("self", 15)
            last = named("self", 1)
            if not last:
                break
        self.assertLess(last, 1, "the limit was not reached: this tests nothing")

    def set_sysctl(self, name: str, value: str) -> None:
        path = pathlib.Path("/proc/sys/kernel", name)
        self.addCleanup(path.write_text, path.read_text())
        path.write_text(value)

    def test_kmsg_unlimited(self) -> None:
        """With a name that the kernel's log escapes, and one that audit does."""
        self.set_sysctl("printk_ratelimit", "0")
        self.check("kmsg")
        for name in ("back\\slash", "a b\"c"):
            program = self.folder / name
            program.symlink_to(self.deny)
            result = self.run_source("kmsg", str(program), "self", "15")
            self.assertEqual([(event["comm"], event["exe"]) for event in self.read_events()], [(name, self.deny)] * 15)
            self.assertEqual(result.returncode, 2, result.stderr)

    def test_forged_messages(self) -> None:
        """Who may write to the kernel's log can write a record, but not as the kernel (syslog(3), LOG_KERN)."""
        self.set_sysctl("printk_ratelimit", "0")
        text = ("audit: type=1326 audit(1700000000.123:1): auid=0 uid=0 gid=0 ses=%s pid=%s comm=\"forged\" "
                "exe=\"/forged\" sig=0 arch=c000003e syscall=63 compat=0 ip=0x0 code=0x50001")
        self.assertTrue(spoc.parse_audit_record(text % (1, 1)))
        result = self.run_source("kmsg", "sh", "-c", 'printf "$1" $(cat /proc/self/sessionid) $$ >/dev/kmsg; exec "$0"',
                                 self.deny, text)
        self.assertEqual(result.returncode, 2, result.stderr)
        self.assertEqual([event["comm"] for event in self.read_events()], [os.path.basename(self.deny)[:15]])

    def test_not_audited(self) -> None:
        logged = pathlib.Path("/proc/sys/kernel/seccomp/actions_logged").read_text().split()
        self.set_sysctl("seccomp/actions_logged", " ".join({*logged} - {"errno"}))
        result = self.run_source("netlink", "true")
        self.assertEqual(result.returncode, 125)
        self.assertRegex(result.stderr, r"read audit records: errno: the kernel does not audit this action; "
                                        r"sysctl -w kernel\.seccomp\.actions_logged='[a-z_ ]* errno'")
        self.assertEqual(self.run_source("netlink", "true", action="SCMP_ACT_TRAP").returncode, 0)

    def test_dropped_by_the_kernel(self) -> None:
        require_command("auditctl")
        self.addCleanup(audit_control, "-r", "0")
        audit_control("-r", "3")
        result = self.run_source("netlink", self.deny, "self", "100")
        self.assertEqual(result.returncode, 125)
        self.assertRegex(result.stderr, r"the kernel dropped \d+ audit records?: backlog_limit is \d+, rate_limit 3")

    def test_no_audit_log(self) -> None:
        result = self.run_source("audit-log", "true", options=("--audit-log", str(self.folder / "none")))
        self.assertEqual(result.returncode, 125)
        self.assertRegex(result.stderr, r"Error: read audit records: \S+: auditd, which writes it, does not run; start")


@unittest.skipUnless(ON_X86_64, "the numbers are those of x86_64")
class AuditLog(SourceCase):
    """The log of a real auditd, with its own configuration in the test's folder; there is one on a machine."""

    EXCLUSIVE = True
    auditd: "Optional[subprocess.Popen[bytes]]" = None

    def setUp(self) -> None:
        super().setUp()
        require_command("auditd", "auditctl")
        require(not os.path.exists("/run/auditd.pid"), "no auditd that runs already")
        self.start()

    def start(self, *settings: str) -> None:
        self.log = self.folder / "log" / "audit.log"
        self.log.parent.mkdir(mode=0o700, exist_ok=True)
        (self.folder / "plugins.d").mkdir(exist_ok=True)
        (self.folder / "auditd.conf").write_text("\n".join([
            f"log_file = {self.log}", "log_format = RAW", "flush = NONE", f"plugin_dir = {self.folder}/plugins.d",
            "num_logs = 5", "max_log_file = 8", "max_log_file_action = ROTATE", "space_left = 2",
            "space_left_action = IGNORE", "admin_space_left = 1", "admin_space_left_action = IGNORE",
            "disk_full_action = IGNORE", "disk_error_action = IGNORE", *settings, ""]))
        os.chmod(self.folder / "auditd.conf", 0o640)
        self.auditd = subprocess.Popen(["auditd", "-n", "-c", str(self.folder)], stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL, env={**os.environ, "PATH": "/usr/sbin:/usr/bin"})
        self.addCleanup(self.stop)  # once it has ended the kernel has no other to send to
        deadline = time.monotonic() + WAIT_S
        while not self.log.exists() or not self.log.stat().st_size or not audit_daemon():
            self.assertLess(time.monotonic(), deadline, "auditd did not start")
            time.sleep(0.05)

    def stop(self) -> None:
        if self.auditd:
            self.auditd.terminate()
            self.auditd.wait(WAIT_S)
            self.auditd = None

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
        self.assertRegex(" ".join(run_spoc("doctor").stdout.split()),
                         r"netlink can be read; auditd runs; .*kmsg: a running auditd takes")
        result = self.run_source("audit-log", "true", options=("--audit-log", str(self.folder / "none")))
        self.assertEqual(result.returncode, 125)
        self.assertRegex(result.stderr, r"Error: read audit records: \S+: No such file or directory; start auditd")

    def check_log(self, script: str, times: int, code: int = 0, reason: str = "") -> None:
        """So many calls are named of what a script with DENY and STEP, a pause for auditd, in it does."""
        script = script.replace("DENY", f"{self.deny} self >&2").replace("STEP", "sleep 0.4")
        result = self.run_source("audit-log", "sh", "-c", f"{script}; sleep 0.2", options=self.options)
        self.assertEqual(sum(int(str(event["count"])) for event in self.read_events()), times, result.stderr)
        self.assertEqual(result.returncode, code, result.stderr)
        self.assertIn(reason, result.stderr)

    def test_rotation(self) -> None:
        """By auditd itself: once, and several times between two looks; the pid is spoc.py's."""
        assert self.auditd
        rotate = f"kill -USR1 {self.auditd.pid}; STEP"
        self.check_log(f"DENY; STEP; {rotate}; DENY", 2)
        self.check_log(f"kill -STOP $PPID; DENY; STEP; {rotate}; DENY; STEP; {rotate}; DENY; STEP; kill -CONT $PPID", 3)
        self.check_log(f"kill -STOP $PPID; DENY; STEP; {rotate}; DENY; STEP; {rotate}; kill -CONT $PPID", 2)

    def test_logrotate(self) -> None:
        """With `create`, auditd writes to the old log until it is told; with dates for names, none may be missed."""
        assert self.auditd
        log, rotate = self.log, f"kill -USR1 {self.auditd.pid}; STEP"
        self.check_log(f"DENY; STEP; mv {log} {log}.1; : > {log}; DENY; STEP; {rotate}; DENY", 3)
        self.check_log(f"DENY; STEP; mv {log} {log}-20240101; DENY; STEP; {rotate}; DENY", 3)
        self.check_log(f"kill -STOP $PPID; DENY; STEP; mv {log} {log}-2; {rotate}; DENY; STEP; mv {log} {log}-3; "
                       f"{rotate}; DENY; STEP; kill -CONT $PPID", 2, 125, "was cut off or replaced, perhaps before all")

    def test_truncation(self) -> None:
        """As by logrotate's copytruncate: read before, not read before, and grown beyond where it was since."""
        self.check_log(f"DENY; STEP; : > {self.log}; STEP; DENY", 2)
        reason = "was cut off or replaced, perhaps before all of it was read"
        self.check_log(f"kill -STOP $PPID; DENY; STEP; : > {self.log}; DENY; STEP; kill -CONT $PPID", 1, 125, reason)
        self.check_log(f"DENY; STEP; kill -STOP $PPID; : > {self.log}; {self.deny} self 200; STEP; kill -CONT $PPID",
                       201)

    def test_junk(self) -> None:
        """After a power cut a log may hold zeros, or half a line; and of users' messages no word counts."""
        require_command("auditctl")
        self.check_log(f"head -c 200000 /dev/zero >> {self.log}; echo >> {self.log}; DENY; STEP; DENY", 2)
        self.check_log("auditctl -m 'type=SECCOMP msg=audit(1.1:1): ses=1 pid=1'; DENY", 1)
        self.check_log(f"echo 'type=SECCOMP msg=audit(1.1:1): auid' >> {self.log}; DENY", 1, 125, "is not understood")

    def test_stopped(self) -> None:
        """auditd ends in the middle, or has ended before; the log that it leaves says nothing."""
        assert self.auditd
        self.check_log(f"DENY; STEP; kill {self.auditd.pid}; STEP; DENY", 1, 125, "auditd was started or stopped")
        result = self.run_source("audit-log", "true", options=self.options)
        self.assertEqual(result.returncode, 125)
        self.assertRegex(result.stderr, r"Error: read audit records: \S+: auditd, which writes it, does not run; start")
        # The kernel goes on with audit enabled then.
        self.assertEqual(len(self.run_source("netlink", self.deny).stderr.splitlines()), 3)

    def test_node_and_translation(self) -> None:
        """Names of hosts before each record, and what it means behind it."""
        self.stop()
        self.start("name_format = USER", "name = a.b:c", "log_format = ENRICHED")
        self.check_log("DENY; STEP; DENY", 2)
        self.assertIn("node=a.b:c type=SECCOMP ", self.log.read_text())
        self.assertIn("\x1dARCH=", self.log.read_text())

    def test_link(self) -> None:
        """The log named through a symbolic link to its folder."""
        assert self.auditd
        (self.folder / "link").symlink_to(self.log)
        self.log = self.folder / "link"
        self.check_log(f"DENY; kill -USR1 {self.auditd.pid}; STEP; DENY", 2)


if __name__ == "__main__":
    unittest.main()
