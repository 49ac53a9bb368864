package csi

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
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
}

func (v volumes) String() string {
	words := []string{v.Driver, v.Access}
	if filesystem := v.Parameters[filesystemParameter]; filesystem != "" {
		words = append(words, filesystem)
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
	t.Cleanup(func() { fmt.Println(strings.Join(rows, "\n")) })
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
	kinds := []volumes{
		{"image", "mount", map[string]string{filesystemParameter: "xfs"}},
		{"image", "block", nil},
		{"directory", "mount", map[string]string{"limit": "none"}},
	}
	if mayGrowMountedExt4(t) {
		return append(kinds, volumes{"image", "mount", map[string]string{filesystemParameter: "ext4"}})
	}
	fmt.Println("NOT JUDGED: ext4, which cannot be grown while mounted without CAP_SYS_RESOURCE")
	return kinds
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
	command := exec.Command("/proc/self/exe", "-test.run=^TestSpecsOfOneRun$", "-test.count=1", "-test.timeout=20m")
	command.Args[0] = os.Args[0]
	command.Env = append(os.Environ(), runVariable+"="+string(asked), reportVariable+"="+report.Name())
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := time.Now()
	output, failure := command.CombinedOutput()
	outcome := result{}
	if err := json.NewDecoder(report).Decode(&outcome); err != nil {
		t.Fatalf("the run gave no report (%v, %v):\n%s", err, failure, output)
	}
	outcome.Seconds = time.Since(started).Seconds()
	if failure != nil {
		t.Errorf("the run with seed %d ended with %v:\n%s", r.Seed, failure, tail(output, 120))
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
	// The image driver claims everything that there is a spec for.
	if skipped := r.count("skipped"); asked.Volumes.Driver == "image" && asked.Attach && skipped > 0 {
		t.Errorf("%d specs were skipped, want none: %s", skipped, strings.Join(r.reasons(), ", "))
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
