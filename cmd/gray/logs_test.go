package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/internal/accesslog"
	"github.com/grayrelease/gray/internal/casetest"
)

// caddyLog writes requests as Caddy logs them.
type caddyLog struct {
	bytes.Buffer
	logger *zap.Logger
}

func newCaddyLog() *caddyLog {
	l := &caddyLog{}
	config := zap.NewProductionEncoderConfig()
	l.logger = zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(config), zapcore.AddSync(&l.Buffer), zap.InfoLevel))
	return l
}

func (l *caddyLog) add(r *http.Request, client string) {
	ctx := context.WithValue(r.Context(), caddyhttp.VarsCtxKey, map[string]any{caddyhttp.ClientIPVarKey: client})
	r = r.WithContext(ctx)
	l.logger.Named("http.log.access").Info("handled request",
		zap.Object("request", caddyhttp.LoggableHTTPRequest{Request: r, ShouldLogCredentials: true}),
		zap.Int("bytes_read", 0), zap.String("user_id", ""), zap.Float64("duration", 0.000929675), zap.Int("size", 10900),
		zap.Int("status", 200), zap.Object("resp_headers", caddyhttp.LoggableHTTPHeader{Header: http.Header{
			"Server": {"Caddy"}, "Content-Type": {"text/html; charset=utf-8"}}}))
}

// What Caddy logs of the shared cases gets the version that each of them demands, and the one that
// core.Decide gives the request itself.
func TestSimulateDecidesAsTheEngine(t *testing.T) {
	files, err := casetest.Load("../../testdata/cases")
	require.NoError(t, err)
	checked := 0
	for _, f := range files {
		for _, g := range f.Groups {
			e, err := core.Load(g.Policy)
			require.NoError(t, err)
			for _, c := range g.Cases {
				r := httptest.NewRequest(c.Request.Method, c.Request.Target, nil)
				r.Host = c.Request.Host
				r.RemoteAddr = "127.0.0.1:40000"
				isText := true
				for _, h := range c.Request.Headers {
					r.Header.Add(h[0], h[1])
					isText = isText && utf8.ValidString(h[1])
				}
				if !isText || r.RequestURI == "" {
					continue // JSON has no other bytes
				}
				want := core.Decide(e, &core.Caller{Request: r, Client: c.Request.IP})
				require.Equal(t, want.Version, c.Version, c.Name)
				log := newCaddyLog()
				log.add(r, c.Request.IP)
				var parser accesslog.Parser
				record, err := parser.Parse(bytes.TrimSpace(log.Bytes()))
				require.NoError(t, err, "%s: %s", c.Name, log.String())
				tally := newTally(e)
				tally.take(record, spot{})
				require.Len(t, tally.counted, 1)
				for got := range tally.counted {
					assert.Equal(t, want.Version+" "+want.Rule, got.Version+" "+got.Rule, "%s: %s: %s", f.Name, c.Name, log.String())
				}
				checked++
			}
		}
	}
	assert.Greater(t, checked, 500)
	t.Log(checked, "cases")
}

const simulated = `{"service": "shop", "stable": "v1", "versions": {"v1": {}, "v2": {}},
	"identity": ["cookie uid", "ip"], "rules": [
		{"name": "testers", "version": "v2", "when": ["header X-App-Version = beta"]},
		{"name": "ramp", "version": "v2", "when": ["path prefix /shop"], "percent": 20}]}`

