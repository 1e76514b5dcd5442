# SPDX-License-Identifier: MIT
"""Where a profile goes: files, links, fifos, devices and descriptors; full disks; --append and --checkpoint."""

import fcntl
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import unittest.mock
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import yaml

import spoc
import support
from support import WAIT_S

TIER = "kernel"
OLD = "defaultAction: SCMP_ACT_ERRNO  # an old profile\n"
LOG_LINE = re.compile(r"\d\d:\d\d:\d\d\.\d{6} .*\n")
TMPFS_BYTES = 512 << 10

# Makes a syscall that Python itself has no use for, of the name given.
CALL = {"getpriority": "os.getpriority(0, 0)", "sync": "os.sync()", "getsid": "os.getsid(0)",
        "sched_get_priority_max": "os.sched_get_priority_max(0)",
        "sched_rr_get_interval": "os.sched_rr_get_interval(0)"}


def calling(*names: str) -> Tuple[str, ...]:
    """A command that makes these calls."""
    return (sys.executable, "-I", "-S", "-c", "; ".join(["import os", *(CALL[name] for name in names)]))


def yaml_names(text: str) -> "set[str]":
    """The names that a CRD allows; the text must be one whole, valid document."""
    document = yaml.safe_load(text)
    assert document["kind"] == "SeccompProfile" and document["spec"]["defaultAction"] == "SCMP_ACT_ERRNO"
    return {name for rule in document["spec"]["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW"
            for name in rule["names"]}


def shown(stderr: str) -> "set[str]":
    """The names of the profile that went to standard error."""
    return yaml_names(stderr[stderr.index("apiVersion:"):stderr.index("status: {}")])


class FilesCase(support.Case):
    """Records `touch started` (or another command) and looks at what became of the target."""

    def setUp(self) -> None:
        super().setUp()
        support.require_root()
        self.started = self.folder / "started"
        self.target = self.folder / "out" / "profile.yaml"
        self.target.parent.mkdir()

    def run_spoc(self, target: object, *command: str, options: Tuple[str, ...] = (), code: int = 0,
                 **run: Any) -> "subprocess.CompletedProcess[str]":
        command = command or ("touch", str(self.started))
        result = support.spoc("record", "-n", *options, "-o", str(target), "--", *command, **run)
        self.assertEqual(result.returncode, code, result.stderr)
        return result

    def assert_refused(self, target: object, *reasons: str, options: Tuple[str, ...] = (), **run: Any) -> None:
        """Recording must fail, name the target and the reason, and not start the command."""
        result = self.run_spoc(target, options=options, code=125, **run)
        error = result.stderr.splitlines()[-1]
        for reason in (str(target), *reasons):
            self.assertIn(reason, error)
        self.assertRegex(error, r"^\d\d:\d\d:\d\d\.\d{6} Error: ")
        self.assertNotIn("Running command", result.stderr)
        self.assertFalse(self.started.exists(), "the command was started")
        self.assertEqual(result.stdout or "", "")

    def no_litter(self, *names: str, folder: Optional[pathlib.Path] = None) -> None:
        """Just these files, by default the target, are in the folder."""
        self.assertEqual(sorted(os.listdir(folder or self.target.parent)), sorted(names or [self.target.name]))

    def mount_tmpfs(self, options: str) -> pathlib.Path:
        support.require_command("mount", "umount")
        folder = self.folder / "tmpfs"
        folder.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)
        self.addCleanup(lambda: subprocess.run(["umount", "-l", str(folder)], check=True))
        return folder

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        deadline_s = time.monotonic() + WAIT_S
        while not condition():
            self.assertLess(time.monotonic(), deadline_s, f"waited in vain for {what}")
            time.sleep(0.05)

    @staticmethod
    def run_closed(closing: str, *args: str) -> "subprocess.CompletedProcess[str]":
        """Record with some standard descriptors closed, as a shell closes them."""
        command = ["sh", "-c", f'exec "$@" {closing}', "sh", sys.executable, str(support.SPOC), "record", "-n", *args]
        return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, check=False)

    def start(self, *args: str, **options: Any) -> "subprocess.Popen[str]":
        """Start spoc.py record; it and the command are killed if the test leaves them running."""
        options.setdefault("stdout", subprocess.DEVNULL)
        options.setdefault("stderr", subprocess.DEVNULL)
        return self.launch(sys.executable, str(support.SPOC), "record", "-n", *args, stdin=subprocess.DEVNULL,
                           text=True, **options)


class RegularFile(FilesCase):
    """The target is a file, or is to become one."""

    def test_new_file(self) -> None:
        result = self.run_spoc(self.target)
        self.assertTrue(self.started.exists())
        self.assertGreater(len(yaml_names(self.target.read_text())), 5)
        self.assertIn(f" Wrote seccomp profile to: {self.target}\n", result.stderr)
        self.assertEqual(result.stdout, "")
        self.no_litter()

    def test_relative_name(self) -> None:
        self.run_spoc("profile.yaml", cwd=self.target.parent)
        self.assertTrue(self.target.is_file())

    def test_strange_name(self) -> None:
        name = "new\nline \udcff'\"*" + "x" * 200
        target = self.target.parent / name
        result = self.run_spoc(target, errors="surrogateescape")
        self.assertTrue(yaml_names(target.read_text()))
        self.no_litter(name)
        self.assertEqual(LOG_LINE.sub("", result.stderr), "")

    def test_old_file_is_replaced_not_overwritten(self) -> None:
        self.target.write_text(OLD)
        other_name = self.target.parent / "hard-link"
        os.link(self.target, other_name)
        self.run_spoc(self.target)
        self.assertEqual(other_name.read_text(), OLD)
        self.assertTrue(yaml_names(self.target.read_text()))
        self.no_litter(self.target.name, other_name.name)

    def test_reader_sees_whole_profiles_only(self) -> None:
        self.target.write_text("kind: SeccompProfile\nspec:\n  defaultAction: SCMP_ACT_ERRNO\n  syscalls: []\n")
        stop, found = threading.Event(), []

        def read() -> None:
            while not stop.is_set():
                found.append(self.target.read_text())

        reader = threading.Thread(target=read)
        reader.start()
        try:
            for _ in range(5):
                self.run_spoc(self.target)
        finally:
            stop.set()
            reader.join()
        texts = set(found)
        self.assertGreaterEqual(len(texts), 2)
        for text in texts:
            yaml_names(text)

    def test_synced_before_renamed(self) -> None:
        support.require_command("strace")
        log = self.folder / "log"
        subprocess.run(["strace", "-y", "-o", str(log), "-e", "trace=fsync,fdatasync,linkat,rename,renameat,renameat2",
                        sys.executable, str(support.SPOC), "record", "-q", "-o", str(self.target), "--", "true"],
                       check=True, stdin=subprocess.DEVNULL)
        text = log.read_text()
        order = re.search(r'f(?:data)?sync\((\d+)<([^>]+)>\(deleted\)\)\s+= 0\n(?:.*\n)*?'
                          r'linkat\(.*"/proc/self/fd/(\d+)", .*"([^"]+)", .*\) = 0\n(?:.*\n)*?'
                          r'rename\w*\(.*"([^"]+)".*"([^"]+)".*\) = 0\n(?:.*\n)*?'
                          r'f(?:data)?sync\(\d+<([^>]+)>\)\s+= 0\n', text)
        assert order, text
        synced, temporary, linked, linked_to, renamed, to, folder = order.groups()
        self.assertEqual(os.path.dirname(temporary), str(self.target.parent))
        self.assertEqual(linked, synced)
        self.assertEqual(renamed, linked_to)
        self.assertEqual(to, self.target.name)
        self.assertEqual(folder, str(self.target.parent))

    def test_empty_file_is_none(self) -> None:
        """As mktemp makes it."""
        self.target.write_text("")
        self.run_spoc(self.target, options=("--append",))
        self.assertIn("SCMP_ACT_ALLOW", self.target.read_text())

    def test_no_owners(self) -> None:
        """Where the kernel refuses to give the file away, as vfat does, it is written all the same."""
        support.require_command("setpriv")
        for arguments in (("record", "-q", "--for", "service", "-o", str(self.target), "true"),
                          ("run", "-q", "-p", str(self.target), "--events", str(self.folder / "events"), "true")):
            result = subprocess.run(
                ["setpriv", "--bounding-set=-chown", "--inh-caps=-chown", sys.executable, str(support.SPOC),
                 *arguments], env={**os.environ, "SUDO_UID": "54321", "SUDO_GID": "54321"}, stderr=subprocess.PIPE,
                text=True, check=False)
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            self.assertTrue(yaml_names(self.target.read_text()))

    def test_mode_stays(self) -> None:
        """What a user has made private does not become public; another user's file says nothing about ours."""
        self.target.write_text(OLD)
        for owner, mode in ((os.getuid(), 0o600), (65534, 0o644)):
            self.target.chmod(0o600)
            os.chown(self.target, owner, 0)
            self.run_spoc(self.target, umask=0o022)
            self.assertEqual(stat.S_IMODE(self.target.stat().st_mode), mode)
            self.assertEqual(self.target.stat().st_uid, os.getuid())
        self.target.chmod(0o7755)  # a profile is no program
        self.run_spoc(self.target, umask=0o022)
        self.assertEqual(stat.S_IMODE(self.target.stat().st_mode), 0o755)

    def test_umask(self) -> None:
        for umask in (0o022, 0o077, 0o002, 0o000):
            self.target.unlink(missing_ok=True)
            result = self.run_spoc(self.target, "sh", "-c", "umask", umask=umask)
            self.assertEqual(stat.S_IMODE(self.target.stat().st_mode), 0o644 & ~umask)
            self.assertEqual(int(result.stdout, 8), umask)

    def test_symbolic_link_is_replaced(self) -> None:
        victim = self.folder / "victim"
        victim.write_text(OLD)
        self.target.symlink_to(victim)
        self.run_spoc(self.target)
        self.assertEqual(victim.read_text(), OLD)
        self.assertFalse(self.target.is_symlink())
        self.assertTrue(yaml_names(self.target.read_text()))
        self.no_litter()

    def test_dangling_link_is_replaced(self) -> None:
        for destination in (self.folder / "nothing", self.target, pathlib.Path("/nowhere/at/all")):
            self.target.unlink(missing_ok=True)
            self.target.symlink_to(destination)
            self.run_spoc(self.target)
            self.assertFalse(self.target.is_symlink())
            self.assertTrue(yaml_names(self.target.read_text()))
        self.assertFalse((self.folder / "nothing").exists())

    def test_link_to_folder_and_device(self) -> None:
        for destination in (self.folder, pathlib.Path("/dev/null")):
            self.target.unlink(missing_ok=True)
            self.target.symlink_to(destination)
            self.run_spoc(self.target)
            self.assertFalse(self.target.is_symlink())
        self.assertTrue(stat.S_ISCHR(os.stat("/dev/null").st_mode))

    def test_link_in_the_path_is_followed(self) -> None:
        (self.folder / "link").symlink_to(self.target.parent)
        self.run_spoc(self.folder / "link" / "profile.yaml")
        self.assertTrue(yaml_names(self.target.read_text()))

    def test_link_that_the_command_puts_there(self) -> None:
        victim = self.folder / "victim"
        victim.write_text(OLD)
        self.run_spoc(self.target, "ln", "-s", str(victim), str(self.target))
        self.assertEqual(victim.read_text(), OLD)
        self.assertFalse(self.target.is_symlink())

    def test_folder_that_the_command_puts_there(self) -> None:
        """It stays, and nothing else does: the profile goes to standard error."""
        result = self.run_spoc(self.target, "mkdir", str(self.target), code=125)
        self.assertIn(f"Error: write profile: {self.target}: Is a directory; ", result.stderr)
        self.assertIn("mkdir", shown(result.stderr))
        self.no_litter()

    def test_written_though_the_command_failed(self) -> None:
        for command, code in (("exit 3", 3), ("kill -KILL $$", 137)):
            self.target.unlink(missing_ok=True)
            self.run_spoc(self.target, "sh", "-c", command, code=code)
            self.assertTrue(yaml_names(self.target.read_text()))


