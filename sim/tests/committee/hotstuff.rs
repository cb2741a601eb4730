//! Scenarios of chained HotStuff as text.

use crate::transcript::{Describe, run_all};
use crate::world::World;
use crypto::ProtocolTag;
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

impl Describe for HotStuff {
    const PROTOCOL: ProtocolTag = ProtocolTag::HOTSTUFF;
    const LEFT: &str = "left v";

    fn say(world: &World<HotStuff>, message: &Message) -> String {
        match message {
            Message::Proposal(proposal) => {
                let tc =
                    proposal.tc.as_ref().map_or(String::new(), |tc| format!(", {}", timeouts(world, tc)));
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

    fn timer(name: &str) -> Option<Timer> {
        match name {
            "progress" => Some(Timer::Progress),
            "spread" => Some(Timer::Spread),
            "resend" => Some(Timer::Resend),
            _ => None,
        }
    }
}

#[test]
fn hotstuff_scenarios() {
    run_all::<HotStuff>(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/hotstuff"));
}
