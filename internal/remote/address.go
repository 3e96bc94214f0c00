package remote

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/grayrelease/gray/core/allow"
	"github.com/grayrelease/gray/core/problem"
)

// Address is a parsed source or discovery URL:
// scheme://user:password@host:port,host:port/path?option=value.
type Address struct {
	Scheme   string
	User     string
	Password string
	Hosts    []string          // host:port, the default port filled in
	Path     string            // decoded, without the slash that ends the authority
	RawPath  string            // as written, for http and https
	RawQuery string            // as written, for http and https, whose query belongs to the server
	Options  map[string]string // options of the URL, and those given beside it
	Repeated map[string][]string

	beside  map[string]bool // options that were given beside the URL
	allowed *allow.List
	values  []string // of the variables of a document's address
	shown   *Address // with the names of these variables, nil if there are none
	isShown bool     // this is that of another
}

// secretOptions are never shown.
var secretOptions = []string{"user", "password", "token"}

var defaultPorts = map[string]string{
	"http": "80", "https": "443", "etcd": "2379", "consul": "8500", "nacos": "8848", "srv": "53",
}

// Resolve is Parse for an address whose scheme must be one of those given.
func Resolve(raw string, options map[string]string, schemes []string, allowed *allow.List) (*Address, error) {
	a, err := Parse(raw, options, allowed)
	if err != nil {
		return nil, err
	}
	if !contains(schemes, a.Scheme) {
		return nil, problem.New("", "unknown scheme %q: want one of %s", a.Scheme, strings.Join(schemes, ", "))
	}
	return a, nil
}

// Parse reads an address. ${NAME} stands for an environment variable and may be used in every part
// of it; what the variable holds is taken as it is and needs no escaping. Options follow "?"; for
// http and https, where the query belongs to the server, they follow "#". The options beside the
// URL outrank those in it. Parse does no I/O.
//
// The error is a problem.List: the path is "" for the URL, "options.NAME" for an option beside it.
// It never shows the user information or what an option holds.
//
// Allowed bounds the variables, files and hosts of an address that a document names; nil is for the
// gateway's own configuration.
func Parse(raw string, options map[string]string, allowed *allow.List) (*Address, error) {
	a := newAddress(allowed)
	if err := a.parse(raw, options); err != nil {
		return nil, err
	}
	if err := a.checkAllowed(); err != nil {
		return nil, err
	}
	if len(a.values) > 0 {
		a.shown = newAddress(allowed)
		a.shown.isShown = true
		if err := a.shown.parse(raw, options); err != nil {
			return nil, err
		}
	}
	return a, nil
}

func newAddress(allowed *allow.List) *Address {
	return &Address{
		Options: map[string]string{}, Repeated: map[string][]string{}, beside: map[string]bool{}, allowed: allowed,
	}
}

func (a *Address) parse(raw string, options map[string]string) error {
	if err := a.parseURL(raw); err != nil {
		return problem.Of(a.Scrub(err))
	}
	for name, value := range options {
		a.beside[name] = true
		expanded, err := a.expand(value, verbatim, verbatimValue)
		if err != nil {
			return a.Refuse(name, "%s", err)
		}
		a.Options[name] = expanded
		a.Repeated[name] = []string{expanded}
	}
	a.takeCredentials()
	return nil
}

// checkAllowed checks whom the address asks, and which files it reads.
func (a *Address) checkAllowed() error {
	for _, host := range a.Hosts {
		if err := a.allowed.Host(host); err != nil {
			return problem.Of(a.Scrub(err))
		}
	}
	for _, option := range []string{"ca_file", "cert_file", "key_file"} {
		if path := a.Options[option]; path != "" {
			if err := a.allowed.File(path); err != nil {
				return a.Refuse(option, "%s", err)
			}
		}
	}
	return nil
}

// Dialer returns a function that connects to whom the address may ask.
func (a *Address) Dialer(timeout time.Duration) func(ctx context.Context, network, address string) (net.Conn, error) {
	return a.allowed.Dialer(&net.Dialer{Timeout: timeout, KeepAlive: 10 * time.Second})
}

