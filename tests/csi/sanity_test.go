package csi

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"becket.dev/tests/machine"
)

// What csi-sanity 5.6.0 has: one of its specs is pending upstream.
const (
	allSpecs     = 103
	pendingSpecs = 1
)

var onlySeed = flag.Int64("seed", 0, "run the specs in this order instead of by chance")

// volumes is what a driver is asked to make.
type volumes struct {
	Driver     string
	Access     string
	Parameters map[string]string
	// Thin makes the volumes of the lvm driver thin; others are what their parameters say.
	Thin bool
	// Runs is how the driver is served, with attach; empty means in all ways.
	Runs []string
}

// size is what a volume has at first; it is grown to twice as much. An xfs is not made smaller than 300 MiB. Logical volumes, and images on a
// server, are small: raw ones and copies are written to whole, and that on a disk that may be in memory.
func (v volumes) size() int64 {
	if v.Driver == "lvm" || v.isImageOnServer() {
		return 64 * mebibyte
	}
	return 512 * mebibyte
}

// isImageOnServer is true for volumes of the nfs driver that are image files, and have a limit.
func (v volumes) isImageOnServer() bool { return v.Driver == "nfs" && v.Parameters["limit"] == "hard" }

func (v volumes) String() string {
	if v.isImageOnServer() {
		return "nfs-image"
	}
	words := []string{v.Driver, v.Access}
	if filesystem := v.Parameters[filesystemParameter]; filesystem != "" {
		words = append(words, filesystem)
	}
	if v.Thin {
		words = append(words, "thin")
	}
	return strings.Join(words, "-")
}

// How the driver is served during a run.
const (
	joined   = "joined"   // One process has all services.
	split    = "split"    // One process has the controller service and another one the node service.
	specwise = "specwise" // The process is killed before each spec.
	callwise = "callwise" // The process is killed before each call.
)

// run is one run of all specs.
type run struct {
	Volumes volumes
	Mode    string
	// Attach tells whether the driver has ControllerPublishVolume.
	Attach bool
	Seed   int64
}

func (r run) name() string {
	if r.Attach {
		return r.Mode + "+attach"
	}
	return r.Mode
}

// result is what came of a run.
type result struct {
	Specs   []spec
	Claims  claims
	Seconds float64
}

// spec is one test of csi-sanity, and how it went, in ginkgo's words.
type spec struct {
	Name, State, Message string
}

func (r result) count(state string) int {
	count := 0
	for _, s := range r.Specs {
		if s.State == state {
			count++
		}
	}
	return count
}

// TestSanity runs the specs of csi-sanity, all of them, for each driver and access type: three times in random order, with the services in
// two processes, with the process killed before each spec and before each call, and without attach.
func TestSanity(t *testing.T) {
	const row = "%-22s %-16s %20s %6s %7s %7s %8s %8s"
	rows := []string{fmt.Sprintf(row, "volumes", "mode", "seed", "ran", "passed", "failed", "skipped", "seconds")}
	t.Cleanup(func() {
		fmt.Println(strings.Join(rows, "\n"))
		if len(rows) == 1 {
			t.Error("nothing was judged")
		}
	})
	for _, v := range kindsOfVolumes(t) {
		t.Run(v.String(), func(t *testing.T) {
			for _, r := range runsOf(v) {
				t.Run(r.name(), func(t *testing.T) {
					outcome := r.carryOut(t)
					passed, failed, skipped := outcome.count("passed"), outcome.failed(), outcome.count("skipped")
					number := func(count int) string { return fmt.Sprint(count) }
					rows = append(rows, fmt.Sprintf(row, v, r.name(), fmt.Sprint(r.Seed), number(passed+failed), number(passed), number(failed),
						number(skipped), fmt.Sprintf("%.1f", outcome.Seconds)))
					outcome.judge(t, r)
				})
			}
		})
	}
}

func kindsOfVolumes(t *testing.T) []volumes {
	t.Helper()
	xfs, ext4 := map[string]string{filesystemParameter: "xfs"}, map[string]string{filesystemParameter: "ext4"}
	kinds := []volumes{
		{Driver: "image", Access: "mount", Parameters: xfs},
		{Driver: "image", Access: "block"},
		{Driver: "directory", Access: "mount", Parameters: map[string]string{"limit": "none"}},
	}
	if mayGrowMountedExt4(t) {
		kinds = append(kinds, volumes{Driver: "image", Access: "mount", Parameters: ext4})
	} else {
		fmt.Println("NOT JUDGED: ext4, which cannot be grown while mounted without CAP_SYS_RESOURCE")
	}
	if err := machine.NoShares(); err != nil {
		fmt.Printf("NOT JUDGED: nfs: %v; `cargo xtask test-guest` judges it\n", err)
	} else {
		kinds = append(kinds,
			volumes{Driver: "nfs", Access: "mount", Parameters: map[string]string{"limit": "none"}},
			volumes{Driver: "nfs", Access: "mount", Parameters: map[string]string{"limit": "hard"}},
		)
	}
	if err := machine.NoGroups(); err != nil {
		fmt.Printf("NOT JUDGED: lvm: %v; `cargo xtask test-guest` judges it\n", err)
		return kinds
	}
	// The driver spends its time in LVM's own commands, and most of it under a kernel where these are slow: each run takes minutes.
	return append(kinds,
		volumes{Driver: "lvm", Access: "mount", Parameters: ext4, Runs: []string{joined, specwise}},
		volumes{Driver: "lvm", Access: "mount", Parameters: ext4, Thin: true, Runs: []string{joined}},
		volumes{Driver: "lvm", Access: "block", Runs: []string{joined, split}},
	)
}

