package csi

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"becket.dev/tests/machine"
)

// node is one machine as Becket sees it, in a directory of its own.
type node struct {
	t     *testing.T
	root  string
	state string
	// group is there for the lvm driver.
	group *machine.Group
	// share is there for the nfs driver.
	share *machine.Share
}

// newNode makes the directories of a node. At the end of the test it fails the test if mounts or loop devices are left, takes them down,
// and only then deletes. Of a test that failed it keeps what the servers said.
func newNode(t *testing.T) *node {
	t.Helper()
	temporary, err := filepath.EvalSymlinks(os.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.MkdirTemp(temporary, "becket-csi-")
	if err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, root: root, state: filepath.Join(root, "state")}
	t.Cleanup(n.close)
	if err := os.Mkdir(n.state, 0o700); err != nil {
		t.Fatal(err)
	}
	return n
}

func (n *node) path(name string) string { return filepath.Join(n.root, name) }

func (n *node) close() {
	if left := n.leftovers(); len(left) > 0 {
		n.t.Errorf("left on the node at the end of the test:\n  %s", strings.Join(left, "\n  "))
	}
	mounts := mountsBelow(n.t, n.root)
	for i := len(mounts) - 1; i >= 0; i-- {
		if err := syscall.Unmount(mounts[i], syscall.MNT_DETACH); err != nil {
			n.t.Errorf("unmount %s: %v", mounts[i], err)
		}
	}
	if mounts := mountsBelow(n.t, n.root); len(mounts) > 0 {
		n.t.Errorf("not deleting %s: %s is still mounted", n.root, mounts[0])
		return
	}
	if n.group != nil {
		if err := n.group.Remove(); err != nil {
			n.t.Error(err)
		}
	}
	if n.share != nil {
		if err := os.RemoveAll(n.share.Directory); err != nil {
			n.t.Error(err)
		}
	}
	if err := os.RemoveAll(n.root); err != nil {
		n.t.Error(err)
	}
}

// leftovers names mounts and loop devices below the node and logical volumes in use, giving the kernel a moment to let loop devices go.
func (n *node) leftovers() []string {
	n.t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for {
		var left []string
		for _, target := range mountsBelow(n.t, n.root) {
			left = append(left, "mount "+target)
		}
		left = append(left, n.devices()...)
		if len(left) == 0 || time.Now().After(deadline) {
			return left
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// becket runs a command on this node that has to succeed.
func (n *node) becket(arguments ...string) {
	n.t.Helper()
	command := exec.Command(binary, arguments...)
	command.Env = n.environment()
	if output, err := command.CombinedOutput(); err != nil {
		n.t.Fatalf("becket %s: %v: %s", strings.Join(arguments, " "), err, output)
	}
}

func (n *node) environment() []string {
	return append(os.Environ(), "BECKET_STATE_DIR="+n.state)
}

// mountsBelow lists the mounts below a path, in the order they were made.
func mountsBelow(t *testing.T, path string) []string {
	t.Helper()
	content, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for line := range strings.Lines(string(content)) {
		fields := strings.Fields(line)
		if len(fields) < 6 {
			t.Fatalf("mountinfo line not understood: %q", line)
		}
		if strings.HasPrefix(fields[4], path+"/") {
			found = append(found, fields[4])
		}
	}
	return found
}

// mayGrowMountedExt4 is true when this process has CAP_SYS_RESOURCE, which the kernel wants for it and some containers do not have.
func mayGrowMountedExt4(t *testing.T) bool {
	t.Helper()
	const sysResource = 24
	content, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(content)) {
		var capabilities uint64
		if count, _ := fmt.Sscanf(line, "CapEff: %x", &capabilities); count == 1 {
			return capabilities&(1<<sysResource) != 0
		}
	}
	t.Fatal("/proc/self/status says nothing of capabilities")
	return false
}

func eventually(t *testing.T, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", limit, what)
		}
	}
}
