//! The bounded queue of frames that wait for one stream.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::class::Overflow;

/// What became of a frame handed to [`crate::Network::send`] or [`crate::Network::respond`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It waits to be sent.
    Queued,
    /// It waits to be sent; this many older frames were dropped for it.
    Displaced(usize),
    /// It was dropped: the queue is full.
    QueueFull,
    /// It was dropped: it is longer than its class or the client limit allows.
    TooLong,
    /// It was dropped: the peer is not connected, and frames of this class do not wait.
    NotConnected,
    /// It was dropped: there is no such peer or client.
    Unknown,
}

/// A queue with one consumer at a time. Never holds more than `frames` frames and `bytes` bytes; when full it drops by its
/// [`Overflow`] and counts.
pub(crate) struct Outbox {
    frame_bytes: usize,
    frames: usize,
    bytes: usize,
    overflow: Overflow,
    queue: Mutex<Queue>,
    /// Told of every frame that enters.
    ready: Notify,
    /// Told of every batch that leaves.
    room: Notify,
    dropped: AtomicU64,
}

/// Invariant: `bytes` is the sum of the frames' lengths.
#[derive(Default)]
struct Queue {
    frames: VecDeque<Bytes>,
    bytes: usize,
}

impl Queue {
    fn append(&mut self, frame: Bytes) {
        self.bytes += frame.len();
        self.frames.push_back(frame);
    }
}

impl Outbox {
    /// At most `frames` frames of at most `frame_bytes` each, and `bytes` together.
    pub fn new(frame_bytes: usize, frames: usize, bytes: usize, overflow: Overflow) -> Outbox {
        assert!(frames > 0 && bytes >= frame_bytes, "one frame must fit; Limits::validate sees to it");
        Outbox {
            frame_bytes,
            frames,
            bytes,
            overflow,
            queue: Mutex::default(),
            ready: Notify::new(),
            room: Notify::new(),
            dropped: AtomicU64::new(0),
        }
    }

    /// Appends `frame`, or drops it or older ones. Never blocks.
    pub fn push(&self, frame: Bytes) -> Admission {
        if frame.len() > self.frame_bytes {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return Admission::TooLong;
        }
        let mut queue = self.queue.lock();
        if self.overflow == Overflow::DropNewest && !self.has_room(&queue, &frame) {
            drop(queue);
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return Admission::QueueFull;
        }
        let mut displaced = 0;
        while !self.has_room(&queue, &frame) {
            let oldest = queue.frames.pop_front().expect("an empty queue has room for one frame");
            queue.bytes -= oldest.len();
            displaced += 1;
        }
        queue.append(frame);
        drop(queue);
        self.ready.notify_one();
        if displaced == 0 {
            return Admission::Queued;
        }
        self.dropped.fetch_add(displaced as u64, Ordering::Relaxed);
        Admission::Displaced(displaced)
    }

    /// Appends `frame` as soon as there is room for it. Cancel-safe: a dropped future appends nothing.
    ///
    /// # Panics
    /// If the frame is longer than `frame_bytes`: it would wait for ever.
    pub async fn push_when_room(&self, frame: Bytes) {
        assert!(frame.len() <= self.frame_bytes, "the caller checks the length");
        loop {
            let mut room = std::pin::pin!(self.room.notified());
            // From here on no batch that leaves is missed.
            room.as_mut().enable();
            {
                let mut queue = self.queue.lock();
                if self.has_room(&queue, &frame) {
                    queue.append(frame);
                    drop(queue);
                    self.ready.notify_one();
                    return;
                }
            }
            room.await;
        }
    }

    fn has_room(&self, queue: &Queue, frame: &Bytes) -> bool {
        queue.frames.len() < self.frames && queue.bytes + frame.len() <= self.bytes
    }

    /// Counts a frame that was dropped before it came here.
    pub fn count_dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// Moves the oldest frames into `batch`, waiting for at least one: as many as fit `batch_bytes`, and one in any case.
    pub async fn drain(&self, batch_bytes: usize, batch: &mut Vec<Bytes>) {
        loop {
            if self.try_drain(batch_bytes, batch) {
                return;
            }
            self.ready.notified().await;
        }
    }