func runsOf(v volumes) []run {
	runs := []run{
		{Mode: joined, Attach: true},
		{Mode: joined, Attach: true},
		{Mode: joined, Attach: true},
		{Mode: joined},
		{Mode: split, Attach: true},
		{Mode: specwise, Attach: true},
		{Mode: callwise, Attach: true},
	}
	if v.Runs != nil {
		runs = nil
		for _, mode := range v.Runs {
			runs = append(runs, run{Mode: mode, Attach: true})
		}
	}
	for i := range runs {
		runs[i].Volumes, runs[i].Seed = v, rand.Int64()
		if *onlySeed != 0 {
			runs[i].Seed = *onlySeed
		}
	}
	return runs
}

// carryOut runs the specs in a process of their own: ginkgo runs a suite once per process.
func (r run) carryOut(t *testing.T) result {
	t.Helper()
	asked, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	report, err := os.CreateTemp(t.TempDir(), "report")
	if err != nil {
		t.Fatal(err)
	}
	defer report.Close()
	command := exec.Command("/proc/self/exe", "-test.run=^TestSpecsOfOneRun$", "-test.count=1", "-test.timeout=30m")
	command.Args[0] = os.Args[0]
	command.Env = append(os.Environ(), runVariable+"="+string(asked), reportVariable+"="+report.Name())
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var output bytes.Buffer
	command.Stdout = &output
	if testing.Verbose() {
		command.Args = append(command.Args, "-test.v")
		command.Stdout = io.MultiWriter(&output, os.Stdout)
	}
	command.Stderr = command.Stdout
	started := time.Now()
	failure := command.Run()
	outcome := result{}
	if err := json.NewDecoder(report).Decode(&outcome); err != nil {
		t.Fatalf("the run gave no report (%v, %v):\n%s", err, failure, output.Bytes())
	}
	outcome.Seconds = time.Since(started).Seconds()
	if failure != nil {
		t.Errorf("the run with seed %d ended with %v:\n%s", r.Seed, failure, tail(output.Bytes(), 120))
	}
	return outcome
}

// failed counts what neither passed nor was left out.
func (r result) failed() int {
	return len(r.Specs) - r.count("passed") - r.count("skipped") - r.count("pending")
}

// judge wants every spec to be there, to have run unless the driver does not claim what it is about, and to have passed.
func (r result) judge(t *testing.T, asked run) {
	t.Helper()
	if len(r.Specs) != allSpecs || r.count("pending") != pendingSpecs {
		t.Errorf("%d specs of which %d pending, want %d and %d: is this another csi-sanity?", len(r.Specs), r.count("pending"), allSpecs,
			pendingSpecs)
	}
	for _, s := range r.Specs {
		switch s.State {
		case "passed", "pending":
		case "skipped":
			if reason := r.Claims.forbidSkipping(s); reason != "" {
				t.Errorf("skipped (%s), although %s: %s", s.Message, reason, s.Name)
			}
		default:
			t.Errorf("%s: %s: %s", s.State, s.Name, s.Message)
		}
	}
	if reasons := r.unexpected(asked); len(reasons) > 0 {
		t.Errorf("%d specs were skipped for %s", r.count("skipped"), strings.Join(reasons, ", "))
	}
}

// unexpected gives the reasons for which specs of our own drivers must not have been skipped. The image driver with attach claims everything that
// there is a spec for, and the lvm driver all but groups.
func (r result) unexpected(asked run) []string {
	switch {
	case asked.Attach && asked.Volumes.Driver == "image":
		return r.reasons()
	case asked.Attach && asked.Volumes.Driver == "lvm":
		return slices.DeleteFunc(r.reasons(), func(reason string) bool { return strings.Contains(skips[reason], "GROUP") })
	default:
		return nil
	}
}

// reasons gives why specs were skipped, each reason once.
func (r result) reasons() []string {
	var found []string
	for _, s := range r.Specs {
		if s.State == "skipped" && !slices.Contains(found, s.Message) {
			found = append(found, s.Message)
		}
	}
	return found
}

func tail(text []byte, count int) string {
	l := lines{}
	_, _ = l.Write(text)
	return l.last(count)
}
