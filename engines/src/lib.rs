//! The one place that lists the engines.
//!
//! [`AnyEngine`] is a replication engine of whichever protocol the epoch names. Messages, records and timers carry the
//! protocol's tag, so that one network, disk format and host serve all of them, and an epoch can change the protocol.

use bft_core::block::Block;
use bft_core::committee::StatementDomain;
use bft_core::engine::{
    CheckContext, Class, Engine, EngineConfig, Input, Message, Outbox, Record, Start, Status,
};
use bft_core::envelope::{Obligations, Promised, Rejection, Seal, SealWith};
use bft_core::types::{Height, Time, View};
use crypto::{ProtocolTag, ReplicaId, Statement};
use pbft::Pbft;
use serde::{Deserialize, Serialize};

/// An engine of one of the protocols.
#[derive(Debug)]
pub enum AnyEngine {
    /// Practical Byzantine Fault Tolerance.
    Pbft(Box<Pbft>),
}

/// A message of one of the protocols.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum AnyMessage {
    /// Of PBFT.
    Pbft(pbft::Message),
}

/// A record of one of the protocols.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum AnyRecord {
    /// Of PBFT.
    Pbft(pbft::Record),
}

/// A timer of one of the protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AnyTimer {
    /// Of PBFT.
    Pbft(pbft::Timer),
}

/// Whether there is an engine for `protocol`.
pub fn is_known(protocol: ProtocolTag) -> bool {
    protocol == ProtocolTag::PBFT
}

impl AnyEngine {
    fn with_pbft<T>(out: &mut Outbox<AnyEngine>, act: impl FnOnce(&mut Outbox<Pbft>) -> T) -> T {
        let mut inner = Outbox::default();
        let result = act(&mut inner);
        for output in inner.take() {
            out.push(output.widen(AnyMessage::Pbft, AnyRecord::Pbft, AnyTimer::Pbft));
        }
        result
    }
}

impl Engine for AnyEngine {
    type Message = AnyMessage;
    type Record = AnyRecord;
    type Timer = AnyTimer;

    fn recover(
        config: EngineConfig,
        start: Start<AnyEngine>,
        now: Time,
        out: &mut Outbox<AnyEngine>,
    ) -> AnyEngine {
        assert!(
            is_known(config.domain.protocol),
            "the genesis was checked to name a protocol that has an engine"
        );
        let Start { tip, tip_header, stable, records, blocks } = start;
        let records = records.into_iter().map(|AnyRecord::Pbft(record)| record).collect();
        let start = Start { tip, tip_header, stable, records, blocks };
        AnyEngine::with_pbft(out, |out| AnyEngine::Pbft(Box::new(Pbft::recover(config, start, now, out))))
    }

    fn step(&mut self, now: Time, input: Input<AnyEngine>, out: &mut Outbox<AnyEngine>) {
        match self {
            AnyEngine::Pbft(engine) => {
                let input = input
                    .narrow(|AnyMessage::Pbft(message)| Some(message), |AnyTimer::Pbft(timer)| Some(timer));
                if let Some(input) = input {
                    AnyEngine::with_pbft(out, |out| engine.step(now, input, out));
                }
            }
        }
    }

    fn records(&self) -> Vec<AnyRecord> {
        match self {
            AnyEngine::Pbft(engine) => engine.records().into_iter().map(AnyRecord::Pbft).collect(),
        }
    }

    fn promises_of(&self, replica: ReplicaId) -> Vec<Promised> {
        match self {
            AnyEngine::Pbft(engine) => engine.promises_of(replica),
        }
    }

    fn led_by(&self) -> (View, ReplicaId) {
        match self {
            AnyEngine::Pbft(engine) => engine.led_by(),
        }
    }

    fn status(&self) -> Status {
        match self {
            AnyEngine::Pbft(engine) => engine.status(),
        }
    }

    fn invariants(&self) {
        match self {
            AnyEngine::Pbft(engine) => engine.invariants(),
        }
    }
}

impl Message for AnyMessage {
    fn kind(&self) -> &'static str {
        match self {
            AnyMessage::Pbft(message) => message.kind(),
        }
    }

    fn class(&self) -> Class {
        match self {
            AnyMessage::Pbft(message) => message.class(),
        }
    }

    fn is_promise(&self) -> bool {
        match self {
            AnyMessage::Pbft(message) => message.is_promise(),
        }
    }

    fn seal(&self, domain: &StatementDomain) -> SealWith {
        match self {
            AnyMessage::Pbft(message) => message.seal(domain),
        }
    }

    fn height(&self) -> Option<Height> {
        match self {
            AnyMessage::Pbft(message) => message.height(),
        }
    }

    fn fresh_block(&self) -> Option<&Block> {
        match self {
            AnyMessage::Pbft(message) => message.fresh_block(),
        }
    }

    fn check(&self, from: ReplicaId, seal: &Seal, context: &CheckContext) -> Result<Obligations, Rejection> {
        match self {
            AnyMessage::Pbft(message) => message.check(from, seal, context),
        }
    }

    fn authenticators(&self) -> usize {
        match self {
            AnyMessage::Pbft(message) => message.authenticators(),
        }
    }

    fn contradiction(first: &Statement, second: &Statement) -> Option<&'static str> {
        match first.protocol {
            ProtocolTag::PBFT => pbft::Message::contradiction(first, second),
            _ => None,
        }
    }
}

impl Record for AnyRecord {
    fn signed(&self, domain: &StatementDomain) -> Vec<Statement> {
        match self {
            AnyRecord::Pbft(record) => record.signed(domain),
        }
    }

    fn height(&self) -> Height {
        match self {
            AnyRecord::Pbft(record) => record.height(),
        }
    }

    fn account_for<'a>(records: impl Iterator<Item = &'a AnyRecord>, statement: &Statement) -> bool {
        match statement.protocol {
            ProtocolTag::PBFT => {
                pbft::Record::account_for(records.map(|AnyRecord::Pbft(record)| record), statement)
            }
            _ => true,
        }
    }
}
