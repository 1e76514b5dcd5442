// SPDX-License-Identifier: MIT
// `own HOW...`: for each HOW a child of that name calls getppid(2), which a filter of its own answers, or a tracer, or Syscall
// User Dispatch. Says "HOW STATUS", and -SIGNAL of one that was killed.
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition) do { if (!(condition)) { perror(#condition); _exit(1); } } while (0)
#ifndef PTRACE_SYSEMU
#define PTRACE_SYSEMU 31
#endif
#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#define PR_SYS_DISPATCH_ON 1
#endif

static char selector; // SYSCALL_DISPATCH_FILTER_ALLOW

static void on_sigsys(int signum)
{
    selector = 0;
}

// A filter of the program's own for getppid.
static int filter(unsigned action, unsigned flags)
{
    struct sock_filter steps[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, action),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof(steps) / sizeof(*steps), steps};
    int result;

    CHECK(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    CHECK((result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program)) >= 0);
    return result;
}

static void *call_in_thread(void *unused)
{
    syscall(SYS_getppid);
    return NULL;
}

static int listened(void)
{
    int listener = filter(SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER);
    struct seccomp_notif request = {};
    struct seccomp_notif_resp response = {};
    pthread_t thread;

    CHECK(!pthread_create(&thread, NULL, call_in_thread, NULL));
    CHECK(!ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &request));
    response.id = request.id;
    response.val = 7;
    CHECK(!ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response));
    CHECK(!pthread_join(thread, NULL));
    return 7;
}

static void wait_for(pid_t pid, int stop)
{
    int status;

    CHECK(waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status) && WSTOPSIG(status) == stop);
}

static void set_number(pid_t pid, long number, long result)
{
#ifdef __x86_64__
    struct user_regs_struct regs;

    CHECK(!ptrace(PTRACE_GETREGS, pid, 0, &regs));
    if (number)
        regs.orig_rax = number;
    regs.rax = result;
    CHECK(!ptrace(PTRACE_SETREGS, pid, 0, &regs));
#else
    struct user_regs_struct regs;
    struct iovec all = {&regs, sizeof(regs)}, one = {&number, sizeof(int)};

    CHECK(!ptrace(PTRACE_GETREGSET, pid, 1, &all));
    regs.regs[0] = result;
    CHECK(!ptrace(PTRACE_SETREGSET, pid, 1, &all));
    if (number)
        CHECK(!ptrace(PTRACE_SETREGSET, pid, 0x404, &one)); // NT_ARM_SYSTEM_CALL
#endif
}

// A child that calls; it stands at the entry to its call, stopped by this request. Any result that it gets is 5.
static pid_t stopped_call(int request)
{
    pid_t pid = fork();

    if (!pid) {
        CHECK(!ptrace(PTRACE_TRACEME, 0, 0, 0));
        syscall(SYS_tgkill, getpid(), getpid(), SIGSTOP);
        _exit(syscall(SYS_getppid) == 5);
    }
    wait_for(pid, SIGSTOP);
    CHECK(!ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL));
    CHECK(!ptrace(request, pid, 0, 0));
    wait_for(pid, SIGTRAP | 0x80);
    return pid;
}

static int ended(pid_t pid)
{
    int status;

    CHECK(waitpid(pid, &status, __WALL) == pid);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

// The tracer makes the call, and all that follow: of those exit_group(2) is one, so that it takes a signal to end it.
static int emulate(void)
{
    pid_t pid = stopped_call(PTRACE_SYSEMU);

    set_number(pid, 0, 5);
    CHECK(!ptrace(PTRACE_SYSEMU, pid, 0, 0));
    wait_for(pid, SIGTRAP | 0x80);
    CHECK(!kill(pid, SIGKILL));
    return ended(pid);
}

static int emulate_once(void)
{
    pid_t pid = stopped_call(PTRACE_SYSEMU);

    set_number(pid, 0, 5);
    CHECK(!ptrace(PTRACE_CONT, pid, 0, 0));
    return ended(pid);
}

// As strace's fault injection does it.
static int skip(void)
{
    pid_t pid = stopped_call(PTRACE_SYSCALL);

    set_number(pid, -1, 5);
    CHECK(!ptrace(PTRACE_SYSCALL, pid, 0, 0));
    wait_for(pid, SIGTRAP | 0x80);
    set_number(pid, 0, 5);
    CHECK(!ptrace(PTRACE_CONT, pid, 0, 0));
    return ended(pid);
}

// The tracer is asked by a filter, and skips the call: then it is never entered.
static int skip_asked(void)
{
    int status;
    pid_t pid = fork();

    if (!pid) {
        CHECK(!ptrace(PTRACE_TRACEME, 0, 0, 0));
        syscall(SYS_tgkill, getpid(), getpid(), SIGSTOP);
        filter(SECCOMP_RET_TRACE, 0);
        _exit(syscall(SYS_getppid) == 5);
    }
    wait_for(pid, SIGSTOP);
    CHECK(!ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESECCOMP | PTRACE_O_EXITKILL));
    CHECK(!ptrace(PTRACE_CONT, pid, 0, 0));
    CHECK(waitpid(pid, &status, __WALL) == pid && status >> 8 == (SIGTRAP | PTRACE_EVENT_SECCOMP << 8));
    set_number(pid, -1, 5);
    CHECK(!ptrace(PTRACE_CONT, pid, 0, 0));
    return ended(pid);
}

