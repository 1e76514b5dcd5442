# SPDX-License-Identifier: MIT
"""What the tests share: where things are, how spoc.py is started, and when a test may be skipped."""

import atexit
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest
from typing import Any, Optional

ROOT = pathlib.Path(__file__).resolve().parent.parent
SPOC = ROOT / "spoc.py"
OBJECT = ROOT / "bpf" / "recorder.bpf.o"
PROGRAMS = ROOT / "tests" / "programs"
DATA = ROOT / "tests" / "data"

_build_dir: Optional[str] = None


def require(available: object, what: str) -> None:
    """Skip the running test because `what` is missing; where CI=true, which must have everything, fail it."""
    if available:
        return
    if os.environ.get("CI") == "true":
        raise AssertionError(f"CI must have {what}")
    raise unittest.SkipTest(f"needs {what}")


def require_command(*names: str) -> None:
    """Skip (in CI: fail) unless every command is on PATH, /usr/sbin and /sbin included."""
    for name in names:
        require(shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin"), f"the command {name}")


def require_root() -> None:
    """Skip (in CI: fail) unless the tests run as root."""
    require(os.geteuid() == 0, "root")


def build(source: str, *flags: str) -> str:
    """Compile tests/programs/SOURCE with gcc and these flags; give the program's path, kept until the run ends."""
    global _build_dir
    require_command("gcc")
    if _build_dir is None:
        _build_dir = tempfile.mkdtemp(prefix="spoc-programs-")
        os.chmod(_build_dir, 0o755)
        atexit.register(shutil.rmtree, _build_dir, True)
    name = "-".join([source.replace("/", "-"), *(flag.strip("-").replace("/", "_") for flag in flags)])
    program = os.path.join(_build_dir, name)
    if not os.path.exists(program):
        subprocess.run(["gcc", "-O1", "-Wall", "-Werror", "-D_GNU_SOURCE", "-o", program, str(PROGRAMS / source),
                        *flags], check=True)
    return program


def spoc(*args: str, timeout: float = 120, **options: Any) -> "subprocess.CompletedProcess[str]":
    """Run `python3 spoc.py ARGS` as a user would; output is captured as text unless `options` say otherwise."""
    options.setdefault("stdout", subprocess.PIPE)
    options.setdefault("stderr", subprocess.PIPE)
    options.setdefault("stdin", subprocess.DEVNULL)
    options.setdefault("text", True)
    return subprocess.run([sys.executable, str(SPOC), *args], timeout=timeout, **options)


class Case(unittest.TestCase):
    """A test case with a scratch folder of its own that goes away with the test."""

    maxDiff = None

    def setUp(self) -> None:
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="spoc-test-"))
        os.chmod(self.folder, 0o755)
        self.addCleanup(shutil.rmtree, self.folder, True)

    def record(self, *command: str, options: "tuple[str, ...]" = (), code: int = 0, **run: Any) -> "set[str]":
        """The exact set (-n) of names that `record` finds for a command that must end with exit code `code`."""
        profile = self.folder / "recorded.json"
        result = spoc("record", "-n", "-t", "raw-seccomp", "-o", str(profile), *options, "--", *command, **run)
        self.assertEqual(result.returncode, code, result.stderr)
        document = json.loads(profile.read_text())
        return {name for rule in document["syscalls"] for name in rule["names"]}
