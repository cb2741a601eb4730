//! The client.

mod direct;
mod reads;

pub use reads::{Read, ReadError, Told};

use crate::config::ClientConfig;
use crate::error::{Attempts, ClientError, SubmitError};
use crate::exchange::{Exchange, Failed, Verdict};
use crate::proof::Verifier;
use crate::sequences::Sequences;
use crate::stats::{ClientStats, Counters, count};
use crate::switchboard::Said;
use crate::tally::{Fate, Tally};
use bft_core::codec;
use bft_core::committee::Trust;
use bft_core::receipt::{ProvenReceipt, Receipt, code};
use bft_core::request::{Advice, Answer, Call};
use bft_core::transaction::{Item, Kind, Payload, SystemAction, Transaction};
use bft_core::types::Height;
use bytes::Bytes;
use crypto::{ClientKey, ClientSecret, Digest, ReplicaId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// A client of one network. Cheap to clone; clones share sequences and connections, and may be used from many tasks at once.
///
/// Dropping the last clone ends the connections. Dropping the future of a submission gives up the wait, not the transaction:
/// its outcome is unknown.
#[derive(Clone, Debug)]
pub struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    secret: ClientSecret,
    network: Arc<Shared>,
    sequences: Sequences,
    in_flight: Semaphore,
    /// The highest state that a proof was seen for. Queries do not go back behind it.
    seen: AtomicU64,
}

/// What clients of several keys on the same connections have in common.
#[derive(Debug)]
struct Shared {
    chain: Digest,
    /// Whether the network's clients do not sign.
    unsigned: bool,
    body_bytes: usize,
    session_patience: Duration,
    most_in_flight: usize,
    verifier: Arc<Verifier>,
    exchange: Arc<Exchange>,
    counters: Arc<Counters>,
}

impl std::ops::Deref for Inner {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.network
    }
}

impl Client {
    /// Connects, and learns the client's next sequence.
    ///
    /// The next sequence is asked of a quorum of replicas, and is the middle one of their answers: with at most f liars it lies
    /// between two honest answers. When only some answer within [`ClientConfig::session_patience`], it is the middle of
    /// those, the lower one of two. A wrong one costs time, never safety: a used sequence does not execute twice.
    ///
    /// # Errors
    /// If the genesis is not valid, or no replica answers.
    pub async fn connect(config: ClientConfig) -> Result<Client, ClientError> {
        Client::begin(config, None).await
    }

    /// Another client of the same network, with connections of its own. What one of both has found proven the other does not verify again:
    /// receipts of one block share their certificate.
    ///
    /// # Errors
    /// As [`Client::connect`].
    ///
    /// # Panics
    /// If `config` is of another network.
    pub async fn connect_also(&self, config: ClientConfig) -> Result<Client, ClientError> {
        assert_eq!(config.genesis.chain(), self.0.chain, "what is shared is what one network proves");
        Client::begin(config, Some(self.0.verifier.clone())).await
    }

    async fn begin(config: ClientConfig, verifier: Option<Arc<Verifier>>) -> Result<Client, ClientError> {
        let trust = config.genesis.trust()?;
        let first = match config.first_replica {
            Some(replica) if !trust.committee.contains(replica) => {
                return Err(ClientError::NoSuchReplica(replica));
            }
            Some(replica) => replica,
            None => trust.committee.in_turn(getrandom::u64().unwrap_or_default()),
        };
        let counters = Arc::new(Counters::default());
        let exchange = Arc::new(Exchange::new(&config, counters.clone(), first));
        let verifier = verifier.unwrap_or_else(|| Arc::new(Verifier::new(trust, counters.clone())));
        let shared = Shared {
            chain: verifier.trust.domain.chain,
            unsigned: config.genesis.limits.unsigned,
            body_bytes: config.genesis.limits.transaction_bytes as usize,
            session_patience: config.session_patience,
            most_in_flight: config.in_flight(),
            verifier,
            exchange,
            counters,
        };
        Client::of(Arc::new(shared), config.secret).await
    }

    /// A client with another key on the same connections, for a program that transacts for many: a gateway. What one has found proven
    /// the other does not verify again; each has sequences and a session of its own.
    ///
    /// # Errors
    /// If no replica tells the key's next sequence.
    pub async fn with_key(&self, secret: ClientSecret) -> Result<Client, ClientError> {
        Client::of(self.0.network.clone(), secret).await
    }

