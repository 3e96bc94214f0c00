package jwt

import (
	"bytes"
	"encoding/json"
)

// Some parsers keep the last of two members with the same name, others the first. So gray and the
// service behind it could read different claims from one token. RFC 7515 section 4 and RFC 7519
// section 4 allow refusing such tokens. Walking over the text again costs as much as decoding it,
// and far more in an interpreter. So names are counted first: each ends in `":`. If the text has no
// more of these than the decoded objects have names, no name is repeated.

// isUnique reports whether no object in valid JSON repeats a name. names is how many names the
// decoded objects have.
func isUnique(raw []byte, names int) bool {
	return isSurelyUnique(raw, names) || isWalkUnique(raw)
}

// isSurelyUnique may return false although names are unique, if a text begins with a colon or has
// an escaped quote before one. Text that is not verified yet is judged by this alone, because it
// takes linear time and no interpreted step per character.
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

// hasBreaks makes three fast searches instead of a slow one that looks at every byte.
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
