// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Which frames leave the kernel's hands. A TCP segment or UDP datagram for a service that we listen on, or
// for a range of ports that our own connections leave from, goes to the AF_XDP socket of the queue that it
// arrived on, and so does an ICMP error about one of them. Everything else takes its usual way: other ports,
// fragments, ARP, neighbour discovery, whatever is not understood.
//
// Where an engine has said how, the stateless part of the handshake is done here: a SYN is answered with the
// SYN-ACK that the engine would send, whose number is a cookie (RFC 4987 §3.6), and a bare acknowledgment of
// a cookie, which carries no news, is dropped.
//
// Build with build.sh. Nothing is included: the kernel's interface is stable, and the object depends on the
// compiler alone.

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SECTION(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))
// A function of its own, behind the program.
#define FUNCTION static __attribute__((noinline, section("xdp.frags")))
#define big_endian(value) __builtin_bswap16(value)
// Keeps the compiler from proving what the verifier has to see.
#define opaque(value) asm volatile("" : "+r"(value))

// From the kernel's interface (linux/bpf.h).
enum { XDP_DROP = 1, XDP_PASS = 2, XDP_TX = 3, XDP_REDIRECT = 4 };
enum { MAP_HASH = 1, MAP_ARRAY = 2, MAP_PER_CPU_ARRAY = 6, MAP_XDP_SOCKETS = 17 };
enum { MAP_MAPPABLE = 1 << 10 };

struct xdp_md {
	u32 data;
	u32 data_end;
	u32 data_meta;
	u32 ingress_interface;
	u32 receive_queue;
	u32 egress_interface;
};

static void *(*const look_up)(void *map, const void *key) = (void *)1;
static u64 (*const monotonic_time)(void) = (void *)5;
static long (*const redirect)(void *map, u64 key, u64 flags) = (void *)51;
static long (*const adjust_tail)(struct xdp_md *context, int octets) = (void *)65;
static u64 (*const frame_length)(struct xdp_md *context) = (void *)188;
static long (*const load_octets)(struct xdp_md *context, u32 offset, void *target, u32 length) = (void *)189;

// A table, as the loader makes it.
struct map {
	u32 type;
	u32 key_size;
	u32 value_size;
	u32 max_entries;
	u32 flags;
};

// An address that we serve. An IPv4 address is followed by zeros; zeros alone are any address.
struct service {
	u8 address[16];
	u16 port; // big-endian
	u8 protocol;
	u8 version; // 4 or 6
};

struct host {
	u8 address[16];
	u8 protocol;
	u8 version;
	u16 zero;
};

struct range {
	u16 first; // in the machine's order, both
	u16 last;
};

enum { PASSED, STEERED, NO_SOCKET, ANSWERED, ABSORBED, COUNTERS };

enum { QUEUES = 256 };
enum { LIVE_BITS = 18, OFFER_BITS = 12 };
// What an engine wants done for it, the flags of its area.
enum { ANSWER = 1, ABSORB = 2, TIMESTAMPS = 4, SELECTIVE = 8, PARTIAL_CHECKSUMS = 16 };

// The key of the cookies of an epoch.
struct epoch {
	u64 number; // plus one; an empty place has zero
	u64 key[2];
};

// What an engine and this program share. The engine has it mapped; each field is written by one side.
struct area {
	u64 flags;
	u64 tuple_key;
	u64 timestamp_key[2];
	struct epoch epochs[4]; // by the number's last two bits
	u64 segment_size[2]; // to be announced: IPv4, IPv6
	u64 window;
	u64 window_scale;
	u64 zero; // always, but the verifier does not know: it need not follow each combination of options
	u64 answered;
	u64 absorbed;
	u64 unused[4073];
	u64 offers[1 << OFFER_BITS];
	u8 live[1 << LIVE_BITS]; // connections by the hash of their ends, counted
};

// The options of a SYN, and zeros.
struct options {
	u8 octets[80];
};

