// Package machine is what the tests in Go find on the machine that they run on, and what they make there for pools: volume groups, and shares of
// its NFS server. It takes nothing but Go's own library.
package machine

import (
	"os"
	"path/filepath"
	"strings"
)

// LoopsBelow lists the backing files of attached loop devices that lie below a path.
func LoopsBelow(path string) ([]string, error) {
	devices, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		return nil, err
	}
	var found []string
	for _, device := range devices {
		content, err := os.ReadFile(device)
		if err != nil {
			continue // Detached since it was listed.
		}
		if file := strings.TrimSpace(string(content)); strings.HasPrefix(file, path+"/") {
			found = append(found, file)
		}
	}
	return found, nil
}
