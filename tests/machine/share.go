package machine

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// exportVariable names a directory of this machine that its NFS server exports as its root, also to this machine.
const exportVariable = "BECKET_NFS_EXPORT"

// Share is a directory of that export.
type Share struct {
	// Directory is where it is on the server, which is this machine.
	Directory string
}

// NoShares says why this machine can have no pool on an NFS server; nothing where it can.
func NoShares() error {
	if os.Getenv(exportVariable) == "" {
		return errors.New(exportVariable + " names no exported directory")
	}
	return nil
}

// NewShare makes an empty one of this name.
func NewShare(name string) (*Share, error) {
	if err := NoShares(); err != nil {
		return nil, err
	}
	s := &Share{filepath.Join(os.Getenv(exportVariable), name)}
	return s, os.Mkdir(s.Directory, 0o755)
}

// Arguments are those of `becket` that make a pool in it.
func (s *Share) Arguments(pool string) []string {
	return []string{"pool", "create", pool, "--backend", "nfs", "--server", "127.0.0.1", "--share", "/" + filepath.Base(s.Directory)}
}

// ImagesOnServers names the images of the nfs driver that have a loop device. The kernel tells their paths below a mount that is attached
// nowhere, which has no name.
func ImagesOnServers() ([]string, error) {
	files, err := LoopsBelow("")
	if err != nil {
		return nil, err
	}
	var found []string
	for _, file := range files {
		if strings.Contains(filepath.Base(file), "image-on-server") {
			found = append(found, file)
		}
	}
	return found, nil
}
