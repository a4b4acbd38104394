/* The launcher starts a packed program. It unpacks the program into a file in memory and executes that file. If a
 * process of the same user already runs the same program, it executes that process's file instead, so that
 * nothing is unpacked twice and the processes share the memory.
 *
 * Executing replaces the launcher, so arguments, environment, process id, signals and exit code are the
 * program's own. It also closes everything that the launcher has opened.
 *
 * The build sets PROGRAM, the program's name, and BUILD, a checksum of the payload. The launcher reads
 * directories and file attributes with system calls, because the C library's functions for that are larger than
 * the rest of the launcher. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/stat.h>

#include "7zCrc.h"

#include "filters.h" /* from the packer */
#include "unpack.h"

#ifndef MFD_EXEC /* in kernels since 6.3 */
#define MFD_EXEC 0x0010U
#endif

#define NAME PROGRAM "-" BUILD

/* These seals keep the unpacked program from being changed. */
#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

extern const struct header payload __attribute__((visibility("hidden")));
extern const char payload_end[] __attribute__((visibility("hidden")));

static char *const *arguments, *const *environment;

static void say(const char *text) { syscall(SYS_write, 2, text, strlen(text)); }

/* Writes a number's decimal digits to a buffer, followed by a zero byte. */
static void put_number(char *to, unsigned number)
{
	unsigned length = 1, rest;

	for (rest = number; rest >= 10; rest /= 10)
		length++;
	for (to[length] = 0; length; number /= 10)
		to[--length] = '0' + number % 10;
}

/* Prints what failed, with the system's error if there is one, and exits. 127 is the exit code of shells for a
 * program that can't be started. */
_Noreturn static void fail(const char *what, int error)
{
	char number[12];

	say(PROGRAM ": cannot start: ");
	say(what);
	if (error) {
		say(error == ENOMEM || error == ENOSPC ? ": not enough memory" : error == EACCES || error == EPERM ? ": not permitted" : "");
		put_number(number, error);
		say(" (error ");
		say(number);
		say(")");
	}
	say("\n");
	_exit(127);
}

/* Writes the program to a new file. Returns 0 and sets errno if the system refuses. */
static int unpack(int fd)
{
	const struct part *parts = payload.part;
	const unsigned char *packed;
	unsigned char *program, *scratch;
	uint32_t i, rest, size;

	CrcGenerateTable();
	if ((uintptr_t)payload_end - (uintptr_t)&payload != payload.size ||
	    CrcCalc(CHECKED(&payload), CHECKED_SIZE(&payload)) != payload.checksum)
		fail("its file is damaged: the checksum is wrong", 0);
	if (payload.parts > (payload.size - sizeof(payload)) / sizeof(*parts))
		fail("its file is damaged: it cannot be unpacked", 0);
	packed = (const void *)(parts + payload.parts);
	rest = (const unsigned char *)payload_end - packed;
	if (ftruncate(fd, payload.program))
		return 0;
	/* Reserve the memory now: if it runs out here, the kernel returns an error. Later it would kill the process.
	 * The zeros between parts need no memory. */
	for (i = 0; i < payload.parts; rest -= parts[i++].packed) {
		if (!is_part(&parts[i], rest, payload.program))
			fail("its file is damaged: it cannot be unpacked", 0);
		if (fallocate(fd, 0, parts[i].offset, parts[i].size) && errno != EOPNOTSUPP)
			return 0;
	}
	program = mmap(NULL, payload.program, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (program == MAP_FAILED)
		return 0;
	for (i = 0; i < payload.parts; i++) {
		size = scratch_size(&parts[i]);
		scratch = NULL;
		if (size) {
			scratch = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
			if (scratch == MAP_FAILED)
				return 0;
		}
		if (!unpack_part(&parts[i], packed, program, payload.program, sizeof(void *), scratch))
			fail("its file is damaged: it cannot be unpacked", 0);
		packed += parts[i].packed;
		/* Parts need up to some megabytes each, so never hold the memory of two. */
		if (size && munmap(scratch, size))
			return 0;
	}
	return !munmap(program, payload.program);
}

/* Replaces this process with the program. Returns only on failure, with errno. */
static void execute(int fd)
{
	char path[32] = "/proc/self/fd/";

	syscall(SYS_execveat, fd, "", arguments, environment, AT_EMPTY_PATH);
	if (errno != ENOSYS)
		return;
	put_number(path + strlen(path), fd);
	execve(path, arguments, environment);
}

/* Reports whether an open file is this program, unpacked by this user and sealed. The name alone proves nothing,
 * because anyone can choose it. */
static int is_ours(int fd)
{
	struct statx s;

	return !syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_UID | STATX_SIZE, &s) && s.stx_uid == geteuid() &&
	       s.stx_size == payload.program && fcntl(fd, F_GET_SEALS) == SEALS;
}

/* Executes the file of a process that already runs the program. Returns if there is none. */
static void execute_running(void)
{
	static const char wanted[] = "/memfd:" NAME " (deleted)";
	struct entry {
		uint64_t inode, next;
		uint16_t length;
		uint8_t type;
		char name[];
	} *e;
	char entries[2048] __attribute__((aligned(8))), path[32] = "/proc/", found[sizeof(wanted)];
	int processes = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd;
	long size, at;

	if (processes < 0)
		return;
	while ((size = syscall(SYS_getdents64, processes, entries, sizeof(entries))) > 0) {
		for (at = 0; at < size; at += e->length) {
			e = (void *)(entries + at);
			if (e->name[0] < '1' || e->name[0] > '9')
				continue;
			strcpy(path + 6, e->name);
			strcat(path, "/exe");
			if (readlink(path, found, sizeof(found)) != sizeof(wanted) - 1 || memcmp(found, wanted, sizeof(wanted) - 1))
				continue;
			fd = open(path, O_RDONLY | O_CLOEXEC);
			if (fd < 0)
				continue; /* it has just exited */
			if (is_ours(fd))
				execute(fd);
			close(fd);
		}
	}
	close(processes);
}

/* Unpacks into a file in a directory, removes the file's name, and executes it. Returns only on
 * failure, with errno. */
static void execute_file(const char *directory)
{
	char path[80];
	int writer, reader = -1, error;

	strcpy(path, directory);
	strcat(path, "/." NAME "-");
	put_number(path + strlen(path), getpid());
	writer = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
	if (writer < 0)
		return;
	if (unpack(writer))
		reader = open(path, O_RDONLY | O_CLOEXEC);
	error = errno;
	unlink(path);
	close(writer); /* the kernel doesn't execute a file that is open for writing */
	errno = error;
	if (reader >= 0)
		execute(reader);
}

int main(int argc, char **argv, char **envp)
{
	int fd;

	(void)argc;
	arguments = argv;
	environment = envp;
	execute_running();

	fd = syscall(SYS_memfd_create, NAME, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
	if (fd < 0 && errno == EINVAL)
		fd = syscall(SYS_memfd_create, NAME, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd >= 0) {
		if (!unpack(fd))
			fail("unpacking", errno);
		fcntl(fd, F_ADD_SEALS, SEALS); /* an unsealed file is never shared */
		execute(fd);
		close(fd);
	}
	/* The kernel doesn't support files in memory, or doesn't execute them. /dev/shm and /run are usually in memory, too. */
	execute_file("/dev/shm");
	execute_file("/run");
	execute_file("/tmp");
	fail("neither a file in memory nor one in /dev/shm, /run or /tmp can be executed", errno);
}
