package jwt

import (
	"encoding/base64"
	"strings"
)

const (
	maxToken  = 16384 // bytes of a token; longer ones exceed the header limits of common servers
	maxHeader = 8192  // bytes of its first part, which is read before it is verified
)

// strict refuses other spellings of the same bytes. It ignores line breaks, so open refuses those.
var strict = base64.RawURLEncoding.Strict()

// header has the relevant fields of a token's first part. All others are ignored, above all keys
// and addresses of keys (jwk, jku, x5u, x5c).
type header struct {
	algorithm *algorithm
	kid       string
}

// open verifies a compact token and returns its header, its payload and the key that signed it.
func open(v *Verifier, token string) (*header, []byte, *key, Reason) {
	if len(token) > maxToken {
		return nil, nil, nil, Oversized
	}
	first := strings.IndexByte(token, '.')
	last := strings.LastIndexByte(token, '.')
	if first < 0 || first == last || strings.IndexByte(token[first+1:last], '.') >= 0 {
		return nil, nil, nil, Malformed
	}
	if strings.IndexByte(token, '\n') >= 0 || strings.IndexByte(token, '\r') >= 0 {
		return nil, nil, nil, Malformed
	}
	h, reason := headerOf(v, token[:first])
	if reason != "" {
		return nil, nil, nil, reason
	}
	payload, err := strict.DecodeString(token[first+1 : last])
	if err != nil {
		return nil, nil, nil, Malformed
	}
	signature, err := strict.DecodeString(token[last+1:])
	if err != nil {
		return nil, nil, nil, Malformed
	}
	if v.unverified {
		return h, payload, nil, Unverified
	}
	by, reason := signer(v, h, []byte(token[:last]), signature)
	return h, payload, by, reason
}

// headerOf reads a token's first part. It is often remembered, as all tokens of one key begin
// alike.
func headerOf(v *Verifier, text string) (*header, Reason) {
	v.lock.RLock()
	h := v.memory.headers[text]
	v.lock.RUnlock()
	if h != nil {
		return h, ""
	}
	if len(text) > maxHeader {
		return nil, Oversized
	}
	raw, err := strict.DecodeString(text)
	if err != nil {
		return nil, Malformed
	}
	h, reason := readHeader(raw)
	if reason == "" && len(v.algorithms) > 0 && !v.algorithms[h.algorithm.name] {
		return nil, Algorithm
	}
	return h, reason
}

func readHeader(raw []byte) (*header, Reason) {
	fields, ok := object(raw)
	if !ok {
		return nil, Malformed
	}
	if _, found := fields["crit"]; found {
		return nil, Critical
	}
	name, isText := fields["alg"].(string)
	if !isText {
		return nil, Malformed
	}
	kid, given := fields["kid"]
	id, isText := kid.(string)
	if given && !isText {
		return nil, Malformed
	}
	if !isSurelyUnique(raw, countNames(fields, 1)) {
		return nil, Malformed
	}
	a := algorithms[name]
	if a == nil {
		return nil, Algorithm
	}
	return &header{algorithm: a, kid: id}, ""
}

// signer returns the key that made the signature.
func signer(v *Verifier, h *header, input, signature []byte) (*key, Reason) {
	set := keysOf(v)
	if set == nil {
		return nil, Keyless
	}
	tries := 0
	for _, k := range candidates(set, h.kid) {
		if !serves(k, h.algorithm, len(v.algorithms) > 0) {
			continue
		}
		if isSigned(h.algorithm, k, input, signature) {
			return k, Verified
		}
		if tries++; tries == maxTries {
			break
		}
	}
	if tries > 0 {
		return nil, Signature
	}
	if v.source != nil {
		ask(v.source)
	}
	return nil, Key
}
