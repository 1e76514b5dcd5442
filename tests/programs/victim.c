// SPDX-License-Identifier: MIT
// What tests/faults.py records and runs: it says who it is, whether a filter holds it, and what getppid answers.
//
// usage: victim STATUS [MILLISECONDS]
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	char text[128];
	long answer = write(1, "started\n", 8) == 8 ? syscall(SYS_getppid) : 0;
	const char *name = answer < 0 ? strerrorname_np(errno) : "ok";
	int seccomp = prctl(PR_GET_SECCOMP, 0, 0, 0, 0);
	int size = snprintf(text, sizeof text, "ran uid=%d seccomp=%d getppid=%s\n", getuid(), seccomp, name);

	if (argc > 2) {
		struct timespec left = {0, 1000000L * atol(argv[2])};

		nanosleep(&left, NULL);
	}
	if (write(1, text, size) != size)
		return 1;
	return argc > 1 ? atoi(argv[1]) : 0;
}