static int die(void)
{
    pid_t pid = stopped_call(PTRACE_SYSCALL);

    CHECK(!kill(pid, SIGKILL));
    return ended(pid);
}

// The tracer ends, and with it the child (PTRACE_O_EXITKILL), which is let go before it can run.
static int lose_tracer(void)
{
    int ends[2];
    char byte;

    CHECK(!pipe(ends));
    if (!fork()) {
        stopped_call(PTRACE_SYSCALL);
        syscall(SYS_exit_group, 0);
    }
    close(ends[1]);
    CHECK(read(ends[0], &byte, 1) == 0);
    return 0;
}

// Syscall User Dispatch, of all calls that are made while `selector` says so.
static int dispatch(int handled)
{
    if (handled)
        signal(SIGSYS, on_sigsys);
    if (prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, 0, 0, &selector))
        return 0; // before Linux 5.11, and elsewhere than on x86
    selector = 1;
    syscall(SYS_getppid);
    selector = 0;
    return 0;
}

static void *call_for_ever(void *unused)
{
    for (;;)
        syscall(SYS_getppid);
    return NULL;
}

static void *exec_soon(void *unused)
{
    usleep(30000);
    execl("/bin/true", "true", NULL);
    _exit(1);
}

// A thread execs, which ends all others, wherever they are.
static int exec_in_thread(void)
{
    pthread_t thread;

    CHECK(!pthread_create(&thread, NULL, call_for_ever, NULL));
    CHECK(!pthread_create(&thread, NULL, call_for_ever, NULL));
    CHECK(!pthread_create(&thread, NULL, exec_soon, NULL));
    call_for_ever(NULL);
    return 0;
}

static int do_it(const char *how)
{
    static const struct {
        const char *name;
        unsigned action;
    } actions[] = {
        {"kill_process", SECCOMP_RET_KILL_PROCESS}, {"kill_thread", SECCOMP_RET_KILL_THREAD},
        {"trap", SECCOMP_RET_TRAP}, {"trap_unhandled", SECCOMP_RET_TRAP}, {"errno_0", SECCOMP_RET_ERRNO},
        {"errno_18", SECCOMP_RET_ERRNO | 18}, {"errno_38", SECCOMP_RET_ERRNO | 38}, {"trace", SECCOMP_RET_TRACE},
        {"log", SECCOMP_RET_LOG}, {"thread", SECCOMP_RET_KILL_THREAD},
    };
    pthread_t thread;

    if (!strcmp(how, "notify"))
        return listened();
    if (!strcmp(how, "emulate"))
        return emulate();
    if (!strcmp(how, "emulate_once"))
        return emulate_once();
    if (!strcmp(how, "skip"))
        return skip();
    if (!strcmp(how, "skip_asked"))
        return skip_asked();
    if (!strcmp(how, "die"))
        return die();
    if (!strcmp(how, "lose_tracer"))
        return lose_tracer();
    if (!strcmp(how, "exec"))
        return exec_in_thread();
    if (!strncmp(how, "dispatch", 8))
        return dispatch(!how[8]);
    for (size_t i = 0; i < sizeof(actions) / sizeof(*actions); i++)
        if (!strcmp(how, actions[i].name)) {
            if (!strcmp(how, "trap"))
                signal(SIGSYS, on_sigsys);
            filter(actions[i].action, 0);
            if (strcmp(how, "thread")) {
                syscall(SYS_getppid);
                return 0;
            }
            CHECK(!pthread_create(&thread, NULL, call_in_thread, NULL));
            CHECK(!pthread_join(thread, NULL));
            return 0;
        }
    CHECK(!"known");
    return 1;
}

int main(int count, char **arguments)
{
    struct rlimit no_core = {0, 0};

    setrlimit(RLIMIT_CORE, &no_core);
    for (int i = 1; i < count; i++) {
        pid_t pid = fork();

        if (!pid) {
            prctl(PR_SET_NAME, arguments[i]);
            _exit(do_it(arguments[i]));
        }
        printf("%s %d\n", arguments[i], ended(pid));
        fflush(stdout);
    }
    return 0;
}
