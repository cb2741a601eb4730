//! A committee of bare engines, whatever the protocol: messages wait on links until they are delivered, disks keep what was
//! persisted, timers fire when told. What a host does for an engine is done here in its simplest form.

use bft_core::block::Block;
use bft_core::committee::{Committee, StatementDomain};
use bft_core::engine::{
    CheckContext, Draft, Engine, EngineConfig, Input, Message as _, Outbox, Output, Recipients, Start,
};
use bft_core::envelope::{Seal, SealWith, Sealed};
use bft_core::genesis::Limits;
use bft_core::host::{AggregateJob, CombineJob};
use bft_core::ledger::{CheckpointCertificate, LedgerEntry};
use bft_core::transaction::{Item, Kind, Payload, Transaction};
use bft_core::types::{Height, Time, Timestamp};
use bft_core::verified::Verified;
use crypto::{
    ClientSecret, Digest, IdentitySecret, ProtocolTag, QuorumSigner, QuorumVerifier, ReplicaId, Statement,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// One replica.
pub struct Member<E: Engine> {
    pub engine: Option<E>,
    /// Survives crashes.
    pub records: Vec<E::Record>,
    pub blocks: Vec<Block>,
    pub chain: Vec<LedgerEntry>,
    pub stable: CheckpointCertificate,
    pub timers: BTreeMap<E::Timer, Time>,
    /// The engine's wish for a payload.
    pub wanted: Option<u64>,
    /// Outputs so far, over all lives.
    pub outputs: u64,
    /// It crashes right after this many outputs.
    pub crash_after: Option<u64>,
    signer: QuorumSigner,
    identity: IdentitySecret,
}

/// What happened, for transcripts.
pub enum Event<'a, E: Engine> {
    Output(ReplicaId, &'a Output<E>),
    Refused(ReplicaId, ReplicaId, String),
}

pub struct World<E: Engine> {
    pub members: Vec<Member<E>>,
    pub now: Time,
    pub links: BTreeMap<(ReplicaId, ReplicaId), VecDeque<Sealed<E::Message>>>,
    /// Blocks that were proposed, by their transaction.
    pub names: BTreeMap<Digest, String>,
    /// What happened since it was last looked at.
    pub log: Vec<String>,
    describe: fn(&World<E>, Event<'_, E>) -> Option<String>,
    /// Every replica's statements, over all its lives.
    signed: BTreeMap<(ReplicaId, u8, u64, Height), Digest>,
    ledger: BTreeMap<Height, LedgerEntry>,
    context: CheckContext,
    verifier: QuorumVerifier,
    /// What these say, and what is said to them, is lost.
    pub cut_off: BTreeSet<ReplicaId>,
    sequence: u64,
    /// Inputs that follow from outputs: a replica's own promises, combined certificates, executed heights.
    later: VecDeque<(ReplicaId, Input<E>)>,
}

pub fn limits(window: u64) -> Limits {
    Limits { window, view_timeout_ms: 1000, batch_ms: 10, ..Limits::default() }
}

impl<E: Engine> World<E> {
    pub fn new(
        protocol: ProtocolTag,
        replicas: usize,
        window: u64,
        describe: fn(&World<E>, Event<'_, E>) -> Option<String>,
    ) -> World<E> {
        World::within(protocol, replicas, limits(window), describe)
    }

    /// A committee with limits of its own.
    pub fn within(
        protocol: ProtocolTag,
        replicas: usize,
        limits: Limits,
        describe: fn(&World<E>, Event<'_, E>) -> Option<String>,
    ) -> World<E> {
        let fault_model = engines::fault_model(protocol);
        let domain = StatementDomain { chain: Digest([7; 32]), epoch: 1, protocol, fault_model };
        let committee = Committee { replicas, fault_model };
        let (verifier, signers) = QuorumVerifier::simulated([9; 32], replicas, committee.quorum());
        let genesis_entry = LedgerEntry {
            epoch: 1,
            height: 0,
            block: Digest::ZERO,
            time: 0,
            receipts_root: Digest::ZERO,
            state_root: Some(Digest::ZERO),
            next_epoch: None,
            previous: domain.chain,
        };
        let member = |(index, signer): (usize, QuorumSigner)| Member {
            engine: None,
            records: Vec::new(),
            blocks: Vec::new(),
            chain: vec![genesis_entry],
            stable: CheckpointCertificate { entry: genesis_entry, proof: None },
            timers: BTreeMap::new(),
            wanted: None,
            outputs: 0,
            crash_after: None,
            signer,
            identity: IdentitySecret::from_seed([index as u8; 32]),
        };
        let members = signers.into_iter().enumerate().map(member).collect();
        let context = CheckContext { domain, committee, limits, genesis_entry };
        let mut world = World {
            members,
            now: Time(0),
            links: BTreeMap::new(),
            names: BTreeMap::new(),
            log: Vec::new(),
            describe,
            signed: BTreeMap::new(),
            ledger: BTreeMap::from([(0, genesis_entry)]),
            context,
            verifier,
            cut_off: BTreeSet::new(),
            sequence: 0,
            later: VecDeque::new(),
        };
        for height in 1..64 {
            world.names.insert(Block::null(1, height).digest(), "null".into());
            let (chain, payload, time) = (world.context.domain.chain, Payload::empty(), Timestamp(0));
            let empty = Block::new(&chain, 1, height, payload, time, false).expect("it parses");
            world.names.insert(empty.digest(), "empty".into());
        }
        for replica in world.ids() {
            world.restart(replica);
        }
        world
    }

    pub fn ids(&self) -> Vec<ReplicaId> {
        self.context.committee.members().collect()
    }

    pub fn name(&self, block: &Digest) -> String {
        self.names.get(block).cloned().unwrap_or_else(|| block.to_string())
    }

    pub fn is_up(&self, replica: ReplicaId) -> bool {
        self.members[replica.index()].engine.is_some()
    }

    pub fn crash(&mut self, replica: ReplicaId) {
        let member = &mut self.members[replica.index()];
        member.engine = None;
        member.timers.clear();
        member.wanted = None;
        self.links.retain(|(from, to), _| *from != replica && *to != replica);
        self.later.retain(|(of, _)| *of != replica);
    }

    pub fn restart(&mut self, replica: ReplicaId) {
        let limits = self.context.limits;
        let config = EngineConfig {
            votes: true,
            seed: 0,
            me: replica,
            committee: self.context.committee,
            domain: self.context.domain,
            limits,
            genesis_entry: self.context.genesis_entry,
        };
        let member = &self.members[replica.index()];
        let tip = *member.chain.last().expect("there is a genesis");
        let find = |block: &&Block| block.digest() == tip.block;
        let start = Start {
            tip,
            tip_header: member.blocks.iter().find(find).map(|block| block.header),
            stable: member.stable.clone(),
            records: member.records.clone(),
            blocks: member.blocks.iter().filter(|block| block.header.height > tip.height).cloned().collect(),
        };
        let mut out = Outbox::default();
        let engine = E::recover(config, start, self.now, &mut out);
        engine.invariants();
        self.members[replica.index()].engine = Some(engine);
        self.carry_out(replica, out.take());
        self.settle();
    }

    /// Feeds one input and what follows from it, short of messages to others.
    pub fn step(&mut self, replica: ReplicaId, input: Input<E>) {
        self.later.push_back((replica, input));
        self.settle();
    }

    fn settle(&mut self) {
        while let Some((replica, input)) = self.later.pop_front() {
            let Some(engine) = self.members[replica.index()].engine.as_mut() else { continue };
            let mut out = Outbox::default();
            engine.step(self.now, input, &mut out);
            engine.invariants();
            self.carry_out(replica, out.take());
        }
    }

    fn carry_out(&mut self, replica: ReplicaId, outputs: Vec<Output<E>>) {
        for output in outputs {
            if let Some(line) = (self.describe)(self, Event::Output(replica, &output)) {
                self.log.push(line);
            }
            self.perform(replica, output);
            let member = &mut self.members[replica.index()];
            member.outputs += 1;
            if member.crash_after.take_if(|limit| *limit == member.outputs).is_some() {
                return self.crash(replica);
            }
        }
    }

    fn perform(&mut self, replica: ReplicaId, output: Output<E>) {
        match output {
            Output::Persist { record, block } => {
                let member = &mut self.members[replica.index()];
                member.records.extend(record);
                if let Some(block) = block {
                    // A block that names its view has the same text in each.
                    let other = self.names.get(&block.clone().of_view(0).digest()).cloned();
                    self.names.entry(block.digest()).or_insert(other.unwrap_or_default());
                    member.blocks.push(block);
                }
            }
            Output::Send { to, message } => self.send(replica, &to, message),
            Output::Combine { statement, shares } => {
                let job = CombineJob { statement, shares };
                let result = job.result(&self.verifier);
                self.later.push_back((replica, Input::Combined { statement, result }));
            }
            Output::Aggregate { view, words } => {
                let job = AggregateJob { view, words };
                let result = job.result(&self.verifier);
                self.later.push_back((replica, Input::Aggregated { view, result }));
            }
            Output::NeedPayload { token, .. } => self.members[replica.index()].wanted = Some(token),
            Output::FetchBlocks { from, blocks, .. } => self.fetch(replica, &from, &blocks),
            Output::Lagging { checkpoint } => self.catch_up(replica, checkpoint),
            Output::Advise { to } => {
                let checkpoint = self.members[replica.index()].stable.clone();
                self.catch_up(to, checkpoint);
            }
            Output::Commit { height, block, .. } => self.execute(replica, height, block),
            Output::SetTimer { timer, at } => {
                self.members[replica.index()].timers.insert(timer, at);
            }
            Output::CancelTimer(timer) => {
                self.members[replica.index()].timers.remove(&timer);
            }
            Output::Report(_) | Output::Readable { .. } => {}
        }
    }

    fn send(&mut self, from: ReplicaId, to: &Recipients, message: E::Message) {
        let member = &self.members[from.index()];
        let (seal, statement) = match message.seal(&self.context.domain) {
            SealWith::Nothing => (Seal::None, None),
            SealWith::Share(statement) => (Seal::Share(member.signer.sign(&statement)), Some(statement)),
            SealWith::Signature(statement) => {
                (Seal::Signature(member.identity.sign(&statement.encode())), Some(statement))
            }
        };
        if let Some(Statement { kind, view, height, digest, .. }) = statement {
            let before = *self.signed.entry((from, kind.0, view, height)).or_insert(digest);
            assert_eq!(
                before, digest,
                "{from} signed two statements of kind {kind:?}, view {view}, height {height}"
            );
        }
        let sealed = Sealed { message, seal };
        for other in self.ids() {
            let addressed = *to == Recipients::All || *to == Recipients::One(other);
            if addressed && other == from && sealed.message.is_promise() {
                self.later
                    .push_back((from, Input::Message { from, message: Verified::for_tests(sealed.clone()) }));
            } else if addressed && other != from && self.is_up(other) && !self.is_cut(from, other) {
                self.links.entry((from, other)).or_default().push_back(sealed.clone());
            }
        }
    }

    /// Finds bodies on the disks of running replicas, at once.
    fn fetch(&mut self, replica: ReplicaId, from: &[ReplicaId], wanted: &[Digest]) {
        for digest in wanted {
            let holders = from.iter().filter(|id| self.is_up(**id) && **id != replica);
            let bodies = holders.flat_map(|id| &self.members[id.index()].blocks);
            let found = bodies.into_iter().find(|block| block.digest() == *digest).cloned();
            let input = match found {
                Some(block) => Input::Blocks { blocks: Verified::for_tests(vec![block]) },
                None => Input::FetchFailed { blocks: vec![*digest] },
            };
            self.later.push_back((replica, input));
        }
    }

    /// Agreement, seen from outside: one entry a height.
    fn execute(&mut self, replica: ReplicaId, height: Height, block: Digest) {
        let previous = *self.members[replica.index()].chain.last().expect("there is a genesis");
        assert_eq!(height, previous.height + 1, "{replica} commits in height order, each height once");
        let entry = LedgerEntry {
            height,
            block,
            time: height,
            previous: previous.digest(),
            ..self.context.genesis_entry
        };
        let agreed = *self.ledger.entry(height).or_insert(entry);
        assert_eq!(agreed, entry, "{replica} commits what the others do at height {height}");
        self.members[replica.index()].chain.push(entry);
        self.later.push_back((replica, Input::Executed { entry, epoch_ends_at: None }));
    }

    /// Block sync: executes up to the certificate, then adopts it.
    pub fn catch_up(&mut self, replica: ReplicaId, checkpoint: CheckpointCertificate) {
        if !self.is_up(replica) || checkpoint.height() <= self.members[replica.index()].stable.height() {
            return;
        }
        let height = self.members[replica.index()].chain.last().map_or(0, |entry| entry.height);
        let find = |members: &[Member<E>], block: Digest| {
            let bodies = members.iter().flat_map(|member| &member.blocks);
            bodies.into_iter().find(|body| body.digest() == block).cloned()
        };
        for missing in height + 1..=checkpoint.height() {
            let block = self.ledger[&missing].block;
            let body = find(&self.members, block).expect("somebody has it");
            self.members[replica.index()].blocks.push(body);
            self.execute(replica, missing, block);
        }
        let header = find(&self.members, checkpoint.entry.block).map(|block| block.header);
        self.members[replica.index()].stable = checkpoint.clone();
        self.later.push_back((replica, Input::Stable { checkpoint, header }));
        // Not settled here: this may be in the middle of a step.
    }

    /// A quorum certifies a height; every replica that has executed it hears so.
    pub fn checkpoint(&mut self, height: Height) {
        let entry = self.ledger[&height];
        let statement = self.context.domain.checkpoint(&entry);
        let shares: Vec<_> =
            self.ids().iter().map(|id| (*id, self.members[id.index()].signer.sign(&statement))).collect();
        let proof = self.verifier.combine(&statement, &shares).expect("good shares");
        let checkpoint = CheckpointCertificate { entry, proof: Some(proof) };
        for replica in self.ids() {
            if self.members[replica.index()].chain.len() as u64 > height {
                self.catch_up(replica, checkpoint.clone());
            }
        }
        self.settle();
    }

    /// Answers a leader's wish with a block of one transaction; false if it has none.
    pub fn propose(&mut self, replica: ReplicaId, text: &str) -> bool {
        let Some(token) = self.members[replica.index()].wanted.take() else { return false };
        self.sequence += 1;
        let (chain, secret) = (self.context.domain.chain, ClientSecret::from_seed([1; 32]));
        let body = text.to_owned().into_bytes().into();
        let transaction =
            Transaction::sign_simulated(&secret, &chain, Kind::Application, self.sequence, body);
        let payload = Payload::of(vec![Item::new(&chain, transaction)]);
        for height in 1..64 {
            let time = Timestamp(self.sequence);
            let block = Block::new(&chain, 1, height, payload.clone(), time, true).expect("it parses");
            self.names.insert(block.digest(), text.to_owned());
        }
        let draft = Draft { payload, time: Timestamp(self.sequence), checkpoint: true };
        self.step(replica, Input::Payload { token, draft });
        true
    }

    /// Answers a leader's wish with an empty block; false if it has none.
    pub fn flush(&mut self, replica: ReplicaId) -> bool {
        let Some(token) = self.members[replica.index()].wanted.take() else { return false };
        let draft = Draft { payload: Payload::empty(), time: Timestamp(0), checkpoint: false };
        self.step(replica, Input::Payload { token, draft });
        true
    }

    /// Delivers the first message of a link, through the checks of the edge; false if there is none.
    pub fn deliver(&mut self, from: ReplicaId, to: ReplicaId) -> bool {
        let Some(sealed) = self.links.get_mut(&(from, to)).and_then(VecDeque::pop_front) else {
            return false;
        };
        if let Err(why) = self.check(from, &sealed) {
            self.log.extend((self.describe)(self, Event::Refused(from, to, why)));
            return true;
        }
        self.step(to, Input::Message { from, message: Verified::for_tests(sealed) });
        true
    }

    fn check(&self, from: ReplicaId, sealed: &Sealed<E::Message>) -> Result<(), String> {
        let due =
            sealed.message.check(from, &sealed.seal, &self.context).map_err(|error| error.to_string())?;
        for (statement, certificate) in &due.certificates {
            self.verifier.verify(statement, certificate).map_err(|error| error.to_string())?;
        }
        for (words, aggregate) in &due.aggregates {
            self.verifier.verify_aggregate(words, aggregate).map_err(|error| error.to_string())?;
        }
        for (signer, statement, signature) in &due.signatures {
            let identity = self.members[signer.index()].identity.public();
            identity.verify(&statement.encode(), signature).map_err(|error| format!("{error:?}"))?;
        }
        Ok(())
    }

    /// Delivers everything, round after round, until no message is left.
    pub fn deliver_all(&mut self) {
        for _ in 0..10_000 {
            let waiting: Vec<_> =
                self.links.iter().filter(|(_, link)| !link.is_empty()).map(|(ends, _)| *ends).collect();
            if waiting.is_empty() {
                return;
            }
            for (from, to) in waiting {
                self.deliver(from, to);
            }
        }
        panic!("messages never end");
    }

    /// Time goes on to a replica's timer, which fires.
    pub fn fire(&mut self, replica: ReplicaId, timer: E::Timer) -> bool {
        let Some(at) = self.members[replica.index()].timers.remove(&timer) else { return false };
        self.now = self.now.max(at);
        self.step(replica, Input::Timeout(timer));
        true
    }

    /// Fires the timer that is due next, of whichever replica.
    pub fn fire_next(&mut self) -> bool {
        let timers = self
            .ids()
            .into_iter()
            .flat_map(|id| self.members[id.index()].timers.iter().map(move |(timer, at)| (*at, id, *timer)));
        let Some((_, replica, timer)) = timers.min() else { return false };
        self.fire(replica, timer)
    }

    fn is_cut(&self, from: ReplicaId, to: ReplicaId) -> bool {
        self.cut_off.contains(&from) || self.cut_off.contains(&to)
    }

    /// Time passes: timers fire when they are due, and everything that is said arrives at once.
    pub fn pass(&mut self, span: Duration) {
        let until = self.now + span;
        self.deliver_all();
        while self.members.iter().flat_map(|member| member.timers.values()).any(|at| *at <= until) {
            self.fire_next();
            self.deliver_all();
        }
        self.now = until;
    }

    /// Something waits at every replica since now, or nothing does.
    pub fn work(&mut self, waits: bool) {
        let oldest = waits.then_some(self.now);
        for replica in self.ids() {
            self.step(replica, Input::Work { oldest });
        }
    }

    /// A replica's host wants to read.
    pub fn read(&mut self, replica: ReplicaId) {
        self.sequence += 1;
        let token = self.sequence;
        self.step(replica, Input::Read { token });
    }

    pub fn height(&self, replica: ReplicaId) -> Height {
        self.members[replica.index()].chain.last().map_or(0, |entry| entry.height)
    }
}
