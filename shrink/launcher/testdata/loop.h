/* A loop for tests. Each input is handled by a child process, because the programs keep what they know in global variables
 * and exit when they are done. An input is its size, four bytes, and its content. The answer is one byte: the child's exit
 * code, or 128 and the signal that ended it. A line with a dot follows what the child prints.
 *
 * For an empty input the child reads a byte that isn't there, which shows that a sanitizer is looking. */
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static unsigned char *loop_input;
static uint32_t loop_size;

/* What a child does with loop_input. */
static int loop_child(void);

static int loop_read(void *to, size_t size)
{
	return fread(to, 1, size, stdin) == size;
}

static int loop(void)
{
	while (loop_read(&loop_size, sizeof(loop_size))) {
		int status;
		unsigned char answer;
		pid_t child;

		loop_input = malloc(loop_size); /* exactly: the byte behind it belongs to nobody */
		if (!loop_input || !loop_read(loop_input, loop_size))
			return 2;
		child = fork();
		if (!child) {
			setrlimit(RLIMIT_CPU, &(struct rlimit){60, 60}); /* for loops that don't end */
			exit(loop_size ? loop_child() : ((volatile unsigned char *)loop_input)[1]);
		}
		if (child < 0 || waitpid(child, &status, 0) < 0)
			return 2;
		free(loop_input);
		fputs("\n.\n", stderr);
		answer = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
		if (fwrite(&answer, 1, 1, stdout) != 1 || fflush(stdout))
			return 2;
	}
	return 0;
}
