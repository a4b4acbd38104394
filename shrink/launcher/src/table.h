/* Go's function table (functab and the functions' records, runtime.functab and runtime._func) takes a fifth of a
 * packed Go program. Its numbers compress far better by columns. Numbers that grow from function to function
 * compress better as the difference to the largest previous one.
 *
 * A table contains, for each function, its first instruction and the offset of its record; then the end of the last
 * function; then the records. A record has ten words, four bytes, the offsets of pc tables, and the offsets
 * of the function's data. A short record has four words before the four bytes, and lacks the second word of others. The
 * columns are in the order in which table_walk visits them.
 *
 * The same function packs and unpacks, so the two cannot differ. The packer reverses its output and compares. It
 * packs a table in another format without columns. */
#ifndef TABLE_H
#define TABLE_H

#include <stdint.h>
#include <string.h>

enum { MAX_COLUMNS = 256 };

/* Returns the size of a record without what follows the four bytes. The last byte is the number of the function's data. */
static uint32_t record_size(int short_records) { return short_records ? 20 : 44; }

/* Returns where in a record the number of pc tables is. */
static uint32_t record_tables(int short_records) { return short_records ? 18 : 28; }

/* Returns where the offset of the pc table with the sizes of frames is. */
static uint32_t record_frames(int short_records) { return short_records ? 12 : 16; }

struct table {
	unsigned char *rows;
	uint32_t size;
	uint32_t functions;
	uint32_t alignment; /* of records: the size of a pointer; of short ones: 4 */
	int short_records;
	unsigned char *columns;
	uint32_t used; /* bytes of columns so far */
	int packing;
	int failed;
};

#if defined(__arm__) && !defined(__ARM_FEATURE_UNALIGNED)
/* The processor only reads aligned words, and for others compilers would call memcpy each time. */
static uint32_t table_get(const unsigned char *p) { return p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24; }

static void table_put(unsigned char *p, uint32_t v)
{
	p[0] = v;
	p[1] = v >> 8;
	p[2] = v >> 16;
	p[3] = v >> 24;
}
#else
static uint32_t table_get(const unsigned char *p)
{
	uint32_t v;
	memcpy(&v, p, 4);
	return v;
}

static void table_put(unsigned char *p, uint32_t v) { memcpy(p, &v, 4); }
#endif

/* Converts a number. One that is larger than all before it is stored as the difference, in an even number. Others are
 * stored as they are, in an odd number. All ones means no data, and counts as the smallest. */
static void table_number(struct table *t, uint32_t row, uint32_t *largest)
{
	if (row > t->size - 4 || t->used > t->size - 4) {
		t->failed = 1;
		return;
	}
	unsigned char *number = t->rows + row, *column = t->columns + t->used;
	uint32_t v;
	t->used += 4;
	if (t->packing) {
		v = table_get(number) + 1;
		table_put(column, v > *largest ? (v - *largest) << 1 : v << 1 | 1);
	} else {
		v = table_get(column);
		v = v & 1 ? v >> 1 : *largest + (v >> 1);
		table_put(number, v - 1);
	}
	if (v > *largest)
		*largest = v;
}

static uint32_t table_align(const struct table *t, uint32_t at) { return (at + t->alignment - 1) & -t->alignment; }

/* Copies bytes unchanged. */
static void table_bytes(struct table *t, uint32_t row, uint32_t size)
{
	if (row > t->size - size || t->used > t->size - size) {
		t->failed = 1;
		return;
	}
	if (t->packing)
		memcpy(t->columns + t->used, t->rows + row, size);
	else
		memcpy(t->rows + row, t->columns + t->used, size);
	t->used += size;
}

/* Converts a table in either direction. Two bytes of each record come first, because they determine its size. */
static inline void table_walk(struct table *t)
{
	uint32_t size = record_size(t->short_records), tables = record_tables(t->short_records);
	uint32_t frames = record_frames(t->short_records);
	uint32_t at = table_align(t, t->functions * 8 + 4), largest = 0;
	uint32_t data[MAX_COLUMNS] = {0};
	uint32_t i, k;

	/* The sizes of the records, which give their offsets. */
	for (i = 0; i < t->functions; i++) {
		if (size > t->size || at > t->size - size || t->used > t->size - 8) {
			t->failed = 1;
			return;
		}
		unsigned char *counts = t->columns + t->used;
		t->used += 2;
		if (t->packing) {
			if (table_get(t->rows + i * 8 + 4) != at) {
				t->failed = 1;
				return;
			}
			counts[0] = t->rows[at + tables];
			counts[1] = t->rows[at + size - 1];
		} else {
			t->rows[at + tables] = counts[0];
			t->rows[at + size - 1] = counts[1];
			table_put(t->rows + i * 8 + 4, at);
		}
		at = table_align(t, at + size + 4 * (counts[0] + counts[1]));
	}
	for (i = 0; i <= t->functions; i++)
		table_number(t, i * 8, &largest);

	/* The rest of each record, one column after the other. The first word repeats the function's first
	 * instruction. */
	for (k = 1; k < size / 4; k++) {
		if (4 * k == frames || 4 * k == tables)
			continue;
		for (i = 0, largest = 0; i < t->functions && !t->failed; i++) {
			at = table_get(t->rows + i * 8 + 4);
			if (!t->short_records && (k == 1 || k == 5 || k == 6))
				table_number(t, at + 4 * k, &largest);
			else
				table_bytes(t, at + 4 * k, k < size / 4 - 1 ? 4 : t->short_records ? 2 : 3);
			if (!t->packing)
				table_put(t->rows + at, table_get(t->rows + i * 8));
		}
	}
	/* The offsets of the pc tables, one kind after the other, then each kind of data. */
	for (i = 0; i < t->functions && !t->failed; i++)
		table_bytes(t, table_get(t->rows + i * 8 + 4) + frames, 4);
	for (k = 0; k < MAX_COLUMNS; k++) {
		for (i = 0; i < t->functions && !t->failed; i++) {
			at = table_get(t->rows + i * 8 + 4);
			if (k < t->rows[at + tables])
				table_bytes(t, at + size + 4 * k, 4);
		}
	}
	for (k = 0; k < MAX_COLUMNS; k++) {
		for (i = 0; i < t->functions && !t->failed; i++) {
			at = table_get(t->rows + i * 8 + 4);
			if (k < t->rows[at + size - 1])
				table_number(t, at + size + 4 * (t->rows[at + tables] + k), &data[k]);
		}
	}
}

#endif
