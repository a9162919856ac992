// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Answers to datagrams: where an engine has left the answer to a question, the datagram that asks it becomes the
// datagram that answers, and leaves where it came from. Whatever is not as expected goes to the engine, which knows
// all of the protocol; here is what hot questions look like.
//
// DNS questions, as the program knows them. A table of answers can only be asked for what was understood, so this one
// protocol is read here, and in this file alone. What is said in an answer is the engine's business: everything behind
// the question is kept as it is sent, TTLs aside, which are the only part of it that time changes.

// The longest name that is looked for, and the most octets behind a question.
enum { LONGEST_NAME = 72, LONGEST_TAIL = 512, MOST_TTLS = 16 };
enum { DNS_HEADER = 12, OPT_RECORD = 11, TYPE_OPT = 41, TYPE_AND_CLASS = 4 };
// The shortest and the longest message: with the root's name; with the longest, and an OPT record.
enum { SHORTEST_QUESTION = DNS_HEADER + 1 + TYPE_AND_CLASS };
enum { LONGEST_QUESTION = DNS_HEADER + LONGEST_NAME + TYPE_AND_CLASS + OPT_RECORD };
// A frame may be filled up behind the packet (IEEE 802.3 §3.2.8), or have a trailer; one with more is not for us.
enum { LONGEST_PADDING = 64 };
// RFC 1035 §4.2.1: what every client takes.
enum { LEAST_SIZE = 512 };

// Bits of the second pair of octets that a question may have, as they lie in a message: RD; AD and CD.
enum { RECURSION = 0x0001, AUTHENTIC = 0x2000, UNCHECKED = 0x1000 };
// Of the OPT record's flags: DO.
enum { DNSSEC = 0x0080 };
// The same as a subject has them.
enum { ASKS_RECURSION = 1, ASKS_UNCHECKED = 2, ASKS_DNSSEC = 4, ASKS_AUTHENTIC = 8, ASKS_EXTENDED = 16 };

// What is asked, and all that the answer depends on.
struct subject {
	u64 name[LONGEST_NAME / 8]; // in lower case, followed by zeros
	u16 type; // as they lie in a message, both
	u16 class;
	u32 flags;
};

struct answer {
	u64 mark; // of its subject: see `is_still_of`
	u64 generation;
	u64 stored_at; // when its TTLs were what they are here
	u64 ends_at; // from then on the engine answers
	u64 window; // the second, about, in which `spent` were given
	u32 budget; // how many may be given in such a second; zero for any number
	u32 spent;
	u32 sum; // of the octets behind the question, TTLs aside, as they lie, folded
	u16 length; // of those octets
	u16 most; // a client that takes more may be told more
	u16 flags; // the rest is as it lies in a message
	u16 counts[3];
	u32 ttls; // how many
	u32 groups; // of clients, as bits, that it is for; none: it is for everybody
	u32 ttl[MOST_TTLS]; // in the machine's order
	u16 place[MOST_TTLS]; // ascending
	u8 tail[LONGEST_TAIL];
};

// Clients that are in a group, unless a smaller network is listed too.
struct network {
	u32 bits; // of what follows
	u32 version; // 4 or 6
	u32 address[4]; // the first alone for IPv4
};

// What engines and this program share. They have it mapped.
struct answering {
	u64 generation; // of the answers that may be given; another one withdraws them all
	u64 flags;
};

enum { ON = 1, ACCEPT_PARTIAL_CHECKSUMS = 2 };

// A question, and what was read of it. All of it lies here and not on the stack, where the verifier would follow each
// value through each way that there is.
struct question {
	u32 end_of_name; // in the message
	u8 message[116]; // the longest, and zeros; its name is aligned
	u32 takes; // octets of an answer
	u32 sum; // of the question's octets, folded
	u64 mark; // of the subject
	struct subject subject;
};

