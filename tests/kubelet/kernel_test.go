package kubelet

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

const mebibyte = 1 << 20

// mountEntry is what mountinfo says of one mount.
type mountEntry struct {
	target   string
	kind     string
	readOnly bool
}

// mountsBelow lists the mounts at and below a path, in the order they were made.
func mountsBelow(t *testing.T, path string) []mountEntry {
	t.Helper()
	content, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	var found []mountEntry
	for line := range strings.Lines(string(content)) {
		left, right, ok := strings.Cut(line, " - ")
		fields, tail := strings.Fields(left), strings.Fields(right)
		if !ok || len(fields) < 6 || len(tail) < 3 {
			t.Fatalf("mountinfo line not understood: %q", line)
		}
		target := unescape(fields[4])
		if target == path || strings.HasPrefix(target, path+"/") {
			options := append(strings.Split(fields[5], ","), strings.Split(tail[2], ",")...)
			found = append(found, mountEntry{target, tail[0], slices.Contains(options, "ro")})
		}
	}
	return found
}

// unescape resolves the octal escapes of mountinfo.
func unescape(field string) string {
	var out strings.Builder
	for i := 0; i < len(field); i++ {
		if field[i] == '\\' && i+3 < len(field) {
			if code, err := strconv.ParseUint(field[i+1:i+4], 8, 8); err == nil {
				out.WriteByte(byte(code))
				i += 3
				continue
			}
		}
		out.WriteByte(field[i])
	}
	return out.String()
}

// mountAt gives the only mount at a path, which must exist and not be stacked.
func mountAt(t *testing.T, path string) mountEntry {
	t.Helper()
	var found []mountEntry
	for _, m := range mountsBelow(t, path) {
		if m.target == path {
			found = append(found, m)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d mounts at %s, want exactly 1", len(found), path)
	}
	return found[0]
}

func exists(t *testing.T, path string) bool {
	t.Helper()
	_, err := os.Lstat(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return err == nil
}

func write(t *testing.T, content string, path ...string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(path...), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func expectContent(t *testing.T, want string, path ...string) {
	t.Helper()
	got, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Fatalf("%s holds %.60q, want %.60q", filepath.Join(path...), got, want)
	}
}

// capacity is the size of the file system at a path.
func capacity(t *testing.T, path string) int64 {
	t.Helper()
	var statistics syscall.Statfs_t
	if err := syscall.Statfs(path, &statistics); err != nil {
		t.Fatal(err)
	}
	return int64(statistics.Blocks) * statistics.Bsize
}

// expectCapacity allows a file system a quarter of its volume, and 8 MiB, for itself: small volumes have large journals. What is no file system
// of its own offers what its server has.
func expectCapacity(t *testing.T, path string, size int64) {
	t.Helper()
	if !tested.hasDevices {
		return
	}
	if got, least := capacity(t, path), size-size/4-8*mebibyte; got < least || got > size {
		t.Fatalf("%s offers %d bytes, want between %d and %d", path, got, least, size)
	}
}

// fill writes into a directory until the file system refuses, and says how much it took.
func fill(t *testing.T, directory string, give int64) int64 {
	t.Helper()
	path := filepath.Join(directory, "fill")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	block := bytes.Repeat([]byte{0xb5}, 2*mebibyte)
	var written int64
	for written < give {
		count, err := file.Write(block)
		written += int64(count)
		if err == nil {
			err = file.Sync()
		}
		if errors.Is(err, syscall.ENOSPC) {
			return written
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Fatalf("%s took %d bytes and was still not full", directory, written)
	return 0
}

// sysResource is CAP_SYS_RESOURCE. A node's kubelet has it; a container that runs these tests may not.
const sysResource = 24

func hasCapability(t *testing.T, number uint) bool {
	t.Helper()
	content, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(content), "CapEff:")
	value, _, _ := strings.Cut(rest, "\n")
	held, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
	if !found || err != nil {
		t.Fatalf("capabilities not understood: %v", err)
	}
	return held&(1<<number) != 0
}

// needFileSystem skips a test whose file system this kernel or machine lacks.
func needFileSystem(t *testing.T, name string) {
	t.Helper()
	content, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(strings.Fields(string(content)), name) {
		t.Skipf("NOT JUDGED: this kernel has no %s", name)
	}
	if _, err := exec.LookPath("mkfs." + name); err != nil {
		t.Skipf("NOT JUDGED: %v", err)
	}
}

// ownerGroup gives the group of a path and whether new files in it inherit that group.
func ownerGroup(t *testing.T, path string) (group uint32, inherited bool) {
	t.Helper()
	var status syscall.Stat_t
	if err := syscall.Stat(path, &status); err != nil {
		t.Fatal(err)
	}
	return status.Gid, status.Mode&syscall.S_ISGID != 0
}
