# SPDX-License-Identifier: MIT
"""What every command prints, writes and answers, as it was recorded in tests/data/golden: a change of structure changes
nothing there, a change of words only these words.

SPOC_GOLDEN=write python3 tests/run.py test_golden    records it anew (make golden)
SPOC_GOLDEN=FOLDER python3 tests/run.py test_golden   writes it there, long outputs whole, to compare two commits

A case is a command line for main(), in this process, with the files and the standard input that it is given. It runs
on an x86-64 machine with Linux 6.1 that is made up, so that most of it is the same everywhere.
"""

import ast
import contextlib
import ctypes
import difflib
import errno
import fcntl
import hashlib
import itertools
import json
import os
import pathlib
import random
import re
import shlex
import shutil
import signal
import struct
import sys
import tempfile
import termios
import threading
import types
import unittest
import unittest.mock
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

import spoc
import support
from elves import elf_file

TIER = "kernel"
GOLDEN = support.DATA / "golden"
MODE = os.environ.get("SPOC_GOLDEN", "")

# The one place for what depends on libseccomp: which syscalls it knows, and what it compiles, where it is native.
# Cases with this mark run under just these versions and this machine, and are skipped elsewhere.
LIBSECCOMPS, NATIVE = ((2, 5, 4), (2, 6, 0)), "x86_64"
COMPILED_WITH = f"libseccomp {' or '.join('.'.join(map(str, version)) for version in LIBSECCOMPS)} on {NATIVE}"
# What not all of these know (seccomp-syscalls.h, seccomp.h), map_shadow_stack on x32 alone: none is to know it here.
NEWER_SYSCALLS = """atomic_barrier atomic_cmpxchg_32 getpagesize getxattrat listmount listxattrat lsm_get_self_attr
                    lsm_list_modules lsm_set_self_attr map_shadow_stack mseal removexattrat riscv_hwprobe setxattrat
                    statmount uretprobe""".split()
NEWER_ARCHITECTURES = "loongarch64 m68k sh sheb".split()

ALLOW, ERRNO, LOG, KILL, KILL_PROCESS, TRAP, TRACE, NOTIFY = (f"SCMP_ACT_{name}" for name in (
    "ALLOW ERRNO LOG KILL KILL_PROCESS TRAP TRACE NOTIFY".split()))
API = "security-profiles-operator.x-k8s.io/v1beta1"
MAX_CHARACTERS = 1000  # of an output; of a longer one its first lines are kept, and a hash
FIRST_LINES, FIRST_COLUMNS = 9, 150
SHOWN_CASES = 5

# --- what this needs of spoc.py beside main(): all names of its inside stand here ---------------------------


class Denied(NamedTuple):
    """A call that a filter stopped, in plain values."""

    architecture: str  # "" if it is none of this machine
    number: int
    verdicts: Tuple[Tuple[str, int], ...]
    comm: str = "prog"
    pid: int = 100
    more: Dict[str, Any] = {}


class Made(NamedTuple):
    """A call that was recorded, in plain values."""

    architecture: str
    number: int
    name: Optional[str]
    first_ns: int
    times: int = 1
    comm: str = "prog"
    values: Tuple[int, ...] = ()


class Recorded(NamedTuple):
    calls: Tuple[Made, ...]
    losses: Tuple[str, ...] = ()
    status: int = 0  # as waitpid(2) gives it


class Adapter:
    """spoc.py, or a changed copy of it, with a machine that is the same everywhere, and without a kernel."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self.main: Callable[[Sequence[str]], int] = module.main

    def libseccomp_version(self) -> Tuple[int, ...]:
        return tuple(self.module.libseccomp_version())

    @contextlib.contextmanager
    def fixed(self, folder: str) -> Iterator[None]:
        """This machine for all cases. What is in /tmp otherwise is in a folder."""
        module, patch = self.module, unittest.mock.patch.object
        uname = os.uname_result(("Linux", "host", "6.1.0-18-amd64", "#1 SMP", "x86_64"))
        with patch(module, "kernel_uname", lambda: uname), patch(module, "effective_capabilities",
                                                                 lambda: 0x3FFFFFFFF), \
                patch(module, "is_filtered", lambda: False), patch(module, "running_containers", lambda: []), \
                patch(module, "control_group_roots", lambda: iter(())), \
                patch(os, "fsync", lambda descriptor: None), \
                unittest.mock.patch.dict(os.environ, {"TERM": "xterm", "NO_COLOR": ""}), \
                unittest.mock.patch.dict(module.DEFAULT_OUTPUT, {
                    name: f"{folder}/{os.path.basename(path)}" for name, path in module.DEFAULT_OUTPUT.items()}), \
                self._common_libseccomp():
            yield

    @contextlib.contextmanager
    def _common_libseccomp(self) -> Iterator[None]:
        """Have libseccomp know what all of LIBSECCOMPS do."""
        library, patch = self.module.libseccomp, unittest.mock.patch.object
        handle = library.load()
        number_of, name_of, architecture_of = (getattr(library, f"seccomp_{name}") for name in (
            "syscall_resolve_name_arch", "syscall_resolve_num_arch", "arch_resolve_name"))

        def resolve_name(token: int, name: bytes) -> int:
            return -1 if name.decode() in NEWER_SYSCALLS else int(number_of(token, name))

        def resolve_number(token: int, number: int) -> Any:
            pointer = name_of(token, number)
            if pointer and ctypes.string_at(pointer).decode() in NEWER_SYSCALLS:
                self.module.libc.free(pointer)
                return None
            return pointer

        def resolve_architecture(name: bytes) -> int:
            return 0 if name.decode() in NEWER_ARCHITECTURES else int(architecture_of(name))

        self.module.syscall_number.cache_clear()
        try:
            with patch(library, "load", lambda: handle), \
                    patch(library, "seccomp_syscall_resolve_name_arch", resolve_name), \
                    patch(library, "seccomp_syscall_resolve_num_arch", resolve_number), \
                    patch(library, "seccomp_arch_resolve_name", resolve_architecture):
                yield
        finally:
            self.module.syscall_number.cache_clear()

    def reset(self) -> None:
        """What main() leaves for the next: it is called once a process otherwise."""
        self.module.Log.quiet = self.module.Log.verbose = self.module.Log.unsaid = False

    def _architecture(self, name: str) -> Any:
        return getattr(self.module, name or "UNKNOWN_ARCHITECTURE")

    def recording(self, recorded: Recorded) -> Any:
        """As the recorders give it; the first argument of the classes is what changes most seldom."""
        module = self.module
        calls = tuple(module.Call(self._architecture(call.architecture), call.number, call.name, call.first_ns,
                                  call.times, 100 + index, call.comm, frozenset(call.values))
                      for index, call in enumerate(recorded.calls))
        return module.Recording(calls, 1, recorded.losses)

    @contextlib.contextmanager
    def recorded(self, recorded: Recorded) -> Iterator[None]:
        """Have `record` find this, once it has looked at its options."""
        module = self.module

        def run(command: Any) -> int:
            recording = self.recording(recorded)
            client = module.find_client(command.command, {}, command.options.follow)
            if client:
                module.Log.warning(client)
            with contextlib.closing(command.target):
                if not recording.calls:
                    return int(command._conclude_nothing(recording, recorded.status, None))
                complete = command._report(recording)
                complete &= command._write(recording)
                if command.options.stats:
                    for blocks in " ▁▂▃▄▅▆▇█", " .:-=+*#":
                        module.Log.table(module.format_statistics(recording, 8 * 10 ** 9, blocks))
                return int(module.exit_code(recorded.status)) if complete else 125

        with unittest.mock.patch.object(module.RecordCommand, "run", run):
            yield

    @contextlib.contextmanager
    def denied(self, denials: Sequence[Denied], losses: Sequence[str], status: int) -> Iterator[None]:
        """Have `run` hear of these, once it has read the profile and made the filter."""
        module = self.module
        found = [module.Denial(self._architecture(each.architecture), each.number,
                               tuple(module.Verdict(*verdict) for verdict in each.verdicts), each.pid, each.pid + 1,
                               each.comm, **{"exe": f"/bin/{each.comm}", "arguments": (0,) * 6,
                                             **each.more}) for each in denials]

        def run(command: Any) -> int:
            options, native = command.options, command.machine.own
            learner = module.Learner(command.source, command.host, command.bases, native, options.force,
                                     command._build) if command.learned else None
            applied = command._build(command.profile)
            if applied.skipped:
                module.Log.info(f"unknown: {', '.join(sorted(set(applied.skipped)))}")
            report = module.DenialReport(command.profile, native, command.events, applied.program, learner)
            if command.events:
                command.events.begin()
            report.add(found)
            report.losses += losses
            complete = command._conclude(None, report, types.SimpleNamespace(requests=0, restore=lambda: None), None)
            for file in (command.learned, command.events):
                if file:
                    file.close()
            return int(command._exit_code(status, complete, report))

        with unittest.mock.patch.object(module.RunCommand, "run", run):
            yield

    @contextlib.contextmanager
    def found(self, findings: Dict[str, Dict[str, Any]]) -> Iterator[None]:
        """Have the checks of `doctor` find this: the fields of Finding by item; all others are well."""
        module = self.module
        made = {item: module.Finding(**findings.get(item, {"fact": f"{item} is well"})) for item in
                module.EXAMINATIONS}
        kept = signal.getsignal(signal.SIGCHLD)
        try:
            with unittest.mock.patch.object(module, "EXAMINATIONS", made), \
                    unittest.mock.patch.object(module, "isolated", lambda finding: finding):
                yield
        finally:
            signal.signal(signal.SIGCHLD, kept)


def strings_in_functions(tree: ast.AST) -> Iterator[Any]:
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            for node in itertools.chain.from_iterable(map(ast.walk, function.body)):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node


def changed_copy(texts: Iterable[str]) -> Any:
    """spoc.py with these of its string constants changed."""
    chosen = set(texts)
    tree = ast.parse(support.SOURCE.read_text(encoding="utf-8"))
    for node in strings_in_functions(tree):
        if node.value in chosen:
            node.value += "~"
    module = types.ModuleType("changed_spoc")
    module.__file__ = str(support.SPOC)
    sys.modules["changed_spoc"] = module
    exec(compile(tree, "changed_spoc", "exec"), module.__dict__)
    return module


# --- cases and how they are run -----------------------------------------------------------------------------

Content = Union[str, bytes]


class Case(NamedTuple):
    """A command line, and what it meets. Files are written to the working folder first."""

    args: Tuple[str, ...]
    files: Dict[str, Content] = {}
    stdin: Content = ""
    label: str = ""  # tells cases with the same command line apart
    recorded: Optional[Recorded] = None
    denied: Optional[Sequence[Denied]] = None
    losses: Tuple[str, ...] = ()
    status: int = 0  # of the command that run has started, as waitpid(2) gives it
    found: Optional[Dict[str, Dict[str, Any]]] = None
    columns: int = 0  # of the terminal that is standard output, if it is one
    compiled: bool = False  # needs one of LIBSECCOMPS

    @property
    def title(self) -> str:
        return visible(f"{self.label and self.label + ': '}{' '.join(map(shlex.quote, self.args))}").replace("\n",
                                                                                                             "\u240a")


def visible(text: str) -> str:
    """The text with what an editor would not show, or change, made visible."""
    if text.replace("\n", "").isprintable():
        return text
    return "".join(character if character == "\n" or character.isprintable() else
                   chr(0x2400 + ord(character)) if ord(character) < 32 else f"\\u{{{ord(character):x}}}"
                   for character in text)


class Shop:
    """A folder in which cases are run one after the other, with the descriptors 0 to 2 in hand."""

    def __init__(self, adapter: Adapter) -> None:
        self.adapter = adapter

    def __enter__(self) -> "Shop":
        with contextlib.ExitStack() as stack:
            self.folder = os.path.realpath(tempfile.mkdtemp(prefix="spoc-golden-"))
            stack.callback(shutil.rmtree, self.folder, True)
            os.chmod(self.folder, 0o755)
            stack.callback(os.chdir, os.getcwd())
            os.chdir(self.folder)
            stack.callback(os.umask, os.umask(0o022))
            shutil.copytree(support.DATA, "data", ignore=lambda path, names: ["golden"] if "golden" in names else [])
            os.mkdir("folder")
            stack.enter_context(unittest.mock.patch.dict(os.environ, {"PATH": "/usr/bin:/bin"}, clear=True))
            stack.enter_context(self.adapter.fixed(self.folder))
            self.files = [stack.enter_context(open(os.memfd_create("golden"), "w+b", buffering=0)) for _ in range(3)]
            for file in self.files:  # of the copies only 0 to 2 are to be seen by what runs
                os.set_inheritable(file.fileno(), False)
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self.stack.__exit__(*error)

    @contextlib.contextmanager
    def _descriptors(self, terminal: int) -> Iterator[None]:
        sys.stdout.flush()
        sys.stderr.flush()
        kept = [os.dup(number) for number in range(3)]
        try:
            for number, file in enumerate(self.files):
                os.dup2(terminal if number == 1 and terminal >= 0 else file.fileno(), number)
            yield
        finally:
            for number, copy in enumerate(kept):
                os.dup2(copy, number)
                os.close(copy)

    def run(self, case: Case) -> str:
        """What comes of a case, as text."""
        for name, content in case.files.items():
            pathlib.Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
        before = {name: pathlib.Path(name).read_bytes() for name in case.files}
        for file, content in zip(self.files, (case.stdin, b"", b"")):
            file.seek(0)
            file.truncate()
            file.write(content.encode() if isinstance(content, str) else content)
            file.seek(0)
        self.adapter.reset()
        with contextlib.ExitStack() as stack:
            # Whatever the options are: nothing is started, nothing is examined.
            stack.enter_context(self.adapter.recorded(case.recorded or Recorded(())))
            stack.enter_context(self.adapter.denied(case.denied or [], case.losses, case.status))
            stack.enter_context(self.adapter.found(case.found or {}))
            terminal = stack.enter_context(terminal_of(case.columns, self.files[1])) if case.columns else -1
            with self._descriptors(terminal):
                code = self.adapter.main(case.args)
        parts = [f"exit {code}\n"]
        for number, file in enumerate(self.files[1:], 1):
            file.seek(0)
            whole = not {"--help", "-h"}.isdisjoint(case.args)
            parts.append(shortened(f"{number}|", self._normal(file.read()), whole))
        for entry in sorted(os.scandir("."), key=lambda entry: entry.name):
            if entry.is_file(follow_symlinks=False):
                content = pathlib.Path(entry.name).read_bytes()
                mode = entry.stat(follow_symlinks=False).st_mode & 0o7777
                if content != before.get(entry.name) or mode != 0o644:
                    parts.append(f"file {entry.name} {mode:o}\n" + shortened("|", self._normal(content)))
                os.unlink(entry.name)
        return "".join(parts)

    def _normal(self, data: bytes) -> str:
        """Without what differs between two runs, or between machines."""
        if b"\0" in data:
            return f"{len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}\n"
        text = data.decode(errors="backslashreplace").replace(self.folder, "FOLDER")
        text = re.sub(r"(?m)^\d\d:\d\d:\d\d\.\d{6} ", "TIME ", text)
        text = re.sub(r"(?<=, as in )/sys/fs/cgroup\S*(?=/system\.slice)", "CGROUPS", text)
        text = re.sub(r"(?<=no running unit has this name; ).*", "UNITS", text)
        text = re.sub(r'"time": \d+(\.\d+)?', '"time": TIME', text)
        text = re.sub(r"(?m)^(libbpf|libseccomp|Python) [0-9n].*$", r"\1 VERSION", text)
        return re.sub(r"\blibseccomp \d+\.\d+\.\d+", "libseccomp VERSION", text)


@contextlib.contextmanager
def terminal_of(columns: int, output: Any) -> Iterator[int]:
    """A terminal this wide; what it shows goes to the file `output`."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    settings = termios.tcgetattr(theirs)
    settings[1] &= ~termios.OPOST  # what is written comes as it is, without a return at each line's end
    termios.tcsetattr(theirs, termios.TCSANOW, settings)

    def copy() -> None:
        with contextlib.suppress(OSError):  # EIO: nobody has the other end any more
            while True:
                output.write(os.read(ours, 1 << 12))

    reader = threading.Thread(target=copy)
    reader.start()
    try:
        yield theirs
    finally:
        os.close(theirs)
        reader.join()
        os.close(ours)


