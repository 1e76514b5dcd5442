# SPDX-License-Identifier: MIT
"""The kernel side: what spoc.py says about C (structs, constants, prototypes) is what the C headers say; and both
variants of the recorder load, attach and record.
"""

import contextlib
import ctypes
import errno
import json
import os
import pathlib
import platform
import re
import signal
import subprocess
import sys
import time
import unittest
import unittest.mock
import zlib
from typing import Any, Dict, Iterator, Set, Tuple

import spoc as module
from cases import CompiledCase, kernel_ids
from support import (DATA, NEWER_KERNEL_CALLS, OBJECT, ON_X86_64, WAIT_S, Case, build, kernel_calls, require,
                     require_command, require_root, running_below)

TIER = "kernel"
X86 = platform.machine() in ("x86_64", "i686")
# ctypes class -> its C struct.
STRUCTS: Dict[Any, str] = {module.Config: "config", module.Counters: "counters", module.CallKey: "call_key",
                           module.CallValue: "call", module.TaskValue: "task", module.SlotValue: "slot",
                           module.Watch: "watch", module.ValueKey: "value_key", module.Group: "group",
                           module.Namespace: "namespace"}


def layout_of(structure: Any) -> Dict[str, Tuple[int, int]]:
    """Field -> (offset, size), and "" -> (0, size of the whole)."""
    fields = {name: (getattr(structure, name).offset, getattr(structure, name).size) for name, _ in structure._fields_}
    return {"": (0, ctypes.sizeof(structure)), **fields}


class Structs(CompiledCase):
    """Structs that the kernel side and libraries share with Python."""

    def assert_layout(self, structure: Any, c_name: str, includes: str, *flags: str) -> None:
        wanted = {f"sizeof(struct {c_name})": ctypes.sizeof(structure)}
        for name, (offset, size) in layout_of(structure).items():
            if name:
                wanted[f"__builtin_offsetof(struct {c_name}, {name})"] = offset
                wanted[f"sizeof(((struct {c_name} *)0)->{name})"] = size
        self.assertEqual(self.c_values(includes, list(wanted), *flags), wanted)
        # No C field may be missing on the Python side: then the sizes of those above do not fill the struct.
        sizes = [size for name, (_, size) in layout_of(structure).items() if name]
        self.assertEqual(sum(sizes), ctypes.sizeof(structure))

    def test_the_head_of_bpf_prog_info(self) -> None:
        wanted = {f"__builtin_offsetof(struct bpf_prog_info, {name})": offset
                  for name, (offset, _) in layout_of(module.BpfProgInfo).items() if name}
        self.assertEqual(self.c_values("#include <linux/bpf.h>", list(wanted)), wanted)

    def test_as_the_source_has_them(self) -> None:
        require(os.path.exists("/usr/include/bpf/bpf_helpers.h"), "bpf/bpf_helpers.h (libbpf-dev)")
        for structure, c_name in {**STRUCTS, module.StartValue: "start"}.items():
            with self.subTest(c_name):
                self.assert_layout(structure, c_name, '#include "recorder.bpf.c"', f"-I{OBJECT.parent}", "-w")

    def test_as_a_32_bit_kernel_has_them(self) -> None:
        """The same object and the same offsets serve it: nothing may depend on how it aligns 64-bit fields."""
        if not ON_X86_64:
            raise unittest.SkipTest("needs gcc -m32")
        require(os.path.exists("/usr/include/bpf/bpf_helpers.h"), "bpf/bpf_helpers.h (libbpf-dev)")
        for structure, c_name in {**STRUCTS, module.StartValue: "start"}.items():
            with self.subTest(c_name):
                self.assert_layout(structure, c_name, '#include "recorder.bpf.c"', f"-I{OBJECT.parent}", "-w", "-m32")

    def test_as_the_committed_object_has_them(self) -> None:
        require_command("bpftool")
        dump = subprocess.run(["bpftool", "btf", "dump", "file", str(OBJECT), "format", "c"], stdout=subprocess.PIPE,
                              check=True).stdout
        (self.folder / "object.h").write_bytes(dump)
        self.assertNotIn(b"struct config {", dump)  # it has no use there, and would take 1,000 bytes
        for structure, c_name in STRUCTS.items() - {(module.Config, "config")}:
            with self.subTest(c_name):
                self.assert_layout(structure, c_name, '#include "object.h"', f"-I{self.folder}")

    def test_scmp_version(self) -> None:
        require(os.path.exists("/usr/include/seccomp.h"), "seccomp.h (libseccomp-dev)")
        self.assert_layout(module.ScmpVersion, "scmp_version", "#include <seccomp.h>")

    def test_sock_filter(self) -> None:
        self.assert_layout(module.SockFilter, "sock_filter", "#include <linux/filter.h>")

    def test_btf(self) -> None:
        self.assert_layout(module.BtfType, "btf_type", "#include <linux/btf.h>")
        self.assert_layout(module.BtfMember, "btf_member", "#include <linux/btf.h>")
        wanted = {"BTF_KIND_STRUCT": module.BTF_KIND_STRUCT, "BTF_KIND_UNION": module.BTF_KIND_UNION}
        self.assertEqual(self.c_values("#include <linux/btf.h>", list(wanted)), wanted)

    def test_members_of_kernel_structs(self) -> None:
        """Where the kernel's own description of its types has them, as another reader of it says."""
        require_command("bpftool")
        require(os.path.exists(module.KERNEL_BTF), module.KERNEL_BTF)
        header = self.folder / "vmlinux.h"
        with open(header, "wb") as file:
            subprocess.run(["bpftool", "btf", "dump", "file", module.KERNEL_BTF, "format", "c"], stdout=file,
                           check=True)
        wanted = [f"__builtin_offsetof(struct {struct.decode()}, {member.decode()})"
                  for _, struct, member in module.MEMBERS] + ["sizeof(struct upid)"]
        # It declares what printf() and the C compiler declare otherwise.
        source = self.folder / "offsets.c"
        source.write_text('#include "vmlinux.h"\nint printf(const char *, ...);\nint main(void) {\n' + "".join(
            f'printf("%lu\\n", (unsigned long){each});\n' for each in wanted) + "}\n")
        subprocess.run(["gcc", "-w", "-o", str(self.folder / "offsets"), str(source)], check=True)
        found = subprocess.run([str(self.folder / "offsets")], stdout=subprocess.PIPE, check=True).stdout.split()
        upid_bytes = int(re.findall(r"#define UPID_BYTES\s+(\d+)", (OBJECT.parent / "recorder.bpf.c").read_text())[0])
        self.assertEqual(list(map(int, found)), [*module.member_offsets(), upid_bytes])


