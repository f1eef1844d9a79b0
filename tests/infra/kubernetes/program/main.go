// Etcd, the control plane and the kubelet as one program, which shares their code: the first argument names the one.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"

	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"

	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

var components = map[string]func() *cobra.Command{
	"apiserver":          apiserver.NewAPIServerCommand,
	"controller-manager": controllers.NewControllerManagerCommand,
	"scheduler":          func() *cobra.Command { return scheduler.NewSchedulerCommand() },
	"kubelet":            func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) },
}

func main() {
	name, rest := "", []string{}
	if len(os.Args) > 1 {
		name, rest = os.Args[1], os.Args[2:]
	}
	if name == "etcd" {
		etcdmain.Main(append([]string{name}, rest...))
		return
	}
	command, known := components[name]
	if !known {
		fmt.Fprintf(os.Stderr, "«%s» is no component: etcd, apiserver, controller-manager, scheduler or kubelet\n", name)
		os.Exit(2)
	}
	// The commands read their flags from here.
	os.Args = append(os.Args[:1], rest...)
	os.Exit(cli.Run(command()))
}
