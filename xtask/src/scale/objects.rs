//! The objects that a big cluster has, as manifests.

use crate::chart::NAMESPACE;
use std::fmt::Write as _;
use std::ops::Range;

/// The namespace of the claims.
pub const CLAIMS: &str = "scale";

/// The flow of the API server that all requests of the processes go in, and nothing else.
pub const FLOW: &str = "becket-scale";

/// As any account's requests are treated, but counted apart.
const COUNTED: &str = "\
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: FlowSchema
metadata: {name: FLOW}
spec:
  priorityLevelConfiguration: {name: workload-low}
  matchingPrecedence: 1000
  distinguisherMethod: {type: ByUser}
  rules:
    - subjects: [{kind: ServiceAccount, serviceAccount: {namespace: NAMESPACE, name: becket}}]
      resourceRules:
        - {verbs: ['*'], apiGroups: ['*'], resources: ['*'], namespaces: ['*'], clusterScope: true}
";

const NODE: &str = "\
---
apiVersion: v1
kind: Node
metadata: {name: scale-NUMBER, labels: {kubernetes.io/hostname: scale-NUMBER}}
---
apiVersion: v1
kind: Pod
metadata: {name: scale-NUMBER, namespace: NAMESPACE}
spec:
  nodeName: scale-NUMBER
  tolerations: [{operator: Exists}]
  containers: [{name: becket, image: becket}]
";

const CLAIM: &str = "\
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: claim-NUMBER
  namespace: CLAIMS
  annotations:
    volume.kubernetes.io/storage-provisioner: image.becket.dev
    volume.kubernetes.io/selected-node: scale-NODE
spec:
  accessModes: [ReadWriteOnce]
  storageClassName: becket-image
  resources: {requests: {storage: 16Mi}}
";

/// All that is there before a claim is: nodes, and the pods that the processes say they are.
pub fn ground(nodes: usize) -> String {
    let mut text = COUNTED.replace("FLOW", FLOW);
    let _ = writeln!(text, "---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: {CLAIMS}}}");
    text.extend((0..nodes).map(|number| NODE.replace("NUMBER", &number.to_string())));
    text.replace("NAMESPACE", NAMESPACE)
}

/// Claims of these numbers, for the first so many nodes in turn. The annotations are what the scheduler and the
/// controllers of the cluster write when a pod comes that uses them.
pub fn claims(numbers: Range<usize>, nodes: usize) -> String {
    let claim = |number: usize| {
        let text = CLAIM.replace("CLAIMS", CLAIMS).replace("NUMBER", &number.to_string());
        text.replace("NODE", &(number % nodes).to_string())
    };
    numbers.map(claim).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_for_all_nodes_in_turn() {
        let text = claims(3..6, 2);
        let nodes: Vec<&str> =
            text.lines().filter_map(|line| line.split("selected-node: scale-").nth(1)).collect();
        assert_eq!(nodes, ["1", "0", "1"]);
        assert!(text.contains("name: claim-3\n") && !text.contains("name: claim-6"));
    }
}
