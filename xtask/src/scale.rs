//! `cargo xtask scale`: what a big cluster costs. A real API server with its controllers, as many processes of
//! Becket as there would be nodes, each with a pool of its own, and thousands of claims. No kubelet runs on these
//! nodes: a claim says which node it is for, as the scheduler would have written.

mod api;
mod fleet;
mod objects;

use crate::chart::{CHART, Helm, RELEASE};
use crate::cluster::{self, Options};
use crate::run::{Failed, Outcome, made};
use crate::setup;
use api::Api;
use fleet::Fleet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// All that the chart makes but its pods: the processes of these are started here.
const INSTALL: [&str; 7] = [
    "install",
    RELEASE,
    CHART,
    "--create-namespace",
    "--set-json=node.nodeSelector={\"scale\":\"none\"}",
    "--set-json=storageClasses.becket-directory=null",
    "--set=drivers.directory.enabled=false",
];

/// The numbers of processes that are looked at before there are claims, and the parts in which claims come.
const STEPS: usize = 4;
const PARTS: usize = 5;

/// How long nothing happens before memory is read.
const REST: Duration = Duration::from_secs(5);

/// How often it is looked whether something has come to be, and for how long.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30 * 60);

/// What the command line asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Asked {
    nodes: usize,
    claims: usize,
    burst: usize,
}

/// The action of the command line.
pub fn action(words: &[&str]) -> Outcome {
    let asked = parse(words)?;
    if let Some(reason) = cluster::impossible() {
        return Err(Failed::new(format!("no cluster is possible here: {reason}")));
    }
    let (helm, binary) = (Helm::ready()?, cluster::binary()?);
    setup::host_programs()?;
    let logs = logs()?;
    let cluster = cluster::up(&Options { name: format!("scale-{}", std::process::id()) })?;
    helm.on(&cluster, &INSTALL)?;
    let api = Api { cluster: &cluster };
    api.make(&objects::ground(asked.nodes))?;
    let mut scale = Scale { api, fleet: Fleet::new(&cluster, &binary, &logs)? };
    let measured = scale.measure(asked);
    eprintln!("{} warnings in the logs in `{}`", scale.fleet.warnings()?, logs.display());
    measured
}

/// A cluster and its nodes, and what is measured of them.
struct Scale<'a> {
    api: Api<'a>,
    fleet: Fleet<'a>,
}

impl<'a> Scale<'a> {
    fn measure(&mut self, asked: Asked) -> Outcome {
        println!(
            "nodes  claims  made in  a second  requests  processor   own memory of a process    resident"
        );
        println!(
            "                 seconds            a volume  a volume    least  median    most        median"
        );
        for nodes in steps(asked.nodes) {
            let since = Instant::now();
            self.fleet.grow(nodes)?;
            // Each tells the scheduler of its room once it knows the classes.
            self.reaches(nodes, "nodes that tell of their room", Api::rooms)?;
            std::thread::sleep(REST);
            self.line(nodes, 0, &format!("{:>7.1}", (since.elapsed() - REST).as_secs_f64()))?;
        }
        let mut there = 0;
        for part in 1..=PARTS {
            let upto = asked.claims * part / PARTS;
            let costs = self.provision(asked.nodes, there..upto, false)?;
            there = upto;
            self.line(asked.nodes, there, &costs)?;
        }
        let all = there + asked.burst;
        let costs = self.provision(1, there..all, true)?;
        println!("{} claims at once for one node that finds them when it comes back:", asked.burst);
        self.line(asked.nodes, all, &costs)?;
        self.delete(all)
    }

