package blindindex

import (
	"fmt"
	"math"
)

// Cost overrides the costs of an algorithm. A zero field is the algorithm's default; a field that the algorithm does not
// have is refused. The bounds of Argon2 are the gem's, the others ours, since the gem has none.
type Cost struct {
	T int // Argon2: passes, 3 to 10
	M int // Argon2: memory as a power of two, in KiB: 3 (8 KiB) to 22 (4 GiB)

	Iterations int // PBKDF2: 1 to 2³¹-1

	N, R, P int // scrypt: N a power of two from 2; 128·R·(N+P) bytes of memory, at most 4 GiB
}

// costs returns the complete costs of an algorithm: the gem's defaults (blind_index lib/blind_index.rb), overridden.
func costs(a Algorithm, override Cost, slow bool) (Cost, error) {
	c, err := defaults(a, slow)
	if err != nil {
		return c, err
	}
	for _, f := range []struct {
		name string
		dst  *int
		v    int
	}{
		{"T", &c.T, override.T}, {"M", &c.M, override.M}, {"Iterations", &c.Iterations, override.Iterations},
		{"N", &c.N, override.N}, {"R", &c.R, override.R}, {"P", &c.P, override.P},
	} {
		if f.v == 0 {
			continue
		}
		if *f.dst == 0 {
			return c, fmt.Errorf("blindindex: %s has no cost %s: leave it out", a, f.name)
		}
		*f.dst = f.v
	}
	return c, c.check(a)
}

func defaults(a Algorithm, slow bool) (Cost, error) {
	switch {
	case a == Argon2id && slow:
		return Cost{T: 4, M: 15}, nil
	case a == PBKDF2SHA256 && slow:
		return Cost{Iterations: 100_000}, nil
	case slow:
		return Cost{}, fmt.Errorf("blindindex: %s has no slow form (the gem ignores slow there): leave it out or set the cost", a)
	case a == Argon2id || a == Argon2i:
		return Cost{T: 3, M: 12}, nil
	case a == PBKDF2SHA256:
		return Cost{Iterations: 10_000}, nil
	case a == Scrypt:
		return Cost{N: 4096, R: 8, P: 1}, nil
	default:
		return Cost{}, nil
	}
}

func (c Cost) check(a Algorithm) error {
	switch a {
	case Argon2id, Argon2i:
		if err := within(a, "T", c.T, 3, 10); err != nil {
			return err
		}
		return within(a, "M", c.M, 3, 22)
	case PBKDF2SHA256:
		return within(a, "Iterations", c.Iterations, 1, math.MaxInt32)
	case Scrypt:
		return c.checkScrypt()
	default:
		return nil
	}
}

// maxMemory is what Argon2 takes at its largest M, in bytes, and so the limit of scrypt.
const maxMemory = 4 << 30

// checkScrypt holds the bounds of RFC 7914 §2, and that of the memory.
func (c Cost) checkScrypt() error {
	const limit = maxMemory / 128
	for _, err := range []error{
		within(Scrypt, "N", c.N, 2, limit), within(Scrypt, "R", c.R, 1, limit), within(Scrypt, "P", c.P, 1, limit),
	} {
		if err != nil {
			return err
		}
	}
	if c.N&(c.N-1) != 0 || c.R < 4 && c.N >= 1<<(16*c.R) {
		return fmt.Errorf("blindindex: scrypt with N %d: want a power of two below 2^(16·R)", c.N)
	}
	if int64(c.R)*int64(c.N+c.P) > limit {
		return fmt.Errorf("blindindex: scrypt with N %d, R %d, P %d takes more than 4 GiB", c.N, c.R, c.P)
	}
	return nil
}

func within(a Algorithm, name string, v, low, high int) error {
	if v < low || v > high {
		return fmt.Errorf("blindindex: %s with %s %d: want %d to %d", a, name, v, low, high)
	}
	return nil
}
