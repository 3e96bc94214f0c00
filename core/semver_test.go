package core

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func version(t *testing.T, s string) semver {
	t.Helper()
	v, _, ok := parseSemver(s)
	require.True(t, ok, s)
	return v
}

// The pre-releases of 1.0.0 are the example of SemVer 2.0, section 11.
func TestCompareSemver(t *testing.T) {
	ascending := []string{
		"0.0.0-0", "0.0.0", "0.0.1", "0.9.0", "0.10.0",
		"1.0.0-1", "1.0.0-2", "1.0.0-10", "1.0.0-99999999999999999999", "1.0.0--", "1.0.0-0a", "1.0.0-A",
		"1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.1.0", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0",
		"1.0.1-rc.1", "1.0.1", "1.2.0", "1.10.0", "2.0.0", "10.0.0", "18446744073709551615.0.0", "18446744073709551616.0.0",
	}
	for i, a := range ascending {
		for j, b := range ascending {
			assert.Equal(t, sign(i-j), sign(compareSemver(version(t, a), version(t, b))), "%s and %s", a, b)
		}
	}
	for _, same := range [][2]string{{"1.0.0", "v1.0.0"}, {"1", "1.0.0"}, {"1.2", "1.2.0"}, {"1.0.0+a", "1.0.0+b.01"}, {"1.0.0-rc+1", "1.0.0-rc"}} {
		assert.Zero(t, compareSemver(version(t, same[0]), version(t, same[1])), "%s and %s", same[0], same[1])
	}
}

func TestParseSemver(t *testing.T) {
	for s, written := range map[string]int{
		"1": 1, "v1": 1, "1.2": 2, "1.2.3": 3, "0.0.0": 3, "1.2.3-rc.1": 3, "1.2.3-x-y.--": 3, "1.2.3+001.x": 3, "1.2.3-0+0": 3, "1.2.3+a-b": 3,
		"1-rc.1": 1, "1.0.0-0A.is.legal": 3, "1.0.0-alpha0.valid": 3, "99999999999999999999999.999999999999999999.99999999999999999": 3,
	} {
		_, got, ok := parseSemver(s)
		assert.True(t, ok, s)
		assert.Equal(t, written, got, s)
	}
	for _, s := range []string{
		"", "v", "vv1", "V1", ".", "1.", ".1", "1..2", "1.2.", "1.2.3.4", "01.0.0", "1.02.0", "1.0.00", "1.0.0-", "1.0.0-01", "1.0.0-a..b", "1.0.0-a.",
		"1.0.0+", "1.0.0+a..b", "1.0.0+a+b", "1.0.0-ü", "-1.0.0", "+1.0.0", "1.x", "1.*", "1.0.0 ", " 1.0.0", "a", "1.0.0\x00", "１.0.0",
	} {
		_, _, ok := parseSemver(s)
		assert.False(t, ok, "%q", s)
	}
}

func TestConstraints(t *testing.T) {
	for _, c := range []struct {
		constraint string
		holds      []string
		fails      []string
	}{
		{"1.2.3", []string{"1.2.3", "v1.2.3+build"}, []string{"1.2.4", "1.2.3-rc"}},
		{"1.2", []string{"1.2.0", "1.2"}, []string{"1.2.1"}},
		{"= 1.2.3", []string{"1.2.3"}, []string{"1.2.4"}},
		{"!=1.2.3", []string{"1.2.4", "1.2.3-rc"}, []string{"1.2.3+x"}},
		{">1", []string{"1.0.1", "2.0.0-0"}, []string{"1", "1.0.0-rc"}},
		{">= 2.3.0 <3", []string{"2.3.0", "3.0.0-0"}, []string{"3.0.0", "2.3.0-rc"}},
		{"<=2", []string{"2.0.0", "2.0.0-rc"}, []string{"2.0.1"}},
		{"^1.4", []string{"1.4.0", "1.99.0", "2.0.0-rc.1"}, []string{"1.3.9", "1.4.0-rc", "2.0.0"}},
		{"^0.2.3", []string{"0.2.3", "0.2.9"}, []string{"0.3.0", "0.2.2", "1.0.0"}},
		{"^0.0.3", []string{"0.0.3", "0.0.4-rc"}, []string{"0.0.4", "0.0.2"}},
		{"^0", []string{"0.0.0", "0.9.9"}, []string{"1.0.0"}},
		{"^0.0", []string{"0.0.9"}, []string{"0.1.0"}},
		{"^0.0.0", []string{"0.0.0"}, []string{"0.0.1"}},
		{"^1.2.3-beta.2", []string{"1.2.3-beta.2", "1.2.3", "1.9.0"}, []string{"1.2.3-beta.1", "2.0.0"}},
		{"^9.9", []string{"9.9.1"}, []string{"10.0.0"}},
		{"~2.1", []string{"2.1.0", "2.1.9", "2.2.0-rc"}, []string{"2.2.0", "2.0.9"}},
		{"~2.1.3", []string{"2.1.3", "2.1.9"}, []string{"2.1.2", "2.2.0"}},
		{"~2", []string{"2.0.0", "2.9.9"}, []string{"3.0.0", "1.9.9"}},
		{"~0.9", []string{"0.9.5"}, []string{"0.10.0"}},
		{">=v1.0.0	<v2", []string{"v1.5"}, []string{"v2"}},
		{">1.9999999999999999999", []string{"1.10000000000000000000"}, []string{"1.9999999999999999999"}},
	} {
		bounds, _, problem := parseConstraint(c.constraint)
		require.Empty(t, problem, c.constraint)
		for _, v := range c.holds {
			assert.True(t, satisfies(v, bounds), "%s with %s", v, c.constraint)
		}
		for _, v := range c.fails {
			assert.False(t, satisfies(v, bounds), "%s with %s", v, c.constraint)
		}
	}
}

func TestBadConstraints(t *testing.T) {
	for constraint, at := range map[string]int{
		"": 0, "  ": 0, "1.x": 0, "*": 0, ">=1 || <2": 4, ">=1, <2": 0, ">=1 <": 4, "=>1": 0, "==1": 0, "~>1": 0, "^": 0, "> = 1": 0, "1 - 2": 2, ">=01": 0,
		">=1<2": 0, "1=2": 0, "2 1<2": 2,
	} {
		_, got, problem := parseConstraint(constraint)
		assert.NotEmpty(t, problem, "%q", constraint)
		assert.Equal(t, at, got, "%q", constraint)
	}
}
