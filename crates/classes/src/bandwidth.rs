//! How much of their responses classes may send.

use crate::{ClassIndex, Classes, TokenBucket};

/// The octets of each class that has a limit for them.
#[derive(Clone, Debug)]
pub struct Bandwidth {
    buckets: Vec<Option<TokenBucket>>,
}

impl Bandwidth {
    /// With full buckets.
    pub fn new(classes: &Classes) -> Bandwidth {
        Bandwidth { buckets: classes.configs().iter().map(|config| config.bandwidth.map(TokenBucket::new)).collect() }
    }

    /// Whether responses of `class` have to ask.
    #[inline]
    pub fn is_limited(&self, class: ClassIndex) -> bool {
        self.buckets[class.within(self.buckets.len())].is_some()
    }

    /// Accounts for a piece of `octets` that is about to be sent. The last one may be larger than what is left; what
    /// follows pays for it. Send pieces no larger than a burst, or the class sends in jerks.
    ///
    /// # Errors
    /// The nanoseconds after which to ask again; nothing is to be sent now.
    #[inline]
    pub fn send(&mut self, class: ClassIndex, now: u64, octets: u64) -> Result<(), u64> {
        let index = class.within(self.buckets.len());
        match &mut self.buckets[index] {
            None => Ok(()),
            Some(bucket) => bucket.overdraw(now, octets),
        }
    }

    /// The octets that `class` may send without owing any; `u64::MAX` without a limit.
    pub fn available(&self, class: ClassIndex, now: u64) -> u64 {
        let bucket = &self.buckets[class.within(self.buckets.len())];
        bucket.as_ref().map_or(u64::MAX, |bucket| bucket.available(now))
    }

    /// The nanoseconds until `class` may send `octets` without owing any, if nothing else of it is sent meanwhile.
    pub fn wait(&self, class: ClassIndex, now: u64, octets: u64) -> u64 {
        let bucket = &self.buckets[class.within(self.buckets.len())];
        bucket.as_ref().map_or(0, |bucket| bucket.wait(now, octets))
    }
}
