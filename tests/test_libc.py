# SPDX-License-Identifier: MIT
"""What the functions of libc call: the table of spoc.py against strace."""

import unittest

import spoc

TIER = "kernel"


class Names(unittest.TestCase):
    """calls_of_function, by the function's name alone."""

    TIER = "pure"

    def test_rules(self) -> None:
        for name, calls in {"fsync": "fsync", "sendfile64": "sendfile", "__poll_chk": "poll", "__read_nocancel": "read",
                            "__libc_connect": "connect", "fstatat64": "newfstatat", "__openat64_2": "openat",
                            "_exit": "exit_group", "waitpid": "wait4", "strlen": "", "__": "", "": "",
                            "getdents64": "getdents64", "pread64": "pread64", "syscall": ""}.items():
            with self.subTest(name):
                self.assertEqual(spoc.calls_of_function(name), tuple(calls.split()))

    def test_other_libc(self) -> None:
        self.assertEqual(spoc.calls_of_function("open", True), ("open",))
        self.assertEqual(spoc.calls_of_function("waitpid", True), ("wait4",))

    def test_table_names_syscalls(self) -> None:
        for name, calls in spoc.libc_calls().items():
            self.assertEqual([call for text in calls for call in text.split() if not spoc.is_syscall_name(call)], [],
                             name)
