//! Measures the operations of a replica and prints a table, or JSON for programs:
//! `cargo run --release -p bench --example operations -- --budget-ms 200 [--json] [FILTER]`.

use bench::operations::{self, Measured, Operation};
use clap::Parser;
use std::time::Duration;

/// The product's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
struct Arguments {
    /// Wall time for each operation, preparation not included.
    #[arg(long, default_value_t = 200)]
    budget_ms: u64,
    /// One JSON object per line.
    #[arg(long)]
    json: bool,
    /// Only those whose group and name, with a slash in between, contain this.
    #[arg(default_value = "")]
    filter: String,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let is_wanted =
        |operation: &Operation| format!("{}/{}", operation.group, operation.name).contains(&arguments.filter);
    for operation in operations::all().into_iter().filter(is_wanted) {
        let measured = operations::measure(&operation, Duration::from_millis(arguments.budget_ms));
        if arguments.json {
            println!("{}", serde_json::to_string(&measured)?);
        } else {
            print(&measured);
        }
    }
    Ok(())
}

fn print(measured: &Measured) {
    let Measured { group, name, unit, batches, .. } = measured;
    let times = [measured.per_unit, measured.fastest, measured.lower_quartile, measured.upper_quartile];
    let [median, fastest, lower, upper] = times.map(|time| format!("{time:.2?}"));
    println!(
        "{:<40} {median:>10} per {unit:<11} fastest {fastest:>10}, quartiles {lower:>10} {upper:>10} of {batches} batches",
        format!("{group}/{name}"),
    );
}
