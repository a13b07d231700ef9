package kmstest

import (
	"io"
	"strconv"
	"testing"

	"github.com/rowseal/rowseal/kms"
)

// rewrapperOf returns what Info promises. A service may have the method and say that it does nothing.
func rewrapperOf(s kms.Service) (kms.Rewrapper, kms.RewrapSupport) {
	r, ok := s.(kms.Rewrapper)
	if !ok {
		return nil, kms.RewrapNone
	}
	return r, s.Info().Rewrap
}

// rewrap asks a Key, which makes up for what the service cannot do, and then the service for what it promises.
func (s *suite) rewrap(t *testing.T) {
	service := s.service(t)
	key := kms.NewKey(service, nil)
	items := s.rows(s.batchSize(t) + 2)
	sealed := encryptAll(t, key, items)
	rewraps := make([]kms.RewrapItem, len(sealed))
	for i, it := range sealed {
		rewraps[i] = kms.RewrapItem{Item: it, To: it.Context}
		if i%2 == 1 {
			rewraps[i].To = user("moved " + strconv.Itoa(i))
		}
	}
	s.rewrapped(t, key, items, rewraps, key.RewrapBatch(t.Context(), rewraps))

	rewrapper, support := rewrapperOf(service)
	if support >= kms.RewrapSameContext {
		s.rewrapped(t, key, items[:1], rewraps[:1], rewrapper.Rewrap(t.Context(), rewraps[:1]))
	}
	if support == kms.RewrapAnyContext {
		s.rewrapped(t, key, items[1:2], rewraps[1:2], rewrapper.Rewrap(t.Context(), rewraps[1:2]))
	}
}

func (s *suite) rewrapped(t *testing.T, key *kms.Key, items []kms.Item, rewraps []kms.RewrapItem, results []kms.Result) {
	t.Helper()
	if len(results) != len(rewraps) {
		t.Fatalf("%d results for %d items", len(results), len(rewraps))
	}
	var there, elsewhere, before []kms.Item
	for i, r := range results {
		if r.Err != nil {
			t.Fatalf("rewrapping item %d: %v", i, r.Err)
		}
		there = append(there, kms.Item{Data: r.Data, Context: rewraps[i].To})
		before = append(before, rewraps[i].Item)
		if same, _ := rewraps[i].SameContext(); !same && s.enforcesContext(t) {
			elsewhere = append(elsewhere, kms.Item{Data: r.Data, Context: rewraps[i].Context})
		}
	}
	for i, r := range key.DecryptBatch(t.Context(), there) {
		expectPlaintext(t, i, r, items[i].Data)
	}
	for i, r := range key.DecryptBatch(t.Context(), before) {
		expectPlaintext(t, i, r, items[i].Data)
	}
	for _, r := range key.DecryptBatch(t.Context(), elsewhere) {
		expectError(t, "a rewrapped ciphertext under the context that it had", r, kms.ErrDecryptionFailed, kms.ErrInvalidRequest)
	}
}

func (s *suite) rewrapBadItems(t *testing.T) {
	key := s.key(t)
	items := s.rows(3)
	sealed := encryptAll(t, key, items)
	rewraps := []kms.RewrapItem{
		{Item: sealed[0], To: sealed[0].Context},
		{Item: kms.Item{Data: []byte("no ciphertext"), Context: user("1")}, To: user("1")},
		{Item: kms.Item{Data: sealed[1].Data, Context: user("wrong")}, To: user("wrong")},
		{Item: kms.Item{Data: sealed[1].Data, Context: user("wrong")}, To: sealed[1].Context},
		{Item: sealed[2], To: sealed[2].Context},
	}
	if !s.enforcesContext(t) {
		rewraps[2], rewraps[3] = rewraps[1], rewraps[1]
	}
	results := key.RewrapBatch(t.Context(), rewraps)
	for i, what := range map[int]string{1: "no ciphertext", 2: "a wrong context", 3: "a wrong context, and another"} {
		expectError(t, "rewrap of "+what, results[i], kms.ErrDecryptionFailed)
	}
	for _, i := range []int{0, 4} {
		if results[i].Err != nil {
			t.Errorf("item %d beside them: %v", i, results[i].Err)
			continue
		}
		expectPlaintext(t, i, open(t.Context(), s.service(t), results[i].Data, rewraps[i].To), items[i/2].Data)
	}
}

func (s *suite) rewrapFromOther(t *testing.T) {
	from, to := kms.NewKey(s.watched(s.Other(t)), nil), s.key(t)
	items := s.rows(3)
	sealed := encryptAll(t, from, items)
	rewraps := make([]kms.RewrapItem, len(sealed))
	for i, it := range sealed {
		rewraps[i] = kms.RewrapItem{Item: it, From: from, To: user("moved " + strconv.Itoa(i))}
	}
	rewraps[0].To = rewraps[0].Context
	rewraps = append(rewraps, kms.RewrapItem{Item: kms.Item{Data: []byte("no ciphertext"), Context: user("1")}, From: from, To: user("1")})
	results := to.RewrapBatch(t.Context(), rewraps)
	for i, r := range results {
		if i == len(items) {
			expectError(t, "rewrap of no ciphertext", r, kms.ErrDecryptionFailed)
			continue
		}
		if r.Err != nil {
			t.Fatalf("rewrapping item %d: %v", i, r.Err)
		}
		moved := kms.Item{Data: r.Data, Context: rewraps[i].To}
		expectPlaintext(t, i, one(to.DecryptBatch(t.Context(), []kms.Item{moved})), items[i].Data)
		expectError(t, "the new ciphertext, by the old key", one(from.DecryptBatch(t.Context(), []kms.Item{moved})), alteredErrors...)
		expectPlaintext(t, i, one(from.DecryptBatch(t.Context(), []kms.Item{sealed[i]})), items[i].Data)
	}
}

