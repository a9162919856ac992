//! Congestion avoidance of RFC 5681, counted in octets (RFC 3465 §2.1).

/// By how much the window grows for `octets` acknowledged: a segment for each window of them. `credit` carries the
/// rest.
pub(crate) fn growth(credit: &mut u32, octets: u32, window: u32, mss: u32) -> u32 {
    *credit = credit.saturating_add(octets);
    if *credit < window {
        return 0;
    }
    // One segment at most for one acknowledgment; a peer that acknowledges in leaps gains no burst by it.
    *credit = (*credit - window).min(window);
    mss
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_of_octets_adds_a_segment() {
        let mut credit = 0;
        let cases = [(5000, 0, 5000), (4999, 0, 9999), (1, 1000, 0), (10_500, 1000, 500), (100_000, 1000, 10_000)];
        for (octets, more, left) in cases {
            assert_eq!((growth(&mut credit, octets, 10_000, 1000), credit), (more, left));
        }
    }
}
