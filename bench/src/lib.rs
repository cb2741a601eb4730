//! Load generator and figures of Quorate.

mod catch_up;
pub mod consortium;
pub mod load;
pub mod process;
mod reading;
