# SPDX-License-Identifier: MIT
"""gaps: what the code of programs asks for and a profile does not allow. Files of this machine are held against ldd, nm
and readelf; others are made for the test."""

import glob
import itertools
import json
import os
import pathlib
import random
import re
import resource
import shlex
import shutil
import struct
import subprocess
import sys
import unittest
import unittest.mock
from typing import Any, Dict, Iterator, List, Set, Tuple

import spoc
import support
from elves import EM_386, EM_AARCH64, EM_ARM, EM_S390, EM_X86_64, elf_file
from engines import ONE, Engines

TIER = "kernel"
NEEDED = support.ROOT / "tests" / "programs" / "needed.c"
READS = ("read", "write", "close", "exit_group", "futex", "rt_sigprocmask")  # the last two for fork and dlopen


class GapsCase(support.Case):
    """A profile that allows some calls, and a folder that programs may be in."""

    def setUp(self) -> None:
        super().setUp()
        self.profile = self.folder / "profile.json"
        self.allow(*READS)

    def allow(self, *names: str, **more: Any) -> None:
        self.profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ERRNO", **more,
                                            "syscalls": [{"names": names, "action": "SCMP_ACT_ALLOW"}]}))

    def gaps(self, *arguments: str, code: int = 0, **options: Any) -> str:
        result = support.spoc("gaps", "-p", str(self.profile), *arguments, **options)
        self.assertEqual((result.returncode, result.stderr), (code, ""))
        return result.stdout

    def document(self, *arguments: str, **options: Any) -> Dict[str, Any]:
        document: Dict[str, Any] = json.loads(self.gaps("--json", *arguments, **options))
        return document

    def own(self, *arguments: str, **options: Any) -> Dict[str, List[str]]:
        """Syscall -> reasons."""
        return {row["syscall"]: row["reasons"] for row in self.document(*arguments, **options)["own"]}

    def imports(self, path: str) -> Set[str]:
        """All names, as if each stood for a syscall."""
        with unittest.mock.patch.object(spoc, "calls_of_function", lambda name, is_musl=False: ("read",)):
            return {name for name in spoc.Loader().read(path).functions if "." not in name}  # those are Go's own

    def make(self, name: str, data: bytes) -> str:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o755)
        return str(path)


