//! Keeps `docs/threats.md` true: every test it names exists, every test of a threat is named, and no row is missing.
//!
//! A test belongs to threat 21 if its name begins with `threat_21_` (several: `threat_21_22_` or `threat_21_and_22_`, then
//! words), or if a comment `// threat 21` (several: `// threat 21, 22`) stands above it. To write the column anew:
//!
//! ```text
//! UPDATE_THREATS=1 cargo test -p bft-core --test threat_table
//! ```
#![allow(clippy::disallowed_methods)] // Reads the files of the workspace.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// The numbers of the rows, in order. Numbers that are left out were never given.
const ROWS: [RangeInclusive<u32>; 6] = [1..=16, 18..=47, 49..=60, 64..=89, 91..=98, 100..=103];

/// Rows whose part is in this release: each has a test.
const COVERED: [RangeInclusive<u32>; 11] =
    [1..=16, 18..=36, 39..=44, 50..=57, 59..=60, 64..=69, 71..=78, 88..=89, 92..=93, 95..=95, 97..=98];

/// What stands in the column of a row that has neither test nor note.
const NOTHING: &str = "none yet";

fn rows() -> impl Iterator<Item = u32> {
    ROWS.into_iter().flatten()
}

fn is_covered(row: u32) -> bool {
    COVERED.iter().any(|range| range.contains(&row))
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn table_path() -> PathBuf {
    workspace().join("docs/threats.md")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every function of the workspace's Rust files except this one, by `file::name`, with the threats that it says it is about.
fn functions() -> BTreeMap<String, BTreeSet<u32>> {
    let root = workspace();
    let mut functions = BTreeMap::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        let entries =
            std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for entry in entries {
            let path = entry.expect("a folder of the workspace can be listed").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && !name.starts_with('.') && name != "target" {
                folders.push(path);
            } else if name.ends_with(".rs") && name != "threat_table.rs" {
                let file =
                    path.strip_prefix(&root).expect("it was found below the root").display().to_string();
                for (function, threats) in functions_in(&read(&path)) {
                    functions
                        .entry(format!("{file}::{function}"))
                        .or_insert_with(BTreeSet::new)
                        .extend(threats);
                }
            }
        }
    }
    functions
}

fn functions_in(text: &str) -> Vec<(String, BTreeSet<u32>)> {
    let mut functions = Vec::new();
    // From the comments and attributes directly above a function.
    let mut above = BTreeSet::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim_start) {
        if let Some(name) = function_name(line) {
            let mut threats = threats_of_name(name);
            if is_test {
                threats.append(&mut above);
            }
            functions.push((name.to_owned(), threats));
        } else if line.starts_with("//") {
            above.extend(threats_of_comment(line));
            continue;
        } else if line.starts_with("#[") {
            is_test |= line.contains("test");
            continue;
        }
        above.clear();
        is_test = false;
    }
    functions
}

fn function_name(line: &str) -> Option<&str> {
    let mut rest = line;
    for prefix in ["pub ", "pub(crate) ", "pub(super) ", "const ", "async "] {
        rest = rest.strip_prefix(prefix).unwrap_or(rest);
    }
    let rest = rest.strip_prefix("fn ")?;
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
    Some(&rest[..end])
}

/// `threat_21_22_words`, `threat_21_and_22_words`.
fn threats_of_name(name: &str) -> BTreeSet<u32> {
    let Some(rest) = name.strip_prefix("threat_") else { return BTreeSet::new() };
    let words = rest.split('_').filter(|word| *word != "and");
    words.map_while(|word| word.parse().ok()).collect()
}

/// `// threat 21, 22: and why`.
fn threats_of_comment(line: &str) -> BTreeSet<u32> {
    let text = line.trim_start_matches('/').trim_start();
    let Some(rest) = text.strip_prefix("threats ").or_else(|| text.strip_prefix("threat ")) else {
        return BTreeSet::new();
    };
    let numbers =
        rest.split(|c: char| !c.is_ascii_digit() && c != ',' && c != ' ').next().unwrap_or_default();
    numbers.split([',', ' ']).filter_map(|number| number.parse().ok()).collect()
}

