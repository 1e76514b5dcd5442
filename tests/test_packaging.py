# SPDX-License-Identifier: MIT
"""What makes packages of this project: `make deb`, and the recipes in examples/packaging for other distributions.

The package is installed in fresh trees of Debian by tests/trees.py (`make check-deb`). Here is what it holds, and that
every list of files, dependencies and versions agrees with spoc.py and with what `make install` puts in place.
"""

import email
import email.message
import hashlib
import io
import itertools
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
from typing import Dict, List

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


def run_in(folder: pathlib.Path, *command: str, **environment: str) -> str:
    """What a command prints in a folder; an error if it fails."""
    result = subprocess.run(command, cwd=folder, env={**os.environ, **environment}, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True)
    if result.returncode:
        raise RuntimeError(result.stdout)
    return result.stdout


def run_make(folder: pathlib.Path, makefile: str, *arguments: str) -> str:
    """What make prints for a makefile of the test, which includes the recipe."""
    support.require_command("make")
    (folder / "test.mk").write_text(makefile)
    return run_in(folder, "make", "-s", "-f", "test.mk", *arguments)


# What of Buildroot the recipe depends on, with the dependencies of each as in Buildroot's own package/*/Config.in.
BUILDROOT_KCONFIG = """
config BR2_USE_MMU
    bool "mmu"
config BR2_USE_WCHAR
    bool "wchar"
config BR2_TOOLCHAIN_HAS_THREADS
    bool "threads"
config BR2_TOOLCHAIN_HAS_SYNC_4
    bool "sync"
config BR2_STATIC_LIBS
    bool "static"
config BR2_TOOLCHAIN_USES_UCLIBC
    bool "uclibc"
config BR2_TOOLCHAIN_USES_GLIBC
    bool "glibc"
config BR2_TOOLCHAIN_HEADERS_AT_LEAST_3_17
    bool "3.17"
config BR2_TOOLCHAIN_HEADERS_AT_LEAST_4_13
    bool "4.13"
config BR2_PACKAGE_LIBSECCOMP_ARCH_SUPPORTS
    bool "architecture"
config BR2_PACKAGE_LIBSECCOMP
    bool "libseccomp"
    depends on BR2_PACKAGE_LIBSECCOMP_ARCH_SUPPORTS && BR2_TOOLCHAIN_HEADERS_AT_LEAST_3_17
config BR2_PACKAGE_PYTHON3
    bool "python3"
    depends on BR2_USE_WCHAR && BR2_USE_MMU && BR2_TOOLCHAIN_HAS_THREADS && !BR2_STATIC_LIBS
config BR2_PACKAGE_LIBBPF
    bool "libbpf"
    depends on BR2_TOOLCHAIN_HAS_SYNC_4 && BR2_USE_WCHAR && !BR2_STATIC_LIBS && BR2_TOOLCHAIN_HAS_THREADS
    depends on BR2_TOOLCHAIN_HEADERS_AT_LEAST_4_13 && (BR2_TOOLCHAIN_USES_UCLIBC || BR2_TOOLCHAIN_USES_GLIBC)
"""
# BitBake's parser, with variables that its base class and bitbake.conf set; prints those of the recipe.
BITBAKE = """
import json, sys, types
for name in ("hashserv", "hashserv.client"):  # what shares build results
    sys.modules[name] = types.ModuleType(name)
import bb, bb.data_smart, bb.parse, bb.siggen
recipe, variables = sys.argv[1:]
data = bb.data_smart.DataSmart()
for name, value in json.loads(variables).items():
    data.setVar(name, value)
bb.parse.siggen = bb.siggen.init(data)
data.setVar("PN", bb.parse.vars_from_file(recipe, data)[0])
data.setVar("PV", bb.parse.vars_from_file(recipe, data)[1])
data = bb.parse.handle(recipe, data)[""]
names = "PV SRC_URI LIC_FILES_CHKSUM do_install RDEPENDS:spoc".split()
print(json.dumps({name: data.getVar(name) for name in names}))
"""


