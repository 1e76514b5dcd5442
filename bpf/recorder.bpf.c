/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The kernel side of spoc.py. It notes which syscalls a command and its descendants, or tasks that run already, make
 * (`record`), and which of them a seccomp filter does not let pass (`run`, `watch`).
 *
 * All programs are raw tracepoints, and a task is identified by the address of its task_struct. So nothing here needs
 * tracefs or a CO-RE relocation, only enter_direct needs BTF, and one object serves every little-endian kernel from 5.8
 * on. User space writes `logged`, `watched` and `config`, attaches the programs, and sets armed_tgid before it lets
 * that process exec. From then on it only reads.
 *
 * Of tasks that run already user space sets `joining`, and enters into `listed` those that it finds in /proc. A task is
 * recorded from the first thing that it does after that; its descendants are as those of a command are. Two programs,
 * join_scope and join_group, let the kernel itself tell who belongs: they are attached to sys_enter, sys_exit and
 * sched_process_fork until all that run are listed, and to sched_process_exec for good, so that a program that is
 * started in a container or a unit from outside is recorded as well. list_named, at sched_process_exec, enters into
 * `listed` what gets a certain name.
 *
 * Of containers that are yet to start none has to be known: begin_foreign records each program that starts in another
 * pid namespace than the machine's, with its descendants, in a group of its own, and tells user space, which finds out
 * what container that is.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define ABIS		2	/* 0: the kernel's own calling convention, 1: its 32-bit one */
#define NUMBERS		1024	/* syscall numbers in `seen`, a power of two; larger ones go to `calls` */
#define SLOTS		4096	/* a power of two */
#define TASKS		12288	/* with SLOTS, at most 16384 tasks are recorded at a time */
#define CALLS		2048
#define DENIALS		1024
#define MAX_VALUES	64	/* of one argument of one syscall */
#define LISTED		64	/* tids in an element of `listed`, a power of two */
#define NAMESPACES	512	/* elements of `namespaces` that begin_foreign looks at */
#define EVENT_BYTES	(256 << 10)	/* a multiple of every page size */
#define EVENTS_SPARE	(16 << 10)	/* more than all CPUs write there at a time */
#define COMM_LEN	16	/* TASK_COMM_LEN, include/linux/sched.h */
#define EEXIST		17
#define ENOSYS		38
#define SIGSYS		31
#define NO_SYSCALL	0xffffffff	/* the number that a tracer writes to have a call skipped */
#define NO_INDEX	0xffffffff	/* of no array */
/* Signals whose default action leaves the task alive: SIGCHLD to SIGURG (17 to 23) and SIGWINCH (28) (signal(7)). */
#define SIGNALS_SURVIVED (0x7fU << 17 | 1U << 28)

enum task_flag {
	TASK_COUNTED = 1,	/* it has been seen; if it leads its process, that is in `processes` */
	TASK_INSIDE = 2,	/* in `run`: it has entered a syscall and not returned */
	TASK_DENIED = 4,	/* `last` holds what it was last denied */
	TASK_HELD = 8,		/* `held` holds a denial that is not counted yet */
	TASK_ENDING = 16,	/* a signal is about to end it */
	TASK_JOINED = 32,	/* it ran already; what it returns from may not have been seen to begin */
	TASK_OUTSIDE = 64,	/* in a `watch` of all tasks: born of the machine's pid namespace, with no exec since then */
};

/* How a program for sys_enter finds out whether a call is a 32-bit one. */
enum abi_source {
	ABI_UNKNOWN,		/* it does not: every call counts as the kernel's own */
	ABI_READ,		/* bpf_probe_read_kernel() at the place that compat_source names */
	ABI_DIRECT,		/* on x86-64 with BTF: a plain load from task_struct */
};

/* What became of a call. A later event may change what was noted first. */
enum denial_kind {
	/* May become DENIAL_KILLED, DENIAL_TRAPPED or DENIAL_UNANSWERED: */
	DENIAL_RETURNED,	/* it returned `result` without having been entered */
	DENIAL_TRACED,		/* the same once a recorded task has called ptrace: a tracer may have done it */
	/* May become DENIAL_KILLED or DENIAL_TRAPPED: */
	DENIAL_VSYSCALL,	/* made through the vsyscall page; the filter's answer is unknown */
	/* Final: */
	DENIAL_LOGGED,
	DENIAL_ENDED,		/* the task ended on the spot */
	DENIAL_KILLED,		/* SIGSYS ended the process */
	DENIAL_TRAPPED,		/* a handler for SIGSYS ran */
	DENIAL_UNANSWERED,	/* a signal ended the task in the kernel, perhaps before a filter was asked */
	/* None of a call; in `events` only: */
	NEWS_JOINED,		/* a process that ran already is watched from now on */
	NEWS_GONE,		/* perhaps nothing of a group lives any more */
};

/* Where a 32-bit call shows. */
enum compat_source {
	COMPAT_NONE,		/* nowhere: there are none, or kernel memory cannot be read */
	COMPAT_TASK,		/* in task_struct */
	COMPAT_REGS,		/* in pt_regs */
};

