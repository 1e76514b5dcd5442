# SPDX-License-Identifier: MIT
"""Seccomp user notification: structs and ioctl numbers as the C header has them, the filter interpreter, and
NotifyWatcher under a filter of a few instructions, where the kernel says what each call got.
"""

import errno
import itertools
import os
import platform
import random
import re
import signal
import struct
import sys
import unittest
import unittest.mock
from typing import Any, Callable, Iterator, List, Sequence, Tuple

from cases import CompiledCase, TracedCase
from support import (AUDIT_ARCH_I386, AUDIT_ARCH_X86_64, ON_X86_64, ROOT, SIGSYS, SYS_SCHED_YIELD, SYS_UNAME, WAIT_S,
                     build, require)

sys.path.insert(0, str(ROOT))
import spoc as module  # noqa: E402

TIER = "kernel"

SIGNAL_HEADERS = "#define _GNU_SOURCE\n#include <signal.h>\n#include <stddef.h>\n#include <ucontext.h>"
# What came with Linux 6.6 (include/uapi/linux/seccomp.h) is not in the headers of Debian 12.
HEADERS = ("#include <linux/seccomp.h>\n#include <sys/ioctl.h>\n#include <signal.h>\n#include <stddef.h>\n"
           "#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS\n#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)\n"
           "#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)\n#endif")
# linux/audit.h; asm/unistd_64.h and asm/unistd_32.h: a call without arguments, so that tests can give it any.
SYS_SCHED_YIELD_32, SI_QUEUE = 158, -1

# linux/bpf_common.h, linux/filter.h
LOAD, JUMP_EQUAL, RETURN = 0x20, 0x15, 0x06
RET_USER_NOTIF, RET_ALLOW = 0x7FC00000, 0x7FFF0000

Verdict = Tuple[str, int]


def assemble(*steps: Tuple[int, int, int, int]) -> bytes:
    return b"".join(struct.pack("HBBI", *step) for step in steps)


def ask_about(number: int, token: int) -> bytes:
    """A filter that asks its listener about this call of this architecture (struct seccomp_data)."""
    return assemble((LOAD, 0, 0, 4), (JUMP_EQUAL, 0, 3, token), (LOAD, 0, 0, 0), (JUMP_EQUAL, 0, 1, number),
                    (RETURN, 0, 0, RET_USER_NOTIF), (RETURN, 0, 0, RET_ALLOW))


