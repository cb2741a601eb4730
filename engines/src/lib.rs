//! The one place that lists the engines.
//!
//! [`AnyEngine`] is a replication engine of whichever protocol the epoch names. Messages, records and timers carry the
//! protocol's tag, so that one network, disk format and host serve all of them, and an epoch can change the protocol.

use bft_core::block::Block;
use bft_core::committee::StatementDomain;
use bft_core::engine::{
    CheckContext, Class, Engine, EngineConfig, Input, Lead, Message, Outbox, Record, Start, Status,
};
use bft_core::envelope::{Obligations, Promised, Rejection, Seal, SealWith};
use bft_core::types::{Height, Time};
use crypto::{FaultModel, ProtocolTag, ReplicaId, Statement};
use hotstuff::HotStuff;
use pbft::Pbft;
use raft::Raft;
use serde::{Deserialize, Serialize};

/// An engine of one of the protocols.
#[derive(Debug)]
pub enum AnyEngine {
    /// Practical Byzantine Fault Tolerance.
    Pbft(Box<Pbft>),
    /// Chained HotStuff.
    HotStuff(Box<HotStuff>),
    /// Raft.
    Raft(Box<Raft>),
}

/// A message of one of the protocols.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum AnyMessage {
    /// Of PBFT.
    Pbft(pbft::Message),
    /// Of HotStuff.
    HotStuff(hotstuff::Message),
    /// Of Raft.
    Raft(raft::Message),
}

/// A record of one of the protocols.
#[expect(clippy::large_enum_variant, reason = "a record is encoded as soon as it is made")]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum AnyRecord {
    /// Of PBFT.
    Pbft(pbft::Record),
    /// Of HotStuff.
    HotStuff(hotstuff::Record),
    /// Of Raft.
    Raft(raft::Record),
}

/// A timer of one of the protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AnyTimer {
    /// Of PBFT.
    Pbft(pbft::Timer),
    /// Of HotStuff.
    HotStuff(hotstuff::Timer),
    /// Of Raft.
    Raft(raft::Timer),
}

/// The protocols that there are engines for.
pub const PROTOCOLS: [ProtocolTag; 3] = [ProtocolTag::PBFT, ProtocolTag::HOTSTUFF, ProtocolTag::RAFT];

/// Whether there is an engine for `protocol`.
pub fn is_known(protocol: ProtocolTag) -> bool {
    PROTOCOLS.contains(&protocol)
}

/// What may go wrong under a protocol.
pub fn fault_model(protocol: ProtocolTag) -> FaultModel {
    if protocol == ProtocolTag::RAFT { FaultModel::Crash } else { FaultModel::Byzantine }
}

/// The protocol of this name.
///
/// # Errors
/// Which names there are.
pub fn named(name: &str) -> Result<ProtocolTag, String> {
    PROTOCOLS.into_iter().find(|protocol| protocol.to_string() == name).ok_or_else(|| {
        let names: Vec<String> = PROTOCOLS.iter().map(ToString::to_string).collect();
        format!("there is no protocol {name:?} here; use {}", names.join(", "))
    })
}

/// What one of the protocols says of `$any`.
macro_rules! each {
    ($any:expr, $kind:ident, $inner:ident => $then:expr) => {
        match $any {
            $kind::Pbft($inner) => $then,
            $kind::HotStuff($inner) => $then,
            $kind::Raft($inner) => $then,
        }
    };
}

/// Starts, or steps, the engine of one protocol: inputs lose the protocol's tag, outputs get it.
macro_rules! with {
    ($protocol:ident, $out:expr, $inner:ident => $act:expr) => {{
        let mut $inner = Outbox::default();
        let result = $act;
        let outputs = $inner.take().into_iter();
        $out.extend(
            outputs
                .map(|output| output.widen(AnyMessage::$protocol, AnyRecord::$protocol, AnyTimer::$protocol)),
        );
        result
    }};
}

/// The records of one protocol.
macro_rules! own {
    ($protocol:ident, $records:expr) => {
        $records.filter_map(|record| match record {
            AnyRecord::$protocol(record) => Some(record),
            _ => None,
        })
    };
}

/// The part of a start that concerns one protocol.
macro_rules! narrow_start {
    ($protocol:ident, $start:expr) => {{
        let Start { tip, tip_header, stable, records, blocks } = $start;
        Start { tip, tip_header, stable, records: own!($protocol, records.into_iter()).collect(), blocks }
    }};
}

