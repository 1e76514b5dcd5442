// SPDX-License-Identifier: MIT
// Runs a command of spoc.py and lets one of its syscalls fail: a tracer for tests/faults.py.
//
// usage: inject REPORT SECONDS [ROLE NUMBER NTH ERRNO] -- COMMAND...
//
// ROLE 0 is the process itself, from the moment that spoc.py's main() begins (it opens /dev/null first of all, as nothing
// of Python's start does); 1, 2... are the processes that it forks, in their order, until they exec. Of that role the
// NTH call of this number returns ERRNO, and all but close is not made. Without these four nothing fails. REPORT gets
// lines:
//
//     call ROLE NUMBER FIRST-ARGUMENT   each call, when none is to fail
//     failed FIRST-ARGUMENT             the call that was made to fail
//     status CODE                       how the command ended: as a shell's $?
//     hung, left PID COMMAND            it did not end in time; what it left running GRACE_S later, and is killed now
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/reg.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { TASKS = 4096, NUMBERS = 512, GRACE_S = 8 };

struct task {
	pid_t pid;
	int role, failing;
	unsigned short made[NUMBERS];
};

static struct task tasks[TASKS];
static int roles, role, nth, error_number, wanted = -1, begun;
static pid_t self;
static FILE *report;

static double now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

static struct task *task_of(pid_t pid)
{
	for (int i = 0; i < roles; i++)
		if (tasks[i].pid == pid)
			return &tasks[i];
	if (roles == TASKS) {
		fprintf(stderr, "inject: more than %d tasks\n", TASKS);
		exit(2);
	}
	tasks[roles] = (struct task){.pid = pid, .role = roles};
	return &tasks[roles++];
}

static int is_marker(pid_t pid, unsigned long address)
{
	const char path[] = "/dev/null";
	long words[2];

	for (int i = 0; i < 2; i++) {
		errno = 0;
		words[i] = ptrace(PTRACE_PEEKDATA, pid, address + 8 * i, 0);
		if (errno)
			return 0;
	}
	return !memcmp(words, path, sizeof path);
}

static void at_entry(struct task *task, const struct __ptrace_syscall_info *info)
{
	unsigned long number = info->entry.nr;
	int is_exec = number == SYS_execve;

	if (!task->role && !begun)
		begun = number == SYS_openat && is_marker(task->pid, info->entry.args[1]);
	if (!begun || number >= NUMBERS)
		return;
	task->made[number]++;
	if (wanted < 0)
		fprintf(report, "call %d %lu %ld\n", task->role, number, (long)info->entry.args[0]);
	else if (task->role == role && number == (unsigned long)wanted && task->made[number] == nth) {
		// A filter sees the number -1 as well: an execve, which is made under it, is one that fails by itself.
		if (number != SYS_close) // which frees the descriptor even if it fails (close(2))
			ptrace(PTRACE_POKEUSER, task->pid, 8L * (is_exec ? RDI : ORIG_RAX), is_exec ? 0L : -1L);
		task->failing = 1;
		fprintf(report, "failed %ld\n", (long)info->entry.args[0]);
	}
}

static void at_exit(struct task *task)
{
	if (task->failing) // brk(2) itself fails by returning what is too low
		ptrace(PTRACE_POKEUSER, task->pid, 8L * RAX, wanted == SYS_brk ? 0L : (long)-error_number);
	task->failing = 0;
}

static void go_on(pid_t pid, int status)
{
	struct __ptrace_syscall_info info;
	int event = status >> 16, signum = WSTOPSIG(status);
	struct task *task = task_of(pid);

	if (event == PTRACE_EVENT_EXEC && task->role) {
		ptrace(PTRACE_DETACH, pid, 0, 0);
		task->pid = -1; // the number may be another's later
		return;
	}
	if (event == PTRACE_EVENT_STOP && signum != SIGTRAP) {
		ptrace(PTRACE_LISTEN, pid, 0, 0);
		return;
	}
	if (signum == (SIGTRAP | 0x80) && ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) > 0) {
		if (info.op == PTRACE_SYSCALL_INFO_ENTRY)
			at_entry(task, &info);
		else if (info.op == PTRACE_SYSCALL_INFO_EXIT)
			at_exit(task);
	}
	ptrace(PTRACE_SYSCALL, pid, 0, event || signum == (SIGTRAP | 0x80) ? 0 : signum);
}

// Kill what is left below this process, which is the reaper of it all, and name it.
static void kill_left(void)
{
	char path[64], command[256];
	pid_t pid;

	for (int named = 0;; named = 1) {
		snprintf(path, sizeof path, "/proc/self/task/%d/children", self);
		FILE *children = fopen(path, "r");
		while (children && fscanf(children, "%d", &pid) == 1) {
			snprintf(path, sizeof path, "/proc/%d/cmdline", pid);
			int file = named ? -1 : open(path, O_RDONLY);
			ssize_t size = file < 0 ? 0 : read(file, command, sizeof command - 1);
			for (int i = 0; i < size; i++)
				if (command[i] < ' ')
					command[i] = ' ';
			command[size > 0 ? size : 0] = 0;
			if (file >= 0)
				close(file);
			if (size > 0) // a zombie has none
				fprintf(report, "left %d %s\n", pid, command);
			kill(pid, SIGKILL);
		}
		if (children)
			fclose(children);
		while ((pid = waitpid(-1, NULL, __WALL | WNOHANG)) > 0)
			;
		if (pid < 0 && errno == ECHILD)
			return;
		usleep(10000);
	}
}

static void on_alarm(int signum)
{
	(void)signum;
}

int main(int argc, char **argv)
{
	const long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE |
			     PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
	struct itimerval tick = {{0, 200000}, {0, 200000}};
	struct sigaction action = {.sa_handler = on_alarm};
	int ready[2], status, command = 4;
	double due_s;
	pid_t pid, first;

	if (argc > 8 && !strcmp(argv[7], "--")) {
		role = atoi(argv[3]), wanted = atoi(argv[4]), nth = atoi(argv[5]), error_number = atoi(argv[6]);
		command = 8;
	} else if (argc < 5 || strcmp(argv[3], "--")) {
		fprintf(stderr, "usage: inject REPORT SECONDS [ROLE NUMBER NTH ERRNO] -- COMMAND...\n");
		return 2;
	}
	report = fopen(argv[1], "we");
	self = getpid();
	if (!report || pipe2(ready, O_CLOEXEC) || prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
		return perror("inject"), 2;
	first = fork();
	if (!first) {
		char byte;

		close(ready[1]);
		if (read(ready[0], &byte, 1) != 1)
			_exit(2);
		execvp(argv[command], argv + command);
		_exit(127);
	}
	if (first < 0 || ptrace(PTRACE_SEIZE, first, 0, options) || write(ready[1], "r", 1) != 1 ||
	    ptrace(PTRACE_INTERRUPT, first, 0, 0))
		return perror("inject"), 2;
	task_of(first);
	due_s = now_s() + atof(argv[2]);
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &tick, NULL);
	while (1) {
		pid = waitpid(-1, &status, __WALL);
		if (pid < 0 && errno == ECHILD)
			break;
		if (pid == first && !WIFSTOPPED(status)) {
			fprintf(report, "status %d\n", WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
			fflush(report); // a companion waits for it
			due_s = now_s() + GRACE_S;
			first = 0;
		} else if (pid > 0 && WIFSTOPPED(status))
			go_on(pid, status);
		if (now_s() > due_s) {
			if (first > 0)
				fprintf(report, "hung\n");
			kill_left();
			break;
		}
	}
	return fclose(report) ? 2 : 0;
}
