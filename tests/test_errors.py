# SPDX-License-Identifier: MIT
"""Every fault that can be foreseen, provoked for real: one line says what failed and what to do; nothing is lost."""

import ast
import errno
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
import unittest
import zlib
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import spoc
import support
from cases import (ANY_COMMAND, BPF_MAP_CREATE, BPF_PROG_LOAD, BPF_RAW_TRACEPOINT_OPEN, PR_GET_SECCOMP, PR_SET_SECCOMP,
                   SECCOMP_GET_NOTIF_SIZES, CopyCase, LibraryCase, without)
from support import (AS_NOBODY, CLOCK, NOBODY, OBJECT, ROOT, SOURCE, WAIT_S, build, in_mounts, library_path, require,
                     require_command, wait_until, with_capabilities)

TIER = "kernel"


class Privileges(CopyCase):
    REFUSAL = ("load BPF programs", "run it as root, or with CAP_BPF and CAP_PERFMON")

    def test_neither_root_nor_capabilities(self) -> None:
        wrappers = {"nobody": AS_NOBODY, "CAP_BPF alone": with_capabilities("bpf"),
                    "CAP_PERFMON alone": with_capabilities("perfmon"),
                    "root without any": ("setpriv", "--bounding-set=-all")}
        for name, wrapper in wrappers.items():
            with self.subTest(name):
                self.assert_refuses(self.attempt(*wrapper), self.REFUSAL[0], str(self.object),
                                    os.strerror(errno.EPERM), self.REFUSAL[1])

    def test_capabilities_instead_of_root(self) -> None:
        self.assert_works(self.attempt(*with_capabilities("bpf", "perfmon")))

    def test_locked_memory_that_may_not_be_raised(self) -> None:
        release = [int(part) for part in re.findall(r"\d+", os.uname().release)[:2]]
        if release < [5, 11]:
            raise unittest.SkipTest("needs Linux 5.11, which does not account BPF maps as locked memory")
        self.assert_works(self.attempt("prlimit", "--memlock=0:0", *with_capabilities("bpf", "perfmon")))

    def test_no_more_processes(self) -> None:
        """The limit lets nobody start a second one."""
        # As a user that nothing else runs as: what that has counts as well.
        result = self.attempt("prlimit", "--nproc=1:1", *(
            part.replace(str(NOBODY), "64998") for part in with_capabilities("bpf", "perfmon")))
        self.assert_refuses(result, "start command", "touch", os.strerror(errno.EAGAIN), "")

    def test_no_more_descriptors(self) -> None:
        """Too few for the recorder's maps and programs, wherever they run out."""
        for limit in range(6, 22, 3):
            with self.subTest(limit):
                result = self.attempt("prlimit", f"--nofile={limit}:{limit}", python=(sys.executable, "-S"))
                self.assert_refuses(result, "", "", os.strerror(errno.EMFILE), "")
                self.assert_nothing_done()


class Kernel(CopyCase):
    """A kernel that refuses bpf(2)."""

    def test_refusals(self) -> None:
        load, attach = ("load BPF programs", str(self.object)), ("attach to tracepoint", "sched_process_fork")
        for number, command, (operation, subject), remedy in (
                (errno.ENOSYS, ANY_COMMAND, load, "CONFIG_BPF_SYSCALL"),
                (errno.EPERM, ANY_COMMAND, load, "seccomp filter, kernel lockdown"),
                (errno.ENOMEM, ANY_COMMAND, load, "memory"),
                (errno.EPERM, BPF_MAP_CREATE, load, "ulimit -l unlimited"),
                (errno.ENOMEM, BPF_MAP_CREATE, load, "memory"),
                (errno.EINVAL, BPF_PROG_LOAD, load, "Linux 5.8 or newer"),
                (spoc.ENOTSUPP, BPF_PROG_LOAD, load, "CONFIG_BPF_JIT_ALWAYS_ON"),
                (errno.EPERM, BPF_RAW_TRACEPOINT_OPEN, attach, "seccomp filter, kernel lockdown"),
                (errno.ENOENT, BPF_RAW_TRACEPOINT_OPEN, attach, "CONFIG_BPF_EVENTS")):
            with self.subTest(f"error {number} to command {command}"):
                result = self.attempt(build("refuse.c"), str(number), str(command))
                self.assert_refuses(result, operation, subject, os.strerror(number), remedy)

    def test_refusal_of_the_verifier(self) -> None:
        """-v shows its log to the end, which says what was wrong."""
        return_0, load_above_the_stack, leave = (bytes.fromhex(code.ljust(16, "0")) for code in ("b7", "79a008", "95"))
        data = self.object.read_bytes()
        self.assertIn(return_0 + leave, data)
        data = data.replace(return_0 + leave, load_above_the_stack + leave)
        self.object.write_bytes(data)
        self.program.write_text(SOURCE.read_text().replace(f"0x{spoc.OBJECT_CRC32:08X}", hex(zlib.crc32(data))))
        results = [subprocess.run([sys.executable, str(self.program), "record", *options, "--backend", "bpf", "-o",
                                   str(self.profile), "true"], stderr=subprocess.PIPE, text=True)
                   for options in ((), ("-v",))]
        self.assertRegex(results[0].stderr, r"Error: load BPF programs: .*; [^\n]*-v tells more\n")
        begin = results[1].stderr.index("BEGIN PROG LOAD LOG")
        log = results[1].stderr[begin:results[1].stderr.index("END PROG LOAD LOG")].splitlines()[1:-1]
        self.assertGreater(len("\n".join(line[16:] for line in log)), 4096)
        self.assertRegex(log[-2], "invalid read from stack")
        self.assertRegex(log[-1], r"processed \d+ insns")
        self.assertEqual([result.returncode for result in results], [125, 125])
        self.assert_nothing_done()

    def test_refusal_without_the_jit(self) -> None:
        """Linux 7.2 answers EINVAL where it has to be on: that comes first, if it is off or that is not known."""
        (self.folder / "off").write_text("0\n")
        off = in_mounts(f"mount --bind {self.folder}/off {spoc.JIT_SETTING}")
        for wrapper, expected in ((off, True), (("unshare", "--net"), True), ((), False)):
            with self.subTest(wrapper):
                result = self.attempt(*wrapper, build("refuse.c"), str(errno.EINVAL), str(BPF_PROG_LOAD))
                self.assertEqual(f"Invalid argument; {spoc.JIT_REMEDY}, " in result.stderr, expected, result.stderr)
                self.assert_refuses(result, "load BPF programs", str(self.object), os.strerror(errno.EINVAL),
                                    "CONFIG_BPF_EVENTS")

    def test_the_filter_itself_does_no_harm(self) -> None:
        self.assert_works(self.attempt(build("refuse.c"), str(errno.EPERM), "1000"))


