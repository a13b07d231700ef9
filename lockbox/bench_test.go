package lockbox_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"fmt"
	"testing"
	"time"

	"github.com/rowseal/rowseal/lockbox"
)

// The benchmarks seal and open a field of 64 bytes, under a kept key and under one that is new for every message (a row of
// one field), as a box does it and bare: crypto/aes, cipher.NewGCMWithRandomNonce and encoding/base64, nothing else.
const fieldSize = 64

var associatedData = []byte("users.email_ciphertext")

func BenchmarkEncrypt(b *testing.B) {
	for _, c := range contests {
		b.Run(c.name, func(b *testing.B) { compare(b, c.encrypt, c.bareEncrypt) })
	}
}

func BenchmarkDecrypt(b *testing.B) {
	for _, c := range contests {
		b.Run(c.name, func(b *testing.B) { compare(b, c.decrypt, c.bareDecrypt) })
	}
}

// The promise that the benchmarks watch, in the part that does not depend on the machine.
func TestABoxAllocatesAtMostOnceMoreThanTheBareCipher(t *testing.T) {
	for _, c := range contests {
		t.Run(c.name, func(t *testing.T) {
			for _, op := range []struct {
				name       string
				ours, bare func()
			}{{"encrypt", c.encrypt, c.bareEncrypt}, {"decrypt", c.decrypt, c.bareDecrypt}} {
				ours, bare := testing.AllocsPerRun(100, op.ours), testing.AllocsPerRun(100, op.bare)
				if ours > bare+1 {
					t.Errorf("%s allocates %v times, bare %v times: want at most one more", op.name, ours, bare)
				}
			}
		})
	}
}

// compare measures ours, and beside it the ratio to bare. Both run in turn in short batches, so that a change of the
// machine's speed reaches both.
func compare(b *testing.B, ours, bare func()) {
	const batch = 500
	var oursTime, bareTime time.Duration
	run := func(n int, f func()) time.Duration {
		start := time.Now()
		for range n {
			f()
		}
		return time.Since(start)
	}
	bareAllocs := testing.AllocsPerRun(100, bare)
	b.ReportAllocs()
	b.SetBytes(fieldSize)
	b.ResetTimer()
	for done := 0; done < b.N; done += batch {
		n := min(batch, b.N-done)
		oursTime += run(n, ours)
		b.StopTimer()
		bareTime += run(n, bare)
		b.StartTimer()
	}
	b.StopTimer()
	b.ReportMetric(oursTime.Seconds()/bareTime.Seconds(), "x/bare")
	b.ReportMetric(bareAllocs, "bare-allocs/op")
}

type contest struct {
	name                                       string
	encrypt, bareEncrypt, decrypt, bareDecrypt func()
}

var contests = func() (all []contest) {
	for _, raw := range []bool{false, true} {
		for _, fresh := range []bool{false, true} {
			all = append(all, newContest(raw, fresh))
		}
	}
	return all
}()

func newContest(raw, fresh bool) contest {
	plaintext := bytes.Repeat([]byte("p"), fieldSize)
	key := bytes.Repeat([]byte("k"), lockbox.KeySize)
	opts := &lockbox.Options{Format: lockbox.Format{Raw: raw}}

	kept := must(lockbox.New(key, opts))
	keptAEAD := newBare(key)
	ciphertext := must(kept.Encrypt(plaintext, associatedData))

	bareEncrypt := func(aead cipher.AEAD) {
		sink = aead.Seal(nil, nil, plaintext, associatedData)
		if !raw {
			sink = base64.StdEncoding.AppendEncode(nil, sink)
		}
	}
	bareDecrypt := func(aead cipher.AEAD) {
		sealed := ciphertext
		if !raw {
			sealed = must(base64.StdEncoding.AppendDecode(nil, ciphertext))
		}
		sink = must(aead.Open(nil, nil, sealed, associatedData))
	}
	name := map[bool]string{false: "text", true: "raw"}[raw]
	if fresh {
		return contest{
			name:        name + "/fresh",
			encrypt:     func() { sink = must(must(lockbox.New(key, opts)).Encrypt(plaintext, associatedData)) },
			bareEncrypt: func() { bareEncrypt(newBare(key)) },
			decrypt:     func() { sink = must(must(lockbox.New(key, opts)).Decrypt(ciphertext, associatedData)) },
			bareDecrypt: func() { bareDecrypt(newBare(key)) },
		}
	}
	return contest{
		name:        name + "/kept",
		encrypt:     func() { sink = must(kept.Encrypt(plaintext, associatedData)) },
		bareEncrypt: func() { bareEncrypt(keptAEAD) },
		decrypt:     func() { sink = must(kept.Decrypt(ciphertext, associatedData)) },
		bareDecrypt: func() { bareDecrypt(keptAEAD) },
	}
}

func newBare(key []byte) cipher.AEAD {
	return must(cipher.NewGCMWithRandomNonce(must(aes.NewCipher(key))))
}

var sink []byte

func must[T any](v T, err error) T {
	if err != nil {
		panic(fmt.Sprintf("a step that cannot fail failed: %v", err))
	}
	return v
}
