//! Measurements on loopback, run by hand:
//! `CARGO_PROFILE_DEV_OPT_LEVEL=3 cargo test -p net measure -- --ignored --nocapture --test-threads 1`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use crypto::ReplicaId;

use super::harness::*;
use crate::{Class, ConnectionId, Frame, Handler, Network};

/// Counts, and sends votes back when `echo` is set.
#[derive(Default)]
struct Counter {
    frames: AtomicU64,
    echo: parking_lot::Mutex<Option<Arc<Network>>>,
}

impl Handler for Counter {
    fn frame(&self, from: ReplicaId, class: Class, frame: Frame) {
        self.frames.fetch_add(1, Ordering::Relaxed);
        if let Some(network) = &*self.echo.lock() {
            network.send(from, class, frame.bytes().clone());
        }
    }
    fn connected(&self, _: ReplicaId) {}
    fn disconnected(&self, _: ReplicaId) {}
    fn client_frame(&self, _: ConnectionId, _: Frame) {}
    fn client_closed(&self, _: ConnectionId) {}
}

/// User and system time of this process, from the kernel's ticks of 10 ms.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

#[test]
#[ignore = "a measurement"]
fn measure_throughput_and_round_trip() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let counters: Vec<Arc<Counter>> = (0..2).map(|_| Arc::default()).collect();
    let networks: Vec<Arc<Network>> = {
        let bound = bind_all(2, |config| {
            config.transport.socket_buffer_bytes = 4 << 20;
            config.limits.classes.iter_mut().for_each(|class| class.queue_frames = 1 << 20);
        });
        let start = |(bound, counter): (crate::Bound, &Arc<Counter>)| {
            Arc::new(bound.start(counter.clone(), runtime.handle()).unwrap())
        };
        bound.into_iter().zip(&counters).map(start).collect()
    };
    let connected = || networks[0].peer(ReplicaId(1)).unwrap().connected;
    while !connected() {
        std::thread::sleep(Duration::from_millis(1));
    }

    for (size, count, class) in [(200, 2_000_000, Class::Pool), (64 << 10, 30_000, Class::Proposal)] {
        let frame = Bytes::from(vec![1; size]);
        let before = counters[1].frames.load(Ordering::Relaxed);
        let (clock, cpu) = (Instant::now(), cpu_time());
        let queued = || networks[0].peer(ReplicaId(1)).unwrap().classes[class.index()].queued_bytes;
        for i in 0..count {
            if i % 64 == 0 {
                while queued() > 4 << 20 {
                    std::thread::sleep(Duration::from_micros(200));
                }
            }
            networks[0].send(ReplicaId(1), class, frame.clone());
        }
        while counters[1].frames.load(Ordering::Relaxed) - before < count {
            std::thread::sleep(Duration::from_micros(200));
        }
        let (elapsed, used) = (clock.elapsed(), cpu_time() - cpu);
        println!(
            "{size} bytes: {:.0} frames/s, {:.1} MB/s, {:.2} µs CPU per frame (both ends)",
            count as f64 / elapsed.as_secs_f64(),
            (count as usize * size) as f64 / elapsed.as_secs_f64() / 1e6,
            used.as_secs_f64() * 1e6 / count as f64,
        );
    }

    *counters[1].echo.lock() = Some(networks[1].clone());
    let vote = Bytes::from(vec![1; 200]);
    let mut trips = Vec::new();
    for _ in 0..10_000 {
        let before = counters[0].frames.load(Ordering::Relaxed);
        let begun = Instant::now();
        networks[0].send(ReplicaId(1), Class::Vote, vote.clone());
        while counters[0].frames.load(Ordering::Relaxed) == before {
            std::thread::yield_now();
        }
        trips.push(begun.elapsed());
    }
    trips.sort();
    println!("round trip of a 200-byte vote: p50 {:?}, p99 {:?}", trips[5000], trips[9900]);
    *counters[1].echo.lock() = None;
}
