//! Of which duration how many of the latest were shorter.

/// The latest durations by size, in a histogram of eight classes for each doubling: a quantile is right to an eighth.
/// When it has [`Quantiles::WINDOW`] of them, each class loses half, so that old ones fade.
#[derive(Clone, Debug)]
pub struct Quantiles {
    classes: Box<[u16; CLASSES]>,
    total: u32,
}

const CLASSES: usize = 256;
const CLASSES_PER_DOUBLING: u32 = 8;
/// Durations below 2^10 ns are one class.
const SMALLEST_BITS: u32 = 10;

impl Quantiles {
    /// How many durations it takes until old ones count half.
    pub const WINDOW: u32 = 2048;

    /// Without any duration.
    pub fn new() -> Quantiles {
        Quantiles { classes: Box::new([0; CLASSES]), total: 0 }
    }

    /// How many durations count.
    pub fn len(&self) -> u32 {
        self.total
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// Counts a duration, in nanoseconds.
    pub fn record(&mut self, nanos: u64) {
        if self.total >= Self::WINDOW {
            self.classes.iter_mut().for_each(|count| *count /= 2);
            self.total = self.classes.iter().map(|count| u32::from(*count)).sum();
        }
        self.classes[class(nanos)] += 1;
        self.total += 1;
    }

    /// A duration, in nanoseconds, than which `percent` of them are not longer; at most an eighth too long. `None` if
    /// there are none.
    pub fn quantile(&self, percent: u32) -> Option<u64> {
        let rank = (u64::from(self.total) * u64::from(percent.min(100))).div_ceil(100).max(1);
        let mut seen = 0;
        let at = self.classes.iter().position(|count| {
            seen += u64::from(*count);
            seen >= rank
        })?;
        Some(upper_end(at))
    }
}

impl Default for Quantiles {
    fn default() -> Quantiles {
        Quantiles::new()
    }
}

fn class(nanos: u64) -> usize {
    let bits = nanos.checked_ilog2().unwrap_or(0);
    let Some(doublings) = bits.checked_sub(SMALLEST_BITS) else { return 0 };
    let part = (nanos >> (bits - 3)) & u64::from(CLASSES_PER_DOUBLING - 1);
    ((doublings * CLASSES_PER_DOUBLING) as usize + part as usize + 1).min(CLASSES - 1)
}

/// The longest duration of a class.
fn upper_end(class: usize) -> u64 {
    let Some(class) = class.checked_sub(1) else { return (1 << SMALLEST_BITS) - 1 };
    let (doublings, part) = (class as u32 / CLASSES_PER_DOUBLING, class as u64 % u64::from(CLASSES_PER_DOUBLING));
    let step = 1u64 << (doublings + SMALLEST_BITS - 3);
    (u64::from(CLASSES_PER_DOUBLING) + part + 1) * step - 1
}
