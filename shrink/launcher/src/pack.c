/* pack PROGRAM PAYLOAD FILTERS packs a program for launcher.c. It writes the payload, and macros for the filters that the
 * launcher needs.
 *
 * It divides the program by kind of content, because LZMA compresses each kind better with its own settings. It packs Go's
 * function table by columns, filters Go code with the help of that table, and leaves out whole pages of zeros. At the end
 * it unpacks the output and compares it with the program. */
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "7zCrc.h"
#include "Alloc.h"
#include "LzmaEnc.h"

#define PACKER
#include "unpack.h"

#ifndef DICTIONARY /* tests that pack often choose smaller values */
#define DICTIONARY (1 << 24)
#define SMALL (1 << 20)
#endif

enum { PAGE = 4096 };

static void fail(const char *what)
{
	fprintf(stderr, "pack: %s\n", what);
	exit(1);
}

static void *allocate(size_t size)
{
	void *p = calloc(1, size + 1);
	if (!p)
		fail("not enough memory");
	return p;
}

static unsigned char *program;
static uint32_t program_size, pointer_size;
static int machine;

static struct section {
	const char *name;
	uint32_t offset, size;
} *sections;
static unsigned section_count;

/* The headers may not be aligned in the file, so they are copied before they are read. A program without section headers
 * has no sections. */
#define READ_SECTIONS(BITS)                                                                                  \
	static void read_sections_##BITS(void)                                                               \
	{                                                                                                    \
		Elf##BITS##_Ehdr e;                                                                          \
		Elf##BITS##_Shdr s, names;                                                                   \
		memcpy(&e, program, sizeof(e));                                                              \
		machine = e.e_machine;                                                                       \
		pointer_size = BITS / 8;                                                                     \
		if (!e.e_shnum && !e.e_shoff)                                                                \
			return;                                                                              \
		if (e.e_shstrndx >= e.e_shnum || e.e_shoff > program_size ||                                 \
		    e.e_shnum * sizeof(s) > program_size - e.e_shoff)                                        \
			fail("the program's section headers lie outside of its file");                       \
		memcpy(&names, program + e.e_shoff + e.e_shstrndx * sizeof(s), sizeof(s));                   \
		if (names.sh_type == SHT_NOBITS || !is_inside(names.sh_offset, names.sh_size) ||             \
		    (names.sh_size && program[names.sh_offset + names.sh_size - 1]))                         \
			fail("the names of the program's sections lie outside of its file");                 \
		sections = allocate(e.e_shnum * sizeof(*sections));                                          \
		for (unsigned i = 1; i < e.e_shnum; i++) {                                                   \
			memcpy(&s, program + e.e_shoff + i * sizeof(s), sizeof(s));                          \
			if (s.sh_type == SHT_NOBITS)                                                         \
				continue;                                                                    \
			if (!is_inside(s.sh_offset, s.sh_size))                                              \
				fail("a section lies outside of the program's file");                        \
			if (s.sh_name >= names.sh_size)                                                      \
				fail("a section's name lies outside of the program's names");                \
			sections[section_count++] = (struct section){                                        \
				(const char *)program + names.sh_offset + s.sh_name, s.sh_offset, s.sh_size}; \
		}                                                                                            \
	}

static int is_inside(uint64_t offset, uint64_t size) { return offset <= program_size && size <= program_size - offset; }

READ_SECTIONS(64)
READ_SECTIONS(32)

static const struct section *find(const char *name)
{
	for (unsigned i = 0; i < section_count; i++)
		if (!strcmp(sections[i].name, name))
			return &sections[i];
	return NULL;
}

static uint32_t pointer(uint32_t offset)
{
	uint64_t v = 0;
	memcpy(&v, program + offset, pointer_size);
	return v;
}

/* Go's function table. The count is 0 if the program has none. The rows are the table as it is packed: without the
 * offsets of the pc tables, if these can be packed with the help of the code. */
static struct {
	uint32_t offset, size, count, pcs;
	int short_records;
	unsigned char *rows;
} functions;

#define SHORT_RECORDS 0xffff00f1U /* the first word of a table with short records: pclntab.ShortMagic */