struct map answering SECTION("maps") = { MAP_ARRAY, sizeof(u32), sizeof(struct answering), 1, MAP_MAPPABLE };
// What was not asked for lately makes room.
struct map answers SECTION("maps") = { MAP_LEAST_RECENT, sizeof(struct subject), sizeof(struct answer), 4096, 0 };
// The groups that clients are in, as bits.
struct map networks SECTION("maps") = {
	MAP_LONGEST_PREFIX, sizeof(struct network), sizeof(u32), 4096, MAP_NOT_ALLOCATED
};
struct map questions SECTION("maps") = { MAP_PER_CPU_ARRAY, sizeof(u32), sizeof(struct question), 1, 0 };

#define SECOND 1000000000ull
// Budgets are for 2^30 ns.
#define WINDOW 30
// No action of a program's.
#define TO_ENGINE 0x100
// What no sum can be.
#define NO_SUM (~0ull)

INLINE u64 lower_case(u64 octets)
{
	const u64 ones = 0x0101010101010101ull;
	u64 low = octets & 0x7f * ones;
	u64 above_z = low + (0x7f - 'Z') * ones, from_a = low + (0x80 - 'A') * ones;

	return octets | (from_a & ~above_z & ~octets & 0x80 * ones) >> 2;
}

// Finds the end of the name behind the header. Whether there is one: the name is neither too long nor compressed.
INLINE int find_end_of_name(struct question *question)
{
	u32 at = DNS_HEADER;

	for (int label = 0; label <= LONGEST_NAME / 2; label++) {
		u32 length;

		if (at >= DNS_HEADER + LONGEST_NAME)
			return 0;
		length = question->message[at];
		at += 1 + length;
		if (!length) {
			*(volatile u32 *)&question->end_of_name = at;
			return 1;
		}
		if (length > 63)
			return 0;
	}
	return 0;
}

// RFC 1071, over the message's words from the one that is named; there are zeros behind it.
INLINE u64 sum_from(const struct question *question, u32 first)
{
	const u32 *words = (const u32 *)question->message;
	u64 sum = 0;

#pragma clang loop unroll(full)
	for (u32 i = 0; i < (LONGEST_QUESTION + 3) / 4; i++)
		if (i >= first)
			sum += words[i];
	return sum;
}

// Reads the OPT record at `at`, and takes it out of the message. Options are for the engine.
INLINE int read_opt(struct question *question, u32 at)
{
	u8 *opt = question->message + at;
	u32 takes = (u32)opt[3] << 8 | opt[4];

	// RFC 6891 §6.1.2: the root, the type; extended code and version are zero, no flag but DO is set, there are no
	// options.
	if (opt[0] | opt[1] | (opt[2] ^ TYPE_OPT) | opt[5] | opt[6] | (opt[7] & 0x7f) | opt[8] | opt[9] | opt[10])
		return 0;
	// RFC 6891 §6.2.3.
	question->takes = takes < LEAST_SIZE ? LEAST_SIZE : takes;
	question->subject.flags |= ASKS_EXTENDED | (opt[7] >> 7) * ASKS_DNSSEC;
#pragma clang loop unroll(full)
	for (int i = 0; i < OPT_RECORD; i++)
		opt[i] = 0;
	return 1;
}

INLINE u64 mark_of(const struct subject *subject)
{
	const u64 *words = (const u64 *)subject;
	u64 mark = 0;

#pragma clang loop unroll(full)
	for (u32 i = 0; i < sizeof(*subject) / 8; i++)
		mark = mix(mark, words[i]);
	return mark;
}

