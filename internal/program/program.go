// Package program runs programs that are told of events.
package program

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"time"
)

const (
	delay     = time.Second // after the end, for its children to let go of its output
	maxOutput = 4 << 10     // bytes of output that are returned
)

// Run runs a program without a shell, and returns the first 4 KiB of what it prints. Input is what
// it reads, and environment ("NAME=value") is added to its own. It is ended after the timeout. The
// error says that it could not be started, did not end well, or took too long.
func Run(ctx context.Context, command []string, input []byte, environment []string, timeout time.Duration) ([]byte,
	error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stdin = bytes.NewReader(input)
	cmd.Env = append(os.Environ(), environment...)
	cmd.WaitDelay = delay
	output := &head{}
	cmd.Stdout = output
	cmd.Stderr = output
	err := cmd.Run()
	if ctx.Err() == context.DeadlineExceeded {
		err = context.DeadlineExceeded
	}
	return output.data, err
}

// head keeps the beginning of what is written.
type head struct{ data []byte }

func (h *head) Write(p []byte) (int, error) {
	h.data = append(h.data, p[:min(len(p), maxOutput-len(h.data))]...)
	return len(p), nil
}
