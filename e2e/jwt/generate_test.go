package jwt

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "sign the cases anew")

const (
	tokens = "../../testdata/tokens"
	secret = "this secret of the tests has just enough bytes for HS512: 64 of."

	past   = 1_000_000_000 // 2001
	future = 4_102_444_800 // 2100
)

type (
	file struct {
		About  string  `json:"about"`
		Groups []group `json:"groups"`
	}
	group struct {
		Name  string         `json:"name"`
		JWT   map[string]any `json:"jwt"`
		Cases []tokenCase    `json:"cases"`
	}
	tokenCase struct {
		Name    string              `json:"name"`
		Token   string              `json:"token"`
		Time    int64               `json:"time,omitempty"`
		Reason  string              `json:"reason,omitempty"`
		Claims  map[string][]string `json:"claims,omitempty"`
		Judge   string              `json:"judge,omitempty"`
		Because string              `json:"because,omitempty"`
	}
)

func privateKey(t testing.TB, name string) crypto.Signer {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(tokens, "keys", name+".pem"))
	require.NoError(t, err)
	block, _ := pem.Decode(text)
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	require.NoError(t, err)
	return k.(crypto.Signer)
}

func publicPEM(t testing.TB, name string) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(privateKey(t, name).Public())
	require.NoError(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// webKey writes the public half of a key as a JSON Web Key.
func webKey(t testing.TB, name, kid string, more map[string]any) map[string]any {
	t.Helper()
	k := map[string]any{"kid": kid}
	switch p := privateKey(t, name).Public().(type) {
	case *rsa.PublicKey:
		k["kty"], k["n"], k["e"] = "RSA", encode(p.N.Bytes()), "AQAB"
	case *ecdsa.PublicKey:
		size := (p.Curve.Params().BitSize + 7) / 8
		k["kty"], k["crv"] = "EC", p.Curve.Params().Name
		k["x"], k["y"] = encode(p.X.FillBytes(make([]byte, size))), encode(p.Y.FillBytes(make([]byte, size)))
	case ed25519.PublicKey:
		k["kty"], k["crv"], k["x"] = "OKP", "Ed25519", encode(p)
	}
	for field, value := range more {
		k[field] = value
	}
	return k
}

func keySet(t testing.TB, keys ...map[string]any) string {
	t.Helper()
	text, err := json.Marshal(map[string]any{"keys": keys})
	require.NoError(t, err)
	return string(text)
}

var hashes = map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}

// signature makes what a correct issuer would, for any algorithm with any key that can.
func signature(t testing.TB, algorithm string, key any, input string) []byte {
	t.Helper()
	if algorithm == "EdDSA" {
		return ed25519.Sign(key.(ed25519.PrivateKey), []byte(input))
	}
	hash := hashes[algorithm[2:]]
	if algorithm[:2] == "HS" {
		mac := hmac.New(hash.New, key.([]byte))
		mac.Write([]byte(input))
		return mac.Sum(nil)
	}
	h := hash.New()
	h.Write([]byte(input))
	digest := h.Sum(nil)
	var sum []byte
	var err error
	switch algorithm[:2] {
	case "RS":
		sum, err = rsa.SignPKCS1v15(rand.Reader, key.(*rsa.PrivateKey), hash, digest)
	case "PS":
		sum, err = rsa.SignPSS(rand.Reader, key.(*rsa.PrivateKey), hash, digest,
			&rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	case "ES":
		k := key.(*ecdsa.PrivateKey)
		r, s, failure := ecdsa.Sign(rand.Reader, k, digest)
		size := (k.Curve.Params().BitSize + 7) / 8
		sum, err = append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...), failure
	}
	require.NoError(t, err)
	return sum
}

// sign makes a token of two JSON texts.
func sign(t testing.TB, algorithm string, key any, header, payload string) string {
	t.Helper()
	input := encode([]byte(header)) + "." + encode([]byte(payload))
	return input + "." + encode(signature(t, algorithm, key, input))
}

func hs(t testing.TB, payload string) string {
	return sign(t, "HS256", []byte(secret), `{"alg":"HS256"}`, payload)
}

