# SPDX-License-Identifier: MIT
"""The cases that several test modules build upon: programs under strace, in containers, recorded, run."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
from typing import AbstractSet, Any, Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Set, Tuple

import jsonschema
import yaml

import spoc as module
from support import (CLOCK, DATA, NOTIFY, OBJECT, SPOC, WAIT_S, Case, build, end, has_watched, in_mounts, require,
                     require_command, require_root, seen_syscalls, spoc, wait_until)

# enum bpf_cmd, linux/bpf.h
ANY_COMMAND, BPF_MAP_CREATE, BPF_PROG_LOAD, BPF_RAW_TRACEPOINT_OPEN = -1, 0, 5, 17
PR_GET_SECCOMP, PR_SET_SECCOMP, SECCOMP_GET_NOTIF_SIZES = 21, 22, 3  # linux/prctl.h, linux/seccomp.h
CALL = re.compile(r"(\d+) +(?:(\w+)\(|<\.\.\. (\w+) resumed>)")
# Signals, ends, a change of the calling convention, and calls of tasks that were killed before strace could look: it
# then shows question marks, or left-over registers and an error in place of the number.
OTHER = re.compile(r"\d+ +(?:---|\+\+\+|\[ Process PID=|\?+\(|<\.\.\. \?+ resumed>"
                   r"|syscall_0xf{12}[0-9a-f]{4}\(.*<unfinished \.\.\.>$)")
# Recorded outside, it has to work inside as well; its exit code tells which part does not.
SCRIPT = """
test "$(uname)" = Linux || exit 10
ls / | grep -q '^etc$' || exit 11
echo text > /tmp/file && test "$(tr a-z A-Z < /tmp/file)" = TEXT || exit 12
mkdir /tmp/folder && mv /tmp/file /tmp/folder/ && rm -r /tmp/folder || exit 13
"""
APPLETS = ("sh", "uname", "ls", "grep", "tr", "mkdir", "mv", "rm", "test", "echo", "true")
RUNC = ("runc",)
# Without control groups, whose mixed layout (v1 and v2) crun refuses: it is shown one of v2 alone.
CRUN = ("unshare", "--mount", "--propagation", "private", "sh", "-ec",
        'mount -t cgroup2 none /sys/fs/cgroup; exec "$@"', "sh", "crun", "--cgroup-manager=disabled")
LOG_LINE = re.compile(CLOCK + " .*")
# Says which signals it got, and ends with 7 behind the last one: COUNT SIGNAL... One too many it has got by then, as
# what sends it, which has started it, passes it on before the one that comes last in order.
HANDLER = r"""
import os, signal, sys, time
left = int(sys.argv[1])
last = []
signal.signal(signal.SIGRTMAX, lambda number, frame: last.append(number))
def handle(number, frame):
    global left
    left -= 1
    os.write(1, b"got %s\n" % signal.Signals(number).name.encode())
for name in sys.argv[2:]:
    signal.signal(getattr(signal, name), handle)
os.write(1, b"ready\n")
while left > 0:
    time.sleep(0.05)
os.kill(os.getppid(), signal.SIGRTMAX)
while not last:
    time.sleep(0.01)
sys.exit(7)
"""
PYTHON = (sys.executable, "-I", "-S", "-c")
# Calls that take no arguments, so that a filter sees six of them and the kernel cares for none: name -> number.
FREE = {"getppid": 110, "getuid": 102, "getgid": 104, "geteuid": 107, "getegid": 108, "gettid": 186, "getpgrp": 111,
        "sched_yield": 24}
# The same for i386; those whose names it has for calls of the same kind.
FREE_32 = {"getppid": 64, "getuid": 24, "getgid": 47, "geteuid": 49, "getegid": 50, "gettid": 224, "getpgrp": 65,
           "sched_yield": 158}
# All that tests/programs/call.c may call of its own accord, on either architecture. None of FREE.
OWN_CALLS = """
    access arch_prctl brk clone clone3 execve exit exit_group fstat fstat64 futex futex_time64 getpid getrandom
    kill madvise mmap mmap2 mprotect munmap newfstatat prlimit64 ptrace read readlink readlinkat rseq rt_sigaction
    rt_sigprocmask rt_sigreturn set_robust_list set_thread_area set_tid_address sigreturn statx tgkill ugetrlimit uname
    wait4 waitpid write
