package attrencrypted_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"testing"
	"time"

	"github.com/rowseal/rowseal/attrencrypted"
)

// The benchmarks seal and open a field of 64 bytes, as a box does it and bare: crypto/aes, crypto/cipher, crypto/pbkdf2 and
// encoding/base64 (of one line), nothing else.
const fieldSize = 64

func BenchmarkEncrypt(b *testing.B) {
	for _, c := range contests {
		b.Run(c.name, func(b *testing.B) {
			box := newBox(b, testKey, c.opts)
			message := bytes.Repeat([]byte("m"), fieldSize)
			compare(b, func() { must(box.Encrypt(message)) }, func() { c.bareEncrypt(message) })
		})
	}
}

func BenchmarkDecrypt(b *testing.B) {
	for _, c := range contests {
		b.Run(c.name, func(b *testing.B) {
			box := newBox(b, testKey, c.opts)
			v := must(box.Encrypt(bytes.Repeat([]byte("m"), fieldSize)))
			compare(b, func() { _ = third(box.Decrypt(v)) }, func() { c.bareDecrypt(v) })
		})
	}
}

// New derives the key of mode single_iv_and_salt, so that no value pays for it.
func BenchmarkNew(b *testing.B) {
	for _, c := range contests {
		b.Run(c.name, func(b *testing.B) {
			newBox(b, testKey, c.opts)
			for b.Loop() {
				must(attrencrypted.New(testKey, &c.opts))
			}
		})
	}
}

// The promise that the benchmarks watch, in the part that does not depend on the machine.
func TestABoxAllocatesNoMoreThanTheBareCipher(t *testing.T) {
	c := contests[0]
	box := newBox(t, testKey, c.opts)
	message := bytes.Repeat([]byte("m"), fieldSize)
	v := must(box.Encrypt(message))
	for _, op := range []struct {
		name       string
		ours, bare func()
	}{
		{"Encrypt", func() { must(box.Encrypt(message)) }, func() { c.bareEncrypt(message) }},
		{"Decrypt", func() { _ = third(box.Decrypt(v)) }, func() { c.bareDecrypt(v) }},
	} {
		if ours, bare := testing.AllocsPerRun(100, op.ours), testing.AllocsPerRun(100, op.bare); ours > bare {
			t.Errorf("%s allocates %v times, bare %v times", op.name, ours, bare)
		}
	}
}

type contest struct {
	name        string
	opts        attrencrypted.Options
	bareEncrypt func(message []byte)
	bareDecrypt func(attrencrypted.Value)
}

var contests = []contest{
	{
		"gcm", attrencrypted.Options{},
		func(message []byte) { bareSeal(bareGCM(testKey[:32]), message) },
		func(v attrencrypted.Value) { bareOpen(bareGCM(testKey[:32]), v) },
	},
	{
		"gcm+salted", attrencrypted.Options{Mode: salted},
		func(message []byte) {
			salt := make([]byte, 16)
			rand.Read(salt)
			sinkText = base64.StdEncoding.EncodeToString(salt)
			bareSeal(bareGCM(bareDerive(salt)), message)
		},
		func(v attrencrypted.Value) {
			bareOpen(bareGCM(bareDerive(must(base64.StdEncoding.DecodeString(v.Salt[1:])))), v)
		},
	},
	{
		"cbc+single", attrencrypted.Options{Mode: single, Algorithm: "aes-256-cbc", AllowCBC: true},
		func(message []byte) {
			padded := append(bytes.Clone(message), bytes.Repeat([]byte{16}, 16)...)
			cipher.NewCBCEncrypter(bareBlock, testKey[:16]).CryptBlocks(padded, padded)
			sinkText = base64.StdEncoding.EncodeToString(padded)
		},
		func(v attrencrypted.Value) {
			sink = must(base64.StdEncoding.DecodeString(v.Ciphertext))
			cipher.NewCBCDecrypter(bareBlock, testKey[:16]).CryptBlocks(sink, sink)
		},
	},
}

var (
	sink      []byte
	sinkText  string
	bareBlock = must(aes.NewCipher(testKey[:32]))
	keptGCM   = must(cipher.NewGCMWithRandomNonce(bareBlock))
)

// bareGCM keeps the cipher of the one key that is not derived for a value, as a program would.
func bareGCM(key []byte) cipher.AEAD {
	if &key[0] == &testKey[0] {
		return keptGCM
	}
	return must(cipher.NewGCMWithRandomNonce(must(aes.NewCipher(key))))
}

func bareDerive(salt []byte) []byte {
	return must(pbkdf2.Key(sha1.New, string(testKey), salt, 2000, 32))
}

func bareSeal(aead cipher.AEAD, message []byte) {
	sealed := aead.Seal(nil, nil, message, nil)
	sinkText = base64.StdEncoding.EncodeToString(sealed[:12])
	sinkText = base64.StdEncoding.EncodeToString(sealed[12:])
}

func bareOpen(aead cipher.AEAD, v attrencrypted.Value) {
	sealed := must(base64.StdEncoding.DecodeString(v.IV))
	sealed = append(sealed, must(base64.StdEncoding.DecodeString(v.Ciphertext))...)
	sink = must(aead.Open(nil, nil, sealed, nil))
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
