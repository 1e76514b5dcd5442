# SPDX-License-Identifier: MIT
"""What the functions of libc call: the table of spoc.py against strace, here and as measured with other releases; and
what `gaps` makes of it, against what programs newly need.
"""

import platform
import shutil
import subprocess
import sys
import unittest
from typing import Dict, Set

import functions
import gaps_recall
import spoc
import support

TIER = "kernel"
KERNEL_CALLS = support.KERNEL_CALLS[support.X86_64]  # every profile has them
# What every program calls as it starts, malloc, and what libc does beside the work: a row has these only where there is
# nothing else.
COMMON = set("""brk mmap munmap mprotect openat open close read stat lstat fstat newfstatat set_robust_list rseq
                futex getpid gettid rt_sigprocmask set_tid_address""".split()) | KERNEL_CALLS
UNMEASURED = {"syscall"}  # of which the name tells nothing


def measured() -> "Dict[bool, Dict[str, Set[str]]]":
    """What tests/data has of glibc, and of musl: function -> calls."""
    union: Dict[bool, Dict[str, Set[str]]] = {False: {}, True: {}}
    for libc, calls in functions.read_lines(functions.TABLE.read_text(encoding="ascii")).items():
        for function, names in calls.items():
            union[libc.startswith("musl")].setdefault(function, set()).update(names)
    return union


class Names(unittest.TestCase):
    """calls_of_function, by the function's name alone."""

    TIER = "pure"

    def test_rules(self) -> None:
        for name, calls in {"fsync": "fsync", "sendfile64": "sendfile", "__poll_chk": "poll", "__read_nocancel": "read",
                            "__libc_connect": "connect", "fstatat64": "newfstatat", "__openat64_2": "openat",
                            "_exit": "exit_group", "waitpid": "wait4", "strlen": "", "__": "", "": "",
                            "getdents64": "getdents64", "pread64": "pread64", "syscall": "", "__fxstat64": "fstat",
                            "__isoc23_fscanf": "read", "readdir64_r": "getdents64",
                            "sigaction": "rt_sigaction", "sigprocmask": "rt_sigprocmask", "kill": "kill",
                            "__sigsuspend": "rt_sigsuspend", "sigtimedwait": "rt_sigtimedwait"}.items():
            with self.subTest(name):
                self.assertEqual(spoc.calls_of_function(name), tuple(calls.split()))

    def test_other_libc(self) -> None:
        self.assertEqual(spoc.calls_of_function("open", True), ("open",))
        self.assertEqual(spoc.calls_of_function("waitpid", True), ("wait4",))
        self.assertEqual(spoc.calls_of_function("setlocale", True), ())


class Table(unittest.TestCase):
    """LIBC_CALLS against what was measured with glibc 2.31, 2.36 and 2.41, and musl."""

    TIER = "pure"

    def test_every_row_was_measured(self) -> None:
        """A row has no call that none of its functions made."""
        union = measured()
        for row in spoc.LIBC_CALLS.split(";"):
            names, _, calls = row.partition(":")
            for is_musl, side in enumerate(calls.split("|") if "|" in calls else [calls]):
                made = set().union(*(union[bool(is_musl)].get(name, set()) for name in names.split()))
                with self.subTest(row=row.strip(), is_musl=bool(is_musl)):
                    self.assertEqual(set(side.split()) - made, set())

    def test_nothing_is_left_out(self) -> None:
        """A function's row has all that it calls beside what every program does, or its name tells it."""
        for is_musl, calls in measured().items():
            for name in spoc.libc_calls().keys() - UNMEASURED:
                with self.subTest(name, is_musl=is_musl):
                    self.assertTrue(is_musl or name in calls)
                    self.assertLessEqual(calls.get(name, set()) - COMMON, set(spoc.calls_of_function(name, is_musl)))

    def test_no_row_is_idle(self) -> None:
        """A function that needs no row has none: its name tells its only call."""
        table = spoc.libc_calls()
        self.assertEqual([name for name, (glibc, musl) in table.items()
                          if glibc.split() == musl.split() == [name] and name != "getdents64"], [])

    def test_is_compact(self) -> None:
        self.assertLess(len(spoc.LIBC_CALLS), 3_300)
        self.assertLessEqual(spoc.LIBC_CALLS.count("\n"), 39)


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
        before = functions.read_lines(functions.TABLE.read_text(encoding="ascii"))
        release = "-".join(platform.libc_ver())
        musl = subprocess.run(["/lib/ld-musl-x86_64.so.1"], stderr=subprocess.PIPE, text=True).stderr
        for compiler, libc in (("gcc", release), ("musl-gcc", "musl-1.2" if "Version 1.2.3" in musl else "newer musl")):
            self.assertEqual(traced[compiler].keys() ^ before.get(libc, traced[compiler]).keys(), set())
            for name, calls in traced[compiler].items():
                with self.subTest(name, compiler=compiler):
                    # Whether a lock is waited for is chance.
                    if name in spoc.libc_calls():
                        self.assertLessEqual(calls - COMMON - {"futex"},
                                             set(spoc.calls_of_function(name, compiler != "gcc")))
                    self.assertLessEqual(before.get(libc, {}).get(name, set()) - COMMON - {"futex"}, calls)

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
