// Package kubelet drives the FlexVolume code of the real kubelet, and its registration of CSI drivers, against the built becket binary.
package kubelet

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"k8s.io/klog/v2"
)

const (
	binaryVariable    = "BECKET"
	namespaceVariable = "BECKET_KUBELET_TEST_NAMESPACE"
)

// binary is the absolute path of the becket under test.
var binary string

// TestMain runs the tests in a mount namespace of their own, so that nothing they mount is ever seen by, or left to, the machine.
func TestMain(m *testing.M) {
	flag.Parse()
	var code int
	var err error
	if os.Getenv(namespaceVariable) == "" {
		code, err = runInOwnNamespace()
	} else if err = errors.Join(chooseDriver(), prepare()); err == nil {
		code = m.Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "kubelet tests:", err)
		code = 1
	}
	os.Exit(code)
}

func runInOwnNamespace() (int, error) {
	if os.Geteuid() != 0 {
		return 0, errors.New("must run as root: the tests mount file systems")
	}
	// The child is to die with this process, and the kernel ties that to the thread that started it.
	runtime.LockOSThread()
	command := exec.Command("/proc/self/exe", os.Args[1:]...)
	command.Args[0] = os.Args[0]
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	command.Env = append(os.Environ(), namespaceVariable+"=yes")
	command.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	err := command.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return max(exit.ExitCode(), 1), nil
	}
	return 0, err
}

func prepare() error {
	path := os.Getenv(binaryVariable)
	if path == "" {
		return fmt.Errorf("set %s to the path of the becket binary to judge", binaryVariable)
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	if _, err := os.Stat(absolute); err != nil {
		return fmt.Errorf("%s: %w", binaryVariable, err)
	}
	binary = absolute

	// An installed driver must need nothing from the kubelet's environment.
	for _, name := range []string{binaryVariable, "BECKET_STATE_DIR"} {
		if err := os.Unsetenv(name); err != nil {
			return err
		}
	}
	// Systemd shares the mounts of a node; inside this namespace that reaches nobody else, and it is what drivers meet.
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_SHARED, ""); err != nil {
		return fmt.Errorf("share mounts inside the namespace: %w", err)
	}
	return quietLogs()
}

// quietLogs shows what Kubernetes logs only under -v.
func quietLogs() error {
	flags := flag.NewFlagSet("klog", flag.ContinueOnError)
	klog.InitFlags(flags)
	if err := errors.Join(flags.Set("logtostderr", "false"), flags.Set("stderrthreshold", "FATAL")); err != nil {
		return err
	}
	if testing.Verbose() {
		klog.SetOutput(os.Stdout)
	} else {
		klog.SetOutput(io.Discard)
	}
	return nil
}
