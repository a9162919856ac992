// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// What the kernel offers to programs that a driver runs on frames.

// A function of its own, behind the program.
#define FUNCTION static __attribute__((noinline, section("xdp.frags")))
// Keeps the compiler from proving what the verifier has to see.
#define opaque(value) asm volatile("" : "+r"(value))
// Keeps the compiler from holding on to what it has read of memory.
#define forget() asm volatile("" ::: "memory")

// From the kernel's interface (linux/bpf.h).
enum { XDP_DROP = 1, XDP_PASS = 2, XDP_TX = 3, XDP_REDIRECT = 4 };

struct xdp_md {
	u32 data;
	u32 data_end;
	u32 data_meta;
	u32 ingress_interface;
	u32 receive_queue;
	u32 egress_interface;
};

static u64 (*const monotonic_time)(void) = (void *)5;
static long (*const adjust_head)(struct xdp_md *context, int octets) = (void *)44;
static long (*const redirect)(void *map, u64 key, u64 flags) = (void *)51;
static long (*const adjust_tail)(struct xdp_md *context, int octets) = (void *)65;
static u64 (*const coarse_time)(void) = (void *)160; // the monotonic clock's, as of its last tick
static u64 (*const frame_length)(struct xdp_md *context) = (void *)188;
static long (*const load_octets)(struct xdp_md *context, u32 offset, void *target, u32 length) = (void *)189;
static long (*const store_octets)(struct xdp_md *context, u32 offset, void *from, u32 length) = (void *)190;