class Constants(CompiledCase):
    def test_names_of_values(self) -> None:
        """All that show names, from the header that stands there, as the compiler sees it."""
        require(X86, "x86, whose asm/prctl.h has arch_prctl's")
        found: Dict[str, Dict[str, int]] = {}
        for names in module.value_names().values():
            for each in names:
                found.setdefault(each.header, {}).update(each.values)
        self.assertGreater(sum(map(len, found.values())), 300)
        before = "".join(f"#include <{header}>\n" for header in (
            "sys/socket.h", "sys/ioctl.h", "asm/termbits.h", "linux/fiemap.h"))
        for header, values in found.items():
            with self.subTest(header):
                seen = self.c_values(before + f"#include <{header}>", [f"(unsigned)({name})" for name in values])
                self.assertEqual({name: seen[f"(unsigned)({name})"] for name in values}, values)

    def test_syscalls_whose_values_have_names(self) -> None:
        """Each takes so many arguments, and what --args narrows has names where any are compared."""
        for name, index in module.value_names():
            self.assertTrue(module.is_syscall_name(name), name)
            self.assertLess(index, 6)
            self.assertEqual(module.ARGUMENTS.get(name, index) == index or (name, index) in (
                ("socket", 1), ("socketpair", 1), ("mmap", 2), ("getsockopt", 1),
                ("setsockopt", 1)), True, (name, index))

    """Numbers that spoc.py spells out because Python does not have them."""

    def test_linux(self) -> None:
        includes = "".join(f"#include <{header}>\n" for header in (
            "linux/audit.h", "linux/capability.h", "linux/nsfs.h", "signal.h", "sys/prctl.h"))
        wanted = {
            "AUDIT_ARCH_X86_64": module.X86_64.token, "AUDIT_ARCH_I386": module.X86.token,
            "AUDIT_ARCH_AARCH64": module.AARCH64.token, "AUDIT_ARCH_ARM": module.ARM.token,
            "AUDIT_ARCH_RISCV64": module.RISCV64.token, "AUDIT_ARCH_PPC64LE": module.PPC64LE.token,
            "CAP_SYS_ADMIN": module.CAP_SYS_ADMIN, "CAP_PERFMON": module.CAP_PERFMON, "CAP_BPF": module.CAP_BPF,
            "SI_KERNEL": module.SI_KERNEL, "PR_SET_CHILD_SUBREAPER": module.PR_SET_CHILD_SUBREAPER,
            "NS_GET_OWNER_UID": module.namespace_ioctl(module.NS_GET_OWNER_UID, platform.machine()),
            "NS_GET_PARENT": module.namespace_ioctl(module.NS_GET_PARENT, platform.machine()),
        }
        if X86:
            includes += "#include <asm/unistd.h>\n"
            wanted["__X32_SYSCALL_BIT"] = module.X32_SYSCALL_BIT
        self.assertEqual(self.c_values(includes, list(wanted)), wanted)

    def test_libseccomp(self) -> None:
        """The names that a profile gives to architectures are the macros that stand for their tokens."""
        require(os.path.exists("/usr/include/seccomp.h"), "seccomp.h (libseccomp-dev)")
        wanted = {value.name: value.token for value in vars(module).values()
                  if isinstance(value, module.Architecture) and value != module.UNKNOWN_ARCHITECTURE}
        self.assertGreaterEqual(len(wanted), 7)
        found = self.c_values("#include <seccomp.h>", [f"(uint32_t)({name})" for name in wanted] + ["__NR_SCMP_ERROR"])
        self.assertEqual(found.pop("__NR_SCMP_ERROR"), module.NR_SCMP_ERROR)
        self.assertEqual({name[len("(uint32_t)("):-1]: token for name, token in found.items()}, wanted)

    def test_libbpf(self) -> None:
        """What is libbpf's own number for the verifier's refusal before 1.0 counts as the kernel's from then on."""
        require(os.path.exists("/usr/include/bpf/libbpf.h"), "bpf/libbpf.h (libbpf-dev)")
        number = self.c_values("#include <bpf/libbpf.h>", ["LIBBPF_ERRNO__VERIFY"])["LIBBPF_ERRNO__VERIFY"]
        with self.assertRaises(OSError) as caught:
            module.check_negative(-number, len, ())
        self.assertEqual(caught.exception.errno, errno.EINVAL)

    def test_recorder(self) -> None:
        require(os.path.exists("/usr/include/bpf/bpf_helpers.h"), "bpf/bpf_helpers.h (libbpf-dev)")
        wanted = {"ABIS": module.ABIS, "NUMBERS": module.NUMBERS, "SLOTS": module.SLOTS, "LISTED": module.LISTED,
                  "TASKS": module.ScopedPrograms.MAX_TASKS, "MARK_LISTED": module.MARK_LISTED,
                  "NEWS_JOINED": module.NEWS_JOINED, "NEWS_GONE": module.NEWS_GONE,
                  "NAMESPACES": module.MAX_NAMESPACES,
                  "COMPAT_NONE": module.COMPAT_NONE.source,
                  "COMPAT_TASK": module.COMPAT_X86.source, "COMPAT_REGS": module.COMPAT_ARM64.source}
        self.assertEqual(self.c_values('#include "recorder.bpf.c"', list(wanted), f"-I{OBJECT.parent}", "-w"), wanted)
        self.assertEqual(module.COMPAT_X86_BEFORE_5_11.source, module.COMPAT_X86.source)

    def test_compat_bits(self) -> None:
        """TS_COMPAT is the kernel's own; PSR_MODE32_BIT and the place of pstate are in the headers of arm64 alone."""
        if platform.machine() != "aarch64":
            raise unittest.SkipTest("needs the headers of arm64")
        wanted = {"PSR_MODE32_BIT": module.COMPAT_ARM64.mask,
                  "__builtin_offsetof(struct user_pt_regs, pstate)": module.COMPAT_ARM64.offset}
        self.assertEqual(self.c_values("#include <asm/ptrace.h>", list(wanted)), wanted)


