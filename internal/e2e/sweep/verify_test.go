package sweep_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/sweep"
)

// verify runs a VerifyStep, and returns its failures by row.
func (w *world) verify(step *sweep.VerifyStep, opts *sweep.Options) map[string]string {
	w.Helper()
	status, err := sweep.Run(w.Context(), w.db, w.patients(w.both).Rows(), step, opts)
	w.must(err)
	if status.State != sweep.Done {
		w.Errorf("%+v", status)
	}
	failures := map[string]string{}
	for _, f := range status.Failures {
		failures[f.Key] = f.Reason
	}
	return failures
}

// stored returns a column of a patient.
func (w *world) stored(id int, column string) string {
	w.Helper()
	return w.one(fmt.Sprintf(`SELECT %s FROM patients WHERE id = %d`, column, id))
}

func (w *world) set(id int, column, value string) {
	w.Helper()
	args := []any{value}
	mark := w.db.Placeholder(1)
	if value == "NULL" {
		mark, args = "NULL", nil
	}
	w.exec(fmt.Sprintf(`UPDATE patients SET %s = %s WHERE id = %d`, column, mark, id), args...)
}

func TestWhatIsInOrderPasses(t *testing.T) {
	onEach(t, func(w *world) {
		w.admit(w.first, 25)
		w.exec(`UPDATE patients SET phone_ciphertext = NULL WHERE id = 3`)
		step := &sweep.VerifyStep{}
		if failures := w.verify(step, nil); len(failures) != 0 {
			w.Errorf("%v", failures)
		}
		if step.Unused() != 1 {
			w.Errorf("%d keys have nothing under them", step.Unused())
		}
	})
}

func TestEachDamageIsFoundAndNamed(t *testing.T) {
	for _, damage := range []struct {
		name string
		do   func(w *world)
		want map[string]string // of a row's reason
	}{
		{"a NULL key beside a ciphertext", func(w *world) { w.set(2, "encrypted_kms_key", "NULL") },
			map[string]string{"2": `"2" email_ciphertext: key column encrypted_kms_key is NULL beside a ciphertext: no data key`}},
		{"two keys swapped", func(w *world) {
			two, five := w.stored(2, "encrypted_kms_key"), w.stored(5, "encrypted_kms_key")
			w.set(2, "encrypted_kms_key", five)
			w.set(5, "encrypted_kms_key", two)
		}, map[string]string{
			"2": `encrypted_kms_key (version 1): kms: decrypt with old: decryption failed; what stands in encrypted_kms_key is of row 5`,
			"5": `what stands in encrypted_kms_key is of row 2`,
		}},
		{"two fields swapped", func(w *world) {
			two, five := w.stored(2, "email_ciphertext"), w.stored(5, "email_ciphertext")
			w.set(2, "email_ciphertext", five)
			w.set(5, "email_ciphertext", two)
		}, map[string]string{"2": `email_ciphertext (version 1): decryption failed; what stands in email_ciphertext is of row 5`, "5": "is of row 2"}},
		{"a version that the keyring lacks", func(w *world) {
			w.set(2, "encrypted_kms_key", "v9"+strings.TrimPrefix(w.stored(2, "encrypted_kms_key"), "v1"))
		},
			map[string]string{"2": "version not active: 9"}},
		{"another version's key", func(w *world) {
			w.set(2, "encrypted_kms_key", "v2"+strings.TrimPrefix(w.stored(2, "encrypted_kms_key"), "v1"))
		},
			map[string]string{"2": `decrypt with new: decryption failed`}},
		{"a ciphertext that was cut", func(w *world) { w.set(2, "phone_ciphertext", w.stored(2, "phone_ciphertext")[:20]) },
			map[string]string{"2": "phone_ciphertext (version 1): decryption failed"}},
		{"no ciphertext at all", func(w *world) { w.set(2, "phone_ciphertext", "hello") }, map[string]string{"2": "phone_ciphertext (version 1): "}},
		{"both keys of a row", func(w *world) {
			w.set(2, "encrypted_kms_key", w.stored(3, "encrypted_kms_key"))
			w.set(2, "encrypted_kms_key_phone", "v1:")
		}, map[string]string{"2": `a wrapped key without a ciphertext`}},
		{"a value that is none of its type", func(w *world) {
			type loose struct {
				ID              int64
				EncryptedKMSKey rowseal.DataKey
				BornOn          rowseal.Sealed[string]
			}
			m, err := rowseal.NewModel[loose]("patients", w.first, &rowseal.Options{Model: "patient"})
			w.must(err)
			row := &loose{ID: 2}
			w.must(row.EncryptedKMSKey.Scan(w.stored(2, "encrypted_kms_key")))
			w.must(row.BornOn.Scan(nil))
			w.must(m.Open(w.Context(), row))
			row.BornOn.Set("the day before yesterday")
			w.must(m.Seal(w.Context(), row))
			w.set(2, "born_on_ciphertext", row.BornOn.Ciphertext())
		}, map[string]string{"2": "born_on_ciphertext (version 1): it opens, and is no value of its type (date)"}},
	} {
		t.Run(damage.name, func(t *testing.T) {
			onEach(t, func(w *world) {
				w.admit(w.first, 8)
				damage.do(w)
				got := w.verify(&sweep.VerifyStep{}, &sweep.Options{Page: 3})
				for id, want := range damage.want {
					if !strings.Contains(got[id], want) || strings.Contains(got[id], "yesterday") {
						w.Errorf("row %s: %s\nwant %s", id, got[id], want)
					}
					if kept := w.one(`SELECT reason FROM rowseal_quarantine WHERE row_key = `+w.db.Placeholder(1), id); kept != got[id] {
						w.Errorf("the quarantine has %q", kept)
					}
				}
				if len(got) != len(damage.want) {
					w.Errorf("%v", got)
				}
			})
		})
	}
}

