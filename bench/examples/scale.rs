//! Throughput and latency by simulation, from 4 to 128 replicas:
//! `cargo run --release -p bench --example scale -- --executable target/release/quorate [OPTIONS]`.

use bench::scale::{self, ScaleArguments};
use clap::Parser;
use std::path::PathBuf;

/// The product's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
struct Arguments {
    /// The program `quorate`, for real replicas.
    #[arg(long, default_value = "target/release/quorate")]
    executable: PathBuf,
    #[command(flatten)]
    scale: ScaleArguments,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    scale::run(&arguments.scale, &arguments.executable)
}
