//! Crashes after every single output: no promise is broken, and the rest goes on.

use crate::world::World;
use bft_core::engine::Engine as _;
use crypto::{ProtocolTag, ReplicaId};
use pbft::{Message, Pbft};

const HEIGHTS: u64 = 4;

fn world() -> World<Pbft> {
    World::new(ProtocolTag::PBFT, 4, 2, |_, _| None)
}

/// Whether a replica has seen the first view fail.
fn has_moved_on(world: &World<Pbft>) -> bool {
    world.members.iter().flat_map(|member| &member.engine).any(|engine| engine.led_by().view > 0)
}

/// Proposes, delivers and lets time pass until every replica has committed `HEIGHTS`. In the first view no commit arrives, so
/// that the view changes with heights prepared and not committed.
fn run(world: &mut World<Pbft>, crashing: Option<ReplicaId>) {
    world.work(true);
    world.propose(ReplicaId(0), "first");
    for round in 0..2000 {
        if world.ids().iter().all(|id| world.is_up(*id) && world.height(*id) >= HEIGHTS) {
            return;
        }
        let trouble = !has_moved_on(world);
        if trouble {
            for link in world.links.values_mut() {
                link.retain(|sealed| !matches!(sealed.message, Message::Commit(_)));
            }
        }
        if let Some(replica) = crashing.filter(|replica| !world.is_up(*replica)) {
            world.restart(replica);
            world.work(true);
        }
        let waiting: Vec<_> =
            world.links.iter().filter(|(_, link)| !link.is_empty()).map(|(ends, _)| *ends).collect();
        if waiting.is_empty() {
            let proposed = !trouble && world.ids().into_iter().any(|id| world.propose(id, "more"));
            assert!(proposed || world.fire_next(), "nothing is left to happen, with the goal not reached");
        }
        for (from, to) in waiting {
            world.deliver(from, to);
        }
        let lowest = world.ids().iter().map(|id| world.height(*id)).min().unwrap_or(0);
        if !trouble && lowest >= 1 && round % 16 == 0 {
            world.checkpoint(lowest);
        }
    }
    let heights: Vec<u64> = world.ids().iter().map(|id| world.height(*id)).collect();
    panic!("no convergence: heights {heights:?}");
}

/// threat 21, 34, 80 for PBFT: whatever a replica said before the crash holds after it. The committee itself checks every
/// signature against every other of the same replica, in all its lives, and every commit against everybody's.
#[test]
fn a_crash_after_any_output_breaks_no_promise() {
    let mut whole = world();
    run(&mut whole, None);
    assert!(has_moved_on(&whole));
    let mut points = 0;
    for replica in whole.ids() {
        let outputs = whole.members[replica.index()].outputs;
        assert!(outputs > 30, "{replica} does something: {outputs} outputs");
        for crash_after in 1..=outputs {
            let mut world = world();
            let already = world.members[replica.index()].outputs;
            if crash_after <= already {
                continue;
            }
            world.members[replica.index()].crash_after = Some(crash_after);
            run(&mut world, Some(replica));
            points += 1;
        }
    }
    assert!(points > 100, "only {points} crash points");
}

#[test]
fn two_crashes_in_a_row_break_no_promise() {
    for replica in [ReplicaId(0), ReplicaId(1)] {
        for first in (5..60).step_by(3) {
            for second in 1..12 {
                let mut world = world();
                world.members[replica.index()].crash_after = Some(first);
                world.work(true);
                world.propose(ReplicaId(0), "first");
                world.deliver_all();
                if !world.is_up(replica) {
                    world.members[replica.index()].crash_after = Some(first + second);
                    world.restart(replica);
                }
                run(&mut world, Some(replica));
            }
        }
    }
}