# Function -> its C prototype: the result's type, then the parameters'. Checked against the headers by a compiler.
PROTOTYPES: Dict[str, Tuple[str, ...]] = {
    "bpf_object__open_mem": ("struct bpf_object *", "const void *", "size_t", "const struct bpf_object_open_opts *"),
    "bpf_object__close": ("void", "struct bpf_object *"),
    "bpf_object__load": ("int", "struct bpf_object *"),
    "bpf_object__find_program_by_name": ("struct bpf_program *", "const struct bpf_object *", "const char *"),
    "bpf_object__find_map_by_name": ("struct bpf_map *", "const struct bpf_object *", "const char *"),
    "bpf_program__set_autoload": ("int", "struct bpf_program *", "bool"),
    "bpf_program__attach_raw_tracepoint": ("struct bpf_link *", "const struct bpf_program *", "const char *"),
    "bpf_link__destroy": ("int", "struct bpf_link *"),
    "bpf_map__fd": ("int", "const struct bpf_map *"),
    "bpf_map__set_max_entries": ("int", "struct bpf_map *", "__u32"),
    "bpf_map__set_type": ("int", "struct bpf_map *", "enum bpf_map_type"),
    "bpf_map_get_next_key": ("int", "int", "const void *", "void *"),
    "bpf_map_lookup_elem": ("int", "int", "const void *", "void *"),
    "bpf_map_update_elem": ("int", "int", "const void *", "const void *", "__u64"),
    "bpf_obj_get_info_by_fd": ("int", "int", "void *", "__u32 *"),
    "bpf_program__fd": ("int", "const struct bpf_program *"),
    "bpf_map_delete_elem": ("int", "int", "const void *"),
    "bpf_map_lookup_and_delete_elem": ("int", "int", "const void *", "void *"),
    "btf__parse_raw": ("struct btf *", "const char *"),
    "btf__free": ("void", "struct btf *"),
    "btf__find_by_name_kind": ("__s32", "const struct btf *", "const char *", "__u32"),
    "btf__type_by_id": ("const struct btf_type *", "const struct btf *", "__u32"),
    "btf__name_by_offset": ("const char *", "const struct btf *", "__u32"),
    "libbpf_set_print": ("libbpf_print_fn_t", "libbpf_print_fn_t"),
    "seccomp_version": ("const struct scmp_version *",),
    "seccomp_syscall_resolve_num_arch": ("char *", "uint32_t", "int"),
    "free": ("void", "void *"),
    "vasprintf": ("int", "char **restrict", "const char *restrict", "va_list"),
    "prctl": ("int", "int", "..."),
    "ring_buffer__new": ("struct ring_buffer *", "int", "ring_buffer_sample_fn", "void *",
                         "const struct ring_buffer_opts *"),
    "ring_buffer__consume": ("int", "struct ring_buffer *"),
    "ring_buffer__free": ("void", "struct ring_buffer *"),
    "seccomp_init": ("scmp_filter_ctx", "uint32_t"),
    "seccomp_release": ("void", "scmp_filter_ctx"),
    "seccomp_arch_add": ("int", "scmp_filter_ctx", "uint32_t"),
    "seccomp_arch_resolve_name": ("uint32_t", "const char *"),
    "seccomp_attr_set": ("int", "scmp_filter_ctx", "enum scmp_filter_attr", "uint32_t"),
    "seccomp_rule_add_array": ("int", "scmp_filter_ctx", "uint32_t", "int", "unsigned int",
                               "const struct scmp_arg_cmp *"),
    "seccomp_syscall_priority": ("int", "scmp_filter_ctx", "int", "uint8_t"),
    "seccomp_syscall_resolve_name_arch": ("int", "uint32_t", "const char *"),
    "seccomp_export_bpf": ("int", "const scmp_filter_ctx", "int"),
    "seccomp_export_pfc": ("int", "const scmp_filter_ctx", "int"),
    "signalfd": ("int", "int", "const sigset_t *", "int"),
    "execve": ("int", "const char *", "char *const *", "char *const *"),
    "capset": ("int", "cap_user_header_t", "const cap_user_data_t"),
    "capget": ("int", "cap_user_header_t", "cap_user_data_t"),
    "syscall": ("long", "long", "..."),
    "personality": ("int", "unsigned long"),
    "inotify_init1": ("int", "int"),
    "inotify_add_watch": ("int", "int", "const char *", "uint32_t"),
}
CALLBACK = ("int", "enum libbpf_print_level", "const char *", "va_list")
# C type -> the ctypes that carry it. `char *` as a result is memory that the caller frees, so its address is needed.
CTYPES: Dict[str, Tuple[Any, ...]] = {
    "void": (None,), "int": (ctypes.c_int,), "bool": (ctypes.c_bool,), "size_t": (ctypes.c_size_t,),
    "uint8_t": (ctypes.c_uint8,), "uint32_t": (ctypes.c_uint32,), "__u32": (ctypes.c_uint32,),
    "__u64": (ctypes.c_uint64,), "enum bpf_map_type": (ctypes.c_uint32,),
    "enum libbpf_print_level": (ctypes.c_int,), "void *": (ctypes.c_void_p,),
    "const void *": (ctypes.c_void_p, ctypes.c_char_p), "const char *": (ctypes.c_char_p,),
    "char *": (ctypes.c_void_p,), "char **restrict": (ctypes.POINTER(ctypes.c_char_p),),
    "const char *restrict": (ctypes.c_char_p,), "va_list": (ctypes.c_void_p,),
    "struct bpf_object *": (module.BpfObject,), "const struct bpf_object *": (module.BpfObject,),
    "struct bpf_program *": (module.BpfProgram,), "const struct bpf_program *": (module.BpfProgram,),
    "__s32": (ctypes.c_int,), "struct btf *": (module.Btf,), "const struct btf *": (module.Btf,),
    "const struct btf_type *": (ctypes.POINTER(module.BtfType),),
    "struct bpf_map *": (module.BpfMap,), "const struct bpf_map *": (module.BpfMap,),
    "struct bpf_link *": (module.BpfLink,), "const struct bpf_object_open_opts *": (ctypes.c_void_p,),
    "const struct scmp_version *": (ctypes.POINTER(module.ScmpVersion),),
    "unsigned int": (ctypes.c_int, ctypes.c_uint), "long": (ctypes.c_long, ctypes.c_ulong),
    "unsigned long": (ctypes.c_ulong,), "__u32 *": (ctypes.c_void_p,),
    "enum scmp_filter_attr": (ctypes.c_int,), "scmp_filter_ctx": (module.ScmpContext,),
    "const scmp_filter_ctx": (module.ScmpContext,), "struct ring_buffer *": (module.BpfRing,),
    "ring_buffer_sample_fn": (module.RING_CALLBACK,), "const struct ring_buffer_opts *": (ctypes.c_void_p,),
    "const struct scmp_arg_cmp *": (ctypes.c_void_p,), "const sigset_t *": (ctypes.c_char_p,),
    "char *const *": (ctypes.c_void_p,), "cap_user_header_t": (ctypes.c_void_p,),
    "const cap_user_data_t": (ctypes.c_void_p,), "cap_user_data_t": (ctypes.c_void_p,),
    "libbpf_print_fn_t": (module.PRINT_CALLBACK, ctypes.c_void_p),
}


