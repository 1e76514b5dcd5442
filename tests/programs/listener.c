// SPDX-License-Identifier: MIT
// Installs seccomp filters of its own, prints the errno of seccomp(2) or 0 for each, and makes calls under them:
//   listener own       one with a listener, which would be asked about tee()
//   listener trace     one whose answer to tee() is SECCOMP_RET_TRACE: ENOSYS without a tracer
//   listener refuse    one whose answer to tee() is an errno, EXDEV
//   listener probe     none: each request for a listener is one that cannot succeed
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    int own = !strcmp(argv[1], "own"), trace = !strcmp(argv[1], "trace");
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_tee, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, own ? SECCOMP_RET_USER_NOTIF : trace ? SECCOMP_RET_TRACE : SECCOMP_RET_ERRNO | EXDEV),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};

    if (!strcmp(argv[1], "probe")) {
        struct sock_fprog none = {0, filter}, long_one = {0xffff, filter}, nowhere = {4, (void *)8};
        size_t page = getpagesize(), half = sizeof filter / 2;
        char *pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        struct sock_fprog cut_off = {4, (void *)(pages + page - half)};
        const void *programs[] = {NULL, (void *)8, (void *)-8L, &none, &long_one, &nowhere, &cut_off};

        memcpy(pages + page - half, filter, half);
        munmap(pages + page, page);

        for (unsigned i = 0; i < sizeof programs / sizeof *programs; i++) {
            errno = 0;
            syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, programs[i]);
            printf("%d ", errno);
        }
        errno = 0;
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER | 1u << 31, &program);
        printf("%d\n", errno);
        return 0;
    }
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    errno = 0;
    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, own ? SECCOMP_FILTER_FLAG_NEW_LISTENER : 0, &program);
    int installed = errno;
    errno = 0;
    if (!own || installed)
        syscall(SYS_tee, -1L, -1L, 1L, 0L);
    printf("%d %d\n", installed, errno);
    return 0;
}
