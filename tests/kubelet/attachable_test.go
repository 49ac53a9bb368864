package kubelet

import (
	"path/filepath"
	"testing"
	"time"

	"k8s.io/kubernetes/pkg/volume"
)

func TestOnlyADriverThatHasDevicesBecomesAttachable(t *testing.T) {
	_, k := withAttachableDriver(t)
	k.attachable(ordinaryVolume("data"))
	spec := persistent(directoryDriver, "data", options{"name": "data", "pool": "dirs"}, false)
	if plugin, err := k.manager.FindAttachablePluginBySpec(spec); err != nil || plugin != nil {
		t.Errorf("the directory driver can attach: %v", err)
	}
}

func TestAnAttachableVolumeLivesThroughAllItsCalloutsEachMadeTwice(t *testing.T) {
	for kind, newSpec := range kinds {
		for _, beforehand := range []bool{true, false} {
			name := kind + map[bool]string{true: ", made beforehand", false: ", made on first use"}[beforehand]
			t.Run(name, func(t *testing.T) {
				n, k := withAttachableDriver(t)
				if beforehand {
					n.makeVolume("data")
				}
				spec := newSpec(tested.name, "claim", ordinaryOptions("data"), false)
				pod := newPod("default", "one")

				device := k.attach(spec)
				if again := k.attach(spec); again != device {
					t.Errorf("attach answered %q and then %q", device, again)
				}
				if !k.isAttached(spec) || !k.isAttached(spec) {
					t.Error("the attached volume is reported as not attached")
				}
				device = k.waitForAttach(spec, device, pod)
				if again := k.waitForAttach(spec, device, pod); device == "" || again != device {
					t.Errorf("waitforattach answered %q and then %q", device, again)
				}

				global := k.mountDevice(spec, device)
				if want := filepath.Join(n.kubelet, "plugins/kubernetes.io/flexvolume", tested.name, "mounts/claim"); global != want {
					t.Fatalf("mounted at %s, want %s", global, want)
				}
				k.mountDevice(spec, device)
				k.repeat("mountdevice")
				if m := mountAt(t, global); m.kind != "ext4" || m.readOnly {
					t.Errorf("mounted %+v, want ext4, writable", m)
				}

				directory := k.mustSetUp(spec, pod)
				k.mustSetUp(spec, pod)
				k.repeat("mount")
				mountAt(t, directory)
				expectCapacity(t, directory, 64*mebibyte)
				write(t, "kept", directory, "file")
				expectContent(t, "kept", global, "file")

				k.mustTearDown(spec, pod)
				k.repeat("unmount")
				k.mustTearDown(spec, pod)
				if exists(t, directory) {
					t.Error("the pod's directory is still there")
				}
				expectContent(t, "kept", global, "file")

				k.unmountDevice(spec, device)
				k.repeat("unmountdevice")
				k.unmountDevice(spec, device)
				k.detach(spec)
				k.detach(spec)
				n.expectNothingLeft()

				device, _ = k.stage(spec, pod)
				expectContent(t, "kept", k.mustSetUp(spec, pod), "file")
				k.mustTearDown(spec, pod)
				k.unmountDevice(spec, device)
				k.detach(spec)
			})
		}
	}
}

func TestTwoPodsShareAnAttachedVolume(t *testing.T) {
	n, k := withAttachableDriver(t)
	spec := ordinaryVolume("data")
	first, second := newPod("default", "first"), newPod("default", "second")
	device, global := k.stage(spec, first)
	firstDirectory := k.mustSetUp(spec, first)
	if again := k.waitForAttach(spec, device, second); again != device {
		t.Errorf("the second pod is given device %q, the first %q", again, device)
	}
	secondDirectory := k.mustSetUp(spec, second)
	write(t, "shared", firstDirectory, "file")
	expectContent(t, "shared", secondDirectory, "file")

	// While pods use the volume the kubelet must see that, and leave it mounted.
	references, err := k.attachable(spec).GetDeviceMountRefs(global)
	if err != nil || len(references) < 2 {
		t.Errorf("the kubelet sees the users %q: %v", references, err)
	}
	k.mustTearDown(spec, first)
	expectContent(t, "shared", secondDirectory, "file")
	k.mustTearDown(spec, second)
	k.unmountDevice(spec, device)
	k.detach(spec)
	n.expectNothingLeft()
}

