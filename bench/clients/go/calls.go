package main

import (
	"context"
	"fmt"
	"math/rand"
	"strconv"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const (
	attempts = 20
	timeout  = time.Minute
)

// Every call may come twice, so whatever can pass is tried again.
var passing = map[codes.Code]bool{codes.Unavailable: true, codes.ResourceExhausted: true,
	codes.Aborted: true, codes.DeadlineExceeded: true}

type method[Q, A any] func(context.Context, *Q, ...grpc.CallOption) (*A, error)

// call calls until there is an answer. It waits as long as the server asks, and a random while.
func call[Q, A any](t *tally, do method[Q, A], request *Q) (*A, error) {
	mostMs := 10
	for attempt := 1; ; attempt++ {
		var trailer metadata.MD
		once, cancel := context.WithTimeout(context.Background(), timeout)
		answer, err := do(once, request, grpc.WaitForReady(true), grpc.Trailer(&trailer))
		cancel()
		askedMs := 0
		if told := trailer.Get("grpc-retry-pushback-ms"); len(told) > 0 {
			askedMs, _ = strconv.Atoi(told[0])
		}
		if !passing[status.Code(err)] || askedMs < 0 || attempt == attempts {
			return answer, err
		}
		t.refused(reason(err))
		if mostMs *= 2; mostMs > 1_000 {
			mostMs = 1_000
		}
		time.Sleep(time.Duration(askedMs+rand.Intn(mostMs)) * time.Millisecond)
	}
}

// reason is the word in ErrorInfo, else the code.
func reason(err error) string {
	told := status.Convert(err)
	for _, detail := range told.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info.Reason
		}
	}
	return fmt.Sprint(told.Code())
}
