#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The tests of `make check-vm` that run on the booted machine itself, beside spoc.py and recorder.bpf.o.

/root/job.json says which tests to run and what machine this should be. Each test runs in a process and a mount
namespace of its own. What came of it goes to the console as a line with the job's secret and a checksum.
"""

import contextlib
import ctypes
import json
import os
import platform
import re
import resource
import signal
import struct
import subprocess
import sys
import threading
import time
import traceback
import zlib
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Sequence, Set, Tuple

HERE = os.path.dirname(os.path.abspath(__file__))
SPOC = os.path.join(HERE, "spoc.py")
TEST_TIMEOUT_S = 400
ORDINARY_USER = 1000
CLONE_NEWNS, CLONE_NEWNET = 0x20000, 0x40000000
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18
MNT_DETACH = 2
libc = ctypes.CDLL(None, use_errno=True)


class Skip(Exception):
    """The test has no meaning on this machine: why."""


class Job(NamedTuple):
    """What the host wants to know."""

    secret: str
    tests: Sequence[str]
    machine: str
    release: str
    bits: int
    python: str
    libbpf: str
    libseccomp: str
    lockdown: str
    getsid_number: int
    held: Sequence[str]  # what the profile held before the power went


# Runs spoc.py with the arguments that follow; Python keeps the bytecode of what is imported, which halves the time.
IMPORTED = ("python3", "-c", "import os, sys; sys.path[0] = sys.argv.pop(1); import spoc; os._exit(spoc.main())", HERE)
TESTS: "Dict[str, Callable[[Job], None]]" = {}


def test(function: "Callable[[Job], None]") -> "Callable[[Job], None]":
    """Enter a function in TESTS."""
    TESTS[function.__name__] = function
    return function


# --- What the tests share ----------------------------------------------------


def run(command: Sequence[str], user: int = 0, code: int = 0) -> "subprocess.CompletedProcess[str]":
    """Run a command as that user; it must end with exit code `code`."""
    def become_user() -> None:
        if user:
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)

    result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            universal_newlines=True, timeout=300, preexec_fn=become_user)
    return ended_with(result, code)


def ended_with(result: "subprocess.CompletedProcess[str]", code: int) -> "subprocess.CompletedProcess[str]":
    assert result.returncode == code, f"exit code {result.returncode}, not {code}, of {result.args}:\n" \
        f"{result.stdout}\n{result.stderr}"
    return result


def fork_spoc(arguments: Sequence[str], stdout: int, stderr: int) -> int:
    """Start spoc.py with these arguments in a fork of this process; give its pid."""
    pid = os.fork()
    if pid:
        return pid
    try:
        for number, descriptor in enumerate((os.open(os.devnull, os.O_RDONLY), stdout, stderr)):
            os.dup2(descriptor, number)
        import spoc as module
        os._exit(module.main(arguments))
    finally:
        traceback.print_exc()
        os._exit(255)


def spoc(*arguments: str, user: int = 0, code: int = 0) -> "subprocess.CompletedProcess[str]":
    """Run spoc.py with these arguments; it must end with exit code `code`.

    For root in a fork of this process, which has imported it: under emulation a start of Python takes longer than most
    of what is tested. An ordinary user starts it, since what changes its user without execve(2) does not own its own
    /proc/self (prctl(2), PR_SET_DUMPABLE). See the test machine for what a user types.
    """
    if user:
        return run([*IMPORTED, *arguments], user, code)
    outputs = [os.memfd_create("stdout"), os.memfd_create("stderr")]
    pid = fork_spoc(arguments, *outputs)
    try:
        _, status = os.waitpid(pid, 0)
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    texts = []
    for descriptor in outputs:
        os.lseek(descriptor, 0, os.SEEK_SET)
        with open(descriptor, encoding="utf-8") as file:
            texts.append(file.read())
    result = subprocess.CompletedProcess(arguments, os.waitstatus_to_exitcode(status), *texts)
    return ended_with(result, code)


def read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def write(path: str, text: str) -> str:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def equal(found: Any, expected: Any) -> None:
    assert found == expected, f"{found!r} is not {expected!r}"


def contains(text: str, part: str) -> None:
    assert part in text, f"{part!r} is not in:\n{text}"


def record(*command: str, options: Sequence[str] = (), user: int = 0) -> "Set[str]":
    """The names that `record -n` finds; the profile holds what the kernel makes by itself as well."""
    result = spoc("record", "-n", "-t", "raw-seccomp", "-o", "-", *options, "--", *command, user=user)
    document = json.loads(result.stdout[result.stdout.index("{"):])
    names = {name for rule in document["syscalls"] for name in rule["names"]}
    got, made = (set(re.findall(r"\w+", "".join(re.findall(rf"(?m)^\S+ {said}: (.*)$", result.stderr))))
                 for said in ("Got syscalls", "Adding what the kernel makes by itself"))
    equal(names, got | made)
    assert {"restart_syscall", "rt_sigreturn", "exit", "exit_group", "clock_gettime"} <= names, names
    has_sigreturn = {"SCMP_ARCH_ARM", "SCMP_ARCH_X86", "SCMP_ARCH_PPC64LE"}  # on the last a number that does nothing
    equal("sigreturn" in names, not has_sigreturn.isdisjoint(document["architectures"]))
    return got


UNNAMED = {"syscall_0x102": "riscv_hwprobe"}  # of which strace 6.13 has no name


def traced(*command: str, user: int = 0) -> "Set[str]":
    """The names that strace sees after the command's execve has succeeded."""
    path = f"/tmp/strace.{user}"
    run(["strace", "-f", "-qq", "-o", path, "--", *command], user)
    lines = read(path).splitlines()
    os.unlink(path)
    assert "execve(" in lines[0] and lines[0].endswith(" = 0"), lines[0]
    calls = [re.match(r"\d+ +(\w+)\(", line) for line in lines[1:]]
    return {UNNAMED.get(call[1], call[1]) for call in calls if call}


def same_as_strace(*command: str, options: Sequence[str] = (), user: int = 0) -> None:
    """What is recorded of a command is what strace sees; a first run has Python write its bytecode."""
    run(command)
    found, expected = record(*command, options=options, user=user), traced(*command, user=user)
    assert found == expected, f"only recorded: {found - expected}, only traced: {expected - found}"
    assert len(found) > 8, found


SHELL = ("busybox", "sh", "-c", "cd /tmp; busybox mkdir -p d; busybox ls -l / | busybox sort >d/f; busybox mv d/f d/g;"
         "busybox rm -r d")
