package core

import (
	"net/http"
	"strings"

	"github.com/grayrelease/gray/core/jwt"
	"github.com/grayrelease/gray/core/problem"
)

// attribute is a property of a request that conditions compare and identities are made of: a kind
// and, for the kinds that have one, a key.
type attribute struct {
	kind  attributeKind
	text  string   // as written, for explanations
	key   string   // of header (canonical), cookie, query and baggage
	claim jwt.Path // of claim
	// vouched: only a trusted peer's values count. True of identities if the policy says so, and of
	// what a gateway passes on: its header, its baggage member, and the header that this member is
	// part of.
	vouched bool
}

type attributeKind int

const (
	fromHeader attributeKind = iota
	fromCookie
	fromQuery
	fromClaim
	fromBaggage
	fromIP
	fromPath
	fromHost
	fromMethod
	fromIdentity
	fromAuthority
	fromPlaceholder
)

// attributeSpec is what the engine knows about a kind of attribute, except how to read its values:
// see nextValue.
type attributeSpec struct {
	word       string     // in condition lines; "" for a kind that has no word of its own
	key        string     // how the grammar names the key; "" if there is none
	isIdentity bool       // it may say who the caller is
	cost       int        // of reading it, to ask cheap questions first: 0 for a look-up
	varies     dependence // what must be equal for its value to be equal

	// setKey takes the key that a line gives, and returns what is wrong with it, "" if nothing is.
	setKey func(a *attribute, key string) string
	// check returns what is wrong with the attribute in this policy, "" if nothing is.
	check func(e *Engine, a *attribute) string
}

// attributes has every kind. A new one is a row here, a constant above and a case in nextValue.
var attributes = []attributeSpec{
	fromHeader: {word: "header", key: "K", isIdentity: true, varies: onHeader, setKey: setHeader, check: vouchHeader},
	fromCookie: {
		word: "cookie", key: "K", isIdentity: true, cost: 2, varies: onCookie,
		setKey: setCookieName, check: accept,
	},
	fromQuery: {word: "query", key: "K", isIdentity: true, cost: 2, varies: onURL, setKey: setParameter, check: accept},
	fromClaim: {
		word: "claim", key: "PATH", isIdentity: true, cost: 4, varies: onToken,
		setKey: setClaim, check: needToken,
	},
	fromBaggage: {
		word: "baggage", key: "K", isIdentity: true, cost: 3, varies: onBaggage,
		setKey: setMember, check: vouchMember,
	},
	fromIP:       {word: "ip", isIdentity: true, cost: 2, varies: onClient, check: accept},
	fromPath:     {word: "path", varies: onURL, check: accept},
	fromHost:     {word: "host", varies: onURL, check: accept},
	fromMethod:   {word: "method", varies: onURL, check: accept},
	fromIdentity: {word: "identity", cost: 3, varies: onIdentity, check: accept},
	// `header Host`, which net/http keeps apart from the other headers.
	fromAuthority: {varies: onURL, check: accept},
	// `{NAME}`, which the host reads.
	fromPlaceholder: {isIdentity: true, cost: 4, varies: onClient, check: checkPlaceholder},
}

// attributeWords returns the words that condition lines may use, in the order of the table.
func attributeWords() []string {
	words := make([]string, 0, len(attributes))
	for _, spec := range attributes {
		if spec.word != "" {
			words = append(words, spec.word)
		}
	}
	return words
}

// kindOf returns the kind that a word names, -1 if there is none.
func kindOf(w word) attributeKind {
	for kind, spec := range attributes {
		if spec.word == w.text && w.text != "" && !w.quoted {
			return attributeKind(kind)
		}
	}
	return -1
}

// parseAttribute reads an attribute from byte `at` of a line, and returns the byte where it ends.
// Conditions and identities both begin with one.
func parseAttribute(line string, at int) (attribute, int, *lineError) {
	var a attribute
	w, end, err := nextWord(line, at)
	if err != nil {
		return a, end, err
	}
	a.kind = kindOf(w)
	a.text = w.text
	if a.kind < 0 && isPlaceholder(w) {
		setPlaceholder(&a, w.text)
	}
	if a.kind < 0 {
		words := attributeWords()
		if w.isEnd() {
			return a, end, &lineError{w.at, "an attribute is required (one of " + strings.Join(words, ", ") + ")"}
		}
		if spaced := withSpaces(w); spaced != "" && indexOf(words, strings.Fields(spaced)[0]) >= 0 {
			return a, end, &lineError{w.at, "write spaces around the operator: " + spaced}
		}
		return a, end, &lineError{w.at, "unknown attribute " + problem.Quote(w.text) + problem.OneOf(w.text, words)}
	}
	spec := attributes[a.kind]
	if spec.key == "" {
		return a, end, nil
	}
	k, end, err := nextWord(line, end)
	if err != nil {
		return a, end, err
	}
	if k.text == "" {
		return a, end, &lineError{k.at, "the name of the " + w.text + " is required"}
	}
	if spaced := withSpaces(k); spaced != "" && a.kind != fromClaim {
		return a, end, &lineError{k.at, "write spaces around the operator: " + w.text + " " + spaced}
	}
	a.text = strings.TrimSpace(line[w.at:end])
	if wrong := spec.setKey(&a, k.text); wrong != "" {
		return a, end, &lineError{k.at, wrong}
	}
	return a, end, nil
}

// withSpaces returns a word with spaces around the operator in it, "" if there is none.
func withSpaces(w word) string {
	at := strings.IndexAny(w.text, "=<>")
	if at <= 0 || w.quoted {
		return ""
	}
	end := at + 1
	if end < len(w.text) && w.text[end] == '=' {
		end++
	}
	if w.text[at] == '=' && at > 1 && w.text[at-1] == '!' {
		at--
	}
	operator := w.text[at:end]
	if operator == "==" {
		operator = "="
	}
	return strings.TrimSpace(w.text[:at] + " " + operator + " " + w.text[end:])
}

func setHeader(a *attribute, key string) string {
	if !isToken(key) {
		return problem.Quote(key) + " is not a valid header name"
	}
	a.key = http.CanonicalHeaderKey(key)
	if a.key == "Host" {
		a.kind = fromAuthority
	}
	return ""
}

func setCookieName(a *attribute, key string) string {
	a.key = key
	if strings.ContainsAny(key, ";=") || strings.Trim(key, " \t") != key {
		return problem.Quote(key) + " is not a valid cookie name"
	}
	return ""
}

func setParameter(a *attribute, key string) string {
	a.key = key
	return ""
}

func setMember(a *attribute, key string) string {
	a.key = key
	if !isToken(key) {
		return problem.Quote(key) + " is not a valid key of a baggage member"
	}
	return ""
}

func setClaim(a *attribute, key string) string {
	a.key = key
	path, err := jwt.ParsePath(key)
	if err != nil {
		return err.Error()
	}
	a.claim = path
	return ""
}

func accept(*Engine, *attribute) string { return "" }

// vouchHeader marks the headers that only trusted peers may fill.
func vouchHeader(e *Engine, a *attribute) string {
	a.vouched = a.key == e.header || a.key == "Baggage"
	return ""
}

// vouchMember marks the baggage member that only trusted peers may fill.
func vouchMember(_ *Engine, a *attribute) string {
	a.vouched = a.key == BaggageKey
	return ""
}

func needToken(e *Engine, _ *attribute) string {
	if e.policy.JWT == nil {
		return "claim requires `jwt` in the policy, which says how tokens are verified"
	}
	return ""
}
