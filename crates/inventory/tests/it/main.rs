//! Inventory through gRPC, over a memory log and over the embedded one.
#![cfg(test)]

mod harness;
mod products;
mod promises;
mod replicas;
mod stock;
mod views;
mod warehouses;