def shortened(mark: str, text: str, whole: bool = False) -> str:
    """Each line after a mark of what it was written to; of a long text the first lines, and a hash."""
    if not text:
        return ""
    lines = visible(text).split("\n")
    last = lines.pop()
    lines = [f"{mark} {line}" for line in lines] + ([f"{mark} {last}",
                                                     f"{mark}(no newline at the end)"] if last else [])
    if len(text) > MAX_CHARACTERS and MODE in ("", "write") and not whole:
        digest = hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()
        lines = [line[:FIRST_COLUMNS] for line in lines[:FIRST_LINES]] + [
            f"{mark}({len(lines)} lines, {len(text)} characters, sha256 {digest})"]
    return "".join(f"{line}\n" for line in lines)


def titled(cases: Iterable[Case]) -> Dict[str, Case]:
    """The cases by title, which is their own."""
    found: Dict[str, Case] = {}
    for case in cases:
        title, number = case.title, 1
        while title in found:
            number += 1
            title = f"{case.title} #{number}"
        found[title] = case
    return found


def format_corpus(results: Dict[str, str]) -> str:
    return "".join(f"=== {title}\n{text}" for title, text in results.items())


def parse_corpus(text: str) -> Dict[str, str]:
    return {part.partition("\n")[0]: part.partition("\n")[2] for part in re.split("(?m)^=== ", text)[1:]}


# --- profiles made by chance, from seeds, and broken ones ---------------------------------------------------


