// Command grpc-soak makes many unary calls over one connection of Go's gRPC client, with an event stream open beside them, and fails when either breaks.
//
//	grpc-soak SOCKET CALLS
//
// Go's client sends a PING with nearly every reply, which a server must not take for a flood. Built with Debian's packages, outside of Go modules.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/containerd/containerd"
	"github.com/containerd/containerd/namespaces"
)

func main() {
	calls, err := strconv.Atoi(os.Args[2])
	if err != nil {
		fail(err)
	}
	client, err := containerd.New(os.Args[1])
	if err != nil {
		fail(err)
	}
	ctx := namespaces.WithNamespace(context.Background(), "default")
	_, broken := client.Subscribe(ctx)
	start := time.Now()
	for i := 0; i < calls; i++ {
		select {
		case err := <-broken:
			fail(fmt.Errorf("the event stream ended after %d calls: %w", i, err))
		default:
		}
		if _, err := client.Version(ctx); err != nil {
			fail(fmt.Errorf("call %d: %w", i, err))
		}
	}
	fmt.Printf("%d calls, %.3f ms each\n", calls, time.Since(start).Seconds()*1000/float64(calls))
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