struct map services SECTION("maps") = { MAP_HASH, sizeof(struct service), sizeof(u32), 4096, 0 };
struct map ranges SECTION("maps") = { MAP_HASH, sizeof(struct host), sizeof(struct range), 1024, 0 };
struct map sockets SECTION("maps") = { MAP_XDP_SOCKETS, sizeof(u32), sizeof(u32), 256, 0 };
struct map areas SECTION("maps") = { MAP_ARRAY, sizeof(u32), sizeof(struct area), QUEUES, MAP_MAPPABLE };
// Of each queue, its engine's area plus one.
struct map homes SECTION("maps") = { MAP_ARRAY, sizeof(u32), sizeof(u32), QUEUES, 0 };
struct map scratch SECTION("maps") = { MAP_PER_CPU_ARRAY, sizeof(u32), sizeof(struct options), 1, 0 };
struct map counters SECTION("maps") = { MAP_PER_CPU_ARRAY, sizeof(u32), sizeof(u64), COUNTERS, 0 };

struct ethernet {
	u8 destination[6];
	u8 source[6];
	u16 type;
};

struct vlan {
	u16 tag;
	u16 type;
};

struct ipv4 {
	u8 version_and_length;
	u8 service;
	u16 length;
	u16 identification;
	u16 fragment;
	u8 hop_limit;
	u8 protocol;
	u16 checksum;
	u32 source;
	u32 destination;
};

struct ipv6 {
	u32 version_and_flow;
	u16 length;
	u8 next_header;
	u8 hop_limit;
	u32 source[4];
	u32 destination[4];
};

struct ports {
	u16 source;
	u16 destination;
};

struct tcp {
	u16 source;
	u16 destination;
	u32 sequence;
	u32 acknowledgment;
	u8 length; // in words of four octets, in the upper half
	u8 flags;
	u16 window;
	u16 checksum;
	u16 urgent;
};

struct icmp {
	u8 type;
	u8 code;
	u16 checksum;
	u32 rest;
};

enum { TYPE_IPV4 = 0x0800, TYPE_IPV6 = 0x86dd, TYPE_VLAN = 0x8100, TYPE_SERVICE_VLAN = 0x88a8 };
enum { HOP_BY_HOP = 0, ICMP = 1, TCP = 6, UDP = 17, ROUTING = 43, ICMPV6 = 58, DESTINATION_OPTIONS = 60 };
enum { FRAGMENT_MASK = 0x3fff }; // more fragments follow, or this is not the first

// IPv6 extension headers that are walked over; a packet with more of them passes.
enum { EXTENSIONS = 3 };

// ICMP errors that TCP and UDP need (RFC 792, RFC 4443).
enum { UNREACHABLE = 3, TIME_EXCEEDED = 11, PARAMETER_PROBLEM = 12 };
enum { V6_UNREACHABLE = 1, V6_PARAMETER_PROBLEM = 4 };

// Whether an address and port are listed, and as what.
enum { SERVICE = 1, OF_RANGE = 2 };

INLINE void count(u32 which)
{
	u64 *counter = look_up(&counters, &which);

	if (counter)
		*counter += 1;
}

INLINE int is_transport(u8 protocol)
{
	return protocol == TCP || protocol == UDP;
}

INLINE void clear(void *address)
{
	u64 *words = address;

	words[0] = 0;
	words[1] = 0;
}

// Whether the address and port of ours are listed.
INLINE int is_listed(struct service *service)
{
	struct host host __attribute__((aligned(8)));
	struct range *range;
	u16 port = big_endian(service->port);

	if (look_up(&services, service))
		return SERVICE;
	__builtin_memcpy(host.address, service->address, sizeof(host.address));
	host.protocol = service->protocol;
	host.version = service->version;
	host.zero = 0;
	range = look_up(&ranges, &host);
	if (range && port >= range->first && port <= range->last)
		return OF_RANGE;
	clear(service->address);
	return look_up(&services, service) ? SERVICE : 0;
}

// An error about a packet that we sent: its source is ours (RFC 1122 §3.2.2, RFC 4443 §2.4).
INLINE int is_error_for_us_v4(void *start, void *end)
{
	struct icmp *icmp = start;
	struct ipv4 *quoted = (void *)(icmp + 1);
	struct ports *ports;
	struct service service __attribute__((aligned(8)));

	if ((void *)(quoted + 1) > end)
		return 0;
	if (icmp->type != UNREACHABLE && icmp->type != TIME_EXCEEDED && icmp->type != PARAMETER_PROBLEM)
		return 0;
	ports = (void *)quoted + (quoted->version_and_length & 0x0f) * 4;
	if ((void *)(ports + 1) > end || !is_transport(quoted->protocol))
		return 0;
	if (quoted->fragment & big_endian(FRAGMENT_MASK))
		return 0;
	clear(service.address);
	__builtin_memcpy(service.address, &quoted->source, 4);
	service.port = ports->source;
	service.protocol = quoted->protocol;
	service.version = 4;
	return is_listed(&service);
}

