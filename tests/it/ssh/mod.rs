//! Devices that push their files over SSH, by the real clients.

/// Each client in each of its ways.
mod clients;
/// Cuts, kills, full disks, bounds.
mod custody;
/// From a pushed file to the gateway.
mod flow;
/// Keys, addresses, algorithms.
mod login;