struct config {
	__u64 ns_dev;		/* the pid namespace of armed_tgid: device of /proc/self/ns/pid */
	__u64 ns_ino;		/* the same: inode */
	__u32 armed_tgid;	/* the process whose next exec starts the recording; 0: none */
	__u32 compat_source;	/* enum compat_source */
	__u32 compat_offset;	/* bytes into task_struct or pt_regs */
	__u32 compat_mask;	/* the bits of the __u32 there that mark a 32-bit call */
	__u32 statistics;	/* not 0: count every call, in `calls` */
	__u32 number_offset;	/* bytes into pt_regs: the number of a syscall that returns */
	__u32 original_offset;	/* bytes into pt_regs: what syscall_rollback() makes a call return; on x86 its number */
	__u32 emulated_offset;	/* bytes into task_struct: a __u32 that shows PTRACE_SYSEMU */
	__u32 emulated_mask;	/* its bits that are set while a tracer makes the task's calls itself */
	__u32 ptrace_nr;	/* the number of ptrace(2); in `run` */
	__u32 returned;		/* DENIAL_RETURNED, and DENIAL_TRACED once a recorded task has called ptrace */
	__u32 marked;		/* not 0: an entry of `logged` (`run`) or `watched` (`record`) is set */
	__u64 scope_dev;	/* join_pidns: device of the pid namespace whose tasks are recorded, as ns_dev */
	__u64 scope_ino;	/* the same: inode */
	__u64 scope_comm[2];	/* list_named: the name, COMM_LEN bytes, those behind its end 0 */
	__u32 own_tgid;		/* the process that reads this, which never joins */
	__u32 joining;		/* not 0: tasks that run already join, those `listed` and those that join_ programs tell */
	__u32 everyone;		/* not 0: all that run_enter and run_exit are run for join */
	__u32 filter_offset;	/* bytes into task_struct: a __u32 that shows whether the task is under a filter */
	__u32 filter_mask;	/* its bit that does; 0: it is not known where */
	__u32 namespaces;	/* how many elements of `namespaces` begin_foreign looks at */
	__u32 foreign;		/* enum foreign */
	__u32 parent_offset;	/* bytes into task_struct: its real_parent; 0: neither this nor what follows is known */
	__u32 tgid_offset;	/* bytes into task_struct: its tgid */
	__u32 nsproxy_offset;	/* bytes into task_struct: its struct nsproxy */
	__u32 mounts_offset;	/* bytes into struct nsproxy: the mount namespace */
	__u32 inode_offset;	/* bytes into struct mnt_namespace: its inode, a __u32 */
	__u32 pid_offset;	/* bytes into task_struct: its struct pid */
	__u32 level_offset;	/* bytes into struct pid: how deep its pid namespace is, a __u32 */
	__u32 numbers_offset;	/* bytes into struct pid: its struct upid in the initial namespace, then in the next */
	__u32 leader_offset;	/* bytes into task_struct: its group_leader */
	__u32 flags_offset;	/* bytes into task_struct: its flags (PF_), a __u32 */
	__u32 cred_offset;	/* bytes into task_struct: its struct cred */
	__u32 user_offset;	/* bytes into struct cred: the user namespace */
	__u32 owner_offset;	/* bytes into struct user_namespace: the uid of who has made it, a __u32 */
	__u32 others_taken;	/* groups given to programs in user namespaces of others than root, of no known pid namespace */
	__u32 others_returned;	/* how many of them do not count any more; user space raises it */
	__u32 others_most;	/* how many may count at a time */
	__u32 unused;
};

/* Which programs begin_foreign puts into groups. */
enum foreign {
	FOREIGN_NONE,
	FOREIGN_KNOWN,		/* those that start in a pid namespace which is in `namespaces` */
	FOREIGN_ALL,
};

struct counters {
	__u64 followed;		/* tasks recorded so far */
	__u64 processes;	/* processes among them that have made a call */
	__u64 tasks_lost;	/* tasks that `tasks` had no room for, or that could not be removed */
	__u64 reads_lost;	/* calls of which something could not be read from kernel memory */
	__u64 denials_lost;	/* denials that `denials` or `events` had no room for */
	__u64 groups_lost;	/* programs that should be in a group, and are in none */
};

struct call_key {
	__u32 table;		/* group * ABIS + abi */
	__u32 nr;
};

struct call {
	__u64 first_ns;		/* bpf_ktime_get_ns() */
	__u64 count;
	__u32 tgid;		/* of the task that made it first */
	char comm[COMM_LEN];	/* of the same */
	__u32 unused;		/* padding, named so that it is initialised */
};

/* An argument whose values are noted: up to MAX_VALUES of them. */
struct watch {
	__u32 place;		/* 1 + bytes into pt_regs; 0: no argument of this syscall is watched */
	__u32 count;		/* its entries in `values`; above MAX_VALUES: some values are missing */
};

struct value_key {
	__u32 table;		/* group * ABIS + abi */
	__u32 nr;
	__u32 value;
};

/* A call that was denied, and how. */
struct outcome {
	__u32 abi;
	__u32 nr;
	__s32 result;		/* what it returned; 0 if it did not */
	__u32 kind;		/* enum denial_kind */
};

/* Denials that agree in all of this are counted together. */
struct denial_key {
	struct outcome outcome;
	char comm[COMM_LEN];
	__u32 origin;		/* tgid of the ancestor that joined or, later, began a container; 0 in `run` */
	__u32 group;		/* below the max_entries of `groups` */
	__u32 since;		/* when that was, of a process that began it: another may have its tgid later; see now() */
};

struct denial {
	struct denial_key key;
	__u32 tgid;		/* of the task that was denied it first */
	__u32 tid;		/* of the same */
	__u32 unused;		/* padding, named so that it is initialised */
	__u64 count;
};

struct task {
	__u32 flags;		/* enum task_flag */
	__u32 entered;		/* in `run`: the number of its last call that was let pass, at first its parent's */
	struct denial_key last;	/* with TASK_DENIED: what it was last denied */
	__u32 unused;		/* padding, named since 32-bit x86 aligns a __u64 to 4 bytes */
	__u64 repeats;		/* of `last`, that are not in `denials` yet */
	__u64 instruction;	/* of its last denial: the word after the number in pt_regs, on x86-64 that is ip */
	__u64 regs;		/* in `run`: its pt_regs, at a fixed place of its kernel stack; 0: not known yet */
	struct outcome held;	/* with TASK_HELD: what follows may still change its kind */
};

struct slot {
	__u64 count;		/* recorded tasks whose address has this hash */
	__u64 owner;		/* the address of one of them; 0: none */
	struct task state;	/* of the owner */
};

/* 0 -> struct config: the settings. The programs change armed_tgid, `joining`, `returned`, others_taken. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct config));	/* BTF of its fields would take 1,000 bytes */
} config SEC(".maps");

/* 0 -> struct counters: what has happened so far. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct counters);
} counters SEC(".maps");

/*
 * Tasks whose calls are noted together. There is one, 0, unless begin_foreign is loaded: then user space sets
 * max_entries of what is there for each, and 0 is for what nobody asks for.
 */
struct group {
	__u64 alive;		/* tasks of it that have not ended */
	__u32 dropped;		/* not 0: what its tasks start is not recorded */
	__u32 calls_lost;	/* calls of it that `calls` had no room for */
};

/* Number of a group -> struct group. User space may set max_entries. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct group);
} groups SEC(".maps");

/* No key; the numbers of groups that have no tasks. User space puts them in, and may set max_entries. */
struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, 1);
	__uint(value_size, sizeof(__u32));
} free_groups SEC(".maps");

struct namespace {
	__u64 dev;		/* of a pid namespace, as ns_dev */
	__u64 ino;		/* the same: inode; 0: none */
	__u32 serial;		/* which no other element has ever had; 0: it is not recorded */
	__u32 unused;
};

