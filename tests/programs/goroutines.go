// SPDX-License-Identifier: MIT

// Goroutines on several threads, talking over channels, one of them starting another process. What the Go scheduler
// calls only when chance wants it is called here once on purpose, so that every run makes the same calls.
package main

import (
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) > 1 {
		syscall.RawSyscall(syscall.SYS_SPLICE, ^uintptr(0), ^uintptr(0), ^uintptr(0))
		return
	}
	for _, number := range []uintptr{
		syscall.SYS_SCHED_YIELD, syscall.SYS_FUTEX, syscall.SYS_NANOSLEEP, syscall.SYS_TGKILL, syscall.SYS_GETPID,
		syscall.SYS_MADVISE, syscall.SYS_MUNMAP, syscall.SYS_EPOLL_PWAIT, syscall.SYS_WRITE,
		syscall.SYS_RESTART_SYSCALL,
	} {
		syscall.RawSyscall6(number, ^uintptr(0), ^uintptr(0), ^uintptr(0), ^uintptr(0), ^uintptr(0), ^uintptr(0))
	}
	syscall.Kill(os.Getpid(), syscall.SIGURG)

	marks := []uintptr{syscall.SYS_TEE, syscall.SYS_VMSPLICE, syscall.SYS_MQ_UNLINK, syscall.SYS_FLOCK}
	numbers := make(chan uintptr)
	var group sync.WaitGroup
	for range marks {
		group.Add(1)
		go func() {
			runtime.LockOSThread()
			defer group.Done()
			number := <-numbers
			time.Sleep(10 * time.Millisecond)
			syscall.RawSyscall(number, ^uintptr(0), ^uintptr(0), ^uintptr(0))
		}()
	}
	for _, number := range marks {
		numbers <- number
	}
	group.Wait()
	if exec.Command("/proc/self/exe", "child").Run() != nil {
		os.Exit(1)
	}
}
