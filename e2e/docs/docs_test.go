package docs

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/e2e/caddy"
)

func TestMain(m *testing.M) {
	code := m.Run()
	caddy.RemoveBinary()
	os.Exit(code)
}

// runner runs blocks of one kind.
type runner struct {
	kind  string
	takes func(b block) bool
	run   func(t *testing.T, b block)
}

// runners has each kind of block. A new kind is a row here.
var runners = []runner{
	{"a Caddyfile, or a part of one", isCaddyfile, runCaddyfile},
	{"the grammar of a Caddyfile's directive", isCaddyfileGrammar, runCaddyfileGrammar},
	{"Traefik's static configuration", isStatic, runStatic},
	{"Traefik's dynamic configuration", isDynamic, runDynamic},
	{"a controller's configuration", isController, runController},
	{"a decision server's configuration", isDecider, runDecider},
	{"a gateway's configuration", isGateway, runGateway},
	{"Alertmanager's configuration", isAlertmanager, runAlertmanager},
	{"Prometheus' configuration", isPrometheus, runPrometheus},
	{"Grafana's configuration", isGrafana, runGrafana},
	{"a policy", isPolicy, runPolicy},
	{"a part of a policy", isPolicyPart, runPolicyPart},
	{"a kill switch", isSwitch, runSwitch},
	{"a state", isState, runState},
	{"Go", func(b block) bool { return b.language == "go" }, runGo},
	{"a command of go test", isGoTest, runGoTest},
	{"commands that another test runs", isRunElsewhere, runElsewhere},
	{"building Caddy", isBuild, runBuild},
	{"commands of a running Caddy", isAdmin, runAdmin},
	{"SQL", func(b block) bool { return b.language == "sql" }, runSQL},
	{"a diagram of packages", func(b block) bool { return b.language == "mermaid" }, runDiagram},
	{"what gray says", isMessage, runMessage},
	{"a grammar of lines", isLineGrammar, runLineGrammar},
}

// Every block of README.md and of docs is run, by the one runner of its kind.
func TestBlocks(t *testing.T) {
	all, err := blocks()
	require.NoError(t, err)
	taken := map[string]int{}
	for _, b := range all {
		var of []runner
		for _, r := range runners {
			if r.takes(b) {
				of = append(of, r)
				taken[r.kind]++
			}
		}
		if !assert.Len(t, of, 1, "%s: exactly one kind of block, not %v:\n%s", b, kinds(of), b.text) {
			continue
		}
		t.Run(b.String(), func(t *testing.T) { of[0].run(t, b) })
	}
	for _, r := range runners {
		assert.NotZero(t, taken[r.kind], "no block is %s", r.kind)
	}
}

func kinds(of []runner) []string {
	var names []string
	for _, r := range of {
		names = append(names, r.kind)
	}
	return names
}

func TestBlocksOf(t *testing.T) {
	got, err := blocksOf("a.md", "x\n```json\n{}\n```\ny\n```\ntext\n\n```\n")
	require.NoError(t, err)
	require.Equal(t, []block{
		{file: "a.md", line: 3, language: "json", text: "{}\n"}, {file: "a.md", line: 7, text: "text\n\n"},
	}, got)
	for _, text := range []string{"```json\n{}\n", " ```\n```\n", "```json\n```json\n```\n"} {
		_, err := blocksOf("a.md", text)
		require.Error(t, err, text)
	}
}
