package daemon

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPeople(t *testing.T) {
	check := func(p *People) error {
		c := &Checker{}
		c.People("people", p)
		return c.Err()
	}
	p := &People{From: []string{"10.0.0.3", "2001:db8::/32"}, Operators: []string{"ann"}}
	require.NoError(t, check(p))
	for _, c := range []struct {
		peer       string
		lines      []string
		name, role string
	}{
		{"10.0.0.3:1", []string{"ann"}, "ann", RoleOperate},
		{"[::ffff:10.0.0.3]:1", []string{" ann "}, "ann", RoleOperate},
		{"[2001:db8::7%eth0]:1", []string{"bob"}, "bob", RoleView},
		{"10.0.0.4:1", []string{"ann"}, "", ""},
		{"unix", []string{"ann"}, "", ""},
		{"10.0.0.3:1", nil, "", ""},
		{"10.0.0.3:1", []string{""}, "", RoleView},
		{"10.0.0.3:1", []string{"bob", "ann"}, "", ""},
		{"10.0.0.3:1", []string{"Ann"}, "Ann", RoleView},
		{"10.0.0.3:1", []string{"*"}, "*", RoleView},
		{"10.0.0.3:1", []string{"a\x00b"}, "", ""},
		{"10.0.0.3:1", []string{"a\xff"}, "", ""},
		{"10.0.0.3:1", []string{strings.Repeat("a", maxName+1)}, "", ""},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = c.peer
		r.Header["X-Forwarded-User"] = c.lines
		name, role := p.Person(r)
		assert.Equal(t, c.name, name, c)
		if name != "" {
			assert.Equal(t, c.role, role, c)
		}
	}
	all := &People{From: []string{"10.0.0.3"}, Header: "X-Person", Operators: []string{"*"}}
	require.NoError(t, check(all))
	r := httptest.NewRequest("GET", "/", nil)
	r.RemoteAddr = "10.0.0.3:1"
	r.Header.Set("X-Person", "eve")
	_, role := all.Person(r)
	assert.Equal(t, RoleOperate, role)

	require.NoError(t, check(nil))
	for want, p := range map[string]*People{
		"people.from: required":                          {},
		`people.from[0]: "proxy" is not a valid address`: {From: []string{"proxy"}},
		"people.header: \"a b\" is not a valid header":   {From: []string{"10.0.0.3"}, Header: "a b"},
	} {
		assert.ErrorContains(t, check(p), want)
	}
}
