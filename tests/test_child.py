# SPDX-License-Identifier: MIT
"""The command: what it keeps, signals, terminals, daemons, users, exit codes, and what is said meanwhile."""

import contextlib
import errno
import fcntl
import json
import os
import pathlib
import pwd
import re
import select
import shlex
import signal
import struct
import subprocess
import sys
import termios
import time
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import pyte
import yaml

import spoc
import support

WAIT_S = 60
LOG_LINE = re.compile(r"\d\d:\d\d:\d\d\.\d{6} .*")
PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)

# Says which signals it got, and ends with 7 at the last one: COUNT SIGNAL...
HANDLER = r"""
import os, signal, sys, time
left = int(sys.argv[1])
def handle(number, frame):
    global left
    left -= 1
    os.write(1, b"got %s\n" % signal.Signals(number).name.encode())
for name in sys.argv[2:]:
    signal.signal(getattr(signal, name), handle)
os.write(1, b"ready\n")
while left > 0:
    time.sleep(0.05)
time.sleep(0.5)  # for one signal too many
sys.exit(7)
"""
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
PYTHON = (sys.executable, "-I", "-S", "-c")


class ChildCase(support.Case):
    """Records commands and compares them with what they do on their own."""

    def setUp(self) -> None:
        super().setUp()
        support.require_root()
        self.profile = self.folder / "profile.yaml"

    def recorded(self, *command: str, options: Sequence[str] = ()) -> List[str]:
        return [sys.executable, str(support.SPOC), "record", "-n", "-o", str(self.profile), *options, "--", *command]

    def names(self) -> "set[str]":
        """The names in the profile, which must be whole."""
        document = yaml.safe_load(self.profile.read_text())
        return {name for rule in document["spec"]["syscalls"] for name in rule["names"]}

    def both(self, *command: str, before: Sequence[str] = (), **run: Any) -> Tuple[bytes, bytes]:
        """What the command prints on its own, and recorded; `before` is what starts either."""
        run.setdefault("stdin", subprocess.DEVNULL)
        outputs = []
        for arguments in (command, self.recorded(*command, options=("-q",))):
            result = subprocess.run([*before, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                    timeout=WAIT_S, check=False, **run)
            self.assertEqual((result.returncode, result.stderr), (0, b""))
            outputs.append(result.stdout)
        self.assertTrue(outputs[0])
        return outputs[0], outputs[1]

    def start(self, *command: str, options: Sequence[str] = (), **popen: Any) -> "subprocess.Popen[str]":
        """Start recording, in a session of its own; it and the command are killed if the test leaves them running."""
        popen.setdefault("stdout", subprocess.PIPE)
        popen.setdefault("stderr", subprocess.PIPE)
        return self.launch(*self.recorded(*command, options=options), stdin=subprocess.DEVNULL, text=True, **popen)

    def wait_for_another_request(self, pid: int) -> None:
        """Until spoc.py, as which this process runs, has taken its signal, and takes the next one for another."""
        status = pathlib.Path(f"/proc/{pid}/status")
        self.wait_for(lambda: re.search(r"^ShdPnd:\t0+$", status.read_text(), re.MULTILINE), "the first to be taken")
        time.sleep(2 * spoc.Supervisor.SAME_REQUEST_S)

    def ended(self, process: "subprocess.Popen[str]", code: int) -> str:
        """Wait for its end, which must be with this exit code; what is left of standard output."""
        stdout, stderr = process.communicate(timeout=WAIT_S)
        self.assertEqual(process.returncode, code, stderr)
        return stdout or ""

    @staticmethod
    def kill_program(pid: int, command: bytes) -> None:
        """Kill a process if it still runs this, as the test has failed then."""
        with contextlib.suppress(OSError):
            if pathlib.Path(f"/proc/{pid}/cmdline").read_bytes() == command:
                os.kill(pid, signal.SIGKILL)

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        deadline_s = time.monotonic() + WAIT_S
        while not condition():
            self.assertLess(time.monotonic(), deadline_s, f"waited in vain for {what}")
            time.sleep(0.05)


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
        self.profile.write_text("old\n")
        self.check(127, "no-such-command")
        self.assertEqual(self.profile.read_text(), "old\n")
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
        self.check(126, "tool", env={**environment, "PATH": ":".join(map(str, folders[:2]))})
        self.check(127, "tool", env={**environment, "PATH": str(folders[0])})

    def test_not_the_commands_fault(self) -> None:
        """Nor is a name that is empty left out of the message."""
        for number, code in ((errno.ENOMEM, 125), (errno.EAGAIN, 125), (errno.EMFILE, 125), (errno.EINVAL, 125),
                             (errno.EACCES, 126), (errno.ELIBBAD, 126), (errno.ENOENT, 127)):
            failure = spoc.exec_failure("", number, filtered=False)
            self.assertEqual(failure.exit_code, code)
            self.assertIn("start command: '': ", str(failure))

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
            self.assertRegex(result.stderr, r" Error: run: spoc.py: KeyError: 'bug'; report it[^\n]*\n\Z")
            self.assertEqual("Traceback" in result.stderr, bool(options))
            pid = int(pid_file.read_text())
            self.addCleanup(self.kill_program, pid, b"sleep\0600\0")
            self.wait_for(lambda: not os.path.exists(f"/proc/{pid}/comm")
                          or "State:\tZ" in pathlib.Path(f"/proc/{pid}/status").read_text(), "the command's end")

    def test_checkpoint_in_weeks(self) -> None:
        """More milliseconds than poll(2) takes at once."""
        result = support.spoc("record", "-n", "-q", "-o", str(self.profile), "--checkpoint", "2147484", "--",
                              "sh", "-c", "exit 3")
        self.assertEqual((result.returncode, result.stderr), (3, ""))

    def test_usage(self) -> None:
        started = self.folder / "started"
        touch = ("touch", str(started))
        for arguments in (
            (), ("frobnicate",), ("-x",), ("record",), ("record", "--"), ("record", "-x", *touch),
            ("record", "--no-such-option", *touch), ("record", "-o"), ("record", "--output-file"),
            ("record", "-o", "", *touch), ("record", "-t", "yaml", *touch), ("record", "-b", "", *touch),
            ("record", "-b", "read,,write", *touch), ("record", "-b", "no_such_syscall", *touch),
            ("record", "-n", "-b", "read", *touch),
            *(("record", "--name", name, *touch) for name in ("Upper", "", "a_b", "-a", "a" * 254, "a/b", "a\n", "a.")),
            *(("record", "--checkpoint", value, *touch) for value in ("0", "-1", "x", "", "nan", "inf", "0.5")),
            ("record", "--append", "-o", "-", *touch), ("record", "--checkpoint", "1", "-o", "/dev/stdout", *touch),
            ("record", "--quiet=yes", *touch), ("version", "more"), ("version", "-x"),
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
        self.assertEqual((result.stdout, result.stderr), ("y\n", ""))
        self.assertEqual(result.returncode, 128 + signal.SIGXFSZ)

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

    def test_until_the_daemon_ends(self) -> None:
        process, pid = self.start_daemon("--follow")
        time.sleep(0.5)
        self.assertIsNone(process.poll())
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


class Terminal:
    """A command on a terminal of its own, as session leader."""

    def __init__(self, case: support.Case, command: Sequence[str], rows: int = 24, columns: int = 800, **popen: Any):
        self.case, self.data, self.chunks = case, b"", [b""]
        self.master, slave = os.openpty()
        case.addCleanup(self.close)
        self.size = (columns, rows)
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        popen.setdefault("stderr", slave)
        self.process = subprocess.Popen(command, stdin=slave, stdout=slave, start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0), **popen)
        os.close(slave)
        case.addCleanup(self.kill)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def close(self) -> None:
        if self.master >= 0:
            os.close(self.master)
        self.master = -1

    def read(self, deadline_s: float) -> bool:
        """Read what there is; False at the end."""
        ready, _, _ = select.select([self.master], [], [], max(0.0, deadline_s - time.monotonic()))
        if not ready:
            raise AssertionError(f"waited in vain; the terminal shows {self.data[-3000:]!r}")
        try:
            chunk = os.read(self.master, 65536)
        except OSError as error:
            if error.errno != errno.EIO:  # EIO: nobody has the terminal open any more
                raise
            return False
        self.data += chunk
        self.chunks.append(chunk)
        return bool(chunk)

    def read_until(self, text: str, start: int = 0) -> int:
        """Read until the text has come; give the place behind it."""
        deadline_s = time.monotonic() + WAIT_S
        while text.encode() not in self.data[start:]:
            if not self.read(deadline_s):
                raise AssertionError(f"no {text!r} in {self.data!r}")
        return self.data.index(text.encode(), start) + len(text.encode())

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def finish(self) -> int:
        """Read all; the exit code."""
        deadline_s = time.monotonic() + WAIT_S
        while self.read(deadline_s):
            pass
        return self.process.wait(WAIT_S)

    def screens(self) -> "Iterator[pyte.HistoryScreen]":
        """The one screen, again and again, after each piece of output."""
        screen = pyte.HistoryScreen(*self.size, history=10000)
        stream = pyte.ByteStream(screen)
        for chunk in self.chunks:
            # pyte 0.8.0 does not take CSI r for what it is, the default margins.
            stream.feed(chunk.replace(b"\x1b[r", b"\x1b[1;%dr" % self.size[1]))
            yield screen

    def lines(self) -> List[str]:
        """All that the screen shows at last, and what has scrolled off it, without log lines."""
        for screen in self.screens():
            pass
        lines = screen_lines(screen)
        return [line for line in lines if not LOG_LINE.match(line)]


def screen_lines(screen: "pyte.HistoryScreen") -> List[str]:
    scrolled = ["".join(row[column].data for column in range(screen.columns)) for row in screen.history.top]
    lines = [line.rstrip() for line in [*scrolled, *screen.display]]
    while lines and not lines[-1]:
        lines.pop()
    return lines


class OnTerminal(ChildCase):
    """Keys and the status line."""

    # Of a shell that runs one other program at a time.
    STATUS = re.compile(r"0:(?P<time>\d\d)  processes: [12]  syscalls: (?P<syscalls>[1-9]\d*)  "
                        r"newest: (?P<newest>\w+), (?P<ago>\d+) s ago")
    ROWS: Tuple[int, ...] = (24, 10, 100)

    def terminal(self, *command: str, options: Sequence[str] = (), after: str = "", **more: Any) -> Terminal:
        """Record on a terminal, started by a shell that leads the session."""
        line = " ".join(map(shlex.quote, self.recorded(*command, options=options)))
        return Terminal(self, ["sh", "-c", f"trap : INT QUIT; {line}; code=$?; {after or ':'}; exit $code"], **more)

    def test_interrupt_key_counts_once(self) -> None:
        for name, key in (("SIGINT", "\x03"), ("SIGQUIT", "\x1c")):
            terminal = self.terminal(*PYTHON, HANDLER, "1", name)
            terminal.read_until("ready")
            terminal.type(key)
            self.assertEqual(terminal.finish(), 7)
            self.assertEqual(terminal.data.count(f"got {name}".encode()), 1, terminal.data)
            self.assertIn("rt_sigaction", self.names())

    def test_interrupt_key_counts_once_for_a_session_leader(self) -> None:
        """Started by ssh -t or docker run -t, no shell stands above spoc.py."""
        terminal = Terminal(self, self.recorded(*PYTHON, HANDLER, "1", "SIGINT"))
        terminal.read_until("ready")
        terminal.type("\x03")
        self.assertEqual(terminal.finish(), 7)
        self.assertEqual(terminal.data.count(b"got SIGINT"), 1, terminal.data)
        self.assertIn("rt_sigaction", self.names())

    def test_interrupt_key_twice(self) -> None:
        terminal = self.terminal(*PYTHON, HANDLER, "99", "SIGINT")
        terminal.read_until("ready")
        terminal.type("\x03")
        terminal.read_until("got SIGINT")
        shell = terminal.process.pid
        self.wait_for_another_request(int(pathlib.Path(f"/proc/{shell}/task/{shell}/children").read_text()))
        terminal.type("\x03")
        self.assertEqual(terminal.finish(), 128 + signal.SIGKILL)
        self.assertIn("rt_sigaction", self.names())

    def test_interrupted_command_that_dies(self) -> None:
        terminal = self.terminal("sh", "-c", "echo ready; exec sleep 600")
        terminal.read_until("ready")
        terminal.type("\x03")
        self.assertEqual(terminal.finish(), 128 + signal.SIGINT)
        self.assertIn("write", self.names())

    def test_hang_up(self) -> None:
        """The terminal is gone (the connection broke): the command is told, and the profile is written."""
        terminal = Terminal(self, self.recorded("sh", "-c", "echo ready; exec sleep 600"))
        terminal.read_until("ready")
        terminal.close()
        self.assertEqual(terminal.process.wait(WAIT_S), 128 + signal.SIGHUP)
        self.assertIn("write", self.names())

    def test_stop_key_and_fg(self) -> None:
        support.require_command("bash")
        terminal = Terminal(self, ["bash", "--norc", "--noprofile", "--noediting", "-i"],
                            env={**os.environ, "PS1": "prompt>", "TERM": "dumb", "HISTFILE": "/dev/null"})
        terminal.read_until("prompt>")
        program = self.folder / "program"
        program.write_text("import os, time\nprint('pid', os.getpid(), flush=True)\n"
                           "while True:\n    time.sleep(0.1)\n    print('tick', flush=True)\n")
        terminal.type(" ".join(map(shlex.quote, self.recorded(sys.executable, str(program)))) + "\n")
        place = terminal.read_until("tick")
        found = re.search(rb"\npid (\d+)\r", terminal.data)
        assert found
        pid = int(found[1])
        terminal.type("\x1a")
        place = terminal.read_until("prompt>", terminal.read_until("Stopped", place))
        self.wait_for(lambda: self.state(pid) == "T", "the command to stop")
        terminal.type("fg\n")
        place = terminal.read_until("tick", place)
        terminal.type("\x03")
        place = terminal.read_until("prompt>", place)
        terminal.type("echo code=$?.\n")
        place = terminal.read_until("code=130.", place)
        self.assertIn("write", self.names())
        terminal.type("exit\n")
        terminal.finish()

    def test_stop_key_gives_the_row_back(self) -> None:
        """While stopped the shell has the whole screen; continued, the status line returns."""
        support.require_command("bash")
        terminal = Terminal(self, ["bash", "--norc", "--noprofile", "--noediting", "-i"],
                            env={**os.environ, "PS1": "prompt>", "TERM": "dumb", "HISTFILE": "/dev/null"})
        terminal.read_until("prompt>")
        terminal.type(" ".join(map(shlex.quote, self.recorded("sleep", "60"))) + "\n")
        place = terminal.read_until("syscalls: ")
        terminal.type("\x1a")
        terminal.read_until("prompt>", terminal.read_until("Stopped", place))
        for screen in terminal.screens():
            pass
        self.assertEqual(screen.margins, (0, 23), "the row was not given back")
        self.assertNotIn("syscalls: ", screen.display[-1])
        terminal.type("fg\n")
        place = terminal.read_until("syscalls: ", terminal.read_until("fg", len(terminal.data) - 5))
        terminal.type("\x03")
        terminal.read_until("prompt>", place)
        terminal.type("exit\n")
        terminal.finish()

    def test_stop_signal_without_job_control(self) -> None:
        """Of a process group that nobody could continue the stop key stops nothing (POSIX: orphaned process group)."""
        process = self.launch(*self.recorded("sleep", "1"), stderr=subprocess.PIPE, text=True)
        assert process.stderr
        while "Running command" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGTSTP)
        process.communicate(timeout=WAIT_S)
        self.assertEqual(process.returncode, 0)

    @staticmethod
    def state(pid: int) -> str:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]

    COUNT = ("i=1; while [ $i -le 40 ]; do echo line $i; sleep 0.06; i=$((i+1)); done; "
             "printf 'partial '; sleep 2.3; echo end")
    COUNTED = [*(f"line {number}" for number in range(1, 41)), "partial end"]

    def test_status_line(self) -> None:
        for rows in self.ROWS:
            with self.subTest(rows=rows):
                terminal = self.terminal("sh", "-c", self.COUNT, after="echo after", rows=rows)
                self.assertEqual(terminal.finish(), 0)
                drawn = set()
                for screen in terminal.screens():
                    if self.STATUS.fullmatch(screen.display[-1].strip()):
                        drawn.add(screen.display[-1].strip())
                        self.check_intact(screen)
                self.check_figures(sorted(drawn))
                self.assertEqual(terminal.lines(), [*self.COUNTED, "after"])
                self.assertEqual(screen.margins, (0, rows - 1), "the row was not given back")

    def check_figures(self, lines: Sequence[str]) -> None:
        """The time goes on, calls only become more, and all are in the profile; the newest was made by then."""
        self.assertGreaterEqual(len(lines), 3)
        names = self.names()
        matches = [match for match in map(self.STATUS.fullmatch, lines) if match]
        counts = [int(match["syscalls"]) for match in matches]
        self.assertEqual(counts, sorted(counts))
        self.assertLessEqual(counts[-1], len(names))
        for match in matches:
            self.assertIn(match["newest"], names)
            self.assertLessEqual(int(match["ago"]), int(match["time"]))

    def check_intact(self, screen: "pyte.HistoryScreen") -> None:
        """Above the status line stands what the command has written so far, and no other status line."""
        shown = [line for line in screen_lines(screen)[:-1] if line and not LOG_LINE.match(line)]
        if shown and not shown[-1] == f"line {len(shown)}":
            shown.pop()  # a line that is being written
        self.assertEqual(shown, self.COUNTED[:len(shown)])

    def test_output_without_spoc(self) -> None:
        """What the test above expects is what a terminal shows."""
        terminal = Terminal(self, ["sh", "-c", self.COUNT + "; echo after"], rows=10)
        self.assertEqual(terminal.finish(), 0)
        self.assertEqual(terminal.lines(), [*self.COUNTED, "after"])

    def test_narrow_terminal(self) -> None:
        """A status line that is too long is cut, not wrapped."""
        terminal = self.terminal("sh", "-c", "echo one; sleep 2.3; echo two", columns=20)
        self.assertEqual(terminal.finish(), 0)
        drawn = {screen.display[-1] for screen in terminal.screens() if re.match(r"\d:\d\d  [ps]", screen.display[-1])}
        self.assertTrue(drawn)
        lines = terminal.lines()
        self.assertIn("one", lines)
        self.assertIn("two", lines)
        self.assertEqual([line for line in lines if re.match(r"\d+:\d\d  \d", line)], [])

    def test_no_status_line_within_a_second(self) -> None:
        terminal = self.terminal("true")
        self.assertEqual(terminal.finish(), 0)
        self.assertNotIn(b"\x1b", terminal.data)

    def test_no_status_line_when_quiet(self) -> None:
        terminal = self.terminal("sleep", "2.3", options=("-q",))
        self.assertEqual((terminal.finish(), terminal.data), (0, b""))

    def test_no_status_line_in_the_background(self) -> None:
        line = " ".join(map(shlex.quote, self.recorded("sleep", "2.3")))
        terminal = Terminal(self, ["sh", "-c", f"set -m; {line} & wait $!"])
        self.assertEqual(terminal.finish(), 0)
        self.assertIn(b"Wrote seccomp profile", terminal.data)
        self.assertNotIn(b"\x1b", terminal.data)

    def test_no_status_line_over_a_program_that_has_the_screen(self) -> None:
        terminal = self.terminal("sh", "-c", "stty -icanon -echo; sleep 2.3; stty icanon echo")
        self.assertEqual(terminal.finish(), 0)
        self.assertNotIn(b"\x1b", terminal.data)

    def test_no_status_line_off_terminal(self) -> None:
        with open(self.folder / "log", "w+b") as log:
            terminal = self.terminal("sh", "-c", "sleep 2.3; echo end", stderr=log)
            self.assertEqual((terminal.finish(), terminal.data), (0, b"end\r\n"))
            log.seek(0)
            text = log.read().decode()
        self.assertNotIn("\x1b", text)
        self.assertEqual([line for line in text.splitlines() if not LOG_LINE.fullmatch(line)], [])


