//! What an operator says about each class of requests.

use std::fmt;

use crate::Limit;

/// The most classes: a set of them is one word.
pub const MAX_CLASSES: usize = 64;
/// The most requests of one class that may wait on one engine.
pub const MAX_QUEUE: u32 = 1 << 20;
/// The largest weight.
pub const MAX_WEIGHT: u32 = 1 << 16;

/// A class of requests: what it is worth, and what it may take. Limits are those of one engine:
/// [`Limit::divided`] makes them from those of the whole server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClassConfig {
    /// What rules call it.
    pub name: String,
    /// How important it is, 0 the most: who goes first of those that wait, and who is shed last.
    pub priority: u8,
    /// Its share in relation to other classes of its priority that wait, from 1 to [`MAX_WEIGHT`].
    pub weight: u32,
    /// Requests.
    pub rate: Option<Limit>,
    /// Requests in progress at once, at least 1.
    pub concurrency: Option<u32>,
    /// Octets of responses.
    pub bandwidth: Option<Limit>,
    /// Requests that may wait, at most [`MAX_QUEUE`].
    pub queue: u32,
    /// Nanoseconds that a request may wait.
    pub queue_timeout: u64,
    /// Whether it may be refused because the engine is overloaded.
    pub sheddable: bool,
}

/// A class, by its place in [`Classes`]. One from before a reload that is too large counts as the last class.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct ClassIndex(u8);

/// The classes of a configuration, checked: one at least, at most [`MAX_CLASSES`].
#[derive(Clone, Debug)]
pub struct Classes(Vec<ClassConfig>);

/// Why a configuration is none: the operator's fault.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ClassError {
    /// There are none, or more than [`MAX_CLASSES`].
    Count(usize),
    /// Two classes have this name.
    Name(String),
    /// The weight of the class of this name is not from 1 to [`MAX_WEIGHT`].
    Weight(String),
    /// The class of this name may have no request in progress.
    Concurrency(String),
    /// The queue of the class of this name is longer than [`MAX_QUEUE`], or nobody may wait in it for any time.
    Queue(String),
}

impl Default for ClassConfig {
    /// Without limits, sheddable, in the middle between all priorities.
    fn default() -> ClassConfig {
        ClassConfig {
            name: "default".to_owned(),
            priority: 128,
            weight: 1,
            rate: None,
            concurrency: None,
            bandwidth: None,
            queue: 1_024,
            queue_timeout: 5_000_000_000,
            sheddable: true,
        }
    }
}

impl Classes {
    /// The classes in this order.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn new(configs: Vec<ClassConfig>) -> Result<Classes, ClassError> {
        if configs.is_empty() || configs.len() > MAX_CLASSES {
            return Err(ClassError::Count(configs.len()));
        }
        for (index, config) in configs.iter().enumerate() {
            let name = || config.name.clone();
            if configs[..index].iter().any(|other| other.name == config.name) {
                return Err(ClassError::Name(name()));
            }
            if !(1..=MAX_WEIGHT).contains(&config.weight) {
                return Err(ClassError::Weight(name()));
            }
            if config.concurrency == Some(0) {
                return Err(ClassError::Concurrency(name()));
            }
            if config.queue > MAX_QUEUE || config.queue > 0 && config.queue_timeout == 0 {
                return Err(ClassError::Queue(name()));
            }
        }
        Ok(Classes(configs))
    }

    /// The class of this name.
    pub fn find(&self, name: &str) -> Option<ClassIndex> {
        self.iter().find(|(_, config)| config.name == name).map(|(index, _)| index)
    }

    /// The class with this place, from 0.
    pub fn at(&self, place: usize) -> Option<ClassIndex> {
        (place < self.0.len()).then(|| ClassIndex::at(place))
    }

    /// What is said about `class`.
    pub fn config(&self, class: ClassIndex) -> &ClassConfig {
        &self.0[class.within(self.0.len())]
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (ClassIndex, &ClassConfig)> {
        self.0.iter().enumerate().map(|(index, config)| (ClassIndex::at(index), config))
    }

    /// How many there are: never none.
    #[expect(clippy::len_without_is_empty, reason = "they are never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn configs(&self) -> &[ClassConfig] {
        &self.0
    }
}

impl Default for Classes {
    /// One class without limits.
    fn default() -> Classes {
        Classes(vec![ClassConfig::default()])
    }
}

impl ClassIndex {
    /// Its place, from 0.
    pub fn get(self) -> usize {
        usize::from(self.0)
    }

    /// The one at `place`, below [`MAX_CLASSES`].
    #[inline]
    pub(crate) fn at(place: usize) -> ClassIndex {
        ClassIndex(place as u8)
    }

    /// Its place among `count` classes, of which there is at least one.
    #[inline]
    pub(crate) fn within(self, count: usize) -> usize {
        self.get().min(count - 1)
    }
}

impl fmt::Display for ClassError {
    /// What the writer has to know.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClassError::Count(count) => write!(f, "there are {count} classes; 1 to {MAX_CLASSES} may be"),
            ClassError::Name(name) => write!(f, "two classes are called {name}"),
            ClassError::Weight(name) => write!(f, "class {name}: its weight is a number from 1 to {MAX_WEIGHT}"),
            ClassError::Concurrency(name) => {
                write!(f, "class {name}: with a concurrency of 0 no request is ever answered; write 1 or more")
            }
            ClassError::Queue(name) => {
                write!(f, "class {name}: its queue is a number from 0 to {MAX_QUEUE}, and its timeout more than 0")
            }
        }
    }
}

impl std::error::Error for ClassError {}
