# SPDX-License-Identifier: MIT
"""Profiles shown to a person: true figures and groups, text that fits, a page that a browser shows as meant.

Screenshots of the page, light and dark, stay in build/show.
"""

import ctypes
import fcntl
import html.parser
import json
import os
import pathlib
import pty
import re
import struct
import subprocess
import sys
import termios
import unicodedata
import unittest
import zlib
from typing import Any, Dict, Iterator, List, Optional, Set, Tuple

import spoc
import support
from support import ALLOW, AUDIT_ARCH_X86_64, ERRNO, MAX_32, X86_64

TIER = "pure"
ARTEFACTS = support.ROOT / "build" / "show"
# What Docker gives a container without --cap-add: DefaultCapabilities in moby, daemon/pkg/oci/caps/defaults.go.
DOCKER_CAPABILITIES = [f"CAP_{name}" for name in """CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP
                       SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE""".split()]
HOSTILE = ["<script>document.title='broken'</script>", "'\"><img/src=x/onerror=alert(1)>", "&amp;", "\x1b[31mred",
           "x" * 5000, "\u202egnp", "漢字" * 60, "--></style></svg></title>", "%s%(title)s", "😀" * 100]


def table() -> Dict[str, Dict[str, str]]:
    """The groups as they stand in spoc.py: group -> name -> mark."""
    groups: Dict[str, Dict[str, str]] = {}
    for part in re.split(r"\n(?=@?[a-z-]+:)", spoc.SYSCALL_GROUPS.strip()):
        group, names = part.split(": ")
        groups[group] = {name.lstrip("-?"): name[0] if name[0] in "-?" else "" for name in names.split()}
    return groups


def all_names() -> Set[str]:
    """Every name that libseccomp knows for the architectures of the project."""
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_syscall_resolve_num_arch.restype = ctypes.c_char_p
    numbers = [*range(1000), *range(0xF0000, 0xF0010)]
    tokens = [each.token for each in (spoc.X86_64, spoc.X86, spoc.AARCH64, spoc.ARM, spoc.RISCV64, spoc.PPC64LE)]
    names = (library.seccomp_syscall_resolve_num_arch(ctypes.c_uint32(token), number)
             for token in tokens for number in numbers)
    return {name.decode() for name in names if name}


def profile(*rules: Dict[str, Any], **more: Any) -> Dict[str, Any]:
    return {"defaultAction": ERRNO, "architectures": [X86_64], "syscalls": list(rules), **more}


def rule(names: List[str], action: str = ALLOW, **more: Any) -> Dict[str, Any]:
    return {"names": names, "action": action, **more}


# What that version has put into groups.
SINCE_SYSTEMD_257 = {
    "@default": "lsm_get_self_attr lsm_list_modules mseal",
    "@file-system": "getxattrat listmount listxattrat removexattrat setxattrat statmount",
    "@sandbox": "landlock_add_rule landlock_create_ruleset landlock_restrict_self seccomp"}


