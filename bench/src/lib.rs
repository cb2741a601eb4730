//! Load generator and figures of Quorate.

pub mod consortium;
pub mod load;
pub mod process;
mod reading;
