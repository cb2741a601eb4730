//! Who may transact: clients, organisations, operators, and each client's session. All of it is replicated state.

use super::pool::Organisation;
use super::session::Session;
use crate::genesis;
use crate::state::{Space, State};
use bytes::Bytes;
use crypto::ClientKey;
use std::collections::{BTreeMap, BTreeSet};

const CLIENT: u8 = b'c';
const SESSION: u8 = b's';

/// The reserved part of the state, also in decoded form.
#[derive(Debug)]
pub struct Directory {
    organisations: Vec<(String, ClientKey)>,
    clients: BTreeMap<ClientKey, Organisation>,
    sessions: BTreeMap<ClientKey, Session>,
    touched: BTreeSet<ClientKey>,
}

fn key(tag: u8, client: &ClientKey) -> [u8; 33] {
    let mut key = [tag; 33];
    key[1..].copy_from_slice(&client.0);
    key
}

fn client_of(key: &[u8]) -> Option<ClientKey> {
    Some(ClientKey(key.get(1..)?.try_into().ok()?))
}

impl Directory {
    /// Writes the genesis's clients into an empty state.
    pub fn genesis(organisations: &[genesis::Organisation], state: &mut State) -> Directory {
        let mut directory = Directory::empty(organisations);
        for (index, organisation) in organisations.iter().enumerate() {
            let index = Organisation::try_from(index).expect("organisations are bounded by the genesis");
            for client in std::iter::once(&organisation.operator).chain(&organisation.clients) {
                directory.enroll(*client, index, state);
            }
        }
        directory
    }

    /// Reads the reserved part of a state from disk.
    ///
    /// # Errors
    /// If it was not written by this program.
    pub fn load(organisations: &[genesis::Organisation], state: &State) -> Result<Directory, String> {
        let mut directory = Directory::empty(organisations);
        for (key, value) in state.scan_in(Space::System, &[CLIENT]) {
            let client = client_of(key).ok_or("a client's key in the state is malformed")?;
            let index: [u8; 2] =
                value.as_ref().try_into().map_err(|_| "a client's organisation is malformed")?;
            directory.clients.insert(client, Organisation::from_be_bytes(index));
        }
        for (key, value) in state.scan_in(Space::System, &[SESSION]) {
            let client = client_of(key).ok_or("a session's key in the state is malformed")?;
            let session = crate::codec::decode(value, 1 << 16)
                .map_err(|error| format!("a session in the state: {error}"))?;
            directory.sessions.insert(client, session);
        }
        Ok(directory)
    }

    fn empty(organisations: &[genesis::Organisation]) -> Directory {
        Directory {
            organisations: organisations.iter().map(|o| (o.name.clone(), o.operator)).collect(),
            clients: BTreeMap::new(),
            sessions: BTreeMap::new(),
            touched: BTreeSet::new(),
        }
    }

    /// The organisation a client is enrolled for.
    pub fn organisation(&self, client: &ClientKey) -> Option<Organisation> {
        self.clients.get(client).copied()
    }

    /// An organisation's name.
    pub fn name(&self, organisation: Organisation) -> &str {
        self.organisations.get(usize::from(organisation)).map_or("", |(name, _)| name)
    }

    /// The organisation whose operator `client` is.
    pub fn operated_by(&self, client: &ClientKey) -> Option<Organisation> {
        let index = self.organisations.iter().position(|(_, operator)| operator == client)?;
        Organisation::try_from(index).ok()
    }

    /// Enrols a client.
    pub fn enroll(&mut self, client: ClientKey, organisation: Organisation, state: &mut State) {
        self.clients.insert(client, organisation);
        state.put_in(
            Space::System,
            &key(CLIENT, &client),
            Bytes::copy_from_slice(&organisation.to_be_bytes()),
        );
    }

    /// A client's session; a fresh one if it has none yet.
    pub fn session(&self, client: &ClientKey) -> &Session {
        static NONE_YET: Session = Session::new();
        self.sessions.get(client).unwrap_or(&NONE_YET)
    }

    /// A client's session, to be changed.
    pub fn session_mut(&mut self, client: &ClientKey) -> &mut Session {
        self.touched.insert(*client);
        self.sessions.entry(*client).or_default()
    }

    /// Writes the sessions that changed into the state: once per block.
    pub fn write_sessions(&mut self, state: &mut State) {
        for client in std::mem::take(&mut self.touched) {
            let session = self.sessions.get(&client).map(Session::encode).unwrap_or_default();
            state.put_in(Space::System, &key(SESSION, &client), session.into());
        }
    }
}
