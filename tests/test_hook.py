# SPDX-License-Identifier: MIT
"""`hook`: containers that engines start with it, and the state of a container as a runtime gives it."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import Any, Dict, Optional, Sequence, Set, Tuple
from unittest import mock

import yaml

import spoc as module
from cases import AttachCase, UnitCase
from engines import FIRST_SUBORDINATE_ID, IMAGE, ONE, TWO, Engine, Engines
from support import (AS_NOBODY, NEWER_KERNEL_CALLS, NOBODY, ROOT, SPOC, WAIT_S, build, in_mounts, kernel_calls,
                     require_command, wait_until)

TIER = "kernel"

EXAMPLES = ROOT / "examples" / "containers"
INSTALLED = "/usr/local/bin/spoc"  # in the examples
THREE = {"getppid", "getuid", "exit"}
PROGRAM = ("/bin/sh", "-c", "/bin/ls / >/dev/null; /bin/id >/dev/null; /bin/sleep 0.1; echo done")


def names_in(document: Dict[str, Any]) -> Set[str]:
    """What a profile of OCI's format allows, but for what the kernel makes by itself."""
    allowed = {name for rule in document["syscalls"] for name in rule["names"]}
    return allowed - kernel_calls(document) - NEWER_KERNEL_CALLS | allowed & {"exit"}


class HookCase(AttachCase):
    """Has engines call the hook."""

    def setUp(self) -> None:
        super().setUp()
        self.engines = Engines()
        self.addCleanup(self.engines.close)
        self.hooks, self.out = self.folder / "hooks.d", self.folder / "out"
        self.hooks.mkdir()
        self.out.mkdir()
        self.install("-n")

    def install(self, *options: str, stage: str = "createRuntime", confined: bool = True, **hook: Any) -> None:
        """The file of the examples, with these options of `hook`, and other keys of the hook."""
        document = json.loads((EXAMPLES / "spoc-hook.json").read_text())
        self.assertEqual((document["hook"]["path"], document["hook"]["args"]),
                         (INSTALLED, ["spoc", "hook", "-o", "/var/lib/spoc/%i.json"]))
        output = ("-o", f"{self.out}/%i.json") if confined else ()
        document["hook"].update({"path": sys.executable, "args": ["python3", str(SPOC), "hook", *output, *options],
                                 **hook})
        document["stages"] = [stage]
        (self.hooks / "spoc-hook.json").write_text(json.dumps(document))

    def podman(self, runtime: str, **options: Any) -> Engine:
        engine = self.engines.podman(runtime, **options)
        engine.prefix = (*engine.prefix, "--hooks-dir", str(self.hooks))
        return engine

    def recorded(self, name: str) -> str:
        """The text of the profile of this name, which is there soon after the container's end."""
        path = self.out / name
        self.assertTrue(wait_until(path.exists))
        text = path.read_text()
        path.unlink()
        return text

    def run_asking(self, engine: Engine, annotation: str, *options: str,
                   check: bool = True) -> "subprocess.CompletedProcess[str]":
        """Run the program of three calls in a container with this annotation."""
        return engine.run(ONE, "/three", options=("--annotation", annotation, *options), check=check)

    def run_three(self, engine: Engine, name: str, *options: str) -> Set[str]:
        """What is recorded of the program of three calls."""
        self.run_asking(engine, f"io.spoc.record={self.out}/{name}", *options)
        return names_in(json.loads(self.recorded(name)))