// traffic is requests of some callers.
func traffic(n int) []*http.Request {
	random := rand.New(rand.NewPCG(1, 2))
	var requests []*http.Request
	for range n {
		path := []string{"/", "/shop", "/shop/cart?item=7", "/about", "/shop/a%20b"}[random.IntN(5)]
		r := httptest.NewRequest([]string{"GET", "POST"}[random.IntN(2)], path, nil)
		r.Host = "shop.example.com"
		r.RemoteAddr = fmt.Sprintf("192.0.2.%d:4711", random.IntN(256))
		r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
		r.Header.Set("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
		r.Header.Set("Accept-Encoding", "gzip, deflate, br, zstd")
		r.Header.Set("Accept-Language", "en-GB,en;q=0.5")
		if random.IntN(50) == 0 {
			r.Header.Set("X-App-Version", "beta")
		}
		r.AddCookie(&http.Cookie{Name: "uid", Value: fmt.Sprintf("u-%d", random.IntN(1000))})
		requests = append(requests, r)
	}
	return requests
}

func clientOf(r *http.Request) string {
	host, _, _ := strings.Cut(r.RemoteAddr, ":")
	return host
}

// The counts of a log are those of its requests, in any number of files, compressed or not, and in
// any order.
func TestSimulateCounts(t *testing.T) {
	e, err := core.Load([]byte(simulated))
	require.NoError(t, err)
	log := newCaddyLog()
	want := map[string]int64{}
	callers := map[string]map[string]bool{}
	for _, r := range traffic(5000) {
		log.add(r, clientOf(r))
		c := &core.Caller{Request: r, Client: clientOf(r)}
		d := core.Decide(e, c)
		key := d.Version + " " + d.Rule
		want[key]++
		if callers[key] == nil {
			callers[key] = map[string]bool{}
		}
		callers[key][core.KnownIdentity(e, c)] = true
	}
	lines := strings.SplitAfter(log.String(), "\n")
	rand.New(rand.NewPCG(3, 4)).Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
	shuffled := strings.Join(lines, "")
	var compressed bytes.Buffer
	z := gzip.NewWriter(&compressed)
	_, _ = z.Write([]byte(shuffled))
	require.NoError(t, z.Close())
	half := strings.Index(shuffled[len(shuffled)/2:], "\n") + len(shuffled)/2 + 1
	policy := writeFile(t, "policy.json", simulated)
	for name, args := range map[string][]string{
		"plain":      {writeFile(t, "a.log", log.String())},
		"shuffled":   {writeFile(t, "b.log", shuffled)},
		"compressed": {writeFile(t, "c.log", compressed.String())},
		"two files":  {writeFile(t, "d.log", shuffled[:half]), writeFile(t, "e.log", shuffled[half:])},
		"stdin":      {"-"},
	} {
		s := &shell{t: t, in: compressed.String()}
		var got simulation
		require.NoError(t, json.Unmarshal([]byte(s.ok(append([]string{"simulate", "-o", "json", policy}, args...)...)), &got))
		assert.EqualValues(t, 5000, got.Log.Requests, name)
		assert.Equal(t, map[string]int64{"Caddy JSON": 5000}, got.Log.Formats, name)
		counts := map[string]int64{}
		for _, one := range got.Shares {
			key := one.Version + " " + one.Rule
			counts[key] = one.Requests
			assert.Equal(t, len(callers[key]), one.Callers, key)
		}
		assert.Equal(t, want, counts, name)
		assert.Empty(t, got.Absent)
	}
}

func TestSimulateText(t *testing.T) {
	policy := writeFile(t, "policy.json", simulated)
	log := writeFile(t, "access.log", strings.Join([]string{
		`192.0.2.7 - - [10/Oct/2025:13:55:36 +0200] "GET /shop HTTP/1.1" 200 2326 "-" "curl/8"`,
		`192.0.2.9 - ann [10/Oct/2025:13:55:38 +0200] "GET / HTTP/1.1" 200 2326`,
		`2025/10/10 13:55:40 [error] 7#7: something else`,
		"\x1b[31mred", ""}, "\n"))
	s := &shell{t: t}
	text := s.ok("simulate", policy, log)
	for _, want := range []string{
		"2 requests (common or combined), 2025-10-10 11:55:36Z to 2025-10-10 11:55:38Z\n",
		"VERSION  RULE  REQUESTS  SHARE", "v1       -     2         100 %",
		"Never in the log: cookie uid, header X-App-Version.",
		"2 of 4 lines could not be used:", `such as "2025/10/10`,
	} {
		assert.Contains(t, text, want)
	}
	assert.NotContains(t, text, "\x1b")
	assert.Contains(t, s.ok("simulate", "--percent", "ramp=100", policy, log), "v2       ramp  1")
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{policy, log + ".not"}, exitAway, "cannot be read"},
		{[]string{policy}, exitUsage, "arg"},
		{[]string{log, log}, exitNot, "is not a valid policy"},
		{[]string{"--percent", "ramp=101", policy, log}, exitUsage, "from 0 to 100"},
		{[]string{"--percent", "rump=1", policy, log}, exitUsage, "there are: testers, ramp"},
	} {
		got := s.run(append([]string{"simulate"}, c.args...)...)
		assert.Equal(t, c.code, got.code, c.args)
		assert.Contains(t, got.err, c.want)
	}
}

