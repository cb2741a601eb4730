//! One request, from replica to replica, until somebody answers it.

use crate::config::ClientConfig;
use crate::error::Attempts;
use crate::links::Links;
use crate::route::Route;
use crate::stats::{Counters, count};
use crate::switchboard::{Event, Said, Switchboard};
use bft_core::codec;
use bft_core::request::{Answer, Call, Request};
use bytes::Bytes;
use crypto::ReplicaId;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout_at};

/// Requests for patience in a row before another replica is tried.
const PATIENCE: u32 = 3;

/// What an answer is worth.
#[derive(Debug)]
pub(crate) enum Verdict<T> {
    /// It settles the request.
    Done(T),
    /// It does not hold. The replica is left, and its connection ended.
    Lie(String),
    /// It holds, but is about something else. The replica is left; what others wait for there may still come.
    Mismatch(String),
    /// The replica asks for patience.
    Later(String),
    /// Another replica has to be asked, without a fault of this one.
    Elsewhere(String),
}

/// A request without an outcome.
#[derive(Debug)]
pub(crate) struct Failed {
    /// Whether it may have reached a replica.
    pub sent: bool,
    /// Since it began.
    pub waited: Duration,
    /// What the replicas did.
    pub last: Attempts,
    /// Whether the client was closed meanwhile.
    pub closed: bool,
}

/// How requests reach replicas.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub links: Links,
    pub board: Arc<Switchboard>,
    pub counters: Arc<Counters>,
    pub route: Arc<Route>,
    answer_timeout: Duration,
    give_up: Duration,
    retry_first: Duration,
    retry_cap: Duration,
}

/// Why a replica is not waited for any longer.
enum Move {
    /// It is of no use: all requests leave it.
    FailOver,
    /// This request alone goes to the next one.
    Next,
    /// It asked for patience.
    Later,
}

impl Exchange {
    pub fn new(config: &ClientConfig, counters: Arc<Counters>, first: ReplicaId) -> Exchange {
        let board = Arc::new(Switchboard::new(config.answer_bytes(), counters.clone()));
        let replicas = u16::try_from(config.genesis.replicas.len()).expect("the genesis is validated");
        let route = Arc::new(Route::new(first, replicas, counters.clone()));
        Exchange {
            links: Links::new(config, board.clone(), route.clone()),
            board,
            counters,
            route,
            answer_timeout: config.answer_timeout,
            give_up: config.give_up,
            retry_first: config.retry_first,
            retry_cap: config.retry_cap,
        }
    }

    /// Asks until `judge` finds an answer that settles it. The same bytes go to each replica.
    pub async fn ask<T>(
        &self,
        call: Call,
        mut judge: impl FnMut(ReplicaId, Said) -> Verdict<T>,
    ) -> Result<T, Failed> {
        let started = Instant::now();
        let deadline = started + self.give_up;
        let sent = AtomicBool::new(false);
        let mut last = Attempts::default();
        let failed = |last: Attempts, closed: bool| {
            Err(Failed { sent: sent.load(SeqCst), waited: started.elapsed(), last, closed })
        };
        let Some(ticket) = self.board.open() else { return failed(last, true) };
        let frame = Bytes::from(codec::encode(&Request { id: ticket.id, call }));
        let mut target = self.route.at();
        let mut pace = Pace::default();
        let mut pause = Duration::ZERO;
        loop {
            let attempt = self.attempt(target, &frame, pause, deadline, &sent);
            tokio::pin!(attempt);
            let moved = loop {
                tokio::select! {
                    event = ticket.next() => match event {
                        Event::Reply(from, said) => {
                            let (why, moved) = match judge(from, said) {
                                Verdict::Done(value) => return Ok(value),
                                Verdict::Lie(why) => {
                                    count(&self.counters.lies);
                                    tracing::warn!(replica = %from, why, "a reply does not hold");
                                    self.route.leave(from);
                                    self.links.retire(from);
                                    (why, Move::FailOver)
                                }
                                Verdict::Mismatch(why) => {
                                    count(&self.counters.lies);
                                    (why, Move::FailOver)
                                }
                                Verdict::Later(why) => (why, Move::Later),
                                Verdict::Elsewhere(why) => (why, Move::Next),
                            };
                            last.0.insert(from, why);
                            if from == target {
                                break moved;
                            }
                        }
                        Event::Lost(from, why) => {
                            if from == target {
                                last.0.insert(from, why);
                                break Move::FailOver;
                            }
                        }
                        Event::Closed => return failed(last, true),
                    },
                    why = &mut attempt => {
                        if Instant::now() >= deadline {
                            return failed(last, false);
                        }
                        last.0.insert(target, why);
                        break Move::FailOver;
                    }
                }
            };
            (target, pause) = self.next(target, moved, &mut pace);
        }
    }