class Refused(FilesCase):
    """What can be known before the command is started is said then."""

    def test_folder(self) -> None:
        self.assert_refused(self.target.parent, "Is a directory")
        self.assert_refused(f"{self.target.parent}/", "Is a directory")
        self.assertEqual(os.listdir(self.target.parent), [])

    def test_missing_folder(self) -> None:
        self.assert_refused(self.folder / "none" / "profile.yaml", "No such file or directory", "make the folder")
        self.assert_refused(f"{self.folder}/none/")
        self.assertFalse((self.folder / "none").exists())

    def test_folder_that_takes_no_files(self) -> None:
        """To make it would be no advice: it is there."""
        self.assert_refused("/proc/profile.yaml", "No such file or directory; choose another file with -o")

    def test_working_folder_that_was_removed(self) -> None:
        """Where O_TMPFILE fails there, as on ext4, and where it does not, as on tmpfs."""
        python = os.path.realpath(sys.executable)
        for folder in (self.folder, self.mount_tmpfs("size=512k")):
            for target in ("profile.yaml", "./profile.yaml", "out/profile.yaml", "../profile.yaml"):
                with self.subTest(f"{folder} {target}"):
                    result = subprocess.run(
                        ["sh", "-c", 'mkdir -p gone/away; cd gone/away; rm -r ../../gone; exec "$@"', "sh", python,
                         str(support.SPOC), "record", "-o", target, "touch", str(self.started)],
                        cwd=folder, stderr=subprocess.PIPE, text=True, check=False)
                    self.assertEqual(result.returncode, 125)
                    self.assertRegex(result.stderr, rf" Error: write profile: {target}: the working folder has been "
                                                    r"removed; give an absolute path\n\Z")
                    self.assertFalse(self.started.exists(), "the command was started")

    def test_removed_folder_by_its_descriptor(self) -> None:
        folder = self.mount_tmpfs("size=512k") / "gone"
        folder.mkdir()
        descriptor = os.open(folder, os.O_RDONLY)
        self.addCleanup(os.close, descriptor)
        folder.rmdir()
        self.assert_refused(f"/proc/self/fd/{descriptor}/profile.yaml", "removed", pass_fds=[descriptor])

    def test_mounted_file(self) -> None:
        """A file that a container's engine has mounted is one that nothing replaces; a device is written to."""
        support.require_command("mount", "umount")
        self.target.write_text(OLD)
        for source, refused in ((self.target, True), ("/dev/null", False)):
            subprocess.run(["mount", "--bind", str(source), str(self.target)], check=True)
            try:
                if refused:
                    self.assertRaises(OSError, os.rename, self.target, self.folder / "away")
                    self.assert_refused(self.target, "it is mounted, and cannot be replaced")
                else:
                    self.run_spoc(self.target)
            finally:
                subprocess.run(["umount", str(self.target)], check=True)
        self.assertEqual(self.target.read_text(), OLD)

    def test_file_as_folder(self) -> None:
        self.target.write_text(OLD)
        self.assert_refused(self.target / "profile.yaml", "Not a directory")
        self.assert_refused(f"{self.target}/")
        self.assertEqual(self.target.read_text(), OLD)

    def test_read_only_folder(self) -> None:
        folder = self.mount_tmpfs("size=512k")
        (folder / "profile.yaml").write_text(OLD)
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        for name in ("profile.yaml", "new.yaml"):
            self.assert_refused(folder / name, "Read-only file system", "choose another file")
        self.no_litter("profile.yaml", folder=folder)
        self.assertEqual((folder / "profile.yaml").read_text(), OLD)

    def test_full_disk(self) -> None:
        folder = self.mount_tmpfs(f"size={TMPFS_BYTES}")
        (folder / "profile.yaml").write_text(OLD)
        subprocess.run(["dd", "if=/dev/zero", f"of={folder}/fill"], stderr=subprocess.DEVNULL, check=False)
        for name in ("profile.yaml", "new.yaml"):
            self.assert_refused(folder / name, "No space left on device", "free some")
        self.no_litter("profile.yaml", "fill", folder=folder)
        self.assertEqual((folder / "profile.yaml").read_text(), OLD)

    def test_no_inodes(self) -> None:
        folder = self.mount_tmpfs("size=512k,nr_inodes=2")
        (folder / "profile.yaml").write_text(OLD)
        self.assert_refused(folder / "profile.yaml", "No space left on device")
        self.no_litter("profile.yaml", folder=folder)
        self.assertEqual((folder / "profile.yaml").read_text(), OLD)

    def test_name_too_long(self) -> None:
        self.assert_refused(self.target.parent / ("x" * 256), "File name too long")

    def test_immutable(self) -> None:
        """Neither of these lets itself be replaced, as the kernel says after the command otherwise."""
        support.require_command("chattr")
        self.target.write_text(OLD)
        for flag in "ia":
            subprocess.run(["chattr", f"+{flag}", str(self.target)], check=True)
            try:
                self.assertRaises(PermissionError, os.rename, self.target, self.folder / "away")
                self.assert_refused(self.target, "it is immutable or append-only (chattr)")
            finally:
                subprocess.run(["chattr", f"-{flag}", str(self.target)], check=True)
        self.assertEqual(self.target.read_text(), OLD)

    def test_busy_and_read_only_files_are_replaced(self) -> None:
        """What keeps a file from being written to does not keep it from being replaced."""
        shutil.copy("/bin/sleep", self.target)
        self.launch(str(self.target), "60")
        self.assertRaises(OSError, open, self.target, "r+b")
        with spoc.Target(str(self.target), any_content=True) as target:
            target.check()
            target.write(OLD)
        self.assertEqual(self.target.read_text(), OLD)
        self.target.chmod(0o444)
        self.run_spoc(self.target)
        self.assertTrue(yaml_names(self.target.read_text()))

    def test_device_that_is_full(self) -> None:
        self.assert_refused("/dev/full", "No space left on device")

    def test_closed_descriptor(self) -> None:
        self.assert_refused("/dev/fd/77", "Bad file descriptor")

    def test_descriptor_for_reading(self) -> None:
        with open("/dev/null", "rb") as file:
            self.assert_refused(f"/dev/fd/{file.fileno()}", "Bad file descriptor", pass_fds=[file.fileno()])

    def test_closed_stdout(self) -> None:
        """Silence would be the worst answer: the recording would be lost, and nobody would know."""
        for target in ("-", "/dev/stdout"):
            result = self.run_closed(">&-", "-o", target, "--", "touch", str(self.started))
            self.assertEqual(result.returncode, 125, result.stderr)
            self.assertRegex(result.stderr, r"Error: write profile: \S+: Bad file descriptor")
            self.assertFalse(self.started.exists())

    def test_append_and_checkpoint_need_a_file(self) -> None:
        for target in ("-", "/dev/stdout", "/dev/null", "/dev/fd/1"):
            for option in (("--append",), ("--checkpoint", "5")):
                self.run_spoc(target, options=option, code=2)
        self.assertFalse(self.started.exists())


class FullDisk(FilesCase):
    """Full only when the profile is to be written: it goes to standard error, and the old one stays."""

    def record_filling(self, target: pathlib.Path, *options: str) -> str:
        fill = f"dd if=/dev/zero of={target.parent}/fill; true"
        result = self.run_spoc(target, "sh", "-c", fill, options=options, code=125)
        self.assertRegex(result.stderr, rf"\n\d\d:\d\d:\d\d\.\d+ Error: [^\n]*{target}[^\n]*No space left on device")
        self.assertNotIn("Wrote seccomp profile", result.stderr)
        self.no_litter(*{target.name, "fill"} & set(os.listdir(target.parent)), folder=target.parent)
        return result.stderr

    def test_filled_by_the_command(self) -> None:
        target = self.mount_tmpfs(f"size={TMPFS_BYTES}") / "profile.yaml"
        target.write_text(OLD)
        stderr = self.record_filling(target)
        self.assertIn("write", shown(stderr))
        self.assertEqual(target.read_text(), OLD)

    def test_no_old_file(self) -> None:
        target = self.mount_tmpfs(f"size={TMPFS_BYTES}") / "profile.json"
        stderr = self.record_filling(target, "-t", "raw-seccomp", "-q")
        profile = json.loads(LOG_LINE.sub("", stderr[stderr.index("\n{\n"):]))
        self.assertIn("write", profile["syscalls"][0]["names"])
        self.assertFalse(target.exists())

    def test_append(self) -> None:
        """What was recorded is shown; what was in the file is still there."""
        target = self.mount_tmpfs(f"size={TMPFS_BYTES}") / "profile.yaml"
        self.run_spoc(target, *calling("getpriority"))
        old = target.read_text()
        stderr = self.record_filling(target, "--append")
        self.assertIn("write", shown(stderr))
        self.assertEqual(target.read_text(), old)

    def test_folder_removed_by_the_command(self) -> None:
        result = self.run_spoc(self.target, "rm", "-r", str(self.target.parent), code=125)
        self.assertTrue(shown(result.stderr))


