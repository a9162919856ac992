//! Scripts that proptest makes up: nothing panics, every bound holds, and in the end nothing is left.

#[path = "support/script.rs"]
mod script;

use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn no_script_breaks_a_promise(data in vec(any::<u8>(), 0..800)) {
        script::script(&data);
    }

    /// Segments are mostly as they should be, so that scripts get further.
    #[test]
    fn no_plausible_script_breaks_a_promise(
        choices in any::<u8>(),
        lines in vec((0u8..16, prop_oneof![Just(2u8), Just(0x10), Just(0x18), Just(0x11), any::<u8>()],
            prop_oneof![4 => Just(0u8), 1 => any::<u8>()], prop_oneof![4 => Just(0u8), 1 => any::<u8>()],
            any::<u8>(), any::<u8>(), any::<u8>(), any::<u8>()), 0..200),
    ) {
        let mut data = vec![choices];
        for (operation, flags, sequence, acknowledgment, len, window, options, echo) in lines {
            data.extend([operation, flags, sequence, acknowledgment, len, window, options, echo]);
        }
        script::script(&data);
    }
}
