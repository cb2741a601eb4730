//! Byzantine replicas: the production host with its real keys, and somebody who rewrites what it sends.

mod hotstuff;
mod idea;
mod memory;
mod mutate;
mod pbft;

use crate::random::Random;
use bft_core::committee::StatementDomain;
use bft_core::types::ReplicaId;
use bytes::Bytes;
use crypto::{IdentitySecret, ProtocolTag, QuorumSigner, StatementKind};
use engines::AnyMessage;
use idea::Idea;
use memory::Memory;
use std::fmt::Debug;
use std::time::Duration;

/// One idea of a liar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Behaviour {
    /// Says nothing.
    Silent,
    /// As leader and as voter, says one thing to one half and another to the other.
    Equivocate,
    /// Says old things again.
    Stale,
    /// Says things with bits flipped or cut short.
    Garble,
    /// Sends shares that do not verify.
    BadShares,
    /// As leader, gives its proposals to as few as can still decide.
    Withhold,
    /// As leader, proposes just before the others lose patience.
    Slow,
    /// As leader, never proposes what one client submits.
    Censor,
    /// In a view change, hides what it has prepared; as new leader, names view-changes that do not exist.
    Forget,
    /// Poisons what replicas fetch that catch up: other pairs, other roots, chains and snapshots that it denies to have.
    Poison,
    /// Rewrites one field of what it says and seals it again properly; says old things in other views.
    Mutate,
    /// Says things of future views, far heights and blocks that nobody has; accuses others, and itself, of lies.
    Flood,
}

impl Behaviour {
    /// All of them.
    pub const ALL: [Behaviour; 12] = [
        Behaviour::Silent,
        Behaviour::Equivocate,
        Behaviour::Stale,
        Behaviour::Garble,
        Behaviour::BadShares,
        Behaviour::Withhold,
        Behaviour::Slow,
        Behaviour::Censor,
        Behaviour::Forget,
        Behaviour::Poison,
        Behaviour::Mutate,
        Behaviour::Flood,
    ];
}

/// What a liar sends instead of a frame.
#[derive(Debug)]
pub struct Utterance {
    /// To whom.
    pub to: ReplicaId,
    /// Later than the honest frame would have left.
    pub delay: Duration,
    /// The bytes.
    pub frame: Bytes,
}

/// What a liar is made of.
#[derive(Debug)]
pub struct LiarConfig {
    /// Which replica it is.
    pub me: ReplicaId,
    /// Its ideas; what one of them makes of a frame goes to the next.
    pub behaviours: Vec<Behaviour>,
    /// Its choices.
    pub random: Random,
    /// Size of the committee.
    pub replicas: usize,
    /// Fields of every statement.
    pub domain: StatementDomain,
    /// Its key for shares.
    pub signer: QuorumSigner,
    /// Its key for signatures.
    pub identity: IdentitySecret,
    /// The view timeout.
    pub patience: Duration,
    /// How many views a leader leads, where leaders have tenures.
    pub tenure_views: u64,
    /// The client that a censor starves.
    pub victim: [u8; 32],
}

/// The lies that can be told in a protocol's messages, by one idea of a liar, which keeps here what it needs for them.
trait Lies: Debug {
    /// A mutator sees a message, and remembers what it may put elsewhere.
    fn see(&mut self, message: AnyMessage, memory: &mut Memory);
    /// What becomes of a message to `to`, if the idea is one about such messages.
    fn rewrite(&mut self, to: ReplicaId, message: &mut AnyMessage, random: &mut Random) -> Lie;
    /// Changes one field, or says an old message again in another view.
    fn mutate(&self, message: &mut AnyMessage, memory: &Memory, random: &mut Random);
    /// Something of a future view, a far height, or about a block that nobody has.
    fn flood(&self, memory: &Memory, random: &mut Random) -> AnyMessage;
    /// A new view with all that proves it, made up in the names of others.
    fn forged_view(&self, memory: &Memory, random: &mut Random) -> Vec<AnyMessage>;
    /// Statements that a mutator signs in the place of others. Not empty.
    fn kinds_to_sign(&self) -> &'static [StatementKind];
    /// Statements that somebody may be said to have contradicted. Not empty.
    fn kinds_to_accuse_of(&self) -> &'static [StatementKind];
}

/// What becomes of a message.
#[derive(Debug)]
enum Lie {
    /// It is said as it is.
    None,
    /// It was changed, and is sealed again.
    Changed,
    /// It gets a share that does not verify.
    BadShare,
    /// It is not said.
    Unsaid,
    /// It is said just before others lose patience.
    Late,
    /// These are said in its place.
    Instead(Vec<AnyMessage>),
}

/// The lies of the protocol that the liar's epoch runs.
fn lies_of(config: &LiarConfig, behaviour: Behaviour, random: &mut Random) -> Box<dyn Lies> {
    match config.domain.protocol {
        ProtocolTag::PBFT => Box::new(pbft::PbftLies::new(config, behaviour, random)),
        ProtocolTag::HOTSTUFF => Box::new(hotstuff::HotStuffLies::new(config, behaviour, random)),
        other => unreachable!("worlds are made of protocols that are simulated, and {other} is not"),
    }
}

/// Somebody who rewrites a replica's traffic and holds its keys.
#[derive(Debug)]
pub struct Liar {
    ideas: Vec<Idea>,
}

impl Liar {
    /// A liar.
    pub fn new(mut config: LiarConfig) -> Liar {
        let behaviours = config.behaviours.clone();
        let ideas = behaviours.into_iter().map(|behaviour| {
            let random = config.random.fork();
            Idea::new(&config, behaviour, random)
        });
        Liar { ideas: ideas.collect() }
    }

    /// How often it lied, by idea.
    pub fn lies(&self) -> impl Iterator<Item = (Behaviour, u64)> {
        self.ideas.iter().map(|idea| (idea.behaviour(), idea.lies))
    }

    /// Whether it lets its host hear of a frame.
    pub fn hears(&mut self, frame: &[u8]) -> bool {
        // Each idea hears it, whatever another makes of it.
        let heard: Vec<bool> = self.ideas.iter_mut().map(|idea| idea.hears(frame)).collect();
        heard.into_iter().all(|heard| heard)
    }

    /// Rewrites one frame.
    pub fn says(&mut self, to: ReplicaId, frame: Bytes) -> Vec<Utterance> {
        let mut said = vec![Utterance { to, delay: Duration::ZERO, frame }];
        for idea in &mut self.ideas {
            let before = std::mem::take(&mut said);
            for Utterance { to, delay, frame } in before {
                let after = idea.says(to, frame);
                said.extend(after.into_iter().map(|next| Utterance { delay: delay + next.delay, ..next }));
            }
        }
        said
    }
}