class Prototypes(CompiledCase):
    """The signature tables."""

    def functions(self) -> Dict[str, Any]:
        """All functions that may be called, as ctypes have them."""
        libraries = (module.libbpf, module.libseccomp, module.libc)
        return {name: getattr(library, name) for library in libraries for name, *_ in library._functions}

    def test_every_function_is_known(self) -> None:
        self.assertEqual(set(self.functions()), set(PROTOTYPES))

    def test_as_the_headers_have_them(self) -> None:
        for header in ("bpf/libbpf.h", "seccomp.h"):
            require(os.path.exists(f"/usr/include/{header}"), f"{header} (a -dev package)")
        source = ["#include <bpf/bpf.h>", "#include <bpf/libbpf.h>", "#include <bpf/btf.h>",
                  "#include <seccomp.h>", "#include <stdarg.h>",
                  "#include <stdbool.h>", "#include <stdio.h>", "#include <stdlib.h>", "#include <sys/prctl.h>",
                  "#include <sys/inotify.h>", "#include <sys/personality.h>",
                  "#include <sys/signalfd.h>", "#include <unistd.h>", "#include <linux/capability.h>",
                  "int capset(cap_user_header_t header, const cap_user_data_t data);",
                  "int capget(cap_user_header_t header, cap_user_data_t data);"]
        source += [f"{result} (*const {name}_pointer)({', '.join(parameters) or 'void'}) = {name};"
                   for name, (result, *parameters) in PROTOTYPES.items()]
        source += [f"{CALLBACK[0]} callback({', '.join(CALLBACK[1:])});", "const libbpf_print_fn_t printer = callback;"]
        # Only compiled, to one object that nothing is linked with.
        path = self.folder / "prototypes.c"
        path.write_text("\n".join(source) + "\n")
        compiled = subprocess.run(["gcc", "-D_GNU_SOURCE", "-Wall", "-Werror", "-Wno-unused", "-c", "-o",
                                   str(self.folder / "prototypes.o"), str(path)],
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.assertEqual(compiled.returncode, 0, compiled.stdout)

    def test_as_ctypes_have_them(self) -> None:
        for name, (result, *parameters) in PROTOTYPES.items():
            with self.subTest(name):
                function = self.functions()[name]
                self.assertIn(function.restype, CTYPES[result])
                arguments = list(function.argtypes)
                if parameters[-1:] == ["..."]:
                    # In every ABI that is supported a variadic integer is passed as a long.
                    self.assertLessEqual(set(arguments[len(parameters) - 1:]), {ctypes.c_ulong, ctypes.c_void_p})
                    del arguments[len(parameters) - 1:], parameters[-1]
                self.assertEqual(len(arguments), len(parameters))
                for argument, parameter in zip(arguments, parameters):
                    self.assertIn(argument, CTYPES[parameter])
        callback: Any = module.PRINT_CALLBACK
        self.assertEqual((callback._restype_, *callback._argtypes_), tuple(CTYPES[text][0] for text in CALLBACK))


class BaseSyscalls(unittest.TestCase):
    def test_union_of_the_runtimes_profiles(self) -> None:
        try:
            import yaml
        except ImportError:
            return require(False, "the Python module yaml")
        union: Set[str] = set()
        for path in (DATA / "spo-baseprofile-runc.yaml", DATA / "spo-baseprofile-crun.yaml"):
            names = {name for rule in yaml.safe_load(path.read_text("utf-8"))["spec"]["syscalls"]
                     if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]}
            self.assertGreaterEqual(len(names), 40)
            union |= names
        self.assertEqual(set(module.BASE_SYSCALLS), union)
        self.assertEqual(list(module.BASE_SYSCALLS), sorted(union))