class Trapped(FilesCase):
    """What other users may have laid on the way to a file, or at its place."""

    STRANGER = 1234

    def setUp(self) -> None:
        super().setUp()
        self.strangers = self.folder / "strangers"
        self.strangers.mkdir()
        os.chown(self.strangers, self.STRANGER, self.STRANGER)
        self.precious = self.folder / "precious"
        self.precious.mkdir()

    def link(self, name: str, destination: object, owner: int = STRANGER) -> pathlib.Path:
        path = self.strangers / name
        path.symlink_to(str(destination))
        os.chown(path, owner, owner, follow_symlinks=False)
        return path

    def test_folder_that_is_a_link_of_a_stranger(self) -> None:
        """Neither the link's owner nor that of its folder may lead to what is another's, in one step or several."""
        (self.precious / "sub").mkdir()
        links = [self.link("absolute", self.precious), self.link("relative", "../precious"),
                 self.link("roots", self.precious, 0), self.link("nested", "absolute"),
                 self.link("deep", "../precious/sub")]
        for link in [*links, links[0] / "sub", links[0] / ".." / "precious"]:
            with self.subTest(link=link):
                self.assert_refused(link / "profile.yaml", "is a link of user 1234 to what is not that user's")
                result = support.spoc("run", "-p", str(support.DATA / "docker-default.json"), "--events",
                                      str(link / "events"), "true")
                self.assertIn("is a link of user 1234", result.stderr)
                self.assertEqual(result.returncode, 125)
        self.assertEqual(sorted(os.listdir(self.precious)), ["sub"])
        self.assertEqual(os.listdir(self.precious / "sub"), [])

    def test_link_in_a_folder_for_all(self) -> None:
        """In one like /tmp the link's own owner counts."""
        os.chown(self.strangers, 0, 0)
        self.strangers.chmod(0o1777)
        self.assert_refused(self.link("his", self.precious) / "profile.yaml", "is a link of user 1234")
        self.run_spoc(self.link("ours", self.precious, 0) / "profile.yaml")
        self.assertEqual(os.listdir(self.precious), ["profile.yaml"])

    def test_links_that_lead_to_nobody_else(self) -> None:
        own = self.folder / "his own"
        own.mkdir()
        os.chown(own, self.STRANGER, self.STRANGER)
        for link in (self.link("to his own", own), self.link("up and down", "../his own")):
            self.run_spoc(link / "profile.yaml")
            self.assertEqual(os.listdir(own), ["profile.yaml"])
            (own / "profile.yaml").unlink()

    def test_links_that_lead_nowhere(self) -> None:
        loop = self.folder / "loop"
        loop.symlink_to(loop)
        self.assert_refused(loop / "profile.yaml", "Too many levels of symbolic links")
        (self.folder / "file").touch()
        (self.folder / "to a file").symlink_to(self.folder / "file")
        self.assert_refused(self.folder / "to a file" / "profile.yaml", "Not a directory")

    def test_links_of_a_process(self) -> None:
        """Those in /proc lead where their text does not."""
        self.run_spoc(f"/proc/{os.getpid()}/root{self.target}")
        self.run_spoc("/proc/self/cwd/profile.yaml", cwd=self.target.parent)
        self.no_litter()

    def test_folder_that_is_swapped(self) -> None:
        """Whoever swaps a folder for a link all the time never gets root to write behind it."""
        support.require_command("setpriv")
        swap = ("import ctypes, os\nlibc = ctypes.CDLL(None)\nos.mkdir('way')\nos.symlink('../precious', 'other')\n"
                "while True: libc.renameat2(-100, b'way', -100, b'other', 2)")  # RENAME_EXCHANGE
        process = subprocess.Popen(["setpriv", f"--reuid={self.STRANGER}", f"--regid={self.STRANGER}", "--clear-groups",
                                    "/usr/bin/python3", "-c", swap], cwd=self.strangers)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.wait_for((self.strangers / "other").is_symlink, "the folder")
        script = ("import sys; sys.path.insert(0, sys.argv[1]); import spoc\nwritten = refused = 0\n"
                  "while written < 300 or refused < 300:\n"
                  "    try:\n        with spoc.Target(sys.argv[2], any_content=True) as target: target.write('x')\n"
                  "        written += 1\n"
                  "    except spoc.SpocError: refused += 1\n")
        subprocess.run([sys.executable, "-c", script, str(support.ROOT), str(self.strangers / "way" / "profile.yaml")],
                       check=True, timeout=WAIT_S)
        self.assertEqual(os.listdir(self.precious), [])

    def test_folder_that_is_moved(self) -> None:
        """The profile stays with its folder, and where that is now is told."""
        moved = self.folder / "moved"
        result = self.run_spoc(self.target, "mv", str(self.target.parent), str(moved))
        self.assertIn(f"Wrote seccomp profile to: {moved / self.target.name}\n", result.stderr)
        self.assertTrue(yaml_names((moved / self.target.name).read_text()))

    def at_default(self, lay: Callable[[pathlib.Path], object], command: str = "record -n",
                   program: str = "./spoc.py", cwd: pathlib.Path = support.ROOT) -> "subprocess.CompletedProcess[str]":
        """Record to the default path, in a /tmp of our own in which something has been laid; if it fails that stays."""
        tmp = self.folder / "tmp"
        shutil.rmtree(tmp, True)
        tmp.mkdir()
        tmp.chmod(0o1777)
        lay(tmp / "profile.yaml")
        before = [(path.name, path.lstat().st_ino) for path in tmp.iterdir()]
        # The program may be below the /tmp that is hidden then: it is reached as the working folder.
        script = f"mount --bind {tmp} /tmp && exec {sys.executable} {program} {command} touch /tmp/started"
        result = subprocess.run(["unshare", "-m", "--propagation", "private", "sh", "-c", script], cwd=cwd,
                                check=False, timeout=WAIT_S, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                text=True)
        if result.returncode:
            self.assertEqual([(path.name, path.lstat().st_ino) for path in tmp.iterdir()], before)
        return result

    def test_default_path(self) -> None:
        """Nobody named it: what is there has to be a regular file of ours."""
        def socket_at(path: pathlib.Path) -> None:
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(str(path))

        def regular(path: pathlib.Path, owner: int) -> None:
            path.write_text(OLD)
            os.chown(path, owner, owner)

        def device(path: pathlib.Path) -> None:
            os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))

        traps: List[Callable[[pathlib.Path], object]] = [
            os.mkfifo, lambda path: path.symlink_to(self.precious / "profile"), socket_at, device]
        for lay in traps:
            error = self.at_default(lay)
            self.assertEqual(error.returncode, 125, error.stderr)
            self.assertRegex(error.stderr, r" Error: write profile: /tmp/profile.yaml: it is not a regular file; "
                                           r"remove it, or choose another file with -o\n\Z")
        for good in (lambda path: None, lambda path: regular(path, 0)):
            result = self.at_default(good)
            self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(os.listdir(self.precious), [])

    def test_default_path_that_is_another_user_s(self) -> None:
        """Anybody may put it into /tmp: then the working folder has it, for record as for run, which is said."""
        def strange(path: pathlib.Path) -> None:
            path.write_text(OLD)
            os.chown(path, self.STRANGER, -1)
            for name in ("spoc.py", "recorder.bpf.o"):
                shutil.copy(support.SPOC if name == "spoc.py" else support.OBJECT, path.parent / name)

        here = self.folder / "here"
        here.mkdir()
        for command, text in (("record -n", "writing to profile.yaml instead"),
                              ("run", "reading profile.yaml instead")):
            result = self.at_default(strange, command, program="/tmp/spoc.py", cwd=here)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertRegex(result.stderr,
                             rf" Warning: /tmp/profile.yaml belongs to another user \(1234\): {text}\n")
            self.assertIn("utimensat", yaml_names((here / "profile.yaml").read_text()))
            if command == "record -n":
                text = (here / "profile.yaml").read_text()
                (here / "profile.yaml").write_text(text.replace("names:\n", "names:\n        - execve\n", 1))
        (here / "profile.yaml").unlink()
        (here / "profile.yaml").symlink_to(self.precious / "profile")
        self.assertEqual(self.at_default(strange, "record -n", program="/tmp/spoc.py", cwd=here).returncode, 125)
        self.assertEqual(os.listdir(self.precious), [])

    def test_default_path_that_others_may_write(self) -> None:
        """Whoever may write the profile decides what the command may do."""
        def regular(path: pathlib.Path, mode: int, owner: int = 0) -> None:
            path.write_text('{"defaultAction": "SCMP_ACT_ALLOW"}')
            path.chmod(mode)
            os.chown(path, owner, -1)

        for mode, owner, reason in ((0o664, 0, "others may write to it"), (0o646, 0, "others may write to it"),
                                    (0o644, self.STRANGER, r"belongs to another user \(1234\)")):
            error = self.at_default(lambda path: regular(path, mode, owner), "run --enricher none")
            self.assertEqual(error.returncode, 125, error.stderr)
            self.assertRegex(error.stderr, rf" Error: read profile: /tmp/profile.yaml: {reason}; [^\n]+\n\Z")
        result = self.at_default(lambda path: regular(path, 0o644), "run --enricher none")
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_devices_are_no_profiles(self) -> None:
        for path in ("/dev/null", "/dev/zero"):
            result = support.spoc("run", "-p", path, "--", "touch", str(self.started))
            self.assertEqual(result.returncode, 125, result.stderr)
            self.assertRegex(result.stderr, f" Error: read profile: {path}: is not a regular file; [^\n]+\n\\Z")
        self.assertFalse(self.started.exists())

    def test_fifo_that_becomes_a_link(self) -> None:
        """Of a stranger, meanwhile: what it leads to gets nothing, and the profile goes to standard error."""
        self.target = self.strangers / "profile.yaml"
        os.mkfifo(self.target)
        os.mkfifo(self.precious / "fifo")
        reader = os.open(self.precious / "fifo", os.O_RDWR | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        result = self.run_spoc(self.target, "sh", "-c", f"rm {self.target}; ln -s {self.precious}/fifo {self.target}",
                               code=125)
        self.assertIn(f"Error: write profile: {self.target}: ", result.stderr)
        with self.assertRaises(BlockingIOError):
            os.read(reader, 1)

    def test_fifo_that_becomes_a_file(self) -> None:
        """Of a stranger, meanwhile: it may be another name of a file that is not the stranger's."""
        self.target = self.strangers / "profile.yaml"
        os.mkfifo(self.target)
        (self.precious / "file").write_text(OLD)
        result = self.run_spoc(self.target, "sh", "-c", f"rm {self.target}; ln {self.precious}/file {self.target}",
                               code=125)
        self.assertIn(f"Error: write profile: {self.target}: it has become a regular file meanwhile; ", result.stderr)
        self.assertTrue(shown(result.stderr))
        self.assertEqual((self.precious / "file").read_text(), OLD)

    def test_sticky_folder(self) -> None:
        """There another user's file cannot be replaced (sticky, inode(7)), which is known before the command begins."""
        support.require_command("setpriv")
        copy = self.folder / "spoc.py"
        shutil.copy(support.SPOC, copy)
        copy.chmod(0o644)
        self.strangers.chmod(0o1777)
        os.chown(self.strangers, 0, 0)
        self.target = self.strangers / "profile.yaml"
        for owner, code in ((self.STRANGER, 125), (0, 125), (65534, 0)):
            self.target.write_text(OLD)
            self.target.chmod(0o666)
            os.chown(self.target, owner, owner)
            result = subprocess.run(
                ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs", sys.executable,
                 str(copy), "record", "-n", "--backend", "notify", "-o", str(self.target), "--", "touch",
                 str(self.strangers / "started")],
                stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=WAIT_S, check=False)
            self.assertEqual(result.returncode, code, result.stderr)
            self.assertEqual((self.strangers / "started").exists(), not code)
            if code:
                self.assertIn("another user's, in a folder with the sticky bit", result.stderr)
                self.assertEqual(self.target.read_text(), OLD)


