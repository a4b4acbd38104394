/* The launcher's unpacking as a loop for tests. An input is a payload, whose size and checksum are set right first, so
 * that damage gets as far as possible. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "7zCrc.h"

/* The exit code if unpacking takes more memory than it should. Sanitizers have 99. */
#define TOO_MUCH_MEMORY 98

#define PROGRAM "test"
#define BUILD "0"
#define main launcher_main
#define payload (*test_payload)
#define payload_end (*test_payload_end)

static size_t mapped, most_mapped;
static void *unpacked;

/* Maps memory of exactly the size, where the sanitizer notices what goes beyond. The file is empty. Other memory has bytes
 * that unpacking must not rely on. */
static void *test_map(size_t size, int flags)
{
	void *memory = malloc(size);
	if (!memory)
		return MAP_FAILED;
	memset(memory, flags & MAP_ANONYMOUS ? 0xa5 : 0, size);
	if (!(flags & MAP_ANONYMOUS))
		unpacked = memory;
	mapped += size;
	if (mapped > most_mapped)
		most_mapped = mapped;
	return memory;
}

/* Prints the checksum of the unpacked program. */
static int test_unmap(void *memory, size_t size)
{
	if (memory == unpacked)
		fprintf(stderr, "%08x\n", CrcCalc(memory, size));
	free(memory);
	mapped -= size;
	return 0;
}

#define mmap(address, size, protection, flags, fd, offset) test_map(size, flags)
#define munmap test_unmap

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
	if (!unpack(syscall(SYS_memfd_create, "test", 0)))
		return 127;
	size_t largest = 0;
	for (uint32_t i = 0; i < h->parts; i++)
		if (scratch_size(&h->part[i]) > largest)
			largest = scratch_size(&h->part[i]);
	/* Unpacking never holds the memory of two parts, and frees everything. */
	return mapped || most_mapped > h->program + largest ? TOO_MUCH_MEMORY : 0;
}

int main(void) { return loop(); }
