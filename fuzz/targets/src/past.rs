//! The short past of the consortium, while it happens.

use crate::consortium::{AnyHost, Consortium, LIAR, SILENT, Sent, carry_out, client, clock, message};
use crate::pbft;
use bft_core::codec;
use bft_core::edge::Edge;
use bft_core::envelope::{Body, ChainQuestion, Envelope, Seal, Sealed};
use bft_core::host::{Effect, Event, HostConfig, Recovered};
use bft_core::request::{Call, ReadingOf, Reply, Request};
use bft_core::transaction::{Item, Kind, Payload, SystemAction};
use bft_core::types::{ReplicaId, Time};
use bytes::Bytes;
use crypto::Digest;
use engines::{AnyEngine, AnyMessage};
use sim::app::Registers;
use sim::disk::Disk;
use sim::random::Random;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

struct Node {
    host: AnyHost,
    edge: Edge,
    disk: Disk,
}

/// The past while it happens.
pub(crate) struct Past {
    consortium: Consortium,
    nodes: Vec<Node>,
    elapsed: Duration,
    queue: VecDeque<Sent>,
    /// What decides is lost: blocks are voted on and no more.
    nothing_decided: bool,
}

impl Past {
    /// Lets it happen to a consortium that has none yet.
    pub(crate) fn of(consortium: Consortium) -> Consortium {
        let mut past = Past {
            consortium,
            nodes: Vec::new(),
            elapsed: Duration::ZERO,
            queue: VecDeque::new(),
            nothing_decided: false,
        };
        past.start();
        past.load();
        past.finish()
    }

    fn start(&mut self) {
        let mut begun = Vec::new();
        for me in self.consortium.config.trust.committee.members() {
            let config = HostConfig { me, ..self.consortium.config.clone() };
            let mut effects = Vec::new();
            let host = AnyHost::recover(
                config,
                Registers::default(),
                Recovered::default(),
                clock(self.elapsed),
                &mut effects,
            )
            .expect("the genesis is valid");
            self.nodes.push(Node { host, edge: self.consortium.edge(), disk: Disk::default() });
            begun.push((me, effects));
        }
        for (me, effects) in begun {
            self.carry_out(me, effects);
        }
        let talking = || self.consortium.config.trust.committee.members().filter(|id| *id != SILENT);
        let pairs: Vec<_> = talking().flat_map(|me| talking().map(move |peer| (me, peer))).collect();
        for (me, peer) in pairs.into_iter().filter(|(me, peer)| me != peer) {
            self.step(me, Event::Connected { peer });
        }
    }

    fn load(&mut self) {
        let submit = |past: &mut Past, to: u16, who: u8, sequence: u64| {
            let item = past.consortium.transaction(who, sequence, 7 * who + sequence as u8);
            past.submit(ReplicaId(to), item);
        };
        for sequence in 1..=4 {
            for who in [11, 12, 21] {
                submit(self, 0, who, sequence);
            }
            self.pass(Duration::from_millis(60));
        }
        let enrol = codec::encode(&SystemAction::Enroll { client: client(13).public() });
        let enrol = self.consortium.sign(10, 1, Kind::System, enrol);
        self.submit(ReplicaId(1), enrol);
        self.pass(Duration::from_millis(100));
        // The leader's blocks are prepared, nobody hears of a commit, and the view changes.
        self.nothing_decided = true;
        submit(self, 0, 11, 5);
        submit(self, 1, 12, 5);
        self.pass(Duration::from_millis(800));
        self.nothing_decided = false;
        self.pass(Duration::from_secs(2));
        submit(self, 3, 21, 5);
        // Two keys of one body: a register that is refused, and a sequence that was used.
        let refused = self.consortium.transaction(11, 6, 250);
        self.submit(ReplicaId(1), refused);
        self.pass(Duration::from_secs(1));
        for question in [b"\x54".as_slice(), b"\xf0", b""] {
            self.ask(ReplicaId(0), Call::Read(ReadingOf::Certified(0), Bytes::from_static(question)));
        }
        self.ask(ReplicaId(0), Call::Receipt { client: client(11).public(), sequence: 2 });
        self.ask(ReplicaId(1), Call::Receipt { client: client(11).public(), sequence: 99 });
        self.ask(ReplicaId(0), Call::Session(client(12).public()));
        self.ask(ReplicaId(0), Call::Status);
        // Whoever was cut off asks for what it missed, and is told of the checkpoint, which it would have been anyway.
        for (height, peer) in [(1, ReplicaId(0)), (4, ReplicaId(1))] {
            let ask = Envelope::<AnyMessage> {
                epoch: 1,
                votes: Vec::new(),
                body: Body::FetchChain(ChainQuestion::From(height)),
            };
            self.deliver(&Sent { from: SILENT, to: peer, bytes: codec::encode(&ask).into() });
            self.step(peer, Event::Connected { peer: SILENT });
        }
        self.pass(Duration::from_secs(1));
    }

    fn submit(&mut self, to: ReplicaId, item: Item) {
        self.consortium.items.push(item.clone());
        self.ask(to, Call::Submit(Payload::of(vec![item])));
    }

    fn ask(&mut self, to: ReplicaId, call: Call) {
        let request = Request { id: self.consortium.requests.len() as u64, call };
        let bytes = Bytes::from(codec::encode(&request));
        self.consortium.requests.push(request);
        let verdict = self.nodes[to.index()].edge.client_frames(&[bytes]).pop().expect("one verdict a frame");
        let request = verdict.expect("a client's own request passes");
        self.step(to, Event::Request { client: 1, request });
        self.settle();
    }

