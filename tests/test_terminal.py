# SPDX-License-Identifier: MIT
"""The command on a terminal, under the status line, and through sudo."""

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
import unittest
from typing import Any, Dict, Iterator, List, Sequence, Tuple

import pyte

import support
from cases import HANDLER, LOG_LINE, PYTHON, ChildCase, NotifyChildCase
from support import CLOCK, WAIT_S

TIER = "kernel"


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


SGR = re.compile(rb"\x1b\[[0-9;]*m")  # Select Graphic Rendition, console_codes(4)


class Looks(support.Case):
    """Colour on a terminal that has it, for who wants it, and nothing wider than the terminal."""

    def setUp(self) -> None:
        super().setUp()
        support.require_root()
        self.profile = self.folder / "profile.json"
        self.profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["uname"], "action": "SCMP_ACT_ERRNO"}, {"names": ["getppid"], "action": "SCMP_ACT_LOG"}]}))
        self.other = self.folder / "other.json"
        self.other.write_text('{"defaultAction": "SCMP_ACT_ALLOW"}')

    def shown(self, *arguments: str, columns: int = 800, **environment: str) -> bytes:
        """What a command writes to a terminal."""
        terminal = Terminal(self, [sys.executable, str(support.SPOC), *arguments], columns=columns, cwd=self.folder,
                            env={**os.environ, "TERM": "xterm", "NO_COLOR": "", **environment})
        terminal.finish()
        self.assertNotIn(b"Traceback", terminal.data)
        return terminal.data

    def painted(self) -> Iterator[Tuple[Tuple[str, ...], bytes, bytes]]:
        """Commands, a text that each paints, and the codes of its colour."""
        run = ("run", "-p", str(self.profile), "--", "sh", "-c", "uname")
        yield run, b"Seccomp: uname", b"31"
        yield run, b"Seccomp summary: uname", b"31"
        yield run, b"1 syscall was blocked", b"31"
        yield (*run[:4], "sh", "-c", "echo $PPID"), b"Nothing was blocked", b"32"
        yield ("run", "-p", str(self.folder / "none"), "true"), b"Error: read profile: ", b"31"
        yield ("record", "-o", str(self.folder / "x"), "sh", "-c", "exit 3"), b"Warning: the command ended", b"33"
        yield ("diff", str(self.profile), str(self.other)), b"-uname", b"31"
        yield ("doctor",), b"ok", b"32"
        yield ("record", "--stats", "-o", str(self.folder / "x"), "true"), b"SYSCALL ", b"1"
        yield ("show", str(self.profile)), b"Allowed, by group", b"1"

    def test_colour(self) -> None:
        for arguments, text, codes in self.painted():
            with self.subTest(arguments=arguments, text=text):
                plain = [self.shown(*arguments, NO_COLOR="1"), self.shown(*arguments, TERM="dumb")]
                self.assertIn(b"\x1b[" + codes + b"m" + text, self.shown(*arguments))
                for data in plain:
                    self.assertIn(text, data)
                    self.assertNotRegex(data, SGR)

    def test_no_colour_elsewhere(self) -> None:
        for arguments, text, _ in self.painted():
            result = support.spoc(*arguments, env={**os.environ, "TERM": "xterm", "NO_COLOR": ""})
            self.assertIn(text.decode(), result.stdout + result.stderr)
            self.assertNotIn("\x1b", result.stdout + result.stderr)

    def widest(self, *arguments: str, columns: int, after: bytes = b"") -> int:
        """The width of the widest line that a command writes to a terminal of so many columns."""
        data = self.shown(*arguments, columns=columns).replace(b"\r", b"")
        self.assertIn(after, data)
        lines = SGR.sub(b"", data[data.index(after):]).decode().split("\n")
        return max(len(line) for line in lines if not line.startswith("example: "))  # which is to be copied

    def test_width(self) -> None:
        for columns in (40, 60, 80, 100):
            for arguments in (("--help",), ("record", "--help"), ("doctor", "--help"), ("doctor",),
                              ("show", str(self.profile))):
                with self.subTest(columns=columns, arguments=arguments):
                    self.assertLessEqual(self.widest(*arguments, columns=columns), max(columns, 50))

    def test_width_of_lists_and_statistics(self) -> None:
        """The lists of the log are folded at blanks, the names in them whole; elsewhere a line stays one."""
        record = ("record", "--stats", "-o", "profile", "--", "sh", "-c", "/bin/true; exit")  # a path is not folded
        for columns in (40, 60, 80, 100):
            with self.subTest(columns=columns):
                self.assertLessEqual(self.widest(*record, columns=columns, after=b"Got syscalls"), columns)
        data = self.shown(*record, columns=60)
        lines = data[data.index(b"Adding base syscalls: "):].decode().split("\r\n")
        self.assertTrue(lines[1].startswith(" " * 16) and lines[1][16] != " ", lines)
        names = " ".join(lines).partition("syscalls: ")[2].partition(" Wrote")[0]
        self.assertLessEqual({"capget", "umount2", "pivot_root"}, set(names.replace(",", "").split()))
        result = support.spoc(*record, cwd=self.folder)
        self.assertEqual(len(re.findall(r"(?m)^\S+ Adding base syscalls: .*, unshare", result.stderr)), 1)


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

    def test_says_as_whom_the_command_runs(self) -> None:
        """Before it, and where it fails or is not executable, as that may be why; not where the user asked for it."""
        title = r"spoc-test \(called sudo\); --privileged runs it as root"
        log = self.sudo("sh", "-c", "exit 3", code=3)
        self.assertRegex(log, rf"(?m)^{CLOCK} Running as {title}$")
        self.assertRegex(log, rf"(?m)^{CLOCK} Warning: the command ran as {title}$")
        self.assertNotIn("Running as", self.sudo("sh", "-c", "exit 3", code=3, options=("--privileged",)))
        log = self.sudo("sh", "-c", "exit 3", code=3, options=("-q",))
        self.assertEqual(len(re.findall(title, log)), 1, log)  # a warning, which -q leaves
        program = self.folder / "program"
        program.write_text("#!/bin/sh\n")
        program.chmod(0o700)
        self.assertRegex(self.sudo(str(program), code=126), rf"Permission denied; [^;]+ runs as: {title}\n$")
        policy = self.folder / "policy.json"
        policy.write_text('{"defaultAction": "SCMP_ACT_ALLOW"}')
        result = support.spoc("run", "-p", str(policy), "--", "sh", "-c", "exit 3", cwd="/",
                              env={**os.environ, "SUDO_UID": str(self.UID), "SUDO_GID": str(self.GID)})
        self.assertEqual(len(re.findall(rf"as user {self.UID} \(called sudo\); --privileged", result.stderr)), 2,
                         result.stderr)

    def test_users_that_make_no_sense(self) -> None:
        users: List[Dict[str, str]] = [{"SUDO_UID": "1000"}, {"SUDO_UID": "1000", "SUDO_GID": ""}]
        users += [{"SUDO_UID": uid, "SUDO_GID": "1"} for uid in (
            "x", "-1", "00", "+0", " 0", str(1 << 32), str((1 << 32) - 1))]  # the name of root is 0
        users += [{"SUDO_UID": "1000", "SUDO_GID": gid} for gid in ("-1", str(1 << 32), str((1 << 32) - 1))]
        for variables in users:
            with self.subTest(variables=variables):
                result = support.spoc("record", "-o", str(self.profile), "--", "touch", str(self.folder / "started"),
                                      env={**os.environ, **variables})
                self.assertEqual(result.returncode, 125, result.stderr)
                self.assertRegex(result.stderr, r"Error: start command: SUDO_UID=[^\n]+: no user; set both as sudo "
                                                r"does, or neither\n")
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


class NotifyOnTerminal(NotifyChildCase, OnTerminal):
    ROWS = (24,)
    STATUS = re.compile(OnTerminal.STATUS.pattern.replace("processes: [12]  ", ""))


class NotifySudo(NotifyChildCase, Sudo):
    pass


if __name__ == "__main__":
    unittest.main()
