# SPDX-License-Identifier: MIT
# make demo     record a program, show the profile, run it with a call removed, learn that (installs what that needs)
# make check    lint, verify-bpf and all tests (installs the test tools)
# make verify-bpf  build bpf/recorder.bpf.o again and compare (installs the pinned clang)
# make check-vm boot other machines under QEMU and test there (installs QEMU); make check-vm MACHINES='arm64 floor'
# make test     the tests alone; make test TESTS='test_profile Storm' runs those whose names hold one of the words
# make golden   record anew what all commands print and write, which test_golden compares with (tests/data/golden)
# make test-fast  the pure tests, as any user; the other tiers are kernel (make test) and machines (make check-vm)
# make bench    measure speed and size against strace and an empty BPF program
# make faults   let every syscall of spoc.py fail, one a run, and judge the outcome: make faults SECONDS=600 SEED=1
# make fuzz     read documents and load rules made by chance for SECONDS=600, from a SEED= that it prints
# make dist     build dist/spoc.pyz (program and BPF object in one file), the completion for bash, the manual page;
#               make dist PYTHONS='python3.9 python3.13' has its start as short under each of these
# make install  put these in place: PREFIX=/usr/local DESTDIR=
# make install-docs  README.md, docs and examples, too
# make deb      build dist/spoc_VERSION_all.deb of all these, for Debian and Ubuntu
# make check-deb  install, use, upgrade and purge that in trees of Debian 11, 12 and 13 (installs mmdebstrap)

PREFIX  = /usr/local
DESTDIR =
VERSION = $(shell sed -n 's/^VERSION = "\(.*\)"/\1/p' spoc.py)
TESTS   =
MACHINES =
SECONDS = 600
SEED    =
# The first line of the program in one file.
INTERPRETER = /usr/bin/env python3

# The distribution's own Python: the packages that the tests compare with belong to it.
PYTHON = $(firstword $(wildcard /usr/bin/python3) python3)
PYTHONS = $(PYTHON)
SUDO   = $(if $(filter 0,$(shell id -u)),,sudo)

# Pinned: another compiler makes other bytes, and then nobody could check the committed object.
CLANG = clang-14
OBJCOPY = llvm-objcopy-14
# .BTF.ext holds what nothing here needs: CO-RE relocations, of which there are none, and the source lines.
# The relocations of .BTF are for linkers: libbpf finds maps by their symbols.
# From standard input, as of a file clang puts every line of the program into .BTF, a fifth of the object.
# Names in the object are relative to the folder that holds the source, so that the same bytes come out of any folder.
BUILD = $(CLANG) -target bpf -mcpu=v2 -O2 -g -Wall -Werror -fdebug-compilation-dir=. \
        -I/usr/include/$$($(CLANG) -print-multiarch) -x c -c -o recorder.bpf.tmp - <recorder.bpf.c && \
        $(OBJCOPY) --strip-debug --discard-all -R .BTF.ext -R .rel.BTF.ext -R .rel.BTF -R .llvm_addrsig \
        recorder.bpf.tmp && mv recorder.bpf.tmp recorder.bpf.o

# Ends a recipe well where the release has no package of that compiler.
UNLESS_LACKING = ! command -v $(CLANG) >/dev/null && why=$$(tests/install.sh lacks $(CLANG)) && { \
    echo "skipped $@: $$why; tests/clean-tree.sh bookworm $@ does it in a fresh Debian 12"; exit; }

SHELL_FILES  = .ci/run $(wildcard tests/*.sh examples/busybox/* examples/packaging/alpine/APKBUILD)
PYTHON_FILES = spoc.py docs/generate.py $(wildcard tests/*.py tests/*/*.py)

.PHONY: all demo check check-vm check-deb bench faults fuzz lint bpf verify-bpf test golden dist install install-docs
.PHONY: uninstall deb clean
.NOTPARALLEL:

all: $(if $(shell command -v $(CLANG)),verify-bpf)
	@echo 'There is nothing to build: spoc.py and bpf/recorder.bpf.o are the whole program.'
	@sed -n 's/^# make/    make/p' Makefile

demo:
	@PYTHON='$(PYTHON)' tests/install.sh demo
	@PYTHON='$(PYTHON)' tests/demo.sh

check:
	@tests/install.sh check
	@$(MAKE) --no-print-directory --keep-going lint verify-bpf test

check-vm:
	@tests/install.sh vm
	@$(PYTHON) -B tests/vm/check.py $(MACHINES)

