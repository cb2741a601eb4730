//! The operations of a replica under criterion: `cargo bench -p bench --bench operations -- FILTER`.
//!
//! Times are for one unit of an operation, by the operation's own stopwatch: CPU of one thread, but for the log.

use bench::operations::{self, Operation, Stopwatch};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion};
use std::time::Duration;

/// The product's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    // Few and short samples: there are many operations, and the stopwatch stands still while other programs have the processor.
    let mut criterion = Criterion::default()
        .without_plots()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    for operations in operations::all().chunk_by(|a, b| a.group == b.group) {
        let mut group = criterion.benchmark_group(operations[0].group.to_string());
        for operation in operations {
            bench(&mut group, operation);
        }
        group.finish();
    }
    criterion.final_summary();
}

fn bench(group: &mut BenchmarkGroup<'_, WallTime>, operation: &Operation) {
    // What the filter leaves out is not prepared.
    let mut prepared = None;
    group.bench_function(&operation.name, |bencher| {
        let prepared = prepared.get_or_insert_with(|| operation.prepare());
        bencher.iter_custom(|times| {
            let mut stopwatch = Stopwatch::new(operation.clock);
            (0..times).for_each(|_| prepared.perform(&mut stopwatch));
            stopwatch.elapsed().div_f64(prepared.units() as f64)
        });
    });
}
