//! The parts of a node: what each is, what must be there before it starts, and its command line.

use crate::configuration::{CONTAINERD, FLEX_VOLUMES, KEYS, KUBELET};
use crate::ground::{PACKAGES, PROGRAMS};
use crate::network::{ADDRESS, API, NODE, SERVICES};
use std::path::{Path, PathBuf};
use std::process::Command;

/// One program of the node.
pub(crate) struct Part {
    /// Its name, and the name of its log.
    pub(crate) name: &'static str,
    /// What must have come to be before it starts: see [`Part::once`] and `life.rs`.
    pub(crate) after: &'static [&'static str],
    /// It does one thing and ends; that its name has come to be then. Others are started again when they end.
    pub(crate) once: bool,
}

/// All of them. The API server starts before etcd answers: it asks until it does.
pub(crate) const PARTS: [Part; 9] = [
    once("keys", &[]),
    lasting("etcd", &[]),
    lasting("containerd", &[]),
    once("images", &["containerd"]),
    lasting("kube-apiserver", &["keys"]),
    once("await", &["keys"]),
    lasting("kubelet", &["keys", "images"]),
    lasting("kube-scheduler", &["api"]),
    lasting("kube-controller-manager", &["api"]),
];

const fn once(name: &'static str, after: &'static [&'static str]) -> Part {
    Part { name, after, once: true }
}

const fn lasting(name: &'static str, after: &'static [&'static str]) -> Part {
    Part { name, after, once: false }
}

impl Part {
    /// Its command line.
    pub(crate) fn command(&self) -> Command {
        let program: PathBuf = match self.name {
            "containerd" => "containerd".into(),
            "images" => "ctr".into(),
            part => Path::new(PROGRAMS).join(part),
        };
        let mut command = Command::new(program);
        command.args(self.arguments());
        command
    }

    fn arguments(&self) -> Vec<String> {
        let text = match self.name {
            "keys" => format!(
                "-directory {KEYS} -server https://{ADDRESS} -addresses {ADDRESS},{API},127.0.0.1 -node {NODE}"
            ),
            "await" => format!("-kubeconfig {KEYS}/admin.kubeconfig -node {NODE}"),
            "images" => format!(
                "--address {CONTAINERD} --namespace k8s.io images import {PACKAGES}/busybox.tar"
            ),
            // Whether its data survives a power cut is nothing to a cluster that does not.
            "etcd" => "--data-dir /run/cluster/etcd --unsafe-no-fsync --log-level warn".to_owned(),
            "kube-apiserver" => api_server(),
            // Not as an account for each controller, whose tokens take seconds to be made; and with more
            // requests in a second than are good for a big cluster, because thousands of claims take minutes
            // otherwise.
            "kube-controller-manager" => format!(
                "--kubeconfig {KEYS}/admin.kubeconfig --leader-elect=false \
                 --root-ca-file {KEYS}/ca.crt --service-account-private-key-file {KEYS}/accounts.key \
                 --flex-volume-plugin-dir {FLEX_VOLUMES} --kube-api-qps 500 --kube-api-burst 1000"
            ),
            "kube-scheduler" => {
                format!("--kubeconfig {KEYS}/scheduler.kubeconfig --leader-elect=false")
            }
            "kubelet" => format!(
                "--config {KUBELET} --kubeconfig {KEYS}/kubelet.kubeconfig \
                 --hostname-override {NODE} --node-ip {ADDRESS}"
            ),
            _ => String::new(),
        };
        text.split_whitespace().map(str::to_owned).collect()
    }
}

/// The kubelet is asked at its address: there is no name service that knows the node's name.
fn api_server() -> String {
    format!(
        "--etcd-servers http://127.0.0.1:2379 --secure-port 443 --advertise-address {ADDRESS} \
         --service-cluster-ip-range {SERVICES} --client-ca-file {KEYS}/ca.crt \
         --tls-cert-file {KEYS}/apiserver.crt --tls-private-key-file {KEYS}/apiserver.key \
         --service-account-issuer https://kubernetes.default.svc \
         --service-account-key-file {KEYS}/accounts.pub \
         --service-account-signing-key-file {KEYS}/accounts.key \
         --kubelet-client-certificate {KEYS}/kubelet-client.crt \
         --kubelet-client-key {KEYS}/kubelet-client.key \
         --kubelet-preferred-address-types InternalIP --authorization-mode Node,RBAC \
         --enable-admission-plugins NodeRestriction --allow-privileged"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_can_start_once_the_others_have() {
        let mut facts = vec!["containerd", "api", "node", "account"];
        facts.extend(PARTS.iter().filter(|part| part.once).map(|part| part.name));
        for part in &PARTS {
            assert!(part.after.iter().all(|fact| facts.contains(fact)), "{}", part.name);
            let alone = ["containerd"].contains(&part.name);
            assert!(alone || !part.arguments().is_empty(), "{} has no arguments", part.name);
        }
    }
}
