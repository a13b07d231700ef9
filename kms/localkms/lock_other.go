//go:build !(darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd)

package localkms

const lockRemedy = ", and remove the file if no rowseal process runs: one that was killed leaves it behind"

func tryLock(path string) (unlock func() error, err error) { return tryExclusive(path) }
