//! `cargo xtask sanity`: the CSI drivers as the field's own clients judge them: csi-sanity with nothing
//! skipped, grpcurl, and gRPC for Go.

use crate::go;
use crate::run::Outcome;
use std::path::Path;

/// Runs all of `tests/csi`, which shows a table of its runs.
pub fn everything(binary: &Path) -> Outcome {
    go::test("tests/csi", "csi-sanity and other clients against our CSI drivers", binary)
}