// Reads the message of `length` octets that is in its place, and at `offset` in the frame. Whether an answer to it could
// have been left.
INLINE int read_question(struct xdp_md *context, struct question *question, u32 offset, u32 length)
{
	const u16 *head = (const u16 *)question->message;
	const u8 *behind;
	u32 at, name_length;

	// RFC 1035 §4.1.1: a query, of one question, with nothing but an OPT record.
	if (head[1] & ~(RECURSION | AUTHENTIC | UNCHECKED) || head[2] != big_endian(1) || head[3] || head[4])
		return 0;
	question->subject.flags = (head[1] & 1) * ASKS_RECURSION | (head[1] >> 12 & 1) * ASKS_UNCHECKED |
				  (head[1] >> 13 & 1) * ASKS_AUTHENTIC;
	question->takes = LEAST_SIZE;
	if (!find_end_of_name(question))
		return 0;
	at = *(volatile u32 *)&question->end_of_name;
	opaque(at);
	if (at <= DNS_HEADER || at > DNS_HEADER + LONGEST_NAME)
		return 0;
	behind = question->message + at;
	question->subject.type = behind[0] | behind[1] << 8;
	question->subject.class = behind[2] | behind[3] << 8;
	if (head[5] == big_endian(1)) {
		if (length != at + TYPE_AND_CLASS + OPT_RECORD || !read_opt(question, at + TYPE_AND_CLASS))
			return 0;
	} else if (head[5] || length != at + TYPE_AND_CLASS) {
		return 0;
	}
	question->sum = fold(sum_from(question, DNS_HEADER / 4));
	name_length = at - DNS_HEADER;
	opaque(name_length);
	if (name_length < 1 || name_length > LONGEST_NAME)
		return 0;
	if (load_octets(context, offset + DNS_HEADER, question->subject.name, name_length) < 0)
		return 0;
	// Lengths are no letters.
#pragma clang loop unroll(full)
	for (int i = 0; i < LONGEST_NAME / 8; i++)
		question->subject.name[i] = lower_case(question->subject.name[i]);
	question->mark = mark_of(&question->subject);
	return 1;
}

// An answer that makes room, or that another takes the place of, is overwritten while we may still read it: its octets
// may become those of another answer. A mixture of two has a checksum that is not right; a whole one has another mark.
INLINE int is_still_of(const struct answer *answer, const struct question *question)
{
	return *(const volatile u64 *)&answer->mark == question->mark;
}

INLINE u32 end_of_question(const struct question *question)
{
	return question->end_of_name + TYPE_AND_CLASS;
}

// Whether the client is one of those that the answer is for.
INLINE int is_for(const struct answer *answer, const struct ends *ends)
{
	struct network client = { .bits = 32 + 32, .version = 4 };
	u32 *groups;

	client.address[0] = ends->addresses[0];
	if (ends->version == 6) {
		// RFC 4291 §2.5.5.2: an IPv4 address in another form, which no sender has.
		if (!ends->addresses[0] && (u32)ends->addresses[1] == 0xffff0000)
			return 0;
		client.bits = 32 + 128;
		client.version = 6;
		client.address[1] = ends->addresses[0] >> 32;
		client.address[2] = ends->addresses[1];
		client.address[3] = ends->addresses[1] >> 32;
	}
	groups = look_up(&networks, &client);
	return groups && *groups & answer->groups;
}

// Whether the answer may be given now, and to this client.
INLINE int is_due(struct answer *answer, const struct answering *shared, const struct question *question,
		  const struct ends *ends, u64 now)
{
	if (!is_still_of(answer, question) || answer->generation != shared->generation || now >= answer->ends_at) {
		count(OVER);
		return 0;
	}
	if (end_of_question(question) + answer->length > question->takes || question->takes > answer->most) {
		count(OF_OTHER_SIZE);
		return 0;
	}
	if (answer->groups && !is_for(answer, ends)) {
		count(NOT_FOR_CLIENT);
		return 0;
	}
	if (answer->budget) {
		// Other processors count beside us: it comes to about the budget.
		if (answer->window != now >> WINDOW) {
			answer->window = now >> WINDOW;
			answer->spent = 0;
		}
		if (answer->spent >= answer->budget) {
			count(TOO_OFTEN);
			return 0;
		}
		answer->spent++;
	}
	return 1;
}

