package activestorage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Change is what a transaction does to attachments. Its methods write new objects at once and rows in the transaction;
// when the transaction has ended, one of three calls deletes the objects that are no longer needed:
//
//	Commit     it was committed: the old objects
//	Rollback   it was not, for certain: the new ones
//	Settle     its commit failed: whether it was committed nobody knows
//
// Each does nothing when it has been done, and may be called again after an error. Calling none of them, as a killed
// process does, loses nothing and leaves objects behind. After an error of any other method roll the transaction back.
//
// A Change is used by one goroutine at a time, like its transaction.
type Change struct {
	storage  *Storage
	tx       Tx
	created  []object
	replaced []object // nothing in the transaction names them any more
	end      ending
}

type object struct {
	service, key string
}

type ending int

const (
	running ending = iota
	committed
	rolledBack
	unknown
)

var (
	errNoBox = errors.New("no box: nil was given")
	errEnded = errors.New("the change has ended: begin another one")

	errUnsettled = errors.New("no blob names them, unless the lost commit is yet to be done")
)

// Begin returns a Change for a transaction of the caller's. tx may not be in use elsewhere at the same time.
func (s *Storage) Begin(tx Tx) *Change { return &Change{storage: s, tx: tx} }

// Update runs do in a transaction of its own, and commits it if do returns nil. It deletes what is then no longer
// needed even if ctx has ended, within half a minute. do may use tx for rows of its own, and neither commits it nor
// rolls it back.
//
// When the transaction was committed and only the deletion of old objects failed, the error is a *LeftoverError that
// says Committed.
func (s *Storage) Update(ctx context.Context, db *sql.DB, do func(tx *sql.Tx, change *Change) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("activestorage: begin: %w", err)
	}
	defer tx.Rollback() // if do panics
	change := s.Begin(tx)
	err = do(tx, change)

	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
	defer cancel()
	if err != nil {
		tx.Rollback() // COMMIT was never sent, so there is no other end, even where this fails
		return errors.Join(err, change.Rollback(ctx))
	}
	if err := tx.Commit(); err != nil {
		return errors.Join(fmt.Errorf("activestorage: commit: %w", err), change.Settle(ctx, db))
	}
	return change.Commit(ctx)
}

const cleanupTime = 30 * time.Second

// Commit deletes the old objects. Call it when the transaction has been committed. What could not be deleted is a
// *LeftoverError, and another call tries again. After Rollback it is an error.
func (c *Change) Commit(ctx context.Context) error {
	if c.end == rolledBack {
		return errors.New("activestorage: commit: the change was rolled back, and its new objects are deleted")
	}
	c.end = committed
	return c.delete(ctx, &c.replaced)
}

// Rollback deletes the new objects. Call it when the transaction was rolled back, or never asked to commit. Do not
// defer it: after a failed commit, which calls for Settle, it would delete what the database may name. What could not
// be deleted is a *LeftoverError, and another call tries again. After Commit or Settle it does nothing.
func (c *Change) Rollback(ctx context.Context) error {
	if c.end == committed || c.end == unknown {
		return nil
	}
	c.end = rolledBack
	return c.delete(ctx, &c.created)
}

// Settle asks the database what became of the transaction, whose commit failed: the server may have done it and the
// answer been lost. Old objects that no blob names any more are deleted. New ones never are, since a lost commit may
// yet be done; those without a blob are a *LeftoverError. db is not the transaction. After Commit or Rollback it does
// the same as they.
func (c *Change) Settle(ctx context.Context, db DB) error {
	switch c.end {
	case committed:
		return c.Commit(ctx)
	case rolledBack:
		return c.Rollback(ctx)
	}
	c.end = unknown
	free, err := c.storage.Unreferenced(ctx, db, append(keysOf(c.replaced), keysOf(c.created)...)...)
	if err != nil {
		return err
	}
	old, named := split(c.replaced, free)
	_, c.created = split(c.created, keysOf(old)) // what the change itself has replaced again
	err = c.delete(ctx, &old)
	c.replaced = append(old, named...)
	if err != nil {
		return err
	}
	if fresh, _ := split(c.created, free); len(fresh) > 0 {
		return &LeftoverError{Keys: keysOf(fresh), Err: errUnsettled}
	}
	return nil
}

// split tells the objects with one of the keys from the others.
func split(objects []object, keys []string) (in, out []object) {
	for _, o := range objects {
		if slices.Contains(keys, o.key) {
			in = append(in, o)
		} else {
			out = append(out, o)
		}
	}
	return in, out
}

// delete leaves those objects in the list that it could not delete.
func (c *Change) delete(ctx context.Context, objects *[]object) error {
	var left []object
	var failures []error
	for _, o := range *objects {
		if err := c.storage.stores[o.service].Delete(ctx, o.key); err != nil {
			left = append(left, o)
			failures = append(failures, err)
		}
	}
	*objects = left
	if len(left) == 0 {
		return nil
	}
	return &LeftoverError{Keys: keysOf(left), Committed: c.end == committed, Err: errors.Join(failures...)}
}

func keysOf(objects []object) []string {
	keys := make([]string, len(objects))
	for i, o := range objects {
		keys[i] = o.key
	}
	return keys
}

// LeftoverError says that objects are still in the store that no row needs. Nothing is lost.
type LeftoverError struct {
	Keys      []string // of the objects
	Committed bool     // the change is in the database
	Err       error    // why they are still there
}

func (e *LeftoverError) Error() string {
	return fmt.Sprintf("activestorage: objects left behind: %s: %v", strings.Join(e.Keys, ", "), e.Err)
}

// Unwrap returns Err.
func (e *LeftoverError) Unwrap() error { return e.Err }
