package accesslog

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// show is a record in a line.
func show(r *Record) string {
	var headers []string
	for name, values := range r.Request.Header {
		headers = append(headers, name+"="+strings.Join(values, ","))
	}
	slices.Sort(headers)
	when := "-"
	if !r.Time.IsZero() {
		when = r.Time.Format(time.RFC3339Nano)
	}
	return fmt.Sprintf("%s: %s %s %d host=%s client=%s peer=%s at=%s %s", r.Format, r.Request.Method, r.Request.URL,
		r.Status, r.Request.Host, r.Client, r.Request.RemoteAddr, when, strings.Join(headers, " "))
}

func TestParse(t *testing.T) {
	for _, c := range [][2]string{
		{ // Caddy 2.11
			`{"level":"info","ts":1646861401.5241024,"logger":"http.log.access","msg":"handled request","request":{` +
				`"remote_ip":"10.0.0.1","remote_port":"41342","client_ip":"192.0.2.7","proto":"HTTP/2.0","method":"GET",` +
				`"host":"localhost:8080","uri":"/cart?a=%20b","headers":{"User-Agent":["curl/7.82.0"],"X-Tag":["a","b"],` +
				`"Cookie":["REDACTED"],"X-Quoted":["a \"b\" \u00e9"]},"tls":{"resumed":false}},"duration":0.0009,"status":200}`,
			`Caddy JSON: GET /cart?a=%20b 200 host=localhost:8080 client=192.0.2.7 peer=10.0.0.1 ` +
				`at=2022-03-09T21:30:01.5241024Z User-Agent=curl/7.82.0 X-Quoted=a "b" é X-Tag=a,b`,
		},
		{ // before Caddy 2.5, with a time in words and a header that a filter has joined
			`{"ts":"2022-03-09T21:30:01.500Z","msg":"handled request","request":{"remote_addr":"[2001:db8::1]:80",` +
				`"method":"POST","host":"shop","uri":"/","headers":{"x-lower":"1"}}}`,
			`Caddy JSON: POST / 0 host=shop client=2001:db8::1 peer=2001:db8::1 at=2022-03-09T21:30:01.5Z X-Lower=1`,
		},
		{
			`{"ts":1646861401524,"request":{"method":"GET","uri":"/"}}`,
			`Caddy JSON: GET / 0 host= client= peer= at=2022-03-09T21:30:01.524Z `,
		},
		{
			`{"ClientAddr":"192.0.2.7:4711","ClientHost":"192.0.2.7","RequestHost":"shop","RequestMethod":"GET",` +
				`"RequestPath":"/a?b=c","RequestPort":"8080","DownstreamStatus":200,"request_X-App-Version":"beta",` +
				`"request_Authorization":"REDACTED",` +
				`"time":"2025-10-10T13:55:36+02:00"}`,
			`Traefik JSON: GET /a?b=c 200 host=shop:8080 client=192.0.2.7 peer=192.0.2.7:4711 ` +
				`at=2025-10-10T11:55:36Z X-App-Version=beta`,
		},
		{
			`{"RequestHost":"shop","RequestMethod":"GET","RequestPath":"/","RequestPort":"-",` +
				`"StartUTC":"2025-10-10T11:55:36.5Z"}`,
			`Traefik JSON: GET / 0 host=shop client= peer= at=2025-10-10T11:55:36.5Z `,
		},
		{
			`127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /apache_pb.gif HTTP/1.0" 200 2326`,
			`common or combined: GET /apache_pb.gif 200 host= client=127.0.0.1 peer= at=2000-10-10T20:55:36Z `,
		},
		{
			`::1 - - [10/Oct/2000:13:55:36 -0700] "GET /?q=\x22a\\b HTTP/1.1" 200 2 ` +
				`"http://example.com/\"" "Mozilla/5.0 (X11)"` + "\r\n",
			`common or combined: GET /?q="a\b 200 host= client=::1 peer= at=2000-10-10T20:55:36Z ` +
				`Referer=http://example.com/" User-Agent=Mozilla/5.0 (X11)`,
		},
		{ // Traefik's common format
			`192.0.2.7 - - [10/Oct/2025:13:55:36 +0000] "GET / HTTP/2.0" 200 11 "-" "-" 7 "shop@file" "http://10.0.0.1:80" 3ms`,
			`common or combined: GET / 200 host= client=192.0.2.7 peer= at=2025-10-10T13:55:36Z `,
		},
		{ // Apache's, with the virtual host
			`shop.example.com:443 192.0.2.7 - ann [10/Oct/2025:13:55:36 +0000] "GET / HTTP/2.0" 200 11`,
			`common or combined: GET / 200 host=shop.example.com:443 client=192.0.2.7 peer= at=2025-10-10T13:55:36Z `,
		},
		{ // a path with spaces, from a client that does not escape them
			`192.0.2.7 - - [when?] "GET /a b HTTP/1.1" 400 0`,
			`common or combined: GET /a%20b 400 host= client=192.0.2.7 peer= at=- `,
		},
		{
			`{"request":{"method":"CONNECT","uri":"example.com:443","host":"example.com:443"}}`,
			`Caddy JSON: CONNECT //example.com:443 0 host=example.com:443 client= peer= at=- `,
		},
	} {
		var p Parser
		r, err := p.Parse([]byte(c[0]))
		require.NoError(t, err, c[0])
		assert.Equal(t, c[1], show(r))
	}
}

