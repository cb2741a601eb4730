//! What a replica finds on its disk when it starts: the state store's content, and the log's items.
//!
//! Frames and pages have checksums; what is fuzzed here is what a program of another release, or a defect, could have left behind
//! them. Oracles: a host starts or says why not; if it starts, its state is one that the consortium certified, so that nothing
//! changed in the state goes unnoticed.

use crate::consortium::{AnyHost, SIMULATED, clock};
use crate::edit::{damage, edited};
use crate::input::Input;
use bft_core::block::{Block, Header};
use bft_core::codec;
use bft_core::host::HostConfig;
use bft_core::ledger::{CheckpointCertificate, LedgerEntry};
use bft_core::log::{LoadedState, LogKind};
use bft_core::receipt::Receipt;
use bft_core::types::ReplicaId;
use bytes::Bytes;
use crypto::ClientKey;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sim::app::Registers;
use std::collections::BTreeMap;
use std::fs;
use std::sync::LazyLock;
use std::time::Duration;
use storage::StateStore;
use tempfile::TempDir;

/// The store's summary and its receipts, as the host writes them.
type Meta = (LedgerEntry, Option<Header>, CheckpointCertificate);
type BlockReceipts = (LedgerEntry, Vec<((ClientKey, u64), Receipt)>);

/// A list of changes: one byte for the place, and what it needs.
pub fn host(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut recovered = SIMULATED.recovered.clone();
    let mut state = recovered.state.take().expect("the state was flushed");
    let honest = state.clone();
    for _ in 0..4 {
        if input.is_empty() {
            break;
        }
        match input.byte() % 8 {
            0 => state.meta = changed::<Meta>(&mut input, &state.meta),
            1 => state.height = state.height.wrapping_add(input.long()),
            2 => {
                let at = input.below(state.receipts.len().max(1));
                if let Some((_, receipts)) = state.receipts.get_mut(at) {
                    *receipts = changed::<BlockReceipts>(&mut input, receipts);
                }
            }
            3 => pairs(&mut input, &mut state),
            4 => {
                recovered.items.drain(..input.below(recovered.items.len() + 1));
                recovered.records.clear();
            }
            5 => recovered.records.clear(),
            6 => {
                let mut record = vec![1; input.below(40)];
                damage(&mut input, &mut record);
                // A record that reads as one is a promise; whether it is one this replica made, nobody can tell.
                if codec::decode::<engines::AnyRecord>(&record, 1 << 16).is_err() {
                    recovered.records.push(record.into());
                }
            }
            _ => {
                // Records speak of blocks that must be there: an engine stops if they are not, and should.
                recovered.records.clear();
                let at = input.below(recovered.items.len().max(1));
                if let Some(item) = recovered.items.get_mut(at) {
                    item.body = match item.kind {
                        LogKind::Block => changed::<Block>(&mut input, &item.body),
                        LogKind::Entry => changed::<LedgerEntry>(&mut input, &item.body),
                        LogKind::Certificate => changed::<CheckpointCertificate>(&mut input, &item.body),
                        LogKind::Record | LogKind::Mark => continue,
                    };
                }
            }
        }
    }
    let map = |state: &LoadedState| state.pairs.iter().cloned().collect::<BTreeMap<Bytes, Bytes>>();
    let changed = map(&state) != map(&honest);
    // Without the state, everything is executed again from the log.
    let is_there = input.byte() % 8 != 7;
    recovered.state = is_there.then_some(state);
    let config = HostConfig { me: ReplicaId(0), ..SIMULATED.config.clone() };
    let mut effects = Vec::new();
    let now = clock(Duration::from_secs(60));
    let started = AnyHost::recover(config, Registers::default(), recovered, now, &mut effects);
    assert!(started.is_err() || !is_there || !changed, "another state under the same root");
}

fn changed<T: Serialize + DeserializeOwned>(input: &mut Input<'_>, bytes: &[u8]) -> Bytes {
    let mut changed = match codec::decode::<T>(bytes, 1 << 20) {
        Ok(value) => edited(input, &value),
        Err(_) => bytes.to_vec(),
    };
    damage(input, &mut changed);
    changed.into()
}

