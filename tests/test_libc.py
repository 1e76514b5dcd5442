# SPDX-License-Identifier: MIT
"""What the functions of libc call: the table of spoc.py against strace, here and as measured with other releases; and
what `gaps` makes of it, against what programs newly need.
"""

import platform
import shutil
import subprocess
import sys
import unittest
from typing import Dict, Set, Tuple

import functions
import gaps_recall
import spoc
import support

TIER = "kernel"
KERNEL_CALLS = support.KERNEL_CALLS[support.X86_64]  # every profile has them
# What every program of a libc calls as it starts, and malloc.
STARTS = {
    "glibc-2.36": "brk mmap munmap mprotect openat close read newfstatat set_robust_list rseq set_tid_address "
                  "prlimit64",
    "glibc-2.41": "brk mmap munmap mprotect openat close read fstat set_robust_list rseq set_tid_address prlimit64",
    # With what that release alone does beside the work.
    "glibc-2.31": "brk mmap munmap mprotect openat close read stat lstat fstat set_robust_list futex getpid access "
                  "statfs",
    "musl-1.2": "brk mmap mprotect set_tid_address", "musl-1.2.5": "brk mmap mprotect set_tid_address",
    functions.I386: "brk mmap2 munmap mprotect openat close read statx set_robust_list rseq set_tid_address ugetrlimit"}
# What no row has: what the cases of functions.c do themselves, what older releases alone do, what comes where a file is
# a link; and what LIBC_CALLS says of those that nearly all import.
UNTOLD = {
    "abort": "getpid gettid rt_sigprocmask tgkill tkill", "backtrace": "newfstatat", "dlmopen": "pread64",
    "eventfd_write": "eventfd2 write", "exit": "write writev",
    "fchmodat": "chmod fchmodat2 close openat newfstatat statx", "free": "madvise munmap",
    "get_nprocs_conf": "getdents64", "getcontext": "sigprocmask", "getnetgrent": "futex",
    "getusershell": "fcntl open read", "lchmod": "chmod fchmodat2 fchmodat close openat newfstatat statx",
    "mq_notify": "mq_timedsend clock_nanosleep nanosleep", "pthread_cancel": "gettid newfstatat writev",
    "pthread_detach": "clock_nanosleep nanosleep",
    "pthread_exit": "newfstatat clone clone3 futex getpid gettid madvise membarrier munmap"
                    " rt_sigaction rt_sigprocmask tgkill writev",
    "pthread_kill": "futex", "realloc": "mremap madvise munmap", "reallocarray": "mremap madvise munmap",
    "sched_rr_get_interval": "sched_rr_get_interval_time64", "setcontext": "sigprocmask", "swapcontext": "sigprocmask",
    "thrd_join": "madvise rt_sigprocmask", "timer_create": "clock_nanosleep nanosleep timer_settime timer_settime64",
}
# What next to no program imports (of 2,783 files of a Debian 12 at most 5) has no row.
RARE = set("""aio_cancel aio_fsync aio_read aio_suspend aio_write cuserid futimesat get_phys_pages gsignal
    lio_listio mktemp mq_close mq_getattr mq_notify mq_receive mq_send mq_setattr preadv64v2 psiginfo psignal
    pthread_setschedprio pthread_sigqueue pwritev64v2 sigignore sigpause sigqueue sigset ssignal tempnam tmpnam ualarm
    wordexp""".split())


# Of what loads libgcc_s: where ld.so has no cache it looks for folders.
LOADING = dict.fromkeys(("backtrace", "pthread_cancel", "pthread_exit"), {"newfstatat"})
# Which of several threads comes first is chance.
RACES = KERNEL_CALLS | {"rt_sigprocmask", "getpid", "madvise", "munmap", "mmap", "rseq", "set_robust_list"}


def measured() -> "Dict[str, Dict[str, Set[str]]]":
    """What tests/data has: libc -> function -> calls."""
    return functions.read_lines(functions.TABLE.read_text(encoding="ascii"))


def told(function: str, libc: str) -> "Tuple[Set[str], Set[str]]":
    """The calls that gaps names for a function, and all that it takes for these."""
    token = spoc.X86.token if libc == functions.I386 else spoc.X86_64.token
    choices = [[spoc.calls_of_machine(each, token) for each in call.split("/")]
               for call in spoc.calls_of_function(function, libc.startswith("musl"))]
    return set().union(*(each[0] for each in choices)), set().union(*(options for each in choices for options in each))