func TestParseErrors(t *testing.T) {
	for line, want := range map[string]error{
		"":                         ErrFormat,
		"hello":                    ErrFormat,
		`{"a":`:                    ErrJSON,
		`{} x`:                     ErrJSON,
		`{"a": 1}`:                 ErrFormat,
		`{"msg": "starting"}`:      ErrNoAccess,
		`{"request": {"a": 1}}`:    ErrNoAccess,
		`{"request": "text"}`:      ErrFormat,
		`{"RequestMethod": ""}`:    ErrRequest,
		`{"RequestMethod": "GET"}`: ErrURL,
		`{"request": {"method": "GET", "uri": "http://%zz"}}`:             ErrURL,
		`a - - [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.0`:              ErrFormat,
		`a - - [10/Oct/2000:13:55:36 -0700] "-" 408 0`:                    ErrRequest,
		`a - - [10/Oct/2000:13:55:36 -0700] "\x16\x03\x01" 400 0`:         ErrRequest,
		`a - - [10/Oct/2000:13:55:36 -0700] "GET /" 400 0`:                ErrRequest,
		`a - - [10/Oct/2000:13:55:36 -0700] "G(T / HTTP/1.1" 400 0`:       ErrRequest,
		`a - - [10/Oct/2000:13:55:36 -0700] "GET nowhere HTTP/1.1" 400 0`: ErrURL,
		`a [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.1" 400 0`:           ErrFormat,
		`{"a": "` + strings.Repeat("x", MaxLine) + `"}`:                   ErrTooLong,
		strings.Repeat(`{"a":`, 10000) + "1" + strings.Repeat("}", 10000): ErrJSON,
	} {
		var p Parser
		_, err := p.Parse([]byte(line))
		assert.Equal(t, want, err, line[:min(len(line), 100)])
	}
}

// Nothing of a line is left when the next one is read.
func TestParserForgets(t *testing.T) {
	var p Parser
	_, err := p.Parse([]byte(`{"ts":1,"request":{"method":"GET","uri":"/","host":"a","client_ip":"1.2.3.4",` +
		`"headers":{"A":["1","2"],"B":["3"]}}}`))
	require.NoError(t, err)
	r, err := p.Parse([]byte(`{"request":{"method":"POST","uri":"/x","headers":{"B":["4"]}}}`))
	require.NoError(t, err)
	assert.Equal(t, "Caddy JSON: POST /x 0 host= client= peer= at=- B=4", show(r))
}

// Whatever a line is: no panic, and what is read is a request.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"ts":1646861401.5,"msg":"handled request","request":{"remote_ip":"10.0.0.1",` +
		`"method":"GET","uri":"/","headers":{"A":["b"]}}}`))
	f.Add([]byte(`{"ClientHost":"192.0.2.7","RequestHost":"shop",` +
		`"RequestMethod":"GET","RequestPath":"/a?b=c","request_A":"b"}`))
	f.Add([]byte(`127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /a\x22 HTTP/1.0" 200 2326 "a" "b"`))
	f.Add([]byte(`h:80 1.2.3.4 - - [10/Oct/2000:13:55:36 -0700] "CONNECT a:1 HTTP/1.0" 200 2326`))
	var kept Parser // over all lines
	f.Fuzz(func(t *testing.T, line []byte) {
		before := string(line)
		var p Parser
		r, err := p.Parse(line)
		again, errAgain := kept.Parse(line)
		require.Equal(t, err, errAgain)
		require.Equal(t, before, string(line), "lines are not written to")
		if err != nil {
			return
		}
		require.Equal(t, show(r), show(again), "what was read before makes no difference")
		require.NotEmpty(t, r.Request.Method)
		require.NotNil(t, r.Request.URL)
		if uri := r.Request.RequestURI; uri != "" {
			parsed, err := url.ParseRequestURI(uri)
			require.NoError(t, err, uri)
			require.Equal(t, parsed.Path+" "+parsed.RawQuery+" "+parsed.Host, r.Request.URL.Path+" "+
				r.Request.URL.RawQuery+" "+r.Request.URL.Host)
			require.Equal(t, parsed.RequestURI(), r.Request.URL.RequestURI())
		}
		for name, values := range r.Request.Header {
			require.NotEmpty(t, values)
			require.Equal(t, http.CanonicalHeaderKey(name), name)
		}
	})
}
