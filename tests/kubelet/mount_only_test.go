package kubelet

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"k8s.io/kubernetes/pkg/volume"
)

// withDriver gives a node with the drivers in mount-only mode, and its kubelet.
func withDriver(t *testing.T) (*node, *kubelet) {
	t.Helper()
	n := newVolumeNode(t)
	n.install()
	return n, n.startKubelet()
}

// kinds are the two ways a pod can name a volume.
var kinds = map[string]func(driver, name string, options options, readOnly bool) *volume.Spec{
	"inline":     inline,
	"persistent": persistent,
}

func TestADriverInMountOnlyModeSaysWhatItCanDo(t *testing.T) {
	_, k := withDriver(t)
	for _, driver := range installed() {
		spec := persistent(driver, "data", options{"name": "data"}, false)
		if attachable, err := k.manager.FindAttachablePluginBySpec(spec); err != nil || attachable != nil {
			t.Errorf("%s can attach: %v", driver, err)
		}
		if mountable, err := k.manager.FindDeviceMountablePluginBySpec(spec); err != nil || mountable != nil {
			t.Errorf("%s can mount devices: %v", driver, err)
		}
		expandable, err := k.manager.FindNodeExpandablePluginBySpec(spec)
		if err != nil || expandable == nil || !expandable.RequiresFSResize() {
			t.Errorf("%s does not ask to resize file systems: %v", driver, err)
		}
		mounter, err := k.pluginFor(spec).NewMounter(spec, newPod("default", "one"))
		if err != nil {
			t.Fatal(err)
		}
		if attributes := mounter.GetAttributes(); !attributes.SELinuxRelabel || !attributes.Managed || attributes.ReadOnly {
			t.Errorf("%s has attributes %+v", driver, attributes)
		}
	}
}

func TestAVolumeLivesThroughSetUpAndTearDownAndKeepsItsData(t *testing.T) {
	for kind, newSpec := range kinds {
		t.Run(kind, func(t *testing.T) {
			n, k := withDriver(t)
			spec := newSpec(tested.name, "claim", ordinaryOptions("data"), false)
			pod := newPod("default", "one")
			directory := k.mustSetUp(spec, pod)
			if m := mountAt(t, directory); m.kind != tested.mounted || m.readOnly {
				t.Errorf("mounted %+v, want %s, writable", m, tested.mounted)
			}
			expectCapacity(t, directory, 64*mebibyte)
			write(t, "kept", directory, "file")

			k.mustTearDown(spec, pod)
			if exists(t, directory) {
				t.Error("the pod's directory is still there")
			}
			n.expectNothingLeft()

			again := newPod("default", "two")
			expectContent(t, "kept", k.mustSetUp(spec, again), "file")
			k.mustTearDown(spec, again)
			n.expectNothingLeft()
		})
	}
}

func TestAVolumeHasTheFileSystemThePodAsksFor(t *testing.T) {
	needDevices(t)
	for _, wanted := range fileSystems {
		t.Run(wanted.kind, func(t *testing.T) {
			needFileSystem(t, wanted.kind)
			n, k := withDriver(t)
			spec, pod := wanted.volume("data"), newPod("default", "one")
			directory := k.mustSetUp(spec, pod)
			if got := mountAt(t, directory).kind; got != wanted.kind {
				t.Errorf("mounted %s, want %s", got, wanted.kind)
			}
			expectCapacity(t, directory, wanted.before)
			write(t, "kept", directory, "file")
			k.mustTearDown(spec, pod)
			expectContent(t, "kept", k.mustSetUp(spec, pod), "file")
			k.mustTearDown(spec, pod)
			n.expectNothingLeft()
		})
	}
}

func TestAVolumeMadeBeforehandNeedsNoSize(t *testing.T) {
	n, k := withDriver(t)
	n.makeVolume("ready")
	spec := persistent(tested.name, "pv-ready", options{"name": "ready"}, false)
	pod := newPod("default", "one")
	expectCapacity(t, k.mustSetUp(spec, pod), 64*mebibyte)
	k.mustTearDown(spec, pod)
}

func TestTheLimitOfAVolumeIsReal(t *testing.T) {
	needDevices(t)
	for _, provisioning := range tested.provisioning {
		t.Run(fmt.Sprint(provisioning), func(t *testing.T) {
			_, k := withDriver(t)
			spec := persistent(tested.name, "pv-data", ordinaryOptions("data").with(provisioning), false)
			pod := newPod("default", "one")
			directory := k.mustSetUp(spec, pod)
			if took := fill(t, directory, 128*mebibyte); took < 40*mebibyte || took > 64*mebibyte {
				t.Errorf("a volume of 64 MiB took %d bytes", took)
			}
			k.mustTearDown(spec, pod)
		})
	}
}