def missing(function: str, libc: str, calls: "Set[str]") -> "Set[str]":
    """Which of the traced calls neither each program makes nor gaps tells of. strace takes socketcall and ipc apart."""
    if libc == functions.I386:
        parts = {name: spoc.syscall_number(name, spoc.X86.token) for name in calls}
        calls = {name if number >= 0 else "socketcall" if number > -200 else "ipc" for name, number in parts.items()}
    common = KERNEL_CALLS | support.KERNEL_CALLS["SCMP_ARCH_X86"] | set(STARTS.get(libc, STARTS["glibc-2.36"]).split())
    return calls - common - told(function, libc)[1] - set(UNTOLD.get(function, "").split())


class Names(unittest.TestCase):
    """calls_of_function, by the function's name alone."""

    TIER = "pure"

    def test_rules(self) -> None:
        for name, calls in {"fsync": "fsync", "sendfile64": "sendfile64", "lseek64": "lseek",
                            "__poll_chk": "poll", "__read_nocancel": "read",
                            "__libc_connect": "connect", "fstatat64": "newfstatat", "__openat64_2": "openat",
                            "_exit": "exit_group", "waitpid": "wait4", "strlen": "", "__": "", "": "",
                            "getdents64": "getdents64", "pread64": "pread64", "syscall": "", "__fxstat64": "fstat",
                            "__isoc23_fscanf": "ioctl lseek read write", "readdir64_r": "getdents64",
                            "sigaction": "rt_sigaction", "sigprocmask": "rt_sigprocmask", "kill": "kill",
                            "__sigsuspend": "rt_sigsuspend", "sigtimedwait": "rt_sigtimedwait"}.items():
            with self.subTest(name):
                self.assertEqual(spoc.calls_of_function(name), tuple(calls.split()))

    def test_other_libc(self) -> None:
        self.assertEqual(spoc.calls_of_function("open", True), ("open",))
        self.assertEqual(spoc.calls_of_function("waitpid", True), ("wait4",))
        self.assertEqual(spoc.calls_of_function("setlocale", True), ())


class Table(unittest.TestCase):
    """LIBC_CALLS against what was measured with glibc 2.31, 2.36 and 2.41, the same for i386, and musl."""

    TIER = "pure"

    def test_every_row_was_measured(self) -> None:
        """A row has no call that none of its functions made, and no function that was not called."""
        pattern, rows = spoc.libc_rows()
        made: Dict[Tuple[str, bool], Set[str]] = {}
        for libc, calls in measured().items():
            for name, names in calls.items():
                row = pattern.fullmatch(name)
                if row and row.lastgroup:
                    made.setdefault((row.lastgroup, libc.startswith("musl")), set()).update(names)
        words = {word for row in rows for word in row if word.isupper()}
        for number, (calls_of_row, text) in enumerate(zip(rows, spoc.LIBC_CALLS.split(";"))):
            for word in calls_of_row:
                glibc, bar, musl = (set(filter(None, side.split("/"))) for side in word.partition("|"))
                by_glibc, by_musl = (made.get((f"row{number}", is_musl), set()) for is_musl in (False, True))
                with self.subTest(row=text.strip(), word=word):
                    if "go_" not in text and word not in words:
                        # What has no bar is one libc's at least: the other's is named where it need not.
                        self.assertLessEqual(glibc, by_glibc if bar else by_glibc | by_musl)
                        self.assertLessEqual(musl, by_musl)

    def test_nothing_is_left_out(self) -> None:
        """A function's row has all that it calls beside what every program does, or its name tells it."""
        lacking = set()
        for libc, calls in measured().items():
            for name, names in calls.items():
                with self.subTest(name, libc=libc):
                    left_out = missing(name, libc, names)
                    if name in RARE and left_out:
                        lacking.add(name)
                    else:
                        self.assertEqual(left_out, set())
        self.assertEqual(lacking, RARE)

    def test_alternatives(self) -> None:
        """Where one of several calls will do, there is a libc that makes it: another's does not help this one."""
        others = {"utime": "utimes", "utimes": "utime", "mknod": "mknod"}  # of their rows
        for is_musl in False, True:
            made: Dict[str, Set[str]] = {}
            for libc, calls in measured().items():
                if libc.startswith("musl") == is_musl:
                    for name, names in calls.items():
                        made.setdefault(name, set()).update(names)
            for name, names in made.items():
                for call in spoc.calls_of_function(name, is_musl):
                    with self.subTest(name, is_musl=is_musl):
                        self.assertTrue("/" not in call or {*names, others.get(name)}.issuperset(call.split("/")), call)

    def test_no_row_is_idle(self) -> None:
        """Functions that need no row have none: their names tell their only call."""
        pattern, rows = spoc.libc_rows()
        needed: Set[str] = set()
        for libc, calls in measured().items():
            for name in calls:
                row = pattern.fullmatch(name)
                by_name = next((each for each in (f"rt_{name}", name, f"{name}64") if spoc.is_syscall_name(each)), "")
                if row and row.lastgroup and spoc.calls_of_function(name, libc.startswith("musl")) != (by_name,):
                    needed.add(row.lastgroup)
        texts = [row.strip() for row in spoc.LIBC_CALLS.split(";")]
        self.assertEqual([text for number, text in enumerate(texts) if f"row{number}" not in needed
                          and not text.startswith("go_") and text != "syscall:"], [])

    def test_is_compact(self) -> None:
        self.assertLess(len(spoc.LIBC_CALLS), 4_900)
        self.assertLessEqual(spoc.LIBC_CALLS.count("\n"), 47)


