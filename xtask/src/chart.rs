//! `cargo xtask chart`: what can be seen of the Helm chart without running it on a node, and the plain
//! manifests that are rendered from it.

mod helm;
mod values;

use crate::cluster::{self, Cluster, Options};
use crate::run::{Failed, Outcome, failed, root};
pub use helm::Helm;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// The chart, from the top of the repository.
pub const CHART: &str = "deploy/chart";
/// What it is called, and where, when nobody says otherwise.
pub const RELEASE: &str = "becket";
pub const NAMESPACE: &str = "becket-system";

/// The plain manifests, from the top of the repository.
const MANIFESTS: &str = "deploy/becket.yaml";

/// What comes before them: Helm makes the namespace itself. Pods that mount filesystems are privileged.
const HEAD: &str = "\
# Becket without Helm: kubectl apply -f becket.yaml
#
# Made from deploy/chart by `cargo xtask chart --write`; change that.
apiVersion: v1
kind: Namespace
metadata:
  name: becket-system
  labels:
    pod-security.kubernetes.io/enforce: privileged
";

/// All checks; with `write`, the plain manifests are made anew first.
pub fn run(write: bool) -> Outcome {
    let helm = Helm::ready()?;
    let chart = Chart { helm };
    if write {
        let path = root().join(MANIFESTS);
        fs::write(&path, chart.manifests()?).map_err(|error| failed("write", &path, &error))?;
        eprintln!("{MANIFESTS} is written");
    }
    chart.lint()?;
    chart.wrong_values_are_refused()?;
    chart.rights_are_named()?;
    chart.manifests_are_of_this_chart()?;
    match cluster::impossible() {
        Some(reason) => {
            eprintln!("\n!! NOT RUN: the chart's objects on a real API server: {reason}.\n");
            Ok(())
        }
        None => chart.is_taken_by_an_api_server(),
    }
}

/// A Helm that neither reads nor leaves anything of its own in the home directory.
pub fn isolated(mut helm: Command) -> Command {
    let own = std::env::temp_dir().join("becket-helm");
    for name in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
        helm.env(name, &own);
    }
    helm
}

struct Chart {
    helm: Helm,
}

impl Chart {
    /// Runs Helm; gives what it says on stdout, or else on stderr.
    fn helm(&self, arguments: &[&str], sets: &[&str]) -> Result<String, String> {
        let mut helm = isolated(Command::new(self.helm.path()));
        helm.current_dir(root()).args(arguments);
        helm.args(sets.iter().flat_map(|set| ["--set-json", set]));
        let output = helm.output().map_err(|error| format!("helm cannot be run: {error}"))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match output.status.success() {
            true => Ok(text(&output.stdout)),
            false => Err(text(&output.stdout) + &text(&output.stderr)),
        }
    }

    fn rendered(&self, more: &[&str], sets: &[&str]) -> Result<String, String> {
        let words = ["template", RELEASE, CHART, "--namespace", NAMESPACE];
        self.helm(&[&words, more].concat(), sets)
    }

    fn lint(&self) -> Outcome {
        self.helm(&["lint", "--strict", CHART], &[]).map_err(Failed::new)?;
        for (what, sets) in values::RIGHT {
            self.helm(&["lint", "--strict", CHART], sets)
                .map_err(|said| Failed::new(format!("the values of `{what}`: {said}")))?;
        }
        eprintln!("helm lint: nothing to say");
        Ok(())
    }

    fn wrong_values_are_refused(&self) -> Outcome {
        for (set, word) in values::WRONG {
            match self.rendered(&[], &[set]) {
                Ok(_) => return Err(Failed::new(format!("`{set}` is taken, and is wrong"))),
                Err(said) if !said.contains(word) => {
                    return Err(Failed::new(format!(
                        "`{set}` is refused without `{word}`: {said}"
                    )));
                }
                Err(_) => {}
            }
        }
        eprintln!("{} wrong values: refused", values::WRONG.len());
        Ok(())
    }