class Interrupted(FilesCase):
    """A signal at any syscall between the making of a file and its last name leaves nothing beside the target."""

    # Answers EOPNOTSUPP to openat with O_TMPFILE, as file systems do that know no files without a name.
    NAMED = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["openat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95, "args": [
            {"index": 2, "op": "SCMP_CMP_MASKED_EQ", "value": os.O_TMPFILE, "valueTwo": os.O_TMPFILE}]}]}
    CALL = re.compile(r"^(fchmod|fsync|linkat|renameat|unlinkat)\(", re.MULTILINE)

    def trace(self, wrapper: List[str], *options: str) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run([*wrapper, "strace", "-o", str(self.folder / "log"), *options, sys.executable,
                               str(support.SPOC), "merge", "-o", str(self.target),
                               str(support.DATA / "spo-baseprofile-runc.yaml")],
                              check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, timeout=WAIT_S)

    def check(self, wrapper: List[str]) -> None:
        self.assertEqual(self.trace(wrapper).returncode, 0)
        new = self.target.read_text()
        found = self.CALL.findall((self.folder / "log").read_text())
        self.assertIn("renameat", found)
        signals = itertools.cycle(["SIGTERM", "SIGHUP", "SIGQUIT"])
        for call, signum in zip(sorted(set(found)), signals):
            self.target.write_text(OLD)
            self.trace(wrapper, "-e", f"inject={call}:signal={signum}:when={found.count(call)}")
            self.no_litter()
            self.assertIn(self.target.read_text(), (OLD, new))
            self.assertTrue(f"--- {signum}" in (self.folder / "log").read_text(), call)

    def test_without_a_name(self) -> None:
        support.require_command("strace")
        self.check([])

    def test_with_a_name(self) -> None:
        support.require_command("strace")
        profile = self.folder / "named.json"
        profile.write_text(json.dumps(self.NAMED))
        self.check([sys.executable, str(support.SPOC), "run", "-q", "-p", str(profile), "--enricher", "none", "--"])


class SameFile(FilesCase):
    """What is written is neither read nor written twice, by whatever path."""

    def setUp(self) -> None:
        super().setUp()
        self.profile = self.folder / "a"
        shutil.copy(support.DATA / "docker-default.json", self.profile)
        self.other = self.folder / "b"
        self.other.write_text('{"defaultAction": "SCMP_ACT_ALLOW"}')
        (self.folder / "c").write_text("".join(
            "---\napiVersion: security-profiles-operator.x-k8s.io/v1beta1\nkind: SeccompProfile\n"
            f"metadata: {{name: {name}}}\nspec: {{defaultAction: SCMP_ACT_ALLOW}}\n" for name in ("one", "two")))
        (self.folder / "link").symlink_to("a")
        (self.folder / "here").symlink_to(".")
        os.link(self.profile, self.folder / "hard")
        os.mkfifo(self.folder / "fifo")

    def refused(self, *arguments: str, paths: Tuple[str, ...] = ("a", "./a", "here/a", "link", "hard")) -> None:
        """Wrong usage, nothing touched; {} stands for paths of the file `a`."""
        before = {path.name: (path.lstat().st_ino, path.lstat().st_size) for path in self.folder.iterdir()}
        for path in paths:
            words = [word.format(path) for word in arguments]
            with self.subTest(words=words):
                result = support.spoc(*words, cwd=self.folder)
                self.assertEqual(result.returncode, 2, result.stderr)
                self.assertRegex(result.stderr, r" Error: usage: (-o|--events|--learn|--html) .*: it is the file that "
                                                r".* names; choose another file\n\Z")
                after = {path.name: (path.lstat().st_ino, path.lstat().st_size) for path in self.folder.iterdir()}
                self.assertEqual(before, after)

    def test_run(self) -> None:
        self.refused("run", "-p", "a", "--events", "{}", "touch", "started")
        self.refused("run", "-p", "b", "--base-profile", "a", "--events", "{}", "touch", "started")
        self.refused("run", "-p", "b", "--base-profile", "a", "--learn", "{}", "touch", "started")
        self.refused("run", "-p", "b", "--base-profile", "c#one", "--events", "{}", "touch", "started",
                     paths=("c", "here/c"))
        self.refused("run", "-p", "b", "--audit-log", "a", "--events", "{}", "touch", "started")
        self.refused("run", "-p", "b", "--learn", "a", "--events", "{}", "touch", "started")
        self.refused("run", "-p", "b", "--learn", "new", "--events", "{}", "touch", "started",
                     paths=("new", "./new", "here/new"))
        self.refused("run", "-p", "b", "--learn", "fifo", "--events", "{}", "touch", "started", paths=("./fifo",))
        self.refused("run", "-p", "b", "--learn", "-", "--events", "-", "touch", "started", paths=("",))

    def test_the_program_itself(self) -> None:
        """By whatever path, and where PATH leads to it."""
        self.profile.write_text("#!/bin/sh\n")
        self.profile.chmod(0o755)
        self.refused("record", "-o", "{}", "./a")
        self.refused("record", "--append", "-o", "{}", str(self.profile))
        self.refused("run", "-p", "b", "--learn", "{}", "./a")
        self.refused("run", "-p", "b", "--events", "{}", "./a")
        with unittest.mock.patch.dict(os.environ, {"PATH": f"{self.folder}:{os.environ['PATH']}"}):
            self.refused("record", "-o", "{}", "a")
            self.refused("record", "-o", "{}", "-t", "raw-seccomp", "a", "b")

    def test_show(self) -> None:
        self.refused("show", "--html", "{}", "a")

    def test_convert(self) -> None:
        """To what no command reads: the profile would be gone."""
        for words in (("-t", "systemd"), ("-t", "bpf"), ("-t", "pfc")):
            self.refused("convert", *words, "-o", "{}", "a")
            self.refused("convert", *words, "-o", "a", "{}", paths=("./a", "here/a", "link", "hard"))
        self.refused("convert", "-t", "systemd", "-o", "{}", "c#one", paths=("c", "here/c"))

    def test_what_is_allowed(self) -> None:
        for words in (("run", "-q", "-p", "b", "--learn", "b", "true"), ("merge", "-o", "b", "b", "b"),
                      ("convert", "-t", "raw-seccomp", "-o", "b", "b"),
                      ("run", "-q", "-p", "b", "--learn", "/dev/null", "--events", "/dev/null", "true")):
            self.assertEqual(support.spoc(*words, cwd=self.folder).returncode, 0, words)

    def test_nothing_is_touched_before_the_command_has_begun(self) -> None:
        events = self.folder / "events"
        for old in ('{"time": 1}\n', None):
            if old:
                events.write_text(old)
            result = support.spoc("run", "-p", str(self.other), "--events", str(events), "./missing", cwd=self.folder)
            self.assertEqual(result.returncode, 127)
            self.assertEqual(events.read_text() if old else events.exists(), old or False)
            if old:
                events.unlink()
        events.write_text('{"time": 1}\n')
        self.assertEqual(support.spoc("run", "-p", str(self.other), "--events", str(events), "true").returncode, 0)
        self.assertEqual(events.read_text(), "")


