package main

import (
	"context"
	"flag"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	watchtools "k8s.io/client-go/tools/watch"
)

// How often an API server that does not serve yet is asked: there is nothing to watch before it does.
const every = 50 * time.Millisecond

// await says on stdout, a word a line, what has come to be: `api` when the API server serves, `node` when the node is
// Ready, `account` when pods can be made because the default service account is there.
func await(arguments []string) error {
	flags := flag.NewFlagSet("await", flag.ExitOnError)
	kubeconfig := flags.String("kubeconfig", "", "of one who may read everything")
	node := flags.String("node", "", "the name of the node")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		return err
	}
	api, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	ctx := context.Background()
	for api.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error() != nil {
		time.Sleep(every)
	}
	fmt.Println("api")
	core := api.CoreV1().RESTClient()
	if err := until(ctx, core, "nodes", "", *node, &corev1.Node{}, isReady); err != nil {
		return err
	}
	fmt.Println("node")
	there := func(event watch.Event) (bool, error) { return event.Type != watch.Deleted, nil }
	if err := until(ctx, core, "serviceaccounts", "default", "default", &corev1.ServiceAccount{}, there); err != nil {
		return err
	}
	fmt.Println("account")
	return nil
}

// until watches one object, which may come later, until it is as wanted.
func until(ctx context.Context, api rest.Interface, kind, namespace, name string, object runtime.Object,
	wanted watchtools.ConditionFunc) error {
	one := fields.OneTermEqualSelector(metav1.ObjectNameField, name)
	source := cache.NewListWatchFromClient(api, kind, namespace, one)
	_, err := watchtools.UntilWithSync(ctx, source, object, nil, wanted)
	return err
}

func isReady(event watch.Event) (bool, error) {
	node, ok := event.Object.(*corev1.Node)
	if !ok || event.Type == watch.Deleted {
		return false, nil
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue, nil
		}
	}
	return false, nil
}