    /// Makes claims for these nodes in turn, and waits until all have volumes. With `at_once` the node does not
    /// run until the last of them is there.
    fn provision(
        &mut self,
        nodes: usize,
        claims: std::ops::Range<usize>,
        at_once: bool,
    ) -> Outcome<String> {
        let (number, wanted) = (claims.len(), claims.end);
        let (requests, processor) = (self.api.requests()?, self.fleet.processor()?);
        let mut since = Instant::now();
        let claims = objects::claims(claims, nodes);
        if at_once {
            self.fleet.stop(0)?;
            self.api.make(&claims)?;
            self.fleet.go_on(0)?;
            since = Instant::now();
        } else {
            self.api.make(&claims)?;
        }
        self.reaches(wanted, "persistent volumes", Api::volumes)?;
        let took = since.elapsed().as_secs_f64();
        self.reaches(wanted, "bound claims", Api::bound)?;
        std::thread::sleep(REST);
        let each = |all: f64| all / number as f64;
        let requests = each((self.api.requests()? - requests) as f64);
        let processor = each((self.fleet.processor()? - processor).as_secs_f64() * 1000.0);
        let rate = number as f64 / took;
        Ok(format!("{took:>7.1}  {rate:>8.1}  {requests:>8.1}  {processor:>6.1} ms"))
    }

    /// Deletes all claims, and waits until no volume is left anywhere.
    fn delete(&mut self, number: usize) -> Outcome {
        let (requests, since) = (self.api.requests()?, Instant::now());
        self.api.delete_claims()?;
        self.reaches(0, "persistent volumes", Api::volumes)?;
        let took = since.elapsed().as_secs_f64();
        let requests = (self.api.requests()? - requests) as f64 / number as f64;
        println!(
            "all deleted in {took:.1} s: {:.1} a second, {requests:.1} requests a volume",
            number as f64 / took
        );
        self.fleet.has_no_volumes()
    }

    /// Waits until there are so many, as long as all processes run.
    fn reaches(
        &self,
        number: usize,
        what: &str,
        count: impl Fn(&Api<'a>) -> Outcome<usize>,
    ) -> Outcome {
        let since = Instant::now();
        loop {
            let there = count(&self.api)?;
            if there == number {
                return Ok(());
            }
            if since.elapsed() > LONGEST {
                return Err(Failed::new(format!("there are {there} {what} and not {number}")));
            }
            self.fleet.memory()?;
            std::thread::sleep(PAUSE);
        }
    }

    /// A line of the table: what something cost, and the memory afterwards.
    fn line(&self, nodes: usize, claims: usize, costs: &str) -> Outcome {
        let memory = self.fleet.memory()?;
        println!("{nodes:>5}  {claims:>6}  {costs:<40}{memory}");
        Ok(())
    }
}

/// The numbers of processes that are looked at: one, and more up to all.
fn steps(nodes: usize) -> Vec<usize> {
    let more = (1..=STEPS).map(|step| nodes * step / STEPS).filter(|number| *number > 1);
    std::iter::once(1).chain(more).collect()
}

/// Where the logs of the processes are afterwards.
fn logs() -> Outcome<PathBuf> {
    let logs = setup::target_directory().join("scale");
    made(&logs)?;
    Ok(logs)
}

fn parse(words: &[&str]) -> Outcome<Asked> {
    let mut asked = Asked { nodes: 200, claims: 5000, burst: 500 };
    let mut rest = words;
    while let [option, value, more @ ..] = rest {
        let number = value.parse().ok().filter(|number| (1..=50_000).contains(number));
        let number =
            number.ok_or_else(|| Failed::new(format!("`{value}` is no number from 1 to 50000")))?;
        match *option {
            "--nodes" => asked.nodes = number,
            "--claims" => asked.claims = number,
            "--burst" => asked.burst = number,
            option => return Err(Failed::new(format!("`{option}` is no option of `scale`"))),
        }
        rest = more;
    }
    match rest {
        [] => Ok(asked),
        rest => Err(Failed::new(format!("`{}` takes a number", rest.join(" ")))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_as_big_as_a_big_cluster() {
        assert_eq!(parse(&[]).unwrap(), Asked { nodes: 200, claims: 5000, burst: 500 });
        let asked = parse(&["--nodes", "10", "--burst", "7"]).unwrap();
        assert_eq!(asked, Asked { nodes: 10, claims: 5000, burst: 7 });
        for wrong in [&["--nodes"][..], &["--nodes", "0"], &["--nodes", "x"], &["--pods", "1"]] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_first_look_is_at_one_process_and_the_last_at_all() {
        assert_eq!(steps(200), [1, 50, 100, 150, 200]);
        assert_eq!(steps(2), [1, 2]);
        assert_eq!(steps(1), [1]);
    }
}