class State(AttachCase):
    """Called as a runtime calls it, for a process that waits as a container does."""

    def waiting(self, *wrapper: str, text: str = 'exec "$0"') -> Tuple["subprocess.Popen[Any]", int]:
        """A process that is the first in a pid namespace, and goes on with this text of the shell once it is let go;
        and its pid.
        """
        process = self.launch(*wrapper, "unshare", "--pid", "--fork", "sh", "-c", f"echo $$; read -r line; {text}",
                              build("three.c", "-static", "-nostdlib"), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              text=True)
        assert process.stdout
        self.assertEqual(process.stdout.readline(), "1\n")
        children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        return process, int(children[0])

    @staticmethod
    def let_go(process: "subprocess.Popen[Any]") -> None:
        process.communicate("\n", timeout=WAIT_S)

    def hook(self, pid: int, *options: str, code: int = 0, wrapper: Sequence[str] = (), program: pathlib.Path = SPOC,
             annotations: Optional[Dict[str, str]] = None, identifier: str = "container-1", **run: Any) -> str:
        """Call it for that process; what it says. Its pipes are at their ends, or this would wait."""
        environment = {"PATH": os.environ["PATH"]} if wrapper else {}
        result = subprocess.run([*wrapper, sys.executable, str(program), "hook", *options], input=json.dumps({
            "ociVersion": "1.0.2", "id": identifier, "status": "creating", "pid": pid, "bundle": "/",
            "annotations": annotations or {}}),
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=WAIT_S, **run)
        self.assertEqual((result.returncode, result.stdout), (code, ""), result.stderr)
        self.assertEqual(len(result.stderr.splitlines()), 1 if code else 0, result.stderr)
        return result.stderr

    def recorder(self, path: pathlib.Path) -> int:
        """The pid of what records to this path."""
        for file in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if str(path).encode() in file.read_bytes().split(b"\0"):
                    return int(file.parent.name)
        raise AssertionError(f"nothing records to {path}")

    def test_calls_right_after_the_start(self) -> None:
        """What is executed in the container as soon as its program runs is recorded."""
        three = build("three.c", "-static", "-nostdlib")
        for number in range(3):
            path = self.folder / f"{number}.json"
            process, pid = self.waiting(text="exec sleep 0.5")
            self.hook(pid, "-n", "-o", str(path))
            recorder = self.recorder(path)
            os.kill(recorder, signal.SIGSTOP)  # so that nothing depends on how soon it looks
            assert process.stdin
            process.stdin.write("\n")
            process.stdin.flush()
            self.assertTrue(wait_until(lambda: pathlib.Path(f"/proc/{pid}/comm").read_text() == "sleep\n"))
            subprocess.run(["nsenter", "--target", str(pid), "--pid", three], check=False)
            os.kill(recorder, signal.SIGCONT)
            process.wait(WAIT_S)
            self.assertTrue(wait_until(path.exists))
            self.assertLessEqual(THREE, names_in(json.loads(path.read_text())))

    def test_waits_without_polling(self) -> None:
        """A container that is made, and not started, costs nothing."""
        path = self.folder / "new.json"
        process, pid = self.waiting()
        self.hook(pid, "-n", "-o", str(path))
        status = pathlib.Path(f"/proc/{self.recorder(path)}/status")
        self.assertTrue(wait_until(lambda: "State:\tS" in status.read_text()))
        before = status.read_text()
        time.sleep(0.5)
        self.assertEqual([line for line in status.read_text().splitlines() if "ctxt_switches" in line],
                         [line for line in before.splitlines() if "ctxt_switches" in line])
        self.let_go(process)
        self.assertTrue(wait_until(path.exists))

    def test_what_takes_the_place(self) -> None:
        """What has come to the profile's place meanwhile is not written to; the log has what was recorded."""
        log, path = self.folder / "log", self.folder / "new.json"
        in_dev = in_mounts(f"mount -t tmpfs none /dev; mknod -m 666 /dev/null c 1 3; mknod -m 666 /dev/urandom c 1 9; "
                           f"ln -s {log} /dev/log")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
            listener.bind(str(log))
            listener.settimeout(WAIT_S)
            process, pid = self.waiting()
            self.hook(pid, "-n", "-o", str(path), wrapper=in_dev)
            recorder = self.recorder(path)
            os.mkfifo(path)
            self.let_go(process)
            self.assertIn("got syscalls: exit, getppid, getuid", listener.recv(4096).decode())
            self.assertIn("it is not a regular file", listener.recv(4096).decode())
            self.assertTrue(wait_until(lambda: not os.path.exists(f"/proc/{recorder}")))
            path.unlink()
            process, pid = self.waiting()
            asks = {"io.spoc.record": str(path)}
            self.hook(pid, "-n", "-o", f"{self.folder}/%i.json", wrapper=in_dev, annotations=asks)
            path.write_text("another's")
            self.let_go(process)
            self.assertIn("got syscalls: exit, getppid, getuid", listener.recv(4096).decode())
            self.assertIn("it is there already", listener.recv(4096).decode())
        self.assertEqual(path.read_text(), "another's")

    def test_confined_annotations(self) -> None:
        """With -o, in whatever spelling, an annotation names files right in its folder; nothing there is replaced but
        what bears the container's id.
        """
        other, own, below = (self.folder / name for name in ("other.json", "x-container-1.json", "below"))
        below.mkdir()
        profile = '{"defaultAction": "SCMP_ACT_ALLOW"}'
        other.write_text(profile)
        process, pid = self.waiting()
        record, trace = "io.spoc.record", "io.containers.trace-syscall"
        for output in (f"/{self.folder}//%i.json", f"{self.folder}/below/../%i.json", f"{self.folder}/./%i.json"):
            for asks, reason in (
                    ({record: f"{below}/new.json"}, "is not in "), ({record: f"{below}/../new.json"}, "is not in "),
                    ({record: "/etc/new.json"}, "is not in "), ({record: f"{self.folder}"}, "is not in "),
                    ({trace: f"of:{self.folder}/new.json;if:/etc/passwd"}, "passwd: is not in "),
                    ({record: str(other)}, "it is there already"), ({trace: f"of:{other}"}, "it is there already")):
                with self.subTest((output, asks)):
                    self.assertIn(reason, self.hook(pid, "-o", output, code=125, annotations=asks))
        self.assertIn("is not the state", self.hook(pid, "-o", f"{below}/%i", code=125, identifier=".."))
        own.write_text(profile)
        self.hook(pid, "-n", "-o", f"{self.folder}//%i.json", annotations={record: f"{self.folder}/x-%i.json"})
        self.let_go(process)
        self.assertTrue(wait_until(lambda: own.read_text() != profile))
        self.assertEqual((names_in(json.loads(own.read_text())), other.read_text()), (THREE, profile))
        self.assertEqual(list(below.iterdir()), [])

    def test_holds_nothing_of_its_caller(self) -> None:
        """With no environment; it may be called anywhere, and what it was given is at its end."""
        path, there = self.folder / "%i.json", self.folder / "there"
        there.mkdir()
        process, pid = self.waiting()
        given, taken = os.pipe()
        self.hook(pid, "-n", "-o", str(path), pass_fds=(taken,), cwd=there)
        os.close(taken)
        self.assertEqual(os.read(given, 1), b"")
        os.close(given)
        recorder = self.recorder(path)
        self.assertEqual(os.getsid(recorder), recorder)
        self.assertEqual(os.readlink(f"/proc/{recorder}/cwd"), "/")
        self.assertEqual({os.readlink(f"/proc/{recorder}/fd/{number}") for number in range(3)}, {"/dev/null"})
        self.let_go(process)
        profile = self.folder / "container-1.json"
        self.assertTrue(wait_until(profile.exists))
        self.assertEqual(names_in(json.loads(profile.read_text())), THREE)

    def test_nothing_is_asked(self) -> None:
        """Then it needs nothing, and does nothing."""
        process, pid = self.waiting()
        program = pathlib.Path(shutil.copy(SPOC, self.folder))  # which others can read, wherever the project lies
        self.hook(pid, wrapper=AS_NOBODY, program=program)
        self.let_go(process)

    def test_owner(self) -> None:
        """What another user has made is written, and read, as that user."""
        theirs, ours, secret = self.folder / "theirs", self.folder / "ours", self.folder / "secret"
        for folder in (theirs, ours):
            folder.mkdir()
        theirs.chmod(0o700)
        os.chown(theirs, NOBODY, NOBODY)
        secret.write_text('{"defaultAction": "SCMP_ACT_ALLOW"}')
        secret.chmod(0o600)
        (theirs / "link").symlink_to(ours)
        (theirs / "profile.json").symlink_to(secret)
        process, pid = self.waiting(*AS_NOBODY, "unshare", "--user", "--map-root-user")
        for path in (ours / "new.json", theirs / "link" / "new.json"):
            self.assertIn("Permission denied", self.hook(pid, "-o", str(path), code=125))
        self.assertIn("is a symbolic link", self.hook(pid, "-o", str(theirs / "profile.json"), code=125))
        path = theirs / "new.json"
        self.hook(pid, "-n", "-o", str(path))
        self.let_go(process)
        self.assertTrue(wait_until(path.exists))
        self.assertEqual((path.stat().st_uid, path.stat().st_gid), (NOBODY, NOBODY))
        self.assertEqual(names_in(json.loads(path.read_text())), THREE)
        self.assertEqual((list(ours.iterdir()), secret.read_text()), ([], '{"defaultAction": "SCMP_ACT_ALLOW"}'))

    def test_ends(self) -> None:
        """A signal ends the recording, which is written; without a call there is nothing to write."""
        path = self.folder / "new.json"
        process, pid = self.waiting(
            text=f"exec {sys.executable} -c 'import time; print(1, flush=True); time.sleep(99)'")
        self.hook(pid, "-n", "-o", str(path))
        recorder = self.recorder(path)
        assert process.stdin and process.stdout
        process.stdin.write("\n")
        process.stdin.flush()
        self.assertEqual(process.stdout.readline(), "1\n")
        os.kill(recorder, signal.SIGTERM)
        self.assertTrue(wait_until(path.exists))
        self.assertIn("write", names_in(json.loads(path.read_text())))
        self.assertTrue(wait_until(lambda: not os.path.exists(f"/proc/{recorder}")))
        path.unlink()
        process, pid = self.waiting(text="exit 3")
        self.hook(pid, "-o", str(path))
        recorder = self.recorder(path)
        self.let_go(process)
        self.assertTrue(wait_until(lambda: not os.path.exists(f"/proc/{recorder}")))
        self.assertFalse(path.exists())
        self.assertIn(f"process {pid}", self.hook(pid, "-o", str(path), code=125))

    def test_fifo_meanwhile(self) -> None:
        """It waits for no reader of what has taken the place of its file, and ends."""
        path = self.folder / "new.json"
        process, pid = self.waiting()
        self.hook(pid, "-n", "-o", str(path))
        recorder = os.pidfd_open(self.recorder(path))
        self.addCleanup(os.close, recorder)
        os.mkfifo(path)
        self.let_go(process)
        self.assertEqual(select.select([recorder], [], [], WAIT_S)[0], [recorder])

    def test_log(self) -> None:
        """What happens when nobody listens any more goes to the system's log."""
        log, path = self.folder / "log", self.folder / "to" / "new.json"
        path.parent.mkdir()
        in_dev = in_mounts(f"mount -t tmpfs none /dev; mknod -m 666 /dev/null c 1 3; mknod -m 666 /dev/urandom c 1 9; "
                           f"ln -s {log} /dev/log")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
            listener.bind(str(log))
            listener.settimeout(WAIT_S)
            self.hook(2 ** 31 - 1, "-o", str(path), code=125, wrapper=in_dev)
            self.assertRegex(listener.recv(4096).decode(),
                             r"^<27>.* spoc\[\d+\]: Error: record: container container-1: ")
            process, pid = self.waiting()
            self.hook(pid, "-n", "-o", str(path), wrapper=in_dev)
            self.let_go(process)
            self.assertRegex(listener.recv(4096).decode(), r"^<30>.*: container container-1: the profile does not "
                             "allow execve, so no runtime can start a container under it: without -n and -b it ")
            self.assertRegex(listener.recv(4096).decode(),
                             rf"^<30>.* spoc\[\d+\]: container container-1: wrote seccomp profile to: {path}")
            for options in ((), ("-b", "execve"), ("-b", "execve,read")):
                process, pid = self.waiting()
                self.hook(pid, *options, "-o", str(path), wrapper=in_dev)
                self.let_go(process)
                self.assertIn("wrote seccomp profile to", listener.recv(4096).decode())
            process, pid = self.waiting()
            self.hook(pid, "-n", "-o", str(path), wrapper=in_dev)
            shutil.rmtree(path.parent)
            self.let_go(process)
            self.assertRegex(listener.recv(4096).decode(), "^<27>.*: Error: container container-1: got syscalls: exit, "
                                                           "getppid, getuid")
            self.assertRegex(listener.recv(4096).decode(), f"^<27>.*: Error: write profile: {path}: No such file")


