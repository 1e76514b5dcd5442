# SPDX-License-Identifier: MIT
"""The project's own rules: what spoc.py may use and in which order, what the object and the other files may hold."""

import ast
import dis
import functools
import glob
import json
import os
import pathlib
import re
import shlex
import shutil
import struct
import subprocess
import sys
import sysconfig
import types
import unittest
import zipfile
import zlib
from typing import Dict, Iterator, List, Sequence, Set, Tuple

import spoc
import support

TIER = "kernel"
SECTIONS = ["Constants", "Messages", "Policy", "Formats", "Files", "Registry", "Libraries", "Machine", "Filters",
            "Commands under watch", "BPF", "Notification", "Audit", "record, run, watch", "Profile commands",
            "Gaps", "doctor", "Command line"]
# A guard against growth: names for fields, options and functions take 20 KB more than the positions and tables of
# letters before them; what attaches to what runs or starts and names it takes 150 KB, registries 110 KB, gaps
# 31 KB, what is said of containers whose start or name is not seen, and of base syscalls left out, 1.5 KB, of names
# that do not fit as much. `make bench` holds the sum against the size that it should have.
SIZE_LIMIT_BYTES = 919_500
# What gaps takes must stay small: a table of 46 lines, by which a profile that allows what is named runs the program
# under glibc, musl and on 32 bits; a reader of ELF files that asks no sections and bounds what a hostile one costs;
# where ld.so looks (glibc's and musl's, in other machines' trees), Go's names, what a process has mapped, the report.
GAPS_LIMIT_LINES, GAPS_LIMIT_BYTES = 486, 31_000
# libbpf parses the object at each start, and it is copied to each node. It grows most by functions that are inlined
# into several programs: what lets tasks join that run already is in each that may see them first. Of its programs a
# mode loads only those that it needs.
OBJECT_LIMIT_BYTES = 48_000
SOURCE = support.SOURCE.read_text(encoding="utf-8")
TREE = ast.parse(SOURCE)
MANUAL = support.ROOT / "docs" / "manual.md"


def imported_modules(tree: ast.AST) -> Set[str]:
    """The top-level modules that the code imports, anywhere in it."""
    names: Set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add("." * node.level + (node.module or "").partition(".")[0])
    return names


def in_standard_library(name: str) -> bool:
    known = getattr(sys, "stdlib_module_names", None)
    if known is not None:
        return name in known
    if name in sys.builtin_module_names:
        return True
    folder = sysconfig.get_path("stdlib")
    return any(glob.glob(f"{folder}/{name}{end}") for end in (".py", "/__init__.py")) \
        or bool(glob.glob(f"{folder}/lib-dynload/{name}.*"))


def section_starts(source: str) -> List[Tuple[str, int]]:
    """Name and line of every section heading."""
    return [(match[1], number) for number, line in enumerate(source.splitlines(), 1)
            if (match := re.fullmatch(r"# --- (\S.*\S) -+", line)) and len(line) == 79]


def bound_names(statement: ast.stmt) -> Set[str]:
    """The module-level names that a top-level statement makes."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {statement.name}
    return {node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


def annotation_names(statement: ast.stmt) -> Iterator[str]:
    """The names in annotations, quoted ones included: byte code does not have them all."""
    for node in ast.walk(statement):
        for annotation in (getattr(node, "annotation", None), getattr(node, "returns", None)):
            for part in ast.walk(annotation) if annotation is not None else ():
                if isinstance(part, ast.Name):
                    yield part.id
                elif isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield from re.findall(r"\w+", part.value)


def used_names(statement: ast.stmt) -> Set[str]:
    """The names that a top-level statement, or any function in it, looks up in the module."""
    names = set(annotation_names(statement))
    todo = [compile(ast.Module([statement], []), "spoc.py", "exec", dont_inherit=True)]
    while todo:
        code = todo.pop()
        todo += [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
        names.update(instruction.argval for instruction in dis.get_instructions(code)
                     if instruction.opname in ("LOAD_NAME", "LOAD_GLOBAL"))
    return names


def forward_uses(source: str) -> List[str]:
    """Every use of a name that a later section makes, as `line: Section uses name of Section`."""
    starts = section_starts(source)
    home: Dict[str, int] = {}
    sections: List[Tuple[int, ast.stmt]] = []
    for statement in ast.parse(source).body:
        section = sum(1 for _, line in starts if line < statement.lineno) - 1
        sections.append((section, statement))
        for name in bound_names(statement):
            home.setdefault(name, section)
    titles = [title for title, _ in starts] + ["the head"]
    return [f"{statement.lineno}: {titles[section]} uses {name} of {titles[home[name]]}"
            for section, statement in sections for name in sorted(used_names(statement))
            if home.get(name, -1) > section]


def btf_ext(object_bytes: bytes) -> Tuple[Set[str], int]:
    """The source files named in a BPF object's line info, and the size in bytes of its CO-RE relocations."""
    sections = elf_sections(object_bytes)
    btf, ext = sections[".BTF"], sections[".BTF.ext"]
    # struct btf_header and struct btf_ext_header, tools/lib/bpf/btf.h and libbpf_internal.h in Linux.
    hdr_len, _, _, str_off, _ = struct.unpack_from("<IIIII", btf, 4)
    strings = btf[hdr_len + str_off:]
    ext_len, _, _, line_info_off, line_info_len = struct.unpack_from("<IIIII", ext, 4)
    core_relo_len = struct.unpack_from("<II", ext, 24)[1] if ext_len >= 32 else 0
    files: Set[str] = set()
    at, end = ext_len + line_info_off, ext_len + line_info_off + line_info_len
    rec_size = struct.unpack_from("<I", ext, at)[0] if line_info_len else 0
    at += 4
    while at < end:
        count = struct.unpack_from("<II", ext, at)[1]
        for record in range(count):
            offset = struct.unpack_from("<I", ext, at + 8 + record * rec_size + 4)[0]
            files.add(strings[offset:strings.index(b"\0", offset)].decode())
        at += 8 + count * rec_size
    return files, core_relo_len