class Chance:
    """Choices that are the same under every version of Python: only random() is promised to be."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def below(self, limit: int) -> int:
        return int(self._random.random() * limit)

    def one(self, items: Sequence[Any]) -> Any:
        return items[self.below(len(items))]

    def some(self, items: Sequence[Any], least: int, most: int) -> List[Any]:
        """Different ones, in any order."""
        left = list(items)
        return [left.pop(self.below(len(left))) for _ in range(min(len(left), least + self.below(most - least + 1)))]

    def often(self, share: float) -> bool:
        return self._random.random() < share


POOL = ("read write open openat close brk mmap mmap2 clone clone3 fork execve uname getppid getpid socket connect "
        "prctl mount umount2 ptrace bpf kill tgkill futex clock_gettime time stat fstatat64 semop shmat socketcall ipc "
        "io_uring_setup landlock_create_ruleset arm_fadvise64_64 set_tls personality unshare").split()
CONDITIONAL = "socket ioctl prctl clone personality semop kill".split()
ODD_NAMES = ["frobnicate", "Read", "read,write", "naïve", "x" * 80, "\x1b[31mred", "null", "12", "a:b", "it's"]
ARCHITECTURES = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM",
                 "SCMP_ARCH_RISCV64", "SCMP_ARCH_S390X", "SCMP_ARCH_PPC64LE", "SCMP_ARCH_MIPSEL64N32",
                 "SCMP_ARCH_NATIVE"]
FLAGS = ["SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
         "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]
OPERATORS = [f"SCMP_CMP_{name}" for name in "NE LT LE EQ GE GT MASKED_EQ".split()]
VALUES = [0, 1, 2, 16, 0x5401, 0x7E020000, 0xFFFFFFFF, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]


def made_condition(chance: Chance, index: Optional[int] = None) -> Dict[str, Any]:
    condition = {"index": chance.below(3) if index is None else index, "value": chance.one(VALUES),
                 "op": chance.one(OPERATORS)}
    if chance.often(0.5):
        condition["valueTwo"] = chance.one(VALUES)
    return condition


def made_rule(chance: Chance, dialect: str) -> Dict[str, Any]:
    rule: Dict[str, Any] = {"action": chance.one([ALLOW] * 5 + [ERRNO, ERRNO, LOG, KILL_PROCESS, KILL, TRAP, TRACE])}
    if dialect == "crd" and rule["action"] == TRACE:
        rule["action"] = ALLOW
    rule["names"] = chance.some(POOL, 1, 9)
    if chance.often(0.05):
        rule["names"].append(chance.one(ODD_NAMES))
    if rule["action"] in (ERRNO, TRACE) and chance.often(0.7):
        rule["errnoRet"] = chance.one([1, 1, 38, 22, 4094] + [0] * (dialect != "crd"))
    if chance.often(0.35):
        rule["names"] = chance.some(CONDITIONAL, 1, 2)
        rule["args"] = [made_condition(chance, chance.one([None, 0])) for _ in range(1 + chance.below(2))]
    if dialect == "docker":
        if chance.often(0.2):
            rule["errno"] = errno.errorcode.get(rule.get("errnoRet", 0), "") if rule["action"] == ERRNO else ""
        for key in "includes", "excludes":
            if chance.often(0.3):
                rule[key] = chance.one([
                    {"caps": ["CAP_SYS_ADMIN"]}, {"caps": ["CAP_CHOWN", "CAP_KILL"]}, {"arches": ["amd64", "x32"]},
                    {"arches": ["arm64"]}, {"minKernel": "4.8"}, {"minKernel": "6.10"}, {}, {"caps": []}])
        if chance.often(0.2):
            rule["comment"] = "made"
    return rule


def made_document(chance: Chance, dialect: str) -> Dict[str, Any]:
    """A profile in one of the dialects: crd, oci, docker."""
    spec: Dict[str, Any] = {"defaultAction": chance.one([ERRNO] * 5 + [ALLOW, LOG, KILL_PROCESS, KILL, TRAP])}
    if dialect != "crd" and spec["defaultAction"] == ERRNO and chance.often(0.3):
        spec["defaultErrnoRet"] = chance.one([1, 38, 0])
    if dialect == "docker" and chance.often(0.7):
        spec["archMap"] = [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]},
                           {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]}]
    elif chance.often(0.8):
        spec["architectures"] = chance.some(ARCHITECTURES[:3] if chance.often(0.7) else ARCHITECTURES, 0, 4)
    if chance.often(0.3):
        spec["flags"] = chance.some(FLAGS, 0, 3)
    spec["syscalls"] = [made_rule(chance, dialect) for _ in range(chance.below(7))]
    if chance.often(0.1):
        spec["listenerPath"] = "/var/run/security-profiles-operator/x.sock"
    if dialect != "crd":
        return spec
    if chance.often(0.1):
        spec["baseProfileName"] = "base"
    metadata: Dict[str, Any] = {"name": chance.one(["mine", "web", "a.b-c"])}
    if chance.often(0.3):
        metadata.update(namespace="prod", labels={"app": "web"}, annotations={
            "spo.x-k8s.io/syscall-coverage": '{"version":"v1","total":3,"syscalls":{"read":2,"write":3}}',
            "note": "x: y"})
    return {"apiVersion": API, "kind": "SeccompProfile", "metadata": metadata, "spec": spec}


def yaml_scalar(value: Any) -> str:
    plain = isinstance(value, str) and re.fullmatch(r"[A-Za-z][A-Za-z0-9_./-]*", value) and \
        value.lower() not in "y n yes no on off true false null".split()
    return value if plain else json.dumps(value)


def yaml_lines(value: Any, indent: int) -> Iterator[str]:
    """Block style."""
    space = " " * indent
    for key, item in value.items() if isinstance(value, dict) else ((None, item) for item in value):
        start = f"{space}- " if key is None else f"{space}{yaml_scalar(key)}:"
        if isinstance(item, (dict, list)) and item:
            inner = list(yaml_lines(item, indent + 2))
            if key is None:
                yield start + inner[0][indent + 2:]
                yield from inner[1:]
            else:
                yield start
                yield from inner
        else:
            text = json.dumps(item) if isinstance(item, (dict, list)) else yaml_scalar(item)
            yield f"{start}{text}" if key is None else f"{start} {text}"


def flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{yaml_scalar(key)}: {flow(item)}" for key, item in value.items()) + "}"
    return f"[{', '.join(map(flow, value))}]" if isinstance(value, list) else yaml_scalar(value)


LAYOUTS: Dict[str, Callable[[Dict[str, Any]], str]] = {
    "block": lambda document: "\n".join(yaml_lines(document, 0)) + "\n",
    "comments": lambda document: "# mine\n---\n" + "".join(
        line + ("  # why" if number % 3 == 0 else "") + "\n" for number, line in enumerate(yaml_lines(document, 0))),
    "flow": lambda document: "# mine\n" + flow(document) + "\n",
    "rules-flow": lambda document: "\n".join(
        f"{key}: {flow(value)}" for key, value in document.items()) + "\n",
    "windows": lambda document: "\ufeff" + "\r\n".join(yaml_lines(document, 0)) + "\r\n",
    "no-end": lambda document: "\n".join(yaml_lines(document, 0)),
    "json": lambda document: json.dumps(document, indent=2) + "\n",
    "json-line": lambda document: json.dumps(document, separators=(",", ":")),
    "json-tab": lambda document: json.dumps(document, indent="\t", ensure_ascii=False) + "\n",
    "json-windows": lambda document: json.dumps(document, indent=4).replace("\n", "\r\n") + "\r\n",
    "list": lambda document: json.dumps({"apiVersion": "v1", "kind": "List", "items": [document]}, indent=1) + "\n",
}


def made_profiles(count: int, seed: int) -> Dict[str, str]:
    """Texts of profiles, by file name, which says the dialect and the layout."""
    texts = {}
    for number in range(count):
        chance = Chance(seed + number)
        dialect = ("crd", "oci", "docker")[number % 3]
        layout = chance.one([name for name in LAYOUTS if name != "list" or dialect == "crd"])
        ending = "json" if layout.startswith(("json", "list")) else "yaml"
        document = made_document(chance, dialect)
        texts[f"{dialect}-{number}-{layout}.{ending}"] = LAYOUTS[layout](document)
    return texts


FRAGMENTS = [*"-:#[]{}\"'|>\n \t,&*!%@`~0?=<\\", "\n  ", ": ", "- ", " #", "---\n", "...\n", "|\n", ">+\n", "null",
             "yes", "1.5",
             "0x1f", "\r", '""', "<<: ", "\xa0", "é", "\0", "\ufeff", "SCMP_ACT_ALOW", "1e999", "&a ", "*a", "!!str "]


def broken_profiles(count: int, seed: int) -> Dict[str, str]:
    """Profiles with a few characters changed: most are none any more."""
    texts = {}
    for number, (name, text) in enumerate(made_profiles(count, seed).items()):
        chance = Chance(seed + 1000 + number)
        for _ in range(1 + chance.below(2)):
            at = chance.below(len(text))
            text = text[:at] + chance.one(FRAGMENTS) + text[at + chance.one([0, 0, 1, 8]):]
        texts[f"broken-{name}"] = text
    return texts


HEAD = "defaultAction: SCMP_ACT_ERRNO\n"
CRD_HEAD = f"apiVersion: {API}\nkind: SeccompProfile\nmetadata:\n  name: mine\nspec:\n  defaultAction: SCMP_ACT_ERRNO\n"
RULE = "syscalls:\n- action: SCMP_ACT_ALLOW\n  names: [read]\n"
# What people get wrong, and what readers of YAML disagree about.
HOSTILE: List[Content] = [
    "", "\n", "# only a comment\n", "---\n", "---\n---\n", "null", "[]", "{}", "12", "text", '"text"', "- a\n- b\n",
    "a: b\n",
    "kind: SeccompProfile\n", "kind: Pod\nspec: {}\n", "{", "[", '{"defaultAction"', '{"defaultAction": }',
    '{"defaultAction": "SCMP_ACT_ERRNO",}', '{"defaultAction": "SCMP_ACT_ERRNO"} x', '{"a": NaN}', '{"a": 1e400}',
    '{"defaultAction": "SCMP_ACT_ERRNO", "defaultAction": "SCMP_ACT_ALLOW"}', b"\xff\xfe", b"defaultAction: \xc3\n",
    HEAD + "\tsyscalls: []\n", HEAD + "syscalls: \n\t- names: [read]\n", HEAD + "syscalls:\n- names: [read\n",
    HEAD + "syscalls: {}\n", HEAD + "syscalls: read\n", HEAD + "syscalls: [read]\n", HEAD + "syscalls: [[]]\n",
    HEAD + "syscall: []\n", HEAD + "sysCalls: []\n", HEAD + "defaultaction: SCMP_ACT_LOG\n", "defaultactions: x\n",
    "defaultAction: SCMP_ACT_ERNO\n", "defaultAction: 1\n", "defaultAction: [SCMP_ACT_ERRNO]\n", "defaultAction:\n",
    "defaultAction: ERRNO\n", "defaultAction: SCMP_ACT_NOTIFY\n" + RULE, "defaultAction: scmp_act_errno\n",
    HEAD + "defaultErrnoRet: 5000\n", HEAD + "defaultErrnoRet: -1\n", HEAD + "defaultErrnoRet: '1'\n",
    HEAD + "defaultErrnoRet: 1.0\n", HEAD + "defaultErrno: ENOSYS\n", HEAD + "defaultErrno: ENOSUCH\n",
    HEAD + "defaultErrno: ENOSYS\ndefaultErrnoRet: 1\n", "defaultAction: SCMP_ACT_ALLOW\ndefaultErrnoRet: 1\n",
    HEAD + "architectures: SCMP_ARCH_X86_64\n", HEAD + "architectures: [SCMP_ARCH_X86-64]\n",
    HEAD + "architectures: [x86_64]\n", HEAD + "architectures: [~]\n",
    HEAD + "architectures: [SCMP_ARCH_X86, SCMP_ARCH_X86]\n",
    HEAD + "architectures: [SCMP_ARCH_X86]\narchMap: [{architecture: SCMP_ARCH_X86_64}]\n",
    HEAD + "archMap: [{}]\n", HEAD + "archMap: [{architecture: SCMP_ARCH_X86_64, sub: []}]\n",
    HEAD + "archMap: [{architecture: SCMP_ARCH_X86_64, subArchitectures: [SCMP_ARCH_Y86]}]\n",
    HEAD + "archMap: [{architecture: SCMP_ARCH_Y86, subArchitectures: [SCMP_ARCH_Y]}]\n",
    HEAD + "flags: [SECCOMP_FILTER_FLAG_NEW_LISTENER]\n", HEAD + "flags: [LOG]\n", HEAD + "flags: [1]\n",
    HEAD + "flags: []\n",
    HEAD + "syscalls:\n- names: [read]\n", HEAD + "syscalls:\n- action: SCMP_ACT_ALLOW\n",
    HEAD + "syscalls:\n- action: SCMP_ACT_ALLOW\n  names: []\n",
    HEAD + "syscalls:\n- action: SCMP_ACT_ALLOW\n  name: read\n",
    HEAD + "syscalls:\n- action: SCMP_ACT_ALLOW\n  name: read\n  names: [write]\n",
    HEAD + "syscalls:\n- action: SCMP_ACT_ALLOW\n  names: [read\n    write]\n",
    HEAD + "syscalls:\n- action: SCMP_ACT_ALLOW\n  names:\n    - read\n     - write\n",
    HEAD + "syscalls:\n- action: SCMP_ACT_ALLOW\n  names: [yes, 12, 1.5, ~]\n",
    HEAD + "syscalls:\n- action: SCMP_ACT_ALLOW\n  names: [no]\n",
    HEAD + "syscalls:\n- action: SCMP_ACT_ALLOW\n  names: [2001-01-01]\n",
    HEAD + "syscalls:\n- action: SCMP_ACT_ALLOW\n  names: ['', ' ', \"\\0\", \"\\x1b[0m\"]\n",
    HEAD + "syscalls:\n- action: SCMP_ACT_ALLOW\n  errnoRet: 1\n  names: [read]\n",
    HEAD + "syscalls:\n- action: SCMP_ACT_ERRNO\n  errnoRet: 9999\n  names: [read]\n",
    HEAD + "syscalls:\n- action: SCMP_ACT_ERRNO\n  errno: EPERM\n  errnoRet: 38\n  names: [read]\n",
    HEAD + "syscalls:\n- action: SCMP_ACT_ERRNO\n  errno: EAGAIN\n  names: [read]\n"
    "- action: SCMP_ACT_LOG\n  names: [read]\n",
    *(HEAD + f"syscalls:\n- action: SCMP_ACT_ALLOW\n  names: [socket]\n  args: {args}\n" for args in (
        "[]", "{}", "[{}]", "[{index: 0}]", "[{index: 6, op: SCMP_CMP_EQ}]", "[{index: 0, op: EQ}]",
        "[{index: 0, op: SCMP_CMP_EG}]",
        "[{index: -1, op: SCMP_CMP_EQ}]", "[{index: 0, op: SCMP_CMP_EQ, value: 18446744073709551616}]",
        "[{index: 0, op: SCMP_CMP_EQ, value: 1.0}]", "[{index: 0, op: SCMP_CMP_EQ, value: '1'}]",
        "[{index: 0, op: SCMP_CMP_EQ, value: 010}]", "[{index: 0, op: SCMP_CMP_EQ, val: 1}]",
        "[{index: 0, op: SCMP_CMP_EQ, value: 0x10}, {index: 0, op: SCMP_CMP_EQ, value: 2}]",
        "[{index: 0, op: SCMP_CMP_MASKED_EQ, value: 3, valueTwo: 6}]",
        "[{index: 0, op: SCMP_CMP_EQ, value: 1}, {index: 0, op: SCMP_CMP_EQ, value: 1}]")),
    *(HEAD + f"syscalls:\n- action: SCMP_ACT_ALLOW\n  names: [read]\n  includes: {where}\n" for where in (
        "{minKernel: 4.8}", "{minKernel: '4.8'}", "{minKernel: '6.1.0'}", "{minKernel: '6.300'}", "{minKernel: ''}",
        "{caps: CAP_CHOWN}",
        "{cap: [CAP_CHOWN]}", "{arches: [amd64]}", "[]", "{caps: [CAP_NO_SUCH]}", "{minKernel: '99.0'}")),
    HEAD + "x: &a [*a]\n", HEAD + "x: *none\n", HEAD + "syscalls: &a []\narchitectures: *a\n",
    HEAD + "x: !!python/object:os.system y\n",
    HEAD + "? complex\n: value\n", HEAD + "<<: {a: b}\n", "%YAML 1.2\n---\n" + HEAD, HEAD + "syscalls: >-\n  read\n",
    HEAD + "x: !!str y\nz: [!a b, &c d, *c]\n", HEAD + "x: !<tag:x> y\n", HEAD + "x: &\n", HEAD + "x: [*]\n",
    HEAD + "x: &a &b c\n",
    HEAD + "x: [:a]\n", HEAD + "x: [?a]\n", HEAD + "x: \"\\ud800\"\n", HEAD + "x: \"\\ud83d\\ude00 \\U00110000\"\n",
    HEAD + "x: |\n\n   \n a\n",
    HEAD + "x: a\n  # no\n  b\n", HEAD + "x: |0\n a\n", HEAD + "x: >9\n a\n", HEAD + "x: |2-\n  a\n   b\n",
    HEAD + "x: 'a\n\n  b'\n",
    HEAD + "architectures: &a [SCMP_ARCH_X86]\nsyscalls:\n- {names: &n [read], action: &y SCMP_ACT_ALLOW}\n"
    "- {names: *n, action: *y}\n",
    HEAD + "x0: &a0 [1]\n" + "".join(
        f"x{number}: &a{number} [" + ", ".join([f"*a{number - 1}"] * 10) + "]\n" for number in range(1, 9)),
    HEAD + "x: &a [&a 1, *a]\n", HEAD + "- x\n", "- " + HEAD, HEAD + "syscalls:\n  - names: [read]\n - action: x\n",
    HEAD + "x: y: z\n",
    HEAD + "..." + "\n" + RULE, HEAD + "---\n" + HEAD, HEAD + "'unclosed: x\n", HEAD + "\"bad \\q\": x\n",
    HEAD + "a: b: c\n",
    HEAD + "a: @x\n", HEAD + "a: `x`\n", HEAD + "  indented: x\n", HEAD + "syscalls: [\n" + "[" * 70, "[" * 100,
    '{"a":' * 100,
    HEAD + "comment: x\n_comment: y\ndescription: z\n", HEAD + "a\x07b: c\n", HEAD + "a: \x7f\n",
    HEAD.replace("\n", "\r") + RULE,
    CRD_HEAD, CRD_HEAD.replace("v1beta1", "v2"), CRD_HEAD.replace("SeccompProfile", "SeccompProfil"),
    CRD_HEAD + "  state: Disabled\n",
    CRD_HEAD + "  disabled: true\n", CRD_HEAD + "  disabled: maybe\n", CRD_HEAD + "  state: disabled\n",
    CRD_HEAD + "  defaultErrnoRet: 1\n",
    CRD_HEAD + "  archMap: []\n", CRD_HEAD + "  comment: x\n", CRD_HEAD + "status: []\n", CRD_HEAD + "extra: 1\n",
    CRD_HEAD.replace("  name: mine", "  - name"), CRD_HEAD.replace("spec:\n  ", "spec: none\n#"),
    CRD_HEAD + "  baseProfileName: other\n",
    CRD_HEAD + "  baseProfileName: oci://ghcr.io/x/y:1\n", CRD_HEAD + "  listenerPath: /tmp/x\n",
    CRD_HEAD + "  listenerMetadata: m\n",
    CRD_HEAD + "  syscalls:\n  - action: SCMP_ACT_ERRNO\n    errnoRet: '38'\n    names: [read]\n",
    CRD_HEAD + "  syscalls:\n  - action: SCMP_ACT_ERRNO\n    errnoRet: 0\n    names: [read]\n  targetWorkload: w\n",
    CRD_HEAD + "---\n" + CRD_HEAD, CRD_HEAD + "---\n" + CRD_HEAD.replace("mine", "other"),
    CRD_HEAD + "---\nkind: Pod\n",
    CRD_HEAD + "---\n{broken\n", "apiVersion: v1\nkind: List\nitems: []\n",
    "apiVersion: v1\nkind: PodList\nitems: [{kind: Pod}]\n",
    '{"ociVersion": "1.0.2", "linux": {"seccomp": {"defaultAction": "SCMP_ACT_ERRNO"}}}', HEAD + "#" * 5000 + "\n",
    HEAD + "syscalls:\n- action: SCMP_ACT_ALLOW\n  names: ["
    + ", ".join(f"call{number}" for number in range(400)) + "]\n",
]


# --- the cases of each command ------------------------------------------------------------------------------

RUNC, DOCKER = "data/spo-baseprofile-runc.yaml", "data/docker-default.json"
LOGIN = {"-u --username": "me", "--password-stdin": "", "--plain-http": "", "--ca": "missing"}
# Each option's spellings, and an example of its value if it takes one.
OPTIONS: Dict[str, Dict[str, str]] = {
    "record": {"--pid": "2147483647", "--container": "missing", "--unit": "missing", "--cgroup": "missing",
               "--containers": "", "--no-proc-start": "", "-t --type": "raw-seccomp", "--for": "service",
               "-o --output-file": "out", "-b --base-syscalls": "read,write",
               "-n --no-base-syscalls": "", "--args": "socket", "--name": "web", "--append": "", "--follow": "",
               "--checkpoint": "60", "--stats": "", "--backend": "notify", "--with-blocked": "", "--portable": "",
               "--privileged": "", "--plain-http": "", "--ca": "missing", "-q --quiet": "", "-v --verbose": ""},
    "run": {"-t --type": "seccomp",
            "-p --profile": "data/docker-default.json", "--base-profile": "data/spo-baseprofile-runc.yaml",
            "-b --base-syscalls": "execve,uname", "--as": "runc", "--privileged": "", "--no-new-privs": "",
            "--enricher": "notify", "--audit-log": "log", "--learn": "learned", "--force": "", "--follow": "",
            "--events": "events", "--strict": "", "--plain-http": "", "--ca": "missing", "-q --quiet": "",
            "-v --verbose": ""},
    "watch": {"--pid": "2147483647", "--container": "missing", "--unit": "missing", "--cgroup": "missing",
              "--events": "events", "--for": "60", "--strict": "",
              "-q --quiet": "", "-v --verbose": ""},
    "hook": {"-t --type": "raw-seccomp", "-o --output-file": "out", "-b --base-syscalls": "read,write",
             "-n --no-base-syscalls": ""},
    "merge": {"-o --output-file": "out", "-t --type": "raw-seccomp", "--name": "web",
              "--default-action": "SCMP_ACT_LOG", "--intersect": "", "--at-least": "2",
              "-b --base-syscalls": "kill,mkdir",
              "--portable": "", "-c --check": "", **LOGIN, "-q --quiet": ""},
    "diff": {**LOGIN, "--json": ""},
    "convert": {"-t --type": "raw-seccomp", "-o --output-file": "out", "--portable": "", "--label": "app=web",
                "--api-version": "v1", **LOGIN},
    "show": {**LOGIN, "--html": "page.html"},
    "gaps": {"--pid": "2147483647", "--container": "missing", **LOGIN, "-p --profile": RUNC, "--root": "missing",
             "-c --check": "", "--json": ""},
    "push": {"-f --profiles": "data/docker-default.json", "-t --type": "runtime", "-p --platforms": "linux/arm64",
             "-a --annotations": "team:web", "-u --username": "me", "--password-stdin": "", "--plain-http": "",
             "--ca": "missing", "-q --quiet": "", "-v --verbose": ""},
    "pull": {"-o --output-file": "out", "-p --platform": "linux/arm64", "-u --username": "me", "--password-stdin": "",
             "--plain-http": "", "--ca": "missing", "-q --quiet": "", "-v --verbose": ""},
    "doctor": {"--json": ""},
    "version": {},
}
OPERANDS = {"record": ("true",), "run": ("true",), "watch": ("--pid", "2147483647"), "hook": (),
            "merge": (RUNC, DOCKER), "diff": (RUNC, DOCKER), "convert": (RUNC,),
            "show": (RUNC,), "gaps": ("./prog",), "push": ("x",), "pull": ("x",), "doctor": (), "version": ()}
DATA_FILES = sorted(f"data/{path.relative_to(support.DATA)}" for path in support.DATA.rglob("*.*")
                    if path.suffix in (".json", ".yaml") and GOLDEN not in path.parents)
# The documents of the file that holds several.
PROFILES = [name for name in DATA_FILES if name not in ("data/seccompprofile-crd.yaml", "data/spo-seccompprofile.yaml")]
MADE, BROKEN = made_profiles(60, 1), broken_profiles(150, 500)


def odd(rules: str = "", head: str = HEAD) -> str:
    return head + "syscalls:\n- {action: SCMP_ACT_ALLOW, names: [execve, read]}\n" + rules


def odd_rule(action: str, names: str, *conditions: str, more: str = "") -> str:
    args = []
    for condition in conditions:
        index, op, value, second = f"{condition} 0".split()[:4]
        args.append(f"{{index: {index}, op: SCMP_CMP_{op}, value: {value}, valueTwo: {second}}}")
    return f"- {{action: SCMP_ACT_{action}, names: [{names}], args: [{', '.join(args)}]{more}}}\n"


# What one format or another, or one machine, cannot say; and rules that contradict each other, or that overlap.
ODD: Dict[str, str] = {
    "errno 0": odd(odd_rule("ERRNO", "mount, uname", more=", errnoRet: 0"), HEAD + "defaultErrnoRet: 38\n"),
    "trace": odd(odd_rule("TRACE", "uname", more=", errnoRet: 7") + odd_rule("TRAP", "mount") + odd_rule("LOG", "bpf")),
    "notify": odd(odd_rule("NOTIFY", "uname"), HEAD + "listenerPath: /run/x.sock\nlistenerMetadata: m\n"),
    "no flags": odd(head=HEAD + "flags: []\n"),
    "flags": odd(head=HEAD + f"flags: [{', '.join(FLAGS)}]\n"),
    "loong": odd(head=HEAD + "architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_LOONGARCH64]\n"),
    "s390x": odd(head=HEAD + "architectures: [SCMP_ARCH_S390X, SCMP_ARCH_X86_64, SCMP_ARCH_X86_64]\n"),
    "names": odd("- {action: SCMP_ACT_ALLOW, names: ['', 'a-b', \"\\e[1m\", it's]}\n"),
    "many rules": odd("".join(odd_rule("ALLOW", "socket", f"0 EQ {number}",
                                       f"1 GT {number}") for number in range(12))),
    "contradiction": odd(odd_rule("ALLOW", "socket", "0 EQ 1") + odd_rule("ERRNO", "socket", "0 EQ 1",
                                                                          more=", errnoRet: 7")
                         + odd_rule("KILL_PROCESS", "uname") + odd_rule("LOG", "uname")),
    "overlap": odd(odd_rule("ALLOW", "socket", "0 LE 5") + odd_rule("KILL_PROCESS", "socket", "1 MASKED_EQ 255 3")
                   + odd_rule("LOG", "clone", "0 NE 0") + odd_rule("ALLOW", "clone", "0 GE 9223372036854775808")
                   + odd_rule("ERRNO", "clone3", more=", errnoRet: 38")),
    "within socketcall": odd(odd_rule("ALLOW", "connect, socket", "0 EQ 2") + odd_rule("ERRNO", "socket", "0 EQ 4")
                             + odd_rule("ALLOW", "semop") + odd_rule("LOG", "ipc", "0 EQ 1"),
                             HEAD + "architectures: [SCMP_ARCH_X86]\n"),
    "default says it": odd(odd_rule("ERRNO", "uname") + odd_rule("ALLOW", "uname") + odd_rule("ERRNO", "socket",
                                                                                              "0 EQ 1")
                           + odd_rule("ALLOW", "socket")),
    "repeated": odd(odd_rule("ALLOW", "read, read, write") * 2 + odd_rule("ALLOW", "ioctl", "1 EQ 5", "1 EQ 6",
                                                                          "1 EQ 5")),
    "base": CRD_HEAD.replace("mine",
                             "base") + "  syscalls:\n  - {action: SCMP_ACT_LOG, names: [execve, socket, uname]}\n",
    "on base": CRD_HEAD + "  baseProfileName: base\n  listenerPath: /var/run/security-profiles-operator/y.sock\n"
                          "  syscalls:\n  - {action: SCMP_ACT_ALLOW, names: [socket, uname]}\n"
                          "  - {action: SCMP_ACT_TRAP, names: [mount]}\n",
    "allow": odd(odd_rule("ERRNO", "uname") + odd_rule("KILL_PROCESS", "mount", "0 NE 0"),
                 "defaultAction: SCMP_ACT_ALLOW\n"),
    "portable": odd(odd_rule("ALLOW", "brk, epoll_wait, fork, futex, open, socketcall, stat") + odd_rule("LOG",
                                                                                                         "openat")),
    "kernel": odd(odd_rule("ALLOW", "write", more=", includes: {minKernel: '5.0'}")
                  + odd_rule("ALLOW", "bpf", more=", excludes: {caps: [CAP_SYS_ADMIN]}"),
                  HEAD + "archMap: [{architecture: SCMP_ARCH_X86_64, subArchitectures: [SCMP_ARCH_X86]}, "
                         "{architecture: SCMP_ARCH_AARCH64}]\n"),
}


TOO_MANY = odd("".join(odd_rule("ALLOW", "socket", f"0 EQ {number}") for number in range(1001)))


def usage_cases(command: str) -> Iterator[Case]:
    """Help, no operands, and each option as it should not be given."""
    yield from (Case((command, *rest)) for rest in (
        ("--help",), ("-h",), ("--help=x",), (), ("--no-such",), ("--no-such=1", "x"), ("-Z",), ("-",), ("--",),
        ("--", "--help"),
        ("--h",), ("a", "b", "c"), ("-=",), ("--=x",), ("x", "--help")) if command not in ("record", "run", "doctor",
                                                                                           "show", "watch", "hook",
                                                                                           "push", "pull",
                                                                                           "merge", "diff") or
        rest not in ((), ("-",), ("a", "b", "c"), ("--",), ("--", "--help"), ("x", "--help")))
    yield Case((command, *OPERANDS[command], "superfluous")) if command in ("diff", "convert", "show", "doctor",
                                                                            "version", "watch", "hook") \
        else Case((command,))
    if command not in ("doctor", "version", "watch", "hook"):
        yield Case((command, "--"))
    for spellings, value in OPTIONS[command].items():
        for flag in spellings.split():
            if value:
                yield Case((command, flag))
                yield Case((command, f"{flag}=", *OPERANDS[command]))
                yield Case((command, flag, "", *OPERANDS[command]))
            else:
                yield Case((command, f"{flag}=x", *OPERANDS[command]))
                yield Case((command, f"{flag}=", *OPERANDS[command]))


def main_cases() -> Iterator[Case]:
    for arguments in ("", "-h", "--help", "help", "help record", "--version x", "frobnicate",
                      "v", "install x", "rm x", "push -f x y", "l x", "Record", "--record",
                      "-x", "''", "-",
                      "--", "recrod true", "version x", "version --json", "--help record"):
        yield Case(tuple(shlex.split(arguments)))
    yield Case(("\x1b[31m\n",))
    for command in OPTIONS:
        yield Case((command, "--help"), label="terminal", columns=60)


def watch_cases() -> Iterator[Case]:
    """Only what fails before it begins."""
    yield from usage_cases("watch")
    for options in ("--pid 2147483647", "--pid 2147483647 --pid 2147483646 -q", "--cgroup missing --strict -v",
                    "--container missing", "--unit missing", "--unit missing.scope", "--unit a --container b",
                    "--cgroup data --for 60 --events events", "--pid 0", "--pid x", "--pid -1", "--pid 2147483648",
                    "--pid 1 --cgroup missing", "--for 0", "--for x", "--pid 2147483647 true"):
        yield Case(("watch", *options.split()))


def hook_cases() -> Iterator[Case]:
    """Only what ends before a recorder is started."""
    yield from usage_cases("hook")
    yield Case(("hook", "-n", "-b", "read"))
    for text in ("", "{", "[]", "null", "{}", '{"id": "x"}', '{"id": "x", "pid": 0}', '{"id": "x", "pid": true}',
                 '{"id": "x", "pid": "1"}', '{"id": "../x", "pid": 1}', '{"id": 1, "pid": 1}', "[" * 100000,
                 '{"id": "x", "pid": 1, "annotations": []}', '{"id": "x", "pid": 1, "annotations": [1]}',
                 '{"id": "x", "pid": 1, "annotations": {"a": 1}}', " " * (4 << 20) + '{"id": "x", "pid": 1}',
                 '{"id": "x", "pid": 1, "status": "running"}', '{"id": "x", "pid": 1, "status": []}',
                 '{"id": "x", "pid": 1}', '{"id": "x", "pid": 1, "annotations": null}'):
        yield Case(("hook",), stdin=text, label=text if len(text) < 99 else f"{len(text)} characters")
    for options in ("-t raw-seccomp", "--type seccomp", "-n", "--no-base-syscalls", "-b read", "--base-syscalls read",
                    "-o out", "--output-file ''", "-o %i"):
        yield Case(("hook", *shlex.split(options)), stdin='{"id": "x", "pid": 1}')
    for path in ("/folder", "/folder/../other", "/folder-2/x", "/other/folder/x"):
        yield Case(("hook", "-o", "/folder/%i"), label=path,
                   stdin=f'{{"id": "x", "pid": 1, "annotations": {{"io.spoc.record": "{path}"}}}}')
    yield Case(("hook", "-o", "/folder/%i"), label="input elsewhere", stdin='{"id": "x", "pid": 1, "annotations": {'
               '"io.containers.trace-syscall": "of:/folder/x;if:/other"}}')
    traces = ("", "of:", "of:out", "of:/out;if:in", "if:/in", "of:/a;of:/b", "of:/a;if:/b;", "/out", "if:/b;of:a",
              "of:/\\u0007", "of:/\\ud800", "of:/\\u0000")
    for annotations in (*(f'"io.containers.trace-syscall": "{text}"' for text in traces),
                        *(f'"io.spoc.record": "{text}"' for text in ("", "out", "-", "%i", "/out\\n")),
                        '"io.containers.trace-syscall": "of:/a", "io.spoc.record": "/a"'):
        yield Case(("hook",), stdin=f'{{"id": "x", "pid": 1, "annotations": {{{annotations}}}}}', label=annotations)


def registry_cases(command: str) -> Iterator[Case]:
    """Only what fails before a registry is asked."""
    yield from usage_cases(command)
    for reference in ("", "nginx", "nginx:1", "docker.io/", "/nginx", "Docker.io/Nginx", "docker.io/a//b",
                      "docker.io/a:", "docker.io/a:-b", "docker.io/a:" + 129 * "b", "docker.io/a@",
                      "docker.io/a@sha256:abc",
                      "docker.io/a@sha512:" + 128 * "0", "docker.io/a@sha256:" + 64 * "A", "docker.io:0/a",
                      "docker.io:65536/a", "docker.io:x/a", "[::1/a", "::1/a", "a_b/c", "-a/c", "me@docker.io/a",
                      "https://docker.io/a", "oci://docker.io/A", "docker.io/a:b*", "docker.io/" + 300 * "a"):
        yield Case((command, reference))
    for options in ("-u me", "-u a:b", "--password-stdin", "-u me --password-stdin", "-u me -u you --password-stdin"):
        yield Case((command, *options.split(), "registry.invalid/a"), stdin="")


REFERENCE = "oci://registry.invalid/a"


def reference_cases(command: str, *before: str) -> Iterator[Case]:
    """oci://REF in place of a file: only what fails before a registry is asked, and what asks none."""
    local = tuple({REFERENCE: "out" if command == "record" else DOCKER}.get(word, word) for word in before)
    for options in ("--plain-http", "--ca missing"):
        yield Case((command, *options.split(), *local))
    for reference in ("oci://", "oci://nginx", "oci://registry.invalid/A", "oci://registry.invalid/a:*@sha256:1"):
        yield Case((command, *(reference if word == REFERENCE else word for word in before)))
    if command not in ("record", "run"):
        for options in ("-u me", "-u a:b", "--password-stdin", "-u me --password-stdin"):
            yield Case((command, *options.split(), *before), stdin="")
            yield Case((command, *options.split(), *local), stdin="secret")


