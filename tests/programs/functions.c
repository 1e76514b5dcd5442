/* SPDX-License-Identifier: MIT
 * Calls one function of libc, between two system calls that mark where that begins and ends.
 * usage: functions FUNCTION [MARK]   in an empty folder; with MARK 0, without the marks. `functions` lists the functions
 *
 * What a function needs (open files, threads that wait) is made before the first mark.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <aio.h>
#include <arpa/nameser.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <grp.h>
#include <ifaddrs.h>
#include <libintl.h>
#include <locale.h>
#include <mntent.h>
#include <mqueue.h>
#include <net/if.h>
#include <netdb.h>
#include <nl_types.h>
#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <pwd.h>
#include <resolv.h>
#include <sched.h>
#include <semaphore.h>
#include <shadow.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/timex.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <syslog.h>
#include <termios.h>
#include <threads.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>
#include <utime.h>
#include <utmp.h>
#include <utmpx.h>
#include <wchar.h>
#include <wordexp.h>
#ifdef __GLIBC__
#include <err.h>
#include <error.h>
#include <execinfo.h>
#include <fstab.h>
#include <fts.h>
#include <iconv.h>
#include <malloc.h>
#include <sys/sysinfo.h>
#include <ttyent.h>
#endif

#define MARK 0x7e57 /* as the first argument of getpriority, which knows no such */

extern char **environ;
#ifdef __GLIBC__
static char *here[] = {".", NULL};
#endif
static char *nothing_more[] = {"true", NULL};
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static sem_t semaphore;
static pthread_barrier_t barrier;
static mtx_t mutex_c11;
static cnd_t condition_c11;
static jmp_buf place;
static volatile int stage;

static void mark(int wanted)
{
	if (wanted)
		syscall(SYS_getpriority, MARK, 0);
}

static void on_signal(int number)
{
	(void)number;
}

static int do_nothing_c11(void *argument)
{
	(void)argument;
	return 0;
}

static void *work(void *argument) /* enough for malloc to have an area of its own, and to give some of it back */
{
	void *blocks[64];

	for (int i = 0; i < 64; i++)
		memset(blocks[i] = malloc(100000), 1, 100000);
	for (int i = 63; i >= 0; i--)
		free(blocks[i]);
	return argument;
}

static void *hold(void *argument) /* what the function waits for, a while, and then give it */
{
	pthread_mutex_lock(&mutex);
	pthread_rwlock_wrlock(&rwlock);
	stage = 1;
	usleep(50000);
	pthread_rwlock_unlock(&rwlock);
	pthread_mutex_unlock(&mutex);
	usleep(50000);
	pthread_mutex_lock(&mutex);
	pthread_cond_broadcast(&condition);
	pthread_mutex_unlock(&mutex);
	sem_post(&semaphore);
	return argument;
}

static void *hold_c11(void *argument) /* the same with C11's */
{
	mtx_lock(&mutex_c11);
	stage = 1;
	usleep(50000);
	mtx_unlock(&mutex_c11);
	usleep(50000);
	mtx_lock(&mutex_c11);
	cnd_broadcast(&condition_c11);
	mtx_unlock(&mutex_c11);
	return argument;
}

static void *meet(void *argument)
{
	stage = 1;
	pthread_barrier_wait(&barrier);
	return argument;
}

static void *leave(void *argument)
{
	pthread_exit(argument);
}

static void *want(void *argument) /* wait for what the function gives */
{
	stage = 1;
	if (argument == &mutex)
		pthread_mutex_lock(&mutex);
	else if (argument == &rwlock)
		pthread_rwlock_wrlock(&rwlock);
	else if (argument == &semaphore)
		sem_wait(&semaphore);
	else if (argument == &mutex_c11)
		mtx_lock(&mutex_c11);
	else if (argument == &condition_c11) {
		mtx_lock(&mutex_c11);
		cnd_wait(&condition_c11, &mutex_c11);
		mtx_unlock(&mutex_c11);
	} else if (argument == &condition) {
		pthread_mutex_lock(&mutex);
		pthread_cond_wait(&condition, &mutex);
		pthread_mutex_unlock(&mutex);
	} else
		sleep(5);
	return NULL;
}

static pthread_t start(void *(*function)(void *), void *argument)
{
	pthread_t thread;

	stage = 0;
	pthread_create(&thread, NULL, function, argument);
	while (!stage)
		sched_yield();
	usleep(10000);
	return thread;
}

static int seen(const char *path, const struct stat *facts, int kind)
{
	(void)path, (void)facts, (void)kind;
	return 0;
}

static int seen_more(const char *path, const struct stat *facts, int kind, struct FTW *where)
{
	(void)where;
	return seen(path, facts, kind);
}

static int selected(const struct dirent *entry)
{
	(void)entry;
	return 1;
}

