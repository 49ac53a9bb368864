//! Each callout of the installed driver against the same callout of a script, and both against a
//! process that does nothing.

use crate::Outcome;
use crate::measure::{self, Samples};
use crate::place::{Place, SIZE};
use crate::report::{AtMost, Row};
use std::path::{Path, PathBuf};

/// A callout that makes no filesystem and mounts none is a process start and a few system calls.
const CALLOUT: Option<AtMost> = Some(AtMost::Ms(1.0));

/// One callout of a volume's life; each round takes all of them in order.
struct Step {
    /// Empty for one that is not reported: the first of a round finds the caches cold.
    what: &'static str,
    words: fn(&Turn) -> Vec<&str>,
    target: Option<AtMost>,
}

const fn step(what: &'static str, target: Option<AtMost>, words: fn(&Turn) -> Vec<&str>) -> Step {
    Step { what, words, target }
}

/// Of a driver installed by default. Only the kernel's part of a first mount and of a last unmount
/// takes long, so those have no target of their own.
const MOUNT_ONLY: &[Step] = &[
    step("", None, |_| vec!["init"]),
    step("init", CALLOUT, |_| vec!["init"]),
    step("getvolumename", CALLOUT, |turn| vec!["getvolumename", &turn.options]),
    step("unknown callout", CALLOUT, |_| vec!["frobnicate"]),
    step("mount, makes the volume", None, |turn| vec!["mount", &turn.pods[0], &turn.options]),
    step("mount, again", CALLOUT, |turn| vec!["mount", &turn.pods[0], &turn.options]),
    step("mount, second pod", CALLOUT, |turn| vec!["mount", &turn.pods[1], &turn.options]),
    step("expandfs, large enough", CALLOUT, |turn| {
        vec!["expandfs", &turn.options, "", &turn.pods[0], &turn.size, &turn.size]
    }),
    step("unmount, second pod", CALLOUT, |turn| vec!["unmount", &turn.pods[1]]),
    step("unmount, last pod", None, |turn| vec!["unmount", &turn.pods[0]]),
    step("unmount, again", CALLOUT, |turn| vec!["unmount", &turn.pods[0]]),
    step("mount, made before", None, |turn| vec!["mount", &turn.pods[0], &turn.options]),
    step("", None, |turn| vec!["unmount", &turn.pods[0]]),
];

/// Of a driver installed with attach and device callouts. Becket makes the volume in
/// `waitforattach`, because `attach` need not run on the node; the script does in `attach`.
const ATTACHABLE: &[Step] = &[
    step("", None, |_| vec!["init"]),
    step("attach (the script makes the volume)", None, |turn| {
        vec!["attach", &turn.options, "node"]
    }),
    step("isattached", CALLOUT, |turn| vec!["isattached", &turn.options, "node"]),
    step("waitforattach (becket makes it)", None, |turn| {
        vec!["waitforattach", &turn.device, &turn.options]
    }),
    step("mountdevice", None, |turn| {
        vec!["mountdevice", &turn.device_directory, &turn.device, &turn.options]
    }),
    step("mount, attachable", CALLOUT, |turn| vec!["mount", &turn.pods[0], &turn.options]),
    step("unmount, attachable", CALLOUT, |turn| vec!["unmount", &turn.pods[0]]),
    step("unmountdevice", None, |turn| vec!["unmountdevice", &turn.device_directory]),
    step("detach", CALLOUT, |turn| vec!["detach", &turn.name, "node"]),
];