def gaps_cases() -> Iterator[Case]:
    yield from usage_cases("gaps")
    yield from reference_cases("gaps", "-p", REFERENCE, "./prog")
    files: Dict[str, Content] = {
        "prog": elf_file(["fsync", "sendfile64", "chroot", "execve", "dlopen"], needed=["libx.so", "libgone.so"],
                         rpath="$ORIGIN"), "libx.so": elf_file(["kill", "mount"]),
        "go": elf_file(go=["syscall.Fsync", "syscall.PtraceGetRegs"]), "static": elf_file(), "script": "#!./prog -x\n",
        "p": '{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["execve", "futex"], "action": '
             '"SCMP_ACT_ALLOW"}]}'}
    for options in ("./prog", "--json ./prog ./go ./static", "-c ./go", "--check ./script", "./static ./libx.so",
                    "--root . prog", "--root . /prog", "--root . --json --check /libx.so", "-c ./p", "./missing", "."):
        yield Case(("gaps", "-p", "p", *options.split()), files)
    for profile in RUNC, DOCKER, "rules", "crd":
        yield Case(("gaps", "--profile", profile, "./prog", "./go"), {**files, **{
            name: text for name, text in MEANT.items() if name == profile}})
    for options in ("--pid 2147483647", "--container missing", "--pid 1 ./prog", "--pid 1 --container x", "--pid 0",
                    "--pid 1 --pid 1 --root ."):
        yield Case(("gaps", "-p", RUNC, *options.split()))
    yield Case(("gaps", "-p", "p", "./prog"), files, label="terminal", columns=50)
    yield Case(("gaps", "./prog"), files)


