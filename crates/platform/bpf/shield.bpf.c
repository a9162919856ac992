// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Two programs for packets that a user-level TCP takes from a packet socket, which only sees copies.
//
// `select` is the socket's filter: of all frames, it lets through the segments and datagrams of services that
// we listen on and of ranges of ports that our own connections leave from, and ICMP errors about them.
//
// `shield` runs on the interface's ingress, behind the packet socket, and drops those segments and datagrams,
// so that the kernel does not answer with resets and errors of its own. Everything else goes on: other ports,
// ICMP, ARP, neighbour discovery, frames with a VLAN tag, whatever is not understood. A first fragment
// is dropped, so that the kernel never reassembles a segment of ours; our TCP takes no fragments.
//
// Build with build.sh. Nothing but our own is included: the kernel's interface is stable, and the object depends on
// the compiler alone.

#include "kernel.h"
#include "packets.h"
#include "services.h"

// From the kernel's interface (linux/bpf.h).
enum { TCX_NEXT = -1, TCX_DROP = 2 };

struct __sk_buff {
	u32 len;
	u32 packet_type;
	u32 mark;
	u32 queue_mapping;
	u32 protocol;
	u32 vlan_present;
};

static long (*const load)(const void *packet, u32 offset, void *to, u32 length) = (void *)26;

enum { PASSED, DROPPED, COUNTERS };

struct map counters SECTION("maps") = { MAP_PER_CPU_ARRAY, sizeof(u32), sizeof(u64), COUNTERS, 0 };

struct extension {
	u8 next_header;
	u8 length;
	u16 fragment;
};

enum { ETHERNET = 14, TYPE_AT = 12, ICMP_LENGTH = 8, FRAGMENT = 44 };
enum { V4_OFFSET = 0x1fff, V4_MORE = 0x2000, V6_OFFSET = 0xfff8, V6_MORE = 0x0001 };

// IPv6 extension headers that are walked over; a packet with more of them passes.
enum { EXTENSIONS = 4 };

// What a frame is to us.
enum { OTHER, OURS, FIRST_FRAGMENT, ERROR_ABOUT_OURS };

INLINE void count(u32 which)
{
	u64 *counter = look_up(&counters, &which);

	if (counter)
		*counter += 1;
}

// An error about a packet that we sent: its source is ours (RFC 1122 §3.2.2, RFC 4443 §2.4).
INLINE int is_error_v4(struct __sk_buff *packet, u32 at)
{
	struct ipv4 quoted;
	struct ports ports;
	struct service service __attribute__((aligned(8)));
	u8 type;

	if (load(packet, at, &type, 1) || load(packet, at + ICMP_LENGTH, &quoted, sizeof(quoted)))
		return 0;
	if (type != UNREACHABLE && type != TIME_EXCEEDED && type != PARAMETER_PROBLEM)
		return 0;
	if (!is_transport(quoted.protocol) || quoted.fragment & big_endian(V4_OFFSET))
		return 0;
	at += ICMP_LENGTH + (quoted.version_and_length & 0x0f) * 4;
	if (load(packet, at, &ports, sizeof(ports)))
		return 0;
	clear(service.address);
	__builtin_memcpy(service.address, &quoted.source, 4);
	service.port = ports.source;
	service.protocol = quoted.protocol;
	service.version = 4;
	return is_listed(&service);
}

// What we send over IPv6 has no extension headers: neither has what is quoted.
INLINE int is_error_v6(struct __sk_buff *packet, u32 at)
{
	struct ipv6 quoted;
	struct ports ports;
	struct service service __attribute__((aligned(8)));
	u8 type;

	if (load(packet, at, &type, 1) || load(packet, at + ICMP_LENGTH, &quoted, sizeof(quoted)))
		return 0;
	if (type < V6_UNREACHABLE || type > V6_PARAMETER_PROBLEM || !is_transport(quoted.next_header))
		return 0;
	if (load(packet, at + ICMP_LENGTH + sizeof(quoted), &ports, sizeof(ports)))
		return 0;
	__builtin_memcpy(service.address, quoted.source, 16);
	service.port = ports.source;
	service.protocol = quoted.next_header;
	service.version = 6;
	return is_listed(&service);
}

