/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The kernel side of spoc.py: which syscalls a command and its descendants make (`record`), and which of them a seccomp
 * filter did not let pass (`run`).
 *
 * Raw tracepoints only, tasks known by the address of their task_struct: nothing here needs BTF, tracefs or a CO-RE
 * relocation, so one object serves every little-endian kernel from 5.8 on. User space writes `config`, attaches, and
 * lets the armed process exec; from then on it only reads `counters`, `seen` (both mapped into its memory) and `calls`.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define ABIS		2	/* 0: the kernel's own calling convention, 1: its 32-bit one */
#define NUMBERS		1024	/* syscall numbers in `seen`, a power of two; larger ones go to `calls` */
#define SLOTS		4096	/* a power of two */
#define TASKS		12288	/* with those of SLOTS at most 16384 */
#define CALLS		2048
#define DENIALS		1024
#define MAX_VALUES	64	/* of one argument of one syscall */
#define EEXIST		17
#define ENOSYS		38
#define NO_SYSCALL	0xffffffff	/* what a tracer has put there skips the call */
#define SIGSYS		31
/* Signals whose default action leaves the task alive: SIGCHLD to SIGURG (17 to 23) and SIGWINCH (28) (signal(7)). */
#define SIGNALS_SURVIVED (0x7fU << 17 | 1U << 28)
#define EVENT_BYTES	(256 << 10)	/* a multiple of every page size */

#define COMM_LEN	16	/* TASK_COMM_LEN, include/linux/sched.h */

enum task_flag { TASK_COUNTED = 1, TASK_INSIDE = 2, TASK_DENIED = 4, TASK_HELD = 8, TASK_ENDING = 16 };
/* How a 32-bit call is told: not; by bpf_probe_read_kernel; on x86-64 with BTF by reading task_struct directly. */
enum telling { TELL_NONE, TELL_READ, TELL_DIRECT };
enum denial_kind {
	/* May turn out to have been DENIAL_UNANSWERED: */
	DENIAL_RETURNED,	/* with this result */
	DENIAL_TRACED,		/* DENIAL_RETURNED where some task traces: it may have been the tracer */
	/* May like these turn out to have been DENIAL_KILLED or DENIAL_TRAPPED: */
	DENIAL_VSYSCALL,	/* made through the vsyscall page, and what its filter says is not known */
	DENIAL_LOGGED,
	DENIAL_ENDED,		/* the task ended on the spot */
	DENIAL_KILLED,		/* SIGSYS ended the process */
	DENIAL_TRAPPED,		/* a handler for SIGSYS ran */
	DENIAL_UNANSWERED,	/* a signal ended the task before it had left the kernel, maybe before a filter was asked */
};
enum compat_source { COMPAT_NONE, COMPAT_TASK, COMPAT_REGS };

struct config {
	__u64 ns_dev;		/* pid namespace in which armed_tgid counts: device and ... */
	__u64 ns_ino;		/* ... inode of /proc/self/ns/pid */
	__u32 armed_tgid;	/* its next exec starts the recording; 0: none */
	__u32 compat_source;	/* where a 32-bit call shows: enum compat_source */
	__u32 compat_offset;	/* bytes into task_struct or pt_regs */
	__u32 compat_mask;	/* bits of the __u32 there */
	__u32 statistics;	/* not 0: count every call, in `calls` */
	__u32 number_offset;	/* bytes into pt_regs: the syscall's number, once it has returned */
	__u32 original_offset;	/* bytes into pt_regs: what syscall_rollback() has a call return; on x86 the number */
	__u32 emulated_offset;	/* bytes into task_struct: a __u32 in which these bits are set ... */
	__u32 emulated_mask;	/* ... while a tracer makes the calls itself (PTRACE_SYSEMU) */
	__u32 ptrace_nr;	/* in `run`: once a task makes this call ... */
	__u32 returned;		/* ... this is DENIAL_TRACED, before DENIAL_RETURNED */
	__u32 marked;		/* not 0: there is something in `logged` (`run`) or `watched` (`record`) */
};

