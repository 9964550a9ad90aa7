package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"bench/pb"
)

// job is what bench/src/job.rs describes; what a stock client can't do is refused in check.
type job struct {
	Address string
	Load    load
}

type load struct {
	Connections int
	Uploads     int
	UploadSize  int64 `json:"upload_size"`
	ChunkSize   int64 `json:"chunk_size"`
	Mix         []json.RawMessage
	Parallel    int
	Order       string
	Fill        json.RawMessage
	Checksums   bool
	Promise     bool
	Route       string
	Ack         string
	FrameSize   *int64    `json:"frame_size"`
	IdleUploads int       `json:"idle_uploads"`
	WarmUp      duration  `json:"warm_up"`
	Duration    duration  `json:"duration"`
	TotalSize   *int64    `json:"total_size"`
	Offered     *struct{} `json:"offered"`
}

// duration is written as `500 ms`.
type duration time.Duration

func (d *duration) UnmarshalJSON(text []byte) error {
	parsed, err := time.ParseDuration(strings.ReplaceAll(strings.Trim(string(text), `"`), " ", ""))
	*d = duration(parsed)
	return err
}

func readJob(from io.Reader) (*job, error) {
	read := &job{}
	if err := json.NewDecoder(from).Decode(read); err != nil {
		return nil, err
	}
	return read, read.Load.check()
}

func (l *load) check() error {
	var fill string
	switch {
	case l.Connections < 1 || l.Uploads < 1 || l.Parallel < 1 || l.UploadSize < 1 || l.ChunkSize < 1:
		return fmt.Errorf("connections, uploads, parallel and sizes are at least 1")
	case len(l.Mix) > 0:
		return fmt.Errorf("this client has no mix of sizes")
	case l.Offered != nil:
		return fmt.Errorf("this client has no open loop")
	case l.IdleUploads > 0:
		return fmt.Errorf("this client opens no idle uploads")
	case l.Route == "wrong":
		return fmt.Errorf("this client sends no chunk to a wrong owner")
	case json.Unmarshal(l.Fill, &fill) != nil:
		return fmt.Errorf("this client sends no file")
	}
	return nil
}

func (l *load) chunks() int32 {
	return int32((l.UploadSize + l.ChunkSize - 1) / l.ChunkSize)
}

func (l *load) ackLevel() pb.AckLevel {
	switch l.Ack {
	case "received":
		return pb.AckLevel_ACK_LEVEL_RECEIVED
	case "spooled":
		return pb.AckLevel_ACK_LEVEL_SPOOLED
	}
	return pb.AckLevel_ACK_LEVEL_UNSPECIFIED
}
