package cli

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/activestorage"
	"github.com/rowseal/rowseal/cmd/rowseal/internal/config"
	"github.com/rowseal/rowseal/lockbox"
)

// show is one call of the command.
type show struct {
	config string
	keys   []string
	by     []string
	limit  int
	file   string
	out    string
	asJSON bool

	*project
	table *config.Table
	db    *database
}

func newShow() *cobra.Command {
	s := &show{}
	cmd := &cobra.Command{
		Use:   "show TABLE [ID]",
		Short: "Open a row and print its columns",
		Long: `Open a row of a table that rowseal.yaml describes, and print its columns: the sealed ones as they open, the others as
they are. The database is opened for reading only.

Opening costs at most one KMS request for each data key of the row, which the KMS logs. With --key, only that key is
opened, and what is sealed under others stays so. A key that has only NULL under it is never asked for.

Instead of an ID, --by finds rows through a blind index. Other users of the machine can see arguments. An index over
several fields takes as many --by, in their order. A short index also finds rows with other values, by chance.

--file writes one file to disk: a binary column, a file column, or an Active Storage attachment (of several, NAME/1 is
the first). The file is written only when all of it has opened, and never over another.

With --json, an array of rows: "columns" holds values by column, bytes in base64, and leaves out what is not opened and
the columns of keys, IVs and salts. The exit code is 1 if anything did not open; the rest is printed.`,
		Example: `  rowseal show users 42
  rowseal show users --by email_bidx=ada@example.org --key encrypted_kms_key_phone --json
  rowseal show users 42 --file license -o license.pdf`,
		Args:              takes(1, 2),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              s.run,
	}
	configFlag(cmd, &s.config)
	fl := cmd.Flags()
	fl.StringArrayVar(&s.keys, "key", nil, "open only the key with this `NAME` or column; repeatable")
	fl.StringArrayVar(&s.by, "by", nil, "find rows by a blind index, as `INDEX=VALUE`; repeatable for an index over several fields")
	fl.IntVar(&s.limit, "limit", 10, "with --by: open at most `N` rows")
	fl.StringVar(&s.file, "file", "", "write the file of this `COLUMN` or attachment")
	fl.StringVarP(&s.out, "output", "o", "", "with --file: to the new `FILE`, or - for standard output")
	fl.BoolVar(&s.asJSON, "json", false, "print JSON: an array of rows")
	return cmd
}

func (s *show) run(cmd *cobra.Command, args []string) error {
	if err := s.checkFlags(args); err != nil {
		return err
	}
	var err error
	if s.project, err = openProject(cmd, s.config); err != nil {
		return err
	}
	defer s.close()
	if s.table, err = s.Table(args[0]); err != nil {
		return usageError{err}
	}
	part, err := s.part()
	if err != nil {
		return err
	}
	if s.db, err = openDatabase(cmd.Context(), s.Database, true); err != nil {
		return err
	}
	defer s.db.Close()
	if err := s.db.checkColumns(cmd.Context(), s.table, s.Name); err != nil {
		return err
	}
	rows, err := s.find(cmd.Context(), args[1:])
	if err != nil {
		return err
	}
	table, err := s.table.Open(cmd.Context(), s.opener(), part)
	if err != nil {
		return err
	}
	if s.file != "" {
		return s.writeFile(cmd, table, rows)
	}
	return s.print(cmd, table, rows)
}

func (s *show) checkFlags(args []string) error {
	switch {
	case len(args) == 2 && s.by != nil:
		return usagef("give the ID of a row, or --by INDEX=VALUE, not both")
	case len(args) == 1 && s.by == nil:
		return usagef("give the ID of a row, or --by INDEX=VALUE")
	case s.limit < 1:
		return usagef("--limit must be 1 or more")
	case (s.file == "") != (s.out == ""):
		return usagef("--file NAME and -o FILE go together")
	case s.file != "" && (s.keys != nil || s.asJSON):
		return usagef("--file opens the key of its file only, and prints nothing: leave --key and --json out")
	}
	return nil
}

// part is what the flags ask for.
func (s *show) part() (config.Part, error) {
	if s.file != "" {
		key, err := s.keyOfFile()
		return config.Part{Keys: []string{key}}, err
	}
	if s.keys == nil {
		return config.Part{Keys: s.table.All().Keys}, nil
	}
	var p config.Part
	for _, asked := range s.keys {
		name, err := s.table.KeyNamed(asked)
		if err != nil {
			return p, usagef("--key: %w", err)
		}
		p.Keys = append(p.Keys, name)
	}
	return p, nil
}