func (s *suite) checkDecrypt(t *testing.T) {
	if err := s.key(t).CheckDecrypt(t.Context(), user("1")); err != nil {
		t.Errorf("with the right: %v", err)
	}
	if s.EncryptOnly == nil {
		return
	}
	err := kms.NewKey(s.watched(s.EncryptOnly(t)), nil).CheckDecrypt(t.Context(), user("1"))
	expectError(t, "without the right", kms.Result{Err: err}, kms.ErrAccessDenied)
	s.checkText(err)
}

func (s *suite) encryptOnly(t *testing.T) {
	sealer, opener := s.watched(s.EncryptOnly(t)), s.service(t)
	want := s.dataKey()
	ciphertext := s.seal(t, sealer, want, user("1"))
	expectPlaintext(t, 0, open(t.Context(), opener, ciphertext, user("1")), want)
	expectError(t, "decrypt", open(t.Context(), sealer, ciphertext, user("1")), kms.ErrAccessDenied)
	for what, to := range map[string]kms.Context{"the same context": user("1"), "another context": user("2")} {
		item := kms.RewrapItem{Item: kms.Item{Data: ciphertext, Context: user("1")}, To: to}
		r := kms.NewKey(sealer, nil).RewrapBatch(t.Context(), []kms.RewrapItem{item})
		expectError(t, "rewrap under "+what, one(r), kms.ErrAccessDenied)
	}
}

func (s *suite) disabled(t *testing.T) {
	service := s.service(t)
	want := s.dataKey()
	ciphertext := s.seal(t, service, want, user("1"))
	s.Disable(t)
	enabled := false
	defer func() {
		if !enabled {
			s.Enable(t)
		}
	}()
	item := kms.Item{Data: want, Context: user("1")}
	expectError(t, "encrypt", one(service.Encrypt(t.Context(), []kms.Item{item})), kms.ErrKeyDisabled)
	expectError(t, "decrypt", open(t.Context(), service, ciphertext, user("1")), kms.ErrKeyDisabled)
	item.Data = ciphertext
	rewraps := []kms.RewrapItem{{Item: item, To: item.Context}}
	expectError(t, "rewrap", one(kms.NewKey(service, nil).RewrapBatch(t.Context(), rewraps)), kms.ErrKeyDisabled)

	s.Enable(t)
	enabled = true
	expectPlaintext(t, 0, open(t.Context(), service, ciphertext, user("1")), want)
	s.roundTrip(t, kms.NewKey(service, nil), s.rows(1))
}

func (s *suite) rotation(t *testing.T) {
	earlier := s.service(t)
	want := s.dataKey()
	before := s.seal(t, earlier, want, user("1"))
	s.Rotate(t)
	later := s.service(t)
	fresh := s.seal(t, later, want, user("1"))
	for what, service := range map[string]kms.Service{"a service made before": earlier, "a service made after": later} {
		for when, ciphertext := range map[string][]byte{"before": before, "after": fresh} {
			r := open(t.Context(), service, ciphertext, user("1"))
			if r.Err != nil || string(r.Data) != string(want) {
				t.Errorf("%s the rotation does not open what was sealed %s: %v", what, when, r.Err)
			}
		}
	}
	items := []kms.RewrapItem{{Item: kms.Item{Data: before, Context: user("1")}, To: user("1")}}
	r := one(kms.NewKey(later, nil).RewrapBatch(t.Context(), items))
	if r.Err != nil {
		t.Fatalf("rewrap: %v", r.Err)
	}
	expectPlaintext(t, 0, open(t.Context(), later, r.Data, user("1")), want)
	if shows, ok := s.New(t).(kms.KeyVersioner); ok {
		s.keyVersions(t, shows, before, fresh, r.Data)
	}
	if s.Version == nil {
		return
	}
	if old, is, newest := s.Version(before), s.Version(r.Data), s.Version(fresh); is != newest || newest <= old {
		t.Errorf("rewrap made version %d of %d; the key has %d", old, is, newest)
	}
}

// keyVersions: each ciphertext shows the version that made it, and what is none shows nothing.
func (s *suite) keyVersions(t *testing.T, shows kms.KeyVersioner, before, fresh, rewrapped []byte) {
	old, newest := shows.KeyVersion(before), shows.KeyVersion(fresh)
	if old == "" || newest == "" || old == newest {
		t.Errorf("KeyVersion is %q before the rotation and %q after it", old, newest)
	}
	if is := shows.KeyVersion(rewrapped); is != newest {
		t.Errorf("KeyVersion is %q after a rewrap, and the newest is %q", is, newest)
	}
	for _, none := range []string{"", "x", "v"} {
		if is := shows.KeyVersion([]byte(none)); is != "" {
			t.Errorf("KeyVersion of %q is %q", none, is)
		}
	}
}

func (s *suite) closeTwice(t *testing.T) {
	service := s.New(t)
	closer, ok := service.(io.Closer)
	for i := range 2 {
		if !ok {
			break
		}
		if err := closer.Close(); err != nil {
			t.Errorf("close %d: %v", i+1, err)
		}
	}
	key := kms.NewKey(service, nil)
	for range 2 {
		if err := key.Close(); err != nil {
			t.Errorf("Key.Close: %v", err)
		}
	}
}