// TestCasesAreCurrent compares the shared cases with their description below. Signatures differ
// from run to run; everything else must be the same.
func TestCasesAreCurrent(t *testing.T) {
	path := filepath.Join(tokens, "cases.json")
	made := file{About: "What becomes of a token under a policy's jwt object; README.md says what the fields mean.",
		Groups: groups(t)}
	if *update {
		text, err := json.MarshalIndent(made, "", " ")
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, append(text, '\n'), 0o644))
	}
	kept := readCases(t)
	require.Len(t, kept.Groups, len(made.Groups))
	for i := range made.Groups {
		require.Len(t, kept.Groups[i].Cases, len(made.Groups[i].Cases))
		for j, c := range made.Groups[i].Cases {
			c.Token = kept.Groups[i].Cases[j].Token
			require.Equal(t, kept.Groups[i].Cases[j], c)
		}
	}
}

func readCases(t testing.TB) file {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(tokens, "cases.json"))
	require.NoError(t, err)
	var f file
	require.NoError(t, json.Unmarshal(text, &f))
	return f
}

func groups(t testing.TB) []group {
	return []group{
		algorithmsGroup(t), confusionGroup(t), pemGroup(t), namedKeysGroup(t), listedGroup(t),
		formGroup(t), datesGroup(t), leewayGroup(t), partiesGroup(t), claimsGroup(t), unverifiedGroup(t),
	}
}

const ok = `{"sub":"u-1"}`

var believed = map[string][]string{"sub": {"u-1"}}

// all is a set with one key of each kind, each named after itself.
func all(t testing.TB) string {
	return keySet(t,
		map[string]any{"kty": "oct", "kid": "hs", "k": encode([]byte(secret))},
		webKey(t, "rsa", "rsa", nil), webKey(t, "p256", "p256", nil), webKey(t, "p384", "p384", nil),
		webKey(t, "p521", "p521", nil), webKey(t, "ed25519", "ed", nil))
}

var everyAlgorithm = []string{
	"HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
}

// keyFor returns the signing key of an algorithm and its name in the set of all.
func keyFor(t testing.TB, algorithm string) (any, string) {
	switch algorithm[:2] {
	case "HS":
		return []byte(secret), "hs"
	case "RS", "PS":
		return privateKey(t, "rsa"), "rsa"
	case "Ed":
		return privateKey(t, "ed25519"), "ed"
	}
	name := map[string]string{"ES256": "p256", "ES384": "p384", "ES512": "p521"}[algorithm]
	return privateKey(t, name), name
}

func algorithmsGroup(t testing.TB) group {
	g := group{Name: "every algorithm", JWT: map[string]any{"jwks": all(t), "algorithms": everyAlgorithm}}
	for _, a := range everyAlgorithm {
		key, kid := keyFor(t, a)
		good := sign(t, a, key, fmt.Sprintf(`{"alg":%q,"kid":%q}`, a, kid), ok)
		nameless := sign(t, a, key, fmt.Sprintf(`{"alg":%q}`, a), ok)
		input := good[:strings.LastIndexByte(good, '.')]
		sum, _ := base64.RawURLEncoding.DecodeString(good[len(input)+1:])
		flipped := append([]byte{}, sum...)
		flipped[len(flipped)/2] ^= 0x40
		g.Cases = append(g.Cases,
			tokenCase{Name: a, Token: good, Claims: believed},
			tokenCase{Name: a + " without kid", Token: nameless, Claims: believed},
			tokenCase{Name: a + " with another payload",
				Token: strings.Split(good, ".")[0] + "." + encode([]byte(`{"sub":"root"}`)) + "." + strings.Split(good,
					".")[2], Reason: "signature"},
			tokenCase{Name: a + " with one bit changed", Token: input + "." + encode(flipped), Reason: "signature"},
			tokenCase{Name: a + " cut short", Token: input + "." + encode(sum[:len(sum)-1]), Reason: "signature"},
			tokenCase{Name: a + " with a byte more", Token: input + "." + encode(append(append([]byte{}, sum...), 0)),
				Reason: "signature"},
			tokenCase{Name: a + " with zeros", Token: input + "." + encode(make([]byte, len(sum))), Reason: "signature"},
			tokenCase{Name: a + " without a signature", Token: input + ".", Reason: "signature"},
		)
	}
	for a, other := range map[string]string{"ES256": "ES384"} {
		key, kid := keyFor(t, a)
		g.Cases = append(g.Cases, tokenCase{Name: other + " with the key of " + a, Reason: "key",
			Token: sign(t, other, key, fmt.Sprintf(`{"alg":%q,"kid":%q}`, other, kid), ok)})
	}
	return g
}

