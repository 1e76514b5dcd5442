# SPDX-License-Identifier: MIT
"""`run --events`, and the story of what was stopped."""

import json
import os
import re
import subprocess
import time
import unittest
from typing import Any, Dict, List, Tuple

from cases import RunCase
from support import ON_X86_64, WAIT_S, build, require_command, spoc

TIER = "kernel"


@unittest.skipUnless(ON_X86_64, "needs x86_64, whose syscall numbers are here")
class Events(RunCase):
    """--events: JSON, a line for each."""

    KEYS: Dict[str, Any] = {"time": (int, float), "pid": int, "tgid": int, "comm": str, "exe": str, "arch": str,
                            "number": int, "name": str, "action": str, "errno": str, "filter": str, "guess": bool,
                            "count": int}

    def setUp(self) -> None:
        super().setUp()
        self.block("uname")
        self.file = self.folder / "events"
        self.program = build("deny.c", "-static")

    def events(self, text: str) -> List[Dict[str, Any]]:
        events = [json.loads(line) for line in text.splitlines()]
        for event in events:
            self.assertEqual(list(event), list(self.KEYS))
            for key, kind in self.KEYS.items():
                self.assertIsInstance(event[key], kind, key)
        return events

    def test_each(self) -> None:
        started_s = time.time()
        result = self.run_it(self.program, "child", "1000", options=("--events", str(self.file)))
        events = self.events(self.file.read_text())
        self.assertEqual(sum(event["count"] for event in events), 1000)
        for event in events:
            self.assertEqual({key: event[key] for key in self.KEYS if key not in (
                "time", "pid", "tgid", "exe", "count")}, {
                "comm": "deny.c-static", "arch": "SCMP_ARCH_X86_64", "number": 63, "name": "uname",
                "action": "SCMP_ACT_ERRNO", "errno": "EPERM", "filter": "profile", "guess": False})
            self.assertEqual(f"child {event['tgid']}\n", result.stdout)
            self.assertEqual(event["pid"], event["tgid"])
            self.assertTrue(started_s <= event["time"] <= time.time())

    def test_sums_equal_counts(self) -> None:
        self.write(rules=[{"names": ["uname"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
                          {"names": ["wait4"], "action": "SCMP_ACT_LOG"}],
                   architectures=["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"])
        compat = build("deny.c", "-m32", "-static")
        script = f"for i in 1 2 3; do {self.program} child 20; {compat} crowd 5; {self.program} thread 4; done; uname"
        result = self.run_it("sh", "-c", script, options=("--events", str(self.file)), code=1)
        counts: Dict[Tuple[str, str, str, str], int] = {}
        for event in self.events(self.file.read_text()):
            key = (event["name"], event["arch"], event["action"], event["errno"])
            counts[key] = counts.get(key, 0) + event["count"]
        self.assertEqual(counts["uname", "SCMP_ARCH_X86_64", "SCMP_ACT_ERRNO", "ENOSYS"], 3 * 24 + 1)
        self.assertEqual(counts["uname", "SCMP_ARCH_X86", "SCMP_ACT_ERRNO", "ENOSYS"], 3 * 80)
        summed = [int(times) for times in re.findall(r", (\d+) times?, by: ", result.stderr)]
        self.assertEqual(sorted(summed), sorted(counts.values()))

    def test_thread(self) -> None:
        result = self.run_it(self.program, "thread", options=("--events", str(self.file)))
        event = self.events(self.file.read_text())[0]
        self.assertEqual(f"thread {event['tgid']}\n", result.stdout)
        self.assertNotEqual(event["pid"], event["tgid"])

    def test_standard_output(self) -> None:
        result = self.run_it(self.program, options=("-q", "--events", "-"), code=2)
        own = [line for line in result.stdout.splitlines() if not line.startswith("{")]
        self.assertEqual(len(own), 1)
        self.assertEqual(len(self.events("\n".join(line for line in result.stdout.splitlines() if line not in own))), 1)

    def test_nothing_blocked(self) -> None:
        self.file.write_text('{"time": 1}\n')
        self.run_it("true", options=("--events", str(self.file)))
        self.assertEqual(self.file.read_text(), "")

    def test_at_once(self) -> None:
        """The line is in the file while the program goes on."""
        with subprocess.Popen(self.arguments(self.program, "pause", options=("--events", str(self.file))), text=True,
                              stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            deadline_s = time.monotonic() + WAIT_S
            while not self.file.exists() or not self.file.read_text().endswith("\n"):
                self.assertLess(time.monotonic(), deadline_s)
                time.sleep(0.02)
            self.assertIsNone(process.poll())
            process.communicate("x", timeout=WAIT_S)

    def test_fifo(self) -> None:
        os.mkfifo(self.file)
        reader = os.open(self.file, os.O_RDONLY | os.O_NONBLOCK)
        try:
            self.run_it(self.program, options=("--events", str(self.file)), code=2)
            self.assertEqual(len(self.events(os.read(reader, 1 << 16).decode())), 1)
        finally:
            os.close(reader)
        self.assertRegex(self.run_it(self.program, options=("--events", str(self.file)), code=125).stderr,
                         r"Error: write events: [^\n]*\n$")

    def test_fifo_whose_reader_goes(self) -> None:
        os.mkfifo(self.file)
        reader = os.open(self.file, os.O_RDONLY | os.O_NONBLOCK)
        with subprocess.Popen(self.arguments("sh", "-c", f"echo; read x; {self.program}", options=(
                "--events", str(self.file))), text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            os.close(reader)
            _, stderr = process.communicate("x\n", timeout=WAIT_S)
        self.assertEqual(process.returncode, 125, stderr)
        self.assertIn("events could not be written", stderr)
        self.assertEqual(len(self.denials(stderr)), 1)

    def test_full_disk(self) -> None:
        """Python 3.13 shows what fails when a file object goes away, and others do in development mode."""
        result = self.run_it(self.program, options=("--events", "/dev/full"), code=125,
                             env={**os.environ, "PYTHONDEVMODE": "1"})
        self.assertIn("Error: ", result.stderr)
        self.assertEqual([line for line in result.stderr.splitlines() if "Exception" in line or "Warning" in line], [])
        self.assertIn("events could not be written: No space left on device", result.stderr)
        self.assertEqual(len(self.denials(result.stderr)), 1)

    def test_symlink(self) -> None:
        """Someone else's link in /tmp must not have root write to its target."""
        target = self.folder / "target"
        target.write_text("untouched")
        self.file.symlink_to(target)
        self.assertRegex(self.run_it(self.program, options=("--events", str(self.file)), code=125).stderr,
                         r"Error: write events: [^\n]*\n$")
        self.assertEqual(target.read_text(), "untouched")

    def test_file_that_is_not_ours_alone(self) -> None:
        """One that has another name as well, or another owner, is not emptied: somebody may have laid it there."""
        def refused(**variables: str) -> None:
            result = self.run_it("true", options=("--events", str(self.file)), code=125,
                                 env={**os.environ, **variables})
            self.assertIn("it is another user's, or has several names", result.stderr)
            self.assertEqual(self.file.read_text(), "precious\n")

        self.file.write_text("precious\n")
        os.link(self.file, self.folder / "another name")
        refused()
        (self.folder / "another name").unlink()
        os.chown(self.file, 1234, -1)
        refused()
        refused(SUDO_UID="65534", SUDO_GID="65534")
        for owner in (0, 65534):
            os.chown(self.file, owner, -1)
            self.file.write_text('{"time": 1}\n')
            self.run_it("true", options=("--events", str(self.file)),
                        env={**os.environ, "SUDO_UID": str(owner), "SUDO_GID": str(owner)})
            self.assertEqual(self.file.read_text(), "")

    def test_no_place_for_it(self) -> None:
        for path in (self.folder, self.folder / "nowhere" / "events"):
            self.assertRegex(self.run_it("touch", str(self.folder / "started"), options=("--events", str(path)),
                                         code=125).stderr, r"Error: write events: [^\n]*\n$")
        self.assertFalse((self.folder / "started").exists())

    def test_belongs_to_who_called_sudo(self) -> None:
        """Where that user can have files, not in another's folder."""
        for owner, mode, given in ((65534, 0o755, 65534), (0, 0o1777, 65534), (0, 0o755, 0)):
            folder = self.file.parent
            os.chown(folder, owner, -1)
            folder.chmod(mode)
            self.run_it("true", options=("--events", str(self.file)),
                        env={**os.environ, "SUDO_UID": "65534", "SUDO_GID": "65534"})
            status = self.file.stat()
            self.assertEqual((status.st_uid, status.st_gid, status.st_mode & 0o777), (given, given, 0o644))
            self.file.unlink()


@unittest.skipUnless(ON_X86_64, "needs x86_64, whose syscall numbers are here")
class Story(RunCase):
    """A program is recorded, and one call taken out of its profile."""

    LINE = r"uname \(63\), action: %s, pid: \d+, comm: deny\.c-static"

    def recorded(self, kind: str) -> str:
        self.profile = self.folder / ("profile.json" if kind == "raw-seccomp" else "profile.yaml")
        result = spoc("record", "-t", kind, "-o", str(self.profile), build("deny.c", "-static"))
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("uname", self.profile.read_text())
        self.assertEqual(self.denials(self.run_it(build("deny.c", "-static")).stderr), [])
        return self.profile.read_text()

    def assert_blocked(self) -> None:
        result = self.run_it(build("deny.c", "-static"), code=2)
        self.assertRegex("\n".join(self.denials(result.stderr)), "^" + self.LINE % r"SCMP_ACT_ERRNO \(EPERM\)" + "$")
        self.assertRegex(result.stderr, "Unable to run: launch runner: wait for command: exit status 2\n$")

    def remove_with_jq(self) -> None:
        self.edit_with_jq('del(.syscalls[].names[] | select(. == "uname"))')

    def edit_with_jq(self, expression: str) -> None:
        self.profile.write_text(subprocess.run(["jq", expression, str(self.profile)], stdout=subprocess.PIPE, text=True,
                                               check=True).stdout)

    def test_json(self) -> None:
        require_command("jq")
        self.recorded("raw-seccomp")
        self.remove_with_jq()
        self.assert_blocked()
        self.run_it(build("deny.c", "-static"), options=("-b", "uname"))

    def test_yaml(self) -> None:
        self.recorded("seccomp")
        subprocess.run(["sed", "-i", "/^ *- uname$/d", str(self.profile)], check=True)
        self.assert_blocked()
        self.run_it(build("deny.c", "-static"), options=("-b", "uname"))

    def test_log(self) -> None:
        require_command("jq")
        self.recorded("raw-seccomp")
        self.remove_with_jq()
        self.edit_with_jq('.syscalls += [{"names": ["uname"], "action": "SCMP_ACT_LOG"}]')
        result = self.run_it(build("deny.c", "-static"))
        self.assertRegex("\n".join(self.denials(result.stderr)), "^" + self.LINE % "SCMP_ACT_LOG" + "$")

    def test_learn(self) -> None:
        """The profile is whole again, and nothing was blocked meanwhile."""
        for kind in ("seccomp", "raw-seccomp"):
            with self.subTest(kind=kind):
                whole = self.recorded(kind)
                if kind == "seccomp":
                    subprocess.run(["sed", "-i", "/^ *- uname$/d", str(self.profile)], check=True)
                else:
                    self.remove_with_jq()
                learned = self.folder / "learned"
                result = self.run_it(build("deny.c", "-static"), options=("--learn", str(learned)))
                self.assertIn("Learned syscalls: uname", result.stderr)
                self.assertEqual(learned.read_text(), whole)
                self.profile = learned
                self.assertEqual(self.denials(self.run_it(build("deny.c", "-static")).stderr), [])
                learned.unlink()


if __name__ == "__main__":
    unittest.main()
