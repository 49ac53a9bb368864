package csi

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	api "github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
)

// path is a socket that is dialed as the kubelet dials a registration socket, and old clients a driver's: as a bare path, which becomes the
// authority unless another one is given.
type path struct {
	socket string
	// dialed counts connections.
	dialed atomic.Int32
}

func (p *path) dial(ctx context.Context, options ...grpc.DialOption) (*grpc.ClientConn, error) {
	dialer := func(ctx context.Context, address string) (net.Conn, error) {
		p.dialed.Add(1)
		return (&net.Dialer{}).DialContext(ctx, "unix", address)
	}
	options = append(options, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithBlock(), grpc.WithContextDialer(dialer))
	return grpc.DialContext(ctx, p.socket, options...)
}

func TestClientsAreLetInWhateverAuthorityTheySend(t *testing.T) {
	n := newNode(t)
	socket := n.serve("image", "csi.sock").socket
	for name, options := range map[string][]grpc.DialOption{
		"the bare path":             nil,
		"localhost":                 {grpc.WithAuthority("localhost")},
		"one that is short":         {grpc.WithAuthority("a")},
		"one that h2 does not take": {grpc.WithAuthority("not/an%2Fauthority")},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			p := path{socket: socket}
			connection, err := p.dial(ctx, options...)
			if err != nil {
				t.Fatal(err)
			}
			defer connection.Close()
			// The headers of this many calls fill the table that both sides keep of them many times over.
			for i := range 2000 {
				value := strings.Repeat("v", i*7%101)
				call := metadata.AppendToOutgoingContext(ctx, fmt.Sprintf("x-%04d", i), value)
				if _, err := api.NewIdentityClient(connection).Probe(call, &api.ProbeRequest{}); err != nil {
					t.Fatalf("call %d: %v", i, err)
				}
			}
			// A lost connection is made again, and the call on it too, without a word.
			if count := p.dialed.Load(); count != 1 {
				t.Errorf("the calls took %d connections", count)
			}
		})
	}
	t.Run("that of a URL", func(t *testing.T) {
		connection, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		defer connection.Close()
		if _, err := api.NewIdentityClient(connection).Probe(t.Context(), &api.ProbeRequest{}); err != nil {
			t.Error(err)
		}
	})
}

// grpcurl runs the tool of this name, at the version that go.mod names.
func grpcurl(t *testing.T, arguments ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", append([]string{"tool", "grpcurl", "-plaintext", "-unix"}, arguments...)...)
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("grpcurl %s: %v: %s", strings.Join(arguments, " "), err, output)
	}
	return string(output)
}

func TestGrpcurlListsTheServicesAndCallsThemByReflection(t *testing.T) {
	n := newNode(t)
	p := path{socket: n.serve("image", "csi.sock", "--reflection").socket}
	listed := strings.Fields(grpcurl(t, p.socket, "list"))
	for _, service := range []string{"csi.v1.Identity", "csi.v1.Controller", "csi.v1.Node"} {
		if !slices.Contains(listed, service) {
			t.Errorf("%s is not among %q", service, listed)
		}
	}
	connection, err := p.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	claimed, err := claimsOf(t.Context(), connection, connection)
	if err != nil {
		t.Fatal(err)
	}
	for service, capability := range map[string]string{
		"csi.v1.GroupController":  "plugin GROUP_CONTROLLER_SERVICE",
		"csi.v1.SnapshotMetadata": "plugin SNAPSHOT_METADATA_SERVICE",
	} {
		if claimed[capability] != slices.Contains(listed, service) {
			t.Errorf("%s is claimed: %t, and listed: %t", service, claimed[capability], !claimed[capability])
		}
	}
	for _, authority := range [][]string{nil, {"-authority", "localhost"}} {
		if answer := grpcurl(t, append(authority, p.socket, "csi.v1.Identity/Probe")...); !strings.Contains(answer, `"ready": true`) {
			t.Errorf("%q: Probe answered %s", authority, answer)
		}
	}
	if described := grpcurl(t, p.socket, "describe", "csi.v1.NodeStageVolumeRequest"); !strings.Contains(described, "csi_secret") {
		t.Errorf("a secret is not described as one:\n%s", described)
	}
}

func TestReflectionIsServedOnlyWhenAskedFor(t *testing.T) {
	n := newNode(t)
	socket := n.serve("image", "csi.sock").socket
	command := exec.CommandContext(t.Context(), "go", "tool", "grpcurl", "-plaintext", "-unix", socket, "list")
	output, err := command.CombinedOutput()
	if err == nil || !strings.Contains(string(output), "does not support the reflection API") {
		t.Errorf("%v: %s", err, output)
	}
}
