package cli

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
)

// maxInput is the most that encrypt and decrypt read, in bytes: more than any KMS takes.
const maxInput = 1 << 20

// boxFlags are those that encrypt and decrypt share: a keyring and a context.
type boxFlags struct {
	keyID       string
	keyVersion  int
	previous    []string
	context     []string
	contextJSON string
	base64      bool
}

func (f *boxFlags) add(cmd *cobra.Command, base64Help string) {
	fl := cmd.Flags()
	fl.StringVar(&f.keyID, "key-id", "", "use the KMS key `ID` (default $KMS_KEY_ID)")
	fl.IntVar(&f.keyVersion, "key-version", 1, "keyring version: the `N` in vN:…; not the version that 'keys rotate' makes")
	fl.StringArrayVar(&f.previous, "previous", nil, "add an earlier key with its keyring version, as `N=ID`; repeatable")
	fl.StringArrayVar(&f.context, "context", nil, "add `NAME=VALUE` to the encryption context; repeatable")
	fl.StringVar(&f.contextJSON, "context-json", "", "take the encryption context from a `JSON` object of strings and integers")
	fl.BoolVar(&f.base64, "base64", false, base64Help)
	cmd.ValidArgsFunction = cobra.NoFileCompletions
	cmd.RegisterFlagCompletionFunc("key-id", completeKeys("local/")) // fails only for a flag that is not there
}

func newEncrypt() *cobra.Command {
	var f boxFlags
	cmd := &cobra.Command{
		Use:   "encrypt [PLAINTEXT]",
		Short: "Encrypt a small secret with a KMS key",
		Long: `Encrypt a small secret with a KMS key, in the format of the Ruby gem kms_encrypted. The ciphertext goes to standard
output, alone.

Without an argument, the plaintext is all of standard input, a final line end included. Other users of the machine can
see arguments, so give secrets on standard input. To encrypt an empty text, give '' as the argument.

The encryption context names the record that the secret belongs to. It is not stored: decrypting needs the same one.

The forms of key ids, and where the credentials of each service come from: 'rowseal keys --help'.`,
		Example: `  printf %s "$SECRET" | rowseal encrypt --key-id local/demo --context model_name=User --context model_id=123`,
		Args:    takes(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ring, ec, err := f.open(cmd)
			if err != nil {
				return err
			}
			plaintext, err := f.plaintext(cmd, args)
			if err != nil {
				return err
			}
			ciphertext, err := ring.Encrypt(cmd.Context(), plaintext, ec)
			if err != nil {
				return withRemedy(err, ec)
			}
			fmt.Fprintln(cmd.OutOrStdout(), ciphertext)
			return nil
		},
	}
	f.add(cmd, "the plaintext is given in base64")
	return cmd
}

func newDecrypt() *cobra.Command {
	var f boxFlags
	cmd := &cobra.Command{
		Use:   "decrypt [CIPHERTEXT]",
		Short: "Decrypt what encrypt, or kms_encrypted, returned",
		Long: `Decrypt what 'rowseal encrypt' or the Ruby gem kms_encrypted returned, or what a key column holds: then the plaintext
is the row's data key. The plaintext goes to standard output, alone and byte for byte. Bytes that are no printable text
are not written to a terminal, which would take some of them for commands: --base64 shows them.

Without an argument, the ciphertext is read from standard input.

Key and encryption context must be those of the encryption. After a change of keys, name the earlier ones with
--previous. The forms of key ids, and where the credentials of each service come from: 'rowseal keys --help'.`,
		Example: `  rowseal decrypt --key-id local/demo --context model_name=User --context model_id=123 < secret.txt
  rowseal decrypt --key-id local/new --key-version 2 --previous 1=local/old "$CIPHERTEXT"`,
		Args: takes(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ring, ec, err := f.open(cmd)
			if err != nil {
				return err
			}
			ciphertext, err := ciphertext(cmd, args)
			if err != nil {
				return err
			}
			plaintext, err := ring.Decrypt(cmd.Context(), ciphertext, ec)
			if err != nil {
				return withRemedy(err, ec)
			}
			return f.print(cmd.OutOrStdout(), plaintext)
		},
	}
	f.add(cmd, "print the plaintext in base64")
	return cmd
}

// withRemedy adds what to do to the errors that leave it to the caller.
func withRemedy(err error, ec kms.Context) error {
	var refused *kms.Error
	switch {
	case ec == nil && errors.Is(err, kms.ErrInvalidRequest) && errors.As(err, &refused) && strings.HasPrefix(refused.KeyID, vaultPrefix):
		return fmt.Errorf("%w (give --context NAME=VALUE)", err)
	case errors.Is(err, rowseal.ErrVersionNotActive):
		return fmt.Errorf("%w; name the key of that version with --previous N=ID", err)
	case errors.Is(err, rowseal.ErrDecryptionFailed) && errors.As(err, &refused):
		return fmt.Errorf("%w; the key, the context and the ciphertext must be those of the encryption", err)
	}
	return err
}