// What we send over IPv6 has no extension headers: neither has what is quoted.
INLINE int is_error_for_us_v6(void *start, void *end)
{
	struct icmp *icmp = start;
	struct ipv6 *quoted = (void *)(icmp + 1);
	struct ports *ports = (void *)(quoted + 1);
	struct service service __attribute__((aligned(8)));

	if ((void *)(ports + 1) > end)
		return 0;
	if (icmp->type < V6_UNREACHABLE || icmp->type > V6_PARAMETER_PROBLEM)
		return 0;
	if (!is_transport(quoted->next_header))
		return 0;
	__builtin_memcpy(service.address, quoted->source, 16);
	service.port = ports->source;
	service.protocol = quoted->next_header;
	service.version = 6;
	return is_listed(&service);
}

INLINE int is_ours_v4(void *start, void *end)
{
	struct ipv4 *ip = start;
	void *payload;
	struct ports *ports;
	struct service service __attribute__((aligned(8)));

	if ((void *)(ip + 1) > end || ip->version_and_length >> 4 != 4)
		return 0;
	if (ip->fragment & big_endian(FRAGMENT_MASK))
		return 0;
	payload = start + (ip->version_and_length & 0x0f) * 4;
	if (ip->protocol == ICMP)
		return is_error_for_us_v4(payload, end);
	ports = payload;
	if (!is_transport(ip->protocol) || (void *)(ports + 1) > end)
		return 0;
	clear(service.address);
	__builtin_memcpy(service.address, &ip->destination, 4);
	service.port = ports->destination;
	service.protocol = ip->protocol;
	service.version = 4;
	return is_listed(&service);
}

INLINE int is_ours_v6(void *start, void *end)
{
	struct ipv6 *ip = start;
	void *payload = ip + 1;
	struct ports *ports;
	struct service service __attribute__((aligned(8)));
	u8 protocol;

	if (payload > end)
		return 0;
	protocol = ip->next_header;
#pragma clang loop unroll(full)
	for (int i = 0; i < EXTENSIONS; i++) {
		u8 *extension = payload;

		if (protocol != HOP_BY_HOP && protocol != ROUTING && protocol != DESTINATION_OPTIONS)
			break;
		if ((void *)(extension + 2) > end)
			return 0;
		protocol = extension[0];
		payload += (extension[1] + 1) * 8;
	}
	if (protocol == ICMPV6)
		return is_error_for_us_v6(payload, end);
	ports = payload;
	if (!is_transport(protocol) || (void *)(ports + 1) > end)
		return 0;
	__builtin_memcpy(service.address, ip->destination, 16);
	service.port = ports->destination;
	service.protocol = protocol;
	service.version = 6;
	return is_listed(&service);
}

INLINE int is_ours(void *start, void *end)
{
	struct ethernet *ethernet = start;
	void *payload = ethernet + 1;
	u16 type;

	if (payload > end)
		return 0;
	type = ethernet->type;
	if (type == big_endian(TYPE_VLAN) || type == big_endian(TYPE_SERVICE_VLAN)) {
		struct vlan *vlan = payload;

		if ((void *)(vlan + 1) > end)
			return 0;
		type = vlan->type;
		payload = vlan + 1;
	}
	if (type == big_endian(TYPE_IPV4))
		return is_ours_v4(payload, end);
	if (type == big_endian(TYPE_IPV6))
		return is_ours_v6(payload, end);
	return 0;
}


enum { SYN = 2, ACK = 16 };
enum { END = 0, NOP = 1, MSS = 2, SCALE = 3, SACK_PERMITTED = 4, SACK = 5, STAMPS = 8 };
enum { NO_SCALE = 15, LARGEST_SCALE = 14, HOP_LIMIT = 64, DONT_FRAGMENT = 0x4000 };
// Options, each filling octet one of them; a SYN with more is left to the engine.
enum { STEPS = 16 };
// A frame with a SYN that is longer has more than the link's padding behind it.
enum { LONGEST_SYN = 128 };

