// SPDX-License-Identifier: MIT
// Makes calls while handlers without SA_RESTART interrupt it and each other; ends with 0 if nothing went otherwise than
// it does where no handler runs.
//   handlers returns   handlers return into handlers, of either kind: by sigreturn, of 32-bit programs, or rt_sigreturn
//   handlers calls     calls that never fail with EINTR
//   handlers waits     reads of a pipe and other waits that nothing but a handler ends
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SIGNALS = 1000, ROUNDS = 100, TIMES = 20, ALARM_US = 150, OTHER_NS = 170000 };

static volatile sig_atomic_t left = SIGNALS;
static timer_t other;

static void set_timers(int on)
{
	struct itimerval alarm = {.it_interval = {0, on * ALARM_US}, .it_value = {0, on * ALARM_US}};
	struct itimerspec second = {.it_interval = {0, on * OTHER_NS}, .it_value = {0, on * OTHER_NS}};

	setitimer(ITIMER_REAL, &alarm, NULL);
	timer_settime(other, 0, &second, NULL);
}

static void handle(int number)
{
	(void)number;
	if (left && !--left)
		set_timers(0);
}

static void handle_info(int number, siginfo_t *info, void *context)
{
	(void)info, (void)context;
	handle(number);
}

static int install(void)
{
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
	struct sigaction one = {.sa_handler = handle}, two = {.sa_sigaction = handle_info, .sa_flags = SA_SIGINFO};

	return sigaction(SIGALRM, &one, NULL) || sigaction(SIGUSR1, &two, NULL) ||
		timer_create(CLOCK_MONOTONIC, &event, &other);
}

#ifdef __x86_64__
// getppid() by each way to load its number. From the seventh on the last instruction but one loads something else, the
// number of exit_group(): what is interrupted there fails, for no other call may be made in its place. In the last two the
// instruction before the call loads it, but is jumped over, as gcc -Os has calls share an instruction.
static int parents_differ(long parent)
{
	long results[13];

	__asm__ volatile("movl %1, %%eax; syscall" : "=a"(results[0]) : "i"(SYS_getppid) : "rcx", "r11", "memory");
	__asm__ volatile("movq %1, %%rax; syscall" : "=a"(results[1]) : "i"(SYS_getppid) : "rcx", "r11", "memory");
	__asm__ volatile("movl %1, %%edx; nop; movl %%edx, %%eax; syscall"
			 : "=a"(results[2]) : "i"(SYS_getppid) : "rcx", "rdx", "r11", "memory");
	__asm__ volatile("movl %1, %%r9d; nop; movl %%r9d, %%eax; syscall"
			 : "=a"(results[3]) : "i"(SYS_getppid) : "rcx", "r9", "r11", "memory");
	__asm__ volatile("movl %1, %%r10d; movl %2, %%edx; movq %%r10, %%rax; syscall"
			 : "=a"(results[4]) : "i"(SYS_getppid), "i"(SYS_exit_group) : "rcx", "rdx", "r10", "r11", "memory");
	__asm__ volatile("movl %1, %%r13d; movl %2, %%ebx; movq %%r13, %%rax; syscall"
			 : "=a"(results[5]) : "i"(SYS_getppid), "i"(SYS_exit_group) : "rcx", "rbx", "r11", "r13", "memory");
	__asm__ volatile("movl %1, %%eax; movl %2, %%r8d; syscall"
			 : "=a"(results[6]) : "i"(SYS_getppid), "i"(SYS_exit_group) : "rcx", "r8", "r11", "memory");
	__asm__ volatile("movl %1, %%eax; movq %2, %%r8; syscall"
			 : "=a"(results[7]) : "i"(SYS_getppid), "i"(SYS_exit_group) : "rcx", "r8", "r11", "memory");
	__asm__ volatile("movl %1, %%eax; movl %2, %%ebx; movq %%rbx, %%r8; syscall"
			 : "=a"(results[8]) : "i"(SYS_getppid), "i"(SYS_exit_group) : "rcx", "rbx", "r8", "r11", "memory");
	__asm__ volatile("movl %1, %%eax; movl %2, %%r15d; movl %2, %%edi; movl %%r15d, %%r8d; syscall"
			 : "=a"(results[9]) : "i"(SYS_getppid), "i"(SYS_exit_group)
			 : "rcx", "rdi", "r8", "r11", "r15", "memory");
	__asm__ volatile("movl %1, %%eax; leaq -0xe7(%%rsp), %%r8; movl 0xe7(%%r8), %%edi; syscall"
			 : "=a"(results[10]) : "i"(SYS_getppid) : "rcx", "rdi", "r8", "r11", "memory");
	__asm__ volatile("movl %1, %%eax; jmp 1f; movl %2, %%eax; 1: syscall"
			 : "=a"(results[11]) : "i"(SYS_getppid), "i"(SYS_exit_group) : "rcx", "r11", "memory");
	__asm__ volatile("movl %1, %%eax; testl %%eax, %%eax; jne 1f; .skip 200, 0x90; movl %2, %%eax; 1: syscall"
			 : "=a"(results[12]) : "i"(SYS_getppid), "i"(SYS_exit_group) : "rcx", "r11", "memory");
	for (int index = 0; index < 13; index++)
		if (results[index] != parent && (index < 6 || results[index] != -EINTR))
			return 1;
	return 0;
}
#else
static int parents_differ(long parent)
{
	return getppid() != parent;
}
#endif

static const char *call_all(pid_t parent)
{
	int ends[2], status;
	pid_t child;

	for (int time = 0; time < TIMES; time++)
		if (parents_differ(parent))
			return "getppid";
	if (pipe(ends))
		return "pipe";
	if (close(ends[0]) || close(ends[1]))
		return "close";
	child = fork();
	if (child < 0)
		return "fork";
	if (!child)
		_exit(7);
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return "waitpid";
	return status == 7 << 8 ? NULL : "exit";
}

static const char *wait_for_handlers(const int *ends)
{
	char byte;

	// The last of the signals may come before the call.
	if (left > SIGNALS / 2 && (read(ends[0], &byte, 1) != -1 || errno != EINTR))
		return "read";
	if (left > SIGNALS / 2 && (pause() != -1 || errno != EINTR))
		return "pause";
#ifdef __i386__
	long result = -EINTR;

	if (left > SIGNALS / 2)
		__asm__ volatile("movl %1, %%eax; int $0x80" : "=a"(result) : "i"(SYS_sigsuspend), "d"(0) : "memory");
	if (result != -EINTR)
		return "sigsuspend";
#endif
	return NULL;
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "", *failed = NULL;
	pid_t parent = getppid();
	int ends[2];

	if (pipe(ends) || install())
		return 2;
	set_timers(1);
	for (int round = 0; !failed && (left || round < ROUNDS); round++)
		if (!strcmp(mode, "calls"))
			failed = call_all(parent);
		else if (!strcmp(mode, "waits"))
			failed = wait_for_handlers(ends);
		else
			(void)getppid();
	set_timers(0);
	if (failed)
		fprintf(stderr, "%s: %s\n", failed, strerror(errno));
	return failed ? 1 : 0;
}
