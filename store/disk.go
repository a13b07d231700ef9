package store

import "os"

// disk is the calls whose order decides what a power cut may take away. Tests watch it.
type disk interface {
	write(f *os.File, data []byte) error
	sync(f *os.File) error // of a file or a directory
	link(root *os.Root, from, to string) error
}

// osDisk is the operating system's.
type osDisk struct{}

func (osDisk) write(f *os.File, data []byte) error {
	_, err := f.Write(data)
	return err
}

func (osDisk) sync(f *os.File) error { return f.Sync() }

func (osDisk) link(root *os.Root, from, to string) error { return root.Link(from, to) }