// find returns the rows that were asked for, as the database has them.
func (s *show) find(ctx context.Context, ids []string) ([]row, error) {
	column, values := s.table.Schema.PrimaryKey, []any{}
	if len(ids) == 1 {
		values = append(values, ids[0])
	} else {
		var err error
		if column, values, err = s.lookup(ctx); err != nil {
			return nil, err
		}
	}
	rows, err := s.db.find(ctx, s.table, column, values, s.limit+1)
	if len(ids) == 1 {
		rows = slices.DeleteFunc(rows, func(r row) bool { return !names(ids[0], r.values[column]) })
	}
	switch {
	case err != nil && !isNoValue(err):
		return nil, err
	case len(rows) == 0 && len(ids) == 1:
		return nil, fmt.Errorf("table %s has no row whose %s is %q", s.table.Schema.Table, column, ids[0])
	case len(rows) == 0:
		return nil, fmt.Errorf("table %s has no row with this value of %s", s.table.Schema.Table, column)
	case len(rows) > s.limit:
		fmt.Fprintf(s.cmd.ErrOrStderr(), "warning: more rows are found; --limit %d leaves them out\n", s.limit)
		rows = rows[:s.limit]
	}
	return rows, nil
}

// names tells whether a text is the number that a database took it for: to MySQL "2 OR 1=1" equals 2, and to SQLite "2.0".
func names(id string, found any) bool {
	switch found.(type) {
	case int64, uint64, float64:
		return id == fmt.Sprint(found)
	}
	return true
}

// lookup computes what --by looks for. It needs the index's key, and no row's.
func (s *show) lookup(ctx context.Context) (column string, values []any, err error) {
	var texts []string
	for _, by := range s.by {
		name, value, ok := strings.Cut(by, "=")
		switch {
		case !ok || name == "":
			return "", nil, usagef("--by must be INDEX=VALUE, as in email_bidx=ada@example.org") // what it is instead may be a secret
		case column != "" && column != name:
			return "", nil, usagef("--by takes one index, not %s and %s", column, name)
		}
		column, texts = name, append(texts, value)
	}
	ix, err := s.table.Index(column)
	if err != nil {
		return "", nil, usagef("--by: %w", err)
	}
	if len(texts) != len(ix.Of) {
		return "", nil, usagef("--by: %s is an index over %s, and takes as many --by %[1]s=VALUE", column, strings.Join(ix.Of, ", "))
	}
	wanted := make([]any, len(texts))
	for i, text := range texts {
		if wanted[i], err = parseValue(s.table.Field(ix.Of[i]).Type, text); err != nil {
			return "", nil, usagef("--by: %s %w", ix.Of[i], err)
		}
	}
	table, err := s.table.Open(ctx, s.opener(), config.Part{Indexes: []string{column}})
	if err != nil {
		return "", nil, err
	}
	found, err := table.Lookup(ctx, column, wanted...)
	if err != nil {
		return "", nil, err
	}
	if len(found) == 0 {
		return "", nil, fmt.Errorf("%s has no index of this value: it is never stored", column)
	}
	return column, anys(found), nil
}

func anys(values []driver.Value) []any {
	all := make([]any, len(values))
	for i, v := range values {
		all[i] = v
	}
	return all
}

// parseValue reads an argument as a value of the type. Its errors do not show it.
func parseValue(t lockbox.Type, text string) (any, error) {
	switch t {
	case lockbox.Integer:
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return n, nil
		}
		return nil, errors.New("is an integer, and the value is none")
	case lockbox.Boolean:
		if b, err := strconv.ParseBool(text); err == nil {
			return b, nil
		}
		return nil, errors.New("is true or false, and the value is neither")
	case lockbox.Date:
		if d, err := time.Parse(time.DateOnly, text); err == nil {
			return d, nil
		}
		return nil, errors.New("is a date, as in 2026-01-31, and the value is none")
	case lockbox.Binary:
		return []byte(text), nil
	}
	return text, nil
}

// print opens the rows and prints what opened; what did not is the error.
func (s *show) print(cmd *cobra.Command, table *rowseal.Table, rows []row) error {
	records, err := recordsOf(table, rows)
	if err != nil {
		return err
	}
	failed := eachOf(table.Open(cmd.Context(), records...))
	var shown []shownRow
	for i, r := range rows {
		one, err := s.shown(cmd.Context(), table, r, records[i])
		shown, failed = append(shown, one), errors.Join(failed, err)
	}
	if s.asJSON {
		err = printJSON(cmd.OutOrStdout(), shown)
	} else {
		err = printRows(cmd.OutOrStdout(), shown)
	}
	return errors.Join(err, failed, s.noteAttachments(cmd.Context(), rows))
}