class Libraries(LibraryCase):
    def test_no_libbpf(self) -> None:
        path = library_path("libbpf.so.1")
        result = self.attempt(*self.hiding(path.parent, "libbpf.so.1", path.name))
        self.assert_refuses(result, "load library", "libbpf.so.1", self.MISSING, "install libbpf .*libbpf1")

    def test_libbpf_of_the_older_soname(self) -> None:
        path = library_path("libbpf.so.1")
        folder = self.folder / "older"
        folder.mkdir()
        shutil.copy(path, folder / "libbpf.so.0")
        hiding = self.hiding(path.parent, "libbpf.so.1", path.name)
        self.assert_works(self.attempt(*hiding, environment={"LD_LIBRARY_PATH": str(folder)}))

    def test_libbpf_too_old(self) -> None:
        result = self.attempt(environment=self.stub("libbpf.so.1"))
        self.assert_refuses(result, "load library", "libbpf.so.1", r"has no \w+, too old",
                            "install libbpf 0.3 or newer")

    def test_libbpf_that_is_no_library(self) -> None:
        folder = self.folder / "broken"
        folder.mkdir()
        (folder / "libbpf.so.1").write_bytes(b"\x7fELF")
        hiding = self.hiding(library_path("libbpf.so.1").parent, "libbpf.so.1")
        result = self.attempt(*hiding, environment={"LD_LIBRARY_PATH": str(folder)})
        self.assert_refuses(result, "load library", "libbpf.so.1", "[^\n;]*file too short", "install libbpf")

    def test_no_libseccomp(self) -> None:
        path = library_path("libseccomp.so.2")
        hiding = self.hiding(path.parent, "libseccomp.so.2", path.name)
        for options in (("-n",), (), ("-b", "read")):
            with self.subTest(options):
                result = self.attempt(*hiding, options=options)
                self.assert_refuses(result, "load library", "libseccomp.so.2", self.MISSING,
                                    "install libseccomp .*libseccomp2")

    def test_libseccomp_too_old(self) -> None:
        result = self.attempt(environment=self.stub("libseccomp.so.2"))
        self.assert_refuses(result, "load library", "libseccomp.so.2", r"has no \w+, too old", "install libseccomp 2.5")

    def version(self, *wrapper: str, **environment: str) -> Dict[str, str]:
        """What `version` says of each, by its name."""
        result = subprocess.run([*wrapper, sys.executable, str(self.program), "version"], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, env={**os.environ, **environment})
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        pairs = [line.partition(" ") for line in result.stdout.splitlines()]
        self.assertEqual([name for name, _, _ in pairs], ["spoc.py", "libbpf", "libseccomp", "Python"])
        return {name: value for name, _, value in pairs}

    def test_version(self) -> None:
        require_command("dpkg-query")
        versions = self.version()
        for name, package in (("libbpf", "libbpf1"), ("libseccomp", "libseccomp2")):
            shown = subprocess.run(["dpkg-query", "-W", "-f=${Version}", package], stdout=subprocess.PIPE, text=True)
            numbers = versions[name].split()[0]
            self.assertRegex(shown.stdout, rf"\A(\d+:)?{re.escape(numbers)}[.-]")
        self.assertIn("libbpf.so.1", versions["libbpf"])
        self.assertEqual(versions["Python"], "%d.%d.%d" % sys.version_info[:3])

    def test_version_without_libraries(self) -> None:
        whole = self.version()
        for name, soname in (("libbpf", "libbpf.so.1"), ("libseccomp", "libseccomp.so.2")):
            path = library_path(soname)
            versions = self.version(*self.hiding(path.parent, soname, path.name))
            self.assertRegex(versions.pop(name), rf"\Anot usable: load library: {re.escape(soname)}: {self.MISSING}; "
                                                 rf"install {name} [^\n]*\Z")
            self.assertEqual(versions, {other: value for other, value in whole.items() if other != name})

    def test_version_of_a_libbpf_that_does_not_tell(self) -> None:
        """Before 0.6 it had no function for that."""
        functions = " ".join(f"void {name}(void) {{}}" for name, *_ in spoc.LIBBPF)
        self.assertEqual(self.version(**self.stub("libbpf.so.1", functions))["libbpf"], "before 0.6 (libbpf.so.1)")


class Enrichers(LibraryCase):
    """One that was asked for by name, and cannot work, is an error like any other; `auto` takes the next."""

    PROFILE = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["swapon"], "action": "SCMP_ACT_ERRNO"}]}

    def attempt_run(self, enricher: str, *wrapper: str, environment: Optional[Dict[str, str]] = None,
                    ) -> "subprocess.CompletedProcess[str]":
        profile = self.folder / "allow.json"
        profile.write_text(json.dumps(self.PROFILE))
        return subprocess.run([*wrapper, sys.executable, str(self.program), "run", "-q", "--enricher", enricher,
                               "-p", str(profile), "touch", str(self.marker)], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120,
                              env={**os.environ, **(environment or {})})

    def assert_runs(self, result: "subprocess.CompletedProcess[str]") -> None:
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""))
        self.marker.unlink()

    def test_tracepoint_without_libbpf(self) -> None:
        path = library_path("libbpf.so.1")
        hiding = self.hiding(path.parent, "libbpf.so.1", path.name)
        result = self.attempt_run("tracepoint", *hiding)
        self.assert_refuses(result, "load library", "libbpf.so.1", self.MISSING, "install libbpf .*libbpf1")
        self.assert_runs(self.attempt_run("auto", *hiding))

    def test_tracepoint_without_bpf(self) -> None:
        for number, command, remedy in ((errno.EPERM, ANY_COMMAND, "a seccomp filter"),
                                        (errno.ENOSYS, ANY_COMMAND, "CONFIG_BPF_SYSCALL"),
                                        (errno.EPERM, BPF_MAP_CREATE, "ulimit -l unlimited")):
            with self.subTest(f"{errno.errorcode[number]} to command {command}"):
                refuse = (build("refuse.c"), str(number), str(command))
                result = self.attempt_run("tracepoint", *refuse)
                self.assert_refuses(result, "load BPF programs", str(self.object), os.strerror(number), remedy)
                self.assert_runs(self.attempt_run("auto", *refuse))

    def test_tracepoint_in_a_user_namespace(self) -> None:
        result = self.attempt_run("tracepoint", "unshare", "--map-root-user")
        self.assert_refuses(result, "load BPF programs", str(self.object), os.strerror(errno.EPERM),
                            "as root outside of the user namespace")
        self.assert_runs(self.attempt_run("auto", "unshare", "--map-root-user"))

    def test_tracepoint_with_a_damaged_object(self) -> None:
        self.object.write_bytes(OBJECT.read_bytes()[:-1])
        result = self.attempt_run("tracepoint")
        self.assert_refuses(result, "read BPF object", str(self.object), "[^\n;]*damaged[^\n;]*",
                            "copy spoc.py and recorder.bpf.o")
        self.assert_runs(self.attempt_run("auto"))

    def test_tracepoint_that_cannot_tell_its_command(self) -> None:
        """In a pid namespace without /proc nothing may be blocked without a word."""
        namespace = ("unshare", "--pid", "--fork", "--mount", "--propagation", "private", "sh", "-ec",
                     'mount -t tmpfs none /proc; exec "$@"', "sh")
        result = self.attempt_run("tracepoint", *namespace)
        self.assert_refuses(result, "use BPF", "/proc/self/ns/pid", "No such file or directory",
                            "mount -t proc proc /proc")

    def test_no_libseccomp(self) -> None:
        path = library_path("libseccomp.so.2")
        hiding = self.hiding(path.parent, "libseccomp.so.2", path.name)
        for enricher in ("auto", "tracepoint", "notify", "none"):
            result = self.attempt_run(enricher, *hiding)
            self.assert_refuses(result, "load library", "libseccomp.so.2", self.MISSING, "install libseccomp ")

    def test_libseccomp_without_a_symbol(self) -> None:
        """One function of a real library's is gone, be it used by this command or not."""
        names = [name for name, *_ in spoc.LIBSECCOMP]
        for lacking in ("seccomp_export_bpf", "seccomp_version", "seccomp_syscall_resolve_num_arch"):
            source = "".join(f"void {name}(void) {{}}\n" for name in names if name != lacking)
            stub = self.stub("libseccomp.so.2", source)
            for result in (self.attempt_run("none", environment=stub), self.attempt(environment=stub)):
                self.assert_refuses(result, "load library", "libseccomp.so.2", f"has no {lacking}, too old",
                                    "install libseccomp 2.5")

    def test_kernel_without_seccomp(self) -> None:
        """record needs none; run says what is missing, with whatever source of blocked calls."""
        refuse = without((errno.ENOSYS, "seccomp", None), (errno.EINVAL, "prctl", PR_GET_SECCOMP),
                         (errno.EINVAL, "prctl", PR_SET_SECCOMP))
        self.assert_works(self.attempt(*refuse))
        for enricher in ("none", "tracepoint", "auto"):
            result = self.attempt_run(enricher, *refuse)
            self.assert_refuses(result, "load filter", "touch", os.strerror(errno.ENOSYS), "CONFIG_SECCOMP_FILTER")
        result = self.attempt_run("notify", *refuse)
        self.assert_refuses(result, "use user notification", "seccomp(2)", os.strerror(errno.ENOSYS),
                            "CONFIG_SECCOMP_FILTER")

    def test_no_listener(self) -> None:
        for number, operation, remedy in ((errno.EBUSY, 1, "run it outside of that"),
                                          (errno.EINVAL, SECCOMP_GET_NOTIF_SIZES, "with CONFIG_SECCOMP_FILTER")):
            with self.subTest(operation):
                refuse = without((number, "seccomp", operation))
                self.assert_refuses(self.attempt_run("notify", *refuse), "", "", os.strerror(number), remedy)
        result = self.attempt_run("auto", *AS_NOBODY, *refuse)
        self.assertRegex(result.stderr, rf"\A{CLOCK} Warning: blocked calls will not be named, since no [^\n]+\n\Z")
        result.stderr = ""
        self.assert_runs(result)

    def test_limit_on_locked_memory_that_may_not_be_raised(self) -> None:
        """It is tried only where the kernel has refused something, so from Linux 5.11 on this changes nothing."""
        release = [int(part) for part in re.findall(r"\d+", os.uname().release)[:2]]
        if release < [5, 11]:
            raise unittest.SkipTest("needs Linux 5.11, which does not account BPF maps as locked memory")
        refuse = without((errno.EPERM, "prlimit64", None))
        self.assert_works(self.attempt(*refuse))


