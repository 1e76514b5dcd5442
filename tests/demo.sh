#!/bin/sh
# SPDX-License-Identifier: MIT
# What `make demo` shows: records a program, shows its profile, runs it with one call removed, and learns that call.
# usage: tests/demo.sh, with PYTHON= as the Python to run it with
set -eu

cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
as_root=
[ "$(id -u)" -eq 0 ] || as_root=sudo

# demonstrate STATUS TITLE ARGUMENT...: say what comes, run spoc.py, which has to end with this status, and print what it
# says, without long lines' ends.
demonstrate() {
    expected=$1
    printf '\n== %s\n$ %spython3 spoc.py' "$2" "${as_root:+$as_root }"
    shift 2
    printf ' %s' "$@" | sed "s,$folder/,,g"
    printf '\n'
    status=0
    $as_root "$python" spoc.py "$@" >"$folder/output" 2>&1 || status=$?
    sed "s,$folder/,,g; s/\(.\{110\}\).*/\1.../; /^Allowed, by group/,\$d" "$folder/output"
    [ "$status" -eq "$expected" ] || {
        echo "tests/demo.sh: this ended with status $status, not $expected; what is missing: python3 spoc.py doctor" >&2
        exit 1
    }
}

demonstrate 0 'Record which system calls uname makes.' record -o "$folder/uname.yaml" uname
demonstrate 0 'What does the profile allow?' show "$folder/uname.yaml"
sed '/- uname$/d' "$folder/uname.yaml" >"$folder/less.yaml"
demonstrate 1 'Run it under a profile from which uname(2) has been taken out: the call is blocked, and named.' \
    run -p "$folder/less.yaml" uname
demonstrate 0 'Learn what was missing: this blocks nothing, and the profile has it afterwards.' \
    run -p "$folder/less.yaml" --learn "$folder/less.yaml" uname
demonstrate 0 'Under the learned profile nothing is blocked.' run -p "$folder/less.yaml" uname

"$python" spoc.py diff "$folder/uname.yaml" "$folder/less.yaml"
printf '\nThe learned profile allows what the recorded one does.\n'