func TestAVerifyWithoutStateWritesNothing(t *testing.T) {
	onEach(t, func(w *world) {
		w.admit(w.first, 8)
		w.set(2, "encrypted_kms_key", "NULL")
		if failures := w.verify(&sweep.VerifyStep{}, &sweep.Options{Stateless: true}); len(failures) != 1 {
			w.Errorf("%v", failures)
		}
		if columns, err := w.db.TableColumns(w.Context(), "rowseal_sweeps"); err != nil || columns != nil {
			w.Errorf("there is a table: %v, %v", columns, err)
		}
	})
}

// TestWhatAStaleWriterWroteAfterARekeyIsRepaired: a program that compares nothing has read rows before a rekey, and writes after it.
func TestWhatAStaleWriterWroteAfterARekeyIsRepaired(t *testing.T) {
	for _, stale := range []struct {
		name  string
		write func(w *world, before *patient)
		mail  string // of patient 2, afterwards
	}{
		{"a field", func(w *world, before *patient) {
			w.must(w.patients(w.first).Open(w.Context(), before))
			before.Email.Set("new@example.org")
			w.must(w.patients(w.first).Seal(w.Context(), before))
			w.set(2, "email_ciphertext", before.Email.Ciphertext())
		}, "new@example.org"},
		{"the key alone", func(w *world, before *patient) { w.set(2, "encrypted_kms_key", before.EncryptedKMSKey.Wrapped()) }, email(2)},
		{"the key and a field", func(w *world, before *patient) {
			w.set(2, "encrypted_kms_key", before.EncryptedKMSKey.Wrapped())
			w.set(2, "email_ciphertext", before.Email.Ciphertext())
		}, email(2)},
		{"NULL into the key", func(w *world, _ *patient) { w.set(2, "encrypted_kms_key", "NULL") }, email(2)},
		{"NULL into the key, and a field", func(w *world, before *patient) {
			w.set(2, "encrypted_kms_key", "NULL")
			w.set(2, "email_ciphertext", before.Email.Ciphertext())
		}, email(2)},
		{"another row's key", func(w *world, _ *patient) { w.set(2, "encrypted_kms_key", w.stored(3, "encrypted_kms_key")) }, email(2)},
		{"another row's key, and a field", func(w *world, before *patient) {
			w.set(2, "encrypted_kms_key", w.stored(3, "encrypted_kms_key"))
			w.set(2, "email_ciphertext", before.Email.Ciphertext())
		}, email(2)},
	} {
		t.Run(stale.name, func(t *testing.T) {
			onEach(t, func(w *world) {
				w.admit(w.first, 5)
				before := w.load()[1]
				_, err := sweep.Rekey(w.Context(), w.db, w.patients(w.first), nil)
				w.must(err)
				stale.write(w, before)
				if failures := w.verify(&sweep.VerifyStep{Grace: -1}, nil); len(failures) != 1 {
					w.Fatalf("before the repair: %v", failures)
				}
				if n := w.one(`SELECT count(*) FROM rowseal_journal`); n != "2" {
					w.Errorf("the journal has %s entries; those of the row that is not in order must stay", n)
				}
				step := &sweep.VerifyStep{Repair: true, Grace: -1}
				if failures := w.verify(step, nil); len(failures) != 0 || step.Repaired() != 1 {
					w.Fatalf("the repair: %v, %d rows", failures, step.Repaired())
				}
				all := w.load()
				w.must(w.patients(w.both).Open(w.Context(), all...))
				for i, p := range all {
					got, err := p.Email.Get()
					w.must(err)
					want := email(i + 1)
					if i == 1 {
						want = stale.mail
					}
					if day, err := p.BornOn.Get(); got != want || err != nil || day.Year() != 1990 {
						w.Errorf("patient %d has %s, %v", i+1, got, err)
					}
				}
				w.verify(&sweep.VerifyStep{Grace: -1}, nil)
				if n := w.one(`SELECT count(*) FROM rowseal_journal`); n != "0" {
					w.Errorf("the journal has %s entries after all is in order", n)
				}
			})
		})
	}
}

