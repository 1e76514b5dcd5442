# SPDX-License-Identifier: MIT
"""`run`: how the command is started and ends, and what is logged meanwhile."""

import contextlib
import errno
import itertools
import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
import unittest
from typing import Any, Dict, List, Sequence

import spoc as module
from cases import FREE, OWN_CALLS, RunCase, call_line, has_taken_signals
from support import AS_NOBODY, ON_X86_64, SIGSYS, SPOC, WAIT_S, build, require_command, spoc, wait_until

TIER = "kernel"


@unittest.skipUnless(ON_X86_64, "needs x86_64, whose syscall numbers are here")
class LogLines(RunCase):
    """In order, and each true when it is printed."""

    def messages(self, *command: str, options: Sequence[str] = (), code: int = 0, **run: Any) -> List[str]:
        result = self.run_it(*command, options=options, code=code, **run)
        lines = result.stderr.splitlines()
        self.assertTrue(all(re.match(r"\d\d:\d\d:\d\d\.\d{6} ", line) for line in lines), lines)
        return [re.sub(r"(PID|pid): \d+", r"\1: N", line[16:]) for line in lines]

    BLOCKED = "uname (63), action: SCMP_ACT_ERRNO (EPERM)"
    END = [f"Seccomp: {BLOCKED}, pid: N, comm: deny.c-static",
           f"Seccomp summary: {BLOCKED}, 1 time, by: deny.c-static (1)",
           "To allow what was blocked: run -b uname (-b uname lifts the rule that answers SCMP_ACT_ERRNO (EPERM)); "
           "to add it to a profile: run --learn FILE, and with --force what a rule denies",
           "The command ended with exit status 2", "1 syscall was blocked",
           "Unable to run: launch runner: wait for command: exit status 2"]

    def test_in_order(self) -> None:
        self.block("uname")
        self.assertEqual(self.messages(build("deny.c", "-static"), options=("--enricher", "tracepoint"), code=2), [
            f"Reading file {self.profile}", "Setting up seccomp", "Load seccomp profile",
            "Starting tracepoint enricher", "Enricher reading from the tracepoints sys_enter and sys_exit",
            "Running command with PID: N", *self.END])

    def test_auto_takes_tracepoints(self) -> None:
        self.block("uname")
        self.assertIn("Starting tracepoint enricher", self.messages(build("deny.c", "-static"), code=2))

    def test_yaml(self) -> None:
        self.profile.write_text("defaultAction: SCMP_ACT_ALLOW\n")
        self.assertEqual(self.messages("true", options=("--enricher", "none")), [
            f"Reading file {self.profile}", "Assuming YAML profile", "Setting up seccomp", "Load seccomp profile",
            "Running command with PID: N", "The profile was applied; what it blocked was not watched"])

    def test_quiet(self) -> None:
        self.block("uname")
        self.assertEqual(self.messages(build("deny.c", "-static"), options=("-q", "--enricher", "tracepoint"), code=2),
                         self.END[:3])
        self.assertEqual(self.messages("true", options=("-q", "--enricher", "tracepoint")), [])

    def test_signal(self) -> None:
        self.block("uname", action="SCMP_ACT_KILL_PROCESS")
        self.assertEqual(self.messages(build("deny.c", "-static"), code=128 + SIGSYS)[-3:], [
            "The command was killed by SIGSYS (Bad system call)", "1 syscall was blocked",
            "Unable to run: launch runner: wait for command: signal: bad system call"])

    def test_count(self) -> None:
        """One sees that the profile was applied, whatever came of it, and how many syscalls it stopped."""
        calls = "".join(call_line("n", FREE[name]) + "\n" for name in ("getuid", "getgid", "getuid", "gettid"))
        for names, options, last in ((["kcmp"], (), "Nothing was blocked"), (["getgid"], (), "1 syscall was blocked"),
                                     (["getuid", "gettid"], (), "2 syscalls were blocked"),
                                     (["kcmp"], ("--learn", "LEARNED"), "Nothing would be blocked"),
                                     (["getuid", "gettid"], ("--force", "--learn", "LEARNED"),
                                      "2 syscalls would be blocked")):
            for enricher in ((), ("--enricher", "notify")) if not options else ((),):
                with self.subTest(names=names, options=options, enricher=enricher):
                    self.block(*names)
                    result = self.run_it(build("call.c", "-static"), input=calls, stdin=None, options=(*enricher, *(
                        word.replace("LEARNED", str(self.folder / "learned")) for word in options)))
                    self.assertTrue(result.stderr.endswith(f" {last}\n"), result.stderr)

    def test_learned_calls_are_not_called_blocked(self) -> None:
        for action, answer in (("SCMP_ACT_ERRNO", "EPERM"), ("SCMP_ACT_KILL_PROCESS",) * 2):
            self.block("uname", action=action)
            messages = self.messages(build("deny.c", "-static"),
                                     options=("--learn", str(self.folder / "learned"), "--force"))
            self.assertIn(f"Seccomp: uname (63), would be blocked ({answer}), pid: N, comm: deny.c-static", messages)
            self.assertNotIn("action:", "".join(messages))
        self.block("uname", action="SCMP_ACT_LOG")  # which lets it pass and says so, with --learn or without
        messages = self.messages(build("deny.c", "-static"), options=("--learn", str(self.folder / "learned")))
        self.assertIn("Seccomp: uname (63), action: SCMP_ACT_LOG, pid: N, comm: deny.c-static", messages)
        self.assertEqual(messages[-1], "Nothing would be blocked")

    def test_pid(self) -> None:
        self.write()
        result = self.run_it("sh", "-c", "echo $$", options=("--enricher", "none"))
        self.assertIn(f" Running command with PID: {result.stdout}", result.stderr)


