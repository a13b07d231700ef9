package railsyaml

import (
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// The benchmarks read and write a hash of settings, as this package does it and as the YAML library beneath it does it
// into and from a map, with its own rules of what is what.
const benchText = `---
theme: dark
languages:
- de
- en
- 'no'
limits:
  daily: 100
  ratio: 0.75
  since: 2026-01-02 03:04:05.000000000 Z
:symbol: :value
notes: |-
  two
  lines
empty: {}
nothing:
`

func BenchmarkDecode(b *testing.B) {
	text := []byte(benchText)
	compare(b,
		func() error { return new(Hash).DecodeSealed(text) },
		func() error { return yaml.Unmarshal(text, new(map[string]any)) })
}

func BenchmarkDecodeRuby(b *testing.B) {
	text := []byte(benchText)
	compare(b,
		func() error { return new(RubyHash).DecodeSealed(text) },
		func() error { return yaml.Unmarshal(text, new(map[string]any)) })
}

func BenchmarkEncode(b *testing.B) {
	var h Hash
	if err := h.DecodeSealed([]byte(benchText)); err != nil {
		b.Fatal(err)
	}
	compare(b,
		func() error { _, err := h.AppendSealed(nil); return err },
		func() error { _, err := yaml.Marshal(map[string]any(h)); return err })
}

// compare measures ours, and beside it the ratio to the library's. Both run in turn in short batches, so that a change of
// the machine's speed reaches both.
func compare(b *testing.B, ours, library func() error) {
	const batch = 100
	var oursTime, libraryTime time.Duration
	run := func(n int, f func() error) time.Duration {
		start := time.Now()
		for range n {
			if err := f(); err != nil {
				b.Fatal(err)
			}
		}
		return time.Since(start)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(benchText)))
	b.ResetTimer()
	for done := 0; done < b.N; done += batch {
		n := min(batch, b.N-done)
		oursTime += run(n, ours)
		b.StopTimer()
		libraryTime += run(n, library)
		b.StartTimer()
	}
	b.StopTimer()
	b.ReportMetric(oursTime.Seconds()/libraryTime.Seconds(), "x/library")
}
