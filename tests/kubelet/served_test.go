package kubelet

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The names of CSI drivers, with the backend's name first.
const (
	imageCSIDriver     = "image.becket.dev"
	directoryCSIDriver = "directory.becket.dev"
)

// served is a `becket serve` process that serves one driver and registers it.
type served struct {
	t            *testing.T
	node         *node
	driver       string
	socket       string
	registration string
	command      *exec.Cmd
	ended        chan error

	mutex sync.Mutex
	said  bytes.Buffer
}

func (n *node) registrationDirectory() string { return filepath.Join(n.kubelet, "plugins_registry") }

// serveCSI starts the process and waits until its CSI socket is there. It ends with the test.
func (n *node) serveCSI(driver string) *served {
	n.t.Helper()
	plugins := filepath.Join(n.kubelet, "plugins")
	if err := os.MkdirAll(plugins, 0o750); err != nil {
		n.t.Fatal(err)
	}
	s := &served{
		t:            n.t,
		node:         n,
		driver:       driver,
		socket:       filepath.Join(plugins, driver, "csi.sock"),
		registration: filepath.Join(n.registrationDirectory(), driver+"-reg.sock"),
	}
	n.t.Cleanup(s.close)
	s.start()
	return s
}

func (s *served) Write(text []byte) (int, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.said.Write(text)
}

func (s *served) log() string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.said.String()
}

func (s *served) start() {
	s.t.Helper()
	backend, _, _ := strings.Cut(s.driver, ".")
	s.command = exec.Command(s.node.binary, "--verbose", "serve", "--node-id", string(nodeName), "--drivers", backend, "--mode", "node",
		"--endpoint", "unix://"+s.socket, "--registration-dir", s.node.registrationDirectory())
	s.command.Env = append(os.Environ(), "BECKET_STATE_DIR="+s.node.state)
	s.command.Stdout, s.command.Stderr = s, s
	s.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.command.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended, command := make(chan error, 1), s.command
	go func() { ended <- command.Wait() }()
	s.ended = ended
	eventually(s.t, 10*time.Second, "the driver listens", func() bool {
		s.expectAlive()
		connection, err := net.Dial("unix", s.socket)
		if err != nil {
			return false
		}
		return connection.Close() == nil
	})
}

func (s *served) expectAlive() {
	s.t.Helper()
	select {
	case err := <-s.ended:
		s.command = nil
		s.t.Fatalf("becket serve ended by itself: %v\n%s", err, s.log())
	default:
	}
}

func (s *served) expectSaid(words string) {
	s.t.Helper()
	eventually(s.t, 5*time.Second, "becket says: "+words, func() bool { return strings.Contains(s.log(), words) })
}

func (s *served) kill() {
	s.t.Helper()
	if err := s.command.Process.Kill(); err != nil {
		s.t.Fatal(err)
	}
	<-s.ended
	s.command = nil
}

func (s *served) stop() {
	s.t.Helper()
	if err := s.command.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Error(err)
	}
	select {
	case err := <-s.ended:
		s.command = nil
		if err != nil {
			s.t.Errorf("becket serve ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		s.t.Error("becket serve did not end within 10 s of SIGTERM")
		s.kill()
	}
}

func (s *served) close() {
	if s.command != nil {
		s.stop()
	}
	if s.t.Failed() {
		s.t.Logf("becket serve of %s said:\n%s", s.driver, s.log())
	}
}