class Traced(support.Case):
    """The same with the libcs of this machine, traced now."""

    def test_against_strace(self) -> None:
        support.require_root()
        support.require(support.ON_X86_64, "x86-64")
        support.require_command("gcc", "musl-gcc", "strace", "unshare", "ip")
        result = subprocess.run([sys.executable, "-B", functions.__file__, "gcc", "musl-gcc"], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)
        self.assertEqual(result.returncode, 0, result.stderr)
        traced = functions.read_lines(result.stdout)
        before = measured()
        release = "-".join(platform.libc_ver())
        musl = subprocess.run(["/lib/ld-musl-x86_64.so.1"], stderr=subprocess.PIPE, text=True).stderr
        for compiler, libc in (("gcc", release), ("musl-gcc", "musl-1.2" if "Version 1.2.3" in musl else "musl-newer")):
            self.assertEqual(traced[compiler].keys() ^ before.get(libc, traced[compiler]).keys(), set())
            for name, calls in traced[compiler].items():
                with self.subTest(name, compiler=compiler):
                    # Whether a lock is waited for is chance.
                    common = {"futex", *STARTS["musl-1.2" if "musl" in libc else "glibc-2.31"].split()}
                    if name not in RARE:
                        self.assertLessEqual(missing(name, libc, calls), common)
                    if not name.startswith(("aio_", "lio_")):
                        self.assertLessEqual(before.get(libc, {}).get(name, set()) - common - RACES
                                             - LOADING.get(name, set()), calls)

    def test_recorder_sees_the_same(self) -> None:
        """What `record` sees beyond an empty call, strace sees, too."""
        support.require_root()
        support.require(support.ON_X86_64, "x86-64")
        support.require_command("gcc", "strace")
        program = functions.build(self.folder, "gcc")
        place = self.folder / "place"

        def record(name: str) -> "Set[str]":
            shutil.rmtree(place, True)
            place.mkdir()
            return self.record(str(program), name, "0", cwd=place)

        empty = record("nothing")
        for name in ("remove", "opendir", "posix_spawn", "pthread_create", "getifaddrs", "nice", "mkfifo"):
            with self.subTest(name):
                seen = record(name) - empty - KERNEL_CALLS
                traced = functions.measure(program, name, self.folder)
                executed = {"access", "pread64", "arch_prctl", "set_tid_address", "prlimit64"}  # as /bin/true starts
                self.assertEqual(seen - traced - executed, set())
                self.assertEqual(traced - empty - KERNEL_CALLS - seen - {"futex"}, set())


class Recall(support.Case):
    """gaps after a first recording of 12 programs that Debian has, against richer ones: as `make bench` measures it."""

    def test_names_what_is_newly_needed(self) -> None:
        support.require_root()
        files = gaps_recall.program_files()
        self.assertEqual(len(files), 12)
        support.require_command(*(path for paths in files.values() for path in paths), "redis-cli", "redis-benchmark",
                                "ssh", "sftp", "pgrep")
        everything = gaps_recall.record_all(support.SPOC, self.folder)
        table = gaps_recall.format_table(everything)
        for each in everything:
            self.assertTrue(each.newly_needed, table)
            if each.name == "registry":  # Go names functions of its own
                self.assertLessEqual({"fsync", "unlinkat", "ftruncate"} - each.first, each.own)
        for total, least in zip(gaps_recall.totals(everything), (0.70, 0.95)):
            self.assertGreaterEqual(total.recall, least, table)
            self.assertGreater(total.recall, total.baseline_recall, table)
