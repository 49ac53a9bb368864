//! The one decision of the engine: what has to be done, given what is and what is wanted.
//!
//! A pure function, so that idempotency is a law instead of a hope: taking the steps of a plan and
//! planning again gives [`Plan::Nothing`].

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spot {
    /// Nothing is mounted there.
    Free,
    /// Our volume is mounted there.
    Ours {
        /// True when it cannot be written through this mount.
        readonly: bool,
    },
    /// Something else is mounted there.
    Foreign,
}

/// What a volume looks like in its pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Bytes its record promises; 0 for a directory without a limit.
    pub promised: u64,
    /// Bytes its storage has; 0 where it has none of its own.
    pub stored: u64,
    /// Bytes its filesystem was made or grown for.
    pub grown: u64,
    /// True when it has a filesystem of its own.
    pub filesystem: bool,
    /// True when its bytes are encrypted.
    pub encrypted: bool,
    /// Bytes that the mapping shows by which they are decrypted; all there are where it is not open.
    pub mapped: u64,
    /// True when a node has claimed it.
    pub claimed: bool,
    /// False when it differs from the wanted one in what can never change: content, provisioning,
    /// origin, parameters.
    pub as_wanted: bool,
}

/// What is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observed {
    /// The visible volume.
    pub volume: Option<Facts>,
    /// True when a hidden preparation of the volume was left behind.
    pub leftover: bool,
    /// What is at the staging path; for raw block, `Ours` when it is attached.
    pub staging: Spot,
    /// What is at the target path.
    pub target: Spot,
    /// Mounts of this volume elsewhere than at the two paths, and the node that has it, where that is
    /// another one.
    pub elsewhere: usize,
    /// True when the volume is attached to a device.
    pub attached: bool,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// The volume exists with `size` bytes. `copied`: from a snapshot or another volume.
    Exists {
        /// Its size.
        size: u64,
        /// Its first data is a copy.
        copied: bool,
        /// It has a filesystem of its own.
        filesystem: bool,
    },
    /// The volume has at least this many bytes.
    Size(u64),
    /// The volume is mounted at the staging path; or attached, where it is raw block.
    Staged,
    /// The staged volume is bound to the target path.
    Published {
        /// It cannot be written through the target.
        readonly: bool,
        /// It is to be nowhere else.
        exclusive: bool,
    },
    /// Nothing of the volume is mounted at the staging path, nor attached without use.
    Unstaged,
    /// The volume does not exist.
    Absent,
}

/// One step. Each is atomic or can be taken again after it was cut short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Remove the hidden leftover.
    Discard,
    /// Make the storage, hidden, empty or copied.
    Build,
    /// Make the filesystem, on storage that is seen to be blank.
    Format,
    /// Give the copied filesystem its own identity and let it fill its storage.
    Adopt,
    /// Make the hidden volume visible.
    Commit,
    /// Write the new size into the record.
    Promise(u64),
    /// Grow the storage to what the record promises.
    GrowStorage,
    /// Let the open mapping of an encrypted volume show all of its storage.
    GrowMapping,
    /// Grow the mounted filesystem to what the storage has.
    GrowFilesystem,
    /// Open the mapping of an encrypted volume; the first time, make what is in it.
    Unlock,
    /// Mount the volume at the staging path, growing its filesystem first where that is due; raw
    /// block is attached instead.
    Stage,
    /// Bind the staged volume to the target path.
    Bind {
        /// Read-only from the first moment.
        readonly: bool,
    },
    /// Unmount the staging path; raw block is detached instead.
    Unstage,
    /// Detach devices that nobody uses.
    Detach,
    /// Move the volume into the trash.
    Trash,
}

/// Why nothing can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflict {
    /// The volume does not exist.
    Missing,
    /// A volume of that name exists and differs in what can never change.
    Different,
    /// A volume of that name exists with another size.
    OtherSize,
    /// Something else is mounted at the staging path.
    StagingTaken,
    /// Something else is mounted at the target path.
    TargetTaken,
    /// The volume is at the target path already, read-only where it was wanted writable or the
    /// other way round.
    OtherAccess,
    /// The volume is not staged.
    NotStaged,
    /// The volume is mounted or attached somewhere.
    InUse,
    /// The volume is at another path, and was wanted at this one alone.
    Elsewhere,
    /// The storage is smaller than the filesystem that was made on it: part of it is lost.
    CutShort,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// It is as wanted.
    Nothing,
    /// These steps, in this order.
    Steps(Vec<Step>),
    /// It cannot be.
    Conflict(Conflict),
}

/// Decides.
pub fn plan(observed: &Observed, wanted: Wanted) -> Plan {
    match wanted {
        Wanted::Exists { size, copied, filesystem } => exists(observed, size, copied, filesystem),
        Wanted::Size(size) => grown(observed, size),
        Wanted::Staged => staged(observed),
        Wanted::Published { readonly, exclusive } => published(observed, readonly, exclusive),
        Wanted::Unstaged => unstaged(observed),
        Wanted::Absent => absent(observed),
    }
}

