#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Proves the set-up on a fresh Debian with only git, make and Python: builds such a tree, clones what is committed here
# into it, runs the make targets there, and removes it. Needs root, mmdebstrap, and an apt that reaches a mirror.
# usage: tests/clean-tree.sh [bookworm|trixie] [TARGET...]    (bookworm demo check, unless told otherwise)
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)

# The second half: in a mount namespace of its own, so that nothing stays mounted whatever happens.
if [ "${1-}" = --inside ]; then
    tree=$2
    shift 2
    mount --bind "$tree" "$tree"
    mount -t proc proc "$tree/proc"
    mount --rbind /sys "$tree/sys"
    mount --rbind /dev "$tree/dev"
    # Not chroot: the kernel refuses user namespaces to those in one.
    cd "$tree"
    pivot_root . .
    umount -l .
    cd /srv/spoc
    for target; do
        began=$(date +%s)
        # Nothing that this machine's environment says may help, except the way through a proxy.
        env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 CI=true \
            ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} \
            make --no-print-directory "$target" </dev/null || {
            echo "clean-tree: make $target failed after $(($(date +%s) - began)) s" >&2
            exit 1
        }
        echo "clean-tree: make $target took $(($(date +%s) - began)) s"
    done
    exit 0
fi

# What still runs with the tree as its root.
left_running() {
    for process in /proc/[0-9]*; do
        [ ! "$process/root/." -ef "$tree" ] || echo "${process#/proc/}"
    done
}

clean_up() {
    for pid in $(left_running); do
        kill -9 "$pid" || true
    done
    rm -rf --one-file-system "$tree" "$settings"
}

release=bookworm
case ${1-} in
    bookworm | trixie)
        release=$1
        shift
        ;;
esac
[ $# -gt 0 ] || set -- demo check
command -v mmdebstrap >/dev/null || {
    echo "clean-tree: needs mmdebstrap" >&2
    exit 1
}
tree=$(mktemp -d)
chmod 755 "$tree"
settings=$(mktemp)
trap clean_up EXIT
trap 'exit 1' INT TERM HUP

# The mirror and the way to it are this machine's.
apt-config dump | grep -iE '^Acquire::(http|https|Retries|Check)' >"$settings" || true
# shellcheck source=/dev/null
here=$(. /etc/os-release && echo "$VERSION_CODENAME")
# shellcheck disable=SC2016
sources=$(apt-get indextargets --format \
    'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(REPO_URI) $(CODENAME) $(COMPONENT)' \
    'Created-By: Packages' 'Origin: Debian' | sed "s/ $here/ $release/" | sort -u)
[ -n "$sources" ] || {
    echo "clean-tree: this machine's apt has no list of Debian's packages: run apt-get update" >&2
    exit 1
}
began=$(date +%s)
mmdebstrap --quiet --variant=minbase --include=git,make,python3,ca-certificates --aptopt="$settings" \
    "$release" "$tree" - <<<"$sources"
cp /etc/resolv.conf /etc/hosts "$tree/etc/"
# Where all users can read it, as some of the tests are run by others than root.
git clone --quiet --no-hardlinks "$root" "$tree/srv/spoc"
echo "clean-tree: Debian $(cat "$tree/etc/debian_version") with $(git -C "$root" rev-parse --short HEAD)," \
    "built in $(($(date +%s) - began)) s"

unshare --mount --propagation private "$0" --inside "$tree" "$@"

if [ -n "$(left_running)" ]; then
    # shellcheck disable=SC2046
    ps -fp $(left_running) >&2
    echo "clean-tree: the processes above were left running" >&2
    exit 1
fi
if [ -e "$tree/usr/sbin/policy-rc.d" ]; then
    echo "clean-tree: policy-rc.d was left behind" >&2
    exit 1
fi
if [ -n "$(git -C "$tree/srv/spoc" status --porcelain)" ]; then
    git -C "$tree/srv/spoc" status --short >&2
    echo "clean-tree: the targets changed the clone" >&2
    exit 1
fi
echo "clean-tree: $* done in $(($(date +%s) - began)) s, nothing left behind"
