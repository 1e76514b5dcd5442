#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Which syscalls functions of libc make, by strace: tests/programs/functions.c under glibc of three releases, and musl.

Each call of a function is traced between two marks, with what it starts, up to an execve. Needs root, for a network and
files of its own: what a look-up of names does depends on them.

usage: functions.py COMPILER...    prints a line each of what the functions of these compilers' libcs make
       functions.py --write        measures all libcs anew, into tests/data/libc-calls.txt, which LIBC_CALLS of spoc.py
                                   is made from; fetches the packages of other releases
"""

import concurrent.futures
import contextlib
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import threading
from typing import Dict, List, Sequence, Set

from support import ROOT

SOURCE = ROOT / "tests" / "programs" / "functions.c"
TABLE = ROOT / "tests" / "data" / "libc-calls.txt"
SUITES = {"glibc-2.31": "bullseye", "glibc-2.36": "bookworm", "glibc-2.41": "trixie"}
I386 = "i386-glibc-2.36"
HEAD = "# libcs, function, its syscalls: written by tests/functions.py --write\n"
NEWER = {"syscall_0x1c4": "fchmodat2"}  # which strace of Debian 12 has no name for
MARK = re.compile(r"getpriority\(0x7e57\b")
CALL = re.compile(r"(\d+) +(\w+)\(")
FLAGS = "-Wall -Wextra -Werror -Wno-unused-result -Wno-unused-variable -Wno-deprecated-declarations".split()
LIBRARIES = ("-lpthread", "-lutil", "-ldl", "-lrt", "-lresolv")


# Mounts, a loopback, and /dev with room for a socket; then this program, once more.
PRIVATE = """
mount -t tmpfs tmpfs /mnt
for name in null zero full tty random urandom; do touch /mnt/$name; mount --bind /dev/$name /mnt/$name; done
mkdir /mnt/pts /mnt/shm /mnt/mqueue
mount --rbind /dev/pts /mnt/pts
ln -s pts/ptmx /mnt/ptmx
mount -t tmpfs tmpfs /mnt/shm
mount --move /mnt /dev
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
printf 'passwd: files\\ngroup: files\\nhosts: files dns\\nservices: files\\nprotocols: files\\n' >/tmp/nsswitch
printf 'nameserver 127.0.0.1\\n' >/tmp/resolv
printf '127.0.0.1 localhost\\n' >/tmp/hosts
for file in nsswitch resolv; do mount --bind /tmp/$file /etc/$file.conf; done
mount --bind /tmp/hosts /etc/hosts
ip link set lo up
exec "$@"
"""


def answer_names() -> None:
    """A name server that knows no name, and a log that takes all."""
    log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    log.bind("/dev/log")
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))

    def serve() -> None:
        while True:
            query, client = server.recvfrom(512)
            server.sendto(query[:2] + b"\x81\x83" + query[4:], client)
            log.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                log.recv(512)

    threading.Thread(target=serve, daemon=True).start()


def build(folder: pathlib.Path, compiler: str) -> pathlib.Path:
    """The program with a libc of this machine."""
    program = folder / f"functions-{compiler.replace(' ', '')}"
    subprocess.run([*compiler.split(), *FLAGS, "-o", str(program), str(SOURCE), *LIBRARIES], check=True,
                   stderr=subprocess.PIPE)
    return program


def build_with_suite(folder: pathlib.Path, suite: str) -> pathlib.Path:
    """The program with the glibc of another release of Debian, unpacked."""
    sys.path.insert(0, str(ROOT / "tests" / "vm"))
    import build as machine_build

    root = folder / suite
    names = "libc6 libc6-dev linux-libc-dev libcrypt1 libcrypt-dev libseccomp2".split()
    for path in machine_build.Apt(suite, "amd64").fetch(names).values():
        subprocess.run(["dpkg", "-x", str(path), str(root)], check=True)
    for name in ("lib", "lib64"):  # where /usr is merged, packages have no links for it
        if not (root / name).exists():
            (root / name).symlink_to(f"usr/{name}")
    for path in root.rglob("*.so*"):
        if path.is_symlink() and os.readlink(path).startswith("/"):
            target = os.path.relpath(f"{root}{os.readlink(path)}", path.parent.resolve())
            path.unlink()
            path.symlink_to(target)
    program = folder / f"functions-{suite}"
    libraries = f"{root}/lib/x86_64-linux-gnu:{root}/usr/lib/x86_64-linux-gnu"
    subprocess.run(["gcc", *FLAGS, f"--sysroot={root}", "-o", str(program), str(SOURCE), *LIBRARIES,
                    f"-B{root}/usr/lib/x86_64-linux-gnu", f"-L{root}/usr/lib/x86_64-linux-gnu",
                    f"-Wl,--dynamic-linker={root}/lib64/ld-linux-x86-64.so.2", f"-Wl,-rpath={libraries}",
                    f"-Wl,-rpath-link={libraries}", "-Wl,--disable-new-dtags"], check=True, stderr=subprocess.PIPE)
    return program


def functions(program: pathlib.Path) -> List[str]:
    """The functions that the program calls, but for the one that does nothing."""
    listed = subprocess.run([str(program)], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    return [name for name in listed if name != "nothing"]


def parse_trace(text: str) -> Set[str]:
    """The calls between the marks: of the task that makes the first, and of those that are new since then."""
    before: Set[str] = set()
    calls: Set[str] = set()
    ended: Set[str] = set()
    started = False
    for line in text.splitlines():
        task = line.split(maxsplit=1)[0]
        match = CALL.match(line)
        if MARK.search(line):
            if started:
                break
            started = True
            before.discard(task)
        elif not started:
            before.add(task)
        elif match and task not in before | ended:
            calls.add(NEWER.get(match[2], match[2]))
        if started and re.search(r"execve(?:at)?\(.* = 0$|<\.\.\. execve(?:at)? resumed>.*= 0$", line):
            ended.add(task)
    assert started, text
    return calls


def measure(program: pathlib.Path, function: str, folder: pathlib.Path) -> Set[str]:
    """The syscalls of one call of that function, by strace."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        trace = pathlib.Path(name, "trace")
        subprocess.run(["strace", "-f", "-qq", "-s", "0", "-o", str(trace), str(program), function], cwd=name,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60,
                       start_new_session=True, env={"PATH": os.environ["PATH"], "LC_ALL": "C"})
        return parse_trace(trace.read_text(errors="replace"))


