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

// secrets reads secrets that sign, one a line.
func (c *checker) secrets(path, text string) []string {
	if text == "" {
		return nil
	}
	c.unexpanded(path, text)
	if jwt.IsFile(text) {
		content, err := jwt.ReadFile(text, c.allowed)
		if err != nil {
			c.note(path, err.Error())
			return nil
		}
		text = string(content)
	}
	var keys []string
	for _, line := range strings.Split(text, "\n") {
		if line = strings.TrimRight(line, "\r"); line == "" {
			continue
		}
		if len(line) < minSecret {
			c.note(path, "needs at least 32 bytes a line (as `openssl rand -hex 32` makes them)")
			return nil
		}
		keys = append(keys, line)
	}
	if len(keys) == 0 {
		c.note(path, "is empty")
	}
	return keys
}

// isSigned reports whether an identity is the cookie that gray signs.
func isSigned(e *Engine, a *attribute) bool {
	return len(e.cookieKeys) > 0 && a.kind == fromCookie && a.key == e.cookieName
}

// signedID returns the identity in a signed cookie, "" if none of the secrets has signed it.
func signedID(e *Engine, value string) string { return signedText(e.cookieKeys, e.cookieName, value) }

// signedText returns the text in a value of the form text.signature, "" if none of the keys has
// signed it for the purpose.
func signedText(keys []string, purpose, value string) string {
	dot := strings.LastIndexByte(value, '.')
	if dot <= 0 {
		return ""
	}
	text, given := value[:dot], value[dot+1:]
	for _, key := range keys {
		if hmac.Equal([]byte(given), []byte(signature(key, purpose, text))) {
			return text
		}
	}
	return ""
}

// signature is HMAC-SHA256 (RFC 2104) of a purpose, a zero byte and a text, in unpadded base64url.
// The purpose is in it so that one cookie, whose name it is, is not taken for another's.
func signature(key, purpose, text string) string {
	mac := hmac.New(sha256.New, []byte(key))
	_, _ = mac.Write([]byte(purpose + "\x00" + text))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