static void find_functions(void)
{
	enum { HEADER = 8 }; /* numbers: of functions and files, then the offset of each table */
	const struct section *s = find(".gopclntab");
	uint32_t room, record, fixed;

	if (!s)
		return;
	if (s->size < 8 + HEADER * pointer_size)
		fail(".gopclntab is too short");
	functions.short_records = table_get(program + s->offset) == SHORT_RECORDS;
	fixed = record_size(functions.short_records);
	functions.pcs = s->offset + pointer(s->offset + 8 + 6 * pointer_size);
	functions.offset = s->offset + pointer(s->offset + 8 + 7 * pointer_size);
	if (functions.pcs < s->offset || functions.pcs > functions.offset || functions.offset - s->offset >= s->size)
		fail("the header of .gopclntab has an unknown format");
	room = s->offset + s->size - functions.offset;
	functions.count = pointer(s->offset + 8);
	if (!functions.count || functions.count > room / fixed)
		fail(".gopclntab is too small for its functions");
	record = table_get(program + functions.offset + (functions.count - 1) * 8 + 4);
	if (record > room - fixed)
		fail("a function of .gopclntab lies outside of it");
	functions.size = record + fixed + 4 * (program[functions.offset + record + record_tables(functions.short_records)] +
					       program[functions.offset + record + fixed - 1]);
	if (functions.size > room)
		fail("the last function of .gopclntab lies outside of it");
	functions.rows = allocate(functions.size);
	memcpy(functions.rows, program + functions.offset, functions.size);
}

/* A part with its packed bytes. */
struct packed {
	struct part part;
	unsigned char *bytes;
};

static struct packed *packed;
static unsigned part_count;

static void add_part(struct packed p)
{
	packed = realloc(packed, (part_count + 1) * sizeof(*packed));
	if (!packed)
		fail("not enough memory");
	packed[part_count++] = p;
	fprintf(stderr, "%9u %9u -> %8u, filter %u, properties %u\n", p.part.offset, p.part.size, p.part.packed, p.part.filter,
		p.part.properties);
}

/* The settings of LZMA for each kind of content. */
enum kind { MIXED, CODE_OF_WORDS, CODE_OF_BYTES, NUMBERS, CONSTANTS, POINTERS, KINDS };

static const struct {
	int lc, lp, pb;
} settings[KINDS] = {
	[MIXED] = {3, 0, 2},   [CODE_OF_WORDS] = {2, 2, 2}, [CODE_OF_BYTES] = {4, 0, 0},
	[NUMBERS] = {0, 2, 2}, [CONSTANTS] = {0, 3, 3},     [POINTERS] = {0, 1, 2},
};

/* Packs bytes with the settings for their kind. For a small part it tries the settings of all kinds. */
static struct packed pack(uint32_t offset, uint32_t size, const unsigned char *content, enum filter filter, enum kind kind)
{
	struct packed best = {{.offset = offset, .size = size, .filter = filter}, NULL};

	for (enum kind i = 0; i < KINDS; i++) {
		if (size > SMALL && i != kind)
			continue;
		SizeT room = size + size / 3 + 128, header_size = LZMA_PROPS_SIZE;
		unsigned char *to = allocate(room), header[LZMA_PROPS_SIZE];
		CLzmaEncProps props;

		LzmaEncProps_Init(&props);
		props.level = 9;
		props.dictSize = DICTIONARY;
		props.reduceSize = size; /* otherwise it fills tables for the largest dictionary */
		props.lc = settings[i].lc;
		props.lp = settings[i].lp;
		props.pb = settings[i].pb;
		props.fb = 273;
		props.mc = 1000;
		props.numThreads = 1;
		if (LzmaEncode(to, &room, content, size, &props, header, &header_size, 0, NULL, &g_Alloc, &g_Alloc) != SZ_OK)
			fail("LZMA failed");
		if (best.bytes && room >= best.part.packed) {
			free(to);
			continue;
		}
		free(best.bytes);
		best.bytes = to;
		best.part.packed = room;
		best.part.properties = header[0];
	}
	return best;
}

static struct packed pack_code(const struct section *s, enum filter filter)
{
	unsigned char *code = allocate(s->size);
	UInt32 state = Z7_BRANCH_CONV_ST_X86_STATE_INIT_VAL;

