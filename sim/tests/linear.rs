//! The linearizability checker against histories known to be good or bad, and against another checker.

use bft_core::types::Time;
use sim::linear::{Action, Content, Operation, Value, is_linearizable};
use sim::random::Random;
use todc_utils::{Action as Step, History, Specification, WGLChecker};

const A: Value = ([1; 8], 1);
const B: Value = ([2; 8], 1);

fn operation(invoked: u64, returned: Option<u64>, action: Action) -> Operation {
    Operation { invoked: Time(invoked), returned: returned.map(Time), action }
}

fn write(invoked: u64, returned: u64, value: Value, count: u64) -> Operation {
    operation(invoked, Some(returned), Action::Write(value, Some(count)))
}

fn read(invoked: u64, returned: u64, content: Content) -> Operation {
    operation(invoked, Some(returned), Action::Read(Some(content)))
}

// A stale read.
#[test]
fn a_read_must_not_miss_what_returned_before_it() {
    assert!(is_linearizable(&[write(0, 10, A, 1), read(20, 30, (1, Some(A)))]));
    assert!(!is_linearizable(&[write(0, 10, A, 1), read(20, 30, (0, None))]));
    assert!(is_linearizable(&[write(0, 25, A, 1), read(20, 30, (0, None))]), "they overlap");
    let back = [write(0, 50, A, 1), read(5, 10, (1, Some(A))), read(15, 20, (0, None))];
    assert!(!is_linearizable(&back), "what was seen is not unseen");
}

// threat 88: a retry that executes twice is one count too many.
#[test]
fn a_write_takes_effect_once() {
    assert!(!is_linearizable(&[write(0, 10, A, 1), write(20, 30, B, 3)]));
    assert!(!is_linearizable(&[write(0, 30, A, 1), write(10, 20, B, 1)]));
}

// threat 92: an unknown outcome may take effect later, or never, but not before it was asked for.
#[test]
fn an_unknown_outcome_may_come_late_or_never() {
    let unknown = |invoked| operation(invoked, None, Action::Write(A, None));
    assert!(is_linearizable(&[unknown(0), read(10, 20, (0, None))]));
    assert!(is_linearizable(&[unknown(0), read(10, 20, (0, None)), read(30, 40, (1, Some(A)))]));
    assert!(!is_linearizable(&[read(10, 20, (1, Some(A))), unknown(30)]));
}

/// The same register for the other checker.
struct Register;

impl Specification for Register {
    type State = Content;
    type Operation = Action;

    fn init() -> Content {
        (0, None)
    }

    fn apply(action: &Action, (count, last): &Content) -> (bool, Content) {
        match action {
            Action::Write(value, told) => (*told == Some(count + 1), (count + 1, Some(*value))),
            Action::Read(told) => (*told == Some((*count, *last)), (*count, *last)),
        }
    }
}

fn the_other_checker(operations: &[Operation]) -> bool {
    let mut steps: Vec<(Time, usize, Step<Action>)> = Vec::new();
    for (process, operation) in operations.iter().enumerate() {
        steps.push((operation.invoked, process, Step::Call(operation.action)));
        let returned = operation.returned.expect("the other checker knows all outcomes");
        steps.push((returned, process, Step::Response(operation.action)));
    }
    steps.sort_by_key(|(time, process, _)| (*time, *process));
    let steps = steps.into_iter().map(|(_, process, step)| (process, step)).collect();
    WGLChecker::<Register>::is_linearizable(History::from_actions(steps))
}

#[test]
fn another_checker_finds_the_same() {
    let (mut good, mut bad) = (0, 0);
    for seed in 0..1500 {
        let mut random = Random::new(seed);
        let mut times: Vec<u64> = (0..2 * random.between(1, 6)).collect();
        let mut content: Content = (0, None);
        let mut operations = Vec::new();
        while !times.is_empty() {
            let invoked = times.remove(0);
            // Mostly one after another; an answer is mostly that of the order of invocation.
            let returned = times.remove(random.index(times.len().min(3)));
            let lie = u64::from(random.per_mille(120));
            if random.per_mille(500) {
                let value = ([operations.len() as u8; 8], 1);
                content = (content.0 + 1, Some(value));
                operations.push(write(invoked, returned, value, content.0 + lie));
            } else {
                operations.push(read(invoked, returned, (content.0.saturating_sub(lie), content.1)));
            }
        }
        let verdict = is_linearizable(&operations);
        assert_eq!(verdict, the_other_checker(&operations), "seed {seed}: {operations:?}");
        if verdict { good += 1 } else { bad += 1 }
    }
    assert!(good > 200 && bad > 200, "{good} good, {bad} bad");
}