class ExitCodes(RunCase):
    def test_own(self) -> None:
        self.write()
        for enricher, code in itertools.product(("none", "tracepoint"), (0, 1, 2, 125, 255)):
            with self.subTest(enricher=enricher, code=code):
                stderr = self.run_it("sh", "-c", f"exit {code}", options=("--enricher", enricher), code=code).stderr
                self.assertEqual(stderr.count(f" The command ended with exit status {code}\n"), code != 0, stderr)
                self.assertNotIn("launch runner", stderr)  # the profile is not to blame

    def test_signal(self) -> None:
        self.write()
        for signum, name in ((signal.SIGKILL, "SIGKILL"), (signal.SIGTERM, "SIGTERM"), (signal.SIGSYS, "SIGSYS"),
                             (signal.SIGRTMIN + 3, r"SIGRTMIN\+3"), (signal.SIGRTMAX, "SIGRTMAX")):
            stderr = self.run_it("sh", "-c", f"kill -{int(signum)} $$", code=128 + signum).stderr
            self.assertRegex(stderr, rf" The command was killed by {name} \([^)]+\)\n[^\n]+ Nothing was blocked\n$")

    # A crash handler that hangs, and what it does first.
    HANGS = """
import ctypes, os, signal
def handle(number, frame):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = ATTACH and os.fork()
    if ATTACH and not child:
        assert not ctypes.CDLL(None).ptrace(16, os.getppid(), None, None)  # PTRACE_ATTACH
        os.close(2)
    os.write(1, b"%d\\n" % os.getpid())
    os.close(1)
    while True:
        signal.pause() if child == 0 else None
signal.signal(signal.SIGSYS, handle)
os.getpriority(0, 0)
"""

    def test_second_signal_ends_a_crash_handler_that_hangs(self) -> None:
        """Also where it has a process trace the one that has crashed: that one alone could reap what is killed."""
        self.block("getpriority", action="SCMP_ACT_TRAP")
        for attach, enricher in itertools.product((0, 1), ("tracepoint", "none")):
            with self.subTest(attach=attach, enricher=enricher), contextlib.ExitStack() as cleanup:
                process = cleanup.enter_context(subprocess.Popen(self.arguments(
                    sys.executable, "-I", "-S", "-c", f"ATTACH = {attach}" + self.HANGS, options=(
                        "--enricher", enricher)), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                    start_new_session=True))
                cleanup.callback(self.end_group, process.pid)
                assert process.stdout is not None
                self.assertRegex(process.stdout.readline(), r"^\d+\n$")
                process.send_signal(signal.SIGTERM)
                self.assertTrue(wait_until(lambda: has_taken_signals(process.pid)))
                time.sleep(2 * module.Supervisor.SAME_REQUEST_S)
                process.send_signal(signal.SIGTERM)
                self.assertEqual(process.wait(WAIT_S), 128 + signal.SIGKILL)

    @staticmethod
    def end_group(group: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)

    def test_signal_where_nobody_reads_standard_error(self) -> None:
        """As in a pipe to a pager: what is asked to end does."""
        self.block("getpriority")
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        self.addCleanup(os.close, writing)
        process = self.launch(*self.arguments(
            sys.executable, "-c", "import ctypes\nlibc = ctypes.CDLL(None)\nwhile True:\n"
            "  for number in range(1000): libc.prctl(15, b'name%d' % number), libc.getpriority(0, 0)",  # PR_SET_NAME
            options=("--enricher", "notify")), stderr=writing)
        self.assertTrue(wait_until(lambda: not select.select([], [writing], [], 0)[1]))
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(WAIT_S), 125)

    def test_not_started(self) -> None:
        self.write()
        script = self.folder / "script"
        script.write_text("echo no interpreter\n")
        for command, code in (("no-such-command", 127), (str(self.folder / "nothing"), 127), ("", 127),
                              (str(self.folder), 126), (str(script), 126)):
            for mode in (0o644, 0o755) if command == str(script) else (0,):
                if mode:
                    script.chmod(mode)
                for enricher in ("none", "tracepoint"):
                    with self.subTest(command=command, enricher=enricher, mode=mode):
                        stderr = self.run_it(command, options=("--enricher", enricher), code=code).stderr
                        self.assertRegex(stderr, r"Error: start command: [^\n]+\n$")
                        self.assertEqual("Load seccomp profile" in stderr, code == 126, stderr)
                        self.assertNotIn("Running command", stderr)

    def test_spoc_fails(self) -> None:
        for text in ("", "{", "- a\n", '{"defaultAction": "SCMP_ACT_NONSENSE"}',
                     '{"defaultAction": "SCMP_ACT_ALLOW", "x": 1}'):
            self.profile.write_text(text)
            self.assertRegex(self.run_it("touch", str(self.folder / "started"), code=125).stderr,
                             rf"Error: read profile: {self.profile}[^\n]*\n$")
        self.profile.unlink()
        self.assertIn("no such file", self.run_it("touch", str(self.folder / "started"), code=125).stderr)
        self.assertFalse((self.folder / "started").exists())

    def test_profile_that_forbids_execve(self) -> None:
        """With whatever errno it says so."""
        for number in (errno.ENOMEM, errno.EINVAL, errno.EPERM):
            self.write(rules=[{"names": ["execve"], "action": "SCMP_ACT_ERRNO", "errnoRet": number}])
            self.assertIn("-b execve is all that it takes", self.run_it("true", code=126).stderr)

    def test_usage(self) -> None:
        self.write()
        for options, named in ((("-x",), "-x"), (("--enricher", "guess"), "guess"), (("-b", "no_such"), "no_such"),
                               (("-b", "read,,write"), "-b"), (("--events",), "--events")):
            with self.subTest(options=options):
                result = spoc("run", *options)
                self.assertEqual(result.returncode, 2, result.stderr)
                result = spoc("run", *options, "true") if options != ("--events",) else result
                self.assertEqual(result.returncode, 2, result.stderr)
                self.assertIn(named, result.stderr)
        self.assertEqual(spoc("run").returncode, 2)
        same = str(self.folder / "same.json")
        result = spoc("run", "-p", str(self.profile), "--events", same, "--learn", same, "true")
        self.assertEqual(result.returncode, 2, result.stderr)
        self.assertIn("it is the file that --learn names", result.stderr)


