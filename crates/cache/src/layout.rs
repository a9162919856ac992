//! How a body lies in fragments.

use afpa_platform::memory::{MAX_EXTENT, footprint};

/// Head and payload of up to this many octets together lie side by side in one fragment, so that one
/// pin covers a whole response. In a larger body the head has a fragment of its own: the payload's
/// fragments are then whole pages, which can be lent to the kernel one after another.
pub(crate) const SIDE_BY_SIDE: u64 = 56 * 1024;

/// The first fragment is of a length of its own; the others have [`MAX_EXTENT`] octets, but for the
/// last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    first: u32,
    rest: u64,
}

impl Layout {
    /// For a body whose payload is pinned.
    pub(crate) fn of(head_len: usize, payload_len: u64) -> Layout {
        let len = head_len as u64 + payload_len;
        let first = match head_len {
            _ if len <= SIDE_BY_SIDE => len,
            0 => len.min(MAX_EXTENT as u64),
            head_len => head_len as u64,
        };
        Layout { first: first as u32, rest: len - first }
    }

    /// Octets in all fragments.
    pub(crate) fn len(self) -> u64 {
        u64::from(self.first) + self.rest
    }

    /// The fragments' lengths.
    pub(crate) fn fragments(self) -> impl Iterator<Item = usize> {
        let (whole, last) = (self.rest / MAX_EXTENT as u64, (self.rest % MAX_EXTENT as u64) as usize);
        let lens = std::iter::once(self.first as usize).chain((0..whole).map(|_| MAX_EXTENT)).chain([last]);
        lens.filter(|&len| len > 0)
    }

    /// How many fragments there are.
    pub(crate) fn count(self) -> u64 {
        u64::from(self.first > 0) + self.rest.div_ceil(MAX_EXTENT as u64)
    }

    /// Octets that the fragments occupy.
    pub(crate) fn footprint(self) -> u64 {
        let whole = self.rest / MAX_EXTENT as u64 * MAX_EXTENT as u64;
        let others = [self.first as usize, (self.rest % MAX_EXTENT as u64) as usize];
        whole + others.into_iter().filter(|&len| len > 0).map(|len| footprint(len) as u64).sum::<u64>()
    }

    /// The fragment that holds the octet at `position`, and where that fragment starts.
    #[inline]
    pub(crate) fn find(self, position: u64) -> (usize, u64) {
        let first = u64::from(self.first);
        if position < first {
            return (0, 0);
        }
        let index = (position - first) / MAX_EXTENT as u64;
        (1 + index as usize, first + index * MAX_EXTENT as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_octet_is_found_where_the_lengths_put_it() {
        const PAGE: u64 = MAX_EXTENT as u64;
        for (head, payload) in [
            (0, 0),
            (0, 1),
            (100, 0),
            (100, 1000),
            (100, SIDE_BY_SIDE - 100),
            (100, SIDE_BY_SIDE - 99),
            (100, PAGE),
            (100, PAGE + 1),
            (0, PAGE),
            (0, 3 * PAGE + 5),
            (100, 16 * PAGE),
        ] {
            let layout = Layout::of(head, payload);
            let lens: Vec<usize> = layout.fragments().collect();
            assert_eq!(lens.iter().sum::<usize>() as u64, head as u64 + payload);
            assert_eq!(lens.len() as u64, layout.count());
            assert!(layout.footprint() >= layout.len());
            let mut start = 0;
            for (i, &len) in lens.iter().enumerate() {
                assert!(len <= MAX_EXTENT);
                assert_eq!(layout.find(start), (i, start), "{head} {payload}");
                assert_eq!(layout.find(start + len as u64 - 1), (i, start), "{head} {payload}");
                start += len as u64;
            }
        }
    }

    #[test]
    fn a_small_body_is_one_piece_and_a_large_one_has_whole_pages() {
        assert_eq!(Layout::of(200, 1024).fragments().collect::<Vec<_>>(), [1224]);
        assert_eq!(
            Layout::of(200, 2 * MAX_EXTENT as u64).fragments().collect::<Vec<_>>(),
            [200, MAX_EXTENT, MAX_EXTENT]
        );
    }
}