    /// No right is given by a wildcard.
    fn rights_are_named(&self) -> Outcome {
        for (what, sets) in values::RIGHT {
            let rendered = self.rendered(&[], sets).map_err(Failed::new)?;
            let rules = ["verbs:", "resources:", "apiGroups:"];
            let wild =
                |line: &&str| line.contains('*') && rules.iter().any(|word| line.contains(word));
            if let Some(line) = rendered.lines().find(wild) {
                return Err(Failed::new(format!("the values of `{what}` give any right: {line}")));
            }
        }
        Ok(())
    }

    /// The plain manifests as they should be.
    fn manifests(&self) -> Outcome<String> {
        let rendered = self.rendered(&["--no-hooks"], &[]).map_err(Failed::new)?;
        // They are nobody's but theirs who apply them.
        let managed = |line: &&str| {
            !line.contains("app.kubernetes.io/managed-by:") && !line.contains("helm.sh/chart:")
        };
        let lines: Vec<&str> = rendered.lines().filter(managed).collect();
        Ok(format!("{HEAD}{}\n", lines.join("\n")))
    }

    fn manifests_are_of_this_chart(&self) -> Outcome {
        let path: PathBuf = root().join(MANIFESTS);
        let found = fs::read_to_string(&path).map_err(|error| failed("read", &path, &error))?;
        if found != self.manifests()? {
            return Err(Failed::new(format!(
                "`{MANIFESTS}` is not what the chart makes: run `cargo xtask chart --write`"
            )));
        }
        eprintln!("{MANIFESTS}: of this chart");
        Ok(())
    }

    /// Lets a real API server look at every object: it knows all fields, and admission looks, too.
    fn is_taken_by_an_api_server(&self) -> Outcome {
        let name = format!("chart-{}", std::process::id());
        let cluster = cluster::up(&Options { name })?;
        cluster.read("kubectl", &["create", "namespace", NAMESPACE])?;
        let plain = self.manifests()?;
        take(&cluster, "the plain manifests", &plain)?;
        for (what, sets) in values::RIGHT {
            // OpenShift's own kinds are known to its API server alone; a rule may name them everywhere.
            let rendered = self.rendered(&[], sets).map_err(Failed::new)?;
            take(&cluster, what, &rendered)?;
        }
        Ok(())
    }
}

/// Fails unless the API server would take all of it; what is said of a field counts, too.
fn take(cluster: &Cluster, what: &str, manifest: &str) -> Outcome {
    let path = std::env::temp_dir().join(format!("becket-chart-{}.yaml", std::process::id()));
    fs::write(&path, manifest).map_err(|error| failed("write", &path, &error))?;
    let words = ["apply", "--dry-run=server", "--validate=strict", "-f"];
    let mut apply = cluster.command("kubectl")?;
    let output = apply.args(words).arg(&path).output();
    let output = output.map_err(|error| failed("apply", &path, &error))?;
    let _ = fs::remove_file(&path);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let wrong = said.lines().find(|line| line.starts_with("Warning: unknown field"));
    if !output.status.success() || wrong.is_some() {
        return Err(Failed::new(format!("the API server refuses {what}: {}", said.trim())));
    }
    let objects = String::from_utf8_lossy(&output.stdout).lines().count();
    eprintln!("{what}: {objects} objects, all taken by the API server");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image;

    #[test]
    fn the_chart_asks_for_the_image_that_is_made() {
        let read = |name: &str| fs::read_to_string(root().join(CHART).join(name)).unwrap();
        let of = |text: &str, key: &str| {
            let line = text.lines().find_map(|line| line.trim().strip_prefix(key));
            line.map(|value| value.trim().to_owned()).unwrap()
        };
        let (values, chart) = (read("values.yaml"), read("Chart.yaml"));
        let asked = format!("{}:{}", of(&values, "repository:"), of(&chart, "appVersion:"));
        assert_eq!(asked, image::BECKET);
        assert_eq!(of(&chart, "version:"), env!("CARGO_PKG_VERSION"));
    }
}
