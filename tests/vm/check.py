#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Boots the machines of MACHINES under QEMU, three at a time, has each run the tests of guest.py, and prints a table.

usage: check.py [MACHINE...]

Those that are marked as occasional are booted only if they are named. What is fetched for it, some 700 MB of Debian
packages, is kept (see build.py). The last line is `N passed, N failed, N skipped`.
"""

import concurrent.futures
import functools
import json
import os
import pathlib
import random
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import build
import guest
import shipped

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
JOBS = 3
BOOT_TIMEOUT_S = 900
DISK_BYTES = 8 << 20
CUT_WITHIN_S = 1.0

QEMU = {
    "arm64": ("qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a57"),
    "armhf": ("qemu-system-arm", "-M", "virt", "-cpu", "cortex-a15"),
    "i386": ("qemu-system-i386", "-M", "pc", "-cpu", "qemu32,+rdrand"),
    "amd64": ("qemu-system-x86_64", "-M", "pc", "-cpu", "qemu64,+rdrand"),
    "riscv64": ("qemu-system-riscv64", "-M", "virt", "-cpu", "rv64"),
    "ppc64el": ("qemu-system-ppc64", "-M", "pseries"),
}
# One thread for all processors: with one for each, code that the kernel patches while another processor has it
# translated may go on as it was, on all. Switched on 1,600 times beside two busy processes, the kernel's own tracing of
# calls showed none at all 3 times (ppc64el, QEMU 7.2); with one thread never in 3,050 times.
ACCELERATOR = ("-accel", "tcg,thread=single")
# Random numbers at once, and none of what only takes time when it is emulated: with page tables of the kernel's own
# each system call empties QEMU's TLB, and at random addresses each process is translated anew.
COMMAND_LINE = ("quiet oops=panic panic=-1 rdinit=/init random.trust_cpu=on cryptomgr.notests mitigations=off nokaslr "
                "norandmaps")
# The console; on arm64 no memory for devices alone (CMA), which takes 64 MiB if there are 200; on x86 not the test of
# the timer, which takes a busy host for a broken one.
APPEND = {"arm64": "console=ttyAMA0 cma=0", "armhf": "console=ttyAMA0", "i386": "console=ttyS0 no_timer_check",
          "amd64": "console=ttyS0 no_timer_check", "riscv64": "console=ttyS0",
          "ppc64el": "console=hvc0"}
UNAME = {"arm64": "aarch64", "armhf": "armv7l", "i386": "i686", "amd64": "x86_64", "riscv64": "riscv64",
         "ppc64el": "ppc64le"}
# The number of getsid(2): asm/unistd.h of each.
GETSID_NUMBER = {"arm64": 156, "armhf": 147, "i386": 147, "amd64": 124, "riscv64": 156, "ppc64el": 147}
SUITES = {"unstable": ("7.", "3.14", "libbpf.so.1", "2.6."),
          "trixie": ("6.12.", "3.13", "libbpf.so.1", "2.6.0"),
          "bookworm": ("6.1.", "3.11", "libbpf.so.1", "2.5.4"),
          "bullseye": ("5.10.", "3.9", "libbpf.so.0", "2.5.1")}

CORE = """
    machine memory_192_mib record_shell record_args record_follow backend_bpf backend_notify
    backend_notify_under_signals record_then_run denials_tracepoint record_what_runs record_by_name record_containers
    watch_what_runs denials_notify denials_of_children denial_in_thread doctor portable one_file
""".split()
# Of machines with more memory: Python 3.13 takes more of it than 3.11 to compile spoc.py.
ROOMY = [name for name in CORE if name != "memory_192_mib"]
# Of those whose architecture has a machine that runs all: what takes longest shows nothing new there.
BRIEF = [name for name in ROOMY if name not in ("backend_notify_under_signals", "doctor", "portable")]
# record_runc has runc start four times, which takes ten seconds where that is emulated slowly: once an architecture.
ALL = [*CORE, *"""
    record_runc record_32_bit record_stats backend_auto run_filters learn no_cgroup no_tmp no_sys no_proc
    read_only_root
