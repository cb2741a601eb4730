//! Runs scenarios: text files whose commands (`> propose 0 a`) are followed by what they led to. The outcome is compared
//! with the file, or replaces it if `UPDATE_TRANSCRIPTS=1`.
//!
//! Commands: `chain two` or `chain three` (first, with the windows and tenures of that), `collector` (first), `propose R TEXT`, `flush R`, `deliver A->B [COUNT]`, `deliver all`, `drop A->B`, `drop all`, `timeout R TIMER`, `crash R`, `restart R`,
//! `committee N` (first), `cut-off R`, `mend R`, `pass MS` (time passes, everything arrives at once, and nothing of it is shown), `read R`, `leave R`, `work`, `rest`, `checkpoint HEIGHT`, `expect R QUANTITY VALUE` with what [`quantity`] knows.

use crate::world::{Event, World, limits};
use bft_core::engine::{Engine, Input, Output, Recipients};
use bft_core::genesis::{Chain, Limits, VoteRouting};
use crypto::{ProtocolTag, ReplicaId};
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

/// How an engine's scenarios read.
pub trait Describe: Engine {
    const PROTOCOL: ProtocolTag;
    /// What is put before the view of a replica that has given up the one before and not entered it.
    const LEFT: &str;
    /// A message in words.
    fn say(world: &World<Self>, message: &Self::Message) -> String;
    /// A timer by its name.
    fn timer(name: &str) -> Option<Self::Timer>;
}

/// One line for what is worth reading.
fn event<E: Describe>(world: &World<E>, event: Event<'_, E>) -> Option<String> {
    match event {
        Event::Output(id, Output::Send { to, message }) => {
            let to = match to {
                Recipients::All => "all".to_owned(),
                Recipients::One(other) => other.to_string(),
            };
            Some(format!("{id} to {to}: {}", E::say(world, message)))
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
        Event::Output(id, Output::Readable { at, .. }) => Some(format!("{id} reads at {at}")),
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
        ) => None,
        Event::Refused(from, to, why) => Some(format!("{to} refuses what {from} says: {why}")),
    }
}

/// One word for a replica's state.
fn state<E: Describe>(engine: &E) -> String {
    let status = engine.status();
    format!("{}{} h{}", if status.active { "v" } else { E::LEFT }, status.view, status.committed)
}

/// Something of a replica that a scenario may expect.
fn quantity<E: Describe>(engine: &E, name: &str) -> Option<String> {
    let status = engine.status();
    match name {
        "view" => Some(status.view.to_string()),
        "active" => Some(status.active.to_string()),
        "committed" => Some(status.committed.to_string()),
        "records" => Some(engine.records().len().to_string()),
        _ => None,
    }
}

/// Runs every scenario of a folder.
pub fn run_all<E: Describe>(folder: &Path) {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("there are scenarios")
        .map(|entry| entry.expect("readable").path())
        .collect();
    files.sort();
    assert!(!files.is_empty());
    let mut different = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("readable");
        let outcome = run::<E>(&text).unwrap_or_else(|why| panic!("{}: {why}", file.display()));
        if std::env::var_os("UPDATE_TRANSCRIPTS").is_some_and(|value| value == "1") {
            std::fs::write(&file, outcome).expect("writable");
        } else if outcome != text {
            let at = outcome.lines().zip(text.lines()).position(|(new, old)| new != old);
            let line = at.unwrap_or_else(|| outcome.lines().count().min(text.lines().count()));
            let (new, old) = (outcome.lines().nth(line), text.lines().nth(line));
            different.push(format!(
                "{}:{}: it says {old:?}, and now happens {new:?}",
                file.display(),
                line + 1
            ));
        }
    }
    assert!(different.is_empty(), "UPDATE_TRANSCRIPTS=1 rewrites them:\n{}", different.join("\n"));
}

/// Whether a scenario does not go as it is written, or cannot go on at all.
#[cfg(feature = "mutants")]
pub fn differs<E: Describe>(file: &Path) -> bool {
    let text = std::fs::read_to_string(file).expect("readable");
    let outcome = std::panic::catch_unwind(|| run::<E>(&text));
    !outcome.is_ok_and(|outcome| outcome.is_ok_and(|outcome| outcome == text))
}

