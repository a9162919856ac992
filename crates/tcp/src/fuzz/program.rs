//! The fuzzer's octets, read as numbers.

/// What is left of a program. Behind its end there are zeros.
pub(super) struct Program<'a>(&'a [u8]);

impl<'a> Program<'a> {
    pub(super) fn new(octets: &'a [u8]) -> Program<'a> {
        Program(octets)
    }

    pub(super) fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn octet(&mut self) -> u8 {
        self.octets(1).first().copied().unwrap_or(0)
    }

    pub(super) fn number(&mut self) -> u16 {
        u16::from(self.octet()) << 8 | u16::from(self.octet())
    }

    /// As many octets as there are, up to `count`.
    pub(super) fn octets(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// A distance in the sequence space: mostly a short one, and the most that there is.
    pub(super) fn distance(&mut self) -> u32 {
        let octet = self.octet() as i8;
        let distance = match octet {
            -64..=63 => i32::from(octet),
            -128 => i32::MIN,
            127 => 1 << 30,
            _ => (i32::from(octet) - i32::from(octet.signum()) * 63) * 1024,
        };
        distance as u32
    }

    /// How many octets, up to 60,000.
    pub(super) fn length(&mut self) -> usize {
        match usize::from(self.octet()) {
            short @ 0..128 => short,
            long => ((long - 127) * 480).min(60_000),
        }
    }

    /// Nanoseconds: from 100 µs to 64 hours.
    pub(super) fn duration(&mut self) -> u64 {
        let octet = u64::from(self.octet());
        let unit = [100_000, 10_000_000, 1_000_000_000, 3_600_000_000_000][octet as usize / 64];
        (octet % 64 + 1) * unit
    }
}
