package config

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// reader reads nodes and notes what is wrong with them, all of it, so that one look at the file mends it.
type reader struct {
	getenv func(string) (string, bool)
	every  bool // every master key must be there, and not only those that somebody uses
	faults []fault
}

func (r *reader) fault(n *node, format string, args ...any) {
	r.faultAt(n.line, n.path, format, args...)
}

func (r *reader) faultAt(line int, path, format string, args ...any) {
	for i, arg := range args {
		if text, ok := arg.(string); ok {
			args[i] = shown(text)
		}
	}
	message := fmt.Sprintf(format, args...)
	if path != "" {
		message = path + ": " + message
	}
	r.faults = append(r.faults, fault{line, message})
}

// section is a mapping whose keys are known.
type section struct {
	*reader
	*node
	values map[string]*node
}

// section reads a mapping; a key that is not known is a fault, with the one that may have been meant.
func (r *reader) section(n *node, known ...string) section {
	s := section{r, n, map[string]*node{}}
	if n.kind != mapping {
		r.fault(n, "must be a mapping, not %s", n.kind)
		return s
	}
	for _, p := range n.pairs {
		switch {
		case !slices.Contains(known, p.name):
			r.faultAt(p.line, n.path, "unknown key %q%s", p.name, meant(p.name, known))
		case p.value.kind == null:
			r.faultAt(p.line, join(n.path, p.name), "has no value; leave it out, or give one")
		default:
			s.values[p.name] = p.value
		}
	}
	return s
}

func (s section) has(key string) bool { return s.values[key] != nil }

// at is the node of a key, or else of the section, for faults.
func (s section) at(key string) *node {
	if n := s.values[key]; n != nil {
		return n
	}
	return s.node
}

// text returns a text in which ${NAME} has become the environment variable. It may be a secret.
func (s section) text(key string) string {
	n := s.values[key]
	if n == nil {
		return ""
	}
	value, _ := s.expand(n)
	return value
}

// expand returns "" and false if it noted a fault.
func (r *reader) expand(n *node) (value string, ok bool) {
	if !r.isText(n) {
		return "", false
	}
	before := len(r.faults)
	var b strings.Builder
	rest := n.text
	for {
		text, after, found := strings.Cut(rest, "${")
		b.WriteString(text)
		if !found {
			break
		}
		name, behind, closed := strings.Cut(after, "}")
		if !closed || !isVariable(name) {
			r.fault(n, "${ must be followed by the name of an environment variable and }")
			return "", false
		}
		value, set := r.getenv(name)
		switch {
		case !set:
			r.fault(n, "the environment variable %s is not set", name)
		case value == "":
			r.fault(n, "the environment variable %s is empty", name)
		}
		b.WriteString(value)
		rest = behind
	}
	if len(r.faults) > before {
		return "", false
	}
	return b.String(), true
}

