package jwt

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/grayrelease/gray/core/allow"
	"github.com/grayrelease/gray/core/plain"
)

const (
	maxDocument = 256 << 10        // bytes of a key file, a key set or a discovery document
	lookEvery   = 10 * time.Second // how often files are read again
)

// setKeys gives v the keys of its configuration, or the source that loads them.
func setKeys(v *Verifier, cfg *Config, allowed *allow.List) error {
	asking := asking{cfg.Plaintext, allowed}
	mark := plaintextMark(cfg) + allowed.Key()
	switch {
	case v.unverified:
		return nil
	case isFile(cfg.Secret):
		return setFile(v, "secret", cfg.Secret, secretReader(cfg.Algorithms))
	case isFile(cfg.Key):
		return setFile(v, "key", cfg.Key, publicKeys)
	case isFile(cfg.JWKS):
		return setFile(v, "jwks", cfg.JWKS, privateWebKeys)
	case cfg.OIDC != "":
		v.source = sourceFor("oidc "+cfg.OIDC+mark, discovering(cfg.OIDC, asking))
		return nil
	case cfg.JWKS != "" && !isInline(cfg.JWKS):
		v.source = sourceFor("jwks "+cfg.JWKS+mark, fetching(cfg.JWKS, asking))
		return nil
	}
	var err error
	v.fixed, err = inlineKeys(cfg)
	return err
}

// plaintextMark separates the sources that may follow a redirect to http:// from those that may
// not.
func plaintextMark(cfg *Config) string {
	if cfg.Plaintext {
		return " plaintext"
	}
	return ""
}

func inlineKeys(cfg *Config) (*keySet, error) {
	switch {
	case cfg.Secret != "":
		return secretsOf([]byte(cfg.Secret), cfg.Algorithms)
	case cfg.Key != "":
		return publicKeys([]byte(cfg.Key))
	}
	return privateWebKeys([]byte(cfg.JWKS))
}

func privateWebKeys(text []byte) (*keySet, error) { return webKeys(text, true) }

// secretReader returns a function that reads a secret's file. It ignores the line break that
// editors and echo put at the end.
func secretReader(names []string) func([]byte) (*keySet, error) {
	return func(text []byte) (*keySet, error) {
		return secretsOf([]byte(strings.TrimRight(string(text), "\r\n")), names)
	}
}

func secretsOf(secret []byte, names []string) (*keySet, error) {
	for _, name := range names {
		if a := algorithms[name]; a != nil && a.kind == kindSecret && len(secret) < a.size {
			return nil, fmt.Errorf("%s needs at least %d bytes, these are %d", name, a.size, len(secret))
		}
	}
	k, err := secretKey(secret)
	if err != nil {
		return nil, err
	}
	return &keySet{keys: []*key{k}}, nil
}

// setFile reads a file once, so that a configuration with an unusable file is refused. Its source
// looks for changes later.
func setFile(v *Verifier, field, text string, parse func([]byte) (*keySet, error)) error {
	path, err := filePath(text)
	if err != nil {
		return err
	}
	set, err := readKeys(path, parse)
	if err != nil {
		return fmt.Errorf("%s: %w", field, err)
	}
	load := func(context.Context) (*keySet, time.Duration, error) {
		set, err := readKeys(path, parse)
		return set, lookEvery, err
	}
	v.source = sourceFor(fileName(field, path, v), load)
	install(v.source, set)
	return nil
}

// fileName returns the name of a file's source. A secret's has the algorithms in it, as they decide
// how long the secret must be.
func fileName(field, path string, v *Verifier) string {
	name := field + " " + path
	if field == "secret" {
		for _, a := range algorithmNames {
			if v.algorithms[a] {
				name += " " + a
			}
		}
	}
	return name
}

// ReadFile reads the file of a text that is written as the files of Config are, file:///path. It
// may be 256 KiB long.
func ReadFile(text string, allowed *allow.List) ([]byte, error) {
	path, err := filePath(text)
	if err == nil {
		err = allowed.File(path)
	}
	if err != nil {
		return nil, err
	}
	return readFile(path)
}

// IsFile reports whether a text names a file: whether ReadFile is for it.
func IsFile(text string) bool { return isFile(text) }

func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := readBounded(file)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if text, err = plain.Key(text); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return text, nil
}

func readKeys(path string, parse func([]byte) (*keySet, error)) (*keySet, error) {
	text, err := readFile(path)
	if err != nil {
		return nil, err
	}
	set, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return set, nil
}

func readBounded(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxDocument+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxDocument {
		return nil, fmt.Errorf("longer than %d bytes", maxDocument)
	}
	return text, nil
}
