package vaulttest

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// AuditLog is a file audit device: what the server writes down about each request, with strings as hashes.
type AuditLog struct {
	Path   string // of the file
	server *Server
}

// AuditEntry is a line of an audit log.
type AuditEntry struct {
	Type     string // "request" or "response"
	Request  AuditMessage
	Response AuditMessage
	Error    string
}

// AuditMessage is a request or response in an audit log.
type AuditMessage struct {
	Operation string
	Path      string
	Data      map[string]any
}

// Items returns the items of a batch: batch_input of a request, batch_results of a response.
func (m AuditMessage) Items() []map[string]any {
	var items []map[string]any
	for _, name := range []string{"batch_input", "batch_results"} {
		list, _ := m.Data[name].([]any)
		for _, item := range list {
			items = append(items, item.(map[string]any))
		}
	}
	return items
}

const auditDevice = "file"

// Audit turns the server's file audit device on. A server has one.
func (s *Server) Audit(tb testing.TB) *AuditLog {
	tb.Helper()
	log := &AuditLog{Path: filepath.Join(s.dir, "audit.log"), server: s}
	s.Write(tb, "sys/audit/"+auditDevice, map[string]any{"type": "file", "options": map[string]any{"file_path": log.Path}})
	return log
}

// Hash returns what stands in the log for a string: sys/audit-hash.
func (l *AuditLog) Hash(tb testing.TB, input string) string {
	tb.Helper()
	hash, err := l.server.Root.Sys().AuditHash(auditDevice, input)
	if err != nil {
		tb.Fatalf("%s: %v", l.server.Name, err)
	}
	return hash
}

// Text returns the log as it stands in the file.
func (l *AuditLog) Text(tb testing.TB) []byte {
	tb.Helper()
	text, err := os.ReadFile(l.Path)
	if err != nil {
		tb.Fatal(err)
	}
	return text
}

// Requests returns the requests to a path so far. A server writes a request down before it answers.
func (l *AuditLog) Requests(tb testing.TB, path string) []AuditEntry {
	tb.Helper()
	return l.entries(tb, "request", path)
}

// Responses returns the answers to requests to a path so far. A server writes one down before it sends it.
func (l *AuditLog) Responses(tb testing.TB, path string) []AuditEntry {
	tb.Helper()
	return l.entries(tb, "response", path)
}

func (l *AuditLog) entries(tb testing.TB, kind, path string) []AuditEntry {
	tb.Helper()
	var found []AuditEntry
	for line := range bytes.Lines(l.Text(tb)) {
		var e AuditEntry
		if err := json.Unmarshal(line, &e); err != nil {
			tb.Fatalf("%s: %v in the audit log's line %s", l.server.Name, err, line)
		}
		if e.Type == kind && e.Request.Path == path {
			found = append(found, e)
		}
	}
	return found
}
