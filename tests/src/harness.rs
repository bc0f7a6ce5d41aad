//! What the tests drive Nexus with, and read it by.

pub mod bytes;
pub mod collector;
pub mod evidence;
pub mod history;
pub mod label;
pub mod layout;
pub mod life;
pub mod look;
pub mod nats;
pub mod nexus;
pub mod ports;
pub mod production;
pub mod random;
pub mod rest;
pub mod sandbox;
pub mod seven;
pub mod shop;
pub mod spans;
pub mod wait;

pub use collector::Collector;
pub use history::{Command, History, Outcome};
pub use layout::Layout;
pub use life::{Life, Wish};
pub use look::Look;
pub use nexus::{Nexus, Options};
pub use production::Production;
pub use random::Random;
pub use rest::{Answer, Rest};
pub use sandbox::Sandbox;
pub use shop::Shop;
