//! The log on its way to the others, and what that commits (3.5, 3.6.2).

use crate::engine::{Out, Peer, Raft, Role, Wanted, to_one};
use crate::log::{Entry, Log, Position};
use crate::message::{Alive, Append, Carried, Heartbeat, MOST_ENTRIES, Message, Refusal};
use crate::record::Record;
use crate::rules;
use bft_core::block::{Block, Header};
use bft_core::engine::{Draft, Output};
use bft_core::ledger::CheckpointCertificate;
use bft_core::mutants::Mutant;
use bft_core::types::{Height, Time, View};
use crypto::{Digest, ReplicaId};
use std::time::Duration;

impl Raft {
    /// As leader: asks for something to propose, within the window.
    pub(crate) fn want_payload(&mut self, now: Time, out: &mut Out) {
        let (last, limit) = (self.log.last().height, self.limit());
        let Role::Leader(leadership) = &self.role else { return };
        if leadership.leaving || last >= limit {
            self.wanted = None;
            return;
        }
        let open = last > self.committed;
        if self.wanted.is_some_and(|wanted| wanted.open == open) {
            return;
        }
        // With a block on its way the next one may fill meanwhile.
        let pause = if open { Duration::from_millis(self.config.limits.batch_ms) } else { Duration::ZERO };
        let deadline = now.max(leadership.proposed + pause);
        self.tokens += 1;
        self.wanted = Some(Wanted { token: self.tokens, open });
        let uncommitted = self.log.from(self.committed + 1).map(|(_, entry)| entry.block).collect();
        out.push(Output::NeedPayload { token: self.tokens, uncommitted, deadline, flush: false });
    }

    pub(crate) fn on_payload(&mut self, now: Time, token: u64, draft: Draft, out: &mut Out) {
        if self.wanted.take_if(|wanted| wanted.token == token).is_none() {
            return;
        }
        if let Role::Leader(leadership) = &mut self.role {
            leadership.proposed = now;
            self.propose(draft, out);
        }
    }

    /// As leader: adds an entry. The own disk works while it travels.
    pub(crate) fn propose(&mut self, draft: Draft, out: &mut Out) {
        let Draft { payload, time, checkpoint } = draft;
        let (domain, height) = (self.config.domain, self.log.last().height + 1);
        let block = Block::new(&domain.chain, domain.epoch, height, payload, time, checkpoint)
            .expect("the host builds payloads that parse")
            .of_view(self.view);
        self.store(block, out);
        to_one(self.config.me, Message::Appended { view: self.view, matched: height }, out);
    }

    /// Adds an entry on top of the log, and has it written.
    fn store(&mut self, block: Block, out: &mut Out) {
        self.enter(Position::of(&block.header), block.digest(), Some(block), out);
    }

    fn enter(&mut self, position: Position, digest: Digest, body: Option<Block>, out: &mut Out) {
        self.fetched.remove(&digest);
        let record = Record::Entry { position, block: digest };
        self.log.push(Entry { view: position.view, block: digest, body: body.clone() });
        out.push(Output::Persist { record: Some(record), block: body });
    }

    /// As leader: sends every follower what it may get.
    pub(crate) fn feed(&mut self, out: &mut Out) {
        let (view, committed) = (self.view, self.committed);
        let flight = 2 * self.config.limits.window;
        let most_bytes = self.config.limits.block_bytes as usize;
        let Role::Leader(leadership) = &mut self.role else { return };
        let (last, base) = (self.log.last().height, self.log.base());
        for (to, peer) in &mut leadership.peers {
            while peer.may_get(last, flight) {
                let Some(view_before) = self.log.view_at(peer.next - 1) else {
                    // Its host has to bring it to this replica's checkpoint first.
                    peer.probe_from(base.height + 1);
                    peer.waiting = true;
                    out.push(Output::Advise { to: *to });
                    break;
                };
                let previous = Position { view: view_before, height: peer.next - 1 };
                let entries =
                    if peer.probing { Vec::new() } else { carried(&self.log, peer.next, most_bytes) };
                peer.next += entries.len() as u64;
                peer.waiting = peer.probing;
                peer.told = peer.told.max(committed.min(peer.next - 1));
                to_one(*to, Message::Append(Append { view, previous, entries, committed }), out);
            }
        }
    }

