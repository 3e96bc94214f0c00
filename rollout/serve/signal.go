package serve

import "net/url"

// signal is something outside that is read to learn about a canary.
type signal struct {
	service string
	kind    string // gateway, scrape or prometheus; route for what is written
	url     string
}

// String names the signal in logs.
func (s signal) String() string {
	if s.kind == "prometheus" {
		return s.kind
	}
	return s.kind + " " + s.url
}

// place is the signal's URL without what may be secret: credentials and parameters.
func (s signal) place() string {
	u, err := url.Parse(s.url)
	if err != nil {
		return ""
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// heard notes whether a signal could be read, and logs when that changes.
func (v *service) heard(s signal, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	down, up := "a signal cannot be read: it says nothing meanwhile", "a signal can be read again"
	if s.kind == "route" {
		down, up = "weights cannot be set: they stay as they are meanwhile", "weights can be set again"
	}
	last, _ := v.server.signals.Swap(s, text)
	before, _ := last.(string)
	switch {
	case err != nil && before == "" && v.server.ctx.Err() == nil:
		v.log.Warn(down, "signal", s.String(), "error", text)
	case err == nil && before != "":
		v.log.Info(up, "signal", s.String())
	}
}
