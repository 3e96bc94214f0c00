package peers

import (
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/e2e/yaegi"
)

var compare = flag.Bool("compare", false, "print the figures of comparisons")

type deciders struct {
	gray *Gray
	gb   *GrowthBook
	ld   *LaunchDarkly
}

func newDeciders(t *testing.T) deciders {
	gray, err := NewGray()
	require.NoError(t, err)
	gb, err := NewGrowthBook()
	require.NoError(t, err)
	return deciders{gray, gb, NewLaunchDarkly()}
}

// request is one as a browser sends it; uid is a cookie.
func request(uid string, more ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/cart?item=42", nil)
	r.RemoteAddr = "203.0.113.7:40000"
	for _, h := range append([]string{
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
		"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
		"Accept-Language: en-US,en;q=0.5",
		"Cookie: theme=dark; session=3f0e8a6c51d94b7e; uid=" + uid,
	}, more...) {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	return r
}

// uidOf finds a caller whom all three engines put on the same side of their 10 %.
func (d deciders) uidOf(version string) string {
	for i := 0; ; i++ {
		uid := fmt.Sprintf("u-%d", 1000+i)
		r := request(uid)
		if d.gray.Decide(r) == version && d.gb.Decide(r) == version && d.ld.Decide(r) == version {
			return uid
		}
	}
}

type scenario struct {
	name    string
	request *http.Request
	version string
}

func (d deciders) scenarios() []scenario {
	out, in := d.uidOf("v1"), d.uidOf("v2")
	phone, office := request(out), request(out)
	phone.Header.Set("User-Agent",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148")
	office.RemoteAddr = "10.1.2.3:40000"
	return []scenario{
		{"rule 1: header equals", request(out, "X-App-Version: beta"), "v2"},
		{"rule 2: header matches regexp", phone, "v2"},
		{"rule 3: cookie equals", request(out, "Cookie: theme=dark; group=staff; uid="+out), "v2"},
		{"rule 4: address in network", office, "v2"},
		{"rule 5: in the 10 %", request(in), "v2"},
		{"none of the rules", request(out), "v1"},
	}
}

// All three must say the same, or they are not doing the same work.
func TestSameDecisions(t *testing.T) {
	d := newDeciders(t)
	for _, s := range d.scenarios() {
		assert.Equal(t, s.version, d.gray.Decide(s.request), s.name)
		assert.Equal(t, s.version, d.gb.Decide(s.request), s.name)
		assert.Equal(t, s.version, d.ld.Decide(s.request), s.name)
	}
	// And each takes a tenth of the callers by the cookie.
	const callers = 20_000
	taken := map[string]int{}
	for i := range callers {
		r := request(fmt.Sprintf("u-%d", i))
		for name, version := range map[string]string{"Gray": d.gray.Decide(r), "GrowthBook": d.gb.Decide(r),
			"LaunchDarkly": d.ld.Decide(r)} {
			if version == "v2" {
				taken[name]++
			}
		}
	}
	for _, name := range []string{"Gray", "GrowthBook", "LaunchDarkly"} {
		assert.InDelta(t, callers/10, taken[name], callers/100, name)
	}
}

// TestComparePeers prints how long each engine takes from the request to the version. For the peers
// it also prints the time from a ready user object to the version. The figures are medians of turns
// that alternate; x is the factor over Gray.
func TestComparePeers(t *testing.T) {
	if !*compare {
		t.Skip("figures only: -compare prints them")
	}
	d := newDeciders(t)
	var table strings.Builder
	fmt.Fprintf(&table, "\n%-31s %16s %22s %22s %22s %22s\n", "", "Gray", "GrowthBook", "LaunchDarkly",
		"GrowthBook, user made", "LaunchDarkly, made")
	for _, s := range d.scenarios() {
		user, context := d.gb.User(Read(s.request)), d.ld.User(Read(s.request))
		ops := []func(){
			func() { d.gray.Decide(s.request) },
			func() { d.gb.Decide(s.request) },
			func() { d.ld.Decide(s.request) },
			func() { d.gb.Evaluate(user) },
			func() { d.ld.Evaluate(context) },
		}
		variants := make([]yaegi.Variant, len(ops))
		for i, op := range ops {
			variants[i].Op = op
		}
		timings := yaegi.Compare(15, 10_000, variants...)
		fmt.Fprintf(&table, "%-31s %9v %2.0f al", s.name, timings[0].PerOp, testing.AllocsPerRun(100, ops[0]))
		for i, timing := range timings[1:] {
			factor := float64(timing.PerOp) / float64(max(timings[0].PerOp, time.Nanosecond))
			fmt.Fprintf(&table, " %8v %5.1f x %2.0f al", timing.PerOp, factor, testing.AllocsPerRun(100, ops[i+1]))
		}
		table.WriteString("\n")
	}
	t.Log(table.String())
}
