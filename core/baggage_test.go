package core

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// members are n baggage members m0=0, m1=1 and so on.
func members(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("m%d=%d", i, i)
	}
	return all
}

func TestBaggage(t *testing.T) {
	e := engineFor(t, "")
	for _, c := range []struct {
		about  string
		key    string
		lines  []string
		values []string
	}{
		{"one", "a", []string{"a=1"}, []string{"1"}},
		{"among others", "a", []string{"b=0,a=1,c=2"}, []string{"1"}},
		{"several, over several lines", "a", []string{"a=1, b=2", "a=3,a=4"}, []string{"1", "3", "4"}},
		{"spaces and tabs", "a", []string{" \ta \t= \t1 2\t ,b=1"}, []string{"1 2"}},
		{"properties", "a", []string{"a=1;p=2;q"}, []string{"1"}},
		{"percent-encoded", "a", []string{"a=b%20%C3%A9%2C+c"}, []string{"b é,+c"}},
		{"a bad escape", "a", []string{"a=%zz,a=%4,a=1"}, []string{"1"}},
		{"no equals sign", "a", []string{"a,a;p=1,a=2"}, []string{"2"}},
		{"an empty value", "a", []string{"a=,b=1"}, []string{""}},
		{"equals signs in the value", "a", []string{"a=b=c"}, []string{"b=c"}},
		{"capitals count", "a", []string{"A=1"}, nil},
		{"the key is not decoded", "a", []string{"%61=1"}, nil},
		{"empty members", "a", []string{",, ,a=1,,", "", ",a=2"}, []string{"1", "2"}},
		{"the 64th member", "m63", []string{strings.Join(members(65), ",")}, []string{"63"}},
		{"the 65th member", "m64", []string{strings.Join(members(65), ",")}, nil},
		{"the 65th member, on a line of its own", "z", append(members(64), "z=1"), nil},
		{"a member that ends within 8192 bytes", "a", []string{"b=" + strings.Repeat("x", 8186) + ",a=1"}, []string{"1"}},
		{"a member that ends beyond 8192 bytes", "a", []string{"b=" + strings.Repeat("x", 8187) + ",a=1"}, nil},
		{"a member of 8192 bytes", "a", []string{"a=" + strings.Repeat("x", 8190)}, []string{strings.Repeat("x", 8190)}},
		{"a member of 8193 bytes", "a", []string{"a=" + strings.Repeat("x", 8191)}, nil},
		{"commas without end", "a", []string{strings.Repeat(",", 8192) + "a=1"}, nil},
	} {
		t.Run(c.about, func(t *testing.T) {
			r := request("/")
			r.Header["Baggage"] = c.lines
			assert.Equal(t, c.values, values(t, e, "baggage "+c.key, r))
		})
	}
}

func TestPassedBaggage(t *testing.T) {
	stable := engineFor(t, "")
	e := stable.With(Overlay{Force: "v2"})
	many := strings.Join(members(70), ",")
	for _, c := range []struct {
		about string
		lines []string
		want  string
	}{
		{"none", nil, "gray=v2"},
		{"empty", []string{""}, "gray=v2"},
		{"others", []string{"a=1,b=2"}, "a=1,b=2,gray=v2"},
		{"byte for byte", []string{"a=%41 ; p = \"x\" ,\tb=Zo\xc3\xab;q", " c = \xff"}, "a=%41 ; p = \"x\" ,\tb=Zo\xc3\xab;q, c = \xff,gray=v2"},
		{"the client's own", []string{"gray=v9,a=1, gray = v9;p=1", "gray=v8"}, "a=1,gray=v2"},
		{"only the client's own", []string{"gray=v9"}, "gray=v2"},
		{"like the client's own", []string{"Gray=1,gray2=2,xgray=3,gray"}, "Gray=1,gray2=2,xgray=3,gray,gray=v2"},
		{"empty members", []string{"a=1,, ,b=2,"}, "a=1,b=2,gray=v2"},
		{"more than 64", []string{many}, strings.Join(members(63), ",") + ",gray=v2"},
		{"more than 8192 bytes", []string{"a=1,b=" + strings.Repeat("x", 8192) + ",c=3"}, "a=1,gray=v2"},
		{"the client's own beyond the bounds", []string{many + ",gray=v9"}, strings.Join(members(63), ",") + ",gray=v2"},
	} {
		t.Run(c.about, func(t *testing.T) {
			assert.Equal(t, []string{c.want}, passedBaggage(e, c.lines))
		})
	}
	for _, c := range []struct {
		about string
		lines []string
		want  []string
	}{
		{"none", nil, nil},
		{"empty", []string{""}, nil},
		{"others", []string{"a=1,b=2"}, []string{"a=1,b=2"}},
		{"the client's own", []string{"gray=v9,a=1, gray = v9;p=1", "gray=v8"}, []string{"a=1"}},
		{"only the client's own", []string{"gray=v1"}, nil},
		{"as many as there may be", []string{strings.Join(members(64), ",") + ",gray=v9"}, []string{strings.Join(members(64), ",")}},
		{"more than 64", []string{many}, []string{strings.Join(members(64), ",")}},
	} {
		t.Run("of stable: "+c.about, func(t *testing.T) {
			assert.Equal(t, c.want, passedBaggage(stable, c.lines))
		})
	}
}

