# SPDX-License-Identifier: MIT
"""The command: what it keeps, signals, terminals, daemons, users, exit codes, and what is said meanwhile."""

import errno
import fcntl
import json
import os
import pathlib
import platform
import re
import signal
import subprocess
import sys
import time
import unittest
from typing import Any, Dict, List, Optional, Sequence, Tuple

import yaml

import spoc
import support
from cases import HANDLER, LOG_LINE, PYTHON, ChildCase, NotifyChildCase, has_taken_signals
from support import WAIT_S

TIER = "kernel"
PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
# Has a process attach to it, which says its pid and waits for ever. PTRACE_ATTACH is 16.
HELD = r"""
import ctypes, os, signal, time
if not os.fork():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if ctypes.CDLL(None).ptrace(16, os.getppid(), None, None):
        os._exit(1)
    os.close(2)
    os.write(1, b"%d\n" % os.getpid())
    os.close(1)
    while True:
        signal.pause()
while True:
    time.sleep(0.01)
"""
# Forks away, for real: PIDFILE TRIGGER. The daemon waits for the trigger, makes a call that nothing else here does, and
# ends.
DAEMON = r"""
import os, sys, time
if os.fork():
    os.wait()
    os._exit(4)
os.setsid()
if os.fork():
    os._exit(0)
with open(sys.argv[1] + ".new", "w") as file:
    file.write(str(os.getpid()))
os.rename(sys.argv[1] + ".new", sys.argv[1])
while not os.path.exists(sys.argv[2]):
    time.sleep(0.05)
os.getpriority(0, 0)
"""


class ExitCodes(ChildCase):
    """The command's own, 128+N, 125, 126, 127, 2."""

    def check(self, code: int, *command: str, **run: Any) -> str:
        result = support.spoc("record", "-n", "-o", str(self.profile), "--", *command, **run)
        self.assertEqual(result.returncode, code, result.stderr)
        self.assertNotIn("Traceback", result.stderr)
        return result.stderr

    def test_own(self) -> None:
        for code in (0, 1, 2, 7, 124, 125, 126, 127, 128, 255):
            self.check(code, "sh", "-c", f"exit {code}")
            self.assertIn("exit_group", self.names())
            self.profile.unlink()

    def test_signal(self) -> None:
        for name in ("HUP", "INT", "QUIT", "ABRT", "KILL", "SEGV", "PIPE", "TERM", "USR1"):
            stderr = self.check(128 + getattr(signal, f"SIG{name}"), "sh", "-c", f"ulimit -c 0; kill -{name} $$")
            self.assertIn("kill", self.names())
            self.assertNotIn("Error", stderr)
            self.profile.unlink()

    def test_not_found(self) -> None:
        script = self.folder / "script"
        script.write_text("#!/no/such/interpreter\n")
        script.chmod(0o755)
        for name in ("no-such-command", "/no/such/command", "", str(self.folder / "none"), str(script)):
            with self.subTest(name=name):
                self.profile.unlink(missing_ok=True)
                error = self.check(127, name)
                self.assertRegex(error, rf"Error: start command: {re.escape(name)}[^\n]*No such file or directory; ")
                self.assertFalse(self.profile.exists())
                # It is looked for before anything is made ready for it; that its interpreter is there is not known.
                self.assertEqual(error.count("\n") == 1, name != str(script), error)
        self.assertIn("interpreter", self.check(127, str(script)))

    def test_not_executable(self) -> None:
        plain, garbage = self.folder / "plain", self.folder / "garbage"
        plain.write_text("#!/bin/sh\n")
        garbage.write_bytes(b"\x7fELF" + bytes(200))
        garbage.chmod(0o755)
        for path, reason in ((plain, "Permission denied"), (self.folder, "Permission denied"),
                             (garbage, "Exec format error")):
            with self.subTest(path=path):
                self.assertRegex(self.check(126, str(path)), rf"Error: start command: {path}: {reason}; ")
                self.assertFalse(self.profile.exists())

    def test_old_profile_stays(self) -> None:
        self.profile.write_text('{"defaultAction": "SCMP_ACT_ALLOW"}')
        self.check(127, "no-such-command")
        self.assertEqual(self.profile.read_text(), '{"defaultAction": "SCMP_ACT_ALLOW"}')
        self.assertEqual(os.listdir(self.folder), [self.profile.name])

    def test_path_is_searched_as_the_shell_does(self) -> None:
        folders = [self.folder / name for name in ("none", "denied", "first", "second")]
        for folder in folders[1:]:
            folder.mkdir()
            (folder / "tool").write_text(f"#!/bin/sh\necho {folder.name}\n")
        for folder in folders[2:]:
            (folder / "tool").chmod(0o755)
        environment = {**os.environ, "PATH": ":".join(map(str, folders))}
        result = subprocess.run(self.recorded("tool"), env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True, check=False)
        self.assertEqual((result.returncode, result.stdout), (0, "first\n"), result.stderr)
        for some in folders[:2], folders[1::-1]:  # whichever comes last
            self.check(126, "tool", env={**environment, "PATH": ":".join(map(str, some))})
        self.check(127, "tool", env={**environment, "PATH": str(folders[0])})

    def test_not_the_commands_fault(self) -> None:
        """Nor is a name that is empty left out of the message."""
        for number, code in ((errno.ENOMEM, 125), (errno.EAGAIN, 125), (errno.EMFILE, 125), (errno.EINVAL, 125),
                             (errno.EACCES, 126), (errno.ELIBBAD, 126), (errno.ENOENT, 127)):
            failure = spoc.exec_failure("", number, filtered=False)
            self.assertEqual(failure.exit_code, code)
            self.assertIn("start command: '': ", str(failure))
        child = object.__new__(spoc.Child)
        child.command, child.identity, child.filter = ("true",), spoc.Identity(1234, 1234, (), {}), None
        for stage, number, text in ((spoc.STAGE_USER, errno.EAGAIN, "true: .*ulimit -u"),
                                    (spoc.STAGE_USER, errno.EPERM, "as user 1234: .*--privileged"),
                                    (spoc.STAGE_FILTER, errno.ENOMEM, "true: .*ulimit -v")):
            self.assertRegex(str(child._failure(stage, number)), text)
        for child.filter, advised in ((spoc.Filter(b"", 0, False), True), (spoc.Filter(b"", 0, True), False),
                                      (spoc.Filter(spoc.ASK_ALL, 0, False), False)):  # record has no such option
            self.assertEqual("--no-new-privs" in str(child._failure(spoc.STAGE_FILTER, errno.EACCES)), advised)

    def test_bug(self) -> None:
        """It leaves no command behind, and is not taken for another result."""
        pid_file = self.folder / "pid"
        program = (f"import sys; sys.path.insert(0, {str(support.ROOT)!r}); import spoc\n"
                   "spoc.RecordCommand._checkpoint = lambda *_: {}['bug']\nsys.exit(spoc.main(sys.argv[1:]))")
        for options in ((), ("-v",)):
            result = subprocess.run(
                [sys.executable, "-c", program, *self.recorded(
                    "sh", "-c", f"echo $$ > {pid_file}; exec sleep 600", options=("--checkpoint", "1", *options))[2:]],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=WAIT_S)
            self.assertEqual(result.returncode, 125, result.stderr)
            self.assertRegex(result.stderr, r" Error: run: spoc.py: KeyError: 'bug'; report it"
                             + ("" if options else ", with what -v adds") + r"\n\Z")
            self.assertEqual("Traceback" in result.stderr, bool(options))
            pid = int(pid_file.read_text())
            self.addCleanup(self.kill_program, pid, b"sleep\0600\0")
            self.wait_for(lambda: not os.path.exists(f"/proc/{pid}/comm")
                          or "State:\tZ" in pathlib.Path(f"/proc/{pid}/status").read_text(), "the command's end")

    def test_checkpoint_in_weeks(self) -> None:
        """More milliseconds than poll(2) takes at once."""
        result = support.spoc("record", "-n", "-q", "-o", str(self.profile), "--checkpoint", "2147484", "--",
                              "true")
        self.assertEqual((result.returncode, result.stderr), (0, ""))

    def test_usage(self) -> None:
        started = self.folder / "started"
        touch = ("touch", str(started))
        for arguments in (
            (), ("frobnicate",), ("-x",), ("record",), ("record", "--"), ("record", "-x", *touch),
            ("record", "--no-such-option", *touch), ("record", "-o"), ("record", "--output-file"),
            ("record", "-o", "", *touch), ("record", "-t", "yaml", *touch), ("record", "-b", "", *touch),
            ("record", "-b", "read,,write", *touch), ("record", "-b", "no_such_syscall", *touch),
            *(("record", "--name", name, *touch) for name in ("Upper", "", "a_b", "-a", "a" * 254, "a/b", "a\n", "a.")),
            *(("record", "--checkpoint", value, *touch) for value in ("0", "-1", "x", "", "nan", "inf", "0.5")),
            ("record", "--append", "-o", "-", *touch), ("record", "--checkpoint", "1", "-o", "/dev/stdout", *touch),
            ("record", "--quiet=yes", *touch), ("version", "more"), ("version", "-x"),
            ("record", "--container", "a", "--container", "b"), ("watch", "--unit", "a", "--unit", "b"),
            ("run", "-p", "a", "-p", "b", *touch),
        ):
            with self.subTest(arguments=arguments):
                result = support.spoc(*arguments, cwd=self.folder)
                self.assertEqual(result.returncode, 2, result.stderr)
                self.assertFalse(started.exists())
                if arguments:
                    self.assertRegex(result.stderr, r"\A\d\d:\d\d:\d\d\.\d{6} Error: usage: [^\n]+\n\Z")
                    self.assertEqual(result.stdout, "")
                else:
                    self.assertIn("usage: ", result.stdout + result.stderr)

    def test_help(self) -> None:
        for arguments in (("--help",), ("record", "--help"), ("record", "-h"), ("version", "--help")):
            result = support.spoc(*arguments)
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            self.assertIn("usage: spoc.py", result.stdout)
            self.assertTrue(len(arguments) == 1 or "example: spoc.py" in result.stdout)
            self.assertLessEqual(max(map(len, result.stdout.splitlines())), 80)

    def test_options_end_at_the_command(self) -> None:
        result = support.spoc("record", "-qno", str(self.profile), "echo", "-o", "--append", "-n", "--")
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "-o --append -n --\n", ""))

    def test_name(self) -> None:
        for name, options in {"sh": (), "my.profile-1": ("--name", "my.profile-1")}.items():
            support.spoc("record", "-o", str(self.profile), *options, "--", "/bin/sh", "-c", ":")
            self.assertEqual(yaml.safe_load(self.profile.read_text())["metadata"]["name"], name)


