// Hyper is a whole Kubernetes in one program: the control plane, its database, the node's agent and kubectl.
// One program is linked once, which is most of the time that a change takes. It is what it is called, through links
// with its parts' names; called `hyper`, it is what its first argument says.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

// Kubernetes' own programs, which read the command line themselves.
var components = map[string]func() *cobra.Command{
	"kube-apiserver":          apiserver.NewAPIServerCommand,
	"kube-controller-manager": controllers.NewControllerManagerCommand,
	"kube-scheduler":          func() *cobra.Command { return scheduler.NewSchedulerCommand() },
	"kubelet":                 func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) },
	"kubectl":                 kubectl.NewDefaultKubectlCommand,
}

// Ours: what makes a cluster of them.
var ours = map[string]func([]string) error{
	"keys":  writeKeys,
	"await": await,
}

func main() {
	// Each part reads os.Args as if it were a program of its own.
	if filepath.Base(os.Args[0]) == "hyper" && len(os.Args) > 1 {
		os.Args = os.Args[1:]
	}
	name := filepath.Base(os.Args[0])
	if name == "etcd" {
		etcdmain.Main(os.Args)
		return
	}
	if component := components[name]; component != nil {
		os.Exit(cli.Run(component()))
	}
	action := ours[name]
	if action == nil {
		fmt.Fprintf(os.Stderr, "hyper: `%s` is none of its parts\n", name)
		os.Exit(2)
	}
	if err := action(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "hyper %s: %v\n", name, err)
		os.Exit(1)
	}
}
