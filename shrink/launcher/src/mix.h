/* A coder for single bits. It predicts each bit from several contexts, like paq: the bits that a context has seen so far
 * give a probability, and contexts that predict well get more weight. This compresses better than LZMA, but takes longer
 * for each bit.
 *
 * Packing and unpacking share the code and only use integers, so they predict the same on every machine. */
#ifndef MIX_H
#define MIX_H

#include <stdint.h>

enum {
	MIX_CONTEXTS = 3, /* for each bit */
	MIX_SETS = 80,	  /* of weights, one for each kind of bit */
	MIX_SLOTS = 17,	  /* bits of a context's index in its table */
	MIX_LEVELS = 4,	  /* of weights, by how much a context has seen */
	MIX_UNIT = 256,	  /* the number 1 in logarithms of odds */
	MIX_SURE = 12,	  /* the largest logarithm */
	MIX_SEEN = 127,	  /* after this many bits, a context forgets old ones */
};

struct mix {
	/* For each context the probability of a 1, in 22 bits, and the number of bits that it has seen, in 10. */
	uint32_t slots[MIX_CONTEXTS][1 << MIX_SLOTS];
	int32_t weights[MIX_SETS][MIX_LEVELS][MIX_CONTEXTS]; /* 65536 is 1 */
	int16_t odds[4096]; /* the logarithm of the odds of a probability in 12 bits */
	uint16_t likelihood[2 * MIX_SURE * MIX_UNIT]; /* the reverse, in 16 bits */
	uint16_t rates[MIX_SEEN + 1];
	uint32_t low, high, value;
	unsigned char *at, *end;
	int packing;
	int failed;
};

static void mix_put(struct mix *m, uint32_t byte)
{
	if (m->at == m->end)
		m->failed = 1;
	else
		*m->at++ = byte;
}

/* Returns the next byte, and zeros after the end. */
static uint32_t mix_get(struct mix *m) { return m->at == m->end ? 0 : *m->at++; }

/* Begins to pack to a buffer, or to unpack from it. Sets every field, whatever the memory contained before. */
static void mix_begin(struct mix *m, unsigned char *bytes, uint32_t size, int packing)
{
	uint32_t i, k, next = 0, power = 1U << 31;

	/* One over e to the power of (i / MIX_UNIT), for each i */
	for (i = 0; i < MIX_SURE * MIX_UNIT; i++) {
		uint32_t likely = 0xffffffffU / (65536 + (power >> 15));
		m->likelihood[MIX_SURE * MIX_UNIT + i] = likely;
		m->likelihood[MIX_SURE * MIX_UNIT - i] = 65536 - likely;
		power = (uint64_t)power * 4278223024U >> 32;
	}
	m->likelihood[0] = 1; /* the loop above doesn't reach it, and 0 would be impossible */
	for (i = 0; i < 2 * MIX_SURE * MIX_UNIT; i++)
		while (next <= m->likelihood[i] >> 4)
			m->odds[next++] = i - MIX_SURE * MIX_UNIT;
	while (next < 4096)
		m->odds[next++] = MIX_SURE * MIX_UNIT - 1;
	for (i = 0; i <= MIX_SEEN; i++)
		m->rates[i] = 655360 / (10 * i + 16);
	for (i = 0; i < MIX_SETS * MIX_LEVELS; i++)
		for (k = 0; k < MIX_CONTEXTS; k++)
			m->weights[i / MIX_LEVELS][i % MIX_LEVELS][k] = 26214;
	for (k = 0; k < MIX_CONTEXTS; k++)
		for (i = 0; i < 1 << MIX_SLOTS; i++)
			m->slots[k][i] = 1U << 31;
	m->low = m->value = m->failed = 0;
	m->high = 0xffffffffU;
	m->at = bytes;
	m->end = bytes + size;
	m->packing = packing;
	for (i = 0; i < 4 && !packing; i++)
		m->value = m->value << 8 | mix_get(m);
}

/* Returns the index of a context in its table. */
static uint32_t mix_context(uint32_t a, uint32_t b, uint32_t c)
{
	uint32_t h = a * 0x9e3779b1U ^ b * 0x85ebca6bU ^ c * 0xc2b2ae35U;

	h = (h ^ h >> 15) * 0x2c1b3c6dU;
	return (h ^ h >> 13) >> (32 - MIX_SLOTS);
}

/* Packs a bit, or unpacks and returns one. */
static uint32_t mix_bit(struct mix *m, const uint32_t contexts[MIX_CONTEXTS], uint32_t set, uint32_t bit)
{
	uint32_t *slots[MIX_CONTEXTS], k, seen, middle;
	int32_t *weights[MIX_CONTEXTS], odds[MIX_CONTEXTS], likely, error;
	int64_t sum = 0;

	for (k = 0; k < MIX_CONTEXTS; k++) {
		slots[k] = &m->slots[k][contexts[k]];
		odds[k] = m->odds[*slots[k] >> 20];
		seen = *slots[k] & 1023;
		weights[k] = &m->weights[set][(seen > 0) + (seen > 3) + (seen > 20)][k];
		sum += (int64_t)*weights[k] * odds[k];
	}
	sum >>= 16;
	if (sum > MIX_SURE * MIX_UNIT - 1)
		sum = MIX_SURE * MIX_UNIT - 1;
	if (sum < 1 - MIX_SURE * MIX_UNIT)
		sum = 1 - MIX_SURE * MIX_UNIT;
	likely = m->likelihood[MIX_SURE * MIX_UNIT + sum];
	middle = m->low + ((uint64_t)(m->high - m->low) * likely >> 16);
	if (!m->packing)
		bit = m->value <= middle;
	if (bit)
		m->high = middle;
	else
		m->low = middle + 1;
	while (!((m->low ^ m->high) >> 24)) {
		if (m->packing)
			mix_put(m, m->high >> 24);
		else
			m->value = m->value << 8 | mix_get(m);
		m->low <<= 8;
		m->high = m->high << 8 | 255;
	}
	error = (int32_t)(bit << 16) - likely;
	for (k = 0; k < MIX_CONTEXTS; k++) {
		int32_t old = *slots[k] >> 10;
		seen = *slots[k] & 1023;
		*weights[k] += (odds[k] * error + (1 << 13)) >> 14;
		old += (int64_t)((int32_t)(bit * ((1 << 22) - 1)) - old) * m->rates[seen] >> 16;
		*slots[k] = (uint32_t)old << 10 | (seen < MIX_SEEN ? seen + 1 : seen);
	}
	return bit;
}

#ifdef PACKER
/* Ends packing. Returns the end of the packed bytes. */
static unsigned char *mix_end(struct mix *m)
{
	mix_put(m, m->high >> 24);
	return m->at;
}
#endif

#endif