// Makes the frame as long as the answer, the question behind its headers. Returns 0, or what becomes of the frame if
// that cannot be.
INLINE int make_room(struct xdp_md *context, struct question *question, u32 offset, u32 length)
{
	int more = (int)(offset + length) - (int)frame_length(context);
	struct ethernet *ethernet = (void *)(long)context->data, before;
	void *end = (void *)(long)context->data_end;
	u32 moved = end_of_question(question);

	if ((void *)(ethernet + 1) > end)
		return XDP_DROP;
	before = *ethernet;
	if (!adjust_tail(context, more))
		return 0;
	// Some drivers have no room behind a frame; there is always some in front.
	if (more <= 0 || adjust_head(context, -more)) {
		count(NO_ROOM);
		return TO_ENGINE;
	}
	ethernet = (void *)(long)context->data;
	end = (void *)(long)context->data_end;
	if ((void *)(ethernet + 1) > end)
		return XDP_DROP;
	*ethernet = before;
	opaque(moved);
	if (moved < SHORTEST_QUESTION || moved > LONGEST_QUESTION - OPT_RECORD)
		return XDP_DROP;
	return store_octets(context, offset + sizeof(struct udp), question->message, moved) ? XDP_DROP : 0;
}

// Puts the answer's octets to `offset` in the frame, their TTLs reduced by the time that has passed. Returns the sum of
// them.
INLINE u64 write_tail(struct xdp_md *context, struct answer *answer, u32 offset, u64 now)
{
	u64 age = now > answer->stored_at ? (now - answer->stored_at) / SECOND : 0, sum = answer->sum;
	u32 length = answer->length;
	void *start, *end;

	opaque(length);
	if (length < 1 || length > LONGEST_TAIL || store_octets(context, offset, answer->tail, length) < 0)
		return NO_SUM;
	start = (void *)(long)context->data;
	end = (void *)(long)context->data_end;
	for (u32 i = 0; i < MOST_TTLS; i++) {
		u32 place = answer->place[i] & (LONGEST_TAIL - 1), ttl;
		u8 *octets = start + (offset & 0xff) + place;
		long long left = (long long)answer->ttl[i] - (long long)age, is_negative = left >> 63;

		if (i >= answer->ttls)
			break;
		if ((void *)(octets + 4) > end)
			return NO_SUM;
		opaque(is_negative);
		ttl = __builtin_bswap32(left & ~is_negative);
		__builtin_memcpy(octets, &ttl, 4);
		sum += (u64)ttl << ((place & 1) * 8);
	}
	return sum;
}

// Turns the frame into one with the answer: the question stays as it is, in the letters that it was asked in.
INLINE int give(struct xdp_md *context, struct question *question, struct answer *answer, const struct ends *ends,
		u64 now)
{
	u32 offset = ends->version == 4 ? BEHIND_V4 : BEHIND_V6;
	u32 message = end_of_question(question) + answer->length, length = sizeof(struct udp) + message;
	void *start, *end;
	struct udp *udp;
	u16 *head;
	u64 sum, tail;
	int obstacle;

	obstacle = make_room(context, question, offset, length);
	if (obstacle)
		return obstacle == TO_ENGINE ? 0 : obstacle;
	tail = write_tail(context, answer, offset + sizeof(struct udp) + end_of_question(question), now);
	start = (void *)(long)context->data;
	end = (void *)(long)context->data_end;
	udp = start + offset;
	head = (void *)(udp + 1);
	if (tail == NO_SUM || (void *)(head + DNS_HEADER / 2) > end)
		return XDP_DROP;
	head[1] = answer->flags;
	head[3] = answer->counts[0];
	head[4] = answer->counts[1];
	head[5] = answer->counts[2];
	if (!is_still_of(answer, question))
		return XDP_DROP;
	swap_links(start);
	if (ends->version == 4)
		write_ipv4(start + sizeof(struct ethernet), ends, UDP, sizeof(struct ipv4) + length);
	else
		write_ipv6(start + sizeof(struct ethernet), ends, UDP, length);
	udp->source = ends->ports >> 16;
	udp->destination = ends->ports;
	udp->length = big_endian(length);
	// RFC 1071 §2: octets at odd places count for the other half of a word.
	sum = pseudo_header(ends, UDP, length) + question->sum;
	sum += (u64)fold(tail) << ((end_of_question(question) & 1) * 8);
	sum += (u64)udp->source + udp->destination + udp->length;
#pragma clang loop unroll(full)
	for (int i = 0; i < DNS_HEADER / 2; i++)
		sum += head[i];
	// RFC 768: zero would say that there is none.
	udp->checksum = fold(sum) == 0xffff ? 0xffff : ~fold(sum);
	count(GIVEN);
	add(GIVEN_OCTETS, message);
	return XDP_TX;
}

