package jwt

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

const (
	minSecret  = 32    // bytes: RFC 7518 section 3.2 asks for at least the hash's size
	minRSABits = 2048  // RFC 7518 section 3.3
	maxRSABits = 16384 // the cost of a check grows with the square of this
	maxKeys    = 64    // in one set
	maxTries   = 8     // keys tried for one token
)

// key is one key of one kind.
type key struct {
	id        string // kid, "" if the key has none
	kind      string
	algorithm string // the only algorithm that this key serves; "" if its kind decides
	secret    []byte
	rsa       *rsa.PublicKey
	ec        *ecdsa.PublicKey
	ed        ed25519.PublicKey
	print     string // equal for equal keys
}

// keySet is never changed once it is in use.
type keySet struct {
	keys []*key
}

// candidates returns the keys that may have signed a token with this kid: the keys of that name, or
// else the keys without a name. A token without a kid may be signed by any key.
func candidates(set *keySet, kid string) []*key {
	if kid == "" {
		return set.keys
	}
	var named, nameless []*key
	for _, k := range set.keys {
		if k.id == kid {
			named = append(named, k)
		} else if k.id == "" {
			nameless = append(nameless, k)
		}
	}
	if len(named) > 0 {
		return named
	}
	return nameless
}

// serves reports whether k may be used with a, which the configuration allows. Without a list of
// algorithms, a key that names no algorithm serves the most common one of its kind.
func serves(k *key, a *algorithm, listed bool) bool {
	switch {
	case k.kind != a.kind:
		return false
	case k.algorithm != "":
		return k.algorithm == a.name
	case k.kind == kindSecret:
		return len(k.secret) >= a.size && (listed || a.name == "HS256")
	}
	return listed || a.name == "RS256"
}

// secretKey returns a key for HS algorithms.
func secretKey(secret []byte) (*key, error) {
	if len(secret) < minSecret {
		return nil, fmt.Errorf("at least %d bytes are needed, these are %d", minSecret, len(secret))
	}
	return finished(&key{kind: kindSecret, secret: secret}, string(secret)), nil
}

// publicKeys reads all public keys and certificates of a PEM text.
func publicKeys(text []byte) (*keySet, error) {
	set := &keySet{}
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			break
		}
		text = rest
		k, err := publicKey(block)
		if err != nil {
			return nil, fmt.Errorf("block %d: %w", len(set.keys)+1, err)
		}
		set.keys = append(set.keys, k)
		if len(set.keys) > maxKeys {
			return nil, fmt.Errorf("more than %d keys", maxKeys)
		}
	}
	if len(set.keys) == 0 {
		return nil, errors.New("no PEM block found")
	}
	if strings.TrimSpace(string(text)) != "" {
		return nil, fmt.Errorf("what follows block %d is not a PEM block", len(set.keys))
	}
	return set, nil
}

func publicKey(block *pem.Block) (*key, error) {
	switch block.Type {
	case "PUBLIC KEY":
		public, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, err
		}
		return keyOf(public, block.Bytes)
	case "RSA PUBLIC KEY":
		public, err := x509.ParsePKCS1PublicKey(block.Bytes)
		if err != nil {
			return nil, err
		}
		return keyOf(public, block.Bytes)
	case "CERTIFICATE":
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		return keyOf(certificate.PublicKey, block.Bytes)
	}
	if strings.HasSuffix(block.Type, "PRIVATE KEY") {
		return nil, errors.New("this is a private key: give the public one, as a gateway only verifies")
	}
	return nil, fmt.Errorf("%q is not a valid public key (PUBLIC KEY, RSA PUBLIC KEY or CERTIFICATE)", block.Type)
}

func keyOf(public any, print []byte) (*key, error) {
	switch p := public.(type) {
	case *rsa.PublicKey:
		return rsaKey(p, string(print))
	case *ecdsa.PublicKey:
		return ecKey(p, string(print))
	case ed25519.PublicKey:
		return finished(&key{kind: kindEd, ed: p, algorithm: "EdDSA"}, string(print)), nil
	}
	return nil, fmt.Errorf("keys of type %T are not supported (RSA, P-256, P-384, P-521 and Ed25519 are)", public)
}

func rsaKey(p *rsa.PublicKey, print string) (*key, error) {
	bits := p.N.BitLen()
	if bits < minRSABits || bits > maxRSABits {
		return nil, fmt.Errorf("an RSA key has %d to %d bits, this has %d", minRSABits, maxRSABits, bits)
	}
	if p.E < 3 || p.E%2 == 0 {
		return nil, errors.New("the RSA exponent is not usable")
	}
	return finished(&key{kind: kindRSA, rsa: p}, print), nil
}

func ecKey(p *ecdsa.PublicKey, print string) (*key, error) {
	name := ""
	switch p.Curve {
	case elliptic.P256():
		name = "ES256"
	case elliptic.P384():
		name = "ES384"
	case elliptic.P521():
		name = "ES512"
	default:
		return nil, errors.New("this elliptic curve is not supported (P-256, P-384 and P-521 are)")
	}
	if _, err := p.ECDH(); err != nil {
		return nil, errors.New("the point is not on its curve")
	}
	return finished(&key{kind: kindEC, ec: p, algorithm: name}, print), nil
}

func finished(k *key, print string) *key {
	k.print = k.kind + "\x00" + k.algorithm + "\x00" + k.id + "\x00" + print
	return k
}