    /// Where to go next, and after what pause.
    fn next(&self, from: ReplicaId, moved: Move, pace: &mut Pace) -> (ReplicaId, Duration) {
        match moved {
            Move::FailOver => self.route.leave(from),
            Move::Next => {}
            Move::Later => {
                count(&self.counters.retries);
                pace.later += 1;
                let stay = !pace.later.is_multiple_of(PATIENCE);
                if stay {
                    return (from, self.pause(pace));
                }
                // Busy or unwilling, others may serve better.
                self.route.leave(from);
                return (self.route.after(from), self.pause(pace));
            }
        }
        pace.moves += 1;
        // Once around without an answer: asking at once again would only be noise.
        let pause = if self.route.is_round(pace.moves) { self.pause(pace) } else { Duration::ZERO };
        (self.route.after(from), pause)
    }

    fn pause(&self, pace: &mut Pace) -> Duration {
        let whole = self.retry_first.saturating_mul(1 << pace.pauses.min(16)).min(self.retry_cap);
        pace.pauses += 1;
        jitter(whole)
    }

    /// Sends, and waits as long as a replica has, or until `deadline`. Gives the reason to leave it.
    async fn attempt(
        &self,
        to: ReplicaId,
        frame: &Bytes,
        pause: Duration,
        deadline: Instant,
        sent: &AtomicBool,
    ) -> String {
        // A sleep of no time at all would be one of up to a millisecond, the timer's tick.
        if !pause.is_zero() {
            sleep_until(deadline.min(Instant::now() + pause)).await;
        }
        let send_and_wait = async {
            if let Err(why) = self.links.send(to, frame.clone()).await {
                return why;
            }
            sent.store(true, SeqCst);
            pending().await
        };
        let silent = || format!("no answer within {} ms", self.answer_timeout.as_millis());
        let until = deadline.min(Instant::now() + self.answer_timeout);
        timeout_at(until, send_and_wait).await.unwrap_or_else(|_| silent())
    }

    /// Asks exactly one replica, once.
    pub async fn ask_one(&self, replica: ReplicaId, call: Call) -> Result<Answer, Failed> {
        let started = Instant::now();
        let sent = AtomicBool::new(false);
        let failed = |why: String, closed: bool| Failed {
            sent: sent.load(SeqCst),
            waited: started.elapsed(),
            last: Attempts([(replica, why)].into()),
            closed,
        };
        let Some(ticket) = self.board.open() else { return Err(failed("closed".into(), true)) };
        let frame = Bytes::from(codec::encode(&Request { id: ticket.id, call }));
        let attempt = self.attempt(replica, &frame, Duration::ZERO, started + self.answer_timeout, &sent);
        tokio::pin!(attempt);
        loop {
            tokio::select! {
                event = ticket.next() => match event {
                    Event::Reply(from, said) if from == replica => return Ok(said.answer),
                    Event::Lost(from, why) if from == replica => return Err(failed(why, false)),
                    Event::Reply(..) | Event::Lost(..) => {}
                    Event::Closed => return Err(failed("closed".into(), true)),
                },
                why = &mut attempt => return Err(failed(why, false)),
            }
        }
    }
}

/// How far a request has come.
#[derive(Default)]
struct Pace {
    moves: u16,
    later: u32,
    pauses: u32,
}

/// Between half and one and a half of `whole`.
fn jitter(whole: Duration) -> Duration {
    // Without entropy all clients pause alike, which is no more than unkind.
    let random = getrandom::u32().unwrap_or(1 << 31);
    whole / 2 + whole.mul_f64(f64::from(random) / f64::from(u32::MAX))
}
