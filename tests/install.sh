#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs what `make demo`, `make verify-bpf`, `make check`, `make check-vm` or `make check-deb` needs, by package name,
# and only what is not there yet. What later releases of Debian have no more is left out there, and what needs it is
# skipped by name.
# usage: tests/install.sh demo|bpf|check|vm|deb
#        tests/install.sh lacks PACKAGE    says so if this release has no such package, and fails if it has
set -eu

python=${PYTHON:-python3}
policy=/usr/sbin/policy-rc.d
unset policy_is_ours

# Debian package, and what needs it. Of names with a bar between them, the first that the release has.
bpf_packages() {
    cat <<'END'
clang-14            builds bpf/recorder.bpf.o; the version is pinned so that the bytes can be compared
llvm-14             llvm-objcopy-14 takes the debug sections out of the object
libbpf-dev          bpf/bpf_helpers.h for the recorder; its structs are compared with those of spoc.py
linux-libc-dev      linux/bpf.h and linux/seccomp.h for the same
END
}

check_packages() {
    bpf_packages
    cat <<'END'
libbpf1             spoc.py loads the recorder with it
libseccomp2         spoc.py asks it for the names of syscalls
libseccomp-dev      its constants are compared with those of spoc.py
gcc                 builds the programs that the tests record
libc6-dev           the same
musl-tools          the same, against another libc
gcc-multilib        the same, for the 32-bit program
golang-go           builds the Go program that the tests record
strace              says what a recording must hold
gdb                 another tracer that the programs run under
runc                starts a container under a recorded profile
crun                the same, and another list of base syscalls
podman              says which rules of a profile of its own hold; starts containers by crun, by runc, and without root
uidmap              maps the users of the last of these
catatonit           is the first process of a container that asks for one
docker.io           starts containers to record
docker-cli|docker.io  asks it to; Debian 12 has both in one package
containerd          the same, by itself
docker-registry     keeps profiles, and hands them out
skopeo              reads and writes what is in it
openssl             issues its certificates
bubblewrap          starts programs under a compiled filter
systemd             reads drop-ins and the units in examples, and runs units under them
busybox-static      the container's programs
redis-server        a real server to record
redis-tools         its load
nginx-light         a real server to record
apache2-utils       its load
sqlite3             a program to record, to see whether gaps names what it needs later
dnsmasq-base        the same, a server
openssh-server      the same
openssh-client      its load
ripgrep             the same, in Rust
curl                asks it, and other servers, for a page
wget                the same, in the commands of README
postgresql          a real server to record, with its load
python3-yaml        reads the YAML that spoc.py writes
python3-ruamel.yaml reads what that reads, as YAML 1.2
python3-jsonschema  checks it against the cluster's own schema
chromium            shows the page of show
python3-pyte        a terminal that shows what the status line draws
python3-kconfiglib  reads the recipe for Buildroot
jq                  reads the JSON that spoc.py writes
auditd              writes the log that a source of run reads
sudo                records as the user who calls sudo
bpftool             says what is loaded in the kernel, and what was left there
libcap2-bin         runs spoc.py with some capabilities and not with others
util-linux          unshare, setpriv, script
mount               small file systems to fill up
e2fsprogs           chattr, for files that nobody may change
procps              says which processes are left
iproute2            network namespaces to record in
git                 lists the files of the project
mypy                lint: types, and the oldest Python's standard library
flake8              lint: style
shellcheck          lint: shell scripts
bash-completion     completes the command of record and run
man-db              shows the manual page
mandoc              lint: the manual page
binutils            lists what that libc has
pypy3               is another Python, which spoc.py refuses
python3-pip         installs what is not in Debian: see the end
END
}

vm_packages() {
    cat <<'END'
qemu-system-arm          the ARM machines, 32 and 64 bits
qemu-system-x86          the x86 machines
qemu-system-riscv|qemu-system-misc  the RISC-V machine
opensbi                  its firmware
qemu-system-ppc          the POWER machine
debian-archive-keyring   apt verifies the machines' packages with it
e2fsprogs                makes the disk of the machine that loses its power
END
}

deb_packages() {
    cat <<'END'
mmdebstrap               builds the trees that the package is installed in
debian-archive-keyring   apt verifies their packages with it
lintian                  checks the package
END
}

