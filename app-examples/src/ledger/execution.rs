//! Doing it: each operation reads what it needs, asks the rules, and only then writes.

use super::asset::AssetCode;
use super::operation::{Operation, Outcome};
use super::refusal::Refused;
use super::rules;
use super::store::{self, Activity, Freeze};
use bft_core::machine::Context;
use bft_core::state::State;
use crypto::ClientKey;

/// Executes one operation. A refused one has written nothing.
pub(super) fn execute(
    context: &Context,
    operation: &Operation,
    state: &mut State,
) -> Result<Outcome, Refused> {
    rules::well_formed(operation)?;
    match operation {
        Operation::Issue { asset, to, amount } => issue(context, *asset, to, *amount, state),
        Operation::Transfer { asset, to, amount, memo: _ } => transfer(context, *asset, to, *amount, state),
        Operation::Redeem { asset, amount } => redeem(context, *asset, *amount, state),
        Operation::Freeze { account, reason } => freeze(context, account, reason, state),
        Operation::Unfreeze { account, reason: _ } => unfreeze(context, account, state),
    }
}

fn issue(
    context: &Context,
    asset: AssetCode,
    to: &ClientKey,
    amount: u64,
    state: &mut State,
) -> Result<Outcome, Refused> {
    rules::may_issue(context, asset, &store::asset(state, asset)?)?;
    rules::may_receive(to, store::freeze(state, to)?)?;
    let (supply, outstanding) = rules::after_issue(asset, store::supply(state, asset)?, amount)?;
    let balance = rules::credit(asset, store::balance(state, to, asset)?, amount)?;
    let activity = next_activity(context, state)?;

    store::put_supply(state, asset, &supply);
    store::put_balance(state, to, asset, balance);
    store::put_activity(state, &context.client, &activity);
    Ok(Outcome::Issued { balance, outstanding })
}

/// Writes three keys: two balances and the sender's activity.
fn transfer(
    context: &Context,
    asset: AssetCode,
    to: &ClientKey,
    amount: u64,
    state: &mut State,
) -> Result<Outcome, Refused> {
    let from = &context.client;
    store::known_asset(state, asset)?;
    rules::two_accounts(from, to)?;
    rules::may_give(from, store::freeze(state, from)?)?;
    rules::may_receive(to, store::freeze(state, to)?)?;
    let balance = rules::debit(asset, store::balance(state, from, asset)?, amount)?;
    let theirs = rules::credit(asset, store::balance(state, to, asset)?, amount)?;
    let activity = next_activity(context, state)?;

    store::put_balance(state, from, asset, balance);
    store::put_balance(state, to, asset, theirs);
    store::put_activity(state, from, &activity);
    Ok(Outcome::Transferred { balance })
}

fn redeem(context: &Context, asset: AssetCode, amount: u64, state: &mut State) -> Result<Outcome, Refused> {
    let owner = &context.client;
    store::known_asset(state, asset)?;
    rules::may_give(owner, store::freeze(state, owner)?)?;
    let balance = rules::debit(asset, store::balance(state, owner, asset)?, amount)?;
    let (supply, outstanding) = rules::after_redeem(asset, store::supply(state, asset)?, amount)?;
    let activity = next_activity(context, state)?;

    store::put_balance(state, owner, asset, balance);
    store::put_supply(state, asset, &supply);
    store::put_activity(state, owner, &activity);
    Ok(Outcome::Redeemed { balance, outstanding })
}

fn freeze(
    context: &Context,
    account: &ClientKey,
    reason: &str,
    state: &mut State,
) -> Result<Outcome, Refused> {
    rules::may_freeze(context, &store::terms(state)?)?;
    rules::not_frozen_yet(account, store::freeze(state, account)?)?;
    let activity = next_activity(context, state)?;

    let Context { height, time, ref organisation, .. } = *context;
    let freeze = Freeze { organisation: organisation.clone(), reason: reason.to_owned(), height, time };
    store::put_freeze(state, account, Some(&freeze));
    store::put_activity(state, &context.client, &activity);
    Ok(Outcome::Frozen)
}

fn unfreeze(context: &Context, account: &ClientKey, state: &mut State) -> Result<Outcome, Refused> {
    rules::may_freeze(context, &store::terms(state)?)?;
    rules::frozen(account, store::freeze(state, account)?)?;
    let activity = next_activity(context, state)?;

    store::put_freeze(state, account, None);
    store::put_activity(state, &context.client, &activity);
    Ok(Outcome::Unfrozen)
}

/// The signer's activity with this operation in it.
fn next_activity(context: &Context, state: &mut State) -> Result<Activity, Refused> {
    let Activity { operations, .. } = store::activity(state, &context.client)?;
    // Saturates for form's sake: 2^64 operations take longer than any ledger lives.
    Ok(Activity { operations: operations.saturating_add(1), height: context.height, time: context.time })
}
