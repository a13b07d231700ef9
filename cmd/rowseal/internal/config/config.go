// Package config reads rowseal.yaml: the file that tells the command line which columns of a database are sealed, and how.
// docs/configuration.md shows every option.
//
// Reading is strict. Each mistake is told with its line, unknown keys with the one that may have been meant, and all of
// them at once. ${NAME} stands for an environment variable, in values that may be secret or differ between machines; no
// error shows a key, or the address of the database.
package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// DefaultName is where the file is looked for if nobody says.
const DefaultName = "rowseal.yaml"

// File is what a configuration says.
type File struct {
	Name     string // as it was given
	Database Database
	Tables   []*Table // in the file's order
	// Services are the directories of Active Storage's services, by the names of config/storage.yml.
	Services map[string]string
}

// Error is everything that is wrong with a file.
type Error struct {
	Name   string
	faults []fault
}

// Error has a line for each mistake, in the order of the file, with the file's name and line.
func (e *Error) Error() string {
	var lines []string
	for _, f := range e.faults {
		place := e.Name
		if f.line > 0 {
			place = fmt.Sprintf("%s:%d", e.Name, f.line)
		}
		lines = append(lines, place+": "+f.text)
	}
	lines = slices.Compact(lines)
	if len(lines) == 1 {
		return lines[0]
	}
	return fmt.Sprintf("%d mistakes\n%s", len(lines), strings.Join(lines, "\n"))
}

// Read reads the file of this name. getenv is os.LookupEnv, or the like.
func Read(name string, getenv func(string) (string, bool)) (*File, error) {
	content, err := read(name)
	if err != nil {
		return nil, err
	}
	return Parse(name, content, getenv)
}

func read(name string) ([]byte, error) {
	content, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no %s; name the configuration with --config, or write one: docs/configuration.md shows how", name)
	}
	return content, err
}

// Parse reads the content of a file. Paths in it are relative to the folder of name.
func Parse(name string, content []byte, getenv func(string) (string, bool)) (*File, error) {
	r := &reader{getenv: getenv}
	return r.done(r.file(name, content))
}

// Examine is Read for who wants to know all that is wrong: every master key must be there, and every id of a KMS key must
// open, without any request.
func Examine(name string, getenv func(string) (string, bool), o Opener) (*File, error) {
	content, err := read(name)
	if err != nil {
		return nil, err
	}
	r := &reader{getenv: getenv, every: true}
	f := r.file(name, content)
	for _, t := range f.Tables {
		r.faults = append(r.faults, t.examine(o)...)
	}
	return r.done(f)
}

func (r *reader) file(name string, content []byte) *File {
	f := &File{Name: name, Services: map[string]string{}}
	root := r.parse(content)
	if len(r.faults) == 0 {
		f.read(r, root)
	}
	return f
}

func (r *reader) done(f *File) (*File, error) {
	if len(r.faults) == 0 {
		return f, nil
	}
	slices.SortStableFunc(r.faults, func(a, b fault) int { return cmp.Compare(a.line, b.line) })
	return nil, &Error{f.Name, r.faults}
}

func (f *File) read(r *reader, root *node) {
	s := r.section(root, "database", "storage", "tables")
	f.readDatabase(s)
	s.each("storage", func(name string, n *node) { f.Services[name] = f.directory(r, n) })
	s.each("tables", func(name string, n *node) { f.Tables = append(f.Tables, f.readTable(r, name, n)) })
	if len(f.Services) == 0 {
		for _, t := range f.Tables {
			if len(t.Schema.Attachments) > 0 {
				r.faultAt(t.lines[t.Schema.Attachments[0].Name], join("tables", t.Schema.Table)+".attachments",
					"say at the top of the file where they are, as in storage: {local: dir:storage}")
			}
		}
	}
	if root.kind == mapping && len(f.Tables) == 0 && (!s.has("tables") || s.values["tables"].kind == mapping) {
		s.fault(s.at("tables"), "the file needs tables")
	}
}

// directory reads dir:PATH.
func (f *File) directory(r *reader, n *node) string {
	address, ok := r.expand(n)
	if !ok {
		return ""
	}
	path, ok := strings.CutPrefix(address, "dir:")
	if !ok || path == "" {
		r.fault(n, "must be dir: and the path of a directory, as in dir:storage; this version has no other store")
		return ""
	}
	return f.relative(path)
}

// relative reads a path as seen from the folder of the file.
func (f *File) relative(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(f.Name), path)
}

// Table returns the table of this name.
func (f *File) Table(name string) (*Table, error) {
	var names []string
	for _, t := range f.Tables {
		if t.Schema.Table == name {
			return t, nil
		}
		names = append(names, t.Schema.Table)
	}
	return nil, fmt.Errorf("%s has no table %q%s", f.Name, shown(name), instead(name, names))
}