""".split()


def calls_after_exec(log: str, pid: int = 0, spared: AbstractSet[int] = frozenset()) -> Set[str]:
    """The names in an `strace -f -o` log that come after the command's first successful execve.

    The command is process `pid`; the process that strace started and that has started `pid` is left out, and those
    that are `spared`. Without `pid` it is the process that strace started.
    """
    names: Set[str] = set()
    starter, running = 0, False
    for line in log.splitlines():
        if OTHER.match(line):
            continue
        match = CALL.match(line)
        assert match, f"not understood: {line}"
        tid, begun, resumed = int(match[1]), match[2], match[3]
        if not starter and tid != pid and pid:
            starter = tid
        if running:
            if begun and tid != starter and tid not in spared:
                names.add(begun)
        elif tid == (pid or tid):
            running = (begun or resumed) == "execve" and line.endswith(" = 0")
    assert running, "the command's execve is not in the log"
    return names


def without(*refusals: Tuple[int, str, Optional[int]]) -> Tuple[str, ...]:
    """Run where the kernel answers this errno to that syscall, if it has this first argument; errno 0 is SIGSYS."""
    words = [f"{number}:{module.syscall_number(name)}"
             + (f":{argument}" if argument is not None else "") for number, name, argument in refusals]
    return (build("without.c"), *words, "--", "/usr/bin/env")


def kernel_ids(kind: str, pid: str = "self") -> Set[int]:
    """The ids of the BPF objects (kind: prog, map, link) that a process holds open."""
    ids = set()
    for path in pathlib.Path(f"/proc/{pid}/fdinfo").iterdir():
        try:
            text = path.read_text()
        except FileNotFoundError:
            continue
        ids |= {int(number) for number in re.findall(rf"^{kind}_id:\s*(\d+)$", text, re.MULTILINE)}
    return ids


def yaml_documents(text: str) -> List[Any]:
    return [document for document in yaml.safe_load_all(text) if document is not None]


def append_names(document: Any, names: Iterable[str], architectures: Sequence[str]) -> Dict[str, Any]:
    """What becomes of a profile's document, or of that of a profile which was read, as these names are appended."""
    host = module.Host("", "6.1", ())
    source = document
    if isinstance(document, dict):
        source = module.parse_profile(json.dumps(document), "file", host)
    new, _, _ = module.append_profile(source, module.Profile("SCMP_ACT_ERRNO", tuple(architectures), (
        module.Rule("SCMP_ACT_ALLOW", tuple(names)),)), host)
    return dict(new)


def strict(schema: Dict[str, Any]) -> Dict[str, Any]:
    """The schema, refusing fields that it does not list, as the API server does with --validate=strict."""
    schema = dict(schema)
    if "properties" in schema:
        schema["properties"] = {name: strict(part) for name, part in schema["properties"].items()}
        schema.setdefault("additionalProperties", False)
    if "items" in schema:
        schema["items"] = strict(schema["items"])
    return schema


def crd_schemas() -> Dict[str, Dict[str, Any]]:
    definition = yaml.safe_load((DATA / "seccompprofile-crd.yaml").read_text(encoding="utf-8"))
    return {version["name"]: strict(version["schema"]["openAPIV3Schema"])
            for version in definition["spec"]["versions"] if version["served"]}


def has_taken_signals(pid: int) -> bool:
    """Has a process dealt with all that was sent to it, and does it sleep?"""
    return bool(re.search(r"^State:\tS.*^ShdPnd:\t0+$", pathlib.Path(f"/proc/{pid}/status").read_text(),
                          re.MULTILINE | re.DOTALL))


def call_line(how: str, number: int, arguments: Sequence[int] = ()) -> str:
    return " ".join([how, str(number), *map(str, (*arguments, *[0] * 6)[:6])])