PYTHON = ("python3", "-I", "-c", "import os, select\n"
          "os.close(os.memfd_create('m')); select.epoll().close(); os.nice(0); os.getsid(0); os.urandom(4)\n"
          "if os.fork() == 0: os.execv('/bin/busybox', ['busybox', 'true'])\n"
          "os.wait()")
# Python's handlers have no SA_RESTART. Each signal may come when the other's handler returns.
SIGNALS = ("python3", "-I", "-c", "import os, signal\n"
           "for number in (signal.SIGUSR1, signal.SIGUSR2): signal.signal(number, lambda *_: None)\n"
           "pid = os.getpid()\n"
           "if os.fork() == 0:\n"
           "    for _ in range(500): os.kill(pid, signal.SIGUSR1); os.kill(pid, signal.SIGUSR2)\n"
           "    os._exit(0)\n"
           "while (ended := os.waitpid(-1, os.WNOHANG)) == (0, 0): pass\n"
           "os._exit(ended[1] >> 8)")
# Neither Python nor BusyBox calls getsid(2) unless told to.
GETSID = ("python3", "-I", "-c",
          "import os\ntry: print(os.getsid(0) >= 0)\nexcept OSError as e: print('errno', e.errno)")


def blocking(action: str, **more: Any) -> str:
    """The file name of a profile that stops getsid(2) alone."""
    return write("/run/profile.json", json.dumps({
        "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["getsid"], "action": action, **more}]}))


def libc_call(name: str, *arguments: Any) -> None:
    if getattr(libc, name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), f"{name}{arguments}: {os.strerror(ctypes.get_errno())}")


def unmount(path: str) -> None:
    libc_call("umount2", path.encode(), MNT_DETACH)


# --- What the machine is -----------------------------------------------------


@test
def machine(job: Job) -> None:
    """It is the machine that the table says, with no more memory, and all of spoc.py is there that a user copies."""
    equal(platform.machine(), job.machine)
    assert platform.release().startswith(job.release), platform.release()
    equal(ctypes.sizeof(ctypes.c_void_p) * 8, job.bits)
    equal(".".join(map(str, sys.version_info[:2])), job.python)
    contains(spoc("version").stdout, f"libseccomp {job.libseccomp}")
    # As a user types it; the init scripts of the machine `init` start it by its first line.
    run(["python3", SPOC, "record", "-q", "-n", "-o", "/run/typed.yaml", "--", "busybox", "uname"])
    contains(read("/run/typed.yaml"), "- uname\n")
    ctypes.CDLL(job.libbpf)
    other = {"libbpf.so.0": "libbpf.so.1", "libbpf.so.1": "libbpf.so.0"}[job.libbpf]
    with contextlib.suppress(OSError):
        ctypes.CDLL(other)
        raise AssertionError(f"{other} is there as well")
    if job.lockdown:
        contains(read("/sys/kernel/security/lockdown"), f"[{job.lockdown}]")


@test
def realtime(job: Job) -> None:
    """The kernel may be preempted nearly everywhere: in what the recorder's programs do as well."""
    equal(read("/sys/kernel/realtime"), "1\n")


@test
def memory_192_mib(job: Job) -> None:
    """192 MiB of memory hold the unpacked system, spoc.py and what it records, and nothing had to be killed."""
    fields = dict(re.findall(r"(\w+): +(\d+) kB", read("/proc/meminfo")))
    assert int(fields["MemTotal"]) <= 192 << 10, fields
    equal(fields["SwapTotal"], "0")
    run([*IMPORTED, "record", "-q", "-n", "-o", "/dev/null", "--",
         "busybox", "sh", "-c", "i=0; while [ $i -lt 50 ]; do busybox true; i=$((i+1)); done"])
    peak_kib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    assert peak_kib < 32 << 10, peak_kib
    with open("/dev/kmsg", encoding="utf-8", errors="replace", opener=lambda path, flags: os.open(
            path, flags | os.O_NONBLOCK)) as log, contextlib.suppress(BlockingIOError):
        for line in log:
            assert "Out of memory" not in line and "oom-kill" not in line, line


# --- Recording ---------------------------------------------------------------


@test
def record_shell(job: Job) -> None:
    same_as_strace(*SHELL)


@test
def record_32_bit(job: Job) -> None:
    """Calls of a 32-bit program are told from those of the 64-bit one that starts it."""
    folders = [name for name in ("armhf", "i386") if os.path.exists(f"/opt/{name}/busybox")]
    if not folders:
        raise Skip("the kernel is a 32-bit one, or there is nothing but 32-bit programs")
    same_as_strace("busybox", "sh", "-c", f"/opt/{folders[0]}/busybox stat / >/dev/null; busybox stat / >/dev/null")
    profile = spoc("record", "-n", "-q", "-o", "-", "--", f"/opt/{folders[0]}/busybox", "true").stdout
    contains(profile, "SCMP_ARCH_" + {"armhf": "ARM", "i386": "X86"}[folders[0]])


@test
def record_stats(job: Job) -> None:
    """The counts are those of calls that were made on purpose."""
    program = "import os\nfor _ in range(321): os.getppid()\nfor _ in range(123): os.getsid(0)"
    report = spoc("record", "-q", "-n", "--stats", "-o", "/dev/null", "--", "python3", "-I", "-c", program).stderr
    for name, times in (("getppid", 321), ("getsid", 123)):
        assert re.search(rf"^ *{name} +{times} ", report, re.MULTILINE), report


@test
def record_args(job: Job) -> None:
    """The values of a call's first, second and third argument are those that it was made with."""
    program = ("import ctypes\nlibc = ctypes.CDLL(None)\n"
               "for value in (3, 7): libc.prctl(value, 0, 0, 0, 0)\n"
               "libc.setns(-1, 4660); libc.madvise(None, 0, 4661)")
    profile = spoc("record", "-q", "-n", "--args", "prctl,setns,madvise", "-t", "raw-seccomp", "-o", "-", "--",
                   "python3", "-I", "-c", program).stdout
    found: "Dict[str, Set[int]]" = {}
    for rule in json.loads(profile)["syscalls"]:
        for condition in rule.get("args", []):
            found.setdefault(rule["names"][0], set()).add(condition["valueTwo"])
    assert 4661 in found["madvise"], found  # which libc makes, too
    equal((found["prctl"], found["setns"]), ({3, 7}, {4660}))


@test
def record_follow(job: Job) -> None:
    """A daemon that forks away is recorded until SIGTERM; what was recorded before is not lost when it is added to."""
    write("/run/a.yaml", spoc("record", "-q", "-n", "-o", "-", "--", "busybox", "uname").stdout.partition("\n")[2])
    before = read("/run/a.yaml")
    daemon = "busybox setsid busybox sh -c 'busybox usleep 300000; busybox chroot / busybox true' & exit 0"
    spoc("record", "-q", "-n", "--append", "--follow", "--checkpoint", "1", "-o", "/run/a.yaml", "--",
         "busybox", "sh", "-c", daemon)
    contains(before, "- uname")
    for name in ("- uname", "- setsid", "- chroot"):
        contains(read("/run/a.yaml"), name)


# Two calls all the time, once the file is there that tells of that.
LOOP = ("python3", "-I", "-c", "import os, time\nopen('/run/looping', 'w').close()\nwhile True:\n"
        "    try: os.getsid(0)\n    except OSError: pass\n    time.sleep(0.05)")


@contextlib.contextmanager
def looping(*wrapper: str) -> Iterator[int]:
    """The pid of what runs the loop, or of what has started it, until the block ends."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink("/run/looping")
    process = subprocess.Popen([*wrapper, *LOOP], stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        while not os.path.exists("/run/looping"):
            assert process.poll() is None
            time.sleep(0.1)
        yield process.pid
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@test
def record_what_runs(job: Job) -> None:
    """Of a process, until it ends; and of another that waits, the call that it waits in."""
    def end() -> None:
        while not os.path.exists("/run/attached.json"):
            time.sleep(0.1)
        os.killpg(pid, signal.SIGKILL)

    with looping() as pid:
        ending = threading.Thread(target=end)
        ending.start()
        spoc("record", "-q", "-n", "-t", "raw-seccomp", "--checkpoint", "1", "-o", "/run/attached.json", "--pid",
             str(pid))
        ending.join()
    found = {name for rule in json.loads(read("/run/attached.json"))["syscalls"] for name in rule["names"]}
    assert "getsid" in found, found
    assert {name for name in found if "nanosleep" in name or "select" in name}, found
    assert "execve" not in found, found


@test
def record_by_name(job: Job) -> None:
    """What starts under a name is recorded from its exec on."""
    os.symlink(sys.executable, "/run/by-name")
    process = subprocess.Popen([*IMPORTED, "record", "-n", "-t", "raw-seccomp", "-o", "/run/by-name.json",
                                "--no-proc-start", "by-name"], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                               text=True)
    assert process.stderr
    try:
        while "Processing events" not in process.stderr.readline():
            assert process.poll() is None
        subprocess.run(["/run/by-name", "-I", "-c", "import os; os.getsid(0)"], check=True)
        process.terminate()
        log = process.communicate(timeout=60)[1]
    finally:
        process.kill()
    assert process.returncode == 0, log
    found = {name for rule in json.loads(read("/run/by-name.json"))["syscalls"] for name in rule["names"]}
    assert {"getsid", "brk"} <= found, found
    assert "execve" not in found, found
    contains(log, "Found 1 task in bpf map")


@test
def record_containers(job: Job) -> None:
    """What starts in pid namespaces of its own, each for itself, and nothing of what starts beside it."""
    log, folder = "/run/containers.log", "/run/containers"

    def logged(text: str, times: int = 1) -> None:
        while read(log).count(text) < times:
            assert recorder.poll() is None, read(log)
            time.sleep(0.1)
    with open(log, "wb") as file:
        recorder = subprocess.Popen([*IMPORTED, "record", "--containers", "-n", "-o", folder], stderr=file)
    logged("Recording every container")
    shell = ["unshare", "-p", "-f", "sh", "-c"]
    with subprocess.Popen([*shell, "mkdir /run/inside; sleep 1; :"]) as one:
        run([*shell, "ln -s x /run/link; sleep 1; :"])
        one.wait()
        run(["rmdir", "/run/inside"])  # which is none of them
    logged("Wrote seccomp profile to: ", 2)
    recorder.send_signal(signal.SIGTERM)
    equal(recorder.wait(), 0)
    found = [profile_names(os.path.join(folder, name)) for name in os.listdir(folder)]
    equal(sorted(["mkdir" in names or "mkdirat" in names, "symlink" in names or "symlinkat" in names]
                 for names in found), [[False, True], [True, False]])
    equal([name for names in found for name in names if name in ("rmdir", "unlinkat", "unshare")], [])


@test
def watch_what_runs(job: Job) -> None:
    """What a filter stops that another has loaded is named, by a watch of the machine and of a process."""
    profile = blocking("SCMP_ACT_ERRNO", errnoRet=95)
    with looping(*IMPORTED, "run", "-q", "-p", profile, "--enricher", "none", "--") as pid:
        for options in ((), ("--pid", str(pid))):
            log = spoc("watch", "--for", "3", *options).stderr
            named = re.findall(r"Seccomp: (.*), pid: \d+, comm: (.*)", log)
            assert len(named) == 1 and re.fullmatch(r"getsid \(\d+\), action: SCMP_ACT_ERRNO \((EOPNOTSUPP|ENOTSUP)\)",
                                                    named[0][0]), log
            contains(log, "To allow what was blocked: spoc.py merge -b getsid")


@test
def backend_bpf(job: Job) -> None:
    same_as_strace(*PYTHON, options=("--backend", "bpf"))


@test
def backend_notify(job: Job) -> None:
    """An ordinary user records without any privilege."""
    same_as_strace(*SHELL, options=("--backend", "notify"), user=ORDINARY_USER)
    same_as_strace(*PYTHON, options=("--backend", "notify"), user=ORDINARY_USER)


@test
def backend_notify_under_signals(job: Job) -> None:
    """A handler that is interrupted as it returns, returns all the same."""
    found = record(*SIGNALS, options=("--backend", "notify"), user=ORDINARY_USER)
    assert not {"rt_sigreturn", "sigreturn"}.isdisjoint(found), found


@test
def backend_auto(job: Job) -> None:
    """It takes bpf for root and notify for others, and says why."""
    command = ("record", "-n", "-o", "/dev/null", "--", "busybox", "true")
    contains(spoc(*command).stderr, "Module successfully loaded")
    told = spoc(*command, user=ORDINARY_USER).stderr
    contains(told, "Recording with user notification: load BPF programs: ")
    spoc(*command[:1], "--backend", "bpf", *command[1:], user=ORDINARY_USER, code=125)


# --- A container that runc starts --------------------------------------------

# What puts a call's arguments 0, the stack and 1 into the registers of each architecture, then what makes the call of a
# number; with the lines of an assembler.
CODE: "Dict[str, Tuple[bytes, Callable[[int], bytes]]]" = {
    "amd64": (b"\x31\xff" b"\x48\x89\xe6" b"\xba\1\0\0\0",  # xor edi, edi; mov rsi, rsp; mov edx, 1
              lambda number: b"\xb8" + struct.pack("<I", number) + b"\x0f\x05"),  # mov eax, number; syscall
    "i386": (b"\x31\xdb" b"\x89\xe1" b"\xba\1\0\0\0",  # xor ebx, ebx; mov ecx, esp; mov edx, 1
             lambda number: b"\xb8" + struct.pack("<I", number) + b"\xcd\x80"),  # mov eax, number; int 0x80
    "arm64": (struct.pack("<3I", 0xD2800000, 0x910003E1, 0xD2800022),  # mov x0, 0; mov x1, sp; mov x2, 1
              lambda number: struct.pack("<2I", 0xD2800008 | number << 5, 0xD4000001)),  # mov x8, number; svc 0
    "armhf": (struct.pack("<3I", 0xE3A00000, 0xE1A0100D, 0xE3A02001),  # mov r0, 0; mov r1, sp; mov r2, 1
              lambda number: struct.pack("<2I", 0xE3A07000 | number, 0xEF000000)),  # mov r7, number; svc 0
    "riscv64": (struct.pack("<3I", 0x00000513, 0x00010593, 0x00100613),  # li a0, 0; mv a1, sp; li a2, 1
                lambda number: struct.pack("<2I", 0x00000893 | number << 20, 0x00000073)),  # li a7, number; ecall
    "ppc64el": (struct.pack("<3I", 0x38600000, 0x7C240B78, 0x38A00001),  # li r3, 0; mr r4, r1; li r5, 1
                lambda number: struct.pack("<2I", 0x38000000 | number, 0x44000002)),  # li r0, number; sc
}
MACHINE = {"amd64": 62, "i386": 3, "arm64": 183, "armhf": 40, "riscv64": 243, "ppc64el": 21}  # linux/elf-em.h: EM_*
# asm/unistd.h of each: what none of runc, Python and BusyBox has to do here is the second program's.
NUMBERS = {"amd64": {"read": 0, "getppid": 110, "umask": 95, "exit": 60},
           **dict.fromkeys(("arm64", "riscv64"), {"read": 63, "getppid": 173, "umask": 166, "exit": 93}),
           **dict.fromkeys(("i386", "armhf", "ppc64el"), {"read": 3, "getppid": 64, "umask": 60, "exit": 1})}
FLAGS = {"armhf": 0x05000000, "ppc64el": 2}  # EF_ARM_EABI_VER5; version 2 of the ABI
LOADED_AT = 0x400000


def static_program(architecture: str, *names: str) -> bytes:
    """An ELF file (elf(5)) that makes these calls, each with the arguments 0, the stack and 1, and no other."""
    arguments, ask = CODE[architecture]
    code = b"".join(arguments + ask(NUMBERS[architecture][name]) for name in names)
    is_64_bit = "64" in architecture
    header_size, segment_size = (64, 56) if is_64_bit else (52, 32)
    start = header_size + segment_size
    identity = b"\x7fELF" + bytes([2 if is_64_bit else 1, 1, 1]) + bytes(9)
    header = struct.pack("<HHIQQQIHHHHHH" if is_64_bit else "<HHIIIIIHHHHHH", 2, MACHINE[architecture], 1,
                         LOADED_AT + start, header_size, 0, FLAGS.get(architecture, 0),
                         header_size, segment_size, 1, 0, 0, 0)
    size, readable_executable = start + len(code), 5
    segment = (struct.pack("<IIQQQQQQ", 1, readable_executable, 0, LOADED_AT, LOADED_AT, size, size, 0x10000)
               if is_64_bit else
               struct.pack("<IIIIIIII", 1, 0, LOADED_AT, LOADED_AT, size, size, readable_executable, 0x10000))
    return identity + header + segment + code


def make_bundle(folder: str, architecture: str) -> None:
    """What runc starts a container from, and another program for `runc exec`."""
    for name in ("root/proc", "root/dev", "root/sys"):
        os.makedirs(os.path.join(folder, name))
    for name, calls in (("first", ("getppid", "read", "exit")), ("second", ("umask", "exit"))):
        with open(os.open(f"{folder}/root/{name}", os.O_WRONLY | os.O_CREAT, 0o755), "wb") as file:
            file.write(static_program(architecture, *calls))
    write(f"{folder}/config.json", json.dumps({
        "ociVersion": "1.0.2", "root": {"path": "root"},
        "process": {"user": {"uid": 0, "gid": 0}, "args": ["/first"], "cwd": "/", "env": ["PATH=/"]},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"},
                   {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
                   {"destination": "/sys", "source": "/sys", "options": ["rbind", "ro"]}],
        "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}]}}))


@test
def record_runc(job: Job) -> None:
    """Of a container that runc makes, all that its programs call and nothing that runc does: waited for by its id, and
    as one of all.
    """
    libc_call("mount", b"cgroup2", b"/sys/fs/cgroup", b"cgroup2", 0, None)
    with contextlib.suppress(FileExistsError):  # as everywhere: for TOMOYO a copy of runc, executed by its descriptor,
        os.symlink("/proc/self/fd", "/dev/fd")  # is one of its files
    architecture = {("x86_64", 64): "amd64", ("i686", 32): "i386", ("aarch64", 64): "arm64",
                    ("riscv64", 64): "riscv64", ("ppc64le", 64): "ppc64el"}.get(
        (job.machine, job.bits), "armhf")
    make_bundle("/run/bundle", architecture)
    one, of_all = os.urandom(32).hex(), os.urandom(32).hex()
    log = run_container_beside(one, "--container", one, "-o", "/run/one.json")
    contains(log, "Got syscalls: exit, getppid, read, umask\n")
    run_container_beside(of_all, "--containers", "-o", "/run/all")
    equal(os.listdir("/run/all"), [f"{of_all}.json"])
    profiles = [{name for rule in json.loads(read(path))["syscalls"] for name in rule["names"]}
                for path in ("/run/one.json", f"/run/all/{of_all}.json")]
    equal(profiles[0], profiles[1])


def run_container_beside(identifier: str, *options: str) -> str:
    """Let runc start a container and execute another program in it beside `record` with these options; give its log."""
    runc, log = ("runc", "--root", "/run/runc"), "/run/record.log"
    with open(log, "wb") as file:
        pid = fork_spoc(("record", "-n", "-t", "raw-seccomp", *options), file.fileno(), file.fileno())

    def logged(text: str) -> None:
        while text not in read(log):
            assert os.waitpid(pid, os.WNOHANG)[0] == 0, read(log)
            time.sleep(0.1)

    try:
        logged("Processing events")
        held, release = os.pipe()
        # An initial file system cannot be pivoted away from (pivot_root(2)).
        with open("/run/runc.log", "wb") as file:  # which the container holds as well
            code = subprocess.call([*runc, "run", "--no-pivot", "--detach", "--bundle", "/run/bundle", identifier],
                                   stdin=held, stdout=file, stderr=file)
        os.close(held)
        equal((code, read("/run/runc.log")), (0, ""))
        run([*runc, "exec", identifier, "/second"])
        os.close(release)
        logged("Wrote seccomp profile to: ")
        if "--containers" in options:  # the other ends with its container
            os.kill(pid, signal.SIGTERM)
        equal(os.waitpid(pid, 0)[1], 0)
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        raise
    return read(log)


# --- Running -----------------------------------------------------------------


@test
def run_filters(job: Job) -> None:
    """The filter is loaded: the kernel says so, and a program that knows nothing of it gets the profile's errno."""
    profile = blocking("SCMP_ACT_ERRNO", errnoRet=95)
    equal(spoc("run", "-q", "-p", profile, "--enricher", "none", "--", *GETSID).stdout, "errno 95\n")
    status = spoc("run", "-q", "-p", profile, "--", "busybox", "grep", "^Seccomp:", "/proc/self/status").stdout
    equal(status.split(), ["Seccomp:", "2"])


@test
def record_then_run(job: Job) -> None:
    """Under its own recorded profile, base syscalls included, a program works as it does without: nothing is named.
    """
    command = ("busybox", "sh", "-c", "busybox ls /etc | busybox sort; busybox mkdir /run/$$; busybox rmdir /run/$$")
    profile = "/run/own.yaml"
    spoc("record", "-q", "-o", profile, "--", *command)
    for name in ("- execve", "- pivot_root", "- setgroups", "- capset"):
        contains(read(profile), name)
    bare = run(command)
    result = spoc("run", "-q", "-p", profile, "--", *command)
    equal((result.stdout, result.stderr), (bare.stdout, ""))


ACTIONS = {"getsid": "SCMP_ACT_ERRNO", "getpgid": "SCMP_ACT_TRAP", "sched_getscheduler": "SCMP_ACT_KILL_PROCESS",
           "sched_get_priority_max": "SCMP_ACT_LOG"}
CALLS = ("python3", "-I", "-c", f"import os\nfor name in {list(ACTIONS)}:\n"
         "    if os.fork() == 0:\n"
         "        try: getattr(os, name)(0)\n"
         "        except OSError as error: os._exit(error.errno)\n"
         "        os._exit(0)\n"
         "    print(os.waitstatus_to_exitcode(os.wait()[1]))")


def denials(job: Job, enricher: str, user: int = 0) -> None:
    """Each action does to a child what the kernel's manual says, and is named, and nothing else is."""
    profile = write("/run/actions.json", json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": [name], "action": action} for name, action in ACTIONS.items()]}))
    result = spoc("run", "-q", "-p", profile, "--enricher", enricher, "--", *CALLS, user=user)
    equal(result.stdout.split(), ["1", f"{-signal.SIGSYS}", f"{-signal.SIGSYS}", "0"])
    named = re.findall(r"Seccomp: (\w+) \((\d+)\), action: (\w+)( \(EPERM\))?, pid: \d+, comm: python3\n",
                       result.stderr)
    equal({name: action for name, _, action, _ in named}, ACTIONS)
    equal(len(re.findall("Seccomp: ", result.stderr)), len(named))
    equal(len(re.findall("Seccomp summary: .*, 1 time, by: python3", result.stderr)), len(named))
    equal([number for name, number, _, _ in named if name == "getsid"], [str(job.getsid_number)])


@test
def denials_tracepoint(job: Job) -> None:
    denials(job, "tracepoint")


@test
def denials_notify(job: Job) -> None:
    """An ordinary user is told."""
    denials(job, "notify", ORDINARY_USER)


# getcpu(2), through x86-64's vsyscall page: nothing here calls it otherwise.
PAGE = ("python3", "-I", "-c", "import ctypes, os\n"
        "getcpu = ctypes.CFUNCTYPE(ctypes.c_long, *[ctypes.c_void_p] * 3)(0xffffffffff600800)\n"
        "if os.fork() == 0: os._exit(-getcpu(None, None, None))\n"
        "print(os.waitstatus_to_exitcode(os.wait()[1]))")


@test
def vsyscall_page(job: Job) -> None:
    """Calls through it are recorded, and named where a filter stops them."""
    if "[vsyscall]" not in read("/proc/self/maps"):
        raise Skip("the kernel has no vsyscall page")
    log = spoc("record", "-n", "-o", "/dev/null", "--", *PAGE).stderr
    contains(re.findall("Got syscalls: (.*)", log)[0], " getcpu,")
    for action, answer in ("SCMP_ACT_ERRNO", 1), ("SCMP_ACT_KILL_THREAD", -signal.SIGSYS), (
            "SCMP_ACT_KILL_PROCESS", -signal.SIGSYS):
        profile = write("/run/page.json", json.dumps({
            "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["getcpu"], "action": action}]}))
        result = spoc("run", "-q", "-p", profile, "--enricher", "tracepoint", "--", *PAGE)
        equal(result.stdout, f"{answer}\n")
        named = re.findall(r"Seccomp summary: (.*), by: python3", result.stderr)
        equal(named, [f"getcpu (309), action: {action}{' (EPERM)' * (answer == 1)}, 1 time"])


@test
def denials_of_children(job: Job) -> None:
    """The very first call of a child is named, too: as often as it was made, and no fork is."""
    program = ("import os\n"
               "for _ in range(3):\n"
               "    if os.fork() == 0: os._exit(0)\n"
               "    os.wait()")
    found = spoc("run", "-q", "-p", write("/run/children.json", json.dumps({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["set_robust_list"], "action": "SCMP_ACT_ERRNO"}]})), "--enricher", "tracepoint", "--",
        "python3", "-I", "-c", program).stderr
    equal(len(re.findall("Seccomp summary: ", found)), 1)
    times = re.search(r"Seccomp summary: set_robust_list .*, (\d+) times, by: python3", found)
    assert times and int(times[1]) == 4, found  # Python itself calls it at its start


@test
def denial_in_thread(job: Job) -> None:
    """KILL_THREAD ends a thread, and the process goes on. What a signal ends is not named: neither after a call that
    returned its argument, as getpgid(0) does here, nor in one that would have started anew.
    """
    # ctypes, so that the thread does not end with the interpreter's lock; threading gives names from Python 3.14 on
    program = ("import _thread, ctypes, os, time\n"
               "_thread.start_new_thread(ctypes.CDLL(None).getsid, (0,))\n"
               "time.sleep(0.3); print('alive', os.getpgid(0), flush=True)\n"
               "ends = os.pipe()\n"
               "for number in range(40):\n"
               "    pid = os.fork()\n"
               "    while not pid: os.getpgid(0) if number % 2 else os.read(ends[0], 1)\n"
               "    time.sleep(0.01); os.kill(pid, 9); os.wait()")
    profile = json.loads(read(blocking("SCMP_ACT_KILL_THREAD")))
    profile["syscalls"].append({"names": ["getpgid", "read"], "action": "SCMP_ACT_KILL_THREAD",
                                "args": [{"index": 0, "value": 7777, "op": "SCMP_CMP_EQ"}]})
    result = spoc("run", "-q", "-p", write("/run/ends.json", json.dumps(profile)), "--enricher", "tracepoint", "--",
                  "python3", "-I", "-c", program)
    equal(result.stdout, "alive 0\n")
    contains(result.stderr, f"Seccomp: getsid ({job.getsid_number}), action: SCMP_ACT_KILL_THREAD")
    contains(result.stderr, "SCMP_ACT_KILL_THREAD, 1 time, by: python3")
    equal(len(re.findall("Seccomp: ", result.stderr)), 1)


# What puts -1 where a call returns its result and a number where that of a call is, and goes round for ever.
SPIN: "Dict[str, Callable[[int], Tuple[int, ...]]]" = {
    "armv7l": lambda number: (0xE3E00000, 0xE3A07000 | number, 0xEAFFFFFE),  # mvn r0, #0; mov r7, #NUMBER; b .
    "riscv64": lambda number: (0xFFF00513, 0x00000893 | number << 20, 0x0000006F),  # li a0, -1; li a7, NUMBER; j .
    "ppc64le": lambda number: (0x3860FFFF, 0x38000000 | number, 0x48000000),  # li r3, -1; li r0, NUMBER; b .
}


@test
def interrupted(job: Job) -> None:
    """A number may be where that of a call is, and an interrupt makes it look like one (on ARM ORIG_r0 is -1 then, and
    so may be r0): what a signal ends is not named.
    """
    program = ("import ctypes, mmap, os, struct, time\n"
               "page = mmap.mmap(-1, 4096, prot=7)\n"
               f"page.write(struct.pack('<3I', *{SPIN[job.machine](job.getsid_number)}))\n"
               "spin = ctypes.CFUNCTYPE(None)(ctypes.addressof(ctypes.c_char.from_buffer(page)))\n"
               "pid = os.fork()\n"
               "if not pid: spin()\n"
               "time.sleep(0.3); os.kill(pid, 9); print(os.wait()[1])")
    result = spoc("run", "-q", "-p", blocking("SCMP_ACT_KILL_PROCESS"), "--enricher", "tracepoint", "--",
                  "python3", "-I", "-c", program)
    equal((result.stdout, result.stderr), (f"{signal.SIGKILL:d}\n", ""))


@test
def learn(job: Job) -> None:
    """What a rule blocked is learned, and blocked no more."""
    profile = blocking("SCMP_ACT_ERRNO")
    spoc("run", "-q", "-p", profile, "--learn", profile, "--force", "--", *GETSID)
    equal(spoc("run", "-q", "-p", profile, "--", *GETSID).stdout, "True\n")


# Programs that the host has, too, and records: what they print is the same everywhere.
PORTABLE = {
    "busybox": ("busybox", "sh", "-c",
                "cd /tmp; busybox mkdir d.$$; echo text | busybox tr a-z A-Z >d.$$/f;"
                " busybox ls d.$$; busybox cat d.$$/f; busybox chmod 600 d.$$/f; busybox touch d.$$/f;"
                " busybox mv d.$$/f d.$$/g; busybox rm -r d.$$; busybox usleep 1; busybox date -d @0 +%Y"),
    "python": ("python3", "-I", "-c",
               "import os, select, tempfile, threading, time\n"
               "with tempfile.TemporaryDirectory() as folder:\n"
               "    os.chdir(folder); open('f', 'w').close(); os.rename('f', 'g'); os.symlink('g', 'h')\n"
               "    os.chdir('/')\n"
               "    print(sorted(os.listdir(folder)), os.stat(folder + '/h').st_size)\n"
               "thread = threading.Thread(target=time.sleep, args=(0.01,)); thread.start(); thread.join()\n"
               "ends = os.pipe(); select.select([ends[0]], [], [], 0.01); select.poll().poll(1); os.dup2(*ends)\n"
               "if os.fork() == 0: os.execv('/bin/busybox', ['busybox', 'true'])\n"
               "print(os.wait()[1])"),
}


@test
def portable(job: Job) -> None:
    """Profiles that were recorded on the host with --portable hold here, and none of what it adds lets more happen."""
    for name, command in PORTABLE.items():
        bare = run(command)
        result = spoc("run", "-q", "-b", "execve", "-p", f"/root/{name}.json", "--", *command)
        equal((result.stdout, result.stderr), (bare.stdout, ""))
    spoc("run", "-q", "-b", "execve", "-p", "/root/busybox.json", "--", "busybox", "mount", "-t", "tmpfs", "x", "/mnt",
         code=1)


# --- What the machine lacks --------------------------------------------------


def works(job: Job, profile: str = "/run/w.yaml", enricher: str = "tracepoint") -> None:
    """Recording and running work, to the point."""
    spoc("record", "-q", "-n", "-o", profile, "--", "busybox", "uname")
    contains(read(profile), "- uname")
    result = spoc("run", "-q", "-p", blocking("SCMP_ACT_ERRNO"), "--enricher", enricher, "--", *GETSID)
    equal(result.stdout, "errno 1\n")
    contains(result.stderr, f"Seccomp: getsid ({job.getsid_number})")


@test
def no_cgroup(job: Job) -> None:
    assert "cgroup" not in read("/proc/mounts"), read("/proc/mounts")
    result = spoc("record", "-n", "-o", "/dev/null", "--", "busybox", "true")
    contains(result.stderr, "No container ID found for PID")


@test
def no_tmp(job: Job) -> None:
    """Without /tmp the default file is refused before the command starts, and any other is as good."""
    os.rename("/tmp", "/no-tmp")
    try:
        result = spoc("record", "--", "busybox", "touch", "/run/started", code=125)
        contains(result.stderr, "/tmp/profile.yaml: No such file or directory; make the folder, or choose another file")
        assert not os.path.exists("/run/started")
        works(job)
    finally:
        os.rename("/no-tmp", "/tmp")


@test
def no_sys(job: Job) -> None:
    unmount("/sys")
    assert not os.listdir("/sys"), os.listdir("/sys")
    works(job)


@test
def no_proc(job: Job) -> None:
    unmount("/proc")
    assert not os.listdir("/proc"), os.listdir("/proc")
    works(job, enricher="auto")
    contains(spoc("record", "-o", "/run/w.yaml", "--", "busybox", "true").stderr,
             "notification: use BPF: /proc/self/ns/pid: No such file or directory; mount -t proc proc /proc")


@test
def read_only_root(job: Job) -> None:
    """Nothing but a small file system for the profile can be written to."""
    libc_call("mount", b"tmpfs", b"/mnt", b"tmpfs", 0, b"size=1m")
    libc_call("mount", b"none", b"/", None, MS_REMOUNT | MS_BIND | MS_RDONLY, None)
    with contextlib.suppress(OSError):
        open("/tmp/x", "w").close()
        raise AssertionError("/ can be written to")
    spoc("record", "-q", "-n", "-o", "/mnt/p.yaml", "--", "busybox", "uname")
    contains(read("/mnt/p.yaml"), "- uname")
    equal(os.listdir("/mnt"), ["p.yaml"])
    result = spoc("record", "-o", "/root/p.yaml", "--", "busybox", "true", code=125)
    contains(result.stderr, "/root/p.yaml: Read-only file system; choose another file with -o")
    spoc("run", "-q", "-p", "/mnt/p.yaml", "-b", "execve", "--", "busybox", "uname")


@test
def lockdown(job: Job) -> None:
    """Under confidentiality no program may read kernel memory: 32-bit calls are not told apart, and notify names."""
    spoc("record", "-q", "-n", "-o", "/run/l.yaml", "--", "busybox", "uname")
    contains(read("/run/l.yaml"), "- uname")
    told = spoc("record", "-n", "-o", "/dev/null", "--", "busybox", "true").stderr
    result = spoc("run", "-p", blocking("SCMP_ACT_ERRNO"), "--", *GETSID)
    equal(result.stdout, "errno 1\n")
    contains(result.stderr, f"Seccomp: getsid ({job.getsid_number}), action: SCMP_ACT_ERRNO (EPERM)")
    if job.lockdown != "confidentiality":
        contains(result.stderr, "Starting tracepoint enricher")
        assert "lockdown" not in told, told
        return
    contains(told, "the kernel (lockdown) does not let 32-bit calls be told apart")
    contains(result.stderr, "Starting notify enricher")
    result = spoc("run", "-p", blocking("SCMP_ACT_ERRNO"), "--enricher", "tracepoint", "--", *GETSID, code=125)
    contains(result.stderr, "kernel lockdown")


REFUSED = "without the JIT they would crash this kernel; sysctl net.core.bpf_jit_enable=1"


@test
def jit_off(job: Job) -> None:
    """This kernel's interpreter would crash it: nothing is loaded, the remedy is named, and auto does without."""
    equal(read("/proc/sys/net/core/bpf_jit_enable"), "0\n")
    lines = spoc("doctor", code=1).stdout.splitlines()
    assert any(re.match("jit +degraded off", line) for line in lines), lines
    equal(lines[-1], "auto: record uses notify, run uses notify: degraded")
    told = spoc("record", "--backend", "bpf", "-o", "/run/off.yaml", "--", "busybox", "true", code=125).stderr
    contains(told, REFUSED)
    told = spoc("record", "-o", "/run/off.yaml", "--", "busybox", "true").stderr
    contains(told, "Recording with user notification: load BPF programs: ")
    contains(told, REFUSED)
    same_as_strace(*SHELL)
    profile = blocking("SCMP_ACT_ERRNO")
    told = spoc("run", "-p", profile, "--enricher", "tracepoint", "--", *GETSID, code=125).stderr
    contains(told, REFUSED)
    told = spoc("run", "-p", profile, "--", *GETSID).stderr
    contains(told, "Starting notify enricher")
    contains(told, f"Seccomp: getsid ({job.getsid_number}), action: SCMP_ACT_ERRNO (EPERM)")


@test
def jit_off_unseen(job: Job) -> None:
    """In another network namespace the setting is not there: what the JIT has not compiled is not run."""
    libc_call("unshare", CLONE_NEWNET)
    assert not os.path.exists("/proc/sys/net/core/bpf_jit_enable")
    told = spoc("record", "--backend", "bpf", "-o", "/run/off.yaml", "--", "busybox", "true", code=125).stderr
    contains(told, "the JIT has not compiled it")
    contains(told, "sysctl net.core.bpf_jit_enable=1")
    equal(spoc("doctor", code=1).stdout.splitlines()[-1], "auto: record uses notify, run uses notify: degraded")


@test
def jit_remedy(job: Job) -> None:
    """The remedy that doctor names helps, and then the setting need not be seen."""
    checks = {check["item"]: check for check in json.loads(spoc("doctor", "--json", code=1).stdout)["checks"]}
    run(["busybox", *checks["jit"]["remedy"].split()])
    equal(read("/proc/sys/net/core/bpf_jit_enable"), "1\n")
    libc_call("unshare", CLONE_NEWNET)
    same_as_strace(*SHELL, options=("--backend", "bpf"))


@test
def doctor(job: Job) -> None:
    """It says what this machine is and can do, for root and for others, and leaves nothing behind."""
    def left() -> "Tuple[List[str], List[str]]":
        processes = [pid for pid in os.listdir("/proc") if pid.isdigit()]
        return os.listdir("/tmp"), [pid for pid in processes if read(f"/proc/{pid}/cmdline")]

    before = left()
    strength = 1 if job.lockdown == "confidentiality" else 0
    result = spoc("doctor", code=strength)
    equal(left(), before)
    lines = result.stdout.splitlines()
    for item, what in (("kernel", job.release), ("architecture", f"{job.bits}-bit userland"), ("python", job.python),
                       ("libbpf", job.libbpf), ("libseccomp", job.libseccomp), ("lockdown", job.lockdown)):
        assert any(line.startswith(item + " ") and what in line for line in lines), f"{item}: {what}\n{result.stdout}"
    equal(lines[-1], "auto: record uses bpf, run uses notify: degraded" if strength else
          "auto: record uses bpf, run uses tracepoint: full strength")
    equal(spoc("doctor", code=1, user=ORDINARY_USER).stdout.splitlines()[-1],
          "auto: record uses notify, run uses notify: degraded")


@test
def one_file(job: Job) -> None:
    """The spoc.pyz that all machines get says whose bytecode it has, takes its own, and records as spoc.py does."""
    path, command = os.path.join(HERE, "spoc.pyz"), ("record", "-q", "-n", "-t", "raw-seccomp", "-o", "-", "--", "ls")
    told = run(["python3", path, "version"]).stdout.splitlines()[-1]
    held = re.findall(r"3\.\d+", told)
    assert len(held) > 2, told
    equal("compiles the source" in told, job.python not in held)
    recorded = run(["python3", path, *command]).stdout
    peak_kib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    limit_mib = 32 if resource.getpagesize() == 4096 else 48  # to compile the source takes 60 with pages of any size
    assert job.python not in held or peak_kib < limit_mib << 10, peak_kib
    equal(recorded, spoc(*command).stdout)
    os.unlink(path)  # of what holds the file system there is little


@test
def figures(job: Job) -> None:
    """For `make bench`: medians of the time and the peak memory of three ways, which take turns."""
    ways = {"python": ["python3", "-I", "-c", "pass"]}
    for name in ("spoc.py", "spoc.pyz"):
        ways[name] = ["python3", os.path.join(HERE, name), "record", "-n", "-o", "/dev/null", "--", "busybox", "true"]
    found: "Dict[str, List[List[float]]]" = {way: [] for way in ways}
    for _ in range(8):
        for way, command in ways.items():
            began_s = time.monotonic()
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = status
            equal(status, 0)
            found[way].append([time.monotonic() - began_s, usage.ru_maxrss])
    tell(job, figures={way: runs[1:] for way, runs in found.items()})  # the first run has Python write its bytecode


# --- The init scripts of examples/busybox, over three boots of a machine with a disk ---

PROFILE = "/var/lib/spoc/service.yaml"
FOUND = "/run/found.yaml"  # what was on the disk before the service was started
PIDFILES = {"record": "/var/run/spoc-record.pid", "run": "/var/run/spoc-run.pid"}


def profile_names(path: str) -> "List[str]":
    """The names in a whole profile."""
    text = read(path)
    assert text.startswith("apiVersion: ") and text.endswith("\nstatus: {}\n"), text
    return re.findall(r"^ {8}- (\w+)$", text, re.MULTILINE)


def wait_for(what: "Callable[[], Any]", reason: str) -> None:
    for _ in range(600):
        with contextlib.suppress(OSError):
            if what():
                return
        time.sleep(0.05)
    raise AssertionError(f"{reason} did not come to be; the log: {read('/run/spoc.log')}")


@test
def power_cut(job: Job) -> None:
    """First boot: the host takes the power away while the service goes on making calls that are new."""
    wait_for(lambda: os.path.exists(PROFILE), "a profile")
    first = len(profile_names(PROFILE))
    wait_for(lambda: len(profile_names(PROFILE)) > first, "a second checkpoint")
    tell(job, cut=profile_names(PROFILE))
    time.sleep(60)
    raise AssertionError("the power is still there")


@test
def power_cut_loses_nothing(job: Job) -> None:
    """Second boot: the profile is whole, and holds what it held before the power went; the recording goes on."""
    assert len(job.held) > 10, job.held
    missing = set(job.held) - set(profile_names(FOUND))
    assert not missing, missing
    wait_for(lambda: os.path.exists("/run/service.ready"), "the service")
    assert "getresuid" not in profile_names(PROFILE)  # that is written at the end


@test
def shutdown_writes(job: Job) -> None:
    """Third boot: what was called last is in the profile, since init's shutdown waited for it."""
    missing = {"getresuid", *job.held} - set(profile_names(FOUND))
    assert not missing, missing


@test
def service_runs_under_profile(job: Job) -> None:
    """Third boot: the service works under its profile, which stops what it never did before, and is ended by stop."""
    wait_for(lambda: os.path.exists("/run/service.ready"), "the service")
    contains(read("/run/service.ready"), "Seccomp:\t2\n")
    contains(read("/run/service.ready"), "errno: 1\n")
    wait_for(lambda: "Seccomp: sched_rr_get_interval (" in read("/run/spoc.log"), "the name of what was blocked")
    pid = int(read(PIDFILES["run"]))
    run(["/etc/init.d/S50service", "stop"])
    assert not os.path.exists(f"/proc/{pid}") and not os.path.exists(PIDFILES["run"])
    contains(read("/run/spoc.log"), "Seccomp summary: sched_rr_get_interval (")


# --- The runner --------------------------------------------------------------


def tell(job: Job, **event: Any) -> None:
    """A line for the host: nothing else on the console begins with the secret, and what garbles it breaks the sum."""
    text = json.dumps(event)
    line = f"\n@{job.secret} {zlib.crc32(text.encode()):08x} {text}\n"
    os.write(1, line.encode())


def run_test(job: Job, name: str) -> "Dict[str, str]":
    """Run one test in this process, which is its own; tell what came of it."""
    def stop(_signum: int, _frame: object) -> None:
        raise TimeoutError(f"not done within {TEST_TIMEOUT_S} s")

    try:
        signal.signal(signal.SIGALRM, stop)
        signal.alarm(TEST_TIMEOUT_S)
        libc_call("unshare", CLONE_NEWNS)
        libc_call("mount", b"none", b"/", None, MS_REC | MS_PRIVATE, None)
        TESTS[name](job)
    except Skip as reason:
        return {"outcome": "skipped", "detail": str(reason)}
    except BaseException:
        return {"outcome": "failed", "detail": traceback.format_exc()[-3000:]}
    return {"outcome": "passed", "detail": ""}


def run_apart(job: Job, name: str) -> "Dict[str, Any]":
    """Run one test in a process of its own; give what came of it."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        os.write(writer, json.dumps(run_test(job, name)).encode())
        os._exit(0)
    os.close(writer)
    with open(reader, encoding="utf-8") as file:
        text = file.read()
    _, status = os.waitpid(pid, 0)
    found: "Dict[str, Any]" = json.loads(text) if text else {
        "outcome": "failed", "detail": f"its process ended with wait status {status}"}
    return found


def main() -> None:
    with open(os.path.join(HERE, "job.json"), encoding="utf-8") as file:
        job = Job(**json.load(file))
    if "machine" in job.tests:
        run([*IMPORTED, "version"])  # writes its bytecode; the memory that this takes is not that of this process
        import spoc  # noqa: F401: for the forks of spoc()
    for name in job.tests:
        tell(job, test=name, **run_apart(job, name))
    tell(job, end=len(job.tests))


if __name__ == "__main__":
    main()
