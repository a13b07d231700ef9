package dbtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// untilEOF runs a server, which would outlive this process, until its own standard input ends, which the system sees to
// whatever becomes of this process. Then the signal $0 ends it. A server may not hear the first.
const untilEOF = `exec 4<&0
"$@" </dev/null &
server=$!
(cat <&4; while kill -"$0" $server; do sleep 0.1; done) >/dev/null 2>&1 &
wait $server`

// untilDeserted removes a folder when its standard input ends.
const untilDeserted = `cat >/dev/null; rm -rf "$0"`

// folder is one that is removed as soon as neither this process nor a command has it: each holds one end of a pipe, and the
// system closes that with the last of them.
type folder struct {
	path    string
	log     *os.File // what the commands print
	user    *syscall.Credential
	held    *os.File
	janitor *exec.Cmd // reads the other end
}

func newFolder() (*folder, error) {
	// A socket's path has about 100 bytes, and its folder must be open to nobody. A TMPDIR may be too long, and closed.
	path, err := os.MkdirTemp("/tmp", "rowseal-dbtest-")
	if err != nil {
		return nil, err
	}
	f := &folder{path: path}
	if err := f.hire(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(path))
	}
	if err := f.furnish(); err != nil {
		f.leave()
		return nil, err
	}
	return f, nil
}

// hire starts the janitor.
func (f *folder) hire() error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	f.held = w
	f.janitor = exec.Command("sh", "-c", untilDeserted, f.path)
	f.janitor.Stdin, f.janitor.SysProcAttr = r, &syscall.SysProcAttr{Setpgid: true}
	return f.janitor.Start()
}

// furnish makes the log, and gives the folder to the user whose commands run there.
func (f *folder) furnish() (err error) {
	if f.log, err = os.Create(filepath.Join(f.path, "log")); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return nil
	}
	if f.user, err = nobody(); err != nil {
		return err
	}
	return os.Chown(f.path, int(f.user.Uid), int(f.user.Gid))
}

// nobody is who runs what root must not: both servers refuse.
func nobody() (*syscall.Credential, error) {
	who, err := user.Lookup("nobody")
	if err != nil {
		return nil, err
	}
	uid, err := strconv.ParseUint(who.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(who.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// command is one that runs in the folder, in a process group of its own, as the janitor: what a terminal or a timeout tells
// this process's group is not for them. Of this process's environment it gets the PATH.
func (f *folder) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	cmd.Dir = f.path
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + f.path, "LC_ALL=C"}
	cmd.Stdout, cmd.Stderr = f.log, f.log
	cmd.ExtraFiles = []*os.File{f.held}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: f.user}
	return cmd
}

// said returns what the commands printed.
func (f *folder) said() []byte {
	text, err := os.ReadFile(f.log.Name())
	if err != nil {
		return []byte(err.Error())
	}
	return text
}

// leave leaves the folder to the commands that still run.
func (f *folder) leave() {
	f.log.Close()
	f.held.Close()
}

// find returns the path of a program of a database server: that on the PATH, or the newest where Debian, Red Hat or Homebrew
// put what they do not put there.
func find(program string) (string, error) {
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	for _, dir := range []string{
		"/usr/lib/postgresql/*/bin", "/usr/sbin", "/usr/pgsql-*/bin", "/usr/libexec",
		"/opt/homebrew/opt/*/bin", "/usr/local/opt/*/bin",
	} {
		if found, _ := filepath.Glob(filepath.Join(dir, program)); len(found) > 0 {
			return found[len(found)-1], nil
		}
	}
	return "", fmt.Errorf("%s: %w", program, exec.ErrNotFound)
}
