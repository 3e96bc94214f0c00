package live

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/grayrelease/gray/core/discover"
	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/core/source"
)

// keepPause is the least time between two writes of a document or of instances to disk, so that a burst of changes does not wait for the disk. A switch
// is always written at once.
const keepPause = 500 * time.Millisecond

// member is a user as a service knows it. Types that refer to each other in a circle are beyond Yaegi, so it does not know the service, nor a feed those that
// listen to it.
type member struct{ config Config }

// service is one source with what is in force.
type service struct {
	key    string
	source *source.Source
	ready  chan struct{}

	// Owned by the goroutine that applies documents: that of the watch, or Use before the watch starts.
	applying sync.Mutex
	flushing sync.Mutex

	mu     sync.Mutex // guards all below; never held while a document is compiled or a file written
	users  []*member
	cancel context.CancelFunc // ends the watch; nil without users
	disk   disk
	timer  *time.Timer
	wrote  time.Time // when flush last ran

	document []byte // in force or, without users, remembered
	dirty    bool   // document is not on disk yet
	unkept   bool   // lists of instances are not on disk yet
	view     *View
	feeds    map[string]*feed               // by version
	listener int64                          // by which feeds know this service
	kept     map[string][]discover.Instance // last lists by discovery name
	switched Switch                         // newest seen; epoch 0 is none
	pending  []byte                         // a switch to a version that the document does not have (yet)
	refused  string                         // hash of the document that was

	forceNote string // what is wrong with the switch in force
	now       State  // the fields that events change; the others are filled in by state
}

func newService(src *source.Source, key string) *service {
	return &service{
		key: key, source: src, ready: make(chan struct{}), view: &View{}, listener: nextListener(), feeds: map[string]*feed{},
		now: State{Source: src.Name, Origin: "none"},
	}
}

