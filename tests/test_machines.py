# SPDX-License-Identifier: MIT
"""What `make check-vm` rests on, where it can be tested without booting; the other libc; and the examples."""

import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import unittest
import zlib
from typing import List

from cases import calls_after_exec
from support import ROOT, SPOC, WAIT_S, Case, in_mounts, require_command, require_root, wait_until

sys.path.insert(0, str(ROOT / "tests" / "vm"))
import build as machine_build  # noqa: E402
import check  # noqa: E402

sys.path.insert(0, str(ROOT))
import spoc as module  # noqa: E402

TIER = "kernel"
EXAMPLES = ROOT / "examples"


class Console(unittest.TestCase):
    """Only what a machine's tests have written, whole, counts."""

    def setUp(self) -> None:
        self.console = check.Console("5ec7e7")

    def line(self, text: str, secret: str = "5ec7e7") -> str:
        return f"@{secret} {zlib.crc32(text.encode()):08x} {text}\r\n"

    def test_a_line(self) -> None:
        self.assertEqual(self.console.event(self.line('{"test": "a"}')), {"test": "a"})
        self.assertIsNone(self.console.event("[    1.0] reboot: Restarting system\r\n"))
        self.assertIn("Restarting", self.console.text)

    def test_what_is_not_from_the_tests(self) -> None:
        self.assertIsNone(self.console.event(self.line('{"test": "a"}', "0ther")))
        self.assertIsNone(self.console.event("it printed " + self.line('{"test": "a"}')))

    def test_a_garbled_line(self) -> None:
        self.assertIsNone(self.console.event(self.line('{"test": "a"}').replace('"a"', '"[ 1.0] kernel a"')))
        self.assertIsNone(self.console.event(self.line('{"test": "a"}')[:-4]))

    def test_what_a_machine_did_not_tell_has_failed(self) -> None:
        machine = check.MACHINES[0]
        table = check.table([machine], [check.Result(machine.name, "a", "failed", "", 0)])
        self.assertRegex(table, r"\na +FAILED$")


class Table(unittest.TestCase):
    """docs/machines.md: CI boots a machine, or it is said when it was tried."""

    def rows(self) -> "List[List[str]]":
        text = (ROOT / "docs" / "machines.md").read_text("utf-8").partition("\n## Machines\n")[2]
        rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| `")]
        self.assertGreater(len(rows), 10)
        return rows

    def test_each_machine(self) -> None:
        dated = {row[0].strip("`"): row[-1] for row in self.rows() if re.fullmatch(r"20\d\d-\d\d-\d\d", row[-1])}
        others = [row for row in self.rows() if row[0].strip("`") not in dated]
        self.assertEqual(sorted(row[0].strip("`") for row in others),
                         sorted(machine.name for machine in check.MACHINES if not machine.occasional))
        for machine in check.MACHINES:
            if machine.occasional:
                self.assertIn(f"make check-vm MACHINES={machine.name}", dated)

    def test_what_is_there(self) -> None:
        """The versions are those that the machine itself checks."""
        for row in self.rows():
            machine = next((each for each in check.MACHINES if row[0].strip("`").split("=")[-1] == each.name), None)
            if machine:
                release, python, libbpf, libseccomp = check.SUITES[machine.suite]
                self.assertTrue(row[1].startswith(release.rstrip(".")), row)
                self.assertEqual(row[3], python)
                self.assertEqual(row[4].startswith("0."), libbpf.endswith(".0"), row)
                self.assertTrue(row[5].startswith(libseccomp), row)


class Archives(Case):
    """The systems that machines boot, and the cache that keeps them."""

    def test_what_cpio_unpacks(self) -> None:
        require_command("busybox")
        archive = machine_build.Archive()
        archive.add("etc/deep/er/file", b"content\n", 0o100640)
        archive.add("bin/program", b"#!/bin/sh\n", 0o100755)
        archive.add("bin/link", b"program", 0o120777)
        archive.add("tmp", mode=0o041777)
        subprocess.run(["busybox", "cpio", "-idm"], input=archive.finish(), cwd=self.folder, check=True,
                       stderr=subprocess.DEVNULL)
        self.assertEqual((self.folder / "etc/deep/er/file").read_text(), "content\n")
        self.assertEqual([(self.folder / name).stat().st_mode for name in ("etc/deep/er/file", "bin/program", "tmp")],
                         [0o100640, 0o100755, 0o041777])
        self.assertEqual(os.readlink(self.folder / "bin/link"), "program")

    def test_a_damaged_cache_is_seen(self) -> None:
        path = self.folder / "built" / "a.initrd"
        self.assertFalse(machine_build.is_whole(path))
        machine_build.write_whole(path, b"system" * 1000)
        self.assertTrue(machine_build.is_whole(path))
        path.write_bytes(b"System" + b"system" * 999)
        self.assertFalse(machine_build.is_whole(path))
        machine_build.write_whole(path, b"system" * 1000)
        path.with_name("a.initrd.sha256").unlink()
        self.assertFalse(machine_build.is_whole(path))


