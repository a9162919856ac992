//! The names of DNS backends, by the numbers that engines know them under.

use std::sync::{Arc, Mutex, PoisonError};

/// Names that a reload adds to. A number keeps its name for as long as the server runs, so that counters, and records
/// that were made before a reload, mean the same backend afterwards.
#[derive(Clone, Default)]
pub struct BackendNames(Arc<Mutex<Arc<[String]>>>);

impl BackendNames {
    /// All names, each at its number.
    pub fn all(&self) -> Arc<[String]> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The numbers of `names`, of which those that are new get the next.
    pub fn numbers<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Vec<usize> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = all.to_vec();
        let mut number = |name: &str| {
            known.iter().position(|known| known == name).unwrap_or_else(|| {
                known.push(name.to_owned());
                known.len() - 1
            })
        };
        let numbers = names.into_iter().map(&mut number).collect();
        *all = known.into();
        numbers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_keeps_its_name() {
        let names = BackendNames::default();
        assert_eq!(names.numbers(["a", "b"]), [0, 1]);
        assert_eq!(names.numbers(["c", "b"]), [2, 1]);
        assert_eq!(names.numbers(["a"]), [0]);
        assert_eq!(*names.all(), ["a", "b", "c"]);
    }
}