/* Any index -> struct namespace: those that user space knows. It may set max_entries, up to NAMESPACES. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct namespace);
} namespaces SEC(".maps");

/*
 * (group * ABIS + abi) * NUMBERS + syscall number -> bpf_ktime_get_ns() of its first call; 0: not made yet. User space
 * may set max_entries.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, ABIS * NUMBERS);
	__type(key, __u32);
	__type(value, __u64);
} seen SEC(".maps");

/*
 * (table, number) -> struct call: numbers from NUMBERS on always, all others if `statistics` is set. User space may set
 * max_entries.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CALLS);
	__type(key, struct call_key);
	__type(value, struct call);
} calls SEC(".maps");

/* As of `seen` -> struct watch: which argument of it is watched. User space may set max_entries. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, ABIS * NUMBERS);
	__type(key, __u32);
	__type(value, struct watch);
} watched SEC(".maps");

/* (table, number, value of the watched argument) -> nothing. User space sets max_entries if an argument is watched. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct value_key);
	__type(value, __u32);
} values SEC(".maps");

/* abi * NUMBERS + syscall number -> not 0: the filter logs the call and lets it pass. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, ABIS * NUMBERS);
	__type(key, __u32);
	__type(value, __u64);
} logged SEC(".maps");

/* struct denial_key -> struct denial: who was denied this first, how often it was. User space may set max_entries. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, DENIALS);
	__type(key, struct denial_key);
	__type(value, struct denial);
} denials SEC(".maps");

/* A program that has started in another pid namespace than the machine's. What is not known is 0. */
struct start {
	__u32 tgid;
	__u32 group;		/* 0: none was left, and it is not recorded */
	__u32 index;		/* in `namespaces`, or NO_INDEX */
	__u32 serial;		/* the one there */
	__u32 inner_pid;	/* its tid in its own pid namespace */
	__u32 parent;		/* tgid */
	__u32 mounts;		/* inode of its mount namespace */
	__u32 is_others;	/* not 0: it counts in others_taken */
	char comm[COMM_LEN];
};

/* No key; each struct denial that is new in `denials`, and each struct start, which wakes user space. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, EVENT_BYTES);
} events SEC(".maps");

struct listed {
	__u8 tids[LISTED];	/* at tid % LISTED: enum mark */
};

/* tid / LISTED, as the initial pid namespace counts -> struct listed. User space sets max_entries if tasks are to join. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct listed);
} listed SEC(".maps");

/* User space sets MARK_LISTED, and a task that joins MARK_JOINED; its end clears it. */
enum mark { MARK_NONE, MARK_LISTED, MARK_JOINED };

enum program { ENTER, RUN_EXIT, JOIN_ENTER, JOIN_SCOPE };	/* ENTER: one whose name begins with enter_, or run_enter */

/* enum program -> that program, to which others hand on. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 4);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} programs SEC(".maps");

/*
 * 0 -> the control group (v2) whose tasks are recorded. User space makes it a BPF_MAP_TYPE_CGROUP_ARRAY where it loads
 * join_group: a kernel without control groups has no such maps.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} control_group SEC(".maps");

/*
 * slot_index() of a task_struct address -> struct slot. It spares most tasks a look-up in a hash map. follow() raises
 * `count` before a child can run: where it is 0 no recorded task belongs.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, SLOTS);
	__type(key, __u32);
	__type(value, struct slot);
} slots SEC(".maps");

/* Index of a slot -> the address of its owner. A task becomes the owner by an insert here: only one CPU can succeed. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SLOTS);
	__type(key, __u32);
	__type(value, __u64);
} owners SEC(".maps");

/* task_struct address -> struct task: the recorded tasks whose slot has another owner. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TASKS);
	__type(key, __u64);
	__type(value, struct task);
} tasks SEC(".maps");

static __always_inline struct counters *get_counters(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&counters, &zero);
}

#define COUNT(field, n) do {						\
	struct counters *_c = get_counters();				\
	if (_c)								\
		__sync_fetch_and_add(&_c->field, n);			\
} while (0)

/*
 * The number of a call through x86-64's vsyscall page, by its place among the three that the page holds. The kernel
 * makes it in a page fault, after the filter, without sys_enter and sys_exit (arch/x86/entry/vsyscall/vsyscall_64.c).
 */
static __always_inline __u32 vsyscall_number(__u32 index)
{
	switch (index) {
	case 0:
		return 96;	/* gettimeofday */
	case 1:
		return 201;	/* time */
	case 2:
		return 309;	/* getcpu */
	default:
		return NO_SYSCALL;
	}
}

/* Cannot fail where there is a current task (kernel/bpf/helpers.c): there is one in each of these programs. */
#define get_comm(to) bpf_get_current_comm(to, COMM_LEN)

/* Has another program take this one's place. The kernel's interpreter gives that one the stack of the first, and from Linux
 * 6.9 on (011832b97b31) no more of it than the first needs itself: so it needs all, and nothing behind this what is there.
 */
static __always_inline void hand_on(void *ctx, __u32 next)
{
#ifdef __bpf__	/* other compilers are asked for the structs' layouts */
	asm volatile("*(u64 *)(r10 - 512) = %0" : : "r"(0ULL) : "memory");
#endif
	bpf_tail_call(ctx, &programs, next);
}

/* 0, or a negative errno. */
#define read_kernel(to, address) bpf_probe_read_kernel(&(to), sizeof(to), (void *)(unsigned long)(address))

static __always_inline __u32 slot_index(__u64 task)
{
	/* A task_struct is aligned to 64 bytes, and a slab of them often to 2^15: both ranges of bits count. */
	return ((task >> 6) ^ (task >> 18)) & (SLOTS - 1);
}

static __always_inline __u32 is_leader(void)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();

	return (__u32)pid_tgid == pid_tgid >> 32;
}

/* The state of a task; 0 if it is not recorded. */
static __always_inline struct task *find_task(__u64 task)
{
	__u32 index = slot_index(task);
	struct slot *slot = bpf_map_lookup_elem(&slots, &index);

	if (!slot || !slot->count)
		return 0;
	if (slot->owner == task)
		return &slot->state;
	return bpf_map_lookup_elem(&tasks, &task);
}

/* The state of the current task; 0 if it is not recorded. Counts its process the first time. */
static __always_inline struct task *find_current(__u64 task)
{
	struct task *state = find_task(task);

	if (state && !(state->flags & TASK_COUNTED)) {
		state->flags |= TASK_COUNTED;
		if (is_leader())
			COUNT(processes, 1);
	}
	return state;
}

/* The time in units of about a millisecond. */
static __always_inline __u32 now(void)
{
	return bpf_ktime_get_ns() >> 20;
}

/*
 * Record a task that does not run yet, or the current one. `entered` is the number of the call that it returns from,
 * `origin` and `since` of its denials; `flags` is added to its own. Gives its state; 0 if there is no room, or nobody asks
 * for it.
 */
