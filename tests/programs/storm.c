// SPDX-License-Identifier: MIT
// Many tasks that live very shortly. Every call that a task makes which may be killed first is also made by the
// command itself, so that the set of calls does not depend on chance.
//   storm processes N        N processes by fork and vfork in turn, of which only the last calls tee(), and CROWD more
//                            that are there all the time
//   storm foreign FILE       processes that call vmsplice(), until FILE exists
//   storm killed N           N processes, each killed by its parent at once
//   storm parent N           N processes that are children of this program's parent (CLONE_PARENT)
//   storm creators N         N processes killed while they fork or make threads themselves
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CROWD 500
#define CHECK(condition) do { if (!(condition)) { perror(#condition); _exit(1); } } while (0)

static void mark(long number)
{
    syscall(number, -1L, -1L, -1L, -1L, -1L, -1L);
}

static void reap(void)
{
    int status;
    CHECK(wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void child(long number)
{
    mark(number);
    _exit(0);
}

static int foreign(const char *until)
{
    for (long i = 0; access(until, F_OK) != 0; i++) {
        pid_t pid = i % 2 ? vfork() : fork();
        if (pid == 0)
            child(SYS_vmsplice);
        CHECK(pid > 0);
        if (i >= 64)
            reap();
    }
    while (wait(NULL) > 0)
        ;
    return 0;
}

static int processes(long count)
{
    char byte;
    int end[2];
    CHECK(pipe(end) == 0);
    for (int i = 0; i < CROWD; i++) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            close(end[1]);
            CHECK(read(end[0], &byte, 1) == 0);
            _exit(0);
        }
    }
    for (long i = 0; i < count; i++) {
        if (i >= 64)
            reap();
        pid_t pid = i % 2 ? vfork() : fork();
        if (pid == 0)
            child(i == count - 1 ? SYS_tee : SYS_kcmp);
        CHECK(pid > 0);
    }
    close(end[1]);
    while (wait(NULL) > 0)
        ;
    return 0;
}

static int killed(long count)
{
    mark(SYS_tee);
    for (long i = 0; i < count; i++) {
        int status;
        pid_t pid = fork();
        if (pid == 0)
            child(SYS_tee);
        CHECK(pid > 0 && kill(pid, SIGKILL) == 0 && waitpid(pid, &status, 0) == pid);
    }
    return 0;
}

// Their parent waits for none of them: the end of the pipe says that they are gone.
static int parents(long count)
{
    char byte;
    int end[2];
    CHECK(pipe(end) == 0);
    for (long i = 0; i < count; i++) {
        long pid = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
        CHECK(pid >= 0);
        if (pid == 0)
            child(i == count - 1 ? SYS_tee : SYS_kcmp);
    }
    close(end[1]);
    CHECK(read(end[0], &byte, 1) == 0);
    return 0;
}

static void *idle(void *unused)
{
    return NULL;
}

static void create(int threads)
{
    pthread_t id;
    for (;;) {
        if (threads && pthread_create(&id, NULL, idle, NULL) == 0)
            pthread_join(id, NULL);
        if (!threads && fork() == 0)
            child(SYS_tee);
    }
}

static int creators(long count)
{
    pthread_t id;
    CHECK(pthread_create(&id, NULL, idle, NULL) == 0 && pthread_join(id, NULL) == 0);
    syscall(SYS_futex, &id, 1, 0, NULL, NULL, 0);
    syscall(SYS_madvise, NULL, 0, 0);
    syscall(SYS_munmap, NULL, 0);
    mark(SYS_tee);
    for (long i = 0; i < count; i++) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0)
            create(i % 2);
        usleep(500 + i * 37 % 2000);
        CHECK(kill(pid, SIGKILL) == 0);
        CHECK(waitpid(pid, NULL, 0) == pid);
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    long count = atol(argv[2]);
    if (strcmp(argv[1], "processes") == 0)
        return processes(count);
    if (strcmp(argv[1], "foreign") == 0)
        return foreign(argv[2]);
    if (strcmp(argv[1], "killed") == 0)
        return killed(count);
    if (strcmp(argv[1], "parent") == 0)
        return parents(count);
    if (strcmp(argv[1], "creators") == 0)
        return creators(count);
    return 2;
}