// confusionGroup holds attacks on a verifier that has an RSA key.
func confusionGroup(t testing.TB) group {
	key := privateKey(t, "rsa")
	stranger := privateKey(t, "rsa-other")
	public := []byte(publicPEM(t, "rsa"))
	g := group{Name: "one RSA key", JWT: map[string]any{"key": string(public)}}
	rs := func(header string, k any) string { return sign(t, "RS256", k, header, ok) }
	withKey, err := json.Marshal(map[string]any{"alg": "RS256", "jwk": webKey(t, "rsa-other", "x", nil)})
	require.NoError(t, err)
	add := func(name, token, reason string) *tokenCase {
		c := tokenCase{Name: name, Token: token, Reason: reason}
		if reason == "" {
			c.Claims = believed
		}
		g.Cases = append(g.Cases, c)
		return &g.Cases[len(g.Cases)-1]
	}
	add("RS256", rs(`{"alg":"RS256"}`, key), "")
	add("RS256 by a stranger", rs(`{"alg":"RS256"}`, stranger), "signature")
	for _, none := range []string{"none", "None", "NONE", "nOnE", ""} {
		input := encode([]byte(fmt.Sprintf(`{"alg":%q}`, none))) + "." + encode([]byte(ok)) + "."
		add(fmt.Sprintf("algorithm %q without a signature", none), input, "algorithm")
		add(fmt.Sprintf("algorithm %q with a signature", none), input+encode([]byte("x")), "algorithm")
	}
	add("HS256 with the public key as the secret", sign(t, "HS256", public, `{"alg":"HS256"}`, ok), "key")
	add("HS256 with an empty secret", sign(t, "HS256", []byte{}, `{"alg":"HS256"}`, ok), "key")
	add("PS256 by the right key, which serves RS256", sign(t, "PS256", key, `{"alg":"PS256"}`, ok), "key")
	add("RS256 that says RS512", rs(`{"alg":"RS512"}`, key), "key")
	add("small letters", rs(`{"alg":"rs256"}`, key), "algorithm")
	add("name of the algorithm in other letters", rs(`{"ALG":"RS256"}`, key), "malformed")
	add("algorithm that is a number", rs(`{"alg":256}`, key), "malformed")
	add("algorithm that is a list", rs(`{"alg":["RS256"]}`, key), "malformed")
	add("no algorithm", rs(`{"typ":"JWT"}`, key), "malformed")
	add("embedded key of a stranger", rs(string(withKey), stranger), "signature")
	add("address of a key set of a stranger", rs(`{"alg":"RS256","jku":"http://127.0.0.1:1/jwks"}`, stranger), "signature")
	add("address of a certificate of a stranger",
		rs(`{"alg":"RS256","x5u":"http://127.0.0.1:1/cert"}`, stranger), "signature")
	add("embedded certificate that is none", rs(`{"alg":"RS256","x5c":["MIIB"]}`, stranger), "signature")
	add("jku beside a good signature", rs(`{"alg":"RS256","jku":"http://127.0.0.1:1/jwks"}`, key), "")
	add("kid with a path", rs(`{"alg":"RS256","kid":"../../../../dev/null"}`, key), "")
	add("kid with SQL", rs(`{"alg":"RS256","kid":"x' UNION SELECT 'secret';--"}`, stranger), "signature")
	add("kid that is a number", rs(`{"alg":"RS256","kid":1}`, key), "malformed").differs("accepts",
		"a kid is a string (RFC 7515 4.1.4); golang-jwt leaves it to its caller")
	c := add("crit with an extension", rs(`{"alg":"RS256","crit":["exp"],"exp":1}`, key), "critical")
	c.differs("accepts", "golang-jwt does not read crit, which RFC 7515 4.1.11 requires")
	add("crit that is empty", rs(`{"alg":"RS256","crit":[]}`, key), "critical").differs("accepts",
		"golang-jwt does not read crit")
	add("b64 false", rs(`{"alg":"RS256","b64":false,"crit":["b64"]}`, key), "critical").differs("accepts",
		"golang-jwt does not read crit")
	add("algorithm given twice, none last", rs(`{"alg":"RS256","alg":"none"}`, key), "malformed")
	add("algorithm given twice, none first", rs(`{"alg":"none","alg":"RS256"}`, key), "malformed").differs("accepts",
		"golang-jwt takes the last of two members")
	add("algorithm given twice by an escape", rs(`{"alg":"none","\u0061lg":"RS256"}`, key), "malformed").differs("accepts",
		"golang-jwt takes the last of two members")
	add("spaces in the header", rs("{ \"alg\" : \"RS256\" ,\r\n\t\"typ\" : \"JWT\" }", key), "")
	add("critical names in a nested object", rs(`{"alg":"RS256","x":{"crit":1}}`, key), "")
	return g
}