class CompiledCase(Case):
    """A case that asks a C compiler."""

    def run_c(self, source: str, *flags: str) -> str:
        """What a C program prints."""
        require_command("gcc")
        path = self.folder / "program.c"
        path.write_text(source)
        program = str(self.folder / "program")
        compiled = subprocess.run(["gcc", "-D_GNU_SOURCE", *flags, "-o", program, str(path)], stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True)
        self.assertEqual(compiled.returncode, 0, compiled.stdout)
        return subprocess.run([program], stdout=subprocess.PIPE, text=True, check=True).stdout

    def c_values(self, includes: str, expressions: List[str], *flags: str) -> Dict[str, int]:
        """The values of C expressions."""
        lines = "".join(f'    printf("%lld\\n", (long long)({text}));\n' for text in expressions)
        printed = self.run_c(f"{includes}\n#include <stdio.h>\nint main(void)\n{{\n{lines}    return 0;\n}}\n", *flags)
        return dict(zip(expressions, map(int, printed.split())))


class CopyCase(Case):
    """A case with a copy of the program: what an ordinary user may read, and a test may spoil."""

    FORM = SPOC

    def setUp(self) -> None:
        super().setUp()
        require_root()
        require_command("setpriv", "unshare")
        self.program = self.folder / "spoc.py"
        self.object = self.folder / "recorder.bpf.o"
        shutil.copy(self.FORM, self.program)
        shutil.copy(OBJECT, self.object)
        self.program.chmod(0o644)
        self.object.chmod(0o644)
        self.open = self.folder / "open"
        self.open.mkdir()
        self.open.chmod(0o777)
        self.profile = self.open / "profile.json"
        self.marker = self.open / "started"

    def attempt(self, *wrapper: str, python: Sequence[str] = (sys.executable,), options: Sequence[str] = ("-n",),
                command: Optional[Sequence[str]] = None, environment: Optional[Dict[str, str]] = None,
                backend: str = "bpf") -> "subprocess.CompletedProcess[str]":
        """Record, quietly, a command that leaves a mark, under what `wrapper` sets up."""
        command = command or ("touch", str(self.marker))
        return subprocess.run([*wrapper, *python, str(self.program), "record", "-q", "-t", "raw-seccomp",
                               "--backend", backend, "-o", str(self.profile), *options, "--", *command],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=120, env={**os.environ, **(environment or {})})

    def names(self) -> List[str]:
        return [name for rule in json.loads(self.profile.read_text())["syscalls"] for name in rule["names"]]

    def assert_works(self, result: "subprocess.CompletedProcess[str]") -> None:
        """The command ran, and what it did is in the profile."""
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""))
        self.assertTrue(self.marker.exists())
        self.assertIn("utimensat", self.names())
        self.marker.unlink()
        self.profile.unlink()

    def assert_refuses(self, result: "subprocess.CompletedProcess[str]", operation: str, subject: str, reason: str,
                       remedy: str) -> None:
        """One line with these four parts, exit code 125; the command was not started, and nothing was written.

        Operation and subject are exact, if given; reason and remedy are regular expressions.
        """
        self.assertRegex(result.stderr, rf"\A{CLOCK} Error: {re.escape(operation) or '[^:]+'}: "
                                        rf"{re.escape(subject) or '[^:]+'}: {reason}; [^\n]*{remedy}[^\n]*\n\Z")
        self.assertEqual((result.returncode, result.stdout), (125, ""))
        self.assert_nothing_done()

    def assert_nothing_done(self) -> None:
        left = sorted(path.name for path in self.open.iterdir())
        for name in left:
            (self.open / name).unlink()
        self.assertEqual(left, [])

    def hiding(self, folder: pathlib.Path, *names: str) -> Tuple[str, ...]:
        """Run where these files of a folder do not exist."""
        script = f"""
            mount -t tmpfs tmpfs {self.open}
            mkdir {self.open}/upper {self.open}/work
            for name in {' '.join(names)}; do mknod {self.open}/upper/$name c 0 0; done
            mount -t overlay overlay -o lowerdir={folder},upperdir={self.open}/upper,workdir={self.open}/work {folder}
            umount -l {self.open}"""
        probe = subprocess.run(in_mounts(script, "true"), stderr=subprocess.PIPE, text=True)
        require(probe.returncode == 0, f"overlay file systems ({probe.stderr.strip()})")
        return in_mounts(script)


