package core

import (
	"net/url"
	"strings"
)

// W3C Baggage asks for at least 64 members and 8,192 bytes to be passed on (section 3.3); more is
// neither read nor passed on.
const (
	maxMembers = 64
	maxBaggage = 8192
)

// BaggageKey is the key of the baggage member that carries the version.
const BaggageKey = "gray"

// nextMember is the next list member over all Baggage header lines, byte for byte, within the
// bounds; empty ones are skipped.
func nextMember(lines []string, at *cursor) (string, bool) {
	for at.line < len(lines) {
		line := lines[at.line]
		if at.at > len(line) {
			at.line++
			at.at = 0
			continue
		}
		member := line[at.at:]
		if end := strings.IndexByte(member, ','); end >= 0 {
			member = member[:end]
		}
		at.at += len(member) + 1
		at.size += len(member) + 1
		if at.size > maxBaggage+1 {
			return "", false
		}
		if strings.Trim(member, " \t") == "" {
			continue
		}
		at.members++
		return member, at.members <= maxMembers
	}
	return "", false
}

// memberKey is the key of a list member, and what follows its "="; a member without one has no key.
func memberKey(member string) (string, string) {
	key, rest, ok := strings.Cut(member, "=")
	if !ok {
		return "", ""
	}
	return strings.Trim(key, " \t"), rest
}

// nextBaggage is the next value of a baggage member: percent-decoded, without its properties. A
// value with a bad escape is none.
func nextBaggage(lines []string, name string, at *cursor) (string, bool) {
	for {
		member, ok := nextMember(lines, at)
		if !ok {
			return "", false
		}
		key, value := memberKey(member)
		if key != name {
			continue
		}
		value, _, _ = strings.Cut(value, ";")
		if value, err := url.PathUnescape(strings.Trim(value, " \t")); err == nil {
			return value, true
		}
	}
}

// ownMember is the member that tells of a decision, "" for the stable version, which has none.
func ownMember(version, stable string) string {
	if version == stable {
		return ""
	}
	return BaggageKey + "=" + version
}

// ownIn is the first member that claims to be ours, byte for byte, "" if none does.
func ownIn(lines []string) string {
	var at cursor
	for {
		member, ok := nextMember(lines, &at)
		if !ok {
			return ""
		}
		if key, _ := memberKey(member); key == BaggageKey {
			return member
		}
	}
}

// withOwn returns a request's members with the decision's, if it has one, behind them.
func withOwn(lines []string, own string) string {
	if own == "" {
		return strings.Join(foreignMembers(lines, 0), ",")
	}
	return strings.Join(append(foreignMembers(lines, len(own)), own), ",")
}

// foreignMembers are the request's members, byte for byte, but for any that claims to be ours, as
// far as they leave room for that one, which has own bytes, or 0 if there is none.
func foreignMembers(lines []string, own int) []string {
	var kept []string
	var at cursor
	most, room := maxMembers, maxBaggage-own
	if own > 0 {
		most--
	}
	for {
		member, ok := nextMember(lines, &at)
		if !ok || len(kept) == most || len(member)+1 > room {
			return kept
		}
		if key, _ := memberKey(member); key == BaggageKey {
			continue
		}
		kept = append(kept, member)
		room -= len(member) + 1
	}
}
