//! A committee whose machines take time: what throughput and latency come to when every piece of work has a price.
//!
//! The rest of the simulator asks whether replicas agree, whatever happens, and lets work take a random time. Here nothing goes wrong,
//! and time is what is asked for. The replicas are the production host and edge again; everything else is a model:
//!
//! - **Machines** (`machine`) have cores. A replica stands on a machine, alone or with others, and has the threads of the product:
//!   the host's task and the transport's share its workers, seals, checks and combinations share its crypto threads. A piece of work
//!   begins when its pool and a core are free, and is not interrupted. Its effects leave when its price has passed.
//! - **Prices** (`prices`) are charged for what was done: frames and bytes, signatures and certificates by number and committee,
//!   transactions executed, bytes logged. Signatures themselves are checksums of equal size, so that a hundred replicas can be simulated
//!   in one thread.
//! - **Links** have a latency between regions ([`latency`]) and, if wanted, a bandwidth for each replica, which sends frame after
//!   frame (`egress`). They lose nothing.
//! - **Clients** (`generator`) have so many transactions in flight each, at one replica.
//!
//! A [`Meter`] measures what the host and edge really took, beside the simulation: that is where their prices come from. Without
//! one, a run is a function of its plan.

mod carry;
mod certificates;
mod committee;
mod generator;
mod journal;
mod meter;
mod node;
mod outcome;
mod work;
mod world;

pub mod egress;
pub mod latency;
pub mod machine;
pub mod prices;

pub use committee::{Load, Members, clients, organisation};
pub use meter::{Meter, Sort};
pub use outcome::{Outcome, Shares};
pub use prices::Prices;

use crate::checker::Violation;
use bft_core::genesis::Limits;
use bft_core::machine::StateMachine;
use crypto::{ProtocolTag, Scheme};
use latency::Latencies;
use std::time::Duration;
use world::World;

/// What is simulated.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The engine.
    pub protocol: ProtocolTag,
    /// How certificates are made: decides their sizes and prices. Without meaning where nothing is signed.
    pub scheme: Scheme,
    /// Size of the committee.
    pub replicas: usize,
    /// Consensus limits.
    pub limits: Limits,
    /// Where the replicas stand.
    pub placement: Placement,
    /// The way between them.
    pub latencies: Latencies,
    /// Megabits that a replica sends in a second; none where that is no limit.
    pub bandwidth_mbit: Option<u64>,
    /// Transactions that each client has without a receipt.
    pub in_flight: usize,
    /// What passes under load before the measurement, in virtual time.
    pub first: Duration,
    /// What is measured.
    pub measured: Duration,
}

/// Where replicas and clients stand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Placement {
    /// All on one machine, clients included.
    Together {
        /// Its cores.
        cores: usize,
        /// The part of their time that is left to them, at most 1: others may use the machine too.
        share: f64,
    },
    /// Each replica on a machine of its own; the clients' machines are free.
    Apart {
        /// Cores of each.
        cores: usize,
    },
}

/// Runs a committee under a load that never ends.
///
/// # Errors
/// If replicas disagree, or one stops.
pub fn run<A: StateMachine + Clone>(
    plan: &Plan,
    application: &A,
    load: &Load,
    prices: &Prices,
    meter: Option<&mut Meter>,
) -> Result<Outcome, Violation> {
    if meter.is_none() {
        crypto::remember_digests();
    }
    let members = Members::new(plan, application, load);
    let mut world = World::new(plan, application, members, load, prices, meter);
    world.start()?;
    world.begin()?;
    let begun = world.now + plan.first;
    world.run(begun)?;
    let before = world.so_far();
    world.run(begun + plan.measured)?;
    Ok(world.outcome(&before))
}

#[cfg(test)]
mod tests;