static __always_inline struct task *follow(__u64 task, __u32 entered, __u32 origin, __u32 since, __u32 group, __u32 flags)
{
	__u32 index = slot_index(task);
	struct slot *slot = bpf_map_lookup_elem(&slots, &index);
	struct group *members = bpf_map_lookup_elem(&groups, &group);
	struct counters *count = get_counters();
	struct task *state;

	if (!slot || !members || members->dropped || !count)
		return 0;
	state = &slot->state;
	if (bpf_map_update_elem(&owners, &index, &task, BPF_NOEXIST)) {
		/* What stands in the slot is as good as any: all that is looked at before it is written is set below. */
		bpf_map_update_elem(&tasks, &task, state, BPF_ANY);
		state = bpf_map_lookup_elem(&tasks, &task);
		if (!state) {
			__sync_fetch_and_add(&count->tasks_lost, 1);
			return 0;
		}
	}
	/* It returns from a fork or an exec, or from what it was in, without having entered it while it was recorded. */
	state->flags = TASK_INSIDE | flags;
	state->entered = entered;
	state->last.origin = origin;
	state->last.since = since;
	state->last.group = group;
	state->repeats = 0;
	state->regs = 0;
	if (state == &slot->state)
		slot->owner = task;
	__sync_fetch_and_add(&slot->count, 1);
	__sync_fetch_and_add(&members->alive, 1);
	__sync_fetch_and_add(&count->followed, 1);
	return state;
}

/*
 * Where `events` is full it fails, and nothing is lost by that: user space is awake then, and what a process belongs to
 * it finds in /proc as long as that lives.
 */
static __always_inline void send_news(__u32 kind, __u32 tgid)
{
	struct denial_key news = { .outcome.kind = kind, .origin = tgid };

	bpf_ringbuf_output(&events, &news, sizeof(news), 0);
}

/* The place in `listed` of a task. */
static __always_inline __u8 *find_mark(__u32 tid)
{
	__u32 index = tid / LISTED;
	struct listed *part = bpf_map_lookup_elem(&listed, &index);

	return part ? &part->tids[tid % LISTED] : 0;
}

/* The same of the current task. */
static __always_inline __u8 *find_listed(void)
{
	return find_mark(bpf_get_current_pid_tgid());
}

/* The current task has another tid now: what it is listed as goes with it, and not to the next task of the old one. */
static __always_inline void move_mark(__u32 old_tid)
{
	__u8 *from = find_mark(old_tid), *to = find_listed();

	if (from && to) {
		*to = *from;
		*from = MARK_NONE;
	}
}

static __always_inline __u32 is_listed(void)
{
	const __u8 *mark = find_listed();

	return mark && *mark;
}

/*
 * Record the current task, which ran already, unless it is user space's own. What it does first, a return perhaps, says
 * nothing of what it did before. Gives its state, or 0.
 */
static __always_inline struct task *join(const struct config *conf, __u64 task)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	__u8 *mark = find_listed();
	__u32 since = 0;

	if (tgid == conf->own_tgid)
		return 0;
	if (mark)
		*mark = MARK_JOINED;
	if (is_leader()) {
		COUNT(processes, 1);
		since = now();
	}
	return follow(task, NO_SYSCALL, tgid, since, 0, TASK_JOINED | TASK_COUNTED);
}

/* The calling convention of the current syscall: below ABIS. */
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

/* The same for ABI_DIRECT: takes a fourth of the time, and kernel lockdown permits it. */
static __always_inline __u32 abi_of_task(void)
{
	const char *task = (const char *)bpf_get_current_task_btf();

	return !!(*(const __u32 *)(task + X86_STATUS_OFFSET) & X86_TS_COMPAT);
}

/* Where the calls of a task are noted. */
static __always_inline __u32 table_of(const struct task *state, __u32 abi)
{
	return state->last.group * ABIS + abi;
}

/* Count a call in `calls`. */
static __always_inline void count_call(__u32 table, __u32 nr)
{
	struct call_key key = { .table = table, .nr = nr };
	struct call *call = bpf_map_lookup_elem(&calls, &key);
	struct group *group;

	if (!call) {
		struct call first = { .first_ns = bpf_ktime_get_ns(), .tgid = bpf_get_current_pid_tgid() >> 32 };

		get_comm(first.comm);
		/* This fails where another CPU has been faster, too: the look-up decides. */
		bpf_map_update_elem(&calls, &key, &first, BPF_NOEXIST);
		call = bpf_map_lookup_elem(&calls, &key);
		if (!call) {
			table /= ABIS;
			group = bpf_map_lookup_elem(&groups, &table);
			if (group)
				__sync_fetch_and_add(&group->calls_lost, 1);
			return;
		}
	}
	__sync_fetch_and_add(&call->count, 1);
}

/* Note the value of the argument that is watched, if one is: the lower 32 bits of its register. */
static __always_inline void note_value(__u32 index, __u64 regs)
{
	struct value_key key = { .table = index / NUMBERS, .nr = index % NUMBERS };
	struct watch *watch = bpf_map_lookup_elem(&watched, &index);
	__u32 nothing = 0;
	__s64 error;

	if (!watch || !watch->place || watch->count > MAX_VALUES)
		return;
	error = read_kernel(key.value, regs + watch->place - 1);
	if (!error && bpf_map_lookup_elem(&values, &key))
		return;
	if (!error)
		error = bpf_map_update_elem(&values, &key, &nothing, BPF_NOEXIST);
	/* EEXIST: another CPU was faster. After any other failure the values are not all there. */
	if (error != -EEXIST)
		__sync_fetch_and_add(&watch->count, error ? MAX_VALUES + 1 : 1);
}

static __always_inline void note_call(const struct config *conf, const struct task *state, __u64 regs, __u32 nr,
				      enum abi_source source)
{
	__u32 abi = 0, table, index;
	__u64 *first_ns;

	if (source == ABI_READ)
		abi = abi_of(conf, regs);
	else if (source == ABI_DIRECT)
		abi = abi_of_task();
	table = table_of(state, abi);
	if (nr < NUMBERS) {
		index = table * NUMBERS + nr;
		/* Before `seen`: a call that shows there has a value. */
		if (source == ABI_READ && conf->marked)
			note_value(index, regs);
		first_ns = bpf_map_lookup_elem(&seen, &index);
		if (first_ns && !*first_ns)
			*first_ns = bpf_ktime_get_ns();
		if (!conf->statistics)
			return;
	}
	count_call(table, nr);
}

