# SPDX-License-Identifier: MIT
"""`record` of what runs already: that nothing is lost, that nothing of others is in it, and what is refused."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import struct
import subprocess
import sys
import time
import unittest
import unittest.mock
import zlib
from typing import Any, Callable, List, Optional, Sequence, Set

import spoc as module
from cases import LOOP_CALLS, AttachCase, CopyCase, calls_after_exec, cgroup_mount
from support import (AS_NOBODY, OBJECT, ON_X86_64, SOURCE, SPOC, WAIT_S, build, has_watched, in_mounts, require,
                     require_command, spoc, wait_until, with_capabilities)

TIER = "kernel"

FIRST_NUMBER = 5000  # of forker.c
MAX_CALLS = 1 << 19
SEEN_NS = 1_500_000_000  # for which it runs on once it is recorded
# Reads a byte in another thread, which then executes what the arguments name.
EXEC_BY_A_THREAD = """
#include <pthread.h>
#include <unistd.h>
void *work(void *words) { char byte; read(0, &byte, 1); execv(((char **)words)[1], (char **)words + 1); return 0; }
int main(int count, char **words) { pthread_t thread; pthread_create(&thread, 0, work, words); for (;;) pause(); }
"""
PREPARE_MAPS = module.ScopedPrograms._prepare_maps


class Recording(AttachCase):
    """What is in the profile, and when it is written."""

    def test_a_process(self) -> None:
        for signum in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(signum):
                pid = self.loop()
                self.assertEqual(self.names_of("--pid", str(pid), meanwhile=lambda: time.sleep(0.2), signum=signum),
                                 LOOP_CALLS)
                self.assertRegex(self.log, rf"Recording 1 task: process {pid} \(python3\) and its descendants\n")
                self.assertIn("The start was not seen: to have it in the profile as well, stop it, and type "
                              f"spoc.py record -n -t raw-seccomp --append -o {self.folder}/attached.json -- "
                              f"{sys.executable} -c ", self.log)
                self.assertIn("1 task runs on and is not recorded any more", self.log)
        names = [name for rule in json.loads((self.folder / "attached.json").read_text())["syscalls"]
                 for name in rule["names"]]
        self.assertTrue(LOOP_CALLS <= set(names))

    def test_several(self) -> None:
        pids = [self.loop(f"import os, time\nwhile True: os.{name}; time.sleep(0.02)")
                for name in ("getppid()", "getsid(0)", "getpgid(0)")]
        options = [word for pid in pids[:2] for word in ("--pid", str(pid))]
        self.assertEqual(self.names_of(*options, meanwhile=lambda: time.sleep(0.2)),
                         {"getppid", "getsid", "clock_nanosleep"})

    def test_how_to_add_the_start(self) -> None:
        """By the command line that has started it, where that is known and can be repeated."""
        unknown = "record it and add it with --append"
        known = (f"stop it, and type spoc.py record -n -t raw-seccomp --append -o {self.folder}/attached.json -- "
                 "sh -c 'read x'")
        for words, expected in ((["sh", "-c", "read x"], known), (["main process", "-c", "read x"], unknown),
                                (["sh", "-c", f"read x # {200 * 'x'}"], unknown)):
            with self.subTest(words):
                process = self.launch(*words, executable="/bin/sh", stdin=subprocess.PIPE)
                self.assertTrue(wait_until(lambda: module.read_proc(process.pid, "syscall").startswith("0 ")))
                self.assertEqual(self.names_of("--pid", str(process.pid)), {"read"})
                self.assertEqual(re.findall("have it in the profile as well, (.*)", self.log), [expected])

    def test_the_start_allows_no_more(self) -> None:
        """What adds it has the options that say what the profile allows; nothing is said where it may be there."""
        pid, path = self.loop(), self.folder / "attached.json"
        start, known = "stop it, and type spoc.py record", f"{sys.executable} -c "
        for options, expected in (
                (("-b", "execve,getuid"), f"{start} -b execve,getuid --append -o {path} -- {known}"),
                (("--for", "service", "--portable"),
                 f"{start} --for service --portable --append -o {path} -- {known}"),
                (("-n", "--args", "futex"), f"{start} -n --args futex --append -o {path} -- {known}"),
                (("-t", "systemd"), "record YAML, add the start with --append, and convert -t systemd"),
                (("--append", "-t", "raw-seccomp"), f"{start} -t raw-seccomp --append -o {path} -- {known}"),
                (("--append",), "")):
            with self.subTest(options):
                if expected:
                    path.unlink(missing_ok=True)
                with self.attached("record", "-o", str(path), *options, "--pid", str(pid)) as process:
                    time.sleep(0.1)
                    process.terminate()
                self.assertEqual(process.returncode, 0, self.log)
                hint = re.findall("have it in the profile as well, (.*)", self.log)
                self.assertEqual([text[:len(expected)] for text in hint], [expected] if expected else [])

    def test_one_twice(self) -> None:
        pid = str(self.loop())
        self.assertEqual(self.names_of("--pid", pid, "--pid", pid, meanwhile=lambda: time.sleep(0.2)), LOOP_CALLS)
        self.assertIn(f"Recording 1 task: process {pid} (python3) and its descendants\n", self.log)

    def test_hidden_processes(self) -> None:
        """Those that /proc does not show are recorded all the same where the control group tells of them."""
        group = self.cgroup(1)
        self.move(self.loop(), group)
        for mode in "1", "2":
            with self.subTest(mode), self.attached(
                    "record", "-n", "-t", "raw-seccomp", "-o", "-", "--cgroup", str(group),
                    wrapper=(*in_mounts(f"mount -t proc -o hidepid={mode} proc /proc"),
                             *with_capabilities("bpf", "perfmon"))) as process:
                time.sleep(0.3)
                process.terminate()
            self.assertEqual(process.returncode, 125, self.log)
            self.assertIn("the calls that 1 task was in could not be read; CAP_SYS_PTRACE", self.log)
            self.assertEqual(set(re.findall("Got syscalls: (.*)", self.log)[0].split(", ")), LOOP_CALLS)

    def test_nothing_of_others(self) -> None:
        """Also not of a neighbour that forks and of spoc.py itself, in the same session and control group."""
        self.launch("sh", "-c", "while :; do uname >/dev/null; done")
        group = self.cgroup(2)
        pid = self.loop()
        self.move(pid, group)
        for options in (("--pid", str(pid)), ("--cgroup", str(group))):
            with self.subTest(options):
                self.assertEqual(self.names_of(*options, meanwhile=lambda: time.sleep(0.3)), LOOP_CALLS)

    def test_of_itself_nothing(self) -> None:
        """Who has started spoc.py is recorded, spoc.py is not."""
        log, profile = self.folder / "log", self.folder / "p.json"
        script = (f"import os, subprocess, sys, time\nchild = subprocess.Popen([{sys.executable!r}, {str(SPOC)!r}, "
                  f"'record', '-n', '-t', 'raw-seccomp', '-o', {str(profile)!r}, '--pid', str(os.getpid())], "
                  f"stderr=open({str(log)!r}, 'w'))\n"
                  f"while b'Processing events' not in open({str(log)!r}, 'rb').read(): time.sleep(0.05)\n"
                  "time.sleep(0.2); child.terminate()\nsys.exit(child.wait())")
        subprocess.run([sys.executable, "-c", script], check=True, timeout=WAIT_S)
        got = re.findall("Got syscalls: (.*)", log.read_text())[0].split(", ")
        self.assertIn("kill", got)
        self.assertNotIn("bpf", got)
        self.assertNotIn("execve", got)

    def test_descendants(self) -> None:
        """Those that run, and those to come; of a process that waits as well as of one that does not."""
        process = self.launch("sh", "-c", "(while :; do uname; sleep 0.05; done) >/dev/null & wait")
        self.assertTrue(wait_until(lambda: len(module.ProcessTree([process.pid]).tasks()) > 1))
        names = self.names_of("--pid", str(process.pid), meanwhile=lambda: time.sleep(0.5))
        self.assertTrue({"wait4", "execve", "uname", "clock_nanosleep", "exit_group"} <= names, names)

    def test_a_thread_stands_for_its_process(self) -> None:
        pid = self.loop("import os, threading, time\n"
                        "def work():\n    while True: os.getppid(); time.sleep(0.02)\n"
                        "threading.Thread(target=work).start()\nwhile True: os.getsid(0); time.sleep(0.02)")
        self.assertTrue(wait_until(lambda: len(os.listdir(f"/proc/{pid}/task")) == 2))
        tid = max(map(int, os.listdir(f"/proc/{pid}/task")))
        self.assertTrue({"getppid", "getsid"} <= self.names_of("--pid", str(tid), meanwhile=lambda: time.sleep(0.3)))

    def test_calls_in_progress(self) -> None:
        """A task that waits all the time is in the call that it waits in; it ends, and so does the recording."""
        for signum in (signal.SIGINT, None):
            with self.subTest(signum):
                process = self.launch("sleep", "1000")
                self.assertTrue(wait_until(lambda: "hrtimer" in pathlib.Path(f"/proc/{process.pid}/wchan").read_text()
                                           or b" 0x" in pathlib.Path(f"/proc/{process.pid}/syscall").read_bytes()))
                self.assertEqual(self.names_of("--pid", str(process.pid), signum=signum, meanwhile=(
                    None if signum else process.kill)), {"clock_nanosleep"})
                self.assertEqual("1 task runs on and is not recorded any more" in self.log, bool(signum), self.log)
                self.assertIn("Found 1 task in bpf map", self.log)

    @unittest.skipUnless(ON_X86_64, "needs an x86-64 kernel")
    def test_32_bit_call_in_progress(self) -> None:
        source, program = self.folder / "pause.c", self.folder / "pause"
        source.write_text("#include <unistd.h>\nint main(void) { return pause(); }\n")
        subprocess.run(["gcc", "-m32", "-static", "-o", str(program), str(source)], check=True)
        process = self.launch(str(program))
        self.assertTrue(wait_until(lambda: pathlib.Path(f"/proc/{process.pid}/syscall").read_text()[:3] == "29 "))
        self.assertEqual(self.names_of("--pid", str(process.pid)), {"pause"})
        self.assertIn("SCMP_ARCH_X86", (self.folder / "attached.json").read_text())

    def test_arguments_of_calls_in_progress(self) -> None:
        """--args does not narrow a call to less than what it was in when it was attached to."""
        read_end, write_end = os.pipe()
        self.addCleanup(os.close, read_end)
        self.addCleanup(os.close, write_end)
        ready = self.folder / "ready"
        process = self.launch(sys.executable, "-c", "import ctypes, sys\nopen(sys.argv[1], 'w').close()\n"
                              "ctypes.CDLL(None).syscall(202, ctypes.byref(ctypes.c_int(7)), 128, 7, None)", str(ready))
        require(ON_X86_64, "x86-64, whose number of futex is here")
        self.assertTrue(wait_until(lambda: ready.exists() and pathlib.Path(
            f"/proc/{process.pid}/syscall").read_text().startswith("202 ")))
        self.assertEqual(self.names_of("--args", "futex", "--pid", str(process.pid)), {"futex"})
        self.assertIn("Narrowed futex by argument 1: 0x80 (FUTEX_WAIT_PRIVATE)\n", self.log)

    def test_ends_with_the_last_task(self) -> None:
        """Not with the first process, where others live on."""
        go, over = self.folder / "go", self.folder / "over"
        process = self.launch("sh", "-c", f"true & (until [ -e {go} ]; do sleep 0.05; done; uname >{over}) & read x",
                              stdin=subprocess.PIPE)
        self.assertTrue(wait_until(lambda: len(module.ProcessTree([process.pid]).tasks()) > 2))

        def work() -> None:
            assert process.stdin
            process.stdin.close()
            process.wait(WAIT_S)
            go.touch()
        names = self.names_of("--pid", str(process.pid), meanwhile=work, signum=None)
        self.assertIn("uname", names)
        self.assertNotIn("not recorded any more", self.log)
        self.assertTrue(over.exists())

    def test_what_is_recorded_stays_as_it_is(self) -> None:
        """It gets no signal, no tracer, no filter, and the same result of a call that it waits in."""
        status = self.folder / "status"
        process = self.launch("sh", "-c", f"sleep 2; echo $? >{status}; sleep 1000")
        self.assertTrue(wait_until(lambda: len(module.ProcessTree([process.pid]).tasks()) == 2))
        fields = ("TracerPid", "Seccomp", "NoNewPrivs", "SigCgt")
        before = module.proc_status(process.pid)
        self.names_of("--pid", str(process.pid), meanwhile=lambda: wait_until(status.exists))
        after = module.proc_status(process.pid)
        self.assertEqual([before[name] for name in fields], [after[name] for name in fields])
        self.assertEqual(status.read_text(), "0\n")

    def test_exec_by_a_thread(self) -> None:
        """It takes its leader's tid: the recording ends with it, and who gets the old tid is not recorded."""
        source, program = self.folder / "exec.c", self.folder / "exec"
        source.write_text(EXEC_BY_A_THREAD)
        subprocess.run(["gcc", "-pthread", "-o", str(program), str(source)], check=True)
        for command in ("record", "watch"):
            with self.subTest(command):
                process = self.launch(str(program), "/bin/true", stdin=subprocess.PIPE)
                self.assertTrue(wait_until(lambda: len(module.threads_of(process.pid)) == 2))
                output = ("-o", str(self.folder / "attached.json")) if command == "record" else ()
                with self.attached(command, *output, "--pid", str(process.pid), ready="2 tasks"):
                    assert process.stdin
                    process.stdin.close()
                self.assertEqual(process.wait(WAIT_S), 0)

    def test_pid_of_another_by_now(self) -> None:
        """A process that has got the pid meanwhile is not taken for the one that was named."""
        last_pid = pathlib.Path("/proc/sys/kernel/ns_last_pid")

        def is_taken() -> bool:
            process = self.launch("sleep", "1000")
            scope = module.ProcessTree([process.pid])
            self.assertEqual(scope.tasks(), {process.pid})
            process.kill()
            process.wait(WAIT_S)
            time.sleep(0.02)  # more than a tick of the clock that start times are counted in
            last_pid.write_text(str(process.pid - 1))
            other = self.launch("sleep", "1000")
            if other.pid == process.pid:
                self.assertEqual(scope.tasks(), set())
            return other.pid == process.pid
        self.assertTrue(wait_until(is_taken))

    def test_append_and_checkpoint(self) -> None:
        path = self.folder / "attached.json"
        self.assertEqual(spoc("record", "-n", "-t", "raw-seccomp", "-o", str(path), "uname").returncode, 0)
        start = path.read_text()
        pid = self.loop()

        def check() -> None:
            self.assertTrue(wait_until(lambda: "getppid" in path.read_text()))
        self.names_of("--append", "--checkpoint", "1", "--stats", "--pid", str(pid), meanwhile=check)
        names = [name for rule in json.loads(path.read_text())["syscalls"] for name in rule["names"]]
        self.assertTrue(LOOP_CALLS < set(names))
        self.assertIn("uname", names)
        self.assertNotIn("getppid", start)
        self.assertRegex(self.log, rf"getppid +\d+ +\d\.\d{{3}} s  python3 \({pid}\)")

    def test_counts(self) -> None:
        """Each call once, by a task that joins with the first of them."""
        done = self.folder / "done"
        ready = self.folder / "ready"
        process = self.launch(sys.executable, "-c", "import os, sys\nopen(sys.argv[1], 'w').close()\nos.read(0, 1)\n"
                              "for _ in range(321): os.getppid()\nopen(sys.argv[2], 'w').close()\nos.read(0, 1)",
                              str(ready), str(done), stdin=subprocess.PIPE, text=True)
        assert process.stdin
        self.assertTrue(wait_until(ready.exists))

        def work() -> None:
            assert process.stdin
            process.stdin.write("x")
            process.stdin.flush()
            self.assertTrue(wait_until(done.exists))
        self.names_of("--stats", "--pid", str(process.pid), meanwhile=work)
        self.assertRegex(self.log, rf"(?m)^getppid +321 +\d\.\d{{3}} s  python3 \({process.pid}\)")

    def test_statistics_of_a_call_in_progress(self) -> None:
        """It was not seen being made: nobody has made it first, and there is no bar of it."""
        process = self.launch("sleep", "1000")
        number = f"{module.syscall_number('clock_nanosleep')} "
        self.assertTrue(wait_until(lambda: pathlib.Path(f"/proc/{process.pid}/syscall").read_text().startswith(number)))
        with self.attached("record", "-o", "-", "--stats", "--pid", str(process.pid)) as recorder:
            recorder.terminate()
        self.assertRegex(self.log, r"(?m)^clock_nanosleep +0 +0\.000 s  in it at the start$")

    def test_names_the_profile(self) -> None:
        pid = self.loop()
        for options, name in (((), "python3"), (("--name", "other"), "other")):
            with self.attached("record", "-o", "-", *options, "--pid", str(pid)) as process:
                time.sleep(0.1)
                process.terminate()
            self.assertIn(f"\n  name: {name}\n", self.output)

    def test_nothing_recorded(self) -> None:
        """A process that computes makes no call: there is no file then."""
        process = self.launch("sh", "-c", "while :; do :; done")
        self.assertTrue(wait_until(lambda: pathlib.Path(f"/proc/{process.pid}/comm").read_text() == "sh\n"))
        time.sleep(0.2)
        self.names_of("--pid", str(process.pid), code=125)
        self.assertFalse((self.folder / "attached.json").exists())
        self.assertIn("no call was made meanwhile; no profile is written\n", self.log)
        (self.folder / "attached.json").write_text('{"defaultAction": "SCMP_ACT_ERRNO"}')
        self.names_of("--pid", str(process.pid), code=125)
        self.assertIn(f"no call was made meanwhile; {self.folder}/attached.json is left as it was\n", self.log)

    def test_nothing_recorded_that_could_be_read(self) -> None:
        """Where nothing is recorded it is said what may have kept it from being so."""
        process = self.launch("sleep", "1000")
        self.assertTrue(wait_until(lambda: module.process_name(process.pid) == "sleep"))
        self.assertTrue(wait_until(lambda: module.read_proc(process.pid, "syscall")[:1].isdigit()))
        with self.attached("record", "-n", "-o", "-", "--pid", str(process.pid),
                           wrapper=with_capabilities("bpf", "perfmon")) as recorder:
            recorder.terminate()
        self.assertEqual(recorder.returncode, 125, self.log)
        self.assertIn("Warning: calls may have been made all the same: the calls that 1 task was in could not be read; "
                      "CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH allow it\n", self.log)
        self.assertIn("no call was made meanwhile", self.log)

    def test_started_by_a_script_in_the_background(self) -> None:
        """Its shell has it ignore SIGINT, which ends a recording or a watch all the same; SIGHUP stays ignored."""
        pid, path = self.loop(), self.folder / "attached.json"
        for command, ready in ((("record", "-o", str(path)), "Processing events"), (("watch",), "Watching")):
            with self.attached(*command, "--pid", str(pid), ready=ready,
                               wrapper=("env", "--ignore-signal=INT,HUP")) as process:
                process.send_signal(signal.SIGHUP)
                time.sleep(0.2)
                self.assertIsNone(process.poll())
                process.send_signal(signal.SIGINT)
            self.assertEqual(process.returncode, 0, self.log)
        self.assertTrue(path.exists())

    def test_signals_while_it_starts(self) -> None:
        """Whenever it comes, either nothing is written, or a whole profile."""
        pid, path = self.loop(), self.folder / "attached.json"
        for ready in ("Loading bpf module", "Attaching bpf tracepoints", "Module successfully loaded",
                      "Recording 1 task"):
            path.unlink(missing_ok=True)
            with self.attached("record", "-t", "raw-seccomp", "-o", str(path), "--pid", str(pid),
                               ready=ready) as process:
                process.send_signal(signal.SIGINT)
            self.assertIn(process.returncode, (0, 125, 130), self.log)
            self.assertNotIn("Traceback", self.log)
            self.assertEqual(path.exists(), process.returncode == 0, self.log)
            if path.exists():
                json.loads(path.read_text())