struct counters {
	__u64 followed;		/* tasks recorded so far */
	__u64 alive;		/* tasks recorded that have not ended */
	__u64 processes;	/* processes among them that have made a call */
	__u64 tasks_lost;	/* tasks that `tasks` had no room for */
	__u64 calls_lost;	/* calls that `calls` had no room for */
	__u64 reads_lost;	/* calls whose convention or number could not be read */
	__u64 denials_lost;	/* denials that `denials` or `events` had no room for */
};

struct call_key {
	__u32 abi;
	__u32 nr;
};

struct call {
	__u64 first_ns;		/* bpf_ktime_get_ns() */
	__u64 count;
	__u32 tgid;		/* who made it first */
	char comm[COMM_LEN];
	__u32 unused;
};

/* An argument whose values are noted, in full below MAX_VALUES. */
struct watch {
	__u32 place;		/* 1 + bytes into pt_regs; 0: no argument of this syscall is watched */
	__u32 count;		/* of the values in `values`; above MAX_VALUES: they are not all */
};

struct value_key {
	__u32 abi;
	__u32 nr;
	__u32 value;
};

/* What became of a call. */
struct fate {
	__u32 abi;
	__u32 nr;
	__s32 result;		/* what it returned, if it did */
	__u32 kind;		/* enum denial_kind */
};

/* A kind of denial: repeats are counted. */
struct denial_key {
	struct fate fate;
	char comm[COMM_LEN];
};

struct denial {
	struct denial_key key;
	__u32 tgid;		/* the first time */
	__u32 tid;
	__u64 count;
};

struct task {
	__u32 flags;		/* enum task_flag */
	__u32 entered;		/* in `run`: the last call that was let pass, first its parent's */
	struct denial_key last;	/* with TASK_DENIED: what it was last denied, ... */
	__u64 repeats;		/* ... how often since, not yet in `denials`, ... */
	__u64 beside;		/* ... and what stood beside the number in pt_regs */
	__u64 regs;		/* in `run`: its pt_regs, which stay where they are on its kernel stack */
	struct fate held;	/* with TASK_HELD: a denial not yet counted, since what comes next may tell more */
};

struct slot {
	__u64 count;		/* how many recorded tasks hash here */
	__u64 owner;		/* the one of them whose ... */
	struct task state;	/* ... state this is */
};

/* 0 -> the settings; the program itself clears armed_tgid. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct config);
} config SEC(".maps");

/* 0 -> what happened so far. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct counters);
} counters SEC(".maps");

/* abi * NUMBERS + syscall number -> bpf_ktime_get_ns() of its first call, 0: not yet made. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, ABIS * NUMBERS);
	__type(key, __u32);
	__type(value, __u64);
} seen SEC(".maps");

/* (abi, number) -> details: of numbers from NUMBERS on always, of all others when `statistics` is set. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CALLS);
	__type(key, struct call_key);
	__type(value, struct call);
} calls SEC(".maps");

/* abi * NUMBERS + syscall number -> which argument is watched. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, ABIS * NUMBERS);
	__type(key, __u32);
	__type(value, struct watch);
} watched SEC(".maps");

/* The values that watched arguments had; user space makes room for them if there are any. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct value_key);
	__type(value, __u32);
} values SEC(".maps");

/* abi * NUMBERS + syscall number -> not 0: the filter's answer is to log it and let it pass. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, ABIS * NUMBERS);
	__type(key, __u32);
	__type(value, __u64);
} logged SEC(".maps");

/* What was denied -> the first time and how often. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, DENIALS);
	__type(key, struct denial_key);
	__type(value, struct denial);
} denials SEC(".maps");

/* struct denial, when it is new in `denials`: wakes user space. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, EVENT_BYTES);
} events SEC(".maps");

/*
 * Hash of a task_struct address -> struct slot: the recorded tasks, and without a look-up in a hash map. `count` is
 * raised before a child can run, so 0 is a safe no.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, SLOTS);
	__type(key, __u32);
	__type(value, struct slot);
} slots SEC(".maps");

/* Index of a slot -> its owner. To enter it here is what makes a task the owner: two CPUs cannot both succeed. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SLOTS);
	__type(key, __u32);
	__type(value, __u64);
} owners SEC(".maps");

/* task_struct address -> the recorded tasks that found their slot owned. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TASKS);
	__type(key, __u64);
	__type(value, struct task);
} tasks SEC(".maps");

static __always_inline struct counters *counted(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&counters, &zero);
}

#define COUNT(field, n) do {						\
	struct counters *_c = counted();				\
	if (_c)								\
		__sync_fetch_and_add(&_c->field, n);			\
} while (0)

/*
 * The number of a call through x86-64's vsyscall page, which holds these three, by its index there. The kernel makes it in
 * a page fault, after the filter but without sys_enter and sys_exit (arch/x86/entry/vsyscall/vsyscall_64.c).
 */