class Names(FilesCase):
    """What a file is called says what is written there, if nothing else does."""

    def test_type(self) -> None:
        for name, options, is_json, warned in (
                ("a.json", (), True, False), ("a.JSON", (), True, False), ("a.yaml", (), False, False),
                ("a.yml", (), False, False), ("a", (), False, False), ("a.profile", (), False, False),
                ("a.json", ("-t", "seccomp"), False, True), ("a.yaml", ("-t", "raw-seccomp"), True, True),
                ("a", ("-t", "raw-seccomp"), True, False), ("a.json", ("-t", "raw-seccomp"), True, False)):
            with self.subTest(name=name, options=options):
                path = self.folder / name
                for words in (("record", "-n", *options, "-o", str(path), "true"),
                              ("merge", *options, "-o", str(path), str(path)),
                              ("convert", *(options or () if path.suffix.lower() in (".json", ".yaml", ".yml") else
                                            options or ("-t", "seccomp")), "-o", str(path), str(path))):
                    result = support.spoc(*words)
                    self.assertEqual(result.returncode, 0, result.stderr)
                    self.assertEqual(path.read_text().startswith("{"), is_json, words)
                    warnings = re.findall(rf" Warning: {path} is named like (?:JSON|YAML), but gets (?:JSON|YAML)\n",
                                          result.stderr)
                    self.assertEqual(len(warnings), warned, result.stderr)
                path.unlink()

    def test_type_of_what_is_added_to(self) -> None:
        """The file's own, whatever its name; -t that says otherwise is an error."""
        path = self.folder / "a.json"
        path.write_text("defaultAction: SCMP_ACT_ERRNO\n")
        self.run_spoc(path, "true", options=("--append",))
        self.assertIn("defaultAction: SCMP_ACT_ERRNO\n", path.read_text())
        path.write_text("apiVersion: security-profiles-operator.x-k8s.io/v1beta1\nkind: SeccompProfile\n"
                        "metadata: {name: mine}\nspec: {defaultAction: SCMP_ACT_ERRNO}\n")
        result = self.run_spoc(path, "true", options=("--append",))
        self.assertIn("name: mine", path.read_text())
        self.assertIn("is named like JSON, but gets YAML", result.stderr)
        result = self.run_spoc(path, "true", options=("--append", "-t", "raw-seccomp"), code=125)
        self.assertIn("is not of type raw-seccomp; it is of type seccomp: leave -t out", result.stderr)

    def test_learned(self) -> None:
        profile, learned = self.folder / "profile.json", self.folder / "learned.yaml"
        profile.write_text('{"defaultAction": "SCMP_ACT_ALLOW"}')
        result = support.spoc("run", "-p", str(profile), "--learn", str(learned), "true")
        self.assertIn(f" Warning: {learned} is named like YAML, but gets JSON\n", result.stderr)

    def test_converted_without_a_type(self) -> None:
        profile = self.folder / "profile.json"
        profile.write_text('{"defaultAction": "SCMP_ACT_ALLOW"}')
        for options in ((), ("-o", str(self.folder / "drop-in.profile"))):
            result = support.spoc("convert", *options, str(profile))
            self.assertEqual(result.returncode, 2)
            self.assertRegex(result.stderr, r"give -t, one of seccomp, [^\n]*pfc; see \S+ convert --help\n$")
        result = support.spoc("convert", "-t", "docker", "-o", str(self.folder / "x.yaml"), str(profile))
        self.assertIn("is named like YAML, but gets JSON", result.stderr)
        result = support.spoc("convert", "-t", "docker", "-o", str(self.folder / "x.json"), str(profile))
        self.assertEqual((result.returncode, result.stderr), (0, ""))

    def test_drop_in(self) -> None:
        """.conf is a drop-in, which systemd takes by no other name; to add to what stands there, or -t, comes first."""
        path, profile = self.folder / "drop-in.CONF", self.folder / "profile.json"
        profile.write_text('{"defaultAction": "SCMP_ACT_ALLOW"}')
        words: Tuple[str, ...]
        for words in (("record", "-o", str(path), "true"), ("convert", "-o", str(path), str(profile))):
            result = support.spoc(*words)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertTrue(path.read_text().startswith("[Service]\n"))
            self.assertNotIn("is named like", result.stderr)
            path.unlink()
        for words, text in ((("record", "-t", "seccomp", "-o", str(path), "true"), "YAML"),
                            (("record", "--append", "-o", str(path), "true"), "YAML"),
                            (("merge", "-o", str(path), str(profile)), "JSON")):
            result = support.spoc(*words)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertIn(f" Warning: {path} is named like a drop-in, but gets {text}\n", result.stderr)
            path.unlink()

    def test_page(self) -> None:
        path = self.folder / "page.html"
        result = self.run_spoc(path, "true")
        self.assertIn(f" Warning: {path} is named like HTML, but gets YAML; spoc.py show --html makes a page of a "
                      "profile\n", result.stderr)
        self.assertTrue(path.read_text().startswith("apiVersion:"))
        result = support.spoc("show", "--html", str(path), str(support.DATA / "docker-default.json"))
        self.assertRegex(result.stderr, "page.html: [^\n]*; choose another file with --html, or remove it first\n\\Z" if
                         result.returncode else "\\A\\Z")

    def test_folder(self) -> None:
        """Of --containers: a new one is not called like a file."""
        for name in ("a.json", "a.yaml", "a.conf"):
            result = support.spoc("record", "--containers", "-o", name, cwd=self.folder)
            self.assertEqual(result.returncode, 2, result.stderr)
            self.assertIn(f"-o {name}: it is named like a file, and each container has a profile of its own; name a "
                          "folder", result.stderr)
            self.assertFalse((self.folder / name).exists())
        (self.folder / "file.json").touch()
        result = support.spoc("record", "--containers", "-o", "file.json/", cwd=self.folder)
        self.assertIn("Not a directory", result.stderr)

    def test_names_of_objects(self) -> None:
        """JSON has none, and what is added to keeps its own."""
        path = self.folder / "a.json"
        for words in (("record", "-o", str(path), "--name", "mine", "touch", str(self.started)),
                      ("record", "-t", "raw-seccomp", "-o", "-", "--name", "mine", "touch", str(self.started)),
                      ("merge", "-o", str(path), "--name", "mine", str(support.DATA / "docker-default.json"))):
            result = support.spoc(*words)
            self.assertEqual((result.returncode, result.stdout), (2, ""), result.stderr)
            self.assertIn("--name mine: a profile in JSON has no name; leave it out", result.stderr)
        self.run_spoc(self.target, "true", options=("--name", "mine"))
        self.run_spoc(self.target, "true", options=("--append", "--name", "mine"))
        result = self.run_spoc(self.target, options=("--append", "--name", "other"), code=2)
        self.assertIn(f"--name other: {self.target} has the name mine; leave it out", result.stderr)
        self.assertFalse(path.exists() or self.started.exists())

    def test_documents(self) -> None:
        """FILE#NAME is for reading: no new file comes of it, and nobody is told to write there."""
        text = "".join(f"---\napiVersion: security-profiles-operator.x-k8s.io/v1beta1\nkind: SeccompProfile\n"
                       f"metadata: {{name: {name}}}\nspec: {{defaultAction: SCMP_ACT_ALLOW}}\n" for name in ("a", "b"))
        self.target.write_text(text)
        for words in (("record", "-o", f"{self.target}#a", "true"),
                      ("record", "--append", "-o", f"{self.target}#a", "true"),
                      ("merge", "-o", f"{self.target}#a", f"{self.target}#b"),
                      ("convert", "-t", "docker", "-o", f"{self.target}#a", f"{self.target}#b"),
                      ("run", "-p", f"{self.target}#a", "--learn", f"{self.target}#a", "true"),
                      ("show", "--html", f"{self.target}#a", f"{self.target}#b")):
            result = support.spoc(*words)
            self.assertEqual((result.returncode, result.stdout), (125, ""), result.stderr)
            self.assertRegex(result.stderr, r"that is a document in \S+, and files are written whole; choose another "
                                            r"file with (-o|--learn|--html)\n$")
        result = support.spoc("record", "--append", "-o", str(self.target), "true")
        self.assertRegex(result.stderr, r"holds 2 documents, [^\n]*; append to a file that holds one profile\n$")
        self.assertEqual(self.target.read_text(), text)
        self.no_litter()
        other = self.folder / "odd#name.yaml"  # a name like any other where no file ends before it
        self.run_spoc(other, "true")
        self.assertTrue(other.exists())


class Unread(FilesCase):
    """A pipe that nobody reads holds up neither the command nor the signals that are for it."""

    def setUp(self) -> None:
        super().setUp()
        self.profile = self.folder / "deny.json"
        self.profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["getpriority"], "action": "SCMP_ACT_ERRNO"}]}))
        self.fifo = self.folder / "fifo"
        os.mkfifo(self.fifo)

    def run_with(self, program: str, *options: str) -> "subprocess.Popen[str]":
        return self.launch(sys.executable, str(support.SPOC), "run", "-q", "-p", str(self.profile), *options, "--",
                           sys.executable, "-c", program, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                           stderr=subprocess.PIPE, text=True)

    def hold(self) -> int:
        """Open the fifo for reading, and never read."""
        descriptor = os.open(self.fifo, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, descriptor)
        fcntl.fcntl(descriptor, 1031, 4096)  # F_SETPIPE_SZ
        return descriptor

    # Each of these comms makes an event of its own.
    MANY = ("import os\nfor number in range(200):\n    open('/proc/self/comm', 'w').write(str(number))\n"
            "    try: os.getpriority(0, 0)\n    except OSError: pass\n")

    def test_events(self) -> None:
        self.hold()
        process = self.run_with(self.MANY + f"open({str(self.started)!r}, 'w')\nimport time\ntime.sleep({WAIT_S})",
                                "--events", str(self.fifo), "--enricher", "notify")
        self.wait_for(self.started.exists, "the command, which must not wait for a reader")
        process.terminate()
        _, stderr = process.communicate(timeout=WAIT_S / 2)
        self.assertEqual(process.returncode, 125)
        self.assertIn("not all blocked calls may be known: events could not be written: nobody reads them", stderr)

    def test_events_at_the_end(self) -> None:
        """What waits is written at last, to whoever reads late."""
        descriptor = self.hold()
        process = self.run_with(self.MANY + f"open({str(self.started)!r}, 'w')", "--events", str(self.fifo),
                                "--enricher", "notify")
        self.wait_for(self.started.exists, "the command")
        os.set_blocking(descriptor, True)
        with open(descriptor, closefd=False, encoding="utf-8") as file:
            comms = {json.loads(line)["comm"] for line in file}
        self.assertEqual(comms, set(map(str, range(200))))
        self.assertEqual(process.wait(WAIT_S), 0)

    def test_names_of_descriptors(self) -> None:
        """As -o takes them; a link of the same meaning is a link."""
        program = "import os\ntry: os.getpriority(0, 0)\nexcept OSError: pass"
        for name in ("/dev/stdout", "/dev/fd/1", "-"):
            result = support.spoc("run", "-q", "-p", str(self.profile), "--events", name, sys.executable, "-c", program)
            self.assertEqual(json.loads(result.stdout)["name"], "getpriority", name)
        (self.folder / "link").symlink_to("fifo")
        result = support.spoc("run", "-p", str(self.profile), "--events", str(self.folder / "link"), "true")
        self.assertRegex(result.stderr, "link: is a symbolic link; choose another file with --events\n\\Z")

    def test_remedy_names_the_option(self) -> None:
        learn = ("run", "-q", "-p", str(self.profile), "--learn", "/dev/full", "--force", sys.executable, "-c",
                 "import os; os.sched_yield()")
        self.assertIn("choose another file with --learn\n", support.spoc(*learn).stderr)

    def test_learn(self) -> None:
        for signum in (signal.SIGTERM, signal.SIGHUP):
            process = self.run_with(f"open({str(self.started)!r}, 'w')", "--learn", str(self.fifo))
            self.wait_for(self.started.exists, "the command")
            self.started.unlink()
            self.wait_for(lambda: "nanosleep" in pathlib.Path(f"/proc/{process.pid}/wchan").read_text(), "the wait")
            process.send_signal(signum)
            self.assertEqual(process.wait(WAIT_S), -signum)