ENTER_DIRECT, ENTER_ABIS, ENTER_PLAIN = "enter_direct", "enter_abis", "enter_plain"
DIRECT = ON_X86_64 and os.path.exists(module.KERNEL_BTF)


class Jit(unittest.TestCase):
    """Where programs would crash the kernel unless its JIT compiles them. The machine `jit` of check-vm shows it."""

    INLINING = (("aarch64", "6.10.14", "6.11.0-rc1"), ("aarch64", "5.10.0-30-arm64", "6.12.117+deb13-arm64"),
                ("ppc64le", "6.19.3", "7.0.0"), ("riscv64", "7.1.9-riscv64", "7.2.0"), ("x86_64", "6.18.44", "7.0.1"))

    @staticmethod
    @contextlib.contextmanager
    def kernel(name: str, release: str, setting: str) -> Iterator[Any]:
        """A BpfRecorder of such a machine, under such a kernel."""
        uname = os.uname_result(("Linux", "node", release, "#1", name))
        machine = module.machine_of(name, release)
        with unittest.mock.patch.object(module, "kernel_uname", lambda: uname), \
                unittest.mock.patch.object(module, "jit_setting", lambda: setting), \
                module.BpfRecorder(machine) as recorder:
            yield recorder

    def assert_refused(self, recorder: Any, setting: str) -> None:
        """Nothing of libbpf is called before."""
        with unittest.mock.patch.object(module, "libbpf", None), self.assertRaises(module.KernelError) as caught:
            recorder.load()
        self.assertEqual((caught.exception.subject, caught.exception.hint),
                         ("net.core.bpf_jit_enable", "sysctl net.core.bpf_jit_enable=1"))
        self.assertIn(f"is {setting}", caught.exception.reason)

    def test_off(self) -> None:
        for name, before, after in self.INLINING:
            with self.subTest(f"{name} {after}"), self.kernel(name, after, "0") as recorder:
                if name == "x86_64":  # the verifier looks whether it is on
                    self.assertFalse(module.lacks_jit(recorder.machine.native))
                else:
                    self.assert_refused(recorder, "0")
                    self.assertEqual(module.examine_jit().remedy, module.JIT_REMEDY)
            with self.subTest(f"{name} {before}"), self.kernel(name, before, "0") as recorder:
                self.assertFalse(module.lacks_jit(recorder.machine.native))
                self.assertEqual(module.examine_jit(), module.Finding("off: programs are interpreted"))

    def test_on_or_unknown(self) -> None:
        for name, _, release in self.INLINING:
            for setting in ("1", "2", "none", ""):
                with self.subTest(f"{name} {setting}"), self.kernel(name, release, setting) as recorder:
                    self.assertFalse(module.lacks_jit(recorder.machine.native))
                    self.assertEqual(module.examine_jit().state, "ok")

    def test_neither_on_other_machines(self) -> None:
        for name in ("armv7l", "i686"):
            with self.kernel(name, "7.3.0", "0") as recorder:
                self.assertFalse(module.lacks_jit(recorder.machine.native))

    def test_what_this_kernel_compiles(self) -> None:
        """Asked where it matters only: of a kernel that inlines, whose JIT is on, or not known to be off."""
        require_root()
        require(ON_X86_64, "x86-64")
        none = unittest.mock.Mock(return_value=0)  # leaves jited_prog_len as it is
        for release, setting, asked in (("7.0.0", "1", True), ("7.0.0", "", True), ("7.0.0", "none", False),
                                        ("7.0.0", "0", False), ("6.18.0", "1", False)):
            with self.subTest(f"{release} {setting}"), self.kernel("x86_64", release, setting) as recorder:
                recorder.load()
            expected: Any = self.assertRaises(module.KernelError) if asked else contextlib.nullcontext()
            with self.kernel("x86_64", release, setting) as recorder, expected, \
                    unittest.mock.patch.object(module.libbpf, "bpf_obj_get_info_by_fd", none):
                recorder.load()


