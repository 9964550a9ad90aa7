// A load by stock grpc-go: reads a job from standard input, says when the measured time begins and
// ends, and prints what it came to (bench/src/job.rs, bench/src/outcome.rs).
package main

import (
	"fmt"
	"log"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc"
)

// What began before the end is waited for so long.
const rest = time.Minute

func main() {
	asked, err := readJob(os.Stdin)
	if asked == nil {
		log.Fatal(err)
	}
	t := newTally(asked.Load.TotalSize)
	if err == nil {
		err = measure(asked, t)
	}
	if err != nil {
		t.failed(err)
	}
	line, err := t.tell(notes(&asked.Load))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(line)
}

func measure(asked *job, t *tally) error {
	l := &asked.Load
	links, err := newLinks(l, asked.Address)
	if err != nil {
		return err
	}
	r := &run{load: l, payload: newPayload(l), tally: t, links: links}
	var group sync.WaitGroup
	for line := 0; line < l.Uploads; line++ {
		group.Add(1)
		go func(line int) {
			defer group.Done()
			r.line(line)
		}(line)
	}
	wait(time.Duration(l.WarmUp), t)
	t.begin()
	fmt.Println("begin")
	wait(time.Duration(l.Duration), t)
	t.end()
	fmt.Println("end")
	done := make(chan struct{})
	go func() {
		group.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-time.After(rest):
		return fmt.Errorf("uploads didn't end within %v", rest)
	}
}

func wait(most time.Duration, t *tally) {
	select {
	case <-time.After(most):
	case <-t.enough:
	}
}

func notes(l *load) []string {
	notes := []string{"grpc-go " + grpc.Version + ", frames of 16 KiB, as it always sends"}
	if l.FrameSize != nil && *l.FrameSize != 16<<10 {
		notes = append(notes, "this client has no frame_size")
	}
	return notes
}
