//! One good story in all logs, and one planted violation of each invariant.
#![cfg(test)]

mod good;
mod planted;
mod printed;
mod story;
mod views;
