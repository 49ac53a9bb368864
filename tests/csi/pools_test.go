package csi

import (
	"path/filepath"

	"becket.dev/tests/machine"
)

// groupSize is that of the disk of a volume group. A thin pool writes to new places until it has been everywhere: where the disk's file is in
// memory, there has to be as much.
const groupSize = 2 << 30

// makeGroup makes the driver's default pool, with thick or with thin volumes. What is deleted goes at once: it comes to many times the size
// of what is there.
func (n *node) makeGroup(thin bool) {
	n.t.Helper()
	g, err := machine.NewGroup(filepath.Base(n.root), n.path("disk"), groupSize)
	if err != nil {
		n.t.Fatal(err)
	}
	n.group = g
	arguments := append(g.Arguments("lvm"), "--trash-retention", "0s")
	if thin {
		arguments = append(arguments, "--thin")
	}
	n.becket(arguments...)
}

// makeShare makes the driver's default pool in a directory of its own in the export. What is deleted goes at once.
func (n *node) makeShare() {
	n.t.Helper()
	s, err := machine.NewShare(filepath.Base(n.root))
	if err != nil {
		n.t.Fatal(err)
	}
	n.share = s
	n.becket(append(s.Arguments("nfs"), "--trash-retention", "0s")...)
}

// devices names what the kernel has for volumes: loop devices, logical volumes that somebody has open, and those that are active although nobody
// uses them: snapshots and raw block, which are marked to be left alone by a machine that boots. The disk of the node's group is not among them.
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
		if n.group == nil || file != n.group.File {
			found = append(found, "loop device of "+file)
		}
	}
	if n.group == nil {
		return found
	}
	used, err := n.group.Select("segtype!=thin-pool && (lv_device_open=1 || (lv_skip_activation=1 && lv_active=active))")
	if err != nil {
		n.t.Fatal(err)
	}
	for _, name := range used {
		found = append(found, "logical volume "+name)
	}
	return found
}
