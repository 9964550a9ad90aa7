// Sends chunks that are refused, and those of an honest upload on the same connection.
//
// Usage: storm ADDRESS UPLOAD REFUSED; prints how many calls ended with which code.
package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"log"
	"os"
	"sort"
	"strconv"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

const (
	method           = "/sluice.upload.v1.UploadService/UploadChunk"
	chunkBytes       = 16 << 20
	honestChunkBytes = 1 << 20
	honestChunks     = 16
	inFlight         = 8
)

// Without stubs: bytes in, bytes out.
type plain struct{}

func (plain) Name() string                          { return "proto" }
func (plain) Marshal(message any) ([]byte, error)   { return message.([]byte), nil }
func (plain) Unmarshal(message []byte, _ any) error { return nil }

func text(number uint64, value []byte) []byte {
	field := binary.AppendUvarint(nil, number<<3|2)
	return append(binary.AppendUvarint(field, uint64(len(value))), value...)
}

func chunk(uploadID string, number int, data []byte) []byte {
	number64 := binary.AppendUvarint([]byte{2 << 3}, uint64(number))
	return bytes.Join([][]byte{text(1, []byte(uploadID)), number64, text(1000, data)}, nil)
}

type storm struct {
	connection *grpc.ClientConn
	lock       sync.Mutex
	codes      map[string]int
}

func (s *storm) send(what string, message []byte) {
	err := s.connection.Invoke(context.Background(), method, message, nil)
	s.lock.Lock()
	defer s.lock.Unlock()
	s.codes[what+" "+status.Code(err).String()]++
}

func (s *storm) honest(uploadID string) {
	for number := 0; number < honestChunks; number++ {
		data := bytes.Repeat([]byte{byte(number)}, honestChunkBytes)
		s.send("honest", chunk(uploadID, number, data))
	}
}

func (s *storm) refused(count int) {
	message := chunk("nobody's", 0, make([]byte, chunkBytes))
	var senders sync.WaitGroup
	calls := make(chan struct{})
	for n := 0; n < inFlight; n++ {
		senders.Add(1)
		go func() {
			defer senders.Done()
			for range calls {
				s.send("refused", message)
			}
		}()
	}
	for n := 0; n < count; n++ {
		calls <- struct{}{}
	}
	close(calls)
	senders.Wait()
}

func main() {
	connection, err := grpc.Dial(os.Args[1],
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDisableRetry(),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(plain{})))
	if err != nil {
		log.Fatal(err)
	}
	refused, err := strconv.Atoi(os.Args[3])
	if err != nil {
		log.Fatal(err)
	}
	s := &storm{connection: connection, codes: map[string]int{}}
	var both sync.WaitGroup
	both.Add(2)
	go func() { defer both.Done(); s.honest(os.Args[2]) }()
	go func() { defer both.Done(); s.refused(refused) }()
	both.Wait()
	told := []string{}
	for what, count := range s.codes {
		told = append(told, fmt.Sprintln(what, count))
	}
	sort.Strings(told)
	for _, line := range told {
		fmt.Print(line)
	}
}
