// SPDX-License-Identifier: MIT
// `forker KIND SECONDS FILE`: tasks that come and go for so long. Each makes calls whose numbers nobody else makes, and
// notes in FILE, which it maps, when: the count of calls, when to end, which others may write, then the time of each call
// (CLOCK_MONOTONIC, ns). KIND is tree (processes), threads, or orphans: each lives on when its parent has ended. After
// MAX_CALLS the numbers begin again.
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHECK(condition) do { if (!(condition)) { perror(#condition); _exit(1); } } while (0)
#define FIRST_NUMBER 5000
#define MAX_CALLS (1 << 19)

static struct {
    uint64_t count;
    volatile uint64_t end_ns;
    uint64_t times_ns[MAX_CALLS];
} *calls;

static uint64_t now_ns(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000ull + time.tv_nsec;
}

static int is_over(void)
{
    return now_ns() >= calls->end_ns;
}

static void call(void)
{
    uint64_t number = __sync_fetch_and_add(&calls->count, 1);

    if (number < MAX_CALLS)
        calls->times_ns[number] = now_ns();
    syscall(FIRST_NUMBER + number % MAX_CALLS);
}

static void tree(int depth)
{
    call();
    for (int i = 0; depth && i < 2; i++) {
        pid_t pid = fork();

        if (!pid) {
            tree(depth - 1);
            _exit(0);
        }
        call();
    }
    while (wait(NULL) > 0)
        ;
    call();
}

static void *thread(void *next)
{
    pthread_t other;

    call();
    if (next) {
        CHECK(!pthread_create(&other, NULL, thread, NULL));
        call();
        pthread_join(other, NULL);
    }
    call();
    return NULL;
}

static void threads(void)
{
    pthread_t all[4];

    while (!is_over()) {
        for (int i = 0; i < 4; i++)
            CHECK(!pthread_create(all + i, NULL, thread, calls));
        for (int i = 0; i < 4; i++)
            pthread_join(all[i], NULL);
        call();
    }
}

static void orphans(void)
{
    while (!is_over()) {
        call();
        if (fork()) {
            call();
            _exit(0);
        }
        call();
        usleep(500);
    }
}

int main(int argc, char **argv)
{
    CHECK(argc == 4);
    int file = open(argv[3], O_RDWR | O_CREAT | O_TRUNC, 0644);

    CHECK(file >= 0 && !ftruncate(file, sizeof(*calls)));
    calls = mmap(NULL, sizeof(*calls), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    CHECK(calls != MAP_FAILED);
    calls->end_ns = now_ns() + atof(argv[2]) * 1e9;
    signal(SIGCHLD, SIG_IGN);
    if (!strcmp(argv[1], "tree")) {
        while (!is_over())
            tree(3);
    } else {
        for (int i = 0; i < 3; i++)
            if (!fork()) {
                if (!strcmp(argv[1], "threads"))
                    threads();
                else
                    orphans();
                _exit(0);
            }
        while (!is_over())
            usleep(1000);
    }
    return 0;
}
