//go:build !yaegi

package core

import "testing"

// What the interpreter's handler spares requests for stable, see route_yaegi.go.

func TestPassedValuesOfStableBelongToTheRequest(t *testing.T) { testPassedValues(t, "v1") }

func TestClientsCannotHaveStableDropped(t *testing.T) { testDropping(t, "v1") }
