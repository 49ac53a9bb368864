package kubelet

import (
	"testing"
)

// TestTheOptionsOfTheClassicExampleNameTheSameVolume is about the options of Kubernetes' own example of an LVM driver, whose manifests people
// have: the volume's name, its volume group, and sizes as LVM writes them.
func TestTheOptionsOfTheClassicExampleNameTheSameVolume(t *testing.T) {
	classic := options{"volumeID": "data", "volumegroup": "kube_vg", "size": "1000m"}
	if tested.name != lvmDriver.name {
		_, k := withDriver(t)
		if err := k.setUpOnly(persistent(tested.name, "claim", classic, false), newPod("default", "one")); err == nil {
			t.Errorf("%s took options that only LVM has", tested.name)
		}
		return
	}
	for mode, start := range map[string]func(*testing.T) (*node, *kubelet){"mount-only": withDriver, "attachable": withAttachableDriver} {
		t.Run(mode, func(t *testing.T) {
			n, k := start(t)
			n.makeGroup("kube_vg")
			spec, pod := persistent(tested.name, "claim", classic, false), newPod("default", "one")
			device := ""
			if mode == "attachable" {
				device, _ = k.stage(spec, pod)
			}
			directory := k.mustSetUp(spec, pod)
			expectCapacity(t, directory, 1000*mebibyte)
			write(t, "kept", directory, "file")
			k.mustTearDown(spec, pod)

			// The same volume by our own words for it, and under another name of the kubelet's.
			other := persistent(tested.name, "other", options{"name": "data", "pool": "kube_vg", "size": "1000Mi"}, false)
			if mode == "attachable" {
				k.unmountDevice(spec, device)
				k.detach(spec)
				device, _ = k.stage(other, pod)
			}
			expectContent(t, "kept", k.mustSetUp(other, pod), "file")
			k.mustTearDown(other, pod)
			if mode == "attachable" {
				k.unmountDevice(other, device)
				k.detach(other)
			}
			n.expectNothingLeft()
		})
	}
}