/// The input for one protocol's engine, if it is one.
macro_rules! narrow {
    ($protocol:ident, $input:expr) => {
        $input.narrow(
            |message| match message {
                AnyMessage::$protocol(message) => Some(message),
                _ => None,
            },
            |timer| match timer {
                AnyTimer::$protocol(timer) => Some(timer),
                _ => None,
            },
        )
    };
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
        match config.domain.protocol {
            ProtocolTag::PBFT => with!(Pbft, out, inner => {
                AnyEngine::Pbft(Box::new(Pbft::recover(config, narrow_start!(Pbft, start), now, &mut inner)))
            }),
            ProtocolTag::HOTSTUFF => with!(HotStuff, out, inner => {
                let start = narrow_start!(HotStuff, start);
                AnyEngine::HotStuff(Box::new(HotStuff::recover(config, start, now, &mut inner)))
            }),
            ProtocolTag::RAFT => with!(Raft, out, inner => {
                AnyEngine::Raft(Box::new(Raft::recover(config, narrow_start!(Raft, start), now, &mut inner)))
            }),
            other => panic!("the genesis was checked to name a protocol that has an engine, not {other}"),
        }
    }

    fn step(&mut self, now: Time, input: Input<AnyEngine>, out: &mut Outbox<AnyEngine>) {
        match self {
            AnyEngine::Pbft(engine) => {
                if let Some(input) = narrow!(Pbft, input) {
                    with!(Pbft, out, inner => engine.step(now, input, &mut inner));
                }
            }
            AnyEngine::HotStuff(engine) => {
                if let Some(input) = narrow!(HotStuff, input) {
                    with!(HotStuff, out, inner => engine.step(now, input, &mut inner));
                }
            }
            AnyEngine::Raft(engine) => {
                if let Some(input) = narrow!(Raft, input) {
                    with!(Raft, out, inner => engine.step(now, input, &mut inner));
                }
            }
        }
    }

    fn records(&self) -> Vec<AnyRecord> {
        match self {
            AnyEngine::Pbft(engine) => engine.records().into_iter().map(AnyRecord::Pbft).collect(),
            AnyEngine::HotStuff(engine) => engine.records().into_iter().map(AnyRecord::HotStuff).collect(),
            AnyEngine::Raft(engine) => engine.records().into_iter().map(AnyRecord::Raft).collect(),
        }
    }

    fn promises_of(&self, replica: ReplicaId) -> Vec<Promised> {
        each!(self, AnyEngine, engine => engine.promises_of(replica))
    }

    fn led_by(&self) -> Lead {
        each!(self, AnyEngine, engine => engine.led_by())
    }

    fn status(&self) -> Status {
        each!(self, AnyEngine, engine => engine.status())
    }

    fn invariants(&self) {
        each!(self, AnyEngine, engine => engine.invariants());
    }
}

impl AnyMessage {
    /// The protocol it is of.
    fn protocol(&self) -> ProtocolTag {
        match self {
            AnyMessage::Pbft(_) => ProtocolTag::PBFT,
            AnyMessage::HotStuff(_) => ProtocolTag::HOTSTUFF,
            AnyMessage::Raft(_) => ProtocolTag::RAFT,
        }
    }
}

impl Message for AnyMessage {
    fn kind(&self) -> &'static str {
        each!(self, AnyMessage, message => message.kind())
    }

    fn class(&self) -> Class {
        each!(self, AnyMessage, message => message.class())
    }

    fn is_promise(&self) -> bool {
        each!(self, AnyMessage, message => message.is_promise())
    }

    fn seal(&self, domain: &StatementDomain) -> SealWith {
        each!(self, AnyMessage, message => message.seal(domain))
    }

    fn height(&self) -> Option<Height> {
        each!(self, AnyMessage, message => message.height())
    }

    fn fresh_block(&self) -> Option<&Block> {
        each!(self, AnyMessage, message => message.fresh_block())
    }

    fn check(&self, from: ReplicaId, seal: &Seal, context: &CheckContext) -> Result<Obligations, Rejection> {
        if self.protocol() != context.domain.protocol {
            return Err(Rejection::Invalid("a message of another protocol than this epoch's"));
        }
        each!(self, AnyMessage, message => message.check(from, seal, context))
    }

    fn authenticators(&self) -> usize {
        each!(self, AnyMessage, message => message.authenticators())
    }

    fn contradiction(first: &Statement, second: &Statement) -> Option<&'static str> {
        match first.protocol {
            ProtocolTag::PBFT => pbft::Message::contradiction(first, second),
            ProtocolTag::HOTSTUFF => hotstuff::Message::contradiction(first, second),
            ProtocolTag::RAFT => raft::Message::contradiction(first, second),
            _ => None,
        }
    }
}

impl Record for AnyRecord {
    fn signed(&self, domain: &StatementDomain) -> Vec<Statement> {
        each!(self, AnyRecord, record => record.signed(domain))
    }

    fn height(&self) -> Height {
        each!(self, AnyRecord, record => record.height())
    }

    fn account_for<'a>(records: impl Iterator<Item = &'a AnyRecord>, statement: &Statement) -> bool {
        match statement.protocol {
            ProtocolTag::PBFT => pbft::Record::account_for(own!(Pbft, records), statement),
            ProtocolTag::HOTSTUFF => hotstuff::Record::account_for(own!(HotStuff, records), statement),
            ProtocolTag::RAFT => raft::Record::account_for(own!(Raft, records), statement),
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_have_names() {
        for protocol in PROTOCOLS {
            assert_eq!(named(&protocol.to_string()), Ok(protocol));
            assert!(is_known(protocol));
        }
        assert_eq!(
            named("paxos").unwrap_err(),
            "there is no protocol \"paxos\" here; use pbft, hotstuff, raft"
        );
    }
}