static __always_inline int enter(struct bpf_raw_tracepoint_args *ctx, enum abi_source source)
{
	__u32 zero = 0;
	struct config *conf = bpf_map_lookup_elem(&config, &zero);
	struct task *state = find_current(bpf_get_current_task());

	if (!conf)
		return 0;
	if (!state) {
		if (conf->joining && is_listed())
			hand_on(ctx, JOIN_ENTER);
		return 0;
	}
	if (state->flags & TASK_JOINED)
		state->flags &= ~TASK_JOINED;
	note_call(conf, state, ctx->args[0], ctx->args[1], source);
	return 0;
}

/* For `record`. User space loads one of the three that begin with enter_. */
SEC("raw_tp/sys_enter")
int enter_direct(struct bpf_raw_tracepoint_args *ctx)
{
	return enter(ctx, ABI_DIRECT);
}

/* The only one of them that notes values. */
SEC("raw_tp/sys_enter")
int enter_abis(struct bpf_raw_tracepoint_args *ctx)
{
	return enter(ctx, ABI_READ);
}

/*
 * For kernels without 32-bit calls, and for lockdown=confidentiality without BTF: that refuses every program that calls
 * bpf_probe_read_kernel().
 */
SEC("raw_tp/sys_enter")
int enter_plain(struct bpf_raw_tracepoint_args *ctx)
{
	return enter(ctx, ABI_UNKNOWN);
}

/* Is the current task in the pid namespace that is recorded or, where none is, listed? */
static __always_inline __u32 is_in_scope(const struct config *conf)
{
	struct bpf_pidns_info ns;

	/* Only of its active one: a process that enters another's (setns(2)) to start a child there is none of it. */
	if (conf->scope_ino)
		return !bpf_get_ns_current_pid_tgid(conf->scope_dev, conf->scope_ino, &ns, sizeof(ns));
	return is_listed();
}

static __always_inline int join_if_in(__u32 by_group)
{
	__u64 task = bpf_get_current_task();
	__u32 zero = 0;
	struct config *conf = bpf_map_lookup_elem(&config, &zero);

	if (conf && conf->joining && !find_task(task) &&
	    (by_group ? bpf_current_task_under_cgroup(&control_group, 0) == 1 : is_in_scope(conf)))
		join(conf, task);
	return 0;
}

/* Programs that let the current task join, at whatever tracepoints user space attaches them to. */
SEC("raw_tp/sys_exit")
int join_scope(struct bpf_raw_tracepoint_args *ctx)
{
	return join_if_in(0);
}

/* How deep the pid namespace of a task is, and the address of its struct pid. */
static __always_inline __u32 level_of(const struct config *conf, __u64 task, unsigned long *pid)
{
	__u32 level = 0;

	if (!read_kernel(*pid, task + conf->pid_offset))
		read_kernel(level, *pid + conf->level_offset);
	return level;
}

#define PF_FORKNOEXEC	0x40	/* include/linux/sched.h */

/*
 * Is the current task a container runtime's, which has entered a pid namespace to start a program there? Its process
 * has executed nothing itself, and its parent is in an outer namespace.
 */
static __always_inline __u32 is_runtimes(const struct config *conf, __u64 task)
{
	unsigned long address = 0;
	__u32 flags = 0;

	if (read_kernel(address, task + conf->leader_offset) || read_kernel(flags, address + conf->flags_offset) ||
	    !(flags & PF_FORKNOEXEC) || read_kernel(address, task + conf->parent_offset))
		return 0;
	return level_of(conf, address, &address) < level_of(conf, task, &address);
}

/* In the place of join_scope where kernel memory can be read: what a runtime does before its exec is no container's. */
SEC("raw_tp/sys_exit")
int join_inside(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 zero = 0;
	const struct config *conf = bpf_map_lookup_elem(&config, &zero);

	if (conf && !is_runtimes(conf, bpf_get_current_task()))
		hand_on(ctx, JOIN_SCOPE);
	return 0;
}

/* Of a control group and those below it. */
SEC("raw_tp/sys_exit")
int join_group(struct bpf_raw_tracepoint_args *ctx)
{
	return join_if_in(1);
}

/* For `record`, while tasks join: what one returns from, which was not recorded when it began, is a call of its own. */
SEC("raw_tp/sys_exit")
int note_return(struct bpf_raw_tracepoint_args *ctx)
{
	struct task *state = find_task(bpf_get_current_task());
	__u32 zero = 0;
	__u64 number = 0;
	struct config *conf = bpf_map_lookup_elem(&config, &zero);

	if (!state || !conf || !(state->flags & TASK_JOINED))
		return 0;
	state->flags &= ~TASK_JOINED;
	if (read_kernel(number, ctx->args[0] + conf->number_offset))
		COUNT(reads_lost, 1);
	else if ((__u32)number != NO_SYSCALL)
		note_call(conf, state, ctx->args[0], number, ABI_READ);
	return 0;
}

/* Add the repeats of a task's last denial to `denials`. */
static __always_inline void flush_repeats(struct task *state)
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

static __always_inline __u32 is_same(const struct outcome *one, const struct outcome *other)
{
	return one->nr == other->nr && one->result == other->result && one->kind == other->kind &&
	       one->abi == other->abi;
}

/* Count the denial that is held for the current task; the first of its kind goes to user space. */
static __always_inline void count_held(struct task *state)
{
	struct denial first = { .count = 1 };
	struct denial *denial;
	__u64 pid_tgid;

	state->flags &= ~TASK_HELD;
	if ((state->flags & TASK_DENIED) && is_same(&state->last.outcome, &state->held)) {
		state->repeats++;
		return;
	}
	flush_repeats(state);
	state->flags |= TASK_DENIED;
	state->last.outcome = state->held;
	get_comm(state->last.comm);
	first.key = state->last;
	pid_tgid = bpf_get_current_pid_tgid();
	first.tgid = pid_tgid >> 32;
	first.tid = pid_tgid;
	if (!bpf_map_update_elem(&denials, &first.key, &first, BPF_NOEXIST)) {
		if (bpf_ringbuf_output(&events, &first, sizeof(first), 0))
			COUNT(denials_lost, 1);
		return;
	}
	/* It is there already, or there is no room. */
	denial = bpf_map_lookup_elem(&denials, &first.key);
	if (denial)
		__sync_fetch_and_add(&denial->count, 1);
	else
		COUNT(denials_lost, 1);
}

/* Hold a denial until a later event of the task has settled its kind. */
static __always_inline void hold_denial(struct task *state, __u32 abi, __u32 nr, __s32 result, __u32 kind)
{
	state->held.abi = abi;
	state->held.nr = nr;
	state->held.result = result;
	state->held.kind = kind;
	state->flags |= TASK_HELD;
}

