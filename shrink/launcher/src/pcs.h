/* Go's pc tables (runtime.pctab) contain facts about parts of a function, such as the size of its frame and the
 * pointers in it. A table consists of pairs of variable-length numbers: the change of a value, and the distance to its
 * next change. A change of 0 ends the table, unless it is the first.
 *
 * Values change at certain instructions: at a call, after a return, where the stack grows. So the code predicts most of
 * a table. At every likely instruction of a function, one bit of mix.h says whether the value changes there, and
 * further bits say how.
 *
 * Tables are in the order of their functions, and functions with equal tables share them. The offsets in the functions'
 * records become 0 for no table, 1 for the next new table, or 1 more than the offset of an earlier one.
 *
 * The same function packs and unpacks. The packer reverses its output and compares. It packs tables in another format
 * unchanged. */
#ifndef PCS_H
#define PCS_H

#include <stdint.h>

#include "mix.h"
#include "table.h"

enum pcs_code { PCS_X86, PCS_ARM64, PCS_ARM };

enum {
	PCS_KINDS = 16,
	PCS_PLACES = 1 << 16,
	PCS_CREDIT = 16,
	/* The sets of weights. Those for the kinds of tables come first, then these, each for all kinds. */
	PCS_CHANGE = 16,
	PCS_KNOWN = 32,
	PCS_DISTANCE = 48,
	PCS_GUESSED = 64,
};

struct pcs_memory {
	struct mix mix;
	/* For each pair of instructions: how many more times a change is likely there. Each change adds to it. */
	int16_t credit[PCS_PLACES];
	uint32_t guesses[PCS_PLACES]; /* the last change in the same circumstances */
};

struct pcs {
	enum pcs_code kind;
	const unsigned char *code;
	uint32_t code_size;
	int short_records;
	unsigned char *table; /* the function table, whose records change */
	uint32_t table_size, functions;
	unsigned char *tables; /* the offsets in the records count from here */
	uint32_t size;
	uint32_t used; /* bytes of tables so far */
	struct pcs_memory *memory;
	int packing;
	int failed;
};

/* The position in a table and in its function. */
struct pcs_state {
	uint32_t kind;	     /* of the table */
	uint32_t begin, end; /* of the function's code, without the padding at its end */
	uint32_t grow;	     /* the code that grows the stack, or 0 */
	uint32_t at, since;  /* the position in the code, and where the value changed */
	uint32_t value, change, before; /* the value, its last change, and the one before */
};

static uint32_t pcs_unit(const struct pcs *p) { return p->kind == PCS_X86 ? 1 : 4; }

static uint32_t pcs_begin(const struct pcs *p, uint32_t function) { return table_get(p->table + 8 * function); }

