package csi

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// exportVariable names a directory of this machine that its NFS server exports as its root, also to this machine.
const exportVariable = "BECKET_NFS_EXPORT"

// noShares says why this machine can have no pool on an NFS server; nothing where it can.
func noShares() error {
	if os.Getenv(exportVariable) == "" {
		return errors.New(exportVariable + " names no exported directory")
	}
	return nil
}

// makeShare makes the driver's default pool in a directory of its own in the export. What is deleted goes at once.
func (n *node) makeShare() {
	n.t.Helper()
	if err := noShares(); err != nil {
		n.t.Fatal(err)
	}
	name := filepath.Base(n.root)
	n.share = filepath.Join(os.Getenv(exportVariable), name)
	if err := os.Mkdir(n.share, 0o755); err != nil {
		n.t.Fatal(err)
	}
	n.becket("pool", "create", "nfs", "--backend", "nfs", "--server", "127.0.0.1", "--share", "/"+name, "--trash-retention", "0s")
}

// imagesOnServers names the loop devices of images of the nfs driver. The kernel tells their paths below a mount that is attached nowhere, which
// has no name.
func imagesOnServers(t *testing.T) []string {
	t.Helper()
	var found []string
	for _, file := range loopsBelow(t, "") {
		if strings.Contains(filepath.Base(file), "image-on-server") {
			found = append(found, "loop device of "+file)
		}
	}
	return found
}
