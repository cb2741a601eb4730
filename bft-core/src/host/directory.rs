//! Who may transact: clients, organisations, operators, and each client's session. All of it is replicated state.

use super::pool::Organisation;
use super::session::{Session, Verdict};
use crate::genesis;
use crate::state::{Space, State};
use crate::unordered::Unordered;
use bytes::Bytes;
use crypto::ClientKey;

const CLIENT: u8 = b'c';
const SESSION: u8 = b's';

/// The reserved part of the state, also in decoded form.
#[derive(Debug)]
pub struct Directory {
    organisations: Vec<(String, ClientKey)>,
    clients: Unordered<ClientKey, Client>,
    /// Whose sessions have changed since they were written.
    touched: Vec<ClientKey>,
}

/// Who may transact.
#[derive(Debug)]
struct Client {
    organisation: Organisation,
    /// As new until the client's first transaction.
    session: Session,
    touched: bool,
}

fn key_of(tag: u8, client: &ClientKey) -> [u8; 33] {
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
            directory.enter(client, Organisation::from_be_bytes(index));
        }
        for (key, value) in state.scan_in(Space::System, &[SESSION]) {
            let client = client_of(key).ok_or("a session's key in the state is malformed")?;
            let client = directory.clients.get_mut(&client).ok_or("a session in the state is nobody's")?;
            client.session = crate::codec::decode(value, 1 << 16)
                .map_err(|error| format!("a session in the state: {error}"))?;
        }
        Ok(directory)
    }

    fn empty(organisations: &[genesis::Organisation]) -> Directory {
        Directory {
            organisations: organisations.iter().map(|o| (o.name.clone(), o.operator)).collect(),
            clients: Unordered::default(),
            touched: Vec::new(),
        }
    }

    /// The organisation a client is enrolled for.
    pub fn organisation(&self, client: &ClientKey) -> Option<Organisation> {
        self.clients.get(client).map(|client| client.organisation)
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
        self.enter(client, organisation);
        state.put_in(
            Space::System,
            &key_of(CLIENT, &client),
            Bytes::copy_from_slice(&organisation.to_be_bytes()),
        );
    }

    fn enter(&mut self, client: ClientKey, organisation: Organisation) {
        match self.clients.get_mut(&client) {
            Some(known) => known.organisation = organisation,
            None => {
                let new = Client { organisation, session: Session::new(), touched: false };
                self.clients.insert(client, new);
            }
        }
    }

    /// A client's session; a fresh one if it has none yet.
    pub fn session(&self, client: &ClientKey) -> &Session {
        static NONE_YET: Session = Session::new();
        self.clients.get(client).map_or(&NONE_YET, |client| &client.session)
    }

    /// Marks a client's sequence as executed, if it may execute now, and says whether; and whose client it is. None for one that is not enrolled.
    pub fn mark(&mut self, key: &ClientKey, sequence: u64, window: u32) -> Option<(Verdict, Organisation)> {
        let client = self.clients.get_mut(key)?;
        let verdict = client.session.verdict(sequence, window);
        if verdict == Verdict::Fresh {
            client.session.mark(sequence, window);
            if !std::mem::replace(&mut client.touched, true) {
                self.touched.push(*key);
            }
        }
        Some((verdict, client.organisation))
    }

    /// Writes the sessions that changed into the state: once per block.
    pub fn write_sessions(&mut self, state: &mut State) {
        for key in std::mem::take(&mut self.touched) {
            let Some(client) = self.clients.get_mut(&key) else { continue };
            client.touched = false;
            state.put_in(Space::System, &key_of(SESSION, &key), client.session.encode().into());
        }
    }
}
