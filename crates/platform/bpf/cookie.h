// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The keyed hashes of crates/tcp: SipHash-1-3. Functions of their own, so they stand behind the program, whose first
// instruction is the first of all.

struct hash {
	u64 v0, v1, v2, v3;
};

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