bench: dist
	@tests/install.sh check && tests/install.sh vm
	@$(UNLESS_LACKING); $(SUDO) $(PYTHON) -B tests/bench/bench.py

faults:
	@tests/install.sh check
	@$(SUDO) $(PYTHON) -B tests/faults.py --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

fuzz:
	@tests/install.sh check
	@$(SUDO) env SECONDS='$(SECONDS)' SEED='$(SEED)' $(PYTHON) -B tests/fuzz.py

lint:
	mypy --strict --python-version 3.9 spoc.py
	mypy --strict --python-version 3.12 spoc.py
	MYPYPATH=.:tests mypy --check-untyped-defs --follow-imports=silent $(filter-out spoc.py,$(PYTHON_FILES))
	flake8 $(PYTHON_FILES)
	$(PYTHON) -W error -c 'import sys, pathlib; \
	    [compile(pathlib.Path(name).read_bytes(), name, "exec") for name in sys.argv[1:]]' $(PYTHON_FILES)
	shellcheck $(SHELL_FILES)

# spoc.py takes only the object that belongs to it: it holds its CRC.
bpf:
	cd bpf && $(BUILD)
	$(PYTHON) -c 'import binascii, pathlib, re; spoc = pathlib.Path("spoc.py"); \
	    crc = binascii.crc32(pathlib.Path("bpf/recorder.bpf.o").read_bytes()); \
	    spoc.write_text(re.sub("(OBJECT_CRC32 = )0x[0-9A-F]{8}", rf"\g<1>0x{crc:08X}", spoc.read_text()))'

verify-bpf:
	@tests/install.sh bpf
	@$(UNLESS_LACKING); folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && \
	for path in "$$folder/one" "$$folder/another, and deeper/bpf"; do \
	    mkdir -p "$$path" && cp bpf/recorder.bpf.c "$$path" && (cd "$$path" && $(BUILD)) && \
	    cmp "$$path/recorder.bpf.o" bpf/recorder.bpf.o || exit 1; \
	done && echo 'bpf/recorder.bpf.o is, byte for byte, what $(CLANG) makes of bpf/recorder.bpf.c in any folder.'

# Through sudo the tests run as plain root would run them: tests/run.py drops what sudo adds to the environment.
test:
	@$(SUDO) env CI='$(CI)' $(PYTHON) -B tests/run.py $(TESTS)

golden:
	@SPOC_GOLDEN=write $(PYTHON) -B tests/run.py test_golden.Golden

test-fast:
	@$(PYTHON) -B tests/run.py --pure $(TESTS)

# zipapp would take the files in the order in which the folder has them. Not compressed: that would take time at a start.
define ZIP
import pathlib, sys, zipfile
target, interpreter, *names = sys.argv[1:]
with open(target, "wb") as file:
    file.write(f"#!{interpreter}\n".encode())
    with zipfile.ZipFile(file, "w") as archive:
        for name in sorted(names):
            member = zipfile.ZipInfo(name)  # of 1980, and nobody's
            member.external_attr = 0o644 << 16
            archive.writestr(member, pathlib.Path(name).read_bytes())
endef
export ZIP

# The same bytes on any day, in any folder, under any umask. Beside the source lies its bytecode for each of PYTHONS,
# which spares CPython to compile the whole program at each start; of one whose magic number is not its own zipimport
# takes none, and then the source is compiled. Columns of code, for tracebacks, would take 0.2 MiB of memory. What
# zipimport runs or imports it reads twice (get_filename() makes the code as well), so that __main__.py has it read the
# code once. In a folder, Python's loader of __main__ has no other code.
dist:
	rm -rf build/spoc dist/spoc.pyz && mkdir -p build/spoc/bpf dist
	cp spoc.py build/spoc/
	cp bpf/recorder.bpf.o build/spoc/bpf/
	printf '%s\n' 'import sys' 'if hasattr(__loader__, "archive"):' '    try:' \
	    '        code = __loader__.get_code(sys.implementation.cache_tag)' '    except ImportError:' \
	    '        code = __loader__.get_code("spoc")' '    exec(code)' \
	    'else:  # unpacked, and given to Python as a folder, from which nothing is imported' \
	    '    path = __file__[:-len("__main__.py")] + "spoc.py"' \
	    '    if sys.flags.isolated or getattr(sys.flags, "safe_path", False):' \
	    '        del sys.path[0]  # which spoc.py leaves to these options' \
	    '    exec(compile(__loader__.get_data(path), path, "exec"))' >build/spoc/__main__.py
	cd build/spoc && for python in $(PYTHONS); do PYTHONHASHSEED=0 PYTHONNODEBUGRANGES=1 $$python -c 'import py_compile; \
	    import sys; py_compile.compile("spoc.py", sys.implementation.cache_tag + ".pyc", "spoc.py", True, 2, \
	    py_compile.PycInvalidationMode.UNCHECKED_HASH)' || exit; done
	cd build/spoc && $(PYTHON) -c "$$ZIP" ../../dist/spoc.pyz '$(INTERPRETER)' *.py *.pyc bpf/recorder.bpf.o
	chmod 755 dist/spoc.pyz
	$(PYTHON) -B docs/generate.py completion >dist/spoc.bash-completion
	$(PYTHON) -B docs/generate.py manual >dist/spoc.1

