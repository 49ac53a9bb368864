//! End-to-end tests of the built program, one file for each area.

// What a helper of a test cannot do ends the test, with the place it happened at.
#![allow(clippy::unwrap_used)]

mod bad_input;
mod bad_values;
