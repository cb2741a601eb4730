//! Clients: their requests, and who waits for which receipt.

use super::execution::{Fate, Ledger};
use super::pool::Refused;
use super::{ClientId, Effect, Host};
use crate::codec;
use crate::engine::Engine;
use crate::ledger::CheckpointCertificate;
use crate::machine::StateMachine;
use crate::request::{Advice, Answer, Call, Reply, Request};
use crate::transaction::{Item, ItemKey, Kind};
use crate::types::{Height, Time};
use crate::unordered::Unordered;
use crate::verified::Verified;
use crypto::ReplicaId;
use std::collections::BTreeMap;

/// Clients that may wait for the same transaction. Full: the next one is told to try again.
const WAITERS: usize = 16;

/// Clients that may wait for the certificate over one height. Full: the next one is told to try again.
const PROVING: usize = 1 << 14;

/// A client that waits for a receipt.
#[derive(Clone, Copy, Debug)]
pub struct Waiter {
    client: ClientId,
    id: u64,
}

/// See the module's text.
#[derive(Debug, Default)]
pub struct Clients {
    /// For transactions in the pool.
    waiting: Unordered<ItemKey, Vec<Waiter>>,
    /// For the certificate over an executed height.
    proving: BTreeMap<Height, Vec<(Waiter, u32)>>,
}

impl Clients {
    /// A height was executed: whoever waits for one of its transactions now waits for the certificate; or, where one replica's word
    /// is believed, has it from `by`.
    pub fn executed<A: StateMachine>(
        &mut self,
        height: Height,
        items: &[Item],
        ledger: &Ledger<A>,
        by: Option<ReplicaId>,
        effects: &mut Vec<Effect>,
    ) {
        if self.waiting.is_empty() {
            return;
        }
        for (index, item) in items.iter().enumerate() {
            let Some(waiters) = self.waiting.remove(&item.key()) else { continue };
            let here = (height, u32::try_from(index).expect("a block has fewer than 2^32 transactions"));
            let (height, index) = match ledger.fate(&item.key()) {
                Fate::Executed(height, index) => (height, index),
                Fate::Unknown | Fate::Forgotten => here,
            };
            let waiting = waiters.into_iter().map(|waiter| (waiter, index));
            match by {
                // Nobody has to be convinced: it is executed.
                Some(me) => {
                    for (waiter, index) in waiting {
                        let receipt = ledger.trusted(height, index, me);
                        effects
                            .extend(receipt.map(|receipt| reply(waiter, Answer::Receipt(Box::new(receipt)))));
                    }
                }
                None => self.proving.entry(height).or_default().extend(waiting),
            }
        }
    }

    /// State transfer went past these transactions and everything through `height`: others have the receipts.
    pub fn passed_over(&mut self, height: Height, gone: &[ItemKey], effects: &mut Vec<Effect>) {
        let later = self.proving.split_off(&(height + 1));
        let proving = std::mem::replace(&mut self.proving, later).into_values().flatten();
        let waiting = gone.iter().filter_map(|key| self.waiting.remove(key)).flatten().collect::<Vec<_>>();
        for waiter in proving.map(|(waiter, _)| waiter).chain(waiting) {
            let sentence = "this replica fetched a later state and does not have the receipt";
            effects.push(reply(waiter, refused(Advice::AskAnother, sentence)));
        }
    }

    /// A height was certified: answers everybody who waits for it or for a lower one.
    pub fn certified<A: StateMachine>(
        &mut self,
        certificate: &CheckpointCertificate,
        ledger: &Ledger<A>,
        effects: &mut Vec<Effect>,
    ) {
        let later = self.proving.split_off(&(certificate.height() + 1));
        for (height, waiters) in std::mem::replace(&mut self.proving, later) {
            answer_height(height, &waiters, certificate, ledger, effects);
        }
    }
}

fn answer_height<A: StateMachine>(
    height: Height,
    waiters: &[(Waiter, u32)],
    certificate: &CheckpointCertificate,
    ledger: &Ledger<A>,
    effects: &mut Vec<Effect>,
) {
    let mut by_client: BTreeMap<ClientId, Vec<(u64, u32)>> = BTreeMap::new();
    for (Waiter { client, id }, index) in waiters {
        by_client.entry(*client).or_default().push((*id, *index));
    }
    for (client, mut questions) in by_client {
        questions.sort_by_key(|(_, index)| *index);
        for reply in ledger.prove(height, &questions, certificate) {
            effects.push(Effect::Reply { client, frame: codec::encode(&reply).into() });
        }
    }
}