die() {
    echo "tests/install.sh: $*" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

loads() {
    "$python" -c 'import ctypes, sys; ctypes.CDLL(sys.argv[1])' "$1" 2>/dev/null
}

missing_for_demo() {
    "$python" -c 'import ctypes' 2>/dev/null || echo python3
    loads libbpf.so.1 || loads libbpf.so.0 || echo libbpf1
    loads libseccomp.so.2 || echo libseccomp2
}

# CODENAME NAME
release() {
    # shellcheck source=/dev/null
    (. /etc/os-release && echo "${VERSION_CODENAME:-none} $PRETTY_NAME")
}

# What packages there are apt knows by its lists alone.
has_lists() {
    [ -n "$(apt-get indextargets 2>/dev/null)" ]
}

offered() {
    LC_ALL=C apt-cache policy "$1" 2>/dev/null | grep -q '^  Candidate: [^(]'
}

# Is PACKAGE one that this release does without? Debian 12 does without none: there, what is missing is an error.
lacks() {
    case $(release) in
        'bookworm '*) return 1 ;;
    esac
    has_lists && ! offered "$1"
}

first_offered() {
    names=$1
    while [ "$names" != "${names#*|}" ] && ! offered "${names%%|*}"; do
        names=${names#*|}
    done
    echo "${names%%|*}"
}

# Of a list of packages on standard input.
missing_packages() {
    while read -r names _; do
        package=$(first_offered "$names")
        # Only there do 32-bit programs come with the compiler.
        if [ "$package" = gcc-multilib ] && [ "$(uname -m)" != x86_64 ]; then
            continue
        fi
        case $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) in
            installed) ;;
            *) echo "$package" ;;
        esac
    done
}

apt() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -y -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@"
}

install() {
    # shellcheck disable=SC2086
    apt install --no-install-recommends $missing </dev/null >"$log" 2>&1
}

clean_up() {
    rm -f "$log"
    [ -z "${policy_is_ours-}" ] || as_root rm -f "$policy"
}

find_missing() {
    case $1 in
        demo) missing=$(missing_for_demo) ;;
        bpf) missing=$(bpf_packages | missing_packages) ;;
        check) missing=$(check_packages | missing_packages) ;;
        vm) missing=$(vm_packages | missing_packages) ;;
        deb) missing=$(deb_packages | missing_packages) ;;
    esac
}

# Take what the release lacks out of what is missing.
leave_out() {
    lacking=
    there=
    for package in $missing; do
        if lacks "$package"; then
            lacking="$lacking $package"
        else
            there="$there $package"
        fi
    done
    missing=$there
    [ -z "$lacking" ] || echo "Left out, as $(release | cut -d ' ' -f 2-) has no such package:$lacking"
}

install_missing() {
    leave_out
    # The machines and trees come from where this machine's own packages do.
    [ -n "$missing" ] || [ "$1" = vm ] || [ "$1" = deb ] || return 0
    command -v apt-get >/dev/null || die "no apt-get here; install what these Debian packages hold:$missing"
    [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null || die "run it as root, or with sudo installed, to install$missing"
    if ! has_lists; then
        apt update >/dev/null
        find_missing "$1"
        leave_out
    fi
    [ -n "$missing" ] || return 0
    echo "Installing$missing"
    log=$(mktemp)
    trap clean_up EXIT
    trap 'exit 1' INT TERM HUP
    # The tests start servers of their own: none that comes with a package may start, now or next to them.
    if [ ! -e "$policy" ]; then
        policy_is_ours=yes
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
    fi
    # shellcheck disable=SC2086
    apt install --simulate --no-install-recommends $missing >/dev/null 2>&1 || apt update >"$log" 2>&1 || {
        cat "$log" >&2
        die "apt-get update failed"
    }
    install || { apt update >/dev/null 2>&1 && install; } || {
        tail -n 60 "$log" >&2
        die "apt-get could not install$missing"
    }
}

# NAME VERSION WHAT: into a folder of its own, as it may bring other versions of what Debian's packages hold.
from_pypi() {
    folder=$(dirname "$0")/../build/$1
    [ ! -d "$folder" ] || return 0
    new=$(mktemp -d)
    chmod 755 "$new"
    if "$python" -m pip --quiet --disable-pip-version-check install --root-user-action=ignore --target "$new" \
        "$1==$2"; then
        mkdir -p "$(dirname "$folder")"
        mv "$new" "$folder"
    else
        rm -rf "$new"
        echo "Left out, as PyPI does not give it: $1, which has $3"
    fi
}

case ${1-} in
    demo | bpf | check | vm | deb) find_missing "$1" ;;
    lacks)
        lacks "${2:?which package?}" || exit 1
        echo "$(release | cut -d ' ' -f 2-) has no package $2"
        exit 0
        ;;
    *) die "usage: tests/install.sh demo|bpf|check|vm|deb, or lacks PACKAGE" ;;
esac
install_missing "$1"
if [ "$1" = check ]; then
    from_pypi kubernetes-validate 1.37.0 "the schema of the Kubernetes API"
    from_pypi bitbake-setup 2.19.0 "the parser of Yocto's recipes"
fi