class LibraryCase(CopyCase):
    MISSING = r"[^\n;]*cannot open shared object file: No such file or directory"

    def stub(self, name: str, source: str = "") -> Dict[str, str]:
        """An environment in which a library holds no more than this C source."""
        require_command("gcc")
        folder = self.folder / "stubs"
        folder.mkdir(exist_ok=True)
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(folder / name), "-x", "c", "-"], input=source, text=True,
                       check=True)
        return {"LD_LIBRARY_PATH": str(folder)}


class TracedCase(Case):
    """A case that knows, from strace, what a command calls."""

    backend = "bpf"

    def setUp(self) -> None:
        super().setUp()
        require_root()
        require_command("strace")

    def record(self, *command: str, options: Tuple[str, ...] = (), code: int = 0, **run: Any) -> Set[str]:
        return super().record(*command, options=("--backend", self.backend, *options), code=code, **run)

    def strace(self, *command: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(["strace", "-f", "-qq", "-o", str(self.folder / "strace.log"), "--", *command],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=120)

    def traced(self, *command: str) -> Set[str]:
        """The names of the syscalls that a command makes, which must end with exit code 0."""
        result = self.strace(*command)
        self.assertEqual(result.returncode, 0, result.stderr)
        return calls_after_exec((self.folder / "strace.log").read_text("utf-8"))

    def recorded_and_traced(self, *command: str) -> Tuple[Set[str], Set[str]]:
        """The names that `record` and strace find in one and the same run of a command."""
        profile = self.folder / "both.json"
        result = self.strace(sys.executable, str(SPOC), "record", "--backend", self.backend, "-n", "-t", "raw-seccomp",
                             "-o", str(profile), "--", *command)
        self.assertEqual(result.returncode, 0, result.stderr)
        started = re.search(r"Running command with PID: (\d+)$", result.stderr, re.MULTILINE)
        assert started, result.stderr
        names = seen_syscalls(json.loads(profile.read_text()), result.stderr)
        # A thread that has ended counts as running until strace has heard of it: then record leaves a process behind.
        own = {int(pid) for pid in re.findall(r"Process (\d+) answers their calls", result.stderr)}
        return names, calls_after_exec((self.folder / "strace.log").read_text("utf-8"), int(started[1]), own)

    def record_counted(self, *command: str) -> Tuple[Set[str], int]:
        """What `record` finds, and how many tasks it says that it has followed."""
        names = self.record(*command)
        counts = re.findall(r"Found (\d+) tasks? in bpf map$", self.record_log, re.MULTILINE)
        self.assertEqual(len(counts), 1)
        return names, int(counts[0])

    def architectures(self) -> Set[str]:
        """What the profile of the last Case.record lists."""
        return set(json.loads((self.folder / "recorded.json").read_text())["architectures"])


class ContainerCase(Case):
    """Busybox in a root folder: recorded there, and started there by a container runtime."""

    def setUp(self) -> None:
        super().setUp()
        require_root()
        require_command("chroot", "unshare")
        busybox = shutil.which("busybox")
        require(busybox, "the command busybox (busybox-static)")
        self.root = self.folder / "rootfs"
        for name in ("bin", "dev", "etc", "proc", "tmp"):
            (self.root / name).mkdir(parents=True)
        shutil.copy(str(busybox), self.root / "bin" / "busybox")
        for applet in APPLETS:
            (self.root / "bin" / applet).symlink_to("busybox")
        alone = subprocess.run(["chroot", str(self.root), "/bin/true"], stderr=subprocess.DEVNULL)
        require(alone.returncode == 0, "a busybox that needs no libraries (busybox-static)")

    def recorded_document(self, *options: str) -> Dict[str, Any]:
        """The raw JSON for the script."""
        profile = self.folder / "profile.json"
        result = spoc("record", "-t", "raw-seccomp", "-o", str(profile), *options, "--", "chroot", str(self.root),
                      "/bin/sh", "-c", SCRIPT)
        self.assertEqual(result.returncode, 0, result.stderr)
        document: Dict[str, Any] = json.loads(profile.read_text())
        return document

    @staticmethod
    def without(document: Dict[str, Any], name: str) -> Dict[str, Any]:
        """The same profile without a name that is in it."""
        rules = [{**rule, "names": [other for other in rule["names"] if other != name]}
                 for rule in document["syscalls"]]
        assert rules != document["syscalls"]
        return {**document, "syscalls": rules}

    def run_container(self, runtime: Sequence[str], document: Dict[str, Any],
                      no_new_privileges: bool) -> "subprocess.CompletedProcess[str]":
        """Run the script in a container under this profile."""
        configuration = {
            "ociVersion": "1.0.2",
            "process": {"terminal": False, "user": {"uid": 0, "gid": 0}, "args": ["/bin/sh", "-c", SCRIPT],
                        "env": ["PATH=/bin"], "cwd": "/", "noNewPrivileges": no_new_privileges},
            "root": {"path": "rootfs", "readonly": False},
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"},
                       {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]}],
            "linux": {"namespaces": [{"type": name} for name in ("pid", "mount", "ipc", "uts", "network")],
                      "seccomp": document},
        }
        (self.folder / "config.json").write_text(json.dumps(configuration))
        command = [*runtime, "--root", str(self.folder / "state")]
        name = self.folder.name
        try:
            return subprocess.run([*command, "run", "--bundle", str(self.folder), name], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
        finally:
            subprocess.run([*command, "delete", "--force", name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class SchemaCase(Case):
    """A case with the CRD of the Security Profiles Operator."""

    def assert_valid(self, document: Dict[str, Any]) -> None:
        schemas = crd_schemas()
        self.assertEqual(set(schemas), {"v1", "v1beta1"})
        for schema in schemas.values():
            jsonschema.validate(document, schema)


class ChildCase(Case):
    """Records commands and compares them with what they do on their own."""

    def setUp(self) -> None:
        super().setUp()
        require_root()
        self.profile = self.folder / "profile.yaml"

    def recorded(self, *command: str, options: Sequence[str] = ()) -> List[str]:
        return [sys.executable, str(SPOC), "record", "-n", "-o", str(self.profile), *options, "--", *command]

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
        self.wait_for(lambda: has_taken_signals(pid), "the first to be taken")
        time.sleep(2 * module.Supervisor.SAME_REQUEST_S)

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


class NotifyChildCase(ChildCase):
    """What is said there of the command holds without BPF as well."""

    def recorded(self, *command: str, options: Sequence[str] = ()) -> List[str]:
        return super().recorded(*command, options=(*NOTIFY, *options))


class RunCase(Case):
    """Runs programs under profiles."""

    def setUp(self) -> None:
        super().setUp()
        require_root()
        self.profile = self.folder / "profile.json"

    def write(self, action: str = "SCMP_ACT_ALLOW", rules: Sequence[Dict[str, Any]] = (), **keys: Any) -> None:
        """The profile: this default action and these rules, and all else as given."""
        self.profile.write_text(json.dumps({"defaultAction": action, "syscalls": list(rules), **keys}))

    def block(self, *names: str, action: str = "SCMP_ACT_ERRNO", architectures: Sequence[str] = (),
              flags: Sequence[str] = (), **keys: Any) -> None:
        """A profile that allows all but these."""
        self.write(rules=[{"names": list(names), "action": action, **keys}], architectures=list(architectures),
                   flags=list(flags))

    def arguments(self, *command: str, options: Sequence[str] = ()) -> List[str]:
        return [sys.executable, str(SPOC), "run", "-p", str(self.profile), *options, "--", *command]

    def run_it(self, *command: str, options: Sequence[str] = (), code: int = 0,
               **run: Any) -> "subprocess.CompletedProcess[str]":
        """Run the command under the profile; it has to end with this exit code."""
        result = spoc("run", "-p", str(self.profile), *options, "--", *command, **run)
        self.assertEqual(result.returncode, code, result.stdout + result.stderr)
        self.assertNotIn("Traceback", result.stderr)
        return result

    def call(self, *lines: str, enricher: str = "none", program: str = "", code: int = 0) -> List[str]:
        """What these calls of tests/programs/call.c get."""
        with open(self.folder / "calls", "w+") as calls:
            calls.write("".join(line + "\n" for line in lines))
            calls.flush()
            calls.seek(0)
            result = self.run_it(program or build("call.c", "-static"), options=("-q", "--enricher", enricher),
                                 code=code, stdin=calls)
        answers = result.stdout.splitlines()
        if not code:
            self.assertEqual(len(answers), len(lines), result.stderr)
        return answers

    def denials(self, stderr: str) -> List[str]:
        """What follows the time on each line about a call."""
        return re.findall(r"^[0-9:.]{15} Seccomp: (.*)$", stderr, re.MULTILINE)

    def summary(self, stderr: str) -> List[str]:
        return re.findall(r"^[0-9:.]{15} Seccomp summary: (.*)$", stderr, re.MULTILINE)


# A process that makes two calls all the time.
LOOP = "import os, time\nwhile True: os.getppid(); time.sleep(0.02)"
LOOP_CALLS = {"getppid", "clock_nanosleep"}


def cgroup_mount(version: int) -> pathlib.Path:
    """Where a hierarchy of control groups of that version is mounted in which a test may make a group."""
    kind = {1: "cgroup", 2: "cgroup2"}[version]
    for line in pathlib.Path("/proc/mounts").read_text().splitlines():
        _, path, found, options, *_ = line.split()
        if found == kind and (version == 2 or "freezer" in options.split(",")) and os.access(path, os.W_OK):
            return pathlib.Path(path)
    require(False, f"control groups of version {version}")
    raise AssertionError


class AttachCase(Case):
    """Attaches spoc.py to what runs."""

    def setUp(self) -> None:
        super().setUp()
        require_root()

    def loop(self, text: str = LOOP) -> int:
        """The pid of a process that runs this Python text, and has begun with it."""
        ready = self.folder / f"ready-{time.monotonic_ns()}"
        process = self.launch(sys.executable, "-c", f"open({str(ready)!r}, 'w').close()\n{text}")
        self.assertTrue(wait_until(ready.exists))
        return process.pid

    def cgroup(self, version: int) -> pathlib.Path:
        """A new control group, which goes away with all that is in it."""
        path = cgroup_mount(version) / f"{self.folder.name}-{time.monotonic_ns()}"
        path.mkdir()
        self.addCleanup(self.remove_cgroup, path)
        return path

    @staticmethod
    def remove_cgroup(path: pathlib.Path) -> None:
        def is_removed() -> bool:
            with contextlib.suppress(OSError):
                for pid in (path / "cgroup.procs").read_text().split():
                    os.kill(int(pid), signal.SIGKILL)
            with contextlib.suppress(OSError):
                path.rmdir()
            return not path.exists()
        assert wait_until(is_removed)

    def move(self, pid: int, group: pathlib.Path) -> None:
        (group / "cgroup.procs").write_text(str(pid))

    @contextlib.contextmanager
    def attached(self, *arguments: str, ready: str = "Processing events",
                 wrapper: Sequence[str] = ()) -> "Iterator[subprocess.Popen[Any]]":
        """spoc.py with these arguments, from its line that says so on; self.log is what it says in the end.

        It has to be ended within the block, or ends by itself.
        """
        log = self.folder / "log"
        with open(log, "w") as stderr:
            process = self.launch(*wrapper, sys.executable, str(SPOC), *arguments, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=stderr, text=True)
        self.assertTrue(wait_until(lambda: ready in log.read_text() or process.poll() is not None, WAIT_S))
        self.assertIn(ready, log.read_text())
        try:
            yield process
            self.output = process.communicate(timeout=2 * WAIT_S)[0]  # pushing alone may take a minute
        finally:
            self.log = log.read_text()
            end(process)

    def names_of(self, *arguments: str, meanwhile: Optional[Callable[[], Any]] = None,
                 signum: Optional[int] = signal.SIGINT, code: int = 0) -> Set[str]:
        """The exact set of names of a recording of what runs, which a signal ends."""
        path = self.folder / "attached.json"
        with self.attached("record", "-n", "-t", "raw-seccomp", "-o", str(path), *arguments) as process:
            if meanwhile:
                meanwhile()
            if signum:
                process.send_signal(signum)
        self.assertEqual(process.returncode, code, self.log)
        got = re.findall(r"(?m)^\S+ Got syscalls: (.*)$", self.log)
        return set(got[0].split(", ")) if got else set()


# It runs as root, but with a control group of its own, and a /run, so that it changes nothing of this machine's. Into
# that /run it mounts credentials, from a mount namespace of their own.
SYSTEMD = """
mount -t tmpfs tmpfs /run
mount --make-shared /run
mkdir -p /run/systemd/system
mount -t cgroup2 none /sys/fs/cgroup
mkdir "/sys/fs/cgroup/$1"
echo $$ > "/sys/fs/cgroup/$1/cgroup.procs"
export XDG_RUNTIME_DIR=/run XDG_CONFIG_HOME="$2" XDG_STATE_HOME="$2" HOME="$2"
exec /lib/systemd/systemd --user "--unit=$3"
"""


class UnitCase(AttachCase):
    """Has a systemd of its own start units."""

    def systemd(self, name: str, unit: str) -> "subprocess.Popen[Any]":
        """A systemd that runs the unit of this name and text, and what it needs."""
        require(os.path.exists("/lib/systemd/systemd"), "systemd")
        group = pathlib.Path(self.folder.name)
        units = self.folder / "systemd" / "user"
        units.mkdir(parents=True)
        (units / name).write_text(unit)
        self.addCleanup(self.remove_groups, group.name)
        return self.launch("unshare", "--mount", "--propagation", "private", "sh", "-ec", SYSTEMD, "sh", group.name,
                           str(self.folder), name)

    @staticmethod
    def remove_groups(name: str) -> None:
        script = 'mount -t cgroup2 none /sys/fs/cgroup; find "/sys/fs/cgroup/$0" -depth -type d -exec rmdir {} +'
        assert wait_until(lambda: subprocess.run(["unshare", "--mount", "--propagation", "private", "sh", "-ec", script,
                                                  name], stderr=subprocess.DEVNULL).returncode == 0)


class WatchCase(AttachCase):
    """Watches programs under a filter that `run` loads and does not look at any more."""

    def setUp(self) -> None:
        super().setUp()
        # A name that no other task of this machine has, as its tasks are watched, too.
        self.comm = f"watched-{os.getpid() % 10000}-{time.monotonic_ns() % 100}"
        self.profile = self.folder / "profile.json"

    def filtered(self, *command: str, action: str = "SCMP_ACT_ERRNO", name: str = "uname") -> List[str]:
        """A command line that runs this under a filter that answers so to that call, without watching it."""
        self.profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": [name], "action": action}]}))
        return [sys.executable, str(SPOC), "run", "-q", "-p", str(self.profile), "--enricher", "none", "--", *command]

    def program(self, source: str, *flags: str) -> str:
        """A built program under a name of its own."""
        path = self.folder / self.comm
        if not path.exists():
            shutil.copy(build(source, *flags), path)
        return str(path)

    def filtered_loop(self, text: str = "os.uname()") -> int:
        """The pid of a process under such a filter that does this all the time; the filter refuses uname(2)."""
        ready = self.folder / "looping"
        script = (f"import os, time\nopen('/proc/self/comm', 'w').write({self.comm!r})\n"
                  f"open({str(ready)!r}, 'w').close()\nwhile True:\n    try: {text}\n"
                  "    except OSError: pass\n    time.sleep(0.02)")
        process = self.launch(*self.filtered(sys.executable, "-c", script), stderr=subprocess.DEVNULL)
        self.assertTrue(wait_until(ready.exists))
        return next(pid for pid in module.ProcessTree([process.pid]).tasks() if module.process_name(pid) == self.comm)

    def watch(self, *arguments: str, meanwhile: Any = None, code: int = 0) -> List[str]:
        """What is said of calls, by tasks of the name of this test; self.log has all."""
        with self.attached("watch", *arguments, ready="Calls that a filter lets pass and logs") as process:
            if meanwhile:
                meanwhile()
            process.send_signal(signal.SIGINT)
        if "Watching every task of this machine" in self.log and not code:
            self.assertTrue(has_watched(process.returncode, self.log), self.log)
        else:
            self.assertEqual(process.returncode, code, self.log)
        self.assertNotIn("Traceback", self.log)
        return self.named("Seccomp")

    def named(self, what: str) -> List[str]:
        return [line for line in re.findall(rf"(?m)^\S+ {what}: (.*)$", self.log) if self.comm in line]

    def wait_named(self) -> None:
        self.assertTrue(wait_until(lambda: bool(re.search(
            rf"(?m)^\S+ Seccomp: .*{self.comm}", (self.folder / "log").read_text()))))
