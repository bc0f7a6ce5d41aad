//! Notification over logs in memory, with the sandbox's WhatsApp around it.
#![cfg(test)]

mod accounts;
mod door;
mod receipts;
mod sending;
mod telling;
mod templates;
mod world;
