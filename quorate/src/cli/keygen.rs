//! `quorate keygen`: keys, and a member's public file.

use super::files::{MemberFile, write_json};
use super::print;
use crate::home::Home;
use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};
use crypto::{ClientSecret, IdentitySecret, KeyFile, keystore};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  quorate keygen --kind client --out alice.key        a client's key; prints the public key, for `tx enroll`
  quorate keygen member --organisation north-bank --address host-a.example.org:7000 --home ./north
                                                       everything a member needs; send ./north/member.json to
                                                       whoever assembles the genesis, and nothing else

Key files are made with mode 0600, are never overwritten, and are refused later if others may read them.";

/// Make keys.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: Option<What>,
    /// What the key is for.
    #[arg(long, value_enum, required = true)]
    kind: Option<Kind>,
    /// The key file to make.
    #[arg(long, value_name = "FILE", required = true)]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// A replica's Ed25519 key.
    Identity,
    /// A client's Ed25519 key.
    Client,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a member's keys and its public file.
    #[command(
        after_help = "Example:\n  quorate keygen member --organisation north-bank --address host-a.example.org:7000 --home ./north"
    )]
    Member(Member),
}

#[derive(Debug, Args)]
struct Member {
    /// The organisation's name, 1 to 64 bytes.
    #[arg(long, value_name = "NAME")]
    organisation: String,
    /// Where the others reach its replica.
    #[arg(long, value_name = "HOST:PORT")]
    address: String,
    /// The replica's home; made if it is not there.
    #[arg(long, value_name = "DIR", env = "QUORATE_HOME")]
    home: PathBuf,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    match arguments {
        Arguments { what: Some(What::Member(member)), .. } => make_member(member)?,
        Arguments { kind: Some(kind), out: Some(out), .. } => {
            let public = match kind {
                Kind::Identity => make_identity(&out)?.to_string(),
                Kind::Client => make_client(&out)?.to_string(),
            };
            print(&public);
        }
        Arguments { .. } => bail!("give --kind and --out, or the word member; see `quorate keygen --help`"),
    }
    Ok(ExitCode::SUCCESS)
}

fn make_identity(path: &Path) -> anyhow::Result<crypto::Identity> {
    let secret = IdentitySecret::generate()?;
    let public = secret.public();
    keystore::write_new(path, &KeyFile::Identity(secret))?;
    Ok(public)
}

fn make_client(path: &Path) -> anyhow::Result<crypto::ClientKey> {
    let secret = ClientSecret::generate()?;
    let public = secret.public();
    keystore::write_new(path, &KeyFile::Client(secret))?;
    Ok(public)
}

fn make_member(member: Member) -> anyhow::Result<()> {
    let Member { organisation, address, home } = member;
    if !(1..=64).contains(&organisation.len()) {
        bail!("the organisation's name has {} bytes; 1 to 64 are possible", organisation.len());
    }
    check_address(&address)?;
    std::fs::create_dir_all(&home)
        .with_context(|| format!("cannot make {}; check the path and its owner", home.display()))?;
    let public_path = home.join("member.json");
    if public_path.exists() {
        bail!("{} exists already: this member has its keys; choose another --home", public_path.display());
    }
    let identity = make_identity(&Home::new(&home).identity_key())?;
    let operator_path = home.join("operator.key");
    let operator = make_client(&operator_path)?;
    write_json(&public_path, &MemberFile::new(organisation, address, identity, operator))?;
    print(&format!(
        "identity {identity}\noperator {operator}\nsend  {}\nkeep  {} and {} to yourself",
        public_path.display(),
        Home::new(&home).identity_key().display(),
        operator_path.display()
    ));
    Ok(())
}

/// Whether an address can be dialled, as far as its form says.
pub(super) fn check_address(address: &str) -> anyhow::Result<()> {
    let fits = address
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0));
    if !fits {
        bail!("{address:?} is not HOST:PORT; write it like \"host-a.example.org:7000\"");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check_address;

    #[test]
    fn addresses_have_a_host_and_a_port() {
        for good in ["localhost:1", "127.0.0.1:7000", "[::1]:7000"] {
            assert!(check_address(good).is_ok(), "{good}");
        }
        for bad in ["", "localhost", ":7000", "a:", "a:0", "a:70000", "a:b"] {
            assert!(check_address(bad).is_err(), "{bad}");
        }
    }
}
