// SPDX-License-Identifier: MIT
// `numbers FIRST COUNT` makes COUNT syscalls, with the numbers from FIRST on and arguments that no call accepts.
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    unsigned long first = strtoul(argv[1], NULL, 0), count = strtoul(argv[2], NULL, 0);
    for (unsigned long i = 0; i < count; i++)
        syscall(first + i, -1L, -1L, -1L, -1L, -1L, -1L);
    _exit(0);
}