    pub(crate) fn on_append(&mut self, now: Time, from: ReplicaId, append: Append, out: &mut Out) {
        let Append { view, previous, entries, committed } = append;
        if view < self.view {
            return self.tell_view(from, out);
        }
        self.hear(now, from, view, out);
        let base = self.log.base();
        // What is at the base or below is committed here, and so the same in every leader's log.
        if previous.height > base.height && !self.log.has(previous) && !Mutant::GapsInLog.is_on() {
            let hint = self.log.highest_of(previous.height, previous.view);
            return to_one(from, Message::Refused(Refusal { view, previous, hint }), out);
        }
        // What is here at the base, and what is executed, is every present leader's: one that has something else leads no more, and has not
        // heard of it. Where the log is behind what is executed, the host has yet to say where it begins anew.
        let conflicts = |height: Height, view: View| {
            (height == base.height || height > base.height && height <= self.executed)
                && self.log.view_at(height) != Some(view)
        };
        let named =
            (previous.height..).zip([previous.view].into_iter().chain(entries.iter().map(Carried::view)));
        if named.into_iter().any(|(height, view)| conflicts(height, view)) && !Mutant::GapsInLog.is_on() {
            return;
        }
        let mut agreed = previous.height.max(base.height.min(previous.height + entries.len() as u64));
        let mut missing = Vec::new();
        for (height, carried) in (previous.height + 1..).zip(entries) {
            if !missing.is_empty() {
                // What follows on a block that has to be fetched is only looked at for what else is to be fetched.
                missing.extend(self.missing(&carried, height));
                continue;
            }
            if height <= base.height || self.log.view_at(height) == Some(carried.view()) {
                agreed = height.max(agreed);
                continue;
            }
            match self.body(carried, height) {
                Ok(block) if self.has_room(&block) => {
                    if height <= self.log.last().height {
                        let other = || {
                            format!(
                                "the leader of view {view} has another entry at the committed height {height}"
                            )
                        };
                        assert!(height > self.committed, "{}", other());
                        self.log.truncate(height);
                    }
                    self.store(block, out);
                    agreed = height;
                }
                Ok(_) => break,
                Err(digest) => missing.push(digest),
            }
        }
        if !missing.is_empty() {
            out.push(Output::FetchBlocks { from: vec![from], blocks: missing, patience: Duration::ZERO });
        }
        self.agreed = self.agreed.max(agreed);
        self.follow_commit(committed, out);
        let message = if self.config.votes {
            Message::Appended { view, matched: self.agreed }
        } else {
            Message::Alive(Alive { view, round: 0, received: self.agreed, votes: false })
        };
        to_one(from, message, out);
    }

    /// Blocks are held in a bounded number; those of elections are empty.
    fn has_room(&self, block: &Block) -> bool {
        block.header.height <= self.stable + self.config.limits.reach() || block.payload.is_empty()
    }

    /// The block of an entry; or its digest, where it has to be fetched.
    fn body(&mut self, carried: Carried, height: Height) -> Result<Block, Digest> {
        match carried {
            Carried::Block(block) => Ok(block),
            Carried::Named(_, digest) => match self.fetched.get(&digest) {
                Some((_, Some(block))) => Ok(block.clone()),
                Some((_, None)) | None => {
                    self.fetched.insert(digest, (height, None));
                    Err(digest)
                }
            },
        }
    }

    /// The digest of an entry's block, if it has to be asked for.
    fn missing(&mut self, carried: &Carried, height: Height) -> Option<Digest> {
        match carried {
            Carried::Named(_, digest) if !self.fetched.contains_key(digest) => {
                self.fetched.insert(*digest, (height, None));
                Some(*digest)
            }
            Carried::Named(..) | Carried::Block(_) => None,
        }
    }

    /// Blocks that were asked for: the leader is asked for the entries again.
    pub(crate) fn on_blocks(&mut self, blocks: Vec<Block>, out: &mut Out) {
        for block in blocks {
            if let Some((_, place)) = self.fetched.get_mut(&block.digest()) {
                *place = Some(block);
            }
        }
        let complete = !self.fetched.is_empty() && self.fetched.values().all(|(_, block)| block.is_some());
        if let Some(leader) = self.leader.filter(|leader| complete && *leader != self.config.me) {
            let (view, received, votes) = (self.view, self.agreed, self.config.votes);
            to_one(leader, Message::Alive(Alive { view, round: 0, received, votes }), out);
        }
    }

    pub(crate) fn on_appended(
        &mut self,
        now: Time,
        from: ReplicaId,
        view: View,
        matched: Height,
        out: &mut Out,
    ) {
        if view > self.view {
            return self.follow(now, view, None, out);
        }
        // threat 43: what was acknowledged to an earlier leadership says nothing about this one's log.
        if view < self.view && !Mutant::AnyViewsAcknowledgement.is_on() {
            return;
        }
        let (me, last) = (self.config.me, self.log.last().height);
        let Role::Leader(leadership) = &mut self.role else { return };
        let matched = matched.min(last);
        if from == me {
            leadership.own = leadership.own.max(matched);
        } else if let Some(peer) = leadership.peers.get_mut(&from) {
            peer.heard = now;
            peer.takes(matched);
            peer.matched = peer.matched.max(matched);
        }
        self.advance(now, out);
        self.hand_over(out);
    }