class Named(AttachCase):
    """`record --no-proc-start`: what has a name, by whomever it is started."""

    def named(self, program: str, length: int = 12) -> pathlib.Path:
        """A copy of a program under a name that nothing else here has."""
        path = self.folder / f"{time.monotonic_ns() % 10 ** 9:09}{30 * 'n'}"[:length]
        shutil.copy(program, path)
        return path

    def test_what_starts(self) -> None:
        """From its first call on, as often as it starts; the name may be longer than what the kernel keeps of it."""
        for length in (12, 15, 16, 30):
            with self.subTest(length):
                program = self.named(build("three.c", "-static", "-nostdlib"), length)

                def work() -> None:
                    subprocess.run(["sh", "-c", "uname; $0; uname; $0", str(program)], stdout=subprocess.DEVNULL)
                for operand in (program.name, f"/elsewhere/{program.name}"):
                    self.assertEqual(self.names_of("--no-proc-start", operand, "-x", meanwhile=work),
                                     {"getppid", "getuid", "exit"})
                    self.assertRegex(self.log, rf"Recording 0 tasks: processes called {program.name[:15]} and their "
                                               r"descendants\n")
                    self.assertIn("Found 2 tasks in bpf map", self.log)
                    self.assertNotIn("The start was not seen", self.log)

    def test_what_runs(self) -> None:
        """With its threads and descendants, and all that is called so; a neighbour is not in it."""
        program = self.named("/bin/sh")
        self.loop()
        processes = [self.launch(str(program), "-c", f"while :; do {command} >/dev/null; sleep 0.1; done",
                                 stdin=subprocess.DEVNULL) for command in ("uname", "nproc")]
        self.assertTrue(wait_until(lambda: all(module.process_name(each.pid) == program.name for each in processes)))
        names = self.names_of("--no-proc-start", program.name, meanwhile=lambda: time.sleep(0.6))
        self.assertLessEqual({"execve", "wait4", "uname", "sched_getaffinity"}, names)
        self.assertNotIn("getppid", names)
        self.assertRegex(self.log, r"Recording [2-9] tasks: processes called")
        self.assertIn("The start was not seen", self.log)

    def test_strace_sees_the_same(self) -> None:
        program, log = self.named("/bin/sh"), self.folder / "strace"

        def work() -> None:
            subprocess.run(["strace", "-f", "-o", str(log), str(program), "-c", "echo x | cat; (:)"],
                           check=True, stdout=subprocess.DEVNULL)
        require_command("strace")
        names = self.names_of("--no-proc-start", program.name, meanwhile=work)
        self.assertEqual(names, calls_after_exec(log.read_text()))

    def test_exec_by_a_thread(self) -> None:
        """What it becomes has its leader's tid."""
        program, source = self.named(build("three.c", "-static", "-nostdlib")), self.folder / "exec.c"
        source.write_text(EXEC_BY_A_THREAD)
        subprocess.run(["gcc", "-pthread", "-o", str(self.folder / "exec"), str(source)], check=True)
        names = self.names_of("--no-proc-start", program.name, meanwhile=lambda: subprocess.run(
            [str(self.folder / "exec"), str(program)], stdin=subprocess.DEVNULL, check=False))
        self.assertEqual(names, {"getppid", "getuid", "exit"})

    def test_typed_wrongly(self) -> None:
        """What is not there yet is waited for, and what is there is listed, once."""
        program = self.named("/bin/sleep")
        process = self.launch(str(program), "1000")
        self.assertTrue(wait_until(lambda: module.process_name(process.pid) == program.name))
        self.names_of("--no-proc-start", program.name[:-1], code=125)
        found = re.findall(r"(?m)^\S+ No process is called (\S+) yet; those that run: (\S.*); did you mean (\S+)\?$",
                           self.log)
        self.assertEqual([(name, meant) for name, _, meant in found], [(program.name[:-1], program.name)], self.log)
        listed = found[0][1].partition(" and ")[0].split(", ")
        self.assertEqual(listed, sorted(listed))
        self.assertNotIn("kthreadd", listed)
        self.assertEqual(self.names_of("--no-proc-start", program.name), {"clock_nanosleep"})
        self.assertNotIn("those that run", self.log)

    def test_nothing(self) -> None:
        for signum in (signal.SIGINT, signal.SIGTERM):
            self.names_of("--no-proc-start", f"none-{os.getpid()}", signum=signum, code=125)
            self.assertIn("no call was made meanwhile; ", self.log)
            self.assertFalse((self.folder / "attached.json").exists())

    def test_refused(self) -> None:
        for arguments, reason in (
                (("--no-proc-start",), "record: no command to record"),
                (("--no-proc-start", "/"), "--no-proc-start /: that is no program's name"),
                (("--no-proc-start", "--pid", "1", "x"),
                 "record: --pid and --no-proc-start do not go together; give one of them"),
                (("--no-proc-start", "--privileged", "x"),
                 "--privileged: means nothing with --no-proc-start: no command is started")):
            result = spoc("record", *arguments)
            self.assertEqual(result.returncode, 2, result.stderr)
            self.assertIn(f"Error: usage: {reason}", result.stderr)