class Recipes(support.Case):
    """examples/packaging: what is for other distributions, each read and run by what can be had of its build system."""

    def setUp(self) -> None:
        super().setUp()
        self.tree = copy_of_source(self.folder / "source", spoc.VERSION)
        self.root = self.folder / "root"

    def assert_installed(self) -> None:
        """Under self.root is what make installs, and the program says where Python is."""
        found = {f"/{path.relative_to(self.root)}": path.stat().st_mode & 0o7777
                 for path in self.root.rglob("*") if path.is_file()}
        self.assertEqual(found, installed_files(self.folder / "wanted", "install"))
        with open(self.root / "usr/bin/spoc", "rb") as program:
            self.assertEqual(program.readline(), b"#!/usr/bin/python3\n")

    def named_in_the_table(self, distribution: str) -> List[str]:
        """The packages that docs/machines.md names for a distribution."""
        text = (support.ROOT / "docs/machines.md").read_text("utf-8")
        row = re.search(rf"(?m)^\|[^|]*\b{distribution}\b[^|]*\| (.*) \|$", text)
        assert row
        return re.findall(r"`([^`]+)`", row[1])

    def test_all_say_that_they_are_untried(self) -> None:
        readme = (PACKAGING / "README.md").read_text("utf-8")
        folders = sorted(path.name for path in PACKAGING.iterdir() if path.is_dir() and path.name != "debian")
        self.assertEqual(folders, ["alpine", "buildroot", "openwrt", "yocto"])
        for path in (path for name in folders for path in (PACKAGING / name).iterdir() if path.suffix != ".hash"):
            self.assertIn("ntried, see README.md", path.read_text("utf-8"), path)
            self.assertIn(f"\n- `{path.parent.name}/`: ", readme)
        self.assertIn(f"--prefix=spoc-{spoc.VERSION}/ -o spoc-{spoc.VERSION}.tar.gz HEAD", readme)

    @support.kernel_tier
    def test_alpine(self) -> None:
        """In BusyBox's shell and with its commands, as there, but for install, which Debian's BusyBox lacks."""
        support.require_command("busybox", "make")
        commands = self.folder / "bin"
        commands.mkdir()
        applets = run_in(self.folder, "busybox", "--list").split()
        for name in {*applets, "make", "install"}:
            (commands / name).symlink_to(str(shutil.which("busybox" if name in applets else name)))
        script = ('set -eu; . "$1"; cd "$2"; package >&2; '
                  'echo "$pkgname $pkgver"; echo $depends; echo $subpackages; echo $source; echo $arch')
        printed = subprocess.run(
            ["busybox", "sh", "-c", script, "sh", str(PACKAGING / "alpine/APKBUILD"), str(self.tree)], text=True,
            env={"PATH": str(commands), "pkgdir": str(self.root)}, stdout=subprocess.PIPE, check=True)
        lines = printed.stdout.splitlines()
        self.assertEqual(lines[0], f"spoc {spoc.VERSION}")
        self.assertEqual(lines[1].split(), self.named_in_the_table("Alpine"))
        self.assertEqual(lines[2:], ["spoc-doc spoc-bash-completion", f"spoc-{spoc.VERSION}.tar.gz", "noarch"])
        self.assert_installed()

    def test_buildroot(self) -> None:
        """What it would have make do. Buildroot runs that in the folder of its stamps, the source's."""
        recipe = PACKAGING / "buildroot/spoc.mk"
        variables = "SPOC_VERSION SPOC_SITE SPOC_DEPENDENCIES SPOC_LINUX_CONFIG_FIXUPS".split()
        printed = run_make(self.folder, f"""
TARGET_DIR = {self.root}
HOST_DIR = {pathlib.Path(sys.executable).parent.parent}
TOPDIR = /buildroot
BR2_PACKAGE_SPOC_BPF = y
KCONFIG_ENABLE_OPT = $(1)
include {recipe}
show: ; $(foreach name,{" ".join(variables)},$(info $(name) = $($(name))))
{self.tree}/.stamp_target_installed: ; $(SPOC_INSTALL_TARGET_CMDS)
""", "show", f"{self.tree}/.stamp_target_installed", f"PYTHON={sys.executable}")
        self.assertEqual(printed.splitlines()[:3], [
            f"SPOC_VERSION = {spoc.VERSION}", "SPOC_SITE = /buildroot/package/spoc",
            "SPOC_DEPENDENCIES = host-python3"])
        for option in ("CONFIG_SECCOMP_FILTER", "CONFIG_BPF_SYSCALL"):
            self.assertIn(option, printed)
        self.assert_installed()
        digest = hashlib.sha256((support.ROOT / "LICENSE").read_bytes()).hexdigest()
        self.assertIn(f"sha256  {digest}  LICENSE\n", (PACKAGING / "buildroot/spoc.hash").read_text())

    @support.kernel_tier
    def test_buildroot_options(self) -> None:
        """Kconfig warns where an option selects what it does not meet the dependencies of."""
        try:
            import kconfiglib
        except ImportError:
            support.require(False, "the package python3-kconfiglib")
        (self.folder / "Config.in").write_text(f"{BUILDROOT_KCONFIG}source \"{PACKAGING}/buildroot/Config.in\"\n")
        config = kconfiglib.Kconfig(str(self.folder / "Config.in"), warn_to_stderr=False)
        options = [option for option in config.unique_defined_syms if "_SPOC" not in option.name]
        packages = frozenset(self.named_in_the_table("Buildroot"))
        self.assertLessEqual(packages, {option.name for option in options})
        needed = [option for option in options if option.name not in packages]
        selected = set()
        for values in itertools.product((0, 2), repeat=len(needed)):
            for option, value in zip(needed, values):
                option.set_value(value)
            config.syms["BR2_PACKAGE_SPOC"].set_value(2)
            selected.add(frozenset(name for name in packages if config.syms[name].tri_value))
        self.assertEqual(config.warnings, [])
        self.assertEqual(selected, {frozenset(), packages - {"BR2_PACKAGE_LIBBPF"}, packages})

    def test_openwrt(self) -> None:
        """What it would have make do, with the variables that rules.mk and package.mk set."""
        for name in ("rules.mk", "include/package.mk", "feeds/packages/lang/python/python3-host.mk"):
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).touch()
        printed = run_make(self.folder, f"""
TOPDIR = {self.folder}
INCLUDE_DIR = $(TOPDIR)/include
PKG_BUILD_DIR = {self.tree}
PKG_INSTALL_DIR = {self.root}
HOST_PYTHON3_BIN = {sys.executable}
INSTALL_DIR = install -d -m0755
INSTALL_BIN = install -m0755
include {PACKAGING}/openwrt/Makefile
install: ; $(Build/Compile)
package: install ; $(call Package/spoc/install,{self.folder}/package)
$(eval $(Package/spoc))
$(info $(PKG_NAME) $(PKG_VERSION) $(PKG_SOURCE))
$(info $(DEPENDS))
""", "package").splitlines()
        self.assertEqual(printed[0], f"spoc {spoc.VERSION} spoc-{spoc.VERSION}.tar.gz")
        # Of the table, what is in brackets instead of the whole of Python.
        self.assertEqual([name.lstrip("+") for name in printed[1].split()], self.named_in_the_table("OpenWrt")[1:])
        self.assert_installed()
        package = self.folder / "package"
        self.assertEqual([str(path.relative_to(package)) for path in package.rglob("*") if path.is_file()],
                         ["usr/bin/spoc"])

    @support.kernel_tier
    def test_yocto(self) -> None:
        parser = support.ROOT / "build/bitbake-setup"
        if not parser.is_dir():
            self.skipTest("optional: needs PyPI's bitbake-setup, which tests/install.sh gets")
        for name in ("base", "python3native", "bash-completion"):
            (self.folder / "classes").mkdir(exist_ok=True)
            (self.folder / "classes" / f"{name}.bbclass").touch()
        variables = {"BBPATH": str(self.folder), "TOPDIR": str(self.folder), "FILESPATH": "", "__bbclasstype": "recipe",
                     "BP": "${PN}-${PV}", "prefix": "/usr", "bindir": "/usr/bin", "PYTHON": sys.executable,
                     "D": str(self.root)}
        recipe, = (PACKAGING / "yocto").glob("*.bb")
        read = json.loads(run_in(self.folder, sys.executable, "-B", "-c", BITBAKE, str(recipe), json.dumps(variables),
                                 PYTHONPATH=str(parser)))
        digest = hashlib.md5((support.ROOT / "LICENSE").read_bytes()).hexdigest()
        self.assertEqual((read["PV"], read["SRC_URI"], read["LIC_FILES_CHKSUM"]), (
            spoc.VERSION, f"file://spoc-{spoc.VERSION}.tar.gz", f"file://LICENSE;md5={digest}"))
        self.assertEqual(read["RDEPENDS:spoc"].split(), self.named_in_the_table("Yocto"))
        run_in(self.tree, "sh", "-euc", 'oe_runmake() { make "$@"; }\n' + read["do_install"])
        self.assert_installed()
