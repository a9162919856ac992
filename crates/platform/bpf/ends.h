// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Who talks to whom, read from a packet that came and written into the one that answers it.

enum { HOP_LIMIT = 64, DONT_FRAGMENT = 0x4000 };
// Where in a frame without a tag the headers behind IP's are.
enum { BEHIND_V4 = 34, BEHIND_V6 = 54 };

// A packet's ends, as they lie in it: the peer's address, ours, its port, ours.
struct ends {
	u64 addresses[4]; // the first alone for IPv4
	u64 ports;
	int version;
};

INLINE u64 rotate(u64 word, int bits)
{
	return word << bits | word >> (64 - bits);
}

// A hash that engines compute as well.
INLINE u64 mix(u64 hash, u64 word)
{
	hash = (hash ^ word) * 0x9e3779b97f4a7c15ull;
	return hash ^ hash >> 32;
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

INLINE u64 pseudo_header(const struct ends *ends, u8 protocol, u16 length)
{
	u64 sum = halves(ends->addresses[0]) + big_endian(protocol) + big_endian(length);

	if (ends->version == 6)
		sum += halves(ends->addresses[1]) + halves(ends->addresses[2]) + halves(ends->addresses[3]);
	return sum;
}

// Whether an IPv4 address, as it lies in the packet, is one host's; others are for the engine to judge.
INLINE int is_host_v4(u32 address)
{
	u8 first = address;

	return first != 0 && first < 224;
}

// Reads the ends of a packet that is whole, without options, and to and from one host each. Whether it is such a one. The
// ports are the first octets of its payload, which is of `length` octets.
INLINE int read_v4(struct ipv4 *ip, void *end, u8 protocol, struct ends *ends, u32 *length)
{
	struct ports *ports = (void *)(ip + 1);
	u64 sum = 0;
	u32 *words = (void *)ip;

	if ((void *)(ports + 1) > end || ip->version_and_length != 0x45 || ip->protocol != protocol)
		return 0;
	if (!is_host_v4(ip->source) || !is_host_v4(ip->destination))
		return 0;
#pragma clang loop unroll(full)
	for (int i = 0; i < 5; i++)
		sum += words[i];
	if (fold(sum) != 0xffff)
		return 0;
	ends->version = 4;
	ends->addresses[0] = ip->source | (u64)ip->destination << 32;
	ends->ports = ports->source | (u64)ports->destination << 16;
	*length = big_endian(ip->length) - sizeof(struct ipv4);
	return 1;
}

INLINE int read_v6(struct ipv6 *ip, void *end, u8 protocol, struct ends *ends, u32 *length)
{
	struct ports *ports = (void *)(ip + 1);
	u32 *source = ip->source, *destination = ip->destination;

	if ((void *)(ports + 1) > end || (ip->version_and_flow & 0xf0) != 0x60 || ip->next_header != protocol)
		return 0;
	// Not multicast, nor the unspecified address.
	if ((u8)source[0] == 0xff || (u8)destination[0] == 0xff || !(source[0] | source[1] | source[2] | source[3]))
		return 0;
	ends->version = 6;
	ends->addresses[0] = source[0] | (u64)source[1] << 32;
	ends->addresses[1] = source[2] | (u64)source[3] << 32;
	ends->addresses[2] = destination[0] | (u64)destination[1] << 32;
	ends->addresses[3] = destination[2] | (u64)destination[3] << 32;
	ends->ports = ports->source | (u64)ports->destination << 16;
	*length = big_endian(ip->length);
	return 1;
}

INLINE void swap_links(struct ethernet *ethernet)
{
	struct ethernet before = *ethernet;

	__builtin_memcpy(ethernet->destination, before.source, 6);
	__builtin_memcpy(ethernet->source, before.destination, 6);
}

INLINE void write_ipv4(struct ipv4 *ip, const struct ends *ends, u8 protocol, u16 length)
{
	u64 addresses = rotate(ends->addresses[0], 32);
	u64 sum = 0x45 + big_endian(length) + big_endian(DONT_FRAGMENT);

	sum += (HOP_LIMIT | protocol << 8) + halves(addresses);
	ip->version_and_length = 0x45;
	ip->service = 0;
	ip->length = big_endian(length);
	ip->identification = 0;
	ip->fragment = big_endian(DONT_FRAGMENT);
	ip->hop_limit = HOP_LIMIT;
	ip->protocol = protocol;
	ip->checksum = ~fold(sum);
	ip->source = addresses;
	ip->destination = addresses >> 32;
}

INLINE void write_ipv6(struct ipv6 *ip, const struct ends *ends, u8 protocol, u16 length)
{
	ip->version_and_flow = 0x60;
	ip->length = big_endian(length);
	ip->next_header = protocol;
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
