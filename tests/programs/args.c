// SPDX-License-Identifier: MIT
// `args storm NUMBER FIRST COUNT`: eight processes make the syscall NUMBER with each of COUNT values from FIRST on as
// every argument, a hundred times. `args trace`: asks for a socket of AF_UNIX, and a tracer makes it AF_INET.
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static void storm(long number, long first, long count)
{
    for (int process = 0; process < 8; process++)
        if (!fork()) {
            for (long i = 0; i < 100 * count; i++) {
                long value = first + (i + process * 7) % count;
                syscall(number, value, value, value, value, value, value);
            }
            _exit(0);
        }
    while (wait(NULL) > 0)
        ;
}

#ifdef __x86_64__
static int trace(void)
{
    struct user_regs_struct regs;
    int status;
    pid_t pid = fork();

    if (!pid) {
        struct sockaddr address;
        socklen_t length = sizeof(address);
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) || raise(SIGSTOP))
            _exit(2);
        int fd = syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0);
        _exit(fd < 0 || getsockname(fd, &address, &length) ? 3 : address.sa_family == AF_INET ? 0 : 4);
    }
    waitpid(pid, &status, 0);
    while (!ptrace(PTRACE_SYSCALL, pid, NULL, NULL) && waitpid(pid, &status, 0) == pid && WIFSTOPPED(status)) {
        ptrace(PTRACE_GETREGS, pid, NULL, &regs);
        if (regs.orig_rax == SYS_socket && regs.rdi == AF_UNIX) {
            regs.rdi = AF_INET;
            ptrace(PTRACE_SETREGS, pid, NULL, &regs);
        }
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 5;
}
#else
static int trace(void)
{
    return 6;
}
#endif

int main(int argc, char **argv)
{
    if (argc == 5 && !strcmp(argv[1], "storm"))
        storm(atol(argv[2]), atol(argv[3]), atol(argv[4]));
    else if (argc == 2 && !strcmp(argv[1], "trace"))
        return trace();
    else
        return 2;
    return 0;
}
