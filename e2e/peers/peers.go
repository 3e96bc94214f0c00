// Package peers decides the same five rules with this engine and with what a user would otherwise
// choose: GrowthBook's Go SDK and LaunchDarkly's evaluation module, both in process and with their
// rules loaded beforehand.
//
// The rules, in order: a header equals a value, a header matches a regular expression, a cookie
// equals a value, the client's address is in a network, 10 % of callers by a cookie. The peers have
// no operator for networks; they check how the address begins, which costs less. Tracking, events
// and logging cost more and are off.
package peers

import (
	"context"
	"log/slog"
	"net"
	"net/http"

	growthbook "github.com/growthbook/growthbook-golang"
	"github.com/launchdarkly/go-sdk-common/v3/ldcontext"
	"github.com/launchdarkly/go-sdk-common/v3/ldvalue"
	evaluation "github.com/launchdarkly/go-server-sdk-evaluation/v3"
	"github.com/launchdarkly/go-server-sdk-evaluation/v3/ldbuilders"
	"github.com/launchdarkly/go-server-sdk-evaluation/v3/ldmodel"

	"github.com/grayrelease/gray/core"
)

// Attributes are what the rules look at, taken from a request.
type Attributes struct {
	AppVersion, UserAgent, Group, IP, UID string
}

// Read takes the attributes from a request, as a user of the peers has to.
func Read(r *http.Request) Attributes {
	a := Attributes{AppVersion: r.Header.Get("X-App-Version"), UserAgent: r.Header.Get("User-Agent")}
	for _, cookie := range r.Cookies() {
		switch cookie.Name {
		case "group":
			a.Group = cookie.Value
		case "uid":
			a.UID = cookie.Value
		}
	}
	a.IP, _, _ = net.SplitHostPort(r.RemoteAddr)
	return a
}

const grayPolicy = `{
	"service": "shop", "stable": "v1", "versions": {"v1": {}, "v2": {}}, "identity": ["cookie uid"],
	"rules": [
		{"name": "testers", "version": "v2", "when": ["header X-App-Version = beta"]},
		{"name": "devices", "version": "v2", "when": ["header User-Agent matches iPhone OS 1[78]_"]},
		{"name": "staff",   "version": "v2", "when": ["cookie group = staff"]},
		{"name": "office",  "version": "v2", "when": ["ip in 10.0.0.0/8, 2001:db8::/32"]},
		{"name": "ramp",    "version": "v2", "percent": 10}
	]
}`

// Gray is this engine. It reads the request itself.
type Gray struct{ engine *core.Engine }

// NewGray loads the five rules.
func NewGray() (*Gray, error) {
	engine, err := core.Load([]byte(grayPolicy))
	return &Gray{engine}, err
}

// Decide gives the version for a request.
func (g *Gray) Decide(r *http.Request) string {
	caller := core.Caller{Request: r}
	return core.Decide(g.engine, &caller).Version
}

const growthbookFeatures = `{"release": {"defaultValue": "v1", "rules": [
	{"condition": {"appVersion": "beta"}, "force": "v2"},
	{"condition": {"userAgent": {"$regex": "iPhone OS 1[78]_"}}, "force": "v2"},
	{"condition": {"group": "staff"}, "force": "v2"},
	{"condition": {"ip": {"$regex": "^(10\\.|2001:db8:)"}}, "force": "v2"},
	{"coverage": 0.1, "hashAttribute": "id", "force": "v2"}
]}}`

// GrowthBook is GrowthBook's SDK.
type GrowthBook struct{ client *growthbook.Client }

// NewGrowthBook loads the five rules.
func NewGrowthBook() (*GrowthBook, error) {
	client, err := growthbook.NewClient(context.Background(),
		growthbook.WithJsonFeatures(growthbookFeatures), growthbook.WithLogger(slog.New(slog.DiscardHandler)))
	return &GrowthBook{client}, err
}

// User makes the SDK's idea of a user: a client of its own with the user's attributes.
func (g *GrowthBook) User(a Attributes) *growthbook.Client {
	attributes := growthbook.Attributes{"appVersion": a.AppVersion, "userAgent": a.UserAgent, "group": a.Group,
		"ip": a.IP, "id": a.UID}
	user, err := g.client.WithAttributes(attributes)
	if err != nil {
		panic(err) // strings are always accepted
	}
	return user
}

// Evaluate gives the version for a user made before.
func (g *GrowthBook) Evaluate(user *growthbook.Client) string {
	version, _ := user.EvalFeature(context.Background(), "release").Value.(string)
	return version
}

// Decide gives the version for a request.
func (g *GrowthBook) Decide(r *http.Request) string { return g.Evaluate(g.User(Read(r))) }

// LaunchDarkly is LaunchDarkly's evaluation module, which its SDK evaluates flags with.
type LaunchDarkly struct {
	evaluator evaluation.Evaluator
	flag      ldmodel.FeatureFlag
}

// NewLaunchDarkly makes the five rules.
func NewLaunchDarkly() *LaunchDarkly {
	const v1, v2, tenPercent = 0, 1, 10_000
	text := ldvalue.String
	rule := func(attribute string, op ldmodel.Operator, values ...ldvalue.Value) *ldbuilders.RuleBuilder {
		return ldbuilders.NewRuleBuilder().ID(attribute).Variation(v2).Clauses(ldbuilders.Clause(attribute, op, values...))
	}
	flag := ldbuilders.NewFlagBuilder("release").On(true).Salt("release").Variations(text("v1"), text("v2")).
		AddRule(rule("appVersion", ldmodel.OperatorIn, text("beta"))).
		AddRule(rule("userAgent", ldmodel.OperatorMatches, text("iPhone OS 1[78]_"))).
		AddRule(rule("group", ldmodel.OperatorIn, text("staff"))).
		AddRule(rule("ip", ldmodel.OperatorStartsWith, text("10."), text("2001:db8:"))).
		Fallthrough(ldbuilders.Rollout(ldbuilders.Bucket(v2, tenPercent), ldbuilders.Bucket(v1, 100_000-tenPercent))).
		Build()
	return &LaunchDarkly{evaluation.NewEvaluator(noData{}), flag}
}

// User returns the module's form of a user, a context. Callers without a key share one.
func (l *LaunchDarkly) User(a Attributes) ldcontext.Context {
	key := a.UID
	if key == "" {
		key = "anonymous"
	}
	return ldcontext.NewBuilder(key).
		SetString("appVersion", a.AppVersion).SetString("userAgent", a.UserAgent).SetString("group",
		a.Group).SetString("ip", a.IP).Build()
}

// Evaluate gives the version for a user made before.
func (l *LaunchDarkly) Evaluate(user ldcontext.Context) string {
	return l.evaluator.Evaluate(&l.flag, user, nil).Detail.Value.StringValue()
}

// Decide gives the version for a request.
func (l *LaunchDarkly) Decide(r *http.Request) string { return l.Evaluate(l.User(Read(r))) }

// noData has neither other flags nor segments, which the rules don't use.
type noData struct{}

func (noData) GetFeatureFlag(string) *ldmodel.FeatureFlag { return nil }
func (noData) GetSegment(string) *ldmodel.Segment         { return nil }