class Kept(ChildCase):
    """What the command inherits is what it would have inherited without spoc.py."""

    # All that is not about the process's own number, size and history.
    STATUS_LINES = re.compile(r"(Umask|State|TracerPid|Uid|Gid|Groups|SigPnd|ShdPnd|SigBlk|SigIgn|SigCgt|Cap\w+|"
                              r"NoNewPrivs|Seccomp\w*|Cpus_allowed\w*|Mems_allowed|CoreDumping|THP_enabled|Threads):")

    def same_status(self, *before: str) -> str:
        bare, recorded = ("".join(line for line in output.decode().splitlines(True) if self.STATUS_LINES.match(line))
                          for output in self.both("cat", "/proc/self/status", before=before))
        self.assertEqual(recorded, bare)
        return bare

    @staticmethod
    def ignored(status: str) -> int:
        """The signals ignored; not those that libc keeps for itself (32 and 33), which timeout(1) passes on."""
        return int(re.findall(r"SigIgn:\t(\w+)", status)[0], 16) & 0x7FFFFFFF

    def test_signals_privileges_umask(self) -> None:
        bare = self.same_status()
        self.assertEqual(self.ignored(bare), 0)
        self.assertIn("SigCgt:\t0000000000000000\n", bare)

    def test_signals_that_the_caller_ignores_or_blocks(self) -> None:
        for name in ("HUP", "INT", "QUIT", "TERM", "CHLD", "USR1", "TSTP", "WINCH"):
            with self.subTest(ignored=name):
                bit = 1 << getattr(signal, f"SIG{name}") - 1
                self.assertEqual(self.ignored(self.same_status("env", f"--ignore-signal={name}")), bit)
            with self.subTest(blocked=name):
                self.assertIn(f"SigBlk:\t{bit:016x}\n", self.same_status("env", f"--block-signal={name}"))

    def test_pipe_ends_it(self) -> None:
        """Python ignores SIGPIPE and SIGXFSZ; a command that relies on them must still end."""
        result = support.spoc("record", "-n", "-q", "-o", str(self.profile), "--", "sh", "-c",
                              "ulimit -c 0; yes | head -n 1; kill -XFSZ $$")
        self.assertEqual((result.stdout, result.returncode), ("y\n", 128 + signal.SIGXFSZ), result.stderr)
        self.assertNotIn("Error", result.stderr)

    def test_standard_streams(self) -> None:
        data = bytes(range(256)) * 4096
        result = subprocess.run(self.recorded("sh", "-c", "cat; echo error >&2", options=("-q",)), input=data,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        self.assertEqual((result.returncode, result.stdout == data, result.stderr), (0, True, b"error\n"))

    def test_working_folder(self) -> None:
        bare, recorded = self.both("pwd", "-P", cwd=self.folder)
        self.assertEqual(recorded, bare)

    def test_environment(self) -> None:
        path = os.environ["PATH"].encode()
        environments: List[Dict[bytes, bytes]] = [
            {b"PATH": path}, {b"PATH": path, b"LANG": b"C", b"EMPTY": b"", b"BYTES": b"\xff\n=", b"PYTHONPATH": b"/x"},
            {b"PATH": path, b"LC_ALL": b"C"}, {b"PATH": path, b"LC_CTYPE": b"POSIX", b"HOME": b"/nowhere"}]
        for environment in environments:
            with self.subTest(environment=environment):
                bare, recorded = self.both("env", "-0", env=environment)
                self.assertEqual(sorted(recorded.split(b"\0")), sorted(bare.split(b"\0")))

    def test_password_of_a_registry(self) -> None:
        environment = {**os.environ, "SPOC_PASSWORD": "secret", "SPOC_USERNAME": "me"}
        result = subprocess.run(self.recorded("env"), env=environment, stdout=subprocess.PIPE, text=True, check=True)
        self.assertIn("SPOC_USERNAME=me\n", result.stdout)
        self.assertNotIn("secret", result.stdout)

    def test_strange_environment(self) -> None:
        """Names that are there twice, empty or without a value, in their order; os.execve() takes none of these."""
        environment = [b"PATH=/usr/bin:/bin", b"=empty", b"bare", b"A=1", b"A=2", b"B=x=y", b"\xff=\xfe", b"PATH=/none"]
        script = ("import ctypes, sys; strings = lambda values: (ctypes.c_char_p * (len(values) + 1))(*values, None); "
                  "ctypes.CDLL(None).execve(sys.executable.encode(), strings([a.encode() for a in sys.argv[1:]]), "
                  f"strings({environment}))")
        profile = self.folder / "allow.json"
        profile.write_text('{"defaultAction": "SCMP_ACT_ALLOW"}')
        for arguments in (self.recorded("cat", "/proc/self/environ"),
                          [sys.executable, str(support.SPOC), "run", "-p", str(profile), "cat", "/proc/self/environ"]):
            result = subprocess.run([sys.executable, "-c", script, *arguments], stdin=subprocess.DEVNULL,
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
            self.assertEqual(result.stdout.split(b"\0")[:-1], environment, result.stderr)
            self.assertEqual(result.returncode, 0, result.stderr)

    def test_arguments(self) -> None:
        arguments = ("", " ", "a\nb", "\udcff\udcfe", "é", "--", "-n", "--append", "$HOME", "*")
        bare, recorded = self.both("sh", "-c", "cat /proc/$$/cmdline", "zero", *arguments)
        self.assertEqual(recorded, bare)
        self.assertIn(b"\xff\xfe", recorded)

    def test_process_group_and_session(self) -> None:
        program = "import os; print(os.getpgrp(), os.getsid(0), os.getpriority(os.PRIO_PROCESS, 0))"
        bare, recorded = self.both(*PYTHON, program)
        self.assertEqual(recorded, bare)
        bare, recorded = self.both(*PYTHON, program, before=("nice", "-n", "5"))
        self.assertEqual(recorded, bare)
        self.assertTrue(bare.endswith(b" %d\n" % min(19, os.nice(0) + 5)))

    def test_session_leader_is_spoc(self) -> None:
        process = self.start(*PYTHON, "import os; print(os.getpgrp(), os.getsid(0))")
        self.assertEqual(self.ended(process, 0), f"{process.pid} {process.pid}\n")

    def test_limits(self) -> None:
        for limits in ("true", "ulimit -S -n 100",
                       "ulimit -c 0; ulimit -S -l 64; ulimit -n 200; ulimit -s 4096; ulimit -t 999"):
            bare, recorded = self.both("cat", "/proc/self/limits", before=("sh", "-c", f'{limits}; exec "$@"', "sh"))
            self.assertEqual(recorded, bare)

    def test_oom_score_and_timer_slack(self) -> None:
        bare, recorded = self.both("cat", "/proc/self/oom_score_adj", "/proc/self/timerslack_ns", "/proc/self/cgroup",
                                   before=("sh", "-c", 'echo 77 >/proc/self/oom_score_adj; exec "$@"', "sh"))
        self.assertEqual(recorded, bare)
        self.assertTrue(bare.startswith(b"77\n"))

    LIST_DESCRIPTORS = r"""
import json, os
found = {}
for name in os.listdir("/proc/self/fd"):
    try:
        found[int(name)] = os.readlink("/proc/self/fd/" + name)
    except OSError:
        pass  # the one that listdir had open
print(json.dumps(found))
"""

    def descriptors(self, before: Sequence[str] = (), **run: Any) -> List[Dict[str, str]]:
        found = [json.loads(output) for output in self.both(*PYTHON, self.LIST_DESCRIPTORS, before=before, **run)]
        for links in found:  # each run has pipes of its own
            links.update((number, re.sub(r"\d+", "N", links[number])) for number in ("1", "2") if number in links)
        self.assertEqual(found[1], found[0])
        return found

    def test_descriptors(self) -> None:
        self.assertEqual(set(self.descriptors()[0]), {"0", "1", "2"})

    def test_inherited_descriptors(self) -> None:
        read_end, write_end = os.pipe()
        with open(read_end), open(write_end, "w"), open(self.folder / "file", "w") as file:
            numbers = [read_end, write_end, file.fileno()]
            found = self.descriptors(pass_fds=numbers)[0]
        self.assertEqual(set(found), {"0", "1", "2", *map(str, numbers)})

    def test_closed_input(self) -> None:
        found = self.descriptors(before=("sh", "-c", 'exec "$@" <&-', "sh"))[0]
        self.assertEqual(set(found), {"1", "2"})


class Signals(ChildCase):
    """Those sent to spoc.py reach the command, and the profile is written."""

    def handler(self, count: int, *names: str, options: Sequence[str] = (), **popen: Any) -> "subprocess.Popen[str]":
        process = self.start(*PYTHON, HANDLER, str(count), *names, options=options, **popen)
        assert process.stdout
        self.assertEqual(process.stdout.readline(), "ready\n")
        return process

    def test_command_decides(self) -> None:
        for signum in PASSED_ON:
            process = self.handler(1, signum.name)
            process.send_signal(signum)
            self.assertEqual(self.ended(process, 7), f"got {signum.name}\n")
            self.assertIn("rt_sigaction", self.names())
            self.profile.unlink()

    def assert_command_dies(self, signums: Sequence[int]) -> None:
        for signum in signums:
            process = self.start("sh", "-c", "ulimit -c 0; echo ready; exec sleep 600")
            assert process.stdout
            process.stdout.readline()
            process.send_signal(signum)
            self.ended(process, 128 + signum)
            self.assertIn("write", self.names())
            self.profile.unlink()

    def test_command_dies(self) -> None:
        self.assert_command_dies(PASSED_ON)

    def test_second_one_ends_it(self) -> None:
        for first, second in ((signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGINT),
                              (signal.SIGHUP, signal.SIGQUIT)):
            process = self.handler(99, first.name, second.name)
            assert process.stdout
            process.send_signal(first)
            self.assertEqual(process.stdout.readline(), f"got {first.name}\n")
            self.wait_for_another_request(process.pid)
            process.send_signal(second)
            self.assertEqual(self.ended(process, 128 + signal.SIGKILL), "", "the command has got it, too")
            self.assertIn("rt_sigaction", self.names())
            self.profile.unlink()

    def test_second_one_ends_what_a_tracer_holds(self) -> None:
        """As a crash handler does that has attached to the command, and hangs: only it could reap what is killed."""
        process = self.start(*PYTHON, HELD)
        assert process.stdout and process.stderr
        tracer = int(process.stdout.readline())
        self.addCleanup(os.kill, tracer, signal.SIGKILL)
        process.send_signal(signal.SIGTERM)
        self.wait_for_another_request(process.pid)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(WAIT_S), 128 + signal.SIGKILL)
        self.assertIn(f"The command has ended; process {tracer}, which traces it, keeps it as a zombie\n",
                      process.stderr.read())
        self.assertIn("getppid", self.names())

    def test_the_same_at_once_counts_once(self) -> None:
        """timeout(1) signals its child and then its whole group; a busy machine may take long between the two."""
        program = (f"import sys; sys.path.insert(0, {str(support.ROOT)!r}); import spoc\n"
                   "spoc.Supervisor.SAME_REQUEST_S = 600\nsys.exit(spoc.main(sys.argv[1:]))")
        process = self.launch(sys.executable, "-c", program, *self.recorded(
            *PYTHON, HANDLER, "2", "SIGTERM", "SIGUSR1")[2:], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)
        assert process.stdout
        self.assertEqual(process.stdout.readline(), "ready\n")
        process.terminate()
        self.assertEqual(process.stdout.readline(), "got SIGTERM\n")
        for _ in range(3):
            process.terminate()
            self.wait_for_another_request(process.pid)
        process.send_signal(signal.SIGUSR1)
        self.assertEqual(self.ended(process, 7), "got SIGUSR1\n")

    def test_under_timeout(self) -> None:
        """Its request, be it to spoc.py and the command both, leaves the command its time."""
        support.require_command("timeout")
        process = self.launch("timeout", "600", *self.recorded(*PYTHON, HANDLER, "1", "SIGTERM"),
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout
        self.assertEqual(process.stdout.readline(), "ready\n")
        process.terminate()
        self.assertIn("got SIGTERM\n", self.ended(process, 7))
        self.assertIn("rt_sigaction", self.names())

    def test_of_all_kinds(self) -> None:
        """Whatever would end spoc.py by default reaches the command instead."""
        self.assert_command_dies((signal.SIGIO, signal.SIGVTALRM, signal.SIGPROF, 16, signal.SIGRTMIN,
                                  signal.SIGRTMIN + 5, signal.SIGRTMAX))

    def test_of_a_limit(self) -> None:
        """The limit of CPU time that spoc.py reaches is not the command's: the profile is written, and it goes on."""
        process = self.handler(1, "SIGUSR1")
        process.send_signal(signal.SIGXCPU)
        self.wait_for(self.profile.exists, "the profile")
        self.assertIn("rt_sigaction", self.names())
        process.send_signal(signal.SIGUSR1)
        self.assertEqual(self.ended(process, 7), "got SIGUSR1\n")

    def test_in_quick_succession(self) -> None:
        """Two that mean something to the command are two."""
        process = self.handler(2, "SIGUSR1")
        assert process.stdout
        for _ in range(2):
            process.send_signal(signal.SIGUSR1)
            self.assertEqual(process.stdout.readline(), "got SIGUSR1\n")
        self.ended(process, 7)

    def test_ignored_by_the_caller(self) -> None:
        """As under nohup: the signal reaches neither."""
        process = self.start(*PYTHON, HANDLER, "1", "SIGUSR1",
                             preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
        assert process.stdout and process.stderr
        self.assertEqual(process.stdout.readline(), "ready\n")
        process.send_signal(signal.SIGHUP)
        log = ""
        while "with PID: " not in log:
            log = process.stderr.readline()
        os.kill(int(log.split()[-1]), signal.SIGUSR1)
        self.assertEqual(self.ended(process, 7), "got SIGUSR1\n")

    def test_caller_ignores_its_children(self) -> None:
        """With SIGCHLD ignored the kernel would reap the command, and its exit code would be gone."""
        process = self.start("sh", "-c", "exit 9", preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
        self.ended(process, 9)

    def test_caller_blocks_signals(self) -> None:
        process = self.start("sh", "-c", "exit 9", preexec_fn=lambda: signal.pthread_sigmask(
            signal.SIG_BLOCK, [signal.SIGCHLD, signal.SIGTERM]))
        self.ended(process, 9)


class Follow(ChildCase):
    """--follow waits for what forks away."""

    def setUp(self) -> None:
        super().setUp()
        self.pid_file, self.trigger = self.folder / "pid", self.folder / "trigger"
        self.log = open(self.folder / "log", "w+", encoding="utf-8")
        self.addCleanup(self.log.close)

    def start_daemon(self, *options: str) -> Tuple["subprocess.Popen[str]", int]:
        """spoc.py recording the daemon, once that has forked away and its parent has ended; and the daemon's pid."""
        process = self.start(*PYTHON, DAEMON, str(self.pid_file), str(self.trigger), options=options,
                             stdout=subprocess.DEVNULL, stderr=self.log)
        self.addCleanup(self.trigger.touch)
        self.wait_for(self.pid_file.exists, "the daemon")
        pid = int(self.pid_file.read_text())
        self.addCleanup(self.kill, pid)
        found = re.search(r"with PID: (\d+)", (self.folder / "log").read_text())
        assert found
        parent = int(found[1])
        self.wait_for(lambda: not self.is_alive(parent), "the end of the daemon's parent")
        return process, pid

    @staticmethod
    def is_alive(pid: int) -> bool:
        try:
            return " (zombie)" not in pathlib.Path(f"/proc/{pid}/status").read_text()
        except OSError:
            return False

    def kill(self, pid: int) -> None:
        if self.is_alive(pid) and b"getpriority" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGKILL)

    def test_without_it(self) -> None:
        process, pid = self.start_daemon()
        self.ended(process, 4)
        self.assertTrue(self.is_alive(pid))
        self.assertIn("setsid", self.names())
        self.assertNotIn("getpriority", self.names())
        self.assertIn("not recorded any more; --follow records", (self.folder / "log").read_text())

    def test_until_the_daemon_ends(self) -> None:
        process, pid = self.start_daemon("--follow")
        self.wait_for(lambda: has_taken_signals(process.pid), "spoc.py to see that, and to wait on")
        self.trigger.touch()
        self.ended(process, 4)
        self.assertFalse(self.is_alive(pid))
        self.assertGreater(self.names(), {"setsid", "getpriority"})

    def test_until_a_signal(self) -> None:
        for signum in (signal.SIGTERM, signal.SIGINT):
            process, pid = self.start_daemon("--follow")
            process.send_signal(signum)
            self.ended(process, 4)
            self.assertTrue(self.is_alive(pid), "the signal was for the recording alone")
            log = (self.folder / "log").read_text()
            self.assertIn("not recorded any more", log)
            self.assertNotIn("--follow", log)  # which was given
            self.assertIn("setsid", self.names())
            self.trigger.touch()
            self.wait_for(lambda: not self.is_alive(pid), "the daemon's end")
            for path in (self.pid_file, self.trigger, self.profile):
                path.unlink()
            self.log.truncate(0)
            self.log.seek(0)

    def test_nothing_forks_away(self) -> None:
        process = self.start("sh", "-c", "true & exit 3", options=("--follow",))
        self.ended(process, 3)


class Purpose(ChildCase):
    """What a profile is for decides what it allows beside what was recorded."""

    def log_of(self, *options: str, code: int = 0, command: Sequence[str] = ("true",)) -> str:
        """What it says."""
        result = support.spoc("record", "-o", str(self.profile), *options, "--", *command)
        self.assertEqual(result.returncode, code, result.stderr)
        return result.stderr

    def made(self, log: str) -> "set[str]":
        """What was recorded, and what the kernel makes."""
        lines = re.findall(r"(?m)^\S+ (?:Got syscalls|Adding what the kernel makes by itself): (.*)$", log)
        return set(", ".join(lines).split(", "))

    def test_service(self) -> None:
        """execve, which starts it, and nothing else: run needs no more, and systemd neither."""
        log = self.log_of("--for", "service")
        self.assertEqual(self.names() - self.made(log), {"execve"})
        self.assertNotIn("high risk", log)
        result = support.spoc("run", "--strict", "-p", str(self.profile), "true")
        self.assertEqual(result.returncode, 0, result.stderr)
        log = self.log_of("--for", "service", "-b", "getppid,sync")
        self.assertEqual(self.names() - self.made(log), {"execve", "getppid", "sync"})

    def test_container(self) -> None:
        """The default; -q leaves only what it says of high risk."""
        for options in ((), ("--for", "container")):
            log = self.log_of(*options)
            self.assertEqual(self.names() - self.made(log), set(spoc.BASE_SYSCALLS) - self.made(log))
        self.assertRegex(self.log_of("-q"), r"\A\S+ Warning: base syscalls of high risk that the program did not make "
                         r"are allowed: mount, [^\n]+ --for service leaves them out\n\Z")
        self.assertRegex(self.log_of("-q", "--for", "container"), r"[^;]+; they start a container\n\Z")
        log = self.log_of(command=("unshare", "--mount", "true"))
        self.assertNotIn("unshare", re.findall("high risk .*: (.*);", log)[0])  # which the program needs itself

    def test_names_alone(self) -> None:
        """-n with -b: just these, as without -n."""
        for options in (("-n", "-b", "getppid,mount"), ("-b", "getppid,mount")):
            log = self.log_of(*options)
            self.assertEqual(self.names() - self.made(log), {"getppid", "mount"})
            self.assertNotIn("high risk", log)
            self.assertIn("Warning: the profile does not allow execve, so run cannot start a program under it: "
                          "add execve to -b\n", log)
        log = self.log_of("-n")
        self.assertEqual(log.count(" The profile does not allow execve, so run cannot start a program under it: "
                                   "-b execve allows it\n"), 1, log)
        self.assertNotIn("Warning", log)
        self.assertEqual(self.names(), self.made(log))
        result = support.spoc("run", "-p", str(self.profile), "true")
        self.assertRegex(result.stderr, "to execve; if record -n or -b has written it, run -b execve is all that "
                         "it takes\n$")
        self.assertEqual(result.returncode, 126)
        self.assertEqual(support.spoc("run", "--strict", "-b", "execve", "-p", str(self.profile), "true").returncode, 0)

    def test_drop_in(self) -> None:
        """What convert makes of a recording for a service, at once."""
        self.log_of("--for", "service")
        converted = support.spoc("convert", "-t", "systemd", str(self.profile))
        for more in ((), ("--for", "service")):
            result = support.spoc("record", "-q", "-t", "systemd", *more, "-o", "-", "true")
            self.assertEqual((result.returncode, result.stdout, result.stderr), (0, converted.stdout, ""))
        self.assertIn("SystemCallFilter=execve\n", converted.stdout)
        self.assertNotIn("mount", converted.stdout)
        self.assertEqual(converted.stderr, "")
        self.log_of()
        converted = support.spoc("convert", "-t", "systemd", str(self.profile))
        self.assertRegex(converted.stderr, r" Warning: the drop-in allows calls of high risk: mount, pivot_root, ")
        result = support.spoc("record", "-q", "-t", "systemd", "--for", "container", "-o", "-", "true")
        self.assertRegex(result.stdout, "SystemCallFilter=.* mount ")

    def test_portable_drop_in(self) -> None:
        """As by way of YAML; where that takes a condition (musl's fork), what was recorded is not lost."""
        options = ("record", "-q", "--portable", "--for", "service", "-o")
        result = support.spoc(*options, "-", "-t", "systemd", "true")
        support.spoc(*options, str(self.profile), "true")
        converted = support.spoc("convert", "-t", "systemd", "--portable", str(self.profile))
        self.assertEqual((result.returncode, result.stdout), (0, converted.stdout), result.stderr)
        fork = ("python3", "-c", "import ctypes, os\nctypes.CDLL(None).syscall(57) or os._exit(0)\nos.wait()")
        drop_in = self.folder / "drop-in.conf"
        if platform.machine() == "x86_64":
            result = support.spoc(*options, str(drop_in), "-t", "systemd", *fork)
            if result.returncode:
                self.assertEqual(result.returncode, 125, result.stderr)
                self.assertIn("condition", result.stderr)
                self.assertIn("- fork\n", result.stderr)

    def test_whole_start(self) -> None:
        """Nothing is said where execve is allowed, also by what was there before."""
        for options in (("-b", "execve"), ("--for", "service", "-b", "mount")):
            self.assertNotIn("does not allow execve", self.log_of(*options))
        self.assertNotIn("does not allow execve", self.log_of("--append", "-b", "getppid"))
        self.assertNotIn("does not allow execve", self.log_of("-n", command=("sh", "-c", "true; /bin/true")))

    def test_service_of_a_container(self) -> None:
        for options in (("--container", "none.of.this.name"), ("--containers",)):
            command = [sys.executable, str(support.SPOC), "record", *options, "--for", "service", "-o",
                       str(self.folder / options[0][2:])]
            result = subprocess.run(["timeout", "-s", "INT", "2", *command], capture_output=True, text=True)
            self.assertEqual(result.stderr.count(
                " Warning: --for service: no runtime can start a container with such a profile; for that leave --for "
                "service out\n"), 1, result.stderr)

    def test_appended_base(self) -> None:
        """What is in the profile already is not counted as added."""
        self.log_of()
        log = self.log_of("--append", command=("uname",))
        self.assertNotIn("Adding base syscalls", log)
        self.assertNotRegex(log, "base syscalls? .* allowed")

    def test_appended_to_a_service(self) -> None:
        """What a container's start takes is not added to a profile that lacks it, unless that is asked for; what was
        recorded is, and to a profile that has it over restarts nothing is. A file without a profile gets it.
        """
        base = set(spoc.BASE_SYSCALLS)
        self.log_of("--for", "service")
        before = self.names()
        log = self.log_of("--append", command=("mkdir", str(self.folder / "new")))
        made = self.made(log)
        self.assertEqual(self.names(), before | made)
        self.assertIn("mkdir", made)
        left_out, = re.findall("Left out base syscalls that the profile lacks: (.*); --for container adds them\n", log)
        self.assertEqual(set(left_out.split(", ")), base - self.names())
        self.assertEqual(re.findall("(?m) Added .*: (.*)$", log), [", ".join(sorted(made - before))])
        self.assertNotIn("high risk", log)
        for options, added in (("-n", ()), ("-b mount", ("mount",)), ("--for service", ()), ("--for container", base)):
            before = self.names()
            log = self.log_of("--append", *options.split())
            self.assertEqual(self.names(), before.union(added), options)
            self.assertNotIn("Left out", log)
        self.profile.write_text("")
        log = self.log_of("--append")
        self.assertLessEqual(base, self.names())
        before = self.names()
        for _ in range(2):
            log = self.log_of("--append")
            self.assertIn(f" Added nothing to: {self.profile}\n", log)
            self.assertNotIn("Left out", log)
        self.assertEqual(self.names(), before)

    def test_appended_to_conditions(self) -> None:
        """A base syscall that is allowed with some arguments, or denied, stays so."""
        text = json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
            {"names": sorted({*spoc.BASE_SYSCALLS} - {"prctl", "mount"}), "action": "SCMP_ACT_ALLOW"},
            {"names": ["mount"], "action": "SCMP_ACT_ERRNO"},
            {"names": ["prctl"], "action": "SCMP_ACT_ALLOW",
             "args": [{"index": 0, "value": 38, "op": "SCMP_CMP_EQ"}]}]})
        self.profile.write_text(text)
        log = self.log_of("--append")
        self.assertIn(" Left out base syscalls that the profile lacks: mount, prctl; --for container adds them\n", log)
        rules = [rule for rule in json.loads(self.profile.read_text())["syscalls"] if "prctl" in rule["names"]]
        self.assertEqual([len(rule["args"]) for rule in rules], [1])

    def test_refusals(self) -> None:
        """What does not go together is said before the command starts."""
        started = self.folder / "started"
        for options, reason in ((("-n", "--for", "service"), "-n and --for contradict each other"),
                                (("--for", "daemon"), "not one of container, service"),
                                (("-t", "apparmor"), "-t apparmor: AppArmor is for the operator's spoc; this knows "
                                                     "seccomp alone; one of seccomp, raw-seccomp, "),
                                (("-t", "all"), "this knows seccomp alone; one of seccomp"),
                                (("-t", "systemd", "--append"), "a drop-in is not read"),
                                (("-t", "systemd", "--name", "x"), "a drop-in has no name"),
                                (("-t", "systemd", "--args", "ioctl"), "systemd has no conditions; leave --args out")):
            self.assertIn(reason, self.log_of(*options, code=2, command=("touch", str(started))))
        result = support.spoc("record", "-t", "systemd", "touch", str(started))
        self.assertIn("no file for the drop-in; -o /etc/systemd/system/NAME.service.d/seccomp.conf", result.stderr)
        self.assertFalse(self.profile.exists() or started.exists())