COMPLETION = $(DESTDIR)$(PREFIX)/share/bash-completion/completions/spoc
MANUAL     = $(DESTDIR)$(PREFIX)/share/man/man1/spoc.1
DOCUMENTS  = $(DESTDIR)$(PREFIX)/share/doc/spoc

install: dist
	install -D -m 755 dist/spoc.pyz '$(DESTDIR)$(PREFIX)/bin/spoc'
	install -D -m 644 dist/spoc.bash-completion '$(COMPLETION)'
	install -D -m 644 dist/spoc.1 '$(MANUAL)'

# The examples name the program as this installs it. What makes packages of the source stays with that.
install-docs:
	for file in README.md $(wildcard docs/*.md docs/*.svg) \
	    $(filter-out examples/packaging/%,$(wildcard examples/*/*)); do \
	    install -D -m "$$(test -x $$file && echo 755 || echo 644)" $$file "$(DOCUMENTS)/$$file" || exit 1; \
	done
	grep -rlZ /usr/local/bin/ '$(DOCUMENTS)/examples' | xargs -0r sed -i 's|/usr/local/bin/|$(PREFIX)/bin/|'

uninstall:
	rm -f '$(DESTDIR)$(PREFIX)/bin/spoc' '$(COMPLETION)' '$(MANUAL)'
	rm -rf '$(DOCUMENTS)'

# By dpkg-deb alone, which any Debian has. The same bytes on any day, in any folder, under any umask: all files are of
# SOURCE_DATE_EPOCH or the changelog's date. In xz, as Debian 11 reads no zstd.
DEBIAN = examples/packaging/debian
DOC    = build/deb/usr/share/doc/spoc
deb:
	@command -v dpkg-deb >/dev/null || { echo 'make deb: no dpkg-deb here; install the package dpkg' >&2; exit 1; }
	@grep -q "^spoc ($(VERSION)) " $(DEBIAN)/changelog || { \
	    echo 'make deb: $(DEBIAN)/changelog: no entry for version $(VERSION), which spoc.py has; add one' >&2; exit 1; }
	rm -rf build/deb
	$(MAKE) --no-print-directory install install-docs DESTDIR=build/deb PREFIX=/usr INTERPRETER=/usr/bin/python3
	install -m 644 $(DEBIAN)/changelog $(DEBIAN)/copyright $(DOC)
	gzip -9n $(DOC)/changelog build/deb/usr/share/man/man1/spoc.1
	install -d -m 755 build/deb/DEBIAN
	cd build/deb && find usr -type f | LC_ALL=C sort | xargs md5sum >DEBIAN/md5sums
	size=$$(find build/deb/usr -printf '%y %s\n' | \
	    awk '{ sum += $$1 == "f" ? int(($$2 + 1023) / 1024) : 1 } END { print sum }') && \
	sed "s/^Architecture:.*/Version: $(VERSION)\n&\nInstalled-Size: $$size/" $(DEBIAN)/control >build/deb/DEBIAN/control
	chmod 644 build/deb/DEBIAN/*
	epoch="$${SOURCE_DATE_EPOCH:-$$(date -d "$$(sed -n '/^ -- /{s/.*>  //p;q}' $(DEBIAN)/changelog)" +%s)}" && \
	    find build/deb -exec touch -h -d "@$$epoch" {} + && \
	    SOURCE_DATE_EPOCH="$$epoch" dpkg-deb -Zxz --root-owner-group --build build/deb dist/spoc_$(VERSION)_all.deb

check-deb:
	@tests/install.sh deb
	@$(SUDO) $(PYTHON) -B tests/trees.py

clean:
	rm -rf build dist .mypy_cache __pycache__ tests/__pycache__ tests/*/__pycache__
