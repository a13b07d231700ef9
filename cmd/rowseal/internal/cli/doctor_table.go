package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/cmd/rowseal/internal/config"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/sweep"
)

// patient is a table that the doctor looks at.
type patient struct {
	*doctor
	*config.Table
}

func (p *patient) fault(place, format string, args ...any) { p.tell(isFault, place, format, args...) }
func (p *patient) warning(place, format string, args ...any) {
	p.tell(isWarning, place, format, args...)
}
func (p *patient) note(place, format string, args ...any) { p.tell(isNote, place, format, args...) }

func (p *patient) tell(l level, place, format string, args ...any) {
	p.add(finding{l, p.Schema.Table, place, fmt.Sprintf(format, args...)})
}

// failed tells an error, in the words of the file.
func (p *patient) failed(place, what string, err error) {
	p.fault(place, "%s%s", what, wording(err))
}

// checkKeys tells of KMS keys and master keys that cannot be used at all.
func (p *patient) checkKeys(ctx context.Context) {
	for _, err := range p.Unopened(p.opener()) {
		p.failed("", "", err)
	}
	for _, name := range p.Schema.MasterKeys {
		m := p.Masters[name]
		if m.KeyID != "" && (p.noRequests || !p.opens(m.KeyID)) {
			continue
		}
		if _, err := p.MasterKey(ctx, p.opener(), name); err != nil {
			p.failed("", "", err)
		}
	}
}

// opens tells whether a KMS key's id opens; that it does not is told elsewhere.
func (p *patient) opens(id string) bool {
	_, err := p.key(id)
	return err == nil
}

// checkTable looks at the table, and at what its rows tell that no catalogue knows.
func (p *patient) checkTable(ctx context.Context) {
	table, err := p.outline()
	if err != nil {
		p.failed("", "", err)
		return
	}
	p.checkSchema(ctx, table)
	columns, err := p.db.TableColumns(ctx, p.Schema.Table)
	if err != nil || len(columns) == 0 {
		return // told by checkSchema
	}
	p.checkVersions(ctx, table, columns)
	p.checkPlaintext(ctx, columns)
}

// checkSchema compares the file with the table and the rights of who runs the doctor.
func (p *patient) checkSchema(ctx context.Context, table *rowseal.Table) {
	opts := &rowseal.CheckOptions{NoKMS: p.noRequests, OpenOnly: p.openOnly, Note: func(f rowseal.Finding) {
		p.note(f.Column, "%s", forOperator(f.Problem))
	}}
	// A sweep names a row by all of the table's primary key, of which the file has the column that contexts use.
	key, err := p.db.PrimaryKey(ctx, p.Schema.Table)
	if there, _ := p.db.has(ctx, p.Schema.Table); there && err == nil && len(key) == 0 {
		p.fault("", "the table has no primary key, by which 'rowseal rotate' and the like tell its rows apart; give it one")
	}
	if err == nil && slices.Contains(key, p.Schema.PrimaryKey) {
		opts.PrimaryKey = key
	}
	err = table.Check(ctx, p.db, opts)
	var found *rowseal.CheckError
	switch {
	case errors.As(err, &found):
		for _, f := range found.Findings {
			if !errors.Is(f.Err, errStandIn) {
				p.fault(f.Column, "%s", forOperator(f.Problem))
			}
		}
	case err != nil:
		p.failed("", "", err)
	}
}

// outline is the table, with a stand-in for each KMS key that cannot be opened, so that all else can be looked at.
func (p *patient) outline() (*rowseal.Table, error) {
	o := p.opener()
	standIns := map[string]*kms.Key{}
	o.Key = func(id string) (*kms.Key, error) {
		if key, err := p.key(id); err == nil {
			return key, nil
		}
		if standIns[id] == nil {
			standIns[id] = kms.NewKey(standIn{id}, nil)
		}
		return standIns[id], nil
	}
	return p.Outline(o)
}

// standIn is a key that cannot be used.
type standIn struct{ id string }