def push_cases() -> Iterator[Case]:
    yield from registry_cases("push")
    for options in ("-f missing", "-f - --password-stdin -u me", f"-f {DOCKER} -t crd", f"-f {RUNC} -f {RUNC}",
                    f"-f {RUNC} -f {DOCKER} -p linux/arm64", f"-f {DOCKER} -f {DOCKER}", "-p linux", "-a x",
                    f"-f {DOCKER} -t runtime -p linux/arm64", f"-f {RUNC} -f {RUNC} -p linux/arm64 -p linux/arm64/v8"):
        yield Case(("push", *options.split(), "registry.invalid/a"), stdin="secret")


def pull_cases() -> Iterator[Case]:
    yield from registry_cases("pull")
    for options in ("-o folder", "-o missing/out", "-p linux"):
        yield Case(("pull", *options.split(), "registry.invalid/a"))


def version_cases() -> Iterator[Case]:
    yield from usage_cases("version")
    yield Case(("version",))
    yield Case(("--version",))
    yield Case(("version", "--"))


def doctor_cases() -> Iterator[Case]:
    """Only what is made of the findings: they are this machine's."""
    yield from usage_cases("doctor")
    well: Dict[str, Dict[str, Any]] = {
        "recorder": {"fact": "records", "offers": ["bpf", "tracepoint"]},
        "notification": {"fact": "asks", "offers": ["notify"]}}
    remedy = ("run it as root, or with CAP_BPF and CAP_PERFMON, which a container has to be given by name when it is "
              "started")
    canned: Dict[str, Dict[str, Dict[str, Any]]] = {
        "well": well,
        "nothing": {},
        "no privileges": {**well, "privileges": {"fact": "uid 1000, no capabilities", "remedy": remedy},
                          "bpf": {"fact": "load a program: bpf(2): Operation not permitted", "remedy": remedy,
                                  "missing": True},
                          "recorder": {"fact": "x " * 60, "remedy": remedy, "missing": True,
                                       "offers": ["bpf", "tracepoint"]}},
        "bpf is missing": {"notification": well["notification"], "bpf": {"fact": "none", "remedy": "upgrade",
                                                                         "missing": True}},
        "no libseccomp": {**well, "libseccomp": {"fact": "none", "remedy": "install libseccomp2", "missing": True}},
        "no seccomp": {**well, "seccomp": {"fact": "none", "remedy": "another kernel", "missing": True}},
        "audit alone": {**well, "audit": {"fact": "off", "remedy": "auditctl -e 1"},
                        "actions_logged": {"fact": "no errno", "remedy": "sysctl"}},
        "attach alone": {**well, "attach": {"fact": "none", "remedy": "run it outside", "missing": True}},
        "degraded": {**well, "tmp": {"fact": "full", "remedy": "make\nroom"}},
        "hostile": {**well, "kernel": {"fact": "Linux \x1b[31m\u202e\udcff", "remedy": "a" * 70}},
        "architecture": {**well, "architecture": {"fact": "vax", "remedy": "another machine", "missing": True}},
    }
    for label, findings in canned.items():
        for options in ((), ("--json",)):
            yield Case(("doctor", *options), label=label, found=findings)


def merge_cases() -> Iterator[Case]:
    yield from usage_cases("merge")
    yield from reference_cases("merge", "-t", "raw-seccomp", REFERENCE, DOCKER)
    made, oci = list(MADE.items()), [name for name in MADE if not name.startswith("crd")]
    for names in ((RUNC,), (RUNC, DOCKER), (DOCKER,), tuple(PROFILES), (RUNC, RUNC), ("-", "-"), ("-",), ("", RUNC),
                  ("missing",),
                  ("data",
                   ), (RUNC, "data/spo-seccompprofile.yaml"), ("data/spo-seccompprofile.yaml#profile-allow-unsafe",
                                                               RUNC),
                  (f"{RUNC}#none", RUNC)):
        yield Case(("merge", *names))
    for options in ("-o out.yaml", "-o out.json -t raw-seccomp", "-t seccomp", "--type raw-seccomp", "-t yaml",
                    "-t docker",
                    "--name web", "--name Web", "--name a..b", "-o folder", "-o missing/out", "-o -", "-o out -q",
                    "-qo out", "-o a -o b",
                    "--output-file=out.yaml --quiet", "--portable", "--portable -t raw-seccomp",
                    "--default-action SCMP_ACT_ERRNO",
                    "--default-action SCMP_ACT_ERRNO:ENOSYS", "--default-action SCMP_ACT_ERRNO:38 -t raw-seccomp",
                    "--default-action SCMP_ACT_LOG", "--default-action SCMP_ACT_KILL",
                    "--default-action SCMP_ACT_NOTIFY",
                    "--default-action SCMP_ACT_LOG:1", "--default-action SCMP_ACT_ERRNO:ENOSUCH",
                    "--default-action SCMP_ACT_ERRNO:",
                    "--default-action SCMP_ACT_ERRNO:9999", "--default-action EPERM",
                    "--default-action SCMP_ACT_TRACE:7 -t raw-seccomp",
                    "--intersect", "--intersect -t raw-seccomp", "--intersect --portable -o out.yaml",
                    "--intersect --at-least 2", "--intersect --default-action SCMP_ACT_LOG", "--at-least 1",
                    "--at-least 2 -o out.yaml", "--at-least 100% -t raw-seccomp", "--at-least 3", "--at-least 0",
                    "--at-least 101%", "--check --intersect",
                    "--check", "--check -o out", f"--check -o {RUNC}", f"--check -o {DOCKER}",
                    "-b kill,kexec_load", "-b kill --at-least 2", "-b kill --intersect", "-b no_such",
                    "-b kill --check",
                    f"--check -q -o {DOCKER}",
                    f"--check -o {DOCKER} -t seccomp", f"--check -o {DOCKER} --portable",
                    f"--check -o {DOCKER} --name x",
                    f"--check -o {DOCKER} --default-action SCMP_ACT_LOG", "--check -o -"):
        yield Case(("merge", *options.split(), RUNC, DOCKER))
        yield Case(("merge", *options.split(), RUNC, "data/spo-baseprofile-crun.yaml"))
    yield Case(("merge", "many"), {"many": TOO_MANY})
    for one, other in zip(ODD, list(ODD)[1:]):
        yield Case(("merge", "-t", "raw-seccomp", one, other), {one: ODD[one], other: ODD[other]})
    for name, text in ODD.items():
        for kind in ("seccomp", "raw-seccomp"):
            yield Case(("merge", "-t", kind, "--portable", name), {name: text})
        yield Case(("merge", "--check", "-o", name, DOCKER, RUNC), {name: text})
    yield Case(("merge", "-o", "out", "out", RUNC), {"out": CRD_HEAD + "  " + RULE.replace("\n", "\n  ").rstrip(" ")})
    yield Case(("merge", "-", RUNC), stdin=CRD_HEAD)
    for number in range(80):
        chance = Chance(9000 + number)
        files = dict(chance.some(made, 1, 3))
        options = chance.one(["", "", "-t raw-seccomp", "-t seccomp", "-o out.json", "--portable",
                              "--portable -t raw-seccomp",
                              "--default-action SCMP_ACT_ERRNO",
                              "--default-action SCMP_ACT_KILL_PROCESS -t raw-seccomp"])
        yield Case(("merge", *options.split(), *files), dict(files))
        yield Case(("merge", "--check", "-o", *files), dict(files))
    for number in range(20):  # of one mind about the default, so that more of them can be merged
        chance = Chance(9500 + number)
        files = {name: re.sub(r"(defaultAction\"?:\s*\"?)\w+", r"\1SCMP_ACT_ERRNO",
                              MADE[name]) for name in chance.some(oci, 2, 4)}
        yield Case(("merge", "--default-action", "SCMP_ACT_ERRNO", "-t", "raw-seccomp", *files), files)


