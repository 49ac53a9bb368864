//! `cargo xtask`: the one entry for developers. Each action is a module; none needs anything that
//! this program does not install itself, and it says what it installs.

mod bench;
mod chart;
mod cluster;
mod cluster_test;
mod crash_matrix;
mod debian;
mod e2e;
mod fuzz;
mod go;
mod guest;
mod guest_tests;
mod image;
mod kept;
mod run;
mod sanity;
mod scale;
mod setup;
mod test;
mod tidy;

use cluster_test::Backend;
use run::{Failed, Outcome};
use std::ffi::OsString;
use std::process::ExitCode;

const HELP: &str = "\
cargo xtask ACTION

  setup          install what the other actions need and this machine lacks
  build          build the release binary: static, for musl
  demo           build, and show the life of a volume on this machine (root)
  test           everything that must hold before a change lands (root, Go)
  tidy           formatting, lints, licences, and the rules of this repository
  kubelet        Kubernetes' own FlexVolume and CSI code against our drivers (root, Go)
  sanity         csi-sanity, with nothing skipped, and other clients against our CSI drivers (root, Go)
  test-guest     all tests of the lvm and nfs backends and drivers, in guests, or those whose names have one
                 of the words that follow (root, Go)
  test-cluster   the image backend on a real Kubernetes: pods that write and read a volume (root, Go);
                 --lvm for the lvm backend, in a guest
  image          make the container image, without a container engine; --output FILE
  chart          the Helm chart: lint, wrong values, its objects on a real API server (root, Go);
                 --write renders deploy/becket.yaml anew
  test-chart     install, upgrade and uninstall the chart on a real Kubernetes, with pods that write
                 and read volumes (root, Go)
  e2e            Kubernetes' own end-to-end tests of storage drivers, on a real Kubernetes with the chart
                 (root, Go); --driver image|directory, --focus RE
  scale          what a big cluster costs: 200 nodes' processes and 5,000 claims on a real API server (root,
                 Go); --nodes N, --claims N, --burst N
  bench          measure against a shell script, bare system calls and our targets, and against the
                 CSI driver that BECKET_BENCH_PEER names (root); --of lvm for logical volumes
                 against LVM's own commands, --of nfs for volumes on a server against a mount and cp,
                 in a guest where that is needed
  soak           many CSI callers at once, for ten minutes, with kills (root);
                 --seconds N, --callers N, --seed N
  guest COMMAND  run a command as root under a kernel with device-mapper, NFS and project quotas;
                 --help for its options, --check to see whether this machine can
  cluster ACTION a real Kubernetes of one node on this machine: up, down, kubectl, exec, image (root, Go)
  crash-matrix   kill the drivers at every storage-relevant system call (root); --sample for a few;
                 --lvm, in front of it, for logical volumes, in a guest where that is needed
  fuzz [SECONDS] run each fuzz target for a while (needs the nightly compiler)
";

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    // A command in a guest or a cluster may be any bytes, and its exit status is the command's.
    match arguments.split_first() {
        Some((action, rest)) if action == "guest" => return guest::action(rest),
        Some((action, rest)) if action == "cluster" => return cluster::action(rest),
        _ => {}
    }
    let arguments: Vec<String> =
        arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["setup"] => setup::everything(),
        ["build"] => setup::binary().map(drop),
        ["demo", rest @ ..] => demo(rest),
        ["test"] => test::everything(),
        ["tidy"] => setup::for_building().and_then(|()| tidy::everything()),
        ["kubelet"] => setup::binary().and_then(|binary| test::kubelet(&binary)),
        ["sanity"] => setup::host_programs()
            .and_then(|()| setup::binary())
            .and_then(|binary| sanity::everything(&binary)),
        ["test-guest", rest @ ..] => {
            setup::binary().and_then(|binary| guest_tests::run(&binary, rest))
        }
        ["test-cluster"] => cluster_test::run(Backend::Image),
        ["test-cluster", "--lvm"] => cluster_test::run_lvm_in_guest(),
        ["test-cluster", "--nfs"] => cluster_test::run_shared_in_guest(),
        ["test-cluster", "--nfs-here"] => cluster_test::run_shared(),
        ["test-cluster", "--lvm-here"] => cluster_test::run(Backend::Lvm),
        ["e2e", rest @ ..] => e2e::action(rest),
        ["scale", rest @ ..] => scale::action(rest),
        ["test-chart"] => cluster_test::run_chart(),
        ["chart"] => chart::run(false),
        ["chart", "--write"] => chart::run(true),
        ["image"] => image::action(None),
        ["image", "--output", file] => image::action(Some(file)),
        ["bench", rest @ ..] => bench::run(rest),
        ["soak", rest @ ..] => soak(rest),
        ["crash-matrix", rest @ ..] => crash(rest),
        ["fuzz"] => fuzz::everything(30),
        ["fuzz", seconds] => match seconds.parse() {
            Ok(seconds) => fuzz::everything(seconds),
            Err(_) => Err(Failed::new(format!("`{seconds}` is no number of seconds"))),
        },
        _ => {
            eprint!("{HELP}");
            return if words == ["help"] || words == ["--help"] {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(2)
            };
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            eprintln!("xtask: {failed}");
            ExitCode::FAILURE
        }
    }
}

fn demo(rest: &[&str]) -> Outcome {
    let binary = setup::binary()?;
    setup::host_programs()?;
    run::command(&binary).arg("demo").args(rest).run()
}

fn soak(rest: &[&str]) -> Outcome {
    let binary = setup::binary()?;
    setup::host_programs()?;
    test::soak(&binary, rest)
}

fn crash(rest: &[&str]) -> Outcome {
    let (lvm, rest) = match rest {
        ["--lvm", rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let sample = match rest {
        [] => false,
        ["--sample"] => true,
        _ => return Err(Failed::new("crash-matrix takes --lvm, then --sample, or nothing")),
    };
    if let Some(binary) = std::env::var_os("BECKET") {
        return crash_matrix::run(binary.as_ref(), lvm, sample);
    }
    let binary = setup::binary()?;
    setup::host_programs()?;
    match lvm && guest::needed() {
        true => crash_matrix::run_in_guest(&binary, sample),
        false => crash_matrix::run(&binary, lvm, sample),
    }
}
