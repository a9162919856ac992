// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// What the kernel offers to programs, and a few words for it.

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SECTION(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))
#define big_endian(value) __builtin_bswap16(value)

// From the kernel's interface (linux/bpf.h).
enum { MAP_HASH = 1, MAP_ARRAY = 2, MAP_PER_CPU_ARRAY = 6, MAP_LEAST_RECENT = 9, MAP_LONGEST_PREFIX = 11 };
enum { MAP_XDP_SOCKETS = 17 };
enum { MAP_NOT_ALLOCATED = 1, MAP_MAPPABLE = 1 << 10 };

static void *(*const look_up)(void *map, const void *key) = (void *)1;

// A table, as the loader makes it.
struct map {
	u32 type;
	u32 key_size;
	u32 value_size;
	u32 max_entries;
	u32 flags;
};