static __always_inline __u32 vsyscall_number(__u32 index)
{
	return index == 0 ? 96 : index == 1 ? 201 : index == 2 ? 309 : NO_SYSCALL; /* gettimeofday, time, getcpu */
}

#define read_kernel(to, address) bpf_probe_read_kernel(&(to), sizeof(to), (void *)(unsigned long)(address))

static __always_inline __u32 slot_index(__u64 task)
{
	/* task_structs are aligned to 64 bytes and often stand in slabs of 2^15: mix both ranges of bits. */
	return ((task >> 6) ^ (task >> 18)) & (SLOTS - 1);
}

static __always_inline int is_leader(void)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();

	return (__u32)pid_tgid == pid_tgid >> 32;
}

/* The state of a task, if it is recorded. */
static __always_inline struct task *find(__u64 task)
{
	__u32 index = slot_index(task);
	struct slot *slot = bpf_map_lookup_elem(&slots, &index);

	if (!slot || !slot->count)
		return 0;
	if (slot->owner == task)
		return &slot->state;
	return bpf_map_lookup_elem(&tasks, &task);
}

/* The state of the current task, if it is recorded. Counts its process when it first asks. */
static __always_inline struct task *state_of(__u64 task)
{
	struct task *state = find(task);

	if (state && !(state->flags & TASK_COUNTED)) {
		state->flags |= TASK_COUNTED;
		if (is_leader())
			COUNT(processes, 1);
	}
	return state;
}

/* Record a task that does not run yet, or the current one; `entered` is the call that it will return from. */
static __always_inline void follow(__u64 task, __u32 entered)
{
	__u32 index = slot_index(task);
	struct slot *slot = bpf_map_lookup_elem(&slots, &index);
	struct counters *count = counted();
	/* fork and exec return without an enter of their own */
	struct task state = { .flags = TASK_INSIDE, .entered = entered };

	if (!slot || !count)
		return;
	if (!bpf_map_update_elem(&owners, &index, &task, BPF_NOEXIST)) {
		slot->state = state;
		slot->owner = task;
	} else if (bpf_map_update_elem(&tasks, &task, &state, BPF_ANY)) {
		__sync_fetch_and_add(&count->tasks_lost, 1);
		return;
	}
	__sync_fetch_and_add(&slot->count, 1);
	__sync_fetch_and_add(&count->followed, 1);
	__sync_fetch_and_add(&count->alive, 1);
}

/* The calling convention of the running syscall: an index below ABIS. */
static __always_inline __u32 abi_of(const struct config *conf, __u64 regs)
{
	__u32 word = 0;

	if (conf->compat_source == COMPAT_NONE)
		return 0;
	if (conf->compat_source == COMPAT_TASK)
		regs = bpf_get_current_task();
	if (read_kernel(word, regs + conf->compat_offset)) {
		COUNT(reads_lost, 1);
		return 0;
	}
	return !!(word & conf->compat_mask);
}

/* thread_info.status and TS_COMPAT, since Linux 5.11 (arch/x86/include/asm/thread_info.h) */
#define X86_STATUS_OFFSET	16
#define X86_TS_COMPAT		2