/* Count what was held before, then what is held now. A loop, so that the object holds count_held() once per program. */
#define EACH_HELD _Pragma("clang loop unroll(disable)") for (__u32 round = 0; round < 2; round++)

/* Seccomp acts before sys_enter, so a filter has let pass what the current task enters. */
static __always_inline int enter_call(struct bpf_raw_tracepoint_args *ctx, struct config *conf, struct task *state)
{
	__u32 nr = ctx->args[1], abi = 0, index, is_logged = 0;
	__u64 *mark;

	state->flags = (state->flags | TASK_INSIDE) & ~TASK_ENDING;
	state->regs = ctx->args[0];
	state->entered = nr;
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
			count_held(state);
		if (!is_logged)
			break;
		hold_denial(state, abi, nr, 0, DENIAL_LOGGED);
		is_logged = 0;
	}
	return 0;
}

/* A call that the current task returns from without having entered it was stopped by a filter or a tracer. */
static __always_inline int leave_call(struct bpf_raw_tracepoint_args *ctx, struct config *conf, struct task *state)
{
	__u64 words[2] = {};	/* the number, and the word after it */
	__u32 nr, forked_in = NO_SYSCALL, rollback = 0, emulated = 0, filtered = 0;
	__s32 result = ctx->args[1];
	const struct outcome *last;

	if (state->flags & TASK_INSIDE) {
		state->flags &= ~TASK_INSIDE;
		if (state->regs || state->entered == NO_SYSCALL)
			return 0;
		/* A child returns from fork here, but for ARM (ret_from_fork): this is its first call. */
		forked_in = state->entered;
		state->regs = ctx->args[0];
	}
	if (read_kernel(words, ctx->args[0] + conf->number_offset))
		goto lost;
	nr = words[0];
	if (nr == NO_SYSCALL || nr == forked_in)
		return 0;
	last = &state->last.outcome;
	/* The same instruction makes the same call in the same ABI: a repeat spares the reads below. */
	if ((state->flags & (TASK_DENIED | TASK_HELD)) == TASK_DENIED && state->instruction == words[1] &&
	    last->nr == nr && last->result == result && last->kind == conf->returned) {
		state->repeats++;
		return 0;
	}
	state->instruction = words[1];
	if (read_kernel(rollback, ctx->args[0] + conf->original_offset) ||
	    read_kernel(emulated, bpf_get_current_task() + conf->emulated_offset) ||
	    read_kernel(filtered, bpf_get_current_task() + conf->filter_offset))
		goto lost;
	if ((emulated & conf->emulated_mask) || (conf->filter_mask && !(filtered & conf->filter_mask)))
		return 0;
	EACH_HELD {
		if (state->flags & TASK_HELD)
			count_held(state);
		if (round)
			break;
		hold_denial(state, abi_of(conf, ctx->args[0]), nr, result, conf->returned);
		/*
		 * It stays held if more may come. A call that a filter kills or traps returns what syscall_rollback()
		 * has set, and SIGSYS follows. A task that dies while its tracer stops it, before the filter is asked,
		 * returns ENOSYS, as there is no answer yet; on ARM its number is gone.
		 */
		if (result == (__s32)rollback || result == -ENOSYS)
			break;
	}
	return 0;
lost:
	COUNT(reads_lost, 1);
	return 0;
}

/* Does the current task, which is not recorded, belong? In a `watch` of all tasks each that comes here does. */
static __always_inline __u32 is_to_join(const struct config *conf)
{
	return conf->joining && (conf->everyone || is_listed());
}

/* Let it join; in a `watch` of all tasks its process is told. */
static __always_inline struct task *join_here(const struct config *conf, __u64 task)
{
	struct task *state = join(conf, task);

	if (state && conf->everyone && is_leader())
		send_news(NEWS_JOINED, state->last.origin);
	return state;
}

/* For `run` and `watch`. */
SEC("raw_tp/sys_enter")
int run_enter(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 zero = 0;
	struct config *conf = bpf_map_lookup_elem(&config, &zero);
	struct task *state = find_current(bpf_get_current_task());

	if (state && conf)
		return enter_call(ctx, conf, state);
	if (conf && is_to_join(conf))
		hand_on(ctx, JOIN_ENTER);
	return 0;
}

SEC("raw_tp/sys_exit")
int run_exit(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 task = bpf_get_current_task();
	struct task *state = find_current(task);
	__u32 zero = 0;
	struct config *conf = bpf_map_lookup_elem(&config, &zero);

	if (!conf)
		return 0;
	if (!state && is_to_join(conf))
		state = join_here(conf, task);
	return state ? leave_call(ctx, conf, state) : 0;
}

/* To it the programs at sys_enter hand on a task that is to join, and it hands that back. */
SEC("raw_tp/sys_enter")
int join_enter(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 zero = 0;
	struct config *conf = bpf_map_lookup_elem(&config, &zero);

	if (conf && join_here(conf, bpf_get_current_task()))
		hand_on(ctx, ENTER);
	return 0;
}

/* thread_info.syscall_work and SYSCALL_WORK_SECCOMP, since Linux 5.11 (include/linux/thread_info.h) */
#define X86_WORK_OFFSET		8
#define X86_WORK_SECCOMP	1

/* Is the current task under a filter? ABI_DIRECT is for x86-64 with BTF. */
static __always_inline __u32 is_filtered(enum abi_source source)
{
	__u32 zero = 0, word = 0;
	const struct config *conf;
	const char *task;

	if (source == ABI_DIRECT) {
		task = (const char *)bpf_get_current_task_btf();
		return *(const __u64 *)(task + X86_WORK_OFFSET) & X86_WORK_SECCOMP;
	}
	conf = bpf_map_lookup_elem(&config, &zero);
	if (!conf)
		return 0;
	if (read_kernel(word, bpf_get_current_task() + conf->filter_offset))
		COUNT(reads_lost, 1);
	return word & conf->filter_mask;
}

static __always_inline int go_on(struct bpf_raw_tracepoint_args *ctx, enum abi_source source, __u32 next)
{
	if (is_filtered(source))
		hand_on(ctx, next);
	return 0;
}

/* For `watch`: most tasks are under no filter, and pay for no more than this look. User space loads one pair. */
SEC("raw_tp/sys_enter")
int watch_enter_direct(struct bpf_raw_tracepoint_args *ctx)
{
	return go_on(ctx, ABI_DIRECT, ENTER);
}

SEC("raw_tp/sys_exit")
int watch_exit_direct(struct bpf_raw_tracepoint_args *ctx)
{
	return go_on(ctx, ABI_DIRECT, RUN_EXIT);
}

