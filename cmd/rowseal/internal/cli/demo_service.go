package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rowseal/rowseal/cmd/rowseal/internal/policy"
	"github.com/rowseal/rowseal/kms"
)

// serviceMaster is a key of a KMS. The demo uses it, and tells what only its keeper can do.
type serviceMaster struct {
	key    *kms.Key
	keeper policy.Keeper
}

// openMaster opens a key that can do what the demo shows.
func openMaster(cmd *cobra.Command, id string, observed *observed) (master, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	if strings.HasPrefix(id, localPrefix) || isTestKey(id) {
		return nil, usagef("--key-id %s: must be a key of a KMS; without --key-id, the demo makes a local key", id)
	}
	keeper, known := policy.KeeperOf(id)
	key, err := openKey(cmd, id, &kms.KeyOptions{Timeout: patience, Observers: []kms.Observer{observed}})
	switch {
	case err != nil:
		return nil, err
	case !known:
		return nil, usagef("--key-id %s: the demo does not know the commands for a key of this form", id)
	}
	if err := fitForDemo(cmd.Context(), key); err != nil {
		key.Close()
		return nil, err
	}
	observed.events = nil
	return serviceMaster{key, keeper}, nil
}

// fitForDemo tries the key out, before anything is made.
func fitForDemo(ctx context.Context, key *kms.Key) error {
	checked, err := check(ctx, key, kms.Context{"model_name": "User"})
	if err != nil {
		return err
	}
	for _, can := range []struct {
		what string
		answer
	}{{"seal", checked.Seal}, {"open", checked.Open}, {"context enforced", checked.ContextEnforced}} {
		if can.Answer != yes.Answer {
			return fmt.Errorf("the demo needs a key that seals, opens and enforces the context; of %s: %s: %s", key.ID(), can.what, can.answer)
		}
	}
	return nil
}

func (m serviceMaster) setUp(_ context.Context, d *demo) (*kms.Key, error) {
	d.begin("A master key and a table", `A master key wraps the data keys of rows. This one is in `+m.keeper.Service+` and never leaves it:
		this machine sends data keys there to be wrapped and unwrapped. The table has a column for the wrapped data key, and one
		for each sealed field.`)
	d.show("key    %s", m.key.ID())
	return m.key, nil
}

func (m serviceMaster) words() words {
	w := localMaster{}.words()
	w.refusesRight = m.keeper.Service + " can refuse it the right besides (" + policy.Command(m.key.ID()) + " --seal)."
	w.log = m.keeper.Service + " keeps its own where the application cannot change it: " + m.keeper.Log + "."
	if m.key.Info().BatchSize > 1 {
		return w
	}
	w.wraps = "One request for each wraps its data key and tells the master key which row it belongs to."
	w.opens = "with one request for each, which names it."
	if m.keeper.Blind {
		w.wraps = `Each data key is bound to its row on this machine too, as the master key takes no context, and one request for each
			has the result wrapped.`
		w.opens = "with one request for each."
		w.refuses = "What the master key unwraps was bound to row 1, and does not open for row 66."
	}
	return w
}

func (m serviceMaster) rotate(ctx context.Context, d *demo) error {
	d.begin("A new version of the master key", `Rewrapping wraps each data key anew, with the newest version, and touches no field. It is
		safe beside a running application: an UPDATE changes a row only if its wrapped key is still the one that was read.
		"v1:" is the version of the keyring, which stays; the master key's own version is inside the ciphertext.`)
	before, after, err := d.rewrap(ctx)
	switch {
	case errors.Is(err, kms.ErrAccessDenied): // a third right, which this demo can do without
		d.refused(err)
		fmt.Fprintln(d.out)
		d.show("%s --rotate    # prints what gives it", policy.Command(m.key.ID()))
	case err != nil:
		return err
	default:
		d.showRewrap(before, after)
	}
	d.tell("A new version is made by whoever keeps the key. Earlier ones still open, and the next rewrap takes every row to the new "+
		"one; "+m.keeper.Newer+".", m.keeper.Rotate)
	return nil
}

func (m serviceMaster) switchOff(_ context.Context, d *demo) error {
	d.begin("The switch", `After a break-in, whoever keeps the key stops all opening, for every server: `+m.keeper.StopIs+`
		Rows that a process has opened before stay open in it. Nothing is lost. The demo leaves the key as it is; the command is`)
	d.show("%s", m.keeper.Stop)
	d.tell("From then on, Open fails with \""+m.keeper.Stopped+"\". This undoes it, and all rows open again:", m.keeper.Resume)
	return nil
}

// tell prints a paragraph, and a command line that the demo leaves to others.
func (d *demo) tell(text, command string) {
	fmt.Fprintln(d.out)
	d.say(text)
	fmt.Fprintln(d.out)
	d.show("%s", command)
}

func (m serviceMaster) command(string) (rowseal, id string) { return "rowseal", shellQuote(m.key.ID()) }