""".split()]
# Each boot of the machine with a disk: what it tests, and the script of examples/busybox that starts its service.
BOOTS = [("power_cut", "record-service"), ("power_cut_loses_nothing", "record-service"),
         ("shutdown_writes service_runs_under_profile", "run-service")]
# `newer` has the same kernel and programs.
JIT = "machine jit_off jit_off_unseen denials_notify jit_remedy denials_tracepoint one_file".split()
LOCKED = "machine record_shell run_filters denials_notify lockdown doctor one_file".split()


class Machine(NamedTuple):
    """A machine to boot: its kernel's and its programs' architectures, and which tests it runs."""

    name: str
    what: str
    suite: str
    kernel: str  # a package
    kernel_architecture: str
    architecture: str
    more: "Tuple[str, ...]" = ()  # packages of another architecture, a busybox each
    lockdown: str = ""
    tests: Sequence[str] = CORE
    processors: int = 1
    parameters: str = ""  # of the kernel, beside the others
    memory_mib: int = 192
    occasional: bool = False  # booted only if it is named


NEWER_ARM64 = ("trixie", "linux-image-arm64", "arm64", "arm64", ("busybox-static:armhf",))
ARM64 = ("bookworm", "linux-image-arm64", "arm64", "arm64", ("busybox-static:armhf",))
# The slowest first, so that none is left for the end.
MACHINES = [
    Machine("riscv64", "64-bit RISC-V, Debian 13", "trixie", "linux-image-riscv64", "riscv64", "riscv64",
            tests=[*(name for name in ALL if name != "record_32_bit"), "interrupted"],
            memory_mib=256),  # of which the kernel takes 68 before it counts what there is
    Machine("realtime", "32-bit ARM, Debian 13, a kernel with PREEMPT_RT", "trixie", "linux-image-rt-armmp", "armhf",
            "armhf", tests=["realtime", *BRIEF], memory_mib=256),
    Machine("newer", "64-bit ARM, with 32-bit programs, Debian 13", *NEWER_ARM64, tests=[*BRIEF, "record_32_bit"],
            processors=2, memory_mib=256),
    Machine("jit", "64-bit ARM, Debian 13, booted with BPF's JIT off, which is turned on later", *NEWER_ARM64,
            tests=JIT, processors=2, parameters="sysctl.net.core.bpf_jit_enable=0", memory_mib=256),
    Machine("armhf", "32-bit ARM", "bookworm", "linux-image-armmp", "armhf", "armhf",
            tests=[*CORE, "record_runc", "interrupted"]),
    Machine("init", "64-bit ARM, booted three times: init scripts of examples/busybox, a disk, a power cut", *ARM64,
            tests=" ".join(tests for tests, _ in BOOTS).split()),
    Machine("floor", "x86-64 with 32-bit programs, the oldest of all that is needed", "bullseye", "linux-image-amd64",
            "amd64", "amd64", ("busybox-static:i386",), tests=[*ALL, "vsyscall_page"], processors=2,
            parameters="vsyscall=xonly"),  # Debian builds its kernels without the page
    Machine("arm64", "64-bit ARM, with 32-bit programs", *ARM64, tests=ALL, processors=2,
            memory_mib=208),  # of which the kernel leaves less than 192
    Machine("i386", "32-bit x86", "bookworm", "linux-image-686", "i386", "i386", tests=[*CORE, "record_runc"],
            processors=2),
    Machine("power", "64-bit POWER, little-endian", "bookworm", "linux-image-powerpc64le", "ppc64el", "ppc64el",
            tests=[*ROOMY, "record_runc", "interrupted"], processors=2,
            memory_mib=512),  # the firmware takes multiples of 256; and pages have 64 KiB
    Machine("mixed", "64-bit ARM kernel, 32-bit userland", "bookworm", "linux-image-arm64", "arm64", "armhf"),
    Machine("integrity", "64-bit ARM, lockdown=integrity", *ARM64, "integrity", LOCKED, memory_mib=208),
    Machine("confidential", "64-bit ARM, lockdown=confidentiality", *ARM64, "confidentiality", LOCKED, memory_mib=208),
    Machine("unstable", "x86-64, Debian unstable of the day", "unstable", "linux-image-amd64", "amd64", "amd64",
            tests=[*CORE, "record_stats", "run_filters", "learn"], processors=2, memory_mib=232,
            occasional=True),  # its kernel takes 48 of them
]


MOUNT = """#!/bin/busybox sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
for each in "proc proc /proc" "sysfs sysfs /sys" "devtmpfs dev /dev"; do
    /bin/busybox mount -t $each