	memcpy(code, program + s->offset, s->size);
	switch (filter) {
	case FILTER_X86:
		z7_BranchConvSt_X86_Enc(code, s->size, s->offset, &state);
		break;
	case FILTER_ARM64:
		z7_BranchConv_ARM64_Enc(code, s->size, s->offset);
		break;
	case FILTER_ARM:
		z7_BranchConv_ARM_Enc(code, s->size, s->offset);
		break;
	case FILTER_THUMB:
		z7_BranchConv_ARMT_Enc(code, s->size, s->offset);
		break;
	default:
		break;
	}
	struct packed p = pack(s->offset, s->size, code, filter, filter == FILTER_X86 ? CODE_OF_BYTES : CODE_OF_WORDS);
	free(code);
	return p;
}

/* Packs the code of a Go program. Returns 0 if that isn't possible. */
static int add_go_code(const struct section *s)
{
	static const struct {
		int machine;
		enum filter filter;
		void (*convert)(struct code *);
		enum kind kind;
	} filters[] = {{EM_X86_64, FILTER_GO_X86, code_x86, CODE_OF_BYTES},
		    {EM_AARCH64, FILTER_GO_ARM64, code_arm64, CODE_OF_WORDS},
		    {EM_ARM, FILTER_GO_ARM, code_arm, CODE_OF_WORDS}};
	int done = 0;

	for (size_t i = 0; functions.count && i < sizeof(filters) / sizeof(*filters); i++) {
		if (filters[i].machine != machine)
			continue;
		unsigned char *code = allocate(s->size), *again = allocate(s->size), *scratch = allocate(s->size);
		struct code to = {.bytes = code, .size = s->size, .offset = s->offset, .table = program + functions.offset,
				  .functions = functions.count, .scratch = scratch, .packing = 1};
		memcpy(code, program + s->offset, s->size);
		filters[i].convert(&to);
		memcpy(again, code, s->size);
		struct code back = to;
		back.bytes = again;
		back.packing = 0;
		filters[i].convert(&back);
		done = !to.failed && !back.failed && !memcmp(again, program + s->offset, s->size);
		if (done) {
			struct packed p = pack(s->offset, s->size, code, filters[i].filter, filters[i].kind);
			p.part.functions = functions.count;
			p.part.other = functions.offset;
			p.part.constants = to.constants;
			add_part(p);
		}
		free(code);
		free(again);
		free(scratch);
	}
	return done;
}

static void add_code(const struct section *s)
{
	if (add_go_code(s))
		return;
	if (machine == EM_X86_64) {
		add_part(pack_code(s, FILTER_X86));
	} else if (machine == EM_AARCH64) {
		add_part(pack_code(s, FILTER_ARM64));
	} else if (machine == EM_ARM) {
		/* The file doesn't say which of the two instruction sets it mostly contains. */
		struct packed arm = pack_code(s, FILTER_ARM), thumb = pack_code(s, FILTER_THUMB);
		add_part(arm.part.packed <= thumb.part.packed ? arm : thumb);
	} else {
		fail("the program is for an unknown processor");
	}
}

static int is_zero(uint32_t offset, uint32_t size)
{
	return !program[offset] && !memcmp(program + offset, program + offset + 1, size - 1);
}

static void add_plain(uint32_t offset, uint32_t end, enum kind kind)
{
	if (offset < end)
		add_part(pack(offset, end - offset, program + offset, FILTER_NONE, kind));
}

/* Packs a range without the whole pages of zeros in it. */
static void add_sparse(uint32_t offset, uint32_t end, enum kind kind)
{
	enum { WORTHWHILE = 4 * PAGE };
	uint32_t begin = offset, at = (offset + PAGE - 1) / PAGE * PAGE;

	while (at + WORTHWHILE <= end) {
		uint32_t zeros = at;
		while (zeros + PAGE <= end && is_zero(zeros, PAGE))
			zeros += PAGE;
		if (zeros - at < WORTHWHILE) {
			at += PAGE;
			continue;
		}
		add_plain(begin, at, kind);
		begin = at = zeros;
	}
	add_plain(begin, end, kind);
}