    async fn of(network: Arc<Shared>, secret: ClientSecret) -> Result<Client, ClientError> {
        let Shared { exchange, verifier, session_patience, most_in_flight, .. } = &*network;
        let next = learn_session(exchange, &verifier.trust, secret.public(), *session_patience).await?;
        let (sequences, in_flight) =
            (Sequences::new(next, *most_in_flight as u64), Semaphore::new(*most_in_flight));
        Ok(Client(Arc::new(Inner { secret, network, sequences, in_flight, seen: AtomicU64::new(0) })))
    }

    /// The key that signs.
    pub fn key(&self) -> ClientKey {
        self.0.secret.public()
    }

    /// What proofs are checked with.
    pub fn trust(&self) -> &Trust {
        &self.0.verifier.trust
    }

    /// The replica that new requests go to.
    pub fn replica(&self) -> ReplicaId {
        self.0.exchange.route.at()
    }

    /// What was counted so far.
    pub fn stats(&self) -> ClientStats {
        self.0.counters.read()
    }

    /// Signs a transaction under the next sequence, for [`Client::submit_transaction`]. Store it before submitting, if its
    /// outcome must be found out even after a crash.
    ///
    /// Submit it soon: a sequence that more than the session window of later ones have left behind never executes.
    pub fn sign(&self, kind: Kind, body: Bytes) -> Transaction {
        self.sign_with(self.0.sequences.sign(), kind, body)
    }

    fn sign_with(&self, sequence: u64, kind: Kind, body: Bytes) -> Transaction {
        if self.0.unsigned {
            return Transaction::unsigned(self.key(), kind, sequence, body);
        }
        Transaction::sign(&self.0.secret, &self.0.chain, kind, sequence, body)
    }

    /// Signs a transaction and submits it until its receipt is proven. Waits while as many are in flight as the session window
    /// allows.
    ///
    /// # Errors
    /// See [`SubmitError`]; [`SubmitError::Unknown`] is not a failure.
    pub async fn submit(&self, kind: Kind, body: Bytes) -> Result<ProvenReceipt, SubmitError> {
        self.check_length(&body)?;
        let _place = self.0.in_flight.acquire().await.map_err(|_| SubmitError::Closed)?;
        loop {
            let held = self.0.sequences.take().await;
            let transaction = self.sign_with(held.sequence, kind, body.clone());
            match self.pursue(transaction).await {
                // An earlier life of this client used the sequence. Nobody else knows this transaction's successor yet, and
                // this one can never execute: signing anew is safe here, and only here.
                Err(SubmitError::SequenceTaken { .. }) => {}
                outcome => return outcome,
            }
        }
    }

    /// Submits a transaction that was signed earlier, by this client or another: the safe way to find out an unknown outcome.
    ///
    /// # Errors
    /// See [`SubmitError`].
    pub async fn submit_transaction(&self, transaction: Transaction) -> Result<ProvenReceipt, SubmitError> {
        self.check_length(&transaction.body)?;
        let _place = self.0.in_flight.acquire().await.map_err(|_| SubmitError::Closed)?;
        // Another client's sequences are not ours to order.
        let own = transaction.client == self.key();
        let _held = if own { Some(self.0.sequences.enter(transaction.sequence).await) } else { None };
        self.pursue(transaction).await
    }

    fn check_length(&self, body: &Bytes) -> Result<(), SubmitError> {
        let (length, limit) = (body.len(), self.0.body_bytes);
        if length <= limit { Ok(()) } else { Err(SubmitError::TooLong { length, limit }) }
    }

