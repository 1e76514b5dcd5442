// SPDX-License-Identifier: MIT
// `deny [KIND [COUNT]]` calls uname(2) COUNT times in one kind of task, waits for that, and prints "KIND PID", the pid of
// who called. Ends with 2 if the last call in the process itself failed. Where a filter kills the caller, whoever waits
// for it lives on.
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition) do { if (!(condition)) { perror(#condition); _exit(1); } } while (0)

static char *self;
static char *count_text = "1";
static long count = 1;
static volatile pid_t *caller;

static int call(void)
{
    struct utsname name;
    long result = 0;

    for (long i = 0; i < count; i++)
        result = syscall(SYS_uname, &name);
    return result ? 2 : 0;
}

static void *in_thread(void *unused)
{
    call();
    return NULL;
}

static void wait_all(void)
{
    while (wait(NULL) > 0)
        ;
}

static int child(void)
{
    pid_t pid = fork();

    if (!pid)
        _exit(call());
    *caller = pid;
    wait_all();
    return 0;
}

static int grandchild(void)
{
    if (!fork()) {
        child();
        _exit(0);
    }
    wait_all();
    return 0;
}

static int thread(void)
{
    pthread_t id;

    *caller = getpid();
    CHECK(!pthread_create(&id, NULL, in_thread, NULL));
    CHECK(!pthread_join(id, NULL));
    return 0;
}

// The threads and processes all call at the same time: COUNT in each of four threads of each of four processes.
static int crowd(void)
{
    for (int i = 0; i < 4; i++)
        if (!fork()) {
            pthread_t ids[4];
            for (int j = 0; j < 4; j++)
                CHECK(!pthread_create(&ids[j], NULL, in_thread, NULL));
            for (int j = 0; j < 4; j++)
                CHECK(!pthread_join(ids[j], NULL));
            _exit(0);
        }
    wait_all();
    return 0;
}

// The child of vfork calls itself, before it execs.
static int in_vfork(void)
{
    pid_t pid = vfork();

    if (!pid)
        _exit(call());
    *caller = pid;
    wait_all();
    return 0;
}

static int after_exec(void)
{
    pid_t pid = vfork();

    if (!pid) {
        execl(self, self, "self", count_text, NULL);
        _exit(1);
    }
    *caller = pid;
    wait_all();
    return 0;
}

// The daemon has neither parent nor session of the command; its end shows on the pipe.
static int in_daemon(void)
{
    int ends[2];
    char byte;

    CHECK(!pipe(ends));
    if (!fork()) {
        setsid();
        if (!fork()) {
            *caller = getpid();
            call();
        }
        _exit(0);
    }
    wait_all();
    close(ends[1]);
    CHECK(read(ends[0], &byte, 1) == 0);
    return 0;
}

static int in_namespace(void *unused)
{
    CHECK(getpid() == 1);
    if (!fork())
        _exit(call());
    wait_all();
    return 0;
}

static int pid_namespace(void)
{
    static char stack[1 << 16] __attribute__((aligned(16)));

    CHECK(clone(in_namespace, stack + sizeof(stack), CLONE_NEWPID | SIGCHLD, NULL) > 0);
    wait_all();
    return 0;
}

// A filter of the program's own, which answers EXDEV to uname.
static int nested(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_uname, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EXDEV),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof(filter) / sizeof(*filter), filter};

    CHECK(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    CHECK(!prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
    *caller = getpid();
    return call();
}

// Says when it is about to call, and goes on when it is told to.
static int pause_after(void)
{
    char byte;

    *caller = getpid();
    call();
    CHECK(read(0, &byte, 1) == 1);
    return 0;
}

static int in_self(void)
{
    *caller = getpid();
    return call();
}

static int call_first(void *unused)
{
    return call();
}

/* A thread whose first syscall it is: libc's make some before. */
static int newborn(void)
{
    static char stack[64 << 10] __attribute__((aligned(16)));
    static volatile pid_t alive;
    int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
                CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;

    *caller = getpid();
    CHECK(clone(call_first, stack + sizeof(stack), flags, NULL, &alive, NULL, &alive) > 0);
    while (alive)
        usleep(1000);
    return 0;
}

static const struct {
    const char *name;
    int (*run)(void);
} kinds[] = {
    {"self", in_self}, {"child", child}, {"grandchild", grandchild}, {"thread", thread}, {"crowd", crowd},
    {"vfork", in_vfork}, {"exec", after_exec}, {"daemon", in_daemon}, {"pidns", pid_namespace}, {"nested", nested},
    {"pause", pause_after}, {"newborn", newborn},
};

int main(int argc, char **argv)
{
    const char *kind = argc > 1 ? argv[1] : "self";

    self = argv[0];
    if (argc > 2)
        count = atol(count_text = argv[2]);
    caller = mmap(NULL, sizeof(*caller), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(caller != MAP_FAILED);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
        if (!strcmp(kind, kinds[i].name)) {
            int result = kinds[i].run();
            printf("%s %d\n", kind, (int)*caller);
            return result;
        }
    return 3;
}
