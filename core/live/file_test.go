package live

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReadPolicy(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "policy.json")
	_, err := ReadPolicy(path)
	require.EqualError(t, err, "there is no file policy.json in the folder "+dir)
	_, err = ReadPolicy(filepath.Join(dir, "no", "policy.json"))
	require.EqualError(t, err, "there is no folder "+dir+"/no for the file policy.json")
	t.Chdir(dir)
	_, err = ReadPolicy("policy.json")
	require.EqualError(t, err, "there is no file policy.json in the folder "+dir+
		" (relative paths begin at the working directory)")
	_, err = ReadPolicy(dir)
	require.ErrorContains(t, err, "is a directory")

	require.NoError(t, os.WriteFile(path, []byte(`{"service": 1}`), 0o600))
	_, err = ReadPolicy(path)
	require.EqualError(t, err, "service: must be a string, is 1")
	require.NoError(t, os.WriteFile(path, []byte(`{"service": "shop"}`), 0o600))
	policy, err := ReadPolicy("policy.json")
	require.NoError(t, err)
	require.Equal(t, "shop", policy.Service)
}
