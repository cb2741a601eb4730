//! What the ledger allows: every rule, as a pure function of the records it is about.
//!
//! A rule says whether, never does. Execution asks in a fixed order (form, asset, right, freeze, numbers), because the
//! first refusal is the one in the receipt.

use super::asset::AssetCode;
use super::operation::{MEMO_BYTES, Operation, REASON_BYTES};
use super::refusal::Refused;
use super::store::{Asset, Freeze, Supply, Terms};
use bft_core::machine::Context;
use crypto::ClientKey;

/// Whether an operation makes sense at all, whatever the state.
///
/// # Errors
/// [`Refused::ZeroAmount`], [`Refused::TextTooLong`].
pub fn well_formed(operation: &Operation) -> Result<(), Refused> {
    match operation {
        Operation::Issue { amount, .. } | Operation::Redeem { amount, .. } => some(*amount),
        Operation::Transfer { amount, memo, .. } => some(*amount).and(fits("memo", memo.len(), MEMO_BYTES)),
        Operation::Freeze { reason, .. } | Operation::Unfreeze { reason, .. } => {
            fits("reason", reason.len(), REASON_BYTES)
        }
    }
}

fn some(amount: u64) -> Result<(), Refused> {
    if amount > 0 { Ok(()) } else { Err(Refused::ZeroAmount) }
}

fn fits(field: &'static str, length: usize, limit: usize) -> Result<(), Refused> {
    if length <= limit { Ok(()) } else { Err(Refused::TextTooLong { field, length, limit }) }
}

/// Whether the signer may issue: it is enrolled for the issuer, and if the genesis names keys, it is one of them.
///
/// # Errors
/// [`Refused::NotIssuer`], [`Refused::NotIssuerKey`].
pub fn may_issue(signer: &Context, code: AssetCode, asset: &Asset) -> Result<(), Refused> {
    let issuer = asset.issuer.clone();
    if signer.organisation != issuer {
        return Err(Refused::NotIssuer { asset: code, issuer, organisation: signer.organisation.clone() });
    }
    if !named(&asset.issuer_keys, &signer.client) {
        return Err(Refused::NotIssuerKey { asset: code, issuer, keys: asset.issuer_keys.len() });
    }
    Ok(())
}

/// Whether the signer may freeze and unfreeze: it is enrolled for an authority, and if the genesis names keys, it is
/// one of them. That its own account is frozen takes nothing from this right.
///
/// # Errors
/// [`Refused::NotAuthority`], [`Refused::NotAuthorityKey`].
pub fn may_freeze(signer: &Context, terms: &Terms) -> Result<(), Refused> {
    let organisation = signer.organisation.clone();
    if !terms.freeze_authority.contains(&organisation) {
        return Err(Refused::NotAuthority { organisation, authorities: terms.freeze_authority.len() });
    }
    if !named(&terms.freeze_keys, &signer.client) {
        return Err(Refused::NotAuthorityKey { organisation, keys: terms.freeze_keys.len() });
    }
    Ok(())
}

/// No keys named: every key of the organisation. The configuration cannot name an empty list by mistake.
fn named(keys: &[ClientKey], client: &ClientKey) -> bool {
    keys.is_empty() || keys.contains(client)
}

/// Whether a transfer has two ends. One to oneself would move nothing and still look like a payment.
///
/// # Errors
/// [`Refused::SelfTransfer`].
pub fn two_accounts(from: &ClientKey, to: &ClientKey) -> Result<(), Refused> {
    if from == to { Err(Refused::SelfTransfer { account: *from }) } else { Ok(()) }
}

/// Whether an account may give.
///
/// # Errors
/// [`Refused::SenderFrozen`].
pub fn may_give(account: &ClientKey, freeze: Option<Freeze>) -> Result<(), Refused> {
    match freeze {
        None => Ok(()),
        Some(Freeze { organisation, height, .. }) => {
            Err(Refused::SenderFrozen { account: *account, organisation, height })
        }
    }
}

/// Whether an account may receive.
///
/// # Errors
/// [`Refused::ReceiverFrozen`].
pub fn may_receive(account: &ClientKey, freeze: Option<Freeze>) -> Result<(), Refused> {
    match freeze {
        None => Ok(()),
        Some(Freeze { organisation, height, .. }) => {
            Err(Refused::ReceiverFrozen { account: *account, organisation, height })
        }
    }
}

/// Whether a freeze would change something.
///
/// # Errors
/// [`Refused::AlreadyFrozen`].
pub fn not_frozen_yet(account: &ClientKey, freeze: Option<Freeze>) -> Result<(), Refused> {
    match freeze {
        None => Ok(()),
        Some(Freeze { organisation, height, .. }) => {
            Err(Refused::AlreadyFrozen { account: *account, organisation, height })
        }
    }
}

/// Whether there is a freeze to lift.
///
/// # Errors
/// [`Refused::NotFrozen`].
pub fn frozen(account: &ClientKey, freeze: Option<Freeze>) -> Result<(), Refused> {
    if freeze.is_some() { Ok(()) } else { Err(Refused::NotFrozen { account: *account }) }
}

/// The balance after `amount` is taken from it.
///
/// # Errors
/// [`Refused::InsufficientBalance`].
pub fn debit(asset: AssetCode, balance: u64, amount: u64) -> Result<u64, Refused> {
    balance.checked_sub(amount).ok_or(Refused::InsufficientBalance { asset, balance, amount })
}

/// The balance after `amount` is added to it. It cannot overflow while no balance exceeds the outstanding supply.
///
/// # Errors
/// [`Refused::Contradiction`].
pub fn credit(asset: AssetCode, balance: u64, amount: u64) -> Result<u64, Refused> {
    balance.checked_add(amount).ok_or(Refused::Contradiction { asset })
}

/// The supply after `amount` is issued, and what is outstanding then.
///
/// # Errors
/// [`Refused::SupplyOverflow`]; [`Refused::Contradiction`] if the supply broke its invariant before.
pub fn after_issue(asset: AssetCode, supply: Supply, amount: u64) -> Result<(Supply, u64), Refused> {
    let outstanding = supply.outstanding().ok_or(Refused::Contradiction { asset })?;
    let overflow = Refused::SupplyOverflow { asset, outstanding, amount };
    let issued = supply.issued.checked_add(amount.into()).ok_or(overflow.clone())?;
    let supply = Supply { issued, ..supply };
    Ok((supply, supply.outstanding().ok_or(overflow)?))
}

/// The supply after `amount` is redeemed, and what is outstanding then.
///
/// # Errors
/// [`Refused::Contradiction`] if less is outstanding than somebody holds.
pub fn after_redeem(asset: AssetCode, supply: Supply, amount: u64) -> Result<(Supply, u64), Refused> {
    let contradiction = Refused::Contradiction { asset };
    let redeemed = supply.redeemed.checked_add(amount.into()).ok_or(contradiction.clone())?;
    let supply = Supply { redeemed, ..supply };
    Ok((supply, supply.outstanding().ok_or(contradiction)?))
}
