//! From records to a running engine.

use crate::engine::{Out, Pbft, to_all};
use crate::message::{Message, PrePrepare};
use crate::record::Record;
use crate::rules;
use crate::timing::Timing;
use bft_core::engine::{EngineConfig, Start};
use bft_core::types::{Height, Time};
use std::collections::BTreeMap;

impl Pbft {
    pub(crate) fn start(config: EngineConfig, start: Start<Pbft>, now: Time, out: &mut Out) -> Pbft {
        let Start { tip, tip_header: _, stable, records, blocks } = start;
        let mut engine = Pbft {
            config,
            view: 0,
            active: true,
            committed: tip.height,
            executed: tip.height,
            stable,
            slots: BTreeMap::new(),
            plan: BTreeMap::new(),
            plan_top: 0,
            next_height: tip.height + 1,
            changes: BTreeMap::new(),
            own_change: None,
            pending: BTreeMap::new(),
            proof: None,
            begun: None,
            timing: Timing { entered: now, ..Timing::default() },
            wanted: None,
            tokens: 0,
        };
        for record in records {
            engine.restore(record);
        }
        for block in blocks {
            let (height, digest) = (block.header.height, block.digest());
            if height > tip.height
                && let Some(slot) = engine.slot(height)
            {
                slot.stored.insert(digest);
                slot.bodies.insert(digest, block);
            }
        }
        engine.resume(now, out);
        engine
    }

    fn restore(&mut self, record: Record) {
        match record {
            Record::Prepare(vote) => {
                if let Some(slot) = self.slot(vote.height)
                    && slot.voted.is_none_or(|voted| voted.view < vote.view)
                {
                    slot.voted = Some(vote);
                }
            }
            Record::Prepared(prepared) => {
                if let Some(slot) = self.slot(prepared.vote.height)
                    && rules::supersedes(&prepared, slot.prepared.as_ref())
                {
                    slot.prepared = Some(prepared);
                }
            }
            Record::ViewChange(change) if change.view > self.view => {
                self.view = change.view;
                self.active = false;
                self.own_change = Some(change);
            }
            // The leader's own record says that it began the view; that it entered, its second record says.
            Record::NewView(proof) if proof.signature.is_none() => self.begun = Some(proof),
            Record::NewView(proof) if proof.new_view.view >= self.view => {
                self.view = proof.new_view.view;
                self.active = true;
                self.own_change = None;
                self.begun = None;
                self.proof = Some(proof);
            }
            Record::ViewChange(_) | Record::NewView(_) => {}
        }
    }

    /// Takes up the view where it was left, and says again what was promised.
    fn resume(&mut self, now: Time, out: &mut Out) {
        if let Some(proof) = self.proof.as_ref().filter(|_| self.active) {
            let plan = rules::plan(proof.changes.iter().map(|signed| &signed.change))
                .expect("a quorum is not empty");
            self.lay_out(&plan);
        }
        if !self.active {
            if let Some(change) = self.own_change.clone() {
                to_all(Message::ViewChange(change), out);
            }
            if let Some(begun) = self.begun.clone().filter(|begun| begun.new_view.view == self.view) {
                self.changes = begun.changes.into_iter().map(|signed| (signed.author, signed)).collect();
                to_all(Message::NewView(begun.new_view), out);
            }
            self.set_timers(now, out);
            return;
        }
        let view = self.view;
        let voted: Vec<Height> = self
            .slots
            .iter()
            .filter(|(_, slot)| slot.voted.is_some_and(|vote| vote.view == view))
            .map(|(height, _)| *height)
            .collect();
        let highest = voted.last().copied().unwrap_or(0);
        self.next_height = self.next_height.max(self.plan_top + 1).max(highest + 1);
        for height in voted {
            self.say_again(now, height, out);
        }
        self.accept_planned(now, out);
        self.want_payload(now, out);
        self.set_timers(now, out);
    }

    /// Says the votes of this view again: they come back to this replica too, which counts its own in no other way.
    fn say_again(&mut self, now: Time, height: Height, out: &mut Out) {
        let (view, plan_top, leads, committed) = (self.view, self.plan_top, self.leads(), self.committed);
        let Some(slot) = self.slots.get_mut(&height) else { return };
        let Some(vote) = slot.voted else { return };
        if height > committed {
            assert!(
                slot.bodies.contains_key(&vote.block),
                "a vote implies a durable block, at height {height}"
            );
            slot.since = Some(now);
        }
        slot.accepted = Some((view, vote.block));
        let body = slot.bodies.get(&vote.block).filter(|_| leads && height > plan_top).cloned();
        let prepared = slot.prepared.as_ref().filter(|prepared| prepared.vote.view == view).map(|p| p.vote);
        to_all(
            body.map_or(Message::Prepare(vote), |block| Message::PrePrepare(PrePrepare { view, block })),
            out,
        );
        if let Some(vote) = prepared {
            to_all(Message::Commit(vote), out);
        }
    }
}
