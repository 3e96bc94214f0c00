package service_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/service"
)

func TestRegistrationIsKept(t *testing.T) {
	a := newAgent(t)
	registry := service.Registry{URL: "consul://" + a.host + "/shop?ttl=1s", Logger: slog.New(slog.DiscardHandler)}
	r, err := registry.Register(t.Context(), service.Instance{
		Address: "10.0.0.1:8080", Version: "v2", Metadata: map[string]string{"env": "gray"}, Weight: 3,
	})
	require.NoError(t, err)
	a.await("register")
	<-r.Registered()
	assert.Equal(t, map[string]any{
		"ID": "shop-10.0.0.1:8080", "Name": "shop", "Address": "10.0.0.1", "Port": 8080.0, "Tags": []any{"v2"},
		"Meta": map[string]any{"version": "v2", "env": "gray"}, "Weights": map[string]any{"Passing": 3.0, "Warning": 1.0},
		"Check": map[string]any{"Name": "alive", "TTL": "1s", "Status": "passing", "DeregisterCriticalServiceAfter": "1m0s"},
	}, a.only())
	a.await("pass")

	a.forget()
	a.await("unknown")
	a.await("register")

	a.down(true)
	a.await("refused")
	a.await("refused")
	assert.Contains(t, r.State().Error, "answered 503")
	a.down(false)
	a.await("register")

	r.Suspend("database")
	a.await("fail database")
	r.Resume()
	a.await("pass")

	require.NoError(t, r.Deregister(t.Context()))
	a.await("deregister")
	require.NoError(t, r.Deregister(t.Context()), "once is enough")
	assert.Equal(t, service.RegistrationState{}, r.State())
}

func TestRegistrationEndsWithItsContext(t *testing.T) {
	a := newAgent(t)
	ctx, cancel := context.WithCancel(context.Background())
	r, err := service.Register(ctx, "consul://"+a.host+"/shop", service.Instance{Address: ":8080", Version: "v2"})
	require.NoError(t, err)
	a.await("register")
	assert.NotContains(t, a.only(), "Address", "in Consul that of the agent's node")
	cancel()
	<-r.Done()
	a.await("deregister")
}

func TestDeregistrationFails(t *testing.T) {
	a := newAgent(t)
	a.down(true)
	r, err := service.Register(t.Context(), "consul://"+a.host+"/shop", service.Instance{Address: ":8080", Version: "v2"})
	require.NoError(t, err)
	a.await("refused")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.Error(t, r.Deregister(ctx))
	<-r.Done()
}

func TestWrongRegistrations(t *testing.T) {
	good := service.Instance{Address: ":8080", Version: "v2"}
	for _, c := range []struct {
		url  string
		of   service.Instance
		want string
	}{
		{"consul://h/shop", service.Instance{Address: "h", Version: "v2"}, `Address: "h" is not host:port or :port`},
		{"consul://h/shop", service.Instance{Address: ":0", Version: "v2"}, `Address: ":0" is not host:port or :port`},
		{"consul://h/shop", service.Instance{Address: ":1", Version: "v 2"}, `Version: "v 2" is not the name of a version`},
		{"consul://h/shop", service.Instance{Address: ":1"}, `Version: "" is not the name of a version`},
		{"consul://h/shop", service.Instance{Address: ":1", Version: "v2", Weight: -1}, "Weight: -1 is not from 0"},
		{"consul://h/shop", service.Instance{Address: ":1", Version: "v2", Weight: 0.5}, "in Consul it is a whole number"},
		{"consul://h/shop", service.Instance{
			Address: ":1", Version: "v2", Metadata: map[string]string{"version": "v1"},
		}, `Metadata: version is "v1", but Version "v2": leave it out`},
		{"zk://h/shop", good, `URL: unknown scheme "zk": want one of consul, etcd, nacos`},
		{"consul://h", good, "URL: the service is missing: want consul://host:8500/service"},
		{"etcd://127.0.0.1", good, "URL: the service is missing: want etcd://host:2379/service"},
		{"nacos://127.0.0.1", good, "URL: the service is missing: want nacos://host:8848/service"},
		{"consul://h/shop?ttl=5ms", good, "URL: option ttl: want a duration of at least 1s"},
		{"consul://h/shop?version=v2", good, `URL: consul has no option "version"`},
		{"etcd://127.0.0.1/shop?group=v2", good, `URL: etcd has no option "group"`},
		{"consul://h/shop", service.Instance{Address: "h", Version: "v 2"}, "\n"},
	} {
		_, err := service.Register(t.Context(), c.url, c.of)
		assert.ErrorContains(t, err, c.want, "%s %v", c.url, c.of)
	}
}
