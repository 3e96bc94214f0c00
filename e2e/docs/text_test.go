package docs

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/traefikgray"
)

// messages make what documents show of what gray says, by how that begins.
var messages = map[string]func(t *testing.T) string{
	"rules[2].when[0]: column 8: ": func(t *testing.T) string {
		_, err := core.Load([]byte(`{"service": "shop", "stable": "v1", "versions": {"v1": {}, "v2": {}}, "rules": [
			{"version": "v2", "percent": 1}, {"version": "v2", "percent": 2}, {"version": "v2", "when": ["method prefx G"]}]}`))
		require.Error(t, err)
		return err.Error()
	},
	`rules[1]: rule "ramp" is never reached`: func(t *testing.T) string {
		e, err := core.Load([]byte(`{"service": "shop", "stable": "v1", "versions": {"v1": {}, "v2": {}}, "rules": [
			{"name": "everybody", "version": "v2", "percent": 100}, {"name": "ramp", "version": "v2", "percent": 5}]}`))
		require.NoError(t, err)
		require.Len(t, e.Warnings(), 1)
		return e.Warnings()[0].String()
	},
	`ERR error="gray: middleware shop-gray@file: `: func(t *testing.T) string {
		config := traefikgray.CreateConfig()
		require.NoError(t, json.Unmarshal([]byte(`{"service": "shop", "stable": "v9", "versions": {"v1": "", "v2": ""},
			"rules": [{"version": "v2", "when": ["header X prefx a"]}]}`), config))
		_, err := traefikgray.New(t.Context(), http.NotFoundHandler(), config, "shop-gray@file")
		require.Error(t, err)
		return "ERR error=" + strconv.Quote(err.Error())
	},
}

func messageOf(b block) func(t *testing.T) string {
	for begin, make := range messages {
		if b.language == "" && b.begins(begin) {
			return make
		}
	}
	return nil
}

func isMessage(b block) bool { return messageOf(b) != nil }

func runMessage(t *testing.T, b block) { assert.Equal(t, b.text, messageOf(b)(t)+"\n") }

func isLineGrammar(b block) bool {
	return b.language == "" && (b.begins(`["not"] attribute`) || b.begins("<n>% ["))
}

// runLineGrammar has gray take lines of each form.
func runLineGrammar(t *testing.T, b block) {
	if b.begins("<n>% [") {
		runRolloutGrammar(t, b)
		return
	}
	lines := 0
	for line := range strings.Lines(b.text) {
		of, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch of {
		case "attribute":
			for attribute := range strings.SplitSeq(rest, "|") {
				lines++
				load(t, `{"service": "shop", "stable": "v1", "versions": {"v1": {}, "v2": {}}, "jwt": {"secret": "`+
					strings.Repeat("x", 32)+`"}, "rules": [{"version": "v2", "when": ["not `+attribute+` exists"]}]}`)
			}
		case "operator":
			for operator := range strings.FieldsSeq(rest) {
				lines++
				assert.True(t, core.IsOperator(operator), operator)
			}
		}
	}
	assert.Equal(t, 10+13, lines)
}

func runRolloutGrammar(t *testing.T, b block) {
	var steps, guards []string
	example := strings.NewReplacer("<n>", "5", "<duration>", "10m", "<callers>", "200", "pNN", "p90", "<looks>", "3",
		"NAME", "q", "LABEL=VALUE ...", "team=shop", "[", "", "]", "")
	for line := range strings.Lines(b.text) {
		line, _, _ = strings.Cut(strings.TrimSpace(line), "   ")
		switch {
		case line == "":
		case strings.HasPrefix(line, "<n>%"):
			steps = append(steps, strconv.Quote(example.Replace(line)))
		default:
			guards = append(guards, strconv.Quote(example.Replace(line)))
		}
	}
	assert.Len(t, steps, 1)
	assert.Len(t, guards, 6)
	for _, guard := range guards { // one by one, since two may measure the same
		load(t, fmt.Sprintf(`{"service": "shop", "stable": "v1", "versions": {"v1": {}, "v2": {}},
			"rules": [{"name": "ramp", "version": "v2"}],
			"rollout": {"rule": "ramp", "steps": [%s], "guard": [%s], "queries": {"q": "x"}}}`,
			strings.Join(steps, ", "), guard))
	}
}

// runSQL computes by the numbers and texts of the queries, and compares with the engine. No
// database runs here.
func runSQL(t *testing.T, b block) {
	e, err := core.Load([]byte(`{"service": "shop", "stable": "v1", "versions": {"v1": {}, "v2": {}},
		"identity": ["cookie uid"], "rules": [{"version": "v2", "percent": 50}]}`))
	require.NoError(t, err)
	r, err := http.NewRequest(http.MethodGet, "/", nil)
	require.NoError(t, err)
	r.Header.Set("Cookie", "uid=u-1001")
	position, err := strconv.ParseUint(core.Explain(e, &core.Caller{Request: r}).Rules[0].Bucket.Position, 10, 64)
	require.NoError(t, err)
	query := regexp.MustCompile(`(?s)'(shop/v2)'.*?(?:'(\\x00)'|char\((0)\)).*?, (\d)\).*?\* 100 / (\d+)`)
	found := query.FindAllStringSubmatch(b.text, -1)
	require.Len(t, found, 2)
	for _, m := range found {
		sum := sha256.Sum256([]byte(m[1] + "\x00" + "u-1001"))
		digits, err := strconv.Atoi(m[4])
		require.NoError(t, err)
		first, err := strconv.ParseUint(hex.EncodeToString(sum[:])[:digits], 16, 64)
		require.NoError(t, err)
		all, err := strconv.ParseFloat(m[5], 64)
		require.NoError(t, err)
		assert.InDelta(t, float64(position)/(1<<32)/(1<<32)*100, float64(first)*100/all, 1e-6)
		assert.Equal(t, binary.BigEndian.Uint64(sum[:8]), position)
	}
}

var (
	label = regexp.MustCompile(`(\w+)\["([a-z/]+)"\]`)
	arrow = regexp.MustCompile(`^\s*(\S+) --> (\S+)$`)
)

// runDiagram checks that the folder at the tail of each arrow imports the one at its head.
func runDiagram(t *testing.T, b block) {
	list := exec.Command("go", "list", "-f", "{{.ImportPath}} {{join .Imports \" \"}}", "./...")
	list.Dir = root
	output, err := list.Output()
	require.NoError(t, err)
	imports := func(from, to string) bool {
		const module = "github.com/grayrelease/gray/"
		for line := range strings.Lines(string(output)) {
			fields := strings.Fields(line)
			if fields[0] != module+from && !(from == "examples" && strings.HasPrefix(fields[0], module+from+"/")) {
				continue
			}
			for _, imported := range fields[1:] {
				if imported == module+to {
					return true
				}
			}
		}
		return false
	}
	folders := map[string]string{}
	for _, m := range label.FindAllStringSubmatch(b.text, -1) {
		folders[m[1]] = m[2]
	}
	folder := func(node string) string {
		name, _, _ := strings.Cut(node, "[")
		if named := folders[name]; named != "" {
			return named
		}
		return name
	}
	arrows := 0
	for line := range strings.Lines(b.text) {
		m := arrow.FindStringSubmatch(strings.TrimRight(line, "\n"))
		if m == nil {
			assert.Equal(t, "flowchart TD\n", line)
			continue
		}
		arrows++
		from, to := folder(m[1]), folder(m[2])
		assert.True(t, imports(from, to), "%s does not import %s", from, to)
	}
	assert.Greater(t, arrows, 10)
}