class Layouts(CompiledCase):
    """What is passed to the kernel, as a C compiler sees it."""

    def assert_as_in_c(self, *flags: str) -> None:
        structs = {"struct seccomp_data": module.SeccompData, "struct seccomp_notif": module.SeccompNotif,
                   "struct seccomp_notif_resp": module.SeccompNotifResp,
                   "struct seccomp_notif_sizes": module.SeccompNotifSizes}
        wanted = {}
        for c_name, structure in structs.items():
            wanted[f"sizeof({c_name})"] = module.ctypes.sizeof(structure)
            for name, *_ in structure._fields_:
                field = getattr(structure, name)
                wanted[f"offsetof({c_name}, {name})"] = field.offset
                wanted[f"sizeof((({c_name} *)0)->{name})"] = field.size
        receive, send, valid, set_flags = module.seccomp_ioctls(platform.machine())
        wanted.update({"(unsigned)SECCOMP_IOCTL_NOTIF_RECV": receive, "(unsigned)SECCOMP_IOCTL_NOTIF_SEND": send,
                       "(unsigned)SECCOMP_IOCTL_NOTIF_ID_VALID": valid,
                       "(unsigned)SECCOMP_IOCTL_NOTIF_SET_FLAGS": set_flags, "SI_QUEUE": module.SI_QUEUE,
                       "SECCOMP_GET_NOTIF_SIZES": module.SECCOMP_GET_NOTIF_SIZES,
                       "SECCOMP_USER_NOTIF_FLAG_CONTINUE": module.SECCOMP_USER_NOTIF_FLAG_CONTINUE,
                       "SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP": module.SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP})
        self.assertEqual(self.c_values(HEADERS, list(wanted), *flags), wanted)

    def test_structs_and_ioctls(self) -> None:
        self.assert_as_in_c()

    def test_structs_and_ioctls_of_32_bit(self) -> None:
        require(ON_X86_64, "gcc -m32")
        self.assert_as_in_c("-m32")

    def test_siginfo(self) -> None:
        wanted = {"sizeof(siginfo_t)": module.ctypes.sizeof(module.SigsysInfo)}
        wanted.update((f"offsetof(siginfo_t, {name})", getattr(module.SigsysInfo, name).offset)
                      for name, *_ in module.SigsysInfo._fields_[:-1])
        self.assertEqual(self.c_values(HEADERS, list(wanted)), wanted)

    REGISTERS = (None, None, "RDX", "RBX", None, "RBP", "RSI", "RDI", "R8", "R9", "R10", None, "R12", "R13", "R14",
                 "R15")

    def test_signal_frames(self) -> None:
        frame = module.SIGNAL_FRAMES[module.X86_64.token, "rt_sigreturn"]
        wanted = {f"offsetof(ucontext_t, uc_mcontext.gregs[REG_{name}])": frame.others[number]
                  for number, name in enumerate(self.REGISTERS) if name}
        wanted["offsetof(ucontext_t, uc_mcontext.gregs[REG_RAX])"] = frame.result
        wanted["offsetof(ucontext_t, uc_mcontext.gregs[REG_RIP])"] = frame.address
        require(ON_X86_64, "an x86_64 machine")
        self.assertEqual(self.c_values(SIGNAL_HEADERS, list(wanted)), wanted)
        self.assertEqual([bool(name) for name in self.REGISTERS], [bool(start) for start in frame.others])
        # In 32-bit programs: the signal's number and two pointers, what they point to, the registers.
        frame = module.SIGNAL_FRAMES[module.X86.token, "rt_sigreturn"]
        context = "12 + sizeof(siginfo_t) + offsetof(ucontext_t, uc_mcontext.gregs"
        wanted = {f"{context}[REG_EAX])": frame.result, f"{context}[REG_EIP])": frame.address}
        frame = module.SIGNAL_FRAMES[module.X86.token, "sigreturn"]
        wanted.update({"sizeof(int) * REG_EAX": frame.result, "sizeof(int) * REG_EIP": frame.address})
        self.assertEqual(self.c_values(SIGNAL_HEADERS, list(wanted), "-m32"), wanted)

    def test_powerpc(self) -> None:
        """arch/powerpc/include/uapi/asm/ioctl.h: _IOC_WRITE 4, _IOC_READ 2, from bit 29 on."""
        self.assertEqual(module.seccomp_ioctls("ppc64le"), (0xC0502100, 0xC0182101, 0x80082102, 0x80082104))


@unittest.skipUnless(ON_X86_64, "needs x86_64, whose syscall numbers are here")
class Asking(unittest.TestCase):
    """The filter that asks its listener is the profile's own in all but its answers."""

    SEED, PROFILES = 20261124, 300
    ACTIONS = [name for name in module.ACTIONS if name != module.SCMP_ACT_NOTIFY]
    VALUES = (0, 1, 2, 1 << 32, (1 << 64) - 1)

    def rule(self) -> Any:
        conditions = tuple(module.Condition(index, "SCMP_CMP_EQ", self.random.choice(self.VALUES))
                           for index in self.random.sample(range(2), self.random.randint(0, 2)))
        return module.Rule(self.random.choice(self.ACTIONS), ("getppid",), self.random.choice((1, 38)), conditions)

    def test_generated_profiles(self) -> None:
        self.random = random.Random(self.SEED)
        compared = 0
        for _ in range(self.PROFILES):
            profile = module.Profile(self.random.choice(self.ACTIONS), (), tuple(
                self.rule() for _ in range(self.random.randint(1, 3))), self.random.choice((1, 38)))
            try:
                real = module.FilterBuilder(profile, module.X86_64).build()
            except module.SpocError:
                continue  # libseccomp refuses rules that contradict each other
            asked = real.with_listener(module.SCMP_ACT_ALLOW)
            simulated, asking = module.SimulatedFilter(real.program), module.SimulatedFilter(asked.program)
            self.assertTrue(asked.listens)
            for number, token in ((110, AUDIT_ARCH_X86_64), (24, AUDIT_ARCH_X86_64), (110, AUDIT_ARCH_I386)):
                for pair in itertools.product(self.VALUES, repeat=2):
                    call = module.SeccompData(number, token)
                    call.args[0], call.args[1] = pair
                    allowed = simulated(call) == (module.SCMP_ACT_ALLOW, 0)
                    self.assertEqual(asking(call)[0], module.SCMP_ACT_ALLOW if allowed else module.SCMP_ACT_NOTIFY,
                                     (profile, pair))
                    compared += 1
        self.assertGreater(compared, self.PROFILES * 30)


