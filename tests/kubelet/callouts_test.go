package kubelet

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"k8s.io/kubernetes/pkg/volume"
	"k8s.io/utils/exec"
)

// callout is one run of a driver.
type callout struct {
	driver    string
	path      string
	arguments []string
	output    string
	err       error
}

func (c callout) name() string { return c.arguments[0] }

// problem says what is wrong with the form of a reply, whatever the reply says.
func (c callout) problem() error {
	var reply map[string]any
	if err := json.Unmarshal([]byte(c.output), &reply); err != nil {
		return fmt.Errorf("%s %v answered %q: %w", c.driver, c.arguments, c.output, err)
	}
	status, _ := reply["status"].(string)
	if !slices.Contains([]string{"Success", "Failure", "Not supported"}, status) {
		return fmt.Errorf("%s %v answered status %q", c.driver, c.arguments, status)
	}
	if status == "Success" && c.err != nil {
		return fmt.Errorf("%s %v answered Success and ended with %w", c.driver, c.arguments, c.err)
	}
	return nil
}

// recorder runs drivers as the kubelet does and remembers each run.
type recorder struct {
	exec.Interface
	mutex     sync.Mutex
	calls     []callout
	initFails bool
}

func newRecorder() *recorder { return &recorder{Interface: exec.New()} }

func (r *recorder) Command(path string, arguments ...string) exec.Cmd {
	return &recordedCommand{Cmd: r.Interface.Command(path, arguments...), recorder: r, path: path, arguments: arguments}
}

type recordedCommand struct {
	exec.Cmd
	recorder  *recorder
	path      string
	arguments []string
}

var errNotReady = errors.New("the node is not ready yet")

func (c *recordedCommand) CombinedOutput() ([]byte, error) {
	r := c.recorder
	r.mutex.Lock()
	fails := r.initFails && c.arguments[0] == "init"
	r.mutex.Unlock()
	if fails {
		return nil, errNotReady
	}
	output, err := c.Cmd.CombinedOutput()
	r.mutex.Lock()
	defer r.mutex.Unlock()
	driver := strings.ReplaceAll(filepath.Base(filepath.Dir(c.path)), "~", "/")
	r.calls = append(r.calls, callout{driver, c.path, c.arguments, string(output), err})
	return output, err
}

// failInit makes every init fail, as if something the driver needs were not there yet.
func (r *recorder) failInit(fails bool) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.initFails = fails
}

// count says how often a driver was run with a callout.
func (r *recorder) count(driver, name string) int {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	count := 0
	for _, call := range r.calls {
		if call.driver == driver && call.name() == name {
			count++
		}
	}
	return count
}

// last gives the newest run with a callout.
func (r *recorder) last(name string) (callout, error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	for _, call := range slices.Backward(r.calls) {
		if call.name() == name {
			return call, nil
		}
	}
	return callout{}, fmt.Errorf("no %s callout was made", name)
}

// repeat makes the newest run with a callout once more, past the kubelet's own checks, and wants Success again.
func (r *recorder) repeat(name string) error {
	call, err := r.last(name)
	if err != nil {
		return err
	}
	output, err := r.Command(call.path, call.arguments...).CombinedOutput()
	var reply struct{ Status, Message string }
	if err := errors.Join(err, json.Unmarshal(output, &reply)); err != nil {
		return fmt.Errorf("%s, again: %w: %q", name, err, output)
	}
	if reply.Status != "Success" {
		return fmt.Errorf("%s, again: %s: %s", name, reply.Status, reply.Message)
	}
	return nil
}

// problems lists the replies that were not well formed.
func (r *recorder) problems() []error {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	var found []error
	for _, call := range r.calls {
		if err := call.problem(); err != nil {
			found = append(found, err)
		}
	}
	return found
}

// countingProber counts the probes that failed; the kubelet only logs them.
type countingProber struct {
	volume.DynamicPluginProber
	mutex    sync.Mutex
	failures []error
}

func (p *countingProber) Probe() ([]volume.ProbeEvent, error) {
	events, err := p.DynamicPluginProber.Probe()
	if err != nil {
		p.mutex.Lock()
		p.failures = append(p.failures, err)
		p.mutex.Unlock()
	}
	return events, err
}

func (p *countingProber) failed() []error {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return slices.Clone(p.failures)
}
