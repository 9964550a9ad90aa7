package main

import (
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"bench/pb"
)

// run is what all lines of uploads share.
type run struct {
	load    *load
	payload *payload
	tally   *tally
	links   *links
	begun   int64
}

// line is one of the uploads at a time: each is followed by the next when it is verified.
func (r *run) line(line int) {
	for !r.tally.over() {
		if err := r.upload(line); err != nil {
			r.tally.failed(err)
		}
	}
}

func (r *run) upload(line int) error {
	started := time.Now()
	nth := atomic.AddInt64(&r.begun, 1)
	lane := line * r.load.Parallel
	request := &pb.InitiateUploadRequest{Filename: fmt.Sprint("bench-", nth), AckLevel: r.load.ackLevel()}
	if r.load.Promise {
		request.ExpectedSizeBytes = &r.load.UploadSize
		request.ChunkSizeBytes = r.load.ChunkSize
	}
	opened, err := call(r.tally, r.links.shared[lane%len(r.links.shared)].InitiateUpload, request)
	if err != nil {
		return fmt.Errorf("InitiateUpload: %w", err)
	}
	places, err := r.links.of(opened.Endpoints)
	if err != nil {
		return err
	}
	if err := r.chunks(opened.UploadId, nth, lane, places); err != nil {
		return err
	}
	return r.complete(opened.UploadId, started, places[lane%len(places)])
}

// chunks sends all, so many at a time.
func (r *run) chunks(id string, nth int64, lane int, places []pb.UploadServiceClient) error {
	numbers := r.payload.order(nth)
	var next int64
	var first error
	var lock sync.Mutex
	var group sync.WaitGroup
	for place := 0; place < r.load.Parallel && place < len(numbers); place++ {
		service := places[(lane+place)%len(places)]
		group.Add(1)
		go func() {
			defer group.Done()
			for at := atomic.AddInt64(&next, 1); at <= int64(len(numbers)); at = atomic.AddInt64(&next, 1) {
				if err := r.chunk(service, id, numbers[at-1]); err != nil {
					lock.Lock()
					first = err
					lock.Unlock()
					return
				}
			}
		}()
	}
	group.Wait()
	return first
}

func (r *run) chunk(service pb.UploadServiceClient, id string, number int32) error {
	started := time.Now()
	data := r.payload.chunk(number)
	request := &pb.UploadChunkRequest{UploadId: id, ChunkNumber: number,
		Crc64Nvme: r.payload.sum(number), Data: data}
	ack, err := call(r.tally, service.UploadChunk, request)
	if err != nil {
		r.tally.lost()
		return fmt.Errorf("UploadChunk: %w", err)
	}
	if ack.ChunkNumber != number || ack.ChunkBytes != int64(len(data)) {
		return fmt.Errorf("chunk %d of %d bytes was acked as %v", number, len(data), ack)
	}
	r.tally.acked(started, len(data), ack.State >= pb.UploadState_UPLOAD_STATE_COMPLETING, ack.Duplicate)
	return nil
}

// complete waits for the end, and compares.
func (r *run) complete(id string, started time.Time, service pb.UploadServiceClient) error {
	total := r.load.chunks()
	request := &pb.CompleteUploadRequest{UploadId: id, TotalChunks: &total}
	for {
		answer, err := call(r.tally, service.CompleteUpload, request)
		if err != nil {
			return fmt.Errorf("CompleteUpload: %w", err)
		}
		if answer.State != pb.UploadState_UPLOAD_STATE_COMPLETED {
			continue
		}
		object := answer.GetObject()
		if object.GetSizeBytes() != r.load.UploadSize {
			return fmt.Errorf("%d bytes were sent, the object has %d", r.load.UploadSize, object.GetSizeBytes())
		}
		sum := object.GetCrc64Nvme()
		if len(sum) == 8 && binary.BigEndian.Uint64(sum) != r.payload.whole {
			return fmt.Errorf("the object's CRC-64/NVME is %x, not %x", sum, r.payload.whole)
		}
		r.tally.verified(started, len(sum) == 8)
		return nil
	}
}