class Streams(FilesCase):
    """Fifos, devices and open descriptors are written to directly."""

    def test_fifo(self) -> None:
        os.mkfifo(self.target)
        found: List[str] = []
        reader = threading.Thread(target=lambda: found.append(self.target.read_text()), daemon=True)
        reader.start()
        process = self.start("-o", str(self.target), "--", "touch", str(self.started), stderr=subprocess.PIPE)
        _, stderr = process.communicate(timeout=WAIT_S)
        self.assertEqual(process.returncode, 0, stderr)
        reader.join(WAIT_S)
        self.assertEqual(len(found), 1)
        self.assertTrue(yaml_names(found[0]))
        self.assertTrue(stat.S_ISFIFO(self.target.lstat().st_mode))
        self.assertTrue(self.started.exists())
        self.no_litter()

    def test_fifo_that_is_read_late(self) -> None:
        """Only once it is written to, as in `spoc.py record -o FIFO CMD; cat FIFO` with the first in the background."""
        os.mkfifo(self.target)
        process = self.start("-o", str(self.target), "--", "true", stderr=subprocess.PIPE)
        assert process.stderr
        while f" Waiting 10 s for a reader of {self.target}\n" not in process.stderr.readline():
            self.assertIsNone(process.poll())
        self.assertTrue(yaml_names(self.target.read_text()))
        self.assertIn(f"Wrote seccomp profile to: {self.target}\n", process.communicate(timeout=WAIT_S)[1])
        self.assertEqual(process.returncode, 0)

    def test_fifo_that_nobody_reads(self) -> None:
        os.mkfifo(self.target)
        result = self.run_spoc(self.target, "true", code=125)
        self.assertIn(f" Waiting 10 s for a reader of {self.target}\n", result.stderr)
        self.assertIn(f" Error: write profile: {self.target}: it is a fifo that nobody reads; choose another file with "
                      "-o\n", result.stderr)
        self.assertTrue(shown(result.stderr))

    def test_null(self) -> None:
        before = os.stat("/dev/null")
        self.run_spoc("/dev/null")
        after = os.stat("/dev/null")
        self.assertTrue(self.started.exists())
        self.assertEqual((after.st_mode, after.st_rdev, after.st_ino), (before.st_mode, before.st_rdev, before.st_ino))

    def test_standard_output(self) -> None:
        for target in ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"):
            with self.subTest(target=target):
                result = self.run_spoc(target, "sh", "-c", "echo one; printf two >&2; printf 'three\\n'")
                output, mark, profile = result.stdout.partition("apiVersion:")
                self.assertEqual(output, "one\nthree\n")
                self.assertIn("write", yaml_names(mark + profile))
                self.assertTrue(profile.endswith("\nstatus: {}\n"))
                self.assertIn("two", result.stderr)

    def test_standard_output_as_json(self) -> None:
        result = self.run_spoc("-", "true", options=("-t", "raw-seccomp"))
        self.assertEqual(list(json.loads(result.stdout)), ["defaultAction", "architectures", "syscalls"])

    def test_standard_output_to_a_file(self) -> None:
        """A file that standard output has been pointed at is neither truncated nor replaced."""
        path = self.folder / "output"
        path.write_text("before\n")
        inode = path.stat().st_ino
        for target in ("-", "/dev/stdout"):
            with open(path, "a", encoding="utf-8") as file:
                self.run_spoc(target, "echo", "hello", stdout=file)
        self.assertEqual(path.stat().st_ino, inode)
        first, *profiles = re.split("(?m)^hello\n", path.read_text())
        self.assertEqual(first, "before\n")
        self.assertEqual(len(profiles), 2)
        for profile in profiles:
            self.assertTrue(yaml_names(profile))

    def test_closed_pipe(self) -> None:
        """Nobody reads standard output: an error, and no traceback."""
        read_end, write_end = os.pipe()
        os.close(read_end)
        with open(write_end, "wb") as file:
            result = self.run_spoc("-", "true", stdout=file, code=125)
        self.assertIn("Broken pipe", result.stderr)
        self.assertNotIn("Traceback", result.stderr)

    def test_standard_error(self) -> None:
        for target in ("/dev/stderr", "/dev/fd/2"):
            result = self.run_spoc(target, "sh", "-c", "echo out")
            self.assertEqual(result.stdout, "out\n")
            self.assertTrue(yaml_names(LOG_LINE.sub("", result.stderr)))

    def test_numbered_descriptor(self) -> None:
        read_end, write_end = os.pipe()
        try:
            self.run_spoc(f"/dev/fd/{write_end}", "true", pass_fds=[write_end])
        finally:
            os.close(write_end)
        with open(read_end, encoding="utf-8") as file:
            self.assertTrue(yaml_names(file.read()))

    def test_closed_standard_descriptors(self) -> None:
        """No file of spoc.py's takes the place of a closed descriptor: nothing but the profile is in the profile."""
        for closing in ("<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-"):
            self.target.unlink(missing_ok=True)
            self.started.unlink(missing_ok=True)
            with self.subTest(closing=closing):
                result = self.run_closed(closing, "-v", "-o", str(self.target), "--", "touch", str(self.started))
                self.assertEqual(result.returncode, 0, result.stderr)
                self.assertTrue(yaml_names(self.target.read_text()))
                self.assertTrue(self.started.exists())
                self.no_litter()

    def test_closed_standard_input_and_profile_on_output(self) -> None:
        result = self.run_closed("<&- 2>&-", "-o", "-", "--", "echo", "hello")
        self.assertEqual(result.returncode, 0)
        output, mark, profile = result.stdout.partition("apiVersion:")
        self.assertEqual(output, "hello\n")
        self.assertTrue(yaml_names(mark + profile))


class NoProfile(FilesCase):
    """What is neither empty nor a profile is refused by all that write, and stays; what they wrote is replaced."""

    CRD: Dict[str, Any] = {
        "apiVersion": "security-profiles-operator.x-k8s.io/v1beta1", "kind": "SeccompProfile",
        "metadata": {"name": "mine"}, "spec": {"defaultAction": "SCMP_ACT_ERRNO"}}
    OTHERS = {  # what it is -> (what it holds, why it is refused)
        "hosts": (b"127.0.0.1 localhost\n", "it is no profile"),
        "program": (b"\x7fELF\2\1\1" + bytes(64), "it is no profile"),
        "letters": ("caf\u00e9 defaultAction".encode("latin-1"), "it is no profile"),
        "deployment": (b"apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: x\n", "it is no profile"),
        "bundle": (json.dumps({"ociVersion": "1.0.0", "linux": {"seccomp": {"defaultAction": "SCMP_ACT_ERRNO"}}}
                              ).encode(), "it is no profile: "),
        "broken": (b'{"defaultAction": "SCMP_ACT_ERRNO",\n', "it is no profile: 2:1: "),
        "list": (("---\n" + yaml.safe_dump(CRD)).encode() * 2, "it holds several documents, which would be lost"),
        "ours and more": ((yaml.safe_dump(CRD, sort_keys=False) + "---\nkind: Service\n").encode(),
                          "it holds several documents, which would be lost"),
        "drop-in": (b"[Service]\nSystemCallFilter=\nEnvironment=A=1\n", "it is no profile"),
        "drop-in with remarks": (b"[Service]\nSystemCallFilter=\n# why this is so\n", "it is no profile"),
        "ours, its end, and more": ((yaml.safe_dump(CRD, sort_keys=False) + "...\nkind: Service\n").encode(),
                                    "it holds several documents, which would be lost"),
        "ours and another": (b'{\n  "defaultAction": "SCMP_ACT_ERRNO"\n}\n{"other": 1}\n', "it is no profile: "),
        "page": (b"<!DOCTYPE html>\n<title>seccomp</title>\n", "it is no profile"),
        "large": (b"#" + bytes(17 << 20), "it is no profile, being larger than 4 MiB")}

    def setUp(self) -> None:
        super().setUp()
        self.profile = self.folder / "other.yaml"
        self.profile.write_text(yaml.safe_dump(self.CRD))

    def writers(self, path: object) -> "Dict[str, Tuple[str, ...]]":
        """Commands that write there, by the option that names the file."""
        name, profile = str(path), str(self.profile)
        return {"record -o": ("record", "-n", "-o", name, "touch", str(self.started)),
                "merge -o": ("merge", "-t", "seccomp", "-o", name, profile),
                "convert -o": ("convert", "-t", "raw-seccomp", "-o", name, profile),
                "run --learn": ("run", "-p", profile, "--learn", name, "touch", str(self.started)),
                "show --html": ("show", "--html", name, profile)}

    def test_stays(self) -> None:
        for what, (content, reason) in self.OTHERS.items():
            self.target.write_bytes(content)
            before = self.target.stat()
            for words, arguments in self.writers(self.target).items():
                with self.subTest(what=what, command=words):
                    result = support.spoc(*arguments)
                    self.assertEqual(result.returncode, 125, result.stderr)
                    hint = f"; choose another file with {words.split()[1]}, or remove it first"
                    self.assertRegex(result.stderr.splitlines()[-1], rf"Error: write profile: {self.target}: "
                                     rf"{re.escape(reason)}.*{re.escape(hint)}$")
                    self.assertEqual((result.stdout, self.started.exists()), ("", False))
                    self.assertEqual(self.target.read_bytes() == content, True)
                    self.assertEqual(self.target.stat().st_ino, before.st_ino)
        self.no_litter()

    def test_has_come_meanwhile(self) -> None:
        """What a command writes where the profile goes stays, and the profile goes beside it."""
        self.target = self.target.with_name("it's later.yaml")
        script = 'printf "%s" "$0" >"$1"'
        for number, content in enumerate(("precious\n", yaml.safe_dump(dict(self.CRD, kind="Other"))), 1):
            if number == 2:
                self.target.write_text("")
            result = self.run_spoc(self.target, "sh", "-c", script, content, str(self.target), code=125)
            self.assertEqual(self.target.read_text(), content)
            beside = pathlib.Path(f"{self.target}.{number}")
            remedy = re.search(f"Error: write profile: {re.escape(str(self.target))}: it is no profile.*, so the "
                               f"profile went to {re.escape(str(beside))}; (mv .*) replaces it$", result.stderr,
                               re.MULTILINE)
            assert remedy, result.stderr
            command = remedy[1]
            self.assertNotIn("apiVersion:", result.stderr)
            self.assertIn("write", yaml_names(beside.read_text()))
        self.no_litter(self.target.name, *(f"{self.target.name}.{number}" for number in (1, 2)))
        subprocess.run(["sh", "-c", command], check=True)
        self.assertIn("write", yaml_names(self.target.read_text()))

    def test_has_come_meanwhile_without_names(self) -> None:
        """Also where a file has its name from the start."""
        with unittest.mock.patch.object(spoc.Target, "_create_unnamed", return_value=0), \
                spoc.Target(str(self.target)) as target:
            self.target.write_text("precious\n")
            with self.assertRaises(spoc.ReplaceError):
                target.write("profile")
        self.assertEqual(self.target.read_text(), "precious\n")
        self.no_litter()

    def test_profile_that_has_come_meanwhile_is_replaced(self) -> None:
        for content in (yaml.safe_dump(self.CRD), ""):
            self.run_spoc(self.target, "sh", "-c", 'printf "%s" "$0" >"$1"', content, str(self.target))
            self.assertIn("openat", yaml_names(self.target.read_text()))
            self.target.unlink()
        nested = (sys.executable, str(support.SPOC), "record", "-n", "--backend", "notify", "-o", str(self.target))
        self.run_spoc(self.target, *nested, "true")
        self.assertIn("seccomp", yaml_names(self.target.read_text()))  # of the outer recording
        self.no_litter()

    def test_learned_meanwhile(self) -> None:
        """run --learn shows what it could not write, as ever."""
        result = support.spoc("run", "-p", str(self.profile), "--learn", str(self.target), "sh", "-c",
                              f"echo precious >'{self.target}'")
        self.assertEqual(self.target.exists() and self.target.read_text(), "precious\n", result.stderr)

    def test_is_replaced(self) -> None:
        """Nothing, blanks, a profile in any layout, and what these commands have written themselves."""
        comment = "# mine\n" + yaml.safe_dump(self.CRD)
        oci = "defaultAction: SCMP_ACT_LOG\nsyscalls:\n- names: [read]\n  action: SCMP_ACT_ALOW\n"  # a typing error
        for content in ("", " \n\n", comment, oci, json.dumps(self.CRD), json.dumps(
                {"kind": "List", "apiVersion": "v1", "items": [self.CRD]})):
            for arguments in self.writers(self.target).values():
                with self.subTest(content=content, arguments=arguments):
                    self.target.write_text(content)
                    result = support.spoc(*arguments)
                    self.assertEqual(result.returncode, 0, result.stderr)
                    self.assertNotEqual(self.target.read_text(), content)

    def test_what_was_written_is_replaced(self) -> None:
        support.spoc("record", "-qo", str(self.profile), "--args", "ioctl", "-b", "execve", "true")
        written: List[Sequence[str]] = [
            ("convert", "-t", kind, "-o", str(self.target), str(self.profile))
            for kind in spoc.CONVERT_TYPES if kind != "systemd"]
        written += [*self.writers(self.target).values(), ("record", "-t", "systemd", "-o", str(self.target), "true")]
        for one, other in zip(written, written[1:] + written[:1]):
            for arguments in (one, one, other):
                result = support.spoc(*arguments)
                self.assertEqual(result.returncode, 0, (arguments, result.stderr))

    def test_a_link_is_replaced_and_not_followed(self) -> None:
        other = self.folder / "hosts"
        other.write_bytes(self.OTHERS["hosts"][0])
        self.target.symlink_to(other)
        self.run_spoc(self.target)
        self.assertTrue(yaml_names(self.target.read_text()))
        self.assertEqual(other.read_bytes(), self.OTHERS["hosts"][0])

    def test_events(self) -> None:
        events, run = self.folder / "events", ("run", "-q", "-p", str(self.profile))
        self.profile.write_text('{"defaultAction": "SCMP_ACT_ALLOW"}')
        for content, code in (("127.0.0.1 localhost\n", 125), ('{"time": 1}\n', 0), ("", 0)):
            events.write_text(content)
            result = support.spoc(*run, "--events", str(events), "touch", str(self.started))
            self.assertEqual(result.returncode, code, result.stderr)
            self.assertEqual(events.read_text(), content if code else "")
            self.assertEqual(self.started.exists(), not code)
            if code:
                self.assertRegex(result.stderr, rf"Error: write events: {events}: it holds something else than events; "
                                                "remove it first, or choose another file with --events\n")


