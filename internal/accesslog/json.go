package accesslog

import (
	"math"
	"net"
	"strings"
	"time"

	"github.com/valyala/fastjson"
)

type jsonParser = fastjson.Parser

// keptLine is how long a line may be for the parser to keep the memory that it took.
const keptLine = 32 << 10

func (p *Parser) parseJSON(line []byte) error {
	if len(line) > keptLine {
		defer func() { p.json = jsonParser{} }()
	}
	v, err := p.json.ParseBytes(line)
	if err != nil {
		return ErrJSON
	}
	o, err := v.Object()
	if err != nil {
		return ErrJSON
	}
	if request := o.Get("request"); request != nil && request.Type() == fastjson.TypeObject {
		return p.caddy(o, request)
	}
	if o.Get("RequestMethod") != nil {
		return p.traefik(o)
	}
	if o.Get("msg") != nil || o.Get("message") != nil {
		return ErrNoAccess
	}
	return ErrFormat
}

// caddy reads a line of Caddy: see caddyhttp.LoggableHTTPRequest.
func (p *Parser) caddy(line *fastjson.Object, request *fastjson.Value) error {
	p.record.Format = Caddy
	method := view(request.GetStringBytes("method"))
	if method == "" {
		return ErrNoAccess
	}
	p.record.Request.Host = view(request.GetStringBytes("host"))
	peer := view(request.GetStringBytes("remote_ip"))
	if peer == "" { // before Caddy 2.5
		peer = withoutPort(view(request.GetStringBytes("remote_addr")))
	}
	p.record.Request.RemoteAddr = peer
	if p.record.Client = view(request.GetStringBytes("client_ip")); p.record.Client == "" {
		p.record.Client = peer
	}
	if headers := request.GetObject("headers"); headers != nil {
		headers.Visit(func(name []byte, values *fastjson.Value) {
			if list, err := values.Array(); err == nil {
				for _, value := range list {
					p.addHeader(view(name), text(value))
				}
				return
			}
			p.addHeader(view(name), text(values)) // a log filter has joined them
		})
	}
	p.record.Time = p.caddyTime(line.Get("ts"))
	p.record.Status = status(line.Get("status"))
	return p.setURL(method, view(request.GetStringBytes("uri")))
}

// status returns a status, 0 of what is none.
func status(v *fastjson.Value) int {
	if v == nil {
		return 0
	}
	n, err := v.Int()
	if err != nil || n < 100 || n > 999 {
		return 0
	}
	return n
}

// text returns a string value, "" of others.
func text(v *fastjson.Value) string {
	b, err := v.StringBytes()
	if err != nil {
		return ""
	}
	return view(b)
}

func withoutPort(address string) string {
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	return address
}

// caddyTime reads a time: a number of seconds, milliseconds or nanoseconds, or one of Caddy's
// texts.
func (p *Parser) caddyTime(v *fastjson.Value) time.Time {
	if v == nil {
		return time.Time{}
	}
	if v.Type() == fastjson.TypeString {
		return p.stamp.parse(text(v), time.RFC3339, "2006-01-02T15:04:05.000Z0700", "2006/01/02 15:04:05",
			"2006/01/02 15:04:05.000", "02/Jan/2006:15:04:05 -0700")
	}
	n, err := v.Float64()
	if err != nil || math.IsNaN(n) || n < 0 || n > math.MaxInt64/2 {
		return time.Time{}
	}
	const ofSeconds, ofMilliseconds = 1e11, 1e14 // the year 5138, in each
	switch {
	case n < ofSeconds:
		n *= 1e9
	case n < ofMilliseconds:
		n *= 1e6
	}
	if n > math.MaxInt64/2 {
		return time.Time{}
	}
	return time.Unix(0, int64(n)).UTC()
}

// traefik reads a line of Traefik: its fields are in the top object, headers as request_Name.
func (p *Parser) traefik(line *fastjson.Object) error {
	p.record.Format = Traefik
	var method, path, host, port, when, started string
	line.Visit(func(key []byte, v *fastjson.Value) {
		const prefix = "request_"
		name := view(key)
		if strings.HasPrefix(name, prefix) {
			p.addHeader(name[len(prefix):], text(v))
			return
		}
		switch name {
		case "RequestMethod":
			method = text(v)
		case "RequestPath":
			path = text(v)
		case "RequestHost":
			host = text(v)
		case "RequestPort":
			port = text(v)
		case "ClientHost":
			p.record.Client = text(v)
		case "ClientAddr":
			p.record.Request.RemoteAddr = text(v)
		case "DownstreamStatus":
			p.record.Status = status(v)
		case "time":
			when = text(v)
		case "StartUTC":
			started = text(v)
		}
	})
	if method == "" {
		return ErrRequest
	}
	p.record.Request.Host = host
	if port != "" && port != "-" && host != "" {
		p.record.Request.Host = net.JoinHostPort(host, port)
	}
	if when == "" {
		when = started
	}
	p.record.Time = p.stamp.parse(when, time.RFC3339)
	return p.setURL(method, path)
}