func passedBaggage(e *Engine, lines []string) []string {
	r := request("/")
	if lines != nil {
		r.Header["Baggage"] = lines
	}
	caller := &Caller{Request: r}
	Pass(e, caller, http.Header{}, Decide(e, caller))
	return r.Header["Baggage"]
}

func FuzzBaggage(f *testing.F) {
	for _, line := range []string{"", "a=1", "a=1,b=2;p=3", ",,a = %41 ,", "gray=v9", "gray =v9; x", "a=%zz", "a", strings.Join(members(70), ","), strings.Repeat(",", 9000), "\xff=\xff"} {
		f.Add("a", line, "b=2")
		f.Add("gray", "x=1", line)
	}
	engines := map[string]*Engine{"v1": engineFor(f, ""), "v2": engineFor(f, "").With(Overlay{Force: "v2"})}
	f.Fuzz(func(t *testing.T, key, first, second string) {
		lines := []string{first, second}
		var at cursor
		for { // whatever there is, reading it ends
			if _, ok := nextBaggage(lines, key, &at); !ok {
				break
			}
		}
		for version, e := range engines {
			r := request("/")
			r.Header["Baggage"] = lines
			caller := &Caller{Request: r}
			d := Decide(e, caller)
			Pass(e, caller, http.Header{}, d)
			testPassedBaggage(t, lines, r.Header["Baggage"], d.Baggage())
			require.Equal(t, version == "v2", d.Baggage() != "")
		}
	})
}

// testPassedBaggage checks that baggage has the client's members, in its order, and ours behind
// them, if there is a version to carry.
func testPassedBaggage(t *testing.T, lines, passed []string, version string) {
	t.Helper()
	var list []string
	if len(passed) > 0 {
		require.Len(t, passed, 1)
		require.LessOrEqual(t, len(passed[0]), maxBaggage)
		list = strings.Split(passed[0], ",")
		require.LessOrEqual(t, len(list), maxMembers)
	}
	if version != "" {
		require.Equal(t, "gray="+version, list[len(list)-1])
		list = list[:len(list)-1]
	}
	from := strings.Split(strings.Join(lines, ","), ",")
	for _, member := range list {
		for len(from) > 0 && from[0] != member {
			from = from[1:]
		}
		require.NotEmpty(t, from, "%q is not the client's", member)
		from = from[1:]
		name, _, ok := strings.Cut(member, "=")
		require.False(t, ok && strings.Trim(name, " \t") == "gray", "%q", member)
	}
	// A gateway further in that believes this one reads exactly this decision.
	var at cursor
	v, ok := nextBaggage(passed, "gray", &at)
	require.Equal(t, version, v)
	require.Equal(t, version != "", ok)
	_, ok = nextBaggage(passed, "gray", &at)
	require.False(t, ok)
}
