package csi

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	patience = 10 * time.Second
	nodeID   = "node-1"
)

// server is one `becket serve` process, or the latest of several that took each other's place.
type server struct {
	node      *node
	arguments []string
	socket    string
	said      lines
	command   *exec.Cmd
	ended     chan error
}

// serve starts `becket serve` for a driver, with a socket of this name on the node, and waits until it listens. It ends with the test.
func (n *node) serve(driver, socket string, extra ...string) *server {
	n.t.Helper()
	path := n.path(socket)
	arguments := []string{"serve", "--node-id", nodeID, "--drivers", driver, "--endpoint", "unix://" + path}
	s := &server{node: n, arguments: append(arguments, extra...), socket: path}
	n.t.Cleanup(func() {
		if err := s.stop(); err != nil {
			n.t.Error(err)
		}
		if n.t.Failed() {
			n.t.Logf("becket %s said at last:\n%s", strings.Join(s.arguments, " "), s.said.last(60))
		}
	})
	if err := s.start(); err != nil {
		n.t.Fatal(err)
	}
	return s
}

func (s *server) start() error {
	s.command = exec.Command(binary, s.arguments...)
	s.command.Env = s.node.environment()
	s.command.Stdout, s.command.Stderr = &s.said, &s.said
	// It must not outlive this process, whatever ends that.
	s.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.command.Start(); err != nil {
		s.command = nil
		return err
	}
	ended, command := make(chan error, 1), s.command
	go func() { ended <- command.Wait() }()
	s.ended = ended
	for deadline := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		if connection, err := net.Dial("unix", s.socket); err == nil {
			return connection.Close()
		}
		select {
		case err := <-ended:
			s.command = nil
			return fmt.Errorf("becket serve ended by itself: %v", err)
		default:
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("becket serve does not listen at %s within %s", s.socket, patience)
		}
	}
}

// stop ends it as Kubernetes ends a container; that has to work.
func (s *server) stop() error {
	if s.command == nil {
		return nil
	}
	if err := s.command.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("becket serve was gone before it was to end: %w", err)
	}
	select {
	case err := <-s.ended:
		s.command = nil
		if err != nil {
			return fmt.Errorf("becket serve ended with %w", err)
		}
	case <-time.After(patience):
		return errors.Join(fmt.Errorf("becket serve did not end within %s of SIGTERM", patience), s.kill())
	}
	if _, err := os.Lstat(s.socket); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("becket serve left its socket: %v", err)
	}
	return nil
}

func (s *server) kill() error {
	if err := s.command.Process.Kill(); err != nil {
		return fmt.Errorf("becket serve was gone before it was killed: %w", err)
	}
	<-s.ended
	s.command = nil
	return nil
}

// restart kills it, so that it remembers nothing, and starts another in its place.
func (s *server) restart() error {
	if err := s.kill(); err != nil {
		return err
	}
	return s.start()
}

// lines is what a process writes.
type lines struct {
	mutex sync.Mutex
	text  bytes.Buffer
}

func (l *lines) Write(text []byte) (int, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.text.Write(text)
}

func (l *lines) last(count int) string {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	all := strings.Split(strings.TrimSpace(l.text.String()), "\n")
	return strings.Join(all[max(0, len(all)-count):], "\n")
}
