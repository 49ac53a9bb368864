//! A real NFS server, the kernel's own, on this machine: started once, over a filesystem in an image file.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// What the server exports as its root; in it each pool has a directory.
const ROOT: &str = "/srv/becket-nfs";

/// The server, held by one test at a time, for some stop it.
pub(crate) struct Server {
    _alone: MutexGuard<'static, ()>,
}

impl Server {
    /// The running server; `None`, with the reason printed, where this kernel or host cannot have one.
    pub(crate) fn start() -> Option<Server> {
        static ALONE: Mutex<()> = Mutex::new(());
        static STARTED: OnceLock<bool> = OnceLock::new();
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        match STARTED.get_or_init(|| able() && set_up()) {
            true => Some(Server { _alone: alone }),
            false => None,
        }
    }

    /// A new directory of the export, and its path as NFSv4 clients say it.
    pub(crate) fn directory(&self) -> (PathBuf, String) {
        static NUMBER: Mutex<u32> = Mutex::new(0);
        let mut number = NUMBER.lock().unwrap();
        *number += 1;
        let name = format!("share-{}-{number}", std::process::id());
        let path = Path::new(ROOT).join(&name);
        std::fs::create_dir(&path).unwrap();
        (path, format!("/{name}"))
    }

    /// The export's root on this machine.
    pub(crate) fn root(&self) -> &Path {
        Path::new(ROOT)
    }

    /// Takes the server away: what talks to it is refused.
    pub(crate) fn stop(&self) {
        must("rpc.nfsd 0");
    }

    /// Takes it away, and puts in its place what takes connections and never answers, until that is
    /// dropped.
    pub(crate) fn hang(&self) -> TcpListener {
        self.stop();
        TcpListener::bind("127.0.0.1:2049").unwrap()
    }

    /// Brings it back.
    pub(crate) fn resume(&self) {
        self.resume_with("");
    }

    /// Brings it back and gives its clients the time to claim their locks back, as servers do.
    pub(crate) fn resume_with_grace(&self) {
        must("exportfs -ra");
        must("rpc.nfsd --grace-time 10 --lease-time 10 4");
    }

    /// Brings it back with more options of rpc.nfsd.
    pub(crate) fn resume_with(&self, options: &str) {
        must("exportfs -ra");
        must(&format!("rpc.nfsd {options} --grace-time 10 --lease-time 10 4"));
        end_grace();
    }
}

/// True when this kernel has an NFS client and this host a server that nobody uses.
fn able() -> bool {
    let quietly = |program: &str, arguments: &[&str]| {
        Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
    };
    for module in ["nfs", "nfsv3", "nfsv4", "nfsd"] {
        quietly("modprobe", &[module]);
    }
    let kinds = std::fs::read_to_string("/proc/filesystems").unwrap();
    for kind in ["nfs", "nfs4", "nfsd"] {
        if !kinds.lines().any(|line| line.split('\t').next_back() == Some(kind)) {
            eprintln!("not checked: this kernel has no `{kind}`; run this in the guest");
            return false;
        }
    }
    if !quietly("sh", &["-c", "command -v rpc.nfsd exportfs rpc.mountd"]) {
        eprintln!("not checked: this host has no NFS server");
        return false;
    }
    let threads = std::fs::read_to_string("/proc/fs/nfsd/threads").unwrap_or_default();
    if threads.trim().parse().is_ok_and(|threads: u32| threads > 0) {
        eprintln!("not checked: this host's NFS server is in use");
        return false;
    }
    true
}

fn set_up() -> bool {
    must(&format!(
        "mkdir -p {ROOT} && truncate -s 4G /tmp/becket-nfs.image && mkfs.xfs -q -f /tmp/becket-nfs.image \
         && mount -o loop,discard /tmp/becket-nfs.image {ROOT} && chmod 755 {ROOT} \
         && mkdir -p {ROOT}/squashed {ROOT}/readonly && mount -t tmpfs tmpfs {ROOT}/squashed \
         && mount -t tmpfs tmpfs {ROOT}/readonly && chmod 777 {ROOT}/squashed"
    ));
    let _ = run("mount -t nfsd nfsd /proc/fs/nfsd");
    let _ = run("mount -t rpc_pipefs rpc_pipefs /var/lib/nfs/rpc_pipefs");
    let _ = run("rpcbind -w || rpcbind");
    let _ = run("rpc.statd");
    std::fs::write(
        "/etc/exports",
        format!(
            "{ROOT} 127.0.0.0/8(rw,sync,no_subtree_check,no_root_squash,fsid=0)\n\
             {ROOT}/squashed 127.0.0.0/8(rw,sync,no_subtree_check,root_squash,fsid=11)\n\
             {ROOT}/readonly 127.0.0.0/8(ro,sync,no_subtree_check,no_root_squash,fsid=12)\n"
        ),
    )
    .unwrap();
    let _ = run("nfsdcld");
    must("exportfs -ra");
    must("rpc.nfsd --grace-time 10 --lease-time 10 4");
    must("rpc.mountd");
    end_grace();
    true
}

/// No client has anything to claim back; without this the first lock waits for seconds.
fn end_grace() {
    let _ = std::fs::write("/proc/fs/lockd/nlm_end_grace", "Y");
    let _ = std::fs::write("/proc/fs/nfsd/v4_end_grace", "Y");
}

fn run(script: &str) -> Result<(), String> {
    let output = Command::new("sh").args(["-c", script]).output().unwrap();
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

/// Runs a shell script that has to go well.
pub(crate) fn must(script: &str) {
    run(script).unwrap_or_else(|words| panic!("`{script}` failed: {words}"));
}