class Append(FilesCase):
    """--append: what is in the file stays there."""

    CRD = """\
# Written by hand.
apiVersion: security-profiles-operator.x-k8s.io/v1
kind: SeccompProfile
metadata:
  name: by-hand
  annotations:
    description: "keep: this"  # and this
spec:
  defaultAction: SCMP_ACT_ERRNO
  architectures:
  - SCMP_ARCH_X86_64
  - SCMP_ARCH_AARCH64
  flags: [SECCOMP_FILTER_FLAG_LOG]
  syscalls:
  # Not without a reason.
  - action: SCMP_ACT_KILL_PROCESS
    names: [getsid]
  - action: SCMP_ACT_ALLOW
    names:
    - uname
"""

    def test_no_file_yet(self) -> None:
        self.run_spoc(self.target, *calling("getsid"), options=("--append",))
        self.assertIn("getsid", yaml_names(self.target.read_text()))

    def test_union(self) -> None:
        for profile_type in ("seccomp", "raw-seccomp"):
            target = self.target.with_suffix("." + profile_type)
            sets: List["set[str]"] = []
            told: List[str] = []
            for name in ("getpriority", "sync"):
                result = self.run_spoc(target, *calling(name), options=("-t", profile_type, "--append"))
                told += re.findall(r"(?m)^\S+ (Added .*)$", result.stderr)
                document = yaml.safe_load(target.read_text())
                rules = document.get("spec", document)["syscalls"]
                self.assertEqual(len(rules), 1)
                self.assertEqual(rules[0]["names"], sorted(set(rules[0]["names"])))
                sets.append(set(rules[0]["names"]))
            self.assertEqual(sets[1] - sets[0], {"sync"})
            self.assertEqual(told, ["Added 1 syscall: sync"])
            self.assertGreater(sets[1], sets[0])
            text = target.read_text()
            result = self.run_spoc(target, *calling("sync"), options=("-t", profile_type, "--append"))
            self.assertEqual(target.read_text(), text)
            self.assertRegex(result.stderr, rf"(?m)^\S+ Added nothing to: {re.escape(str(target))}$")
            self.assertNotIn("Wrote seccomp profile", result.stderr)

    def test_says_what_was_added(self) -> None:
        """With its conditions, as diff says it of the two profiles; what a checkpoint has written is in it."""
        before, options = self.target.with_name("before.json"), ("-t", "raw-seccomp", "--append", "--args", "socket")
        script = "import socket, time; socket.socket(socket.AF_{}); time.sleep({})"
        self.run_spoc(self.target, sys.executable, "-c", script.format("UNIX", 0), options=options)
        before.write_bytes(self.target.read_bytes())
        result = self.run_spoc(self.target, sys.executable, "-c", script.format("INET", 1.5),
                               options=(*options, "--checkpoint", "1"))
        told = re.findall(r"(?m)^\S+ Added (\d+) syscalls?: (.*)$", result.stderr)
        lines = support.spoc("diff", str(before), str(self.target)).stdout.splitlines()[2:]
        self.assertEqual(["+" + text for text in told[0][1].split(", ")], lines)
        self.assertEqual(int(told[0][0]), len({line.split()[0] for line in lines}))
        self.assertTrue(any(line.startswith("+socket if args[0] & 0xffffffff == 0x2") for line in lines), lines)

    def test_an_architecture_that_was_added(self) -> None:
        program = support.build("call.c", "-m32", "-static") if support.ON_X86_64 else ""
        support.require(program, "a machine that runs programs for another")
        self.run_spoc(self.target, "true")
        result = self.run_spoc(self.target, program, options=("--append",))
        self.assertRegex(result.stderr, r"(?m)^\S+ Added .*; the architecture SCMP_ARCH_X86$")

    def test_base_syscalls(self) -> None:
        self.run_spoc(self.target, "true")
        result = support.spoc("record", "--append", "-b", "pivot_root,sync", "-o", str(self.target), "--", "true")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertGreater(yaml_names(self.target.read_text()), {"pivot_root", "sync", "brk"})

    def test_all_else_is_kept(self) -> None:
        self.target.write_text(self.CRD)
        result = self.run_spoc(self.target, *calling("getsid", "getpriority"), options=("--append",))
        text = self.target.read_text()
        names = yaml_names(text)
        self.assertGreater(names, {"uname", "getpriority", "brk"})
        self.assertNotIn("getsid", names)
        kept = [line for line in result.stderr.splitlines() if "getsid" in line and "Got syscalls" not in line]
        self.assertEqual(len(kept), 1, result.stderr)
        before, after = yaml.safe_load(self.CRD), yaml.safe_load(text)
        for document in (before, after):
            del document["spec"]["syscalls"][1], document["spec"]["architectures"]
        self.assertEqual(after, before)
        lines = iter(text.splitlines())
        self.assertEqual([line for line in self.CRD.splitlines() if line not in lines], [], "a line is gone")

    def test_json_with_more_than_names(self) -> None:
        old: Dict[str, Any] = {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38,
                               "architectures": ["SCMP_ARCH_ARM"], "flags": []}
        old["syscalls"] = [
            {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]},
            {"names": ["sync"], "action": "SCMP_ACT_LOG", "comment": "caf\u00e9"},
            {"names": ["uname"], "action": "SCMP_ACT_ALLOW"}]
        self.target.write_text(json.dumps(old), encoding="utf-8")
        result = self.run_spoc(self.target, *calling("sync", "getsid"), options=("-t", "raw-seccomp", "--append"))
        self.assertRegex(result.stderr, r"(?m)^\S+ Added .*; the architecture SCMP_ARCH_X86_64$")
        new = json.loads(self.target.read_text())
        self.assertEqual(new["syscalls"][:2], old["syscalls"][:2])
        self.assertGreater(set(new["syscalls"][2]["names"]), {"uname", "getsid", "brk"})
        self.assertNotIn("sync", new["syscalls"][2]["names"])
        self.assertEqual(new["architectures"][0], "SCMP_ARCH_ARM")
        for key in ("defaultAction", "defaultErrnoRet", "flags"):
            self.assertEqual(new[key], old[key])

    def test_docker_default(self) -> None:
        text = (support.DATA / "docker-default.json").read_text(encoding="utf-8")
        self.target.write_text(text, encoding="utf-8")
        self.run_spoc(self.target, "true", options=("-t", "raw-seccomp", "--append"))
        old, new = json.loads(text), json.loads(self.target.read_text())
        rules, new_rules = old.pop("syscalls"), new.pop("syscalls")
        self.assertTrue(new == old, "more than rules has changed")
        # arch_prctl is allowed under a condition only, so that it is new.
        added = [(set(new_rule["names"]) - set(rule["names"])) for rule, new_rule in zip(rules, new_rules)
                 if new_rule != rule]
        self.assertEqual((len(new_rules), added), (len(rules), [{"arch_prctl"}]))

    def test_a_profile_that_is_not_enabled(self) -> None:
        """It can be completed; run refuses it."""
        self.run_spoc(self.target, "true")
        text = self.target.read_text().replace("spec:\n", "spec:\n  state: Disabled\n")
        self.target.write_text(text)
        self.run_spoc(self.target, *calling("getpriority"), options=("--append",))
        self.assertIn("getpriority", yaml_names(self.target.read_text()))
        self.assertIn("  state: Disabled\n", self.target.read_text())

    def test_mode_and_owner_of_a_replaced_file(self) -> None:
        self.run_spoc(self.target, "true")
        os.chmod(self.target, 0o600)
        self.run_spoc(self.target, "true", options=("--append",), umask=0o022)
        self.assertEqual(stat.S_IMODE(self.target.stat().st_mode) & ~0o644, 0)
        self.no_litter()

    def test_wrong_type(self) -> None:
        for written, asked in (("seccomp", "raw-seccomp"), ("raw-seccomp", "seccomp")):
            self.run_spoc(self.target, "true", options=("-t", written))
            text = self.target.read_bytes()
            self.assert_refused(self.target, "-t", options=("-t", asked, "--append"))
            self.assertEqual(self.target.read_bytes(), text)
            self.no_litter()

    def test_damaged_file(self) -> None:
        for data, place in (
            (b"\x00", ":1:1"), (b"kind: SeccompProfile\nspec: [\n", ":3:1"), (b"a: b\n", ""),
            (b"kind: SeccompProfile\nspec: @x\n", ":2:7"), (b"{", ":1:2"), (b"\xff", ":1:1"),
            (OLD.encode() * 2, ":2:1"), (b"kind: Pod\nspec: {defaultAction: a}\n", ""),
            (b"kind: SeccompProfile\nspec:\n  defaultAction: a\n  syscalls: [1]\n", ""),
            (b"kind: SeccompProfile\nspec:\n  defaultAction: a\n  syscalls: [{action: b, names: [1]}]\n", ""),
            (OLD.encode() + b"sycalls: []\n", ":2:1: sycalls: unknown key"),
        ):
            with self.subTest(data=data):
                self.target.write_bytes(data)
                self.assert_refused(self.target, f"{self.target}{place}", options=("--append",))
                self.assertEqual(self.target.read_bytes(), data)
                self.no_litter()

    def test_not_through_a_link(self) -> None:
        victim = self.folder / "victim"
        self.run_spoc(victim, "true")
        text = victim.read_text()
        self.target.symlink_to(victim)
        self.assert_refused(self.target, "symbolic link", options=("--append",))
        self.assertEqual(victim.read_text(), text)
        self.assertTrue(self.target.is_symlink())

    def test_no_list_yet(self) -> None:
        """The first names find their place, and comments keep theirs."""
        crd = self.CRD[:self.CRD.index("  syscalls:")] + "# The end.\n"
        for text in (crd, crd.replace("\n", "\r\n"), crd.replace("  architectures", "  # b\n  architectures")):
            self.target.write_bytes(text.encode())
            result = self.run_spoc(self.target, *calling("getpriority"), options=("--append", "-q"))
            self.assertEqual(result.stderr, "")
            written = self.target.read_bytes().decode()
            self.assertIn("getpriority", yaml_names(written))
            lines = iter(written.splitlines())
            self.assertEqual([line for line in text.splitlines() if line not in lines], [], "a line is gone")
        self.target.write_text("{apiVersion: security-profiles-operator.x-k8s.io/v1, kind: SeccompProfile,"
                               " spec: {defaultAction: SCMP_ACT_ERRNO}} # why\n")
        result = self.run_spoc(self.target, "true", options=("--append", "-q"))
        self.assertEqual(result.stderr, "")
        written = self.target.read_text()
        self.assertTrue(written.endswith("} # why\n"), written)
        self.assertIn("brk", yaml_names(written))

    def test_damaged_by_the_command(self) -> None:
        self.run_spoc(self.target, "true")
        result = self.run_spoc(self.target, "sh", "-c", f"echo '[' > {self.target}", options=("--append",), code=125)
        self.assertEqual(self.target.read_text(), "[\n")
        self.assertTrue(shown(result.stderr))

    def test_folder_is_locked(self) -> None:
        """Anyone who can read the folder can hold its lock: then nothing is written over, and nothing is lost."""
        self.target = self.target.with_name("it's a profile.yaml")
        self.run_spoc(self.target, "true")
        old = self.target.read_text()
        folder = os.open(self.target.parent, os.O_RDONLY)
        self.addCleanup(os.close, folder)
        fcntl.flock(folder, fcntl.LOCK_EX)
        for number in (1, 2):
            result = self.run_spoc(self.target, "true", options=("--append", "-q"), code=125)
            beside = f"{self.target}.{number}"
            self.assertIn(f"Error: append to: {self.target}: another process has its folder locked, so the profile "
                          f"went to {beside}; spoc.py merge -o ", result.stderr)
            self.assertEqual(self.target.read_text(), old)
            self.assertIn("brk", yaml_names(pathlib.Path(beside).read_text()))
        self.no_litter(self.target.name, self.target.name + ".1", self.target.name + ".2")
        fcntl.flock(folder, fcntl.LOCK_UN)
        remedies = re.findall(r"; spoc\.py (merge .*) adds it$", result.stderr, re.MULTILINE)
        pathlib.Path(beside).write_text(pathlib.Path(beside).read_text().replace("- brk", "- brk\n        - tee"))
        subprocess.run(["sh", "-c", f"exec {sys.executable} {support.SPOC} {remedies[0]}"], check=True)
        self.assertLessEqual({"brk", "tee"}, yaml_names(self.target.read_text()))

    def test_recordings_at_the_same_time(self) -> None:
        """None loses what another has added meanwhile."""
        self.run_spoc(self.target, "true")
        processes = [self.start("--append", "-o", str(self.target), "--", *calling(name)) for name in CALL]
        for process in processes:
            self.assertEqual(process.wait(WAIT_S), 0)
        self.assertGreater(yaml_names(self.target.read_text()), {*CALL, "brk"})
        self.no_litter()


