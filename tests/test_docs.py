# SPDX-License-Identifier: MIT
"""Every command that README.md and docs/*.md show, run as it stands there, and what it prints beside what they show.

A block of code begins with a command: behind `$` it is an ordinary user's, who may use sudo, behind `#` root's. What
follows is what it prints; where nothing follows, it may print anything, but has to succeed. The commands of a document
are run in their order, in a folder that holds the project.
"""

from __future__ import annotations

import ast
import contextlib
import fcntl
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tarfile
import tempfile
import unittest
import xml.etree.ElementTree
from typing import Callable, Iterator, NamedTuple

import support

TIER = "kernel"
README = support.ROOT / "README.md"
DOCUMENTS = [README, *sorted((support.ROOT / "docs").glob("*.md"))]
# What no single machine without a network can run; everything else is run.
NOT_RUN = {
    r"(scp|ssh) ": "needs another machine",
    r"(cosign|notation) ": "needs keys, and a registry that others reach",
    r"(apt-get|apk|dnf|opkg|pacman|zypper) ": "installs packages, most of them another distribution's",
    r"make (bench|check|check-deb|check-vm|faults|fuzz|test|test-fast)( |$)": "takes minutes, and runs this test, too",
    r"python3 spoc\.py .*\bregistry\.example\.com": "needs a registry with a certificate",
    r"systemctl |.*/etc/init\.d/": "needs a machine that has booted with this service",
}
PROFILES = {
    "no-alg.json": """{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["socket"], "action": "SCMP_ACT_ERRNO",
 "args": [{"index": 0, "op": "SCMP_CMP_EQ", "value": 38}]}]}
""",
    "no-uname.json": """{"defaultAction": "SCMP_ACT_ALLOW",
 "syscalls": [{"names": ["uname"], "action": "SCMP_ACT_ERRNO"}]}
""",
    "old.yaml": """apiVersion: security-profiles-operator.x-k8s.io/v1beta1
kind: SeccompProfile
metadata: {name: app}
spec:
  defaultAction: SCMP_ACT_ERRNO
  syscalls:
  - {names: [read, write, ptrace], action: SCMP_ACT_ALLOW}
""",
    "new.json": """{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "syscalls": [
 {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW"},
 {"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "op": "SCMP_CMP_NE", "value": 16}]}]}
""",
}
USER, USER_ID = "me", 1000

# The user exists in these mounts only, and so does what servers write; no port is anybody else's.
PRIVATE = """
cd "$1"
mount -t tmpfs tmpfs changed
for folder in /usr/local /usr/share /var/lib /var/log; do
    mkdir -p "changed$folder" "changed/work$folder"
    mount -t overlay -o "lowerdir=$folder,upperdir=changed$folder,workdir=changed/work$folder" overlay "$folder"
done
for file in passwd shadow group sudoers; do
    mount --bind "$file" "/etc/$file"
done
mount --bind home /home
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs -o mode=1777 tmpfs /tmp
! mountpoint -q /sys/fs/cgroup/unified || umount /sys/fs/cgroup/unified  # Podman takes one version of cgroups
ip link set lo up
echo ready
exec sleep infinity
"""


class Step(NamedTuple):
    """A command of a document."""

    place: str  # document:line
    prompt: str  # "$" or "#"
    command: str
    shown: list[str]  # what it prints, as the document has it


def code_blocks(text: str) -> Iterator[tuple[int, list[str]]]:
    """Each indented or fenced block of code, with the number of its first line."""
    lines = text.split("\n")
    number = 0
    while number < len(lines):
        start = number
        if lines[number].startswith("```"):
            number += 1
            while not lines[number].startswith("```"):
                number += 1
            yield start + 2, lines[start + 1:number]
        elif lines[number].startswith("    "):
            while number < len(lines) and (lines[number].startswith("    ") or not lines[number]):
                number += 1
            block = [line[4:] for line in lines[start:number]]
            while not block[-1]:
                block.pop()
            yield start + 1, block
            continue
        number += 1


def steps_of(path: pathlib.Path) -> list[Step]:
    """The commands that a document shows, in their order."""
    found: list[Step] = []
    for number, block in code_blocks(path.read_text(encoding="utf-8")):
        for offset, line in enumerate(block):
            place = f"{path.name}:{number + offset}"
            if re.match(r"[$#] ", line):
                found.append(Step(place, line[0], line[2:], []))
            elif not offset:
                raise AssertionError(f"{place}: this block does not begin with a command behind $ or #: {line}")
            else:
                found[-1].shown.append(line)
    return [step._replace(shown=[line for line in step.shown if line]) for step in found]