func (c *tokenCase) differs(judge, because string) {
	c.Judge, c.Because = judge, because
}

func pemGroup(t testing.TB) group {
	bundle := publicPEM(t, "rsa-other") + publicPEM(t, "p256") + publicPEM(t, "ed25519")
	g := group{Name: "several PEM keys", JWT: map[string]any{"key": bundle}}
	g.Cases = []tokenCase{
		{Name: "first", Token: sign(t, "RS256", privateKey(t, "rsa-other"), `{"alg":"RS256"}`, ok), Claims: believed},
		{Name: "second", Token: sign(t, "ES256", privateKey(t, "p256"), `{"alg":"ES256","kid":"any"}`, ok), Claims: believed},
		{Name: "third", Token: sign(t, "EdDSA", privateKey(t, "ed25519"), `{"alg":"EdDSA"}`, ok), Claims: believed},
		{Name: "none of them", Token: sign(t, "RS256", privateKey(t, "rsa"), `{"alg":"RS256"}`, ok), Reason: "signature"},
		{Name: "another curve", Token: sign(t, "ES384", privateKey(t, "p384"), `{"alg":"ES384"}`, ok), Reason: "key"},
		{Name: "another curve that says ES256", Token: sign(t, "ES384", privateKey(t, "p384"), `{"alg":"ES256"}`, ok),
			Reason: "signature"},
	}
	return g
}

func namedKeysGroup(t testing.TB) group {
	set := keySet(t,
		webKey(t, "rsa", "a", map[string]any{"alg": "PS256", "use": "sig"}),
		webKey(t, "rsa-other", "b", map[string]any{"use": "enc"}),
		webKey(t, "p256", "c", map[string]any{"key_ops": []string{"verify"}}),
		webKey(t, "rsa-1024", "small", nil),
		map[string]any{"kty": "EC", "crv": "secp256k1", "kid": "k", "x": "AA", "y": "AA"},
		map[string]any{"kty": "EC", "crv": "P-256", "kid": "off", "x": encode(make([]byte, 32)),
			"y": encode(make([]byte, 32))},
		map[string]any{"kty": "future", "kid": "f"})
	g := group{Name: "keys that say what they are for", JWT: map[string]any{"jwks": set}}
	g.Cases = []tokenCase{
		{Name: "the algorithm of the key", Token: sign(t, "PS256", privateKey(t, "rsa"), `{"alg":"PS256","kid":"a"}`, ok),
			Claims: believed},
		{Name: "another algorithm with the key",
			Token: sign(t, "RS256", privateKey(t, "rsa"), `{"alg":"RS256","kid":"a"}`, ok), Reason: "key"},
		{Name: "a key for encryption", Token: sign(t, "RS256", privateKey(t, "rsa-other"), `{"alg":"RS256","kid":"b"}`, ok),
			Reason: "key"},
		{Name: "a key for verifying", Token: sign(t, "ES256", privateKey(t, "p256"), `{"alg":"ES256","kid":"c"}`, ok),
			Claims: believed},
		{Name: "the kid of another key", Token: sign(t, "ES256", privateKey(t, "p256"), `{"alg":"ES256","kid":"a"}`, ok),
			Reason: "key"},
		{Name: "an unknown kid", Token: sign(t, "ES256", privateKey(t, "p256"), `{"alg":"ES256","kid":"zzz"}`, ok),
			Reason: "key"},
		{Name: "a kid in other letters", Token: sign(t, "ES256", privateKey(t, "p256"), `{"alg":"ES256","kid":"C"}`, ok),
			Reason: "key"},
		{Name: "a key that is too small",
			Token: sign(t, "RS256", privateKey(t, "rsa-1024"), `{"alg":"RS256","kid":"small"}`, ok), Reason: "key"},
		{Name: "a key whose point is not on its curve",
			Token: sign(t, "ES256", privateKey(t, "p256"), `{"alg":"ES256","kid":"off"}`, ok), Reason: "key"},
	}
	return g
}