/* The same, TELL_DIRECT: takes a fourth of the time, and kernel lockdown has nothing against it. */
static __always_inline __u32 abi_of_task(void)
{
	const char *task = (const char *)bpf_get_current_task_btf();

	return !!(*(const __u32 *)(task + X86_STATUS_OFFSET) & X86_TS_COMPAT);
}

/* The entry of a call in `calls`, made if there is none. */
static __always_inline void detail(__u32 abi, __u32 nr)
{
	struct call_key key = { .abi = abi, .nr = nr };
	struct call *call = bpf_map_lookup_elem(&calls, &key);

	if (!call) {
		struct call first = { .first_ns = bpf_ktime_get_ns(), .tgid = bpf_get_current_pid_tgid() >> 32 };

		/* On another CPU the same call may be entered at this moment: whoever loses only counts. */
		bpf_get_current_comm(first.comm, sizeof(first.comm));
		bpf_map_update_elem(&calls, &key, &first, BPF_NOEXIST);
		call = bpf_map_lookup_elem(&calls, &key);
		if (!call) {
			COUNT(calls_lost, 1);
			return;
		}
	}
	__sync_fetch_and_add(&call->count, 1);
}

/* Note the value of the argument that is watched, if one is: the lower half of its register. */
static __always_inline void note_value(__u32 index, __u64 regs)
{
	struct value_key key = { .abi = index / NUMBERS, .nr = index % NUMBERS };
	struct watch *watch = bpf_map_lookup_elem(&watched, &index);
	__u32 unused = 0;
	long error;

	if (!watch || !watch->place || watch->count > MAX_VALUES)
		return;
	error = read_kernel(key.value, regs + watch->place - 1);
	if (!error && bpf_map_lookup_elem(&values, &key))
		return;
	if (!error)
		error = bpf_map_update_elem(&values, &key, &unused, BPF_NOEXIST);
	if (error != -EEXIST)	/* another CPU was faster */
		__sync_fetch_and_add(&watch->count, error ? MAX_VALUES + 1 : 1);
}

static __always_inline int enter(struct bpf_raw_tracepoint_args *ctx, enum telling telling)
{
	__u32 nr = ctx->args[1], abi = 0, zero = 0, index;
	struct config *conf;
	__u64 *first_ns;

	if (!state_of(bpf_get_current_task()))
		return 0;
	conf = bpf_map_lookup_elem(&config, &zero);
	if (!conf)
		return 0;
	if (telling == TELL_READ)
		abi = abi_of(conf, ctx->args[0]);
	else if (telling == TELL_DIRECT)
		abi = abi_of_task();
	if (nr < NUMBERS) {
		index = abi * NUMBERS + nr;
		/* first, so that what shows in `seen` has a value */
		if (telling == TELL_READ && conf->marked)
			note_value(index, ctx->args[0]);
		first_ns = bpf_map_lookup_elem(&seen, &index);
		if (first_ns && !*first_ns)
			*first_ns = bpf_ktime_get_ns();
		if (!conf->statistics)
			return 0;
	}
	detail(abi, nr);
	return 0;
}

/* User space loads one of these. */
SEC("raw_tp/sys_enter")
int enter_direct(struct bpf_raw_tracepoint_args *ctx)
{
	return enter(ctx, TELL_DIRECT);
}

/* The only one that notes values. */
SEC("raw_tp/sys_enter")
int enter_abis(struct bpf_raw_tracepoint_args *ctx)
{
	return enter(ctx, TELL_READ);
}

/* Without BTF, lockdown=confidentiality refuses every program that holds bpf_probe_read_kernel: all calls pass for the first ABI. */
SEC("raw_tp/sys_enter")
int enter_plain(struct bpf_raw_tracepoint_args *ctx)
{
	return enter(ctx, TELL_NONE);
}

/* Bring `denials` up to date with the repeats of a task. */
static __always_inline void flush(struct task *state)
{
	struct denial *denial;

	if (!state->repeats)
		return;
	denial = bpf_map_lookup_elem(&denials, &state->last);
	if (denial)
		__sync_fetch_and_add(&denial->count, state->repeats);
	else
		COUNT(denials_lost, state->repeats);
	state->repeats = 0;
}