    async fn pursue(&self, transaction: Transaction) -> Result<ProvenReceipt, SubmitError> {
        let inner = &*self.0;
        let item = Item::new(&inner.chain, transaction);
        let (digest, transaction) = (item.digest, || Box::new(item.transaction.clone()));
        let call = Call::Submit(Payload::of(vec![item.clone()]));
        let mut tally = Tally::new(&inner.verifier, digest);
        match inner.exchange.ask(call, |from, said| tally.judge(from, said)).await {
            Ok(Fate::Proven(proven)) => {
                inner.seen.fetch_max(proven.certificate.height(), SeqCst);
                Ok(*proven)
            }
            Ok(Fate::Refused(replica, sentence)) => {
                Err(SubmitError::Refused { advice: Advice::Abandon, sentence, replica })
            }
            Ok(Fate::Forgotten(sentence)) => {
                Err(SubmitError::Forgotten { transaction: transaction(), sentence })
            }
            Ok(Fate::Taken) => Err(SubmitError::SequenceTaken { transaction: transaction() }),
            Err(Failed { sent: true, waited, last, .. }) => {
                count(&inner.counters.unknown);
                Err(SubmitError::Unknown { transaction: transaction(), waited, last })
            }
            Err(Failed { closed: true, .. }) => Err(SubmitError::Closed),
            Err(Failed { last, .. }) => Err(SubmitError::Unreachable(last)),
        }
    }

    /// The receipt of a client's earlier transaction, which need not be at hand.
    ///
    /// The proof shows that the receipt is in the ledger. That it belongs to this client and sequence is what f + 1 replicas
    /// say. With the transaction at hand, [`Client::submit_transaction`] proves more.
    ///
    /// # Errors
    /// [`SubmitError::Refused`] with [`Advice::Retry`] when a quorum has not executed the sequence, with
    /// [`Advice::AskAnother`] when a quorum no longer keeps the receipt.
    pub async fn receipt(&self, client: ClientKey, sequence: u64) -> Result<ProvenReceipt, SubmitError> {
        let inner = &*self.0;
        let committee = inner.verifier.trust.committee;
        let mut shown: Vec<(Receipt, BTreeSet<ReplicaId>)> = Vec::new();
        let mut refusals: BTreeMap<ReplicaId, Advice> = BTreeMap::new();
        let judge = |from: ReplicaId, Said { answer, placed }: Said| match answer {
            Answer::Receipt(proven) => {
                if let Err(error) = inner.verifier.receipt(&proven, placed) {
                    return Verdict::Lie(error.to_string());
                }
                refusals.remove(&from);
                let place = shown.iter().position(|(receipt, _)| *receipt == proven.receipt);
                let place = place.unwrap_or_else(|| {
                    shown.push((proven.receipt.clone(), BTreeSet::new()));
                    shown.len() - 1
                });
                shown[place].1.insert(from);
                if shown[place].1.len() >= committee.believable() {
                    Verdict::Done(Ok(proven))
                } else {
                    Verdict::Elsewhere(format!(
                        "it showed a receipt of transaction {}",
                        proven.receipt.transaction
                    ))
                }
            }
            Answer::Refused { advice, sentence } => {
                refusals.insert(from, advice);
                let enough = match advice {
                    Advice::Abandon => committee.believable(),
                    Advice::Retry | Advice::AskAnother => committee.quorum(),
                };
                if refusals.values().filter(|other| **other == advice).count() >= enough {
                    Verdict::Done(Err(SubmitError::Refused { advice, sentence, replica: from }))
                } else {
                    Verdict::Elsewhere(sentence)
                }
            }
            Answer::Query(_)
            | Answer::Reading(_)
            | Answer::Signed(_)
            | Answer::Session(_)
            | Answer::Status(_)
            | Answer::Receipts(_)
            | Answer::Evidence(_) => other_question(),
        };
        match inner.exchange.ask(Call::Receipt { client, sequence }, judge).await {
            Ok(Ok(proven)) => {
                inner.seen.fetch_max(proven.certificate.height(), SeqCst);
                Ok(*proven)
            }
            Ok(Err(refused)) => Err(refused),
            Err(Failed { closed: true, .. }) => Err(SubmitError::Closed),
            Err(Failed { sent: true, waited, last, .. }) => Err(SubmitError::NoReceipt { waited, last }),
            Err(Failed { last, .. }) => Err(SubmitError::Unreachable(last)),
        }
    }

