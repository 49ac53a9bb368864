//! Words for mounts of NFS (nfs(5)): what is taken, and what is left out.
//!
//! Left out on purpose: `addr`, `clientaddr`, `mountaddr`, `mounthost`, `port` and `mountport`, which would
//! lead elsewhere than to the server that is named; `vers` and its like, which the pool decides for all
//! its mounts; `fsc`, which needs a daemon of the host; `bg`, `fg` and `retry`, which are the program
//! mount.nfs's and not the kernel's; `context` and its like, which are not the volume's to say; and
//! `fg`-like waiting of any kind, because the engine has its own deadlines.

/// The words that are taken.
pub(super) const WORDS: &[&str] = &[
    // What becomes of a request that the server does not answer.
    "hard",
    "soft",
    "softerr",
    "softreval",
    "timeo",
    "retrans",
    // How attributes and names are kept: trades freshness between nodes for speed.
    "ac",
    "noac",
    "acregmin",
    "acregmax",
    "acdirmin",
    "acdirmax",
    "actimeo",
    "lookupcache",
    "cto",
    "nocto",
    // How much goes over the wire at once, and over how many connections.
    "rsize",
    "wsize",
    "nconnect",
    "rdirplus",
    "nordirplus",
    "proto",
    // Whether a client may use a port that only root may: cloud servers differ in what they want.
    "resvport",
    "noresvport",
    // NFSv3 alone: locks without the lock daemon, ACLs, and the protocol of its mount daemon.
    "lock",
    "nolock",
    "local_lock",
    "acl",
    "noacl",
    "mountproto",
    "mountvers",
    // NFSv4 alone: a client that moves to another server keeps its identity.
    "migration",
    "nomigration",
    // Who the client says it is: sys, or Kerberos where the host is set up for it.
    "sec",
    // Whether mounts of one export share their cache.
    "sharecache",
    "nosharecache",
];
