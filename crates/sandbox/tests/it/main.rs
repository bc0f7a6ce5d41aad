//! The sandbox over real HTTP, held to what the real courier and channel were seen to do.
#![cfg(test)]

mod courier;
mod courier_faults;
mod labels;
mod life;
mod refusals;
mod restart;
mod support;
mod whatsapp;
mod whatsapp_faults;
