package main

import (
	"encoding/binary"
	"hash/crc64"
	"math/rand"
	"strings"
)

// Windows of neighbours lie this far apart, so that chunks that change places give another object.
const strideBytes = 67

// CRC-64/NVME, reflected.
var nvme = crc64.MakeTable(0x9a6c9329ac4bc9b5)

// payload is all chunks of one upload: windows into one buffer, summed before the clock runs.
type payload struct {
	load   *load
	buffer []byte
	sums   [][]byte
	whole  uint64
}

func newPayload(l *load) *payload {
	chunks := l.chunks()
	p := &payload{load: l, buffer: make([]byte, min(l.ChunkSize, l.UploadSize)+strideBytes*int64(chunks))}
	if !strings.Contains(string(l.Fill), "zero") {
		rand.New(rand.NewSource(1)).Read(p.buffer)
	}
	for number := int32(0); number < chunks; number++ {
		data := p.chunk(number)
		p.whole = crc64.Update(p.whole, nvme, data)
		if l.Checksums {
			p.sums = append(p.sums, binary.BigEndian.AppendUint64(nil, crc64.Checksum(data, nvme)))
		}
	}
	return p
}

func (p *payload) chunk(number int32) []byte {
	length := min(p.load.ChunkSize, p.load.UploadSize-int64(number)*p.load.ChunkSize)
	start := strideBytes * int64(number)
	return p.buffer[start : start+length]
}

// sum is none where chunks carry none.
func (p *payload) sum(number int32) []byte {
	if p.sums == nil {
		return nil
	}
	return p.sums[number]
}

// order is in which order the nth upload sends its chunks.
func (p *payload) order(nth int64) []int32 {
	numbers := make([]int32, p.load.chunks())
	for at := range numbers {
		numbers[at] = int32(at)
	}
	switch last := len(numbers) - 1; p.load.Order {
	case "shuffled":
		rand.New(rand.NewSource(nth)).Shuffle(len(numbers), func(a, b int) {
			numbers[a], numbers[b] = numbers[b], numbers[a]
		})
	case "last-first":
		copy(numbers[1:], numbers[:last])
		numbers[0] = int32(last)
	}
	return numbers
}

func min(a, b int64) int64 {
	if a < b {
		return a
	}
	return b
}
