package kubelet

import (
	"strings"
	"testing"

	"k8s.io/kubernetes/pkg/volume"
)

func TestASetUpThatFailsLeavesNothingAndSaysWhy(t *testing.T) {
	cases := map[string]struct {
		options options
		fsType  string
	}{
		"the volume is missing and has no size": {options: options{"name": "missing"}},
		"the file system is unknown":            {options: ordinaryOptions("data"), fsType: "nosuchfs"},
		"the name is missing":                   {options: options{"size": "64Mi"}},
		"the name leaves the pool":              {options: ordinaryOptions("../../data")},
		"the name is empty":                     {options: ordinaryOptions("")},
		"the pool is missing":                   {options: ordinaryOptions("data").with(options{"pool": "nosuchpool"})},
		"the size is no size":                   {options: ordinaryOptions("data").with(options{"size": "many"})},
		"the size is negative":                  {options: ordinaryOptions("data").with(options{"size": "-64Mi"})},
		"the provisioning is unknown":           {options: ordinaryOptions("data").with(options{"provisioning": "imagined"})},
	}
	for name, test := range cases {
		for kind, newSpec := range kinds {
			t.Run(name+", "+kind, func(t *testing.T) {
				n, k := withDriver(t)
				spec, pod := newSpec(tested.name, "claim", test.options, false), newPod("default", "one")
				setFSType(spec, test.fsType)

				// The kubelet retries: the second time must be as clean as the first.
				for range 2 {
					directory, err := k.setUp(spec, pod, volume.MounterArgs{})
					if err == nil {
						k.mustTearDown(spec, pod)
						t.Fatal("set up")
					}
					_, reason, found := strings.Cut(err.Error(), "status: Failure, reason: ")
					if !found || strings.TrimSpace(reason) == "" {
						t.Errorf("the kubelet would report %q, which gives no reason", err)
					}
					if exists(t, directory) {
						t.Error("the pod's directory is still there")
					}
					n.expectNothingLeft()
				}
			})
		}
	}
}

func TestAVolumeCanBeSetUpOnceTheReasonOfItsFailureIsGone(t *testing.T) {
	n, k := withDriver(t)
	spec, pod := persistent(tested.name, "claim", options{"name": "late"}, false), newPod("default", "one")
	if directory, err := k.setUp(spec, pod, volume.MounterArgs{}); err == nil {
		t.Fatalf("%s was set up from a volume that does not exist", directory)
	}
	n.makeVolume("late")
	expectCapacity(t, k.mustSetUp(spec, pod), 64*mebibyte)
	k.mustTearDown(spec, pod)
}

func TestAnExistingVolumeIsNeverFormattedToAnotherFileSystem(t *testing.T) {
	needDevices(t)
	needFileSystem(t, "xfs")
	n, k := withDriver(t)
	pod := newPod("default", "one")
	// Large enough for xfs, so that only the driver's care stands between the data and mkfs.
	spec, other := fileSystem{"ext4", 320 * mebibyte, 0}.volume("data"), fileSystem{"xfs", 320 * mebibyte, 0}.volume("data")
	write(t, "kept", k.mustSetUp(spec, pod), "file")
	k.mustTearDown(spec, pod)

	if _, err := k.setUp(other, pod, volume.MounterArgs{}); err == nil {
		t.Error("a volume with ext4 was set up as xfs")
		k.mustTearDown(other, pod)
	}
	n.expectNothingLeft()

	expectContent(t, "kept", k.mustSetUp(spec, pod), "file")
	k.mustTearDown(spec, pod)
}
