/* The launcher's unpacking as a loop for tests. An input is a payload, whose size and checksum are set right first, so
 * that damage gets as far as possible. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define PROGRAM "test"
#define BUILD "0"
#define main launcher_main
#define payload (*test_payload)
#define payload_end (*test_payload_end)

/* The program is unpacked into memory of exactly its size, where the sanitizer sees what goes beyond. */
#define mmap(address, size, protection, flags, fd, offset) (calloc(1, size) ?: MAP_FAILED)
#define munmap(address, size) (free(address), 0)

#undef _GNU_SOURCE /* launcher.c has it, too */
#include "launcher.c"

#undef main

const struct header *test_payload;
const char (*test_payload_end)[];

#include "loop.h"

static int loop_child(void)
{
	struct header *h = (void *)loop_input;
	struct rlimit most = {1 << 24, 1 << 24};

	if (loop_size < sizeof(*h))
		return 127;
	h->size = loop_size;
	CrcGenerateTable();
	h->checksum = CrcCalc(CHECKED(h), CHECKED_SIZE(h));
	test_payload = h;
	test_payload_end = (const void *)(loop_input + loop_size);
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &most);
	return unpack(syscall(SYS_memfd_create, "test", 0)) ? 0 : 127;
}

int main(void) { return loop(); }