fn pairs(input: &mut Input<'_>, state: &mut LoadedState) {
    let at = input.below(state.pairs.len().max(1));
    let pair = state.pairs.get(at).cloned().unwrap_or_default();
    match input.byte() % 4 {
        0 => state.pairs.clear(),
        1 => drop(state.pairs.drain(at..at + usize::from(at < state.pairs.len()))),
        2 => state.pairs.push((Bytes::copy_from_slice(input.take(5)), pair.1)),
        _ => {
            if let Some((key, value)) = state.pairs.get_mut(at) {
                let mut bytes = if input.byte().is_multiple_of(2) { key.to_vec() } else { value.to_vec() };
                damage(input, &mut bytes);
                *value = bytes.into();
                let _ = key;
            }
        }
    }
}

/// A state store as it is written.
struct Store {
    bytes: Vec<u8>,
    loaded: LoadedState,
}

static STORE: LazyLock<Store> = LazyLock::new(|| {
    let dir = TempDir::new().expect("there is room for a small store");
    let path = dir.path().join("state.redb");
    let loaded = SIMULATED.recovered.state.clone().expect("the state was flushed");
    let store = StateStore::open(&path).expect("a new store");
    let batch = bft_core::log::StateBatch {
        replace: false,
        height: loaded.height,
        log_sequence: 1,
        writes: loaded.pairs.iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect(),
        receipts: loaded.receipts.clone(),
        receipts_from: 0,
        meta: loaded.meta.clone(),
    };
    store.commit(&batch).expect("a small batch");
    drop(store);
    Store { bytes: fs::read(&path).expect("just written"), loaded }
});

thread_local! {
    static DIR: TempDir = TempDir::new().expect("there is room for a small store");
}

/// Changes of a state store's file: each a place, and four bytes to set there.
///
/// Oracle: the store opens and holds what it held, or less (redb goes back to the commit before), or it is refused.
pub fn state_store(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut content = STORE.bytes.clone();
    let used = content.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    for _ in 0..8 {
        if input.is_empty() {
            break;
        }
        // Most of the file is empty pages.
        let at = (input.short() | usize::from(input.byte()) << 16) % used;
        match input.byte() % 4 {
            0 => content.truncate(at.max(1)),
            _ => {
                let new = input.take(4);
                let end = (at + new.len()).min(content.len());
                let start = at.min(content.len());
                content[start..end.max(start)].copy_from_slice(&new[..end.max(start) - start]);
            }
        }
    }
    let path = DIR.with(|dir| dir.path().join("state.redb"));
    fs::write(&path, &content).expect("a small store");
    let Ok(store) = StateStore::open(&path) else { return };
    if let Ok(Some(loaded)) = store.load() {
        assert_eq!(loaded, STORE.loaded, "content that nobody wrote");
    }
}

/// Seeds of [`host`].
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![vec![], vec![4, 200], vec![5, 4, 9]];
    for place in 0..8 {
        for field in [0, 3, 9] {
            seeds.push(vec![place, 1, 1, field, 0, 1, 7, 0, 0, 0, 0, 0, 0, 0, 0]);
            seeds.push(vec![place, field, 1, field, 0, 1, 7, 0, 0, 0, 0, 0, 0, 0, 1, 3, 1]);
        }
    }
    seeds
}

/// Seeds of [`state_store`].
pub fn store_seeds() -> Vec<Vec<u8>> {
    vec![
        vec![],
        vec![9, 0, 0, 1, 0xff, 0, 0, 0],
        vec![70, 0, 0, 1, 1, 2, 3, 4],
        vec![0, 0x10, 0, 1, 1, 1, 1, 1],
        vec![0, 0x20, 1, 0],
        vec![5, 0x30, 0, 2, 9, 9, 9, 9, 1, 0x20, 0, 3, 0, 0, 0, 0],
    ]
}