func (f *boxFlags) plaintext(cmd *cobra.Command, args []string) ([]byte, error) {
	plaintext, err := input(cmd, args)
	if err != nil {
		return nil, err
	}
	if f.base64 {
		plaintext, err = base64.StdEncoding.DecodeString(strings.TrimSpace(string(plaintext)))
		if err != nil {
			return nil, usagef("--base64: the plaintext is not base64 (RFC 4648 §4, padded)") // err would show a part of it
		}
	}
	if len(plaintext) == 0 && len(args) == 0 { // a variable that is not set, or a program that failed
		return nil, usagef("standard input is empty; to encrypt an empty text give '' as the argument")
	}
	return plaintext, nil
}

// hasVersion is how every ciphertext begins that this program can open: it has no keyring for those from before versions.
var hasVersion = regexp.MustCompile(`^v[0-9]+:`)

func ciphertext(cmd *cobra.Command, args []string) (string, error) {
	b, err := input(cmd, args)
	if err != nil {
		return "", err
	}
	text := strings.TrimSpace(string(b))
	switch {
	case text == "" && len(args) == 0:
		return "", usagef("standard input is empty")
	case !hasVersion.MatchString(text):
		return "", errors.New("not a ciphertext of rowseal: it must begin with v1: or the like")
	}
	return text, nil
}

// print writes the plaintext as it is; on a terminal a line end follows.
func (f *boxFlags) print(w io.Writer, plaintext []byte) error {
	var err error
	switch {
	case f.base64:
		_, err = fmt.Fprintln(w, base64.StdEncoding.EncodeToString(plaintext))
	case !isTerminal(w):
		_, err = w.Write(plaintext)
	case !printable(plaintext):
		err = errors.New("the plaintext is not printable text, so it is kept from the terminal; use --base64 or redirect the output")
	default:
		_, err = fmt.Fprintf(w, "%s\n", plaintext)
	}
	return err
}

// open makes the keyring and the context that the flags describe.
func (f *boxFlags) open(cmd *cobra.Command) (*rowseal.Keyring, kms.Context, error) {
	ec, err := f.encryptionContext(cmd.Flags().Changed("context-json"))
	if err != nil {
		return nil, nil, err
	}
	versions, err := f.versions(cmd)
	if err != nil {
		return nil, nil, err
	}
	ring, err := rowseal.NewKeyring(versions...)
	if err != nil {
		return nil, nil, usageError{err}
	}
	return ring, ec, nil
}

func (f *boxFlags) versions(cmd *cobra.Command) ([]rowseal.Version, error) {
	id, err := keyIDOrDefault(cmd, f.keyID)
	if err != nil {
		return nil, err
	}
	key, err := openKey(cmd, id, nil)
	if err != nil {
		return nil, err
	}
	versions := []rowseal.Version{{Number: f.keyVersion, Key: key}}
	for _, p := range f.previous {
		number, id, ok := strings.Cut(p, "=")
		n, err := strconv.Atoi(number)
		if !ok || err != nil || id == "" {
			return nil, usagef("--previous must be N=ID, as in 1=local/old") // what it is instead may be a secret
		}
		if n == f.keyVersion {
			return nil, usagef("--previous: version %d is the current key; number the current one with --key-version", n)
		}
		if key, err = openKey(cmd, id, nil); err != nil {
			return nil, err
		}
		versions = append(versions, rowseal.Version{Number: n, Key: key})
	}
	return versions, nil
}

// keyIDOrDefault is what --key-id says, or else $KMS_KEY_ID.
func keyIDOrDefault(cmd *cobra.Command, id string) (string, error) {
	if id == "" && !cmd.Flags().Changed("key-id") { // an empty --key-id is a variable that somebody forgot to set
		id = os.Getenv("KMS_KEY_ID")
	}
	if id == "" {
		return "", usagef("missing key id: give --key-id or set $KMS_KEY_ID")
	}
	return id, nil
}

// input is the argument, or all of standard input.
func input(cmd *cobra.Command, args []string) ([]byte, error) {
	if len(args) == 1 {
		return []byte(args[0]), nil
	}
	stdin := cmd.InOrStdin()
	if isTerminal(stdin) {
		fmt.Fprintln(cmd.ErrOrStderr(), "waiting for input, which ends with Ctrl-D at the beginning of a line")
	}
	b, err := readAll(cmd.Context(), io.LimitReader(stdin, maxInput+1))
	if err != nil {
		return nil, fmt.Errorf("standard input: %w", err)
	}
	if len(b) > maxInput {
		return nil, fmt.Errorf("standard input is longer than %d bytes, which is more than a KMS takes", maxInput)
	}
	return b, nil
}

// readAll is io.ReadAll, except that it does not outlast ctx: a read of a terminal or pipe cannot be interrupted.
func readAll(ctx context.Context, r io.Reader) ([]byte, error) {
	type result struct {
		b   []byte
		err error
	}
	done := make(chan result, 1)
	go func() {
		b, err := io.ReadAll(r)
		done <- result{b, err}
	}()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case all := <-done:
		return all.b, all.err
	}
}