SEC("raw_tp/sys_enter")
int watch_enter(struct bpf_raw_tracepoint_args *ctx)
{
	return go_on(ctx, ABI_READ, ENTER);
}

SEC("raw_tp/sys_exit")
int watch_exit(struct bpf_raw_tracepoint_args *ctx)
{
	return go_on(ctx, ABI_READ, RUN_EXIT);
}

/* TP_PROTO(int sig, struct kernel_siginfo *info, struct k_sigaction *ka); SIGKILL comes here, too. */
SEC("raw_tp/signal_deliver")
int run_signal(struct bpf_raw_tracepoint_args *ctx)
{
	struct task *state = find_task(bpf_get_current_task());
	__u32 signum = ctx->args[0];
	__u64 handler = 0;	/* struct k_sigaction begins with sa_handler; SIG_DFL is 0 */

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
 * The address of a task_struct as bpf_get_current_task() gives it, from a tracepoint's argument. A 32-bit kernel
 * sign-extends the former to 64 bits (kernel/trace/bpf_trace.c) but not the latter (include/trace/bpf_probe.h). On a
 * 64-bit kernel no address is below 2^32.
 */
static __always_inline __u64 task_of(__u64 argument)
{
	return argument >> 32 ? argument : (__u64)(__s64)(__s32)argument;
}

/* Is the current task in the machine's pid namespace (ns_dev and ns_ino)? */
static __always_inline __u32 is_in_machines(const struct config *conf)
{
	struct bpf_pidns_info ns;

	return !bpf_get_ns_current_pid_tgid(conf->ns_dev, conf->ns_ino, &ns, sizeof(ns));
}

/* TP_PROTO(struct task_struct *parent, struct task_struct *child); the child cannot run yet. */
SEC("raw_tp/sched_process_fork")
int task_fork(struct bpf_raw_tracepoint_args *ctx)
{
	struct task *state = find_current(bpf_get_current_task());
	__u32 zero = 0, flags;
	const struct config *conf = bpf_map_lookup_elem(&config, &zero);

	if (!state || !conf)
		return 0;
	flags = state->flags & TASK_OUTSIDE;
	if (conf->everyone && is_in_machines(conf))
		flags = TASK_OUTSIDE;
	follow(task_of(ctx->args[1]), state->entered, state->last.origin, state->last.since, state->last.group, flags);
	return 0;
}

/* TP_PROTO(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm); the exec has succeeded. */
SEC("raw_tp/sched_process_exec")
int task_exec(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 task = bpf_get_current_task();
	struct task *state;
	struct bpf_pidns_info ns;
	__u32 zero = 0, inside;
	struct config *conf = bpf_map_lookup_elem(&config, &zero);

	if (!conf)
		return 0;
	inside = !bpf_get_ns_current_pid_tgid(conf->ns_dev, conf->ns_ino, &ns, sizeof(ns));
	if (inside && conf->armed_tgid && ns.tgid == conf->armed_tgid) {
		conf->armed_tgid = 0;
		if (conf->scope_ino)
			conf->joining = 1;	/* to a container */
		follow(task, NO_SYSCALL, 0, 0, 0, 0);
		return 0;
	}
	state = find_current(task);
	/* A thread that execs takes the id of its leader, which has ended and taken its process out of the count. */
	if ((__u32)ctx->args[1] != (__u32)bpf_get_current_pid_tgid()) {
		if (conf->joining)
			move_mark(ctx->args[1]);
		if (state)
			COUNT(processes, 1);
	}
	if (!state)
		return 0;
	/* A container's first program: what descends from it is no longer of who has started it. */
	if ((state->flags & TASK_OUTSIDE) && !inside) {
		flush_repeats(state);
		state->last.origin = bpf_get_current_pid_tgid() >> 32;
		state->last.since = now();
		send_news(NEWS_JOINED, state->last.origin);
	}
	/* It has another name from now on, so that no denial repeats the last one. */
	state->flags &= ~(TASK_OUTSIDE | TASK_DENIED);
	return 0;
}

/* TP_PROTO as of task_exec, after which it has to be attached: that may move the mark of the current task's old tid. */
SEC("raw_tp/sched_process_exec")
int list_named(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 zero = 0;
	const struct config *conf = bpf_map_lookup_elem(&config, &zero);
	__u8 *mark = find_listed();
	__u64 comm[2] = {};	/* not all kernels clear what is behind the end */

	get_comm(comm);
	if (conf && mark && *mark == MARK_NONE && comm[0] == conf->scope_comm[0] && comm[1] == conf->scope_comm[1])
		*mark = MARK_LISTED;
	return 0;
}

#define UPID_BYTES	16	/* of struct upid, include/linux/pid.h: an int and a pointer */

/* Note what tells of the current task once it is gone. Give whether its parent is in the same pid namespace. */
static __always_inline __u32 describe_current(const struct config *conf, struct start *start)
{
	__u64 task = bpf_get_current_task();
	unsigned long parent = 0, address = 0;
	__u32 level;

	start->tgid = bpf_get_current_pid_tgid() >> 32;
	get_comm(start->comm);
	if (!conf->parent_offset)
		return 0;
	if (!read_kernel(address, task + conf->nsproxy_offset) &&
	    !read_kernel(address, address + conf->mounts_offset))
		read_kernel(start->mounts, address + conf->inode_offset);
	level = level_of(conf, task, &address);
	read_kernel(start->inner_pid, address + conf->numbers_offset + level * UPID_BYTES);
	if (read_kernel(parent, task + conf->parent_offset))
		return 0;
	read_kernel(start->parent, parent + conf->tgid_offset);
	return level == level_of(conf, parent, &address);
}

/* The uid of who has made the user namespace of the current task; its own where that is not known. */
static __always_inline __u32 owner_of_current(const struct config *conf)
{
	unsigned long address = 0;
	__u32 uid = bpf_get_current_uid_gid();

	if (conf->parent_offset && !read_kernel(address, bpf_get_current_task() + conf->cred_offset) &&
	    !read_kernel(address, address + conf->user_offset))
		read_kernel(uid, address + conf->owner_offset);
	return uid;
}

/* The index in `namespaces` of the current task's active one, or NO_INDEX. */
static __always_inline __u32 find_namespace(const struct config *conf)
{
	struct bpf_pidns_info ns;
	struct namespace *each;
	__u32 index;

	_Pragma("clang loop unroll(disable)")
	for (__u32 i = 0; i < NAMESPACES; i++) {
		index = i;
		each = i < conf->namespaces ? bpf_map_lookup_elem(&namespaces, &index) : 0;
		if (!each)
			break;
		if (each->ino && !bpf_get_ns_current_pid_tgid(each->dev, each->ino, &ns, sizeof(ns)))
			return i;
	}
	return NO_INDEX;
}

/*
 * TP_PROTO as of task_exec. A program starts in another pid namespace than the machine's (ns_dev and ns_ino), and
 * nobody recorded has started it: this is a container's first program, or one that is started in it from outside. What
 * the container runtime itself did before comes before the exec. What it starts in there meanwhile are its hooks.
 */
SEC("raw_tp/sched_process_exec")
int begin_foreign(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 task = bpf_get_current_task();
	struct start start = { .index = NO_INDEX };
	const struct namespace *known;
	__u32 zero = 0;
	struct config *conf = bpf_map_lookup_elem(&config, &zero);

	if (!conf || !conf->foreign || find_task(task) || is_in_machines(conf))
		return 0;
	start.index = find_namespace(conf);
	known = bpf_map_lookup_elem(&namespaces, &start.index);
	if (known ? !known->serial : conf->foreign != FOREIGN_ALL)
		return 0;
	if (describe_current(conf, &start) && start.inner_pid > 1)
		return 0;
	if (known)
		start.serial = known->serial;
	else
		start.is_others = owner_of_current(conf);
	/* Where `events` is full user space would not know of the group, and never give it back. */
	if (bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) < EVENT_BYTES - EVENTS_SPARE &&
	    !(start.is_others && conf->others_taken - conf->others_returned >= conf->others_most) &&
	    !bpf_map_pop_elem(&free_groups, &start.group) &&
	    !follow(task, NO_SYSCALL, start.tgid, 0, start.group, TASK_COUNTED)) {
		bpf_map_push_elem(&free_groups, &start.group, 0);
		start.group = 0;
	}
	if (start.group) {
		COUNT(processes, 1);
		if (start.is_others)
			__sync_fetch_and_add(&conf->others_taken, 1);
	} else {
		COUNT(groups_lost, 1);
	}
	if (bpf_ringbuf_output(&events, &start, sizeof(start), 0) && start.group)
		COUNT(groups_lost, 1);
	return 0;
}

