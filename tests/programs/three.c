// SPDX-License-Identifier: MIT
// A static program without libc that makes three calls and no other: getppid, getuid and exit.

#include <sys/syscall.h>

static long call(long number, long argument)
{
    long result;
#if defined(__x86_64__)
    asm volatile("syscall" : "=a"(result) : "a"(number), "D"(argument) : "rcx", "r11", "memory");
#elif defined(__aarch64__)
    register long x8 asm("x8") = number, x0 asm("x0") = argument;
    asm volatile("svc 0" : "+r"(x0) : "r"(x8) : "memory");
    result = x0;
#endif
    return result;
}

void _start(void)
{
    call(SYS_getppid, 0);
    call(SYS_getuid, 0);
    for (;;)
        call(SYS_exit, 0);
}
