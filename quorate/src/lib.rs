//! The product: a replica with its threads, sockets and disks, and the command line.

pub mod cli;
pub mod demo;
mod evidence;
pub mod home;
pub mod node;