/* Reports whether a function begins at an offset in the code. */
static int pcs_is_function(const struct pcs *p, uint32_t offset)
{
	uint32_t low = 0, high = p->functions, middle;

	while (low < high) {
		middle = (low + high) / 2;
		if (pcs_begin(p, middle) < offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low < p->functions && pcs_begin(p, low) == offset;
}

/* Returns four bytes of code, or 0 outside of it. */
static uint32_t pcs_word(const struct pcs *p, uint32_t offset) { return offset <= p->code_size - 4 ? table_get(p->code + offset) : 0; }

/* Returns where a function jumps to if its stack is too small, which it checks at its beginning. */
static uint32_t pcs_grow(const struct pcs *p, uint32_t begin, uint32_t end)
{
	enum { PROLOGUE = 20 };
	uint32_t at, unit = pcs_unit(p), w;

	for (at = begin; at < begin + PROLOGUE * unit && at < end; at += unit) {
		w = pcs_word(p, at);
		if (p->kind == PCS_X86 && (w & 0xff) == 0x76)
			return at + 2 + (int8_t)(w >> 8);
		if (p->kind == PCS_X86 && (w & 0xffff) == 0x860f)
			return at + 6 + pcs_word(p, at + 2);
		if (p->kind == PCS_ARM64 && w >> 24 == 0x54)
			return at + 4 * ((int32_t)(w << 8) >> 13);
		if (p->kind == PCS_ARM && (w >> 24 & 15) == 10 && w >> 28 < 14)
			return at + 8 + 4 * ((int32_t)(w << 8) >> 8);
	}
	return 0;
}

#ifdef PACKER
/* Reads the next variable-length number. */
static uint32_t pcs_read(struct pcs *p)
{
	uint32_t number = 0, shift, byte;

	for (shift = 0; shift < 35 && p->used < p->size; shift += 7) {
		byte = p->tables[p->used++];
		number |= (byte & 0x7f) << shift;
		if (byte < 0x80)
			return number;
	}
	p->failed = 1;
	return 0;
}
#endif

static void pcs_write(struct pcs *p, uint32_t number)
{
	for (; p->used < p->size; number >>= 7) {
		p->tables[p->used++] = number > 0x7f ? number | 0x80 : number;
		if (number <= 0x7f)
			return;
	}
	p->failed = 1;
}

/* Returns the size of a variable-length number. */
static uint32_t pcs_length(uint32_t number)
{
	uint32_t length = 1;

	for (; number > 0x7f; number >>= 7)
		length++;
	return length;
}

/* Packs or unpacks the next number, byte by byte. */
static uint32_t pcs_number(struct pcs *p, uint32_t set, uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint32_t e)
{
	uint32_t shift, last = 0, number = 0, k, node, base;

	for (shift = 0; shift < 35 && p->used < p->size; shift += 7) {
		for (k = 0, node = 1; k < 8; k++) {
			base = node | shift << 8 | set << 16 | last << 24;
			const uint32_t contexts[] = {mix_context(base, a, 0), mix_context(base, b, c), mix_context(base, d, e)};
			node = node << 1 | mix_bit(&p->memory->mix, contexts, set, p->tables[p->used] >> (7 - k) & 1);
		}
		last = node & 0xff;
		p->tables[p->used++] = last;
		number |= (last & 0x7f) << shift;
		if (last < 0x80)
			return number;
	}
	p->failed = 1;
	return 0;
}

/* Packs or unpacks the next change of the value. Mostly it is the last change in the same circumstances. */
static uint32_t pcs_change(struct pcs *p, const struct pcs_state *s, int first)
{
	uint32_t before = first ? 0 : pcs_word(p, s->at - 4), here = first ? 0 : pcs_word(p, s->at), number, *guess;

	here = s->at == s->end ? ~0U : p->kind == PCS_X86 ? here & 0xffff : here >> 20;
	here ^= (uint32_t)(s->at == s->grow) << 30;
	guess = &p->memory->guesses[mix_context(here, before, mix_context(s->kind, s->value, s->change)) & (PCS_PLACES - 1)];
	number = *guess;
#ifdef PACKER
	if (p->packing) {
		number = pcs_read(p);
		p->used -= pcs_length(number);
	}
#endif
	const uint32_t contexts[] = {mix_context(s->kind, here, *guess), mix_context(s->kind, before, *guess),
				     mix_context(s->value, s->change, s->kind << 24 ^ *guess)};
	if (mix_bit(&p->memory->mix, contexts, PCS_GUESSED | s->kind, number == *guess)) {
		if (p->packing)
			p->used += pcs_length(number);
		else
			pcs_write(p, number);
	} else {
		number = pcs_number(p, PCS_CHANGE | s->kind, before, here, s->value, s->change, s->before);
	}
	*guess = number;
	return number;
}

/* The code at one position. */
struct pcs_instructions {
	uint32_t here, before, whole; /* the kind of the instruction here and of the one before it, and the one here with operands */
	uint32_t set;
	int16_t *credit;
};

static struct pcs_instructions pcs_look(const struct pcs *p, const struct pcs_state *s)
{
	struct pcs_instructions l = {.before = pcs_word(p, s->at - 4), .here = pcs_word(p, s->at)};
	uint32_t pair;

	l.set = s->kind | (s->at == s->grow) << 4 | (s->at == s->end) << 5;
	if (s->at == s->end)
		l.here = 0;
	l.whole = l.here;
	switch (p->kind) {
	case PCS_X86:
		/* A call's distance to the same function differs at each position. */
		if ((l.here & 0xff) == 0xe8)
			l.here = 0xe8 | pcs_is_function(p, s->at + 5 + pcs_word(p, s->at + 1)) << 8;
		l.whole = l.here & 0xffffff;
		l.here &= 0xffff;
		l.before >>= 16;
		break;
	case PCS_ARM64:
		if (l.here >> 26 == 0x25)
			l.whole = 0x94000000 | ((l.here + s->at / 4) & 0x3ffffff);
		l.here >>= 21;
		l.before >>= 21;
		break;
	case PCS_ARM:
		if (l.here >> 24 == 0xeb)
			l.whole = 0xeb000000 | ((l.here + s->at / 4) & 0xffffff);
		l.here >>= 20;
		l.before >>= 20;
		break;
	}
	pair = mix_context(l.here, l.before, l.set);
	l.credit = &p->memory->credit[pair & (PCS_PLACES - 1)];
	return l;
}

/* Packs whether the value changes at a position, or unpacks and returns it. */
static uint32_t pcs_changes(struct pcs *p, const struct pcs_state *s, const struct pcs_instructions *l, uint32_t changes)
{
	uint32_t since = (s->at - s->since) / pcs_unit(p);
	const uint32_t contexts[] = {
		mix_context(p->kind == PCS_X86 ? l->whole : l->here, l->before, l->set | s->change << 8),
		mix_context(l->here, l->before, l->set | (since > 3 ? 3 : since) << 6 | s->value << 8),
		mix_context(l->whole, l->set | s->before << 8 | s->change << 16, since > 30 ? 30 : since)};

	return mix_bit(&p->memory->mix, contexts, s->kind, changes);
}

#ifdef PACKER
/* Reports whether the next change at a likely position can be at the given one. */
static int pcs_leads(const struct pcs *p, struct pcs_state s, uint32_t to)
{
	static int16_t asked[PCS_PLACES];
	int leads = 0;

	memcpy(asked, p->memory->credit, sizeof(asked));
	while (s.at < to) {
		s.at += pcs_unit(p);
		struct pcs_instructions l = pcs_look(p, &s);
		leads = *l.credit > 0;
		*l.credit -= leads;
	}
	memcpy(p->memory->credit, asked, sizeof(asked));
	return leads;
}
#endif

/* Moves to the next change of the value. If values have changed at such code before, one bit for each likely position
 * says whether it is there. Otherwise the distance is packed. */
static void pcs_step(struct pcs *p, struct pcs_state *s)
{
	uint32_t unit = pcs_unit(p), distance = 0, to = s->at, known = 0, changes = 0;
	struct pcs_instructions l;

#ifdef PACKER
	if (p->packing) {
		distance = pcs_read(p);
		p->used -= pcs_length(distance);
		to += unit * distance;
		if (to > p->code_size) {
			p->failed = 1;
			return;
		}
		known = pcs_leads(p, *s, to);
	}
#endif
	const uint32_t contexts[] = {mix_context(s->kind, s->change, 1), mix_context(s->kind, s->change, s->before),
				     mix_context(s->kind, s->value, 2)};
	known = mix_bit(&p->memory->mix, contexts, PCS_KNOWN | s->kind, known);
	if (known) {
		do {
			s->at += unit;
			if (s->at > p->code_size) {
				p->failed = 1;
				return;
			}
			l = pcs_look(p, s);
			if (*l.credit > 0) {
				changes = pcs_changes(p, s, &l, s->at == to);
				--*l.credit;
			}
		} while (!changes);
		if (p->packing)
			p->used += pcs_length(distance);
		else
			pcs_write(p, (s->at - s->since) / unit);
	} else {
		s->at += unit * pcs_number(p, PCS_DISTANCE | s->kind, s->change, s->change, s->before, s->value, 0);
		l = pcs_look(p, s);
	}
	if (*l.credit < 30000)
		*l.credit += PCS_CREDIT;
	s->since = s->at;
}

static void pcs_table(struct pcs *p, struct pcs_state s)
{
	uint32_t number;
	int first;

	s.at = s.since = s.begin;
	s.value = s.change = s.before = 0;
	for (first = 1; !p->failed; first = 0) {
		number = pcs_change(p, &s, first);
		if (!number && !first)
			return;
		s.before = s.change;
		s.change = number;
		s.value += (number >> 1) ^ -(number & 1);
		pcs_step(p, &s);
	}
}

/* Packs the tables to a buffer, or unpacks them from it. */
static void pcs_walk(struct pcs *p, unsigned char *packed, uint32_t packed_size)
{
	uint32_t function, kind, kinds, at, offset, size = record_size(p->short_records);
	uint32_t fixed = p->short_records ? 1 : 3; /* tables whose offsets are in the fixed part of a record */

	mix_begin(&p->memory->mix, packed, packed_size, p->packing);
	memset(p->memory->credit, 0, sizeof(p->memory->credit));
	memset(p->memory->guesses, 0, sizeof(p->memory->guesses));
	p->used = 1; /* 0 means no table */
	for (function = 0; function < p->functions && !p->failed; function++) {
		struct pcs_state s = {.begin = pcs_begin(p, function), .end = pcs_begin(p, function + 1)};
		at = table_get(p->table + 8 * function + 4);
		if (at > p->table_size - size || s.begin > s.end || s.end > p->code_size) {
			p->failed = 1;
			return;
		}
		s.grow = pcs_grow(p, s.begin, s.end);
		while (p->kind == PCS_X86 && s.end > s.begin && p->code[s.end - 1] == 0xcc)
			s.end--;
		kinds = fixed + p->table[at + record_tables(p->short_records)];
		if (kinds > PCS_KINDS || 4 * kinds > p->table_size - size - at + 4 * fixed) {
			p->failed = 1;
			return;
		}
		for (kind = 0; kind < kinds && !p->failed; kind++) {
			unsigned char *record = p->table + at + (kind < fixed ? record_frames(p->short_records) + 4 * kind : size + 4 * (kind - fixed));
			offset = table_get(record);
			if (!offset)
				continue;
			if (p->packing ? offset == p->used : offset == 1) {
				table_put(record, p->packing ? 1 : p->used);
				s.kind = kind;
				pcs_table(p, s);
			} else if (p->packing && offset > p->used) {
				p->failed = 1;
			} else {
				table_put(record, p->packing ? offset + 1 : offset - 1);
			}
		}
	}
}

#endif