class Data(unittest.TestCase):
    """The tables in spoc.py say what their sources say."""

    @support.kernel_tier
    def test_groups_are_systemd_s(self) -> None:
        support.require_command("systemd-analyze")
        listing = subprocess.run(["systemd-analyze", "syscall-filter"], stdout=subprocess.PIPE, text=True, check=True)
        theirs: Dict[str, Set[str]] = {}
        group = ""
        for line in listing.stdout.splitlines():
            if line.startswith("@"):
                group = line.strip()
                theirs[group] = set()
            elif group and re.match(r" +[a-z_]", line):
                theirs[group].add(line.strip())
        self.assertIn("@known", theirs)
        version = subprocess.run(["systemd-analyze", "--version"], stdout=subprocess.PIPE, text=True).stdout.split()[1]
        if int(version) < 257:
            for group, added in SINCE_SYSTEMD_257.items():
                theirs.setdefault(group, set()).update(added.split())
        ours = table()
        self.assertEqual(set(ours) - {"other"}, {name for name in theirs if name != "@known"})
        names = [name for members in ours.values() for name in members]
        self.assertEqual(len(names), len(set(names)), "each syscall stands in one group")
        for group, members in ours.items():
            if group != "other":
                self.assertEqual(set(members) - theirs[group], set(), group)
        # What it has in no group is in none of ours, and what it has in one is, if libseccomp knows it.
        grouped = set().union(*(members for group, members in theirs.items() if group != "@known"))
        self.assertEqual(set(ours["other"]) & grouped, set())
        # No kernel has had these within living memory: syscalls(2), unimplemented(2).
        never = set("break ftime gtty idle lock mpx prof profil stty ulimit".split())
        self.assertEqual((grouped & all_names()) - set(names), never & all_names())

    def test_docker_s_default_is_docker_s(self) -> None:
        document = json.loads((support.DATA / "docker-default.json").read_text())
        allowed: Dict[str, bool] = {}
        for each in document["syscalls"]:
            includes, excludes = each.get("includes", {}), each.get("excludes", {})
            if set(includes.get("caps", ())) <= set(DOCKER_CAPABILITIES) \
                    and not set(excludes.get("caps", ())) & set(DOCKER_CAPABILITIES) and each["action"] == ALLOW:
                for name in each["names"]:
                    allowed[name] = allowed.get(name, False) or not each.get("args")
        marks = {name: mark for members in table().values() for name, mark in members.items()}
        self.assertEqual({name: "" if whole else "?" for name, whole in allowed.items()},
                         {name: mark for name, mark in marks.items() if mark != "-"})

    def test_risks_are_syscalls(self) -> None:
        names = [name for line in spoc.HIGH_RISK.strip().splitlines() for name in line.split(":")[0].split()]
        self.assertEqual(len(names), len(set(names)))
        self.assertEqual(set(names) - all_names(), set())
        for name in "bpf ptrace mount keyctl userfaultfd kexec_load init_module open_by_handle_at".split():
            self.assertIn(name, names)

    def test_counts_are_libseccomp_s(self) -> None:
        """Every number of a generous range, asked of libseccomp by other code."""
        library = ctypes.CDLL("libseccomp.so.2")
        library.seccomp_syscall_resolve_num_arch.restype = ctypes.c_char_p
        for architecture, first in ((spoc.X86_64, 0), (spoc.X86, 0), (spoc.AARCH64, 0), (spoc.ARM, 0),
                                    (spoc.ARM, 0xF0000), (spoc.X32, 1 << 30), (spoc.RISCV64, 0)):
            names = {library.seccomp_syscall_resolve_num_arch(ctypes.c_uint32(architecture.token), first + number)
                     for number in range(3000)} - {None}
            self.assertGreater(len(names), 2)
            self.assertLessEqual({name.decode() for name in names}, spoc.architecture_syscalls(architecture.token))

    def test_cost_is_what_runs(self) -> None:
        """The longest way is the longest of all calls, counted by running the filter for each."""
        document = profile(rule(["read", "write", "bpf", "openat", "getpid"]), rule(["uname"], "SCMP_ACT_TRAP"))
        parsed, reader = spoc.parse_document(json.dumps(document), "-")
        decoded = spoc.ProfileDecoder(reader, spoc.Host(X86_64, "6.1", ())).decode(parsed)
        for optimize in (1, 2):
            program = spoc.FilterBuilder(decoded, spoc.X86_64).export(optimize=optimize)[0]
            calls = [(AUDIT_ARCH_X86_64, number) for number in [*range(600), 1 << 30, 0xFFFFFFFF]] + [(0x40000003, 1)]
            longest = max(self.steps(program, struct.pack("=II7Q", number, token, *[0] * 7)) for token, number in calls)
            self.assertEqual(spoc.longest_path(program), longest)

    @staticmethod
    def steps(program: bytes, data: bytes) -> int:
        """How many instructions of classic BPF run until one returns."""
        at, count, value = 0, 0, 0
        while True:
            code, if_true, if_false, k = struct.unpack_from("=HBBI", program, 8 * at)
            at, count = at + 1, count + 1
            if code == 0x06:
                return count
            if code == 0x20:
                value, = struct.unpack_from("=I", data, k)
            elif code == 0x05:
                at += k
            else:
                holds = {0x15: value == k, 0x25: value > k, 0x35: value >= k, 0x45: bool(value & k)}[code]
                at += if_true if holds else if_false


