//! Where the processor time of a replica goes, by the names of its threads.

use crate::process::ReplicaProcess;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

/// Threads of a replica by the beginning of their names (ARCHITECTURE.md, "Threads of the product"), and what they do.
const STAGES: [(&str, &str); 5] = [
    ("crypto", WITH_CERTIFICATES),
    ("replica", WITH_HOST),
    ("quorate-log", "log"),
    ("quorate-sta", "state"),
    ("log-reader", "catch-up of others"),
];

/// Threads that the host shares with the transport: the stage until [`Stages::split`].
const WITH_HOST: &str = "network";

/// Threads that check whatever is signed: the stage of clients' signatures, once [`Stages::split`] has taken certificates out.
const WITH_CERTIFICATES: &str = "verify";

/// Processor time by what it was spent on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stages(pub BTreeMap<&'static str, Duration>);

impl Stages {
    /// Of one replica so far. Threads that have ended are not in it: those that sign and verify live as long as there is work.
    pub fn of(process: &ReplicaProcess) -> Stages {
        let mut stages = Stages::default();
        let Some(pid) = process.pid() else { return stages };
        let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return stages };
        for thread in threads.flatten() {
            let read = |name: &str| fs::read_to_string(thread.path().join(name)).unwrap_or_default();
            let name = read("comm");
            let stage = STAGES.iter().find(|(begin, _)| name.starts_with(begin));
            let stage = stage.map_or("start and rest", |(_, stage)| stage);
            *stages.0.entry(stage).or_default() += crate::process::spent(&read("stat")).unwrap_or_default();
        }
        stages
    }

    /// Takes out of the transport's stage what the replica says that its host has spent, `host` in all, `engine` and `execution` of
    /// that; and out of verification what it has spent on `certificates`, its own shares included.
    pub fn split(&mut self, spent: impl Fn(&str) -> Duration) {
        let certificates = spent("certificates");
        let verification = self.0.entry(WITH_CERTIFICATES).or_default();
        *verification = verification.saturating_sub(certificates);
        self.0.insert("certificates", certificates);
        let (host, engine, execution) = (spent("host"), spent("engine"), spent("execution"));
        let network = self.0.entry(WITH_HOST).or_default();
        *network = network.saturating_sub(host);
        self.0.insert("engine", engine);
        self.0.insert("execute", execution);
        self.0.insert("host", host.saturating_sub(engine + execution));
    }

    /// What was added since an earlier look.
    pub fn since(&self, earlier: &Stages) -> Stages {
        let before = |stage: &str| earlier.0.get(stage).copied().unwrap_or_default();
        Stages(self.0.iter().map(|(stage, time)| (*stage, time.saturating_sub(before(stage)))).collect())
    }

    /// Microseconds by stage for each of so many transactions.
    pub fn per(&self, transactions: f64) -> BTreeMap<&'static str, f64> {
        self.0.iter().map(|(stage, time)| (*stage, time.as_secs_f64() * 1e6 / transactions)).collect()
    }
}

impl std::iter::Sum for Stages {
    fn sum<I: Iterator<Item = Stages>>(all: I) -> Stages {
        let mut sum = Stages::default();
        for (stage, time) in all.flat_map(|stages| stages.0) {
            *sum.0.entry(stage).or_default() += time;
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stages(log: u64, crypto: u64) -> Stages {
        let ms = Duration::from_millis;
        Stages([("log", ms(log)), ("verify", ms(crypto))].into())
    }

    #[test]
    fn stages_add_up_over_replicas_and_count_from_an_earlier_look() {
        let sum: Stages = [stages(10, 30), stages(5, 20)].into_iter().sum();
        assert_eq!(sum, stages(15, 50));
        assert_eq!(sum.since(&stages(5, 20)), stages(10, 30));
        assert_eq!(sum.per(1000.0), [("log", 15.0), ("verify", 50.0)].into());
    }

    #[test]
    fn what_the_host_has_spent_is_not_the_network_s_nor_certificates_clients_signatures() {
        let ms = Duration::from_millis;
        let mut stages = Stages([("network", ms(100)), ("verify", ms(50)), ("log", ms(5))].into());
        let spent = [("host", ms(60)), ("engine", ms(10)), ("execution", ms(30)), ("certificates", ms(15))];
        stages.split(|part| spent.iter().find(|(name, _)| *name == part).unwrap().1);
        let expected = [
            ("network", ms(40)),
            ("host", ms(20)),
            ("engine", ms(10)),
            ("execute", ms(30)),
            ("verify", ms(35)),
            ("certificates", ms(15)),
            ("log", ms(5)),
        ];
        assert_eq!(stages, Stages(expected.into()));
    }
}