    /// Time passes, timer by timer.
    fn pass(&mut self, span: Duration) {
        let until = self.elapsed + span;
        self.settle();
        loop {
            let next = self.nodes.iter().filter_map(|node| node.host.deadline()).min();
            let next =
                next.map_or(until, |at| at.since(Time(0))).max(self.elapsed + Duration::from_micros(100));
            if next >= until {
                break;
            }
            self.elapsed = next;
            self.settle();
        }
        self.elapsed = until;
        self.settle();
    }

    fn settle(&mut self) {
        loop {
            for me in self.consortium.config.trust.committee.members() {
                let mut effects = Vec::new();
                self.nodes[me.index()].host.flush(clock(self.elapsed), &mut effects);
                self.carry_out(me, effects);
            }
            if self.queue.is_empty() {
                break;
            }
            while let Some(sent) = self.queue.pop_front() {
                self.deliver(&sent);
            }
        }
    }

    fn deliver(&mut self, sent: &Sent) {
        if sent.to == SILENT {
            return;
        }
        let Sent { from, to, bytes } = sent;
        let frame = [(*from, bytes.clone())];
        let verdict = self.nodes[to.index()].edge.replica_frames(&frame).pop().expect("one verdict a frame");
        if let Ok(envelope) = verdict {
            self.step(*to, Event::Frame { from: *from, bytes: bytes.len(), envelope });
        }
    }

    fn step(&mut self, me: ReplicaId, event: Event<AnyEngine>) {
        let mut effects = Vec::new();
        self.nodes[me.index()].host.step(clock(self.elapsed), event, &mut effects);
        self.carry_out(me, effects);
    }

    fn carry_out(&mut self, me: ReplicaId, effects: Vec<Effect>) {
        for effect in effects {
            match carry_out(&self.consortium, me, &mut self.nodes[me.index()].disk, effect) {
                Ok(event) => self.step(me, event),
                Err(Effect::Send { to, class: _, frame }) if me != SILENT => {
                    let sent = Sent { from: me, to, bytes: frame };
                    let decides = match message(&sent.bytes).body {
                        Body::Engine(Sealed { message: AnyMessage::Pbft(message), .. }) => {
                            pbft::decides(&message)
                        }
                        _ => false,
                    };
                    self.consortium.frames.push(sent.clone());
                    if !(decides && self.nothing_decided) {
                        self.queue.push_back(sent);
                    }
                }
                Err(Effect::Reply { client: _, frame }) => {
                    let replies = Reply::read(&frame, 1 << 20).expect("a replica's own reply");
                    self.consortium.replies.extend(replies);
                }
                Err(Effect::Stable { height }) => self.nodes[me.index()].edge.set_stable(height),
                Err(Effect::Halt { reason }) => panic!("{me} halts: {reason}"),
                Err(Effect::Report(evidence)) => panic!("{me} accuses {evidence:?}"),
                Err(_) => {}
            }
        }
    }

    fn finish(mut self) -> Consortium {
        let node = &mut self.nodes[0];
        for height in 1..=node.host.executed() {
            let entry = node.host.entry(height).expect("receipts of recent heights are kept");
            self.consortium.entries.insert(height, *entry);
        }
        self.consortium.recovered = node.disk.crash(&mut Random::new(0));
        self.consortium.samples = samples(&self.consortium.frames);
        let body = Body::Evidence(Box::new(self.consortium.lie(LIAR, pbft::KINDS[0])));
        self.consortium.samples.push((ReplicaId(0), Envelope { epoch: 1, votes: Vec::new(), body }));
        self.consortium
    }
}

/// The first and the last of each kind, and of kinds that this past does not have, one made of its parts.
fn samples(frames: &[Sent]) -> Vec<(ReplicaId, Envelope<AnyMessage>)> {
    let mut kinds: BTreeMap<&'static str, Vec<(ReplicaId, Envelope<AnyMessage>)>> = BTreeMap::new();
    let mut add = |from: ReplicaId, envelope: Envelope<AnyMessage>| {
        let list = kinds.entry(envelope.body.kind()).or_default();
        list.truncate(1);
        list.push((from, envelope));
    };
    for Sent { from, bytes, .. } in frames {
        let envelope = message(bytes);
        let (host, engine) = relatives(*from, &envelope.body);
        add(*from, envelope);
        for body in host {
            add(*from, Envelope { epoch: 1, votes: Vec::new(), body });
        }
        for message in engine {
            let body = Body::Engine(Sealed { message, seal: Seal::None });
            add(*from, Envelope { epoch: 1, votes: Vec::new(), body });
        }
    }
    kinds.into_values().flatten().collect()
}

/// Questions and answers that go with a message.
fn relatives(from: ReplicaId, body: &Body<AnyMessage>) -> (Vec<Body<AnyMessage>>, Vec<AnyMessage>) {
    match body {
        Body::Engine(Sealed { message: AnyMessage::Pbft(message), seal }) => {
            let questions = pbft::proposed(message).map(|block| {
                let asked = Body::FetchBlocks(vec![block.digest()]);
                [asked, Body::Blocks(vec![block.clone()], vec![Digest::ZERO])]
            });
            let engine = pbft::relatives(from, message, seal).into_iter().map(AnyMessage::Pbft);
            (questions.into_iter().flatten().collect(), engine.collect())
        }
        Body::Certificate(certificate) => {
            (vec![Body::FetchChain(ChainQuestion::From(certificate.height()))], Vec::new())
        }
        _ => Default::default(),
    }
}