class BpfObject(CopyCase):
    """The object file beside spoc.py."""

    OPERATION = "read BPF object"
    COPY_AGAIN = "copy spoc.py and recorder.bpf.o"

    def assert_refuses_object(self, reason: str, remedy: str, operation: str = OPERATION) -> None:
        self.assert_refuses(self.attempt(), operation, str(self.object), reason, remedy)

    def test_missing(self) -> None:
        self.object.unlink()
        result = self.attempt()
        self.assert_refuses(result, self.OPERATION, str(self.folder / "bpf" / "recorder.bpf.o"),
                            os.strerror(errno.ENOENT), self.COPY_AGAIN)

    def test_either_place_serves(self) -> None:
        self.assert_works(self.attempt())
        (self.folder / "bpf").mkdir()
        self.object.rename(self.folder / "bpf" / "recorder.bpf.o")
        self.assert_works(self.attempt())

    def test_truncated(self) -> None:
        data = OBJECT.read_bytes()
        for size in (0, 3, 4, 64, *(len(data) * part // 8 for part in range(1, 8)), len(data) - 1):
            with self.subTest(size):
                self.object.write_bytes(data[:size])
                result = self.attempt()
                operation = "load BPF programs" if "load BPF" in result.stderr else self.OPERATION
                self.assert_refuses(result, operation, str(self.object), "[^\n]*damaged[^\n]*", self.COPY_AGAIN)

    def test_no_bpf_object(self) -> None:
        for data in (b"#!/bin/sh\n", pathlib.Path("/bin/true").read_bytes(), b"\x7fELF" + bytes(4 << 20)):
            self.object.write_bytes(data)
            self.assert_refuses_object("[^\n]*damaged[^\n]*", self.COPY_AGAIN)

    def test_another_version(self) -> None:
        data = bytearray(OBJECT.read_bytes())
        data[len(data) // 2] ^= 1
        self.object.write_bytes(data)
        self.assert_refuses_object("[^\n]*another version of spoc.py[^\n]*", "both of the same version")

    def test_open_to_others(self) -> None:
        """Whoever may change it could run code in the kernel."""
        for mode in (0o664, 0o646, 0o666):
            with self.subTest(oct(mode)):
                self.object.chmod(mode)
                self.assert_refuses_object("[^\n]*may write it", "chmod")
        self.object.chmod(0o644)
        os.chown(self.object, NOBODY, 0)
        self.assert_refuses_object("[^\n]*may write it", "chown")
        # Its owner could as well have changed spoc.py.
        os.chown(self.program, NOBODY, 0)
        self.assert_works(self.attempt())

    def test_no_regular_file(self) -> None:
        not_one: Dict[str, Tuple[Callable[[], None], str]] = {
            "a symbolic link to itself": (lambda: self.object.symlink_to(self.object), os.strerror(errno.ELOOP)),
            "a symbolic link to nothing": (lambda: self.object.symlink_to("nothing"), os.strerror(errno.ENOENT)),
            "a folder": (self.object.mkdir, os.strerror(errno.EISDIR)),
            "a fifo": (lambda: os.mkfifo(self.object), "[^\n]+"),
            "a device": (lambda: self.object.symlink_to("/dev/zero"), "[^\n]+"),
        }
        for name, (make, reason) in not_one.items():
            with self.subTest(name):
                if self.object.is_dir():
                    self.object.rmdir()
                elif os.path.lexists(self.object):
                    self.object.unlink()
                make()
                self.assert_refuses_object(reason, "")

    def test_unreadable(self) -> None:
        self.object.chmod(0o600)
        self.assert_refuses(self.attempt(*with_capabilities("bpf", "perfmon")), self.OPERATION, str(self.object),
                            os.strerror(errno.EACCES), "")


class PythonItself(CopyCase):
    """Interpreters that are too old, or lack a part, or are started in other ways."""

    FORM = SOURCE

    def assert_does_not_start(self, result: "subprocess.CompletedProcess[str]", subject: str, reason: str,
                              remedy: str) -> None:
        self.assertEqual((result.returncode, result.stdout), (125, ""), result.stderr)
        self.assertRegex(result.stderr, rf"\Aspoc: start: {subject}: {reason}; [^\n]*{remedy}[^\n]*\n\Z")
        self.assert_nothing_done()

    def test_without_ctypes(self) -> None:
        import _ctypes

        path = getattr(_ctypes, "__file__", None)
        if not path:
            raise unittest.SkipTest("needs a Python whose _ctypes is a file")
        result = self.attempt(*self.hiding(pathlib.Path(path).parent, os.path.basename(path)))
        self.assert_does_not_start(result, "Python module _ctypes", "not installed", "install the full python3 package")

    def test_debians_python3_minimal(self) -> None:
        """Where the standard library is what that package holds, and nothing more."""
        require_command("dpkg-query")
        library = pathlib.Path(os.__file__).parent
        package = f"libpython{sys.version_info[0]}.{sys.version_info[1]}-minimal"
        listed = subprocess.run(["dpkg-query", "-L", package], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                text=True).stdout.splitlines()
        files = [path for path in map(pathlib.Path, listed) if library in path.parents and path.is_file()]
        require(len(files) > 50, f"{library} from the package {package}")
        minimal = self.folder / "minimal"
        for path in files:
            target = minimal / path.relative_to(library)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
        # What others have put into dist-packages is not there either.
        script = (f"mount --bind {minimal} {library}\n"
                  "if [ -d /usr/lib/python3 ]; then mount -t tmpfs none /usr/lib/python3; fi")
        result = self.attempt(*in_mounts(script))
        self.assert_does_not_start(result, r"Python module \w+", "not installed", "python3-minimal is not enough")

    def test_too_old(self) -> None:
        folders = [*map(pathlib.Path, os.environ["PATH"].split(":")),
                   *pathlib.Path.home().glob(".pyenv/versions/*/bin")]
        found: Dict[str, pathlib.Path] = {}
        for path in (folder / f"python3.{minor}" for folder in folders for minor in (7, 8)):
            # A shim of a version that is not there starts, and fails.
            if path.exists() and not subprocess.run([str(path), "-c", ""], stderr=subprocess.DEVNULL).returncode:
                found[path.name] = path
        if not found:
            raise unittest.SkipTest("needs a python3.7 or python3.8 on PATH")
        for name, path in found.items():
            with self.subTest(name):
                result = self.attempt(python=(str(path),))
                self.assert_does_not_start(result, f"Python {re.escape(name[6:])}", "too old", "Python 3.9 or newer")

    def test_ways_to_start_it(self) -> None:
        for flags in ("-I", "-S", "-E", "-s", "-IS", "-B", "-O", "-OO", "-P", "-W error", "-X dev"):
            if flags == "-P" and sys.version_info < (3, 11):
                continue
            with self.subTest(flags):
                self.assert_works(self.attempt(python=(sys.executable, *flags.split())))

    def test_planted_modules(self) -> None:
        """A module beside spoc.py, or in the working folder, is not the standard library's."""
        tree = ast.parse(SOURCE.read_text("utf-8"))
        names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        self.assertTrue({"ctypes", "signal", "contextlib", "json", "pwd"} <= names)
        for name in names:
            (self.folder / f"{name}.py").write_text(f"open({str(self.open / 'planted')!r}, 'a').write({name!r})\n")
        as_root: Dict[str, str] = {}
        for environment in (as_root, {"SUDO_UID": str(NOBODY), "SUDO_GID": str(NOBODY)}):
            for options in (("-n", "--stats"), ("-n", "--append", "--follow"), ("-b", "read")):
                result = subprocess.run([sys.executable, "spoc.py", "record", "-t", "raw-seccomp", "-o",
                                         str(self.profile), *options, "touch", str(self.marker)], cwd=self.folder,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True, env={**os.environ, **environment})
                self.assertEqual(result.returncode, 0, result.stderr)
                self.marker.unlink()
        # They would be found where nothing keeps them out.
        subprocess.run([sys.executable, "-c", "import json"], cwd=self.folder, check=True)
        self.assertEqual((self.open / "planted").read_text(), "json")


class Meant(support.Case):
    """What the user has most likely meant is recognised, and named; nothing of it is done."""

    def setUp(self) -> None:
        super().setUp()
        self.profile = self.folder / "nginx.yaml"
        self.profile.write_text("defaultAction: SCMP_ACT_ALLOW\n")

    def error(self, *arguments: str, code: int = 2, **options: Any) -> str:
        """The one line of an error, without its time."""
        result = support.spoc(*arguments, cwd=self.folder, **options)
        self.assertEqual((result.returncode, result.stdout), (code, ""), result.stderr)
        lines = result.stderr.splitlines()
        self.assertRegex(lines[-1], rf"^{CLOCK} Error: ")
        return lines[-1].partition(" Error: ")[2]

    def test_commands_of_this_program(self) -> None:
        for given, meant in (("recrod", "record"), ("Record", "record"), ("wach", "watch"), ("shwo", "show"),
                             ("convrt", "convert"), ("docter", "doctor"), ("merg", "merge"), ("halp", "help")):
            self.assertEqual(self.error(given), f"usage: {given}: no such command; did you mean {meant}?; "
                                                "see spoc.py --help")
        self.assertEqual(self.error("frobnicate"), "usage: frobnicate: no such command; see spoc.py --help")

    def test_options(self) -> None:
        for words, meant in ((("record", "--follwo", "true"), "--follow"),
                             (("record", "--check-point=3", "true"), "--checkpoint"),
                             (("run", "--profil_e", "x"), "--profile"), (("diff", "--jsno"), "--json")):
            self.assertRegex(self.error(*words),
                             rf"no such option; did you mean {meant}\?; see spoc.py {words[0]} --help$")
        self.assertRegex(self.error("run", "--stats", "true"), "run --stats: no such option; it is an option of "
                         "record; see ")
        self.assertRegex(self.error("record", "-p", "x", "true"),
                         "record -p: no such option; it is an option of run, gaps, push and pull; see ")
        self.assertRegex(self.error("watch", "--service", "nginx"), r"no such option; did you mean --unit\?; see ")
        self.assertRegex(self.error("run", "--frobnicate", "x"), "--frobnicate: no such option; see spoc.py run --help")
        for command in ("record", "watch"):
            self.assertEqual(self.error(command, "-pid", "1"), f"usage: {command} -pid: no such option; did you mean "
                             f"--pid?; see spoc.py {command} --help")

    def test_an_option_that_has_taken_the_command(self) -> None:
        self.assertEqual(self.error("run", "-p", "nginx.yaml", "--learn", "date"),
                         "usage: run: no command to run; --learn has taken date")
        self.assertEqual(self.error("record", "-o", "date"), "usage: record: no command to record; -o has taken date")
        for words in (("-n",), ("-o=date",), ("-o", "x", "-n")):
            self.assertRegex(self.error("record", *words), r"no command to record; see spoc.py record --help")

    def test_formats_that_are_not_read(self) -> None:
        """What convert writes, and record -t systemd, is recognised where a profile is read."""
        for kind, what in (("systemd", "systemd drop-in"), ("bpf", "compiled filter")):
            written = support.spoc("convert", "-t", kind, "-o", "written", "nginx.yaml", cwd=self.folder)
            self.assertEqual(written.returncode, 0, written.stderr)
            for words in (("show", "written"), ("run", "-p", "written", "true"), ("merge", "nginx.yaml", "written")):
                self.assertEqual(self.error(*words, code=125), f"read profile: written: is a {what}, which is not "
                                 "read; record YAML or JSON, and convert that")
        for text in ("# mine\n\n; too\n[Unit]\nAfter=a\n", "[Service]\nUser=nobody\n"):
            (self.folder / "written").write_text(text)
            self.assertIn("is a systemd drop-in", self.error("show", "written", code=125))
        (self.folder / "written").write_text("[Service, Unit]\n")
        self.assertNotIn("drop-in", self.error("show", "written", code=125))

    def test_syscalls_in_profiles(self) -> None:
        """Unless the profile has the one that is like it: then it is of a newer kernel. One that has more at its end,
        as fchmodat2 had for a libseccomp that knew fchmodat alone, is as well. Of these no warning is given.
        """
        for names, meant, is_typo in (
                ("opennat, read", "opennat (did you mean openat?)", True), ("opennat, openat", "opennat", False),
                ("raed, write", "raed (did you mean read?)", True), ("wirte", "wirte (did you mean write?)", True),
                ("renameat3, new_call", "new_call, renameat3", False),
                ("new_call, raed, read", "new_call, raed", False),
                ("new_call, waitpid", "new_call, waitpid", False)):  # i386's, and like waitid
            self.profile.write_text("defaultAction: SCMP_ACT_ALLOW\nsyscalls:\n"
                                    f"- action: SCMP_ACT_LOG\n  names: [{names}]\n")
            log = support.spoc("run", "-p", "nginx.yaml", "--enricher", "none", "true", cwd=self.folder).stderr
            self.assertIn(f" {'Warning: ' * is_typo}Skipping syscalls that are not known here: {meant}\n", log)
            log = support.spoc("merge", "nginx.yaml", cwd=self.folder).stderr
            meant = meant.replace(", waitpid", "")
            self.assertIn(f" libseccomp does not know these syscalls, and skips their rules: {meant}\n",
                          log.replace("Warning: ", ""))

    def test_references_without_scheme(self) -> None:
        """push and pull take them so, and all else takes them for files."""
        for path in ("localhost:5000/app:one", "ghcr.io/me/app", f"a.example/app@sha256:{64 * '0'}"):
            for words in (("run", "-p", path, "true"), ("show", path), ("merge", "nginx.yaml", path),
                          ("push", "-f", path, "localhost:1/a"), ("merge", "-o", path, "nginx.yaml")):
                error = self.error(*words, code=125)
                self.assertIn(f": {path}: ", error)
                self.assertIn(f"; oci://{path} is in a registry; ", error)
        for path in ("absent.yaml", "./absent", "../absent", "conf.d/absent.yaml", "/a.b/c", "a:b"):
            self.assertNotIn("registry", self.error("show", path, code=125))
        for command in ("push", "pull"):
            self.assertEqual(self.error(command, "nginx.yaml", "localhost:1/a"),
                             f"usage: {command}: it takes one reference, HOST[:PORT]/NAME[:TAG], not 2; options name "
                             f"files; see spoc.py {command} --help")

    def test_beginnings_of_options(self) -> None:
        """One that begins no other is as good as the whole; with several none is taken."""
        for words in (("diff", "--js", "nginx.yaml", "nginx.yaml"), ("convert", "--ty", "raw-seccomp", "nginx.yaml"),
                      ("convert", "--type=docker", "nginx.yaml"), ("convert", "--t=docker", "nginx.yaml"),
                      ("merge", "--he"), ("merge", "--check", "--out=nginx.yaml", "nginx.yaml")):
            result = support.spoc(*words, cwd=self.folder)
            self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(self.error("record", "--ba", "x", "true"),
                         "usage: record --ba: it may be --backend or --base-syscalls; write more of it")
        self.assertIn("it may be --pid or --plain-http or --portable or --privileged;",
                      self.error("record", "--p", "true"))
        self.assertIn("no such option", self.error("record", "---", "true"))

    def test_values(self) -> None:
        for words, meant in ((("record", "-t", "json"), "raw-seccomp"), (("merge", "-t", "yaml"), "seccomp"),
                             (("convert", "-t", "system"), "systemd"), (("record", "--backend", "notfiy"), "notify"),
                             (("run", "--enricher", "tracepoints"), "tracepoint"), (("record", "--args", "sokcet"),
                             "socket"), (("merge", "--default-action", "SCMP_ACT_ERNO"), "SCMP_ACT_ERRNO")):
            self.assertRegex(self.error(*words, "nginx.yaml"), rf"; did you mean {meant}\?")

    def test_syscalls(self) -> None:
        for command in "record", "run":
            for given, meant in (("opennat", "openat"), ("exec", "execve"), ("EXECVE", "execve"),
                                 ("getpidd", "getpid")):
                self.assertRegex(self.error(command, "-b", f"read,{given}", "true"),
                                 rf"-b {given}: libseccomp \S+ knows no such syscall; did you mean {meant}\?")
        self.assertNotIn("did you", self.error("run", "-b", "frobnicate", "true"))

    def test_words_in_profiles(self) -> None:
        for text, meant in (("defaultAction: SCMP_ACT_ALOW", "SCMP_ACT_ALLOW"),
                            ("defaultAction: ERRNO", "SCMP_ACT_ERRNO"),
                            ("defaultActoin: SCMP_ACT_ALLOW", "defaultAction"),
                            ("defaultAction: SCMP_ACT_ALLOW\narchitecture: []", "architectures"),
                            ("defaultAction: SCMP_ACT_ALLOW\narchitectures: [SCMP_ARCH_AARCH_64]",
                             "SCMP_ARCH_AARCH64")):
            self.profile.write_text(text + "\n")
            self.assertRegex(self.error("show", "nginx.yaml", code=125), rf"did you mean {meant}\?")
        self.profile.write_text("defaultAction: SCMP_ACT_X\n")
        self.assertNotIn("did you", self.error("show", "nginx.yaml", code=125))

    def test_profile_in_place_of_a_command(self) -> None:
        for command, option in (("run", "-p"), ("record", "-o")):
            for name in ("nginx.yaml", "absent.json", "nginx.yaml#one", "./nginx.yaml"):
                self.assertRegex(self.error(command, name, "--", "date", "-u"),
                                 rf": it is no command, but named like a profile; spoc.py {command} {option} "
                                 rf"'?{name}'? -- date -u$")
            self.assertRegex(self.error(command, "nginx.yaml"), rf"; spoc.py {command} {option} nginx.yaml -- CMD$")
            self.assertRegex(self.error(command, option, "a", "nginx.yaml", "--", "date"),
                             rf"; spoc.py {command} -- date$")
        program = self.folder / "program.json"
        program.write_text("#!/bin/sh\nexit 3\n")
        program.chmod(0o755)
        result = support.spoc("run", "-p", "nginx.yaml", "--enricher", "none", "./program.json", cwd=self.folder)
        self.assertEqual(result.returncode, 3, result.stderr)

    def test_what_a_shell_would_have_made_of_it(self) -> None:
        for command in (("record", "-o", "new.yaml"), ("run", "-p", "nginx.yaml")):
            for words, hint in (
                    (("ls -l",), "write its words without quotes; or have a shell read it: sh -c 'ls -l'"),
                    (("frobni cate",),
                     "it is one word, with blanks in it; or have a shell read it: sh -c 'frobni cate'"),
                    (("cd", "/tmp"), "it is part of the shell: sh -c 'cd /tmp'"),
                    (("source", "a b"), "it is part of the shell: sh -c 'source '\"'\"'a b'\"'\"''"),
                    (("A=1", "date"), "set a variable by env: env A=1 date"),
                    (("unamee",), "check the spelling and PATH; did you mean uname?"),
                    (("frobnicate",), "check the spelling and PATH")):
                with self.subTest(command=command, words=words):
                    self.assertEqual(self.error(*command, "--", *words, code=127),
                                     f"start command: {words[0]}: No such file or directory; {hint}")
        # These hints are commands that work.
        result = support.spoc("run", "-p", "nginx.yaml", "--", "sh", "-c", "ls -l", cwd=self.folder)
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_help(self) -> None:
        for command in ("record", "run", "r", "x", "doctor"):
            self.assertEqual(support.spoc("help", command).stdout, support.spoc(command, "--help").stdout)
        self.assertEqual(support.spoc("help").stdout, support.spoc("--help").stdout)
        self.assertRegex(self.error("help", "recrod"), "^usage: recrod: no such command; did you mean record")
        self.assertEqual(support.spoc("--version").stdout, support.spoc("version").stdout)

    def test_name_that_it_is_installed_by(self) -> None:
        """What it tells to type is what was typed."""
        for name in ("spoc", "spoc.pyz"):
            program = self.folder / name
            shutil.copy(SOURCE, program)
            for words in (("help", "run"), ("--help",), ("version",), ("recrod",), ("run", "--x")):
                result = subprocess.run([sys.executable, str(program), *words], stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True)
                self.assertRegex(result.stdout, rf"\b{name}(?![\w.])")
                self.assertNotIn("spoc.py ", result.stdout)

    def test_options_that_would_do_nothing(self) -> None:
        for enricher in ("notify", "none", "kmsg"):
            self.assertIn(f"--audit-log: means nothing with --enricher {enricher};", self.error(
                "run", "-p", "nginx.yaml", "--enricher", enricher, "--audit-log", "log", "true"))
        self.assertIn("--audit-log: means nothing with --learn, which takes notify;", self.error(
            "run", "-p", "nginx.yaml", "--learn", "new", "--audit-log", "log", "true"))
        support.require_root()
        result = support.spoc("run", "-q", "-p", "nginx.yaml", "--audit-log", "log", "true", cwd=self.folder)
        self.assertIn(" Warning: --audit-log is not read, since tracepoint works: --enricher audit-log reads it\n",
                      result.stderr)


class Surroundings(CopyCase):
    """A system without this or that."""

    def test_no_proc(self) -> None:
        """Nothing tells whose the command's id is: another process must not be recorded in its place."""
        script = in_mounts("mount -t tmpfs none /proc")
        for before in (script, ("unshare", "--pid", "--fork", *script)):
            self.assert_refuses(self.attempt(*before), "use BPF", "/proc/self/ns/pid",
                                "No such file or directory", "mount -t proc proc /proc")

    def test_no_dev_null(self) -> None:
        self.assert_works(self.attempt(*in_mounts("mount -t tmpfs none /dev")))

    def test_pid_namespace(self) -> None:
        self.assert_works(self.attempt("unshare", "--pid", "--fork", "--mount-proc"))

    def test_closed_descriptors(self) -> None:
        self.assert_works(self.attempt("sh", "-c", 'exec "$@" <&-', "sh"))
        self.assert_works(self.attempt("sh", "-c", 'exec "$@" >&-', "sh"))
        self.assert_works(self.attempt("sh", "-c", 'exec "$@" 2>&-', "sh"))
        self.assert_works(self.attempt("sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"))

    def test_standard_output_that_takes_nothing(self) -> None:
        for redirection, reason in ((">&-", os.strerror(errno.EBADF)), (">/dev/full", os.strerror(errno.ENOSPC))):
            for arguments in (["version"], ["--help"], ["record", "--help"]):
                with self.subTest(f"{arguments} {redirection}"):
                    result = subprocess.run(["sh", "-c", f'exec "$@" {redirection}', "sh", sys.executable,
                                             str(self.program), *arguments], stderr=subprocess.PIPE, text=True)
                    self.assertEqual(result.returncode, 125, result.stderr)
                    self.assertRegex(result.stderr, rf"\A{CLOCK} Error: [^\n]*{reason}[^\n]*\n\Z")

    def test_nothing_is_closed_late(self) -> None:
        """Development mode shows every file that nobody closed, and as Python 3.13 does what fails at its late end."""
        policy = self.folder / "policy.json"
        policy.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["sched_yield"], "action": "SCMP_ACT_ERRNO"}]}))
        missing, run = str(self.folder / "missing"), ["run", "-q", "-p", str(policy)]
        blocked = [sys.executable, "-ISc", "import os; os.sched_yield()"]
        for arguments in (["record", "-q", "-o", "/dev/full", "true"], ["record", "-q", missing],
                          ["record", "-q", "--backend", "notify", missing], [*run, missing],
                          [*run, "--events", "/dev/full", missing], [*run, "--events", "/dev/full", *blocked],
                          [*run, "--events", "/dev/full", "--enricher", "notify", *blocked],
                          [*run, "--events", "-", *blocked], [*run, "--events", f"{missing}/events", "true"],
                          ["run", "-q", "-p", missing, "--events", "/dev/full", "true"],
                          ["merge", "-o", "/dev/full", str(policy)], ["convert", "-t", "seccomp", str(policy)],
                          ["show", str(policy)], ["show", missing]):
            with self.subTest(arguments), open("/dev/full", "wb") as full:
                result = subprocess.run([sys.executable, "-X", "dev", str(self.program), *arguments],
                                        stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, text=True)
                self.assertIn(result.returncode, (125, 126, 127), result.stderr)
                self.assertNotRegex(result.stderr, "Exception|Warning|spoc.py\", line")


