//! The steps of the engines of a committee that commits blocks.

use super::accounts::Accounts;
use super::committee::Committee;
use super::members::Members;
use super::operation::{Group, Operation, Prepared};
use super::recorder::{self, Heard, Recorder};
use super::transactions::BLOCK;
use bft_core::engine::{Engine, Input, Outbox, Output};
use bft_core::genesis::{Chain, Limits};
use bft_core::types::{Height, ReplicaId, Time};
use crypto::ProtocolTag;
use engines::AnyEngine;
use std::collections::BTreeMap;

/// Replicas of the committee.
const REPLICAS: usize = 4;

/// Blocks of transactions, one after the other.
const BLOCKS: u64 = 16;

pub fn operations() -> Vec<Operation> {
    let protocols = [
        ("pbft", ProtocolTag::PBFT, Chain::Three),
        ("hotstuff-three", ProtocolTag::HOTSTUFF, Chain::Three),
        ("hotstuff-two", ProtocolTag::HOTSTUFF, Chain::Two),
        ("raft", ProtocolTag::RAFT, Chain::Three),
    ];
    let each = protocols.into_iter().flat_map(|protocol| [1, BLOCK].map(|block| (protocol, block)));
    each.map(|((name, protocol, chain), block)| steps(name, protocol, chain, block)).collect()
}

/// All that the engines do, for each message that they are given: their own promises, which come back to them, count as messages.
fn steps(name: &str, protocol: ProtocolTag, chain: Chain, block: usize) -> Operation {
    Operation::new(Group::Engine, format!("step/{name}/{block}"), "message", move || {
        let script = Script::record(protocol, chain, block);
        Prepared::in_parts(script.messages(), move |stopwatch| {
            let mut engines = Engines::default();
            for heard in &script.before {
                engines.tell(heard.clone());
            }
            let inputs = script.inputs();
            // What comes out is looked at afterwards, so that nobody pays for dropping it.
            let mut outputs = Vec::with_capacity(inputs.len());
            stopwatch.time(|| {
                for (me, now, input) in inputs {
                    outputs.push(engines.step(me, now, input));
                }
            });
            let commits = outputs.iter_mut().flat_map(Outbox::take).filter(is_commit).count() as Height;
            assert!(commits >= BLOCKS * REPLICAS as Height, "the same work is done again");
        })
    })
}

fn is_commit(output: &Output<AnyEngine>) -> bool {
    matches!(output, Output::Commit { .. })
}

/// What the engines of a committee were told.
struct Script {
    /// Until the first block was executed.
    before: Vec<Heard>,
    /// From there on.
    measured: Vec<Heard>,
}

impl Script {
    fn record(protocol: ProtocolTag, chain: Chain, block: usize) -> Script {
        // One leader leads all along.
        let limits = Limits { unsigned: true, tenure_views: 100_000, chain, ..Limits::default() };
        let members = Members::new(protocol, REPLICAS, limits, Accounts { count: 1 << 10 });
        recorder::take();
        let mut committee = Committee::<Recorder>::start(members);
        let before = recorder::take();
        for _ in 0..BLOCKS {
            committee.submit(block);
            committee.settle();
        }
        Script { before, measured: recorder::take() }
    }

    fn messages(&self) -> usize {
        let is_message = |heard: &&Heard| matches!(heard, Heard::Input(_, _, input) if matches!(**input, Input::Message { .. }));
        self.measured.iter().filter(is_message).count()
    }

    fn inputs(&self) -> Vec<(ReplicaId, Time, Input<AnyEngine>)> {
        let input = |heard: &Heard| match heard.clone() {
            Heard::Input(me, now, input) => Some((me, now, recorder::narrow(*input))),
            Heard::Start(..) => None,
        };
        self.measured.iter().filter_map(input).collect()
    }
}

/// The engines of a committee, without hosts.
#[derive(Default)]
struct Engines(BTreeMap<ReplicaId, AnyEngine>);

impl Engines {
    fn tell(&mut self, heard: Heard) {
        match heard {
            Heard::Start(config, start, now) => {
                let start = recorder::narrow_start(*start);
                let engine = AnyEngine::recover(*config, start, now, &mut Outbox::default());
                self.0.insert(config.me, engine);
            }
            Heard::Input(me, now, input) => drop(self.step(me, now, recorder::narrow(*input))),
        }
    }

    fn step(&mut self, me: ReplicaId, now: Time, input: Input<AnyEngine>) -> Outbox<AnyEngine> {
        let mut out = Outbox::default();
        self.0.get_mut(&me).expect("it has started").step(now, input, &mut out);
        out
    }
}
