package kubelet

import (
	"errors"
	"flag"
	"fmt"
)

// driver is a FlexVolume driver whose volumes have file systems of their own: the one that the tests are about.
type driver struct {
	name, backend, pool string
	// provisioning lists what its pool can have.
	provisioning []string
}

var imageDriver = driver{name: "becket/image", backend: "image", pool: "default", provisioning: []string{"thin", "thick"}}

// lvmDriver has thick volumes in a volume group that each node makes for itself.
var lvmDriver = driver{name: "becket/lvm", backend: "lvm", pool: "lvm", provisioning: []string{"thick"}}

// tested is the driver that the tests are about. The directory driver is installed beside it.
var tested driver

var backend = flag.String("driver", imageDriver.backend, "the driver that the tests are about: image or lvm")

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
	default:
		return errors.New("-driver is image or lvm")
	}
	return nil
}

// installed are the names of the drivers that a node installs.
func installed() []string { return []string{tested.name, directoryDriver} }

// installedShort names them as the command line does.
func installedShort() string { return tested.backend + ",directory" }