var errStandIn = fmt.Errorf("%w: it does not open", kms.ErrKeyNotFound)

// Info implements kms.Service.
func (s standIn) Info() kms.Info { return kms.Info{KeyID: s.id, ContextEnforced: true} }

// Encrypt implements kms.Service.
func (s standIn) Encrypt(_ context.Context, items []kms.Item) []kms.Result {
	all := make([]kms.Result, len(items))
	for i, it := range items {
		all[i] = kms.Result{Ref: it.Ref, Err: errStandIn}
	}
	return all
}

// Decrypt implements kms.Service.
func (s standIn) Decrypt(ctx context.Context, items []kms.Item) []kms.Result {
	return s.Encrypt(ctx, items)
}

// goToFile has the words of the file and of this command for what rowseal.Table.Check tells a Go program.
var goToFile = strings.NewReplacer(
	", or check Model.Sealer, if it only seals", "",
	"; GRANT that, or check Model.Sealer", "; GRANT that",
	"check with CheckOptions.OpenOnly", "use --open-only",
	"check with CheckOptions.NoKMS", "use --no-requests",
	"name it in Options.Unsealed", "name it under unsealed",
	"name that in Options.PrimaryKey", "name that as primary_key",
	"give the one that is meant in Options", "name the one that is meant in the file",
)

// packageWithin is a package's name within a text, where it tells an operator nothing.
var packageWithin = regexp.MustCompile(`: (?:sqlseal|kms|localkms|vaultkms|awskms|gcpkms|azurekms): `)

func forOperator(problem string) string {
	return packageWithin.ReplaceAllString(goToFile.Replace(problem), ": ")
}

// checkContexts seals a random value under one context with each KMS key that seals, and demands that it does not open under
// another. That a key cannot seal or open is told elsewhere.
func (p *patient) checkContexts(ctx context.Context) {
	for _, k := range p.Schema.Keys {
		seals := p.Versions[k.Name][0]
		key, err := p.key(seals.KeyID)
		switch {
		case err != nil || p.tried[seals.KeyID]:
			continue
		case !key.Info().ContextEnforced:
			p.note(k.Column, "%s does not enforce the encryption context: what tells rows from each other is the binding of fields alone", seals.KeyID)
			continue
		case p.noRequests || p.openOnly:
			continue
		}
		p.tried[seals.KeyID] = true
		if opensElsewhere(ctx, key, tryContext(p.Contexts(k)[0])) {
			p.fault(k.Column, "%s opens under another encryption context than it has sealed under, so that data keys of rows can be exchanged; "+
				"see what 'rowseal keys check' says of it, and use a key that enforces the context", seals.KeyID)
		}
	}
}

// tryContext is a context as rows have it.
func tryContext(rule rowseal.ContextRule) kms.Context {
	ec := kms.Context{}
	for name, value := range rule.Names {
		if strings.HasPrefix(value, "{") {
			value = "rowseal-check" // as rowseal.CheckOptions says
		}
		ec[name] = value
	}
	return ec
}

func opensElsewhere(ctx context.Context, key *kms.Key, ec kms.Context) bool {
	sealed, err := key.Encrypt(ctx, randomBytes(32), ec)
	if err != nil {
		return false
	}
	other := maps.Clone(ec)
	names := slices.Sorted(maps.Keys(ec))
	if len(names) == 0 {
		names = []string{"rowseal"}
	}
	other[names[0]] += "-other"
	_, err = key.Decrypt(ctx, sealed, other)
	return err == nil
}