def diff_cases() -> Iterator[Case]:
    yield from usage_cases("diff")
    yield from reference_cases("diff", REFERENCE, DOCKER)
    made, names = list(MADE.items()), [*PROFILES, "data/spo-seccompprofile.yaml#profile-block-all",
                                       "data/spo-seccompprofile.yaml"]
    for one, other in itertools.product(names, repeat=2):
        if one <= other or other in names[:3]:
            yield Case(("diff", one, other))
    for pair in ((RUNC, DOCKER), (DOCKER, RUNC), (RUNC, RUNC), (RUNC, "missing"), ("data", RUNC), ("-", "-"),
                 ("", RUNC)):
        yield Case(("diff", "--json", *pair))
        yield Case(("diff", *pair), label="terminal", columns=70)
    yield Case(("diff", "-", RUNC), stdin=CRD_HEAD)
    for one, other in zip(ODD, list(ODD)[1:]):
        yield Case(("diff", one, other), {one: ODD[one], other: ODD[other]})
        yield Case(("diff", "--json", other, one), {one: ODD[one], other: ODD[other]})
    for number in range(70):
        chance = Chance(8000 + number)
        (name, text), (its_name, its_text) = chance.some(made, 2, 2)
        if chance.often(0.4):
            its_name = "changed.txt"
            its_text = text.replace(chance.one(["read", "SCMP_ACT_ALLOW", "1", "socket"]), "write", 2)
        for options in ((), ("--json",)):
            yield Case(("diff", *options, name, its_name), {name: text, its_name: its_text})


def convert_cases() -> Iterator[Case]:
    yield from usage_cases("convert")
    yield from reference_cases("convert", "-t", "raw-seccomp", REFERENCE)
    kinds = "seccomp raw-seccomp docker systemd bpf pfc".split()
    needs = {"systemd", "bpf", "pfc"}
    for kind, name in itertools.product(kinds, [*PROFILES, "data/spo-seccompprofile.yaml#profile-complain-unsafe"]):
        yield Case(("convert", "-t", kind, name), compiled=kind in needs)
        if kind in ("seccomp", "raw-seccomp", "docker"):
            yield Case(("convert", "--portable", "--type", kind, name))
    for options in ("", "-t", "-t yaml x", "-t seccomp -t raw-seccomp", "-t raw-seccomp -o out",
                    "-t seccomp --output-file=out.yaml",
                    "-t seccomp -o missing/out", "-t seccomp -o folder", "-t seccomp -o -",
                    "-t seccomp --label spo.x-k8s.io/partial=true --label app=web --api-version v1",
                    "-t seccomp --label app", "-t seccomp --label -a=b", "-t seccomp --label a=-b",
                    "-t seccomp --label A/b=c", "-t seccomp --api-version v2", "-t docker --label app=web",
                    "-t systemd --api-version v1"):
        yield Case(("convert", *options.split(), RUNC))
    for name in ("-", "missing", "data", "", "data/spo-seccompprofile.yaml", "data/spo-seccompprofile.yaml#none",
                 "data/seccompprofile-crd.yaml", "data/README.md", RUNC + "#" + "runc",
                 "data/spo-seccompprofile.yaml#"):
        yield Case(("convert", "-t", "raw-seccomp", name))
    yield Case(("convert", "-t", "bpf", RUNC), columns=80, label="terminal")
    for kind, (name, text) in itertools.product(kinds, ODD.items()):
        yield Case(("convert", "-t", kind, name), {name: text}, compiled=kind in needs)
    for name in ("/dev/null", "/dev/full", "x/", "data/README.md/x", "data/../data"):
        yield Case(("convert", "-t", "raw-seccomp", name), {"x": HEAD})
    yield Case(("convert", "-t", "raw-seccomp", "x"), {"x": HEAD + "#" * (4 << 20)})
    yield Case(("convert", "-t", "raw-seccomp", "-o", "/dev/full", RUNC))
    yield Case(("convert", "-t", "seccomp", "-o", "x", "x"), {"x": CRD_HEAD})
    yield Case(("convert", "-t", "seccomp", "link"), {"link": CRD_HEAD})
    for number, content in enumerate(HOSTILE):
        yield Case(("convert", "-t", "raw-seccomp", "x"), {"x": content}, label=f"hostile {number}")
        if number % 4 == 0:
            yield Case(("convert", "-t", "seccomp", "-"), stdin=content, label=f"hostile {number}")
    for name, text in [*MADE.items(), *BROKEN.items()]:
        yield Case(("convert", "-t", "raw-seccomp", name), {name: text})
    for number, (name, text) in enumerate(MADE.items()):
        yield Case(("convert", "-t", "seccomp", name), {name: text})
        yield Case(("convert", "-t", ("docker", "docker", "seccomp")[number % 3], "--portable", name), {name: text})
        for kind in ("systemd", "bpf", "pfc"):
            yield Case(("convert", "-t", kind, name), {name: text}, compiled=True)


def show_cases() -> Iterator[Case]:
    yield from usage_cases("show")
    yield from reference_cases("show", REFERENCE)
    for name in (*PROFILES[:4], "data/spo-seccompprofile.yaml#profile-complain-unsafe"):
        yield Case(("show", name), compiled=True)
    for options in ("--html page.html", "--html -", "--html=-"):
        yield Case(("show", *options.split(), DOCKER), compiled=True)
    for options in ("--html missing/page", "--html folder", f"--html {RUNC}"):
        yield Case(("show", *options.split(), RUNC), compiled=True)
    for name in ("s390x", "loong", "many rules", "errno 0"):
        yield Case(("show", name), {name: ODD[name]}, compiled=True)
    for columns in (20, 64, 71, 132):
        yield Case(("show", RUNC), label=f"terminal of {columns}", columns=columns, compiled=True)
    for name in ("missing", "data", "-", "data/spo-seccompprofile.yaml", ""):
        yield Case(("show", name))
    for name, text in itertools.islice(MADE.items(), 9):
        yield Case(("show", name), {name: text}, compiled=True)
    for number in (1, 5, 7):
        name, text = list(MADE.items())[number]
        yield Case(("show", "--html", "page.html", name), {name: text}, compiled=True)


RECORDINGS: Dict[str, Recorded] = {
    "small": Recorded((Made("X86_64", 59, "execve", 10 ** 9, 1, "sh"), Made("X86_64", 12, "brk", 1_100_000_000, 3),
                       Made("X86_64", 0, "read", 2 * 10 ** 9, 1000), Made("X86_64", 231, "exit_group", 8 * 10 ** 9))),
    "two architectures": Recorded((
        Made("X86_64", 59, "execve", 10 ** 9, 1, "sh"), Made("X86", 11, "execve", 2 * 10 ** 9, 5, "old"),
        Made("X86", 102, "socketcall", 3 * 10 ** 9, 5, "old"), Made("X32", 0x40000000 + 110, "getppid", 4 * 10 ** 9, 7,
                                                                    "x32"))),
    "nameless": Recorded((
        Made("X86_64", 110, "getppid", 10 ** 9), Made("X86_64", 511, None, 2 * 10 ** 9),
        Made("X86_64", 100_000, None, 3 * 10 ** 9))),
    "nameless, both": Recorded((Made("X86", 500, None, 3 * 10 ** 9), Made("X86_64", 510, None, 10 ** 9),
                                Made("X32", 0x40000000 + 510, None, 10 ** 9))),
    "nameless, x32": Recorded((Made("X32", 0x40000000 + 999_999, None, 3 * 10 ** 9),
                               Made("X32", 0x40000000 + 510, None, 10 ** 9))),
    "incomplete": Recorded((Made("X86_64", 110, "getppid", 10 ** 9),), (
        "a first loss", "a second loss")),
    "arguments": Recorded((
        Made("X86_64", 41, "socket", 10 ** 9, 3, values=(2, 1, 0xFFFFFFFF)),
        Made("X86", 359, "socket", 2 * 10 ** 9, 1, values=(16,)),
        Made("X86_64", 16, "ioctl", 3 * 10 ** 9, 9, values=(0x5401, 0x5413)),
        Made("X86_64", 157, "prctl", 3 * 10 ** 9, 9),
        Made("X86_64", 56, "clone", 3 * 10 ** 9, 9, values=(0x1200011,)), Made("X86_64", 435, "clone3", 4 * 10 ** 9, 2),
        Made("X86", 102, "socketcall", 4 * 10 ** 9, 2), Made("X86", 117, "ipc", 4 * 10 ** 9, 2))),
    "nothing": Recorded(()),
    "nothing, killed": Recorded((), status=9),
    "nothing, unseen": Recorded((), ("the start of the command was not seen",)),
    "exit 3": Recorded((Made("X86_64", 110, "getppid", 10 ** 9),), status=3 << 8),
    "killed": Recorded((Made("X86_64", 110, "getppid", 10 ** 9),), status=15),
    "hostile": Recorded((Made("X86_64", 110, "getppid", 10 ** 9, 1 << 63, "\x1b[31m\n"),
                         Made("X86_64", 39, "getpid", 10 ** 9, 0, ""))),
    "many": Recorded(tuple(Made("X86_64", number, name, 10 ** 9 + number * 10 ** 8, number * number) for number,
                           name in enumerate(
        "read write open close stat fstat lstat poll lseek mmap mprotect munmap brk rt_sigaction rt_sigprocmask "
        "rt_sigreturn ioctl pread64 pwrite64 readv writev access pipe select sched_yield mremap msync mincore madvise "
        "shmget shmat shmctl dup dup2 pause nanosleep getitimer alarm setitimer getpid sendfile socket connect accept "
        "sendto recvfrom".split()))),
}


NARROWED = "socket ioctl prctl clone personality".split()  # by --args


def made_recording(chance: Chance) -> Recorded:
    calls = []
    for number, name in enumerate(chance.some(POOL, 1, 12)):
        values = tuple(chance.some([0, 1, 2, 16, 0x5401, 0xFFFFFFFF], 1,
                                   3)) if name in NARROWED and chance.often(0.7) else ()
        calls.append(Made(chance.one(["X86_64", "X86_64", "X86_64", "X86"]), number, name, 10 ** 9 + number * 10 ** 7,
                          chance.below(5000), chance.one(["prog", "sh", "a b"]), values))
    return Recorded(tuple(calls))