    fn try_drain(&self, batch_bytes: usize, batch: &mut Vec<Bytes>) -> bool {
        let mut queue = self.queue.lock();
        let mut taken = 0;
        while let Some(frame) = queue.frames.pop_front() {
            if taken > 0 && taken + frame.len() > batch_bytes {
                queue.frames.push_front(frame);
                break;
            }
            taken += frame.len();
            queue.bytes -= frame.len();
            batch.push(frame);
        }
        drop(queue);
        let any = !batch.is_empty();
        if any {
            self.room.notify_waiters();
        }
        any
    }

    /// Drops what waits, and counts it.
    pub fn clear(&self) {
        let mut queue = self.queue.lock();
        self.dropped.fetch_add(queue.frames.len() as u64, Ordering::Relaxed);
        queue.frames.clear();
        queue.bytes = 0;
    }

    /// Frames and bytes that wait.
    pub fn waiting(&self) -> (usize, usize) {
        let queue = self.queue.lock();
        (queue.frames.len(), queue.bytes)
    }

    /// Frames dropped since the beginning.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(tag: u8, length: usize) -> Bytes {
        Bytes::from(vec![tag; length])
    }

    async fn tags(outbox: &Outbox) -> Vec<u8> {
        let mut batch = Vec::new();
        outbox.drain(usize::MAX, &mut batch).await;
        batch.iter().map(|frame| frame[0]).collect()
    }

    #[tokio::test]
    async fn a_full_queue_drops_the_oldest_or_the_newest_and_counts() {
        let oldest = Outbox::new(10, 3, 100, Overflow::DropOldest);
        let newest = Outbox::new(10, 3, 100, Overflow::DropNewest);
        for tag in 1..=3 {
            assert_eq!(oldest.push(frame(tag, 1)), Admission::Queued);
            assert_eq!(newest.push(frame(tag, 1)), Admission::Queued);
        }
        assert_eq!(oldest.push(frame(4, 1)), Admission::Displaced(1));
        assert_eq!(newest.push(frame(4, 1)), Admission::QueueFull);
        assert_eq!((oldest.dropped(), newest.dropped()), (1, 1));
        assert_eq!(tags(&oldest).await, [2, 3, 4]);
        assert_eq!(tags(&newest).await, [1, 2, 3]);
        assert_eq!((oldest.waiting(), newest.waiting()), ((0, 0), (0, 0)));
    }

    #[tokio::test]
    async fn bytes_are_bounded_as_well() {
        let outbox = Outbox::new(10, 100, 25, Overflow::DropOldest);
        for tag in 1..=2 {
            assert_eq!(outbox.push(frame(tag, 10)), Admission::Queued);
        }
        assert_eq!(outbox.push(frame(3, 10)), Admission::Displaced(1));
        assert_eq!(outbox.push(frame(4, 11)), Admission::TooLong);
        assert_eq!(outbox.waiting(), (2, 20));
        assert_eq!(tags(&outbox).await, [2, 3]);
    }

    #[tokio::test]
    async fn a_batch_holds_what_fits_and_one_frame_in_any_case() {
        let outbox = Outbox::new(1000, 100, 10_000, Overflow::DropNewest);
        for (tag, length) in [(1, 40), (2, 40), (3, 40), (4, 500), (5, 1)] {
            outbox.push(frame(tag, length));
        }
        let mut sizes = Vec::new();
        for _ in 0..4 {
            let mut batch = Vec::new();
            outbox.drain(100, &mut batch).await;
            sizes.push(batch.len());
        }
        assert_eq!(sizes, [2, 1, 1, 1]);
    }

    #[tokio::test]
    async fn a_patient_push_waits_for_room() {
        let outbox = Outbox::new(10, 1, 10, Overflow::DropNewest);
        let pushing = async {
            for tag in 1..=20 {
                outbox.push_when_room(frame(tag, 1)).await;
            }
        };
        let draining = async {
            let mut seen = Vec::new();
            while seen.len() < 20 {
                seen.extend(tags(&outbox).await);
            }
            seen
        };
        let ((), seen) = tokio::join!(pushing, draining);
        assert_eq!(seen, (1..=20).collect::<Vec<u8>>());
        assert_eq!(outbox.dropped(), 0);
    }

    #[tokio::test]
    async fn draining_waits_for_a_frame() {
        let outbox = Outbox::new(10, 3, 100, Overflow::DropOldest);
        let (tags, _) = tokio::join!(tags(&outbox), async { outbox.push(frame(9, 1)) });
        assert_eq!(tags, [9]);
        outbox.push(frame(1, 1));
        outbox.clear();
        assert_eq!((outbox.waiting(), outbox.dropped()), ((0, 0), 1));
    }
}