    /// As leader: commits what a majority has on disk.
    fn advance(&mut self, now: Time, out: &mut Out) {
        let Role::Leader(leadership) = &self.role else { return };
        let matched = leadership.peers.values().map(|peer| peer.matched).chain([leadership.own]);
        let view_at = |height| {
            let own = Mutant::CountOlderViews.is_on() && height > self.committed;
            if own { Some(self.view) } else { self.log.view_at(height) }
        };
        let quorum = Mutant::AppendQuorum.lowers(self.quorum());
        let height = rules::committable(matched, quorum, self.view, view_at);
        if let Some(height) = height.filter(|height| *height > self.committed) {
            self.commit_to(height, out);
            self.answer_reads(now, out);
        }
    }

    /// The leader says what is committed.
    fn follow_commit(&mut self, told: Height, out: &mut Out) {
        let agreed = if Mutant::CommitOwnLog.is_on() { self.log.last().height } else { self.agreed };
        self.commit_to(rules::follows_commit(told, agreed), out);
    }

    /// Commits everything up to a height.
    fn commit_to(&mut self, height: Height, out: &mut Out) {
        while self.committed < height {
            let next = self.committed + 1;
            if let Some(entry) = self.log.get_mut(next) {
                entry.body = None;
                out.push(Output::Commit { height: next, block: entry.block, proof: None });
            }
            self.committed = next;
        }
    }

    pub(crate) fn on_refused(&mut self, now: Time, from: ReplicaId, refusal: Refusal, out: &mut Out) {
        let Refusal { view, previous, hint } = refusal;
        if view > self.view {
            return self.follow(now, view, None, out);
        }
        let base = self.log.base();
        let Role::Leader(leadership) = &mut self.role else { return };
        let Some(peer) = leadership.peers.get_mut(&from).filter(|_| view == self.view) else { return };
        peer.heard = now;
        let stale =
            if peer.probing { previous.height != peer.next - 1 } else { previous.height <= peer.matched };
        if stale {
            return;
        }
        let agrees = self.log.highest_of(hint.height.min(previous.height.saturating_sub(1)), hint.view);
        // Entries were on their way, and each will be refused: they are waited for, or else every one began the same anew.
        let in_flight = !peer.probing;
        peer.probe_from(agrees.height.max(peer.matched) + 1);
        peer.waiting = in_flight;
        if previous.height <= base.height {
            // It lacks the base itself, which its host has to bring.
            out.push(Output::Advise { to: from });
            peer.waiting = true;
        }
    }

    pub(crate) fn on_heartbeat(&mut self, now: Time, from: ReplicaId, heartbeat: Heartbeat, out: &mut Out) {
        let Heartbeat { view, committed, round } = heartbeat;
        if view < self.view {
            return self.tell_view(from, out);
        }
        self.hear(now, from, view, out);
        self.follow_commit(committed, out);
        if round > 0 {
            let (received, votes) = (self.agreed, self.config.votes);
            to_one(from, Message::Alive(Alive { view, round, received, votes }), out);
            self.ask_patiently(now, out);
        }
    }

    pub(crate) fn on_alive(&mut self, now: Time, from: ReplicaId, alive: Alive, out: &mut Out) {
        let Alive { view, round, received, votes } = alive;
        if view > self.view {
            return self.follow(now, view, None, out);
        }
        let last = self.log.last().height;
        let Role::Leader(leadership) = &mut self.role else { return };
        let Some(peer) = leadership.peers.get_mut(&from).filter(|_| view == self.view) else { return };
        let received = received.min(last);
        (peer.heard, peer.votes) = (now, votes);
        if !votes {
            // It has lost its disk: what it acknowledged before is not there any more.
            peer.matched = 0;
        }
        peer.round = peer.round.max(round);
        if round == 0 {
            // It has what it waited for; or it is a learner, and this is all the answer that there is.
            peer.takes(received);
            if received + 1 < peer.next && votes {
                peer.probe_from(received.max(peer.matched) + 1);
            }
        } else if peer.checked < leadership.timed && round >= leadership.timed {
            // Twice the same, and less than was sent, or more than was acknowledged: the rest is lost, or the acknowledgement.
            let missing = received + 1 < peer.next || (votes && peer.matched < received);
            if !peer.probing && missing && received <= peer.before {
                peer.probe_from(received.max(peer.matched) + 1);
            }
            (peer.before, peer.checked) = (received, leadership.timed);
        }
        peer.received = peer.received.max(received);
        self.on_round(now, out);
    }

