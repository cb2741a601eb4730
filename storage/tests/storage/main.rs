//! The log against a disk that loses, tears, refuses and rots; the writer; the real file system.

mod ailments;
mod crash;
mod gated_disk;
mod model;
mod real_disk;
mod recycling;
mod threats;
mod writer;