class Incomplete(CopyCase):
    """A recording that is not all says so, ends with 125, and is written all the same."""

    def assert_incomplete(self, result: "subprocess.CompletedProcess[str]", *lines: str) -> None:
        """These regular expressions match the lines on standard error, one each and in any order."""
        found = result.stderr.splitlines()
        self.assertEqual(result.returncode, 125, found[:5])
        for line in lines:
            pattern = re.compile(rf"{CLOCK} Error: the profile is incomplete: {line}\Z")
            matching = [text for text in found if pattern.match(text)]
            self.assertEqual(len(matching), 1, f"{line}: {found[:5]}")
            found.remove(matching[0])
        self.assertEqual(found, [])
        self.assertIn("exit_group", self.names())

    def test_numbers_without_a_name(self) -> None:
        """Those within the array, those beyond it, and the largest."""
        for number in (1000, 1023, 1024, 5000, 0x3fffffff):
            with self.subTest(number):
                result = self.attempt(command=(build("numbers.c"), str(number), "1"))
                name = rf"{number} \(SCMP_ARCH_\w+\)"
                self.assert_incomplete(result, rf"[^\n]*\b{name}[^\n]*; a newer libseccomp may" if number < 1024 else
                                       f"1 syscall exists in no kernel: {name}; no rule can allow that")  # 500 exist

    def test_numbers_of_x32(self) -> None:
        """They have bit 30 set, and not bit 31 (asm/unistd.h): what has that is no call of any kind."""
        require(platform.machine() == "x86_64", "an x86_64 machine")
        for number, name in ((0x400003E7, "X32"), (0x7FFFFFFF, "X32"), (0x800003E7, "X86_64"), (0xC00003E7, "X86_64")):
            result = self.attempt(command=(build("numbers.c"), str(number), "1"))
            self.assertIn(f"{number} (SCMP_ARCH_{name})", result.stderr)
            self.assertEqual(result.returncode, 125)

    def test_start_that_is_not_seen(self) -> None:
        """As where the command's exec goes by unnoticed: nothing of it is known, and that is said."""
        script = ("import sys; sys.path.insert(0, sys.argv.pop(1)); import spoc\n"
                  "spoc.BpfSkeleton.arm = lambda *_: None\nsys.exit(spoc.main(sys.argv[1:]))")
        self.profile.write_text('{"defaultAction": "SCMP_ACT_ALLOW"}')
        before = self.profile.read_text()
        for arguments, line in (
                (("record", "-q", "-t", "raw-seccomp", "-o", str(self.profile)),
                 f"record: touch: the start of the command was not seen; {self.profile} is left as it was"),
                (("run", "-q", "-p", str(self.profile), "--enricher", "tracepoint"),
                 "not all blocked calls may be known: the start of the command was not seen")):
            result = subprocess.run([sys.executable, "-c", script, str(ROOT), *arguments, "touch",
                                     str(self.marker)], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                    timeout=120)
            self.assertRegex(result.stderr, rf"\A{CLOCK} Error: {line}\n\Z")
            self.assertEqual((result.returncode, self.profile.read_text()), (125, before))

    def test_number_that_is_none(self) -> None:
        """-1, by which a tracer has the kernel make no call at all, is no syscall."""
        for flags in ((), ("-m32", "-static")) if platform.machine() == "x86_64" else ((),):
            result = self.attempt(command=(build("numbers.c", *flags), str((1 << 32) - 1), "1"))
            self.assertEqual((result.returncode, result.stderr), (0, ""), flags)

    def test_more_numbers_than_the_map_holds(self) -> None:
        first, room, lost = 1024, 2048, 100
        result = self.attempt(command=(build("numbers.c"), str(first), str(room + lost)))
        found = result.stderr.splitlines()
        overflow = [line for line in found if "not recorded: too many different ones" in line]
        self.assertEqual(len(overflow), 1, found[:5])
        self.assertRegex(overflow[0], rf"{CLOCK} Error: the profile is incomplete: {lost} calls .*; [^\n]+\Z")
        # Every number that was recorded is reported.
        reported = {int(number) for line in found if line not in overflow
                    for number in re.findall(r"\b\d{4,}\b", line[16:])}
        self.assertEqual(reported, set(range(first, first + room)))
        self.assertEqual(result.returncode, 125)
        self.assertIn("exit_group", self.names())

    def test_more_tasks_than_the_map_holds(self) -> None:
        room, threads = 16384, 17000
        for path, needed in (("/proc/sys/kernel/pid_max", threads + 8000),
                             ("/proc/sys/kernel/threads-max", threads + 8000),
                             ("/proc/sys/vm/max_map_count", 2 * threads + 1000)):
            if int(pathlib.Path(path).read_text()) < needed:
                raise unittest.SkipTest(f"needs at least {needed} in {path}")
        program = build("sweep.c", "-pthread")
        alone = subprocess.run([program, "threads", str(threads)])
        if alone.returncode:
            raise unittest.SkipTest(f"needs room for {threads} threads (pids.max, memory)")
        result = self.attempt(command=(program, "threads", str(threads)))
        self.assert_incomplete(result, r"\d+ processe?s? or threads? w\w+ not followed: .*; .*--append")
        found = re.search(r"(\d+) process(?: or thread was|es or threads were) not followed", result.stderr)
        # A few of its slots are nobody's: e ** -4 of them, as many tasks as there are.
        self.assertIn(int(found[1]) if found else 0, range(threads + 1 - room, threads + 1 - room + 4096 // 16))
        allow = self.folder / "allow.json"
        allow.write_text('{"defaultAction": "SCMP_ACT_ALLOW"}')
        result = subprocess.run([sys.executable, str(self.program), "run", "-p", str(allow), "--enricher", "tracepoint",
                                 program, "threads", str(threads)], stderr=subprocess.PIPE, text=True)
        self.assertEqual(result.returncode, 125, result.stderr)
        self.assertRegex(result.stderr, r"(?m)Error: not all blocked calls may be known: \d+ processes or threads were "
                                        r"not followed: too many at a time; run parts of the work on their own$")


def kernel_objects(pid: int) -> List[Tuple[str, str]]:
    """What a process holds of BPF: (kind, id)."""
    found = set()
    for path in pathlib.Path(f"/proc/{pid}/fdinfo").iterdir():
        found.update(re.findall(r"^(prog|map|link)_id:\s*(\d+)$", path.read_text(), re.MULTILINE))
    return sorted(found)


class Leftovers(CopyCase):
    """Nothing stays in the kernel, however a recording ends."""

    def setUp(self) -> None:
        super().setUp()
        require_command("bpftool")
        self.go = self.open / "go"
        self.done = self.open / "done"

    def start(self) -> "subprocess.Popen[bytes]":
        """Record a command that goes on until it is told."""
        script = f"touch {self.marker}; until [ -e {self.go} ]; do sleep 0.1; done; touch {self.done}"
        process = self.launch(sys.executable, str(self.program), "record", "-q", "-t", "raw-seccomp", "-o",
                              str(self.profile), "sh", "-c", script, stdin=subprocess.DEVNULL)
        self.addCleanup(self.go.touch)
        self.assertTrue(wait_until(self.marker.exists))
        return process

    @staticmethod
    def exists(kind: str, number: str) -> bool:
        # By what it prints: bpftool 7.5 ends with 255 for every link.
        shown = subprocess.run(["bpftool", "-j", kind, "show", "id", number], stdout=subprocess.PIPE).stdout
        return json.loads(shown).get("id") == int(number)

    def objects_of(self, process: "subprocess.Popen[bytes]") -> List[Tuple[str, str]]:
        objects = kernel_objects(process.pid)
        self.assertTrue({"prog", "map", "link"} <= {kind for kind, _ in objects}, objects)
        for kind, number in objects:
            self.assertTrue(self.exists(kind, number), (kind, number))
        return objects

    def assert_gone(self, objects: List[Tuple[str, str]]) -> None:
        """The kernel frees them with a delay, after a grace period."""
        wait_until(lambda: not any(self.exists(*found) for found in objects))
        self.assertEqual([found for found in objects if self.exists(*found)], [])

    def test_normal_end(self) -> None:
        process = self.start()
        objects = self.objects_of(process)
        self.go.touch()
        self.assertEqual(process.wait(), 0)
        self.assert_gone(objects)
        self.assertTrue(self.done.exists())

    def test_ended_by_a_signal(self) -> None:
        process = self.start()
        objects = self.objects_of(process)
        process.terminate()
        self.assertEqual(process.wait(), 128 + signal.SIGTERM)
        self.assert_gone(objects)
        self.assertFalse(self.done.exists())
        self.assertIn("exit_group", self.names())

    def test_killed(self) -> None:
        """The command goes on, and finds no trace of the recording."""
        process = self.start()
        objects = self.objects_of(process)
        process.kill()
        self.assertEqual(process.wait(), -signal.SIGKILL)
        self.assert_gone(objects)
        self.assertEqual(list(self.open.iterdir()), [self.marker])
        self.go.touch()
        self.assertTrue(wait_until(self.done.exists))


class Interrupted(CopyCase):
    """A signal before the command has been let go: 128 and its number, no word, nothing started, nothing left.

    strace sends it at the end of a syscall, from that by which spoc.py takes SIGINT over to that which lets go.
    """

    BEGIN = re.compile(r"rt_sigaction\(SIGINT, \{sa_handler=0x")
    END = re.compile(r'write\(\d+, "r", 1\)|renameat\(|exit_group\(')

    def setUp(self) -> None:
        super().setUp()
        require_command("strace")
        self.policy = self.folder / "policy.json"
        self.policy.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["sched_yield"], "action": "SCMP_ACT_ERRNO"}]}))
        self.log = self.folder / "strace.log"

    def traced(self, arguments: Sequence[str], *options: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(["strace", "-qq", "-o", str(self.log), *options, sys.executable, str(self.program),
                               *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, text=True,
                              stderr=subprocess.PIPE, env={**os.environ, "PYTHONHASHSEED": "0"}, timeout=120)

    def start(self) -> Tuple[List[str], int, int]:
        """The lines of the trace, and between which of them the start is."""
        lines = self.log.read_text("utf-8", "replace").splitlines()
        begin = [index for index, line in enumerate(lines) if self.BEGIN.match(line)][1:2]  # the first is Python's own
        end = [index for index, line in enumerate(lines) if self.END.match(line)]
        return lines, (begin or [len(lines)])[0] + 1, (end or [len(lines)])[0]

    def sweep(self, signum: signal.Signals, points: int, *arguments: str) -> None:
        """Interrupt at so many points between the two."""
        self.traced(arguments)
        for path in self.open.iterdir():
            path.unlink()
        lines, begin, end = self.start()
        names = [line.partition("(")[0] for line in lines]
        hit = 0
        # From one time to the next there is a syscall more or less: what missed the start is tried beside that again.
        for index in (begin + (end - begin) * point // (points + 1) + shift
                      for shift in range(4) for point in range(1, points + 1)):
            if hit >= points:
                break
            if not names[index].isidentifier():  # a signal
                continue
            place = f"inject={names[index]}:signal={signum.name}:when={names[:index + 1].count(names[index])}"
            with self.subTest(place, arguments=arguments):
                result = self.traced(arguments, "-e", place)
                lines, earliest, latest = self.start()
                sent = [number for number, line in enumerate(lines) if line.startswith(f"--- {signum.name} ")]
                if not sent or not earliest < sent[0] <= latest:
                    continue
                hit += 1
                self.assertIn(result.returncode, (128 + signum, -signum), result.stderr)
                self.assertEqual(result.stderr, "")
                self.assert_nothing_done()
        self.assertGreaterEqual(hit, points // 2)

    def test_record(self) -> None:
        record = ("record", "-q", "-o", str(self.profile))
        self.sweep(signal.SIGINT, 20, *record, "touch", str(self.marker))
        self.sweep(signal.SIGTERM, 6, *record, "touch", str(self.marker))
        self.sweep(signal.SIGINT, 8, *record, "--backend", "notify", "touch", str(self.marker))

    def test_run(self) -> None:
        run = ("run", "-q", "-p", str(self.policy))
        self.sweep(signal.SIGINT, 12, *run, "touch", str(self.marker))
        self.sweep(signal.SIGTERM, 6, *run, "touch", str(self.marker))
        self.sweep(signal.SIGINT, 8, *run, "--enricher", "notify", "touch", str(self.marker))

    def test_while_python_compiles_it(self) -> None:
        """Then Python itself has the signal: it shows no line of spoc.py, and nothing has been started."""
        interrupted = 0
        for tenths in range(8):
            self.marker.unlink(missing_ok=True)
            process = subprocess.Popen([sys.executable, str(ROOT / "spoc.py"), "record", "-q", "-o", str(self.profile),
                                        "touch", str(self.marker)], stderr=subprocess.PIPE, text=True)
            time.sleep(0.05 * tenths)
            process.send_signal(signal.SIGINT)
            _, told = process.communicate(timeout=WAIT_S)
            self.assertNotRegex(told, r"spoc\.py\", line \d+, in \w")
            if "KeyboardInterrupt" in told:
                interrupted += 1
                self.assertIn(process.returncode, (1, -signal.SIGINT))
                self.assertFalse(self.marker.exists() or self.profile.exists())
        self.assertGreater(interrupted, 0)

    def test_others(self) -> None:
        """What is being written when it comes is written whole."""
        self.sweep(signal.SIGINT, 6, "merge", "-o", str(self.profile), str(self.policy))
        self.sweep(signal.SIGTERM, 6, "merge", "-o", str(self.profile), str(self.policy))
        for arguments in (["convert", "-t", "raw-seccomp", str(self.policy)], ["show", str(self.policy)], ["doctor"]):
            self.sweep(signal.SIGINT, 4, *arguments)

    def test_while_a_file_is_written(self) -> None:
        """Neither half a profile, nor one under another name."""
        self.traced(["merge", "-o", str(self.profile), str(self.policy)])
        whole = self.profile.read_bytes()
        lines, _, rename = self.start()
        created = next(index for index, line in enumerate(lines) if "/.spoc." in line or '".spoc.' in line)
        names = [line.partition("(")[0] for line in lines]
        for index in range(created, rename + 1):
            for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                self.profile.unlink(missing_ok=True)
                place = f"inject={names[index]}:signal={signum.name}:when={names[:index + 1].count(names[index])}"
                with self.subTest(place):
                    result = self.traced(["merge", "-o", str(self.profile), str(self.policy)], "-e", place)
                    self.assertIn(result.returncode, (128 + signum, -signum), result.stderr)
                    self.assertIn([path.name for path in self.open.iterdir()], ([], [self.profile.name]))
                    if self.profile.exists():
                        self.assertEqual(self.profile.read_bytes(), whole)

    def sweep_all(self, points: int, *arguments: str) -> List[int]:
        """Interrupt what waits until it is told to end at so many points, from the start to the end; the exit codes."""
        end = ("-e", "inject=poll:signal=SIGTERM:when=1")
        self.traced(arguments, *end)
        lines, begin, _ = self.start()
        names = [line.partition("(")[0] for line in lines]
        codes = []
        waits = names.index("poll", begin)
        for index in (first + (last - first) * point // points for first, last in ((begin, waits), (waits, len(lines)))
                      for point in range(points)):
            if not names[index].isidentifier() or names[index] in ("poll", "exit_group"):
                continue
            place = f"inject={names[index]}:signal=SIGINT:when={names[:index + 1].count(names[index])}"
            with self.subTest(place, arguments=arguments):
                for path in self.open.iterdir():
                    path.unlink()
                result = self.traced(arguments, "-e", place, *end)
                codes.append(result.returncode)
                self.assertIn(codes[-1], (0, 125, 128 + signal.SIGINT, 128 + signal.SIGTERM, -signal.SIGINT))
                said = [line for line in result.stderr.splitlines()  # a watch tells of other tests' calls as well
                        if not re.search(r" (Warning|Seccomp|To allow)\b", line)]
                self.assertEqual(len(said), codes[-1] == 125, result.stderr)
                self.assertLessEqual({path.name for path in self.open.iterdir()}, {self.profile.name})
                text = self.profile.read_text() if self.profile.exists() else ""
                if "--pid" in arguments:
                    if codes[-1] in (0, 125):  # otherwise it may have come once all was written
                        self.assertEqual(bool(text), not codes[-1])
                    text = text.replace("\n", "")
                for line in text.splitlines():
                    json.loads(line)
        return codes

    def test_what_runs_already(self) -> None:
        """As the start of a command; later it is the end of the recording or of the watch."""
        pid = self.launch(sys.executable, "-c", "import os, time\nwhile True: os.getppid(); time.sleep(0.001)").pid
        codes = self.sweep_all(16, "record", "-q", "-t", "raw-seccomp", "-o", str(self.profile), "--pid", str(pid))
        self.assertLessEqual({0, 128 + signal.SIGINT}, set(codes))
        self.profile.unlink()
        codes = self.sweep_all(10, "watch", "-q", "--events", str(self.profile))
        self.assertLessEqual({0, 128 + signal.SIGINT}, set(codes))

    def test_ignored(self) -> None:
        """As a shell has it for what it starts in the background."""
        self.traced(["record", "-q", "-n", "-t", "raw-seccomp", "-o", str(self.profile), "touch", str(self.marker)],
                    "-e", "inject=signalfd4:signal=SIGINT", "sh", "-c", "trap '' INT; exec \"$@\"", "sh")
        self.assertTrue(self.marker.exists())
        self.assertIn("utimensat", self.names())


if __name__ == "__main__":
    unittest.main()
