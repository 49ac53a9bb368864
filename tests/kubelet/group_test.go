package kubelet

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// groupSize is that of the disk of a volume group. Its file is sparse: it takes what is written to it.
const groupSize = 8 << 30

// group is a volume group on a disk of the node, and a pool in it.
type group struct {
	name, file, device string
}

// noVolumeGroups says why this machine can have no volume group; nothing where it can.
func noVolumeGroups() error {
	// The file may be there without a driver behind it.
	control, err := os.Open("/dev/mapper/control")
	if err != nil {
		return errors.New("this kernel has no device mapper")
	}
	_ = control.Close()
	_, err = exec.LookPath("lvm")
	return err
}

// makeGroup makes a volume group and a pool in it.
func (n *node) makeGroup(pool string) {
	n.t.Helper()
	name := filepath.Base(n.root) + "-" + pool
	g := &group{name: name, file: filepath.Join(n.root, name)}
	if err := errors.Join(os.WriteFile(g.file, nil, 0o600), os.Truncate(g.file, groupSize)); err != nil {
		n.t.Fatal(err)
	}
	output, err := exec.Command("losetup", "--find", "--show", g.file).CombinedOutput()
	if err != nil {
		n.t.Fatalf("losetup: %v: %s", err, output)
	}
	g.device = strings.TrimSpace(string(output))
	n.groups = append(n.groups, g)
	n.becket("pool", "create", pool, "--backend", "lvm", "--device", g.device, "--vg", g.name, "--yes")
}

// open lists the group's logical volumes that are mounted or otherwise in use.
func (g *group) open() ([]string, error) {
	output, err := exec.Command("lvs", "--noheadings", "--options", "lv_name", "--select", "lv_device_open=1", g.name).Output()
	if err != nil {
		return nil, fmt.Errorf("lvs: %w", err)
	}
	return strings.Fields(string(output)), nil
}

// remove takes the group down, with all that is in it, and gives its disk back.
func (g *group) remove() error {
	for _, command := range [][]string{{"vgremove", "--force", "--yes", g.name}, {"losetup", "--detach", g.device}} {
		if output, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, output)
		}
	}
	return nil
}

// devices names what the kernel has for volumes in use: loop devices, and logical volumes that are open. The disks of the node's volume
// groups are not among them.
func (n *node) devices() []string {
	n.t.Helper()
	var found []string
	for _, file := range loopsBelow(n.t, n.root) {
		if !slices.ContainsFunc(n.groups, func(g *group) bool { return g.file == file }) {
			found = append(found, "loop device of "+file)
		}
	}
	for _, g := range n.groups {
		open, err := g.open()
		if err != nil {
			n.t.Fatal(err)
		}
		for _, name := range open {
			found = append(found, "open logical volume "+name)
		}
	}
	return found
}
