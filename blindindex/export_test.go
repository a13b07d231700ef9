package blindindex

// NewOf returns an Indexer that computes indexes by f.
func NewOf(f func(normalized string) string) *Indexer {
	unchanged := func(s string) (string, error) { return s, nil }
	return &Indexer{compute: func(s string) (string, error) { return f(s), nil }, normalize: unchanged}
}

// HashOf runs an algorithm at costs and with keys outside the bounds, as published test vectors have them.
func HashOf(a Algorithm, c Cost, value, key string, size int) ([]byte, error) {
	return a.hash(c)(value, []byte(key), size)
}

// Workers is how many indexes ComputeAll makes at once.
func Workers() int { return cap(workers) }

// SetWorkers changes that, and returns what changes it back.
func SetWorkers(n int) (restore func()) {
	before := workers
	workers = make(chan struct{}, n)
	return func() { workers = before }
}

// NormalizerNames are the names that need no Options.Normalizers.
func NormalizerNames() (names []string) {
	for name := range normalizers {
		names = append(names, name)
	}
	return names
}
