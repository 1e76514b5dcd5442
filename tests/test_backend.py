# SPDX-License-Identifier: MIT
"""`record --backend notify` finds what BPF and strace find, as root and as anybody; `auto` takes what works."""

import errno
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import unittest
from typing import AbstractSet, Any, Dict, Sequence, Set, Tuple

from cases import BPF_RAW_TRACEPOINT_OPEN, CopyCase, calls_after_exec
from support import (CLOCK, DATA, NATIVE, NOBODY, NOTIFY, ON_X86_64, WITH_X86, build, in_mounts, library_path, require,
                     require_command, seen_syscalls, spoc, wait_until)

TIER = "kernel"

# Not test_errors' user, whose processes are counted there.
ANYBODY = 65533
AS_ANYBODY = ("setpriv", f"--reuid={ANYBODY}", f"--regid={ANYBODY}", "--clear-groups")
DOCKERS_NAME = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), "")
IS_FILTERED = "spoc.py itself is under a seccomp filter"


class AnybodyCase(CopyCase):
    """A case of a user without any privilege."""

    def as_anybody(self, *command: str, options: Sequence[str] = (), code: int = 0, before: Sequence[str] = (),
                   wrapper: Sequence[str] = AS_ANYBODY) -> "Tuple[Set[str], str]":
        """What `record` finds for a command, and what it says."""
        self.profile.unlink(missing_ok=True)
        result = subprocess.run([*before, *wrapper, sys.executable, str(self.program), "record", "-n", "-t",
                                 "raw-seccomp", "-o", str(self.profile), *options, "--", *command],
                                cwd=self.open, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True, timeout=120)
        self.assertEqual(result.returncode, code, result.stderr)
        if not self.profile.exists():
            return set(), result.stderr
        document = json.loads(self.profile.read_text())
        if "-q" in options:  # the log does not say what was seen
            return {name for rule in document["syscalls"] for name in rule["names"]}, result.stderr
        return seen_syscalls(document, result.stderr), result.stderr

    def traced(self, *command: str) -> Set[str]:
        log = self.open / "strace.log"
        subprocess.run([*AS_ANYBODY, "strace", "-f", "-qq", "-o", str(log), "--", *command], cwd=self.open, check=True,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return calls_after_exec(log.read_text("utf-8"))

    def by_bpf(self, *command: str) -> Set[str]:
        """What BPF finds for root's command as this user."""
        profile = self.folder / "bpf.json"
        result = spoc("record", "--backend", "bpf", "-n", "-t", "raw-seccomp", "-o", str(profile), "--", *command,
                      cwd=self.open, env={**os.environ, "SUDO_UID": str(ANYBODY), "SUDO_GID": str(ANYBODY)})
        self.assertEqual(result.returncode, 0, result.stderr)
        return seen_syscalls(json.loads(profile.read_text()), result.stderr)


class Anybody(AnybodyCase):
    """Without privilege, whatever the backend that is asked for."""

    def assert_recorded(self, *command: str, allowed: AbstractSet[str] = frozenset(),
                        architectures: Set[str] = NATIVE) -> None:
        found, log = self.as_anybody(*command)
        self.assertIn("Recording with user notification: load BPF programs: ", log)
        self.assertIn("Setting no_new_privs", log)
        self.assertEqual(found, self.traced(*command) - allowed)
        self.assertEqual(found, self.by_bpf(*command))
        self.assertEqual(set(json.loads(self.profile.read_text())["architectures"]), architectures)

    def test_programs(self) -> None:
        require_command("strace")
        for kind in ("leaf", "threads", "fork", "vfork", "spawn", "clone3", "exec-in-thread", "double-fork", "signal",
                     "restart", "ends"):
            with self.subTest(kind):
                self.assert_recorded(build("truth.c"), kind)
        with self.subTest("own-filter"):
            self.assert_recorded(build("truth.c"), "own-filter", allowed={"tee"})
        with self.subTest("static"):
            self.assert_recorded(build("truth.c", "-static"), "leaf")

    def test_scripts(self) -> None:
        require_command("strace")
        self.assert_recorded("sh", "-c", "printf 'b\\na\\n' | sort | (read n rest; cat; test $n = a)")
        self.assert_recorded("/usr/bin/python3", "-I", "-B", "-c",
                             "import subprocess; subprocess.run(['uname'], check=True)")

    def test_32_bit_calls(self) -> None:
        require(ON_X86_64, "an x86_64 machine")
        self.assert_recorded(build("truth.c", "-m32"), "fork", architectures=WITH_X86)
        self.assert_recorded(build("truth.c"), "x32", architectures=NATIVE | {"SCMP_ARCH_X32"})

    def test_defaults(self) -> None:
        """As short as can be, with a /tmp of its own."""
        script = f"{sys.executable} spoc.py record true; stat -c %u /tmp/profile.yaml; cat /tmp/profile.yaml"
        result = subprocess.run([*in_mounts(f"mount --bind {self.folder} /mnt; cd /mnt; mount -t tmpfs none /tmp"),
                                 *AS_ANYBODY, "sh", "-ec", script], stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertTrue(result.stdout.startswith(f"{ANYBODY}\napiVersion: "), result.stdout)

    def test_log_lines(self) -> None:
        _, log = self.as_anybody("sh", "-c", "/bin/true", options=NOTIFY)
        lines = [re.sub(r"\d+", "N", re.sub(rf"^{CLOCK} ", "", line)) for line in log.splitlines()]
        namespace = "pid=N, mntns=N"
        self.assertEqual([re.sub(r"no container in.*|(syscalls|by itself): .*", "...", line) for line in lines], [
            "Recording with user notification", "Setting no_new_privs: set-uid programs will not change the user",
            "Processing events", "Running command with PID: N", "Received event: pid: N, mntns: N",
            f"No container ID found for PID ({namespace}, ...", "Processing recorded data", "Answered N notifications",
            "Got ...", "Adding what the kernel makes ...",
            f"Wrote seccomp profile to: {re.sub('[0-9]+', 'N', str(self.profile))}"])


class SetUid(AnybodyCase):
    """no_new_privs keeps programs from changing the user, and spoc.py says so."""

    MESSAGE = "gets no other user, group or capabilities: no_new_privs is set"

    def make(self, name: str, mode: int, capabilities: str = "", owner: int = 1) -> str:
        path = self.open / name
        shutil.copy(build("truth.c"), path)
        os.chown(path, owner, owner)
        path.chmod(mode)
        if capabilities:
            subprocess.run(["setcap", capabilities, str(path)], check=True)
        return str(path)

    def test_programs(self) -> None:
        require_command("setcap")
        for name, mode, capabilities in (("set-uid", 0o4755, ""), ("set-gid", 0o2755, ""), ("unreadable", 0o4711, ""),
                                         ("capable", 0o755, "cap_net_raw+ep")):
            path = self.make(name, mode, capabilities)
            commands = {"itself": (path, "leaf"), "by a shell": ("sh", "-c", f"{path} leaf; {path} leaf; true"),
                        "by name": ("env", f"PATH={self.open}", name, "leaf"),
                        "relative": ("sh", "-c", f"./{name} leaf; true"),
                        "execveat": (sys.executable, "-c", f"import os; os.execve(os.open({path!r}, os.O_PATH), "
                                                           "['x', 'leaf'], {})")}
            for way, command in commands.items():
                with self.subTest(way, program=name):
                    found, log = self.as_anybody(*command, options=("-q",))
                    self.assertEqual(re.findall(f"Error: (.*) {re.escape(self.MESSAGE)}", log), [path])
                    self.assertIn("tee", found)

    def test_others(self) -> None:
        path = self.make("plain", 0o755)
        self.assertEqual(self.as_anybody(path, "leaf", options=("-q", *NOTIFY))[1], "")

    def test_root_needs_no_such_thing(self) -> None:
        path = self.make("set-uid", 0o4755, owner=NOBODY)
        _, log = self.as_anybody(path, "set-uid", options=NOTIFY, wrapper=())
        self.assertNotIn("no_new_privs", log)


class Meanwhile(AnybodyCase):
    """What else happens to the command while its calls are answered."""

    def count(self, code: str, name: str, options: Sequence[str] = ()) -> int:
        """How many calls of that name --stats counts in a Python program."""
        _, log = self.as_anybody(sys.executable, "-I", "-S", "-c", code, options=(*NOTIFY, "--stats", *options))
        counted = re.search(rf"^{name} +(\d+)  +\S+ s  (\S+) \(\d+\)", log, re.MULTILINE)
        assert counted, log
        self.assertIn(counted[2], ("python3", os.path.basename(os.path.realpath(sys.executable))))
        return int(counted[1])

    def test_counts(self) -> None:
        self.assertEqual(self.count("import os\nfor _ in range(5000): os.getpgid(0)", "getpgid"), 5000)

    def test_signals(self) -> None:
        """A handler each millisecond, which restarts what it interrupts: each call is made, and counted, once."""
        code = ("import os, signal\nsignal.signal(signal.SIGALRM, lambda *_: None)\n"
                "signal.siginterrupt(signal.SIGALRM, False)\nsignal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)\n"
                "for _ in range(5000): os.getpgid(0)\nsignal.setitimer(signal.ITIMER_REAL, 0)\n")
        self.assertEqual(self.count(code, "getpgid"), 5000)

    def test_signals_that_restart_nothing(self) -> None:
        """The program may see EINTR where there was none before, and calls again; what was interrupted is no call."""
        code = ("import ctypes, os, signal\nsignal.signal(signal.SIGALRM, lambda *_: None)\n"
                "signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)\nlibc, made = ctypes.CDLL(None), 0\n"
                "while made < 5000: made += libc.getpgid(0) > 0\nsignal.setitimer(signal.ITIMER_REAL, 0)\n")
        self.assertEqual(self.count(code, "getpgid"), 5000)

    def test_calls_in_vain(self) -> None:
        """Killed while their calls wait, by the hundred, and stopped and continued."""
        code = ("import os, signal, time\n"
                "for i in range(300):\n"
                "    pid = os.fork()\n"
                "    if not pid:\n"
                "        while True: os.getpgid(0)\n"
                "    if i % 3 == 0: os.kill(pid, signal.SIGSTOP); os.kill(pid, signal.SIGCONT)\n"
                "    if i % 5 == 0: time.sleep(0.002)\n"
                "    os.kill(pid, signal.SIGKILL); os.waitpid(pid, 0)\n"
                "os.getsid(0)\n")
        self.assertEqual(self.count(code, "getsid"), 1)

    def test_tracer_inside(self) -> None:
        require_command("strace")
        log = self.open / "inner.log"
        command = ("strace", "-f", "-qq", "-o", str(log), build("truth.c"), "fork")
        found, _ = self.as_anybody(*command, options=NOTIFY)
        # Whether strace's child has to wait for it is chance.
        self.assertEqual(found - {"pause"}, self.by_bpf(*command) - {"pause"})
        self.assertIn("ptrace", found)
        self.assertEqual(calls_after_exec(log.read_text("utf-8")), self.traced(build("truth.c"), "fork"))

    def test_filter_of_its_own(self) -> None:
        result = self.output(build("listener.c"), "refuse")
        self.assertEqual(result, (f"0 {errno.EXDEV}\n", ""))
        self.assertNotIn("tee", self.names())

    def test_listener_of_its_own(self) -> None:
        """The kernel allows one; the program gets its answer, and spoc.py says whose fault it is."""
        said, log = self.output(build("listener.c"), "own")
        self.assertEqual(said, f"{errno.EBUSY} {errno.EBADF}\n")
        self.assertRegex(log, rf"\A{CLOCK} Error: seccomp of process \d+ fails with EBUSY: [^\n]+\n\Z")
        self.assertLessEqual({"seccomp", "tee"}, set(self.names()))
        self.assertIn("; record with BPF, ", log)
        result = spoc("record", "-q", "-n", "--backend", "bpf", "-o", "/dev/null", build("listener.c"), "own")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertNotEqual(result.stdout, said)

    def test_strict_mode(self) -> None:
        """PR_GET_SECCOMP and PR_SET_SECCOMP, SECCOMP_MODE_STRICT (linux/prctl.h), as docs/manual.md says."""
        program = ("import ctypes; libc = ctypes.CDLL(None, use_errno=True)\n"
                   "print(libc.prctl(21, 0, 0, 0, 0), libc.prctl(22, 1, 0, 0, 0), ctypes.get_errno())")
        self.assertEqual(self.output(sys.executable, "-c", program), (f"2 -1 {errno.EINVAL}\n", ""))

    def test_tracing_filter_of_its_own(self) -> None:
        """Our answer outranks SECCOMP_RET_TRACE, as docs/manual.md says: the call happens."""
        self.assertEqual(self.output(build("listener.c"), "trace"), (f"0 {errno.EBADF}\n", ""))

    def test_listener_of_a_32_bit_program(self) -> None:
        said, log = self.output(build("listener.c", "-m32", "-static"), "own")
        self.assertEqual(said, f"{errno.EBUSY} {errno.EBADF}\n")
        self.assertRegex(log, rf"\A{CLOCK} Error: seccomp of process \d+ fails with EBUSY: [^\n]+\n\Z")

    def test_requests_that_cannot_succeed(self) -> None:
        """The kernel says what it says without us, and we say nothing."""
        for flags in ((), ("-m32", "-static")):
            program = build("listener.c", *flags)
            alone = subprocess.run([program, "probe"], stdout=subprocess.PIPE, text=True, check=True).stdout
            self.assertLessEqual({str(errno.EFAULT), str(errno.EINVAL)}, set(alone.split()))
            self.assertEqual(self.output(program, "probe"), (alone, ""))

    def test_libseccomp_probes(self) -> None:
        """Every program that uses libseccomp asks for a listener with a null pointer."""
        source = self.folder / "probe.c"
        source.write_text('#include <seccomp.h>\n#include <stdio.h>\nint main(void) { scmp_filter_ctx context = '
                          'seccomp_init(SCMP_ACT_ALLOW); printf("%d\\n", seccomp_load(context)); return 0; }\n')
        program = self.open / "probe"
        subprocess.run(["gcc", "-o", str(program), str(source), "-lseccomp"], check=True)
        traced = subprocess.run(["strace", "-e", "trace=seccomp", str(program)], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, check=True)
        self.assertRegex(traced.stderr, r"NEW_LISTENER, NULL\) += -1 EFAULT")
        self.assertEqual(self.output(str(program)), (traced.stdout, ""))

    def output(self, *command: str) -> "Tuple[str, str]":
        self.profile.unlink(missing_ok=True)
        result = subprocess.run([*AS_ANYBODY, sys.executable, str(self.program), "record", "-q", "-n", *NOTIFY, "-t",
                                 "raw-seccomp", "-o", str(self.profile), "--", *command], stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout, result.stderr

    def test_a_recording_of_a_recording(self) -> None:
        _, log = self.as_anybody(sys.executable, str(self.program), "record", *NOTIFY, "-o", "/dev/null", "true",
                                 options=NOTIFY, code=125)
        self.assertRegex(log, r"Error: load filter: true: Device or resource busy; a filter that spoc\.py is under")

    def test_checkpoint_and_append(self) -> None:
        self.as_anybody("true", options=NOTIFY)
        before = set(self.names())
        process = self.launch(*AS_ANYBODY, sys.executable, str(self.program), "record", "-q", "-n", *NOTIFY, "-t",
                              "raw-seccomp", "--append", "--checkpoint", "1", "-o", str(self.profile), "--",
                              "sh", "-c", "uname; cat", stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        self.assertTrue(wait_until(lambda: "uname" in self.names()))
        process.kill()
        assert process.stdin
        process.stdin.close()
        process.wait()
        self.assertLess(before, set(self.names()))

    def test_spoc_is_killed(self) -> None:
        """Nobody is left to ask: each call fails with ENOSYS, as docs/manual.md says, and nothing hangs."""
        program = self.open / "program.py"
        program.write_text("import ctypes, os, time\nlibc = ctypes.CDLL(None, use_errno=True)\n"
                           "open('pid', 'w').write(str(os.getpid()))\nos.rename('pid', 'ready')\n"
                           "while libc.getpgid(0) > 0: pass\n"
                           f"os._exit(ctypes.get_errno() == {errno.ENOSYS})\n")
        process = self.launch(*AS_ANYBODY, sys.executable, str(self.program), "record", "-q", *NOTIFY, "-o",
                              str(self.profile), sys.executable, str(program), cwd=self.open)
        self.assertTrue(wait_until((self.open / "ready").exists))
        pid = int((self.open / "ready").read_text())
        process.kill()
        process.wait()
        self.assertTrue(wait_until(lambda: not os.path.exists(f"/proc/{pid}")))


def capabilities(*names: str) -> Tuple[str, ...]:
    """More of setpriv's options: these capabilities and no others."""
    listed = ",".join(["-all", *(f"+{name}" for name in names)])
    return f"--inh-caps={listed}", f"--ambient-caps={listed}"


class Surroundings(AnybodyCase):
    """Where spoc.py itself, or the command, runs in a world of its own."""

    def assert_finds_all(self, *before: str, wrapper: Sequence[str] = AS_ANYBODY, options: Sequence[str] = NOTIFY,
                         refused: AbstractSet[str] = frozenset()) -> str:
        found, log = self.as_anybody(build("truth.c"), "fork", before=before, wrapper=wrapper, options=options)
        expected = self.by_bpf(build("truth.c"), "fork")
        self.assertLessEqual(refused, expected)
        self.assertEqual(found, expected - refused)
        return log

    def test_no_proc(self) -> None:
        script = in_mounts("mount -t tmpfs none /proc")
        self.assert_finds_all(*script)
        log = self.assert_finds_all(*script, options=("--stats",), wrapper=())
        reason = "use BPF: /proc/self/ns/pid: No such file or directory; mount -t proc proc /proc"
        self.assertIn(f"Recording with user notification: {reason}", log)
        # Whose id the command's is cannot be told in a namespace of its own.
        for before in (script, ("unshare", "--pid", "--fork", *script)):
            _, log = self.as_anybody("true", before=before, wrapper=(), options=("--backend", "bpf"), code=125)
            self.assertRegex(log, f"{reason}\n\\Z")
            self.assertNotIn("Running command", log)

    def test_init_of_a_pid_namespace(self) -> None:
        """As which unshare without --fork would have the command."""
        for options in (NOTIFY, ("--backend", "bpf"), ()):
            _, log = self.as_anybody("true", before=("unshare", "--pid"), wrapper=(), options=options, code=125)
            self.assertRegex(log, r"in another pid namespace: it would be its init; unshare needs --fork\n\Z")
            self.assertNotIn("Running command", log)

    def test_pid_namespaces(self) -> None:
        own = ("unshare", "--pid", "--fork", "--mount-proc")
        for options in (NOTIFY, (*NOTIFY, "--stats")):
            self.assert_finds_all(*own, options=options)
            self.assert_finds_all("unshare", "--pid", "--fork", options=options)  # with the host's /proc
        for before in (own, ("unshare", "--pid", "--fork"), ("unshare", "--pid", "--fork", *in_mounts(
                "mount -t tmpfs none /proc"))):
            with self.subTest(before):
                self.assert_finds_all(*before, wrapper=(), options=())

    def test_command_in_a_pid_namespace(self) -> None:
        command = ("unshare", "--user", "--pid", "--fork", build("truth.c"), "fork")
        probe = subprocess.run([*AS_ANYBODY, *command], stderr=subprocess.PIPE, text=True)
        require(probe.returncode == 0, f"user namespaces for everybody ({probe.stderr.strip()})")
        found, _ = self.as_anybody(*command, options=NOTIFY)
        self.assertEqual(found, self.by_bpf(*command))
        found, _ = self.as_anybody(*command, options=(*NOTIFY, "--follow", "--stats"))
        self.assertEqual(found, self.by_bpf(*command))

    def test_under_dockers_filter(self) -> None:
        """Its default profile, which has neither bpf nor pidfd_getfd for those without capabilities."""
        profile = self.open / "docker.json"  # the tests' own folder may be in root's home
        shutil.copy(DATA / "docker-default.json", profile)
        for names in ((), ("bpf", "perfmon")):
            with self.subTest(names):
                log = self.assert_finds_all(
                    "unshare", "--pid", "--fork", "--mount-proc", *AS_ANYBODY, *capabilities(*names), sys.executable,
                    str(self.program), "run", "-q", "--no-new-privs", "--enricher", "none", "-p",
                    str(profile), wrapper=(), options=(), refused={"kcmp"})
                self.assertIn(IS_FILTERED, log)
                self.assertEqual("Recording with user notification" in log, not names, log)

    def test_kernel_without_pid_namespaces(self) -> None:
        """It has no such file in /proc."""
        self.assert_finds_all(*in_mounts("mount -t tmpfs none /proc/$$/ns"), wrapper=())

    def test_no_filter_no_warning(self) -> None:
        self.assertNotIn(IS_FILTERED, self.assert_finds_all())


class Container(AnybodyCase):
    """Inside runc, with the host's files but neither its /proc nor its pids, under Docker's filter."""

    def setUp(self) -> None:
        super().setUp()
        require_command("runc")
        self.rootfs = self.folder / "rootfs"
        self.rootfs.mkdir()

    def filter(self, held: Sequence[str]) -> Dict[str, Any]:
        """Docker's default profile in the form that runc takes."""
        document = json.loads((DATA / "docker-default.json").read_text())
        rules = [{key: rule[key] for key in ("names", "action", "args", "errnoRet") if key in rule}
                 for rule in document["syscalls"]
                 if set(rule.get("includes", {}).get("caps", ())) <= set(held)
                 and DOCKERS_NAME in rule.get("includes", {}).get("arches", [DOCKERS_NAME])
                 and not set(rule.get("excludes", {}).get("caps", ())) & set(held)]
        return {"defaultAction": document["defaultAction"], "defaultErrnoRet": 1, "syscalls": rules,
                "architectures": sorted(NATIVE)}

    def run_inside(self, held: Sequence[str], *command: str) -> "subprocess.CompletedProcess[str]":
        configuration = {
            "ociVersion": "1.0.2",
            "process": {"terminal": False, "user": {"uid": ANYBODY, "gid": ANYBODY}, "args": list(command),
                        "cwd": "/mnt", "env": [f"PATH={os.environ['PATH']}"], "noNewPrivileges": True, "capabilities": {
                            kind: list(held) for kind in
                            ("bounding", "effective", "permitted", "inheritable", "ambient")}},
            "root": {"path": "rootfs", "readonly": True},
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"},
                       {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
                       {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["mode=1777"]},
                       {"destination": "/mnt", "type": "bind", "source": str(self.open), "options": ["bind", "rw"]}],
            "linux": {"namespaces": [{"type": name} for name in ("pid", "mount", "ipc", "uts", "network")],
                      "seccomp": self.filter(held)},
        }
        (self.folder / "config.json").write_text(json.dumps(configuration))
        runtime = ["runc", "--root", str(self.folder / "state")]
        try:
            return subprocess.run([*in_mounts(f"mount --bind / {self.rootfs}"), *runtime, "run", "--bundle",
                                   str(self.folder), self.folder.name], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
        finally:
            subprocess.run([*runtime, "delete", "--force", self.folder.name], stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)

    def test_backends(self) -> None:
        expected = self.by_bpf(build("truth.c"), "fork")
        for path in map(str, (self.program, self.object, build("truth.c"))):
            shutil.copy(path, self.open)
        for held in ((), ("CAP_BPF", "CAP_PERFMON")):
            with self.subTest(held):
                result = self.run_inside(held, sys.executable, "spoc.py", "record", "-n", "-t", "raw-seccomp",
                                         "-o", "-", "./truth.c", "fork")
                self.assertEqual(result.returncode, 0, result.stderr)
                self.assertEqual(seen_syscalls(json.loads(result.stdout), result.stderr),
                                 expected - {"kcmp"})  # which the filter refuses
                self.assertIn(IS_FILTERED, result.stderr)
                self.assertEqual("Recording with user notification" in result.stderr, not held, result.stderr)


class Auto(CopyCase):
    """What `auto` goes on with where BPF does not work, each time for real; asked for by name it is an error."""

    def assert_falls_back(self, *wrapper: str, reason: str, environment: "Dict[str, str]" = {}) -> None:
        named = self.attempt(*wrapper, environment=environment)
        self.assertEqual(named.returncode, 125, named.stderr)
        self.assert_nothing_done()
        self.assert_works(self.attempt(*wrapper, backend="auto", environment=environment))
        self.assert_works(self.attempt(*wrapper, backend="notify", environment=environment))
        loud = subprocess.run([*wrapper, sys.executable, str(self.program), "record", "-n", "-o", "/dev/null", "true"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              env={**os.environ, **environment})
        lines = [line for line in loud.stderr.splitlines() if "user notification" in line]
        self.assertEqual((loud.returncode, len(lines)), (0, 1), loud.stderr)
        self.assertRegex(lines[0], rf"\A{CLOCK} Recording with user notification: {reason}")
        self.assertNotIn("Error:", loud.stderr)

    def test_bpf_where_it_works(self) -> None:
        result = subprocess.run([sys.executable, str(self.program), "record", "-n", "-o", "/dev/null", "true"],
                                stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.assertNotIn("user notification", result.stderr)
        self.assertIn("Module successfully loaded", result.stderr)

    def test_no_libbpf(self) -> None:
        path = library_path("libbpf.so.1")
        self.assert_falls_back(*self.hiding(path.parent, "libbpf.so.1", path.name),
                               reason="load library: libbpf.so.1: .*; install libbpf")

    def test_no_object(self) -> None:
        self.object.unlink()
        self.assert_falls_back(reason="read BPF object: .*: No such file or directory; copy spoc.py and recorder.bpf.o")

    def test_damaged_object(self) -> None:
        self.object.write_bytes(self.object.read_bytes()[:-1])
        self.assert_falls_back(reason="read BPF object: .*: it is damaged")

    def test_refused_by_a_filter(self) -> None:
        for number in (errno.EPERM, errno.ENOSYS):
            self.assert_falls_back(build("refuse.c"), str(number), "-1",
                                   reason=f"load BPF programs: .*: {os.strerror(number)}")
        self.assert_falls_back(build("refuse.c"), str(errno.ENOENT), str(BPF_RAW_TRACEPOINT_OPEN),
                               reason="attach to tracepoint: ")

    def test_nothing_works(self) -> None:
        """Neither bpf(2) nor seccomp(2): one line that says both."""
        profile = self.folder / "neither.json"
        profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["bpf", "seccomp"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno.ENOSYS}]}))
        wrapper = (sys.executable, str(self.program), "run", "-q", "--enricher", "none", "-p", str(profile), "--")
        for backend in ("auto", "notify"):
            result = self.attempt(*wrapper, backend=backend)
            lines = [line for line in result.stderr.splitlines() if "Error" in line]
            self.assertEqual((result.returncode, len(lines)), (125, 1), result.stderr)
            self.assertIn("use user notification: seccomp(2): Function not implemented; Linux 5.5 or newer with "
                          "CONFIG_SECCOMP_FILTER is needed", lines[0])
            self.assertEqual("load BPF programs: " in lines[0], backend == "auto")
            self.assert_nothing_done()

    def test_unknown_backend(self) -> None:
        result = self.attempt(backend="ebpf")
        self.assertEqual(result.returncode, 2)
        self.assertRegex(result.stderr, r"--backend ebpf: not one of auto, bpf, notify")


if __name__ == "__main__":
    unittest.main()
