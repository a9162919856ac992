use proptest::prelude::*;

use super::*;

/// Engines that do what they are told, with connections that each ask for a share of an engine.
struct Model {
    balance: Balance,
    now: Duration,
    busy: Vec<u64>,
    /// Engine and demand.
    connections: Vec<(usize, f64)>,
    moves: usize,
    switches: usize,
}

impl Model {
    fn new(engines: usize, settings: Settings) -> Model {
        let balance = Balance::new(engines, settings);
        Model {
            balance,
            now: Duration::from_secs(1),
            busy: vec![0; engines],
            connections: Vec::new(),
            moves: 0,
            switches: 0,
        }
    }

    fn with(mut self, connections: &[(usize, f64)]) -> Model {
        self.connections = connections.to_vec();
        self
    }

    fn load(&self, engine: usize) -> f64 {
        self.connections.iter().filter(|(on, _)| *on == engine).map(|(_, demand)| demand).sum::<f64>().min(1.0)
    }

    fn active(&self) -> usize {
        self.balance.active().iter().filter(|active| **active).count()
    }

    fn step(&mut self) -> Vec<Action> {
        self.now += INTERVAL;
        for engine in 0..self.busy.len() {
            self.busy[engine] += (self.load(engine) * INTERVAL.as_nanos() as f64) as u64;
        }
        let of = |engine: usize| self.connections.iter().filter(|(on, _)| *on == engine).count() as u64;
        let observations: Vec<_> =
            self.busy.iter().enumerate().map(|(at, busy)| Observation { busy: *busy, connections: of(at) }).collect();
        let actions = self.balance.decide(&observations, self.now);
        actions.iter().for_each(|action| self.apply(action));
        actions
    }

    fn steps(&mut self, count: usize) {
        (0..count).for_each(|_| drop(self.step()));
    }

    fn apply(&mut self, action: &Action) {
        match action {
            Action::Activate(_) | Action::Retire(_) => self.switches += 1,
            Action::Evacuate { from, to } => {
                let mut targets = to.iter().cycle();
                for (on, _) in self.connections.iter_mut().filter(|(on, _)| on == from) {
                    *on = *targets.next().unwrap();
                }
            }
            Action::Move { from, to, permille } => {
                let total: f64 = self.connections.iter().filter(|(on, _)| on == from).map(|(_, demand)| demand).sum();
                let mut left = total * f64::from(*permille) / 1000.0;
                self.connections.sort_by(|a, b| b.1.total_cmp(&a.1));
                for (on, demand) in self.connections.iter_mut().filter(|(on, _)| on == from) {
                    if *demand > 0.0 && *demand <= left {
                        left -= *demand;
                        *on = *to;
                        self.moves += 1;
                    }
                }
            }
        }
    }
}

fn settings(min: usize, max: usize) -> Settings {
    Settings { min, max, moves: true }
}

#[test]
fn engines_come_with_load_and_go_without_it() {
    let mut model = Model::new(3, settings(1, 3)).with(&[(0, 0.2); 4]);
    model.steps(20);
    assert_eq!(model.active(), 2);
    model.connections.extend([(0, 0.2); 4]);
    model.steps(40);
    assert_eq!(model.active(), 3);
    let loads = [0, 1, 2].map(|engine| model.load(engine));
    assert!(loads.iter().all(|load| (0.3..0.8).contains(load)), "{loads:?}");
    model.connections.iter_mut().for_each(|(_, demand)| *demand = 0.01);
    model.steps(100);
    assert_eq!(model.active(), 1);
    let left = model.balance.active().iter().position(|active| *active).unwrap();
    assert!(model.connections.iter().all(|(on, _)| *on == left));
}

#[test]
fn a_short_burst_changes_nothing() {
    let mut model = Model::new(2, settings(1, 2));
    for round in 0..50 {
        model.connections = if round % 5 == 0 { vec![(0, 1.0)] } else { Vec::new() };
        model.step();
    }
    assert_eq!((model.switches, model.moves), (0, 0));
}

#[test]
fn the_busy_connections_of_one_engine_are_shared_out() {
    let mut model = Model::new(2, settings(2, 2)).with(&[(0, 0.1); 8]);
    model.connections.extend([(0, 0.0); 8]);
    model.steps(30);
    assert!((model.load(0) - model.load(1)).abs() <= SKEW, "{} {}", model.load(0), model.load(1));
    assert_eq!(model.connections.iter().filter(|(on, demand)| *on == 1 && *demand == 0.0).count(), 0);
    let moves = model.moves;
    model.steps(200);
    assert_eq!(model.moves, moves);
}

