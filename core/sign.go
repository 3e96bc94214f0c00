package core

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"github.com/grayrelease/gray/core/jwt"
)

// minSecret is what RFC 2104, section 3 asks of the key of an HMAC with SHA-256, in bytes.
const minSecret = 32

// cookieSecret reads the secrets that sign the cookie.
func (c *checker) cookieSecret(text string) {
	if text == "" {
		return
	}
	if jwt.IsFile(text) {
		content, err := jwt.ReadFile(text, c.allowed)
		if err != nil {
			c.note("cookie.secret", err.Error())
			return
		}
		text = string(content)
	}
	for _, line := range strings.Split(text, "\n") {
		if line = strings.TrimRight(line, "\r"); line == "" {
			continue
		}
		if len(line) < minSecret {
			c.note("cookie.secret", "needs at least 32 bytes a line (as `openssl rand -hex 32` makes them)")
			return
		}
		c.engine.cookieKeys = append(c.engine.cookieKeys, line)
	}
	if len(c.engine.cookieKeys) == 0 {
		c.note("cookie.secret", "is empty")
	}
}

// isSigned reports whether an identity is the cookie that gray signs.
func isSigned(e *Engine, a *attribute) bool {
	return len(e.cookieKeys) > 0 && a.kind == fromCookie && a.key == e.cookieName
}

// signedID returns the identity in a signed cookie, "" if none of the secrets has signed it. The
// form is identity.signature.
func signedID(e *Engine, value string) string {
	dot := strings.LastIndexByte(value, '.')
	if dot <= 0 {
		return ""
	}
	id, given := value[:dot], value[dot+1:]
	for _, key := range e.cookieKeys {
		if hmac.Equal([]byte(given), []byte(signature(key, e.cookieName, id))) {
			return id
		}
	}
	return ""
}

// signature is HMAC-SHA256 (RFC 2104) of the cookie's name, a zero byte and the identity, in
// unpadded base64url. The name is in it so that one cookie is not taken for another's.
func signature(key, name, id string) string {
	mac := hmac.New(sha256.New, []byte(key))
	_, _ = mac.Write([]byte(name + "\x00" + id))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
