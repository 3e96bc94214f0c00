// Package accesslog reads the access logs of gateways as requests: Caddy's JSON, Traefik's JSON,
// and the common and combined formats of Apache, nginx and Traefik. Each line says which it is.
//
//	err := accesslog.Scan(ctx, file, func() accesslog.Reader {
//		var parser accesslog.Parser // each reader has its own
//		return func(line accesslog.Line) {
//			record, err := parser.Parse(line.Text)
//			...
//		}
//	})
//
// JSON is parsed by valyala/fastjson: it keeps its memory from line to line, unescapes only what is
// asked for, and needs no types generated for the fields that people add to their logs.
package accesslog

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unsafe"
)

// Format is what a line is written in.
type Format uint8

// Formats of lines.
const (
	Unknown Format = iota
	Caddy
	Traefik
	Common // with what may follow it, as in the combined format
)

// String returns the format's name for people.
func (f Format) String() string {
	return [...]string{"unknown", "Caddy JSON", "Traefik JSON", "common or combined"}[f]
}

// Errors of Parse: why a line is not a request.
var (
	ErrTooLong  = errors.New("longer than 256 KiB")
	ErrJSON     = errors.New("not valid JSON")
	ErrFormat   = errors.New("not an access log that is known: Caddy JSON, Traefik JSON, common or combined")
	ErrNoAccess = errors.New("no request: another message of the gateway")
	ErrRequest  = errors.New("no valid request line")
	ErrURL      = errors.New("no valid path")
)

// Record is the request that a line describes. What a format does not have is empty. All of it is
// valid until the parser's next line only: strings are views of the line. Copy what you keep.
type Record struct {
	Format Format
	// Request has the method, URL, host, headers and the peer. Headers that the log has redacted
	// are absent.
	Request http.Request
	// Client is the client's address, as the gateway resolved it; or its name, where a server has
	// looked it up.
	Client string
	// Status of the response, 0 if it is not known.
	Status int
	// Time is when the gateway answered, or zero.
	Time time.Time
}

// view returns bytes as a string without copying them.
func view(b []byte) string {
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// Parser parses lines. It keeps its memory; each goroutine needs one of its own.
type Parser struct {
	record Record
	json   jsonParser
	header http.Header
	values []string // of all headers
	url    url.URL
	stamp  stamp
}

// Parse parses one line, without its end. The record is the parser's own: see Record. The error is
// one of this package's.
func (p *Parser) Parse(line []byte) (*Record, error) {
	line = trim(line)
	clear(p.header)
	if p.header == nil {
		p.header = http.Header{}
	}
	p.values = p.values[:0]
	p.record = Record{}
	p.record.Request.Header = p.header
	p.record.Request.Proto = "HTTP/1.1"
	var err error
	switch {
	case len(line) > MaxLine:
		err = ErrTooLong
	case len(line) > 0 && line[0] == '{':
		err = p.parseJSON(line)
	default:
		err = p.parseCommon(line)
	}
	if err != nil {
		return nil, err
	}
	return &p.record, nil
}

func trim(line []byte) []byte {
	for len(line) > 0 && (line[len(line)-1] == '\n' || line[len(line)-1] == '\r' || line[len(line)-1] == ' ') {
		line = line[:len(line)-1]
	}
	return line
}

// addHeader adds a header. Its values of before stay where they are if there is no more room.
func (p *Parser) addHeader(name, value string) {
	const redacted = "REDACTED"
	if value == redacted {
		return
	}
	name = http.CanonicalHeaderKey(name)
	if present := p.header[name]; present != nil {
		p.header[name] = append(present[:len(present):len(present)], value)
		return
	}
	p.values = append(p.values, value)
	n := len(p.values)
	p.header[name] = p.values[n-1 : n : n]
}

// setURL sets what a request is sent to, as a server reads it.
func (p *Parser) setURL(method, uri string) error {
	p.record.Request.Method = method
	if method == http.MethodConnect && (uri == "" || uri[0] != '/') {
		p.record.Request.URL = &url.URL{Host: uri}
		return nil
	}
	p.record.Request.RequestURI = uri
	if isPlain(uri) {
		p.url = url.URL{}
		p.url.Path, p.url.RawQuery, _ = strings.Cut(uri, "?")
		p.record.Request.URL = &p.url
		return nil
	}
	parsed, err := url.ParseRequestURI(uri)
	if err != nil {
		return ErrURL
	}
	p.record.Request.URL = parsed
	return nil
}

// isPlain reports whether a path, with its query, needs no parser: nothing in the path is escaped,
// or would have to be.
func isPlain(uri string) bool {
	if uri == "" || uri[0] != '/' {
		return false
	}
	isPath := true
	for i := range len(uri) {
		b := uri[i]
		switch {
		case b <= ' ' || b == 0x7f:
			return false
		case b == '?':
			isPath = false
		case isPath && (b == '%' || b >= 0x80):
			return false
		}
	}
	return uri[len(uri)-1] != '?'
}
