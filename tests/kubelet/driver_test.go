package kubelet

import (
	"errors"
	"flag"
	"fmt"
	"testing"

	"becket.dev/tests/machine"
)

// driver is a FlexVolume driver: the one that the tests are about, with the kind of volumes that it makes.
type driver struct {
	name, backend, pool string
	// provisioning lists the ways in which its volumes can take their space, by the options that say so.
	provisioning []options
	// mounted is the kind of file system that its volumes are mounted as, unless the pod asks for another one.
	mounted string
	// options are those without which it makes no volume.
	options options
	// hasDevices is true where each volume is a file system of its own, on a device: its size is a limit.
	hasDevices bool
	// canAttach is true where the driver can be installed with attach and device callouts.
	canAttach bool
}

var imageDriver = driver{
	name: "becket/image", backend: "image", pool: "default",
	provisioning: []options{{"provisioning": "thin"}, {"provisioning": "thick"}}, mounted: "ext4", hasDevices: true, canAttach: true,
}

// lvmDriver has thick volumes in a volume group that each node makes for itself.
var lvmDriver = driver{
	name: "becket/lvm", backend: "lvm", pool: "lvm",
	provisioning: []options{{"provisioning": "thick"}}, mounted: "ext4", hasDevices: true, canAttach: true,
}

// nfsDriver has directories of a server, in a share that each node has for itself.
var nfsDriver = driver{name: "becket/nfs", backend: "nfs", pool: "nfs", mounted: "nfs4", options: options{"limit": "none"}}

// nfsImageDriver is the same driver with images, which have a limit.
var nfsImageDriver = driver{
	name: "becket/nfs", backend: "nfs", pool: "nfs",
	provisioning: []options{{}}, mounted: "ext4", options: options{"limit": "hard"}, hasDevices: true,
}

// tested is the driver that the tests are about. The directory driver is installed beside it.
var tested driver

var word = flag.String("driver", "image", "the driver that the tests are about: image, lvm, nfs or nfs-image")

// chooseDriver takes the command line's word, where this machine can have such volumes.
func chooseDriver() error {
	drivers := map[string]driver{"image": imageDriver, "lvm": lvmDriver, "nfs": nfsDriver, "nfs-image": nfsImageDriver}
	found := false
	if tested, found = drivers[*word]; !found {
		return errors.New("-driver is image, lvm, nfs or nfs-image")
	}
	var impossible error
	switch tested.backend {
	case lvmDriver.backend:
		impossible = machine.NoGroups()
	case nfsDriver.backend:
		impossible = machine.NoShares()
	}
	if impossible != nil {
		return fmt.Errorf("%s cannot be judged here: %w", *word, impossible)
	}
	return nil
}

// needDevices skips a test that is about devices and what is on them.
func needDevices(t *testing.T) {
	t.Helper()
	if !tested.hasDevices {
		t.Skipf("judged with drivers that have devices, and %s has none with %v", tested.name, tested.options)
	}
}

// makeVolume makes a volume of 64 MiB in the tested driver's pool.
func (n *node) makeVolume(name string) {
	n.t.Helper()
	arguments := []string{"volume", "create", name, "--size", "64Mi", "--pool", tested.pool}
	for key, value := range tested.options {
		arguments = append(arguments, "--parameter", key+"="+value)
	}
	n.becket(arguments...)
}

// expectDevices wants so many volumes in use to have a device each, where the driver has devices.
func (n *node) expectDevices(count int) {
	n.t.Helper()
	if !tested.hasDevices {
		count = 0
	}
	if devices := n.devices(); len(devices) != count {
		n.t.Errorf("devices %q, want %d", devices, count)
	}
}

// installed are the names of the drivers that a node installs.
func installed() []string { return []string{tested.name, directoryDriver} }

// installedShort names them as the command line does.
func installedShort() string { return tested.backend + ",directory" }
