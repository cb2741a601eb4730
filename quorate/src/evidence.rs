//! Evidence in files: one for each lie, written by the replica that learnt of it, read by it again and by whoever is shown it.
//!
//! They stand beside `data/` and not in it: they are no promises of the replica, outlive a data directory that is moved away, and
//! may be copied.

use crate::cli::read_json;
use anyhow::{Context, bail};
use bft_core::evidence::{Evidence, EvidenceError, contradiction};
use bft_core::verified::Verified;
use engines::AnyMessage;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Version of the file.
const VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EvidenceFile {
    version: u32,
    evidence: Evidence,
}

/// Reads a piece of evidence. Says nothing about whether it proves something.
pub(crate) fn read(path: &Path) -> anyhow::Result<Evidence> {
    let remedy =
        "give a file of a replica's directory `evidence`, or one that `quorate evidence --save` wrote";
    let EvidenceFile { evidence, .. } = read_json(path, "evidence", remedy)?;
    Ok(evidence)
}

/// The directory of the files.
#[derive(Debug)]
pub(crate) struct EvidenceDir(PathBuf);

impl EvidenceDir {
    /// The directory at `path`, made if it is not there.
    pub(crate) fn open(path: PathBuf) -> anyhow::Result<EvidenceDir> {
        fs::create_dir_all(&path).with_context(|| {
            format!("cannot make {}; check that this user may write there", path.display())
        })?;
        Ok(EvidenceDir(path))
    }

    /// The files in a directory, in order of name; none if it is not there.
    pub(crate) fn list(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => bail!("cannot list {}: {error}; check that this user may read it", path.display()),
        };
        let mut files = Vec::new();
        for entry in entries {
            let file = entry.with_context(|| format!("cannot list {}", path.display()))?.path();
            if file.extension().is_some_and(|extension| extension == "json") {
                files.push(file);
            }
        }
        files.sort();
        Ok(files)
    }

    /// What was kept and still proves something. A file that does not is left where it is, and does not keep a replica from
    /// starting: nothing depends on it.
    pub(crate) fn load(
        &self,
        verify: impl Fn(Evidence) -> Result<Verified<Evidence>, EvidenceError>,
    ) -> anyhow::Result<Vec<Verified<Evidence>>> {
        let mut kept = Vec::new();
        for path in EvidenceDir::list(&self.0)? {
            match read(&path).and_then(|evidence| Ok(verify(evidence)?)) {
                Ok(evidence) => kept.push(evidence),
                Err(error) => {
                    tracing::warn!(path = %path.display(), error = format!("{error:#}"), "a file of evidence proves nothing");
                }
            }
        }
        Ok(kept)
    }

    /// Writes a piece of evidence so that a crash leaves all of it or nothing: aside, synced, renamed, directory synced. Of one kind
    /// against one replica there is one file.
    pub(crate) fn keep(&self, evidence: &Evidence) -> anyhow::Result<PathBuf> {
        let path = self.0.join(file_name(evidence));
        let aside = path.with_extension("new");
        let file = EvidenceFile { version: VERSION, evidence: evidence.clone() };
        let text = serde_json::to_string_pretty(&file).context("evidence cannot be written as JSON")?;
        let write = || {
            let mut file = File::create(&aside)?;
            writeln!(file, "{text}")?;
            file.sync_all()?;
            fs::rename(&aside, &path)?;
            File::open(&self.0)?.sync_all()
        };
        write().with_context(|| {
            format!("cannot keep evidence in {}; free space, or check the disk", path.display())
        })?;
        Ok(path)
    }
}

fn file_name(evidence: &Evidence) -> String {
    let kind = contradiction::<AnyMessage>(&evidence.first.0, &evidence.second.0).unwrap_or("unknown");
    format!("{}-{kind}.json", evidence.accused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bft_core::envelope::Seal;
    use crypto::{Digest, FaultModel, ProtocolTag, ReplicaId, Share, Signature, Statement};

    fn lie(accused: u16, digest: u8) -> Evidence {
        let statement = |digest| Statement {
            kind: crypto::StatementKind(16),
            chain: Digest([9; 32]),
            epoch: 1,
            protocol: ProtocolTag::PBFT,
            fault_model: FaultModel::Byzantine,
            view: 4,
            height: u64::MAX,
            digest: Digest([digest; 32]),
        };
        let first = (statement(0), Seal::Share(Share::unsigned([3; 48])));
        Evidence::new(ReplicaId(accused), first, (statement(digest), Seal::Signature(Signature([5; 64]))))
    }

    #[test]
    fn what_was_kept_is_read_again_and_what_is_no_evidence_is_passed_over() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("evidence");
        assert!(EvidenceDir::list(&path).unwrap().is_empty());
        let dir = EvidenceDir::open(path.clone()).unwrap();
        let kept = dir.keep(&lie(2, 1)).unwrap();
        assert_eq!(kept.file_name().unwrap(), "r2-prepare.json");
        dir.keep(&lie(2, 7)).unwrap();
        dir.keep(&lie(3, 1)).unwrap();
        fs::write(path.join("r9-prepare.json"), "{\"version\": 1, \"evid").unwrap();
        fs::write(path.join("notes.txt"), "mine").unwrap();
        let files = EvidenceDir::list(&path).unwrap();
        assert_eq!(files.len(), 3, "{files:?}");
        assert_eq!(read(&files[0]).unwrap(), lie(2, 7));
        let said = format!("{:#}", read(&files[2]).unwrap_err());
        assert!(said.contains("half-written") && said.contains("quorate evidence --save"), "{said}");
        let refused = |evidence: Evidence| Err(EvidenceError::Stranger(evidence.accused));
        assert!(dir.load(refused).unwrap().is_empty());
    }

    #[test]
    fn another_version_is_refused_with_its_number() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r2-prepare.json");
        fs::write(&path, "{\"version\": 7, \"evidence\": \"in words\"}").unwrap();
        let said = format!("{:#}", read(&path).unwrap_err());
        assert!(said.contains("version 7"), "{said}");
    }
}
