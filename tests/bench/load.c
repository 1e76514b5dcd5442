// SPDX-License-Identifier: MIT
// load calls CPU BLOCKS COUNT               time getppid(2)
// load spawn CPU BLOCKS COUNT CMD [ARG...]  time vfork, exec, exit and wait of a command
// load                                      do nothing: a short process to spawn
// Times BLOCKS blocks of COUNT; prints the nanoseconds for one in the median block, which a busy machine disturbs less
// than the mean, and the peak memory (KiB) of the largest child: started from here, since a child's peak begins with
// its parent's. Runs on CPU only, unless that is -1.

#include <err.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e9 + time.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void spawn(char **command)
{
	int status;
	pid_t pid = vfork();

	if (!pid) {
		execvp(command[0], command);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		err(2, "spawning %s", command[0]);
	if (status)
		errx(2, "%s ended with status 0x%x", command[0], status);
}

int main(int argc, char **argv)
{
	struct rusage usage;
	cpu_set_t cpus;

	if (argc == 1)
		return 0;
	if (argc < 5 || strcmp(argv[1], argc == 5 ? "calls" : "spawn"))
		errx(2, "usage: load calls CPU BLOCKS COUNT | load spawn CPU BLOCKS COUNT CMD [ARG...]");
	int cpu = atoi(argv[2]), blocks = atoi(argv[3]), count = atoi(argv[4]);
	double *times = calloc(blocks, sizeof(*times));

	CPU_ZERO(&cpus);
	if (cpu >= 0) {
		CPU_SET(cpu, &cpus);
		if (sched_setaffinity(0, sizeof(cpus), &cpus))
			err(2, "running on CPU %d", cpu);
	}
	for (int block = 0; block < blocks; block++) {
		double start = now_ns();

		for (int i = 0; i < count; i++)
			if (argc == 5)
				syscall(SYS_getppid);
			else
				spawn(argv + 5);
		times[block] = (now_ns() - start) / count;
	}
	qsort(times, blocks, sizeof(*times), compare);
	getrusage(RUSAGE_CHILDREN, &usage);
	printf("%.1f %ld\n", times[blocks / 2], usage.ru_maxrss);
	return 0;
}