class Text(support.Case):
    """What show prints."""

    def show(self, document: Dict[str, Any], *options: str, name: str = "given.json") -> str:
        path = self.folder / name
        path.write_text(json.dumps(document))
        result = support.spoc("show", *options, str(path))
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        return str(result.stdout)

    @staticmethod
    def row(text: str, start: str) -> str:
        """The text of the row that starts so, its further lines joined."""
        found = re.search(rf"^  {re.escape(start)} .*(?:\n {{8,}}.*)*", text, re.MULTILINE)
        assert found, f"no row {start} in {text}"
        return " ".join(found.group().split())

    def test_figures(self) -> None:
        args = [{"index": 1, "value": 16, "valueTwo": 16, "op": "SCMP_CMP_MASKED_EQ"}]
        text = self.show(profile(
            rule(["read", "write", "bpf", "clone3"]), rule(["uname"], "SCMP_ACT_LOG"), rule(["clone"], args=args),
            rule(["getpid", "getppid"], ERRNO, errnoRet=38), rule(["ptrace"], "SCMP_ACT_KILL_PROCESS"),
            rule(["red"]), flags=["SECCOMP_FILTER_FLAG_LOG"]))
        total = len(spoc.architecture_syscalls(AUDIT_ARCH_X86_64))
        self.assertIn(f"\nx86_64       {'░' * 24} 6 of {total} syscalls allowed, 2 %\n", text)
        self.assertIn("\ndefault      SCMP_ACT_ERRNO (EPERM)\n", text)
        self.assertIn("\nflags        SECCOMP_FILTER_FLAG_LOG\n", text)
        self.assertIn("\nflags        none\n", self.show(profile(rule(["red"]), flags=[])))
        self.assertNotIn("\nflags", self.show(profile(rule(["red"]))))
        self.assertIn("\nHigh risk: 2 allowed\n", text)
        self.assertEqual(self.row(text, "bpf"), "bpf loads programs into the kernel")
        self.assertIn("clone3 makes", self.row(text, "clone3"))
        self.assertEqual(self.row(text, "@basic-io"), "@basic-io 2/16 read write")
        self.assertEqual(self.row(text, "@process"), "@process 2/20 clone clone3")
        self.assertEqual(self.row(text, "clone "), "clone if args[1] & 0x10 == 0x10")
        self.assertEqual(self.row(text, "SCMP_ACT_ERRNO (ENOSYS)"), "SCMP_ACT_ERRNO (ENOSYS) 2 getpid getppid")
        self.assertEqual(self.row(text, "SCMP_ACT_LOG"), "SCMP_ACT_LOG 1 uname")
        self.assertEqual(self.row(text, "SCMP_ACT_KILL_PROCESS"), "SCMP_ACT_KILL_PROCESS 1 ptrace")
        self.assertEqual(self.row(text, "wider by"), "wider by 2 clone3, bpf")
        self.assertEqual(self.row(text, "not compared"), "not compared 1 clone, which both allow under conditions")
        self.assertEqual(self.row(text, "skipped"), "skipped 1 red")

    def test_docker_s_default_is_as_wide_as_itself(self) -> None:
        result = support.spoc("show", str(support.DATA / "docker-default.json"))
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("by 0 syscalls, wider by 0", " ".join(result.stdout.split()))
        self.assertEqual(self.row(result.stdout, "wider by"), "wider by 0")

    def test_cost(self) -> None:
        text = self.show(profile(rule(list(spoc.BASE_SYSCALLS))))
        compiled = support.spoc("convert", "-t", "bpf", str(self.folder / "given.json"), text=False).stdout
        self.assertIn(f"\nfilter       {len(compiled) // 8} BPF instructions, ", text)

    def test_deny_list_names_what_is_missing(self) -> None:
        text = self.show(profile(rule(["mount", "umount2"], ERRNO), defaultAction=ALLOW))
        self.assertEqual(self.row(text, "@mount"), "@mount 9/11 all but mount umount2")
        self.assertEqual(self.row(text, "@swap"), "@swap 2/2 all")

    def test_80_columns_without_a_terminal(self) -> None:
        documents = [profile(), profile(rule(HOSTILE)), profile(rule(sorted(all_names()))),
                     profile(rule([f"n{number}" for number in range(30000)]), defaultAction="SCMP_ACT_LOG"),
                     profile(rule(["socket"], args=[{"index": index, "op": "SCMP_CMP_MASKED_EQ", "value": (1 << 64) - 1,
                                                     "valueTwo": (1 << 64) - 1} for index in range(6)])),
                     profile(architectures=spoc.ARCHITECTURES[1:6])]
        for document in documents:
            text = self.show(document, name="a name that is longer than a line of the text, " * 2 + ".json")
            self.assertLessEqual(max(map(len, text.splitlines())), 80)
            self.assertEqual([line for line in text.splitlines() if line != line.rstrip()], [])
            odd = {each for each in text if not each.isprintable() or unicodedata.east_asian_width(each) in "WF"}
            self.assertEqual(odd, {"\n"})

    def test_terminal_s_width_and_colour(self) -> None:
        path = self.folder / "given.json"
        path.write_text(json.dumps(profile(rule(sorted(all_names())))))
        for columns in (50, 80, 132):
            text = self.on_terminal(path, columns)
            self.assertIn("\x1b[1;31mHigh risk", text)
            widest = max(map(len, re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()))
            self.assertLessEqual(widest, columns)
            self.assertGreater(widest, columns - 12)
        environment = {**os.environ, "COLUMNS": "200", "FORCE_COLOR": "1", "CLICOLOR_FORCE": "1"}
        plain = support.spoc("show", str(path), env=environment).stdout
        self.assertNotIn("\x1b", plain)
        self.assertLessEqual(max(map(len, plain.splitlines())), 80)

    @staticmethod
    def on_terminal(path: pathlib.Path, columns: int) -> str:
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        process = subprocess.Popen([sys.executable, str(support.SPOC), "show", str(path)], stdin=subprocess.DEVNULL,
                                   stdout=slave, stderr=subprocess.DEVNULL,
                                   env={**os.environ, "TERM": "xterm", "NO_COLOR": ""})
        os.close(slave)
        data = b""
        try:
            while True:
                data += os.read(master, 65536)
        except OSError:  # EIO: the other end is closed
            pass
        finally:
            os.close(master)
        assert process.wait() == 0
        return data.decode().replace("\r\n", "\n")

    def test_usage_and_bad_input(self) -> None:
        usages: List[List[str]] = [[], [""], ["a", "b"], ["--html", "", "a"], ["--text", "a"]]
        for arguments in usages:
            result = support.spoc("show", *arguments)
            self.assertEqual((result.returncode, result.stdout), (2, ""))
        itself = self.folder / "itself"
        itself.write_text('{"defaultAction": "SCMP_ACT_ERRNO"}')
        self.assertEqual(support.spoc("show", "--html", str(itself), str(itself)).returncode, 2)
        self.assertEqual(itself.read_text(), '{"defaultAction": "SCMP_ACT_ERRNO"}')
        (self.folder / "bad").write_text('{"defaultAction": "SCMP_ACT_ERRNO", "x": 1}')
        for name in ("bad", "none", "."):
            result = support.spoc("show", "--html", str(self.folder / "page"), str(self.folder / name))
            self.assertEqual((result.returncode, result.stdout), (125, ""))
            self.assertRegex(result.stderr, r"\A\S+ Error: read profile: [^\n]+\n\Z")
            self.assertFalse((self.folder / "page").exists())

    def test_architecture_of_the_other_byte_order(self) -> None:
        order = "SCMP_ARCH_S390X" if sys.byteorder == "little" else X86_64
        text = self.show(profile(rule(["read"]), architectures=[order]))
        self.assertIn(f"filter       cannot be built here: {order}: ", text)
        self.assertIn("1 of ", text)

    def test_names_of_values(self) -> None:
        """What ioctl requests, socket families and flags are called, where the profile compares them."""
        def condition(index: int, value: int, mask: int = 0) -> Dict[str, Any]:
            return {"index": index, "value": mask or value, "op": "SCMP_CMP_MASKED_EQ" if mask else "SCMP_CMP_EQ",
                    **({"valueTwo": value} if mask else {})}

        for name, given, shown in (
                ("ioctl", condition(1, 0x5401, MAX_32), "args[1] & 0xffffffff == 0x5401 (TCGETS)"),
                ("ioctl", condition(1, 0x5413), "args[1] == 21523 (TIOCGWINSZ)"),
                ("socket", condition(0, 2), "args[0] == 2 (AF_INET)"),
                ("socket", condition(1, 0x80002), "args[1] == 524290 (SOCK_DGRAM|SOCK_CLOEXEC)"),
                ("socket", condition(1, 0x80803), "(SOCK_RAW|SOCK_NONBLOCK|SOCK_CLOEXEC)"),
                ("clone", condition(0, 0, 0x7E020000),
                 "args[0] & 0x7e020000 == 0x0 (none of CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC, "
                 "CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET)"),
                ("clone", condition(0, 0x1200011), "(0x11|CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID)"),
                ("unshare", condition(0, 0x20000, 0x20000), "(all of CLONE_NEWNS)"),
                ("mprotect", condition(2, 5), "(PROT_READ|PROT_EXEC)"), ("mprotect", condition(2, 4, 4), "PROT_EXEC)"),
                ("futex", condition(1, 0x81), "(FUTEX_WAKE|FUTEX_PRIVATE_FLAG)"),
                ("futex", condition(1, 0x80), "(FUTEX_WAIT_PRIVATE)"),
                ("prctl", condition(0, 38), "(PR_SET_NO_NEW_PRIVS)"),
                ("personality", condition(0, 0x20008), "(PER_LINUX32|UNAME26)"),
                ("fcntl", condition(1, 1030), "(F_DUPFD_CLOEXEC)"), ("open", condition(1, 0), "(O_RDONLY)"),
                ("openat", condition(2, 0o102), "(O_RDWR|O_CREAT)"),
                ("openat", condition(2, 0, 3), "(none of O_WRONLY, O_RDWR)"),
                ("setsockopt", condition(1, 1), "(SOL_SOCKET)"), ("getsockopt", condition(1, 41), "(SOL_IPV6)"),
                ("setsockopt", condition(1, 6), "(IPPROTO_TCP)")):
            with self.subTest(name=name, shown=shown):
                text = " ".join(self.show(profile(rule([name], args=[given]))).split())
                self.assertIn(shown, text)
        text = self.show(profile(rule(["ioctl"], args=[condition(1, 0x123456)]),
                                 rule(["lseek"], args=[condition(0, 1)])))
        self.assertNotIn("(", text[text.index("Under conditions"):text.index("Against")])
        # Where numbers differ, as on MIPS, no name is better than a wrong one.
        text = self.show(profile(rule(["ioctl"], args=[condition(1, 0x5401)]), architectures=["SCMP_ARCH_MIPSEL"]))
        self.assertNotIn("TCGETS", text)

    def test_base_profile_is_named(self) -> None:
        document = {"apiVersion": "security-profiles-operator.x-k8s.io/v1beta1", "kind": "SeccompProfile",
                    "metadata": {"name": "x"}, "spec": {**profile(rule(["read"])), "baseProfileName": "runc-v1"}}
        self.assertIn("builds on    runc-v1, whose rules come in addition and are not shown", self.show(document))

    @support.kernel_tier
    def test_large_profile_takes_bounded_time(self) -> None:
        names = [f"n{number}" for number in range(100_000)] + ["read"] * 100_000
        text = self.show(profile(*[rule([name]) for name in names[:5_000]], rule(names)))
        self.assertIn("1 of ", text)
        self.assertIn(f"and {100_000 - 200} more", " ".join(text.split()))


