package kubelet

import (
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/volume"
	"k8s.io/kubernetes/pkg/volume/util"
	"k8s.io/kubernetes/pkg/volume/util/hostutil"
)

// withAttachableDriver gives a node whose driver attaches, and its kubelet.
func withAttachableDriver(t *testing.T) (*node, *kubelet) {
	t.Helper()
	if !tested.canAttach {
		t.Skipf("judged with drivers that can attach, and %s cannot", tested.name)
	}
	n := newVolumeNode(t)
	n.install("--attachable")
	return n, n.startKubelet()
}

func (k *kubelet) attachable(spec *volume.Spec) volume.AttachableVolumePlugin {
	k.t.Helper()
	plugin, err := k.manager.FindAttachablePluginBySpec(spec)
	if err != nil || plugin == nil {
		k.t.Fatalf("no attachable plugin for %s: %v", spec.Name(), err)
	}
	return plugin
}

func (k *kubelet) attacher(spec *volume.Spec) volume.Attacher {
	k.t.Helper()
	attacher, err := k.attachable(spec).NewAttacher()
	if err != nil {
		k.t.Fatal(err)
	}
	return attacher
}

func (k *kubelet) deviceMounter(spec *volume.Spec) volume.DeviceMounter {
	k.t.Helper()
	mounter, err := k.attachable(spec).NewDeviceMounter()
	if err != nil {
		k.t.Fatal(err)
	}
	return mounter
}

func (k *kubelet) attach(spec *volume.Spec) string {
	k.t.Helper()
	device, err := k.attacher(spec).Attach(spec, nodeName)
	if err != nil {
		k.t.Fatal(err)
	}
	return device
}

func (k *kubelet) waitForAttach(spec *volume.Spec, device string, pod *v1.Pod) string {
	k.t.Helper()
	found, err := k.attacher(spec).WaitForAttach(spec, device, pod, time.Minute)
	if err != nil {
		k.t.Fatal(err)
	}
	return found
}

func (k *kubelet) deviceMountPath(spec *volume.Spec) string {
	k.t.Helper()
	path, err := k.deviceMounter(spec).GetDeviceMountPath(spec)
	if err != nil {
		k.t.Fatal(err)
	}
	return path
}

// mountDevice mounts a volume for the node and gives the directory.
func (k *kubelet) mountDevice(spec *volume.Spec, device string) string {
	k.t.Helper()
	path := k.deviceMountPath(spec)
	if err := k.deviceMounter(spec).MountDevice(spec, device, path, volume.DeviceMounterArgs{}); err != nil {
		k.t.Fatal(err)
	}
	return path
}

// stage does all that comes before a pod's own mount.
func (k *kubelet) stage(spec *volume.Spec, pod *v1.Pod) (device, global string) {
	k.t.Helper()
	device = k.waitForAttach(spec, k.attach(spec), pod)
	return device, k.mountDevice(spec, device)
}

// unmountDevice takes a volume off the node as the kubelet does: only when nothing else uses it, and until its device is free.
func (k *kubelet) unmountDevice(spec *volume.Spec, device string) {
	k.t.Helper()
	path := k.deviceMountPath(spec)
	references, err := k.attachable(spec).GetDeviceMountRefs(path)
	if err != nil {
		k.t.Fatal(err)
	}
	if util.HasMountRefs(path, references) {
		k.t.Fatalf("the kubelet would refuse to unmount %s: it is also mounted at %q", path, references)
	}
	unmounter, err := k.attachable(spec).NewDeviceUnmounter()
	if err != nil {
		k.t.Fatal(err)
	}
	if err := unmounter.UnmountDevice(path); err != nil {
		k.t.Fatal(err)
	}
	if exists(k.t, path) {
		k.t.Errorf("%s is still there", path)
	}
	kernel := hostutil.NewHostUtil()
	eventually(k.t, 3*time.Second, "the kubelet finds "+device+" no longer open", func() bool {
		isDevice, err := kernel.PathIsDevice(device)
		if err != nil || !isDevice {
			return true
		}
		open, err := kernel.DeviceOpened(device)
		return err == nil && !open
	})
}

func (k *kubelet) detach(spec *volume.Spec) {
	k.t.Helper()
	name, err := k.attachable(spec).GetVolumeName(spec)
	if err != nil {
		k.t.Fatal(err)
	}
	detacher, err := k.attachable(spec).NewDetacher()
	if err != nil {
		k.t.Fatal(err)
	}
	if err := detacher.Detach(name, nodeName); err != nil {
		k.t.Fatal(err)
	}
}

func (k *kubelet) isAttached(spec *volume.Spec) bool {
	k.t.Helper()
	attached, err := k.attacher(spec).VolumesAreAttached([]*volume.Spec{spec}, nodeName)
	if err != nil {
		k.t.Fatal(err)
	}
	return attached[spec]
}
