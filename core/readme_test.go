package core_test

import (
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
)

func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	return string(text)
}

// The shell line of the README gives the position that the engine gives, and what the README says it prints.
func TestReadmeBucket(t *testing.T) {
	text := readme(t)
	line := regexp.MustCompile(`(?m)^printf .* sha256sum .*$`).FindString(text)
	require.NotEmpty(t, line)
	output, err := exec.Command("sh", "-c", line).Output()
	require.NoError(t, err)
	printed := strings.TrimSpace(string(output))
	require.Contains(t, text, "The shell prints `"+printed+"`")

	e, err := core.Load([]byte(`{"service": "user-service", "stable": "v1", "versions": {"v1": {}, "v2": {}}, "identity": ["cookie uid"],
		"rules": [{"version": "v2", "percent": 50}]}`))
	require.NoError(t, err)
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Cookie", "uid=u-1001")
	bucket := core.Explain(e, &core.Caller{Request: r}).Rules[0].Bucket
	position, err := strconv.ParseUint(bucket.Position, 10, 64)
	require.NoError(t, err)
	require.Equal(t, fmt.Sprintf("%016x", position), printed)
}

// The policy of the README is one.
func TestReadmePolicy(t *testing.T) {
	documents := regexp.MustCompile("(?s)```json\n(\\{\n.*?)```").FindAllStringSubmatch(readme(t), -1)
	require.NotEmpty(t, documents)
	for _, d := range documents {
		_, err := core.Load([]byte(d[1]))
		require.NoError(t, err, d[1])
	}
}