/* Packs Go's pc tables. Returns their size, or 0 if they can't be packed and unpacked. */
static uint32_t add_pcs(void)
{
	static const struct {
		int machine;
		enum filter filter;
	} filters[] = {{EM_X86_64, FILTER_PCS_X86}, {EM_AARCH64, FILTER_PCS_ARM64}, {EM_ARM, FILTER_PCS_ARM}};
	const struct section *code = find(".text");
	uint32_t room = functions.offset - functions.pcs, done = 0;
	unsigned char *tables = allocate(room), *rows = allocate(functions.size);
	struct pcs_memory *memory = allocate(sizeof(*memory));

	for (size_t i = 0; code && room > 1 && i < sizeof(filters) / sizeof(*filters); i++) {
		if (filters[i].machine != machine)
			continue;
		struct packed p = {{.offset = functions.pcs, .size = room, .functions = functions.count, .other = functions.offset,
				    .constants = code->offset, .filter = filters[i].filter,
				    .short_records = functions.short_records}, allocate(room)};
		struct pcs to = pcs_of(&p.part, program, program_size, memory);
		if (to.code_size > code->size || to.code_size < 4)
			break;
		memcpy(tables, program + functions.pcs, room);
		to.table = rows;
		memcpy(rows, functions.rows, functions.size);
		to.table_size = functions.size;
		to.tables = tables;
		to.packing = 1;
		pcs_walk(&to, p.bytes, room);
		p.part.packed = mix_end(&memory->mix) - p.bytes;
		struct pcs back = to;
		back.packing = back.failed = 0;
		back.table = allocate(functions.size);
		back.size = p.part.size = to.used;
		back.tables = allocate(room);
		memcpy(back.table, rows, functions.size);
		int failed = to.failed || memory->mix.failed;
		pcs_walk(&back, p.bytes, p.part.packed);
		if (!failed && to.used > 1 && !back.failed && back.used == to.used && !memcmp(back.tables, program + functions.pcs, to.used) &&
		    !memcmp(back.table, functions.rows, functions.size)) {
			memcpy(functions.rows, rows, functions.size);
			done = to.used;
			add_part(p);
		}
	}
	return done;
}

/* Packs Go's function table: by columns, if it can be converted to columns and back. */
static void add_table(void)
{
	uint32_t offset = functions.offset, size = functions.size;
	unsigned char *columns = allocate(size), *rows = allocate(size);
	struct table to = {.rows = functions.rows, .size = size, .functions = functions.count,
			   .short_records = functions.short_records, .alignment = functions.short_records ? 4 : pointer_size,
			   .columns = columns, .packing = 1};
	struct table back = to;

	back.rows = rows;
	back.packing = 0;
	table_walk(&to);
	table_walk(&back);
	if (!to.failed && !back.failed && !memcmp(rows, functions.rows, size)) {
		struct packed p = pack(offset, size, columns, FILTER_TABLE, NUMBERS);
		p.part.functions = functions.count;
		p.part.short_records = functions.short_records;
		add_part(p);
	} else {
		add_part(pack(offset, size, functions.rows, FILTER_NONE, NUMBERS));
	}
	free(columns);
	free(rows);
}

static void add_functions(const struct section *s)
{
	add_sparse(s->offset, functions.pcs, MIXED);
	add_sparse(functions.pcs + add_pcs(), functions.offset, CODE_OF_BYTES);
	add_table();
	add_sparse(functions.offset + functions.size, s->offset + s->size, NUMBERS);
}

static void read_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	long size;

	if (!f || fseek(f, 0, SEEK_END) || (size = ftell(f)) < 0 || size > 1 << 28)
		fail("the program cannot be read");
	rewind(f);
	program_size = size;
	program = allocate(size);
	if (fread(program, 1, size, f) != (size_t)size || fclose(f))
		fail("the program cannot be read");
}

static void read_program(void)
{
	if (program_size < sizeof(Elf64_Ehdr) || memcmp(program, ELFMAG, SELFMAG))
		fail("the program is not an ELF file");
	if (program[EI_DATA] != ELFDATA2LSB)
		fail("the program is for an unknown processor");
	if (program[EI_CLASS] == ELFCLASS64)
		read_sections_64();
	else if (program[EI_CLASS] == ELFCLASS32)
		read_sections_32();
	else
		fail("the program is for an unknown processor");
}

/* Returns when a part can be unpacked: Go code needs the function table, and the pc tables need both. */
static int pass_of(const struct packed *p)
{
	return p->part.filter >= FILTER_PCS_X86 ? 2 : p->part.filter >= FILTER_GO_X86 ? 1 : 0;
}