    /// Asks the application in the order of the ledger: a transaction that writes nothing. The answer, or the application's own refusal,
    /// knows of everything that anybody was told before this call, whatever leaders and other replicas do; it costs what a
    /// transaction costs, and its receipt proves it. [`Client::read`] costs less.
    ///
    /// # Errors
    /// See [`SubmitError`]. Where the outcome is unknown, asking again does no harm.
    pub async fn order_read(
        &self,
        request: &[u8],
    ) -> Result<(Result<Bytes, (u32, String)>, Height), SubmitError> {
        let action = SystemAction::Read { request: Bytes::copy_from_slice(request) };
        let proven = self.submit(Kind::System, codec::encode(&action).into()).await?;
        let height = proven.entries.first().map_or(0, |entry| entry.height);
        let Receipt { code, answer, .. } = proven.receipt;
        let refusal = || (code, String::from_utf8_lossy(&answer).into_owned());
        let result = if code == code::OK { Ok(answer.clone()) } else { Err(refusal()) };
        Ok((result, height))
    }

    /// The lowest sequence of a client that has not executed, as [`Client::connect`] learns its own. Not proven.
    ///
    /// # Errors
    /// If no replica answers.
    pub async fn session(&self, client: ClientKey) -> Result<u64, ClientError> {
        let inner = &*self.0;
        learn_session(&inner.exchange, &inner.verifier.trust, client, inner.session_patience).await
    }

    /// Ends all connections, giving the replicas a moment to notice, for all clones and for clients of other keys on them. Requests under
    /// way end: a transaction that was sent, as [`SubmitError::Unknown`].
    pub async fn close(self) {
        self.0.exchange.board.close();
        self.0.in_flight.close();
        self.0.exchange.links.close().await;
    }
}

/// What is wrong with an answer of another kind.
const OTHER_QUESTION: &str = "it answered another question";

fn other_question<T>() -> Verdict<T> {
    Verdict::Lie(OTHER_QUESTION.into())
}

fn no_answer(failed: Failed) -> ClientError {
    let Failed { sent, waited, last, closed } = failed;
    match (closed, sent) {
        (true, _) => ClientError::Closed,
        (false, true) => ClientError::NoAnswer { waited, last },
        (false, false) => ClientError::Unreachable(last),
    }
}

/// The middle of what a quorum of replicas say, or of what some of them say in time.
async fn learn_session(
    exchange: &Arc<Exchange>,
    trust: &Trust,
    client: ClientKey,
    patience: Duration,
) -> Result<u64, ClientError> {
    let started = Instant::now();
    let wanted = trust.committee.quorum();
    let mut order = std::iter::successors(Some(exchange.route.at()), |at| Some(exchange.route.after(*at)))
        .take(trust.committee.replicas);
    let mut asked = JoinSet::new();
    let mut ask_next = |asked: &mut JoinSet<_>| {
        if let Some(replica) = order.next() {
            let exchange = exchange.clone();
            asked.spawn(async move { (replica, exchange.ask_one(replica, Call::Session(client)).await) });
        }
    };
    for _ in 0..wanted {
        ask_next(&mut asked);
    }
    let mut answers = Vec::new();
    let mut last = Attempts::default();
    let (mut sent, mut closed) = (false, false);
    let settle = started + patience;
    let hedge = (patience / 4).max(Duration::from_millis(1));
    let mut check = started + hedge;
    while answers.len() < wanted {
        tokio::select! {
            outcome = asked.join_next() => match outcome {
                Some(Ok((_, Ok(Answer::Session(next))))) => answers.push(next),
                Some(Ok((replica, outcome))) => {
                    let why = match outcome {
                        Ok(Answer::Refused { sentence, .. }) => sentence,
                        Ok(_) => OTHER_QUESTION.to_owned(),
                        Err(failed) => {
                            sent |= failed.sent;
                            closed |= failed.closed;
                            failed.last.to_string()
                        }
                    };
                    last.0.insert(replica, why);
                    ask_next(&mut asked);
                }
                Some(Err(error)) => tracing::error!(%error, "asking for the session failed"),
                None => break,
            },
            () = sleep_until(check) => {
                if !answers.is_empty() && Instant::now() >= settle {
                    break;
                }
                ask_next(&mut asked);
                check += hedge;
            }
        }
    }
    answers.sort_unstable();
    // Of two the lower: a sequence that is too low turns out to be taken, one that is too high goes nowhere.
    match answers.get(answers.len().saturating_sub(1) / 2) {
        Some(next) => Ok(*next),
        None => Err(no_answer(Failed { sent, waited: started.elapsed(), last, closed })),
    }
}
