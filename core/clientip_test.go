package core_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
)

func TestClientIP(t *testing.T) {
	bits := func(n int) *int { return &n }
	tests := map[string]struct {
		strategy  core.IPStrategy
		forwarded []string
		peer      string
		want      string
	}{
		"depth 1 is the last":                 {core.IPStrategy{Depth: 1}, []string{"1.1.1.1, 2.2.2.2"}, "", "2.2.2.2"},
		"depth 2":                             {core.IPStrategy{Depth: 2}, []string{"1.1.1.1,2.2.2.2 , 3.3.3.3"}, "", "2.2.2.2"},
		"depth over several lines":            {core.IPStrategy{Depth: 3}, []string{"1.1.1.1, 2.2.2.2", "3.3.3.3,4.4.4.4"}, "", "2.2.2.2"},
		"too few entries":                     {core.IPStrategy{Depth: 3}, []string{"1.1.1.1, 2.2.2.2"}, "9.9.9.9:1", "unknown"},
		"no header":                           {core.IPStrategy{Depth: 1}, nil, "9.9.9.9:1", "unknown"},
		"empty entry":                         {core.IPStrategy{Depth: 1}, []string{"1.1.1.1, "}, "9.9.9.9:1", "unknown"},
		"what is no address stays":            {core.IPStrategy{Depth: 1}, []string{"bad"}, "", "bad"},
		"depth before excluded":               {core.IPStrategy{Depth: 1, ExcludedIPs: []string{"2.2.2.2"}}, []string{"1.1.1.1, 2.2.2.2"}, "", "2.2.2.2"},
		"excluded":                            {core.IPStrategy{ExcludedIPs: []string{"10.0.0.0/8", "2.2.2.2"}}, []string{"1.1.1.1, 10.1.2.3,2.2.2.2"}, "", "1.1.1.1"},
		"excluded over several lines":         {core.IPStrategy{ExcludedIPs: []string{"10.0.0.0/8"}}, []string{"1.1.1.1", "10.1.2.3"}, "", "1.1.1.1"},
		"excluded, empty entries are skipped": {core.IPStrategy{ExcludedIPs: []string{"10.0.0.0/8"}}, []string{"1.1.1.1, , 10.1.2.3,"}, "", "1.1.1.1"},
		"excluded, nothing else there":        {core.IPStrategy{ExcludedIPs: []string{"10.0.0.0/8"}}, []string{"10.1.2.3"}, "9.9.9.9:1", "unknown"},
		"excluded stops at the first other":   {core.IPStrategy{ExcludedIPs: []string{"10.0.0.0/8"}}, []string{"1.1.1.1, bad, 10.1.2.3"}, "", "bad"},
		"subnet of the peer":                  {core.IPStrategy{IPv6Subnet: bits(64)}, nil, "[2001:db8::1:2:3:4]:1", "2001:db8::"},
		"subnet with depth":                   {core.IPStrategy{Depth: 1, IPv6Subnet: bits(48)}, []string{"2001:db8:1:2::3"}, "", "2001:db8:1::"},
		"subnet leaves IPv4 alone":            {core.IPStrategy{Depth: 1, IPv6Subnet: bits(64)}, []string{"1.2.3.4"}, "", "1.2.3.4"},
		"subnet takes mapped for IPv4":        {core.IPStrategy{Depth: 1, IPv6Subnet: bits(64)}, []string{"::ffff:1.2.3.4"}, "", "1.2.3.4"},
		"subnet of what is no address":        {core.IPStrategy{Depth: 1, IPv6Subnet: bits(64)}, []string{"bad"}, "", "bad"},
		"ports are no part of an address":     {core.IPStrategy{Depth: 1}, []string{"1.1.1.1, 2.2.2.2:51234"}, "", "2.2.2.2"},
		"nor with IPv6":                       {core.IPStrategy{ExcludedIPs: []string{"10.0.0.0/8"}}, []string{"[2001:db8::1]:51234, 10.1.2.3"}, "", "2001:db8::1"},
		"subnet of an address with a port":    {core.IPStrategy{Depth: 1, IPv6Subnet: bits(48)}, []string{"[2001:db8:1:2::3]:80"}, "", "2001:db8:1::"},
		"peer that is no address":             {core.IPStrategy{IPv6Subnet: bits(64)}, nil, "@", "unknown"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			client, err := core.NewClientIP(&test.strategy)
			require.NoError(t, err)
			r := &http.Request{Header: http.Header{}, RemoteAddr: test.peer}
			if test.forwarded != nil {
				r.Header["X-Forwarded-For"] = test.forwarded
			}
			assert.Equal(t, test.want, client(r))
		})
	}
}

func TestClientIPOfThePeer(t *testing.T) {
	for _, strategy := range []*core.IPStrategy{nil, {}} {
		client, err := core.NewClientIP(strategy)
		require.NoError(t, err)
		assert.Nil(t, client)
	}
}

func TestClientIPRefuses(t *testing.T) {
	bits := 129
	_, err := core.NewClientIP(&core.IPStrategy{Depth: -1, ExcludedIPs: []string{"10.0.0.0/8", "10.0.0"}, IPv6Subnet: &bits})
	assert.EqualError(t, err, "depth: must be 0 or more, is -1\nexcludedIPs[1]: \"10.0.0\" is not a valid address or prefix\nipv6Subnet: must be from 1 to 128, is 129")
}