static __always_inline int is_same(const struct fate *one, const struct fate *other)
{
	return one->nr == other->nr && one->result == other->result && one->kind == other->kind && one->abi == other->abi;
}

/* Count what the current task was denied; the first of its kind goes to user space. */
static __always_inline void settle(struct task *state)
{
	struct denial first = { .count = 1 };
	struct denial *denial;
	__u64 pid_tgid;

	state->flags &= ~TASK_HELD;
	if ((state->flags & TASK_DENIED) && is_same(&state->last.fate, &state->held)) {
		state->repeats++;
		return;
	}
	flush(state);
	state->flags |= TASK_DENIED;
	state->last.fate = state->held;
	bpf_get_current_comm(state->last.comm, sizeof(state->last.comm));
	first.key = state->last;
	pid_tgid = bpf_get_current_pid_tgid();
	first.tgid = pid_tgid >> 32;
	first.tid = pid_tgid;
	if (!bpf_map_update_elem(&denials, &first.key, &first, BPF_NOEXIST)) {
		if (bpf_ringbuf_output(&events, &first, sizeof(first), 0))
			COUNT(denials_lost, 1);
		return;
	}
	denial = bpf_map_lookup_elem(&denials, &first.key);
	if (denial)
		__sync_fetch_and_add(&denial->count, 1);
	else
		COUNT(denials_lost, 1);
}

static __always_inline void hold(struct task *state, __u32 abi, __u32 nr, __s32 result, __u32 kind)
{
	state->held.abi = abi;
	state->held.nr = nr;
	state->held.result = result;
	state->held.kind = kind;
	state->flags |= TASK_HELD;
}

/* What was held before comes first, then what is now: in a loop, so that the code of settle() is there once. */
#define EACH_HELD _Pragma("clang loop unroll(disable)") for (int round = 0; round < 2; round++)

/* For `run`: seccomp acts before sys_enter, so a call that gets here was let pass. */
SEC("raw_tp/sys_enter")
int run_enter(struct bpf_raw_tracepoint_args *ctx)
{
	struct task *state = state_of(bpf_get_current_task());
	__u32 zero = 0, nr = ctx->args[1], abi = 0, index, is_logged = 0;
	struct config *conf;
	__u64 *mark;

	if (!state)
		return 0;
	state->flags = (state->flags | TASK_INSIDE) & ~TASK_ENDING;
	state->regs = ctx->args[0];
	state->entered = nr;
	conf = bpf_map_lookup_elem(&config, &zero);
	if (!conf)
		return 0;
	if (nr == conf->ptrace_nr)
		conf->returned = DENIAL_TRACED;
	if (conf->marked && nr < NUMBERS) {
		abi = abi_of(conf, ctx->args[0]);
		index = abi * NUMBERS + nr;
		mark = bpf_map_lookup_elem(&logged, &index);
		is_logged = mark && *mark;
	}
	EACH_HELD {
		if (state->flags & TASK_HELD)
			settle(state);
		if (!is_logged)
			break;
		hold(state, abi, nr, 0, DENIAL_LOGGED);
		is_logged = 0;
	}
	return 0;
}

