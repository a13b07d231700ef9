package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"rowseal": main,
		"flood":   flood,
	})
}

// TestScripts runs the command line as its users do. -testwork keeps the directories.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("ROWSEAL_LOCAL_KEYS", env.WorkDir+"/keys")
			env.Setenv("KMS_KEY_ID", "")
			vectors, err := filepath.Abs("../../vectors")
			if err != nil {
				return err
			}
			env.Setenv("VECTORS", vectors)
			configs, err := filepath.Abs("internal/cli/testdata/vectors")
			if err != nil {
				return err
			}
			env.Setenv("CONFIGS", configs)
			env.Setenv("GORACE", "atexit_sleep_ms=0") // else each command waits a second at its end under -race
			return nil
		},
		Condition: func(name string) (bool, error) {
			if name != "root" {
				return false, fmt.Errorf("unknown condition %s", name)
			}
			return os.Geteuid() == 0, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status": status,
			"keep":   keep,
		},
	})
}

// status CODE ARGS… runs rowseal with these arguments and checks the exit code, which the command exec does not tell.
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: status CODE ARGS…")
	}
	err := ts.Exec("rowseal", args[1:]...)
	got := "0"
	if exit, ok := err.(interface{ ExitCode() int }); ok {
		got = strconv.Itoa(exit.ExitCode())
	} else if err != nil {
		ts.Fatalf("rowseal: %v", err)
	}
	if got != args[0] {
		ts.Fatalf("rowseal exited with %s, not %s", got, args[0])
	}
}

// keep NAME sets an environment variable to what the last command printed.
func keep(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: keep NAME")
	}
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile("stdout")))
}

// flood is a program: it writes as many bytes "A" to standard output as its argument says.
func flood() {
	n, err := strconv.Atoi(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	w := bufio.NewWriter(os.Stdout)
	block := bytes.Repeat([]byte{'A'}, 1000)
	for ; n > 0; n -= len(block) {
		w.Write(block[:min(n, len(block))])
	}
	w.Flush()
}
