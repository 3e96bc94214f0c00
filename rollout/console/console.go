// Package console is a web page on which people see releases and stop them, over the API of the
// package api. It loads nothing from elsewhere, and finds the API relative to itself, so that it
// works under any prefix.
package console

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"

	"github.com/klauspost/compress/gzhttp"

	"github.com/grayrelease/gray/rollout/api"
)

// Charts are drawn by uPlot (MIT licence), which vendor.sh renews.
//
//go:embed assets
var assets embed.FS

// policy is the Content-Security-Policy: own scripts, own styles, nobody else's, in nobody's frame.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Handler serves the page at /, what it loads under /assets/, and the API.
func Handler(a *api.API) http.Handler {
	mux := http.NewServeMux()
	for _, name := range Files() {
		pattern := "GET /" + name
		if name == page {
			pattern = "GET /{$}"
		}
		mux.Handle(pattern, gzhttp.GzipHandler(a.Guard(newFile(name))))
	}
	mux.Handle("/", a)
	return mux
}

const page = "assets/index.html"

// Files returns the names of all files of the page.
func Files() []string {
	var names []string
	_ = fs.WalkDir(assets, "assets", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			names = append(names, name)
		}
		return err
	})
	return names
}

// newFile serves one file.
func newFile(name string) http.Handler {
	data, err := assets.ReadFile(name)
	if err != nil {
		panic(err) // it is embedded
	}
	sum := sha256.Sum256(data)
	tag := `"` + hex.EncodeToString(sum[:8]) + `"`
	kind := mime.TypeByExtension(path.Ext(name))
	switch path.Ext(name) { // the system's table may say something else
	case ".js":
		kind = "text/javascript; charset=utf-8"
	case ".css":
		kind = "text/css; charset=utf-8"
	case ".svg":
		kind = "image/svg+xml"
	case "":
		kind = "text/plain; charset=utf-8"
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-cache")
		h.Set("ETag", tag)
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		h.Set("Content-Type", kind)
		_, _ = w.Write(data)
	})
}