func listedGroup(t testing.TB) group {
	g := group{Name: "listed algorithms",
		JWT: map[string]any{"key": publicPEM(t, "rsa"), "algorithms": []string{"PS256", "RS384"}}}
	for _, a := range []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"} {
		c := tokenCase{Name: a, Reason: "algorithm",
			Token: sign(t, a, privateKey(t, "rsa"), fmt.Sprintf(`{"alg":%q}`, a), ok)}
		if a == "PS256" || a == "RS384" {
			c.Reason, c.Claims = "", believed
		}
		g.Cases = append(g.Cases, c)
	}
	input := encode([]byte(`{"alg":"PS256"}`)) + "." + encode([]byte(ok))
	digest := crypto.SHA256.New()
	digest.Write([]byte(input))
	sum, err := rsa.SignPSS(rand.Reader, privateKey(t, "rsa").(*rsa.PrivateKey), crypto.SHA256, digest.Sum(nil),
		&rsa.PSSOptions{SaltLength: 8})
	require.NoError(t, err)
	g.Cases = append(g.Cases,
		tokenCase{Name: "PS256 with a short salt", Token: input + "." + encode(sum), Reason: "signature",
			Judge: "accepts", Because: "RFC 7518 3.5 wants the salt to be as long as the hash; golang-jwt takes any"})
	return g
}