class Sum(Case):
    """The last line of .ci/run."""

    def last_line(self, *output: str, code: int = 0) -> str:
        shutil.copytree(ROOT / ".ci", self.folder / ".ci", dirs_exist_ok=True)
        make = self.folder / "make"
        make.write_text("#!/bin/sh\n" + "".join(f"echo {shlex.quote(line)}\n" for line in output) + f"exit {code}\n")
        make.chmod(0o755)
        result = subprocess.run([str(self.folder / ".ci/run")], stdout=subprocess.PIPE, text=True,
                                env={**os.environ, "PATH": f"{self.folder}:{os.environ['PATH']}"})
        self.assertEqual(result.returncode, code)
        return result.stdout.splitlines()[-1]

    def test_all_counts(self) -> None:
        self.assertEqual(self.last_line("5 passed, 0 failed, 1 skipped", "more", "7 passed, 0 failed, 2 skipped",
                                        "13 passed, 0 failed, 0 skipped", "300 passed, 0 failed, 0 skipped",
                                        "1 passed, 0 failed, 0 skipped", "end"), "326 passed, 0 failed, 3 skipped")
        self.assertEqual(self.last_line("5 passed, 1 failed, 0 skipped", "7 passed, 2 failed, 2 skipped",
                                        "12 passed, 1 failed, 0 skipped", "300 passed, 1 failed, 0 skipped",
                                        "1 passed, 0 failed, 0 skipped", code=2), "325 passed, 5 failed, 2 skipped")

    def test_one_without_a_count_has_failed(self) -> None:
        self.assertEqual(self.last_line("5 passed, 0 failed, 1 skipped", "make: *** [check-vm] Error 1",
                                        "13 passed, 0 failed, 0 skipped", "300 passed, 0 failed, 0 skipped",
                                        "1 passed, 0 failed, 0 skipped", code=2), "319 passed, 1 failed, 1 skipped")


class Musl(Case):
    """The other libc."""

    def test_it_has_what_spoc_calls(self) -> None:
        require_command("musl-gcc", "readelf")
        libraries = list(pathlib.Path("/lib").glob("ld-musl-*.so.1"))
        self.assertEqual(len(libraries), 1)
        listed = subprocess.run(["readelf", "--wide", "--dyn-syms", str(libraries[0])], stdout=subprocess.PIPE,
                                text=True, check=True).stdout
        defined = {line.split()[7] for line in listed.splitlines() if " FUNC " in line and " UND " not in line}
        called = {name for name, *_ in module.LIBC}
        self.assertGreater(len(called), 5)
        self.assertEqual(called - defined, set())

    def test_its_programs_are_recorded(self) -> None:
        require_root()
        require_command("musl-gcc", "strace")
        program, log = self.folder / "program", self.folder / "strace.log"
        source = self.folder / "program.c"
        source.write_text('#include <stdio.h>\n#include <stdlib.h>\n#include <unistd.h>\n#include <sys/wait.h>\n'
                          'int main(void) { pid_t pid = fork(); if (!pid) { sync(); _exit(0); } waitpid(pid, 0, 0);\n'
                          'FILE *file = fopen("/etc/passwd", "r"); char text[100]; fgets(text, 100, file);\n'
                          'return !malloc(1 << 20); }\n')
        subprocess.run(["musl-gcc", "-o", str(program), str(source)], check=True)
        subprocess.run(["strace", "-f", "-qq", "-o", str(log), str(program)], check=True)
        expected = calls_after_exec(log.read_text())
        self.assertIn("sync", expected)
        self.assertEqual(self.record(str(program)), expected)


