//! The end of the last segment: where it is, and making it so. The argument stands in the [module](super).

use super::disk::SegmentFile;
use super::error::LogError;
use super::files::NamedFile;
use super::frame::{Defect, FrameHeader};
use super::scan::Scanner;

const CHUNK_BYTES: usize = 1 << 20;

/// What was learnt of the last segment while its frames were read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tail {
    /// Where the frames begin that no later frame proves durable.
    unproven_from: u64,
    /// The highest `synced_through` seen.
    synced_through: u64,
}

impl Tail {
    /// Before the first frame, which stands at `offset` with `number`; all before it are durable.
    pub fn new(offset: u64, number: u64) -> Tail {
        Tail { unproven_from: offset, synced_through: number - 1 }
    }

    /// Takes note of a frame that verified.
    pub fn see(&mut self, offset: u64, header: &FrameHeader) {
        if header.synced_through > self.synced_through {
            self.synced_through = header.synced_through;
            // A group begins with the frame after the durable ones. Were it otherwise, more is written again.
            if header.number == header.synced_through + 1 {
                self.unproven_from = offset;
            }
        }
    }

    /// Decides whether the segment ends where `scanner` stopped, because of `defect` if any, and makes what stands
    /// before it durable and what stands behind it void.
    ///
    /// # Errors
    /// [`LogError::Rot`] if what stands there was durable; nothing is changed then.
    pub fn settle(
        self,
        scanner: &mut Scanner<'_>,
        segment: &NamedFile,
        defect: Option<Defect>,
    ) -> Result<(), LogError> {
        let end = scanner.offset();
        let mut leftovers = false;
        match defect {
            None => {}
            // The checksum binds the place, so this was written here, but not as what comes next. No crash does that.
            Some(defect @ (Defect::Number { .. } | Defect::Predecessor { .. })) => {
                return Err(scanner.rot(defect));
            }
            Some(defect) => {
                let survey = scanner.survey()?;
                if survey.synced_through >= scanner.link().next {
                    return Err(scanner.rot(defect));
                }
                leftovers = survey.leftovers;
            }
        }
        let file = segment.file.as_ref();
        let path = &segment.path;
        rewrite(file, self.unproven_from, end).map_err(|e| LogError::io("write", path, e))?;
        if leftovers {
            tracing::warn!(
                path = %path.display(), offset = end,
                "dropping what a crash left unfinished at the end of the log"
            );
            let size = file.size().map_err(|e| LogError::io("measure", path, e))?;
            fill_with_zeros(file, end, size).map_err(|e| LogError::io("write", path, e))?;
        }
        file.sync().map_err(|e| LogError::sync(path, e))
    }
}

/// Writes what a range holds over itself, so that the next sync covers it whatever became of an earlier one.
fn rewrite(file: &dyn SegmentFile, from: u64, to: u64) -> std::io::Result<()> {
    let mut chunk = Vec::new();
    let mut at = from;
    while at < to {
        chunk.resize((to - at).min(CHUNK_BYTES as u64) as usize, 0);
        let read = file.read_at(&mut chunk, at)?;
        if read < chunk.len() {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        file.write_at(&chunk, at)?;
        at += read as u64;
    }
    Ok(())
}

fn fill_with_zeros(file: &dyn SegmentFile, from: u64, to: u64) -> std::io::Result<()> {
    let zeros = vec![0; CHUNK_BYTES.min((to - from) as usize)];
    let mut at = from;
    while at < to {
        let len = (to - at).min(zeros.len() as u64);
        file.write_at(&zeros[..len as usize], at)?;
        at += len;
    }
    Ok(())
}
