//! What volumes of claims go through on a cluster after they are made: growing, other attributes, snapshots,
//! also of several at one moment, copies, raw devices.
//! Who does that for the drivers, Becket itself or the official sidecars, is the caller's choice.

use super::waiting::{TIMEOUT, becomes, comes};
use crate::cluster::{Cluster, Snapshots};
use crate::run::{Failed, Outcome};

const CLAIM: &str = include_str!("duties.yaml");
const SNAPSHOT: &str = include_str!("snapshot.yaml");
const COPIES: &str = include_str!("copies.yaml");
const GROUP: &str = include_str!("groups.yaml");
const MEMBER: &str = include_str!("member.yaml");

/// A cluster whose drivers are served, and that knows snapshots.
pub struct Duties<'a> {
    cluster: &'a Cluster,
    /// As long as it runs, the cluster knows them.
    _snapshots: Snapshots,
}

impl<'a> Duties<'a> {
    /// Lets the cluster know snapshots.
    pub fn on(cluster: &'a Cluster) -> Outcome<Duties<'a>> {
        Ok(Duties { cluster, _snapshots: Snapshots::on(cluster)? })
    }

    /// From the first claim to the last trace.
    pub fn life(&self) -> Outcome {
        self.cluster.apply(CLAIM)?;
        self.becomes_ready("grows")?;
        self.inside("grows", "grep -q ' /data xfs ' /proc/mounts && echo old > /data/file")?;
        self.grows("400Mi", 400)?;
        self.recovers_from_too_much()?;
        self.is_modified()?;
        self.is_snapshot_and_copied()?;
        self.is_snapshot_in_a_group()?;
        self.delete_all()
    }

    /// Asks for more, and waits until the pod has it.
    fn grows(&self, size: &str, mebibytes: u64) -> Outcome {
        self.ask_for(size)?;
        let capacity = format!("--for=jsonpath={{.status.capacity.storage}}={size}");
        self.kubectl(&["wait", "pvc/grows", &capacity, TIMEOUT])?;
        let free = self.inside("grows", "df -m /data | tail -n 1")?;
        let total = free.split_whitespace().nth(1).and_then(|total| total.parse::<u64>().ok());
        // What the filesystem keeps for itself is less than a quarter.
        match total.is_some_and(|total| total <= mebibytes && total >= mebibytes * 3 / 4) {
            true => Ok(()),
            false => Err(Failed::new(format!("the pod sees `{}`, not {size}", free.trim()))),
        }
    }

    /// Asks for more than there is, and then for less again.
    fn recovers_from_too_much(&self) -> Outcome {
        self.ask_for("900Ti")?;
        let failed = "--for=condition=ControllerResizeError";
        self.kubectl(&["wait", "pvc/grows", failed, TIMEOUT])?;
        self.grows("500Mi", 500)?;
        self.says_nothing()
    }

    /// Has the attributes that it was made with, is refused wrong ones, and gets others.
    fn is_modified(&self) -> Outcome {
        self.has_attributes_of("day")?;
        for wrong in ["never", "foreign"] {
            self.ask(&format!(r#"{{"volumeAttributesClassName":"{wrong}"}}"#))?;
            let status = "--for=jsonpath={.status.modifyVolumeStatus";
            let target = format!("{status}.targetVolumeAttributesClassName}}={wrong}");
            self.kubectl(&["wait", "pvc/grows", &target, TIMEOUT])?;
            let cannot = format!("{status}.status}}=Infeasible");
            self.kubectl(&["wait", "pvc/grows", &cannot, TIMEOUT])?;
            self.has_attributes_of("day")?;
        }
        self.ask(r#"{"volumeAttributesClassName":"hour"}"#)?;
        self.has_attributes_of("hour")?;
        self.says_nothing()
    }

    /// Waits until the claim and its volume say so.
    fn has_attributes_of(&self, class: &str) -> Outcome {
        let current =
            format!("--for=jsonpath={{.status.currentVolumeAttributesClassName}}={class}");
        self.kubectl(&["wait", "pvc/grows", &current, TIMEOUT])?;
        let volume = self.kubectl(&["get", "pvc/grows", "-o=jsonpath={.spec.volumeName}"])?;
        let said = "-o=jsonpath={.spec.volumeAttributesClassName}";
        match self.kubectl(&["get", "pv", &volume, said])? {
            said if said == class => Ok(()),
            said => Err(Failed::new(format!("the volume says `{said}`, its claim `{class}`"))),
        }
    }

    /// Fails while the claim says that something goes on.
    fn says_nothing(&self) -> Outcome {
        let conditions = "-o=jsonpath={.status.conditions}";
        match self.kubectl(&["get", "pvc/grows", conditions])?.as_str() {
            "" | "[]" => Ok(()),
            left => Err(Failed::new(format!("the claim still says {left}"))),
        }
    }

    fn ask_for(&self, size: &str) -> Outcome {
        self.ask(&format!(r#"{{"resources":{{"requests":{{"storage":"{size}"}}}}}}"#))
    }

    /// Changes what the claim asks for.
    fn ask(&self, spec: &str) -> Outcome {
        let patch = format!(r#"{{"spec":{spec}}}"#);
        self.kubectl(&["patch", "pvc/grows", "--patch", &patch]).map(drop)
    }

    /// Takes a snapshot, changes what it was of, and looks at what is made of both.
    fn is_snapshot_and_copied(&self) -> Outcome {
        self.cluster.apply(SNAPSHOT)?;
        let ready = "--for=jsonpath={.status.readyToUse}=true";
        self.kubectl(&["wait", "volumesnapshot/monday", ready, TIMEOUT])?;
        self.inside("grows", "echo new > /data/file && sync")?;
        // Both are at least as large as what they are made of.
        self.cluster.apply(&COPIES.replace("400Mi", "500Mi"))?;
        self.becomes_ready("copies")?;
        let found = self.inside(
            "copies",
            "cat /restored/file /cloned/file; echo raw | dd of=/raw conv=fsync 2>/dev/null; \
             dd if=/raw bs=4 count=1 2>/dev/null",
        )?;
        match found == "old\nnew\nraw\n" {
            true => Ok(()),
            false => Err(Failed::new(format!("the copies hold `{found}`"))),
        }
    }

    /// Takes snapshots of the claim and of its clone at one moment, makes a volume of one, and deletes the group.
    fn is_snapshot_in_a_group(&self) -> Outcome {
        self.kubectl(&["label", "pvc/grows", "pvc/cloned", "group=both"])?;
        self.cluster.apply(GROUP)?;
        let ready = "--for=jsonpath={.status.readyToUse}=true";
        self.kubectl(&["wait", "volumegroupsnapshot/both", ready, TIMEOUT])?;
        self.inside("grows", "echo newer > /data/file && sync")?;
        let member = comes("snapshot of the claim as one of a group", || self.member())?;
        self.kubectl(&["wait", &format!("volumesnapshot/{member}"), ready, TIMEOUT])?;
        self.cluster.apply(&MEMBER.replace("SNAPSHOT", &member))?;
        self.becomes_ready("member")?;
        let found = self.inside("member", "cat /data/file")?;
        if found != "new\n" {
            return Err(Failed::new(format!("what is made of a group's snapshot holds `{found}`")));
        }
        self.kubectl(&["delete", "pod/member", "pvc/member", TIMEOUT])?;
        self.kubectl(&["delete", "volumegroupsnapshot/both", TIMEOUT])?;
        self.kubectl(&["wait", "--for=delete", "volumegroupsnapshotcontents", "--all", TIMEOUT])?;
        self.kubectl(&["delete", "volumegroupsnapshotclass/groups", TIMEOUT]).map(drop)
    }

    /// The snapshot of the claim that is a group's.
    fn member(&self) -> Outcome<Option<String>> {
        let words = "-o=jsonpath={range .items[*]}{.metadata.name} \
                     {.spec.source.persistentVolumeClaimName} {.status.volumeGroupSnapshotName}{\"\\n\"}{end}";
        let found = self.kubectl(&["get", "volumesnapshots", words])?;
        let name = found.lines().find_map(|line| line.strip_suffix(" grows both"));
        Ok(name.map(str::to_owned))
    }

    /// The claim goes before its snapshot, as people do it.
    fn delete_all(&self) -> Outcome {
        self.kubectl(&["delete", "pod/grows", "pod/copies", TIMEOUT])?;
        self.kubectl(&["delete", "pvc/grows", "pvc/restored", "pvc/cloned", "pvc/raw", TIMEOUT])?;
        self.kubectl(&["delete", "volumesnapshot/monday", TIMEOUT])?;
        self.is_gone("volumesnapshotcontents")?;
        self.is_gone("pv")?;
        self.kubectl(&["delete", "volumesnapshotclass/snapshots", "storageclass/grows", TIMEOUT])?;
        self.kubectl(&["delete", "volumeattributesclass", "--all", TIMEOUT]).map(drop)
    }

    /// Waits until there are none of the class `grows`, or of the snapshots.
    fn is_gone(&self, kinds: &str) -> Outcome {
        let names =
            "-o=jsonpath={range .items[*]}{.metadata.name} {.spec.storageClassName}{\"\\n\"}{end}";
        becomes(&format!("end of all {kinds}"), || {
            let found = self.kubectl(&["get", kinds, names])?;
            let ours = |line: &str| line.starts_with("snapcontent-") || line.ends_with(" grows");
            Ok(!found.lines().any(ours))
        })
    }

    fn becomes_ready(&self, pod: &str) -> Outcome {
        let pod = format!("pod/{pod}");
        self.kubectl(&["wait", &pod, "--for=condition=Ready", TIMEOUT]).map(drop)
    }

    fn inside(&self, pod: &str, script: &str) -> Outcome<String> {
        self.kubectl(&["exec", pod, "--", "sh", "-c", script])
    }

    fn kubectl(&self, arguments: &[&str]) -> Outcome<String> {
        self.cluster.read("kubectl", arguments)
    }
}
