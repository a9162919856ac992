//! The frames of the direct transport, while somebody wants copies of them.

/// A capture that runs, until it is dropped. An engine never waits for it: what is not taken in time is
/// lost and counted.
pub trait Capture: Send {
    /// The interfaces; a frame names one by its place in this list.
    fn interfaces(&self) -> Vec<String>;

    /// The next frame, in the order of each engine's own time. Never waits.
    fn take(&mut self) -> Taken;

    /// How many frames were lost so far.
    fn dropped(&self) -> u64;
}

/// What [`Capture::take`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// A frame.
    Frame(CapturedFrame),
    /// None yet.
    Nothing,
    /// None, and none will come: the engines have ended.
    End,
}

/// A frame, as far as it was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapturedFrame {
    /// When it was handled, in nanoseconds since 1970.
    pub unix_nanos: u64,
    /// The place of its interface in [`Capture::interfaces`].
    pub interface: u32,
    /// Whether we sent it.
    pub outgoing: bool,
    /// Its length on the wire, in octets.
    pub length: usize,
    /// Its first octets.
    pub octets: Vec<u8>,
}
