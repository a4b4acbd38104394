/* The packer as a loop for tests: it packs each input that it reads, and unpacks it again. */
#define main packer_main
#include "pack.c"
#undef main

#include "loop.h"

static int loop_child(void)
{
	program = loop_input;
	program_size = loop_size;
	read_program();
	pack_program();
	check();
	return 0;
}

int main(void) { return loop(); }
