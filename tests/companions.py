# SPDX-License-Identifier: MIT
"""What tests/faults.py has run beside a command of spoc.py that starts nothing itself: a process or a container with
tests/programs/victim.c, which goes on when the command is ready for it."""

import contextlib
import json
import os
import pathlib
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time
from typing import Callable, Dict, List, Sequence, Tuple

from support import in_mounts

READY = re.compile(" (Processing events|Waiting for container|Recording (every container|[0-9]+ task))")
PATIENCE_S = 15  # for a line that may not come, since it is the fault that it does not
RAN = re.compile(r"started\nran uid=0 seccomp=0 getppid=ok\n")
# Of a folder and a socket: the latter becomes the system's log, where the recorder of a hook says what it has to.
OWN_DEV = """
mkdir "$1"
touch "$1/null"
mount --bind /dev/null "$1/null"
ln -s "$2" "$1/log"
mount --rbind "$1" /dev
shift 2
"""


def first_child(pid: int) -> int:
    """The first of the processes that this one has started; 0 if there is none."""
    with contextlib.suppress(OSError):
        return int((pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split() or ["0"])[0])
    return 0


def wait_while(tracer: "subprocess.Popen[bytes]", condition: Callable[[], object], limit_s: float = PATIENCE_S) -> None:
    """Until the condition does not hold any more, the tracer has ended, or for so long."""
    end_s = time.monotonic() + limit_s
    while tracer.poll() is None and condition() and time.monotonic() < end_s:
        time.sleep(0.01)


class Companion:
    """One that does nothing: of a command that starts what it is about, or is about no process."""

    prefix: Sequence[str] = ()  # runs the tracer
    stdin = b""  # of the command
    words: "Dict[str, str]" = {}  # what stands in its arguments for what only this knows

    def __init__(self, victim: str, folder: pathlib.Path) -> None:
        """`folder` is this run's, with the folder that the command works in, `work`."""
        self.victim, self.folder = victim, folder
        self.log = folder / "log"

    def meanwhile(self, tracer: "subprocess.Popen[bytes]") -> None:
        """Have it do what the command is to see."""

    def finish(self) -> Tuple[List[str], str]:
        """End it; give what is wrong with it, and what was said elsewhere than on standard error."""
        return [], ""

    def own(self, name: str) -> str:
        """The name of a file that the command has written, as it is in every run; "" for what is not of this run."""
        return name

    def normal(self, log: str) -> str:
        """A log as it is in every run."""
        return log

    def is_ready(self) -> bool:
        return bool(READY.search(self.log.read_text("utf-8", "replace")))


