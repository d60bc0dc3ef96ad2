//! Sapphire Edge: the firmware of a box that gets a customer's security logs to the BluSapphire gateway.
//!
//! The house, by floors; a room may import only from lower floors, and rooms on one floor do not know each other
//! (`tests/it/floors.rs` checks it):
//!
//! ```text
//!  9  main.rs                        the process
//!  8  command/                       arguments and what the commands print
//!  7  demo/                          the whole box and a gateway on loopback, with a play
//!  6  app/                           composition and supervision; the only room that sees all
//!  5  config/                        the settings file; gathers every room's own Config
//!  4  web/ console/                  the local HTTP listener and the page; the screen on the HDMI port
//!     fleet/                         the channel to whoever runs thousands of boxes
//!  3  source/ output/                the two doors: data in, data out
//!     host/ hw/ update/              the machine below, its lights, its firmware
//!     support/                       what somebody needs who helps from afar
//!  2  queue/                         the hearth: durable, between the doors
//!  1  wire/ net/ status/ control/    formats; sockets and TLS; health; requests to the running program
//!  0  event/ quantity/ secret/ clock/  the words everyone uses
//!     durable/                       small files that a power cut leaves whole
//!     form/                          what people are asked for each type of source and output
//! ```

pub mod app;
pub mod clock;
pub mod command;
pub mod config;
pub mod console;
pub mod control;
pub mod demo;
pub mod durable;
pub mod event;
pub mod fleet;
pub mod form;
pub mod host;
pub mod hw;
pub mod net;
pub mod output;
pub mod quantity;
pub mod queue;
pub mod secret;
pub mod source;
pub mod status;
pub mod support;
pub mod update;
pub mod web;
pub mod wire;
