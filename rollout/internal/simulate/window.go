package main

// window is the usual way: the share of failures among the canary's requests of the last minute is
// looked at once a minute, and after some looks above a limit the release is rolled back.
type window struct {
	limit float64
	looks int

	failed int
}

// flagger and argo are the analyses of the examples in their documentations, each over a minute: a
// success rate under 99 % at 5 looks, and under 95 % at more than 3.
func flagger() *window { return &window{limit: 0.01, looks: 5} }
func argo() *window    { return &window{limit: 0.05, looks: 4} }

// look looks at one minute and reports whether the release is rolled back.
func (w *window) look(requests, bad int) bool {
	if requests > 0 && float64(bad)/float64(requests) > w.limit {
		w.failed++
	}
	return w.failed >= w.looks
}
