#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Has the package of `make deb` checked by lintian, and installed, used, upgraded and purged in fresh trees of Debian.

usage: trees.py [RELEASE...]    (bullseye bookworm trixie, unless told otherwise)

Needs root, mmdebstrap, lintian, and an apt that reaches a mirror. The kernel is this machine's, Python and libraries
are the release's. The last line is `N passed, N failed, N skipped`.
"""

import concurrent.futures
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from typing import List, Sequence, Set

from support import ROOT

sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "vm")]

import build  # noqa: E402
import spoc  # noqa: E402

RELEASES = ("bullseye", "bookworm", "trixie")
STEPS = ("install", "use", "upgrade", "purge")
NEXT_VERSION = f"{spoc.VERSION}+1"
# What apt and dpkg themselves keep of what they did.
KEPT_BY_APT = ("var/cache/apt", "var/cache/ldconfig", "var/lib/apt", "var/lib/dpkg", "var/log")
# Nothing of this machine's environment but the way through a proxy.
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8",
               "DEBIAN_FRONTEND": "noninteractive",
               **{name: os.environ[name] for name in ("http_proxy", "https_proxy") if name in os.environ}}

ENTER = """
cd "$1"
shift
mount -t proc proc proc
mount --rbind /sys sys
mount --rbind /dev dev
exec chroot . "$@"
"""
# The command of the profile may make a folder and not remove one. Root's recording takes libbpf, nobody's libseccomp.
USE = """
cd "$(mktemp -d)"
spoc doctor
spoc record -q --backend bpf -o mkdir.yaml mkdir one
grep -qE 'mkdir(at)?$' mkdir.yaml
spoc run -q -p mkdir.yaml mkdir two
test -d two
if spoc run -p mkdir.yaml rmdir two >output 2>&1; then
    exit 1
fi
grep -qE 'Seccomp: (rmdir|unlinkat) .*comm: rmdir' output
test -d two
chmod 777 .
setpriv --reuid 65534 --regid 65534 --clear-groups \\
    spoc record -q --backend notify -b execve -o nobody.yaml mkdir three
grep -qE 'mkdir(at)?$' nobody.yaml
bash -c '. /usr/share/bash-completion/completions/spoc; complete -p spoc'
gzip -dc /usr/share/man/man1/spoc.1.gz | grep -q '^.TH SPOC'
test -s /usr/share/doc/spoc/docs/manual.md
grep -q '^ExecStart=/usr/bin/spoc ' /usr/share/doc/spoc/examples/systemd/record-service.service
rm -r "$PWD"
"""


class Failure(Exception):
    """A step did not do what it should: what was seen."""


def output_of(*command: str, **options: str) -> str:
    """What a command prints; Failure if it fails."""
    result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True, **options)  # type: ignore[call-overload]
    if result.returncode:
        raise Failure(f"{' '.join(command)[:200]} failed ({result.returncode}):\n{result.stdout[-3000:]}")
    return str(result.stdout)


def copy_of_source(folder: pathlib.Path, version: str) -> pathlib.Path:
    """The source as another version of it."""
    for name in ("bpf", "docs", "examples"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Makefile", "README.md", "spoc.py"):
        shutil.copy(ROOT / name, folder / name)
    source = folder / "spoc.py"
    text = source.read_text("utf-8").replace(f'\nVERSION = "{spoc.VERSION}"\n', f'\nVERSION = "{version}"\n')
    source.write_text(text, "utf-8")
    changelog = folder / "examples/packaging/debian/changelog"
    changelog.write_text(changelog.read_text("utf-8").replace(f"({spoc.VERSION})", f"({version})", 1), "utf-8")
    return folder


def make_package(source: pathlib.Path, version: str) -> pathlib.Path:
    output_of("make", "-s", "-C", str(source), "deb", f"PYTHON={sys.executable}")
    return source / "dist" / f"spoc_{version}_all.deb"


class Tree:
    """A fresh Debian in a folder."""

    def __init__(self, folder: pathlib.Path, release: str) -> None:
        self.path = folder / release
        sources = f"deb [signed-by={build.KEYRING}] {build.mirror()} {release} main\n"
        settings = folder / f"{release}.conf"
        own = output_of("apt-config", "dump").splitlines()
        settings.write_text("".join(f"{line}\n" for line in own if line.startswith(("Acquire::http", "Acquire::Retr"))))
        result = subprocess.run(["mmdebstrap", "--quiet", "--variant=apt", "--skip=cleanup/apt", f"--aptopt={settings}",
                                 release, str(self.path), "-"], input=sources, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True)
        if result.returncode:
            raise Failure(f"mmdebstrap {release}: {result.stdout[-1000:]}")
        for name in ("resolv.conf", "hosts"):
            shutil.copyfile(f"/etc/{name}", self.path / "etc" / name)

    def run(self, script: str) -> str:
        """What a script of the shell prints there."""
        return output_of("unshare", "--mount", "--propagation", "private", "sh", "-euc", ENTER, "sh", str(self.path),
                         "sh", "-euc", script, env=ENVIRONMENT)  # type: ignore[arg-type]

    def install(self, package: pathlib.Path) -> None:
        """With what it depends on, and no more."""
        shutil.copy(package, self.path / "srv")
        self.run("apt-get install -qy --no-install-recommends -o DPkg::Options::=--force-unsafe-io "
                 f"/srv/{package.name}")

    def own_files(self) -> Set[str]:
        """What the package alone brings: a folder may be other packages', too."""
        lists = {path.name: set(path.read_text().split("\n")) for path in self.path.glob("var/lib/dpkg/info/*.list")}
        own = lists.pop("spoc.list").difference(*lists.values())
        return {name.lstrip("/") for name in own}

    def files(self) -> Set[str]:
        """All paths but those where apt and dpkg keep their own records, and the packages themselves."""
        paths = (os.path.join(top, name) for top, folders, files in os.walk(self.path) for name in folders + files)
        names = (os.path.relpath(path, self.path) for path in paths)
        return {name for name in names if not name.startswith((*KEPT_BY_APT, "srv/"))}