def elf_sections(data: bytes) -> Dict[str, bytes]:
    """The sections of a 64-bit little-endian ELF file (Elf64_Ehdr, Elf64_Shdr in elf.h)."""
    e_shoff, = struct.unpack_from("<Q", data, 40)
    e_shentsize, e_shnum, e_shstrndx = struct.unpack_from("<HHH", data, 58)
    headers = [struct.unpack_from("<IIQQQQ", data, e_shoff + index * e_shentsize) for index in range(e_shnum)]
    names = headers[e_shstrndx][4]
    return {data[names + name:data.index(b"\0", names + name)].decode(): data[offset:offset + size]
            for name, _, _, _, offset, size in headers}


def project_files() -> List[pathlib.Path]:
    support.require_command("git")
    listed = subprocess.run(["git", "-C", str(support.ROOT), "-c", f"safe.directory={support.ROOT}", "ls-files", "-z",
                             "--cached", "--others", "--exclude-standard"], stdout=subprocess.PIPE)
    support.require(listed.returncode == 0, "the git repository of the project")
    paths = [support.ROOT / name for name in listed.stdout.decode().split("\0") if name]
    return [path for path in paths if path.is_file()]


class Source(unittest.TestCase):
    """spoc.py itself."""

    TIER = "pure"

    def test_imports_standard_library_only(self) -> None:
        names = imported_modules(TREE)
        self.assertIn("ctypes", names)
        self.assertEqual([name for name in sorted(names) if not in_standard_library(name)], [])

    def test_docstring_is_a_map(self) -> None:
        """It tells of each section, in their order."""
        rows = re.findall(r"(?m)^    (\S+(?: \S+)*)  ", ast.get_docstring(TREE, clean=False) or "")
        self.assertEqual(rows, SECTIONS)

    def test_late_imports_are_listed(self) -> None:
        """doctor looks for them all."""
        at_once = {alias.name for node in TREE.body for part in ([node] if not isinstance(node, ast.Try) else node.body)
                   if isinstance(part, ast.Import) for alias in part.names}
        later = {alias.name for node in ast.walk(TREE) if isinstance(node, ast.FunctionDef)
                 for part in ast.walk(node) if isinstance(part, ast.Import) for alias in part.names}
        self.assertEqual(sorted(later), sorted(spoc.IMPORTED_LATER))
        self.assertTrue(at_once)
        self.assertFalse(at_once & later)

    def test_import_check_sees_foreign_modules(self) -> None:
        names = imported_modules(ast.parse("import os.path, yaml\ndef f():\n    from . import x\n    import json"))
        self.assertEqual([name for name in sorted(names) if not in_standard_library(name)], [".", "yaml"])

    def test_sections_stand_in_order(self) -> None:
        found = [title for title, _ in section_starts(SOURCE)]
        self.assertEqual(found, SECTIONS)

    def test_headings_have_79_columns(self) -> None:
        headings = [line for line in SOURCE.splitlines() if line.startswith("# ---")]
        self.assertEqual([line for line in headings if len(line) != 79], [])

    def test_sections_use_only_what_stands_above(self) -> None:
        self.assertEqual(forward_uses(SOURCE), [])

    def test_section_check_sees_forward_uses(self) -> None:
        def heading(title: str) -> str:
            return f"# --- {title} ".ljust(79, "-")
        for use in ("def f():\n    return late()", "def f(x: late) -> None: ...", "def f() -> 'list[late]': ...",
                    "class A:\n    x = late", "class A(late): ...", "@late\ndef f(): ...", "X = late",
                    "def f():\n    def g():\n        x = [late for _ in ()]"):
            with self.subTest(use=use):
                source = f"{heading('One')}\n{use}\n{heading('Two')}\ndef late(): ...\n"
                self.assertEqual([found.partition(": ")[2] for found in forward_uses(source)],
                                 ["One uses late of Two"])
        fine = f"def f(late):\n    return late\n{heading('One')}\ndef late():\n    return f\n"
        self.assertEqual(forward_uses(fine), [])

    def test_classes_and_functions_are_short(self) -> None:
        long = []
        for node in ast.walk(TREE):
            limit = 300 if isinstance(node, ast.ClassDef) else 50
            if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines >= limit:
                    long.append(f"{node.name}: {lines} lines, must be under {limit}")
        self.assertEqual(long, [])

    def test_public_names_exist(self) -> None:
        made = set().union(*(bound_names(statement) for statement in TREE.body))
        public = [ast.literal_eval(statement.value) for statement in TREE.body
                  if isinstance(statement, ast.Assign) and bound_names(statement) == {"__all__"}]
        self.assertEqual(len(public), 1, "one __all__")
        self.assertTrue(public[0])
        self.assertEqual([name for name in public[0] if name not in made], [])
        self.assertEqual(len(set(public[0])), len(public[0]))

    def test_no_shell_no_finaliser_no_library_search(self) -> None:
        found = []
        for node in ast.walk(TREE):
            if isinstance(node, ast.keyword) and node.arg == "shell":
                found.append("shell=")
            elif isinstance(node, ast.Attribute) and node.attr in ("system", "popen", "find_library"):
                found.append(node.attr)
            elif isinstance(node, ast.FunctionDef) and node.name == "__del__":
                found.append("__del__")
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                found += [f"import of {name}" for name in (getattr(node, "module", None), *(a.name for a in node.names))
                          if name in ("ctypes.util", "util", "find_library")]
        self.assertEqual(found, [])

    def test_old_pythons_can_parse_it(self) -> None:
        """From 3.7 on, which is the first to have postponed annotations."""
        ast.parse(SOURCE, feature_version=(3, 7))

    def test_licences(self) -> None:
        for name, licence in (("spoc.py", "MIT"), ("bpf/recorder.bpf.c", "MIT OR GPL-2.0-only")):
            head = (support.ROOT / name).read_text(encoding="utf-8").splitlines()[:2]
            self.assertTrue([line for line in head if re.search(rf"SPDX-License-Identifier: {licence}\b", line)], name)


