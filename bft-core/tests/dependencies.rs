//! What must not be in the dependency tree, read from Cargo.lock. `deny.toml` says the same to cargo-deny, where that is
//! installed.
#![allow(clippy::disallowed_methods)] // Reads a file of the workspace.

use std::path::Path;

/// Crates with the version from which on they are allowed, if any, and the reason for the ban.
const BANNED: [(&str, Option<[u64; 3]>, &str); 6] = [
    ("aws-lc-rs", None, "rustls runs on ring here; a second provider makes its default ambiguous"),
    ("aws-lc-sys", None, "see aws-lc-rs"),
    ("openssl", None, "rustls is the TLS library"),
    ("openssl-sys", None, "rustls is the TLS library"),
    ("native-tls", None, "rustls is the TLS library"),
    (
        "quinn-proto",
        Some([0, 11, 15]),
        "RUSTSEC-2026-0037 and RUSTSEC-2026-0185: a peer can crash the endpoint",
    ),
];

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// One `[[package]]` of a lock file.
#[derive(Debug, Default, PartialEq, Eq)]
struct Package {
    name: String,
    version: String,
    /// None for the crates of this workspace.
    source: Option<String>,
}

fn packages(lock: &str) -> Vec<Package> {
    let mut packages: Vec<Package> = Vec::new();
    for line in lock.lines() {
        if line == "[[package]]" {
            packages.push(Package::default());
        }
        let Some(package) = packages.last_mut() else { continue };
        let Some((field, value)) = line.split_once(" = ") else { continue };
        let value = value.trim_matches('"').to_owned();
        match field {
            "name" => package.name = value,
            "version" => package.version = value,
            "source" => package.source = Some(value),
            _ => {}
        }
    }
    packages
}

fn version(text: &str) -> [u64; 3] {
    let release = text.split(['-', '+']).next().unwrap_or(text);
    let mut parts =
        release.split('.').map(|part| part.parse().unwrap_or_else(|_| panic!("no version: {text:?}")));
    std::array::from_fn(|_| parts.next().unwrap_or(0))
}

fn violations(packages: &[Package]) -> Vec<String> {
    let mut found = Vec::new();
    for Package { name, version: text, source } in packages {
        for (banned, good_from, why) in BANNED {
            if name == banned && good_from.is_none_or(|good| version(text) < good) {
                found.push(format!("{name} {text} is banned: {why}"));
            }
        }
        if source.as_ref().is_some_and(|source| source != REGISTRY) {
            found.push(format!("{name} {text} comes from {source:?}; only crates.io is allowed"));
        }
    }
    found
}

fn lock() -> Vec<Package> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock");
    packages(&std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

// threat 59, 60: crashes by malformed parameters and growth by out-of-order data were defects of older quinn-proto.
#[test]
fn nothing_banned_is_in_the_dependency_tree() {
    assert_eq!(
        violations(&lock()),
        Vec::<String>::new(),
        "run `cargo tree -i <crate>` to see what asks for it"
    );
}

#[test]
fn the_check_reads_the_lock_file() {
    let lock = lock();
    for expected in ["bft-core", "blst", "quinn-proto", "rustls"] {
        assert!(lock.iter().any(|package| package.name == expected), "{expected} is not found in Cargo.lock");
    }
}

#[test]
fn the_check_sees_what_is_banned() {
    let text = r#"
[[package]]
name = "quinn-proto"
version = "0.11.14"
source = "registry+https://github.com/rust-lang/crates.io-index"

[[package]]
name = "quinn-proto"
version = "0.11.15"
source = "registry+https://github.com/rust-lang/crates.io-index"

[[package]]
name = "openssl"
version = "1.0.0-rc.1"
source = "git+https://example.org/openssl"
"#;
    assert_eq!(
        violations(&packages(text)),
        [
            "quinn-proto 0.11.14 is banned: RUSTSEC-2026-0037 and RUSTSEC-2026-0185: a peer can crash the endpoint",
            "openssl 1.0.0-rc.1 is banned: rustls is the TLS library",
            "openssl 1.0.0-rc.1 comes from Some(\"git+https://example.org/openssl\"); only crates.io is allowed",
        ]
    );
}
