//! Black-box checks of storage plugins: of any CSI driver, by what it answers and by what is then
//! to be seen on the node.
//!
//! A check is one small function that names the clause of the specification it tests. What it finds
//! says what was asked, what was answered and what should have been; what could not be judged is
//! skipped with the reason and never counts as passed.

#![forbid(unsafe_code)]

pub mod csi;
pub mod grade;
pub mod junit;
pub mod report;
