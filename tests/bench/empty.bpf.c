// SPDX-License-Identifier: MIT
// The floor of what any recorder adds to a syscall: raw tracepoint programs that do nothing.

__attribute__((section("raw_tracepoint/sys_enter"), used)) int empty(void *ctx)
{
	return 0;
}

#ifdef EXIT
__attribute__((section("raw_tracepoint/sys_exit"), used)) int empty_exit(void *ctx)
{
	return 0;
}
#endif

char LICENSE[] __attribute__((section("license"), used)) = "Dual MIT/GPL";
