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
// A datagram that asks what an engine has left the answer to is answered here, too: see answers.h.
//
// Build with build.sh. Nothing but our own is included: the kernel's interface is stable, and the object depends on
// the compiler alone.

#include "kernel.h"
#include "xdp.h"
#include "packets.h"
#include "services.h"
#include "ends.h"

enum { PASSED, STEERED, NO_SOCKET, ANSWERED, ABSORBED };
// Of datagrams to services that answers are left for: answered, and with how many octets; not understood; no answer was
// left; one was, but its time is over; the client takes too little for it, or more than it was made for; it is not for
// this client; it was given too often; no room in the frame.
enum { GIVEN = 5, GIVEN_OCTETS, NOT_READ, NOT_LEFT, OVER, OF_OTHER_SIZE, NOT_FOR_CLIENT, TOO_OFTEN, NO_ROOM, COUNTERS };

struct map sockets SECTION("maps") = { MAP_XDP_SOCKETS, sizeof(u32), sizeof(u32), 256, 0 };
struct map counters SECTION("maps") = { MAP_PER_CPU_ARRAY, sizeof(u32), sizeof(u64), COUNTERS, 0 };

// IPv6 extension headers that are walked over; a packet with more of them passes.
enum { EXTENSIONS = 3 };

INLINE void add(u32 which, u64 number)
{
	u64 *counter = look_up(&counters, &which);

	if (counter)
		*counter += number;
}

INLINE void count(u32 which)
{
	add(which, 1);
}

// What is done here about a frame for a service: an action, or 0 if the engine gets it. Functions of their own, so that
// each has its own part of the stack; they stand behind the program, whose first instruction is the first of all.
//
// A segment: a part of a handshake is dealt with.
FUNCTION int assist_frame(struct xdp_md *context);
// A datagram: it gets the answer that was left to what it asks.
FUNCTION int answer_frame(struct xdp_md *context);

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
	action = listed == SERVICE ? assist_frame(context) : 0;
	if (listed == ANSWERED_SERVICE)
		action = answer_frame(context);
	if (action)
		return action;
	// A queue without a socket leaves its frames to the kernel.
	action = redirect(&sockets, context->receive_queue, XDP_PASS);
	count(action == XDP_REDIRECT ? STEERED : NO_SOCKET);
	return action;
}

#include "handshake.h"
#include "cookie.h"
#include "answers.h"

char license_text[] SECTION("license") = "Apache-2.0 OR MIT";
