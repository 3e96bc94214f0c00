package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"
)

// promtool is Prometheus' own tool. The test is skipped where there is none, but not in CI.
func promtool(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("this machine has no promtool")
		}
		t.Skip("this machine has no promtool")
	}
	return path
}

type ruleFile struct {
	Groups []struct {
		Name  string           `yaml:"name"`
		Rules []map[string]any `yaml:"rules"`
	} `yaml:"groups"`
}

func readRules(t *testing.T) *ruleFile {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, "rules.yml"))
	require.NoError(t, err)
	rules := &ruleFile{}
	require.NoError(t, yaml.Unmarshal(text, rules))
	require.Len(t, rules.Groups, 1)
	return rules
}

// Prometheus' own tool finds nothing wrong with the rules, and they fire when they should.
func TestRules(t *testing.T) {
	tool := promtool(t)
	for _, args := range [][]string{{"check", "rules", "--lint-fatal", "rules.yml"}, {"test", "rules", "rules_test.yml"}} {
		c := exec.Command(tool, args...)
		c.Dir = folder
		output, err := c.CombinedOutput()
		require.NoError(t, err, "%s", output)
	}
}

// Each rule is tested: without it, a test fails, and where it waits before it fires, one fails if
// it does not.
func TestRulesAreTested(t *testing.T) {
	for about, change := range map[string]func(rule map[string]any) (isChanged bool){
		"without rules": func(rule map[string]any) bool { rule["expr"] = "vector(1) > 1"; return true },
		"without patience": func(rule map[string]any) bool {
			_, waits := rule["for"]
			delete(rule, "for")
			return waits
		},
	} {
		rules := readRules(t)
		var changed []map[string]any
		for _, rule := range rules.Groups[0].Rules {
			if change(rule) {
				changed = append(changed, rule)
			}
		}
		failures := failuresOf(t, rules)
		for _, rule := range changed {
			assert.True(t, slices.ContainsFunc(failures, func(failure string) bool { return isAbout(failure, rule) }),
				"%s: no test of %s fails", about, rule["alert"])
		}
	}
}

// failuresOf are what promtool says of the tests that fail with rules.
func failuresOf(t *testing.T, rules *ruleFile) []string {
	t.Helper()
	tool := promtool(t)
	tests, err := os.ReadFile(filepath.Join(folder, "rules_test.yml"))
	require.NoError(t, err)
	text, err := yaml.Marshal(rules)
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "rules.yml"), text, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "rules_test.yml"), tests, 0o600))
	c := exec.Command(tool, "test", "rules", "rules_test.yml")
	c.Dir = dir
	output, err := c.CombinedOutput()
	require.Error(t, err)
	return strings.Split(string(output), "alertname: ")[1:]
}

// isAbout reports whether a failure is about a rule, by its name and its labels.
func isAbout(failure string, rule map[string]any) bool {
	if !strings.HasPrefix(failure, rule["alert"].(string)+",") {
		return false
	}
	for name, value := range rule["labels"].(map[string]any) {
		if !strings.Contains(failure, fmt.Sprintf("%s=%q", name, value)) {
			return false
		}
	}
	return true
}
