//! Load generator and figures of Quorate.

mod catch_up;
pub mod chart;
pub mod choice;
mod compare;
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
mod ramp;
mod reading;
pub mod recorder;
mod running;
mod saturation;
pub mod scale;
mod stages;
mod timeline;
pub mod variant;
