package kubelet

import (
	"path/filepath"
	"slices"

	"becket.dev/tests/machine"
)

// groupSize is that of the disk of a volume group.
const groupSize = 8 << 30

// makeGroup makes a volume group and a pool in it.
func (n *node) makeGroup(pool string) {
	n.t.Helper()
	name := filepath.Base(n.root) + "-" + pool
	g, err := machine.NewGroup(name, filepath.Join(n.root, name), groupSize)
	if err != nil {
		n.t.Fatal(err)
	}
	n.groups = append(n.groups, g)
	n.becket(g.Arguments(pool)...)
}

// makeShare makes a pool in a directory of its own in the export.
func (n *node) makeShare(pool string) {
	n.t.Helper()
	s, err := machine.NewShare(filepath.Base(n.root))
	if err != nil {
		n.t.Fatal(err)
	}
	n.share = s
	n.becket(s.Arguments(pool)...)
}

// devices names what the kernel has for volumes in use: loop devices, and logical volumes that are open. The disks of the node's volume
// groups are not among them.
func (n *node) devices() []string {
	n.t.Helper()
	var found []string
	loops, err := machine.LoopsBelow(n.root)
	if err == nil && n.share != nil {
		var images []string
		images, err = machine.ImagesOnServers()
		loops = append(loops, images...)
	}
	if err != nil {
		n.t.Fatal(err)
	}
	for _, file := range loops {
		if !slices.ContainsFunc(n.groups, func(g *machine.Group) bool { return g.File == file }) {
			found = append(found, "loop device of "+file)
		}
	}
	for _, g := range n.groups {
		open, err := g.Select("lv_device_open=1")
		if err != nil {
			n.t.Fatal(err)
		}
		for _, name := range open {
			found = append(found, "open logical volume "+name)
		}
	}
	return found
}
