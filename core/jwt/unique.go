package jwt

import (
	"bytes"
	"encoding/json"
)

// A decoder keeps the last of two members with the same name, other parsers the first, so a token that has
// two is read differently by gray and by the service behind it. RFC 7515 section 4 and RFC 7519 section 4
// allow to refuse it. Walking over the text again costs as much as reading it, many times that under an
// interpreter; so the names are counted first: each ends in `":`, and where the text has no more of these than
// the decoded objects have names, no name can have occurred twice.

// isUnique tells whether no object in valid JSON has a name twice; names is how many the decoded ones have.
func isUnique(raw []byte, names int) bool {
	return isSurelyUnique(raw, names) || isWalkUnique(raw)
}

// isSurelyUnique may say false for strange but unique names: a text that begins with a colon, or that has
// an escaped quote before one. What is not verified yet is judged by it alone, as it takes linear time
// without a step of our own per character.
func isSurelyUnique(raw []byte, names int) bool {
	if bytes.Contains(raw, []byte(" :")) || hasBreaks(raw) {
		var compact bytes.Buffer
		if json.Compact(&compact, raw) != nil {
			return false
		}
		raw = compact.Bytes()
	}
	return bytes.Count(raw, []byte(`":`)) == names
}

// hasBreaks takes three fast searches instead of one that looks at every byte.
func hasBreaks(raw []byte) bool {
	return bytes.IndexByte(raw, '\n') >= 0 || bytes.IndexByte(raw, '\t') >= 0 || bytes.IndexByte(raw, '\r') >= 0
}

// isWalkUnique looks at every name.
func isWalkUnique(raw []byte) bool {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	return isValueUnique(decoder)
}

func isValueUnique(decoder *json.Decoder) bool {
	token, err := decoder.Token()
	if err != nil {
		return false
	}
	opening, isDelimiter := token.(json.Delim)
	if !isDelimiter {
		return true
	}
	seen := map[string]bool{}
	for decoder.More() {
		if opening == '{' && !isNameNew(decoder, seen) {
			return false
		}
		if !isValueUnique(decoder) {
			return false
		}
	}
	_, err = decoder.Token()
	return err == nil
}

func isNameNew(decoder *json.Decoder, seen map[string]bool) bool {
	token, err := decoder.Token()
	name, ok := token.(string)
	if err != nil || !ok || seen[name] {
		return false
	}
	seen[name] = true
	return true
}
