package sources

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/e2e/backends"
	"github.com/grayrelease/gray/e2e/servers"
)

const nacosKey = "Z3JheS1lMmUtc2VjcmV0LWdyYXktZTJlLXNlY3JldC1ncmF5LWUyZS1zZWNyZXQ="

// Users, passwords and namespaces on the real servers, from placeholders in the URL. The state
// shows that a password is wrong, but never the password.
func TestAccess(t *testing.T) {
	t.Setenv("GRAY_E2E_PASSWORD", "pa:ss/w0rd?#%")
	t.Setenv("GRAY_E2E_WRONG", "wr0ng-wr0ng")
	for name, access := range map[string]func(testing.TB) (right, wrong string){
		"etcd": etcdAccess, "nacos": nacosAccess,
	} {
		right, wrong := access(t)
		for _, mode := range modes {
			load := mode.load(t)
			t.Run(name+"/"+mode.name, func(t *testing.T) {
				h := start(t, load, right, "")
				h.await("v2")
				bad := start(t, load, wrong, "")
				bad.awaitState("refused", func(s live.State) bool { return s.Error != "" })
				for _, text := range []string{bad.state().Error, bad.state().Source, bad.log.String(), h.state().Source} {
					require.NotContains(t, text, "wr0ng")
					require.NotContains(t, text, "pa:ss")
				}
				require.Contains(t, bad.state().Error, "sign-in failed")
			})
		}
	}
}

func etcdAccess(t testing.TB) (right, wrong string) {
	_, port := servers.Etcd(t)
	base := servers.BaseURL(port)
	backends.EtcdPut(t, base, "/top/gray/user", document("access", 100), 0)
	backends.Post(t, base+"/v3/auth/role/add", map[string]any{"name": "root"})
	backends.Post(t, base+"/v3/auth/role/add", map[string]any{"name": "reader"})
	backends.Post(t, base+"/v3/auth/role/grant", map[string]any{"name": "reader", "perm": map[string]any{
		"permType": "READ", "key": []byte("/top/gray/"), "range_end": []byte("/top/gray0")}})
	for _, user := range []string{"root", "reader"} {
		backends.Post(t, base+"/v3/auth/user/add", map[string]any{"name": user, "password": "pa:ss/w0rd?#%"})
		backends.Post(t, base+"/v3/auth/user/grant", map[string]any{"user": user, "role": user})
	}
	backends.Post(t, base+"/v3/auth/enable", map[string]any{})
	u := "etcd://reader:${%s}@" + servers.Host(port) + "/gray/user?namespace=%%2Ftop%%2F"
	return fmt.Sprintf(u, "GRAY_E2E_PASSWORD"), fmt.Sprintf(u, "GRAY_E2E_WRONG")
}

func nacosAccess(t testing.TB) (right, wrong string) {
	_, port := servers.Nacos(t, "nacos.core.auth.enabled=true", "nacos.core.auth.caching.enabled=false",
		"nacos.core.auth.plugin.nacos.token.secret.key="+nacosKey,
		"nacos.core.auth.server.identity.key=gray", "nacos.core.auth.server.identity.value=gray")
	base := servers.BaseURL(port) + "/nacos"
	const form = "application/x-www-form-urlencoded"
	password := url.Values{"username": {"nacos"}, "password": {"pa:ss/w0rd?#%"}}.Encode()
	backends.Call(t, "POST", base+"/v1/auth/users/admin", form, password)
	login := backends.Call(t, "POST", base+"/v1/auth/login", form, password)
	_, rest, _ := strings.Cut(login, `"accessToken":"`)
	token, _, _ := strings.Cut(rest, `"`)
	require.NotEmpty(t, token, login)
	backends.Call(t, "POST", base+"/v1/cs/configs?accessToken="+token, form,
		url.Values{"dataId": {"user.json"}, "group": {"gray"}, "tenant": {"team"},
			"content": {document("access", 100)}}.Encode())
	u := "nacos://nacos:${%s}@" + servers.Host(port) + "/user.json?group=gray&namespace=team"
	return fmt.Sprintf(u, "GRAY_E2E_PASSWORD"), fmt.Sprintf(u, "GRAY_E2E_WRONG")
}

// A Nacos 3 is found to be one by itself.
func isRecognised(t *testing.T, b *backends.Backend, load newGateway) {
	b.Put("auto", document("auto", 100))
	h := start(t, load, strings.Replace(b.URL("auto"), "&api=v3", "", 1), "")
	took := h.await("v2")
	b.Put("auto", document("auto", 0))
	t.Log(took, h.await("v1"))
}