class Interpreters(support.Case):
    """spoc.py under the Pythons of this machine."""

    def test_import_loads_no_library(self) -> None:
        script = ("import sys, ctypes; sys.path.insert(0, sys.argv[1])\n"
                  "def show(): print(*sorted({line.split('/')[-1].split('.')[0] for line in open('/proc/self/maps')"
                  " if 'libbpf' in line or 'libseccomp' in line}), sep=',')\n"
                  "import spoc; show()\n"
                  "ctypes.CDLL('libseccomp.so.2'); show()")
        result = subprocess.run([sys.executable, "-B", "-c", script, str(support.ROOT)], stdout=subprocess.PIPE,
                                text=True, check=True)
        self.assertEqual(result.stdout.split("\n"), ["", "libseccomp", ""])

    def test_old_pythons_say_so(self) -> None:
        found = support.interpreters("3.7", "3.8")
        if not found:
            self.skipTest("optional: needs a Python 3.7 or 3.8")
        for version, path in found.items():
            with self.subTest(version):
                result = subprocess.run([path, "-B", str(support.SOURCE), "version"], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE)
                self.assertEqual(result.returncode, 125, result.stderr)
                self.assertEqual(result.stdout, b"")
                self.assertRegex(result.stderr, rb"\A[^\n]*3\.9[^\n]*\n\Z")

    @support.kernel_tier
    def test_pypy_says_so(self) -> None:
        """It lacks some of what CPython has of Linux, and from the filter to execve it would make calls of its own."""
        support.require_command("pypy3")
        archive = copy_of_tree(self.folder / "tree") / "dist/spoc.pyz"
        make(archive.parent.parent, "dist")
        for path in (support.SOURCE, archive):
            result = subprocess.run(["pypy3", "-B", str(path), "version"], stdout=subprocess.PIPE,
                                    stderr=subprocess.PIPE, text=True)
            self.assertEqual((result.returncode, result.stdout), (125, ""))
            self.assertRegex(result.stderr, r"\Aspoc: start: pypy: [^\n]+; run it with CPython 3\.9[^\n]*\n\Z")

    def test_supported_pythons_start_it(self) -> None:
        found = support.interpreters("3.9", "3.10", "3.11", "3.12", "3.13", "3.14")
        support.require(found, "a Python from 3.9 to 3.14")
        for version, path in found.items():
            with self.subTest(version):
                result = subprocess.run([path, "-B", "-W", "error", str(support.SOURCE), "record", "--help"],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                self.assertEqual((result.returncode, result.stderr), (0, ""))
                self.assertIn("--base-syscalls", result.stdout)


class Object(support.Case):
    """bpf/recorder.bpf.o."""

    def test_needs_no_relocation_against_kernel_types(self) -> None:
        """The committed object has no .BTF.ext that could tell, so the source is compiled once more."""
        support.require_pinned_clang()
        built, source = self.folder / "recorder.bpf.o", support.OBJECT.with_suffix(".c")
        subprocess.run(["clang-14", "-target", "bpf", "-O2", "-g", f"-I/usr/include/{os.uname().machine}-linux-gnu",
                        "-c", str(source), "-o", str(built)], check=True)
        self.assertEqual(btf_ext(built.read_bytes())[1], 0)
        self.assertNotIn(".BTF.ext", elf_sections(support.OBJECT.read_bytes()))

    def test_names_no_build_path(self) -> None:
        words = set(support.OBJECT.read_bytes().split(b"\0"))
        self.assertEqual([word for word in words if word.startswith(b"/") and word.endswith((b".c", b".h"))
                          and not word.startswith(b"/usr/include/")], [])
        self.assertNotIn(str(support.ROOT).encode(), support.OBJECT.read_bytes())

    def test_is_the_one_that_spoc_takes(self) -> None:
        self.assertEqual(zlib.crc32(support.OBJECT.read_bytes()), spoc.OBJECT_CRC32)

    def test_has_no_debug_sections(self) -> None:
        sections = elf_sections(support.OBJECT.read_bytes())
        self.assertIn(".maps", sections)
        self.assertEqual([name for name in sections if name.startswith(".debug")], [])

    def test_checks_see_relocations_and_paths(self) -> None:
        support.require_pinned_clang()
        source, built = self.folder / "bad.bpf.c", self.folder / "bad.bpf.o"
        source.write_text("struct task { int tgid; } __attribute__((preserve_access_index));\n"
                          "__attribute__((section(\"raw_tp\"))) int get(struct task *task) { return task->tgid; }\n")
        subprocess.run(["clang-14", "-target", "bpf", "-O2", "-g", "-c", str(source), "-o", str(built)], check=True)
        files, core_relo_len = btf_ext(built.read_bytes())
        self.assertEqual(files, {str(source)})
        self.assertGreater(core_relo_len, 4)

    def test_size(self) -> None:
        self.assertLess(support.SOURCE.stat().st_size + support.OBJECT.stat().st_size, SIZE_LIMIT_BYTES)
        self.assertLessEqual(support.OBJECT.stat().st_size, OBJECT_LIMIT_BYTES)

    def test_size_of_gaps(self) -> None:
        starts = section_starts(SOURCE)
        index = [name for name, _ in starts].index("Gaps")
        lines = SOURCE.splitlines(True)[starts[index][1] - 1:starts[index + 1][1] - 1]
        self.assertLessEqual(len(lines), GAPS_LIMIT_LINES)
        self.assertLessEqual(len("".join(lines).encode()), GAPS_LIMIT_BYTES)


class Releases(support.Case):
    """What tests/install.sh says that a release of Debian lacks: by its apt, and on Debian 12 nothing."""

    def lacks(self, codename: str, package: str) -> str:
        release = self.folder / "os-release"
        release.write_text(f'PRETTY_NAME="Debian of the test"\nVERSION_CODENAME={codename}\n')
        result = subprocess.run([*support.in_mounts('mount --bind "$1" /etc/os-release; shift', str(release)),
                                 str(support.ROOT / "tests/install.sh"), "lacks", package],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertEqual((result.returncode, result.stderr), (0 if result.stdout else 1, ""))
        return result.stdout

    @support.kernel_tier
    def test_lacks(self) -> None:
        support.require_root()
        support.require_command("apt-get")
        if not subprocess.run(["apt-get", "indextargets"], stdout=subprocess.PIPE, check=True).stdout:
            self.skipTest("optional: needs apt's lists of packages")
        self.assertEqual(self.lacks("trixie", "no-such-package"), "Debian of the test has no package no-such-package\n")
        self.assertEqual(self.lacks("trixie", "git"), "")
        self.assertEqual(self.lacks("bookworm", "no-such-package"), "")


class Files(support.Case):
    """Everything else that is in the repository."""

    def test_text_is_clean(self) -> None:
        paths = project_files()
        self.assertIn(support.SOURCE, paths)
        unclean = []
        for path in paths:
            data = path.read_bytes()
            if b"\0" in data or support.DATA in path.parents:
                continue
            if data and not data.endswith(b"\n"):
                unclean.append(f"{path}: no newline at the end")
            unclean += [f"{path}:{number}: white space at the end" for number, line in enumerate(data.split(b"\n"), 1)
                        if line != line.rstrip()]
        self.assertEqual(unclean, [])

    def test_documented_commands_exist(self) -> None:
        code = documented_code()
        commands = re.findall(r"\bpython3 spoc\.py ([a-z]+)\b(.*)", code)
        self.assertIn("record", [command for command, _ in commands])
        for command, rest in commands:
            with self.subTest(f"{command}{rest}"):
                usage = support.spoc(command, "--help")
                self.assertEqual(usage.returncode, 0, usage.stderr)
                if "[" in rest:
                    for option in re.findall(r"(?<=\[)--?\w[\w-]*", rest):
                        self.assertRegex(usage.stdout, rf"(?<![\w-]){option}(?![\w-])")
                else:
                    spoc.parse_options(command, shlex.split(rest, comments=True))

    def test_manual_tells_of_the_same_options(self) -> None:
        """The tables of record and run have the names and metavars of OPTIONS; all others occur in the text."""
        text = MANUAL.read_text(encoding="utf-8")
        tables = re.findall(r"(?m)^\| option \| meaning \|\n\| --- \| --- \|\n((?:\|.*\n)+)", text)
        self.assertEqual(len(tables), 2)
        for command, table in zip(("record", "run"), tables):
            found: Dict[str, str] = {}
            for row in table.splitlines():
                spans = re.findall(r"`(--?[a-z][^`]*)`", row.split(" | ")[0])
                metavar = spans[-1].partition(" ")[2]
                found.update((span.partition(" ")[0], metavar) for span in spans)
            wanted = {name: option.metavar for option in spoc.options_of(command) for name in option.names.split()}
            for short, long in (("-q", "--quiet"), ("-v", "--verbose")):  # for which a row of the short ones does
                self.assertEqual(wanted.pop(long), found.get(short))
            self.assertEqual(found, wanted)
        for option in spoc.OPTIONS:
            self.assertIn(option.names.split()[-1].replace("--quiet", "-q").replace("--verbose", "-v"), text)

    def test_help_names_the_default_paths(self) -> None:
        helps = {(option.names, option.commands): option.help for option in spoc.OPTIONS}
        for path in spoc.DEFAULT_OUTPUT.values():
            self.assertIn(path, helps["-o --output-file", "record"])
            self.assertIn(path, helps["-p --profile", "run"])
        self.assertIn(spoc.DEFAULT_AUDIT_LOG, helps["--audit-log", "run"])

    def test_documented_targets_exist(self) -> None:
        targets = set(re.findall(r"^([a-z-]+):", (support.ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
        named = set(re.findall(r"\bmake (?:-s )?([a-z-]+)", documented_code()))
        self.assertLessEqual({"demo", "check"}, named)
        self.assertEqual(named - targets, set())

    def test_install_and_uninstall(self) -> None:
        support.require_command("make")
        tree = copy_of_tree(self.folder / "tree")
        installed = self.folder / "a b/usr/bin/spoc"
        make(tree, "install", f"DESTDIR={self.folder}/a b", "PREFIX=/usr")
        result = subprocess.run([str(installed), "version"], stdout=subprocess.PIPE, text=True)
        self.assertEqual(result.returncode, 0)
        name, version = support.spoc("version").stdout.splitlines()[0].split()
        self.assertEqual((name, result.stdout.splitlines()[0]), ("spoc.py", f"spoc {version}"))
        make(tree, "uninstall", f"DESTDIR={self.folder}/a b", "PREFIX=/usr")
        self.assertEqual([path for path in (self.folder / "a b").rglob("*") if not path.is_dir()], [])


def make(tree: pathlib.Path, *arguments: str, umask: int = 0o022, **environment: str) -> None:
    subprocess.run(["sh", "-c", f'umask {umask:03o}; exec make -s -C "$@"', "sh", str(tree), *arguments],
                   check=True, env={**os.environ, **environment})


def copy_of_tree(path: pathlib.Path) -> pathlib.Path:
    """What make dist reads, in a folder of its own."""
    for name in ("Makefile", "spoc.py", "bpf/recorder.bpf.o", "docs/generate.py", "docs/manual.md"):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(support.ROOT / name, path / name)
    return path


class Generated(support.Case):
    """What docs/generate.py makes of spoc.py's tables, as their readers take it."""

    def generate(self, kind: str) -> pathlib.Path:
        path = self.folder / kind
        path.write_bytes(subprocess.run([sys.executable, "-B", str(support.ROOT / "docs/generate.py"), kind],
                                        stdout=subprocess.PIPE, check=True).stdout)
        return path

    def test_completion(self) -> None:
        script = self.generate("completion")
        (self.folder / "words.txt").touch()
        for package in ("", ". /usr/share/bash-completion/bash_completion; "):
            for words, expected in (
                    ("re", "record"), ("record --back", "--backend"), ("record --backend b", "bpf"),
                    ("record --args socket,ioc", "socket,ioctl"), ("convert -t sys", "systemd"),
                    ("merge wor", "words.txt"), ("record -o wor", "words.txt"), ("record -- unshar", "unshare"),
                    ("run -p x unshar", "unshare"), ("r --back", "--backend"),
                    ("run -p x cat wor", "words.txt"), ("record --checkpoint 1", "")):
                line = f"spoc {words}"
                bash = (f'{package}. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; '
                        'COMP_POINT=${#COMP_LINE}; _spoc; printf "%s\\n" "${COMPREPLY[@]}"')
                result = subprocess.run(["bash", "--norc", "-c", bash, "bash", str(script), *line.split()],
                                        stdout=subprocess.PIPE, text=True, cwd=self.folder, timeout=60)
                self.assertEqual({each.strip() for each in result.stdout.splitlines()}, {expected}, (package, words))

    def test_manual(self) -> None:
        page = self.generate("manual")
        lint = subprocess.run(["mandoc", "-Tlint", "-Wwarning", str(page)], stdout=subprocess.PIPE, text=True)
        self.assertEqual((lint.returncode, lint.stdout), (0, ""))
        shown = subprocess.run(["man", "-l", str(page)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env={**os.environ, "MANWIDTH": "100", "LC_ALL": "C.UTF-8"})
        self.assertEqual((shown.returncode, shown.stderr), (0, ""))
        for option in spoc.OPTIONS:
            self.assertIn(option.names.split()[-1], shown.stdout)


BYTECODE = f"{sys.implementation.cache_tag}.pyc"  # of this Python, in spoc.pyz


def read_members(archive: pathlib.Path) -> Dict[str, bytes]:
    with zipfile.ZipFile(archive) as whole:
        return {name: whole.read(name) for name in whole.namelist()}


def write_members(archive: pathlib.Path, members: Dict[str, bytes]) -> None:
    with zipfile.ZipFile(archive, "w") as changed:
        for name, data in members.items():
            changed.writestr(name, data)


class Archive(support.Case):
    """dist/spoc.pyz, the program in one file."""

    def build(self, folder: str = "tree", umask: int = 0o022, pythons: Sequence[str] = (sys.executable,),
              **environment: str) -> pathlib.Path:
        support.require_command("make")
        tree = copy_of_tree(self.folder / folder)
        make(tree, "dist", f"PYTHON={sys.executable}", f"PYTHONS={' '.join(pythons)}", umask=umask, **environment)
        return tree / "dist/spoc.pyz"

    def test_same_bytes_anywhere(self) -> None:
        one = self.build(TZ="America/St_Johns", PYTHONHASHSEED="1")
        other = self.build("another, and deeper/tree", umask=0o077, TZ="Asia/Tokyo", LC_ALL="C")
        for name in ("spoc.pyz", "spoc.bash-completion", "spoc.1"):
            self.assertEqual(one.with_name(name).read_bytes(), other.with_name(name).read_bytes(), name)
        self.assertEqual(one.stat().st_mode & 0o777, 0o755)

    def test_records(self) -> None:
        support.require_root()
        archive = shutil.copy(self.build(), self.folder / "carried")
        result = subprocess.run([sys.executable, archive, "record", "-n", "-o", "-", "true"], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, cwd="/")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stdout, support.spoc("record", "-n", "-o", "-", "true").stdout)

    def test_imports_little(self) -> None:
        """A short recording is mostly imports: of what functions import when they run, it needs the CRC alone."""
        support.require_root()
        result = subprocess.run([sys.executable, "-X", "importtime", self.build(), "record", "--backend", "bpf", "-n",
                                 "-o", "/dev/null", "true"], stderr=subprocess.PIPE, text=True, check=True)
        imported = re.findall(r"^import time:.*\| +(\S+)$", result.stderr, re.MULTILINE)
        self.assertIn("ctypes", imported)
        # Python itself imports io, and ctypes struct.
        self.assertEqual(set(imported) & set(spoc.IMPORTED_LATER) - {"io", "struct"}, {"binascii"})

    def test_started_by_any_path(self) -> None:
        """Also by one that is not normal, or leads through a link: it finds the object that it holds."""
        support.require_root()
        archive = self.build()
        (self.folder / "x").mkdir()
        (self.folder / "link").symlink_to(archive)
        (self.folder / "folder").symlink_to(archive.parent)
        os.link(archive, self.folder / "x" / "hard")
        allow = self.folder / "allow.json"
        allow.write_text('{"defaultAction": "SCMP_ACT_ALLOW"}')
        record = ("record", "--backend", "bpf", "-n", "-o", "/dev/null", "true")
        run = ("run", "--enricher", "tracepoint", "-p", str(allow), "true")
        for folder, path, command in (
                ("tree/dist", "./spoc.pyz", record), ("tree/dist", "./spoc.pyz", run), ("x", "./hard", record),
                ("x", "../tree/dist/spoc.pyz", record), ("tree", "dist//spoc.pyz", record), ("x", "../link", record),
                ("tree", "./dist/./spoc.pyz", run), ("x", str(self.folder / "link"), record),
                ("/", f"/{archive}", run), (".", "folder/spoc.pyz", record),
                ("/", str(self.folder / "x/../folder//spoc.pyz"), record),
                (".", "link", record)):  # found on PATH
            env = {**os.environ, "PATH": f"{self.folder}:{os.environ['PATH']}"}
            result = subprocess.run([path, *command], cwd=self.folder / folder, env=env, stderr=subprocess.PIPE,
                                    stdin=subprocess.DEVNULL, text=True)
            self.assertEqual(result.returncode, 0, (folder, path, result.stderr))
        result = subprocess.run([sys.executable, "spoc.pyz", *record], cwd=archive.parent, stderr=subprocess.PIPE,
                                text=True)
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_unpacked(self) -> None:
        """As a folder it works as well, and imports nothing from there."""
        support.require_root()
        folder = self.folder / "unpacked"
        with zipfile.ZipFile(self.build()) as whole:
            whole.extractall(folder)
        trap = self.folder / "imported"
        for name in ("binascii", "json", "textwrap"):  # imported by functions, when they run
            (folder / f"{name}.py").write_text(f"open({str(trap)!r}, 'w')\nraise SystemExit(99)\n")
        (folder / "__pycache__").mkdir()
        shutil.copy(folder / BYTECODE, folder / "__pycache__" / f"spoc.{sys.implementation.cache_tag}.pyc")
        with open(folder / "spoc.py", "a", encoding="utf-8") as source:
            source.write("# the bytecode is not that of this text\n")
        for options in ((), ("-I",)):
            for path, cwd in ((str(folder), "/"), (".", str(folder)), ("unpacked/", str(self.folder))):
                result = subprocess.run([sys.executable, *options, path, "record", "--backend", "bpf", "-t",
                                         "raw-seccomp", "-o", "-", "true"], stdout=subprocess.PIPE, text=True,
                                        stderr=subprocess.PIPE, cwd=cwd)
                self.assertEqual(result.returncode, 0, (options, path, result.stderr))
                self.assertIn("execve", result.stdout)
                self.assertFalse(trap.exists(), (options, path))

    def test_without_the_object(self) -> None:
        """It is told, by name an error, and by auto in the line about what is used instead."""
        support.require_root()
        archive = self.build()
        write_members(archive, {name: data for name, data in read_members(archive).items() if not name.endswith(".o")})
        allow = self.folder / "allow.json"
        allow.write_text('{"defaultAction": "SCMP_ACT_ALLOW"}')
        reason = (f"read BPF object: {archive}/bpf/recorder.bpf.o: the archive does not hold it; copy spoc.py and "
                  "recorder.bpf.o to this machine again, both of the same version")
        for command, backend, code, line in (
                (("record", "-n", "-o", "/dev/null", "--backend"), "bpf", 125, f"Error: {reason}"),
                (("record", "-n", "-o", "/dev/null", "--backend"), "auto", 0,
                 f"Recording with user notification: {reason}"),
                (("run", "-p", str(allow), "--enricher"), "tracepoint", 125, f"Error: {reason}"),
                (("run", "-p", str(allow), "--enricher"), "auto", 0,
                 f"Naming blocked calls by notify: tracepoint: {reason}")):
            result = subprocess.run([sys.executable, str(archive), *command, backend, "true"], text=True,
                                    stderr=subprocess.PIPE)
            self.assertEqual(result.returncode, code, result.stderr)
            self.assertIn(line, [each[16:] for each in result.stderr.splitlines()], result.stderr)

    def test_bytecode_is_used(self) -> None:
        # Of two copies, one whose source would fail and one whose bytecode is another Python's, both run: the first by
        # its bytecode, the second by its source.
        running = "3.%d" % sys.version_info[1]
        for broken, mark, also in (("spoc.py", b"nonsense(", ""),
                                   (BYTECODE, b"\0\0\0\0", ", not for this one: each start compiles the source")):
            archive = self.build(broken)
            members = read_members(archive)
            write_members(archive, {**members, broken: mark + members[broken][len(mark):]})
            result = subprocess.run([sys.executable, str(archive), "version"], stdout=subprocess.PIPE, text=True)
            self.assertEqual(result.stdout, support.spoc("version").stdout.replace("spoc.py", "spoc.pyz")
                             + f"bytecode for Python {running}{also}\n", broken)

    def test_several_pythons(self) -> None:
        """Each takes its own bytecode, and one that has none the source; in which order they are named does not matter.
        """
        found = support.interpreters("3.9", "3.10", "3.11", "3.12", "3.13", "3.14")
        if len(found) < 3:
            self.skipTest("optional: needs three Pythons from 3.9 on; make check-vm has them")
        (other, source_only), *held = found.items()
        pythons = [path for _, path in held]
        one = self.build("one", umask=0o000, pythons=pythons, TZ="America/St_Johns")
        again = self.build("another, and deeper/tree", umask=0o077, pythons=pythons[::-1], LC_ALL="C")
        self.assertEqual(one.read_bytes(), again.read_bytes())
        told = f"bytecode for Python {', '.join(version for version, _ in held[:-1])} and {held[-1][0]}"

        def version(python: str, archive: pathlib.Path) -> str:
            result = subprocess.run([python, str(archive), "version"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                    text=True)
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            return result.stdout.splitlines()[-1]

        members = read_members(one)
        self.assertEqual(version(source_only, one), f"{told}, not for this one: each start compiles the source")
        no_source, foreign = self.folder / "no-source", self.folder / "foreign"
        write_members(no_source, {name: data for name, data in members.items() if name != "spoc.py"})
        tags = [f"cpython-{version.replace('.', '')}.pyc" for version, _ in held]
        write_members(foreign, {**members, tags[0]: members[tags[1]]})
        for python in pythons:
            self.assertEqual(version(python, no_source), told)
        self.assertEqual(version(pythons[0], foreign), f"{told}, not for this one: each start compiles the source")
        doctor = json.loads(subprocess.run([source_only, str(one), "doctor", "--json"], stdout=subprocess.PIPE).stdout)
        check = next(check for check in doctor["checks"] if check["item"] == "bytecode")
        self.assertEqual(check["state"], "degraded")
        self.assertEqual(set(re.findall(r"python(3\.\d+)", check["remedy"])), {other, *(each for each, _ in held)})

    def test_a_python_that_fails(self) -> None:
        support.require_command("make")
        tree = copy_of_tree(self.folder / "tree")
        result = subprocess.run(["make", "-s", "-C", str(tree), "dist", f"PYTHONS=/no/python3 {sys.executable}"],
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.assertNotEqual(result.returncode, 0, result.stdout)
        self.assertFalse((tree / "dist/spoc.pyz").exists())

    def test_damaged_object(self) -> None:
        support.require_root()
        archive = self.build()
        data = archive.read_bytes()
        start = data.index(b"\x7fELF") + 100
        archive.write_bytes(data[:start] + b"damaged" + data[start + 7:])
        result = subprocess.run([sys.executable, str(archive), "record", "--backend", "bpf", "-o", "/dev/null",
                                 "true"],
                                stderr=subprocess.PIPE, text=True)
        self.assertEqual(result.returncode, 125)
        self.assertRegex(result.stderr, r"recorder\.bpf\.o: (it is damaged|Bad CRC)")


class Tests(unittest.TestCase):
    """What the tests share lies in support.py and beside it, once."""

    TIER = "pure"

    @staticmethod
    @functools.lru_cache(maxsize=None)
    def trees(pattern: str) -> Dict[str, ast.Module]:
        return {path.name: ast.parse(path.read_text("utf-8"))
                for path in sorted((support.ROOT / "tests").glob(pattern))}

    def test_modules_do_not_import_each_other(self) -> None:
        modules = self.trees("test_*.py")
        self.assertIn("test_project.py", modules)
        for name, tree in self.trees("*.py").items():
            self.assertEqual({each for each in imported_modules(tree) if f"{each}.py" in modules}, set(), name)

    def test_tiers(self) -> None:
        """Each module says which tier its tests are of: see tests/run.py."""
        for name, tree in self.trees("test_*.py").items():
            tiers = [ast.unparse(each.value) for each in tree.body if isinstance(each, ast.Assign)
                     and ast.unparse(each.targets[0]) == "TIER"]
            self.assertIn(tiers, (["'pure'"], ["'kernel'"]), name)

    def test_constants_are_defined_once(self) -> None:
        found: Dict[Tuple[str, str], List[str]] = {}
        for name, tree in self.trees("*.py").items():
            for statement in tree.body:
                if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) != "TIER":
                    values = statement.value.elts if isinstance(statement.value, ast.Tuple) else [statement.value]
                    targets = statement.targets[0].elts if isinstance(statement.targets[0], ast.Tuple) else \
                        statement.targets
                    for target, value in zip(targets, values):
                        found.setdefault((ast.dump(target), ast.dump(value)), []).append(name)
        self.assertEqual([(constant, files) for constant, files in found.items() if len(files) > 1], [])


class Runner(support.Case):
    """tests/run.py, on test modules made for it."""

    def run_modules(self, *names: str, **modules: str) -> "subprocess.CompletedProcess[str]":
        runner, count = re.subn(r"(?m)^(TEST_TIMEOUT_S|END_S) = [\d.]+", r"\1 = 1",
                                (support.ROOT / "tests" / "run.py").read_text())
        self.assertEqual(count, 2)
        tests = self.folder / "tests"
        for folder in (tests, self.folder / "bpf"):
            folder.mkdir(exist_ok=True)
        (self.folder / "spoc.py").write_text("print('started')\n")
        (tests / "run.py").write_text(runner)
        shutil.copy(support.ROOT / "tests" / "support.py", tests)
        for module, body in modules.items():
            (tests / f"test_{module}.py").write_text(f"import os, unittest\n{body}")
        result = subprocess.run([sys.executable, str(tests / "run.py"), *names], stdout=subprocess.PIPE, text=True)
        self.assertEqual(os.listdir(self.folder / "build"), [])
        return result

    def test_counts(self) -> None:
        result = self.run_modules(
            many="class A(unittest.TestCase):\n"
                 " def test_pass(self): pass\n"
                 " def test_fail(self): self.assertEqual(1, 2)\n"
                 " def test_error(self): raise OSError('broken')\n"
                 " def test_skip(self): self.skipTest('needs gold')\n"
                 " def test_sub(self):\n"
                 "  for i in 1, 2, 3:\n"
                 "   with self.subTest(i): self.assertEqual(i, 2)\n"
                 " @unittest.expectedFailure\n"
                 " def test_expected(self): self.fail()\n",
            group="class B(unittest.TestCase):\n"
                  " @classmethod\n"
                  " def setUpClass(cls): raise unittest.SkipTest('needs silver')\n"
                  " def test_1(self): pass\n"
                  " def test_2(self): pass\n",
            death="class C(unittest.TestCase):\n"
                  "    EXCLUSIVE = True\n"
                  "    def test_1(self): pass\n"
                  "    def test_2(self): print('dying', flush=True); os._exit(3)\n"
                  "    def test_3(self): pass\n",
            broken="import no_such_module\n",
            worse="def\n")
        self.assertEqual(result.stdout.splitlines()[-1], "2 passed, 8 failed, 3 skipped")
        self.assertEqual(result.returncode, 1)
        for text in ("AssertionError: 1 != 2", "OSError: broken", "dying", "no_such_module", "SyntaxError",
                     "skipped test_many.A.test_skip: needs gold", "skipped test_group.B.test_2: needs silver"):
            self.assertIn(text, result.stdout)

    def test_exclusive_classes(self) -> None:
        """They run while no test does but those of the pure tier."""
        told = self.folder / "told"
        body = (f"    def test_it(self):\n        for word in 'begin', 'end':\n"
                f"            open({str(told)!r}, 'a').write(f'{{word}} {{type(self).__name__}}\\n')\n"
                "            time.sleep(0.3)\n")
        kernel = f"import time\nclass K(unittest.TestCase):\n{body}"
        result = self.run_modules(
            one=kernel, two=f"{kernel}class E(unittest.TestCase):\n    EXCLUSIVE = True  # why\n{body}",
            three=f'TIER = "pure"\n{kernel.replace("K", "P")}')
        self.assertEqual(result.stdout.splitlines()[-1], "4 passed, 0 failed, 0 skipped")
        lines = [line for line in told.read_text().splitlines() if not line.endswith("P")]
        self.assertEqual(lines.index("end E") - lines.index("begin E"), 1, lines)

    def test_bytecode_is_what_tests_start(self) -> None:
        result = self.run_modules(some="import subprocess, sys, support\nclass A(unittest.TestCase):\n"
                                       " def test_it(self):\n"
                                       "  self.assertNotIn(b'print', support.SPOC.read_bytes().partition(b'\\n')[0])\n"
                                       "  self.assertEqual(support.spoc().stdout, 'started\\n')\n")
        self.assertEqual(result.returncode, 0, result.stdout)

    def test_pure_tests(self) -> None:
        """By module, class or test; a module that says nothing is not taken for pure."""
        body = "class A(unittest.TestCase):\n def test_pass(self): pass\n def test_fail(self): self.fail()\n"
        result = self.run_modules("--pure", silent=body, kernel=f"TIER = 'kernel'\n{body}",
                                  group=f"{body} TIER = \"pure\"\n", test='TIER = "pure"\n' + body
                                  + " test_fail.TIER = 'kernel'\n")
        self.assertEqual(result.stdout.splitlines()[-1], "2 passed, 1 failed, 0 skipped")
        self.assertIn("FAILED  test_group.A.test_fail", result.stdout)

    def test_exit_codes(self) -> None:
        body = ("class A(unittest.TestCase):\n"
                " def test_pass(self): pass\n"
                " def test_skip(self): self.skipTest('needs gold')\n")
        for names, line, code in (((), "1 passed, 0 failed, 1 skipped", 0),
                                  (("test_pass",), "1 passed, 0 failed, 0 skipped", 0),
                                  (("test_skip",), "0 passed, 0 failed, 1 skipped", 1),
                                  (("no such test",), "0 passed, 0 failed, 0 skipped", 1)):
            with self.subTest(names):
                result = self.run_modules(*names, some=body)
                self.assertEqual(result.stdout.splitlines()[-1], line)
                self.assertEqual(result.returncode, code)

    def test_time_out_that_is_swallowed(self) -> None:
        result = self.run_modules(some="import time\n"
                                       "class A(unittest.TestCase):\n"
                                       " def test_expected(self):\n"
                                       "  with self.assertRaises(OSError): time.sleep(60)\n"
                                       " def test_blocked(self):\n"
                                       "  import signal\n"
                                       "  mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])\n"
                                       "  signal.sigwait([signal.SIGALRM])\n"
                                       "  signal.pthread_sigmask(signal.SIG_SETMASK, mask)\n"
                                       " def test_next(self): pass\n")
        self.assertEqual(result.stdout.splitlines()[-3:], ["FAILED  test_some.A.test_blocked",
                                                           "FAILED  test_some.A.test_expected",
                                                           "1 passed, 2 failed, 0 skipped"])
        self.assertIn("reached the time-out of 1 s", result.stdout)

    def test_processes_left_running(self) -> None:
        """A child, an orphan in a session of its own, what a class and what a dead worker leaves."""
        sleep = f"sleep {os.getpid()}0"
        start = ("import subprocess\nclass A(unittest.TestCase):\n"
                 f" def start(self): subprocess.Popen('{sleep}'.split())\n")
        result = self.run_modules(
            some=start +
            " def test_child(self): self.start()\n"
            f" def test_orphan(self): subprocess.run(['setsid', '-f', *'{sleep}'.split()])\n"
            " def test_stopped(self): subprocess.run(['setsid', '-f', 'sh', '-c', 'kill -STOP $$'])\n"
            " def test_cleaned(self): self.addCleanup(subprocess.Popen(['sleep', '60']).kill)\n"
            " def test_ends_soon(self): subprocess.Popen(['sleep', '0.2'])\n"
            " def test_none(self): pass\n",
            group=start +
            " def test_pass(self): pass\n"
            " setUpClass = classmethod(start)\n",
            death=start +
            " def test_death(self): self.start(); os._exit(0)\n")
        failed = [line for line in result.stdout.splitlines() if line.startswith("FAILED")]
        self.assertEqual(failed, ["FAILED  test_death.A.test_death", "FAILED  test_group (its process)",
                                  "FAILED  test_some.A.test_child", "FAILED  test_some.A.test_orphan",
                                  "FAILED  test_some.A.test_stopped"])
        self.assertEqual(result.stdout.splitlines()[-1], "4 passed, 5 failed, 0 skipped")
        self.assertRegex(result.stdout, rf"left process \d+ running: {sleep}")
        self.assertEqual(subprocess.run(["pgrep", "-f", f"^{sleep}$"], stdout=subprocess.PIPE).stdout, b"")


def documented_code() -> str:
    """The code in README.md and in what lies in docs."""
    paths = [support.ROOT / "README.md", *sorted((support.ROOT / "docs").glob("*.md"))]
    return "\n".join(line for path in paths for line in code_of(path.read_text(encoding="utf-8")))


def code_of(markdown: str) -> List[str]:
    """The code in a Markdown text: indented and fenced blocks and `spans`."""
    fences = re.findall(r"^```.*?\n(.*?)^```", markdown, re.MULTILINE | re.DOTALL)
    return fences + re.findall(r"^ {4}.*$", markdown, re.MULTILINE) + re.findall(r"`([^`\n]+)`", markdown)


if __name__ == "__main__":
    unittest.main()