// repeated is a log of some size that is never in memory.
type repeated struct {
	text []byte
	at   int
	left int64
}

func (r *repeated) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(int64(len(p)), r.left)], r.text[r.at:])
	r.at = (r.at + n) % len(r.text)
	r.left -= int64(n)
	return n, nil
}

func caddyLines() []byte {
	log := newCaddyLog()
	for _, r := range traffic(2000) {
		log.add(r, clientOf(r))
	}
	return log.Bytes()
}

// The memory does not grow with the log.
func TestSimulateMemory(t *testing.T) {
	size := int64(1 << 30)
	if testing.Short() {
		size = 1 << 25
	}
	e, err := core.Load([]byte(simulated))
	require.NoError(t, err)
	text := caddyLines()
	run := func(size int64) uint64 {
		runtime.GC()
		p := &program{in: &repeated{text: text, left: size}, out: io.Discard, err: io.Discard,
			isTerminal: func(any) bool { return false }}
		_, err := p.simulate(context.Background(), e, []string{"-"})
		require.NoError(t, err)
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapSys
	}
	small := run(1 << 24)
	large := run(size)
	t.Logf("heap after %d MiB: %d MiB, after 16 MiB: %d MiB", size>>20, large>>20, small>>20)
	assert.Less(t, large, uint64(128<<20))
}

// Lines a second, and lines for each second of a processor's time, which others that run beside it
// do not change.
func BenchmarkSimulate(b *testing.B) {
	e, err := core.Load([]byte(simulated))
	require.NoError(b, err)
	caddy := caddyLines()
	var traefik, common bytes.Buffer
	for _, r := range traffic(2000) {
		line, err := json.Marshal(map[string]any{
			"ClientAddr": r.RemoteAddr, "ClientHost": clientOf(r), "ClientPort": "4711", "ClientUsername": "-",
			"DownstreamContentSize": 11, "DownstreamStatus": 200, "Duration": 1503125, "OriginContentSize": 11,
			"OriginDuration": 1400000, "OriginStatus": 200, "Overhead": 103125, "RequestAddr": r.Host, "RequestContentSize": 0,
			"RequestCount": 7, "RequestHost": r.Host, "RequestMethod": r.Method, "RequestPath": r.RequestURI,
			"RequestPort": "-", "RequestProtocol": "HTTP/1.1", "RequestScheme": "http", "RetryAttempts": 0,
			"RouterName": "shop@file", "ServiceAddr": "10.0.0.1:80", "ServiceName": "shop@file",
			"ServiceURL": "http://10.0.0.1:80",
			"StartLocal": "2025-10-10T13:55:36.123456789+02:00", "StartUTC": "2025-10-10T11:55:36.123456789Z",
			"entryPointName": "web", "level": "info", "msg": "", "time": "2025-10-10T13:55:36+02:00",
			"request_User-Agent": r.UserAgent(), "request_Cookie": r.Header.Get("Cookie")})
		require.NoError(b, err)
		traefik.Write(append(line, '\n'))
		fmt.Fprintf(&common, "%s - - [10/Oct/2025:13:55:36 +0200] \"%s %s HTTP/1.1\" 200 2326 \"-\" %q\n",
			clientOf(r), r.Method, r.RequestURI, r.UserAgent())
	}
	for _, c := range []struct {
		name string
		text []byte
	}{{"caddy", caddy}, {"traefik", traefik.Bytes()}, {"common", common.Bytes()}} {
		b.Run(c.name, func(b *testing.B) {
			const size = 1 << 26
			b.SetBytes(size)
			b.ReportAllocs()
			lines, before := int64(0), processorTime()
			for b.Loop() {
				p := &program{in: &repeated{text: c.text, left: size}, out: io.Discard, err: io.Discard,
					isTerminal: func(any) bool { return false }}
				got, err := p.simulate(context.Background(), e, []string{"-"})
				require.NoError(b, err)
				lines += got.Log.Requests
			}
			b.ReportMetric(float64(lines)/b.Elapsed().Seconds(), "lines/s")
			b.ReportMetric(float64(lines)/(processorTime()-before).Seconds(), "lines/cpu-s")
		})
	}
}

