package accesslog

import (
	"bytes"
	"strconv"
	"strings"
	"time"
)

// parseCommon reads a line of the common log format, and what may follow it:
//
//	client ident user [time] "request" status size ["referer" "user agent" ...]
//
// A virtual host and its port may come first.
func (p *Parser) parseCommon(line []byte) error {
	p.record.Format = Common
	before, rest, found := bytes.Cut(line, []byte(" ["))
	if !found {
		return ErrFormat
	}
	host, client := commonClient(view(before))
	if client == "" {
		return ErrFormat
	}
	when, rest, found := bytes.Cut(rest, []byte(`] "`))
	if !found {
		return ErrFormat
	}
	request, rest, found := quoted(rest)
	if !found {
		return ErrFormat
	}
	p.record.Client = client
	p.record.Request.Host = host
	p.record.Time = p.stamp.parse(view(when), "02/Jan/2006:15:04:05 -0700")
	p.record.Status = commonStatus(rest)
	p.commonHeaders(rest)
	method, uri, found := strings.Cut(request, " ")
	if !found {
		return ErrRequest
	}
	uri, proto, found := cutLast(uri, ' ')
	if !found || !strings.HasPrefix(proto, "HTTP/") || !isMethod(method) {
		return ErrRequest
	}
	return p.setURL(method, uri)
}

// commonClient reads what is before the time: [host] client ident user.
func commonClient(text string) (host, client string) {
	first, rest, found := strings.Cut(text, " ")
	if !found {
		return "", ""
	}
	second, rest, found := strings.Cut(rest, " ")
	if !found {
		return "", ""
	}
	if second == "-" || rest == "-" || !strings.Contains(rest, " ") { // the user may have spaces
		return "", first
	}
	return first, second
}

// commonStatus reads the status, which follows the request.
func commonStatus(rest []byte) int {
	if len(rest) < 4 || rest[0] != ' ' || len(rest) > 4 && rest[4] != ' ' {
		return 0
	}
	n, err := strconv.Atoi(view(rest[1:4]))
	if err != nil || n < 100 {
		return 0
	}
	return n
}

func cutLast(text string, separator byte) (before, after string, found bool) {
	if i := strings.LastIndexByte(text, separator); i >= 0 {
		return text[:i], text[i+1:], true
	}
	return text, "", false
}

func isMethod(text string) bool {
	if text == "" {
		return false
	}
	for i := range len(text) {
		if b := text[i]; (b < 'A' || b > 'Z') && b != '-' && b != '_' && (b < 'a' || b > 'z') {
			return false
		}
	}
	return true
}

// commonHeaders reads what the combined format has after the request: the referer and the user
// agent.
func (p *Parser) commonHeaders(rest []byte) {
	for _, name := range []string{"Referer", "User-Agent"} {
		start := bytes.IndexByte(rest, '"')
		if start < 0 {
			return
		}
		value, after, found := quoted(rest[start+1:])
		if !found {
			return
		}
		rest = after
		if value != "-" {
			p.addHeader(name, value)
		}
	}
}

// quoted reads a text in double quotes, of which the first has been read, and returns what follows
// the last. Backslashes escape quotes, backslashes, and bytes as in \x22.
func quoted(text []byte) (value string, rest []byte, found bool) {
	end, isEscaped := 0, false
	for ; end < len(text) && text[end] != '"'; end++ {
		if text[end] == '\\' {
			isEscaped = true
			end++
		}
	}
	if end >= len(text) {
		return "", nil, false
	}
	value = view(text[:end])
	if isEscaped {
		value = unescape(value)
	}
	return value, text[end+1:], true
}

func unescape(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' || i+1 == len(text) {
			b.WriteByte(text[i])
			continue
		}
		i++
		if text[i] == 'x' && i+2 < len(text) {
			if n, err := strconv.ParseUint(text[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(n))
				i += 2
				continue
			}
		}
		b.WriteByte(text[i])
	}
	return b.String()
}

// stamp remembers the time that was read last: lines of the same second say the same.
type stamp struct {
	text string
	at   time.Time
}

// parse reads a time in one of some layouts; it is zero if that fails.
func (s *stamp) parse(text string, layouts ...string) time.Time {
	if text == s.text {
		return s.at
	}
	for _, layout := range layouts {
		if at, err := time.Parse(layout, text); err == nil {
			s.text = strings.Clone(text)
			s.at = at.UTC()
			return s.at
		}
	}
	return time.Time{}
}