class Running(CompiledCase):
    """A command under a filter with a listener, and what came of it."""

    denials: List[Any]

    def start(self, source: Any, command: Sequence[str], program: bytes, keep: bool = False) -> int:
        """Run the command under the filter, and answer until it has ended; give its wait status."""
        if not keep:
            self.addCleanup(source.close)
        applied = module.Filter(program, module.SECCOMP_FILTER_FLAG_NEW_LISTENER, True)
        self.denials = []
        with module.Supervisor() as supervisor:
            with module.Child(command, None, supervisor, applied) as child:
                source.begin(child)
                inputs = {source.descriptor: lambda: self.denials.extend(source.read())}
                child.wait_started(inputs)
                self.pid = child.pid
                status = int(supervisor.wait(child.pid, (), None, inputs))
        self.denials += source.finish()
        return status

    def source(self, answer: "Callable[[Any], Verdict]", learn: bool = False) -> Any:
        return module.NotifyWatcher(module.machine_of(platform.machine(), os.uname().release),
                                    lambda call: module.Verdict(*answer(call)), learn)

    def calls(self, verdicts: Sequence[Verdict], lines: Sequence[str], *flags: str, learn: bool = False) -> List[str]:
        """Have tests/programs/call.c make calls whose first argument is the index of the verdict to give."""
        require(ON_X86_64, "an x86_64 machine")
        calls = self.folder / "calls"
        calls.write_text("".join(line + " 0 0 0 0 0\n" for line in lines))
        command = ["/bin/sh", "-c", '"$0" <"$1" >"$2"', build("call.c", *flags), str(calls), str(self.folder / "said")]
        self.start(self.source(lambda call: verdicts[call.args[0]], learn), command,
                   ask_about(SYS_SCHED_YIELD_32, AUDIT_ARCH_I386) if "-m32" in flags or lines[0][0] == "i" else
                   ask_about(SYS_SCHED_YIELD, AUDIT_ARCH_X86_64))
        return (self.folder / "said").read_text().splitlines()

    def found(self) -> "List[Tuple[str, int, Verdict, int]]":
        return [(denial.architecture.name, denial.number, denial.verdicts[0], denial.times) for denial in self.denials]


