# SPDX-License-Identifier: MIT
# Yocto: untried, see README.md one folder up. Needs the layer meta-oe, for libbpf.
SUMMARY = "Record seccomp profiles, and run programs under them"
LICENSE = "MIT"
LIC_FILES_CHKSUM = "file://LICENSE;md5=6f6dd93ced9f4a80579567c33994c615"

SRC_URI = "file://${BP}.tar.gz"

inherit python3native bash-completion

do_configure[noexec] = "1"
do_compile[noexec] = "1"

# The native Python is of the same version as the target's, for which the program holds bytecode.
do_install() {
    oe_runmake install PYTHON=${PYTHON} PREFIX=${prefix} DESTDIR=${D} INTERPRETER=${bindir}/python3
}

RDEPENDS:${PN} += "python3-modules libseccomp libbpf"