/// A row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    number: u32,
    /// Everything up to the last column, as it stands there.
    head: String,
    tests: Vec<String>,
    /// What the last column says beside its tests.
    note: String,
}

fn parse_row(line: &str) -> Option<Row> {
    let cells = line.strip_prefix('|')?.strip_suffix('|')?;
    let (head, last) = cells.rsplit_once('|')?;
    let number = head.split('|').next()?.trim().parse().ok()?;
    let mut tests = Vec::new();
    let mut note = String::new();
    for (index, part) in last.split('`').enumerate() {
        if index % 2 == 1 && part.contains(".rs::") {
            tests.push(part.to_owned());
        } else {
            note.push_str(part);
        }
    }
    let note = note.replace("<br>", " ").split_whitespace().collect::<Vec<_>>().join(" ");
    Some(Row { number, head: head.to_owned(), tests, note })
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tests = self.tests.iter().map(|test| format!("`{test}`"));
        let note = (!self.note.is_empty()).then(|| self.note.clone());
        let cell: Vec<String> = tests.chain(note).collect();
        write!(f, "|{}| {} |", self.head, cell.join("<br>"))
    }
}

fn table() -> Vec<Row> {
    read(&table_path()).lines().filter_map(parse_row).collect()
}

/// The tests of each threat, as the sources say.
fn tests_by_threat(functions: &BTreeMap<String, BTreeSet<u32>>) -> BTreeMap<u32, BTreeSet<String>> {
    let mut tests: BTreeMap<u32, BTreeSet<String>> = BTreeMap::new();
    for (function, threats) in functions {
        for threat in threats {
            tests.entry(*threat).or_default().insert(function.clone());
        }
    }
    tests
}

/// The row with the tests that there are: those the sources claim, and those entered by hand that exist.
fn updated(row: Row, functions: &BTreeMap<String, BTreeSet<u32>>, claimed: &BTreeSet<String>) -> Row {
    let by_hand = row.tests.iter().filter(|test| functions.contains_key(*test)).cloned();
    let tests: Vec<String> =
        claimed.iter().cloned().chain(by_hand).collect::<BTreeSet<_>>().into_iter().collect();
    let note = match (tests.is_empty(), row.note.as_str()) {
        (true, "") => NOTHING.to_owned(),
        (false, NOTHING) => String::new(),
        (_, note) => note.to_owned(),
    };
    Row { tests, note, ..row }
}

fn update() {
    let functions = functions();
    let claimed = tests_by_threat(&functions);
    let none = BTreeSet::new();
    let mut text = String::new();
    for line in read(&table_path()).lines() {
        match parse_row(line) {
            Some(row) => {
                let claimed = claimed.get(&row.number).unwrap_or(&none);
                text.push_str(&updated(row, &functions, claimed).to_string());
            }
            None => text.push_str(line),
        }
        text.push('\n');
    }
    std::fs::write(table_path(), text).expect("docs/threats.md can be written");
}

