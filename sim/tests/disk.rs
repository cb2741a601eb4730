//! Disks that lose power at any operation, fail, fill up, lie and rot, under the production log. `cargo run --release -p sim` mixes
//! all of it with everything else.

use sim::cut::{self, Cut};
use sim::endurance;
use sim::{Canary, Faults, Mishap, Scenario, Tally, run};

fn count(tally: &Tally, kind: &str) -> u64 {
    tally.faults.get(kind).copied().unwrap_or(0)
}

/// Runs seeds with much of one mishap in a committee of four, and wants each of these kinds to have happened.
fn mishaps(mishap: Mishap, kinds: &[&str], seeds: std::ops::Range<u64>) {
    let mut total = Tally::default();
    for seed in seeds {
        let scenario =
            Scenario { replicas: Some(4), faults: Faults::Only(mishap), ..Scenario::of_seed(seed) };
        let outcome = run(&scenario);
        assert_eq!(outcome.violation, None, "seed {seed} with {mishap:?}");
        total.add(&outcome.tally);
    }
    for kind in kinds {
        assert!(count(&total, kind) > 0, "{kind}: {total:?}");
    }
}

/// Cuts the power of one replica at each operation of its disk.
fn power_failures(replica: usize, seed: u64) {
    let (whole, operations) = cut::run(&Cut { seed, replica, operation: u64::MAX });
    assert_eq!((whole.violation, count(&whole.tally, "crashes")), (None, 0));
    assert!(operations > 60, "only {operations} operations");
    let mut torn = 0;
    for operation in 0..operations {
        let cut = Cut { seed, replica, operation };
        let (outcome, _) = cut::run(&cut);
        assert_eq!(outcome.violation, None, "{cut:?}");
        assert_eq!(count(&outcome.tally, "crashes"), 1, "{cut:?}");
        torn += count(&outcome.tally, "disk: crashes that lost sectors");
    }
    assert!(torn > operations / 8, "{torn} of {operations} lost anything");
}

// threat 34, 72, 75: what a replica said before the power failed holds after it; torn groups and names that were not synced.
#[test]
fn threat_72_75_power_failures_at_every_operation_of_a_leader_s_disk() {
    power_failures(0, 1);
}

// threat 34, 72, 75: the same for one that follows.
#[test]
fn power_failures_at_every_operation_of_a_follower_s_disk() {
    power_failures(2, 2);
}

// A failed sync is final, and a full disk stops the replica; both go on with their votes when the disk is mended.
#[test]
fn threat_74_77_replicas_whose_disks_fail_stop_and_go_on_when_they_are_mended() {
    let kinds = [
        "disk: writes that failed",
        "disk: syncs that failed",
        "disk: reads that failed",
        "disk: writes without room",
        "replicas stopped by their disk",
    ];
    mishaps(Mishap::DiskErrors, &kinds, 0..6);
}

// threat 72, 73, 76, 80: rot, misdirected, lost and stale sectors are refused in the middle, and look like a torn tail at the end; who
// is refused starts on an empty disk, without a vote.
#[test]
fn threat_73_76_f_disks_that_say_nothing_are_noticed_or_borne() {
    let kinds = [
        "disk: sectors rotten",
        "disk: stale reads",
        "disk: syncs that lied",
        "disk: writes lost",
        "disk: writes misdirected",
        "damage noticed by the log",
        "promises lost unnoticed",
    ];
    mishaps(Mishap::SickDisk, &kinds, 0..16);
}

/// However long replicas run, a log that may let go of blocks stays as large as it was after the first seconds.
#[test]
fn the_log_of_a_long_run_does_not_grow() {
    const LOOKS: usize = 12;
    let kept = endurance::run(1, LOOKS, 0).unwrap();
    let (early, late) = kept.log_bytes.split_at(LOOKS / 4);
    assert!(late.iter().max() <= early.iter().max(), "{kept:?}");
    // It would have grown: one that keeps all does.
    let all = endurance::run(1, LOOKS / 4, u64::MAX).unwrap();
    assert!(all.log_bytes.iter().max() > late.iter().max(), "{all:?} and {kept:?}");
}

/// The checkers notice what a disk forgets, and what its log notices, if nobody told them that it is sick.
#[test]
fn a_sick_disk_counted_as_sound_is_noticed() {
    let violation = |seed| {
        let faults = Faults::Only(Mishap::SickDisk);
        let canary = Some(Canary::SickDisksCountAsSound);
        let scenario = Scenario { replicas: Some(4), faults, canary, ..Scenario::of_seed(seed) };
        run(&scenario).violation.map(|violation| violation.rule)
    };
    for rule in ["what a sound disk has is not refused", "what is durable is there after a crash"] {
        assert!((0..60).any(|seed| violation(seed) == Some(rule)), "{rule}");
    }
}
