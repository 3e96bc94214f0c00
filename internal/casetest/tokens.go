package casetest

import (
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"strings"
)

// tokenFile is testdata/tokens/cases.json; the README beside it explains the fields.
type tokenFile struct {
	Groups []struct {
		Name  string          `json:"name"`
		JWT   json.RawMessage `json:"jwt"`
		Cases []tokenCase     `json:"cases"`
	} `json:"groups"`
}

type tokenCase struct {
	Name   string              `json:"name"`
	Token  string              `json:"token"`
	Time   int64               `json:"time"`
	Reason string              `json:"reason"`
	Claims map[string][]string `json:"claims"`
}

// readTokens turns the cases of tokens into decisions. A caller whose token is verified gets the
// version "verified", by a rule that requires one of its claims to exist. It skips tokens that need
// a time other than now, and tokens that no header can carry.
func readTokens(path string) (File, error) {
	f := File{Name: "tokens", About: "tokens and what becomes of them"}
	data, err := os.ReadFile(path)
	if err != nil {
		return f, err
	}
	var tokens tokenFile
	if err := json.Unmarshal(data, &tokens); err != nil {
		return f, err
	}
	for _, g := range tokens.Groups {
		byClaim := map[string][]Case{}
		for _, c := range g.Cases {
			claim := c.claim()
			if c.Time != 0 || claim == "" || strings.ContainsFunc(c.Token, isControl) {
				continue
			}
			byClaim[claim] = append(byClaim[claim], c.decision(g.Name))
		}
		f.Groups = append(f.Groups, tokenGroups(g.JWT, byClaim)...)
	}
	return f, nil
}

func isControl(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

// claim returns the name of a claim of the token, "sub" for a token that is refused, or "" if a
// verified token has no claim that a rule can require.
func (c *tokenCase) claim() string {
	if c.Reason != "" && c.Reason != "unverified" {
		return "sub"
	}
	var names []string
	for name, values := range c.Claims {
		if len(values) > 0 && !strings.ContainsAny(name, " \t\"") {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	if len(names) == 0 {
		return ""
	}
	return names[0]
}

func (c *tokenCase) decision(group string) Case {
	d := Case{Name: group + ": " + c.Name, Version: "none"}
	if c.Reason == "" || c.Reason == "unverified" {
		d.Version, d.Rule = "verified", "verified"
	}
	d.Request.Headers = [][2]string{{"Authorization", "Bearer " + c.Token}}
	return d
}

func tokenGroups(jwt json.RawMessage, byClaim map[string][]Case) []Group {
	claims := make([]string, 0, len(byClaim))
	for claim := range byClaim {
		claims = append(claims, claim)
	}
	sort.Strings(claims)
	groups := make([]Group, 0, len(claims))
	for _, claim := range claims {
		policy := fmt.Sprintf(`{"service": "tokens", "stable": "none", "versions": {"none": {}, "verified": {}}, "jwt": %s,
			"rules": [{"name": "verified", "version": "verified", "when": [%q]}]}`, jwt, "claim "+claim+" exists")
		groups = append(groups, Group{Policy: json.RawMessage(policy), Cases: byClaim[claim]})
	}
	return groups
}
