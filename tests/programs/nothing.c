// SPDX-License-Identifier: MIT
// Is ended before its first call. Build it with -static -nostdlib.
void _start(void)
{
	__builtin_trap();
}