def reason_not_to_run(command: str) -> str:
    """Why this command cannot be run here, or nothing."""
    return next((reason for pattern, reason in NOT_RUN.items()
                 if re.match(rf"(sudo )?({pattern})", command)), "")


def masked(line: str) -> str:
    """A line without what differs from run to run and from machine to machine."""
    for pattern, word in (
            (support.CLOCK, "TIME"), (r"[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d [\d:]{8} [A-Z]+ \d{4}", "DATE"),
            (r"\b[0-9a-f]{64}\b|\b[0-9a-f]{12}\b", "ID"),
            (r"(?i)\b(pid|mntns|process|uid)([ :=]+)\d+", r"\1\2N"),
            (r"[█░]+", "BAR"),
            (r"\b\d+ (BPF instructions|tasks?\b|notifications|bytes\b|ms\b)", r"N \1"),
            (r"\d+ of \d+", "N of N"), (r"\bat most \d+", "at most N"), (r"\d+(\.\d+)? %", "N %"), (r"\d+/\d+", "N/N"),
            (r"\bby +\d+", "by N"), (r"^ +\d+, at most", "N, at most"), (r"\bsaw \d+", "saw N"),
            (r"\bLinux \d\S*", "Linux V"), (r"\b\d+(\.\d+)+\b", "V"), (r" +", " ")):
        line = re.sub(pattern, word, line)
    return line.rstrip()


def of_the_log(lines: list[str], wanted: bool) -> list[str]:
    """Those of the lines that are spoc.py's log, or the others; `...` stands among both."""
    return [line for line in lines if line.strip() == "..." or wanted == bool(re.match(support.CLOCK, line))]


def agrees(shown: list[str], printed: list[str]) -> bool:
    """Did a command print what is shown? The log and what the command itself prints may mix in any way."""
    return all(matches(of_the_log(shown, wanted), of_the_log(printed, wanted)) for wanted in (True, False))


def matches(shown: list[str], printed: list[str]) -> bool:
    """Are these the lines, where `...` stands for any lines, and at the end of a line for its rest?"""
    if not shown:
        return not printed
    if shown[0].strip() == "...":
        return any(matches(shown[1:], printed[skipped:]) for skipped in range(len(printed) + 1))
    if not printed:
        return False
    cut = shown[0].endswith("...")
    first = masked(shown[0][:-3] if cut else shown[0])
    here = masked(printed[0])
    return (here.startswith(first) if cut else here == first) and matches(shown[1:], printed[1:])


