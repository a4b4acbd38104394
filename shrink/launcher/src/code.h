/* A quarter of a Go program's packed code is distances: to calls, to data, to the constants after a function on
 * ARM. The distance to the same target differs from place to place, so LZMA does not recognize it. These filters
 * use the function table to make the distances alike: a call gets the function's number, a relative address becomes
 * absolute, and jumps to a function's beginning or end get values of their own.
 *
 * All changes are reversible, even for bytes that are not instructions. The bits that identify an instruction never
 * change, so packing and unpacking recognize the same ones.
 * The packer reverses its output and compares. */
#ifndef CODE_H
#define CODE_H

#include <stdint.h>
#include <string.h>

#include "table.h"

struct code {
	unsigned char *bytes;
	uint32_t size;
	uint32_t offset; /* of the code in the program's file. Its address in memory differs from this by whole pages */
	const unsigned char *table;
	uint32_t functions; /* in the table */
	/* ARM only: number of words with constants between instructions. In packed code they follow all instructions. */
	uint32_t constants;
	unsigned char *scratch; /* memory for the constants */
	int packing;
	int failed;
};

/* Returns the offset of a function in the code. For the number after the last function, the end of the last one. */
static uint32_t code_begin(const struct code *c, uint32_t function) { return table_get(c->table + 8 * function); }

/* Returns the end of a function, and the end of the code for the last one. Fails for a function outside of the code. */
static inline uint32_t code_end(struct code *c, uint32_t function)
{
	uint32_t begin = code_begin(c, function), end = function + 1 < c->functions ? code_begin(c, function + 1) : c->size;

	if (begin > end || end > c->size) {
		c->failed = 1;
		return 0;
	}
	return end;
}

/* Exchanges the beginning of a function, in units, and the function's number plus mark. */
static inline uint32_t code_call(const struct code *c, uint32_t target, uint32_t unit, uint32_t mark)
{
	uint32_t low = 0, high = c->functions, middle;

	if (target >= mark && target - mark < c->functions)
		return code_begin(c, target - mark) / unit;
	while (low < high) {
		middle = (low + high) / 2;
		if (code_begin(c, middle) / unit < target)
			low = middle + 1;
		else
			high = middle;
	}
	return low < c->functions && code_begin(c, low) / unit == target && target < mark ? mark + low : target;
}

static inline uint32_t code_exchange(uint32_t v, uint32_t one, uint32_t other) { return v == one ? other : v == other ? one : v; }

#if defined(PACKER) || defined(HAS_GO_ARM64)
enum { ARM64_PROLOGUE = 12 };

static void code_arm64(struct code *c)
{
	uint32_t words = c->size / 4, mark = 1 << 25, f, k, begin, end, w, v, ended;

	for (f = 0; f < c->functions && !c->failed; f++) {
		begin = code_begin(c, f) / 4;
		end = code_end(c, f) / 4;
		for (k = begin, ended = 0; k < end && k < words; k++) {
			w = table_get(c->bytes + 4 * k);
			if (w >> 26 == 0x25) { /* BL */
				v = w & 0x3ffffff;
				v = c->packing ? code_call(c, (v + k) & 0x3ffffff, 4, mark) : code_call(c, v, 4, mark) - k;
				w = (w & ~0x3ffffffU) | (v & 0x3ffffff);
			} else if (w >> 26 == 5) { /* B: most go back to the beginning after the stack has grown */
				w = (w & ~0x3ffffffU) | code_exchange(w & 0x3ffffff, (begin - k) & 0x3ffffff, mark);
			} else if (w >> 24 == 0x54 && !ended && k < begin + ARM64_PROLOGUE) { /* B.LS to the code that grows it */
				w = (w & 0xff00001f) | ((end - k - (w >> 5)) & 0x7ffff) << 5;
				ended = 1;
			} else if ((w & 0x9f000000) == 0x90000000) { /* ADRP */
				uint32_t page = (c->offset + 4 * k) >> 12;
				if (c->packing) {
					v = (((w >> 5 & 0x7ffff) << 2 | (w >> 29 & 3)) + page) & 0x1fffff;
					w = (w & 0x9f00001f) | (v >> 19) << 29 | (v & 0x7ffff) << 5;
				} else {
					v = ((w >> 29 & 3) << 19 | (w >> 5 & 0x7ffff)) - page;
					w = (w & 0x9f00001f) | (v & 3) << 29 | (v >> 2 & 0x7ffff) << 5;
				}
			}
			table_put(c->bytes + 4 * k, w);
		}
	}
}
#endif

