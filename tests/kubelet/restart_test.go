package kubelet

import (
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/volume"
	"k8s.io/mount-utils"
)

// blindMounter sees no mount points.
type blindMounter struct{ mount.Interface }

func (blindMounter) IsLikelyNotMountPoint(string) (bool, error) { return true, nil }

// rebuilt is the spec a restarted kubelet makes of a directory it finds: it knows the driver and the name and nothing else.
func (k *kubelet) rebuilt(driver, name, path string) *volume.Spec {
	k.t.Helper()
	plugin, err := k.manager.FindPluginByName(driver)
	if err != nil {
		k.t.Fatal(err)
	}
	found, err := plugin.ConstructVolumeSpec(name, path)
	if err != nil {
		k.t.Fatal(err)
	}
	return found.Spec
}

func TestARestartedKubeletKeepsAndTakesDownMountedVolumes(t *testing.T) {
	for kind, newSpec := range kinds {
		t.Run(kind, func(t *testing.T) {
			n, k := withDriver(t)
			spec, pod := newSpec(tested.name, "claim", ordinaryOptions("data"), false), newPod("default", "one")
			directory := k.mustSetUp(spec, pod)
			write(t, "kept", directory, "file")

			k = k.restart()
			k.mustSetUp(spec, pod)
			if count := k.callouts.count(tested.name, "mount"); count != 0 {
				t.Errorf("the mounted directory was mounted again, %d times", count)
			}
			k.repeatMountOf(spec, pod)
			mountAt(t, directory)
			expectContent(t, "kept", directory, "file")

			k.mustTearDown(k.rebuilt(tested.name, "claim", directory), pod)
			if exists(t, directory) {
				t.Error("the pod's directory is still there")
			}
			n.expectNothingLeft()
		})
	}
}

// repeatMountOf hides a pod's mount from a second kubelet, so that it calls the driver for a directory already mounted: what a kubelet
// before 1.30 did to bind mounts after every restart.
func (k *kubelet) repeatMountOf(spec *volume.Spec, pod *v1.Pod) {
	k.t.Helper()
	blind := k.node.startKubeletWith(newRecorder(), blindMounter{mount.New("")})
	defer blind.stop()
	blind.mustSetUp(spec, pod)
	if count := blind.callouts.count(tested.name, "mount"); count != 1 {
		k.t.Errorf("mount was called %d times, want 1", count)
	}
}

func TestAnUpgradeWhileVolumesAreMountedIsSeenByARestartedKubelet(t *testing.T) {
	n, k := withDriver(t)
	spec, pod := ordinaryVolume("data"), newPod("default", "one")
	directory := k.mustSetUp(spec, pod)
	write(t, "kept", directory, "file")
	k.stop()
	n.upgrade()
	k = n.startKubelet()
	expectContent(t, "kept", k.mustSetUp(spec, pod), "file")
	k.mustTearDown(k.rebuilt(tested.name, spec.Name(), directory), pod)
	n.expectNothingLeft()
}

func TestOneOfTwoSharingPodsGoesAwayWhileTheKubeletIsDown(t *testing.T) {
	n, k := withDriver(t)
	spec := ordinaryVolume("data")
	gone, stays := newPod("default", "gone"), newPod("default", "stays")
	goneDirectory, staysDirectory := k.mustSetUp(spec, gone), k.mustSetUp(spec, stays)
	write(t, "kept", staysDirectory, "file")

	k = k.restart()
	k.mustTearDown(k.rebuilt(tested.name, spec.Name(), goneDirectory), gone)
	expectContent(t, "kept", staysDirectory, "file")
	k.mustSetUp(spec, stays)
	k.mustTearDown(spec, stays)
	n.expectNothingLeft()
}

func TestARestartedKubeletTakesDownAnAttachedVolumeKnowingOnlyItsName(t *testing.T) {
	n, k := withAttachableDriver(t)
	spec, pod := ordinaryVolume("data"), newPod("default", "one")
	device, global := k.stage(spec, pod)
	directory := k.mustSetUp(spec, pod)
	write(t, "kept", directory, "file")

	k = k.restart()
	if again := k.waitForAttach(spec, device, pod); again != device {
		t.Errorf("device %q became %q while it was mounted", device, again)
	}
	k.mountDevice(spec, device)
	k.mustSetUp(spec, pod)
	if count := k.callouts.count(tested.name, "mountdevice") + k.callouts.count(tested.name, "mount"); count != 0 {
		t.Errorf("mounted directories were mounted again, %d times", count)
	}
	expectContent(t, "kept", directory, "file")

	rebuilt := k.rebuilt(tested.name, spec.Name(), directory)
	if path := k.deviceMountPath(rebuilt); path != global {
		t.Fatalf("the rebuilt volume is sought at %s, mounted at %s", path, global)
	}
	k.mustTearDown(rebuilt, pod)
	k.unmountDevice(rebuilt, device)
	k.detach(rebuilt)
	n.expectNothingLeft()
}
