# SPDX-License-Identifier: MIT
"""doctor, on machines that lack something for real: its facts, its remedies, and that its verdict comes true."""

import contextlib
import errno
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import unittest
from typing import Any, Dict, List, Optional, Sequence, Tuple

import spoc
from cases import PR_GET_SECCOMP, PR_SET_SECCOMP, SECCOMP_GET_NOTIF_SIZES, LibraryCase, without
from support import (AS_NOBODY, DATA, NOBODY, OBJECT, ROOT, build, in_mounts, library_path, require_command, wait_until,
                     with_capabilities)

TIER = "kernel"
ITEMS = ("kernel architecture python privileges libbpf libseccomp bpf jit tracepoints memlock unprivileged_bpf "
         "lockdown seccomp actions_logged notification audit filter container object bytecode recorder attach proc "
         "tmp").split()
OWN_PID_NAMESPACE = ("unshare", "--pid", "--fork", "--mount", "--propagation", "private", "sh", "-ec",
                     'mount -t tmpfs none /proc; exec "$@"', "sh")


def output(*command: str) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


NO_SECCOMP = ((errno.ENOSYS, "seccomp", None), (errno.EINVAL, "prctl", PR_GET_SECCOMP),
              (errno.EINVAL, "prctl", PR_SET_SECCOMP))


class DoctorCase(LibraryCase):
    def doctor(self, *wrapper: str, environment: Optional[Dict[str, str]] = None) -> Dict[str, Any]:
        """What --json prints, once the form of it has been checked."""
        result = subprocess.run([*wrapper, sys.executable, str(self.program), "doctor", "--json"],
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                timeout=120, env={**os.environ, **(environment or {})})
        # Of a wrapper.
        self.assertRegex(result.stderr, r"\A(\S+ (The command ended|The profile was applied|Unable to run: ).*\n)*\Z")
        document: Dict[str, Any] = json.loads(result.stdout)
        self.assertEqual(list(document), ["version", "record", "run", "exit_code", "checks"])
        self.assertEqual(document["exit_code"], result.returncode)
        self.assertEqual([check["item"] for check in document["checks"]], ITEMS)
        for check in document["checks"]:
            self.assertEqual(list(check), ["item", "state", "fact", "remedy"])
            self.assertIn(check["state"], ("ok", "degraded", "missing"))
            self.assertEqual(check["remedy"] == "", check["state"] == "ok", check)
            self.assertTrue(check["fact"], check)
        return document

    @staticmethod
    def check(document: Dict[str, Any], item: str) -> Dict[str, str]:
        found: Dict[str, str] = next(check for check in document["checks"] if check["item"] == item)
        return found

    def fact(self, item: str, *wrapper: str, environment: Optional[Dict[str, str]] = None) -> str:
        return self.check(self.doctor(*wrapper, environment=environment), item)["fact"]

    @staticmethod
    def wanting(document: Dict[str, Any]) -> Dict[str, str]:
        return {check["item"]: check["state"] for check in document["checks"] if check["state"] != "ok"}

    def private_tmp(self, options: str = "mode=1777") -> Tuple[str, ...]:
        """Run where /tmp holds the test's folder and nothing else."""
        return in_mounts(f"mount --bind {self.folder} /mnt; mount -t tmpfs none /tmp; mkdir -p {self.folder}\n"
                         f"mount --move /mnt {self.folder}; mount -o remount,{options} /tmp")

    def setUp(self) -> None:
        super().setUp()
        self.usual = set(self.wanting(self.doctor(*self.private_tmp())))
        self.assertLessEqual(self.usual, {"audit", "actions_logged", "attach", "lockdown"},
                             "this machine is not fit for tests")

    def assert_wanting(self, document: Dict[str, Any], items: str, fact: str, remedy: str) -> None:
        """Just these items are not ok; fact and remedy of the first match these regular expressions.

        Without the recorder nothing attaches to what runs.
        """
        wanting = set(items.split()) | ({"attach"} if "recorder" in items else set())
        self.assertEqual(set(self.wanting(document)) - self.usual - {"tmp"}, wanting - self.usual, document)
        first = self.check(document, items.split()[0])
        self.assertRegex(first["fact"], fact)
        self.assertRegex(first["remedy"], remedy)