class Sudo(ChildCase):
    """Under sudo the command runs as the user who called it."""

    UID, GID, EXTRA_GID = 54321, 54322, 54323
    PROGRAM = r"""
import json, os
def attempt(call):
    try:
        call()
    except PermissionError:
        return "refused"
    return "done"
with open("/proc/self/status") as status:
    pairs = [line.split()[:2] for line in status if line.startswith(("CapPrm", "CapEff", "CapAmb"))]
back = [lambda: os.setresuid(0, 0, 0), lambda: os.setuid(0), lambda: os.setresgid(0, 0, 0), lambda: os.setgroups([0])]
print(json.dumps({
    "uid": os.getresuid(), "gid": os.getresgid(), "groups": sorted(os.getgroups()), "cwd": os.getcwd(),
    "capabilities": dict(pairs), "back": [attempt(call) for call in back],
    **{name: os.environ.get(name) for name in ("HOME", "USER", "LOGNAME", "SUDO_UID")}}))
"""

    def setUp(self) -> None:
        super().setUp()
        support.require_command("sudo", "unshare", "mount")
        self.profile = self.folder / "out" / "profile.yaml"
        self.profile.parent.mkdir()
        self.home = self.folder / "home"
        self.home.mkdir()
        os.chown(self.home, self.UID, self.GID)
        for name, lines in {
            "passwd": f"spoc-test:x:{self.UID}:{self.GID}::{self.home}:/bin/sh\n",
            "shadow": "spoc-test:*:19000:0:99999:7:::\n",
            "group": f"spoc-test:x:{self.GID}:\nspoc-extra:x:{self.EXTRA_GID}:spoc-test\n",
        }.items():
            path = self.folder / name
            path.write_text(pathlib.Path("/etc", name).read_text() + lines)
            path.chmod(0o600 if name == "shadow" else 0o644)
        sudoers = self.folder / "sudoers"
        sudoers.write_text("root ALL=(ALL:ALL) NOPASSWD: ALL\nspoc-test ALL=(ALL:ALL) NOPASSWD: ALL\n")
        sudoers.chmod(0o440)

    def sudo(self, *command: str, options: Sequence[str] = (), code: int = 0, user: str = "spoc-test") -> str:
        """Record through sudo, called by a user who exists in a mount namespace of this test's only."""
        mounts = "; ".join(f"mount --bind {self.folder}/{name} /etc/{name}"
                           for name in ("passwd", "shadow", "group", "sudoers"))
        result = subprocess.run(
            ["unshare", "-m", "sh", "-e", "-c", f'{mounts}; exec sudo -n -u "$0" -- sudo -n -- "$@"', user,
             *self.recorded(*command, options=options)],
            cwd=self.home, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            timeout=WAIT_S, check=False)
        self.assertEqual(result.returncode, code, result.stderr)
        return result.stderr if code else result.stdout

    def test_calling_user(self) -> None:
        self.assertEqual(json.loads(self.sudo(*PYTHON, self.PROGRAM)), {
            "uid": [self.UID] * 3, "gid": [self.GID] * 3, "groups": [self.GID, self.EXTRA_GID], "cwd": str(self.home),
            "capabilities": dict.fromkeys(("CapPrm:", "CapEff:", "CapAmb:"), "0" * 16), "back": ["refused"] * 4,
            "HOME": str(self.home), "USER": "spoc-test", "LOGNAME": "spoc-test", "SUDO_UID": str(self.UID)})

    def test_no_capability_is_left(self) -> None:
        """Inheritable ones outlive the change of user, and all do where the ids are fixed to nothing (securebits)."""
        support.require_command("setpriv")
        os.chown(self.profile.parent, self.UID, self.GID)
        for before in (("--inh-caps=+net_raw,+sys_admin",), ("--inh-caps=+chown", "--ambient-caps=+chown"),
                       ("--securebits=+no_setuid_fixup",)):
            with self.subTest(before=before):
                result = subprocess.run(
                    ["setpriv", *before, *self.recorded("grep", "^Cap[^B]", "/proc/self/status")], cwd="/", text=True,
                    env={**os.environ, "SUDO_UID": str(self.UID), "SUDO_GID": str(self.GID)}, stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=WAIT_S, check=False)
                self.assertEqual(result.returncode, 0, result.stderr)
                self.assertEqual(dict(line.split() for line in result.stdout.splitlines()), dict.fromkeys(
                    ("CapInh:", "CapPrm:", "CapEff:", "CapAmb:"), "0" * 16))

    def test_profile_belongs_to_the_user(self) -> None:
        """In the user's own folder, and in one like /tmp."""
        for owner, mode in ((self.UID, 0o755), (0, 0o1777)):
            self.own_folder(owner, mode)
            self.sudo("true")
            status = self.profile.stat()
            self.assertEqual((status.st_uid, status.st_gid, status.st_mode & 0o777), (self.UID, self.GID, 0o644))
            self.profile.unlink()

    def own_folder(self, owner: int, mode: int) -> None:
        self.profile.parent.mkdir(exist_ok=True)
        os.chown(self.profile.parent, owner, -1)
        self.profile.parent.chmod(mode)

    def test_others_files_are_not_given_away(self) -> None:
        """Neither one that is root's already, wherever it is, nor a new one where the user could not have made it."""
        for owner, mode in ((0, 0o755), (0, 0o777), (self.UID + 1, 0o755)):
            self.own_folder(owner, mode)
            self.sudo("true")
            self.assertEqual(self.profile.stat().st_uid, 0, (owner, oct(mode)))
            self.profile.unlink()
        for owner, mode in ((0, 0o700), (self.UID, 0o755), (0, 0o1777)):
            self.own_folder(owner, mode)
            self.profile.write_text("")
            self.profile.chmod(0o640)
            os.chown(self.profile, 0, self.EXTRA_GID)
            self.sudo("true", options=("--append",))
            status = self.profile.stat()
            self.assertEqual((status.st_uid, status.st_gid, status.st_mode & 0o777), (0, self.EXTRA_GID, 0o640))
            self.assertTrue(self.names())

    def test_folder_that_is_swapped(self) -> None:
        """A symbolic link to root's folder in place of the user's own gives the user nothing there."""
        self.own_folder(self.UID, 0o755)
        others = self.folder / "others"
        others.mkdir()
        self.sudo("sh", "-c", f'mv {self.profile.parent} {self.home}/away; ln -s {others} {self.profile.parent}',
                  options=("--privileged",))
        self.sudo("true")
        self.assertEqual([path.stat().st_uid for path in others.iterdir()], [0])

    def test_dropping_privileges_is_not_recorded(self) -> None:
        self.sudo("true")
        self.assertEqual(self.names() & {"setresuid", "setresgid", "setgroups", "setuid", "execve"}, set())

    def test_privileged(self) -> None:
        found = json.loads(self.sudo(*PYTHON, self.PROGRAM, options=("--privileged",)))
        self.assertEqual((found["uid"], found["gid"]), ([0] * 3, [0] * 3))
        self.assertEqual(found["back"], ["done"] * 4)
        self.assertEqual(self.profile.stat().st_uid, 0)

    def test_called_by_root(self) -> None:
        self.assertEqual(json.loads(self.sudo(*PYTHON, self.PROGRAM, user="root"))["uid"], [0] * 3)
        self.assertEqual(self.profile.stat().st_uid, 0)

    def test_program_that_only_root_may_run(self) -> None:
        program = self.folder / "program"
        program.write_text("#!/bin/sh\n")
        program.chmod(0o700)
        self.assertIn("Permission denied", self.sudo(str(program), code=126))
        self.sudo(str(program), options=("--privileged",))

    def test_users_that_make_no_sense(self) -> None:
        users: List[Dict[str, str]] = [{"SUDO_UID": "1000"}, {"SUDO_UID": "1000", "SUDO_GID": ""}]
        users += [{"SUDO_UID": uid, "SUDO_GID": "1"} for uid in (
            "x", "-1", "00", "+0", " 0", str(1 << 32), str((1 << 32) - 1))]  # the name of root is 0
        for variables in users:
            with self.subTest(variables=variables):
                result = support.spoc("record", "-o", str(self.profile), "--", "touch", str(self.folder / "started"),
                                      env={**os.environ, **variables})
                self.assertEqual(result.returncode, 125, result.stderr)
                self.assertRegex(result.stderr, r"Error: start command: [^\n]+; --privileged ")
                self.assertFalse((self.folder / "started").exists())

    def test_group_of_the_session(self) -> None:
        """The group that the caller had, as newgrp(1) gives it, is kept, beside those that the user is in."""
        user = pwd.getpwnam("daemon")
        self.assertNotEqual(user.pw_gid, self.GID)
        result = support.spoc("record", "-q", "-o", str(self.profile), "--", *PYTHON, self.PROGRAM, cwd="/",
                              env={**os.environ, "SUDO_UID": str(user.pw_uid), "SUDO_GID": str(self.GID)})
        self.assertEqual(result.returncode, 0, result.stderr)
        found = json.loads(result.stdout)
        self.assertEqual((found["uid"], found["gid"]), ([user.pw_uid] * 3, [self.GID] * 3))
        self.assertEqual(found["groups"], sorted(os.getgrouplist("daemon", self.GID)))

    def test_change_of_user_that_does_nothing(self) -> None:
        """A filter that spoc.py is under, as a sandbox's, may have setresuid(2) succeed and do nothing."""
        policy = self.folder / "policy.json"
        policy.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["setresuid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 0}]}))
        started = self.folder / "started"
        result = support.spoc("run", "-q", "-p", str(policy), "--enricher", "none", "--privileged", "--",
                              *self.recorded("touch", str(started), options=("--backend", "notify")),
                              env={**os.environ, "SUDO_UID": str(self.UID), "SUDO_GID": str(self.GID)})
        self.assertIn(f"Error: start command: as user {self.UID}: Operation not permitted; ", result.stderr)
        self.assertEqual(result.returncode, 125, result.stderr)
        self.assertFalse(started.exists())

    def test_user_without_an_entry(self) -> None:
        result = support.spoc("record", "-q", "-o", str(self.profile), "--", *PYTHON, self.PROGRAM, cwd="/",
                              env={**os.environ, "SUDO_UID": str(self.UID), "SUDO_GID": str(self.GID)})
        self.assertEqual(result.returncode, 0, result.stderr)
        found = json.loads(result.stdout)
        self.assertEqual((found["uid"], found["gid"], found["groups"]), ([self.UID] * 3, [self.GID] * 3, [self.GID]))
        self.assertEqual(found["HOME"], "/")


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
            rf"mntns={mount_namespace}, err=.+\))", "Processing recorded data", "Found 3 tasks in bpf map",
            r"Got syscalls: \w+(, \w+)*", r"Adding base syscalls: \w+(, \w+)*",
            r"Adding what the kernel makes by itself: \w+(, \w+)*",
            f"Wrote seccomp profile to: {self.profile}", "Unloading bpf module"]
        lines = result.stderr.splitlines()
        self.assertEqual(len(lines), len(expected), result.stderr)
        matches = [re.fullmatch(rf"\d\d:\d\d:\d\d\.\d{{6}} {pattern}", line)
                   for pattern, line in zip(expected, lines)]
        self.assertNotIn(None, matches, result.stderr)
        got, added, made = (set(line.split(": ")[1].split(", ")) for line in lines[9:12])
        self.assertEqual((got | added | made, got & added | got & made | added & made), (names, set()))
        self.assertLessEqual(added, set(spoc.BASE_SYSCALLS))
        times = [line.split()[0] for line in lines]
        if before <= after:  # else it was midnight
            self.assertEqual(times, sorted(times))
            self.assertTrue(before <= times[0][:8] and times[-1][:8] <= after, (before, times, after))

    def test_local_time(self) -> None:
        hours = [support.spoc("record", "-o", str(self.profile), "true", env={**os.environ, "TZ": zone}).stderr[:2]
                 for zone in ("AAA0", "BBB-5")]
        self.assertIn((int(hours[1]) - int(hours[0])) % 24, (5, 6))

    def test_quiet(self) -> None:
        result = support.spoc("record", "-q", "-o", str(self.profile), "--", "sh", "-c", "echo mine >&2")
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
        with open(read, "rb") as stream:
            time.sleep(1)
            text = stream.read()
        self.assertEqual(process.wait(WAIT_S), 0)
        self.assertIn(b"Loading bpf module", text)
        self.assertIn(b"Unloading bpf module", text)
