package sweep

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"
)

// Replaced is an entry of the journal: a rekey has given a row a new data key. What somebody who does not compare keys has sealed
// under the old one since can be repaired as long as the entry is there.
type Replaced struct {
	Column   string // the key column
	Old, New string // wrapped keys
	At       time.Time
}

func hashOf(key string) string {
	h := sha256.Sum256([]byte(key))
	return hex.EncodeToString(h[:])
}

// note writes an entry.
func (s store) note(ctx context.Context, table, column string, key []any, old, fresh string) error {
	text, err := encodeKey(key)
	if err != nil {
		return err
	}
	_, err = s.exec(ctx, `INSERT INTO rowseal_journal (table_name, key_column, row_hash, row_key, old_key, new_key, at) VALUES (?, ?, ?, ?, ?, ?, NOW)`,
		table, column, hashOf(text), text, old, fresh)
	return err
}

// journalOf lists the entries of rows, by row, the newest first.
func (s store) journalOf(ctx context.Context, table string, keys [][]any) (map[string][]Replaced, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	args := []any{table}
	known := map[string]bool{}
	for _, key := range keys {
		text, err := encodeKey(key)
		if err != nil {
			return nil, err
		}
		known[text] = true
		args = append(args, hashOf(text))
	}
	all := map[string][]Replaced{}
	query := `SELECT row_key, key_column, old_key, new_key, at FROM rowseal_journal WHERE table_name = ? AND row_hash IN (` + marks(len(keys)) + `) ORDER BY at DESC`
	err := s.query(ctx, query, args, func(scan func(...any) error) error {
		var row string
		var r Replaced
		var at int64
		if err := scan(&row, &r.Column, &r.Old, &r.New, &at); err != nil {
			return err
		}
		if r.At = time.UnixMilli(at); known[row] {
			all[row] = append(all[row], r)
		}
		return nil
	})
	return all, err
}

// journaled lists rows that have entries from before a moment, some of them, in the order of their hashes after one; last is the last.
func (s store) journaled(ctx context.Context, table string, before time.Time, after string) (keys [][]any, last string, err error) {
	query := `SELECT DISTINCT row_hash, row_key FROM rowseal_journal WHERE table_name = ? AND at <= ? AND row_hash > ? ORDER BY row_hash LIMIT 200`
	err = s.query(ctx, query, []any{table, before.UnixMilli(), after}, func(scan func(...any) error) error {
		var text string
		if err := scan(&last, &text); err != nil {
			return err
		}
		key, err := decodeKey(text)
		keys = append(keys, key)
		return err
	})
	return keys, last, err
}

// forget deletes the entries of rows that are older than a moment of the database's clock.
func (s store) forget(ctx context.Context, table string, columns []string, keys [][]any, before time.Time) error {
	args := []any{table, before.UnixMilli()}
	for _, c := range columns {
		args = append(args, c)
	}
	for _, key := range keys {
		text, err := encodeKey(key)
		if err != nil {
			return err
		}
		args = append(args, hashOf(text))
	}
	_, err := s.exec(ctx, `DELETE FROM rowseal_journal WHERE table_name = ? AND at <= ? AND key_column IN (`+marks(len(columns))+`) AND row_hash IN (`+marks(len(keys))+`)`, args...)
	return err
}

func marks(n int) string { return strings.TrimSuffix(strings.Repeat("?, ", n), ", ") }

// clock is the database's time.
func (s store) clock(ctx context.Context) (time.Time, error) {
	var ms int64
	err := s.query(ctx, `SELECT NOW`, nil, func(scan func(...any) error) error { return scan(&ms) })
	return time.UnixMilli(ms), err
}
