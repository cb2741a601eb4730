//! What of a genesis is chosen on the command line: the protocol, its commit rule, and the limits.

use anyhow::{Context, bail};
use bft_core::genesis::{Chain, Limits, VoteRouting};
use crypto::ProtocolTag;

/// Views of a tenure, unless chosen otherwise: a leader that is away costs a timeout each time its turn comes, so that turns had
/// better be long.
const TENURE_VIEWS: u64 = 64;

/// The protocol, and limits that differ from what they would be.
#[derive(Clone, Debug, clap::Args)]
pub struct Choice {
    /// How transactions are ordered: pbft, hotstuff (chained), or raft (replicas crash and do not lie).
    #[arg(long, value_name = "NAME", default_value = "pbft", value_parser = engines::named)]
    pub protocol: ProtocolTag,
    /// For hotstuff, how many certified blocks in a row commit the first: two (sooner), or three (as published; the default).
    #[arg(long, value_name = "RULE")]
    pub(crate) chain: Option<Chain>,
    /// For pbft, whom replicas send their votes to: all-to-all (as published; the default), or collector (the leader, which tells all).
    #[arg(long, value_name = "RULE")]
    pub(crate) vote_routing: Option<VoteRouting>,
    /// Clients do not sign their transactions: replicas believe whoever reaches them.
    #[arg(long)]
    pub(crate) unsigned: bool,
    /// A consensus limit that differs from the default; may be repeated.
    #[arg(long = "limit", value_name = "KEY=VALUE")]
    pub(crate) limits: Vec<String>,
}

impl Choice {
    /// The same for another protocol, whose rule is chosen elsewhere.
    pub fn of(&self, protocol: ProtocolTag) -> Choice {
        Choice { protocol, chain: None, vote_routing: None, ..self.clone() }
    }

    /// The limits, where they are `base` unless chosen, but for the protocol's own.
    ///
    /// # Errors
    /// If there is no such limit or its value is none; if a chain rule is given to a protocol that has none.
    pub fn limits(&self, base: Limits) -> anyhow::Result<Limits> {
        let unsigned = self.unsigned;
        let mut limits = with(Limits { tenure_views: TENURE_VIEWS, unsigned, ..base }, &self.limits)?;
        match self.chain {
            Some(_) if self.protocol != ProtocolTag::HOTSTUFF => bail!(
                "--chain is the commit rule of hotstuff, and {} has another one; leave it out, or use --protocol hotstuff",
                self.protocol
            ),
            Some(chain) => limits.chain = chain,
            None => {}
        }
        match self.vote_routing {
            Some(_) if self.protocol != ProtocolTag::PBFT => bail!(
                "--vote-routing is a choice of pbft, and votes of {} go where it says; leave it out, or use --protocol pbft",
                self.protocol
            ),
            Some(routing) => limits.vote_routing = routing,
            None => {}
        }
        Ok(limits)
    }
}

/// The protocol in words, with the rule that the limits choose.
pub fn in_words(protocol: ProtocolTag, limits: &Limits) -> String {
    if protocol == ProtocolTag::HOTSTUFF {
        format!("{protocol} ({} chain, tenures of {} views)", limits.chain, limits.tenure_views)
    } else if limits.vote_routing == VoteRouting::Collector && protocol == ProtocolTag::PBFT {
        format!("{protocol} (votes collected by the leader)")
    } else {
        protocol.to_string()
    }
}

/// A limit that is a number, or may be one.
fn is_number(value: &serde_json::Value) -> bool {
    value.is_u64() || value.is_null()
}