// join adds a user. The first one brings back what is remembered, or what the disk holds, and starts the watch. The error is about a
// document that is fixed.
func (s *service) join(m *member) error {
	s.mu.Lock()
	first := len(s.users) == 0
	s.users = append(s.users, m)
	if !first {
		s.notify(m)
		s.mu.Unlock()
		return nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.mu.Unlock()

	s.applying.Lock()
	err := s.restore(ctx, m)
	s.applying.Unlock()
	if err != nil {
		return err
	}
	s.mu.Lock()
	if s.view.Policy == nil { // what is restored has been shown
		s.notify(m)
	}
	s.mu.Unlock()
	go s.run(ctx)
	return nil
}

// leave takes a user out, and tells whether that was the last one, who ends everything that runs.
func (s *service) leave(m *member) bool {
	s.mu.Lock()
	var users []*member
	for _, other := range s.users {
		if other != m {
			users = append(users, other)
		}
	}
	left := len(s.users) > len(users)
	s.users = users
	if !left || len(users) > 0 {
		s.mu.Unlock()
		return false
	}
	s.cancel()
	s.mu.Unlock()
	s.applying.Lock() // what is being applied ends first
	s.flush()
	s.applying.Unlock()

	s.mu.Lock()
	policy, feeds := s.view.Policy, s.feeds
	s.rememberLists()
	s.view, s.feeds = &View{}, map[string]*feed{}
	s.now.Connected, s.now.Error = false, ""
	s.now.Rejected = nil
	s.mu.Unlock()
	for _, f := range feeds {
		unfollow(f, s.listener)
	}
	closePolicy(policy)
	return true
}

func (s *service) run(ctx context.Context) {
	forever(ctx, func() {
		s.source.Watch(ctx, func(e source.Event) { s.take(ctx, e) })
	})
}

// restore puts in force what is remembered from users before, else what the disk holds; or the document that is fixed, of which the disk
// holds the instances only.
func (s *service) restore(ctx context.Context, m *member) error {
	s.mu.Lock()
	s.disk = newDisk(m.config.CacheDir, s.source.Name)
	document, since := s.document, s.now.Since
	s.mu.Unlock()
	s.restoreUpstreams()
	if s.source.Document != nil {
		return s.install(ctx, s.source.Document, "source", s.now.Revision, time.Now())
	}
	s.restoreSwitch()
	if document == nil {
		var err error
		if document, since, err = s.disk.read("policy"); err != nil {
			s.logError("kept policy cannot be read", err)
		}
	}
	if document == nil {
		return nil
	}
	if err := s.install(ctx, document, "kept", s.now.Revision, since); err != nil {
		s.logError("kept policy is refused", err)
	}
	return nil
}

func (s *service) restoreUpstreams() {
	lists, err := s.disk.readUpstreams()
	if err != nil {
		s.logError("kept upstreams cannot be read", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept == nil {
		s.kept = lists
	}
}

func (s *service) restoreSwitch() {
	kept, err := s.disk.readSwitch()
	if err != nil {
		s.logError("kept switch cannot be read", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if kept != nil && kept.Epoch > s.switched.Epoch {
		s.switched = *kept
	}
}

// take handles an event of the watch that belongs to ctx.
func (s *service) take(ctx context.Context, e source.Event) {
	s.applying.Lock()
	defer s.applying.Unlock()
	if ctx.Err() != nil {
		return // a watch that was let go of
	}
	switch {
	case e.Err != nil:
		s.failed(e.Err)
		return
	case e.Contact:
	case e.Part == source.Switch:
		if e.Missing {
			s.switchDeleted()
		} else {
			s.takeSwitch(e.Data, e.Revision)
		}
	case e.Missing:
		s.deleted()
	default:
		s.takeDocument(ctx, e.Data, e.Revision)
	}
	s.contact()
}

func (s *service) contact() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now.Contact = time.Now()
	if s.now.Error != "" {
		s.now.Error = ""
		s.logLocked(slog.LevelInfo, "policy source answers again")
	}
	s.now.Connected = true
}

// failed notes that the source cannot be read, and logs it when it is news.
func (s *service) failed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now.Failures++
	s.now.Connected = false
	text := err.Error()
	if s.now.Error == "" {
		s.logLocked(slog.LevelWarn, "policy source cannot be read; the policy in force stays", "error", text)
	}
	s.now.Error = text
}

func (s *service) deleted() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now.Deleted {
		return
	}
	s.now.Deleted = true
	if s.view.Policy == nil {
		s.logLocked(slog.LevelWarn, "policy source has no such document")
	} else {
		s.logLocked(slog.LevelWarn, "policy was deleted from its source; the last good one stays in force")
	}
}

// takeDocument puts a document in force unless it is the one that is, or is refused.
func (s *service) takeDocument(ctx context.Context, data []byte, revision string) {
	s.mu.Lock()
	s.now.Deleted = false
	if s.view.Policy != nil && bytes.Equal(data, s.document) {
		s.now.Revision, s.now.Origin = revision, "source"
		s.now.Rejected = nil
		s.mu.Unlock()
		return
	}
	known := s.now.Rejected != nil && s.refused == digest(data)
	s.mu.Unlock()
	if known {
		return
	}
	if err := s.install(ctx, data, "source", revision, time.Now()); err != nil {
		if ctx.Err() == nil { // else the last user has gone meanwhile, which says nothing of the document
			s.refuse(data, revision, err)
		}
		return
	}
	s.mu.Lock()
	s.logLocked(slog.LevelInfo, "policy in force", "revision", revision)
	s.mu.Unlock()
	s.keep()
}

// refuse notes a document that is not put in force. It is known again by what it says: a server may give two documents one revision.
func (s *service) refuse(data []byte, revision string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused = digest(data)
	s.now.Rejections++
	s.now.Rejected = &Rejected{Revision: revision, Error: err.Error(), At: time.Now()}
	text := "policy refused; the last good one stays in force"
	if s.view.Policy == nil {
		text = "policy refused; there is none before it"
	}
	s.logLocked(slog.LevelError, text, "revision", revision, "error", err.Error())
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return string(sum[:])
}

// install compiles a document, follows its discovery entries and puts it in force.
func (s *service) install(ctx context.Context, data []byte, origin, revision string, since time.Time) error {
	policy, err := s.compile(data)
	if err != nil {
		return err
	}
	wanted := map[string]*discover.Discovery{}
	for version, rawURL := range policy.Discover {
		d, err := discover.Open(rawURL, nil)
		if err != nil {
			closePolicy(policy)
			return problem.Of(err).Under(problem.Field("versions", version) + ".discover")
		}
		wanted[version] = d
	}
	feeds := map[string]*feed{}
	for version, d := range wanted {
		feeds[version] = follow(d, s.listener, s.upstreamsChanged)
	}
	s.mu.Lock()
	if ctx.Err() != nil { // the last user has gone meanwhile
		s.mu.Unlock()
		for _, f := range feeds {
			unfollow(f, s.listener)
		}
		closePolicy(policy)
		return ctx.Err()
	}
	old, oldFeeds := s.view.Policy, s.feeds
	s.rememberLists()
	s.document, s.dirty, s.feeds, s.unkept = data, origin != "kept", feeds, true
	s.now.Service, s.now.Origin, s.now.Revision, s.now.Since = policy.Service, origin, revision, since
	s.now.Rejected = nil
	s.now.Updates++
	switched := s.takePending(policy)
	s.show(policy)
	for version, f := range feeds {
		s.logFailure(version, f) // a feed that others follow may have failed before
	}
	if s.now.Updates == 1 {
		close(s.ready)
	}
	s.mu.Unlock()
	s.keepSwitch(switched)
	for _, f := range oldFeeds {
		unfollow(f, s.listener)
	}
	closePolicy(old)
	if policy.Start != nil {
		policy.Start(s.logKeys)
	}
	return nil
}

// logKeys logs how the fetches of the policy's keys go.
func (s *service) logKeys(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if logger := s.logger(); logger != nil {
		LogKeys(logger, s.now.Service, err)
	}
}

// LogKeys logs how the fetches of keys for tokens go.
func LogKeys(logger *slog.Logger, service string, err error) {
	if err == nil {
		logger.Info("keys for tokens are read again", "service", service)
		return
	}
	logger.Warn("keys for tokens cannot be read; those known so far stay", "service", service, "error", err.Error())
}

// compile has the newest user compile a document: the older ones may belong to a configuration that is being closed.
func (s *service) compile(data []byte) (policy *Policy, err error) {
	s.mu.Lock()
	var compile func([]byte) (*Policy, error)
	if len(s.users) > 0 {
		compile = s.users[len(s.users)-1].config.Compile
	}
	s.mu.Unlock()
	if compile == nil {
		return nil, errors.New("nobody uses the policy any more")
	}
	policy, err = guarded(compile, data)
	if err == nil && policy == nil {
		err = errors.New("no policy came of the document")
	}
	return policy, err
}

// guarded makes an error of a panic.
func guarded(compile func([]byte) (*Policy, error), data []byte) (policy *Policy, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.New(fmt.Sprint("internal error: ", p))
		}
	}()
	return compile(data)
}

