package rowseal

import (
	"database/sql/driver"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/rowseal/rowseal/kms"
)

// ContextRule makes the encryption context of a row. The zero rule is the default of KeyColumn.Context. A rule
// that uses no column which names the row lets the rows' key columns be exchanged: then bind fields with BindRow.
type ContextRule struct {
	// Names maps each name of the context to a literal, or to one column of the row: {"model_name": "User", "model_id":
	// "{id}"}.
	Names map[string]string
	// Func makes the context instead of Names, a new map each time. It may ask the row for the primary key and for
	// Columns, and may answer ErrNotReady.
	Func func(Row) (kms.Context, error)
	// Columns are those that Func uses. A change of one of them changes the context.
	Columns []string
}

func (c ContextRule) isZero() bool { return c.Names == nil && c.Func == nil && c.Columns == nil }

func (c ContextRule) validate() error {
	switch {
	case c.Func != nil && c.Names != nil:
		return errors.New("it has Names and Func, and can have one")
	case c.Func == nil && c.Columns != nil:
		return errors.New("it has Columns without Func; Names shows its own")
	}
	for name, text := range c.Names {
		if column, ok := columnRef(text); !ok && strings.ContainsAny(column, "{}") {
			return fmt.Errorf("%q: %q is neither a literal nor exactly one {column}", name, text)
		}
	}
	return nil
}

// columnRef reads "{column}"; other text is returned as it is.
func columnRef(text string) (column string, ok bool) {
	inner, ok := strings.CutPrefix(text, "{")
	if inner, end := strings.CutSuffix(inner, "}"); ok && end && inner != "" && !strings.ContainsAny(inner, "{}") {
		return inner, true
	}
	return text, false
}

// columns lists the columns that the rule uses.
func (c ContextRule) columns() []string {
	all := slices.Clone(c.Columns)
	for _, text := range c.Names {
		if column, ok := columnRef(text); ok {
			all = append(all, column)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// readyRule is a ContextRule that was taken apart once, for many rows.
type readyRule struct {
	ContextRule
	columns []string
	parts   []contextPart // of Names
}

// contextPart is a name of a context and its literal, or the column that it is taken from.
type contextPart struct {
	name, text string
	isColumn   bool
}

func newReadyRule(c ContextRule) *readyRule {
	r := &readyRule{ContextRule: c, columns: c.columns()}
	for name, text := range c.Names {
		column, ok := columnRef(text)
		r.parts = append(r.parts, contextPart{name, column, ok})
	}
	return r
}

func (r *readyRule) context(row Row) (kms.Context, error) {
	if r.Func != nil {
		row.allowed = r.Columns
		ec, err := r.Func(row)
		if err == nil && ec == nil {
			err = fmt.Errorf("the context's Func returned none: %w", kms.ErrInvalidRequest)
		}
		return ec, err
	}
	ec := make(kms.Context, len(r.parts))
	for _, p := range r.parts {
		ec[p.name] = p.text
		if !p.isColumn {
			continue
		}
		value, err := row.text(p.text)
		if err != nil {
			return nil, err
		}
		ec[p.name] = value
	}
	return ec, nil
}

// rule returns the rule for a key that is wrapped, or to be wrapped, with a keyring version.
func (k KeyColumn) rule(s *Schema, version int) ContextRule {
	rule, ok := k.Versions[version]
	if !ok {
		rule = k.Context
	}
	if !rule.isZero() {
		return rule
	}
	names := map[string]string{"model_name": s.Model, "model_id": "{" + s.PrimaryKey + "}"}
	if k.Name != "" && s.Binding != BindNone {
		names["key_name"] = k.Name
	}
	return ContextRule{Names: names}
}

// rules lists every rule that a key column can need.
func (k KeyColumn) rules(s *Schema) []ContextRule {
	rules := []ContextRule{k.rule(s, 0)}
	for _, version := range slices.Sorted(maps.Keys(k.Versions)) {
		rules = append(rules, k.rule(s, version))
	}
	return rules
}

// Row gives a rule the columns that it declared, as the text that a context needs.
type Row struct {
	value      func(column string) (any, error)
	primaryKey string
	allowed    []string
	strict     bool // the primary key too must be among allowed
}

// Column returns a column's value as text: integers in decimal, text as it is, UUIDs in lower case with hyphens. NULL,
// floats, booleans, times and bytes are refused. A primary key that the row does not have yet is ErrNotReady.
func (r Row) Column(name string) (string, error) {
	if (r.strict || name != r.primaryKey) && !slices.Contains(r.allowed, name) {
		return "", fmt.Errorf("column %s is used and not declared; add it to the rule's columns: %w", name, kms.ErrInvalidRequest)
	}
	return r.text(name)
}

func (r Row) text(name string) (string, error) {
	v, err := r.value(name)
	if err != nil {
		return "", err
	}
	if name == r.primaryKey && (v == nil || reflect.ValueOf(v).IsZero()) {
		return "", fmt.Errorf("%s has no value yet; insert the row first, or take the id before sealing: %w", name, ErrNotReady)
	}
	text, err := contextText(v)
	if err != nil {
		return "", fmt.Errorf("column %s: %w", name, err)
	}
	return text, nil
}

// contextText is the one conversion of values to context text, the same for values of structs and of drivers.
func contextText(v any) (string, error) {
	if isNil(v) {
		return "", fmt.Errorf("NULL cannot be in an encryption context: %w", kms.ErrInvalidRequest)
	}
	if valuer, ok := v.(driver.Valuer); ok {
		inner, err := valuer.Value()
		if err != nil {
			return "", err
		}
		if _, again := inner.(driver.Valuer); again {
			return "", fmt.Errorf("the Valuer %T returned another Valuer: %w", v, kms.ErrInvalidRequest)
		}
		return contextText(inner)
	}
	switch r := reflect.ValueOf(v); {
	case r.Kind() == reflect.String:
		return r.String(), nil
	case r.CanInt():
		return strconv.FormatInt(r.Int(), 10), nil
	case r.CanUint():
		return strconv.FormatUint(r.Uint(), 10), nil
	case r.Kind() == reflect.Pointer:
		return contextText(r.Elem().Interface())
	case r.Kind() == reflect.Array && r.Len() == 16 && r.Type().Elem() == reflect.TypeFor[byte]():
		return uuidText(r), nil
	}
	return "", fmt.Errorf("a %T cannot be in an encryption context, which takes integers, text and UUIDs: %w", v, kms.ErrInvalidRequest)
}

func isNil(v any) bool {
	r := reflect.ValueOf(v)
	return v == nil || r.Kind() == reflect.Pointer && r.IsNil()
}

// uuidText is the canonical form of RFC 9562 §4.
func uuidText(array reflect.Value) string {
	b := make([]byte, 16)
	reflect.Copy(reflect.ValueOf(b), array)
	h := hex.EncodeToString(b)
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