done
/bin/busybox mount -t securityfs securityfs /sys/kernel/security
/bin/busybox dmesg -n 1
/bin/busybox --install -s /bin
ip link set lo up
"""
INIT = MOUNT + """
python3 /root/guest.py
reboot -f
"""
# The machine that loses its power is started by BusyBox's own init, as such systems are.
BUSYBOX_INIT = MOUNT + """
for module in /modules/*.ko; do
    insmod $module
done
mount -t ext4 /dev/vda /var/lib/spoc
cp /var/lib/spoc/service.yaml /run/found.yaml 2>/dev/null
exec /bin/busybox linuxrc
"""
INITTAB = """\
::sysinit:/etc/init.d/S50service start
::once:/bin/sh -c 'python3 /root/guest.py; reboot'
::shutdown:/etc/init.d/S50service stop
::shutdown:/bin/umount /var/lib/spoc
"""


RUNNING: "List[subprocess.Popen[str]]" = []


class Result(NamedTuple):
    """What came of one test on one machine."""

    machine: str
    test: str
    outcome: str
    detail: str
    cpu_s: float


class Console:
    """What a machine prints, and the lines of guest.py in it."""

    def __init__(self, secret: str):
        self.text = ""
        self._line = re.compile(rf"@{secret} ([0-9a-f]{{8}}) (.*)")

    def event(self, line: str) -> "Optional[Dict[str, Any]]":
        """What a line tells, if it comes from guest.py as it was written."""
        self.text += line
        match = self._line.fullmatch(line.strip())
        if not match or zlib.crc32(match[2].encode()) != int(match[1], 16):
            return None
        event: "Dict[str, Any]" = json.loads(match[2])
        return event


def overlay(job: "Dict[str, Any]", boot_number: int) -> bytes:
    """What is added to the machine's system: the two files that a user copies, and the tests; `boot_number` is 0 for a
    machine that is booted once, else 1 to 3.
    """
    archive = build.Archive()
    archive.add("root", mode=0o040755)
    for source in (ROOT / "spoc.py", ROOT / "bpf" / "recorder.bpf.o", HERE / "guest.py", HERE / "service.py"):
        archive.add(f"root/{source.name}", source.read_bytes(), 0o100755 if source.suffix == ".py" else 0o100644)
        if source.suffix == ".py" and job["python"] == build.SAME_PYTHON:
            build.add_bytecode(archive, f"root/{source.name}", source.read_bytes())
    if "figures" in job["tests"]:
        archive.add("root/spoc.pyz", (ROOT / "dist" / "spoc.pyz").read_bytes())
    if "one_file" in job["tests"]:
        archive.add("root/spoc.pyz", shipped.archive())
    if "portable" in job["tests"]:
        for name, command in guest.PORTABLE.items():
            archive.add(f"root/{name}.json", record_portable(command))
    archive.add("root/job.json", json.dumps(job).encode())
    archive.add("init", (BUSYBOX_INIT if boot_number else INIT).encode(), 0o100755)
    if boot_number:
        script = ROOT / "examples" / "busybox" / BOOTS[boot_number - 1][1]
        archive.add("etc/init.d/S50service", script.read_bytes(), 0o100755)
        archive.add("etc/inittab", INITTAB.encode())
        # At the second boot what is new is written at the end only.
        archive.add("etc/default/spoc", f"SPOC=/root/spoc.py SERVICE='python3 -I /root/service.py {boot_number}'\n"
                    f"LOG=/run/spoc.log CHECKPOINT_S={1 if boot_number == 1 else 3600}\n".encode())
        archive.add("var/run", mode=0o040755)
        archive.add("var/lib/spoc", mode=0o040755)
    return archive.finish()


@functools.lru_cache(maxsize=None)
def record_portable(command: "Tuple[str, ...]") -> bytes:
    """The profile of a command of this machine, for others."""
    with tempfile.NamedTemporaryFile(prefix="spoc-portable-") as profile:
        subprocess.run([sys.executable, str(ROOT / "spoc.py"), "record", "-q", "-n", "--portable", "-t", "raw-seccomp",
                        "-o", profile.name, "--", *command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       check=True)
        return pathlib.Path(profile.name).read_bytes()


def make_job(machine: Machine, secret: str, tests: Sequence[str], held: Sequence[str]) -> "Dict[str, Any]":
    """guest.Job, as what it is made from."""
    release, python, libbpf, libseccomp = SUITES[machine.suite]
    return {"secret": secret, "tests": tests, "machine": UNAME[machine.kernel_architecture], "release": release,
            "bits": 64 if "64" in machine.architecture else 32, "python": python, "libbpf": libbpf,
            "libseccomp": libseccomp, "lockdown": machine.lockdown,
            "getsid_number": GETSID_NUMBER[machine.architecture], "held": held}


def boot(machine: Machine, base: build.Base, job: "Dict[str, Any]", disk: str = "",
         boot_number: int = 0) -> "Tuple[List[Dict[str, Any]], str]":
    """Boot a machine and wait for its end; give what guest.py told, and all that was on the console.

    Each event gets the processor time that QEMU took for it; that of the first includes the boot. When it tells "cut"
    the power goes.
    """
    if not MACHINES:
        raise build.BuildError("stopped")
    architecture = machine.kernel_architecture
    append = f"{APPEND[architecture]} {COMMAND_LINE} {machine.parameters}"
    if machine.lockdown:
        append += f" lockdown={machine.lockdown}"
    command = [*QEMU[architecture], *ACCELERATOR, "-m", str(machine.memory_mib), "-smp", str(machine.processors),
               "-nographic", "-no-reboot", "-net", "none", "-kernel", str(base.kernel), "-append", append]
    if disk:
        command += ["-drive", f"if=none,id=disk,format=raw,file={disk}", "-device", "virtio-blk-device,drive=disk"]
    console, events = Console(job["secret"]), []
    with tempfile.NamedTemporaryFile(prefix="spoc-initrd-") as initrd:
        initrd.writelines([*(part.read_bytes() for part in base.initrd), overlay(job, boot_number)])
        initrd.flush()
        with subprocess.Popen([*command, "-initrd", initrd.name], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace") as process:
            RUNNING.append(process)
            spent_s = 0.0
            timer = threading.Timer(BOOT_TIMEOUT_S, process.kill)
            timer.start()
            try:
                assert process.stdout
                for line in process.stdout:
                    event = console.event(line)
                    if event:
                        until_now_s = processor_time_s(process.pid)
                        event["cpu_s"], spent_s = until_now_s - spent_s, until_now_s
                        events.append(event)
                    if event and "cut" in event:
                        time.sleep(random.uniform(0, CUT_WITHIN_S))
                        process.kill()
            finally:
                timer.cancel()
                process.kill()
                RUNNING.remove(process)
    return events, console.text


def processor_time_s(pid: int) -> float:
    """The processor time that a process has taken (proc_pid_stat(5): utime and stime)."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def stop(signum: int, _frame: object) -> None:
    """Have all machines end; what they have not told by then has failed."""
    print(f"signal {signum}: stopping", flush=True)
    MACHINES.clear()
    for process in RUNNING:
        process.kill()


def boot_thrice(machine: Machine, base: build.Base, secret: str) -> "Tuple[List[Dict[str, Any]], str]":
    """Boot a machine with a disk as BOOTS says; the first time its power is cut, which is what it has to tell then."""
    events: "List[Dict[str, Any]]" = []
    text = ""
    with tempfile.NamedTemporaryFile(prefix="spoc-disk-") as disk:
        disk.truncate(DISK_BYTES)
        subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", disk.name], check=True,
                       env={**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"})
        for number, (tests, _) in enumerate(BOOTS, 1):
            held: "List[str]" = next((event["cut"] for event in events if "cut" in event), [])
            job = make_job(machine, secret, tests.split(), held)
            more, console = boot(machine, base, job, disk.name, number)
            events += more
            text += console
            if number == 1 and any("cut" in event for event in more):
                events.append({"test": tests, "outcome": "passed", "detail": "", "cpu_s": 0.0})
    return events, text


def check(machine: Machine) -> "List[Result]":
    """Build and boot a machine; give an outcome for each of its tests."""
    began_s = time.monotonic()
    secret = secrets.token_hex(16)
    try:
        base = build.build(machine.suite, machine.kernel, machine.kernel_architecture, machine.architecture,
                           machine.more, machine.name == "init")
        if machine.name == "init":
            events, text = boot_thrice(machine, base, secret)
        else:
            events, text = boot(machine, base, make_job(machine, secret, machine.tests, []))
    except (build.BuildError, OSError, subprocess.SubprocessError) as error:
        return [Result(machine.name, test, "failed", f"not booted: {error}", 0) for test in machine.tests]
    told = {event["test"]: event for event in events if "test" in event}
    results = [Result(machine.name, test, told[test]["outcome"], told[test]["detail"], told[test]["cpu_s"])
               if test in told else Result(machine.name, test, "failed", "the machine did not tell", 0)
               for test in machine.tests]
    if any(result.outcome == "failed" for result in results):
        print(f"---- the console of {machine.name}\n{text[-20000:]}")
    spent_s = sum(event.get("cpu_s", 0) for event in events)
    print(f"{machine.name}: {len(results)} tests, {time.monotonic() - began_s:.1f} s, {spent_s:.1f} s of CPU time",
          flush=True)
    return results


def table(machines: Sequence[Machine], results: Sequence[Result]) -> str:
    """Tests in rows, machines in columns; of what passed, the seconds of CPU time that it took."""
    marks = {"failed": "FAILED", "skipped": "-"}
    cells = {(result.test, result.machine): marks.get(result.outcome, f"{result.cpu_s:.1f}") for result in results}
    tests = list(dict.fromkeys(result.test for result in results))
    width = max(map(len, tests))
    widths = [max(len(machine.name), 6) for machine in machines]
    rows = [["", *(machine.name for machine in machines)]]
    rows += [[test, *(cells.get((test, machine.name), "") for machine in machines)] for test in tests]
    text = "\n".join("  ".join(map(str.ljust, row, [width, *widths])).rstrip() for row in rows)
    return "\n".join([*(f"{machine.name}: {machine.what}" for machine in machines), "", text])


def main(names: Sequence[str]) -> int:
    began_s = time.monotonic()
    unknown = set(names) - {machine.name for machine in MACHINES}
    if unknown:
        sys.exit(f"no such machine: {' '.join(sorted(unknown))}")
    machines = [machine for machine in MACHINES
                if (machine.name in names if names else not machine.occasional)]
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, stop)
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        results = [result for found in pool.map(check, machines) for result in found]
    print(f"\n{table(machines, results)}\n\n{len(machines)} machines, {time.monotonic() - began_s:.0f} s")
    for outcome in ("skipped", "failed"):
        for result in results:
            if result.outcome == outcome:
                print(f"{'FAILED ' if outcome == 'failed' else '-'} {result.machine}: {result.test}: {result.detail}")
    counts = [sum(result.outcome == outcome for result in results) for outcome in ("passed", "failed", "skipped")]
    print("{} passed, {} failed, {} skipped".format(*counts), flush=True)
    return 0 if counts[0] and not counts[1] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
