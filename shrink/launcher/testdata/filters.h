/* All filters, in place of the packer's list */
#define HAS_TABLE
#define HAS_X86
#define HAS_ARM64
#define HAS_ARM
#define HAS_THUMB
#define HAS_GO_X86
#define HAS_GO_ARM64
#define HAS_GO_ARM
#define HAS_PCS