def record_cases() -> Iterator[Case]:
    yield from usage_cases("record")
    yield from reference_cases("record", "-o", REFERENCE, "--", "true")
    for options in ("-b read -n", "-b ,", "-b read,,write", "-b frobnicate -o out", "-b ' '", "--args frobnicate",
                    "--args ,",
                    "--args read", "-t yaml", "-t docker", "--name Web", "--name a_b", "--name -", "--backend strace",
                    "--backend auto -t x",
                    "--checkpoint 0", "--checkpoint 0.5", "--checkpoint x", "--checkpoint nan", "--checkpoint inf",
                    "--checkpoint -1",
                    "--checkpoint 1e10", "-o - --append", "-o - --checkpoint 5", "-o /dev/null --append", "-o folder",
                    "-o missing/out",
                    "-o data/README.md/x", "-o ''"):
        yield Case(("record", *shlex.split(options), "--", "true"))
    every = ("", "-n", "-b read,getppid", "-t raw-seccomp", "-t raw-seccomp -n", "-n --portable",
             "-n --portable -t raw-seccomp",
             "-n --stats", "--name web", "-n -q", "-nq --stats", "-n --args socket,ioctl,prctl,clone,semctl",
             "-n --args socket,clone --portable -t raw-seccomp", "--args socket,prctl", "-n -o -",
             "-nv --follow --privileged",
             "-n --checkpoint 5 --backend bpf")
    for label, recorded in RECORDINGS.items():
        for options in every if label in ("small", "arguments", "two architectures") else every[1:2] + every[7:8]:
            words = options.split()
            where = () if "-o" in words else ("-o", "out")
            yield Case(("record", *words, *where, "--", "/bin/My Prog"), label=label, recorded=recorded, compiled=True)
    for kind, name in (("seccomp", "profile.yaml"), ("raw-seccomp", "profile.json")):
        yield Case(("record", "-n", "-t", kind, "prog"), recorded=RECORDINGS["small"], compiled=True)
        yield Case(("record",
                    "-n", "-t", kind, "--append", "prog"), {name: MEANT["crd" if kind == "seccomp" else "json"]},
                   recorded=RECORDINGS["small"], compiled=True)
    for command in ("docker run x", "sudo docker run x", "podman --remote run x", "kubectl exec x -- y",
                    "systemctl start x", "ssh host ls",
                    "sh -c 'docker run x'", "env A=1 timeout 5 systemd-run x", "sudo -b x", "docker ps", "at now",
                    "machinectl shell"):
        yield Case(("record", "-nq", "-o", "out", *shlex.split(command)), recorded=RECORDINGS["small"], compiled=True)
        yield Case(("record", "-nq", "--follow", "-o", "out", *shlex.split(command)), recorded=RECORDINGS["small"],
                   compiled=True)
    for options in ("--pid 2147483647", "--cgroup missing", "--container missing -o missing/out", "--unit missing",
                    "--cgroup data --pid 2", "--pid 1 --follow", "--containers --container a", "--containers true",
                    "--containers -o -", "--containers --name web", "--containers --backend notify",
                    "--containers --follow", "--containers -o missing/out", f"--containers -o {RUNC}",
                    "--pid 1 --privileged", "--pid 1 --backend notify", "--pid 1 -n --for service", "--pid 1 true",
                    "--no-proc-start", "--no-proc-start /", "--no-proc-start --pid 1 x",
                    "--no-proc-start --follow x", "--no-proc-start -o missing/out x"):
        yield Case(("record", "-o", "out", *options.split()))
    yield from append_cases()


def append_cases() -> Iterator[Case]:
    """Recordings joined with what is in the file, in all layouts."""
    document = {"defaultAction": ERRNO, "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [
        {"names": ["close", "read"], "action": ALLOW}, {"names": ["socket"], "action": ALLOW, "args": [
            {"index": 0, "value": 2, "op": "SCMP_CMP_EQ"}]}, {"names": ["uname", "getppid"], "action": ERRNO,
                                                              "errnoRet": 38}]}
    crd = {"apiVersion": API, "kind": "SeccompProfile", "metadata": {"name": "mine"}, "spec": document}
    for layout, (kind, body) in itertools.product(LAYOUTS, (("raw-seccomp", document), ("seccomp", crd))):
        if layout == "list" and kind == "raw-seccomp":
            continue
        for label, options in (("small", "-n"), ("arguments", "-n --args socket,ioctl,clone"),
                               ("two architectures", "-n --portable"),
                               ("nameless", "-n"), ("many", "")):
            yield Case(("record", *options.split(), "--append", "-t", kind, "-o", "out", "prog"),
                       {"out": LAYOUTS[layout](body)},
                       label=f"{layout}, {label}", recorded=RECORDINGS[label], compiled=True)
    # In no order, with all but one of what is recorded: there is one place for that.
    names = ("write exit read clock_getres time rt_sigreturn execve restart_syscall getcpu brk clock_gettime "
             "exit_group gettimeofday").split()
    for layout in LAYOUTS:
        if layout != "list":
            text = LAYOUTS[layout]({"defaultAction": ERRNO, "syscalls": [{"action": ALLOW, "names": names}]})
            yield Case(("record", "-nq", "--append", "-t", "raw-seccomp", "-o", "out", "prog"), {"out": text},
                       label=f"in no order, {layout}", recorded=RECORDINGS["small"], compiled=True)
    for name, text in ODD.items():
        yield Case(("record", "-n", "--args", "socket,clone", "--append", "-t",
                    "seccomp" if "base" in name else "raw-seccomp", "-o",
                    name, "prog"), {name: text}, recorded=RECORDINGS["arguments"], compiled=True)
    for number, content in enumerate([*HOSTILE[:45:3], *HOSTILE[-60::2]]):
        kind = "seccomp" if b"kind" in (content.encode() if isinstance(content, str) else content) else "raw-seccomp"
        yield Case(("record", "-nq", "--append", "-t", kind, "-o", "out", "prog"), {"out": content},
                   label=f"hostile {number}",
                   recorded=RECORDINGS["small"], compiled=True)
    for number in range(90):
        chance = Chance(7000 + number)
        name, text = chance.one(list(MADE.items()))
        options = chance.one(["-n", "-n", "", "-n --portable"])
        if chance.often(0.5):
            options += " --args socket,ioctl,clone,personality,prctl"
        yield Case(("record",
                    *options.split(), "--append", "-t", "seccomp" if name.startswith("crd") else "raw-seccomp", "-o",
                    name,
                    "prog"), {name: text}, recorded=made_recording(chance), compiled=True)
    for name in PROFILES:
        for kind in ("seccomp", "raw-seccomp"):
            yield Case(("record", "-n", "--append", "--args", "socket", "-t", kind, "-o", "out", "prog"), {
                "out": (support.ROOT / "tests" / name).read_bytes()}, label=name, recorded=RECORDINGS["arguments"],
                       compiled=True)


EPERM = (ERRNO, 1)
DENIALS: Dict[str, Sequence[Denied]] = {
    "none": [],
    "one": [Denied("X86_64", 63, (EPERM,), "uname-demo")],
    "twice": [Denied("X86_64", 63, (EPERM,), "a"), Denied("X86_64", 63, (EPERM,), "b", 200, {"times": 5}),
              Denied("X86_64", 110, (EPERM,), "a")],
    "any errno": [Denied("X86_64", 63, ((ERRNO, -1),)), Denied("X86_64", 165, ((ERRNO, -1), (TRAP, 0)))],
    "own filter": [Denied("X86_64", 63, ((ERRNO, 22),)), Denied("X86_64", 63, ((TRAP, 0), (TRACE, 0)), more={
        "other_owner": "unknown", "fact": "it was stopped"}),
        Denied("X86_64", 62, ((ERRNO, 7),), more={"other_owner": ""})],
    "architectures": [Denied("X86", 122, (("SCMP_ACT_KILL_THREAD", 0),)),
                      Denied("", 63, (("SCMP_ACT_KILL_THREAD", 0),)),
                      Denied("X32", 0x40000000 + 63, (EPERM,)), Denied("X86", 102, (("SCMP_ACT_KILL_THREAD", 0),),
                                                                       more={"inner": "socket"})],
    "nameless": [Denied("X86_64", 9999, (EPERM,)), Denied("X86_64", 500, (EPERM,))],
    "nameless, both": [Denied("X86_64", 500, (EPERM,)), Denied("X86", 501, (EPERM,)), Denied("", 7, (EPERM,))],
    "nameless, 32 bits": [Denied("X86", 500, (("SCMP_ACT_KILL_THREAD", 0),))],
    "multiplexed": [Denied("X86", 102, (EPERM,), more={"inner": "socket", "arguments": (1, 2, 3, 0, 0, 0)}),
                    Denied("X86", 117, (EPERM,), more={"inner": "semop", "arguments": (1, 2, 3, 0, 0, 0)})],
    "arguments": [Denied("X86_64", 41, (EPERM,), more={"arguments": (38, 5, 0, 0, 0, 0)}),
                  Denied("X86_64", 41, (EPERM,), more={"arguments": (1 << 40, 5, 0, 0, 0, 0)}),
                  Denied("X86_64", 16, (EPERM,), more={"arguments": (3, 0x5401, 99, 0, 0, 0)}),
                  Denied("X86_64", 135, (EPERM,), more={"arguments": (0x20000, 0, 0, 0, 0, 0)}),
                  Denied("X86_64", 435, (EPERM, (ERRNO, 38)), more={"arguments": (1, 2, 3, 4, 5, 6)})],
    "logged": [Denied("X86_64", 63, ((LOG, 0),)), Denied("X86_64", 101, ((KILL_PROCESS, 0),))],
    "newer": [Denied("X86_64", 444, (EPERM, (ERRNO, 38)), more={"arguments": (0,) * 6})],
    "hostile": [Denied("X86_64", 63, (EPERM,), "\x1b[31m\u202e"), Denied("X86_64", 63, (EPERM,), "a, b (1)")],
    "many values": [Denied("X86_64", 41, (EPERM,), more={"arguments": (value, 0, 0, 0, 0, 0)}) for value in range(100,
                                                                                                                  170)],
}
MEANT = {  # profiles for these
    "allow": HEAD + "architectures: [SCMP_ARCH_X86_64]\n" + RULE.replace("read", "execve, exit_group, read"),
    "rules": HEAD + """architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
syscalls:
- {action: SCMP_ACT_ALLOW, names: [execve, read]}
- action: SCMP_ACT_ALLOW
  names: [socket]
  args: [{index: 0, op: SCMP_CMP_EQ, value: 1}]
- action: SCMP_ACT_ALLOW  # terminals
  names: [ioctl]
  args: [{index: 1, op: SCMP_CMP_MASKED_EQ, value: 4294967295, valueTwo: 21523}]
- {action: SCMP_ACT_ERRNO, errnoRet: 38, names: [clone3, uname]}
- {action: SCMP_ACT_KILL_PROCESS, names: [ptrace]}
- {action: SCMP_ACT_LOG, names: [getppid]}
- {action: SCMP_ACT_ALLOW, names: [personality], args: [{index: 0, op: SCMP_CMP_EQ}]}
- {action: SCMP_ACT_ERRNO, names: [mount], includes: {caps: [CAP_SYS_ADMIN]}}
- {action: SCMP_ACT_ALLOW, names: [frobnicate]}
""",
    "crd": CRD_HEAD + "  architectures:\n  - SCMP_ARCH_X86_64\n  syscalls:\n"
           "  - action: SCMP_ACT_ALLOW\n    names:\n    - execve\n",
    "log": "defaultAction: SCMP_ACT_LOG\n",
    "json": json.dumps({"defaultAction": ALLOW, "syscalls": [{"names": ["uname", "socket"], "action": ERRNO}]},
                       indent=2),
}


