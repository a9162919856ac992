//! Forward RTO-Recovery (RFC 5682): was a timeout for nothing?

/// New segments that are sent instead of what seems lost (§2.1, step 2b).
const NEW_SEGMENTS: u8 = 2;

/// How far the question has come. It is for peers without timestamps, which would tell at once (RFC 3522).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ForwardRecovery {
    /// It is not asked, or no longer.
    Off,
    /// The first segment was sent again; its acknowledgment is awaited (§2.1, step 2).
    Retransmitted,
    /// That came. So many new segments may still be sent, and nothing again until the next acknowledgment (step 3).
    Advanced {
        /// Of [`NEW_SEGMENTS`].
        left: u8,
    },
}

/// What an acknowledgment says about it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Evidence {
    pub(crate) kind: Acknowledgment,
    /// It covers all that had been sent before the timeout.
    pub(crate) is_complete: bool,
    /// By its number or a SACK, it is of something that was first sent after the timeout.
    pub(crate) is_beyond: bool,
    /// It is of something that was sent only once.
    pub(crate) is_of_original: bool,
    /// SACK is in use.
    pub(crate) is_selective: bool,
}

/// How its number relates to the one before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Acknowledgment {
    Advance,
    /// RFC 5681 §2.
    Duplicate,
    /// The same number, with a report, or with something else of interest.
    Other,
}

/// What came of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// Nothing yet, or nothing any more.
    None,
    /// What arrived had been sent before the timeout: nothing needs to be sent again.
    Spurious,
    /// Segments were lost.
    Genuine,
}

impl ForwardRecovery {
    /// An acknowledgment arrived.
    pub(crate) fn judge(&mut self, evidence: &Evidence) -> Verdict {
        match self {
            ForwardRecovery::Off => Verdict::None,
            ForwardRecovery::Retransmitted => {
                *self = match evidence.kind {
                    Acknowledgment::Advance if !evidence.is_complete => {
                        ForwardRecovery::Advanced { left: NEW_SEGMENTS }
                    }
                    // With SACK duplicates only report what is beyond the gap.
                    Acknowledgment::Duplicate if evidence.is_selective => *self,
                    Acknowledgment::Other => *self,
                    // Step 2a.
                    Acknowledgment::Advance | Acknowledgment::Duplicate => ForwardRecovery::Off,
                };
                Verdict::None
            }
            ForwardRecovery::Advanced { .. } => {
                let verdict = if evidence.is_beyond {
                    Verdict::Genuine
                } else if evidence.is_of_original {
                    Verdict::Spurious
                } else if evidence.kind == Acknowledgment::Other {
                    return Verdict::None;
                } else {
                    Verdict::Genuine
                };
                *self = ForwardRecovery::Off;
                verdict
            }
        }
    }

    /// So many segments were sent. A retransmission in step 3, for want of new data, ends the question.
    pub(crate) fn sent(&mut self, segments: u32, is_retransmission: bool) {
        if let ForwardRecovery::Advanced { left } = self {
            let segments = segments.clamp(1, NEW_SEGMENTS.into()) as u8;
            let left = left.saturating_sub(segments);
            *self = if is_retransmission { ForwardRecovery::Off } else { ForwardRecovery::Advanced { left } };
        }
    }

    /// How many new segments come before what seems lost; `None` if that comes first.
    pub(crate) fn new_segments(self) -> Option<u32> {
        match self {
            ForwardRecovery::Advanced { left } => Some(left.into()),
            _ => None,
        }
    }

    /// Whether an acknowledgment has to come before anything is sent again.
    pub(crate) fn is_waiting(self) -> bool {
        matches!(self, ForwardRecovery::Advanced { left } if left < NEW_SEGMENTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Evidence = Evidence {
        kind: Acknowledgment::Other,
        is_complete: false,
        is_beyond: false,
        is_of_original: false,
        is_selective: false,
    };
    const ADVANCE: Evidence = Evidence { kind: Acknowledgment::Advance, ..NOTHING };
    const ORIGINAL: Evidence = Evidence { is_of_original: true, ..ADVANCE };
    const DUPLICATE: Evidence = Evidence { kind: Acknowledgment::Duplicate, ..NOTHING };

    #[test]
    fn the_second_acknowledgment_decides() {
        use ForwardRecovery::{Advanced, Off, Retransmitted};
        let selective = |evidence| Evidence { is_selective: true, ..evidence };
        let advanced = Advanced { left: 0 };
        let cases = [
            // stage, what arrives, verdict, stage
            (Off, ORIGINAL, Verdict::None, Off),
            (Retransmitted, ADVANCE, Verdict::None, Advanced { left: 2 }),
            (Retransmitted, ORIGINAL, Verdict::None, Advanced { left: 2 }),
            (Retransmitted, Evidence { is_complete: true, ..ADVANCE }, Verdict::None, Off),
            (Retransmitted, DUPLICATE, Verdict::None, Off),
            (Retransmitted, selective(DUPLICATE), Verdict::None, Retransmitted),
            (Retransmitted, NOTHING, Verdict::None, Retransmitted),
            (advanced, ORIGINAL, Verdict::Spurious, Off),
            (advanced, Evidence { is_complete: true, ..ORIGINAL }, Verdict::Spurious, Off),
            (advanced, selective(Evidence { is_of_original: true, ..DUPLICATE }), Verdict::Spurious, Off),
            (advanced, Evidence { is_beyond: true, ..ORIGINAL }, Verdict::Genuine, Off),
            (advanced, ADVANCE, Verdict::Genuine, Off),
            (advanced, DUPLICATE, Verdict::Genuine, Off),
            (advanced, selective(DUPLICATE), Verdict::Genuine, Off),
            (advanced, NOTHING, Verdict::None, advanced),
        ];
        for (before, evidence, verdict, after) in cases {
            let mut stage = before;
            assert_eq!((stage.judge(&evidence), stage), (verdict, after), "{before:?} {evidence:?}");
        }
    }

    #[test]
    fn two_new_segments_go_before_what_seems_lost_and_then_it_waits() {
        let mut stage = ForwardRecovery::Advanced { left: 2 };
        assert_eq!((stage.new_segments(), stage.is_waiting()), (Some(2), false));
        stage.sent(1, false);
        assert_eq!((stage.new_segments(), stage.is_waiting()), (Some(1), true));
        stage.sent(1, false);
        assert_eq!((stage.new_segments(), stage.is_waiting()), (Some(0), true));
        let mut without_new_data = ForwardRecovery::Advanced { left: 2 };
        without_new_data.sent(1, true);
        assert_eq!(without_new_data, ForwardRecovery::Off);
    }
}