class Units(Case):
    """The systemd units of examples/."""

    def commands(self) -> "List[List[str]]":
        return [shlex.split(line[len("ExecStart="):]) for name in ("record-service", "run-service")
                for line in (EXAMPLES / f"systemd/{name}.service").read_text().replace("\\\n", " ").splitlines()
                if line.startswith("ExecStart=")]

    def test_systemd_takes_them(self) -> None:
        require_command("systemd-analyze")
        copies = []
        for unit in sorted((EXAMPLES / "systemd").glob("*.service")):
            copies.append(self.folder / unit.name)
            copies[-1].write_text(unit.read_text().replace("/usr/local/bin/spoc", str(SPOC)))
        self.assertEqual(len(copies), 2)
        result = subprocess.run(["systemd-analyze", "verify", "--man=no", *map(str, copies)], stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True)
        self.assertEqual((result.returncode, result.stdout), (0, ""))

    @staticmethod
    def shell(command: "List[str]") -> "List[str]":
        """What comes between the -- and the service, after systemd has read it."""
        return [word.replace("$$", "$") for word in command[command.index("--") + 1:command.index("sh") + 1]]

    def test_broken_pipes(self) -> None:
        """As systemd starts a service, it ignores SIGPIPE."""
        require_root()
        for command in self.commands():
            found = subprocess.run([sys.executable, str(SPOC), "record", "-q", "-o", str(self.folder / "p.yaml"), "--",
                                    *self.shell(command), "grep", "SigIgn", "/proc/self/status"],
                                   stdout=subprocess.PIPE, text=True, check=True).stdout
            self.assertTrue(int(found.split()[1], 16) >> signal.SIGPIPE - 1 & 1, found)

    def test_what_they_start(self) -> None:
        """Recorded, stopped as systemd stops it, and run under the profile, by the units' own options."""
        require_root()
        record, run = self.commands()
        profile = str(self.folder / "service.yaml")
        for command, needs in ((record, "getsid"), (run, "")):
            options = [word.replace("/var/lib/spoc/service.yaml", profile) for word in command[1:command.index("--")]]
            process = self.launch(sys.executable, str(SPOC), *options, "--", *self.shell(command),
                                  sys.executable, "-I", "-c",
                                  "import os, time; os.getsid(0); print('up', flush=True); time.sleep(60)",
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            assert process.stdout
            self.assertEqual(process.stdout.readline(), "up\n")
            time.sleep(0.1)
            process.send_signal(signal.SIGTERM)
            _, error = process.communicate()
            self.assertEqual(process.returncode, 143, error)  # the units' SuccessExitStatus
            self.assertIn(f"- {needs}", pathlib.Path(profile).read_text())
        self.assertNotIn("Seccomp", error)


class Scripts(Case):
    """The init scripts of examples/, without a machine: `make check-vm` runs them on one."""

    def run_script(self, name: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        require_command("busybox")
        return subprocess.run(["busybox", "sh", str(EXAMPLES / "busybox" / name), *arguments], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True)

    def test_usage(self) -> None:
        for name in ("record-service", "run-service"):
            result = self.run_script(name)
            self.assertEqual((result.returncode, result.stdout), (2, ""))
            self.assertRegex(result.stderr, r"^usage: .* start\|stop\|restart\|status\n$")

    def test_status(self) -> None:
        """Of what runs, of what was stopped and of what has died, with the exit codes of the LSB."""
        require_root()
        settings, program = self.folder / "spoc", self.folder / "program"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {SPOC} "$@"\n')
        program.chmod(0o755)
        settings.write_text("".join(f"{name}={value}\n" for name, value in (
            ("SPOC", program), ("SERVICE", "'sleep 1000'"), ("PROFILE", self.folder / "service.yaml"),
            ("LOG", self.folder / "log"), ("PIDFILE", self.folder / "pid"))))
        before = in_mounts(f"mount -t tmpfs none /etc/default\ncp {settings} /etc/default/spoc")

        def script(name: str, verb: str, code: int) -> str:
            result = subprocess.run([*before, "busybox", "sh", str(EXAMPLES / "busybox" / name), verb], text=True,
                                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=WAIT_S)
            self.assertEqual(result.returncode, code, result.stdout)
            return result.stdout

        self.addCleanup(lambda: subprocess.run([*before, "busybox", "sh", str(EXAMPLES / "busybox/record-service"),
                                                "stop"], stdout=subprocess.DEVNULL, timeout=WAIT_S))
        for name, text in (("record-service", "recording"), ("run-service", "running under")):
            self.assertIn("spoc: stopped\n", script(name, "status", 3))
            script(name, "start", 0)
            log = self.folder / "log"
            self.assertTrue(wait_until(lambda: log.exists() and "Running command" in log.read_text()
                                       or name == "run-service" and (self.folder / "pid").exists()))
            pid = (self.folder / "pid").read_text().strip()
            self.assertRegex(script(name, "status", 0), rf"\Aspoc: {text}[^\n]*, process {pid}\nspoc: [^\n]+\n\Z")
            script(name, "stop", 0)
            self.assertIn("spoc: stopped\n", script(name, "status", 3))
        (self.folder / "pid").write_text(f"{pid}\n")  # which has ended
        self.assertIn("spoc: ended by itself, see ", script("record-service", "status", 1))

    def test_without_settings_nothing_starts(self) -> None:
        self.assertFalse(os.path.exists("/etc/default/spoc"))
        for name in ("record-service", "run-service"):
            result = self.run_script(name, "start")
            self.assertEqual((result.returncode, result.stdout), (1, ""))
            self.assertIn("spoc: /etc/default/spoc names no SERVICE", result.stderr)