func TestFSGroupOwnsTheVolume(t *testing.T) {
	_, k := withDriver(t)
	spec, pod := ordinaryVolume("data"), newPod("default", "one")
	group := int64(4711)
	directory, err := k.setUp(spec, pod, volume.MounterArgs{FsGroup: &group})
	if err != nil {
		t.Fatal(err)
	}
	if got, inherited := ownerGroup(t, directory); got != 4711 || !inherited {
		t.Errorf("group %d, inherited %v, want 4711, inherited", got, inherited)
	}
	k.mustTearDown(spec, pod)
}

func TestAReadOnlyVolumeCanBeReadAndNotWritten(t *testing.T) {
	for kind, newSpec := range kinds {
		t.Run(kind, func(t *testing.T) {
			n, k := withDriver(t)
			writer, reader := newPod("default", "writer"), newPod("default", "reader")
			writable := newSpec(tested.name, "claim", ordinaryOptions("data"), false)
			readable := newSpec(tested.name, "claim", ordinaryOptions("data"), true)

			write(t, "from the writer", k.mustSetUp(writable, writer), "file")
			for _, sharing := range []bool{true, false} {
				if !sharing {
					k.mustTearDown(writable, writer)
				}
				directory := k.mustSetUp(readable, reader)
				if !mountAt(t, directory).readOnly {
					t.Error("the mount is not read-only")
				}
				expectContent(t, "from the writer", directory, "file")
				if err := os.WriteFile(filepath.Join(directory, "other"), nil, 0o644); !errors.Is(err, syscall.EROFS) {
					t.Errorf("writing gave %v, want %v", err, syscall.EROFS)
				}
				k.mustTearDown(readable, reader)
				if sharing {
					write(t, "from the writer", k.podDirectory(writable, writer), "file")
				}
			}
			n.expectNothingLeft()
		})
	}
}

func TestSetUpAndTearDownMayBeRepeated(t *testing.T) {
	n, k := withDriver(t)
	spec, pod := ordinaryVolume("data"), newPod("default", "one")
	directory := k.mustSetUp(spec, pod)
	write(t, "kept", directory, "file")
	k.mustSetUp(spec, pod)
	k.repeat("mount")
	mountAt(t, directory)
	expectContent(t, "kept", directory, "file")

	k.mustTearDown(spec, pod)
	k.repeat("unmount")
	k.mustTearDown(spec, pod)

	// The kubelet calls unmount for a directory that is not a mount point, and then wants it removed.
	if err := os.MkdirAll(directory, 0o750); err != nil {
		t.Fatal(err)
	}
	k.mustTearDown(spec, pod)
	if exists(t, directory) {
		t.Error("an empty directory was left by unmount")
	}
	n.expectNothingLeft()
}

func TestUnmountNeverDeletesWhatAPodDirectoryHolds(t *testing.T) {
	_, k := withDriver(t)
	spec, pod := ordinaryVolume("data"), newPod("default", "one")
	directory := k.podDirectory(spec, pod)
	if err := os.MkdirAll(directory, 0o750); err != nil {
		t.Fatal(err)
	}
	write(t, "somebody's", directory, "file")
	if err := k.tearDown(spec, pod); err == nil {
		t.Error("the kubelet removed a directory that was not empty")
	}
	expectContent(t, "somebody's", directory, "file")
}

func TestMetricsOfAVolumeAreThoseOfItsFileSystem(t *testing.T) {
	_, k := withDriver(t)
	spec, pod := ordinaryVolume("data"), newPod("default", "one")
	directory := k.mustSetUp(spec, pod)
	mounter, err := k.pluginFor(spec).NewMounter(spec, pod)
	if err != nil {
		t.Fatal(err)
	}
	metrics, err := mounter.GetMetrics()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := metrics.Capacity.Value(), capacity(t, directory); got != want {
		t.Errorf("capacity %d, want %d", got, want)
	}
	k.mustTearDown(spec, pod)
}

func TestNothingIsWrittenIntoADriverDirectoryByItsCallouts(t *testing.T) {
	n, k := withDriver(t)
	list := func() (found []string) {
		err := filepath.WalkDir(n.plugins, func(path string, entry fs.DirEntry, err error) error {
			if err == nil {
				found = append(found, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	before := list()
	k.loaded(tested.name)
	settle()
	k.loaded(tested.name)
	inits := k.callouts.count(tested.name, "init")

	spec, pod := ordinaryVolume("data"), newPod("default", "one")
	k.mustSetUp(spec, pod)
	k.mustTearDown(spec, pod)
	settle()
	k.loaded(tested.name)
	if after := list(); len(after) != len(before) {
		t.Errorf("the plugin directory held %q and now %q", before, after)
	}
	if count := k.callouts.count(tested.name, "init") - inits; count != 0 {
		t.Errorf("callouts caused %d inits", count)
	}
}
