package kubelet

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/kubernetes/pkg/volume"
)

// needOnlineGrowth skips file systems that cannot be grown here while mounted.
func (f fileSystem) needOnlineGrowth(t *testing.T) {
	t.Helper()
	needFileSystem(t, f.kind)
	if f.kind == "ext4" {
		if !hasCapability(t, sysResource) {
			t.Skip("NOT JUDGED: growing a mounted ext4 needs CAP_SYS_RESOURCE, which this process does not have")
		}
	}
}

// eachGrowing runs a test for each file system that can be grown while mounted.
func eachGrowing(t *testing.T, test func(t *testing.T, f fileSystem)) {
	needDevices(t)
	for _, f := range fileSystems {
		t.Run(f.kind, func(t *testing.T) {
			f.needOnlineGrowth(t)
			test(t, f)
		})
	}
}

// nodeExpand grows a mounted volume as the kubelet does. The file system's directory is the pod's, also for an attached volume.
func (k *kubelet) nodeExpand(spec *volume.Spec, device, global, directory string, from, to int64) (bool, error) {
	k.t.Helper()
	plugin, err := k.manager.FindNodeExpandablePluginBySpec(spec)
	if err != nil || plugin == nil {
		k.t.Fatalf("no expandable plugin for %s: %v", spec.Name(), err)
	}
	return plugin.NodeExpand(volume.NodeResizeOptions{
		VolumeSpec:      spec,
		DevicePath:      device,
		DeviceMountPath: directory,
		DeviceStagePath: global,
		OldSize:         *resource.NewQuantity(from, resource.BinarySI),
		NewSize:         *resource.NewQuantity(to, resource.BinarySI),
	})
}

func (k *kubelet) expand(spec *volume.Spec, device, global, directory string, from, to int64) {
	k.t.Helper()
	done, err := k.nodeExpand(spec, device, global, directory, from, to)
	if err != nil || !done {
		k.t.Fatalf("expanded: %v: %v", done, err)
	}
}

func TestAMountedVolumeGrowsUnderItsPodsAndKeepsItsData(t *testing.T) {
	eachGrowing(t, func(t *testing.T, f fileSystem) {
		n, k := withDriver(t)
		spec := f.volume("data")
		first, second := newPod("default", "first"), newPod("default", "second")
		firstDirectory, secondDirectory := k.mustSetUp(spec, first), k.mustSetUp(spec, second)
		content := strings.Repeat("data that stays ", mebibyte/16)
		write(t, content, firstDirectory, "file")
		expectCapacity(t, firstDirectory, f.before)

		for range 2 {
			k.expand(spec, "", "", firstDirectory, f.before, f.after)
			k.repeat("expandfs")
			expectCapacity(t, firstDirectory, f.after)
			expectCapacity(t, secondDirectory, f.after)
		}
		// The other pod's directory gets its own call.
		k.expand(spec, "", "", secondDirectory, f.before, f.after)
		expectContent(t, content, secondDirectory, "file")
		if took := fill(t, firstDirectory, 2*f.after); took <= f.before || took > f.after {
			t.Errorf("a volume grown from %d to %d bytes took %d more", f.before, f.after, took)
		}
		k.mustTearDown(spec, first)
		k.mustTearDown(spec, second)
		n.expectNothingLeft()

		// The options still name the first size: the volume keeps the second.
		again := k.mustSetUp(spec, first)
		expectCapacity(t, again, f.after)
		expectContent(t, content, again, "file")
		k.mustTearDown(spec, first)
	})
}

func TestAnExpansionNeverShrinks(t *testing.T) {
	eachGrowing(t, func(t *testing.T, f fileSystem) {
		_, k := withDriver(t)
		spec, pod := f.volume("data"), newPod("default", "one")
		directory := k.mustSetUp(spec, pod)
		write(t, "kept", directory, "file")
		k.expand(spec, "", "", directory, f.before, f.after)
		k.expand(spec, "", "", directory, f.before, f.before)
		expectCapacity(t, directory, f.after)
		expectContent(t, "kept", directory, "file")
		k.mustTearDown(spec, pod)
	})
}

func TestAnAttachedVolumeGrowsUnderItsPod(t *testing.T) {
	eachGrowing(t, func(t *testing.T, f fileSystem) {
		n, k := withAttachableDriver(t)
		spec, pod := f.volume("data"), newPod("default", "one")
		device, global := k.stage(spec, pod)
		directory := k.mustSetUp(spec, pod)
		write(t, "kept", directory, "file")
		k.expand(spec, device, global, directory, f.before, f.after)
		k.repeat("expandfs")
		expectCapacity(t, directory, f.after)
		expectCapacity(t, global, f.after)
		expectContent(t, "kept", directory, "file")
		k.mustTearDown(spec, pod)
		k.unmountDevice(spec, device)
		k.detach(spec)
		n.expectNothingLeft()
	})
}

func TestAVolumeGrowsWhileTheKubeletMountsIt(t *testing.T) {
	eachGrowing(t, func(t *testing.T, f fileSystem) {
		_, k := withDriver(t)
		spec, pod := f.volume("data"), newPod("default", "one")
		k.mustSetUp(spec, pod)
		k.mustTearDown(spec, pod)

		// The claim was raised while no pod used it: the kubelet mounts, and expands before the pod starts.
		k = k.restart()
		directory := k.mustSetUp(spec, pod)
		k.expand(spec, "", "", directory, f.before, f.after)
		expectCapacity(t, directory, f.after)
		k.mustTearDown(spec, pod)
	})
}

func TestAGrowthTheKernelForbidsIsReportedAndHarmsNothing(t *testing.T) {
	needDevices(t)
	if hasCapability(t, sysResource) {
		t.Skip("NOT JUDGED: this process may grow everything")
	}
	_, k := withDriver(t)
	spec, pod := ordinaryVolume("data"), newPod("default", "one")
	directory := k.mustSetUp(spec, pod)
	write(t, "kept", directory, "file")
	for range 2 {
		if done, err := k.nodeExpand(spec, "", "", directory, 64*mebibyte, 160*mebibyte); err == nil || done {
			t.Errorf("the kubelet was told that the file system grew; it offers %d bytes", capacity(t, directory))
		}
	}
	expectContent(t, "kept", directory, "file")
	k.mustTearDown(spec, pod)
	expectContent(t, "kept", k.mustSetUp(spec, pod), "file")
	k.mustTearDown(spec, pod)
}

func TestTheControllerSideOfAnExpansionReportsTheWantedSize(t *testing.T) {
	_, k := withDriver(t)
	spec, pod := ordinaryVolume("data"), newPod("default", "one")
	plugin, err := k.manager.FindExpandablePluginBySpec(spec)
	if err != nil || plugin == nil {
		t.Fatalf("no expandable plugin: %v", err)
	}
	k.mustSetUp(spec, pod)
	want := resource.MustParse("160Mi")
	got, err := plugin.ExpandVolumeDevice(spec, want, resource.MustParse("64Mi"))
	if err != nil || got.Cmp(want) != 0 {
		t.Errorf("reported %s: %v, want %s", got.String(), err, want.String())
	}
	k.mustTearDown(spec, pod)
}
