//! Scenarios of chained HotStuff as text.

#[allow(dead_code)]
mod committee;

use bft_core::engine::{Engine as _, Output, Recipients};
use committee::transcript::{Describe, run_all};
use committee::{Event, World};
use crypto::{Digest, ProtocolTag};
use hotstuff::{HotStuff, Message, Node, Qc, Tc, Timer};
use std::path::Path;

/// A node by its height, view and block.
fn node(world: &World<HotStuff>, node: &Node) -> String {
    if node.height == 0 {
        return "genesis".to_owned();
    }
    format!("{}@{}:{}", node.height, node.view, world.name(&node.block))
}

fn certificate(world: &World<HotStuff>, qc: &Qc) -> String {
    format!("qc {}", node(world, &qc.node))
}

fn timeouts(world: &World<HotStuff>, tc: &Tc) -> String {
    let reports: Vec<String> = tc.reports.iter().map(|(signer, high)| format!("{signer}:{high}")).collect();
    format!("tc {} ({}) with {}", tc.view, reports.join(" "), certificate(world, &tc.high))
}

fn say(world: &World<HotStuff>, message: &Message) -> String {
    match message {
        Message::Proposal(proposal) => {
            let tc = proposal.tc.as_ref().map_or(String::new(), |tc| format!(", {}", timeouts(world, tc)));
            let justify = certificate(world, &proposal.justify);
            format!("proposal {} on {justify}{tc}", node(world, &proposal.node()))
        }
        Message::Vote(voted) => format!("vote {}", node(world, voted)),
        Message::Timeout(timeout) => {
            format!("timeout {} with {}", timeout.view, certificate(world, &timeout.high))
        }
        Message::Certificate(qc) => certificate(world, qc),
        Message::TimeoutCertificate(tc) => timeouts(world, tc),
        Message::Status(s) => format!("status view {} high {} committed {}", s.view, s.high, s.committed),
        Message::FetchNodes(_, above) => format!("fetch-nodes above {above}"),
        Message::Nodes(nodes) => {
            let names: Vec<String> = nodes.iter().map(|known| node(world, known)).collect();
            format!("nodes {}", names.join(" "))
        }
        Message::Proposed(told, _) => format!("proposed {}", node(world, told)),
    }
}

impl Describe for HotStuff {
    const PROTOCOL: ProtocolTag = ProtocolTag::HOTSTUFF;

    fn event(world: &World<HotStuff>, event: Event<'_, HotStuff>) -> Option<String> {
        let names = |blocks: &[Digest]| -> String {
            let names: Vec<String> = blocks.iter().map(|block| world.name(block)).collect();
            names.join(" ")
        };
        match event {
            Event::Output(id, Output::Send { to, message }) => {
                let to = match to {
                    Recipients::All => "all".to_owned(),
                    Recipients::One(other) => other.to_string(),
                };
                Some(format!("{id} to {to}: {}", say(world, message)))
            }
            Event::Output(id, Output::Commit { height, block, .. }) => {
                Some(format!("{id} commits {height}:{}", world.name(block)))
            }
            Event::Output(id, Output::FetchBlocks { blocks, .. }) => {
                Some(format!("{id} fetches {}", names(blocks)))
            }
            Event::Output(id, Output::Lagging { checkpoint }) => {
                Some(format!("{id} lags behind {}", checkpoint.height()))
            }
            Event::Output(id, Output::Advise { to }) => Some(format!("{id} advises {to}")),
            Event::Output(id, Output::Report(evidence)) => Some(format!("{id} accuses {}", evidence.accused)),
            Event::Output(
                _,
                Output::Persist { .. }
                | Output::Combine { .. }
                | Output::Aggregate { .. }
                | Output::NeedPayload { .. }
                | Output::SetTimer { .. }
                | Output::CancelTimer(_),
            )
            | Event::Delivered(..) => None,
            Event::Refused(from, to, why) => Some(format!("{to} refuses what {from} says: {why}")),
        }
    }

    fn state(engine: &HotStuff) -> String {
        let status = engine.status();
        format!("{}{} h{}", if status.active { "v" } else { "left v" }, status.view, status.committed)
    }

    fn timer(name: &str) -> Option<Timer> {
        match name {
            "progress" => Some(Timer::Progress),
            "spread" => Some(Timer::Spread),
            "resend" => Some(Timer::Resend),
            _ => None,
        }
    }

    fn quantity(engine: &HotStuff, name: &str) -> Option<String> {
        let status = engine.status();
        match name {
            "view" => Some(status.view.to_string()),
            "active" => Some(status.active.to_string()),
            "committed" => Some(status.committed.to_string()),
            "records" => Some(engine.records().len().to_string()),
            _ => None,
        }
    }
}

#[test]
fn hotstuff_scenarios() {
    run_all::<HotStuff>(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/hotstuff"));
}
