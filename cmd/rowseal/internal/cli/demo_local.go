package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/localkms"
)

// localMaster is a local key, which the demo makes and keeps itself.
type localMaster struct{}

func (localMaster) store(dir string) localkms.Store {
	return localkms.Store{Dir: filepath.Join(dir, "keys")}
}

func (m localMaster) setUp(ctx context.Context, d *demo) (*kms.Key, error) {
	d.begin("A master key and a table", `A master key wraps the data keys of rows. In production it is in a KMS and never
		leaves it. Here it is a file, so that nothing has to be set up. The table has a column for the wrapped data key, and one
		for each sealed field.`)
	if err := m.store(d.dir).Create(ctx, "demo"); err != nil {
		return nil, err
	}
	service, err := m.store(d.dir).Open("demo")
	if err != nil {
		return nil, err
	}
	d.show("key    local/demo in %s", filepath.Join(d.dir, "keys", "demo.json"))
	return kms.NewKey(service, &kms.KeyOptions{Observers: []kms.Observer{d.observed}}), nil
}

func (localMaster) words() words {
	return words{
		wraps:        "One request wraps the three data keys and tells the master key which row each of them belongs to.",
		opens:        "with one request that names each of them.",
		refuses:      "The master key is told that it is row 66, and refuses.",
		refusesRight: "a KMS can refuse it the right besides.",
		log:          "A KMS keeps such a log where the application cannot change it.",
	}
}

func (m localMaster) rotate(ctx context.Context, d *demo) error {
	d.begin("A new version of the master key", `Rewrapping wraps each data key anew, with the new version, and touches no field. It is safe
		beside a running application: an UPDATE changes a row only if its wrapped key is still the one that was read. "v1:" is
		the version of the keyring, which stays; the local key's own version is inside the ciphertext.`)
	version, err := m.store(d.dir).Rotate(ctx, "demo")
	if err != nil {
		return err
	}
	before, after, err := d.rewrap(ctx)
	if err != nil {
		return err
	}
	d.show("local/demo now wraps with version %d; version %d still opens", version, version-1)
	d.showRewrap(before, after)
	return nil
}

func (m localMaster) switchOff(ctx context.Context, d *demo) error {
	d.begin("The switch", `After a break-in, disable the master key: from then on it refuses to open anything, for every server. Rows that a
		process has opened before stay open in it. Nothing is lost: enabled again, the key opens all rows.`)
	rows, err := d.load(ctx)
	if err != nil {
		return err
	}
	if err := m.store(d.dir).Disable(ctx, "demo"); err != nil {
		return err
	}
	err = d.users.Open(ctx, rows[0])
	if !errors.Is(err, kms.ErrKeyDisabled) {
		return fmt.Errorf("the disabled key was not refused (%v)", err)
	}
	d.refused(err)
	fmt.Fprintln(d.out)
	if err := m.store(d.dir).Enable(ctx, "demo"); err != nil {
		return err
	}
	if err := d.users.Open(ctx, rows...); err != nil {
		return err
	}
	d.show("Enabled again: all %s open.", count(len(rows), "row"))
	return nil
}

// command sets the key directory for this command alone: a variable that outlives it would send the next "keys create" to a
// directory that is about to be removed.
func (m localMaster) command(dir string) (rowseal, id string) {
	return "ROWSEAL_LOCAL_KEYS=" + shellQuote(m.store(dir).Dir) + " rowseal", "local/demo"
}
