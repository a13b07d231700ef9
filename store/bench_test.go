package store_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/rowseal/rowseal/store"
)

// The benchmarks put and get objects as Dir does it and bare: a new file of os.WriteFile, the same with its content synced, and
// os.ReadFile. What Dir's Put takes longer than the synced file are the three folders that it syncs, too.
var sizes = []int{4 << 10, 1 << 20}

func BenchmarkPut(b *testing.B) {
	for _, size := range sizes {
		data := make([]byte, size)
		b.Run(fmt.Sprintf("dir/size=%d", size), func(b *testing.B) {
			s := store.Dir{Path: b.TempDir()}
			eachNewKey(b, size, func(key string) error { return s.Put(b.Context(), key, data) },
				func(key string) error { return s.Delete(b.Context(), key) })
		})
		b.Run(fmt.Sprintf("os.WriteFile/size=%d", size), func(b *testing.B) {
			dir := b.TempDir()
			eachNewKey(b, size, func(key string) error { return os.WriteFile(filepath.Join(dir, key), data, 0o600) },
				func(key string) error { return os.Remove(filepath.Join(dir, key)) })
		})
		b.Run(fmt.Sprintf("os.WriteFile and Sync/size=%d", size), func(b *testing.B) {
			dir := b.TempDir()
			eachNewKey(b, size, func(key string) error { return writeSynced(filepath.Join(dir, key), data) },
				func(key string) error { return os.Remove(filepath.Join(dir, key)) })
		})
	}
}

func BenchmarkGet(b *testing.B) {
	for _, size := range sizes {
		s := store.Dir{Path: b.TempDir()}
		if err := s.Put(b.Context(), key, make([]byte, size)); err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("dir/size=%d", size), func(b *testing.B) {
			each(b, size, func() error {
				_, err := s.Get(b.Context(), key, limit)
				return err
			})
		})
		b.Run(fmt.Sprintf("os.ReadFile/size=%d", size), func(b *testing.B) {
			each(b, size, func() error {
				_, err := os.ReadFile(filepath.Join(s.Path, key[:2], key[2:4], key))
				return err
			})
		})
	}
}

func each(b *testing.B, size int, f func() error) {
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		if err := f(); err != nil {
			b.Fatal(err)
		}
	}
}

// eachNewKey removes what was put, and does not count the time for that.
func eachNewKey(b *testing.B, size int, put, remove func(key string) error) {
	each(b, size, func() error {
		key := store.NewKey()
		if err := put(key); err != nil {
			return err
		}
		b.StopTimer()
		defer b.StartTimer()
		return remove(key)
	})
}

func writeSynced(name string, data []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Sync()
}