// Guard has a transport ask only whom the address may.
func (a *Address) Guard(t *http.Transport, timeout time.Duration) {
	a.allowed.Guard(t, &net.Dialer{Timeout: timeout, KeepAlive: 10 * time.Second})
}

// Upstream returns why requests may not be sent to a host that the server at the address lists, nil
// if they may.
func (a *Address) Upstream(host string) error { return a.allowed.Upstream(host) }

func (a *Address) parseURL(raw string) error {
	i := strings.Index(raw, "://")
	if i <= 0 {
		return errors.New("want a URL such as etcd://host:2379/key, file:///path or https://host/path")
	}
	a.Scheme = strings.ToLower(raw[:i])
	authority, path, options := a.split(raw[i+3:])
	if err := a.parseAuthority(authority); err != nil {
		return err
	}
	if err := a.parsePath(path); err != nil {
		return err
	}
	return a.parseOptions(options)
}

// Refuse returns the error that says what is wrong with an option.
func (a *Address) Refuse(option, format string, args ...any) error {
	if a.beside[option] {
		return problem.New(problem.Field("options", option), format, args...)
	}
	return problem.New("", "option %s: %s", option, fmt.Sprintf(format, args...))
}

func (a *Address) web() bool { return a.Scheme == "http" || a.Scheme == "https" }

// split cuts what follows "://" into authority, path (with the query where that is the server's)
// and options.
func (a *Address) split(rest string) (authority, path, options string) {
	mark := "?"
	if a.web() {
		mark = "#"
	}
	if i := strings.Index(rest, mark); i >= 0 {
		rest, options = rest[:i], rest[i+1:]
	}
	end := len(rest)
	for i := 0; i < len(rest); i++ {
		if rest[i] == '$' && i+1 < len(rest) && rest[i+1] == '{' {
			if j := strings.IndexByte(rest[i:], '}'); j >= 0 {
				i += j
				continue
			}
		}
		if rest[i] == '/' || rest[i] == '?' {
			end = i
			break
		}
	}
	return rest[:end], rest[end:], options
}

func (a *Address) parseAuthority(text string) error {
	if i := strings.LastIndexByte(text, '@'); i >= 0 {
		if err := a.parseUser(text[:i]); err != nil {
			return err
		}
		text = text[i+1:]
	}
	hosts, err := a.expand(text, verbatim, verbatimValue)
	if err != nil {
		return fmt.Errorf("host: %w", err)
	}
	if a.Scheme == "file" {
		if hosts != "" && hosts != "localhost" {
			return errors.New("a file URL has no host: want file:///path")
		}
		return nil
	}
	if hosts == "" && a.Scheme == "srv" {
		return nil
	}
	for _, host := range strings.Split(hosts, ",") {
		full, err := hostPort(strings.TrimSpace(host), defaultPorts[a.Scheme])
		if err != nil && !a.isShown {
			return err
		}
		if err != nil {
			full = host
		}
		a.Hosts = append(a.Hosts, full)
	}
	return nil
}

func (a *Address) parseUser(text string) error {
	user, password := text, ""
	if i := separator(text); i >= 0 {
		user, password = text[:i], text[i+1:]
	}
	var err error
	if a.User, err = a.expand(user, url.PathUnescape, verbatimValue); err != nil {
		return fmt.Errorf("user: %w", err)
	}
	if a.Password, err = a.expand(password, url.PathUnescape, verbatimValue); err != nil {
		return fmt.Errorf("password: %w", err)
	}
	return nil
}

// separator finds the colon between user and password, outside placeholders.
func separator(text string) int {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '{':
			depth++
		case '}':
			depth--
		case ':':
			if depth == 0 {
				return i
			}
		}
	}
	return -1
}