class Output(GapsCase):
    """What is printed of programs that are made for this."""

    TIER = "pure"

    def test_reasons(self) -> None:
        program = self.make("server", elf_file(["sendfile64", "read", "fork", "strlen", "init_module"], ["main"]))
        self.assertEqual(self.own(program), {
            "sendfile": ["server imports sendfile64"], "clone": ["server imports fork"],
            "init_module": ["server imports init_module"]})
        text = self.gaps(program)
        self.assertIn("does not allow 3 syscalls that server asks for:\n", text)
        self.assertIn("\n  sendfile     server imports sendfile64\n", text)
        self.assertIn("\n  init_module  server imports init_module; high risk: changes the code of the\n"
                      "               kernel\n", text)
        self.assertNotIn("strlen", text)

    def test_libraries(self) -> None:
        """A call stands where it is asked for first; parts of libc are not looked at; what is not found is named."""
        program = self.make("bin/prog", elf_file(["fsync"], needed=["libone.so", "libgone.so"], rpath="$ORIGIN/../lib"))
        self.make("lib/libone.so", elf_file(["fsync", "kill", "dlopen"], needed=["libtwo.so", "libc.so.6"]))
        self.make("lib/libtwo.so", elf_file(["kill", "rename"]))
        self.make("lib/libc.so.6", elf_file(["reboot"]))
        document = self.document(program)
        self.assertEqual([row["syscall"] for row in document["own"]], ["fsync"])
        self.assertEqual(document["libraries"], {"libone.so": ["kill"], "libtwo.so": ["rename"]})
        self.assertEqual([line for line in document["unknown"] if "libgone.so" in line],
                         ["what libgone.so, a library of prog, asks for: it is missing, or cannot be read"])
        self.assertEqual([line for line in document["unknown"] if "dlopen" in line],
                         ["what is loaded while it runs (dlopen), by libone.so; give plug-ins as further PROGRAMs"])
        self.assertIn("2 more that its libraries ask for:\n  libone.so  kill\n  libtwo.so  rename\n",
                      self.gaps(program))

    def test_remedy(self) -> None:
        """A command to copy, which leaves out what is of high risk."""
        program = self.make("server", elf_file(["sendfile64", "kill", "init_module"]))
        remedy = f"To allow those of no high risk: spoc.py (merge -b kill,sendfile -o {self.profile} {self.profile})\n"
        match = re.search(rf"\n\n{remedy}\Z", self.gaps(program))
        assert match
        self.assertEqual(support.spoc(*match[1].split()).returncode, 0)
        self.assertEqual(list(self.own(program)), ["init_module"])
        self.assertNotIn("To allow", self.gaps(program))

    def test_remedy_that_would_not_work(self) -> None:
        """None for what a rule decides, and none that no shell would take as it stands."""
        program = self.make("server", elf_file(["sendfile64", "kill"]))
        text = self.profile.read_text()
        for name in "-x.json", "a\nb.json", "a\x1b.json":
            (self.folder / name).write_text(text)
            result = support.spoc("gaps", f"--profile={name}", program, cwd=self.folder)
            self.assertIn("does not allow 2 syscalls", result.stdout.replace("\n", " "))
            self.assertNotIn("To allow", result.stdout)
        with open(self.profile, "rb") as file:
            result = support.spoc("gaps", "-p", "-", program, stdin=file)
        self.assertEqual((result.returncode, "To allow" in result.stdout), (0, False))
        profile = json.loads(text)
        profile["syscalls"].append({"names": ["kill"], "action": "SCMP_ACT_KILL_PROCESS"})
        self.profile.write_text(json.dumps(profile))
        self.assertIn(f"spoc.py merge -b sendfile -o {self.profile} ", self.gaps(program))

    def test_needed_by_origin(self) -> None:
        """ld.so replaces it in a library's name as well."""
        self.make("lib/libone.so", elf_file(["kill"]))
        program = self.make("bin/prog", elf_file(["fsync"], needed=["${ORIGIN}/../lib/libone.so"]))
        self.assertEqual(self.document(program)["libraries"], {"libone.so": ["kill"]})

    def test_default_folders_of_a_root(self) -> None:
        """Those of Debian below /lib as well, where a tree has no such folder below /usr/lib."""
        for folder in "lib", "usr/lib":
            self.make(f"{folder.replace('/', '-')}/bin/prog", elf_file(["fsync"], needed=["libone.so"]))
            self.make(f"{folder.replace('/', '-')}/{folder}/x86_64-linux-gnu/libone.so", elf_file(["kill"]))
            document = self.document("--root", str(self.folder / folder.replace("/", "-")), "prog")
            self.assertEqual(document["libraries"], {"libone.so": ["kill"]})

    def test_several_programs(self) -> None:
        one, two = self.make("one", elf_file(["fsync", "kill"])), self.make("two", elf_file(["kill"]))
        self.assertEqual(self.own(one, two), {"fsync": ["one imports fsync"],
                                              "kill": ["one imports kill", "two imports kill"]})

    def test_check(self) -> None:
        program = self.make("prog", elf_file(["fsync"], needed=["lib.so"], rpath="$ORIGIN"))
        self.make("lib.so", elf_file(["kill"]))
        self.gaps("--check", program, code=1)
        self.allow("fsync")
        self.gaps("--check", program)
        self.gaps("--check", self.make("static", elf_file()), code=1)

    def test_check_of_what_cannot_be_told(self) -> None:
        """What a program asks for by syscall(2), or a library that is not there; libraries' own is told."""
        text = self.gaps("--check", self.make("prog", elf_file(["syscall", "read"])), code=1)
        self.assertTrue(text.startswith(f"{self.profile} allows all that the names in prog tell of\n"))
        self.assertIn("\n  -  the numbers that prog may give to syscall(2)\n", text)
        self.make("libone.so", elf_file(["syscall"]))
        library = self.make("user", elf_file(["read"], needed=["libone.so"], rpath="$ORIGIN"))
        self.assertIn("the numbers that libone.so may give to syscall(2)", self.gaps("--check", library))
        self.assertTrue(self.document(library)["complete"])
        self.assertIn("syscall instructions", self.document(library)["unknown"][-1])
        lonely = self.make("lonely", elf_file(["read"], needed=["libgone.so"]))
        self.gaps("--check", lonely, code=1)
        self.assertFalse(self.document(lonely)["complete"])
        self.gaps("--check", self.make("fine", elf_file(["read"])))
        self.assertIn("the numbers that prog may give to syscall(2)",
                      self.document(str(self.folder / "prog"), str(self.folder / "prog"))["unknown"])

    def test_names_like_those_of_libc(self) -> None:
        """Its parts are known by their whole names."""
        names = "libdlx.so", "libpthreadpool.so.0", "libc++.so.1", "libdl.so.2", "libpthread-2.31.so"
        for name, call in zip(names, ("kill", "rename", "mount", "reboot", "acct")):
            self.make(name, elf_file([call]))
        program = self.make("prog", elf_file(["read"], needed=names, rpath="$ORIGIN"))
        self.assertEqual(self.document(program)["libraries"], {
            "libdlx.so": ["kill"], "libpthreadpool.so.0": ["rename"], "libc++.so.1": ["mount"]})

    def test_other_answers(self) -> None:
        """What is allowed under conditions is allowed, and what is logged, by the name that the machine has for it."""
        program = self.make("prog", elf_file(["kill", "open", "socket"], machine=EM_AARCH64))
        musl = self.make("musl", elf_file(["open"], machine=EM_AARCH64, interpreter="/lib/ld-musl-aarch64.so.1"))
        self.assertEqual(sorted(self.own(program)), ["kill", "openat", "socket"])
        answers: List[Tuple[str, List[str]]] = [("openat2", ["openat"]), ("openat", [])]
        for logged, left in answers:
            self.profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
                {"names": [logged], "action": "SCMP_ACT_LOG"},
                {"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [
                    {"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]}]}))
            self.assertEqual(sorted(self.own(musl)), left)
            self.assertEqual(sorted(self.own(program)), ["kill"] + left)

    def test_send(self) -> None:
        """x86-64 has only sendto; on ARM glibc makes the call of that name, which is there."""
        for machine, wide, calls in (EM_X86_64, True, ["recvfrom", "sendto"]), (EM_ARM, False, ["recv", "send"]):
            program = self.make("prog", elf_file(["recv", "send"], machine=machine, wide=wide))
            self.assertEqual(sorted(self.own(program)), calls)

    def test_32_bits(self) -> None:
        """Where there is a wide call libc makes that, whatever the profile says of the narrow one; not for all."""
        program = self.make("prog", elf_file(["mmap", "getuid", "fcntl", "lseek", "truncate"], machine=EM_386,
                                             wide=False))
        self.profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
            {"names": ["mmap", "getuid", "fcntl", "lseek", "truncate64"], "action": "SCMP_ACT_ALLOW"}]}))
        self.assertEqual(sorted(self.own(program)), ["_llseek", "fcntl64", "getuid32", "mmap2", "truncate"])
        for machine, call in (EM_386, "access"), (EM_AARCH64, "faccessat"):
            program = self.make("prog", elf_file(["access"], machine=machine, wide=machine == EM_AARCH64))
            self.profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
                {"names": ["faccessat2"], "action": "SCMP_ACT_ALLOW"}]}))
            self.assertEqual(sorted(self.own(program)), [call])

    def test_go(self) -> None:
        program = self.make("prog", elf_file(go=["syscall.Fsync", "golang.org/x/sys/unix.Renameat2", "syscall.forkExec",
                                                 "a/vendor/golang.org/x/sys/unix.Stat", "syscall.Unmount", "main.Kill",
                                                 "syscall.PtraceGetRegs", "internal/runtime/syscall.EpollWait",
                                                 "syscall.Unlink", "syscall.Wait4", "syscall.(*mmapper).Mmap",
                                                 "golang.org/x/sys/unix.Setxattr", "syscall.Pread", "runtime.lock"]))
        self.assertEqual(sorted(self.own(program)), ["clone", "dup3", "epoll_pwait", "epoll_wait", "execve", "fsync",
                                                     "newfstatat", "pread64", "ptrace", "renameat2", "setxattr",
                                                     "umount2", "unlinkat", "wait4", "waitid"])
        self.assertEqual(self.own(program)["fsync"], ["prog has syscall.Fsync"])
        program = self.make("prog", elf_file(go=["internal/syscall/unix.GetRandom", "internal/syscall/unix.PidFDOpen",
                                                 "internal/syscall/unix.PidFDSendSignal", "syscall.forkExec",
                                                 "internal/runtime/syscall.Eventfd"]))
        self.allow("clone3", "dup2", "eventfd", "execve")  # the base syscalls have some that are Go's no more
        self.assertEqual(sorted(self.own(program)), ["clone", "dup3", "eventfd2", "getrandom", "pidfd_open",
                                                     "pidfd_send_signal", "waitid"])

    def test_names_are_escaped(self) -> None:
        """Nothing in a file, its name or the profile's reaches the terminal as it is; JSON escapes it by itself."""
        evil = "\x1b]0;x\x07\u202e"
        program = self.make(f"prog{evil}", elf_file([f"fsync{evil}", f"__{evil}kill", "__isoc\u0663_kill", "dlopen",
                                                     "fsync"], needed=[f"lib{evil}.so", f"gone{evil}\n"],
                                                    rpath="$ORIGIN"))
        self.make(f"lib{evil}.so", elf_file(["kill", "dlopen"]))
        self.profile = self.profile.rename(self.folder / f"profile{evil}")
        text = self.gaps(program)
        self.assertTrue(text.replace("\n", "").isprintable())
        self.assertIn(r"profile\x1b]0;x\x07\u202e does not allow 1 syscall that prog\x1b]0;x\x07\u202e asks for:", text)
        self.assertIn(r"gone\x1b]0;x\x07\u202e\n", " ".join(text.split()))
        self.assertIn(r"  lib\x1b]0;x\x07\u202e.so  kill", text)
        self.assertNotIn("\x1b", self.gaps("--json", program))
        self.assertTrue(self.gaps("--json", program).isascii())
        result = support.spoc("gaps", "-p", str(self.profile), f"{program}/none")
        self.assertIn(r"prog\x1b]0;x\x07\u202e/none", result.stderr)
        self.assertTrue(result.stderr.replace("\n", "").isprintable())

    def test_called_by_a_link(self) -> None:
        """It has the name that it was called by, and is known for what it is."""
        self.make("busybox", elf_file(["fsync"]))
        (self.folder / "other").symlink_to("busybox")
        document = self.document(str(self.folder / "other"))
        self.assertEqual(document["programs"], ["other"])
        self.assertEqual(self.own(str(self.folder / "other")), {"fsync": ["other imports fsync"]})
        self.assertIn("which of this is for what: other does what it is told to", document["unknown"])

    def test_static_program_is_unknown(self) -> None:
        program = self.make("prog", elf_file())
        document = self.document(program)
        self.assertEqual(document["own"], [])
        self.assertEqual(document["static"], ["prog"])
        self.assertIn("what prog asks for: static, and not Go's; run --learn and watch tell what it calls",
                      document["unknown"])
        self.assertTrue(self.gaps(program).startswith("The files do not tell\n\nNot told by this:\n"))

    def test_both_byte_orders_and_sizes(self) -> None:
        for machine, wide, order, gnu_hash in ((EM_X86_64, True, "<", True), (EM_X86_64, True, "<", False),
                                               (EM_386, False, "<", True), (EM_S390, True, ">", True),
                                               (EM_S390, True, ">", False), (20, False, ">", False),
                                               (20, False, ">", True)):
            for exports in (), ("main", "stop"):
                with self.subTest((machine, wide, order, gnu_hash, exports)):
                    program = self.make("prog", elf_file(["fsync", "sendfile64"], list(exports), machine=machine,
                                                         wide=wide, order=order, gnu_hash=gnu_hash))
                    self.assertEqual(sorted(self.own(program)), ["fsync", "sendfile" if wide else "sendfile64"])

    def test_what_is_behind_the_symbols(self) -> None:
        """Nothing of that is taken for symbols, whatever linker has put it there."""
        for layout in "symbols versions hash strings", "hash strings symbols other", "strings symbols hash":
            for wide in True, False:
                for exports in (), ("main", "stop"):
                    with self.subTest((layout, wide, exports)):
                        path = self.make("prog", elf_file(["fsync", "kill"], exports, wide=wide, layout=layout))
                        self.assertEqual(self.imports(path), {"fsync", "kill"})

    def test_scripts(self) -> None:
        program = self.make("perl5.36", elf_file(["kill"]))
        script = self.make("script", f"#!{program} -w\n".encode())
        outer = self.make("outer", f"#! {script}\n".encode())
        by_env = self.make("by-env", b"#!/usr/bin/env -S A=1 perl5.36 -w\n")
        environment = {**os.environ, "PATH": str(self.folder)}
        for path in script, outer, by_env:
            document = self.document(path, env=environment)
            self.assertEqual([row["reasons"] for row in document["own"]], [["perl5.36 imports kill"]])
            self.assertIn("which of this is for what: perl5.36 does what it is told to", document["unknown"])

    def test_errors(self) -> None:
        """One line each."""
        loop = self.make("loop", f"#!{self.folder}/loop\n".encode())
        (self.folder / "link").symlink_to("link")
        os.mkfifo(self.folder / "fifo")
        gone = self.make("gone", b"#!/nonexist/sh\n")
        go = self.make("go", elf_file(go=["syscall.Fsync"])[:-4])
        for path, reason in ((loop, "its interpreters are scripts, too"),
                             (gone, f"read program: {gone}: its interpreter /nonexist/sh: No such file or directory\n"),
                             (go, f"read program: {go}: it is cut off, or damaged\n"),
                             ("/" + "x" * 300, "File name too long"),
                             (str(self.folder / "missing"), "there is none"),
                             (str(self.profile), "it is neither an ELF file nor a script"),
                             (str(self.folder), "it is no regular file"), ("no-such-program", "not in "),
                             (str(self.folder / "fifo"), "it is no regular file"),
                             (self.make("short", b"\x7fELF"), "it is neither an ELF file nor a script"),
                             (self.make("cut", elf_file(["kill"])[:200]), "it is cut off, or damaged")):
            with self.subTest(path):
                result = support.spoc("gaps", "-p", str(self.profile), path)
                self.assertEqual((result.returncode, result.stdout), (125, ""))
                self.assertIn(reason, result.stderr)
                self.assertEqual(len(result.stderr.splitlines()), 1)
        result = support.spoc("gaps", "-p", str(self.profile), "--root", "/nonexist", "cp")
        self.assertEqual((result.returncode, result.stdout), (125, ""))
        self.assertIn("Error: look in: /nonexist: there is no such folder\n", result.stderr)
        for arguments in ("--pid", "1", "true"), ("--pid", "1", "--root", "/"), ("--container", "x", "--pid", "1"), ():
            self.assertEqual(support.spoc("gaps", *arguments).returncode, 2)


