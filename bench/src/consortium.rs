//! A throw-away consortium on this machine: keys, genesis, homes, ports.

use crate::process::ReplicaProcess;
use anyhow::{Context, bail};
use app_examples::ledger::{AssetCode, AssetConfig, Config, Ledger};
use app_examples::noop::Noop;
use bft_core::genesis::{Application, FIRST_EPOCH, Genesis, Limits, Organisation, ReplicaInfo};
use bft_core::host::genesis_state;
use bft_core::machine::StateMachine;
use crypto::{
    ClientSecret, Digest, FaultModel, IdentitySecret, KeyFile, ProtocolTag, ReplicaId, Scheme, ThresholdKey,
    keystore,
};
use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// The asset of the throw-away ledger.
pub const ASSET: &str = "EUR";

const NAMES: [&str; 8] = [
    "north-bank",
    "south-bank",
    "east-bank",
    "west-bank",
    "clearing-house",
    "treasury",
    "exchange",
    "supervisor",
];

/// What is wanted.
#[derive(Clone, Debug)]
pub struct ConsortiumConfig {
    /// Where everything goes; made if it is not there.
    pub dir: PathBuf,
    /// The program `quorate`, for `init` and `start`.
    pub executable: PathBuf,
    /// One organisation each.
    pub replicas: usize,
    /// Enrolled for the organisations in turn.
    pub clients: usize,
    /// How certificates are made, where they are. For [`Scheme::Threshold`] a trusted dealer in this process deals the keys.
    pub scheme: Scheme,
    /// What it runs.
    pub app: App,
    /// How transactions are ordered.
    pub protocol: ProtocolTag,
    /// Consensus limits.
    pub limits: Limits,
    /// All keys come from it: whoever knows it has them.
    pub seed: [u8; 32],
}

/// The application of a throw-away consortium.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum App {
    /// The ledger: a transfer writes three keys.
    #[default]
    Ledger,
    /// One that does nothing.
    Noop,
}

impl App {
    /// What the genesis says of it, the root of its state apart.
    fn in_genesis(self) -> Application {
        match self {
            App::Ledger => Application { name: Ledger.name().to_owned(), config: ledger().to_toml() },
            App::Noop => Application { name: Noop.name().to_owned(), config: String::new() },
        }
    }

    fn root(self, genesis: &Genesis) -> anyhow::Result<Digest> {
        Ok(match self {
            App::Ledger => genesis_state(&Ledger, genesis)?.1,
            App::Noop => genesis_state(&Noop, genesis)?.1,
        })
    }
}

/// A consortium whose replicas can be started. Everything about it is for tests and demonstrations: one process knew all
/// the secrets.
#[derive(Debug)]
pub struct Consortium {
    /// Where everything is.
    pub dir: PathBuf,
    /// What the members agreed on.
    pub genesis: Genesis,
    /// Clients, of the organisations in turn. The first one's organisation issues [`ASSET`].
    pub clients: Vec<ClientSecret>,
    executable: PathBuf,
    /// Holds the ports until just before the start.
    ports: Vec<Option<UdpSocket>>,
}

/// Fresh entropy for [`ConsortiumConfig::seed`].
///
/// # Errors
/// If the operating system has none.
pub fn fresh_seed() -> anyhow::Result<[u8; 32]> {
    Ok(*ClientSecret::generate()?.seed())
}

