//! Load generator and figures of Quorate.

mod catch_up;
pub mod chart;
pub mod choice;
pub mod complexity;
pub mod consortium;
mod crash;
pub mod generator;
mod idle;
pub mod load;
mod machine;
pub mod operations;
pub mod page;
pub mod process;
mod reading;
pub mod recorder;
mod saturation;
pub mod variant;