class Checkpoint(FilesCase):
    """--checkpoint: a power cut costs what was recorded since."""

    def test_killed(self) -> None:
        trigger = self.folder / "trigger"
        program = (f"import os, time\n{CALL['getpriority']}\n"
                   f"while not os.path.exists({str(trigger)!r}): time.sleep(0.05)\n"
                   f"{CALL['sync']}\ntime.sleep({2 * WAIT_S})")
        log = open(self.folder / "log", "w+", encoding="utf-8")
        self.addCleanup(log.close)
        process = self.start("--checkpoint", "1", "-o", str(self.target), "--", sys.executable, "-c", program,
                             stderr=log)
        self.wait_for(lambda: "Running command with PID: " in (self.folder / "log").read_text(), "the command")
        pid = int((self.folder / "log").read_text().split("Running command with PID: ")[1].split()[0])
        self.addCleanup(os.kill, pid, signal.SIGKILL)
        self.wait_for(self.target.exists, "the first checkpoint")
        self.wait_for(lambda: "getpriority" in yaml_names(self.target.read_text()), "a checkpoint with the first call")
        self.assertNotIn("sync", yaml_names(self.target.read_text()))
        trigger.touch()
        self.wait_for(lambda: "sync" in yaml_names(self.target.read_text()), "a checkpoint with the second call")
        process.kill()
        process.wait(WAIT_S)
        self.assertGreater(yaml_names(self.target.read_text()), {"getpriority", "sync", "brk"})
        self.no_litter()

    def test_append(self) -> None:
        self.run_spoc(self.target, *calling("getsid"))
        process = self.start("--checkpoint", "1", "--append", "-o", str(self.target), "--", sys.executable, "-c",
                             f"import os, sys; {CALL['sync']}; sys.stdin.read()", stderr=subprocess.PIPE)
        _, stderr = process.communicate(timeout=WAIT_S)
        self.assertEqual(process.returncode, 0, stderr)
        self.assertGreater(yaml_names(self.target.read_text()), {"getsid", "sync"})

    def test_folder_is_locked(self) -> None:
        """Anyone can hold the lock: no checkpoint waits for it; the end does, and writes to another file."""
        folder = os.open(self.target.parent, os.O_RDONLY)
        self.addCleanup(os.close, folder)
        fcntl.flock(folder, fcntl.LOCK_EX)
        program = ("import os, time\nlongest = 0\nend = time.monotonic() + 3\nwhile time.monotonic() < end:\n"
                   "    start = time.monotonic()\n    os.getsid(0)\n"
                   "    longest = max(longest, time.monotonic() - start)\nassert longest < 1.5, longest")
        result = self.run_spoc(self.target, sys.executable, "-c", program,
                               options=("--checkpoint", "1", "--append", "-q", "--backend", "notify"), code=125)
        self.assertEqual(result.stderr.count("another process has its folder locked"), 1, result.stderr)
        self.assertIn("getsid", yaml_names(pathlib.Path(f"{self.target}.1").read_text()))
        self.no_litter(self.target.name + ".1")

    def test_the_same_is_not_written_again(self) -> None:
        """Flash wears out: a checkpoint without a new syscall leaves the file alone."""
        command = spoc.RecordCommand(spoc.RecordOptions(output_file=str(self.target), checkpoint=1), ("true",))
        inodes = []
        with spoc.Supervisor() as supervisor, spoc.BpfRecorder(command.machine) as recorder:
            recorder.load()
            recorder.attach()
            for recorded in calling(), calling(), calling("getsid"):
                with spoc.Child(recorded, None, supervisor) as child:
                    recorder.begin(child)
                    child.wait_started({})
                    self.assertEqual(child.wait({}), (0, None))
                command._checkpoint(recorder)
                inodes.append(self.target.stat().st_ino)
        command.target.close()
        self.assertEqual(inodes[0], inodes[1])
        self.assertNotEqual(inodes[1], inodes[2])
        self.assertIn("getsid", yaml_names(self.target.read_text()))

    def test_failed_checkpoint_does_not_end_the_command(self) -> None:
        target = self.mount_tmpfs("size=64k") / "profile.yaml"
        fill = target.parent / "fill"
        process = self.start("--checkpoint", "1", "-o", str(target), "--", "sh", "-c",
                             f"cat /dev/zero >{fill} 2>/dev/null; sleep 3; rm {fill}; exit 5", stderr=subprocess.PIPE)
        _, stderr = process.communicate(timeout=WAIT_S)
        self.assertEqual(process.returncode, 5, stderr)
        self.assertIn("No space left on device", stderr)
        self.assertTrue(yaml_names(target.read_text()))
        self.no_litter(folder=target.parent)