fn with(base: Limits, given: &[String]) -> anyhow::Result<Limits> {
    let mut limits = serde_json::to_value(base)?;
    let fields = limits.as_object_mut().context("limits are named values")?;
    let known: Vec<String> =
        fields.iter().filter(|(_, value)| is_number(value)).map(|(key, _)| key.clone()).collect();
    for text in given {
        let (key, value) = text
            .split_once('=')
            .with_context(|| format!("--limit {text}: write it like --limit window=64"))?;
        let Some(field) = fields.get_mut(key).filter(|field| is_number(field)) else {
            bail!("--limit {text}: there is no limit {key:?}; there are {}", known.join(", "));
        };
        let value: u64 = value.parse().with_context(|| {
            format!("--limit {text}: {value:?} is not a number, write it like --limit {key}={field}")
        })?;
        *field = value.into();
    }
    serde_json::from_value(limits).context("--limit: a value is too large")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_given_by_name() {
        let given = ["window=64".to_owned(), "view_timeout_ms=500".to_owned()];
        let base = Limits { batch_ms: 3, ..Limits::default() };
        assert_eq!(with(base, &given).unwrap(), Limits { window: 64, view_timeout_ms: 500, ..base });
        assert_eq!(with(base, &[]).unwrap(), base);
        let lease = with(base, &["lease_drift_ppm=200".to_owned()]).unwrap();
        assert_eq!(lease.lease_drift_ppm, Some(200));
    }

    #[test]
    fn a_limit_that_is_none_is_refused_with_the_names_there_are() {
        let refusal = |text: &str| format!("{:#}", with(Limits::default(), &[text.to_owned()]).unwrap_err());
        assert!(refusal("windows=1").contains("there are batch_ms, block_bytes"), "{}", refusal("windows=1"));
        assert!(refusal("window").contains("--limit window=64"));
        assert!(refusal("window=many").contains("not a number"));
        assert!(refusal("block_bytes=9999999999").contains("too large"));
        // It has an option of its own.
        assert!(refusal("chain=2").contains("no limit \"chain\""), "{}", refusal("chain=2"));
    }

    #[test]
    fn the_chain_rule_is_hotstuffs() {
        let choice = |protocol, chain| Choice {
            protocol,
            chain,
            vote_routing: None,
            unsigned: false,
            limits: Vec::new(),
        };
        let rule = |choice: Choice| choice.limits(Limits::default()).map(|limits| limits.chain);
        assert_eq!(rule(choice(ProtocolTag::HOTSTUFF, Some(Chain::Two))).unwrap(), Chain::Two);
        assert_eq!(rule(choice(ProtocolTag::HOTSTUFF, None)).unwrap(), Chain::Three);
        assert_eq!(rule(choice(ProtocolTag::PBFT, None)).unwrap(), Chain::Three);
        let chosen = Choice { limits: vec!["tenure_views=9".into()], ..choice(ProtocolTag::HOTSTUFF, None) };
        assert_eq!(chosen.limits(Limits::default()).unwrap().tenure_views, 9);
        let refusal = rule(choice(ProtocolTag::PBFT, Some(Chain::Two))).unwrap_err().to_string();
        assert!(refusal.contains("use --protocol hotstuff"), "{refusal}");
    }

    #[test]
    fn the_routing_of_votes_is_pbfts() {
        let choice = |protocol| Choice {
            protocol,
            chain: None,
            vote_routing: Some(VoteRouting::Collector),
            unsigned: false,
            limits: Vec::new(),
        };
        let chosen = choice(ProtocolTag::PBFT).limits(Limits::default()).unwrap();
        assert_eq!(chosen.vote_routing, VoteRouting::Collector);
        let refusal = choice(ProtocolTag::RAFT).limits(Limits::default()).unwrap_err().to_string();
        assert!(refusal.contains("use --protocol pbft"), "{refusal}");
    }

    #[test]
    fn a_protocol_is_described_with_what_was_chosen_for_it() {
        let limits = Limits { tenure_views: 9, chain: Chain::Two, ..Limits::default() };
        assert_eq!(in_words(ProtocolTag::HOTSTUFF, &limits), "hotstuff (two chain, tenures of 9 views)");
        assert_eq!(in_words(ProtocolTag::PBFT, &limits), "pbft");
        let collected = Limits { vote_routing: VoteRouting::Collector, ..limits };
        assert_eq!(in_words(ProtocolTag::PBFT, &collected), "pbft (votes collected by the leader)");
    }
}