#define EPOCH 64000000000ull
#define MILLISECOND 1000000ull
// Offers tell time in 67 ms.
#define OFFER_TICK 26

// A segment's ends, as they lie in the packet: the peer's address, ours, its port, ours.
struct ends {
	u64 addresses[4]; // the first alone for IPv4
	u64 ports;
	int version;
};

struct hash {
	u64 v0, v1, v2, v3;
};

// What a SYN says.
struct offered {
	u64 segment_size;
	u64 scale;
	u64 selective;
	u64 has_timestamp;
	u32 timestamp;
};

INLINE u64 rotate(u64 word, int bits)
{
	return word << bits | word >> (64 - bits);
}

INLINE void round(struct hash *h)
{
	h->v0 += h->v1;
	h->v1 = rotate(h->v1, 13) ^ h->v0;
	h->v0 = rotate(h->v0, 32);
	h->v2 += h->v3;
	h->v3 = rotate(h->v3, 16) ^ h->v2;
	h->v0 += h->v3;
	h->v3 = rotate(h->v3, 21) ^ h->v0;
	h->v2 += h->v1;
	h->v1 = rotate(h->v1, 17) ^ h->v2;
	h->v2 = rotate(h->v2, 32);
}

// The cookie of crates/tcp/src/cookie.rs: over both addresses, both ports, the SYN's number and `options`.
FUNCTION u32 cookie(const u64 *key, const struct ends *ends, u32 sequence, u8 options);
// What is added to the clock for this peer: over our address, the peer's, and four zeros.
FUNCTION u32 clock_offset(const u64 *key, const struct ends *ends);

// Under which number tables know a connection; the engine's side computes the same.
INLINE u64 mix(u64 hash, u64 word)
{
	hash = (hash ^ word) * 0x9e3779b97f4a7c15ull;
	return hash ^ hash >> 32;
}

INLINE u64 tuple_hash(u64 key, const struct ends *ends)
{
	u64 hash = mix(key, ends->addresses[0]);

	if (ends->version == 6) {
		hash = mix(hash, ends->addresses[1]);
		hash = mix(hash, ends->addresses[2]);
		hash = mix(hash, ends->addresses[3]);
	}
	return mix(mix(hash, ends->ports), key);
}

