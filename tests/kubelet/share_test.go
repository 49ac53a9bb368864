package kubelet

import (
	"errors"
	"os"
	"path/filepath"
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

// makeShare makes a pool in a directory of its own in the export.
func (n *node) makeShare(pool string) {
	n.t.Helper()
	name := filepath.Base(n.root)
	n.share = filepath.Join(os.Getenv(exportVariable), name)
	if err := os.Mkdir(n.share, 0o755); err != nil {
		n.t.Fatal(err)
	}
	n.becket("pool", "create", pool, "--backend", "nfs", "--server", "127.0.0.1", "--share", "/"+name)
}
