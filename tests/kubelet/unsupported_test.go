package kubelet

import (
	"bytes"
	"encoding/json"
	"io"
	"os/exec"
	"strings"
	"testing"

	"k8s.io/kubernetes/pkg/volume/flexvolume"
)

const notSupported = flexvolume.StatusNotSupported

// reply runs an installed driver with nothing in its environment and wants one JSON object on stdout and nothing on stderr.
func (n *node) reply(driver string, arguments ...string) map[string]any {
	n.t.Helper()
	command := exec.Command(n.driverFile(driver), arguments...)
	command.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	err := command.Run()
	if stderr.Len() > 0 {
		n.t.Errorf("%q wrote to stderr: %s", arguments, stderr.String())
	}
	answer := stdout.String()
	decoder := json.NewDecoder(&stdout)
	var reply map[string]any
	if decodeErr := decoder.Decode(&reply); decodeErr != nil {
		n.t.Fatalf("%q answered %q: %v (%v)", arguments, answer, decodeErr, err)
	}
	if _, end := decoder.Token(); end != io.EOF {
		n.t.Errorf("%q answered more than one object: %q", arguments, answer)
	}
	return reply
}

func TestAnUnknownCalloutIsNotSupportedAndDisturbsNothing(t *testing.T) {
	_, k := withDriver(t)
	for _, driver := range installed() {
		plugin, err := k.manager.FindPluginByName(driver)
		if err != nil {
			t.Fatal(err)
		}
		caller, ok := plugin.(interface {
			NewDriverCall(string) *flexvolume.DriverCall
		})
		if !ok {
			t.Fatalf("%T makes no driver calls", plugin)
		}
		for _, name := range []string{"waitfordetach", "frobnicate", "Mount", "--help", ""} {
			call := caller.NewDriverCall(name)
			call.Append("an argument")
			if _, err := call.Run(); err == nil || err.Error() != notSupported {
				t.Errorf("%s %q gave %v, want %s", driver, name, err, notSupported)
			}
		}
	}
	spec, pod := ordinaryVolume("data"), newPod("default", "one")
	k.mustSetUp(spec, pod)
	k.mustTearDown(spec, pod)
}

func TestEveryCalloutAnswersWellHoweverItIsCalled(t *testing.T) {
	n := newVolumeNode(t)
	n.install()
	callouts := []string{"init", "getvolumename", "attach", "isattached", "waitforattach", "mountdevice", "mount", "unmount", "unmountdevice",
		"detach", "expandvolume", "expandfs"}
	shapes := map[string][]string{
		"no argument":           nil,
		"an empty argument":     {""},
		"no JSON":               {"{", "{", "{", "{", "{"},
		"JSON of a wrong shape": {`{"name":5}`, `{"name":5}`, `{"name":5}`, `{"name":5}`, `{"name":5}`},
		"an unknown option":     {`{"name":"x","kubernetes.io/new":"y"}`},
		"too many arguments":    strings.Fields(strings.Repeat("a ", 20)),
	}
	for _, driver := range installed() {
		for _, name := range callouts {
			for shape, arguments := range shapes {
				t.Run(driver+" "+name+", "+shape, func(t *testing.T) {
					n := *n
					n.t = t
					status := n.reply(driver, append([]string{name}, arguments...)...)["status"]
					if status != "Success" && status != "Failure" && status != notSupported {
						t.Errorf("status %v", status)
					}
				})
			}
		}
	}
	if status := n.reply(tested.name)["status"]; status != notSupported && status != "Failure" {
		t.Errorf("without a callout: status %v", status)
	}
	n.expectNothingLeft()
}

func TestGetVolumeNameIsNotSupportedAndTheKubeletUsesItsOwnName(t *testing.T) {
	n, k := withAttachableDriver(t)
	spec := ordinaryVolume("data")
	plugin := k.attachable(spec)
	for range 3 {
		if name, err := plugin.GetVolumeName(spec); err != nil || name != "pv-data" {
			t.Errorf("named %q: %v, want pv-data", name, err)
		}
	}
	if count := k.callouts.count(tested.name, "getvolumename"); count != 1 {
		t.Errorf("asked %d times, want once: the kubelet remembers Not supported", count)
	}

	// A rebuilt spec names no options: that must not turn Not supported into a failure, which would stop every unmount.
	k = k.restart()
	rebuilt := k.rebuilt(tested.name, "pv-data", k.podDirectory(spec, newPod("default", "one")))
	if name, err := k.attachable(rebuilt).GetVolumeName(rebuilt); err != nil || name != "pv-data" {
		t.Errorf("rebuilt volume named %q: %v, want pv-data", name, err)
	}

	// An upgrade makes the kubelet ask again.
	n.upgrade("--attachable")
	settle()
	before := k.callouts.count(tested.name, "getvolumename")
	if _, err := k.attachable(spec).GetVolumeName(spec); err != nil {
		t.Fatal(err)
	}
	if count := k.callouts.count(tested.name, "getvolumename") - before; count != 1 {
		t.Errorf("asked %d times after an upgrade, want once", count)
	}
}

func TestInitAnswersTheCapabilitiesOfTheChosenMode(t *testing.T) {
	modes := []bool{false}
	if tested.canAttach {
		modes = append(modes, true)
	}
	for _, attachable := range modes {
		n := newVolumeNode(t)
		if attachable {
			n.install("--attachable")
		} else {
			n.install()
		}
		for _, driver := range installed() {
			want := map[string]any{
				"attach":           attachable && driver == tested.name,
				"fsGroup":          true,
				"selinuxRelabel":   true,
				"supportsMetrics":  true,
				"requiresFSResize": true,
			}
			got, _ := n.reply(driver, "init")["capabilities"].(map[string]any)
			for name, value := range want {
				if got[name] != value {
					t.Errorf("%s, attachable %v: %s is %v, want %v", driver, attachable, name, got[name], value)
				}
			}
		}
	}
}

func TestAFailedCalloutIsNotTakenForAnUnsupportedOne(t *testing.T) {
	n, k := withDriver(t)
	bad, good, pod := persistent(tested.name, "bad", options{"name": "missing"}, false), ordinaryVolume("data"), newPod("default", "one")
	if err := k.setUpOnly(bad, pod); err == nil {
		t.Fatal("a missing volume was set up")
	}
	// Not supported would have made the kubelet stop calling mount for every volume of the driver.
	k.mustSetUp(good, pod)
	if count := k.callouts.count(tested.name, "mount"); count != 2 {
		t.Errorf("mount was called %d times, want 2", count)
	}
	k.mustTearDown(good, pod)
	n.expectNothingLeft()
}
