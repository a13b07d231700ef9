package rowseal

import (
	"context"

	"github.com/rowseal/rowseal/kms"
)

// WrappedKey is what is known of a data key without its KMS.
type WrappedKey struct {
	Column  string
	Name    string   // of the key, "" for the table's main key
	Wrapped string   // as the key column holds it
	Version int      // of the Keyring
	Current bool     // it is the Keyring's first version, which seals
	Key     *kms.Key // of that version
	// KeyVersion is the version of the KMS's own key, "" where the KMS does not show it; see kms.Key.KeyVersion.
	KeyVersion string
}

// Wrapped tells by which keys the data keys of a row are wrapped. Key columns that are NULL or not loaded are left out, and
// those that Only leaves out. One that its Keyring cannot read is an error, beside the others.
func (r *Rows) Wrapped(row any) ([]WrappedKey, error) {
	rec, err := r.one(row)
	if err != nil {
		return nil, err
	}
	var all []WrappedKey
	work := r.each([]record{rec}, func(k *rowKey) error {
		if k.isMaster() || k.dk.IsNull() {
			return nil
		}
		w, err := k.describe()
		if err == nil {
			all = append(all, w)
		}
		return err
	})
	return all, batchError(work, 1)
}

func (k *rowKey) describe() (WrappedKey, error) {
	ring, err := k.keyring()
	if err != nil {
		return WrappedKey{}, err
	}
	w, version, err := ring.parse(k.dk.Wrapped())
	if err != nil {
		return WrappedKey{}, err
	}
	return WrappedKey{
		Column: k.keyColumn(), Name: k.keys[k.key].name, Wrapped: k.dk.Wrapped(), Version: version.Number, Key: version.Key,
		Current: w.version == ring.versions[0].Number, KeyVersion: version.Key.KeyVersion(w.ciphertext),
	}, nil
}

func (e *engine) rewrap(ctx context.Context, records []record, choose func(WrappedKey) bool) error {
	if e.err != nil {
		return e.err
	}
	work := e.each(records, func(k *rowKey) error { return k.planRewrap(choose) })
	var jobs []*job
	for _, k := range work {
		if k.err == nil && k.job != nil {
			jobs = append(jobs, k.job)
		}
	}
	rewrapAll(ctx, jobs)
	for _, k := range work {
		if k.err == nil && k.job != nil {
			k.err = k.commitRewrap()
		}
	}
	return batchError(work, len(records))
}

func (k *rowKey) planRewrap(choose func(WrappedKey) bool) (err error) {
	if k.isMaster() || k.dk.IsNull() {
		return nil
	}
	if choose != nil {
		w, err := k.describe()
		if err != nil || !choose(w) {
			return err
		}
	}
	if err := k.checkContext(); err != nil {
		return err
	}
	k.job, err = k.newJob()
	return err
}

func (k *rowKey) commitRewrap() error {
	if k.job.err != nil {
		return k.job.err
	}
	opened := k.dk.h.unwrapped()
	if opened != nil {
		row, err := k.identity(k.job.ec)
		if err != nil {
			return err
		}
		opened = opened.in(row)
	}
	dk := k.dk.replace(k.wrappedAnew(), opened)
	dk.h.before, dk.h.replaced, dk.h.print = k.dk.h, k.dk.h.loses(), k.dk.h.fingerprint()
	*k.dk = dk
	return nil
}
