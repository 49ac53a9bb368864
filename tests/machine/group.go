package machine

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// Group is a volume group on a disk of its own, which is a loop device.
type Group struct {
	// Name is the group's, File is behind the disk, and Device is the disk.
	Name, File, Device string
}

// NoGroups says why this machine can have no volume group; nothing where it can.
func NoGroups() error {
	// The file may be there without a driver behind it.
	control, err := os.Open("/dev/mapper/control")
	if err != nil {
		return errors.New("this kernel has no device mapper")
	}
	_ = control.Close()
	_, err = exec.LookPath("lvm")
	return err
}

// NewGroup makes a disk of so many bytes for a group. Its file is sparse: it takes what is written to it. The group is made with the pool.
func NewGroup(name, file string, size int64) (*Group, error) {
	if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Truncate(file, size)); err != nil {
		return nil, err
	}
	output, err := exec.Command("losetup", "--find", "--show", file).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("losetup: %w: %s", err, output)
	}
	return &Group{Name: name, File: file, Device: strings.TrimSpace(string(output))}, nil
}

// Arguments are those of `becket` that make a pool, and the group with it.
func (g *Group) Arguments(pool string) []string {
	return []string{"pool", "create", pool, "--backend", "lvm", "--device", g.Device, "--vg", g.Name, "--yes"}
}

// Select names the group's logical volumes that LVM finds by these criteria.
func (g *Group) Select(criteria string) ([]string, error) {
	output, err := exec.Command("lvs", "--noheadings", "--options", "lv_name", "--select", criteria, g.Name).Output()
	if err != nil {
		return nil, fmt.Errorf("lvs: %w", err)
	}
	return strings.Fields(string(output)), nil
}

// Remove takes the group down, with all that is in it, and gives its disk back.
func (g *Group) Remove() error {
	for _, command := range [][]string{{"vgremove", "--force", "--yes", g.Name}, {"losetup", "--detach", g.Device}} {
		if output, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, output)
		}
	}
	return nil
}