class Scopes(AttachCase):
    """Nothing is lost while tasks come and go, by a program whose every task makes a call of its own."""

    def recorded(self, scope: Callable[[int], Any], kind: str, group: Optional[pathlib.Path],
                 wrapper: Sequence[str] = ()) -> "tuple[Set[int], List[int], int, int]":
        """Numbers recorded until forker.c has ended; the times of its calls; when joining began, and had ended."""
        calls = self.folder / f"calls-{time.monotonic_ns()}"  # not what another has filled already
        command = [*wrapper, build("forker.c", "-pthread"), kind, str(WAIT_S), str(calls)]
        if group:
            command = ["sh", "-c", f'echo $$ >{group}/cgroup.procs; exec "$@"', "sh", *command]
        process = self.launch(*command)
        self.assertTrue(wait_until(lambda: calls.exists() and calls.stat().st_size > 16 and struct.unpack(
            "Q", calls.read_bytes()[:8])[0] > 1000))
        with contextlib.ExitStack() as patches:
            patches.enter_context(unittest.mock.patch.object(module, "MAX_MAP_ITEMS", 1 << 20))
            patches.enter_context(unittest.mock.patch.object(module.ScopedPrograms, "_prepare_maps", prepare_maps))
            with module.ScopeRecorder(module.this_machine(), scope(process.pid)) as recorder:
                assert isinstance(recorder, module.ScopeRecorder)
                recorder.load()
                recorder.attach()
                recorder.config.joining = True
                begin_ns = time.monotonic_ns()
                recorder.join()
                joined_ns = time.monotonic_ns()
                with open(calls, "r+b") as file:
                    os.pwrite(file.fileno(), struct.pack("Q", joined_ns + SEEN_NS), 8)
                self.assertTrue(wait_until(lambda: not recorder.has_live_tasks(), WAIT_S))
                self.assertIsNotNone(process.wait(WAIT_S))
                recording = recorder.recording()
        self.assertEqual(recording.losses, ())
        data = calls.read_bytes()
        count = min(struct.unpack("Q", data[:8])[0], MAX_CALLS)  # from there on the numbers begin again
        return ({call.number for call in recording.calls}, list(struct.unpack(f"{count}Q", data[16:8 * (2 + count)])),
                begin_ns, joined_ns)

    def assert_complete(self, found: "tuple[Set[int], List[int], int, int]", grace_ns: Optional[int]) -> None:
        """All calls from then on are there: from the first instant, or from so long after all have joined."""
        numbers, times, begin_ns, joined_ns = found
        from_ns = begin_ns if grace_ns is None else joined_ns + grace_ns
        wanted = {FIRST_NUMBER + index for index, when_ns in enumerate(times) if when_ns > from_ns}
        self.assertGreater(len(wanted), 200)
        lost = sorted(wanted - numbers)
        self.assertEqual(lost, [], [(times[number - FIRST_NUMBER] - begin_ns) / 1e6 for number in lost[:10]])

    def test_control_group(self) -> None:
        for kind in ("tree", "threads", "orphans"):
            with self.subTest(kind):
                group = self.cgroup(2)
                self.assert_complete(self.recorded(lambda _: module.ControlGroup(str(group)), kind, group), None)
                self.remove_cgroup(group)

    def test_pid_namespace(self) -> None:
        """Whose first process is that program."""
        def scope(pid: int) -> module.PidNamespace:
            return module.PidNamespace(module.RunningContainer("", "forker", module.child_processes()[pid][0]))
        for kind in ("tree", "threads", "orphans"):
            with self.subTest(kind):
                self.assert_complete(self.recorded(scope, kind, None, ("unshare", "--pid", "--fork")), None)

    def test_control_group_of_version_1(self) -> None:
        for kind in ("tree", "threads", "orphans"):
            with self.subTest(kind):
                group = self.cgroup(1)
                self.assert_complete(self.recorded(lambda _: module.ControlGroup(str(group)), kind, group), 50_000_000)
                self.remove_cgroup(group)

    def test_processes(self) -> None:
        for kind in ("tree", "threads"):
            with self.subTest(kind):
                self.assert_complete(self.recorded(lambda pid: module.ProcessTree([pid]), kind, None), 50_000_000)

    def test_exec_in_a_group(self) -> None:
        """What comes into a control group of version 2 from outside is recorded from its exec on."""
        group = self.cgroup(2)
        self.move(self.loop(), group)

        def enter() -> None:
            subprocess.run(["sh", "-c", f"echo $$ >{group}/cgroup.procs; exec uname"], check=True,
                           stdout=subprocess.DEVNULL)
        names = self.names_of("--cgroup", str(group), meanwhile=enter)
        self.assertIn("uname", names)
        self.assertFalse({"execve", "dup2", "dup3", "fcntl"} & names, names)

    def test_unit(self) -> None:
        """By its name, with or without .service."""
        group = cgroup_mount(2) / f"{self.folder.name}.service"
        group.mkdir()
        self.addCleanup(self.remove_cgroup, group)
        self.move(self.loop(), group)
        for name in (self.folder.name, group.name):
            self.assertEqual(self.names_of("--unit", name, meanwhile=lambda: time.sleep(0.2)), LOOP_CALLS)

    def test_unit_of_version_1(self) -> None:
        """Where systemd keeps its tree in the hierarchy that is called after it: a service of a user's, too."""
        root, user = self.folder / "systemd", f"user@{os.getpid()}.service"
        root.mkdir()
        mount = f"mount -t cgroup -o none,name=systemd none {root}"
        unit = root / user / f"{self.folder.name}.service"
        pid = self.loop()
        subprocess.run(in_mounts(mount, "sh", "-c", f"mkdir -p {unit}; echo {pid} >{unit}/cgroup.procs"), check=True)
        self.addCleanup(subprocess.check_call, in_mounts(
            mount, "sh", "-c", f"while read pid; do echo $pid >{root}/cgroup.procs; done <{unit}/cgroup.procs; "
                               f"rmdir {unit} {root / user}"))
        path = self.folder / "attached.json"
        wrapper = in_mounts(f"umount -l -a -t cgroup,cgroup2; {mount}")
        with self.attached("record", "-n", "-t", "raw-seccomp", "-o", str(path), "--unit", self.folder.name,
                           wrapper=wrapper) as process:
            time.sleep(0.2)
            process.send_signal(signal.SIGINT)
        self.assertEqual(process.returncode, 0, self.log)
        self.assertIn(f"Recording 1 task: control group {unit} (version 1: what is moved into it later is not seen)",
                      self.log)
        self.assertIn("Got syscalls: clock_nanosleep, getppid\n", self.log)

    def test_below_a_group(self) -> None:
        group = self.cgroup(2)
        (group / "below").mkdir()
        self.addCleanup(self.remove_cgroup, group / "below")
        self.move(self.loop(), group / "below")
        self.assertEqual(self.names_of("--cgroup", str(group), meanwhile=lambda: time.sleep(0.2)), LOOP_CALLS)


