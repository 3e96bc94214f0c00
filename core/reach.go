package core

// Reachable returns the versions that the engine's decisions can give: the forced one alone, or
// else the stable one, those of rules, without rules that take nobody, and those of testers' links,
// all without withdrawn versions. It does not ask whether a rule can ever match.
func Reachable(e *Engine) map[string]bool {
	if e.force != "" {
		return map[string]bool{e.force: true}
	}
	versions := map[string]bool{e.stable.Version: true}
	for _, r := range e.rules {
		if r.percent > 0 && !r.withdrawn {
			for _, version := range givenBy(r) {
				versions[version] = true
			}
		}
	}
	for _, version := range testedVersions(e) {
		versions[version] = true
	}
	return versions
}

// givenBy returns the versions that a rule gives now.
func givenBy(r *rule) []string {
	if r.split == nil {
		return []string{r.decision.Version}
	}
	var versions []string
	for _, p := range r.split.portions {
		if !p.withdrawn {
			versions = append(versions, p.decision.Version)
		}
	}
	return versions
}