def programs() -> Iterator[str]:
    """The programs of this machine. Of a link to one ldd says what would be, had it no link."""
    for folder in "/usr/bin", "/usr/sbin":
        for path in sorted(glob.glob(f"{folder}/*")):
            if os.path.isfile(path) and os.path.realpath(path) == path:
                with open(path, "rb") as file:
                    if file.read(4) == b"\x7fELF":
                        yield path


class Libraries(GapsCase):
    """Where they are found."""

    def test_as_ldd_does(self) -> None:
        """Of 50 programs, spread over all that there are."""
        paths = list(programs())
        compared = 0
        for path in paths[::max(1, len(paths) // 60)]:
            result = subprocess.run(["ldd", path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            if result.returncode or "=>" not in result.stdout:
                continue
            _, *libraries = spoc.Loader().load(path)
            found = {library.partition(",")[0] if isinstance(library, str) else library.path for library in libraries}
            wanted = set(re.findall(r" => (/\S+)", result.stdout)) | set(
                re.findall(r"(\S+) => not found", result.stdout))
            self.assertEqual({name for name in found if "/ld-linux" not in name}, wanted, path)
            compared += 1
        self.assertGreaterEqual(compared, 50)

    def test_as_nm_does(self) -> None:
        """What is undefined, by the sections, which spoc.py does not ask."""
        support.require_command("nm")
        for path in list(programs())[::40]:
            result = subprocess.run(["nm", "-D", "--undefined-only", "--without-symbol-versions", path],
                                    stdout=subprocess.PIPE, text=True, check=True)
            names = {line.split()[-1] for line in result.stdout.splitlines()}
            self.assertEqual(self.imports(path) - {""}, {name for name in names if len(name) <= 64}, path)


class Linked(GapsCase):
    """What compilers of this machine make."""

    def compile(self, name: str, source: str, *flags: str, compiler: str = "gcc") -> str:
        support.require_command(compiler)
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        (self.folder / "source.c").write_text(source)
        subprocess.run([compiler, "-w", "-o", str(path), str(self.folder / "source.c"), *flags], check=True)
        return str(path)

    def test_run_paths(self) -> None:
        """RPATH is for what libraries need as well, RUNPATH is not, and one with it takes no RPATH: as ld.so says."""
        for folder in "a", "b", "lib":
            self.compile(f"{folder}/libinner.so", "int inner(void) { return 1; }", "-shared", "-fPIC")
        inner = (f"-L{self.folder}/a", "-linner", "-Wl,--no-as-needed")
        for number, (outer_flags, flags) in enumerate((
                ((), ("--disable-new-dtags", "-rpath,$ORIGIN/a")), ((), ("--enable-new-dtags", "-rpath,$ORIGIN/a")),
                (("--disable-new-dtags", "-rpath,$ORIGIN/../b"), ("--disable-new-dtags", "-rpath,$ORIGIN/a")),
                (("--enable-new-dtags", "-rpath,${ORIGIN}/../b"), ("--disable-new-dtags", "-rpath,$ORIGIN/a")),
                (("--enable-new-dtags", "-rpath,/missing"), ("--disable-new-dtags", "-rpath,$ORIGIN/a")),
                ((), ("--disable-new-dtags", "-rpath,$ORIGIN/$LIB:$ORIGIN/b")))):
            with self.subTest(number):
                self.compile("a/libouter.so", "int inner(void); int outer(void) { return inner(); }", "-shared",
                             "-fPIC", *inner, *(f"-Wl,{flag}" for flag in outer_flags))
                (self.folder / "b/libouter.so").write_bytes((self.folder / "a/libouter.so").read_bytes())
                program = self.compile("prog", "int outer(void); int main(void) { return outer(); }",
                                       f"-L{self.folder}/a", "-louter", f"-Wl,-rpath-link,{self.folder}/a",
                                       *(f"-Wl,{flag}" for flag in flags))
                listed = subprocess.run(["ldd", program], stdout=subprocess.PIPE, text=True, check=True).stdout
                wanted = dict(re.findall(r"(lib(?:inner|outer)\.so) => (\S+)", listed))
                found = {file.partition(",")[0] if isinstance(file, str) else file.name:
                         "not" if isinstance(file, str) else os.path.realpath(file.path)
                         for file in spoc.Loader().load(program)}
                self.assertEqual({name: found.get(name) for name in wanted}, {
                    name: os.path.realpath(path) if path != "not" else "not" for name, path in wanted.items()})

    def test_caches(self) -> None:
        """ldconfig writes them; old ones for old programs alone. What stands before the default folders comes first."""
        for folder in "etc", "opt/deep", "usr/lib/x86_64-linux-gnu":
            (self.folder / folder).mkdir(parents=True)
        for folder in "opt/deep", "usr/lib/x86_64-linux-gnu":
            self.compile(f"{folder}/libdeep.so.1", "int deep(void) { return 0; }", "-shared", "-fPIC",
                         "-Wl,-soname,libdeep.so.1")
        self.compile("bin/prog", "int deep(void); int main(void) { return deep(); }", str(
            self.folder / "opt/deep/libdeep.so.1"))
        (self.folder / "etc/ld.so.conf").write_text("/opt/deep\n/usr/lib/x86_64-linux-gnu\n")
        ldconfig = shutil.which("ldconfig", path="/sbin:/usr/sbin") or "ldconfig"
        for kind in "old", "new", "compat":
            with self.subTest(kind):
                subprocess.run([ldconfig, "-r", str(self.folder), "-c", kind, "-X"], check=True,
                               stderr=subprocess.DEVNULL)
                data = (self.folder / "etc/ld.so.cache").read_bytes()
                self.assertEqual((data.startswith(b"ld.so-1.7.0"), b"glibc-ld.so.cache1.1" in data),
                                 (kind != "new", kind != "old"))
                _, library, *_ = spoc.Loader(str(self.folder)).load("/bin/prog")
                self.assertEqual(library.path if not isinstance(library, str) else "", "/opt/deep/libdeep.so.1")
                for length in range(0, len(data), 7):
                    (self.folder / "etc/ld.so.cache").write_bytes(data[:length])
                    spoc.Loader(str(self.folder)).load("/bin/prog")

    def test_links_stay_in_the_root(self) -> None:
        """As in a chroot; another file of that path is on this machine."""
        root = self.folder / "root"
        (root / "usr/bin").mkdir(parents=True)
        (root / "usr/lib").mkdir()
        for name, target in (("bin", "usr/bin"), ("lib", "/usr/lib"), ("usr/bin/out", "../../../../../../bin/date"),
                             ("usr/bin/absolute", f"{root}/usr/bin/prog"), ("usr/bin/link", "/bin/prog")):
            (root / name).symlink_to(target)
        self.make("root/usr/bin/prog", elf_file(["fsync"], needed=["libx.so"]))
        self.make("root/usr/lib/libx.so", elf_file(["kill"]))
        for name in "prog", "link", "/bin/link", "/usr/bin/../bin/prog":
            document = self.document("--root", str(root), name)
            self.assertEqual(([row["reasons"] for row in document["own"]], document["libraries"]),
                             ([[f"{os.path.basename(name)} imports fsync"]], {"libx.so": ["kill"]}))
        for name in "out", "absolute", "date":
            result = support.spoc("gaps", "-p", str(self.profile), "--root", str(root), name)
            self.assertEqual((result.returncode, len(result.stderr.splitlines())), (125, 1))

    def test_musl(self) -> None:
        """Its names for what its functions call, and its folders."""
        support.require_command("musl-gcc")
        program = self.compile("prog", "#include <fcntl.h>\n#include <unistd.h>\nint main(void) { return open(\"x\", 0)"
                               " + fork(); }", compiler="musl-gcc")
        self.assertEqual({name: self.own(program)[name] for name in ("open", "fork")},
                         {"open": ["prog imports open"], "fork": ["prog imports fork"]})
        self.assertEqual([file if isinstance(file, str) else os.path.realpath(file.path)
                          for file in spoc.Loader().load(program)[1:]],
                         [os.path.realpath(glob.glob("/lib/ld-musl-*.so.1")[0])])
        self.assertEqual(self.document(self.compile("static", "int main(void) { return 0; }", "-static",
                                                    compiler="musl-gcc"))["static"], ["static"])

    def test_go(self) -> None:
        """As it is, without symbols, and linked by gcc."""
        support.require_command("go")
        source = self.folder / "main.go"
        source.write_text('package main\nimport ("os"; "syscall")\nfunc main() {\n if len(os.Args) > 1 { '
                          'syscall.Fsync(1); syscall.Sethostname(nil); syscall.Unlink("x") } }\n')
        for number, flags in enumerate(((), ("-ldflags=-s -w",), ("-buildmode=pie",),
                                        ("-ldflags=-linkmode=external",), ("-ldflags=-linkmode=external -s -w",))):
            with self.subTest(flags):
                program = str(self.folder / f"prog{number}")
                subprocess.run(["go", "build", "-o", program, *flags, str(source)], check=True, env={
                    **os.environ, "GOCACHE": str(self.folder / "cache"), "GO111MODULE": "off", "GOFLAGS": ""})
                own = self.own(program)
                self.assertLessEqual({"fsync", "sethostname", "unlinkat"}, own.keys())
                self.assertLessEqual({"epoll_create1", "sched_yield"}, own.keys())  # its runtime
                self.assertEqual(own.keys() & {"setns", "reboot", "unlink", "mount"}, set())


# What a program of Go's does if it is given an argument.
GO_FAMILIES = {
    "files": 'syscall.Truncate("t", 0); os.Stat("/etc"); os.Lstat("/"); os.Getuid(); os.Chown("/none", 0, 0); '
             'var s syscall.Statfs_t; syscall.Statfs("/", &s); os.Chmod("/none", 7); os.Remove("/none"); '
             'syscall.Fchmod(9, 7)',
    "limits": 'var l syscall.Rlimit; syscall.Getrlimit(7, &l); syscall.Setrlimit(7, &l); '
              'syscall.Getxattr("/", "a", nil)',
    "programs": 'exec.Command("true").Run(); os.Pipe(); os.Getwd()',
    "network": 'net.Listen("tcp", "127.0.0.1:0"); net.Dial("udp", "127.0.0.1:9"); net.Interfaces()',
}


class Needed(GapsCase):
    """A program that is recorded without an argument makes calls with one, of which gaps tells: it needs no others."""

    def test_glibc(self) -> None:
        self.check("gcc")

    def test_musl(self) -> None:
        self.check("musl-gcc")

    def test_i386(self) -> None:
        self.check("gcc -m32")

    def test_go(self) -> None:
        for machine in "amd64", "386":
            self.check(f"GOARCH={machine}")

    def test_as_go_says(self) -> None:
        """The calls of functions that the sources of Go's packages have, for four architectures."""
        support.require_command("go")
        root = subprocess.run(["go", "env", "GOROOT"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
        # Others do the same; ipc is libseccomp's name for these; every program reads, writes and ends.
        other = {"Time time", "Utime utime", "accept accept", "getrlimit getrlimit", "Lstat lstat64", "Stat stat64",
                 "SyncFileRange sync_file_range2", "Fadvise fadvise64_64", "Exit exit_group",
                 "EpollCreate epoll_create", "InotifyInit inotify_init", "readlen read", "writelen write",
                 "exitThread exit"}
        checked = 0
        machines = {"amd64": spoc.X86_64, "386": spoc.X86, "arm": spoc.ARM, "arm64": spoc.AARCH64}
        for machine, architecture in machines.items():
            for path in (glob.glob(f"{root}/src/syscall/zsyscall_linux_{machine}.go") +
                         glob.glob(f"{root}/src/cmd/vendor/golang.org/x/sys/unix/zsyscall_linux*_{machine}.go")):
                with open(path, encoding="utf-8") as file:
                    text = file.read()
                for function in re.finditer(r"^func (\w+)\(.*?^}", text, re.MULTILINE | re.DOTALL):
                    for call in map(str.lower, re.findall(r"SYS_(\w+)", function[0])):
                        name = call if call != "fstatat" else "newfstatat"  # as libseccomp calls arm64's
                        told = [option for each in spoc.calls_of_go(f"syscall.{function[1]}")
                                for option in spoc.calls_of_machine(each.partition("/")[0], architecture.token, True)]
                        with self.subTest(machine=machine, function=function[1]):
                            if f"{function[1]} {call}" not in other and told != ["ipc"]:
                                self.assertIn(name, told)
                                checked += 1
        self.assertGreater(checked, 400)

    def build(self, family: str, compiler: str) -> str:
        path = str(self.folder / family)
        if not compiler.startswith("GOARCH"):
            subprocess.run([*compiler.split(), "-w", f"-DFAMILY_{family}", "-o", path, str(NEEDED), "-lpthread",
                            "-lutil", "-lrt"], check=True)
            return path
        (self.folder / "main.go").write_text(
            'package main\nimport ("net"; "os"; "os/exec"; "syscall")\n'
            "var _, _, _ = net.Dial, exec.Command, syscall.Getpid\n"
            f"func main() {{ if len(os.Args) > 1 {{ {GO_FAMILIES[family]} }} }}\n")
        subprocess.run(["env", "CGO_ENABLED=0", "GO111MODULE=off", f"GOCACHE={self.folder}/cache", "GOFLAGS=", compiler,
                        "go", "build", "-o", path, str(self.folder / "main.go")], check=True)
        return path

    def check(self, compiler: str) -> None:
        support.require_root()
        support.require_command(next(word for word in (*compiler.split(), "go") if "=" not in word))
        families = re.findall(r"FAMILY_(\w+)\n", NEEDED.read_text())
        self.assertGreater(len(families), 10)
        for name in GO_FAMILIES if compiler.startswith("GOARCH") else families:
            with self.subTest(name, compiler=compiler):
                program = self.build(name, compiler)
                result = support.spoc("record", "-b", "execve", "-t", "raw-seccomp", "-o", str(self.profile), program,
                                      cwd=self.folder)
                self.assertEqual(result.returncode, 0, result.stderr)
                named = self.own(program)
                self.assertTrue(named)
                allowed = self.folder / "allowed.json"
                support.spoc("merge", "-o", str(allowed), "-b", ",".join(named), str(self.profile))
                self.assertIn("allows all that", support.spoc("gaps", "-p", str(allowed), program).stdout)
                result = support.spoc("run", "--strict", "-p", str(allowed), program, "x", cwd=self.folder)
                # What programs need that it executes is not told.
                blocked = re.findall(rf"Seccomp: (\S+) .*comm: {name}\n", result.stderr)
                self.assertEqual(blocked, [], result.stderr)


class Foreign(GapsCase):
    """Debian's packages for other architectures, unpacked."""

    def unpack(self, suite: str, architecture: str, *names: str) -> str:
        sys.path.insert(0, str(support.ROOT / "tests" / "vm"))
        self.addCleanup(sys.path.remove, str(support.ROOT / "tests" / "vm"))
        import build
        try:
            build.CACHE.mkdir(parents=True, exist_ok=True)
            with build.locked(build.CACHE / "lock"):
                packages = build.Apt(suite, architecture).fetch(names)
        except (build.BuildError, OSError, subprocess.CalledProcessError) as error:
            self.skipTest(f"optional: needs packages for {architecture}: {error}")
        for package in packages.values():
            subprocess.run(["dpkg-deb", "--extract", str(package), str(self.folder / architecture)], check=True)
        return str(self.folder / architecture)

    def check(self, suite: str, architecture: str, machine: str, *more: str) -> None:
        root = self.unpack(suite, architecture, "libc6", "coreutils", "libselinux1", "libpcre2-8-0", *more)
        ls, *libraries = spoc.Loader(root).load("ls")
        paths = [file if isinstance(file, str) else os.path.basename(file.path) for file in libraries]
        listed = subprocess.run(["readelf", "-hdW", f"{root}/bin/ls" if os.path.exists(f"{root}/bin/ls") else
                                 f"{root}/usr/bin/ls"], stdout=subprocess.PIPE, text=True, check=True).stdout
        self.assertRegex(listed, rf"Machine: +{machine}")
        self.assertLessEqual(set(re.findall(r"NEEDED.*\[(.*)\]", listed)), set(paths))
        self.assertFalse([file for file in libraries if isinstance(file, str)])
        own = self.own("--root", root, "rm", "ls")
        self.assertIn("unlinkat", own)
        self.assertEqual([name for name in own if spoc.syscall_number(name, getattr(spoc, {
            "arm64": "AARCH64", "armhf": "ARM", "riscv64": "RISCV64"}[architecture]).token) < 0], [])

    def test_arm64(self) -> None:
        self.check("bookworm", "arm64", "AArch64")

    def test_armhf(self) -> None:
        self.check("bookworm", "armhf", "ARM")

    def test_riscv64(self) -> None:
        self.check("trixie", "riscv64", "RISC-V", "libcap2")


class Running(GapsCase):
    """What runs, by what it has mapped."""

    def test_process(self) -> None:
        """As root, and as the user whose process it is; with what has been loaded since, and what has been removed."""
        support.require_root()
        library = self.make("libremoved.so", b"")
        source = self.folder / "source.c"
        source.write_text("#include <unistd.h>\nint removed(void) { return acct(0); }\n")
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, str(source)], check=True)
        process = self.launch(sys.executable, "-c", "import ctypes, sys, time; ctypes.CDLL(sys.argv[1]); "
                              "print(flush=True); time.sleep(1000)", library, stdout=subprocess.PIPE)
        assert process.stdout
        process.stdout.readline()
        document = self.document("--pid", str(process.pid))
        self.assertEqual(document["programs"], [os.path.basename(os.path.realpath(sys.executable))])
        self.assertEqual(document["libraries"]["libremoved.so"], ["acct"])
        self.assertIn("what is loaded while it runs", "".join(document["unknown"]))
        os.unlink(library)
        self.assertEqual([calls for name, calls in self.document("--pid", str(process.pid))["libraries"].items()
                          if name.startswith("libremoved.so")], [["acct"]])
        self.profile.chmod(0o644)
        own = self.launch(*support.AS_NOBODY, "/bin/sleep", "1000")
        support.wait_until(lambda: os.readlink(f"/proc/{own.pid}/exe").endswith("sleep"))
        result = subprocess.run([*support.AS_NOBODY, sys.executable, str(support.SPOC), "gaps", "--json", "-p",
                                 str(self.profile), "--pid", str(own.pid)], stdout=subprocess.PIPE, text=True,
                                check=True)
        self.assertEqual(json.loads(result.stdout)["programs"], ["sleep"])
        result = subprocess.run([*support.AS_NOBODY, sys.executable, str(support.SPOC), "gaps", "-p", str(self.profile),
                                 "--pid", str(process.pid)], stderr=subprocess.PIPE, text=True)
        self.assertEqual(result.returncode, 125)
        self.assertTrue(result.stderr.endswith(
            f" Error: read: process {process.pid}: Permission denied; run it as root\n"), result.stderr)

    def test_what_has_ended(self) -> None:
        """Of a process that has zombies, the rest is told; a zombie alone is gone. A reason is said once."""
        script = ("import os, subprocess, sys\nzombie = os.fork() or os._exit(0)\n"
                  "for _ in range(2): subprocess.Popen(['sleep', '1000'])\n"
                  "os.waitid(os.P_PID, zombie, os.WEXITED | os.WNOWAIT)\nprint(zombie, flush=True)\nsys.stdin.read()\n")
        process = self.launch(sys.executable, "-c", script, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdout
        zombie = process.stdout.readline().decode().strip()
        document = self.document("--pid", str(process.pid))
        self.assertEqual(document["programs"][1:], ["sleep"])
        self.assertEqual([row["reasons"].count("sleep imports nanosleep") for row in document["own"]
                          if row["syscall"] == "clock_nanosleep"], [1])
        result = support.spoc("gaps", "-p", str(self.profile), "--pid", zombie)
        self.assertEqual(result.returncode, 125)
        self.assertTrue(result.stderr.endswith(f" Error: read: process {zombie}: it has ended\n"), result.stderr)

    def test_program_that_cannot_be_told(self) -> None:
        """Beside others it is named, and --check fails; alone there is nothing to tell."""
        path = self.make("damaged", b"")
        source = self.folder / "source.c"
        source.write_text("#include <unistd.h>\nint main(void) { return pause(); }\n")
        subprocess.run(["gcc", "-static", "-no-pie", "-o", path, str(source)], check=True)
        data = pathlib.Path(path).read_bytes()
        stack, dynamic = 0x6474E551, 2  # elf.h: PT_GNU_STACK, whose address is 0, and PT_DYNAMIC, which exec ignores
        pathlib.Path(path).write_bytes(data.replace(struct.pack("<I", stack), struct.pack("<I", dynamic), 1))
        damaged, fine = self.launch(path), self.launch("sleep", "1000")
        support.wait_until(lambda: all(os.readlink(f"/proc/{each.pid}/exe").endswith(name)
                                       for each, name in ((damaged, "damaged"), (fine, "sleep"))))
        document = self.document("--check", "--pid", str(damaged.pid), "--pid", str(fine.pid), code=1)
        self.assertEqual(document["programs"], ["sleep"])
        self.assertIn(f"what process {damaged.pid} asks for: it is missing, or cannot be read", document["unknown"])
        self.assertFalse(document["complete"])
        result = support.spoc("gaps", "-p", str(self.profile), "--pid", str(damaged.pid))
        self.assertEqual(result.returncode, 125)
        self.assertTrue(result.stderr.endswith(
            f" Error: read: process {damaged.pid}: it is damaged: a table is not in it\n"), result.stderr)

    def test_bad_files_are_read_once(self) -> None:
        """However often they are mapped; they are told, and --check fails."""
        bad = self.make("bad.so", b"\x7fELF" + bytes(1 << 16))
        process = self.launch(sys.executable, "-c", "import mmap, sys; file = open(sys.argv[1], 'rb'); "
                              "maps = [mmap.mmap(file.fileno(), 4096, prot=5, flags=2, offset=8192 * number) "
                              "for number in range(8)]; print(flush=True); sys.stdin.read()", bad,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdout
        process.stdout.readline()
        read = []
        with unittest.mock.patch.object(spoc.ElfFile, "__init__", lambda _, __, path, *more: read.append(path)):
            list(spoc.mapped_files("", [process.pid, process.pid]))
        self.assertEqual(sorted(set(read)), sorted(read))
        self.assertIn(bad, read)
        document = self.document("--pid", str(process.pid))
        self.assertIn(f"what {bad}, a library of {document['programs'][0]}, asks for: it is missing, or cannot be read",
                      document["unknown"])
        self.assertFalse(document["complete"])

    def test_container(self) -> None:
        """Its own files, not those of this machine that have their names."""
        engines = Engines()
        self.addCleanup(engines.close)
        source = self.folder / "source.c"
        source.write_text("#include <unistd.h>\nint main(void) { if (getppid() == 77) sethostname(\"x\", 1); "
                          "for (;;) pause(); }\n")
        engine = engines.podman("crun")
        subprocess.run(["gcc", "-o", str(self.folder / "prog"), str(source)], check=True)
        libraries = subprocess.run(["ldd", str(self.folder / "prog")], stdout=subprocess.PIPE, text=True,
                                   check=True).stdout
        binds = [option for path in re.findall(r"(/\S+) \(", libraries) for option in (
            "--volume", f"{os.path.realpath(path)}:{path}:ro")]
        engine.start(ONE, "/prog", options=("--volume", f"{self.folder}/prog:/prog:ro", *binds))
        self.addCleanup(engine.remove, ONE)
        document = self.document("--container", engine.called(ONE))
        self.assertIn("prog", document["programs"])
        self.assertEqual([row["reasons"] for row in document["own"] if row["syscall"] == "sethostname"],
                         [["prog imports sethostname"]])


class Hostile(GapsCase):
    """Files that are not what they seem."""

    def test_mutated_files(self) -> None:
        """Of 1,000, made by chance from real ones and crafted ones, each is read or refused with a reason."""
        chance = random.Random(20)
        samples = [elf_file(["fsync"] * 20, ["main"], needed=["a", "b"], rpath="$ORIGIN", interpreter="/lib/ld.so"),
                   elf_file(["kill"], machine=EM_S390, order=">", gnu_hash=False), elf_file(go=["syscall.Fsync"]),
                   elf_file(["kill"], machine=EM_386, wide=False)]
        with open("/bin/true", "rb") as file:
            samples.append(file.read())
        path, refused = self.folder / "prog", 0
        for number in range(1000):
            data = bytearray(samples[number % len(samples)])
            for _ in range(chance.randrange(1, 6)):
                place = chance.randrange(min(len(data), 1500))
                data[place:place + 8] = chance.choice((
                    b"\xff" * 8, bytes(8), chance.getrandbits(64).to_bytes(8, "big"), b"\x7f", b"\0\0\0\x80"))
            path.write_bytes(data[:chance.choice((len(data), chance.randrange(len(data))))])
            try:
                document = spoc.find_gaps(str(self.profile), spoc.Settings(),
                                          spoc.Loader(str(self.folder)).load("/prog"))
                spoc.format_gaps(document, 80, False)
            except spoc.SpocError as error:
                refused += 1
                self.assertTrue(error.reason)
                self.assertEqual(len(str(error).splitlines()), 1)
        self.assertGreater(refused, 100)
        self.assertLess(refused, 1000)

    def least_kib(self) -> int:
        """What spoc.py takes for the least, which depends on whether it is compiled."""
        process = subprocess.Popen([sys.executable, str(support.SPOC), "gaps", "--help"], stdout=subprocess.DEVNULL)
        _, process.returncode, usage = os.wait4(process.pid, 0)
        return usage.ru_maxrss

    def test_bounds(self) -> None:
        """What claims to be huge, or goes round in circles, takes neither long nor much memory."""
        many = self.make("many", elf_file([f"f{number}" for number in range(100000)], needed=["many", "liba.so"] * 500,
                                          rpath=":".join(f"/none{number}" for number in range(300))))
        with open(many, "r+b") as file:
            file.truncate(1 << 40)
        self.make("liba.so", elf_file(["kill"], needed=["libb.so"], rpath="$ORIGIN"))
        self.make("libb.so", elf_file(["kill"], needed=["liba.so"], rpath="$ORIGIN"))
        loop = self.make("loop", elf_file(["kill"], needed=["liba.so"], rpath="$ORIGIN"))
        huge = self.make("huge", elf_file(go=["syscall.Fsync"]))
        with open(huge, "r+b") as file:
            file.truncate(1 << 40)
            file.seek(64 + 56 + 32)
            file.write(struct.pack("<Q", 1 << 40))  # p_filesz of PT_LOAD
        for path in many, loop:
            self.check_bounds(path)
        self.check_bounds(huge, "it is too large, or its libraries are")

    def check_bounds(self, path: str, reason: str = "") -> None:
        with self.subTest(path):
            process = subprocess.Popen([sys.executable, str(support.SPOC), "gaps", "-p", str(self.profile), path],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                       preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (20, 20)))
            assert process.stderr
            with process.stderr:
                log = process.stderr.read().decode()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            self.assertEqual((process.returncode, len(log.splitlines())), (125, 1) if reason else (0, 0))
            self.assertIn(reason, log)
            self.assertLess(usage.ru_maxrss - self.least_kib(), 32 << 10)

    def test_names_without_end(self) -> None:
        """What may be taken away from names is looked for in linear time."""
        self.check_bounds(self.make("long", elf_file(["_" * 1300 + "_2" * 1300 + "!"])))
        self.check_bounds(self.make("many", elf_file([f"{'_' * 9}{'_2' * 20}{number}" for number in range(30000)])))
        self.check_bounds(self.make("go", elf_file(go=[f"syscall.Fsync{number}" for number in range(60000)])))

    def test_headers_without_end(self) -> None:
        """No more headers than Linux reads (fs/binfmt_elf.c), a dynamic table of some thousand entries."""
        count, block = 60000, struct.pack("<QQ", 1, 1) * (1 << 16)
        start = 64 + 56 * count
        header = elf_file()[:16] + struct.pack("<HHIQQQI6H", 3, EM_X86_64, 1, 0, 64, 0, 0, 64, 56, count, 0, 0, 0)
        for name, kinds in ("headers", [2] * count), ("table", [2, 1]):
            rows = b"".join(struct.pack("<IIQQQQQQ", kind, 4, start, start, start, len(block), len(block), 8)
                            for kind in kinds)
            data = header[:56] + struct.pack("<H", len(kinds)) + header[58:] + rows
            self.check_bounds(self.make(name, data.ljust(start, b"\0") + block), "it is cut off, or damaged")

    def test_last_dynamic_table(self) -> None:
        """It is that which ld.so reads, by the address that it has in memory."""
        source = self.folder / "source.c"
        source.write_text("int main(void) { return 0; }\n")
        path = self.folder / "prog"
        subprocess.run(["gcc", "-o", str(path), str(source)], check=True)
        data = bytearray(path.read_bytes())
        start, count = struct.unpack_from("<Q", data, 32)[0], struct.unpack_from("<H", data, 56)[0]
        kinds = [struct.unpack_from("<I", data, start + 56 * number)[0] for number in range(count)]
        dynamic, last = start + 56 * kinds.index(2), start + 56 * (count - 1)
        for place, gone in ((dynamic, b"\xff" * 8), (last, bytes(8))):
            changed = bytearray(data)
            changed[last:last + 56] = data[dynamic:dynamic + 56]
            changed[last + 8:last + 16] = bytes(8)  # its offset, which ld.so does not ask for
            changed[place + 8:place + 16] = changed[place + 16:place + 24] = gone
            path.write_bytes(changed)
            runs = subprocess.run([str(path)]).returncode == 0
            self.assertEqual(runs, place == dynamic)
            if runs:
                self.assertIn("libc.so.6", spoc.Loader().read(str(path)).needed)

    def test_many_names_of_libraries(self) -> None:
        """Of all the files that a program takes, together, no more is kept than of one."""
        names = [f"lib{number}.so" for number in range(90)]
        prog = self.make("prog", elf_file(["read"], needed=names, rpath="$ORIGIN"))
        ends = itertools.islice(itertools.product(("_2", "_r", "64"), repeat=10), 32720)
        path = self.make("library", elf_file([f"fsync{''.join(end)}" for end in ends]))
        for name in names:
            os.link(path, self.folder / name)
        self.check_bounds(prog)
        document = self.document(prog)
        self.assertEqual(document["libraries"], {"lib0.so": ["fsync"]})
        self.assertFalse(document["complete"])

    def test_libraries_of_many_names(self) -> None:
        """To ask what a name stands for takes longer than to read it."""
        names = [f"lib{number}.so" for number in range(250)]
        prog = self.make("prog", elf_file(["read"], needed=names, rpath="$ORIGIN"))
        path = self.make("library", elf_file([f"function{number}" for number in range(20000)]))
        for name in names:
            os.link(path, self.folder / name)
        self.check_bounds(prog)
        self.assertFalse(self.document(prog)["complete"])

    def test_too_many_libraries(self) -> None:
        """The first of those that are not looked at is told, though it is there."""
        names = [f"lib{number}.so" for number in range(300)]
        program = self.make("prog", elf_file(["read"], needed=names, rpath="$ORIGIN"))
        path = self.make("library", elf_file(["kill"]))
        for name in names:
            os.link(path, self.folder / name)
        document = self.document("--check", program, code=1)
        self.assertEqual([line for line in document["unknown"] if "library" in line],
                         ["what lib256.so, a library of prog, asks for: it is missing, or cannot be read"])
        self.assertFalse(document["complete"])

    def test_run_paths_without_end(self) -> None:
        """Where links lead to folders of long names."""
        folder = "/".join(["x" * 200] * 18)
        names = [f"lib{number}.so" for number in range(200)]
        libraries = elf_file(["kill"], rpath=":".join(["$ORIGIN"] * 510))
        prog = self.make(f"{folder}/prog", elf_file(["read"], needed=names, rpath="$ORIGIN"))
        for name in names:
            self.make(f"{folder}/{name}", libraries)
        self.check_bounds(prog)

    def test_only_regular_files_are_opened(self) -> None:
        """A FIFO's writer goes on waiting for its reader; what was opened is closed."""
        os.mkfifo(self.folder / "fifo")
        folders = [f"folder{number}" for number in range(250)]
        for folder in folders:
            (self.folder / folder).mkdir()
        prog = self.make("prog", elf_file(["read"], rpath="$ORIGIN", needed=[
            f"{self.folder}/fifo", *folders, "/dev/null"]))
        writer = self.launch("sh", "-c", 'exec 3> "$0"', str(self.folder / "fifo"))
        support.wait_until(lambda: any(word in pathlib.Path(f"/proc/{writer.pid}/wchan").read_text()
                                       for word in ("fifo_open", "wait_for_partner")))
        count = len(os.listdir("/proc/self/fd"))
        for root in "", "/":
            files = spoc.Loader(root).load(prog)
            self.assertEqual([file for file in files[1:] if not isinstance(file, str)], [])
            self.assertEqual(len(os.listdir("/proc/self/fd")), count)
        self.assertIsNone(writer.poll())


class Recorded(GapsCase):
    """record --stats ends with it."""

    def test_record(self) -> None:
        profile = str(self.folder / "true.yaml")
        for backend in support.NOTIFY, ():
            log = support.spoc("record", *backend, "--stats", "-o", profile, "date").stderr
            match = re.search(r"The profile lacks (\d+ syscalls?) that date asks for: spoc.py (gaps .*)\n", log)
            assert match, log
            result = support.spoc(*shlex.split(match[2]))
            self.assertIn(f"does not allow {match[1]} that date asks for:\n", result.stdout)
            self.assertIn("clock_settime", result.stdout)
        self.assertNotIn("The profile lacks", support.spoc("record", "--stats", "-o", "-", "date").stderr)
        static = support.build("victim.c", "-static")
        self.assertNotIn("The profile lacks", support.spoc("record", "--stats", "-o", profile, static, "0").stderr)

    def test_signal_ends_it(self) -> None:
        """What takes long after the recording does not keep record from its end, nor from its exit code."""
        profile = self.folder / "true.yaml"
        process = self.launch(sys.executable, "-c", "import sys, time\nsys.path.insert(0, sys.argv.pop(1))\n"
                              "import spoc\nspoc.count_gaps = lambda *_: print(flush=True) or time.sleep(1000)\n"
                              "sys.exit(spoc.main(sys.argv[1:]))", str(support.SOURCE.parent), "record",
                              *support.NOTIFY, "--stats", "-o", str(profile), "sh", "-c", "exit 3",
                              stdout=subprocess.PIPE)
        assert process.stdout
        self.assertEqual(process.stdout.readline(), b"\n")
        process.terminate()
        self.assertEqual(process.wait(20), 3)
        self.assertIn("SCMP_ACT_ALLOW", profile.read_text())


class Constants(support.Case):
    """As the headers have them."""

    def test_headers(self) -> None:
        support.require_command("gcc")
        names = ("PT_LOAD PT_DYNAMIC PT_INTERP PT_NOTE DT_NEEDED DT_HASH DT_STRTAB DT_SYMTAB DT_STRSZ DT_RPATH "
                 "DT_RUNPATH DT_GNU_HASH DT_VERSYM RESOLVE_IN_ROOT").split()
        wanted = {**{name: getattr(spoc, name) for name in names}, "__AUDIT_ARCH_LE": spoc.AUDIT_ARCH_LE,
                  "sizeof(struct open_how)": 24}
        for bits, layouts in ((32, spoc.ELF_STRUCTS[1]), (64, spoc.ELF_STRUCTS[2])):
            for layout, name, fields in zip(layouts, ("Ehdr", "Phdr", "Dyn", "Sym"), (
                    "e_machine e_phoff e_phentsize e_phnum", "p_type p_offset p_vaddr p_filesz", "d_tag d_un.d_val",
                    "st_name st_shndx")):
                if name != "Ehdr":  # what follows in it is not needed
                    wanted[f"sizeof(Elf{bits}_{name})"] = struct.calcsize("<" + layout)
                parts = re.findall(r"\d*x|[A-Z]", layout)
                places = [index for index, part in enumerate(parts) if "x" not in part]
                self.assertEqual(("".join(parts), len(places)), (layout, len(fields.split())))
                for index, field in zip(places, fields.split()):
                    wanted[f"offsetof(Elf{bits}_{name}, {field})"] = struct.calcsize("<" + "".join(parts[:index]))
                    wanted[f"sizeof(((Elf{bits}_{name} *) 0)->{field})"] = struct.calcsize("<" + parts[index])
        source = self.folder / "values.c"
        source.write_text("#include <elf.h>\n#include <linux/audit.h>\n#include <linux/openat2.h>\n"
                          "#include <stddef.h>\n#include <stdio.h>\nint main(void) {\n" + "".join(
                              f'printf("%lu\\n", (unsigned long)({name}));\n' for name in wanted) + "}\n")
        subprocess.run(["gcc", "-o", str(self.folder / "values"), str(source)], check=True)
        found = subprocess.run([str(self.folder / "values")], stdout=subprocess.PIPE, check=True).stdout.split()
        self.assertEqual(dict(zip(wanted, map(int, found))), wanted)


if __name__ == "__main__":
    unittest.main()
