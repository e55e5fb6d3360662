// Command grpc-soak makes many unary calls over one connection of Go's gRPC client, with an event stream open beside them, and fails when either breaks.
//
//	grpc-soak SOCKET CALLS
//
// Go's client sends a PING with nearly every reply, which a server must not take for a flood. Built outside of Go modules with what Debian's
// golang-google-grpc-dev brings, so the messages are those that every protobuf library has: an empty one reads any reply.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/emptypb"
)

func main() {
	calls, err := strconv.Atoi(os.Args[2])
	check("calls", err)
	ctx := metadata.AppendToOutgoingContext(context.Background(), "containerd-namespace", "default")
	connection, err := grpc.DialContext(ctx, "unix://"+os.Args[1], grpc.WithInsecure(), grpc.WithBlock())
	check("connect", err)

	events, err := connection.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/containerd.services.events.v1.Events/Subscribe")
	check("subscribe", err)
	check("subscribe", events.SendMsg(&emptypb.Empty{}))
	check("subscribe", events.CloseSend())
	broken := make(chan error, 1)
	go func() {
		for {
			if err := events.RecvMsg(&emptypb.Empty{}); err != nil {
				broken <- err
				return
			}
		}
	}()

	start := time.Now()
	for i := 0; i < calls; i++ {
		select {
		case err := <-broken:
			check(fmt.Sprintf("the event stream after %d calls", i), err)
		default:
		}
		check(fmt.Sprintf("call %d", i), connection.Invoke(ctx, "/containerd.services.version.v1.Version/Version", &emptypb.Empty{}, &emptypb.Empty{}))
	}
	fmt.Printf("%d calls, %.3f ms each\n", calls, time.Since(start).Seconds()*1000/float64(calls))
}

func check(what string, err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
		os.Exit(1)
	}
}
