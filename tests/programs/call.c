// SPDX-License-Identifier: MIT
// Makes the syscalls that standard input lists and says what each got. One call a line:
//
//     HOW NUMBER ARGUMENT0 ... ARGUMENT5
//
// HOW: n, as this program is built; i, by int $0x80; then t for a call in a thread of its own, f for one in a process
// of its own, p for one in a traced process. Answers: "= RESULT"; "! ERRNO"; "trap SI_CODE SI_SYSCALL SI_ERRNO SI_ARCH
// RESULT" from the handler of SIGSYS; "thread killed"; "killed SIGNAL"; "traced MESSAGE" for PTRACE_EVENT_SECCOMP.
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct call {
    char how[4];
    unsigned long number, arguments[6];
    volatile int done;
    char answer[100];
};

static volatile siginfo_t trapped;

static void on_sigsys(int number, siginfo_t *info, void *context)
{
    trapped = *info;
}

#ifdef __x86_64__
static long native(const struct call *call)
{
    register unsigned long r10 __asm__("r10") = call->arguments[3];
    register unsigned long r8 __asm__("r8") = call->arguments[4];
    register unsigned long r9 __asm__("r9") = call->arguments[5];
    long result;
    __asm__ volatile("syscall" : "=a"(result)
                     : "a"(call->number), "D"(call->arguments[0]), "S"(call->arguments[1]), "d"(call->arguments[2]),
                       "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
    return result;
}
#endif

static long int80(const struct call *call)
{
#if defined(__x86_64__)
    long result;
    __asm__ volatile("push %%rbp\n\tmov %7, %%rbp\n\tint $0x80\n\tpop %%rbp" : "=a"(result)
                     : "a"(call->number), "b"(call->arguments[0]), "c"(call->arguments[1]), "d"(call->arguments[2]),
                       "S"(call->arguments[3]), "D"(call->arguments[4]), "r"(call->arguments[5])
                     : "r8", "r9", "r10", "r11", "memory");
    return (int)result;
#elif defined(__i386__)
    unsigned long result = call->number;
    unsigned long last = call->arguments[5];
    __asm__ volatile("push %%ebp\n\tpush %1\n\tpop %%ebp\n\tint $0x80\n\tpop %%ebp" : "+a"(result)
                     : "m"(last), "b"(call->arguments[0]), "c"(call->arguments[1]), "d"(call->arguments[2]),
                       "S"(call->arguments[3]), "D"(call->arguments[4]) : "memory");
    return (long)result;
#else
    return -ENOSYS;
#endif
}

static void *make(void *argument)
{
    struct call *call = argument;
    long result;

    trapped.si_signo = 0;
#ifdef __x86_64__
    result = call->how[0] == 'i' ? int80(call) : native(call);
#else
    result = int80(call);
#endif
    if (trapped.si_signo)
        sprintf(call->answer, "trap %d %d %d %#x %ld", trapped.si_code, trapped.si_syscall, trapped.si_errno,
                trapped.si_arch, result);
    else if (result < 0 && result >= -4095)
        sprintf(call->answer, "! %ld", -result);
    else
        sprintf(call->answer, "= %ld", result);
    call->done = 1;
    return NULL;
}

static void make_in_thread(struct call *call)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, make, call) || pthread_join(thread, NULL))
        strcpy(call->answer, "no thread");
    else if (!call->done)
        strcpy(call->answer, "thread killed");
}

static void make_in_process(struct call *call)
{
    int status;
    pid_t pid = fork();

    if (!pid) {
        if (call->how[1] == 'p' && (ptrace(PTRACE_TRACEME, 0, NULL, NULL) || kill(getpid(), SIGSTOP)))
            _exit(1);
        make(call);
        _exit(0);
    }
    waitpid(pid, &status, 0);
    if (call->how[1] == 'p') {
        unsigned long message = -1, signal = 0;
        ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACESECCOMP | PTRACE_O_EXITKILL);
        while (!ptrace(PTRACE_CONT, pid, NULL, signal) && waitpid(pid, &status, 0) == pid && WIFSTOPPED(status)) {
            signal = WSTOPSIG(status);
            if (status >> 8 == (SIGTRAP | PTRACE_EVENT_SECCOMP << 8)) {
                ptrace(PTRACE_GETEVENTMSG, pid, NULL, &message);
                signal = 0;
            }
        }
        if (message != -1UL)
            sprintf(call->answer, "traced %ld", message);
    }
    if (WIFSIGNALED(status))
        sprintf(call->answer, "killed %d", WTERMSIG(status));
    else if (!call->done)
        strcpy(call->answer, "lost");
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO};
    struct call *call = mmap(NULL, sizeof(*call), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    unsigned long long value[6];
    char line[400];

    sigaction(SIGSYS, &action, NULL);
    while (fgets(line, sizeof(line), stdin)) {
        memset(call, 0, sizeof(*call));
        if (sscanf(line, "%3s %lu %llu %llu %llu %llu %llu %llu", call->how, &call->number, value, value + 1,
                   value + 2, value + 3, value + 4, value + 5) != 8)
            return 2;
        for (int i = 0; i < 6; i++)
            call->arguments[i] = value[i];
        if (call->how[1] == 't')
            make_in_thread(call);
        else if (call->how[1])
            make_in_process(call);
        else
            make(call);
        puts(call->answer);
        fflush(stdout);
    }
    return 0;
}
