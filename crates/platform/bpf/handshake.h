// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The stateless part of the handshake: SYNs are answered, and bare acknowledgments of cookies dropped, as the
// engine would that has lent its keys.

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

struct map areas SECTION("maps") = { MAP_ARRAY, sizeof(u32), sizeof(struct area), QUEUES, MAP_MAPPABLE };
// Of each queue, its engine's area plus one.
struct map homes SECTION("maps") = { MAP_ARRAY, sizeof(u32), sizeof(u32), QUEUES, 0 };
struct map scratch SECTION("maps") = { MAP_PER_CPU_ARRAY, sizeof(u32), sizeof(struct options), 1, 0 };

enum { SYN = 2, ACK = 16 };
enum { END = 0, NOP = 1, MSS = 2, SCALE = 3, SACK_PERMITTED = 4, SACK = 5, STAMPS = 8 };
enum { NO_SCALE = 15, LARGEST_SCALE = 14 };
// Options that are read, each NOP being one; a SYN with more is left to the engine.
enum { STEPS = 16 };
// A frame with a SYN that is longer has more than the link's padding behind it.
enum { LONGEST_SYN = 128 };

#define EPOCH 64000000000ull
#define MILLISECOND 1000000ull
// Offers tell time in 67 ms.
#define OFFER_TICK 26

// What a SYN says.
struct offered {
	u64 segment_size;
	u64 scale;
	u64 selective;
	u64 has_timestamp;
	u32 timestamp;
};

// The cookie of crates/tcp/src/cookie.rs: over both addresses, both ports, the SYN's number and `options`.
FUNCTION u32 cookie(const u64 *key, const struct ends *ends, u32 sequence, u8 options);
// What is added to the clock for this peer: over our address, the peer's, and four zeros.
FUNCTION u32 clock_offset(const u64 *key, const struct ends *ends);

// Under which number tables know a connection; the engine's side computes the same.
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
	u64 pseudo = pseudo_header(ends, TCP, words * 4), sum = pseudo;
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

// Turns the frame with a SYN into one with the answer, whose options are `count` of `words`.
INLINE int reply(struct xdp_md *context, struct area *area, const struct ends *ends, u32 number, u32 sequence,
		 const u32 *words, u32 count)
{
	u32 offset = ends->version == 4 ? 34 : 54, length = sizeof(struct tcp) + count * 4;
	u16 window = area->window;
	void *start, *end;
	struct tcp *tcp;
	u32 *fixed, *options;
	u64 sum = pseudo_header(ends, TCP, length);

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
		write_ipv4(start + sizeof(struct ethernet), ends, TCP, sizeof(struct ipv4) + length);
	else
		write_ipv6(start + sizeof(struct ethernet), ends, TCP, length);
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

INLINE int assist_v4(struct xdp_md *context, struct ipv4 *ip, void *end)
{
	struct tcp *tcp = (void *)(ip + 1);
	struct ends ends = { .version = 4 };
	u32 length;

	if ((void *)(tcp + 1) > end || !is_candidate(tcp) || !read_v4(ip, end, TCP, &ends, &length))
		return 0;
	return assist(context, &ends, tcp, length);
}

INLINE int assist_v6(struct xdp_md *context, struct ipv6 *ip, void *end)
{
	struct tcp *tcp = (void *)(ip + 1);
	struct ends ends = { .version = 6 };
	u32 length;

	if ((void *)(tcp + 1) > end || !is_candidate(tcp) || !read_v6(ip, end, TCP, &ends, &length))
		return 0;
	return assist(context, &ends, tcp, length);
}

// A segment of a service, in a frame without tags and to this host alone.
FUNCTION int assist_frame(struct xdp_md *context)
{
	void *start = (void *)(long)context->data, *end = (void *)(long)context->data_end;
	struct ethernet *ethernet = start;

	if ((void *)(ethernet + 1) > end || ethernet->destination[0] & 1)
		return 0;
	if (ethernet->type == big_endian(TYPE_IPV4))
		return assist_v4(context, start + sizeof(*ethernet), end);
	if (ethernet->type == big_endian(TYPE_IPV6))
		return assist_v6(context, start + sizeof(*ethernet), end);
	return 0;
}
