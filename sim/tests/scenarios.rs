//! Scenarios as text, one folder for each engine.

#[allow(dead_code)]
mod committee;

use bft_core::engine::{Engine as _, Output, Recipients};
use committee::transcript::{Describe, run_all};
use committee::{Event, World};
use crypto::ProtocolTag;
use pbft::{Message, Pbft, Prepared, Relay, Timer, ViewChange};
use std::path::Path;

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
    }
}

impl Describe for Pbft {
    const PROTOCOL: ProtocolTag = ProtocolTag::PBFT;

    fn event(world: &World<Pbft>, event: Event<'_, Pbft>) -> Option<String> {
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
                let names: Vec<String> = blocks.iter().map(|block| world.name(block)).collect();
                Some(format!("{id} fetches {}", names.join(" ")))
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
                | Output::NeedPayload { .. },
            ) => None,
            Event::Output(_, Output::SetTimer { .. } | Output::CancelTimer(_)) => None,
            Event::Delivered(..) => None,
            Event::Refused(from, to, why) => Some(format!("{to} refuses what {from} says: {why}")),
        }
    }

    fn state(engine: &Pbft) -> String {
        let status = engine.status();
        format!("{}{} h{}", if status.active { "v" } else { "→v" }, status.view, status.committed)
    }

    fn timer(name: &str) -> Option<Timer> {
        match name {
            "progress" => Some(Timer::Progress),
            "new-view" => Some(Timer::NewView),
            "resend" => Some(Timer::Resend),
            _ => None,
        }
    }

    fn quantity(engine: &Pbft, name: &str) -> Option<String> {
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
fn pbft_scenarios() {
    run_all::<Pbft>(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/pbft"));
}
