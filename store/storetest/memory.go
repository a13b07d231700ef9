package storetest

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/rowseal/rowseal/store"
)

// Memory is a store.Store in memory, for tests. The zero value is empty and ready. It must not be copied after its first use.
type Memory struct {
	mu      sync.Mutex
	objects map[string][]byte
}

var _ store.Store = (*Memory)(nil)

// Keys returns the keys of all objects, sorted.
func (m *Memory) Keys() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.objects))
}

// Put implements store.Store.
func (m *Memory) Put(ctx context.Context, key string, data []byte) error {
	return m.do(ctx, "put", key, func() error {
		if _, taken := m.objects[key]; taken {
			return store.ErrExists
		}
		if m.objects == nil {
			m.objects = make(map[string][]byte)
		}
		m.objects[key] = bytes.Clone(data)
		return nil
	})
}

// Get implements store.Store.
func (m *Memory) Get(ctx context.Context, key string, limit int64) (data []byte, err error) {
	err = m.do(ctx, "get", key, func() error {
		object, ok := m.objects[key]
		if !ok {
			return store.ErrNotFound
		}
		if size := int64(len(object)); size > limit {
			return &store.TooLargeError{Size: size, Limit: limit}
		}
		data = bytes.Clone(object)
		return nil
	})
	return data, err
}

// Delete implements store.Store.
func (m *Memory) Delete(ctx context.Context, key string) error {
	return m.do(ctx, "delete", key, func() error {
		delete(m.objects, key)
		return nil
	})
}

func (m *Memory) do(ctx context.Context, op, key string, f func() error) error {
	err := store.CheckKey(key)
	if err != nil {
		return fmt.Errorf("storetest: %s: %w", op, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err = ctx.Err(); err == nil {
		err = f()
	}
	if err != nil {
		return fmt.Errorf("storetest: %s %s: %w", op, key, err)
	}
	return nil
}
