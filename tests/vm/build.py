# SPDX-License-Identifier: MIT
"""Makes the file systems that the machines of `make check-vm` boot from, out of Debian's own packages.

Packages are fetched by apt with an apt root of its own for each architecture and suite, so that apt verifies them as it
does for this machine, and nothing of this machine's own package system is touched or needed. What is fetched and what
is built from it stays in a cache folder; whatever is missing there or damaged is made again.
"""

import contextlib
import fcntl
import functools
import gzip
import hashlib
import importlib.util
import lzma
import marshal
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tarfile
import time
from typing import Callable, Dict, Iterator, List, NamedTuple, Sequence, Tuple

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "spoc-vm"

KEPT_S = 7 * 86400  # of what was built; packages are kept for good, and fetched again when they are damaged or missing

# What spoc.py needs of each suite, and what the tests compare it with.
PACKAGES = {
    "unstable": "python3.14-minimal libpython3.14-minimal libpython3.14-stdlib libbpf1 libffi8 libelf1t64 "
                "libzstd1",
    "trixie": "python3.13-minimal libpython3.13-minimal libpython3.13-stdlib libbpf1 libffi8 libelf1t64 "
              "libzstd1",
    "bookworm": "python3.11-minimal libpython3.11-minimal libpython3.11-stdlib libbpf1 libffi8 libelf1",
    "bullseye": "python3.9-minimal libpython3.9-minimal libpython3.9-stdlib libbpf0 libffi7 libelf1",
}
COMMON = "busybox-static runc libc6 libseccomp2 libexpat1 zlib1g libgcc-s1 strace libunwind8 liblzma5"
# For a disk, each with what it needs, if they are modules.
MODULES = "virtio_mmio virtio_pci virtio_blk ext4 crc32c_generic".split()
UNUSED = re.compile(r"usr/share|usr/lib/[^/]+/gconv|.*\.pyc$|usr/lib/python3[^/]*/(lib2to3|idlelib|pydoc_data|tkinter|"
                    r"ensurepip|distutils|unittest|wsgiref|xmlrpc|zoneinfo|sqlite3|curses|dbm|venv|test|asyncio)/|"
                    r"usr/sbin/(fs-idmap|pidfd-kill|recvtty|remap-rootfs|sd-helper|seccompagent)$")  # runc's own tests


# The Python whose bytecode this one writes: emulated, a compilation takes seconds.
SAME_PYTHON = "{}.{}".format(*sys.version_info)


class Base(NamedTuple):
    """What a machine boots: a kernel, and the parts of its initial file system, to which more can be appended."""

    kernel: pathlib.Path
    initrd: "Tuple[pathlib.Path, ...]"


class BuildError(Exception):
    """The machine cannot be built: what failed, and why."""


def mirror() -> str:
    """Where this machine's own apt has Debian from: every suite and architecture is there."""
    result = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI)", "Origin: Debian", "Label: Debian",
                             "Component: main", "Created-By: Packages"], stdout=subprocess.PIPE, text=True, check=True)
    if not result.stdout:
        raise BuildError("this machine's apt has no list of Debian's packages: run apt-get update")
    return result.stdout.split()[0]