class RunningProcess(Companion):
    """A process that runs already."""

    wrapper: Sequence[str] = ()

    def __init__(self, victim: str, folder: pathlib.Path) -> None:
        super().__init__(victim, folder)
        self.process = subprocess.Popen([*self.wrapper, "sh", "-c", 'read line && exec "$0" 0', victim],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.words = {"PID": str(self.process.pid)}

    def meanwhile(self, tracer: "subprocess.Popen[bytes]") -> None:
        wait_while(tracer, lambda: not self.is_ready())
        self.go_on()

    def go_on(self) -> None:
        assert self.process.stdin
        with contextlib.suppress(OSError, ValueError):
            self.process.stdin.write("\n")
            self.process.stdin.close()

    def finish(self) -> Tuple[List[str], str]:
        self.go_on()
        assert self.process.stdout
        output = self.process.stdout.read()
        status = self.process.wait()
        ran = RAN.fullmatch(output) and not status
        return [] if ran else [f"what was recorded ended with {status}, and said {output!r}"], ""


class HookedContainer(RunningProcess):
    """A process that is the first of its pid namespace, and goes on when the hook has said that it may."""

    wrapper = ("unshare", "--pid", "--fork", "--kill-child")

    def __init__(self, victim: str, folder: pathlib.Path) -> None:
        super().__init__(victim, folder)
        self.is_refused = False
        path = str(folder / "syslog")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.socket.setblocking(False)
        self.prefix = in_mounts(OWN_DEV, str(folder / "dev"), path)
        end_s = time.monotonic() + PATIENCE_S
        while not self.first() and time.monotonic() < end_s:
            time.sleep(0.005)
        self.stdin = json.dumps({"ociVersion": "1.0.2", "id": "hooked", "status": "created", "pid": self.first(),
                                 "bundle": str(folder), "annotations": {
                                     "io.spoc.record": str(folder / "work" / "out.json")}}).encode()

    def first(self) -> int:
        return first_child(self.process.pid)

    def meanwhile(self, tracer: "subprocess.Popen[bytes]") -> None:
        report = self.folder / "report"
        report.touch()
        wait_while(tracer, lambda: not re.search("(?m)^(status|hung)", report.read_text()), 10 * PATIENCE_S)
        if "\nstatus 0\n" in "\n" + report.read_text():
            self.go_on()
        else:
            self.is_refused = True
            self.process.kill()

    def finish(self) -> Tuple[List[str], str]:
        problems, _ = super().finish()
        lines = []
        with contextlib.suppress(BlockingIOError), self.socket:
            while True:
                text = self.socket.recv(1 << 16).decode("utf-8", "replace")
                lines.append(f"00:00:00.000000 {text.partition(']: ')[2]}\n")
        return [] if self.is_refused else problems, "".join(lines)


class StartedContainer(Companion):
    """A container that runc starts when the command is ready, and that has an id for its name."""

    def __init__(self, victim: str, folder: pathlib.Path) -> None:
        super().__init__(victim, folder)
        self.identifier = secrets.token_hex(32)
        self.words = {"NAME": self.identifier}
        self.bundle = folder / "bundle"
        (self.bundle / "root" / "proc").mkdir(parents=True)
        shutil.copy(victim, self.bundle / "root" / "victim")
        (self.bundle / "config.json").write_text(json.dumps({
            "ociVersion": "1.0.2", "root": {"path": "root"},
            "process": {"user": {"uid": 0, "gid": 0}, "args": ["/victim", "0", "200"], "cwd": "/", "env": ["PATH=/"]},
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
            "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}]}}))
        self.problems: List[str] = []

    def run(self) -> None:
        runc = ("runc", "--root", str(self.folder / "runc"))
        result = subprocess.run([*runc, "run", "--bundle", str(self.bundle), self.identifier], stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if result.returncode or not RAN.fullmatch(result.stdout):
            self.problems.append(f"the container ended with {result.returncode}, and said {result.stdout!r}")
        subprocess.run([*runc, "delete", "--force", self.identifier], stderr=subprocess.DEVNULL)

    def meanwhile(self, tracer: "subprocess.Popen[bytes]") -> None:
        wait_while(tracer, lambda: not self.is_ready())
        if tracer.poll() is None:
            self.run()

    def finish(self) -> Tuple[List[str], str]:
        return self.problems, ""

    def own(self, name: str) -> str:
        """Other runs start containers, too."""
        folder, _, file = name.rpartition("/")
        if folder and not file.startswith((".", self.identifier)):
            return ""
        return self.normal(name)

    def normal(self, log: str) -> str:
        return log.replace(self.identifier, "NAME")


class AmongAll(StartedContainer):
    """The same, and then a signal that asks the command to end."""

    def meanwhile(self, tracer: "subprocess.Popen[bytes]") -> None:
        super().meanwhile(tracer)
        wait_while(tracer, lambda: f"{self.identifier}.json" not in self.log.read_text("utf-8", "replace"), 2)
        pid = first_child(tracer.pid)
        if tracer.poll() is None and pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)


COMPANIONS: Dict[str, Callable[[str, pathlib.Path], Companion]] = {
    "": Companion, "process": RunningProcess, "hooked": HookedContainer, "container": StartedContainer,
    "all": AmongAll}
