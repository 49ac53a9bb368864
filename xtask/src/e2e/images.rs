//! The images of the tests' pods, made here: one program of Kubernetes' own, a busybox, and a few programs of
//! this machine. No image is pulled.

use super::suite::{REGISTRY, Suite, registries};
use crate::cluster::{self, Cluster};
use crate::image;
use crate::run::{Failed, Outcome, command, failed};
use std::fs;
use std::path::Path;

/// What stands in for images of Kubernetes.
struct StandIn {
    /// Their names, without registry and tag.
    names: &'static [&'static str],
    entrypoint: &'static [&'static str],
    words: &'static [&'static str],
    /// Lays what it has beside a busybox.
    lay: fn(&Suite, &Path) -> Outcome,
}

const STAND_INS: [StandIn; 3] = [
    // The tests take them for their shell alone.
    StandIn {
        names: &["busybox", "nginx"],
        entrypoint: &[],
        words: &["sleep", "infinity"],
        lay: |_, _| Ok(()),
    },
    StandIn { names: &["agnhost"], entrypoint: &["agnhost"], words: &["pause"], lay: lay_agnhost },
    StandIn { names: &["glibc-dns-testing"], entrypoint: &[], words: &["sh"], lay: lay_gnu },
];

/// Puts all of them among the images that pods can have, under the names that the suite asks for.
pub fn load(cluster: &Cluster, suite: &Suite, place: &Path) -> Outcome {
    let list = command(suite.program("e2e.test")).args(&["-list-images"]);
    let list = list.env("KUBE_TEST_REPO_LIST", registries(place)?).read().unwrap_or_default();
    for stand_in in &STAND_INS {
        let names = wanted(&list, stand_in.names);
        if names.is_empty() {
            let names = stand_in.names.join("`, `");
            return Err(Failed::new(format!("the tests ask for no image `{names}` any more")));
        }
        make(stand_in, &names, cluster, suite, place)?;
    }
    Ok(())
}

/// The whole names of the images of these names in the suite's list.
fn wanted<'a>(list: &'a str, names: &[&str]) -> Vec<&'a str> {
    let of_these = |whole: &&str| {
        let local = whole.strip_prefix(REGISTRY).and_then(|rest| rest.strip_prefix('/'));
        let name = local.and_then(|rest| rest.split(':').next());
        name.is_some_and(|name| names.contains(&name))
    };
    list.lines().filter(of_these).collect()
}

fn make(
    stand_in: &StandIn,
    names: &[&str],
    cluster: &Cluster,
    suite: &Suite,
    place: &Path,
) -> Outcome {
    let (files, archive) = (place.join("image"), place.join("image.tar"));
    remove(&files)?;
    let packages = cluster::packages()?;
    image::lay_busybox(&packages.path.join("busybox"), &files)?;
    (stand_in.lay)(suite, &files)?;
    image::pack_docker(&files, names, stand_in.entrypoint, stand_in.words, &archive)?;
    cluster.load_archive(&archive)?;
    remove(&files)?;
    fs::remove_file(&archive).map_err(|error| failed("remove", &archive, &error))
}

fn remove(directory: &Path) -> Outcome {
    match directory.exists() {
        true => fs::remove_dir_all(directory).map_err(|error| failed("remove", directory, &error)),
        false => Ok(()),
    }
}

fn lay_agnhost(suite: &Suite, files: &Path) -> Outcome {
    image::lay_program(&suite.program("agnhost"), "usr/bin/agnhost", files)
}

/// A `dd` that knows `oflag=nocache`, and a shell that runs it: busybox's own prefers what is in busybox.
fn lay_gnu(_: &Suite, files: &Path) -> Outcome {
    for (name, at) in [("dd", "usr/bin/dd"), ("dash", "usr/bin/sh")] {
        let program = image::program_of_this_machine(name);
        let program =
            program.ok_or_else(|| Failed::new(format!("this machine has no `{name}`")))?;
        image::lay_program(&program, at, files)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_found_by_name_whatever_their_version() {
        let list =
            "local/nginx:1.15-4\nelsewhere/agnhost:2.6\nlocal/nginx:1.27-0\nlocal/nginx-x:1\n";
        assert_eq!(
            wanted(list, &["busybox", "nginx"]),
            ["local/nginx:1.15-4", "local/nginx:1.27-0"]
        );
        assert!(wanted(list, &["agnhost"]).is_empty());
    }
}
