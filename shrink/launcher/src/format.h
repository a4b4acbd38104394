/* The format that pack.c writes and launcher.c reads: a header, the list of parts, and the parts' packed bytes,
 * in this order. All numbers are little-endian, like every target. */
#ifndef FORMAT_H
#define FORMAT_H

#include <stdint.h>

/* How to convert a part's bytes after LZMA. */
enum filter {
	FILTER_NONE,
	FILTER_TABLE, /* Go's function table by columns: table.h */
	/* Code, with 7-Zip's filter for the processor, which makes the targets of calls absolute. */
	FILTER_X86,
	FILTER_ARM64,
	FILTER_ARM,
	FILTER_THUMB,
	/* Code of a Go program, filtered with the help of its function table: code.h */
	FILTER_GO_X86,
	FILTER_GO_ARM64,
	FILTER_GO_ARM,
	/* Go's pc tables, predicted from the code and the function table, and not packed by LZMA: pcs.h */
	FILTER_PCS_X86,
	FILTER_PCS_ARM64,
	FILTER_PCS_ARM,
	FILTERS,
};

struct part {
	uint32_t offset; /* of the part in the program's file */
	uint32_t size;
	uint32_t packed;    /* its packed size */
	uint32_t functions; /* number of functions in the table, or in the table for this Go code */
	uint32_t other;     /* offset of that table */
	uint32_t constants; /* for Go code on ARM: number of words of constants at its end; for pc tables: offset of the code */
	uint8_t properties; /* LZMA's lc, lp and pb in its usual form */
	uint8_t filter;
	uint8_t short_records; /* 1 if the functions' records are short */
	uint8_t unused;
};

#define MAGIC "mt-packed-1\n"

struct header {
	char magic[12];
	uint32_t checksum; /* CRC-32 of everything that follows */
	uint32_t size;     /* of everything, including this header */
	uint32_t program;  /* size of the program's file; bytes outside of all parts are zeros */
	uint32_t parts;
	struct part part[];
};

/* The part of the payload that the checksum covers. */
#define CHECKED(h) (&(h)->size)
#define CHECKED_SIZE(h) ((h)->size - (sizeof((h)->magic) + sizeof((h)->checksum)))

#endif
