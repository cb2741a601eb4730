//! Engines that talk to each other without a host: messages arrive in the order they were sent, or not at all; what is to be durable
//! is so at once.

use bft_core::block::Block;
use bft_core::committee::{Committee, StatementDomain};
use bft_core::engine::{
    CheckContext, Draft, Engine, EngineConfig, Input, Message as _, Outbox, Output, Recipients, Start,
};
use bft_core::envelope::{Seal, SealWith, Sealed};
use bft_core::evidence::Evidence;
use bft_core::genesis::{Chain, Limits};
use bft_core::ledger::{CheckpointCertificate, LedgerEntry};
use bft_core::transaction::{Item, Kind, Payload, Transaction};
use bft_core::types::{Height, Time, Timestamp};
use bft_core::verified::Verified;
use crypto::{
    ClientSecret, CombineError, Digest, FaultModel, ProtocolTag, QuorumSigner, QuorumVerifier, ReplicaId,
};
use hotstuff::{HotStuff, Message, Record, Timer};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

pub const DOMAIN: StatementDomain = StatementDomain {
    chain: Digest([7; 32]),
    epoch: 1,
    protocol: ProtocolTag::HOTSTUFF,
    fault_model: FaultModel::Byzantine,
};

/// The base timeout.
pub const TIMEOUT: Duration = Duration::from_secs(1);

/// One message on its way.
#[derive(Clone, Debug)]
pub struct Letter {
    pub from: ReplicaId,
    pub to: ReplicaId,
    pub sealed: Sealed<Message>,
}

impl Letter {
    /// Whether it is of this kind.
    pub fn is(&self, kind: &str) -> bool {
        self.sealed.message.kind() == kind
    }
}

/// A replica's engine and what stands in for its host.
pub struct Member {
    pub engine: HotStuff,
    pub records: Vec<Record>,
    pub blocks: BTreeMap<Digest, Block>,
    pub log: Vec<Block>,
    pub committed: Vec<Digest>,
    pub timers: BTreeMap<Timer, Time>,
    pub evidence: Vec<Evidence>,
    pub sent: BTreeMap<&'static str, usize>,
    /// Signatures in what it sent.
    pub authenticators: usize,
    wanted: Option<(u64, bool)>,
    pool: VecDeque<Payload>,
}

/// A committee.
pub struct Network {
    pub now: Time,
    pub members: Vec<Option<Member>>,
    pub config: EngineConfig,
    pub letters: VecDeque<Letter>,
    pub quorum: QuorumVerifier,
    pub signers: Vec<QuorumSigner>,
}

pub fn entry(height: Height, block: Digest) -> LedgerEntry {
    let zero = Digest::ZERO;
    LedgerEntry {
        epoch: 1,
        height,
        block,
        time: height,
        receipts_root: zero,
        state_root: Some(zero),
        next_epoch: None,
        previous: zero,
    }
}

/// A payload of one transaction.
pub fn payload(text: &str) -> Payload {
    let secret = ClientSecret::from_seed([1; 32]);
    let body = text.to_owned().into_bytes().into();
    let transaction = Transaction::sign_simulated(&secret, &DOMAIN.chain, Kind::Application, 1, body);
    Payload::of(vec![Item::new(&DOMAIN.chain, transaction)])
}

pub fn limits(chain: Chain) -> Limits {
    let view_timeout_ms = TIMEOUT.as_millis() as u64;
    Limits { window: 16, view_timeout_ms, batch_ms: 0, tenure_views: 8, chain, ..Limits::default() }
}

impl Network {
    pub fn new(replicas: usize, chain: Chain) -> Network {
        let committee = Committee { replicas, fault_model: FaultModel::Byzantine };
        let (quorum, signers) = QuorumVerifier::simulated([1; 32], replicas, committee.quorum());
        let config = EngineConfig {
            votes: true,
            seed: 0,
            me: ReplicaId(0),
            committee,
            domain: DOMAIN,
            limits: limits(chain),
            genesis_entry: entry(0, Digest::ZERO),
        };
        let members = (0..replicas).map(|_| None).collect();
        let mut network =
            Network { now: Time(0), members, config, letters: VecDeque::new(), quorum, signers };
        for replica in 0..replicas {
            network.start(replica, vec![], vec![]);
        }
        network
    }