class Apt:
    """Debian's packages for one suite and architecture, in an apt root of its own."""

    def __init__(self, suite: str, architecture: str):
        self.suite, self.architecture = suite, architecture
        self.root = CACHE / "apt" / f"{suite}-{architecture}"
        self.fetched = False

    def _run(self, *arguments: str) -> str:
        root = self.root
        settings = {
            "Dir::State": root, "Dir::State::status": root / "status", "Dir::State::lists": root / "lists",
            "Dir::Cache": root / "cache", "Dir::Etc::SourceList": root / "sources.list", "Dir::Etc::SourceParts": "-",
            "APT::Architecture": self.architecture, "APT::Architectures::": self.architecture,
            "Dir::Cache::pkgcache": "pkgcache.bin",  # off in many a container: apt would read all lists each time
            "APT::Sandbox::User": "root", "Acquire::Languages": "none", "Acquire::Retries": "3",
            "APT::Get::AllowUnauthenticated": "false", "Debug::NoLocking": "true"}
        command = [arguments[0], *(f"-o{name}={value}" for name, value in settings.items()), "-q", *arguments[1:]]
        result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True, cwd=root / "debs")
        if result.returncode:
            raise BuildError(f"{' '.join(arguments)} on {self.suite}: {result.stderr[-500:].strip()}")
        return result.stdout

    def _update(self) -> None:
        """Fetch the lists of packages, and let apt verify their signature."""
        if self.fetched:
            return
        self.fetched = True
        shutil.rmtree(self.root, True)
        for folder in ("lists/partial", "cache/archives/partial", "debs"):
            (self.root / folder).mkdir(parents=True)
        (self.root / "status").touch()
        (self.root / "sources.list").write_text(f"deb [signed-by={KEYRING}] {mirror()} {self.suite} main\n")
        self._run("apt-get", "update", "--error-on=any")

    def fetch(self, names: Sequence[str]) -> "Dict[str, pathlib.Path]":
        """The packages' files, verified; name -> path. A name that ends in + stands for the kernel that it leads to."""
        try:
            return self._fetch(names)
        except (BuildError, OSError):  # nothing is there yet, it is damaged, or the mirror has a newer version
            self._update()
            return self._fetch(names)

    def _fetch(self, names: Sequence[str]) -> "Dict[str, pathlib.Path]":
        real = [self._kernel(name[:-1]) if name.endswith("+") else name for name in names]
        files = {}
        for _ in range(2):
            files = dict(self._files(real))
            missing = [name for name in real if name not in files or file_digest(files[name][0]) != files[name][1]]
            if not missing:
                return {name: path for name, (path, _) in files.items()}
            for name in missing:
                if name in files:
                    files[name][0].unlink(missing_ok=True)
            self._run("apt-get", "download", *missing)
        raise BuildError(f"what was downloaded is not what the signed lists say: {' '.join(missing)}")

    def _kernel(self, name: str) -> str:
        """The package that holds the kernel: one names the version that is the newest, and may lead to yet another."""
        match = re.search(r"^  Depends: (linux-(?:image|binary)-\d\S*)", self._run("apt-cache", "depends", name),
                          re.MULTILINE)
        return self._kernel(match[1]) if match else name

    def _files(self, names: Sequence[str]) -> "Iterator[Tuple[str, Tuple[pathlib.Path, str]]]":
        """Each package's file, as apt-get download names it, and the digest that it must have by the lists."""
        for record in self._run("apt-cache", "show", "--no-all-versions", *names).strip().split("\n\n"):
            fields = dict(re.findall(r"^(\S+): (.*)", record, re.MULTILINE))
            file = f"{fields['Package']}_{fields['Version'].replace(':', '%3a')}_{fields['Architecture']}.deb"
            yield fields["Package"], (self.root / "debs" / file, fields["SHA256"])


