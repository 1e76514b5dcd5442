// SPDX-License-Identifier: MIT
// `truth KIND [ARG]` starts tasks in one way, waits until all have ended, and exits with 0. Each task makes a
// syscall that nothing else in the program makes, so that a task that a recorder overlooks shows as a missing name.
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition) do { if (!(condition)) { perror(#condition); _exit(1); } } while (0)

extern char **environ;
static char *self;

// A syscall that the kernel refuses: what counts is that it was made.
static void mark(long number)
{
    syscall(number, -1L, -1L, -1L, -1L, -1L, -1L);
}

static void wait_for(pid_t pid)
{
    int status;
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void leaf(char *unused)
{
    mark(SYS_tee);
}

static void *marking_thread(void *number)
{
    mark((long)number);
    return NULL;
}

static void threads(char *unused)
{
    static const long numbers[] = {SYS_tee, SYS_vmsplice, SYS_kcmp, SYS_mq_unlink};
    pthread_t ids[4];
    // Whether pthread_join has to wait is chance.
    syscall(SYS_futex, &ids, FUTEX_WAKE, 0, NULL, NULL, 0);
    for (int i = 0; i < 4; i++)
        CHECK(pthread_create(&ids[i], NULL, marking_thread, (void *)numbers[i]) == 0);
    for (int i = 0; i < 4; i++)
        CHECK(pthread_join(ids[i], NULL) == 0);
}

static void forks(char *unused)
{
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        mark(SYS_tee);
        pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            mark(SYS_vmsplice);
            _exit(0);
        }
        wait_for(pid);
        _exit(0);
    }
    wait_for(pid);
    mark(SYS_kcmp);
}

static void vforks(char *unused)
{
    pid_t pid = vfork();
    if (pid == 0) {
        mark(SYS_vmsplice);
        execl(self, self, "leaf", NULL);
        _exit(1);
    }
    CHECK(pid > 0);
    wait_for(pid);
}

static void spawn(char *unused)
{
    char *arguments[] = {self, "leaf", NULL};
    pid_t pid;
    CHECK(posix_spawn(&pid, self, NULL, NULL, arguments, environ) == 0);
    wait_for(pid);
}

static void raw_clone3(char *unused)
{
    struct { unsigned long long flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls; } arguments =
        {.exit_signal = SIGCHLD};
    pid_t pid = syscall(SYS_clone3, &arguments, sizeof arguments);
    CHECK(pid >= 0);
    if (pid == 0) {
        mark(SYS_tee);
        _exit(0);
    }
    wait_for(pid);
}

static int ready[2];

static void *exec_thread(void *unused)
{
    char byte;
    CHECK(read(ready[0], &byte, 1) == 1);
    mark(SYS_vmsplice);
    execl(self, self, "leaf", NULL);
    return NULL;
}

// The exec replaces the leader, which may or may not have reached its last call: so it has made that call before.
static void exec_in_thread(char *unused)
{
    pthread_t id;
    CHECK(pipe(ready) == 0);
    CHECK(pthread_create(&id, NULL, exec_thread, NULL) == 0);
    poll(NULL, 0, 0);
    CHECK(write(ready[1], "", 1) == 1);
    poll(NULL, 0, -1);
}

static void double_fork(char *unused)
{
    char byte;
    int end[2];
    CHECK(pipe(end) == 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        pid_t orphan = fork();
        CHECK(orphan >= 0);
        if (orphan > 0) {
            mark(SYS_vmsplice);
            _exit(0);
        }
        // Time for the parent to be gone.
        poll(NULL, 0, 50);
        mark(SYS_tee);
        _exit(0);
    }
    wait_for(pid);
    close(end[1]);
    CHECK(read(end[0], &byte, 1) == 0);
}

static void set_uid(char *unused)
{
    CHECK(geteuid() == 65534 && getuid() == 0);
    mark(SYS_tee);
}

static void namespaces(char *folder)
{
    CHECK(unshare(CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS) == 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK(getpid() == 1);
        CHECK(mount("none", folder, "tmpfs", 0, NULL) == 0);
        CHECK(umount2(folder, MNT_DETACH) == 0);
        pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            mark(SYS_tee);
            _exit(0);
        }
        wait_for(pid);
        _exit(0);
    }
    wait_for(pid);
}

// FOLDER holds this program, linked statically, as /truth.
static void change_root(char *folder)
{
    CHECK(chroot(folder) == 0 && chdir("/") == 0);
    execl("/truth", "/truth", "leaf", NULL);
    CHECK(!"exec in the new root");
}

static char state_of(pid_t pid)
{
    char path[64], text[128] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int file = open(path, O_RDONLY);
    CHECK(file >= 0 && read(file, text, sizeof text - 1) > 0 && close(file) == 0);
    return strrchr(text, ')')[2];
}

// A wait with a time limit that is stopped and continued goes on through restart_syscall.
static void restart(char *unused)
{
    struct timespec limit = {.tv_sec = 60};
    int status, *word = mmap(NULL, sizeof *word, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(word != MAP_FAILED);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        syscall(SYS_futex, word, FUTEX_WAIT, 0, &limit, NULL, 0);
        mark(SYS_tee);
        _exit(0);
    }
    sched_yield();
    while (state_of(pid) != 'S')
        sched_yield();
    // Under user notification a call sleeps before it begins, too.
    usleep(100000);
    CHECK(kill(pid, SIGSTOP) == 0 && waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
    CHECK(kill(pid, SIGCONT) == 0);
    *word = 1;
    syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
    wait_for(pid);
}

static volatile sig_atomic_t signals;

static void on_signal(int number)
{
    signals++;
    mark(SYS_tee);
}

static void signal_handler(char *unused)
{
    struct sigaction action = {.sa_handler = on_signal};
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0 && raise(SIGUSR1) == 0 && signals == 1);
}

static void *exit_thread(void *unused)
{
    mark(SYS_vmsplice);
    _exit(0);
}

// A process that kills itself, then a leader that ends because another thread calls exit_group.
static void ends(char *unused)
{
    pthread_t id;
    int status;
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        mark(SYS_tee);
        raise(SIGKILL);
    }
    CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
    poll(NULL, 0, 0);
    CHECK(pthread_create(&id, NULL, exit_thread, NULL) == 0);
    poll(NULL, 0, -1);
}

