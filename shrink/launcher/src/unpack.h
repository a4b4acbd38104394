/* Unpacking. The launcher uses it, and the packer checks its own output with it. */
#ifndef UNPACK_H
#define UNPACK_H

#include "Bra.h"
#include "LzmaDec.h"

#include "code.h"
#include "format.h"
#if defined(PACKER) || defined(HAS_PCS)
#include "pcs.h"
#endif
#include "table.h"

/* The most memory that LZMA needs if lc + lp is at most 4. */
enum { STATE = (1984 + (0x300 << 4)) * sizeof(CLzmaProb) };

static void *state_allocate(ISzAllocPtr p, size_t size)
{
	static unsigned char state[STATE] __attribute__((aligned(16)));
	(void)p;
	return size <= sizeof(state) ? state : NULL;
}

static void state_release(ISzAllocPtr p, void *address)
{
	(void)p;
	(void)address;
}

/* Returns how many bytes of memory a part needs while it is unpacked. Their content doesn't matter. */
static uint32_t scratch_size(const struct part *p)
{
#if defined(PACKER) || defined(HAS_PCS)
	if (p->filter >= FILTER_PCS_X86)
		return sizeof(struct pcs_memory);
#endif
	return p->filter == FILTER_TABLE ? p->size : p->filter == FILTER_GO_ARM ? 4 * p->constants : 0;
}

#if defined(PACKER) || defined(HAS_PCS)
/* Returns the pc tables that a part contains. */
static struct pcs pcs_of(const struct part *p, unsigned char *program, uint32_t program_size, struct pcs_memory *memory)
{
	return (struct pcs){.kind = p->filter - FILTER_PCS_X86, .short_records = p->short_records, .code = program + p->constants,
			    .code_size = table_get(program + p->other + 8 * p->functions), .table = program + p->other,
			    .table_size = program_size - p->other, .functions = p->functions, .tables = program + p->offset,
			    .size = p->size, .memory = memory};
}
#endif

/* Reports whether a part's packed and unpacked bytes lie within the memory for them. */
static int is_part(const struct part *p, uint32_t packed_size, uint32_t program_size)
{
	return p->packed <= packed_size && p->offset <= program_size && p->size <= program_size - p->offset &&
	       p->other <= program_size && p->functions <= (program_size - p->other) / 8 &&
	       p->constants <= (p->filter >= FILTER_PCS_X86 ? program_size : p->size / 4);
}

/* Unpacks a part to its offset in the program. Returns 0 if it can't be unpacked. The caller has checked is_part and
 * provides scratch_size bytes. */
static int unpack_part(const struct part *p, const unsigned char *packed, unsigned char *program, uint32_t program_size,
		       uint32_t pointer_size, unsigned char *scratch)
{
	static const ISzAlloc allocator = {state_allocate, state_release};
	unsigned char *target = program + p->offset, *to = p->filter == FILTER_TABLE ? scratch : target;
	unsigned char properties[LZMA_PROPS_SIZE] = {p->properties};
	SizeT size = p->size, used = p->packed;
	struct code code = {.bytes = target, .size = p->size, .offset = p->offset, .table = program + p->other,
			    .functions = p->functions, .constants = p->constants, .scratch = scratch};
	ELzmaStatus status;

	(void)code; /* only some filters use this and the size of pointers, and this launcher may not have them */
	(void)pointer_size;
#if defined(PACKER) || defined(HAS_PCS)
	if (p->filter >= FILTER_PCS_X86) {
		struct pcs pcs;
		if (program_size - p->other < record_size(p->short_records) || p->functions >= (program_size - p->other) / 8)
			return 0;
		pcs = pcs_of(p, program, program_size, (struct pcs_memory *)scratch);
		if (pcs.code_size < 4 || pcs.code_size > program_size - p->constants)
			return 0;
		pcs_walk(&pcs, (unsigned char *)packed, p->packed); /* unpacking only reads the packed bytes */
		return !pcs.failed && pcs.used == p->size;
	}
#endif
	memcpy(properties + 1, &program_size, 4); /* the size of the dictionary, which is the unpacked program */
	if (LzmaDecode(to, &size, packed, &used, properties, sizeof(properties), LZMA_FINISH_ANY, &status, &allocator) != SZ_OK ||
	    size != p->size)
		return 0;
	switch (p->filter) {
	case FILTER_NONE:
		return 1;
#if defined(PACKER) || defined(HAS_TABLE)
	case FILTER_TABLE: {
		struct table t = {.rows = target, .size = p->size, .functions = p->functions, .short_records = p->short_records,
				  .alignment = p->short_records ? 4 : pointer_size, .columns = scratch};
		table_walk(&t);
		return !t.failed;
	}
#endif
#if defined(PACKER) || defined(HAS_X86)
	case FILTER_X86: {
		UInt32 state = Z7_BRANCH_CONV_ST_X86_STATE_INIT_VAL;
		z7_BranchConvSt_X86_Dec(target, p->size, p->offset, &state);
		return 1;
	}
#endif
#if defined(PACKER) || defined(HAS_GO_X86)
	case FILTER_GO_X86:
		code_x86(&code);
		return !code.failed;
#endif
#if defined(PACKER) || defined(HAS_ARM64)
	case FILTER_ARM64:
		z7_BranchConv_ARM64_Dec(target, p->size, p->offset);
		return 1;
#endif
#if defined(PACKER) || defined(HAS_GO_ARM64)
	case FILTER_GO_ARM64:
		code_arm64(&code);
		return !code.failed;
#endif
#if defined(PACKER) || defined(HAS_ARM)
	case FILTER_ARM:
		z7_BranchConv_ARM_Dec(target, p->size, p->offset);
		return 1;
#endif
#if defined(PACKER) || defined(HAS_THUMB)
	case FILTER_THUMB:
		z7_BranchConv_ARMT_Dec(target, p->size, p->offset);
		return 1;
#endif
#if defined(PACKER) || defined(HAS_GO_ARM)
	case FILTER_GO_ARM:
		code_arm(&code);
		return !code.failed;
#endif
	}
	return 0;
}

#endif
