//! Reads that are not ordered: clients of the simulation ask for what everybody was told before, as the product's client does.

use crate::app::Registers;
use crate::client::Outgoing;
use crate::random::Random;
use bft_core::codec;
use bft_core::committee::Trust;
use bft_core::request::{Answer, AnswerBytes, Call, Reading, ReadingOf, Reply, Request};
use bft_core::types::{Height, ReplicaId};
use bytes::Bytes;
use crypto::FaultModel;
use std::collections::BTreeMap;

/// Where identifiers of reads begin, above all sequences; the last byte is the replica that is asked.
const FIRST: u64 = 1 << 40;

/// One client's reads: one at a time.
#[derive(Debug)]
pub struct Reader {
    trust: Trust,
    random: Random,
    next: u64,
    open: Option<Open>,
}

/// A read under way.
#[derive(Debug)]
struct Open {
    id: u64,
    register: u8,
    /// What replicas say that they have signed.
    signed: BTreeMap<u8, Height>,
    /// The height that was asked for, and of whom.
    asked: Option<Height>,
    /// How often its client has looked after it.
    ticks: u32,
}

/// What became of a read: its identifier and the answer's bytes.
pub type Outcome = (u64, Bytes);

impl Reader {
    /// Nothing asked yet.
    pub fn new(trust: Trust, random: Random) -> Reader {
        Reader { trust, random, next: FIRST, open: None }
    }

    fn frame(&self, to: u8, id: u64, call: Call) -> Outgoing {
        (ReplicaId(u16::from(to)), codec::encode(&Request { id: id + u64::from(to), call }).into())
    }

    /// Asks for a register now and then, and gives up what takes too long. Gives the identifier and register of a new read.
    pub fn tick(&mut self, asks: bool) -> (Option<(u64, u8)>, Vec<Outgoing>) {
        if let Some(open) = &mut self.open {
            open.ticks += 1;
            if open.ticks < 40 {
                return (None, Vec::new());
            }
        }
        self.open = None;
        if !asks || !self.random.per_mille(300) {
            return (None, Vec::new());
        }
        let (id, register) = (self.next, self.random.index(8) as u8);
        self.next += 256;
        let replicas = self.trust.committee.replicas as u8;
        let outgoing = match self.trust.domain.fault_model {
            FaultModel::Crash => {
                let to = self.random.index(usize::from(replicas)) as u8;
                vec![self.frame(to, id, Call::Read(ReadingOf::Leader, Bytes::copy_from_slice(&[register])))]
            }
            FaultModel::Byzantine => (0..replicas).map(|to| self.frame(to, id, Call::Signed)).collect(),
        };
        self.open = Some(Open { id, register, signed: BTreeMap::new(), asked: None, ticks: 0 });
        (Some((id, register)), outgoing)
    }

    /// Takes a reply; gives the outcome if it is one, or what to ask next.
    pub fn reply(&mut self, reply: &Reply) -> (Option<Outcome>, Vec<Outgoing>) {
        let nothing = (None, Vec::new());
        let Reply { id, answer } = reply.clone();
        let Some(open) = self.open.as_mut().filter(|open| open.id == id & !0xff) else { return nothing };
        let (id, from) = (open.id, id as u8);
        let result = match answer {
            Answer::Signed(height) => {
                open.signed.insert(from, height);
                return self.ask_certified();
            }
            Answer::Reading(reading) => {
                let Reading { result, .. } = *reading;
                result
            }
            Answer::Query(answer) => {
                let holds = answer.verify(&Registers::default(), &[open.register], &self.trust).is_ok();
                // Of an earlier question, which asked for less, or a lie.
                if !holds || open.asked.is_none_or(|asked| answer.certificate.height() < asked) {
                    return nothing;
                }
                answer.result
            }
            _ => return nothing,
        };
        self.open = None;
        // Never written.
        let content = result.map_or(Bytes::new(), |AnswerBytes(bytes)| bytes);
        (Some((id, content)), Vec::new())
    }

    /// Asks for the highest height that some n − f replicas have signed, once as many have answered; the lower, the better.
    fn ask_certified(&mut self) -> (Option<Outcome>, Vec<Outgoing>) {
        let committee = self.trust.committee;
        let Some(open) = self.open.as_mut() else { return (None, Vec::new()) };
        let mut heights: Vec<Height> = open.signed.values().copied().collect();
        heights.sort_unstable();
        let Some(lowest) = heights.get(committee.replicas - committee.faulty() - 1).copied() else {
            return (None, Vec::new());
        };
        if open.asked.is_some_and(|asked| asked <= lowest) {
            return (None, Vec::new());
        }
        open.asked = Some(lowest);
        let (id, request) = (open.id, Bytes::copy_from_slice(&[open.register]));
        let to = self.random.index(committee.replicas) as u8;
        (None, vec![self.frame(to, id, Call::Read(ReadingOf::Certified(lowest), request))])
    }
}

/// What a liar makes of a reply: it has signed nothing, or what nobody has.
pub fn lie(frame: Bytes) -> Bytes {
    match codec::decode::<Reply>(&frame, usize::MAX) {
        Ok(Reply { id, answer: Answer::Signed(height) }) => {
            let height = if id & 0x100 == 0 { 0 } else { height + 1000 };
            codec::encode(&Reply { id, answer: Answer::Signed(height) }).into()
        }
        _ => frame,
    }
}