INLINE int look_v4(struct __sk_buff *packet)
{
	struct ipv4 ip;
	struct ports ports;
	struct service service __attribute__((aligned(8)));
	u32 at;

	if (load(packet, ETHERNET, &ip, sizeof(ip)) || ip.version_and_length >> 4 != 4)
		return OTHER;
	if (ip.fragment & big_endian(V4_OFFSET))
		return OTHER;
	at = ETHERNET + (ip.version_and_length & 0x0f) * 4;
	if (ip.protocol == ICMP)
		return is_error_v4(packet, at) ? ERROR_ABOUT_OURS : OTHER;
	if (!is_transport(ip.protocol) || load(packet, at, &ports, sizeof(ports)))
		return OTHER;
	clear(service.address);
	__builtin_memcpy(service.address, &ip.destination, 4);
	service.port = ports.destination;
	service.protocol = ip.protocol;
	service.version = 4;
	if (!is_listed(&service))
		return OTHER;
	return ip.fragment & big_endian(V4_MORE) ? FIRST_FRAGMENT : OURS;
}

INLINE int look_v6(struct __sk_buff *packet)
{
	struct ipv6 ip;
	struct ports ports;
	struct extension extension;
	struct service service __attribute__((aligned(8)));
	u32 at = ETHERNET + sizeof(ip);
	int is_fragment = 0;
	u8 protocol;

	if (load(packet, ETHERNET, &ip, sizeof(ip)))
		return OTHER;
	protocol = ip.next_header;
#pragma clang loop unroll(full)
	for (int i = 0; i < EXTENSIONS; i++) {
		if (protocol != HOP_BY_HOP && protocol != ROUTING && protocol != DESTINATION_OPTIONS && protocol != FRAGMENT)
			break;
		if (load(packet, at, &extension, sizeof(extension)))
			return OTHER;
		if (protocol == FRAGMENT) {
			if (extension.fragment & big_endian(V6_OFFSET))
				return OTHER;
			// A packet that is its own only fragment is whole (RFC 6946).
			is_fragment |= (extension.fragment & big_endian(V6_MORE)) != 0;
			at += 8;
		} else {
			at += (extension.length + 1) * 8;
		}
		protocol = extension.next_header;
	}
	if (protocol == ICMPV6)
		return is_error_v6(packet, at) ? ERROR_ABOUT_OURS : OTHER;
	if (!is_transport(protocol) || load(packet, at, &ports, sizeof(ports)))
		return OTHER;
	__builtin_memcpy(service.address, ip.destination, 16);
	service.port = ports.destination;
	service.protocol = protocol;
	service.version = 6;
	if (!is_listed(&service))
		return OTHER;
	return is_fragment ? FIRST_FRAGMENT : OURS;
}

INLINE int look(struct __sk_buff *packet)
{
	u16 type;

	// A tag belongs to another interface, and the kernel has taken it off already.
	if (packet->vlan_present || load(packet, TYPE_AT, &type, sizeof(type)))
		return OTHER;
	if (type == big_endian(TYPE_IPV4))
		return look_v4(packet);
	if (type == big_endian(TYPE_IPV6))
		return look_v6(packet);
	return OTHER;
}

SECTION("socket") int select(struct __sk_buff *packet)
{
	int what = look(packet);

	// How many octets of the frame the socket gets.
	return what == OURS || what == ERROR_ABOUT_OURS ? -1 : 0;
}

SECTION("tcx.ingress") int shield(struct __sk_buff *packet)
{
	int what = look(packet);

	if (what == OURS || what == FIRST_FRAGMENT) {
		count(DROPPED);
		return TCX_DROP;
	}
	count(PASSED);
	return TCX_NEXT;
}

char license_text[] SECTION("license") = "Apache-2.0 OR MIT";
