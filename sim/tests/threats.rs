//! Each kind of liar, a few seeds each: nothing is violated, and it did lie. `cargo run --release -p sim` runs thousands.

use bft_core::genesis::VoteRouting;
use crypto::{ProtocolTag, Scheme};
use sim::adversary::Behaviour;
use sim::twins::{self, Attack};
use sim::{Canary, Faults, Mishap, Outcome, Scenario, Tally, run};

/// Runs seeds with f liars of one kind in a committee of four.
fn liars(behaviour: Behaviour, seeds: std::ops::Range<u64>) -> Tally {
    liars_among(ProtocolTag::PBFT, behaviour, seeds)
}

fn liars_among(protocol: ProtocolTag, behaviour: Behaviour, seeds: std::ops::Range<u64>) -> Tally {
    let mut total = Tally::default();
    for seed in seeds {
        let scenario =
            Scenario { protocol, replicas: Some(4), behaviour: Some(behaviour), ..Scenario::of_seed(seed) };
        let Outcome { tally, violation, .. } = run(&scenario);
        assert_eq!(violation, None, "seed {seed} with {behaviour:?}, {protocol}");
        total.add(&tally);
    }
    assert!(count(&total, &format!("lies: {behaviour:?}")) > 0, "{total:?}");
    total
}

fn count(tally: &Tally, kind: &str) -> u64 {
    tally.faults.get(kind).copied().unwrap_or(0)
}

// threat 22: who is caught is known to everybody in the end; the run fails otherwise.
#[test]
fn threat_01_leader_equivocation_is_harmless() {
    let tally = liars(Behaviour::Equivocate, 0..5);
    assert!(count(&tally, "lies proven") > 0, "{tally:?}");
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
    // Where nothing else goes wrong there is a floor: nobody waits for longer than a timeout, here of half a second, and a change
    // of view that takes no longer.
    let mut total = Tally::default();
    for seed in 0..20 {
        let slow = Scenario {
            replicas: Some(4),
            behaviour: Some(Behaviour::Slow),
            faults: Faults::Calm,
            ..Scenario::of_seed(seed)
        };
        let Outcome { tally, violation, .. } = run(&slow);
        assert_eq!(violation, None, "seed {seed}");
        assert!(tally.longest_wait_ms <= 1000, "seed {seed}: {} ms", tally.longest_wait_ms);
        total.add(&tally);
    }
    assert!(total.views > 0 && count(&total, "lies: Slow") > 0, "{total:?}");
}

#[test]
fn threat_14_censored_client_is_served() {
    liars(Behaviour::Censor, 0..5);
}

