package rowseal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rowseal/rowseal/kms"
)

// CheckOptions says what a program does and needs, for Model.Check. The zero value is right for one that seals and opens,
// and for a Sealer.
type CheckOptions struct {
	// OpenOnly is for a program that opens rows and writes none: it needs no right to seal, nor to write to the table.
	OpenOnly bool
	// NoKMS makes no request to a KMS, as for a health check that runs every few seconds.
	NoKMS bool
	// PrimaryKey are the columns of a primary key of several. Empty: that of the Schema.
	PrimaryKey []string
	// Row has values for columns that encryption contexts and keyrings use, where any other than "rowseal-check" is needed:
	// where the rights are for some values only ({"type": "Customer"}), or where a Func or a KeyringFor is to be called.
	Row map[string]any
	// Note is told what is no fault and may surprise: how much fits into a varchar, and what could not be checked. nil: nobody
	// is told.
	Note func(Finding)
}

// CheckError is what Model.Check found. Its message has every finding, in one line.
type CheckError struct {
	Table    string
	Findings []Finding
}

// Finding is one thing that is wrong with a table or a right, and what to do about it. It holds no value of a row.
type Finding struct {
	Column  string `json:"column,omitempty"` // "" for the table as a whole
	Problem string `json:"problem"`          // with the remedy
	Err     error  `json:"-"`                // of the database or the KMS; nil: nothing failed, but the table is not as the Schema says
}

// String returns the column and the problem.
func (f Finding) String() string {
	if f.Column == "" {
		return f.Problem
	}
	return f.Column + ": " + f.Problem
}

// Error numbers the findings.
func (e *CheckError) Error() string {
	var b strings.Builder
	b.WriteString("rowseal: check of " + e.Table + ":")
	for i, f := range e.Findings {
		if len(e.Findings) > 1 {
			fmt.Fprintf(&b, " (%d)", i+1)
		}
		b.WriteString(" " + f.String())
	}
	return b.String()
}

// Unwrap returns the errors of the database and of the KMS, for errors.Is and errors.As.
func (e *CheckError) Unwrap() []error {
	var all []error
	for _, f := range e.Findings {
		if f.Err != nil {
			all = append(all, f.Err)
		}
	}
	return all
}

// Check tells, before the first row does, whether the table and the program's rights are as the Model needs them. It is for
// start-up and health checks; db is a *sqlseal.DB. opts may be nil. The error is a *CheckError with all that was found. It
// matches kms.ErrAccessDenied where a right is missing, and kms.ErrUnavailable or the error of the database or of ctx where
// nobody answers, which may mend itself.
//
// Of the table it checks, with one query of the database's catalogue:
//
//   - that every column is there, that the program may read and write it, and that it is of a kind that takes what is sealed:
//     bytes for what is declared raw, text or bytes for the rest
//   - that the column is wide enough: a key column for what the KMS makes today, an index for an index, a field for a value of
//     its type or, if values have any length, for one byte. How much fits into a varchar, CheckOptions.Note is told.
//   - that the database compares indexes byte by byte, and not by a collation that takes some letters for others
//   - that the primary key is the table's own and whole, because an UPDATE names one row by it
//   - that no other column looks sealed (Schema.Unsealed)
//
// At the KMS it tries each KMS key of the Model's keyrings: it seals a random data key with the version that seals, and opens it
// again. The keys of the other versions are asked to open a made-up ciphertext, which those refuse that let the program open at
// all (kms.Key.CheckDecrypt). That is at most two requests for each KMS key and kind of context. They are in the KMS's log, the
// made-up ciphertexts as decryptions that failed, under the contexts that rows have with "rowseal-check" for each column:
// {"model_name": "User", "model_id": "rowseal-check"}. A key column whose keyring or context only a function knows is left out,
// unless CheckOptions.Row has the columns that the function uses.
//
// A Model that Only has narrowed checks the keys that are left, and what is sealed under them. Check writes nothing.
func (m *Model[T]) Check(ctx context.Context, db Database, opts *CheckOptions) error {
	return m.check(ctx, db, opts)
}

// Check is Model.Check for a program that seals: it asks neither for the right to open, nor for that to read the table. More
// rights than needed are no fault.
func (s *Sealer[T]) Check(ctx context.Context, db Database, opts *CheckOptions) error {
	return s.model.check(ctx, db, opts)
}

// Check is Model.Check.
func (t *Table) Check(ctx context.Context, db Database, opts *CheckOptions) error {
	return t.check(ctx, db, opts)
}

// Check is Model.Check or, of a Sealer's Rows, Sealer.Check.
func (r *Rows) Check(ctx context.Context, db Database, opts *CheckOptions) error {
	return r.check(ctx, db, opts)
}

func (e *engine) check(ctx context.Context, db Database, opts *CheckOptions) error {
	c := &checker{engine: e}
	if opts != nil {
		c.opts = *opts
	}
	switch {
	case e.err != nil:
		return e.err
	case db == nil:
		return e.schema.invalid("Check needs a Database, as sqlseal.SQL and sqlseal.Pgx return one")
	case e.sealOnly && c.opts.OpenOnly:
		return e.schema.invalid("a Sealer cannot be checked with OpenOnly, because it opens nothing")
	}
	c.checkTable(ctx, db, c.checkRights(ctx))
	if len(c.found) == 0 {
		return nil
	}
	return &CheckError{e.schema.Table, c.found}
}

// checker collects what is found.
type checker struct {
	*engine
	opts  CheckOptions
	found []Finding
}

func (c *checker) fault(column, format string, args ...any) {
	c.found = append(c.found, Finding{Column: column, Problem: fmt.Sprintf(format, args...)})
}

func (c *checker) failed(column string, err error, format string, args ...any) {
	c.found = append(c.found, Finding{column, fmt.Sprintf(format, args...), err})
}

func (c *checker) note(column, format string, args ...any) {
	if c.opts.Note != nil {
		c.opts.Note(Finding{Column: column, Problem: fmt.Sprintf(format, args...)})
	}
}

// writing is a fault to who writes rows, and worth a note to others.
func (c *checker) writing(column, format string, args ...any) {
	if c.opts.OpenOnly {
		c.note(column, format, args...)
		return
	}
	c.fault(column, format, args...)
}

// reason is an error of the KMS without the operation and the key, which the message has.
func reason(err error) error {
	if e := (*kms.Error)(nil); errors.As(err, &e) {
		return e.Err
	}
	return err
}

// Undeclared lists the columns that look as if something were sealed in them, by the names that the Ruby gems give, and that
// the Schema does not know: email_ciphertext, encrypted_ssn, encrypted_kms_key_phone, email_bidx, license_file. Those in
// Schema.Unsealed are not among them.
func (r *Rows) Undeclared(columns []TableColumn) []string { return r.schema.undeclared(columns) }

func (s *Schema) undeclared(columns []TableColumn) []string {
	known := slices.Concat(s.columns(), s.Unsealed)
	var all []string
	for _, c := range columns {
		if looksSealed(c.Name) && !slices.ContainsFunc(known, c.is) {
			all = append(all, c.Name)
		}
	}
	return all
}

func looksSealed(column string) bool {
	name := strings.ToLower(column)
	return strings.HasSuffix(name, "_ciphertext") || strings.HasPrefix(name, "encrypted_") || strings.HasSuffix(name, "_bidx") ||
		strings.HasSuffix(name, "_file")
}