func (a *Address) parsePath(text string) error {
	if a.web() {
		if i := strings.IndexByte(text, '?'); i >= 0 {
			query, err := a.expand(text[i+1:], verbatim, url.QueryEscape)
			if err != nil {
				return fmt.Errorf("query: %w", err)
			}
			a.RawQuery = query
			text = text[:i]
		}
		raw, err := a.expand(text, verbatim, url.PathEscape)
		if err != nil {
			return fmt.Errorf("path: %w", err)
		}
		if _, err := url.PathUnescape(raw); err != nil {
			return fmt.Errorf("path: %w", err)
		}
		a.RawPath = raw
	}
	path, err := a.expand(text, url.PathUnescape, verbatimValue)
	if err != nil {
		return fmt.Errorf("path: %w", err)
	}
	if a.Scheme != "file" {
		path = strings.TrimPrefix(path, "/")
	}
	a.Path = path
	return nil
}

func (a *Address) parseOptions(text string) error {
	for _, pair := range strings.Split(text, "&") {
		if pair == "" {
			continue
		}
		name, value := pair, ""
		if i := strings.IndexByte(pair, '='); i >= 0 {
			name, value = pair[:i], pair[i+1:]
		}
		name, err := url.QueryUnescape(name)
		if err != nil {
			return errors.New("options: bad percent-escape in a name")
		}
		expanded, err := a.expand(value, url.QueryUnescape, verbatimValue)
		if err != nil {
			return fmt.Errorf("option %s: %w", name, err)
		}
		a.Options[name] = expanded
		a.Repeated[name] = append(a.Repeated[name], expanded)
	}
	return nil
}

// takeCredentials lets user and password be given as options too.
func (a *Address) takeCredentials() {
	if v, ok := a.Options["user"]; ok {
		a.User = v
	}
	if v, ok := a.Options["password"]; ok {
		a.Password = v
	}
	delete(a.Options, "user")
	delete(a.Options, "password")
	delete(a.Repeated, "user")
	delete(a.Repeated, "password")
}

// Only refuses options that are not among the names.
func (a *Address) Only(names ...string) error {
	allowed := map[string]bool{}
	for _, name := range names {
		allowed[name] = true
	}
	for _, name := range a.OptionNames() {
		if !allowed[name] {
			sort.Strings(names)
			message := fmt.Sprintf("%s has no option %q (it has %s)", a.Scheme, name, strings.Join(names, ", "))
			if a.beside[name] {
				return problem.New(problem.Field("options", name), "%s", message)
			}
			return problem.New("", "%s", message)
		}
	}
	return nil
}

