package kubelet

import (
	"testing"

	"k8s.io/kubernetes/pkg/volume"
)

func TestUninstallRefusesWhileAVolumeIsPublishedAndWorksAfterwards(t *testing.T) {
	for _, driver := range installed() {
		t.Run(driver, func(t *testing.T) {
			n, k := withDirectories(t, newVolumeNode(t))
			spec, short := ordinaryVolume("data"), tested.backend
			if driver == directoryDriver {
				spec, short = directoryVolume("data", nil), "directory"
			}
			pod := newPod("default", "one")
			directory := k.mustSetUp(spec, pod)
			write(t, "kept", directory, "file")
			settle()

			for _, drivers := range []string{short, installedShort()} {
				if err := n.uninstall(drivers); err == nil {
					t.Fatalf("%s was uninstalled under a running pod", drivers)
				}
			}
			settle()
			if !k.loaded(driver) {
				t.Fatal("the refused uninstall unloaded the driver")
			}
			expectContent(t, "kept", directory, "file")
			k.mustTearDown(spec, pod)

			if err := n.uninstall(short); err != nil {
				t.Fatal(err)
			}
			k.expectLoaded(driver, false)
			if err := n.uninstall(short); err != nil {
				t.Errorf("uninstalling again: %v", err)
			}

			n.install()
			k.expectLoaded(driver, true)
			expectContent(t, "kept", k.mustSetUp(spec, pod), "file")
			k.mustTearDown(spec, pod)
			k.expectNoFailedProbe()
		})
	}
}

func TestUninstallOfOneDriverIsNotStoppedByVolumesOfAnother(t *testing.T) {
	n, k := withDirectories(t, newVolumeNode(t))
	spec, pod := ordinaryVolume("data"), newPod("default", "one")
	k.mustSetUp(spec, pod)
	if err := n.uninstall("directory"); err != nil {
		t.Fatal(err)
	}
	k.expectLoaded(directoryDriver, false)
	k.mustTearDown(spec, pod)
}

func TestUninstallRefusesWhileAVolumeIsMountedForTheNode(t *testing.T) {
	n, k := withAttachableDriver(t)
	spec, pod := ordinaryVolume("data"), newPod("default", "one")
	device, global := k.stage(spec, pod)
	if err := n.uninstall(tested.backend); err == nil {
		t.Fatal("uninstalled while the volume is mounted for the node")
	}
	if err := k.deviceMounter(spec).MountDevice(spec, device, global, volume.DeviceMounterArgs{}); err != nil {
		t.Error(err)
	}
	k.unmountDevice(spec, device)
	k.detach(spec)
	if err := n.uninstall(tested.backend); err != nil {
		t.Fatal(err)
	}
}