static void sort_parts(void)
{
	struct packed *parts = allocate(part_count * sizeof(*parts));
	unsigned count = 0;

	for (int o = 0; o < 3; o++)
		for (unsigned i = 0; i < part_count; i++)
			if (pass_of(&packed[i]) == o)
				parts[count++] = packed[i];
	free(packed);
	packed = parts;
}

static void pack_program(void)
{
	/* The sections in the order of Go and C programs, with the kind of the content that follows them. */
	static const struct {
		const char *name;
		enum kind kind;
	} cuts[] = {{".text", MIXED},     {".rodata", CONSTANTS},     {".gopclntab", MIXED},
		    {".typelink", NUMBERS}, {".go.buildinfo", POINTERS}, {".data", POINTERS}};
	enum kind kind = MIXED;
	uint32_t done = 0;

	find_functions();
	for (size_t i = 0; i < sizeof(cuts) / sizeof(*cuts); i++) {
		const struct section *s = find(cuts[i].name);
		if (!s || !s->size || s->offset < done)
			continue;
		add_sparse(done, s->offset, kind);
		done = s->offset;
		kind = cuts[i].kind;
		if (!strcmp(s->name, ".text")) {
			add_code(s);
			done += s->size;
		} else if (!strcmp(s->name, ".gopclntab")) {
			add_functions(s);
			done += s->size;
		}
	}
	add_sparse(done, program_size, kind);
	sort_parts();
}

static void check(void)
{
	unsigned char *again = allocate(program_size);

	for (unsigned i = 0; i < part_count; i++) {
		const struct part *p = &packed[i].part;
		unsigned char *scratch = allocate(scratch_size(p));
		if (!is_part(p, p->packed, program_size) ||
		    !unpack_part(p, packed[i].bytes, again, program_size, pointer_size, scratch))
			fail("a part cannot be unpacked");
		free(scratch);
	}
	if (memcmp(program, again, program_size))
		fail("the unpacked program differs");
	free(again);
}

static void write_payload(const char *path)
{
	struct header h = {.magic = MAGIC, .size = sizeof(h), .program = program_size, .parts = part_count};
	uint32_t end = sizeof(h);
	FILE *f;

	for (unsigned i = 0; i < part_count; i++)
		h.size += sizeof(struct part) + packed[i].part.packed;
	unsigned char *payload = allocate(h.size);
	for (unsigned i = 0; i < part_count; i++, end += sizeof(struct part))
		memcpy(payload + end, &packed[i].part, sizeof(struct part));
	for (unsigned i = 0; i < part_count; end += packed[i++].part.packed)
		memcpy(payload + end, packed[i].bytes, packed[i].part.packed);
	memcpy(payload, &h, sizeof(h));
	CrcGenerateTable();
	h.checksum = CrcCalc(CHECKED((struct header *)payload), CHECKED_SIZE(&h));
	memcpy(payload, &h, sizeof(h));
	if (!(f = fopen(path, "wb")) || fwrite(payload, h.size, 1, f) != 1 || fclose(f))
		fail("the payload cannot be written");
}

/* Writes the macros with which the launcher contains only the filters that its program needs. */
static void write_filters(const char *path)
{
	static const char *const names[FILTERS] = {
		[FILTER_TABLE] = "TABLE", [FILTER_X86] = "X86", [FILTER_ARM64] = "ARM64", [FILTER_ARM] = "ARM",
		[FILTER_THUMB] = "THUMB", [FILTER_GO_X86] = "GO_X86", [FILTER_GO_ARM64] = "GO_ARM64", [FILTER_GO_ARM] = "GO_ARM",
		[FILTER_PCS_X86] = "PCS", [FILTER_PCS_ARM64] = "PCS", [FILTER_PCS_ARM] = "PCS"};
	FILE *f = fopen(path, "w");
	int failed = !f;

	for (unsigned i = 0; f && i < part_count; i++)
		if (names[packed[i].part.filter])
			failed |= fprintf(f, "#define HAS_%s\n", names[packed[i].part.filter]) < 0;
	if (failed || fclose(f))
		fail("the list of filters cannot be written");
}

int main(int argc, char **argv)
{
	if (argc != 4)
		fail("want PROGRAM PAYLOAD FILTERS");
	read_file(argv[1]);
	read_program();
	pack_program();
	check();
	write_payload(argv[2]);
	write_filters(argv[3]);
	return 0;
}