def prepare_maps(programs: Any) -> None:
    """As ScopedPrograms does, with room for the numbers of forker.c."""
    PREPARE_MAPS(programs)
    module.libbpf.bpf_map__set_max_entries(programs._map("calls"), MAX_CALLS)


class Peers(AttachCase):
    """The same names as `strace -f -p` finds, which began before."""

    # What strace brings about, by stopping the program when it attaches.
    OWN_OF_STRACE = {"restart_syscall"}

    def compare(self, pids: Sequence[int], work: Callable[[], Any]) -> None:
        require_command("strace")
        log = self.folder / "strace"
        tracer = self.launch("strace", "-f", "-o", str(log), *[word for pid in pids for word in ("-p", str(pid))],
                             stderr=subprocess.PIPE, text=True)
        assert tracer.stderr
        for _ in pids:
            self.assertIn("attached", tracer.stderr.readline())
        names = self.names_of(*[word for pid in pids for word in ("--pid", str(pid))], meanwhile=work)
        tracer.send_signal(signal.SIGINT)
        tracer.wait(WAIT_S)
        traced = set(re.findall(r"(?m)^\d+ +(?:<\.\.\. )?(\w+)(?:\(| resumed)", log.read_text()))
        self.assertGreater(len(traced), 3)
        self.assertEqual(names - self.OWN_OF_STRACE, traced - self.OWN_OF_STRACE)

    def test_nginx_with_a_reload(self) -> None:
        require_command("nginx", "curl")
        port, configuration = 18431, self.folder / "nginx.conf"
        configuration.write_text(
            f"daemon off; worker_processes 2; user root; pid {self.folder}/pid; error_log {self.folder}/error;\n"
            f"events {{}} http {{ access_log {self.folder}/access; server {{ listen 127.0.0.1:{port}; root /etc; }} }}")
        master = self.launch("nginx", "-c", str(configuration), stderr=subprocess.DEVNULL)
        self.addCleanup(master.wait, WAIT_S)
        self.addCleanup(master.terminate)  # which its workers follow, also those that it has just started

        def workers() -> Set[int]:
            return {pid for pid in module.ProcessTree([master.pid]).tasks() if pid != master.pid}

        def fetch() -> None:
            subprocess.run(["curl", "-sf", f"http://127.0.0.1:{port}/hostname"], check=True, stdout=subprocess.DEVNULL)
        self.assertTrue(wait_until(lambda: len(workers()) == 2))
        before = workers()

        def work() -> None:
            fetch()
            master.send_signal(signal.SIGHUP)
            self.assertTrue(wait_until(lambda: len(workers()) == 2 and not workers() & before))
            fetch()
        self.compare([master.pid, *before], work)

    def test_threaded_server(self) -> None:
        port = 18432
        pid = self.loop("import http.server as h\nclass H(h.BaseHTTPRequestHandler):\n"
                        "    def do_GET(self): self.send_response(200); self.end_headers(); self.wfile.write(b'x')\n"
                        f"    def log_message(self, *a): pass\nh.ThreadingHTTPServer(('127.0.0.1', {port}), H)"
                        ".serve_forever()")

        def work() -> None:
            for _ in range(5):
                subprocess.run(["curl", "-sf", f"http://127.0.0.1:{port}/"], check=True, stdout=subprocess.DEVNULL)
        self.assertTrue(wait_until(lambda: not subprocess.run(
            ["curl", "-sf", f"http://127.0.0.1:{port}/"], stdout=subprocess.DEVNULL).returncode))
        self.compare([pid], work)

    def test_forking_shell(self) -> None:
        shell = self.launch("sh", stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        assert shell.stdin
        done = self.folder / "done"
        self.assertTrue(wait_until(lambda: pathlib.Path(f"/proc/{shell.pid}/syscall").read_text()[:2] == "0 "))

        def work() -> None:
            assert shell.stdin
            shell.stdin.write(f"(ls /; uname) | sort; (sleep 0.1 & wait); echo >{done}\n")
            shell.stdin.flush()
            self.assertTrue(wait_until(done.exists))
        self.compare([shell.pid], work)


class Refusals(AttachCase):
    """One line that says why, and nothing left behind."""

    def refused(self, *arguments: str, code: int = 125, wrapper: Sequence[str] = ()) -> str:
        path = self.folder / "refused.json"
        result = subprocess.run([*wrapper, sys.executable, str(SPOC), arguments[0], "-o", str(path), *arguments[1:]],
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                timeout=WAIT_S)
        lines = [line for line in result.stderr.splitlines() if "Error: " in line]
        self.assertEqual((result.returncode, len(lines)), (code, 1), result.stderr)
        self.assertFalse(path.exists())
        return lines[0].partition("Error: ")[2]

    def test_options(self) -> None:
        pid = str(self.loop())
        cases = {
            ("--follow", "--pid", pid): "usage: --follow: means nothing with --pid: it always lasts until the last "
                                        "task has ended or a signal asks to stop; see spoc.py record --help",
            ("--privileged", "--pid", pid): "usage: --privileged: means nothing with --pid: no command is started; see "
                                            "spoc.py record --help",
            ("--backend", "notify", "--pid", pid): "usage: --backend: means nothing with --pid: only BPF sees what "
                                                   "runs already; see spoc.py record --help",
            ("--pid", pid, "--cgroup", "/sys/fs/cgroup"): "usage: record: --pid and --cgroup do not go together; give "
                                                          "one of them",
            ("--pid", "x"): "usage: --pid x: no process id; ps -e lists them; record --no-proc-start goes by name",
            ("--pid", "0"): "usage: --pid 0: no process id; ps -e lists them; record --no-proc-start goes by name"}
        for options, message in cases.items():
            with self.subTest(options):
                self.assertEqual(self.refused("record", *options, code=2), message)
        result = spoc("record", "--pid", pid, "--", "true")
        self.assertEqual((result.returncode, result.stderr.partition("Error: ")[2]), (
            2, "usage: record --pid: it takes no command: what runs already is recorded; see spoc.py record "
               "--help\n"))

    def test_processes(self) -> None:
        gone = subprocess.Popen(["true"])
        gone.wait()
        cases = {gone.pid: "it is gone, or was never there; ps -e lists what runs",
                 2: "a thread of the kernel makes no syscalls; name another process"}
        for pid, reason in cases.items():
            self.assertEqual(self.refused("record", "--pid", str(pid)), f"attach to: process {pid}: {reason}")

    def test_control_groups(self) -> None:
        root = "the root of the control groups is the whole machine; name one below it"
        example = f"name its folder, as in {cgroup_mount(2)}/system.slice/nginx.service"
        for version in (1, 2):
            mount = str(cgroup_mount(version))
            self.assertEqual(self.refused("record", "--cgroup", mount), f"attach to: {mount}: {root}")
            group = self.cgroup(version)
            self.assertRegex(self.refused("record", "--cgroup", str(group)),
                             rf"attach to: control group {group}.*: no task is in it; start it, or name another$")
        for path in ("/tmp", "/nonexistent", str(cgroup_mount(2) / "nonexistent")):
            self.assertEqual(self.refused("record", "--cgroup", path),
                             f"attach to: {path}: it is no control group; {example}")
        wrapper = in_mounts("umount -l -a -t cgroup,cgroup2")
        self.assertEqual(self.refused("record", "--cgroup", "/tmp", wrapper=wrapper), (
            "attach to: /tmp: it is no control group; none are mounted: mount -t cgroup2 none /sys/fs/cgroup"))

    def test_another_pid_namespace(self) -> None:
        self.assertEqual(
            self.refused("record", "--pid", "1", wrapper=(
                "unshare", "-pf", "--mount-proc", "sh", "-c", '"$@"; exit $?', "sh")),
            "attach to: --pid: this pid namespace is not the machine's, by which the kernel counts; run it outside of "
            "the container, or record the command itself")

    def test_full_folder(self) -> None:
        """The profile is not lost: it goes to standard error; nothing is left of what could not be written."""
        pid, folder = self.loop(), self.folder / "full"
        folder.mkdir()
        mount = f"mount -t tmpfs -o size=64k none {folder}"
        fill = f"cat /dev/zero >{folder}/zeros 2>&-"
        wrapper = in_mounts(f"{mount}; ! {fill}")
        self.assertRegex(self.refused("record", "--pid", str(pid), "-o", str(folder / "p.yaml"), wrapper=wrapper),
                         "No space left on device; free some space, or choose another file with -o$")
        wrapper = in_mounts(mount, "sh", "-c", f'trap : INT; "$@"; code=$?; ls -A {folder}; exit $code', "sh")
        with self.attached("record", "-o", str(folder / "p.yaml"), "--pid", str(pid), wrapper=wrapper) as process:
            recorder, = module.child_processes()[process.pid]
            subprocess.run(["nsenter", f"--mount=/proc/{recorder}/ns/mnt", "sh", "-c", fill])
            time.sleep(0.2)
            os.kill(recorder, signal.SIGINT)
        self.assertEqual((process.returncode, self.output), (125, "zeros\n"), self.log)
        errors = re.findall("Error: (.*)", self.log)
        self.assertEqual(len(errors), 1, errors)
        self.assertIn(f"{folder}/p.yaml: No space left on device", errors[0])
        self.assertRegex(self.log, r"(?m)^ +- getppid$")

    def test_no_proc(self) -> None:
        for option in (("--pid", "1"), ("--container", "web"), ("--cgroup", "/sys/fs/cgroup/web")):
            self.assertEqual(self.refused("record", *option, wrapper=in_mounts("mount -t tmpfs none /proc")),
                             f"attach to: {option[0]}: /proc is not mounted; mount -t proc proc /proc")

    def test_hidden_process(self) -> None:
        """Of another user, where /proc hides those, it is not said that it is gone."""
        for mode in "1", "2":
            wrapper = (*in_mounts(f"mount -t proc -o hidepid={mode} proc /proc"), *with_capabilities("bpf", "perfmon"))
            self.assertEqual(self.refused("record", "--pid", "1", wrapper=wrapper), (
                "attach to: process 1: /proc does not show it to this user (hidepid); run it as root, or with "
                "CAP_SYS_PTRACE"))

    def test_pid_max_raised(self) -> None:
        """What has a pid that nothing is known of by then is refused, not an error of ours."""
        pid = self.loop()

        class Later(module.ProcessTree):
            def tasks(self) -> Set[int]:
                return {pid, bpf._listed_elements * module.LISTED}

        bpf = module.ScopeRecorder(module.this_machine(), Later([pid]))
        self.addCleanup(bpf.close)
        bpf.load()
        bpf.attach()
        with self.assertRaisesRegex(module.KernelError, "kernel.pid_max was raised meanwhile; try again"):
            bpf.join()

    def test_lockdown(self) -> None:
        """In mode confidentiality, where the kernel knows no helper 113, bpf_probe_read_kernel, record works and watch
        does not.
        """
        data = OBJECT.read_bytes().replace(b"\x85\0\0\0\x71\0\0\0", b"\x85\0\0\0\xa0\x86\1\0")
        (self.folder / "recorder.bpf.o").write_bytes(data)
        (self.folder / "spoc.py").write_text(re.sub("OBJECT_CRC32 = 0x[0-9A-F]+", f"OBJECT_CRC32 = {zlib.crc32(data)}",
                                                    SOURCE.read_text()))
        require(os.path.isdir("/sys/kernel/security"), "securityfs")
        wrapper = in_mounts("mount -t tmpfs none /sys/kernel/security\n"
                            "echo 'none integrity [confidentiality]' >/sys/kernel/security/lockdown")
        pid, path = self.loop(), self.folder / "attached.json"
        command = [*wrapper, sys.executable, str(self.folder / "spoc.py")]
        process = self.launch(*command, "record", "-n", "-t", "raw-seccomp", "--checkpoint", "1", "-o", str(path),
                              "--pid", str(pid), stderr=subprocess.DEVNULL)
        self.assertTrue(wait_until(path.exists))
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(WAIT_S), 0)
        self.assertLessEqual(LOOP_CALLS, {name for rule in json.loads(path.read_text())["syscalls"]
                                          for name in rule["names"]})
        watch = subprocess.run([*command, "watch", "--pid", str(pid)], stderr=subprocess.PIPE, text=True,
                               timeout=WAIT_S)
        self.assertEqual(watch.returncode, 125)
        errors = re.findall("Error: (.*)", watch.stderr)
        self.assertEqual(len(errors), 1, watch.stderr)
        self.assertRegex(errors[0], "^load BPF programs: .*lockdown")

    def test_too_many(self) -> None:
        pid = self.loop("import threading\nthreading.stack_size(65536)\nevent = threading.Event()\n"
                        "for _ in range(50): threading.Thread(target=event.wait).start()")
        self.assertTrue(wait_until(lambda: len(os.listdir(f"/proc/{pid}/task")) == 51))
        with unittest.mock.patch.object(module.ScopedPrograms, "MAX_TASKS", 50), \
                module.ScopeRecorder(module.this_machine(), module.ProcessTree([pid])) as recorder:
            assert isinstance(recorder, module.ScopeRecorder)
            recorder.load()
            recorder.attach()
            with self.assertRaises(module.KernelError) as caught:
                recorder.join()
        self.assertRegex(str(caught.exception), r"51 tasks are in it; 50 can be followed at a time: name a part of it$")