#[test]
fn one_connection_that_fills_an_engine_stays() {
    let mut model = Model::new(2, settings(2, 2)).with(&[(0, 1.0), (0, 0.0)]);
    model.steps(100);
    assert_eq!((model.moves, model.switches), (0, 0));
}

#[test]
fn what_cannot_leave_a_retired_engine_is_asked_for_now_and_then() {
    let mut model = Model::new(2, settings(1, 2)).with(&[(1, 0.0)]);
    let mut asked = 0;
    for _ in 0..50 {
        let actions = model.step();
        asked += actions.iter().filter(|action| matches!(action, Action::Evacuate { from: 1, .. })).count();
        // It is in the way of nothing.
        model.connections = vec![(1, 0.0)];
    }
    assert!((3..=6).contains(&asked), "{asked}");
    assert!(!model.balance.is_settled());
}

#[test]
fn where_connections_cannot_move_engines_only_come_and_go() {
    let mut model = Model::new(2, Settings { moves: false, ..settings(1, 2) }).with(&[(0, 0.5), (0, 0.5)]);
    for _ in 0..50 {
        assert!(!model.step().iter().any(|a| matches!(a, Action::Move { .. } | Action::Evacuate { .. })));
    }
    assert_eq!(model.active(), 2);
}

#[test]
fn limits_are_made_to_fit_the_engines() {
    for (min, max, expected) in [(usize::MAX, usize::MAX, 3), (0, 0, 1), (5, 2, 2), (1, 9, 1)] {
        let active = Balance::new(3, settings(min, max)).active().iter().filter(|active| **active).count();
        assert_eq!(active, expected, "{min} to {max}");
    }
    assert!(!Balance::new(1, Settings::default()).is_needed());
    assert!(Balance::new(2, Settings::default()).is_needed());
}

proptest! {
    #[test]
    fn whatever_happens_the_number_of_active_engines_stays_within_its_bounds(
        engines in 1usize..6,
        min in 0usize..7,
        max in 0usize..7,
        moves: bool,
        rounds in prop::collection::vec(prop::collection::vec((0usize..6, 0.0f64..2.0), 0..12), 1..8),
    ) {
        let mut model = Model::new(engines, Settings { min, max, moves });
        let (most, least) = (max.clamp(1, engines), min.clamp(1, max.clamp(1, engines)));
        for connections in rounds {
            model.connections = connections.into_iter().map(|(on, demand)| (on % engines, demand)).collect();
            for _ in 0..40 {
                let before: Vec<bool> = model.balance.active().to_vec();
                for action in model.step() {
                    match action {
                        Action::Activate(engine) => prop_assert!(!before[engine]),
                        Action::Retire(engine) => prop_assert!(before[engine]),
                        Action::Evacuate { from, to } => {
                            prop_assert!(!model.balance.active()[from]);
                            prop_assert!(!to.is_empty() && to.iter().all(|to| model.balance.active()[*to]));
                        }
                        Action::Move { from, to, permille } => {
                            prop_assert!(from != to && permille <= 500);
                            prop_assert!(model.balance.active()[from] && model.balance.active()[to]);
                        }
                    }
                }
                prop_assert!((least..=most).contains(&model.active()));
            }
        }
    }

    #[test]
    fn under_constant_load_it_comes_to_rest(
        engines in 2usize..5,
        min in 1usize..5,
        connections in prop::collection::vec((0usize..5, 0.0f64..0.4), 0..24),
    ) {
        let mut model = Model::new(engines, settings(min, engines));
        model.connections = connections.into_iter().map(|(on, demand)| (on % engines, demand)).collect();
        model.steps(600);
        let (moves, switches) = (model.moves, model.switches);
        model.steps(300);
        prop_assert_eq!((model.moves, model.switches), (moves, switches));
    }

    #[test]
    fn a_skew_of_many_small_connections_is_evened_out(engines in 2usize..5, count in 20usize..60, demand in 0.01f64..0.05) {
        let mut model = Model::new(engines, settings(engines, engines));
        model.connections = vec![(0, demand); count];
        model.steps(600);
        let loads: Vec<f64> = (0..engines).map(|engine| model.load(engine)).collect();
        let spread = loads.iter().cloned().fold(0.0, f64::max) - loads.iter().cloned().fold(1.0, f64::min);
        prop_assert!(spread <= SKEW + 0.05, "{:?}", loads);
    }
}
