package core

import (
	"math/rand"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCookies(t *testing.T) {
	e := engineFor(t, "")
	wide := strings.Repeat("x", maxQuery)
	for _, c := range []struct {
		about  string
		name   string
		lines  []string
		values []string
	}{
		{"one", "uid", []string{"uid=1"}, []string{"1"}},
		{"among others", "uid", []string{"a=0; uid=1; b=2"}, []string{"1"}},
		{"twice", "uid", []string{"uid=1; uid=2"}, []string{"1", "2"}},
		{"on two lines", "uid", []string{"a=1; uid=2", "uid=3; uid=4"}, []string{"2", "3", "4"}},
		{"without spaces", "uid", []string{"a=0;uid=1;b=2"}, []string{"1"}},
		{"spaces and tabs", "uid", []string{"\t uid \t=\t 1 2 \t;"}, []string{"\t 1 2"}},
		{"empty", "uid", []string{"uid=; a=1"}, []string{""}},
		{"no equals sign", "uid", []string{"uid; a=1; uid=2"}, []string{"2"}},
		{"equals signs in the value", "uid", []string{"uid=a=b=="}, []string{"a=b=="}},
		{"quotes", "uid", []string{`uid="a b"; a=1`}, []string{"a b"}},
		{"one pair of quotes", "uid", []string{`uid=""a""`}, []string{`"a"`}},
		{"an odd quote", "uid", []string{`uid="a; uid="; uid=a"`}, []string{`"a`, `"`, `a"`}},
		{"spaces in quotes stay", "uid", []string{`uid=" a "`}, []string{" a "}},
		{"JSON", "uid", []string{`uid={"id":"u-1","n":[1,2]}; a=1`}, []string{`{"id":"u-1","n":[1,2]}`}},
		{"UTF-8", "uid", []string{"uid=Zoë"}, []string{"Zoë"}},
		{"a name of UTF-8", "Zoë", []string{"Zoë=1"}, []string{"1"}},
		{"nothing is decoded", "uid", []string{"uid=a%20b+c"}, []string{"a%20b+c"}},
		{"capitals count", "uid", []string{"UID=1; Uid=2"}, nil},
		{"part of a name", "id", []string{"uid=1; idx=2; id2=3; xid=4"}, nil},
		{"in a value", "uid", []string{"a=uid=1; b=x uid=2"}, nil},
		{"twice in its own name", "aa", []string{"aaa=1; aaaa=2; aa=3"}, []string{"3"}},
		{"after an empty pair", "uid", []string{";;uid=1;"}, []string{"1"}},
		{"after a nameless pair", "uid", []string{"=uid=1; uid=2"}, []string{"2"}},
		{"no cookies", "uid", nil, nil},
		{"an empty line", "uid", []string{""}, nil},
		{"a very long line", "uid", []string{"uid=1;" + wide, "uid=2"}, []string{"1", "2"}},
	} {
		t.Run(c.about, func(t *testing.T) {
			r := request("/")
			r.Header["Cookie"] = c.lines
			assert.Equal(t, c.values, values(t, e, "cookie "+c.name, r))
		})
	}
}

// Cookies that both ends write by the book read as net/http reads them.
func TestCookiesLikeNetHTTP(t *testing.T) {
	e := engineFor(t, "")
	random := rand.New(rand.NewSource(1))
	names := []string{"a", "ab", "b", "uid", "u.id", "x-y"}
	for i := 0; i < 5000; i++ {
		r := request("/")
		var pairs []string
		for n := random.Intn(5); n >= 0; n-- {
			pair := names[random.Intn(len(names))] + "=" + bytesOf(random, "ab=0.%/{}", random.Intn(6))
			if random.Intn(4) == 0 {
				pair = names[random.Intn(len(names))] + `="` + bytesOf(random, "ab =0,", random.Intn(6)) + `"`
			}
			pairs = append(pairs, pair)
		}
		r.Header.Set("Cookie", strings.Join(pairs, "; "))
		for _, name := range names {
			var want []string
			for _, cookie := range r.CookiesNamed(name) {
				want = append(want, cookie.Value)
			}
			require.Equal(t, want, values(t, e, "cookie "+name, r), "%s in %s", name, r.Header.Get("Cookie"))
		}
	}
}

func bytesOf(random *rand.Rand, from string, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = from[random.Intn(len(from))]
	}
	return string(b)
}

func FuzzCookie(f *testing.F) {
	for _, line := range []string{"", "uid=1", `a=1; uid="2"; uid=3`, "uid;uid =\t4;=uid=5", "aa=1;aaa=2", "uid=\xff", " ;; uid = ", `uid="`, "auid=1;uid2=1;u=id"} {
		f.Add("uid", line)
		f.Add("a", line)
	}
	e := engineFor(f, "")
	f.Fuzz(func(t *testing.T, name, line string) {
		s, _, problem := parseAttribute("cookie "+quoted(name), 0)
		if problem != nil {
			return
		}
		r := request("/")
		r.Header["Cookie"] = []string{line}
		c := &Caller{Request: r}
		var got []string
		var at cursor
		for {
			v, ok := nextValue(e, c, &s, &at)
			if !ok {
				break
			}
			got = append(got, v)
		}
		require.Equal(t, cookiesByTheBook(line, name), got)
	})
}

// cookiesByTheBook is the plain reading of a line that the engine's quicker one is held against.
func cookiesByTheBook(line, name string) []string {
	var values []string
	for _, pair := range strings.Split(line, ";") {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || strings.Trim(key, " \t") != name {
			continue
		}
		value = strings.TrimRight(value, " \t")
		if len(value) > 1 && strings.HasPrefix(value, `"`) && strings.HasSuffix(value, `"`) {
			value = value[1 : len(value)-1]
		}
		values = append(values, value)
	}
	return values
}

// quoted writes a text so that a condition line reads it back.
func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