// Whether the datagram's checksum is right. RFC 768: over IPv4 there need not be one; RFC 8200 §8.1: over IPv6 there
// must.
INLINE int is_intact(const struct answering *answering, const struct ends *ends, const struct udp *udp, u64 message)
{
	u64 pseudo = pseudo_header(ends, UDP, big_endian(udp->length));

	if (!udp->checksum)
		return ends->version == 4;
	if (fold(pseudo + message + udp->source + udp->destination + udp->length + udp->checksum) == 0xffff)
		return 1;
	return answering->flags & ACCEPT_PARTIAL_CHECKSUMS && fold(pseudo) == udp->checksum;
}

INLINE int answer_datagram(struct xdp_md *context, const struct ends *ends, u32 payload)
{
	u32 place = 0, offset = ends->version == 4 ? BEHIND_V4 : BEHIND_V6, length;
	const struct answering *shared = look_up(&answering, &place);
	struct question *question = look_up(&questions, &place);
	void *end = (void *)(long)context->data_end;
	struct udp *udp = (void *)(long)context->data + offset;
	struct answer *answer;
	u64 now;

	if (!shared || !question || !(shared->flags & ON) || (void *)(udp + 1) > end)
		return 0;
	// Nobody can have the port zero: the engine is silent.
	if (big_endian(udp->length) != payload || !udp->source)
		return 0;
	length = payload - sizeof(struct udp);
	if (frame_length(context) > offset + payload + LONGEST_PADDING)
		return 0;
	opaque(length);
	if (length < SHORTEST_QUESTION || length > LONGEST_QUESTION) {
		count(NOT_READ);
		return 0;
	}
	__builtin_memset(question, 0, sizeof(*question));
	if (load_octets(context, offset + sizeof(struct udp), question->message, length) < 0)
		return 0;
	if (!is_intact(shared, ends, udp, sum_from(question, 0)))
		return 0;
	// What was read for the sum need not be remembered: the stack is small.
	forget();
	if (!read_question(context, question, offset + sizeof(struct udp), length)) {
		count(NOT_READ);
		return 0;
	}
	answer = look_up(&answers, &question->subject);
	if (!answer) {
		count(NOT_LEFT);
		return 0;
	}
	now = coarse_time();
	return is_due(answer, shared, question, ends, now) ? give(context, question, answer, ends, now) : 0;
}

FUNCTION int answer_frame(struct xdp_md *context)
{
	void *start = (void *)(long)context->data, *end = (void *)(long)context->data_end;
	struct ethernet *ethernet = start;
	struct ends ends = {};
	u32 length = 0;
	int is_read = 0;

	if ((void *)(ethernet + 1) > end || ethernet->destination[0] & 1)
		return 0;
	if (ethernet->type == big_endian(TYPE_IPV4))
		is_read = read_v4(start + sizeof(*ethernet), end, UDP, &ends, &length);
	else if (ethernet->type == big_endian(TYPE_IPV6))
		is_read = read_v6(start + sizeof(*ethernet), end, UDP, &ends, &length);
	return is_read ? answer_datagram(context, &ends, length) : 0;
}
