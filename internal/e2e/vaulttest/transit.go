package vaulttest

import (
	"slices"
	"testing"

	"github.com/hashicorp/vault/api"
)

// Mount mounts another transit engine. There is one at transit.
func (s *Server) Mount(tb testing.TB, path string) {
	tb.Helper()
	if err := s.Root.Sys().Mount(path, &api.MountInput{Type: "transit"}); err != nil {
		tb.Fatalf("%s: %v", s.Name, err)
	}
}

// Key makes a key. One that is derived has a key of its own for each context, and does nothing without one.
func (s *Server) Key(tb testing.TB, name string, derived bool) {
	tb.Helper()
	s.Write(tb, "transit/keys/"+name, map[string]any{"derived": derived})
}

// Keys returns the names of the keys, in their order.
func (s *Server) Keys(tb testing.TB) []string {
	tb.Helper()
	list, err := s.Root.Logical().List("transit/keys")
	if err != nil {
		tb.Fatalf("%s: %v", s.Name, err)
	}
	if list == nil {
		return nil // how the API says: none
	}
	var names []string
	for _, name := range list.Data["keys"].([]any) {
		names = append(names, name.(string))
	}
	slices.Sort(names)
	return names
}

// Rotate gives a key a new version, with which it encrypts from now on.
func (s *Server) Rotate(tb testing.TB, name string) {
	tb.Helper()
	s.Write(tb, "transit/keys/"+name+"/rotate", nil)
}

// Backup returns a key as Restore takes it, in plaintext. It makes the key exportable.
func (s *Server) Backup(tb testing.TB, name string) string {
	tb.Helper()
	s.Write(tb, "transit/keys/"+name+"/config", map[string]any{"exportable": true, "allow_plaintext_backup": true})
	secret, err := s.Root.Logical().Read("transit/backup/" + name)
	if err != nil {
		tb.Fatalf("%s: %v", s.Name, err)
	}
	return secret.Data["backup"].(string)
}

// Restore makes a key of a backup, with all of its versions.
func (s *Server) Restore(tb testing.TB, name, backup string) {
	tb.Helper()
	s.Write(tb, "transit/restore/"+name, map[string]any{"backup": backup})
}
