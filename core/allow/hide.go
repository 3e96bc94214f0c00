package allow

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
)

// shownErrors are parts of errors that quote nothing of an answer.
var shownErrors = []string{
	"may not be asked", "redirects", "redirected away from https", "redirect from https", "Client.Timeout",
	"first record does not look like a TLS handshake", "server gave HTTP response to HTTPS client",
}

// Hide returns an error of asking a server without what it may quote of an answer, such as the
// banner of a server that speaks something else: whoever writes a document must not read by it what
// only the gateway can. A nil List hides nothing.
func (l *List) Hide(err error) error {
	var op *net.OpError
	var lookup *net.DNSError
	if l == nil || err == nil || errors.As(err, &op) || errors.As(err, &lookup) {
		return err
	}
	for _, harmless := range []error{context.DeadlineExceeded, context.Canceled, io.EOF, io.ErrUnexpectedEOF} {
		if errors.Is(err, harmless) {
			return harmless
		}
	}
	text := err.Error()
	for _, part := range shownErrors {
		if strings.Contains(text, part) {
			return err
		}
	}
	switch {
	case strings.Contains(text, "unknown authority"):
		return errors.New("its certificate is signed by an unknown authority")
	case strings.Contains(text, "x509: "):
		return errors.New("its certificate is not valid for this name, or not now")
	}
	return errors.New("no answer that can be used")
}
