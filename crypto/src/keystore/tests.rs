//! Key files written, read, and refused.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::{ReplicaId, hex, trusted_dealer};

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("replica.key");
    (folder, path)
}

fn identity() -> KeyFile {
    KeyFile::Identity(IdentitySecret::from_seed([7; 32]))
}

fn threshold() -> (ThresholdPublic, KeyFile) {
    let (keys, shares) = trusted_dealer([1; 32], 4, 3).unwrap();
    let key = ThresholdKey { share: shares[2].clone(), epoch: 9, group: keys.digest() };
    (keys, KeyFile::Threshold(key))
}

/// Writes `text` as a key file with mode 0600 and reads it.
fn read_text(text: &[u8]) -> Result<KeyFile, KeyFileError> {
    let (_folder, path) = folder();
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    read(&path)
}

fn fault(text: &[u8]) -> KeyFileFault {
    read_text(text).unwrap_err().fault
}

fn text(key: &KeyFile) -> String {
    String::from_utf8(format::encode(key).to_vec()).unwrap()
}

#[test]
fn the_format_is_pinned() {
    let key = KeyFile::Identity(IdentitySecret::from_seed([0; 32]));
    let expected = "quorate-key 1\n\
        kind identity\n\
        public 3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29\n\
        secret 0000000000000000000000000000000000000000000000000000000000000000\n\
        end\n";
    assert_eq!(text(&key), expected);
}

#[test]
fn every_kind_is_read_as_it_was_written() {
    let (_folder, path) = folder();
    write_new(&path, &identity()).unwrap();
    assert_eq!(*read_identity(&path).unwrap().seed(), [7; 32]);

    let (_folder, path) = folder();
    write_new(&path, &KeyFile::Client(ClientSecret::from_seed([8; 32]))).unwrap();
    assert_eq!(*read_client(&path).unwrap().seed(), [8; 32]);

    let (_folder, path) = folder();
    let (keys, key) = threshold();
    write_new(&path, &key).unwrap();
    let share = read_threshold(&path, 9, &keys).unwrap();
    assert_eq!(share.replica(), ReplicaId(2));
    assert_eq!(share.public(), keys.shares()[2]);
}

#[test]
fn threat_58_a_new_file_is_for_its_owner_only() {
    let (_folder, path) = folder();
    write_new(&path, &identity()).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn threat_97_a_file_that_others_may_read_is_refused_with_the_fix() {
    let (_folder, path) = folder();
    write_new(&path, &identity()).unwrap();
    for mode in [0o640, 0o604, 0o660, 0o601, 0o777] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let error = read(&path).unwrap_err();
        assert!(matches!(error.fault, KeyFileFault::Exposed { mode: m } if m == mode), "{error}");
        assert!(error.to_string().contains(&format!("chmod 600 {}", path.display())), "{error}");
    }
    for mode in [0o600, 0o400] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        assert!(read(&path).is_ok(), "mode {mode:o}");
    }
}

#[test]
fn nothing_is_overwritten() {
    let (_folder, path) = folder();
    write_new(&path, &identity()).unwrap();
    let before = fs::read(&path).unwrap();
    let error = write_new(&path, &KeyFile::Client(ClientSecret::from_seed([8; 32]))).unwrap_err();
    assert!(matches!(error.fault, KeyFileFault::Exists), "{error}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_missing_file_and_a_folder_are_named() {
    let (folder, path) = folder();
    let error = read(&path).unwrap_err();
    assert!(matches!(error.fault, KeyFileFault::Io(_)), "{error}");
    assert!(error.to_string().contains("replica.key") && error.to_string().contains("make a key"), "{error}");
    assert!(matches!(read(folder.path()).unwrap_err().fault, KeyFileFault::NotAFile));
    let nowhere = folder.path().join("none").join("replica.key");
    assert!(matches!(write_new(&nowhere, &identity()).unwrap_err().fault, KeyFileFault::Io(_)));
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    for key in [identity(), threshold().1] {
        let whole = text(&key);
        for length in 0..whole.len() {
            assert!(
                matches!(fault(&whole.as_bytes()[..length]), KeyFileFault::Truncated),
                "cut to {length} bytes: {}",
                fault(&whole.as_bytes()[..length])
            );
        }
    }
}

#[test]
fn a_file_with_any_byte_changed_is_refused() {
    for key in [identity(), threshold().1] {
        let whole = text(&key);
        let (_folder, path) = folder();
        write_new(&path, &key).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone().into_bytes();
            damaged[at] ^= 1;
            fs::write(&path, &damaged).unwrap();
            match read(&path) {
                Err(_) => {}
                // What only the network knows is checked against it: see the foreign shares below.
                Ok(KeyFile::Threshold(read)) => {
                    let KeyFile::Threshold(whole) = &key else { panic!("the kind changed") };
                    let same = |a: &ThresholdKey, b: &ThresholdKey| {
                        (a.share.replica(), a.epoch, a.group) == (b.share.replica(), b.epoch, b.group)
                    };
                    assert!(!same(&read, whole), "byte {at} changed unnoticed");
                }
                Ok(_) => panic!("byte {at} changed unnoticed"),
            }
        }
    }
}

