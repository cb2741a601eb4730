//! One replica, alone with everything that a network can do to it.
//!
//! Replica 2 of the [consortium](crate::consortium) starts on its past: frames of replicas 0 and 1, which are honest, come in any order,
//! or never; replica 3 says what the input makes of its own messages or of anybody's, sealed with its own keys; clients ask, time
//! passes, connections come and go, and the replica crashes. Everything goes through the edge.
//!
//! Oracles: nothing panics and the engine's invariants hold; the replica never stops itself nor accuses anybody but replica 3; what it
//! executes is the consortium's ledger; and what it holds in memory stays below a bound.

use crate::consortium::{AnyHost, LIAR, SILENT, SIMULATED, Sent, carry_out, clock};
use crate::edit::{edited, forge};
use crate::input::Input;
use bft_core::codec;
use bft_core::edge::Edge;
use bft_core::engine::Message as _;
use bft_core::envelope::{Body, Envelope, Seal, SealWith, Sealed};
use bft_core::host::{Effect, Event, HostConfig, Recovered};
use bft_core::types::ReplicaId;
use bytes::Bytes;
use engines::{AnyEngine, AnyMessage};
use sim::app::Registers;
use sim::disk::Disk;
use sim::random::Random;
use std::collections::VecDeque;
use std::sync::LazyLock;
use std::time::Duration;

/// Steps of one run.
const STEPS: usize = 200;

/// Bytes of the debug form of a host, which shows all its maps and queues, but payloads by their length: a measure of memory that
/// needs no allocator. Honest runs stay below a quarter.
const MOST_BYTES: usize = 1 << 20;

/// Frames that were meant for the replica, those of the liar aside.
static HEARD: LazyLock<Vec<&Sent>> =
    LazyLock::new(|| SIMULATED.frames.iter().filter(|sent| sent.to == SILENT && sent.from != LIAR).collect());

struct Replica {
    host: AnyHost,
    edge: Edge,
    disk: Disk,
    elapsed: Duration,
    random: Random,
    /// What the disk and the keys have done and not yet reported, while they are slow.
    held: VecDeque<Event<AnyEngine>>,
    slow: bool,
}

/// A list of steps: one byte for what happens, and what it needs.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut replica = Replica::start();
    let mut next = 0;
    for _ in 0..STEPS {
        if input.is_empty() {
            break;
        }
        match input.byte() % 12 {
            // The past in order, some of it lost.
            0 | 1 => {
                for _ in 0..=input.byte() % 32 {
                    replica.hear(HEARD[next % HEARD.len()].from, HEARD[next % HEARD.len()].bytes.clone());
                    next += 1;
                }
            }
            2 => next = input.short(),
            3 => {
                let sent = input.pick(&HEARD);
                replica.hear(sent.from, sent.bytes.clone());
            }
            4..=6 => replica.lie(&mut input),
            7 => {
                let count = u64::from(input.byte());
                replica.pass(Duration::from_millis(count * count / 8));
            }
            8 => replica.ask(&mut input),
            9 => {
                let peer = *input.pick(&[ReplicaId(0), ReplicaId(1), LIAR]);
                let up = input.byte() % 2 == 1;
                replica.step(if up { Event::Connected { peer } } else { Event::Disconnected { peer } });
            }
            10 => replica.crash(),
            _ => {
                replica.slow = !replica.slow;
                replica.report();
            }
        }
        replica.look();
    }
    let memory = format!("{:?}", replica.host).len();
    assert!(memory < MOST_BYTES, "the host has grown to {memory} bytes");
}

impl Replica {
    fn start() -> Replica {
        let random = Random::new(1);
        let mut effects = Vec::new();
        let config = HostConfig { me: SILENT, ..SIMULATED.config.clone() };
        let app = Registers::default();
        let recovered = Recovered::default();
        let host = AnyHost::recover(config, app, recovered, clock(Duration::ZERO), &mut effects)
            .expect("an empty disk recovers");
        let mut replica = Replica {
            host,
            edge: SIMULATED.edge(),
            disk: Disk::default(),
            elapsed: Duration::ZERO,
            random,
            held: VecDeque::new(),
            slow: false,
        };
        replica.carry_out(effects);
        replica
    }

    fn crash(&mut self) {
        let recovered = self.disk.crash(&mut self.random);
        let mut effects = Vec::new();
        let config = HostConfig { me: SILENT, ..SIMULATED.config.clone() };
        self.host =
            AnyHost::recover(config, Registers::default(), recovered, clock(self.elapsed), &mut effects)
                .expect("what it wrote recovers");
        self.edge = SIMULATED.edge();
        self.held.clear();
        self.slow = false;
        self.carry_out(effects);
    }

    fn hear(&mut self, from: ReplicaId, bytes: Bytes) {
        let length = bytes.len();
        let verdict = self.edge.replica_frames(&[(from, bytes)]).pop().expect("one verdict a frame");
        if let Ok(envelope) = verdict {
            self.step(Event::Frame { from, bytes: length, envelope });
        }
    }

    /// The liar says something like what somebody once said.
    fn lie(&mut self, input: &mut Input<'_>) {
        let samples: Vec<_> = SIMULATED.samples.iter().map(|(_, envelope)| envelope).collect();
        let times = 1 + input.byte() % 3;
        let sample = *input.pick(&samples);
        let bytes = edited(input, sample);
        // Most of its frames are sealed with its own keys; the others are whatever they are.
        let frame = match codec::decode::<Envelope<AnyMessage>>(&bytes, 1 << 16) {
            Ok(envelope) if !input.byte().is_multiple_of(8) => codec::encode(&sealed(envelope)),
            _ => bytes,
        };
        for _ in 0..times {
            self.hear(LIAR, Bytes::from(frame.clone()));
        }
    }