def file_digest(path: pathlib.Path) -> str:
    """SHA-256 of a file, "" if there is none."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                digest.update(block)
    except OSError:
        return ""
    return digest.hexdigest()


class Archive:
    """A cpio archive in the format newc: what Linux takes as its initial file system; several may be joined."""

    def __init__(self) -> None:
        self._parts: "List[bytes]" = []
        self._names: "Dict[str, None]" = {}

    def add(self, name: str, data: bytes = b"", mode: int = 0o100644) -> None:
        """A file, folder or symbolic link with all folders that it is in, owned by root."""
        name = name.strip("/")
        if name in self._names:
            return
        if "/" in name:
            self.add(os.path.dirname(name), mode=0o040755)
        self._names[name] = None
        self._append(name, data, mode)

    def _append(self, name: str, data: bytes, mode: int) -> None:
        # Documentation/driver-api/early-userspace/buffer-format.rst: 13 numbers of 8 digits
        numbers = (len(self._names), mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name.encode()) + 1, 0)
        header = b"070701" + b"".join(b"%08X" % number for number in numbers) + name.encode() + b"\0"
        self._parts += [header, bytes(-len(header) % 4), data, bytes(-len(data) % 4)]

    def finish(self) -> bytes:
        self._append("TRAILER!!!", b"", 0)
        return b"".join(self._parts)


def add_bytecode(archive: Archive, name: str, source: bytes) -> None:
    """What Python itself would write beside a module; it takes this without a look at the source (PEP 552)."""
    code = marshal.dumps(compile(source, "/" + name, "exec", dont_inherit=True))
    unchecked = b"\1" + bytes(3) + bytes(8)
    archive.add(importlib.util.cache_from_source(name), importlib.util.MAGIC_NUMBER + unchecked + code)


def package_members(path: pathlib.Path) -> "Iterator[Tuple[str, tarfile.TarInfo, bytes]]":
    """What a package would install: name, kind, content. No more of it is unpacked than is asked for."""
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(path)], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as process, \
            tarfile.open(fileobj=process.stdout, mode="r|") as tar:
        for member in tar:
            file = tar.extractfile(member) if member.isfile() else None
            yield member.name.strip("./"), member, file.read() if file else b""
        if process.wait():
            raise BuildError(f"dpkg-deb cannot unpack {path}")


def add_package(archive: Archive, path: pathlib.Path) -> None:
    """All files of a package but those that no test uses."""
    hard_links: "Dict[str, bytes]" = {}
    for name, member, data in package_members(path):
        if not name or UNUSED.match(name + "/" * member.isdir()):
            continue
        if member.issym():
            archive.add(name, member.linkname.encode(), 0o120777)
        elif member.isfile() or member.islnk():
            hard_links[name] = data = hard_links.get(member.linkname.strip("./"), data)
            archive.add(name, data, 0o100000 | member.mode)
            if name.startswith(f"usr/lib/python{SAME_PYTHON}/") and name.endswith(".py"):
                add_bytecode(archive, name, data)


def kernel_image(package: pathlib.Path, architecture: str) -> bytes:
    """A kernel package's kernel, as QEMU boots it."""
    for name, _, image in package_members(package):
        if re.match("boot/vmlinu[xz]-|usr/lib/modules/[^/]+/vmlinuz$", name):
            if image[:2] == b"\x1f\x8b":
                image = gzip.decompress(image)
            return unpacked(image) if architecture == "amd64" else image
    raise BuildError(f"{package} holds no kernel")


def module_archive(package: pathlib.Path) -> bytes:
    """Of a kernel package the modules of MODULES, each after those that it needs: numbers say in which order."""
    modules = {pathlib.Path(name).stem.replace("-", "_"): data
               for name, _, data in package_members(package) if name.endswith(".ko")}
    ordered: "Dict[str, bytes]" = {}

    def take(name: str) -> None:
        if name in modules and name not in ordered:
            needed = re.search(rb"\0depends=([^\0]*)\0", modules[name])
            for other in needed[1].decode().split(",") if needed else ():
                take(other.replace("-", "_"))
            ordered[name] = modules[name]

    for name in MODULES:
        take(name)
    archive = Archive()
    for number, (name, data) in enumerate(ordered.items()):
        archive.add(f"modules/{number:02d}-{name}.ko", data)
    return archive.finish()


def unpacked(image: bytes) -> bytes:
    """The ELF file in a bzImage that xz has packed (Documentation/arch/x86/boot.rst), which QEMU boots as well if the
    kernel has an entry for PVH; to have the machine unpack it takes as long as the rest of its boot. What zstd has
    packed is left as it is: this Python may not know it, and the machine is quick at it.
    """
    setup_sectors, = struct.unpack_from("<B", image, 0x1f1)
    payload_offset, payload_length = struct.unpack_from("<II", image, 0x248)
    start = (setup_sectors + 1) * 512 + payload_offset
    payload = image[start:start + payload_length]
    return image if payload.startswith(b"\x28\xb5\x2f\xfd") else lzma.LZMADecompressor().decompress(payload)


