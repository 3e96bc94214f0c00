package jwt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/grayrelease/gray/core/allow"
	"github.com/grayrelease/gray/core/plain"
)

// A fetched set is fresh for as long as its server says in Cache-Control, within these bounds.
const (
	fetchTimeout    = 5 * time.Second // for one document, body included
	minFresh        = time.Minute
	maxFresh        = time.Hour
	usualFresh      = 10 * time.Minute
	maxRedirects    = 3
	discoveryPath   = "/.well-known/openid-configuration"
	maxReplyHeaders = 64 << 10
)

// asking says how servers may be asked.
type asking struct {
	plaintext bool // by http:// too
	allowed   *allow.List
}

// fetching returns a function that loads a key set from a URL of the configuration.
func fetching(address string, as asking) func(context.Context) (*keySet, time.Duration, error) {
	return func(ctx context.Context) (*keySet, time.Duration, error) {
		return fetchKeys(ctx, address, as)
	}
}

// discovering returns a function that loads the keys of an OpenID Connect issuer.
func discovering(issuer string, as asking) func(context.Context) (*keySet, time.Duration, error) {
	return func(ctx context.Context) (*keySet, time.Duration, error) {
		address, err := discover(ctx, issuer, as)
		if err != nil {
			return nil, 0, err
		}
		return fetchKeys(ctx, address, as)
	}
}

func fetchKeys(ctx context.Context, address string, as asking) (*keySet, time.Duration, error) {
	text, header, err := fetch(ctx, address, as)
	if err != nil {
		return nil, 0, err
	}
	set, err := webKeys(text, false)
	if err != nil && as.allowed != nil {
		err = errors.New("not a usable JSON Web Key Set") // no more of an answer that it may not see
	}
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", redacted(address), err)
	}
	return set, freshness(header), nil
}

// discover returns the URL of an issuer's keys (OpenID Connect Discovery 1.0, section 4).
func discover(ctx context.Context, issuer string, as asking) (string, error) {
	text, _, err := fetch(ctx, strings.TrimSuffix(issuer, "/")+discoveryPath, as)
	if err != nil {
		return "", err
	}
	var document struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(text, &document); err != nil {
		return "", fmt.Errorf("discovery document of %s is not the JSON of one", issuer)
	}
	if document.Issuer != issuer {
		return "", fmt.Errorf("discovery document of %s is of another issuer", issuer)
	}
	if problems := checkURL("jwks_uri", document.JWKSURI, as.plaintext); len(problems) > 0 {
		return "", fmt.Errorf("discovery document of %s: jwks_uri: %s", issuer, problems[0].Message)
	}
	if err := allowedURL(as.allowed, document.JWKSURI); err != nil {
		return "", fmt.Errorf("discovery document of %s: jwks_uri: %w", issuer, err)
	}
	return document.JWKSURI, nil
}

func fetch(ctx context.Context, address string, as asking) ([]byte, http.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, nil, errors.New("not a URL")
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "gray")
	response, err := client(as).Do(request)
	if err != nil {
		return nil, nil, unasked(err, address, as)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("%s: status %d", redacted(address), response.StatusCode)
	}
	text, err := readBounded(response.Body)
	if err == nil {
		text, err = plain.Text(text)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", redacted(address), err)
	}
	return text, response.Header, nil
}

// unasked is the error for a server without an answer. Of one that a document names, it shows
// neither what was answered nor where that led.
func unasked(err error, address string, as asking) error {
	var wrapped *url.Error
	if as.allowed == nil || !errors.As(err, &wrapped) {
		return err
	}
	return fmt.Errorf("%s: %w", redacted(address), as.allowed.Hide(wrapped.Err))
}

// client returns a client that keeps no connection open between fetches, which are minutes apart.
func client(as asking) *http.Client {
	transport := &http.Transport{
		DisableKeepAlives:      true,
		ForceAttemptHTTP2:      true,
		MaxResponseHeaderBytes: maxReplyHeaders,
	}
	as.allowed.Guard(transport, &net.Dialer{Timeout: fetchTimeout})
	return &http.Client{
		Transport: transport,
		CheckRedirect: func(next *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects {
				return fmt.Errorf("more than %d redirects", maxRedirects)
			}
			if next.URL.Scheme != "https" && !as.plaintext {
				return errors.New("redirected away from https")
			}
			return nil
		},
	}
}

// allowedURL returns why the host of a URL may not be asked, nil if it may.
func allowedURL(allowed *allow.List, address string) error {
	u, err := url.Parse(address)
	if err != nil {
		return errors.New("not a URL")
	}
	return allowed.Host(u.Host)
}

func redacted(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "the URL"
	}
	return u.Redacted()
}

func freshness(header http.Header) time.Duration {
	for _, directive := range strings.Split(header.Get("Cache-Control"), ",") {
		seconds, found := strings.CutPrefix(strings.ToLower(strings.TrimSpace(directive)), "max-age=")
		if !found {
			continue
		}
		n, err := strconv.Atoi(seconds)
		switch {
		case err != nil:
			return usualFresh
		case n < int(minFresh/time.Second):
			return minFresh
		case n > int(maxFresh/time.Second):
			return maxFresh
		}
		return time.Duration(n) * time.Second
	}
	return usualFresh
}