// OptionNames returns the names of the options, sorted.
func (a *Address) OptionNames() []string {
	names := make([]string, 0, len(a.Options))
	for name := range a.Options {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// Duration reads an option such as "5s"; absent is the default. Values under the minimum are
// refused.
func (a *Address) Duration(name string, absent, minimum time.Duration) (time.Duration, error) {
	text, ok := a.Options[name]
	if !ok {
		return absent, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < minimum {
		return 0, a.Refuse(name, "want a duration of at least %s, such as 5s", minimum)
	}
	return d, nil
}

// Bool reads an option that is true or false; absent is false.
func (a *Address) Bool(name string) (bool, error) {
	text, ok := a.Options[name]
	if !ok {
		return false, nil
	}
	b, err := strconv.ParseBool(text)
	if err != nil {
		return false, a.Refuse(name, "want true or false")
	}
	return b, nil
}

// Redacted is the address as people may see it: without user information, and without the values
// that may be secret. Of a document's address, variables are shown by name.
func (a *Address) Redacted() string {
	if a.shown != nil {
		return strings.NewReplacer("%24%7B", "${", "$%7B", "${", "%7D", "}").Replace(a.shown.Redacted())
	}
	var b strings.Builder
	b.WriteString(a.Scheme)
	b.WriteString("://")
	b.WriteString(strings.Join(a.Hosts, ","))
	if a.Scheme != "file" {
		b.WriteString("/")
	}
	b.WriteString((&url.URL{Path: a.Path}).EscapedPath())
	mark := "?"
	if a.web() {
		mark = "#"
	}
	for _, name := range a.OptionNames() {
		for _, value := range a.Repeated[name] {
			b.WriteString(mark)
			mark = "&"
			b.WriteString(url.QueryEscape(name))
			b.WriteString("=")
			if contains(secretOptions, name) {
				b.WriteString("***")
			} else {
				b.WriteString(url.QueryEscape(value))
			}
		}
	}
	return b.String()
}

// Identity tells whether two addresses are one and the same, credentials included, without showing
// them.
func (a *Address) Identity() string {
	sum := sha256.New()
	for _, part := range []string{
		a.Redacted(), a.User, a.Password, a.Options["token"], a.RawPath, a.RawQuery, a.allowed.Key(),
		strings.Join(a.values, "\x00"),
	} {
		sum.Write([]byte(strconv.Itoa(len(part)) + ":" + part))
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// Secrets are the texts that no message may show.
func (a *Address) Secrets() []string {
	var secrets []string
	for _, s := range append([]string{a.Password, a.Options["token"], a.RawQuery}, a.values...) {
		if s != "" {
			secrets = append(secrets, s)
		}
	}
	return secrets
}

// Scrub returns an error without the texts that no message may show.
func (a *Address) Scrub(err error) error {
	if secrets := a.Secrets(); err != nil && len(secrets) > 0 {
		return errors.New(scrub(err.Error(), secrets))
	}
	return err
}

func scrub(text string, secrets []string) string {
	for _, secret := range secrets {
		text = strings.ReplaceAll(text, secret, "***")
	}
	return text
}

func hostPort(host, port string) (string, error) {
	if host == "" {
		return "", errors.New("the host is missing")
	}
	for i := 0; i < len(host); i++ {
		c := host[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte("/?#@\\\"<>^`{|}%", c) >= 0 {
			return "", fmt.Errorf("%q is not a valid host", host)
		}
	}
	colon := strings.LastIndexByte(host, ':')
	if colon >= 0 && colon > strings.LastIndexByte(host, ']') {
		n, err := strconv.Atoi(host[colon+1:])
		if err != nil || n < 1 || n > 65535 || (host[0] != '[' && strings.Count(host, ":") > 1) {
			return "", fmt.Errorf("%q: want host:port, IPv6 in brackets", host)
		}
		return host, nil
	}
	return host + ":" + port, nil
}

func verbatim(s string) (string, error) { return s, nil }

func verbatimValue(s string) string { return s }

// expand replaces ${NAME} by the environment's value: literal text goes through decode, a value
// through encode.
func (a *Address) expand(text string, decode func(string) (string, error), encode func(string) string) (string, error) {
	var b strings.Builder
	for {
		i := strings.Index(text, "${")
		literal := text
		if i >= 0 {
			literal = text[:i]
		}
		decoded, err := decode(literal)
		if err != nil {
			// The text may be a password: say what is wrong without showing it.
			return "", errors.New("bad percent-escape")
		}
		b.WriteString(decoded)
		if i < 0 {
			return b.String(), nil
		}
		j := strings.IndexByte(text[i:], '}')
		if j < 0 {
			return "", errors.New("placeholder without its closing brace")
		}
		name := text[i+2 : i+j]
		if err := a.allowed.Variable(name); err != nil {
			return "", err
		}
		value, ok := os.LookupEnv(name)
		if !ok {
			return "", fmt.Errorf("environment variable %q is not set", name)
		}
		b.WriteString(encode(a.known(name, value)))
		text = text[i+j+1:]
	}
}

// known notes the value of a variable, and returns it or, where the address is to be shown, its
// name.
func (a *Address) known(name, value string) string {
	switch {
	case a.isShown:
		return "${" + name + "}"
	case a.allowed != nil:
		a.values = append(a.values, value)
	}
	return value
}

func contains(list []string, s string) bool {
	for _, item := range list {
		if item == s {
			return true
		}
	}
	return false
}
