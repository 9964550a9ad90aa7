package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"upload/pb"
)

const parallel = 8

// upload uploads a file and returns its upload id. A second run must have the same chunkBytes.
func upload(ctx context.Context, service pb.UploadServiceClient, path string, chunkBytes int64) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	id, err := initiate(ctx, service, file, chunkBytes)
	if err != nil {
		return "", err
	}
	for {
		numbers, err := missing(ctx, service, id)
		if err != nil {
			return "", err
		}
		if len(numbers) == 0 {
			return id, complete(ctx, service, id)
		}
		var count atomic.Int32
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(parallel)
		for _, number := range numbers {
			number := number
			group.Go(func() error {
				data := make([]byte, chunkBytes)
				filled, err := file.ReadAt(data, int64(number)*chunkBytes)
				if err != nil && err != io.EOF {
					return err
				}
				chunk := &pb.UploadChunkRequest{UploadId: id, ChunkNumber: number, Data: data[:filled]}
				sum := crc32.Checksum(chunk.Data, crc32.MakeTable(crc32.Castagnoli))
				chunk.Crc32C = binary.BigEndian.AppendUint32(nil, sum)
				if _, err = call(ctx, service.UploadChunk, chunk); err == nil {
					fmt.Printf("%d of %d chunks\n", count.Add(1), len(numbers))
				}
				return err
			})
		}
		if err := group.Wait(); err != nil {
			return "", err
		}
	}
}