impl Consortium {
    /// Makes keys, ports, genesis and one initialised home per replica.
    ///
    /// # Errors
    /// If something is not possible here; the directory is left as it is.
    pub fn create(config: ConsortiumConfig) -> anyhow::Result<Consortium> {
        let ConsortiumConfig { dir, executable, replicas, clients, scheme, app, protocol, limits, seed } =
            config;
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let fault_model = engines::fault_model(protocol);
        let scheme = if fault_model == FaultModel::Crash { Scheme::None } else { scheme };
        let identities: Vec<IdentitySecret> =
            (0..replicas).map(|i| IdentitySecret::from_seed(derive(&seed, 1, i))).collect();
        let operators: Vec<ClientSecret> =
            (0..replicas).map(|i| ClientSecret::from_seed(derive(&seed, 2, i))).collect();
        let clients: Vec<ClientSecret> =
            (0..clients).map(|i| ClientSecret::from_seed(derive(&seed, 3, i))).collect();
        let (ports, addresses) = free_ports(replicas)?;

        let mut genesis = Genesis {
            version: bft_core::codec::VERSION,
            network: "throw-away".to_owned(),
            time: u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros())?,
            protocol,
            fault_model,
            scheme,
            limits,
            application: app.in_genesis(),
            state_root: Digest::ZERO,
            replicas: (0..replicas)
                .map(|i| ReplicaInfo {
                    organisation: name(i),
                    identity: identities[i].public(),
                    address: addresses[i].clone(),
                })
                .collect(),
            organisations: (0..replicas)
                .map(|i| Organisation {
                    name: name(i),
                    operator: operators[i].public(),
                    clients: clients
                        .iter()
                        .skip(i)
                        .step_by(replicas.max(1))
                        .map(ClientSecret::public)
                        .collect(),
                })
                .collect(),
            threshold: None,
        };
        let shares = match scheme {
            Scheme::Ed25519 | Scheme::None => None,
            Scheme::Threshold => {
                let quorum = genesis.committee().quorum();
                let (public, shares) = crypto::trusted_dealer(derive(&seed, 4, 0), replicas, quorum)?;
                let group = public.digest();
                genesis.threshold = Some(public);
                Some((group, shares))
            }
        };
        genesis.state_root = app.root(&genesis)?;
        genesis.validate()?;