/// Measures all callouts.
pub(crate) fn measure(place: &Place, rounds: usize) -> Outcome<Vec<Row>> {
    let mut nothing = Samples::default();
    let mut found = Vec::new();
    let mut whole = [Samples::default(), Samples::default()];
    for (attachable, steps) in [(false, MOUNT_ONLY), (true, ATTACHABLE)] {
        let becket = Contestant {
            program: place.install("image", attachable)?,
            kubelet: place.directory("becket")?,
            devices: "plugins/kubernetes.io/flexvolume/becket/image/mounts",
        };
        let script = Contestant {
            program: place.install_script(attachable)?,
            kubelet: place.directory("kubelet")?,
            devices: "plugins",
        };
        let mut times = vec![[Samples::default(), Samples::default()]; steps.len()];
        for round in 0..rounds {
            let name = format!("callouts-{attachable}-{round}");
            measure_round(&[&becket, &script], steps, &name, round, &mut times, &mut nothing)?;
            if attachable {
                for (whole, index) in whole.iter_mut().zip(0..) {
                    whole.add(times[1..].iter().map(|of| of[index].last()).sum());
                }
            }
            place.forget_volume("default", &name)?;
            std::fs::remove_file(script.program.with_file_name("images").join(&name))?;
        }
        found.extend(steps.iter().zip(times).filter(|(step, _)| !step.what.is_empty()));
    }
    // A process that does nothing is the least that any callout can cost.
    let least = found.iter().find(|(step, _)| step.what == "init").map(|(_, [init, _])| {
        Row::new("init, over a process start", init).against("/bin/true", &nothing)
    });
    let all = found.iter().map(|(step, [becket, script])| {
        Row::new(step.what, becket).against("script", script).target(step.target)
    });
    let [becket, script] = &whole;
    let whole = Row::new("attachable, all of these", becket).against("script", script);
    Ok(least.into_iter().chain(all).chain([whole]).collect())
}

/// A driver, with the kubelet's directory that it is told of.
struct Contestant {
    program: PathBuf,
    kubelet: PathBuf,
    devices: &'static str,
}

/// The arguments of one round for one of them.
struct Turn {
    name: String,
    size: String,
    options: String,
    pods: [String; 2],
    device_directory: String,
    /// What `attach` or `waitforattach` answered.
    device: String,
}

impl Contestant {
    /// Makes the directories that the kubelet makes before it calls a driver.
    fn turn(&self, name: &str) -> Outcome<Turn> {
        let directory = |below: String| -> Outcome<String> {
            let path = self.kubelet.join(below);
            std::fs::create_dir_all(&path)?;
            Ok(path.display().to_string())
        };
        Ok(Turn {
            name: name.to_owned(),
            size: SIZE.to_string(),
            options: options(name, "default"),
            pods: [
                directory(format!("pods/one/volumes/driver/{name}"))?,
                directory(format!("pods/two/volumes/driver/{name}"))?,
            ],
            device_directory: directory(format!("{}/{name}", self.devices))?,
            device: String::new(),
        })
    }
}

/// The options of the volume `name`, with what the kubelet adds to them.
pub(crate) fn options(name: &str, pool: &str) -> String {
    described(name, pool).to_string()
}

/// The same, as what more can be added to.
pub(crate) fn described(name: &str, pool: &str) -> serde_json::Value {
    serde_json::json!({
        "kubernetes.io/fsType": "ext4",
        "kubernetes.io/pod.name": "pod",
        "kubernetes.io/pod.namespace": "default",
        "kubernetes.io/pod.uid": "10a5b4d6-6a4c-4c5a-8a8e-1f0a3f3c2a11",
        "kubernetes.io/pvOrVolumeName": name,
        "kubernetes.io/readwrite": "rw",
        "kubernetes.io/serviceAccount.name": "default",
        "name": name,
        "pool": pool,
        "size": SIZE.to_string(),
    })
}

/// All steps, each by all contestants before the next one; who goes first changes with the round.
fn measure_round(
    contestants: &[&Contestant; 2],
    steps: &[Step],
    name: &str,
    round: usize,
    times: &mut [[Samples; 2]],
    nothing: &mut Samples,
) -> Outcome {
    let mut turns = [contestants[0].turn(name)?, contestants[1].turn(name)?];
    for (step, times) in steps.iter().zip(times) {
        nothing.add(measure::run_well::<&str>(Path::new("/bin/true"), &[])?.took);
        for index in [round % 2, (round + 1) % 2] {
            let words = (step.words)(&turns[index]);
            let ran = measure::run(&contestants[index].program, &words)?;
            let reply: serde_json::Value = serde_json::from_str(&ran.text).unwrap_or_default();
            if !matches!(reply["status"].as_str(), Some("Success" | "Not supported")) {
                let program = contestants[index].program.display();
                return Err(format!("`{program} {}` said {}", words.join(" "), ran.text).into());
            }
            times[index].add(ran.took);
            if let Some(device) = reply["device"].as_str() {
                turns[index].device = device.to_owned();
            }
        }
    }
    for path in turns.iter().flat_map(|turn| turn.pods.iter().chain([&turn.device_directory])) {
        match std::fs::remove_dir(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}
