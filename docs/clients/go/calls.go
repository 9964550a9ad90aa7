package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"upload/pb"
)

const (
	attempts = 10
	timeout  = time.Minute
	patience = 10 * time.Minute
)

// Every call may come twice, so whatever can pass is tried again.
var passing = map[codes.Code]bool{codes.Unavailable: true, codes.ResourceExhausted: true,
	codes.Aborted: true, codes.DeadlineExceeded: true}

type method[Q, A any] func(context.Context, *Q, ...grpc.CallOption) (*A, error)

// call calls until there is an answer. It waits as long as the server asks, and a random while. A
// server that asks to come back later may be full for minutes: that is no failed attempt.
func call[Q, A any](ctx context.Context, do method[Q, A], request *Q) (*A, error) {
	mostMs, failed, begun := 100, 0, time.Now()
	for {
		var trailer metadata.MD
		once, cancel := context.WithTimeout(ctx, timeout)
		answer, err := do(once, request, grpc.WaitForReady(true), grpc.Trailer(&trailer))
		cancel()
		askedMs := 0
		if told := trailer.Get("grpc-retry-pushback-ms"); len(told) > 0 {
			askedMs, _ = strconv.Atoi(told[0])
		}
		if failed++; askedMs > 0 {
			failed = 0
		}
		isOver := failed == attempts || time.Since(begun) > patience
		if !passing[status.Code(err)] || ctx.Err() != nil || askedMs < 0 || isOver {
			return answer, err
		}
		fmt.Printf("%v, asked to wait %d ms\n", status.Code(err), askedMs)
		if mostMs *= 2; mostMs > 10_000 {
			mostMs = 10_000
		}
		time.Sleep(time.Duration(askedMs+rand.Intn(mostMs)) * time.Millisecond)
	}
}

// initiate opens the upload of a file, or finds it again: the same file in the same chunks is the
// same upload.
func initiate(ctx context.Context, service pb.UploadServiceClient, file *os.File, chunkBytes int64) (string, error) {
	facts, err := file.Stat()
	if err != nil {
		return "", err
	}
	path, err := filepath.Abs(file.Name())
	if err != nil {
		return "", err
	}
	size := facts.Size()
	same := fmt.Sprint(path, size, facts.ModTime().UnixNano(), chunkBytes)
	opened, err := call(ctx, service.InitiateUpload, &pb.InitiateUploadRequest{
		Filename:          filepath.Base(path),
		RequestId:         fmt.Sprintf("%x", sha256.Sum256([]byte(same))),
		ExpectedSizeBytes: &size,
		ChunkSizeBytes:    chunkBytes,
	})
	return opened.GetUploadId(), err
}

// missing asks which chunks the server doesn't have, from all pages.
func missing(ctx context.Context, service pb.UploadServiceClient, id string) ([]int32, error) {
	var numbers []int32
	request := &pb.GetUploadStatusRequest{UploadId: id}
	for {
		page, err := call(ctx, service.GetUploadStatus, request)
		if err != nil {
			return nil, err
		}
		for _, each := range page.MissingRanges {
			for number := each.First; number <= each.Last; number++ {
				numbers = append(numbers, number)
			}
		}
		if request.PageToken = page.NextPageToken; request.PageToken == "" {
			return numbers, nil
		}
	}
}

// complete waits for the end: each call up to 10 s.
func complete(ctx context.Context, service pb.UploadServiceClient, id string) error {
	for {
		answer, err := call(ctx, service.CompleteUpload, &pb.CompleteUploadRequest{UploadId: id})
		if err != nil || answer.State == pb.UploadState_UPLOAD_STATE_COMPLETED {
			return err
		}
	}
}