def expect(found: object, wanted: object) -> None:
    if found != wanted:
        raise Failure(f"found {found}, and not {wanted}")


class Life:
    """The package in one release, step by step."""

    def __init__(self, folder: pathlib.Path, release: str, packages: Sequence[pathlib.Path]) -> None:
        self.packages = packages
        self.tree = Tree(folder, release)

    def install(self) -> None:
        self.tree.install(self.packages[0])
        self.others = self.tree.files() - self.tree.own_files()
        expect(self.tree.run("spoc version").splitlines()[0], f"spoc {spoc.VERSION}")
        expect(self.tree.run("cd /; md5sum -c --quiet /var/lib/dpkg/info/spoc.md5sums"), "")

    def use(self) -> None:
        self.tree.run(USE)

    def upgrade(self) -> None:
        self.tree.install(self.packages[1])
        expect(self.tree.run("spoc version").splitlines()[0], f"spoc {NEXT_VERSION}")
        self.tree.run(USE)

    def purge(self) -> None:
        self.tree.run("apt-get purge -qy spoc")
        expect(sorted(self.tree.files() ^ self.others), [])
        expect(list((self.tree.path / "var/lib/dpkg/info").glob("spoc.*")), [])


def check_release(folder: pathlib.Path, release: str, packages: Sequence[pathlib.Path]) -> int:
    """How many of STEPS passed; the first that fails is the last."""
    passed = 0
    try:
        began_s = time.monotonic()
        life = Life(folder, release, packages)
        print(f"{release}: built in {time.monotonic() - began_s:.0f} s", flush=True)
        for step in STEPS:
            began_s = time.monotonic()
            getattr(life, step)()
            print(f"{release}: {step} ok, {time.monotonic() - began_s:.0f} s", flush=True)
            passed += 1
    except (Failure, build.BuildError, OSError) as error:
        print(f"FAILED  {release}: {STEPS[passed]}: {error}", flush=True)
    return passed


def check_by_lintian(package: pathlib.Path) -> int:
    """1 if it finds no error and nothing to warn of."""
    try:
        found = output_of("lintian", "--fail-on=error,warning", "--allow-root", "--tag-display-limit=0", str(package))
        print(f"lintian: {found.strip() or 'nothing'}", flush=True)
        return 1
    except (Failure, OSError) as error:
        print(f"FAILED  {error}", flush=True)
        return 0


def main(releases: List[str]) -> int:
    releases = releases or list(RELEASES)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # or it would leave the trees behind
    with tempfile.TemporaryDirectory(prefix="spoc-trees-") as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        try:
            packages = [make_package(copy_of_source(folder / version, version), version)
                        for version in (spoc.VERSION, NEXT_VERSION)]
        except (Failure, OSError) as error:
            print(f"make deb: {error}\n0 passed, 1 failed, 0 skipped")
            return 1
        passed = check_by_lintian(packages[0])
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            passed += sum(pool.map(lambda release: check_release(folder, release, packages), releases))
    failed = 1 + len(releases) * len(STEPS) - passed
    print(f"{passed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
