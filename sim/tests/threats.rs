//! Each kind of liar, a few seeds each: nothing is violated, and it did lie. `cargo run --release -p sim` runs thousands.

use crypto::ProtocolTag;
use sim::adversary::Behaviour;
use sim::{Canary, Outcome, Scenario, Tally, run};

/// Runs seeds with f liars of one kind in a committee of four.
fn liars(behaviour: Behaviour, seeds: std::ops::Range<u64>) -> Tally {
    let mut total = Tally::default();
    for seed in seeds {
        let scenario = Scenario { replicas: Some(4), behaviour: Some(behaviour), ..Scenario::of_seed(seed) };
        let Outcome { tally, violation, .. } = run(&scenario);
        assert_eq!(violation, None, "seed {seed} with {behaviour:?}");
        total.add(&tally);
    }
    assert!(count(&total, &format!("lies: {behaviour:?}")) > 0, "{total:?}");
    total
}

fn count(tally: &Tally, kind: &str) -> u64 {
    tally.faults.get(kind).copied().unwrap_or(0)
}

#[test]
fn threat_01_leader_equivocation_is_harmless() {
    liars(Behaviour::Equivocate, 0..5);
}

#[test]
fn threat_02_withheld_payload_is_fetched() {
    liars(Behaviour::Withhold, 0..5);
}

#[test]
fn threat_04_05_06_forged_new_view_and_hidden_certificates_change_nothing() {
    let tally = liars(Behaviour::Forget, 0..8);
    assert!(tally.views > 0);
}

#[test]
fn threat_08_stale_views_are_not_handled_in_the_current_one() {
    liars(Behaviour::Stale, 0..4);
}

#[test]
fn threat_13_slow_leader_is_replaced() {
    let tally = liars(Behaviour::Slow, 0..5);
    assert!(tally.views > 0);
}

#[test]
fn threat_14_censored_client_is_served() {
    liars(Behaviour::Censor, 0..5);
}

#[test]
fn threat_16_f_silent_replicas_stop_nothing() {
    let tally = liars(Behaviour::Silent, 0..5);
    assert!(tally.views > 0);
}

#[test]
fn threat_53_bad_shares_are_named_left_out() {
    liars(Behaviour::BadShares, 0..5);
}

#[test]
fn threat_71_garbled_frames_are_refused() {
    let tally = liars(Behaviour::Garble, 0..4);
    assert!(count(&tally, "frames refused") > 0);
}

// threat 12: a divergent checkpoint is a chain or state under another root; threat 81: targets come from certificates only.
#[test]
fn threat_42_81_84_86_poisoned_state_is_fetched_elsewhere() {
    let tally = liars(Behaviour::Poison, 0..24);
    assert!(count(&tally, "states transferred") > 0, "{tally:?}");
}

#[test]
fn one_seed_is_one_run() {
    for seed in 500..508 {
        let replicas = if seed == 500 { 7 } else { 4 };
        let scenario = Scenario { replicas: Some(replicas), ..Scenario::of_seed(seed) };
        let (first, second) = (run(&scenario), run(&scenario));
        assert_eq!(first.violation, None, "seed {seed}");
        assert_eq!(first, second, "seed {seed}");
    }
}

#[test]
fn some_seeds_are_clean() {
    for seed in 600..620 {
        let scenario = Scenario { replicas: Some(4), ..Scenario::of_seed(seed) };
        assert_eq!(run(&scenario).violation, None, "seed {seed}");
    }
}

/// Every seed that once failed, from `tests/seeds.txt`: `seed replicas reason`.
#[test]
fn seeds_that_failed_once_pass() {
    let text = include_str!("../../tests/seeds.txt");
    let mut seeds = 0;
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
        let mut words = line.split_whitespace();
        let mut next = || words.next().unwrap_or_default();
        let (seed, replicas, reason) = (next(), next(), next());
        let seed = seed.parse().unwrap_or_else(|_| panic!("a seed in {line:?}"));
        let replicas = replicas.parse().ok();
        assert!(!reason.is_empty(), "a reason in {line:?}");
        let scenario = Scenario { protocol: ProtocolTag::PBFT, replicas, ..Scenario::of_seed(seed) };
        assert_eq!(run(&scenario).violation, None, "{line}");
        seeds += 1;
    }
    assert!(seeds > 0);
}

/// The first violation that a canary causes, among some seeds.
fn sings(canary: Canary, behaviour: Behaviour, replicas: usize) -> Option<&'static str> {
    (0..40).find_map(|seed| {
        let scenario = Scenario {
            replicas: Some(replicas),
            behaviour: Some(behaviour),
            canary: Some(canary),
            ..Scenario::of_seed(seed)
        };
        run(&scenario).violation.map(|violation| violation.rule)
    })
}

#[test]
fn a_liar_counted_as_honest_is_noticed() {
    let rule = sings(Canary::LiarsCountAsHonest, Behaviour::Equivocate, 4);
    assert_eq!(rule, Some("promises are durable before they leave"));
}

#[test]
fn quorums_that_need_not_intersect_are_noticed() {
    let rule = sings(Canary::SmallQuorums, Behaviour::Equivocate, 5);
    assert_eq!(rule, Some("agreement"));
}
