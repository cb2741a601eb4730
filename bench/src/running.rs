//! Load on a network that runs already: what its clients see.

use crate::consortium::replica_id;
use crate::generator::{Loaded, Served, Workload, connect};
use crate::load::{LoadArguments, Phase};
use crate::ramp::{self, Ramp, Step};
use anyhow::{Context, ensure};
use bft_core::genesis::Genesis;
use client::ClientConfig;
use crypto::{ClientSecret, KeyFile, keystore};
use serde::Serialize;
use std::fs;

/// What was measured.
#[derive(Debug, Serialize)]
struct Seen {
    network: String,
    protocol: String,
    saturation: Step,
    ramp: Option<Ramp>,
}

/// Measures it and prints the figures.
///
/// # Errors
/// If the genesis or a key cannot be read, or the network does not serve.
pub fn measure(arguments: &LoadArguments) -> anyhow::Result<()> {
    let path = arguments.genesis.as_ref().context("a genesis was given")?;
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let genesis: Genesis =
        serde_json::from_str(&text).with_context(|| format!("{} is no genesis", path.display()))?;
    genesis.validate().with_context(|| format!("{} cannot be used", path.display()))?;
    let read = |path: &std::path::PathBuf| match keystore::read(path)? {
        KeyFile::Client(secret) => Ok(secret),
        _ => anyhow::bail!(
            "{} is no client's key; make one with `quorate keygen --kind client`",
            path.display()
        ),
    };
    let secrets: Vec<ClientSecret> = arguments.key.iter().map(read).collect::<anyhow::Result<_>>()?;
    let known = |phase: &Phase| matches!(phase, Phase::Saturation | Phase::Ramp);
    ensure!(
        arguments.only.iter().all(known),
        "of a network that runs already only the phases saturation and ramp can be measured: the others start and kill replicas"
    );
    let wanted = |phase| arguments.only.is_empty() || arguments.only.contains(&phase);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let arguments =
        LoadArguments { connections: arguments.connections.min(secrets.len()), ..arguments.clone() };
    let seen = runtime.block_on(async {
        let mut config = ClientConfig::new(genesis.clone(), secrets[0].clone());
        config.first_replica = Some(replica_id(0));
        let watch = connect(config).await?;
        let asset = crate::consortium::ASSET.parse().expect("the code is valid");
        let start = async |rate| {
            let workload = Workload::new(&arguments, asset);
            let served = Served { genesis: &genesis, secrets: &secrets, workload, watch: watch.clone() };
            Loaded::connect(&arguments, served, rate, 100).await
        };
        let (saturation, ended) = ramp::watch(start(None).await?, &arguments).await;
        ended?;
        let ramp = match wanted(Phase::Ramp) {
            true => {
                let rated = async |rate| start(Some(rate)).await;
                Some(ramp::measure(&arguments, saturation.acknowledged, rated).await?)
            }
            false => None,
        };
        let (network, protocol) = (genesis.network.clone(), genesis.protocol.to_string());
        anyhow::Ok(Seen { network, protocol, saturation, ramp })
    })?;
    let Step { acknowledged, latency, .. } = &seen.saturation;
    println!(
        "{} ({}), as many requests as {} {} with {} in flight can",
        seen.network,
        seen.protocol,
        secrets.len(),
        if secrets.len() == 1 { "key" } else { "keys" },
        arguments.in_flight
    );
    println!("  {acknowledged:.0} a second, p50 {:.1} ms, p99 {:.1} ms", latency.p50_ms, latency.p99_ms);
    if let Some(ramp) = &seen.ramp {
        ramp.print();
    }
    if let Some(path) = &arguments.json {
        let text = format!("{}\n", serde_json::to_string_pretty(&seen)?);
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