// notify hands the view to a user. Called with mu held, so a panic must not get through.
func (s *service) notify(m *member) {
	defer func() {
		if p := recover(); p != nil {
			s.logLocked(slog.LevelError, "internal error", "error", fmt.Sprint(p))
		}
	}()
	m.config.Notify(s.view)
}

// show builds the view of a policy and hands it to the users. Called with mu held.
func (s *service) show(policy *Policy) {
	v := &View{Policy: policy}
	s.forceNote = ""
	if policy != nil && s.switched.To != "" {
		v.Force = policy.Stable
		for _, name := range policy.Versions {
			if name == s.switched.To {
				v.Force = name
			}
		}
		if v.Force != s.switched.To {
			s.forceNote = fmt.Sprintf("the policy has no version %q: everything goes to %s", s.switched.To, v.Force)
		}
	}
	if len(s.feeds) > 0 {
		v.Upstreams = map[string][]discover.Instance{}
		for version, f := range s.feeds {
			if list, known := s.instances(f); known {
				v.Upstreams[version] = list
			}
		}
	}
	s.view = v
	for _, m := range s.users {
		s.notify(m)
	}
}

// instances are what the registry lists or, until it has answered, what it listed last.
func (s *service) instances(f *feed) (list []discover.Instance, known bool) {
	list, known, _, _ = f.read()
	if !known {
		list, known = s.kept[f.discovery.Name]
	}
	return list, known
}

// rememberLists keeps the lists for when the same entries are followed again, of the entries that are followed now.
func (s *service) rememberLists() {
	if len(s.feeds) == 0 {
		return
	}
	lists := map[string][]discover.Instance{}
	for _, f := range s.feeds {
		if list, known := s.instances(f); known {
			lists[f.discovery.Name] = list
		}
	}
	s.kept = lists
}

