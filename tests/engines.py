# SPDX-License-Identifier: MIT
"""Container engines as they are, started for the tests alone: Podman with either runtime and without root, Docker, and
containerd. They run offline, in a mount namespace and in folders of their own, and leave nothing on the machine."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
from typing import Iterator, Sequence

from support import WAIT_S, build, end, require_command, require_root, wait_until

IMAGE = "spoc-test:1"
USER, USER_ID, FIRST_SUBORDINATE_ID = "spoc-test", 23000, 2300000
ARGV = Sequence[str]
ONE, TWO = (f"spoc-{os.getpid()}-{number}" for number in (1, 2))  # names that no other container here has
SHELL_LOOP = ("/bin/sh", "-c", "while :; do /bin/ls / >/dev/null; /bin/sleep 0.1; done")
# Of what no program in these containers makes, but runc and crun do before its first call.
OF_RUNTIMES = {"setns", "unshare", "mount", "pivot_root", "capset", "seccomp", "sethostname", "setgroups"}

# Podman and crun refuse a machine with cgroup v1 and v2 mounted beside each other: v2 is left out where v1 is. Podman
# keeps its locks in /dev/shm, one set for all that root starts, of the tests and others, and its runtimes keep theirs
# in /run: what resets one of them would take another's containers.
PRIVATE_MOUNTS = """
mount -t tmpfs tmpfs /dev/shm
chmod 1777 /dev/shm
mount -t tmpfs -o mode=755 tmpfs /run
! mountpoint -q /sys/fs/cgroup/unified || umount /sys/fs/cgroup/unified
for file in passwd group subuid subgid; do
    touch "$1/$file"
    cat "/etc/$file" "$1/$file" > "$1/$file.all" && mount --bind "$1/$file.all" "/etc/$file"