class Facts(DoctorCase):
    """Compared with what other programs say of this machine."""

    def test_kernel_and_architecture(self) -> None:
        document = self.doctor()
        self.assertEqual(self.check(document, "kernel")["fact"], f"Linux {output('uname', '-r')}")
        bits = len(output(sys.executable, "-c", "import struct; print(struct.calcsize('P') * '########')"))
        self.assertEqual(self.check(document, "architecture")["fact"], f"{output('uname', '-m')}, {bits}-bit userland")
        self.assertIn(output(sys.executable, "-V").split()[1], self.check(document, "python")["fact"])

    def test_libraries(self) -> None:
        require_command("dpkg-query")
        document = self.doctor()
        for item, package in (("libbpf", "libbpf1"), ("libseccomp", "libseccomp2")):
            version, soname = self.check(document, item)["fact"].split()
            shown = output("dpkg-query", "-W", "-f=${Version}", package)
            self.assertRegex(shown, rf"\A(\d+:)?{re.escape(version)}[.-]")
            self.assertRegex(output("dpkg-query", "-L", package), rf"/{re.escape(soname[1:-1])}(?m:$)")

    def test_capabilities(self) -> None:
        require_command("capsh")
        root: Tuple[str, ...] = ()
        last = int(pathlib.Path("/proc/sys/kernel/cap_last_cap").read_text())
        every = set(output("capsh", f"--decode={(2 << last) - 1:x}").partition("=")[2].split(","))
        for wrapper, user in ((root, "root"), (AS_NOBODY, f"uid {NOBODY}"), (with_capabilities("bpf", "perfmon"),
                              f"uid {NOBODY}"), (with_capabilities("sys_admin"), f"uid {NOBODY}"),
                              (("setpriv", "--bounding-set=-all"), "root"),
                              (("setpriv", "--bounding-set=-bpf,-chown,-sys_admin"), "root")):
            with self.subTest(wrapper):
                mask = output(*wrapper, "sh", "-c", "while read name value; do case $name in CapEff:) echo $value;; "
                              "esac; done </proc/self/status")
                held = set(filter(None, output("capsh", f"--decode={mask}").partition("=")[2].split(",")))
                told_user, _, told = self.fact("privileges", *wrapper).partition(", ")
                self.assertEqual(told_user, user)
                if told.startswith("all capabilities"):
                    self.assertEqual(set(re.findall(r"cap_\w+", told)), every - held)
                else:
                    self.assertEqual(set(re.findall(r"cap_\w+", told)), held)
                    self.assertEqual(told == "no capabilities", not held)

    def test_sudo(self) -> None:
        require_command("sudo")
        fact = self.fact("privileges", "env", "SUDO_UID=1234", "SUDO_GID=1234")
        self.assertRegex(fact, r"\Aroot, .*; through sudo, by uid 1234\Z")

    def test_bpf_features(self) -> None:
        require_command("bpftool")
        for wrapper in ((build("refuse.c"), str(errno.EPERM), "1000"), (build("refuse.c"), str(errno.ENOSYS), "-1"),
                        (build("refuse.c"), str(errno.EPERM), "5")):
            with self.subTest(wrapper[1:]):
                features = subprocess.run([*wrapper, "/usr/bin/env", "bpftool", "feature", "probe", "kernel"],
                                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
                available = "eBPF program_type raw_tracepoint is available" in features
                document = self.doctor(*wrapper)
                self.assertEqual(self.check(document, "bpf")["state"], "ok" if available else "missing")
                self.assertEqual(self.check(document, "tracepoints")["state"], "ok" if available else "missing")

    def test_limits_and_settings(self) -> None:
        require_command("prlimit", "sysctl")
        document = self.doctor("prlimit", "--memlock=65536:65536")
        self.assertRegex(self.check(document, "memlock")["fact"], r"\A64 KiB\b")
        told = self.check(document, "unprivileged_bpf")["fact"]
        self.assertEqual(told.split(":")[0], output("sysctl", "-n", "kernel.unprivileged_bpf_disabled"))
        told = self.check(document, "actions_logged")["fact"]
        self.assertEqual(told, output("sysctl", "-n", "kernel.seccomp.actions_logged"))

    def test_jit(self) -> None:
        require_command("sysctl")
        on = output("sysctl", "-n", "net.core.bpf_jit_enable") != "0"
        self.assertEqual(self.fact("jit"), "on" if on else "off: programs are interpreted")
        self.assertRegex(self.fact("jit", "unshare", "--net"), r"\Anot known: net\.core\.bpf_jit_enable ")
        folder = "/proc/sys/net/core"
        off = self.folder / "off"
        for script, fact in ((f"echo 0 > {off}; mount --bind {off} {spoc.JIT_SETTING}", "off"),
                             (f"mount -t tmpfs none {folder}; touch {folder}/netdev_max_backlog",
                              "the kernel has none"),
                             (f"mount -t tmpfs none {folder}", "not known: net.core.bpf_jit_enable is not there")):
            found = self.check(self.doctor(*in_mounts(script)), "jit")
            self.assertEqual((found["fact"].partition(": programs")[0], found["state"]), (fact, "ok"))

    def test_lockdown(self) -> None:
        """What a securityfs would show: the kernel's lockdown itself cannot be undone."""
        for shown, mode, state in (("[none] integrity confidentiality", "none", "ok"),
                                   ("none [integrity] confidentiality", "integrity", "ok"),
                                   ("none integrity [confidentiality]", "confidentiality", "degraded")):
            script = (f"mount -t tmpfs none /sys; mkdir -p /sys/kernel/security\n"
                      f"echo '{shown}' > /sys/kernel/security/lockdown")
            found = self.check(self.doctor(*in_mounts(script)), "lockdown")
            self.assertEqual((found["fact"], found["state"]), (mode, state))

    def test_filter(self) -> None:
        for wrapper in ((), (build("refuse.c"), str(errno.EPERM), "1000")):
            seccomp = re.findall(r"(?m)^Seccomp:\s*(\d+)$", output(*wrapper, "/bin/cat", "/proc/self/status"))
            found = self.check(self.doctor(*wrapper), "filter")
            self.assertEqual(found["state"], {"0": "ok", "2": "degraded"}[seccomp[0]])

    def test_container(self) -> None:
        require_command("systemd-detect-virt")
        found = subprocess.run(["systemd-detect-virt", "--container"], stdout=subprocess.PIPE, text=True)
        self.assertEqual(self.fact("container").split(";")[0].split()[0].lower(), found.stdout.strip())
        script = "mount -t tmpfs none /run; touch /run/.containerenv"
        if not os.path.exists("/.dockerenv"):
            self.assertEqual(self.fact("container", *in_mounts(script)).split(";")[0], "Podman")

    def test_namespaces(self) -> None:
        self.assertRegex(self.fact("container"), "; the initial namespaces")
        for wrapper, names in (("--ipc", "ipc"), ("--uts", "uts"), ("--cgroup", "cgroup"),
                               ("--pid --fork --mount-proc", "pid"), ("--map-root-user", "user"),
                               ("--ipc --uts --pid --fork --mount-proc", "ipc, uts, pid")):
            with self.subTest(names):
                noun = "namespaces" if "," in names else "namespace"
                self.assertRegex(self.fact("container", "unshare", *wrapper.split()), f"; its own {names} {noun}$")

    def test_audit(self) -> None:
        """The kernel knows whether auditd runs; a log that one has left means nothing."""
        shown = "mount -t tmpfs none /var/log; mount -t tmpfs none /run; mkdir /var/log/audit\n"
        for more in "", "touch /var/log/audit/audit.log /run/auditd.pid":
            fact = self.fact("audit", *in_mounts(shown + more))
            self.assertRegex(fact, r"\Anetlink, kmsg can be read; no auditd runs; audit-log: auditd, which writes it")
        document = self.doctor(*AS_NOBODY)
        self.assertEqual(self.check(document, "audit")["state"], "missing")
        self.assertRegex(self.check(document, "audit")["fact"], r"\Anothing can be read")

    def test_object(self) -> None:
        size, uid = output("stat", "-c", "%s %u", str(self.object)).split()
        self.assertEqual(self.fact("object"), f"intact, {size} bytes, of uid {uid}: {self.object}")

    def test_notification(self) -> None:
        """Where no filter can have a listener."""
        self.assertEqual(self.check(self.doctor(*AS_NOBODY), "notification")["state"], "ok")
        for number, name, argument, reason in (
                (errno.EBUSY, "seccomp", 1, os.strerror(errno.EBUSY)),
                (errno.EINVAL, "seccomp", SECCOMP_GET_NOTIF_SIZES, os.strerror(errno.EINVAL)),
                (errno.EPERM, "sendmsg", None, "the listener of its filter did not arrive")):
            with self.subTest(reason):
                found = self.check(self.doctor(*without((number, name, argument))), "notification")
                self.assertEqual(found["state"], "missing", found)
                self.assertIn(reason, found["fact"])


class Attach(DoctorCase):
    """What of record and watch works on what runs already: as the commands themselves then do."""

    GROUPS = "mount -t tmpfs none /sys; mkdir -p /sys/fs/cgroup; "

    def attach(self, *wrapper: str) -> Dict[str, str]:
        """That check; what it lacks does not change what the whole comes to."""
        document = self.doctor(*wrapper)
        others = {item for item in self.wanting(document) if item not in ("actions_logged", "attach", "audit")}
        if not others:
            self.assertEqual(document["exit_code"], 0)
        return self.check(document, "attach")

    def watched(self, *wrapper: str) -> str:
        """What watch says in its first second, of which nothing else is wanted."""
        result = subprocess.run([*wrapper, sys.executable, str(self.program), "watch", "--for", "1"], text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
        return result.stderr

    def test_whole(self) -> None:
        found = self.attach(*in_mounts(self.GROUPS + "mount -t cgroup2 none /sys/fs/cgroup"))
        self.assertEqual(found["state"], "ok")
        self.assertRegex(found["fact"], r"\A--pid, --container, --containers, --cgroup, the whole machine(, --unit)?; "
                         r".*; control groups of version 2\Z")
        self.assertEqual("--unit," in found["fact"] or "--unit;" in found["fact"], os.path.isdir("/run/systemd/system"))
        self.assertIn("Watching every task", self.watched())

    def test_pid_namespace(self) -> None:
        wrapper = ("unshare", "-pf", "--mount-proc")
        found = self.attach(*wrapper)
        self.assertEqual(found["state"], "missing")
        self.assertRegex(found["fact"], "this pid namespace is not the machine's")
        self.assertRegex(found["remedy"], "outside of the container")
        self.assertIn("this pid namespace is not the machine's", self.watched(*wrapper))
        self.assertEqual(self.attach(*in_mounts("mount -t tmpfs none /proc"))["remedy"], "mount -t proc proc /proc")

    def test_capabilities(self) -> None:
        found = self.attach(*AS_NOBODY)
        self.assertEqual((found["state"], found["remedy"]),
                         ("missing", "run it as root, or with CAP_BPF and CAP_PERFMON"))
        self.assertRegex(found["fact"], "Operation not permitted")
        needed = ("bpf", "perfmon")
        found = self.attach(*with_capabilities(*needed))
        self.assertEqual(found["state"], "degraded" if found["remedy"] else "ok")
        self.assertRegex(found["fact"], "the calls that other users' tasks are in cannot be read")
        # The kernel's answer: root's own task, without and with what the remedy names.
        path = pathlib.Path(f"/proc/{os.getpid()}/syscall")
        more = [name[4:].lower() for name in re.findall(r"CAP_\w+", found["remedy"])]
        self.assertEqual(len(more), 2, found["remedy"])
        for names, works in ((needed, False), ((*needed, *more), True)):
            result = subprocess.run([*with_capabilities(*names), "cat", str(path)], stdout=subprocess.PIPE,
                                    stderr=subprocess.DEVNULL)
            self.assertEqual(result.returncode == 0, works, names)
            self.assertEqual("cannot be read" in self.attach(*with_capabilities(*names))["fact"], not works)

    def test_control_groups(self) -> None:
        found = self.attach(*in_mounts(self.GROUPS))
        self.assertEqual(found["state"], "degraded")
        self.assertRegex(found["fact"], r"\A--pid, --container, --containers, the whole machine; .*; no --cgroup, "
                         r"--unit: no control groups are mounted\Z")
        self.assertEqual(found["remedy"], "mount -t cgroup2 none /sys/fs/cgroup")
        remedied = self.attach(*in_mounts(self.GROUPS + found["remedy"]))
        self.assertEqual(remedied["state"], "ok")
        found = self.attach(*in_mounts(self.GROUPS + "mount -t cgroup -o none,name=systemd none /sys/fs/cgroup"))
        self.assertEqual(found["state"], "degraded")
        self.assertRegex(found["fact"], r"--cgroup, .*; control groups of version 1, where what is moved into one "
                                        r"later is not seen\Z")
        self.assertRegex(found["remedy"], "version 2")


class Machines(DoctorCase):
    """Each lacks one thing: that and what depends on it is told, with the remedy, and nothing else."""

    def test_a_whole_one(self) -> None:
        document = self.doctor(*self.private_tmp())
        self.assertEqual(set(self.wanting(document)), self.usual)
        self.assertEqual((document["record"], document["run"]), ("bpf", "tracepoint"))
        self.assertEqual(document["exit_code"], 1 if "lockdown" in self.usual else 0)

    def test_no_libbpf(self) -> None:
        path = library_path("libbpf.so.1")
        document = self.doctor(*self.hiding(path.parent, "libbpf.so.1", path.name))
        self.assert_wanting(document, "libbpf recorder", "libbpf.so.1: cannot open", "install libbpf .*libbpf1")

    def test_libbpf_of_the_older_soname(self) -> None:
        path = library_path("libbpf.so.1")
        (self.folder / "older").mkdir()
        shutil.copy(path, self.folder / "older" / "libbpf.so.0")
        document = self.doctor(*self.hiding(path.parent, "libbpf.so.1", path.name),
                               environment={"LD_LIBRARY_PATH": str(self.folder / "older")})
        self.assertEqual(set(self.wanting(document)) - {"tmp"}, self.usual)
        self.assertRegex(self.check(document, "libbpf")["fact"], r"\(libbpf\.so\.0\)\Z")

    def test_no_libseccomp(self) -> None:
        path = library_path("libseccomp.so.2")
        document = self.doctor(*self.hiding(path.parent, "libseccomp.so.2", path.name))
        self.assert_wanting(document, "libseccomp notification recorder", "libseccomp.so.2: cannot open",
                            "install libseccomp .*libseccomp2")
        self.assertEqual((document["record"], document["run"], document["exit_code"]), (None, None, 2))

    def test_libseccomp_without_a_symbol(self) -> None:
        names = [name for name, *_ in spoc.LIBSECCOMP]
        lacking = "seccomp_rule_add_array"
        source = "".join(f"void {name}(void) {{}}\n" for name in names if name != lacking)
        document = self.doctor(environment=self.stub("libseccomp.so.2", source))
        self.assert_wanting(document, "libseccomp notification recorder", f"has no {lacking}, too old",
                            "install libseccomp 2.5")

    def test_libraries_that_crash(self) -> None:
        """The checks that load it end; all others are made, and no dump is left."""
        source = "__attribute__((constructor)) static void f(void) { __builtin_trap(); }"
        environment = self.stub("libbpf.so.1", source)
        document = self.doctor("sh", "-c", f'cd {self.open}; ulimit -c unlimited; exec "$@"', "sh",
                               environment=environment)
        self.assert_wanting(document, "libbpf recorder", f"ended by signal {int(signal.SIGILL)}", "broken library")
        self.assert_nothing_done()

    def test_checks_that_hang(self) -> None:
        """Whatever they have started ends with them."""
        source = ("#include <unistd.h>\n__attribute__((constructor)) static void f(void)"
                  " { if (!fork()) execlp(\"sleep\", \"sleep\", \"98765\", (char *)0); for (;;) pause(); }")
        script = (f"import sys; sys.path.insert(0, {str(ROOT)!r}); import spoc\n"
                  "spoc.EXAMINATION_LIMIT_MS = 700; print(spoc.main(['doctor', '--json']))")
        shown = self.folder / "shown"  # no pipe, which what is left would keep open
        with shown.open("w") as file:
            subprocess.run([sys.executable, "-c", script], stdout=file, timeout=120, start_new_session=True,
                           env={**os.environ, **self.stub("libbpf.so.1", source)})
        document = json.loads(shown.read_text().rpartition("}")[0] + "}")
        self.assertRegex(self.check(document, "libbpf")["fact"], "did not end")
        self.assertEqual(self.check(document, "proc")["state"], "ok")

        def sleepers() -> List[int]:
            return [int(path.parent.name) for path in pathlib.Path("/proc").glob("[0-9]*/cmdline")
                    if spoc.read_proc(path.parent.name, "cmdline") == "sleep\x0098765\x00"]
        gone = wait_until(lambda: not sleepers())
        for pid in sleepers():
            os.kill(pid, signal.SIGKILL)
        self.assertTrue(gone)

    def test_bpf_refused(self) -> None:
        both = "bpf tracepoints recorder filter"
        for number, command, items, fact, remedy in (
                (errno.EPERM, -1, both, r"bpf\(2\): Operation not permitted", "a seccomp filter"),
                (errno.ENOSYS, -1, both, r"bpf\(2\): Function not implemented", "CONFIG_BPF_SYSCALL"),
                (errno.EPERM, 0, "recorder filter", "recorder.bpf.o: Operation not permitted", "ulimit -l unlimited"),
                (errno.EPERM, 17, "tracepoints recorder filter", "Operation not permitted", "a seccomp filter"),
                (errno.ENOENT, 17, "tracepoints recorder filter", "No such file", "CONFIG_BPF_EVENTS")):
            with self.subTest(f"{errno.errorcode[number]} to command {command}"):
                document = self.doctor(build("refuse.c"), str(number), str(command))
                self.assert_wanting(document, items, fact, remedy)
                self.assertEqual(document["run"], "notify")

    def test_bpf_that_kills(self) -> None:
        document = self.doctor(*without((0, "bpf", None)))
        self.assert_wanting(document, "bpf tracepoints recorder filter", f"ended by signal {int(signal.SIGSYS)}",
                            "seccomp filter")

    def test_kernel_without_seccomp(self) -> None:
        document = self.doctor(*without(*NO_SECCOMP))
        self.assert_wanting(document, "seccomp notification", r"seccomp\(2\): Function not implemented",
                            "CONFIG_SECCOMP_FILTER")
        self.assertEqual((document["record"], document["run"], document["exit_code"]), ("bpf", None, 2))

    def test_damaged_object(self) -> None:
        self.object.write_bytes(OBJECT.read_bytes()[:-1])
        document = self.doctor()
        self.assert_wanting(document, "object recorder", "damaged", "copy spoc.py and recorder.bpf.o")
        shutil.copy(OBJECT, self.object)
        self.assertEqual(self.check(self.doctor(), "object")["state"], "ok")
        os.chown(self.object, NOBODY, 0)
        self.assert_wanting(self.doctor(), "object recorder", "may write it", "chown and chmod it")
        os.chown(self.object, 0, 0)
        self.object.unlink()
        self.assert_wanting(self.doctor(), "object recorder", "No such file", "copy spoc.py and recorder.bpf.o")

    def test_no_processes(self) -> None:
        """No check can be made then, and no command started."""
        own = (word.replace(str(NOBODY), "64321") for word in with_capabilities("bpf", "perfmon"))  # nobody has others
        document = self.doctor("prlimit", "--nproc=1:1", *own)
        self.assertEqual(set(self.wanting(document)), set(ITEMS))
        self.assertEqual(document["exit_code"], 2)
        self.assertIn(os.strerror(errno.EAGAIN), self.check(document, "kernel")["fact"])

    def test_ignored_signals(self) -> None:
        ignoring = [sys.executable, "-c", "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); "
                    "os.execvp(sys.argv[1], sys.argv[1:])"]
        self.assertEqual(set(self.wanting(self.doctor(*ignoring))) - {"tmp"}, self.usual)

    def test_python_without_a_module(self) -> None:
        import select

        path = getattr(select, "__file__", None) or ""
        files = [file for name in ("resource", "_ssl")
                 for file in pathlib.Path(os.__file__).parent.glob(f"lib-dynload/{name}.*")]
        if path or len(files) != 2:
            raise unittest.SkipTest("needs a Python whose modules resource and _ssl are files, and select is none")
        for file, fact, remedy in ((files[0], "without resource$", "install the full python3 package"),
                                   (files[1], "without ssl, which registries need$", "")):
            found = self.check(self.doctor(*self.hiding(file.parent, file.name)), "python")
            self.assertRegex(found["fact"], fact)
            self.assertEqual(found["remedy"], remedy)


class Remedies(DoctorCase):
    """A remedy that is a command is run as it is told, and all is well after it."""

    def assert_remedied(self, item: str, harm: str, before: Sequence[str] = ()) -> None:
        found = self.check(self.doctor(*before, *in_mounts(harm)), item)
        self.assertNotEqual(found["state"], "ok")
        remedy = found["remedy"].replace("as root: ", "")
        self.assertEqual(self.check(self.doctor(*before, *in_mounts(f"{harm}\n{remedy}")), item)["state"], "ok")

    def test_proc(self) -> None:
        for item in ("proc", "actions_logged"):
            self.assert_remedied(item, "mount -t tmpfs none /proc")
        namespace = ("unshare", "--pid", "--fork")
        for item in ("recorder", "proc"):
            self.assert_remedied(item, "mount -t tmpfs none /proc", namespace)

    def test_actions_logged(self) -> None:
        path = "/proc/sys/kernel/seccomp/actions_logged"
        script = f"echo kill_process log > {self.folder}/logged\nmount --bind {self.folder}/logged {path}"
        self.assert_remedied("actions_logged", script)
        document = self.doctor(*in_mounts(script))
        found = self.check(document, "actions_logged")
        self.assertEqual(document["exit_code"], self.doctor()["exit_code"])  # tracepoints need none of it
        self.assertEqual(found["fact"], "does not log errno, kill_thread, trace, trap")
        # The kernel takes it as well: that is what it has now, so nothing changes.
        words = shlex.split(found["remedy"].partition("echo ")[2])
        if set(words[:words.index(">")]) == set(pathlib.Path(path).read_text().split()):
            subprocess.run(["sh", "-ec", found["remedy"].replace("as root: ", "")], check=True)

    def test_privileges(self) -> None:
        found = self.check(self.doctor(*AS_NOBODY), "privileges")
        self.assertEqual(found["state"], "degraded")
        self.assertRegex(found["remedy"], r"\Arun it with sudo, or with CAP_BPF and CAP_PERFMON\Z")
        self.assertEqual(self.check(self.doctor(*AS_NOBODY, "env", "PATH=/nowhere"), "privileges")["remedy"],
                         "run it as root, or with CAP_BPF and CAP_PERFMON")
        names = [name[4:].lower() for name in re.findall(r"CAP_\w+", found["remedy"])]
        document = self.doctor(*with_capabilities(*names))
        self.assertEqual(self.check(document, "privileges")["state"], "ok")
        self.assertEqual((document["record"], document["run"]), ("bpf", "tracepoint"))
        require_command("sudo")
        self.assertEqual(self.check(self.doctor("sudo"), "privileges")["state"], "ok")
        found = self.check(self.doctor("unshare", "--map-root-user"), "privileges")
        self.assertEqual((found["state"], found["remedy"]),
                         ("degraded", "run it as root outside of the user namespace"))

    def test_packages(self) -> None:
        """Those that are named hold what was missed."""
        require_command("dpkg-query")
        for soname in ("libbpf.so.1", "libseccomp.so.2"):
            path = library_path(soname)
            document = self.doctor(*self.hiding(path.parent, soname, path.name))
            package = output("dpkg-query", "-S", f"*/{soname}").split(":")[0]
            self.assertIn(package, self.check(document, soname.partition(".")[0])["remedy"])

    def test_tmp(self) -> None:
        found = self.check(self.doctor(*self.private_tmp("ro")), "tmp")
        self.assertEqual(found["state"], "degraded")
        self.assertRegex(found["fact"], r"\Acannot write /tmp/profile\.yaml: Read-only file system\Z")
        self.assertRegex(found["remedy"], "choose another file with -o")
        self.assertEqual(self.check(self.doctor(*self.private_tmp()), "tmp")["state"], "ok")


class Verdict(DoctorCase):
    """What the last line promises is what record and run then do."""

    ENRICHER = re.compile(r"(?m)^\S+ Starting (.+) enricher$")

    def results(self, *wrapper: str, environment: Optional[Dict[str, str]] = None) -> Tuple[bool, str]:
        """Does record work, and which enricher does run take ("" if it fails)?"""
        changed = {**os.environ, **(environment or {})}
        options: Dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE,
                                   "text": True, "timeout": 120, "env": changed}
        program = [*wrapper, sys.executable, str(self.program)]
        recorded = subprocess.run([*program, "record", "-n", "-t", "raw-seccomp", "-o", "-", "touch",
                                   str(self.marker)], **options)
        works = recorded.returncode == 0 and "utimensat" in recorded.stdout
        if self.marker.exists():
            self.marker.unlink()
        self.assertIn(recorded.returncode, (0, 125), recorded.stderr)
        profile = self.folder / "deny.json"
        profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["uname"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno.EPERM}]}))
        ran = subprocess.run([*program, "run", "-p", str(profile), "--", "uname"], **options)
        found = self.ENRICHER.findall(ran.stderr)
        if ran.returncode == 125 or "Error: " in ran.stderr:
            return works, ""
        self.assertEqual(ran.returncode, 1, ran.stderr)
        self.assertEqual(bool(found), "Seccomp: uname" in ran.stderr, ran.stderr)
        return works, found[0].replace(" ", "-") if found else "none"

    def assert_true(self, expected: Tuple[Optional[str], Optional[str], int], *wrapper: str,
                    environment: Optional[Dict[str, str]] = None) -> None:
        document = self.doctor(*wrapper, environment=environment)
        record, run, code = expected
        if not code and self.check(document, "tmp")["state"] != "ok":
            code = 1  # somebody's profile lies there
        self.assertEqual((document["record"], document["run"], document["exit_code"]), (record, run, code), document)
        works, enricher = self.results(*wrapper, environment=environment)
        if document["exit_code"] < 2:
            self.assertEqual((works, enricher), (True, document["run"]))
        else:
            self.assertFalse(works and enricher)
            self.assertFalse(works and document["record"] is None)
            self.assertIn(enricher, ("", document["run"]))

    def test_privileges(self) -> None:
        user = (self.record_without_bpf, "notify", 1 if self.record_without_bpf else 2)
        for wrapper in (AS_NOBODY, with_capabilities("bpf"), with_capabilities("perfmon"),
                        ("unshare", "--map-root-user"), ("setpriv", "--bounding-set=-all")):
            with self.subTest(wrapper):
                self.assert_true(user, *wrapper)
        self.assert_true(("bpf", "tracepoint", 0))
        self.assert_true(("bpf", "tracepoint", 0), *with_capabilities("bpf", "perfmon"))

    record_without_bpf: Optional[str] = "notify" if hasattr(spoc.RecordOptions, "backend") else None

    def test_refusals(self) -> None:
        fallback = (self.record_without_bpf, "notify", 1 if self.record_without_bpf else 2)
        refuse = build("refuse.c")
        for command in (-1, 0, 17):
            with self.subTest(command):
                self.assert_true(fallback, refuse, str(errno.EPERM), str(command))
        self.assert_true(("bpf", "tracepoint", 1), refuse, str(errno.EPERM), "1000")
        self.assert_true(("bpf", None, 2), *without(*NO_SECCOMP))

    def test_under_dockers_filter(self) -> None:
        """As its profile is for a container with the capabilities, and for one without."""
        profile = self.open / "docker.json"  # the tests' own folder may be in root's home
        shutil.copy(DATA / "docker-default.json", profile)
        inside = (sys.executable, str(self.program), "run", "-q", "--enricher", "none", "-p", str(profile))
        self.assert_true(("bpf", "tracepoint", 1), *inside)
        self.assert_true(("notify", "notify", 1), *AS_NOBODY, *inside)

    def test_under_a_filter_that_has_the_listener(self) -> None:
        """The filter of `run --enricher notify`, which asks it about one call that nothing here makes."""
        profile = self.folder / "asking.json"
        profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["swapon"], "action": "SCMP_ACT_ERRNO"}]}))
        inside = (sys.executable, str(self.program), "run", "-q", "--enricher", "notify", "-p", str(profile))
        document = self.doctor(*AS_NOBODY, *inside)
        self.assertEqual(self.check(document, "notification")["state"], "missing")
        self.assertEqual(document["exit_code"], 2)
        self.assertEqual(self.results(*AS_NOBODY, *inside), (False, ""))

    def test_no_proc(self) -> None:
        for wrapper in (in_mounts("mount -t tmpfs none /proc"), OWN_PID_NAMESPACE):
            self.assert_true(("notify", "notify", 1), *wrapper)
            self.assertEqual(self.check(self.doctor(*wrapper), "recorder")["remedy"], "mount -t proc proc /proc")

    def test_no_personality(self) -> None:
        """A filter without it, by which the machine is told apart from what setarch(8) makes of it."""
        self.assert_true(("bpf", "tracepoint", 1), *without((errno.EPERM, "personality", None)))

    def test_no_sys(self) -> None:
        self.assert_true(("bpf", "tracepoint", 0), *in_mounts("mount -t tmpfs none /sys"))

    def test_own_namespaces(self) -> None:
        self.assert_true(("bpf", "tracepoint", 0), "unshare", "--pid", "--fork", "--mount-proc", "--ipc", "--uts",
                         "--cgroup", "--net")

    def test_libraries(self) -> None:
        path = library_path("libbpf.so.1")
        fallback = (self.record_without_bpf, "notify", 1 if self.record_without_bpf else 2)
        self.assert_true(fallback, *self.hiding(path.parent, "libbpf.so.1", path.name))
        path = library_path("libseccomp.so.2")
        self.assert_true((None, None, 2), *self.hiding(path.parent, "libseccomp.so.2", path.name))

    def test_no_object(self) -> None:
        self.object.unlink()
        self.assert_true((self.record_without_bpf, "notify", 1 if self.record_without_bpf else 2))


