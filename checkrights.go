package rowseal

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"maps"
	"slices"

	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/lockbox"
)

// checkValue stands for a column's value in the contexts of trials, so that the KMS's log shows what they were.
const checkValue = "rowseal-check"

// trial is one use of a KMS key under one context, for the first key column that needs it.
type trial struct {
	column  string
	version Version
	ec      kms.Context
	seals   bool   // this version seals new rows
	wrapped string // what it sealed
	asked   bool   // whether the program may open is known, or cannot be asked
}

// checkRights tries the KMS keys. It returns the longest wrapped key that was made for each key column, 0 if none was.
func (c *checker) checkRights(ctx context.Context) (lengths map[string]int) {
	lengths = map[string]int{}
	if c.opts.NoKMS {
		return lengths
	}
	var trials []*trial
	for i := range c.schema.Keys {
		if c.sees(i) {
			trials = append(trials, c.trialsOf(i)...)
		}
	}
	done := c.distinct(trials)
	c.trySealing(ctx, done)
	c.tryOpening(ctx, done)
	for _, t := range trials {
		same := done[slices.IndexFunc(done, t.same)]
		lengths[t.column] = max(lengths[t.column], len(same.wrapped))
	}
	return lengths
}

// trialsOf are those of a key column: one for each version of its keyring that the program uses.
func (c *checker) trialsOf(key int) []*trial {
	column := c.schema.Keys[key]
	ring, err := c.trialRing(key)
	if err != nil {
		c.note(column.Column, "the rights at the KMS were not checked: %v", err)
		return nil
	}
	var all []*trial
	versions := ring.versions
	if c.sealOnly {
		versions = versions[:1]
	}
	for i, v := range versions {
		ec, err := c.trialContext(column.rule(c.schema, v.Number))
		if err != nil {
			c.note(column.Column, "the right to version %d was not checked: %v", v.Number, err)
			continue
		}
		all = append(all, &trial{column: column.Column, version: v, ec: ec, seals: i == 0 && !c.opts.OpenOnly})
	}
	return all
}

var errNoTrialRow = errors.New("it depends on a function; give CheckOptions.Row the columns that the function uses")

func (c *checker) trialRing(key int) (*Keyring, error) {
	choice := c.keys[key].keyringChoice
	if choice.choose == nil {
		return choice.ring, nil
	}
	if !c.hasTrialRow(choice.columns) {
		return nil, errNoTrialRow
	}
	row := c.trialRow()
	row.allowed, row.strict = choice.columns, true
	ring, err := choice.choose(row)
	if err == nil && ring == nil {
		err = errors.New("KeyringFor chose none")
	}
	return ring, err
}

func (c *checker) trialContext(rule ContextRule) (kms.Context, error) {
	if rule.Func != nil && !c.hasTrialRow(rule.Columns) {
		return nil, errNoTrialRow
	}
	return newReadyRule(rule).context(c.trialRow())
}

// hasTrialRow tells whether a function can be called: one that is given no real values may not be prepared for it.
func (c *checker) hasTrialRow(columns []string) bool {
	return c.opts.Row != nil && !slices.ContainsFunc(columns, func(name string) bool { _, ok := c.opts.Row[name]; return !ok })
}

func (c *checker) trialRow() Row {
	return Row{primaryKey: c.schema.PrimaryKey, value: func(column string) (any, error) {
		if v, ok := c.opts.Row[column]; ok {
			return v, nil
		}
		return checkValue, nil
	}}
}

// same tells whether the KMS would be asked the same again.
func (t *trial) same(o *trial) bool {
	return t.version.Key == o.version.Key && t.seals == o.seals && t.version.Number == o.version.Number && maps.Equal(t.ec, o.ec)
}

// distinct leaves out what is there twice.
func (c *checker) distinct(trials []*trial) []*trial {
	var all []*trial
	for _, t := range trials {
		if !slices.ContainsFunc(all, t.same) {
			all = append(all, t)
		}
	}
	return all
}

// trySealing wraps a data key with each version that seals and, for a program that opens too, opens it again.
func (c *checker) trySealing(ctx context.Context, trials []*trial) {
	var jobs []*job
	of := map[*job]*trial{}
	for _, t := range trials {
		if t.seals {
			j := &job{ring: &Keyring{versions: []Version{t.version}}, context: always(t.ec), plaintext: make([]byte, lockbox.KeySize)}
			rand.Read(j.plaintext)
			jobs, of[j] = append(jobs, j), t
		}
	}
	wrapAll(ctx, jobs)
	var opening []*job
	for _, j := range jobs {
		of[j].asked = !errors.Is(j.err, kms.ErrAccessDenied) // an error of another kind would come again
		if j.err != nil {
			c.cannot(toSeal, of[j], j.err)
			continue
		}
		of[j].wrapped = j.wrapped
		opening = append(opening, j)
	}
	if c.sealOnly {
		return
	}
	want := map[*job][]byte{}
	for _, j := range opening {
		want[j], j.plaintext = j.plaintext, nil
	}
	unwrapAll(ctx, opening)
	for _, j := range opening {
		if j.err == nil && subtle.ConstantTimeCompare(j.plaintext, want[j]) != 1 {
			j.err = kms.ErrWrongAnswer
		}
		if j.err != nil {
			c.cannot(toOpen, of[j], j.err)
		}
	}
}

// tryOpening asks for the right to open where nothing was sealed that could be opened.
func (c *checker) tryOpening(ctx context.Context, trials []*trial) {
	if c.sealOnly {
		return
	}
	var asked []*trial
	for _, t := range trials {
		if !slices.ContainsFunc(trials, func(o *trial) bool { return o.asked && o.version.Key == t.version.Key && maps.Equal(o.ec, t.ec) }) {
			t.asked, asked = true, append(asked, t)
		}
	}
	errs := make([]error, len(asked))
	atOnce(len(asked), keysAtOnce, func(i int) { errs[i] = asked[i].version.Key.CheckDecrypt(ctx, asked[i].ec) })
	for i, err := range errs {
		if err != nil {
			c.cannot(toOpen, asked[i], err)
		}
	}
}

// right is what a program is to be able to do at the KMS.
type right struct{ flag, without, instead string }

var (
	toSeal = right{"--seal", "new rows cannot be sealed", "check with CheckOptions.OpenOnly, if it writes none"}
	toOpen = right{"--open", "rows cannot be opened", "check Model.Sealer, if it only seals"}
)

// cannot says what does not work, and what would mend it.
func (c *checker) cannot(r right, t *trial, err error) {
	id := t.version.Key.ID()
	err = reason(err)
	remedy := "see to it that the KMS can be reached and answers"
	switch {
	case errors.Is(err, kms.ErrAccessDenied):
		remedy = "give this program the right (rowseal policy --key-id " + id + " " + r.flag + "), or " + r.instead
	case errors.Is(err, kms.ErrKeyNotFound):
		remedy = "see whether the key's id is right, and whether it is that of this environment"
	case errors.Is(err, kms.ErrKeyDisabled):
		remedy = "enable the key"
	case errors.Is(err, kms.ErrBudget):
		remedy = "check with CheckOptions.NoKMS where requests are not allowed"
	case errors.Is(err, kms.ErrInvalidRequest), errors.Is(err, kms.ErrDecryptionFailed):
		remedy = "see what the KMS says of it"
	}
	c.failed(t.column, err, "%s with version %d, %s: %v; %s", r.without, t.version.Number, id, err, remedy)
}