    pub(crate) fn on_heartbeat_timeout(&mut self, now: Time, out: &mut Out) {
        self.timing.heartbeat_set = None;
        let (patience, quorum) = (self.patience(), self.quorum());
        let Role::Leader(leadership) = &mut self.role else { return };
        let heard = |peer: &&Peer| peer.votes && now < peer.heard + patience;
        let there = leadership.peers.values().filter(heard).count() + 1;
        if there < quorum && !Mutant::NoCheckQuorum.is_on() {
            // It may have been replaced, and nobody could tell it.
            return self.follow(now, self.view, None, out);
        }
        for peer in leadership.peers.values_mut() {
            peer.waiting = false;
        }
        leadership.timed = leadership.round + 1;
        self.timing.heartbeat = now + self.heartbeat_pause();
        self.hand_over(out);
        self.beat(now, out);
    }

    /// Nothing has gone out that says what is committed.
    pub(crate) fn on_notice(&mut self, out: &mut Out) {
        (self.timing.notice, self.timing.notice_set) = (None, None);
        let (view, committed) = (self.view, self.committed);
        let Role::Leader(leadership) = &mut self.role else { return };
        for (to, peer) in leadership.peers.iter_mut().filter(|(_, peer)| peer.owes(committed)) {
            peer.told = peer.told.max(committed.min(peer.here()));
            to_one(*to, Message::Heartbeat(Heartbeat { view, committed, round: 0 }), out);
        }
    }

    /// Block sync may have gone ahead of the leader. What the log has in the place of what was executed was never committed.
    pub(crate) fn on_executed(&mut self, now: Time, height: Height, block: Digest, out: &mut Out) {
        self.executed = self.executed.max(height);
        if height <= self.committed {
            return;
        }
        self.committed = height;
        match self.log.get_mut(height) {
            Some(entry) if entry.block == block => entry.body = None,
            other => {
                if other.is_some() {
                    self.log.truncate(height);
                }
                // Whoever leads without it leads no more; this replica too.
                self.agreed = self.agreed.min(height - 1);
                if self.leads() {
                    self.follow(now, self.view, None, out);
                }
            }
        }
    }

    /// The log begins anew above a certificate. What it had there is kept if it is what was certified.
    pub(crate) fn on_stable(
        &mut self,
        now: Time,
        checkpoint: &CheckpointCertificate,
        header: Option<Header>,
        out: &mut Out,
    ) {
        let height = checkpoint.height();
        self.stable = self.stable.max(height);
        self.on_executed(now, height, checkpoint.entry.block, out);
        let Some(header) = header.filter(|header| header.height > self.log.base().height) else { return };
        let position = Position::of(&header);
        if self.log.has(position) {
            self.log.compact(height);
            self.agreed = self.agreed.max(height);
        } else {
            // Whoever leads has it.
            if self.leads() || position.view > self.view {
                self.follow(now, self.view.max(position.view), None, out);
            }
            self.log = Log::on(position);
            self.agreed = height;
            out.push(Output::Persist { record: Some(Record::Base { position }), block: None });
        }
        self.fetched.retain(|_, (at, _)| *at > height);
    }
}

impl Peer {
    /// Whether something may be sent to it now.
    fn may_get(&self, last: Height, flight: u64) -> bool {
        if self.probing {
            return !self.waiting;
        }
        self.next <= last && self.next <= self.here() + flight
    }

    /// Up to here it has the leader's log, as far as is known.
    pub(crate) fn here(&self) -> Height {
        self.matched.max(self.received)
    }

    /// Whether it is still to be told of what is committed and here.
    pub(crate) fn owes(&self, committed: Height) -> bool {
        self.told < committed.min(self.here())
    }

    /// Its log agrees up to here.
    fn takes(&mut self, height: Height) {
        self.received = self.received.max(height);
        self.next = self.next.max(height + 1);
        if self.probing && height + 1 >= self.next {
            (self.probing, self.waiting) = (false, false);
        }
    }

    /// One append at a time, from here on.
    fn probe_from(&mut self, next: Height) {
        (self.next, self.probing, self.waiting) = (next, true, false);
    }
}

/// Entries from a height on, as many as fit in a frame.
fn carried(log: &Log, from: Height, most_bytes: usize) -> Vec<Carried> {
    let mut bytes = 0;
    let mut entries = Vec::new();
    for (_, entry) in log.from(from).take(MOST_ENTRIES) {
        let carried = match &entry.body {
            Some(block) => {
                bytes += block.payload.bytes().len();
                Carried::Block(block.clone())
            }
            None => Carried::Named(entry.view, entry.block),
        };
        if bytes > most_bytes && !entries.is_empty() {
            break;
        }
        entries.push(carried);
    }
    entries
}
