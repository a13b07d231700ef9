package activestorage

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
)

// queryRecords is how many records one query of Load names. SQLite before 3.32 took no more than 999 parameters.
const queryRecords = 900

// Load returns the attachments of any number of records of one type, of all names, by record id in no order and for
// each record in that of the attachments' ids: one query for each 900 records. Attachments whose blob is missing are
// left out, as Rails does. Nothing is read from the store.
func (s *Storage) Load(ctx context.Context, db DB, recordType string, recordIDs ...any) (Attachments, error) {
	ids, err := idTexts(recordIDs)
	if err != nil {
		return nil, err
	}
	var found Attachments
	for some := range slices.Chunk(ids, queryRecords) {
		args := append([]any{recordType}, some...)
		more, err := s.load(ctx, db, "", `a.record_type = ? AND a.record_id IN (`+parameters(len(some))+`)`, args...)
		if err != nil {
			return nil, fmt.Errorf("activestorage: load attachments of %s: %w", recordType, err)
		}
		found = append(found, more...)
	}
	return found, nil
}

// load reads the attachments of a condition. end is "" or the dialect's forUpdate.
func (s *Storage) load(ctx context.Context, db DB, end, where string, args ...any) (Attachments, error) {
	return query(ctx, s, db, scanAttachment, `SELECT a.id, a.name, a.record_type, a.record_id, a.created_at,
		b.id, b.key, b.filename, b.content_type, b.metadata, b.service_name, b.byte_size, b.checksum, b.created_at
		FROM active_storage_attachments a JOIN active_storage_blobs b ON b.id = a.blob_id
		WHERE `+where+` ORDER BY a.id`+end, args...)
}

func scanAttachment(rows *sql.Rows) (Attachment, error) {
	var a Attachment
	b := &a.Blob
	var contentType, metadata, checksum sql.NullString
	err := rows.Scan(&a.ID, &a.Name, &a.RecordType, &a.RecordID, (*timestamp)(&a.CreatedAt),
		&b.ID, &b.Key, &b.Filename, &contentType, &metadata, &b.ServiceName, &b.ByteSize, &checksum,
		(*timestamp)(&b.CreatedAt))
	b.ContentType, b.Metadata, b.Checksum = contentType.String, Metadata(metadata.String), checksum.String
	return a, err
}

func scanText(rows *sql.Rows) (text string, err error) {
	err = rows.Scan(&text)
	return text, err
}

// query returns all rows of a statement of this package.
func query[T any](
	ctx context.Context, s *Storage, db DB, scan func(*sql.Rows) (T, error), statement string, args ...any,
) ([]T, error) {
	return queryAsItIs(ctx, db, scan, s.dialect.sql(statement), args...)
}

// queryAsItIs reads to the end, so that the connection is free again for the transaction's next statement.
func queryAsItIs[T any](
	ctx context.Context, db DB, scan func(*sql.Rows) (T, error), statement string, args ...any,
) ([]T, error) {
	rows, err := db.QueryContext(ctx, statement, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		row, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, row)
	}
	return all, rows.Err()
}

// Unreferenced returns those of the keys that no blob names, on whatever service: with a listing of a store it finds
// what killed processes left behind. An object whose transaction is not committed yet has no row either, so leave young
// ones alone.
func (s *Storage) Unreferenced(ctx context.Context, db DB, keys ...string) ([]string, error) {
	var free []string
	for some := range slices.Chunk(keys, queryRecords) {
		args := make([]any, len(some))
		for i, key := range some {
			args[i] = key
		}
		named, err := query(ctx, s, db, scanText,
			`SELECT b.key FROM active_storage_blobs b WHERE b.key IN (`+parameters(len(some))+`)`, args...)
		if err != nil {
			return nil, fmt.Errorf("activestorage: which objects have a blob: %w", err)
		}
		for _, key := range some {
			if !slices.Contains(named, key) {
				free = append(free, key)
			}
		}
	}
	return free, nil
}

// parameters returns n of them, n > 0.
func parameters(n int) string { return strings.Repeat(", ?", n)[2:] }
