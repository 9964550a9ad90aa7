package main

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// outcome is what bench/src/outcome.rs describes.
type outcome struct {
	Failed            *string          `json:"failed"`
	Seconds           float64          `json:"seconds"`
	Bytes             int64            `json:"bytes"`
	Chunks            int64            `json:"chunks"`
	Uploads           int64            `json:"uploads"`
	SizesVerified     int64            `json:"sizes_verified"`
	ChecksumsVerified int64            `json:"checksums_verified"`
	AcksLost          int64            `json:"acks_lost"`
	Refusals          map[string]int64 `json:"refusals"`
	Retries           int64            `json:"retries"`
	Duplicates        int64            `json:"duplicates"`
	Ack               string           `json:"ack"`
	EndingAck         string           `json:"ending_ack"`
	Upload            string           `json:"upload"`
	Series            []second         `json:"series"`
	Notes             []string         `json:"notes"`
}

type second struct {
	Bytes    int64 `json:"bytes"`
	Acks     int64 `json:"acks"`
	P99Us    int64 `json:"ack_p99_us"`
	Refusals int64 `json:"refusals"`
}

// tally counts. What comes before the measured time or after it is left out, but for uploads,
// duplicates and lost acks, which are told of the whole run.
type tally struct {
	lock      sync.Mutex
	began     time.Time
	ended     time.Time
	mostBytes int64
	enough    chan struct{}
	counts    outcome
	ack       *hdrhistogram.Histogram
	endingAck *hdrhistogram.Histogram
	upload    *hdrhistogram.Histogram
	second    second
	secondAck *hdrhistogram.Histogram
}

func histogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, 3_600_000_000, 3)
}

func newTally(mostBytes *int64) *tally {
	t := &tally{enough: make(chan struct{}), ack: histogram(), endingAck: histogram(),
		upload: histogram(), secondAck: histogram()}
	t.counts.Refusals = map[string]int64{}
	if mostBytes != nil {
		t.mostBytes = *mostBytes
	}
	return t
}

func (t *tally) begin() {
	t.lock.Lock()
	defer t.lock.Unlock()
	t.began = time.Now()
}

func (t *tally) end() {
	t.lock.Lock()
	defer t.lock.Unlock()
	t.ended = time.Now()
	t.counts.Seconds = t.ended.Sub(t.began).Seconds()
}

// over tells whether no more uploads should begin.
func (t *tally) over() bool {
	t.lock.Lock()
	defer t.lock.Unlock()
	return !t.ended.IsZero() || t.counts.Failed != nil
}

func (t *tally) measures(at time.Time) bool {
	return !t.began.IsZero() && !at.Before(t.began) && t.ended.IsZero()
}

func (t *tally) acked(started time.Time, bytes int, ending, duplicate bool) {
	at := time.Now()
	us := at.Sub(started).Microseconds()
	t.lock.Lock()
	defer t.lock.Unlock()
	if duplicate {
		t.counts.Duplicates++
	}
	if !t.measures(at) {
		return
	}
	t.turn(at)
	t.counts.Bytes += int64(bytes)
	t.counts.Chunks++
	t.second.Bytes += int64(bytes)
	t.second.Acks++
	if ending {
		record(t.endingAck, us)
	} else {
		record(t.ack, us)
		record(t.secondAck, us)
	}
	if t.mostBytes > 0 && t.counts.Bytes >= t.mostBytes {
		t.stop()
	}
}

func (t *tally) refused(reason string) {
	at := time.Now()
	t.lock.Lock()
	defer t.lock.Unlock()
	if t.measures(at) {
		t.turn(at)
		t.counts.Refusals[reason]++
		t.counts.Retries++
		t.second.Refusals++
	}
}

// verified says that an upload became what was sent; summed: its checksum was told, too.
func (t *tally) verified(started time.Time, summed bool) {
	at := time.Now()
	t.lock.Lock()
	defer t.lock.Unlock()
	t.counts.Uploads++
	t.counts.SizesVerified++
	if summed {
		t.counts.ChecksumsVerified++
	}
	if t.measures(at) {
		record(t.upload, at.Sub(started).Microseconds())
	}
}

// lost says that a chunk's answer never came.
func (t *tally) lost() {
	t.lock.Lock()
	defer t.lock.Unlock()
	t.counts.AcksLost++
}

// failed says that the run doesn't count. The first reason is kept.
func (t *tally) failed(err error) {
	t.lock.Lock()
	defer t.lock.Unlock()
	if t.counts.Failed == nil {
		why := err.Error()
		t.counts.Failed = &why
		t.stop()
	}
}

func (t *tally) stop() {
	select {
	case <-t.enough:
	default:
		close(t.enough)
	}
}

// turn puts the seconds before the one that at lies in into the series.
func (t *tally) turn(at time.Time) {
	for int64(len(t.counts.Series)) < int64(at.Sub(t.began)/time.Second) {
		t.second.P99Us = t.secondAck.ValueAtQuantile(99)
		t.counts.Series = append(t.counts.Series, t.second)
		t.second = second{}
		t.secondAck.Reset()
	}
}

// tell is the outcome as a line of JSON.
func (t *tally) tell(notes []string) (string, error) {
	if t.counts.Chunks == 0 {
		t.failed(fmt.Errorf("nothing was acked in the measured time"))
	}
	t.lock.Lock()
	defer t.lock.Unlock()
	if !t.ended.IsZero() {
		t.turn(t.ended)
	}
	t.counts.Notes = append([]string{}, notes...)
	t.counts.Series = append([]second{}, t.counts.Series...)
	for _, each := range []struct {
		from *hdrhistogram.Histogram
		to   *string
	}{{t.ack, &t.counts.Ack}, {t.endingAck, &t.counts.EndingAck}, {t.upload, &t.counts.Upload}} {
		encoded, err := encode(each.from)
		if err != nil {
			return "", err
		}
		*each.to = encoded
	}
	line, err := json.Marshal(t.counts)
	return string(line), err
}

// encode writes a histogram as V2 in base64, uncompressed. This library says that its counts are
// moved by one place, which they aren't, and others don't read that; so the field is made 0.
func encode(histogram *hdrhistogram.Histogram) (string, error) {
	encoded, err := histogram.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		return "", err
	}
	compressed, err := base64.StdEncoding.DecodeString(string(encoded))
	if err != nil {
		return "", err
	}
	// Before what is compressed stand a cookie and a length, each of 4 bytes.
	reader, err := zlib.NewReader(bytes.NewReader(compressed[8:]))
	if err != nil {
		return "", err
	}
	plain, err := io.ReadAll(reader)
	if err != nil {
		return "", err
	}
	// After the same two in the plain form.
	copy(plain[8:12], []byte{0, 0, 0, 0})
	return base64.StdEncoding.EncodeToString(plain), nil
}

func record(histogram *hdrhistogram.Histogram, us int64) {
	if us < 1 {
		us = 1
	}
	// More than an hour isn't waited for.
	_ = histogram.RecordValue(us)
}