class Answers(Running):
    """Each action, as the caller sees it."""

    def test_errno(self) -> None:
        verdicts = [("SCMP_ACT_ERRNO", number) for number in (errno.EPERM, errno.EXDEV, 0, 4095)]
        said = self.calls(verdicts, [f"n {SYS_SCHED_YIELD} {index}" for index in range(len(verdicts))])
        self.assertEqual(said, ["! 1", f"! {errno.EXDEV}", "= 0", "! 4095"])
        self.assertEqual(self.found(), [("SCMP_ARCH_X86_64", SYS_SCHED_YIELD, verdict, 1) for verdict in verdicts])
        self.assertEqual({denial.comm for denial in self.denials}, {os.path.basename(build("call.c"))[:15]})
        self.assertEqual({denial.exe for denial in self.denials}, {build("call.c")})

    def test_int80(self) -> None:
        said = self.calls([("SCMP_ACT_ERRNO", errno.EXDEV)], [f"i {SYS_SCHED_YIELD_32} 0"])
        self.assertEqual(said, [f"! {errno.EXDEV}"])
        self.assertEqual(self.found(), [("SCMP_ARCH_X86", SYS_SCHED_YIELD_32, ("SCMP_ACT_ERRNO", errno.EXDEV), 1)])

    def test_log_is_told_and_allow_is_not(self) -> None:
        said = self.calls([("SCMP_ACT_LOG", 0), ("SCMP_ACT_ALLOW", 0)],
                          [f"n {SYS_SCHED_YIELD} 0", f"n {SYS_SCHED_YIELD} 1"])
        self.assertEqual(said, ["= 0", "= 0"])
        self.assertEqual(self.found(), [("SCMP_ARCH_X86_64", SYS_SCHED_YIELD, ("SCMP_ACT_LOG", 0), 1)])

    def test_trace_without_tracer(self) -> None:
        self.assertEqual(self.calls([("SCMP_ACT_TRACE", 7)], [f"n {SYS_SCHED_YIELD} 0"]), [f"! {errno.ENOSYS}"])

    def test_trap(self) -> None:
        """All that the handler of a real one gets, but for si_code; the call is made once, not again and again."""
        for flags, line, number, token in (((), f"n {SYS_SCHED_YIELD} 0", SYS_SCHED_YIELD, AUDIT_ARCH_X86_64),
                                           (("-m32",), f"n {SYS_SCHED_YIELD_32} 0", SYS_SCHED_YIELD_32,
                                            AUDIT_ARCH_I386)):
            with self.subTest(flags=flags):
                said = self.calls([("SCMP_ACT_TRAP", 0)], [line], *flags)
                self.assertEqual(said, [f"trap {SI_QUEUE} {number} 0 {token:#x} {number}"])
                self.assertEqual([denial.times for denial in self.denials], [1])

    def test_trap_is_answered_when_its_signal_interrupts_no_more(self) -> None:
        """Before Linux 6.18 the call would be made once more, or fail with EINTR."""
        states: List[str] = []

        class Looking(module.Listener):
            def respond(self, value: int, error: int, flags: int = 0) -> bool:
                status = module.read_stat(self.request.pid)
                states.append(status.state if status else "")
                return bool(super().respond(value, error, flags))

        require(module.Listener().killable, "Linux 5.19 or newer")
        count = 50
        # On one processor the task cannot notice the signal before the watcher lets it.
        self.addCleanup(os.sched_setaffinity, 0, os.sched_getaffinity(0))
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        with unittest.mock.patch.object(module, "Listener", Looking):
            said = self.calls([("SCMP_ACT_TRAP", 0)], [f"n {SYS_SCHED_YIELD} 0"] * count)
        self.assertEqual(len(said), count)
        self.assertEqual(states, ["D"] * count)

    def test_kill(self) -> None:
        """call.c handles SIGSYS, so that only SIGKILL is sure to end it; the parent lives on."""
        for action in ("SCMP_ACT_KILL", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_KILL_PROCESS"):
            with self.subTest(action):
                said = self.calls([(action, 0)], [f"nf {SYS_SCHED_YIELD} 0"])
                self.assertEqual(said, [f"killed {int(signal.SIGKILL)}"])
                self.assertEqual(self.found(), [("SCMP_ARCH_X86_64", SYS_SCHED_YIELD, (action, 0), 1)])

    def test_learn_blocks_nothing(self) -> None:
        verdicts = [("SCMP_ACT_ERRNO", 1), ("SCMP_ACT_KILL_PROCESS", 0), ("SCMP_ACT_TRAP", 0)]
        said = self.calls(verdicts, [f"n {SYS_SCHED_YIELD} {index}" for index in range(3)], learn=True)
        self.assertEqual(said, ["= 0"] * 3)
        self.assertEqual([denial.verdicts[0] for denial in self.denials], verdicts)


class Tasks(Running):
    """Whose call it is, and what else may happen meanwhile."""

    def python(self, code: str, verdict: Verdict) -> int:
        """Run Python code, in which call() is sched_yield(2) and gives its errno."""
        path = self.folder / "code.py"
        path.write_text("import ctypes, os, signal, threading, time\nlibc = ctypes.CDLL(None, use_errno=True)\n"
                        f"def call():\n    return ctypes.get_errno() if libc.syscall({SYS_SCHED_YIELD}) else 0\n{code}")
        return self.start(self.source(lambda call: verdict), [sys.executable, "-I", str(path)],
                          ask_about(SYS_SCHED_YIELD, AUDIT_ARCH_X86_64))

    # Has a child that is traced, and gets none of the signals that would end it, make the call. PTRACE_TRACEME is 0,
    # PTRACE_CONT 7.
    TRACED = """
pid = os.fork()
if not pid:
    libc.ptrace(0, 0, None, None)
    os.kill(os.getpid(), signal.SIGSTOP)
    call()
    os._exit(0)
status = os.waitpid(pid, 0)[1]
while os.WIFSTOPPED(status):
    libc.ptrace(7, pid, None, None)
    status = os.waitpid(pid, 0)[1]
os._exit(100 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))
"""
    # The same for the first process of a pid namespace, which the kernel spares a SIGSYS that it does not handle
    # (pid_namespaces(7)). CLONE_NEWPID is 0x20000000.
    INIT = """
if libc.unshare(0x20000000):
    os._exit(99)
pid = os.fork()
if not pid:
    call()
    os._exit(0)
status = os.waitpid(pid, 0)[1]
os._exit(100 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))
"""

    def test_kill_of_those_who_survive_sigsys(self) -> None:
        """As a filter's KILL ends them, too."""
        for action in ("SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP"):
            for code in (self.TRACED, self.INIT):
                with self.subTest(action, code=code):
                    status = self.python(code, (action, 0))
                    self.assertEqual(os.WEXITSTATUS(status) - 100, signal.SIGKILL)
                    self.assertEqual([denial.verdicts for denial in self.denials], [((action, 0),)])

    def leave_calls(self, source: Any, count: int) -> None:
        """Have that many processes call at the same time, and wait for the answers when the command has ended."""
        path = self.folder / "code.py"
        path.write_text("import ctypes, os, time\nlibc = ctypes.CDLL(None)\n"
                        f"for _ in range({count}):\n    pid = os.fork()\n    if not pid:\n"
                        f"        libc.syscall({SYS_SCHED_YIELD})\n        os._exit(0)\n"
                        f"    while not open(f'/proc/{{pid}}/syscall').read().startswith('{SYS_SCHED_YIELD} '):\n"
                        "        time.sleep(0.001)\n")
        applied = module.Filter(ask_about(SYS_SCHED_YIELD, AUDIT_ARCH_X86_64),
                                module.SECCOMP_FILTER_FLAG_NEW_LISTENER, True)
        with module.Supervisor() as supervisor:
            with module.Child([sys.executable, "-I", "-S", str(path)], None, supervisor, applied) as child:
                source.begin(child)
                child.wait_started({})
                self.assertEqual(supervisor.wait(child.pid, (), None, {}), 0)

    def test_more_calls_than_are_read_at_once(self) -> None:
        """What waits when the command has ended is answered, all of it, and told."""
        many = module.NotifyWatcher.MAX_CALLS + 44
        source = self.source(lambda call: ("SCMP_ACT_ERRNO", 1))
        self.addCleanup(source.close)
        self.leave_calls(source, many)
        self.assertEqual(sum(denial.times for denial in source.finish()), many)

    def test_an_error_comes_after_what_was_read_before(self) -> None:
        class Failing(module.Listener):
            """Can take two calls."""

            taken = 0

            def receive(self) -> bool:
                if self.taken == 2:
                    raise module.KernelError("receive a notification", "of the filter", "no more")
                self.taken += 1
                return bool(super().receive())

        source = self.source(lambda call: ("SCMP_ACT_ERRNO", 1))
        source._listener.close()
        source._listener = Failing()
        self.addCleanup(source.close)  # with which the third call fails
        self.leave_calls(source, 3)
        self.assertEqual([denial.times for denial in source.read()], [1, 1])
        with self.assertRaisesRegex(module.KernelError, "no more"):
            source.read()

    def test_call_that_is_gone(self) -> None:
        """Its task is killed when the listener has heard of the call, but not yet taken it."""
        listener = module.Listener()
        self.addCleanup(listener.close)
        applied = module.Filter(ask_about(SYS_SCHED_YIELD, AUDIT_ARCH_X86_64),
                                module.SECCOMP_FILTER_FLAG_NEW_LISTENER, True)
        command = [sys.executable, "-I", "-S", "-c", "import os; os.sched_yield()"]
        with module.Supervisor() as supervisor, module.Child(command, None, supervisor, applied) as child:
            listener.begin(child)
            child.wait_started({})
            self.assertTrue(listener.pending(WAIT_S * 1000))
            child.kill()
            self.assertFalse(listener.receive())

    def test_unhandled_kill_is_sigsys(self) -> None:
        for action in ("SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP"):
            with self.subTest(action):
                self.assertEqual(self.python("call()", (action, 0)) & 0x7F, SIGSYS)

    def test_blocked_and_ignored_sigsys(self) -> None:
        """Nothing outlives it, also not a TRAP (force_sig(): a handler that cannot run is none)."""
        for action in ("SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRAP"):
            for code in ("signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGSYS])",
                         "signal.signal(signal.SIGSYS, signal.SIG_IGN)"):
                with self.subTest(action, code=code):
                    self.assertEqual(self.python(code + "\ncall()\n", (action, 0)) & 0x7F, signal.SIGKILL)
                    self.assertEqual(len(self.denials), 1)

    def test_thread(self) -> None:
        status = self.python("threading.Thread(target=call).start()", ("SCMP_ACT_ERRNO", errno.EXDEV))
        self.assertEqual(status, 0)
        self.assertEqual([(denial.tgid, denial.tid == self.pid) for denial in self.denials], [(self.pid, False)])

    def test_signals_meanwhile(self) -> None:
        """A timer every 200 us, its handler with SA_RESTART: each call is answered once, with the profile's errno."""
        status = self.python("signal.signal(signal.SIGALRM, lambda *_: None)\n"
                             "signal.siginterrupt(signal.SIGALRM, False)\n"
                             "signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)\n"
                             "got = [call() for _ in range(2000)]\nsignal.setitimer(signal.ITIMER_REAL, 0)\n"
                             f"os._exit(set(got) != {{{errno.EXDEV}}})", ("SCMP_ACT_ERRNO", errno.EXDEV))
        self.assertEqual(status, 0)
        if module.release_numbers(os.uname().release) >= (5, 19):
            self.assertEqual(sum(denial.times for denial in self.denials), 2000)

    def test_names(self) -> None:
        """A name of any bytes, and more processes than are remembered."""
        count = module.NotifyWatcher.MAX_TASKS + 40
        status = self.python(
            f"call()\nopen('/proc/self/comm', 'w').write('with ) (\\n')\ncall()\nchildren = []\n"
            f"for _ in range({count}):\n"
            "    pid = os.fork()\n    if not pid:\n        call()\n        os._exit(0)\n    children.append(pid)\n"
            "[os.waitpid(pid, 0) for pid in children]\n"
            "os.execv('/bin/true', ['true'])\n", ("SCMP_ACT_ERRNO", errno.EXDEV))
        self.assertEqual(status, 0)
        self.assertEqual({denial.tgid for denial in self.denials[:2]}, {self.pid})
        self.assertEqual(self.denials[1].comm, "with ) (\n")
        self.assertEqual(len({denial.tid for denial in self.denials}), count + 1)
        self.assertEqual(sum(denial.times for denial in self.denials), count + 2)
        held = [name for name in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{name}") and
                re.fullmatch(r"/proc/\d+/comm", os.readlink(f"/proc/self/fd/{name}"))]
        self.assertEqual(len(held), module.NotifyWatcher.MAX_TASKS)

    def test_name_after_exec(self) -> None:
        """Two calls in one process, of two programs, within a moment."""
        program = build("deny.c")
        path = self.folder / "code.py"
        path.write_text("import os\ntry:\n    os.uname()\nexcept PermissionError:\n"
                        f"    os.execv({program!r}, ['x'])\n")
        self.start(self.source(lambda call: ("SCMP_ACT_ERRNO", errno.EPERM)),
                   ["/bin/sh", "-c", 'exec "$0" -I -S "$1" >/dev/null', sys.executable, str(path)],
                   ask_about(SYS_UNAME, AUDIT_ARCH_X86_64))
        self.assertEqual({denial.tgid for denial in self.denials}, {self.pid})
        self.assertEqual([denial.exe for denial in self.denials], [os.path.realpath(sys.executable), program])
        self.assertEqual(self.denials[1].comm, os.path.basename(program)[:15])

    def test_hang_up(self) -> None:
        """The end of the last process is seen once, and does not keep the descriptor readable."""
        looks: List[int] = []

        class Counting(module.Supervisor):
            def _received(self) -> "Iterator[Tuple[int, bool]]":
                looks.append(1)
                return super()._received()

        def unasked() -> None:
            raise AssertionError("there is no call to read")

        listener = module.Listener()
        self.addCleanup(listener.close)
        with Counting() as supervisor:
            applied = module.Filter(ask_about(SYS_SCHED_YIELD, AUDIT_ARCH_X86_64),
                                    module.SECCOMP_FILTER_FLAG_NEW_LISTENER, True)
            with module.Child(["/bin/sh", "-c", "sleep 1 &"], None, supervisor, applied) as child:
                listener.begin(child)
                child.wait_started({})
                ticks: List[int] = []
                timer = module.Timer(0.1, lambda: ticks.append(1))
                supervisor.wait(child.pid, [timer], lambda: len(ticks) < 20, {listener.descriptor: unasked})
        self.assertFalse(listener.pending())
        self.assertTrue(listener.hung_up)
        self.assertLess(len(looks), 40)

    def test_death_before_its_listener_is_taken(self) -> None:
        """Killed with or without the helper, or before its filter is loaded: its end is seen, and nothing waits."""
        for with_helper in (False, True):
            start_helper = module.CommandStart._start_helper

            def die(start: Any) -> None:
                if with_helper:
                    start_helper(start)
                os.kill(os.getpid(), signal.SIGKILL)

            with self.subTest(with_helper=with_helper), module.Supervisor() as supervisor, \
                    unittest.mock.patch.object(module.CommandStart, "_start_helper", die):
                source = self.source(lambda call: ("SCMP_ACT_ERRNO", 1))
                self.addCleanup(source.close)
                applied = module.Filter(ask_about(SYS_SCHED_YIELD, AUDIT_ARCH_X86_64),
                                        module.SECCOMP_FILTER_FLAG_NEW_LISTENER, True)
                with self.assertRaises(module.ChildError) as raised:
                    with module.Child(["/bin/true"], None, supervisor, applied) as child:
                        source.begin(child)
                        child.wait_started({})
                self.assertEqual(raised.exception.reason, "was killed by SIGKILL (Killed) before it began")
                self.assertEqual(raised.exception.exit_code, 128 + signal.SIGKILL)
                self.assertEqual((source.finish(), source.descriptor), ([], -1))
                with self.assertRaises(ChildProcessError):
                    os.waitpid(-1, os.WNOHANG)

    def test_descriptors_are_closed(self) -> None:
        def held() -> List[str]:
            links = [os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")
                     if os.path.lexists(f"/proc/self/fd/{name}")]
            return [link for link in links if "eventpoll" in link or "seccomp" in link or link.endswith("/comm")]

        before = held()
        source = self.source(lambda call: ("SCMP_ACT_ERRNO", 1))
        self.start(source, ["/bin/true"], ask_about(SYS_SCHED_YIELD, AUDIT_ARCH_X86_64), keep=True)
        self.assertEqual(len(held()), len(before) + 1)
        source.close()
        self.assertEqual(held(), before)


class Recorder(Running):
    """NotifyRecorder, where what happens has to happen at a certain moment."""

    def record_by(self, listener: Any, *command: str) -> "Tuple[Any, int]":
        recorder = module.NotifyRecorder(module.machine_of(platform.machine(), os.uname().release))
        self.addCleanup(recorder.close)
        recorder._listener = listener
        with module.Supervisor() as supervisor:
            with module.Child(command, None, supervisor, recorder.filter) as child:
                recorder.begin(child)
                child.wait_started(recorder.inputs())
                status = supervisor.wait(child.pid, (), None, recorder.inputs())
        return recorder, status

    def test_a_call_that_is_not_made_does_not_count(self) -> None:
        """The task is killed when its call is known, but not yet answered."""
        require(ON_X86_64, "an x86_64 machine")
        exit_group = 231

        class Killing(module.Listener):
            def proceed(self) -> bool:
                if self.request.data.nr == exit_group:
                    os.kill(self.request.pid, signal.SIGKILL)
                    while self.is_waiting():
                        os.sched_yield()
                return super().proceed()

        recorder, status = self.record_by(Killing(), "/bin/true")
        self.assertEqual(status, signal.SIGKILL)
        names = recorder.recording().names
        self.assertIn("read", names)
        self.assertTrue(names.isdisjoint(["exit_group", "execve"]), names)
        self.assertEqual(recorder.first_calls().keys() & {(0, 0), (0, 59), (0, exit_group)}, {(0, 0)})

    def test_more_numbers_than_are_kept(self) -> None:
        first, room, lost = 2000, module.MAX_KNOWN_CALLS, 100
        recorder, status = self.record_by(module.Listener(), build("numbers.c"), str(first), str(room + lost))
        self.assertEqual(status, 0)
        recording = recorder.recording()
        self.assertEqual((len(recording.calls), len(recorder.first_calls())), (room, room))
        self.assertEqual(len(recording.losses), 1, recording.losses)
        told = int(recording.losses[0].split(" calls of unusual numbers")[0])
        self.assertTrue(lost <= told < lost + 100, told)


class Handlers(TracedCase):
    """Handlers without SA_RESTART interrupt calls that wait to be answered: nothing goes otherwise for that."""

    backend = "notify"

    def setUp(self) -> None:
        super().setUp()
        require(ON_X86_64, "an x86_64 machine, where the call can be made again")

    def test_returns_from_handlers(self) -> None:
        """They went on somewhere: SIGSEGV."""
        for flags in ((), ("-m32",)):
            with self.subTest(flags=flags):
                program = build("handlers.c", *flags)
                self.assertEqual(self.record(program, "returns"), self.traced(program, "returns"))

    def test_calls_that_never_fail_with_eintr(self) -> None:
        version = tuple(map(int, platform.libc_ver()[1].split(".")))
        if version >= (2, 41):
            self.skipTest("optional: needs glibc before 2.41, which makes close(2) where no number is before the call")
        program = build("handlers.c")
        self.assertEqual(self.record(program, "calls"), self.traced(program, "calls"))

    def test_waits_are_interrupted_as_ever(self) -> None:
        """A wait that only a handler ends is not made again."""
        for flags in ((), ("-m32",)):
            with self.subTest(flags=flags):
                program = build("handlers.c", *flags)
                late = {"pause", "sigsuspend"}  # not made any more if half of the signals have come already
                self.assertEqual(self.record(program, "waits") | late, self.traced(program, "waits") | late)


class Judge(unittest.TestCase):
    """The interpreter of filters: programs by hand, so that the expected values come from linux/filter.h."""

    def answer(self, *steps: Tuple[int, int, int, int], **call: int) -> Verdict:
        data = module.SeccompData(call.get("nr", 0), call.get("arch", 0))
        data.args[0] = call.get("argument", 0)
        return module.SimulatedFilter(assemble(*steps))(data)

    def test_actions(self) -> None:
        """linux/seccomp.h"""
        for value, wanted in ((0x80000000, ("SCMP_ACT_KILL_PROCESS", 0)), (0, ("SCMP_ACT_KILL_THREAD", 0)),
                              (0x30000, ("SCMP_ACT_TRAP", 0)), (0x50001, ("SCMP_ACT_ERRNO", 1)),
                              (0x50FFE, ("SCMP_ACT_ERRNO", 4094)), (0x7FF00007, ("SCMP_ACT_TRACE", 7)),
                              (0x7FFC0000, ("SCMP_ACT_LOG", 0)), (0x7FFF0000, ("SCMP_ACT_ALLOW", 0))):
            self.assertEqual(self.answer((RETURN, 0, 0, value)), wanted)

    def test_jumps(self) -> None:
        for code, argument, k, holds in ((0x15, 5, 5, True), (0x15, 4, 5, False), (0x25, 6, 5, True),
                                         (0x25, 5, 5, False), (0x35, 5, 5, True), (0x35, 4, 5, False),
                                         (0x45, 6, 2, True), (0x45, 5, 2, False)):
            verdict = self.answer((LOAD, 0, 0, 16), (code, 0, 1, k), (RETURN, 0, 0, 0x50001), (RETURN, 0, 0, 0x50002),
                                  argument=argument)
            self.assertEqual(verdict, ("SCMP_ACT_ERRNO", 1 if holds else 2), (code, argument))
        self.assertEqual(self.answer((0x05, 0, 0, 1), (RETURN, 0, 0, 0x50001), (RETURN, 0, 0, 0x50002)),
                         ("SCMP_ACT_ERRNO", 2))

    def test_and(self) -> None:
        self.assertEqual(self.answer((LOAD, 0, 0, 16), (0x54, 0, 0, 0xF0), (0x15, 0, 1, 0x30), (RETURN, 0, 0, 0x50001),
                                     (RETURN, 0, 0, 0x50002), argument=0x35), ("SCMP_ACT_ERRNO", 1))

    def test_remembers_only_what_depends_on_no_argument(self) -> None:
        answer = module.SimulatedFilter(assemble((LOAD, 0, 0, 16), (JUMP_EQUAL, 0, 1, 1), (RETURN, 0, 0, 0x50001),
                                                 (RETURN, 0, 0, 0x50002)))
        data = module.SeccompData()
        got = []
        for data.args[0] in (1, 2, 1):
            got.append(answer(data)[1])
        self.assertEqual(got, [1, 2, 1])


class Report(unittest.TestCase):
    """What is kept of what a command makes up."""

    def test_numbers(self) -> None:
        machine = module.X86_64
        report = module.DenialReport(module.Profile("SCMP_ACT_ERRNO", (), ()), machine, None,
                                     module.constant_program("SCMP_ACT_ERRNO", 1))
        numbers = report.MAX_KINDS + 1000
        with unittest.mock.patch.object(module, "write_stderr"):
            report.add(module.Denial(machine, 100_000 + number, (module.Verdict("SCMP_ACT_ERRNO", 1),), 1, 1, "x")
                       for number in range(numbers))
            self.assertEqual(sum(map(len, report.counts.values())), len(report.counts))
            again = module.Denial(machine, 100_000, (module.Verdict("SCMP_ACT_ERRNO", 1),), 1, 1, "x")
            report.add([again, again._replace(comm="y")])  # of a kind that is there
        numbers += 2
        self.assertEqual(report.counts["number (100000)", "action: SCMP_ACT_ERRNO (EPERM)"], {"x": 2, "y": 1})
        self.assertEqual(len(report.counts), report.MAX_KINDS + 1)
        self.assertEqual(sum(sum(programs.values()) for programs in report.counts.values()), numbers)
