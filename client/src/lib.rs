//! Verifying client of a Quorate network.
