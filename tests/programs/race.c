// SPDX-License-Identifier: MIT
// `race FIRST COUNT`: two threads make the syscalls with COUNT numbers from FIRST on, each at the same moment.
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

static long first, count;
static atomic_long arrived;

static void *run(void *second)
{
    for (long i = 0; i < count; i++) {
        atomic_fetch_add(&arrived, 1);
        for (long spins = 0; atomic_load(&arrived) < 2 * (i + 1); spins++)
            if (spins > 100000)
                sched_yield();
        // Which of the two is earlier, and by how much, changes from call to call.
        if ((i & 1) == !second)
            for (volatile long delay = i % 100 * 4; delay > 0; delay--)
                ;
        syscall(first + i, -1L, -1L, -1L, -1L, -1L, -1L);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t thread;

    if (argc != 3)
        return 2;
    first = strtol(argv[1], NULL, 0);
    count = strtol(argv[2], NULL, 0);
    if (pthread_create(&thread, NULL, run, (void *)1))
        return 1;
    run(NULL);
    return pthread_join(thread, NULL);
}