// formGroup holds texts that are no tokens, or that spell one in another way.
func formGroup(t testing.TB) group {
	g := group{Name: "form", JWT: map[string]any{"secret": secret}}
	good := hs(t, ok)
	parts := strings.Split(good, ".")
	add := func(name, token, reason string) *tokenCase {
		g.Cases = append(g.Cases, tokenCase{Name: name, Token: token, Reason: reason})
		return &g.Cases[len(g.Cases)-1]
	}
	add("a good token", good, "").Claims = believed
	add("one part", parts[0], "malformed")
	add("two parts", parts[0]+"."+parts[1], "malformed")
	add("four parts", good+".x", "malformed")
	add("five parts, as encrypted tokens have", good+".x.y", "malformed")
	add("empty parts", "..", "malformed")
	add("no header", "."+parts[1]+"."+parts[2], "malformed")
	add("padding", parts[0]+"."+parts[1]+"."+parts[2]+"=", "malformed")
	add("padding inside", parts[0]+"=."+parts[1]+"."+parts[2], "malformed")
	add("plain base64 in the signature", parts[0]+"."+parts[1]+".+/"+parts[2][2:], "malformed")
	last := parts[2][len(parts[2])-1]
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	twin := string(alphabet[strings.IndexByte(alphabet, last)|1])
	add("the signature spelled with spare bits", parts[0]+"."+parts[1]+"."+parts[2][:len(parts[2])-1]+twin, "malformed").
		differs("accepts", "golang-jwt decodes loosely by default; RFC 4648 3.5 lets a decoder refuse spare bits, "+
			"and one token then has one spelling")
	add("a control character", parts[0]+"."+parts[1]+"\x01."+parts[2], "malformed")
	add("a payload that is a list", hs(t, `["sub"]`), "malformed")
	add("a payload that is a text", hs(t, `"sub"`), "malformed")
	add("a payload that is null", hs(t, `null`), "malformed").differs("accepts", "golang-jwt decodes null as no claims")
	add("an empty payload", hs(t, ``), "malformed")
	add("a payload with something behind", hs(t, ok+`{}`), "malformed")
	add("a payload with spaces behind", hs(t, ok+" \r\n\t"), "").Claims = believed
	add("a payload cut short", hs(t, `{"sub":"u-1"`), "malformed")
	add("a payload with a comma too many", hs(t, `{"sub":"u-1",}`), "malformed")
	add("a payload that is not UTF-8", hs(t, "{\"sub\":\"u-\xff\"}"), "malformed").differs("accepts",
		"encoding/json replaces what is no UTF-8; JSON is UTF-8 (RFC 8259 8.1)")
	add("a name given twice", hs(t, `{"sub":"u-1","sub":"root"}`), "malformed").differs("accepts",
		"golang-jwt takes the last of two members")
	add("a name given twice by an escape", hs(t, `{"sub":"u-1","s\u0075b":"root"}`), "malformed").differs("accepts",
		"golang-jwt takes the last of two members")
	add("a name given twice with spaces", hs(t, `{"sub" :"u-1", "sub": "root"}`), "malformed").differs("accepts",
		"golang-jwt takes the last of two members")
	add("a name given twice in a nested object", hs(t, `{"sub":"u-1","a":[{"b":1,"b":2}]}`),
		"malformed").differs("accepts", "golang-jwt takes the last of two members")
	add("a name given twice behind a text that looks like names", hs(t, `{"x":"\":\":","sub":"u-1","sub":"root"}`),
		"malformed").differs("accepts", "golang-jwt takes the last of two members")
	add("texts that look like names", hs(t, `{"sub":"u-1","a":":\":","b\"":":","c\\":[":"," : "]}`),
		"").Claims = map[string][]string{"sub": {"u-1"}, "a": {":\":"}, "b\"": {":"}, "c\\": {":", " : "}}
	add("the same name in several objects", hs(t, `{"sub":"u-1","a":{"sub":"x"},"b":[{"sub":"y"}]}`),
		"").Claims = map[string][]string{"sub": {"u-1"}, "a.sub": {"x"}}
	add("objects 33 deep", hs(t, strings.Repeat(`{"a":`, 33)+"1"+strings.Repeat("}", 33)), "malformed").differs("accepts",
		"golang-jwt has no bound but encoding/json's 10,000")
	add("objects 32 deep", hs(t, strings.Repeat(`{"a":`, 32)+"1"+strings.Repeat("}", 32)), "")
	add("lists 6,000 deep", hs(t, `{"a":`+strings.Repeat("[", 5990)+strings.Repeat("]", 5990)+"}"),
		"malformed").differs("accepts", "golang-jwt has no bound but encoding/json's 10,000")
	add("a header with objects 40 deep",
		sign(t, "HS256", []byte(secret), `{"alg":"HS256","x":`+strings.Repeat(`{"a":`, 40)+"1"+strings.Repeat("}", 41),
			ok), "malformed").differs("accepts", "golang-jwt has no bound but encoding/json's 10,000")
	add("a header that is a list", sign(t, "HS256", []byte(secret), `["HS256"]`, ok), "malformed")
	add("a token longer than 16 KiB", hs(t, `{"sub":"u-1","x":"`+strings.Repeat("x", 12300)+`"}`),
		"oversized").differs("accepts", "golang-jwt has no bound")
	return g
}