@functools.lru_cache(maxsize=None)
def build(suite: str, kernel: str, kernel_architecture: str, architecture: str, more: "Tuple[str, ...]" = (),
          with_modules: bool = False) -> Base:
    """A machine with that kernel package and a userland of that architecture; `more`: packages as NAME:ARCHITECTURE.

    Machines of one kernel, or of one userland, share what is made from its packages.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    with locked(CACHE / "lock"):
        package, = Apt(suite, kernel_architecture).fetch([kernel + "+"]).values()
        packages = list(Apt(suite, architecture).fetch([*COMMON.split(), *PACKAGES[suite].split()]).values())
        others = [(name.split(":")[1], path) for name in more
                  for path in Apt(suite, name.split(":")[1]).fetch([name.split(":")[0]]).values()]
        initrd = [made_from([*packages, *(path for _, path in others)], "system",
                            lambda: initial_system(packages, others))]
        if with_modules:
            initrd.append(made_from([package], "modules", lambda: module_archive(package)))
        return Base(made_from([package], "kernel", lambda: kernel_image(package, kernel_architecture)), tuple(initrd))


def made_from(packages: "Sequence[pathlib.Path]", kind: str, make: "Callable[[], bytes]") -> pathlib.Path:
    """The file of that kind that comes of the packages; made now unless the cache has it whole."""
    key = hashlib.sha256(pathlib.Path(__file__).read_bytes() + importlib.util.MAGIC_NUMBER)
    for path in packages:
        key.update(path.name.encode() + file_digest(path).encode())
    built = CACHE / "built" / f"{key.hexdigest()[:32]}.{kind}"
    if not is_whole(built):
        remove_old(built.parent)
        write_whole(built, make())
    return built


def initial_system(packages: "Sequence[pathlib.Path]", others: "Sequence[Tuple[str, pathlib.Path]]") -> bytes:
    archive = Archive()
    for folder, mode in (("tmp", 0o041777), ("root", 0o040700), ("run", 0o040755), ("proc", 0o040755),
                         ("sys", 0o040755), ("dev", 0o040755), ("mnt", 0o040755), ("usr/sbin", 0o040755)):
        archive.add(folder, mode=mode)
    archive.add("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/tmp:/bin/sh\n")
    archive.add("etc/group", b"root:x:0:\nuser:x:1000:\n")
    for path in packages:
        add_package(archive, path)
    for name in ("bin", "sbin", "lib", "lib64"):  # from Debian 13 on no package has files there
        archive.add(name, f"usr/{name}".encode(), 0o120777)
    archive.add("usr/bin/python3", next(path.name.split("-")[0].encode() for path in packages
                                        if path.name.startswith("python3.")), 0o120777)
    archive.add("usr/bin/env", b"/bin/busybox", 0o120777)  # for the first line of spoc.py
    for architecture, path in others:  # one program each: a busybox of another architecture
        data = next(data for name, member, data in package_members(path) if re.match("(usr/)?bin/", name) and data)
        archive.add(f"opt/{architecture}/busybox", data, 0o100755)
    return archive.finish()


@contextlib.contextmanager
def locked(path: pathlib.Path) -> "Iterator[None]":
    """Two runs at a time must not fill the same cache."""
    with open(path, "w", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write_whole(path: pathlib.Path, data: bytes) -> None:
    """Write a file of the cache, and beside it the digest that tells later whether it is whole."""
    path.parent.mkdir(exist_ok=True)
    path.with_suffix(path.suffix + ".sha256").write_text(hashlib.sha256(data).hexdigest())
    path.write_bytes(data)


def remove_old(folder: pathlib.Path) -> None:
    """Remove what was built long ago: a new version of a package makes a new name."""
    for path in folder.glob("*"):
        if path.stat().st_mtime < time.time() - KEPT_S:
            path.unlink()


def is_whole(path: pathlib.Path) -> bool:
    try:
        return file_digest(path) == path.with_suffix(path.suffix + ".sha256").read_text()
    except (OSError, ValueError):
        return False
