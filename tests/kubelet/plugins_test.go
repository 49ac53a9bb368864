package kubelet

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	clientset "k8s.io/client-go/kubernetes"
	"k8s.io/kubernetes/pkg/volume"
	"k8s.io/kubernetes/pkg/volume/flexvolume"
	"k8s.io/mount-utils"
)

const nodeName = types.NodeName("node-1")

// host is what a volume plugin asks of its kubelet. Anything not asked for today is left out and would panic.
type host struct {
	volume.VolumeHost
	root    string
	mounter mount.Interface
}

func (h *host) GetPluginDir(name string) string    { return filepath.Join(h.root, "plugins", name) }
func (h *host) GetPodsDir() string                 { return filepath.Join(h.root, "pods") }
func (h *host) GetMounter() mount.Interface        { return h.mounter }
func (h *host) GetNodeName() types.NodeName        { return nodeName }
func (h *host) GetKubeClient() clientset.Interface { return nil }
func (h *host) GetPodVolumeDir(uid types.UID, plugin, name string) string {
	return filepath.Join(h.root, "pods", string(uid), "volumes", plugin, name)
}

// kubelet is the volume half of a kubelet: the real plugin manager, prober, FlexVolume plugins, processes and mounts.
type kubelet struct {
	t        *testing.T
	node     *node
	manager  *volume.VolumePluginMgr
	prober   *countingProber
	callouts *recorder
	stop     context.CancelFunc
}

func (n *node) startKubelet() *kubelet {
	n.t.Helper()
	return n.startKubeletWith(newRecorder(), mount.New(""))
}

func (n *node) startKubeletWith(callouts *recorder, mounter mount.Interface) *kubelet {
	n.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	k := &kubelet{
		t:        n.t,
		node:     n,
		manager:  &volume.VolumePluginMgr{},
		prober:   &countingProber{DynamicPluginProber: flexvolume.GetDynamicPluginProber(ctx, n.plugins, callouts)},
		callouts: callouts,
		stop:     stop,
	}
	n.t.Cleanup(func() {
		stop()
		for _, problem := range callouts.problems() {
			n.t.Error(problem)
		}
	})
	if err := k.manager.InitPlugins(nil, k.prober, &host{root: n.kubelet, mounter: mounter}); err != nil {
		n.t.Fatal(err)
	}
	return k
}

// restart gives a new kubelet over the same directories; the old one sees no more events.
func (k *kubelet) restart() *kubelet {
	k.t.Helper()
	k.stop()
	return k.node.startKubelet()
}

// in gives the same kubelet, reporting to a subtest.
func (k *kubelet) in(t *testing.T) *kubelet {
	n, view := *k.node, *k
	n.t, view.t, view.node = t, t, &n
	return &view
}

func (k *kubelet) loaded(driver string) bool {
	_, err := k.manager.FindPluginByName(driver)
	return err == nil
}

// settle waits until the watcher has surely delivered what happened so far.
func settle() { time.Sleep(400 * time.Millisecond) }

func (k *kubelet) expectLoaded(driver string, want bool) {
	k.t.Helper()
	eventually(k.t, 5*time.Second, "driver "+driver+" is loaded or unloaded as wanted", func() bool { return k.loaded(driver) == want })
}

func (k *kubelet) expectNoFailedProbe() {
	k.t.Helper()
	if failures := k.prober.failed(); len(failures) > 0 {
		k.t.Fatalf("%d probes failed; the first: %v", len(failures), failures[0])
	}
}

func (k *kubelet) pluginFor(spec *volume.Spec) volume.VolumePlugin {
	k.t.Helper()
	plugin, err := k.manager.FindPluginBySpec(spec)
	if err != nil {
		k.t.Fatal(err)
	}
	return plugin
}

// setUp mounts a volume for a pod and gives the pod's directory, mounted or not.
func (k *kubelet) setUp(spec *volume.Spec, pod *v1.Pod, arguments volume.MounterArgs) (string, error) {
	plugin, err := k.manager.FindPluginBySpec(spec)
	if err != nil {
		return "", err
	}
	mounter, err := plugin.NewMounter(spec, pod)
	if err != nil {
		return "", err
	}
	return mounter.GetPath(), mounter.SetUp(arguments)
}

func (k *kubelet) mustSetUp(spec *volume.Spec, pod *v1.Pod) string {
	k.t.Helper()
	directory, err := k.setUp(spec, pod, volume.MounterArgs{})
	if err != nil {
		k.t.Fatal(err)
	}
	return directory
}

// tearDown unmounts a volume of a pod, telling the driver no more than the kubelet does then: a directory.
func (k *kubelet) tearDown(spec *volume.Spec, pod *v1.Pod) error {
	plugin, err := k.manager.FindPluginBySpec(spec)
	if err != nil {
		return err
	}
	unmounter, err := plugin.NewUnmounter(spec.Name(), pod.UID)
	if err != nil {
		return err
	}
	return unmounter.TearDown()
}

func (k *kubelet) mustTearDown(spec *volume.Spec, pod *v1.Pod) {
	k.t.Helper()
	if err := k.tearDown(spec, pod); err != nil {
		k.t.Fatal(err)
	}
}

// repeat wants a callout that just succeeded to succeed again.
func (k *kubelet) repeat(name string) {
	k.t.Helper()
	if err := k.callouts.repeat(name); err != nil {
		k.t.Fatal(err)
	}
}

// podDirectory is where a pod sees a volume.
func (k *kubelet) podDirectory(spec *volume.Spec, pod *v1.Pod) string {
	k.t.Helper()
	mounter, err := k.pluginFor(spec).NewMounter(spec, pod)
	if err != nil {
		k.t.Fatal(err)
	}
	return mounter.GetPath()
}