// upstreamsChanged is called by a feed that has news.
func (s *service) upstreamsChanged(identity string) {
	s.tellUpstreams(identity)
	s.keep()
}

func (s *service) tellUpstreams(identity string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.users) == 0 || s.view.Policy == nil {
		return
	}
	var changed []string
	for version, f := range s.feeds {
		list, known := s.instances(f)
		before, shown := s.view.Upstreams[version]
		if known && (!shown || !sameInstances(before, list)) {
			changed = append(changed, version)
		}
	}
	if len(changed) > 0 { // requests first, the log after
		s.unkept = true
		s.show(s.view.Policy)
	}
	for _, version := range changed {
		s.logLocked(slog.LevelInfo, "upstreams changed", "version", version, "instances", len(s.view.Upstreams[version]))
	}
	for version, f := range s.feeds {
		if f.discovery.Identity == identity {
			s.logFailure(version, f)
		}
	}
}

// logFailure logs that an entry cannot be read, if so. Called with mu held.
func (s *service) logFailure(version string, f *feed) {
	if _, _, _, failure := f.read(); failure != "" {
		s.logLocked(slog.LevelWarn, "discovery cannot be read; the last list stays", "version", version, "discover", f.discovery.Name, "error", failure)
	}
}

// takeSwitch puts a switch in force if it is newer than every one seen before. As long as there is no policy it waits for one, which says
// what versions there are.
func (s *service) takeSwitch(data []byte, revision string) {
	s.mu.Lock()
	policy := s.view.Policy
	switched := s.settle(data, revision, policy)
	if switched != nil {
		s.show(policy)
	}
	s.mu.Unlock()
	s.keepSwitch(switched)
}

// takePending settles a switch that came before the policy that it is about. Called with mu held, before the policy is shown.
func (s *service) takePending(policy *Policy) *Switch {
	if s.pending == nil {
		return nil
	}
	data := s.pending
	s.pending = nil
	return s.settle(data, "", policy)
}

// settle judges a switch, and returns it if it is a new one to be shown. Called with mu held.
func (s *service) settle(data []byte, revision string, policy *Policy) *Switch {
	next, err := ParseSwitch(data)
	if err == nil && policy == nil {
		s.pending, s.now.SwitchNote = data, "switch: waits for the first policy"
		return nil
	}
	if err == nil {
		err = s.judge(next, policy)
	}
	if err != nil {
		s.refuseSwitch(revision, data, err)
		return nil
	}
	return s.adopt(next)
}

// adopt makes a switch the newest one, and returns it if it was not before. Called with mu held.
func (s *service) adopt(next Switch) *Switch {
	s.now.SwitchNote = ""
	if next.Epoch == s.switched.Epoch {
		return nil
	}
	s.switched = next
	s.pending = nil
	s.logLocked(slog.LevelWarn, "kill switch", "epoch", next.Epoch, "to", next.To, "reason", next.Reason, "by", next.By, "at", next.At)
	return &next
}

// keepSwitch writes a switch to disk, if there is one.
func (s *service) keepSwitch(switched *Switch) {
	if switched == nil {
		return
	}
	s.mu.Lock()
	d := s.disk
	s.mu.Unlock()
	if err := d.writeSwitch(*switched); err != nil {
		s.logError("switch cannot be kept on disk: a restart may forget it", err)
	}
}

// switchDeleted forgets a switch that was refused. One that is in force stays: it ends by a newer one whose "to" is empty.
func (s *service) switchDeleted() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending = nil
	s.now.SwitchNote = ""
}

// judge says why a switch is not to be put in force on a policy.
func (s *service) judge(next Switch, policy *Policy) error {
	switch {
	case next.Epoch < s.switched.Epoch:
		return fmt.Errorf("switch: epoch %d is older than %d, which was seen: use %d or more", next.Epoch, s.switched.Epoch, s.switched.Epoch+1)
	case next.Epoch == s.switched.Epoch && next.To != s.switched.To:
		return fmt.Errorf("switch: epoch %d was seen with another version: use %d or more", next.Epoch, s.switched.Epoch+1)
	}
	if next.To == "" {
		return nil
	}
	for _, name := range policy.Versions {
		if name == next.To {
			return nil
		}
	}
	if next.Epoch == s.switched.Epoch {
		return nil // in force already; show has said what is wrong
	}
	return fmt.Errorf("switch: the policy has no version %q, only %s", next.To, strings.Join(policy.Versions, ", "))
}

