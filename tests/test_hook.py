# SPDX-License-Identifier: MIT
"""`hook`: containers that engines start with it, and the state of a container as a runtime gives it."""

from __future__ import annotations

import json
import os
import sys
from typing import Any, Dict, Set

from cases import AttachCase
from engines import Engine, Engines
from support import ROOT, SPOC, kernel_calls, wait_until

TIER = "kernel"

EXAMPLES = ROOT / "examples" / "containers"
INSTALLED = "/usr/local/bin/spoc"  # in the examples
ONE = f"spoc-{os.getpid()}-1"  # which no other container here has
THREE = {"getppid", "getuid", "exit"}
PROGRAM = ("/bin/sh", "-c", "/bin/ls / >/dev/null; /bin/id >/dev/null; /bin/sleep 0.1; echo done")


def names_in(document: Dict[str, Any]) -> Set[str]:
    """What a profile of OCI's format allows, but for what the kernel makes by itself."""
    allowed = {name for rule in document["syscalls"] for name in rule["names"]}
    return allowed - kernel_calls(document) | allowed & {"exit"}


class HookCase(AttachCase):
    """Has engines call the hook."""

    def setUp(self) -> None:
        super().setUp()
        self.engines = Engines()
        self.addCleanup(self.engines.close)
        self.hooks, self.out = self.folder / "hooks.d", self.folder / "out"
        self.hooks.mkdir()
        self.out.mkdir()
        self.install("-n")

    def install(self, *options: str, stage: str = "createRuntime", **hook: Any) -> None:
        """The file of the examples, with these options of `hook`, and other keys of the hook."""
        document = json.loads((EXAMPLES / "spoc-hook.json").read_text())
        self.assertEqual((document["hook"]["path"], document["hook"]["args"]), (INSTALLED, ["spoc", "hook"]))
        document["hook"].update({"path": sys.executable, "args": ["python3", str(SPOC), "hook", *options], **hook})
        document["stages"] = [stage]
        (self.hooks / "spoc-hook.json").write_text(json.dumps(document))

    def podman(self, runtime: str, **options: Any) -> Engine:
        engine = self.engines.podman(runtime, **options)
        engine.prefix = (*engine.prefix, "--hooks-dir", str(self.hooks))
        return engine

    def recorded(self, name: str) -> Dict[str, Any]:
        """The profile of this name, which is there soon after the container's end."""
        path = self.out / name
        self.assertTrue(wait_until(path.exists))
        document: Dict[str, Any] = json.loads(path.read_text())
        path.unlink()
        return document

    def run_three(self, engine: Engine, name: str, *options: str) -> Set[str]:
        """What is recorded of the program of three calls."""
        engine.run(ONE, "/three", options=("--annotation", f"io.spoc.record={self.out}/{name}", *options))
        return names_in(self.recorded(name))


class Podman(HookCase):
    """With the file for hooks.d in examples/."""

    def check_starts(self, engine: Engine) -> None:
        """A profile recorded with the base syscalls starts the same container again, and blocks nothing."""
        self.install()
        path = self.out / "start.json"
        engine.run(ONE, *PROGRAM, options=("--annotation", f"io.spoc.record={path}"))
        self.assertTrue(wait_until(path.exists))
        with self.attached("watch", ready="Calls that a filter lets pass and logs") as watch:
            cidfile = self.folder / "id"
            result = engine.run(ONE, *PROGRAM, options=("--security-opt", f"seccomp={path}", "--cidfile", str(cidfile)))
            identifier = cidfile.read_text()[:12]
            cidfile.unlink()
            watch.terminate()
        self.assertEqual(result.stdout, "done\n")
        self.assertNotIn(identifier, self.log)
        path.unlink()
        self.install("-n")

    def test_exact(self) -> None:
        """Recorded is the program from its first call on, whatever runtime starts it and however."""
        for runtime in ("crun", "runc"):
            with self.subTest(runtime):
                engine = self.podman(runtime)
                self.assertEqual(self.run_three(engine, "three.json"), THREE)
                self.assertEqual(self.run_three(engine, "three.json", "--pid", "host"), THREE)
                self.install("-n", stage="prestart")
                self.assertEqual(self.run_three(engine, "three.json"), THREE)
                self.install("-n")
                engine.run(ONE, "/three")  # which has not opted in
                self.assertEqual(list(self.out.iterdir()), [])
                self.check_starts(engine)