/* Forget the current task, which ends. */
static __always_inline void leave(__u64 task, struct task *state, struct group *members)
{
	__u32 was_counted = (state->flags & TASK_COUNTED) && is_leader(), index = slot_index(task);
	struct slot *slot = bpf_map_lookup_elem(&slots, &index);
	struct counters *count = get_counters();
	__s64 error;

	if (!slot || !count)
		return;
	/* Another task will have this address, and must not pass for a recorded one. */
	if (slot->owner == task) {
		slot->owner = 0;
		error = bpf_map_delete_elem(&owners, &index);
	} else {
		error = bpf_map_delete_elem(&tasks, &task);
	}
	if (error)
		__sync_fetch_and_add(&count->tasks_lost, 1);
	__sync_fetch_and_add(&slot->count, -1);
	if (was_counted)
		__sync_fetch_and_add(&count->processes, -1);
	__sync_fetch_and_add(&members->alive, -1);
}

/* Forget the current task, which ends, and that it is listed: another will have its tid. Tell if it was the last. */
static __always_inline void depart(const struct config *conf, __u64 task, struct task *state)
{
	__u32 number = state ? state->last.group : 0;
	struct group *members = bpf_map_lookup_elem(&groups, &number);
	__u8 *mark = conf->joining ? find_listed() : 0;

	if (!members || (!state && !(mark && *mark)))
		return;
	if (state)
		leave(task, state, members);
	else
		COUNT(followed, 1);	/* it has done nothing else */
	if (mark)
		*mark = MARK_NONE;
	if (!members->alive && (conf->joining || conf->foreign))
		send_news(NEWS_GONE, 0);
}

/*
 * To keep the object small, each of the following programs serves two tracepoints: sched_process_exit,
 * TP_PROTO(struct task_struct *p), where p is the current task, and emulate_vsyscall, TP_PROTO(int nr), which comes
 * before the filter is asked. A number is no task's address.
 */
static __always_inline __u32 is_exit(struct bpf_raw_tracepoint_args *ctx, __u64 task)
{
	return (__u32)ctx->args[0] == (__u32)task;
}

/* For `record`. */
SEC("raw_tp/sched_process_exit")
int task_exit(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 task = bpf_get_current_task();
	struct task *state = find_task(task);
	__u32 zero = 0, nr = vsyscall_number(ctx->args[0]);
	struct config *conf = bpf_map_lookup_elem(&config, &zero);

	if (!conf || !(state || conf->joining))
		return 0;
	if (!is_exit(ctx, task)) {
		if (state && nr != NO_SYSCALL)
			count_call(table_of(state, 0), nr);
		return 0;
	}
	depart(conf, task, state);
	return 0;
}

/*
 * For `run`. A task that ends outside any syscall, and not by a signal, has been killed by a filter on the spot: by
 * SECCOMP_RET_KILL_THREAD and, before Linux 5.16, by SECCOMP_RET_KILL_PROCESS.
 */
SEC("raw_tp/sched_process_exit")
int run_task_exit(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 task = bpf_get_current_task();
	struct task *state = find_task(task);
	__u32 zero = 0, nr = vsyscall_number(ctx->args[0]), kind = DENIAL_VSYSCALL;
	struct config *conf = bpf_map_lookup_elem(&config, &zero);

	if (!conf)
		return 0;
	if (!state) {
		if (conf->joining && is_exit(ctx, task))
			depart(conf, task, state);
		return 0;
	}
	if (is_exit(ctx, task)) {
		kind = DENIAL_ENDED;
		if ((state->flags & TASK_ENDING) && state->held.kind <= DENIAL_TRACED)
			state->held.kind = DENIAL_UNANSWERED;
		if (state->regs && !(state->flags & (TASK_INSIDE | TASK_ENDING)) &&
		    read_kernel(nr, state->regs + conf->number_offset))
			COUNT(reads_lost, 1);
		/* The vsyscall that is held and the one that ended the task are the same. */
		if (nr != NO_SYSCALL && state->held.kind == DENIAL_VSYSCALL)
			state->flags &= ~TASK_HELD;
	}
	EACH_HELD {
		if (state->flags & TASK_HELD)
			count_held(state);
		if (nr == NO_SYSCALL)
			break;
		hold_denial(state, abi_of(conf, state->regs), nr, 0, kind);
		if (kind == DENIAL_VSYSCALL)
			return 0;
		nr = NO_SYSCALL;
	}
	if (!is_exit(ctx, task))
		return 0;
	flush_repeats(state);
	depart(conf, task, state);
	return 0;
}

char _license[] SEC("license") = "Dual MIT/GPL";