    fn ask(&mut self, input: &mut Input<'_>) {
        let (_, bytes) = forge(&mut Input::new(input.take(24)), &SIMULATED.requests);
        let verdict = self.edge.client_frames(&[Bytes::from(bytes)]).pop().expect("one verdict a frame");
        if let Ok(request) = verdict {
            self.step(Event::Request { client: 1, request });
        }
    }

    fn pass(&mut self, span: Duration) {
        self.elapsed += span;
        let mut effects = Vec::new();
        self.host.flush(clock(self.elapsed), &mut effects);
        self.carry_out(effects);
    }

    fn step(&mut self, event: Event<AnyEngine>) {
        let mut effects = Vec::new();
        self.host.step(clock(self.elapsed), event, &mut effects);
        self.host.flush(clock(self.elapsed), &mut effects);
        self.carry_out(effects);
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match carry_out(&SIMULATED, SILENT, &mut self.disk, effect) {
                Ok(event) => self.held.push_back(event),
                Err(Effect::Stable { height }) => self.edge.set_stable(height),
                Err(Effect::Halt { reason }) => panic!("the replica stops: {reason}"),
                Err(Effect::Report(evidence)) => assert_eq!(evidence.accused, LIAR, "{evidence:?}"),
                Err(_) => {}
            }
        }
        if !self.slow {
            self.report();
        }
    }

    fn report(&mut self) {
        while let Some(event) = self.held.pop_front() {
            self.step(event);
        }
    }

    /// What must hold after every step.
    fn look(&mut self) {
        self.host.invariants();
        let executed = self.host.executed();
        let entry = self.host.entry(executed);
        assert_eq!(
            entry,
            SIMULATED.entries.get(&executed),
            "the ledger is the consortium's at height {executed}"
        );
    }
}

/// As the liar seals it.
fn sealed(mut envelope: Envelope<AnyMessage>) -> Envelope<AnyMessage> {
    let domain = SIMULATED.config.trust.domain;
    for vote in &mut envelope.votes {
        let statement = domain.statement(crypto::StatementKind::CHECKPOINT, 0, vote.height, vote.entry);
        if let Seal::Share(share) = SIMULATED.seal(LIAR, SealWith::Share(statement)) {
            vote.share = share;
        }
    }
    match &mut envelope.body {
        Body::Engine(Sealed { message, seal }) => *seal = SIMULATED.seal(LIAR, message.seal(&domain)),
        Body::Evidence(evidence) => {
            for (statement, seal) in [&mut evidence.first, &mut evidence.second] {
                *seal = SIMULATED.seal(LIAR, SealWith::Share(*statement));
            }
        }
        _ => {}
    }
    envelope
}

/// Seeds: the past as it was, with a crash, with a slow disk, with lies; and each sample told by the liar.
pub fn seeds() -> Vec<Vec<u8>> {
    let past = |count: usize| [0_u8, 31].repeat(count);
    let mut seeds = vec![
        past(20),
        [past(4).as_slice(), &[10], past(4).as_slice(), &[10, 7, 200], past(10).as_slice()].concat(),
        [&[11], past(6).as_slice(), &[7, 50, 11], past(10).as_slice()].concat(),
        [&[9, 0, 1, 9, 1, 1, 9, 2, 1], past(3).as_slice(), &[7, 80, 7, 80], past(10).as_slice()].concat(),
        [&[8, 1, 0, 8, 2, 0], past(3).as_slice(), &[7, 250, 7, 250, 7, 250], past(3).as_slice()].concat(),
    ];
    for sample in 0..SIMULATED.samples.len() as u8 {
        let lie = [4, 0, sample, 0, 1, 5, 1, sample, 2, 3, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1];
        seeds.push([past(2).as_slice(), &lie, past(4).as_slice()].concat());
    }
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_past_leads_to_the_same_ledger_and_stays_small() {
        let mut replica = Replica::start();
        for sent in HEARD.iter() {
            replica.hear(sent.from, sent.bytes.clone());
            replica.look();
        }
        let (executed, whole) = (replica.host.executed(), SIMULATED.entries.len() as u64);
        assert!(
            executed * 2 > whole,
            "height {executed} of {whole}: most runs would end before anything happens"
        );
        assert!(format!("{:?}", replica.host).len() < MOST_BYTES / 4);
    }

    #[test]
    fn what_the_liar_seals_passes_the_edge() {
        let passes = |(_, envelope): &(ReplicaId, Envelope<AnyMessage>)| {
            let frame = (LIAR, Bytes::from(codec::encode(&sealed(envelope.clone()))));
            SIMULATED.edge().replica_frames::<AnyMessage>(&[frame]).remove(0).is_ok()
        };
        let kinds: std::collections::BTreeSet<_> =
            SIMULATED.samples.iter().filter(|sample| passes(sample)).map(|(_, e)| e.body.kind()).collect();
        // What only a leader may say passes where the liar leads, which it does not in the samples' views.
        let refused: Vec<_> =
            SIMULATED.samples.iter().map(|(_, e)| e.body.kind()).filter(|k| !kinds.contains(k)).collect();
        assert!(refused.iter().all(|kind| ["pre-prepare", "new-view"].contains(kind)), "{refused:?}");
    }
}
