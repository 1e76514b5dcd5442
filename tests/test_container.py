# SPDX-License-Identifier: MIT
"""Container runtimes take a recorded profile as it is, and a container under it can do what was recorded, no more."""

import json
import shutil
import subprocess
import unittest
from typing import Any, Dict, Sequence

from support import Case, require, require_command, require_root, spoc

# Recorded outside, it has to work inside as well; its exit code tells which part does not.
SCRIPT = """
test "$(uname)" = Linux || exit 10
ls / | grep -q '^etc$' || exit 11
echo text > /tmp/file && test "$(tr a-z A-Z < /tmp/file)" = TEXT || exit 12
mkdir /tmp/folder && mv /tmp/file /tmp/folder/ && rm -r /tmp/folder || exit 13
"""
APPLETS = ("sh", "uname", "ls", "grep", "tr", "mkdir", "mv", "rm", "test", "echo", "true")

RUNC = ("runc",)
# Without control groups, whose mixed layout (v1 and v2) crun refuses: it is shown one of v2 alone.
CRUN = ("unshare", "--mount", "--propagation", "private", "sh", "-ec",
        'mount -t cgroup2 none /sys/fs/cgroup; exec "$@"', "sh", "crun", "--cgroup-manager=disabled")


class Container(Case):
    """Busybox in a root folder: recorded there, and started there by a container runtime."""

    def setUp(self) -> None:
        super().setUp()
        require_root()
        require_command("chroot", "unshare")
        busybox = shutil.which("busybox")
        require(busybox, "the command busybox (busybox-static)")
        self.root = self.folder / "rootfs"
        for name in ("bin", "dev", "etc", "proc", "tmp"):
            (self.root / name).mkdir(parents=True)
        shutil.copy(str(busybox), self.root / "bin" / "busybox")
        for applet in APPLETS:
            (self.root / "bin" / applet).symlink_to("busybox")
        alone = subprocess.run(["chroot", str(self.root), "/bin/true"], stderr=subprocess.DEVNULL)
        require(alone.returncode == 0, "a busybox that needs no libraries (busybox-static)")

    def recorded_document(self, *options: str) -> Dict[str, Any]:
        """The raw JSON for the script."""
        profile = self.folder / "profile.json"
        result = spoc("record", "-t", "raw-seccomp", "-o", str(profile), *options, "--", "chroot", str(self.root),
                      "/bin/sh", "-c", SCRIPT)
        self.assertEqual(result.returncode, 0, result.stderr)
        document: Dict[str, Any] = json.loads(profile.read_text())
        return document

    @staticmethod
    def without(document: Dict[str, Any], name: str) -> Dict[str, Any]:
        """The same profile without a name that is in it."""
        rules = [{**rule, "names": [other for other in rule["names"] if other != name]}
                 for rule in document["syscalls"]]
        assert rules != document["syscalls"]
        return {**document, "syscalls": rules}

    def run_container(self, runtime: Sequence[str], document: Dict[str, Any],
                      no_new_privileges: bool) -> "subprocess.CompletedProcess[str]":
        """Run the script in a container under this profile."""
        configuration = {
            "ociVersion": "1.0.2",
            "process": {"terminal": False, "user": {"uid": 0, "gid": 0}, "args": ["/bin/sh", "-c", SCRIPT],
                        "env": ["PATH=/bin"], "cwd": "/", "noNewPrivileges": no_new_privileges},
            "root": {"path": "rootfs", "readonly": False},
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"},
                       {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]}],
            "linux": {"namespaces": [{"type": name} for name in ("pid", "mount", "ipc", "uts", "network")],
                      "seccomp": document},
        }
        (self.folder / "config.json").write_text(json.dumps(configuration))
        command = [*runtime, "--root", str(self.folder / "state")]
        name = self.folder.name
        try:
            return subprocess.run([*command, "run", "--bundle", str(self.folder), name], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
        finally:
            subprocess.run([*command, "delete", "--force", name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def assert_profile_is_applied(self, runtime: Sequence[str]) -> None:
        document = self.recorded_document()
        for no_new_privileges in (True, False):
            with self.subTest(noNewPrivileges=no_new_privileges):
                result = self.run_container(runtime, document, no_new_privileges)
                self.assertEqual(result.returncode, 0, result.stdout)
                # The container starts and gets as far as that call.
                result = self.run_container(runtime, self.without(document, "uname"), no_new_privileges)
                self.assertEqual(result.returncode, 10, result.stdout)

    def test_runc(self) -> None:
        require_command("runc")
        self.assert_profile_is_applied(RUNC)

    def test_crun(self) -> None:
        require_command("crun")
        self.assert_profile_is_applied(CRUN)

    def test_base_syscalls_are_needed(self) -> None:
        """What the command itself calls does not let a runtime start it."""
        require_command("runc")
        result = self.run_container(RUNC, self.recorded_document("-n"), True)
        self.assertNotIn(result.returncode, (0, 10, 11, 12, 13), result.stdout)


if __name__ == "__main__":
    unittest.main()
