package csi

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"

	api "github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/kubernetes-csi/csi-test/v5/pkg/sanity"
	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
	"github.com/onsi/gomega"
	"github.com/onsi/gomega/format"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
)

const (
	runVariable         = "BECKET_CSI_TEST_RUN"
	reportVariable      = "BECKET_CSI_TEST_REPORT"
	filesystemParameter = "csi.storage.k8s.io/fstype"

	mebibyte = 1 << 20
)

// TestSpecsOfOneRun is what TestSanity starts for each of its runs.
func TestSpecsOfOneRun(t *testing.T) {
	asked := os.Getenv(runVariable)
	if asked == "" {
		t.Skip("TestSanity runs it")
	}
	var r run
	if err := json.Unmarshal([]byte(asked), &r); err != nil {
		t.Fatal(err)
	}
	n := newNode(t)
	switch r.Volumes.Driver {
	case "lvm":
		n.makeGroup(r.Volumes.Thin)
	case "nfs":
		n.makeShare()
	}
	config := sanity.NewTestConfig()
	config.TargetPath, config.StagingPath = n.path("target"), n.path("staging")
	config.TestVolumeSize, config.TestVolumeExpandSize = r.Volumes.size(), 2*r.Volumes.size()
	config.TestVolumeAccessType = r.Volumes.Access
	config.TestVolumeParameters = r.Volumes.Parameters
	config.TestVolumeMutableParameters = map[string]string{"trashRetention": "1h"}
	config.TestNodeVolumeAttachLimit = r.Attach

	outcome := result{Claims: r.serve(n, &config)}
	gomega.RegisterFailHandler(ginkgo.Fail)
	format.MaxDepth = 2 // An error's message, and not all that protobuf keeps beside it.
	specs := sanity.GinkgoTest(&config)
	ginkgo.ReportAfterSuite("report", func(report ginkgo.Report) { outcome.Specs = specsIn(report) })
	suite, reporter := ginkgo.GinkgoConfiguration()
	suite.RandomSeed, suite.RandomizeAllSpecs = r.Seed, true
	reporter.NoColor, reporter.Succinct, reporter.Verbose = true, !testing.Verbose(), testing.Verbose()
	ginkgo.RunSpecs(t, "csi-sanity", suite, reporter)
	specs.Finalize()
	expectEmpty(t, &config)

	text, err := json.Marshal(outcome)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(os.Getenv(reportVariable), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// serve starts what the run asks for, points csi-sanity at it, and gives what it claims. To be called before the specs are made: what is
// to happen before each of them has to be declared before them.
func (r run) serve(n *node, config *sanity.TestConfig) claims {
	var arguments []string
	if r.Attach {
		arguments = append(arguments, "--attach", "--max-volumes-per-node", "3")
	}
	var s *server
	if r.Mode == split {
		s = n.serve(r.Volumes.Driver, "node.sock", append(arguments, "--mode", "node")...)
		controller := n.serve(r.Volumes.Driver, "controller.sock", append(arguments, "--mode", "controller")...)
		config.ControllerAddress = "unix://" + controller.socket
	} else {
		s = n.serve(r.Volumes.Driver, "csi.sock", append(arguments, "--mode", "all")...)
	}
	config.Address = "unix://" + s.socket
	found := ask(n.t, config)
	switch r.Mode {
	case specwise:
		// csi-sanity connects anew when the address is another one.
		addresses := []string{"unix://" + s.socket, "unix:" + s.socket}
		ginkgo.BeforeEach(func() {
			gomega.Expect(s.restart()).To(gomega.Succeed())
			addresses[0], addresses[1] = addresses[1], addresses[0]
			config.Address = addresses[0]
		})
	case callwise:
		config.DialOptions = append(config.DialOptions, grpc.WithUnaryInterceptor(killing(s)))
	}
	return found
}

// connect gives connections to what has the node service and to what has the controller service, for as long as the test runs.
func connect(t *testing.T, config *sanity.TestConfig) (node, controller *grpc.ClientConn) {
	t.Helper()
	dial := func(address string) *grpc.ClientConn {
		connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = connection.Close() })
		return connection
	}
	node = dial(config.Address)
	if config.ControllerAddress == "" {
		return node, node
	}
	return node, dial(config.ControllerAddress)
}

func ask(t *testing.T, config *sanity.TestConfig) claims {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	node, controller := connect(t, config)
	found, err := claimsOf(ctx, node, controller)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// expectEmpty wants nothing to be left of what csi-sanity made, which deletes all of it.
func expectEmpty(t *testing.T, config *sanity.TestConfig) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, connection := connect(t, config)
	controller := api.NewControllerClient(connection)
	volumes, err := controller.ListVolumes(ctx, &api.ListVolumesRequest{})
	if err != nil || len(volumes.GetEntries()) > 0 {
		t.Errorf("volumes left: %v, %v", err, volumes.GetEntries())
	}
	snapshots, err := controller.ListSnapshots(ctx, &api.ListSnapshotsRequest{})
	if err != nil || len(snapshots.GetEntries()) > 0 {
		t.Errorf("snapshots left: %v, %v", err, snapshots.GetEntries())
	}
}

// killing makes each call one to a process that knows nothing of the calls before.
func killing(s *server) grpc.UnaryClientInterceptor {
	return func(ctx context.Context, method string, request, reply any, connection *grpc.ClientConn, invoke grpc.UnaryInvoker,
		options ...grpc.CallOption) error {
		if err := s.restart(); err != nil {
			return err
		}
		wait, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		// The connection to the killed process has to be known as lost before one to the next can be ready.
		for state := connectivity.Ready; state == connectivity.Ready; state = connection.GetState() {
			if !connection.WaitForStateChange(wait, state) {
				return wait.Err()
			}
		}
		for state := connection.GetState(); state != connectivity.Ready; state = connection.GetState() {
			connection.ResetConnectBackoff()
			connection.Connect()
			if !connection.WaitForStateChange(wait, state) {
				return wait.Err()
			}
		}
		return invoke(ctx, method, request, reply, connection, options...)
	}
}

func specsIn(report ginkgo.Report) []spec {
	var specs []spec
	for _, s := range report.SpecReports.WithLeafNodeType(types.NodeTypeIt) {
		specs = append(specs, spec{Name: s.FullText(), State: s.State.String(), Message: strings.Join(strings.Fields(s.Failure.Message), " ")})
	}
	return specs
}