done
echo ready
exec sleep infinity
"""


class Engine:
    """One engine with the image of the tests: BusyBox in /bin, and /three and /call of tests/programs.

    `prefix` is the command line that its own arguments follow.
    """

    def __init__(self, name: str, prefix: ARGV, maker: int = 0) -> None:
        """`maker` is the uid of the user whose containers they are."""
        self.name = name
        self.prefix = tuple(prefix)
        self.maker = maker

    def called(self, name: str) -> str:
        """What spoc.py calls a container to which the engine gives this name."""
        return f"uid-{self.maker}-{name}" if self.maker else name

    def __call__(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the engine's command to its end."""
        result = subprocess.run([*self.prefix, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, timeout=WAIT_S)
        if check and result.returncode:
            raise AssertionError(f"{self.name} {arguments}: {result.stdout}{result.stderr}")
        return result

    def load_image(self, tree: pathlib.Path) -> None:
        """Take this tree as the image of the tests."""
        archive = tree.with_suffix(".tar")
        if not archive.exists():
            subprocess.run(["tar", "-C", str(tree), "-cf", str(archive), "."], check=True)
        self("import", str(archive), IMAGE)

    def run(self, name: str, *command: str, options: ARGV = (), check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in a container of this name to its end; nothing of the container stays."""
        return self("run", "--rm", "--network", "none", "--name", name, *options, IMAGE, *command, check=check)

    def start(self, name: str, *command: str, options: ARGV = ()) -> None:
        """Start a command in a container of this name."""
        self("run", "--detach", "--rm", "--network", "none", "--name", name, *options, IMAGE, *command)

    def execute(self, name: str, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run another command in a container that runs."""
        return self("exec", name, *command, check=check)

    def remove(self, name: str) -> None:
        """End a container, if it is there, and wait until it has gone."""
        self("kill", name, check=False)  # rm alone asks the program to end, and waits for ten seconds
        self("rm", "--force", name, check=False)

    def identifier(self, name: str) -> str:
        """The id of a container that runs: 64 hexadecimal digits with Podman and Docker."""
        return self("inspect", "--format", "{{.Id}}", name).stdout.strip()

    def pid(self, name: str) -> int:
        """The pid, as the machine sees it, of the first process of a container that runs."""
        return int(self("inspect", "--format", "{{.State.Pid}}", name).stdout)


class Containerd(Engine):
    """containerd by itself, driven by ctr, whose containers have no other name than their id."""

    def run(self, name: str, *command: str, options: ARGV = (), check: bool = True) -> subprocess.CompletedProcess[str]:
        return self("run", "--rm", *options, f"docker.io/library/{IMAGE}", name, *command, check=check)

    def start(self, name: str, *command: str, options: ARGV = ()) -> None:
        self("run", "--detach", *options, f"docker.io/library/{IMAGE}", name, *command)

    def execute(self, name: str, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self("task", "exec", "--exec-id", "other", name, *command, check=check)

    def remove(self, name: str) -> None:
        self("task", "kill", "--signal", "SIGKILL", name, check=False)
        wait_until(lambda: not self("task", "delete", name, check=False).stderr
                   or name not in self("task", "list").stdout)
        self("container", "delete", name, check=False)

    def identifier(self, name: str) -> str:
        return name

    def pid(self, name: str) -> int:
        return next(int(line.split()[1]) for line in self("task", "list").stdout.splitlines()
                    if line.split()[0] == name)


class Engines:
    """The engines that one test module uses; each is started when it is first asked for and ends with `close`."""

    def __init__(self) -> None:
        require_root()
        require_command("podman", "runc", "crun", "busybox")
        self._ends = contextlib.ExitStack()
        self.folder = pathlib.Path(self._ends.enter_context(temporary_folder()))
        self.tree = self.folder / "image"
        (self.tree / "bin").mkdir(parents=True)
        shutil.copy(shutil.which("busybox") or "", self.tree / "bin" / "busybox")
        for applet in ("sh", "true", "sleep", "ls", "mkdir", "mount", "cat", "unshare", "id"):
            (self.tree / "bin" / applet).symlink_to("busybox")
        shutil.copy(build("three.c", "-static", "-nostdlib"), self.tree / "three")
        shutil.copy(build("call.c", "-static"), self.tree / "call")
        for name, line in (("passwd", f"{USER}:x:{USER_ID}:{USER_ID}::{self.folder}/home:/bin/sh"),
                           ("group", f"{USER}:x:{USER_ID}:"),
                           ("subuid", f"{USER}:{FIRST_SUBORDINATE_ID}:65536"),
                           ("subgid", f"{USER}:{FIRST_SUBORDINATE_ID}:65536")):
            (self.folder / name).write_text(line + "\n")
        holder = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sh", "-ec", PRIVATE_MOUNTS, "sh",
                                   str(self.folder)], stdout=subprocess.PIPE, text=True, start_new_session=True)
        self._ends.callback(end, holder)
        if not holder.stdout or holder.stdout.readline() != "ready\n":
            raise AssertionError("the mounts of the container engines failed")
        self.inside = ("nsenter", "--mount", f"--target={holder.pid}", "--")

    def close(self) -> None:
        """End every engine with its containers, and remove their folders."""
        self._ends.close()

    def podman(self, runtime: str, *, rootless: bool = False) -> Engine:
        """Podman with crun or runc."""
        folder = self.folder / f"podman-{runtime}{'-rootless' if rootless else ''}"
        folder.mkdir()
        settings = folder / "containers.conf"
        settings.write_text('[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n'
                            '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "none"\n')
        variables = [f"CONTAINERS_CONF={settings}", f"HOME={folder}", f"TMPDIR={folder}"]
        become: ARGV = ()
        if rootless:
            require_command("newuidmap")
            variables.append(f"XDG_RUNTIME_DIR={folder}/run")
            (folder / "run").mkdir(mode=0o700)
            for path in (folder, folder / "run"):
                shutil.chown(path, USER_ID, USER_ID)
            become = ("setpriv", f"--reuid={USER_ID}", f"--regid={USER_ID}", "--clear-groups")
        engine = Engine(f"{'rootless ' if rootless else ''}podman with {runtime}", [
            *self.inside, *become, "env", *variables, "podman", "--root", str(folder / "root"),
            "--runroot", str(folder / "state"), "--storage-driver", "vfs", "--runtime", runtime],
            USER_ID if rootless else 0)
        self._ends.callback(engine, "system", "reset", "--force", check=False)
        self._ends.callback(engine, "rm", "--all", "--force", "--time", "0", check=False)
        engine.load_image(self.tree)
        return engine

    @contextlib.contextmanager
    def _daemon(self, *command: str) -> Iterator[subprocess.Popen[bytes]]:
        """A daemon in those mounts, until the end."""
        with open(self.folder / f"{command[0]}.log", "wb") as log, subprocess.Popen(
                [*self.inside, *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True) as process:
            try:
                yield process
            finally:
                process.send_signal(signal.SIGTERM)  # it ends its containers
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(WAIT_S)
                end(process)

    def docker_and_containerd(self, **settings: object) -> tuple[Engine, Engine]:
        """Docker with these settings of its daemon, and the containerd that it starts its containers with."""
        require_command("dockerd", "containerd", "docker", "ctr")
        folder = self.folder / "docker"
        folder.mkdir()
        address = f"{folder}/containerd.sock"
        (folder / "containerd.toml").write_text(
            f'version = 2\nroot = "{folder}/containerd"\nstate = "{folder}/containerd-state"\n'
            f'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\n  address = "{address}"\n')
        self.docker_socket = folder / "docker.sock"
        (folder / "daemon.json").write_text(json.dumps({
            "data-root": f"{folder}/data", "exec-root": f"{folder}/exec", "pidfile": f"{folder}/pid",
            "hosts": [f"unix://{self.docker_socket}"], "containerd": address, "iptables": False, "bridge": "none",
            "exec-opts": ["native.cgroupdriver=cgroupfs"], "storage-driver": "vfs",
            "default-ulimits": {"nofile": {"Name": "nofile", "Soft": 1024, "Hard": 1024}}, **settings}))
        self._ends.enter_context(self._daemon("containerd", "--config", f"{folder}/containerd.toml"))
        containerd = Containerd("containerd", [*self.inside, "ctr", "--address", address])
        self.wait_for(containerd)
        self._ends.enter_context(self._daemon("dockerd", "--config-file", f"{folder}/daemon.json"))
        docker = Engine("docker", [*self.inside, "docker", "--host", f"unix://{self.docker_socket}"])
        self.wait_for(docker)
        docker.load_image(self.tree)
        docker("save", "--output", f"{folder}/image.tar", IMAGE)
        containerd("images", "import", f"{folder}/image.tar")
        return docker, containerd

    def wait_for(self, engine: Engine) -> None:
        """Wait until its daemon answers."""
        if not wait_until(lambda: engine("version", check=False).returncode == 0):
            logs = "".join(path.read_text("utf-8", "replace") for path in self.folder.glob("*.log"))
            raise AssertionError(f"{engine.name} does not answer:\n{logs[-4000:]}")


@contextlib.contextmanager
def temporary_folder() -> Iterator[str]:
    """A folder that other users may enter; what engines left mounted in it is unmounted before it goes."""
    folder = tempfile.mkdtemp(prefix="spoc-")  # Podman takes no runroot of more than 50 characters
    pathlib.Path(folder).chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
