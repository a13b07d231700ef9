package rowseal

import (
	"context"
	"fmt"

	"github.com/rowseal/rowseal/kms"
)

// job is one data key to wrap, unwrap or rewrap. Jobs of many rows, key columns and keyrings are done together, in one
// batch a KMS key.
type job struct {
	ring      *Keyring
	context   func(version int) (kms.Context, error)
	target    func(version int) (kms.Context, error) // of a rewrap; nil: context
	plaintext []byte
	wrapped   string

	version int         // the version that was used
	ec      kms.Context // the context that was used
	err     error
}

// batches collects items by KMS key, in the order in which the keys first came.
type batches[I any] struct {
	keys  []*kms.Key
	items map[*kms.Key][]I
	jobs  map[*kms.Key][]*job
}

func (b *batches[I]) add(k *kms.Key, j *job, it I) {
	if b.items == nil {
		b.items, b.jobs = map[*kms.Key][]I{}, map[*kms.Key][]*job{}
	}
	if b.items[k] == nil {
		b.keys = append(b.keys, k)
	}
	b.items[k], b.jobs[k] = append(b.items[k], it), append(b.jobs[k], j)
}

// keysAtOnce bounds how many KMS keys are called at a time, as where each tenant has one.
const keysAtOnce = 8

// each runs one call a key and hands each job its result.
func (b *batches[I]) each(call func(*kms.Key, []I) []kms.Result, done func(*job, []byte)) {
	atOnce(len(b.keys), keysAtOnce, func(n int) {
		k := b.keys[n]
		for i, r := range call(k, b.items[k]) {
			b.jobs[k][i].finish(r, done)
		}
	})
}

func (j *job) finish(r kms.Result, done func(*job, []byte)) {
	if j.err = r.Err; r.Err == nil {
		done(j, r.Data)
	}
}

// wrapAll wraps the plaintexts of the jobs.
func wrapAll(ctx context.Context, jobs []*job) {
	var b batches[kms.Item]
	for _, j := range jobs {
		if len(j.ring.versions) == 0 {
			j.err = fmt.Errorf("the keyring has no version; make it with NewKeyring: %w", kms.ErrInvalidRequest)
			continue
		}
		v := j.ring.versions[0]
		j.version = v.Number
		if j.ec, j.err = j.context(v.Number); j.err == nil {
			b.add(v.Key, j, kms.Item{Data: j.plaintext, Context: j.ec, Encoding: v.Encoding})
		}
	}
	b.each(func(k *kms.Key, items []kms.Item) []kms.Result { return k.EncryptBatch(ctx, items) }, (*job).keep)
}

// keep files what the KMS has wrapped. What parseWrapped would refuse as too long must not be written.
func (j *job) keep(ciphertext []byte) {
	wrapped := wrappedKey{version: j.version, ciphertext: ciphertext}.String()
	if len(wrapped) > maxWrapped {
		j.err = fmt.Errorf("the ciphertext has %d bytes, and at most %d are read again; encrypt less: %w", len(wrapped), maxWrapped, kms.ErrInvalidRequest)
		return
	}
	j.wrapped = wrapped
}

// unwrapAll opens the wrapped keys of the jobs.
func unwrapAll(ctx context.Context, jobs []*job) {
	var b batches[kms.Item]
	for _, j := range jobs {
		if v, it, ok := j.source(); ok {
			b.add(v.Key, j, it)
		}
	}
	b.each(func(k *kms.Key, items []kms.Item) []kms.Result { return k.DecryptBatch(ctx, items) },
		func(j *job, data []byte) { j.plaintext = data })
}

// source returns the version that a wrapped key needs and the item that opens it, or sets the job's error.
func (j *job) source() (v Version, it kms.Item, ok bool) {
	var w wrappedKey
	if w, v, j.err = j.ring.parse(j.wrapped); j.err != nil {
		j.version = v.Number
		return v, it, false
	}
	j.version = v.Number
	if j.ec, j.err = j.context(v.Number); j.err != nil {
		return v, it, false
	}
	it, j.err = w.item(v, j.ec)
	return v, it, j.err == nil
}

// rewrapAll wraps the jobs' keys with their keyrings' first versions. On success a job has the version and context that it
// was moved to; on failure those that it came from.
func rewrapAll(ctx context.Context, jobs []*job) {
	var b batches[kms.RewrapItem]
	moved := make(map[*job]kms.Context)
	for _, j := range jobs {
		from, it, ok := j.source()
		if !ok {
			continue
		}
		to := j.ring.versions[0]
		target, err := j.moveTo(to.Number)
		if err != nil {
			j.err = err
			continue
		}
		moved[j] = target
		b.add(to.Key, j, kms.RewrapItem{Item: it, From: from.Key, To: target, ToEncoding: to.Encoding})
	}
	b.each(func(k *kms.Key, items []kms.RewrapItem) []kms.Result { return k.RewrapBatch(ctx, items) },
		func(j *job, ciphertext []byte) {
			j.version, j.ec = j.ring.versions[0].Number, moved[j]
			j.keep(ciphertext)
		})
}

// moveTo returns the context that a rewrap gives.
func (j *job) moveTo(version int) (kms.Context, error) {
	if j.target == nil {
		return j.context(version)
	}
	return j.target(version)
}
