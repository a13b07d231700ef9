// Command vaultserver is a real Vault in one process, for tests: in memory, unsealed, with the transit engine's plugin and
// file audit devices, on a port of its own. It prints its address and root token as one line of JSON, and ends when its
// standard input does, so that it never outlives the test that started it.
//
// Vault is licensed under the Business Source License 1.1. That is why it is here, in a module of its own that is never
// published: nothing else of rowseal imports it. It stands outside go.work as well, whose modules would else all get the
// versions that Vault requires.
package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/audit"
	"github.com/hashicorp/vault/builtin/logical/transit"
	vaulthttp "github.com/hashicorp/vault/http"
	"github.com/hashicorp/vault/internalshared/configutil"
	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/helper/pluginutil"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/physical/inmem"
	"github.com/hashicorp/vault/vault"
)

// started is what the program prints once it serves.
type started struct {
	Address   string `json:"address"`
	RootToken string `json:"root_token"`
	UnsealKey string `json:"unseal_key"` // hexadecimal
}

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "vaultserver:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	core, err := newCore()
	if err != nil {
		return err
	}
	s, err := unseal(ctx, core)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.Address = "http://" + listener.Addr().String()
	served := make(chan error, 1)
	go func() {
		served <- http.Serve(listener, vaulthttp.Handler.Handler(&vault.HandlerProperties{
			Core:           core,
			ListenerConfig: &configutil.Listener{},
		}))
	}()
	if err := json.NewEncoder(os.Stdout).Encode(s); err != nil {
		return err
	}
	go func() {
		_, err := io.Copy(io.Discard, os.Stdin)
		served <- err
	}()
	return errors.Join(<-served, core.Shutdown())
}

func newCore() (*vault.Core, error) {
	logger := hclog.New(&hclog.LoggerOptions{Output: os.Stderr, Level: hclog.Error})
	storage, err := inmem.NewInmem(nil, logger)
	if err != nil {
		return nil, err
	}
	return vault.NewCore(&vault.CoreConfig{
		Physical:        storage,
		DisableMlock:    true,
		Logger:          logger,
		LogicalBackends: map[string]logical.Factory{"transit": transit.Factory},
		AuditBackends:   map[string]audit.Factory{"file": audit.NewFileBackend},
		BuiltinRegistry: onlyTransit{},
	})
}

func unseal(ctx context.Context, core *vault.Core) (started, error) {
	one := &vault.SealConfig{SecretShares: 1, SecretThreshold: 1}
	made, err := core.Initialize(ctx, &vault.InitParams{BarrierConfig: one, RecoveryConfig: one})
	if err != nil {
		return started{}, err
	}
	if _, err := core.Unseal(made.SecretShares[0]); err != nil {
		return started{}, err
	}
	return started{RootToken: made.RootToken, UnsealKey: hex.EncodeToString(made.SecretShares[0])}, nil
}

// onlyTransit is the registry of the plugins that are compiled in.
type onlyTransit struct{}

func (onlyTransit) Contains(name string, t consts.PluginType) bool {
	return name == "transit" && t == consts.PluginTypeSecrets
}

func (r onlyTransit) Get(name string, t consts.PluginType) (func() (any, error), bool) {
	if !r.Contains(name, t) {
		return nil, false
	}
	return func() (any, error) { return transit.Factory, nil }, true
}

func (onlyTransit) Keys(t consts.PluginType) []string {
	if t == consts.PluginTypeSecrets {
		return []string{"transit"}
	}
	return nil
}

func (onlyTransit) IsBuiltinEntPlugin(string, consts.PluginType) bool { return false }

func (onlyTransit) DeprecationStatus(string, consts.PluginType) (consts.DeprecationStatus, bool) {
	return consts.Supported, true
}

func (r onlyTransit) LookupPluginVersion(context.Context, string, consts.PluginType) (*pluginutil.PluginRunner, error) {
	return nil, errors.New("no such plugin")
}