class Nothing(AttachCase):
    """A container that makes no call."""

    def test_what_was_lost(self) -> None:
        """The log says what may have kept its calls from being recorded."""
        state = module.ContainerState("c", os.getpid(), {})
        hook = module.HookCommand(module.HookOptions(), state, module.HookRequest("-o", str(self.folder / "c.json")))
        with mock.patch.object(module.Log, "warning") as warning, self.assertRaisesRegex(module.SpocError, "before"):
            hook._conclude(module.this_machine(), module.Recording((), 0, (module.START_UNSEEN, "a reason")))
        self.assertEqual([call.args for call in warning.mock_calls],
                         [("container c: calls may have been made all the same: a reason",)])


class Podman(HookCase):
    """With the file for hooks.d in examples/."""

    def check_starts(self, engine: Engine) -> None:
        """A profile recorded with the base syscalls starts the same container again, and blocks nothing."""
        self.install()
        path = self.out / "start.json"
        engine.run(ONE, *PROGRAM, options=("--annotation", f"io.spoc.record={path}"))
        self.assertTrue(wait_until(path.exists))
        with self.attached("watch", ready="Calls that a filter lets pass and logs") as watch:
            identifier = engine("create", "--network", "none", "--name", ONE, "--security-opt", f"seccomp={path}",
                                IMAGE, *PROGRAM).stdout[:12]
            try:
                result = engine("start", "--attach", ONE)
            finally:
                engine.remove(ONE)
            watch.terminate()
        self.assertEqual(result.stdout, "done\n")
        self.assertNotIn(identifier, self.log)
        path.unlink()
        self.install("-n")

    def test_exact(self) -> None:
        """Recorded is the program from its first call on, whatever runtime starts it and however."""
        for runtime in ("crun", "runc"):
            with self.subTest(runtime):
                engine = self.podman(runtime)
                self.assertEqual(self.run_three(engine, "three.json"), THREE)
                self.assertEqual(self.run_three(engine, "three.json", "--pid", "host"), THREE)
                self.install("-n", stage="prestart")
                self.assertEqual(self.run_three(engine, "three.json"), THREE)
                self.install("-n")
                engine.run(ONE, "/three")  # which has not opted in
                self.assertEqual(list(self.out.iterdir()), [])
                self.check_starts(engine)

    def test_annotations(self) -> None:
        """The type goes by the name, or by whose annotation it is; what is named as input is added to."""
        engine = self.podman("crun")
        self.run_asking(engine, f"io.spoc.record={self.out}/%i.yaml")
        self.assertTrue(wait_until(lambda: any(self.out.glob("*.yaml"))))
        path = next(self.out.glob("*.yaml"))
        self.assertRegex(path.stem, "^[0-9a-f]{64}$")
        document = yaml.safe_load(path.read_text())
        self.assertEqual((document["kind"], document["metadata"]["name"]), ("SeccompProfile", path.stem))
        self.assertEqual(names_in(document["spec"]), THREE)
        path.unlink()
        before = self.out / "in"
        rules = [{"names": ["uname"], "action": "SCMP_ACT_ALLOW"}, {"names": ["getuid"], "action": "SCMP_ACT_LOG"}]
        for text in (json.dumps({"defaultAction": "SCMP_ACT_KILL_PROCESS", "syscalls": rules,
                                 "architectures": ["SCMP_ARCH_X86_64"]}),
                     yaml.safe_dump({**document, "spec": {**document["spec"], "syscalls": rules}})):
            before.write_text(text)
            for annotation in (f"if:{before};of:{self.out}/merged", f"of:{self.out}/merged;if:{before}"):
                self.run_asking(engine, f"io.containers.trace-syscall={annotation}")
                found = json.loads(self.recorded("merged"))
                self.assertEqual(names_in(found), THREE | {"uname"})
                self.assertIn(found["defaultAction"], text)
                self.assertIn({"names": ["getuid"], "action": "SCMP_ACT_LOG"}, found["syscalls"])
            self.assertEqual(before.read_text(), text)
        self.run_asking(engine, f"io.containers.trace-syscall=of:{self.out}/new")
        self.assertEqual(names_in(json.loads(self.recorded("new"))), THREE)

    def test_what_else_runs_in_it(self) -> None:
        """What is started in the container from outside is recorded, what other hooks do there is not; SIGTERM to its
        recorder ends the recording alone.
        """
        (self.hooks / "other.json").write_text(json.dumps({
            "version": "1.0.0", "hook": {"path": shutil.which("ls"), "args": ["ls", "/"]}, "when": {"always": True},
            "stages": ["createContainer"]}))
        for runtime in ("crun", "runc"):
            with self.subTest(runtime):
                engine, path = self.podman(runtime), self.out / "own.json"
                engine.start(ONE, "/bin/sleep", "1000", options=("--annotation", f"io.spoc.record={path}"))
                self.addCleanup(engine.remove, ONE)
                engine.start(TWO, "/bin/sleep", "1000")  # a neighbour
                self.addCleanup(engine.remove, TWO)
                engine.execute(ONE, "/three")
                engine.execute(TWO, "/bin/mkdir", "/new")
                engine.remove(ONE)
                names = names_in(json.loads(self.recorded(path.name)))
                self.assertLessEqual(THREE, names)
                self.assertLessEqual({"execve", "getdents64", "mkdir"} & names, set())
                engine.remove(TWO)

    def test_shared_pid_namespace(self) -> None:
        """Of a container in the pid namespace of another its program is recorded."""
        for runtime in ("crun", "runc"):
            with self.subTest(runtime):
                engine = self.podman(runtime)
                engine.start(TWO, "/bin/sh", "-c", "while :; do /bin/ls / >/dev/null; /bin/sleep 0.1; done")
                self.addCleanup(engine.remove, TWO)
                self.assertEqual(self.run_three(engine, "three.json", "--pid", f"container:{TWO}"), THREE)
                engine.remove(TWO)

    def test_refusals(self) -> None:
        """What cannot be recorded as it should be is not started."""
        self.install(confined=False)
        engine = self.podman("runc")
        valuable, link, fifo = (self.folder / name for name in ("valuable", "link", "fifo"))
        valuable.write_text("of value\n")
        link.symlink_to(valuable)
        os.mkfifo(fifo)
        trace = "io.containers.trace-syscall"
        for annotation, reason in (
                (f"io.spoc.record={link}", "is a symbolic link"),
                (f"io.spoc.record={valuable}", "write profile: .*valuable: it is no profile; "),
                (f"io.spoc.record={fifo}", "it is not a regular file"),
                ("io.spoc.record=/dev/stdout", "it is not a regular file"),
                (f"io.spoc.record={self.folder}", "Is a directory"),
                (f"io.spoc.record={self.folder}/missing/new", "No such file or directory; make the folder"),
                ("io.spoc.record=/sys/new", "Operation not permitted|Permission denied|Read-only"),
                ("io.spoc.record=relative", "relative: is not an absolute path"),
                (f"{trace}={self.out}/new", "is not of:OUT or of:OUT;if:IN"),
                (f"{trace}=of:{self.out}/new;if:{self.folder}/missing",
                 f"no such file; record one, or name another in {trace}"),
                (f"{trace}=of:{self.out}/new;if:{valuable}", "read profile: "),
                (f"{trace}=of:{self.out}/new;if:{link}", "is a symbolic link")):
            with self.subTest(annotation):
                result = engine.run(ONE, "/bin/mkdir", "/shared/started", check=False, options=(
                    "--annotation", annotation, "--volume", f"{self.out}:/shared"))
                self.assertNotEqual(result.returncode, 0)
                self.assertEqual(result.stderr.count(" Error: "), 1, result.stderr)
                self.assertRegex(result.stderr, reason)
                self.assertEqual(list(self.out.iterdir()), [])
        self.assertEqual((valuable.read_text(), link.is_symlink()), ("of value\n", True))
        self.install(path=shutil.which("setpriv"), args=[
            "setpriv", "--bounding-set", "-bpf,-sys_admin", sys.executable, str(SPOC), "hook"])
        result = self.run_asking(engine, f"io.spoc.record={self.out}/new", check=False)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("record --containers", result.stderr)
        self.assertEqual(list(self.out.iterdir()), [])

    def test_users(self) -> None:
        """A container in a user namespace of root's making is root's; other users' hooks cannot record."""
        mapped = self.podman("crun")
        self.run_asking(mapped, f"io.spoc.record={self.out}/mapped.json", "--uidmap",
                        f"0:{FIRST_SUBORDINATE_ID}:65536", "--gidmap", f"0:{FIRST_SUBORDINATE_ID}:65536")
        path = self.out / "mapped.json"
        self.assertTrue(wait_until(path.exists))
        self.assertEqual((path.stat().st_uid, names_in(json.loads(path.read_text()))), (0, THREE))
        path.unlink()
        rootless = self.podman("runc", rootless=True)
        result = self.run_asking(rootless, f"io.spoc.record={self.out}/new", check=False)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("let root record it: spoc.py record --containers -o FOLDER", result.stderr)
        self.assertEqual(list(self.out.iterdir()), [])

    def test_twenty_at_once(self) -> None:
        engine = self.podman("crun")
        names = [f"{ONE}-{number}" for number in range(20)]
        threads = [threading.Thread(target=engine.run, args=(name, "/three"), kwargs={
            "options": ("--annotation", f"io.spoc.record={self.out}/{name}.json")}) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([names_in(json.loads(self.recorded(f"{name}.json"))) for name in names], [THREE] * 20)


class Wrapper(HookCase):
    """The runtime in examples/, for engines that know no hooks.d."""

    def wrapper(self, *options: str, runtime: str = "") -> pathlib.Path:
        """A copy that calls this spoc.py with these options, and this runtime."""
        text = (EXAMPLES / "spoc-runc").read_text()
        for old, new in (("/usr/bin/python3", sys.executable), ("/var/lib/spoc/", f"{self.out}/"),
                         (f'"{INSTALLED}", "hook"', json.dumps([sys.executable, str(SPOC), "hook", *options])[1:-1]),
                         ("runtime=/usr/sbin/runc\n", f"runtime={runtime or shutil.which('runc')}\n")):
            self.assertEqual(text.count(old), 1)
            text = text.replace(old, new)
        path = self.folder / "spoc-runc"
        path.write_text(text)
        path.chmod(0o755)
        return path

    def only_profile(self) -> pathlib.Path:
        """The one file that is in the folder of profiles, or will be soon."""
        self.assertTrue(wait_until(lambda: any(self.out.iterdir())))
        path, = self.out.iterdir()
        return path

    def test_docker_and_containerd(self) -> None:
        wrapper = self.wrapper("-n")
        daemon = json.loads((EXAMPLES / "daemon.json").read_text())
        self.assertEqual(daemon, {"runtimes": {"spoc": {"path": "/usr/local/bin/spoc-runc"}}})
        docker, containerd = self.engines.docker_and_containerd(runtimes={"spoc": {"path": str(wrapper)}})
        docker.run(ONE, "/three", options=("--runtime", "spoc"))
        path = self.only_profile()
        self.assertRegex(path.name, r"^[0-9a-f]{64}\.json$")
        self.assertEqual(names_in(json.loads(path.read_text())), THREE)
        path.unlink()
        docker.run(ONE, "/three", options=("--runtime", "spoc", "--init"))
        path = self.only_profile()
        self.assertLessEqual(THREE | {"execve", "wait4"}, names_in(json.loads(path.read_text())))  # of docker-init, too
        path.unlink()
        docker.run(ONE, "/three")
        containerd.run(ONE, "/three")
        self.assertEqual(list(self.out.iterdir()), [])
        containerd.run(ONE, "/three", options=("--runc-binary", str(wrapper)))
        self.assertEqual(names_in(json.loads(self.recorded(f"{ONE}.json"))), THREE)
        containerd.run(ONE, "/three", options=("--runc-binary", str(wrapper), "--annotation",
                                               f"io.spoc.record={self.out}/named.json"))
        self.assertEqual(names_in(json.loads(self.recorded("named.json"))), THREE)
        self.wrapper()
        docker.run(ONE, *PROGRAM, options=("--runtime", "spoc"))
        profile = self.only_profile()
        self.assertEqual(docker.run(ONE, *PROGRAM, options=("--security-opt", f"seccomp={profile}")).stdout, "done\n")

    def test_arguments(self) -> None:
        """Only `create` and `run` change the bundle, whatever stands before them."""
        wrapper = str(self.wrapper(runtime="/bin/echo"))
        bundle = self.folder / "bundle"
        bundle.mkdir()
        config = bundle / "config.json"
        before = json.dumps({"ociVersion": "1.0.2", "annotations": {"key": "\u00fc"}, "hooks": None})
        for command, changes in (
                (("create", "--bundle", str(bundle), "id"), True), (("run", f"--bundle={bundle}", "id"), True),
                (("--root", "state", "--log=x", "--debug", "create", "-b", str(bundle), "id"), True),
                (("-root", "state", "-log=x", "-debug", "create", "-bundle", str(bundle), "id"), True),
                (("-root", "create", "state", "id"), False),
                (("--root", "create", "state", "id"), False), (("--log", "run", "--log-format", "json", "kill", "id"),
                                                               False),
                (("create", "id"), True), (("--systemd-cgroup",), False), ((), False), (("delete", "create"), False)):
            with self.subTest(command):
                config.write_text(before)
                config.chmod(0o640)
                if changes:
                    (bundle / "config.json.spoc").write_text("of a call that was killed")
                os.chown(config, 7, 8)
                environment: Dict[str, str] = {}
                for _ in range(2):  # a runtime may be asked again
                    result = subprocess.run([wrapper, *command], cwd=bundle, stdout=subprocess.PIPE, text=True,
                                            check=True, env=environment)
                    self.assertEqual(result.stdout, " ".join(command) + "\n")
                status, after = config.stat(), json.loads(config.read_text())
                self.assertEqual((status.st_mode & 0o7777, status.st_uid, status.st_gid), (0o640, 7, 8))
                hooks = after.pop("hooks")
                self.assertEqual(after, {"ociVersion": "1.0.2", "annotations": {"key": "\u00fc"}})
                self.assertEqual([path.name for path in bundle.iterdir()], ["config.json"])
                if not changes:
                    self.assertIsNone(hooks)
                    continue
                hook, = hooks["createRuntime"]
                self.assertEqual(hook["args"], [sys.executable, str(SPOC), "hook", "-o", f"{self.out}/%i.json"])

    def test_failures_of_the_wrapper(self) -> None:
        """One line says what is wrong, and config.json is as it was."""
        bundle = self.folder / "bundle"
        bundle.mkdir()
        config = bundle / "config.json"
        missing = f"{self.folder}/no-runtime"
        for text, runtime, reason in (
                ("", "/bin/echo", "Expecting value"), ("{}", missing, f"{missing}: cannot be executed"),
                ("{}", str(bundle), "cannot be executed"), ("[]", "/bin/echo", "specification"),
                ('{"hooks": []}', missing, "cannot be executed"), ('{"hooks": [1]}', "/bin/echo", "specification"),
                ('{"hooks": {"createRuntime": {"a": 1}}}', "/bin/echo", "specification"),
                ('{"hooks": "x"}', "/bin/echo", "specification"), (None, "/bin/echo", "No such file")):
            with self.subTest((text, runtime)):
                if text is None:
                    config.unlink()
                else:
                    config.write_text(text)
                result = subprocess.run([str(self.wrapper(runtime=runtime)), "create", "--bundle", str(bundle), "id"],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                self.assertEqual((result.returncode, result.stdout), (1, ""))
                self.assertRegex(result.stderr, rf"^spoc-runc: [^\n]*{reason}[^\n]*\n$")
                self.assertEqual([path.name for path in bundle.iterdir()], ["config.json"] if text is not None else [])
                if text is not None:
                    self.assertEqual(config.read_text(), text)

    def test_no_folder_for_profiles(self) -> None:
        """It is known before the container is made, where only the system's log would say it of the hook."""
        bundle = self.folder / "bundle"
        bundle.mkdir()
        (bundle / "config.json").write_text("{}")
        wrapper = self.wrapper(runtime="/bin/echo")
        command = [str(wrapper), "create", "--bundle", str(bundle), "id"]
        self.out.rmdir()
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertEqual(result.stderr, f"spoc-runc: {self.out}: no such folder, where profiles are to go: install -d "
                                        f"{self.out}\n")
        self.assertEqual((bundle / "config.json").read_text(), "{}")
        self.out.mkdir()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)

    def test_settings_for_kubernetes(self) -> None:
        text = (EXAMPLES / "containerd.toml").read_text()
        self.assertIn('BinaryName = "/usr/local/bin/spoc-runc"', text)
        settings = self.folder / "config.toml"
        settings.write_text(text)
        require_command("containerd")
        result = subprocess.run(["containerd", "--config", str(settings), "config", "dump"], stdout=subprocess.PIPE,
                                text=True, check=True)
        self.assertRegex(result.stdout, r"runtimes\.spoc\]\n(.*\n)*? *pod_annotations = \[\"io\.spoc\.record\"")
        self.assertRegex(result.stdout, r'runtimes\.spoc\.options\]\n *BinaryName = "/usr/local/bin/spoc-runc"')
        self.assertEqual(yaml.safe_load((EXAMPLES / "runtimeclass.yaml").read_text()), {
            "apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "spoc"}, "handler": "spoc"})


# CAP_BPF, CAP_PERFMON, CAP_SYS_RESOURCE, CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH (linux/capability.h)
UNIT_CAPABILITIES = 1 << 39 | 1 << 38 | 1 << 24 | 1 << 19 | 1 << 2


class Unit(UnitCase):
    """The systemd unit in examples/, which records all containers."""

    def setUp(self) -> None:
        super().setUp()
        self.text = (EXAMPLES / "spoc-containers.service").read_text()
        self.assertEqual((self.text.count(INSTALLED), self.text.count("/var/lib/spoc/containers")), (1, 1))

    def test_systemd_takes_it(self) -> None:
        require_command("systemd-analyze")
        unit = self.folder / "spoc-containers.service"
        unit.write_text(self.text.replace(INSTALLED, str(SPOC)))
        result = subprocess.run(["systemd-analyze", "verify", "--man=no", str(unit)], stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True)
        self.assertEqual((result.returncode, result.stdout), (0, ""))

    def test_says_that_it_is_ready(self) -> None:
        """To whom the environment names, by a path or an abstract name."""
        for path, name in ((f"{self.folder}/ready",) * 2, (f"\0{self.folder}", f"@{self.folder}")):
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
                listener.bind(path)
                listener.settimeout(WAIT_S)
                process = self.launch(sys.executable, str(SPOC), "record", "--containers", "-o",
                                      str(self.folder / "profiles"), env={**os.environ, "NOTIFY_SOCKET": name},
                                      stderr=subprocess.DEVNULL)
                self.assertEqual(listener.recv(100), b"READY=1")
                process.terminate()
                self.assertIn(process.wait(WAIT_S), (0, 125))

    def test_started_by_systemd(self) -> None:
        """What starts while it runs is recorded; it writes that when it is stopped."""
        engines = Engines()
        self.addCleanup(engines.close)
        podman = engines.podman("crun")
        podman.start(f"{ONE}-before", "/bin/sleep", "1000")
        self.addCleanup(podman.remove, f"{ONE}-before")
        log, profiles = self.folder / "log", self.folder / "containers"
        # Newer managers of a user put what they protect the file system from into a user namespace, where nobody may
        # load BPF; that of the machine does not.
        version = subprocess.run(["systemd-analyze", "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout
        if int(version.split()[1]) > 252:
            self.text = self.text.replace("ProtectSystem=strict\n", "")
        paths = f"ReadWritePaths={self.folder}\n" if "ProtectSystem" in self.text else ""
        more = (f"[Service]\nStandardError=append:{log}\n{paths}"
                f"ExecStartPost=/bin/cp /proc/self/status {self.folder}/status\n"
                f"ExecStartPost=/bin/cp {log} {self.folder}/ready")
        text = self.text.replace(INSTALLED, f"{sys.executable} {SPOC}").replace("[Service]", more)
        systemd = self.systemd("spoc-containers.service", text.replace("/var/lib/spoc/containers", str(profiles)))
        ready = self.folder / "ready"  # what the log was when systemd went on
        self.assertTrue(wait_until(lambda: ready.exists() and "Recording every container" in ready.read_text()),
                        log.read_text() if log.exists() else "it was not started")
        self.assertNotIn("Warning", ready.read_text())
        self.assertRegex(log.read_text(), "[0-9]+ containers? that runs? already (is|are) not recorded; ")
        status = (self.folder / "status").read_text()
        self.assertIn("NoNewPrivs:\t1\n", status)
        bounding, = re.findall("^CapBnd:\t(.*)", status, re.M)
        self.assertEqual(int(bounding, 16) & ~UNIT_CAPABILITIES, 0)
        podman.run(ONE, "/three")
        podman.start(TWO, "/bin/sleep", "1000")
        self.addCleanup(podman.remove, TWO)
        self.assertTrue(wait_until(lambda: TWO in log.read_text()))
        systemd.terminate()
        self.assertEqual(systemd.wait(WAIT_S), 0)
        documents = {path.stem: yaml.safe_load(path.read_text()) for path in profiles.iterdir()}
        self.assertLessEqual({ONE, TWO}, set(documents))
        self.assertNotIn(f"{ONE}-before", documents)
        self.assertLessEqual(THREE, set(documents[ONE]["spec"]["syscalls"][0]["names"]))
        self.assertIn("nanosleep", str(documents[TWO]))
