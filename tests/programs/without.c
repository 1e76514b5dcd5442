// SPDX-License-Identifier: MIT
// `without ERRNO:NUMBER[:ARGUMENT]... -- PROGRAM [ARG...]` runs a program to which the kernel answers ERRNO whenever it
// makes the system call NUMBER (with this first ARGUMENT); an ERRNO of 0 ends it by SIGSYS.
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { MOST = 16, STEPS = 6 };

int main(int argc, char **argv)
{
    struct sock_filter filter[MOST * STEPS + 1];
    int at = 1, used = 0;
    for (; at < argc && strcmp(argv[at], "--") != 0; at++) {
        int error, number, argument = -1;
        if (at > MOST || sscanf(argv[at], "%d:%d:%d", &error, &number, &argument) < 2)
            return 2;
        struct sock_filter rule[STEPS] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 4),
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, argument, argument >= 0 ? 1 : 0, 0),
            BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0, argument >= 0 ? 1 : 0, 0),
            BPF_STMT(BPF_RET | BPF_K, error ? SECCOMP_RET_ERRNO | error : SECCOMP_RET_KILL_PROCESS),
        };
        memcpy(filter + used, rule, sizeof rule);
        used += STEPS;
    }
    filter[used++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {used, filter};
    if (at + 1 >= argc)
        return 2;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
        perror("without");
        return 1;
    }
    execv(argv[at + 1], argv + at + 1);
    perror(argv[at + 1]);
    return 1;
}
