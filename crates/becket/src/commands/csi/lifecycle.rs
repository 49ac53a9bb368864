//! `becket csi lifecycle`: the whole life of a volume, against any driver.

mod content;
mod copies;
mod life;
mod plan;
mod report;
mod steps;

use super::secrets::Secrets;
use super::{Done, connect};
use crate::args::{LifecycleArgs, Reach};
use crate::output::{self, Form};
use becket_core::{Error, Kind};
use becket_csi::client::Capabilities;
use life::{Life, Undo};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use uuid::Uuid;

/// Runs the life, takes it back, and shows what it came to. The error is the first one.
pub(super) fn run(reach: &Reach, args: &LifecycleArgs, form: Form) -> Done {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // The first signal ends the life after its current call, and it is taken back; the second one
        // ends the program.
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&interrupted))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&interrupted)))
            .map_err(|error| {
                Error::new(Kind::Internal, format!("cannot catch signals: {error}"))
            })?;
    }
    let secrets = Secrets::read(args.secrets.as_deref())?;
    let controller = args.controller_endpoint.as_ref().or(reach.endpoint.as_ref());
    let node = args.node_endpoint.as_ref().or(reach.endpoint.as_ref()).or(controller);
    let controller = controller.or(node);
    let mut life = Life {
        node: match node == controller {
            true => None,
            false => Some(connect(node, reach.timeout)?),
        },
        controller: connect(controller, reach.timeout)?,
        capabilities: Capabilities::default(),
        secrets,
        report: report::Report::default(),
        undo: Vec::new(),
        interrupted,
    };
    let places = places(args, &mut life)?;
    let lived = steps::live(&mut life, args, &places);
    if args.keep {
        life.report.show(form)?;
        life.say_kept();
        return lived;
    }
    if lived.is_err() && !life.undo.is_empty() {
        output::say("taking back what there is");
    }
    let taken_back = life.take_all_back();
    // Last, because what is shown at the end is also what is true at the end.
    life.report.show(form)?;
    lived.and(taken_back)
}

/// What the volumes are called, and where they are staged and published.
pub(super) struct Places {
    pub(super) name: String,
    pub(super) staging: PathBuf,
    pub(super) targets: PathBuf,
}

fn places(args: &LifecycleArgs, life: &mut Life) -> Result<Places, Error> {
    let made = |error: std::io::Error| {
        Error::new(Kind::Internal, format!("cannot make a temporary directory: {error}"))
    };
    let absolute = |path: &PathBuf| {
        std::path::absolute(path).map_err(|error| {
            Error::new(Kind::Invalid, format!("`{}` is no directory: {error}", path.display()))
        })
    };
    let name = args.name.clone().unwrap_or_else(|| {
        let id = Uuid::new_v4().simple().to_string();
        format!("lifecycle-{}", &id[..8])
    });
    let own = match (&args.staging_dir, &args.target_dir) {
        (Some(_), Some(_)) => PathBuf::new(),
        _ => {
            let own = tempfile::Builder::new().prefix("becket-lifecycle-").tempdir();
            let own = own.map_err(made)?.keep();
            life.undo.push(Undo::Directory { id: String::new(), path: own.clone() });
            own
        }
    };
    Ok(Places {
        name,
        staging: args.staging_dir.as_ref().map_or_else(|| Ok(own.clone()), absolute)?,
        targets: args.target_dir.as_ref().map_or_else(|| Ok(own.clone()), absolute)?,
    })
}
