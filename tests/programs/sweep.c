// SPDX-License-Identifier: MIT
// Makes nearly every syscall of its own ABI with arguments that the kernel refuses.
//   sweep              each once, in one thread
//   sweep loop FILE    again and again, until FILE exists
//   sweep threads N    N threads, all alive at once, of which thread i makes one call: the list's i-th, wrapping around
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

// Left out: what ends, blocks or duplicates the task, acts on the whole system, or outlives the process.
static const short skipped[] = {
    SYS_exit, SYS_exit_group, SYS_rt_sigreturn, SYS_sync, SYS_vhangup, SYS_kill, SYS_msgget, SYS_reboot,
#ifdef SYS_fork
    SYS_fork, SYS_vfork, SYS_pause, SYS_inotify_init,
#endif
#ifdef SYS_sigreturn
    SYS_sigreturn, SYS_sigsuspend,
#endif
};

// Numbers within the range that no kernel has given a name.
static const short gaps[][2] = {
#if defined(__x86_64__)
    {335, 423},
#elif defined(__i386__)
    {222, 223}, {251, 251}, {285, 285}, {387, 392}, {415, 415},
#elif defined(__aarch64__)
    {244, 259}, {295, 423},
#endif
};

static short calls[512];
static int count;
static pthread_barrier_t everyone, nobody;
static atomic_long done;

static void list_calls(void)
{
    for (short number = 0; number <= SYS_process_mrelease; number++) {
        int harmless = 1;
        for (unsigned i = 0; i < sizeof skipped / sizeof *skipped; i++)
            harmless &= number != skipped[i];
        for (unsigned i = 0; i < sizeof gaps / sizeof *gaps; i++)
            harmless &= number < gaps[i][0] || number > gaps[i][1];
        if (harmless)
            calls[count++] = number;
    }
}

static void call(int number)
{
#ifdef __i386__
    // glibc's syscall() enters through the vDSO; this is the plain way in.
    int result;
    __asm__ volatile("push %%ebp; mov $-1, %%ebp; int $0x80; pop %%ebp"
                     : "=a"(result) : "a"(number), "b"(-1), "c"(-1), "d"(-1), "S"(-1), "D"(-1) : "memory");
#else
    syscall(number, -1L, -1L, -1L, -1L, -1L, -1L);
#endif
}

static void *thread(void *index)
{
    pthread_barrier_wait(&everyone);
    call(calls[(long)index % count]);
    done++;
    pthread_barrier_wait(&nobody);
    return NULL;
}

int main(int argc, char **argv)
{
    list_calls();
    if (argc == 3 && strcmp(argv[1], "threads") == 0) {
        long threads = atol(argv[2]);
        pthread_t id;
        pthread_attr_t small;
        pthread_attr_init(&small);
        pthread_attr_setstacksize(&small, 65536);
        pthread_barrier_init(&everyone, NULL, threads + 1);
        pthread_barrier_init(&nobody, NULL, threads + 1);
        for (long i = 0; i < threads; i++)
            if (pthread_create(&id, &small, thread, (void *)i) != 0)
                return 1;
        pthread_barrier_wait(&everyone);
        do
            sched_yield();
        while (done < threads);
        _exit(0);
    }
    do
        for (int i = 0; i < count; i++)
            call(calls[i]);
    while (argc == 3 && access(argv[2], F_OK) != 0);
    _exit(0);
}