class Elements(html.parser.HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, page: str):
        super().__init__()
        self.found: List[Tuple[str, Dict[str, Optional[str]]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: List[Tuple[str, Optional[str]]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data + " "

    def names(self) -> Set[str]:
        return {tag for tag, _ in self.found}


def pixels(png: bytes) -> Iterator[bytes]:
    """The rows of a PNG of 8 bits a channel, as they are before the filters are undone."""
    data, at = b"", 8
    while at < len(png):
        size, kind = struct.unpack_from(">I4s", png, at)
        data += png[at + 8:at + 8 + size] if kind == b"IDAT" else b""
        at += 12 + size
    width, height = struct.unpack_from(">II", png, 16)
    rows = zlib.decompress(data)
    length = len(rows) // height
    yield from (rows[row * length + 1:(row + 1) * length] for row in range(height))


@support.kernel_tier
class Page(support.Case):
    """The page, as a browser takes it."""

    def setUp(self) -> None:
        super().setUp()
        support.require_command("chromium")

    def browse(self, page: pathlib.Path, *options: str) -> str:
        result = subprocess.run(
            ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
             "--disable-dev-shm-usage", f"--user-data-dir={self.folder / 'browser'}", *options, page.as_uri()],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=110)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout

    def page(self, document: Dict[str, Any], name: str) -> Tuple[pathlib.Path, str]:
        """A profile's page, and its text on standard output."""
        given, page = self.folder / name, self.folder / "page.html"
        given.write_text(json.dumps(document))
        result = support.spoc("show", "--html", str(page), str(given))
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        return page, result.stdout

    def test_browser_shows_what_the_text_says(self) -> None:
        args = [{"index": 0, "value": 2, "op": "SCMP_CMP_EQ"}]
        document = profile(rule([*spoc.BASE_SYSCALLS, "bpf"]), rule(["socket"], args=args),
                           rule(["getpid"], "SCMP_ACT_LOG"), rule(["personality"], ERRNO, errnoRet=38))
        page, text = self.page(document, "shipped.json")
        shown = Elements(self.browse(page, "--dump-dom"))
        words = " ".join(shown.text.split())
        for line in text.splitlines()[1:]:
            for part in re.split(r" {2,}|[█░]+", line):
                self.assertIn(part.strip(), words)
        self.assertIn("Under conditions: 1", words)
        marks = [attributes["class"] for tag, attributes in shown.found if tag == "rect"]
        allowed, total = map(int, re.findall(r"(\d+) of (\d+) syscalls", text)[0])
        legend = 6  # five marks, one of them with a ring
        self.assertEqual(len([mark for mark in marks if mark != "ring"]), total + legend - 1)
        drawn = Elements("".join(re.findall(r"<svg.*?</svg>", page.read_text(), re.DOTALL))).text.split()
        # Each with its name, so that nobody has to hover.
        self.assertLessEqual(spoc.architecture_syscalls(spoc.X86_64.token), set(drawn))
        self.assertEqual(sum(mark in ("yes", "if", "risky") for mark in marks), allowed + 3)
        ARTEFACTS.mkdir(parents=True, exist_ok=True)
        shades = []
        for scheme, name in enumerate(("dark", "light")):
            picture = ARTEFACTS / f"{name}.png"
            picture.unlink(missing_ok=True)
            self.browse(page, f"--blink-settings=preferredColorScheme={scheme}", "--window-size=1100,2600",
                        f"--screenshot={picture}")
            data = picture.read_bytes()
            self.assertEqual(struct.unpack_from(">II", data, 16), (1100, 2600))
            self.assertGreater(len(set(pixels(data))), 300, "rows of the picture that differ")
            shades.append(max(next(pixels(data))[:3]))
        self.assertLess(shades[0], 60)
        self.assertGreater(shades[1], 200)

    def test_hostile_names_stay_text(self) -> None:
        name = "<img src=x onerror=alert(1)>&quot;.json"
        page, _ = self.page(profile(rule([*HOSTILE, "read"]), rule(HOSTILE, "SCMP_ACT_TRAP")), name)
        plain, _ = self.page(profile(rule(["read"])), "plain.json")
        allowed = Elements(plain.read_text()).names() | {"tr", "th", "td", "section", "table", "caption", "tbody"}
        self.page(profile(rule([*HOSTILE, "read"]), rule(HOSTILE, "SCMP_ACT_TRAP")), name)
        shown = Elements(self.browse(page, "--dump-dom"))
        self.assertEqual(shown.names() - allowed, set())
        self.assertNotIn("script", shown.names())
        self.assertIn(f"{name}: seccomp profile", shown.text)
        for hostile in HOSTILE:
            words = hostile.encode("ascii", "backslashreplace").decode().replace("\x1b", "\\x1b").replace("\n", "\\n")
            self.assertIn(words.split()[0][:60], shown.text)

    def test_self_contained_and_accessible(self) -> None:
        page, _ = self.page({"defaultAction": ERRNO, "syscalls": [rule(["read", "bpf"])]}, "shipped.json")
        text = page.read_text()
        self.assertNotRegex(text, r"(?i)https?:|url\(|@import|<(script|link|img|iframe|object)|\son\w+=|javascript:")
        found = Elements(text).found
        self.assertIn(("html", {"lang": "en"}), found)
        self.assertIn("default-src 'none'", str(found))
        drawings = [attributes for tag, attributes in found if tag == "svg"]
        self.assertEqual(len(drawings), 1 + sum(tag == "figcaption" for tag, _ in found))
        for svg in drawings:
            self.assertEqual(svg["role"], "img")
            self.assertRegex(svg["aria-label"] or "", r"^(What the marks mean|@?[a-z-]+: \d+ of \d+ allowed)$")
            # No wider than a telephone shows letters of 11 points in, and nothing is cut off.
            width, height = map(float, (svg["viewbox"] or "").split()[2:])
            self.assertLessEqual(width, 320)
        for tag, attributes in found:
            if tag == "text":
                end = float(attributes["x"] or 0) + float(attributes["textlength"] or 0)
                self.assertLessEqual(end, 320)
        self.assertIn('<meta name="viewport" content="width=device-width', text)
        tables = sum(tag == "table" for tag, _ in found)
        self.assertEqual(tables, sum(tag == "caption" for tag, _ in found))
        self.assertTrue(all(attributes == {"scope": "row"} for tag, attributes in found if tag == "th"))
        self.assert_contrast(text)

    def assert_contrast(self, text: str) -> None:
        """Text on cards and page has a contrast of at least 4.5, marks of 3 (WCAG 2.1, 1.4.3 and 1.4.11)."""
        def luminance(colour: str) -> float:
            digits = colour if len(colour) == 6 else "".join(2 * digit for digit in colour)
            parts = [int(digits[at:at + 2], 16) / 255 for at in (0, 2, 4)]
            linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
            return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

        schemes = re.findall(r":root \{([^}]*)\}", text)
        self.assertEqual(len(schemes), 2)
        for scheme in schemes:
            colours = {name: luminance(value) for name, value in re.findall(r"--(\w+): #([0-9a-f]+)", scheme)}
            for name, least in (("text", 4.5), ("soft", 4.5), ("risk", 4.5), ("yes", 3), ("if", 2.5)):
                for ground in ("card", "page"):
                    light, dark = sorted((colours[name], colours[ground]), reverse=True)
                    self.assertGreaterEqual((light + 0.05) / (dark + 0.05), least, f"{name} on {ground}")

    def test_page_is_written_as_a_profile_is(self) -> None:
        other, link = self.folder / "other", self.folder / "page.html"
        other.write_text("mine")
        link.symlink_to(other)
        self.page(profile(rule(["read"])), "a.json")
        self.assertEqual(other.read_text(), "mine")
        result = support.spoc("show", "--html", "-", str(self.folder / "a.json"))
        self.assertEqual(result.stdout, link.read_text())
        result = support.spoc("show", "--html", str(self.folder / "no/page"), str(self.folder / "a.json"))
        self.assertEqual(result.returncode, 125)
        self.assertIn("make the folder", result.stderr)


if __name__ == "__main__":
    unittest.main()