// webKey has the fields of a JSON Web Key (RFC 7517) that verification needs.
type webKey struct {
	Kty    string   `json:"kty"`
	Kid    string   `json:"kid"`
	Use    string   `json:"use"`
	KeyOps []string `json:"key_ops"`
	Alg    string   `json:"alg"`
	Crv    string   `json:"crv"`
	K      string   `json:"k"`
	N      string   `json:"n"`
	E      string   `json:"e"`
	X      string   `json:"x"`
	Y      string   `json:"y"`
}

// webKeys reads a JSON Web Key Set. It skips keys that are not supported or not for verifying, as
// RFC 7517 section 5 asks. It is an error if no key is left. Secrets are accepted only if secrets
// is true, so not from a URL.
func webKeys(text []byte, secrets bool) (*keySet, error) {
	var document struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &document); err != nil {
		return nil, fmt.Errorf("not a JSON Web Key Set: %s", notOfType(err))
	}
	if len(document.Keys) > maxKeys {
		return nil, fmt.Errorf("more than %d keys", maxKeys)
	}
	set := &keySet{}
	var last error
	for _, raw := range document.Keys {
		k, err := webKeyOf(raw, secrets)
		if err != nil {
			last = err
			continue
		}
		set.keys = append(set.keys, k)
	}
	if len(set.keys) == 0 {
		if last == nil {
			return nil, errors.New("the key set has no keys")
		}
		return nil, fmt.Errorf("the key set has no usable key: %w", last)
	}
	return set, nil
}

func webKeyOf(raw []byte, secrets bool) (*key, error) {
	var w webKey
	if err := json.Unmarshal(raw, &w); err != nil {
		return nil, errors.New(notOfType(err))
	}
	if w.Use != "" && w.Use != "sig" {
		return nil, fmt.Errorf("key %q is not for signatures", w.Kid)
	}
	if len(w.KeyOps) > 0 && !setOf(w.KeyOps)["verify"] {
		return nil, fmt.Errorf("key %q is not for verifying", w.Kid)
	}
	k, err := materialOf(&w, secrets)
	if err != nil {
		return nil, fmt.Errorf("key %q: %w", w.Kid, err)
	}
	return bound(k, &w)
}

// notOfType is the error of a JSON text that is not of a type, in words of JSON and not of Go.
func notOfType(err error) string {
	wrong, ok := err.(*json.UnmarshalTypeError)
	if !ok {
		return err.Error()
	}
	if wrong.Field == "" {
		return "it cannot be of type " + wrong.Value
	}
	return strconv.Quote(wrong.Field) + " cannot be of type " + wrong.Value
}

// bound gives a key the name and the algorithm of its set.
func bound(k *key, w *webKey) (*key, error) {
	if w.Alg != "" {
		a := algorithms[w.Alg]
		if a == nil || a.kind != k.kind || (k.algorithm != "" && k.algorithm != w.Alg) {
			return nil, fmt.Errorf("key %q: algorithm %q does not fit", w.Kid, w.Alg)
		}
		if k.kind == kindSecret && len(k.secret) < a.size {
			return nil, fmt.Errorf("key %q: %s needs at least %d bytes", w.Kid, w.Alg, a.size)
		}
		k.algorithm = w.Alg
	}
	k.id = w.Kid
	return finished(k, k.print), nil
}

func materialOf(w *webKey, secrets bool) (*key, error) {
	switch w.Kty {
	case "oct":
		if !secrets {
			return nil, errors.New("secrets are not taken from a URL")
		}
		secret, err := field(w.K, "k")
		if err != nil {
			return nil, err
		}
		return secretKey(secret)
	case "RSA":
		return rsaOf(w)
	case "EC":
		return ecOf(w)
	case "OKP":
		return edOf(w)
	}
	return nil, fmt.Errorf("key type %q is not supported", w.Kty)
}

func rsaOf(w *webKey) (*key, error) {
	n, err := field(w.N, "n")
	if err != nil {
		return nil, err
	}
	e, err := field(w.E, "e")
	if err != nil {
		return nil, err
	}
	exponent := new(big.Int).SetBytes(e)
	if exponent.BitLen() > 31 {
		return nil, errors.New("the RSA exponent is not usable")
	}
	public := &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(exponent.Int64())}
	return rsaKey(public, w.N+"."+w.E)
}

func ecOf(w *webKey) (*key, error) {
	curves := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}
	curve := curves[w.Crv]
	if curve == nil {
		return nil, fmt.Errorf("curve %q is not supported", w.Crv)
	}
	x, err := field(w.X, "x")
	if err != nil {
		return nil, err
	}
	y, err := field(w.Y, "y")
	if err != nil {
		return nil, err
	}
	// Yaegi has no ecdsa.ParseUncompressedPublicKey; ecKey checks that the point is on the curve.
	//nolint:staticcheck // for the reason above
	public := &ecdsa.PublicKey{Curve: curve, X: new(big.Int).SetBytes(x), Y: new(big.Int).SetBytes(y)}
	return ecKey(public, w.X+"."+w.Y)
}

func edOf(w *webKey) (*key, error) {
	if w.Crv != "Ed25519" {
		return nil, fmt.Errorf("curve %q is not supported", w.Crv)
	}
	x, err := field(w.X, "x")
	if err != nil {
		return nil, err
	}
	if len(x) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("an Ed25519 key has %d bytes, this has %d", ed25519.PublicKeySize, len(x))
	}
	return finished(&key{kind: kindEd, ed: ed25519.PublicKey(x), algorithm: "EdDSA"}, w.X), nil
}

func field(text, name string) ([]byte, error) {
	if text == "" {
		return nil, fmt.Errorf("%q is missing", name)
	}
	value, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil {
		return nil, fmt.Errorf("%q is not base64url", name)
	}
	return value, nil
}
