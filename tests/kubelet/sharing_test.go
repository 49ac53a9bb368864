package kubelet

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/volume"
)

func TestTwoPodsShareAVolumeAndTheLastOneTakesItDown(t *testing.T) {
	n, k := withDriver(t)
	spec := ordinaryVolume("data")
	first, second := newPod("default", "first"), newPod("default", "second")
	firstDirectory, secondDirectory := k.mustSetUp(spec, first), k.mustSetUp(spec, second)
	write(t, "shared", firstDirectory, "file")
	expectContent(t, "shared", secondDirectory, "file")
	n.expectDevices(1)

	k.mustTearDown(spec, first)
	expectContent(t, "shared", secondDirectory, "file")
	write(t, "alone", secondDirectory, "file")
	k.mustTearDown(spec, second)
	n.expectNothingLeft()
}

func TestPodsThatComeAndGoAtTheSameTimeAlwaysFindTheirVolume(t *testing.T) {
	const rounds = 15
	n, k := withDriver(t)
	spec := ordinaryVolume("data")
	first, second, third := newPod("a", "pod"), newPod("b", "pod"), newPod("c", "pod")
	for round := range rounds {
		content := fmt.Sprint("round ", round)
		k.together(
			func() error { return k.setUpOnly(spec, first) },
			func() error { return k.setUpOnly(spec, second) },
		)
		write(t, content, k.podDirectory(spec, first), "file")
		expectContent(t, content, k.podDirectory(spec, second), "file")

		k.together(
			func() error { return k.tearDown(spec, first) },
			func() error { return k.setUpOnly(spec, third) },
		)
		expectContent(t, content, k.podDirectory(spec, third), "file")
		k.mustTearDown(spec, second)

		// The last one leaves while the next one comes: the volume may go down and up again, but never wrong.
		k.together(
			func() error { return k.tearDown(spec, third) },
			func() error { return k.setUpOnly(spec, second) },
		)
		expectContent(t, content, k.podDirectory(spec, second), "file")
		k.mustSetUp(spec, first)
		k.together(
			func() error { return k.tearDown(spec, first) },
			func() error { return k.tearDown(spec, second) },
		)
		n.expectNothingLeft()
	}
}

func TestManyVolumesAreSetUpAndTornDownAtTheSameTime(t *testing.T) {
	n, k := withDriver(t)
	pod := newPod("default", "one")
	var up, down []func() error
	for i := range 6 {
		spec := ordinaryVolume(fmt.Sprint("data-", i))
		up = append(up, func() error { return k.setUpOnly(spec, pod) })
		down = append(down, func() error { return k.tearDown(spec, pod) })
	}
	k.together(up...)
	n.expectDevices(6)
	k.together(down...)
	n.expectNothingLeft()
}

func (k *kubelet) setUpOnly(spec *volume.Spec, pod *v1.Pod) error {
	_, err := k.setUp(spec, pod, volume.MounterArgs{})
	return err
}

// together runs operations at the same time and wants all of them to succeed.
func (k *kubelet) together(operations ...func() error) {
	k.t.Helper()
	failures := make([]error, len(operations))
	start := make(chan struct{})
	var running sync.WaitGroup
	for i, operation := range operations {
		running.Go(func() {
			<-start
			failures[i] = operation()
		})
	}
	close(start)
	running.Wait()
	if err := errors.Join(failures...); err != nil {
		k.t.Fatal(err)
	}
}
