/* SPDX-License-Identifier: MIT
 * Calls functions of a family of libc, but only if it is given an argument. Built with -DFAMILY_files and so on.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <grp.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <pthread.h>
#include <pty.h>
#include <pwd.h>
#include <sched.h>
#include <semaphore.h>
#include <shadow.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>
#include <utime.h>

char text[99];

int start(void *argument)
{
	return argument != NULL;
}

void value(union sigval number)
{
	(void)number;
}

int seen(const char *path, const struct stat *facts, int kind, struct FTW *where)
{
	return !path || !facts || !where || kind < 0;
}

static void call(void)
{
#ifdef FAMILY_files
	FILE *f = fopen("t", "w+");
	fputs("a", f);
	rewind(f);
	fgetc(f);
	fclose(f);
	remove("t");
	mkdir("d", 7);
	remove("d");
	tmpfile();
#endif
#ifdef FAMILY_trees
	glob_t g;
	glob("/et*/host?", GLOB_MARK, 0, &g);
	nftw("/etc/ssl", seen, 5, FTW_PHYS | FTW_CHDIR);
	struct dirent **l;
	scandir("/", &l, 0, 0);
#endif
#ifdef FAMILY_sizes
	struct statvfs v;
	statvfs("/", &v);
	struct stat s;
	lstat("/", &s);
	lseek(0, 0, SEEK_CUR);
	fcntl(0, F_GETFL);
	stat("/etc", &s);
	lockf(0, F_TEST, 0);
	getgid();
	chown("/none", 0, 0);
#endif
#ifdef FAMILY_threads
	thrd_t t;
	thrd_create(&t, start, 0);
	thrd_join(t, 0);
	sched_yield();
#endif
#ifdef FAMILY_schedule
	struct sched_param p = {0};
	pthread_setschedparam(pthread_self(), SCHED_OTHER, &p);
	int n;
	pthread_getschedparam(pthread_self(), &n, &p);
	pthread_attr_t a;
	pthread_getattr_np(pthread_self(), &a);
#endif
#ifdef FAMILY_shared
	sem_open("/spoc-gaps", O_CREAT, 0600, 1);
	sem_unlink("/spoc-gaps");
	shm_open("/spoc-gaps", O_RDWR | O_CREAT, 6);
	shm_unlink("/spoc-gaps");
#endif
#ifdef FAMILY_network
	if_nametoindex("lo");
	if_nameindex();
	struct ifaddrs *i;
	getifaddrs(&i);
#endif
#ifdef FAMILY_users
	getpwnam("root");
	getgrgid(0);
	getspnam("root");
	getservbyname("http", "tcp");
#endif
#ifdef FAMILY_signals
	raise(SIGURG);
	sighold(SIGURG);
	siginterrupt(SIGURG, 1);
	pthread_kill(pthread_self(), 0);
#endif
#ifdef FAMILY_terminals
	int m = posix_openpt(O_RDWR);
	grantpt(m);
	unlockpt(m);
	ptsname(m);
	if (!forkpty(&m, 0, 0, 0)) _exit(0);
	wait(0);
#endif
#ifdef FAMILY_programs
	system("true");
	pclose(popen("true", "r"));
#endif
#ifdef FAMILY_timers
	struct sigevent e = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = value};
	timer_t t;
	timer_create(CLOCK_MONOTONIC, &e, &t);
	struct itimerspec s = {{0, 0}, {0, 1000}};
	timer_settime(t, 0, &s, 0);
	usleep(9000);
#endif
#ifdef FAMILY_time
	time_t n = 0;
	localtime(&n);
	nanosleep(&(struct timespec){0, 1000}, 0);
	utime("t", 0);
	alarm(0);
#endif
#ifdef FAMILY_output
	putchar('a');
	printf("%d", 1);
	perror("a");
	gethostname(text, 9);
	getdomainname(text, 9);
#endif
}

int main(int count, char **words)
{
	(void)words;
	signal(SIGURG, SIG_IGN);
	if (count > 1)
		call();
	return 0;
}