func TestNumbers(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1234: "about 1,230", 98765: "about 98,800"} {
		assert.Equal(t, want, callersText(n))
	}
	assert.Equal(t, "1,234,567", thousands(1234567))
}

// Who moves is found by both policies on the same requests.
func TestDiff(t *testing.T) {
	before, err := core.Load([]byte(simulated))
	require.NoError(t, err)
	const changed = `{"service": "shop", "stable": "v1", "versions": {"v1": {}, "v2": {}, "v3": {}},
		"identity": ["cookie uid", "ip"], "rules": [
			{"name": "office", "version": "v3", "when": ["ip in 192.0.2.0/28"]},
			{"name": "ramp", "version": "v2", "when": ["path prefix /shop"], "percent": 10},
			{"name": "testers", "version": "v2", "when": ["header X-App-Version = beta"]}]}`
	after, err := core.Load([]byte(changed))
	require.NoError(t, err)
	log := newCaddyLog()
	want := map[string]int64{}
	stay := int64(0)
	for _, r := range traffic(3000) {
		log.add(r, clientOf(r))
		was := core.Decide(before, &core.Caller{Request: r, Client: clientOf(r)})
		is := core.Decide(after, &core.Caller{Request: r, Client: clientOf(r)})
		if was.Version == is.Version {
			stay++
			continue
		}
		want[was.Version+" "+is.Version+" "+is.Rule]++
	}
	s := &shell{t: t}
	args := []string{"diff", writeFile(t, "old.json", simulated), writeFile(t, "new.json", changed),
		writeFile(t, "access.log", log.String())}
	var d difference
	require.NoError(t, json.Unmarshal([]byte(s.ok(append(args, "-o", "json")...)), &d))
	got := map[string]int64{}
	for _, m := range d.Moves {
		got[m.From+" "+m.To+" "+m.Rule] = m.Requests
		assert.Len(t, m.Examples, mostExamples)
	}
	assert.Equal(t, want, got)
	assert.Equal(t, stay, d.Stay)
	var paths []string
	for _, c := range d.Changes {
		paths = append(paths, c.Path)
	}
	assert.Equal(t, []string{"rules.office", "rules.ramp", "versions.v3", "the order of rules"}, paths)

	text := s.ok(args...)
	for _, want := range []string{
		`+ rules.office: {"version":"v3","when":["ip in 192.0.2.0/28"]}`, `"percent":20} -> {`, "+ versions.v3: {}",
		`~ the order of rules: ["testers","ramp"] -> ["ramp","testers"]`, "v1 -> v3 by rule office: ",
		"v2 -> v1 by no rule: ",
		"shop.example.com/", " of u-",
	} {
		assert.Contains(t, text, want)
	}
	assert.Equal(t, "The policies are the same.\n", s.ok("diff", args[1], args[1]))
	again := s.ok(args...)
	assert.Equal(t, text, again, "examples are the first ones, whoever reads them")
}

func TestCallers(t *testing.T) {
	var all callers
	parts := make([]callers, 3)
	for i := range 20000 {
		identity := fmt.Sprint("u-", i%13000)
		all.add(identity)
		parts[i%2].add(identity)
		if i < 500 {
			parts[2].add(identity)
		}
	}
	assert.Equal(t, 500, parts[2].count())
	for i := range parts[:2] {
		parts[2].merge(&parts[i])
	}
	assert.Equal(t, all.count(), parts[2].count())
	assert.InEpsilon(t, 13000, all.count(), 0.05)
}