// refuseSwitch notes a switch that is not put in force. It is looked at again when the document changes, as it may name a version that comes
// with the next one. Called with mu held.
func (s *service) refuseSwitch(revision string, data []byte, err error) {
	s.pending = data
	if s.now.SwitchNote == err.Error() {
		return
	}
	s.now.SwitchNote = err.Error()
	s.now.Rejections++
	s.logLocked(slog.LevelError, "kill switch refused; the last one stays", "revision", revision, "error", err.Error())
}

// keep has what is in force written to disk: at once, or after a pause when that was done just now.
func (s *service) keep() {
	s.mu.Lock()
	pause := keepPause - time.Since(s.wrote)
	if s.disk.folder == "" || len(s.users) == 0 {
		s.mu.Unlock()
		return
	}
	if pause > 0 {
		if s.timer == nil {
			s.timer = time.AfterFunc(pause, func() {
				defer func() { _ = recover() }()
				s.flush()
			})
		}
		s.mu.Unlock()
		return
	}
	s.mu.Unlock()
	s.flush()
}

// flush writes what is in force to disk.
func (s *service) flush() {
	s.flushing.Lock() // so that it is all on disk when this returns, whoever writes it
	defer s.flushing.Unlock()
	s.mu.Lock()
	// Lists that have not changed are not written again: another user of the service, of a newer configuration, may have written others.
	d, document, dirty, unkept := s.disk, s.document, s.dirty, s.unkept
	s.dirty, s.unkept, s.wrote = false, false, time.Now()
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
	s.rememberLists()
	lists := s.kept
	s.mu.Unlock()
	if d.folder == "" {
		return
	}
	if dirty && document != nil && s.source.Document == nil {
		if err := d.write("policy", document); err != nil {
			s.logError("policy cannot be kept on disk", err)
		}
	}
	if !unkept || len(lists) == 0 {
		return
	}
	data, err := json.Marshal(lists)
	if err == nil {
		err = d.write("upstreams", data)
	}
	if err != nil {
		s.logError("upstreams cannot be kept on disk", err)
	}
}

func (s *service) logError(text string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logLocked(slog.LevelError, text, "error", err.Error())
}

// logger is that of the newest user, nil if there is none: the older ones may belong to a configuration that is being closed. Called with
// mu held.
func (s *service) logger() *slog.Logger {
	if len(s.users) == 0 {
		return nil
	}
	return s.users[len(s.users)-1].config.Logger
}

func (s *service) logLocked(level slog.Level, text string, args ...any) {
	logger := s.logger()
	if logger == nil {
		return
	}
	args = append([]any{"service", s.now.Service, "source", s.source.Name}, args...)
	logger.Log(context.Background(), level, text, args...)
}

// state fills in what the events do not keep.
func (s *service) state() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.now
	st.Users = len(s.users)
	st.Forced = s.view.Force
	if st.SwitchNote == "" {
		st.SwitchNote = s.forceNote
	}
	if s.view.Policy != nil && !st.Since.IsZero() {
		st.AgeSeconds = time.Since(st.Since).Seconds()
	}
	if s.now.Rejected != nil {
		rejected := *s.now.Rejected
		st.Rejected = &rejected
	}
	if s.switched.Epoch > 0 {
		switched := s.switched
		st.Switch = &switched
	}
	if len(s.feeds) > 0 {
		st.Upstreams = map[string]Upstreams{}
	}
	for version, f := range s.feeds {
		_, known, contact, failure := f.read()
		// Those that requests are served by: the feed may know better already.
		list := s.view.Upstreams[version]
		st.Upstreams[version] = Upstreams{Discover: f.discovery.Name, Instances: list, Kept: !known, Contact: contact, Error: failure}
	}
	return st
}

func closePolicy(p *Policy) {
	if p == nil || p.Close == nil {
		return
	}
	defer func() { _ = recover() }()
	p.Close()
}