def measure_all(program: pathlib.Path, folder: pathlib.Path) -> "Dict[str, Set[str]]":
    """The same for all functions, some at once, as they mostly wait."""
    names = functions(program)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        return dict(zip(names, pool.map(lambda name: measure(program, name, folder), names)))


def read_lines(text: str) -> "Dict[str, Dict[str, Set[str]]]":
    """What was measured: libc -> function -> calls."""
    table: Dict[str, Dict[str, Set[str]]] = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            libcs, function, *calls = line.split()
            for libc in libcs.split(","):
                table.setdefault(libc, {})[function] = set(calls)
    return table


def join_lines(text: str) -> str:
    """The same lines, with those of several libcs in one where they agree."""
    libcs: Dict[str, List[str]] = {}
    for line in text.splitlines():
        libc, _, rest = line.partition(" ")
        libcs.setdefault(rest, []).append(libc)
    return "".join(f"{','.join(names)} {rest}\n" for rest, names in sorted(libcs.items()))


def run_private(*arguments: str) -> str:
    """What this program prints in namespaces of its own."""
    command = ["unshare", "-mn", "--propagation", "private", "sh", "-euc", PRIVATE, "sh", sys.executable, "-B"]
    command += [__file__, "--inside", *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def main(arguments: "Sequence[str]") -> None:
    with tempfile.TemporaryDirectory(prefix="spoc-functions-", dir="/var/tmp") as name:
        folder = pathlib.Path(name)
        if arguments[0] == "--inside":
            answer_names()
            for libc, path in zip(arguments[1::2], arguments[2::2]):
                for function, calls in measure_all(pathlib.Path(path), folder).items():
                    print(libc, function, *sorted(calls))
        elif arguments == ["--write"]:
            built = {libc: build_with_suite(folder, suite) for libc, suite in SUITES.items()}
            built["musl-1.2"] = build(folder, "musl-gcc")
            built[I386] = build(folder, "gcc -m32")
            text = run_private(*(str(word) for pair in built.items() for word in pair))
            for libc, before in read_lines(TABLE.read_text(encoding="ascii")).items():
                if libc not in built:  # measured elsewhere
                    text += "".join(f"{libc} {name} {' '.join(sorted(before[name]))}\n" for name in before)
            TABLE.write_text(HEAD + join_lines(text), encoding="ascii")
        else:
            built = {compiler.replace(" ", ""): build(folder, compiler) for compiler in arguments}
            words = [str(word) for pair in built.items() for word in pair]
            print(run_private(*words), end="")


if __name__ == "__main__":
    main(sys.argv[1:])
