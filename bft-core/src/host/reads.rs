//! Reads that are not ordered: local ones at once, linearizable ones once enough is executed or certified.

use super::clients::{Waiter, refused, reply};
use super::{Effect, Host};
use crate::engine::{Engine, Input};
use crate::machine::StateMachine;
use crate::request::{Advice, Answer, Reading, ReadingOf};
use crate::types::{Height, Time};
use bytes::Bytes;
use std::collections::BTreeMap;

/// Reads that may wait. Full: the next one is told to try again.
const WAITING: usize = 1 << 14;

/// A client's question that waits.
#[derive(Debug)]
struct Question {
    waiter: Waiter,
    request: Bytes,
}

/// See the module's text.
#[derive(Debug)]
pub struct Reads {
    /// The engine is to be asked, once for all of them.
    new: Vec<Question>,
    /// The engine was asked, by its token.
    asked: BTreeMap<u64, Vec<Question>>,
    tokens: u64,
    /// They wait for this height to be executed.
    executing: BTreeMap<Height, Vec<Question>>,
    /// They wait for a certificate over this height or a higher one.
    proving: BTreeMap<Height, Vec<Question>>,
    /// How many there are.
    waiting: usize,
}

impl Reads {
    /// None yet. Tokens begin above `life`, another number in each life: an answer to an earlier one, which may be late, says nothing of
    /// what is asked in this one.
    pub fn new(life: u64) -> Reads {
        Reads {
            new: Vec::new(),
            asked: BTreeMap::new(),
            tokens: life,
            executing: BTreeMap::new(),
            proving: BTreeMap::new(),
            waiting: 0,
        }
    }

    fn admit(&mut self) -> Result<(), Answer> {
        if self.waiting >= WAITING {
            return Err(refused(Advice::Retry, "too many reads wait here; ask again shortly"));
        }
        self.waiting += 1;
        Ok(())
    }
}

impl<E: Engine, A: StateMachine> Host<E, A> {
    /// A question about what is executed. No answer: it comes later.
    pub(super) fn read(&mut self, waiter: Waiter, of: ReadingOf, request: Bytes) -> Option<Answer> {
        match of {
            ReadingOf::Executed => return Some(self.reading(&request)),
            ReadingOf::Leader if !self.believes_one() => {
                let sentence = "no replica's word is enough in the byzantine fault model; ask for a certified answer at the \
                                height that n - f replicas have signed, or have the read ordered";
                return Some(refused(Advice::Abandon, sentence));
            }
            ReadingOf::Certified(height) if height <= self.stable.height() => {
                return Some(self.certified_answer(&request));
            }
            ReadingOf::Certified(height)
                if height > self.stable.height() + self.config.genesis.limits.reach() =>
            {
                return Some(refused(
                    Advice::Retry,
                    format!("height {height} is far above what is certified here"),
                ));
            }
            ReadingOf::Leader | ReadingOf::Certified(_) => {}
        }
        if let Err(busy) = self.reads.admit() {
            return Some(busy);
        }
        let question = Question { waiter, request };
        match of {
            ReadingOf::Certified(height) => self.reads.proving.entry(height).or_default().push(question),
            ReadingOf::Executed | ReadingOf::Leader => self.reads.new.push(question),
        }
        None
    }

    /// Asks the engine how far the ledger goes, once for all who asked meanwhile.
    pub(super) fn pursue_reads(&mut self, now: Time, effects: &mut Vec<Effect>) {
        if self.reads.new.is_empty() {
            return;
        }
        self.reads.tokens += 1;
        let token = self.reads.tokens;
        let questions = std::mem::take(&mut self.reads.new);
        self.reads.asked.insert(token, questions);
        self.feed(now, Input::Read { token }, effects);
        self.drive(now, effects);
    }

    /// The engine says how far; it may be further than what is executed here.
    pub(super) fn on_readable(&mut self, token: u64, at: Height, effects: &mut Vec<Effect>) {
        let later = self.reads.asked.split_off(&(token + 1));
        let questions = std::mem::replace(&mut self.reads.asked, later).into_values().flatten();
        self.reads.executing.entry(at).or_default().extend(questions);
        self.answer_reads(effects);
    }

    /// Answers what waited for what is executed now.
    pub(super) fn answer_reads(&mut self, effects: &mut Vec<Effect>) {
        let later = self.reads.executing.split_off(&(self.ledger.tip().height + 1));
        for question in std::mem::replace(&mut self.reads.executing, later).into_values().flatten() {
            self.reads.waiting -= 1;
            effects.push(reply(question.waiter, self.reading(&question.request)));
        }
    }

    /// Answers what waited for what is certified now.
    pub(super) fn answer_certified_reads(&mut self, effects: &mut Vec<Effect>) {
        let later = self.reads.proving.split_off(&(self.stable.height() + 1));
        for question in std::mem::replace(&mut self.reads.proving, later).into_values().flatten() {
            self.reads.waiting -= 1;
            effects.push(reply(question.waiter, self.certified_answer(&question.request)));
        }
    }

    /// From the last executed state, by this replica's word.
    fn reading(&self, request: &[u8]) -> Answer {
        Answer::Reading(Box::new(Reading {
            height: self.ledger.tip().height,
            result: self.ledger.read(request),
        }))
    }

    pub(super) fn certified_answer(&self, request: &[u8]) -> Answer {
        match self.ledger.query(request) {
            Some(answer) => Answer::Query(Box::new(answer)),
            None => refused(Advice::Retry, "no certified state is at hand yet; try again shortly"),
        }
    }

    /// A height at or above every one that this replica has voted to certify, in this life or an earlier one: a vote leaves once what
    /// is below its height is on disk, so an earlier life's is at most one above where this one began.
    pub(super) fn signed_height(&self) -> Height {
        let earlier = self.began_at.map_or(0, |tip| tip + 1);
        self.checkpoints.highest_own().max(self.stable.height()).max(earlier)
    }
}