func TestAReadOnlyClaimOfAnAttachedVolumeCannotBeWritten(t *testing.T) {
	_, k := withAttachableDriver(t)
	writable := ordinaryVolume("data")
	readable := volume.NewSpecFromPersistentVolume(writable.PersistentVolume, true)
	writer, reader := newPod("default", "writer"), newPod("default", "reader")
	device, _ := k.stage(writable, writer)
	directory := k.mustSetUp(writable, writer)
	if !mountAt(t, k.mustSetUp(readable, reader)).readOnly {
		t.Error("the read-only claim is mounted writable")
	}
	write(t, "still writable", directory, "file")
	k.mustTearDown(readable, reader)
	k.mustTearDown(writable, writer)
	k.unmountDevice(writable, device)
	k.detach(writable)
}

func TestAfterARebootTheDeviceIsFoundByIdentityAndNotByItsOldPath(t *testing.T) {
	n, k := withAttachableDriver(t)
	ours, other := ordinaryVolume("ours"), ordinaryVolume("other")
	pod, otherPod := newPod("default", "one"), newPod("default", "other")
	stored := k.attach(ours)
	stale := k.waitForAttach(ours, stored, pod)
	k.mountDevice(ours, stale)
	write(t, "ours", k.mustSetUp(ours, pod), "file")
	k.mustTearDown(ours, pod)
	k.unmountDevice(ours, stale)

	// Nothing was detached, as after a power cut; another volume comes up first and may well get the same device.
	otherDevice, otherGlobal := k.stage(other, otherPod)
	write(t, "other", otherGlobal, "file")

	k = k.restart()
	for name, old := range map[string]string{
		"the stored path":            stored,
		"the former device":          stale,
		"another volume's device":    otherDevice,
		"a device that is not there": "/dev/loop-nosuch",
		"nothing":                    "",
	} {
		t.Run(name, func(t *testing.T) {
			k := k.in(t)
			device := k.waitForAttach(ours, old, pod)
			if device == otherDevice {
				t.Fatalf("waitforattach answered %s, which is the other volume", device)
			}
			k.mountDevice(ours, device)
			expectContent(t, "ours", k.mustSetUp(ours, pod), "file")
			k.mustTearDown(ours, pod)
			k.unmountDevice(ours, device)
		})
	}
	k.detach(ours)
	k.unmountDevice(other, otherDevice)
	k.detach(other)
	n.expectNothingLeft()
}

func TestMountDeviceNeverMountsAnotherVolumesDevice(t *testing.T) {
	n, k := withAttachableDriver(t)
	ours, other := ordinaryVolume("ours"), ordinaryVolume("other")
	pod := newPod("default", "one")
	device, global := k.stage(ours, pod)
	write(t, "ours", global, "file")
	k.unmountDevice(ours, device)
	otherDevice, otherGlobal := k.stage(other, pod)
	write(t, "other", otherGlobal, "file")

	// Either a refusal or the right volume will do.
	if err := k.deviceMounter(ours).MountDevice(ours, otherDevice, global, volume.DeviceMounterArgs{}); err == nil {
		expectContent(t, "ours", global, "file")
	}
	k.unmountDevice(ours, device)
	k.detach(ours)
	k.unmountDevice(other, otherDevice)
	k.detach(other)
	n.expectNothingLeft()
}

func TestAnAttachThatFailsLeavesNothing(t *testing.T) {
	_, k := withAttachableDriver(t)
	for name, options := range map[string]options{
		"the volume is missing and has no size": {"name": "missing"},
		"the name leaves the pool":              {"name": "../data", "size": "64Mi"},
		"the pool is missing":                   {"name": "data", "size": "64Mi", "pool": "nosuchpool"},
	} {
		t.Run(name, func(t *testing.T) {
			k := k.in(t)
			spec, pod := persistent(tested.name, "claim", options, false), newPod("default", "one")
			// Which callout finds out is the driver's choice; that one of them does is not.
			device, err := k.attacher(spec).Attach(spec, nodeName)
			if err == nil {
				device, err = k.attacher(spec).WaitForAttach(spec, device, pod, time.Minute)
			}
			if err == nil {
				global := k.deviceMountPath(spec)
				err = k.deviceMounter(spec).MountDevice(spec, device, global, volume.DeviceMounterArgs{})
			}
			if err == nil {
				t.Error("everything succeeded")
			}
			k.detach(spec)
			k.node.expectNothingLeft()
		})
	}
}

func TestDetachOfAVolumeThatWasNeverAttachedSucceeds(t *testing.T) {
	n, k := withAttachableDriver(t)
	k.detach(ordinaryVolume("never"))
	n.expectNothingLeft()
}
