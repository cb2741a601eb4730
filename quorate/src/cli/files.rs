//! The files that people and programs pass on: members, saved transactions, receipts. JSON with a version.

use super::hexadecimal;
use anyhow::{Context, bail};
use bft_core::receipt::ProvenReceipt;
use bft_core::transaction::{Item, Kind, Transaction};
use bytes::Bytes;
use crypto::{ClientKey, Digest, Identity, Signature};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Version of every file here.
const VERSION: u32 = 1;

/// Bytes of the longest file that is read: far above a receipt of the largest committee and window.
const FILE_BYTES: u64 = 64 << 20;

/// What a member tells the others before there is a genesis. Nothing in it is secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MemberFile {
    version: u32,
    /// Its name, the same in all files of one organisation.
    pub organisation: String,
    /// `host:port` of the replica.
    pub address: String,
    /// The replica's key.
    pub identity: Identity,
    /// The organisation's operator.
    pub operator: ClientKey,
    /// Other clients, enrolled from the start.
    #[serde(default)]
    pub clients: Vec<ClientKey>,
}

impl MemberFile {
    pub(crate) fn new(
        organisation: String,
        address: String,
        identity: Identity,
        operator: ClientKey,
    ) -> MemberFile {
        MemberFile { version: VERSION, organisation, address, identity, operator, clients: Vec::new() }
    }
}

/// A signed transaction, for trying again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SavedTransaction {
    version: u32,
    /// The network it is signed for.
    pub chain: Digest,
    kind: SavedKind,
    client: ClientKey,
    sequence: u64,
    #[serde(with = "hexadecimal")]
    body: Bytes,
    signature: Signature,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum SavedKind {
    Application,
    System,
}

impl SavedTransaction {
    /// To be saved.
    pub(crate) fn new(chain: Digest, transaction: &Transaction) -> SavedTransaction {
        let Transaction { kind, client, sequence, body, signature } = transaction.clone();
        let kind = match kind {
            Kind::Application => SavedKind::Application,
            Kind::System => SavedKind::System,
        };
        SavedTransaction { version: VERSION, chain, kind, client, sequence, body, signature }
    }

    /// As it was signed.
    pub(crate) fn item(&self) -> Item {
        let SavedTransaction { kind, client, sequence, ref body, signature, .. } = *self;
        let kind = match kind {
            SavedKind::Application => Kind::Application,
            SavedKind::System => Kind::System,
        };
        Item::new(&self.chain, Transaction { kind, client, sequence, body: body.clone(), signature })
    }
}

/// A receipt with its proof, and the transaction that it is about if that is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReceiptFile {
    version: u32,
    /// The network.
    pub chain: Digest,
    /// What the receipt is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction: Option<SavedTransaction>,
    /// The receipt.
    pub receipt: ProvenReceipt,
}

impl ReceiptFile {
    pub(crate) fn new(
        chain: Digest,
        transaction: Option<SavedTransaction>,
        receipt: ProvenReceipt,
    ) -> ReceiptFile {
        ReceiptFile { version: VERSION, chain, transaction, receipt }
    }
}

/// Reads a member's file.
pub(crate) fn read_member(path: &Path) -> anyhow::Result<MemberFile> {
    read_json(
        path,
        "a member's file",
        "ask the member for the member.json that `quorate keygen member` wrote",
    )
}

/// Reads a saved transaction.
pub(crate) fn read_transaction(path: &Path) -> anyhow::Result<SavedTransaction> {
    read_json(path, "a saved transaction", "give the file that `quorate tx` named")
}

/// Reads a saved receipt. Says nothing about its proof.
pub(crate) fn read_receipt(path: &Path) -> anyhow::Result<ReceiptFile> {
    read_json(
        path,
        "a saved receipt",
        "give the file that `quorate tx --save` wrote, or save the receipt again",
    )
}

/// Writes a file as JSON for people to read.
pub(crate) fn write_json<T: Serialize>(path: &Path, value: &T) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(value).context("cannot be written as JSON")?;
    std::fs::write(path, format!("{text}\n")).with_context(|| {
        format!("cannot write {}; check that its directory exists and is writable", path.display())
    })
}

/// Reads a text of bounded length.
pub(crate) fn read_text(path: &Path, remedy: &str) -> anyhow::Result<String> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES + 1).read_to_string(&mut text));
    if let Err(error) = read {
        bail!("cannot read {}: {error}; {remedy}", path.display());
    }
    if text.len() as u64 > FILE_BYTES {
        bail!("{} is longer than {FILE_BYTES} bytes; {remedy}", path.display());
    }
    Ok(text)
}

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

/// Reads a file of JSON with a version. `what` it should be, and what to do if it is not.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path, what: &str, remedy: &str) -> anyhow::Result<T> {
    let text = read_text(path, remedy)?;
    let refuse = |error: serde_json::Error| {
        let why = if error.is_eof() { "it is half-written".to_owned() } else { error.to_string() };
        anyhow::anyhow!("{} is not {what}: {why}; {remedy}", path.display())
    };
    // The version first: the rest may mean something else in another one.
    let Versioned { version } = serde_json::from_str(&text).map_err(refuse)?;
    if version != VERSION {
        bail!(
            "{} has version {version}, this program reads {VERSION}; use the program that wrote it",
            path.display()
        );
    }
    serde_json::from_str(&text).map_err(refuse)
}
