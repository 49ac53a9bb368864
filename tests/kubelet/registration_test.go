package kubelet

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// Longer than the two seconds between looks of becket and the one between those of the kubelet.
const registers = 15 * time.Second

func TestADriverIsRegisteredWhicheverOfItAndTheKubeletIsFirst(t *testing.T) {
	for _, first := range []string{"driver", "kubelet"} {
		t.Run("first the "+first, func(t *testing.T) {
			n := newNode(t)
			var r *registry
			if first == "kubelet" {
				r = n.startRegistry()
			}
			s := n.serveCSI(imageCSIDriver)
			if first == "driver" {
				if err := os.Mkdir(n.registrationDirectory(), 0o750); err != nil {
					t.Fatal(err)
				}
				eventually(t, registers, "the registration socket is made", func() bool { return exists(t, s.registration) })
				r = n.startRegistry()
			}
			r.expectRegistered(s)
			if events := r.eventsOf(s.driver); !slices.Equal(events, []string{validated, registered}) {
				t.Errorf("the kubelet took these steps: %q", events)
			}
			for _, socket := range []string{s.registration, s.socket} {
				found, err := os.Lstat(socket)
				if err != nil || found.Mode().Perm()&0o077 != 0 {
					t.Errorf("%v: %s is open to others: %v", err, socket, found.Mode())
				}
			}
		})
	}
}

func TestADriverThatEndsIsForgotten(t *testing.T) {
	n := newNode(t)
	r := n.startRegistry()
	s := n.serveCSI(imageCSIDriver)
	r.expectRegistered(s)
	s.stop()
	if exists(t, s.registration) {
		t.Error("the registration socket is still there")
	}
	r.expectForgotten(s)
}

func TestADriverWhoseSocketWasWipedIsRegisteredAgain(t *testing.T) {
	n := newNode(t)
	r := n.startRegistry()
	s := n.serveCSI(imageCSIDriver)
	r.expectRegistered(s)
	if err := os.Remove(s.registration); err != nil {
		t.Fatal(err)
	}
	r.expectSteps(s, validated, registered, forgotten, validated, registered)
	r.expectRegistered(s)
}

func TestARestartedKubeletRegistersWhatIsThere(t *testing.T) {
	n := newNode(t)
	r := n.startRegistry()
	s := n.serveCSI(imageCSIDriver)
	r.expectRegistered(s)
	r = r.restart()
	r.expectRegistered(s)
}

func TestADriverSurvivesTheWholeDirectoryBeingWipedAndMadeAgain(t *testing.T) {
	n := newNode(t)
	r := n.startRegistry()
	s := n.serveCSI(imageCSIDriver)
	r.expectRegistered(s)
	r.stop()
	n.removeTree(n.registrationDirectory())
	// A kubelet watches the directory that it found or made at its start, and no other.
	time.Sleep(3 * time.Second)
	if exists(t, n.registrationDirectory()) {
		t.Error("the directory was made, which is for the kubelet to do")
	}
	r = n.startRegistry()
	r.expectRegistered(s)
}

func TestWhatAKilledDriverLeftIsReplacedByTheNextOne(t *testing.T) {
	n := newNode(t)
	r := n.startRegistry()
	s := n.serveCSI(imageCSIDriver)
	r.expectRegistered(s)
	s.kill()
	if !exists(t, s.registration) || !exists(t, s.socket) {
		t.Fatal("a killed process removed its sockets")
	}
	s.start()
	r.expectSteps(s, validated, registered, forgotten, validated, registered)
	r.expectRegistered(s)
}

func TestAKubeletStartedOverWhatAKilledDriverLeftRegistersTheNextOne(t *testing.T) {
	n := newNode(t)
	s := n.serveCSI(imageCSIDriver)
	r := n.startRegistry()
	r.expectRegistered(s)
	r.stop()
	s.kill()
	r = n.startRegistry()
	time.Sleep(2 * time.Second)
	if events := r.eventsOf(s.driver); len(events) > 0 {
		t.Fatalf("a dead driver was met: %q", events)
	}
	s.start()
	r.expectRegistered(s)
}

func TestADriverThatTheKubeletRefusesIsThereWhenItTriesAgain(t *testing.T) {
	n := newNode(t)
	r := n.startRegistry()
	r.refuse(2)
	s := n.serveCSI(imageCSIDriver)
	r.expectRegistered(s)
	if events := r.eventsOf(s.driver); !slices.Equal(events, []string{refused, refused, validated, registered}) {
		t.Errorf("the kubelet took these steps: %q", events)
	}
}

func TestDriversShareTheDirectory(t *testing.T) {
	n := newNode(t)
	r := n.startRegistry()
	image, directory := n.serveCSI(imageCSIDriver), n.serveCSI(directoryCSIDriver)
	r.expectRegistered(image)
	r.expectRegistered(directory)
	image.stop()
	r.expectForgotten(image)
	r.expectRegistered(directory)
	entries, err := filepath.Glob(filepath.Join(n.registrationDirectory(), "*"))
	if err != nil || !slices.Equal(entries, []string{directory.registration}) {
		t.Errorf("%v: in the directory: %q", err, entries)
	}
}
