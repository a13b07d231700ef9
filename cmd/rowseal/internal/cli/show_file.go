package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/lockbox"
)

// keyOfFile is the name of the key under which the file of --file is sealed.
func (s *show) keyOfFile() (string, error) {
	schema := s.table.Schema
	for _, f := range schema.Fields {
		switch {
		case f.Column != s.file:
		case f.Type != "" && f.Type != lockbox.String && f.Type != lockbox.Binary:
			return "", usagef("--file: %s is no file, its type is %s; 'rowseal show' prints it", s.file, f.Type)
		default:
			return f.Key, nil
		}
	}
	for _, f := range schema.Files {
		if f.Column == s.file {
			return f.Key, nil
		}
	}
	name, _ := attachmentNumber(s.file)
	i := slices.IndexFunc(schema.Attachments, func(a rowseal.Attachment) bool { return a.Name == name })
	if i < 0 {
		return "", usagef("--file: %w", s.table.NoFile(s.file))
	}
	return schema.Attachments[i].Key, nil
}

// attachmentNumber reads NAME/N; without a number N is 0.
func attachmentNumber(named string) (name string, number int) {
	name, digits, _ := strings.Cut(named, "/")
	number, err := strconv.Atoi(digits)
	if err != nil {
		return name, 0
	}
	return name, number
}

// writeFile opens a file of one row, and writes it when all of it has opened.
func (s *show) writeFile(cmd *cobra.Command, table *rowseal.Table, rows []row) error {
	if len(rows) != 1 {
		return fmt.Errorf("--file takes one row, and %s are found", count(len(rows), "row"))
	}
	content, err := s.content(cmd.Context(), table, rows[0])
	if err != nil {
		return err
	}
	if s.out == "-" {
		if isTerminal(cmd.OutOrStdout()) && !printable(content) {
			return errors.New("the file is not printable text, so it is kept from the terminal; name a file with -o")
		}
		_, err := cmd.OutOrStdout().Write(content)
		return err
	}
	if err := writeNew(s.out, content); err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s: %s are in %s\n", s.file, count(len(content), "byte"), s.out)
	return nil
}

func (s *show) content(ctx context.Context, table *rowseal.Table, r row) ([]byte, error) {
	record, err := table.Record(r.values)
	if err != nil {
		return nil, err
	}
	schema := table.Schema()
	isField := slices.ContainsFunc(schema.Fields, func(f rowseal.Field) bool { return f.Column == s.file })
	isFile := slices.ContainsFunc(schema.Files, func(f rowseal.FileColumn) bool { return f.Column == s.file })
	if !isField && !isFile {
		return s.attachment(ctx, table, record, r.values[schema.PrimaryKey])
	}
	if r.values[s.file] == nil {
		return nil, fmt.Errorf("%s of the row is NULL", s.file)
	}
	if err := table.Open(ctx, record); err != nil {
		return nil, err
	}
	if isFile {
		f, err := record.File(s.file)
		if err != nil {
			return nil, err
		}
		return readFile(f.Open(ctx))
	}
	value, err := record.Get(s.file)
	if err != nil {
		return nil, err
	}
	if text, ok := value.(string); ok {
		return []byte(text), nil
	}
	return value.([]byte), nil // keyOfFile has looked at the type
}

func readFile[R io.Reader](r R, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

func (s *show) attachment(ctx context.Context, table *rowseal.Table, record *rowseal.Record, id any) ([]byte, error) {
	storage, err := s.Storage()
	if err != nil {
		return nil, err
	}
	found, err := s.loadAttachments(ctx, id)
	if err != nil {
		return nil, err
	}
	name, number := attachmentNumber(s.file)
	ours := found.Of(id, name)
	switch {
	case len(ours) == 0:
		return nil, fmt.Errorf("the row has no attachment %s", name)
	case number == 0 && len(ours) > 1:
		return nil, usagef("--file: the row has %d attachments %s; name one, as in %[2]s/1", len(ours), name)
	case number > len(ours):
		return nil, usagef("--file: the row has %s %s, and no number %d", count(len(ours), "attachment"), name, number)
	}
	box, err := table.Box(ctx, record, name)
	if err != nil {
		return nil, err
	}
	return readFile(storage.Open(ctx, ours[max(number, 1)-1], box))
}

// writeNew writes a file that is not there yet, readable by its owner only.
func writeNew(name string, content []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return usagef("%s is there already; name a new file with -o", name)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(name))
	}
	return nil
}
