// Command istio says what Istio makes of manifests, by Istio's own code: whether they are valid,
// and which routes Envoy gets. It reads a JSON question on each line of the standard input, and
// writes a JSON answer for each.
//
// It is a module of its own, since Istio's requirements are many.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"syscall"
)

// question is manifests, as YAML.
type question struct {
	Manifests string `json:"manifests"`
	// Mesh is a part of the mesh's configuration, as YAML.
	Mesh string `json:"mesh,omitempty"`
	// Labels of the proxy that the routes are for.
	Labels map[string]string `json:"labels,omitempty"`
}

// answer is what Istio says.
type answer struct {
	Problems []string `json:"problems"`
	Warnings []string `json:"warnings"`
	// Routes are Envoy's, in order, as JSON.
	Routes []json.RawMessage `json:"routes"`
	// Filters are Envoy's for the AuthorizationPolicies, if the mesh's configuration is given.
	Filters []json.RawMessage `json:"filters"`
}

func main() {
	answers, err := onlyAnswers()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 64<<20)
	out := bufio.NewWriter(answers)
	for in.Scan() {
		var q question
		a := &answer{}
		if err := json.Unmarshal(in.Bytes(), &q); err != nil {
			a.problem(err)
		} else {
			a.answer(&q)
		}
		text, err := json.Marshal(a)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		_, _ = out.Write(append(text, '\n'))
		_ = out.Flush()
	}
}

// onlyAnswers is the standard output, to which nothing else writes any more: Istio logs to it.
func onlyAnswers() (*os.File, error) {
	kept, err := syscall.Dup(1)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(kept), "answers"), syscall.Dup3(2, 1, 0)
}

func (a *answer) problem(err error) {
	if err != nil {
		a.Problems = append(a.Problems, err.Error())
	}
}
