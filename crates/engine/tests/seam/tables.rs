//! What a control table must say. The check runs at compile time in a `const`; here the same
//! function is called at run time, so that its complaints can be read.

use std::panic::catch_unwind;

use afpa_engine::Next::{Close, Run, Wait};
use afpa_engine::seam::Origin;
use afpa_engine::table::Row;
use afpa_engine::{ConnectionId, Context, ControlTable, Outcome, ProtocolModule, State, StateFunction, Time, row};

const FIRST: State = State::new(0, "first");
const SECOND: State = State::new(1, "second");
const UNKNOWN: State = State::new(2, "unknown");
const YES: Outcome = Outcome::new(0, "yes");
const NO: Outcome = Outcome::new(1, "no");
const HUGE: Outcome = Outcome::new(200, "huge");

struct Nothing;

impl ProtocolModule for Nothing {
    const NAME: &'static str = "nothing";
    const TABLE: &'static ControlTable<Nothing> = &ControlTable::checked(FIRST, FUNCTIONS, GOOD);
    type Global = ();
    type Connection = ();
    type Request = ();

    fn connected(_: &mut (), _: ConnectionId, _: Origin, _: Time) {}
}

fn yes(_: &mut Context<'_, Nothing>) -> Outcome {
    YES
}

const FUNCTIONS: &[StateFunction<Nothing>] = &[
    StateFunction { state: FIRST, run: yes, outcomes: &[YES, NO] },
    StateFunction { state: SECOND, run: yes, outcomes: &[YES] },
];
const GOOD: &[Row] = &[row(FIRST, YES, Run(SECOND)), row(FIRST, NO, Close), row(SECOND, YES, Wait(FIRST))];

#[test]
fn a_sound_table_answers_what_follows() {
    let table = Nothing::TABLE;
    assert_eq!((table.start(), table.rows().len(), table.functions().len()), (FIRST, 3, 2));
    assert_eq!(table.next(FIRST, YES), Some(Run(SECOND)));
    assert_eq!(table.next(FIRST, NO), Some(Close));
    assert_eq!(table.next(SECOND, NO), None);
}

#[test]
fn each_fault_of_a_table_is_named() {
    const MISPLACED: &[StateFunction<Nothing>] = &[
        StateFunction { state: SECOND, run: yes, outcomes: &[] },
        StateFunction { state: FIRST, run: yes, outcomes: &[] },
    ];
    type Case = (&'static str, State, &'static [StateFunction<Nothing>], &'static [Row]);
    let table: [Case; 8] = [
        ("a (state, outcome) without a row", FIRST, FUNCTIONS, &GOOD[..2]),
        (
            "two rows for one (state, outcome)",
            FIRST,
            FUNCTIONS,
            const { &[row(FIRST, YES, Close), row(FIRST, YES, Close)] },
        ),
        ("a row's outcome is not declared by its state", FIRST, FUNCTIONS, const { &[row(SECOND, NO, Close)] }),
        ("a row starts from a state without a function", FIRST, FUNCTIONS, const { &[row(UNKNOWN, YES, Close)] }),
        ("a row leads to a state without a function", FIRST, FUNCTIONS, const { &[row(FIRST, YES, Run(UNKNOWN))] }),
        ("the start state has no function", UNKNOWN, FUNCTIONS, GOOD),
        ("a state's number is not its place in the list", FIRST, MISPLACED, &[]),
        ("too many outcomes", FIRST, FUNCTIONS, const { &[row(FIRST, HUGE, Close)] }),
    ];
    let complaints = table.map(|(_, start, functions, rows)| {
        let fault = catch_unwind(|| ControlTable::checked(start, functions, rows)).err();
        fault.and_then(|panic| panic.downcast_ref::<&str>().copied().map(str::to_owned))
    });
    assert_eq!(complaints.map(Option::unwrap_or_default), table.map(|(fault, ..)| fault.to_owned()));
}
