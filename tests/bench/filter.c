// SPDX-License-Identifier: MIT
// filter NAMES COMMAND [ARG...]   allow these syscalls, separated by commas, answer EPERM to all else, and exec

#include <err.h>
#include <errno.h>
#include <seccomp.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));

	if (argc < 3 || !filter)
		errx(2, "usage: filter NAMES COMMAND [ARG...]");
	for (char *name = strtok(argv[1], ","); name; name = strtok(NULL, ","))
		if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, seccomp_syscall_resolve_name(name), 0))
			errx(2, "adding %s", name);
	if (seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0) || seccomp_load(filter))
		errx(2, "loading the filter");
	execv(argv[2], argv + 2);
	err(2, "%s", argv[2]);
}
