# SPDX-License-Identifier: MIT
"""Makes the one spoc.pyz that all machines of `make check-vm` are given, with the bytecode of several suites' Pythons.

Each of these runs on this machine, out of its unpacked packages, with its own C library.
"""

import functools
import pathlib
import shutil
import subprocess
import tempfile
import threading

import build

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SUITES = ("bullseye", "bookworm", "trixie")
LIBRARIES = ["libc6", "zlib1g", "libexpat1"]
LOCK = threading.Lock()


def unpack_python(suite: str, folder: pathlib.Path) -> pathlib.Path:
    """A command in that folder, which is new, that runs the Python of that suite."""
    architecture = subprocess.run(["dpkg", "--print-architecture"], stdout=subprocess.PIPE, text=True, check=True)
    names = [name for name in build.PACKAGES[suite].split() if "python" in name]
    folder.mkdir()
    build.CACHE.mkdir(parents=True, exist_ok=True)
    with build.locked(build.CACHE / "lock"):
        for path in build.Apt(suite, architecture.stdout.strip()).fetch([*names, *LIBRARIES]).values():
            subprocess.run(["dpkg-deb", "-x", str(path), str(folder)], check=True)
    loader, = folder.rglob("*-linux-gnu*/ld-linux*.so.*")
    python, = (folder / "usr/bin").glob("python3.*")
    command = folder / "python3"
    command.write_text(f'#!/bin/sh\nexec {loader} --library-path {loader.parent} {python} "$@"\n')
    command.chmod(0o755)
    return command


def archive() -> bytes:
    """The file, made once however many machines are built at the same time."""
    with LOCK:
        return make_archive()


@functools.lru_cache(maxsize=None)
def make_archive() -> bytes:
    """The file that `make dist PYTHONS=...` makes of what is here."""
    with tempfile.TemporaryDirectory(prefix="spoc-dist-") as name:
        folder = pathlib.Path(name).resolve()
        pythons = [str(unpack_python(suite, folder / suite)) for suite in SUITES]
        for part in ("bpf", "docs"):
            shutil.copytree(ROOT / part, folder / part)
        for part in ("Makefile", "spoc.py"):
            shutil.copy(ROOT / part, folder)
        subprocess.run(["make", "-s", "-C", str(folder), "dist", f"PYTHONS={' '.join(pythons)}"], check=True,
                       stdin=subprocess.DEVNULL)
        return (folder / "dist/spoc.pyz").read_bytes()