/// What is wrong with the table.
fn defects(table: &[Row], functions: &BTreeMap<String, BTreeSet<u32>>) -> Vec<String> {
    let mut defects = Vec::new();
    let numbers: Vec<u32> = table.iter().map(|row| row.number).collect();
    if numbers != rows().collect::<Vec<u32>>() {
        defects.push(format!(
            "the rows are {numbers:?}; each number of the list in this test must stand there once, in order"
        ));
    }
    let named: BTreeSet<(u32, &str)> =
        table.iter().flat_map(|row| row.tests.iter().map(|test| (row.number, test.as_str()))).collect();
    for (number, test) in &named {
        if !functions.contains_key(*test) {
            defects.push(format!("row {number} names {test}, which does not exist"));
        }
    }
    for (function, threats) in functions {
        for threat in threats.iter().filter(|threat| !named.contains(&(**threat, function.as_str()))) {
            defects
                .push(format!("{function} is a test of threat {threat}, but row {threat} does not name it"));
        }
    }
    for row in table.iter().filter(|row| row.tests.is_empty()) {
        if is_covered(row.number) {
            defects.push(format!("row {} has no test, but its part is in this release", row.number));
        } else if !row.note.starts_with("with ") {
            defects.push(format!(
                "row {} has neither a test nor a note that says with which part it comes",
                row.number
            ));
        }
    }
    defects
}

#[test]
fn the_table_is_true() {
    if std::env::var_os("UPDATE_THREATS").is_some() {
        update();
    }
    let defects = defects(&table(), &functions());
    assert!(
        defects.is_empty(),
        "docs/threats.md:\n  {}\n`UPDATE_THREATS=1 cargo test -p bft-core --test threat_table` enters tests by their names",
        defects.join("\n  ")
    );
}

#[test]
fn names_and_comments_say_which_threat_a_test_is_about() {
    let text = "
        #[test]
        fn threat_72_and_75_every_crash_point() {}
        // threat 59, 71: why
        #[tokio::test]
        async fn garbage_does_not_hurt() {}
        // threat 5: of code, not of a test
        fn check() {}
        #[test]
        fn another() {}
        fn threat_53_64_two_numbers(x: u8) {}
    ";
    let found: Vec<(String, Vec<u32>)> =
        functions_in(text).into_iter().map(|(name, threats)| (name, threats.into_iter().collect())).collect();
    let expected = [
        ("threat_72_and_75_every_crash_point", vec![72, 75]),
        ("garbage_does_not_hurt", vec![59, 71]),
        ("check", vec![]),
        ("another", vec![]),
        ("threat_53_64_two_numbers", vec![53, 64]),
    ];
    assert_eq!(found, expected.map(|(name, threats)| (name.to_owned(), threats)));
}

#[test]
fn a_false_table_is_seen() {
    let functions = BTreeMap::from([
        ("a.rs::threat_1_x".to_owned(), BTreeSet::from([1])),
        ("a.rs::y".to_owned(), BTreeSet::new()),
    ]);
    let row = |line: &str| parse_row(line).expect("a row");
    let honest = row("| 1 | what → rule | U | `a.rs::threat_1_x`<br>`a.rs::y` |");
    assert_eq!(honest.to_string(), "| 1 | what → rule | U | `a.rs::threat_1_x`<br>`a.rs::y` |");
    let about = |table: &[Row], what: &str| {
        defects(table, &functions).iter().filter(|defect| defect.contains(what)).count()
    };
    assert_eq!(about(&[honest], "row 1 "), 0);
    assert_eq!(about(&[row("| 1 | w | U | `a.rs::z` |")], "does not exist"), 1);
    assert_eq!(about(&[row("| 1 | w | U | none yet |")], "row 1 does not name it"), 1);
    assert_eq!(about(&[row("| 1 | w | U | none yet |")], "its part is in this release"), 1);
    assert_eq!(about(&[row("| 37 | w | U | none yet |")], "nor a note"), 1);
    assert_eq!(about(&[row("| 37 | w | U | with epochs: not in this release |")], "row 37 "), 0);
    let filled = updated(
        row("| 1 | w | U | none yet |"),
        &functions,
        &BTreeSet::from(["a.rs::threat_1_x".to_owned()]),
    );
    assert_eq!(filled.to_string(), "| 1 | w | U | `a.rs::threat_1_x` |");
    let kept = updated(row("| 37 | w | U | `a.rs::gone` with epochs |"), &functions, &BTreeSet::new());
    assert_eq!(kept.to_string(), "| 37 | w | U | with epochs |");
}
