package empty

import (
	"crypto/sha256"
	"net/http"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"
	"sync"
)

// The floors do by hand, for one policy each, what requests and upstreams see of gray in the
// comparison, and nothing else: no other policy, no odd request, no failure. Nothing that decides
// in this interpreter can cost less than about that. What they share is written out in each, since
// a function for it would cost what the floors are there to leave out.

// floor returns the floor of a name, nil if there is none.
func floor(name, target string, next http.Handler) http.Handler {
	switch name {
	case "five":
		return fiveRules(next)
	case "bucket":
		return headerAndBucket(next)
	case "proxy":
		return proxy(target, next)
	}
	return nil
}

var (
	stable         = []string{"v1"}
	canary, member = []string{"v2"}, []string{"gray=v2"}
)

// fiveRules asks for a header's value, a pattern, a cookie, a network and a percentage.
func fiveRules(next http.Handler) http.Handler {
	agent, start := regexp.MustCompile(`^curl/[78]`), []byte("user-service/ramp\x00")
	start = start[:len(start):len(start)]
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := r.Header
		if h["Baggage"] != nil {
			return
		}
		for _, v := range h["X-App-Version"] {
			if v == "beta" {
				return
			}
		}
		for _, v := range h["User-Agent"] {
			if agent.MatchString(v) {
				return
			}
		}
		for _, v := range h["Cookie"] {
			if strings.Contains(v, "group=beta") {
				return
			}
		}
		if strings.HasPrefix(r.RemoteAddr, "10.") {
			return
		}
		c, _ := r.Cookie("uid")
		if c == nil {
			return
		}
		sum := sha256.Sum256(append(start, c.Value...))
		if sum[0] < 26 {
			return
		}
		delete(h, "X-Gray_version")
		delete(h, "X_gray-Version")
		delete(h, "X_gray_version")
		h["X-Gray-Version"] = stable
		next.ServeHTTP(w, r)
	})
}

// headerAndBucket asks for a header's value and a percentage.
func headerAndBucket(next http.Handler) http.Handler {
	start := []byte("user-service/ramp\x00")
	start = start[:len(start):len(start)]
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := r.Header
		if h["Baggage"] != nil {
			return
		}
		for _, v := range h["X-App-Version"] {
			if v == "beta" {
				return
			}
		}
		c, _ := r.Cookie("uid")
		if c == nil {
			return
		}
		sum := sha256.Sum256(append(start, c.Value...))
		if sum[0] < 26 {
			return
		}
		delete(h, "X-Gray_version")
		delete(h, "X_gray-Version")
		delete(h, "X_gray_version")
		h["X-Gray-Version"] = stable
		next.ServeHTTP(w, r)
	})
}

// proxy asks for a header's value, and forwards by net/http.
func proxy(target string, next http.Handler) http.Handler {
	to, err := url.Parse(target)
	if err != nil {
		panic(err)
	}
	reverse := httputil.NewSingleHostReverseProxy(to)
	reverse.Transport = &http.Transport{MaxIdleConnsPerHost: 200, DisableCompression: true}
	var pool httputil.BufferPool = &buffers{}
	reverse.BufferPool = pool
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := r.Header
		for _, v := range h["Accept-Language"] {
			if v == "en" {
				delete(h, "X-Gray_version")
				delete(h, "X_gray-Version")
				delete(h, "X_gray_version")
				h["Baggage"] = member
				h["X-Gray-Version"] = canary
				reverse.ServeHTTP(w, r)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// buffers is a pool of buffers. Without one, a request takes 32 KiB more.
type buffers struct{}

var free = sync.Pool{New: func() interface{} {
	b := make([]byte, 32<<10)
	return &b
}}

func (p *buffers) Get() []byte  { return *free.Get().(*[]byte) }
func (p *buffers) Put(b []byte) { free.Put(&b) }