// checkVersions finds rows whose data keys are wrapped by a version that the file does not have.
func (p *patient) checkVersions(ctx context.Context, table *rowseal.Table, columns []rowseal.TableColumn) {
	var there []string
	for _, k := range p.Schema.Keys {
		if hasColumn(columns, k.Column) {
			there = append(there, k.Name)
		}
	}
	if len(there) == 0 {
		return
	}
	n, err := p.db.EstimateRows(ctx, p.Schema.Table)
	if err != nil {
		p.failed("", "its rows cannot be counted: ", err)
		return
	}
	v, err := sweep.CountVersions(ctx, p.db.DB, table.Only(there...).Rows(), "", n > largeTable)
	if err != nil {
		p.failed("", "the versions of its data keys cannot be counted: ", err)
		return
	}
	for _, one := range versionCounts(v) {
		if one.Unknown {
			p.fault(one.Column, "%s", strings.TrimPrefix(one.advice(), one.Column+": "))
		}
	}
}

func hasColumn(columns []rowseal.TableColumn, name string) bool {
	return slices.ContainsFunc(columns, func(c rowseal.TableColumn) bool {
		return c.Name == name || c.AnyCase && strings.EqualFold(c.Name, name)
	})
}

// checkPlaintext finds columns whose values should be, or have been, sealed into another.
func (p *patient) checkPlaintext(ctx context.Context, columns []rowseal.TableColumn) {
	for _, f := range p.Schema.Fields {
		from, migrating := sourceOf(p.Table, f.Column), true
		if from == "" {
			from, migrating = plainName(f.Column), false
		}
		i := slices.IndexFunc(columns, func(c rowseal.TableColumn) bool { return c.Name == from })
		if i < 0 && migrating {
			p.warning(from, "the table has no such column, whose values are to move into %s; take migrating: %s out, or name the one that is meant", f.Column, from)
		}
		if i < 0 || !migrating && p.KindOf(from) != config.Plain {
			continue
		}
		full, err := p.db.hasValues(ctx, p.Schema.Table, columns[i])
		switch {
		case err != nil:
			p.failed(from, "whether it has values cannot be found out: ", err)
		case full && p.KindOf(from) != config.Plain:
			p.note(from, "it has values that are to move into %s; 'rowseal migrate' moves them, and later 'rowseal migrate --clear' takes them away", f.Column)
		case full && migrating:
			p.warning(from, "it has plaintext that is to move into %s; 'rowseal migrate' seals it and, once the application reads %[1]s, "+
				"'rowseal migrate --clear' takes it away", f.Column)
		case full:
			p.warning(from, "it has plaintext, beside %s; if they are the same values, give %[1]s migrating: %s, and run 'rowseal migrate'", f.Column, from)
		case migrating:
			p.note(from, "it has no values any more; take migrating: %s out of %s, and drop the column", from, f.Column)
		default:
			p.note(from, "it has no values, beside %s; drop it, before something writes plaintext into it", f.Column)
		}
	}
}

// sourceOf is the column whose values move into a field.
func sourceOf(t *config.Table, field string) string {
	for _, m := range t.Migrating {
		if m.To == field {
			return m.From
		}
	}
	return ""
}

// plainName is how the Ruby gems call the plaintext of a sealed column, "" if that is named otherwise.
func plainName(sealed string) string {
	if name, ok := strings.CutSuffix(sealed, "_ciphertext"); ok {
		return name
	}
	if name, ok := strings.CutPrefix(sealed, "encrypted_"); ok {
		return name
	}
	return ""
}

// checkStores looks for the directories of files, and for the tables of Active Storage.
func (p *patient) checkStores(ctx context.Context) {
	for _, f := range p.Schema.Files {
		p.checkDirectory(f.Column, p.Stores[f.Column])
	}
	if len(p.Schema.Attachments) == 0 {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(p.Services)) {
		p.checkDirectory("storage."+name, p.Services[name])
	}
	switch there, err := p.db.has(ctx, "active_storage_attachments"); {
	case err != nil:
		p.failed("", "Active Storage's tables cannot be looked at: ", err)
	case !there:
		p.fault("", "it has attachments, and the database has no table active_storage_attachments; see whether it is the right database")
	}
}

func (p *patient) checkDirectory(place, path string) {
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		p.warning(place, "there is no directory %s, so that no file opens here; see whether it is the right machine, and dir: the right path", path)
	}
}
