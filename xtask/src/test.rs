//! `cargo xtask test`: everything that must hold before a change lands.

use crate::cluster_test::Backend;
use crate::guest_tests;
use crate::run::{Failed, Outcome, apart, cargo, is_root};
use crate::{chart, cluster_test, crash_matrix, go, sanity, setup, tidy};
use std::path::Path;
use std::time::Instant;

/// Runs all stages, the later ones too when an earlier one fails, and says how each went.
pub fn everything() -> Outcome {
    if !is_root() {
        return Err(Failed::new(
            "the tests mount filesystems and attach loop devices: run this as root",
        ));
    }
    let mut stages = Stages::default();
    setup::for_building()?;
    setup::host_programs()?;
    stages.take("tidy", tidy::everything);
    let binary = setup::binary()?;
    stages.take("tests", || {
        let arguments = ["test", "--workspace", "--no-fail-fast"];
        // Apart, as the soak is: see there.
        apart(cargo(&arguments)).env("BECKET", &binary).run()
    });
    stages.take("crash sample", || crash_matrix::run(&binary, false, true));
    // The choices of one run every time, and those of another one.
    stages.take("soak", || {
        soak(&binary, &["--seconds", "20", "--seed", "1"])?;
        soak(&binary, &["--seconds", "20"])
    });
    stages.take("kubelet", || kubelet(&binary));
    stages.take("sanity", || sanity::everything(&binary));
    stages.take("guest", || guest_tests::run(&binary, &[]));
    stages.take("chart", || chart::run(false));
    stages.take("kubernetes", || {
        cluster_test::run(Backend::Image)?;
        cluster_test::run_chart()?;
        cluster_test::run_lvm_in_guest()?;
        cluster_test::run_shared_in_guest()
    });
    stages.close()
}

#[derive(Default)]
struct Stages {
    done: Vec<(&'static str, f64, Outcome)>,
}

impl Stages {
    fn take(&mut self, name: &'static str, stage: impl FnOnce() -> Outcome) {
        eprintln!("\n== {name}");
        let started = Instant::now();
        let outcome = stage();
        if let Err(failed) = &outcome {
            eprintln!("xtask: {failed}");
        }
        self.done.push((name, started.elapsed().as_secs_f64(), outcome));
    }

    fn close(self) -> Outcome {
        eprintln!();
        for (name, seconds, outcome) in &self.done {
            let word = if outcome.is_ok() { "ok" } else { "FAILED" };
            eprintln!("{name:14} {seconds:7.1} s  {word}");
        }
        match self.done.iter().filter(|(_, _, outcome)| outcome.is_err()).count() {
            0 => Ok(()),
            failed => Err(Failed::new(format!("{failed} of {} stages failed", self.done.len()))),
        }
    }
}

/// Many callers at once on the CSI drivers, while they are killed and started again.
///
/// In a mount namespace of its own: whoever makes a copy of the host's while it runs, as a container
/// that starts does, would hold its mounts in that copy, and its volumes would rightly be in use.
pub fn soak(binary: &Path, rest: &[&str]) -> Outcome {
    let soak = ["run", "--quiet", "--package", "becket-tests", "--bin", "soak", "--"];
    apart(cargo(&soak).arg("--becket").arg(binary).args(rest)).run()
}

/// Kubernetes' own code against our drivers: FlexVolume, and the registration of CSI drivers.
pub fn kubelet(binary: &Path) -> Outcome {
    go::test("tests/kubelet", "the kubelet's own code against our drivers", binary)
}
