package localkms

import "os"

// disk is the calls whose order decides what a power cut may take away. Tests watch it.
type disk interface {
	sync(f *os.File) error // of a file or a directory
	link(from, to string) error
	rename(from, to string) error
}

// osDisk is the operating system's.
type osDisk struct{}

func (osDisk) sync(f *os.File) error        { return f.Sync() }
func (osDisk) link(from, to string) error   { return os.Link(from, to) }
func (osDisk) rename(from, to string) error { return os.Rename(from, to) }
