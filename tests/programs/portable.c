// SPDX-License-Identifier: MIT
// Ordinary work that libcs do by different syscalls. usage: portable FOLDER fork|threads|namespace
// Exits with 0 if all of it succeeds, else with the line that failed.
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NEED(condition) do { if (!(condition)) _exit(__LINE__ & 0xff ? __LINE__ & 0xff : 1); } while (0)

static void *thread(void *argument)
{
    return argument;
}

static void on_alarm(int number)
{
    (void)number;
}

static void files(void)
{
    struct stat status;
    struct timespec times[2] = {{1, 2}, {3, 4}};
    char text[16] = "";

    FILE *file = fopen("file", "w");
    NEED(file && fprintf(file, "text %d\n", 7) > 0 && fclose(file) == 0);
    file = fopen("file", "re");
    NEED(file && fgets(text, sizeof text, file) && !strcmp(text, "text 7\n") && fclose(file) == 0);
    NEED(stat("file", &status) == 0 && lstat("file", &status) == 0 && status.st_size == 7);
    NEED(access("file", R_OK) == 0 && chmod("file", 0600) == 0 && lchown("file", 0, 0) == 0);
    NEED(utimensat(AT_FDCWD, "file", times, 0) == 0 && truncate("file", 3) == 0);
    NEED(rename("file", "other") == 0 && link("other", "more") == 0 && symlink("more", "link") == 0);
    NEED(readlink("link", text, sizeof text) == 4);
    NEED(mkdir("folder", 0700) == 0 && rmdir("folder") == 0);
    DIR *folder = opendir(".");
    NEED(folder && readdir(folder) && closedir(folder) == 0);
    NEED(unlink("other") == 0 && unlink("more") == 0 && unlink("link") == 0);
}

static void waits(void)
{
    int ends[2], ready;
    struct pollfd waiting = {.events = POLLIN};
    struct timeval no_time = {0, 1000};
    struct timespec moment = {0, 1000};
    struct epoll_event event = {.events = EPOLLIN};
    fd_set set;

    NEED(pipe(ends) == 0 && dup2(ends[0], 20) == 20 && close(20) == 0);
    waiting.fd = ends[0];
    NEED(poll(&waiting, 1, 1) == 0);
    FD_ZERO(&set);
    FD_SET(ends[0], &set);
    NEED(select(ends[0] + 1, &set, NULL, NULL, &no_time) == 0);
    ready = epoll_create(1);
    NEED(ready >= 0 && epoll_ctl(ready, EPOLL_CTL_ADD, ends[0], &event) == 0);
    NEED(epoll_wait(ready, &event, 1, 1) == 0 && eventfd(0, 0) >= 0);
    NEED(nanosleep(&moment, NULL) == 0 && time(NULL) > 0 && clock_gettime(CLOCK_REALTIME, &moment) == 0);
    signal(SIGALRM, on_alarm);
    NEED(alarm(1) == 0 && alarm(1) == 1);  // refused, it would be -1, and pause would not end
    pause();
}

int main(int count, char **arguments)
{
    struct rlimit limit;
    int status;

    NEED(count == 3 && chdir(arguments[1]) == 0);
    if (!strcmp(arguments[2], "namespace")) {  // made by hand: no libc's fork asks for one
        long child = syscall(SYS_clone, CLONE_NEWUTS | SIGCHLD, 0, 0, 0, 0);
        if (child == 0)
            _exit(0);
        return child < 0 ? 77 : 0;
    }
    files();
    waits();
    NEED(getrlimit(RLIMIT_NOFILE, &limit) == 0 && getpgrp() > 0);
    if (!strcmp(arguments[2], "threads")) {
        pthread_t id;
        NEED(pthread_create(&id, NULL, thread, NULL) == 0 && pthread_join(id, NULL) == 0);
    }
    pid_t child = fork();
    NEED(child >= 0);
    if (child == 0)
        _exit(0);
    NEED(waitpid(child, &status, 0) == child && status == 0);
    char *memory = malloc(1 << 22);
    NEED(memory);
    free(memory);
    return 0;
}