class Survivors(RunCase):
    """What forks away from the command stays under its filter when the command has ended."""

    # TRIGGER RESULT: nice calls getpriority(2) when the trigger is there, and nothing else does.
    SCRIPT = ('(exec <&- >"$1.new" 2>&1; until [ -e "$0" ]; do sleep 0.05; done; LC_ALL=C nice; mv "$1.new" "$1") & '
              "exit 4")
    NICENESS = f"{os.nice(0)}\n"  # what getpriority(2) comes to

    def setUp(self) -> None:
        super().setUp()
        self.trigger, self.result, self.learned = (self.folder / name for name in ("trigger", "result", "learned.json"))
        self.block("getpriority")

    def start(self, *options: str) -> "subprocess.Popen[Any]":
        for path in (self.trigger, self.result, self.learned):
            path.unlink(missing_ok=True)
        self.addCleanup(self.trigger.touch)
        with open(self.folder / "log", "w") as log:
            return self.launch(*self.arguments("sh", "-c", self.SCRIPT, str(self.trigger), str(self.result),
                                               options=options), stderr=log)

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def wait_for(self, text: str) -> None:
        self.assertTrue(wait_until(lambda: re.search(text, self.log()) is not None), self.log())

    def let_go_on(self) -> str:
        """What getpriority(2) comes to where the command has gone on."""
        self.trigger.touch()
        self.assertTrue(wait_until(self.result.exists), self.log())
        return self.result.read_text()

    def ended(self, process: "subprocess.Popen[Any]", code: int) -> None:
        self.assertEqual(process.wait(WAIT_S), code, self.log())
        self.assertNotIn("Traceback", self.log())

    def test_learns_until_the_last_has_ended(self) -> None:
        process = self.start("--force", "--learn", str(self.learned))
        self.wait_for(r"\d+ tasks? of the command runs? on; learning until the last has ended or this is stopped\n")
        self.assertIsNone(process.poll())
        self.assertEqual(self.let_go_on(), self.NICENESS)
        self.ended(process, 4)
        self.assertIn("Learned syscalls: getpriority\n", self.log())
        self.assertNotIn("Warning", self.log())
        self.assertEqual(json.loads(self.learned.read_text())["syscalls"], [])

    def test_learning_that_is_stopped_blocks_nothing(self) -> None:
        for signum in (signal.SIGTERM, signal.SIGINT):
            process = self.start("--force", "--learn", str(self.learned))
            self.wait_for("; learning until")
            process.send_signal(signum)
            self.ended(process, 4)
            self.assertTrue(self.learned.exists())
            self.wait_for(r"Warning: \d+ tasks? of the command runs? on under the filter; what the profile would block "
                          r"there is not learned any more. Process \d+ lets all their calls pass until they have ended")
            found = re.search(r"Process (\d+)", self.log())
            assert found
            program = pathlib.Path("/proc", found[1], "exe")
            self.assertEqual(self.let_go_on(), self.NICENESS)
            self.assertTrue(wait_until(lambda: not program.exists()))

    def test_learning_keeps_what_was_edited_meanwhile(self) -> None:
        """It may go on for days; what it would have written is printed."""
        process = self.start("--force", "--learn", str(self.profile))
        self.wait_for("; learning until")
        edited = self.profile.read_text() + "\n"
        self.profile.write_text(edited)
        self.assertEqual(self.let_go_on(), self.NICENESS)
        self.ended(process, 125)
        self.assertIn(f"Error: write profile: {self.profile}: it has been edited since it was read; ", self.log())
        self.assertIn('"syscalls": []', self.log())
        self.assertEqual(self.profile.read_text(), edited)
        process = self.start("--force", "--learn", str(self.profile))
        self.let_go_on()
        self.ended(process, 4)
        self.assertNotIn("getpriority", self.profile.read_text())

    def test_without_following(self) -> None:
        """They stay under the profile, and it is said that they are not watched."""
        for enricher in ("tracepoint", "notify", "netlink"):
            with self.subTest(enricher):
                self.ended(self.start("--enricher", enricher), 4)
                found = re.search(r"Warning: \d+ tasks? of the command runs? on under the filter; what is blocked "
                                  r"there is not named any more; --follow names it until all have ended or it is "
                                  r"stopped, or spoc.py watch --pid (\d+) names it", self.log())
                assert found, self.log()
                self.assertIn(str(self.trigger), pathlib.Path(f"/proc/{found[1]}/cmdline").read_text())
                self.assertRegex(self.let_go_on(), "Operation not permitted")

    def test_following(self) -> None:
        for enricher in ("tracepoint", "notify", "netlink"):
            with self.subTest(enricher):
                process = self.start("--follow", "--strict", "--enricher", enricher)
                self.wait_for("on; naming what is blocked until the last has ended or this is stopped\n")
                self.assertRegex(self.let_go_on(), "Operation not permitted")
                self.ended(process, 1)
                self.assertEqual([line.split(" ")[0] for line in self.denials(self.log())], ["getpriority"])
                self.assertNotIn("Warning", self.log())

    def test_following_that_is_stopped(self) -> None:
        process = self.start("--follow", "--enricher", "tracepoint")
        self.wait_for("; naming")
        process.send_signal(signal.SIGTERM)
        self.ended(process, 4)
        self.assertRegex(self.log(), r"is not named any more; spoc.py watch --pid \d+ names it\n")
        self.assertRegex(self.let_go_on(), "Operation not permitted")

    def test_nothing_is_left(self) -> None:
        for options in (("--learn", str(self.learned)), ("--follow",), ()):
            self.assertNotIn("of the command", self.run_it("true", options=options).stderr)

    def survivors(self, script: str) -> str:
        """What a script prints that has made Survivors, in a process that may have any children."""
        folder = str(pathlib.Path(str(module.__file__)).parent)
        script = f"import os, sys, threading, time; sys.path.insert(0, {folder!r}); import spoc\n{script}"
        return subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, check=True, text=True,
                              timeout=WAIT_S).stdout

    def test_what_has_ended_runs_on_no_more(self) -> None:
        """Also where nobody has waited for it yet."""
        self.assertEqual(self.survivors(
            "survivors = spoc.Survivors()\n"
            "pid = os.fork() or os._exit(0)\n"
            "os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)\n"
            "print(survivors.is_alive())"), "False\n")

    def test_the_first_thread_may_end_before_the_others(self) -> None:
        """A process is there until the last has ended."""
        self.assertEqual(self.survivors(
            "def end_first(): spoc.libc.syscall(spoc.syscall_number('exit'), 0, 0, 0)\n"
            "other = os.fork() or time.sleep(1000)\n"
            "survivors = spoc.Survivors()\n"
            "pid = os.fork()\n"
            "if not pid: threading.Thread(target=time.sleep, args=(1000,)).start(); end_first()\n"
            "while not spoc.has_ended(pid): time.sleep(0.01)\n"
            "print(survivors.is_alive(), survivors.roots() == [pid], survivors.count())\n"
            "os.kill(pid, 9)\nos.waitpid(pid, 0)\nprint(survivors.is_alive())\n"
            "os.kill(other, 9)"), "True True 1\nFalse\n")

    def test_what_ends_may_leave_children(self) -> None:
        """Each process here is the only one at its end, and its child has another parent only a while later."""
        chain = ("import os, time\nmemory = bytearray(60 << 20)\nfor _ in range(100):\n  if os.fork(): os._exit(0)\n"
                 "  time.sleep(0.002)\nos.getpriority(0, 0)")
        for before in ("", 'sleep 1000 >/dev/null 2>&1 & echo "$!"; '):
            result = subprocess.run(
                ["sh", "-c", before + 'exec "$@"', "sh", *self.arguments(
                    sys.executable, "-c", chain, options=("--follow", "--strict", "--enricher", "tracepoint"))],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=WAIT_S)
            if before:
                os.kill(int(result.stdout), signal.SIGKILL)
            self.assertEqual(result.returncode, 1, result.stderr)

    def test_children_from_before_are_not_the_commands(self) -> None:
        """A shell that becomes spoc.py leaves it those that it has begun."""
        for options in (("--learn", str(self.learned)), ("--follow",), ()):
            result = subprocess.run(
                ["sh", "-c", 'sleep 1000 >/dev/null 2>&1 & echo "$!"; exec "$@"', "sh",
                 *self.arguments("true", options=options)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                timeout=WAIT_S)
            os.kill(int(result.stdout), signal.SIGKILL)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertNotIn("of the command", result.stderr)


class Start(RunCase):
    """The filter is loaded last of all, and the command gets what it would have had without it."""

    def test_nothing_runs_under_the_filter(self) -> None:
        require_command("strace")
        self.block("uname")
        for enricher, options in itertools.product(("none", "tracepoint"), ((), ("--no-new-privs",))):
            with self.subTest(enricher=enricher, options=options):
                log = self.folder / "strace"
                subprocess.run(["strace", "-f", "-o", str(log), *self.arguments(
                    "true", options=("-q", "--enricher", enricher, *options))], check=True, timeout=WAIT_S)
                lines = log.read_text().splitlines()
                loads = [index for index, line in enumerate(lines) if
                         re.search(r"\d+ +seccomp\(SECCOMP_SET_MODE_FILTER, .* = 0$", line)]
                self.assertEqual(len(loads), 1)
                pid = lines[loads[0]].split()[0]
                after = [line for line in lines[loads[0]:] if line.split()[0] == pid]
                after = [line for line in after if "resumed>" not in line]
                self.assertRegex(after[1], rf'^{pid} +execve\("[^"]*/true", ')

    @unittest.skipUnless(ON_X86_64, "needs x86_64, for whose programs the list is")
    def test_smallest_profile(self) -> None:
        """What tests/programs/call.c needs is enough, and all else deadly."""
        for enricher in ("none", "tracepoint"):
            self.write("SCMP_ACT_KILL_PROCESS", [{"names": OWN_CALLS, "action": "SCMP_ACT_ALLOW"}])
            self.assertEqual(self.call(call_line("n", 39), enricher=enricher)[0][:2], "= ")

    def test_execve_is_blocked(self) -> None:
        for default, rules in (("SCMP_ACT_ALLOW", ["execve"]), ("SCMP_ACT_ERRNO", []), ("SCMP_ACT_KILL_PROCESS", [])):
            for enricher in ("none", "tracepoint"):
                with self.subTest(default=default, enricher=enricher):
                    self.write(default, [{"names": rules, "action": "SCMP_ACT_ERRNO"}] if rules else [])
                    stderr = self.run_it("true", options=("--enricher", enricher), code=126).stderr
                    self.assertRegex(stderr, r"Error: start command: true: [^\n]*execve; [^\n]* -b execve [^\n]*\n$")

    def test_execve_is_blocked_for_its_arguments(self) -> None:
        """That shows only when it is tried, whatever the answer; a filter that kills leaves no more than the signal."""
        for number in (errno.EPERM, errno.EXDEV, errno.EAGAIN, errno.EINVAL, errno.ENOMEM, errno.EMFILE, errno.ENFILE):
            with self.subTest(number):
                self.block("execve", args=[{"index": 3, "value": 77, "op": "SCMP_CMP_NE"}], errnoRet=number)
                stderr = self.run_it("true", options=("--enricher", "none"), code=126).stderr
                self.assertRegex(stderr, rf"Error: start command: true: {os.strerror(number)}; if the profile blocks "
                                         r"execve, -b execve allows it\n$")

    def test_execve_is_allowed_for_its_arguments(self) -> None:
        """A rule that may stop it, or that alone lets it pass, is no reason not to try."""
        for value, code in ((0, 126), (77, 0)):
            self.block("execve", args=[{"index": 3, "value": value, "op": "SCMP_CMP_EQ"}])
            self.run_it("true", options=("--enricher", "none"), code=code)
            others = [{"names": [name for name in OWN_CALLS if name != "execve"], "action": "SCMP_ACT_ALLOW"}]
            self.write("SCMP_ACT_ERRNO", [*others, {"names": ["execve"], "action": "SCMP_ACT_ALLOW", "args": [
                {"index": 3, "value": value, "op": "SCMP_CMP_EQ"}]}])
            stderr = self.run_it(build("call.c", "-static"), options=("--enricher", "none"), code=126 - code).stderr
            self.assertNotIn("the profile answers", stderr)

    def test_base_syscalls_allow_execve(self) -> None:
        self.write("SCMP_ACT_ERRNO", [{"names": [name for name in OWN_CALLS if name != "execve"],
                                       "action": "SCMP_ACT_ALLOW"}])
        self.run_it(build("deny.c", "-static"), options=("-b", "execve"))

    def status(self, *options: str, before: Sequence[str] = (), env: "Dict[str, str] | None" = None,
               command: Sequence[str] = ("cat", "/proc/self/status")) -> Dict[str, str]:
        """/proc/self/status of the command, or what else it prints so."""
        folder = self.folder / "copy"  # that any user may read
        folder.mkdir(exist_ok=True)
        shutil.copy(SPOC, folder)
        shutil.copy(SPOC.parent / "bpf" / "recorder.bpf.o", folder)
        self.block("uname")
        self.profile.chmod(0o644)
        result = subprocess.run([*before, sys.executable, str(folder / "spoc.py"), "run", "-q", "-p", str(self.profile),
                                 *options, "--", *command], stdin=subprocess.DEVNULL, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=WAIT_S, cwd="/", env=env)
        self.assertEqual(result.returncode, 0, result.stderr)
        return dict(line.split(":\t", 1) for line in result.stdout.splitlines() if ":\t" in line)

    def test_nobody_else_answers(self) -> None:
        """By notification spoc.py gives the profile's answers: a command of the same user must not get its listener."""
        require_command("setpriv")
        for enricher, expected in (("notify", errno.EACCES), ("none", 0)):
            with self.subTest(enricher):
                found = self.status("--enricher", enricher, before=AS_NOBODY, command=(sys.executable, "-c", (
                    "import os\n"
                    "try: os.stat(f'/proc/{os.getppid()}/fd/0'); print('error:\\t0')\n"
                    "except OSError as error: print('error', error.errno, sep=':\\t')")))
                self.assertEqual(found, {"error": str(expected)})

    def test_no_new_privs(self) -> None:
        """Only where the caller could not load the filter without it, or asks."""
        require_command("setpriv")
        nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
        for options, before, expected in (((), (), "0"), (("--no-new-privs",), (), "1"), ((), nobody, "1")):
            with self.subTest(options=options, before=before):
                status = self.status("--enricher", "none", *options, before=before)
                self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), (expected, "2"))

    def test_sudo(self) -> None:
        """As who called sudo: no capability is left, and the filter needed no no_new_privs."""
        for enricher in ("none", "tracepoint"):
            for options, expected in (((), "0"), (("--no-new-privs",), "1")):
                with self.subTest(enricher=enricher, options=options):
                    status = self.status("--enricher", enricher, *options,
                                         env={**os.environ, "SUDO_UID": "65534", "SUDO_GID": "65534"})
                    self.assertEqual((status["Uid"].split(), status["Gid"].split(), status["Groups"].split()),
                                     (["65534"] * 4, ["65534"] * 4, ["65534"]))
                    self.assertEqual({status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")}, {"0" * 16})
                    self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), (expected, "2"))
        status = self.status("--privileged", env={**os.environ, "SUDO_UID": "65534", "SUDO_GID": "65534"})
        self.assertEqual((status["Uid"].split(), status["Seccomp"]), (["0"] * 4, "2"))
        self.assertNotEqual(status["CapEff"], "0" * 16)

    def test_rules_for_capabilities_are_for_those_of_the_command(self) -> None:
        """Under sudo it has none, whatever spoc.py has."""
        unprivileged: Dict[str, Any] = {"names": ["uname"], "action": "SCMP_ACT_ERRNO",
                                        "excludes": {"caps": ["CAP_SYS_ADMIN"]}}
        privileged = {**unprivileged, "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}}
        del privileged["excludes"]
        other: Dict[str, str] = {"SUDO_UID": "65534", "SUDO_GID": "65534"}
        needed: Dict[str, Any] = {"names": [name for name in OWN_CALLS if name != "uname"], "action": "SCMP_ACT_ALLOW"}
        for default, rules in (("SCMP_ACT_ALLOW", [unprivileged]), ("SCMP_ACT_ERRNO", [needed, privileged])):
            self.write(default, rules)
            self.profile.chmod(0o644)
            for is_other, options, code in ((False, (), 0), (True, (), 2), (True, ("--privileged",), 0)):
                with self.subTest(default=default, is_other=is_other, options=options):
                    self.run_it(build("deny.c", "-static"), options=("--enricher", "none", *options), code=code,
                                env={**os.environ, **(other if is_other else {})}, cwd="/")

    def both(self, *command: str, **run: Any) -> List[str]:
        """What the command prints on its own, and under a profile that stops nothing, seen by tracepoints or not."""
        self.block("kcmp")
        outputs = []
        run.setdefault("stdin", subprocess.DEVNULL)
        for arguments in (command, *(self.arguments(*command, options=("-q", "--enricher", enricher))
                                     for enricher in ("none", "tracepoint"))):
            result = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                    timeout=WAIT_S, **run)
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            outputs.append(result.stdout)
        self.assertTrue(outputs[0])
        return outputs

    def assert_same(self, *command: str, **run: Any) -> None:
        first, *others = self.both(*command, **run)
        for other in others:
            self.assertEqual(other, first)

    def test_environment(self) -> None:
        self.assert_same("env", "-0", env={"A": "1", "B": "two\nlines", "PATH": os.environ["PATH"], "LC_ALL": "C"})
        self.assert_same("/usr/bin/env", "-0", env={"ONLY": "this"})

    def test_descriptors(self) -> None:
        with open(self.folder / "inherited", "w+") as file:
            file.write("what the file holds")
            file.flush()
            script = (f"ls -l /proc/self/fd | grep -v /proc | sed 's/.* \\([0-9]* -> \\)/\\1/; s/pipe:.*/pipe/'; "
                      f"cat <&{file.fileno()}; exec sed -n 1p /proc/self/fd/{file.fileno()}")
            self.assert_same("sh", "-c", script, pass_fds=[file.fileno()])

    def test_signals(self) -> None:
        """Masks and dispositions; and those that arrive are passed on."""
        def prepare() -> None:
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2, signal.SIGWINCH])

        # SigQ counts what is pending for all processes of the user.
        self.assert_same("grep", "^Sig[^Q]", "/proc/self/status", preexec_fn=prepare)
        self.write()
        program = "trap 'echo stopped; exit 7' TERM; echo ready; while :; do sleep 0.1; done"
        for enricher in ("none", "tracepoint"):
            with subprocess.Popen(self.arguments("sh", "-c", program, options=("-q", "--enricher", enricher)),
                                  text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE) as process:
                assert process.stdout is not None
                self.assertEqual(process.stdout.readline(), "ready\n")
                process.terminate()
                stdout, stderr = process.communicate(timeout=WAIT_S)
            self.assertEqual((process.returncode, stdout), (7, "stopped\n"), stderr)

    def test_arguments_folder_limits(self) -> None:
        self.assert_same("printf", "%s\\n", "-x", "--", "", "a b", "\u00e9", "'\"\\")
        self.assert_same("sh", "-c", "pwd; umask; ulimit -a; cat /proc/self/cgroup", cwd=self.folder, umask=0o137)

    def test_profile_from_standard_input(self) -> None:
        """Which the command then finds at its end."""
        result = spoc("run", "-q", "-p", "-", "--", build("deny.c", "-static"), stdin=None, input=json.dumps(
            {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["uname"], "action": "SCMP_ACT_ERRNO"}]}))
        self.assertEqual(result.returncode, 2, result.stderr)
        self.assertEqual(len(self.denials(result.stderr)), 1)

    def test_terminal(self) -> None:
        """The command has it: its size, its foreground, its interrupt key."""
        self.write()
        pid, master = pty.fork()
        if not pid:
            try:
                arguments = self.arguments("sh", "-c", "tty -s && stty size && echo ready && cat", options=("-q",))
                os.execv(arguments[0], arguments)
            finally:
                os._exit(1)
        data = b""
        try:
            while b"ready" not in data:
                self.assertTrue(select.select([master], [], [], WAIT_S)[0], data)
                data += os.read(master, 4096)
            os.write(master, b"hello\n")
            while data.count(b"hello\r\n") < 2:
                self.assertTrue(select.select([master], [], [], WAIT_S)[0], data)
                data += os.read(master, 4096)
            os.write(master, b"\x03")
            with contextlib.suppress(OSError):
                while select.select([master], [], [], WAIT_S)[0]:
                    data += os.read(master, 4096)
        finally:
            os.close(master)
            _, status = os.waitpid(pid, 0)
        self.assertEqual(os.WEXITSTATUS(status), 128 + signal.SIGINT, data)


if __name__ == "__main__":
    unittest.main()
