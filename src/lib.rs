//! The composition root: arguments, folders, nodes and pages put together. Nothing is decided here.

pub mod bench;
pub mod cli;
mod client;
mod counter;
pub mod demo;
mod network;
pub mod serve;
