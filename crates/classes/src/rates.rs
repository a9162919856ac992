//! How often requests of classes may come.

use crate::{ClassIndex, Classes, Reason, Refusal, TokenBucket};

/// The requests of each class that has a limit for them.
#[derive(Clone, Debug)]
pub struct Rates {
    buckets: Vec<Option<TokenBucket>>,
}

impl Rates {
    /// With full buckets.
    pub fn new(classes: &Classes) -> Rates {
        Rates { buckets: classes.configs().iter().map(|config| config.rate.map(TokenBucket::new)).collect() }
    }

    /// A request of `class` has come.
    ///
    /// # Errors
    /// It is one too many, and this is the answer.
    #[inline]
    pub fn arrive(&mut self, class: ClassIndex, now: u64) -> Result<(), Refusal> {
        let index = class.within(self.buckets.len());
        match &mut self.buckets[index] {
            None => Ok(()),
            Some(bucket) => bucket.take(now, 1).map_err(|wait| Refusal::new(Reason::ClassRate, wait)),
        }
    }
}