func datesGroup(t testing.TB) group {
	g := group{Name: "dates", JWT: map[string]any{"secret": secret}}
	add := func(name, more string, at int64, reason string) *tokenCase {
		c := tokenCase{Name: name, Token: hs(t, `{"sub":"u-1",`+more+`}`), Time: at, Reason: reason}
		if reason == "" {
			c.Claims = believed
		}
		g.Cases = append(g.Cases, c)
		return &g.Cases[len(g.Cases)-1]
	}
	add("exp in the future", fmt.Sprintf(`"exp":%d`, int64(future)), 0, "")
	add("exp in the past", fmt.Sprintf(`"exp":%d`, past), 0, "expired")
	add("exp a second ahead", `"exp":1000`, 999, "")
	add("exp now", `"exp":1000`, 1000, "expired")
	add("exp a second ago", `"exp":1000`, 1001, "expired")
	add("nbf in the future", fmt.Sprintf(`"nbf":%d`, int64(future)), 0, "early")
	add("nbf a second ahead", `"nbf":1000`, 999, "early")
	add("nbf now", `"nbf":1000`, 1000, "")
	add("iat in the future", fmt.Sprintf(`"iat":%d`, int64(future)), 0, "")
	add("exp with a fraction, before", `"exp":1000.5`, 1000, "").differs("refuses",
		"golang-jwt cuts dates to whole seconds; RFC 7519 2 allows fractions")
	add("exp with a fraction, after", `"exp":1000.5`, 1001, "expired")
	add("exp with an exponent", `"exp":4.1024448e9`, 0, "")
	add("exp as a text", fmt.Sprintf(`"exp":"%d"`, int64(future)), 0, "malformed")
	add("nbf as a text", `"nbf":"1"`, 0, "malformed")
	add("exp null", `"exp":null`, 0, "malformed")
	add("exp true", `"exp":true`, 0, "malformed")
	add("exp as a list", `"exp":[4102444800]`, 0, "malformed")
	add("exp zero", `"exp":0`, 0, "expired").differs("accepts", "golang-jwt takes 0 for no date at all")
	add("nbf zero", `"nbf":0`, 0, "")
	add("exp below zero", `"exp":-1`, 0, "expired")
	add("exp beyond any date", `"exp":1e300`, 0, "malformed").differs("either",
		"golang-jwt converts it to an integer, with a result that depends on the machine")
	add("exp beyond any number", `"exp":1e400`, 0, "malformed")
	add("nbf below any date", `"nbf":-1e300`, 0, "malformed").differs("either",
		"golang-jwt converts it to an integer, with a result that depends on the machine")
	return g
}

func leewayGroup(t testing.TB) group {
	g := group{Name: "leeway", JWT: map[string]any{"secret": secret, "leeway": "30s"}}
	g.Cases = []tokenCase{
		{Name: "exp 29 s ago", Token: hs(t, `{"sub":"u-1","exp":1000}`), Time: 1029, Claims: believed},
		{Name: "exp 30 s ago", Token: hs(t, `{"sub":"u-1","exp":1000}`), Time: 1030, Reason: "expired"},
		{Name: "nbf 30 s ahead", Token: hs(t, `{"sub":"u-1","nbf":1000}`), Time: 970, Claims: believed},
		{Name: "nbf 31 s ahead", Token: hs(t, `{"sub":"u-1","nbf":1000}`), Time: 969, Reason: "early"},
	}
	return g
}

func partiesGroup(t testing.TB) group {
	g := group{Name: "issuer and audience", JWT: map[string]any{"secret": secret, "issuer": "https://id.example",
		"audience": []string{"shop", "app"}}}
	for _, c := range []struct{ name, claims, reason string }{
		{"both", `{"sub":"u-1","iss":"https://id.example","aud":"shop"}`, ""},
		{"one audience of a list", `{"sub":"u-1","iss":"https://id.example","aud":["x","app"]}`, ""},
		{"another audience", `{"iss":"https://id.example","aud":"x"}`, "audience"},
		{"an audience in other letters", `{"iss":"https://id.example","aud":"SHOP"}`, "audience"},
		{"no audience", `{"iss":"https://id.example"}`, "audience"},
		{"an empty list of audiences", `{"iss":"https://id.example","aud":[]}`, "audience"},
		{"an audience that is a number", `{"iss":"https://id.example","aud":1}`, "audience"},
		{"another issuer", `{"iss":"https://id.example/","aud":"shop"}`, "issuer"},
		{"no issuer", `{"aud":"shop"}`, "issuer"},
		{"an issuer that is a list", `{"iss":["https://id.example"],"aud":"shop"}`, "issuer"},
	} {
		made := tokenCase{Name: c.name, Token: hs(t, c.claims), Reason: c.reason}
		if c.reason == "" {
			made.Claims = believed
		}
		g.Cases = append(g.Cases, made)
	}
	return g
}

