//! Why the ledger refuses: numbers for programs, sentences for people.

use super::asset::AssetCode;
use bft_core::machine::Refusal;
use bft_core::types::Height;
use crypto::ClientKey;

/// The number of a refusal in a receipt. Numbers are never given out twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Code {
    /// The bytes are no operation, or no query.
    Malformed = 100,
    /// The amount is zero.
    ZeroAmount = 101,
    /// The memo or the reason is too long.
    TextTooLong = 102,
    /// No such asset in the genesis.
    UnknownAsset = 103,
    /// The signer may not issue this asset.
    NotIssuer = 104,
    /// More would be outstanding than a balance can hold.
    SupplyOverflow = 105,
    /// Sender and receiver are the same account.
    SelfTransfer = 106,
    /// The account holds less than the amount.
    InsufficientBalance = 107,
    /// The account that gives is frozen.
    SenderFrozen = 108,
    /// The account that gets is frozen.
    ReceiverFrozen = 109,
    /// The signer may not freeze.
    NotAuthority = 110,
    /// Frozen already.
    AlreadyFrozen = 111,
    /// Not frozen, so there is nothing to lift.
    NotFrozen = 112,
    /// A record of the ledger's own cannot be read, or contradicts another. No run of this release gets here.
    Damaged = 113,
}

impl Code {
    /// Every code, ascending.
    pub const ALL: [Code; 14] = [
        Code::Malformed,
        Code::ZeroAmount,
        Code::TextTooLong,
        Code::UnknownAsset,
        Code::NotIssuer,
        Code::SupplyOverflow,
        Code::SelfTransfer,
        Code::InsufficientBalance,
        Code::SenderFrozen,
        Code::ReceiverFrozen,
        Code::NotAuthority,
        Code::AlreadyFrozen,
        Code::NotFrozen,
        Code::Damaged,
    ];

    /// The code with this number, if it is one of the ledger's.
    pub fn of(number: u32) -> Option<Code> {
        Code::ALL.into_iter().find(|code| code.number() == number)
    }

    /// The number in a receipt.
    pub fn number(self) -> u32 {
        self as u32
    }

    /// A few words for people.
    pub fn name(self) -> &'static str {
        match self {
            Code::Malformed => "malformed",
            Code::ZeroAmount => "zero amount",
            Code::TextTooLong => "text too long",
            Code::UnknownAsset => "unknown asset",
            Code::NotIssuer => "not the issuer",
            Code::SupplyOverflow => "supply overflow",
            Code::SelfTransfer => "transfer to oneself",
            Code::InsufficientBalance => "insufficient balance",
            Code::SenderFrozen => "sender frozen",
            Code::ReceiverFrozen => "receiver frozen",
            Code::NotAuthority => "not a freeze authority",
            Code::AlreadyFrozen => "already frozen",
            Code::NotFrozen => "not frozen",
            Code::Damaged => "damaged ledger",
        }
    }
}

/// The name of a code in a receipt or an answer, if it is one of the ledger's.
pub fn code_name(number: u32) -> Option<&'static str> {
    Code::of(number).map(Code::name)
}

/// Why an operation or a query is refused.
///
/// The sentence ends in the receipt, under the receipts root: a changed word is a changed consensus rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // The sentences say what the fields are.
pub enum Refused {
    #[error(
        "the bytes are not {expected} of the ledger: they must be its one encoding, of at most {limit} bytes, made by this release"
    )]
    Malformed { expected: &'static str, limit: usize },
    #[error("the amount is 0; it must be at least 1")]
    ZeroAmount,
    #[error("the {field} has {length} bytes; at most {limit} are possible")]
    TextTooLong { field: &'static str, length: usize, limit: usize },
    #[error("{asset} is not an asset of this ledger; the genesis lists the assets there are")]
    UnknownAsset { asset: AssetCode },
    #[error("{asset} is issued by \"{issuer}\" only; this client is enrolled for \"{organisation}\"")]
    NotIssuer { asset: AssetCode, issuer: String, organisation: String },
    #[error(
        "this client of \"{issuer}\" may not issue {asset}: its key is not among those that the genesis names for it ({keys} in all)"
    )]
    NotIssuerKey { asset: AssetCode, issuer: String, keys: usize },
    #[error("{outstanding} {asset} are outstanding; {amount} more would exceed {limit}, the most there can be", limit = u64::MAX)]
    SupplyOverflow { asset: AssetCode, outstanding: u64, amount: u64 },
    #[error("sender and receiver are both {account}; a transfer needs two accounts")]
    SelfTransfer { account: ClientKey },
    #[error("the account holds {balance} {asset}, {missing} less than {amount}", missing = amount.saturating_sub(*balance))]
    InsufficientBalance { asset: AssetCode, balance: u64, amount: u64 },
    #[error(
        "the account {account} was frozen by \"{organisation}\" at height {height} and cannot give; a freeze authority can lift that"
    )]
    SenderFrozen { account: ClientKey, organisation: String, height: Height },
    #[error(
        "the account {account} was frozen by \"{organisation}\" at height {height} and cannot receive; a freeze authority can lift that"
    )]
    ReceiverFrozen { account: ClientKey, organisation: String, height: Height },
    #[error(
        "\"{organisation}\", which this client is enrolled for, is no freeze authority of this ledger ({authorities} in all)"
    )]
    NotAuthority { organisation: String, authorities: usize },
    #[error(
        "this client of \"{organisation}\" may not freeze: its key is not among those that the genesis names for it ({keys} in all)"
    )]
    NotAuthorityKey { organisation: String, keys: usize },
    #[error("the account {account} was frozen by \"{organisation}\" at height {height} already")]
    AlreadyFrozen { account: ClientKey, organisation: String, height: Height },
    #[error("the account {account} is not frozen")]
    NotFrozen { account: ClientKey },
    #[error("the ledger's record of {record} cannot be read: another version of the application wrote it")]
    Unreadable { record: &'static str },
    #[error(
        "the balances and the supply of {asset} contradict each other: another version of the application wrote them"
    )]
    Contradiction { asset: AssetCode },
}

impl Refused {
    /// Its number.
    pub fn code(&self) -> Code {
        match self {
            Refused::Malformed { .. } => Code::Malformed,
            Refused::ZeroAmount => Code::ZeroAmount,
            Refused::TextTooLong { .. } => Code::TextTooLong,
            Refused::UnknownAsset { .. } => Code::UnknownAsset,
            Refused::NotIssuer { .. } | Refused::NotIssuerKey { .. } => Code::NotIssuer,
            Refused::SupplyOverflow { .. } => Code::SupplyOverflow,
            Refused::SelfTransfer { .. } => Code::SelfTransfer,
            Refused::InsufficientBalance { .. } => Code::InsufficientBalance,
            Refused::SenderFrozen { .. } => Code::SenderFrozen,
            Refused::ReceiverFrozen { .. } => Code::ReceiverFrozen,
            Refused::NotAuthority { .. } | Refused::NotAuthorityKey { .. } => Code::NotAuthority,
            Refused::AlreadyFrozen { .. } => Code::AlreadyFrozen,
            Refused::NotFrozen { .. } => Code::NotFrozen,
            Refused::Unreadable { .. } | Refused::Contradiction { .. } => Code::Damaged,
        }
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Refusal {
        Refusal::new(refused.code().number(), refused.to_string())
    }
}
