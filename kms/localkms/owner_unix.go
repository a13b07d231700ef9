//go:build unix

package localkms

import (
	"io/fs"
	"syscall"
)

// owner returns the ids of a file's user and group.
func owner(info fs.FileInfo) (uid, gid int, known bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, false
	}
	return int(stat.Uid), int(stat.Gid), true
}
