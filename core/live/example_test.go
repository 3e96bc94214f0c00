package live_test

import (
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"github.com/grayrelease/gray/core/live"
)

// A gateway that follows a file: the handler decides by what is in force, and next finds the
// version in the request.
func Example() {
	dir, err := os.MkdirTemp("", "gray")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "shop.json")
	write := func(rules string) {
		document := `{"service": "shop", "stable": "v1", "versions": {"v1": {}, "v2": {}}, "rules": [` + rules + `]}`
		if err := os.WriteFile(path+".new", []byte(document), 0o600); err != nil {
			log.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			log.Fatal(err)
		}
	}
	write(`{"name": "testers", "version": "v2", "when": ["header X-App-Version = beta"]}`)

	handle, err := live.Open(live.Options{Source: &live.Source{URL: "file://" + path + "?interval=10ms"}})
	if err != nil {
		log.Fatal(err)
	}
	defer handle.Close()
	gateway := live.Handler(handle, nil, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		fmt.Printf("%s %q\n", r.Header.Get("X-App-Version"), r.Header.Get("X-Gray-Version"))
	}))
	ask := func(app string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("X-App-Version", app)
		gateway.ServeHTTP(httptest.NewRecorder(), r)
	}

	<-handle.Ready() // there is a document; until then, everything goes on without a version
	ask("beta")
	ask("stable")
	before := handle.Current()
	write("")
	for handle.Current() == before {
		time.Sleep(time.Millisecond)
	}
	ask("beta")
	// Output:
	// beta "v2"
	// stable "v1"
	// beta "v1"
}

// A policy in a file that is read once.
func ExampleReadPolicy() {
	_, err := live.ReadPolicy("/nowhere/shop.json")
	fmt.Println(err)
	// Output: there is no folder /nowhere for the file shop.json
}