pub fn reply(to: Waiter, answer: Answer) -> Effect {
    Effect::Reply { client: to.client, frame: codec::encode(&Reply { id: to.id, answer }).into() }
}

pub fn refused(advice: Advice, sentence: impl Into<String>) -> Answer {
    Answer::Refused { advice, sentence: sentence.into() }
}

impl<E: Engine, A: StateMachine> Host<E, A> {
    pub(super) fn on_request(
        &mut self,
        now: Time,
        client: ClientId,
        request: Verified<Request>,
        effects: &mut Vec<Effect>,
    ) {
        let Request { id, call } = request.into_inner();
        let waiter = Waiter { client, id };
        let answer = match call {
            Call::Submit(payload) => {
                let items =
                    payload.items(&self.config.trust.domain.chain).expect("the edge parsed it").clone();
                let item = items.first().expect("the edge found one transaction");
                self.submit(now, waiter, item, effects)
            }
            Call::Receipt { client, sequence } => self.find_receipt(waiter, &(sequence, client), effects),
            Call::Read(of, request) => self.read(waiter, of, request),
            Call::Signed => Some(Answer::Signed(self.signed_height())),
            Call::Session(client) => Some(Answer::Session(self.ledger.directory().session(&client).next())),
            Call::Status => Some(Answer::Status(Box::new(self.report()))),
            Call::Evidence => Some(Answer::Evidence(self.evidence().cloned().collect())),
        };
        if let Some(answer) = answer {
            effects.push(reply(waiter, answer));
        }
    }

    /// Takes a transaction in, or says why not. No answer: it comes with the receipt.
    fn submit(
        &mut self,
        now: Time,
        waiter: Waiter,
        item: &Item,
        effects: &mut Vec<Effect>,
    ) -> Option<Answer> {
        let transaction = &item.transaction;
        match self.ledger.fate(&item.key()) {
            Fate::Executed(height, index) => return self.answer_executed(waiter, height, index, effects),
            Fate::Forgotten => {
                return Some(refused(
                    Advice::AskAnother,
                    format!(
                        "sequence {} of this client has executed or was passed over, and its receipt is no longer kept here; use a higher sequence for a new transaction",
                        transaction.sequence
                    ),
                ));
            }
            Fate::Unknown => {}
        }
        if self.ledger.directory().organisation(&transaction.client).is_none() {
            return Some(refused(
                Advice::Abandon,
                format!(
                    "the client key {} is not enrolled; an organisation's operator can enrol it",
                    transaction.client
                ),
            ));
        }
        if transaction.kind == Kind::Application
            && let Err(refusal) = self.ledger.app().check(&transaction.body)
        {
            return Some(refused(Advice::Abandon, refusal.to_string()));
        }
        match self.pool_item(now, item, true) {
            None | Some(Refused::Held) => {
                let waiters = self.clients.waiting.or_default(item.key());
                if waiters.len() >= WAITERS {
                    return Some(refused(
                        Advice::Retry,
                        "too many clients wait for this transaction; ask for its receipt later",
                    ));
                }
                waiters.push(waiter);
                None
            }
            Some(busy) => Some(refused(Advice::Retry, busy.to_string())),
        }
    }

    fn find_receipt(&mut self, waiter: Waiter, key: &ItemKey, effects: &mut Vec<Effect>) -> Option<Answer> {
        match self.ledger.fate(key) {
            Fate::Executed(height, index) => self.answer_executed(waiter, height, index, effects),
            Fate::Unknown => Some(refused(
                Advice::Retry,
                "this sequence has not executed here; if its outcome is unknown, submit the same transaction again",
            )),
            Fate::Forgotten => Some(refused(
                Advice::AskAnother,
                "this sequence has executed or was passed over, and its receipt is no longer kept here",
            )),
        }
    }

    /// Proves an executed transaction's receipt now, or once its height is certified.
    fn answer_executed(
        &mut self,
        waiter: Waiter,
        height: Height,
        index: u32,
        effects: &mut Vec<Effect>,
    ) -> Option<Answer> {
        match self.certificates.range(height..).next() {
            _ if self.believes_one() => {
                let receipt = self.ledger.trusted(height, index, self.config.me);
                return receipt.map(|receipt| Answer::Receipt(Box::new(receipt)));
            }
            Some((_, certificate)) => {
                answer_height(height, &[(waiter, index)], certificate, &self.ledger, effects)
            }
            None => {
                let proving = self.clients.proving.entry(height).or_default();
                if proving.len() >= PROVING {
                    return Some(refused(
                        Advice::Retry,
                        "too many clients wait for this height's certificate; ask again shortly",
                    ));
                }
                proving.push((waiter, index));
            }
        }
        None
    }
}
