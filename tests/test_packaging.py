# SPDX-License-Identifier: MIT
"""What makes packages of this project: `make deb`, and the recipes in examples/packaging for other distributions.

The package is installed in fresh trees of Debian by tests/trees.py (`make check-deb`). Here is what it holds, and that
every list of files, dependencies and versions agrees with spoc.py and with what `make install` puts in place.
"""

import email
import email.message
import io
import os
import pathlib
import re
import subprocess
import sys
import tarfile
from typing import Dict

import spoc
import support
from trees import copy_of_source

TIER = "pure"
PACKAGING = support.ROOT / "examples" / "packaging"
EPOCH_S = 1_700_000_000


def make(tree: pathlib.Path, *arguments: str, umask: int = 0o022, **environment: str) -> str:
    """What make prints there."""
    support.require_command("make")
    result = subprocess.run(["make", "-s", "-C", str(tree), f"PYTHON={sys.executable}", *arguments],
                            env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True, preexec_fn=lambda: os.umask(umask) and None)
    if result.returncode:
        raise RuntimeError(result.stdout)
    return result.stdout


def installed_files(folder: pathlib.Path, *targets: str) -> Dict[str, int]:
    """What targets of make put in place, with PREFIX=/usr: path -> mode."""
    tree = copy_of_source(folder / "installed", spoc.VERSION)
    make(tree, *targets, f"DESTDIR={folder}/root", "PREFIX=/usr")
    return {f"/{path.relative_to(folder / 'root')}": path.stat().st_mode & 0o7777
            for path in (folder / "root").rglob("*") if path.is_file()}


def needed_versions() -> Dict[str, str]:
    """The oldest Python, libseccomp and libbpf that spoc.py takes, by its own docstring."""
    needed = re.search(r"^Needed: Python ([\d.]+), libseccomp ([\d.]+);.* libbpf ([\d.]+),", str(spoc.__doc__), re.M)
    assert needed
    return dict(zip(("python", "libseccomp", "libbpf"), needed.groups()))


class Debian(support.Case):
    """The package of make deb."""

    def build(self, folder: str = "tree", umask: int = 0o022, **environment: str) -> pathlib.Path:
        support.require_command("dpkg-deb")
        tree = copy_of_source(self.folder / folder, spoc.VERSION)
        make(tree, "deb", umask=umask, **environment)
        return tree / f"dist/spoc_{spoc.VERSION}_all.deb"

    @staticmethod
    def members(package: pathlib.Path, part: str) -> Dict[str, tarfile.TarInfo]:
        """The files of the package's control or file system archive."""
        data = subprocess.run(["dpkg-deb", f"--{part}-tarfile", str(package)], stdout=subprocess.PIPE,
                              check=True).stdout
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            return {member.name.lstrip("."): member for member in tar}

    @staticmethod
    def control(package: pathlib.Path) -> "email.message.Message":
        return email.message_from_string(subprocess.run(["dpkg-deb", "--field", str(package)], stdout=subprocess.PIPE,
                                                        text=True, check=True).stdout)

    def test_same_bytes_anywhere(self) -> None:
        one = self.build(TZ="America/St_Johns", PYTHONHASHSEED="1")
        other = self.build("another-and-deeper/tree", umask=0o077, TZ="Asia/Tokyo", LC_ALL="C")
        self.assertEqual(one.read_bytes(), other.read_bytes())

    def test_files(self) -> None:
        """Those of make install and make install-docs, and what Debian asks for; all of root, of one date."""
        wanted = {f"{path}.gz" if "/man/" in path else path: mode
                  for path, mode in installed_files(self.folder, "install", "install-docs").items()}
        wanted.update({"/usr/share/doc/spoc/changelog.gz": 0o644, "/usr/share/doc/spoc/copyright": 0o644})
        package = self.build(SOURCE_DATE_EPOCH=str(EPOCH_S))
        members = self.members(package, "fsys")
        self.assertEqual({name: member.mode for name, member in members.items() if member.isfile()}, wanted)
        for name, member in members.items():
            self.assertTrue(member.isfile() or member.isdir() and member.mode == 0o755, name)
            self.assertEqual((member.uname, member.gname, member.mtime), ("root", "root", EPOCH_S), name)
        # Nothing runs when it is installed or removed.
        control = {name for name, member in self.members(package, "ctrl").items() if member.isfile()}
        self.assertEqual(control, {"/control", "/md5sums"})
        # Debian 11 reads no other compression that is as small.
        self.assertEqual(re.findall(rb"((?:control|data)\.tar\.\w+) +\d+ ", package.read_bytes()),
                         [b"control.tar.xz", b"data.tar.xz"])

    def test_examples_name_the_program(self) -> None:
        """Where it is installed: from each that says where it is."""
        installed_files(self.folder, "install-docs")
        examples = self.folder / "root/usr/share/doc/spoc/examples"
        named = [path for path in support.ROOT.glob("examples/*/*")
                 if path.is_file() and "/usr/local/bin/spoc" in path.read_text("utf-8")]
        self.assertGreater(len(named), 5)
        for path in named:
            text = path.read_text("utf-8").replace("/usr/local/bin/", "/usr/bin/")
            self.assertEqual((examples / path.relative_to(support.ROOT / "examples")).read_text("utf-8"), text)

    def test_control(self) -> None:
        fields = self.control(self.build())
        needed = needed_versions()
        self.assertEqual((fields["Package"], fields["Version"], fields["Architecture"]), ("spoc", spoc.VERSION, "all"))
        self.assertEqual(fields["Depends"].split(", "), [
            f"python3 (>= {needed['python']})", f"libseccomp2 (>= {needed['libseccomp']})",
            f"libbpf1 | libbpf0 (>= 1:{needed['libbpf']})"])

    def test_changelog_has_the_version(self) -> None:
        support.require_command("dpkg-deb")
        tree = copy_of_source(self.folder / "tree", spoc.VERSION)
        changelog = tree / "examples/packaging/debian/changelog"
        changelog.write_text(changelog.read_text("utf-8").replace(f"({spoc.VERSION})", "(0.0.1)"), "utf-8")
        with self.assertRaisesRegex(RuntimeError, rf"changelog: no entry for version {re.escape(spoc.VERSION)}, "):
            make(tree, "deb")
        self.assertFalse((tree / "dist").exists())
