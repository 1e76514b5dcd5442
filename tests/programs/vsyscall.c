// SPDX-License-Identifier: MIT
// `vsyscall HOW...`: calls x86-64's vsyscall page (arch/x86/include/uapi/asm/vsyscall.h), which a filter may stop, though the
// calls never show as entered or left. HOW is the name of a call, which is said with its result; `trap` has SIGSYS handled,
// and its number and address said; `die` kills the program; `thread` has all further calls made by a thread, which may end; `own-errno` and
// `own-kill` set a filter of the program's own for time; `odd` calls an address between them, which is a fault.
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

static long (*const page_gettimeofday)(void *, void *) = (void *)0xffffffffff600000;
static long (*const page_time)(void *) = (void *)0xffffffffff600400;
static long (*const page_getcpu)(void *, void *, void *) = (void *)0xffffffffff600800;

static void on_sigsys(int signum, siginfo_t *info, void *context)
{
    printf("SIGSYS %d %lx\n", info->si_syscall, (unsigned long)info->si_call_addr);
}

static void on_segv(int signum)
{
    static const char text[] = "SIGSEGV\n";

    _exit(write(1, text, sizeof(text) - 1) < 0);
}

static void filter(unsigned action)
{
    struct sock_filter steps[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_time, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, action),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof(steps) / sizeof(*steps), steps};

    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static void *call(void *given)
{
    char **how = given;
    struct timeval now;
    unsigned cpu;
    time_t seconds;
    pthread_t thread;

    for (; *how; how++) {
        if (!strcmp(*how, "thread")) {
            pthread_create(&thread, NULL, call, how + 1);
            pthread_join(thread, NULL);
            return NULL;
        }
        if (!strcmp(*how, "trap")) {
            struct sigaction action = {.sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO};
            sigaction(SIGSYS, &action, NULL);
        } else if (!strcmp(*how, "die")) {
            kill(getpid(), SIGKILL);
        } else if (!strcmp(*how, "own-errno")) {
            filter(SECCOMP_RET_ERRNO | 7);
        } else if (!strcmp(*how, "own-kill")) {
            filter(SECCOMP_RET_KILL_PROCESS);
        } else if (!strcmp(*how, "odd")) {
            signal(SIGSEGV, on_segv);
            ((void (*)(void))0xffffffffff600001)();
        } else if (!strcmp(*how, "gettimeofday")) {
            printf("gettimeofday %ld\n", page_gettimeofday(&now, NULL));
        } else if (!strcmp(*how, "getcpu")) {
            printf("getcpu %ld\n", page_getcpu(&cpu, NULL, NULL));
        } else {
            long result = page_time(&seconds);
            printf("time %ld\n", result > 0 ? 0 : result);
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IONBF, 0);
    call(argv + 1);
    return 0;
}
