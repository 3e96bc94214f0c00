//go:build !yaegi
// +build !yaegi

package core

import (
	"bufio"
	"io"
	"net"
	"net/http"
)

// privateWriter writes a response that shared caches must not store. Only responses that give the
// caller an identity have one.
type privateWriter struct {
	http.ResponseWriter
	isWritten bool
}

// WriteHeader writes the header, which says so.
func (w *privateWriter) WriteHeader(status int) {
	if status >= http.StatusOK {
		w.keepPrivate()
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *privateWriter) Write(p []byte) (int, error) {
	w.keepPrivate()
	return w.ResponseWriter.Write(p)
}

// ReadFrom copies as the connection does.
func (w *privateWriter) ReadFrom(r io.Reader) (int64, error) {
	w.keepPrivate()
	return io.Copy(w.ResponseWriter, r)
}

// FlushError is what http.ResponseController calls.
func (w *privateWriter) FlushError() error {
	w.keepPrivate()
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Flush sends what is written.
func (w *privateWriter) Flush() { _ = w.FlushError() }

// Hijack takes the connection over.
func (w *privateWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

// Unwrap is for http.ResponseController.
func (w *privateWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *privateWriter) keepPrivate() {
	if !w.isWritten {
		w.isWritten = true
		KeepPrivate(w.Header())
	}
}
