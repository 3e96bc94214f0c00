package accesslog

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/klauspost/compress/gzip"
)

const (
	// MaxLine is how long a line may be.
	MaxLine = 256 << 10
	// blockSize is how much is read at once.
	blockSize = 1 << 20
)

// Line is one line of a log.
type Line struct {
	// Offset is where the line begins.
	Offset    int64
	Text      []byte // without its end
	IsTooLong bool   // the line is longer than MaxLine, and has no Text
}

// Reader gets lines. One goroutine calls it, with some of the lines; Text is valid until it
// returns.
type Reader func(Line)

// Scan reads a log and hands its lines to readers, one for each processor, in blocks: the lines of
// a block are in order, blocks are not. A log that is compressed by gzip is expanded. Empty lines
// are left out. It keeps some MiB for each processor, however long the log or its lines are.
//
// The error is that of reading the log, or of ctx. All readers have returned by then.
func Scan(ctx context.Context, log io.Reader, newReader func() Reader) error {
	text, err := expanded(log)
	if err != nil {
		return err
	}
	n := runtime.GOMAXPROCS(0)
	s := &scanner{
		text: text, full: make(chan block, n), free: make(chan []byte, 2*n+1),
	}
	for range cap(s.free) {
		s.free <- nil // memory is made when it is needed
	}
	var readers sync.WaitGroup
	for range n {
		read := newReader()
		readers.Go(func() {
			for b := range s.full {
				b.lines(read)
				if b.memory != nil {
					s.free <- b.memory
				}
			}
		})
	}
	err = s.run(ctx)
	close(s.full)
	readers.Wait()
	return err
}

// expanded returns a log without its compression.
func expanded(log io.Reader) (io.Reader, error) {
	buffered := bufio.NewReaderSize(log, 64<<10)
	magic, err := buffered.Peek(2)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if !bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		return buffered, nil
	}
	z, err := gzip.NewReader(buffered)
	if err != nil {
		return nil, fmt.Errorf("gzip: %w", err)
	}
	return z, nil
}

// block is some whole lines.
type block struct {
	memory []byte
	text   []byte
	offset int64
	// isTooLong is a block without text: a line that was left out.
	isTooLong bool
}

func (b *block) lines(read Reader) {
	if b.isTooLong {
		read(Line{Offset: b.offset, IsTooLong: true})
		return
	}
	for at := 0; at < len(b.text); {
		end := bytes.IndexByte(b.text[at:], '\n')
		if end < 0 {
			end = len(b.text) - at
		}
		line := Line{Offset: b.offset + int64(at), Text: trim(b.text[at : at+end])}
		if len(line.Text) > MaxLine {
			line.Text, line.IsTooLong = nil, true
		}
		if len(line.Text) > 0 || line.IsTooLong {
			read(line)
		}
		at += end + 1
	}
}

// scanner cuts a log into blocks.
type scanner struct {
	text   io.Reader
	full   chan block
	free   chan []byte
	rest   []byte // of the last block: the beginning of a line
	offset int64  // of rest
	isLong bool   // within a line that is too long
}

func (s *scanner) run(ctx context.Context) error {
	for {
		var memory []byte
		select {
		case memory = <-s.free:
		case <-ctx.Done():
			return ctx.Err()
		}
		if memory == nil {
			memory = make([]byte, MaxLine+blockSize)
		}
		n := copy(memory, s.rest)
		more, err := fill(s.text, memory[n:n+blockSize])
		isEnd := errors.Is(err, io.EOF)
		if err != nil && !isEnd {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.send(memory, memory[:n+more], isEnd)
		if isEnd {
			return nil
		}
	}
}

// fill reads until the memory is full. Unlike io.ReadFull it returns the error as it is: a
// compressed log that was cut off ends with io.ErrUnexpectedEOF.
func fill(r io.Reader, memory []byte) (n int, err error) {
	for n < len(memory) && err == nil {
		var more int
		more, err = r.Read(memory[n:])
		n += more
	}
	if n == len(memory) {
		err = nil
	}
	return n, err
}

// send hands the whole lines of a text over, and keeps the rest.
func (s *scanner) send(memory, text []byte, isEnd bool) {
	offset := s.offset
	if s.isLong {
		end := bytes.IndexByte(text, '\n')
		if end < 0 {
			s.offset += int64(len(text))
			s.rest = s.rest[:0]
			s.free <- memory
			return
		}
		s.isLong = false
		text = text[end+1:]
		offset += int64(end + 1)
	}
	whole := len(text)
	if !isEnd {
		whole = bytes.LastIndexByte(text, '\n') + 1
	}
	s.rest = append(s.rest[:0], text[whole:]...)
	s.offset = offset + int64(whole)
	if len(s.rest) > MaxLine {
		s.full <- block{offset: s.offset, isTooLong: true}
		s.offset += int64(len(s.rest))
		s.rest = s.rest[:0]
		s.isLong = true
	}
	s.full <- block{memory: memory, text: text[:whole], offset: offset}
}