        let consortium = Consortium { dir, genesis, clients, executable, ports };
        let genesis_path = consortium.genesis_path();
        let text = format!("{}\n", serde_json::to_string_pretty(&consortium.genesis)?);
        fs::write(&genesis_path, text).with_context(|| format!("cannot write {}", genesis_path.display()))?;
        for (i, client) in consortium.clients.iter().enumerate() {
            keystore::write_new(&consortium.client_key_path(i), &KeyFile::Client(client.clone()))?;
        }
        for (i, operator) in operators.iter().enumerate() {
            keystore::write_new(&consortium.operator_key_path(i), &KeyFile::Client(operator.clone()))?;
        }
        for (i, identity) in identities.into_iter().enumerate() {
            let home = consortium.home(i);
            fs::create_dir_all(&home).with_context(|| format!("cannot make {}", home.display()))?;
            keystore::write_new(&home.join("identity.key"), &KeyFile::Identity(identity))?;
            if let Some((group, shares)) = &shares {
                let key = ThresholdKey { share: shares[i].clone(), epoch: FIRST_EPOCH, group: *group };
                keystore::write_new(&home.join("threshold.key"), &KeyFile::Threshold(key))?;
            }
            consortium.init(i)?;
        }
        Ok(consortium)
    }

    /// Runs `init` for a replica, as its operator would.
    fn init(&self, replica: usize) -> anyhow::Result<()> {
        let output = Command::new(&self.executable)
            .arg("init")
            .arg("--home")
            .arg(self.home(replica))
            .arg("--genesis")
            .arg(self.genesis_path())
            .args(["--replica", &replica.to_string()])
            .output()
            .with_context(|| format!("cannot start {}", self.executable.display()))?;
        if !output.status.success() {
            bail!("init of replica {replica}: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }

    /// Writes one of a replica's own choices into the configuration of all, as their operators would.
    ///
    /// # Errors
    /// If a configuration cannot be read or written. Whether there is such a choice is found out at the start.
    pub fn choose(&self, name: &str, value: &str) -> anyhow::Result<()> {
        for replica in 0..self.genesis.replicas.len() {
            let path = self.home(replica).join("replica.toml");
            let text =
                fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let is_it = |line: &&str| line.split_once('=').is_some_and(|(other, _)| other.trim() == name);
            let lines = text.lines().filter(|line| !is_it(line));
            // Before everything else: a table may end the file.
            let text: Vec<String> =
                std::iter::once(format!("{name} = {value}")).chain(lines.map(str::to_owned)).collect();
            fs::write(&path, text.join("\n") + "\n")
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }

    /// Starts every replica, giving up its port just before.
    ///
    /// # Errors
    /// If a process cannot be started. One that ends soon after, for example because another program took its port in
    /// between, is noticed by [`ReplicaProcess::ended`] only; then create a new consortium.
    pub fn start(&mut self) -> anyhow::Result<Vec<ReplicaProcess>> {
        let (executable, dir) = (&self.executable, &self.dir);
        let start = |(replica, port): (usize, &mut Option<UdpSocket>)| {
            drop(port.take());
            ReplicaProcess::start(executable, &home(dir, replica), replica_id(replica))
        };
        self.ports.iter_mut().enumerate().map(start).collect()
    }

    /// Removes all its files.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn remove(self) -> anyhow::Result<()> {
        let dir = &self.dir;
        fs::remove_dir_all(dir).with_context(|| format!("cannot remove {}", dir.display()))
    }

    /// The home of a replica.
    pub fn home(&self, replica: usize) -> PathBuf {
        home(&self.dir, replica)
    }

    /// What the members agreed on.
    pub fn genesis_path(&self) -> PathBuf {
        self.dir.join("genesis.json")
    }

    /// A client's key.
    pub fn client_key_path(&self, client: usize) -> PathBuf {
        self.dir.join(format!("client-{client}.key"))
    }

    /// An organisation's operator's key.
    pub fn operator_key_path(&self, organisation: usize) -> PathBuf {
        self.dir.join(format!("operator-{organisation}.key"))
    }

    /// The code of [`ASSET`].
    pub fn asset(&self) -> AssetCode {
        ASSET.parse().expect("the code is valid")
    }
}

/// Replica number `index`, which the genesis bounds.
pub fn replica_id(index: usize) -> ReplicaId {
    ReplicaId(u16::try_from(index).expect("committees are bounded by the genesis"))
}

fn home(dir: &Path, replica: usize) -> PathBuf {
    dir.join(format!("replica-{replica}"))
}

fn name(organisation: usize) -> String {
    NAMES.get(organisation).map_or_else(|| format!("member-{organisation}"), |name| (*name).to_owned())
}

fn ledger() -> Config {
    let asset = AssetConfig {
        code: ASSET.parse().expect("the code is valid"),
        issuer: name(0),
        issuer_keys: Vec::new(),
    };
    Config { freeze_authority: vec![name(0)], freeze_keys: Vec::new(), assets: vec![asset] }
}

/// Another seed for every role and index. Ed25519 and HKDF hash their seeds, so that a difference of one bit is enough.
fn derive(seed: &[u8; 32], role: u8, index: usize) -> [u8; 32] {
    let mut derived = *seed;
    derived[31] ^= role;
    for (byte, by) in derived[..8].iter_mut().zip((index as u64).to_le_bytes()) {
        *byte ^= by;
    }
    derived
}

/// Free UDP ports of the loopback, held by their sockets.
fn free_ports(count: usize) -> anyhow::Result<(Vec<Option<UdpSocket>>, Vec<String>)> {
    let mut sockets = Vec::with_capacity(count);
    let mut addresses = Vec::with_capacity(count);
    for _ in 0..count {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("no free UDP port on 127.0.0.1")?;
        addresses.push(socket.local_addr()?.to_string());
        sockets.push(Some(socket));
    }
    Ok((sockets, addresses))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_role_and_index_has_a_seed_of_its_own() {
        let seed = [9; 32];
        let seeds: BTreeSet<_> =
            (1..5).flat_map(|role| (0..300).map(move |i| derive(&seed, role, i))).collect();
        assert_eq!(seeds.len(), 4 * 300);
        assert!(!seeds.contains(&seed));
    }

    #[test]
    fn ports_are_distinct_while_they_are_held() {
        let (_held, addresses) = free_ports(20).unwrap();
        assert_eq!(addresses.into_iter().collect::<BTreeSet<_>>().len(), 20);
    }
}
