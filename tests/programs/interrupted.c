// SPDX-License-Identifier: MIT
// Waits for standard input, and lives through what interrupts that: it ends with 0 if each wait was as it should be.
//   interrupted quick      a wait of no time, and handlers that never run
//   interrupted wait       until there is input
//   interrupted handlers   until there is input; both handlers must have run before
//   interrupted vsyscall   asks x86-64's vsyscall page for the time
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static volatile sig_atomic_t with_info, without_info;

static void on_usr1(int number, siginfo_t *info, void *context)
{
	(void)number, (void)info, (void)context;
	with_info = 1;
}

static void on_usr2(int number)
{
	(void)number;
	without_info = 1;
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";
	struct pollfd input = {.fd = 0, .events = POLLIN};
	struct sigaction one = {.sa_sigaction = on_usr1, .sa_flags = SA_SIGINFO}, two = {.sa_handler = on_usr2};
	int found;

	if (sigaction(SIGUSR1, &one, NULL) || sigaction(SIGUSR2, &two, NULL))
		return 2;
#ifdef __x86_64__
	if (!strcmp(mode, "vsyscall")) {
		long (*vsyscall_time)(long *) = (long (*)(long *))0xffffffffff600400;
		return vsyscall_time(NULL) < 1000000000;
	}
#endif
	do
		found = poll(&input, 1, strcmp(mode, "quick") ? 300000 : 0);
	while (found < 0 && errno == EINTR);
	if (found < 0) {
		perror("poll");
		return 3;
	}
	return !strcmp(mode, "handlers") && !(with_info && without_info) ? 4 : 0;
}