#if defined(PACKER) || defined(HAS_GO_ARM)
enum { ARM_PROLOGUE = 8, ARM_MORE_STACK = 4 /* words to grow the stack */ };

/* Sets the distance, in words, of an instruction that loads a constant. Constants are in the order of their first
 * loads, so a load mostly refers to the next one. */
static uint32_t code_arm_load(uint32_t w, uint32_t distance)
{
	return (w & ~0xfffU) | (distance & 0x3ff) << 2;
}

static void code_arm(struct code *c)
{
	uint32_t words = c->size / 4, mark = 1 << 23, mask = (1 << 24) - 1;
	uint32_t from = 0, to = 0, moved = 0, f, k, begin, end;

	/* Packing moves the constants to scratch. Unpacking puts them back between the instructions. */
	if (!c->packing) {
		if (c->constants > words) {
			c->failed = 1;
			return;
		}
		if (c->constants) /* without any there is no scratch memory, and memcpy takes no null pointer */
			memcpy(c->scratch, c->bytes + 4 * (words - c->constants), 4 * c->constants);
		memmove(c->bytes + 4 * c->constants, c->bytes, 4 * (words - c->constants));
		from = c->constants;
	}
	for (f = 0, k = 0; f <= c->functions && !c->failed; f++) {
		/* The code before the first function and after the last one is converted, too. */
		begin = k;
		end = f < c->functions ? code_end(c, f) / 4 : words;
		uint32_t first = words, last = 0, expected = end, more = 0, ended = 0;
		for (; k < end; k++) {
			if (k >= first && k <= last) {
				if (!c->packing && moved == c->constants) {
					c->failed = 1;
					return;
				}
				if (c->packing)
					memcpy(c->scratch + 4 * moved, c->bytes + 4 * from++, 4);
				else
					memcpy(c->bytes + 4 * to++, c->scratch + 4 * moved, 4);
				moved++;
				continue;
			}
			if (from == words) {
				c->failed = 1;
				return;
			}
			uint32_t w = table_get(c->bytes + 4 * from++), v = w & mask, target;
			if (w >> 24 == 0xeb) { /* BL */
				v = c->packing ? code_call(c, (v + k + 2) & mask, 4, mark) : code_call(c, v, 4, mark) - k - 2;
				w = (w & ~mask) | (v & mask);
			} else if ((w >> 24 & 15) == 10 && w >> 28 < 14 && !ended && k < begin + ARM_PROLOGUE) {
				/* A conditional B to the code that grows the stack, before the constants */
				target = c->packing ? v : end - k - 2 - v;
				more = (target + k + 2) & mask;
				ended = 1;
				w = (w & ~mask) | ((end - k - 2 - v) & mask);
			} else if ((w >> 24 & 15) == 10 && w >> 28 < 15) { /* B */
				w = (w & ~mask) | code_exchange(v, (begin - k - 2) & mask, mark);
			} else if ((w & 0x0fff0003) == 0x059f0000) { /* LDR from a later address */
				v = w >> 2 & 0x3ff;
				if (first == words && ended)
					expected = more + ARM_MORE_STACK;
				if (c->packing) {
					target = k + 2 + v;
					v = (target - expected) & 0x3ff;
					w = code_arm_load(w, v < 0x200 ? v << 1 : (0x3ff - v) << 1 | 1);
				} else {
					v = v & 1 ? 0x3ff - (v >> 1) : v >> 1;
					v = (v + expected - k - 2) & 0x3ff;
					target = k + 2 + v;
					w = code_arm_load(w, v);
				}
				if (first == words || k > last)
					first = last = target; /* constants before this one were handled already */
				else if (target < first)
					first = target;
				else if (target > last)
					last = target;
				expected = last + 1;
			}
			table_put(c->bytes + 4 * to++, w);
		}
	}
	if (c->packing) {
		c->constants = moved;
		memcpy(c->bytes + 4 * to, c->scratch, 4 * moved);
	} else if (moved != c->constants) {
		c->failed = 1;
	}
}
#endif