class Privileges(CopyCase):
    """What users may do who are not root, and what they are told otherwise."""

    def test_capabilities(self) -> None:
        """Those for BPF suffice, but for the calls that tasks of other users are in, of which something is said."""
        pid = str(self.launch("sleep", "1000").pid)
        bpf, reading = ("bpf", "perfmon"), ("sys_ptrace", "dac_read_search")
        for names, code in ((bpf, 125), ((*bpf, *reading), 0)):
            log = self.folder / "log"
            with open(log, "w") as stderr:
                process = self.launch(*with_capabilities(*names), sys.executable, str(self.program), "record", "-o",
                                      "/dev/null", "--pid", pid, stderr=stderr)
            self.assertTrue(wait_until(lambda: "Processing events" in log.read_text()))
            process.terminate()
            self.assertEqual(process.wait(WAIT_S), code, log.read_text())
        result = subprocess.run([*with_capabilities(*bpf), sys.executable, str(self.program), "watch", "--for", "1"],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=WAIT_S)
        self.assertTrue(has_watched(result.returncode, result.stderr), result.stderr)

    def test_privileges(self) -> None:
        result = subprocess.run([*AS_NOBODY, sys.executable, str(self.program), "record", "-o", "/dev/null", "--pid",
                                 "1"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=WAIT_S)
        self.assertEqual(result.returncode, 125)
        self.assertRegex(result.stdout, "run it as root, or with CAP_BPF and CAP_PERFMON\n$")