// RFC 1071: the sum of 16-bit words, each half of a word that is added being one.
INLINE u16 fold(u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

INLINE u64 halves(u64 word)
{
	return (word & 0xffffffff) + (word >> 32);
}

INLINE u64 pseudo_header(const struct ends *ends, u16 length)
{
	u64 sum = halves(ends->addresses[0]) + big_endian(TCP) + big_endian(length);

	if (ends->version == 6)
		sum += halves(ends->addresses[1]) + halves(ends->addresses[2]) + halves(ends->addresses[3]);
	return sum;
}

// Reads the options as the engine does (RFC 9293 §3.1): of those that come twice the last one holds, and a
// malformed one hides those behind it. Returns whether the end was reached.
INLINE int parse(const struct options *options, u64 length, u64 zero, struct offered *offered)
{
	u64 at = zero;

	for (int step = 0; step < STEPS; step++) {
		u64 kind, size;
		const u8 *octets;

		at &= 63;
		if (at >= length)
			return 1;
		octets = options->octets + at;
		kind = octets[0];
		size = octets[1];
		if (kind == END)
			return 1;
		if (kind == NOP) {
			at += 1;
			continue;
		}
		if (size < 2 || at + size > length)
			return 1;
		if (kind == MSS) {
			if (size != 4)
				return 1;
			offered->segment_size = (u64)octets[2] << 8 | octets[3];
		} else if (kind == SCALE) {
			if (size != 3)
				return 1;
			offered->scale = octets[2] > LARGEST_SCALE ? LARGEST_SCALE : octets[2];
		} else if (kind == SACK_PERMITTED) {
			if (size != 2)
				return 1;
			offered->selective = 1;
		} else if (kind == STAMPS) {
			if (size != 10)
				return 1;
			offered->has_timestamp = 1;
			offered->timestamp = octets[2] | octets[3] << 8 | octets[4] << 16 | (u32)octets[5] << 24;
		} else if (kind == SACK) {
			if (size == 2 || (size & 7) != 2)
				return 1;
		}
		at += size;
	}
	return (at & 63) >= length;
}

// One if `size` fits into `segment_size`.
INLINE u64 fits(u64 size, u64 segment_size)
{
	return (size - 1 - segment_size) >> 63;
}

// The place of the largest size that fits in the engine's table.
INLINE u64 size_index(int version, u64 size)
{
	if (version == 4)
		return fits(536, size) + fits(1200, size) + fits(1360, size) + fits(1400, size) + fits(1440, size) +
		       fits(1460, size) + fits(8960, size);
	return fits(1220, size) + fits(1280, size) + fits(1340, size) + fits(1380, size) + fits(1420, size) +
	       fits(1440, size) + fits(8940, size);
}

// The place of an epoch. The engine may have been too slow to fill it: then the number is another's.
INLINE struct epoch *epoch_of(struct area *area, u64 number)
{
	return &area->epochs[number & 3];
}

INLINE int is_made(const struct epoch *epoch, u64 number, const struct ends *ends, u32 sequence, u32 made)
{
	return epoch->number == number + 1 && cookie(epoch->key, ends, sequence, made) == made;
}

// Whether a bare acknowledgment is of a cookie, so that it says nothing that data will not say.
INLINE int is_of_cookie(struct area *area, const struct ends *ends, struct tcp *tcp)
{
	u64 number = monotonic_time() / EPOCH;
	u32 made = __builtin_bswap32(tcp->acknowledgment) - 1;
	u32 sequence = __builtin_bswap32(__builtin_bswap32(tcp->sequence) - 1);

	return is_made(epoch_of(area, number), number, ends, sequence, made) ||
	       is_made(epoch_of(area, number - 1), number - 1, ends, sequence, made);
}

INLINE u32 write_options(u32 *words, struct area *area, const struct ends *ends, const struct offered *offered, u64 now)
{
	u64 flags = area->flags;
	u16 segment_size = area->segment_size[ends->version == 6];
	u32 scale = NOP | SCALE << 8 | 3 << 16 | (u32)area->window_scale << 24;
	int has_scale = offered->scale != NO_SCALE;

	words[0] = MSS | 4 << 8 | (u32)(u16)big_endian(segment_size) << 16;
	if (offered->has_timestamp && flags & TIMESTAMPS) {
		u32 clock = (u32)(now / MILLISECOND) + clock_offset(area->timestamp_key, ends);
		u32 before = offered->selective ? SACK_PERMITTED | 2 << 8 : NOP | NOP << 8;

		words[1] = before | STAMPS << 16 | 10 << 24;
		words[2] = __builtin_bswap32(clock);
		words[3] = offered->timestamp;
		words[4] = has_scale ? scale : 0;
		return has_scale ? 5 : 4;
	}
	if (offered->selective) {
		words[1] = NOP | NOP << 8 | SACK_PERMITTED << 16 | 2 << 24;
		words[2] = has_scale ? scale : 0;
		return has_scale ? 3 : 2;
	}
	words[1] = has_scale ? scale : 0;
	return has_scale ? 2 : 1;
}

// Whether the SYN, of `words` 32-bit words, is one that the engine would take. What it offers is read.
INLINE int is_sound(struct xdp_md *context, struct area *area, const struct ends *ends, struct tcp *tcp, u32 words,
		    struct offered *offered)
{
	u32 place = 0;
	u64 length = words * 4 - sizeof(struct tcp);
	u32 *fixed = (void *)tcp;
	struct options *options = look_up(&scratch, &place);
	u64 pseudo = pseudo_header(ends, words * 4), sum = pseudo;
	u32 *octets = (void *)options;

	if (!options)
		return 0;
	__builtin_memset(options, 0, 40);
	if (length) {
		opaque(length);
		if (length < 1 || length > 40)
			return 0;
		if (load_octets(context, (ends->version == 4 ? 34 : 54) + sizeof(struct tcp), options, length) < 0)
			return 0;
	}
#pragma clang loop unroll(full)
	for (int i = 0; i < 5; i++)
		sum += fixed[i];
#pragma clang loop unroll(full)
	for (int i = 0; i < 10; i++)
		sum += octets[i];
	if (fold(sum) != 0xffff && !(area->flags & PARTIAL_CHECKSUMS && fold(pseudo) == tcp->checksum))
		return 0;
	offered->segment_size = (ends->version == 4 ? 536 : 1220) + area->zero;
	offered->scale = NO_SCALE + area->zero;
	offered->selective = area->zero;
	offered->has_timestamp = area->zero;
	offered->timestamp = area->zero;
	return parse(options, length, area->zero, offered);
}

INLINE void swap_links(struct ethernet *ethernet)
{
	struct ethernet before = *ethernet;

	__builtin_memcpy(ethernet->destination, before.source, 6);
	__builtin_memcpy(ethernet->source, before.destination, 6);
}

INLINE void write_ipv4(struct ipv4 *ip, const struct ends *ends, u16 length)
{
	u64 addresses = rotate(ends->addresses[0], 32);
	u64 sum = 0x45 + big_endian(length) + big_endian(DONT_FRAGMENT) + (HOP_LIMIT | TCP << 8) + halves(addresses);

	ip->version_and_length = 0x45;
	ip->service = 0;
	ip->length = big_endian(length);
	ip->identification = 0;
	ip->fragment = big_endian(DONT_FRAGMENT);
	ip->hop_limit = HOP_LIMIT;
	ip->checksum = ~fold(sum);
	ip->source = addresses;
	ip->destination = addresses >> 32;
}

INLINE void write_ipv6(struct ipv6 *ip, const struct ends *ends, u16 length)
{
	ip->version_and_flow = 0x60;
	ip->length = big_endian(length);
	ip->hop_limit = HOP_LIMIT;
	ip->source[0] = ends->addresses[2];
	ip->source[1] = ends->addresses[2] >> 32;
	ip->source[2] = ends->addresses[3];
	ip->source[3] = ends->addresses[3] >> 32;
	ip->destination[0] = ends->addresses[0];
	ip->destination[1] = ends->addresses[0] >> 32;
	ip->destination[2] = ends->addresses[1];
	ip->destination[3] = ends->addresses[1] >> 32;
}

// Turns the frame with a SYN into one with the answer, whose options are `count` of `words`.
INLINE int reply(struct xdp_md *context, struct area *area, const struct ends *ends, u32 number, u32 sequence,
		 const u32 *words, u32 count)
{
	u32 offset = ends->version == 4 ? 34 : 54, length = sizeof(struct tcp) + count * 4;
	u16 window = area->window;
	void *start, *end;
	struct tcp *tcp;
	u32 *fixed, *options;
	u64 sum = pseudo_header(ends, length);

	if (adjust_tail(context, (int)(offset + length) - (int)frame_length(context)))
		return 0;
	start = (void *)(long)context->data;
	end = (void *)(long)context->data_end;
	tcp = start + offset;
	options = (void *)(tcp + 1);
	if ((void *)(options + 1) > end)
		return XDP_DROP;
	swap_links(start);
	if (ends->version == 4)
		write_ipv4(start + sizeof(struct ethernet), ends, sizeof(struct ipv4) + length);
	else
		write_ipv6(start + sizeof(struct ethernet), ends, length);
	tcp->source = ends->ports >> 16;
	tcp->destination = ends->ports;
	tcp->sequence = __builtin_bswap32(number);
	tcp->acknowledgment = __builtin_bswap32(__builtin_bswap32(sequence) + 1);
	tcp->length = length << 2;
	tcp->flags = SYN | ACK;
	tcp->window = big_endian(window);
	tcp->checksum = 0;
	tcp->urgent = 0;
	fixed = (void *)tcp;
#pragma clang loop unroll(full)
	for (int i = 0; i < 5; i++)
		sum += fixed[i];
	options[0] = words[0];
	sum += words[0];
#pragma clang loop unroll(full)
	for (u32 i = 1; i < 5; i++) {
		if (i < count) {
			if ((void *)(options + i + 1) > end)
				return XDP_DROP;
			options[i] = words[i];
			sum += words[i];
		}
	}
	tcp->checksum = ~fold(sum);
	return XDP_TX;
}

// Answers a SYN. One that comes again is left to the engine: our answer may not have found its way.
INLINE int answer(struct xdp_md *context, struct area *area, const struct ends *ends, struct tcp *tcp, u32 header_words,
		  u64 hash)
{
	struct offered offered;
	u64 now = monotonic_time(), offer, *place = &area->offers[hash >> 32 & ((1 << OFFER_BITS) - 1)];
	u64 epoch_number = now / EPOCH;
	struct epoch *epoch = epoch_of(area, epoch_number);
	u32 words[5], count, number, sequence = tcp->sequence;
	u8 kept;

	if (epoch->number != epoch_number + 1 || frame_length(context) > LONGEST_SYN)
		return 0;
	if (!is_sound(context, area, ends, tcp, header_words, &offered))
		return 0;
	if (!(area->flags & SELECTIVE))
		offered.selective = 0;
	kept = size_index(ends->version, offered.segment_size) << 5 | offered.scale << 1 | offered.selective;
	number = cookie(epoch->key, ends, sequence, kept);
	offer = (u64)number << 32 | (now >> OFFER_TICK & 0xffff) << 16 | (hash & 0xffff) | 1;
	if ((*place ^ offer) & 0xffffffff0000ffffull) {
		count = write_options(words, area, ends, &offered, now);
		*place = offer;
		return reply(context, area, ends, number, sequence, words, count);
	}
	return 0;
}

INLINE struct area *area_of(u32 queue)
{
	u32 *home = look_up(&homes, &queue);
	u32 place;

	if (!home || !*home)
		return 0;
	place = *home - 1;
	return look_up(&areas, &place);
}

// What is done about the segment here: an action, or 0 if the engine gets it.
INLINE int assist(struct xdp_md *context, const struct ends *ends, struct tcp *tcp, u32 length)
{
	struct area *area = area_of(context->receive_queue);
	u32 header_words = tcp->length >> 4;
	u64 hash;

	if (!area || !(area->flags & ANSWER) || header_words < 5 || header_words * 4 != length)
		return 0;
	hash = tuple_hash(area->tuple_key, ends);
	if (area->live[hash >> (64 - LIVE_BITS)])
		return 0;
	if (tcp->flags == SYN) {
		int action = answer(context, area, ends, tcp, header_words, hash);

		if (action) {
			count(ANSWERED);
			__sync_fetch_and_add(&area->answered, 1);
		}
		return action;
	}
	if (!(area->flags & ABSORB) || !is_of_cookie(area, ends, tcp))
		return 0;
	count(ABSORBED);
	__sync_fetch_and_add(&area->absorbed, 1);
	return XDP_DROP;
}

INLINE int is_candidate(struct tcp *tcp)
{
	return tcp->flags == SYN || tcp->flags == ACK;
}

// Whether an IPv4 address, as it lies in the packet, is one host's; others are for the engine to judge.
INLINE int is_host_v4(u32 address)
{
	u8 first = address;

	return first != 0 && first < 224;
}

INLINE int assist_v4(struct xdp_md *context, struct ipv4 *ip, void *end)
{
	struct tcp *tcp = (void *)(ip + 1);
	struct ends ends = { .version = 4 };
	u64 sum = 0;
	u32 *words = (void *)ip;

	if ((void *)(tcp + 1) > end || ip->version_and_length != 0x45 || ip->protocol != TCP || !is_candidate(tcp))
		return 0;
	if (!is_host_v4(ip->source) || !is_host_v4(ip->destination))
		return 0;
#pragma clang loop unroll(full)
	for (int i = 0; i < 5; i++)
		sum += words[i];
	if (fold(sum) != 0xffff)
		return 0;
	ends.addresses[0] = ip->source | (u64)ip->destination << 32;
	ends.ports = tcp->source | (u64)tcp->destination << 16;
	return assist(context, &ends, tcp, big_endian(ip->length) - sizeof(struct ipv4));
}

INLINE int assist_v6(struct xdp_md *context, struct ipv6 *ip, void *end)
{
	struct tcp *tcp = (void *)(ip + 1);
	struct ends ends = { .version = 6 };
	u32 *source = ip->source, *destination = ip->destination;

	if ((void *)(tcp + 1) > end || (ip->version_and_flow & 0xf0) != 0x60 || ip->next_header != TCP || !is_candidate(tcp))
		return 0;
	// Not multicast, nor the unspecified address.
	if ((u8)source[0] == 0xff || (u8)destination[0] == 0xff || !(source[0] | source[1] | source[2] | source[3]))
		return 0;
	ends.addresses[0] = source[0] | (u64)source[1] << 32;
	ends.addresses[1] = source[2] | (u64)source[3] << 32;
	ends.addresses[2] = destination[0] | (u64)destination[1] << 32;
	ends.addresses[3] = destination[2] | (u64)destination[3] << 32;
	ends.ports = tcp->source | (u64)tcp->destination << 16;
	return assist(context, &ends, tcp, big_endian(ip->length));
}

// A segment of a service, in a frame without tags and to this host alone.
INLINE int assist_frame(struct xdp_md *context, void *start, void *end)
{
	struct ethernet *ethernet = start;

	if ((void *)(ethernet + 1) > end || ethernet->destination[0] & 1)
		return 0;
	if (ethernet->type == big_endian(TYPE_IPV4))
		return assist_v4(context, start + sizeof(*ethernet), end);
	if (ethernet->type == big_endian(TYPE_IPV6))
		return assist_v6(context, start + sizeof(*ethernet), end);
	return 0;
}

// "frags": frames of more than a page arrive in several pieces; all that is looked at is in the first.
SECTION("xdp.frags") int steer(struct xdp_md *context)
{
	void *start = (void *)(long)context->data;
	void *end = (void *)(long)context->data_end;
	long action;
	int listed = is_ours(start, end);

	if (!listed) {
		count(PASSED);
		return XDP_PASS;
	}
	action = listed == SERVICE ? assist_frame(context, start, end) : 0;
	if (action)
		return action;
	// A queue without a socket leaves its frames to the kernel.
	action = redirect(&sockets, context->receive_queue, XDP_PASS);
	count(action == XDP_REDIRECT ? STEERED : NO_SOCKET);
	return action;
}

// SipHash-1-3: one round for each word, three at the end.
INLINE void begin(struct hash *h, const u64 *key)
{
	h->v0 = key[0] ^ 0x736f6d6570736575ull;
	h->v1 = key[1] ^ 0x646f72616e646f6dull;
	h->v2 = key[0] ^ 0x6c7967656e657261ull;
	h->v3 = key[1] ^ 0x7465646279746573ull;
}

INLINE void absorb_word(struct hash *h, u64 word)
{
	h->v3 ^= word;
	round(h);
	h->v0 ^= word;
}

INLINE u64 end_of(struct hash *h)
{
	h->v2 ^= 0xff;
	round(h);
	round(h);
	round(h);
	return h->v0 ^ h->v1 ^ h->v2 ^ h->v3;
}

FUNCTION u32 cookie(const u64 *key, const struct ends *ends, u32 sequence, u8 options)
{
	struct hash h;
	u64 length = ends->version == 4 ? 17 : 41;

	begin(&h, key);
	absorb_word(&h, ends->addresses[0]);
	if (ends->version == 6) {
		absorb_word(&h, ends->addresses[1]);
		absorb_word(&h, ends->addresses[2]);
		absorb_word(&h, ends->addresses[3]);
	}
	absorb_word(&h, ends->ports | (u64)sequence << 32);
	absorb_word(&h, length << 56 | options);
	return (u32)end_of(&h) << 8 | options;
}

FUNCTION u32 clock_offset(const u64 *key, const struct ends *ends)
{
	struct hash h;

	begin(&h, key);
	if (ends->version == 4) {
		absorb_word(&h, rotate(ends->addresses[0], 32));
		absorb_word(&h, 12ull << 56);
	} else {
		absorb_word(&h, ends->addresses[2]);
		absorb_word(&h, ends->addresses[3]);
		absorb_word(&h, ends->addresses[0]);
		absorb_word(&h, ends->addresses[1]);
		absorb_word(&h, 36ull << 56);
	}
	return (u32)end_of(&h);
}

char license_text[] SECTION("license") = "Apache-2.0 OR MIT";