// tee() is refused by a filter of the program's own, vmsplice() by nobody but the kernel's checks.
static void own_filter(char *unused)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_tee, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    CHECK(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0);
    mark(SYS_tee);
    mark(SYS_vmsplice);
}

#ifdef __x86_64__
static long int80(long number)
{
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(0L), "c"(0L), "d"(0L)
                     : "memory", "r8", "r9", "r10", "r11");
    return result;
}

// 199 is getuid32 on i386 and fremovexattr on x86_64; 191 is ugetrlimit and getxattr.
static void compat_calls(char *unused)
{
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        int80(191);
        _exit(0);
    }
    wait_for(pid);
    CHECK(int80(199) == 0);
    mark(SYS_tee);
}

// 534 is preadv and 544 io_submit, in x32 only. Most kernels refuse all of these; they were made all the same.
static void x32_calls(char *unused)
{
    mark(0x40000000 | SYS_tee);
    mark(0x40000000 | 534);
    mark(0x40000000 | 544);
}
#endif

// PLACE is FOLDER/0 to FOLDER/3: goes on until all four have been made, and some more.
static void meet(char *place)
{
    static const long own[] = {SYS_tee, SYS_vmsplice, SYS_kcmp, SYS_mq_unlink};
    static const long children[] = {SYS_flock, SYS_fdatasync, SYS_readahead, SYS_sched_rr_get_interval};
    int last = strlen(place) - 1, index = place[last] - '0', rounds = 0;
    close(creat(place, 0600));
    alarm(60);
    while (rounds < 300) {
        int met = 0;
        for (int i = 0; i < 4; i++) {
            place[last] = '0' + i;
            met += access(place, F_OK) == 0;
        }
        rounds += met == 4;
        mark(own[index]);
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            mark(children[index]);
            _exit(0);
        }
        wait_for(pid);
    }
}

static void unknown(char *number)
{
    mark(SYS_tee);
    mark(strtol(number, NULL, 0));
}

static const struct { const char *kind; void (*run)(char *); } kinds[] = {
    {"leaf", leaf}, {"threads", threads}, {"fork", forks}, {"vfork", vforks}, {"spawn", spawn},
    {"clone3", raw_clone3}, {"exec-in-thread", exec_in_thread}, {"double-fork", double_fork}, {"set-uid", set_uid},
    {"namespaces", namespaces}, {"chroot", change_root}, {"restart", restart}, {"signal", signal_handler},
    {"ends", ends}, {"own-filter", own_filter}, {"meet", meet}, {"unknown", unknown},
#ifdef __x86_64__
    {"int80", compat_calls}, {"x32", x32_calls},
#endif
};

int main(int argc, char **argv)
{
    self = argv[0];
    for (unsigned i = 0; argc > 1 && i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(argv[1], kinds[i].kind) == 0) {
            kinds[i].run(argv[2]);
            return 0;
        }
    return 2;
}