/* For `run`: a return without an enter is that of a call that a filter stopped, or a tracer. */
SEC("raw_tp/sys_exit")
int run_exit(struct bpf_raw_tracepoint_args *ctx)
{
	struct task *state = state_of(bpf_get_current_task());
	__u64 words[2] = {};	/* the number and, on x86-64, the instruction pointer */
	__u32 zero = 0, nr, origin = NO_SYSCALL, original, emulated = 0;
	__s32 result = ctx->args[1];
	struct config *conf;
	int on_x86;

	if (!state)
		return 0;
	if (state->flags & TASK_INSIDE) {
		state->flags &= ~TASK_INSIDE;
		if (state->regs || state->entered == NO_SYSCALL)
			return 0;
		/* A child returns from fork on x86; elsewhere ret_from_fork does without, and this is its first call. */
		origin = state->entered;
		state->regs = ctx->args[0];
	}
	conf = bpf_map_lookup_elem(&config, &zero);
	if (!conf || read_kernel(words, ctx->args[0] + conf->number_offset))
		goto lost;
	nr = original = words[0];
	if (nr == NO_SYSCALL || nr == origin)
		return 0;
	/* The instruction that made the same call before makes it in the same ABI: spares the reads. */
	if ((state->flags & (TASK_DENIED | TASK_HELD)) == TASK_DENIED && state->beside == words[1] &&
	    state->last.fate.nr == nr && state->last.fate.result == result && state->last.fate.kind == conf->returned) {
		state->repeats++;
		return 0;
	}
	state->beside = words[1];
	on_x86 = conf->original_offset == conf->number_offset;
	if ((!on_x86 && read_kernel(original, ctx->args[0] + conf->original_offset)) ||
	    read_kernel(emulated, bpf_get_current_task() + conf->emulated_offset))
		goto lost;
	if (emulated & conf->emulated_mask)
		return 0;
	EACH_HELD {
		if (state->flags & TASK_HELD)
			settle(state);
		if (round)
			break;
		hold(state, abi_of(conf, ctx->args[0]), nr, result, conf->returned);
		/*
		 * What a filter ends or traps returns what it was given (syscall_rollback()), and is about to have SIGSYS. A
		 * task that dies while its tracer holds it before the filter is asked returns, on x86, what ax is until there
		 * is an answer; on ARM it has forgotten the number.
		 */
		if (result == (__s32)original || (on_x86 && result == -ENOSYS))
			break;
	}
	return 0;
lost:
	COUNT(reads_lost, 1);
	return 0;
}

/* TP_PROTO(int sig, struct kernel_siginfo *info, struct k_sigaction *ka): also of the SIGKILL that ends a whole process. */
SEC("raw_tp/signal_deliver")
int run_signal(struct bpf_raw_tracepoint_args *ctx)
{
	struct task *state = find(bpf_get_current_task());
	__u32 signum = ctx->args[0];
	__u64 handler = 0;	/* struct sigaction begins with sa_handler; SIG_DFL is 0 */

	if (!state)
		return 0;
	if (read_kernel(handler, ctx->args[2]))
		COUNT(reads_lost, 1);
	if (!(ctx->args[2] >> 32))
		handler = (__u32)handler;	/* a 32-bit kernel */
	if (!handler && (signum >= 32 || !(1U << signum & SIGNALS_SURVIVED)))
		state->flags |= TASK_ENDING;
	if (signum == SIGSYS && (state->flags & TASK_HELD) && state->held.kind <= DENIAL_VSYSCALL)
		state->held.kind = handler ? DENIAL_TRAPPED : DENIAL_KILLED;
	return 0;
}

/*
 * A task_struct's address as bpf_get_current_task() gives it, from a tracepoint's argument. On 32-bit kernels the former
 * is sign-extended to 64 bits (kernel/trace/bpf_trace.c), the latter is not (include/trace/bpf_probe.h). On 64-bit ones
 * no kernel address is below 2^32.
 */
static __always_inline __u64 task_of(__u64 argument)
{
	return argument >> 32 ? argument : (__u64)(__s64)(__s32)argument;
}

/* TP_PROTO(struct task_struct *parent, struct task_struct *child): before the child can run. */
SEC("raw_tp/sched_process_fork")
int task_fork(struct bpf_raw_tracepoint_args *ctx)
{
	struct task *state = state_of(bpf_get_current_task());

	if (state)
		follow(task_of(ctx->args[1]), state->entered);
	return 0;
}

static __always_inline int is_armed(const struct config *conf)
{
	struct bpf_pidns_info ns;

	return conf->armed_tgid && !bpf_get_ns_current_pid_tgid(conf->ns_dev, conf->ns_ino, &ns, sizeof(ns)) &&
	       ns.tgid == conf->armed_tgid;
}

