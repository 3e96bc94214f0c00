package rollout

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/e2e/backends"
)

// What the controller's API answers is what its OpenAPI document says.
func TestControllerOpenAPI(t *testing.T) {
	b := backends.File(t)
	b.Put("shop", newService(t).policy(`"5% for 1h", "100%"`, `"errors"`))
	c := serve(t, fmt.Sprintf("services: [{service: shop, source: %q}]", b.URL("shop")))
	c.await("the first step", func(r *live.RolloutStatus) bool { return r.Phase == core.PhaseRunning })

	res, err := client.Get(c.url + "/openapi.json")
	require.NoError(t, err)
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	res.Body.Close()
	document, err := openapi3.NewLoader().LoadFromData(text)
	require.NoError(t, err)
	require.NoError(t, document.Validate(context.Background()))
	document.Servers = openapi3.Servers{{URL: c.url}}
	router, err := gorillamux.NewRouter(document)
	require.NoError(t, err)

	for _, call := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", "/gray/v1/", "", 200}, {"GET", "/gray/v1/shop", "", 200}, {"GET", "/gray/v1/cart", "", 404},
		{"POST", "/gray/v1/shop/pause", `{"reason": "lunch"}`, 200}, {"POST", "/gray/v1/shop/pause", "", 409},
		{"POST", "/gray/v1/shop/resume", `{"by": 1}`, 400}, {"POST", "/gray/v1/shop/goto", `{"step": 2}`, 200},
		{"POST", "/gray/v1/alertmanager", `{"version": "4"}`, 204}, {"POST", "/gray/v1/alertmanager", `{}`, 400},
		{"POST", "/gray/v1/shop/switch", `{"to": "v1"}`, 200}, {"POST", "/gray/v1/shop/switch", `{"to": "v9"}`, 409},
		{"POST", "/gray/v1/shop/switch", `{"to": ""}`, 200},
		{"GET", "/gray/v1/me", "", 200}, {"GET", "/gray/v1/shop/policy", "", 200}, {"GET", "/gray/v1/shop/figures", "", 200},
		{"GET", "/gray/v1/shop/figures?since=0", "", 200}, {"GET", "/gray/v1/shop/figures?since=noon", "", 400},
		{"POST", "/gray/v1/shop/explain", `{"cookies": {"uid": "u"}}`, 200},
		{"POST", "/gray/v1/shop/explain", `{"cookie": 1}`, 400},
		{"POST", "/gray/v1/shop/rollback", "", 200}, {"GET", "/gray/v1/shop", "", 200},
		{"GET", "/metrics", "", 200}, {"GET", "/healthz", "", 200}, {"GET", "/readyz", "", 200},
	} {
		name := call.method + " " + call.path
		req, err := http.NewRequest(call.method, c.url+call.path, strings.NewReader(call.body))
		require.NoError(t, err)
		if call.body != "" {
			req.Header.Set("Content-Type", "application/json")
		}
		route, parameters, err := router.FindRoute(req)
		require.NoError(t, err, name)
		input := &openapi3filter.RequestValidationInput{Request: req, PathParams: parameters, Route: route,
			Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc}}
		if call.status < 300 {
			assert.NoError(t, openapi3filter.ValidateRequest(context.Background(), input), name)
		}
		req.Body = io.NopCloser(strings.NewReader(call.body))
		res, err := client.Do(req)
		require.NoError(t, err, name)
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		res.Body.Close()
		assert.Equal(t, call.status, res.StatusCode, "%s: %s", name, body)
		if call.path == "/metrics" {
			continue // text
		}
		assert.NoError(t, openapi3filter.ValidateResponse(context.Background(),
			&openapi3filter.ResponseValidationInput{
				RequestValidationInput: input, Status: res.StatusCode, Header: res.Header,
				Body:    io.NopCloser(bytes.NewReader(body)),
				Options: &openapi3filter.Options{IncludeResponseStatus: true},
			}), name)
	}
}