class Loaded(Case):
    """The recorder in the kernel."""

    def setUp(self) -> None:
        super().setUp()
        require_root()
        uname = os.uname()
        self.machine = module.machine_of(uname.machine, uname.release)

    @property
    def plain_machine(self) -> Any:
        """The machine as one without 32-bit calls, for which the program without bpf_probe_read_kernel is loaded."""
        return self.machine._replace(compat=None, compat_test=module.COMPAT_NONE)

    def without_btf(self) -> Any:
        return unittest.mock.patch.object(module, "KERNEL_BTF", str(self.folder / "no BTF"))

    def recorded(self, recorder: Any, *command: str) -> Set[Tuple[int, int]]:
        """The (abi, number) pairs of the calls that a command makes."""
        with module.Supervisor() as supervisor:
            with module.Child(command, None, supervisor) as child:
                recorder.begin(child)
                child.wait_started({})
        self.assertEqual(os.waitpid(child.pid, 0)[1], 0)
        abis = {self.machine.compat: 1}
        return {(abis.get(call.architecture, 0), call.number) for call in recorder.recording().calls}

    def loaded_programs(self) -> Set[str]:
        require_command("bpftool")
        names = set()
        for number in kernel_ids("prog"):
            shown = subprocess.run(["bpftool", "-j", "prog", "show", "id", str(number)], stdout=subprocess.PIPE,
                                   check=True)
            names.add(json.loads(shown.stdout)["name"])
        return names

    def test_all_programs_record_the_same(self) -> None:
        if self.machine.compat is None:
            raise unittest.SkipTest("needs a 64-bit kernel with 32-bit calls")
        program = build("numbers.c")
        # kcmp, which nothing else calls, and a number for the hash.
        commands = [(program, "1029", "1"), (program, str(self.number_of("kcmp")), "1")]
        found = []
        nothing = contextlib.nullcontext()
        for machine, context, loaded in ((self.machine, nothing, ENTER_DIRECT if DIRECT else ENTER_ABIS),
                                         (self.machine, self.without_btf(), ENTER_ABIS),
                                         (self.plain_machine, nothing, ENTER_PLAIN)):
            sets = []
            for command in commands:
                with module.BpfRecorder(machine) as recorder:
                    with context:
                        recorder.load()
                    self.assertEqual(self.loaded_programs() & {ENTER_DIRECT, ENTER_ABIS, ENTER_PLAIN}, {loaded})
                    recorder.attach()
                    sets.append(self.recorded(recorder, *command))
                    self.assertEqual(recorder.recording().tasks, 1)
            found.append(sets)
        self.assertEqual(found[0], found[1])
        self.assertEqual(found[0], found[2])
        self.assertEqual(found[0][0] - found[0][1], {(0, 1029)})
        self.assertEqual(found[0][1] - found[0][0], {(0, self.number_of("kcmp"))})

    @staticmethod
    def number_of(name: str) -> int:
        return int(module.syscall_number(name))

    def test_32_bit_calls(self) -> None:
        """Told apart by two programs; all taken for native ones by the third."""
        if not ON_X86_64:
            raise unittest.SkipTest("needs gcc -m32")
        program = build("numbers.c", "-m32", "-static")
        nothing = contextlib.nullcontext()
        for machine, context, abi in ((self.machine, nothing, 1), (self.machine, self.without_btf(), 1),
                                      (self.plain_machine, nothing, 0)):
            with module.BpfRecorder(machine) as recorder:
                with context:
                    recorder.load()
                recorder.attach()
                calls = self.recorded(recorder, program, "349", "1")  # kcmp of i386
            self.assertIn((abi, 349), calls)
            self.assertEqual({found for found, _ in calls}, {abi})

    def test_two_that_are_first(self) -> None:
        """Where two CPUs enter the same call for the first time, both are counted; on a busy machine they seldom do."""
        for _ in range(3):
            with module.BpfRecorder(self.machine) as recorder:
                recorder.load()
                recorder.attach()
                self.recorded(recorder, build("race.c", "-pthread"), "1024", "1000")
                counts = {call.number: call.times for call in recorder.recording().calls if call.number >= 1024}
            self.assertEqual(counts, dict.fromkeys(range(1024, 2024), 2))

    def test_processes_that_are_there(self) -> None:
        """A thread that execs becomes its process's only one, and is the same process."""
        execs = ("import os, threading, time\n"
                 "threading.Thread(target=os.execv, args=('/bin/sleep', ['sleep', '600'])).start()\ntime.sleep(600)")
        for command, sleeping, processes in ((("sleep", "600"), 1, 1), ((sys.executable, "-I", "-c", execs), 1, 1),
                                             (("sh", "-c", "sleep 600 & sleep 600; :"), 2, 3)):
            with self.subTest(command), module.BpfRecorder(self.machine) as recorder, \
                    module.Supervisor() as supervisor:
                recorder.load()
                recorder.attach()
                with module.Child(command, None, supervisor) as child:
                    self.addCleanup(child.kill)
                    recorder.begin(child)
                    child.wait_started({})
                    family = {child.pid}
                    end_s = time.monotonic() + WAIT_S
                    while sum(self.sleeps(pid) for pid in family) < sleeping:
                        self.assertLess(time.monotonic(), end_s)
                        family = {child.pid, *(process.pid for process in running_below(child.pid))}
                    self.assertEqual((recorder.processes(), recorder.live_tasks()), (processes, processes))
                    for pid in family:
                        os.kill(pid, signal.SIGKILL)
                    os.waitpid(child.pid, 0)
                    while recorder.has_live_tasks():
                        self.assertLess(time.monotonic(), end_s)
                    self.assertEqual(recorder.processes(), 0)
                    # Nor may the next task at one of their addresses pass for a recorded one.
                    self.assertEqual([slot for slot in recorder.slots if slot.owner or slot.count], [])

    @staticmethod
    def sleeps(pid: int) -> bool:
        """Is it sleep(1), in its long sleep? No number of another call is clock_nanosleep(2)'s."""
        with contextlib.suppress(OSError):
            path = pathlib.Path(f"/proc/{pid}")
            number = module.syscall_number("clock_nanosleep")
            return (path / "comm").read_text() == "sleep\n" and (path / "syscall").read_text().startswith(f"{number} ")
        return False

    def test_what_cannot_be_read(self) -> None:
        """Calls of which it is not known whether they are 32-bit ones are counted, and the recording is not all."""
        compat_regs = 2  # COMPAT_REGS of recorder.bpf.c
        machine = self.machine._replace(compat_test=module.CompatTest(compat_regs, 0xFFFF0000, 1))
        with module.BpfRecorder(machine) as recorder:
            with self.without_btf():
                recorder.load()
            recorder.attach()
            self.recorded(recorder, "true")
            lost = recorder.counters().reads_lost
            self.assertGreater(lost, 10)
            self.assertEqual(recorder.recording().losses, (
                f"{lost} calls could not be told to be 32-bit or not; record again",))

    def test_values_that_have_no_room(self) -> None:
        """None is told rather than a part of them."""
        number = self.number_of("getpriority")
        code = "import ctypes; libc = ctypes.CDLL(None); [libc.getpriority(value, 0) for value in range(1000, 1010)]"
        for cpus, values in ((None, set(range(1000, 1010))), (-60, set())):  # room for 5
            with unittest.mock.patch.object(os, "cpu_count", lambda: cpus), \
                    module.BpfRecorder(self.machine, watched={(0, number): 0}) as recorder:
                recorder.load()
                recorder.attach()
                self.recorded(recorder, sys.executable, "-I", "-c", code)
                found = [call.values for call in recorder.recording().calls if call.number == number]
                self.assertEqual(found, [values])

    def test_maps_are_as_wide_as_user_space_takes_them(self) -> None:
        require_command("bpftool")
        with module.BpfRecorder(self.machine) as recorder:
            recorder.load()
            maps = {}
            for number in kernel_ids("map"):
                shown = subprocess.run(["bpftool", "-j", "map", "show", "id", str(number)], stdout=subprocess.PIPE,
                                       check=True)
                found = json.loads(shown.stdout)
                maps[found["name"]] = (found["bytes_key"], found["bytes_value"], found["max_entries"])
        self.assertEqual(maps["config"], (4, ctypes.sizeof(module.Config), 1))
        self.assertEqual(maps["counters"], (4, ctypes.sizeof(module.Counters), 1))
        self.assertEqual(maps["seen"], (4, 8, module.ABIS * module.NUMBERS))
        self.assertEqual(maps["slots"], (4, ctypes.sizeof(module.SlotValue), module.SLOTS))
        self.assertEqual(maps["tasks"][:2], (8, ctypes.sizeof(module.TaskValue)))
        self.assertEqual(maps["owners"], (4, 8, module.SLOTS))
        self.assertEqual(maps["watched"], (4, ctypes.sizeof(module.Watch), module.ABIS * module.NUMBERS))
        self.assertEqual(maps["values"][:2], (ctypes.sizeof(module.ValueKey), 4))
        self.assertEqual(maps["calls"][:2], (ctypes.sizeof(module.CallKey), ctypes.sizeof(module.CallValue)))

    def test_nothing_before_it_is_armed_and_nothing_stays_after_close(self) -> None:
        with module.BpfRecorder(self.machine) as recorder:
            recorder.load()
            recorder.attach()
            self.assertTrue(kernel_ids("prog") and kernel_ids("map") and kernel_ids("link"))
            subprocess.run(["true"], check=True)
            self.assertEqual(recorder.recording(), ((), 0, (module.START_UNSEEN,)))
        self.assertEqual([kernel_ids(kind) for kind in ("prog", "link")], [set(), set()])
        del recorder  # and with it what is mapped of the arrays
        self.assertEqual(kernel_ids("map"), set())


