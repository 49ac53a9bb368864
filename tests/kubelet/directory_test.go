package kubelet

import (
	"path/filepath"
	"testing"

	"k8s.io/kubernetes/pkg/volume"
)

const podTemplate = "{namespace}/{pod}"

// withDirectoryDriver gives a node for a test of the directory driver.
func withDirectoryDriver(t *testing.T) (*node, *kubelet) {
	t.Helper()
	return withDirectories(t, newNode(t))
}

// withDirectories gives the node a pool of directories, and its kubelet.
func withDirectories(t *testing.T, n *node) (*node, *kubelet) {
	t.Helper()
	n.becket("pool", "create", "dirs", "--backend", "directory")
	n.install()
	return n, n.startKubelet()
}

// directoryVolume asks for no limit, because the file system the tests run on may have no project quota.
func directoryVolume(name string, changes options) *volume.Spec {
	all := options{"name": name, "pool": "dirs", "size": "64Mi", "limit": "none"}.with(changes)
	return persistent(directoryDriver, "pv-"+name, all, false)
}

func (n *node) hostDirectory(name string, below ...string) string {
	return filepath.Join(append([]string{n.state, "pools/dirs/volumes", name, "data"}, below...)...)
}

func TestPodsOfATemplatedDirectoryEachGetTheirOwn(t *testing.T) {
	n, k := withDirectoryDriver(t)
	spec := directoryVolume("logs", options{"template": podTemplate})
	pods := [][2]string{{"blue", "web-0"}, {"blue", "web-1"}, {"green", "web-0"}}
	for _, names := range pods {
		pod := newPod(names[0], names[1])
		directory := k.mustSetUp(spec, pod)
		mountAt(t, directory)
		write(t, names[0]+" "+names[1], directory, "file")
	}
	for _, names := range pods {
		expectContent(t, names[0]+" "+names[1], n.hostDirectory("logs", names[0], names[1]), "file")
		k.mustTearDown(spec, newPod(names[0], names[1]))
	}
	n.expectNothingLeft()
}

func TestPodsOfAPlainDirectoryShareIt(t *testing.T) {
	n, k := withDirectoryDriver(t)
	spec := directoryVolume("shared", nil)
	first, second := newPod("blue", "one"), newPod("green", "two")
	write(t, "shared", k.mustSetUp(spec, first), "file")
	expectContent(t, "shared", k.mustSetUp(spec, second), "file")
	k.mustTearDown(spec, first)
	k.mustTearDown(spec, second)
	n.expectNothingLeft()

	expectContent(t, "shared", k.mustSetUp(spec, first), "file")
	k.mustTearDown(spec, first)
}

func TestADirectoryIsKeptOrRemovedOnUnmountAsTheVolumeSays(t *testing.T) {
	for choice, kept := range map[string]bool{"keep": true, "remove": false, "": true} {
		for _, restarted := range []bool{false, true} {
			name := map[string]string{"keep": "keep", "remove": "remove", "": "by default"}[choice]
			t.Run(name+map[bool]string{true: ", kubelet restarted", false: ""}[restarted], func(t *testing.T) {
				n, k := withDirectoryDriver(t)
				chosen := options{"template": podTemplate}
				if choice != "" {
					chosen["onUnmount"] = choice
				}
				spec := directoryVolume("logs", chosen)
				leaves, stays := newPod("blue", "leaves"), newPod("blue", "stays")
				directory := k.mustSetUp(spec, leaves)
				write(t, "of the pod", directory, "file")
				write(t, "of the other", k.mustSetUp(spec, stays), "file")

				if restarted {
					k = k.restart()
					k.mustTearDown(k.rebuilt(directoryDriver, spec.Name(), directory), leaves)
				} else {
					k.mustTearDown(spec, leaves)
				}
				if exists(t, directory) {
					t.Error("the pod's directory is still there")
				}
				if exists(t, n.hostDirectory("logs", "blue", "leaves")) != kept {
					t.Errorf("the host's directory is kept: %v, want %v", !kept, kept)
				}
				expectContent(t, "of the other", n.hostDirectory("logs", "blue", "stays"), "file")

				again := k.mustSetUp(spec, leaves)
				if exists(t, filepath.Join(again, "file")) != kept {
					t.Errorf("the pod that came back found its file: %v, want %v", !kept, kept)
				}
				k.mustTearDown(spec, leaves)
				k.mustTearDown(spec, stays)
				n.expectNothingLeft()
			})
		}
	}
}

func TestAReadOnlyDirectoryCannotBeWritten(t *testing.T) {
	_, k := withDirectoryDriver(t)
	writable := directoryVolume("shared", nil)
	readable := volume.NewSpecFromPersistentVolume(writable.PersistentVolume, true)
	writer, reader := newPod("blue", "writer"), newPod("blue", "reader")
	write(t, "from the writer", k.mustSetUp(writable, writer), "file")
	directory := k.mustSetUp(readable, reader)
	if !mountAt(t, directory).readOnly {
		t.Error("the mount is not read-only")
	}
	expectContent(t, "from the writer", directory, "file")
	k.mustTearDown(readable, reader)
	k.mustTearDown(writable, writer)
}

func TestATemplateThatLeavesTheVolumeIsRefused(t *testing.T) {
	for _, template := range []string{"../{pod}", "/{namespace}/{pod}", "{namespace}/../../{pod}", "{nosuchword}"} {
		t.Run(template, func(t *testing.T) {
			n, k := withDirectoryDriver(t)
			spec, pod := directoryVolume("logs", options{"template": template}), newPod("blue", "one")
			directory, err := k.setUp(spec, pod, volume.MounterArgs{})
			if err == nil {
				k.mustTearDown(spec, pod)
				t.Fatal("set up")
			}
			if exists(t, directory) {
				t.Error("the pod's directory is still there")
			}
			n.expectNothingLeft()
		})
	}
}
