//! The product: a replica with its threads, sockets and disks, and the command line.
