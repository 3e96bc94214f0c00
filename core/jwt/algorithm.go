package jwt

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"math/big"
)

// Kinds of keys; each algorithm belongs to exactly one, so a key can never be used as another kind.
const (
	kindSecret = "secret"
	kindRSA    = "RSA"
	kindEC     = "EC"
	kindEd     = "Ed25519"
)

// algorithm is one row of RFC 7518 section 3.1, or EdDSA of RFC 8037.
type algorithm struct {
	name string
	kind string
	pss  bool
	hash crypto.Hash
	size int // bytes of the hash; for EC of one coordinate
}

var algorithms = map[string]*algorithm{
	"HS256": {name: "HS256", kind: kindSecret, hash: crypto.SHA256, size: 32},
	"HS384": {name: "HS384", kind: kindSecret, hash: crypto.SHA384, size: 48},
	"HS512": {name: "HS512", kind: kindSecret, hash: crypto.SHA512, size: 64},
	"RS256": {name: "RS256", kind: kindRSA, hash: crypto.SHA256, size: 32},
	"RS384": {name: "RS384", kind: kindRSA, hash: crypto.SHA384, size: 48},
	"RS512": {name: "RS512", kind: kindRSA, hash: crypto.SHA512, size: 64},
	"PS256": {name: "PS256", kind: kindRSA, pss: true, hash: crypto.SHA256, size: 32},
	"PS384": {name: "PS384", kind: kindRSA, pss: true, hash: crypto.SHA384, size: 48},
	"PS512": {name: "PS512", kind: kindRSA, pss: true, hash: crypto.SHA512, size: 64},
	"ES256": {name: "ES256", kind: kindEC, hash: crypto.SHA256, size: 32},
	"ES384": {name: "ES384", kind: kindEC, hash: crypto.SHA384, size: 48},
	"ES512": {name: "ES512", kind: kindEC, hash: crypto.SHA512, size: 66},
	"EdDSA": {name: "EdDSA", kind: kindEd},
}

// algorithmNames is the order in which messages list the algorithms.
var algorithmNames = []string{
	"HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
}

// isSigned reports whether signature is k's signature of input. The caller ensures that k is of the
// algorithm's kind.
func isSigned(a *algorithm, k *key, input, signature []byte) bool {
	switch a.kind {
	case kindSecret:
		return isAuthenticated(a, k.secret, input, signature)
	case kindRSA:
		return isSignedRSA(a, k.rsa, input, signature)
	case kindEC:
		return isSignedEC(a, k.ec, input, signature)
	case kindEd:
		return ed25519.Verify(k.ed, input, signature)
	}
	return false
}

func isAuthenticated(a *algorithm, secret, input, signature []byte) bool {
	h := sha256.New
	if a.hash == crypto.SHA384 {
		h = sha512.New384
	} else if a.hash == crypto.SHA512 {
		h = sha512.New
	}
	mac := hmac.New(h, secret)
	mac.Write(input)
	return hmac.Equal(mac.Sum(nil), signature)
}

func isSignedRSA(a *algorithm, k *rsa.PublicKey, input, signature []byte) bool {
	if a.pss {
		// RFC 7518 section 3.5: the salt is as long as the hash.
		options := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}
		return rsa.VerifyPSS(k, a.hash, digest(a, input), signature, options) == nil
	}
	return rsa.VerifyPKCS1v15(k, a.hash, digest(a, input), signature) == nil
}

func isSignedEC(a *algorithm, k *ecdsa.PublicKey, input, signature []byte) bool {
	if len(signature) != 2*a.size {
		return false
	}
	r := new(big.Int).SetBytes(signature[:a.size])
	s := new(big.Int).SetBytes(signature[a.size:])
	return ecdsa.Verify(k, digest(a, input), r, s)
}

func digest(a *algorithm, input []byte) []byte {
	switch a.hash {
	case crypto.SHA256:
		sum := sha256.Sum256(input)
		return sum[:]
	case crypto.SHA384:
		sum := sha512.Sum384(input)
		return sum[:]
	}
	sum := sha512.Sum512(input)
	return sum[:]
}