    /// Starts a replica from what it wrote.
    pub fn start(&mut self, replica: usize, records: Vec<Record>, blocks: Vec<Block>) {
        let config = EngineConfig { me: ReplicaId(replica as u16), ..self.config };
        let tip = entry(0, Digest::ZERO);
        let stable = CheckpointCertificate { entry: tip, proof: None };
        let start = Start { tip, tip_header: None, stable, records: records.clone(), blocks: blocks.clone() };
        let mut out = Outbox::default();
        let engine = HotStuff::recover(config, start, self.now, &mut out);
        self.members[replica] = Some(Member {
            engine,
            records,
            blocks: blocks.iter().map(|block| (block.digest(), block.clone())).collect(),
            log: blocks,
            committed: Vec::new(),
            timers: BTreeMap::new(),
            evidence: Vec::new(),
            sent: BTreeMap::new(),
            authenticators: 0,
            wanted: None,
            pool: VecDeque::new(),
        });
        self.absorb(replica, out);
    }

    /// Stops a replica; what it wrote stays.
    pub fn crash(&mut self, replica: usize) -> (Vec<Record>, Vec<Block>) {
        let member = self.members[replica].take().expect("it runs");
        (member.records, member.log)
    }

    pub fn member(&self, replica: usize) -> &Member {
        self.members[replica].as_ref().expect("it runs")
    }

    fn running(&self) -> Vec<usize> {
        (0..self.members.len()).filter(|replica| self.members[*replica].is_some()).collect()
    }

    /// A client gives a transaction to everybody, who all propose it if they lead; what is committed is proposed no more.
    pub fn submit(&mut self, text: &str) {
        for replica in self.running() {
            let member = self.members[replica].as_mut().expect("it runs");
            member.pool.push_back(payload(text));
            self.feed(replica, Input::Work { oldest: Some(self.now) });
        }
    }

    pub fn feed(&mut self, replica: usize, input: Input<HotStuff>) {
        let Some(member) = self.members[replica].as_mut() else { return };
        let mut out = Outbox::default();
        member.engine.step(self.now, input, &mut out);
        member.engine.invariants();
        self.absorb(replica, out);
    }

    pub fn seal(&self, from: usize, message: &Message) -> Seal {
        match message.seal(&DOMAIN) {
            SealWith::Nothing => Seal::None,
            SealWith::Share(statement) => Seal::Share(self.signers[from].sign(&statement)),
            SealWith::Signature(_) => unreachable!("HotStuff signs with shares"),
        }
    }

    fn absorb(&mut self, replica: usize, mut out: Outbox<HotStuff>) {
        let me = ReplicaId(replica as u16);
        for output in out.take() {
            let member = self.members[replica].as_mut().expect("it runs");
            match output {
                Output::Persist { record, block } => {
                    member.records.extend(record);
                    if let Some(block) = block {
                        member.blocks.insert(block.digest(), block.clone());
                        member.log.push(block);
                    }
                }
                Output::Send { to, message } => {
                    let own = message.is_promise();
                    let everybody = self.config.committee.members();
                    let to: Vec<ReplicaId> = match to {
                        Recipients::All => everybody.filter(|to| own || *to != me).collect(),
                        Recipients::One(to) => vec![to],
                    };
                    let copies = to.iter().filter(|to| **to != me).count();
                    *member.sent.entry(message.kind()).or_default() += copies;
                    member.authenticators += copies * message.authenticators();
                    let sealed = Sealed { seal: self.seal(replica, &message), message };
                    self.letters.extend(to.into_iter().map(|to| Letter {
                        from: me,
                        to,
                        sealed: sealed.clone(),
                    }));
                }
                Output::Combine { statement, shares } => {
                    let result = self.quorum.combine(&statement, &shares).map_err(culprits);
                    self.feed(replica, Input::Combined { statement, result });
                }
                Output::Aggregate { view, words } => {
                    let result = self.quorum.aggregate(&words).map_err(culprits);
                    self.feed(replica, Input::Aggregated { view, result });
                }
                Output::NeedPayload { token, uncommitted: _, deadline: _, flush } => {
                    member.wanted = Some((token, flush));
                }
                Output::FetchBlocks { from, blocks, patience: _ } => {
                    let found = blocks.iter().find_map(|digest| {
                        let holders = from.iter().filter_map(|id| self.members[id.index()].as_ref());
                        holders.filter_map(|member| member.blocks.get(digest)).next().cloned()
                    });
                    if let Some(block) = found {
                        self.feed(replica, Input::Blocks { blocks: Verified::for_tests(vec![block]) });
                    }
                }
                Output::Commit { height, block, proof: _ } => {
                    member.committed.push(block);
                    assert_eq!(height as usize, member.committed.len(), "in height order, each once");
                    let payload = &member.blocks[&block].payload;
                    member.pool.retain(|waiting| waiting != payload);
                    let oldest = (!member.pool.is_empty()).then_some(self.now);
                    self.feed(replica, Input::Work { oldest });
                    let entry = entry(height, block);
                    self.feed(replica, Input::Executed { entry, epoch_ends_at: None });
                    if height % 8 == 0 {
                        let checkpoint = CheckpointCertificate { entry, proof: None };
                        self.feed(replica, Input::Stable { checkpoint, header: None });
                    }
                }
                Output::SetTimer { timer, at } => drop(member.timers.insert(timer, at)),
                Output::CancelTimer(timer) => drop(member.timers.remove(&timer)),
                Output::Report(evidence) => member.evidence.push(evidence),
                Output::Readable { .. } => {}
                Output::Lagging { .. } | Output::Advise { .. } => {}
            }
        }
    }