/// Carries out the commands of a scenario; gives it back with what happens now.
fn run<E: Describe>(text: &str) -> Result<String, String> {
    let mut world: World<E> = World::new(E::PROTOCOL, 4, 2, event);
    let mut outcome = String::new();
    for line in text.lines() {
        if line.starts_with('#') || line.is_empty() {
            outcome.push_str(line);
            outcome.push('\n');
        } else if let Some(command) = line.strip_prefix("> ") {
            world.log.clear();
            carry_out(&mut world, command)
                .map_err(|why| format!("{line:?}: {why}; what happened until then:\n{outcome}"))?;
            let _ = writeln!(outcome, "{line}");
            for event in std::mem::take(&mut world.log) {
                let _ = writeln!(outcome, "  {event}");
            }
            if !command.starts_with("expect") {
                let states: Vec<String> =
                    world.members.iter().map(|m| m.engine.as_ref().map_or("down".into(), state)).collect();
                let _ = writeln!(outcome, "  = {}", states.join(" | "));
            }
        }
    }
    Ok(outcome)
}

fn carry_out<E: Describe>(world: &mut World<E>, command: &str) -> Result<(), String> {
    let words: Vec<&str> = command.split_whitespace().collect();
    let done = |happened: bool, why: &str| if happened { Ok(()) } else { Err(why.to_owned()) };
    match words.as_slice() {
        ["propose", id, text] => done(world.propose(replica(id)?, text), "it does not want to propose"),
        ["flush", id] => done(world.flush(replica(id)?), "it does not want to propose"),
        ["chain", rule] => {
            let chain = if *rule == "two" { Chain::Two } else { Chain::Three };
            *world = World::within(E::PROTOCOL, 4, Limits { chain, ..limits(16) }, event);
            Ok(())
        }
        ["collector"] => {
            let vote_routing = VoteRouting::Collector;
            *world = World::within(E::PROTOCOL, 4, Limits { vote_routing, ..limits(2) }, event);
            Ok(())
        }
        ["committee", replicas] => {
            *world = World::within(E::PROTOCOL, number(replicas)? as usize, limits(16), event);
            Ok(())
        }
        ["read", id] => {
            world.read(replica(id)?);
            Ok(())
        }
        ["leave", id] => {
            world.step(replica(id)?, Input::Leaving);
            Ok(())
        }
        ["cut-off", id] => {
            world.cut_off.insert(replica(id)?);
            Ok(())
        }
        ["mend", id] => {
            world.cut_off.remove(&replica(id)?);
            Ok(())
        }
        ["pass", ms] => {
            world.pass(Duration::from_millis(number(ms)?));
            world.log.clear();
            Ok(())
        }
        ["deliver", "all"] => {
            world.deliver_all();
            Ok(())
        }
        ["deliver", ends] => deliver(world, ends, usize::MAX),
        ["deliver", ends, count] => deliver(world, ends, number(count)? as usize),
        ["drop", "all"] => {
            world.links.clear();
            Ok(())
        }
        ["drop", ends] => done(world.links.remove(&link(ends)?).is_some(), "there is nothing"),
        ["timeout", id, name] => {
            let timer = E::timer(name).ok_or("no such timer")?;
            done(world.fire(replica(id)?, timer), "the timer is not set")
        }
        ["crash", id] => {
            world.crash(replica(id)?);
            Ok(())
        }
        ["restart", id] => {
            world.crash(replica(id)?);
            world.restart(replica(id)?);
            Ok(())
        }
        ["work"] | ["rest"] => {
            world.work(words == ["work"]);
            Ok(())
        }
        ["checkpoint", height] => {
            world.checkpoint(number(height)?);
            Ok(())
        }
        ["expect", id, name, value] => {
            let engine = world.members[replica(id)?.index()].engine.as_ref().ok_or("it is down")?;
            let found = quantity(engine, name).ok_or("no such quantity")?;
            done(found == *value, &format!("it is {found}"))
        }
        _ => Err("no such command".into()),
    }
}

fn deliver<E: Describe>(world: &mut World<E>, ends: &str, count: usize) -> Result<(), String> {
    let (from, to) = link(ends)?;
    let waiting = world.links.get(&(from, to)).map_or(0, |link| link.len());
    if waiting == 0 {
        return Err("nothing is on its way".into());
    }
    for _ in 0..count.min(waiting) {
        world.deliver(from, to);
    }
    Ok(())
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text:?} is no number"))
}

fn replica(text: &str) -> Result<ReplicaId, String> {
    number(text).map(|index| ReplicaId(index as u16))
}

fn link(text: &str) -> Result<(ReplicaId, ReplicaId), String> {
    let (from, to) = text.split_once("->").ok_or("a link is written A->B")?;
    Ok((replica(from)?, replica(to)?))
}
