package kubelet

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	storage "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientset "k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/record"
	"k8s.io/kubernetes/pkg/kubelet/pluginmanager"
	"k8s.io/kubernetes/pkg/volume"
	"k8s.io/kubernetes/pkg/volume/csi"
)

// The steps of a plugin's registration.
const (
	refused    = "refused"
	validated  = "validated"
	registered = "registered"
	failed     = "failed"
	forgotten  = "forgotten"
)

// registry is the half of a kubelet that registers drivers: the real plugin manager, and the real CSI plugin that it hands them to, which
// calls the driver and writes CSINode. Only the API server is a fake one.
type registry struct {
	t      *testing.T
	node   *node
	client clientset.Interface
	end    func()

	mutex    sync.Mutex
	events   map[string][]string
	refusals int
}

// csiHost is a host with an API server.
type csiHost struct {
	host
	client clientset.Interface
}

func (h *csiHost) GetKubeClient() clientset.Interface { return h.client }

func (n *node) startRegistry() *registry {
	n.t.Helper()
	client := fake.NewClientset(&v1.Node{ObjectMeta: metav1.ObjectMeta{Name: string(nodeName), UID: "node-uid"}})
	r := &registry{t: n.t, node: n, client: client, events: map[string][]string{}}
	plugins := csi.ProbeVolumePlugins()
	manager := &volume.VolumePluginMgr{}
	if err := manager.InitPlugins(plugins, nil, &csiHost{host{root: n.kubelet}, client}); err != nil {
		n.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	stop, stopped := make(chan struct{}), make(chan struct{})
	plugin := pluginmanager.NewPluginManager(n.registrationDirectory(), record.NewFakeRecorder(100))
	plugin.AddHandler("CSIPlugin", r)
	go func() {
		defer close(stopped)
		plugin.Run(ctx, nil, stop)
	}()
	r.end = sync.OnceFunc(func() {
		close(stop)
		<-stopped
		cancel()
		// What the CSI plugin remembers in its package ends with the process of a real kubelet.
		r.mutex.Lock()
		defer r.mutex.Unlock()
		for driver := range r.events {
			csi.PluginHandler.DeRegisterPlugin(driver, "")
		}
	})
	n.t.Cleanup(r.end)
	return r
}

func (r *registry) stop() { r.end() }

// restart gives a new kubelet over the same directory, which remembers nothing.
func (r *registry) restart() *registry {
	r.t.Helper()
	r.stop()
	return r.node.startRegistry()
}

// refuse makes the next validations fail.
func (r *registry) refuse(count int) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.refusals = count
}

func (r *registry) note(driver, event string) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.events[driver] = append(r.events[driver], event)
}

func (r *registry) eventsOf(driver string) []string {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return slices.Clone(r.events[driver])
}

// ValidatePlugin, RegisterPlugin and DeRegisterPlugin note the step and leave it to the real ones.
func (r *registry) ValidatePlugin(name, endpoint string, versions []string) error {
	r.mutex.Lock()
	r.refusals--
	refuse := r.refusals >= 0
	r.mutex.Unlock()
	if refuse {
		r.note(name, refused)
		return errors.New("refused by the test")
	}
	err := csi.PluginHandler.ValidatePlugin(name, endpoint, versions)
	if err != nil {
		r.note(name, refused)
		return err
	}
	r.note(name, validated)
	return nil
}

func (r *registry) RegisterPlugin(name, endpoint string, versions []string, timeout *time.Duration) error {
	err := csi.PluginHandler.RegisterPlugin(name, endpoint, versions, timeout)
	if err != nil {
		r.note(name, failed+": "+err.Error())
		return err
	}
	r.note(name, registered)
	return nil
}

func (r *registry) DeRegisterPlugin(name, endpoint string) {
	csi.PluginHandler.DeRegisterPlugin(name, endpoint)
	r.note(name, forgotten)
}

// inCSINode gives what the node's CSINode says of a driver.
func (r *registry) inCSINode(driver string) *storage.CSINodeDriver {
	r.t.Helper()
	object, err := r.client.StorageV1().CSINodes().Get(context.Background(), string(nodeName), metav1.GetOptions{})
	if err != nil {
		return nil // Nothing registered yet.
	}
	for _, found := range object.Spec.Drivers {
		if found.Name == driver {
			return &found
		}
	}
	return nil
}

// expectRegistered waits until the driver is registered last, and CSINode has what it answered.
func (r *registry) expectRegistered(s *served) {
	r.t.Helper()
	eventually(r.t, registers, s.driver+" is registered", func() bool {
		s.expectAlive()
		events := r.eventsOf(s.driver)
		return len(events) > 0 && events[len(events)-1] == registered && r.inCSINode(s.driver) != nil
	})
	if id := r.inCSINode(s.driver).NodeID; id != string(nodeName) {
		r.t.Errorf("CSINode has node %q", id)
	}
	for _, event := range r.eventsOf(s.driver) {
		if !slices.Contains([]string{refused, validated, registered, forgotten}, event) {
			r.t.Error(event)
		}
	}
	s.expectSaid("the kubelet registered driver `" + s.driver + "`")
}

func (r *registry) expectForgotten(s *served) {
	r.t.Helper()
	eventually(r.t, registers, s.driver+" is forgotten", func() bool {
		return slices.Contains(r.eventsOf(s.driver), forgotten) && r.inCSINode(s.driver) == nil
	})
}

func (r *registry) expectSteps(s *served, want ...string) {
	r.t.Helper()
	eventually(r.t, registers, "the kubelet takes as many steps as wanted", func() bool { return len(r.eventsOf(s.driver)) >= len(want) })
	if got := r.eventsOf(s.driver); !slices.Equal(got, want) {
		r.t.Errorf("the kubelet took these steps: %q, want %q", got, want)
	}
}