func claimsGroup(t testing.TB) group {
	return group{Name: "values", JWT: map[string]any{"secret": secret}, Cases: []tokenCase{
		{Name: "scalars", Token: hs(t, `{"s":"x","e":"","t":true,"f":false,"n":null,"i":42,"o":{},"u":"ü 日"}`),
			Claims: map[string][]string{
				"s": {"x"}, "e": {""}, "t": {"true"}, "f": {"false"}, "n": {}, "i": {"42"}, "o": {}, "u": {"ü 日"},
				"missing": {}, "S": {}}},
		{Name: "numbers",
			Token: hs(t, `{"a":1e3,"b":1000.0,"c":0.10,"d":-0,"e":-1.50e1,"f":9007199254740993,"g":1E-2,`+
				`"h":123456789012345678901234567890,"i":0e9,"k":0.0}`),
			Claims: map[string][]string{
				"a": {"1000"}, "b": {"1000"}, "c": {"0.1"}, "d": {"0"}, "e": {"-15"}, "f": {"9007199254740993"}, "g": {"0.01"},
				"h": {"123456789012345678901234567890"}, "i": {"0"}, "k": {"0"}}},
		{Name: "a number beyond all bounds", Token: hs(t, `{"sub":"u-1","n":1e5000}`),
			Claims: map[string][]string{"sub": {"u-1"}, "n": {}},
			Judge:  "refuses", Because: "golang-jwt reads numbers as float64; it accepts them with WithJSONNumber"},
		{Name: "arrays", Token: hs(t, `{"g":["a","b"],"m":["a",1,true,null,{"x":"y"},["z"]],"e":[]}`),
			Claims: map[string][]string{
				"g": {"a", "b"}, "m": {"a", "1", "true"}, "e": {}, "/g/1": {"b"}, "/g/2": {}, "/g/01": {}, "/g/-1": {},
				"m.4.x": {"y"}, "/m/5": {"z"}, "/m/5/0": {"z"}, "/m/3": {}}},
		{Name: "nesting",
			Token: hs(t, `{"org":{"plan":"pro","unit":{"id":7}},"https://example.com/roles":["x"],"a.b":"dotted",`+
				`"a":{"b":"nested"},"t~/":"tilde","":"nothing"}`),
			Claims: map[string][]string{
				"org.plan": {"pro"}, "/org/plan": {"pro"}, "org.unit.id": {"7"}, "org.unit": {}, "org": {}, "org.plan.x": {},
				"/https:~1~1example.com~1roles": {"x"},
				"/a.b":                          {"dotted"}, "a.b": {"nested"}, "/a/b": {"nested"}, "/t~0~1": {"tilde"},
				"/": {"nothing"}}},
	}}
}

// unverifiedGroup is `verify: false`, where something before gray has verified the token.
func unverifiedGroup(t testing.TB) group {
	stranger := privateKey(t, "rsa-other")
	g := group{Name: "verify false", JWT: map[string]any{"verify": false, "issuer": "i"}}
	g.Cases = []tokenCase{
		{Name: "any signature", Token: sign(t, "RS256", stranger, `{"alg":"RS256"}`, `{"sub":"u-1","iss":"i"}`),
			Reason: "unverified", Claims: believed},
		{Name: "another issuer", Token: sign(t, "RS256", stranger, `{"alg":"RS256"}`, `{"sub":"u-1","iss":"j"}`),
			Reason: "issuer"},
		{Name: "expired", Token: sign(t, "RS256", stranger, `{"alg":"RS256"}`, `{"sub":"u-1","iss":"i","exp":1000000000}`),
			Reason: "expired"},
		{Name: "none", Token: encode([]byte(`{"alg":"none"}`)) + "." + encode([]byte(`{"sub":"u-1","iss":"i"}`)) + ".",
			Reason: "algorithm"},
	}
	for i := range g.Cases {
		g.Cases[i].differs("either", "golang-jwt always verifies")
	}
	return g
}