/* Each case: what comes before the first mark, and the call. */
#define CASE(name, before, ...)                            \
	if (!function)                                     \
		puts(#name);                               \
	else if (strcmp(function, #name) == 0) {           \
		before;                                    \
		mark(wanted);                              \
		__VA_ARGS__;                               \
		mark(wanted);                              \
		_exit(0);                                  \
	}
#define CALL(name, ...) CASE(name, (void)0, __VA_ARGS__)
static const char *function;
static volatile int *done; /* shared with children */
static pid_t self, group;
static int wanted, file, folder, pair[2], pipes[2], status, terminal;
static char text[4096];
static struct stat facts;
static struct timespec moment = {0, 1000000}, now[2];
static struct timeval times[2];
static struct iovec part = {text, 1};
static struct termios modes;
static sigset_t set, old_set;
static struct sigaction action;
static FILE *in, *out, *buffered;
static DIR *open_folder;
static fd_set descriptors;
static struct rlimit limit;
static struct timex clock_state;
static ucontext_t context, other_context;

static struct aiocb request;
static wchar_t wide[10];
static struct itimerspec once;
static struct mntent entry_of_mount = {.mnt_fsname = "a", .mnt_dir = "b", .mnt_type = "c", .mnt_opts = "d"};

static void by_value(union sigval value)
{
	(void)value;
}

static struct sigevent by_thread(void)
{
	struct sigevent event;

	memset(&event, 0, sizeof(event));
	event.sigev_notify = SIGEV_THREAD;
	event.sigev_notify_function = by_value;
	return event;
}

static void wait_for(struct aiocb *asked)
{
	while (aio_error(asked) == EINPROGRESS)
		;
	aio_return(asked);
}

static void files(void)
{
#if defined(__GLIBC__) && __GLIBC_MINOR__ < 33
#define HAS_STAT 0 /* programs call xstat and the like */
#else
#define HAS_STAT 1
#endif
#if HAS_STAT
	CALL(stat, stat(".", &facts))
	CALL(lstat, lstat(".", &facts))
	CALL(fstat, fstat(file, &facts))
	CALL(fstatat, fstatat(folder, "file", &facts, 0), fstatat(folder, "file", &facts, AT_SYMLINK_NOFOLLOW))
	CALL(mknod, mknod("node", S_IFIFO | 0600, 0))
#endif
#ifdef __GLIBC__
/* What programs call that were built with glibc before 2.33. */
#define OLD(name, version, ...) \
	CASE(name, int (*old)() = (int (*)())dlvsym(RTLD_DEFAULT, "__" #name, version), if (old) old(__VA_ARGS__))
	OLD(xstat, "GLIBC_2.2.5", 1, ".", &facts)
	OLD(lxstat, "GLIBC_2.2.5", 1, ".", &facts)
	OLD(fxstat, "GLIBC_2.2.5", 1, file, &facts)
	OLD(fxstatat, "GLIBC_2.4", 1, folder, "file", &facts, 0)
#endif
	CALL(open, open("new", O_RDWR | O_CREAT, 0600))
	CALL(creat, creat("new", 0600))
	CALL(faccessat, faccessat(AT_FDCWD, ".", R_OK, 0), faccessat(AT_FDCWD, ".", R_OK, AT_EACCESS))
	CALL(eaccess, eaccess(".", R_OK))
	CALL(euidaccess, euidaccess(".", R_OK))
	CALL(fchmodat, fchmodat(AT_FDCWD, "file", 0600, 0), fchmodat(AT_FDCWD, "file", 0600, AT_SYMLINK_NOFOLLOW))
	CALL(remove, remove("file"), remove("sub"))
	CALL(mkfifo, mkfifo("node", 0600))
	CALL(mkfifoat, mkfifoat(folder, "node", 0600))
	CALL(utime, utime("file", NULL))
	CALL(utimes, utimes("file", times))
	CALL(lutimes, lutimes("file", times))
	CALL(futimes, futimes(file, times))
	CALL(futimens, futimens(file, now))
	CALL(futimesat, futimesat(folder, "file", times))
	CALL(posix_fallocate, posix_fallocate(file, 0, 100))
	CALL(posix_fadvise, posix_fadvise(file, 0, 0, POSIX_FADV_NORMAL))
	CALL(posix_madvise, posix_madvise(text, 0, POSIX_MADV_NORMAL))
	CALL(realpath, realpath("sub/../link", NULL))
	CALL(canonicalize_file_name, realpath("sub/../link", NULL))
	CALL(get_current_dir_name, get_current_dir_name())
	CALL(opendir, opendir("."))
	CALL(fdopendir, fdopendir(folder))
	CALL(closedir, closedir(open_folder))
	CALL(readdir, readdir(open_folder))
	CASE(rewinddir, readdir(open_folder), rewinddir(open_folder), seekdir(open_folder, 0))
	CASE(seekdir, readdir(open_folder), seekdir(open_folder, 0))
	CALL(scandir, struct dirent **list; scandir(".", &list, selected, alphasort))
#ifdef __GLIBC__
	CALL(scandirat, struct dirent **list; scandirat(folder, ".", &list, selected, alphasort))
#endif
	CALL(ftok, ftok(".", 1))
	CALL(mktemp, char name[] = "aXXXXXX"; mktemp(name))
	CALL(tmpnam, tmpnam(text))
#ifdef __GLIBC__
	CALL(getwd, getwd(text))
#endif
	CALL(lchmod, lchmod("file", 0600))
	CALL(glob, glob_t found; glob("*/*", 0, NULL, &found), glob("lin?", GLOB_MARK, NULL, &found))
	CALL(ftw, ftw(".", seen, 5))
	CALL(nftw, nftw(".", seen_more, 5, FTW_PHYS | FTW_CHDIR), nftw("./sub", seen_more, 5, FTW_CHDIR))
#ifdef __GLIBC__
	CALL(fts_open, fts_open(here, FTS_PHYSICAL, NULL))
	CASE(fts_read, FTS *tree = fts_open(here, FTS_PHYSICAL, NULL),
	     while (fts_read(tree)) ;)
	CASE(fts_close, FTS *tree = fts_open(here, FTS_PHYSICAL, NULL),
	     fts_close(tree))
#endif
	CALL(statvfs, struct statvfs system; statvfs(".", &system))
	CALL(fstatvfs, struct statvfs system; fstatvfs(file, &system))
	CALL(pathconf, pathconf(".", _PC_LINK_MAX), pathconf(".", _PC_2_SYMLINKS))
	CALL(fpathconf, fpathconf(file, _PC_LINK_MAX), fpathconf(file, _PC_2_SYMLINKS))
	CALL(statfs, struct statfs system; statfs(".", &system))
	CALL(fstatfs, struct statfs system; fstatfs(file, &system))
	CALL(truncate, truncate("file", 0))
	CALL(ftruncate, ftruncate(file, 0))
	CALL(lseek, lseek(file, 0, SEEK_SET))
	CALL(sendfile, sendfile(file, folder, NULL, 1))
	CALL(fcntl, fcntl(file, F_GETFL))
	CALL(chown, chown("file", 0, 0))
	CALL(getgroups, getgroups(0, NULL))
	CALL(pread, pread(file, text, 1, 0))
	CALL(pwrite, pwrite(file, text, 1, 0))
#ifdef __GLIBC__
	CALL(getdents64, getdents64(folder, text, sizeof(text)))
	CALL(preadv64v2, preadv64v2(file, &part, 1, 0, 0))
	CALL(pwritev64v2, pwritev64v2(file, &part, 1, 0, 0))
#endif
	CALL(lockf, lockf(file, F_LOCK, 0), lockf(file, F_TEST, 0))
	CALL(mkstemp, char name[] = "aXXXXXX"; mkstemp(name))
	CALL(mkostemp, char name[] = "aXXXXXX"; mkostemp(name, 0))
	CALL(mkstemps, char name[] = "aXXXXXX.c"; mkstemps(name, 2))
	CALL(mkdtemp, char name[] = "aXXXXXX"; mkdtemp(name))
	CALL(tmpfile, tmpfile())
	CALL(tempnam, tempnam(NULL, "a"))
	CALL(shm_open, shm_open("/spoc-functions", O_RDWR | O_CREAT, 0600))
	CALL(shm_unlink, shm_unlink("/spoc-functions"))
	CASE(sem_open, sem_unlink("/spoc-functions"), sem_open("/spoc-functions", O_CREAT, 0600, 1))
	CALL(sem_unlink, sem_unlink("/spoc-functions"))
	CALL(mq_send, mq_send(-1, "", 0, 0))
	CALL(mq_receive, mq_receive(-1, text, sizeof(text), NULL))
	CALL(mq_getattr, struct mq_attr attributes; mq_getattr(-1, &attributes))
	CALL(mq_setattr, struct mq_attr attributes; memset(&attributes, 0, sizeof(attributes));
	     mq_setattr(-1, &attributes, NULL))
	CALL(mq_close, mq_close(-1))
	CASE(mq_notify, mq_unlink("/spoc-functions"); mqd_t queue = mq_open("/spoc-functions", O_RDWR | O_CREAT, 0600, NULL);
	     struct sigevent event = by_thread(), mq_notify(queue, &event); mq_send(queue, "a", 1, 0); usleep(50000))
	CALL(mq_timedsend, mq_timedsend(-1, "", 0, 0, &moment))
	CALL(mq_timedreceive, mq_timedreceive(-1, text, sizeof(text), NULL, &moment))
	CALL(umount, umount("/nowhere"))
}

static void streams(void)
{
	CALL(fopen, fopen("file", "re"), fopen("new", "w+"), fopen("file", "a"))
	CALL(fdopen, fdopen(file, "r+"), fdopen(file, "a"))
	CALL(freopen, freopen("file", "r", in), freopen(NULL, "r", in))
	CASE(fclose, fgetc(in), fclose(in), fclose(buffered))
	CASE(fflush, fgetc(in), fflush(in), fflush(buffered))
	CALL(fread, fread(text, 1, 10, in))
	CALL(fgets, fgets(text, 10, in))
	CALL(fgetc, fgetc(in))
	CALL(getc, getc(in))
	CALL(getchar, getchar())
	CALL(getwchar, getwchar())
	CALL(getwc, getwc(in))
	CALL(fgetwc, fgetwc(in))
	CALL(fgetws, fgetws(wide, 9, in))
	CALL(getw, getw(in))
	CALL(fwscanf, fwscanf(in, L"%9s", text))
	CALL(wscanf, wscanf(L"%9s", text))
	CALL(scanf, status = scanf("%9s", text))
	CASE(vfscanf, (void)0, fscanf(in, "%9s", text))
	CASE(vscanf, (void)0, status = scanf("%9s", text))
	CALL(fputwc, fputwc(L'a', out))
	CALL(putwc, putwc(L'a', out))
	CALL(putwchar, putwchar(L'a'); fflush(stdout))
	CALL(fputws, fputws(L"a", out))
	CALL(putw, putw(1, out))
	CALL(fwprintf, fwprintf(out, L"%d", 1))
	CALL(wprintf, wprintf(L"%d", 1); fflush(stdout))
	CASE(vwprintf, (void)0, wprintf(L"%d", 1); fflush(stdout))
	CASE(vfwprintf, (void)0, fwprintf(out, L"%d", 1))
	CASE(vdprintf, (void)0, dprintf(file, "%d", 1))
	CALL(uflow, getc_unlocked(in))
	CALL(getdelim, char *line = NULL; size_t size = 0; getdelim(&line, &size, '\n', in))
	CALL(getline, char *line = NULL; size_t size = 0; getline(&line, &size, in))
	CALL(fscanf, fscanf(in, "%9s", text))
	CASE(fseek, fgetc(in), fseek(in, 5000, SEEK_SET), fseek(in, 0, SEEK_END))
	CASE(fseeko, fgetc(in), fseeko(in, 5000, SEEK_SET), fseeko(in, 0, SEEK_END))
	CASE(ftell, fgetc(in), ftell(in), ftell(buffered))
	CASE(ftello, fgetc(in), ftello(in), ftello(buffered))
	CASE(rewind, fgetc(in), rewind(in))
	CASE(fgetpos, fgetc(in), fpos_t position; fgetpos(in, &position), fgetpos(buffered, &position))
	CASE(fsetpos, fpos_t position; fgetpos(in, &position), fsetpos(in, &position))
	CALL(fwrite, fwrite("a", 1, 1, out))
	CALL(fputs, fputs("a", out))
	CALL(fputc, fputc('a', out))
	CALL(putc, putc('a', out))
	CALL(overflow, putc_unlocked('a', out))
	CALL(putchar, putchar('a'); fflush(stdout))
	CALL(puts, puts("a"); fflush(stdout))
	CALL(printf, printf("%d", 1); fflush(stdout))
	CASE(vprintf, (void)0, printf("%d", 1); fflush(stdout))
	CALL(fprintf, fprintf(out, "%d", 1))
	CALL(vfprintf, fprintf(out, "%d", 1))
	CALL(dprintf, dprintf(file, "%d", 1))
	CALL(perror, perror("a"))
	CALL(psignal, psignal(SIGHUP, "a"))
	CASE(psiginfo, siginfo_t about; memset(&about, 0, sizeof(about)); about.si_signo = SIGHUP, psiginfo(&about, "a"))
	CASE(addmntent, FILE *mounts = setmntent("mounts", "w+"),
	     addmntent(mounts, &entry_of_mount))
#ifdef __GLIBC__
	CALL(error, error(0, 1, "a"))
	CALL(warn, warn("a"))
	CALL(warnx, warnx("a"))
	CASE(vwarn, (void)0, warn("a"))
	CASE(vwarnx, (void)0, warnx("a"))
	CALL(err, err(0, "a"))
	CALL(errx, errx(0, "a"))
	CALL(error_at_line, error_at_line(0, 1, "a", 1, "a"))
	CALL(fcloseall, fcloseall())
#endif
	CALL(getpass, getpass(""))
	CALL(setmntent, setmntent("/proc/mounts", "r"))
	CASE(getmntent, FILE *mounts = setmntent("/proc/mounts", "r"), getmntent(mounts))
	CASE(endmntent, FILE *mounts = setmntent("/proc/mounts", "r"), endmntent(mounts))
}

static void processes(void)
{
	CALL(fork, if (fork() == 0) { *done = 1; _exit(0); } while (!*done) ;)
	CASE(wait, if (fork() == 0) { *done = 1; _exit(0); } while (!*done), wait(&status))
	CASE(wait3, if (fork() == 0) { *done = 1; _exit(0); } while (!*done), wait3(&status, 0, NULL))
	CASE(waitpid, if (fork() == 0) { *done = 1; _exit(0); } while (!*done), waitpid(-1, &status, 0))
	CALL(system, status = system("true"))
	CASE(popen, (void)0, popen("true", "r"); popen("cat", "w"))
	CASE(pclose, FILE *command = popen("true", "r"), pclose(command))
	CALL(posix_spawn, pid_t pid; posix_spawn(&pid, "/bin/true", NULL, NULL, nothing_more, environ))
	CALL(posix_spawnp, pid_t pid; posix_spawnp(&pid, "true", NULL, NULL, nothing_more, environ))
	CALL(execv, execv("/bin/true", nothing_more))
	CALL(execvp, execvp("true", nothing_more))
	CALL(execvpe, execvpe("true", nothing_more, environ))
	CALL(execl, execl("/bin/true", "true", (char *)NULL))
	CALL(execlp, execlp("true", "true", (char *)NULL))
	CALL(execle, execle("/bin/true", "true", (char *)NULL, environ))
	CASE(fexecve, int program = open("/bin/true", O_RDONLY), fexecve(program, nothing_more, environ))
	CALL(daemon, daemon(0, 0))
	CALL(_exit, _exit(0))
	CALL(exit, exit(0))
	CALL(_Exit, _Exit(0))
	CALL(quick_exit, quick_exit(0))
	CALL(wordexp, wordexp_t words; wordexp("$(echo a)", &words, 0); wordexp("*", &words, 0); wordexp("~", &words, 0))
	CALL(raise, raise(SIGURG))
	CALL(abort, abort())
	CALL(signal, signal(SIGURG, on_signal))
	CALL(sigaction, sigaction(SIGURG, &action, NULL))
	CALL(siginterrupt, siginterrupt(SIGURG, 1))
	CALL(sigset, sigset(SIGURG, on_signal))
	CALL(sighold, sighold(SIGURG))
	CALL(sigrelse, sigrelse(SIGURG))
	CALL(sigignore, sigignore(SIGURG))
	CASE(sigpause, alarm(1); sighold(SIGALRM), sigpause(SIGALRM))
#ifdef __GLIBC__
	CALL(sysv_signal, sysv_signal(SIGURG, on_signal))
	CALL(ssignal, ssignal(SIGURG, on_signal))
	CALL(gsignal, gsignal(SIGURG))
#endif
	CALL(sigprocmask, sigprocmask(SIG_BLOCK, &set, NULL))
	CALL(pthread_sigmask, pthread_sigmask(SIG_BLOCK, &set, NULL))
	CALL(sigpending, sigpending(&set))
	CASE(sigsuspend, alarm(1), sigsuspend(&old_set))
	CASE(sigwait, sigprocmask(SIG_BLOCK, &set, NULL); kill(getpid(), SIGURG), sigwait(&set, &status))
	CASE(sigwaitinfo, sigprocmask(SIG_BLOCK, &set, NULL); kill(getpid(), SIGURG), sigwaitinfo(&set, NULL))
	CALL(sigtimedwait, sigtimedwait(&set, NULL, &moment))
	CALL(sigqueue, union sigval value; value.sival_int = 0; sigqueue(self, SIGURG, value))
	CALL(killpg, killpg(group, 0))
	CALL(sigsetjmp, if (!sigsetjmp(place, 1)) siglongjmp(place, 1))
	CASE(siglongjmp, if (sigsetjmp(place, 1)) { mark(wanted); _exit(0); }, siglongjmp(place, 1))
#ifdef __GLIBC__
	CALL(getcontext, getcontext(&context))
	CALL(swapcontext, getcontext(&other_context); if (!stage++) swapcontext(&context, &other_context))
	CALL(setcontext, getcontext(&context); if (!stage++) setcontext(&context))
#endif
	CALL(nanosleep, nanosleep(&moment, NULL))
	CALL(usleep, usleep(1000))
	CALL(sleep, sleep(1))
	CALL(thrd_sleep, thrd_sleep(&moment, NULL))
	CALL(clock_gettime, for (int i = 0; i < 12; i++) clock_gettime(i, now))
	CALL(clock_getres, for (int i = 0; i < 12; i++) clock_getres(i, now))
	CALL(clock_getcpuclockid, clockid_t clock; clock_getcpuclockid(0, &clock))
	CALL(clock_nanosleep, clock_nanosleep(CLOCK_MONOTONIC, 0, &moment, NULL))
	CASE(clock_settime, status = setuid(65534), clock_settime(CLOCK_REALTIME, now))
	CALL(clock_adjtime, clock_adjtime(CLOCK_REALTIME, &clock_state))
	CALL(clock, clock())
	CALL(time, time(NULL))
	CALL(gettimeofday, gettimeofday(times, NULL))
	CALL(timer_create, timer_t timer; timer_create(CLOCK_MONOTONIC, NULL, &timer); struct sigevent event = by_thread();
	     timer_create(CLOCK_MONOTONIC, &event, &timer);
	     once.it_value.tv_nsec = 1000; timer_settime(timer, 0, &once, NULL); usleep(50000))
	CASE(timer_settime, timer_t timer; timer_create(CLOCK_MONOTONIC, NULL, &timer); once.it_value.tv_sec = 9,
	     timer_settime(timer, 0, &once, NULL))
	CASE(timer_gettime, timer_t timer; timer_create(CLOCK_MONOTONIC, NULL, &timer),
	     timer_gettime(timer, &once))
	CASE(timer_delete, timer_t timer; timer_create(CLOCK_MONOTONIC, NULL, &timer), timer_delete(timer))
	CALL(timerfd_create, timerfd_create(CLOCK_MONOTONIC, 0))
	CASE(timerfd_settime, int timer = timerfd_create(CLOCK_MONOTONIC, 0); once.it_value.tv_sec = 9,
	     timerfd_settime(timer, 0, &once, NULL))
	CASE(timerfd_gettime, int timer = timerfd_create(CLOCK_MONOTONIC, 0),
	     timerfd_gettime(timer, &once))
	CALL(sched_rr_get_interval, sched_rr_get_interval(0, now))
	CALL(aio_read, aio_read(&request); wait_for(&request))
	CALL(aio_write, aio_write(&request); wait_for(&request))
	CALL(aio_fsync, aio_fsync(O_SYNC, &request); wait_for(&request))
	CALL(lio_listio, struct aiocb *list[1] = {&request}; request.aio_lio_opcode = LIO_READ;
	     lio_listio(LIO_WAIT, list, 1, NULL))
	CASE(aio_suspend, aio_read(&request), const struct aiocb *list[1] = {&request}; aio_suspend(list, 1, NULL))
	CASE(aio_cancel, aio_read(&request); wait_for(&request), aio_cancel(file, NULL))
	CALL(alarm, alarm(0))
	CALL(ualarm, ualarm(0, 0))
	CASE(settimeofday, status = setuid(65534), settimeofday(times, NULL))
	CALL(adjtime, adjtime(NULL, times))
	CALL(adjtimex, adjtimex(&clock_state))
#ifdef __GLIBC__
	CALL(ntp_adjtime, ntp_adjtime(&clock_state))
	CASE(eventfd_read, uint64_t value; int counter = eventfd(1, 0), eventfd_read(counter, &value))
#endif
	CALL(nice, nice(0))
	CALL(getrlimit, getrlimit(RLIMIT_NOFILE, &limit))
	CASE(setrlimit, getrlimit(RLIMIT_NOFILE, &limit), setrlimit(RLIMIT_NOFILE, &limit))
	CALL(prlimit, prlimit(0, RLIMIT_NOFILE, NULL, &limit))
	CALL(getdtablesize, getdtablesize())
	CALL(setegid, setegid(0))
	CALL(seteuid, seteuid(0))
	CALL(setpgrp, setpgrp())
	CALL(getpgrp, getpgrp())
	CALL(gethostname, gethostname(text, 99))
	CALL(getdomainname, getdomainname(text, 99))
	CALL(sysconf, for (int i = 0; i < 250; i++) sysconf(i))
#ifdef __GLIBC__
	CALL(get_nprocs, get_nprocs())
	CALL(get_nprocs_conf, get_nprocs_conf())
	CALL(get_phys_pages, get_phys_pages())
#endif
	CALL(gethostid, gethostid())
	CALL(cuserid, cuserid(text))
	CALL(getloadavg, double load; getloadavg(&load, 1))
	CALL(getlogin, getlogin())
	CALL(getentropy, getentropy(text, 8))
}

static void threads(void)
{
	pthread_t thread = pthread_self();
	cpu_set_t processors;
	struct sched_param parameters = {0};
	thrd_t c11;

	CALL(pthread_create, pthread_create(&thread, NULL, work, NULL); pthread_join(thread, NULL))
	CALL(thrd_create, thrd_create(&c11, do_nothing_c11, NULL); thrd_join(c11, NULL))
	CASE(pthread_join, thread = start(hold, NULL), pthread_join(thread, NULL))
	CASE(pthread_mutex_lock, start(hold, NULL), pthread_mutex_lock(&mutex))
	CASE(pthread_mutex_unlock, pthread_mutex_lock(&mutex); start(want, &mutex), pthread_mutex_unlock(&mutex))
	CASE(pthread_rwlock_wrlock, start(hold, NULL), pthread_rwlock_wrlock(&rwlock))
	CASE(pthread_rwlock_rdlock, start(hold, NULL), pthread_rwlock_rdlock(&rwlock))
	CASE(pthread_rwlock_unlock, pthread_rwlock_wrlock(&rwlock); start(want, &rwlock), pthread_rwlock_unlock(&rwlock))
	CASE(pthread_cond_wait, start(hold, NULL); pthread_mutex_lock(&mutex), pthread_cond_wait(&condition, &mutex))
	CASE(pthread_cond_timedwait, pthread_mutex_lock(&mutex),
	     pthread_cond_timedwait(&condition, &mutex, &now[0]); clock_gettime(CLOCK_REALTIME, &now[0]);
	     now[0].tv_sec++; pthread_cond_timedwait(&condition, &mutex, &now[0]))
	CASE(pthread_cond_signal, start(want, &condition), pthread_cond_signal(&condition))
	CASE(pthread_cond_broadcast, start(want, &condition), pthread_cond_broadcast(&condition))
	CASE(sem_wait, start(hold, NULL), sem_wait(&semaphore))
	CASE(sem_timedwait, (void)0, clock_gettime(CLOCK_REALTIME, &now[0]); now[0].tv_sec++;
	     sem_timedwait(&semaphore, &now[0]))
	CASE(sem_post, start(want, &semaphore), sem_post(&semaphore))
	CASE(sem_trywait, (void)0, sem_trywait(&semaphore))
	CASE(pthread_mutex_timedlock, start(hold, NULL); clock_gettime(CLOCK_REALTIME, &now[0]); now[0].tv_sec++,
	     pthread_mutex_timedlock(&mutex, &now[0]))
	CASE(pthread_rwlock_timedrdlock, start(hold, NULL); clock_gettime(CLOCK_REALTIME, &now[0]); now[0].tv_sec++,
	     pthread_rwlock_timedrdlock(&rwlock, &now[0]))
	CASE(pthread_rwlock_timedwrlock, start(hold, NULL); clock_gettime(CLOCK_REALTIME, &now[0]); now[0].tv_sec++,
	     pthread_rwlock_timedwrlock(&rwlock, &now[0]))
	CASE(pthread_barrier_wait, pthread_barrier_init(&barrier, NULL, 2); start(meet, NULL), pthread_barrier_wait(&barrier))
	CASE(pthread_tryjoin_np, thread = start(hold, NULL), pthread_tryjoin_np(thread, NULL))
	CASE(pthread_timedjoin_np, thread = start(hold, NULL); clock_gettime(CLOCK_REALTIME, &now[0]); now[0].tv_sec++,
	     pthread_timedjoin_np(thread, NULL, &now[0]))
	CASE(pthread_exit, (void)0, pthread_create(&thread, NULL, leave, NULL); pthread_join(thread, NULL))
	CASE(pthread_detach, thread = start(hold, NULL), pthread_detach(thread); usleep(300000))
	CALL(pthread_getcpuclockid, clockid_t clock; pthread_getcpuclockid(thread, &clock))
	CASE(thrd_join, thrd_create(&c11, do_nothing_c11, NULL), thrd_join(c11, NULL))
	CASE(mtx_lock, start(hold_c11, NULL), mtx_lock(&mutex_c11))
	CASE(mtx_timedlock, start(hold_c11, NULL); timespec_get(&now[0], TIME_UTC); now[0].tv_sec++,
	     mtx_timedlock(&mutex_c11, &now[0]))
	CASE(mtx_unlock, mtx_lock(&mutex_c11); start(want, &mutex_c11), mtx_unlock(&mutex_c11))
	CASE(cnd_wait, start(hold_c11, NULL); mtx_lock(&mutex_c11), cnd_wait(&condition_c11, &mutex_c11))
	CASE(cnd_timedwait, mtx_lock(&mutex_c11); timespec_get(&now[0], TIME_UTC); now[0].tv_nsec = 999999999,
	     cnd_timedwait(&condition_c11, &mutex_c11, &now[0]))
	CASE(cnd_signal, start(want, &condition_c11), cnd_signal(&condition_c11))
	CASE(cnd_broadcast, start(want, &condition_c11), cnd_broadcast(&condition_c11))
	CASE(pthread_kill, thread = start(want, NULL), pthread_kill(thread, SIGURG))
	CASE(pthread_cancel, thread = start(want, NULL), pthread_cancel(thread))
	CASE(pthread_setname_np, thread = start(want, NULL), pthread_setname_np(pthread_self(), "a");
	     pthread_setname_np(thread, "a"))
#ifdef __GLIBC__
	CASE(pthread_getname_np, thread = start(want, NULL), pthread_getname_np(pthread_self(), text, 20);
	     pthread_getname_np(thread, text, 20))
	CALL(pthread_sigqueue, union sigval value; value.sival_int = 0; pthread_sigqueue(thread, SIGURG, value))
	CALL(pthread_setschedprio, pthread_setschedprio(thread, 0))
#endif
	CALL(pthread_getattr_np, pthread_attr_t attributes; pthread_getattr_np(thread, &attributes))
	CALL(pthread_getaffinity_np, pthread_getaffinity_np(thread, sizeof(processors), &processors))
	CASE(pthread_setaffinity_np, pthread_getaffinity_np(thread, sizeof(processors), &processors),
	     pthread_setaffinity_np(thread, sizeof(processors), &processors))
	CALL(pthread_setschedparam, pthread_setschedparam(thread, SCHED_OTHER, &parameters))
	CALL(pthread_getschedparam, pthread_getschedparam(thread, &status, &parameters))
	CALL(pthread_yield, sched_yield())
	CALL(thrd_yield, thrd_yield())
	CASE(malloc, (void)0, for (int i = 0; i < 100; i++) malloc(20000); malloc(1 << 20))
	CASE(calloc, (void)0, for (int i = 0; i < 100; i++) calloc(1, 20000); calloc(1, 1 << 20))
	CASE(realloc, void *block = malloc(1 << 20), realloc(block, 1 << 22); work(NULL))
	CASE(reallocarray, void *block = malloc(1 << 20), reallocarray(block, 1, 1 << 22); work(NULL))
	CASE(free, void *block = malloc(1 << 20); work(NULL), free(block); work(NULL))
#ifdef __GLIBC__
	CASE(malloc_trim, work(NULL), malloc_trim(0))
	CALL(sbrk, sbrk(4096))
#endif
}

static void networks(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_port = htons(9)};
	struct addrinfo *found, hints = {.ai_flags = AI_ADDRCONFIG, .ai_socktype = SOCK_STREAM};
	struct ifaddrs *interfaces;

	CALL(send, send(pair[0], text, 1, 0))
	CASE(recv, send(pair[0], text, 1, 0), recv(pair[1], text, 1, 0))
	CALL(sockatmark, sockatmark(pair[0]))
	CALL(getaddrinfo, getaddrinfo("name.invalid", "80", NULL, &found); getaddrinfo("localhost", "http", &hints, &found))
	CALL(getnameinfo, getnameinfo((void *)&address, sizeof(address), text, 99, text + 99, 99, 0))
	CALL(gethostbyname, gethostbyname("name.invalid"))
	CALL(gethostbyaddr, address.sin_addr.s_addr = htonl(0xC0000201);
	     gethostbyaddr(&address.sin_addr, sizeof(address.sin_addr), AF_INET))
	CALL(getservbyname, getservbyname("http", "tcp"))
	CALL(getservbyport, getservbyport(htons(80), "tcp"))
	CALL(getprotobyname, getprotobyname("tcp"))
	CALL(getprotobynumber, getprotobynumber(6))
	CALL(getservent, getservent())
	CALL(getprotoent, getprotoent())
	CALL(gethostent, gethostent())
	CALL(getnetent, getnetent())
	CALL(getnetbyname, getnetbyname("a"))
	CALL(gethostbyname2, gethostbyname2("name.invalid", AF_INET))
	CALL(res_query, unsigned char answer[99]; res_query("name.invalid", 1, 1, answer, 99))
	CALL(res_search, unsigned char answer[99]; res_search("name.invalid", 1, 1, answer, 99))
	CALL(if_nametoindex, if_nametoindex("lo"))
	CALL(if_indextoname, if_indextoname(1, text))
	CALL(if_nameindex, if_nameindex())
	CALL(getifaddrs, getifaddrs(&interfaces))
	CALL(openlog, openlog("a", LOG_NDELAY, LOG_USER))
	CALL(syslog, syslog(LOG_DEBUG, "a"))
	CALL(vsyslog, syslog(LOG_DEBUG, "a"))
	CASE(closelog, openlog("a", LOG_NDELAY, LOG_USER), closelog())
	CALL(getpwnam, getpwnam("root"))
	CALL(getpwuid, getpwuid(0))
	CALL(getpwent, getpwent())
	CALL(getgrnam, getgrnam("root"))
	CALL(getgrgid, getgrgid(0))
	CALL(getgrent, getgrent())
	CALL(getgrouplist, gid_t groups[99]; int count = 99; getgrouplist("root", 0, groups, &count))
	CALL(initgroups, initgroups("root", 0))
	CALL(getutxent, getutxent())
	CALL(getspnam, getspnam("root"))
	CALL(getspent, getspent())
	CALL(getusershell, getusershell())
	CALL(getlogin_r, getlogin_r(text, 99))
	CALL(getutent, getutent())
#ifdef __GLIBC__
	CALL(getutxid, struct utmpx entry; memset(&entry, 0, sizeof(entry)); getutxid(&entry))
	CALL(getutxline, struct utmpx entry; memset(&entry, 0, sizeof(entry)); getutxline(&entry))
	CALL(setutxent, setutxent())
	CALL(pututline, struct utmp entry; memset(&entry, 0, sizeof(entry)); utmpname("file"); pututline(&entry))
	CALL(updwtmp, struct utmp entry; memset(&entry, 0, sizeof(entry)); updwtmp("file", &entry))
	CALL(logwtmp, logwtmp("a", "b", "c"))
	CALL(login, struct utmp entry; memset(&entry, 0, sizeof(entry)); utmpname("file"); login(&entry))
	CALL(logout, utmpname("file"); logout("a"))
	CALL(getnetgrent, char *host, *user, *domain; setnetgrent("a"); getnetgrent(&host, &user, &domain))
	CALL(innetgr, innetgr("a", NULL, NULL, NULL))
	CALL(getttyent, getttyent())
	CALL(getfsent, getfsent())
	CALL(backtrace, void *frames[9]; backtrace(frames, 9))
	CALL(getpt, getpt())
	CALL(ptsname_r, ptsname_r(terminal, text, 99))
	CALL(dlmopen, dlmopen(LM_ID_NEWLM, "libutil.so.1", RTLD_NOW))
#endif
	CALL(eventfd_write, eventfd_write(eventfd(0, 0), 1))
	CALL(catopen, catopen("/tmp/nsswitch", 0))
	CALL(gettext, setlocale(LC_ALL, "C.UTF-8"); setenv("LANGUAGE", "de", 1); bindtextdomain("a", "/usr/share/locale");
	     textdomain("a"); gettext("a"))
	CALL(klogctl, klogctl(10, NULL, 0))
#ifdef __GLIBC__
	CALL(updwtmpx, struct utmpx entry; memset(&entry, 0, sizeof(entry)); updwtmpx("file", &entry))
	CALL(pututxline, struct utmpx entry; memset(&entry, 0, sizeof(entry)); utmpxname("file"); pututxline(&entry))
	CALL(lckpwdf, lckpwdf())
	CASE(ulckpwdf, lckpwdf(), ulckpwdf())
	CALL(iconv_open, iconv_open("UTF-16", "KOI8-R"))
#endif
	CALL(select, select(0, &descriptors, NULL, NULL, &times[0]))
	CALL(pselect, pselect(0, &descriptors, NULL, NULL, &moment, NULL))
	CALL(poll, poll(NULL, 0, 1))
	CALL(ppoll, ppoll(NULL, 0, &moment, NULL))
	CALL(pipe, status = pipe(pipes))
	CALL(eventfd, eventfd(0, 0))
	CALL(signalfd, signalfd(-1, &set, 0))
	CALL(epoll_create, epoll_create(1))
	CASE(epoll_wait, int polled = epoll_create1(0), struct epoll_event event; epoll_wait(polled, &event, 1, 1))
	CALL(inotify_init, inotify_init())
	CALL(semop, semop(-1, NULL, 0))
	CALL(isatty, isatty(terminal))
	CALL(tcgetattr, tcgetattr(terminal, &modes))
	CASE(tcsetattr, tcgetattr(terminal, &modes), tcsetattr(terminal, TCSANOW, &modes))
	CALL(tcflush, tcflush(terminal, TCIFLUSH))
	CALL(tcdrain, tcdrain(-1))
	CALL(tcflow, tcflow(terminal, TCOON))
	CALL(tcsendbreak, tcsendbreak(-1, 0))
	CALL(tcgetpgrp, tcgetpgrp(terminal))
	CALL(tcsetpgrp, tcsetpgrp(terminal, group))
	CALL(ttyname, ttyname(terminal))
	CALL(ttyname_r, ttyname_r(terminal, text, 99))
	CALL(tcgetsid, tcgetsid(terminal))
	CALL(ptsname, ptsname(terminal))
	CALL(grantpt, grantpt(terminal))
	CALL(unlockpt, unlockpt(terminal))
	CALL(posix_openpt, posix_openpt(O_RDWR | O_NOCTTY))
	CALL(openpty, int first, second; openpty(&first, &second, NULL, NULL, NULL))
	CALL(forkpty, int first; if (forkpty(&first, NULL, NULL, NULL) == 0) { *done = 1; _exit(0); }
	     while (!*done) ;)
	CALL(login_tty, login_tty(terminal))
	CALL(dlopen, dlopen(getenv("LIBRARY") ? getenv("LIBRARY") : "libseccomp.so.2", RTLD_NOW))
	CASE(dlclose, void *library = dlopen("libseccomp.so.2", RTLD_NOW), if (library) dlclose(library))
	CALL(setlocale, setlocale(LC_ALL, "C.UTF-8"))
	CALL(newlocale, newlocale(LC_ALL_MASK, "C.UTF-8", (locale_t)0))
	CALL(tzset, tzset())
	CALL(localtime, time_t seconds = 0; localtime(&seconds))
	CALL(ctime, time_t seconds = 0; ctime(&seconds))
	CASE(strftime, struct tm date; memset(&date, 0, sizeof(date)), strftime(text, 99, "%Z %c", &date))
	CALL(getdate, getdate("a"))
	CALL(mktime, struct tm date; memset(&date, 0, sizeof(date)); mktime(&date))
}

static void prepare(void)
{
	done = mmap(NULL, sizeof(*done), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	self = getpid();
	group = getpgrp();
	mkdir("sub", 0700);
	status = symlink("file", "link");
	file = open("file", O_RDWR | O_CREAT | O_TRUNC, 0600);
	memset(text, 'a', sizeof(text) - 1);
	status = (int)write(file, text, sizeof(text) - 1);
	lseek(file, 0, SEEK_SET);
	folder = open(".", O_RDONLY);
	in = fopen("file", "r");
	out = fopen("out", "w");
	setvbuf(out, NULL, _IONBF, 0);
	buffered = fopen("buffered", "w+");
	fputs("a", buffered);
	open_folder = opendir(".");
	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	terminal = open("/dev/ptmx", O_RDWR | O_NOCTTY);
	sem_init(&semaphore, 0, 0);
	mtx_init(&mutex_c11, mtx_timed);
	cnd_init(&condition_c11);
	request.aio_fildes = file;
	request.aio_buf = text;
	request.aio_nbytes = 1;
	action.sa_handler = on_signal;
	sigemptyset(&old_set);
	sigemptyset(&set);
	sigaddset(&set, SIGURG);
	signal(SIGALRM, on_signal);
	signal(SIGURG, on_signal);
	FD_ZERO(&descriptors);
}

int main(int argc, char **argv)
{
	function = argc > 1 ? argv[1] : NULL;
	wanted = argc < 3 || strcmp(argv[2], "0") != 0;
	if (function)
		prepare();
	CALL(nothing, (void)0)
	files();
	streams();
	processes();
	threads();
	networks();
	return function ? 2 : 0;
}