fn exists(observed: &Observed, size: u64, copied: bool, filesystem: bool) -> Plan {
    match observed.volume {
        Some(facts) if !facts.as_wanted => Plan::Conflict(Conflict::Different),
        Some(facts) if facts.promised != size => Plan::Conflict(Conflict::OtherSize),
        Some(_) => when(observed.leftover, &[Step::Discard]),
        None => {
            let mut steps = Vec::with_capacity(4);
            if observed.leftover {
                steps.push(Step::Discard);
            }
            steps.push(Step::Build);
            match (filesystem, copied) {
                (true, false) => steps.push(Step::Format),
                (true, true) => steps.push(Step::Adopt),
                (false, _) => {}
            }
            steps.push(Step::Commit);
            Plan::Steps(steps)
        }
    }
}

fn grown(observed: &Observed, size: u64) -> Plan {
    let Some(facts) = observed.volume else {
        return Plan::Conflict(Conflict::Missing);
    };
    if cut_short(&facts) {
        return Plan::Conflict(Conflict::CutShort);
    }
    let mut steps = Vec::new();
    let promised = facts.promised.max(size);
    if facts.promised < size {
        steps.push(Step::Promise(size));
    }
    if facts.stored < promised {
        steps.push(Step::GrowStorage);
    }
    if facts.encrypted && facts.mapped < promised {
        steps.push(Step::GrowMapping);
    }
    // Without a mount the filesystem follows when it is staged next.
    let mounted = matches!(observed.staging, Spot::Ours { .. });
    if facts.filesystem && facts.grown < promised && mounted {
        steps.push(Step::GrowFilesystem);
    }
    when(!steps.is_empty(), &steps)
}

fn staged(observed: &Observed) -> Plan {
    let Some(facts) = observed.volume else {
        return Plan::Conflict(Conflict::Missing);
    };
    match observed.staging {
        Spot::Foreign => Plan::Conflict(Conflict::StagingTaken),
        // A growth that its filesystem has yet to follow is the expansion's to finish: a mount that
        // is already there must not fail for it.
        Spot::Ours { .. } => Plan::Nothing,
        Spot::Free if cut_short(&facts) => Plan::Conflict(Conflict::CutShort),
        Spot::Free => {
            let mut steps = Vec::with_capacity(3);
            // It may have been cut short between its promise and its deed.
            if facts.stored < facts.promised {
                steps.push(Step::GrowStorage);
            }
            if facts.encrypted {
                steps.push(Step::Unlock);
            }
            steps.push(Step::Stage);
            Plan::Steps(steps)
        }
    }
}

/// Growing such storage would put zeros where data was.
fn cut_short(facts: &Facts) -> bool {
    facts.filesystem && facts.stored < facts.grown
}

fn published(observed: &Observed, readonly: bool, exclusive: bool) -> Plan {
    if observed.volume.is_none() {
        return Plan::Conflict(Conflict::Missing);
    }
    match (observed.target, observed.staging) {
        (Spot::Ours { readonly: is }, _) if is == readonly => Plan::Nothing,
        (Spot::Ours { .. }, _) => Plan::Conflict(Conflict::OtherAccess),
        (Spot::Foreign, _) => Plan::Conflict(Conflict::TargetTaken),
        (Spot::Free, _) if exclusive && observed.elsewhere > 0 => {
            Plan::Conflict(Conflict::Elsewhere)
        }
        (Spot::Free, Spot::Ours { .. }) => Plan::Steps(vec![Step::Bind { readonly }]),
        (Spot::Free, _) => Plan::Conflict(Conflict::NotStaged),
    }
}

fn unstaged(observed: &Observed) -> Plan {
    let mut steps = Vec::new();
    if observed.staging == Spot::Foreign {
        return Plan::Conflict(Conflict::StagingTaken);
    }
    if let Spot::Ours { .. } = observed.staging {
        steps.push(Step::Unstage);
    }
    if observed.attached && observed.elsewhere == 0 && observed.target == Spot::Free {
        steps.push(Step::Detach);
    }
    when(!steps.is_empty(), &steps)
}

fn absent(observed: &Observed) -> Plan {
    let claimed = observed.volume.is_some_and(|facts| facts.claimed);
    let used = observed.elsewhere > 0 || observed.target != Spot::Free || claimed;
    let mut steps = Vec::new();
    if observed.volume.is_some() && used {
        return Plan::Conflict(Conflict::InUse);
    }
    // Our own staging path without a publication is no use by anybody: a callout was killed there.
    if let Spot::Ours { .. } = observed.staging {
        steps.push(Step::Unstage);
    }
    if observed.attached {
        steps.push(Step::Detach);
    }
    if observed.leftover {
        steps.push(Step::Discard);
    }
    if observed.volume.is_some() {
        steps.push(Step::Trash);
    }
    when(!steps.is_empty(), &steps)
}

fn when(needed: bool, steps: &[Step]) -> Plan {
    match needed {
        true => Plan::Steps(steps.to_vec()),
        false => Plan::Nothing,
    }
}

#[cfg(test)]
mod tests;
