//! Raft under the faults that it bears: replicas crash, pause, hear nothing, lose their disks, and do not lie.
//! `cargo run --release -p sim -- --protocol raft` runs thousands.

use crypto::ProtocolTag;
use sim::{Faults, Mishap, Scenario, Tally, run, run_within};

/// Runs seeds with faults of one kind, besides crashes and cut links.
fn raft(faults: Faults, replicas: Option<usize>, seeds: std::ops::Range<u64>) -> Tally {
    let mut total = Tally::default();
    for seed in seeds {
        let scenario = Scenario { protocol: ProtocolTag::RAFT, replicas, faults, ..Scenario::of_seed(seed) };
        let outcome = run(&scenario);
        assert_eq!(outcome.violation, None, "seed {seed} with {faults:?}");
        total.add(&outcome.tally);
    }
    total
}

fn count(tally: &Tally, kind: &str) -> u64 {
    tally.faults.get(kind).copied().unwrap_or(0)
}

// What is acknowledged is on the acknowledging disk, what is committed on those of a majority: checkers of every run.
#[test]
fn threat_34_35_votes_and_entries_outlive_crashes_of_all() {
    let tally = raft(Faults::Severe, None, 0..60);
    assert!(count(&tally, "crashes") > 100 && tally.views > 60, "{tally:?}");
}

#[test]
fn threat_36_a_replica_whose_disk_fails_stops_and_goes_on_when_it_is_mended() {
    let tally = raft(Faults::Only(Mishap::DiskErrors), None, 0..40);
    assert!(count(&tally, "replicas stopped by their disk") > 40, "{tally:?}");
}

// Reads that are not ordered, among them of leaders that were paused and do not know that another one was elected: every run checks
// that they are linearizable.
#[test]
fn threat_39_reads_are_linearizable_through_pauses() {
    let tally = raft(Faults::Only(Mishap::Pause), None, 0..60);
    assert!(count(&tally, "pauses") > 100 && count(&tally, "reads among them") > 1000, "{tally:?}");
}

// Clocks run three per cent fast or slow, so that one gains at most 6.2 per cent on another.
#[test]
fn threat_39_leases_hold_where_clocks_drift_no_more_than_is_stated() {
    let mut total = Tally::default();
    for seed in 0..60 {
        let faults = Faults::Only(Mishap::Drift);
        let scenario = Scenario { protocol: ProtocolTag::RAFT, faults, ..Scenario::of_seed(seed) };
        let outcome = run_within(&scenario, |limits| limits.lease_drift_ppm = Some(62_000));
        assert_eq!(outcome.violation, None, "seed {seed}");
        total.add(&outcome.tally);
    }
    assert!(
        count(&total, "clocks that drift") > 100 && count(&total, "reads among them") > 1000,
        "{total:?}"
    );
}

// A process that does not run for a while, and whose clock leaves that out, has no lease when it goes on.
#[test]
fn threat_39_no_lease_outlives_a_pause_that_the_clock_leaves_out() {
    let mut total = Tally::default();
    for seed in 0..120 {
        let faults = Faults::Only(Mishap::Pause);
        let scenario = Scenario { protocol: ProtocolTag::RAFT, faults, ..Scenario::of_seed(seed) };
        let outcome = run_within(&scenario, |limits| limits.lease_drift_ppm = Some(0));
        assert_eq!(outcome.violation, None, "seed {seed}");
        total.add(&outcome.tally);
    }
    assert!(count(&total, "pauses") > 100 && count(&total, "reads among them") > 1000, "{total:?}");
}

// A replica that has lost its disk fetches states, crashes amid them, and finds newer ones each time.
#[test]
fn threat_41_42_who_needs_what_is_compacted_fetches_the_state_however_often_it_changes() {
    let tally = raft(Faults::Only(Mishap::Interruption), None, 0..40);
    assert!(count(&tally, "states transferred") > 20, "{tally:?}");
    assert!(count(&tally, "crashes amid a transfer") > 20, "{tally:?}");
}

#[test]
fn threat_40_links_that_come_and_go_let_the_service_go_on() {
    let tally = raft(Faults::Few, Some(5), 0..40);
    assert!(tally.transactions > 1000, "{tally:?}");
}
