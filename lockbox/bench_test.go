package lockbox_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/fips140"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"testing"
	"time"

	"golang.org/x/crypto/chacha20poly1305"
	"golang.org/x/crypto/nacl/secretbox"

	"github.com/rowseal/rowseal/lockbox"
)

// The benchmarks seal and open a field of 64 bytes, under a kept key and under one that is new for every message (a row of
// one field), as a box does it and bare: crypto/aes, cipher.NewGCMWithRandomNonce and encoding/base64, nothing else. The
// other algorithms are raw under a kept key.
const fieldSize = 64

var associatedData = []byte("users.email_ciphertext")

func BenchmarkEncrypt(b *testing.B) {
	for _, c := range slices.Concat(contests, otherContests()) {
		b.Run(c.name, func(b *testing.B) { compare(b, fieldSize, 500, c.encrypt, c.bareEncrypt) })
	}
}

func BenchmarkDecrypt(b *testing.B) {
	for _, c := range slices.Concat(contests, otherContests()) {
		b.Run(c.name, func(b *testing.B) { compare(b, fieldSize, 500, c.decrypt, c.bareDecrypt) })
	}
}

// The bare way to seal a file: all of it read, one Seal. Its ciphertext takes as much memory once more.
func BenchmarkFile(b *testing.B) {
	const size = 16 << 20
	content := make([]byte, size)
	box := newBox(b, testKey, &lockbox.Options{Format: lockbox.Format{Raw: true}})
	sealed := must(box.Encrypt(content, associatedData))
	aead := newBare(testKey)
	for _, c := range []struct {
		name       string
		ours, bare func()
	}{
		{
			"encrypt",
			func() { sink = must(box.EncryptFile(bytes.NewReader(content), 0, associatedData)) },
			func() { sink = aead.Seal(nil, nil, must(io.ReadAll(bytes.NewReader(content))), associatedData) },
		},
		{
			"encrypt without a size",
			func() { sink = must(box.EncryptFile(struct{ io.Reader }{bytes.NewReader(content)}, 0, associatedData)) },
			func() { sink = aead.Seal(nil, nil, must(io.ReadAll(bytes.NewReader(content))), associatedData) },
		},
		{
			"decrypt",
			func() { sink = must(box.DecryptFile(bytes.NewReader(sealed), 0, associatedData)) },
			func() { sink = must(aead.Open(nil, nil, must(io.ReadAll(bytes.NewReader(sealed))), associatedData)) },
		},
	} {
		b.Run(c.name, func(b *testing.B) {
			compare(b, size, 1, c.ours, c.bare)
			b.ReportMetric(peak(c.ours)/size, "peak/size")
			b.ReportMetric(peak(c.bare)/size, "bare-peak/size")
		})
	}
}

// peak is the most memory that f has at one time, in bytes, above what was there before. It is sampled.
func peak(f func()) float64 {
	sink = nil
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(5)) // so that the heap is little more than what is in use
	before, most := heap(), uint64(0)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			most = max(most, heap())
			select {
			case <-stop:
				return
			case <-time.After(100 * time.Microsecond):
			}
		}
	}()
	f()
	most2 := heap()
	close(stop)
	<-stopped
	return float64(max(most, most2) - before)
}

func heap() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// The promise that the benchmarks watch, in the part that does not depend on the machine.
func TestABoxAllocatesAtMostOnceMoreThanTheBareCipher(t *testing.T) {
	for _, c := range slices.Concat(contests, otherContests()) {
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
func compare(b *testing.B, size int64, batch int, ours, bare func()) {
	var oursTime, bareTime time.Duration
	run := func(n int, f func()) time.Duration {
		start := time.Now()
		for range n {
			f()
		}
		return time.Since(start)
	}
	bareAllocs := testing.AllocsPerRun(min(100, batch), bare)
	b.ReportAllocs()
	b.SetBytes(size)
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

// otherContests are those of the algorithms that FIPS 140-3 does not approve: bare, chacha20poly1305 and secretbox.
func otherContests() []contest {
	if fips140.Enforced() {
		return nil
	}
	opts := &lockbox.Options{Algorithm: lockbox.XChaCha20, Format: lockbox.Format{Raw: true}}
	chacha := must(chacha20poly1305.NewX(testKey))
	salsaKey := (*[32]byte)(testKey)
	salsaOpts := &lockbox.Options{Algorithm: lockbox.XSalsa20, Format: lockbox.Format{Raw: true}}
	return []contest{
		newOtherContest("xchacha20", must(lockbox.New(testKey, opts)), associatedData,
			func(nonce *[24]byte, plaintext []byte) []byte {
				return chacha.Seal(nonce[:], nonce[:], plaintext, associatedData)
			},
			func(sealed []byte) []byte { return must(chacha.Open(nil, sealed[:24], sealed[24:], associatedData)) }),
		newOtherContest("xsalsa20", must(lockbox.New(testKey, salsaOpts)), nil,
			func(nonce *[24]byte, plaintext []byte) []byte {
				return secretbox.Seal(nonce[:], plaintext, nonce, salsaKey)
			},
			func(sealed []byte) []byte {
				plaintext, _ := secretbox.Open(nil, sealed[24:], (*[24]byte)(sealed), salsaKey)
				return plaintext
			}),
	}
}

func newOtherContest(
	name string, box *lockbox.Box, ad []byte, seal func(nonce *[24]byte, plaintext []byte) []byte, open func(sealed []byte) []byte,
) contest {
	plaintext := bytes.Repeat([]byte("p"), fieldSize)
	sealed := must(box.Encrypt(plaintext, ad))
	return contest{
		name:    name,
		encrypt: func() { sink = must(box.Encrypt(plaintext, ad)) },
		bareEncrypt: func() {
			var nonce [24]byte
			rand.Read(nonce[:])
			sink = seal(&nonce, plaintext)
		},
		decrypt:     func() { sink = must(box.Decrypt(sealed, ad)) },
		bareDecrypt: func() { sink = open(sealed) },
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
