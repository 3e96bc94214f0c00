package core

// CarriedVersion returns the version that W3C baggage carries from a decision made before, "" if it
// has none. Lines are the values of the Baggage header, which may come from anybody: what is not
// the name of a version is none.
func CarriedVersion(lines []string) string {
	var at cursor
	version, _ := nextBaggage(lines, BaggageKey, &at)
	if !IsVersionName(version) {
		return ""
	}
	return version
}

// CarryVersion returns W3C baggage with the members of lines, as they are, and the version in place
// of the one that they carry; "" takes that out. The result is "" if no member is left.
func CarryVersion(lines []string, version string) string {
	return withOwn(lines, ownMember(version, ""))
}
