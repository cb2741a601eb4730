//! Named figures of a running replica.

use super::driver::Driver;
use bft_core::host::accounting::Direction;
use bft_core::machine::StateMachine;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Everything countable, in order of name.
pub(super) fn gather<A: StateMachine>(driver: &Driver<A>) -> Vec<(String, u64)> {
    let mut all: Vec<(String, u64)> = Vec::new();
    let mut put = |name: &str, value: u64| all.push((name.to_owned(), value));
    let totals = driver.host.totals();
    put("executed_blocks", totals.blocks);
    put("executed_transactions", totals.transactions);
    put("executed_payload_bytes", totals.payload_bytes);
    put("cpu_nanos/host", nanos(driver.spent));
    put("cpu_nanos/engine", nanos(totals.spent.engine));
    put("cpu_nanos/execution", nanos(totals.spent.execution));
    let (edge, crypto) = (driver.edge.counts(), driver.pool.counts());
    let certificates = edge.certificate_nanos.load(Relaxed) + crypto.nanos.load(Relaxed);
    put("cpu_nanos/certificates", certificates);
    put("evidence", driver.host.evidence().count() as u64);
    let log = driver.log_writer.counters();
    put("log_appended_bytes", log.appended_bytes.load(Relaxed));
    put("log_body_bytes", log.payload_bytes.load(Relaxed));
    put("log_fsyncs", log.fsyncs.load(Relaxed));
    put("log_fsync_nanos", log.fsync_nanos.load(Relaxed));
    put("log_segments", log.segments.load(Relaxed));
    put("verified_client_signatures", edge.client_signatures.load(Relaxed));
    put("verified_signatures", edge.signatures.load(Relaxed));
    put("verified_certificates", edge.certificates.load(Relaxed));
    put("verified_aggregates", edge.aggregates.load(Relaxed));
    put("rejected_frames", edge.rejected.load(Relaxed));
    put("seals", crypto.sealed.load(Relaxed));
    put("combinations", crypto.combined.load(Relaxed));
    put("aggregations", crypto.aggregated.load(Relaxed));
    put("bad_shares", crypto.culprits.load(Relaxed));
    let work = *crypto.work.lock();
    put("signatures_made", work.signed);
    put("authenticators_verified", work.verified);
    put("pairings", work.pairings);
    let net = driver.network.stats();
    put("clients", net.clients as u64);
    put("client_received_bytes", net.client_received_bytes);
    put("client_sent_bytes", net.client_sent_bytes);
    let peers = driver.network.peers();
    put("udp_sent_bytes", peers.iter().map(|peer| peer.udp_sent.bytes).sum());
    put("udp_sent_datagrams", peers.iter().map(|peer| peer.udp_sent.datagrams).sum());
    let dropped =
        peers.iter().flat_map(|peer| peer.classes.iter().map(|c| c.dropped_frames).collect::<Vec<_>>()).sum();
    put("dropped_frames", dropped);
    for (sort, traffic) in driver.host.accounting().totals() {
        let direction = match sort.direction {
            Direction::Sent => "sent",
            Direction::Received => "received",
        };
        put(&format!("{direction}_messages/{}", sort.kind), traffic.messages);
        put(&format!("{direction}_bytes/{}", sort.kind), traffic.bytes);
        put(&format!("{direction}_authenticators/{}", sort.kind), traffic.authenticators);
    }
    all.sort();
    all
}