    /// Gives leaders that want one a payload.
    fn answer_wishes(&mut self) -> bool {
        let mut answered = false;
        for replica in self.running() {
            let member = self.members[replica].as_mut().expect("it runs");
            let Some((token, flush)) = member.wanted else { continue };
            let open: Vec<Payload> = member
                .log
                .iter()
                .filter(|block| block.header.height > member.committed.len() as u64)
                .map(|block| block.payload.clone())
                .collect();
            let fresh = member.pool.iter().find(|payload| !open.contains(payload)).cloned();
            if fresh.is_none() && !flush {
                continue;
            }
            member.wanted = None;
            let draft = Draft {
                checkpoint: fresh.is_some(),
                payload: fresh.unwrap_or_else(Payload::empty),
                time: Timestamp(self.now.0),
            };
            self.feed(replica, Input::Payload { token, draft });
            answered = true;
        }
        answered
    }

    /// Checks a message as the edge does, but for its cryptography.
    pub fn check(&self, letter: &Letter) {
        let context = CheckContext {
            domain: DOMAIN,
            committee: self.config.committee,
            limits: self.config.limits,
            genesis_entry: self.config.genesis_entry,
        };
        let Sealed { message, seal } = &letter.sealed;
        let due = message.check(letter.from, seal, &context).expect("an honest replica's message");
        for (statement, certificate) in &due.certificates {
            self.quorum.verify(statement, certificate).expect("an honest replica's certificate");
        }
        for (words, aggregate) in &due.aggregates {
            self.quorum.verify_aggregate(words, aggregate).expect("an honest replica's aggregate");
        }
    }

    /// Delivers until nothing moves; letters that `lost` names are lost.
    pub fn settle(&mut self, mut lost: impl FnMut(&Letter) -> bool) {
        loop {
            while let Some(letter) = self.letters.pop_front() {
                self.check(&letter);
                if letter.from != letter.to && lost(&letter) {
                    continue;
                }
                let Letter { from, to, sealed } = letter;
                self.feed(to.index(), Input::Message { from, message: Verified::for_tests(sealed) });
            }
            if !self.answer_wishes() {
                return;
            }
        }
    }

    /// Lets time pass, timer by timer, delivering in between.
    pub fn run(&mut self, duration: Duration, mut lost: impl FnMut(&Letter) -> bool) {
        let end = self.now + duration;
        self.settle(&mut lost);
        loop {
            let timers = self.running().into_iter().flat_map(|replica| {
                self.member(replica).timers.iter().map(move |(timer, at)| (*at, replica, *timer))
            });
            let Some((at, replica, timer)) = timers.min().filter(|(at, ..)| *at <= end) else { break };
            self.now = self.now.max(at);
            self.members[replica].as_mut().expect("it runs").timers.remove(&timer);
            self.feed(replica, Input::Timeout(timer));
            self.settle(&mut lost);
        }
        self.now = end;
    }

    /// What was committed by the replica that is furthest; everybody's is a part of it.
    pub fn agreed(&self) -> Vec<Digest> {
        let running = self.running();
        let committed = running.iter().map(|replica| &self.member(*replica).committed);
        let longest = committed.clone().max_by_key(|committed| committed.len()).expect("somebody runs");
        for other in committed {
            assert_eq!(*other, longest[..other.len()], "two replicas committed different blocks");
        }
        longest.clone()
    }

    /// How many transactions a replica has committed, each counted once: there is no host that would refuse the second.
    pub fn transactions(&self, replica: usize) -> usize {
        let member = self.member(replica);
        let payloads = member.committed.iter().map(|block| member.blocks[block].payload.bytes());
        payloads.filter(|bytes| **bytes != *Payload::empty().bytes()).collect::<BTreeSet<_>>().len()
    }
}

fn culprits(error: CombineError) -> Vec<ReplicaId> {
    match error {
        CombineError::Culprits(culprits) => culprits,
        other => panic!("an engine combines a quorum, in order: {other}"),
    }
}
