//! Whole committees.

use super::latency::Latencies;
use super::prices::{Curve, Line, LogPrices, SchemePrices, TransportPrices};
use super::*;
use crate::app::Registers;
use bytes::Bytes;
use crypto::Scheme;

const US: f64 = 1000.0;

fn prices() -> Prices {
    let sorts = [
        Sort::CheckRequest,
        Sort::CheckFrame,
        Sort::TakeRequest,
        Sort::TakeMessage,
        Sort::TakeForward,
        Sort::TakeEvent,
        Sort::Flush,
    ];
    let line = Line { each: 2.0 * US, unit: 1.0 };
    let mut work: std::collections::BTreeMap<Sort, Line> = sorts.map(|sort| (sort, line)).into();
    work.insert(Sort::Execute, Line { each: 20.0 * US, unit: 5.0 * US });
    Prices {
        work,
        sign: 20.0 * US,
        verify_signature: 40.0 * US,
        client_verify: Curve::flat(25.0 * US),
        scheme: SchemePrices {
            seal: 200.0 * US,
            combine: Curve::flat(1500.0 * US),
            verify: Curve::flat(1200.0 * US),
            together: Curve::through(vec![(1.0, 1.0), (2.0, 0.65), (16.0, 0.3)]),
            aggregate: Curve::flat(2000.0 * US),
            verify_aggregate: Curve::flat(2000.0 * US),
        },
        log: LogPrices {
            append: Line { each: 20.0 * US, unit: 0.5 },
            sync: Line { each: 300.0 * US, unit: 0.0 },
        },
        transport: TransportPrices { write: Line { each: 5.0 * US, unit: 2.0 }, frame: 200.0 },
        hand_over: 5.0 * US,
        client: 100.0 * US,
    }
}

fn plan(protocol: ProtocolTag) -> Plan {
    Plan {
        protocol,
        scheme: Scheme::Threshold,
        replicas: 4,
        limits: Limits { block_bytes: 64 << 10, transaction_bytes: 4 << 10, ..Limits::default() },
        placement: Placement::Apart { cores: 2 },
        latencies: Latencies::lan(),
        bandwidth_mbit: Some(1000),
        in_flight: 32,
        first: Duration::from_millis(200),
        measured: Duration::from_millis(500),
    }
}

fn simulated(plan: &Plan) -> Outcome {
    simulated_at(plan, &prices())
}

fn simulated_at(plan: &Plan, prices: &Prices) -> Outcome {
    let body = |client: u8| {
        let mut body = vec![client];
        body.resize(512, 0x5a);
        Bytes::from(body)
    };
    let load = Load { config: String::new(), first: vec![body(9)], bodies: (0..8).map(body).collect() };
    run(plan, &Registers::default(), &load, prices, None).expect("nothing goes wrong")
}

#[test]
fn every_protocol_serves_and_a_run_is_a_function_of_its_plan() {
    for protocol in [ProtocolTag::PBFT, ProtocolTag::HOTSTUFF, ProtocolTag::RAFT] {
        let outcome = simulated(&plan(protocol));
        assert!(outcome.transactions > 500, "{protocol}: {outcome:?}");
        assert_eq!(outcome.refused, 0, "{protocol}");
        assert_eq!(outcome, simulated(&plan(protocol)), "{protocol}");
    }
}

#[test]
fn a_narrow_way_out_holds_the_leader_up() {
    let narrow = simulated(&Plan { bandwidth_mbit: Some(20), ..plan(ProtocolTag::PBFT) });
    assert!(narrow.of_leader.egress > 0.9, "{:?}", narrow.of_leader);
    assert!(narrow.per_second() < simulated(&plan(ProtocolTag::PBFT)).per_second());
}

#[test]
fn on_one_machine_clients_are_charged_and_others_slow_it_down() {
    let together = |share| {
        let placement = Placement::Together { cores: 2, share };
        simulated(&Plan {
            placement,
            latencies: Latencies::none(),
            bandwidth_mbit: None,
            ..plan(ProtocolTag::PBFT)
        })
    };
    let (whole, half) = (together(1.0), together(0.5));
    assert!(!whole.clients_used.is_zero());
    assert!(half.per_second() < 0.7 * whole.per_second(), "{} {}", half.per_second(), whole.per_second());
}

/// On a machine that is late certificates of checkpoints wait for the protocol's own, and on others they do not.
#[test]
fn certificates_come_together_where_the_machine_is_late() {
    let spent_a_height = |cores| {
        let placement = Placement::Together { cores, share: 1.0 };
        let (latencies, plan) = (Latencies::none(), plan(ProtocolTag::PBFT));
        let outcome = simulated(&Plan { placement, latencies, bandwidth_mbit: None, in_flight: 64, ..plan });
        outcome.signatures_used().as_secs_f64() / outcome.heights as f64
    };
    let (late, in_time) = (spent_a_height(2), spent_a_height(32));
    assert!(late < 0.9 * in_time, "{late} {in_time}");
}

#[test]
fn frames_handed_to_other_threads_are_paid_for() {
    let spent = |hand_over| {
        let outcome = simulated_at(&plan(ProtocolTag::RAFT), &Prices { hand_over, ..prices() });
        let each = |count: u64| count as f64 / outcome.transactions as f64;
        (outcome.cpu_us(), each(outcome.handed_over))
    };
    let ((free, frames), (paid, _)) = (spent(0.0), spent(20.0 * US));
    // Clients' transactions and nothing else, each where it comes in.
    assert!((0.9..1.1).contains(&frames), "{frames}");
    assert!((15.0..25.0).contains(&(paid - free)), "{free} {paid}");
}

#[test]
fn lists_of_signatures_weigh_more_than_one() {
    let bytes = |scheme| {
        // With few transactions most of what is sent is about blocks.
        let outcome = simulated(&Plan { scheme, replicas: 7, in_flight: 1, ..plan(ProtocolTag::HOTSTUFF) });
        outcome.bytes as f64 / outcome.heights as f64
    };
    assert!(bytes(Scheme::Ed25519) > bytes(Scheme::Threshold));
}