/* TP_PROTO(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm): the exec has succeeded. */
SEC("raw_tp/sched_process_exec")
int task_exec(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 task = bpf_get_current_task();
	struct task *state;
	__u32 zero = 0;
	struct config *conf = bpf_map_lookup_elem(&config, &zero);

	if (conf && is_armed(conf)) {
		conf->armed_tgid = 0;
		follow(task, NO_SYSCALL);
		return 0;
	}
	state = state_of(task);
	if (!state)
		return 0;
	/* A thread that execs takes over the leader's id, and the leader has been counted out. */
	if ((__u32)ctx->args[1] != (__u32)bpf_get_current_pid_tgid())
		COUNT(processes, 1);
	/* Its name is another from now on: what it is denied is no repeat. */
	state->flags &= ~TASK_DENIED;
	return 0;
}

/* The last that is seen of the current task. */
static __always_inline void leave(__u64 task, struct task *state)
{
	__u32 counted_in = (state->flags & TASK_COUNTED) && is_leader(), index = slot_index(task);
	struct slot *slot = bpf_map_lookup_elem(&slots, &index);
	struct counters *count = counted();
	long error;

	if (!slot || !count)
		return;
	/* The address will be another task's: it must not pass for a recorded one. */
	if (slot->owner == task) {
		slot->owner = 0;
		error = bpf_map_delete_elem(&owners, &index);
	} else {
		error = bpf_map_delete_elem(&tasks, &task);
	}
	if (error)
		__sync_fetch_and_add(&count->tasks_lost, 1);
	__sync_fetch_and_add(&slot->count, -1);
	__sync_fetch_and_add(&count->alive, -1);
	if (counted_in)
		__sync_fetch_and_add(&count->processes, -1);
}

/*
 * sched_process_exit, TP_PROTO(struct task_struct *p), gives the current task; emulate_vsyscall, TP_PROTO(int nr), comes
 * before the filter is asked, and gives a number that is no task's address. Each of these serves both: the object is small.
 */
static __always_inline int is_exit(struct bpf_raw_tracepoint_args *ctx, __u64 task)
{
	return (__u32)ctx->args[0] == (__u32)task;
}

SEC("raw_tp/sched_process_exit")
int task_exit(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 task = bpf_get_current_task();
	struct task *state = find(task);
	__u32 nr = vsyscall_number(ctx->args[0]);

	if (!state)
		return 0;
	if (is_exit(ctx, task))
		leave(task, state);
	else if (nr != NO_SYSCALL)
		detail(0, nr);
	return 0;
}

/*
 * For `run`, in place of task_exit. A task that ends outside any syscall, and not by a signal, has been killed by a filter on
 * the spot: by SECCOMP_RET_KILL_THREAD, and before Linux 5.16 by KILL_PROCESS, too.
 */
SEC("raw_tp/sched_process_exit")
int run_task_exit(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 task = bpf_get_current_task();
	struct task *state = find(task);
	__u32 zero = 0, nr = vsyscall_number(ctx->args[0]), kind = DENIAL_VSYSCALL;
	struct config *conf = bpf_map_lookup_elem(&config, &zero);

	if (!state || !conf)
		return 0;
	if (is_exit(ctx, task)) {
		kind = DENIAL_ENDED;
		if ((state->flags & TASK_ENDING) && state->held.kind <= DENIAL_TRACED)
			state->held.kind = DENIAL_UNANSWERED;
		if (state->regs && !(state->flags & (TASK_INSIDE | TASK_ENDING)) &&
		    read_kernel(nr, state->regs + conf->number_offset))
			COUNT(reads_lost, 1);
		/* It is the same call. */
		if (nr != NO_SYSCALL && state->held.kind == DENIAL_VSYSCALL)
			state->flags &= ~TASK_HELD;
	}
	EACH_HELD {
		if (state->flags & TASK_HELD)
			settle(state);
		if (nr == NO_SYSCALL)
			break;
		hold(state, abi_of(conf, state->regs), nr, 0, kind);
		if (kind == DENIAL_VSYSCALL)
			return 0;
		nr = NO_SYSCALL;
	}
	if (!is_exit(ctx, task))
		return 0;
	flush(state);
	leave(task, state);
	return 0;
}

char _license[] SEC("license") = "Dual MIT/GPL";
