package core

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/internal/casetest"
)

// lineOf is a condition on an attribute of the table.
func lineOf(spec attributeSpec) string {
	line := spec.word
	if spec.key != "" {
		line += " abc"
	}
	return line + " exists"
}

// Each row is parsed, may be an identity if it says so, and says what Vary lists for it.
func TestAttributeTable(t *testing.T) {
	for kind, spec := range attributes {
		require.NotNil(t, spec.check, spec.word)
		require.NotZero(t, spec.varies, "%q: what does Vary list for it", spec.word)
		assert.Equal(t, spec.key != "", spec.setKey != nil, spec.word)
		if spec.word == "" {
			continue
		}
		c, err := parseCondition(lineOf(spec), nil)
		require.Nil(t, err, spec.word)
		assert.Equal(t, attributeKind(kind), c.attribute.kind, spec.word)
		_, err = parseIdentity(strings.TrimSuffix(lineOf(spec), " exists"))
		assert.Equal(t, spec.isIdentity, err == nil, spec.word)
		if spec.key != "" {
			_, err := parseCondition(spec.word, nil)
			require.NotNil(t, err, spec.word)
			assert.Contains(t, err.message, "required")
		}
	}
}

// The conditions of a rule are asked in the order of their costs.
func TestCheapConditionsAreAskedFirst(t *testing.T) {
	var lines []string
	for _, spec := range attributes {
		if spec.word != "" && spec.word != "claim" { // which requires jwt
			lines = append(lines, lineOf(spec))
		}
	}
	for range lines {
		lines = append(lines[1:], lines[0])
		var costs []int
		for s := engineWhen(t, lines...).start; s.decision == nil; s = s.yes {
			costs = append(costs, attributes[s.cond.attribute.kind].cost)
		}
		assert.Len(t, costs, len(lines))
		assert.IsNonDecreasing(t, costs, lines)
	}
}

// What Vary lists for each attribute is what its values depend on.
func TestAttributeVary(t *testing.T) {
	want := map[string][]string{
		"header": {"Abc"}, "cookie": {"Cookie"}, "query": {}, "claim": {"Authorization"}, "baggage": {"Baggage"}, "ip": {"*"},
		"path": {}, "host": {}, "method": {}, "identity": {"X-User"},
	}
	for _, word := range attributeWords() {
		listed, known := want[word]
		require.True(t, known, "%s: add what Vary lists for it", word)
		spec := attributes[kindOf(wordOf(word))]
		policy := `"identity": ["header X-User"], "rules": [{"version": "v2", "when": ["` + lineOf(spec) + `"]}]`
		if word == "claim" {
			policy += `, "jwt": {"secret": "` + strings.Repeat("s", 48) + `"}`
		}
		assert.Equal(t, listed, Vary(engineFor(t, policy)), word)
	}
}

func wordOf(text string) word { return word{text: text} }

// Every attribute and every operator occurs in a shared case, so that each host is held to it.
func TestSharedCasesCoverTheGrammar(t *testing.T) {
	files, err := casetest.Load("../testdata/cases")
	require.NoError(t, err)
	attributesSeen, operatorsSeen := map[string]bool{}, map[string]bool{}
	for _, f := range files {
		for _, g := range f.Groups {
			p, err := ParsePolicy(g.Policy)
			require.NoError(t, err)
			for _, r := range p.Rules {
				for _, line := range r.When {
					attribute, operator := wordsOf(t, line)
					attributesSeen[attribute], operatorsSeen[operator] = true, true
				}
			}
		}
	}
	for _, word := range attributeWords() {
		assert.True(t, attributesSeen[word], "no shared case has the attribute %s", word)
	}
	for _, word := range operatorWords {
		assert.True(t, operatorsSeen[word], "no shared case has the operator %s", word)
	}
}

// wordsOf returns the attribute's word and the operator of a condition line.
func wordsOf(t *testing.T, line string) (string, string) {
	t.Helper()
	begin := 0
	if w, end, err := nextWord(line, 0); err == nil && w.text == "not" {
		begin = end
	}
	attribute, _, err := nextWord(line, begin)
	require.Nil(t, err, line)
	_, end, err := parseAttribute(line, begin)
	require.Nil(t, err, line)
	operator, _, err := nextWord(line, end)
	require.Nil(t, err, line)
	return attribute.text, operator.text
}

// The grammar that people read names what the table has, in its order.
func TestGrammarTexts(t *testing.T) {
	var shown []string
	for _, spec := range attributes {
		if spec.word != "" {
			shown = append(shown, strings.TrimSpace(spec.word+" "+spec.key))
		}
	}
	attributesLine := strings.Join(shown, " | ")
	paths, err := filepath.Glob("../docs/*.md")
	require.NoError(t, err)
	documented := 0
	for _, path := range append(paths, "policy.go", "condition.go") {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		if !strings.Contains(string(text), "header K |") {
			continue
		}
		documented++
		assert.Contains(t, string(text), attributesLine, path)
		assert.Contains(t, string(text), " "+strings.Join(operatorWords, " ")+"\n", path)
	}
	assert.GreaterOrEqual(t, documented, 3, "docs/policy.md, Policy and condition have the grammar")
}
