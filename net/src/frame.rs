//! Received frames, and the budget their bytes come from.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::FRAME_OVERHEAD;

/// Bytes that received frames may occupy until their receiver is done with them.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    free: Arc<Semaphore>,
}

/// A share of a peer's inbound budget. Dropping it lets the peer send as many bytes more.
#[derive(Debug, Default)]
pub struct Permit {
    /// None: not taken from any budget.
    _share: Option<OwnedSemaphorePermit>,
}

impl Budget {
    /// A budget of `bytes`, at most `u32::MAX` ([`crate::Limits`] are validated).
    pub fn new(bytes: usize) -> Budget {
        Budget { free: Arc::new(Semaphore::new(bytes)) }
    }

    /// Takes the cost of a frame of `length` bytes, waiting until it is free. First come, first served; dropping the
    /// future gives up the place.
    pub async fn take(&self, length: usize) -> Permit {
        let cost =
            u32::try_from(length + FRAME_OVERHEAD).expect("frame_bytes is validated to be far below 4 GiB");
        let share = Arc::clone(&self.free).acquire_many_owned(cost).await;
        Permit { _share: Some(share.expect("a budget is never closed")) }
    }

    /// Bytes not taken.
    #[cfg(test)]
    pub fn free(&self) -> usize {
        self.free.available_permits()
    }
}

/// A received frame. Its bytes count against its sender's budget until it is dropped.
pub struct Frame {
    bytes: Bytes,
    permit: Permit,
}

impl Frame {
    pub(crate) fn new(bytes: Bytes, permit: Permit) -> Frame {
        Frame { bytes, permit }
    }

    /// A frame that counts against no budget: a replica's own, or a test's.
    pub fn unmetered(bytes: Bytes) -> Frame {
        Frame { bytes, permit: Permit::default() }
    }

    /// The content. It owns its allocation, so that a slice kept of it keeps no other frame alive.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The content and its share of the budget, which should live as long as the content does.
    pub fn into_parts(self) -> (Bytes, Permit) {
        (self.bytes, self.permit)
    }
}

impl Deref for Frame {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({} bytes)", self.bytes.len())
    }
}
