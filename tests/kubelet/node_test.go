package kubelet

import (
	"bytes"
	"errors"
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

const directoryDriver = "becket/directory"

// node is one machine as Becket and the kubelet see it, in a directory of its own.
type node struct {
	t       *testing.T
	binary  string
	root    string
	plugins string
	kubelet string
	state   string
	groups  []*machine.Group
	// share has the nfs driver's pool.
	share *machine.Share
}

// newNode makes a node for a test that is not about volumes of the tested driver: the image driver stands for it there.
func newNode(t *testing.T) *node {
	t.Helper()
	if tested.name != imageDriver.name {
		t.Skip("judged with -driver image")
	}
	return newVolumeNode(t)
}

// newVolumeNode makes the directories of a node, and what the tested driver's pool takes: a volume group, or a share of a server. At the end of
// the test it fails the test if mounts or devices are left, takes them down, and only then deletes.
func newVolumeNode(t *testing.T) *node {
	t.Helper()
	temporary, err := filepath.EvalSymlinks(os.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.MkdirTemp(temporary, "becket-kubelet-")
	if err != nil {
		t.Fatal(err)
	}
	n := &node{
		t:       t,
		binary:  binary,
		root:    root,
		plugins: filepath.Join(root, "plugins"),
		kubelet: filepath.Join(root, "kubelet"),
		state:   filepath.Join(root, "state"),
	}
	t.Cleanup(n.close)
	for _, directory := range []string{n.plugins, n.kubelet, n.state} {
		if err := os.Mkdir(directory, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	switch tested.backend {
	case lvmDriver.backend:
		n.makeGroup(tested.pool)
	case nfsDriver.backend:
		n.makeShare(tested.pool)
	}
	return n
}

func (n *node) close() {
	if left := n.leftovers(); len(left) > 0 {
		n.t.Errorf("left on the node at the end of the test:\n  %s", strings.Join(left, "\n  "))
	}
	mounts := mountsBelow(n.t, n.root)
	for i := len(mounts) - 1; i >= 0; i-- {
		if err := syscall.Unmount(mounts[i].target, syscall.MNT_DETACH); err != nil {
			n.t.Errorf("unmount %s: %v", mounts[i].target, err)
		}
	}
	for _, g := range n.groups {
		if err := g.Remove(); err != nil {
			n.t.Error(err)
		}
	}
	if n.share != nil {
		n.removeTree(n.share.Directory)
	}
	n.removeTree(n.root)
}

// removeTree deletes a directory in which nothing is mounted.
func (n *node) removeTree(path string) {
	n.t.Helper()
	if mounts := mountsBelow(n.t, path); len(mounts) > 0 {
		n.t.Errorf("not deleting %s: %s is still mounted", path, mounts[0].target)
		return
	}
	if err := os.RemoveAll(path); err != nil {
		n.t.Error(err)
	}
}

// leftovers names mounts, devices in use and staging directories below the node, giving the kernel a moment to let loop devices go.
func (n *node) leftovers() []string {
	n.t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for {
		var left []string
		for _, m := range mountsBelow(n.t, n.root) {
			left = append(left, fmt.Sprintf("mount %s (%s)", m.target, m.kind))
		}
		left = append(left, n.devices()...)
		staged, err := filepath.Glob(filepath.Join(n.state, "staged", "*", "*"))
		if err != nil {
			n.t.Fatal(err)
		}
		for _, path := range staged {
			left = append(left, "staging directory "+path)
		}
		if len(left) == 0 || time.Now().After(deadline) {
			return left
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (n *node) expectNothingLeft() {
	n.t.Helper()
	if left := n.leftovers(); len(left) > 0 {
		n.t.Fatalf("still on the node:\n  %s", strings.Join(left, "\n  "))
	}
}

// try runs becket on this node.
func (n *node) try(arguments ...string) (string, error) {
	command := exec.Command(n.binary, append([]string{"--state-dir", n.state}, arguments...)...)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		return stdout.String(), fmt.Errorf("becket %s: %w: %s", strings.Join(arguments, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

func (n *node) becket(arguments ...string) string {
	n.t.Helper()
	output, err := n.try(arguments...)
	if err != nil {
		n.t.Fatal(err)
	}
	return output
}

func (n *node) installArguments(extra ...string) []string {
	return append([]string{"install", "--flex", installedShort(), "--plugin-dir", n.plugins, "--kubelet-root", n.kubelet}, extra...)
}

func (n *node) install(extra ...string) {
	n.t.Helper()
	n.becket(n.installArguments(extra...)...)
}

func (n *node) uninstall(drivers string) error {
	_, err := n.try("uninstall", "--flex", drivers, "--plugin-dir", n.plugins)
	return err
}

// upgrade installs a binary that differs from the installed one, without behaving differently.
func (n *node) upgrade(extra ...string) {
	n.t.Helper()
	content, err := os.ReadFile(n.binary)
	if err != nil {
		n.t.Fatal(err)
	}
	next := filepath.Join(n.root, fmt.Sprintf("becket-%d", time.Now().UnixNano()))
	if err := os.WriteFile(next, append(content, '\n'), 0o755); err != nil {
		n.t.Fatal(err)
	}
	n.binary = next
	n.install(extra...)
}

func (n *node) driverDirectory(driver string) string {
	return filepath.Join(n.plugins, strings.ReplaceAll(driver, "/", "~"))
}

func (n *node) driverFile(driver string) string {
	return filepath.Join(n.driverDirectory(driver), filepath.Base(driver))
}

// refresh starts a foreground install that keeps the drivers discovered, and stops it when the test ends.
func (n *node) refresh(interval string) {
	n.t.Helper()
	arguments := append([]string{"--state-dir", n.state}, n.installArguments("--refresh", interval)...)
	command := exec.Command(n.binary, arguments...)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	if err := command.Start(); err != nil {
		n.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	n.t.Cleanup(func() {
		if err := command.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			n.t.Error(err)
		}
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			n.t.Error("install --refresh did not end within 5 s of SIGTERM")
			_ = command.Process.Kill()
			<-ended
		}
	})
	for _, driver := range []string{tested.name, directoryDriver} {
		eventually(n.t, 5*time.Second, "install --refresh installs "+driver, func() bool {
			select {
			case err := <-ended:
				ended <- err
				n.t.Fatalf("install --refresh ended by itself: %v: %s", err, stderr.String())
			default:
			}
			_, err := os.Stat(n.driverFile(driver))
			return err == nil
		})
	}
}

func eventually(t *testing.T, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", limit, what)
		}
	}
}
