package cli

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/cmd/rowseal/internal/config"
	"github.com/rowseal/rowseal/kms"
)

// project is a configuration, and the KMS keys that it names, each opened once.
type project struct {
	*config.File
	cmd  *cobra.Command
	keys map[string]*kms.Key
}

// configFlag adds --config.
func configFlag(cmd *cobra.Command, name *string) {
	cmd.Flags().StringVar(name, "config", config.DefaultName, "read the configuration `FILE`")
}

func openProject(cmd *cobra.Command, name string) (*project, error) {
	file, err := config.Read(name, os.LookupEnv)
	if err != nil {
		return nil, err
	}
	return &project{file, cmd, map[string]*kms.Key{}}, nil
}

// opener says where keys come from, and tells of values in forms that are not safe.
func (p *project) opener() config.Opener {
	return config.Opener{Key: p.key, OnInsecure: func(f rowseal.InsecureForm) {
		fmt.Fprintf(p.cmd.ErrOrStderr(), "warning: %s %q %s: the form %s is not safe; set the value anew\n", f.Table, f.ID, f.Column, f.Form)
	}}
}

// key opens a KMS key. One key for all columns that name it, so that they share its requests.
func (p *project) key(id string) (*kms.Key, error) {
	if key := p.keys[id]; key != nil {
		return key, nil
	}
	key, err := openKey(p.cmd, id, nil)
	var wrong usageError
	switch {
	case errors.As(err, &wrong): // the file is wrong, not the command line
		return nil, wrong.error
	case err != nil:
		return nil, err
	}
	p.keys[id] = key
	return key, nil
}

func (p *project) close() {
	for _, key := range p.keys {
		_ = key.Close() // nothing has been written
	}
}
