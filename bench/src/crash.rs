//! What the crash of a replica that stays away costs: a silence if it led, and afterwards the turns that it does not take.

use crate::consortium::Consortium;
use crate::generator::{Loaded, pause};
use crate::load::{LoadArguments, SOON, Victim};
use crate::process::ReplicaProcess;
use crate::recorder::Recorder;
use crate::timeline::{self, Sample};
use anyhow::{Context, ensure};
use bft_core::genesis::Limits;
use crypto::ProtocolTag;
use serde::Serialize;
use std::time::{Duration, Instant};

/// Between two looks at what was acknowledged.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// How long it is watched afterwards.
const AFTER: Duration = Duration::from_secs(15);

/// How long clients have to find another replica before the rate without one counts.
const FINDING: Duration = Duration::from_secs(5);

/// A network that loses its leader, or another replica, for good.
#[derive(Clone, Debug, Serialize)]
pub struct Crash {
    /// The base timeout of a view, in milliseconds.
    pub view_timeout_ms: u64,
    /// Who was killed.
    pub victim: String,
    /// At which second of the timeline.
    pub killed_at: f64,
    /// Seconds from then until nine tenths of the rate before were back for a second; none if they were not.
    pub recovered_after: Option<f64>,
    /// Throughput before, meanwhile and afterwards.
    pub timeline: Vec<Sample>,
    /// The longest time without any acknowledgement that began within a timeout of the crash, in milliseconds.
    pub silence_ms: f64,
    /// Acknowledged transactions a second before it.
    pub healthy: f64,
    /// The same afterwards.
    pub without_one: f64,
    /// Milliseconds that a view took before it, where views take turns.
    pub view_ms: Option<f64>,
    /// What the share of the rate that is left should be, where views take turns.
    pub predicted: Option<f64>,
}

impl Crash {
    /// In words and figures.
    pub fn print(&self) {
        let Crash { view_timeout_ms, silence_ms, healthy, without_one, .. } = self;
        println!(
            "{} killed under full load, and not started again; view timeout {view_timeout_ms} ms",
            self.victim
        );
        println!("  {:<46} {silence_ms:>10.0}  ≤ {}", "longest silence, ms", 2 * view_timeout_ms);
        match self.recovered_after {
            Some(seconds) => {
                println!("  {:<46} {seconds:>10.2}", "nine tenths of the rate are back after, s")
            }
            None => println!("  {:<46} {:>10}", "nine tenths of the rate are back after, s", "never"),
        }
        println!("  {:<46} {healthy:>10.0}", "transactions per second before");
        println!("  {:<46} {without_one:>10.0}", "transactions per second without it");
        println!("  {:<46} {:>10.2}  ≥ 0.7", "that is, of the rate before", without_one / healthy);
        if let (Some(view), Some(predicted)) = (self.view_ms, self.predicted) {
            println!("  {:<46} {predicted:>10.2}", "expected, by the arithmetic");
            println!("  {:<46} {view:>10.2}", "a view before, ms");
        }
    }
}

/// The share of the rate that is left while one of `n` leaders is silent: of each n tenures of `tenure` it leaves one out, which
/// takes a timeout.
fn share(n: usize, tenure: Duration, timeout: Duration) -> f64 {
    let led = tenure.as_secs_f64() * (n as f64 - 1.0);
    led / (led + timeout.as_secs_f64())
}

/// Measures it.
///
/// # Errors
/// If the network stops serving.
pub async fn measure(
    arguments: &LoadArguments,
    consortium: &Consortium,
    processes: &mut [ReplicaProcess],
) -> anyhow::Result<Crash> {
    let Limits { tenure_views, view_timeout_ms, .. } = consortium.genesis.limits;
    let timeout = consortium.genesis.limits.view_timeout();
    let loaded = Loaded::start(arguments, consortium, processes, None, 2000).await?;
    let Loaded { watch, recorder, .. } = &loaded;
    let kill_at = Duration::from_secs(arguments.kill_at);
    let first = watch.status(processes[0].replica()).await?;
    let begun = Instant::now();
    let before = timeline::record(recorder, processes, kill_at).await;
    let last = watch.status(processes[0].replica()).await?;
    let views = last.view - first.view;
    let takes_turns = consortium.genesis.protocol == ProtocolTag::HOTSTUFF;
    let view = takes_turns.then(|| begun.elapsed().div_f64(views.max(1) as f64));

    let is_victim = |process: &ReplicaProcess| match arguments.victim {
        Victim::Leader => process.replica() == last.leader,
        Victim::Replica => process.replica() != last.leader,
    };
    let killed = processes.iter().rposition(is_victim).context("there is such a replica")?;
    let victim = match arguments.victim {
        Victim::Leader => format!("the leader {}", processes[killed].replica()),
        Victim::Replica => format!("{}, which does not lead,", processes[killed].replica()),
    };
    let killed_at = begun.elapsed().as_secs_f64();
    processes[killed].kill()?;
    let curve = timeline::record(recorder, processes, AFTER);
    let (silence, after) = tokio::join!(longest_silence(recorder, timeout), curve);
    let silence = silence?;
    let healthy = timeline::rate_before(&before, f64::INFINITY);
    let settled: Vec<Sample> =
        after.iter().filter(|sample| sample.seconds >= FINDING.as_secs_f64()).copied().collect();
    let without_one = timeline::rate_before(&settled, f64::INFINITY);
    let mut curve = before;
    curve.extend(after.into_iter().map(|sample| Sample { seconds: sample.seconds + killed_at, ..sample }));
    loaded.stop().await?;
    let tenure = |view: Duration| view.mul_f64(tenure_views as f64);
    Ok(Crash {
        victim,
        killed_at,
        recovered_after: timeline::recovery(&curve, killed_at),
        timeline: curve,
        view_timeout_ms,
        silence_ms: silence.as_secs_f64() * 1e3,
        healthy,
        without_one,
        view_ms: view.map(|view| view.as_secs_f64() * 1e3),
        predicted: view.map(|view| share(processes.len(), tenure(view), timeout)),
    })
}

/// The longest time without an acknowledgement of those that begin within `timeout` from now.
async fn longest_silence(recorder: &Recorder, timeout: Duration) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let (mut longest, mut since, mut seen) = (Duration::ZERO, begun, recorder.acknowledged());
    loop {
        pause(LOOK_EVERY).await;
        let (now, acknowledged) = (Instant::now(), recorder.acknowledged());
        ensure!(now - since < SOON, "nobody is served any more");
        if acknowledged > seen {
            longest = longest.max(now - since);
            (since, seen) = (now, acknowledged);
            if now - begun > timeout {
                return Ok(longest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_leader_costs_a_timeout_for_each_turn_of_the_others() {
        let ms = Duration::from_millis;
        assert!((share(4, ms(100), ms(300)) - 0.5).abs() < 1e-9);
        assert!((share(4, ms(640), ms(250)) - 1920.0 / 2170.0).abs() < 1e-9);
        assert!((share(7, ms(100), ms(200)) - 0.75).abs() < 1e-9);
    }
}