func TestWhatNothingOpensStaysAsItIs(t *testing.T) {
	onEach(t, func(w *world) {
		w.admit(w.first, 5)
		_, err := sweep.Rekey(w.Context(), w.db, w.patients(w.first), nil)
		w.must(err)
		w.set(2, "email_ciphertext", w.stored(3, "email_ciphertext"))
		w.set(4, "encrypted_kms_key", "NULL")
		w.set(4, "email_ciphertext", w.stored(3, "email_ciphertext"))
		before := w.load()
		step := &sweep.VerifyStep{Repair: true}
		if failures := w.verify(step, nil); len(failures) != 2 || step.Repaired() != 0 {
			w.Errorf("%v, %d repaired", failures, step.Repaired())
		}
		same := slices.EqualFunc(before, w.load(), func(a, b *patient) bool {
			return a.EncryptedKMSKey.Wrapped() == b.EncryptedKMSKey.Wrapped() && a.Email.Ciphertext() == b.Email.Ciphertext()
		})
		if !same {
			w.Error("something was written")
		}
	})
}

func TestYoungEntriesOfTheJournalStay(t *testing.T) {
	onEach(t, func(w *world) {
		w.admit(w.first, 5)
		_, err := sweep.Rekey(w.Context(), w.db, w.patients(w.first), nil)
		w.must(err)
		w.verify(&sweep.VerifyStep{}, nil)
		if n := w.one(`SELECT count(*) FROM rowseal_journal`); n != "10" {
			w.Errorf("the journal has %s entries", n)
		}
	})
}

func TestTheJournalForgetsRowsThatAreGone(t *testing.T) {
	onEach(t, func(w *world) {
		w.admit(w.first, 8)
		_, err := sweep.Rekey(w.Context(), w.db, w.patients(w.first), nil)
		w.must(err)
		w.exec(`DELETE FROM patients WHERE id IN (3, 7)`)
		w.set(5, "email_ciphertext", w.stored(6, "email_ciphertext"))
		entries := func(want string) {
			w.Helper()
			if n := w.one(`SELECT count(*) FROM rowseal_journal`); n != want {
				w.Errorf("the journal has %s entries, want %s", n, want)
			}
		}
		w.verify(&sweep.VerifyStep{}, nil)
		entries("16") // which are young
		w.verify(&sweep.VerifyStep{Grace: -1}, &sweep.Options{Where: "id < 3"})
		entries("12")
		w.verify(&sweep.VerifyStep{Grace: -1}, nil)
		entries("2") // of row 5, which is not in order
	})
}
