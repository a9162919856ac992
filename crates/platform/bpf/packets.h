// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Headers, as they lie in a frame.

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

struct udp {
	u16 source;
	u16 destination;
	u16 length;
	u16 checksum;
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
