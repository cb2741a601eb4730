//! What the fuzz targets need of the files that people pass on, which are nobody else's business.

use super::files::{read_member, read_receipt, read_transaction, write_json};
use std::path::Path;

/// Reads a file as each kind there is and writes what it was to `again`; gives the kind and, of a receipt, what it proves.
pub fn read_any(
    path: &Path,
    genesis: &bft_core::genesis::Genesis,
    again: &Path,
) -> Option<(&'static str, Result<String, String>)> {
    let nothing = || Ok(String::new());
    if let Ok(member) = read_member(path) {
        write_json(again, &member).ok()?;
        return Some(("member", nothing()));
    }
    if let Ok(transaction) = read_transaction(path) {
        write_json(again, &transaction).ok()?;
        return Some(("transaction", nothing()));
    }
    let receipt = read_receipt(path).ok()?;
    write_json(again, &receipt).ok()?;
    Some(("receipt", super::verify::verify(genesis, &receipt).map_err(|error| error.to_string())))
}

/// The files that hold these.
pub fn samples(
    item: &bft_core::transaction::Item,
    receipt: &bft_core::receipt::ProvenReceipt,
    genesis: &bft_core::genesis::Genesis,
) -> [serde_json::Value; 3] {
    let replica = &genesis.replicas[0];
    let member = super::files::MemberFile::new(
        replica.organisation.clone(),
        replica.address.clone(),
        replica.identity,
        item.transaction.client,
    );
    let saved = super::SavedTransaction::new(genesis.chain(), &item.transaction);
    let file = super::ReceiptFile::new(genesis.chain(), Some(saved.clone()), receipt.clone());
    [serde_json::to_value(member), serde_json::to_value(saved), serde_json::to_value(file)]
        .map(|value| value.expect("plain data"))
}
