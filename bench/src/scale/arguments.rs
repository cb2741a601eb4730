//! What is asked for on the command line.

use super::subject::Subject;
use crate::variant::Variant;
use crypto::Scheme;
use std::path::PathBuf;

/// What to simulate.
#[derive(Clone, Debug, clap::Args)]
pub struct ScaleArguments {
    /// Protocols with their rules.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Variant::ALL)]
    pub protocols: Vec<Variant>,
    /// How certificates are made, where they are.
    #[arg(long, value_delimiter = ',', default_values_t = [Scheme::Threshold, Scheme::Ed25519])]
    pub schemes: Vec<Scheme>,
    /// Sizes of the committee, up to 128: 4 to 128 if not given.
    #[arg(long, value_delimiter = ',')]
    pub sizes: Vec<usize>,
    /// Clients do not sign their transactions.
    #[arg(long)]
    pub unsigned: bool,
    /// Where the replicas stand.
    #[arg(long, value_enum, default_value = "lan")]
    pub network: NetworkChoice,
    /// Megabits a second that each replica can send.
    #[arg(long, default_value_t = 1000)]
    pub bandwidth_mbit: u64,
    /// Cores of each replica's machine.
    #[arg(long, default_value_t = 4)]
    pub cores: usize,
    /// Transactions in flight, all clients together: 6400 on a local network and 25600 between regions if not given.
    #[arg(long)]
    pub in_flight: Option<usize>,
    /// Seconds of virtual time that are measured.
    #[arg(long, default_value_t = 4.0)]
    pub seconds: f64,
    /// Fewer sizes and seconds, and the transport's prices as they were measured once.
    #[arg(long)]
    pub quick: bool,
    /// Instead: compares the simulation of four and seven replicas on this machine with real ones, and fails where they are not
    /// within 25 %.
    #[arg(long)]
    pub validate: bool,
    /// Write the results as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Where the replicas stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum NetworkChoice {
    /// In one place: 0.1 ms one way.
    Lan,
    /// In five regions of the world, in turn.
    FiveRegions,
}

impl ScaleArguments {
    /// All that is to be simulated, but for the sizes.
    pub(super) fn subjects(&self) -> Vec<Subject> {
        let mut subjects = Vec::new();
        for variant in &self.protocols {
            for scheme in &self.schemes {
                let subject = Subject { variant: *variant, scheme: *scheme, unsigned: self.unsigned };
                // What signs nothing has no scheme.
                if !subjects.iter().any(|other: &Subject| other.name() == subject.name()) {
                    subjects.push(subject);
                }
            }
        }
        subjects
    }
}
