//! Load generator and figures of Quorate.

mod catch_up;
pub mod choice;
pub mod consortium;
mod crash;
mod idle;
pub mod load;
pub mod operations;
pub mod process;
mod reading;
mod saturation;
pub mod scale;