class Table(DoctorCase):
    """The form for people."""

    def table(self, *wrapper: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([*wrapper, sys.executable, str(self.program), "doctor"], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)

    def test_table(self) -> None:
        for wrapper in ((), AS_NOBODY, ("unshare", "--map-root-user")):
            with self.subTest(wrapper):
                document, result = self.doctor(*wrapper), self.table(*wrapper)
                self.assertEqual((result.returncode, result.stderr), (document["exit_code"], ""))
                lines = result.stdout.splitlines()
                self.assertEqual([line for line in lines if len(line) > 80], [])
                rows = [line.split()[:2] for line in lines[:-1] if not line.startswith(" ")]
                self.assertEqual(rows, [[check["item"], check["state"]] for check in document["checks"]])
                self.assertRegex(lines[-1], rf"\Aauto: record uses {document['record'] or 'nothing that works'}, run "
                                            rf"uses {document['run'] or 'nothing that works'}: \w+")
                flat = "".join(result.stdout.split())
                for check in document["checks"]:
                    # Other tests' containers come meanwhile, and go.
                    for fact in re.split(r"(?:\d+|no) containers?[^;]*", check["fact"]):
                        self.assertIn("".join(fact.split()), flat)
                    self.assertIn("".join(check["remedy"].split()), flat)

    def test_wrong_usage(self) -> None:
        for arguments in (["more"], ["--yaml"], ["--json=1"]):
            result = subprocess.run([sys.executable, str(self.program), "doctor", *arguments], stdout=subprocess.PIPE,
                                    stderr=subprocess.PIPE, text=True)
            self.assertEqual((result.returncode, result.stdout), (2, ""))

    def test_full_standard_output(self) -> None:
        result = self.table("sh", "-c", 'exec "$@" >/dev/full', "sh")
        self.assertEqual(result.returncode, 125)
        self.assertRegex(result.stderr, os.strerror(errno.ENOSPC))


class Traces(DoctorCase):
    """Nothing is changed, and nothing stays."""

    def test_no_file(self) -> None:
        """It says the same where nothing can be written to, and leaves nothing where something can."""
        document = self.doctor(*in_mounts("mount -o bind,remount,ro /"))
        self.assertEqual(set(self.wanting(document)) - {"tmp"}, self.usual)
        left = output(*self.private_tmp(), "sh", "-c", '"$@" >/dev/null; find /tmp -type f', "sh", sys.executable,
                      str(self.program), "doctor").splitlines()
        self.assertEqual(sorted(left), sorted(map(str, (self.program, self.object))))

    def test_no_process(self) -> None:
        """Neither of its session, nor one that went elsewhere: this reaper of all its descendants has none left."""
        script = ("import ctypes, os, subprocess, sys\n"
                  "assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0\n"  # PR_SET_CHILD_SUBREAPER
                  "subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)\n"
                  "try:\n    print(os.waitpid(-1, os.WNOHANG)[0] == 0)\n"
                  "except ChildProcessError:\n    print('none')\n")
        command = [sys.executable, str(self.program), "doctor"]
        for wrapper in ((), AS_NOBODY, (build("refuse.c"), str(errno.EPERM), "17")):
            self.assertNotEqual(output(sys.executable, "-c", script, *wrapper, *command), "True")

    def test_nothing_pinned_mounted_or_set(self) -> None:
        """By what strace sees: no pin, no mount, no setting that is written; what it is itself is not seen by it."""
        require_command("strace")
        log = self.folder / "strace"
        subprocess.run(["strace", "-f", "-qq", "-o", str(log), "-e", "trace=bpf,mount,umount2,openat,unlink,unlinkat,"
                        "rename,mkdir,sysfs,fsconfig,move_mount", sys.executable, "-B", str(self.program), "doctor"],
                       stdout=subprocess.DEVNULL, check=False)
        text = log.read_text()
        self.assertIn("BPF_PROG_LOAD", text)
        changes = re.compile(r"BPF_OBJ_PIN|\b(mount|umount2|unlink|unlinkat|rename|mkdir|move_mount)\(")
        self.assertEqual([line for line in text.splitlines() if changes.search(line)], [])
        written = re.findall(r'openat\([^,]+, "([^"]*)", [^)]*O_(?:WRONLY|RDWR|CREAT)[^)]*\)', text)
        # The default target, if it is there, is opened but not written to: that fails if it is immutable. In its folder
        # a file without a name is tried.
        self.assertLessEqual(set(written), {"/dev/null", ".", "/sys/kernel/debug", "/proc/self/loginuid",
                                            "profile.yaml", "profile.json"})

    def test_interrupted(self) -> None:
        """Whenever it is told to end it takes its checks along."""
        def left() -> bool:
            for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    if os.fsencode(self.program) in path.read_bytes():
                        return True
            return False

        for delay_s in (0.1, 0.3, 0.5):
            for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
                process = self.launch(sys.executable, str(self.program), "doctor", stdout=subprocess.DEVNULL,
                                      stderr=subprocess.DEVNULL)
                time.sleep(delay_s)
                process.send_signal(signum)
                process.wait()
                self.assertTrue(wait_until(lambda: not left(), 30))


class Tables(unittest.TestCase):
    """What doctor knows of syscalls is what libseccomp knows."""

    def test_numbers(self) -> None:
        for architecture, numbers in spoc.CALL_NUMBERS.items():
            for name, number in zip((b"bpf", b"seccomp"), numbers):
                self.assertEqual(spoc.libseccomp.seccomp_syscall_resolve_name_arch(architecture.token, name), number,
                                 architecture)

    def test_every_machine_has_them(self) -> None:
        for machine in ("x86_64", "aarch64", "armv7l", "i686", "riscv64", "ppc64le"):
            self.assertIn(spoc.machine_of(machine, "6.1.0").native, spoc.CALL_NUMBERS)

    def test_other_machines(self) -> None:
        """Big-endian ones are none of these, nor are those of which no kernel was tried."""
        for machine in ("armv7b", "aarch64_be", "ppc64", "ppc", "s390x", "mips", "loongarch64", "riscv32"):
            with self.subTest(machine), self.assertRaisesRegex(spoc.SpocError, f"machine {machine}: not supported"):
                spoc.machine_of(machine, "6.1.0")

    def test_enrichers(self) -> None:
        """The order is that in which run tries them."""
        tried = re.findall(r'^            "([a-z-]+)": lambda|"notify": (self\._notify_source)',
                           pathlib.Path(spoc.__file__).read_text("utf-8"), re.MULTILINE)
        self.assertEqual([name or "notify" for name, _ in tried], spoc.ENRICHERS[1:-1])


if __name__ == "__main__":
    unittest.main()
