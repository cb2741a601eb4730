//! Scenarios of PBFT as text.

use crate::transcript::{Describe, run_all};
use crate::world::World;
use crypto::ProtocolTag;
use pbft::{Committed, Message, Pbft, Prepared, Relay, Timer, ViewChange};
use std::path::Path;

impl Describe for Pbft {
    const PROTOCOL: ProtocolTag = ProtocolTag::PBFT;
    const LEFT: &str = "→v";

    fn say(world: &World<Pbft>, message: &Message) -> String {
        let change = |change: &ViewChange| {
            let prepared = |Prepared { vote, .. }: &Prepared| {
                format!(" {}@{}:{}", vote.height, vote.view, world.name(&vote.block))
            };
            let prepared: String = change.prepared.iter().map(prepared).collect();
            format!(
                "view-change {} stable {} prepared{}",
                change.view,
                change.stable.height(),
                if prepared.is_empty() { " -" } else { &prepared }
            )
        };
        let sources = |view: &pbft::NewView| {
            let ids: Vec<String> = view.sources.iter().map(|(id, _)| id.to_string()).collect();
            format!("new-view {} of {}", view.view, ids.join(" "))
        };
        match message {
            Message::PrePrepare(p) => {
                format!("pre-prepare {}@{}:{}", p.block.header.height, p.view, world.name(&p.block.digest()))
            }
            Message::Prepare(v) => format!("prepare {}@{}:{}", v.height, v.view, world.name(&v.block)),
            Message::Commit(v) => format!("commit {}@{}:{}", v.height, v.view, world.name(&v.block)),
            Message::ViewChange(c) => change(c),
            Message::NewView(n) => sources(n),
            Message::Status(s) => {
                let active = if s.active { "in" } else { "wants" };
                format!("status {active} view {} committed {} proposed {}", s.view, s.committed, s.proposed)
            }
            Message::FetchViewChanges(view, wanted) => {
                let ids: Vec<String> = wanted.iter().map(|(id, _)| id.to_string()).collect();
                format!("fetch-view-changes {view} of {}", ids.join(" "))
            }
            Message::Relay(Relay::ViewChange(author, c, _)) => format!("relay of {author}: {}", change(c)),
            Message::Relay(Relay::NewView(n, _)) => format!("relay: {}", sources(n)),
            Message::Relay(Relay::Proposed(vote, _)) => {
                format!("relay: proposed {}@{}:{}", vote.height, vote.view, world.name(&vote.block))
            }
            Message::Prepared(Prepared { vote: v, .. }) => {
                format!("prepared {}@{}:{}", v.height, v.view, world.name(&v.block))
            }
            Message::Committed(Committed { vote: v, .. }) => {
                format!("committed {}@{}:{}", v.height, v.view, world.name(&v.block))
            }
        }
    }

    fn timer(name: &str) -> Option<Timer> {
        match name {
            "progress" => Some(Timer::Progress),
            "new-view" => Some(Timer::NewView),
            "resend" => Some(Timer::Resend),
            _ => None,
        }
    }
}

#[test]
fn pbft_scenarios() {
    run_all::<Pbft>(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/pbft"));
}
