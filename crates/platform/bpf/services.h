// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Which services are ours, and what both programs ask about them.

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

struct map services SECTION("maps") = { MAP_HASH, sizeof(struct service), sizeof(u32), 4096, 0 };
struct map ranges SECTION("maps") = { MAP_HASH, sizeof(struct host), sizeof(struct range), 1024, 0 };

// ICMP errors that TCP and UDP need (RFC 792, RFC 4443).
enum { UNREACHABLE = 3, TIME_EXCEEDED = 11, PARAMETER_PROBLEM = 12 };
enum { V6_UNREACHABLE = 1, V6_PARAMETER_PROBLEM = 4 };

// Whether an address and port are listed, and as what.
enum { SERVICE = 1, OF_RANGE = 2, ANSWERED_SERVICE = 3 };
// The bit of a listed service's value that says that answers are left for it.
enum { HAS_ANSWERS = 2 };

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

INLINE int kind_of(const u32 *listed)
{
	return *listed & HAS_ANSWERS ? ANSWERED_SERVICE : SERVICE;
}

// Whether the address and port of ours are listed.
INLINE int is_listed(struct service *service)
{
	struct host host __attribute__((aligned(8)));
	struct range *range;
	u32 *listed = look_up(&services, service);
	u16 port = big_endian(service->port);

	if (listed)
		return kind_of(listed);
	__builtin_memcpy(host.address, service->address, sizeof(host.address));
	host.protocol = service->protocol;
	host.version = service->version;
	host.zero = 0;
	range = look_up(&ranges, &host);
	if (range && port >= range->first && port <= range->last)
		return OF_RANGE;
	clear(service->address);
	listed = look_up(&services, service);
	return listed ? kind_of(listed) : 0;
}
