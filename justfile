# Shortcuts; CONTRIBUTING.md has the same commands without `just`.

# List the recipes.
default:
    @just --list

# Everything that must hold before a commit. Changes no file.
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    cargo test --workspace
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps
    @if cargo deny --version >/dev/null 2>&1; then cargo deny check bans licenses sources; else echo "cargo-deny is not installed: the bans were checked by bft-core/tests/dependencies.rs"; fi

# Format, and apply what clippy can mend by itself.
fix:
    cargo fmt --all
    cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged

# Replay one simulated run and print every event.
sim SEED:
    cargo run --release -p sim -- --protocol pbft --seeds {{SEED}} --trace

# Simulate the seeds A up to and not including B.
swarm A B PROTOCOL="pbft":
    cargo run --release -p sim -- --protocol {{PROTOCOL}} --seeds {{A}}..{{B}}

# A night's work: seeds that nobody has run yet from A on, severe storms, real signatures, twins.
night A:
    cargo run --release -p sim -- --protocol pbft --seeds {{A}}..$(({{A}} + 100000))
    cargo run --release -p sim -- --protocol pbft --severe --seeds {{A}}..$(({{A}} + 20000))
    cargo run --release -p sim -- --protocol hotstuff --seeds {{A}}..$(({{A}} + 100000))
    cargo run --release -p sim -- --protocol hotstuff --severe --seeds {{A}}..$(({{A}} + 20000))
    cargo run --release -p sim -- --protocol raft --seeds {{A}}..$(({{A}} + 100000))
    cargo run --release -p sim -- --protocol raft --severe --seeds {{A}}..$(({{A}} + 20000))
    cargo run --release -p sim -- --protocol pbft --scheme threshold --seeds {{A}}..$(({{A}} + 1000))
    cargo run --release -p sim -- --protocol pbft --scheme ed25519 --seeds {{A}}..$(({{A}} + 2000))
    cargo run --release -p sim -- twins --rounds 3
    cargo run --release -p sim -- --protocol hotstuff twins --rounds 2
    cargo run --release -p sim -- twins --rounds 4 --replicas 7 --sample {{A}}..$(({{A}} + 500))
    cargo run --release -p sim -- twins --rounds 4 --replicas 10 --sample {{A}}..$(({{A}} + 500))

# Break rules on purpose, one at a time, and run seeds until one fails: names between commas, `all`, `ordinary` or `list`.
mutants NAMES="ordinary" PROTOCOL="pbft":
    cargo run --release -p sim --features mutants -- --protocol {{PROTOCOL}} --mutant {{NAMES}}

# Real processes under faults drawn from seeds: so many seeds, from that one on. As root, disks fill up too.
chaos COUNT="10" SEED="0":
    cargo build --release -p quorate
    cargo run --release -p tests --bin chaos -- --count {{COUNT}} --seed {{SEED}}

# The same from that seed on, until so many processes were killed with SIGKILL.
chaos-kills KILLS="200" SEED="0":
    cargo build --release -p quorate
    cargo run --release -p tests --bin chaos -- --kills {{KILLS}} --seed {{SEED}}

# One seed of that again, telling what happens.
chaos-one SEED REPLICAS="4" SECONDS="60" PROTOCOL="pbft":
    cargo build --release -p quorate
    cargo run --release -p tests --bin chaos -- --seed {{SEED}} --replicas {{REPLICAS}} --seconds {{SECONDS}} --protocol {{PROTOCOL}} --verbose

# Raft beside etcd (Debian's etcd-server has to be installed), three of each on this machine, under the same clients.
etcd *ARGUMENTS:
    cargo build --release -p quorate
    cargo run --release --manifest-path bench/etcd/Cargo.toml -- {{ARGUMENTS}}

# Fuzz one target with cargo-fuzz (`cargo install cargo-fuzz`; `cargo fuzz list` names the targets). What it finds to be of
# interest is kept in target/fuzz; a failure is written to fuzz/artifacts.
fuzz TARGET SECONDS="300":
    @mkdir -p target/fuzz/{{TARGET}}
    cargo fuzz run --sanitizer none {{TARGET}} target/fuzz/{{TARGET}} fuzz/corpus/{{TARGET}} -- -max_total_time={{SECONDS}} -max_len=4096 -len_control=0 -timeout=20 -rss_limit_mb=1024 -malloc_limit_mb=256

# Each target for a moment.
fuzz-smoke SECONDS="3":
    cargo fuzz build --sanitizer none
    for target in $(cargo fuzz list); do just fuzz $target {{SECONDS}} || exit 1; done

# Four replicas on this machine and one proven transaction.
demo:
    cargo run --release -- demo

# Load on four local replicas, with the figures of README.md.
bench:
    cargo run --release -- bench load --quick

# What each operation of a replica costs: signatures, frames, the log, steps of the engines. `just bench-operations engine` for some.
bench-operations *ARGS:
    cargo bench -p bench --bench operations -- {{ARGS}}

# Message complexity, protocol against protocol: writes docs/complexity.md and what it links to. Takes a quarter of an hour.
complexity:
    cargo run --release -- bench complexity --markdown docs/complexity.md --json docs/complexity/counts.json

# Write the Test column of docs/threats.md anew from the names of the tests.
threats:
    UPDATE_THREATS=1 cargo test -p bft-core --test threat_table

# What clients sign, and lists of replicas' signatures, under each of the curve's implementations: members of one committee may run different ones.
curves:
    for backend in serial simd avx512; do RUSTFLAGS="--cfg curve25519_dalek_backend=\"$backend\"" cargo test -p crypto --target-dir "target/curves/$backend" || exit 1; done