func isVariable(name string) bool {
	for i, c := range name {
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

// isText takes integers too, as they are written: model_id: 5.
func (r *reader) isText(n *node) bool {
	if n.kind == text || n.kind == integer {
		return true
	}
	r.fault(n, "must be text, not %s%s", n.kind, inQuotes(n.kind))
	return false
}

func inQuotes(k kind) prose {
	if k == boolean || k == float {
		return "; if it is meant so, write it in quotes"
	}
	return ""
}

// name returns a text that is no secret: the name of a column, or the word for something. Errors repeat it.
func (s section) name(key string) string {
	n := s.values[key]
	if n == nil {
		return ""
	}
	return s.plain(n)
}

func (r *reader) plain(n *node) string {
	switch {
	case !r.isText(n):
		return ""
	case strings.Contains(n.text, "${"):
		r.fault(n, "${…} is not replaced here; it is in database, storage, store, key_id, context, associated_data, and in master_keys")
		return ""
	case hexRun.MatchString(n.text):
		r.fault(n, "%s", misplaced)
		return ""
	case n.text == "":
		r.fault(n, "is empty; leave it out, or give a value")
	}
	return n.text
}

// word returns one of the words that are known, or "" if the key is not there.
func (s section) word(key string, known ...string) string {
	n := s.values[key]
	if n == nil {
		return ""
	}
	name := s.plain(n)
	if name != "" && !slices.Contains(known, name) {
		s.fault(n, "%q is unknown%s", name, instead(name, known))
		return ""
	}
	return name
}

// number returns an integer of at least least, or 0 if the key is not there.
func (s section) number(key string, least int) int {
	n := s.values[key]
	if n == nil {
		return 0
	}
	i, err := strconv.Atoi(n.text)
	if n.kind != integer || err != nil || i < least {
		s.fault(n, "must be an integer from %d", least)
		return 0
	}
	return i
}

func (s section) flag(key string, otherwise bool) bool {
	n := s.values[key]
	if n == nil {
		return otherwise
	}
	if n.kind != boolean {
		s.fault(n, "must be true or false, not %s", n.kind)
	}
	return n.text == "true"
}

// names returns one name, or a list of them.
func (s section) names(key string) []string {
	n := s.values[key]
	switch {
	case n == nil:
		return nil
	case n.kind != sequence:
		return []string{s.plain(n)}
	case len(n.items) == 0:
		s.fault(n, "is an empty list")
	}
	var all []string
	for _, item := range n.items {
		all = append(all, s.plain(item))
	}
	return all
}

// words returns one or a list of the words that are known.
func (s section) words(key string, known ...string) []string {
	all := s.names(key)
	for _, w := range all {
		if w != "" && !slices.Contains(known, w) {
			s.fault(s.values[key], "%q is unknown%s", w, instead(w, known))
		}
	}
	return all
}

// each calls read with each entry of a mapping whose keys are names of the user's.
func (s section) each(key string, read func(name string, n *node)) {
	n := s.values[key]
	if n == nil {
		return
	}
	if n.kind != mapping {
		s.fault(n, "must be a mapping of names, not %s", n.kind)
		return
	}
	for _, p := range n.pairs {
		if hexRun.MatchString(p.name) {
			s.faultAt(p.line, n.path, "%s", misplaced)
			continue
		}
		read(p.name, p.value)
	}
}

// list returns the items of a list; a single mapping is a list of one.
func (s section) list(key string) []*node {
	n := s.values[key]
	switch {
	case n == nil:
		return nil
	case n.kind == mapping:
		return []*node{n}
	case n.kind != sequence:
		s.fault(n, "must be a list, not %s", n.kind)
	case len(n.items) == 0:
		s.fault(n, "the list is empty; leave it out, or give it an item")
	}
	return n.items
}

// texts returns a mapping of names to texts in which ${NAME} has been replaced.
func (s section) texts(key string) map[string]string {
	if s.values[key] == nil {
		return nil
	}
	all := map[string]string{}
	s.each(key, func(name string, n *node) { all[name], _ = s.expand(n) })
	return all
}

// meant suggests the known word that is nearest to what was written.
func meant(written string, known []string) prose {
	best, least := "", 3
	for _, word := range known {
		d := distance(strings.ToLower(written), word)
		if len(written) > 2 && (strings.HasPrefix(word, written) || strings.HasPrefix(written, word)) {
			d = min(d, 2)
		}
		if d < least && d < len(word) {
			best, least = word, d
		}
	}
	if best == "" {
		return ""
	}
	return prose(fmt.Sprintf("; did you mean %s?", shown(best)))
}

// instead says what could be written instead: the word that was meant or, if none is like it, all that are there.
func instead(written string, known []string) prose {
	if found := meant(written, known); found != "" || len(known) == 0 {
		return found
	}
	return "; there are " + listed(known)
}

func listed(names []string) prose {
	all := make([]string, len(names))
	for i, name := range names {
		all[i] = shown(name)
	}
	return prose(strings.Join(all, ", "))
}

// distance is the number of letters to insert, delete or replace (Levenshtein's), with two neighbours exchanged as one.
func distance(a, b string) int {
	if len(a) > 40 || len(b) > 40 {
		return 40
	}
	d := make([][]int, len(a)+1)
	for i := range d {
		d[i] = make([]int, len(b)+1)
		d[i][0] = i
	}
	for j := range d[0] {
		d[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			replaced := d[i-1][j-1]
			if a[i-1] != b[j-1] {
				replaced++
			}
			d[i][j] = min(d[i-1][j]+1, d[i][j-1]+1, replaced)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(a)][len(b)]
}

// Meant is for other places where a name is looked for among those that are there.
func Meant(written string, known []string) string { return string(meant(written, known)) }

// Instead is Meant or, where nothing is near, all the names that are there.
func Instead(written string, known []string) string { return string(instead(written, known)) }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
