package csi

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// groupSize is that of the disk of a volume group. Its file is sparse, but a thin pool writes to new places until it has been everywhere: where
// the file is in memory, there has to be as much.
const groupSize = 2 << 30

// group is a volume group on a disk of the node, and the pool of the lvm driver in it.
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

// makeGroup makes the driver's default pool, with thick or with thin volumes. What is deleted goes at once: it comes to many times the size
// of what is there.
func (n *node) makeGroup(thin bool) {
	n.t.Helper()
	g := &group{name: filepath.Base(n.root), file: n.path("disk")}
	if err := errors.Join(os.WriteFile(g.file, nil, 0o600), os.Truncate(g.file, groupSize)); err != nil {
		n.t.Fatal(err)
	}
	output, err := exec.Command("losetup", "--find", "--show", g.file).CombinedOutput()
	if err != nil {
		n.t.Fatalf("losetup: %v: %s", err, output)
	}
	g.device = strings.TrimSpace(string(output))
	n.group = g
	arguments := []string{"pool", "create", "lvm", "--backend", "lvm", "--device", g.device, "--vg", g.name, "--trash-retention", "0s", "--yes"}
	if thin {
		arguments = append(arguments, "--thin")
	}
	n.becket(arguments...)
}

// inUse names logical volumes that somebody has open, and those that are active although nobody uses them: snapshots and raw block, which
// are marked to be left alone by a machine that boots.
func (g *group) inUse() ([]string, error) {
	used := "segtype!=thin-pool && (lv_device_open=1 || (lv_skip_activation=1 && lv_active=active))"
	output, err := exec.Command("lvs", "--noheadings", "--options", "lv_name", "--select", used, g.name).Output()
	if err != nil {
		return nil, fmt.Errorf("lvs: %w", err)
	}
	var found []string
	for _, name := range strings.Fields(string(output)) {
		found = append(found, "logical volume "+name)
	}
	return found, nil
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