// noteAttachments tells of attachments that the database has and the file does not list, and of a record_type that no
// attachment has.
func (s *show) noteAttachments(ctx context.Context, rows []row) error {
	if there, err := s.db.has(ctx, "active_storage_attachments"); err != nil || !there {
		return err
	}
	var ids []any
	for _, r := range rows {
		ids = append(ids, r.values[s.table.Schema.PrimaryKey])
	}
	names, err := s.db.attachmentNames(ctx, s.table.RecordType, ids)
	if err != nil {
		return err
	}
	names = slices.DeleteFunc(names, func(name string) bool {
		return slices.ContainsFunc(s.table.Schema.Attachments, func(a rowseal.Attachment) bool { return a.Name == name })
	})
	if len(names) > 0 {
		s.note("the database has attachments that %s does not list: %s", s.Name, inQuotes(names))
	}
	if len(s.table.Schema.Attachments) == 0 {
		return nil
	}
	types, err := s.db.recordTypes(ctx)
	if len(types) > 0 && !slices.Contains(types, s.table.RecordType) {
		s.note("the database has no attachments of record_type %q; there are %s", s.table.RecordType, inQuotes(types))
	}
	return err
}

func inQuotes(names []string) string {
	all := make([]string, len(names))
	for i, name := range names {
		all[i] = strconv.Quote(name)
	}
	return strings.Join(all, ", ")
}

func (s *show) note(format string, args ...any) {
	fmt.Fprintf(s.cmd.ErrOrStderr(), "note: "+format+"\n", args...)
}

// eachOf tells all errors of a batch, which by itself tells the first.
func eachOf(err error) error {
	var batch *rowseal.BatchError
	if errors.As(err, &batch) {
		return errors.Join(batch.Unwrap()...)
	}
	return err
}

func recordsOf(table *rowseal.Table, rows []row) ([]*rowseal.Record, error) {
	var all []*rowseal.Record
	for _, r := range rows {
		record, err := table.Record(r.values)
		if err != nil {
			return nil, err
		}
		all = append(all, record)
	}
	return all, nil
}

// shown makes the printed form of a row. Values that did not open because their key did not are told by that already.
func (s *show) shown(ctx context.Context, table *rowseal.Table, r row, record *rowseal.Record) (shownRow, error) {
	schema := table.Schema()
	one := shownRow{Table: schema.Table, ID: r.values[schema.PrimaryKey]}
	var errs []error
	for _, there := range r.columns {
		column := there.Name
		c := shownColumn{Name: column, value: r.values[column]}
		field := slices.IndexFunc(schema.Fields, func(f rowseal.Field) bool { return f.Column == column })
		file := slices.ContainsFunc(schema.Files, func(f rowseal.FileColumn) bool { return f.Column == column })
		var err error
		switch kind := s.table.KindOf(column); {
		case kind == config.KeyPart:
			continue
		case kind == config.Plain:
			c.value = withoutTime(there, c.value)
		case field >= 0:
			c.typ = schema.Fields[field].Type
			c.value, err = record.Get(column)
		case file:
			c.value, err = infoOf(record, column)
		case c.value != nil:
			c.state = "[sealed]"
		}
		if err != nil {
			c.value, c.state = nil, "[does not open]"
			if !errors.Is(err, rowseal.ErrNotOpened) {
				errs = append(errs, err)
			}
		}
		one.Columns = append(one.Columns, c)
	}
	var err error
	one.Attachments, err = s.attachments(ctx, one.ID)
	return one, errors.Join(append(errs, err)...)
}

// withoutTime is a date of PostgreSQL, which comes as its midnight, as the other databases have it.
func withoutTime(c rowseal.TableColumn, value any) any {
	if midnight, ok := value.(time.Time); ok && c.Type == "date" {
		return midnight.Format(time.DateOnly)
	}
	return value
}

func infoOf(record *rowseal.Record, column string) (any, error) {
	f, err := record.File(column)
	if err != nil || f.IsNull() {
		return nil, err
	}
	info, err := f.Info()
	return info, err
}

// attachments lists the attachments of a row, which costs no request: names and sizes are not sealed.
func (s *show) attachments(ctx context.Context, id any) ([]shownAttachment, error) {
	if len(s.table.Schema.Attachments) == 0 {
		return nil, nil
	}
	found, err := s.loadAttachments(ctx, id)
	if err != nil {
		return nil, err
	}
	var all []shownAttachment
	for _, a := range s.table.Schema.Attachments {
		for _, one := range found.Of(id, a.Name) {
			all = append(all, shownAttachment{Name: a.Name, Filename: one.Blob.Filename, ContentType: one.Blob.ContentType, SealedSize: one.Blob.ByteSize})
		}
	}
	return all, nil
}

func (s *show) loadAttachments(ctx context.Context, id any) (activestorage.Attachments, error) {
	storage, err := s.Storage()
	if err != nil {
		return nil, err
	}
	return storage.Load(ctx, s.db.sql, s.table.RecordType, id)
}
