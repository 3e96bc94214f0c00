package proxy_test

import (
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/grayrelease/gray/core/proxy"
)

// Requests go to the pool's upstreams in turns. What none of them could be sent, the fallback
// serves, such as the stable version.
func Example() {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "v2")
	}))
	pool := proxy.NewPool(proxy.Options{})
	defer pool.Close()
	if err := pool.Set([]string{backend.URL}); err != nil {
		log.Fatal(err)
	}
	gateway := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proxy.Forward(pool, w, r, func(w http.ResponseWriter, _ *http.Request, _ error) { fmt.Fprint(w, "stable") })
	})
	ask := func() {
		w := httptest.NewRecorder()
		gateway.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		fmt.Println(w.Body)
	}
	ask()
	backend.Close()
	ask()
	fmt.Println(pool.Set([]string{"ftp://10.0.1.1"}))
	// Output:
	// v2
	// stable
	// [0]: "ftp://10.0.1.1": the scheme "ftp" is not one of http, https, h2c
}
