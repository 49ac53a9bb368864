//! What is asked of the API server, in ways that cost it little however much there is.

use super::objects::{CLAIMS, FLOW};
use crate::cluster::Cluster;
use crate::run::{Failed, Outcome};
use std::io::Write;
use std::process::Stdio;

/// The API server of a cluster.
pub struct Api<'a> {
    pub cluster: &'a Cluster,
}

impl Api<'_> {
    /// Makes the objects of a manifest, which must be new.
    pub fn make(&self, manifest: &str) -> Outcome {
        let failed = |error| Failed::new(format!("cannot run kubectl: {error}"));
        let mut create = self.cluster.command("kubectl")?;
        create.args(["create", "--validate=false", "-f", "-"]);
        create.stdin(Stdio::piped()).stdout(Stdio::null());
        let mut create = create.spawn().map_err(failed)?;
        let given = create.stdin.take().map_or(Ok(()), |mut to| to.write_all(manifest.as_bytes()));
        let ended = create.wait().map_err(failed)?;
        given.map_err(failed)?;
        match ended.success() {
            true => Ok(()),
            false => Err(Failed::new(format!("objects were not made: kubectl ended with {ended}"))),
        }
    }

    /// How many nodes tell of their room.
    pub fn rooms(&self) -> Outcome<usize> {
        self.number("/apis/storage.k8s.io/v1/csistoragecapacities")
    }

    /// How many persistent volumes there are.
    pub fn volumes(&self) -> Outcome<usize> {
        self.number("/api/v1/persistentvolumes")
    }

    /// How many claims are bound, which is the cluster's own work.
    pub fn bound(&self) -> Outcome<usize> {
        let phases = ["get", "pvc", "-n", CLAIMS, "-o=jsonpath={.items[*].status.phase}"];
        let phases = self.cluster.read("kubectl", &phases)?;
        Ok(phases.split_whitespace().filter(|phase| *phase == "Bound").count())
    }

    /// Has the cluster delete all claims.
    pub fn delete_claims(&self) -> Outcome {
        self.cluster.read("kubectl", &["delete", "namespace", CLAIMS, "--wait=false"]).map(drop)
    }

    /// How many requests the processes have made so far.
    pub fn requests(&self) -> Outcome<u64> {
        let metrics = self.cluster.read("kubectl", &["get", "--raw", "/metrics"])?;
        sum(&metrics, "apiserver_flowcontrol_dispatched_requests_total{", FLOW)
    }

    /// How many objects there are of a kind: those of a page of one, and what the API server says is left.
    fn number(&self, path: &str) -> Outcome<usize> {
        let page = self.cluster.read("kubectl", &["get", "--raw", &format!("{path}?limit=1")])?;
        Ok(counted(&page))
    }
}

fn counted(page: &str) -> usize {
    let first = page.split("\"items\":").nth(1).is_some_and(|items| items.starts_with("[{"));
    let more = page.split("\"remainingItemCount\":").nth(1);
    let digits = more.and_then(|text| text.split(|other: char| !other.is_ascii_digit()).next());
    usize::from(first) + digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// The sum of the values of this metric whose labels have that word.
fn sum(metrics: &str, metric: &str, word: &str) -> Outcome<u64> {
    let ours = metrics.lines().filter(|line| line.starts_with(metric) && line.contains(word));
    let values =
        ours.map(|line| line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok()));
    let sum: Option<f64> = values.sum();
    sum.map(|sum| sum as u64)
        .ok_or_else(|| Failed::new(format!("the API server has no number for `{metric}`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_counted_by_one_page() {
        let page = r#"{"metadata":{"continue":"x","remainingItemCount":41},"items":[{"a":1}]}"#;
        assert_eq!(counted(page), 42);
        assert_eq!(counted(r#"{"metadata":{},"items":[{"a":1}]}"#), 1);
        assert_eq!(counted(r#"{"metadata":{},"items":[]}"#), 0);
    }

    #[test]
    fn requests_are_those_of_one_flow() {
        let metrics = "# TYPE requests counter\nrequests{flow_schema=\"ours\",x=\"a\"} 5\n\
                       requests{flow_schema=\"ours\",x=\"b\"} 1.2e+03\nrequests{flow_schema=\"no\"} 7\n";
        assert_eq!(sum(metrics, "requests{", "\"ours\"").unwrap(), 1205);
        assert!(sum("requests{a=\"ours\"} x", "requests{", "ours").is_err());
    }
}
