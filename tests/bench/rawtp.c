// SPDX-License-Identifier: MIT
// rawtp attach OBJECT   attach the programs of OBJECT, print "ready", detach when standard input ends
// rawtp count           print how many raw tracepoint programs are attached on this machine, whoever did it

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <err.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void attach(const char *path)
{
	struct bpf_object *object = bpf_object__open(path);
	struct bpf_program *program;
	char byte;

	if (!object || bpf_object__load(object))
		err(2, "loading %s", path);
	bpf_object__for_each_program(program, object)
		if (!bpf_program__attach(program))
			err(2, "attaching %s", bpf_program__name(program));
	puts("ready");
	fflush(stdout);
	// The links end with this process, however it ends; nothing is pinned.
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
}

static void count(void)
{
	unsigned int id = 0, found = 0;

	while (!bpf_link_get_next_id(id, &id)) {
		struct bpf_link_info info = {0};
		__u32 size = sizeof(info);
		int fd = bpf_link_get_fd_by_id(id);

		if (fd < 0)
			continue; // gone since its id was read
		if (!bpf_obj_get_info_by_fd(fd, &info, &size) && info.type == BPF_LINK_TYPE_RAW_TRACEPOINT)
			found++;
		close(fd);
	}
	printf("%u\n", found);
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "attach"))
		attach(argv[2]);
	else if (argc == 2 && !strcmp(argv[1], "count"))
		count();
	else
		errx(2, "usage: rawtp attach OBJECT | rawtp count");
	return 0;
}