#if defined(PACKER) || defined(HAS_GO_X86)
enum { X86_PROLOGUE = 20 };

static uint32_t code_swap_bytes(uint32_t v) { return v << 24 | (v & 0xff00) << 8 | (v >> 8 & 0xff00) | v >> 24; }

/* Returns the number of bytes before an instruction's ModRM byte, or 0 if this is unlikely to be an instruction. */
static uint32_t code_x86_opcode(const unsigned char *p)
{
	static const unsigned char one[] = {0x03, 0x39, 0x3b, 0x63, 0x80, 0x83, 0x89, 0x8b, 0x8d, 0xc6, 0xc7};

	/* MOVUPS, NOP, MOVAPS, MOVDQ, MOVZX, MOVSX */
	static const unsigned char two[] = {0x10, 0x11, 0x1f, 0x28, 0x29, 0x6f, 0x7f, 0xb6, 0xb7, 0xbe, 0xbf};

	if (*p == 0x0f)
		return memchr(two, p[1], sizeof(two)) ? 2 : 0;
	return memchr(one, *p, sizeof(one)) ? 1 : 0;
}

static void code_x86(struct code *c)
{
	uint32_t mark = 1 << 30, f, k, begin, end, v, next, opcode;

	for (f = 0; f < c->functions && !c->failed; f++) {
		int ended = 0;
		begin = code_begin(c, f);
		end = code_end(c, f);
		for (k = begin; k + 1 < end; k = next) {
			unsigned char *p = c->bytes + k;
			uint32_t room = end - k;
			next = k + 1;
			if (*p == 0xe8 && room >= 5) { /* CALL: LZMA does better with big-endian numbers */
				v = table_get(p + 1);
				if (code_swap_bytes(v) - mark < c->functions) {
					table_put(p + 1, code_begin(c, code_swap_bytes(v) - mark) - k - 5);
					next = k + 5;
				} else if (v + k + 5 < mark && code_call(c, v + k + 5, 1, mark) >= mark) {
					table_put(p + 1, code_swap_bytes(code_call(c, v + k + 5, 1, mark)));
					next = k + 5;
				}
			} else if (*p == 0xe9 && room >= 5) { /* JMP: most go back to the beginning after the stack has grown */
				v = code_exchange(table_get(p + 1), begin - k - 5, mark);
				if (v != table_get(p + 1))
					next = k + 5;
				table_put(p + 1, v);
			} else if (*p == 0xeb && k + 2 - begin <= 0x80) { /* the short form; there are none to the next instruction */
				v = code_exchange(p[1], (begin - k - 2) & 0xff, 0);
				if (v != p[1])
					next = k + 2;
				p[1] = v;
			} else if (*p == 0x0f && p[1] == 0x86 && room >= 6 && !ended && k < begin + X86_PROLOGUE) { /* JBE to there */
				table_put(p + 2, end - k - 6 - table_get(p + 2));
				ended = 1;
				next = k + 6;
			} else if (*p == 0x76 && !ended && k < begin + X86_PROLOGUE) {
				p[1] = end - k - 2 - p[1];
				ended = 1;
				next = k + 2;
			} else if ((opcode = code_x86_opcode(p)) && room >= opcode + 5 && (p[opcode] & 0xc7) == 5) {
				/* An address relative to the next instruction */
				p += opcode + 1;
				next = k + opcode + 5;
				if (c->packing)
					table_put(p, code_swap_bytes(table_get(p) + c->offset + next));
				else
					table_put(p, code_swap_bytes(table_get(p)) - c->offset - next);
			}
		}
	}
}
#endif

#endif