BPF_CALL = b"\x85\0\0\0"  # struct bpf_insn with code BPF_JMP | BPF_CALL and no registers; the helper's number follows
PROBE_READ_KERNEL, GET_CURRENT_TASK_BTF = 113, 158  # enum bpf_func_id
NO_HELPER = 100000


class Lockdown(Case):
    """A kernel in lockdown mode `confidentiality` refuses programs that call bpf_probe_read_kernel.

    It does so as it refuses a helper that it does not know, and so does any kernel if the object is made to call one.
    """

    def setUp(self) -> None:
        super().setUp()
        require_root()
        if platform.machine() not in ("x86_64", "aarch64"):
            raise unittest.SkipTest("needs a 64-bit kernel with 32-bit calls")

    def refuse(self, *helpers: int) -> None:
        """Put a spoc.py into the scratch folder whose object calls a helper that no kernel knows instead of these."""
        data = OBJECT.read_bytes()
        for helper in helpers:
            call, unknown = (BPF_CALL + number.to_bytes(4, "little") for number in (helper, NO_HELPER))
            self.assertIn(call, data)
            data = data.replace(call, unknown)
        (self.folder / "recorder.bpf.o").write_bytes(data)
        (self.folder / "spoc.py").write_text(re.sub("OBJECT_CRC32 = 0x[0-9A-F]+", f"OBJECT_CRC32 = {zlib.crc32(data)}",
                                                    pathlib.Path(module.__file__).read_text()))

    def test_btf_tells_32_bit_calls(self) -> None:
        require(DIRECT, "an x86-64 kernel with BTF")
        self.refuse(PROBE_READ_KERNEL)
        result = subprocess.run([sys.executable, str(self.folder / "spoc.py"), "record", "-q", "-n", "-t",
                                 "raw-seccomp", "-o", "-", build("numbers.c", "-m32", "-static"), "349", "1"],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        document = json.loads(result.stdout)
        self.assertIn("SCMP_ARCH_X86", document["architectures"])
        self.assertIn("kcmp", document["syscalls"][0]["names"])

    def test_records_and_says_what_is_missing(self) -> None:
        self.refuse(PROBE_READ_KERNEL, GET_CURRENT_TASK_BTF)
        names = self.record("true")
        profile = self.folder / "locked.json"
        result = subprocess.run([sys.executable, str(self.folder / "spoc.py"), "record", "-q", "-n",
                                 "-t", "raw-seccomp", "-o", str(profile), "true"],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertRegex(result.stderr, r"^\S+ Error: [^\n]*lockdown[^\n]* 32-bit calls [^\n]* 64-bit programs only\n$")
        document = json.loads(profile.read_text())
        self.assertEqual({name for rule in document["syscalls"] for name in rule["names"]} - NEWER_KERNEL_CALLS,
                         names | kernel_calls(document))
        self.assertEqual(len(document["architectures"]), 1)


if __name__ == "__main__":
    unittest.main()
