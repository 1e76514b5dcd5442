// SPDX-License-Identifier: MIT
// The floor of what any recorder adds to a syscall: a raw tracepoint program that does nothing.

__attribute__((section("raw_tracepoint/sys_enter"), used)) int empty(void *ctx)
{
	return 0;
}

char LICENSE[] __attribute__((section("license"), used)) = "Dual MIT/GPL";