class World(contextlib.ExitStack):
    """Where the commands of one document are run: mounts, a network and a user of their own."""

    def __init__(self, folder: pathlib.Path) -> None:
        super().__init__()
        lock = os.open("/run", os.O_RDONLY | os.O_CLOEXEC)  # no two containers of a name at a time
        self.callback(os.close, lock)
        fcntl.flock(lock, fcntl.LOCK_EX)
        self.folder = folder
        self.project = folder / "home" / USER / "spoc"
        self.project.mkdir(parents=True)
        (folder / "changed").mkdir()
        self.copy_project()
        home = f"{USER}:x:{USER_ID}:{USER_ID}::/home/{USER}:/bin/bash"
        for name, line in (("passwd", home), ("shadow", f"{USER}:*:19000:0:99999:7:::"),
                           ("group", f"{USER}:x:{USER_ID}:")):
            (folder / name).write_text(f"{line}\n{pathlib.Path('/etc', name).read_text()}")
        (folder / "sudoers").write_text(f"root ALL=(ALL:ALL) NOPASSWD: ALL\n{USER} ALL=(ALL:ALL) NOPASSWD: ALL\n")
        (folder / "sudoers").chmod(0o440)
        self.holder = subprocess.Popen(
            ["unshare", "--mount", "--net", "--propagation", "private", "sh", "-ec", PRIVATE, "sh", str(folder)],
            stdout=subprocess.PIPE, text=True, start_new_session=True)
        self.callback(support.end, self.holder)
        if not self.holder.stdout or self.holder.stdout.readline() != "ready\n":
            raise AssertionError("the mounts of the documents failed")

    def copy_project(self) -> None:
        """The files of the project, as the user has them."""
        listed = subprocess.run(["git", "-C", str(support.ROOT), "-c", f"safe.directory={support.ROOT}", "ls-files",
                                 "-z", "--cached", "--others", "--exclude-standard", ":!tests/data/golden"],
                                stdout=subprocess.PIPE, check=True)
        for name in filter(None, listed.stdout.decode().split("\0")):
            if (support.ROOT / name).is_file():
                (self.project / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(support.ROOT / name, self.project / name)
        self.take(support.SPOC)
        for path in (self.project.parent, *self.project.parent.rglob("*")):
            os.chown(path, USER_ID, USER_ID)

    def take(self, spoc: pathlib.Path) -> None:
        """Put this in the place of spoc.py: its bytecode, which starts sooner, or the source."""
        (self.project / "spoc.py").write_bytes(spoc.read_bytes())

    def root(self, command: str) -> str:
        """Have root do something here that is no part of the document; give what it prints."""
        output = self.folder / "prepared"
        process = self.start(command, output)
        self.callback(support.end, process)
        if process.wait(support.WAIT_S):
            raise AssertionError(f"{command}: {output.read_text('utf-8', 'replace')}")
        return output.read_text("utf-8", "replace")

    def start_docker(self) -> None:
        """Docker, for these commands alone, with an image of BusyBox by the name that it has everywhere."""
        support.require_command("docker", "dockerd", "containerd", "busybox")
        folder = self.folder / "home" / "docker"
        folder.mkdir()
        (folder / "daemon.json").write_text(json.dumps({
            "data-root": "/home/docker/data", "iptables": False, "bridge": "none", "storage-driver": "vfs",
            "exec-opts": ["native.cgroupdriver=cgroupfs"],
            "default-ulimits": {"nofile": {"Name": "nofile", "Soft": 1024, "Hard": 1024}}}))
        daemon = self.start("exec dockerd --config-file /home/docker/daemon.json", self.folder / "dockerd.log")
        self.callback(support.end, daemon)
        self.callback(daemon.wait, support.WAIT_S)
        self.callback(daemon.send_signal, signal.SIGTERM)
        self.callback(self.root, "docker ps --quiet | xargs --no-run-if-empty docker kill")  # the daemon waits 10 s
        self.make_image()
        if not support.wait_until(lambda: "up" in self.root("! docker info >&/dev/null || echo up"), support.WAIT_S):
            raise AssertionError((self.folder / "dockerd.log").read_text("utf-8", "replace")[-4000:])
        self.root("docker import /home/image.tar busybox")

    def start_registry(self) -> None:
        """An OCI registry at its usual port."""
        support.require_command("docker-registry")
        (self.folder / "home" / "registry.json").write_text(json.dumps({
            "version": "0.1", "log": {"level": "warn", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": "/home/registry"}}, "http": {"addr": "localhost:5000"}}))
        server = self.start("exec docker-registry serve /home/registry.json", self.folder / "registry.log")
        self.callback(support.end, server)
        self.root("until wget -q -O /dev/null http://localhost:5000/v2/; do sleep 0.1; done")

    def set_up_podman(self) -> None:
        """Podman, with the same image."""
        support.require_command("podman", "crun")
        folder = self.folder / "home" / "podman"
        folder.mkdir()
        (folder / "containers.conf").write_text(
            '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\nnetns = "none"\n'
            '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "none"\nruntime = "crun"\n')
        (folder / "storage.conf").write_text(
            '[storage]\ndriver = "vfs"\ngraphroot = "/home/podman/root"\nrunroot = "/run/podman"\n')
        self.root("podman import /home/image.tar busybox")

    def make_image(self) -> None:
        """What containers are made of: BusyBox."""
        with tarfile.open(self.folder / "home" / "image.tar", "w") as archive:
            archive.add(shutil.which("busybox") or "", "bin/busybox")
            for applet in ("cat", "date", "httpd", "sh", "sleep", "uname", "unshare", "wget"):
                link = tarfile.TarInfo(f"bin/{applet}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                archive.addfile(link)

    def start(self, command: str, output: pathlib.Path, prompt: str = "#") -> subprocess.Popen[bytes]:
        """Start a shell's command as this user; what it prints goes to a file."""
        name, home = "root", "/root"
        become: tuple[str, ...] = ()
        if prompt == "$":
            name, home = USER, f"/home/{USER}"
            become = ("setpriv", f"--reuid={USER_ID}", f"--regid={USER_ID}", "--init-groups", "--inh-caps=-all")
        environment = {"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": home, "USER": name,
                       "CONTAINERS_CONF": "/home/podman/containers.conf", "LANG": "C.UTF-8", "SHELL": "/bin/bash",
                       "CONTAINERS_STORAGE_CONF": "/home/podman/storage.conf", "LOGNAME": name}
        with open(output, "wb") as file:
            return subprocess.Popen(
                ["nsenter", "--mount", "--net", f"--target={self.holder.pid}", "--", *become,
                 "bash", "-c", f"cd /home/{USER}/spoc || exit\n{command}"], env=environment,
                stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True)


class Terminal(NamedTuple):
    """A command that runs, as who typed it sees it."""

    world: World
    process: subprocess.Popen[bytes]
    output: pathlib.Path

    def wait_for(self, text: str) -> None:
        """Wait until the command has printed this."""
        if not support.wait_until(lambda: text in self.output.read_text("utf-8", "replace"), support.WAIT_S):
            raise AssertionError(f"no {text} in {self.output.read_text('utf-8', 'replace')}")

    def interrupt(self) -> None:
        """Ctrl-C."""
        os.killpg(self.process.pid, signal.SIGINT)


def use_new_container(terminal: Terminal) -> None:
    """Start the container that is waited for, have it serve a file, and remove it."""
    terminal.wait_for("Waiting for container site")
    terminal.world.root("docker run -d --name site busybox httpd -f -p 8000")
    terminal.world.root("until docker exec site wget -q -O /dev/null 127.0.0.1:8000/bin/httpd; do sleep 0.1; done")
    terminal.world.root("docker rm -f site")


def use_web_server(terminal: Terminal) -> None:
    """Start the container's program once more, have it serve a file, and end the recording."""
    terminal.wait_for("Processing events")
    terminal.world.root("docker exec web httpd -p 8001")
    terminal.world.root("docker exec web wget -q -O /dev/null 127.0.0.1:8001/bin/httpd")
    terminal.interrupt()


def use_containers(terminal: Terminal) -> None:
    """Run a container of Podman and one of Docker, one after the other, and end the recording."""
    terminal.wait_for("Processing events")
    for engine, name in (("podman", "job"), ("docker", "db")):
        terminal.world.root(f"{engine} run --rm --name {name} busybox sleep 0.2")
        terminal.wait_for(f"profiles/{name}.yaml")
    terminal.interrupt()


def use_unshare(terminal: Terminal) -> None:
    """Call what Docker's default profile refuses, and end the recording."""
    terminal.wait_for("Processing events")
    terminal.world.root("docker exec web unshare true || :")
    terminal.interrupt()


def wait_for_profile(terminal: Terminal) -> None:
    """The recorder writes the profile when the container has ended."""
    terminal.world.root("until test -s /var/lib/spoc/date.json; do sleep 0.1; done")


def use_kill(terminal: Terminal) -> None:
    """Call what the container's profile lacks, in a shell that lives on."""
    terminal.wait_for("Watching")
    terminal.world.root("(echo kill -0 1; sleep 0.5) | docker exec -i safe sh || :")
    terminal.wait_for("kill (62)")
    terminal.interrupt()


def use_nginx(terminal: Terminal) -> None:
    """Have nginx serve a page, and end it."""
    terminal.world.root("until wget -q -O /dev/null http://127.0.0.1; do sleep 0.1; done; nginx -s quit")


def replace_nginx(terminal: Terminal) -> None:
    """The same, and start another one that stays."""
    use_nginx(terminal)
    terminal.world.root("while test -e /run/nginx.pid; do sleep 0.1; done; nginx")
    terminal.world.callback(terminal.world.root, "nginx -s stop")


def use_nginx_again(terminal: Terminal) -> None:
    """Have the nginx that runs serve a page, reload it, and end the recording."""
    terminal.wait_for("Processing events")
    terminal.world.root("wget -q -O /dev/null http://127.0.0.1 && nginx -s reload && sleep 0.3")
    terminal.interrupt()


def use_filtered_uname(terminal: Terminal) -> None:
    """Run uname under a filter that refuses uname(2)."""
    terminal.wait_for("Watching")
    terminal.world.root("python3 spoc.py run -q --enricher none -p no-uname.json uname || test $? = 1")
    terminal.wait_for("comm: uname")
    terminal.interrupt()


# What somebody does in another terminal while a command runs that holds these words.
MEANWHILE = {
    "-o site.json --container site": use_new_container,
    "-o more.yaml --container web": use_unshare,
    "record -o profiles --containers": use_containers,
    "watch --container safe": use_kill,
    "io.spoc.record=/var/lib/spoc/date.json": wait_for_profile,
    "-o nginx.yaml nginx": use_nginx,
    "-o nginx.json -- nginx": replace_nginx,
    "-o nginx.yaml --pid": use_nginx_again,
    "-o web.yaml --container web": use_web_server,
    "spoc.py watch\n": use_filtered_uname,
}


def messages() -> list[str]:
    """The fixed parts of the texts in spoc.py, where two that stand beside each other in the source are one."""
    return [node.value for node in ast.walk(ast.parse(support.SOURCE.read_text(encoding="utf-8")))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)]


class Texts(unittest.TestCase):
    """What can be told of the documents without running anything."""

    TIER = "pure"

    def test_readme_is_short(self) -> None:
        self.assertLessEqual(len(README.read_text(encoding="utf-8").splitlines()), 250)

    def test_lines_are_not_long(self) -> None:
        """Prose fits into 120 columns; tables and output are as wide as they are."""
        long = [f"{path.name}:{number}" for path in DOCUMENTS
                for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
                if len(line) > 125 and not line.startswith(("|", "    ", "!["))]
        self.assertEqual(long, [])

    def test_links_lead_somewhere(self) -> None:
        found = 0
        for path in DOCUMENTS:
            text = path.read_text(encoding="utf-8")
            anchors = set(re.findall(r'<a id="([^"]+)">', text)) | {
                re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in re.findall(r"(?m)^#+ (.*)$", text)}
            for link in re.findall(r"\]\(([^)\s]+)\)", text):
                found += 1
                with self.subTest(path=path.name, link=link):
                    if link.startswith("#"):
                        self.assertIn(link[1:], anchors)
                    elif not link.startswith("https://"):
                        self.assertTrue((path.parent / link.partition("#")[0]).exists())
        self.assertGreater(found, 10)

    def test_quoted_messages_exist(self) -> None:
        """Each fixed part of a message that README explains is in spoc.py."""
        texts = messages()
        table = README.read_text(encoding="utf-8").split("| message |")[1].split("\n\n")[0]
        quoted = re.findall(r"(?m)^\| `([^`]+)` \|", table)
        self.assertGreater(len(quoted), 8)
        for message in quoted:
            parts = [part.strip() for part in message.split("...") if part.strip()]
            self.assertTrue(parts)
            for part in parts:
                self.assertTrue(any(part in text for text in texts), f"no message of spoc.py has: {part}")

    def test_every_command_is_run_or_has_a_reason(self) -> None:
        """Each block begins with a command, each reason is that of some command, and some commands are run."""
        steps = [step for path in DOCUMENTS for step in steps_of(path)]
        reasons = {reason_not_to_run(step.command) for step in steps}
        self.assertEqual(reasons, {"", *NOT_RUN.values()})
        tested = {name[len("test_"):] for name in vars(Documents) if name.startswith("test_")}
        for path in DOCUMENTS:
            if any(not reason_not_to_run(step.command) for step in steps_of(path)):
                self.assertIn(path.stem.lower(), tested)

    def test_differences_are_seen(self) -> None:
        line = "06:31:47.404150 Seccomp: utimensat (280), action: SCMP_ACT_ERRNO (EPERM), pid: 25214, comm: cp"
        later = line.replace("06:31:47.404150", "16:00:00.000001").replace("25214", "7")
        same: list[tuple[list[str], list[str]]] = [
            ([line], [later]), (["..."], []), (["a", "...", "c"], ["a", "b", "b", "c"]),
            ([line[:40] + "..."], [later]), (["out", line], [later, "out"])]
        different: list[tuple[list[str], list[str]]] = [
            ([line], [later.replace("280", "281")]), ([line], [later, later]), ([line], []), (["a"], ["a", "b"]),
            (["a", "...", "c"], ["a", "b"]), (["a b..."], ["a c"]), (["a", "b"], ["b", "a"]),
            (["exit status 1"], ["exit status 2"])]
        for shown, printed in same:
            self.assertTrue(agrees(shown, printed), (shown, printed))
        for shown, printed in different:
            self.assertFalse(agrees(shown, printed), (shown, printed))

    def test_block_without_a_command_is_seen(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "x.md")
            for text, commands in (("    $ a\n    b\n\n    # c\n", "ac"), ("```\n# a\n```\n", "a"), ("a\n", "")):
                path.write_text(text)
                self.assertEqual("".join(step.command for step in steps_of(path)), commands)
            for text in ("    python3 spoc.py\n", "```\nx\n$ a\n```\n"):
                path.write_text(text)
                self.assertRaises(AssertionError, steps_of, path)

    def test_picture(self) -> None:
        """It runs nothing, loads nothing, and is made for light and for dark pages."""
        path = support.ROOT / "docs" / "picture.svg"
        names = set()
        for element in xml.etree.ElementTree.parse(path).iter():
            names.add(element.tag.rpartition("}")[2])
            self.assertEqual([name for name in element.attrib if name.startswith("on") or name.endswith("href")], [])
        self.assertLessEqual({"svg", "title", "desc"}, names)
        self.assertFalse(names & {"script", "image", "use", "foreignObject"})
        text = path.read_text(encoding="utf-8")
        self.assertIn("prefers-color-scheme: dark", text)
        self.assertNotRegex(text, r"@import|@font-face|url\((?!#)")


class Documents(support.Case):
    """The commands are run, and print what is shown; some are about the whole machine."""

    EXCLUSIVE = True

    def setUp(self) -> None:
        super().setUp()
        support.require_root()
        support.require(support.ON_X86_64, "x86-64, on which the examples were made")
        support.require_command("sudo", "git", "ip", "nsenter", "setpriv", "unshare")

    def check(self, name: str, prepare: Callable[[World], None] = lambda world: None) -> None:
        """Run what a document shows, in a world that is prepared for it."""
        steps = steps_of(next(path for path in DOCUMENTS if path.name == name))
        self.assertTrue(steps)
        with World(self.folder) as world:
            prepare(world)
            for step in steps:
                if not reason_not_to_run(step.command):
                    with self.subTest(step.place, command=step.command):
                        self.compare(step, *self.run_step(world, step))

    def run_step(self, world: World, step: Step) -> tuple[int, str]:
        """Run a command to its end; give its exit status and what it printed."""
        output = self.folder / "output"
        if re.search(r"\bmake |-m spoc", step.command):  # these read it as source
            world.take(support.SOURCE)
        process = world.start(step.command, output, step.prompt)
        try:
            for words, act in MEANWHILE.items():
                if words in step.command + "\n":
                    act(Terminal(world, process, output))
            code = process.wait(support.WAIT_S)
        finally:
            support.end(process)
            world.take(support.SPOC)
        return code, output.read_text("utf-8", "replace")

    def compare(self, step: Step, code: int, printed: str) -> None:
        if not step.shown:
            self.assertEqual(code, 0, f"{step.place}: {step.command}\n{printed}")
        elif not agrees(step.shown, [line for line in printed.splitlines() if line.strip()]):
            self.fail(f"{step.place}: {step.command}\nshows:\n" + "\n".join(step.shown) + f"\nbut prints:\n{printed}")

    def test_readme(self) -> None:
        self.check("README.md", prepare_readme)

    def test_manual(self) -> None:
        self.check("manual.md", prepare_manual)


def prepare_readme(world: World) -> None:
    """Docker, and a registry with what two nodes have recorded."""
    support.require_command("nginx", "wget")
    world.start_docker()
    world.start_registry()
    for number, name in enumerate(("one", "two"), 1):
        world.root(f"python3 spoc.py record -q -o oci://localhost:5000/app:node-{number} mkdir {name}")


def prepare_manual(world: World) -> None:
    """A container and a server that run, and profiles that the text speaks of."""
    support.require_command("nginx", "wget", "bwrap")
    world.start_docker()
    world.set_up_podman()
    world.root("docker run -d --name web busybox httpd -f -p 8000")
    for name, options, command in (("node-1.yaml", "", "date"), ("node-2.json", "-t raw-seccomp", "ls"),
                                   ("node-3.yaml", "", "mkdir new")):
        world.root(f"python3 spoc.py record -q -o {name} {options} {command}")
    for name, text in PROFILES.items():
        (world.project / name).write_text(text)


if __name__ == "__main__":
    unittest.main()