/// Reads are ordered like writes (`SystemAction::Read` does the same for any application), so that no leader can lie to them: every
/// run checks that all answers of a register have one order. A leader that blocks them is replaced: every run checks that clients
/// are served.
#[test]
fn threat_15_reads_are_live_and_linearizable_whatever_leaders_do() {
    for behaviour in [Behaviour::Silent, Behaviour::Slow, Behaviour::Censor, Behaviour::Equivocate] {
        let tally = liars(behaviour, 20..24);
        assert!(count(&tally, "reads among them") > 0, "{tally:?}");
    }
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

/// Runs seeds with much of one mishap in a committee of four.
fn mishaps(mishap: Mishap, kinds: &[&str], seeds: std::ops::Range<u64>) -> Tally {
    let mut total = Tally::default();
    for seed in seeds {
        let faults = Faults::Only(mishap);
        let scenario = Scenario { replicas: Some(4), faults, ..Scenario::of_seed(seed) };
        let Outcome { tally, violation, .. } = run(&scenario);
        assert_eq!(violation, None, "seed {seed} with {mishap:?}");
        total.add(&tally);
    }
    for kind in kinds {
        assert!(count(&total, kind) > 0, "{kind}: {total:?}");
    }
    total
}

// threat 24: processes that stood still have other ideas of the view, and meet again.
#[test]
fn threat_24_paused_processes_catch_up() {
    mishaps(Mishap::Pause, &["pauses"], 0..5);
}

// threat 30: timeouts are measured by clocks that disagree.
#[test]
fn threat_30_clocks_that_drift_stop_nothing() {
    mishaps(Mishap::Drift, &["clocks that drift"], 0..4);
}

#[test]
fn wall_clocks_that_jump_stop_nothing() {
    mishaps(Mishap::Jump, &["clock jumps"], 0..4);
}

// threat 80: what was on the lost disk may be votes, so that it casts none; 86: nor while it catches up.
#[test]
fn threat_42_80_86_a_lost_disk_comes_back_without_a_vote_and_catches_up() {
    mishaps(Mishap::LostDisk, &["disks lost", "states transferred"], 0..10);
}

// Crashes before, amid and after the installing leave the old state or the new one: every start is checked against what was executed.
// What was fetched and kept is not fetched again by the next life.
#[test]
fn threat_85_a_transfer_goes_on_where_a_crash_ended_it() {
    let total = mishaps(Mishap::Interruption, &["crashes amid a transfer", "states transferred"], 0..16);
    assert_eq!(count(&total, "parts of a state fetched twice"), 0, "{total:?}");
}

// threat 79: an old copy of a disk; 22: amnesia of f replicas.
#[test]
fn threat_22_79_f_replicas_that_forgot_their_votes_change_nothing() {
    mishaps(Mishap::Amnesia, &["old disks restored", "synced tails lost"], 0..12);
}

// What others hold of its votes shows a replica that its disk is an old copy, before it says anything to the contrary.
#[test]
fn threat_79_an_old_copy_is_noticed_before_it_votes() {
    let mut total = Tally::default();
    for seed in 0..16 {
        let outcome = run(&Scenario { faults: Faults::OldCopies, ..Scenario::of_seed(seed) });
        assert_eq!(outcome.violation, None, "seed {seed}");
        total.add(&outcome.tally);
    }
    assert!(count(&total, "old copies noticed") > 5, "{total:?}");
    assert_eq!(count(&total, "lies proven"), 0, "{total:?}");
}

// threat 4, 5, 6, 8, 31, 68, 82: every field of every message, changed and sealed again; old ones in other views.
#[test]
fn mutated_messages_change_nothing() {
    let tally = liars(Behaviour::Mutate, 0..6);
    assert!(count(&tally, "frames refused") > 0);
}

// threat 11, 29: heights and views far ahead, blocks that nobody has. `Host::invariants` bounds what is kept.
#[test]
fn threat_11_29_floods_of_far_heights_and_future_views_are_bounded() {
    liars(Behaviour::Flood, 0..6);
}

#[test]
fn several_ideas_at_once_change_nothing() {
    let mut total = Tally::default();
    for seed in 700..704 {
        let scenario = Scenario { replicas: Some(7), liars: Some(2), ..Scenario::of_seed(seed) };
        let outcome = run(&scenario);
        assert_eq!(outcome.violation, None, "seed {seed}");
        total.add(&outcome.tally);
    }
    assert!(count(&total, "liars of two ideas") > 0, "{total:?}");
}

// More than f liars may stop or fork the network; what is found out about anybody is true all the same.
#[test]
fn no_evidence_names_an_honest_replica_however_many_lie() {
    let mut broken = 0;
    for seed in 800..808 {
        let behaviour = Some(Behaviour::Equivocate);
        let scenario = Scenario { replicas: Some(4), liars: Some(2), behaviour, ..Scenario::of_seed(seed) };
        // The assertions of an honest replica may stop it as well.
        let Ok(outcome) = std::panic::catch_unwind(|| run(&scenario)) else { continue };
        assert!(outcome.beyond);
        let rule = outcome.violation.map(|violation| violation.rule);
        assert_ne!(rule, Some("no evidence names an honest replica"), "seed {seed}");
        broken += u64::from(rule.is_some());
    }
    assert!(broken > 0, "half of the committee lying breaks something");
}

// threat 20: certificates in timeouts and proposals are changed and sealed again; 31: votes of elsewhere and of other views.
#[test]
fn threat_20_31_mutated_messages_of_hotstuff_change_nothing() {
    let tally = liars_among(ProtocolTag::HOTSTUFF, Behaviour::Mutate, 0..6);
    assert!(count(&tally, "frames refused") > 0);
}

// Who signs two nodes of a view, as leader or as voter, is known to everybody in the end; the run fails otherwise.
#[test]
fn threat_22_an_equivocator_among_hotstuff_replicas_is_proven() {
    let tally = liars_among(ProtocolTag::HOTSTUFF, Behaviour::Equivocate, 0..5);
    assert!(count(&tally, "lies proven") > 0, "{tally:?}");
}

#[test]
fn threat_22_f_hotstuff_replicas_that_forgot_their_votes_change_nothing() {
    let mut total = Tally::default();
    for seed in 0..12 {
        let (protocol, faults) = (ProtocolTag::HOTSTUFF, Faults::Only(Mishap::Amnesia));
        let outcome = run(&Scenario { protocol, replicas: Some(4), faults, ..Scenario::of_seed(seed) });
        assert_eq!(outcome.violation, None, "seed {seed}");
        total.add(&outcome.tally);
    }
    assert!(count(&total, "old disks restored") > 0, "{total:?}");
}

// A leader that forks below what is certified, and one that keeps its proposals from a third of the others: honest tenures
// between theirs commit, so that clients are served within a bound; the run fails otherwise.
#[test]
fn threat_26_forking_and_withholding_leaders_leave_a_floor_to_the_chains_growth() {
    for behaviour in [Behaviour::Forget, Behaviour::Withhold] {
        let tally = liars_among(ProtocolTag::HOTSTUFF, behaviour, 0..6);
        assert!(tally.heights > 60, "{behaviour:?}: {tally:?}");
    }
}

#[test]
fn threat_29_floods_of_orphans_and_future_views_are_bounded_by_hotstuff() {
    liars_among(ProtocolTag::HOTSTUFF, Behaviour::Flood, 0..6);
}

// Half of those that withhold keep every certificate to themselves, also as leaders of the next tenure.
#[test]
fn threat_32_a_next_leader_that_hoards_certificates_is_passed_over() {
    let tally = liars_among(ProtocolTag::HOTSTUFF, Behaviour::Withhold, 6..14);
    assert!(tally.views > 0);
}

fn attacks(attacks: impl IntoIterator<Item = Attack>) -> Tally {
    attacks_on(ProtocolTag::PBFT, attacks)
}

fn attacks_on(protocol: ProtocolTag, attacks: impl IntoIterator<Item = Attack>) -> Tally {
    let mut total = Tally::default();
    for attack in attacks {
        let outcome = twins::run(&attack, protocol, false);
        assert_eq!(outcome.violation, None, "{attack:?}");
        total.add(&outcome.tally);
    }
    assert!(count(&total, "rounds whose leader led a quorum") > 0, "{total:?}");
    total
}

// threat 1, 3, 12, 22: two correct copies under one key, every leader and partition of one round.
#[test]
fn twins_of_one_round_agree() {
    attacks(twins::enumerate(1));
}

// threat 1, 3, 12, 22: several rounds, and two doubled replicas of seven.
#[test]
fn sampled_twins_agree() {
    attacks((0..6).map(|seed| twins::sample(4, 4, seed)));
    attacks((0..2).map(|seed| twins::sample(7, 3, seed)));
}

// threat 18, 21, 22: two correct copies under one key, every leader and partition of one round, and more rounds of seven.
#[test]
fn twins_among_hotstuff_replicas_agree() {
    attacks_on(ProtocolTag::HOTSTUFF, twins::enumerate(1));
    attacks_on(ProtocolTag::HOTSTUFF, (0..2).map(|seed| twins::sample(7, 3, seed)));
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

/// Every seed that once failed, from `tests/seeds.txt`: `seed replicas reason`, after the protocol's name if it is not PBFT, or after
/// `collector` if it is PBFT with votes that a leader collects.
#[test]
fn seeds_that_failed_once_pass() {
    let text = include_str!("../../tests/seeds.txt");
    let mut seeds = 0;
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
        let mut words = line.split_whitespace();
        let mut next = || words.next().unwrap_or_default();
        let first = next();
        let (protocol, seed) = match engines::named(first) {
            Ok(protocol) => (protocol, next()),
            Err(_) if first == "collector" => (ProtocolTag::PBFT, next()),
            Err(_) => (ProtocolTag::PBFT, first),
        };
        let collected = first == "collector";
        let routing = if collected { VoteRouting::Collector } else { VoteRouting::AllToAll };
        let (replicas, reason) = (next(), next());
        let seed = seed.parse().unwrap_or_else(|_| panic!("a seed in {line:?}"));
        let replicas = replicas.parse().ok();
        assert!(!reason.is_empty(), "a reason in {line:?}");
        for faults in [Faults::Few, Faults::All, Faults::Severe] {
            let vote_routing = Some(routing);
            let scenario = Scenario { protocol, replicas, faults, vote_routing, ..Scenario::of_seed(seed) };
            assert_eq!(run(&scenario).violation, None, "{line}, {faults:?}");
        }
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
fn evidence_that_is_kept_back_is_noticed() {
    let rule = sings(Canary::EvidenceIsKeptBack, Behaviour::Mutate, 4);
    assert_eq!(rule, Some("evidence reaches every honest replica"));
}

#[test]
fn quorums_that_need_not_intersect_are_noticed() {
    let rule = sings(Canary::SmallQuorums, Behaviour::Equivocate, 5);
    assert_eq!(rule, Some("a commit stands on a quorum of prepares"));
}

#[test]
fn with_real_signatures_runs_go_as_well() {
    for (scheme, seed) in [(Scheme::Threshold, 5), (Scheme::Ed25519, 7)] {
        let scenario = Scenario { replicas: Some(4), scheme: Some(scheme), ..Scenario::of_seed(seed) };
        let Outcome { tally, violation, .. } = run(&scenario);
        assert_eq!(violation, None, "{scheme}");
        assert!(tally.heights > 0 && tally.views > 0, "{scheme}: {tally:?}");
    }
}
