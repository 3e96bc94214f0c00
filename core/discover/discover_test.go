package discover

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOpenErrors(t *testing.T) {
	for _, c := range []struct{ url, want string }{
		{"zk://h/k", `unknown scheme "zk": want one of consul, etcd, nacos, srv`},
		{"consul://h", "the service is missing"},
		{"etcd://h/", "the prefix is missing"},
		{"nacos://h", "the service is missing"},
		{"srv://", "want srv://_http._tcp.example.com"},
		{"srv://name?tag=v2", `srv has no option "tag"`},
		{"consul://h/s?scheme=ftp", "option scheme: want http or https"},
	} {
		_, err := Open(c.url, nil, nil)
		require.ErrorContains(t, err, c.want, c.url)
	}
}

// first is the first event of a discovery.
func first(t *testing.T, url string) Event {
	t.Helper()
	d, err := Open(url, nil, nil)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var event *Event
	d.Watch(ctx, func(e Event) {
		if event == nil {
			event = &e
		}
		cancel()
	})
	require.NotNil(t, event)
	return *event
}

// fakeRegistry answers every request with a text.
func fakeRegistry(t *testing.T, text string) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Consul-Index", "1")
		_, _ = w.Write([]byte(text))
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// Registries hold what their clients send: what is no address is left out, the rest stays.
func TestOddInstances(t *testing.T) {
	entry := func(address string, port int, weight string) string {
		return fmt.Sprintf(`{"Node": {"Address": "10.0.0.9"}, "Service": {"Address": %q, "Port": %d, "Meta": {"tag": "x"}, "Weights": {"Passing": %s}}}`, address, port, weight)
	}
	host := fakeRegistry(t, "["+strings.Join([]string{
		entry("10.0.0.1", 80, "3"), entry("10.0.0.1", 80, "3"), entry("", 81, "1"), entry("fe80::1", 80, "1"), entry("web-1.local", 80, "0"),
		entry("10.0.0.1/../x", 80, "1"), entry("a b", 80, "1"), entry("x@y", 80, "1"), entry("h\r\nX: y", 80, "1"), entry("::zz", 80, "1"),
		entry("10.0.0.2", 0, "1"), entry("10.0.0.2", 70000, "1"), entry("10.0.0.2", 80, "-1"),
	}, ",")+"]")
	e := first(t, "consul://"+host+"/web?meta.tag=x&scheme=https")
	require.NoError(t, e.Err)
	require.Equal(t, []Instance{
		{URL: "https://10.0.0.1:80", Weight: 3}, {URL: "https://10.0.0.9:81", Weight: 1},
		{URL: "https://[fe80::1]:80", Weight: 1}, {URL: "https://web-1.local:80", Weight: 1},
	}, e.Instances)
	require.Empty(t, first(t, "consul://"+host+"/web?meta.tag=y").Instances)
}

func TestTooManyInstances(t *testing.T) {
	var entries []string
	for i := range MaxInstances + 1 {
		entries = append(entries, fmt.Sprintf(`{"ip": "10.0.%d.%d", "port": %d, "weight": 1, "healthy": true, "enabled": true}`, i/250%250, i%250, 1+i/62500))
	}
	host := fakeRegistry(t, `{"hosts": [`+strings.Join(entries, ",")+`]}`)
	require.ErrorContains(t, first(t, "nacos://"+host+"/web").Err, "more than 10000 instances")
}

func TestAnswersThatAreNone(t *testing.T) {
	host := fakeRegistry(t, `<html>`)
	for _, url := range []string{"consul://" + host + "/web", "nacos://" + host + "/web", "etcd://" + host + "/web/"} {
		require.Error(t, first(t, url).Err, url)
	}
}

func TestWeightsOfEndpointRecords(t *testing.T) {
	for text, want := range map[string]float64{`{}`: 1, `{"weight": "3"}`: 3, `{"weight": 0.5}`: 0.5, `{"weight": "x"}`: 1,
		`null`: 1, `{"weight": "-1"}`: -1} {
		require.InDelta(t, want, recordWeight(texts([]byte(text))), 0, text)
	}
}