#[test]
fn damage_is_named() {
    let good = text(&identity());
    assert!(matches!(fault(b"-----BEGIN PRIVATE KEY-----\n"), KeyFileFault::NotAKeyFile));
    assert!(matches!(fault(&[b'x'; 5000]), KeyFileFault::NotAKeyFile));
    let newer = good.replace("quorate-key 1\n", "quorate-key 2\n");
    assert!(matches!(fault(newer.as_bytes()), KeyFileFault::Version(v) if v == "2"));
    let other = text(&KeyFile::Identity(IdentitySecret::from_seed([9; 32])));
    let secret_line = other.lines().nth(3).unwrap();
    let swapped = good.replace(good.lines().nth(3).unwrap(), secret_line);
    assert!(matches!(fault(swapped.as_bytes()), KeyFileFault::Mismatch));
    let unknown = good.replace("kind identity", "kind master");
    assert!(matches!(fault(unknown.as_bytes()), KeyFileFault::Malformed { line: 2, .. }));
    let extra = good.replace("\nend\n", "\nnote hello\nend\n");
    assert!(matches!(fault(extra.as_bytes()), KeyFileFault::Malformed { line: 5, .. }));
    let windows = good.replace('\n', "\r\n");
    assert!(read_text(windows.as_bytes()).is_err());

    let good = text(&threshold().1);
    for (from, to, line) in [
        ("replica 2", "replica 02", 3),
        ("replica 2", "replica 65536", 3),
        ("epoch 9", "epoch -9", 4),
        ("group ", "group 0", 5),
    ] {
        let bad = good.replace(from, to);
        assert!(
            matches!(fault(bad.as_bytes()), KeyFileFault::Malformed { line: l, .. } if l == line),
            "{to}"
        );
    }
}

#[test]
fn a_key_of_another_kind_is_refused() {
    let (_folder, path) = folder();
    write_new(&path, &identity()).unwrap();
    let need = |error: KeyFileError| match error.fault {
        KeyFileFault::Kind { have: KeyKind::Identity, need } => need,
        other => panic!("{other}"),
    };
    assert_eq!(need(read_client(&path).unwrap_err()), KeyKind::Client);
    assert_eq!(need(read_threshold(&path, 9, &threshold().0).unwrap_err()), KeyKind::Threshold);
}

#[test]
fn threat_56_a_foreign_share_is_refused() {
    let (_folder, path) = folder();
    let (keys, key) = threshold();
    write_new(&path, &key).unwrap();
    let error = read_threshold(&path, 10, &keys).unwrap_err();
    assert!(matches!(error.fault, KeyFileFault::Epoch { have: 9, need: 10 }), "{error}");
    let (others, _) = trusted_dealer([2; 32], 4, 3).unwrap();
    let error = read_threshold(&path, 9, &others).unwrap_err();
    assert!(matches!(error.fault, KeyFileFault::Group { .. }), "{error}");

    // The group is right, but the file says it is another replica's share.
    let moved = text(&key).replace("replica 2", "replica 1");
    fs::write(&path, moved).unwrap();
    let error = read_threshold(&path, 9, &keys).unwrap_err();
    assert!(matches!(error.fault, KeyFileFault::Group { .. }), "{error}");
}

#[test]
fn threat_58_debug_of_a_key_file_shows_no_secret() {
    let threshold = threshold().1;
    let KeyFile::Threshold(key) = &threshold else { panic!("another kind") };
    let share = key.share.to_bytes();
    let client = KeyFile::Client(ClientSecret::from_seed([7; 32]));
    for (key, secret) in [(&identity(), &[7; 32]), (&client, &[7; 32]), (&threshold, &*share)] {
        let debug = format!("{key:?} {key:#?}");
        assert!(!hex::shows(&debug, secret), "{debug}");
        assert!(hex::shows(&text(key), secret), "the file itself does show it");
    }
}
