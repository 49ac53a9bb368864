package kubelet

import (
	"errors"
	"flag"
	"fmt"
	"testing"
)

// driver is a FlexVolume driver: the one that the tests are about.
type driver struct {
	name, backend, pool string
	// provisioning lists what its pool can have.
	provisioning []string
	// mounted is the kind of file system that its volumes are mounted as, unless the pod asks for another one.
	mounted string
	// options are those without which it makes no volume.
	options options
}

var imageDriver = driver{name: "becket/image", backend: "image", pool: "default", provisioning: []string{"thin", "thick"}, mounted: "ext4"}

// lvmDriver has thick volumes in a volume group that each node makes for itself.
var lvmDriver = driver{name: "becket/lvm", backend: "lvm", pool: "lvm", provisioning: []string{"thick"}, mounted: "ext4"}

// nfsDriver has directories of a server, in a share that each node has for itself.
var nfsDriver = driver{name: "becket/nfs", backend: "nfs", pool: "nfs", mounted: "nfs4", options: options{"limit": "none"}}

// tested is the driver that the tests are about. The directory driver is installed beside it.
var tested driver

var backend = flag.String("driver", imageDriver.backend, "the driver that the tests are about: image, lvm or nfs")

// chooseDriver takes the command line's word, where this machine can have such volumes.
func chooseDriver() error {
	switch *backend {
	case imageDriver.backend:
		tested = imageDriver
	case lvmDriver.backend:
		tested = lvmDriver
		if err := noVolumeGroups(); err != nil {
			return fmt.Errorf("lvm cannot be judged here: %w", err)
		}
	case nfsDriver.backend:
		tested = nfsDriver
		if err := noShares(); err != nil {
			return fmt.Errorf("nfs cannot be judged here: %w", err)
		}
	default:
		return errors.New("-driver is image, lvm or nfs")
	}
	return nil
}

// hasDevices is true where each volume is a file system of its own, on a device: it can be attached, and its size is a limit.
func (d driver) hasDevices() bool { return d.backend != nfsDriver.backend }

// needDevices skips a test that is about devices and what is on them.
func needDevices(t *testing.T) {
	t.Helper()
	if !tested.hasDevices() {
		t.Skipf("judged with drivers that have devices, and %s has none", tested.name)
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
	if !tested.hasDevices() {
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
