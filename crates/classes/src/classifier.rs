//! Which class a request belongs to.

use std::collections::BTreeMap;
use std::fmt;

use crate::network::NetworkMap;
use crate::{ClassIndex, Network, RequestView, Rule};

/// The most rules.
pub const MAX_RULES: usize = 1 << 16;

/// Rules in their order: the first that holds says the class.
///
/// Rules about clients are found by the client, in a binary search over all of their networks; of the other rules each
/// is looked at until one holds. Nothing is allocated.
#[derive(Clone, Debug)]
pub struct Classifier {
    rules: Vec<Rule>,
    /// The rules about clients, in order, by network.
    by_client: NetworkMap<Vec<u32>>,
    /// The rules about anybody, in order.
    for_anybody: Vec<u32>,
    default: ClassIndex,
}

/// There are so many rules, more than [`MAX_RULES`]: the operator's fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooManyRules(pub usize);

impl Classifier {
    /// With these rules; `default` is for what none of them is about.
    ///
    /// # Errors
    /// There are too many.
    pub fn new(rules: Vec<Rule>, default: ClassIndex) -> Result<Classifier, TooManyRules> {
        if rules.len() > MAX_RULES {
            return Err(TooManyRules(rules.len()));
        }
        let mut by_client: BTreeMap<Network, Vec<u32>> = BTreeMap::new();
        let mut for_anybody = Vec::new();
        for (index, rule) in rules.iter().enumerate() {
            let index = index as u32;
            if rule.clients.is_empty() {
                for_anybody.push(index);
            }
            for network in &rule.clients {
                let known = by_client.entry(*network).or_default();
                if known.last() != Some(&index) {
                    known.push(index);
                }
            }
        }
        let by_client = NetworkMap::new(by_client.into_iter().collect());
        Ok(Classifier { rules, by_client, for_anybody, default })
    }

    /// The class of `request`.
    #[inline]
    pub fn class(&self, request: &RequestView<'_>) -> ClassIndex {
        if self.rules.is_empty() { self.default } else { self.first_match(request) }
    }

    fn first_match(&self, request: &RequestView<'_>) -> ClassIndex {
        let mut first = self.first_of(&self.for_anybody, u32::MAX, request);
        if !self.by_client.is_empty() {
            for rules in self.by_client.matches(request.client) {
                first = self.first_of(rules, first, request);
            }
        }
        self.rules.get(first as usize).map_or(self.default, |rule| rule.class)
    }

    /// The first of `rules` that holds and comes before the rule `before`; `before` if none does.
    fn first_of(&self, rules: &[u32], before: u32, request: &RequestView<'_>) -> u32 {
        let earlier = rules.iter().copied().take_while(|&rule| rule < before);
        earlier.into_iter().find(|&rule| self.rules[rule as usize].holds_for(request)).unwrap_or(before)
    }
}

impl Default for Classifier {
    /// Everything belongs to the first class.
    fn default() -> Classifier {
        Classifier {
            rules: Vec::new(),
            by_client: NetworkMap::new(Vec::new()),
            for_anybody: Vec::new(),
            default: ClassIndex::default(),
        }
    }
}

impl fmt::Display for TooManyRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there are {} rules; {MAX_RULES} may be: put networks of the same class into one rule", self.0)
    }
}

impl std::error::Error for TooManyRules {}