class LogLines(ChildCase):
    """Each is true when it is printed."""

    def test_all_in_order(self) -> None:
        before = time.strftime("%H:%M:%S")
        result = support.spoc("record", "-o", str(self.profile), "--", "sh", "-c", "/bin/true; /bin/true; echo $$")
        after = time.strftime("%H:%M:%S")
        self.assertEqual(result.returncode, 0, result.stderr)
        pid, mount_namespace = result.stdout.strip(), os.stat("/proc/self/ns/mnt").st_ino
        names = self.names()
        expected = [
            "Loading bpf module", "Attaching bpf tracepoints", "Module successfully loaded", "Processing events",
            f"Running command with PID: {pid}", f"Received event: pid: {pid}, mntns: {mount_namespace}",
            rf"(Found container ID [0-9a-f]{{64}} for PID {pid}|No container ID found for PID \(pid={pid}, "
            rf"mntns={mount_namespace}, no container in its cgroups\))", "Processing recorded data",
            "Found 3 tasks in bpf map", r"Got syscalls: \w+(, \w+)*", r"Adding base syscalls: \w+(, \w+)*",
            r"\d+ base syscalls are allowed that the program did not make",
            r"Warning: base syscalls of high risk that the program did not make are allowed: \w+(, \w+)*; they [^;]+",
            r"Adding what the kernel makes by itself: \w+(, \w+)*",
            f"Wrote seccomp profile to: {self.profile}", "Unloading bpf module"]
        lines = result.stderr.splitlines()
        self.assertEqual(len(lines), len(expected), result.stderr)
        matches = [re.fullmatch(rf"\d\d:\d\d:\d\d\.\d{{6}} {pattern}", line)
                   for pattern, line in zip(expected, lines)]
        self.assertNotIn(None, matches, result.stderr)
        got, added, made = (set(line.split(": ")[1].split(", ")) for line in (*lines[9:11], lines[13]))
        self.assertIn(f" {len(added)} base syscalls are allowed", lines[11])
        self.assertEqual(set(lines[12].split(": ")[2].partition(";")[0].split(", ")),
                         {"mount", "pivot_root", "sethostname", "setns", "umount2", "unshare"})
        self.assertEqual((got | added | made, got & added | got & made | added & made), (names, set()))
        self.assertLessEqual(added, set(spoc.BASE_SYSCALLS))
        times = [line.split()[0] for line in lines]
        if before <= after:  # else it was midnight
            self.assertEqual(times, sorted(times))
            self.assertTrue(before <= times[0][:8] and times[-1][:8] <= after, (before, times, after))

    def test_command_that_fails(self) -> None:
        """How it ended, and that what would have come after is not in the profile; -q leaves this."""
        for command, text in (("exit 3", "ended with exit status 3"),
                              ("kill -9 $$", r"was killed by SIGKILL \(Killed\)")):
            for options in (), ("-q",):
                result = support.spoc("record", "-o", str(self.profile), *options, "--", "sh", "-c", command)
                self.assertRegex(result.stderr, rf"(?m)^\S+ Warning: the command {text}: the profile lacks what would "
                                                "have come after$")
                self.assertNotIn("launch runner", result.stderr)
        result = support.spoc("record", "-o", str(self.profile), "--", "true")
        self.assertNotIn("the command", result.stderr)

    def test_option_that_went_to_the_command(self) -> None:
        """Where that has failed, and the word behind it is named like a profile."""
        result = support.spoc("record", "-n", "date", "-o", "x.yaml", "-u", cwd=self.folder)
        self.assertIn(" -o x.yaml behind date went to date; for spoc.py: spoc.py record -o x.yaml -- date -u\n",
                      result.stderr)
        support.spoc("record", "-q", "-n", "-o", str(self.profile), "--", "true")
        for words in (("true", "-o", "x.yaml"), ("sh", "-c", "exit 1", "-o", "x"),
                      ("-o", str(self.profile), "sh", "-c", "exit 1", "-o", "x.yaml")):
            result = support.spoc("record", *words, cwd=self.folder)
            self.assertIn("Wrote seccomp profile to: ", result.stderr)
            self.assertNotIn(" went to ", result.stderr)

    def test_command_that_is_asked_to_end(self) -> None:
        """That is what the user wants, and no reason to warn."""
        process = self.start("sh", "-c", "echo started; exec sleep 100")
        assert process.stdout and process.stderr
        self.assertEqual(process.stdout.readline(), "started\n")
        process.send_signal(signal.SIGTERM)
        stderr = process.communicate(timeout=WAIT_S)[1]
        self.assertRegex(stderr, r" The command was killed by SIGTERM \(Terminated\): the profile lacks ")
        self.assertNotIn("Warning", stderr)

    def test_statistics(self) -> None:
        """The most frequent first, as often as the program makes them; what grows in the curve never shrinks."""
        number = str(spoc.syscall_number("getpriority"))
        for backend in ("bpf", "notify"):
            result = support.spoc("record", "-q", "--stats", "--backend", backend, "-o", str(self.profile), "--", "sh",
                                  "-c", '"$0" storm "$1" 0 2; sleep 0.3; exec uname', support.build("args.c"), number)
            self.assertEqual(result.returncode, 0, result.stderr)
            rows = re.findall(r"(?m)^(\w+) +(\d+) +(\d+\.\d{3}) s  (\S+) \(\d+\) +(█+)$", result.stderr)
            counted = {name: int(times) for name, times, *_ in rows}
            self.assertEqual(len(rows), len(counted))
            self.assertEqual(counted["getpriority"], 8 * 2 * 100)
            self.assertEqual([(name, bar) for name, _, _, _, bar in rows][0], ("getpriority", "█" * 20))
            order = [(-int(times), float(first_s)) for _, times, first_s, _, _ in rows]
            self.assertEqual(order, sorted(order))
            made_by = {name: comm for name, _, _, comm, _ in rows}
            self.assertEqual((made_by["getpriority"], made_by["uname"]), ("args.c", "uname"))
            curve = re.findall(r"(?m)^distinct syscalls over \d\.\d s: (.{60}) (\d+), the last new one at ",
                               result.stderr)
            self.assertEqual([int(total) for _, total in curve], [len(rows)])
            heights = [" ▁▂▃▄▅▆▇█".index(each) for each in curve[0][0]]
            self.assertEqual(heights, sorted(heights))
            self.assertEqual(heights[-1], 8)
            self.assertLess(heights[0], 8)

    def test_statistics_of_a_thread(self) -> None:
        """A call is its process's, whichever thread makes it first."""
        code = ("import os, threading\nthread = threading.Thread(target=os.getpriority, args=(0, 0))\n"
                "thread.start()\nthread.join()\nprint(os.getpid())\n")
        result = subprocess.run(self.recorded(*PYTHON, code, options=("--stats",)), stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, timeout=WAIT_S, check=False)
        self.assertEqual(result.returncode, 0, result.stderr)
        row = re.search(r"(?m)^getpriority .*\((\d+)\)", result.stderr)
        assert row
        self.assertEqual(row[1], result.stdout.strip())

    def test_local_time(self) -> None:
        hours = [support.spoc("record", "-o", str(self.profile), "true", env={**os.environ, "TZ": zone}).stderr[:2]
                 for zone in ("AAA0", "BBB-5")]
        self.assertIn((int(hours[1]) - int(hours[0])) % 24, (5, 6))

    def test_quiet(self) -> None:
        result = support.spoc("record", "-n", "-q", "-o", str(self.profile), "--", "sh", "-c", "echo mine >&2")
        self.assertEqual((result.returncode, result.stderr, result.stdout), (0, "mine\n", ""))
        result = support.spoc("record", "-q", "-o", str(self.profile), "--", "no-such-command")
        self.assertRegex(result.stderr, r"\A\d\d:\d\d:\d\d\.\d{6} Error: [^\n]+\n\Z")

    def test_verbose(self) -> None:
        texts = [support.spoc("record", *options, "-o", str(self.profile), "--", "true").stderr
                 for options in ((), ("-v",))]
        messages = [[line for line in text.splitlines() if re.fullmatch(LOG_LINE.pattern[:-2] + "libbpf: .*", line)]
                    for text in texts]
        self.assertEqual(messages[0], [])
        self.assertTrue(messages[1])
        self.assertEqual([line for line in texts[1].splitlines() if not LOG_LINE.fullmatch(line)], [])

    def test_nothing_in_it_that_a_terminal_would_obey(self) -> None:
        path = self.folder / "\x1b[31m\n\x07name"
        result = support.spoc("record", "-o", str(path), "--", "true")
        self.assertEqual(result.returncode, 0)
        self.assertEqual([line for line in result.stderr.splitlines() if not re.fullmatch(r"[ -~]+", line)], [])
        self.assertTrue(path.exists())

    ID = "0123456789abcdef" * 4

    def test_container_shapes(self) -> None:
        for cgroup in (
            "12:pids:/docker/{id}", "0::/docker/{id}", "0::/system.slice/docker-{id}.scope",
            "1:name=systemd:/system.slice/docker-{id}.scope", "0::/docker/{id}/init",
            "11:cpuset:/kubepods/besteffort/pod0a1b2c3d-0000-1111-2222-333344445555/{id}",
            "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0a1b.slice/cri-containerd-{id}.scope",
            "3:cpu,cpuacct:/system.slice/containerd.service/kubepods-pod0a1b.slice:cri-containerd:{id}",
            "0::/default/{id}", "8:memory:/k8s.io/{id}",
            "0::/kubepods.slice/kubepods-pod0a1b.slice/crio-{id}.scope", "0::/machine.slice/crio-conmon-{id}.scope",
            "0::/kubepods.slice/kubepods-pod0a1b.slice/crio-{id}.scope/container",
            "5:devices:/kubepods/pod0a1b/crio-{id}", "0::/machine.slice/libpod-{id}.scope",
            "0::/machine.slice/libpod-{id}.scope/container", "9:freezer:/libpod_parent/libpod-{id}",
            "0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{id}.scope/container",
        ):
            with self.subTest(cgroup=cgroup):
                self.assertEqual(spoc.parse_container_id(cgroup.format(id=self.ID) + "\n"), self.ID)
                several = "13:rdma:/\n" + cgroup.format(id=self.ID) + "\n0::/init.scope\n"
                self.assertEqual(spoc.parse_container_id(several), self.ID)

    def test_no_container_shapes(self) -> None:
        for cgroup in ("", "0::/", "0::/init.scope", "9:name=systemd:/user.slice/user-1000.slice/session-1.scope",
                       f"0::/docker/{self.ID[:-1]}", f"0::/docker/{self.ID}0", f"0::/docker/{self.ID[:-1]}g",
                       f"0::/docker/{self.ID[:-1]}A", f"0::/docker/x{self.ID}", "0::/system.slice/docker.service"):
            with self.subTest(cgroup=cgroup):
                self.assertIsNone(spoc.parse_container_id(cgroup))

    def writable_cgroup(self, name: str) -> Optional[pathlib.Path]:
        """A new control group of this name, in whichever hierarchy lets us make one and put processes in it."""
        for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
            fields, _, kind = line.partition(" - ")
            group = pathlib.Path(fields.split()[4], name)
            if not kind.startswith("cgroup"):
                continue
            try:
                group.mkdir()
            except OSError:
                continue
            moved = subprocess.run(["sh", "-c", f"echo $$ > {group}/cgroup.procs"], stderr=subprocess.DEVNULL,
                                   check=False)
            if not moved.returncode:
                self.addCleanup(group.rmdir)
                return group
            group.rmdir()
        return None

    def test_container(self) -> None:
        group = self.writable_cgroup(f"docker-{self.ID}.scope")
        support.require(group, "a cgroup hierarchy to make a group in")
        command = self.recorded("sh", "-c", "echo $$")
        result = subprocess.run(["sh", "-c", f'echo $$ > {group}/cgroup.procs; exec "$@"', "sh", *command], check=False,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn(f" Found container ID {self.ID} for PID {result.stdout.strip()}\n", result.stderr)
        self.assertNotIn("No container ID", result.stderr)

    def test_mount_namespace(self) -> None:
        result = subprocess.run(["unshare", "-m", *self.recorded("readlink", "/proc/self/ns/mnt")],
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                check=False)
        self.assertEqual(result.returncode, 0, result.stderr)
        number = re.sub(r"\D", "", result.stdout)
        self.assertNotEqual(int(number), os.stat("/proc/self/ns/mnt").st_ino)
        self.assertRegex(result.stderr, rf" Received event: pid: \d+, mntns: {number}\n")

    def test_time_namespace(self) -> None:
        """BPF's clock is not the namespace's: the times of --stats count from the first call all the same."""
        support.require_command("unshare")
        support.require(os.path.exists("/proc/self/ns/time"), "time namespaces")
        for offset_s in ("1000000", "-10"):
            result = subprocess.run(["unshare", "-T", "--monotonic", offset_s, *self.recorded(
                "sleep", "0.3", options=("--stats",))], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                timeout=WAIT_S, check=False)
            times = [float(text) for text in re.findall(r" (\d+\.\d\d\d) s ", result.stderr)]
            self.assertGreater(len(times), 5, result.stderr)
            self.assertEqual(min(times), 0)
            self.assertGreater(max(times), 0.29)
            self.assertLess(max(times), 1000)
            self.assertRegex(result.stderr, r"the last new one at \d{1,3}\.\d s")

    def test_no_proc(self) -> None:
        support.require_command("unshare", "umount")
        result = subprocess.run(
            ["unshare", "-m", "sh", "-c", 'umount -l /proc; exec "$0" "$@"', *self.recorded("true")],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=WAIT_S, check=False)
        self.assertIn("mntns: unknown\n", result.stderr)
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_standard_error_that_does_not_block(self) -> None:
        """Nothing is left out where another user of it has made it non-blocking, and it is full for a while."""
        read, write = os.pipe()
        fcntl.fcntl(write, 1031, 4096)  # F_SETPIPE_SZ, which Python has from 3.10 on
        os.set_blocking(write, False)
        os.write(write, b"x" * 4000)
        process = self.launch(*self.recorded("true"), stdin=subprocess.DEVNULL, stderr=write)
        os.close(write)
        waiting = re.compile(r"(7|271|73) ")  # poll or ppoll, x86_64's or arm64's; Python does not at its start
        self.wait_for(lambda: waiting.match(pathlib.Path(f"/proc/{process.pid}/syscall").read_text()), "it to wait")
        with open(read, "rb") as stream:
            text = stream.read()
        self.assertEqual(process.wait(WAIT_S), 0)
        self.assertIn(b"Loading bpf module", text)
        self.assertIn(b"Unloading bpf module", text)


class NotifyKept(NotifyChildCase, Kept):
    # That there is a filter is all that the command can see of it.
    STATUS_LINES = re.compile(Kept.STATUS_LINES.pattern.replace(r"|Seccomp\w*", ""))


class NotifySignals(NotifyChildCase, Signals):
    pass


class NotifyFollow(NotifyChildCase, Follow):
    def test_what_lives_on_is_answered(self) -> None:
        """Without --follow the daemon goes on as if nothing were, by the grace of a process that ends with it."""
        process, pid = self.start_daemon()
        self.ended(process, 4)
        found = re.search(r"Process (\d+) answers their calls", (self.folder / "log").read_text())
        assert found
        answering = int(found[1])
        self.assertTrue(self.is_alive(answering))
        self.assertEqual(os.listdir(f"/proc/{answering}/fd"), [os.listdir(f"/proc/{answering}/fd")[0]])
        self.assertEqual(os.getsid(answering), answering)
        self.assertTrue(self.is_alive(pid))
        self.trigger.touch()
        self.wait_for(lambda: not self.is_alive(pid), "the end of the daemon")
        self.wait_for(lambda: not self.is_alive(answering), "the end of what answered it")


if __name__ == "__main__":
    unittest.main()
