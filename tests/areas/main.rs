//! End-to-end tests of the built program, one file for each area.

// What serves a test and cannot do its work ends the test, with the place it happened at.
#![allow(clippy::unwrap_used)]

mod attachable;
mod bad_input;
mod bad_values;
mod check;
mod command_line;
mod conditions;
mod csi_calls;
mod csi_checked;
mod csi_claims;
mod csi_devices;
mod csi_inline;
mod csi_life;
mod csi_serving;
mod damage;
mod demo;
mod documents;
mod encrypted;
mod expansion;
mod identity;
mod install;
mod occupied;
mod outlived;
mod protocol;
mod secrets;
mod storm;