def run_cases() -> Iterator[Case]:
    yield from usage_cases("run")
    yield from reference_cases("run", "-p", REFERENCE, "--", "true")
    for options in ("-b frobnicate", "-b ,", "-b ''", "--as docker", "--enricher strace", "--force",
                    "--learn out --enricher none",
                    "--learn out --enricher tracepoint", "--enricher none --force", f"-p {RUNC} --learn missing/x",
                    f"-p {RUNC} --events folder",
                    f"-p {RUNC} --learn folder", f"-p {DOCKER} --base-profile {RUNC}", "-p missing", "-p data",
                    "-p data/README.md",
                    "-p data/spo-seccompprofile.yaml", "-p data/spo-seccompprofile.yaml#none",
                    f"-p {RUNC} --base-profile missing",
                    "-p data/spo-seccompprofile.yaml#profile-block-all", f"-p {DOCKER} --audit-log x --events x",
                    f"-p {DOCKER} --learn out --events out", f"-p {DOCKER} --events {DOCKER}",
                    f"-p {DOCKER} --learn data/spo-seccompprofile.yaml",
                    f"-q -p {DOCKER} --base-profile {RUNC} --learn {RUNC}"):
        yield Case(("run", *shlex.split(options), "--", "true"))
    for number, content in itertools.islice(enumerate(HOSTILE), 0, None, 3):
        yield Case(("run", "-b", "execve", "-p", "x", "true"), {"x": content}, denied=[], label=f"hostile {number}",
                   compiled=True)
    for name, text in ODD.items():
        yield Case(("run", "-p", name, "true"), {name: text}, denied=DENIALS["one"], compiled=True)
        yield Case(("run", "-p", "on base", "--base-profile", name, "-b", "execve,bpf", "true"),
                   {"on base": ODD["on base"], name: text},
                   denied=DENIALS["arguments"], compiled=True)
        yield Case(("run", "-p", name, "--learn", name, "true"), {name: text}, denied=[
            *DENIALS["arguments"], *DENIALS["architectures"], *DENIALS["multiplexed"]], compiled=True)
    for name in ("profile.yaml", "profile.json"):
        yield Case(("run", "true"), {name: MEANT["allow"]}, denied=[], label=name, compiled=True)
    yield Case(("run", "true"))
    for options in ("", "--learn out", "--enricher none"):
        yield Case(("run", "--strict", *options.split(), "-p", "allow", "true"), {"allow": MEANT["allow"]},
                   denied=DENIALS["one"], compiled=True)
    for status in (1, 256, 9, 15, 3 << 8):
        for losses in (), ("a loss",):
            yield Case(("run", "-p", "allow", "true"), {"allow": MEANT["allow"]}, denied=DENIALS["one"], losses=losses,
                       status=status, label=f"status {status}, {len(losses)} losses", compiled=True)
    yield Case(("run", "-p", "-", "true"), stdin=MEANT["rules"], denied=DENIALS["one"], compiled=True)
    for (label, denied), (name, text) in itertools.product(DENIALS.items(), MEANT.items()):
        for options in ("", "--events events -q", "--learn learned", "--learn learned --force", "--as runc -b uname"):
            yield Case(("run", *options.split(), "-p", name, "prog"), {name: text}, denied=denied, label=label,
                       compiled=True)
    for label in ("twice", "arguments", "multiplexed"):
        yield Case(("run", "-p", "rules", "--learn", "rules", "-b", "uname", "prog"), {"rules": MEANT["rules"]},
                   denied=DENIALS[label],
                   label=label, compiled=True)
        yield Case(("run", "-p", "rules", "--learn", "-", "--no-new-privs", "--follow", "prog"),
                   {"rules": MEANT["rules"]},
                   denied=DENIALS[label],
                   label=label, compiled=True)
        yield Case(("run", "-p", "crd", "--base-profile", "rules", "--learn", "out", "prog"), {
            "rules": MEANT["rules"], "crd": MEANT["crd"]}, denied=DENIALS[label], label=label, compiled=True)
    denied = [*DENIALS["twice"], *DENIALS["arguments"], *DENIALS["nameless"]]
    for number, (name, text) in enumerate(MADE.items()):
        options = ("-b execve", "--learn learned", "--learn learned --force",
                   "-b execve --as runc --events events")[number % 4]
        yield Case(("run", *options.split(), "-p", name, "prog"), {name: text}, denied=denied, compiled=True)


CASES: Dict[str, Callable[[], Iterator[Case]]] = {
    "main": main_cases, "record": record_cases, "run": run_cases, "merge": merge_cases, "diff": diff_cases,
    "convert": convert_cases,
    "show": show_cases, "gaps": gaps_cases, "push": push_cases, "pull": pull_cases, "watch": watch_cases,
    "hook": hook_cases, "doctor": doctor_cases, "version": version_cases}


# --- the tests ----------------------------------------------------------------------------------------------


def run_cases_of(adapter: Adapter, cases: Dict[str, Case]) -> Dict[str, str]:
    with Shop(adapter) as shop:
        return {title: shop.run(case) for title, case in cases.items()}


def path_of(command: str) -> pathlib.Path:
    return GOLDEN / f"{command}.txt"


def is_native(adapter: Adapter) -> bool:
    return os.uname().machine == NATIVE and sys.maxsize > 1 << 32 and adapter.libseccomp_version() in LIBSECCOMPS


def differences(expected: Dict[str, str], found: Dict[str, str]) -> str:
    """A unified diff of the first cases that differ; "" if none does."""
    differing = [title for title in {**expected, **found} if expected.get(title) != found.get(title)]
    if not differing:
        return ""
    lines = [f"{len(differing)} of {len({**expected, **found})} cases differ; make golden takes them over"]
    for title in differing[:SHOWN_CASES]:
        lines += ["", f"=== {title}"]
        lines += [line for line in difflib.unified_diff(
            expected.get(title, "(no such case)").split("\n"), found.get(title, "(no such case)").split("\n"),
            "recorded", "now", "", "", 2, "")]
    return "\n".join(lines + [""] + [f"=== {title}" for title in differing[SHOWN_CASES:40]])


class Net(unittest.TestCase):
    """The corpus holds what it should, and what changes does not slip through."""

    def test_every_option_occurs(self) -> None:
        """In all its spellings, as the help texts in the corpus have them: with what works, and what does not."""
        main = parse_corpus(path_of("main").read_text(encoding="utf-8"))
        commands = re.findall(r"(?m)^1\|   ([a-z]+)(?:, [a-z])?  ", main["--help"])
        self.assertEqual(commands, list(OPTIONS))
        for command in commands:
            corpus = parse_corpus(path_of(command).read_text(encoding="utf-8"))
            flags = re.findall(r"(?m)(?:^1\|   |, )(--?[a-z][a-z-]*)(?=[, \n])(?=.*  )", corpus[f"{command} --help"])
            listed = [flag for spellings in OPTIONS[command] for flag in spellings.split()]
            self.assertEqual(sorted(flags), sorted(listed))
            for spellings in OPTIONS[command]:
                for ends in ("2",), ("0", "1", "3", "125", "126", "137", "143"):
                    self.assertTrue(any(text.startswith(tuple(f"exit {code}\n" for code in ends)) and any(
                        re.search(rf"(?<!\S){flag}(?![\w-])|(?<!\S)-[a-z]*{flag[1]}",
                                  title) for flag in spellings.split())
                        for title, text in corpus.items()), (command, spellings, ends))

    def test_advice_is_for_the_command_that_gives_it(self) -> None:
        """It names only options of that command, or of the command that it names."""
        checked = 0
        for command in CASES:
            own = {name for option in spoc.options_of(command) for name in option.names.split()}
            for title, text in parse_corpus(path_of(command).read_text(encoding="utf-8")).items():
                for message in re.findall(r"(?m)^2\| TIME (.*)$", text):
                    for found in re.finditer(r"(?<![\w-])(?<!ps )--?[a-z][a-z-]*", message):
                        if found[0] in title or found[0] == "--help":
                            continue
                        checked += 1
                        before = re.split("[;:]", message[:found.start()])[-1].split()
                        named = [word for word in before if word in spoc.COMMANDS]
                        names = {name for option in spoc.options_of(named[-1]) for name in option.names.split()
                                 } if named else set()
                        self.assertIn(found[0], own | names, (title, message))
        self.assertGreater(checked, 100)

    def test_changed_words_are_noticed(self) -> None:
        """Of the messages in spoc.py's functions a sample is changed: cases with each of them differ."""
        native = is_native(Adapter(spoc))
        cases = {(command, title): case for command, make in CASES.items() for title, case in titled(make()).items()
                 if native or not case.compiled}
        corpora = {command: parse_corpus(path_of(command).read_text(encoding="utf-8")) for command in CASES}
        source = support.SOURCE.read_text(encoding="utf-8")
        texts = {node.value for node in strings_in_functions(ast.parse(source))}
        sample = sorted(text for text in texts if source.count(text) == 1 and re.search("[a-z]{3} [a-z]{3}", text))[::4]
        # Some of each command, as what one command says in these words may come from elsewhere.
        told = {text: [(command, title) for command in CASES for title in [
            title for title, told_by in corpora[command].items() if text in told_by and (command, title) in cases][:4]]
            for text in sample}
        self.assertGreater(sum(map(bool, told.values())), 20)
        chosen = {key for keys in told.values() for key in keys}
        with Shop(Adapter(changed_copy(sample))) as shop:
            found = {key: shop.run(cases[key]) for key in chosen}
        for text, keys in told.items():
            with self.subTest(text=text):  # the same words may come from elsewhere in some
                self.assertTrue(not keys or any(differences({title: corpora[command][title]}, {
                    title: found[command, title]}) for command, title in keys))

    def test_changed_files_are_noticed(self) -> None:
        """A case that was left out or added, and each of what a case consists of."""
        with Shop(Adapter(spoc)) as shop:
            base = Case(("merge", "-o", "out", RUNC))
            text = shop.run(base)
            self.assertEqual(shop.run(base), text)
            self.assertRegex(text, r"(?s)\Aexit 0\n2\| TIME Merged 1 profile into: out\nfile out 644\n\| apiVersion: ")
            for other in (("merge", RUNC), ("merge", "-q", "-o", "out", RUNC), ("merge", "-o", "other", RUNC),
                          ("merge", "-o", "out", RUNC, DOCKER), ("merge", "-o", "missing/out", RUNC)):
                self.assertNotEqual(shop.run(Case(other)), text)
            self.assertIn("\n+file out 644\n", differences({"a": shop.run(Case(("merge", RUNC)))}, {"a": text}))
            os.umask(0o077)
            self.assertIn("file out 600\n", shop.run(base))
        one, others = {"a": "1"}, [{}, {"a": "2"}, {"a": "1", "b": ""}]  # type: Dict[str, str], List[Dict[str, str]]
        for other_results in others:
            self.assertIn("cases differ", differences(one, other_results))
            self.assertIn("cases differ", differences(other_results, one))
        self.assertEqual(differences({"a": "1"}, {"a": "1"}), "")
        results = {"a b": "exit 0\n1| === x\n", "c": ""}
        self.assertEqual(parse_corpus(format_corpus(results)), results)

    def test_long_outputs_are_held_as_a_whole(self) -> None:
        text = "word\n" * 1000
        self.assertNotEqual(shortened("1|", text), shortened("1|", text[:-2] + "t\n"))
        self.assertLess(len(shortened("1|", text)), 300)


class Golden(unittest.TestCase):
    """Each command does what it did."""

    maxDiff = None

    def check(self, command: str) -> None:
        adapter = Adapter(spoc)
        native = is_native(adapter)
        cases = titled(CASES[command]())
        if MODE:
            support.require(native, COMPILED_WITH)
            folder = GOLDEN if MODE == "write" else pathlib.Path(MODE)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{command}.txt").write_text(format_corpus(run_cases_of(adapter, cases)), encoding="utf-8")
            return
        expected = parse_corpus(path_of(command).read_text(encoding="utf-8"))
        left = {title for title, case in cases.items() if case.compiled and not native}
        found = run_cases_of(adapter, {title: case for title, case in cases.items() if title not in left})
        text = differences({title: text for title, text in expected.items() if title not in left}, found)
        if text:
            self.fail(text)
        if left:
            self.skipTest(f"{len(left)} cases need {COMPILED_WITH}; the others are the same")

    def test_main(self) -> None:
        self.check("main")

    def test_record(self) -> None:
        self.check("record")

    def test_run(self) -> None:
        self.check("run")

    def test_watch(self) -> None:
        self.check("watch")

    def test_merge(self) -> None:
        self.check("merge")

    def test_diff(self) -> None:
        self.check("diff")

    def test_convert(self) -> None:
        self.check("convert")

    def test_show(self) -> None:
        self.check("show")

    def test_gaps(self) -> None:
        self.check("gaps")

    def test_doctor(self) -> None:
        self.check("doctor")

    def test_hook(self) -> None:
        self.check("hook")

    def test_push(self) -> None:
        self.check("push")

    def test_pull(self) -> None:
        self.check("pull")

    def test_version(self) -> None:
        self.check("version")
