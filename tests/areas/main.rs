//! End-to-end tests of the built program, one file for each area.

// What a helper of a test cannot do ends the test, with the place it happened at.
#![allow(clippy::unwrap_used)]

mod attachable;
mod bad_input;
mod bad_values;
mod command_line;
mod conditions;
mod damage;
mod demo;
mod expansion;
mod install;
mod occupied;
mod protocol;
mod secrets;
