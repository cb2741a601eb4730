//! Scenarios of Raft as text.

use crate::transcript::{Describe, run_all};
use crate::world::World;
use crypto::ProtocolTag;
use raft::{Alive, Append, Ask, Carried, Heartbeat, Message, Position, Raft, Refusal, Timer, Vote};
use std::path::Path;

/// An entry's place.
fn at(position: &Position) -> String {
    format!("{}@{}", position.height, position.view)
}

fn entry(world: &World<Raft>, carried: &Carried) -> String {
    match carried {
        Carried::Block(block) => {
            format!(" {}@{}:{}", block.header.height, block.header.view, world.name(&block.digest()))
        }
        Carried::Named(view, block) => format!(" named@{view}:{}", world.name(block)),
    }
}

impl Describe for Raft {
    const PROTOCOL: ProtocolTag = ProtocolTag::RAFT;
    const LEFT: &str = "?v";

    fn say(world: &World<Raft>, message: &Message) -> String {
        match message {
            Message::Ask(Ask { view, last, pre, transfer }) => {
                let kind = if *pre { "pre-vote" } else { "vote" };
                let wish = if *transfer { ", as the leader wishes" } else { "" };
                format!("asks for {kind} {view} with {}{wish}", at(last))
            }
            Message::Vote(Vote { view, pre, granted }) => {
                let kind = if *pre { "pre-vote" } else { "vote" };
                format!("{} {kind} {view}", if *granted { "gives" } else { "refuses" })
            }
            Message::Append(Append { view, previous, entries, committed }) => {
                let entries: String = entries.iter().map(|carried| entry(world, carried)).collect();
                let entries = if entries.is_empty() { " nothing".to_owned() } else { entries };
                format!("append {view} on {}:{entries}, committed {committed}", at(previous))
            }
            Message::Appended { view, matched } => format!("appended {view} through {matched}"),
            Message::Refused(Refusal { view, previous, hint }) => {
                format!("refuses {view} on {}, has {}", at(previous), at(hint))
            }
            Message::Heartbeat(Heartbeat { view, committed, round }) => {
                format!("heartbeat {view} round {round}, committed {committed}")
            }
            Message::Alive(Alive { view, round, received, .. }) => {
                format!("alive {view} round {round}, received {received}")
            }
            Message::Lead { view } => format!("lead after {view}"),
            Message::AskRead { .. } => "asks to read".to_owned(),
            Message::Read { at, .. } => format!("read at {at}"),
        }
    }

    fn timer(name: &str) -> Option<Timer> {
        match name {
            "election" => Some(Timer::Election),
            "heartbeat" => Some(Timer::Heartbeat),
            "notice" => Some(Timer::Notice),
            _ => None,
        }
    }
}

// threats 33, 39, 40, 43: figure 8, reads, pre-vote and check-quorum, old acknowledgements.
#[test]
fn raft_scenarios() {
    run_all::<Raft>(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/raft"));
}

/// Rules that scenarios are about: with one of them broken, the scenario does not go as it is written.
#[cfg(feature = "mutants")]
#[test]
fn a_broken_rule_breaks_its_scenario() {
    use crate::transcript::differs;
    use bft_core::mutants::Mutant;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/raft");
    let rules = [
        (Mutant::CountOlderViews, "2_figure_8.txt"),
        (Mutant::CommitOwnLog, "3_what_only_one_has.txt"),
        (Mutant::NoPreVote, "4_cut_off_and_back.txt"),
        (Mutant::NoCheckQuorum, "5_a_leader_that_nobody_answers.txt"),
        (Mutant::AnyViewsAcknowledgement, "7_old_acknowledgements.txt"),
        (Mutant::ReadUnconfirmed, "8_reads.txt"),
        (Mutant::ReadBeforeFirstEntry, "8_reads.txt"),
    ];
    for (mutant, file) in rules {
        assert!(!differs::<Raft>(&folder.join(file)), "{file} goes as it is written");
        Mutant::switch(Some(mutant));
        let broken = differs::<Raft>(&folder.join(file));
        Mutant::switch(None);
        assert!(broken, "{} is not noticed by {file}", mutant.name());
    }
}
